//! What learning from examples gains, scene by scene: examples are drawn from the left half of a scene by a fixed seed, and the
//! right half is measured.

use std::path::{Path, PathBuf};

use segearth::error::{Context as _, Error, Result};
use segearth::evaluate::ConfusionMatrix;
use segearth::geom::{Blend, Grid, Size};
use segearth::learn::{self, Fitted, Place, Start, TrainingSet, descriptors};
use segearth::model::bundle::Bundle;
use segearth::model::queries::{self, Wording};
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::model::torch::{Device, TorchTextEncoder};
use segearth::model::{self, Padding, Queries, Shortcuts, TokenSource, mini, normalise};
use segearth::raster::{self, SceneReader};
use segearth::scene::{Pooling, StretchMethod, StretchPlan, Tile};
use segearth::stitch::Accumulator;
use segearth::train::random::Random;

/// Pixels of a class that each half of a scene must have.
const LEAST: usize = 600;
/// Side of the squares that stand for polygons.
const POLYGON: usize = 24;
/// As `segearth learn` takes of a polygon.
const MOST: usize = 64;
const UNKNOWN: u8 = 255;

/// A set of scenes with masks.
struct Set {
    name: &'static str,
    folder: &'static str,
    /// Names of classes, their prompts, and their codes in the masks.
    classes: &'static [(&'static str, &'static [&'static str], &'static [Code])],
    /// The class whose IoU counts; `None`: the mean of all.
    class: Option<usize>,
    /// At most so many scenes, evenly from all.
    scenes: usize,
}

#[derive(Clone, Copy, PartialEq)]
enum Code {
    Value(u8),
    Colour([u8; 3]),
}

use Code::{Colour, Value};

const SETS: [Set; 3] = [
    Set {
        name: "buildings from drones",
        folder: "oam_buildings",
        classes: &[
            ("other", &["land", "bare soil", "vegetation", "trees", "road"], &[Value(0)]),
            ("building", &["building", "house", "roof"], &[Value(1)]),
        ],
        class: Some(1),
        scenes: 24,
    },
    Set {
        name: "Dubai",
        folder: "dubai",
        classes: &[
            ("building", &["building", "house", "roof"], &[Colour([0x3C, 0x10, 0x98])]),
            ("land", &["land", "bare soil", "desert"], &[Colour([0x84, 0x29, 0xF6])]),
            ("road", &["road", "street"], &[Colour([0x6E, 0xC1, 0xE4])]),
            ("vegetation", &["vegetation"], &[Colour([0xFE, 0xDD, 0x3A])]),
            ("water", &["water"], &[Colour([0xE2, 0xA9, 0x29])]),
        ],
        class: None,
        scenes: 24,
    },
    Set {
        name: "Monterey",
        folder: "usgs_monterey_ortho",
        classes: &[
            ("water", &["water"], &[Value(1)]),
            ("marsh", &["marsh"], &[Value(2)]),
            ("farmland", &["farmland", "field"], &[Value(3)]),
            ("sand", &["beach", "sand"], &[Value(4), Value(5), Value(8)]),
            ("dune vegetation", &["shrubs", "vegetation"], &[Value(6), Value(7), Value(9)]),
            ("pavement", &["road", "pavement", "parking lot"], &[Value(10)]),
            ("built-up", &["buildings", "houses"], &[Value(11)]),
        ],
        class: None,
        scenes: 24,
    },
];

/// How examples are given.
#[derive(Clone, Copy)]
enum Given {
    Clicks(usize),
    Polygons(usize),
}

/// What is learnt from.
#[derive(Clone, Copy, PartialEq)]
enum Inputs {
    Both,
    Features,
    Colours,
}

/// A scene with its features, (row, column, D) and (row, column, descriptor), and its classes.
struct Scene {
    size: Size,
    features: Vec<f32>,
    local: Vec<f32>,
    truth: Vec<u8>,
    grid: Grid,
}

