//! The kernels as functions of tensors: what they take is looked at before they run.

#![expect(unsafe_code, reason = "launches kernels on tensors' memory")]

use std::ffi::CStr;
use std::sync::Arc;

use tch::{Device as TorchDevice, Kind as Number, Tensor};

use super::super::sizes_of;
use super::driver::{Card, Program};
use crate::error::{Error, Result};

const SOURCE: &str = concat!(include_str!("upsample.cu"), "\0");
const KERNELS: [&CStr; 3] = [c"project", c"scores", c"gather"];

/// Pixels of a block of `project`; pixels along a side of one of `scores`; source cells of a row of one of `gather`.
const BLOCKS: [usize; 3] = [256, 8, 8];

/// Most blocks along the second and third axis.
const MOST_BLOCKS: usize = 65_535;

/// The kernels for one radius, number of keys and type of numbers.
#[derive(Debug)]
pub(super) struct Kernels {
    program: Program<3>,
    device: TorchDevice,
    number: Number,
    radius: usize,
    keys: usize,
}

/// A grid of doubled cells of some windows.
#[derive(Clone, Copy, Debug)]
pub(super) struct Doubled {
    pub windows: usize,
    pub rows: usize,
    pub columns: usize,
    /// Side in pixels of a doubled cell.
    pub factor: usize,
}

impl Doubled {
    pub fn pixels(&self) -> usize {
        self.windows * self.rows * self.columns
    }
}

/// The weights of `project`, float32: (key, 3), (key), (key, key), (key).
#[derive(Debug)]
pub(super) struct Range {
    pub into: Tensor,
    pub into_bias: Tensor,
    pub out: Tensor,
    pub out_bias: Tensor,
}

/// One axis of a doubling: (source cell), int32, and (doubled cell, neighbour, source cell in the support).
#[derive(Debug)]
pub(super) struct AxisTensors {
    pub support: usize,
    pub first: Tensor,
    pub coefficients: Tensor,
}

/// What is summed: `source` (window, row, column, channel) with these channels first that lengths are made of, then a product
/// for each query, then zeros.
#[derive(Debug)]
pub(super) struct Channels<'a> {
    pub source: &'a Tensor,
    pub all: usize,
    pub lengths: usize,
    pub queries: usize,
}

/// For the last doubling: (window, channel) and (window, query), float32.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added<'a> {
    pub offset: &'a Tensor,
    pub of_cls: &'a Tensor,
}

impl Kernels {
    pub fn new(card: &Arc<Card>, device: TorchDevice, number: Number, radius: usize, keys: usize) -> Result<Self> {
        let code = match number {
            Number::Float => 32,
            Number::Half => 16,
            _ => return Err(Error::internal(format!("there are no kernels for {number:?}"))),
        };
        if keys == 0 || !keys.is_multiple_of(8) {
            return Err(Error::internal(format!("there are no kernels for {keys} keys")));
        }
        let source =
            CStr::from_bytes_with_nul(SOURCE.as_bytes()).map_err(|error| Error::internal(error.to_string()))?;
        let program = card.compile(source, &[("RADIUS", radius), ("KEYS", keys), ("NUMBER", code)], KERNELS)?;
        Ok(Self { program, device, number, radius, keys })
    }

    /// Width of the keys, zeros included.
    pub fn keys(&self) -> usize {
        self.keys
    }

    /// Whether they are compiled for these.
    pub fn serve(&self, radius: usize, keys: usize) -> bool {
        (self.radius, self.keys) == (radius, keys)
    }

    fn taps(&self) -> usize {
        (2 * self.radius + 1).pow(2)
    }

    /// Numbers of a pixel's row of weights: the neighbours', the guidance, a one, and zeros.
    pub fn pitch(&self) -> usize {
        (self.taps() + 4).next_multiple_of(8)
    }

