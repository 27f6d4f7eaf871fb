//! Recipes: a label raster to buildings, roads, water or land cover, with everything between.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::bits::BitGrid;
use super::buildings::{self, SquareOptions};
use super::coverage::{Coverage, PixelSize};
use super::ffi::Value;
use super::format::Format;
use super::geometry::{self, Rings};
use super::landcover::{LandcoverOptions, landcover};
use super::mask::{self, Disc, Sizes};
use super::network::Rules;
use super::output::{Layers, Names, PolygonOutput, Summary};
use super::place::Place;
use super::road_output::{self, RoadOutput};
use super::shape::Region;
use super::source::{LabelSource, ScoreSource};
use super::stage::Hidden;
use super::trace::{Connectedness, Tracer};
use super::write::{Field, FieldKind};
use crate::error::{Error, Result};
use crate::scene::ClassInfo;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recipe {
    /// Squared outlines, one polygon a building.
    Buildings,
    /// Centre lines as a graph, with nodes and areas.
    Roads,
    /// Smooth polygons with islands; what is new water where permanent water is given.
    Water,
    /// All classes as polygons that share their borders.
    Landcover,
}

/// Every length in metres, every area in m² (pixels without a georeference). `None`: the recipe's own value.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct VectorizeOptions {
    /// The classes of the labels; empty: as the raster names them.
    pub classes: Vec<ClassInfo>,
    /// Names or indices of the classes to take; empty: what the recipe looks for.
    pub take: Vec<String>,
    /// Land cover: also a class called background.
    pub keep_background: bool,
    pub target_crs: Option<String>,
    pub layer_per_class: bool,
    /// Smaller polygons are dropped; in land cover they go to their largest neighbour.
    pub min_area: Option<f64>,
    /// Holes up to this area are filled.
    pub max_hole: Option<f64>,
    /// Radius of an opening: what is thinner than twice this goes.
    pub opening: Option<f64>,
    /// Radius of a closing: cracks up to twice this are filled.
    pub closing: Option<f64>,
    /// How far a border may move when it is simplified.
    pub tolerance: Option<f64>,
    /// Rounded borders.
    pub smooth: Option<bool>,
    /// Buildings: pixel outlines instead of squared ones.
    pub plain_outlines: bool,
    /// Buildings: least intersection over union of an outline with its pixels.
    pub least_iou: Option<f64>,
    /// Roads: widest gap to bridge.
    pub max_gap: Option<f64>,
    /// Roads: networks of less total length are dropped.
    pub min_length: Option<f64>,
    /// Roads: dead ends shorter than this are cut.
    pub min_spur: Option<f64>,
    /// Roads: the graph as GraphML, besides.
    pub graph: Option<PathBuf>,
    /// Water: polygons to leave out, such as permanent water.
    pub subtract: Option<PathBuf>,
    /// Water: areas by which the water is summed up.
    pub zones: Option<PathBuf>,
    /// The zones' field that names them; `None`: their first text field.
    pub zone_field: Option<String>,
    /// Where the zones' table goes; `None`: beside the result, as NAME_zones.csv.
    pub zone_table: Option<PathBuf>,
}

/// Makes one product of a label raster.
///
/// # Errors
/// As `polygonize`; a class that is not there; areas or zones that cannot be read. Nothing is left behind then.
pub fn vectorize(
    labels: &Path,
    scores: Option<&Path>,
    recipe: Recipe,
    out: &Path,
    options: &VectorizeOptions,
) -> Result<Summary> {
    Format::of(out)?;
    let source = LabelSource::open(labels)?;
    let scores = scores.map(|path| ScoreSource::open(path, &source)).transpose()?;
    if recipe == Recipe::Landcover {
        return whole_map(&source, scores.as_ref(), out, options);
    }
    let place = Place::new(&source.placement, options.target_crs.as_deref(), Format::of(out)?)?;
    let job = Job {
        pixel: source.placement.pixel_size(source.size),
        taken: taken(&source, recipe, options)?,
        source,
        scores,
        place,
        options,
    };
    match recipe {
        Recipe::Buildings => job.buildings(out),
        Recipe::Roads => job.roads(out),
        Recipe::Water | Recipe::Landcover => job.water(out),
    }
}

