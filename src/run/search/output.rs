//! Places that were found as polygons in a vector file, and as lines of a summary.

use std::path::Path;
use std::sync::Arc;

use super::hits::Hit;
use crate::crs;
use crate::embeddings::{SceneCard, SceneStore};
use crate::error::{Error, Result};
use crate::geom::{GeoTransform, Size};
use crate::raster;
use crate::report::FoundPlace;
use crate::vector::{Field, FieldKind, OutlinePlace, PlacedOutline, Value, outline_area, text, write_outlines};

/// Where the pixels of a scene lie, as the model saw them.
pub fn place(card: &SceneCard) -> OutlinePlace {
    let transform = card.transform.map_or(GeoTransform::IDENTITY, |coefficients| GeoTransform { coefficients });
    OutlinePlace {
        ground: crs::pixel_ground(card.crs.as_deref(), transform, Size::new(card.width, card.height)),
        crs_wkt: card.crs.as_deref().map(Arc::from),
    }
}

/// Writes places with the fields `rank` (from 1), `score`, `mean`, `area_m2` (`area_px` without a CRS), `patches`, `scene` and `path`.
///
/// # Errors
/// As [`write_outlines`].
pub fn write(path: &Path, hits: &[Hit], scenes: &[SceneStore]) -> Result<()> {
    // Scenes without a place decide nothing; without any place, the first one gives the CRS.
    let mut used: Vec<usize> = hits.iter().map(|hit| hit.scene).collect();
    used.sort_unstable();
    used.dedup();
    if used.is_empty() && !scenes.is_empty() {
        used.push(0);
    }
    let cards: Vec<&SceneCard> = used.iter().filter_map(|at| scenes.get(*at)).map(SceneStore::card).collect();
    let places: Vec<OutlinePlace> = cards.iter().map(|card| place(card)).collect();
    let area = match cards.iter().all(|card| card.crs.is_some()) {
        true => Field::new("area_m2", "area_m2", FieldKind::Real),
        false => Field::new("area_px", "area_px", FieldKind::Real),
    };
    let fields = [
        Field::new("rank", "rank", FieldKind::Integer),
        Field::new("score", "score", FieldKind::Real),
        Field::new("mean", "mean", FieldKind::Real),
        area,
        Field::new("patches", "patches", FieldKind::Integer),
        Field::new("scene", "scene", FieldKind::Text),
        Field::new("path", "path", FieldKind::Text),
    ];
    let mut outlines = Vec::with_capacity(hits.len());
    for (rank, hit) in (1..).zip(hits) {
        let at = used.binary_search(&hit.scene).ok();
        let known = at.and_then(|at| Some((at, cards.get(at)?, places.get(at)?)));
        let (at, card, place) = known.ok_or_else(|| Error::internal("a place has an unknown scene"))?;
        outlines.push(PlacedOutline {
            place: at,
            polygon: hit.polygon.clone(),
            values: vec![
                Value::Integer(rank),
                Value::Real(rounded(hit.score)),
                Value::Real(rounded(hit.mean)),
                Value::Real((outline_area(&hit.polygon, place) * 1e3).round() / 1e3),
                Value::Integer(hit.patches as i64),
                text(&card.name),
                text(&card.path),
            ],
        });
    }
    write_outlines(path, &fields, &places, outlines)
}

fn rounded(score: f32) -> f64 {
    (f64::from(score) * 1e6).round() / 1e6
}

/// A place in the summary.
pub fn listed(hit: &Hit, scenes: &[SceneStore]) -> FoundPlace {
    let Some(card) = scenes.get(hit.scene).map(SceneStore::card) else { return FoundPlace::default() };
    let place = place(card);
    let area = outline_area(&hit.polygon, &place);
    let (col, row) = (hit.bounds.col as f64, hit.bounds.row as f64);
    let middle = [col + hit.bounds.width as f64 / 2.0, row + hit.bounds.height as f64 / 2.0];
    let at = place.ground.transform.to_world(middle[0], middle[1]);
    let degrees = raster::georeference_of(card.transform, card.crs.as_deref());
    let decimals = if degrees.ok().flatten().is_some_and(|place| place.geographic) { 6 } else { 1 };
    FoundPlace {
        score: hit.score,
        mean: hit.mean,
        area: card.crs.is_some().then_some(area),
        pixels: area,
        at: format!("{:.decimals$}, {:.decimals$}", at.x, at.y),
        scene: card.name.clone(),
    }
}
