//! A tensor as plain data: type, shape, bytes.

use std::fmt;

use half::{bf16, f16};
use segearth_error::{Error, Result};

/// The number types of checkpoints that can be converted to float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dtype {
    /// One byte, 0 or 1.
    Bool,
    /// Unsigned, 8 bits.
    U8,
    /// Signed, 8 bits.
    I8,
    /// Signed, 16 bits.
    I16,
    /// Signed, 32 bits.
    I32,
    /// Signed, 64 bits.
    I64,
    /// IEEE 754, half precision.
    F16,
    /// The upper half of a float32.
    Bf16,
    /// IEEE 754, single precision.
    F32,
    /// IEEE 754, double precision.
    F64,
}

impl Dtype {
    /// Returns the size of one number in bytes.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::U8 | Self::I8 => 1,
            Self::I16 | Self::F16 | Self::Bf16 => 2,
            Self::I32 | Self::F32 => 4,
            Self::I64 | Self::F64 => 8,
        }
    }

    /// Returns whether it is a floating-point type.
    pub fn is_float(self) -> bool {
        matches!(self, Self::F16 | Self::Bf16 | Self::F32 | Self::F64)
    }
}

impl fmt::Display for Dtype {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Bool => "bool",
            Self::U8 => "uint8",
            Self::I8 => "int8",
            Self::I16 => "int16",
            Self::I32 => "int32",
            Self::I64 => "int64",
            Self::F16 => "float16",
            Self::Bf16 => "bfloat16",
            Self::F32 => "float32",
            Self::F64 => "float64",
        })
    }
}

