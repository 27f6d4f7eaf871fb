//! Three bands of an open scene as they are stored, in windows, with their validity.

#![expect(clippy::indexing_slicing, reason = "bands that `open` has found in the file, and planes of a window")]

use std::collections::BTreeSet;
use std::path::PathBuf;

use gdal::{Dataset, Metadata};

use super::input::{Failure, Input};
use super::validity::Validity;
use crate::error::{Error, Result};
use crate::geom::{Size, Window};
use crate::scene::{Conversion, SceneInfo, conversions};

/// Windows of a remote virtual raster are not split below this size.
const SMALLEST_PART: Size = Size { width: 16, height: 16 };

/// Three bands of an open scene, or of one of its overviews, as they are stored.
pub(super) struct BandReader {
    input: Input,
    path: PathBuf,
    pub(super) bands: [usize; 3],
    validity: Validity,
    pub(super) size: Size,
    /// Whether the three bands hold integers of at most 16 bits.
    pub(super) small_integers: bool,
    /// Conversions from the stored values of each band to those of the first, where the bands are compared.
    conversions: Option<[Conversion; 3]>,
}

/// A window's pixels as stored: (channel, row, column), and which of them hold data.
pub(super) struct RawPixels {
    pub values: Vec<f32>,
    pub valid: Option<Vec<bool>>,
}

impl BandReader {
    /// Opens the full scene, or its overview of this index (0: the finest).
    pub(super) fn open(info: &SceneInfo, bands: [usize; 3], overview: Option<usize>) -> Result<Self> {
        check_bands(info, bands)?;
        let option = overview.map(|index| format!("OVERVIEW_LEVEL={index}"));
        let options: Vec<&str> = option.iter().map(String::as_str).collect();
        let input = Input::open(info.dataset(), &options, info.files())?;
        let size = input.size();
        if overview.is_none() && (size != info.native().0 || input.bands() != info.bands.len()) {
            return Err(Error::input(format!(
                "{} changed while it was in use: it was {} with {} bands and is {size} with {}",
                info.path.display(),
                info.native().0,
                info.bands.len(),
                input.bands()
            )));
        }
        let validity = Validity::new(&input, info, bands)?;
        let small = |number: usize| matches!(info.bands[number - 1].pixel_type.as_str(), "Byte" | "UInt16" | "Int16");
        let small_integers = bands.into_iter().all(small);
        Ok(Self { input, path: info.path.clone(), bands, validity, size, small_integers, conversions: None })
    }

    /// Opens the full scene; where the bands are stretched together, the values of all three are converted to the scale
    /// and offset of the first.
    pub(super) fn for_stretch(info: &SceneInfo, bands: [usize; 3], together: bool) -> Result<Self> {
        let mut source = Self::open(info, bands, None)?;
        if together {
            let bands: Vec<_> = bands.iter().filter_map(|number| info.bands.get(number - 1)).collect();
            source.conversions = conversions(&bands).and_then(|found| <[Conversion; 3]>::try_from(found).ok());
            source.small_integers &= source.conversions.is_none();
        }
        Ok(source)
    }

    /// The scene's overview of this index, with the same bands and conversions.
    pub(super) fn overview(&self, info: &SceneInfo, index: usize) -> Result<Self> {
        let small_integers = self.small_integers;
        Ok(Self { conversions: self.conversions, small_integers, ..Self::open(info, self.bands, Some(index))? })
    }

    /// Converts values, (channel, row, column), so that they can be compared.
    fn convert(&self, values: &mut [f32]) {
        let Some(conversions) = &self.conversions else { return };
        let pixels = values.len() / 3;
        for (plane, to) in values.chunks_exact_mut(pixels.max(1)).zip(conversions) {
            plane.iter_mut().for_each(|value| *value = to.apply(f64::from(*value)) as f32);
        }
    }

    /// Reads a window. Where a read over a network fails, it is split into smaller and smaller read_split, so that what has
    /// arrived is not requested again.
    pub(super) fn raw(&self, window: Window) -> Result<RawPixels> {
        let Size { width, height } = self.size;
        if window.size().pixels() == 0 || window.cols().end > width || window.rows().end > height {
            return Err(Error::internal(format!("{window} do not lie inside a scene of {}", self.size)));
        }
        let mut raw = self.part(window, window)?;
        self.convert(&mut raw.values);
        Ok(raw)
    }

