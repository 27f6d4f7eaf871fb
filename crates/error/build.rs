//! Passes on the folder in which torch-sys found libtorch, so that executables that link this crate find it at run time; warns where
//! it is of another version than the program is made for, before the linker misses its symbols.

use std::path::Path;

#[path = "../launcher/src/libtorch.rs"]
mod libtorch;

/// Minor versions of libtorch change its C++ interface.
const WANTED: &str = "2.11.";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=../launcher/src/libtorch.rs");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:libtorch={folder}");
        if let Some(found) = libtorch::version(Path::new(&folder)).filter(|found| !found.starts_with(WANTED)) {
            println!("cargo:warning=the libtorch in {folder} is {found}; {WANTED}0 is wanted");
        }
    }
}
