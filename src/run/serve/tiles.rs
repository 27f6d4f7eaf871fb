//! Map tiles: the scene through its stretch, and the labels and changes that are known.

use std::sync::Arc;

use super::changes::Changes;
use super::lock::lock;
use super::shared::{Pictures, ServedScene};
use crate::error::{Error, Result};
use crate::geom::{Size, Window};
use crate::raster::{SceneReader, Thumbnail};
use crate::serve::{TILE, TilePixels, indexed_png, rgba_png};

const SIZE: Size = Size { width: TILE, height: TILE };
/// Side of the picture that tiles from afar are made from: a scene without overviews is read once for it.
const THUMBNAIL: usize = 3072;

/// A layer of tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TileLayer {
    Scene,
    Labels,
    /// What changed since another scene.
    Change {
        since: usize,
    },
}

impl TileLayer {
    /// The layer and the scene of `scene`, `labels`, `scene-1`, `labels-1`, …; `change-1-0` is what changed in scene 1 since scene 0.
    pub fn named(name: &str) -> Option<(Self, usize)> {
        if let Some((scene, since)) = name.strip_prefix("change-").and_then(|numbers| numbers.split_once('-')) {
            return Some((Self::Change { since: since.parse().ok()? }, scene.parse().ok()?));
        }
        let (layer, scene) = match name.split_once('-') {
            Some((layer, number)) => (layer, number.parse().ok()?),
            None => (name, 0),
        };
        match layer {
            "scene" => Some((Self::Scene, scene)),
            "labels" => Some((Self::Labels, scene)),
            _ => None,
        }
    }

    /// Its name for a scene.
    pub fn name(self, scene: usize) -> String {
        let layer = match self {
            Self::Scene => "scene",
            Self::Labels => "labels",
            Self::Change { since } => return format!("change-{scene}-{since}"),
        };
        if scene == 0 { layer.to_owned() } else { format!("{layer}-{scene}") }
    }
}

/// A tile as PNG.
///
/// # Errors
/// The scene cannot be read.
pub fn render(
    layer: TileLayer,
    (number, scene): (usize, &ServedScene),
    pixels: &TilePixels,
    changes: &Changes,
) -> Result<Vec<u8>> {
    let empty = || indexed_png(SIZE, &[0; TILE * TILE], &[[0; 4]]);
    let Some(part) = pixels.part else { return empty() };
    match layer {
        TileLayer::Change { since } => {
            let Some(look) = changes.with(since, number, |blocks| blocks.look(part, pixels.step)) else {
                return empty();
            };
            let (indices, palette) = look.colours(&pixels.places);
            indexed_png(SIZE, &indices, &palette)
        }
        TileLayer::Labels => {
            let look = lock(&scene.blocks).look(part, pixels.step);
            let (indices, palette) = look.colours(&pixels.places);
            indexed_png(SIZE, &indices, &palette)
        }
        TileLayer::Scene => picture(scene, pixels, part),
    }
}

fn picture(scene: &ServedScene, pixels: &TilePixels, part: Window) -> Result<Vec<u8>> {
    let (look, plan) = lock(&scene.look).clone();
    let mut pictures = lock(&scene.pictures);
    if pictures.as_ref().is_none_or(|pictures| pictures.look != look) {
        let reader = SceneReader::open_even_empty(&plan.info, plan.bands, &plan.stretch)?;
        *pictures = Some(Pictures { look, reader, thumbnail: None });
    }
    let Some(open) = pictures.as_mut() else { return Err(Error::internal("a scene without its reader")) };
    let afar = scene.size.width.max(scene.size.height) as f64 / THUMBNAIL as f64;
    let (picture, corner, factor) = if afar > 1.0 && pixels.step >= afar {
        let picture = match &open.thumbnail {
            Some(thumbnail) => thumbnail.clone(),
            None => {
                let thumbnail = Arc::new(open.reader.thumbnail(THUMBNAIL)?);
                open.thumbnail.insert(thumbnail).clone()
            }
        };
        let factor = [
            scene.size.width as f64 / picture.size.width as f64,
            scene.size.height as f64 / picture.size.height as f64,
        ];
        (picture, [0.0; 2], factor)
    } else {
        let longest = part.width.max(part.height) as f64;
        let side = (longest / pixels.step.max(1.0)).ceil() as usize;
        let (picture, [[left, upper], [right, lower]]) = open.reader.crop(part, side.max(1))?;
        let factor = [(right - left) / picture.size.width as f64, (lower - upper) / picture.size.height as f64];
        (Arc::new(picture), [left, upper], factor)
    };
    drop(pictures);
    let Thumbnail { size, rgb, valid } = &*picture;
    let inside = |[col, row]: [f64; 2]| {
        col >= 0.0 && row >= 0.0 && col < scene.size.width as f64 && row < scene.size.height as f64
    };
    let mut bytes = Vec::with_capacity(4 * TILE * TILE);
    for &[col, row] in &pixels.places {
        let at = inside([col, row]).then(|| {
            let near = |value: f64, corner: f64, factor: f64, most: usize| {
                (((value - corner) / factor) as usize).min(most - 1)
            };
            near(row, corner[1], factor[1], size.height) * size.width + near(col, corner[0], factor[0], size.width)
        });
        let holds = |at: &usize| valid.as_ref().is_none_or(|valid| valid.get(*at).copied().unwrap_or(false));
        match at.filter(holds).and_then(|at| rgb.get(at)) {
            Some([red, green, blue]) => bytes.extend([*red, *green, *blue, u8::MAX]),
            None => bytes.extend([0; 4]),
        }
    }
    rgba_png(SIZE, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_names() {
        for (name, expected) in [
            ("scene", Some((TileLayer::Scene, 0))),
            ("labels-2", Some((TileLayer::Labels, 2))),
            ("labels-x", None),
            ("", None),
            ("scene-", None),
            ("change-1-0", Some((TileLayer::Change { since: 0 }, 1))),
            ("change-1", None),
            ("change--1-0", None),
        ] {
            assert_eq!(TileLayer::named(name), expected, "{name}");
        }
        assert_eq!(TileLayer::Change { since: 2 }.name(0), "change-0-2");
        assert_eq!((TileLayer::Labels.name(0), TileLayer::Scene.name(3)), ("labels".to_owned(), "scene-3".to_owned()));
    }
}
