//! Writes the places that would be worth a label as points, ready to be labelled and learnt from.

use std::path::Path;
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::geom::GeoTransform;
use crate::learn::Candidate;
use crate::scene::SceneInfo;
use crate::vector::{Field, FieldKind, PlacedPoint, Value, text, write_points};

/// Writes points with the fields `rank` (from 1), `margin` (0..=1), `first` and `second` (names of classes), `scene`, and the
/// empty text field `class`, for the analyst to fill in.
///
/// A point is the centre of its pixel, in the scene's CRS; in pixels (column, row) where the scene has no georeference.
///
/// # Errors
/// As [`write_points`].
pub fn write_suggestions(path: &Path, scenes: &[&SceneInfo], classes: &[String], places: &[Candidate]) -> Result<()> {
    let fields = [
        Field::new("rank", "rank", FieldKind::Integer),
        Field::new("margin", "margin", FieldKind::Real),
        Field::new("first", "first", FieldKind::Text),
        Field::new("second", "second", FieldKind::Text),
        Field::new("scene", "scene", FieldKind::Text),
        Field::new("class", "class", FieldKind::Text),
    ];
    let mut ways = Vec::with_capacity(scenes.len());
    for scene in scenes {
        let place = scene.georeference.as_ref();
        let crs: Option<Arc<str>> = place.and_then(|place| place.crs_wkt.as_deref()).map(Arc::from);
        let name = scene.path.file_name().unwrap_or(scene.path.as_os_str()).to_string_lossy();
        ways.push((place.map_or(GeoTransform::IDENTITY, |place| place.transform), crs, text(&name)));
    }
    let names: Vec<Value> = classes.iter().map(|name| text(name)).collect();
    let name = |class: usize| {
        names.get(class).cloned().ok_or_else(|| Error::internal(format!("a suggestion has the unknown class {class}")))
    };
    let mut points = Vec::with_capacity(places.len());
    for (rank, place) in (1..).zip(places) {
        let (transform, crs, scene) = ways
            .get(place.scene)
            .ok_or_else(|| Error::internal(format!("a suggestion has the unknown scene {}", place.scene)))?;
        points.push(PlacedPoint {
            at: transform.to_world(place.col as f64 + 0.5, place.row as f64 + 0.5),
            crs_wkt: crs.clone(),
            values: vec![
                Value::Integer(rank),
                Value::Real((f64::from(place.margin) * 1e6).round() / 1e6),
                name(place.first)?,
                name(place.second)?,
                scene.clone(),
                Value::Missing,
            ],
        });
    }
    write_points(path, &fields, points)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;
    use crate::raster::{ExampleSource, read_examples};
    use crate::scene::Access;

    /// A suggestion that was labelled is an example of its own pixel.
    #[test]
    fn labelled_suggestions_read_back_as_examples() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("next.gpkg");
        let scene = SceneInfo {
            path: "somewhere/scene.tif".into(),
            size: Size::new(20, 10),
            bands: Vec::new(),
            georeference: None,
            access: Access::default(),
        };
        let place = |col, margin| Candidate { scene: 0, col, row: 7, margin, first: 1, second: 0 };
        let classes = ["field".to_owned(), "road".to_owned()];
        write_suggestions(&path, &[&scene], &classes, &[place(3, 0.125), place(19, 0.5)]).unwrap();
        let field = |name| ExampleSource {
            path: &path,
            layer: None,
            class_field: Some(name),
            codes: None,
            radius: 0.0,
            most: 9,
        };
        assert_eq!(read_examples(&field("class"), &scene).unwrap().skipped.without_class, 2);
        let found = read_examples(&field("second"), &scene).unwrap();
        assert_eq!(found.classes, ["field"]);
        assert_eq!(found.examples.iter().map(|e| e.pixels.clone()).collect::<Vec<_>>(), [[[3, 7]], [[19, 7]]]);
        assert_eq!(read_examples(&field("margin"), &scene).unwrap().classes, ["0.125", "0.5"]);
        assert_eq!(read_examples(&field("scene"), &scene).unwrap().classes, ["scene.tif"]);
        assert!(write_suggestions(&path, &[], &classes, &[place(3, 0.1)]).is_err());
    }
}
