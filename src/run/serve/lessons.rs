//! Classes learnt from the examples of a session, as `segearth learn` learns them: the same file of examples, features, fit and file of
//! classes. Features of pixels are computed once.

#![expect(clippy::indexing_slicing, reason = "features of pixels, counted before")]

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use geo::{LineString, Polygon};

use super::lock::lock;
use super::open_scenes::OpenScenes;
use super::shared::Shared;
use super::words::Words;
use crate::error::{Error, Result};
use crate::geom::{GeoTransform, Window};
use crate::model::{Segmenter, TokenSource};
use crate::pipeline::{ClassPlan, Plan};
use crate::raster::{self, ExampleSource};
use crate::run::learn::{
    Collected, PixelFeatures, feature_segmenter, features, further, lesson, remarks, windows_of_pixels,
};
use crate::run::prepared::PreparedJob;
use crate::scene::same_name;
use crate::serve::{LearntStart, Session, Shape};
use crate::vector::{Field, FieldKind, OutlinePlace, PlacedOutline, text, write_outlines};
use crate::{crs, hash, learn};

/// Pixels of an example, as `segearth learn` takes them.
const PIXELS: usize = 64;
/// Files of learnt classes that are kept: those of views that are still computed, and of an undo.
const KEPT: usize = 8;

/// A pixel of a scene as it was seen.
type Place = (usize, u64, [usize; 2]);

#[derive(Default)]
pub struct Lessons {
    segmenter: Option<Box<dyn Segmenter>>,
    known: HashMap<Place, (Vec<f32>, Vec<f32>, bool)>,
    /// Figures of the last lesson.
    pub figures: Option<serde_json::Value>,
    /// What users should know of it: sentences.
    pub notes: Vec<String>,
    /// Its file.
    pub file: Option<PathBuf>,
    files: Vec<PathBuf>,
}

impl Lessons {
    /// Learns the classes of a session; returns the file. `None`: it was interrupted.
    ///
    /// # Errors
    /// There is nothing to learn from, or a scene cannot be read.
    pub fn learn(
        &mut self,
        shared: &Shared,
        scenes: &mut OpenScenes<'_>,
        words: &mut Words,
        job: &PreparedJob,
        session: &Session,
    ) -> Result<Option<PathBuf>> {
        shared.tell(|news| "learning".clone_into(&mut news.work));
        let width = shared.bundle.card.sizes.embed_dim;
        let earlier = session.learnt.as_ref().map(|start| -> Result<learn::Learnt> {
            let learnt = further(learn::Learnt::read(&start.file)?, &start.file, &job.plan, &shared.bundle)?;
            Ok(kept(learnt, start, session))
        });
        let earlier = earlier.transpose()?;
        let with_local = earlier.as_ref().is_none_or(|earlier| earlier.header.locals() > 0);
        let mut collected = Collected::new(width, with_local);
        if let Some(earlier) = &earlier {
            collected.add_earlier(earlier)?;
        }
        let folder = tempfile::tempdir_in(&shared.folder)
            .map_err(|cause| Error::input(format!("cannot write to {}", shared.folder.display())).with_source(cause))?;
        for (index, scene) in job.plan.scenes.iter().enumerate() {
            if !session.examples.iter().any(|example| example.scene == index) {
                continue;
            }
            let path = folder.path().join("examples.gpkg");
            write(&path, shared, session, Some(index))?;
            let source = ExampleSource {
                path: &path,
                layer: None,
                class_field: Some("class"),
                codes: None,
                radius: 0.0,
                most: PIXELS,
            };
            let examples = raster::read_examples(&source, &scene.info)?;
            let _ = std::fs::remove_file(&path);
            let pixels = collected.pixels(job, scene, &examples)?;
            let Some(found) = self.features(shared, scenes, job, index, &pixels)? else { return Ok(None) };
            collected.add_found(scene, examples, &found);
        }
        let features = |classes: &[ClassPlan]| -> Result<(Vec<f32>, Vec<usize>)> {
            let of = classes.iter().enumerate().flat_map(|(number, class)| class.prompts.iter().map(move |_| number));
            let plan = Plan { classes: classes.to_vec(), ..job.plan.clone() };
            let queries = words.queries(&plan, &shared.bundle, shared.device, &scenes.reporter)?;
            Ok((queries.features, of.collect()))
        };
        let learnt = lesson(job, &shared.bundle, collected, earlier.as_ref(), features)?;
        self.figures = learnt.learnt.header.figures.clone();
        self.notes = remarks(&learnt.classes, &learnt.set, &learnt.fitted);
        self.keep(&shared.folder, &learnt.learnt).map(Some)
    }

