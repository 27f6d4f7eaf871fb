//! By what a file is known again: what a run was run on, and what a result was made from.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use gdal::{Dataset, Metadata};

use super::{ffi, messages, open};
use crate::error::Result;
use crate::scene::SceneInfo;

/// The files that a scene is made of, those behind a VRT among them, each with its size and the time of its last change as
/// far as its storage tells: what is replaced or edited has another line. A name comes once, names are sorted.
pub fn stamps(info: &SceneInfo) -> Result<Vec<String>> {
    let dataset = open::open(info.dataset())?;
    let mut names: BTreeSet<PathBuf> = info.files().iter().cloned().collect();
    names.extend(ffi::files(&dataset));
    Ok(names
        .iter()
        .map(|name| match ffi::size_and_time(name) {
            Some((size, time)) => format!("{}: {size} bytes, changed {time}", name.display()),
            // A database, a file inside memory: its name alone has to do.
            None => name.display().to_string(),
        })
        .collect())
}

/// A metadata item of a raster; `None` where there is no such raster or item.
pub fn tag(path: &Path, name: &str) -> Option<String> {
    super::init();
    let dataset = messages::attempt_unsaid(|| Dataset::open(path)).ok()?;
    dataset.metadata_item(name, "")
}

/// Whether a file is a raster that this program has written: by its tags, and a picture by the labels beside it.
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
    fn what_lies_behind_a_vrt_belongs_to_it_and_an_edit_shows() {
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
        let before = stamps(&info).unwrap();
        assert_eq!(before.len(), 2, "{before:?}");
        std::fs::File::options()
            .write(true)
            .open(&tile)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000))
            .unwrap();
        let after = stamps(&info).unwrap();
        assert_eq!((before[0] == after[0], before[1] == after[1]), (true, false), "{before:?} {after:?}");
        assert!(after[1].ends_with("changed 1000000.000000000"), "{after:?}");
        assert_eq!(tag(&tile, "SEGEARTH_RUN"), None);
    }
}
