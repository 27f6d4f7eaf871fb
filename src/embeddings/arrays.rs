//! The arrays of a scene: tokens, and scales where tokens are int8.

use std::path::Path;
use std::sync::Arc;

use half::f16;
use serde_json::Map;

use super::card::{ModelCard, SceneCard};
use super::chunk::{ChunkIndex, Precision, RawValues, Values};
use super::folder::StoreFiles;
use super::zarr::ZarrArray;
use crate::error::{Error, Result};

const AXES: [&str; 4] = ["window_row", "window_column", "token", "feature"];

/// The arrays of a scene.
pub(super) struct Arrays {
    tokens: ZarrArray,
    /// Of int8 tokens.
    scales: Option<ZarrArray>,
    precision: Precision,
}

impl Arrays {
    /// The arrays of a scene in `folder`, whether they are there or not.
    pub fn new(
        folder: &Path,
        files: &Arc<dyn StoreFiles>,
        card: &SceneCard,
        model: &ModelCard,
        precision: Precision,
    ) -> Self {
        let grid = card.grid();
        let shape = [grid.row_starts().len(), grid.col_starts().len(), card.tokens(), model.width];
        let chunk = [1, card.chunk, card.tokens(), model.width];
        let array = match precision {
            Precision::Float32 => ZarrArray::new::<f32, 4>,
            Precision::Float16 => ZarrArray::new::<f16, 4>,
            Precision::Int8 => ZarrArray::new::<i8, 4>,
        };
        let tokens = array(folder.join("tokens"), shape, chunk, AXES, Map::new()).read_from(files);
        let first = |sides: [usize; 4]| {
            let [row, column, token, _] = sides;
            [row, column, token]
        };
        let [row, column, token, _] = AXES;
        let axes = [row, column, token];
        let scales = || {
            ZarrArray::new::<f32, 3>(folder.join("scales"), first(shape), first(chunk), axes, Map::new())
                .read_from(files)
        };
        Self { tokens, scales: (precision == Precision::Int8).then(scales), precision }
    }

    fn all(&self) -> impl Iterator<Item = &ZarrArray> {
        std::iter::once(&self.tokens).chain(&self.scales)
    }

    /// Writes the metadata of arrays that have none yet.
    pub fn create(&self) -> Result<()> {
        self.all().try_for_each(ZarrArray::create)
    }

    /// Checks the metadata of the arrays.
    ///
    /// # Errors
    /// There is none, or it describes other arrays than the scene's.
    pub fn check(&self) -> Result<()> {
        self.all().try_for_each(ZarrArray::check)
    }

    /// Whether a chunk is there, whole or damaged.
    pub fn has(&self, index: ChunkIndex) -> bool {
        let scales = self.scales.as_ref().is_none_or(|scales| scales.has(&of_scales(index)));
        scales && self.tokens.has(&of_tokens(index))
    }

    pub fn write(&self, index: ChunkIndex, values: &Values) -> Result<()> {
        let at = of_tokens(index);
        match (values, &self.scales) {
            (Values::Float32(values), _) => self.tokens.write(&at, values),
            (Values::Float16(values), _) => self.tokens.write(&at, values),
            (Values::Int8 { values, scales }, Some(to)) => {
                to.write(&of_scales(index), scales)?;
                self.tokens.write(&at, values)
            }
            (Values::Int8 { .. }, None) => Err(Error::internal("int8 tokens without an array of scales")),
        }
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read(&self, index: ChunkIndex) -> Result<Values> {
        let at = of_tokens(index);
        Ok(match (self.precision, &self.scales) {
            (Precision::Int8, Some(scales)) => {
                Values::Int8 { values: self.tokens.read(&at)?, scales: scales.read(&of_scales(index))? }
            }
            (Precision::Float16, _) => Values::Float16(self.tokens.read(&at)?),
            _ => Values::Float32(self.tokens.read(&at)?),
        })
    }
}

impl Arrays {
    /// Reads a chunk as its file holds it.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read_raw(&self, index: ChunkIndex) -> Result<RawValues> {
        let scales = self.scales.as_ref().map(|scales| scales.read(&of_scales(index))).transpose()?;
        Ok(RawValues { bytes: self.tokens.read_bytes(&of_tokens(index))?, precision: self.precision, scales })
    }
}

fn of_tokens(ChunkIndex { row, number }: ChunkIndex) -> [usize; 4] {
    [row, number, 0, 0]
}

fn of_scales(ChunkIndex { row, number }: ChunkIndex) -> [usize; 3] {
    [row, number, 0]
}
