//! Scene and result as images of limited size.

#![expect(clippy::indexing_slicing, reason = "indices of classes, made by counting them")]

use std::path::Path;

use crate::error::Result;
use crate::raster::{self, Picture, SceneReader};
use crate::scene::ClassInfo;

/// Longest sides in pixels that are tried, with their JPEG qualities.
const SIDES: [(usize, u8); 4] = [(2000, 85), (2000, 70), (1400, 70), (900, 60)];
/// Most bytes of both images together: the page, which has them in base64, stays below five million.
const MAX_BYTES: usize = 3_100_000;
/// Palette entries for classes.
const SLOTS: usize = 255;
const NODATA: u8 = 255;
/// Colour of the smaller classes, which share an entry where there are too many.
const REST: u8 = 254;
const REST_COLOUR: [u8; 4] = [128, 128, 128, 255];

/// The two images that are overlaid.
#[derive(Clone, Debug)]
pub struct Layers {
    pub(super) scene: Picture,
    /// What the other side of the swipe map shows; `None`: the result.
    pub(super) second: Option<Picture>,
    /// Indexed: a palette entry for each class, the last one for pixels without data.
    pub(super) result: Picture,
    slots: Vec<u8>,
}

impl Layers {
    /// Reads both at reduced size. `counts`: how many pixels each class has.
    pub fn read(scene: &SceneReader, labels: &Path, classes: &[ClassInfo], counts: &[u64]) -> Result<Self> {
        let slots = slots(classes.len(), counts);
        let mut palette = vec![[0; 4]; SLOTS + 1];
        for (class, &slot) in classes.iter().zip(&slots) {
            let [red, green, blue] = class.colour;
            palette[usize::from(slot)] =
                if slots.len() > SLOTS && slot == REST { REST_COLOUR } else { [red, green, blue, 255] };
        }
        let mut layers = None;
        for (side, quality) in SIDES {
            let thumbnail = scene.thumbnail(side)?;
            let (size, labels) = raster::label_thumbnail(labels, side)?;
            let slot = |label: &u16| slots.get(usize::from(*label)).copied().unwrap_or(NODATA);
            let pixels: Vec<u8> = labels.iter().map(slot).collect();
            let scene = raster::jpeg(thumbnail.size, &thumbnail.rgb, quality)?;
            let result = raster::indexed_png(size, &pixels, &palette)?;
            let small_enough = scene.bytes.len() + result.bytes.len() <= MAX_BYTES;
            let made = layers.insert(Self { scene, second: None, result, slots: slots.clone() });
            if small_enough {
                return Ok(made.clone());
            }
        }
        layers.ok_or_else(|| crate::error::Error::internal("no size of picture was tried"))
    }

    /// The pictures of a comparison: both maps in the colours of `classes`, and above them the transitions that are changes. Values of
    /// `transitions` are index before × number of classes + index after.
    pub fn of_change(raster: &Path, classes: &[ClassInfo], transitions: &[ClassInfo], counts: &[u64]) -> Result<Self> {
        let many = classes.len().max(1);
        let changed = |value: usize| value / many != value % many;
        let of_changes: Vec<u64> =
            counts.iter().enumerate().map(|(value, count)| if changed(value) { *count } else { 0 }).collect();
        // Only what has changed gets entries of the palette.
        let mut by_size: Vec<usize> = (0..of_changes.len()).filter(|value| of_changes[*value] > 0).collect();
        by_size.sort_by_key(|&value| std::cmp::Reverse(of_changes[value]));
        let mut slots = vec![NODATA; transitions.len()];
        let mut palette = vec![[0; 4]; SLOTS + 1];
        for (rank, &value) in by_size.iter().enumerate() {
            let slot = u8::try_from(rank).unwrap_or(REST).min(REST);
            let colour = transitions.get(value).map_or([0; 3], |transition| transition.colour);
            if let Some(own) = slots.get_mut(value) {
                *own = slot;
            }
            palette[usize::from(slot)] = match (slot, by_size.len() > SLOTS) {
                (REST, true) => REST_COLOUR,
                _ => [colour[0], colour[1], colour[2], 255],
            };
        }
        let mut map = vec![[0; 4]; SLOTS + 1];
        for (entry, class) in map.iter_mut().take(SLOTS).zip(classes) {
            *entry = [class.colour[0], class.colour[1], class.colour[2], 255];
        }
        let mut layers = None;
        for (side, _) in SIDES {
            let (size, labels) = raster::label_thumbnail(raster, side)?;
            let picture = |class: fn(usize, usize) -> usize| {
                let index = |label: &u16| match usize::from(*label) {
                    label if label < many * many => u8::try_from(class(label, many)).unwrap_or(REST).min(REST),
                    _ => NODATA,
                };
                raster::indexed_png(size, &labels.iter().map(index).collect::<Vec<u8>>(), &map)
            };
            let (scene, second) = (picture(|label, many| label / many)?, picture(|label, many| label % many)?);
            let slot = |label: &u16| slots.get(usize::from(*label)).copied().unwrap_or(NODATA);
            let result = raster::indexed_png(size, &labels.iter().map(slot).collect::<Vec<u8>>(), &palette)?;
            let bytes = scene.bytes.len() + second.bytes.len() + result.bytes.len();
            let made = layers.insert(Self { scene, second: Some(second), result, slots: slots.clone() });
            if bytes <= MAX_BYTES {
                return Ok(made.clone());
            }
        }
        layers.ok_or_else(|| crate::error::Error::internal("no size of picture was tried"))
    }

    /// The palette index of a class; `None` where it shares its entry.
    pub(super) fn slot(&self, class: usize) -> Option<u8> {
        let slot = self.slots.get(class).copied().filter(|slot| *slot != NODATA)?;
        (self.slots.len() <= SLOTS || slot != REST).then_some(slot)
    }
}

/// A palette index for each class; where they are too many, only the largest have their own.
fn slots(classes: usize, counts: &[u64]) -> Vec<u8> {
    if classes <= SLOTS {
        return (0..=REST).take(classes).collect();
    }
    let mut by_size: Vec<usize> = (0..classes).collect();
    by_size.sort_by_key(|&class| std::cmp::Reverse(counts.get(class).copied().unwrap_or(0)));
    let mut slots = vec![REST; classes];
    for (slot, &class) in (0..REST).zip(&by_size) {
        slots[class] = slot;
    }
    slots
}

#[cfg(test)]
impl Layers {
    /// Layers of four pixels, two classes and one without data.
    pub(super) fn example() -> Self {
        let size = crate::geom::Size::new(2, 2);
        let scene = raster::jpeg(size, &[[9, 99, 199]; 4], 90).unwrap();
        let palette = [[[255, 0, 0, 255], [0, 0, 255, 255]].as_slice(), &[[0; 4]; 254]].concat();
        let result = raster::indexed_png(size, &[0, 1, 1, NODATA], &palette).unwrap();
        Self { scene, second: None, result, slots: vec![0, 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_of_many_classes_keep_palette_entries() {
        assert_eq!(slots(3, &[]), [0, 1, 2]);
        assert_eq!(slots(255, &[]).last(), Some(&254));
        let counts: Vec<u64> = (0..300).collect();
        let many = slots(300, &counts);
        assert_eq!((many[299], many[46], many[45], many[0]), (0, 253, REST, REST));
        let layers = Layers { slots: many, ..Layers::example() };
        assert_eq!((layers.slot(299), layers.slot(45), layers.slot(300)), (Some(0), None, None));
    }
}
