//! The stack machine, for protocols 2 to 5, as `torch.save` and `torch.jit.save` write them. Opcodes of the text protocols, of
//! extension registries and of out-of-band buffers are refused.

use std::collections::HashMap;

use segearth_error::{Error, Result};

use super::super::tensor::Dtype;
use super::{Ref, Storage, Tensor, Value};

/// Most values of a pickle; that of a ViT-L CLIP with its optimiser has 60,000.
const MAX_VALUES: usize = 2_000_000;
/// Most axes of a tensor; PyTorch allows 64, networks have at most 6.
const MAX_RANK: usize = 8;

/// A parsed pickle.
#[derive(Debug)]
pub struct Parsed<'a> {
    pub values: Vec<Value<'a>>,
    pub root: Ref,
    /// Length in bytes, the final opcode included.
    pub len: usize,
}

/// Parses one pickle at the start of `bytes`.
///
/// # Errors
/// An unsupported opcode, an invalid structure, a missing final opcode, or more values than allowed.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>> {
    let mut machine =
        Machine { bytes, at: 0, values: Vec::new(), stack: Vec::new(), marks: Vec::new(), memo: HashMap::new() };
    loop {
        let at = machine.at;
        match machine.step() {
            Ok(Some(root)) => return Ok(Parsed { values: machine.values, root, len: machine.at }),
            Ok(None) => {}
            Err(error) => {
                let opcode = bytes.get(at).map_or_else(|| "the end".into(), |opcode| format!("opcode 0x{opcode:02x}"));
                return Err(Error::input(format!("cannot read the pickle: {} ({opcode} at byte {at})", error.0)));
            }
        }
    }
}

/// An error at an opcode.
struct PickleError(&'static str);

type OpResult<T> = std::result::Result<T, PickleError>;

const TRUNCATED: PickleError = PickleError("unexpected end");
const EMPTY: PickleError = PickleError("a value is missing on the stack");
const BAD_TENSOR: PickleError = PickleError("the arguments of a tensor are invalid");

struct Machine<'a> {
    bytes: &'a [u8],
    at: usize,
    values: Vec<Value<'a>>,
    stack: Vec<Ref>,
    /// Heights of the stack at the open marks.
    marks: Vec<usize>,
    memo: HashMap<u32, Ref>,
}

