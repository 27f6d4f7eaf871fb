//! Lets the binary find libtorch where it was linked, so that it runs without environment variables: first that very
//! folder, then `.libtorch/lib` of the checkout the binary lies in (it may have been moved), then `lib` beside or
//! above it (an unpacked release). The CUDA half is not linked: it is opened at start-up from the same folders.

/// From `target/PROFILE/` (the program) and `target/PROFILE/deps/` (tests and benches), then a release's two layouts.
const RELATIVE: [&str; 4] = ["../../.libtorch/lib", "../../../.libtorch/lib", "lib", "../lib"];

fn main() {
    // segearth-error hands on where torch-sys found libtorch; a change of that reruns this script.
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-env-changed=SEGEARTH_BUILD");
    // A package has a libtorch of its own, and the same bytes whatever folder it was built in.
    let packaged = std::env::var_os("SEGEARTH_BUILD").is_some();
    if let Some(lib) = std::env::var_os("DEP_SEGEARTH_ERROR_LIBTORCH").filter(|_| !packaged) {
        let lib = std::path::PathBuf::from(lib);
        let lib = lib.canonicalize().unwrap_or(lib);
        println!("cargo:rustc-link-arg=-Wl,-rpath,{}", lib.display());
    }
    for folder in RELATIVE {
        println!("cargo:rustc-link-arg=-Wl,-rpath,$ORIGIN/{folder}");
    }
}
