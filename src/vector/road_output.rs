//! The road output: lines, nodes and areas, and a GraphML file for routing tools.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use geo::{LineString, MultiPolygon};

use super::feature::{Feature, Field, FieldKind, GeometryKind, LayerSpec, Value};
use super::format::{Format, sibling};
use super::network::{Edge, Node};
use super::output::{CLASS, CLASS_ID, CONFIDENCE, ClassSummary, Names, Summary, attributes, confidence_values};
use super::output_space::OutputSpace;
use super::rounding::Rounding;
use super::shape::LabelRegion;
use super::sketch::Sketch;
use super::source::LabelSource;
use super::wkb::{line_wkb, multi_polygon_wkb, point_wkb, polygon_wkb};
use super::write::VectorWriter;
use crate::atomic;
use crate::error::Result;
use crate::geom::{PixelGround, WorldPoint};
use crate::scene::ClassInfo;

const LINES: usize = 0;
const NODES: usize = 1;
const AREAS: usize = 2;

/// One file with three layers where the format supports layers, else three files.
pub struct RoadOutput<'a> {
    space: &'a OutputSpace,
    names: Names,
    writers: Vec<VectorWriter>,
    files: Vec<PathBuf>,
    graph: GraphMl,
    nodes: i64,
    edges: i64,
    with_scores: bool,
    rounding: Rounding,
    sketch: Sketch,
    classes: Vec<ClassSummary>,
    length: f64,
}

impl<'a> RoadOutput<'a> {
    /// Creates the files, and decides the names of fields: in metres, or in pixels without a CRS.
    pub fn create(
        source: &LabelSource,
        space: &'a OutputSpace,
        names: Names,
        selected: &[u16],
        out: &Path,
        with_scores: bool,
    ) -> Result<Self> {
        let format = Format::of(out)?;
        let integer = |name, alias| Field::new(name, name, FieldKind::Integer).shown_as(alias);
        let in_pixels = source.placement.in_pixels();
        let length = |[metres, metres_alias]: [&'static str; 2], [pixels, pixels_alias]: [&'static str; 2]| {
            let (name, alias) = if in_pixels { (pixels, pixels_alias) } else { (metres, metres_alias) };
            Field::new(name, name, FieldKind::Real).shown_as(alias)
        };
        let mut lines = vec![
            integer("edge_id", "Line"),
            integer("from_node", "First node"),
            integer("to_node", "Last node"),
            CLASS_ID,
            CLASS,
            length(["length_m", "Length (m)"], ["length_px", "Length (pixels)"]),
            length(["width_m", "Width (m)"], ["width_px", "Width (pixels)"]),
            length(["gap_m", "Bridged gap (m)"], ["gap_px", "Bridged gap (pixels)"]),
        ];
        let nodes = vec![integer("node_id", "Node"), integer("degree", "Number of lines")];
        let mut areas = attributes(in_pixels).to_vec();
        if with_scores {
            areas.extend(CONFIDENCE);
        }
        lines.extend(names.extra_fields());
        areas.extend(names.extra_fields());
        let skip: Vec<i64> =
            names.labels().filter(|label| !selected.contains(label)).map(|label| names.value(label)).collect();
        let classes = names.classes(&skip);
        let layer = |name: &str, geometry, fields, classes: &[ClassInfo], what: &str| {
            LayerSpec::new(name, geometry, fields).styled(classes).described(&source.origin, what)
        };
        let specs = [
            layer("roads", GeometryKind::LineString, lines, &classes, "road centre lines"),
            layer("nodes", GeometryKind::Point, nodes, &[], "junctions and ends of roads"),
            layer("areas", GeometryKind::Polygon, areas, &classes, "road areas"),
        ];
        let crs = space.crs_wkt.as_deref();
        let mut writers = Vec::new();
        let mut files = vec![out.to_path_buf()];
        if format.has_layers() {
            writers.push(VectorWriter::create(out, crs, &specs)?);
        } else {
            let extension = out.extension().map(|e| e.to_string_lossy().into_owned()).unwrap_or_default();
            files.extend([sibling(out, "_nodes", &extension), sibling(out, "_areas", &extension)]);
            for (file, spec) in files.iter().zip(&specs) {
                writers.push(VectorWriter::create(file, crs, std::slice::from_ref(spec))?);
            }
        }
        Ok(Self {
            space,
            names,
            writers,
            files,
            graph: GraphMl::default(),
            nodes: 0,
            edges: 0,
            with_scores,
            rounding: Rounding::of(source.placement.rounding_pixel()),
            sketch: Sketch::new(source.size),
            classes: Vec::new(),
            length: 0.0,
        })
    }

