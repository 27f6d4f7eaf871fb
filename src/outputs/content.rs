//! Size, time and SHA-256 of written files and layers, to recognise later whether they were edited.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;
use std::time::UNIX_EPOCH;

use fancy_regex::Regex;

use crate::error::{Context, Result};
use crate::hash;
use crate::vector::geopackage;

/// A file, or one layer of it, in the state in which it was written.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Piece {
    /// File name, without the folder.
    pub file: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layer: Option<String>,
    /// Bytes of the file.
    size: u64,
    /// Time of the file's last change: seconds since 1970, with nanoseconds.
    modified: String,
    /// Of the file's bytes, or of the layer's content.
    sha256: String,
}

impl Piece {
    /// The current state of `path`, under its final name `file`.
    pub fn of(path: &Path, file: &str, layer: Option<&str>) -> Result<Self> {
        let (size, modified) = stat(path)?;
        let sha256 = content(path, layer)?;
        Ok(Self { file: file.to_owned(), layer: layer.map(str::to_owned), size, modified, sha256 })
    }

    /// Whether `path` still has this content. A file of the same size and time is not read again.
    pub fn matches(&self, path: &Path) -> bool {
        let Ok((size, modified)) = stat(path) else { return false };
        let unlocked = self.layer.is_none() || geopackage::in_use(path).is_none();
        if unlocked && (size, &modified) == (self.size, &self.modified) {
            return true;
        }
        if self.layer.is_none() && size != self.size && !is_sidecar(path) {
            return false;
        }
        content(path, self.layer.as_deref()).is_ok_and(|sha256| sha256 == self.sha256)
    }
}

fn content(path: &Path, layer: Option<&str>) -> Result<String> {
    match layer {
        Some(layer) => geopackage::digest(path, layer),
        None if is_sidecar(path) => Ok(hash::of(without_statistics(path)?)),
        None => hash::of_file(path),
    }
}

fn stat(path: &Path) -> Result<(u64, String)> {
    let cannot = || format!("cannot read {}", path.display());
    let metadata = fs::metadata(path).input(cannot)?;
    let time = metadata.modified().input(cannot)?.duration_since(UNIX_EPOCH).unwrap_or_default();
    Ok((metadata.len(), format!("{}.{:09}", time.as_secs(), time.subsec_nanos())))
}

/// Whether this is GDAL's sidecar `.aux.xml`, with metadata that the format of the raster cannot store.
pub fn is_sidecar(path: &Path) -> bool {
    path.to_string_lossy().ends_with(".aux.xml")
}

/// The text of a sidecar without the statistics and histograms that programs add when they display a raster.
fn without_statistics(path: &Path) -> Result<String> {
    static ADDED: LazyLock<Vec<Regex>> = LazyLock::new(|| {
        let patterns = [
            r#"(?s)<Histograms>.*?</Histograms>"#,
            r#"<MDI key="STATISTICS_[^"]*">[^<]*</MDI>"#,
            r#"<Metadata[^>/]*>\s*</Metadata>"#,
            r#"<PAMRasterBand[^>/]*>\s*</PAMRasterBand>"#,
            r#"<PAMDataset>\s*</PAMDataset>"#,
            r#"\s+"#,
        ];
        patterns.iter().filter_map(|pattern| Regex::new(pattern).ok()).collect()
    });
    let text = fs::read_to_string(path).input(|| format!("cannot read {}", path.display()))?;
    Ok(ADDED.iter().fold(text, |text, added| added.replace_all(&text, "").into_owned()))
}

/// Whether a file is a sidecar with statistics and histograms only.
pub fn has_only_statistics(path: &Path) -> bool {
    is_sidecar(path) && without_statistics(path).is_ok_and(|rest| rest.is_empty())
}
