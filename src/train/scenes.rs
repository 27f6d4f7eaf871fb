//! Pieces of rasters to train on, without labels.

use super::pyramid::{Pyramid, Raster};
use super::random::Random;
use crate::error::{Error, Result};
use crate::geom::Window;
use crate::raster::SceneReader;
use crate::scene::{SceneInfo, StretchPlan};

/// Side of a piece of a scene in pixels.
const PIECE: usize = 1024;
/// Most pieces in memory, about a gigabyte; of more scenes a sample is drawn.
const MOST: usize = 256;

/// A scene, its bands for red, green and blue, and its stretch.
pub type Scene = (SceneInfo, [usize; 3], StretchPlan);

/// How many pieces [`pictures`] will read.
pub fn pieces(scenes: &[Scene], least: usize) -> usize {
    piece_windows(scenes, least).len().min(MOST)
}

/// Pieces of scenes, at least `least` pixels a side and half of their pixels valid: all, or as many as memory should bear,
/// drawn by `seed`. `watch` is called after every piece read.
///
/// # Errors
/// A scene that cannot be read, or no piece in all of them.
pub fn pictures(scenes: &[Scene], least: usize, seed: u64, mut watch: impl FnMut()) -> Result<Vec<Pyramid>> {
    let mut pieces = piece_windows(scenes, least);
    let mut random = Random::new(seed);
    if pieces.len() > MOST {
        for at in 0..MOST {
            let other = at + random.below(pieces.len() - at);
            pieces.swap(at, other);
        }
        pieces.truncate(MOST);
        // Scene by scene: each is opened once.
        pieces.sort_by_key(|(scene, window)| (*scene, window.row, window.col));
    }
    let mut pictures = Vec::new();
    let mut open: Option<(usize, SceneReader)> = None;
    for (scene, window) in &pieces {
        let (info, bands, stretch) = &scenes[*scene];
        let reader = match open.take().filter(|(opened, _)| opened == scene) {
            Some((_, reader)) => reader,
            None => SceneReader::open(info, *bands, stretch)?,
        };
        let tile = reader.read(*window)?;
        open = Some((*scene, reader));
        watch();
        let valid = tile
            .valid
            .as_ref()
            .map_or(1.0, |valid| valid.iter().filter(|valid| **valid).count() as f32 / valid.len().max(1) as f32);
        if valid < 0.5 {
            continue;
        }
        let area = window.width * window.height;
        let rgb =
            (0..area).flat_map(|at| [0, 1, 2].map(|channel| tile.rgb[channel * area + at].round() as u8)).collect();
        pictures.push(Pyramid::new(Raster { width: window.width, height: window.height, rgb }));
    }
    if pictures.is_empty() {
        return Err(Error::input(format!("no image has an area of {least} × {least} pixels with data"))
            .with_hint("Use larger images, or a smaller --side."));
    }
    Ok(pictures)
}

/// Returns scene and window of every piece that is large enough.
fn piece_windows(scenes: &[Scene], least: usize) -> Vec<(usize, Window)> {
    let mut pieces = Vec::new();
    for (scene, (info, ..)) in scenes.iter().enumerate() {
        for row in (0..info.size.height).step_by(PIECE) {
            for col in (0..info.size.width).step_by(PIECE) {
                let (width, height) = (PIECE.min(info.size.width - col), PIECE.min(info.size.height - row));
                if width.min(height) >= least {
                    pieces.push((scene, Window { col, row, width, height }));
                }
            }
        }
    }
    pieces
}
