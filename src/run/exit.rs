//! The end of the process.

#![expect(unsafe_code, reason = "calls to the C library")]
#![expect(clippy::disallowed_methods, reason = "writes what `report` has printed")]

use std::io::Write as _;

/// Ends the process without what libraries do at an exit: libtorch takes every one of its operators out of its tables, which is
/// 0.1 s of processor time on memory that the system takes back anyway. What this program opened is closed by then, so that only
/// buffered output is left to write.
pub fn at_once(code: u8) -> ! {
    // A reader that went away is no fault.
    let _ = std::io::stdout().flush();
    // SAFETY: with no stream named, all output streams of the C library are flushed; ending the process touches no memory.
    unsafe {
        libc::fflush(std::ptr::null_mut());
        libc::_exit(i32::from(code))
    }
}
