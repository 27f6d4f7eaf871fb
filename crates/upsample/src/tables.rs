//! The upsampler as plain tables, for kernels on other devices than the CPU.

use std::collections::BTreeMap;
use std::path::Path;

use segearth_error::{Context, Error, Result};

use super::axis::Axis;
use super::serves;
use super::weights::{Doubling, Packed, Weights};

/// A learned upsampler's weights.
#[derive(Debug)]
pub struct Tables {
    weights: Weights,
    patch: usize,
}

/// A linear layer.
#[derive(Clone, Debug, PartialEq)]
pub struct Layer {
    /// (out, in), row-major.
    pub matrix: Vec<f32>,
    /// (out).
    pub bias: Vec<f32>,
}

/// What the pixels of one doubling have in common.
#[derive(Clone, Debug)]
pub struct StepTables {
    /// Of the d × d neighbours, d = 2 radius + 1.
    pub radius: usize,
    /// Width of the projected guidance.
    pub keys: usize,
    /// Guidance (3) to hidden keys, hidden keys to keys.
    pub range: [Layer; 2],
    /// What scalar products of keys are multiplied with.
    pub temperature: f32,
    /// (d²)
    pub spatial: Vec<f32>,
    /// Weights and guidance (d² + 3) to hidden weights (d²), these to corrections (d²), as small as they are added.
    pub fixup: [Layer; 2],
}

/// One axis of a doubling: which source cells the neighbours of a doubled cell are computed of. The bicubic doubling and the
/// reflection at the edges are in it.
#[derive(Clone, Debug)]
pub struct AxisTables {
    /// Source cells that take part.
    pub reach: usize,
    /// (source cell): the first that takes part for the two doubled cells that come from it.
    pub first: Vec<i32>,
    /// (doubled cell, neighbour, source cell in reach)
    pub shares: Vec<f32>,
}

impl Tables {
    /// Reads the weights that an import wrote. `patch`: side of a patch in pixels, a power of two; `depth`: width of the
    /// features (D).
    ///
    /// # Errors
    /// The file is not there or no upsampler's, or does not fit the model.
    pub fn load(path: &Path, patch: usize, depth: usize) -> Result<Self> {
        let place = || format!("cannot use the upsampler in {}", path.display());
        Self::new(Weights::read(path).input(place)?, patch, depth).input(place)
    }

    /// `tensors`: float32 under the canonical names of a checkpoint, row-major.
    ///
    /// # Errors
    /// A tensor is missing or of another shape, or they do not fit the model.
    pub fn from_tensors(tensors: &BTreeMap<String, Vec<f32>>, patch: usize, depth: usize) -> Result<Self> {
        Self::new(Weights::new(tensors)?, patch, depth)
    }

    fn new(weights: Weights, patch: usize, depth: usize) -> Result<Self> {
        weights.fits(patch)?;
        weights.is_as_wide_as(depth)?;
        Ok(Self { weights, patch })
    }

    /// Doublings of a patch.
    pub fn doublings(&self) -> usize {
        self.patch.ilog2() as usize
    }

    /// Side in pixels of a doubled cell.
    pub fn factor(&self, doubling: usize) -> usize {
        self.patch >> (doubling + 1)
    }

    /// Added to every upsampled feature, (D).
    pub fn offset(&self) -> &[f32] {
        &self.weights.offset
    }

    /// One for each doubling, or one for all of them.
    pub fn steps(&self) -> Vec<StepTables> {
        self.weights.steps.iter().map(step).collect()
    }

    /// An axis of `patches` patches at a doubling.
    pub fn axis(&self, doubling: usize, patches: usize) -> AxisTables {
        let axis = Axis::new(patches << doubling, self.weights.step(doubling).radius);
        AxisTables {
            reach: axis.reach,
            first: (0..axis.cells).map(|cell| axis.first(cell) as i32).collect(),
            shares: (0..2 * axis.cells).flat_map(|doubled| axis.shares(doubled)).copied().collect(),
        }
    }
}

fn step(step: &Doubling) -> StepTables {
    let taps = step.spatial.len();
    StepTables {
        radius: step.radius,
        keys: step.keys,
        range: [layer(&step.range_in, step.keys), layer(&step.range_out, step.keys)],
        temperature: step.temperature,
        spatial: step.spatial.clone(),
        fixup: [layer(&step.fixup_in, taps), layer(&step.fixup_out, taps)],
    }
}

fn layer(packed: &Packed, rows: usize) -> Layer {
    Layer { matrix: packed.plain(rows), bias: packed.bias.iter().copied().take(rows).collect() }
}

impl Weights {
    /// Whether patches of so many pixels can be upsampled.
    pub fn fits(&self, patch: usize) -> Result<()> {
        if !serves(patch) {
            return Err(Error::input(format!("patches of {patch} pixels are no power of two")));
        }
        let (own, needed) = (self.steps.len(), patch.ilog2() as usize);
        if own != 1 && own != needed {
            return Err(Error::input(format!("an upsampler of {own} steps cannot serve patches of {patch} pixels")));
        }
        Ok(())
    }

    /// Whether it is for features of that width.
    pub fn is_as_wide_as(&self, depth: usize) -> Result<()> {
        let found = self.offset.len();
        match found == depth {
            true => Ok(()),
            false => Err(Error::input(format!("it is for features of width {found}, not {depth}"))),
        }
    }
}
