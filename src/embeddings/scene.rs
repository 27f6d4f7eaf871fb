//! A scene of a store: which of its chunks are there, and their content.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::arrays::Arrays;
use super::card::{ModelCard, SceneCard};
use super::chunk::{Chunk, ChunkIndex, Precision, RawValues, Values};
use super::folder::{LocalFiles, StoreFiles};
use super::zarr::{create_metadata, damaged, group, read_metadata};
use crate::error::{Context, Error, Result};
use crate::geom::{Grid, Window};

/// A scene in a store, complete or not.
pub struct SceneStore {
    folder: PathBuf,
    card: SceneCard,
    grid: Grid,
    width: usize,
    precision: Precision,
    arrays: Arrays,
}

impl SceneStore {
    /// Opens the scene in `folder`; `None`: there is none.
    pub(super) fn open(
        folder: &Path,
        files: &Arc<dyn StoreFiles>,
        model: &ModelCard,
        precision: Precision,
    ) -> Result<Option<Self>> {
        let Some(metadata) = read_metadata(folder, files.as_ref())? else { return Ok(None) };
        let broken = || damaged(&folder.join("zarr.json"));
        let attributes = metadata.get("attributes").ok_or_else(broken)?;
        let card: SceneCard =
            serde_json::from_value(attributes.clone()).map_err(|cause| broken().with_source(cause))?;
        card.check(model, precision).map_err(|cause| broken().with_source(cause))?;
        let scene = Self::new(folder, files, card, model, precision);
        scene.arrays.check()?;
        Ok(Some(scene))
    }

    /// Makes the scene in `folder`, or opens it where another process has made it.
    pub(super) fn create(folder: &Path, card: SceneCard, model: &ModelCard, precision: Precision) -> Result<Self> {
        card.check(model, precision).input(|| format!("cannot embed {}", card.path))?;
        let attributes = serde_json::to_value(&card).internal(|| "a scene cannot be described as JSON".into())?;
        let files: Arc<dyn StoreFiles> = Arc::new(LocalFiles);
        let scene = Self::new(folder, &files, card, model, precision);
        if scene.chunks().any(|index| scene.has(index)) {
            // Chunks of which nobody knows how they were computed.
            return Err(Error::input(format!("{} is missing", folder.join("zarr.json").display()))
                .with_hint("Make the scene again with `segearth embed … --overwrite`."));
        }
        create_metadata(folder, &group(attributes))?;
        scene.arrays.create()?;
        Self::open(folder, &files, model, precision)?.ok_or_else(|| damaged(&folder.join("zarr.json")))
    }

    fn new(
        folder: &Path,
        files: &Arc<dyn StoreFiles>,
        card: SceneCard,
        model: &ModelCard,
        precision: Precision,
    ) -> Self {
        let arrays = Arrays::new(folder, files, &card, model, precision);
        Self { folder: folder.to_owned(), grid: card.grid(), card, width: model.width, precision, arrays }
    }

    pub fn card(&self) -> &SceneCard {
        &self.card
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The windows.
    pub fn grid(&self) -> &Grid {
        &self.grid
    }

    /// All chunks, row by row.
    pub fn chunks(&self) -> impl Iterator<Item = ChunkIndex> + use<> {
        let numbers = self.grid.col_starts().len().div_ceil(self.card.chunk);
        (0..self.grid.row_starts().len())
            .flat_map(move |row| (0..numbers).map(move |number| ChunkIndex { row, number }))
    }

    /// The chunks with windows that reach `region`.
    pub fn chunks_reaching(&self, region: Window) -> Vec<ChunkIndex> {
        let mut chunks: Vec<ChunkIndex> =
            self.grid.reaching(region).filter_map(|window| self.place(window)).map(|(index, _)| index).collect();
        chunks.dedup();
        chunks
    }

    /// The chunks that have not been written.
    pub fn missing(&self) -> impl Iterator<Item = ChunkIndex> {
        self.chunks().filter(|index| !self.has(*index))
    }

    /// Whether a chunk is there, whole or damaged. Where a storage cannot list its files, each is taken to be there until it is read.
    pub fn has(&self, index: ChunkIndex) -> bool {
        self.arrays.has(index)
    }

    pub fn is_complete(&self) -> bool {
        self.missing().next().is_none()
    }

    /// The columns of a chunk in the grid of windows.
    pub fn columns(&self, index: ChunkIndex) -> Range<usize> {
        let first = index.number * self.card.chunk;
        first..(first + self.card.chunk).min(self.grid.col_starts().len())
    }

    /// The windows of a chunk, from left to right.
    pub fn windows(&self, index: ChunkIndex) -> Vec<Window> {
        let Some(&row) = self.grid.row_starts().get(index.row) else { return Vec::new() };
        let size = self.grid.window();
        let starts = self.grid.col_starts().get(self.columns(index)).unwrap_or_default();
        starts.iter().map(|&col| Window { col, row, width: size.width, height: size.height }).collect()
    }

    /// The chunk of a window, and its place there; `None`: it is not one of the scene's.
    pub fn place(&self, window: Window) -> Option<(ChunkIndex, usize)> {
        let row = self.grid.row_starts().binary_search(&window.row).ok()?;
        let col = self.grid.col_starts().binary_search(&window.col).ok()?;
        (window.size() == self.grid.window())
            .then_some((ChunkIndex { row, number: col / self.card.chunk }, col % self.card.chunk))
    }

    /// Writes the windows of a chunk, from left to right: tokens (1 + patch, D); `None` for windows without data.
    ///
    /// # Errors
    /// The chunk cannot be written; it is then not there.
    pub fn write(&self, index: ChunkIndex, windows: &[Option<&[f32]>]) -> Result<()> {
        let numbers = self.card.tokens() * self.width;
        let fits = windows.len() == self.columns(index).len() && windows.iter().flatten().all(|it| it.len() == numbers);
        if !fits {
            return Err(Error::internal(format!("{} windows do not fit the chunk {index:?}", windows.len())));
        }
        let mut windows = windows.to_vec();
        windows.resize(self.card.chunk, None);
        self.arrays.write(index, &Values::of(&windows, numbers, self.width, self.precision))
    }

    /// Reads a chunk.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read(&self, index: ChunkIndex) -> Result<Chunk> {
        let columns = self.columns(index);
        Ok(Chunk {
            index,
            first: columns.start,
            windows: columns.len(),
            tokens: self.card.tokens(),
            width: self.width,
            values: self.arrays.read(index)?,
        })
    }

    /// Reads a chunk as its file holds it.
    ///
    /// # Errors
    /// It is missing or damaged.
    pub fn read_raw(&self, index: ChunkIndex) -> Result<RawValues> {
        self.arrays.read_raw(index)
    }

    /// Reads all chunks one after another, of which one is in memory at a time.
    ///
    /// # Errors
    /// One is missing or damaged, or `look` fails.
    pub fn for_each_chunk(&self, mut look: impl FnMut(&Chunk) -> Result<()>) -> Result<()> {
        self.chunks().try_for_each(|index| look(&self.read(index)?))
    }

    /// Bytes of the chunks' numbers when the scene is complete.
    pub fn bytes(&self) -> usize {
        let scale = if self.precision == Precision::Int8 { size_of::<f32>() } else { 0 };
        let token = self.width * self.precision.bytes() + scale;
        self.chunks().count() * self.card.chunk * self.card.tokens() * token
    }
}
