//! What a model reaches on pictures with labels: names of whole pictures, and the jobs that the program ships.
//!
//! Pictures are processed whole, as wide as they are: the tower is convolutional, and its windows agree but for their borders.

use std::borrow::Cow;

use segearth::error::Result;
use segearth::evaluate::ConfusionMatrix;
use segearth::model::text::Tokenizer;
use segearth::network::TextTower;
use segearth::network::convolutional::{ConvolutionalTower, STRIDE};
use segearth::train::pyramid::Raster;
use tch::{Kind, Tensor};

use super::data::{self, DEVIATION, DUBAI_CLASSES, Data, MEAN, Picture, Split, Truth};
use super::words::{BUILDING, FIELDS, FOREST, Label, NEITHER, NO_BUILDING, PAVEMENT, ROAD, UNLABELLED, WATER};

/// Queries of a job: unit length, with the class of each.
#[derive(Debug)]
pub struct Queries {
    /// (Q, D)
    pub features: Tensor,
    pub classes: Vec<usize>,
}

/// Encodes each class's prompts in all templates, as a job does.
pub fn queries(text: &TextTower, tokenizer: &Tokenizer, templates: &[String], classes: &[&[&str]]) -> Result<Queries> {
    let _plain = tch::no_grad_guard();
    let mut features = Vec::new();
    let mut owners = Vec::new();
    for (class, prompts) in classes.iter().enumerate() {
        for prompt in *prompts {
            let texts: Vec<String> = templates.iter().map(|template| template.replace("{}", prompt)).collect();
            let batch = tokenizer.encode_batch(&texts)?;
            let ids = Tensor::f_from_slice(&batch.ids)?.f_reshape([batch.rows as i64, batch.columns as i64])?;
            let each = unit(&text.forward(&ids)?.f_to_kind(Kind::Float)?)?;
            features.push(unit(&each.f_mean_dim(Some(&[0i64][..]), true, Kind::Float)?)?);
            owners.push(class);
        }
    }
    Ok(Queries { features: Tensor::f_cat(&features, 0)?, classes: owners })
}

fn unit(x: &Tensor) -> Result<Tensor> {
    Ok(x.f_div(&x.f_linalg_norm(2.0, Some(&[-1i64][..]), true, None)?)?)
}

/// One of the shipped jobs, as a question of one class against all else.
#[derive(Debug)]
pub struct Job {
    pub name: &'static str,
    /// Prompts by class; class 1 is sought.
    pub classes: &'static [&'static [&'static str]],
    /// Labels of the pixels sought; all others with a label are something else.
    pub sought: &'static [Label],
    pub set: fn(&Data) -> &Split,
    /// Whether only pictures count in which roads were drawn, and of them only pixels that are known to be one or none.
    pub drawn: bool,
    /// What the shipped job says beside its classes, as YAML; elsewhere it is as the model recommends.
    pub settings: &'static str,
}

impl Job {
    /// The pictures of `of` that say something of what is sought, with the labels that do.
    pub fn pictures<'a>(&self, of: &'a [Picture]) -> Cow<'a, [Picture]> {
        if !self.drawn {
            return Cow::Borrowed(of);
        }
        let known = |picture: &&Picture| match &picture.truth {
            Truth::Picture(_) => false,
            Truth::Pixels(labels) => labels.iter().any(|label| usize::from(*label) == NEITHER),
        };
        of.iter().filter(known).cloned().map(sure).collect()
    }
}

/// A picture in which pixels that are no building but might be a road have no label.
fn sure(mut picture: Picture) -> Picture {
    if let Truth::Pixels(labels) = &mut picture.truth {
        labels.iter_mut().filter(|label| usize::from(**label) == NO_BUILDING).for_each(|label| *label = UNLABELLED);
    }
    picture
}

pub const JOBS: [Job; 6] = [
    // `pipelines/buildings.yaml` is for drone images.
    Job {
        name: "buildings (drone)",
        classes: &BUILDINGS,
        sought: &[BUILDING],
        set: |data| &data.buildings,
        drawn: false,
        settings: "method: {threshold: 0.85}",
    },
    Job {
        name: "buildings (Dubai)",
        classes: &BUILDINGS,
        sought: &[BUILDING],
        set: |data| &data.dubai,
        drawn: false,
        settings: "",
    },
    Job {
        name: "roads (drone)",
        classes: &ROADS,
        sought: &[ROAD],
        set: |data| &data.buildings,
        drawn: true,
        settings: "method: {threshold: 0.5}",
    },
    Job {
        name: "roads (Dubai)",
        classes: &ROADS,
        sought: &[ROAD],
        set: |data| &data.dubai,
        drawn: false,
        settings: "method: {threshold: 0.5}",
    },
    Job {
        name: "pavement (Monterey)",
        classes: &PAVEMENTS,
        sought: &[PAVEMENT],
        set: |data| &data.monterey,
        drawn: false,
        settings: "",
    },
    Job {
        name: "water (coast)",
        classes: &WATERS,
        sought: &[WATER],
        set: |data| &data.coast,
        drawn: false,
        settings: "method: {threshold: 0.75}",
    },
];

