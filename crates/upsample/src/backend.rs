//! What the two ways to compute provide, float32 and AMX, and the buffers that they reuse.

use std::sync::Mutex;

use super::kernels::PanelInput;
use super::parameters::DoublingParameters;
use super::pixel_grid::PixelGrid;
use super::reduced::ReducedFeatures;
use super::simd::Level;
use super::window_cache::{CachedWindow, WindowCache};

/// Smallest squared norm that a feature is divided by the root of: a feature of zeros has a similarity of 0, not NaN.
pub(super) const SQUARED_NORM_FLOOR: f32 = 1e-24;

/// Computes the neighbours' weights, and weighted sums with them.
pub(super) trait Backend: Sync {
    /// The type in which weights are stored.
    type Number: Copy + Default + Send + Sync;
    /// Temporary arrays for one panel.
    type Scratch;

    /// Returns the vector instructions in use.
    fn level(&self) -> Level;
    /// Returns the geometry of one doubling. `cells`: source rows and columns; `factor`: side of a doubled cell, in pixels.
    fn grid(&self, cells: [usize; 2], doubling: &DoublingParameters, factor: usize) -> PixelGrid;
    /// Returns temporary arrays for the doubling `index`.
    fn scratch(&self, index: usize, grid: &PixelGrid) -> Self::Scratch;
    /// Computes the weights of one panel of the doubling `index`.
    fn weights(&self, index: usize, panel: &PanelInput<'_>, scratch: &mut Self::Scratch, out: &mut [Self::Number]);
    /// Upsamples the channels of one window, and computes `logits`, (pair of rows, query, 2, column), at the last doubling.
    /// `of_cls`: added to each query's logits.
    fn upsample(&self, input: &WindowInput<'_, Self::Number>, of_cls: &[f32], logits: &mut [f32]);
    /// Returns the buffers that windows reuse.
    fn buffers(&self) -> &BufferPool<f32>;
}

/// What one window is upsampled from.
pub(super) struct WindowInput<'a, N> {
    pub grids: &'a [PixelGrid],
    pub reduced: &'a ReducedFeatures,
    pub cache: &'a WindowCache<N>,
    pub window: &'a CachedWindow<N>,
}

/// Buffers that windows reuse: clearing new memory would cost more than some of the sums.
#[derive(Debug, Default)]
pub(super) struct BufferPool<N>(Mutex<Vec<Vec<N>>>);

impl<N: Copy + Default> BufferPool<N> {
    /// Returns a buffer of `length` unspecified numbers.
    pub fn take(&self, length: usize) -> Vec<N> {
        let spare = self.0.lock().ok().and_then(|mut spare| {
            // The smallest that fits: a larger one would be returned with a smaller length, and cleared when it grows again.
            let fitting = spare.iter().enumerate().filter(|(_, buffer)| buffer.capacity() >= length);
            let (fitting, _) = fitting.min_by_key(|(_, buffer)| buffer.capacity())?;
            Some(spare.swap_remove(fitting))
        });
        let mut buffer = spare.unwrap_or_default();
        buffer.resize(length, N::default());
        buffer
    }

    /// Returns a buffer to the pool.
    pub fn give(&self, buffer: Vec<N>) {
        if let Ok(mut spare) = self.0.lock()
            && buffer.capacity() > 0
        {
            spare.push(buffer);
        }
    }
}
