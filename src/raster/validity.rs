//! Which pixels of a scene hold data: nodata values, mask bands, alpha, NaN.

#![expect(clippy::indexing_slicing, reason = "the three channels, and pixels of planes of one size")]

use gdal::Dataset;
use gdal::raster::GdalType;

use super::input::Input;
use crate::error::{Context, Error, Result};
use crate::geom::Window;
use crate::scene::{MaskRule, NodataValue, SceneInfo};

/// The validity of the pixels of three selected bands, by the rule of `scene/mask.rs`; set up once per scene.
pub(super) struct Validity {
    nodata: [Option<Nodata>; 3],
    masks: Vec<Mask>,
}

#[derive(Clone, Copy, PartialEq)]
struct Nodata {
    /// Range of the nodata values, both ends included.
    low: f32,
    high: f32,
    /// The value may also be data: it counts only where all three bands have theirs.
    ambiguous: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Mask {
    /// GDAL's mask of this band.
    Of(usize),
    /// A band of the scene that is above zero where there is data.
    Band(usize),
}

impl Validity {
    pub(super) fn new(input: &Input, info: &SceneInfo, bands: [usize; 3]) -> Result<Self> {
        let mut it = Self { nodata: [None; 3], masks: Vec::new() };
        match info.mask_rule(bands) {
            MaskRule::Unmarked => {}
            MaskRule::Alpha(number) | MaskRule::Band(number) => {
                if input.bands() < number {
                    return Err(Error::input(format!("{} has no band {number}", info.path.display())));
                }
                it.masks.push(Mask::Band(number));
            }
            MaskRule::Mask => it.band_by_band(input, info, bands, true)?,
            MaskRule::Nodata => it.band_by_band(input, info, bands, false)?,
        }
        if let Some(given) = info.access.mask.nodata.filter(|_| !info.access.masked) {
            it.nodata = bands.map(|number| Some(rule(given, info, number, true)));
        }
        Ok(it)
    }

    /// Each band by itself: its mask where `masks` count, or its nodata value.
    fn band_by_band(&mut self, input: &Input, info: &SceneInfo, bands: [usize; 3], masks: bool) -> Result<()> {
        for (channel, number) in bands.into_iter().enumerate() {
            let flags = input
                .read(|dataset| dataset.rasterband(number)?.mask_flags())
                .input(|| format!("cannot read the mask of band {number} of {}", info.path.display()))?;
            let together = flags.is_nodata() && flags.is_per_dataset();
            let own = !flags.is_all_valid() && !flags.is_nodata() && !flags.is_alpha();
            let mask = if together || (own && masks) {
                // One mask for all bands: reading it once is enough.
                let shared = self.masks.first().copied().filter(|_| flags.is_per_dataset());
                Some(shared.unwrap_or(Mask::Of(number)))
            } else {
                let tag = info.bands.get(number - 1).and_then(|band| band.nodata);
                self.nodata[channel] =
                    tag.map(|value| rule(NodataValue { value, tolerance: 0.0 }, info, number, false));
                None
            };
            self.masks.extend(mask.filter(|mask| !self.masks.contains(mask)));
        }
        Ok(())
    }

    /// Number of masks that are read with the bands, one byte a pixel each.
    pub(super) fn masks(&self) -> usize {
        self.masks.len()
    }

    /// Which pixels of a window are valid, `raw` being its three bands as stored; `None` when all are.
    ///
    /// A pixel is invalid where one of the bands is not finite or holds its nodata value, or a mask says so. Where a
    /// nodata value could be data as well all three bands must hold theirs.
    pub(super) fn of(&self, dataset: &Dataset, window: Window, raw: &[f32]) -> gdal::errors::Result<Option<Vec<bool>>> {
        let pixels = window.size().pixels();
        let mut valid = vec![true; pixels];
        for (band, rule) in raw.chunks_exact(pixels).zip(self.nodata) {
            match rule {
                Some(rule @ Nodata { ambiguous: false, .. }) => {
                    valid
                        .iter_mut()
                        .zip(band)
                        .for_each(|(valid, &pixel)| *valid &= pixel.is_finite() && !rule.holds(pixel));
                }
                _ => valid.iter_mut().zip(band).for_each(|(valid, &pixel)| *valid &= pixel.is_finite()),
            }
        }
        if let [Some(red), Some(green), Some(blue)] = self.nodata
            && red.ambiguous
            && green.ambiguous
            && blue.ambiguous
        {
            let (reds, rest) = raw.split_at(pixels);
            let (greens, blues) = rest.split_at(pixels);
            for (index, valid) in valid.iter_mut().enumerate() {
                *valid &= !red.holds(reds[index]) || !green.holds(greens[index]) || !blue.holds(blues[index]);
            }
        }
        for &mask in &self.masks {
            match mask {
                Mask::Of(number) => {
                    let mask = read::<u8>(dataset, number, true, window)?;
                    valid.iter_mut().zip(mask).for_each(|(valid, mask)| *valid &= mask > 0);
                }
                // As float: an opacity of 0.3 would become 0 as a byte.
                Mask::Band(number) => {
                    let band = read::<f32>(dataset, number, false, window)?;
                    valid.iter_mut().zip(band).for_each(|(valid, pixel)| *valid &= pixel > 0.0);
                }
            }
        }
        Ok((!valid.iter().all(|&valid| valid)).then_some(valid))
    }
}

impl Nodata {
    fn holds(self, pixel: f32) -> bool {
        self.low <= pixel && pixel <= self.high
    }
}

fn rule(nodata: NodataValue, info: &SceneInfo, number: usize, by_job: bool) -> Nodata {
    let NodataValue { value, tolerance } = nodata;
    let kind = info.bands.get(number - 1).map_or("", |band| band.pixel_type.as_str());
    // Rounded as the pixels are when they are read as f32.
    let (low, high) = ((value - tolerance) as f32, (value + tolerance) as f32);
    Nodata { low, high, ambiguous: nodata.could_be_data(kind, by_job) }
}

/// A window of a band, or of its mask: (row, column).
fn read<T: GdalType + Copy + Default>(
    dataset: &Dataset,
    number: usize,
    mask: bool,
    window: Window,
) -> gdal::errors::Result<Vec<T>> {
    let mut values = vec![T::default(); window.size().pixels()];
    let (start, size) = ((window.col as isize, window.row as isize), (window.width, window.height));
    let band = dataset.rasterband(number)?;
    let band = if mask { band.open_mask_band()? } else { band };
    band.read_into_slice(start, size, size, &mut values, None)?;
    Ok(values)
}
