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

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sha2::{Digest as _, Sha256};

use crate::atomic;
use crate::error::{Context as _, Result};
use crate::geom::Size;
use crate::raster;
use crate::scene::{ClassInfo, ScaleBar};
use crate::vector::Sketch;
pub use layers::Layers;
pub use sheet::{Sheet, SheetPicture, SheetPlace};

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// The content of a page.
pub struct Page<'a> {
    pub title: &'a str,
    /// The line below the title: size, area, CRS.
    pub subtitle: &'a str,
    /// What the two sides of the swipe map show.
    pub sides: [&'a str; 2],
    pub layers: &'a Layers,
    /// What is drawn above the pictures.
    pub vectors: Option<Vectors<'a>>,
    pub scale: Option<&'a ScaleBar>,
    /// In the order of their labels.
    pub classes: &'a [Share<'a>],
    /// Pixels without data, where there are any; its `class` is unused.
    pub nodata: Option<Amount>,
    /// Provenance: key and value.
    pub provenance: &'a [(String, String)],
    /// What the classes are: several, and one; and what their shares mean.
    pub words: Words<'a>,
    /// The job as it was given; empty: there is none.
    pub job: &'a str,
    /// The resolved configuration; empty: there is none.
    pub resolved: &'a str,
}

/// What a page calls its classes.
#[derive(Clone, Copy)]
pub struct Words<'a> {
    pub several: &'a str,
    pub one: &'a str,
    /// The note below the table.
    pub note: &'a str,
}

impl Words<'_> {
    /// Of a class map.
    pub const CLASSES: Self = Words {
        several: "Classes",
        one: "Class",
        note: "Shares are those of the pixels with data. Value is the number of the class in the label raster.",
    };
}

/// Outlines and lines above the pictures.
pub struct Vectors<'a> {
    /// What they are: `Outlines`.
    pub name: &'a str,
    pub sketch: &'a Sketch,
}

/// A class and its share of the scene.
pub struct Share<'a> {
    pub class: &'a ClassInfo,
    /// Of all pixels with data, 0..=1.
    pub share: f64,
    pub amount: Amount,
    /// Whether it is listed.
    pub listed: bool,
}

/// The area as text.
pub struct Amount {
    pub pixels: String,
    /// `None`: the pixel size is unknown.
    pub area: Option<String>,
}

impl Page<'_> {
    /// Writes the page; it has its name only when it is complete.
    pub fn write(&self, path: &std::path::Path) -> Result<()> {
        atomic::write_file(path, self.render()?.as_bytes())
    }

    fn render(&self) -> Result<String> {
        let Layers { scene, second, result, .. } = self.layers;
        let View { shape, fit } = View::of(result.size);
        let size = self.vectors.as_ref().map_or_else(Size::default, |vectors| vectors.sketch.size);
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
            shape: format!("{shape:.5}"),
            fit_x: format!("{:.5}", fit[0]),
            fit_y: format!("{:.5}", fit[1]),
            left: Text(self.sides[0]),
            right: Text(self.sides[1]),
            vectors: self.vectors.as_ref().map(|vectors| self.paths(vectors.sketch)).unwrap_or_default(),
            vectors_name: Text(self.vectors.as_ref().map_or("", |vectors| vectors.name)),
            vectors_left_out: self.vectors.as_ref().map_or(0, |vectors| vectors.sketch.left_out),
            view_width: size.width,
            view_height: size.height,
            classes_name: Text(self.words.several),
            class_name: Text(self.words.one),
            note: Text(self.words.note),
            second: second.as_ref().map(data),
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

    /// A path for each class with shapes.
    fn paths(&self, sketch: &Sketch) -> Vec<Path> {
        let mut paths: BTreeMap<i64, String> = BTreeMap::new();
        for shape in &sketch.shapes {
            let path = paths.entry(shape.value).or_default();
            for part in &shape.parts {
                append(path, part, shape.closed);
            }
        }
        let class = |value: i64| usize::try_from(value).ok();
        let path = |(value, path): (i64, String)| Path {
            slot: class(value).and_then(|class| self.layers.slot(class)),
            colour: css(class(value).and_then(|class| self.classes.get(class)).map_or([0; 3], |one| one.class.colour)),
            path,
        };
        paths.into_iter().map(path).collect()
    }

    /// The classes, the largest first.
    fn by_share(&self) -> Vec<Class<'_>> {
        let largest = self.classes.iter().map(|share| share.share).fold(f64::MIN_POSITIVE, f64::max);
        let class = |(index, share)| Class::new(index, share, self.layers.slot(index), largest);
        let mut classes: Vec<Class<'_>> =
            self.classes.iter().enumerate().filter(|(_, share)| share.listed).map(class).collect();
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
    /// Width by height of the stage, and the share of its sides that the picture takes.
    shape: String,
    fit_x: String,
    fit_y: String,
    left: Text<'a>,
    right: Text<'a>,
    vectors: Vec<Path>,
    vectors_name: Text<'a>,
    vectors_left_out: u64,
    view_width: usize,
    view_height: usize,
    classes_name: Text<'a>,
    class_name: Text<'a>,
    note: Text<'a>,
    scene: String,
    second: Option<String>,
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

/// The shapes of a class as an SVG path, in pixels of the label raster.
struct Path {
    slot: Option<u8>,
    colour: String,
    path: String,
}

/// Appends a ring or a line, with positions relative to the one before.
fn append(path: &mut String, part: &[[f32; 2]], closed: bool) {
    // In tenths of a pixel, so that rounding does not add up.
    let mut last = [0i64; 2];
    for (index, at) in part.iter().enumerate() {
        let now = [0, 1].map(|axis: usize| (f64::from(at.get(axis).copied().unwrap_or(0.0)) * 10.0).round() as i64);
        let letter = match index {
            0 => "M",
            1 => "l",
            _ => " ",
        };
        let [x, y] = if index == 0 { now } else { [now[0] - last[0], now[1] - last[1]] };
        let _ = write!(path, "{letter}{} {}", tenths(x), tenths(y));
        last = now;
    }
    if closed {
        path.push('z');
    }
}

fn tenths(value: i64) -> String {
    match value % 10 {
        0 => (value / 10).to_string(),
        _ => format!("{:.1}", value as f64 / 10.0),
    }
}

/// How a picture lies in the stage when all of it is shown.
struct View {
    /// Width by height of the stage.
    shape: f64,
    /// The share of the stage's width and height that the picture takes: 1 of one of them.
    fit: [f64; 2],
}

impl View {
    /// The widest and the narrowest stage: what is wider or narrower is shown in part, and moved.
    const SHAPES: [f64; 2] = [0.45, 2.4];

    fn of(size: Size) -> Self {
        let picture = size.width.max(1) as f64 / size.height.max(1) as f64;
        let shape = picture.clamp(Self::SHAPES[0], Self::SHAPES[1]);
        Self { shape, fit: [(picture / shape).min(1.0), (shape / picture).min(1.0)] }
    }
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
    fn new(index: usize, Share { class, share, amount, .. }: &'a Share<'_>, slot: Option<u8>, largest: f64) -> Self {
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
