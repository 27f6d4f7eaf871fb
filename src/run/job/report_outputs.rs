//! The preview and the report of a finished scene.

use std::path::Path;

use super::super::engine::{Areas, Counts, WindowCounts};
use super::super::prepared::SceneRun;
use crate::error::Result;
use crate::geom::{ScaleBar, Size};
use crate::page::{Amount, Layers, Page, Share, Vectors, Words};
use crate::pipeline::{band_label, without_credentials};
use crate::preview::{self, Panel};
use crate::raster::{SceneReader, Stretch};
use crate::report::{self, AreaScale, grouped};
use crate::scene::{Georeference, Recipe};
use crate::vector::Sketch;
use crate::{atomic, crs};

/// A finished scene.
pub struct ReportOutputs<'a> {
    pub run: &'a SceneRun<'a>,
    pub counts: &'a Counts,
    /// The one that the model saw: pictures show the same, and nothing is estimated again.
    pub stretch: &'a Stretch,
    /// Where the picture is to be written, where one is wanted; and the page.
    pub preview: Option<&'a Path>,
    pub report: Option<&'a Path>,
    /// Where the table of areas is to be written.
    pub areas: Option<&'a Path>,
    /// The vectors of the scene, where the job asks for them.
    pub sketch: Option<&'a Sketch>,
}

impl<'a> ReportOutputs<'a> {
    /// Writes what the job asks for.
    pub fn write(&self) -> Result<()> {
        if let Some(path) = self.areas {
            atomic::write_file(path, self.table().as_bytes())?;
        }
        if self.preview.is_none() && self.report.is_none() {
            return Ok(());
        }
        let scene = self.run.scene;
        let reader = SceneReader::with_stretch(&scene.info, scene.bands, self.stretch)?;
        if let Some(path) = self.preview {
            self.write_preview(&reader, path)?;
        }
        if let Some(path) = self.report {
            self.page(&reader, path)?;
        }
        Ok(())
    }

    fn write_preview(&self, reader: &SceneReader, path: &Path) -> Result<()> {
        let classes = &self.run.job.classes;
        let mut panels = vec![Panel::scene(reader)?, Panel::labels(&self.run.scene.outputs.labels, classes)?];
        let drawn = self.sketch.and_then(|sketch| Some(panels.first()?.with_vectors(sketch, classes)));
        panels.extend(drawn);
        let legend: Vec<preview::Entry<'_>> = self
            .shares()
            .into_iter()
            .map(|Share { class, share, amount, .. }| {
                let area = amount.area.map(|area| format!("  {area}")).unwrap_or_default();
                preview::Entry { class, text: format!("{} {:.1} %{area}", class.name, 100.0 * share) }
            })
            .collect();
        let scale = self.scale_bar();
        preview::write(path, &panels, &legend, scale.as_ref(), &self.run.scene.title())
    }

    fn page(&self, reader: &SceneReader, path: &Path) -> Result<()> {
        let (job, scene, (size, place)) = (self.run.job, self.run.scene, self.grid());
        let layers = Layers::read(reader, &scene.outputs.labels, &job.classes, &self.counts.classes)?;
        let scale = self.scale_bar();
        let mut subtitle = format!("{size} pixels");
        if let Some(area) = self.amount(size.pixels() as u64, Areas::whole).area {
            subtitle += &format!(", {area}");
        }
        if let Some(name) = place.and_then(|place| place.crs_name.as_deref()) {
            subtitle += &format!(", {name}");
        }
        Page {
            title: &self.run.scene.title(),
            subtitle: &subtitle,
            sides: ["Scene", "Result"],
            layers: &layers,
            vectors: self.sketch.map(|sketch| Vectors { name: self.vectors_name(), sketch }),
            words: Words::CLASSES,
            scale: scale.as_ref(),
            classes: &self.shares(),
            nodata: (self.counts.nodata > 0).then(|| self.amount(self.counts.nodata, |areas| areas.nodata)),
            provenance: &self.provenance(),
            job: &job.source,
            resolved: &without_credentials(&report::resolved(&job.plan, scene)),
        }
        .write(path)
    }