    /// Writes learnt classes under a name that tells them from others.
    fn keep(&mut self, folder: &Path, learnt: &learn::Learnt) -> Result<PathBuf> {
        let header = serde_json::to_string(&learnt.header).unwrap_or_default();
        let numbers: Vec<u8> = learnt
            .queries
            .iter()
            .flat_map(|query| query.vector.iter().chain(&query.local).chain(std::iter::once(&query.bias)))
            .flat_map(|value| value.to_le_bytes())
            .collect();
        let name: String = hash::of([header.as_bytes(), &numbers].concat()).chars().take(12).collect();
        let path = folder.join(format!("classes-{name}.{}", learn::EXTENSION));
        learnt.write(&path)?;
        self.files.retain(|file| *file != path);
        self.files.push(path.clone());
        while self.files.len() > KEPT {
            let _ = std::fs::remove_file(self.files.remove(0));
        }
        self.file = Some(path.clone());
        Ok(path)
    }

    /// The features of pixels, of which those are computed that are new.
    fn features(
        &mut self,
        shared: &Shared,
        scenes: &mut OpenScenes<'_>,
        job: &PreparedJob,
        scene: usize,
        pixels: &[[usize; 2]],
    ) -> Result<Option<PixelFeatures>> {
        scenes.open(scene)?;
        let look = scenes.get(scene).map_or(0, |open| open.look);
        let new: Vec<[usize; 2]> =
            pixels.iter().filter(|pixel| !self.known.contains_key(&(scene, look, **pixel))).copied().collect();
        let Some(plan) = job.plan.scenes.get(scene) else { return Ok(None) };
        if !new.is_empty() {
            let windows: Vec<Window> =
                windows_of_pixels(job, plan, &new).into_iter().map(|(window, _)| window).collect();
            for window in windows {
                // All windows that reach the window's middle are more than enough; the window's own chunk is among them.
                let middle = Window {
                    col: window.col + window.width / 2,
                    row: window.row + window.height / 2,
                    width: 1,
                    height: 1,
                };
                if !scenes.embed(scene, middle, &|| !shared.is_ending())? {
                    return Ok(None);
                }
            }
            let segmenter = match &mut self.segmenter {
                Some(segmenter) => segmenter,
                none => none.insert(feature_segmenter(job, &shared.bundle, TokenSource::Images)?),
            };
            let Some(open) = scenes.get(scene) else { return Ok(None) };
            let (stop, reporter) = (&shared.stop, &scenes.reporter);
            let found = features(job, plan, segmenter.as_mut(), Some(&open.store), &new, true, stop, reporter)?;
            let (width, locals) = (found.features.len() / new.len(), found.local.len() / new.len());
            for (at, pixel) in new.iter().enumerate() {
                let of = (
                    found.features[at * width..][..width].to_vec(),
                    found.local[at * locals..][..locals].to_vec(),
                    found.valid[at],
                );
                self.known.insert((scene, look, *pixel), of);
            }
        }
        let mut all = PixelFeatures::default();
        for pixel in pixels {
            if let Some((features, local, valid)) = self.known.get(&(scene, look, *pixel)) {
                all.features.extend(features);
                all.local.extend(local);
                all.valid.push(*valid);
            }
        }
        Ok(Some(all))
    }
}

/// What a session has kept of the learnt classes that it began with: the classes that are still there, under their names of today, and
/// their samples.
fn kept(mut learnt: learn::Learnt, start: &LearntStart, session: &Session) -> learn::Learnt {
    let name_of = |name: &str| {
        let entry = start.classes.iter().find(|class| start.ids.contains(&class.id) && same_name(&class.name, name))?;
        session.classes.get(session.index_of(entry.id)?).map(|class| class.name.clone())
    };
    let names: Vec<Option<String>> = learnt.header.classes.iter().map(|class| name_of(&class.name)).collect();
    let places = |kept: &mut dyn Iterator<Item = bool>| -> Vec<Option<usize>> {
        kept.scan(0, |next, kept| {
            let place = kept.then_some(*next);
            *next += usize::from(kept);
            Some(place)
        })
        .collect()
    };
    let classes = places(&mut names.iter().map(Option::is_some));
    let class_of = |class: usize| classes.get(class).copied().flatten();
    let examples = places(&mut learnt.header.examples.iter().map(|example| class_of(example.class).is_some()));
    learnt.header.classes = learnt
        .header
        .classes
        .into_iter()
        .zip(names)
        .filter_map(|(class, name)| Some(learn::LearntClass { name: name?, ..class }))
        .collect();
    // The session says which class it is.
    learnt.header.background = None;
    learnt.header.examples = learnt
        .header
        .examples
        .into_iter()
        .filter_map(|example| Some(learn::LearntExample { class: class_of(example.class)?, ..example }))
        .collect();
    learnt.queries = learnt
        .queries
        .into_iter()
        .filter_map(|query| Some(learn::LearntQuery { class: class_of(query.class)?, ..query }))
        .collect();
    let samples = std::mem::take(&mut learnt.samples);
    let count = samples.examples.len().max(1);
    learnt.samples.surroundings = samples.surroundings;
    learnt.samples.surroundings_local = samples.surroundings_local;
    let (width, locals) = (samples.features.len() / count, samples.local.len() / count);
    for (at, (&example, &place)) in samples.examples.iter().zip(&samples.places).enumerate() {
        if let Some(example) = examples.get(example).copied().flatten() {
            learnt.samples.features.extend(&samples.features[at * width..][..width]);
            learnt.samples.local.extend(&samples.local[at * locals..][..locals]);
            learnt.samples.examples.push(example);
            learnt.samples.places.push(place);
        }
    }
    learnt
}