const BUILDINGS: [&[&str]; 2] =
    [&["background", "road", "parking lot", "grass", "tree", "bare ground", "water"], &["building", "roof", "house"]];
const ROADS: [&[&str]; 3] = [
    &["background", "building", "roof", "grass", "tree", "bare ground", "water"],
    &["road", "street", "highway"],
    &["parking lot"],
];
const PAVEMENTS: [&[&str]; 2] = [
    &["background", "building", "roof", "grass", "tree", "bare ground", "water"],
    &["road", "street", "pavement", "parking lot"],
];
const WATERS: [&[&str]; 2] = [
    &["background", "bare land", "grass", "tree", "cropland", "building", "road"],
    &["water", "river", "lake", "flood", "flooded field", "flooded street"],
];

/// Logits of every pixel of a picture, (query, row, column), and the picture's size in whole cells.
pub fn logits(tower: &ConvolutionalTower, queries: &Queries, raster: &Raster, lambda: f64) -> Result<Tensor> {
    let _plain = tch::no_grad_guard();
    let [rows, cols] = whole_cells(raster).map(|side| side as i64);
    let image = normalised(&data::to_tensor(raster)?)?.f_narrow(2, 0, rows)?.f_narrow(3, 0, cols)?;
    let features = tower.forward(&image)?;
    let texts = queries.features.f_transpose(0, 1)?;
    let of_cls = unit(&features.cls)?.f_matmul(&texts)?.f_mul_scalar(lambda)?;
    let products = unit(&features.patches)?.f_matmul(&texts)?.f_add(&of_cls.f_unsqueeze(1)?)?.f_transpose(1, 2)?;
    let products = products.f_unflatten(2, [rows / STRIDE, cols / STRIDE])?;
    Ok(products.f_upsample_bilinear2d([rows, cols], false, None, None)?.f_select(0, 0)?)
}

fn whole_cells(raster: &Raster) -> [usize; 2] {
    let stride = STRIDE as usize;
    [raster.height / stride * stride, raster.width / stride * stride]
}

/// Thresholds that are tried.
pub const THRESHOLDS: usize = 20;

/// IoU of a job's class for each threshold of 0, 1/20, … 19/20: the pixels whose best class it is with at least that score.
pub fn job(
    tower: &ConvolutionalTower,
    queries: &Queries,
    sought: &[Label],
    pictures: &[Picture],
    (lambda, scale): (f64, f64),
) -> Result<[f64; THRESHOLDS]> {
    // Pixels by the bin of their score: sought and found, found only; and all that are sought.
    let (mut right, mut wrong, mut all) = ([0u64; THRESHOLDS], [0u64; THRESHOLDS], 0u64);
    for picture in pictures {
        let Truth::Pixels(truth) = &picture.truth else { continue };
        let logits = logits(tower, queries, picture.full(), lambda)?;
        let shares = logits.f_mul_scalar(scale)?.f_softmax(0, Kind::Float)?;
        let (best, at) = shares.f_max_dim(0, false)?;
        let (best, at) = (Vec::<f32>::try_from(best.f_flatten(0, 1)?)?, Vec::<i64>::try_from(at.f_flatten(0, 1)?)?);
        let [rows, cols] = whole_cells(picture.full());
        let width = picture.full().width;
        for pixel in 0..rows * cols {
            let label = truth[pixel / cols * width + pixel % cols];
            if label == UNLABELLED {
                continue;
            }
            let is_sought = sought.contains(&usize::from(label));
            all += u64::from(is_sought);
            if queries.classes[at[pixel] as usize] == 1 {
                let bin = ((best[pixel] * THRESHOLDS as f32) as usize).min(THRESHOLDS - 1);
                let count = if is_sought { &mut right } else { &mut wrong };
                count[bin] += 1;
            }
        }
    }
    Ok(std::array::from_fn(|bin| {
        let (right, wrong): (u64, u64) = (right[bin..].iter().sum(), wrong[bin..].iter().sum());
        right as f64 / ((all + wrong) as f64).max(1.0)
    }))
}

/// The Dubai set's five classes, every labelled pixel counted.
pub fn dubai(
    tower: &ConvolutionalTower,
    queries: &Queries,
    pictures: &[Picture],
    lambda: f64,
) -> Result<ConfusionMatrix> {
    count_dubai(pictures, |picture| {
        let logits = logits(tower, queries, picture.full(), lambda)?;
        let best = Vec::<i64>::try_from(logits.f_argmax(0, false)?.f_flatten(0, 1)?)?;
        let [rows, cols] = whole_cells(picture.full());
        // The few pixels beyond the last whole cell take their neighbour's class.
        let (height, width) = (picture.full().height, picture.full().width);
        let at = |row: usize, col: usize| best[row.min(rows - 1) * cols + col.min(cols - 1)];
        Ok((0..height * width).map(|pixel| queries.classes[at(pixel / width, pixel % width) as usize] as u8).collect())
    })
}

