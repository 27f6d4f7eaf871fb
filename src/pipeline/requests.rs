//! What a job asks of its scenes: which files, as one or several, at which resolution, which part of them.

use std::path::{Path, PathBuf};

use super::band_files;
use super::errors::JobErrors;
use super::masks;
use super::paths;
use super::spec::{AreaForm, AreaKeys, BandForm, OneOrMany, ResolutionForm, ResolutionKeys, Spec};
use super::words::quoted;
use crate::geom::Size;
use crate::location::Location;
use crate::scene::{AreaRequest, BandFiles, ImageSize, Resolution, SceneRequest};

/// Files of one job; a pattern that matches more was hardly meant.
const MAX_FILES: usize = 100_000;

/// The CRS of bounds that name none.
const DEGREES: &str = "EPSG:4326";

/// What the scenes of a job are, and what is to be said of how they were found.
#[derive(Debug, Default)]
pub(super) struct Requests {
    pub scenes: Vec<SceneRequest>,
    pub notes: Vec<String>,
}

/// One request for each scene, or one for the mosaic of all. Local files must exist. `is_result` tells of a file whether it
/// is a result of an earlier job: patterns and folders leave those out.
pub(super) fn requests(spec: &Spec, is_result: &dyn Fn(&Path) -> bool, errors: &mut JobErrors<'_>) -> Requests {
    let mut notes = Vec::new();
    let mut band_files = Vec::new();
    let files = files(spec, is_result, &mut band_files, &mut notes, errors);
    let assets = match &spec.assets {
        None => Vec::new(),
        Some(OneOrMany::One(name)) => vec![name.clone()],
        Some(OneOrMany::Many(names)) => names.clone(),
    };
    if let Some(empty) = assets.iter().position(|name| name.trim().is_empty()) {
        errors.add(&format!("assets[{empty}]"), "an asset's name is empty");
    }
    let mask = masks::request(spec, errors);
    let request =
        |files, mosaic| SceneRequest { files, mosaic, assets: assets.clone(), mask, ..SceneRequest::default() };
    let mut requests = match spec.mosaic {
        Some(true) if !files.is_empty() => vec![request(files, true)],
        _ => files.into_iter().map(|file| request(vec![file], false)).collect(),
    };
    let (resolution, area) = (resolution(spec, errors), area(spec, errors));
    let bands = named_bands(spec);
    for request in &mut requests {
        request.band_files = band_files.iter().filter(|bands| request.files.contains(&bands.scene)).cloned().collect();
        request.bands = bands.clone();
        request.resolution = resolution;
        request.area = area.clone();
    }
    Requests { scenes: requests, notes }
}

/// The bands that a job calls by name.
fn named_bands(spec: &Spec) -> Vec<String> {
    let forms = spec.bands.iter().flatten();
    let names = forms.filter_map(|form| match form {
        BandForm::Name(name) => Some(name.trim().to_owned()),
        BandForm::Number(_) => None,
    });
    names.collect()
}

/// The bands of one scene among files, where the job's bands are files of their own.
fn one_scene(
    key: &str,
    scene: &Path,
    files: &[PathBuf],
    is_folder: bool,
    spec: &Spec,
    errors: &mut JobErrors<'_>,
) -> Option<BandFiles> {
    let wanted = named_bands(spec);
    // Numbers count the bands of one file, and a pattern without names of bands means scenes.
    if spec.bands.as_ref().is_some_and(|forms| forms.len() > wanted.len()) || (wanted.is_empty() && !is_folder) {
        return None;
    }
    band_files::choose(scene, files, &wanted, is_folder).unwrap_or_else(|error| {
        errors.add(key, error.message).hint = Some(error.hint);
        None
    })
}

