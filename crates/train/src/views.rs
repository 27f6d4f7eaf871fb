//! What a step sees: views drawn from all sets, and a batch made of them.

use segearth::error::{Error, Result};
use segearth::train::pyramid::Camera;
use segearth::train::random::Random;
use tch::Tensor;

use super::augment::{self, View};
use super::data::{DEVIATION, MEAN};
use super::data::{Picture, Truth};
use super::loss::{self, Batch, RULED};
use super::words::{
    self, BUILDING, CITY, DUNE_SCRUB, EUROSAT, EUROSAT_LABELS, LABELS, LAND, NAMED_LABELS, NEITHER, NO_BUILDING,
    NO_WATER, PAVEMENT, PICTURE_LABELS, ROAD, SPARSE_SCRUB, UNLABELLED, VEGETATION, WATER,
};

/// Pictures to train on by their sets.
#[derive(Debug, Default)]
pub struct Pictures {
    pub merced: Vec<Picture>,
    pub dubai: Vec<Picture>,
    pub buildings: Vec<Picture>,
    pub monterey: Vec<Picture>,
    pub coast: Vec<Picture>,
    pub crowns: Vec<Picture>,
    pub eurosat: Vec<Picture>,
    pub landsat: Vec<Picture>,
}

/// Where a view comes from.
#[derive(Clone, Copy, Debug)]
enum Source {
    Merced,
    Dubai,
    Buildings,
    Monterey,
    Coast,
    Crowns,
    Eurosat,
    Landsat,
    Patchwork,
    Far,
}

/// How often each source is drawn.
const SHARES: [(Source, f32); 10] = [
    (Source::Merced, 0.15),
    (Source::Dubai, 0.20),
    (Source::Buildings, 0.22),
    (Source::Monterey, 0.09),
    (Source::Coast, 0.08),
    (Source::Crowns, 0.02),
    (Source::Eurosat, 0.07),
    (Source::Landsat, 0.14),
    (Source::Patchwork, 0.02),
    (Source::Far, 0.01),
];

/// Ground sample distances, in metres, of the views of a set with masks: usual ones, and those of one view in eight.
const DISTANCES: [([f32; 2], [f32; 2]); 5] = [
    ([0.25, 1.2], [1.2, 5.0]), // Dubai
    ([0.12, 0.6], [0.6, 1.2]), // drone buildings
    ([0.2, 1.0], [1.0, 3.0]),  // Monterey
    ([0.3, 2.0], [2.0, 5.0]),  // coast
    ([0.1, 0.4], [0.4, 1.0]),  // tree crowns
];

#[derive(Debug)]
pub struct TrainingData {
    pictures: Pictures,
    /// Numbers of the pictures with each of [`words::named`]'s labels.
    by_label: Vec<Vec<usize>>,
    /// Some labelled pixels of the Landsat pieces, by label.
    places: Vec<Places>,
    /// The same of the sets with masks, in the order of [`DISTANCES`].
    masked_places: [Vec<Places>; 5],
}

impl TrainingData {
    pub fn new(pictures: Pictures) -> Self {
        let mut by_label = vec![Vec::new(); NAMED_LABELS];
        for set in [&pictures.merced, &pictures.eurosat] {
            for (number, picture) in set.iter().enumerate() {
                if let Truth::Picture(label) = picture.truth
                    && let Some(named) = words::named(usize::from(label))
                {
                    by_label[named].push(number);
                }
            }
        }
        let places = [&pictures.landsat, &pictures.dubai, &pictures.buildings, &pictures.monterey];
        let [landsat, dubai, buildings, monterey] = places.map(|pictures| places_of(pictures));
        let [coast, crowns] = [&pictures.coast, &pictures.crowns].map(|pictures| places_of(pictures));
        let masked_places = [dubai, buildings, monterey, coast, crowns];
        Self { pictures, by_label, places: landsat, masked_places }
    }

    /// Any picture of UC Merced with a label.
    fn of_label(&self, random: &mut Random, label: usize) -> &Picture {
        let number = random.pick(&self.by_label[label]).copied().unwrap_or_default();
        &self.pictures.merced[number]
    }

