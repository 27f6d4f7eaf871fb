//! Locks of what threads of the server share.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks, whatever became of a thread that held the lock: all that is shared is replaced as a whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
