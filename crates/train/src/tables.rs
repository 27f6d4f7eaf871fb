//! What the embedded model reaches on what is held out, run as the program runs it.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use segearth::cli::Cli;
use segearth::error::{Context as _, Error, Result};
use segearth::evaluate::{ClassMap, Request, evaluate};
use segearth::geom::Size;
use segearth::model::bundle::Bundle;
use segearth::model::queries::{self, Wording};
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::model::torch::{Device, TorchSegmenter, TorchTextEncoder};
use segearth::model::{Images, Queries, Segmenter as _, mini};
use segearth::report::Reporter;

use crate::data::{DUBAI_CLASSES, Data, MERCED_CLASSES};
use crate::data::{Picture, TEST_TILES, Truth};
use crate::figures;
use crate::words;

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

/// All figures: chance, nearest colours, and the embedded model.
pub fn print(root: &Path) -> Result<()> {
    let data = Data::read(root)?;
    figures::baselines(&data, |figure| println!("{figure}"))?;
    let bundle = mini::bundle()?;
    whole_pictures(&bundle, &data)?;
    absent_words(&bundle, &data)?;
    print_tiles(root, mini::NAME, "hann")
}

/// The Dubai tiles' figures of a model, embedded or a bundle's folder.
pub fn print_tiles(root: &Path, model: &str, blend: &str) -> Result<()> {
    for debias in ["0", "0.1", "0.3"] {
        tiles(root, model, blend, debias)?;
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

fn whole_pictures(bundle: &Bundle, data: &Data) -> Result<()> {
    let prompts = MERCED_CLASSES.map(str::to_owned);
    // Sides must be whole patches: a few pictures of the set are a pixel or two short.
    let pictures: Vec<Picture> = whole_patches(&data.merced.test, bundle.card.sizes.patch);
    for (halvings, side) in [(1, 128), (0, 256)] {
        let found = cosines(bundle, &pictures, halvings, &prompts)?;
        let right = pictures.iter().zip(&found).filter(|(picture, found)| truth(picture) == Some(best(found))).count();
        println!(
            "| UC Merced: mini, zero-shot top-1 at {side} pixels | {:.3} |",
            right as f64 / pictures.len().max(1) as f64
        );
    }
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
fn absent_words(bundle: &Bundle, data: &Data) -> Result<()> {
    let pictures = whole_patches(&data.merced.test, bundle.card.sizes.patch);
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

/// The held-out tiles through `segearth run` and `segearth evaluate`.
fn tiles(root: &Path, model: &str, blend: &str, debias: &str) -> Result<()> {
    let folder = tempfile::tempdir().input(|| "cannot make a temporary folder".into())?;
    let (predictions, references) = (folder.path().join("prediction"), folder.path().join("reference"));
    for tile in TEST_TILES {
        let source = root.join("dubai").join(tile);
        let reference = references.join(tile);
        fs::create_dir_all(&reference).input(|| format!("cannot make {}", reference.display()))?;
        // Pictures and masks have the same names, and only masks are references.
        for entry in fs::read_dir(&source).input(|| format!("cannot list {}", source.display()))?.flatten() {
            if entry.path().extension().is_some_and(|it| it == "png") {
                fs::copy(entry.path(), reference.join(entry.file_name()))
                    .input(|| format!("cannot copy {}", entry.path().display()))?;
            }
        }
        let classes = DUBAI_CLASSES.map(|(_, prompts, _)| format!("  - {}\n", prompts.join(","))).concat();
        let job = folder.path().join(format!("{tile}.yaml"));
        let scenes = source.canonicalize().input(|| format!("there is no folder {}", source.display()))?;
        let text = format!(
            "model: {model}\nscene: '{}/*.jpg'\nclasses:\n{classes}method: {{debias: {debias}}}\ntiling: {{blend: {blend}}}\n\
             outputs: {{folder: '{}', labels: '{{scene}}.tif'}}\n",
            scenes.display(),
            predictions.join(tile).display()
        );
        fs::write(&job, text).input(|| format!("cannot write {}", job.display()))?;
        let words = [Path::new("segearth"), Path::new("run"), Path::new("--quiet"), &job];
        let cli = Cli::try_parse_from(words).map_err(|error| Error::internal(error.to_string()))?;
        segearth::run::run(&cli, &Reporter::silent())?;
    }
    let map = ClassMap::parse(
        "classes: {building: '#3C1098', land: '#8429F6', road: '#6EC1E4', vegetation: '#FEDD3A', water: '#E2A929'}\n\
         ignore: ['#9B9B9B', '#000000']\n",
    )?;
    let request = Request { prediction: predictions, reference: references, map: Some(map), ..Default::default() };
    let found = evaluate(&request, &|_| ())?;
    let iou: Vec<String> = found.classes.iter().map(|class| format!("{:.3}", class.iou.unwrap_or(0.0))).collect();
    println!(
        "| Dubai: {model}, {blend}, λ = -{debias}, as `segearth run` | {:.3} | {:.3} | {} |",
        found.means.miou.unwrap_or(0.0),
        found.means.overall_accuracy.unwrap_or(0.0),
        iou.join(" | ")
    );
    Ok(())
}
