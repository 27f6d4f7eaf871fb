//! What a job asks of its scenes: which files, as one or several, at which resolution, which part of them.

use std::path::PathBuf;

use super::fault::Faults;
use super::masks;
use super::spec::{AreaForm, AreaKeys, OneOrMany, ResolutionForm, Spec};
use super::words::quoted;
use crate::location::Location;
use crate::scene::{AreaRequest, Resolution, SceneRequest};

/// Files of one job; a pattern that matches more was hardly meant.
const MAX_FILES: usize = 100_000;

/// The CRS of bounds that name none.
const DEGREES: &str = "EPSG:4326";

/// One request for each scene, or one for the mosaic of all. Local files must exist.
pub(super) fn requests(spec: &Spec, faults: &mut Faults<'_>) -> Vec<SceneRequest> {
    let files = files(spec, faults);
    let assets = match &spec.assets {
        None => Vec::new(),
        Some(OneOrMany::One(name)) => vec![name.clone()],
        Some(OneOrMany::Many(names)) => names.clone(),
    };
    if let Some(empty) = assets.iter().position(|name| name.trim().is_empty()) {
        faults.add(&format!("assets[{empty}]"), "an asset's name is empty");
    }
    let mask = masks::request(spec, faults);
    let request =
        |files, mosaic| SceneRequest { files, mosaic, assets: assets.clone(), resolution: None, area: None, mask };
    let mut requests = match spec.mosaic {
        Some(true) if !files.is_empty() => vec![request(files, true)],
        _ => files.into_iter().map(|file| request(vec![file], false)).collect(),
    };
    let (resolution, area) = (resolution(spec, faults), area(spec, faults));
    for request in &mut requests {
        request.resolution = resolution;
        request.area = area.clone();
    }
    requests
}

fn files(spec: &Spec, faults: &mut Faults<'_>) -> Vec<PathBuf> {
    let written: Vec<(String, &str)> = match &spec.scene {
        None => Vec::new(),
        Some(OneOrMany::One(path)) => vec![("scene".to_owned(), path.as_str())],
        Some(OneOrMany::Many(paths)) => {
            paths.iter().enumerate().map(|(index, path)| (format!("scene[{index}]"), path.as_str())).collect()
        }
    };
    if written.is_empty() {
        faults.add("scene", "the job names no scene").hint =
            Some("Name one: `scene: PATH` in the job, or --input PATH.".into());
    }
    let mut files = Vec::new();
    for (key, name) in written {
        if name.trim().is_empty() {
            faults.add(&key, "a scene's path is empty").hint = Some("Name a raster file.".into());
            continue;
        }
        let location = Location::read(name, &spec.place(&key).source.base);
        match location.file() {
            Some(file) if !file.exists() => {
                if is_pattern(name) {
                    files.extend(matching(&key, &location, faults));
                    continue;
                }
                faults.add(&key, format!("there is no file {}", file.display())).hint =
                    Some(match file.is_absolute() {
                        true => "Check the path.".into(),
                        false => "Paths in a job file start from its folder; paths in flags from where you are.".into(),
                    });
            }
            None if is_pattern(name) && !name.contains('?') && !name.starts_with("/vsi") => {
                faults
                    .add(&key, format!("{} is a pattern on a server, which cannot be looked through", quoted(name)))
                    .hint = Some("Name its files one by one, or a STAC item collection that lists them.".into());
            }
            _ => {}
        }
        files.push(location.gdal_name());
    }
    files
}

fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?']) || (name.contains('[') && name.contains(']'))
}

/// The files that match a pattern, sorted by name.
fn matching(key: &str, location: &Location, faults: &mut Faults<'_>) -> Vec<PathBuf> {
    let Location::Local(pattern) = location else {
        faults.add(key, "patterns inside archives cannot be looked through").hint =
            Some("Unpack the archive, or name its files one by one.".into());
        return Vec::new();
    };
    let found = match glob::glob(&pattern.to_string_lossy()) {
        // A folder that cannot be read holds nothing for us.
        Ok(found) => found.filter_map(Result::ok).filter(|path| path.is_file()).take(MAX_FILES + 1).collect::<Vec<_>>(),
        Err(error) => {
            faults.add(key, format!("{} is no pattern: {}", quoted(&pattern.to_string_lossy()), error.msg));
            return Vec::new();
        }
    };
    // Sidecars lie beside their rasters and match the same patterns.
    let side = |path: &PathBuf| {
        let name = path.to_string_lossy().to_lowercase();
        [".aux.xml", ".ovr", ".msk", ".tfw", ".qml", ".prj"].iter().any(|ending| name.ends_with(ending))
    };
    let found: Vec<PathBuf> = found.into_iter().filter(|path| !side(path)).collect();
    if found.is_empty() {
        faults.add(key, format!("no file matches {}", pattern.display())).hint = Some(
            "Patterns in a job file start from its folder; `*` stands for a part of a name, `**` for folders.".into(),
        );
    }
    if found.len() > MAX_FILES {
        faults.add(key, format!("more than {MAX_FILES} files match {}", pattern.display()));
    }
    found
}