fn names_of(source: &LabelSource, options: &VectorizeOptions) -> Vec<String> {
    if options.classes.is_empty() {
        source.names.clone()
    } else {
        options.classes.iter().map(|class| class.name.clone()).collect()
    }
}

/// The class indices that a recipe works on.
fn taken(source: &LabelSource, recipe: Recipe, options: &VectorizeOptions) -> Result<Vec<u16>> {
    let names = names_of(source, options);
    let listed = || match names.len() {
        0 => "it names none".to_string(),
        _ => format!("it has {}", names.join(", ")),
    };
    let mut taken = Vec::new();
    for wanted in &options.take {
        let index = names.iter().position(|name| name.eq_ignore_ascii_case(wanted.trim()));
        let index = index.or_else(|| wanted.trim().parse().ok().filter(|&index: &usize| index < 65535));
        taken.push(index.ok_or_else(|| {
            Error::input(format!("{} has no class {wanted}; {}", source.name(), listed()))
                .with_hint("Give a class by its name or its index.")
        })? as u16);
    }
    if !taken.is_empty() {
        return Ok(taken);
    }
    let words: &[&str] = match recipe {
        Recipe::Buildings => &["building", "roof", "house"],
        Recipe::Roads => &["road", "street", "highway"],
        Recipe::Water => &["water", "flood", "river", "lake", "sea"],
        Recipe::Landcover => &[],
    };
    let fits = |name: &String| {
        let name = name.to_lowercase();
        name.split(|c: char| !c.is_alphanumeric())
            .any(|part| words.iter().any(|word| part == *word || part == format!("{word}s")))
    };
    taken.extend(names.iter().enumerate().filter(|(_, name)| fits(name)).map(|(index, _)| index as u16));
    if taken.is_empty() && names.len() <= 2 {
        // A mask: 0 is nothing, 1 is something.
        taken.push(1);
    }
    if taken.is_empty() {
        return Err(Error::input(format!(
            "{} has no class called {}; {}",
            source.name(),
            words.join(" or "),
            listed()
        ))
        .with_hint("Say with --class which classes to take, by name or index."));
    }
    Ok(taken)
}

fn whole_map(
    source: &LabelSource,
    scores: Option<&ScoreSource>,
    out: &Path,
    options: &VectorizeOptions,
) -> Result<Summary> {
    let names = names_of(source, options);
    let is_background = |name: &String| name.trim().eq_ignore_ascii_case("background");
    let skip: Vec<usize> = match options.take.is_empty() {
        true if options.keep_background => Vec::new(),
        true => (0..names.len()).filter(|&index| is_background(&names[index])).collect(),
        false => {
            let taken = taken(source, Recipe::Landcover, options)?;
            (0..usize::from(u16::MAX)).filter(|index| !taken.contains(&(*index as u16))).collect()
        }
    };
    let pixel = source.placement.pixel_size(source.size);
    let landcover_options = LandcoverOptions {
        tolerance: options.tolerance,
        smooth: options.smooth.unwrap_or(false),
        target_crs: options.target_crs.clone(),
        layer_per_class: options.layer_per_class,
    };
    let classes = if options.classes.is_empty() { named(&source.names) } else { options.classes.clone() };
    let smallest = pixels(options.min_area.unwrap_or(0.0), pixel);
    if smallest <= 1 {
        return landcover(source, scores, &classes, &skip, out, &landcover_options);
    }
    let folder = Hidden::beside(out, "sieved")?;
    let sieved = source.sieved(&folder.path().join("labels.tif"), smallest)?;
    landcover(&sieved, scores, &classes, &skip, out, &landcover_options)
}

fn named(names: &[String]) -> Vec<ClassInfo> {
    names.iter().map(|name| ClassInfo { name: name.clone(), colour: [0; 3] }).collect()
}

