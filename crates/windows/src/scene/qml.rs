//! QGIS styles (`.qml`) as text: class names and colours of rasters and of vector layers, and a colour ramp for scores.
//!
//! A style is found by its file name: `a.qml` is read for `a.tif` and for `a.geojson`. The style of a class map therefore has two
//! parts, of which QGIS takes the one that the kind of the layer needs.

use std::fmt::Write as _;

use super::ClassInfo;

const HEAD: &str = "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n";
/// The oldest version of QGIS that reads all that is written here.
const VERSION: &str = "3.16.0";

/// The geometry of a styled layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolKind {
    Marker,
    Line,
    Fill,
}

/// The field whose text decides the colour.
pub const CLASS_FIELD: &str = "class";

/// Colours from dark to bright at 0, 0.25, 0.5, 0.75 and 1: Matplotlib's viridis, which is readable in print and with colour-blind
/// eyes.
const RAMP: [(&str, &str); 5] =
    [("0", "#440154"), ("0.25", "#3b528b"), ("0.5", "#21918c"), ("0.75", "#5ec962"), ("1", "#fde725")];

/// The style of a class map whose values are indices of `classes`, and of polygons beside it.
pub fn class_map(classes: &[ClassInfo]) -> String {
    let mut text = start();
    text += "  <pipe>\n    <rasterrenderer type=\"paletted\" band=\"1\" opacity=\"1\" alphaBand=\"-1\" nodataColor=\"\">\n      \
             <rasterTransparency/>\n      <colorPalette>\n";
    for (value, class) in classes.iter().enumerate() {
        let [red, green, blue] = class.colour;
        let _ = writeln!(
            text,
            "        <paletteEntry value=\"{value}\" color=\"#{red:02x}{green:02x}{blue:02x}\" alpha=\"255\" label=\"{}\"/>",
            escaped(&class.name)
        );
    }
    text += "      </colorPalette>\n    </rasterrenderer>\n";
    text += PIPE_END;
    renderer(&mut text, SymbolKind::Fill, classes);
    text += "</qgis>\n";
    text
}

/// The style of scores from 0 to 1: the first band in a colour ramp.
pub fn scores() -> String {
    let mut text = start();
    text += "  <pipe>\n    <rasterrenderer type=\"singlebandpseudocolor\" band=\"1\" opacity=\"1\" alphaBand=\"-1\" nodataColor=\"\" \
             classificationMin=\"0\" classificationMax=\"1\">\n      <rasterTransparency/>\n      <rastershader>\n        \
             <colorrampshader colorRampType=\"INTERPOLATED\" classificationMode=\"1\" clip=\"0\" minimumValue=\"0\" \
             maximumValue=\"1\" labelPrecision=\"2\">\n";
    for (value, colour) in RAMP {
        let _ =
            writeln!(text, "          <item value=\"{value}\" label=\"{value}\" color=\"{colour}\" alpha=\"255\"/>");
    }
    text += "        </colorrampshader>\n      </rastershader>\n    </rasterrenderer>\n";
    text += PIPE_END;
    text += "</qgis>\n";
    text
}

/// The style of a vector layer: a symbol for each class by the field [`CLASS_FIELD`], or one symbol where there are no classes.
/// `aliases`: names of fields and what QGIS shows instead.
pub fn layer(kind: SymbolKind, classes: &[ClassInfo], aliases: &[(&str, &str)]) -> String {
    let mut text = start();
    text += "  <aliases>\n";
    for (index, (name, alias)) in aliases.iter().enumerate() {
        let _ =
            writeln!(text, "    <alias index=\"{index}\" field=\"{}\" name=\"{}\"/>", escaped(name), escaped(alias));
    }
    text += "  </aliases>\n";
    renderer(&mut text, kind, classes);
    text += "</qgis>\n";
    text
}

/// A colour for the value that no file gives one: hues that differ, whatever the number.
pub fn spread_colour(index: usize) -> [u8; 3] {
    // Multiples of the golden angle never come close to each other.
    let hue = (index as f64 * 137.507_764).rem_euclid(360.0) / 60.0;
    let (dark, bright) = (64.0, 208.0);
    let part = |shift: f64| {
        let distance = ((hue + shift).rem_euclid(6.0) - 3.0).abs() - 1.0;
        (dark + (bright - dark) * distance.clamp(0.0, 1.0)).round() as u8
    };
    [part(0.0), part(4.0), part(2.0)]
}

const PIPE_END: &str = "    <brightnesscontrast brightness=\"0\" contrast=\"0\"/>\n    <rasterresampler/>\n  </pipe>\n  \
                        <blendMode>0</blendMode>\n";

fn start() -> String {
    format!("{HEAD}<qgis version=\"{VERSION}\" hasScaleBasedVisibilityFlag=\"0\">\n")
}

