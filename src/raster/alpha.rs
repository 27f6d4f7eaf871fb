//! Bands that are tagged as alpha but hold an image: most often NAIP's infrared.

use std::collections::HashMap;

use gdal::Dataset;

use super::input::Input;
use super::survey::spots;
use crate::error::{Context, Result};
use crate::geom::{Size, Window};
use crate::scene::{ColourRole, MaskSource, SceneInfo};

/// A band of at most so many different values above 0 is a mask.
const FEW_VALUES: usize = 16;
/// Windows along each side in which a large band without overviews is sampled, and their side in pixels.
const SPOTS: usize = 4;
const SIDE: usize = 64;
/// Bands and overviews of at most `WHOLE` pixels are read as a whole; overviews of fewer than `LEAST` are too coarse.
const WHOLE: usize = 512 * 512;
const LEAST: usize = 1 << 14;
/// Tiles of a mosaic that are sampled.
const TILES: usize = 5;

/// Removes the alpha tag of a band that holds an image from all `tiles` (one scene, or the tiles of one mosaic, whose
/// bands are alike), and adds a note to the first. Nothing is read where the job or a mask band decides.
///
/// # Errors
/// Pixels that cannot be read.
pub(super) fn untag_images(tiles: &mut [SceneInfo]) -> Result<()> {
    let asked = |tile: &SceneInfo| tile.access.mask.source == MaskSource::Auto && !tile.access.mask_band;
    let Some((first, number)) = tiles.iter().filter(|tile| asked(tile)).find_map(|it| Some((it, it.alpha_band()?)))
    else {
        return Ok(());
    };
    let name = first.path.display().to_string();
    let step = tiles.len().div_ceil(TILES).max(1);
    let mut values = HashMap::new();
    for tile in tiles.iter().step_by(step).filter(|tile| tile.alpha_band() == Some(number)) {
        count(tile, number, &mut values)?;
    }
    if !is_picture(&values) {
        return Ok(());
    }
    for tile in tiles.iter_mut().filter(|tile| tile.alpha_band() == Some(number)) {
        tile.access.picture_alpha = Some(number);
        if let Some(band) = tile.bands.get_mut(number - 1) {
            band.role = ColourRole::Other;
        }
    }
    if let Some(first) = tiles.first_mut() {
        first.access.notes.push(format!(
            "band {number} of {name} is tagged as alpha and holds {} different values, like an image band (infrared, perhaps): it is not used as a mask. `mask: alpha` uses it.",
            values.len()
        ));
    }
    Ok(())
}

/// Adds how often each value, by its bits, occurs in a sample of the band.
fn count(tile: &SceneInfo, number: usize, values: &mut HashMap<u32, usize>) -> Result<()> {
    let (size, _) = tile.native();
    let counted = counted(tile, number, size)?;
    counted.into_iter().for_each(|bits| *values.entry(bits).or_default() += 1);
    Ok(())
}

/// The bits of the values of a sample of the band.
fn counted(tile: &SceneInfo, number: usize, size: Size) -> Result<Vec<u32>> {
    let input = Input::open(tile.dataset(), &[], tile.files())?;
    let read = |dataset: &Dataset| {
        let mut bits = Vec::new();
        let full = dataset.rasterband(number)?;
        let overviews = usize::try_from(full.overview_count()?).unwrap_or(0);
        let overview = (0..overviews)
            .rev()
            .filter_map(|index| full.overview(index).ok())
            .find(|overview| (LEAST..=WHOLE).contains(&Size::new(overview.x_size(), overview.y_size()).pixels()));
        let (band, windows) = match overview {
            _ if size.pixels() <= WHOLE => (full, vec![size.window()]),
            Some(overview) => {
                let whole = Size::new(overview.x_size(), overview.y_size()).window();
                (overview, vec![whole])
            }
            None => (full, spots(size, SPOTS, SIDE).concat()),
        };
        for Window { col, row, width, height } in windows {
            let mut pixels = vec![0f32; width * height];
            let (start, shape) = ((col as isize, row as isize), (width, height));
            band.read_into_slice(start, shape, shape, &mut pixels, None)?;
            bits.extend(pixels.into_iter().map(f32::to_bits));
        }
        Ok(bits)
    };
    input.read(read).input(|| format!("cannot read band {number} of {}", tile.path.display())).map_err(|error| {
        error.with_hint(
            "It is read because it is tagged as alpha; with `mask: alpha` or `mask: none` it is not checked.",
        )
    })
}

