//! The bands of a STAC item's assets: `eo:bands` and `raster:bands` of STAC 1.0, `bands` of 1.1, at the asset or in the item's
//! properties; and which assets hold the bands that a job names.

use std::path::PathBuf;

use serde_json::Value;

use crate::scene::{Scaling, SceneInfo, Sensor, Spectrum, described, designation};

/// An asset that is to be read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Asset {
    /// The name by which it was requested.
    pub name: String,
    pub key: String,
    /// GDAL's name of the file.
    pub file: PathBuf,
    bands: Vec<ItemBand>,
    /// The bands are those of the whole item, and may be others than the file's.
    of_item: bool,
    sensor: Option<Sensor>,
    /// The item says that the offset is already in the pixels.
    offset_applied: bool,
}

/// An item's description of a band.
#[derive(Clone, Debug, Default, PartialEq)]
struct ItemBand {
    name: Option<String>,
    common_name: Option<String>,
    /// In micrometres.
    wavelength: Option<f64>,
    scaling: Option<Scaling>,
    nodata: Option<f64>,
}

/// An asset's key and the asset.
pub(super) type Entry<'a> = (&'a String, &'a Value);

impl Asset {
    /// An asset with its description in the item.
    pub(super) fn described(item: &Value, (key, asset): Entry<'_>, name: &str, file: PathBuf) -> Self {
        let properties = &item["properties"];
        let (bands, of_item) = bands(item, asset);
        let words = ["platform", "constellation", "instruments", "mission"].map(|key| properties[key].to_string());
        let sensor = words.iter().find_map(|text| Sensor::named_in(text));
        let sensor = sensor.or_else(|| Sensor::named_in(item["id"].as_str()?));
        // `earthsearch:boa_offset_applied`, and `sentinel:boa_offset_applied` of older items.
        let offset_applied = properties
            .as_object()
            .is_some_and(|all| all.iter().any(|(key, value)| key.ends_with(":boa_offset_applied") && value == true));
        Self { name: name.to_owned(), key: key.clone(), file, bands, of_item, sensor, offset_applied }
    }

    /// Adds the item's description of the bands to that of the file. Returns notes.
    pub(super) fn describe(&self, info: &mut SceneInfo) -> Vec<String> {
        let mut notes = Vec::new();
        let count = info.bands.len();
        let fits = self.bands.len() == count;
        if !fits && !self.bands.is_empty() && !self.of_item {
            notes.push(format!(
                "the item describes {} bands of asset {}, which has {count}: its band names are not used.",
                self.bands.len(),
                self.key
            ));
        }
        for (index, band) in info.bands.iter_mut().enumerate() {
            band.spectral.sensor = band.spectral.sensor.or(self.sensor);
            if let Some(said) = self.bands.get(index).filter(|_| fits) {
                band.spectral.names.extend(said.name.clone());
                band.spectral.common_name.clone_from(&said.common_name);
                band.spectral.wavelength = band.spectral.wavelength.or(said.wavelength);
                if let (Some(own), Some(said)) = (band.scaling, said.scaling)
                    && own != said
                    && !self.offset_applied
                {
                    notes.push(format!(
                        "{}: the item gives scale {} and offset {}, the file {} and {}: the values of the file are used.",
                        info.path.display(),
                        said.scale,
                        said.offset,
                        own.scale,
                        own.offset
                    ));
                }
                band.scaling = band.scaling.or(said.scaling);
                if let (Some(own), Some(said)) = (band.nodata, said.nodata)
                    && own != said
                {
                    notes.push(format!(
                        "{}: the item gives the nodata value {said}, the file {own}: that of the file is used.",
                        info.path.display()
                    ));
                }
                band.nodata = band.nodata.or(said.nodata);
            }
            if count == 1 && !band.spectral.names.contains(&self.key) {
                band.spectral.names.push(self.key.clone());
            }
            if self.offset_applied {
                band.scaling = band.scaling.map(|scaling| Scaling { offset: 0.0, ..scaling });
            }
            band.scaling = band.scaling.filter(|own| *own != Scaling { scale: 1.0, offset: 0.0 });
        }
        notes.dedup();
        notes
    }
}

