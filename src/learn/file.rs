//! Learnt classes as a file: safetensors with the queries' numbers, and a header that says what they mean and what they belong
//! to.

#![expect(clippy::indexing_slicing, reason = "chunks of exactly so many bytes")]

use std::collections::HashMap;
use std::path::Path;

use safetensors::tensor::{Dtype, SafeTensors, TensorView, serialize};
use serde::{Deserialize, Serialize};

use crate::atomic;
use crate::error::{Context as _, Error, Result};
use crate::location::check_exists;
use segearth_learn::{COLOURS, Figures, LearntQuery, count};

/// The header's key in the file's metadata.
const HEADER: &str = "segearth_classes";
/// The tensor of the surroundings' features.
const SURROUNDINGS: &str = "surroundings";
/// The tensor of their descriptors.
const SURROUNDINGS_LOCAL: &str = "surroundings.local";
/// Layout of the file.
const FORMAT: u32 = 1;
/// Larger files are none of ours: 10,000 samples of 1,024 features take 40 MB.
const MOST_BYTES: u64 = 2 << 30;
/// Most bands that count beside red, green and blue.
pub const MOST_FURTHER_BANDS: usize = 16;
/// The extension by which `--classes @FILE` knows them.
pub const EXTENSION: &str = "safetensors";

/// Classes that were learnt from examples.
#[derive(Clone, Debug, PartialEq)]
pub struct Learnt {
    pub header: Header,
    pub queries: Vec<LearntQuery>,
    pub samples: StoredSamples,
}

/// What the numbers mean.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Header {
    pub format: u32,
    pub made_by: String,
    /// In the order of their label values.
    pub classes: Vec<LearntClass>,
    /// Name of the class for pixels below their threshold.
    pub background: Option<String>,
    /// Scores sum up a class's queries; else they are the largest of them, as for words.
    pub sums_queries: bool,
    pub model: LearntModel,
    pub settings: LearntSettings,
    /// Channels of the images whose local descriptors count: red, green, blue and the further bands; 0: none do.
    pub channels: usize,
    /// Bands beyond what the model sees as red, green and blue: a part of the spectrum, or else a band's name or number.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub further_bands: Vec<String>,
    /// Side of the pixels that the model saw, in metres on the ground; `None`: not known, as in files of earlier versions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pixel_size: Option<f64>,
    /// The examples, in the order in which samples count them.
    pub examples: Vec<LearntExample>,
    #[serde(default)]
    pub figures: Option<serde_json::Value>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearntClass {
    pub name: String,
    /// Red, green, blue.
    pub colour: [u8; 3],
    /// 0..=1
    pub threshold: Option<f32>,
    /// The words that learning began with; none: examples alone.
    pub prompts: Vec<String>,
}

/// The model whose features the queries are multiplied with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntModel {
    pub name: String,
    /// SHA-256 of its image encoder.
    pub image_encoder: String,
    /// D
    pub width: usize,
}

/// What features depend on beside the model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LearntSettings {
    pub debias: f32,
    pub logit_scale: f32,
    pub window: usize,
    pub stride: usize,
    /// `hann`, `gaussian` or `average`.
    pub blend: String,
    /// What the model saw as red, green and blue: colours, or the bands' names or numbers.
    pub bands: [String; 3],
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LearntExample {
    pub class: usize,
    pub scene: String,
}

/// The samples that the classes were learnt from, so that more examples can be added.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StoredSamples {
    /// (sample, D)
    pub features: Vec<f32>,
    /// (sample, descriptor)
    pub local: Vec<f32>,
    /// (pixel, D), of pixels around the examples, by which the words say how common the classes are.
    pub surroundings: Vec<f32>,
    /// Their descriptors, (pixel, descriptor); files of earlier versions have none.
    pub surroundings_local: Vec<f32>,
    /// The example of each sample.
    pub examples: Vec<usize>,
    /// Column and row in the example's scene, as the model saw it.
    pub places: Vec<[u32; 2]>,
}

