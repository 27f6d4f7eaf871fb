//! The rasters of a scene, made in one go from the rows in its journal.

use std::path::PathBuf;

use super::areas::AreaSums;
use super::windows::DataWindows;
use super::{Counts, Engine, IDENTITY_TAG, ROWS_AT_ONCE, layers};
use crate::error::{Context, Error, Result};
use crate::journal::{Journal, Layer, RowFile, Rows};
use crate::pipeline::OutputPaths;
use crate::raster::{LabelWriter, ScoreWriter};
use crate::scene::{LabelType, ScoreType};
use crate::stitch::Regrid;

/// Writes every raster to `outputs`; counts the pixels of each class, and gives which windows hold data. `files` hold all rows
/// of the scene, those of parts beside each
/// other in the order of their columns.
pub(super) fn assemble(
    engine: &Engine<'_>,
    outputs: &OutputPaths,
    journal: &Journal,
    files: &mut [RowFile],
    tags: &[(String, String)],
    counts: &mut Counts,
) -> Result<DataWindows> {
    let mut tags = tags.to_vec();
    tags.push((IDENTITY_TAG.to_owned(), journal.fingerprint().to_owned()));
    if !counts.failed_windows.is_empty() {
        tags.push(("SEGEARTH_FAILED_WINDOWS".to_owned(), counts.failed_windows.len().to_string()));
    }
    let layers = journal.layers();
    let width = engine.scene.info.size.width;
    let mut writers = Writers::create(engine, outputs, &tags)?;
    let mut windows = DataWindows::new(engine.plan.grid(engine.scene), engine.classifier.nodata);
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
            writers.write(engine, row, rows, layers.iter().zip(bytes), &mut windows)?;
            row += rows;
        }
    }
    counts.classes = writers.labels.counts().to_vec();
    counts.nodata = engine.scene.output_grid().0.pixels() as u64 - counts.classes.iter().sum::<u64>();
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
    /// From the model's grid to that of the results, where they differ.
    regrid: Option<Regrid>,
}

/// Values of some rows, by layer.
enum Values {
    Labels(Vec<u16>),
    Scores(String, Vec<f32>),
}

impl Writers {
    fn create(engine: &Engine<'_>, outputs: &OutputPaths, tags: &[(String, String)]) -> Result<Self> {
        let (size, place) = engine.scene.output_grid();
        let regrid = match &engine.scene.info.access.native {
            Some(native) if engine.scene.on_native_grid => {
                Some(Regrid::new(engine.scene.info.size, native.size, native.scale))
            }
            _ => None,
        };
        let label_type = LabelType::for_classes(engine.classes.len());
        let rasters = engine.plan.rasters;
        let scores = |path: &Option<PathBuf>, names: &[&str], kind: ScoreType| {
            path.as_ref()
                .map(|path| ScoreWriter::create(path, size, place, names, kind, rasters.layout, tags))
                .transpose()
        };
        let names: Vec<&str> = engine.classes.iter().map(|class| class.name.as_str()).collect();
        Ok(Self {
            labels: LabelWriter::create(
                &outputs.labels,
                size,
                place,
                &engine.classes,
                label_type,
                rasters.layout,
                tags,
            )?,
            scores: scores(&outputs.scores, &names, rasters.scores)?,
            confidence: scores(&outputs.confidence, &["confidence"], rasters.certainty)?,
            margin: scores(&outputs.margin, &["margin"], rasters.certainty)?,
            areas: AreaSums::new(engine.scene, engine.classes.len()),
            regrid,
        })
    }

    /// Writes rows of the model's grid, from `row` on, and notes which windows they show to hold data.
    fn write<'a>(
        &mut self,
        engine: &Engine<'_>,
        row: usize,
        rows: usize,
        layers: impl Iterator<Item = (&'a Layer, Vec<u8>)>,
        windows: &mut DataWindows,
    ) -> Result<()> {
        for (layer, bytes) in layers {
            let values = match layer.name.as_str() {
                layers::LABELS => Values::Labels(layers::labels(&bytes, layer.sample, &engine.classifier)?),
                name => Values::Scores(name.to_owned(), layers::scores(&bytes, layer.sample)),
            };
            if let Values::Labels(labels) = &values {
                windows.rows(row, labels);
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
                        let planes = if name == layers::SCORES { engine.classes.len() } else { 1 };
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
