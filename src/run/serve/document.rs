//! The job behind a session: what the command was given, with the classes of the page. The same text is what the preview is computed
//! by, what "Save as job" writes and what a run gets, so that all give the same labels.

use std::path::{Path, PathBuf};

use serde_yaml::{Mapping, Value};

use crate::cli::ServeArgs;
use crate::embeddings::Precision;
use crate::error::{Context as _, Error, Result};
use crate::pipeline::{self, Spec};
use crate::serve::{ClassEntry, Session};

/// Keys of a job whose value is a file beside the job file.
const FILES: [&[&str]; 4] =
    [&["method", "templates"], &["aoi"], &["outputs", "polygons", "subtract"], &["outputs", "polygons", "zones"]];

/// What a session starts from.
#[derive(Clone, Debug)]
pub struct Document {
    base: Mapping,
    /// The path that errors name.
    path: PathBuf,
    /// The outputs that the job file asks for.
    pub outputs: Mapping,
    /// Short, for folders and files.
    pub name: String,
    /// Whether the base has classes of its own.
    pub has_classes: bool,
}

/// Keys of outputs that the page offers; all are either made or not.
const OFFERED: [&str; 5] = ["scores", "confidence", "margin", "preview", "report"];

/// Where the tokens of a job come from.
pub struct TokenStore<'a> {
    pub folder: &'a Path,
    pub precision: Precision,
}

impl Document {
    /// Reads the command's arguments.
    ///
    /// # Errors
    /// A job file that is none, or scenes beside one.
    pub fn open(args: &ServeArgs) -> Result<Self> {
        let overrides = args.overrides();
        let (mut base, path) = match args.job() {
            Some(job) => {
                if args.scenes.len() > 1 {
                    return Err(Error::input("a job file names its own scenes, and there are more arguments")
                        .with_hint("Give the job file alone, or scenes alone."));
                }
                let path = PathBuf::from(job);
                // Errors with file, line and column, before anything is made of it.
                pipeline::load(&path, &overrides)?;
                let text = std::fs::read_to_string(&path).input(|| format!("cannot read {}", path.display()))?;
                let base: Mapping = serde_yaml::from_str(&text).input(|| format!("cannot read {}", path.display()))?;
                (absolute(base, path.parent().unwrap_or(Path::new(""))), path)
            }
            None => {
                let scenes = if args.scenes.is_empty() { vec![".".to_owned()] } else { args.scenes.clone() };
                let scenes = scenes.iter().map(|scene| Value::String(local(scene, Path::new("")))).collect();
                let mut base = Mapping::new();
                base.insert("scene".into(), Value::Sequence(scenes));
                (base, PathBuf::from("session.yaml"))
            }
        };
        for (key, value) in [("model", &args.model), ("device", &args.device)] {
            if let Some(value) = value {
                let is_folder = key == "model" && Path::new(value).is_dir() && !pipeline::ModelChoice::is_name(value);
                let value = if is_folder { local(value, Path::new("")) } else { value.clone() };
                base.insert(key.into(), Value::String(value));
            }
        }
        let outputs = match base.remove("outputs") {
            Some(Value::Mapping(outputs)) => outputs,
            _ => Mapping::new(),
        };
        base.remove("embeddings");
        let has_classes = base.contains_key("classes");
        let first = args.scenes.first().map_or(".", String::as_str);
        let resolved = Path::new(first).canonicalize().unwrap_or_else(|_| first.into());
        let stem = resolved.file_stem().map_or_else(|| "scene".into(), |stem| stem.to_string_lossy().into_owned());
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        let name: String = stem.chars().take(40).map(plain).collect();
        Ok(Self { base, path, outputs, name, has_classes })
    }

    /// What tells sessions apart: scenes, model, and all else that the arguments say.
    pub fn identity(&self) -> String {
        let mut base = self.base.clone();
        base.remove("classes");
        base.remove("background");
        serde_yaml::to_string(&base).unwrap_or_default()
    }

    /// The file of learnt classes that the base names.
    pub fn learnt_file(&self) -> Option<PathBuf> {
        let of = |value: &Value| value.as_mapping()?.get("learnt")?.as_str().map(PathBuf::from);
        match self.base.get("classes")? {
            Value::Sequence(classes) => classes.iter().find_map(of),
            one => of(one),
        }
    }