/// Prints the table of all sets, or of those of the `folders` named, with commas between; `alone`: also what features alone and
/// colours alone give.
pub fn print(root: &Path, folders: &str, alone: bool) -> Result<()> {
    let bundle = mini::bundle()?;
    // As jobs have it that say nothing.
    let logit_scale = bundle.card.recommended.logit_scale.unwrap_or(50.0) as f32;
    let given = [Given::Clicks(5), Given::Clicks(20), Given::Clicks(100), Given::Polygons(5)];
    let inputs = if alone { &[Inputs::Both, Inputs::Features, Inputs::Colours][..] } else { &[Inputs::Both] };
    for set in SETS.iter().filter(|set| folders.is_empty() || folders.split(',').any(|folder| folder == set.folder)) {
        let words = words(&bundle, set)?;
        let mut rows: Vec<(String, Vec<f64>)> = vec![("words alone".to_owned(), Vec::new())];
        for scene in scenes(root, set)? {
            let Some(scene) = read(&bundle, set, &scene)? else { continue };
            let zero = learn::fit(
                &TrainingSet { width: words.0.width, ..TrainingSet::default() },
                &start(&words, set, logit_scale),
            )?;
            let mut row = 0;
            let mut keep = |name: String, value: f64| {
                if rows.len() <= row {
                    rows.push((name, Vec::new()));
                }
                rows[row].1.push(value);
                row += 1;
            };
            keep(String::new(), measure(&scene, set, &zero, Inputs::Features, logit_scale));
            for given in given {
                for &inputs in inputs {
                    let training = draw(&scene, set, given, inputs);
                    let none = (Queries { count: 0, width: training.width, features: Vec::new() }, Vec::new());
                    let words = if inputs == Inputs::Colours { &none } else { &words };
                    let fitted = learn::fit(&training, &start(words, set, logit_scale))?;
                    keep(label(given, inputs), measure(&scene, set, &fitted, inputs, logit_scale));
                }
            }
            eprintln!("{}: {} scenes", set.name, rows[0].1.len());
        }
        table(set, &rows);
    }
    Ok(())
}

fn label(given: Given, inputs: Inputs) -> String {
    let given = match given {
        Given::Clicks(count) => format!("{count} clicks"),
        Given::Polygons(count) => format!("{count} polygons"),
    };
    match inputs {
        Inputs::Both => given,
        Inputs::Features => format!("{given}, features alone"),
        Inputs::Colours => format!("{given}, colours alone"),
    }
}

fn table(set: &Set, rows: &[(String, Vec<f64>)]) {
    let Some((_, words)) = rows.first() else { return };
    println!("\n{} ({} scenes), {}", set.name, words.len(), if set.class.is_some() { "IoU" } else { "mIoU" });
    println!("| learnt from | median | gain over words: least | 10th percentile | median |\n|---|---|---|---|---|");
    for (name, values) in rows {
        let gains: Vec<f64> = values.iter().zip(words).map(|(value, words)| value - words).collect();
        let mut sorted = gains.clone();
        sorted.sort_by(f64::total_cmp);
        let [least, tenth] = [0, gains.len() / 10].map(|at| sorted.get(at).copied().unwrap_or(0.0));
        println!("| {name} | {:.3} | {least:+.3} | {tenth:+.3} | {:+.3} |", median(values), median(&gains));
    }
}

fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => f64::midpoint(sorted[count / 2 - 1], sorted[count / 2]),
    }
}

fn start<'a>((queries, classes): &'a (Queries, Vec<usize>), set: &Set, logit_scale: f32) -> Start<'a> {
    Start {
        classes: set.classes.len(),
        words: &queries.features,
        word_classes: classes,
        logit_scale,
        pooling: Pooling::Sum,
    }
}

fn words(bundle: &Bundle, set: &Set) -> Result<(Queries, Vec<usize>)> {
    let prompts: Vec<String> =
        set.classes.iter().flat_map(|class| class.1).map(|prompt| (*prompt).to_owned()).collect();
    let classes = set.classes.iter().enumerate().flat_map(|(number, class)| class.1.iter().map(move |_| number));
    let tokenizer = Tokenizer::from_file(&bundle.tokenizer())?;
    let mut encoder = TorchTextEncoder::load(&bundle.text_encoder(), Device::Cpu)?;
    let wording = Wording { prompts: &prompts, templates: &imagenet_templates() };
    Ok((queries::encode(wording, &tokenizer, &mut encoder, |_| ())?, classes.collect()))
}

/// Pictures and masks of a set, in the order of their names, thinned out.
fn scenes(root: &Path, set: &Set) -> Result<Vec<[PathBuf; 2]>> {
    let mut masks = Vec::new();
    let mut folders = vec![root.join(set.folder)];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).input(|| format!("cannot list {}", folder.display()))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "png") {
                masks.push(path);
            }
        }
    }
    masks.sort();
    let pairs = masks.into_iter().filter_map(|mask| {
        let picture = ["jpg", "jpeg", "tif"].iter().map(|extension| mask.with_extension(extension));
        picture.into_iter().find(|path| path.is_file()).map(|picture| [picture, mask])
    });
    let pairs: Vec<_> = pairs.collect();
    let step = (pairs.len() / (2 * set.scenes)).max(1);
    Ok(pairs.into_iter().step_by(step).collect())
}

