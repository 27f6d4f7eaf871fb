//! What bundles reach on the test part, run as the program runs them.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use segearth::cli::Cli;
use segearth::error::{Context as _, Error, Result};
use segearth::evaluate::ConfusionMatrix;
use segearth::geom::Size;
use segearth::model::bundle::{Bundle, Trust};
use segearth::model::queries::{self, Wording};
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::model::torch::{Device, TorchSegmenter, TorchTextEncoder};
use segearth::model::{Images, Queries, Segmenter as _, mini};
use segearth::raster;
use segearth::report::Reporter;

use crate::data::{DUBAI_CLASSES, Data, EUROSAT_CLASSES, MERCED_CLASSES, Picture, Split, Truth};
use crate::evaluate::{JOBS, Job};
use crate::figures::{self, Choose, Figure};
use crate::words::{self, EUROSAT, UNLABELLED};

/// Words that no training ever used, in no label and not as an absent one.
const NEVER_SEEN: [&str; 12] = [
    "kangaroo",
    "submarine",
    "piano",
    "dragon",
    "hamburger",
    "bicycle",
    "wedding dress",
    "toothbrush",
    "violin",
    "microscope",
    "snowman",
    "telephone",
];

/// All figures of the embedded model and of the bundles in `others`, after chance and nearest colours; on the validation part if
/// `validation`.
pub fn print(root: &Path, others: &[&str], validation: bool) -> Result<()> {
    let data = Data::read(root)?;
    let part: Choose = if validation { |split| &split.validation } else { |split| &split.test };
    if !validation {
        figures::baselines(&data, |figure| println!("{figure}"))?;
    }
    for model in std::iter::once(&mini::NAME).chain(others) {
        let bundle = match *model {
            mini::NAME => mini::bundle()?,
            folder => Bundle::open(Path::new(folder), Trust::Hashes)?,
        };
        println!("{model}");
        whole_pictures(&bundle, &data, part)?;
        absent_words(&bundle, part(&data.merced))?;
        for job in &JOBS {
            let iou = shipped_job(model, job, &job.pictures(part((job.set)(&data))))?;
            println!("{}", Figure::pictures(format!("{}, IoU as `segearth run`", job.name), iou));
        }
        dubai(model, part(&data.dubai))?;
    }
    Ok(())
}

/// The `[CLS]` feature's cosines with the prompts, (picture, prompt). The image encoder adds λ times them to all logits:
/// two runs that differ by 1 in λ differ by just them.
fn cosines(bundle: &Bundle, pictures: &[Picture], halvings: usize, prompts: &[String]) -> Result<Vec<Vec<f32>>> {
    let tokenizer = Tokenizer::from_file(&bundle.tokenizer())?;
    let templates = imagenet_templates();
    let mut encoder = TorchTextEncoder::load(&bundle.text_encoder(), Device::Cpu)?;
    let wording = Wording { prompts, templates: &templates };
    let queries: Queries = queries::encode(wording, &tokenizer, &mut encoder, |_| ())?;
    let mut with = TorchSegmenter::load(&bundle.image_encoder(), Device::Cpu, &queries, -1.0)?;
    let mut without = TorchSegmenter::load(&bundle.image_encoder(), Device::Cpu, &queries, 0.0)?;
    let normalisation = bundle.normalisation();
    let mut all = Vec::with_capacity(pictures.len());
    for picture in pictures {
        // Halved, a picture is as wide as the window.
        let full = picture.pyramid.level(halvings).unwrap_or(picture.full());
        let area = full.width * full.height;
        let pixels = (0..3 * area).map(|at| {
            let (channel, pixel) = (at / area, at % area);
            (f32::from(full.rgb[pixel * 3 + channel]) - normalisation.mean[channel]) / normalisation.std[channel]
        });
        let images =
            Images { size: Size::new(full.width, full.height), count: 1, pixels: pixels.collect(), tokens: None };
        let (with, without) = (with.segment(&images)?, without.segment(&images)?);
        all.push((0..prompts.len()).map(|prompt| with[prompt * area] - without[prompt * area]).collect());
    }
    Ok(all)
}

fn best(cosines: &[f32]) -> usize {
    (0..cosines.len()).max_by(|a, b| cosines[*a].total_cmp(&cosines[*b])).unwrap_or(0)
}

fn truth(picture: &Picture) -> Option<usize> {
    if let Truth::Picture(label) = picture.truth { Some(usize::from(label)) } else { None }
}

fn whole_pictures(bundle: &Bundle, data: &Data, part: Choose) -> Result<()> {
    let top = |split: &Split, names: &[&str], halvings: usize, first: usize| -> Result<f64> {
        let prompts: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        // Sides must be whole patches: a few pictures of a set are a pixel or two short.
        let pictures = whole_patches(part(split), bundle.card.sizes.patch);
        let found = cosines(bundle, &pictures, halvings, &prompts)?;
        let right = pictures.iter().zip(&found).filter(|(picture, found)| truth(picture) == Some(best(found) + first));
        Ok(right.count() as f64 / pictures.len().max(1) as f64)
    };
    for (halvings, side) in [(1, 128), (0, 256)] {
        let top = top(&data.merced, &MERCED_CLASSES, halvings, 0)?;
        println!("{}", Figure::pictures(format!("UC Merced, zero-shot top-1 at {side} pixels"), top));
    }
    let top = top(&data.eurosat, &EUROSAT_CLASSES, 0, EUROSAT)?;
    println!("{}", Figure::pictures("EuroSAT, zero-shot top-1 at 64 pixels", top));
    Ok(())
}

fn whole_patches(pictures: &[Picture], patch: usize) -> Vec<Picture> {
    let fits = |picture: &&Picture| {
        let full = picture.full();
        full.width.is_multiple_of(2 * patch) && full.height.is_multiple_of(2 * patch)
    };
    pictures.iter().filter(fits).cloned().collect()
}

