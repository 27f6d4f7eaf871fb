//! SimFeatUp on the CPU, in SIMD kernels: from a window's patch features to logits at full resolution. Likewise NAF (see [`Naf`]).
//!
//! ```text
//!  image ──► guidance ──► keys ──► neighbours' weights, folded onto source cells     (for each doubling)
//!                                              │
//!  tokens ──► reduced features ──► weighted sums ─► … ─► weighted sums ──► norms and scalar products ──► logits
//! ```
//!
//! The results are those of the network's trace but for rounding. Four identities make it faster:
//! - scalar products with the queries are upsampled as channels of their own, and the norm of a feature needs only
//!   min(N + 1, D) channels for N patches of D features (see `reduced`);
//! - bicubic doubling and padding are folded into the neighbours' weights, which leaves 81 of 121 (see `resampling`);
//! - features at full resolution are never stored;
//! - weights depend on the image alone: where windows overlap, they are computed once (see `window_cache`).
//!
//! Two backends compute this: `float32` on every processor, and `amx` for models that are computed in bfloat16, where the
//! processor has AMX.

#![warn(missing_docs)]
#![expect(
    clippy::indexing_slicing,
    reason = "kernels over arrays whose lengths `logits` checks and the grids determine; bounds are checked all the same"
)]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod backend;
mod bilinear;
mod float32;
mod kernels;
mod limit;
mod naf;
mod parameters;
mod pixel_grid;
mod reduced;
mod resampling;
mod runner;
mod simd;
pub mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod window_cache;
mod window_weights;

use std::collections::BTreeMap;
use std::path::Path;

use rayon::{ThreadPool, ThreadPoolBuilder};
use segearth_error::{Context, Error, Result};

use backend::Backend as _;
use float32::Float32;
pub use limit::{INSTRUCTIONS_VARIABLE, Limit};

pub use naf::{Naf, supports_naf};
pub use parameters::supports_patch;
use parameters::{DoublingParameters, Parameters};
use pixel_grid::PixelGrid;
use runner::Runner;
use simd::Level;
use window_cache::DEFAULT_CACHE_BYTES;

/// The vector instructions that the kernels use on this processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instructions {
    /// Those of float32: `AVX-512`, `AVX2`, or `portable` where there is neither.
    pub float32: &'static str,
    /// Whether bfloat16 is computed in AMX tiles.
    pub amx: bool,
}

/// Returns the vector instructions that the kernels use on this processor, within the limit of [`INSTRUCTIONS_VARIABLE`] if its
/// value is allowed.
pub fn instructions() -> Instructions {
    let limit = Limit::from_environment().unwrap_or(Limit::None);
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    let amx = limit == Limit::None && amx::is_available();
    #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
    let amx = false;
    Instructions { float32: Level::up_to(limit).name(), amx }
}

/// A batch of windows of one size.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// Number of windows.
    pub count: usize,
    /// Rows of a window, in pixels.
    pub height: usize,
    /// Columns of a window, in pixels.
    pub width: usize,
    /// Normalised images, (window, 3, row, column).
    pub pixels: &'a [f32],
    /// Features, (window, 1 + patch, D): `[CLS]`, then the patches row by row, multiplied by I + 0.1 Wᵀ with the last fixup's W.
    pub tokens: &'a [f32],
}

/// The text features that pixels are compared with.
#[derive(Clone, Copy, Debug)]
pub struct TextQueries<'a> {
    /// Features of unit norm, (query, D).
    pub features: &'a [f32],
    /// Factor of the `[CLS]` feature's similarity, which is added to every pixel's (-0.3 in the paper).
    pub lambda: f32,
}

/// A learned upsampler with a cache of the windows that it computed last.
pub struct Upsampler {
    parameters: Parameters,
    patch: usize,
    threads: ThreadPool,
    /// The grids of the last windows, and their size in rows and columns of patches.
    grids: Option<([usize; 2], Vec<PixelGrid>)>,
    backend: SelectedBackend,
    shortcuts: Shortcuts,
}

/// The backend in use, with its cache.
enum SelectedBackend {
    Float32(Runner<Float32>),
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Amx(Runner<amx::Bfloat16>),
}

/// The precision of the upsampler.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelPrecision {
    /// Float32 throughout.
    #[default]
    Float32,
    /// Products of bfloat16 numbers, summed in float32, where the processor has AMX; float32 elsewhere.
    Bfloat16,
}

/// Approximations that make the upsampler faster. By default there are none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortcuts {
    /// Most channels from which norms are computed: those with the largest part of them. The norms are exact if there are as many
    /// channels as patches in the window, and one more.
    pub channels: Option<usize>,
    /// Computes logits before the last doubling, and doubles them bilinearly.
    pub half_resolution: bool,
}

impl Upsampler {
    /// Reads the parameters that an import wrote. `patch`: side of a patch in pixels, a power of two; `depth`: width of the
    /// features (D); `threads`: number of threads that compute.
    ///
    /// # Errors
    /// The file cannot be read, or holds no upsampler for such patches and features; or [`INSTRUCTIONS_VARIABLE`] has a value that is
    /// not allowed.
    pub fn load(
        path: &Path,
        patch: usize,
        depth: usize,
        threads: usize,
        precision: KernelPrecision,
        shortcuts: Shortcuts,
    ) -> Result<Self> {
        let context = || format!("cannot use the upsampler in {}", path.display());
        let parameters = Parameters::read(path).input(context)?;
        parameters.check_depth(depth).input(context)?;
        let backend = SelectedBackend::new(&parameters, precision)?;
        Self::new(parameters, patch, threads, backend, shortcuts).input(context)
    }