impl<'a> Machine<'a> {
    /// Executes one opcode; returns the root value after the last.
    fn step(&mut self) -> OpResult<Option<Ref>> {
        let opcode = self.array::<1>()?[0];
        match opcode {
            0x80 => {
                if !(2..=5).contains(&self.array::<1>()?[0]) {
                    return Err(PickleError("the protocol is not 2 to 5"));
                }
            }
            // Frames are hints for buffering.
            0x95 => drop(self.array::<8>()?),
            b'.' => return self.pop().map(Some),
            b'(' => self.marks.push(self.stack.len()),
            b'0' => match self.marks.last() {
                Some(&height) if height == self.stack.len() => drop(self.marks.pop()),
                _ => drop(self.pop()?),
            },
            b'1' => drop(self.pop_mark()?),
            b'2' => {
                let top = self.top()?;
                self.stack.push(top);
            }
            b'N' => self.push(Value::None)?,
            0x88 => self.push(Value::Bool(true))?,
            0x89 => self.push(Value::Bool(false))?,
            b'K' => {
                let value = self.array::<1>()?[0];
                self.push(Value::Int(value.into()))?;
            }
            b'M' => {
                let value = u16::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            b'J' => {
                let value = i32::from_le_bytes(self.array()?);
                self.push(Value::Int(value.into()))?;
            }
            0x8a => {
                let len = self.len1()?;
                self.long(len)?;
            }
            0x8b => {
                let len = self.len4()?;
                self.long(len)?;
            }
            b'G' => {
                self.array::<8>()?;
                self.push(Value::Float)?;
            }
            b'X' => {
                let len = self.len4()?;
                self.text(len)?;
            }
            b'T' => {
                let len = self.len4()?;
                self.text(len)?;
            }
            b'U' | 0x8c => {
                let len = self.len1()?;
                self.text(len)?;
            }
            0x8d => {
                let len = self.len8()?;
                self.text(len)?;
            }
            b'C' => {
                let len = self.len1()?;
                self.raw(len)?;
            }
            b'B' => {
                let len = self.len4()?;
                self.raw(len)?;
            }
            0x8e | 0x96 => {
                let len = self.len8()?;
                self.raw(len)?;
            }
            b')' => self.push(Value::Tuple(Vec::new()))?,
            b']' => self.push(Value::List(Vec::new()))?,
            b'}' => self.push(Value::Dict(Vec::new()))?,
            0x8f => self.push(Value::Set)?,
            0x85 => self.tuple(1)?,
            0x86 => self.tuple(2)?,
            0x87 => self.tuple(3)?,
            b't' => {
                let items = self.pop_mark()?;
                self.push(Value::Tuple(items))?;
            }
            b'l' => {
                let items = self.pop_mark()?;
                self.push(Value::List(items))?;
            }
            b'd' => {
                let items = self.pop_mark()?;
                self.push(Value::Dict(pairs(&items)?))?;
            }
            0x91 => {
                self.pop_mark()?;
                self.push(Value::Set)?;
            }
            b'a' => {
                let item = self.pop()?;
                self.append(&[item])?;
            }
            b'e' => {
                let items = self.pop_mark()?;
                self.append(&items)?;
            }
            0x90 => {
                self.pop_mark()?;
                self.top()?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[(key, value)])?;
            }
            b'u' => {
                let items = self.pop_mark()?;
                self.set_items(&pairs(&items)?)?;
            }
            b'q' => {
                let key = self.array::<1>()?[0];
                self.put(key.into())?;
            }
            b'r' => {
                let key = u32::from_le_bytes(self.array()?);
                self.put(key)?;
            }
            // The memo has fewer entries than the pickle has bytes.
            0x94 => self.put(self.memo.len() as u32)?,
            b'h' => {
                let key = self.array::<1>()?[0];
                self.recall(key.into())?;
            }
            b'j' => {
                let key = u32::from_le_bytes(self.array()?);
                self.recall(key)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.push(Value::Global { module, name })?;
            }
            0x93 => {
                let (name, module) = (self.pop()?, self.pop()?);
                let (&Value::Str(module), &Value::Str(name)) = (self.value(module), self.value(name)) else {
                    return Err(PickleError("a name is not text"));
                };
                self.push(Value::Global { module, name })?;
            }
            b'Q' => {
                let id = self.pop()?;
                let storage = self.storage(id)?;
                self.push(storage)?;
            }
            b'R' | 0x81 => {
                let (arguments, callable) = (self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            0x92 => {
                let (_, arguments, callable) = (self.pop()?, self.pop()?, self.pop()?);
                self.call(callable, arguments)?;
            }
            b'b' => {
                let (given, object) = (self.pop()?, self.top()?);
                if let Some(Value::Object { state, .. }) = self.values.get_mut(object as usize) {
                    *state = Some(given);
                }
            }
            _ => return Err(PickleError("the opcode is not supported")),
        }
        Ok(None)
    }

    fn value(&self, at: Ref) -> &Value<'a> {
        self.values.get(at as usize).unwrap_or(&Value::None)
    }

    fn push(&mut self, value: Value<'a>) -> OpResult<()> {
        if self.values.len() >= MAX_VALUES {
            return Err(PickleError("more values than allowed (2,000,000)"));
        }
        self.stack.push(self.values.len() as Ref);
        self.values.push(value);
        Ok(())
    }

    fn top(&self) -> OpResult<Ref> {
        let floor = self.marks.last().copied().unwrap_or(0);
        self.stack.get(floor..).and_then(<[Ref]>::last).copied().ok_or(EMPTY)
    }

    fn pop(&mut self) -> OpResult<Ref> {
        let top = self.top()?;
        self.stack.pop();
        Ok(top)
    }

    fn pop_mark(&mut self) -> OpResult<Vec<Ref>> {
        let height = self.marks.pop().ok_or(PickleError("a mark is missing on the stack"))?;
        // `pop` never goes below a mark, so that the stack is at least as high.
        Ok(self.stack.split_off(height.min(self.stack.len())))
    }

    fn tuple(&mut self, len: usize) -> OpResult<()> {
        let mut items = Vec::with_capacity(len);
        for _ in 0..len {
            items.push(self.pop()?);
        }
        items.reverse();
        self.push(Value::Tuple(items))
    }

    fn put(&mut self, key: u32) -> OpResult<()> {
        let top = self.top()?;
        self.memo.insert(key, top);
        Ok(())
    }

    fn recall(&mut self, key: u32) -> OpResult<()> {
        let value = *self.memo.get(&key).ok_or(PickleError("a memo entry is missing"))?;
        self.stack.push(value);
        Ok(())
    }

    /// Appends to a list; sets and objects remain unchanged.
    fn append(&mut self, items: &[Ref]) -> OpResult<()> {
        let list = self.top()?;
        match self.values.get_mut(list as usize) {
            Some(Value::List(list)) => list.extend_from_slice(items),
            Some(Value::Object { .. } | Value::Set) => {}
            _ => return Err(PickleError("items are appended to a value that is not a list")),
        }
        Ok(())
    }

    fn set_items(&mut self, items: &[(Ref, Ref)]) -> OpResult<()> {
        let dict = self.top()?;
        match self.values.get_mut(dict as usize) {
            Some(Value::Dict(pairs)) => pairs.extend_from_slice(items),
            Some(Value::Object { .. }) => {}
            _ => return Err(PickleError("entries are set in a value that is not a dictionary")),
        }
        Ok(())
    }

    /// The calls we know; everything else makes an inert object.
    fn call(&mut self, callable: Ref, arguments: Ref) -> OpResult<()> {
        let &Value::Global { module, name } = self.value(callable) else {
            return self.push(Value::Object { class: None, state: None });
        };
        match (module, name) {
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor" | "_rebuild_tensor_v3") => {
                let value = self.tensor(arguments)?;
                self.push(value)
            }
            ("torch._utils", "_rebuild_parameter" | "_rebuild_parameter_with_state")
            | ("torch.nn.parameter", "Parameter") => {
                let Value::Tuple(items) = self.value(arguments) else { return Err(BAD_TENSOR) };
                let tensor = *items.first().ok_or(BAD_TENSOR)?;
                self.stack.push(tensor);
                Ok(())
            }
            ("collections", "OrderedDict" | "defaultdict") => {
                let pairs = self.initial_pairs(arguments);
                self.push(Value::Dict(pairs))
            }
            _ => self.push(Value::Object { class: Some(callable), state: None }),
        }
    }

