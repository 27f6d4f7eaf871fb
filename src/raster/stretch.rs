//! The stretch of a scene's values to 0..=255, computed once per scene from its valid pixels.

#![expect(clippy::indexing_slicing, reason = "the three channels")]

use std::fmt;

use super::band_reader::BandReader;
use super::sample::{self, Distribution};
use crate::error::{Error, Result};
use crate::scene::{SceneInfo, StretchMethod, StretchPlan, ValueRange, joins_bands};

/// A stretch with its values. `Display` is its form in reports and tags.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    method: StretchMethod,
    joint: bool,
    ranges: [ValueRange; 3],
    gamma: f64,
}

impl Stretch {
    /// The values of the red, green and blue band that become 0 and 255.
    ///
    /// With [`StretchMethod::Given`] they apply this stretch to another scene.
    pub fn ranges(&self) -> [ValueRange; 3] {
        self.ranges
    }

    /// The exponent on the stretched 0..=1 value.
    pub fn gamma(&self) -> f64 {
        self.gamma
    }

    /// See [`StretchPlan::joins_bands`].
    pub(super) fn joins_bands(&self) -> bool {
        joins_bands(&self.method, self.joint)
    }

    /// `None`: no pixel is valid, so there is nothing to compute it from.
    pub(super) fn compute(plan: &StretchPlan, source: &BandReader, info: &SceneInfo) -> Result<Option<Self>> {
        if !(plan.gamma > 0.0 && plan.gamma.is_finite()) {
            return Err(Error::input(format!("the stretch's gamma is {} and must be above 0", plan.gamma)));
        }
        let ranges = match plan.method {
            StretchMethod::None => [ValueRange { low: 0.0, high: 255.0 }; 3],
            StretchMethod::Given(ranges) => given(ranges)?,
            StretchMethod::Percentile { low, high } if !(0.0 <= low && low < high && high <= 100.0) => {
                return Err(Error::input(format!("the stretch's percentiles are {low} and {high}"))
                    .with_hint("Give two percentiles between 0 and 100, the lower one first."));
            }
            StretchMethod::MeanStd { k } if !(k > 0.0 && k.is_finite()) => {
                return Err(Error::input(format!(
                    "the stretch's number of standard deviations is {k} and must be above 0"
                )));
            }
            _ => match estimate(plan, source, info)? {
                Some(ranges) => ranges,
                None => return Ok(None),
            },
        };
        Ok(Some(Self { ranges, ..Self::without_pixels(plan) }))
    }

    /// The stretch of a scene without valid pixels.
    pub(super) fn without_pixels(plan: &StretchPlan) -> Self {
        let ranges = [ValueRange { low: 0.0, high: 255.0 }; 3];
        Self { method: plan.method.clone(), joint: plan.joint, ranges, gamma: plan.gamma }
    }

    /// Stretches one channel's values in place. NaN stays NaN.
    pub(super) fn apply(&self, channel: usize, values: &mut [f32]) {
        let ValueRange { low, high } = self.ranges[channel];
        if low == 0.0 && high == 255.0 {
            values.iter_mut().for_each(|value| *value = value.clamp(0.0, 255.0));
        } else if low < high {
            let scale = 255.0 / (high - low);
            values.iter_mut().for_each(|value| *value = ((f64::from(*value) - low) * scale).clamp(0.0, 255.0) as f32);
        } else {
            // A band of a single value: larger values are bright.
            values.iter_mut().for_each(|value| *value = if f64::from(*value) > low { 255.0 } else { 0.0 });
        }
        if self.gamma != 1.0 {
            let gamma = self.gamma as f32;
            values.iter_mut().for_each(|value| *value = 255.0 * (*value / 255.0).powf(gamma));
        }
    }
}

fn given(ranges: [ValueRange; 3]) -> Result<[ValueRange; 3]> {
    for (ValueRange { low, high }, channel) in ranges.iter().zip(["red", "green", "blue"]) {
        if !(low < high && low.is_finite() && high.is_finite()) {
            return Err(Error::input(format!("the stretch's values for {channel} are {low} and {high}"))
                .with_hint("Give two values for each band, first the one that becomes 0."));
        }
    }
    Ok(ranges)
}

fn estimate(plan: &StretchPlan, source: &BandReader, info: &SceneInfo) -> Result<Option<[ValueRange; 3]>> {
    let mut channels = sample::gather(source, info)?;
    if channels.iter().any(Distribution::is_empty) {
        return Ok(None);
    }
    let range = |values: &mut Distribution| {
        let (low, high) = match plan.method {
            StretchMethod::Percentile { low, high } => {
                let [low, high] = values.percentiles([low, high]);
                (low, high)
            }
            StretchMethod::MeanStd { k } => {
                let (mean, deviation) = values.mean_std();
                (mean - k * deviation, mean + k * deviation)
            }
            StretchMethod::MinMax | StretchMethod::None | StretchMethod::Given(_) => values.min_max(),
        };
        ValueRange { low, high }
    };
    if plan.joint {
        let mut all = Distribution::joined(channels);
        return Ok(Some([range(&mut all); 3]));
    }
    Ok(Some(channels.each_mut().map(range)))
}

