//! Parses pickles as data, without executing them.
//!
//! A pickle is a program that builds objects by calling functions by name. [`parse`] calls none. It recognises the few calls that
//! create a tensor from a storage or an ordered dictionary; the result of any other call is a [`Value::Object`] that has only the
//! name of its class and its state, and that nothing converts to a tensor.
//!
//! All values are in one table and refer to each other by index, so that shared and cyclic values cost nothing, and time and memory
//! are bounded by the length of the pickle.

mod machine;

pub use machine::{Parsed, parse};

use super::tensor::Dtype;

/// The index of a value in [`Parsed::values`].
pub type Ref = u32;

/// A value of a pickle.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float,
    Str(&'a str),
    /// Byte strings, and text that is not UTF-8.
    Bytes(&'a [u8]),
    /// An integer of any length, little-endian, two's complement.
    Long(&'a [u8]),
    Tuple(Vec<Ref>),
    List(Vec<Ref>),
    Set,
    /// A dictionary of any kind, in order; the last of equal keys counts.
    Dict(Vec<(Ref, Ref)>),
    Global {
        module: &'a str,
        name: &'a str,
    },
    Storage(Storage<'a>),
    Tensor(Tensor),
    /// The result of any other call: inert.
    Object {
        /// The [`Value::Global`] that was called.
        class: Option<Ref>,
        state: Option<Ref>,
    },
}

/// An array of numbers elsewhere in the checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage<'a> {
    pub key: &'a str,
    /// `None` for an untyped storage.
    pub dtype: Option<Dtype>,
    /// The number of numbers (bytes, if untyped) according to the pickle; not checked.
    pub claimed: u64,
}

/// A view of a storage; not checked against its size.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Index of a [`Value::Storage`].
    pub storage: Ref,
    pub dtype: Dtype,
    /// In numbers, as are the strides.
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
}

impl<'a> Parsed<'a> {
    /// Returns a value.
    pub fn get(&self, at: Ref) -> &Value<'a> {
        self.values.get(at as usize).unwrap_or(&Value::None)
    }

    /// Returns a value that is text.
    pub fn str(&self, at: Ref) -> Option<&'a str> {
        match self.get(at) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// Returns the value of a key that is text.
    pub fn entry(&self, pairs: &[(Ref, Ref)], key: &str) -> Option<Ref> {
        pairs.iter().rev().find(|(name, _)| self.str(*name) == Some(key)).map(|(_, value)| *value)
    }

    /// Returns what a value is, for messages.
    pub fn describe(&self, at: Ref) -> String {
        match self.get(at) {
            Value::None => "None".into(),
            Value::Bool(_) => "a boolean".into(),
            Value::Int(_) | Value::Long(_) => "an integer".into(),
            Value::Float => "a float".into(),
            Value::Str(_) => "text".into(),
            Value::Bytes(_) => "bytes".into(),
            Value::Tuple(_) => "a tuple".into(),
            Value::List(_) => "a list".into(),
            Value::Set => "a set".into(),
            Value::Dict(_) => "a dictionary".into(),
            Value::Global { module, name } => format!("the name {}", short(module, name)),
            Value::Storage(_) => "a storage".into(),
            Value::Tensor(_) => "a tensor".into(),
            Value::Object { class, .. } => match class.map(|class| self.get(class)) {
                Some(Value::Global { module, name }) => format!("an object of {}", short(module, name)),
                _ => "an object".into(),
            },
        }
    }
}

/// Returns `module.name`, truncated to 80 characters and without control characters: both come from the file.
fn short(module: &str, name: &str) -> String {
    let whole: String = module.chars().chain(['.']).chain(name.chars()).filter(|c| !c.is_control()).take(81).collect();
    if whole.chars().count() > 80 { format!("{}…", whole.chars().take(80).collect::<String>()) } else { whole }
}

#[cfg(test)]
mod tests;