    fn write(&mut self, layer: usize, mut features: Vec<Feature>) -> Result<()> {
        let writer = if self.writers.len() > 1 { layer } else { 0 };
        let target_layer = if self.writers.len() > 1 { 0 } else { layer };
        features.iter_mut().for_each(|feature| feature.layer = target_layer);
        self.writers[writer].write(features)
    }

    /// Writes the network of a class.
    pub fn network(&mut self, class: u16, nodes: &[Node], edges: &[Edge], ground: &PixelGround) -> Result<()> {
        let mut degree = vec![0i64; nodes.len()];
        for edge in edges {
            degree[edge.from] += 1;
            degree[edge.to] += 1;
        }
        let mut points = Vec::with_capacity(nodes.len());
        for (index, node) in nodes.iter().enumerate() {
            let id = self.nodes + index as i64;
            let mut at = [self.space.ground(node.at)];
            self.space.project(&mut at)?;
            self.graph.node(id, at[0]);
            let values = vec![Value::Integer(id), Value::Integer(degree[index])];
            points.push(Feature { layer: NODES, wkb: point_wkb(at[0]), values });
        }
        let mut lines = Vec::with_capacity(edges.len());
        let mut total = 0.0;
        for edge in edges {
            self.sketch.line(self.names.value(class), edge.line.iter().copied());
            let mut line: LineString = edge.line.iter().map(|&at| self.space.ground(at)).collect();
            let length = self.space.measure().length(&line.0);
            self.space.project(&mut line.0)?;
            total += length;
            let (from, to) = (self.nodes + edge.from as i64, self.nodes + edge.to as i64);
            let metre = pixel_side(edge, ground);
            let (length, width) = (self.rounding.length(length), self.rounding.length(edge.width * metre));
            self.graph.edge(from, to, length, width, &line);
            let mut values = vec![
                Value::Integer(self.edges),
                Value::Integer(from),
                Value::Integer(to),
                Value::Integer(self.names.value(class)),
                Value::Text(self.names.get(class)),
                Value::Real(length),
                Value::Real(width),
                Value::Real(self.rounding.length(edge.gap * metre)),
            ];
            values.extend(self.names.extra_values(class));
            self.edges += 1;
            lines.push(Feature { layer: LINES, wkb: line_wkb(&line), values });
        }
        self.nodes += nodes.len() as i64;
        self.length += total;
        self.classes.push(ClassSummary {
            value: self.names.value(class),
            name: self.names.text(class),
            polygons: 0,
            area: 0.0,
        });
        self.write(LINES, lines)?;
        self.write(NODES, points)
    }

