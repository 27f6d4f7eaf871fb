//! Figures of a model in training, on the validation part, and of two baselines.

use std::fmt;

use segearth::error::Result;
use segearth::evaluate::ConfusionMatrix;
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::network::TextTower;
use segearth::network::convolutional::ConvolutionalTower;
use segearth::train::random::Random;

use super::colours::{self, Colours};
use super::data::{DUBAI_CLASSES, Data, EUROSAT_CLASSES, MERCED_CLASSES, Picture, Split};
use super::evaluate::{self, JOBS, LAND_COVER, THRESHOLDS};
use super::words::EUROSAT;

/// One line of the table.
#[derive(Clone, Debug)]
pub struct Figure {
    pub name: String,
    /// Top-1, or the share of pixels that are right.
    pub accuracy: f64,
    /// Of the Dubai classes; empty for whole pictures.
    pub iou: Vec<f64>,
}

impl Figure {
    pub fn pixels(name: impl Into<String>, confusion: &ConfusionMatrix) -> Self {
        let iou = confusion.scores(&[]).into_iter().map(|score| score.iou.unwrap_or(0.0)).collect();
        Self { name: name.into(), accuracy: confusion.means().overall_accuracy.unwrap_or(0.0), iou }
    }

    pub fn pictures(name: impl Into<String>, accuracy: f64) -> Self {
        Self { name: name.into(), accuracy, iou: Vec::new() }
    }

    pub fn mean_iou(&self) -> f64 {
        self.iou.iter().sum::<f64>() / self.iou.len().max(1) as f64
    }
}

/// A row of a Markdown table: name, top-1 or mIoU, accuracy, IoU of each class.
impl fmt::Display for Figure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.iou.is_empty() {
            return write!(f, "| {} | {:.3} |", self.name, self.accuracy);
        }
        write!(f, "| {} | {:.3} | {:.3} |", self.name, self.mean_iou(), self.accuracy)?;
        self.iou.iter().try_for_each(|iou| write!(f, " {iou:.3} |"))
    }
}

/// What needs no model, on the test part: chance, and the nearest colours.
pub fn baselines(data: &Data, mut say: impl FnMut(&Figure)) -> Result<()> {
    for (name, set, classes) in
        [("UC Merced", &data.merced, MERCED_CLASSES.len()), ("EuroSAT", &data.eurosat, EUROSAT_CLASSES.len())]
    {
        say(&Figure::pictures(format!("{name}: chance"), 1.0 / classes as f64));
        say(&Figure::pictures(format!("{name}: nearest colours"), colours::pictures(&set.train, &set.test)));
    }
    let mut random = Random::new(1);
    let chance = evaluate::count_dubai(&data.dubai.test, |picture| {
        let pixels = picture.full().width * picture.full().height;
        Ok((0..pixels).map(|_| random.below(DUBAI_CLASSES.len()) as u8).collect())
    })?;
    say(&Figure::pixels("Dubai: chance", &chance));
    let table = Colours::learn(&data.dubai.train, 1);
    let class = |label: &u8| DUBAI_CLASSES.iter().position(|class| class.2 == usize::from(*label)).unwrap_or(0) as u8;
    let nearest =
        evaluate::count_dubai(&data.dubai.test, |picture| Ok(table.label(picture.full()).iter().map(class).collect()))?;
    say(&Figure::pixels("Dubai: nearest colours", &nearest));
    for job in &JOBS {
        let set = (job.set)(data);
        let (train, test) = (job.pictures(&set.train), job.pictures(&set.test));
        let table = Colours::learn(&train, 1);
        let found = |picture: &Picture| table.label(picture.full());
        say(&Figure::pictures(format!("{}: nearest colours, IoU", job.name), colours::iou(&test, job.sought, found)));
        let chance = |picture: &Picture| {
            let pixels = picture.full().width * picture.full().height;
            (0..pixels).map(|pixel| if pixel.is_multiple_of(2) { job.sought[0] as u8 } else { u8::MAX }).collect()
        };
        say(&Figure::pictures(format!("{}: chance, IoU", job.name), colours::iou(&test, job.sought, chance)));
    }
    Ok(())
}

