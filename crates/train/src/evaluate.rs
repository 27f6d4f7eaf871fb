//! Held-out figures: the whole method on Dubai tiles, zero-shot top-1 on UC Merced, and two baselines that know colours only.

use segearth::error::Result;
use segearth::evaluate::ConfusionMatrix;
use segearth::model::text::Tokenizer;
use segearth::network::{ImageEncoder, ImageTower, TextTower};
use segearth::train::pyramid::Raster;
use tch::{Kind, Tensor};

use super::data::{self, DEVIATION, DUBAI_CLASSES, MEAN, MERCED_CLASSES, Picture, Truth};
use super::teacher::Teacher;
use super::words::UNLABELLED;

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

/// How patches reach pixels; the rows of the ablation.
#[derive(Debug)]
pub enum Variant {
    /// Every pixel has its patch's logits.
    Blocks(ImageTower),
    /// Bilinear or learned.
    Encoder(ImageEncoder),
}

impl Variant {
    /// Logits without debiasing, (window, query, row, column).
    fn logits(&self, windows: &Tensor, queries: &Tensor) -> Result<Tensor> {
        match self {
            Self::Encoder(encoder) => Ok(encoder.forward(windows, queries, &Tensor::from_slice(&[0f32]))?),
            Self::Blocks(tower) => {
                let features = tower.forward(windows)?;
                let products = unit(&features.patches)?.f_matmul(&queries.f_transpose(0, 1)?)?.f_transpose(1, 2)?;
                let (grid, patch) = (features.grid.size(), tower.patch());
                let logits = products.f_unflatten(2, [grid[2], grid[3]])?;
                Ok(logits.f_repeat_interleave_self_int(patch, 2, None)?.f_repeat_interleave_self_int(patch, 3, None)?)
            }
        }
    }

    fn tower(&self) -> &ImageTower {
        match self {
            Self::Blocks(tower) => tower,
            Self::Encoder(encoder) => encoder.tower(),
        }
    }
}

/// The whole method on one picture for each of several λ: windows, logits averaged where they overlap, soft-max, the best
/// class of each pixel. What costs time is done once.
pub fn segment(
    variant: &Variant,
    queries: &Queries,
    raster: &Raster,
    lambdas: &[f64],
    window: usize,
    stride: usize,
) -> Result<Vec<Vec<u8>>> {
    let _plain = tch::no_grad_guard();
    let image = normalised(&data::to_tensor(raster)?)?;
    let (height, width) = (raster.height as i64, raster.width as i64);
    let zeros = || Tensor::f_zeros([queries.classes.len() as i64, height, width], (Kind::Float, tch::Device::Cpu));
    let (sums, sums_of_cls) = (zeros()?, zeros()?);
    let weights = Tensor::f_zeros([height, width], (Kind::Float, tch::Device::Cpu))?;
    let starts = |length: usize| -> Vec<i64> {
        let count = (length + stride - 1).saturating_sub(window) / stride + 1;
        (0..count).map(|number| (number * stride).min(length - window) as i64).collect()
    };
    let places: Vec<(i64, i64)> = starts(raster.height)
        .into_iter()
        .flat_map(|row| starts(raster.width).into_iter().map(move |col| (row, col)))
        .collect();
    let side = window as i64;
    let texts = queries.features.f_transpose(0, 1)?;
    for places in places.chunks(8) {
        let cut = |&(row, col): &(i64, i64)| Ok(image.f_narrow(2, row, side)?.f_narrow(3, col, side)?);
        let windows = Tensor::f_cat(&places.iter().map(cut).collect::<Result<Vec<_>>>()?, 0)?;
        let logits = variant.logits(&windows, &queries.features)?;
        let of_cls = unit(&variant.tower().forward(&windows)?.cls)?.f_matmul(&texts)?;
        for (number, &(row, col)) in places.iter().enumerate() {
            let part = |of: &Tensor| of.f_narrow(-2, row, side)?.f_narrow(-1, col, side);
            let _ = part(&sums)?.f_add_(&logits.f_select(0, number as i64)?)?;
            let of_cls = of_cls.f_select(0, number as i64)?.f_unsqueeze(1)?.f_unsqueeze(2)?;
            let _ = part(&sums_of_cls)?.f_add_(&of_cls)?;
            let _ = part(&weights)?.f_add_scalar_(1.0)?;
        }
    }
    let choose = |lambda: &f64| {
        // Of the soft-max only the order matters here, and it keeps that of the logits.
        let logits = sums.f_add(&sums_of_cls.f_mul_scalar(*lambda)?)?.f_div(&weights)?;
        let best = Vec::<i64>::try_from(logits.f_argmax(0, false)?.f_flatten(0, 1)?)?;
        Ok(best.into_iter().map(|query| queries.classes[query as usize] as u8).collect())
    };
    lambdas.iter().map(choose).collect()
}

