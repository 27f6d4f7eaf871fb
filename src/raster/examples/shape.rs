//! A feature's geometry as polygons, lines and points of coordinates.

use gdal::vector::{Geometry, OGRwkbGeometryType, geometry_type_flatten};

use super::super::{ffi, messages};
use crate::error::{Context, Error, Result};
use crate::geom::Polygon;

/// A line of coordinates, x and y.
pub(super) type Line = Vec<[f64; 2]>;

/// The parts of a geometry by kind.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Shape {
    pub polygons: Vec<Polygon>,
    pub lines: Vec<Line>,
    pub points: Line,
}

impl Shape {
    /// The parts of a geometry; arcs become segments.
    ///
    /// # Errors
    /// It is of a kind that is neither polygon, line nor point.
    pub fn of(geometry: &Geometry) -> Result<Self> {
        let linear =
            messages::attempt(|| ffi::linearised(geometry)).input(|| "its arcs cannot be made segments".into())?;
        let mut shape = Self::default();
        shape.add(&linear)?;
        Ok(shape)
    }

    fn add(&mut self, geometry: &Geometry) -> Result<()> {
        use OGRwkbGeometryType::{
            wkbGeometryCollection, wkbLineString, wkbMultiLineString, wkbMultiPoint, wkbMultiPolygon, wkbPoint,
            wkbPolygon, wkbPolyhedralSurface, wkbTIN, wkbTriangle,
        };
        let mut members = (0..geometry.geometry_count()).map(|index| geometry.get_geometry(index));
        match geometry_type_flatten(geometry.geometry_type()) {
            kind if kind == wkbPoint => self.points.extend(points(geometry)),
            kind if kind == wkbLineString => self.lines.push(points(geometry)),
            kind if kind == wkbPolygon || kind == wkbTriangle => {
                self.polygons.push(members.map(|ring| points(&ring)).collect());
            }
            kind if [
                wkbGeometryCollection,
                wkbMultiLineString,
                wkbMultiPoint,
                wkbMultiPolygon,
                wkbPolyhedralSurface,
                wkbTIN,
            ]
            .contains(&kind) =>
            {
                members.try_for_each(|member| self.add(&member))?;
            }
            _ => {
                return Err(Error::input(format!(
                    "it is a {}; examples are points, lines or polygons",
                    geometry.geometry_name()
                )));
            }
        }
        Ok(())
    }

    /// All parts with other coordinates; `None` where `change` gives none for a part. It is also given whether the
    /// coordinates are joined by edges.
    pub fn mapped(self, mut change: impl FnMut(Line, bool) -> Option<Line>) -> Option<Self> {
        let mut edges = |line: Line| change(line, true);
        let mut polygon = |polygon: Polygon| polygon.into_iter().map(&mut edges).collect::<Option<Polygon>>();
        let polygons = self.polygons.into_iter().map(&mut polygon).collect::<Option<_>>()?;
        let lines = self.lines.into_iter().map(&mut edges).collect::<Option<_>>()?;
        Some(Self { polygons, lines, points: change(self.points, false)? })
    }

    /// Smallest and largest x and y: left, top, right, bottom.
    pub fn bounds(&self) -> [f64; 4] {
        let nothing = [f64::INFINITY, f64::INFINITY, f64::NEG_INFINITY, f64::NEG_INFINITY];
        let all = self.polygons.iter().flatten().chain(&self.lines).flatten().chain(&self.points);
        all.fold(nothing, |[left, top, right, bottom], &[x, y]| [left.min(x), top.min(y), right.max(x), bottom.max(y)])
    }
}

fn points(geometry: &Geometry) -> Line {
    let mut points = Vec::new();
    geometry.get_points(&mut points);
    points.into_iter().map(|(x, y, _)| [x, y]).collect()
}
