//! The features of pixels exactly as a job blends them: the same windows, weights and order of sums. Only windows that hold one
//! of the pixels are computed.
//!
//! A model with the unit vectors as queries gives features in place of logits, the `[CLS]` debiasing included.

#![expect(clippy::indexing_slicing, reason = "samples, windows and planes, counted before")]

use std::collections::BTreeMap;

use super::super::local_images::LocalImages;
use super::super::prepared::PreparedJob;
use super::super::stop::Stop;
use super::super::watch::Watch;
use crate::embeddings::{SceneStore, TokenReader};
use crate::error::{Error, Kind, Result};
use crate::geom::Window;
use crate::learn;
use crate::model::bundle::Bundle;
use crate::model::tta::D4;
use crate::model::{self, Padding, Queries, Segmenter, Shortcuts, TokenSource, normalise};
use crate::pipeline::ScenePlan;
use crate::raster::SceneReader;
use crate::report::Reporter;
use crate::scene::Tile;
use crate::stitch::window_weights;

/// Bytes that the features of a batch of windows may take.
const BATCH_BYTES: usize = 256 << 20;

/// The features of some pixels of a scene.
#[derive(Clone, Debug, Default)]
pub struct PixelFeatures {
    /// (pixel, D)
    pub features: Vec<f32>,
    /// (pixel, descriptor)
    pub local: Vec<f32>,
    /// Pixels that hold data; the numbers of the others mean nothing.
    pub valid: Vec<bool>,
}

/// A model that gives features: D logits a pixel.
pub fn segmenter(job: &PreparedJob, bundle: &Bundle, tokens: TokenSource) -> Result<Box<dyn Segmenter>> {
    let width = bundle.card.sizes.embed_dim;
    let unit = |at: usize| if at.is_multiple_of(width + 1) { 1.0 } else { 0.0 };
    let queries = Queries { count: width, width, features: (0..width * width).map(unit).collect() };
    let method = &job.plan.method;
    let shortcuts = Shortcuts { channels: method.channels, half_resolution: method.half_resolution };
    let segmenter = model::segmenter(bundle, job.device, &queries, method.debias, shortcuts, tokens)?;
    Ok(if method.d4 { Box::new(D4::new(segmenter)) } else { segmenter })
}

/// The windows that share one of the pixels, row by row, each with the numbers of its pixels.
pub fn windows(job: &PreparedJob, scene: &ScenePlan, pixels: &[[usize; 2]]) -> Vec<(Window, Vec<usize>)> {
    let grid = job.plan.grid(scene);
    let mut windows: BTreeMap<(usize, usize), (Window, Vec<usize>)> = BTreeMap::new();
    for (number, &[col, row]) in pixels.iter().enumerate() {
        for window in grid.reaching(Window { col, row, width: 1, height: 1 }) {
            windows.entry((window.row, window.col)).or_insert_with(|| (window, Vec::new())).1.push(number);
        }
    }
    windows.into_values().collect()
}

/// The stored tokens of the windows that share one of the pixels; `None`: the job has no store.
///
/// # Errors
/// The store does not hold them, or holds the scene otherwise.
pub fn stored(
    job: &PreparedJob,
    scene: &ScenePlan,
    pixels: &[[usize; 2]],
    watch: Watch<'_>,
) -> Result<Option<SceneStore>> {
    let Some(embedder) = &job.embedder else { return Ok(None) };
    let mut reader = SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?;
    let parts: Vec<Window> = pixels.iter().map(|&[col, row]| Window { col, row, width: 1, height: 1 }).collect();
    embedder.scene(scene.into(), &job.plan.tiling, &mut reader, &parts, watch).map(Some)
}

