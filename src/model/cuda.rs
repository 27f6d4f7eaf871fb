//! Opens libtorch's CUDA half at start-up, where there is one.
//!
//! The program links libtorch's CPU half alone, so that it starts on machines without CUDA. The CUDA half registers itself
//! with the CPU half when it is loaded: that is all it takes.

use std::sync::OnceLock;

use libloading::os::unix::{Library, RTLD_GLOBAL, RTLD_NOW};

/// Whether the CUDA half is there and could be loaded. Looked for once.
pub(super) fn open() -> bool {
    static CUDA: OnceLock<Option<Library>> = OnceLock::new();
    let open = || {
        // SAFETY: loading a library runs its initialisers. This one belongs to the very libtorch that the program is linked
        // to and has already loaded; its initialisers register kernels with it, once, and the handle is never closed.
        unsafe { Library::open(Some("libtorch_cuda.so"), RTLD_NOW | RTLD_GLOBAL) }.ok()
    };
    CUDA.get_or_init(open).is_some()
}