/// The bands of an asset, and whether they are only known as the item's.
fn bands(item: &Value, asset: &Value) -> (Vec<ItemBand>, bool) {
    let properties = &item["properties"];
    let lists = |holder: &Value| {
        let list = ["bands", "eo:bands"].iter().find_map(|key| holder[key].as_array().filter(|list| !list.is_empty()));
        list.cloned()
    };
    let all = lists(properties).unwrap_or_default();
    let rasters = asset["raster:bands"].as_array().cloned().unwrap_or_default();
    let own = lists(asset);
    let (listed, of_item) = match own {
        Some(own) => (own, false),
        None if !rasters.is_empty() => (vec![Value::Null; rasters.len()], false),
        // Since 1.1 an asset of a single band may carry the band's fields itself.
        None if ["eo:common_name", "raster:scale", "raster:offset", "nodata"]
            .iter()
            .any(|key| !asset[key].is_null()) =>
        {
            (vec![Value::Null], false)
        }
        None => (all.clone(), true),
    };
    let several = listed.len() > 1;
    let found = listed.iter().enumerate().map(|(index, band)| {
        // Before STAC 1.0, assets gave indices into the item's list.
        let band = match band.as_u64().and_then(|place| all.get(usize::try_from(place).ok()?)) {
            Some(band) => band,
            None => band,
        };
        let name = band["name"].as_str();
        let same = all.iter().find(|other| name.is_some() && other["name"].as_str() == name).unwrap_or(&Value::Null);
        let raster = rasters.get(index).unwrap_or(&Value::Null);
        let holders = [band, same, raster, asset, properties];
        let text = |keys: &[&str]| keys.iter().find_map(|key| holders.iter().find_map(|holder| holder[key].as_str()));
        let number = |keys: &[&str]| {
            let number = keys.iter().find_map(|key| holders.iter().find_map(|holder| holder[key].as_f64()));
            number.filter(|number| number.is_finite())
        };
        // The name of an asset with several bands names none of them.
        let common = match several {
            true => [band, same]
                .iter()
                .find_map(|holder| ["eo:common_name", "common_name"].iter().find_map(|key| holder[key].as_str())),
            false => text(&["eo:common_name", "common_name"]),
        };
        // A nodata value of NaN is written as text, and needs no rule: what is no number is never data.
        let nodata = number(&["raster:nodata", "nodata"]);
        let (scale, offset) = (number(&["raster:scale", "scale"]), number(&["raster:offset", "offset"]));
        let scaling = Scaling { scale: scale.unwrap_or(1.0), offset: offset.unwrap_or(0.0) };
        ItemBand {
            name: name.map(str::to_owned),
            common_name: common.map(str::to_owned),
            wavelength: number(&["eo:center_wavelength", "center_wavelength"]).filter(|_| !several || !band.is_null()),
            scaling: (scale.or(offset).is_some() && scaling.scale != 0.0).then_some(scaling),
            nodata,
        }
    });
    (found.collect(), of_item)
}

/// The names of an asset's own bands; common names where they have no others.
pub(super) fn names(item: &Value, asset: &Value) -> Vec<String> {
    let (bands, of_item) = bands(item, asset);
    let named = bands.into_iter().filter(|_| !of_item).filter_map(|band| band.name.or(band.common_name));
    named.collect()
}

/// Whether an asset has exactly one band, of this name.
pub(super) fn is_only_band(item: &Value, asset: &Value, wanted: &str) -> bool {
    let (bands, of_item) = bands(item, asset);
    matches!(bands.as_slice(), [only] if !of_item && only.is_called(wanted))
}

impl ItemBand {
    fn is_called(&self, wanted: &str) -> bool {
        let names = || self.name.iter().chain(&self.common_name);
        if names().any(|name| name.eq_ignore_ascii_case(wanted)) {
            return true;
        }
        match designation(wanted) {
            Some(wanted) => names().filter_map(|name| designation(name)).any(|own| own.is_meant_by(&wanted)),
            None => self.shows().is_some() && self.shows() == described(wanted).part,
        }
    }

    fn shows(&self) -> Option<Spectrum> {
        let said = self.common_name.iter().chain(&self.name).find_map(|name| described(name).part);
        said.or_else(|| Spectrum::of_wavelength(self.wavelength?)).filter(|part| *part != Spectrum::Other)
    }
}