/// Which pictures are counted.
pub type Choose = fn(&Split) -> &[Picture];

/// What a model in training reaches: one number for each thing that it is for.
#[derive(Clone, Debug, Default)]
pub struct Validation {
    pub lines: Vec<String>,
    /// The mean of all: by it the best weights are chosen.
    pub mean: f64,
}

/// Computes the figures on one part of the data, for one λ and one logit scale. `every`: one of so many pictures is counted.
pub fn model(
    (image, text): &(ConvolutionalTower, TextTower),
    tokenizer: &Tokenizer,
    data: &Data,
    choose: Choose,
    (lambda, scale): (f64, f64),
    every: usize,
) -> Result<Validation> {
    let templates = imagenet_templates();
    // A few of the templates are enough to compare weights by.
    let templates: Vec<String> = templates.into_iter().step_by(if every > 1 { 8 } else { 1 }).collect();
    let some = |split: &Split| choose(split).iter().step_by(every).cloned().collect::<Vec<_>>();
    let ask = |classes: &[&[&str]]| evaluate::queries(text, tokenizer, &templates, classes);
    let mut validation = Validation::default();
    let mut all = Vec::new();
    let names: Vec<&[&str]> = MERCED_CLASSES.iter().map(std::slice::from_ref).collect();
    let queries = ask(&names)?;
    for side in [128, 256] {
        let top = evaluate::pictures(image, &queries, &some(&data.merced), side, 0)?;
        validation.lines.push(format!("UC Merced at {side} pixels\t{top:.3}"));
        all.push(top);
    }
    let names: Vec<&[&str]> = EUROSAT_CLASSES.iter().map(std::slice::from_ref).collect();
    let top = evaluate::pictures(image, &ask(&names)?, &some(&data.eurosat), 64, EUROSAT)?;
    validation.lines.push(format!("EuroSAT at 64 pixels\t{top:.3}"));
    all.push(top);
    let classes: Vec<&[&str]> = DUBAI_CLASSES.iter().map(|class| class.1).collect();
    let figure = Figure::pixels("Dubai", &evaluate::dubai(image, &ask(&classes)?, &some(&data.dubai), lambda)?);
    validation.lines.push(figure.to_string());
    all.push(figure.mean_iou());
    for job in &JOBS {
        let pictures: Vec<Picture> = job.pictures(choose((job.set)(data))).iter().step_by(every).cloned().collect();
        let curve = evaluate::job(image, &ask(job.classes)?, job.sought, &pictures, (lambda, scale))?;
        let best = (0..THRESHOLDS).max_by(|a, b| curve[*a].total_cmp(&curve[*b])).unwrap_or(0);
        let shown: Vec<String> = [0, 8, 10, 12, 14].map(|at| format!("{:.3}", curve[at])).into();
        validation.lines.push(format!(
            "{}\t{:.3} at {:.2}; at 0, 0.4, 0.5, 0.6, 0.7: {}",
            job.name,
            curve[best],
            best as f64 / THRESHOLDS as f64,
            shown.join(" ")
        ));
        all.push(curve[best]);
    }
    let queries = ask(&LAND_COVER.map(|class| class.0))?;
    let shown: Vec<f64> = choose(&data.landsat)
        .iter()
        .map(|picture| evaluate::land_cover(image, &queries, picture, lambda))
        .collect::<Result<_>>()?;
    if !shown.is_empty() {
        let mean = shown.iter().sum::<f64>() / shown.len() as f64;
        let each: Vec<String> = shown.iter().map(|recall| format!("{recall:.3}")).collect();
        validation.lines.push(format!("land cover (Landsat)\t{mean:.3}; under each stretch: {}", each.join(" ")));
        all.push(mean);
    }
    validation.mean = all.iter().sum::<f64>() / all.len() as f64;
    Ok(validation)
}
