//! The polygon output: features with their attributes, and a summary by class.

use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::path::Path;
use std::sync::Arc;

use geo::MultiPolygon;

use super::background::BackgroundWriter;
use super::feature::{Feature, Field, FieldKind, GeometryKind, LayerSpec, Value};
use super::labels::Values;
use super::output_space::OutputSpace;
use super::rounding::{self, Rounding};
use super::shape::{Confidence, LabelRegion};
use super::sketch::Sketch;
use super::source::LabelSource;
use super::wkb::{multi_polygon_wkb, polygon_wkb};
use super::write::VectorWriter;
use crate::error::{Error, Result};
use crate::scene::{ClassInfo, ExtraField};

/// How regions of one pixel are kept.
pub(super) const KEEP_ALL: &str =
    "a minimum area of 0 (`segearth vectorize --min-area 0`, or `min_area: 0` in a job) keeps";

/// What was written, by class.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    pub polygons: u64,
    /// In the order of their labels; classes without a polygon are left out.
    pub classes: Vec<ClassSummary>,
    /// Areas and lengths are in pixels, because the labels have no CRS.
    pub in_pixels: bool,
    /// Notes for the user: an empty result, coordinates without CRS.
    pub notes: Vec<String>,
    /// The shapes for pictures.
    pub sketch: Sketch,
}

/// The polygons of one class.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassSummary {
    pub value: i64,
    pub name: String,
    pub polygons: u64,
    /// In square metres on the ellipsoid; in pixels without a CRS.
    pub area: f64,
}

/// The class names and values of labels, as attributes.
pub struct Names {
    known: BTreeMap<u16, Arc<CStr>>,
    values: Values,
    classes: BTreeMap<u16, ClassInfo>,
    /// Fields on request, and what they say of each label.
    extra: Vec<(Field, ExtraText)>,
}

/// The content of a field on request.
enum ExtraText {
    Same(Arc<CStr>),
    ByLabel(BTreeMap<u16, Arc<CStr>>),
}

impl Names {
    /// `fields`: further fields that say how the labels were made.
    pub fn new(source: &LabelSource, fields: &[ExtraField]) -> Self {
        let text = |name: &str| -> Arc<CStr> { Arc::from(CString::new(name.replace('\0', " ")).unwrap_or_default()) };
        let values = source.values().clone();
        let named = || source.names.iter().filter_map(|(value, name)| Some((values.label(value)?, value, name)));
        let class = |(label, value, name): (u16, i64, &str)| {
            (label, ClassInfo { name: name.to_owned(), colour: source.colour(value) })
        };
        let classes = named().map(class).collect();
        let extra = fields.iter().map(|field| match field {
            ExtraField::Scene => (SCENE, ExtraText::Same(text(source.origin.scene().unwrap_or_default()))),
            ExtraField::Prompts => {
                let prompts = source.origin.prompts(&source.names);
                let prompts = named().filter_map(|(label, _, name)| Some((label, text(prompts.get(name)?))));
                (PROMPTS, ExtraText::ByLabel(prompts.collect()))
            }
        });
        let extra = extra.collect();
        let known = source.names.iter().filter_map(|(value, name)| Some((values.label(value)?, text(name)))).collect();
        Self { known, values, classes, extra }
    }

    /// The same with fields for the class before and the class after of each value, from 0 on; none where `ends` is empty.
    pub fn with_transitions(mut self, ends: &[[String; 2]]) -> Self {
        if ends.is_empty() {
            return self;
        }
        for (at, field) in TRANSITION.into_iter().enumerate() {
            let text = |(value, ends): (i64, &[String; 2])| {
                let text = CString::new(ends.get(at)?.replace('\0', " ")).ok()?;
                Some((self.values.label(value)?, Arc::from(text)))
            };
            let texts = (0..).zip(ends).filter_map(text).collect();
            self.extra.push((field, ExtraText::ByLabel(texts)));
        }
        self
    }

    /// The classes with names and their colours, but those whose values are in `skip`.
    pub fn classes(&self, skip: &[i64]) -> Vec<ClassInfo> {
        let taken = self.classes.iter().filter(|(label, _)| !skip.contains(&self.value(**label)));
        taken.map(|(_, class)| class.clone()).collect()
    }

    /// The fields on request.
    pub fn extra_fields(&self) -> impl Iterator<Item = Field> {
        self.extra.iter().map(|(field, _)| field.clone())
    }

    /// What they hold for a label.
    pub fn extra_values(&self, label: u16) -> impl Iterator<Item = Value> {
        self.extra.iter().map(move |(_, text)| match text {
            ExtraText::Same(text) => Value::Text(text.clone()),
            ExtraText::ByLabel(texts) => texts.get(&label).map_or(Value::Missing, |text| Value::Text(text.clone())),
        })
    }

