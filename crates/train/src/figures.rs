//! All held-out figures of a trained model, each beside chance and beside what colours alone give.

use std::fmt;
use std::path::Path;

use segearth::error::{Error, Result};
use segearth::evaluate::ConfusionMatrix;
use segearth::model::text::{Tokenizer, imagenet_templates};
use segearth::network::{Basis, ImageEncoder, ImageTower, TextTower, Upsampling};
use segearth::train::random::Random;

use super::colours::{self, Colours};
use super::data::{self, Split};
use super::files::Trained;
use super::teacher::Teacher;
use crate::data::{DUBAI_CLASSES, MERCED_CLASSES};
use crate::evaluate::{self, Variant};

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
    fn pixels(name: impl Into<String>, confusion: &ConfusionMatrix) -> Self {
        let iou = confusion.scores(&[]).into_iter().map(|score| score.iou.unwrap_or(0.0)).collect();
        Self { name: name.into(), accuracy: accuracy(confusion), iou }
    }

    fn pictures(name: impl Into<String>, accuracy: f64) -> Self {
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

fn accuracy(confusion: &ConfusionMatrix) -> f64 {
    confusion.means().overall_accuracy.unwrap_or(0.0)
}

/// Both sets, with what is held out.
#[derive(Debug)]
pub struct Data {
    pub merced: Split,
    pub dubai: Split,
}

impl Data {
    /// A folder with `ucmerced` and `dubai`.
    pub fn read(root: &Path) -> Result<Self> {
        Ok(Self { merced: data::uc_merced(&root.join("ucmerced"))?, dubai: data::dubai(&root.join("dubai"))? })
    }
}

/// What needs no model: chance, and the nearest colours.
pub fn baselines(data: &Data, mut say: impl FnMut(&Figure)) -> Result<()> {
    say(&Figure::pictures("UC Merced: chance", 1.0 / MERCED_CLASSES.len() as f64));
    say(&Figure::pictures("UC Merced: nearest colours", colours::pictures(&data.merced.train, &data.merced.held_out)));
    let mut random = Random::new(1);
    let chance = evaluate::dubai(&data.dubai.held_out, 1, |picture| {
        let pixels = picture.full().width * picture.full().height;
        Ok(vec![(0..pixels).map(|_| random.below(DUBAI_CLASSES.len()) as u8).collect()])
    })?;
    chance.iter().for_each(|confusion| say(&Figure::pixels("Dubai: chance", confusion)));
    let table = Colours::learn(&data.dubai.train, 1);
    let class = |label: &u8| DUBAI_CLASSES.iter().position(|class| class.2 == usize::from(*label)).unwrap_or(0) as u8;
    let nearest = evaluate::dubai(&data.dubai.held_out, 1, |picture| {
        Ok(vec![table.label(picture.full()).iter().map(class).collect()])
    })?;
    nearest.iter().for_each(|confusion| say(&Figure::pixels("Dubai: nearest colours", confusion)));
    Ok(())
}

/// The queries of both sets' classes.
fn queries(text: &TextTower, tokenizer: &Tokenizer) -> Result<[evaluate::Queries; 2]> {
    let templates = imagenet_templates();
    let merced: Vec<&[&str]> = MERCED_CLASSES.iter().map(std::slice::from_ref).collect();
    let dubai: Vec<&[&str]> = DUBAI_CLASSES.iter().map(|class| class.1).collect();
    Ok([
        evaluate::queries(text, tokenizer, &templates, &merced)?,
        evaluate::queries(text, tokenizer, &templates, &dubai)?,
    ])
}

/// Two numbers in little time, to watch a training by: UC Merced's top-1, and Dubai without overlaps on every other picture.
pub fn quick(
    image: ImageTower,
    text: &TextTower,
    tokenizer: &Tokenizer,
    window: usize,
    data: &Data,
) -> Result<(f64, Figure)> {
    let [of_merced, of_dubai] = queries(text, tokenizer)?;
    let top = accuracy(&evaluate::merced(&image, &of_merced, &data.merced.held_out, window)?);
    let variant = Variant::Encoder(ImageEncoder::new(image, Upsampling::Bilinear));
    let some: Vec<data::Picture> = data.dubai.held_out.iter().step_by(2).cloned().collect();
    let found = evaluate::dubai(&some, 1, |picture| {
        evaluate::segment(&variant, &of_dubai, picture.full(), &[0.0], window, window)
    })?;
    let figure = found.iter().map(|confusion| Figure::pixels("Dubai", confusion)).next();
    Ok((top, figure.ok_or_else(|| Error::internal("no map was counted"))?))
}

/// What a teacher itself reaches with its own labels.
pub fn teacher(data: &Data, teacher: &Teacher, mut say: impl FnMut(&Figure)) -> Result<()> {
    for side in [128, 256] {
        let top = evaluate::teacher(teacher, &data.merced.held_out, side)?;
        say(&Figure::pictures(format!("UC Merced: the teacher at {side} pixels"), top));
    }
    let found = evaluate::dubai(&data.dubai.held_out, 1, |picture| {
        Ok(vec![evaluate::teacher_segment(teacher, picture.full())?])
    })?;
    found.iter().for_each(|confusion| say(&Figure::pixels("Dubai: the teacher", confusion)));
    Ok(())
}

/// Everything: UC Merced's top-1, and Dubai without upsampler, bilinear and with SimFeatUp, for each λ.
pub fn model(data: &Data, trained: &Trained, lambdas: &[f64], mut say: impl FnMut(&Figure)) -> Result<()> {
    let (image, text) = trained.towers()?;
    let window = trained.config.shape.window;
    let [of_merced, of_dubai] = queries(&text, &trained.tokenizer)?;
    for side in [window, 2 * window] {
        let top = evaluate::merced(&image, &of_merced, &data.merced.held_out, side)?;
        say(&Figure::pictures(format!("UC Merced: zero-shot at {side} pixels"), accuracy(&top)));
    }
    let mut variants = vec![
        ("no upsampler", Variant::Blocks(image)),
        ("bilinear", Variant::Encoder(ImageEncoder::new(trained.towers()?.0, Upsampling::Bilinear))),
    ];
    if let Some(upsampler) = trained.upsampler()? {
        let learned = Upsampling::Learned(upsampler, Basis::Joint);
        variants.push(("SimFeatUp", Variant::Encoder(ImageEncoder::new(trained.towers()?.0, learned))));
    }
    let of_cls: Vec<f64> = lambdas.iter().map(|lambda| -lambda).collect();
    for (name, variant) in &variants {
        let confusions = evaluate::dubai(&data.dubai.held_out, lambdas.len(), |picture| {
            evaluate::segment(variant, &of_dubai, picture.full(), &of_cls, window, window / 2)
        })?;
        for (lambda, confusion) in lambdas.iter().zip(&confusions) {
            say(&Figure::pixels(format!("Dubai: {name}, λ = -{lambda}"), confusion));
        }
    }
    Ok(())
}
