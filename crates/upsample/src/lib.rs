//! SimFeatUp on the CPU: from a window's patch features to logits, in kernels of our own.
//!
//! ```text
//!  image ──► guidance ──► keys ──► weights of all neighbours, folded onto source cells   (kernels, for each doubling)
//!                                          │
//!  tokens ──► channels (basis) ──► sums ─► … ─► sums ──► length and products of each pixel ──► logits
//! ```
//!
//! It computes what the network's trace computes, and differs from it by rounding only:
//! - scalar products with the queries are upsampled as channels of their own, the length of a feature needs min(N + 1, D)
//!   channels (see `basis`);
//! - the bicubic doubling and the padding are folded into the neighbours' weights, which leaves 81 of 121 (see `axis`);
//! - the features of full resolution are never stored;
//! - weights come from the image alone: where a window overlaps windows that were cached before, they are taken from there
//!   (see `cached`).
//!
//! Two engines do this: `float32` anywhere, and `tiles` in bfloat16 for models that are computed in it themselves, where the
//! processor multiplies tiles of it (AMX).

#![warn(missing_docs)]
#![expect(
    clippy::indexing_slicing,
    reason = "kernels over arrays whose lengths `logits` checks and the plan decides; bounds are checked all the same"
)]

#[cfg(all(target_arch = "x86_64", target_os = "linux"))]
mod amx;
mod axis;
mod basis;
mod bilinear;
mod engine;
mod float32;
mod kernels;
mod make;
mod plan;
mod simd;
pub mod tables;
#[cfg(test)]
pub(crate) mod tests;
mod weights;
mod window_cache;

use std::collections::BTreeMap;
use std::path::Path;

use rayon::{ThreadPool, ThreadPoolBuilder};
use segearth_error::{Context, Error, Result};

use engine::{Kernels, Run};
use float32::Float32;
use plan::PixelGrid;
use simd::Level;
use weights::{Doubling, Weights};
use window_cache::MOST_KEPT;

/// A batch of windows of one size.
#[derive(Clone, Copy, Debug)]
pub struct Windows<'a> {
    /// Number of windows.
    pub count: usize,
    /// Rows of a window, in pixels.
    pub height: usize,
    /// Columns of a window, in pixels.
    pub width: usize,
    /// Normalised, (window, 3, row, column).
    pub pixels: &'a [f32],
    /// (window, 1 + patch, D): `[CLS]`, then the patches row by row, multiplied by I + 0.1 Wᵀ with the last fixup's W.
    pub tokens: &'a [f32],
}

/// What pixels are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Targets<'a> {
    /// Of unit length, (query, D).
    pub queries: &'a [f32],
    /// The share of the `[CLS]` feature's similarity that is added (-0.3 in the paper).
    pub lambda: f32,
}

/// A learned upsampler, and the windows that it saw last.
pub struct Upsampler {
    weights: Weights,
    patch: usize,
    threads: ThreadPool,
    /// Rows and columns of patches, and what follows from them.
    plan: Option<([usize; 2], Vec<PixelGrid>)>,
    form: Form,
    shortcuts: Shortcuts,
}

/// The engine in use, and what it remembers.
enum Form {
    Float32(Run<Float32>),
    #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
    Tiles(Run<amx::Bfloat16>),
}

/// What the model computes in, and the upsampler may.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum KernelPrecision {
    /// Float32 throughout.
    #[default]
    Float32,
    /// Products of bfloat16 where the processor has tiles for them, summed in float32; float32 elsewhere.
    Bfloat16,
}

/// Ways to be faster that approximate. The default takes none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shortcuts {
    /// Takes the lengths of features from so many channels at the most: those that hold most of them. Fewer than the window
    /// has patches (and one) approximate.
    pub channels: Option<usize>,
    /// Makes logits before the last doubling, and doubles these bilinearly.
    pub half_resolution: bool,
}

impl Upsampler {
    /// Reads the weights that an import wrote. `patch`: side of a patch in pixels, a power of two; `depth`: width of the
    /// features (D); `threads` compute.
    ///
    /// # Errors
    /// The file is not there or no upsampler's, or does not fit the model.
    pub fn load(
        path: &Path,
        patch: usize,
        depth: usize,
        threads: usize,
        precision: KernelPrecision,
        shortcuts: Shortcuts,
    ) -> Result<Self> {
        let place = || format!("cannot use the upsampler in {}", path.display());
        let weights = Weights::read(path).input(place)?;
        weights.is_as_wide_as(depth).input(place)?;
        let form = Form::new(&weights, precision);
        Self::new(weights, patch, threads, form, shortcuts).input(place)
    }

