//! A raster open for reading that recovers from failed reads.
//!
//! GDAL caches decoded blocks, and after a failed read its cache holds blocks that were never filled: a second read
//! would return them as pixels. The dataset is therefore closed after every failure, with all datasets below it, and
//! the next read opens it again.

use std::cell::RefCell;
use std::error::Error as StdError;
use std::path::{Path, PathBuf};

use gdal::Dataset;

use super::messages::{self, Cause};
use super::{ffi, open, remote, stamp, vrt};
use crate::error::{Error, Result};
use crate::geom::Size;
use crate::location::is_remote;

/// Most files that are checked for changes when they are opened again.
const MAX_CHECKED: usize = 16;

/// GDAL's option that controls the search for sidecars of a file.
const FOLDERS: &str = "GDAL_DISABLE_READDIR_ON_OPEN";

/// A raster that is opened again after a failed read. One thread at a time may use it.
pub(super) struct Input {
    name: PathBuf,
    options: Vec<String>,
    /// GDAL's names of all files behind it.
    files: Vec<PathBuf>,
    remote: bool,
    is_virtual: bool,
    /// Files that are opened during reads are not searched for sidecars.
    without_sidecars: bool,
    size: Size,
    bands: usize,
    /// Stamps by which changed files are noticed; empty for many files.
    stamps: Vec<Option<String>>,
    /// `None` after a failure.
    dataset: RefCell<Option<Dataset>>,
}

/// Why a read failed.
pub(super) enum Failure {
    Read(Cause),
    /// It cannot be opened again.
    Open(Error),
}

impl From<Failure> for Box<dyn StdError + Send + Sync> {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Read(cause) => cause.into(),
            Failure::Open(error) => error.into(),
        }
    }
}

impl Input {
    /// Opens a raster by GDAL's name, with driver options of the form `KEY=value`. `files` are those known to lie behind it.
    pub(super) fn open(name: &Path, options: &[&str], files: &[PathBuf]) -> Result<Self> {
        Ok(Self::of(open::open_with(name, options)?, name, options, files))
    }