/// Writes the examples of a session, or those on one scene, as polygons with the fields `class` and `scene`: a point is its pixel.
///
/// # Errors
/// There are none, or the file cannot be written.
pub fn write(path: &Path, shared: &Shared, session: &Session, scene: Option<usize>) -> Result<()> {
    let examples: Vec<_> =
        session.examples.iter().filter(|example| scene.is_none_or(|scene| scene == example.scene)).collect();
    if examples.is_empty() {
        return Err(Error::input("there are no examples yet").with_hint("Choose a class and click on the map."));
    }
    let mut used: Vec<usize> = examples.iter().map(|example| example.scene).collect();
    used.sort_unstable();
    used.dedup();
    let mut places = Vec::with_capacity(used.len());
    for scene in &used {
        let plan = lock(&shared.scene(*scene)?.look).1.clone();
        let georeference = plan.info.georeference.as_ref();
        let crs_wkt = georeference.and_then(|place| place.crs_wkt.as_deref());
        let transform = georeference.map_or(GeoTransform::IDENTITY, |place| place.transform);
        places.push(OutlinePlace {
            ground: crs::pixel_ground(crs_wkt, transform, plan.info.size),
            crs_wkt: crs_wkt.map(Arc::from),
        });
    }
    let fields = [Field::new("class", "class", FieldKind::Text), Field::new("scene", "scene", FieldKind::Text)];
    let outlines = examples.iter().filter_map(|example| {
        let class = session.classes.get(session.index_of(example.class)?)?;
        let corners: Vec<[f64; 2]> = match &example.shape {
            Shape::Polygon(corners) => corners.clone(),
            Shape::Point([col, row]) => {
                let (col, row) = (col.floor(), row.floor());
                vec![[col, row], [col + 1.0, row], [col + 1.0, row + 1.0], [col, row + 1.0]]
            }
        };
        Some(PlacedOutline {
            place: used.binary_search(&example.scene).ok()?,
            polygon: Polygon::new(
                LineString::from_iter(corners.iter().chain(corners.first()).map(|[x, y]| (*x, *y))),
                Vec::new(),
            ),
            values: vec![text(&class.name), text(&shared.scenes.get(example.scene)?.title)],
        })
    });
    write_outlines(path, &fields, &places, outlines.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::learn::{Header, Learnt, LearntClass, LearntExample, LearntModel, LearntSettings, StoredSamples};
    use crate::serve::ClassEntry;

    #[test]
    fn classes_that_are_gone_take_their_samples_along() {
        let model = LearntModel { name: "m".into(), image_encoder: String::new(), width: 2 };
        let settings = LearntSettings {
            debias: 0.0,
            logit_scale: 1.0,
            window: 8,
            stride: 4,
            blend: "hann".into(),
            bands: Default::default(),
        };
        let class =
            |name: &str| LearntClass { name: name.into(), colour: [0; 3], threshold: None, prompts: Vec::new() };
        let example = |class| LearntExample { class, scene: "a".into() };
        let learnt = Learnt {
            header: Header {
                classes: ["water", "sand", "tree"].map(class).to_vec(),
                background: Some("sand".into()),
                examples: [0, 1, 2, 1].map(example).to_vec(),
                ..Header::new(model, settings)
            },
            queries: Vec::new(),
            samples: StoredSamples {
                features: (0..10u8).map(f32::from).collect(),
                local: Vec::new(),
                surroundings: vec![0.5; 4],
                surroundings_local: Vec::new(),
                examples: vec![0, 1, 2, 2, 3],
                places: vec![[0, 0], [1, 1], [2, 2], [3, 3], [4, 4]],
            },
        };
        let entry =
            |id, name: &str| ClassEntry { id, name: name.into(), words: Vec::new(), colour: None, threshold: None };
        let start = LearntStart {
            file: "c.safetensors".into(),
            classes: vec![entry(1, "water"), entry(2, "sand"), entry(3, "tree")],
            background: None,
            ids: vec![1, 2, 3],
            wordless: Vec::new(),
        };
        let session = Session { classes: vec![entry(1, "water"), entry(3, "forest")], ..Session::default() };
        let kept = kept(learnt, &start, &session);
        let names: Vec<&str> = kept.header.classes.iter().map(|class| class.name.as_str()).collect();
        assert_eq!((names, kept.header.background), (vec!["water", "forest"], None));
        assert_eq!(kept.header.examples, [0, 1].map(example));
        assert_eq!(kept.samples.examples, [0, 1, 1]);
        assert_eq!(kept.samples.places, [[0, 0], [2, 2], [3, 3]]);
        assert_eq!(kept.samples.surroundings, [0.5; 4]);
        assert_eq!(kept.samples.features, [0.0, 1.0, 4.0, 5.0, 6.0, 7.0]);
    }
}