fn files(
    spec: &Spec,
    is_result: &dyn Fn(&Path) -> bool,
    band_files: &mut Vec<BandFiles>,
    notes: &mut Vec<String>,
    errors: &mut JobErrors<'_>,
) -> Vec<PathBuf> {
    let written: Vec<(String, &str)> = match &spec.scene {
        None => Vec::new(),
        Some(OneOrMany::One(path)) => vec![("scene".to_owned(), path.as_str())],
        Some(OneOrMany::Many(paths)) => {
            paths.iter().enumerate().map(|(index, path)| (format!("scene[{index}]"), path.as_str())).collect()
        }
    };
    if written.is_empty() {
        errors.add("scene", "the job has no scene").hint =
            Some("Set `scene: PATH` in the job, or use --input PATH.".into());
    }
    let mut files = Vec::new();
    for (key, written) in written {
        if written.trim().is_empty() {
            errors.add(&key, "the path of a scene is empty").hint = Some("Give the path of a raster.".into());
            continue;
        }
        let name = paths::home(written);
        let base = &spec.span(&key).source.base;
        let location = Location::read(&name, base);
        let is_folder = matches!(&location, Location::Local(folder) if is_folder_of_scenes(folder));
        let found = match &location {
            Location::Local(folder) if is_folder => in_folder(&key, folder, errors),
            _ if location.file().is_some_and(|file| !file.exists()) => {
                if paths::is_pattern(&name) {
                    matching(&key, &name, base, errors)
                } else {
                    missing(&key, written, &location, errors);
                    files.push(location.gdal_name());
                    continue;
                }
            }
            Location::Virtual(_) if paths::is_pattern(&name) && !name.contains('?') && !name.starts_with("/vsi") => {
                errors
                    .add(&key, format!("{} is a pattern on a server; patterns match local files only", quoted(&name)))
                    .hint = Some("List the files one by one, or use a STAC item collection that lists them.".into());
                continue;
            }
            _ => {
                files.push(location.gdal_name());
                continue;
            }
        };
        if let Some(bands) = location.file().and_then(|whole| one_scene(&key, whole, &found, is_folder, spec, errors)) {
            files.push(bands.scene.clone());
            band_files.push(bands);
            continue;
        }
        let (results, scenes): (Vec<PathBuf>, Vec<PathBuf>) = found.into_iter().partition(|file| is_result(file));
        if let Some(first) = results.first() {
            let (count, first) = (results.len(), first.display());
            let what = if count == 1 { "a raster is a result" } else { "rasters are results" };
            let count = if count == 1 { String::new() } else { format!("{count} ") };
            let message = format!("of {}, {count}{what} of segearth ({first})", quoted(written));
            if scenes.is_empty() {
                errors.add(&key, format!("{message}: no scene is left")).hint =
                    Some("Name the scenes themselves, or another folder.".into());
            } else {
                notes.push(format!("Of {}, {count}{what} of segearth and left out: {first}.", quoted(written)));
            }
        }
        files.extend(scenes);
    }
    files
}

/// A folder that is a raster itself, such as a Zarr store, is left to GDAL.
fn is_folder_of_scenes(folder: &Path) -> bool {
    folder.is_dir() && !folder.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("zarr"))
}

/// The rasters in a folder.
fn in_folder(key: &str, folder: &Path, errors: &mut JobErrors<'_>) -> Vec<PathBuf> {
    let found = match paths::is_sentinel_product(folder) {
        true => paths::rasters_of_sentinel_product(folder, MAX_FILES),
        false => paths::rasters_in(folder, MAX_FILES),
    };
    match found {
        Err(error) => {
            errors.add(key, format!("cannot read the folder {}: {error}", folder.display()));
            Vec::new()
        }
        Ok(found) if found.is_empty() => {
            errors.add(key, format!("there is no raster in the folder {}", folder.display())).hint = Some(
                "Only rasters directly in the folder are used (.tif, .jp2, .img, .vrt, .nc, …). For subfolders, use a \
                 pattern such as `**/*.tif`."
                    .into(),
            );
            found
        }
        Ok(found) => not_too_many(key, found, folder, errors),
    }
}

fn not_too_many(key: &str, found: Vec<PathBuf>, span: &Path, errors: &mut JobErrors<'_>) -> Vec<PathBuf> {
    if found.len() > MAX_FILES {
        errors.add(key, format!("{} matches more than {MAX_FILES} files", span.display()));
    }
    found
}

fn missing(key: &str, written: &str, location: &Location, errors: &mut JobErrors<'_>) {
    let Some(file) = location.file() else { return };
    let hint = if let Some(variable) = paths::variable(written) {
        format!(
            "Environment variables such as {variable} are not expanded in a job; let the shell expand them: --input \"{written}\"."
        )
    } else if written.contains([',', ';']) {
        "Write several scenes as a list: `scene: [a.tif, b.tif]`, or --input a.tif b.tif.".to_owned()
    } else if written.contains('\\') {
        "Separate folders with `/`.".to_owned()
    } else {
        match file.is_absolute() {
            true => "Check the path.".into(),
            false => "Paths in a job file are relative to its folder, paths on the command line to the current folder."
                .into(),
        }
    };
    let what = if file.to_string_lossy().ends_with('/') { "file or folder" } else { "file" };
    errors.add(key, format!("there is no {what} {}", file.display())).hint = Some(hint);
}

/// The files that match a pattern: those of each of its `{a,b}` in their order, sorted by name.
fn matching(key: &str, name: &str, base: &Path, errors: &mut JobErrors<'_>) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = Vec::new();
    for choice in paths::alternatives(name) {
        let location = Location::read(&choice, base);
        let Location::Local(pattern) = &location else {
            if location.file().is_some_and(Path::exists) && !choice.contains(['*', '?', '[']) {
                found.push(location.gdal_name());
                continue;
            }
            errors.add(key, "patterns cannot be used inside archives").hint =
                Some("Unpack the archive, or list its files one by one.".into());
            return Vec::new();
        };
        let matches = match pattern.is_file() {
            true => vec![pattern.clone()],
            false => match paths::matching(pattern, MAX_FILES + 1) {
                Ok(matches) => matches,
                Err(error) => {
                    let shown = quoted(&pattern.to_string_lossy());
                    errors.add(key, format!("{shown} is not a valid pattern: {}", error.msg));
                    return Vec::new();
                }
            },
        };
        if matches.is_empty() {
            errors.add(key, format!("no file matches {}", pattern.display())).hint = Some(
                "Patterns in a job file are relative to its folder; `*` matches a part of a name, `**` any folders, \
                 `{a,b}` a or b."
                    .into(),
            );
        }
        found.extend(matches.into_iter().filter(|file| !found.contains(file)).collect::<Vec<_>>());
    }
    not_too_many(key, found, Path::new(name), errors)
}

