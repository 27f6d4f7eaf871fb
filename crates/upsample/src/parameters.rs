//! The upsampler's learned parameters, read from a bundle and packed for the kernels.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use segearth_error::{Context, Error, Result};

/// Bounds of exp(range_temp).
const TEMPERATURE_BOUNDS: [f32; 2] = [1e-4, 1e4];
/// Factor of the learned corrections.
const FIXUP_SCALE: f32 = 0.1;

/// The matrix and bias of a linear layer in blocks of rows: (block, column, row in block), the last block padded with zeros.
#[derive(Debug)]
pub(super) struct Packed {
    pub columns: usize,
    /// Rows in a block.
    pub block: usize,
    pub numbers: Vec<f32>,
    /// (row), padded like the rows.
    pub bias: Vec<f32>,
}

impl Packed {
    /// `matrix`: (row, column).
    fn new(matrix: &[f32], bias: &[f32], block: usize) -> Self {
        let rows = bias.len();
        let columns = matrix.len() / rows.max(1);
        let blocks = rows.div_ceil(block);
        let mut numbers = vec![0.0; blocks * columns * block];
        for (row, of_row) in matrix.chunks_exact(columns).enumerate() {
            let start = row / block * columns * block + row % block;
            for (column, &number) in of_row.iter().enumerate() {
                numbers[start + column * block] = number;
            }
        }
        let mut bias = bias.to_vec();
        bias.resize(blocks * block, 0.0);
        Self { columns, block, numbers, bias }
    }

    /// Returns the first `rows` rows, unpacked to (row, column).
    pub fn plain(&self, rows: usize) -> Vec<f32> {
        (0..rows).flat_map(|row| (0..self.columns).map(move |column| self.at(row, column))).collect()
    }

    /// Returns one element of the matrix.
    pub fn at(&self, row: usize, column: usize) -> f32 {
        self.numbers[(row / self.block * self.columns + column) * self.block + row % self.block]
    }
}

/// The parameters of one doubling.
#[derive(Debug)]
pub(super) struct DoublingParameters {
    pub radius: usize,
    /// Width of the keys (the projected guidance).
    pub keys: usize,
    /// From guidance to the hidden layer, (key, 3) and (key).
    pub range_in: Packed,
    /// From the hidden layer to keys.
    pub range_out: Packed,
    /// Factor of the scalar products of keys.
    pub temperature: f32,
    /// The spatial kernel, (d²).
    pub spatial: Vec<f32>,
    /// From weights and guidance to the hidden layer, (d², d² + 3).
    pub fixup_in: Packed,
    /// From the hidden layer to corrections, [`FIXUP_SCALE`] included.
    pub fixup_out: Packed,
}

/// The parameters of an upsampler.
#[derive(Debug)]
pub(super) struct Parameters {
    /// One for all doublings (`jbu_one`), or one for each (`jbu_stack`).
    pub doublings: Vec<DoublingParameters>,
    /// Added to every upsampled feature, (D).
    pub offset: Vec<f32>,
}

/// Largest side of the neighbourhood (d).
pub(super) const MAX_DIAMETER: usize = 31;

/// Rows of a layer that are accumulated at once.
pub(super) const ROWS: usize = 11;

impl Parameters {
    /// Reads the file that an import writes: float32 under the canonical names of a checkpoint.
    ///
    /// # Errors
    /// The file cannot be read or is not safetensors, or a tensor is missing, not float32 or of the wrong size.
    pub fn read(path: &Path) -> Result<Self> {
        Self::new(&read_tensors(path)?)
    }

    /// Returns the parameters of a doubling, counted from 0.
    pub fn doubling(&self, index: usize) -> &DoublingParameters {
        &self.doublings[index.min(self.doublings.len() - 1)]
    }

    /// Packs `tensors`: by canonical name, row-major.
    pub fn new(tensors: &BTreeMap<String, Vec<f32>>) -> Result<Self> {
        let offset = tensor(tensors, "fixup_proj.1.bias")?.iter().map(|bias| FIXUP_SCALE * bias).collect();
        let own = (1..).take_while(|index| tensors.contains_key(&format!("up{index}.range_temp"))).count();
        let doublings = (1..=own.max(1))
            .map(|index| DoublingParameters::new(tensors, &format!("up{index}.")))
            .collect::<Result<_>>()?;
        Ok(Self { doublings, offset })
    }
    /// Returns an error unless patches with a side of `patch` pixels are supported.
    pub fn check_patch(&self, patch: usize) -> Result<()> {
        if !supports_patch(patch) {
            return Err(Error::input(format!("patches have a side of {patch} pixels, not a power of two from 2 on")));
        }
        let (own, needed) = (self.doublings.len(), patch.ilog2() as usize);
        if own != 1 && own != needed {
            return Err(Error::input(format!(
                "the upsampler doubles {own} times, but patches of {patch} pixels need {needed} doublings"
            )));
        }
        Ok(())
    }

