//! Opens libtorch's CUDA half at start-up, where there is one.
//!
//! The program links libtorch's CPU half alone, so that it starts on machines without CUDA. The CUDA half registers itself
//! with the CPU half when it is loaded: that is all it takes.

#![expect(unsafe_code, reason = "opens a library")]

use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Loads libtorch's CUDA library, once and before libtorch is first asked about CUDA. Returns whether it could be loaded.
pub(super) fn open() -> bool {
    static CUDA: OnceLock<Option<[Library; 2]>> = OnceLock::new();
    // Without a driver there is no use for the CUDA half, which is large.
    CUDA.get_or_init(|| Some([load("libcuda.so.1")?, load("libtorch_cuda.so")?])).is_some()
}

fn load(name: &str) -> Option<Library> {
    // SAFETY: loading a library runs its initialisers. The driver's are made for any program; those of the CUDA half belong
    // to the very libtorch that the program is linked to and has already loaded, and register kernels with it, once. The
    // handles are never closed.
    unsafe { Library::open(Some(name), RTLD_NOW | RTLD_GLOBAL) }.ok()
}