impl Header {
    /// The header of the program's own files.
    pub fn new(model: LearntModel, settings: LearntSettings) -> Self {
        Self {
            format: FORMAT,
            made_by: format!("segearth {}", env!("CARGO_PKG_VERSION")),
            classes: Vec::new(),
            background: None,
            sums_queries: false,
            model,
            settings,
            channels: 0,
            further_bands: Vec::new(),
            pixel_size: None,
            examples: Vec::new(),
            figures: None,
        }
    }

    pub fn set_figures(&mut self, figures: Option<&Figures>) {
        self.figures = figures.and_then(|figures| serde_json::to_value(figures).ok());
    }

    /// Descriptors of a query.
    pub fn locals(&self) -> usize {
        if self.channels == 0 { 0 } else { count(self.channels) }
    }
}

impl Learnt {
    /// Reads a file.
    ///
    /// # Errors
    /// It cannot be read, is truncated or damaged, holds no learnt classes, or those of another version of the layout.
    pub fn read(path: &Path) -> Result<Self> {
        let context = || format!("cannot use the learnt classes in {}", path.display());
        check_exists(path, "file of learnt classes")?;
        let size = std::fs::metadata(path).map(|data| data.len()).input(context)?;
        if size > MOST_BYTES {
            return Err(Error::input(format!("the file has {size} bytes; at most {MOST_BYTES} are read")))
                .input(context);
        }
        let bytes = std::fs::read(path).input(context)?;
        Self::from_bytes(&bytes).map_err(|error| error.with_hint("`segearth learn` writes such files.")).input(context)
    }