    /// Returns an error unless the upsampler is for features of width `depth`.
    pub fn check_depth(&self, depth: usize) -> Result<()> {
        let found = self.offset.len();
        match found == depth {
            true => Ok(()),
            false => {
                Err(Error::input(format!("the upsampler is for features of width {found}, the model has {depth}")))
            }
        }
    }
}

/// Returns whether patches with a side of `patch` pixels are supported: powers of two from 2 on.
pub fn supports_patch(patch: usize) -> bool {
    patch > 1 && patch.is_power_of_two()
}

impl DoublingParameters {
    fn new(tensors: &BTreeMap<String, Vec<f32>>, prefix: &str) -> Result<Self> {
        let get = |name: &str| tensor(tensors, &format!("{prefix}{name}"));
        let sized = |name: &str, length: usize| {
            let tensor = get(name)?;
            match tensor.len() == length {
                true => Ok(tensor),
                false => {
                    let found = tensor.len();
                    Err(Error::input(format!("the tensor {prefix}{name} has {found} numbers, not {length}")))
                }
            }
        };
        let taps = get("fixup_proj.3.bias")?.len();
        let diameter = taps.isqrt();
        if diameter * diameter != taps || diameter % 2 == 0 || diameter > MAX_DIAMETER {
            return Err(Error::input(format!(
                "the tensor {prefix}fixup_proj.3.bias has {taps} numbers, not the square of an odd number up to {MAX_DIAMETER}"
            )));
        }
        let keys = get("range_proj.0.bias")?.len();
        if keys == 0 {
            return Err(Error::input(format!("the tensor {prefix}range_proj.0.bias is empty")));
        }
        let layer = |name: &str, rows: usize, columns: usize, scale: f32| {
            let scaled = |numbers: &[f32]| numbers.iter().map(|number| scale * number).collect::<Vec<_>>();
            let matrix = scaled(sized(&format!("{name}.weight"), rows * columns)?);
            Ok::<_, Error>(Packed::new(&matrix, &scaled(sized(&format!("{name}.bias"), rows)?), ROWS))
        };
        let [low, high] = TEMPERATURE_BOUNDS;
        let sigma = sized("sigma_spatial", 1)?[0];
        Ok(Self {
            radius: diameter / 2,
            keys,
            range_in: layer("range_proj.0", keys, 3, 1.0)?,
            range_out: layer("range_proj.3", keys, keys, 1.0)?,
            temperature: sized("range_temp", 1)?[0].exp().clamp(low, high),
            spatial: spatial_kernel(diameter, sigma),
            fixup_in: layer("fixup_proj.0", taps, taps + 3, 1.0)?,
            fixup_out: layer("fixup_proj.3", taps, taps, FIXUP_SCALE)?,
        })
    }
}

/// Reads the float32 tensors of a safetensors file.
///
/// # Errors
/// The file cannot be read or is not safetensors, or a tensor is not float32.
pub(super) fn read_tensors(path: &Path) -> Result<BTreeMap<String, Vec<f32>>> {
    let bytes = std::fs::read(path).input(|| "the file cannot be read".into())?;
    let file = SafeTensors::deserialize(&bytes).input(|| "the file is not a safetensors file".into())?;
    let mut tensors = BTreeMap::new();
    for (name, view) in file.tensors() {
        if view.dtype() != Dtype::F32 {
            return Err(Error::input(format!("the tensor {name} has type {}, not F32", view.dtype())));
        }
        let numbers =
            view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
        tensors.insert(name, numbers.collect());
    }
    Ok(tensors)
}

/// Returns exp(-|u|² / (2 σ²)) on a d × d grid over [-1, 1]², row-major.
fn spatial_kernel(diameter: usize, sigma: f32) -> Vec<f32> {
    let middle = (diameter / 2) as f32;
    let at = |index: usize| if middle == 0.0 { -1.0 } else { (index as f32 - middle) / middle };
    let squares = (0..diameter * diameter).map(|index| at(index / diameter).powi(2) + at(index % diameter).powi(2));
    squares.map(|square| (-square / (2.0 * sigma * sigma)).exp()).collect()
}

/// Returns the tensor `name`, or an error that it is missing.
fn tensor<'a>(tensors: &'a BTreeMap<String, Vec<f32>>, name: &str) -> Result<&'a [f32]> {
    match tensors.get(name) {
        Some(numbers) => Ok(numbers),
        None => Err(Error::input(format!("the tensor {name} is missing"))),
    }
}