fn pixels(area: f64, pixel: PixelSize) -> u64 {
    (area / (pixel.width * pixel.height)).ceil().max(0.0) as u64
}

/// A product of single classes.
struct Job<'a> {
    source: LabelSource,
    scores: Option<ScoreSource>,
    place: Place,
    pixel: PixelSize,
    taken: Vec<u16>,
    options: &'a VectorizeOptions,
}

impl Job<'_> {
    fn names(&self) -> Names {
        Names::new(&self.source, &self.options.classes)
    }

    /// A class as a clean mask. Areas and lengths are what the recipe takes where the options say nothing.
    fn mask(&self, class: u16, min_area: f64, max_hole: f64, closing: f64) -> Result<BitGrid> {
        let size = self.source.size;
        let mut mask = BitGrid::new(size.width, size.height);
        self.source.for_each_strip(None, |first, labels, _| {
            for (row, labels) in labels.chunks_exact(size.width).enumerate() {
                let mut start = 0;
                for run in labels.chunk_by(|a, b| a == b) {
                    if run[0] == class {
                        mask.fill(first + row, start, start + run.len(), true);
                    }
                    start += run.len();
                }
            }
            Ok(())
        })?;
        let disc = |metres: f64| Disc { cols: metres / self.pixel.width, rows: metres / self.pixel.height };
        mask::close(&mut mask, disc(self.options.closing.unwrap_or(closing)));
        mask::open(&mut mask, disc(self.options.opening.unwrap_or(0.0)));
        let sizes = Sizes {
            smallest_part: pixels(self.options.min_area.unwrap_or(min_area), self.pixel),
            largest_hole: (self.options.max_hole.unwrap_or(max_hole) / (self.pixel.width * self.pixel.height)) as u64,
        };
        mask::clean(&mut mask, sizes);
        Ok(mask)
    }

    /// The regions of a mask with the scores of `class`, and every row as the sweep sees it.
    fn regions(
        &self,
        mask: &BitGrid,
        class: u16,
        mut each_row: impl FnMut(&[u16]),
        mut emit: impl FnMut(Region),
    ) -> Result<()> {
        let width = self.source.size.width;
        let empty = if class == u16::MAX { 0 } else { u16::MAX };
        let mut tracer = Tracer::new(width, Connectedness::Four, |label| label != class);
        let relabel = |row: usize, labels: &mut [u16]| {
            mask.labels(row, labels);
            labels.iter_mut().for_each(|label| *label = if *label == 1 { class } else { empty });
        };
        self.source.for_each_relabelled(self.scores.as_ref(), relabel, |_, labels, scores| {
            for (row, labels) in labels.chunks_exact(width).enumerate() {
                each_row(labels);
                tracer.row(labels, scores.map(|scores| &scores[row * width..][..width]), &mut emit);
            }
            Ok(())
        })?;
        tracer.finish(&mut emit);
        Ok(())
    }

    fn polygons(&self, out: &Path, multi: bool, extra: &[Field]) -> Result<PolygonOutput<'_>> {
        let skip: Vec<usize> = (0..self.names().len()).filter(|&class| !self.taken.contains(&(class as u16))).collect();
        let layers = if self.options.layer_per_class { Layers::PerClass { skip: &skip } } else { Layers::One };
        PolygonOutput::create(&self.source, &self.place, self.names(), out, layers, multi, self.scores.is_some(), extra)
    }

    fn buildings(&self, out: &Path) -> Result<Summary> {
        let extra = [
            Field::new("orientation", "orient", FieldKind::Real),
            Field::new("outline", "outline", FieldKind::Text),
            Field::new("outline_iou", "out_iou", FieldKind::Real),
        ];
        let mut output = self.polygons(out, false, &extra)?;
        let mut square = SquareOptions { square: !self.options.plain_outlines, ..SquareOptions::default() };
        if let Some(least) = self.options.least_iou {
            square.least_iou = least;
        }
        let mut all = Vec::new();
        for &class in &self.taken {
            let mask = self.mask(class, 10.0, 4.0, 0.0)?;
            self.regions(&mask, class, |_| {}, |region| all.extend(buildings::outline(region, &square)))?;
        }
        buildings::separate(&mut all);
        for building in all {
            let mut rings = Vec::with_capacity(building.rings.len());
            for ring in &building.rings {
                rings.push(self.place.ring(ring.iter().copied()));
            }
            // Rings from pixels are exact; fitted ones may still fold where coordinates are rounded.
            let extra = [
                Value::Real(self.orientation(&building)),
                Value::Text(building.shape.label()),
                Value::Real(building.iou),
            ];
            output.polygon(building.label, vec![rings], building.confidence, &extra)?;
        }
        output.finish(&self.source)
    }

    /// Direction of the longest wall on the ground, in degrees clockwise from north, 0..180.
    fn orientation(&self, building: &buildings::Building) -> f64 {
        let ring = self.place.ring(building.rings[0].iter().copied());
        let mut walls: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
        for (a, b) in ring.iter().zip(ring.iter().cycle().skip(1)) {
            let (sx, sy) = self.place.measure().scale(*a);
            let (dx, dy) = ((b.x - a.x) * sx, (b.y - a.y) * sy);
            let length = dx.hypot(dy);
            let azimuth = dx.atan2(dy).to_degrees().rem_euclid(180.0);
            // Walls of one direction count together; doubled angles make 179° and 1° neighbours.
            let slot = walls.entry((azimuth / 5.0).round() as i64 % 36).or_default();
            let twice = azimuth.to_radians() * 2.0;
            *slot = (slot.0 + length, slot.1 + length * twice.sin(), slot.2 + length * twice.cos());
        }
        let longest = walls.values().max_by(|a, b| a.0.total_cmp(&b.0));
        longest.map_or(0.0, |(_, sin, cos)| (sin.atan2(*cos).to_degrees() / 2.0).rem_euclid(180.0))
    }

    fn water(&self, out: &Path) -> Result<Summary> {
        let crs = self.source.placement.crs_wkt.as_deref();
        let permanent = match &self.options.subtract {
            Some(path) => geometry::read_areas(path, crs, None)?,
            None => Vec::new(),
        };
        let zones = match &self.options.zones {
            Some(path) => geometry::read_areas(path, crs, self.options.zone_field.as_deref())?,
            None => Vec::new(),
        };
        let mut wet = vec![0.0; zones.len()];
        let mut output = self.polygons(out, false, &[])?;
        // Just enough for a pixel's stairs to go: rounding takes more off what has fewer corners.
        let stairs = 0.71 * (self.pixel.width * self.pixel.height).sqrt();
        let tolerance = self.options.tolerance.unwrap_or(stairs);
        for &class in &self.taken {
            let mask = self.mask(class, 100.0, 100.0, 0.0)?;
            let mut coverage = Coverage::new(self.source.size.width, self.source.size.height);
            let coverage_cell = std::cell::RefCell::new(&mut coverage);
            let skipped = |label: u16| label != class;
            self.regions(
                &mask,
                class,
                |labels| coverage_cell.borrow_mut().row(labels, skipped),
                // The sweep emits a region only after `row` has seen all of its rows but the last line, which `end` adds.
                |region| coverage_cell.borrow_mut().later(region),
            )?;
            coverage.end();
            let smooth = self.options.smooth.unwrap_or(true);
            for region in coverage.finish(self.pixel, tolerance, smooth).regions() {
                for part in region.parts {
                    let rings: Rings = part.into_iter().map(|ring| self.place.ring(ring.into_iter())).collect();
                    for rings in geometry::subtract(rings, &permanent)? {
                        let area: f64 = rings.iter().map(|ring| self.place.measure().area(ring)).sum();
                        if !permanent.is_empty() && area < self.options.min_area.unwrap_or(100.0) {
                            continue;
                        }
                        for (zone, wet) in zones.iter().zip(&mut wet) {
                            *wet += geometry::common_area(&rings, zone, self.place.measure())?;
                        }
                        output.polygon(class, vec![rings], region.confidence, &[])?;
                    }
                }
            }
        }
        let mut summary = output.finish(&self.source)?;
        if !zones.is_empty() {
            let table = self.options.zone_table.clone().unwrap_or_else(|| beside(out, "_zones", "csv"));
            let rows = zones.iter().zip(&wet).map(|(zone, &wet)| {
                let whole = geometry::area_of(&zone.geometry, self.place.measure());
                (zone.name.as_str(), whole, wet)
            });
            road_output::write_text(&table, &zone_table(rows))?;
            summary.notes.push(format!("the water of each zone is in {}", table.display()));
        }
        Ok(summary)
    }

    fn roads(&self, out: &Path) -> Result<Summary> {
        let metre = (self.pixel.width * self.pixel.height).sqrt();
        let mut output = RoadOutput::create(&self.source, &self.place, self.names(), out, self.scores.is_some())?;
        for &class in &self.taken {
            // A closing of a pixel and a half mends what noise tears out of a road's rim.
            let mask =
                self.mask(class, 60.0f64.max(60.0 * metre * metre), 60.0f64.max(40.0 * metre * metre), 1.5 * metre)?;
            let rules = Rules {
                shortest_spur: self.options.min_spur.map_or(10.0, |metres| metres / metre),
                widest_gap: self.options.max_gap.unwrap_or(25.0) / metre,
                shortest_part: self.options.min_length.unwrap_or(25.0) / metre,
                tolerance: self.options.tolerance.map_or(0.7, |metres| metres / metre),
            };
            let (nodes, edges) = super::roads::centre_lines(&mask, &rules);
            output.network(class, &nodes, &edges, metre)?;
            let mut fault = Ok(());
            self.regions(
                &mask,
                class,
                |_| {},
                |region| {
                    if fault.is_ok() {
                        fault = output.area(&region);
                    }
                },
            )?;
            fault?;
        }
        output.finish(&self.source, self.options.graph.as_deref())
    }
}

