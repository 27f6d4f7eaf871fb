//! STAC items and item collections: which files of an acquisition are to be read.

use std::path::Path;

use serde_json::Value;

use super::stac_bands::{self, Asset};
use super::{remote, stac_links};
use crate::error::{Error, Result};
use crate::location::{beside, is_raster_name, is_remote};

/// A page of a catalogue has some hundred items of some 20 kB.
pub(super) const MAX_BYTES: usize = 64 << 20;

/// What is to be looked at where the job names no assets: a key and a role that publishers use for it.
const VISUAL: &str = "visual";

/// Which of an item's files a job wants.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Choice<'a> {
    /// Assets by key, role or colour.
    pub assets: &'a [String],
    /// Bands by name: they choose assets where none are named.
    pub bands: &'a [String],
}

/// The files of one acquisition.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Item {
    pub id: String,
    /// In the order asked for.
    pub assets: Vec<Asset>,
    /// What should be said of the choice.
    pub notes: Vec<String>,
}

/// What a document of STAC's leads to.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Found {
    pub items: Vec<Item>,
    /// What is to be said of it.
    pub note: Option<String>,
}

/// The items of a file: an item, an item collection or a search with all its pages, a collection, a catalog. `None` where it
/// is none of STAC's.
///
/// # Errors
/// It cannot be read, leads nowhere or to too many items, or an item lacks the assets.
pub(super) fn items(name: &Path, choice: Choice<'_>) -> Result<Option<Found>> {
    if !may_be_stac(name) {
        return Ok(None);
    }
    match remote::read_json(name, MAX_BYTES)? {
        Some(json) if stac_links::is_stac(&json) => stac_links::follow(name, json, choice).map(Some),
        _ => Ok(None),
    }
}

fn may_be_stac(name: &Path) -> bool {
    let text = name.to_string_lossy().to_lowercase();
    let path = text.split('?').next().unwrap_or_default();
    let of_api = || ["/items", "/search", "/collections/"].iter().any(|part| path.contains(part));
    path.ends_with(".json")
        || path.ends_with(".geojson")
        || (is_remote(name) && of_api() && !is_raster_name(Path::new(path)))
}

/// The files of an item; `name` is the document in which it stands.
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
                let found =
                    found.ok_or_else(|| missing(&format!("or role {VISUAL:?}, and more than one that could do")))?;
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
        let file = beside(name, href).gdal_name();
        Ok(Asset::described(feature, (key, asset), asset_name, file))
    });
    Ok(Item { assets: assets.collect::<Result<_>>()?, id, notes })
}

fn roles(asset: &Value) -> impl Iterator<Item = &str> {
    asset["roles"].as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// Whether an asset is a picture of the ground, by its media type and roles.
fn is_image(asset: &Value) -> bool {
    let side = ["thumbnail", "overview", "metadata"];
    let media = asset["type"].as_str().unwrap_or_default();
    let raster = ["image/tiff", "image/jp2", "image/vnd.stac.geotiff"].iter().any(|kind| media.starts_with(kind));
    raster && !roles(asset).any(|role| side.contains(&role))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ITEM: &str = r#"{"type":"Feature","stac_version":"1.0.0","id":"S2A_T32","assets":{
        "B04":{"href":"./B04.tif","type":"image/tiff; application=geotiff","roles":["data"],"eo:bands":[{"name":"B04","common_name":"red"}]},
        "B03":{"href":"s3://bucket/B03.tif","type":"image/tiff","eo:bands":[{"common_name":"green"}]},
        "tci":{"href":"https://x.org/TCI.tif?sig=a","roles":["visual"],"eo:bands":[{"common_name":"red"},{"common_name":"green"}]},
        "thumbnail":{"href":"t.png","roles":["thumbnail"]}}}"#;

    fn read(name: &str, text: &str, assets: &[&str]) -> Result<Option<Vec<Item>>> {
        crate::raster::init();
        gdal::vsi::create_mem_file(name, text.as_bytes().to_vec()).unwrap();
        let assets: Vec<String> = assets.iter().map(|asset| (*asset).to_owned()).collect();
        Ok(items(Path::new(name), Choice { assets: &assets, bands: &[] })?.map(|found| found.items))
    }

    fn files(items: &[Item]) -> Vec<String> {
        items
            .iter()
            .flat_map(|item| &item.assets)
            .map(|asset| format!("{} {}", asset.name, asset.file.display()))
            .collect()
    }

    #[test]
    fn assets_go_by_key_role_and_colour() {
        let visual = read("/vsimem/stac/a.json", ITEM, &[]).unwrap().unwrap();
        assert_eq!(files(&visual), ["tci /vsicurl/https://x.org/TCI.tif?sig=a"]);
        assert_eq!(visual[0].id, "S2A_T32");
        let bands = read("/vsimem/stac/b.json", ITEM, &["red", "b03"]).unwrap().unwrap();
        assert_eq!(files(&bands), ["red /vsimem/stac/./B04.tif", "b03 /vsis3/bucket/B03.tif"]);
        let error = read("/vsimem/stac/c.json", ITEM, &["nir"]).unwrap_err();
        assert!(error.to_string().contains("S2A_T32") && error.hint().unwrap().contains("tci (visual)"), "{error}");
    }

    #[test]
    fn collections_have_many_items_and_other_json_is_left_alone() {
        let other = ITEM.replace("S2A_T32", "S2A_T33");
        let collection = format!(r#"{{"type":"FeatureCollection","features":[{ITEM},{other}]}}"#);
        assert_eq!(read("/vsimem/stac/d.json", &collection, &[]).unwrap().unwrap().len(), 2);
        for other in
            ["{}", "[", r#"{"type":"FeatureCollection","features":[]}"#, r#"{"type":"Feature","geometry":null}"#]
        {
            assert_eq!(read("/vsimem/stac/e.json", other, &[]).unwrap(), None);
        }
        assert_eq!(items(Path::new("/data/a.tif"), Choice::default()).unwrap(), None);
        let one = r#"{"type":"Feature","id":"x","assets":{"image":{"href":"/d/i.tif","type":"image/tiff"},"m":{"href":"m.xml"}}}"#;
        assert_eq!(files(&read("/vsimem/stac/f.json", one, &[]).unwrap().unwrap()), ["image /d/i.tif"]);
        let two = one.replace("\"m\":{\"href\":\"m.xml\"}", "\"other\":{\"href\":\"o.tif\",\"type\":\"image/tiff\"}");
        assert!(read("/vsimem/stac/g.json", &two, &[]).unwrap_err().to_string().contains("more than one"));
    }
}
