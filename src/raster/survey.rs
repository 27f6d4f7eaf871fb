//! Checks before a run, on few pixels of a scene, whether missing data may be unmarked.
//!
//! A scene of up to [`WHOLE`] pixels is read as a whole. Of a larger one the coarsest overview of at least [`LEAST`]
//! pixels is read, and without overviews some small windows, spread evenly from edge to edge.

#![expect(clippy::indexing_slicing, reason = "pixels of planes of one size")]

use super::band_reader::{BandReader, RawPixels};
use crate::error::Result;
use crate::geom::{Size, Window};
use crate::location::is_remote;
use crate::scene::{MaskRequest, NodataValue, SceneInfo, range};

const WHOLE: usize = 1 << 20;
const LEAST: usize = 1 << 16;
/// Windows along each side of a scene that is read in parts, for local and for remote files, and their side in pixels.
const SPOTS: usize = 8;
const REMOTE_SPOTS: usize = 4;
const SIDE: usize = 32;
/// Smallest share of the pixels for a note.
const SHARE: f64 = 0.02;
/// How far lossy compression may change a collar's values.
const LOSSY: f32 = 8.0;

/// The result of a survey.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Survey {
    /// Notes: whole sentences.
    pub notes: Vec<String>,
    /// None of the sampled pixels is valid.
    pub empty: bool,
}

/// Samples a scene's pixels in the selected bands.
///
/// # Errors
/// Missing bands, or pixels that cannot be read.
pub fn survey(info: &SceneInfo, bands: [usize; 3]) -> Result<Survey> {
    let source = BandReader::open(info, bands, None)?;
    let seen = Sampled::of(&source, info)?;
    let valid = seen.valid.iter().filter(|valid| **valid).count();
    let mut survey = Survey { notes: Vec::new(), empty: valid == 0 };
    if survey.empty {
        return Ok(survey);
    }
    // No note where the job says what marks missing data.
    if info.access.mask == MaskRequest::default() {
        survey.notes.extend(seen.collar(info, bands));
    }
    survey.notes.extend(seen.constant(info, bands, valid));
    Ok(survey)
}

/// A scene reduced to few pixels.
struct Sampled {
    size: Size,
    /// (channel, row, column)
    values: Vec<f32>,
    valid: Vec<bool>,
    /// Whether these are all of the scene's pixels.
    all: bool,
}

impl Sampled {
    fn of(source: &BandReader, info: &SceneInfo) -> Result<Self> {
        if source.size.pixels() <= WHOLE {
            return Self::read(source, &[vec![source.size.window()]], true);
        }
        let overview = source.overviews().iter().rposition(|size| (LEAST..=4 * WHOLE).contains(&size.pixels()));
        if let Some(index) = overview {
            let source = BandReader::open(info, source.bands, Some(index))?;
            return Self::read(&source, &[vec![source.size.window()]], false);
        }
        let spots_per_side = if info.files().iter().any(|file| is_remote(file)) { REMOTE_SPOTS } else { SPOTS };
        Self::read(source, &spots(source.size, spots_per_side, SIDE), false)
    }

    /// Joins windows, those of a row side by side.
    fn read(source: &BandReader, windows: &[Vec<Window>], all: bool) -> Result<Self> {
        let width = windows.first().map_or(0, |row| row.iter().map(|window| window.width).sum());
        let height = windows.iter().filter_map(|row| row.first()).map(|window| window.height).sum();
        let size = Size::new(width, height);
        let mut seen = Self { size, values: vec![0.0; 3 * size.pixels()], valid: vec![true; size.pixels()], all };
        let mut top = 0;
        for row in windows {
            let mut left = 0;
            for window in row {
                let RawPixels { values, valid } = source.raw(*window)?;
                let pixels = window.size().pixels();
                for at in 0..pixels {
                    let to = (top + at / window.width) * width + left + at % window.width;
                    seen.valid[to] = valid.as_ref().is_none_or(|valid| valid[at]);
                    for channel in 0..3 {
                        seen.values[channel * size.pixels() + to] = values[channel * pixels + at];
                    }
                }
                left += window.width;
            }
            top += row.first().map_or(0, |window| window.height);
        }
        Ok(seen)
    }

    fn pixel(&self, at: usize) -> [f32; 3] {
        [0, 1, 2].map(|channel| self.values[channel * self.size.pixels() + at])
    }

