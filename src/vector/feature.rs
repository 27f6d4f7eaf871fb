//! Layers, fields and features, independent of the format that stores them.

use std::ffi::CStr;
use std::sync::Arc;

use super::origin::Origin;
use crate::scene::ClassInfo;
use crate::scene::qml::{self, SymbolKind};

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
    /// What programs show instead of the name; empty: the name.
    pub alias: &'static str,
}

impl Field {
    pub const fn new(name: &'static str, short: &'static str, kind: FieldKind) -> Self {
        Self { name, short, kind, alias: "" }
    }

    /// The field with an alias.
    pub const fn shown_as(self, alias: &'static str) -> Self {
        Self { alias, ..self }
    }
}

/// A layer to create.
#[derive(Clone, Debug)]
pub struct LayerSpec {
    pub name: String,
    pub geometry: GeometryKind,
    pub fields: Vec<Field>,
    /// The classes of its QGIS style: in GeoPackages stored inside, else written beside the file. `None`: it has no style.
    pub style: Option<Vec<ClassInfo>>,
    /// A sentence on what the layer holds; may be empty.
    pub description: String,
    /// Names and values, for formats that can store them.
    pub metadata: Vec<(String, String)>,
}

impl LayerSpec {
    /// A layer without a style, description and metadata.
    pub fn new(name: impl Into<String>, geometry: GeometryKind, fields: Vec<Field>) -> Self {
        Self { name: name.into(), geometry, fields, style: None, description: String::new(), metadata: Vec::new() }
    }

    /// The layer with a style of these classes, by the field `class`.
    pub fn styled(mut self, classes: &[ClassInfo]) -> Self {
        self.style = Some(classes.to_vec());
        self
    }

    /// The style as QGIS reads it. `short`: fields have their short names.
    pub fn qml(&self, short: bool) -> Option<String> {
        let kind = match self.geometry {
            GeometryKind::Point => SymbolKind::Marker,
            GeometryKind::LineString => SymbolKind::Line,
            GeometryKind::Polygon | GeometryKind::MultiPolygon => SymbolKind::Fill,
        };
        let named = self.fields.iter().filter(|field| !field.alias.is_empty());
        let aliases: Vec<(&str, &str)> =
            named.map(|field| (if short { field.short } else { field.name }, field.alias)).collect();
        Some(qml::layer(kind, self.style.as_deref()?, &aliases))
    }

    /// The layer with the metadata of its label raster; `what`: its kind, such as `buildings`.
    pub fn described(mut self, origin: &Origin, what: &str) -> Self {
        self.description = origin.description(what);
        self.metadata = origin.tags().to_vec();
        let now = humantime::format_rfc3339_seconds(std::time::SystemTime::now()).to_string();
        self.metadata.push(("SEGEARTH_DATE".to_owned(), now));
        self
    }
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
