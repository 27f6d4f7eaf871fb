//! What became of a label raster in vectors.

use std::fmt::Write as _;
use std::path::Path;
use std::time::SystemTime;

use serde::Serialize;

use super::Reporter;
use super::log::{self, Level};
use super::text::{AreaScale, grouped, left, printable, right, to_millimetres};
use crate::vector::Summary;

impl Reporter {
    pub fn products(&self, summary: &Summary, path: &Path) {
        self.result(|| object(summary, path), || render(summary, path));
    }
}

#[derive(Serialize)]
struct Fields {
    path: String,
    polygons: u64,
    classes: Vec<Class>,
}

#[derive(Serialize)]
struct Class {
    name: String,
    polygons: u64,
    /// `None` where no CRS says how large pixels are; then the pixels are counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    square_metres: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pixels: Option<f64>,
}

fn object(summary: &Summary, path: &Path) -> String {
    let classes = summary.classes.iter().map(|class| Class {
        name: class.name.clone(),
        polygons: class.polygons,
        square_metres: (!summary.in_pixels).then(|| to_millimetres(class.area)),
        pixels: summary.in_pixels.then_some(class.area),
    });
    let path = path.display().to_string();
    let message = format!("{path} has {} polygons", summary.polygons);
    let fields = Fields { path, polygons: summary.polygons, classes: classes.collect() };
    log::object(SystemTime::now(), Level::Info, "polygons", &message, fields)
}

fn render(summary: &Summary, path: &Path) -> String {
    let mut text = format!("{}: {} polygons\n", printable(&path.display().to_string()), grouped(summary.polygons));
    let scale = AreaScale::new(summary.classes.iter().map(|class| class.area).sum());
    let names = summary.classes.iter().map(|class| printable(&class.name)).collect::<Vec<_>>();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    for (class, name) in summary.classes.iter().zip(&names) {
        let area = match summary.in_pixels {
            true => format!("{} px", grouped(class.area.round() as u64)),
            false => scale.show(class.area),
        };
        let count = grouped(class.polygons);
        let _ = writeln!(text, "  {}  {} polygons  {}", left(name, width), right(&count, 9), right(&area, 14));
    }
    text
}
