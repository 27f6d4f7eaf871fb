//! Score rasters: values between 0 and 1 for each class, or derived ones.

use std::path::Path;

use gdal::Metadata;

use super::blocks::BlockRows;
use super::pyramid;
use super::style::Style;
use super::target::{Form, Target};
use crate::error::{Error, Result};
use crate::geom::Size;
use crate::scene::{Georeference, RasterLayout, ScoreType, qml};

/// The nodata value of float score rasters: NaN.
pub const SCORE_NODATA: f32 = f32::NAN;

/// Most bytes of gathered rows; the height of blocks is reduced to keep this.
const GATHERED: usize = 64 << 20;

/// The byte for a score of 1; 255 is nodata.
const BYTE_OF_ONE: f32 = 254.0;

/// Writes scores row by row; the file has its name only after [`finish`](Self::finish).
///
/// A tiled GeoTIFF or a COG, band-interleaved, with a named band for each score: float32 with [`SCORE_NODATA`], or
/// bytes with nodata 255 and a band scale of 1/254. Overviews are means. A QGIS style beside it shows the first band in a colour
/// ramp from 0 to 1.
pub struct ScoreWriter {
    target: Target,
    rows: Rows,
    style: Style,
}

enum Rows {
    F32(BlockRows<f32>),
    U8(BlockRows<u8>),
}

impl ScoreWriter {
    /// Creates the file under a hidden name beside `path`, a band for each of `names`; `tags` become its metadata.
    ///
    /// Fails with [`Kind::Input`](crate::error::Kind::Input) where it cannot be written.
    pub fn create(
        path: &Path,
        size: Size,
        georeference: Option<&Georeference>,
        names: &[&str],
        kind: ScoreType,
        layout: RasterLayout,
        tags: &[(String, String)],
    ) -> Result<Self> {
        if names.is_empty() {
            return Err(Error::internal("scores of no class cannot be written"));
        }
        let (bytes, predictor) = match kind {
            ScoreType::F32 => (size_of::<f32>(), 3),
            ScoreType::U8 => (size_of::<u8>(), 2),
        };
        let block = block(size.width, names.len() * bytes);
        let form = Form {
            size,
            bands: names.len(),
            georeference,
            layout,
            block,
            are_colours: false,
            bits: None,
            predictor: Some(predictor),
            resampling: "AVERAGE",
            tags,
        };
        let (mut target, nodata) = match kind {
            ScoreType::F32 => (Target::create::<f32>(path, &form)?, f64::from(SCORE_NODATA)),
            ScoreType::U8 => (Target::create::<u8>(path, &form)?, f64::from(u8::MAX)),
        };
        target.attempt("name the bands of", |dataset| {
            dataset.rasterband(1)?.set_no_data_value(Some(nodata))?;
            for (index, name) in names.iter().enumerate() {
                let mut band = dataset.rasterband(index + 1)?;
                band.set_description(name)?;
                if kind == ScoreType::U8 {
                    band.set_scale(1.0 / f64::from(BYTE_OF_ONE))?;
                    band.set_offset(0.0)?;
                }
            }
            Ok(())
        })?;
        let rows = match kind {
            ScoreType::F32 => Rows::F32(BlockRows::new(&target, block, SCORE_NODATA)),
            ScoreType::U8 => Rows::U8(BlockRows::new(&target, block, u8::MAX)),
        };
        let style = Style::create(path, &qml::scores())?;
        Ok(Self { target, rows, style })
    }

    /// Writes whole rows of scores, (band, row, column); rows come in order, from `first_row` on.
    pub fn write_rows(&mut self, first_row: usize, scores: &[f32]) -> Result<()> {
        match &mut self.rows {
            Rows::F32(rows) => rows.push(&mut self.target, first_row, scores),
            Rows::U8(rows) => {
                let bytes: Vec<u8> = scores.iter().map(|&score| score_to_byte(score)).collect();
                rows.push(&mut self.target, first_row, &bytes)
            }
        }
    }

    /// Completes the file and gives it its name. Fails where rows are missing or the disk is full.
    pub fn finish(mut self) -> Result<()> {
        match &self.rows {
            Rows::F32(rows) => rows.check_complete()?,
            Rows::U8(rows) => rows.check_complete()?,
        }
        if self.target.layout().overviews {
            match self.rows {
                Rows::F32(_) => pyramid::build(&mut self.target, SCORE_NODATA, pyramid::mean)?,
                Rows::U8(_) => pyramid::build(&mut self.target, u8::MAX, pyramid::mean_of_bytes)?,
            }
        }
        self.target.finish(|_| Ok(()), |_| Ok(true))?;
        self.style.commit()
    }
}

/// The byte of a score 0..=1, in steps of 1/254; NaN becomes 255.
pub fn score_to_byte(score: f32) -> u8 {
    // Clamped to 0..=254 before the cast.
    if score.is_nan() { u8::MAX } else { (score.clamp(0.0, 1.0) * BYTE_OF_ONE).round() as u8 }
}