    /// `tensors`: float32 under the canonical names of a checkpoint, row-major.
    ///
    /// # Errors
    /// A tensor is missing or of another shape, or they do not fit the patch.
    pub fn from_tensors(
        tensors: &BTreeMap<String, Vec<f32>>,
        patch: usize,
        threads: usize,
        precision: KernelPrecision,
    ) -> Result<Self> {
        let weights = Weights::new(tensors)?;
        let form = Form::new(&weights, precision);
        Self::new(weights, patch, threads, form, Shortcuts::default())
    }

    fn new(weights: Weights, patch: usize, threads: usize, form: Form, shortcuts: Shortcuts) -> Result<Self> {
        weights.fits(patch)?;
        if shortcuts.half_resolution && patch < 4 {
            return Err(Error::input(format!(
                "patches of {patch} pixels are doubled once only, and not at half resolution"
            )));
        }
        let threads = ThreadPoolBuilder::new().num_threads(threads.max(1)).thread_name(|_| "upsample".into());
        let threads = threads.build().internal(|| "the upsampler's threads cannot be started".into())?;
        Ok(Self { weights, patch, threads, plan: None, form, shortcuts })
    }

    /// Logits (window, query, row, column) of a batch.
    ///
    /// # Errors
    /// The arrays are not as long as the sizes say, or a side is no multiple of the patch.
    pub fn logits(&mut self, windows: &Windows<'_>, targets: &Targets<'_>) -> Result<Vec<f32>> {
        let depth = self.weights.offset.len();
        let size = [windows.height / self.patch, windows.width / self.patch];
        let pixels = windows.height * windows.width;
        let tokens = (size[0] * size[1] + 1) * depth;
        let whole = [windows.height, windows.width].iter().all(|side| side.is_multiple_of(self.patch) && *side > 0);
        let fits = windows.pixels.len() == windows.count * 3 * pixels && windows.tokens.len() == windows.count * tokens;
        if !whole || !fits || targets.queries.is_empty() || !targets.queries.len().is_multiple_of(depth) {
            return Err(Error::internal(format!(
                "{} windows of {} × {} pixels do not go with {} pixels, {} features and {} numbers of queries",
                windows.count,
                windows.width,
                windows.height,
                windows.pixels.len(),
                windows.tokens.len(),
                targets.queries.len()
            )));
        }
        let grids = match self.plan.take() {
            Some((planned, grids)) if planned == size => grids,
            _ => self.grids(size),
        };
        let Self { weights, threads, shortcuts, form, .. } = self;
        let logits = threads.install(|| match form {
            Form::Float32(run) => run.logits(weights, &grids, *shortcuts, windows, targets),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Form::Tiles(run) => run.logits(weights, &grids, *shortcuts, windows, targets),
        });
        self.plan = Some((size, grids));
        Ok(logits)
    }

    /// Keeps at most so many bytes of the windows it saw, and no more than it would keep by itself: gives how many that are.
    pub fn set_cache_limit(&mut self, bytes: usize) -> usize {
        let most = match &mut self.form {
            Form::Float32(run) => &mut run.memory.most,
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Form::Tiles(run) => &mut run.memory.most,
        };
        *most = bytes.min(MOST_KEPT);
        *most
    }

    fn grids(&self, size: [usize; 2]) -> Vec<PixelGrid> {
        let steps = self.patch.ilog2() as usize;
        (0..steps - usize::from(self.shortcuts.half_resolution))
            .map(|index| {
                let cells = size.map(|side| side << index);
                self.form.grid(cells, self.weights.step(index), self.patch >> (index + 1))
            })
            .collect()
    }
}

impl Form {
    fn new(weights: &Weights, precision: KernelPrecision) -> Self {
        #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
        if precision == KernelPrecision::Bfloat16
            && let Some(engine) = amx::Bfloat16::new(weights)
        {
            return Self::Tiles(Run::new(engine));
        }
        #[cfg(not(all(target_arch = "x86_64", target_os = "linux")))]
        let _ = (weights, precision);
        Self::Float32(Run::new(Float32::new(Level::best())))
    }

    fn grid(&self, cells: [usize; 2], step: &Doubling, factor: usize) -> PixelGrid {
        match self {
            Self::Float32(run) => run.engine.grid(cells, step, factor),
            #[cfg(all(target_arch = "x86_64", target_os = "linux"))]
            Self::Tiles(run) => run.engine.grid(cells, step, factor),
        }
    }
}

/// Whether patches of so many pixels can be upsampled here.
pub fn serves(patch: usize) -> bool {
    patch > 1 && patch.is_power_of_two()
}
