//! The road recipe: centre lines as a graph, and road areas.

use std::path::Path;

use super::class_product::ClassProduct;
use super::network::{Frame, Rules};
use super::output::Summary;
use super::road_output::RoadOutput;
use crate::error::Result;

impl ClassProduct<'_> {
    /// Writes centre lines, nodes and areas of roads.
    pub fn roads(&self, out: &Path) -> Result<Summary> {
        let metre = (self.pixel.width * self.pixel.height).sqrt();
        let mut output =
            RoadOutput::create(&self.source, &self.space, self.names(), &self.selected, out, self.scores.is_some())?;
        for &class in &self.selected {
            // A closing by 1.5 pixels fills the notches that noise leaves in road edges.
            let mask =
                self.mask(class, 60.0f64.max(60.0 * metre * metre), 60.0f64.max(40.0 * metre * metre), 1.5 * metre)?;
            let rules = Rules {
                shortest_spur: self.options.min_spur.map_or(10.0, |metres| metres / metre),
                widest_gap: self.options.max_gap.unwrap_or(25.0) / metre,
                shortest_part: self.options.min_length.unwrap_or(25.0) / metre,
                tolerance: self.options.tolerance.map_or(0.7, |metres| metres / metre),
            };
            let (nodes, edges) =
                super::roads::centre_lines(&mask, Frame::of(self.pixel.width, self.pixel.height), &rules);
            output.network(class, &nodes, &edges, &self.source.placement.ground)?;
            let mut failure = Ok(());
            self.regions(
                &mask,
                class,
                |_| {},
                |region| {
                    if failure.is_ok() {
                        failure = output.area(&region);
                    }
                },
            )?;
            failure?;
        }
        output.finish(&self.source, self.options.graph.as_deref())
    }
}
