//! The rasters of a scene, made in one go from the rows in its journal.

use std::path::PathBuf;

use super::super::prepared::SceneRun;
use super::areas::AreaSums;
use super::layers::{self, ROWS_AT_ONCE};
use super::outcome::Counts;
use super::windows::DataWindows;
use crate::error::{Context, Error, Result};
use crate::journal::{Journal, Layer, RowFile, Rows};
use crate::pipeline::OutputPaths;
use crate::raster::{LabelWriter, ScoreWriter};
use crate::scene::{LabelType, ScoreType};
use crate::stitch::Regrid;

/// The tag of a finished raster with the fingerprint of its run.
const FINGERPRINT_TAG: &str = "SEGEARTH_RUN";

/// Writes every raster to `outputs`, counts the pixels of each class, and returns which windows hold data. `files` hold all rows
/// of the scene, those of parts beside each other in the order of their columns.
pub(super) fn assemble(
    run: &SceneRun<'_>,
    outputs: &OutputPaths,
    journal: &Journal,
    files: &mut [RowFile],
    tags: &[(String, String)],
    counts: &mut Counts,
) -> Result<DataWindows> {
    let mut tags = tags.to_vec();
    tags.push((FINGERPRINT_TAG.to_owned(), journal.fingerprint().to_owned()));
    if !counts.failed_windows.is_empty() {
        tags.push(("SEGEARTH_FAILED_WINDOWS".to_owned(), counts.failed_windows.len().to_string()));
    }
    let layers = journal.layers();
    let width = run.scene.row_grid().width;
    let mut writers = Writers::create(run, outputs, &tags)?;
    let mut windows = DataWindows::new(run.job.plan.grid(run.scene), run.job.classifier.nodata);
    for band in files.chunk_by_mut(|a, b| a.part().row == b.part().row) {
        let mut row = band.first().map_or(0, |file| file.part().row);
        let mut parts = band.iter_mut().map(RowFile::read).collect::<Result<Vec<Rows<'_>>>>()?;
        loop {
            let mut rows = ROWS_AT_ONCE;
            for part in &mut parts {
                rows = rows.min(part.available()?);
            }
            if rows == 0 {
                break;
            }
            let mut bytes: Vec<Vec<u8>> = layers.iter().map(|layer| vec![0; layer.bytes() * rows * width]).collect();
            for part in &mut parts {
                let col = part.part().col;
                part.take(rows, &mut bytes, width, col);
            }
            writers.write(run, row, rows, layers.iter().zip(bytes), &mut windows)?;
            row += rows;
        }
    }
    counts.classes = writers.labels.counts().to_vec();
    counts.nodata = run.scene.output_grid().0.pixels() as u64 - counts.classes.iter().sum::<u64>();
    counts.areas = writers.areas.take().map(AreaSums::finish);
    writers.finish()?;
    Ok(windows)
}

/// The rasters of one scene.
struct Writers {
    labels: LabelWriter,
    scores: Option<ScoreWriter>,
    confidence: Option<ScoreWriter>,
    margin: Option<ScoreWriter>,
    areas: Option<AreaSums>,
    /// From the model's grid to that of the results, where labels are on the model's.
    regrid: Option<Regrid>,
    /// From the grid of the results to the model's, where labels are on that of the results.
    shrink: Option<Regrid>,
}

/// Values of some rows, by layer.
enum Values {
    Labels(Vec<u16>),
    Scores(String, Vec<f32>),
}

