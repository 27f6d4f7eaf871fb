//! Matches predictions with their references by file name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::error::{Context, Error, Result};
use crate::location::check_exists;

/// A prediction and its reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    pub prediction: PathBuf,
    pub reference: PathBuf,
}

/// Pairs, and the files without a match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pairs {
    pub pairs: Vec<Pair>,
    pub unmatched_predictions: Vec<PathBuf>,
    pub unmatched_references: Vec<PathBuf>,
}

/// Extensions of label rasters. JPEG is not among them, because its colours are not exact.
const RASTERS: [&str; 10] = ["tif", "tiff", "png", "vrt", "img", "bmp", "gif", "jp2", "asc", "nc"];
const VECTORS: [&str; 7] = ["gpkg", "geojson", "json", "fgb", "shp", "geojsonl", "kml"];

/// Suffixes of label files, removed before names are compared.
const SUFFIXES: [&str; 12] = [
    ".labels",
    "_labels",
    "-labels",
    "_label",
    "-label",
    "_mask",
    "-mask",
    "_gt",
    "-gt",
    "_truth",
    "_prediction",
    "_pred",
];

/// Depth to which folders are searched.
const MAX_DEPTH: usize = 8;

/// Matches a file with a file, every file of a folder with one reference, or the files of two folders by their relative path:
/// `tile1/part_002.png` matches `tile1/part_002_labels.tif`.
///
/// # Errors
/// A path does not exist or cannot be listed; no file matches; two files of a folder differ only in extension or suffix.
pub fn pair(prediction: &Path, reference: &Path) -> Result<Pairs> {
    pair_of(prediction, reference, None)
}

/// As [`pair`], with score rasters for predictions: of a folder, those whose names end in `_scores`.
///
/// # Errors
/// As [`pair`].
pub fn pair_scores(scores: &Path, reference: &Path) -> Result<Pairs> {
    pair_of(scores, reference, Some("_scores"))
}

/// `ending`: of a folder of predictions, only files whose names end so.
fn pair_of(prediction: &Path, reference: &Path, ending: Option<&str>) -> Result<Pairs> {
    for path in [prediction, reference] {
        check_exists(path, "file or folder")?;
    }
    if !prediction.is_dir() && !reference.is_dir() {
        let pair = Pair { prediction: prediction.to_owned(), reference: reference.to_owned() };
        return Ok(Pairs { pairs: vec![pair], ..Pairs::default() });
    }
    let predictions = labels_in(prediction, &RASTERS, ending)?;
    if !reference.is_dir() {
        let whole = |prediction| Pair { prediction, reference: reference.to_owned() };
        return non_empty(
            Pairs { pairs: predictions.into_values().map(whole).collect(), ..Pairs::default() },
            prediction,
            reference,
        );
    }
    let mut references = labels_in(reference, &[RASTERS.as_slice(), VECTORS.as_slice()].concat(), None)?;
    let mut found = Pairs::default();
    for (key, prediction) in predictions {
        match references.remove(&key) {
            Some(reference) => found.pairs.push(Pair { prediction, reference }),
            None => found.unmatched_predictions.push(prediction),
        }
    }
    found.unmatched_references = references.into_values().collect();
    non_empty(found, prediction, reference)
}

fn non_empty(found: Pairs, prediction: &Path, reference: &Path) -> Result<Pairs> {
    if !found.pairs.is_empty() {
        return Ok(found);
    }
    let example = |paths: &[PathBuf]| paths.first().map_or("nothing".to_owned(), |path| format!("{}", path.display()));
    Err(Error::input(format!(
        "no label file in {} has a matching reference in {} (first files: {} and {})",
        prediction.display(),
        reference.display(),
        example(&found.unmatched_predictions),
        example(&found.unmatched_references)
    ))
    .with_hint(
        "Files match by their path relative to the folder, without extension and suffixes such as _labels or _mask.",
    ))
}

