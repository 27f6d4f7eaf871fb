//! Label rasters as they are stored: numbers or colours that stand for classes.

#![expect(clippy::indexing_slicing, reason = "the first band: what has none is not opened")]

use std::path::Path;

use gdal::Dataset;

use super::class_names::{self, Legend};
use super::input::Input;
use super::{ffi, metadata, open};
use crate::error::{Context, Error, Result};
use crate::geom::{Size, Window};
use crate::scene::{ClassNames, ColourRole, SceneInfo};

/// The code of a pixel without a label: nodata, transparent, or outside the raster.
pub const ABSENT: i64 = i64::MIN;

/// What the codes of a label raster are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    /// The values of its one band.
    Values,
    /// Colours as 0xRRGGBB.
    Colours,
}

/// A label raster open for reading, for evaluation, comparison and vectorising.
pub struct CodedRaster {
    input: Input,
    info: SceneInfo,
    coding: Coding,
    legend: Legend,
    /// Masks and nodata values count.
    masked: bool,
}

/// Largest integer up to which floating point represents every integer.
const LARGEST: f64 = 9_007_199_254_740_992.0;

impl CodedRaster {
    /// Opens one band of integers, or three of 8-bit colours; an alpha band may follow.
    pub fn open(path: &Path) -> Result<Self> {
        let dataset = open::open(path)?;
        let info = metadata::describe(&dataset, path)?;
        let count = info.bands.len();
        let alpha = info.bands.last().is_some_and(|band| band.role == ColourRole::Alpha);
        let coding = match (count, alpha) {
            (1, _) | (2, true) => Coding::Values,
            (3, false) | (4, true) => Coding::Colours,
            _ => {
                return Err(Error::input(format!(
                    "{} has {count} bands; a label raster has 1, or 3 of red, green and blue",
                    path.display()
                ))
                .with_hint("Extract one band first, for example with gdal_translate -b 1."));
            }
        };
        if coding == Coding::Colours
            && let Some(band) = info.bands.iter().find(|band| band.pixel_type != "Byte")
        {
            return Err(Error::input(format!(
                "{} has colours of type {}; label colours must be of type Byte",
                path.display(),
                band.pixel_type
            )));
        }
        if info.bands[0].pixel_type.starts_with('C') {
            return Err(Error::input(format!(
                "{} has pixels of type {}; labels must be integers",
                path.display(),
                info.bands[0].pixel_type
            )));
        }
        let legend = {
            let band = dataset.rasterband(1).input(|| format!("cannot open band 1 of {}", path.display()))?;
            // Rasters of colours have no names of values.
            if coding == Coding::Values { class_names::read(&dataset, &band, path) } else { Legend::default() }
        };
        Ok(Self { input: Input::of(dataset, path, &[], &[]), info, coding, legend, masked: true })
    }

    pub fn info(&self) -> &SceneInfo {
        &self.info
    }

    /// Reads what the file holds beside its pixels.
    ///
    /// # Errors
    /// It was closed after a failure and cannot be opened again.
    pub fn look<T>(&self, call: impl FnOnce(&Dataset) -> T) -> Result<T> {
        self.input.with_dataset(call)
    }

    pub fn coding(&self) -> Coding {
        self.coding
    }

    /// The names that the file gives its values.
    pub fn names(&self) -> &ClassNames {
        &self.legend.names
    }

    /// Notes on names that contradict each other.
    pub fn notes(&self) -> &[String] {
        &self.legend.notes
    }

    /// Red, green and blue of a value, where the file gives it a colour.
    pub fn colour(&self, value: i64) -> Option<[u8; 3]> {
        self.legend.colours.get(&value).copied()
    }

    /// From now on reads the colours of its values instead of the values; without effect where it has none.
    #[must_use]
    pub fn as_colours(mut self) -> Self {
        if !self.legend.colours.is_empty() {
            self.coding = Coding::Colours;
        }
        self
    }

    /// From now on reads every pixel as it is stored, whatever masks and nodata values say.
    #[must_use]
    pub fn unmasked(mut self) -> Self {
        self.masked = false;
        self
    }

    /// Rows and columns of the blocks in which the file is stored.
    pub fn block(&self) -> Size {
        let size =
            self.look(|dataset| dataset.rasterband(1).map_or((1, 1), |band| band.block_size())).unwrap_or((1, 1));
        Size::new(size.0.max(1), size.1.max(1))
    }

