//! How the C library gives memory to libtorch.

use std::sync::Once;

/// Keeps freed memory in the process instead of handing every large tensor back to the system.
///
/// A window's tensors are tens of megabytes each. By default glibc maps each anew and unmaps it when it is freed, and the
/// system clears every page again and again: a tenth of a window's time on the CPU. The price is that the process stays as
/// large as it once was.
pub(crate) fn keep() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: mallopt only sets numbers of the allocator, under its own lock; these two are documented and allowed at any
        // time. Where it refuses one, it returns 0 and nothing changes.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    });
}