/// Whether words for what no picture shows stay low beside the words for what it shows.
fn absent_words(bundle: &Bundle, merced: &[Picture]) -> Result<()> {
    let pictures = whole_patches(merced, bundle.card.sizes.patch);
    let mut prompts: Vec<String> = MERCED_CLASSES.iter().map(|name| (*name).to_owned()).collect();
    let groups = [("absent in training", words::ABSENT), ("never seen", &NEVER_SEEN[..])];
    groups.iter().for_each(|(_, words)| prompts.extend(words.iter().map(|word| (*word).to_owned())));
    let found = cosines(bundle, &pictures, 1, &prompts)?;
    let classes = MERCED_CLASSES.len();
    let mean = |values: Vec<f32>| values.iter().sum::<f32>() / values.len().max(1) as f32;
    let own = pictures.iter().zip(&found).filter_map(|(picture, found)| Some(found[truth(picture)?])).collect();
    println!("| mean cosine of a picture with its own class's name | {:.3} |", mean(own));
    let mut start = classes;
    for (name, words) in groups {
        let range = start..start + words.len();
        let highest = found.iter().map(|found| found[range.clone()].iter().copied().fold(f32::MIN, f32::max));
        let wins = found.iter().filter(|found| {
            let least = found[..classes].iter().copied().fold(f32::MIN, f32::max);
            found[range.clone()].iter().any(|it| *it > least)
        });
        let all = found.iter().flat_map(|found| found[range.clone()].iter().copied());
        println!(
            "| {} words {name}: mean cosine, mean of the highest, share of pictures where one beats all classes \
             | {:.3}, {:.3}, {:.3} |",
            words.len(),
            mean(all.collect()),
            mean(highest.collect()),
            wins.count() as f64 / found.len().max(1) as f64
        );
        start = range.end;
    }
    Ok(())
}

/// The labels that `segearth run` gives the pixels of pictures. `settings`: further keys of the job, as YAML.
fn run(model: &str, classes: &[&[&str]], settings: &str, pictures: &[Picture]) -> Result<Vec<Vec<u16>>> {
    let folder = tempfile::tempdir().input(|| "cannot make a temporary folder".into())?;
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("scenes")).input(|| "cannot make a temporary folder".into())?;
    for (number, picture) in pictures.iter().enumerate() {
        let full = picture.full();
        let pixels: Vec<[u8; 3]> = full.rgb.chunks_exact(3).map(|rgb| [rgb[0], rgb[1], rgb[2]]).collect();
        let path = at(&format!("scenes/{number:04}.png"));
        raster::write_png(&path, Size::new(full.width, full.height), &pixels)?;
    }
    let classes = classes.iter().map(|prompts| {
        let name = prompts.first().copied().unwrap_or_default();
        format!("  - {{name: '{name}', prompts: [{}]}}\n", prompts.join(", "))
    });
    let text = format!(
        "model: {model}\nscene: '{0}/scenes/*.png'\nclasses:\n{1}mask: none\n{settings}\noutputs: {{folder: '{0}/labels', labels: \
         '{{scene}}.tif'}}\n",
        folder.path().display(),
        classes.collect::<String>(),
    );
    let job = at("job.yaml");
    fs::write(&job, text).input(|| format!("cannot write {}", job.display()))?;
    let words = [Path::new("segearth"), Path::new("run"), Path::new("--quiet"), &job];
    let cli = Cli::try_parse_from(words).map_err(|error| Error::internal(error.to_string()))?;
    segearth::run::run(&cli, &Reporter::silent())?;
    let labels = |number: usize| Ok(raster::label_thumbnail(&at(&format!("labels/{number:04}.tif")), usize::MAX)?.1);
    (0..pictures.len()).map(labels).collect()
}

/// IoU of the class that a shipped job seeks, with its own settings and those that the model recommends.
fn shipped_job(model: &str, job: &Job, pictures: &[Picture]) -> Result<f64> {
    let found = run(model, job.classes, job.settings, pictures)?;
    let (mut both, mut either) = (0u64, 0u64);
    for (picture, found) in pictures.iter().zip(found) {
        let Truth::Pixels(truth) = &picture.truth else { continue };
        for (truth, found) in truth.iter().zip(found).filter(|(truth, _)| **truth != UNLABELLED) {
            let (truth, found) = (job.sought.contains(&usize::from(*truth)), found == 1);
            both += u64::from(truth && found);
            either += u64::from(truth || found);
        }
    }
    Ok(both as f64 / (either as f64).max(1.0))
}

/// The five classes of Dubai's tiles, for each λ and two ways of blending.
fn dubai(model: &str, pictures: &[Picture]) -> Result<()> {
    let classes: Vec<&[&str]> = DUBAI_CLASSES.iter().map(|class| class.1).collect();
    for (debias, blend) in [("0", "hann"), ("0.1", "hann"), ("0.3", "hann"), ("0", "average")] {
        let settings = format!("method: {{debias: {debias}}}\ntiling: {{blend: {blend}}}");
        let found = run(model, &classes, &settings, pictures)?;
        let mut confusion = ConfusionMatrix::new(classes.len());
        for (picture, found) in pictures.iter().zip(found) {
            let Truth::Pixels(truth) = &picture.truth else { continue };
            for (truth, found) in truth.iter().zip(found) {
                if let Some(truth) = DUBAI_CLASSES.iter().position(|class| class.2 == usize::from(*truth)) {
                    confusion.add(truth, usize::from(found), 1);
                }
            }
        }
        println!("{}", Figure::pixels(format!("Dubai, {blend}, λ = -{debias}, as `segearth run`"), &confusion));
    }
    Ok(())
}
