//! Where results go: default names, `{scene}`, and no path twice or over a scene.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::fault::Faults;
use super::plan::{OutputPaths, RasterPlan, is_local};
use super::products;
use super::spec::{CompressionForm, FormatForm, OutputForm, OverviewsForm, PolygonsForm, ScoreTypeForm, Spec};
use super::words::quoted;
use crate::scene::{Compression, RasterFormat, RasterLayout, SceneInfo, ScoreType, VECTOR_EXTENSIONS};

const LABELS: &str = "{scene}_labels.tif";
const SCORES: &str = "{scene}_scores.tif";
const CONFIDENCE: &str = "{scene}_confidence.tif";
const MARGIN: &str = "{scene}_margin.tif";
const PREVIEW: &str = "{scene}_preview.png";
const REPORT: &str = "{scene}_report.html";

const RASTER_EXTENSIONS: &[&str] = &["tif", "tiff"];
const PICTURE_EXTENSIONS: &[&str] = &["png"];
const PAGE_EXTENSIONS: &[&str] = &["html", "htm"];

/// The outputs of each scene.
pub(super) fn outputs(spec: &Spec, scenes: &[SceneInfo], faults: &mut Faults<'_>) -> Vec<OutputPaths> {
    let form = &spec.outputs;
    let folder = folder(spec);
    if let Some(OutputForm::Wanted(false)) = form.labels {
        faults.add("outputs.labels", "the labels cannot be left out: everything else is made from them");
    }
    let labels = name(form.labels.as_ref(), LABELS).unwrap_or(LABELS);
    let scores = name(form.scores.as_ref(), SCORES);
    let confidence = name(form.confidence.as_ref(), CONFIDENCE);
    let margin = name(form.margin.as_ref(), MARGIN);
    let product = products::names(spec);
    let preview = name(form.preview.as_ref(), PREVIEW);
    let report = name(form.report.as_ref(), REPORT);
    check("labels", Some(labels), RASTER_EXTENSIONS, scenes, faults);
    check("scores", scores, RASTER_EXTENSIONS, scenes, faults);
    check("confidence", confidence, RASTER_EXTENSIONS, scenes, faults);
    check("margin", margin, RASTER_EXTENSIONS, scenes, faults);
    let polygons = if matches!(form.polygons, Some(PolygonsForm::Long(_))) { "polygons.file" } else { "polygons" };
    check(polygons, product.polygons.as_deref(), VECTOR_EXTENSIONS, scenes, faults);
    check("polygons.graph", product.graph.as_deref(), &["graphml"], scenes, faults);
    check("polygons.zone_table", product.zones.as_deref(), &["csv"], scenes, faults);
    check("preview", preview, PICTURE_EXTENSIONS, scenes, faults);
    check("report", report, PAGE_EXTENSIONS, scenes, faults);

    let path = |name: &str, scene: &SceneInfo| folder.join(name.replace("{scene}", &stem(scene)));
    let all: Vec<OutputPaths> = scenes
        .iter()
        .map(|scene| OutputPaths {
            labels: path(labels, scene),
            scores: scores.map(|name| path(name, scene)),
            confidence: confidence.map(|name| path(name, scene)),
            margin: margin.map(|name| path(name, scene)),
            polygons: product.polygons.as_deref().map(|name| path(name, scene)),
            graph: product.graph.as_deref().map(|name| path(name, scene)),
            zones: product.zones.as_deref().map(|name| path(name, scene)),
            preview: preview.map(|name| path(name, scene)),
            report: report.map(|name| path(name, scene)),
        })
        .collect();
    no_path_twice(scenes, &all, faults);
    all
}

/// How rasters are written, whatever the scene.
pub(super) fn rasters(spec: &Spec, faults: &mut Faults<'_>) -> RasterPlan {
    let form = &spec.outputs;
    let layout = RasterLayout {
        format: match form.format {
            Some(FormatForm::Cog) => RasterFormat::Cog,
            Some(FormatForm::Geotiff) | None => RasterFormat::GeoTiff,
        },
        compression: match form.compression {
            Some(CompressionForm::Zstd) => Compression::Zstd,
            Some(CompressionForm::Deflate) | None => Compression::Deflate,
        },
        overviews: form.overviews != Some(OverviewsForm::None),
    };
    if layout.format == RasterFormat::Cog && !layout.overviews {
        faults.add("outputs.overviews", "a COG without overviews is none").hint =
            Some("Leave the key out, or write `format: geotiff`.".into());
    }
    let kind = form.score_type.map(|form| match form {
        ScoreTypeForm::Float32 => ScoreType::F32,
        ScoreTypeForm::Uint8 => ScoreType::U8,
    });
    RasterPlan { layout, scores: kind.unwrap_or(ScoreType::F32), certainty: kind.unwrap_or(ScoreType::U8) }
}