    /// Reads a file's content.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let what = || "the file is damaged, or is no safetensors file".to_owned();
        let (_, metadata) = SafeTensors::read_metadata(bytes).input(what)?;
        let tensors = SafeTensors::deserialize(bytes).input(what)?;
        let header = metadata.metadata().as_ref().and_then(|metadata| metadata.get(HEADER));
        let header = header.ok_or_else(|| Error::input("the file holds no learnt classes"))?;
        let header: Header = serde_json::from_str(header).input(|| "its header is damaged".to_owned())?;
        if header.format != FORMAT {
            let message = format!("its layout has the version {}; this program reads {FORMAT}", header.format);
            return Err(Error::input(message));
        }
        let (width, locals) = (header.model.width, header.locals());
        let query_class = whole_numbers(&tensors, "query_class")?;
        let vectors = numbers(&tensors, "queries", query_class.len(), width)?;
        let bias = numbers(&tensors, "bias", query_class.len(), 1)?;
        let local = numbers(&tensors, "local", query_class.len(), locals)?;
        let queries: Vec<LearntQuery> = query_class
            .iter()
            .enumerate()
            .map(|(query, &class)| LearntQuery {
                class,
                vector: vectors[query * width..][..width].to_vec(),
                bias: bias[query],
                local: local[query * locals..][..locals].to_vec(),
            })
            .collect();
        let examples = whole_numbers(&tensors, "samples.example")?;
        let places = whole_numbers(&tensors, "samples.place")?;
        let samples = StoredSamples {
            features: numbers(&tensors, "samples.features", examples.len(), width)?,
            local: numbers(&tensors, "samples.local", examples.len(), locals)?,
            surroundings: surroundings(&tensors, SURROUNDINGS, width)?,
            surroundings_local: surroundings(&tensors, SURROUNDINGS_LOCAL, locals)?,
            places: places.chunks_exact(2).map(|place| [place[0] as u32, place[1] as u32]).collect(),
            examples,
        };
        let learnt = Self { header, queries, samples };
        learnt.check()?;
        Ok(learnt)
    }

    /// Refuses what no file of the program says.
    fn check(&self) -> Result<()> {
        let damaged = |what: &str| Err(Error::input(format!("the file is damaged: {what}")));
        let (header, classes) = (&self.header, self.header.classes.len());
        let settings = &header.settings;
        if classes == 0 || classes > usize::from(u16::MAX) {
            return damaged("it has no classes, or more than a label raster can hold");
        }
        if (0..classes).any(|class| !self.queries.iter().any(|query| query.class == class))
            || self.queries.iter().any(|query| query.class >= classes)
        {
            return damaged("not every class has a query, or a query has no class");
        }
        if header.examples.iter().any(|example| example.class >= classes)
            || self.samples.examples.iter().any(|example| *example >= header.examples.len())
            || self.samples.places.len() != self.samples.examples.len()
        {
            return damaged("samples, examples and classes do not belong together");
        }
        let further = header.further_bands.len();
        if further > MOST_FURTHER_BANDS || (further > 0 && header.channels != COLOURS + further) {
            return damaged("its further bands and its channels do not belong together");
        }
        let mut thresholds = header.classes.iter().filter_map(|class| class.threshold);
        let in_range = (0.0..=1.0).contains(&settings.debias)
            && settings.logit_scale > 0.0
            && settings.logit_scale <= 1000.0
            && (1..=settings.window).contains(&settings.stride)
            && thresholds.all(|threshold| (0.0..=1.0).contains(&threshold));
        if in_range { Ok(()) } else { damaged("a setting is out of its range") }
    }

    /// The file's content.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let Self { header, queries, samples } = self;
        let (width, locals) = (header.model.width, header.locals());
        let floats = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
        let whole =
            |values: &mut dyn Iterator<Item = usize>| values.flat_map(|value| (value as u32).to_le_bytes()).collect();
        let joined = |of: fn(&LearntQuery) -> &[f32]| queries.iter().flat_map(of).copied().collect::<Vec<f32>>();
        let (count, sampled) = (queries.len(), samples.examples.len());
        let around = samples.surroundings.len() / width.max(1);
        let content: Vec<(&str, Dtype, Vec<usize>, Vec<u8>)> = vec![
            ("queries", Dtype::F32, vec![count, width], floats(&joined(|query| &query.vector))),
            ("bias", Dtype::F32, vec![count, 1], floats(&queries.iter().map(|query| query.bias).collect::<Vec<_>>())),
            ("local", Dtype::F32, vec![count, locals], floats(&joined(|query| &query.local))),
            ("query_class", Dtype::U32, vec![count], whole(&mut queries.iter().map(|query| query.class))),
            ("samples.features", Dtype::F32, vec![sampled, width], floats(&samples.features)),
            ("samples.local", Dtype::F32, vec![sampled, locals], floats(&samples.local)),
            (SURROUNDINGS, Dtype::F32, vec![around, width], floats(&samples.surroundings)),
            (
                SURROUNDINGS_LOCAL,
                Dtype::F32,
                vec![samples.surroundings_local.len() / locals.max(1), locals],
                floats(&samples.surroundings_local),
            ),
            ("samples.example", Dtype::U32, vec![sampled], whole(&mut samples.examples.iter().copied())),
            (
                "samples.place",
                Dtype::U32,
                vec![sampled, 2],
                whole(&mut samples.places.iter().flatten().map(|&side| side as usize)),
            ),
        ];
        let views = content.iter().map(|(name, dtype, shape, bytes)| {
            TensorView::new(*dtype, shape.clone(), bytes).map(|view| ((*name).to_owned(), view))
        });
        let failed = || "the learnt classes cannot be written".to_owned();
        let views = views.collect::<std::result::Result<Vec<_>, _>>().input(failed)?;
        let header = serde_json::to_string(header).input(failed)?;
        serialize(views, Some(HashMap::from([(HEADER.to_owned(), header)]))).input(failed)
    }

    /// Writes the file, whole or not at all.
    pub fn write(&self, path: &Path) -> Result<()> {
        atomic::write_file(path, &self.to_bytes()?)
    }
}