    /// One view for training. A set that is not there gives its share to UC Merced.
    pub fn view(&self, random: &mut Random, side: usize) -> Result<View> {
        let total: f32 = SHARES.iter().map(|(_, share)| share).sum();
        let mut dice = random.unit() * total;
        let source = SHARES.iter().find(|(_, share)| {
            dice -= share;
            dice < 0.0
        });
        let all = &self.pictures;
        let mut view = match source.map_or(Source::Merced, |(source, _)| *source) {
            Source::Dubai if !all.dubai.is_empty() => self.masked_view(&all.dubai, random, side, 0)?,
            Source::Buildings if !all.buildings.is_empty() => self.masked_view(&all.buildings, random, side, 1)?,
            Source::Monterey if !all.monterey.is_empty() => self.masked_view(&all.monterey, random, side, 2)?,
            Source::Coast if !all.coast.is_empty() => self.masked_view(&all.coast, random, side, 3)?,
            Source::Crowns if !all.crowns.is_empty() => self.masked_view(&all.crowns, random, side, 4)?,
            Source::Eurosat if !all.eurosat.is_empty() => self.eurosat_view(random, side),
            Source::Landsat if !all.landsat.is_empty() => self.landsat_view(random, side)?,
            Source::Patchwork => {
                let cells = 2 + random.below(2);
                augment::patchwork(random, side, cells, (1.0, 6.0), |random| {
                    let label = filling(random);
                    self.of_label(random, label)
                })
            }
            Source::Far => {
                const FAR: [&str; 5] = ["forest", "agricultural", "denseresidential", "mediumresidential", "chaparral"];
                let labels: Vec<u8> =
                    FAR.iter().filter_map(|name| words::label_named(name)).map(|label| label as u8).collect();
                let scale = random.log_between(8.0, 40.0);
                augment::far_scene(random, side, &labels, scale, |random, label| {
                    self.of_label(random, usize::from(label))
                })
            }
            _ => {
                let view = self.merced_view(random, side);
                match random.chance(0.25) {
                    true => augment::mix(view, &self.merced_view(random, side), random),
                    false => view,
                }
            }
        };
        augment::colour(&mut view, random, 1.0);
        Ok(view)
    }

    /// Most of a whole picture, or, less often, a piece of it at about its own resolution; any label as often.
    fn merced_view(&self, random: &mut Random, side: usize) -> View {
        let label = random.below(PICTURE_LABELS);
        let picture = self.of_label(random, label);
        let full = picture.full();
        let share = match random.unit() {
            ..0.15 => random.log_between(1.0, 1.5),
            ..0.35 => (random.log_between(1.0, 1.6) * side as f32 / 256.0).min(1.0),
            _ => random.between(0.5, 1.0),
        };
        let slack = (1.0 - share).max(0.0) / 2.0;
        let centre = [full.width, full.height].map(|size| size as f32 * (0.5 + random.between(-slack, slack)));
        let scale = share * 256.0 / side as f32;
        augment::view(picture, Camera::random(random, centre, scale), side)
    }

    /// A whole picture of 64 pixels or a little more (mirrored), never much enlarged.
    fn eurosat_view(&self, random: &mut Random, side: usize) -> View {
        let label = PICTURE_LABELS + random.below(EUROSAT_LABELS);
        let number = random.pick(&self.by_label[label]).copied().unwrap_or_default();
        let picture = &self.pictures.eurosat[number];
        let full = picture.full();
        let scale = random.log_between(0.7, 1.15).max(40.0 / side as f32);
        let centre = [full.width, full.height].map(|size| size as f32 * (0.5 + random.between(-0.1, 0.1)));
        augment::view(picture, Camera::random(random, centre, scale), side)
    }

    /// A view of a set with masks. Half of them show about a pixel of a label, every label as often; else large pictures have more
    /// to show, but not as much more as their area.
    fn masked_view(&self, pictures: &[Picture], random: &mut Random, side: usize, set: usize) -> Result<View> {
        let (usual, rare) = DISTANCES[set];
        let [low, high] = if random.chance(0.125) { rare } else { usual };
        if random.chance(0.5)
            && let Some(&(number, at)) = random.pick(&self.masked_places[set]).and_then(|(_, at)| random.pick(at))
        {
            let picture = &pictures[number];
            let scale = random.log_between(low, high) / picture.gsd;
            let reach = scale * side as f32 * 0.4;
            let centre = at.map(|at| at + random.between(-reach, reach));
            return Ok(augment::view(picture, Camera::random(random, centre, scale), side));
        }
        let weight = |picture: &Picture| ((picture.full().width * picture.full().height) as f32).sqrt();
        let mut dice = random.unit() * pictures.iter().map(weight).sum::<f32>();
        let chosen = pictures.iter().find(|picture| {
            dice -= weight(picture);
            dice <= 0.0
        });
        let picture = chosen.or(pictures.last()).ok_or_else(|| Error::internal("no pictures with masks"))?;
        Ok(random_view(picture, random, side, (low / picture.gsd, high / picture.gsd)))
    }

    /// About a pixel of a label, every label as often: of city there is little, of fields there is much.
    fn landsat_view(&self, random: &mut Random, side: usize) -> Result<View> {
        let place = random.pick(&self.places).and_then(|(_, places)| random.pick(places));
        let &(piece, at) = place.ok_or_else(|| Error::internal("no labelled place in the Landsat pieces"))?;
        let scale = random.log_between(0.4, 2.0);
        let reach = scale * side as f32 * 0.4;
        let centre = at.map(|at| at + random.between(-reach, reach));
        let mut view = augment::view(&self.pictures.landsat[piece], Camera::random(random, centre, scale), side);
        if random.chance(0.75) {
            augment::as_in_another_scene(&mut view, random);
        }
        Ok(view)
    }
}

/// A label, and pixels that have it: piece, column and row.
type Places = (u8, Vec<(usize, [f32; 2])>);

