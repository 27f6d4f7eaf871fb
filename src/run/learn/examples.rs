//! Reads the examples on all scenes, before anything is computed.

use crate::error::{Error, Result};
use crate::pipeline::ScenePlan;
use crate::raster::{self, ExampleSource, Examples};

/// The examples on each scene. `optional`: the file may be empty, because there are words or earlier examples.
///
/// # Errors
/// As [`raster::read_examples`], and where the file has features or labels of which none counts.
pub(super) fn read(source: &ExampleSource<'_>, scenes: &[ScenePlan], optional: bool) -> Result<Vec<Examples>> {
    let found =
        scenes.iter().map(|scene| raster::read_examples(source, &scene.info)).collect::<Result<Vec<Examples>>>()?;
    if found.iter().any(|on_scene| !on_scene.examples.is_empty()) {
        return Ok(found);
    }
    let (file, any) = (source.path.display(), |of: fn(&Examples) -> bool| found.iter().any(of));
    let command = raster::assign_crs_command(source.path, scenes.first().map(|scene| &scene.info));
    let assign = format!(
        "A GeoJSON without `crs` has longitude and latitude. Assign the CRS of the coordinates, such as the scene's: in QGIS \
         with Layer, Set CRS and Export to a GeoPackage, or with {command}."
    );
    let (message, hint) = if any(|on_scene| !on_scene.skipped.nothing_left.is_empty()) {
        (
            format!("all examples of {file} on the scenes are at the same places as examples of other classes"),
            "Move them apart: a pixel can have one class only.",
        )
    } else if any(|on_scene| on_scene.skipped.no_degrees > 0) {
        (format!("the coordinates of {file} are not degrees, as its CRS says they are"), assign.as_str())
    } else if any(|on_scene| !on_scene.skipped.outside.is_empty()) {
        (
            format!("no example of {file} lies on the scenes"),
            "Open both in QGIS: they may be of another place, or their file may name a wrong CRS.",
        )
    } else if any(|on_scene| on_scene.skipped.without_class > 0) {
        let field = source.class_field.unwrap_or("class");
        (
            format!("no example of {file} has a class in its field {field:?}"),
            "Fill in the field, or name the one that holds the class with --class-field.",
        )
    } else if any(|on_scene| on_scene.skipped.without_geometry > 0) {
        (format!("no example of {file} has a geometry"), "Draw points, lines or polygons.")
    } else if optional {
        return Ok(found);
    } else {
        (format!("{file} has no examples on the scenes"), "Draw points, lines or polygons, and give each a class.")
    };
    Err(Error::input(message).with_hint(hint))
}