    /// A note on a border region of one value, as around scenes that are rotated in their file.
    fn collar(&self, info: &SceneInfo, bands: [usize; 3]) -> Option<String> {
        let kind = info.bands.get(bands[0].wrapping_sub(1)).map_or("", |band| band.pixel_type.as_str());
        let top = range(kind).filter(|_| !kind.starts_with("Int")).map(|(_, high)| high as f32);
        let tolerance = if info.access.lossy.is_some() { LOSSY } else { 0.0 };
        let mut candidates = vec![0.0];
        candidates.extend(top);
        // Values such as -9999, if they fill a corner.
        let Size { width, height } = self.size;
        let corners = [0, width - 1, (height - 1) * width, height * width - 1].map(|at| self.pixel(at)[0]);
        candidates.extend(corners.into_iter().filter(|value| *value < 0.0 && value.is_finite()));
        let regions = candidates.into_iter().map(|value| (value, self.region(value, tolerance)));
        let (value, (region, exact)) = regions.max_by_key(|(_, (region, _))| *region)?;
        let share = region as f64 / self.size.pixels() as f64;
        if share < SHARE || exact * 2 < region {
            return None;
        }
        let name = info.path.display();
        let about = if self.all { "" } else { "about " };
        let percent = share * 100.0;
        let shown = NodataValue { value: f64::from(value), tolerance: 0.0 };
        Some(if tolerance == 0.0 {
            format!(
                "{about}{percent:.1} % of the pixels of {name}, in a region along its border, are exactly {shown} in all selected bands and count as data. If they are nodata, set `nodata: {shown}` (--nodata {shown})."
            )
        } else {
            format!(
                "{about}{percent:.1} % of the pixels of {name}, in a region along its border, are {shown} in all selected bands, or near it as after lossy compression, and count as data. If they are nodata, set `nodata: {{value: {shown}, tolerance: {tolerance}}}` (--nodata {shown}~{tolerance})."
            )
        })
    }

    /// How many valid pixels have about this value in all bands and are connected to the border by such pixels; and how
    /// many of them have exactly this value.
    fn region(&self, value: f32, tolerance: f32) -> (usize, usize) {
        let Size { width, height } = self.size;
        let near = |at: usize| self.valid[at] && self.pixel(at).iter().all(|pixel| (pixel - value).abs() <= tolerance);
        let mut reached = vec![false; self.size.pixels()];
        let mut waiting = Vec::new();
        let on_border = (0..width)
            .flat_map(|col| [col, (height - 1) * width + col])
            .chain((0..height).flat_map(|row| [row * width, row * width + width - 1]));
        for at in on_border {
            if !reached[at] && near(at) {
                reached[at] = true;
                waiting.push(at);
            }
        }
        let (mut count, mut exact) = (0, 0);
        while let Some(at) = waiting.pop() {
            count += 1;
            exact += usize::from(self.pixel(at) == [value; 3]);
            let (col, row) = (at % width, at / width);
            let neighbours = [
                (col > 0).then(|| at - 1),
                (col + 1 < width).then_some(at + 1),
                (row > 0).then(|| at - width),
                (row + 1 < height).then_some(at + width),
            ];
            for next in neighbours.into_iter().flatten() {
                if !reached[next] && near(next) {
                    reached[next] = true;
                    waiting.push(next);
                }
            }
        }
        (count, exact)
    }

    /// A note on bands of a single value in all valid pixels.
    fn constant(&self, info: &SceneInfo, bands: [usize; 3], valid: usize) -> Option<String> {
        if valid < 2 {
            return None;
        }
        let mut found: Vec<(usize, f32)> = Vec::new();
        for (channel, number) in bands.into_iter().enumerate() {
            let plane = &self.values[channel * self.size.pixels()..][..self.size.pixels()];
            let mut known = plane.iter().zip(&self.valid).filter(|(_, valid)| **valid).map(|(value, _)| *value);
            let first = known.next()?;
            if known.all(|value| value == first) && !found.iter().any(|(known, _)| *known == number) {
                found.push((number, first));
            }
        }
        if found.is_empty() {
            return None;
        }
        let listed: Vec<String> =
            found.iter().map(|(number, value)| format!("the value {value} in band {number}")).collect();
        let everywhere = if self.all { "in every pixel" } else { "in every pixel that was sampled" };
        Some(format!(
            "{} has {} {everywhere}: the model cannot see anything there. Check `bands`.",
            info.path.display(),
            listed.join(", ")
        ))
    }
}

