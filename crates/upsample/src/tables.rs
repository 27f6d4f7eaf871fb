//! The upsampler's parameters and coefficients as plain arrays, for kernels on a GPU.

use std::collections::BTreeMap;
use std::path::Path;

use segearth_error::{Context, Result};

use super::parameters::{DoublingParameters, Packed, Parameters};
use super::resampling::ResamplingAxis;

/// The parameters of a learned upsampler for patches of one size.
#[derive(Debug)]
pub struct Tables {
    parameters: Parameters,
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

/// The parameters of one doubling.
#[derive(Clone, Debug)]
pub struct DoublingTables {
    /// Radius of the neighbourhood of d × d cells, d = 2 radius + 1.
    pub radius: usize,
    /// Width of the keys (the projected guidance).
    pub keys: usize,
    /// From guidance (3) to the hidden layer, from the hidden layer to keys.
    pub range: [Layer; 2],
    /// Factor of the scalar products of keys.
    pub temperature: f32,
    /// The spatial kernel, (d²).
    pub spatial: Vec<f32>,
    /// From weights and guidance (d² + 3) to the hidden layer (d²), from that to corrections (d²), their factor of 0.1 included.
    pub fixup: [Layer; 2],
}

/// The coefficients of source cells along one axis of a doubling: bicubic doubling and reflection padding in one.
#[derive(Clone, Debug)]
pub struct AxisTables {
    /// Source cells with coefficients (the support).
    pub support: usize,
    /// (source cell): the first cell in the support of the two doubled cells of it.
    pub first: Vec<i32>,
    /// (doubled cell, neighbour, source cell in the support)
    pub coefficients: Vec<f32>,
}

impl Tables {
    /// Reads the parameters that an import wrote. `patch`: side of a patch in pixels, a power of two; `depth`: width of the
    /// features (D).
    ///
    /// # Errors
    /// The file cannot be read, or holds no upsampler for such patches and features.
    pub fn load(path: &Path, patch: usize, depth: usize) -> Result<Self> {
        let context = || format!("cannot use the upsampler in {}", path.display());
        Self::new(Parameters::read(path).input(context)?, patch, depth).input(context)
    }

    /// Returns tables of `tensors`: float32 under the canonical names of a checkpoint, row-major.
    ///
    /// # Errors
    /// A tensor is missing or has the wrong size, or the patch or the width of the features is not supported.
    pub fn from_tensors(tensors: &BTreeMap<String, Vec<f32>>, patch: usize, depth: usize) -> Result<Self> {
        Self::new(Parameters::new(tensors)?, patch, depth)
    }

    fn new(parameters: Parameters, patch: usize, depth: usize) -> Result<Self> {
        parameters.check_patch(patch)?;
        parameters.check_depth(depth)?;
        Ok(Self { parameters, patch })
    }

    /// Returns the number of doublings from patches to pixels.
    pub fn doublings(&self) -> usize {
        self.patch.ilog2() as usize
    }

    /// Returns the side of a doubled cell, in pixels.
    pub fn factor(&self, doubling: usize) -> usize {
        self.patch >> (doubling + 1)
    }

    /// Returns the constant that is added to every upsampled feature, (D).
    pub fn offset(&self) -> &[f32] {
        &self.parameters.offset
    }

    /// Returns the parameters of each doubling, or one set where all doublings share it.
    pub fn doubling_tables(&self) -> Vec<DoublingTables> {
        self.parameters.doublings.iter().map(doubling_tables).collect()
    }

    /// Returns the coefficients along an axis of `patches` patches at a doubling.
    pub fn axis(&self, doubling: usize, patches: usize) -> AxisTables {
        let axis = ResamplingAxis::new(patches << doubling, self.parameters.doubling(doubling).radius);
        AxisTables {
            support: axis.support,
            first: (0..axis.cells).map(|cell| axis.first(cell) as i32).collect(),
            coefficients: (0..2 * axis.cells).flat_map(|doubled| axis.coefficients(doubled)).copied().collect(),
        }
    }
}

fn doubling_tables(doubling: &DoublingParameters) -> DoublingTables {
    let taps = doubling.spatial.len();
    DoublingTables {
        radius: doubling.radius,
        keys: doubling.keys,
        range: [layer(&doubling.range_in, doubling.keys), layer(&doubling.range_out, doubling.keys)],
        temperature: doubling.temperature,
        spatial: doubling.spatial.clone(),
        fixup: [layer(&doubling.fixup_in, taps), layer(&doubling.fixup_out, taps)],
    }
}

fn layer(packed: &Packed, rows: usize) -> Layer {
    Layer { matrix: packed.plain(rows), bias: packed.bias.iter().copied().take(rows).collect() }
}