impl Writers {
    fn create(run: &SceneRun<'_>, outputs: &OutputPaths, tags: &[(String, String)]) -> Result<Self> {
        let (size, place) = run.scene.output_grid();
        let regrid = match &run.scene.info.access.native {
            Some(native) if run.scene.on_native_grid && run.scene.zoom().is_none() => {
                Some(Regrid::new(run.scene.info.size, native.size, native.scale))
            }
            _ => None,
        };
        let label_type = LabelType::for_classes(run.job.classes.len());
        let rasters = run.job.plan.rasters;
        let scores = |path: &Option<PathBuf>, names: &[&str], kind: ScoreType| {
            path.as_ref()
                .map(|path| ScoreWriter::create(path, size, place, names, kind, rasters.layout, tags))
                .transpose()
        };
        let names: Vec<&str> = run.job.classes.iter().map(|class| class.name.as_str()).collect();
        Ok(Self {
            labels: LabelWriter::create(
                &outputs.labels,
                size,
                place,
                &run.job.classes,
                label_type,
                rasters.layout,
                tags,
            )?,
            scores: scores(&outputs.scores, &names, rasters.scores)?,
            confidence: scores(&outputs.confidence, &["confidence"], rasters.certainty)?,
            margin: scores(&outputs.margin, &["margin"], rasters.certainty)?,
            areas: AreaSums::new(run.scene, run.job.classes.len()),
            regrid,
            shrink: run.scene.zoom().map(|zoom| {
                let scale =
                    [zoom.from.width as f64 / zoom.to.width as f64, zoom.from.height as f64 / zoom.to.height as f64];
                Regrid::new(zoom.to, zoom.from, scale)
            }),
        })
    }

    /// Writes rows of the model's grid, from `row` on, and notes which windows they show to hold data.
    fn write<'a>(
        &mut self,
        run: &SceneRun<'_>,
        row: usize,
        rows: usize,
        layers: impl Iterator<Item = (&'a Layer, Vec<u8>)>,
        windows: &mut DataWindows,
    ) -> Result<()> {
        for (layer, bytes) in layers {
            let values = match layer.name.as_str() {
                layers::LABELS => Values::Labels(layers::labels(&bytes, layer.sample, &run.job.classifier)?),
                name => Values::Scores(name.to_owned(), layers::scores(&bytes, layer.sample)),
            };
            if let Values::Labels(labels) = &values {
                match self.shrink {
                    None => windows.rows(row, labels),
                    Some(shrink) => {
                        let seen = shrink.rows(&(row..row + rows));
                        windows.rows(seen.start, &shrink.expand(labels, 1, row, &seen));
                    }
                }
            }
            let Some(regrid) = self.regrid else {
                self.write_values(row, &values)?;
                continue;
            };
            let there = regrid.rows(&(row..row + rows));
            for first in there.clone().step_by(ROWS_AT_ONCE) {
                let wanted = first..there.end.min(first + ROWS_AT_ONCE);
                let values = match &values {
                    Values::Labels(labels) => Values::Labels(regrid.expand(labels, 1, row, &wanted)),
                    Values::Scores(name, scores) => {
                        let planes = if name == layers::SCORES { run.job.classes.len() } else { 1 };
                        Values::Scores(name.clone(), regrid.expand(scores, planes, row, &wanted))
                    }
                };
                self.write_values(first, &values)?;
            }
        }
        Ok(())
    }

    /// Writes rows of the results' grid.
    fn write_values(&mut self, first_row: usize, values: &Values) -> Result<()> {
        match values {
            Values::Labels(labels) => {
                if let Some(areas) = &mut self.areas {
                    areas.add(first_row, labels);
                }
                self.labels.write_rows(first_row, labels)
            }
            Values::Scores(name, scores) => {
                let writer = match name.as_str() {
                    layers::SCORES => &mut self.scores,
                    layers::CONFIDENCE => &mut self.confidence,
                    _ => &mut self.margin,
                };
                let writer = writer.as_mut().ok_or_else(|| Error::internal(format!("nobody asked for the {name}")))?;
                writer.write_rows(first_row, scores)
            }
        }
    }

    fn finish(self) -> Result<()> {
        for (what, writer) in [("scores", self.scores), ("confidence", self.confidence), ("margin", self.margin)] {
            if let Some(writer) = writer {
                writer.finish().input(|| format!("the {what} cannot be completed"))?;
            }
        }
        // Last: their tag says that all is there.
        self.labels.finish()
    }
}