fn resolution(spec: &Spec, errors: &mut JobErrors<'_>) -> Option<Resolution> {
    let (resolution, written) = match spec.resolution.as_ref()? {
        ResolutionForm::Long(keys) => return image_size(keys, errors).map(Resolution::Image),
        ResolutionForm::Metres(side) => (Some(Resolution::Metres(*side)), side.to_string()),
        ResolutionForm::Text(text) => (in_words(text), text.clone()),
    };
    let valid = |side: f64| side > 0.0 && side.is_finite();
    match resolution {
        Some(Resolution::Metres(side) | Resolution::CrsUnits(side)) if valid(side) => resolution,
        _ => {
            errors.add("resolution", format!("{} is not a valid resolution", quoted(&written))).hint = Some(
                "Write the size of a pixel: `0.5` or `0.5 m` in metres, `0.00001 crs` in units of the scene's CRS; or the size of \
                 the image: `{long_side: 448}`."
                    .into(),
            );
            None
        }
    }
}

/// Longest side of a resized image in pixels.
const MAX_SIDE: usize = 65_535;

fn image_size(keys: &ResolutionKeys, errors: &mut JobErrors<'_>) -> Option<ImageSize> {
    let (key, size, sides) = match *keys {
        ResolutionKeys { long_side: Some(side), short_side: None, size: None } => {
            ("long_side", ImageSize::LongSide(side), [side, side])
        }
        ResolutionKeys { long_side: None, short_side: Some(side), size: None } => {
            ("short_side", ImageSize::ShortSide(side), [side, side])
        }
        ResolutionKeys { long_side: None, short_side: None, size: Some([width, height]) } => {
            ("size", ImageSize::Exact(Size::new(width, height)), [width, height])
        }
        _ => {
            errors
                .add("resolution", "the size of the image is given by one of `long_side`, `short_side` and `size`")
                .hint = Some("The paper's is `{long_side: 448}`.".into());
            return None;
        }
    };
    match sides.into_iter().find(|side| !(1..=MAX_SIDE).contains(side)) {
        None => Some(size),
        Some(side) => {
            let message = format!("the side of the image is {side} pixels; it must be from 1 to {MAX_SIDE}");
            errors.add(&format!("resolution.{key}"), message);
            None
        }
    }
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

fn area(spec: &Spec, errors: &mut JobErrors<'_>) -> Option<AreaRequest> {
    match spec.aoi.as_ref()? {
        AreaForm::File(name) => file(spec, "aoi", name, None, errors),
        AreaForm::Bounds(numbers) => bounds("aoi", numbers, DEGREES, errors),
        AreaForm::Long(AreaKeys { file: Some(name), layer, bounds: None, crs: None }) => {
            file(spec, "aoi.file", name, layer.clone(), errors)
        }
        AreaForm::Long(AreaKeys { file: None, layer: None, bounds: Some(numbers), crs }) => {
            bounds("aoi.bounds", numbers, crs.as_deref().unwrap_or(DEGREES), errors)
        }
        AreaForm::Long(_) => {
            errors.add("aoi", "an area of interest is either a file or bounds").hint =
                Some("Set `file` (and `layer`, if it has several), or `bounds` (and their `crs`).".into());
            None
        }
    }
}

fn file(spec: &Spec, key: &str, name: &str, layer: Option<String>, errors: &mut JobErrors<'_>) -> Option<AreaRequest> {
    if name.trim().is_empty() {
        errors.add(key, "the path of the area of interest is empty");
        return None;
    }
    let location = Location::read(&paths::home(name), &spec.span(key).source.base);
    if let Some(path) = location.file()
        && !path.exists()
    {
        errors.add(key, format!("there is no file {}", path.display())).hint =
            Some("Give a vector file with polygons, or four numbers: [west, south, east, north].".into());
        return None;
    }
    Some(AreaRequest::File { path: location.gdal_name(), layer })
}

fn bounds(key: &str, numbers: &[f64], crs: &str, errors: &mut JobErrors<'_>) -> Option<AreaRequest> {
    let Ok(bounds) = <[f64; 4]>::try_from(numbers) else {
        errors.add(key, format!("bounds are four numbers, not {}", numbers.len())).hint =
            Some("Write [left, bottom, right, top].".into());
        return None;
    };
    let [left, bottom, right, top] = bounds;
    if !(left < right && bottom < top) || bounds.iter().any(|number| !number.is_finite()) {
        errors.add(key, format!("the bounds {left}, {bottom}, {right}, {top} have no area")).hint =
            Some("Write [left, bottom, right, top], the smaller number of each pair first.".into());
        return None;
    }
    Some(AreaRequest::Bounds { bounds, crs: crs.to_owned() })
}
