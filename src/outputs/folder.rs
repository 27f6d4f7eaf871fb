//! The hidden folder `.segearth` beside outputs, for records and unfinished files.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::atomic::parent;
use crate::error::{Error, Result};

const HIDDEN: &str = ".segearth";

/// The path of the hidden folder beside an output.
pub fn hidden_path(target: &Path) -> PathBuf {
    target.with_file_name(HIDDEN)
}

/// Creates the hidden folder with the permissions of its parent: users who may write outputs may write records too.
pub fn create_hidden(target: &Path) -> Result<PathBuf> {
    let hidden = hidden_path(target);
    match fs::create_dir(&hidden) {
        Ok(()) => {
            if let Ok(above) = fs::metadata(parent(target)) {
                let _ = fs::set_permissions(&hidden, fs::Permissions::from_mode(above.permissions().mode() & 0o7777));
            }
        }
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
        Err(error) => {
            return Err(Error::input(format!("cannot create the folder {}", hidden.display()))
                .with_hint(format!("Choose a folder in which you may write instead of {}.", parent(target).display()))
                .with_source(error));
        }
    }
    Ok(hidden)
}

/// Removes the hidden folder if it is empty.
pub fn remove_if_empty(target: &Path) {
    let _ = fs::remove_dir(hidden_path(target));
}
