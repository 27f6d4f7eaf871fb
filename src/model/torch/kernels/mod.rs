//! SimFeatUp on a GPU: the same steps as [`segearth_upsample`] does on the CPU, with kernels of our own.
//!
//! libtorch does what is a product of large matrices (the channels, the corrections of the neighbours' weights); the kernels do
//! the rest, so that neither neighbours nor features of full resolution are ever stored. They are compiled for the card when a
//! model is loaded.

#![expect(
    clippy::indexing_slicing,
    reason = "sizes whose number is looked at before, and the step that a doubling has"
)]

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError};

use segearth_upsample::tables::{AxisTables, DoublingTables, Layer, Tables};
use tch::{Device as TorchDevice, Kind as Number, Tensor};

use super::sizes_of;
use crate::error::{Error, Result};

mod driver;
mod launch;
#[cfg(test)]
pub(crate) mod tests;

use driver::Card;
pub(super) use driver::LIBRARY;
use launch::{Added, AxisTensors, Channels, Doubled, Kernels, Range};

/// Added to the diagonal of the Gram matrix, relative to its largest element: for linearly dependent patches rounding could make a
/// pivot negative. Far below the precision of float32.
const FLOOR: f64 = 1e-10;

/// A learned upsampler on a device.
#[derive(Debug)]
pub(super) struct DeviceUpsampler {
    tables: Tables,
    device: TorchDevice,
    number: Number,
    /// (D)
    offset: Tensor,
    steps: Vec<Step>,
    /// For windows of the last size.
    axes: Mutex<Option<Axes>>,
}

/// What the size of a window decides.
#[derive(Debug)]
struct Axes {
    /// Rows and columns of patches.
    grid: [usize; 2],
    /// Down and across, for each doubling.
    doublings: Vec<[AxisTensors; 2]>,
}

/// What the pixels of a doubling have in common.
#[derive(Debug)]
struct Step {
    kernels: Arc<Kernels>,
    range: Range,
    temperature: f32,
    spatial: Tensor,
    /// (pitch, hidden) and (hidden, pitch): weights, guidance and a one to hidden weights, these to corrections.
    fixup: [Tensor; 2],
    /// (neighbour)
    constant: Tensor,
}

/// The reduced features of a batch.
struct ReducedFeatures {
    /// (window, patch row, patch column, channel)
    features: Tensor,
    /// (window, channel)
    offset: Tensor,
    /// (window, query)
    of_cls: Tensor,
    lengths: usize,
    channels: usize,
}

impl DeviceUpsampler {
    /// `library`: see [`LIBRARY`]; `index`: the card's; `device`: the device of tensors; `number`: the type between kernels.
    ///
    /// # Errors
    /// There is no such card, or the kernels cannot be compiled for it.
    pub fn new(tables: Tables, library: &OsStr, index: usize, device: TorchDevice, number: Number) -> Result<Self> {
        let card = Arc::new(Card::open(library, index)?);
        let offset = on(device, tables.offset(), &[tables.offset().len()])?;
        let mut steps: Vec<Step> = Vec::new();
        for tables in tables.doubling_tables() {
            // Keys of zeros change no scalar product.
            let keys = tables.keys.next_multiple_of(8);
            let alike = steps.last().filter(|step| step.kernels.serve(tables.radius, keys));
            let kernels = match alike {
                Some(step) => Arc::clone(&step.kernels),
                None => Arc::new(Kernels::new(&card, device, number, tables.radius, keys)?),
            };
            steps.push(Step::new(&tables, kernels, device, number)?);
        }
        Ok(Self { tables, device, number, offset, steps, axes: Mutex::default() })
    }

