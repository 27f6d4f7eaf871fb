//! Passes on the folder in which torch-sys found libtorch, so that executables that link this crate find it at run time.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:libtorch={folder}");
    }
}
