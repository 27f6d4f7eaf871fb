//! Any bands of a scene in physical values, on the grid that the scene is read on: for conditions on bands.

use std::sync::Arc;

use super::band_reader::{BandReader, RawPixels};
use super::resample::Resampler;
use crate::error::Result;
use crate::geom::{Coverage, Region, Window};
use crate::scene::{Scaling, SceneInfo};

/// Reads windows of some bands.
pub struct PhysicalReader {
    /// Three bands each; of the last one some may be taken twice.
    sources: Vec<BandReader>,
    /// Scale and offset of each band; `None`: values are as stored.
    scalings: Vec<Option<Scaling>>,
    resampler: Option<Resampler>,
    area: Option<Arc<Region>>,
}

impl PhysicalReader {
    /// Opens bands by their numbers, from 1. `native`: on the grid in which the scene is stored, without its area of interest.
    ///
    /// # Errors
    /// As [`SceneReader::open`](super::SceneReader::open), but a scene without valid pixels is opened.
    pub fn open(info: &SceneInfo, bands: &[usize], native: bool) -> Result<Self> {
        let source = |three: &[usize]| {
            let last = three.last().copied().unwrap_or(1);
            let of = |index: usize| three.get(index).copied().unwrap_or(last);
            BandReader::open(info, [of(0), of(1), of(2)], None)
        };
        let scaling = |number: &usize| {
            number.checked_sub(1).and_then(|index| info.bands.get(index)).and_then(|band| band.scaling)
        };
        Ok(Self {
            sources: bands.chunks(3).map(source).collect::<Result<_>>()?,
            scalings: bands.iter().map(scaling).collect(),
            resampler: info
                .access
                .native
                .as_ref()
                .filter(|_| !native)
                .map(|native| Resampler::new(native.size, native.scale)),
            area: info.access.area.clone().filter(|_| !native),
        })
    }

    /// The values of a window inside the scene, (band, row, column); NaN without data and outside the area of interest.
    pub fn read(&self, window: Window) -> Result<Vec<f32>> {
        let pixels = window.size().pixels();
        let wanted = match self.area.as_ref().map_or(Coverage::Everything, |area| area.coverage(window)) {
            Coverage::Nothing => return Ok(vec![f32::NAN; pixels * self.scalings.len()]),
            Coverage::Everything => None,
            Coverage::Part(wanted) => Some(wanted),
        };
        let mut all = Vec::with_capacity(pixels * self.scalings.len());
        for source in &self.sources {
            let RawPixels { values, valid } = match &self.resampler {
                None => source.raw(window)?,
                Some(resampler) => resampler.read(source, window)?,
            };
            for plane in values.chunks_exact(pixels.max(1)) {
                let Some(scaling) = self.scalings.get(all.len() / pixels.max(1)) else { break };
                all.extend(plane.iter().map(|value| match scaling {
                    Some(Scaling { scale, offset }) => (f64::from(*value) * scale + offset) as f32,
                    None => *value,
                }));
                let here = all.len() - pixels;
                for mask in valid.iter().chain(&wanted) {
                    let plane = all.get_mut(here..).unwrap_or_default();
                    plane.iter_mut().zip(mask).filter(|(_, valid)| !**valid).for_each(|(value, _)| *value = f32::NAN);
                }
            }
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::inspect;
    use super::super::test_scenes::{make, plane};
    use super::*;
    use crate::geom::Size;

    #[test]
    fn values_are_physical_and_nan_without_data() {
        let size = Size::new(3, 1);
        let bands: Vec<Vec<u16>> = (1..=5u16).map(|band| plane(size, |col, _| band * 100 + col as u16)).collect();
        make("/vsimem/physical.tif", size, &bands, &[], |dataset| {
            for number in 1..=5 {
                let mut band = dataset.rasterband(number).unwrap();
                band.set_no_data_value(Some(301.0)).unwrap();
                if number != 2 {
                    band.set_scale(0.5).unwrap();
                    band.set_offset(-10.0).unwrap();
                }
            }
        });
        let info = inspect("/vsimem/physical.tif").unwrap();
        let read = |bands: &[usize]| PhysicalReader::open(&info, bands, false).unwrap().read(size.window()).unwrap();
        let all = read(&[4, 3, 2, 1]);
        assert_eq!((all[0], all[2]), (190.0, 191.0));
        assert_eq!((all[3], all[5]), (140.0, 141.0));
        assert!(all[4].is_nan(), "{all:?}");
        assert_eq!(all.len(), 12);
        assert_eq!(all[9], 40.0);
        assert_eq!(read(&[2])[0], 200.0, "without scale and offset as stored");
    }
}
