//! Where examples lie in a scene: from their CRS to pixels.

use gdal::spatial_ref::{CoordTransform, SpatialRef};

use super::super::layer::{self, LayerFacts};
use super::super::{messages, spatial_ref};
use super::ExampleSource;
use super::shape::{Line, Shape};
use crate::crs;
use crate::error::{Context, Error, Result};
use crate::geom::{GeoTransform, MAX_DISTANCE, Metric, PixelGround, Size, WorldPoint};
use crate::scene::SceneInfo;

/// An edge that is straight in one CRS is a curve in another: before it is transformed, it is cut into pieces of at
/// most the extent of its feature divided by this.
const PIECES: f64 = 64.0;
/// What longitudes of the same place may differ by, in degrees.
const FULL_TURN: f64 = 360.0;
/// The largest latitude in degrees.
const QUARTER_TURN: f64 = 90.0;

/// The way from the coordinates of examples to pixels of a scene.
pub(super) struct Placement {
    transform: Option<CoordTransform>,
    grid: GeoTransform,
    /// Columns and rows of a full turn of longitude.
    turn: Option<[f64; 2]>,
    size: Size,
    ground: PixelGround,
    /// Whether the coordinates of the examples are degrees, by their CRS.
    geographic: bool,
}

/// The scene's CRS as `EPSG:32621`; `None` where it has no such code.
pub(super) fn crs_code(scene: &SceneInfo) -> Option<&str> {
    scene.georeference.as_ref()?.crs_name.as_deref().filter(|name| name.starts_with("EPSG:"))
}

impl Placement {
    /// # Errors
    /// The examples have a CRS and the scene has none, or the other way round; no transformation between the two is known.
    pub fn new(source: &ExampleSource<'_>, facts: LayerFacts, scene: &SceneInfo) -> Result<Self> {
        let LayerFacts { crs, columns } = facts;
        let (file, shown) = (source.path.display(), scene.path.display());
        // Formats that need a CRS have one for coordinates without: "Undefined Cartesian SRS".
        let crs = crs.filter(|crs| !crs.name().is_some_and(|name| name.starts_with("Undefined")));
        let geographic = crs.as_ref().is_some_and(SpatialRef::is_geographic);
        let place = scene.georeference.as_ref();
        let scene_crs = place.and_then(|place| place.crs_wkt.as_deref());
        let transform = match (crs, scene_crs) {
            (None, None) => None,
            (None, Some(_)) => {
                let columns = columns.as_ref().map(|columns| columns.each_ref().map(String::as_str));
                let degrees = columns.is_some_and(|[x, _]| x.to_lowercase().starts_with("lon"));
                let code = if degrees { Some("EPSG:4326") } else { crs_code(scene) };
                let command = layer::to_geopackage(source.path, code, columns);
                let which = match code {
                    Some(_) if !degrees => " (the scene's CRS; longitude and latitude are EPSG:4326)",
                    _ => "",
                };
                return Err(Error::input(format!("the examples of {file} have no CRS")).with_hint(format!(
                    "Assign the CRS of their coordinates: in QGIS with Layer, Set CRS and Export, or with {command}{which}.",
                )));
            }
            (Some(_), None) if place.is_none() => {
                let hint = "Georeference the scene, or give the examples in pixels (column, row) in a file without CRS, \
                            such as a GeoPackage; GeoJSON always has one.";
                return Err(Error::input(format!(
                    "{shown} has no georeference: the examples of {file} cannot be located in it"
                ))
                .with_hint(scene.georeference_hint(hint)));
            }
            (Some(_), None) => {
                return Err(Error::input(format!(
                    "{shown} has no CRS: the examples of {file}, which have one, cannot be located in it"
                ))
                .with_hint("Assign the scene's CRS with `gdal_edit.py -a_srs EPSG:…`."));
            }
            (Some(from), Some(to)) => {
                let to = spatial_ref::crs(to)?;
                let new = || messages::attempt(|| CoordTransform::new(&from, &to));
                let unknown = || format!("no transformation is known from the CRS of {file} to that of {shown}");
                if from == to { None } else { Some(new().input(unknown)?) }
            }
        };
        let grid = place.map_or(GeoTransform::IDENTITY, |place| place.transform);
        let pixel = |x: f64| grid.to_pixel(WorldPoint { x, y: 0.0 });
        let turn = match (pixel(0.0), pixel(FULL_TURN), place.is_some_and(|place| place.geographic)) {
            (Some([col, row]), Some([turned_col, turned_row]), true) => Some([turned_col - col, turned_row - row]),
            _ => None,
        };
        let ground = crs::pixel_ground(scene_crs, grid, scene.size);
        Ok(Self { transform, grid, turn, size: scene.size, ground, geographic })
    }

