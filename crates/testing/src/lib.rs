//! What the tests of several crates share.

pub mod random;

use std::path::{Path, PathBuf};

/// A file or folder of the reference material beside the checkout, or `None` with a loud line where this machine lacks it.
pub fn shared(name: &str) -> Option<PathBuf> {
    let folder = std::env::var_os("SEGEARTH_SHARED")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"), PathBuf::from);
    let path = folder.join(name);
    if !path.exists() {
        eprintln!("SKIPPED: there is no {}; SEGEARTH_SHARED names the folder of reference material", path.display());
        return None;
    }
    Some(path)
}