/// The assets that hold the bands a job names, each once, in their order; `None`: the item's default asset is read, for
/// colours where it has a visual asset, and where no asset is known to have such bands.
///
/// A band is an asset of its key, else the single band of an asset, else a band of an asset of several. Where assets hold the
/// same band, the finest is taken, and a TIFF before a JPEG 2000.
///
/// # Errors
/// The missing band, or several assets with equal claims to it.
pub(super) fn choose<'a>(
    item: &Value,
    assets: &[Entry<'a>],
    usual: Option<Entry<'a>>,
    wanted: &[String],
) -> Result<Option<Vec<Entry<'a>>>, String> {
    let colours = [Spectrum::Red, Spectrum::Green, Spectrum::Blue];
    let is_colour = |name: &String| described(name).part.is_some_and(|part| colours.contains(&part));
    if wanted.is_empty() || (usual.is_some() && wanted.iter().all(is_colour)) {
        return Ok(None);
    }
    let mut found: Vec<Entry<'a>> = Vec::new();
    let mut missing = None;
    for name in wanted {
        match holder(item, assets, name, wanted)? {
            Some(entry) if found.iter().any(|(key, _)| *key == entry.0) => {}
            Some(entry) => found.push(entry),
            None => missing = missing.or(Some(name)),
        }
    }
    match missing {
        None => Ok(Some(found)),
        // The file may describe what the item does not.
        Some(_) if usual.is_some() && found.iter().all(|(key, _)| usual.is_some_and(|usual| usual.0 == *key)) => {
            Ok(None)
        }
        Some(name) => Err(format!("or band {name:?}")),
    }
}

fn holder<'a>(item: &Value, assets: &[Entry<'a>], name: &str, wanted: &[String]) -> Result<Option<Entry<'a>>, String> {
    let asked = designation(name);
    let by_key =
        |key: &str| asked.as_ref().is_some_and(|asked| designation(key).is_some_and(|own| own.is_meant_by(asked)));
    let rank = |(key, asset): &Entry<'_>| {
        let (bands, of_item) = bands(item, asset);
        let level = if key.eq_ignore_ascii_case(name) {
            0
        } else if by_key(key) {
            1
        } else if of_item {
            return None;
        } else if is_only_band(item, asset, name) {
            2
        } else if wanted.iter().all(|name| bands.iter().any(|band| band.is_called(name))) {
            3
        } else if bands.iter().any(|band| band.is_called(name)) {
            4
        } else {
            return None;
        };
        let raster = asset["raster:bands"].get(0).unwrap_or(&Value::Null);
        let band = ["bands", "eo:bands"].iter().find_map(|list| asset[list].get(0)).unwrap_or(&Value::Null);
        let sizes = [&asset["gsd"], &asset["raster:spatial_resolution"], &band["gsd"], &raster["spatial_resolution"]];
        let size = sizes.into_iter().find_map(Value::as_f64).unwrap_or(f64::INFINITY);
        let is_tiff = asset["type"].as_str().is_some_and(|kind| kind.starts_with("image/tiff"));
        Some((level, size, !is_tiff))
    };
    let ranked: Vec<_> = assets.iter().filter_map(|entry| Some((rank(entry)?, *entry))).collect();
    let order =
        |a: &(i32, f64, bool), b: &(i32, f64, bool)| a.0.cmp(&b.0).then(a.1.total_cmp(&b.1)).then(a.2.cmp(&b.2));
    let Some((best, entry)) = ranked.iter().min_by(|(a, _), (b, _)| order(a, b)) else { return Ok(None) };
    let equal: Vec<&str> =
        ranked.iter().filter(|(rank, _)| order(rank, best).is_eq()).map(|(_, (key, _))| key.as_str()).collect();
    if equal.len() > 1 {
        return Err(format!("that alone has band {name:?} ({} do)", equal.join(", ")));
    }
    Ok(Some(*entry))
}

