//! Which pixels of a scene hold data: nodata values, mask bands, alpha, NaN.

#![expect(clippy::indexing_slicing, reason = "the three channels, and pixels of planes of one size")]

use std::path::Path;

use gdal::Dataset;
use gdal::raster::{GdalDataType, RasterBand};

use super::messages;
use crate::error::{Context, Result};
use crate::geom::Window;
use crate::scene::{ColourRole, SceneInfo};

/// The rules by which the pixels of three chosen bands are valid, settled once per scene.
pub(super) struct Validity {
    nodata: [Option<Nodata>; 3],
    masks: Vec<Mask>,
}

#[derive(Clone, Copy, PartialEq)]
struct Nodata {
    value: f32,
    /// The value may also be a dark or saturated pixel of one band: 0, or the largest value of an unsigned type.
    ambiguous: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Mask {
    /// GDAL's mask of this band.
    Of(usize),
    /// A band of the scene that is above zero where there is data.
    Alpha(usize),
}

impl Validity {
    pub(super) fn new(dataset: &Dataset, info: &SceneInfo, bands: [usize; 3]) -> Result<Self> {
        let mut nodata = [None; 3];
        let mut masks = Vec::new();
        for (channel, number) in bands.into_iter().enumerate() {
            let band = messages::attempt(|| dataset.rasterband(number))
                .input(|| format!("cannot open band {number} of {}", info.path.display()))?;
            let flags = messages::attempt(|| band.mask_flags())
                .input(|| format!("cannot read the mask of band {number} of {}", info.path.display()))?;
            let mask = if flags.is_all_valid() {
                None
            } else if flags.is_nodata() && !flags.is_per_dataset() {
                nodata[channel] = nodata_rule(&band, info.bands.get(number - 1).and_then(|band| band.nodata));
                None
            } else if flags.is_per_dataset() {
                // One mask for all bands: reading it once is enough.
                Some(masks.iter().copied().find(|mask| matches!(mask, Mask::Of(_))).unwrap_or(Mask::Of(number)))
            } else {
                Some(Mask::Of(number))
            };
            masks.extend(mask.filter(|mask| !masks.contains(mask)));
        }
        // GDAL derives a mask from alpha only for two and four bands; with more of them we look ourselves.
        if masks.is_empty()
            && let Some(alpha) = info.bands.iter().position(|band| band.role == ColourRole::Alpha)
            && !bands.contains(&(alpha + 1))
        {
            masks.push(Mask::Alpha(alpha + 1));
        }
        Ok(Self { nodata, masks })
    }

    /// Which pixels of a window are valid, `raw` being its three bands as stored; `None` when all are.
    ///
    /// A pixel is invalid where one of the bands is not finite or holds its nodata value, or a mask says so. Where a
    /// nodata value could be data as well (0, or the top of an unsigned type) all three bands must hold theirs.
    pub(super) fn of(&self, dataset: &Dataset, path: &Path, window: Window, raw: &[f32]) -> Result<Option<Vec<bool>>> {
        let pixels = window.size().pixels();
        let mut valid = vec![true; pixels];
        let mut weak = [0u8; 3];
        for (channel, (band, rule)) in raw.chunks_exact(pixels).zip(self.nodata).enumerate() {
            weak[channel] = u8::from(rule.is_some_and(|rule| rule.ambiguous));
            match rule {
                Some(Nodata { value, ambiguous: false }) => {
                    valid
                        .iter_mut()
                        .zip(band)
                        .for_each(|(valid, &pixel)| *valid &= pixel.is_finite() && pixel != value);
                }
                _ => valid.iter_mut().zip(band).for_each(|(valid, &pixel)| *valid &= pixel.is_finite()),
            }
        }
        if let [Some(red), Some(green), Some(blue)] = self.nodata
            && weak == [1; 3]
        {
            let (reds, rest) = raw.split_at(pixels);
            let (greens, blues) = rest.split_at(pixels);
            for (index, valid) in valid.iter_mut().enumerate() {
                *valid &= reds[index] != red.value || greens[index] != green.value || blues[index] != blue.value;
            }
        }
        for &mask in &self.masks {
            let mask = read_mask(dataset, mask, window)
                .input(|| format!("cannot read the mask of {} at {window}", path.display()))?;
            valid.iter_mut().zip(mask).for_each(|(valid, mask)| *valid &= mask > 0);
        }
        Ok((!valid.iter().all(|&valid| valid)).then_some(valid))
    }
}

fn nodata_rule(band: &RasterBand<'_>, nodata: Option<f64>) -> Option<Nodata> {
    let nodata = nodata?;
    let top = match band.band_type() {
        GdalDataType::UInt8 => Some(f64::from(u8::MAX)),
        GdalDataType::UInt16 => Some(f64::from(u16::MAX)),
        GdalDataType::UInt32 => Some(f64::from(u32::MAX)),
        _ => None,
    };
    // The same rounding as that of the pixels on their way into f32.
    Some(Nodata { value: nodata as f32, ambiguous: nodata == 0.0 || Some(nodata) == top })
}

fn read_mask(dataset: &Dataset, mask: Mask, window: Window) -> Result<Vec<u8>, messages::Cause> {
    let mut values = vec![0u8; window.size().pixels()];
    let (start, size) = ((window.col as isize, window.row as isize), (window.width, window.height));
    messages::attempt(|| match mask {
        Mask::Of(number) => {
            let band = dataset.rasterband(number)?;
            band.open_mask_band()?.read_into_slice(start, size, size, &mut values, None)
        }
        Mask::Alpha(number) => dataset.rasterband(number)?.read_into_slice(start, size, size, &mut values, None),
    })?;
    Ok(values)
}