    /// A raster that is already open.
    pub(super) fn of(dataset: Dataset, name: &Path, options: &[&str], files: &[PathBuf]) -> Self {
        let (width, height) = dataset.raster_size();
        let mut all = files.to_vec();
        all.extend(ffi::files(&dataset).into_iter().filter(|file| !files.contains(file)));
        Self {
            stamps: quick_stamps(&all),
            remote: all.iter().any(|file| is_remote(file)),
            without_sidecars: all.iter().all(|file| is_remote(file) || vrt::is_own(file))
                && std::env::var_os(FOLDERS).is_none(),
            is_virtual: dataset.driver().short_name() == "VRT",
            name: name.to_owned(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
            files: all,
            size: Size::new(width, height),
            bands: dataset.raster_count(),
            dataset: RefCell::new(Some(dataset)),
        }
    }

    pub(super) fn size(&self) -> Size {
        self.size
    }

    pub(super) fn bands(&self) -> usize {
        self.bands
    }

    /// Whether it is a virtual raster, whose pixels come from other rasters with their own blocks.
    pub(super) fn is_virtual(&self) -> bool {
        self.is_virtual
    }

    /// Whether it, or a file behind it, is read over a network.
    pub(super) fn is_remote(&self) -> bool {
        self.remote
    }

    /// Calls GDAL once. Any failure that GDAL reports on the way counts, and closes the dataset.
    pub(super) fn attempt<T>(
        &self,
        call: impl FnOnce(&Dataset) -> gdal::errors::Result<T>,
    ) -> std::result::Result<T, Failure> {
        let mut slot = self.dataset.borrow_mut();
        let dataset = match slot.take() {
            Some(dataset) => dataset,
            None => self.reopen().map_err(Failure::Open)?,
        };
        let is_asked = |host: &str| self.files.iter().any(|file| file.to_string_lossy().contains(host));
        let _no_sidecars = self.without_sidecars.then(NoSidecars::begin);
        match messages::attempt_read(|host| self.remote && is_asked(host), || call(&dataset)) {
            Ok(value) => {
                *slot = Some(dataset);
                Ok(value)
            }
            Err(cause) => {
                // The datasets below it are closed with it; it was opened for reading, so nothing is lost.
                let _ = dataset.close();
                Err(Failure::Read(cause))
            }
        }
    }

    /// Reads the dataset's properties, not its pixels.
    pub(super) fn with_dataset<T>(&self, call: impl FnOnce(&Dataset) -> T) -> Result<T> {
        let mut slot = self.dataset.borrow_mut();
        let dataset = match slot.take() {
            Some(dataset) => dataset,
            None => self.reopen()?,
        };
        let value = call(&dataset);
        *slot = Some(dataset);
        Ok(value)
    }

    /// Calls GDAL, and retries where that may succeed.
    pub(super) fn read<T>(
        &self,
        mut call: impl FnMut(&Dataset) -> gdal::errors::Result<T>,
    ) -> std::result::Result<T, Failure> {
        let mut tried = 1;
        loop {
            match self.attempt(&mut call) {
                Err(Failure::Read(cause)) => self.recover(cause, tried)?,
                other => return other,
            }
            tried += 1;
        }
    }

    /// Waits before the next attempt after the `tried`-th one failed; an error where there is no next attempt.
    pub(super) fn recover(&self, mut cause: Cause, tried: u32) -> std::result::Result<(), Failure> {
        cause.tried = tried;
        match remote::next_delay(&self.files, &cause) {
            None => {
                // The next read must not use what GDAL has cached.
                remote::wait_and_clear_cache(&self.files, std::time::Duration::ZERO);
                Err(Failure::Read(cause))
            }
            Some(wait) => {
                messages::warn(&format!("Retrying to read {}: {cause}.", self.name.display()));
                remote::wait_and_clear_cache(&self.files, wait);
                Ok(())
            }
        }
    }

    fn reopen(&self) -> Result<Dataset> {
        let options: Vec<&str> = self.options.iter().map(String::as_str).collect();
        let dataset = open::open_with(&self.name, &options)?;
        let (width, height) = dataset.raster_size();
        let changed = |was: String, is: String| {
            Err(Error::input(format!("{} changed while it was in use: it was {was} and is {is}", self.name.display()))
                .with_hint("Rerun when no other program writes to it."))
        };
        let size = Size::new(width, height);
        if (size, dataset.raster_count()) != (self.size, self.bands) {
            let shown = |size: Size, bands: usize| format!("{size} with {bands} bands");
            return changed(shown(self.size, self.bands), shown(size, dataset.raster_count()));
        }
        let now = quick_stamps(&self.files);
        let pairs = self.stamps.iter().zip(&now).filter_map(|(was, is)| Some((was.as_ref()?, is.as_ref()?)));
        match pairs.into_iter().find(|(was, is)| was != is) {
            Some((was, is)) => changed(was.clone(), is.clone()),
            None => Ok(dataset),
        }
    }
}

/// While it exists, GDAL does not search for sidecars in this thread: for tiles on a server, every search is another
/// request.
struct NoSidecars;

impl NoSidecars {
    fn begin() -> Self {
        // Setting an option fails only for keys and values with a zero byte.
        let _ = gdal::config::set_thread_local_config_option(FOLDERS, "EMPTY_DIR");
        Self
    }
}

impl Drop for NoSidecars {
    fn drop(&mut self) {
        let _ = gdal::config::clear_thread_local_config_option(FOLDERS);
    }
}

/// Stamps of files, `None` for those without one; empty for many files.
fn quick_stamps(files: &[PathBuf]) -> Vec<Option<String>> {
    if files.len() > MAX_CHECKED { Vec::new() } else { files.iter().map(|name| stamp::quick_stamp(name)).collect() }
}