/// Label files by the key that matches them. `root` is a folder or a single file.
fn labels_in(root: &Path, extensions: &[&str], ending: Option<&str>) -> Result<BTreeMap<String, PathBuf>> {
    let mut files = Vec::new();
    if root.is_dir() {
        walk(root, MAX_DEPTH, &mut files)?;
        files.retain(|path| {
            let extension = path.extension().and_then(|extension| extension.to_str()).unwrap_or_default();
            let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            extensions.iter().any(|known| extension.eq_ignore_ascii_case(known))
                && ending.is_none_or(|ending| stem.ends_with(ending))
        });
    } else {
        files.push(root.to_owned());
    }
    files.sort();
    let mut labels = BTreeMap::<String, PathBuf>::new();
    for path in files {
        let base = if root.is_dir() { root } else { root.parent().unwrap_or(root) };
        let key = key(path.strip_prefix(base).unwrap_or(&path));
        let key = ending.and_then(|ending| key.strip_suffix(ending)).map_or(key.clone(), str::to_owned);
        if let Some(other) = labels.insert(key, path.clone()) {
            return Err(Error::input(format!(
                "{} and {} differ only in extension or suffix, so both match the same file",
                other.display(),
                path.display()
            ))
            .with_hint("Keep one of them in the folder."));
        }
    }
    Ok(labels)
}

fn walk(folder: &Path, depth: usize, files: &mut Vec<PathBuf>) -> Result<()> {
    let unreadable = || format!("cannot list the folder {}", folder.display());
    for entry in std::fs::read_dir(folder).input(unreadable)? {
        let path = entry.input(unreadable)?.path();
        let hidden = path.file_name().is_none_or(|name| name.to_string_lossy().starts_with('.'));
        if hidden {
            continue;
        }
        if !path.is_dir() {
            files.push(path);
        } else if depth > 0 {
            walk(&path, depth - 1, files)?;
        }
    }
    Ok(())
}

/// The path without its extension and without a suffix of `SUFFIXES`.
fn key(relative: &Path) -> String {
    let path = relative.with_extension("").to_string_lossy().replace('\\', "/");
    let stem = SUFFIXES.iter().find_map(|suffix| {
        let cut = path.len().checked_sub(suffix.len())?;
        (cut > 0 && path.get(cut..)?.eq_ignore_ascii_case(suffix)).then(|| path[..cut].to_owned())
    });
    stem.unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for file in files {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        folder
    }

    #[test]
    fn folders_match_by_relative_path() {
        let predictions = folder(&["t1/a_labels.tif", "t1/a_labels.tif.aux.xml", "t2/a.tif", "c.tif", ".hidden.tif"]);
        let references = folder(&["t1/a.png", "t1/a.jpg", "t2/a_mask.png", "d.gpkg"]);
        let found = pair(predictions.path(), references.path()).unwrap();
        let names: Vec<_> =
            found.pairs.iter().map(|pair| pair.reference.strip_prefix(references.path()).unwrap()).collect();
        assert_eq!(names, [Path::new("t1/a.png"), Path::new("t2/a_mask.png")]);
        assert_eq!(found.unmatched_predictions, [predictions.path().join("c.tif")]);
        assert_eq!(found.unmatched_references, [references.path().join("d.gpkg")]);
    }

    #[test]
    fn one_reference_matches_a_whole_folder() {
        let (predictions, references) = (folder(&["a.tif", "b.tif"]), folder(&["truth.gpkg"]));
        let truth = references.path().join("truth.gpkg");
        let found = pair(predictions.path(), &truth).unwrap();
        assert_eq!(found.pairs.len(), 2);
        assert!(found.pairs.iter().all(|pair| pair.reference == truth));
    }

    #[test]
    fn unmatched_and_ambiguous_files_are_refused() {
        let (predictions, references) = (folder(&["a.tif", "x/b.tif"]), folder(&["b.png"]));
        let message = pair(predictions.path(), references.path()).unwrap_err().to_string();
        assert!(message.contains("a.tif and") && message.contains("b.png"), "{message}");
        let twice = folder(&["a.tif", "a_labels.tif"]);
        assert!(pair(twice.path(), references.path()).unwrap_err().to_string().contains("differ only in extension"));
        assert!(pair(Path::new("/nowhere"), references.path()).unwrap_err().to_string().contains("/nowhere"));
    }
}