/// A dense, row-major tensor of little-endian numbers, as many as the shape says.
#[derive(Clone, PartialEq, Eq)]
pub struct TensorData {
    dtype: Dtype,
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl TensorData {
    /// Returns the tensor with this type, shape and content.
    ///
    /// # Errors
    /// The number of bytes does not match the shape and the type.
    pub fn new(dtype: Dtype, shape: Vec<usize>, bytes: Vec<u8>) -> Result<Self> {
        // Beside an axis of length 0, the others may have any length.
        let needed = match shape.contains(&0) {
            true => Some(0),
            false => shape.iter().try_fold(dtype.size(), |product, &side| product.checked_mul(side)),
        };
        if needed != Some(bytes.len()) {
            return Err(Error::input(format!(
                "a {dtype} tensor of shape {} does not have {} bytes",
                show_shape(&shape),
                bytes.len()
            )));
        }
        Ok(Self { dtype, shape, bytes })
    }

    /// Returns a float32 tensor.
    ///
    /// # Errors
    /// The number of values does not match the shape.
    pub fn from_f32(shape: Vec<usize>, values: &[f32]) -> Result<Self> {
        Self::new(Dtype::F32, shape, values.iter().flat_map(|value| value.to_le_bytes()).collect())
    }

    /// Returns the type of the numbers.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Returns the sizes of the axes, outermost first; none for a scalar.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// Returns the numbers as bytes: little-endian, row-major.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Returns the number of numbers.
    pub fn len(&self) -> usize {
        self.bytes.len() / self.dtype.size()
    }

    /// Returns whether there are no numbers: an axis has length 0.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Returns the numbers as float32, row-major. Exact for float16, bfloat16 and float32; rounded from float64 and from integers
    /// beyond 2^24.
    pub fn to_f32(&self) -> Vec<f32> {
        match self.dtype {
            Dtype::Bool => self.bytes.iter().map(|&byte| f32::from(u8::from(byte != 0))).collect(),
            Dtype::U8 => self.bytes.iter().map(|&byte| f32::from(byte)).collect(),
            Dtype::I8 => self.bytes.iter().map(|&byte| f32::from(byte.cast_signed())).collect(),
            Dtype::I16 => self.numbers(|bytes| f32::from(i16::from_le_bytes(bytes))),
            Dtype::I32 => self.numbers(|bytes| i32::from_le_bytes(bytes) as f32),
            Dtype::I64 => self.numbers(|bytes| i64::from_le_bytes(bytes) as f32),
            Dtype::F16 => self.numbers(|bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => self.numbers(|bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F32 => self.numbers(f32::from_le_bytes),
            Dtype::F64 => self.numbers(|bytes| f64::from_le_bytes(bytes) as f32),
        }
    }

    fn numbers<const N: usize>(&self, convert: impl Fn([u8; N]) -> f32) -> Vec<f32> {
        self.bytes.as_chunks::<N>().0.iter().map(|&bytes| convert(bytes)).collect()
    }

    /// Returns the same numbers with another shape.
    pub(super) fn reshaped(self, shape: Vec<usize>) -> Result<Self> {
        Self::new(self.dtype, shape, self.bytes)
    }

    /// Returns a matrix transposed; other tensors unchanged.
    #[expect(clippy::indexing_slicing, reason = "`new` checked that the bytes match the shape")]
    pub(super) fn transposed(self) -> Self {
        let &[rows, columns] = self.shape.as_slice() else { return self };
        let size = self.dtype.size();
        let mut bytes = Vec::with_capacity(self.bytes.len());
        // A matrix without rows may have any number of columns.
        for column in 0..if rows == 0 { 0 } else { columns } {
            for row in 0..rows {
                let at = (row * columns + column) * size;
                bytes.extend_from_slice(&self.bytes[at..at + size]);
            }
        }
        Self { dtype: self.dtype, shape: vec![columns, rows], bytes }
    }

    /// Returns the first `kept` rows, followed by the rows of `other` after its first `kept`. `None` if type or shape differ, or there are
    /// no more rows.
    pub(super) fn with_rows_of(&self, other: &Self, kept: usize) -> Option<Self> {
        let &[rows, columns] = self.shape.as_slice() else { return None };
        if (self.dtype, &self.shape) != (other.dtype, &other.shape) || rows <= kept {
            return None;
        }
        let at = kept.checked_mul(columns)?.checked_mul(self.dtype.size())?;
        let bytes = [self.bytes.get(..at)?, other.bytes.get(at..)?].concat();
        Some(Self { dtype: self.dtype, shape: self.shape.clone(), bytes })
    }

    /// Returns index and value of the first number that, as float32, is not finite or has a magnitude above `limit`.
    pub fn first_beyond(&self, limit: f32) -> Option<(usize, f32)> {
        fn find<const N: usize>(bytes: &[u8], limit: f32, convert: impl Fn([u8; N]) -> f32) -> Option<(usize, f32)> {
            let values = bytes.as_chunks::<N>().0.iter().map(|&bytes| convert(bytes));
            // Comparisons with NaN are false.
            values.enumerate().find(|(_, value)| !(value.is_finite() && value.abs() <= limit))
        }
        match self.dtype {
            Dtype::F16 => find(&self.bytes, limit, |bytes| f16::from_le_bytes(bytes).to_f32()),
            Dtype::Bf16 => find(&self.bytes, limit, |bytes| bf16::from_le_bytes(bytes).to_f32()),
            Dtype::F32 => find(&self.bytes, limit, f32::from_le_bytes),
            Dtype::F64 => find(&self.bytes, limit, |bytes| f64::from_le_bytes(bytes) as f32),
            _ => None,
        }
    }

    /// Returns tensors of one type and shape, concatenated along the first axis.
    pub(super) fn stacked(parts: &[&Self]) -> Result<Self> {
        let [first, rest @ ..] = parts else { return Err(Error::internal("no tensors to join")) };
        if let Some(other) = rest.iter().find(|part| part.dtype != first.dtype || part.shape != first.shape) {
            return Err(Error::input(format!(
                "tensors that are to be joined differ: {} {} and {} {}",
                first.dtype,
                show_shape(&first.shape),
                other.dtype,
                show_shape(&other.shape)
            )));
        }
        let Some((&rows, sides)) = first.shape.split_first() else {
            return Err(Error::input("scalars cannot be joined to a vector"));
        };
        // The axes of an empty tensor may have any length.
        let Some(rows) = rows.checked_mul(parts.len()) else {
            return Err(Error::input(format!("{rows} rows are more than a tensor can have")));
        };
        let shape = std::iter::once(rows).chain(sides.iter().copied()).collect();
        Self::new(first.dtype, shape, parts.iter().flat_map(|part| part.bytes.iter().copied()).collect())
    }
}

impl fmt::Debug for TensorData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.dtype, show_shape(&self.shape))
    }
}

