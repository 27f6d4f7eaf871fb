//! What passes between the threads that read, compute and stitch.

use crate::geom::Window;
use crate::learn::LocalImage;
use crate::model::Images;
use crate::scene::Labelled;

/// A thread that ends without `End` or `Stop` has failed: what it sent so far must not become a result.
pub(super) enum Message<T> {
    Work(T),
    /// A window that could not be computed, where that is allowed.
    Failed(Window),
    /// That was all.
    End,
    /// The program was asked to stop: what is finished is kept.
    Stop,
}

/// What the stitcher needs of a window's pixels.
pub(super) struct WindowMask {
    pub window: Window,
    /// (row, column); `None`: all pixels hold data.
    pub valid: Option<Vec<bool>>,
    /// Where local descriptors count.
    pub image: Option<LocalImage>,
}

/// From the reader to the model: windows and their normalised pixels.
pub(super) struct Batch {
    pub windows: Vec<WindowMask>,
    pub images: Images,
}

/// From the model to the stitcher.
pub(super) enum Answers {
    Logits {
        windows: Vec<WindowMask>,
        /// (window, query, row, column)
        logits: Vec<f32>,
    },
    /// Finished rows, of a model that blends itself.
    Rows(Labelled),
    /// So many windows are in rows that are not finished yet.
    Windows(usize),
}
