//! Publishes finished files: renames them from their staging folder to their final paths.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::content::Piece;
use super::guard::{self, Existing};
use super::product::Product;
use super::record::Record;
use super::staging::{Staging, Stamp};
use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::vector::geopackage::{self, GeoPackage};

/// Renames the files of all outputs to their final paths, after checking all of them again.
///
/// # Errors
/// A file was created or edited since the outputs were checked; it is not replaced.
pub fn publish(stagings: impl IntoIterator<Item = Staging>, existing: Existing) -> Result<()> {
    let stagings: Vec<Staging> = stagings.into_iter().collect();
    guard::check(stagings.iter().map(|staging| &staging.product), existing, true)?;
    for staging in &stagings {
        for step in steps(staging, existing)? {
            step.take(&staging.product)?;
        }
    }
    Ok(())
}

/// One change on disk. After a kill between two steps the next run recognises which of them were done.
#[derive(Debug)]
pub(super) enum PublishStep {
    Record(Record),
    Remove(PathBuf),
    /// `new`: fails if `to` exists.
    Rename {
        from: PathBuf,
        to: PathBuf,
        new: bool,
    },
}

impl PublishStep {
    pub(super) fn take(self, product: &Product) -> Result<()> {
        match self {
            Self::Record(mut record) => record.write(&product.target),
            Self::Remove(path) => match fs::remove_file(&path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    Err(error).input(|| format!("cannot remove {}", path.display()))
                }
                _ => Ok(()),
            },
            Self::Rename { from, to, new: false } => {
                fs::rename(&from, &to).input(|| format!("cannot complete {}", to.display()))
            }
            Self::Rename { from, to, new: true } => {
                match atomic::rename_new(&from, &to).input(|| format!("cannot complete {}", to.display()))? {
                    true => Ok(()),
                    false => Err(created_meanwhile(&to)),
                }
            }
        }
    }
}

/// The steps of publishing an output, in order: announce the new files in the record; remove files that would be read as part
/// of them; rename the companions, and the target last; complete the record.
pub(super) fn steps(staging: &Staging, existing: Existing) -> Result<Vec<PublishStep>> {
    let product = &staging.product;
    let names = names(staging)?;
    let main = product.target.file_name().unwrap_or_default();
    if !names.contains(main) {
        return Err(Error::internal(format!("{} was not written", product.target.display())));
    }
    let kept = if existing == Existing::Replace { Vec::new() } else { guard::edited_companions(product) };
    let final_path = |name: &OsString| product.target.with_file_name(name);
    let known: BTreeSet<&PathBuf> = product.files.iter().chain(&product.companions).chain(&product.stray).collect();
    let more: Vec<Product> = names
        .iter()
        .map(final_path)
        .filter(|path| !known.contains(path))
        .map(|path| Product::file(&path, product.run.clone()))
        .collect();
    guard::check(&more, existing, true)?;

    let mut pieces = Vec::new();
    for name in &names {
        let staged = staging.folder().join(name);
        // Companions are optional: they need not survive a crash.
        if !product.companions.contains(&final_path(name)) {
            let synced = File::open(&staged).and_then(|file| file.sync_all());
            synced.map_err(|cause| atomic::failed("complete", &final_path(name), cause))?;
        }
        let text = name.to_string_lossy();
        if product.layers.is_empty() {
            pieces.push(Piece::of(&staged, &text, None)?);
        } else if name == main {
            let there = GeoPackage::read(&staged)?;
            for layer in product.layers.iter().filter_map(|layer| there.layer(layer)) {
                pieces.push(Piece::of(&staged, &text, Some(layer))?);
            }
        } else {
            pieces.push(Piece::of(&staged, &text, None)?);
        }
    }
    if !product.layers.is_empty() && geopackage::is_database(&product.target) {
        if staging.base.is_none() {
            return Err(created_meanwhile(&product.target));
        }
        if staging.base != Stamp::of(&product.target) {
            return Err(Error::input(format!(
                "{} was changed while its new layers were computed",
                product.target.display()
            ))
            .with_hint("Nothing was written to it. Run the command again."));
        }
    }

    let mut record = Record::read(&product.target);
    if staging.base.is_none() && !product.layers.is_empty() {
        // The target is a new file: entries about an older file of this name no longer apply.
        record.writes.clear();
    }
    record.announce(product.run.clone(), pieces);
    let mut steps = vec![PublishStep::Record(record.clone())];
    let gone = product.stray.iter().chain(&product.companions).filter(|path| {
        !kept.contains(path) && !path.file_name().is_some_and(|name| names.contains(name)) && path.exists()
    });
    steps.extend(gone.cloned().map(PublishStep::Remove));
    let mut order: Vec<&OsString> = names.iter().filter(|name| *name != main).collect();
    order.extend(names.get(main));
    for name in order {
        let to = final_path(name);
        if !kept.contains(&to) {
            let new = fs::symlink_metadata(&to).is_err();
            steps.push(PublishStep::Rename { from: staging.folder().join(name), to, new });
        }
    }
    record.complete();
    steps.push(PublishStep::Record(record));
    Ok(steps)
}

fn created_meanwhile(path: &Path) -> Error {
    Error::input(format!("{} was created by another process in the meantime, and is not replaced", path.display()))
        .with_hint("Move it and run the command again.")
}

/// The names of the files in the staging folder.
fn names(staging: &Staging) -> Result<BTreeSet<OsString>> {
    let cannot = || "cannot list the staging folder".to_owned();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(staging.folder()).internal(cannot)? {
        let entry = entry.internal(cannot)?;
        let name = entry.file_name();
        let dropped = staging.product.dropped.iter().any(|path| path.file_name() == Some(name.as_os_str()));
        if entry.file_type().internal(cannot)?.is_file() && !dropped {
            names.insert(name);
        }
    }
    Ok(names)
}