/// Formats a shape: `(768, 3, 16, 16)`, or `()` for a scalar.
pub fn show_shape(shape: &[usize]) -> String {
    let sides: Vec<String> = shape.iter().map(usize::to_string).collect();
    format!("({})", sides.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_converts_to_float32() {
        let one = |dtype, bytes: &[u8]| TensorData::new(dtype, vec![1], bytes.to_vec()).unwrap().to_f32();
        assert_eq!(one(Dtype::Bool, &[2]), [1.0]);
        assert_eq!(one(Dtype::U8, &[200]), [200.0]);
        assert_eq!(one(Dtype::I8, &[0xff]), [-1.0]);
        assert_eq!(one(Dtype::I16, &(-300i16).to_le_bytes()), [-300.0]);
        assert_eq!(one(Dtype::I32, &70_000i32.to_le_bytes()), [70_000.0]);
        assert_eq!(one(Dtype::I64, &(-5i64).to_le_bytes()), [-5.0]);
        assert_eq!(one(Dtype::F16, &[0x00, 0xbc]), [-1.0]);
        assert_eq!(one(Dtype::Bf16, &[0xc0, 0x3f]), [1.5]);
        assert_eq!(one(Dtype::F64, &0.25f64.to_le_bytes()), [0.25]);
    }

    #[test]
    fn transposed_swaps_the_axes_of_a_matrix() {
        let matrix = TensorData::from_f32(vec![2, 3], &[1., 2., 3., 4., 5., 6.]).unwrap().transposed();
        assert_eq!(matrix.shape(), [3, 2]);
        assert_eq!(matrix.to_f32(), [1., 4., 2., 5., 3., 6.]);
    }

    #[test]
    fn first_beyond_finds_non_finite_numbers_of_every_type() {
        let tensor = |dtype, bytes: Vec<u8>| TensorData::new(dtype, vec![2], bytes).unwrap();
        let find = |dtype, one: &[u8], other: &[u8]| tensor(dtype, [one, other].concat()).first_beyond(f32::MAX);
        let (nan, infinity) = (f32::NAN, f32::INFINITY);
        assert!(
            find(Dtype::F32, &1f32.to_le_bytes(), &nan.to_le_bytes()).is_some_and(|(at, it)| at == 1 && it.is_nan())
        );
        assert_eq!(find(Dtype::F32, &(-infinity).to_le_bytes(), &nan.to_le_bytes()), Some((0, -infinity)));
        assert_eq!(find(Dtype::F16, &[0x00, 0x7b], &[0x00, 0x7c]), Some((1, infinity)));
        assert_eq!(find(Dtype::Bf16, &[0x80, 0xff], &[0x80, 0x3f]), Some((0, -infinity)));
        // Finite, and not as the float32 that it becomes.
        assert_eq!(find(Dtype::F64, &1f64.to_le_bytes(), &1e300f64.to_le_bytes()), Some((1, infinity)));
        assert_eq!(find(Dtype::F32, &f32::MAX.to_le_bytes(), &f32::MIN.to_le_bytes()), None);
        assert_eq!(
            tensor(Dtype::F32, [65504f32, 65505.0].map(f32::to_le_bytes).concat()).first_beyond(65504.0),
            Some((1, 65505.0))
        );
    }

    #[test]
    fn with_rows_of_joins_two_tables() {
        let table = |start: f32, rows| {
            let values: Vec<f32> = (0..rows * 2).map(|index| start + index as f32).collect();
            TensorData::from_f32(vec![rows, 2], &values).unwrap()
        };
        let joined = table(0.0, 4).with_rows_of(&table(100.0, 4), 1).unwrap();
        assert_eq!(joined.to_f32(), [0., 1., 102., 103., 104., 105., 106., 107.]);
        assert!(table(0.0, 4).with_rows_of(&table(0.0, 5), 1).is_none());
        assert!(table(0.0, 4).with_rows_of(&table(0.0, 4), 4).is_none());
    }

    #[test]
    fn empty_tensors_with_long_axes_take_no_time() {
        let empty = |shape| TensorData::new(Dtype::U8, shape, Vec::new()).unwrap();
        assert_eq!(empty(vec![0, 1 << 60]).transposed().shape(), [1 << 60, 0]);
        assert_eq!(empty(vec![1 << 60, 0]).transposed().shape(), [0, 1 << 60]);
        let long = empty(vec![usize::MAX / 2, 0]);
        assert!(
            TensorData::stacked(&[&long, &long, &long])
                .unwrap_err()
                .to_string()
                .contains("more than a tensor can have")
        );
    }

    #[test]
    fn bytes_must_match_the_shape() {
        assert!(TensorData::new(Dtype::F32, vec![2], vec![0; 7]).is_err());
        assert!(TensorData::new(Dtype::F32, vec![usize::MAX, 2], vec![0; 8]).is_err());
    }
}