    /// Reads a part of a window band by band, and splits it where that fails.
    fn part(&self, part: Window, window: Window) -> Result<RawPixels> {
        let pixels = part.size().pixels();
        let mut values = vec![0.0f32; 3 * pixels];
        for channel in 0..3 {
            let number = self.bands[channel];
            let (before, rest) = values.split_at_mut(channel * pixels);
            let plane = &mut rest[..pixels];
            if let Some(earlier) = self.bands[..channel].iter().position(|&earlier| earlier == number) {
                plane.copy_from_slice(&before[earlier * pixels..(earlier + 1) * pixels]);
                continue;
            }
            let (start, size) = ((part.col as isize, part.row as isize), (part.width, part.height));
            let read = |dataset: &Dataset| dataset.rasterband(number)?.read_into_slice(start, size, size, plane, None);
            if self
                .read_or_split(part, read)
                .map_err(|failure| self.read_error(Some(number), window, failure))?
                .is_none()
            {
                return self.read_split(part, window);
            }
        }
        let valid = self.read_or_split(part, |dataset| self.validity.of(dataset, part, &values));
        match valid.map_err(|failure| self.read_error(None, window, failure))? {
            Some(valid) => Ok(RawPixels { values, valid }),
            None => self.read_split(part, window),
        }
    }

    /// Calls GDAL, and retries where that may succeed; `None` where the call failed and the part can be split.
    fn read_or_split<T>(
        &self,
        part: Window,
        mut read: impl FnMut(&Dataset) -> gdal::errors::Result<T>,
    ) -> std::result::Result<Option<T>, Failure> {
        let mut tried = 1;
        loop {
            match self.input.attempt(&mut read) {
                Ok(value) => return Ok(Some(value)),
                Err(Failure::Read(cause)) => self.input.recover(cause, tried)?,
                Err(failure) => return Err(failure),
            }
            if self.split(part).is_some() {
                return Ok(None);
            }
            tried += 1;
        }
    }

    fn read_split(&self, part: Window, window: Window) -> Result<RawPixels> {
        let Some((first, second)) = self.split(part) else {
            return Err(Error::internal(format!("{part} of {window} cannot be cut")));
        };
        Ok(join(part, (first, self.part(first, window)?), (second, self.part(second, window)?)))
    }

    /// The error of a window of which a band, or the mask, cannot be read.
    fn read_error(&self, band: Option<usize>, window: Window, failure: Failure) -> Error {
        let path = self.path.display();
        let hint = match &failure {
            Failure::Read(cause) if matches!(cause.status, Some(401 | 403)) => {
                "The server denies access: sign the address again or set other credentials, then rerun the command; finished rows are kept."
            }
            _ if self.input.is_remote() => {
                "The server or the network failed: rerun the command later; finished rows are kept."
            }
            _ => "The file is damaged or incomplete there, or its storage failed: copy it again and rerun the command.",
        };
        Error::input(match band {
            Some(number) => format!("cannot read band {number} of {path} at {window}"),
            None => format!("cannot read the mask of {path} at {window}"),
        })
        .with_hint(hint)
        .with_source(failure)
    }

    /// A window split in two along the blocks of the file; `None` where it lies in one block, or the file is local.
    fn split(&self, window: Window) -> Option<(Window, Window)> {
        if !self.input.is_remote() {
            return None;
        }
        // The blocks behind a virtual raster are unknown.
        let block = if self.input.is_virtual() { SMALLEST_PART } else { self.block() };
        let cut = |start: usize, length: usize, block: usize| {
            let (first, last) = (start / block, (start + length - 1) / block);
            (first < last).then(|| (first + 1).max((first + last).div_ceil(2)) * block - start)
        };
        let Window { col, row, width, height } = window;
        if let Some(upper) = cut(row, height, block.height) {
            return Some((
                Window { height: upper, ..window },
                Window { row: row + upper, height: height - upper, ..window },
            ));
        }
        let left = cut(col, width, block.width)?;
        Some((Window { width: left, ..window }, Window { col: col + left, width: width - left, ..window }))
    }

