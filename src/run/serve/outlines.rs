//! Polygons and road lines of what is in view, by the recipe and the code of a run, for the map.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::forms::hex;
use super::label_file;
use super::lock::lock;
use super::shared::Shared;
use crate::error::{Context as _, Error, Result};
use crate::geom::Window;
use crate::pipeline::Product;
use crate::scene::{ClassInfo, ProductOptions};
use crate::vector::{self, Sketch};

/// Pixels of a view whose outlines are made, its surroundings included: four screens of 1920 × 1080.
const MOST_PIXELS: usize = 8 << 20;
/// Pixels around the view, so that what its edge cuts is made as a whole.
const AROUND: usize = 192;
/// Answers that are remembered, for several browsers.
const REMEMBERED: usize = 8;

/// What decides an answer.
#[derive(Clone, PartialEq)]
struct Question {
    scene: usize,
    part: Window,
    product: Product,
    /// The revision, and the latest change of a label in the part.
    version: (u64, u64),
}

/// Answers that were given, and the right to make one: one at a time, whoever asks.
#[derive(Default)]
pub struct Outlines {
    known: Mutex<Vec<(Question, Arc<Value>)>>,
    working: Mutex<()>,
}

/// What a request gets.
pub enum Found {
    Shapes(Arc<Value>),
    /// Another answer is being made.
    Busy,
}

/// The shapes of a product in a part of a scene, as JSON, as far as its labels are known. `known`: the version that the client has.
///
/// # Errors
/// The part is too large, or the recipe cannot be followed.
pub fn outlines(
    shared: &Shared,
    made: &Outlines,
    scene: usize,
    view: Window,
    product: Product,
    known: Option<&str>,
) -> Result<Found> {
    let served = shared.scene(scene)?;
    let part = around(view, served.size.window());
    if part.size().pixels() > MOST_PIXELS {
        return Err(Error::input("too much is in view for outlines").with_hint("Zoom in."));
    }
    let revision = shared.revision();
    let (latest, is_complete) = {
        let blocks = lock(&served.blocks);
        (blocks.latest(part), blocks.has(view, revision))
    };
    if !is_complete {
        return Ok(Found::Shapes(Arc::new(json!({"ready": false}))));
    }
    let question = Question { scene, part, product, version: (revision, latest) };
    let version = format!("{revision}-{latest}-{}-{}", part, question.product.recipe.name());
    if known == Some(version.as_str()) {
        return Ok(Found::Shapes(Arc::new(json!({"ready": true, "version": version, "unchanged": true}))));
    }
    let remembered = |question: &Question| {
        let known = lock(&made.known);
        known.iter().find(|(known, _)| known == question).map(|(_, answer)| answer.clone())
    };
    if let Some(answer) = remembered(&question) {
        return Ok(Found::Shapes(answer));
    }
    let Ok(_turn) = made.working.try_lock() else { return Ok(Found::Busy) };
    let labels = lock(&served.blocks).labels(part, revision);
    let Some((labels, legend)) = labels else { return Ok(Found::Shapes(Arc::new(json!({"ready": false})))) };
    let classes = label_file::classes(&legend);
    let folder = tempfile::tempdir_in(&shared.folder).input(|| "cannot write to the state folder".into())?;
    let raster = folder.path().join("labels.tif");
    label_file::write(&raster, served, part, &labels, &classes)?;
    // What decides shapes; tables and files beside them are a run's alone.
    let options = ProductOptions {
        t_srs: None,
        layer_per_class: false,
        graph: None,
        zones: None,
        zone_field: None,
        zone_table: None,
        fields: Vec::new(),
        ..question.product.options.clone()
    };
    let to = folder.path().join("shapes.fgb");
    let summary = vector::vectorize(&raster, None, &classes, question.product.recipe, &to, &options)?;
    let shapes =
        shapes(&summary.sketch, part, &classes, |places| served.grid.to_map(places), served.grid.crs.is_some());
    let answer = Arc::new(json!({
        "ready": true, "version": version, "recipe": question.product.recipe.name(), "count": summary.polygons,
        "left_out": summary.sketch.left_out, "shapes": shapes,
    }));
    let mut known = lock(&made.known);
    if known.len() >= REMEMBERED {
        known.remove(0);
    }
    known.push((question, answer.clone()));
    Ok(Found::Shapes(answer))
}

/// A view with what is around it.
fn around(view: Window, whole: Window) -> Window {
    let span = |start: usize, length: usize, most: usize| {
        let first = start.saturating_sub(AROUND);
        (first, (start + length + AROUND).min(most) - first)
    };
    let ((col, width), (row, height)) =
        (span(view.col, view.width, whole.width), span(view.row, view.height, whole.height));
    Window { col, row, width, height }
}

/// Shapes in map coordinates, to a millimetre or a hundredth of a pixel.
fn shapes(
    sketch: &Sketch,
    part: Window,
    classes: &[ClassInfo],
    to_map: impl Fn(&[[f64; 2]]) -> Vec<[f64; 2]>,
    is_metric: bool,
) -> Vec<Value> {
    let unit = if is_metric { 1000.0 } else { 100.0 };
    let corner = [part.col as f64, part.row as f64];
    let shape = |shape: &vector::SketchShape| {
        let class = usize::try_from(shape.value).ok().and_then(|value| classes.get(value));
        let parts = shape.parts.iter().map(|points| {
            let [left, upper] = corner;
            let places: Vec<[f64; 2]> =
                points.iter().map(|[x, y]| [f64::from(*x) + left, f64::from(*y) + upper]).collect();
            let rounded = |at: [f64; 2]| at.map(|value| (value * unit).round() / unit);
            to_map(&places).into_iter().map(rounded).collect::<Vec<_>>()
        });
        json!({
            "class": class.map(|class| &class.name), "colour": class.map(|class| hex(class.colour)),
            "closed": shape.closed, "parts": parts.collect::<Vec<_>>(),
        })
    };
    sketch.shapes.iter().map(shape).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn surroundings_end_at_the_scene() {
        let whole = Window { col: 0, row: 0, width: 1000, height: 300 };
        let view = Window { col: 100, row: 50, width: 400, height: 200 };
        assert_eq!(around(view, whole), Window { col: 0, row: 0, width: 692, height: 300 });
        assert_eq!(around(whole, whole), whole);
    }
}
