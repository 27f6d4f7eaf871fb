//! The building recipe: squared outlines; adjoining buildings share walls.

use std::collections::BTreeMap;
use std::path::Path;

use super::bits::BitGrid;
use super::blocks;
use super::buildings::{self, SquareOptions};
use super::class_product::ClassProduct;
use super::feature::{Field, FieldKind, Value};
use super::neighbours;
use super::output::Summary;
use super::rounding;
use crate::error::Result;

/// Smallest building and largest filled hole, in m².
const MIN_AREA: f64 = 10.0;
const MAX_HOLE: f64 = 4.0;

impl ClassProduct<'_> {
    /// Writes building outlines.
    pub fn buildings(&self, out: &Path) -> Result<Summary> {
        let extra = [
            Field::new("orientation", "orient", FieldKind::Real).shown_as("Orientation (degrees from north)"),
            Field::new("outline", "outline", FieldKind::Text).shown_as("Outline"),
            Field::new("outline_iou", "out_iou", FieldKind::Real).shown_as("Overlap with the pixels (IoU)"),
        ];
        let mut output = self.polygons(out, false, &extra)?;
        let mut square = SquareOptions { square: !self.options.plain_outlines, ..SquareOptions::default() };
        if let Some(least) = self.options.least_iou {
            square.least_iou = least;
        }
        let mut all = Vec::new();
        let mut claimed = BitGrid::new(self.source.size.width, self.source.size.height);
        for &class in &self.selected {
            let mut mask = self.mask(class, MIN_AREA, MAX_HOLE, 0.0)?;
            // Closing and filling may have added pixels of another class.
            if mask.remove(&claimed) {
                self.clean(&mut mask, MIN_AREA, 0.0);
            }
            claimed.add(&mask);
            self.regions(&mask, class, |_| {}, |region| all.extend(buildings::outline(region, &square)))?;
        }
        drop(claimed);
        blocks::square_blocks(&mut all, &square, self.largest_hole(MAX_HOLE));
        neighbours::separate(&mut all);
        for building in all {
            let extra = [
                Value::Real(rounding::angle(self.orientation(&building))),
                Value::Text(building.shape.label()),
                Value::Real(rounding::share(building.iou)),
            ];
            output.polygons(
                building.label,
                self.space.polygon(&building.outline).into(),
                building.confidence,
                &extra,
            )?;
        }
        output.finish(&self.source)
    }

    /// Azimuth of the dominant wall direction on the ground, in degrees clockwise from north, 0..180.
    fn orientation(&self, building: &buildings::Building) -> f64 {
        let outline = self.space.polygon(&building.outline);
        let mut walls: BTreeMap<i64, (f64, f64, f64)> = BTreeMap::new();
        for wall in outline.exterior().lines() {
            let (dx, dy) = self.space.measure().metric(wall.start).across_and_along(wall.dx(), wall.dy());
            let length = dx.hypot(dy);
            let azimuth = dx.atan2(dy).to_degrees().rem_euclid(180.0);
            // Walls of similar direction are summed; doubled angles make 179° and 1° adjacent.
            let slot = walls.entry((azimuth / 5.0).round() as i64 % 36).or_default();
            let twice = azimuth.to_radians() * 2.0;
            *slot = (slot.0 + length, slot.1 + length * twice.sin(), slot.2 + length * twice.cos());
        }
        let longest = walls.values().max_by(|a, b| a.0.total_cmp(&b.0));
        longest.map_or(0.0, |(_, sin, cos)| (sin.atan2(*cos).to_degrees() / 2.0).rem_euclid(180.0))
    }
}