fn tile(path: &Path, colours: bool) -> Result<(Tile, bool)> {
    let info = raster::inspect(path)?;
    let three = info.bands.len() >= 3;
    let bands = if three { [1, 2, 3] } else { [1, 1, 1] };
    let plan = StretchPlan { method: StretchMethod::None, joint: false, gamma: 1.0 };
    if colours && !three {
        return Err(Error::input(format!("{} has no three bands", path.display())));
    }
    let size = info.size;
    Ok((SceneReader::open(&info, bands, &plan)?.read(size.window())?, three))
}

/// `None`: a half has too little of the class that counts, or of two classes.
fn read(bundle: &Bundle, set: &Set, [picture, mask]: &[PathBuf; 2]) -> Result<Option<Scene>> {
    let (mask, coloured) = tile(mask, false)?;
    let size = mask.window.size();
    let pixels = size.pixels();
    let class = |at: usize| {
        let value = mask.rgb[at] as u8;
        let colour = [value, mask.rgb[pixels + at] as u8, mask.rgb[2 * pixels + at] as u8];
        let is = |code: &Code| *code == if coloured { Colour(colour) } else { Value(value) };
        set.classes.iter().position(|class| class.2.iter().any(is)).map_or(UNKNOWN, |class| class as u8)
    };
    let truth: Vec<u8> = (0..pixels).map(class).collect();
    let mut counts = vec![[0usize; 2]; set.classes.len()];
    for (at, &class) in truth.iter().enumerate().filter(|(_, class)| **class != UNKNOWN) {
        counts[usize::from(class)][usize::from(at % size.width >= size.width / 2)] += 1;
    }
    let enough = counts.iter().map(|halves| halves.iter().all(|count| *count >= LEAST)).collect::<Vec<_>>();
    if enough.iter().filter(|enough| **enough).count() < 2 || set.class.is_some_and(|class| !enough[class]) {
        return Ok(None);
    }
    // Classes that one half lacks are not told apart here.
    let truth =
        truth.into_iter().map(|class| if enough.get(usize::from(class)) == Some(&true) { class } else { UNKNOWN });
    let truth: Vec<u8> = truth.collect();
    let (features, local) = features(bundle, picture)?;
    let window = bundle.card.sizes.window;
    Ok(Some(Scene { size, features, local, truth, grid: Grid::new(size, window, window.div_ceil(2)) }))
}

/// Features and descriptors of all pixels, blended as a job blends them.
fn features(bundle: &Bundle, picture: &Path) -> Result<(Vec<f32>, Vec<f32>)> {
    let (whole, _) = tile(picture, true)?;
    let size = whole.window.size();
    let width = bundle.card.sizes.embed_dim;
    let unit = |at: usize| if at.is_multiple_of(width + 1) { 1.0 } else { 0.0 };
    let queries = Queries { count: width, width, features: (0..width * width).map(unit).collect() };
    let debias = bundle.card.recommended.debias.unwrap_or(0.3) as f32;
    let mut segmenter =
        model::segmenter(bundle, Device::Cpu, &queries, debias, Shortcuts::default(), TokenSource::Tower)?;
    let window = bundle.card.sizes.window;
    let grid = Grid::new(size, window, window.div_ceil(2));
    let locals = learn::count(3);
    let padding = Padding::new(grid.window(), bundle.card.sizes.patch);
    let mut blended = Accumulator::new(size.window(), grid.window(), width + locals, Blend::Hann);
    let (mut features, mut local) = (Vec::new(), Vec::new());
    let mut finish = |blended: &mut Accumulator, before: usize| {
        for row in blended.finish_before(before) {
            for col in 0..size.width {
                features.extend((0..width).map(|query| row.logit(query, col)));
                local.extend((width..width + locals).map(|query| row.logit(query, col)));
            }
        }
    };
    for at in grid.windows() {
        let plane = |channel: usize| {
            let rgb = &whole.rgb;
            at.rows()
                .flat_map(move |row| at.cols().map(move |col| rgb[channel * size.pixels() + row * size.width + col]))
        };
        let tile = Tile { window: at, rgb: (0..3).flat_map(plane).collect(), valid: None };
        let images = normalise(std::slice::from_ref(&tile), &bundle.normalisation(), &padding);
        let mut logits = padding.cut(segmenter.segment(&images)?);
        logits.extend(descriptors(&tile.rgb, at.size()));
        finish(&mut blended, at.row);
        blended.add(&at, &logits, None);
    }
    finish(&mut blended, size.height);
    Ok((features, local))
}

