use std::fmt::Write as _;
use std::path::Path;

use segearth::error::Result;
use segearth::geom::Window;
use segearth::location::{Location, is_remote};
use segearth::raster::{self, BurntVector, FieldCode, SceneReader, VectorSource};
use segearth::scene::{AreaRequest, Resolution, SceneInfo, SceneRequest, StretchMethod, StretchPlan};
use serde_json::Value;

use super::{Folder, refused};

/// Tiles that are laid out at most.
const TILES: usize = 4;
/// Pixels of a scene that are still read.
const READ: usize = 1 << 22;

/// Where things lie on the earth, as a JSON object, in which any key may be left out:
/// `location` (a spelling), `tiles` (objects with `size`, `transform`, `crs`, `nodata`), `mosaic`, `item` (of STAC; the tiles
/// are `0.vrt`, `1.vrt` … beside it) with `assets`, `metres` or `units` (a resolution), `area` (GeoJSON with `class` fields)
/// or `bounds` and `crs` (an area of interest).
pub fn place(data: &[u8]) {
    let Ok(input) = serde_json::from_slice::<Value>(data) else { return };
    if let Some(spelled) = input["location"].as_str() {
        let location = Location::read(spelled, Path::new("base"));
        is_remote(&location.gdal_name());
        location.file();
    }
    let parts = ["tiles", "item", "area", "crs"];
    if parts.iter().any(|part| reaches_out(&input[*part])) {
        return;
    }
    let folder = Folder::new();
    let tiles: Vec<_> = input["tiles"].as_array().into_iter().flatten().take(TILES).enumerate().collect();
    let files =
        tiles.iter().map(|(index, tile)| folder.write(&format!("{index}.vrt"), virtual_raster(tile).as_bytes()));
    let mut files: Vec<_> = files.collect();
    if input["item"].is_object() {
        files = vec![folder.write("item.json", input["item"].to_string().as_bytes())];
    }
    let area = match (&input["area"], &input["bounds"]) {
        (Value::Object(_), _) => {
            let path = folder.write("area.geojson", input["area"].to_string().as_bytes());
            Some(AreaRequest::File { path, layer: None })
        }
        (_, Value::Array(_)) => {
            let crs = input["crs"].as_str().unwrap_or("EPSG:4326").to_owned();
            Some(AreaRequest::Bounds { bounds: numbers(&input["bounds"]), crs })
        }
        _ => None,
    };
    let resolution = match (input["metres"].as_f64(), input["units"].as_f64()) {
        (Some(side), _) => Some(Resolution::Metres(side)),
        (_, Some(side)) => Some(Resolution::CrsUnits(side)),
        _ => None,
    };
    // What the job's own reader lets through.
    let resolution = resolution.filter(|resolution| {
        let (Resolution::Metres(side) | Resolution::CrsUnits(side)) = resolution else { return true };
        *side > 0.0
    });
    let assets = input["assets"].as_array().into_iter().flatten().filter_map(|name| name.as_str().map(str::to_owned));
    let assets = assets.collect();
    let mosaic = input["mosaic"] == true;
    let request = SceneRequest { files, mosaic, assets, resolution, area, ..SceneRequest::default() };
    if request.files.is_empty() {
        return;
    }
    match raster::find(&request) {
        Ok(scenes) => scenes.iter().for_each(|scene| look(scene, &request).unwrap_or_else(|error| refused(&error))),
        Err(error) => refused(&error),
    }
    raster::take_warnings();
}

/// Reads a corner of the scene, and burns the area into it.
fn look(scene: &SceneInfo, request: &SceneRequest) -> Result<()> {
    let (size, (native, _)) = (scene.size, scene.native());
    let window =
        Window { col: size.width / 2, row: 0, width: size.width.div_ceil(2).min(9), height: size.height.min(7) };
    if native.width.saturating_mul(native.height) <= READ {
        let stretch = StretchPlan { method: StretchMethod::None, joint: false, gamma: 1.0 };
        let tile = SceneReader::open(scene, [1; 3], &stretch)?.read(window)?;
        assert_eq!(tile.rgb.len(), 3 * window.size().pixels());
        assert!(tile.rgb.iter().all(|value| (0.0..=255.0).contains(value)), "values are brought to 0..=255");
    }
    if let Some(AreaRequest::File { path, .. }) = &request.area {
        let mut number = |code: Option<FieldCode>| Ok(if let Some(FieldCode::Value(_)) = code { 1 } else { 2 });
        let burnt = BurntVector::open(path, &VectorSource::default(), scene, 0, &mut number)?.read(window)?;
        assert_eq!(burnt.len(), window.size().pixels());
    }
    Ok(())
}

/// Whether a text in it may have GDAL ask a server, or open what is not the input's.
fn reaches_out(value: &Value) -> bool {
    match value {
        Value::String(text) => {
            ["://", "/vsi", "..", "<"].iter().any(|sign| text.contains(sign)) || text.starts_with('/')
        }
        Value::Array(values) => values.iter().any(reaches_out),
        Value::Object(fields) => fields.iter().any(|(key, value)| {
            let named = key == "href" && value.as_str().is_some_and(|text| text.contains(':'));
            named || reaches_out(value)
        }),
        _ => false,
    }
}

fn numbers<const N: usize>(value: &Value) -> [f64; N] {
    std::array::from_fn(|index| value[index].as_f64().unwrap_or_default())
}

/// A raster of zeros that is no larger than its header, whatever size it claims.
fn virtual_raster(tile: &Value) -> String {
    let side = |index: usize| tile["size"][index].as_u64().unwrap_or(8);
    let mut text = format!("<VRTDataset rasterXSize=\"{}\" rasterYSize=\"{}\">", side(0), side(1));
    if let Some(crs) = tile["crs"].as_str() {
        let _ = write!(text, "<SRS>{}</SRS>", crs.replace('&', "&amp;").replace('<', "&lt;"));
    }
    if tile["transform"].is_array() {
        let transform: [f64; 6] = numbers(&tile["transform"]);
        let _ = write!(text, "<GeoTransform>{}</GeoTransform>", transform.map(|value| format!("{value:?}")).join(","));
    }
    text += "<VRTRasterBand dataType=\"Float32\" band=\"1\">";
    if let Some(value) = tile["nodata"].as_f64() {
        let _ = write!(text, "<NoDataValue>{value:?}</NoDataValue>");
    }
    text + "</VRTRasterBand></VRTDataset>"
}
