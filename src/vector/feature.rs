//! Layers, fields and features, independent of the format that stores them.

use std::ffi::CStr;
use std::sync::Arc;

/// The geometry type of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GeometryKind {
    Point,
    LineString,
    Polygon,
    MultiPolygon,
}

/// The type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldKind {
    Integer,
    Real,
    Text,
}

/// A field of a layer.
#[derive(Clone, Debug)]
pub struct Field {
    pub name: &'static str,
    /// The name in Shapefiles, of at most ten characters.
    pub short: &'static str,
    pub kind: FieldKind,
}

impl Field {
    pub const fn new(name: &'static str, short: &'static str, kind: FieldKind) -> Self {
        Self { name, short, kind }
    }
}

/// A layer to create.
#[derive(Clone, Debug)]
pub struct LayerSpec {
    pub name: String,
    pub geometry: GeometryKind,
    pub fields: Vec<Field>,
}

/// An attribute of a feature.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Integer(i64),
    Real(f64),
    Text(Arc<CStr>),
    Missing,
}

/// A feature to write.
#[derive(Clone, Debug)]
pub struct Feature {
    /// Index of the layer, in the order in which the layers were created.
    pub layer: usize,
    /// Well-known binary, little-endian.
    pub wkb: Vec<u8>,
    pub values: Vec<Value>,
}
