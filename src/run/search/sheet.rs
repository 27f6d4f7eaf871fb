//! The sheet of a search: a picture of each place from its scene's file, as the model saw it.

use std::collections::BTreeMap;
use std::path::Path;

use geo::LineString;

use super::hits::Hit;
use super::output::listed;
use crate::cli::{SearchArgs, scene_option};
use crate::embeddings::{SceneCard, SceneStore};
use crate::error::{Error, Result};
use crate::geom::{Size, Window};
use crate::page::{Sheet, SheetPicture, SheetPlace};
use crate::pipeline::{self, quoted};
use crate::raster::{self, SceneReader};
use crate::report::{FoundPlace, Reporter, grouped};
use crate::run::lookup::Lookup;

/// Most places that a sheet shows, so that it stays a page that a browser opens.
const MOST: usize = 500;
/// Longest side of a picture in pixels, and its JPEG quality.
const SIDE: usize = 320;
const QUALITY: u8 = 80;
/// Shortest side of the ground that a picture shows, in pixels of the scene.
const LEAST: usize = 160;

/// Writes the sheet. A scene that cannot be read is noted, and its places have no picture.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, args: &SearchArgs, hits: &[Hit], scenes: &[SceneStore], reporter: &Reporter) -> Result<()> {
    let shown = hits.get(..hits.len().min(MOST)).unwrap_or_default();
    if hits.len() > MOST {
        reporter.note(&format!("the sheet shows the first {MOST} of {} places.", grouped(hits.len() as u64)));
    }
    let mut pictures: BTreeMap<usize, SheetPicture> = BTreeMap::new();
    let progress = reporter.progress("pictures", shown.len(), "pictures");
    for (at, scene) in scenes.iter().enumerate() {
        let of_scene: Vec<(usize, &Hit)> = shown.iter().enumerate().filter(|(_, hit)| hit.scene == at).collect();
        if of_scene.is_empty() {
            continue;
        }
        let drawn = reader(scene.card()).and_then(|reader| {
            of_scene.iter().try_for_each(|(rank, hit)| {
                pictures.insert(*rank, picture(&reader, scene.card(), hit)?);
                progress.advance(1);
                Ok(())
            })
        });
        if let Err(error) = drawn {
            let causes: Vec<String> = std::iter::once(error.to_string()).chain(error.causes()).collect();
            reporter.note(&format!("{} has no pictures in the sheet: {}.", scene.card().name, causes.join(": ")));
        }
    }
    drop(progress);
    let places: Vec<SheetPlace> = shown
        .iter()
        .enumerate()
        .map(|(at, hit)| {
            let place = listed(hit, scenes);
            let area = place.area_text();
            let FoundPlace { score, mean, at: coordinates, scene, .. } = place;
            SheetPlace {
                rank: at + 1,
                score: format!("{score:.3}"),
                mean: format!("{mean:.3}"),
                area,
                at: coordinates,
                scene,
                picture: pictures.remove(&at),
            }
        })
        .collect();
    let title = match &args.words {
        Some(words) => format!("Places that fit {}", quoted(words)),
        None => format!("Places like {}", args.like.join(", ")),
    };
    let subtitle = format!("{} places in {} scenes", grouped(hits.len() as u64), grouped(scenes.len() as u64));
    Sheet { title: &title, subtitle: &subtitle, places: &places, provenance: &provenance(args) }.write(path)
}

fn provenance(args: &SearchArgs) -> Vec<(String, String)> {
    let stores: Vec<String> = args.stores.iter().map(|store| store.display().to_string()).collect();
    let facts = [
        ("Stores", Some(pipeline::without_credentials(&stores.join("\n")))),
        ("Words", args.words.clone()),
        ("Like", (!args.like.is_empty()).then(|| pipeline::without_credentials(&args.like.join("\n")))),
        ("Not", args.not.clone()),
        ("Top", Some(args.top.to_string())),
        ("Share", Some(args.share.to_string())),
        ("Debias", args.debias.map(|debias| debias.to_string())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// Opens a scene as it was embedded.
fn reader(card: &SceneCard) -> Result<SceneReader> {
    let options = card.job.iter().filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)));
    // Model and windows decide nothing of a picture, and the model may not be here.
    let options = options.filter(|(key, _)| *key != "model" && !key.starts_with("tiling."));
    let overrides: Vec<_> = options.map(|(key, value)| scene_option("the store", key, value)).collect();
    let spec = pipeline::from_flags(&overrides)?;
    let (views, _) = pipeline::views(&spec, &mut Lookup::new(true))?;
    let [(info, bands, stretch)] = views.as_slice() else {
        return Err(Error::input(format!("{} is {} scenes", card.path, views.len())));
    };
    if info.size != Size::new(card.width, card.height) {
        return Err(Error::input(format!(
            "{} has {} pixels; {} × {} were embedded",
            card.path, info.size, card.width, card.height
        )));
    }
    SceneReader::open_even_empty(info, *bands, stretch)
}

fn picture(reader: &SceneReader, card: &SceneCard, hit: &Hit) -> Result<SheetPicture> {
    let part = around(hit.bounds, Size::new(card.width, card.height));
    let (thumbnail, corners) = reader.crop(part, SIDE)?;
    let ring = |ring: &LineString| ring.coords().map(|at| [at.x, at.y]).collect();
    let polygon = &hit.polygon;
    Ok(SheetPicture {
        picture: raster::jpeg(thumbnail.size, &thumbnail.rgb, QUALITY)?,
        corners,
        rings: std::iter::once(polygon.exterior()).chain(polygon.interiors()).map(ring).collect(),
    })
}

/// A square around a place, half as wide again, inside the scene where the scene is large enough.
fn around(bounds: Window, scene: Size) -> Window {
    let side = (bounds.width.max(bounds.height) * 3 / 2).max(LEAST);
    let span = |start: usize, length: usize, most: usize| {
        let wide = side.min(most);
        (((start + length / 2).saturating_sub(wide / 2)).min(most - wide), wide)
    };
    let ((col, width), (row, height)) =
        (span(bounds.col, bounds.width, scene.width), span(bounds.row, bounds.height, scene.height));
    Window { col, row, width, height }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pictures_stay_in_the_scene_around_their_place() {
        let scene = Size::new(1000, 300);
        let place = |col, row, width, height| Window { col, row, width, height };
        assert_eq!(around(place(496, 96, 16, 16), scene), place(424, 24, 160, 160));
        assert_eq!(around(place(0, 290, 16, 10), scene), place(0, 140, 160, 160));
        assert_eq!(around(place(100, 0, 400, 300), scene), place(0, 0, 600, 300));
    }
}
