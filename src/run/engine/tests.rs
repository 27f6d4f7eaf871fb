//! A model that blends by itself gives what the stitcher gives, whatever fails on the way.

use std::fs;
use std::path::Path;

use super::*;
use crate::error::Kind;
use crate::model::fake::{Answer, Fake};
use crate::model::{Blender, Images, Region};
use crate::outputs::Existing;
use crate::pipeline;
use crate::report::{Reporter, ReporterOptions};
use crate::run::job::{self, Purpose};
use crate::run::prepared::Options;
use crate::run::stop::Stop;
use crate::scene::Labelled;
use crate::stitch::Accumulator;

const JOB: &str = "model: fake:identity\nclasses: [red, green, blue]\nmethod: {logit_scale: 0.05}\n\
                   tiling: {stride: 56, batch: 5}\noutputs: {folder: OUT, scores: true, confidence: true, margin: true}\n";

/// The identity model, on a device that takes two images at a time and cannot compute some windows at all.
struct Device {
    inner: Fake,
    blends: bool,
    /// Images whose first pixel has this value in red fail.
    cursed: Option<f32>,
}

impl Device {
    fn answer(&self, images: &Images) -> Result<Vec<f32>> {
        let plane = 3 * images.size.pixels();
        if images.count > 2 {
            return Err(Error::new(Kind::OutOfMemory, "two are enough"));
        }
        if images.pixels.chunks_exact(plane).any(|image| Some(image[0]) == self.cursed) {
            return Err(Error::input("cursed"));
        }
        self.inner.clone().segment(images)
    }
}

impl Segmenter for Device {
    fn queries(&self) -> usize {
        self.inner.queries
    }

    fn segment(&mut self, images: &Images) -> Result<Vec<f32>> {
        self.answer(images)
    }

    fn blends(&self) -> bool {
        self.blends
    }

    fn blender<'a>(&'a self, region: &Region<'_>) -> Result<Box<dyn Blender + 'a>> {
        let window = region.padding.window;
        let accumulator = Accumulator::new(region.region, window, self.inner.queries, crate::geom::Blend::Hann);
        Ok(Box::new(HostBlender { device: self, accumulator, classifier: region.classifier.clone() }))
    }
}

struct HostBlender<'a> {
    device: &'a Device,
    accumulator: Accumulator,
    classifier: Classifier,
}

impl Blender for HostBlender<'_> {
    fn add(&mut self, images: &Images, tiles: &[(Window, Option<&[bool]>)]) -> Result<()> {
        let logits = self.device.answer(images)?;
        let per_window = logits.len() / tiles.len();
        for ((window, valid), logits) in tiles.iter().zip(logits.chunks_exact(per_window)) {
            self.accumulator.add(window, logits, *valid);
        }
        Ok(())
    }

    fn first(&self) -> usize {
        self.accumulator.first()
    }

    fn finish_before(&mut self, row: usize) -> Result<Labelled> {
        // As many rows as it likes, and not as many as the stitcher.
        let rows = self.accumulator.finish_before(row.min(self.accumulator.first() + 23));
        Ok(self.classifier.classify(&rows, true))
    }
}

fn outputs(folder: &Path, device: &mut Device) -> (Result<()>, Vec<Vec<u8>>) {
    let scene = Path::new(env!("CARGO_MANIFEST_DIR")).join("sample_data/itaipu.tif");
    let job = folder.join("job.yaml");
    fs::write(&job, format!("scene: {}\n{}", scene.display(), JOB.replace("OUT", &folder.display().to_string())))
        .unwrap();
    let spec = pipeline::load(&job, &[]).unwrap();
    let silent = Reporter::new(ReporterOptions { quiet: true, ..ReporterOptions::default() });
    let prepared = job::prepare(&spec, false, Purpose::Run, Existing::Refuse, &silent).unwrap();
    let options = Options { allow_failed_windows: true, ..Options::default() };
    let watch = Watch { stop: &Stop::listen().unwrap(), metrics: &RunMetrics::default(), reporter: &silent };
    let ran = job::segment(&prepared, device, options, None, watch);
    let take = |(_, path): (&str, &Path)| {
        let bytes = fs::read(path).unwrap_or_else(|error| panic!("{ran:#?}\n{error}"));
        fs::remove_file(path).unwrap();
        bytes
    };
    let rasters = prepared.plan.scenes[0].outputs.rasters().map(take).collect();
    (ran, rasters)
}

fn device(blends: bool, cursed: Option<f32>) -> Device {
    Device { inner: Fake { answer: Answer::Identity, queries: 3 }, blends, cursed }
}

#[test]
fn what_is_blended_on_a_device_is_what_the_stitcher_blends() {
    for cursed in [None, Some(0.0)] {
        let folder = tempfile::tempdir().unwrap();
        let (ran, want) = outputs(folder.path(), &mut device(false, cursed));
        let (ran_there, found) = outputs(folder.path(), &mut device(true, cursed));
        assert_eq!(ran.is_err(), cursed.is_some(), "{ran:?}");
        assert_eq!(format!("{ran:?}"), format!("{ran_there:?}"));
        assert!(found.len() == 4 && found == want, "cursed: {cursed:?}");
    }
}