/// Examples of the left half.
fn draw(scene: &Scene, set: &Set, given: Given, inputs: Inputs) -> TrainingSet {
    let Size { width, height } = scene.size;
    let mut random = Random::new(20_261);
    let mut training = TrainingSet { reach: 24, ..TrainingSet::default() };
    let dimensions = scene.features.len() / scene.truth.len();
    let locals = scene.local.len() / scene.truth.len();
    training.width = if inputs == Inputs::Colours { 0 } else { dimensions };
    training.locals = if inputs == Inputs::Features { 0 } else { locals };
    let (count, polygons) = match given {
        Given::Clicks(count) => (count, false),
        Given::Polygons(count) => (count, true),
    };
    let (mut example, mut drawn) = (0, Vec::new());
    for class in 0..set.classes.len() {
        let own = |at: usize| usize::from(scene.truth[at]) == class;
        let left: Vec<usize> = (0..width * height).filter(|&at| at % width < width / 2 && own(at)).collect();
        if left.is_empty() {
            continue;
        }
        for _ in 0..count {
            let middle = left[random.below(left.len())];
            let mut pixels = vec![middle];
            if polygons {
                let (col, row) = (middle % width, middle / width);
                let near = |at: usize, side: usize| at.saturating_sub(POLYGON / 2)..(at + POLYGON / 2).min(side);
                pixels = near(row, height)
                    .flat_map(|row| near(col, width / 2).map(move |col| row * width + col))
                    .filter(|&at| own(at))
                    .collect();
                let step = pixels.len().div_ceil(MOST);
                pixels = pixels.into_iter().step_by(step).collect();
            }
            for at in pixels {
                drawn.push([at % width, at / width]);
                training.features.extend(&scene.features[at * dimensions..][..training.width]);
                training.local.extend(&scene.local[at * locals..][..training.locals]);
                training.classes.push(class);
                training.examples.push(example);
                training.places.push(Place { scene: 0, col: (at % width) as u32, row: (at / width) as u32 });
            }
            example += 1;
        }
    }
    // As `segearth learn` takes them, but for the half that is measured.
    for [col, row] in learn::surroundings(&scene.grid, &drawn).into_iter().filter(|[col, _]| *col < width / 2) {
        let at = row * width + col;
        training.surroundings.extend(&scene.features[at * dimensions..][..training.width]);
        training.surroundings_local.extend(&scene.local[at * locals..][..training.locals]);
    }
    training
}

/// The IoU of the right half.
fn measure(scene: &Scene, set: &Set, fitted: &Fitted, inputs: Inputs, logit_scale: f32) -> f64 {
    let width = scene.size.width;
    let dimensions = scene.features.len() / scene.truth.len();
    let locals = scene.local.len() / scene.truth.len();
    let present: Vec<bool> = (0..set.classes.len()).map(|class| scene.truth.contains(&(class as u8))).collect();
    let mut matrix = ConfusionMatrix::new(set.classes.len());
    for (at, &truth) in scene.truth.iter().enumerate() {
        if truth == UNKNOWN || at % width < width / 2 {
            continue;
        }
        let features = if inputs == Inputs::Colours { &[] } else { &scene.features[at * dimensions..][..dimensions] };
        let local = if inputs == Inputs::Features { &[] } else { &scene.local[at * locals..][..locals] };
        let dot = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
        let logit = |query: &learn::LearntQuery| {
            logit_scale * (dot(&query.vector, features) + dot(&query.local, local)) + query.bias
        };
        let logits: Vec<f32> = fitted.queries.iter().map(logit).collect();
        let largest = logits.iter().copied().fold(f32::MIN, f32::max);
        let mut scores = vec![0f32; set.classes.len()];
        for (query, logit) in fitted.queries.iter().zip(logits) {
            let score = (logit - largest).exp();
            // As the built-in model recommends for words, and as for all that is learnt.
            scores[query.class] += score;
        }
        let best = (0..scores.len()).filter(|class| present[*class]).fold(None, |best: Option<usize>, class| {
            Some(best.filter(|best| scores[*best] >= scores[class]).unwrap_or(class))
        });
        matrix.add(usize::from(truth), best.unwrap_or(0), 1);
    }
    let names: Vec<String> = set.classes.iter().map(|class| class.0.to_owned()).collect();
    let figures = matrix.scores(&names);
    let iou = |class: usize| figures[class].iou.unwrap_or(0.0);
    match set.class {
        Some(class) => iou(class),
        None => {
            let classes: Vec<usize> = (0..set.classes.len()).filter(|class| present[*class]).collect();
            classes.iter().map(|class| iou(*class)).sum::<f64>() / classes.len().max(1) as f64
        }
    }
}
