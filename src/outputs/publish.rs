//! How finished files get their names.

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

/// Gives the files of outputs their names: all are looked at once more before the first of them is renamed.
///
/// # Errors
/// Something appeared or was edited since the outputs were checked: nothing of it is replaced.
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

/// A change on the disk after which a kill is recognised by what was done before it.
#[derive(Debug)]
pub(super) enum PublishStep {
    Record(Record),
    Remove(PathBuf),
    /// `new`: nobody may have the name.
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
                    false => Err(appeared(&to)),
                }
            }
        }
    }
}

/// What is to be done on the disk, in this order: the record says what is coming; what readers would take for a part of the
/// new file goes; companions get their names, the file that was named last; the record forgets what is gone.
pub(super) fn steps(staging: &Staging, existing: Existing) -> Result<Vec<PublishStep>> {
    let product = &staging.product;
    let names = names(staging)?;
    let main = product.target.file_name().unwrap_or_default();
    if !names.contains(main) {
        return Err(Error::internal(format!("{} was not written", product.target.display())));
    }
    let kept = if existing == Existing::Replace { Vec::new() } else { guard::edited_companions(product) };
    let place = |name: &OsString| product.target.with_file_name(name);
    let known: BTreeSet<&PathBuf> = product.files.iter().chain(&product.companions).chain(&product.stray).collect();
    let more: Vec<Product> = names
        .iter()
        .map(place)
        .filter(|path| !known.contains(path))
        .map(|path| Product::file(&path, product.run.clone()))
        .collect();
    guard::check(&more, existing, true)?;

    let mut pieces = Vec::new();
    for name in &names {
        let staged = staging.folder().join(name);
        // Companions can be done without.
        if !product.companions.contains(&place(name)) {
            let synced = File::open(&staged).and_then(|file| file.sync_all());
            synced.map_err(|cause| atomic::failed("complete", &place(name), cause))?;
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
            return Err(appeared(&product.target));
        }
        if staging.base != Stamp::of(&product.target) {
            return Err(Error::input(format!(
                "{} was changed while layers were made for it",
                product.target.display()
            ))
            .with_hint("Nothing was written to it; give the command again."));
        }
    }

    let mut record = Record::read(&product.target);
    if staging.base.is_none() && !product.layers.is_empty() {
        // What is known of an older file of this name is of no use any more.
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
        let to = place(name);
        if !kept.contains(&to) {
            let new = fs::symlink_metadata(&to).is_err();
            steps.push(PublishStep::Rename { from: staging.folder().join(name), to, new });
        }
    }
    record.complete();
    steps.push(PublishStep::Record(record));
    Ok(steps)
}

fn appeared(path: &Path) -> Error {
    Error::input(format!("{} appeared while its new content was made, and is not replaced", path.display()))
        .with_hint("Move it away and give the command again.")
}

/// The names of the files that were written.
fn names(staging: &Staging) -> Result<BTreeSet<OsString>> {
    let cannot = || "cannot list the staging folder".to_owned();
    let mut names = BTreeSet::new();
    for entry in fs::read_dir(staging.folder()).internal(cannot)? {
        let entry = entry.internal(cannot)?;
        if entry.file_type().internal(cannot)?.is_file() {
            names.insert(entry.file_name());
        }
    }
    Ok(names)
}
