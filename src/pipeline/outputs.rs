//! Where results go: default names, `{scene}`, and no path twice or over a scene.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use super::errors::JobErrors;
use super::paths::is_local;
use super::plan::{OutputPaths, RasterPlan};
use super::scene_names::{self, SceneNames};
use super::spec::{CompressionForm, FormatForm, OutputForm, OverviewsForm, PolygonsForm, ScoreTypeForm, Spec};
use super::words::quoted;
use super::{paths, products};
use crate::scene::{Compression, RasterFormat, RasterLayout, SceneInfo, ScoreType, VECTOR_EXTENSIONS};

const SCENE: &str = "{scene}";
const FOLDER: &str = "{folder}";

const LABELS: &str = "{scene}_labels.tif";
const SCORES: &str = "{scene}_scores.tif";
const CONFIDENCE: &str = "{scene}_confidence.tif";
const MARGIN: &str = "{scene}_margin.tif";
const PREVIEW: &str = "{scene}_preview.png";
const REPORT: &str = "{scene}_report.html";
const AREAS: &str = "{scene}_areas.csv";

const RASTER_EXTENSIONS: &[&str] = &["tif", "tiff"];
const PICTURE_EXTENSIONS: &[&str] = &["png"];
const PAGE_EXTENSIONS: &[&str] = &["html", "htm"];

/// The outputs of each scene.
pub(super) fn outputs(
    spec: &Spec,
    scenes: &[SceneInfo],
    notes: &mut Vec<String>,
    errors: &mut JobErrors<'_>,
) -> Vec<OutputPaths> {
    let form = &spec.outputs;
    let folder = folder(spec, errors);
    let names = scene_names::names(scenes);
    if let Some(OutputForm::Wanted(false)) = form.labels {
        errors.add("outputs.labels", "the label raster cannot be switched off: all other outputs are made from it");
    }
    let labels = OutputForm::name(form.labels.as_ref(), LABELS).unwrap_or(LABELS);
    let scores = OutputForm::name(form.scores.as_ref(), SCORES);
    let confidence = OutputForm::name(form.confidence.as_ref(), CONFIDENCE);
    let margin = OutputForm::name(form.margin.as_ref(), MARGIN);
    let product = products::names(spec);
    let preview = OutputForm::name(form.preview.as_ref(), PREVIEW);
    let report = OutputForm::name(form.report.as_ref(), REPORT);
    let areas = OutputForm::name(form.areas.as_ref(), AREAS);
    let check = |key: &str, name: Option<&str>, allowed: &[&str], errors: &mut JobErrors<'_>| {
        name.into_iter().for_each(|name| self::check(key, name, allowed, &names, errors));
    };
    check("labels", Some(labels), RASTER_EXTENSIONS, errors);
    check("scores", scores, RASTER_EXTENSIONS, errors);
    check("confidence", confidence, RASTER_EXTENSIONS, errors);
    check("margin", margin, RASTER_EXTENSIONS, errors);
    let polygons = if matches!(form.polygons, Some(PolygonsForm::Long(_))) { "polygons.file" } else { "polygons" };
    check(polygons, product.polygons.as_deref(), VECTOR_EXTENSIONS, errors);
    check("polygons.graph", product.graph.as_deref(), &["graphml"], errors);
    check("polygons.zone_table", product.zones.as_deref(), &["csv"], errors);
    check("preview", preview, PICTURE_EXTENSIONS, errors);
    check("report", report, PAGE_EXTENSIONS, errors);
    check("areas", areas, &["csv"], errors);

    let all: Vec<OutputPaths> = names
        .iter()
        .map(|scene| {
            let path = |name: &str| folder.join(filled(name, scene));
            OutputPaths {
                labels: path(labels),
                scores: scores.map(path),
                confidence: confidence.map(path),
                margin: margin.map(path),
                polygons: product.polygons.as_deref().map(path),
                graph: product.graph.as_deref().map(path),
                zones: product.zones.as_deref().map(path),
                preview: preview.map(path),
                report: report.map(path),
                areas: areas.map(path),
            }
        })
        .collect();
    if no_scene_twice(scenes, errors) {
        let products = [&product.polygons, &product.graph, &product.zones].map(Option::as_deref);
        let templates = [Some(labels), scores, confidence, margin, preview, report, areas].into_iter().chain(products);
        let templates: Vec<&str> = templates.flatten().collect();
        no_path_twice(scenes, &all, templates.iter().all(|name| tells_apart(name, &names)), errors);
        notes.extend(renamed_scenes(&names, &templates));
    }
    all
}

