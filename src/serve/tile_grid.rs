//! The grid of map tiles over a scene: Web Mercator's where the scene has a CRS, so that any viewer can show it over any other map;
//! else the scene's own pixels.
//!
//! Map coordinates are metres of EPSG:3857; without a CRS, columns to the right and rows downwards as negative numbers, as QGIS shows
//! such rasters. Tile (0, 0) of each zoom level begins at the origin, the upper left corner.

use serde::Serialize;

use crate::crs;
use crate::error::{Error, Result};
use crate::geom::{GeoTransform, Size, Window};
use crate::scene::SceneInfo;

/// Side of a tile in pixels.
pub const TILE: usize = 256;
/// Half the circumference of the earth in Web Mercator's metres.
const HALF_EARTH: f64 = 20_037_508.342_789_244;
/// Pixels between two positions that are transformed exactly; those between them are interpolated.
const STEP: usize = 16;
/// Points on each side of a scene by which its bounds on the map are found.
const BORDER: usize = 32;
/// Zoom levels beyond that of the scene's own pixels which have tiles.
const BEYOND: u8 = 3;
const MOST_ZOOM: u8 = 28;

/// Where a scene lies on the map.
#[derive(Clone, Debug, Serialize)]
pub struct TileGrid {
    /// `EPSG:3857`, or nothing.
    pub crs: Option<&'static str>,
    /// The upper left corner of all tiles.
    pub origin: [f64; 2],
    /// Map units of a tile's pixel at zoom level 0.
    pub resolution: f64,
    /// The zoom level whose pixels are about those of the scene.
    pub native_zoom: u8,
    /// The last one with tiles.
    pub max_zoom: u8,
    /// Left, bottom, right, top.
    pub bounds: [f64; 4],
    #[serde(skip)]
    size: Size,
    /// CRS and geotransform.
    #[serde(skip)]
    place: Option<(String, GeoTransform)>,
}

/// The positions in the scene of a tile's pixels.
#[derive(Clone, Debug)]
pub struct TilePixels {
    /// (row, column): column and row in the scene; NaN outside of its CRS.
    pub places: Vec<[f64; 2]>,
    /// The part of the scene below the tile; `None`: it lies beside the scene.
    pub part: Option<Window>,
    /// Pixels of the scene for one of the tile.
    pub step: f64,
}

impl TileGrid {
    /// The grid for a scene, on the grid that the model sees.
    pub fn new(scene: &SceneInfo) -> Self {
        let size = scene.size;
        let georeference = scene.georeference.as_ref();
        let place = georeference.and_then(|place| Some((place.crs_wkt.clone()?, place.transform)));
        let flat = Self::flat(size);
        let Some((wkt, transform)) = place else { return flat };
        let mercator = Self {
            crs: Some("EPSG:3857"),
            origin: [-HALF_EARTH, HALF_EARTH],
            resolution: 2.0 * HALF_EARTH / TILE as f64,
            place: Some((wkt, transform)),
            ..flat.clone()
        };
        // A CRS that is not of the earth, or beyond Mercator's latitudes.
        mercator.fitted().unwrap_or(flat)
    }

    fn flat(size: Size) -> Self {
        let longest = size.width.max(size.height) as f64;
        let zoom = (longest / TILE as f64).log2().ceil().clamp(0.0, f64::from(MOST_ZOOM)) as u8;
        Self {
            crs: None,
            origin: [0.0, 0.0],
            resolution: f64::from(zoom).exp2(),
            native_zoom: zoom,
            max_zoom: zoom.saturating_add(BEYOND),
            bounds: [0.0, -(size.height as f64), size.width as f64, 0.0],
            size,
            place: None,
        }
    }

