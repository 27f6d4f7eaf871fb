//! The tokens of windows that are read row by row: the chunk of the last window stays in memory.

use super::chunk::Chunk;
use super::scene::SceneStore;
use crate::error::{Error, Result};
use crate::geom::Window;

/// Reads the tokens of a scene's windows.
pub struct TokenReader<'a> {
    scene: &'a SceneStore,
    chunk: Option<Chunk>,
}

impl<'a> TokenReader<'a> {
    pub fn new(scene: &'a SceneStore) -> Self {
        Self { scene, chunk: None }
    }

    /// Appends the tokens of a window, (1 + patch, D).
    ///
    /// # Errors
    /// The chunk is missing or damaged, or the store holds the window as one without data.
    pub fn append(&mut self, window: Window, to: &mut Vec<f32>) -> Result<()> {
        let (index, at) =
            self.scene.place(window).ok_or_else(|| Error::internal(format!("the store has no window {window}")))?;
        let chunk = match self.chunk.take().filter(|chunk| chunk.index == index) {
            Some(chunk) => chunk,
            None => self.scene.read(index)?,
        };
        let chunk = self.chunk.insert(chunk);
        if !chunk.holds(at) {
            return Err(Error::input(format!(
                "{} holds no tokens of the window {window}, in which the scene has data",
                self.scene.folder().display()
            ))
            .with_hint("Make the store again: `segearth embed … --overwrite`."));
        }
        chunk.append(at, to);
        Ok(())
    }
}