/// Every 13th labelled pixel, by label.
fn places_of(pieces: &[Picture]) -> Vec<Places> {
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
        if LABELS[label].fills >= 0.4 {
            return label;
        }
    }
}

/// Rare and thin things count more, whole pictures of one label less.
fn label_weight(label: usize) -> f32 {
    match label {
        BUILDING => 2.2,
        ROAD | PAVEMENT => 2.0,
        VEGETATION => 1.8,
        WATER => 1.0,
        LAND => 0.8,
        NO_BUILDING | NEITHER => 0.8,
        NO_WATER | DUNE_SCRUB | SPARSE_SCRUB => 0.5,
        label if words::named(label).is_none() => 1.0,
        EUROSAT.. => 0.3 * LABELS[label].fills,
        _ => 0.35 * LABELS[label].fills,
    }
}

/// The same in jobs: labels of pixels count as often as views show them, which is about evenly.
fn job_weight(label: usize) -> f32 {
    match label {
        BUILDING | NO_BUILDING | NEITHER => 1.2,
        ROAD | PAVEMENT => 1.5,
        NO_WATER => 1.0,
        label => label_weight(label),
    }
}

/// Views as a batch: how much of each patch, and of each view, has which label.
pub fn batch(views: &[View], patch: usize, random: &mut Random) -> Result<Batch> {
    let labels = LABELS.len();
    let side = views.first().map_or(0, |view| view.side);
    let grid = side / patch;
    let mut images = Vec::with_capacity(views.len() * 3 * side * side);
    let mut shares = vec![0f32; views.len() * grid * grid * labels];
    let mut job_shares = vec![0f32; shares.len()];
    let mut jobs = Vec::with_capacity(views.len() * RULED);
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
        for cell in shares.chunks_exact_mut(labels) {
            let whole = &mut whole[number * labels..][..labels];
            if view.gsd > 1.5 {
                far_city(cell);
            }
            cell.iter().zip(whole.iter_mut()).for_each(|(share, sum)| *sum += share / (grid * grid) as f32);
        }
        let job_shares = &mut job_shares[number * grid * grid * labels..][..grid * grid * labels];
        for (cell, job_cell) in shares.chunks_exact_mut(labels).zip(job_shares.chunks_exact_mut(labels)) {
            for (label, (share, in_job)) in cell.iter_mut().zip(job_cell).enumerate() {
                *in_job = *share * job_weight(label);
                *share *= label_weight(label);
            }
        }
        // A label that covers some of the view, for which the job has a word.
        let shown: Vec<usize> = (0..labels).filter(|label| whole[number * labels + label] > 0.02).collect();
        let shown = random.pick(&shown).copied();
        jobs.extend(loss::draw_job(random, shown)?);
        let whole = &mut whole[number * labels..][..labels];
        match view.whole.is_empty() {
            // What fills a tenth of a picture belongs to its caption; what is not there does not.
            true => whole.iter_mut().enumerate().for_each(|(label, share)| {
                let told = *share >= 0.1 && LABELS[label].denies.is_empty();
                *share = if told { *share * 0.7 } else { 0.0 };
            }),
            false => {
                whole.fill(0.0);
                view.whole.iter().for_each(|(label, share)| whole[usize::from(*label)] += share);
            }
        }
    }
    let mut named = vec![0f32; views.len() * NAMED_LABELS];
    for (number, view) in views.iter().enumerate() {
        for (label, share) in &view.whole {
            if let Some(at) = words::named(usize::from(*label)) {
                named[number * NAMED_LABELS + at] += share;
            }
        }
    }
    let lambda: Vec<f32> = views.iter().map(|_| if random.chance(0.4) { 0.0 } else { -random.unit() * 0.35 }).collect();
    let (count, side, grid, labels) = (views.len() as i64, side as i64, grid as i64, labels as i64);
    Ok(Batch {
        images: Tensor::f_from_slice(&images)?.f_reshape([count, 3, side, side])?,
        shares: Tensor::f_from_slice(&shares)?.f_reshape([count, grid * grid, labels])?,
        whole: Tensor::f_from_slice(&whole)?.f_reshape([count, labels])?,
        named: Tensor::f_from_slice(&named)?.f_reshape([count, NAMED_LABELS as i64])?,
        lambda: Tensor::f_from_slice(&lambda)?.f_reshape([count, 1, 1])?,
        jobs: Tensor::f_from_slice(&jobs)?.f_reshape([count, RULED as i64])?,
        job_shares: Tensor::f_from_slice(&job_shares)?.f_reshape([count, grid * grid, labels])?,
    })
}

/// From far, a patch with many buildings and roads is city; a few of them are nothing that could be told.
fn far_city(cell: &mut [f32]) {
    let built = cell[BUILDING] + cell[ROAD];
    let all: f32 = cell[BUILDING..=WATER].iter().sum::<f32>();
    if all > 0.0 {
        if cell[BUILDING] > 0.12 && built > 0.3 {
            cell[BUILDING..=WATER].fill(0.0);
            cell[CITY] = all;
        } else {
            (cell[BUILDING], cell[ROAD]) = (0.0, 0.0);
        }
    }
}