/// `NAME_suffix.extension` beside `NAME.…`.
pub fn beside(out: &Path, suffix: &str, extension: &str) -> PathBuf {
    let stem = out.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    out.with_file_name(format!("{stem}{suffix}.{extension}"))
}

fn zone_table<'a>(rows: impl Iterator<Item = (&'a str, f64, f64)>) -> String {
    let mut text = String::from("zone,area_m2,water_m2,share\n");
    for (name, whole, wet) in rows {
        let name =
            if name.contains([',', '"', '\n']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.into() };
        let share = if whole > 0.0 { wet / whole } else { 0.0 };
        text.push_str(&format!("{name},{whole:.2},{wet:.2},{share:.6}\n"));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Found, Scene, read_back};
    use super::*;
    use gdal::spatial_ref::SpatialRef;
    use gdal::vector::{Geometry, LayerAccess, LayerOptions, OGRwkbGeometryType};

    const SIDE: usize = 120;

    /// 1: a turned house of 20 × 12 pixels and a speck; 2: a crossing of roads; 3: a lake with an island.
    fn labels() -> Vec<u16> {
        let mut labels = vec![0u16; SIDE * SIDE];
        for row in 0..SIDE {
            for col in 0..SIDE {
                let (x, y) = (col as f64 + 0.5, row as f64 + 0.5);
                let (u, v) = (0.96 * (x - 30.0) + 0.28 * (y - 30.0), -0.28 * (x - 30.0) + 0.96 * (y - 30.0));
                let lake = (x - 90.0).hypot(y - 30.0);
                labels[row * SIDE + col] = if u.abs() < 10.0 && v.abs() < 6.0 || (col, row) == (5, 5) {
                    1
                } else if (y - 80.0).abs() < 3.0 || (x - 60.0).abs() < 3.0 && y > 60.0 {
                    2
                } else if lake < 20.0 && lake > 6.0 {
                    3
                } else {
                    0
                };
            }
        }
        labels
    }

    fn options() -> VectorizeOptions {
        let classes = ["background", "building", "road", "water"];
        VectorizeOptions {
            classes: classes.map(|name| ClassInfo { name: name.into(), colour: [0; 3] }).to_vec(),
            ..VectorizeOptions::default()
        }
    }

    fn of_layer<'a>(found: &'a [Found], layer: &str) -> Vec<&'a Found> {
        found.iter().filter(|feature| feature.layer == layer).collect()
    }

    #[test]
    fn a_house_is_squared_and_knows_its_direction() {
        let scene = Scene::utm(&labels(), SIDE);
        let out = scene.path("houses.gpkg");
        let summary = vectorize(&scene.labels, None, Recipe::Buildings, &out, &options()).unwrap();
        assert_eq!(summary.polygons, 1, "the speck is too small");
        let found = read_back(&out);
        assert_eq!(found[0].text("outline"), "squared");
        // Pixels of 2 m: 20 × 12 pixels are 960 m². The long wall runs 16.3° below east.
        assert!((found[0].real("area_m2") / 960.0 - 1.0).abs() < 0.05, "{}", found[0].real("area_m2"));
        assert!((found[0].real("orientation") - 106.26).abs() < 2.0, "{}", found[0].real("orientation"));
        assert!(found[0].real("outline_iou") > 0.9 && found[0].valid);
    }

    #[test]
    fn roads_are_a_graph_with_widths() {
        let scene = Scene::utm(&labels(), SIDE);
        let (out, graph) = (scene.path("roads.gpkg"), scene.path("roads.graphml"));
        let options = VectorizeOptions { graph: Some(graph.clone()), ..options() };
        vectorize(&scene.labels, None, Recipe::Roads, &out, &options).unwrap();
        let found = read_back(&out);
        let (roads, nodes) = (of_layer(&found, "roads"), of_layer(&found, "nodes"));
        assert_eq!(roads.len(), 4);
        assert_eq!(nodes.len(), 5);
        assert_eq!(nodes.iter().filter(|node| node.integer("degree") == 4).count(), 1);
        let length: f64 = roads.iter().map(|road| road.real("length_m")).sum();
        assert!((length - 2.0 * (120.0 + 60.0)).abs() < 12.0, "{length}");
        assert!(roads.iter().all(|road| (road.real("width_m") - 12.0).abs() < 2.0));
        assert_eq!(of_layer(&found, "areas").len(), 1);
        let text = std::fs::read_to_string(graph).unwrap();
        assert_eq!((text.matches("<node ").count(), text.matches("<edge ").count()), (5, 4));
        let out = scene.path("roads.geojson");
        let summary = vectorize(&scene.labels, None, Recipe::Roads, &out, &options).unwrap();
        assert!(summary.notes.iter().any(|note| note.contains(".gpkg holds all")), "{:?}", summary.notes);
        assert_eq!(read_back(&scene.path("roads_nodes.geojson")).len(), 5);
    }

    /// A GeoPackage of named rectangles in the scene's CRS, from pixels.
    fn rectangles(path: &Path, areas: &[(&str, [f64; 4])]) {
        let mut dataset = gdal::DriverManager::get_driver_by_name("GPKG").unwrap().create_vector_only(path).unwrap();
        let srs = SpatialRef::from_epsg(32632).unwrap();
        let layer = dataset
            .create_layer(LayerOptions {
                name: "areas",
                srs: Some(&srs),
                ty: OGRwkbGeometryType::wkbPolygon,
                options: None,
            })
            .unwrap();
        gdal::vector::FieldDefn::new("name", gdal::vector::OGRFieldType::OFTString)
            .unwrap()
            .add_to_layer(&layer)
            .unwrap();
        for (name, [left, top, right, bottom]) in areas {
            let (w, e) = (500_000.0 + 2.0 * left, 500_000.0 + 2.0 * right);
            let (n, s) = (5_540_000.0 - 2.0 * top, 5_540_000.0 - 2.0 * bottom);
            let mut feature = gdal::vector::Feature::new(layer.defn()).unwrap();
            feature.set_geometry(Geometry::bbox(w, s, e, n).unwrap()).unwrap();
            feature.set_field_string(0, name).unwrap();
            feature.create(&layer).unwrap();
        }
        dataset.close().unwrap();
    }

    #[test]
    fn water_keeps_its_island_and_is_summed_by_zone() {
        let scene = Scene::utm(&labels(), SIDE);
        let out = scene.path("water.gpkg");
        rectangles(
            &scene.path("zones.gpkg"),
            &[("west, \"old\"", [60.0, 0.0, 90.0, 60.0]), ("east", [90.0, 0.0, 120.0, 60.0])],
        );
        rectangles(&scene.path("permanent.gpkg"), &[("lake", [60.0, 30.0, 120.0, 60.0])]);
        let truth = std::f64::consts::PI * (400.0 - 36.0) * 4.0;
        let with = VectorizeOptions { zones: Some(scene.path("zones.gpkg")), ..options() };
        vectorize(&scene.labels, None, Recipe::Water, &out, &with).unwrap();
        let found = read_back(&out);
        assert_eq!(found.len(), 1);
        assert!(found[0].valid && found[0].wkt.contains("),("), "the island stays a hole");
        assert!((found[0].real("area_m2") / truth - 1.0).abs() < 0.02, "{} for {truth}", found[0].real("area_m2"));
        let table = std::fs::read_to_string(scene.path("water_zones.csv")).unwrap();
        let rows: Vec<&str> = table.lines().collect();
        assert_eq!(rows[0], "zone,area_m2,water_m2,share");
        assert!(rows[1].starts_with("\"west, \"\"old\"\"\",7200.00,"), "{}", rows[1]);
        let east: f64 = rows[2].split(',').nth(2).unwrap().parse().unwrap();
        assert!((east / (truth / 2.0) - 1.0).abs() < 0.03, "{east}");
        let without = VectorizeOptions { subtract: Some(scene.path("permanent.gpkg")), ..options() };
        let summary = vectorize(&scene.labels, None, Recipe::Water, &out, &without).unwrap();
        assert!((summary.classes[0].area / (truth / 2.0) - 1.0).abs() < 0.03, "{}", summary.classes[0].area);
        assert!(read_back(&out).iter().all(|feature| feature.valid));
    }

    #[test]
    fn land_cover_leaves_the_background_out_and_sieves_specks() {
        let scene = Scene::utm(&labels(), SIDE);
        let out = scene.path("cover.gpkg");
        let summary = vectorize(&scene.labels, None, Recipe::Landcover, &out, &options()).unwrap();
        assert_eq!(summary.polygons, 4);
        let sieved = VectorizeOptions { min_area: Some(8.0), keep_background: true, ..options() };
        let summary = vectorize(&scene.labels, None, Recipe::Landcover, &out, &sieved).unwrap();
        assert_eq!(summary.classes.iter().map(|class| class.polygons).collect::<Vec<_>>(), [4, 1, 1, 1]);
        let area: f64 = summary.classes.iter().map(|class| class.area).sum();
        assert!((area / (4.0 * (SIDE * SIDE) as f64) - 1.0).abs() < 1e-9, "{area}");
        assert_eq!(std::fs::read_dir(scene.folder()).unwrap().count(), 2);
    }

    #[test]
    fn a_class_that_is_not_there_is_said() {
        let scene = Scene::utm(&labels(), SIDE);
        let attempt = |take: &str, recipe| {
            let options = VectorizeOptions { take: vec![take.into()], ..options() };
            vectorize(&scene.labels, None, recipe, &scene.path("a.gpkg"), &options).map(|summary| summary.polygons)
        };
        let error = attempt("ship", Recipe::Buildings).unwrap_err().to_string();
        assert!(error.contains("no class ship") && error.contains("background, building"), "{error}");
        assert_eq!(attempt("Water", Recipe::Buildings).unwrap(), 1);
        let mut unnamed = options();
        unnamed.classes.iter_mut().for_each(|class| class.name = format!("kind {}", class.name.len()));
        let error = vectorize(&scene.labels, None, Recipe::Roads, &scene.path("a.gpkg"), &unnamed).unwrap_err();
        assert!(error.hint().unwrap().contains("--class"), "{error}");
    }
}
