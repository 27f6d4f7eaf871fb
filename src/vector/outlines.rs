//! Outlines with attributes: cells of a grid that belong together, as polygons in a file of any vector format.

use std::path::Path;
use std::sync::Arc;

use geo::{Coord, LineString, MultiPolygon, Polygon};

use super::feature::{Feature, Field, GeometryKind, LayerSpec, Value};
use super::format::Format;
use super::output_space::{OutputSpace, positions};
use super::source::Placement;
use super::trace::{Connectedness, Tracer};
use super::wkb::polygon_wkb;
use super::write::{BATCH, VectorWriter};
use crate::error::{Error, Result};
use crate::geom::PixelGround;

/// Where the pixels of outlines lie.
#[derive(Clone, Debug)]
pub struct OutlinePlace {
    pub ground: PixelGround,
    /// The CRS of its transform as WKT.
    pub crs_wkt: Option<Arc<str>>,
}

/// A polygon in pixels of a scene, and a value for each field.
#[derive(Clone, Debug)]
pub struct PlacedOutline {
    /// Index into the places.
    pub place: usize,
    pub polygon: Polygon,
    pub values: Vec<Value>,
}

/// The outline of the set cells of a mask, (row, column), which are connected by edges. `corner`: the position in pixels of a corner of
/// the cells' grid, by column and row.
///
/// # Errors
/// No cell is set.
pub fn outline(mask: &[bool], width: usize, corner: impl Fn(usize, usize) -> Coord) -> Result<Polygon> {
    let mut tracer = Tracer::new(width, Connectedness::Four, |label| label == 0);
    let mut regions = Vec::new();
    for row in mask.chunks_exact(width.max(1)) {
        let labels: Vec<u16> = row.iter().map(|set| u16::from(*set)).collect();
        tracer.row(&labels, None, &mut |region| regions.push(region));
    }
    tracer.finish(&mut |region| regions.push(region));
    let part = regions.into_iter().flat_map(|region| region.parts).next();
    let part = part.ok_or_else(|| Error::internal("an outline without cells"))?;
    let ring = |ring: &Vec<_>| {
        let mut points: Vec<Coord> = positions(ring).map(|at| corner(at.x as usize, at.y as usize)).collect();
        points.extend(points.first().copied());
        LineString::new(points)
    };
    Ok(Polygon::new(ring(&part.outer), part.holes.iter().map(ring).collect()))
}

/// Square metres of a polygon in pixels of a place; pixels where it has no CRS.
pub fn outline_area(polygon: &Polygon, place: &OutlinePlace) -> f64 {
    let area = |ring: &LineString| {
        let ring: Vec<Coord> =
            super::shape::open(ring).iter().map(|at| place.ground.transform.to_world(at.x, at.y)).collect();
        place.ground.ground.area(&ring).abs()
    };
    area(polygon.exterior()) - polygon.interiors().iter().map(area).sum::<f64>()
}

/// Writes outlines as one layer, named after the file, which appears when it is complete.
///
/// Where all places have one CRS the file has it; where they have several it is in longitude and latitude (WGS 84), as GeoJSON always
/// is.
///
/// # Errors
/// Some places have a CRS and others have none; GeoJSON of places without a CRS; the extension is unknown; the file cannot be written.
pub fn write_outlines(
    path: &Path,
    fields: &[Field],
    places: &[OutlinePlace],
    outlines: Vec<PlacedOutline>,
) -> Result<()> {
    let name = path.file_stem().map_or_else(|| "polygons".into(), |stem| stem.to_string_lossy().into_owned());
    let format = Format::of(path)?;
    let first = places.first().and_then(|place| place.crs_wkt.clone());
    if places.iter().any(|place| place.crs_wkt.is_some() != first.is_some()) {
        return Err(Error::input(format!(
            "some scenes have a CRS and others have none: their places cannot be in one file, {}",
            path.display()
        ))
        .with_hint("Take scenes with and without a CRS apart."));
    }
    let target = places.iter().any(|place| place.crs_wkt != first).then_some("EPSG:4326");
    let spaces = places.iter().map(|place| {
        let placement = Placement {
            transform: place.ground.transform,
            georeferenced: place.crs_wkt.is_some(),
            crs_wkt: place.crs_wkt.as_deref().map(str::to_owned),
            ground: place.ground.clone(),
        };
        OutputSpace::new(&placement, target, format)
    });
    let spaces = spaces.collect::<Result<Vec<_>>>()?;
    let crs = spaces.first().and_then(|space| space.crs_wkt.clone());
    let layer = LayerSpec::new(name, GeometryKind::Polygon, fields.to_vec());
    let mut writer = VectorWriter::create(path, crs.as_deref(), &[layer])?;
    let mut batch = Vec::new();
    for PlacedOutline { place, polygon, values } in outlines {
        let space =
            spaces.get(place).ok_or_else(|| Error::internal(format!("an outline has the unknown place {place}")))?;
        let mut polygons = MultiPolygon::new(vec![space.polygon(&polygon)]);
        space.project_polygons(&mut polygons)?;
        for polygon in &polygons {
            batch.push(Feature { layer: 0, wkb: polygon_wkb(polygon), values: values.clone() });
        }
        if batch.len() >= BATCH {
            writer.write(std::mem::take(&mut batch))?;
        }
    }
    writer.write(batch)?;
    writer.finish()
}