/// Top-1 of a teacher's own labels on whole pictures: what its student may hope for.
pub fn teacher(teacher: &Teacher, pictures: &[Picture], window: usize) -> Result<f64> {
    let mut right = 0;
    for pictures in pictures.chunks(16) {
        let logits = teacher.teacher_output(&resized(pictures, window)?)?.pictures;
        let best = logits.f_narrow(1, 0, MERCED_CLASSES.len() as i64)?.f_argmax(-1, false)?;
        for (picture, found) in pictures.iter().zip(Vec::<i64>::try_from(best)?) {
            right += usize::from(matches!(picture.truth, Truth::Picture(truth) if i64::from(truth) == found));
        }
    }
    Ok(right as f64 / pictures.len().max(1) as f64)
}

/// A teacher's own labels for the pixels of a picture, among the Dubai set's, its cells' logits resized bilinearly.
pub fn teacher_segment(teacher: &Teacher, raster: &Raster) -> Result<Vec<u8>> {
    let image = normalised(&data::to_tensor(raster)?)?;
    let (height, width) = (raster.height as i64, raster.width as i64);
    let whole = |side: i64| (side + 15) / 16 * 16;
    let padded = image.f_replication_pad2d([0, whole(width) - width, 0, whole(height) - height])?;
    let logits = teacher.teacher_output(&padded)?.patches;
    let labels = DUBAI_CLASSES.map(|class| class.2 as i64);
    let cell = super::teacher::STRIDE as i64;
    let logits = logits.f_index_select(2, &Tensor::from_slice(&labels))?.f_transpose(1, 2)?;
    let logits = logits.f_unflatten(2, [whole(height) / cell, whole(width) / cell])?;
    let logits = logits.f_upsample_bilinear2d([whole(height), whole(width)], false, None, None)?;
    let logits = logits.f_narrow(2, 0, height)?.f_narrow(3, 0, width)?;
    let best = Vec::<i64>::try_from(logits.f_argmax(1, false)?.f_flatten(0, 2)?)?;
    Ok(best.into_iter().map(|label| label as u8).collect())
}

/// Whole pictures as one batch, resized to the window.
fn resized(pictures: &[Picture], window: usize) -> Result<Tensor> {
    let resize = |picture: &Picture| {
        let image = data::to_tensor(picture.full())?;
        normalised(&image.f_internal_upsample_bilinear2d_aa([window as i64; 2], false, None, None)?)
    };
    Ok(Tensor::f_cat(&pictures.iter().map(resize).collect::<Result<Vec<_>>>()?, 0)?)
}

fn normalised(image: &Tensor) -> Result<Tensor> {
    let mean = Tensor::from_slice(&MEAN).f_reshape([1, 3, 1, 1])?;
    let deviation = Tensor::from_slice(&DEVIATION).f_reshape([1, 3, 1, 1])?;
    Ok(image.f_sub(&mean)?.f_div(&deviation)?)
}

/// Counts every labelled pixel of pictures with masks, for each of the `maps` that `segment` makes of a picture.
pub fn dubai(
    pictures: &[Picture],
    maps: usize,
    mut segment: impl FnMut(&Picture) -> Result<Vec<Vec<u8>>>,
) -> Result<Vec<ConfusionMatrix>> {
    let mut confusions = vec![ConfusionMatrix::new(DUBAI_CLASSES.len()); maps];
    for picture in pictures {
        let found = segment(picture)?;
        let Truth::Pixels(truth) = &picture.truth else { continue };
        for (confusion, found) in confusions.iter_mut().zip(found) {
            for (truth, found) in truth.iter().zip(found).filter(|(truth, _)| **truth != UNLABELLED) {
                if let Some(truth) = DUBAI_CLASSES.iter().position(|class| class.2 == usize::from(*truth)) {
                    confusion.add(truth, usize::from(found), 1);
                }
            }
        }
    }
    Ok(confusions)
}

/// Zero-shot by the `[CLS]` feature of the whole picture, resized to the window.
pub fn merced(tower: &ImageTower, queries: &Queries, pictures: &[Picture], window: usize) -> Result<ConfusionMatrix> {
    let _plain = tch::no_grad_guard();
    let mut confusion = ConfusionMatrix::new(MERCED_CLASSES.len());
    for pictures in pictures.chunks(16) {
        let cls = tower.forward(&resized(pictures, window)?)?.cls;
        let best = cls.f_matmul(&queries.features.f_transpose(0, 1)?)?.f_argmax(-1, false)?;
        for (picture, found) in pictures.iter().zip(Vec::<i64>::try_from(best)?) {
            if let Truth::Picture(truth) = picture.truth {
                confusion.add(usize::from(truth), queries.classes[found as usize], 1);
            }
        }
    }
    Ok(confusion)
}
