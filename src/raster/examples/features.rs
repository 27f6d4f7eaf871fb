//! Examples from the features of a vector file.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use gdal::vector::Feature;

use super::super::layer::{self, LayerFacts, LayerSource};
use super::super::messages;
use super::conflicts::{self, Area};
use super::placement::{self, Placement};
use super::shape::Shape;
use super::{CLASS_FIELD, ClassList, Example, ExampleSource, Examples, Skipped, check_pixels};
use crate::error::{Context, Error, Result};
use crate::geom::{Region, Size, disc, line, overlap, pixel, spread};
use crate::scene::SceneInfo;

/// Largest extent in pixels of a polygon that stands for its middle pixel where no pixel centre lies in it.
const TINY: f64 = 2.0;

pub(super) fn read(source: &ExampleSource<'_>, scene: &SceneInfo) -> Result<Examples> {
    let layer = LayerSource {
        path: source.path,
        layer: source.layer,
        field: Some(source.class_field.unwrap_or(CLASS_FIELD)),
        what: "examples",
        layer_hint: "Name the one to learn from: --examples FILE:LAYER.",
        field_hint: "Name the field that holds the class with --class-field.",
        crs: placement::crs_code(scene),
    };
    let reader = layer::read(
        &layer,
        |facts| Reader::new(source, facts, scene),
        |reader, feature, field| reader.add(feature, field),
    )?;
    let Reader { classes, mut examples, areas, mut skipped, .. } = reader;
    conflicts::remove(&mut examples, &areas, &mut skipped);
    Ok(Examples { classes: classes.names, examples, skipped })
}

/// The pixels of a scene under the features of a vector file, whatever their fields: `class_field` of `source` is not read.
///
/// # Errors
/// As [`read_examples`](super::read_examples), except for fields.
pub fn read_places(source: &ExampleSource<'_>, scene: &SceneInfo) -> Result<Vec<[usize; 2]>> {
    let layer = LayerSource {
        path: source.path,
        layer: source.layer,
        field: None,
        what: "places",
        layer_hint: "Name the one to take: FILE:LAYER.",
        field_hint: "",
        crs: placement::crs_code(scene),
    };
    let add = |(reader, pixels): &mut (Reader, Vec<[usize; 2]>), feature: &Feature<'_>, _: Option<usize>| {
        let Some(geometry) = feature.geometry().filter(|geometry| !geometry.is_empty()) else { return Ok(()) };
        if let Some(shape) = reader.placement.place(Shape::of(geometry)?) {
            pixels.extend(reader.pixels_of(shape).0);
        }
        check_pixels(pixels.len())
    };
    Ok(layer::read(&layer, |facts| Ok((Reader::new(source, facts, scene)?, Vec::new())), add)?.1)
}

struct Reader {
    placement: Placement,
    size: Size,
    /// The area of interest.
    aoi: Option<Arc<Region>>,
    radius: f64,
    most: usize,
    /// The number of the next feature.
    next: u64,
    /// Number of pixels so far.
    pixels: usize,
    classes: ClassList,
    examples: Vec<Example>,
    /// The polygons of all examples.
    areas: Vec<Area>,
    skipped: Skipped,
}

impl Reader {
    fn new(source: &ExampleSource<'_>, facts: LayerFacts, scene: &SceneInfo) -> Result<Self> {
        Ok(Self {
            placement: Placement::new(source, facts, scene)?,
            size: scene.size,
            aoi: scene.access.area.clone(),
            radius: source.radius,
            most: source.most.max(1),
            next: 0,
            pixels: 0,
            classes: ClassList::default(),
            examples: Vec::new(),
            areas: Vec::new(),
            skipped: Skipped::default(),
        })
    }