    /// The labels with names.
    pub fn labels(&self) -> impl Iterator<Item = u16> {
        self.known.keys().copied()
    }

    /// The value of a label in the raster.
    pub fn value(&self, label: u16) -> i64 {
        self.values.value(label)
    }

    /// The name of a label; its value where it has none.
    pub fn get(&self, label: u16) -> Arc<CStr> {
        let number = || Arc::from(CString::new(self.value(label).to_string()).unwrap_or_default());
        self.known.get(&label).cloned().unwrap_or_else(number)
    }

    pub fn text(&self, label: u16) -> String {
        self.get(label).to_string_lossy().into_owned()
    }
}

/// The fields of every polygon. The names of areas and lengths contain their unit: metres, or pixels without a CRS.
pub fn attributes(in_pixels: bool) -> [Field; 4] {
    let real = |name, short, alias| Field::new(name, short, FieldKind::Real).shown_as(alias);
    let (area, perimeter) = if in_pixels {
        (real("area_px", "area_px", "Area (pixels)"), real("perimeter_px", "perim_px", "Perimeter (pixels)"))
    } else {
        (real("area_m2", "area_m2", "Area (m²)"), real("perimeter_m", "perim_m", "Perimeter (m)"))
    };
    [CLASS_ID, CLASS, area, perimeter]
}

pub const CLASS_ID: Field = Field::new("class_id", "class_id", FieldKind::Integer).shown_as("Class number");
pub const CLASS: Field = Field::new("class", "class", FieldKind::Text).shown_as("Class");
const SCENE: Field = Field::new("scene", "scene", FieldKind::Text).shown_as("Scene");
const TRANSITION: [Field; 2] = [
    Field::new("from", "from", FieldKind::Text).shown_as("Class before"),
    Field::new("to", "to", FieldKind::Text).shown_as("Class after"),
];
const PROMPTS: Field = Field::new("prompts", "prompts", FieldKind::Text).shown_as("Prompts");

pub const CONFIDENCE: [Field; 2] = [
    Field::new("confidence", "conf_mean", FieldKind::Real).shown_as("Mean confidence (0 to 1)"),
    Field::new("confidence_min", "conf_min", FieldKind::Real).shown_as("Lowest confidence (0 to 1)"),
];

/// The values of the fields [`CONFIDENCE`].
pub fn confidence_values(confidence: Option<Confidence>) -> [Value; 2] {
    let value = |score: f32| Value::Real(rounding::share(f64::from(score)));
    confidence.map_or([Value::Missing, Value::Missing], |it| [value(it.mean), value(it.minimum)])
}

/// How polygons are distributed over layers.
#[derive(Clone, Copy, Debug)]
pub enum Layers<'a> {
    One { skip: &'a [i64] },
    PerClass { skip: &'a [i64] },
}

/// A polygon file that is being written.
pub struct PolygonOutput<'a> {
    writer: BackgroundWriter,
    space: &'a OutputSpace,
    names: Names,
    /// The layer of each label; `None` for one layer.
    layer_of: Option<BTreeMap<u16, usize>>,
    /// Smaller polygons are left out (m²; pixels without a CRS).
    min_area: f64,
    too_small: u64,
    /// Regions of at most this many pixels are left out, and how many were.
    speck: u64,
    specks: u64,
    rounding: Rounding,
    sketch: Sketch,
    multi: bool,
    with_scores: bool,
    totals: BTreeMap<u16, (u64, f64)>,
}

impl<'a> PolygonOutput<'a> {
    /// Creates the file. `extra`: fields after the common ones.
    ///
    /// # Errors
    /// A layer per class without class names; a file that cannot be created.
    #[expect(clippy::too_many_arguments, reason = "the arguments are independent, and each product has one caller")]
    pub fn create(
        source: &LabelSource,
        space: &'a OutputSpace,
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
        fields.extend(names.extra_fields());
        let geometry = if multi { GeometryKind::MultiPolygon } else { GeometryKind::Polygon };
        let layer = |name: String, classes: &[ClassInfo], what: &str| {
            LayerSpec::new(name, geometry, fields.clone()).styled(classes).described(&source.origin, what)
        };
        let mut specs = Vec::new();
        let mut layer_of = None;
        match layers {
            Layers::One { skip } => specs.push(layer(
                out.file_stem().map_or_else(|| "polygons".into(), |stem| stem.to_string_lossy().into_owned()),
                &names.classes(skip),
                "polygons",
            )),
            Layers::PerClass { .. } if names.labels().next().is_none() => {
                return Err(Error::input(format!(
                    "{} does not name its classes, which layers per class require",
                    source.name()
                ))
                .with_hint("Give the class names, or write one layer for all classes."));
            }
            Layers::PerClass { skip } => {
                let mut layers = BTreeMap::new();
                for label in names.labels().filter(|label| !skip.contains(&names.value(*label))) {
                    let name = names.text(label);
                    // Several values may have the same name.
                    let found = specs.iter().position(|spec: &LayerSpec| spec.name == name);
                    let index = found.unwrap_or_else(|| {
                        let class = ClassInfo { name: name.clone(), colour: source.colour(names.value(label)) };
                        let what = format!("polygons of {name}");
                        specs.push(layer(name, &[class], &what));
                        specs.len() - 1
                    });
                    layers.insert(label, index);
                }
                layer_of = Some(layers);
            }
        }
        let writer = BackgroundWriter::new(VectorWriter::create(out, space.crs_wkt.as_deref(), &specs)?)?;
        Ok(Self {
            writer,
            space,
            names,
            layer_of,
            min_area: 0.0,
            too_small: 0,
            speck: 0,
            specks: 0,
            rounding: Rounding::of(source.placement.rounding_pixel()),
            sketch: Sketch::new(source.size),
            multi,
            with_scores,
            totals: BTreeMap::new(),
        })
    }

