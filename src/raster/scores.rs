//! Class scores: one band a class.

use std::path::Path;

use gdal::Metadata;

use super::blocks::BlockRows;
use super::target::Target;
use crate::error::{Error, Result};
use crate::geom::Size;
use crate::scene::{ClassInfo, Georeference};

/// What stands in score rasters where there is no data: not a number.
pub const SCORE_NODATA: f32 = f32::NAN;

/// Bytes of gathered rows; a row of blocks is made lower until it keeps to this.
const GATHERED: usize = 64 << 20;

/// Writes class scores row by row; the file has its name only after [`finish`](Self::finish).
///
/// A tiled GeoTIFF of float32 (deflate with the floating-point predictor), planes apart, a band a class with the class's
/// name as its description; [`SCORE_NODATA`] where there is no data.
pub struct ScoreWriter {
    target: Target,
    rows: BlockRows<f32>,
}

impl ScoreWriter {
    /// Makes the file under a hidden name beside `path`; `tags` become its metadata.
    ///
    /// Fails with [`Kind::Input`](crate::error::Kind::Input) where it cannot be written.
    pub fn create(
        path: &Path,
        size: Size,
        georeference: Option<&Georeference>,
        classes: &[ClassInfo],
        tags: &[(String, String)],
    ) -> Result<Self> {
        if classes.is_empty() {
            return Err(Error::internal("scores of no class cannot be written"));
        }
        let block = block(size.width, classes.len());
        let mut options = vec![format!("BLOCKXSIZE={}", block.width), format!("BLOCKYSIZE={}", block.height)];
        options.extend(["PREDICTOR=3", "ZLEVEL=3", "INTERLEAVE=BAND"].map(str::to_owned));
        let mut target = Target::create::<f32>(path, size, classes.len(), georeference, &options, tags)?;
        target.attempt("name the bands of", |dataset| {
            dataset.rasterband(1)?.set_no_data_value(Some(f64::from(SCORE_NODATA)))?;
            for (index, class) in classes.iter().enumerate() {
                dataset.rasterband(index + 1)?.set_description(&class.name)?;
            }
            Ok(())
        })?;
        let rows = BlockRows::new(&target, block, SCORE_NODATA);
        Ok(Self { target, rows })
    }

    /// Writes whole rows of scores, (class, row, column); rows come in order, from `first_row` on.
    pub fn write_rows(&mut self, first_row: usize, scores: &[f32]) -> Result<()> {
        self.rows.push(&mut self.target, first_row, scores)
    }

    /// Completes the file and gives it its name. Fails where rows are missing or the disk is full.
    pub fn finish(self) -> Result<()> {
        self.rows.check_complete()?;
        self.target.finish(|_| Ok(true))
    }
}

/// Blocks of 256 × 256, lower ones (but 16 rows at least, TIFF's least) where a row of them would take much memory.
fn block(width: usize, classes: usize) -> Size {
    let row = width * classes * size_of::<f32>();
    let fitting = GATHERED / row.max(1) / 16 * 16;
    Size::new(256, fitting.clamp(16, 256))
}

#[cfg(test)]
mod tests {
    use gdal::Dataset;

    use super::super::test_scenes::{classes, georeference};
    use super::*;

    #[test]
    fn scores_come_back_with_a_named_band_a_class() {
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
        for portion in [270, 1, 37] {
            let path = folder.path().join(format!("{portion}.tif"));
            let mut writer = ScoreWriter::create(&path, size, Some(&georeference), &classes, &[]).unwrap();
            for first in (0..size.height).step_by(portion) {
                writer.write_rows(first, &rows(first, portion.min(size.height - first))).unwrap();
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
        assert!(files[0] == files[1] && files[0] == files[2], "the bytes depend on the portions");
    }

    #[test]
    fn blocks_are_low_where_rows_are_long() {
        assert_eq!(block(1000, 7), Size::new(256, 256));
        assert_eq!(block(30_000, 14), Size::new(256, 32));
        assert_eq!(block(1_000_000, 1000), Size::new(256, 16));
    }
}
