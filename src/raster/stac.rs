//! STAC: which files of a catalogue, a search or an item are to be read.

use std::path::Path;

use super::json;
use super::stac_item::Choice;
use super::stac_links::{self, Found, MAX_BYTES};
use crate::error::Result;
use crate::location::{is_raster_name, is_remote};

/// The items of a file: an item, an item collection or a search with all its pages, a collection, a catalog. `None`: it
/// is not a STAC document.
///
/// # Errors
/// It cannot be read, has no items or too many, or an item lacks the assets.
pub(super) fn items(name: &Path, choice: Choice<'_>) -> Result<Option<Found>> {
    if !may_be_stac(name) {
        return Ok(None);
    }
    match json::read(name, MAX_BYTES)? {
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

#[cfg(test)]
mod tests {
    use super::super::stac_item::Item;
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
    fn assets_are_found_by_key_role_and_colour() {
        let visual = read("/vsimem/stac/a.json", ITEM, &[]).unwrap().unwrap();
        assert_eq!(files(&visual), ["tci /vsicurl/https://x.org/TCI.tif?sig=a"]);
        assert_eq!(visual[0].id, "S2A_T32");
        let bands = read("/vsimem/stac/b.json", ITEM, &["red", "b03"]).unwrap().unwrap();
        assert_eq!(files(&bands), ["red /vsimem/stac/./B04.tif", "b03 /vsis3/bucket/B03.tif"]);
        let error = read("/vsimem/stac/c.json", ITEM, &["nir"]).unwrap_err();
        assert!(error.to_string().contains("S2A_T32") && error.hint().unwrap().contains("tci (visual)"), "{error}");
    }

    #[test]
    fn item_collections_are_read_and_other_json_ignored() {
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