/// Computes the features of pixels of a scene; `local`: their descriptors as well. `tokens`: those of the windows, for a model that takes
/// them.
///
/// # Errors
/// A window cannot be read or computed; the program was asked to stop.
#[expect(clippy::too_many_arguments, reason = "all that features are computed from")]
pub fn features(
    job: &PreparedJob,
    scene: &ScenePlan,
    segmenter: &mut dyn Segmenter,
    tokens: Option<&SceneStore>,
    pixels: &[[usize; 2]],
    local: bool,
    stop: &Stop,
    reporter: &Reporter,
) -> Result<PixelFeatures> {
    let source = SceneReader::open_even_empty(&scene.info, scene.bands, &scene.stretch)?;
    let windows = windows(job, scene, pixels);
    let progress = reporter.progress(&format!("features of {}", scene.title()), windows.len(), "windows");
    let width = segmenter.queries();
    let locals = if local { learn::count(learn::COLOURS + scene.further_bands.len()) } else { 0 };
    let local_images = if local { LocalImages::open(scene)? } else { LocalImages::default() };
    let mut sums = PixelFeatures {
        features: vec![0.0; pixels.len() * width],
        local: vec![0.0; pixels.len() * locals],
        valid: vec![false; pixels.len()],
    };
    let mut weights = vec![0f32; pixels.len()];
    let Some(size) = windows.first().map(|(window, _)| window.size()) else { return Ok(sums) };
    let padding = Padding::new(size, job.patch);
    let [across, down] = [size.width, size.height].map(|side| window_weights(job.plan.tiling.blend, side));
    let batch = (BATCH_BYTES / (4 * width * padding.padded.pixels()).max(1)).clamp(1, segmenter.batch().max(1));
    let mut stored = tokens.map(TokenReader::new);
    for windows in windows.chunks(batch) {
        if let Some((signal, name)) = stop.signal() {
            return Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}")));
        }
        let mut tiles: Vec<(Tile, &Vec<usize>)> = Vec::with_capacity(batch);
        let mut known = Vec::new();
        for (window, numbers) in windows {
            let tile = source.read(*window)?;
            if !tile.is_empty() {
                stored.iter_mut().try_for_each(|stored| stored.append(*window, &mut known))?;
                tiles.push((tile, numbers));
            }
        }
        if !tiles.is_empty() {
            let (tiles, numbers): (Vec<Tile>, Vec<&Vec<usize>>) = tiles.into_iter().unzip();
            let mut images = normalise(&tiles, &job.normalisation, &padding);
            images.tokens = stored.is_some().then_some(known);
            let planes = padding.cut(segmenter.segment(&images)?);
            for ((tile, numbers), planes) in tiles.iter().zip(numbers).zip(planes.chunks_exact(width * size.pixels())) {
                let local = if local { local_images.image(tile)?.descriptors(size) } else { Vec::new() };
                for &number in numbers {
                    let [col, row] = pixels[number];
                    let (col, row) = (col - tile.window.col, row - tile.window.row);
                    let (at, weight) = (row * size.width + col, down[row] * across[col]);
                    weights[number] += weight;
                    sums.valid[number] |= tile.valid.as_ref().is_none_or(|valid| valid[at]);
                    add(&mut sums.features[number * width..][..width], planes, at, size.pixels(), weight);
                    add(&mut sums.local[number * locals..][..locals], &local, at, size.pixels(), weight);
                }
            }
        }
        progress.advance(windows.len());
    }
    for (number, weight) in weights.into_iter().enumerate() {
        let weight = if weight > 0.0 { weight } else { 1.0 };
        sums.features[number * width..][..width].iter_mut().for_each(|sum| *sum /= weight);
        sums.local[number * locals..][..locals].iter_mut().for_each(|sum| *sum /= weight);
    }
    Ok(sums)
}

/// Adds the weighted values of a pixel in all planes.
fn add(sums: &mut [f32], planes: &[f32], at: usize, plane: usize, weight: f32) {
    for (sum, plane) in sums.iter_mut().zip(planes.chunks_exact(plane)) {
        *sum += weight * plane[at];
    }
}
