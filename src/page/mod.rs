//! The HTML report: one scene with its result, areas and provenance in a self-contained file.
//!
//! ```text
//!  page.html ─┐
//!  page.css  ─┼─► askama ─► report.html     (pictures inside as data, all text escaped)
//!  page.js   ─┘
//! ```
//!
//! The result is an indexed PNG: the script hides a class by making its palette entry transparent. The page's content
//! security policy allows only this script, and loads nothing from elsewhere. The same inputs give the same bytes.

mod layers;
mod sheet;

use std::fmt::{self, Write as _};
use std::path::Path;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::atomic;
use crate::error::{Context as _, Result};
use crate::raster;
use crate::scene::{ClassInfo, ScaleBar};
pub use layers::Layers;
pub use sheet::{Sheet, SheetPicture, SheetPlace};

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
        atomic::write_file(path, self.render()?.as_bytes())
    }

    fn render(&self) -> Result<String> {
        let Layers { scene, result, .. } = self.layers;
        let data =
            |picture: &raster::Picture| format!("data:{};base64,{}", picture.media_type, BASE64.encode(&picture.bytes));
        let classes = self.by_share();
        let html = Html {
            version: env!("CARGO_PKG_VERSION"),
            title: Text(self.title),
            subtitle: Text(self.subtitle),
            policy: format!("'sha256-{}'", BASE64.encode(Sha256::digest(SCRIPT))),
            style: STYLE,
            script: SCRIPT,
            width: result.size.width,
            height: result.size.height,
            scene: data(scene),
            result: data(result),
            scale: self.scale.map(|bar| Bar { width: format!("{:.3}", 100.0 * bar.share), label: Text(&bar.label) }),
            without_slot: classes.iter().filter(|class| class.slot.is_none()).count(),
            classes,
            has_areas: self.classes.iter().any(|share| share.amount.area.is_some()),
            nodata: self.nodata.as_ref().map(cells),
            provenance: self.provenance.iter().map(|(key, value)| (Text(key), Text(value))).collect(),
            job: Text(self.job),
            resolved: Text(self.resolved),
        };
        html.render().internal(|| "the report cannot be rendered".into())
    }

    /// The classes, the largest first.
    fn by_share(&self) -> Vec<Class<'_>> {
        let largest = self.classes.iter().map(|share| share.share).fold(f64::MIN_POSITIVE, f64::max);
        let class = |(index, share)| Class::new(index, share, self.layers.slot(index), largest);
        let mut classes: Vec<Class<'_>> = self.classes.iter().enumerate().map(class).collect();
        classes.sort_by(|a, b| b.share.total_cmp(&a.share));
        classes
    }
}

/// What the template takes. All text is escaped by its extension, unless the template marks it as safe: our own style and
/// script, and pictures in base64.
#[derive(Template)]
#[template(path = "page.html")]
struct Html<'a> {
    version: &'a str,
    title: Text<'a>,
    subtitle: Text<'a>,
    policy: String,
    style: &'a str,
    script: &'a str,
    width: usize,
    height: usize,
    scene: String,
    result: String,
    scale: Option<Bar<'a>>,
    classes: Vec<Class<'a>>,
    /// Classes that cannot be hidden, for want of entries in the palette.
    without_slot: usize,
    has_areas: bool,
    nodata: Option<Cells<'a>>,
    provenance: Vec<(Text<'a>, Text<'a>)>,
    job: Text<'a>,
    resolved: Text<'a>,
}

struct Bar<'a> {
    /// Percent of the picture.
    width: String,
    label: Text<'a>,
}

struct Class<'a> {
    value: usize,
    name: Text<'a>,
    colour: String,
    slot: Option<u8>,
    share: f64,
    weight: String,
    /// Percent of the largest class.
    bar: String,
    percent: String,
    area: Text<'a>,
    pixels: Text<'a>,
}

impl<'a> Class<'a> {
    /// `largest`: the share of the largest class.
    fn new(index: usize, Share { class, share, amount }: &'a Share<'_>, slot: Option<u8>, largest: f64) -> Self {
        let Cells { pixels, area } = cells(amount);
        Self {
            value: index,
            name: Text(&class.name),
            colour: css(class.colour),
            slot,
            share: *share,
            weight: format!("{share:.6}"),
            bar: format!("{:.2}", 100.0 * share / largest),
            percent: percent(*share),
            area,
            pixels,
        }
    }
}

struct Cells<'a> {
    pixels: Text<'a>,
    area: Text<'a>,
}

fn cells(amount: &Amount) -> Cells<'_> {
    Cells { pixels: Text(&amount.pixels), area: Text(amount.area.as_deref().unwrap_or_default()) }
}

/// Foreign text. Control characters, which browsers treat differently, become U+FFFD.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let plain = |c: char| if c.is_control() && !matches!(c, '\n' | '\t') { char::REPLACEMENT_CHARACTER } else { c };
        self.0.chars().map(plain).try_for_each(|c| f.write_char(c))
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