    /// Returns an upsampler with the parameters `tensors`: float32 under the canonical names of a checkpoint, row-major.
    ///
    /// # Errors
    /// A tensor is missing or has the wrong size, or the patch is not supported; or [`INSTRUCTIONS_VARIABLE`] has a value that is not
    /// allowed.
    pub fn from_tensors(
        tensors: &BTreeMap<String, Vec<f32>>,
        patch: usize,
        threads: usize,
        precision: KernelPrecision,
    ) -> Result<Self> {
        let parameters = Parameters::new(tensors)?;
        let backend = SelectedBackend::new(&parameters, precision)?;
        Self::new(parameters, patch, threads, backend, Shortcuts::default())
    }

    fn new(
        parameters: Parameters,
        patch: usize,
        threads: usize,
        backend: SelectedBackend,
        shortcuts: Shortcuts,
    ) -> Result<Self> {
        parameters.check_patch(patch)?;
        if shortcuts.half_resolution && patch < 4 {
            return Err(Error::input(format!(
                "half resolution needs patches of 4 pixels or more; this model's have {patch}"
            )));
        }
        let threads = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(|_| "upsample".into());
        let threads = threads.build().internal(|| "cannot start the upsampler's threads".into())?;
        Ok(Self { parameters, patch, threads, grids: None, backend, shortcuts })
    }

    /// Returns the logits of a batch, (window, query, row, column).
    ///
    /// # Errors
    /// The arrays do not have the lengths that the sizes imply, or a side is not a multiple of the patch.
    pub fn logits(&mut self, windows: &Windows<'_>, queries: &TextQueries<'_>) -> Result<Vec<f32>> {
        let depth = self.parameters.offset.len();
        let size = [windows.height / self.patch, windows.width / self.patch];
        let pixels = windows.height * windows.width;
        let tokens = (size[0] * size[1] + 1) * depth;
        let whole = [windows.height, windows.width].iter().all(|side| side.is_multiple_of(self.patch) && *side > 0);
        let fits = windows.pixels.len() == windows.count * 3 * pixels && windows.tokens.len() == windows.count * tokens;
        if !whole || !fits || queries.features.is_empty() || !queries.features.len().is_multiple_of(depth) {
            return Err(Error::internal(format!(
                "{} windows of {} × {} pixels do not match arrays of {} pixels, {} features and {} numbers of queries",
                windows.count,
                windows.width,
                windows.height,
                windows.pixels.len(),
                windows.tokens.len(),
                queries.features.len()
            )));
        }
        let grids = match self.grids.take() {
            Some((of_size, grids)) if of_size == size => grids,
            _ => self.grids_of(size),
        };
        let Self { parameters, threads, shortcuts, backend, .. } = self;
        let logits = threads.install(|| match backend {
            SelectedBackend::Float32(runner) => runner.logits(parameters, &grids, *shortcuts, windows, queries),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            SelectedBackend::Amx(runner) => runner.logits(parameters, &grids, *shortcuts, windows, queries),
        });
        self.grids = Some((size, grids));
        Ok(logits)
    }

    /// Limits the cache of windows to `bytes`, but at most its default of 400 MiB, and returns the limit.
    pub fn set_cache_limit(&mut self, bytes: usize) -> usize {
        let limit = match &mut self.backend {
            SelectedBackend::Float32(runner) => &mut runner.cache.limit_bytes,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            SelectedBackend::Amx(runner) => &mut runner.cache.limit_bytes,
        };
        *limit = bytes.min(DEFAULT_CACHE_BYTES);
        *limit
    }

    /// Returns the grid of each doubling of windows of `size` rows and columns of patches.
    fn grids_of(&self, size: [usize; 2]) -> Vec<PixelGrid> {
        let doublings = self.patch.ilog2() as usize;
        (0..doublings - usize::from(self.shortcuts.half_resolution))
            .map(|index| {
                let cells = size.map(|side| side << index);
                self.backend.grid(cells, self.parameters.doubling(index), self.patch >> (index + 1))
            })
            .collect()
    }
}

impl SelectedBackend {
    fn new(parameters: &Parameters, precision: KernelPrecision) -> Result<Self> {
        let limit = Limit::from_environment()?;
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if precision == KernelPrecision::Bfloat16
            && limit == Limit::None
            && let Some(backend) = amx::Bfloat16::new(parameters)
        {
            return Ok(Self::Amx(Runner::new(backend)));
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let _ = (parameters, precision);
        Ok(Self::Float32(Runner::new(Float32::new(Level::up_to(limit)))))
    }

    fn grid(&self, cells: [usize; 2], doubling: &DoublingParameters, factor: usize) -> PixelGrid {
        match self {
            Self::Float32(runner) => runner.backend.grid(cells, doubling, factor),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Amx(runner) => runner.backend.grid(cells, doubling, factor),
        }
    }
}
