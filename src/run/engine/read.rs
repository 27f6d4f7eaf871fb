//! The reading thread: windows in order, those without data left out, the others normalised in batches.

use super::super::stop::Stop;
use super::meter::Meter;
use super::queue::Sender;
use super::{Engine, Message, TileMask};
use crate::error::Result;
use crate::geom::{Grid, Window};
use crate::model::{Images, Padding, normalise};
use crate::raster::SceneReader;
use crate::scene::Tile;

/// Windows on their way to the model.
pub(super) struct Batch {
    pub tiles: Vec<TileMask>,
    pub images: Images,
}

#[expect(clippy::too_many_arguments, reason = "a thread's whole world")]
/// Reads all windows that reach `region` in order and sends those that hold data.
pub(super) fn read(
    engine: &Engine<'_>,
    reader: &SceneReader,
    grid: &Grid,
    region: Window,
    batch: usize,
    to_model: Sender<'_, Message<Batch>>,
    stop: &Stop,
    meter: &Meter<'_>,
) -> Result<()> {
    let padding = Padding::new(grid.window(), engine.patch);
    let mut waiting: Vec<Tile> = Vec::with_capacity(batch);
    // The model's thread may be gone: it then has a fault of its own to tell.
    let send = |tiles: &mut Vec<Tile>| {
        if tiles.is_empty() {
            return true;
        }
        let images = normalise(tiles, &engine.normalisation, &padding);
        let tiles = tiles.drain(..).map(|Tile { window, valid, .. }| TileMask { window, valid }).collect();
        to_model.send(Message::Work(Batch { tiles, images })).is_ok()
    };
    for window in grid.reaching(region) {
        if stop.signal().is_some() {
            let _ = to_model.send(Message::Stop);
            return Ok(());
        }
        let tile = match reader.read(window) {
            Ok(tile) => tile,
            Err(_) if engine.options.allow_failed_windows => {
                if !send(&mut waiting) || to_model.send(Message::Failed(window)).is_err() {
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
        waiting.push(tile);
        if waiting.len() == batch && !send(&mut waiting) {
            return Ok(());
        }
    }
    if send(&mut waiting) {
        let _ = to_model.send(Message::End);
    }
    Ok(())
}