    /// The polygons that the outputs ask for, with all their keys, if they are of this recipe.
    pub fn polygons(&self, recipe: &str) -> Option<&Value> {
        let wanted = self.outputs.get("polygons").filter(|wanted| **wanted != Value::Bool(false))?;
        (recipe_of(wanted) == recipe).then_some(wanted)
    }

    /// The outputs that the page is to offer as chosen.
    pub fn chosen(&self) -> serde_json::Value {
        let is_wanted = |value: &Value| !matches!(value, Value::Bool(false) | Value::Null);
        let offered = OFFERED.map(|key| (key.to_owned(), self.outputs.get(key).is_some_and(is_wanted).into()));
        let recipe = self.outputs.get("polygons").filter(|wanted| is_wanted(wanted)).map(recipe_of);
        let all = offered.into_iter().chain([("polygons".to_owned(), recipe.into())]);
        serde_json::Value::Object(all.collect())
    }

    /// The base as it was given.
    ///
    /// # Errors
    /// The job is none.
    pub fn own(&self) -> Result<Spec> {
        let mut spec = self.spec(&yaml(&self.base)?)?;
        spec.without_classes = true;
        Ok(spec)
    }

    /// The job with the classes of a session. `learnt`: the file that they were learnt to.
    ///
    /// # Errors
    /// It cannot be written as YAML.
    pub fn text(
        &self,
        session: &Session,
        learnt: Option<&Path>,
        store: Option<&TokenStore<'_>>,
        outputs: Option<&Mapping>,
    ) -> Result<String> {
        let mut job = self.base.clone();
        let text = |text: &str| Value::String(text.to_owned());
        let of_words = |class: &ClassEntry| {
            let mut keys = Mapping::new();
            keys.insert("name".into(), text(&class.name));
            if !class.words.is_empty() {
                keys.insert("prompts".into(), Value::Sequence(class.words.iter().map(|word| text(word)).collect()));
            }
            keys.extend(class.colour.iter().map(|colour| ("colour".into(), text(colour))));
            keys.extend(class.threshold.map(|threshold| ("threshold".into(), threshold.into())));
            Value::Mapping(keys)
        };
        let of_file =
            |file: &Path| Value::Mapping(Mapping::from_iter([("learnt".into(), text(&file.display().to_string()))]));
        let classes = match (session.unchanged_start(), learnt) {
            // The file stands where its first class is; others may be beside it.
            (Some(start), _) => {
                let first = session.classes.iter().find(|class| start.ids.contains(&class.id)).map(|class| class.id);
                let file = learnt.unwrap_or(&start.file);
                let item = |class: &ClassEntry| match start.ids.contains(&class.id) {
                    false => Some(of_words(class)),
                    true => (Some(class.id) == first).then(|| of_file(file)),
                };
                Value::Sequence(session.classes.iter().filter_map(item).collect())
            }
            (None, Some(file)) => of_file(file),
            (None, None) => Value::Sequence(session.classes.iter().map(of_words).collect()),
        };
        job.insert("classes".into(), classes);
        job.remove("background");
        let background = session.background.and_then(|id| session.classes.get(session.index_of(id)?));
        job.extend(background.map(|class| ("background".into(), text(&class.name))));
        if session.threshold > 0.0 {
            let method = job.entry("method".into()).or_insert_with(|| Value::Mapping(Mapping::new()));
            if let Value::Mapping(method) = method {
                method.insert("threshold".into(), session.threshold.into());
            }
        }
        if let Some(bands) = &session.bands {
            let band = |band: &String| band.parse::<u64>().map_or_else(|_| text(band), Value::from);
            job.insert("bands".into(), Value::Sequence(bands.iter().map(band).collect()));
        }
        job.extend(session.stretch.iter().map(|stretch| ("stretch".into(), text(stretch))));
        // In float32 a store changes nothing, and the job needs none.
        if let Some(store) = store.filter(|store| store.precision != Precision::Float32) {
            let keys =
                [("store", store.folder.display().to_string()), ("precision", store.precision.name().to_owned())];
            let keys = keys.map(|(key, value)| (key.into(), Value::String(value)));
            job.insert("embeddings".into(), Value::Mapping(Mapping::from_iter(keys)));
        }
        let outputs = outputs.filter(|outputs| !outputs.is_empty());
        job.extend(outputs.map(|outputs| ("outputs".into(), Value::Mapping(outputs.clone()))));
        yaml(&job)
    }

