//! Files by GDAL's names that are no rasters: in archives, behind addresses, in object stores.

use std::collections::HashSet;
use std::io::{Error, Result};
use std::path::{Path, PathBuf};

use super::messages::Cause;
use super::remote::with_retries;
use super::{ffi, messages};

/// GDAL's option that keeps it from listing folders.
const FOLDERS: &str = "GDAL_DISABLE_READDIR_ON_OPEN";
/// HTTP statuses of a file that does not exist.
const ABSENT: [u16; 2] = [404, 410];

/// The whole of a file; `None`: there is none. A file of more than `limit` bytes is read up to one byte beyond it.
///
/// # Errors
/// It cannot be read, after some retries where it is remote.
pub fn read_file(name: &Path, limit: u64) -> Result<Option<Vec<u8>>> {
    super::init();
    let shown = name.to_string_lossy();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let absent = |cause: &Cause| cause.status.is_some_and(|status| ABSENT.contains(&status));
    let read = || match messages::attempt_read(|host| shown.contains(host), || ffi::read_start(name, limit)) {
        Err(cause) if absent(&cause) => Ok(None),
        read => read,
    };
    // Else GDAL lists the folder of each file before it opens it. Setting an option fails only for values with a zero byte.
    let _ = gdal::config::set_thread_local_config_option(FOLDERS, "YES");
    let read = with_retries(&[name], read).map_err(Error::other);
    let _ = gdal::config::clear_thread_local_config_option(FOLDERS);
    read
}

/// The names of the files and folders in a folder.
///
/// # Errors
/// There is no such folder, or its storage cannot list it.
pub fn list_folder(name: &Path) -> Result<Vec<PathBuf>> {
    super::init();
    let list = || messages::attempt(|| gdal::vsi::read_dir(name, false));
    let names = with_retries(&[name], list).map_err(Error::other)?;
    let plain = |name: PathBuf| PathBuf::from(name.to_string_lossy().trim_end_matches('/'));
    let names: Vec<PathBuf> =
        names.into_iter().map(plain).filter(|name| !matches!(name.to_str(), Some("" | "." | ".."))).collect();
    match names.is_empty() {
        true => Err(Error::other("the storage lists no files there; servers that only send files cannot list them")),
        false => Ok(names),
    }
}

/// All files below a folder, with their paths from there; `None`: its storage cannot list them.
pub fn list_tree(name: &Path) -> Option<HashSet<PathBuf>> {
    super::init();
    let names = messages::attempt(|| gdal::vsi::read_dir(name, true)).ok()?;
    let names: HashSet<PathBuf> = names.into_iter().collect();
    (!names.is_empty()).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_up_to_their_limit_and_listed() {
        let bytes: Vec<u8> = (0..200_000u32).map(|at| (at % 251) as u8).collect();
        let name = Path::new("/vsimem/plain_files/a/b/file");
        gdal::vsi::create_mem_file(name, bytes.clone()).unwrap();
        for limit in [0, 10, 65_535, 65_536, 199_999, 200_000, 1 << 20] {
            let read = read_file(name, limit).unwrap().unwrap();
            assert_eq!(read, bytes[..bytes.len().min(limit as usize + 1)], "{limit}");
        }
        assert_eq!(read_file(Path::new("/vsimem/plain_files/none"), 10).unwrap(), None);
        // GDAL before 3.7 lists no folder in memory that holds only folders.
        assert_eq!(list_folder(Path::new("/vsimem/plain_files/a/b")).unwrap(), [PathBuf::from("file")]);
        assert!(list_folder(Path::new("/vsizip//vsimem/plain_files/none.zip")).is_err());
        let tree = list_tree(Path::new("/vsimem/plain_files/a/b")).unwrap();
        assert!(tree.contains(Path::new("file")), "{tree:?}");
        assert_eq!(list_tree(Path::new("/vsimem/plain_files/none")), None);
    }
}
