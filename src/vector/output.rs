//! Polygons with their attributes into a file, and the count of what went into it.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;

use super::background::BackgroundWriter;
use super::ffi::{Feature, Value};
use super::place::{Place, positions};
use super::shape::{Confidence, Region};
use super::source::LabelSource;
use super::wkb::polygon_wkb;
use super::write::{Field, FieldKind, GeometryKind, LayerSpec, VectorWriter};
use crate::error::{Error, Result};
use crate::geom::WorldPoint;
use crate::scene::ClassInfo;

/// What was written, class by class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub polygons: u64,
    /// In the order of the class indices; classes without a polygon are left out.
    pub classes: Vec<ClassSummary>,
    /// Sentences that a user should read: an empty result, coordinates without CRS.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClassSummary {
    pub index: usize,
    pub name: String,
    pub polygons: u64,
    /// Square metres on the ellipsoid or in the plane of the CRS; square pixels without a georeference.
    pub area: f64,
}

/// The names of labels, ready to be written.
pub struct Names {
    known: Vec<Arc<CStr>>,
}

impl Names {
    /// `classes` where they are given, else what the file says.
    pub fn new(source: &LabelSource, classes: &[ClassInfo]) -> Self {
        let text = |name: &str| CString::new(name.replace('\0', " ")).unwrap_or_default();
        let known: Vec<Arc<CStr>> = if classes.is_empty() {
            source.names.iter().map(|name| Arc::from(text(name))).collect()
        } else {
            classes.iter().map(|class| Arc::from(text(&class.name))).collect()
        };
        Self { known }
    }

    pub fn len(&self) -> usize {
        self.known.len()
    }

    /// A label without a name is named by its number.
    pub fn get(&self, label: u16) -> Arc<CStr> {
        match self.known.get(usize::from(label)) {
            Some(name) if !name.is_empty() => name.clone(),
            _ => Arc::from(CString::new(label.to_string()).unwrap_or_default()),
        }
    }

    pub fn text(&self, label: u16) -> String {
        self.get(label).to_string_lossy().into_owned()
    }
}

const ATTRIBUTES: [Field; 4] = [
    Field::new("class_id", "class_id", FieldKind::Integer),
    Field::new("class", "class", FieldKind::Text),
    Field::new("area_m2", "area_m2", FieldKind::Real),
    Field::new("perimeter_m", "perim_m", FieldKind::Real),
];

const CONFIDENCE: [Field; 2] =
    [Field::new("confidence", "conf_mean", FieldKind::Real), Field::new("confidence_min", "conf_min", FieldKind::Real)];

/// How polygons are spread over layers.
#[derive(Clone, Copy, Debug)]
pub enum Layers<'a> {
    One,
    PerClass { skip: &'a [usize] },
}

/// The file under construction.
pub struct PolygonOutput<'a> {
    writer: BackgroundWriter,
    place: &'a Place,
    names: Names,
    /// The layer of each class; empty: one layer for all.
    layer_of: Vec<usize>,
    multi: bool,
    with_scores: bool,
    tally: BTreeMap<u16, (u64, f64)>,
}

impl<'a> PolygonOutput<'a> {
    /// `extra`: fields after the common ones.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own, and there is one caller a product")]
    pub fn create(
        source: &LabelSource,
        place: &'a Place,
        names: Names,
        out: &Path,
        layers: Layers<'_>,
        multi: bool,
        with_scores: bool,
        extra: &[Field],
    ) -> Result<Self> {
        let mut fields = ATTRIBUTES.to_vec();
        if with_scores {
            fields.extend(CONFIDENCE);
        }
        fields.extend_from_slice(extra);
        let geometry = if multi { GeometryKind::MultiPolygon } else { GeometryKind::Polygon };
        let layer = |name: String| LayerSpec { name, geometry, fields: fields.clone() };
        let mut specs = Vec::new();
        let mut layer_of = Vec::new();
        match layers {
            Layers::One => specs.push(layer(
                out.file_stem().map_or_else(|| "polygons".into(), |stem| stem.to_string_lossy().into_owned()),
            )),
            Layers::PerClass { .. } if names.len() == 0 => {
                return Err(Error::input(format!(
                    "{} does not name its classes, so they get no layers",
                    source.name()
                ))
                .with_hint("Give the class names, or write one layer for all."));
            }
            Layers::PerClass { skip } => {
                for class in 0..names.len() {
                    layer_of.push(specs.len());
                    if !skip.contains(&class) {
                        specs.push(layer(names.text(class as u16)));
                    }
                }
            }
        }
        let writer = BackgroundWriter::new(VectorWriter::create(out, place.crs_wkt.as_deref(), &specs)?)?;
        Ok(Self { writer, place, names, layer_of, multi, with_scores, tally: BTreeMap::new() })
    }

    /// Writes a region as it was traced.
    pub fn region(&mut self, region: &Region) -> Result<()> {
        let parts = region
            .parts
            .iter()
            .map(|part| part.rings().map(|ring| self.place.ring(positions(ring))).collect())
            .collect();
        self.polygon(region.label, parts, region.confidence, &[])
    }

    /// Writes rings of ground positions: of each part the outer one first and counter-clockwise, the holes clockwise.
    /// Returns the area in m².
    pub fn polygon(
        &mut self,
        label: u16,
        mut parts: Vec<Vec<Vec<WorldPoint>>>,
        confidence: Option<Confidence>,
        extra: &[Value],
    ) -> Result<()> {
        let (mut area, mut perimeter) = (0.0, 0.0);
        for ring in parts.iter_mut().flatten() {
            area += self.place.measure().area(ring);
            perimeter += self.place.measure().perimeter(ring);
            self.place.project(ring)?;
        }
        let mut values = vec![
            Value::Integer(i64::from(label)),
            Value::Text(self.names.get(label)),
            Value::Real(area),
            Value::Real(perimeter),
        ];
        if self.with_scores {
            match confidence {
                Some(confidence) => {
                    values.extend([Value::Real(f64::from(confidence.mean)), Value::Real(f64::from(confidence.minimum))])
                }
                None => values.extend([Value::Missing, Value::Missing]),
            }
        }
        values.extend_from_slice(extra);
        let tally = self.tally.entry(label).or_default();
        tally.0 += 1;
        tally.1 += area;
        let layer = self.layer_of.get(usize::from(label)).copied().unwrap_or(0);
        self.writer.push(Feature { layer, wkb: polygon_wkb(&parts, self.multi), values })
    }

    pub fn finish(self, source: &LabelSource) -> Result<Summary> {
        self.writer.finish()?;
        let classes: Vec<_> = self
            .tally
            .iter()
            .map(|(&label, &(polygons, area))| ClassSummary {
                index: usize::from(label),
                name: self.names.text(label),
                polygons,
                area,
            })
            .collect();
        let mut notes = source.placement.notes(source.name());
        let polygons = classes.iter().map(|class| class.polygons).sum();
        if polygons == 0 {
            notes.insert(0, format!("{} has no pixel of the classes asked for: the layer is empty", source.name()));
        }
        Ok(Summary { polygons, classes, notes })
    }
}
