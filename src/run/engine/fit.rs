//! What a model is fitted to before a scene's first window: some windows of the whole scene, always the same ones, whatever part of the
//! scene this process computes.

#![expect(clippy::indexing_slicing, reason = "windows of a grid by numbers below their count")]

use super::super::prepared::SceneRun;
use super::super::watch::Watch;
use crate::error::{Error, Kind, Result};
use crate::geom::{Grid, Window};
use crate::model::{Padding, Segmenter, normalise};
use crate::raster::SceneReader;
use crate::scene::Tile;

/// Windows with data to which a model is fitted, and windows that are looked at for them: a scene may be empty in most places.
const WINDOWS: usize = 64;
const TRIES: usize = 4096;
/// Windows of a batch: the same in every process, so that they compute the same numbers.
const BATCH: usize = 4;

/// Fits the model to the scene, if it is one that is fitted.
///
/// # Errors
/// A window cannot be read or computed, or the run was stopped.
pub(super) fn fit(
    run: &SceneRun<'_>,
    segmenter: &mut dyn Segmenter,
    grid: &Grid,
    reader: &SceneReader,
    watch: Watch<'_>,
) -> Result<()> {
    let Some(model) = segmenter.fitted() else { return Ok(()) };
    let progress = watch.reporter.progress("fitting", WINDOWS.min(grid.len()), "windows");
    let padding = Padding::new(grid.window(), run.job.patch);
    let mut waiting: Vec<Tile> = Vec::new();
    let mut found = 0;
    let mut take = |tiles: &mut Vec<Tile>| {
        if tiles.is_empty() {
            return Ok(());
        }
        let kept: Vec<bool> = tiles.iter().flat_map(|tile| patches_with_data(tile, &padding, run.job.patch)).collect();
        let taken = model.gather(&normalise(tiles, &run.job.normalisation, &padding), &kept);
        progress.advance(tiles.len());
        tiles.clear();
        taken
    };
    for index in spread(grid.len()).take(TRIES) {
        if let Some((signal, name)) = watch.stop.signal() {
            return Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}")));
        }
        let tile = match reader.read(window(grid, index)) {
            Ok(tile) => tile,
            Err(_) if run.options.allow_failed_windows => continue,
            Err(error) => return Err(error),
        };
        if tile.is_empty() {
            continue;
        }
        found += 1;
        waiting.push(tile);
        if waiting.len() == BATCH {
            take(&mut waiting)?;
        }
        if found == WINDOWS {
            break;
        }
    }
    take(&mut waiting)?;
    model.fit();
    Ok(())
}

/// A window by its number, row by row.
fn window(grid: &Grid, index: usize) -> Window {
    let (rows, cols, size) = (grid.row_starts(), grid.col_starts(), grid.window());
    Window { col: cols[index % cols.len()], row: rows[index / cols.len()], width: size.width, height: size.height }
}

/// All numbers below `count`, each once, any first ones of them spread over all: the order in which multiples of the golden ratio
/// divide a circle.
fn spread(count: usize) -> impl Iterator<Item = usize> {
    let place = |turn: &usize| (*turn as f64 * GOLDEN_RATIO).fract();
    let mut turns: Vec<usize> = (0..count).collect();
    turns.sort_by(|a, b| place(a).total_cmp(&place(b)));
    let mut order = vec![0; count];
    turns.into_iter().enumerate().for_each(|(rank, turn)| order[turn] = rank);
    order.into_iter()
}

const GOLDEN_RATIO: f64 = 1.618_033_988_749_895;

/// Which patches of a window have data in their middle, row by row.
fn patches_with_data(tile: &Tile, padding: &Padding, patch: usize) -> Vec<bool> {
    let Padding { window, padded } = *padding;
    let [left, above] = [padded.width - window.width, padded.height - window.height].map(|rest| rest / 2);
    let has_data = |row: usize, col: usize| {
        let middle = |index: usize, before: usize| (index * patch + patch / 2).checked_sub(before);
        let (Some(row), Some(col)) = (middle(row, above), middle(col, left)) else { return false };
        row < window.height
            && col < window.width
            && tile.valid.as_ref().is_none_or(|valid| valid[row * window.width + col])
    };
    let columns = padded.width / patch;
    (0..padded.height / patch)
        .flat_map(|row| (0..columns).map(move |col| (row, col)))
        .map(|(row, col)| has_data(row, col))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;

    #[test]
    fn numbers_come_once_and_spread() {
        for count in [0, 1, 2, 6, 64, 1000] {
            let mut all: Vec<usize> = spread(count).collect();
            let largest_gap = {
                let mut first: Vec<usize> = all.iter().copied().take(count / 4).collect();
                first.sort_unstable();
                first.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap_or(0)
            };
            assert!(largest_gap <= 12, "{count}: {largest_gap}");
            all.sort_unstable();
            assert_eq!(all, (0..count).collect::<Vec<_>>());
        }
    }

    #[test]
    fn patches_of_padding_and_of_pixels_without_data_are_left_out() {
        let padding = Padding::new(Size::new(6, 4), 4);
        assert_eq!(padding.padded, Size::new(8, 4));
        let window = Window { col: 0, row: 0, width: 6, height: 4 };
        let tile = |valid| Tile { window, rgb: Vec::new(), valid };
        assert_eq!(patches_with_data(&tile(None), &padding, 4), [true, true]);
        let mut valid = vec![true; 24];
        valid[2 * 6 + 1] = false;
        assert_eq!(patches_with_data(&tile(Some(valid)), &padding, 4), [false, true]);
    }
}
