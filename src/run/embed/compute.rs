//! Chunks of a store that are missing: one thread reads windows, one owns the image tower, one writes.

use std::sync::mpsc::sync_channel;
use std::thread;

use super::super::watch::Watch;
use crate::embeddings::{ChunkIndex, SceneStore};
use crate::error::{Error, Kind, Result};
use crate::model::torch::TorchPatchEncoder;
use crate::model::{Images, Normalisation, Padding, normalise};
use crate::raster::SceneReader;

/// Groups of chunks that may wait between two threads.
const QUEUE: usize = 1;

/// Reads, or has read, some chunks: which of their windows hold data.
struct Group {
    chunks: Vec<(ChunkIndex, Vec<bool>)>,
    images: Images,
}

impl Group {
    /// Windows with and without data.
    fn windows(&self) -> usize {
        self.chunks.iter().map(|(_, holds)| holds.len()).sum()
    }
}

/// The image tower, and what it expects.
pub struct Tower {
    pub encoder: TorchPatchEncoder,
    pub normalisation: Normalisation,
    /// Side of a patch in pixels.
    pub patch: usize,
    /// D
    pub width: usize,
}

impl Tower {
    /// Tokens of images, (image, 1 + patch, D); with less memory, of some at a time.
    fn tokens(&mut self, images: &Images) -> Result<Vec<f32>> {
        let tokens = match self.encoder.encode(images, self.patch, self.width) {
            Err(error) if error.kind() == Kind::OutOfMemory && images.count > 1 => {
                let half = images.count / 2;
                let mut first = self.tokens(&images.part(0, half))?;
                first.extend(self.tokens(&images.part(half, images.count - half))?);
                return Ok(first);
            }
            tokens => tokens?,
        };
        match tokens.iter().all(|value| value.is_finite()) {
            true => Ok(tokens),
            false => Err(Error::input("the outputs of the image tower are not finite numbers")
                .with_hint("Half precision can overflow: import the model with --precision fp32 or bf16.")),
        }
    }
}

/// Computes and writes chunks. Returns the number of windows with data.
///
/// # Errors
/// The first failure stops all threads; [`Kind::Stopped`] where a signal asked for it. Chunks that were written stay.
pub(super) fn compute(
    scene: &SceneStore,
    chunks: &[ChunkIndex],
    reader: &mut SceneReader,
    tower: &mut Tower,
    label: &str,
    watch: Watch<'_>,
) -> Result<usize> {
    let windows = chunks.iter().map(|&index| scene.columns(index).len()).sum();
    let progress = watch.reporter.progress(label, windows, "windows");
    let batch = tower.encoder.batch();
    let padding = Padding::new(scene.grid().window(), tower.patch);
    let normalisation = tower.normalisation;
    let mut computed = 0;
    thread::scope(|scope| {
        let (to_tower, from_reader) = sync_channel::<Group>(QUEUE);
        let (to_writer, from_tower) = sync_channel::<(Group, Vec<f32>)>(QUEUE);
        let reading = scope.spawn(move || -> Result<()> {
            let mut group = Group { chunks: Vec::new(), images: empty(&padding) };
            for (at, &index) in chunks.iter().enumerate() {
                if watch.stop.signal().is_some() {
                    return Ok(());
                }
                let mut tiles = Vec::new();
                let mut holds = Vec::new();
                for window in scene.windows(index) {
                    let tile = reader.read(window)?;
                    holds.push(!tile.is_empty());
                    if !tile.is_empty() {
                        tiles.push(tile);
                    }
                }
                let images = normalise(&tiles, &normalisation, &padding);
                group.images.count += images.count;
                group.images.pixels.extend(images.pixels);
                group.chunks.push((index, holds));
                if group.images.count >= batch || at + 1 == chunks.len() {
                    let whole = std::mem::replace(&mut group, Group { chunks: Vec::new(), images: empty(&padding) });
                    // The other thread may be gone: its own error says why.
                    if to_tower.send(whole).is_err() {
                        return Ok(());
                    }
                }
            }
            Ok(())
        });
        let writing = scope.spawn(move || -> Result<()> {
            for (group, tokens) in from_tower {
                write(scene, &group, &tokens)?;
                progress.advance(group.windows());
                watch.metrics.windows_computed.add(group.images.count);
                watch.metrics.windows_empty.add(group.windows() - group.images.count);
            }
            Ok(())
        });
        let computing = (|| {
            for group in from_reader {
                let tokens = if group.images.count == 0 { Vec::new() } else { tower.tokens(&group.images)? };
                computed += group.images.count;
                if to_writer.send((group, tokens)).is_err() {
                    break;
                }
            }
            drop(to_writer);
            Ok(())
        })();
        let read = reading.join().map_err(|_| Error::internal("the reading thread panicked"))?;
        let written = writing.join().map_err(|_| Error::internal("the writing thread panicked"))?;
        read.and(computing).and(written)
    })?;
    match watch.stop.signal() {
        Some((signal, name)) if chunks.iter().any(|&index| !scene.has(index)) => {
            Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}"))
                .with_hint("What is finished is kept: the same command computes the rest."))
        }
        _ => Ok(computed),
    }
}

fn empty(padding: &Padding) -> Images {
    Images { size: padding.padded, count: 0, pixels: Vec::new(), tokens: None }
}

/// Writes the chunks of a group; `tokens`: those of the windows with data.
fn write(scene: &SceneStore, group: &Group, tokens: &[f32]) -> Result<()> {
    let mut tokens = tokens.chunks_exact((tokens.len() / group.images.count.max(1)).max(1));
    for (index, holds) in &group.chunks {
        let windows: Vec<Option<&[f32]>> = holds.iter().map(|holds| tokens.next_if(*holds)).collect();
        scene.write(*index, &windows)?;
    }
    Ok(())
}

/// The next item, where one is wanted.
trait NextIf: Iterator {
    fn next_if(&mut self, wanted: bool) -> Option<Self::Item> {
        if wanted { self.next() } else { None }
    }
}

impl<T: Iterator> NextIf for T {}
