//! Decides for each output whether it is written, kept or refused.

use std::fs;
use std::path::{Path, PathBuf};

use super::content::{Piece, has_only_statistics};
use super::product::Product;
use super::record::{Record, Write};
use crate::error::{Error, Result};
use crate::journal::{Difference, Fingerprint};
use crate::raster;
use crate::vector::{self, geopackage};

/// How existing outputs are treated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Existing {
    #[default]
    Refuse,
    /// As `Refuse`, in a shard or worker, which has no --overwrite.
    RefuseShared,
    /// --overwrite.
    Replace,
}

/// The decision about an output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does not exist, or may be replaced.
    Write,
    /// A run with the same fingerprint wrote it, and it is unchanged.
    Keep,
    /// A run with the same fingerprint wrote it, and it was edited since. The text names the file or layer that is kept.
    KeepEdited(String),
}

/// The reason why an output may not be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    path: PathBuf,
    what: String,
    /// Whether --overwrite replaces it.
    replaceable: bool,
    layer: bool,
}

/// Number of refused outputs that an error lists.
const MAX_LISTED: usize = 20;

/// Decides about each output. With `again`, outputs of a run with the same fingerprint are written again (short commands do
/// so), and edited ones are refused.
///
/// # Errors
/// One error for all outputs that may not be written; it lists what exists, and its hint the way out.
pub fn check<'a>(
    products: impl IntoIterator<Item = &'a Product>,
    existing: Existing,
    again: bool,
) -> Result<Vec<Verdict>> {
    let mut verdicts = Vec::new();
    let mut refusals = Vec::new();
    for product in products {
        match verdict(product, existing, again) {
            Ok(verdict) => verdicts.push(verdict),
            Err(mut refused) => refusals.append(&mut refused),
        }
    }
    if refusals.is_empty() { Ok(verdicts) } else { Err(refused(&refusals, existing)) }
}

/// One error for all refused outputs.
fn refused(refusals: &[Refusal], existing: Existing) -> Error {
    let mut lines: Vec<String> =
        refusals.iter().take(MAX_LISTED).map(|it| format!("  {}: {}", it.path.display(), it.what)).collect();
    if refusals.len() > MAX_LISTED {
        lines.push(format!("  and {} more", refusals.len() - MAX_LISTED));
    }
    let head = match refusals.len() {
        1 => "an output exists and is not overwritten".to_owned(),
        count => format!("{count} outputs exist and are not overwritten"),
    };
    let error = Error::input(format!("{head}\n{}", lines.join("\n")));
    let replaceable = refusals.iter().any(|refusal| refusal.replaceable);
    error.with_hint(match existing {
        Existing::Refuse if replaceable && refusals.iter().any(|refusal| refusal.layer) => {
            "Replace what is there with --overwrite (of a GeoPackage the layer alone), or give the output another name."
        }
        Existing::Refuse if replaceable => "Replace what is there with --overwrite, or give the output another name.",
        Existing::RefuseShared if replaceable => {
            "Move the existing output, or give the output another name: shards and workers have no --overwrite."
        }
        _ => "Give the output another name.",
    })
}

/// The state of one file or layer, compared with the run that wants to write it.
enum State {
    Absent,
    /// Unchanged since a run with the same fingerprint wrote it. `whole`: that run completed it, on the same kind of device.
    Own {
        whole: bool,
    },
    /// Written by a run with the same fingerprint, and edited since.
    Edited,
    Other {
        differences: Vec<Difference>,
        edited: bool,
    },
    Foreign,
}

