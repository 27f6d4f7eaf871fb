//! Passes on the folder in which torch-sys found libtorch, so that executables that link this crate find it at run time; warns where
//! it is of another version than the program is made for, before the linker misses its symbols.

use std::fs;
use std::path::Path;

/// Minor versions of libtorch change its C++ interface.
const WANTED: &str = "2.11.";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:libtorch={folder}");
        if let Some(found) = version(Path::new(&folder)).filter(|found| !found.starts_with(WANTED)) {
            println!("cargo:warning=the libtorch in {folder} is {found}; {WANTED}0 is wanted");
        }
    }
}

/// The version that a libtorch or a Python package says beside its folder `lib`.
fn version(lib: &Path) -> Option<String> {
    let above = lib.parent()?;
    if let Ok(version) = fs::read_to_string(above.join("build-version")) {
        return Some(version.trim().to_owned());
    }
    let python = fs::read_to_string(above.join("version.py")).ok()?;
    let line = python.lines().find_map(|line| line.strip_prefix("__version__"))?;
    Some(line.trim_start_matches([' ', '=']).trim_matches(['\'', '"']).to_owned())
}