fn tensor<'a>(tensors: &SafeTensors<'a>, name: &str, dtype: Dtype) -> Result<TensorView<'a>> {
    let view = tensors.tensor(name).input(|| format!("the tensor {name} is missing"))?;
    if view.dtype() != dtype {
        return Err(Error::input(format!("the tensor {name} has the type {}, not {dtype}", view.dtype())));
    }
    Ok(view)
}

fn numbers(tensors: &SafeTensors<'_>, name: &str, rows: usize, columns: usize) -> Result<Vec<f32>> {
    let view = tensor(tensors, name, Dtype::F32)?;
    if view.shape() != [rows, columns] {
        let shape = view.shape();
        return Err(Error::input(format!("the tensor {name} has the shape {shape:?}, not {:?}", [rows, columns])));
    }
    let values: Vec<f32> = view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
    match values.iter().all(|value| value.is_finite()) {
        true => Ok(values),
        false => Err(Error::input(format!("the tensor {name} holds values that are not finite numbers"))),
    }
}

/// Files of earlier versions have none.
fn surroundings(tensors: &SafeTensors<'_>, name: &str, width: usize) -> Result<Vec<f32>> {
    match tensors.tensor(name) {
        Err(_) => Ok(Vec::new()),
        Ok(view) => numbers(tensors, name, view.shape().first().copied().unwrap_or(0), width),
    }
}

fn whole_numbers(tensors: &SafeTensors<'_>, name: &str) -> Result<Vec<usize>> {
    let view = tensor(tensors, name, Dtype::U32)?;
    Ok(view.data().chunks_exact(4).map(|b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]) as usize).collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn learnt() -> Learnt {
        let model = LearntModel { name: "mini".into(), image_encoder: "ab".into(), width: 3 };
        let settings = LearntSettings {
            debias: 0.3,
            logit_scale: 50.0,
            window: 128,
            stride: 64,
            blend: "hann".into(),
            bands: ["red".into(), "green".into(), "blue".into()],
        };
        let class =
            |name: &str, colour| LearntClass { name: name.into(), colour, threshold: None, prompts: Vec::new() };
        let query = |class, at: f32| LearntQuery { class, vector: vec![at, 0.5, -0.5], bias: at, local: vec![at; 18] };
        let header = Header {
            classes: vec![class("roof", [200, 0, 0]), class("rest", [0, 0, 200])],
            sums_queries: true,
            channels: 3,
            examples: vec![LearntExample { class: 1, scene: "a.tif".into() }],
            ..Header::new(model, settings)
        };
        let samples = StoredSamples {
            features: vec![0.25; 3],
            local: vec![0.5; 18],
            surroundings: vec![0.75; 6],
            surroundings_local: vec![0.125; 36],
            examples: vec![0],
            places: vec![[7, 9]],
        };
        Learnt { header, queries: vec![query(0, 1.0), query(1, -1.0), query(1, 2.0)], samples }
    }

    #[test]
    fn file_returns_what_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("classes.safetensors");
        learnt().write(&path).unwrap();
        assert_eq!(Learnt::read(&path).unwrap(), learnt());
    }

    #[test]
    fn every_prefix_of_a_file_is_refused() {
        let bytes = learnt().to_bytes().unwrap();
        for length in 0..bytes.len() {
            assert!(Learnt::from_bytes(&bytes[..length]).is_err(), "{length} of {}", bytes.len());
        }
    }

    #[test]
    fn damaged_headers_are_refused() {
        let refused = |change: fn(&mut Learnt), expected: &str| {
            let mut learnt = learnt();
            change(&mut learnt);
            let error = Learnt::from_bytes(&learnt.to_bytes().unwrap()).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        refused(|learnt| learnt.header.format = 9, "version 9");
        refused(|learnt| learnt.header.classes.truncate(1), "no class");
        refused(|learnt| learnt.header.examples.clear(), "belong together");
        refused(|learnt| learnt.header.settings.stride = 0, "out of its range");
        refused(|learnt| learnt.header.further_bands.push("near infrared".into()), "belong together");
        refused(|learnt| learnt.queries[0].bias = f32::NAN, "finite");
    }
}
