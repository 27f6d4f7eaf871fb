//! How a scene is divided: into bands of rows of about the same cost, one for each process, and those into columns.

#![expect(clippy::indexing_slicing, reason = "shards that are counted, and columns of a mask as wide as the scene")]

use std::ops::Range;

use super::super::partition::{Bands, Share};
use super::super::prepared::SceneRun;
use super::memory;
use crate::error::Result;
use crate::geom::{Grid, Window};
use crate::journal::{Division, Layer};
use crate::model::Segmenter;
use crate::raster::SceneReader;

/// Rows that are sampled to find where a scene holds data.
const LOOKS: usize = 64;
/// What a window without data costs beside one with data: it is read and no more.
const EMPTY_COST: f64 = 0.02;

/// Divides a scene; with a note where reading will be slow.
pub(super) fn divide(
    run: &SceneRun<'_>,
    reader: &SceneReader,
    segmenter: &mut dyn Segmenter,
    layers: &[Layer],
) -> Result<(Division, Option<String>)> {
    let grid = run.job.plan.grid(run.scene);
    let bands = match run.share {
        Share::All => std::iter::once(0..run.scene.row_grid().height).collect(),
        Share::Shard { bands, .. } if run.scene.zoom().is_some() => {
            // A resized image has few windows: equal heights do.
            let height = run.scene.row_grid().height;
            cut(&[1.0], height, height, &ends(bands, grid.row_starts().len().min(height)))
        }
        Share::Shard { bands, .. } => self::bands(reader, &grid, bands)?,
    };
    let memory::Layout { columns, note } =
        memory::layout(run, segmenter, layers, reader.strip_bytes(grid.window().height))?;
    let parts = bands.iter().flat_map(|rows| {
        columns.iter().map(|cols| Window { col: cols.start, row: rows.start, width: cols.len(), height: rows.len() })
    });
    let parts = parts.collect();
    let division = match run.share {
        Share::All => Division::whole(parts),
        Share::Shard { count, bands, .. } => Division { shards: count, first: bands.first, parts },
    };
    Ok((division, note))
}

/// The bands as wanted; fewer where the scene has fewer rows of windows.
fn bands(reader: &SceneReader, grid: &Grid, wanted: Bands) -> Result<Vec<Range<usize>>> {
    let size = grid.scene();
    let step = size.height.div_ceil(LOOKS).max(1);
    let looks = (step / 2..size.height).step_by(step).map(|row| {
        let tile = reader.read(Window { col: 0, row, width: size.width, height: 1 })?;
        let Some(valid) = tile.valid else { return Ok(1.0) };
        let cols = grid.col_starts().iter().map(|&start| start..start + grid.window().width);
        let full = cols.filter(|cols| valid[cols.clone()].contains(&true)).count();
        Ok(EMPTY_COST + full as f64 / grid.col_starts().len() as f64)
    });
    let costs = looks.collect::<Result<Vec<f64>>>()?;
    Ok(cut(&costs, step, size.height, &ends(wanted, grid.row_starts().len())))
}

/// The shares of the cost after which bands end: those of the wanted bands, or of `most` where that is fewer.
fn ends(wanted: Bands, most: usize) -> Vec<f64> {
    match wanted.count <= most {
        true => (1..wanted.count).map(|band| wanted.start(band)).collect(),
        false => (1..most).map(|band| band as f64 / most as f64).collect(),
    }
}

/// Cuts `height` rows where they have cost the shares `ends` of them all; `costs` are those of a row in each run of `step`
/// rows. Each band has a row at least.
fn cut(costs: &[f64], step: usize, height: usize, ends: &[f64]) -> Vec<Range<usize>> {
    let of_row = |row: usize| costs.get(row / step).or(costs.last()).copied().unwrap_or(1.0);
    let total: f64 = (0..height).map(of_row).sum();
    let (mut bands, mut start, mut sum) = (Vec::with_capacity(ends.len() + 1), 0, 0.0);
    for row in 0..height {
        sum += of_row(row);
        let (made, left) = (bands.len(), height - row - 1);
        if made < ends.len() && (sum >= total * ends[made] * (1.0 - 1e-12) || left == ends.len() - made) {
            bands.push(start..row + 1);
            start = row + 1;
        }
    }
    bands.push(start..height);
    bands
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bands_follow_each_other_and_cost_about_the_same(
            costs in prop::collection::vec(0.02f64..1.0, 1..64), step in 1usize..50, count in 1usize..12,
        ) {
            let height = (costs.len() * step).saturating_sub(step / 3).max(count);
            let ends: Vec<f64> = (1..count).map(|band| band as f64 / count as f64).collect();
            let bands = cut(&costs, step, height, &ends);
            prop_assert_eq!(bands.len(), count);
            prop_assert_eq!((bands[0].start, bands[count - 1].end), (0, height));
            prop_assert!(bands.windows(2).all(|pair| pair[0].end == pair[1].start));
            prop_assert!(bands.iter().all(|band| !band.is_empty()));
            let of_row = |row: usize| costs.get(row / step).or(costs.last()).copied().unwrap();
            let cost = |band: &Range<usize>| band.clone().map(of_row).sum::<f64>();
            let total: f64 = bands.iter().map(cost).sum();
            // A band is at most a row dearer than its share, unless all others have a single row.
            prop_assert!(bands.iter().all(|band| cost(band) <= total / count as f64 + 1.0 + 1e-9 || height < 2 * count));
        }
    }
}
