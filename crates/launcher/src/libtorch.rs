//! Which libtorch lies in a folder: for the launcher, and for the build script of `crates/error`.

use std::fs;
use std::path::Path;

/// The version of the libtorch in a folder `lib`, from the files that PyTorch and libtorch have beside it.
pub fn version(lib: &Path) -> Option<String> {
    let above = lib.parent()?;
    if let Ok(version) = fs::read_to_string(above.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    let python = fs::read_to_string(above.join("version.py")).ok()?;
    let line = python.lines().find_map(|line| line.strip_prefix("__version__"))?;
    Some(line.trim_start_matches([' ', '=']).trim_matches(['\'', '"']).to_owned())
}