    /// The same with bounds and zoom levels; `None`: the scene has no place on the map.
    fn fitted(self) -> Option<Self> {
        let (width, height) = (self.size.width as f64, self.size.height as f64);
        let shares = (0..=BORDER).map(|at| at as f64 / BORDER as f64);
        let border = shares.flat_map(|share| {
            let (col, row) = (share * width, share * height);
            [[col, 0.0], [col, height], [0.0, row], [width, row]]
        });
        // The middle and its neighbour tell the size of a pixel.
        let (col, row) = (width / 2.0, height / 2.0);
        let places: Vec<[f64; 2]> = border.chain([[col, row], [col + 1.0, row], [col, row + 1.0]]).collect();
        let found = self.to_map(&places);
        let (border, middle) = found.split_at_checked(found.len().checked_sub(3)?)?;
        let mut bounds = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        for [x, y] in border.iter().copied().filter(|[x, y]| x.is_finite() && y.is_finite()) {
            let [left, bottom, right, top] = bounds;
            bounds = [left.min(x), bottom.min(y), right.max(x), top.max(y)];
        }
        let [left, bottom, right, top] = bounds;
        let &[[x, y], [east_x, east_y], [south_x, south_y]] = middle else { return None };
        let pixel = ((east_x - x).hypot(east_y - y) * (south_x - x).hypot(south_y - y)).sqrt();
        let on_earth = bounds.iter().all(|bound| bound.abs() <= HALF_EARTH * 1.001);
        if !(on_earth && right > left && top > bottom && pixel.is_finite() && pixel > 0.0) {
            return None;
        }
        let native_zoom = (self.resolution / pixel).log2().ceil().clamp(0.0, f64::from(MOST_ZOOM)) as u8;
        let max_zoom = native_zoom.saturating_add(BEYOND).min(MOST_ZOOM);
        Some(Self { bounds, native_zoom, max_zoom, ..self })
    }

    /// Positions in the scene, (column, row), on the map; NaN where there is none.
    pub fn to_map(&self, places: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let Some((wkt, transform)) = &self.place else {
            return places.iter().map(|[col, row]| [*col, -row]).collect();
        };
        let world = places.iter().map(|[col, row]| transform.to_world(*col, *row)).map(|point| [point.x, point.y]);
        crs::to_web_mercator(wkt, world.collect())
    }

    /// Positions on the map in the scene, (column, row); NaN where there is none.
    pub fn to_scene(&self, places: &[[f64; 2]]) -> Vec<[f64; 2]> {
        let Some((wkt, transform)) = &self.place else {
            return places.iter().map(|[x, y]| [*x, -y]).collect();
        };
        let world = crs::from_web_mercator(wkt, places.to_vec());
        let pixel = |[x, y]: [f64; 2]| transform.to_pixel(crate::geom::WorldPoint { x, y }).unwrap_or([f64::NAN; 2]);
        world.into_iter().map(pixel).collect()
    }

    /// The part of the scene in a rectangle of the map: left, bottom, right, top. `None`: it lies beside the scene.
    pub fn part(&self, [left, bottom, right, top]: [f64; 4]) -> Option<Window> {
        let shares = (0..=8).map(|at| f64::from(at) / 8.0);
        let inside = shares.clone().flat_map(|down| {
            let y = top + (bottom - top) * down;
            shares.clone().map(move |across| [left + (right - left) * across, y])
        });
        covering(&self.to_scene(&inside.collect::<Vec<_>>()), self.size)
    }

    /// The scene's pixels below a tile.
    ///
    /// # Errors
    /// There is no such tile.
    pub fn tile(&self, zoom: u8, x: u64, y: u64) -> Result<TilePixels> {
        let across = 1u64 << zoom.min(MOST_ZOOM);
        if zoom > self.max_zoom || x >= across || y >= across {
            return Err(Error::input(format!("there is no tile {zoom}/{x}/{y}"))
                .with_hint(format!("Zoom levels are 0 to {}.", self.max_zoom)));
        }
        let resolution = self.resolution / across as f64;
        let corner = |tile: u64| (tile * TILE as u64) as f64;
        let (left, top) = (corner(x), corner(y));
        let nodes = TILE / STEP + 1;
        let node = |at: usize| [(at % nodes * STEP) as f64, (at / nodes * STEP) as f64];
        let exact: Vec<[f64; 2]> = (0..nodes * nodes)
            .map(node)
            .map(|[col, row]| [self.origin[0] + (left + col) * resolution, self.origin[1] - (top + row) * resolution])
            .collect();
        let exact = self.to_scene(&exact);
        let mut places = Vec::with_capacity(TILE * TILE);
        for row in 0..TILE {
            let down = (row % STEP) as f64 / STEP as f64 + 0.5 / STEP as f64;
            for col in 0..TILE {
                let across = (col % STEP) as f64 / STEP as f64 + 0.5 / STEP as f64;
                let at = row / STEP * nodes + col / STEP;
                let corners =
                    [at, at + 1, at + nodes, at + nodes + 1].map(|at| exact.get(at).copied().unwrap_or([f64::NAN; 2]));
                let [a, b, c, d] = corners;
                let mix = |axis: usize| {
                    let of = |corner: [f64; 2]| corner.get(axis).copied().unwrap_or(f64::NAN);
                    let upper = of(a) + (of(b) - of(a)) * across;
                    let lower = of(c) + (of(d) - of(c)) * across;
                    upper + (lower - upper) * down
                };
                places.push([mix(0), mix(1)]);
            }
        }
        let part = covering(&exact, self.size);
        let middle = TILE * TILE / 2 + TILE / 2;
        let at = |at: usize| places.get(at).copied().unwrap_or([f64::NAN; 2]);
        let ([col, row], [right, right_row]) = (at(middle), at(middle + 1));
        let step = Some((right - col).hypot(right_row - row)).filter(|step| step.is_finite()).unwrap_or(1.0);
        Ok(TilePixels { places, part, step })
    }
}

