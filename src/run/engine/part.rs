//! One part of a scene: three threads that read, compute and stitch the rows that it lacks.

use std::thread;

use super::super::local_images::LocalImages;
use super::super::prepared::SceneRun;
use super::super::stop::Stop;
use super::compute::{self, Model};
use super::meter::Meter;
use super::queue::{QUEUE, queue};
use super::{index, layers, memory, read, stitch};
use crate::embeddings::SceneStore;
use crate::error::{Error, Kind, Result};
use crate::geom::Grid;
use crate::journal::RowFile;
use crate::model::{Padding, Region, Segmenter};
use crate::raster::SceneReader;
use crate::stitch::window_weights;

/// Computes the rows that a part lacks. Returns the number of windows computed.
#[expect(clippy::too_many_arguments, reason = "all that the threads work with")]
pub(super) fn compute(
    run: &SceneRun<'_>,
    grid: &Grid,
    segmenter: &mut dyn Segmenter,
    tokens: Option<&SceneStore>,
    reader: &mut SceneReader,
    images: &mut LocalImages,
    file: &mut RowFile,
    stop: &Stop,
    meter: &Meter<'_>,
) -> Result<usize> {
    let whole = file.part();
    let zoom = run.scene.zoom();
    // What the model sees of the part: the part itself, unless logits are brought to another grid.
    let rest = run.scene.seen(file.rest());
    meter.earlier(grid.count_reaching(run.scene.seen(whole)) - grid.count_reaching(rest));
    if file.is_complete() {
        return Ok(0);
    }
    let queries = segmenter.queries();
    let tiling = &run.job.plan.tiling;
    let batch = memory::batch(run, segmenter);
    let padding = Padding::new(grid.window(), run.job.patch);
    let window = grid.window();
    let weights = [window.height, window.width].map(|side| window_weights(tiling.blend, side));
    let region = Region {
        region: rest,
        padding,
        weights: [&weights[0], &weights[1]],
        classifier: &run.job.classifier,
        scores: layers::need_scores(run),
        patient: run.options.allow_failed_windows,
    };
    let counts = thread::scope(|scope| {
        let (to_model, from_reader) = queue(QUEUE, &meter.metrics.for_model);
        let (to_stitcher, from_model) = queue(QUEUE, &meter.metrics.for_stitcher);
        let reading =
            scope.spawn(move || read::read(run, reader, images, tokens, grid, rest, batch, to_model, stop, meter));
        let file = &mut *file;
        let stitching = scope.spawn(move || stitch::stitch(run, grid, rest, queries, from_model, file, meter));
        let local = run.job.local.as_ref();
        // Local descriptors are added to logits in the host's memory; there logits are resized, leads are compared, and classes without
        // queries are known.
        let on_device = local.is_none() && zoom.is_none() && run.job.classifier.margin == 0.0;
        let model = match segmenter.blends() && on_device && !index::any(&run.job.plan) {
            true => segmenter.blender(&region).map(|blender| Model::Rows { blender, end: rest.rows().end }),
            false => Ok(Model::Logits { segmenter, padding: &padding, local }),
        };
        let allow_failed_windows = run.options.allow_failed_windows;
        let computing = model.and_then(|model| compute::compute(model, allow_failed_windows, from_reader, to_stitcher));
        let read = reading.join().map_err(|_| Error::internal("the reading thread panicked"))?;
        let stitched = stitching.join().map_err(|_| Error::internal("the stitching thread panicked"))?;
        // A thread that fails makes its neighbours stop early without an error of their own.
        read?;
        computing?;
        stitched
    })?;
    if file.is_complete() {
        return Ok(counts);
    }
    match stop.signal() {
        Some((signal, name)) => Err(Error::new(Kind::Stopped { signal }, format!("stopped by {name}"))),
        None => Err(Error::internal(format!("{} of {} rows of {whole} were computed", file.rows(), whole.height))),
    }
}
