//! Polygons with their attributes into a file, and the count of what went into it.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;

use super::background::BackgroundWriter;
use super::ffi::{Feature, Value};
use super::output_space::{OutputSpace, positions};
use super::shape::{Confidence, LabelRegion};
use super::source::{LabelSource, Values};
use super::wkb::polygon_wkb;
use super::write::{Field, FieldKind, GeometryKind, LayerSpec, VectorWriter};
use crate::error::{Error, Result};
use crate::geom::WorldPoint;

/// What was written, class by class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub polygons: u64,
    /// In the order of their labels; classes without a polygon are left out.
    pub classes: Vec<ClassSummary>,
    /// Areas and lengths are in pixels: no CRS says how large these are.
    pub in_pixels: bool,
    /// Sentences that a user should read: an empty result, coordinates without CRS.
    pub notes: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct ClassSummary {
    pub value: i64,
    pub name: String,
    pub polygons: u64,
    /// Square metres on the ellipsoid; pixels without a CRS.
    pub area: f64,
}

/// The names of labels, ready to be written.
pub struct Names {
    known: BTreeMap<u16, Arc<CStr>>,
    values: Values,
}

impl Names {
    pub fn new(source: &LabelSource) -> Self {
        let text = |name: &str| Arc::from(CString::new(name.replace('\0', " ")).unwrap_or_default());
        let values = source.values().clone();
        let known = source.names.iter().filter_map(|(value, name)| Some((values.label(value)?, text(name)))).collect();
        Self { known, values }
    }

    /// The labels that have names.
    pub fn labels(&self) -> impl Iterator<Item = u16> {
        self.known.keys().copied()
    }

    /// The value in the raster.
    pub fn value(&self, label: u16) -> i64 {
        self.values.value(label)
    }

    /// A label without a name is named by its value.
    pub fn get(&self, label: u16) -> Arc<CStr> {
        let number = || Arc::from(CString::new(self.value(label).to_string()).unwrap_or_default());
        self.known.get(&label).cloned().unwrap_or_else(number)
    }

    pub fn text(&self, label: u16) -> String {
        self.get(label).to_string_lossy().into_owned()
    }
}

/// What every polygon has. Names say the unit: square metres and metres, or pixels where no CRS says how large these are.
pub fn attributes(in_pixels: bool) -> [Field; 4] {
    let (area, perimeter) = if in_pixels {
        (Field::new("area_px", "area_px", FieldKind::Real), Field::new("perimeter_px", "perim_px", FieldKind::Real))
    } else {
        (Field::new("area_m2", "area_m2", FieldKind::Real), Field::new("perimeter_m", "perim_m", FieldKind::Real))
    };
    [
        Field::new("class_id", "class_id", FieldKind::Integer),
        Field::new("class", "class", FieldKind::Text),
        area,
        perimeter,
    ]
}

const CONFIDENCE: [Field; 2] =
    [Field::new("confidence", "conf_mean", FieldKind::Real), Field::new("confidence_min", "conf_min", FieldKind::Real)];

/// How polygons are spread over layers.
#[derive(Clone, Copy, Debug)]
pub enum Layers<'a> {
    One,
    PerClass { skip: &'a [i64] },
}

/// The file under construction.
pub struct PolygonOutput<'a> {
    writer: BackgroundWriter,
    place: &'a OutputSpace,
    names: Names,
    /// The layer of each label; `None`: one layer for all.
    layer_of: Option<BTreeMap<u16, usize>>,
    /// Smaller polygons are left out.
    min_area: f64,
    too_small: u64,
    multi: bool,
    with_scores: bool,
    tally: BTreeMap<u16, (u64, f64)>,
}

