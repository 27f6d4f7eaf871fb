//! Settings of the C library's allocator, which libtorch uses.

#![expect(unsafe_code, reason = "calls to the C library's allocator")]

use std::sync::{Mutex, Once};
use std::time::{Duration, Instant};

/// Keeps freed memory in the process instead of returning every large tensor to the system.
///
/// A window's tensors are tens of megabytes each. By default glibc maps each one and unmaps it when it is freed, and the
/// system clears every page again and again: a tenth of a window's time on the CPU. The price is that the process stays as
/// large as it once was.
pub fn tune_malloc() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: mallopt only sets numbers of the allocator, under its own lock; these two are documented and allowed at any
        // time. If it refuses one, it returns 0 and nothing changes.
        unsafe {
            libc::mallopt(libc::M_MMAP_MAX, 0);
            libc::mallopt(libc::M_TRIM_THRESHOLD, libc::c_int::MAX);
        }
    });
}

/// Has all threads take from one heap, where memory is limited: what one of them frees then serves the next one that asks.
///
/// With a heap for each thread some runs need a fifth more memory than others. It costs about 4 % of a window's time, and must be
/// set before there are threads.
pub fn use_single_arena() {
    // SAFETY: as in `tune_malloc`: a documented number of the allocator, set under its own lock.
    unsafe {
        libc::mallopt(libc::M_ARENA_MAX, 1);
    }
}

/// Between two times that memory is given back.
const INTERVAL: Duration = Duration::from_secs(60);

/// Returns unused pages to the system, at most once a minute.
///
/// Small allocations that outlive a scene lie between its large buffers, so that the heap fragments over thousands of scenes until no
/// free piece fits the next one. To be called between scenes.
pub fn trim_heap() {
    static LAST: Mutex<Option<Instant>> = Mutex::new(None);
    let mut last = LAST.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if last.get_or_insert_with(Instant::now).elapsed() < INTERVAL {
        return;
    }
    *last = Some(Instant::now());
    // SAFETY: the allocator reads its own lists under its own locks, and releases no memory in use.
    unsafe {
        libc::malloc_trim(0);
    }
}