    /// Whether all values are from 0 to 65,534 by their type and nodata value alone, whatever the pixels.
    pub fn is_small(&self) -> bool {
        let band = &self.info.bands[0];
        band.pixel_type == "Byte" || band.pixel_type == "UInt16" && band.nodata == Some(f64::from(u16::MAX))
    }

    /// Drops the decoded blocks that GDAL caches, for a file that is read once from top to bottom.
    pub fn drop_blocks(&self) {
        // A file that is not open has no cached blocks.
        let _ = self.look(ffi::drop_blocks);
    }

    /// The codes of a window inside the raster, (row, column); [`ABSENT`] where a pixel has none.
    ///
    /// Fails for numbers that are no integers, and where the file cannot be read.
    pub fn read(&self, window: Window) -> Result<Vec<i64>> {
        let mut codes = if self.info.bands.len() >= 3 {
            let [red, green, blue] = [self.plane(1, window)?, self.plane(2, window)?, self.plane(3, window)?];
            let pixels = red.iter().zip(&green).zip(&blue);
            pixels.map(|((red, green), blue)| rgb([*red as u8, *green as u8, *blue as u8])).collect()
        } else {
            Vec::new()
        };
        // Validity comes first: masked pixels may hold anything.
        let valid = self.valid(window)?;
        if codes.is_empty() {
            codes = self.whole_numbers(window, valid.as_deref())?;
        }
        for (code, valid) in codes.iter_mut().zip(valid.unwrap_or_default()) {
            if !valid {
                *code = ABSENT;
            }
        }
        Ok(codes)
    }

    /// The values of a window of a raster that [`is_small`](Self::is_small), as [`read`](Self::read) gives them but in less
    /// memory; `absent` where a pixel has none.
    pub fn read_small(&self, window: Window, labels: &mut [u16], absent: u16) -> Result<()> {
        let size = (window.width, window.height);
        self.input
            .read(|dataset| {
                let band = dataset.rasterband(1)?;
                band.read_into_slice((window.col as isize, window.row as isize), size, size, labels, None)
            })
            .input(|| format!("cannot read {window} of {}", self.info.path.display()))
            .map_err(|error| error.with_hint(CUT_SHORT))?;
        for (label, valid) in labels.iter_mut().zip(self.valid(window)?.unwrap_or_default()) {
            if !valid {
                *label = absent;
            }
        }
        Ok(())
    }

    fn whole_numbers(&self, window: Window, valid: Option<&[bool]>) -> Result<Vec<i64>> {
        let values = self.plane(1, window)?;
        let mut codes = Vec::with_capacity(values.len());
        for (index, value) in values.into_iter().enumerate() {
            let there = valid.is_none_or(|valid| valid.get(index).copied().unwrap_or(true));
            // Floating point rasters mark missing pixels by NaN.
            let value = if value.is_nan() || !there {
                ABSENT
            } else if value.fract() == 0.0 && value.abs() < LARGEST {
                value as i64
            } else {
                let (col, row) = (window.col + index % window.width, window.row + index / window.width);
                return Err(Error::input(format!(
                    "{} has the value {value:?} at column {col}, row {row}; labels must be integers",
                    self.info.path.display()
                ))
                .with_hint("This is not a label raster, or it was resampled other than by nearest neighbour."));
            };
            let coded = match self.coding {
                Coding::Colours if value != ABSENT => self.colour(value).map_or(ABSENT, rgb),
                _ => value,
            };
            codes.push(coded);
        }
        Ok(codes)
    }

    /// The pixels that are valid by GDAL's masks, of three colour bands by any; `None`: all.
    fn valid(&self, window: Window) -> Result<Option<Vec<bool>>> {
        if !self.masked {
            return Ok(None);
        }
        let bands = if self.info.bands.len() >= 3 { 3 } else { 1 };
        let mut valid: Option<Vec<bool>> = None;
        for number in 1..=bands {
            let mask = self.input.read(|dataset| {
                let band = dataset.rasterband(number)?;
                if band.mask_flags()?.is_all_valid() {
                    return Ok(None);
                }
                let size = (window.width, window.height);
                band.open_mask_band()?
                    .read_as::<u8>((window.col as isize, window.row as isize), size, size, None)
                    .map(Some)
            });
            let mask = mask.input(|| format!("cannot read the mask of {} in {window}", self.info.path.display()))?;
            let Some(mask) = mask else { return Ok(None) };
            let valid = valid.get_or_insert_with(|| vec![false; window.size().pixels()]);
            valid.iter_mut().zip(mask.data()).for_each(|(valid, mask)| *valid |= *mask != 0);
        }
        Ok(valid)
    }

