//! A part of an image as a virtual raster of its own: three 8-bit bands, grey replicated, transparency dropped, no georeference.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Context, Error, Result};
use crate::geom::Window;
use crate::scene::qml::escaped;
use crate::scene::{ColourRole, SceneInfo};

/// The text of a virtual raster that shows `window` of an image. What lies beyond the image is black.
///
/// # Errors
/// The image cannot be opened, has a palette, or pixels of more than 8 bits.
pub fn tile_vrt(image: &Path, info: &SceneInfo, window: Window) -> Result<String> {
    let refuse = |what: String| {
        Err(Error::input(format!("{} {what}", image.display()))
            .with_hint("The paper's images have 8 bits: convert it first, such as with `gdal_translate -scale`."))
    };
    if let Some(band) = info.bands.iter().find(|band| band.pixel_type != "Byte") {
        return refuse(format!("has pixels of type {}", band.pixel_type));
    }
    if info.bands.first().is_some_and(|band| band.role == ColourRole::Palette) {
        return refuse("has a palette".to_owned());
    }
    let bands = if info.bands.len() >= 3 { [1, 2, 3] } else { [1, 1, 1] };
    let whole = std::path::absolute(image).input(|| format!("cannot find the folder of {}", image.display()))?;
    let file = escaped(&whole.to_string_lossy());
    let (width, height) = (window.width, window.height);
    let inside = (
        width.min(info.size.width.saturating_sub(window.col)),
        height.min(info.size.height.saturating_sub(window.row)),
    );
    let mut text = format!("<VRTDataset rasterXSize=\"{width}\" rasterYSize=\"{height}\">\n");
    for (index, (number, colour)) in bands.into_iter().zip(["Red", "Green", "Blue"]).enumerate() {
        let _ = write!(
            text,
            "  <VRTRasterBand dataType=\"Byte\" band=\"{}\">\n    <ColorInterp>{colour}</ColorInterp>\n    <SimpleSource>\n      \
             <SourceFilename relativeToVRT=\"0\">{file}</SourceFilename>\n      <SourceBand>{number}</SourceBand>\n      \
             <SrcRect xOff=\"{}\" yOff=\"{}\" xSize=\"{}\" ySize=\"{}\"/>\n      \
             <DstRect xOff=\"0\" yOff=\"0\" xSize=\"{}\" ySize=\"{}\"/>\n    </SimpleSource>\n  </VRTRasterBand>\n",
            index + 1,
            window.col,
            window.row,
            inside.0,
            inside.1,
            inside.0,
            inside.1
        );
    }
    text += "</VRTDataset>\n";
    Ok(text)
}