    /// A job's text as a specification.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub fn spec(&self, text: &str) -> Result<Spec> {
        pipeline::parse(&self.path, text.to_owned(), &[])
    }
}

fn yaml(job: &Mapping) -> Result<String> {
    serde_yaml::to_string(job).internal(|| "a job cannot be written as YAML".into())
}

/// A job whose files are named from anywhere.
fn absolute(mut job: Mapping, base: &Path) -> Mapping {
    let place = |value: &mut Value| {
        if let Value::String(name) = value {
            *name = local(name, base);
        }
    };
    match job.get_mut("scene") {
        Some(Value::Sequence(scenes)) => scenes.iter_mut().for_each(place),
        Some(scene) => place(scene),
        None => {}
    }
    let learnt = |value: &mut Value| {
        value.as_mapping_mut().and_then(|keys| keys.get_mut("learnt")).into_iter().for_each(place);
    };
    match job.get_mut("classes") {
        Some(Value::Sequence(classes)) => classes.iter_mut().for_each(learnt),
        Some(classes) => learnt(classes),
        None => {}
    }
    if let Some(Value::String(model)) = job.get_mut("model")
        && !pipeline::ModelChoice::is_name(model)
        && base.join(&*model).is_dir()
    {
        *model = local(model, base);
    }
    for keys in FILES {
        let mut at = Some(&mut job);
        let Some((last, above)) = keys.split_last() else { continue };
        for key in above {
            at = at.and_then(|map| match map.get_mut(*key) {
                Some(Value::Mapping(map)) => Some(map),
                _ => None,
            });
        }
        let Some(value) = at.and_then(|map| map.get_mut(*last)) else { continue };
        match value {
            // Names of built-in templates are no files.
            Value::String(name) if base.join(file_of(name)).exists() => place(value),
            Value::Mapping(map) => map.get_mut("file").into_iter().for_each(place),
            _ => {}
        }
    }
    job
}

/// The recipe of an output of polygons, however it is written.
fn recipe_of(polygons: &Value) -> &str {
    polygons.as_mapping().and_then(|keys| keys.get("recipe")?.as_str()).unwrap_or("plain")
}

/// How a job in `folder` names a file or folder: relative to itself where that lies in the folder or beside it, so that both can be moved
/// together.
pub fn near(folder: &Path, path: &Path) -> PathBuf {
    if let Ok(below) = path.strip_prefix(folder) {
        return below.to_owned();
    }
    let beside = folder.parent().and_then(|parent| path.strip_prefix(parent).ok());
    beside.map_or_else(|| path.to_owned(), |beside| Path::new("..").join(beside))
}

/// `FILE[:LAYER]` without the layer.
fn file_of(name: &str) -> &str {
    name.rsplit_once(':').map_or(name, |(file, _)| file)
}