fn resolution(spec: &Spec, faults: &mut Faults<'_>) -> Option<Resolution> {
    let resolution = match spec.resolution.as_ref()? {
        ResolutionForm::Metres(side) => Some(Resolution::Metres(*side)),
        ResolutionForm::Text(text) => in_words(text),
    };
    let side = match resolution {
        Some(Resolution::Metres(side) | Resolution::CrsUnits(side)) => side,
        None => f64::NAN,
    };
    if !(side > 0.0 && side.is_finite()) {
        let written = match spec.resolution.as_ref()? {
            ResolutionForm::Metres(side) => side.to_string(),
            ResolutionForm::Text(text) => text.clone(),
        };
        faults.add("resolution", format!("{} is no resolution", quoted(&written))).hint = Some(
            "Write the side of a pixel: `0.5` or `0.5 m` in metres, `0.00001 crs` in units of the scene's CRS.".into(),
        );
        return None;
    }
    resolution
}

fn in_words(text: &str) -> Option<Resolution> {
    let text = text.trim();
    let number = |text: &str| text.trim().parse::<f64>().ok();
    match (text.strip_suffix("crs"), text.strip_suffix('m')) {
        (Some(side), _) => number(side).map(Resolution::CrsUnits),
        (_, Some(side)) => number(side).map(Resolution::Metres),
        _ => number(text).map(Resolution::Metres),
    }
}

fn area(spec: &Spec, faults: &mut Faults<'_>) -> Option<AreaRequest> {
    match spec.aoi.as_ref()? {
        AreaForm::File(name) => file(spec, "aoi", name, None, faults),
        AreaForm::Bounds(numbers) => bounds("aoi", numbers, DEGREES, faults),
        AreaForm::Long(AreaKeys { file: Some(name), layer, bounds: None, crs: None }) => {
            file(spec, "aoi.file", name, layer.clone(), faults)
        }
        AreaForm::Long(AreaKeys { file: None, layer: None, bounds: Some(numbers), crs }) => {
            bounds("aoi.bounds", numbers, crs.as_deref().unwrap_or(DEGREES), faults)
        }
        AreaForm::Long(_) => {
            faults.add("aoi", "an area of interest is a file or bounds, not both and not neither").hint =
                Some("Write `file` (with a `layer`, where it has several), or `bounds` (with their `crs`).".into());
            None
        }
    }
}

fn file(spec: &Spec, key: &str, name: &str, layer: Option<String>, faults: &mut Faults<'_>) -> Option<AreaRequest> {
    if name.trim().is_empty() {
        faults.add(key, "the path of the area of interest is empty");
        return None;
    }
    let location = Location::read(name, &spec.place(key).source.base);
    if let Some(path) = location.file()
        && !path.exists()
    {
        faults.add(key, format!("there is no file {}", path.display())).hint =
            Some("Name a vector file with polygons, or four numbers: [west, south, east, north].".into());
        return None;
    }
    Some(AreaRequest::File { path: location.gdal_name(), layer })
}

fn bounds(key: &str, numbers: &[f64], crs: &str, faults: &mut Faults<'_>) -> Option<AreaRequest> {
    let Ok(bounds) = <[f64; 4]>::try_from(numbers) else {
        faults.add(key, format!("bounds are four numbers, not {}", numbers.len())).hint =
            Some("Write [left, bottom, right, top].".into());
        return None;
    };
    let [left, bottom, right, top] = bounds;
    if !(left < right && bottom < top) || bounds.iter().any(|number| !number.is_finite()) {
        faults.add(key, format!("the bounds {left}, {bottom}, {right}, {top} enclose nothing")).hint =
            Some("Write [left, bottom, right, top], the smaller number of each pair first.".into());
        return None;
    }
    Some(AreaRequest::Bounds { bounds, crs: crs.to_owned() })
}