impl<'a> PolygonOutput<'a> {
    /// `extra`: fields after the common ones.
    #[expect(clippy::too_many_arguments, reason = "each is a fact of its own, and there is one caller a product")]
    pub fn create(
        source: &LabelSource,
        place: &'a OutputSpace,
        names: Names,
        out: &Path,
        layers: Layers<'_>,
        multi: bool,
        with_scores: bool,
        extra: &[Field],
    ) -> Result<Self> {
        let mut fields = attributes(source.placement.in_pixels()).to_vec();
        if with_scores {
            fields.extend(CONFIDENCE);
        }
        fields.extend_from_slice(extra);
        let geometry = if multi { GeometryKind::MultiPolygon } else { GeometryKind::Polygon };
        let layer = |name: String| LayerSpec { name, geometry, fields: fields.clone() };
        let mut specs = Vec::new();
        let mut layer_of = None;
        match layers {
            Layers::One => specs.push(layer(
                out.file_stem().map_or_else(|| "polygons".into(), |stem| stem.to_string_lossy().into_owned()),
            )),
            Layers::PerClass { .. } if names.labels().next().is_none() => {
                return Err(Error::input(format!(
                    "{} does not name its classes, so they get no layers",
                    source.name()
                ))
                .with_hint("Give the class names, or write one layer for all."));
            }
            Layers::PerClass { skip } => {
                let mut layers = BTreeMap::new();
                for label in names.labels().filter(|label| !skip.contains(&names.value(*label))) {
                    let name = names.text(label);
                    // Two values may have one name.
                    let found = specs.iter().position(|spec: &LayerSpec| spec.name == name);
                    let index = found.unwrap_or_else(|| {
                        specs.push(layer(name));
                        specs.len() - 1
                    });
                    layers.insert(label, index);
                }
                layer_of = Some(layers);
            }
        }
        let writer = BackgroundWriter::new(VectorWriter::create(out, place.crs_wkt.as_deref(), &specs)?)?;
        Ok(Self {
            writer,
            place,
            names,
            layer_of,
            min_area: 0.0,
            too_small: 0,
            multi,
            with_scores,
            tally: BTreeMap::new(),
        })
    }

    /// From now on leaves out what is smaller than so many m² (pixels without a CRS).
    #[must_use]
    pub fn at_least(mut self, min_area: f64) -> Self {
        self.min_area = min_area;
        self
    }

    /// Writes a region as it was traced.
    pub fn region(&mut self, region: &LabelRegion) -> Result<()> {
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
        }
        if area < self.min_area {
            self.too_small += 1;
            return Ok(());
        }
        for ring in parts.iter_mut().flatten() {
            self.place.project(ring)?;
        }
        let mut values = vec![
            Value::Integer(self.names.value(label)),
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
        let layer = match &self.layer_of {
            None => 0,
            Some(layers) => *layers.get(&label).ok_or_else(|| {
                Error::input(format!("the value {} has no name, so it gets no layer", self.names.value(label)))
                    .with_hint("Write one layer for all, or name the classes to take with --class.")
            })?,
        };
        self.writer.push(Feature { layer, wkb: polygon_wkb(&parts, self.multi), values })
    }

    pub fn finish(self, source: &LabelSource) -> Result<Summary> {
        self.writer.finish()?;
        let classes: Vec<_> = self
            .tally
            .iter()
            .map(|(&label, &(polygons, area))| ClassSummary {
                value: self.names.value(label),
                name: self.names.text(label),
                polygons,
                area,
            })
            .collect();
        let mut notes = source.notes();
        let polygons = classes.iter().map(|class| class.polygons).sum();
        if polygons == 0 {
            let name = source.name();
            let reason = match self.too_small {
                0 => format!("{name} has no pixel of the classes asked for"),
                1 => format!("the only polygon of {name} is smaller than the least area"),
                count => format!("all {count} polygons of {name} are smaller than the least area"),
            };
            notes.insert(0, format!("{reason}: the layer is empty"));
        }
        Ok(Summary { polygons, classes, in_pixels: source.placement.in_pixels(), notes })
    }
}