    /// The shape in pixels (column, row); `None` where no part of it can be in the scene.
    pub fn place(&self, shape: Shape) -> Option<Shape> {
        let [left, top, right, bottom] = shape.bounds();
        let longest = (right - left).max(bottom - top) / PIECES;
        let placed = shape.mapped(|line, joined| self.to_pixels(line, joined.then_some(longest)))?;
        if self.touches(&placed) {
            return Some(placed);
        }
        // Longitudes count from -180 or from 0; a scene over the antimeridian goes beyond 180.
        let [col, row] = self.turn?;
        let turned = |times: f64| {
            let point = |[x, y]: [f64; 2]| [x + times * col, y + times * row];
            placed.clone().mapped(|line, _| Some(line.into_iter().map(point).collect()))
        };
        [1.0, -1.0].into_iter().filter_map(turned).find(|shape| self.touches(shape))
    }

    /// Whether coordinates can be what the CRS of the examples says.
    pub fn may_be_degrees(&self, shape: &Shape) -> bool {
        let [left, bottom, right, top] = shape.bounds();
        !self.geographic || (left.abs().max(right.abs()) <= FULL_TURN && bottom.abs().max(top.abs()) <= QUARTER_TURN)
    }

    /// The metric of steps of pixels at a position: in metres, or in pixels where the scene has no CRS.
    pub fn metric(&self, [col, row]: [f64; 2]) -> Metric {
        self.ground.metric(col, row)
    }

    fn touches(&self, shape: &Shape) -> bool {
        let [left, top, right, bottom] = shape.bounds();
        right >= 0.0 && bottom >= 0.0 && left < self.size.width as f64 && top < self.size.height as f64
    }

    /// Pixels of coordinates; of edges, in pieces of at most `longest`.
    fn to_pixels(&self, line: Line, longest: Option<f64>) -> Option<Line> {
        if line.is_empty() {
            return Some(line);
        }
        let near = |point: &[f64; 2]| point.iter().all(|value| value.abs() <= MAX_DISTANCE);
        let pixel = |[x, y]: [f64; 2]| self.grid.to_pixel(WorldPoint { x, y }).filter(near);
        let Some(transform) = &self.transform else { return line.into_iter().map(pixel).collect() };
        let (mut xs, mut ys): (Vec<f64>, Vec<f64>) = longest
            .map_or_else(|| line.clone(), |longest| densified(&line, longest))
            .into_iter()
            .map(<[f64; 2]>::into)
            .unzip();
        // Coordinates for which there is no transformation are far from the scene.
        messages::attempt(|| transform.transform_coords(&mut xs, &mut ys, &mut [])).ok()?;
        xs.into_iter().zip(ys).map(|(x, y)| pixel([x, y])).collect()
    }
}

/// The points of a line, with further ones between those that are more than `longest` apart.
fn densified(line: &[[f64; 2]], longest: f64) -> Line {
    let mut points: Line = line.first().copied().into_iter().collect();
    for (&[x, y], &[u, v]) in line.iter().zip(line.iter().skip(1)) {
        let length = (u - x).abs().max((v - y).abs());
        let pieces = if length > longest { (length / longest).ceil().min(PIECES) } else { 1.0 };
        let share = |piece: usize| piece as f64 / pieces;
        points.extend((1..pieces as usize).map(|piece| [x + share(piece) * (u - x), y + share(piece) * (v - y)]));
        points.push([u, v]);
    }
    points
}
