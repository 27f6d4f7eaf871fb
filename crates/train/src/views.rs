//! What a step sees: views drawn from all sets, and a batch made of them.

use segearth::error::{Error, Result};
use segearth::train::pyramid::Camera;
use segearth::train::random::Random;
use tch::Tensor;

use super::augment::{self, View};
use super::data::{DEVIATION, MEAN};
use super::data::{Picture, Truth};
use super::engine::Aim;
use super::loss::Batch;
use super::words::{self, BUILDING, CITY, FIELDS, LABELS, LAND, PICTURE_LABELS, ROAD, UNLABELLED, VEGETATION, WATER};

/// Pictures by what they are good for.
#[derive(Debug)]
pub struct TrainingData {
    pub merced: Vec<Picture>,
    pub dubai: Vec<Picture>,
    pub landsat: Vec<Picture>,
    by_label: Vec<Vec<usize>>,
    /// Some labelled pixels of the Landsat pieces, by label.
    places: Vec<Places>,
}

impl TrainingData {
    pub fn new(merced: Vec<Picture>, dubai: Vec<Picture>, landsat: Vec<Picture>) -> Self {
        let mut by_label = vec![Vec::new(); PICTURE_LABELS];
        for (number, picture) in merced.iter().enumerate() {
            if let Truth::Picture(label) = picture.truth {
                by_label[usize::from(label)].push(number);
            }
        }
        let places = places(&landsat);
        Self { merced, dubai, landsat, by_label, places }
    }

    fn of_label(&self, random: &mut Random, label: usize) -> &Picture {
        let number = random.pick(&self.by_label[label]).copied().unwrap_or_default();
        &self.merced[number]
    }

    /// `count` views as normalised pixels, (view, 3, side, side): for statistics before the training.
    pub fn sample(&self, count: usize, side: usize, seed: u64) -> Result<Tensor> {
        let mut random = Random::new(seed);
        let views = (0..count).map(|_| self.view(&mut random, side, Aim::Pictures)).collect::<Result<Vec<_>>>()?;
        Ok(batch(&views, side, &mut random)?.images)
    }

    /// One view for training.
    pub fn view(&self, random: &mut Random, side: usize, aim: Aim) -> Result<View> {
        let dice = random.unit();
        let [merced, dubai] = match aim {
            Aim::Pictures => [0.56, 0.82],
            Aim::Patches => [0.42, 0.80],
        };
        let landsat = if self.landsat.is_empty() { 0.0 } else { 0.08 };
        let mut view = if dice < merced {
            let view = self.merced_view(random, side);
            match random.chance(0.25) {
                true => augment::mix(view, &self.merced_view(random, side), random),
                false => view,
            }
        } else if dice < dubai {
            self.dubai_view(random, side)?
        } else if dice < dubai + landsat {
            self.landsat_view(random, side)?
        } else if dice < 0.95 {
            let cells = 2 + random.below(2);
            augment::patchwork(random, side, cells, (1.0, 6.0), |random| {
                let label = filling(random);
                self.of_label(random, label)
            })
        } else {
            const FAR: [&str; 5] = ["forest", "agricultural", "denseresidential", "mediumresidential", "chaparral"];
            let labels: Vec<u8> =
                FAR.iter().filter_map(|name| words::label_named(name)).map(|label| label as u8).collect();
            let scale = random.log_between(8.0, 40.0);
            augment::far_scene(random, side, &labels, scale, |random, label| self.of_label(random, usize::from(label)))
        };
        augment::colour(&mut view, random, 1.0);
        Ok(view)
    }

    /// Most of a whole picture, any label as often.
    fn merced_view(&self, random: &mut Random, side: usize) -> View {
        let label = random.below(PICTURE_LABELS);
        let picture = self.of_label(random, label);
        let full = picture.full();
        let share = if random.chance(0.15) { random.log_between(1.0, 1.5) } else { random.between(0.5, 1.0) };
        let slack = (1.0 - share).max(0.0) / 2.0;
        let centre = [full.width, full.height].map(|size| size as f32 * (0.5 + random.between(-slack, slack)));
        let scale = share * 256.0 / side as f32;
        augment::view(picture, Camera::random(random, centre, scale), side)
    }

    /// About a pixel of a label, every label as often: of city there is little, of fields there is much.
    fn landsat_view(&self, random: &mut Random, side: usize) -> Result<View> {
        let place = random.pick(&self.places).and_then(|(_, places)| random.pick(places));
        let &(piece, at) = place.ok_or_else(|| Error::internal("no labelled place in the Landsat pieces"))?;
        let scale = random.log_between(0.4, 2.0);
        let reach = scale * side as f32 * 0.4;
        let centre = at.map(|at| at + random.between(-reach, reach));
        Ok(augment::view(&self.landsat[piece], Camera::random(random, centre, scale), side))
    }

    fn dubai_view(&self, random: &mut Random, side: usize) -> Result<View> {
        // Large pictures have more to show; small ones would be seen too seldom by area alone.
        let total: f32 = self.dubai.iter().map(dubai_weight).sum();
        let mut dice = random.unit() * total;
        let chosen = self.dubai.iter().find(|picture| {
            dice -= dubai_weight(picture);
            dice <= 0.0
        });
        let picture = chosen.or(self.dubai.last()).ok_or_else(|| Error::internal("no Dubai pictures"))?;
        let scales = if random.chance(0.12) { (3.0, 10.0) } else { (0.5, 2.5) };
        Ok(random_view(picture, random, side, scales))
    }
}

/// A label, and pixels that have it: piece, column and row.
type Places = (u8, Vec<(usize, [f32; 2])>);

