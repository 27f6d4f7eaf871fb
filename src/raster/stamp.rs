//! Stamps of files, by which a changed file is noticed, and the tags of results.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gdal::{Dataset, Metadata};
use rayon::prelude::*;

use super::{ffi, http, messages, open, remote, vrt};
use crate::error::{Error, Result};
use crate::hash;
use crate::location::{remote_file, unsigned};
use crate::scene::SceneInfo;

/// The stamps of a scene's files.
pub struct Stamps {
    /// A line for each file, sorted: its name and what its storage gives as version. A replaced or edited file has
    /// another line.
    pub lines: Vec<String>,
    /// The files of a scene with several, in their order.
    pub order: Vec<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// The files that a scene is made of, those behind a VRT among them, each with its size and the time of its last change
/// as far as its storage gives them, and a server's ETag. Each name occurs once. Addresses are without user, password
/// and query: a new signature opens the same file. Only where the server gives neither ETag nor Last-Modified, the line
/// has a hash of the query without the known signing keys.
///
/// # Errors
/// A server does not answer.
pub fn stamps(info: &SceneInfo) -> Result<Stamps> {
    let dataset = open::open(info.dataset())?;
    let mut names: BTreeSet<PathBuf> = info.files().iter().cloned().collect();
    // A mosaic's VRT is written by every run.
    names.extend(ffi::files(&dataset).into_iter().filter(|name| !vrt::is_own(name)));
    drop(dataset);
    let names: Vec<PathBuf> = names.into_iter().collect();
    let stamped = names.par_iter().map(|name| stamp(name)).collect::<Result<Vec<_>>>()?;
    let unknown: Vec<&str> = stamped.iter().filter(|stamp| !stamp.certain).map(|stamp| stamp.name.as_str()).collect();
    let notes = unknown.first().map(|first| {
        let others = if unknown.len() > 1 { format!(" (and {} more)", unknown.len() - 1) } else { String::new() };
        format!(
            "the server gives neither an ETag nor a Last-Modified for {first}{others}: a resumed run recognises the file by its size and its address without signatures."
        )
    });
    let order = match info.files() {
        [_] => Vec::new(),
        files => files.iter().map(|file| unsigned(file).0).collect(),
    };
    let mut lines: Vec<String> = stamped.into_iter().map(|stamp| stamp.line).collect();
    lines.sort();
    lines.dedup();
    Ok(Stamps { lines, order, notes: notes.into_iter().collect() })
}

struct Stamp {
    name: String,
    line: String,
    /// Whether a replaced file would be noticed.
    certain: bool,
}

fn stamp(name: &Path) -> Result<Stamp> {
    let (known, query) = unsigned(name);
    let (tag, remote) = match remote_file(name) {
        Some(file) => (etag(&file, &known)?, true),
        None => (None, false),
    };
    let Some((size, time)) = ffi::size_and_time(name) else {
        // A database, or a file in memory: only its name is known.
        return Ok(Stamp { line: known.clone(), name: known, certain: true });
    };
    let mut line = format!("{known}: {size} bytes, changed {time}");
    if let Some(tag) = &tag {
        line += &format!(", ETag {tag}");
    }
    let certain = !remote || tag.is_some() || !time.starts_with("0.");
    if !certain && !query.is_empty() {
        line += &format!(", query {}", hash::of(&query));
    }
    Ok(Stamp { name: known, line, certain })
}

/// A file's ETag from its server.
fn etag(file: &Path, shown: &str) -> Result<Option<String>> {
    let headers = remote::with_retries(&[file], || messages::attempt_silent(|| ffi::headers(file)));
    match headers {
        Ok(headers) => {
            Ok(headers.into_iter().find_map(|(name, value)| name.eq_ignore_ascii_case("etag").then_some(value)))
        }
        // Some files can be read, but their headers cannot.
        Err(cause) if cause.status.is_some_and(http::is_final) => Ok(None),
        Err(cause) => Err(Error::input(format!("the server gives no time of change for {shown}")).with_source(cause)),
    }
}

/// Size and modification time of a file, where its storage gives them: a cheap check for replaced files.
pub(super) fn quick_stamp(name: &Path) -> Option<String> {
    let (size, time) = ffi::size_and_time(name)?;
    Some(format!("{size} bytes, changed {time}"))
}

/// A metadata item of a raster; `None` where there is no such raster or item.
pub fn tag(path: &Path, name: &str) -> Option<String> {
    super::init();
    let dataset = messages::attempt_silent(|| Dataset::open(path)).ok()?;
    dataset.metadata_item(name, "")
}

/// Whether this program wrote a raster: by its tags, or for a preview by the labels beside it.
pub fn is_result(path: &Path) -> bool {
    let of_labels = || {
        let stem = path.file_name()?.to_str()?.strip_suffix("_preview.png")?;
        Some(path.with_file_name(format!("{stem}_labels.tif")).is_file())
    };
    of_labels().unwrap_or(false) || tag(path, "SEGEARTH_VERSION").is_some()
}

#[cfg(test)]
mod tests {
    use super::super::test_scenes;
    use super::*;
    use crate::scene::SceneRequest;

    #[test]
    fn stamps_of_a_vrt_include_its_sources() {
        let folder = tempfile::tempdir().unwrap();
        let (tile, size) = (folder.path().join("tile.tif"), crate::geom::Size::new(4, 3));
        test_scenes::make(&tile, size, &[test_scenes::plane(size, |_, _| 7u8)], &[], |_| {});
        let vrt = folder.path().join("scene.vrt");
        let source = "<SimpleSource><SourceFilename relativeToVRT=\"1\">tile.tif</SourceFilename></SimpleSource>";
        let text = format!(
            "<VRTDataset rasterXSize=\"4\" rasterYSize=\"3\"><VRTRasterBand dataType=\"Byte\" band=\"1\">{source}\
             </VRTRasterBand></VRTDataset>"
        );
        std::fs::write(&vrt, text).unwrap();
        let info = super::super::find(&SceneRequest::file(&vrt)).unwrap().remove(0);
        let before = stamps(&info).unwrap().lines;
        assert_eq!(before.len(), 2, "{before:?}");
        std::fs::File::options()
            .write(true)
            .open(&tile)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
            .unwrap();
        let after = stamps(&info).unwrap().lines;
        assert_eq!((before[0] == after[0], before[1] == after[1]), (true, false), "{before:?} {after:?}");
        assert!(after[1].ends_with("changed 1000000.000000000"), "{after:?}");
        assert_eq!(tag(&tile, "SEGEARTH_RUN"), None);
    }
}