    /// Logits (window, query, row, column), float32. `images` (window, 3, row, column), normalised, float32; `tokens` (window,
    /// 1 + patch, D), float32: [CLS], then the patches, after the last fixup but for its constant; `queries` (query, D) of
    /// unit length; `lambda` (1).
    pub fn logits(&self, images: &Tensor, tokens: &Tensor, queries: &Tensor, lambda: &Tensor) -> Result<Tensor> {
        let [windows, _, height, width] = sizes(images)?;
        let patch = 1 << self.tables.doublings();
        let grid = [height / patch, width / patch];
        let sources = self.sources(grid, tokens, queries, lambda)?;
        let mut seen = self.axes.lock().unwrap_or_else(PoisonError::into_inner);
        let axes = match seen.take() {
            Some(axes) if axes.grid == grid => axes,
            _ => self.make_axes(grid)?,
        };
        let axes = &seen.insert(axes).doublings;
        let images = images.f_contiguous()?;
        let queries = queries.size()[0] as usize;
        let mut features = sources.features;
        let last = axes.len() - 1;
        for (doubling, axes) in axes.iter().enumerate() {
            let step = &self.steps[doubling.min(self.steps.len() - 1)];
            let factor = self.tables.factor(doubling);
            let grid = Doubled { windows, rows: height / factor, columns: width / factor, factor };
            let weights = step.weights(&images, grid)?;
            let channels = Channels { source: &features, all: sources.channels, lengths: sources.lengths, queries };
            let added = (doubling == last).then_some(Added { offset: &sources.offset, of_cls: &sources.of_cls });
            features = step.kernels.gather(&weights, &step.constant, grid, axes, &channels, added)?;
        }
        Ok(features)
    }

    /// Lengths need min(N + 1, D) channels: the features themselves, or the Cholesky factor of their scalar products. Products
    /// with the queries are channels of their own.
    fn sources(
        &self,
        [rows, columns]: [usize; 2],
        tokens: &Tensor,
        queries: &Tensor,
        lambda: &Tensor,
    ) -> Result<ReducedFeatures> {
        let [windows, count, depth] = sizes(tokens)?;
        let cls = tokens.f_narrow(1, 0, 1)?;
        let offset = self.offset.f_expand([windows as i64, 1, depth as i64], false)?;
        let vectors = Tensor::f_cat(&[tokens.f_narrow(1, 1, count as i64 - 1)?, offset], 1)?;
        let targets = queries.f_transpose(0, 1)?;
        let factor = if count < depth {
            // In float64: the factor's squares would lose half of float32's digits.
            let wide = vectors.f_to_kind(Number::Double)?;
            let gram = wide.f_bmm(&wide.f_transpose(1, 2)?)?;
            let mut squares = gram.f_diagonal(0, 1, 2)?;
            let floor = squares.f_amax([-1].as_slice(), true)?.f_mul_scalar(FLOOR)?.f_clamp_min(f64::MIN_POSITIVE)?;
            let _ = squares.f_add_(&floor)?;
            gram.f_linalg_cholesky_ex(false, false)?.0.f_to_kind(Number::Float)?
        } else {
            vectors.shallow_clone()
        };
        let (lengths, products) = (count.min(depth), queries.size()[0] as usize);
        let channels = (lengths + products).next_multiple_of(8);
        let rest = (channels - lengths - products) as i64;
        let all = Tensor::f_cat(&[factor, vectors.f_matmul(&targets)?], 2)?.f_constant_pad_nd([0, rest])?;
        let patches = (rows * columns) as i64;
        let shape = [windows, rows, columns, channels].map(|side| side as i64);
        let length = cls.f_linalg_norm(2.0, Some(&[-1i64][..]), true, Number::Float)?;
        let of_cls = cls.f_matmul(&targets)?.f_div(&length)?.f_mul(lambda)?;
        Ok(ReducedFeatures {
            features: all.f_narrow(1, 0, patches)?.f_to_kind(self.number)?.f_contiguous()?.f_view(shape)?,
            offset: all.f_select(1, patches)?.f_contiguous()?,
            of_cls: of_cls.f_squeeze_dim(1)?.f_contiguous()?,
            lengths,
            channels,
        })
    }

    fn make_axes(&self, grid: [usize; 2]) -> Result<Axes> {
        let of_doubling = |doubling: usize| {
            let [rows, columns] = grid.map(|patches| axis(self.device, self.tables.axis(doubling, patches)));
            Ok([rows?, columns?])
        };
        Ok(Axes { grid, doublings: (0..self.tables.doublings()).map(of_doubling).collect::<Result<_>>()? })
    }
}

