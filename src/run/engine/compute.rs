//! The model's thread: batches in, logits out; smaller batches where memory runs out, a second try where a window fails.

#![expect(clippy::indexing_slicing, reason = "tiles of a batch up to the last one, and whole images of it")]

use super::queue::{Receiver, Sender};
use super::read::Batch;
use super::{Engine, Message, TileMask};
use crate::error::{Error, Kind, Result};
use crate::geom::Window;
use crate::model::{Blender, Images, Padding, Segmenter};
use crate::scene::Labelled;

/// What goes to the stitcher.
pub(super) enum Answers {
    Logits {
        tiles: Vec<TileMask>,
        /// (window, query, row, column)
        logits: Vec<f32>,
    },
    /// Finished rows, of a model that blends itself.
    Rows(Labelled),
    /// So many windows are in rows that are not finished yet.
    Windows(usize),
}

/// Runs the model over what the reader sends. A batch that fails is tried again window by window; a window that fails
/// twice ends the run, or counts as a failed window where those are allowed.
pub(super) fn compute(
    engine: &Engine<'_>,
    segmenter: &mut dyn Segmenter,
    padding: &Padding,
    from_reader: Receiver<'_, Message<Batch>>,
    to_stitcher: Sender<'_, Message<Answers>>,
) -> Result<()> {
    let mut limit = usize::MAX;
    for message in from_reader {
        let Batch { tiles, images } = match message {
            Message::Work(batch) => batch,
            Message::Failed(window) => {
                let _ = to_stitcher.send(Message::Failed(window));
                continue;
            }
            Message::Stop => {
                let _ = to_stitcher.send(Message::Stop);
                break;
            }
            Message::End => {
                let _ = to_stitcher.send(Message::End);
                break;
            }
        };
        let send = |tiles, logits| {
            let logits = padding.cut(logits);
            to_stitcher.send(Message::Work(Answers::Logits { tiles, logits })).is_ok()
        };
        if let Ok(logits) = segment(segmenter, &images, &mut limit) {
            if !send(tiles, logits) {
                break;
            }
            continue;
        }
        for (index, tile) in tiles.into_iter().enumerate() {
            let goes_on = match segment(segmenter, &part(&images, index, 1), &mut limit) {
                Ok(logits) => send(vec![tile], logits),
                Err(_) if engine.options.allow_failed_windows => to_stitcher.send(Message::Failed(tile.window)).is_ok(),
                Err(error) => return Err(at(tile.window, error)),
            };
            if !goes_on {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// As [`compute`], with a model that blends `region` where it computes.
pub(super) fn blend(
    engine: &Engine<'_>,
    blender: &mut dyn Blender,
    region: Window,
    from_reader: Receiver<'_, Message<Batch>>,
    to_stitcher: Sender<'_, Message<Answers>>,
) -> Result<()> {
    let finish = |blender: &mut dyn Blender, before: usize| -> Result<bool> {
        let before = before.min(region.rows().end);
        while blender.first() < before {
            let rows = Answers::Rows(blender.finish_before(before)?);
            if to_stitcher.send(Message::Work(rows)).is_err() {
                return Ok(false);
            }
        }
        Ok(true)
    };
    let mut limit = usize::MAX;
    for message in from_reader {
        let Batch { tiles, images } = match message {
            Message::Work(batch) => batch,
            Message::Failed(window) => {
                if !finish(blender, window.row)? || to_stitcher.send(Message::Failed(window)).is_err() {
                    break;
                }
                continue;
            }
            Message::Stop => {
                let _ = to_stitcher.send(Message::Stop);
                break;
            }
            Message::End => {
                if finish(blender, region.rows().end)? {
                    let _ = to_stitcher.send(Message::End);
                }
                break;
            }
        };
        let mut done = 0;
        while done < tiles.len() {
            let row = tiles[done].window.row;
            let same_row = tiles[done..].iter().take_while(|tile| tile.window.row == row).count();
            let count = same_row.min(limit);
            if !finish(blender, row)? {
                return Ok(());
            }
            let some: Vec<_> =
                tiles[done..done + count].iter().map(|tile| (tile.window, tile.valid.as_deref())).collect();
            let added = match count == images.count {
                true => blender.add(&images, &some),
                false => blender.add(&part(&images, done, count), &some),
            };
            let computed = match added {
                Ok(()) => Answers::Windows(count),
                Err(error) if count > 1 => {
                    // As in `segment` where memory runs out; whatever else it was is looked for window by window.
                    limit = if error.kind() == Kind::OutOfMemory { count / 2 } else { 1 };
                    continue;
                }
                Err(_) if engine.options.allow_failed_windows => {
                    if to_stitcher.send(Message::Failed(tiles[done].window)).is_err() {
                        return Ok(());
                    }
                    done += 1;
                    continue;
                }
                Err(error) => return Err(at(tiles[done].window, error)),
            };
            done += count;
            if to_stitcher.send(Message::Work(computed)).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Puts the place before the error of a window.
fn at(window: Window, error: Error) -> Error {
    let kind = error.kind();
    Error::new(kind, format!("the model failed at {window}")).with_source(error)
}

fn part(images: &Images, first: usize, count: usize) -> Images {
    let plane = 3 * images.size.pixels();
    Images { size: images.size, count, pixels: images.pixels[first * plane..(first + count) * plane].to_vec() }
}

/// Runs the model on at most `limit` images at once; where memory runs out, halves the limit and tries again.
fn segment(segmenter: &mut dyn Segmenter, images: &Images, limit: &mut usize) -> Result<Vec<f32>> {
    let mut logits = Vec::new();
    let mut done = 0;
    while done < images.count {
        let count = (*limit).min(images.count - done);
        let part = match count == images.count {
            true => segmenter.segment(images),
            false => segmenter.segment(&self::part(images, done, count)),
        };
        match part {
            Ok(part) => {
                finite(&part)?;
                done += count;
                if logits.is_empty() {
                    logits = part;
                } else {
                    logits.extend(part);
                }
            }
            Err(error) if error.kind() == Kind::OutOfMemory && count > 1 => *limit = count / 2,
            Err(error) => return Err(error),
        }
    }
    Ok(logits)
}

/// A single NaN would make a label out of nothing: it is an error instead.
fn finite(logits: &[f32]) -> Result<()> {
    // The largest of the bits without the sign: what is no number is above all that are. A plain maximum, unlike the question
    // for each of them, is taken over several at once.
    let bits = logits.iter().fold(0, |most: i32, logit| most.max((logit.to_bits() & 0x7fff_ffff) as i32));
    match f32::from_bits(bits as u32).is_finite() {
        true => Ok(()),
        false => Err(Error::input("its logits are no numbers")
            .with_hint("Half precision can overflow: import the model with --precision fp32 or bf16.")),
    }
}
