//! The stitching thread: blends the model's logits, labels rows as they are finished, writes them to the journal.

use super::super::prepared::SceneRun;
use super::layers::{self, ROWS_AT_ONCE};
use super::message::{Answers, Message};
use super::meter::Meter;
use super::queue::Receiver;
use crate::error::Result;
use crate::geom::{Grid, Window};
use crate::journal::RowFile;
use crate::stitch::Accumulator;

/// Stitches `region`, the rows that `file` lacks. Returns the number of windows computed.
pub(super) fn stitch(
    run: &SceneRun<'_>,
    grid: &Grid,
    region: Window,
    queries: usize,
    from_model: Receiver<'_, Message<Answers>>,
    file: &mut RowFile,
    meter: &Meter<'_>,
) -> Result<usize> {
    let mut accumulator = Accumulator::new(region, grid.window(), queries, run.job.plan.tiling.blend);
    let mut computed = 0;
    for message in from_model {
        let (windows, logits) = match message {
            Message::Work(Answers::Logits { windows, logits }) => (windows, logits),
            Message::Work(Answers::Rows(labelled)) => {
                let rows = labelled.labels.len() / region.width.max(1);
                let strip = layers::strip(run, file.layers(), rows, &labelled);
                file.append(&strip)?;
                meter.rows(rows);
                meter.rejected(labelled.rejected);
                accumulator.skip(rows);
                continue;
            }
            Message::Work(Answers::Windows(count)) => {
                computed += count;
                meter.computed(count);
                continue;
            }
            Message::Failed(window) => {
                finish(run, &mut accumulator, window.row, file, meter)?;
                file.append_failed_window(window)?;
                meter.failed();
                continue;
            }
            Message::Stop => break,
            Message::End => {
                finish(run, &mut accumulator, region.rows().end, file, meter)?;
                break;
            }
        };
        let per_window = logits.len() / windows.len().max(1);
        for (mask, logits) in windows.iter().zip(logits.chunks_exact(per_window.max(1))) {
            // Windows come row by row: rows above this one are finished.
            finish(run, &mut accumulator, mask.window.row, file, meter)?;
            accumulator.add(&mask.window, logits, mask.valid.as_deref());
        }
        computed += windows.len();
        meter.computed(windows.len());
    }
    Ok(computed)
}

fn finish(
    run: &SceneRun<'_>,
    accumulator: &mut Accumulator,
    before: usize,
    file: &mut RowFile,
    meter: &Meter<'_>,
) -> Result<()> {
    let before = before.min(file.part().rows().end);
    while accumulator.first() < before {
        let rows = accumulator.finish_before(before.min(accumulator.first() + ROWS_AT_ONCE));
        let labelled = run.job.classifier.classify(&rows, layers::need_scores(run));
        let strip = layers::strip(run, file.layers(), rows.len(), &labelled);
        file.append(&strip)?;
        meter.rows(strip.rows);
        meter.rejected(labelled.rejected);
        accumulator.recycle(rows);
    }
    Ok(())
}