/// A name of an output with its placeholders filled.
fn filled(template: &str, names: &SceneNames) -> String {
    let scene = if template.contains(FOLDER) { &names.beside_folder } else { &names.scene };
    template.split(SCENE).map(|part| part.replace(FOLDER, &names.folder)).collect::<Vec<_>>().join(scene)
}

/// Says that scenes are not called as their files alone.
fn renamed_scenes(names: &[SceneNames], templates: &[&str]) -> Option<String> {
    const SHOWN: usize = 3;
    let called = |template: &str, names: &SceneNames| match template.contains(FOLDER) {
        true => names.beside_folder.clone(),
        false => names.scene.clone(),
    };
    let templates: Vec<&&str> = templates.iter().filter(|template| template.contains(SCENE)).collect();
    let other = |names: &SceneNames| templates.iter().map(|name| called(name, names)).find(|name| *name != names.stem);
    let changed: Vec<String> = names.iter().filter_map(other).collect();
    let count = changed.len();
    let more = if count > SHOWN { ", …" } else { "" };
    let shown = changed.iter().take(SHOWN).map(|name| quoted(name)).collect::<Vec<_>>().join(", ");
    (count > 0).then(|| {
        format!(
            "{count} scenes have the file name of another scene: in output names, {{scene}} becomes {shown}{more}. With \
             {{folder}}, as in '{{folder}}_{{scene}}_labels.tif', names do not depend on the other scenes of the job."
        )
    })
}

/// How rasters are written, whatever the scene.
pub(super) fn rasters(spec: &Spec, errors: &mut JobErrors<'_>) -> RasterPlan {
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
        errors.add("outputs.overviews", "`format: cog` needs overviews").hint =
            Some("Remove `overviews`, or set `format: geotiff`.".into());
    }
    let kind = form.score_type.map(|form| match form {
        ScoreTypeForm::Float32 => ScoreType::F32,
        ScoreTypeForm::Uint8 => ScoreType::U8,
    });
    RasterPlan { layout, scores: kind.unwrap_or(ScoreType::F32), certainty: kind.unwrap_or(ScoreType::U8) }
}

/// `output/` and the job's name, so that two jobs do not overwrite each other; flags name their files from where one is.
fn folder(spec: &Spec, errors: &mut JobErrors<'_>) -> PathBuf {
    match (&spec.outputs.folder, spec.job_stem()) {
        (Some(folder), _) => {
            no_variable("outputs.folder", folder, errors);
            PathBuf::from(&*paths::home(folder))
        }
        (None, Some(stem)) => Path::new("output").join(stem),
        (None, None) => PathBuf::new(),
    }
}

fn check(key: &str, name: &str, allowed: &[&str], scenes: &[SceneNames], errors: &mut JobErrors<'_>) {
    let key = format!("outputs.{key}");
    let extension = Path::new(name).extension().and_then(|extension| extension.to_str()).map(str::to_lowercase);
    if !extension.as_deref().is_some_and(|extension| allowed.contains(&extension)) {
        let allowed = allowed.iter().map(|extension| format!("`.{extension}`")).collect::<Vec<_>>().join(", ");
        errors.add(&key, format!("the output name {} must end in one of {allowed}", quoted(name))).hint =
            Some("The file extension sets the format.".into());
    }
    if !is_local(name) {
        errors
            .add(
                &key,
                format!("{} is not a local path; outputs can only be written to a local file system", quoted(name)),
            )
            .hint = Some("Write to a local folder, and copy the files afterwards.".into());
    }
    no_variable(&key, name, errors);
    if let Some(unknown) = placeholders(name).find(|placeholder| ![SCENE, FOLDER].contains(placeholder)) {
        errors.add(&key, format!("unknown placeholder {} in {}", quoted(unknown), quoted(name))).hint = Some(
            "Allowed are {scene}, the scene's file name without its extension, and {folder}, the name of its folder."
                .into(),
        );
    }
    if !tells_apart(name, scenes) {
        let message = format!("{} scenes would all write to {}", scenes.len(), quoted(name));
        errors.add(&key, message).hint =
            Some("Put {scene} into the name: it is replaced by the scene's file name without its extension.".into());
    }
}