/// The assets of the red, green and blue band, where the item identifies them.
pub(super) fn colours<'a>(item: &Value, assets: &[Entry<'a>]) -> Option<[Entry<'a>; 3]> {
    let names = ["red", "green", "blue"].map(str::to_owned);
    let found = choose(item, assets, None, &names).ok().flatten()?;
    <[Entry<'a>; 3]>::try_from(found).ok()
}

#[cfg(test)]
mod tests {
    use super::super::test_scenes::{as_it_is, georeference, make};
    use super::super::{SceneReader, find, inspect};
    use super::*;
    use crate::geom::Size;
    use crate::scene::{Evidence, SceneRequest, sensor};

    const RGBN: &str = r#"[{"name":"B2","common_name":"blue","center_wavelength":0.49},{"name":"B3","common_name":"green"},
        {"name":"B4","common_name":"red"},{"name":"B8","common_name":"nir"}]"#;

    /// An item with these assets and properties, written beside its rasters.
    fn item(name: &str, properties: &str, assets: &str) -> String {
        crate::raster::init();
        let path = format!("/vsimem/items/{name}.json");
        let text = format!(r#"{{"type":"Feature","id":"{name}","properties":{properties},"assets":{assets}}}"#);
        gdal::vsi::create_mem_file(&path, text.into_bytes()).unwrap();
        path
    }

    /// A raster whose bands hold their numbers, times ten.
    fn raster(name: &str, bands: u16, dress: impl FnOnce(&mut gdal::Dataset)) {
        let planes: Vec<Vec<u16>> = (1..=bands).map(|band| vec![10 * band; 4]).collect();
        make(format!("/vsimem/items/{name}"), Size::new(2, 2), &planes, &[], |dataset| {
            dataset.set_projection(&georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
            dataset.set_geo_transform(&[0.0, 10.0, 0.0, 0.0, 0.0, -10.0]).unwrap();
            dress(dataset);
        });
    }

    fn scene(path: &str, bands: &[&str]) -> crate::error::Result<SceneInfo> {
        let bands = bands.iter().map(|name| (*name).to_owned()).collect();
        find(&SceneRequest { bands, ..SceneRequest::file(path) }).map(|found| found.into_iter().next().unwrap())
    }

    /// What each band of a scene shows.
    fn shown(info: &SceneInfo) -> Vec<Option<(Evidence, Spectrum)>> {
        let sensor = sensor(&info.bands);
        info.bands.iter().map(|band| band.claims(sensor).first().copied()).collect()
    }

    #[test]
    fn multiband_assets_get_names_from_the_item() {
        raster("four.tif", 4, |_| {});
        let by_item = [Spectrum::Blue, Spectrum::Green, Spectrum::Red, Spectrum::Nir]
            .map(|part| Some((Evidence::Catalogue, part)));
        let new = r#"[{"name":"B2","eo:common_name":"blue"},{"name":"B3","eo:common_name":"green"},{"name":"B4","eo:common_name":"red"},{"name":"B8","eo:common_name":"nir"}]"#;
        let named = r#"[{"name":"B2"},{"name":"B3"},{"name":"B4"},{"name":"B8"}]"#;
        let image = r#""href":"four.tif","type":"image/tiff""#;
        let cases = [
            ("eo-bands of the asset, 1.0", "{}".to_owned(), format!(r#"{{"data":{{{image},"eo:bands":{RGBN}}}}}"#)),
            ("bands of the asset, 1.1", "{}".to_owned(), format!(r#"{{"data":{{{image},"bands":{new}}}}}"#)),
            ("eo-bands of the properties", format!(r#"{{"eo:bands":{RGBN}}}"#), format!(r#"{{"data":{{{image}}}}}"#)),
            ("bands of the properties, 1.1", format!(r#"{{"bands":{new}}}"#), format!(r#"{{"data":{{{image}}}}}"#)),
            (
                "names at the asset, the rest in the properties",
                format!(r#"{{"bands":{new}}}"#),
                format!(r#"{{"data":{{{image},"bands":{named}}}}}"#),
            ),
            (
                "places in the item's list, before 1.0",
                format!(r#"{{"eo:bands":{RGBN}}}"#),
                format!(r#"{{"data":{{{image},"eo:bands":[0,1,2,3]}}}}"#),
            ),
        ];
        for (number, (what, properties, assets)) in cases.iter().enumerate() {
            let info = scene(&item(&format!("multi{number}"), properties, assets), &[]).unwrap();
            assert_eq!(shown(&info), by_item, "{what}");
            assert_eq!(info.bands[2].spectral.names, ["B4"], "{what}");
            assert_eq!(info.access.notes, [""; 0], "{what}");
        }
        // The names of bands that the file does not have are not put on others.
        let info = scene(&item("less", "{}", &format!(r#"{{"data":{{{image},"eo:bands":[{{"name":"B4"}}]}}}}"#)), &[])
            .unwrap();
        assert_eq!(shown(&info), [None; 4]);
        assert!(
            info.access.notes[0].contains("describes 1 bands of asset data, which has 4"),
            "{:?}",
            info.access.notes
        );
        let info = scene(
            &item(
                "union",
                &format!(r#"{{"bands":{new}}}"#).replace("},{\"name\":\"B8\",\"eo:common_name\":\"nir\"", ""),
                &format!(r#"{{"data":{{{image}}}}}"#),
            ),
            &[],
        )
        .unwrap();
        assert_eq!((shown(&info), info.access.notes), (vec![None; 4], Vec::new()));
    }

    fn single(name: &str, key: &str, more: &str) -> String {
        format!(r#""{key}":{{"href":"{name}.tif","type":"image/tiff"{more}}}"#)
    }

    #[test]
    fn bands_of_a_job_select_assets() {
        for (number, name) in (1u16..).zip(["b02", "b03", "b04", "b8a"]) {
            make(format!("/vsimem/items/{name}.tif"), Size::new(2, 2), &[vec![number; 4]], &[], |dataset| {
                dataset.set_projection(&georeference([0.0; 6], 32632).crs_wkt.unwrap()).unwrap();
                dataset.set_geo_transform(&[0.0, 10.0, 0.0, 0.0, 0.0, -10.0]).unwrap();
            });
        }
        raster("tci.tif", 3, |_| {});
        let eo = |name: &str, common: &str| format!(r#","eo:bands":[{{"name":"{name}","common_name":"{common}"}}]"#);
        let visual = r#","tci":{"href":"tci.tif","type":"image/tiff","roles":["visual"]}"#;
        let by_key = [
            single("b02", "B02", &eo("B02", "blue")),
            single("b03", "B03", &eo("B03", "green")),
            single("b04", "B04", &eo("B04", "red")),
            single("b8a", "B8A", &eo("B8A", "nir08")),
        ]
        .join(",");
        // As Earth Search names them: by colour, and each a second time as JPEG 2000.
        let by_colour = [
            single("b02", "blue", &eo("B02", "blue")),
            single("b03", "green", &eo("B03", "green")),
            single("b04", "red", &eo("B04", "red")),
            single("b8a", "nir08", &eo("B8A", "nir08")),
            single("none", "red-jp2", &eo("B04", "red")).replace("image/tiff", "image/jp2"),
        ]
        .join(",");
        // As STAC 1.1 has them, and the same band in two sizes.
        let new = [
            single("none", "B04_20m", r#","gsd":20,"bands":[{"name":"B04","eo:common_name":"red"}]"#),
            single("b04", "B04_10m", r#","gsd":10,"bands":[{"name":"B04","eo:common_name":"red"}]"#),
            single("b03", "B03_10m", r#","gsd":10,"bands":[{"name":"B03","eo:common_name":"green"}]"#),
            single("b02", "B02_10m", r#","gsd":10,"eo:common_name":"blue""#),
            single("b8a", "B8A_20m", r#","gsd":20,"bands":[{"name":"B8A","eo:common_name":"nir08"}]"#),
        ]
        .join(",");
        let pixels = |info: &SceneInfo| {
            let count = info.bands.len();
            let bands = [1, count.min(2), count];
            SceneReader::open(info, bands, &as_it_is()).unwrap().read(info.size.window()).unwrap().rgb
        };
        let values = |info: &SceneInfo| [0, 4, 8].map(|at| pixels(info)[at]);
        for (number, assets) in [&by_key, &by_colour, &new].into_iter().enumerate() {
            let path = item(&format!("single{number}"), "{}", &format!("{{{assets}{visual}}}"));
            for wanted in [["B04", "B03", "B02"], ["b4", "B3", "b02"]] {
                let info = scene(&path, &wanted).unwrap();
                assert_eq!(values(&info), [3.0, 2.0, 1.0], "{number} {wanted:?}");
                assert_eq!(
                    shown(&info).iter().flatten().map(|(_, part)| part.name()).collect::<Vec<_>>(),
                    ["red", "green", "blue"]
                );
            }
            assert_eq!(values(&scene(&path, &["nir08", "red", "green"]).unwrap()), [4.0, 3.0, 2.0], "{number}");
            assert_eq!(values(&scene(&path, &["nir", "B04", "green"]).unwrap()), [4.0, 3.0, 2.0], "{number}");
            assert_eq!(scene(&path, &["B8A", "b8a", "B8A"]).unwrap().bands.len(), 1);
            // Colours, or no names at all, select the visual asset.
            assert_eq!(scene(&path, &["red", "green", "blue"]).unwrap().bands.len(), 3);
            assert_eq!(values(&scene(&path, &[]).unwrap()), [10.0, 20.0, 30.0]);
            let error = scene(&path, &["B04", "B03", "B05"]).unwrap_err();
            assert!(error.to_string().contains("has no asset or band \"B05\""), "{error}");
            assert!(error.hint().unwrap().contains("B04"), "{error:?}");
            // Without a visual asset the three colours are used, with a note.
            let bare = item(&format!("bare{number}"), "{}", &format!("{{{assets}}}"));
            let info = scene(&bare, &[]).unwrap();
            assert_eq!(values(&info), [3.0, 2.0, 1.0]);
            assert!(info.access.notes[0].contains("are read as red, green and blue"), "{:?}", info.access.notes);
        }
        let twice = [single("b04", "a", &eo("B04", "red")), single("b04", "b", &eo("B04", "red"))].join(",");
        let error = scene(&item("twice", "{}", &format!("{{{twice}}}")), &["B04"]).unwrap_err();
        assert!(error.to_string().contains("alone has band \"B04\" (a, b do)"), "{error}");
    }

    #[test]
    fn nodata_of_the_item_counts_where_the_file_has_none() {
        raster("bare.tif", 1, |_| {});
        raster("own.tif", 1, |dataset| dataset.rasterband(1).unwrap().set_no_data_value(Some(7.0)).unwrap());
        let of = |name: &str, file: &str, more: &str| {
            let path = item(name, "{}", &format!(r#"{{"data":{{"href":"{file}.tif","type":"image/tiff"{more}}}}}"#));
            let info = scene(&path, &[]).unwrap();
            let tile = SceneReader::open(&info, [1, 1, 1], &as_it_is()).unwrap().read(info.size.window()).unwrap();
            (info.bands[0].nodata, tile.valid.map(|valid| valid.contains(&true)), info.access.notes)
        };
        let old = r#","raster:bands":[{"nodata":10}]"#;
        let new = r#","bands":[{"name":"B04","nodata":10}]"#;
        let asset = r#","nodata":10"#;
        for (number, more) in [old, new, asset].into_iter().enumerate() {
            // All pixels of the raster are 10.
            assert_eq!(of(&format!("n{number}"), "bare", more), (Some(10.0), Some(false), Vec::new()), "{more}");
        }
        let (nodata, invalid, notes) = of("n3", "own", old);
        assert_eq!((nodata, invalid), (Some(7.0), None));
        assert!(notes[0].contains("that of the file is used"), "{notes:?}");
        assert_eq!(of("n4", "bare", r#","raster:bands":[{"nodata":"nan"}]"#).0, None);
    }

    #[test]
    fn scale_and_offset_of_the_item_apply_once() {
        raster("plain.tif", 1, |_| {});
        raster("scaled.tif", 1, |dataset| dataset.rasterband(1).unwrap().set_scale(0.5).unwrap());
        let of = |name: &str, properties: &str, file: &str, more: &str| {
            let path =
                item(name, properties, &format!(r#"{{"data":{{"href":"{file}.tif","type":"image/tiff"{more}}}}}"#));
            let info = scene(&path, &[]).unwrap();
            (info.bands[0].scaling.map(|scaling| (scaling.scale, scaling.offset)), info.access.notes)
        };
        let old = r#","raster:bands":[{"nodata":0,"scale":0.0001,"offset":-0.1}]"#;
        let new = r#","bands":[{"name":"B04","raster:scale":0.0001,"raster:offset":-0.1}]"#;
        let asset = r#","raster:scale":0.0001,"raster:offset":-0.1"#;
        for (number, more) in [old, new, asset].into_iter().enumerate() {
            assert_eq!(of(&format!("s{number}"), "{}", "plain", more), (Some((0.0001, -0.1)), Vec::new()), "{more}");
            for key in ["earthsearch:boa_offset_applied", "sentinel:boa_offset_applied"] {
                let claim = |applied: bool| format!(r#"{{"{key}":{applied}}}"#);
                assert_eq!(of(&format!("t{number}"), &claim(true), "plain", more).0, Some((0.0001, 0.0)), "{more}");
                assert_eq!(of(&format!("u{number}"), &claim(false), "plain", more).0, Some((0.0001, -0.1)), "{more}");
            }
        }
        assert_eq!(of("none", "{}", "plain", r#","raster:bands":[{"nodata":0}]"#), (None, Vec::new()));
        assert_eq!(of("ones", "{}", "plain", r#","raster:bands":[{"scale":1,"offset":0}]"#).0, None);
        assert_eq!(of("zero", "{}", "plain", r#","raster:bands":[{"scale":0,"offset":0}]"#).0, None);
        let (scaling, notes) = of("both", "{}", "scaled", old);
        assert_eq!(scaling, Some((0.5, 0.0)));
        assert!(notes[0].contains("the values of the file are used"), "{notes:?}");
        assert!(inspect("/vsimem/items/scaled.tif").unwrap().bands[0].scaling.is_some());
    }
}
