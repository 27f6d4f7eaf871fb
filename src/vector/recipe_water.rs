//! The water recipe: smoothed polygons with islands, optionally minus permanent water, and areas by zone.

use std::path::Path;

use super::class_product::ClassProduct;
use super::coverage::Coverage;
use super::format::sibling;
use super::geometry;
use super::output::Summary;
use super::shape::{Corner, open, rings};
use crate::atomic;
use crate::error::Result;

impl ClassProduct<'_> {
    /// Writes water polygons and, with zones, their table of areas.
    pub fn water(&self, out: &Path) -> Result<Summary> {
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
        // Just enough to remove pixel steps: smoothing cuts more area where fewer corners remain.
        let pixel_steps = 0.71 * (self.pixel.width * self.pixel.height).sqrt();
        let tolerance = self.options.tolerance.unwrap_or(pixel_steps);
        for &class in &self.selected {
            let mask = self.mask(class, 100.0, 100.0, 0.0)?;
            let mut coverage = Coverage::new(self.source.size.width, self.source.size.height);
            let coverage_cell = std::cell::RefCell::new(&mut coverage);
            let skipped = |label: u16| label != class;
            self.regions(
                &mask,
                class,
                |labels| coverage_cell.borrow_mut().row(labels, skipped),
                // The tracer emits a region after `row` took all of its rows, except in the last row, which `end` completes.
                |region| coverage_cell.borrow_mut().region_of_row(region),
            )?;
            coverage.end();
            let smooth = self.options.smooth.unwrap_or(true);
            let at = |corner: Corner| {
                self.options.tolerance.map_or(self.pixel, |_| self.source.placement.pixel_size_at(corner))
            };
            for region in coverage.finish(at, tolerance, smooth).regions() {
                for polygon in &region.polygons {
                    for polygon in geometry::subtract(self.space.polygon(polygon), &permanent)? {
                        let area: f64 = rings(&polygon).map(|ring| self.space.measure().area(open(ring))).sum();
                        if !permanent.is_empty() && area < self.options.min_area.unwrap_or(100.0) {
                            continue;
                        }
                        for (zone, wet) in zones.iter().zip(&mut wet) {
                            *wet += geometry::common_area(&polygon, zone, self.space.measure())?;
                        }
                        output.polygons(class, polygon.into(), region.confidence, &[])?;
                    }
                }
            }
        }
        let mut summary = output.finish(&self.source)?;
        if !zones.is_empty() {
            let table = self.options.zone_table.clone().unwrap_or_else(|| sibling(out, "_zones", "csv"));
            // Zones may extend far beyond the scene.
            let ground = geometry::ground_under(&zones, crs).unwrap_or_else(|| self.space.measure().clone());
            let rows = zones.iter().zip(&wet).map(|(zone, &wet)| {
                let whole = geometry::area_of(&zone.geometry, &ground);
                (zone.name.as_str(), whole, wet)
            });
            atomic::write_file(&table, zone_table(rows, self.source.placement.in_pixels()).as_bytes())?;
            summary.notes.push(format!("water areas by zone are in {}", table.display()));
        }
        Ok(summary)
    }
}

fn zone_table<'a>(rows: impl Iterator<Item = (&'a str, f64, f64)>, in_pixels: bool) -> String {
    let unit = if in_pixels { "px" } else { "m2" };
    let mut text = format!("zone,area_{unit},water_{unit},share\n");
    for (name, whole, wet) in rows {
        let name =
            if name.contains([',', '"', '\n']) { format!("\"{}\"", name.replace('"', "\"\"")) } else { name.into() };
        let share = if whole > 0.0 { wet / whole } else { 0.0 };
        text.push_str(&format!("{name},{whole:.2},{wet:.2},{share:.6}\n"));
    }
    text
}
