//! The CLIP weights behind a bundle. A bundle holds traces, from which weights cannot be had again by name: whoever wants to
//! train on them needs the file that was imported.

use std::fs;
use std::path::{Path, PathBuf};

use super::bundle::Bundle;
use super::{fetch, mini};
use crate::error::{Context, Error, Result};
use crate::hash;

/// Folders below the downloads' folder that are looked through.
const DEPTH: usize = 3;

/// The file of CLIP weights that `bundle` was imported from: `given` if it is that, else the embedded weights (written into
/// `folder`) or a download, if they are.
///
/// # Errors
/// `given` is another file, or there is none and none is known.
pub fn clip_of(bundle: &Bundle, given: Option<&Path>, folder: &Path) -> Result<PathBuf> {
    let source = bundle.card.provenance.sources.iter().find(|source| source.role == "clip");
    let place = bundle.folder.display();
    match (given, source) {
        (Some(path), None) => {
            // A card without provenance; sizes are compared later.
            if path.is_file() { Ok(path.to_owned()) } else { Err(missing(path)) }
        }
        (Some(path), Some(source)) => {
            if !path.is_file() {
                return Err(missing(path));
            }
            let found = hash::of_file(path)?;
            if found.eq_ignore_ascii_case(&source.sha256) {
                check_shards(bundle, path)?;
                return Ok(path.to_owned());
            }
            Err(Error::input(format!(
                "{} has SHA-256 {found}, but {place} was imported from {} with {}",
                path.display(),
                source.file,
                source.sha256
            ))
            .with_hint("Give the file that was imported, or import this one with `--upsampler none` first."))
        }
        (None, Some(source)) => {
            if hash::of(mini::clip()).eq_ignore_ascii_case(&source.sha256) {
                let path = folder.join("clip.safetensors");
                fs::write(&path, mini::clip()).input(|| format!("cannot write {}", path.display()))?;
                return Ok(path);
            }
            let downloads = fetch::downloads().into_iter().flat_map(|root| named(&root, &source.file, DEPTH));
            for path in downloads {
                if hash::of_file(&path)?.eq_ignore_ascii_case(&source.sha256) {
                    check_shards(bundle, &path)?;
                    return Ok(path);
                }
            }
            Err(Error::input(format!(
                "cannot find the CLIP weights of {place}: it was imported from {} with SHA-256 {}",
                source.file, source.sha256
            ))
            .with_hint("Give that file with `--clip FILE`."))
        }
        (None, None) => {
            Err(Error::input(format!("model.yaml of {place} does not name the CLIP weights that it was imported from"))
                .with_hint("Give their file with `--clip FILE`."))
        }
    }
}

/// Compares the files of an index with those that were imported.
fn check_shards(bundle: &Bundle, index: &Path) -> Result<()> {
    for part in bundle.card.provenance.sources.iter().filter(|source| source.role == "clip-part") {
        let path = index.with_file_name(&part.file);
        let found = hash::of_file(&path)?;
        if !found.eq_ignore_ascii_case(&part.sha256) {
            return Err(Error::input(format!(
                "{} has SHA-256 {found}, but {} was imported from one with {}",
                path.display(),
                bundle.folder.display(),
                part.sha256
            ))
            .with_hint("Give the files that were imported."));
        }
    }
    Ok(())
}

fn missing(path: &Path) -> Error {
    Error::input(format!("there is no file {}", path.display())).with_hint("Check the path after `--clip`.")
}

/// Returns the files with this name below a folder.
fn named(folder: &Path, name: &str, depth: usize) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()) {
        if path.is_dir() && depth > 0 {
            found.extend(named(&path, name, depth - 1));
        } else if path.is_file() && path.file_name().is_some_and(|it| it.to_string_lossy() == name) {
            found.push(path);
        }
    }
    found.sort();
    found
}