fn renderer(text: &mut String, kind: SymbolKind, classes: &[ClassInfo]) {
    let mut classes: Vec<&ClassInfo> = classes.iter().collect();
    // Several values may have one name: QGIS needs one entry for it.
    let mut names = std::collections::BTreeSet::new();
    classes.retain(|class| names.insert(class.name.as_str()));
    if classes.is_empty() {
        *text += "  <renderer-v2 type=\"singleSymbol\" symbollevels=\"0\" enableorderby=\"0\" forceraster=\"0\">\n    <symbols>\n";
        symbol(text, kind, 0, [90, 90, 90]);
        *text += "    </symbols>\n  </renderer-v2>\n";
    } else {
        let _ = writeln!(
            text,
            "  <renderer-v2 type=\"categorizedSymbol\" attr=\"{CLASS_FIELD}\" symbollevels=\"0\" enableorderby=\"0\" \
             forceraster=\"0\">\n    <categories>"
        );
        for (index, class) in classes.iter().enumerate() {
            let name = escaped(&class.name);
            let _ = writeln!(
                text,
                "      <category symbol=\"{index}\" value=\"{name}\" label=\"{name}\" type=\"string\" render=\"true\"/>"
            );
        }
        *text += "    </categories>\n    <symbols>\n";
        for (index, class) in classes.iter().enumerate() {
            symbol(text, kind, index, class.colour);
        }
        *text += "    </symbols>\n  </renderer-v2>\n";
    }
    let geometry = match kind {
        SymbolKind::Marker => 0,
        SymbolKind::Line => 1,
        SymbolKind::Fill => 2,
    };
    let _ = writeln!(text, "  <layerGeometryType>{geometry}</layerGeometryType>");
}

/// A symbol in one colour; areas have a darker outline and let the ground shine through.
fn symbol(text: &mut String, kind: SymbolKind, name: usize, [red, green, blue]: [u8; 3]) {
    let colour = format!("{red},{green},{blue}");
    let darker = [red, green, blue].map(|part| (f64::from(part) * 0.6).round().to_string()).join(",");
    let (kind, class, properties) = match kind {
        SymbolKind::Fill => (
            "fill",
            "SimpleFill",
            vec![
                ("color", format!("{colour},160")),
                ("style", "solid".to_owned()),
                ("outline_color", format!("{darker},255")),
                ("outline_style", "solid".to_owned()),
                ("outline_width", "0.3".to_owned()),
                ("outline_width_unit", "MM".to_owned()),
                ("joinstyle", "bevel".to_owned()),
            ],
        ),
        SymbolKind::Line => (
            "line",
            "SimpleLine",
            vec![
                ("line_color", format!("{colour},255")),
                ("line_style", "solid".to_owned()),
                ("line_width", "0.8".to_owned()),
                ("line_width_unit", "MM".to_owned()),
                ("capstyle", "round".to_owned()),
                ("joinstyle", "round".to_owned()),
            ],
        ),
        SymbolKind::Marker => (
            "marker",
            "SimpleMarker",
            vec![
                ("name", "circle".to_owned()),
                ("color", "255,255,255,255".to_owned()),
                ("outline_color", format!("{colour},255")),
                ("outline_width", "0.4".to_owned()),
                ("outline_width_unit", "MM".to_owned()),
                ("size", "1.6".to_owned()),
                ("size_unit", "MM".to_owned()),
            ],
        ),
    };
    let _ = writeln!(
        text,
        "      <symbol name=\"{name}\" type=\"{kind}\" alpha=\"1\" clip_to_extent=\"1\" force_rhr=\"0\">\n        \
         <layer class=\"{class}\" pass=\"0\" locked=\"0\" enabled=\"1\">"
    );
    for (key, value) in properties {
        let _ = writeln!(text, "          <prop k=\"{key}\" v=\"{value}\"/>");
    }
    *text += "        </layer>\n      </symbol>\n";
}

/// Text escaped for an XML attribute. XML 1.0 does not allow control characters.
pub fn escaped(text: &str) -> String {
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

    fn class(name: &str, colour: [u8; 3]) -> ClassInfo {
        ClassInfo { name: name.into(), colour }
    }

    #[test]
    fn every_class_has_an_entry_with_its_name_and_colour() {
        let text = class_map(&[class("water", [0, 16, 255]), class("<a & \"b\">\u{7}", [1, 2, 3])]);
        assert!(text.contains("value=\"0\" color=\"#0010ff\" alpha=\"255\" label=\"water\"/>"), "{text}");
        let name = "&lt;a &amp; &quot;b&quot;&gt; ";
        assert!(text.contains(&format!("value=\"1\" color=\"#010203\" alpha=\"255\" label=\"{name}\"/>")));
        // The same style serves polygons beside the raster.
        assert!(text.contains(&format!("<category symbol=\"1\" value=\"{name}\" label=\"{name}\"")), "{text}");
        assert!(text.contains("<prop k=\"color\" v=\"0,16,255,160\"/>"));
    }

    #[test]
    fn one_entry_for_each_name_and_one_symbol_without_names() {
        let classes = [class("a", [1, 2, 3]), class("b", [4, 5, 6]), class("a", [7, 8, 9])];
        let text = layer(SymbolKind::Line, &classes, &[("class_id", "Class <number>")]);
        assert_eq!(text.matches("<category ").count(), 2, "{text}");
        assert!(text.contains("<prop k=\"line_color\" v=\"4,5,6,255\"/>") && !text.contains("7,8,9"));
        assert!(text.contains("<alias index=\"0\" field=\"class_id\" name=\"Class &lt;number&gt;\"/>"));
        assert!(text.contains("<layerGeometryType>1</layerGeometryType>"));
        let text = layer(SymbolKind::Marker, &[], &[]);
        assert!(text.contains("singleSymbol") && text.matches("<symbol ").count() == 1, "{text}");
    }

    #[test]
    fn spread_colours_differ() {
        let colours: std::collections::BTreeSet<[u8; 3]> = (0..60).map(spread_colour).collect();
        assert!(colours.len() > 55, "{}", colours.len());
    }
}
