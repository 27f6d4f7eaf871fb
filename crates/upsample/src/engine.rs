//! What both engines share: windows that are remembered, weights that are computed for them, channels that are upsampled.

use std::sync::Mutex;

use rayon::prelude::*;

use super::basis::{MakeSources, Sources};
use super::kernels::Panel;
use super::make::make;
use super::plan::PixelGrid;
use super::simd::Level;
use super::weights::{Doubling, Weights};
use super::window_cache::{CachedWindow, WindowCache};
use super::{Shortcuts, Targets, Windows, bilinear};

/// Floor of a feature's squared length: a feature of zeros is similar to nothing, not NaN.
pub(super) const LENGTH_FLOOR: f32 = 1e-24;

/// A way to compute the weights of neighbours, and sums with them.
pub(super) trait Kernels: Sync {
    /// What weights are kept as.
    type Number: Copy + Default + Send + Sync;
    /// What one panel needs while it is computed.
    type Scratch;

    fn level(&self) -> Level;
    /// `cells`: source rows and columns; `factor`: side in pixels of a doubled cell.
    fn grid(&self, cells: [usize; 2], step: &Doubling, factor: usize) -> PixelGrid;
    /// For the doubling with that index.
    fn scratch(&self, index: usize, grid: &PixelGrid) -> Self::Scratch;
    /// Makes one panel's weights.
    fn weights(&self, index: usize, panel: &Panel<'_>, scratch: &mut Self::Scratch, out: &mut [Self::Number]);
    /// Upsamples one window's channels and makes logits (pair of rows, query, 2, column) of the last ones; `of_cls`: added to
    /// each query's.
    fn upsample(&self, channels: &Channels<'_, Self::Number>, of_cls: &[f32], logits: &mut [f32]);
    fn buffers(&self) -> &Buffers<f32>;
}

/// One window's channels and the way they go.
pub(super) struct Channels<'a, N> {
    pub grids: &'a [PixelGrid],
    pub sources: &'a Sources,
    pub memory: &'a WindowCache<N>,
    pub cached: &'a CachedWindow<N>,
}

/// Memory that windows hand on to each other: clearing it anew would cost more than some of the sums.
#[derive(Debug, Default)]
pub(super) struct Buffers<N>(Mutex<Vec<Vec<N>>>);

impl<N: Copy + Default> Buffers<N> {
    /// So many numbers, of whatever values.
    pub fn take(&self, length: usize) -> Vec<N> {
        let spare = self.0.lock().ok().and_then(|mut spare| {
            // The smallest that fits: a large one would come back short, and be cleared where it grows again.
            let fitting = spare.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= length);
            let (fitting, _) = fitting.min_by_key(|(_, buffer)| buffer.capacity())?;
            Some(spare.swap_remove(fitting))
        });
        let mut buffer = spare.unwrap_or_default();
        buffer.resize(length, N::default());
        buffer
    }

    pub fn give(&self, buffer: Vec<N>) {
        if let Ok(mut spare) = self.0.lock()
            && buffer.capacity() > 0
        {
            spare.push(buffer);
        }
    }
}

/// An engine and the windows that it saw last.
pub(super) struct Run<E: Kernels> {
    pub engine: E,
    pub memory: WindowCache<E::Number>,
}

impl<E: Kernels> Run<E> {
    pub fn new(engine: E) -> Self {
        Self { engine, memory: WindowCache::default() }
    }

    /// Logits (window, query, row, column) of a batch whose sizes are those of the grids.
    pub fn logits(
        &mut self,
        weights: &Weights,
        grids: &[PixelGrid],
        shortcuts: Shortcuts,
        windows: &Windows<'_>,
        targets: &Targets<'_>,
    ) -> Vec<f32> {
        let Self { engine, memory } = self;
        let (engine, pixels) = (&*engine, windows.height * windows.width);
        for image in windows.pixels.chunks_exact(3 * pixels) {
            memory.add(grids, [windows.height, windows.width], image);
        }
        memory.last_mut(windows.count).par_iter_mut().for_each(|cached| make(engine, weights, grids, cached));
        let most = shortcuts.channels.unwrap_or(usize::MAX);
        let (offset, queries) = (&weights.offset[..], targets.queries);
        let sources: Vec<Sources> = windows
            .tokens
            .par_chunks_exact((windows.tokens.len() / windows.count.max(1)).max(1))
            .map(|tokens| engine.level().run(MakeSources { tokens, offset, queries, most }))
            .collect();
        let queries = queries.len() / offset.len();
        let mut logits = vec![0f32; windows.count * queries * pixels];
        let of_windows = logits.par_chunks_exact_mut(queries * pixels).zip(&sources).zip(memory.last(windows.count));
        of_windows.for_each(|((logits, sources), cached)| {
            let of_cls: Vec<f32> = sources.of_cls.iter().map(|similarity| targets.lambda * similarity).collect();
            let [height, width] = grids.last().map_or([0, 0], PixelGrid::size);
            let mut by_rows = engine.buffers().take(queries * height * width);
            engine.upsample(&Channels { grids, sources, memory, cached }, &of_cls, &mut by_rows);
            logits.par_chunks_exact_mut(pixels).enumerate().for_each(|(query, plane)| {
                let rows = |row: usize| &by_rows[((row / 2 * queries + query) * 2 + row % 2) * width..][..width];
                if shortcuts.half_resolution {
                    return bilinear::double(rows, [height, width], plane);
                }
                for (row, to) in plane.chunks_exact_mut(width).enumerate() {
                    to.copy_from_slice(rows(row));
                }
            });
            engine.buffers().give(by_rows);
        });
        memory.tidy();
        logits
    }
}
