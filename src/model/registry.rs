//! Models by name: bundles in the user's model folder, and the fakes that need none.

use std::path::{Path, PathBuf};

use super::bundle::{Bundle, CARD, Trust};
use super::fake::Answer;
use super::{fetch, folders, mini};
use crate::error::{Error, Result};
use crate::scene::Recommended;

/// Side of a window of the fake models, in pixels.
pub const FAKE_WINDOW: usize = 224;

/// A model that was found.
#[derive(Clone, Debug)]
pub enum Model {
    Bundle(Box<Bundle>),
    /// `fake:identity`, `fake:levels` and `fake:null`: what everything but the model costs and does.
    Fake(Answer),
}

impl Model {
    /// The embedded model, a name in the model folder, or a fake's.
    pub fn named(name: &str, trust: Trust) -> Result<Self> {
        match Self::find(name)? {
            Found::Fake(answer) => Ok(Self::Fake(answer)),
            Found::Mini => Ok(Self::Bundle(Box::new(mini::bundle()?))),
            Found::Folder(path) => Self::in_folder(&path, trust),
        }
    }

    /// The origin of a named model.
    ///
    /// # Errors
    /// There is none.
    pub fn find(name: &str) -> Result<Found> {
        match name {
            "fake:identity" => return Ok(Found::Fake(Answer::Identity)),
            "fake:levels" => return Ok(Found::Fake(Answer::Levels)),
            "fake:null" => return Ok(Found::Fake(Answer::Null)),
            _ if name.eq_ignore_ascii_case(mini::NAME) => return Ok(Found::Mini),
            _ => {}
        }
        // Names of published models are case-insensitive.
        let name = fetch::known(name).map_or(name, |model| model.name);
        let found = folder().map(|models| models.join(name)).filter(|_| is_plain(name)).filter(|path| path.is_dir());
        found.map(Found::Folder).ok_or_else(|| unknown(name))
    }

    pub fn in_folder(path: &Path, trust: Trust) -> Result<Self> {
        Ok(Self::Bundle(Box::new(Bundle::open(path, trust)?)))
    }

    /// Side of a window in pixels.
    pub fn window(&self) -> usize {
        match self {
            Self::Bundle(bundle) => bundle.card.sizes.window,
            Self::Fake(_) => FAKE_WINDOW,
        }
    }

    /// Settings for jobs that do not give their own.
    pub fn recommended(&self) -> Recommended {
        match self {
            Self::Bundle(bundle) => bundle.card.recommended,
            Self::Fake(_) => Recommended::default(),
        }
    }

    /// Side of a patch in pixels.
    pub fn patch(&self) -> usize {
        match self {
            Self::Bundle(bundle) => bundle.card.sizes.patch,
            Self::Fake(_) => 1,
        }
    }
}

/// What a name of a model leads to.
#[derive(Clone, Debug)]
pub enum Found {
    Fake(Answer),
    Mini,
    /// A folder below the model folder; not checked.
    Folder(PathBuf),
}

/// `$SEGEARTH_MODELS`, else `$XDG_DATA_HOME/segearth/models`, else `~/.local/share/segearth/models`.
pub fn folder() -> Option<PathBuf> {
    folders::data("SEGEARTH_MODELS", "models")
}

/// Names of the bundles in the model folder, `publisher/model` for nested ones, sorted.
pub fn names() -> Vec<String> {
    fn look(folder: &Path, prefix: &str, depth: usize, names: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
            if entry.path().join(CARD).is_file() {
                names.push(name);
            } else if depth > 0 && entry.path().is_dir() {
                look(&entry.path(), &format!("{name}/"), depth - 1, names);
            }
        }
    }
    let mut names = Vec::new();
    if let Some(folder) = folder() {
        look(&folder, "", 1, &mut names);
    }
    names.sort();
    names
}

/// A name is a path below the model folder and never leaves it.
fn is_plain(name: &str) -> bool {
    Path::new(name).components().all(|part| matches!(part, std::path::Component::Normal(_)))
}

fn unknown(name: &str) -> Error {
    let names = names();
    let known =
        if names.is_empty() { "none is installed".to_owned() } else { format!("installed: {}", names.join(", ")) };
    let error = Error::input(format!("there is no model `{name}` ({known})"));
    if fetch::known(name).is_some() {
        let folder =
            if Path::new(name).is_dir() { format!(" The folder of that name is `./{name}`.") } else { String::new() };
        return error.with_hint(format!("`segearth model fetch {name}` downloads and imports it.{folder}"));
    }
    error.with_hint("`mini` is built in; create others with `segearth model import` or `segearth model fetch`, or give the folder of a bundle.")
}