/// Windows spread evenly over a scene from edge to edge, in rows: `count` along each side, `side` pixels wide and high.
pub(super) fn spots(scene: Size, count: usize, side: usize) -> Vec<Vec<Window>> {
    let places = |length: usize| -> Vec<(usize, usize)> {
        if length <= count * side {
            return vec![(0, length)];
        }
        (0..count).map(|index| ((length - side) * index / (count - 1).max(1), side)).collect()
    };
    let cols = places(scene.width);
    let row = |(row, height): (usize, usize)| -> Vec<Window> {
        cols.iter().map(|&(col, width)| Window { col, row, width, height }).collect()
    };
    places(scene.height).into_iter().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::super::find;
    use super::super::test_scenes::{make, plane};
    use super::*;
    use crate::scene::SceneRequest;

    fn noise(col: usize, row: usize, band: usize) -> usize {
        20 + (col * 7919 + row * 104_729 + band * 31) % 199
    }

    fn notes(name: &str, mask: MaskRequest) -> Survey {
        let info = find(&SceneRequest { mask, ..SceneRequest::file(name) }).unwrap().remove(0);
        survey(&info, [1, 2, 3]).unwrap()
    }

    fn said(name: &str) -> String {
        notes(name, MaskRequest::default()).notes.join("\n")
    }

    #[test]
    fn collar_without_nodata_value_is_noted() {
        // Of 560 × 448 pixels the left half: 125,440.
        let size = Size::new(560, 448);
        let deep = |value: u16| {
            [1, 2, 3]
                .map(|band| plane(size, |col, row| if col < 280 { value } else { 40 * noise(col, row, band) as u16 }))
        };
        make("/vsimem/collar16.tif", size, &deep(0), &[], |_| {});
        let note = said("/vsimem/collar16.tif");
        assert!(note.starts_with("50.0 % of the pixels of /vsimem/collar16.tif, in a region"), "{note}");
        assert!(note.contains("are exactly 0 in all selected bands") && note.contains("`nodata: 0`"), "{note}");
        make("/vsimem/white16.tif", size, &deep(65_535), &[], |_| {});
        assert!(said("/vsimem/white16.tif").contains("are exactly 65535"));
        let zero = MaskRequest { nodata: Some(NodataValue { value: 0.0, tolerance: 0.0 }), ..MaskRequest::default() };
        assert_eq!(notes("/vsimem/collar16.tif", zero), Survey::default());

        // Black, white and -9999 in a corner of a sixteenth; a hole inside, and one dark band, are no collar.
        let corner = |col: usize, row: usize| col < 140 && row < 112;
        for value in [0u8, 255] {
            let planes = [1, 2, 3]
                .map(|band| plane(size, |col, row| if corner(col, row) { value } else { noise(col, row, band) as u8 }));
            make("/vsimem/corner8.tif", size, &planes, &[], |_| {});
            assert!(said("/vsimem/corner8.tif").starts_with("6.2 % of the pixels"), "{value}");
        }
        let planes = [1, 2, 3]
            .map(|band| plane(size, |col, row| if corner(col, row) { -9999.0 } else { noise(col, row, band) as f32 }));
        make("/vsimem/corner32.tif", size, &planes, &[], |_| {});
        assert!(said("/vsimem/corner32.tif").contains("`nodata: -9999`"));
        let hole = |col: usize, row: usize| (100..300).contains(&col) && (100..300).contains(&row);
        let planes = [1, 2, 3].map(|band| {
            plane(
                size,
                |col, row| if hole(col, row) || (band == 1 && col < 280) { 0 } else { noise(col, row, band) as u8 },
            )
        });
        make("/vsimem/hole8.tif", size, &planes, &[], |_| {});
        assert_eq!(said("/vsimem/hole8.tif"), "");
    }

    #[test]
    fn large_scene_is_sampled() {
        // A diagonal collar of half the scene, in tiles and in strips, without overviews and with them.
        let size = Size::new(2400, 1800);
        let planes = [1, 2, 3]
            .map(|band| plane(size, |col, row| if 4 * row > 3 * col { 0 } else { noise(col, row, band) as u8 }));
        for options in [["TILED=YES"], ["BLOCKYSIZE=1"]] {
            make("/vsimem/large.tif", size, &planes, &options, |_| {});
            let note = said("/vsimem/large.tif");
            let percent: f64 = note.trim_start_matches("about ").split(' ').next().unwrap().parse().unwrap();
            assert!(note.starts_with("about ") && (40.0..60.0).contains(&percent), "{note}");
        }
        let mut dataset = gdal::Dataset::open_ex(
            "/vsimem/large.tif",
            gdal::DatasetOptions { open_flags: gdal::GdalOpenFlags::GDAL_OF_UPDATE, ..Default::default() },
        )
        .unwrap();
        dataset.build_overviews("NEAREST", &[2, 4], &[]).unwrap();
        dataset.close().unwrap();
        let note = said("/vsimem/large.tif");
        assert!(note.starts_with("about 50.") || note.starts_with("about 49."), "{note}");
        gdal::vsi::unlink_mem_file("/vsimem/large.tif").unwrap();
    }

    #[test]
    fn constant_bands_and_empty_scenes_are_noted() {
        let size = Size::new(40, 30);
        let planes = [plane(size, |col, row| noise(col, row, 1) as u8), vec![77; 1200], vec![5; 1200]];
        make("/vsimem/constant.tif", size, &planes, &[], |_| {});
        let note = said("/vsimem/constant.tif");
        assert!(note.contains("the value 77 in band 2, the value 5 in band 3 in every pixel"), "{note}");
        make("/vsimem/no_data.tif", size, &[vec![f32::NAN; 1200], vec![1.0; 1200], vec![2.0; 1200]], &[], |_| {});
        assert_eq!(notes("/vsimem/no_data.tif", MaskRequest::default()), Survey { notes: Vec::new(), empty: true });
    }

    #[test]
    fn spots_span_the_scene_without_overlap() {
        for (width, height) in [(5000, 9), (257, 1000), (30_000, 30_000), (256, 3000)] {
            let windows = spots(Size::new(width, height), 8, 32);
            assert!(windows.iter().flatten().all(|it| it.cols().end <= width && it.rows().end <= height));
            assert!(windows[0].windows(2).all(|pair| pair[0].cols().end <= pair[1].col));
            assert_eq!(windows.last().unwrap().last().unwrap().cols().end, width);
            assert_eq!(windows.last().unwrap()[0].rows().end, height);
        }
    }
}