    /// Keys (window, row, column, key), float32, and guidance with a one (window, row, column, 4) of `images` (window, 3, row, column),
    /// float32.
    pub fn project(&self, images: &Tensor, grid: Doubled, range: &Range) -> Result<[Tensor; 2]> {
        let Doubled { windows, rows, columns, factor } = grid;
        let keys = self.empty(&[windows, rows, columns, self.keys], Number::Float)?;
        let guidance = self.empty(&[windows, rows, columns, 4], self.number)?;
        let arguments = Project {
            images: self.floats(images, &[windows, 3, rows * factor, columns * factor])?,
            into: self.floats(&range.into, &[self.keys, 3])?,
            into_bias: self.floats(&range.into_bias, &[self.keys])?,
            out: self.floats(&range.out, &[self.keys, self.keys])?,
            out_bias: self.floats(&range.out_bias, &[self.keys])?,
            keys: address(&keys),
            guidance: address(&guidance),
            rows: size(rows)?,
            columns: size(columns)?,
            factor: size(factor)?,
        };
        let blocks = [(rows * columns).div_ceil(BLOCKS[0]), windows, 1];
        // SAFETY: the kernel's own arguments; each tensor has the shape that it takes it to have.
        unsafe { self.launch(0, blocks, &arguments)? };
        Ok([keys, guidance])
    }

    /// The neighbours' weights before they are corrected, (pixel, pitch). `spatial` (neighbour), float32.
    pub fn scores(&self, seen: &[Tensor; 2], grid: Doubled, spatial: &Tensor, temperature: f32) -> Result<Tensor> {
        let Doubled { windows, rows, columns, .. } = grid;
        let [keys, guidance] = seen;
        let weights = self.empty(&[grid.pixels(), self.pitch()], self.number)?;
        let arguments = Scores {
            keys: self.floats(keys, &[windows, rows, columns, self.keys])?,
            guidance: self.numbers(guidance, &[windows, rows, columns, 4])?,
            spatial: self.floats(spatial, &[self.taps()])?,
            weights: address(&weights),
            rows: size(rows)?,
            columns: size(columns)?,
            temperature,
        };
        let blocks = [columns.div_ceil(BLOCKS[1]), rows.div_ceil(BLOCKS[1]), windows];
        // SAFETY: the kernel's own arguments; each tensor has the shape that it takes it to have.
        unsafe { self.launch(1, blocks, &arguments)? };
        Ok(weights)
    }

    /// The sums of all neighbours: doubled channels (window, row, column, channel), or, of the last doubling, logits (window,
    /// query, row, column) in float32. `weights` (pixel, pitch), corrected but for `constant` (neighbour).
    pub fn gather(
        &self,
        weights: &Tensor,
        constant: &Tensor,
        grid: Doubled,
        axes: &[AxisTensors; 2],
        channels: &Channels<'_>,
        last: Option<Added<'_>>,
    ) -> Result<Tensor> {
        let Doubled { windows, rows, columns, .. } = grid;
        let &Channels { source, all, lengths, queries } = channels;
        let cells = [rows / 2, columns / 2];
        let diameter = 2 * self.radius + 1;
        let reaches = self.radius + 5 - self.radius % 2;
        let fits = |axis: &AxisTensors, cells: usize| axis.support <= reaches.min(cells);
        let [of_rows, of_columns] = axes;
        let whole = rows.is_multiple_of(2) && columns.is_multiple_of(2) && all.is_multiple_of(4);
        if !whole || lengths + queries > all || !fits(of_rows, cells[0]) || !fits(of_columns, cells[1]) {
            return Err(Error::internal(format!("{grid:?} does not match {axes:?} and {channels:?}")));
        }
        let out = match last {
            Some(_) => self.empty(&[windows, queries, rows, columns], Number::Float)?,
            None => self.empty(&[windows, rows, columns, all], self.number)?,
        };
        let added = |added: fn(Added<'_>) -> &Tensor, depth: usize| {
            last.map_or(Ok(0), |last| self.floats(added(last), &[windows, depth]))
        };
        let arguments = Gather {
            weights: self.numbers(weights, &[grid.pixels(), self.pitch()])?,
            constant: self.floats(constant, &[self.taps()])?,
            row_shares: self.floats(&of_rows.coefficients, &[rows, diameter, of_rows.support])?,
            column_shares: self.floats(&of_columns.coefficients, &[columns, diameter, of_columns.support])?,
            first_rows: self.checked(&of_rows.first, &[cells[0]], Number::Int)?,
            first_columns: self.checked(&of_columns.first, &[cells[1]], Number::Int)?,
            source: self.numbers(source, &[windows, cells[0], cells[1], all])?,
            doubled: if last.is_none() { address(&out) } else { 0 },
            logits: if last.is_some() { address(&out) } else { 0 },
            offset: added(|added| added.offset, all)?,
            of_cls: added(|added| added.of_cls, queries)?,
            rows: size(cells[0])?,
            columns: size(cells[1])?,
            row_reach: size(of_rows.support)?,
            column_reach: size(of_columns.support)?,
            channels: size(all)?,
            lengths: size(lengths)?,
            queries: size(queries)?,
        };
        let blocks = [cells[1].div_ceil(BLOCKS[2]), cells[0], windows];
        // SAFETY: the kernel's own arguments; each tensor has the shape that it takes it to have. Of the axes' first cells, which
        // only their makers know, none lies further from the end than the reach.
        unsafe { self.launch(2, blocks, &arguments)? };
        Ok(out)
    }