/// Every 13th labelled pixel, by label.
fn places(pieces: &[Picture]) -> Vec<Places> {
    let mut places: std::collections::BTreeMap<u8, Vec<(usize, [f32; 2])>> = Default::default();
    for (piece, picture) in pieces.iter().enumerate() {
        let Truth::Pixels(labels) = &picture.truth else { continue };
        let width = picture.full().width;
        for (at, label) in labels.iter().enumerate().step_by(13).filter(|(_, label)| **label != UNLABELLED) {
            places.entry(*label).or_default().push((piece, [(at % width) as f32, (at / width) as f32]));
        }
    }
    places.into_iter().collect()
}

fn dubai_weight(picture: &Picture) -> f32 {
    let full = picture.full();
    ((full.width * full.height) as f32).sqrt()
}

fn random_view(picture: &Picture, random: &mut Random, side: usize, scales: (f32, f32)) -> View {
    let full = picture.full();
    let least = full.width.min(full.height) as f32;
    let scale = random.log_between(scales.0, scales.1).min(1.2 * least / side as f32);
    let margin = scale * side as f32 * 0.4;
    let centre = [full.width, full.height].map(|size| {
        let size = size as f32;
        random.between(margin.min(size / 2.0), (size - margin).max(size / 2.0))
    });
    augment::view(picture, Camera::random(random, centre, scale), side)
}

/// A label whose pictures are full of it.
fn filling(random: &mut Random) -> usize {
    loop {
        let label = random.below(PICTURE_LABELS);
        if LABELS[label].fills >= 0.5 {
            return label;
        }
    }
}

/// Rare and thin things count more, whole pictures of one label less.
fn label_weight(label: usize) -> f32 {
    match label {
        BUILDING => 2.5,
        ROAD => 2.0,
        VEGETATION => 1.8,
        WATER => 1.3,
        LAND => 0.8,
        CITY | FIELDS => 1.0,
        _ => 0.35 * LABELS[label].fills,
    }
}

/// Views as a batch: how much of each patch, and of each view, has which label.
pub fn batch(views: &[View], patch: usize, random: &mut Random) -> Result<Batch> {
    let labels = LABELS.len();
    let side = views.first().map_or(0, |view| view.side);
    let grid = side / patch;
    let mut images = Vec::with_capacity(views.len() * 3 * side * side);
    let mut shares = vec![0f32; views.len() * grid * grid * labels];
    let mut whole = vec![0f32; views.len() * labels];
    for (number, view) in views.iter().enumerate() {
        for (channel, pixels) in view.pixels.chunks_exact(side * side).enumerate() {
            images.extend(pixels.iter().map(|value| (value - MEAN[channel]) / DEVIATION[channel]));
        }
        let shares = &mut shares[number * grid * grid * labels..][..grid * grid * labels];
        for (at, label) in view.labels.iter().enumerate().filter(|(_, label)| **label != UNLABELLED) {
            let cell = (at / side / patch) * grid + at % side / patch;
            shares[cell * labels + usize::from(*label)] += 1.0 / (patch * patch) as f32;
        }
        let whole = &mut whole[number * labels..][..labels];
        for cell in shares.chunks_exact_mut(labels) {
            if view.scale > 3.0 {
                far_city(cell);
            }
            cell.iter().zip(whole.iter_mut()).for_each(|(share, sum)| *sum += share / (grid * grid) as f32);
            cell.iter_mut().enumerate().for_each(|(label, share)| *share *= label_weight(label));
        }
        match view.whole.is_empty() {
            // What fills a tenth of a picture belongs to its caption.
            true => whole.iter_mut().for_each(|share| *share = if *share < 0.1 { 0.0 } else { *share * 0.7 }),
            false => {
                whole.fill(0.0);
                view.whole.iter().for_each(|(label, share)| whole[usize::from(*label)] += share);
            }
        }
    }
    let mut possible = vec![0f32; views.len() * labels];
    let mut named = vec![0f32; views.len() * PICTURE_LABELS];
    for (number, view) in views.iter().enumerate() {
        for (label, share) in &view.whole {
            named[number * PICTURE_LABELS + usize::from(*label)] += share;
            let row = &mut possible[number * labels..][..labels];
            words::labels_within(usize::from(*label)).for_each(|inside| row[inside] = 1.0);
        }
    }
    let lambda: Vec<f32> = views.iter().map(|_| if random.chance(0.4) { 0.0 } else { -random.unit() * 0.35 }).collect();
    let (count, side, grid, labels) = (views.len() as i64, side as i64, grid as i64, labels as i64);
    Ok(Batch {
        images: Tensor::f_from_slice(&images)?.f_reshape([count, 3, side, side])?,
        shares: Tensor::f_from_slice(&shares)?.f_reshape([count, grid * grid, labels])?,
        whole: Tensor::f_from_slice(&whole)?.f_reshape([count, labels])?,
        named: Tensor::f_from_slice(&named)?.f_reshape([count, PICTURE_LABELS as i64])?,
        possible: Tensor::f_from_slice(&possible)?.f_reshape([count, 1, labels])?,
        lambda: Tensor::f_from_slice(&lambda)?.f_reshape([count, 1, 1])?,
    })
}

/// From far, a patch with many buildings and roads is city; a few of them are nothing that could be told.
fn far_city(cell: &mut [f32]) {
    let built = cell[BUILDING] + cell[ROAD];
    let all: f32 = cell[BUILDING..=WATER].iter().sum();
    if all > 0.0 {
        if cell[BUILDING] > 0.12 && built > 0.3 {
            cell[BUILDING..=WATER].fill(0.0);
            cell[CITY] = all;
        } else {
            (cell[BUILDING], cell[ROAD]) = (0.0, 0.0);
        }
    }
}