/// `output/` and the job's name, so that two jobs do not overwrite each other; flags name their files from where one is.
fn folder(spec: &Spec) -> PathBuf {
    match (&spec.outputs.folder, spec.job_stem()) {
        (Some(folder), _) => PathBuf::from(folder),
        (None, Some(stem)) => Path::new("output").join(stem),
        (None, None) => PathBuf::new(),
    }
}

pub(super) fn name<'a>(form: Option<&'a OutputForm>, default: &'a str) -> Option<&'a str> {
    match form {
        None | Some(OutputForm::Wanted(false)) => None,
        Some(OutputForm::Wanted(true)) => Some(default),
        Some(OutputForm::Name(name)) => Some(name),
    }
}

fn check(key: &str, name: Option<&str>, allowed: &[&str], scenes: &[SceneInfo], faults: &mut Faults<'_>) {
    let Some(name) = name else { return };
    let key = format!("outputs.{key}");
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    if !extension.as_deref().is_some_and(|extension| allowed.contains(&extension)) {
        let allowed = allowed.iter().map(|extension| format!("`.{extension}`")).collect::<Vec<_>>().join(", ");
        faults.add(&key, format!("the output name {} must end in one of {allowed}", quoted(name))).hint =
            Some("The ending chooses the format.".into());
    }
    if !is_local(name) {
        faults.add(&key, format!("{} is no local path; outputs are written to local disks", quoted(name))).hint =
            Some("Write to a folder and copy the files to their storage afterwards.".into());
    }
    if scenes.len() > 1 && !name.contains("{scene}") {
        let message = format!("{} scenes would all write to {}", scenes.len(), quoted(name));
        faults.add(&key, message).hint =
            Some("Put {scene} into the name: it stands for the scene's file name without its extension.".into());
    }
}

/// The scene's own name, or the file name without its extension; of a URL without its query.
fn stem(scene: &SceneInfo) -> String {
    if let Some(name) = &scene.access.name {
        // The name of a STAC item comes from outside: it must not lead into other folders.
        return name.replace(['/', '\\', '\0'], "_").trim_start_matches('.').to_owned();
    }
    let name = scene.path.to_string_lossy();
    let name = if is_local(&name) { &name } else { name.split('?').next().unwrap_or_default() };
    Path::new(name).file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_else(|| "scene".to_owned())
}

#[expect(clippy::indexing_slicing, reason = "indices of scenes, each of which has its outputs")]
fn no_path_twice(scenes: &[SceneInfo], outputs: &[OutputPaths], faults: &mut Faults<'_>) {
    let inputs: HashSet<PathBuf> = scenes.iter().flat_map(SceneInfo::files).map(|file| identity(file)).collect();
    let mut taken: HashMap<PathBuf, (usize, &str)> = HashMap::new();
    for (index, paths) in outputs.iter().enumerate() {
        for (key, path) in paths.named() {
            let identity = identity(path);
            if inputs.contains(&identity) {
                let message = format!("the {key} would overwrite the scene {}", path.display());
                faults.add(&format!("outputs.{}", key_path(key)), message).hint =
                    Some("Scenes are never written to: give the output another name or folder.".into());
            }
            let Some((before, other)) = taken.insert(identity, (index, key)) else { continue };
            if before == index {
                let message = format!("{other} and {key} would both write to {}", path.display());
                faults.add(&format!("outputs.{}", key_path(key)), message).hint =
                    Some("Give one of them another name.".into());
            } else if outputs_differ_only_by_scene(scenes, before, index) {
                let message = format!(
                    "{} and {} have the same file name: both would write to {}",
                    scenes[before].path.display(),
                    scenes[index].path.display(),
                    path.display()
                );
                faults.add(&format!("scene[{index}]"), message).hint =
                    Some("Run them as two jobs with different output folders, or rename one.".into());
                return;
            }
        }
    }
}

/// Where a job names an output.
fn key_path(key: &str) -> &str {
    match key {
        "graph" => "polygons.graph",
        "zones" => "polygons.zone_table",
        key => key,
    }
}

/// A name without `{scene}` is a fault of its own, said once.
#[expect(clippy::indexing_slicing, reason = "indices of scenes")]
fn outputs_differ_only_by_scene(scenes: &[SceneInfo], a: usize, b: usize) -> bool {
    stem(&scenes[a]) == stem(&scenes[b])
}

/// The same for two spellings of a path, as far as the disk can tell; a file need not exist yet.
fn identity(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    match (whole.parent().and_then(|parent| parent.canonicalize().ok()), whole.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => whole,
    }
}
