//! What became of a label raster in vectors.

use std::fmt::Write as _;
use std::path::Path;

use super::Reporter;
use super::text::{AreaScale, grouped, left, printable, right};
use crate::vector::Summary;

impl Reporter {
    pub fn products(&self, summary: &Summary, path: &Path) {
        if !self.quiet {
            self.print(&render(summary, path));
        }
    }
}

fn render(summary: &Summary, path: &Path) -> String {
    let mut text = format!("{}: {} polygons\n", printable(&path.display().to_string()), grouped(summary.polygons));
    let scale = AreaScale::new(summary.classes.iter().map(|class| class.area).sum());
    let names = summary.classes.iter().map(|class| printable(&class.name)).collect::<Vec<_>>();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (class, name) in summary.classes.iter().zip(&names) {
        let (count, area) = (grouped(class.polygons), scale.show(class.area));
        let _ = writeln!(text, "  {}  {} polygons  {}", left(name, width), right(&count, 9), right(&area, 14));
    }
    text
}