/// Whether more than half of the pixels above 0 differ from the most frequent of their values, and these are many.
fn is_picture(values: &HashMap<u32, usize>) -> bool {
    let above = || values.iter().filter(|(bits, _)| f32::from_bits(**bits) > 0.0).map(|(_, count)| *count);
    let (pixels, most) = (above().sum::<usize>(), above().max().unwrap_or(0));
    above().count() > FEW_VALUES && 2 * (pixels - most) > pixels
}

#[cfg(test)]
mod tests {
    use gdal::raster::{ColorInterpretation, GdalType};

    use super::super::find;
    use super::super::test_scenes::{make, plane};
    use super::*;
    use crate::scene::{MaskRequest, SceneRequest};

    fn tagged<T: GdalType + Copy>(name: &str, size: Size, alpha: Vec<T>) -> SceneInfo {
        let planes = [alpha.clone(), alpha.clone(), alpha.clone(), alpha];
        make(name, size, &planes, &["PHOTOMETRIC=RGB"], |dataset| {
            let mut band = dataset.rasterband(4).unwrap();
            band.set_color_interpretation(ColorInterpretation::AlphaBand).unwrap();
        });
        find(&SceneRequest::file(name)).unwrap().remove(0)
    }

    fn infrared(col: usize, row: usize) -> u8 {
        (1 + (col * 7919 + row * 104_729) % 255) as u8
    }

    #[test]
    fn infrared_is_an_image_and_masks_are_not() {
        for size in [Size::new(300, 200), Size::new(700, 800)] {
            let (width, height) = (size.width as f64, size.height as f64);
            let info = tagged("/vsimem/infrared.tif", size, plane(size, infrared));
            assert_eq!((info.alpha_band(), info.access.picture_alpha), (None, Some(4)));
            let note = &info.access.notes[0];
            assert!(note.contains("band 4 of /vsimem/infrared.tif") && note.contains("255 different"), "{note}");
            // The same beside a collar of zeros that takes up most of the scene.
            let collar = plane(size, |col, row| if col as f64 > 0.35 * width { 0 } else { infrared(col, row) });
            assert_eq!(tagged("/vsimem/collared.tif", size, collar).alpha_band(), None);

            // An ellipse whose edge goes from opaque to transparent over a fifth of its radius.
            let soft = |top: f64| {
                plane(size, move |col, row| {
                    let x = (col as f64 / width - 0.5) / 0.45;
                    let y = (row as f64 / height - 0.5) / 0.45;
                    (top * ((1.0 - x.hypot(y)) / 0.2).clamp(0.0, 1.0)).round()
                })
            };
            let bytes = soft(255.0).into_iter().map(|value| value as u8).collect::<Vec<_>>();
            let deep = soft(65_535.0).into_iter().map(|value| value as u16).collect::<Vec<_>>();
            let sharp = |top: u16| deep.iter().map(|value| if *value > 9 { top } else { 0 }).collect::<Vec<u16>>();
            assert_eq!(tagged("/vsimem/soft.tif", size, bytes).alpha_band(), Some(4));
            assert_eq!(tagged("/vsimem/soft16.tif", size, deep.clone()).alpha_band(), Some(4));
            for top in [1, 255, 65_535] {
                assert_eq!(tagged("/vsimem/sharp.tif", size, sharp(top)).alpha_band(), Some(4), "{top}");
            }
            for value in [0u8, 255] {
                assert_eq!(tagged("/vsimem/flat.tif", size, vec![value; size.pixels()]).alpha_band(), Some(4));
            }
            let levels = plane(size, |col, row| (infrared(col, row) % 4) * 60);
            assert_eq!(tagged("/vsimem/levels.tif", size, levels).alpha_band(), Some(4));
        }
    }

    #[test]
    fn mask_of_the_job_is_not_checked() {
        let size = Size::new(60, 40);
        tagged("/vsimem/asked.tif", size, plane(size, infrared));
        for source in [MaskSource::Alpha, MaskSource::None, MaskSource::Nodata, MaskSource::Band(4)] {
            let mask = MaskRequest { source, nodata: None };
            let info = find(&SceneRequest { mask, ..SceneRequest::file("/vsimem/asked.tif") }).unwrap().remove(0);
            assert_eq!((info.alpha_band(), info.access.notes.len()), (Some(4), 0), "{source:?}");
        }
    }
}
