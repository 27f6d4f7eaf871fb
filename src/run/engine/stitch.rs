//! The stitching thread: blends what the model answers, labels rows as they are finished, keeps them in the journal.

use super::compute::Answers;
use super::meter::Meter;
use super::queue::Receiver;
use super::{Engine, Message, ROWS_AT_ONCE, layers};
use crate::error::Result;
use crate::geom::{Grid, Window};
use crate::journal::RowFile;
use crate::stitch::Accumulator;

/// Stitches `region`, the rows that `file` lacks. Gives the number of windows that came.
pub(super) fn stitch(
    engine: &Engine<'_>,
    grid: &Grid,
    region: Window,
    queries: usize,
    from_model: Receiver<'_, Message<Answers>>,
    file: &mut RowFile,
    meter: &Meter<'_>,
) -> Result<usize> {
    let mut accumulator = Accumulator::new(region, grid.window(), queries, engine.plan.tiling.blend);
    let mut windows = 0;
    for message in from_model {
        let (tiles, logits) = match message {
            Message::Work(Answers::Logits { tiles, logits }) => (tiles, logits),
            Message::Work(Answers::Rows(labelled)) => {
                let rows = labelled.labels.len() / region.width.max(1);
                let strip = layers::strip(engine, file.layers(), rows, &labelled);
                file.append(&strip)?;
                meter.rows(rows);
                accumulator.skip(rows);
                continue;
            }
            Message::Work(Answers::Windows(count)) => {
                windows += count;
                meter.computed(count);
                continue;
            }
            Message::Failed(window) => {
                finish(engine, &mut accumulator, window.row, file, meter)?;
                file.append_failed_window(window)?;
                meter.failed();
                continue;
            }
            Message::Stop => break,
            Message::End => {
                finish(engine, &mut accumulator, region.rows().end, file, meter)?;
                break;
            }
        };
        let per_window = logits.len() / tiles.len().max(1);
        for (tile, logits) in tiles.iter().zip(logits.chunks_exact(per_window.max(1))) {
            // Windows come row by row: what lies above this one is finished.
            finish(engine, &mut accumulator, tile.window.row, file, meter)?;
            accumulator.add(&tile.window, logits, tile.valid.as_deref());
        }
        windows += tiles.len();
        meter.computed(tiles.len());
    }
    Ok(windows)
}

fn finish(
    engine: &Engine<'_>,
    accumulator: &mut Accumulator,
    before: usize,
    file: &mut RowFile,
    meter: &Meter<'_>,
) -> Result<()> {
    let before = before.min(file.part().rows().end);
    while accumulator.first() < before {
        let rows = accumulator.finish_before(before.min(accumulator.first() + ROWS_AT_ONCE));
        let labelled = engine.classifier.classify(&rows, layers::need_scores(engine));
        let strip = layers::strip(engine, file.layers(), rows.len(), &labelled);
        file.append(&strip)?;
        meter.rows(strip.rows);
        accumulator.recycle(rows);
    }
    Ok(())
}