    /// Leaves out polygons smaller than `min_area` (m²; pixels without a CRS).
    #[must_use]
    pub fn with_min_area(mut self, min_area: f64) -> Self {
        self.min_area = min_area;
        self
    }

    /// Leaves out regions of at most `pixels` pixels; a note says how many.
    #[must_use]
    pub fn with_speck(mut self, pixels: u64) -> Self {
        self.speck = pixels;
        self
    }

    /// Writes a traced region with its pixel outline.
    pub fn region(&mut self, region: &LabelRegion) -> Result<()> {
        if region.pixels <= self.speck {
            self.specks += 1;
            return Ok(());
        }
        let polygons = region.parts.iter().map(|part| self.space.traced(part)).collect();
        self.polygons(region.label, polygons, region.confidence, &[])
    }

    /// Writes a feature of polygons in the labels' CRS, outer rings counter-clockwise and holes clockwise; of one polygon where
    /// the layers are not of multipolygons.
    pub fn polygons(
        &mut self,
        label: u16,
        mut polygons: MultiPolygon,
        confidence: Option<Confidence>,
        extra: &[Value],
    ) -> Result<()> {
        let (area, perimeter) = self.space.area_and_perimeter(&polygons);
        if area < self.min_area {
            self.too_small += 1;
            return Ok(());
        }
        self.sketch.polygons(self.names.value(label), &polygons, self.space.transform());
        self.space.project_polygons(&mut polygons)?;
        let mut values = vec![
            Value::Integer(self.names.value(label)),
            Value::Text(self.names.get(label)),
            Value::Real(self.rounding.area(area)),
            Value::Real(self.rounding.length(perimeter)),
        ];
        if self.with_scores {
            values.extend(confidence_values(confidence));
        }
        values.extend_from_slice(extra);
        values.extend(self.names.extra_values(label));
        let totals = self.totals.entry(label).or_default();
        totals.0 += 1;
        totals.1 += area;
        let layer = match &self.layer_of {
            None => 0,
            Some(layers) => *layers.get(&label).ok_or_else(|| {
                Error::input(format!("the value {} has no name, which its layer requires", self.names.value(label)))
                    .with_hint("Write one layer for all classes, or select classes with --class.")
            })?,
        };
        let wkb = match polygons.0.as_slice() {
            [polygon] if !self.multi => polygon_wkb(polygon),
            _ => multi_polygon_wkb(&polygons),
        };
        self.writer.push(Feature { layer, wkb, values })
    }

    /// Completes the file and returns the summary.
    pub fn finish(self, source: &LabelSource) -> Result<Summary> {
        self.writer.finish()?;
        let classes: Vec<_> = self
            .totals
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
        if self.specks > 0 && polygons > 0 {
            let (count, verb) = match self.specks {
                1 => ("1 polygon".to_owned(), "is"),
                count => (format!("{count} polygons"), "are"),
            };
            notes.push(format!("{count} of one pixel {verb} left out; {KEEP_ALL} such polygons"));
        }
        if polygons == 0 {
            let name = source.name();
            let reason = match self.too_small {
                _ if self.specks > 0 => format!("all polygons of {name} have one pixel, which are left out by default"),
                0 => format!("{name} has no pixel of the selected classes"),
                1 => format!("the only polygon of {name} is smaller than the minimum area"),
                count => format!("all {count} polygons of {name} are smaller than the minimum area"),
            };
            notes.insert(0, format!("{reason}: the layer is empty"));
        }
        Ok(Summary { polygons, classes, in_pixels: source.placement.in_pixels(), notes, sketch: self.sketch })
    }
}
