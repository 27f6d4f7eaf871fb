//! Jobs that are saved: a YAML file, and beside it the file of learnt classes that it names.

use std::fs;
use std::path::{Path, PathBuf};

use super::lock::lock;
use super::shared::Shared;
use crate::atomic;
use crate::error::{Context as _, Error, Result};
use crate::learn;

/// Letters of a job's name.
const MOST_NAME: usize = 60;

/// The file of the classes that the session has learnt; `None`: it has too few examples.
///
/// # Errors
/// They are not learnt yet.
pub fn learnt_file(shared: &Shared) -> Result<Option<PathBuf>> {
    let session = lock(&shared.session).clone();
    if let Some(start) = session.unchanged_start() {
        return Ok(Some(start.file.clone()));
    }
    if !session.can_learn() {
        return Ok(None);
    }
    let news = lock(&shared.news).clone();
    let file = news.learnt.filter(|_| news.revision == session.revision);
    file.map(Some).ok_or_else(|| {
        let error = Error::input("the classes are not learnt from the examples yet");
        match news.failed {
            Some((sentence, _)) => error.with_hint(format!("Learning failed: {sentence}.")),
            None => error.with_hint("Try again in a second."),
        }
    })
}

/// Copies a file of learnt classes into the folder of a job.
///
/// # Errors
/// It cannot be read or written.
pub fn copy_classes(file: &Path, folder: &Path) -> Result<PathBuf> {
    let to = folder.join(format!("classes.{}", learn::EXTENSION));
    copy(file, &to)?;
    Ok(to)
}

fn copy(file: &Path, to: &Path) -> Result<()> {
    let bytes = fs::read(file).input(|| format!("cannot read {}", file.display()))?;
    atomic::write_file(to, &bytes)
}

/// Saves a job in the state folder; `text`: what it says, given its file of learnt classes and its folder. Returns the job's file.
///
/// # Errors
/// The name is none, or taken and not to be replaced.
pub fn save(
    shared: &Shared,
    name: Option<&str>,
    replace: bool,
    text: impl FnOnce(Option<&Path>, &Path) -> Result<String>,
) -> Result<PathBuf> {
    let name = name.map(str::trim).filter(|name| !name.is_empty()).unwrap_or(&shared.document.name);
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    if name.len() > MOST_NAME || name.starts_with('.') || !name.chars().all(plain) {
        return Err(Error::input(format!("the name of the job is {name:?}"))
            .with_hint(format!("Use at most {MOST_NAME} letters, digits, - and _.")));
    }
    let folder = shared.folder.join("jobs");
    fs::create_dir_all(&folder).input(|| format!("cannot make the folder {}", folder.display()))?;
    let (job, classes) = (folder.join(format!("{name}.yaml")), folder.join(format!("{name}.{}", learn::EXTENSION)));
    let learnt = learnt_file(shared)?;
    if !replace && (job.exists() || learnt.is_some() && classes.exists()) {
        return Err(
            Error::input(format!("there is a job {name:?} already")).with_hint("Choose another name, or replace it.")
        );
    }
    if let Some(file) = &learnt {
        copy(file, &classes)?;
    }
    let text = text(learnt.as_ref().map(|_| classes.as_path()), &folder)?;
    atomic::write_file(&job, text.as_bytes())?;
    Ok(job)
}