pub(super) fn verdict(product: &Product, existing: Existing, again: bool) -> Result<Verdict, Vec<Refusal>> {
    let refusal = |path: &Path, what: String, replaceable: bool| Refusal {
        path: path.to_owned(),
        what,
        replaceable,
        layer: replaceable && !product.layers.is_empty(),
    };
    let all = product.files.iter().chain(&product.companions).chain(&product.stray);
    let odd: Vec<Refusal> = all
        .filter(|path| fs::symlink_metadata(path).is_ok() && !path.is_file())
        .map(|path| refusal(path, "it is not a regular file".into(), false))
        .collect();
    if !odd.is_empty() {
        return Err(odd);
    }
    let record = Record::read(&product.target);
    let package = Package::of(product)?;
    let states: Vec<(&Path, Option<&str>, State)> = match &package {
        Some(Package { layers, .. }) => layers
            .iter()
            .map(|(wanted, there)| {
                let path = product.target.as_path();
                (path, Some(wanted.as_str()), state(path, Some(there.as_deref()), &record, &product.run))
            })
            .collect(),
        None => {
            product.files.iter().map(|path| (path.as_path(), None, state(path, None, &record, &product.run))).collect()
        }
    };
    let mut verdict = Verdict::Write;
    if existing != Existing::Replace {
        let mut refusals = Vec::new();
        for (path, layer, state) in &states {
            let what = match state {
                State::Absent | State::Own { .. } => continue,
                State::Edited if !again => continue,
                State::Edited => "was written by this command and edited since".to_owned(),
                State::Other { differences, edited } => other(differences, *edited),
                State::Foreign => foreign(path, *layer),
            };
            let what = layer.map_or_else(|| what.clone(), |layer| format!("its layer {layer:?} {what}"));
            refusals.push(refusal(path, what, true));
        }
        if !refusals.is_empty() {
            // Of the parts of one output, such as a Shapefile's, the first is enough.
            if package.is_none() {
                refusals.truncate(1);
            }
            return Err(refusals);
        }
        let edited = states.iter().find(|(_, _, state)| matches!(state, State::Edited));
        if let Some((path, layer, _)) = edited {
            let what = match layer {
                Some(layer) => format!("the layer {layer:?} of {}", path.display()),
                None => path.display().to_string(),
            };
            return Ok(Verdict::KeepEdited(what));
        }
        let own = states.iter().all(|(_, _, state)| matches!(state, State::Own { whole: true }));
        if own && !again && !states.is_empty() {
            verdict = Verdict::Keep;
        }
    }
    if verdict == Verdict::Write {
        let mut refusals: Vec<Refusal> = package.iter().filter_map(|package| package.obstacle(product)).collect();
        if existing != Existing::Replace {
            refusals.extend(beside(product, &record).map(|(path, what)| refusal(path, what, true)));
        }
        if !refusals.is_empty() {
            return Err(refusals);
        }
    }
    Ok(verdict)
}

/// Companions that were edited since a run with the same fingerprint wrote them: they are kept.
pub(super) fn edited_companions(product: &Product) -> Vec<PathBuf> {
    let record = Record::read(&product.target);
    let edited = |path: &&PathBuf| matches!(state(path, None, &record, &product.run), State::Edited);
    product.companions.iter().filter(edited).cloned().collect()
}

/// Files beside an output that would be lost, or that other programs would read as part of it.
fn beside<'a>(product: &'a Product, record: &'a Record) -> impl Iterator<Item = (&'a Path, String)> {
    let others = Record::of_same_stem(&product.target);
    let companions = product.companions.iter().filter_map(move |path| match state(path, None, record, &product.run) {
        // A style is shared by all outputs of one stem.
        State::Foreign if others.iter().any(|other| known(path, other)) => None,
        State::Foreign => Some((path.as_path(), foreign(path, None))),
        State::Other { edited: true, differences } => Some((path.as_path(), other(&differences, true))),
        _ => None,
    });
    let stray = product.stray.iter().filter(|path| path.exists() && !known(path, record) && !has_only_statistics(path));
    companions.filter(|(path, _)| !has_only_statistics(path)).chain(stray.map(|path| {
        let target = product.target.file_name().unwrap_or_default().to_string_lossy();
        (path.as_path(), format!("other programs would read it as part of {target}"))
    }))
}

fn known(path: &Path, record: &Record) -> bool {
    pieces(path, None, record).any(|(_, piece)| piece.matches(path))
}

fn pieces<'a>(
    path: &Path,
    layer: Option<&'a str>,
    record: &'a Record,
) -> impl Iterator<Item = (&'a Write, &'a Piece)> + use<'a> {
    let file = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    record.writes.iter().rev().flat_map(move |write| {
        let file = file.clone();
        let same = move |piece: &&Piece| {
            piece.file == file
                && match (&piece.layer, layer) {
                    (None, None) => true,
                    (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
                    _ => false,
                }
        };
        write.pieces.iter().filter(same).map(move |piece| (write, piece))
    })
}

