//! The HTML report: one scene with its result, areas and provenance in a self-contained file.
//!
//! ```text
//!  page.html ─┐
//!  page.css  ─┼─► fill ─► report.html     (pictures inside as data, every foreign word escaped)
//!  page.js   ─┘
//! ```
//!
//! The result is an indexed PNG: the script hides a class by making its palette entry transparent. The page's content
//! security policy allows only this script, and loads nothing from elsewhere. The same inputs give the same bytes.

#![expect(clippy::indexing_slicing, reason = "indices of classes, made by counting them")]

mod fill;
mod layers;

use std::fmt::Write as _;
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::atomic;
use crate::error::Result;
use crate::raster;
use crate::scene::{ClassInfo, ScaleBar};
use fill::{base64, escaped, fill};
pub use layers::Layers;

const TEMPLATE: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The content of a page.
pub struct Page<'a> {
    pub title: &'a str,
    /// The line below the title: size, area, CRS.
    pub subtitle: &'a str,
    pub layers: &'a Layers,
    pub scale: Option<&'a ScaleBar>,
    /// In the order of their labels.
    pub classes: &'a [Share<'a>],
    /// Pixels without data, where there are any; its `class` is unused.
    pub nodata: Option<Amount>,
    /// Provenance: key and value.
    pub provenance: &'a [(String, String)],
    /// The job as it was given.
    pub job: &'a str,
    /// The resolved configuration.
    pub resolved: &'a str,
}

/// A class and its share of the scene.
pub struct Share<'a> {
    pub class: &'a ClassInfo,
    /// Of all pixels with data, 0..=1.
    pub share: f64,
    pub amount: Amount,
}

/// The area as text.
pub struct Amount {
    pub pixels: String,
    /// `None`: the pixel size is unknown.
    pub area: Option<String>,
}

impl Page<'_> {
    /// Writes the page; it has its name only when it is complete.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write_file(path, self.render().as_bytes())
    }

    fn render(&self) -> String {
        let Layers { scene, result, .. } = self.layers;
        let data = |picture: &raster::Picture| format!("data:{};base64,{}", picture.media_type, base64(&picture.bytes));
        let policy = format!("'sha256-{}'", base64(&Sha256::digest(SCRIPT)));
        let mut by_share: Vec<usize> = (0..self.classes.len()).collect();
        by_share.sort_by(|&a, &b| self.classes[b].share.total_cmp(&self.classes[a].share));
        fill(
            TEMPLATE,
            &[
                ("version", env!("CARGO_PKG_VERSION")),
                ("title", &escaped(self.title)),
                ("subtitle", &escaped(self.subtitle)),
                ("policy", &policy),
                ("style", STYLE),
                ("script", SCRIPT),
                ("width", &result.size.width.to_string()),
                ("height", &result.size.height.to_string()),
                ("scene", &data(scene)),
                ("result", &data(result)),
                ("scale", &self.scale_bar()),
                ("strip", &self.strip(&by_share)),
                ("legend", &self.legend(&by_share)),
                ("area-heads", if self.has_areas() { "<th scope=\"col\">Area</th>" } else { "" }),
                ("rows", &self.rows(&by_share)),
                ("provenance", &self.facts()),
                ("job", &escaped(self.job)),
                ("resolved", &escaped(self.resolved)),
            ],
        )
    }

    fn has_areas(&self) -> bool {
        self.classes.iter().any(|share| share.amount.area.is_some())
    }

    fn scale_bar(&self) -> String {
        self.scale.map_or_else(String::new, |bar| {
            format!("<div class=\"scale\" style=\"width:{:.3}%\">{}</div>", 100.0 * bar.share, escaped(&bar.label))
        })
    }

    /// All classes in one bar.
    fn strip(&self, order: &[usize]) -> String {
        let mut html = String::new();
        for Share { class, share, .. } in order.iter().map(|&index| &self.classes[index]).filter(|s| s.share > 0.0) {
            let _ = write!(html, "<i style=\"flex-grow:{share:.6};background:{}\"></i>", css(class.colour));
        }
        html
    }

    fn legend(&self, order: &[usize]) -> String {
        let mut html = String::new();
        for &index in order {
            let Share { class, share, .. } = &self.classes[index];
            let Some(slot) = self.layers.slot(index) else { continue };
            let _ = writeln!(
                html,
                "<li><label><input type=\"checkbox\" checked data-slot=\"{slot}\"><i style=\"background:{}\"></i>\
                 <bdi>{}</bdi><output>{}</output></label></li>",
                css(class.colour),
                escaped(&class.name),
                percent(*share)
            );
        }
        let left_out = order.iter().filter(|&&index| self.layers.slot(index).is_none()).count();
        if left_out > 0 {
            let _ = writeln!(html, "<li class=\"rest\">{left_out} smaller classes are always shown, in grey</li>");
        }
        html
    }

    fn rows(&self, order: &[usize]) -> String {
        let largest = self.classes.iter().map(|share| share.share).fold(f64::MIN_POSITIVE, f64::max);
        let mut html = String::new();
        let area = |amount: &Amount| {
            if self.has_areas() {
                format!("<td>{}</td>", escaped(amount.area.as_deref().unwrap_or_default()))
            } else {
                String::new()
            }
        };
        for &index in order {
            let Share { class, share, amount } = &self.classes[index];
            let colour = css(class.colour);
            let _ = writeln!(
                html,
                "<tr><td class=\"value\">{index}</td><th scope=\"row\"><i style=\"background:{colour}\"></i><bdi>{}</bdi></th>\
                 <td class=\"bar\"><i style=\"width:{:.2}%;background:{colour}\"></i></td><td>{}</td>{}<td class=\"pixels\">{}</td></tr>",
                escaped(&class.name),
                100.0 * share / largest,
                percent(*share),
                area(amount),
                escaped(&amount.pixels)
            );
        }
        if let Some(amount) = &self.nodata {
            let _ = writeln!(
                html,
                "<tr class=\"nodata\"><td class=\"value\"></td><th scope=\"row\"><i></i>no data</th><td class=\"bar\"></td>\
                 <td></td>{}<td class=\"pixels\">{}</td></tr>",
                area(amount),
                escaped(&amount.pixels)
            );
        }
        html
    }

    fn facts(&self) -> String {
        let mut html = String::new();
        for (key, value) in self.provenance {
            let _ = writeln!(html, "<dt>{}</dt><dd>{}</dd>", escaped(key), escaped(value));
        }
        html
    }
}

fn css([red, green, blue]: [u8; 3]) -> String {
    format!("#{red:02x}{green:02x}{blue:02x}")
}

fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests;
