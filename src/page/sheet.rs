//! The sheet of a search: pictures of places, best first, in a self-contained file without scripts.

use std::fmt::Write as _;
use std::path::Path;

use askama::Template;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Text;
use crate::atomic;
use crate::error::{Context as _, Result};
use crate::raster::Picture;

const STYLE: &str = include_str!("sheet.css");

/// The content of a sheet.
pub struct Sheet<'a> {
    pub title: &'a str,
    pub subtitle: &'a str,
    /// The best first.
    pub places: &'a [SheetPlace],
    /// Key and value.
    pub provenance: &'a [(String, String)],
}

/// A place and what is known of it.
#[derive(Clone, Debug, Default)]
pub struct SheetPlace {
    pub rank: usize,
    pub score: String,
    pub mean: String,
    pub area: String,
    pub at: String,
    pub scene: String,
    /// `None`: the scene cannot be read.
    pub picture: Option<SheetPicture>,
}

/// The picture of a place.
#[derive(Clone, Debug)]
pub struct SheetPicture {
    pub picture: Picture,
    /// Upper left and lower right corner of the picture, in pixels of the scene.
    pub corners: [[f64; 2]; 2],
    /// Rings of the outline, (x, y) in pixels of the scene.
    pub rings: Vec<Vec<[f64; 2]>>,
}

impl Sheet<'_> {
    /// Writes the sheet; it has its name only when it is complete.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write_file(path, self.render()?.as_bytes())
    }

    fn render(&self) -> Result<String> {
        let places = self.places.iter().map(|place| Card {
            rank: place.rank,
            score: Text(&place.score),
            mean: Text(&place.mean),
            area: Text(&place.area),
            at: Text(&place.at),
            scene: Text(&place.scene),
            picture: place.picture.as_ref().map(Drawn::of),
        });
        let html = Html {
            version: env!("CARGO_PKG_VERSION"),
            title: Text(self.title),
            subtitle: Text(self.subtitle),
            style: STYLE,
            places: places.collect(),
            provenance: self.provenance.iter().map(|(key, value)| (Text(key), Text(value))).collect(),
        };
        html.render().internal(|| "the sheet cannot be rendered".into())
    }
}

/// What the template takes: text, which is escaped, and pictures and paths of our own.
#[derive(Template)]
#[template(path = "sheet.html")]
struct Html<'a> {
    version: &'a str,
    title: Text<'a>,
    subtitle: Text<'a>,
    style: &'a str,
    places: Vec<Card<'a>>,
    provenance: Vec<(Text<'a>, Text<'a>)>,
}

struct Card<'a> {
    rank: usize,
    score: Text<'a>,
    mean: Text<'a>,
    area: Text<'a>,
    at: Text<'a>,
    scene: Text<'a>,
    picture: Option<Drawn>,
}

struct Drawn {
    data: String,
    width: String,
    height: String,
    /// An SVG path.
    outline: String,
}

impl Drawn {
    fn of(picture: &SheetPicture) -> Self {
        let [[left, top], [right, bottom]] = picture.corners;
        let mut outline = String::new();
        for ring in &picture.rings {
            for (at, [x, y]) in ring.iter().enumerate() {
                let _ = write!(outline, "{}{:.1} {:.1}", if at == 0 { 'M' } else { 'L' }, x - left, y - top);
            }
            outline.push('Z');
        }
        Self {
            data: format!("data:{};base64,{}", picture.picture.media_type, BASE64.encode(&picture.picture.bytes)),
            width: format!("{:.1}", right - left),
            height: format!("{:.1}", bottom - top),
            outline,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geom::Size;
    use crate::raster;

    fn sheet(word: &str) -> String {
        let picture = SheetPicture {
            picture: raster::jpeg(Size::new(2, 2), &[[9, 99, 199]; 4], 90).unwrap(),
            corners: [[10.0, 20.0], [26.0, 36.0]],
            rings: vec![vec![[12.0, 22.0], [20.0, 22.0], [20.0, 30.0]]],
        };
        let word = || word.to_owned();
        let place = SheetPlace {
            rank: 1,
            score: word(),
            mean: word(),
            area: word(),
            at: word(),
            scene: word(),
            picture: Some(picture),
        };
        let unseen = SheetPlace { rank: 2, picture: None, ..place.clone() };
        let provenance = [(word(), word())];
        Sheet { title: &word(), subtitle: &word(), places: &[place, unseen], provenance: &provenance }.render().unwrap()
    }

    #[test]
    fn hostile_names_stay_text() {
        let html = sheet("</title></style><script>alert(1)</script><img src=x onerror=alert(1)>\" onload=\"x");
        assert!(!html.contains("<script"), "{html}");
        assert_eq!((html.matches("</title>").count(), html.matches("<img ").count()), (1, 1));
        let tags: Vec<&str> = html.split('<').filter_map(|tag| tag.split('>').next()).collect();
        assert!(!tags.iter().any(|tag| tag.contains("onerror") || tag.contains("onload")), "{tags:?}");
    }

    #[test]
    fn sheet_shows_places_and_loads_nothing() {
        let html = sheet("field");
        assert!(html.contains("M2.0 2.0L10.0 2.0L10.0 10.0Z") && html.contains("viewBox=\"0 0 16.0 16.0\""), "{html}");
        assert!(!html.contains("://") && !html.contains("{{"));
        assert_eq!(html.matches("src=\"data:image/").count(), 1);
        assert_eq!(html.matches("src=").count(), 1);
        assert!(html.contains("cannot be read"), "the place without a picture says why");
    }
}
