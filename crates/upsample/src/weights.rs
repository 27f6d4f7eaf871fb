//! The upsampler's weights, from the file of a bundle, laid out as the kernels want them.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use segearth_error::{Context, Error, Result};

/// Bounds of exp(range_temp).
const TEMPERATURE_BOUNDS: [f32; 2] = [1e-4, 1e4];
/// Share of the learned corrections.
const FIXUP_SHARE: f32 = 0.1;

/// A matrix whose rows are taken in blocks: (block, column, row in block), the last block filled up with zeros.
#[derive(Debug)]
pub(super) struct Packed {
    pub columns: usize,
    pub block: usize,
    pub numbers: Vec<f32>,
    /// One for each row and for the rows that fill up the last block.
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

    /// The first `rows` rows as they were, (row, column).
    pub fn plain(&self, rows: usize) -> Vec<f32> {
        (0..rows).flat_map(|row| (0..self.columns).map(move |column| self.at(row, column))).collect()
    }

    pub fn at(&self, row: usize, column: usize) -> f32 {
        self.numbers[(row / self.block * self.columns + column) * self.block + row % self.block]
    }
}

/// One doubling.
#[derive(Debug)]
pub(super) struct Doubling {
    pub radius: usize,
    /// Width of the projected guidance.
    pub keys: usize,
    /// Guidance to hidden keys, (key, 3) and (key).
    pub range_in: Packed,
    /// Hidden keys to keys.
    pub range_out: Packed,
    /// What scalar products of keys are multiplied with.
    pub temperature: f32,
    /// (d²)
    pub spatial: Vec<f32>,
    /// Weights and guidance to hidden weights, (d², d² + 3).
    pub fixup_in: Packed,
    /// Hidden weights to corrections, already as small as they are added.
    pub fixup_out: Packed,
}

/// The whole upsampler.
#[derive(Debug)]
pub(super) struct Weights {
    /// One that serves every doubling, or one for each.
    pub steps: Vec<Doubling>,
    /// Added to every upsampled feature, (D).
    pub offset: Vec<f32>,
}

/// Most neighbours on a side.
pub(super) const MAX_DIAMETER: usize = 31;

/// Rows of a matrix whose products are accumulated at once.
pub(super) const ROWS: usize = 11;

impl Weights {
    /// Reads the file that an import writes: float32, the canonical names of a checkpoint.
    ///
    /// # Errors
    /// It is no safetensors file, or a tensor is missing or of another shape.
    pub fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).input(|| "it cannot be read".into())?;
        let file = SafeTensors::deserialize(&bytes).input(|| "it is not a safetensors file".into())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            if view.dtype() != Dtype::F32 {
                return Err(Error::input(format!("the tensor {name} is {}, not F32", view.dtype())));
            }
            let numbers =
                view.data().chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
            tensors.insert(name, numbers.collect());
        }
        Self::new(&tensors)
    }

    /// The weights of a doubling, counted from 0.
    pub fn step(&self, index: usize) -> &Doubling {
        &self.steps[index.min(self.steps.len() - 1)]
    }

    /// `tensors`: by canonical name, row-major.
    pub fn new(tensors: &BTreeMap<String, Vec<f32>>) -> Result<Self> {
        let offset = tensor(tensors, "fixup_proj.1.bias")?.iter().map(|bias| FIXUP_SHARE * bias).collect();
        let own = (1..).take_while(|index| tensors.contains_key(&format!("up{index}.range_temp"))).count();
        let steps =
            (1..=own.max(1)).map(|index| Doubling::new(tensors, &format!("up{index}."))).collect::<Result<_>>()?;
        Ok(Self { steps, offset })
    }
}

impl Doubling {
    fn new(tensors: &BTreeMap<String, Vec<f32>>, prefix: &str) -> Result<Self> {
        let get = |name: &str| tensor(tensors, &format!("{prefix}{name}"));
        let sized = |name: &str, length: usize| {
            let tensor = get(name)?;
            match tensor.len() == length {
                true => Ok(tensor),
                false => {
                    let found = tensor.len();
                    Err(Error::input(format!("the tensor {prefix}{name} has {found} numbers, expected are {length}")))
                }
            }
        };
        let taps = get("fixup_proj.3.bias")?.len();
        let diameter = taps.isqrt();
        if diameter * diameter != taps || diameter % 2 == 0 || diameter > MAX_DIAMETER {
            return Err(Error::input(format!("{taps} neighbours are no square of an odd number up to {MAX_DIAMETER}")));
        }
        let keys = get("range_proj.0.bias")?.len();
        if keys == 0 {
            return Err(Error::input(format!("the tensor {prefix}range_proj.0.bias is empty")));
        }
        let layer = |name: &str, rows: usize, columns: usize, share: f32| {
            let scaled = |numbers: &[f32]| numbers.iter().map(|number| share * number).collect::<Vec<_>>();
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
            fixup_out: layer("fixup_proj.3", taps, taps, FIXUP_SHARE)?,
        })
    }
}

/// exp(-|u|² / (2 σ²)) on a d × d grid over [-1, 1]².
fn spatial_kernel(diameter: usize, sigma: f32) -> Vec<f32> {
    let middle = (diameter / 2) as f32;
    let at = |index: usize| if middle == 0.0 { -1.0 } else { (index as f32 - middle) / middle };
    let squares = (0..diameter * diameter).map(|index| at(index / diameter).powi(2) + at(index % diameter).powi(2));
    squares.map(|square| (-square / (2.0 * sigma * sigma)).exp()).collect()
}

fn tensor<'a>(tensors: &'a BTreeMap<String, Vec<f32>>, name: &str) -> Result<&'a [f32]> {
    match tensors.get(name) {
        Some(numbers) => Ok(numbers),
        None => Err(Error::input(format!("the tensor {name} is missing"))),
    }
}