    /// Writes a road area of the class whose network was written last.
    pub fn area(&mut self, region: &LabelRegion) -> Result<()> {
        let mut polygons: MultiPolygon = region.parts.iter().map(|part| self.space.traced(part)).collect();
        let (area, perimeter) = self.space.area_and_perimeter(&polygons);
        self.space.project_polygons(&mut polygons)?;
        let mut values = vec![
            Value::Integer(self.names.value(region.label)),
            Value::Text(self.names.get(region.label)),
            Value::Real(self.rounding.area(area)),
            Value::Real(self.rounding.length(perimeter)),
        ];
        if self.with_scores {
            values.extend(confidence_values(region.confidence));
        }
        values.extend(self.names.extra_values(region.label));
        if let Some(class) = self.classes.last_mut() {
            class.polygons += 1;
            class.area += area;
        }
        let wkb = match polygons.0.as_slice() {
            [polygon] => polygon_wkb(polygon),
            _ => multi_polygon_wkb(&polygons),
        };
        self.write(AREAS, vec![Feature { layer: AREAS, wkb, values }])
    }

    /// Completes the files, writes the GraphML file to `graph` and returns the summary.
    pub fn finish(self, source: &LabelSource, graph: Option<&Path>) -> Result<Summary> {
        for writer in self.writers {
            writer.finish()?;
        }
        if let Some(path) = graph {
            atomic::write_file(path, self.graph.text().as_bytes())?;
        }
        let mut notes = source.notes();
        let unit = if source.placement.in_pixels() { "pixels" } else { "m" };
        if self.edges == 0 {
            notes.insert(0, format!("{} has no road of the minimum length: the layers are empty", source.name()));
        } else {
            notes
                .insert(0, format!("{} lines of {:.0} {unit} in total, {} nodes", self.edges, self.length, self.nodes));
        }
        if self.files.len() > 1 {
            let rest: Vec<_> = self.files[1..].iter().map(|file| file.display().to_string()).collect();
            notes.push(format!("nodes and areas are in {}; a .gpkg holds all three as layers", rest.join(" and ")));
        }
        let polygons = self.classes.iter().map(|class| class.polygons).sum();
        Ok(Summary {
            polygons,
            classes: self.classes,
            in_pixels: source.placement.in_pixels(),
            notes,
            sketch: self.sketch,
        })
    }
}

/// The side of a square of a pixel's area in the middle of a line, in metres.
fn pixel_side(edge: &Edge, ground: &PixelGround) -> f64 {
    edge.line.get(edge.line.len() / 2).map_or(0.0, |middle| ground.pixel_area(middle.x, middle.y).sqrt())
}

/// A graph in GraphML, as networkx, igraph and Gephi read it.
#[derive(Default)]
struct GraphMl {
    body: String,
}

impl GraphMl {
    fn node(&mut self, id: i64, at: WorldPoint) {
        let _ = writeln!(
            self.body,
            "    <node id=\"{id}\"><data key=\"x\">{}</data><data key=\"y\">{}</data></node>",
            at.x, at.y
        );
    }

    fn edge(&mut self, from: i64, to: i64, length: f64, width: f64, line: &LineString) {
        let wkt: Vec<String> = line.coords().map(|point| format!("{} {}", point.x, point.y)).collect();
        let _ = writeln!(
            self.body,
            "    <edge source=\"{from}\" target=\"{to}\"><data key=\"length\">{length}</data>\
             <data key=\"width\">{width}</data><data key=\"geometry\">LINESTRING ({})</data></edge>",
            wkt.join(", ")
        );
    }

    fn text(&self) -> String {
        let key = |id: &str, of: &str, kind: &str| {
            format!("  <key id=\"{id}\" for=\"{of}\" attr.name=\"{id}\" attr.type=\"{kind}\"/>\n")
        };
        let mut text = String::from(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<graphml xmlns=\"http://graphml.graphdrawing.org/xmlns\">\n",
        );
        for (id, of, kind) in [
            ("x", "node", "double"),
            ("y", "node", "double"),
            ("length", "edge", "double"),
            ("width", "edge", "double"),
            ("geometry", "edge", "string"),
        ] {
            text.push_str(&key(id, of, kind));
        }
        text.push_str("  <graph id=\"roads\" edgedefault=\"undirected\">\n");
        text.push_str(&self.body);
        text.push_str("  </graph>\n</graphml>\n");
        text
    }
}
