//! What a store says of its model and of each scene: attributes of Zarr groups, checked before anything is made of their numbers.

use serde::{Deserialize, Serialize};

use super::chunk::Precision;
use crate::error::{Error, Result};
use crate::geom::{Grid, MAX_WINDOW, Size, Window};
use crate::journal::Fingerprint;

/// The layout of stores that this program writes and reads.
pub(super) const FORMAT: u32 = 1;

/// Bytes that a chunk is to have, before its windows are rounded down.
const CHUNK_BYTES: usize = 2 << 20;
/// Most bytes of a chunk: that of one window of the largest size.
const MOST_CHUNK_BYTES: usize = 1 << 30;
/// Most windows along a side of a scene.
const MOST_WINDOWS: usize = 1 << 20;
/// Longest side of a scene, in pixels.
const LONGEST_SIDE: usize = 1 << 24;

/// The model of a store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelCard {
    /// For people.
    pub name: String,
    /// SHA-256 of the file of the image tower.
    pub sha256: String,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Width of a token (D).
    pub width: usize,
}

/// Attributes of the root group.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoreCard {
    pub segearth_embeddings: u32,
    pub model: ModelCard,
    pub precision: Precision,
}

/// Rows above a window and columns left of it that fill it up to whole patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Padding {
    pub above: usize,
    pub left: usize,
}

/// A scene in a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SceneCard {
    /// The name of the scene's file.
    pub name: String,
    /// The path that was embedded.
    pub path: String,
    /// Width of the scene as the model saw it, in pixels.
    pub width: usize,
    /// Height of the scene as the model saw it, in pixels.
    pub height: usize,
    /// GDAL's geotransform of these pixels.
    pub transform: Option<[f64; 6]>,
    /// The CRS as WKT.
    pub crs: Option<String>,
    /// Side of a window in pixels; a scene's shorter side shortens it.
    pub window: usize,
    /// Distance between windows in pixels.
    pub stride: usize,
    pub padding: Padding,
    /// Rows and columns of a window's patches.
    pub patches: [usize; 2],
    /// Windows in a chunk.
    pub chunk: usize,
    /// What decides the tokens: by name, as text.
    pub facts: Fingerprint,
    /// The keys of a job that gives these tokens.
    pub job: serde_json::Map<String, serde_json::Value>,
}

impl ModelCard {
    /// Refuses what no model can be.
    pub(super) fn check(&self) -> Result<()> {
        within("model.patch", self.patch, 1, 1024)?;
        within("model.width", self.width, 1, 1 << 16)
    }
}

impl SceneCard {
    /// Fills in what follows from size, window and stride: patches, padding and windows in a chunk.
    #[must_use]
    pub fn laid_out(mut self, model: &ModelCard, precision: Precision) -> Self {
        let window = self.grid().window();
        let patch = model.patch.max(1);
        let [rows, cols] = [window.height, window.width].map(|side| side.div_ceil(patch));
        self.patches = [rows, cols];
        // As `model::Padding`: half of what is missing, rounded down, above and on the left.
        self.padding = Padding { above: (rows * patch - window.height) / 2, left: (cols * patch - window.width) / 2 };
        let bytes = (rows * cols + 1) * model.width * precision.bytes();
        self.chunk = (CHUNK_BYTES / bytes.max(1)).clamp(1, self.grid().col_starts().len());
        self
    }

    /// The windows.
    pub fn grid(&self) -> Grid {
        Grid::new(Size::new(self.width, self.height), self.window, self.stride)
    }

    /// Tokens of a window: one for the whole, then the patches.
    pub fn tokens(&self) -> usize {
        let [rows, cols] = self.patches;
        1 + rows * cols
    }

    /// The scene's pixels that a patch of a window covers, cut to the window; `None`: the patch is padding. `patch`: 0 is the first
    /// after `[CLS]`.
    pub fn footprint(&self, window: Window, patch: usize, side: usize) -> Option<Window> {
        let [_, cols] = self.patches;
        let (row, col) = (patch / cols.max(1), patch % cols.max(1));
        let span = |start: usize, before: usize, index: usize, length: usize| {
            let [first, end] = [index * side, (index + 1) * side].map(|at| at.saturating_sub(before).min(length));
            (first < end).then_some((start + first, end - first))
        };
        let (row, height) = span(window.row, self.padding.above, row, window.height)?;
        let (col, width) = span(window.col, self.padding.left, col, window.width)?;
        Some(Window { col, row, width, height })
    }

    /// Refuses what no scene can be, before anything is made of these numbers.
    pub(super) fn check(&self, model: &ModelCard, precision: Precision) -> Result<()> {
        within("width", self.width, 1, LONGEST_SIDE)?;
        within("height", self.height, 1, LONGEST_SIDE)?;
        within("window", self.window, 1, MAX_WINDOW)?;
        within("stride", self.stride, 1, self.window)?;
        let most = self.width.max(self.height).div_ceil(self.stride);
        within("number of windows in a row or column", most, 1, MOST_WINDOWS)?;
        let expected = self.clone().laid_out(model, precision);
        if (self.patches, self.padding) != (expected.patches, expected.padding) {
            return Err(Error::input("patches and padding do not belong to the size of its windows"));
        }
        within("chunk", self.chunk, 1, self.grid().col_starts().len())?;
        let bytes = [self.tokens(), self.chunk, model.width, precision.bytes()];
        let bytes = bytes.into_iter().try_fold(1usize, |bytes, factor| bytes.checked_mul(factor));
        match bytes {
            Some(bytes) if bytes <= MOST_CHUNK_BYTES => Ok(()),
            _ => Err(Error::input(format!(
                "{} windows of {} tokens are too large for a chunk, of which at most {MOST_CHUNK_BYTES} bytes are possible",
                self.chunk,
                self.tokens()
            ))),
        }
    }
}

fn within(what: &str, value: usize, least: usize, most: usize) -> Result<()> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(Error::input(format!("its {what} is {value}; {least} to {most} are allowed")))
}
