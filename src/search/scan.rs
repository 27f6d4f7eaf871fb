//! The scores of scenes: chunks are read and compared in parallel, and of each only the scores stay in memory.

use std::ops::Range;

use rayon::prelude::*;

use super::Query;
use super::coverage::{Cell, Coverage, by_window};
use super::similarity::append_scores;
use crate::embeddings::{ChunkIndex, SceneStore};
use crate::error::{Error, Result};

/// The scores of a scene's cells.
#[derive(Clone, Debug)]
pub struct ScoreMap {
    pub coverage: Coverage,
    /// (row, column) of cells; NaN where nothing is known.
    pub scores: Vec<f32>,
    /// Chunks that cover the scene, and how many of them the store lacks.
    pub chunks: usize,
    pub missing: usize,
}

/// A chunk to read: which windows of it are taken, and the cells that they stand for.
struct Piece {
    scene: usize,
    index: ChunkIndex,
    rows: Range<usize>,
    /// A window of the chunk, and the columns of its cells.
    windows: Vec<(usize, Range<usize>)>,
}

/// The chunks that cover a scene, of all that it has.
pub fn searched_chunks(scene: &SceneStore, side: usize) -> usize {
    pieces(0, scene, &Coverage::of(scene.card(), side)).len()
}

/// Compares every cell of some scenes, with patches of `side` pixels, with a query. `advance` is told of chunks that are done.
///
/// # Errors
/// A chunk that is there is damaged.
pub fn scan(
    scenes: &[&SceneStore],
    side: usize,
    query: &Query,
    advance: impl Fn(usize) + Sync,
) -> Result<Vec<ScoreMap>> {
    let mut maps: Vec<ScoreMap> = scenes
        .iter()
        .map(|scene| {
            let coverage = Coverage::of(scene.card(), side);
            ScoreMap { scores: vec![f32::NAN; coverage.len()], coverage, chunks: 0, missing: 0 }
        })
        .collect();
    let mut all = Vec::new();
    for (at, (scene, map)) in scenes.iter().zip(&mut maps).enumerate() {
        let pieces = pieces(at, scene, &map.coverage);
        map.chunks = pieces.len();
        all.extend(pieces.into_iter().filter(|piece| scene.has(piece.index)));
        map.missing = map.chunks - all.iter().rev().take_while(|piece| piece.scene == at).count();
    }
    let blocks: Vec<Vec<f32>> = all
        .par_iter()
        .map(|piece| {
            let of = scenes.get(piece.scene).zip(maps.get(piece.scene));
            let (scene, map) = of.ok_or_else(|| Error::internal("a chunk belongs to no scene"))?;
            let block = block(scene, piece, map, query)?;
            advance(1);
            Ok(block)
        })
        .collect::<Result<_>>()?;
    for (piece, block) in all.iter().zip(&blocks) {
        let Some(map) = maps.get_mut(piece.scene) else { continue };
        let (cols, width) = (piece.cols(), map.coverage.cols.len());
        for (row, from) in piece.rows.clone().zip(block.chunks_exact(cols.len().max(1))) {
            let to = map.scores.get_mut(row * width + cols.start..row * width + cols.end);
            if let Some(to) = to {
                to.copy_from_slice(from);
            }
        }
    }
    Ok(maps)
}

impl Piece {
    /// The columns of all its cells.
    fn cols(&self) -> Range<usize> {
        let ends = self.windows.first().zip(self.windows.last());
        ends.map_or(0..0, |((_, first), (_, last))| first.start..last.end)
    }
}

fn pieces(at: usize, scene: &SceneStore, coverage: &Coverage) -> Vec<Piece> {
    let chunk = scene.card().chunk.max(1);
    let cols: Vec<(usize, Range<usize>)> = by_window(&coverage.cols).collect();
    let mut pieces = Vec::new();
    for (row, rows) in by_window(&coverage.rows) {
        for windows in cols.chunk_by(|(one, _), (other, _)| one / chunk == other / chunk) {
            let Some((first, _)) = windows.first() else { continue };
            let windows = windows.iter().map(|(window, cells)| (window % chunk, cells.clone())).collect();
            let index = ChunkIndex { row, number: first / chunk };
            pieces.push(Piece { scene: at, index, rows: rows.clone(), windows });
        }
    }
    pieces
}

/// The scores of a piece's cells, (row, column).
fn block(scene: &SceneStore, piece: &Piece, map: &ScoreMap, query: &Query) -> Result<Vec<f32>> {
    let (tokens, [_, patches]) = (scene.card().tokens(), scene.card().patches);
    let values = scene.read_raw(piece.index)?;
    let cols = piece.cols();
    let rows = map.coverage.rows.get(piece.rows.clone()).unwrap_or_default();
    let mut block = vec![f32::NAN; rows.len() * cols.len()];
    let mut scores = Vec::new();
    for (window, cells) in &piece.windows {
        let Some(bytes) = values.window(*window, tokens, query.vector.len()) else { continue };
        scores.clear();
        append_scores(bytes, values.precision, query, &mut scores);
        let first = cells.start - cols.start;
        let cells = map.coverage.cols.get(cells.clone()).unwrap_or_default();
        for (row, to) in rows.iter().zip(block.chunks_exact_mut(cols.len())) {
            let of_row = scores.get(row.patch * patches..).unwrap_or_default();
            for (cell, to) in cells.iter().zip(to.iter_mut().skip(first)) {
                *to = of_row.get(cell.patch).copied().unwrap_or(f32::NAN);
            }
        }
    }
    Ok(block)
}

/// The unit features of the cells (row, column), each once; nothing for those without tokens.
///
/// # Errors
/// A chunk that is there is damaged.
pub fn feature_at(scene: &SceneStore, coverage: &Coverage, cells: &[[usize; 2]]) -> Result<Vec<Vec<f32>>> {
    let of =
        |[row, col]: [usize; 2]| -> Option<(Cell, Cell)> { Some((*coverage.rows.get(row)?, *coverage.cols.get(col)?)) };
    let chunk = scene.card().chunk.max(1);
    let mut wanted: Vec<(Cell, Cell)> = cells.iter().filter_map(|cell| of(*cell)).collect();
    wanted.sort_by_key(|(row, col)| (row.window, col.window, row.patch, col.patch));
    wanted.dedup();
    let mut features = Vec::new();
    for cells in
        wanted.chunk_by(|one, other| (one.0.window, one.1.window / chunk) == (other.0.window, other.1.window / chunk))
    {
        let Some((row, col)) = cells.first() else { continue };
        let index = ChunkIndex { row: row.window, number: col.window / chunk };
        if !scene.has(index) {
            continue;
        }
        let read = scene.read(index)?;
        let mut tokens = Vec::new();
        for (row, col) in cells {
            tokens.clear();
            read.append(col.window % chunk, &mut tokens);
            let token = 1 + row.patch * scene.card().patches[1] + col.patch;
            features.extend(tokens.chunks_exact(read.width.max(1)).nth(token).and_then(unit));
        }
    }
    Ok(features)
}

/// A vector at unit length; `None`: it has no direction.
fn unit(vector: &[f32]) -> Option<Vec<f32>> {
    let norm = vector.iter().map(|value| f64::from(*value).powi(2)).sum::<f64>().sqrt();
    (norm > 0.0 && norm.is_finite()).then(|| vector.iter().map(|value| (f64::from(*value) / norm) as f32).collect())
}
