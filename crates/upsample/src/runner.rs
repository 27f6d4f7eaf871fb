//! From a batch of windows to logits: caches windows, computes their weights, reduces their features, upsamples.

use rayon::prelude::*;

use super::backend::{Backend, WindowInput};
use super::parameters::Parameters;
use super::pixel_grid::PixelGrid;
use super::reduced::{ReduceFeatures, ReducedFeatures};
use super::window_cache::WindowCache;
use super::{Shortcuts, TextQueries, Windows, bilinear, window_weights};

/// A backend and the windows that it computed last.
pub(super) struct Runner<B: Backend> {
    pub backend: B,
    pub cache: WindowCache<B::Number>,
}

impl<B: Backend> Runner<B> {
    pub fn new(backend: B) -> Self {
        Self { backend, cache: WindowCache::default() }
    }

    /// Returns logits (window, query, row, column) of a batch of windows of the grids' size.
    pub fn logits(
        &mut self,
        parameters: &Parameters,
        grids: &[PixelGrid],
        shortcuts: Shortcuts,
        windows: &Windows<'_>,
        queries: &TextQueries<'_>,
    ) -> Vec<f32> {
        let Self { backend, cache } = self;
        let (backend, pixels) = (&*backend, windows.height * windows.width);
        for image in windows.pixels.chunks_exact(3 * pixels) {
            cache.add(grids, [windows.height, windows.width], image);
        }
        let added = cache.last_mut(windows.count).par_iter_mut();
        added.for_each(|window| window_weights::compute(backend, parameters, grids, window));
        let max_channels = shortcuts.channels.unwrap_or(usize::MAX);
        let (offset, features) = (&parameters.offset[..], queries.features);
        let reduced: Vec<ReducedFeatures> = windows
            .tokens
            .par_chunks_exact((windows.tokens.len() / windows.count.max(1)).max(1))
            .map(|tokens| backend.level().run(ReduceFeatures { tokens, offset, queries: features, max_channels }))
            .collect();
        let (count, lambda) = (features.len() / offset.len(), queries.lambda);
        let mut logits = vec![0f32; windows.count * count * pixels];
        let of_windows = logits.par_chunks_exact_mut(count * pixels).zip(&reduced).zip(cache.last(windows.count));
        of_windows.for_each(|((logits, reduced), window)| {
            let of_cls: Vec<f32> = reduced.of_cls.iter().map(|similarity| lambda * similarity).collect();
            let [height, width] = grids.last().map_or([0, 0], PixelGrid::size);
            let mut by_rows = backend.buffers().take(count * height * width);
            backend.upsample(&WindowInput { grids, reduced, cache, window }, &of_cls, &mut by_rows);
            logits.par_chunks_exact_mut(pixels).enumerate().for_each(|(query, plane)| {
                let rows = |row: usize| &by_rows[((row / 2 * count + query) * 2 + row % 2) * width..][..width];
                if shortcuts.half_resolution {
                    return bilinear::double(rows, [height, width], plane);
                }
                for (row, to) in plane.chunks_exact_mut(width).enumerate() {
                    to.copy_from_slice(rows(row));
                }
            });
            backend.buffers().give(by_rows);
        });
        cache.evict();
        logits
    }
}
