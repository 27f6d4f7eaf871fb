//! The labels of a part of a scene as a file, as a run writes those of a whole scene: what makes polygons and changes reads files.

use std::path::Path;

use super::lock::lock;
use super::shared::ServedScene;
use crate::error::Result;
use crate::geom::{GeoTransform, Window};
use crate::raster::LabelWriter;
use crate::scene::{ClassInfo, Georeference, LabelType, RasterLayout};
use crate::serve::Legend;

/// The classes of a legend.
pub fn classes(legend: &Legend) -> Vec<ClassInfo> {
    let named = legend.names.iter().zip(&legend.colours);
    named.map(|(name, colour)| ClassInfo { name: name.clone(), colour: *colour }).collect()
}

/// Writes the labels of a part, (row, column), of which 255 is none.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, served: &ServedScene, part: Window, labels: &[u8], classes: &[ClassInfo]) -> Result<()> {
    let plan = lock(&served.look).1.clone();
    let place = plan
        .info
        .georeference
        .as_ref()
        .map(|place| Georeference { transform: shifted(&place.transform, part), ..place.clone() });
    let kind = LabelType::for_classes(classes.len());
    let layout = RasterLayout::default();
    let mut writer = LabelWriter::create(path, part.size(), place.as_ref(), classes, kind, layout, &[])?;
    let labels: Vec<u16> = labels
        .iter()
        .map(|label| if usize::from(*label) < classes.len() { u16::from(*label) } else { kind.nodata() })
        .collect();
    writer.write_rows(0, &labels)?;
    writer.finish()
}

/// The transform of a part of a raster.
fn shifted(transform: &GeoTransform, part: Window) -> GeoTransform {
    let corner = transform.to_world(part.col as f64, part.row as f64);
    let [_, a, b, _, c, d] = transform.coefficients;
    GeoTransform { coefficients: [corner.x, a, b, corner.y, c, d] }
}