    fn plane(&self, band: usize, window: Window) -> Result<Vec<f64>> {
        let size = (window.width, window.height);
        self.input
            .read(|dataset| {
                dataset.rasterband(band)?.read_as::<f64>((window.col as isize, window.row as isize), size, size, None)
            })
            .map(|buffer| buffer.data().to_vec())
            .input(|| format!("cannot read {window} of {}", self.info.path.display()))
            .map_err(|error| error.with_hint(CUT_SHORT))
    }
}

const CUT_SHORT: &str = "The file may be truncated: copy or download it again.";

fn rgb(colour: [u8; 3]) -> i64 {
    let [red, green, blue] = colour.map(i64::from);
    red << 16 | green << 8 | blue
}

#[cfg(test)]
mod tests {
    use gdal::raster::{ColorEntry, ColorTable, PaletteInterpretation};

    use super::super::test_scenes::{make, plane};
    use super::*;

    const SIZE: Size = Size { width: 5, height: 4 };

    fn all(path: &str) -> Result<Vec<i64>> {
        CodedRaster::open(path.as_ref())?.read(SIZE.window())
    }

    #[test]
    fn values_keep_their_sign_and_nodata_is_absent() {
        let name = "/vsimem/coded_values.tif";
        make(name, SIZE, &[plane(SIZE, |col, _| col as i16 - 1)], &[], |dataset| {
            dataset.rasterband(1).unwrap().set_no_data_value(Some(2.0)).unwrap();
        });
        assert_eq!(all(name).unwrap()[..5], [-1, 0, 1, ABSENT, 3]);
    }

    #[test]
    fn floating_point_labels_must_be_integers() {
        let name = "/vsimem/coded_floats.tif";
        make(name, SIZE, &[plane(SIZE, |col, _| if col == 1 { f32::NAN } else { col as f32 })], &[], |_| {});
        assert_eq!(all(name).unwrap()[..3], [0, ABSENT, 2]);
        make(name, SIZE, &[plane(SIZE, |col, row| (col + 5 * row) as f32 / 8.0)], &[], |_| {});
        let message = all(name).unwrap_err().to_string();
        assert!(message.contains("0.125 at column 1, row 0"), "{message}");
    }

    #[test]
    fn colours_come_from_three_bands_or_a_colour_table() {
        let bands = [1usize, 2, 3].map(|band| plane(SIZE, |col, _| (col * 10 * band) as u8));
        let name = "/vsimem/coded_colours.tif";
        make(name, SIZE, &bands, &[], |_| {});
        assert_eq!(all(name).unwrap()[..3], [0, 0x0A141E, 0x14283C]);

        let name = "/vsimem/coded_palette.tif";
        make(name, SIZE, &[plane(SIZE, |col, _| col as u8)], &[], |dataset| {
            let mut table = ColorTable::new(PaletteInterpretation::Rgba);
            table.set_color_entry(1, &ColorEntry::rgba(0x3C, 0x10, 0x98, 255));
            dataset.rasterband(1).unwrap().set_color_table(&table);
        });
        assert_eq!(all(name).unwrap()[..2], [0, 1]);
        let colours = CodedRaster::open(name.as_ref()).unwrap().as_colours();
        assert_eq!(colours.coding(), Coding::Colours);
        assert_eq!(colours.read(SIZE.window()).unwrap()[1], 0x3C1098);
    }

    #[test]
    fn other_rasters_are_refused() {
        let name = "/vsimem/coded_five.tif";
        make(name, SIZE, &vec![plane(SIZE, |_, _| 0u8); 5], &[], |_| {});
        let message = all(name).unwrap_err().to_string();
        assert!(message.contains("has 5 bands"), "{message}");
        make(name, SIZE, &vec![plane(SIZE, |_, _| 0u16); 3], &[], |_| {});
        assert!(all(name).unwrap_err().to_string().contains("UInt16"));
        assert!(all("/vsimem/coded_absent.tif").is_err());
    }
}
