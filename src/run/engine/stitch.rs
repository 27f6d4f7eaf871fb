//! The stitching thread: blends the model's logits, labels rows as they are finished, writes them to the journal.

use super::super::prepared::SceneRun;
use super::index::IndexRules;
use super::layers::{self, ROWS_AT_ONCE};
use super::message::{Answers, Message};
use super::meter::Meter;
use super::queue::Receiver;
use crate::error::Result;
use crate::geom::{Grid, Window};
use crate::journal::RowFile;
use crate::stitch::{Accumulator, LogitZoom, Row};

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
    let accumulator = Accumulator::new(region, grid.window(), queries, run.job.plan.tiling.blend);
    let zoom = run.scene.zoom().map(|zoom| LogitZoom::new(zoom, file.rest(), queries));
    let rules = IndexRules::open(run)?;
    let mut blended = Blended { accumulator, zoom, rules };
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
                blended.accumulator.skip(rows);
                continue;
            }
            Message::Work(Answers::Windows(count)) => {
                computed += count;
                meter.computed(count);
                continue;
            }
            Message::Failed(window) => {
                finish(run, &mut blended, window.row, file, meter)?;
                file.append_failed_window(window)?;
                meter.failed();
                continue;
            }
            Message::Stop => break,
            Message::End => {
                finish(run, &mut blended, region.rows().end, file, meter)?;
                break;
            }
        };
        let per_window = logits.len() / windows.len().max(1);
        for (mask, logits) in windows.iter().zip(logits.chunks_exact(per_window.max(1))) {
            // Windows come row by row: rows above this one are finished.
            finish(run, &mut blended, mask.window.row, file, meter)?;
            blended.accumulator.add(&mask.window, logits, mask.valid.as_deref());
        }
        computed += windows.len();
        meter.computed(windows.len());
    }
    Ok(computed)
}

/// Rows on their way from windows to labels.
struct Blended<'a> {
    accumulator: Accumulator,
    /// Where logits are labelled on another grid than the model's.
    zoom: Option<LogitZoom>,
    /// Classes by conditions on bands.
    rules: Option<IndexRules<'a>>,
}

/// Labels the rows that windows from row `before` of the model's grid on do not reach.
fn finish(
    run: &SceneRun<'_>,
    blended: &mut Blended<'_>,
    before: usize,
    file: &mut RowFile,
    meter: &Meter<'_>,
) -> Result<()> {
    let Blended { accumulator, zoom, rules } = blended;
    let before = before.min(run.scene.seen(file.part()).rows().end);
    while accumulator.first() < before {
        let rows = accumulator.finish_before(before.min(accumulator.first() + ROWS_AT_ONCE));
        let Some(zoom) = zoom else {
            label(run, &rows, rules.as_ref(), file, meter)?;
            accumulator.recycle(rows);
            continue;
        };
        zoom.push(rows);
        loop {
            let rows = zoom.take(ROWS_AT_ONCE);
            if rows.is_empty() {
                break;
            }
            label(run, &rows, rules.as_ref(), file, meter)?;
            accumulator.recycle(zoom.spent());
        }
    }
    Ok(())
}

fn label(
    run: &SceneRun<'_>,
    rows: &[Row],
    rules: Option<&IndexRules<'_>>,
    file: &mut RowFile,
    meter: &Meter<'_>,
) -> Result<()> {
    let mut labelled = run.job.classifier.classify(rows, layers::need_scores(run));
    if let Some(rules) = rules {
        let part = file.part();
        rules.apply(Window { row: part.row + file.rows(), height: rows.len(), ..part }, &mut labelled)?;
    }
    let strip = layers::strip(run, file.layers(), rows.len(), &labelled);
    file.append(&strip)?;
    meter.rows(strip.rows);
    meter.rejected(labelled.rejected);
    Ok(())
}