    /// What the job's vectors are called.
    fn vectors_name(&self) -> &'static str {
        match self.run.job.plan.product.as_ref().map(|product| product.recipe) {
            Some(Recipe::Roads) => "Centre lines",
            _ => "Outlines",
        }
    }

    /// The areas of all classes as CSV.
    fn table(&self) -> String {
        let valid: u64 = self.counts.classes.iter().sum();
        let areas = self.counts.areas.as_ref();
        let pixels = self.grid().0.pixels().max(1) as f64;
        // Digits down to a tenth of a pixel.
        let pixel = areas.map_or(1.0, |areas| areas.whole() / pixels);
        let digits = (1.0 - pixel.log10().floor()).clamp(0.0, 6.0) as usize;
        let area = |area: Option<f64>| area.map_or(String::new(), |area| format!("{area:.digits$}"));
        let mut text = "class_id,class,pixels,share,area_m2\n".to_owned();
        for (value, (class, count)) in self.run.job.classes.iter().zip(&self.counts.classes).enumerate() {
            let share = *count as f64 / valid.max(1) as f64;
            let of_class = areas.and_then(|areas| areas.classes.get(value).copied());
            text += &format!("{value},{},{count},{share:.6},{}\n", csv_field(&class.name), area(of_class));
        }
        if self.counts.nodata > 0 {
            text += &format!(",no data,{},,{}\n", self.counts.nodata, area(areas.map(|areas| areas.nodata)));
        }
        text
    }

    fn grid(&self) -> (Size, Option<&'a Georeference>) {
        self.run.scene.output_grid()
    }

    fn shares(&self) -> Vec<Share<'a>> {
        let valid: u64 = self.counts.classes.iter().sum();
        let classes = self.run.job.classes.iter().zip(&self.counts.classes);
        classes
            .enumerate()
            .map(|(index, (class, &pixels))| Share {
                class,
                share: pixels as f64 / valid.max(1) as f64,
                amount: self.amount(pixels, |areas| areas.classes.get(index).copied().unwrap_or(0.0)),
                listed: true,
            })
            .collect()
    }

    /// `None` where no CRS says how large the scene is.
    fn scale_bar(&self) -> Option<ScaleBar> {
        let (size, place) = self.grid();
        crs::ground_of(size, place)?.scale_bar()
    }

    fn amount(&self, pixels: u64, area: impl Fn(&Areas) -> f64) -> Amount {
        let shown = |areas: &Areas| AreaScale::new(areas.whole()).show(area(areas));
        Amount { pixels: grouped(pixels), area: self.counts.areas.as_ref().map(shown) }
    }

    /// What the results' tags say, and what depends on the scene.
    fn provenance(&self) -> Vec<(String, String)> {
        let scene = self.run.scene;
        let mut rows = vec![("Scene".to_owned(), without_credentials(&scene.info.path.to_string_lossy()))];
        let bands = scene.bands.map(|number| match band_label(&scene.info, number) {
            Some(label) => format!("{number} ({label})"),
            None => number.to_string(),
        });
        rows.push(("Bands".to_owned(), format!("{} as red, green, blue", bands.join(", "))));
        rows.extend(scene.conversion().map(|text| ("Values".to_owned(), without_credentials(&text))));
        rows.push(("Stretch used".to_owned(), self.stretch.to_string()));
        for (tag, value) in &self.run.job.tags {
            let name = tag.strip_prefix("SEGEARTH_").unwrap_or(tag);
            let name = match name.strip_prefix("SHA256_") {
                Some(file) => format!("SHA-256 of {}", dotted(&file.to_lowercase())),
                None if name == "VERSION" => "segearth".to_owned(),
                None => name.chars().take(1).chain(name.to_lowercase().chars().skip(1)).collect(),
            };
            rows.push((name, value.clone()));
        }
        // Whoever computed them: the page of a job that was stopped or shared is that of an undisturbed one.
        let WindowCounts { computed, empty } = self.counts.all_windows;
        let windows = match empty {
            0 => grouped(computed as u64),
            empty => format!("{}, and {} without data", grouped(computed as u64), grouped(empty as u64)),
        };
        rows.push(("Windows".to_owned(), windows));
        if !self.counts.failed_windows.is_empty() {
            let failed: Vec<String> = self.counts.failed_windows.iter().map(ToString::to_string).collect();
            rows.push(("Failed windows".to_owned(), failed.join("; ")));
        }
        rows.push(("Device".to_owned(), self.run.job.device.to_string()));
        rows
    }
}

/// A CSV field, quoted where RFC 4180 requires it.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// Names of tags have no dots: the last underscore of a file was one.
fn dotted(name: &str) -> String {
    name.rsplit_once('_').map_or_else(|| name.to_owned(), |(stem, extension)| format!("{stem}.{extension}"))
}
