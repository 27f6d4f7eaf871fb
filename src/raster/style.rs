//! The `.qml` beside a raster: QGIS shows it with class names and colours, or scores in a colour ramp, as soon as it is opened. GDAL does
//! not write this format.

use std::fs;
use std::path::Path;

use crate::atomic::AtomicFile;
use crate::error::{Context, Result};

/// A style that is not committed yet.
pub(super) struct Style {
    partial: AtomicFile,
}

impl Style {
    /// Writes the style of `raster` under a hidden name.
    pub(super) fn create(raster: &Path, text: &str) -> Result<Self> {
        let partial = AtomicFile::new(&raster.with_extension("qml"))?;
        fs::write(partial.temporary(), text).map_err(|cause| partial.failed("write", cause))?;
        Ok(Self { partial })
    }

    pub(super) fn commit(self) -> Result<()> {
        self.partial.commit().input(|| "the raster was written, but not its QGIS style".into())
    }
}
