//! Scene and result as images of limited size.

#![expect(clippy::indexing_slicing, reason = "indices of classes, made by counting them")]

use std::path::Path;

use crate::error::Result;
use crate::raster::{self, Picture, SceneReader};
use crate::scene::ClassInfo;

/// Longest sides in pixels that are tried, with their JPEG qualities.
const SIDES: [(usize, u8); 4] = [(2000, 85), (2000, 70), (1400, 70), (900, 60)];
/// Most bytes of both images together: the page, which has them in base64, stays below five million.
const MAX_BYTES: usize = 3_600_000;
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
            let made = layers.insert(Self { scene, result, slots: slots.clone() });
            if small_enough {
                return Ok(made.clone());
            }
        }
        layers.ok_or_else(|| crate::error::Error::internal("no size of picture was tried"))
    }

    /// The palette index of a class; `None` where it shares its entry.
    pub(super) fn slot(&self, class: usize) -> Option<u8> {
        self.slots.get(class).copied().filter(|slot| self.slots.len() <= SLOTS || *slot != REST)
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
        Self { scene, result, slots: vec![0, 1] }
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