/// `layer`: `None` for a file; `Some(None)` for a layer that does not exist, else the layer's name in the file.
fn state(path: &Path, layer: Option<Option<&str>>, record: &Record, run: &Fingerprint) -> State {
    let absent = match layer {
        Some(layer) => layer.is_none(),
        None => !path.exists(),
    };
    if absent {
        return State::Absent;
    }
    let mut written: Option<State> = None;
    for (write, piece) in pieces(path, layer.flatten(), record) {
        let (same, device) = same(&write.run, run);
        let unedited = piece.matches(path);
        if same && unedited {
            return State::Own { whole: device && !write.pending };
        }
        let differences = || write.run.differences(run).into_iter().filter(|it| it.name != DEVICE).collect();
        let state = match (same, unedited) {
            (true, _) => State::Edited,
            (false, unedited) => State::Other { differences: differences(), edited: !unedited },
        };
        // An unedited result of other settings decides; an older entry, from before a kill, does not.
        if unedited || written.is_none() {
            written = Some(state);
        }
        if unedited {
            break;
        }
    }
    written.unwrap_or(State::Foreign)
}

/// The entry of the fingerprint that distinguishes CPU and GPU: results of both are results of the same job.
const DEVICE: &str = "device";

/// Whether two fingerprints are equal apart from the device, and whether they are equal altogether.
fn same(before: &Fingerprint, now: &Fingerprint) -> (bool, bool) {
    let differences = before.differences(now);
    (differences.iter().all(|it| it.name == DEVICE), differences.is_empty())
}

/// Description of a result of an earlier run with other settings.
fn other(differences: &[Difference], edited: bool) -> String {
    let shown: Vec<String> =
        differences.iter().map(|Difference { name, was, is }| format!("{name} was {was}, is {is}")).collect();
    let since = if edited { ", edited since" } else { "" };
    format!("is a result of an earlier run with other settings{since}: {}", shown.join("; "))
}

/// Description of a file or layer without a record.
fn foreign(path: &Path, layer: Option<&str>) -> String {
    if let Some(layer) = layer {
        let count = geopackage::count(path, layer).map_or_else(String::new, |count| {
            format!("has {count} {} and ", if count == 1 { "feature" } else { "features" })
        });
        return format!("{count}is not recorded by segearth");
    }
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_lowercase()).unwrap_or_default();
    let raster = |kind: &str| {
        raster::inspect(path).ok().map(|info| format!("{kind} of {} × {} pixels", info.size.width, info.size.height))
    };
    let what = match extension.as_str() {
        "tif" | "tiff" => raster("a GeoTIFF"),
        "png" => raster("a picture"),
        "json" | "csv" | "html" | "htm" => None,
        _ => vector::features(path).map(|count| match count {
            1 => "a file of one feature".to_owned(),
            count => format!("a file of {count} features"),
        }),
    };
    let bytes = || fs::metadata(path).map_or(0, |metadata| metadata.len());
    format!("{} that segearth has no record of", what.unwrap_or_else(|| format!("a file of {} bytes", bytes())))
}

/// The existing GeoPackage: each layer to write, and its name in the file.
struct Package {
    layers: Vec<(String, Option<String>)>,
    /// A table with the name of a layer to write that is not a layer.
    table: Option<String>,
}

impl Package {
    /// `None` where the file does not exist, or is not a GeoPackage to which layers can be added.
    fn of(product: &Product) -> Result<Option<Self>, Vec<Refusal>> {
        if product.layers.is_empty() || !geopackage::is_database(&product.target) {
            return Ok(None);
        }
        let there = geopackage::GeoPackage::read(&product.target).map_err(|error| {
            let cause = error.causes().into_iter().next().unwrap_or_default();
            let what = match error.hint() {
                Some(hint) => format!("{cause}. {hint}"),
                None => format!("it cannot be read as a GeoPackage ({cause})"),
            };
            vec![Refusal { path: product.target.clone(), what, replaceable: false, layer: false }]
        })?;
        let layers = product.layers.iter().map(|name| (name.clone(), there.layer(name).map(str::to_owned))).collect();
        let table = product.layers.iter().find_map(|name| there.table(name)).map(str::to_owned);
        Ok(Some(Self { layers, table }))
    }

    /// The reason why layers cannot be added, also with --overwrite.
    fn obstacle(&self, product: &Product) -> Option<Refusal> {
        let what = match (&self.table, geopackage::in_use(&product.target)) {
            (Some(table), _) => format!("its table {table:?} is not a layer and is not replaced"),
            (None, Some(file)) => format!(
                "it is open in another program such as QGIS, or that program crashed: {} exists. Close the file there, or \
                 open and close it once",
                file.file_name().unwrap_or_default().to_string_lossy()
            ),
            (None, None) => return None,
        };
        Some(Refusal { path: product.target.clone(), what, replaceable: false, layer: false })
    }
}