    /// # Safety
    /// As [`Program::launch`]: all memory belongs to tensors of the device, which libtorch hands out again in the stream's order.
    unsafe fn launch<A>(&self, kernel: usize, blocks: [usize; 3], arguments: &A) -> Result<()> {
        if blocks[0] > i32::MAX as usize || blocks[1..].iter().any(|&count| count > MOST_BLOCKS) {
            return Err(Error::internal(format!("a launch of {blocks:?} blocks is too large")));
        }
        if blocks.contains(&0) {
            return Ok(());
        }
        // SAFETY: the caller says so.
        unsafe { self.program.launch(kernel, blocks, arguments) }
    }

    fn empty(&self, shape: &[usize], kind: Number) -> Result<Tensor> {
        let shape: Vec<i64> = shape.iter().map(|&side| side as i64).collect();
        Ok(Tensor::f_empty(&shape, (kind, self.device))?)
    }

    fn floats(&self, tensor: &Tensor, shape: &[usize]) -> Result<Address> {
        self.checked(tensor, shape, Number::Float)
    }

    fn numbers(&self, tensor: &Tensor, shape: &[usize]) -> Result<Address> {
        self.checked(tensor, shape, self.number)
    }

    /// Where a tensor's numbers begin, one after the other as the shape says.
    fn checked(&self, tensor: &Tensor, shape: &[usize], kind: Number) -> Result<Address> {
        if sizes_of(tensor) != shape
            || tensor.kind() != kind
            || tensor.device() != self.device
            || !tensor.is_contiguous()
        {
            return Err(Error::internal(format!(
                "a kernel takes {kind:?} of shape {shape:?}, not {:?} of shape {:?}",
                tensor.kind(),
                tensor.size()
            )));
        }
        Ok(address(tensor))
    }
}

/// A place in the card's memory.
type Address = usize;

fn address(tensor: &Tensor) -> Address {
    tensor.data_ptr() as Address
}

fn size(count: usize) -> Result<i32> {
    i32::try_from(count).map_err(|_| Error::internal(format!("{count} is more than a kernel can count")))
}

/// `ProjectArguments`, `ScoresArguments` and `GatherArguments` of the source, field by field.
#[repr(C)]
struct Project {
    images: Address,
    into: Address,
    into_bias: Address,
    out: Address,
    out_bias: Address,
    keys: Address,
    guidance: Address,
    rows: i32,
    columns: i32,
    factor: i32,
}

#[repr(C)]
struct Scores {
    keys: Address,
    guidance: Address,
    spatial: Address,
    weights: Address,
    rows: i32,
    columns: i32,
    temperature: f32,
}

#[repr(C)]
struct Gather {
    weights: Address,
    constant: Address,
    row_shares: Address,
    column_shares: Address,
    first_rows: Address,
    first_columns: Address,
    source: Address,
    doubled: Address,
    logits: Address,
    offset: Address,
    of_cls: Address,
    rows: i32,
    columns: i32,
    row_reach: i32,
    column_reach: i32,
    channels: i32,
    lengths: i32,
    queries: i32,
}
