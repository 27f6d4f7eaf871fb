//! Hands on where torch-sys found libtorch, so that whatever links this crate can find it when it runs.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    if let Ok(folder) = std::env::var("DEP_TCH_LIBTORCH_LIB") {
        println!("cargo:libtorch={folder}");
    }
}