impl fmt::Display for Stretch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.method {
            StretchMethod::None => f.write_str("none")?,
            StretchMethod::MinMax => f.write_str("minmax")?,
            StretchMethod::Percentile { low, high } => write!(f, "percentile {low} to {high}")?,
            StretchMethod::MeanStd { k } => write!(f, "mean ± {k} standard deviations")?,
            StretchMethod::Given(_) => f.write_str("given")?,
        }
        if self.method != StretchMethod::None {
            if self.joint {
                f.write_str(", joint")?;
            }
            f.write_str(":")?;
            for (ValueRange { low, high }, channel) in self.ranges.iter().zip(["red", "green", "blue"]) {
                write!(f, "{} {channel} {low} to {high}", if channel == "red" { "" } else { "," })?;
            }
        }
        if self.gamma != 1.0 {
            write!(f, "; gamma {}", self.gamma)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::test_scenes::{as_it_is, make, plane, stretched};
    use super::super::{SceneReader, inspect};
    use super::*;
    use crate::geom::Size;

    const WEDGE: f64 = 0.0;

    /// A 16-bit scene with a slanted edge of nodata; a skewed distribution, different in each band.
    fn wedge(path: &str, size: Size) -> [Vec<u16>; 3] {
        let planes = [1usize, 2, 3].map(|band| {
            plane(size, |col, row| {
                if col + row / 3 < size.width / 4 {
                    return 0;
                }
                let noise = (col * 7919 + row * 104_729 + band * 31) % 10_007;
                (300 * band + noise * noise / 20_000 * band) as u16
            })
        });
        make(path, size, &planes, &["TILED=YES"], |dataset| {
            for band in 1..=3 {
                dataset.rasterband(band).unwrap().set_no_data_value(Some(WEDGE)).unwrap();
            }
        });
        planes
    }

    /// NumPy's default percentile, by sorting everything.
    fn percentile(values: &[u16], percent: f64) -> f64 {
        let mut sorted: Vec<u16> = values.iter().copied().filter(|&value| value != 0).collect();
        sorted.sort_unstable();
        let rank = percent / 100.0 * (sorted.len() - 1) as f64;
        let (below, above) = (f64::from(sorted[rank.floor() as usize]), f64::from(sorted[rank.ceil() as usize]));
        below + (above - below) * rank.fract()
    }

    fn open(path: &str, plan: &StretchPlan) -> Result<SceneReader> {
        SceneReader::open(&inspect(path).unwrap(), [1, 2, 3], plan)
    }

    #[test]
    fn percentiles_come_from_valid_pixels_only() {
        let size = Size::new(700, 500);
        let planes = wedge("/vsimem/wedge.tif", size);
        let method = StretchMethod::Percentile { low: 2.0, high: 98.0 };
        let reader = open("/vsimem/wedge.tif", &stretched(method.clone())).unwrap();
        for (range, plane) in reader.stretch().ranges().iter().zip(&planes) {
            assert_eq!((range.low, range.high), (percentile(plane, 2.0), percentile(plane, 98.0)));
        }
        let joint = StretchPlan { method, joint: true, gamma: 1.0 };
        let all = planes.concat();
        let found = open("/vsimem/wedge.tif", &joint).unwrap().stretch().ranges();
        assert_eq!(found, [ValueRange { low: percentile(&all, 2.0), high: percentile(&all, 98.0) }; 3]);

        let tile = reader.read(size.window()).unwrap();
        let valid = tile.valid.unwrap();
        assert_eq!(
            valid.iter().filter(|valid| !**valid).count(),
            planes[0].iter().filter(|&&value| value == 0).count()
        );
        assert!(tile.rgb.iter().all(|value| (0.0..=255.0).contains(value)));
    }

    #[test]
    fn sampled_percentiles_are_exact_to_a_thousandth() {
        // More pixels than are kept for values that cannot be counted.
        let size = Size::new(3000, 2200);
        let value = |col: usize, row: usize| {
            let noise = ((col as u64) << 32 | row as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let noise = (noise ^ (noise >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40;
            if row < col / 10 {
                f32::NAN
            } else {
                100.0 + (noise as f32 / (1 << 24) as f32).powi(2) * 3000.0 + col as f32 / 10.0
            }
        };
        let values = plane(size, value);
        let mut valid: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
        make("/vsimem/floats.tif", size, &[values], &["TILED=YES"], |_| {});
        let plan = stretched(StretchMethod::Percentile { low: 2.0, high: 98.0 });
        let reader = SceneReader::open(&inspect("/vsimem/floats.tif").unwrap(), [1, 1, 1], &plan).unwrap();
        let range = reader.stretch().ranges()[0];
        for (found, percent) in [(range.low, 0.02), (range.high, 0.98)] {
            let rank = (percent * (valid.len() - 1) as f64).round() as usize;
            let exact = f64::from(*valid.select_nth_unstable_by(rank, f32::total_cmp).1);
            assert!((found / exact - 1.0).abs() < 1e-3, "{found} is not {exact}");
        }
        gdal::vsi::unlink_mem_file("/vsimem/floats.tif").unwrap();
    }

    #[test]
    fn extremes_deviations_given_values_and_gamma() {
        let size = Size::new(2, 2);
        make(
            "/vsimem/few.tif",
            size,
            &[vec![10u16, 20, 30, 40], vec![100, 100, 100, 100], vec![0, 0, 0, 1000]],
            &[],
            |_| {},
        );
        let values = |plan: &StretchPlan| open("/vsimem/few.tif", plan).unwrap().read(size.window()).unwrap().rgb;
        let extremes = values(&stretched(StretchMethod::MinMax));
        assert_eq!(extremes, [0.0, 85.0, 170.0, 255.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 255.0]);
        let deviations =
            open("/vsimem/few.tif", &stretched(StretchMethod::MeanStd { k: 2.0 })).unwrap().stretch().ranges();
        let deviation = 125f64.sqrt();
        assert!((deviations[0].low - (25.0 - 2.0 * deviation)).abs() < 1e-9);
        assert!((deviations[0].high - (25.0 + 2.0 * deviation)).abs() < 1e-9);
        let range = ValueRange { low: 0.0, high: 100.0 };
        let given = values(&StretchPlan { method: StretchMethod::Given([range; 3]), joint: false, gamma: 2.0 });
        assert!((given[1] - 0.04 * 255.0).abs() < 1e-4 && given[11] == 255.0, "{given:?}");
        assert_eq!(values(&as_it_is())[..5], [10.0, 20.0, 30.0, 40.0, 100.0]);
        assert_eq!(values(&as_it_is())[11], 255.0);
    }

    #[test]
    fn joint_stretch_converts_scales() {
        let size = Size::new(2, 1);
        // Reflectances of 0.1 and 0.3, 0.1 and 0.2, 0.2 and 0.3.
        make("/vsimem/scales.tif", size, &[vec![1000u16, 3000], vec![500, 1000], vec![3000, 4000]], &[], |dataset| {
            for (number, (scale, offset)) in (1..).zip([(1e-4, 0.0), (2e-4, 0.0), (1e-4, -0.1)]) {
                let mut band = dataset.rasterband(number).unwrap();
                band.set_scale(scale).unwrap();
                band.set_offset(offset).unwrap();
            }
        });
        let info = inspect("/vsimem/scales.tif").unwrap();
        let joint = StretchPlan { method: StretchMethod::MinMax, joint: true, gamma: 1.0 };
        let reader = SceneReader::open(&info, [1, 2, 3], &joint).unwrap();
        assert_eq!(reader.stretch().ranges(), [ValueRange { low: 1000.0, high: 3000.0 }; 3]);
        let expected = [0.0, 255.0, 0.0, 127.5, 127.5, 255.0];
        assert_eq!(reader.read(size.window()).unwrap().rgb, expected);
        let again = SceneReader::with_stretch(&info, [1, 2, 3], reader.stretch()).unwrap();
        assert_eq!(again.read(size.window()).unwrap().rgb, expected);
        assert_eq!(again.thumbnail(2).unwrap().rgb, [[0, 0, 128], [255, 128, 255]]);
        // Each for itself, the scale does not matter, and values are as stored.
        let each = StretchPlan { joint: false, ..joint };
        let reader = SceneReader::open(&info, [1, 2, 3], &each).unwrap();
        assert_eq!(
            reader.stretch().ranges().map(|range| (range.low, range.high)),
            [(1000.0, 3000.0), (500.0, 1000.0), (3000.0, 4000.0)]
        );
    }

    #[test]
    fn invalid_stretches_are_refused() {
        wedge("/vsimem/refused.tif", Size::new(20, 20));
        let refused = |plan: &StretchPlan| open("/vsimem/refused.tif", plan).err().map(|error| error.to_string());
        assert!(refused(&StretchPlan { method: StretchMethod::MinMax, joint: false, gamma: 0.0 }).is_some());
        assert!(refused(&stretched(StretchMethod::Percentile { low: 98.0, high: 2.0 })).is_some());
        assert!(refused(&stretched(StretchMethod::Percentile { low: f64::NAN, high: 2.0 })).is_some());
        assert!(refused(&stretched(StretchMethod::Given([ValueRange { low: 5.0, high: 5.0 }; 3]))).is_some());
        make("/vsimem/nothing.tif", Size::new(2, 2), &[vec![f32::NAN; 4]], &[], |_| {});
        let nothing =
            SceneReader::open(&inspect("/vsimem/nothing.tif").unwrap(), [1, 1, 1], &stretched(StretchMethod::MinMax));
        assert!(nothing.err().unwrap().to_string().contains("has no valid pixels"));
    }

    #[test]
    fn stretch_is_displayed_as_text() {
        let range = ValueRange { low: 1.5, high: 2000.0 };
        let stretch = Stretch {
            method: StretchMethod::Percentile { low: 2.0, high: 98.0 },
            joint: false,
            ranges: [range; 3],
            gamma: 0.8,
        };
        let text = "percentile 2 to 98: red 1.5 to 2000, green 1.5 to 2000, blue 1.5 to 2000; gamma 0.8";
        assert_eq!(stretch.to_string(), text);
    }
}
