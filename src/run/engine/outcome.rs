//! What a scene's run leads to.

use super::super::results::Results;
use super::areas::Areas;
use super::windows::WindowCounts;
use crate::geom::Window;
use crate::journal::Journal;
use crate::raster::Stretch;

pub enum Outcome {
    /// An earlier run has finished the scene; with notes on outputs that were edited since.
    Earlier(Vec<String>),
    /// This process has computed its share of the rows.
    Shard,
    Finished(Box<Finished>),
}

/// A scene whose rasters are complete.
pub struct Finished {
    pub counts: Counts,
    pub stretch: Stretch,
    /// What is done about the outputs; the rasters are there.
    pub results: Results,
    /// To be removed when all that is made from the rasters is complete as well.
    pub journal: Journal,
}

/// Windows and pixels of a scene.
#[derive(Debug, Default)]
pub struct Counts {
    /// Windows computed by this run; those that two parts of the scene share count once for each.
    pub windows: usize,
    /// All of the scene's, by whichever run.
    pub all_windows: WindowCounts,
    /// Windows that could not be computed, by whichever run.
    pub failed_windows: Vec<Window>,
    /// Pixels of each class.
    pub classes: Vec<u64>,
    pub nodata: u64,
    /// Square metres of both; `None` where no CRS says how large pixels are.
    pub areas: Option<Areas>,
}