/// A file, folder or pattern by its whole path; addresses stay.
fn local(name: &str, base: &Path) -> String {
    if name.contains("://") || name.starts_with("/vsi") || name.starts_with('~') {
        return name.to_owned();
    }
    let joined = base.join(name);
    std::path::absolute(&joined).unwrap_or(joined).display().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::LearntStart;

    #[test]
    fn files_beside_a_job_are_named_from_it() {
        let jobs = Path::new("/state/jobs");
        for (path, expected) in [
            ("/state/jobs/a.safetensors", "a.safetensors"),
            ("/state/embeddings.zarr", "../embeddings.zarr"),
            ("/other/embeddings.zarr", "/other/embeddings.zarr"),
            ("/statement/x", "/statement/x"),
        ] {
            assert_eq!(near(jobs, Path::new(path)), Path::new(expected));
        }
    }

    #[test]
    fn learnt_classes_of_a_job_stay_where_nothing_has_changed() {
        let base: Mapping =
            serde_yaml::from_str("scene: a.tif\nclasses: [{learnt: c.safetensors}, sand]\noutputs: {polygons: true}")
                .unwrap();
        let mut base = absolute(base, Path::new("/jobs"));
        let outputs = base.remove("outputs").unwrap().as_mapping().unwrap().clone();
        let document = Document { base, path: "job.yaml".into(), outputs, name: "a".into(), has_classes: true };
        assert_eq!(document.learnt_file(), Some("/jobs/c.safetensors".into()));
        assert_eq!(document.polygons("plain"), Some(&Value::Bool(true)));
        assert_eq!((document.polygons("roads"), document.chosen()["polygons"].as_str()), (None, Some("plain")));
        let class =
            |id, name: &str| ClassEntry { id, name: name.into(), words: Vec::new(), colour: None, threshold: None };
        let classes = vec![class(1, "water"), class(2, "tree"), class(3, "sand")];
        let start = LearntStart {
            file: "/jobs/c.safetensors".into(),
            classes: classes.clone(),
            background: None,
            ids: vec![1, 2],
            wordless: Vec::new(),
        };
        let mut session = Session { classes, learnt: Some(start), ..Session::default() };
        let job = |session: &Session, learnt: Option<&Path>| -> Mapping {
            serde_yaml::from_str(&document.text(session, learnt, None, None).unwrap()).unwrap()
        };
        let unchanged = job(&session, None);
        assert_eq!(unchanged["classes"][0]["learnt"], "/jobs/c.safetensors");
        assert_eq!(
            (&unchanged["classes"][1]["name"], unchanged["classes"].as_sequence().unwrap().len()),
            (&"sand".into(), 2)
        );
        assert_eq!(job(&session, Some(Path::new("b.safetensors")))["classes"][0]["learnt"], "b.safetensors");
        session.classes[1].name = "forest".into();
        assert_eq!(job(&session, None)["classes"][1]["name"], "forest", "words, until they are learnt again");
    }

    #[test]
    fn a_job_has_the_classes_of_the_session() {
        let base: Mapping = serde_yaml::from_str(
            "scene: a.tif\nclasses: [old]\nbackground: old\nmethod: {debias: 0.1}\naoi: {file: b.gpkg}",
        )
        .unwrap();
        let base = absolute(base, Path::new("/jobs"));
        let document =
            Document { base, path: "job.yaml".into(), outputs: Mapping::new(), name: "a".into(), has_classes: true };
        let class =
            |id, name: &str| ClassEntry { id, name: name.into(), words: Vec::new(), colour: None, threshold: None };
        let water = ClassEntry {
            words: vec!["lake".into()],
            colour: Some("#0000ff".into()),
            threshold: Some(0.25),
            ..class(1, "water")
        };
        let session = Session {
            classes: vec![water, class(2, "1e3")],
            background: Some(2),
            threshold: 0.5,
            bands: Some(vec!["4".into(), "nir".into(), "2".into()]),
            ..Session::default()
        };
        let store = TokenStore { folder: Path::new("/state/x.zarr"), precision: Precision::Float16 };
        let job = |learnt: Option<&Path>| -> Mapping {
            serde_yaml::from_str(&document.text(&session, learnt, Some(&store), None).unwrap()).unwrap()
        };
        let words = job(None);
        assert_eq!((&words["scene"], &words["aoi"]["file"]), (&"/jobs/a.tif".into(), &"/jobs/b.gpkg".into()));
        let water = &words["classes"][0];
        assert_eq!((&water["name"], &water["prompts"][0]), (&"water".into(), &"lake".into()));
        assert_eq!((&water["colour"], &water["threshold"]), (&"#0000ff".into(), &0.25.into()));
        // A name that looks like a number stays a name.
        assert_eq!((&words["classes"][1]["name"], &words["background"]), (&"1e3".into(), &"1e3".into()));
        assert_eq!((&words["method"]["debias"], &words["method"]["threshold"]), (&0.1.into(), &0.5.into()));
        assert_eq!((&words["bands"][0], &words["bands"][1]), (&4.into(), &"nir".into()));
        assert_eq!(
            (&words["embeddings"]["store"], &words["embeddings"]["precision"]),
            (&"/state/x.zarr".into(), &"float16".into())
        );
        assert_eq!(job(Some(Path::new("/state/c.safetensors")))["classes"]["learnt"], "/state/c.safetensors");
        let float32 = TokenStore { precision: Precision::Float32, ..store };
        assert!(!document.text(&session, None, Some(&float32), None).unwrap().contains("embeddings"));
    }
}
