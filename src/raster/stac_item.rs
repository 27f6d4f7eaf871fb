//! A STAC item: which of its assets are to be read.

use std::path::Path;

use serde_json::Value;

use super::stac_bands::{self, Asset};
use crate::error::{Error, Result};
use crate::location::resolve_link;

/// The default asset where the job names none: a key and a role that publishers use for true colour.
const VISUAL: &str = "visual";

/// Which of an item's files a job selects.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice<'a> {
    /// Assets by key, role or colour.
    pub assets: &'a [String],
    /// Bands by name: they select assets where none are named.
    pub bands: &'a [String],
}

/// The files of one acquisition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub id: String,
    /// In the requested order.
    pub assets: Vec<Asset>,
    /// Notes on the selection.
    pub notes: Vec<String>,
}

/// The selected files of an item; `name` is the document that contains it.
pub(super) fn item(feature: &Value, name: &Path, choice: Choice<'_>) -> Result<Item> {
    let Choice { assets: wanted, bands } = choice;
    let id = feature["id"].as_str().unwrap_or("item").to_owned();
    let Some(all) = feature["assets"].as_object() else {
        return Err(Error::input(format!("item {id} of {} has no assets", name.display())));
    };
    let missing = |what: &str| {
        let listed = all
            .iter()
            .map(|(key, asset)| {
                let mut listed = key.clone();
                let (roles, bands) = (roles(asset).collect::<Vec<_>>().join(", "), stac_bands::names(feature, asset));
                if !roles.is_empty() {
                    listed += &format!(" ({roles})");
                }
                if !bands.is_empty() {
                    listed += &format!(" with {}", bands.join(" "));
                }
                listed
            })
            .collect::<Vec<_>>();
        Error::input(format!("item {id} of {} has no asset {what}", name.display()))
            .with_hint(format!("Choose with `assets:` from {}.", listed.join(", ")))
    };
    let find = |wanted: &str| {
        all.iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(wanted))
            .or_else(|| all.iter().find(|(_, asset)| roles(asset).any(|role| role.eq_ignore_ascii_case(wanted))))
            .or_else(|| all.iter().find(|(_, asset)| stac_bands::is_only_band(feature, asset, wanted)))
    };
    let mut notes = Vec::new();
    let images = || all.iter().filter(|(_, asset)| is_image(asset)).collect::<Vec<_>>();
    let chosen: Vec<(&str, &String, &Value)> = if wanted.is_empty() {
        let by_default = find(VISUAL).or(match images().as_slice() {
            [only] => Some(*only),
            _ => None,
        });
        let by_band = match stac_bands::choose(feature, &images(), by_default, bands) {
            Ok(found) => found,
            Err(what) => return Err(missing(&what)),
        };
        match (by_band, by_default) {
            (Some(found), _) => found.into_iter().map(|(key, asset)| (key.as_str(), key, asset)).collect(),
            (None, Some((key, asset))) => vec![(key.as_str(), key, asset)],
            (None, None) => {
                let found = stac_bands::colours(feature, &images());
                let found = found
                    .ok_or_else(|| missing(&format!("or role {VISUAL:?}, and more than one that could be meant")))?;
                let keys: Vec<&str> = found.iter().map(|(key, _)| key.as_str()).collect();
                notes.push(format!(
                    "item {id} of {} has no asset or role {VISUAL:?}: its assets {} are read as red, green and blue.",
                    name.display(),
                    keys.join(", ")
                ));
                found.into_iter().map(|(key, asset)| (key.as_str(), key, asset)).collect()
            }
        }
    } else {
        let one = |name: &String| find(name).ok_or_else(|| missing(&format!("or role {name:?}")));
        let found = wanted.iter().map(|name| one(name).map(|(key, asset)| (name.as_str(), key, asset)));
        found.collect::<Result<_>>()?
    };
    let assets = chosen.into_iter().map(|(asset_name, key, asset)| {
        let href = asset["href"].as_str().ok_or_else(|| missing(&format!("{key:?} with an address (href)")))?;
        let file = resolve_link(name, href).gdal_name();
        Ok(Asset::described(feature, (key, asset), asset_name, file))
    });
    Ok(Item { assets: assets.collect::<Result<_>>()?, id, notes })
}

fn roles(asset: &Value) -> impl Iterator<Item = &str> {
    asset["roles"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether an asset is an image of the ground, by its media type and roles.
fn is_image(asset: &Value) -> bool {
    let side = ["thumbnail", "overview", "metadata"];
    let media = asset["type"].as_str().unwrap_or_default();
    let raster = ["image/tiff", "image/jp2", "image/vnd.stac.geotiff"].iter().any(|kind| media.starts_with(kind));
    raster && !roles(asset).any(|role| side.contains(&role))
}
