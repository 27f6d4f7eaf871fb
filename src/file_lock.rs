//! Exclusive locks on files.

use std::fs::File;
use std::ops::{Deref, DerefMut};

/// An open file that is locked against other runs until it is dropped or the process ends.
///
/// It is unlocked explicitly on drop: a child process that is just being started has a copy of every open file, and the
/// lock would last until all copies are closed.
#[derive(Debug)]
pub struct FileLock(File);

impl FileLock {
    /// Locks a file; `None`: another run holds it. On a file system without locks the file is returned unlocked.
    pub fn take(file: File) -> Option<Self> {
        match file.try_lock() {
            Err(std::fs::TryLockError::WouldBlock) => None,
            Err(std::fs::TryLockError::Error(_)) | Ok(()) => Some(Self(file)),
        }
    }
}

impl Drop for FileLock {
    fn drop(&mut self) {
        // Where this fails there was no lock, or closing the file releases it.
        let _ = self.0.unlock();
    }
}

impl Deref for FileLock {
    type Target = File;

    fn deref(&self) -> &File {
        &self.0
    }
}

impl DerefMut for FileLock {
    fn deref_mut(&mut self) -> &mut File {
        &mut self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lock_is_released_while_a_copy_is_open() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let open = || File::open(file.path()).unwrap();
        let held = FileLock::take(open()).unwrap();
        assert!(FileLock::take(open()).is_none());
        // What a child process has between its birth and the program that it becomes.
        let copy = held.try_clone().unwrap();
        drop(held);
        assert!(FileLock::take(open()).is_some());
        drop(copy);
    }
}
