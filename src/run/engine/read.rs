//! The reading thread: windows in order, those without data skipped, the others normalised in batches.

use super::super::local_images::{FurtherBands, LocalImages};
use super::super::prepared::SceneRun;
use super::super::stop::Stop;
use super::message::{Batch, Message, WindowMask};
use super::meter::Meter;
use super::queue::Sender;
use crate::embeddings::{SceneStore, TokenReader};
use crate::error::Result;
use crate::geom::{Grid, Window};
use crate::model::{Padding, normalise};
use crate::raster::SceneReader;
use crate::scene::Tile;

/// Reads all windows that reach `region` in order and sends those that hold data; with their tokens, where these are known.
#[expect(clippy::too_many_arguments, reason = "all that a thread works with")]
pub(super) fn read(
    run: &SceneRun<'_>,
    reader: &SceneReader,
    images: &LocalImages,
    tokens: Option<&SceneStore>,
    grid: &Grid,
    region: Window,
    batch: usize,
    to_model: Sender<'_, Message<Batch>>,
    stop: &Stop,
    meter: &Meter<'_>,
) -> Result<()> {
    let padding = Padding::new(grid.window(), run.job.patch);
    let mut waiting: Vec<(Tile, FurtherBands)> = Vec::with_capacity(batch);
    let mut tokens = tokens.map(TokenReader::new);
    let mut waiting_tokens: Vec<f32> = Vec::new();
    // The model's thread may be gone: its own error says why.
    let send = |tiles: &mut Vec<(Tile, FurtherBands)>, tokens: &mut Vec<f32>| {
        if tiles.is_empty() {
            return true;
        }
        let (tiles, further): (Vec<Tile>, Vec<FurtherBands>) = std::mem::take(tiles).into_iter().unzip();
        let mut images = normalise(&tiles, &run.job.normalisation, &padding);
        images.tokens = (!tokens.is_empty()).then(|| std::mem::take(tokens));
        let local = run.job.local.is_some();
        let mask = |(Tile { window, valid, rgb }, further): (Tile, FurtherBands)| WindowMask {
            window,
            valid,
            image: local.then(|| further.beside(rgb)),
        };
        let windows = tiles.into_iter().zip(further).map(mask).collect();
        to_model.send(Message::Work(Batch { windows, images })).is_ok()
    };
    for window in grid.reaching(region) {
        if stop.signal().is_some() {
            let _ = to_model.send(Message::Stop);
            return Ok(());
        }
        let local = run.job.local.is_some();
        let read = reader.read(window).and_then(|tile| match local && !tile.is_empty() {
            true => images.read(window).map(|further| (tile, further)),
            false => Ok((tile, FurtherBands::default())),
        });
        let (tile, further) = match read {
            Ok(read) => read,
            Err(_) if run.options.allow_failed_windows => {
                if !send(&mut waiting, &mut waiting_tokens) || to_model.send(Message::Failed(window)).is_err() {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        if tile.is_empty() {
            meter.empty();
            continue;
        }
        if let Some(tokens) = &mut tokens {
            tokens.append(window, &mut waiting_tokens)?;
        }
        waiting.push((tile, further));
        if waiting.len() == batch && !send(&mut waiting, &mut waiting_tokens) {
            return Ok(());
        }
    }
    if send(&mut waiting, &mut waiting_tokens) {
        let _ = to_model.send(Message::End);
    }
    Ok(())
}