    /// The sizes of the overviews, finest first.
    pub(super) fn overviews(&self) -> Vec<Size> {
        let sizes = |dataset: &Dataset| {
            let band = dataset.rasterband(self.bands[0])?;
            let count = usize::try_from(band.overview_count()?).unwrap_or(0);
            (0..count)
                .map(|index| band.overview(index).map(|overview| Size::new(overview.x_size(), overview.y_size())))
                .collect()
        };
        self.input.read(sizes).unwrap_or_default()
    }

    pub(super) fn strip_bytes(&self, rows: usize) -> Option<usize> {
        let block = self.block();
        if 2 * block.width <= self.size.width {
            return None;
        }
        let all_bands = 1..=self.input.bands();
        let bytes = |dataset: &Dataset| {
            let pixel = |number| Ok(dataset.rasterband(number)?.band_type().bits() as usize / 8);
            let by_pixel = dataset.metadata_item("INTERLEAVE", "IMAGE_STRUCTURE").is_some_and(|by| by == "PIXEL");
            // Of pixel-interleaved files GDAL caches all bands.
            let numbers: BTreeSet<usize> =
                if by_pixel { all_bands.clone().collect() } else { self.bands.into_iter().collect() };
            numbers.into_iter().map(pixel).sum::<gdal::errors::Result<usize>>()
        };
        let bytes = self.input.read(bytes).ok()? + self.validity.masks();
        let blocks = self.size.height.div_ceil(block.height).min(rows.saturating_sub(1).div_ceil(block.height) + 1);
        Some(blocks * block.height * self.size.width.div_ceil(block.width) * block.width * bytes)
    }

    /// The size of the blocks in which the file is stored.
    pub(super) fn block(&self) -> Size {
        let block = self.input.read(|dataset| Ok(dataset.rasterband(self.bands[0])?.block_size()));
        block.map_or(Size::new(256, 256), |(width, height)| Size::new(width.max(1), height.max(1)))
    }
}

/// Joins two read_split of a window.
fn join(window: Window, first: (Window, RawPixels), second: (Window, RawPixels)) -> RawPixels {
    let pixels = window.size().pixels();
    let mut values = vec![0.0; 3 * pixels];
    let mut valid = (first.1.valid.is_some() || second.1.valid.is_some()).then(|| vec![true; pixels]);
    for (part, raw) in [first, second] {
        let own = part.size().pixels();
        for row in 0..part.height {
            let from = row * part.width;
            let to = (part.row - window.row + row) * window.width + part.col - window.col;
            for channel in 0..3 {
                values[channel * pixels + to..][..part.width]
                    .copy_from_slice(&raw.values[channel * own + from..][..part.width]);
            }
            if let (Some(valid), Some(own)) = (&mut valid, &raw.valid) {
                valid[to..][..part.width].copy_from_slice(&own[from..][..part.width]);
            }
        }
    }
    RawPixels { values, valid }
}

fn check_bands(info: &SceneInfo, bands: [usize; 3]) -> Result<()> {
    let shown = info.path.display();
    let count = info.bands.len();
    for number in bands {
        let Some(band) = number.checked_sub(1).and_then(|index| info.bands.get(index)) else {
            let [red, green, blue] = bands;
            let has = if count == 1 { "1 band".to_owned() } else { format!("{count} bands") };
            let hint = match (count, info.bands.first().map(|band| band.role)) {
                (1, Some(crate::scene::ColourRole::Palette)) => {
                    "Its only band is an index into a palette: expand it to RGB first (gdal_translate -expand rgb)."
                        .to_owned()
                }
                (1, _) => "Use bands 1,1,1 to read the only band as grey.".to_owned(),
                _ => format!("Choose red, green and blue from bands 1 to {count}."),
            };
            return Err(Error::input(format!("{shown} has {has}; bands {red}, {green} and {blue} were requested"))
                .with_hint(hint));
        };
        if band.pixel_type.starts_with('C') {
            return Err(Error::input(format!("band {number} of {shown} holds complex numbers ({})", band.pixel_type))
                .with_hint("Convert it to real numbers first, for example to amplitudes."));
        }
    }
    Ok(())
}