/// The score of a byte; [`score_to_byte`] gives the byte again.
pub fn score_from_byte(byte: u8) -> f32 {
    if byte == u8::MAX { SCORE_NODATA } else { f32::from(byte) / BYTE_OF_ONE }
}

/// Blocks of 256 × 256; lower ones (at least 16 rows, TIFF's minimum) where a row of blocks would take much memory.
fn block(width: usize, bytes: usize) -> Size {
    let row = width * bytes;
    let fitting = GATHERED / row.max(1) / 16 * 16;
    Size::new(256, fitting.clamp(16, 256))
}

#[cfg(test)]
mod tests {
    use gdal::Dataset;

    use super::super::test_scenes::{classes, georeference};
    use super::*;
    use crate::scene::ClassInfo;

    fn create(
        path: &Path,
        size: Size,
        place: Option<&Georeference>,
        classes: &[ClassInfo],
        kind: ScoreType,
    ) -> ScoreWriter {
        let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
        ScoreWriter::create(path, size, place, &names, kind, RasterLayout::default(), &[]).unwrap()
    }

    #[test]
    fn scores_read_back_with_named_bands() {
        let folder = tempfile::tempdir().unwrap();
        let (size, classes) = (Size::new(300, 270), classes(5));
        let value = |class: usize, col: usize, row: usize| {
            if (col + row).is_multiple_of(17) {
                SCORE_NODATA
            } else {
                ((class * 7919 + col * 31 + row * 17) % 1009) as f32 / 1009.0
            }
        };
        let rows = |first: usize, count: usize| -> Vec<f32> {
            let mut rows = Vec::new();
            for class in 0..5 {
                for row in first..first + count {
                    rows.extend((0..size.width).map(|col| value(class, col, row)));
                }
            }
            rows
        };
        let georeference = georeference([10.0, 0.001, 0.0, 50.0, 0.0, -0.001], 4326);
        let mut files = Vec::new();
        for chunk in [270, 1, 37] {
            let path = folder.path().join(format!("{chunk}.tif"));
            let mut writer = create(&path, size, Some(&georeference), &classes, ScoreType::F32);
            for first in (0..size.height).step_by(chunk) {
                writer.write_rows(first, &rows(first, chunk.min(size.height - first))).unwrap();
            }
            writer.finish().unwrap();
            files.push(std::fs::read(&path).unwrap());
            let dataset = Dataset::open(&path).unwrap();
            for (index, class) in classes.iter().enumerate() {
                let band = dataset.rasterband(index + 1).unwrap();
                assert_eq!(band.description().unwrap(), class.name);
                assert!(band.no_data_value().unwrap().is_nan());
                let found = band.read_band_as::<f32>().unwrap();
                let found = found.data().iter().map(|value| value.to_bits());
                let expected = (0..size.pixels()).map(|at| value(index, at % size.width, at / size.width).to_bits());
                assert!(found.eq(expected));
            }
        }
        assert!(files[0] == files[1] && files[0] == files[2], "the bytes depend on the chunks");
    }

    #[test]
    fn bytes_are_steps_of_one_254th() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bytes.tif");
        let size = Size::new(6, 1);
        let mut writer = create(&path, size, None, &classes(1), ScoreType::U8);
        writer.write_rows(0, &[0.0, 0.5, 1.0, 1.5, SCORE_NODATA, 0.003]).unwrap();
        writer.finish().unwrap();
        let dataset = Dataset::open(&path).unwrap();
        let band = dataset.rasterband(1).unwrap();
        assert_eq!(band.read_band_as::<u8>().unwrap().data(), [0, 127, 254, 254, 255, 1]);
        assert_eq!((band.no_data_value(), band.scale()), (Some(255.0), Some(1.0 / 254.0)));
    }

    #[test]
    fn overviews_of_scores_are_means() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("overviews.tif");
        let size = Size::new(601, 300);
        let mut writer = create(&path, size, None, &classes(2), ScoreType::F32);
        let scores: Vec<f32> = (0..2 * size.pixels()).map(|index| (index % size.width) as f32 / 1000.0).collect();
        writer.write_rows(0, &scores).unwrap();
        writer.finish().unwrap();
        let dataset = Dataset::open(&path).unwrap();
        let overview = dataset.rasterband(2).unwrap().overview(1).unwrap();
        assert_eq!(overview.size(), (151, 75));
        let values = overview.read_band_as::<f32>().unwrap();
        assert!((values.data()[10] - 0.0415).abs() < 1e-6 && values.data()[150] == 0.6, "{:?}", values.data());
    }

    #[test]
    fn blocks_of_wide_scenes_are_low() {
        assert_eq!(block(1000, 7 * 4), Size::new(256, 256));
        assert_eq!(block(30_000, 14 * 4), Size::new(256, 32));
        assert_eq!(block(1_000_000, 1000 * 4), Size::new(256, 16));
    }
}
