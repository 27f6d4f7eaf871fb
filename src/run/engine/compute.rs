//! The model's thread: batches in, logits or finished rows out. Where memory runs out, batches become smaller; where a batch
//! fails, its windows are computed one by one.

#![expect(clippy::indexing_slicing, reason = "windows of a batch up to the last one, and whole images of it")]

use std::sync::mpsc::SendError;

use super::message::{Answers, Batch, Message, WindowMask};
use super::queue::{Receiver, Sender};
use crate::error::{Error, Kind, Result};
use crate::geom::Window;
use crate::learn::LocalTerm;
use crate::model::{Blender, Images, Padding, Segmenter};
use crate::stitch::all_finite;

/// A model at work on a part of a scene.
pub(super) enum Model<'a> {
    /// The stitcher blends its logits.
    Logits { segmenter: &'a mut dyn Segmenter, padding: &'a Padding, local: Option<&'a LocalTerm> },
    /// It blends the part's rows itself, up to row `end`.
    Rows { blender: Box<dyn Blender + 'a>, end: usize },
}

impl Model<'_> {
    /// How many of the windows can be computed together: a blender takes those of one row of the grid.
    fn together(&self, windows: &[WindowMask]) -> usize {
        match (self, windows.first()) {
            (Self::Rows { .. }, Some(first)) => {
                windows.iter().take_while(|mask| mask.window.row == first.window.row).count()
            }
            _ => windows.len(),
        }
    }

    /// Computes some windows. Returns their logits, (window, query, row, column), unless the model blends them.
    fn windows(&mut self, images: &Images, windows: &[WindowMask]) -> Result<Option<Vec<f32>>> {
        match self {
            Self::Logits { segmenter, padding, local } => {
                let logits = segmenter.segment(images)?;
                check_finite(&logits)?;
                let mut logits = padding.cut(logits);
                if let Some(local) = local {
                    let per_window = logits.len() / windows.len().max(1);
                    for (mask, logits) in windows.iter().zip(logits.chunks_exact_mut(per_window.max(1))) {
                        let image = mask.image.as_ref();
                        let image =
                            image.ok_or_else(|| Error::internal("a window has no image for its descriptors"))?;
                        local.add(image, mask.window.size(), logits);
                    }
                }
                Ok(Some(logits))
            }
            Self::Rows { blender, .. } => {
                let windows: Vec<_> = windows.iter().map(|mask| (mask.window, mask.valid.as_deref())).collect();
                blender.add(images, &windows).map(|()| None)
            }
        }
    }
}

/// Why the thread ends before it has seen all.
enum Ended {
    Failed(Error),
    /// The stitcher is gone; its own error says why.
    NoReceiver,
}

impl From<Error> for Ended {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

impl<T> From<SendError<T>> for Ended {
    fn from(_: SendError<T>) -> Self {
        Self::NoReceiver
    }
}

/// Runs the model over what the reader sends. A window that fails alone ends the run, or counts as failed where
/// `allow_failed_windows` says so.
pub(super) fn compute(
    model: Model<'_>,
    allow_failed_windows: bool,
    from_reader: Receiver<'_, Message<Batch>>,
    to_stitcher: Sender<'_, Message<Answers>>,
) -> Result<()> {
    let mut thread = Compute { model, allow_failed_windows, limit: usize::MAX, to_stitcher };
    match thread.run(from_reader) {
        Err(Ended::Failed(error)) => Err(error),
        Ok(()) | Err(Ended::NoReceiver) => Ok(()),
    }
}

struct Compute<'m, 's> {
    model: Model<'m>,
    allow_failed_windows: bool,
    /// Most windows at once, once memory has run out.
    limit: usize,
    to_stitcher: Sender<'s, Message<Answers>>,
}

impl Compute<'_, '_> {
    fn run(&mut self, from_reader: Receiver<'_, Message<Batch>>) -> Result<(), Ended> {
        for message in from_reader {
            match message {
                Message::Work(batch) => self.batch(batch)?,
                Message::Failed(window) => {
                    self.finish_before(window.row)?;
                    self.to_stitcher.send(Message::Failed(window))?;
                }
                Message::Stop => {
                    self.to_stitcher.send(Message::Stop)?;
                    break;
                }
                Message::End => {
                    self.finish_before(usize::MAX)?;
                    self.to_stitcher.send(Message::End)?;
                    break;
                }
            }
        }
        Ok(())
    }

    /// Sends the rows before `row` that a blender has not given yet. Without one, the stitcher finishes rows.
    fn finish_before(&mut self, row: usize) -> Result<(), Ended> {
        let Model::Rows { blender, end } = &mut self.model else { return Ok(()) };
        let row = row.min(*end);
        while blender.first() < row {
            self.to_stitcher.send(Message::Work(Answers::Rows(blender.finish_before(row)?)))?;
        }
        Ok(())
    }

    fn batch(&mut self, Batch { mut windows, images }: Batch) -> Result<(), Ended> {
        let mut done = 0;
        // One by one, once some of them have failed together.
        let mut most = usize::MAX;
        while let Some(first) = windows.first().map(|mask| mask.window) {
            let count = self.model.together(&windows).min(self.limit).min(most);
            self.finish_before(first.row)?;
            let some = &windows[..count];
            let computed = match count == images.count {
                true => self.model.windows(&images, some),
                false => self.model.windows(&images.part(done, count), some),
            };
            let message = match computed {
                Err(error) if count > 1 => {
                    match error.kind() {
                        Kind::OutOfMemory => self.limit = count / 2,
                        _ => most = 1,
                    }
                    continue;
                }
                Err(_) if self.allow_failed_windows => {
                    windows.remove(0);
                    Message::Failed(first)
                }
                Err(error) => return Err(at(first, error).into()),
                Ok(None) => {
                    windows.drain(..count);
                    Message::Work(Answers::Windows(count))
                }
                Ok(Some(logits)) => {
                    let windows = windows.drain(..count).collect();
                    Message::Work(Answers::Logits { windows, logits })
                }
            };
            done += count;
            self.to_stitcher.send(message)?;
        }
        Ok(())
    }
}

/// Puts the window before an error of the model.
fn at(window: Window, error: Error) -> Error {
    Error::new(error.kind(), format!("the model failed at {window}")).with_source(error)
}

/// Refuses logits that are not finite: a single NaN would make a label out of nothing.
pub(super) fn check_finite(logits: &[f32]) -> Result<()> {
    match all_finite(logits) {
        true => Ok(()),
        false => Err(Error::input("its logits are not finite numbers")
            .with_hint("Half precision can overflow: import the model with --precision fp32 or bf16.")),
    }
}