/// The smallest window of whole pixels around positions, within a scene.
fn covering(places: &[[f64; 2]], size: Size) -> Option<Window> {
    let mut bounds = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
    for [col, row] in places.iter().copied().filter(|[col, row]| col.is_finite() && row.is_finite()) {
        let [left, upper, right, lower] = bounds;
        bounds = [left.min(col), upper.min(row), right.max(col), lower.max(row)];
    }
    let [left, upper, right, lower] = bounds;
    let span = |first: f64, last: f64, length: usize| {
        let (first, last) = (first.floor().max(0.0), last.ceil().min(length as f64));
        (first < last).then_some((first as usize, (last - first) as usize))
    };
    let ((col, width), (row, height)) = (span(left, right, size.width)?, span(upper, lower, size.height)?);
    Some(Window { col, row, width, height })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scene::{Access, Georeference};

    fn scene(size: Size, place: Option<(&str, [f64; 6])>) -> SceneInfo {
        let georeference = place.map(|(crs, coefficients)| Georeference {
            transform: GeoTransform { coefficients },
            crs_wkt: Some(gdal::spatial_ref::SpatialRef::from_definition(crs).unwrap().to_wkt().unwrap()),
            crs_name: Some(crs.to_owned()),
            geographic: false,
            metres_per_unit: 1.0,
            pixel_is_point: false,
        });
        SceneInfo { path: "scene.tif".into(), size, bands: Vec::new(), georeference, access: Access::default() }
    }

    #[test]
    fn pixels_without_crs_are_tiles_of_their_own() {
        let grid = TileGrid::new(&scene(Size::new(1000, 300), None));
        assert_eq!((grid.crs, grid.native_zoom, grid.resolution), (None, 2, 4.0));
        let tile = grid.tile(2, 3, 1).unwrap();
        assert_eq!(tile.part, Some(Window { col: 768, row: 256, width: 232, height: 44 }));
        assert_eq!((tile.places[0], tile.step), ([768.5, 256.5], 1.0));
        assert_eq!(grid.tile(2, 3, 2).unwrap().part, None);
        assert!(grid.tile(2, 4, 0).is_err() && grid.tile(200, 0, 0).is_err());
        assert_eq!(grid.tile(0, 0, 0).unwrap().part.map(|part| part.size()), Some(Size::new(1000, 300)));
    }

    #[test]
    fn georeferenced_scenes_lie_where_mercator_has_them() {
        for (crs, transform) in [
            ("EPSG:25832", [356_000.0, 0.5, 0.0, 5_646_000.0, 0.0, -0.5]),
            ("EPSG:4326", [7.0, 5e-6, 1e-6, 51.0, 1e-6, -5e-6]),
        ] {
            let size = Size::new(1200, 900);
            let grid = TileGrid::new(&scene(size, Some((crs, transform))));
            let there = [[0.0, 0.0], [600.0, 450.0], [1200.0, 900.0]];
            let back = grid.to_scene(&grid.to_map(&there));
            assert!(there.iter().flatten().zip(back.iter().flatten()).all(|(a, b)| (a - b).abs() < 1e-3), "{back:?}");
            // The tiles of the scene's zoom level cover it, and a tile's pixels are where the map says.
            let resolution = grid.resolution / f64::from(grid.native_zoom).exp2();
            let [x, y] = grid.to_map(&[[600.0, 450.0]])[0];
            let pixel = [(x - grid.origin[0]) / resolution, (grid.origin[1] - y) / resolution];
            let tile = grid.tile(grid.native_zoom, pixel[0] as u64 / 256, pixel[1] as u64 / 256).unwrap();
            let at = pixel[1] as usize % 256 * 256 + pixel[0] as usize % 256;
            let [col, row] = tile.places[at];
            assert!((col - 600.0).abs() <= 1.0 && (row - 450.0).abs() <= 1.0, "{col} {row}");
            // A pixel in degrees is 1.6 times as high as wide here, and the zoom level goes by the mean of both sides.
            assert!((0.25..=1.27).contains(&tile.step), "{}", tile.step);
            let part = grid.part(grid.bounds).unwrap();
            assert!(part.width > 1190 && part.height > 890, "{part}");
        }
    }
}
