//! A store: the model, and its scenes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::card::{FORMAT, ModelCard, SceneCard, StoreCard};
use super::chunk::Precision;
use super::folder::{LocalFiles, StoreFiles};
use super::scene::SceneStore;
use super::zarr::{create_metadata, damaged, group, read_metadata};
use crate::error::{Context, Error, Result};
use crate::hash;

/// Characters of a scene's name in the name of its folder.
const NAME_LENGTH: usize = 60;

/// A folder with the embeddings of scenes by one model.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
    files: Arc<dyn StoreFiles>,
    card: StoreCard,
}

impl Store {
    /// Opens a store on a disk.
    ///
    /// # Errors
    /// The folder is none, or of another format, or damaged.
    pub fn open(folder: &Path) -> Result<Self> {
        Self::open_in(folder, Arc::new(LocalFiles))
    }

    /// Opens a store to be read, wherever its files are.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn open_in(folder: &Path, files: Arc<dyn StoreFiles>) -> Result<Self> {
        Self::find(folder, files.clone())?.ok_or_else(|| {
            let shown = folder.display();
            let what = files.absence(folder);
            Error::input(format!("{shown} is not a store of embeddings: {what}"))
                .with_hint("`segearth embed SCENE -o STORE` makes one.")
        })
    }

    /// Opens a store; `None`: the folder has no metadata of Zarr.
    fn find(folder: &Path, files: Arc<dyn StoreFiles>) -> Result<Option<Self>> {
        let Some(metadata) = read_metadata(folder, files.as_ref())? else { return Ok(None) };
        let path = folder.join("zarr.json");
        let attributes = metadata.get("attributes").cloned().unwrap_or_default();
        let Some(format) = attributes.get("segearth_embeddings") else {
            return Err(Error::input(format!(
                "{} is not a store of embeddings: it holds other Zarr data",
                folder.display()
            ))
            .with_hint("`segearth embed SCENE -o STORE` makes one, in a folder that does not exist."));
        };
        if format.as_u64() != Some(u64::from(FORMAT)) {
            return Err(Error::input(format!(
                "{} has the format {format}; this version reads format {FORMAT}",
                path.display()
            ))
            .with_hint("Make the store again with this version of segearth."));
        }
        let card: StoreCard = serde_json::from_value(attributes).map_err(|cause| damaged(&path).with_source(cause))?;
        card.model.check().map_err(|cause| damaged(&path).with_source(cause))?;
        Ok(Some(Self { folder: folder.to_owned(), files, card }))
    }

    /// Looks for the store of a model: the one that is there, or `None` where one can be made. `precision`: `None` takes that of the
    /// store.
    ///
    /// # Errors
    /// The folder holds other things, or a store of another model or precision.
    pub fn look(folder: &Path, model: &ModelCard, precision: Option<Precision>) -> Result<Option<Self>> {
        let Some(store) = Self::find(folder, Arc::new(LocalFiles))? else { return check_free(folder).map(|()| None) };
        store.check_model(model)?;
        match precision {
            Some(wanted) if wanted != store.card.precision => Err(Error::input(format!(
                "{} holds {} tokens, not {}",
                folder.display(),
                store.card.precision.name(),
                wanted.name()
            ))
            .with_hint("Leave the precision out, or make another store.")),
            _ => Ok(Some(store)),
        }
    }

    /// Makes a store, or opens the one that is there. `precision`: `None` takes that of the store, else the default.
    ///
    /// # Errors
    /// As [`look`](Self::look), or the folder cannot be written.
    pub fn create(folder: &Path, model: &ModelCard, precision: Option<Precision>) -> Result<Self> {
        if let Some(store) = Self::look(folder, model, precision)? {
            return Ok(store);
        }
        let card =
            StoreCard { segearth_embeddings: FORMAT, model: model.clone(), precision: precision.unwrap_or_default() };
        let attributes = serde_json::to_value(&card).internal(|| "a store cannot be described as JSON".into())?;
        create_metadata(folder, &group(attributes))?;
        // Another process may have been faster.
        let store = Self::open(folder)?;
        store.check_model(model)?;
        Ok(store)
    }

    /// Refuses another model than the store's.
    ///
    /// # Errors
    /// Name and hash differ.
    pub fn check_model(&self, model: &ModelCard) -> Result<()> {
        let own = &self.card.model;
        if (&own.sha256, own.patch, own.width) == (&model.sha256, model.patch, model.width) {
            return Ok(());
        }
        let shown = |card: &ModelCard| {
            let hash: String = card.sha256.chars().take(12).collect();
            format!("{} (image tower {hash}…, patches of {} pixels, width {})", card.name, card.patch, card.width)
        };
        Err(Error::input(format!(
            "{} holds embeddings of another model\n  model: was {}, is {}",
            self.folder.display(),
            shown(own),
            shown(model)
        ))
        .with_hint("Use the store's model, or make another store with `segearth embed`."))
    }

    pub fn folder(&self) -> &Path {
        &self.folder
    }

    pub fn model(&self) -> &ModelCard {
        &self.card.model
    }

    pub fn precision(&self) -> Precision {
        self.card.precision
    }

    /// The folder of a scene.
    fn folder_of(&self, name: &str, path: &str) -> PathBuf {
        let plain = |c: char| if c.is_ascii_alphanumeric() || "-_".contains(c) { c } else { '_' };
        let name: String = name.chars().take(NAME_LENGTH).map(plain).collect();
        let hash: String = hash::of(path).chars().take(8).collect();
        self.folder.join(format!("{name}-{hash}"))
    }

    /// The scene of this name and path; `None`: the store does not have it.
    ///
    /// # Errors
    /// It is damaged.
    pub fn scene(&self, name: &str, path: &str) -> Result<Option<SceneStore>> {
        SceneStore::open(&self.folder_of(name, path), &self.files, &self.card.model, self.card.precision)
    }

    /// All scenes, in the order of their folders' names.
    ///
    /// # Errors
    /// One is damaged, or the folder cannot be read.
    pub fn scenes(&self) -> Result<Vec<SceneStore>> {
        let cannot = || format!("cannot read {}", self.folder.display());
        let unlisted = |error: Error| {
            match self.files.are_local() {
            true => error,
            false => error.with_hint(
                "A server that only sends files cannot list the scenes of a store: name one, as in `segearth segment SCENE --from STORE`, or \
                 put the store into a zip archive.",
            ),
        }
        };
        let mut folders: Vec<PathBuf> = self.files.list(&self.folder).input(cannot).map_err(unlisted)?;
        folders.sort();
        let open = |name: &PathBuf| {
            let folder = self.folder.join(name);
            let is_folder = if self.files.are_local() { folder.is_dir() } else { name.extension().is_none() };
            let open = || SceneStore::open(&folder, &self.files, &self.card.model, self.card.precision);
            is_folder.then(open).and_then(Result::transpose)
        };
        folders.iter().filter_map(open).collect()
    }

    /// Makes a scene, or opens the one that is there.
    ///
    /// # Errors
    /// The one that is there was embedded otherwise: the facts that differ.
    pub fn create_scene(&self, card: SceneCard) -> Result<SceneStore> {
        let folder = self.folder_of(&card.name, &card.path);
        let scene = match self.scene(&card.name, &card.path)? {
            Some(scene) => scene,
            None => SceneStore::create(&folder, card.clone(), &self.card.model, self.card.precision)?,
        };
        self.check_facts(&scene, &card)?;
        Ok(scene)
    }

    /// Refuses a scene that was embedded otherwise than `wanted` says.
    ///
    /// # Errors
    /// The facts that differ.
    pub fn check_facts(&self, scene: &SceneStore, wanted: &SceneCard) -> Result<()> {
        let differences = scene.card().facts.differences(&wanted.facts);
        if differences.is_empty() {
            return Ok(());
        }
        let lines: Vec<String> =
            differences.iter().map(|it| format!("  {}: was {}, is {}", it.name, it.was, it.is)).collect();
        Err(Error::input(format!(
            "{} holds {} with other settings or another content\n{}",
            self.folder.display(),
            wanted.name,
            lines.join("\n")
        ))
        .with_hint(
            "Use the store's settings, make another store, or make this scene again: `segearth embed … --overwrite`.",
        ))
    }

    /// Removes a scene, so that it can be made again.
    ///
    /// # Errors
    /// Its files cannot be removed.
    pub fn remove_scene(&self, name: &str, path: &str) -> Result<()> {
        let folder = self.folder_of(name, path);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::input(format!("cannot remove {}", folder.display())).with_source(error))
            }
            _ => Ok(()),
        }
    }
}

/// Refuses a folder that holds anything.
fn check_free(folder: &Path) -> Result<()> {
    let taken = |what: &str| {
        Err(Error::input(format!("{} already exists and is not a store of embeddings{what}", folder.display()))
            .with_hint("Choose a folder that does not exist."))
    };
    match fs::read_dir(folder) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(_) if !folder.is_dir() => taken(": it is a file"),
        Err(error) => Err(Error::input(format!("cannot read {}", folder.display())).with_source(error)),
        Ok(mut entries) => match entries.next() {
            None => Ok(()),
            Some(_) => taken(""),
        },
    }
}