/// Whether every scene has a path of its own by this name.
fn tells_apart(name: &str, scenes: &[SceneNames]) -> bool {
    let folders = || scenes.iter().map(|names| names.folder.to_lowercase()).collect::<HashSet<_>>().len();
    scenes.len() < 2 || name.contains(SCENE) || (name.contains(FOLDER) && folders() == scenes.len())
}

/// What stands in braces, with them: small letters and `_`.
fn placeholders(name: &str) -> impl Iterator<Item = &str> {
    let inside = |c: char| c.is_ascii_lowercase() || c == '_';
    name.match_indices('{').filter_map(move |(at, _)| {
        let rest = name.get(at..)?;
        let end = rest.find('}').filter(|&end| end > 1)?;
        rest.get(1..end)?.chars().all(inside).then(|| rest.get(..=end)).flatten()
    })
}

/// A shell would replace it; here it would become a folder of that name.
fn no_variable(key: &str, name: &str, errors: &mut JobErrors<'_>) {
    if let Some(variable) = paths::variable(name) {
        errors.add(key, format!("{} is an environment variable, which a job does not expand", quoted(variable))).hint =
            Some(format!("Let the shell expand it: --set {key}=\"{name}\"."));
    }
}

/// The same file twice would be computed twice, into the same results.
#[expect(clippy::indexing_slicing, reason = "indices of scenes")]
fn no_scene_twice(scenes: &[SceneInfo], errors: &mut JobErrors<'_>) -> bool {
    let mut taken: HashMap<(Vec<PathBuf>, Option<&String>), usize> = HashMap::new();
    for (index, scene) in scenes.iter().enumerate() {
        let files = scene.files().iter().map(|file| identity(file)).collect();
        // Items of a search that share a file are scenes of their own.
        let Some(before) = taken.insert((files, scene.access.name.as_ref()), index) else { continue };
        let (first, second) = (scenes[before].path.display(), scene.path.display());
        let message = match first.to_string() == second.to_string() {
            true => format!("the scene {second} is listed twice"),
            false => format!("{first} and {second} are the same scene"),
        };
        errors.add(&format!("scene[{index}]"), message).hint =
            Some("List each scene once; patterns and folders must not overlap.".into());
        return false;
    }
    true
}

/// `apart`: all names tell scenes apart; where one does not, that has been said.
#[expect(clippy::indexing_slicing, reason = "indices of scenes, each of which has its outputs")]
fn no_path_twice(scenes: &[SceneInfo], outputs: &[OutputPaths], apart: bool, errors: &mut JobErrors<'_>) {
    let inputs: HashSet<PathBuf> = scenes.iter().flat_map(SceneInfo::files).map(|file| identity(file)).collect();
    let mut taken: HashMap<PathBuf, (usize, &str)> = HashMap::new();
    for (index, paths) in outputs.iter().enumerate() {
        for (key, path) in paths.named() {
            let identity = identity(path);
            if inputs.contains(&identity) {
                let message = format!("the {key} would overwrite the scene {}", path.display());
                errors.add(&format!("outputs.{}", key_path(key)), message).hint =
                    Some("Scenes are never overwritten: give the output another name or folder.".into());
            }
            let Some((before, other)) = taken.insert(identity, (index, key)) else { continue };
            if before == index {
                let message = format!("{other} and {key} would both write to {}", path.display());
                errors.add(&format!("outputs.{}", key_path(key)), message).hint =
                    Some("Give one of them another name.".into());
            } else if apart {
                let message = format!(
                    "{} and {} would both write to {}",
                    scenes[before].path.display(),
                    scenes[index].path.display(),
                    path.display()
                );
                errors.add(&format!("scene[{index}]"), message).hint =
                    Some("Put {scene} into the names of all outputs, or run the scenes as two jobs.".into());
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

/// The same for two spellings of a path, as far as the disk can tell; a file need not exist yet.
fn identity(path: &Path) -> PathBuf {
    if let Ok(real) = path.canonicalize() {
        return real;
    }
    let whole = paths::from_root(path);
    match (whole.parent().and_then(|parent| parent.canonicalize().ok()), whole.file_name()) {
        (Some(parent), Some(name)) => parent.join(name),
        _ => whole,
    }
}