    /// Python 2 gave an ordered dictionary its entries as a list of pairs. That list is emptied in the taking: were it
    /// copied, a small pickle could have a long one copied again and again.
    fn initial_pairs(&mut self, arguments: Ref) -> Vec<(Ref, Ref)> {
        let Value::Tuple(items) = self.value(arguments) else { return Vec::new() };
        let Some(&first) = items.first() else { return Vec::new() };
        let Some(Value::List(list)) = self.values.get_mut(first as usize) else { return Vec::new() };
        let list = std::mem::take(list);
        let pair = |&item: &Ref| match self.value(item) {
            Value::Tuple(pair) | Value::List(pair) => Some((*pair.first()?, *pair.get(1)?)),
            _ => None,
        };
        list.iter().filter_map(pair).collect()
    }

    /// Returns the storage of a persistent id `('storage', type, key, location, count)`. The old format adds a view, which must be None.
    fn storage(&self, id: Ref) -> OpResult<Value<'a>> {
        const BAD: PickleError = PickleError("a persistent id is not a storage");
        let Value::Tuple(items) = self.value(id) else { return Err(BAD) };
        let &[tag, class, key, _, count, ref view @ ..] = items.as_slice() else { return Err(BAD) };
        let (&Value::Str("storage"), &Value::Global { module, name }, &Value::Str(key), &Value::Int(claimed)) =
            (self.value(tag), self.value(class), self.value(key), self.value(count))
        else {
            return Err(BAD);
        };
        if view.iter().any(|&view| *self.value(view) != Value::None) {
            return Err(PickleError(
                "a storage is a view of another storage (PyTorch before 0.4), which is not supported",
            ));
        }
        let claimed = u64::try_from(claimed).map_err(|_| PickleError("the size of a storage is negative"))?;
        let dtype = match (module, name) {
            ("torch", "FloatStorage") => Dtype::F32,
            ("torch", "HalfStorage") => Dtype::F16,
            ("torch", "BFloat16Storage") => Dtype::Bf16,
            ("torch", "DoubleStorage") => Dtype::F64,
            ("torch", "LongStorage") => Dtype::I64,
            ("torch", "IntStorage") => Dtype::I32,
            ("torch", "ShortStorage") => Dtype::I16,
            ("torch", "CharStorage") => Dtype::I8,
            ("torch", "ByteStorage") => Dtype::U8,
            ("torch", "BoolStorage") => Dtype::Bool,
            ("torch.storage", "UntypedStorage" | "_UntypedStorage") | ("torch", "UntypedStorage") => {
                return Ok(Value::Storage(Storage { key, dtype: None, claimed }));
            }
            // Quantised, complex and unknown numbers: their tensors become inert objects.
            _ => return Ok(Value::Object { class: Some(class), state: None }),
        };
        Ok(Value::Storage(Storage { key, dtype: Some(dtype), claimed }))
    }

    /// Returns the tensor of the arguments `(storage, offset, shape, strides, requires_grad, hooks)`, followed by the type if the storage
    /// is untyped.
    fn tensor(&self, arguments: Ref) -> OpResult<Value<'a>> {
        let Value::Tuple(items) = self.value(arguments) else { return Err(BAD_TENSOR) };
        let &[storage, offset, shape, strides, ref rest @ ..] = items.as_slice() else { return Err(BAD_TENSOR) };
        let dtype = match self.value(storage) {
            Value::Storage(Storage { dtype: Some(dtype), .. }) => Some(*dtype),
            Value::Storage(Storage { dtype: None, .. }) => rest.get(2).and_then(|&dtype| self.dtype(dtype)),
            &Value::Object { class, .. } => return Ok(Value::Object { class, state: None }),
            _ => return Err(BAD_TENSOR),
        };
        let Some(dtype) = dtype else { return Ok(Value::Object { class: rest.get(2).copied(), state: None }) };
        let &Value::Int(offset) = self.value(offset) else { return Err(BAD_TENSOR) };
        let offset = u64::try_from(offset).map_err(|_| BAD_TENSOR)?;
        let (shape, strides) = (self.extents(shape)?, self.extents(strides)?);
        if shape.len() != strides.len() {
            return Err(BAD_TENSOR);
        }
        Ok(Value::Tensor(Tensor { storage, dtype, offset, shape, strides }))
    }

    fn dtype(&self, at: Ref) -> Option<Dtype> {
        let &Value::Global { module: "torch", name } = self.value(at) else { return None };
        Some(match name {
            "float32" => Dtype::F32,
            "float16" => Dtype::F16,
            "bfloat16" => Dtype::Bf16,
            "float64" => Dtype::F64,
            "int64" => Dtype::I64,
            "int32" => Dtype::I32,
            "int16" => Dtype::I16,
            "int8" => Dtype::I8,
            "uint8" => Dtype::U8,
            "bool" => Dtype::Bool,
            _ => return None,
        })
    }

    fn extents(&self, at: Ref) -> OpResult<Vec<u64>> {
        let (Value::Tuple(items) | Value::List(items)) = self.value(at) else { return Err(BAD_TENSOR) };
        if items.len() > MAX_RANK {
            return Err(PickleError("a tensor has more than 8 dimensions"));
        }
        items
            .iter()
            .map(|&item| match self.value(item) {
                &Value::Int(side) => {
                    u64::try_from(side).map_err(|_| PickleError("a tensor has a negative size or stride"))
                }
                _ => Err(BAD_TENSOR),
            })
            .collect()
    }

    fn take(&mut self, len: usize) -> OpResult<&'a [u8]> {
        let taken = self.bytes.get(self.at..).and_then(|rest| rest.get(..len)).ok_or(TRUNCATED)?;
        self.at += len;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> OpResult<[u8; N]> {
        self.take(N)?.try_into().map_err(|_| TRUNCATED)
    }

    fn len1(&mut self) -> OpResult<usize> {
        Ok(self.array::<1>()?[0].into())
    }

    fn len4(&mut self) -> OpResult<usize> {
        usize::try_from(u32::from_le_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    fn len8(&mut self) -> OpResult<usize> {
        usize::try_from(u64::from_le_bytes(self.array()?)).map_err(|_| TRUNCATED)
    }

    fn raw(&mut self, len: usize) -> OpResult<()> {
        let bytes = self.take(len)?;
        self.push(Value::Bytes(bytes))
    }

    fn text(&mut self, len: usize) -> OpResult<()> {
        let bytes = self.take(len)?;
        self.push(std::str::from_utf8(bytes).map_or(Value::Bytes(bytes), Value::Str))
    }

    fn long(&mut self, len: usize) -> OpResult<()> {
        let bytes = self.take(len)?;
        if bytes.len() > 8 {
            return self.push(Value::Long(bytes));
        }
        let fill = if bytes.last().is_some_and(|last| last & 0x80 != 0) { 0xff } else { 0 };
        let mut padded = [fill; 8];
        padded.iter_mut().zip(bytes).for_each(|(to, &byte)| *to = byte);
        self.push(Value::Int(i64::from_le_bytes(padded)))
    }

    /// Returns text up to the end of the line.
    fn line(&mut self) -> OpResult<&'a str> {
        let rest = self.bytes.get(self.at..).ok_or(TRUNCATED)?;
        let len = rest.iter().position(|&byte| byte == b'\n').ok_or(TRUNCATED)?;
        let line = self.take(len)?;
        self.at += 1;
        std::str::from_utf8(line).map_err(|_| PickleError("a name is not text"))
    }
}

fn pairs(items: &[Ref]) -> OpResult<Vec<(Ref, Ref)>> {
    let (pairs, rest) = items.as_chunks::<2>();
    if !rest.is_empty() {
        return Err(PickleError("a key has no value"));
    }
    Ok(pairs.iter().map(|&[key, value]| (key, value)).collect())
}
