//! The `.qml` beside a class map: QGIS shows it with class names and colours as soon as it is opened. GDAL does not write this
//! format.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use crate::atomic::AtomicFile;
use crate::error::{Context, Result};
use crate::scene::ClassInfo;

/// A style that is not committed yet.
pub(super) struct Style {
    partial: AtomicFile,
}

impl Style {
    /// Writes the style of `raster` under a hidden name.
    pub(super) fn create(raster: &Path, classes: &[ClassInfo]) -> Result<Self> {
        let partial = AtomicFile::new(&raster.with_extension("qml"))?;
        fs::write(partial.temporary(), qml(classes)).map_err(|cause| partial.failed("write", cause))?;
        Ok(Self { partial })
    }

    pub(super) fn commit(self) -> Result<()> {
        self.partial.commit().input(|| "the class map was written, but not its QGIS style".into())
    }
}

/// A paletted renderer with one entry a class.
fn qml(classes: &[ClassInfo]) -> String {
    let mut text = String::from(
        "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n\
         <qgis hasScaleBasedVisibilityFlag=\"0\" styleCategories=\"Symbology\">\n  \
         <pipe>\n    \
         <rasterrenderer type=\"paletted\" band=\"1\" opacity=\"1\" alphaBand=\"-1\" nodataColor=\"\">\n      \
         <rasterTransparency/>\n      \
         <colorPalette>\n",
    );
    for (value, class) in classes.iter().enumerate() {
        let [red, green, blue] = class.colour;
        let _ = writeln!(
            text,
            "        <paletteEntry value=\"{value}\" color=\"#{red:02x}{green:02x}{blue:02x}\" alpha=\"255\" label=\"{}\"/>",
            escaped(&class.name)
        );
    }
    text += "      </colorPalette>\n    </rasterrenderer>\n    <brightnesscontrast brightness=\"0\" contrast=\"0\"/>\n    \
             <rasterresampler/>\n  </pipe>\n  <blendMode>0</blendMode>\n</qgis>\n";
    text
}

/// Text escaped for an XML attribute. XML 1.0 does not allow control characters.
pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out += "&amp;",
            '<' => out += "&lt;",
            '>' => out += "&gt;",
            '"' => out += "&quot;",
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_an_entry_with_its_name_and_colour() {
        let class = |name: &str, colour| ClassInfo { name: name.into(), colour };
        let text = qml(&[class("water", [0, 16, 255]), class("<a & \"b\">\u{7}", [1, 2, 3])]);
        assert!(text.contains("value=\"0\" color=\"#0010ff\" alpha=\"255\" label=\"water\"/>"), "{text}");
        assert!(
            text.contains("value=\"1\" color=\"#010203\" alpha=\"255\" label=\"&lt;a &amp; &quot;b&quot;&gt; \"/>")
        );
    }
}
