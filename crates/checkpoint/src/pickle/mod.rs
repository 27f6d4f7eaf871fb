//! Pickles as data: what a pickle describes, without doing what it says.
//!
//! A pickle is a program that builds objects by calling functions it names. [`parse`] runs none of them. It knows the few
//! calls that make a tensor out of a storage and those that make an ordered dictionary; whatever else a pickle calls becomes
//! an [`Value::Object`] that only remembers the name of what would have made it and the state it would have been given.
//! Nothing can turn such an object into a tensor.
//!
//! All values lie in one table and refer to each other by index, so shared and even cyclic values cost nothing, and work and
//! memory are bounded by the length of the pickle.

mod machine;

pub use machine::{Parsed, parse};

use super::tensor::Dtype;

/// Where a value lies in [`Parsed::values`].
pub type Ref = u32;

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
    /// Dictionaries of any kind, in order; of equal keys the last one counts.
    Dict(Vec<(Ref, Ref)>),
    Global {
        module: &'a str,
        name: &'a str,
    },
    Storage(Storage<'a>),
    Tensor(Tensor),
    /// Anything made by a call that we do not know: inert.
    Object {
        /// The [`Value::Global`] that would have made it, where one did.
        class: Option<Ref>,
        state: Option<Ref>,
    },
}

/// A run of numbers somewhere else in the checkpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Storage<'a> {
    pub key: &'a str,
    /// `None` where the storage has no type of its own.
    pub dtype: Option<Dtype>,
    /// How many numbers (bytes, where there is no type) the pickle claims; nobody has looked yet.
    pub claimed: u64,
}

/// A view into a storage, as claimed: nobody has looked yet whether it fits.
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
    pub fn get(&self, at: Ref) -> &Value<'a> {
        self.values.get(at as usize).unwrap_or(&Value::None)
    }

    pub fn str(&self, at: Ref) -> Option<&'a str> {
        match self.get(at) {
            Value::Str(text) => Some(text),
            _ => None,
        }
    }

    /// The value under a text key.
    pub fn entry(&self, pairs: &[(Ref, Ref)], key: &str) -> Option<Ref> {
        pairs.iter().rev().find(|(name, _)| self.str(*name) == Some(key)).map(|(_, value)| *value)
    }

    /// What a value is, for messages.
    pub fn describe(&self, at: Ref) -> String {
        match self.get(at) {
            Value::None => "None".into(),
            Value::Bool(_) => "a truth value".into(),
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

/// `module.name`, cut to what fits in a sentence: both come from the file.
fn short(module: &str, name: &str) -> String {
    let whole: String = module.chars().chain(['.']).chain(name.chars()).filter(|c| !c.is_control()).take(81).collect();
    if whole.chars().count() > 80 { format!("{}…", whole.chars().take(80).collect::<String>()) } else { whole }
}

#[cfg(test)]
mod tests;