/// The words of `pipelines/landcover.yaml` with the Landsat pieces' labels; its cities are too few there to be counted.
pub const LAND_COVER: [(&[&str], Option<Label>); 4] = [
    (&["water", "river", "lake", "reservoir"], Some(WATER)),
    (&["forest", "trees", "woodland"], Some(FOREST)),
    (&["fields", "cropland", "farmland", "bare soil"], Some(FIELDS)),
    (&["city", "built-up area", "urban area", "residential area"], None),
];

/// The mean, over the labels of [`LAND_COVER`], of the share of a picture's pixels with the label that get its class.
pub fn land_cover(tower: &ConvolutionalTower, queries: &Queries, picture: &Picture, lambda: f64) -> Result<f64> {
    let Truth::Pixels(truth) = &picture.truth else { return Ok(0.0) };
    let best = logits(tower, queries, picture.full(), lambda)?.f_argmax(0, false)?;
    let best = Vec::<i64>::try_from(best.f_flatten(0, 1)?)?;
    let [rows, cols] = whole_cells(picture.full());
    let width = picture.full().width;
    let recalls = LAND_COVER.iter().enumerate().filter_map(|(class, (_, label))| {
        let known = |pixel: &usize| Some(usize::from(truth[pixel / cols * width + pixel % cols])) == *label;
        let (right, all) = (0..rows * cols).filter(known).fold((0u64, 0u64), |(right, all), pixel| {
            (right + u64::from(queries.classes[best[pixel] as usize] == class), all + 1)
        });
        (all > 0).then(|| right as f64 / all as f64)
    });
    let recalls: Vec<f64> = recalls.collect();
    Ok(recalls.iter().sum::<f64>() / recalls.len().max(1) as f64)
}

/// Counts every labelled pixel of Dubai's pictures; `segment` gives a class of [`DUBAI_CLASSES`] for each pixel.
pub fn count_dubai(
    pictures: &[Picture],
    mut segment: impl FnMut(&Picture) -> Result<Vec<u8>>,
) -> Result<ConfusionMatrix> {
    let mut confusion = ConfusionMatrix::new(DUBAI_CLASSES.len());
    for picture in pictures {
        let found = segment(picture)?;
        let Truth::Pixels(truth) = &picture.truth else { continue };
        for (truth, found) in truth.iter().zip(found).filter(|(truth, _)| **truth != UNLABELLED) {
            if let Some(truth) = DUBAI_CLASSES.iter().position(|class| class.2 == usize::from(*truth)) {
                confusion.add(truth, usize::from(found), 1);
            }
        }
    }
    Ok(confusion)
}

/// Zero-shot top-1 by the feature of the whole picture, resized to `side` pixels; labels begin with `first`.
pub fn pictures(
    tower: &ConvolutionalTower,
    queries: &Queries,
    pictures: &[Picture],
    side: usize,
    first: Label,
) -> Result<f64> {
    let _plain = tch::no_grad_guard();
    let mut right = 0;
    for pictures in pictures.chunks(16) {
        let cls = tower.forward(&resized(pictures, side)?)?.cls;
        let best = cls.f_matmul(&queries.features.f_transpose(0, 1)?)?.f_argmax(-1, false)?;
        for (picture, found) in pictures.iter().zip(Vec::<i64>::try_from(best)?) {
            let found = queries.classes[found as usize] + first;
            right += usize::from(matches!(picture.truth, Truth::Picture(truth) if usize::from(truth) == found));
        }
    }
    Ok(right as f64 / pictures.len().max(1) as f64)
}

/// Whole pictures as one batch, resized to a square.
fn resized(pictures: &[Picture], side: usize) -> Result<Tensor> {
    let resize = |picture: &Picture| {
        let image = data::to_tensor(picture.full())?;
        normalised(&image.f_internal_upsample_bilinear2d_aa([side as i64; 2], false, None, None)?)
    };
    Ok(Tensor::f_cat(&pictures.iter().map(resize).collect::<Result<Vec<_>>>()?, 0)?)
}

fn normalised(image: &Tensor) -> Result<Tensor> {
    let mean = Tensor::from_slice(&MEAN).f_reshape([1, 3, 1, 1])?;
    let deviation = Tensor::from_slice(&DEVIATION).f_reshape([1, 3, 1, 1])?;
    Ok(image.f_sub(&mean)?.f_div(&deviation)?)
}