    fn add(&mut self, feature: &Feature<'_>, field: Option<usize>) -> Result<()> {
        let id = self.next;
        self.next += 1;
        let field = field.ok_or_else(|| Error::internal("examples are read without a field"))?;
        let class = messages::attempt(|| feature.field_as_string(field))
            .input(|| "its class field cannot be read".into())?
            .unwrap_or_default();
        let Some(geometry) = feature.geometry().filter(|geometry| !geometry.is_empty()) else {
            self.skipped.without_geometry += 1;
            return Ok(());
        };
        if class.trim().is_empty() {
            self.skipped.without_class += 1;
            return Ok(());
        }
        let class = self.classes.index(&class)?;
        let shape = Shape::of(geometry)?;
        let degrees = self.placement.may_be_degrees(&shape);
        let Some(shape) = self.placement.place(shape) else {
            self.skipped.outside.push(id);
            self.skipped.no_degrees += u64::from(!degrees);
            return Ok(());
        };
        let (pixels, area) = self.pixels_of(shape);
        if pixels.is_empty() {
            self.skipped.outside.push(id);
            return Ok(());
        }
        self.pixels += pixels.len();
        check_pixels(self.pixels)?;
        self.areas.extend(area.map(|(top, region)| Area { class, top, region }));
        let name = feature.fid().map_or_else(|| format!("feature {id}"), |fid| format!("feature {fid}"));
        self.examples.push(Example { id, class, name, pixels });
        Ok(())
    }

    /// Pixels of a shape that was placed on the scene, each once, and its polygons with their first row.
    fn pixels_of(&self, shape: Shape) -> (Vec<[usize; 2]>, Option<(usize, Region)>) {
        let Shape { polygons, lines, points } = shape;
        let mut pixels = Vec::new();
        let mut area = None;
        if !polygons.is_empty() {
            let rings = polygons.concat();
            let shape = Shape { polygons, ..Shape::default() };
            let bounds = shape.bounds();
            area = self.region(shape, bounds);
            if let Some((top, region)) = &area {
                pixels = self.inside(*top, region);
            }
            if pixels.is_empty() {
                pixels = self.sliver(&rings, bounds);
            }
        }
        pixels.extend(line(&lines, self.size, self.most));
        pixels.extend(self.around(&points));
        let mut seen = BTreeSet::new();
        let aoi = self.aoi.as_deref();
        pixels.retain(|&[col, row]| aoi.is_none_or(|aoi| aoi.contains(col, row)) && seen.insert([col, row]));
        (evenly(pixels, self.most), area)
    }

    /// The polygons as a region whose row 0 is the returned row of the scene; `None` where they are beside the scene.
    fn region(&self, shape: Shape, [_, top, _, bottom]: [f64; 4]) -> Option<(usize, Region)> {
        let (top, bottom) = (top.floor().max(0.0) as usize, (bottom.ceil().max(0.0) as usize).min(self.size.height));
        let height = bottom.checked_sub(top).filter(|height| *height > 0)?;
        let up = |ring: Vec<[f64; 2]>, _| Some(ring.into_iter().map(|[x, y]| [x, y - top as f64]).collect());
        let shape = shape.mapped(up)?;
        Some((top, Region::new(shape.polygons, Size::new(self.size.width, height))))
    }

    /// Pixels whose centres lie in polygons and in the area of interest.
    fn inside(&self, top: usize, region: &Region) -> Vec<[usize; 2]> {
        let mut allowed = Vec::new();
        let spans = |row: usize, spans: &mut Vec<Range<usize>>| {
            region.row_spans(row - top, spans);
            if let Some(aoi) = &self.aoi {
                aoi.row_spans(row, &mut allowed);
                *spans = overlap(spans, &allowed);
            }
        };
        spread(top..top + region.size().height, spans, self.most)
    }

    /// Pixels of a polygon in which no pixel centre lies: the middle one of a tiny polygon, else those along its border.
    fn sliver(&self, rings: &[Vec<[f64; 2]>], [left, top, right, bottom]: [f64; 4]) -> Vec<[usize; 2]> {
        if right - left <= TINY && bottom - top <= TINY {
            return pixel([(left + right) / 2.0, (top + bottom) / 2.0], self.size).into_iter().collect();
        }
        line(rings, self.size, self.most)
    }

    /// The pixels of discs around points.
    fn around(&self, points: &[[f64; 2]]) -> Vec<[usize; 2]> {
        let inside: Vec<[f64; 2]> = points.iter().copied().filter(|point| pixel(*point, self.size).is_some()).collect();
        let points = evenly(inside, self.most);
        let each = self.most.checked_div(points.len()).unwrap_or(0);
        let disc = |&point: &[f64; 2]| disc(point, self.radius, self.placement.metric(point), self.size, each);
        points.iter().flat_map(disc).collect()
    }
}

/// At most `most` items at even distances in the list.
fn evenly<T: Copy>(items: Vec<T>, most: usize) -> Vec<T> {
    let count = items.len();
    if count <= most {
        return items;
    }
    (0..most).filter_map(|index| items.get((2 * index + 1) * count / (2 * most)).copied()).collect()
}