impl Step {
    fn new(tables: &DoublingTables, kernels: Arc<Kernels>, device: TorchDevice, number: Number) -> Result<Self> {
        let taps = tables.spatial.len();
        let keys = kernels.keys();
        let [into, out] = &tables.range;
        let range = Range {
            into: on(device, &padded(&into.matrix, 3, [keys, 3]), &[keys, 3])?,
            into_bias: on(device, &padded(&into.bias, 1, [keys, 1]), &[keys])?,
            out: on(device, &padded(&out.matrix, tables.keys, [keys, keys]), &[keys, keys])?,
            out_bias: on(device, &padded(&out.bias, 1, [keys, 1]), &[keys])?,
        };
        let (pitch, hidden) = (kernels.pitch(), taps.next_multiple_of(8));
        let [to_hidden, corrections] = &tables.fixup;
        let with_bias = Layer { matrix: beside(to_hidden), bias: Vec::new() };
        let transposed = |matrix: &[f32], columns: usize, size: [usize; 2]| -> Result<Tensor> {
            let matrix = on(device, &padded(matrix, columns, size), &size)?;
            Ok(matrix.f_transpose(0, 1)?.f_contiguous()?.f_to_kind(number)?)
        };
        Ok(Self {
            range,
            temperature: tables.temperature,
            spatial: on(device, &tables.spatial, &[taps])?,
            fixup: [
                transposed(&with_bias.matrix, taps + 4, [hidden, pitch])?,
                transposed(&corrections.matrix, taps, [pitch, hidden])?,
            ],
            constant: on(device, &corrections.bias, &[taps])?,
            kernels,
        })
    }

    /// The neighbours' weights, corrected but for a constant, (pixel, pitch).
    fn weights(&self, images: &Tensor, grid: Doubled) -> Result<Tensor> {
        let seen = self.kernels.project(images, grid, &self.range)?;
        let weights = self.kernels.scores(&seen, grid, &self.spatial, self.temperature)?;
        drop(seen);
        let [to_hidden, corrections] = &self.fixup;
        let hidden = weights.f_matmul(to_hidden)?.f_gelu_("none")?;
        Ok(weights.f_addmm(&hidden, corrections)?)
    }
}

/// A layer's matrix with its bias as a last column.
fn beside(layer: &Layer) -> Vec<f32> {
    let columns = layer.matrix.len() / layer.bias.len().max(1);
    let rows = layer.matrix.chunks_exact(columns.max(1)).zip(&layer.bias);
    rows.flat_map(|(row, bias)| row.iter().chain([bias])).copied().collect()
}

/// A matrix filled up with zeros.
fn padded(matrix: &[f32], columns: usize, size: [usize; 2]) -> Vec<f32> {
    let mut larger = vec![0.0; size[0] * size[1]];
    for (to, from) in larger.chunks_exact_mut(size[1]).zip(matrix.chunks_exact(columns)) {
        to[..columns].copy_from_slice(from);
    }
    larger
}

fn axis(device: TorchDevice, tables: AxisTables) -> Result<AxisTensors> {
    let cells = tables.first.len();
    let neighbours = tables.coefficients.len() / (2 * cells * tables.support).max(1);
    Ok(AxisTensors {
        support: tables.support,
        first: Tensor::f_from_slice(&tables.first)?.f_to_device(device)?,
        coefficients: on(device, &tables.coefficients, &[2 * cells, neighbours, tables.support])?,
    })
}

fn on(device: TorchDevice, numbers: &[f32], shape: &[usize]) -> Result<Tensor> {
    let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
    Ok(Tensor::f_from_slice(numbers)?.f_reshape(&shape)?.f_to_device(device)?)
}

fn sizes<const COUNT: usize>(tensor: &Tensor) -> Result<[usize; COUNT]> {
    let unexpected = |sizes| Error::internal(format!("a tensor of sizes {sizes:?} where {COUNT} were expected"));
    sizes_of(tensor).try_into().map_err(unexpected)
}
