//! Blends and labels on the GPU, since copying all logits to the host would take longer.
//!
//! It does what `stitch` does on the host, in float32 and window after window; sums are done in the device's own order
//! within a window, so that results on two kinds of device agree to rounding and not to the bit.

#![expect(clippy::indexing_slicing, reason = "the first size of a matrix made here")]

use tch::{Kind as Number, Tensor};

use super::{TorchDevice, TorchSegmenter, to_vec};
use crate::error::{Error, Result};
use crate::geom::Window;
use crate::model::{Blender, Images, Padding, Region};
use crate::scene::{Classifier, Labelled, Pooling};

/// Rows that become labels at once: what bounds the memory of scores.
const ROWS_AT_ONCE: i64 = 32;

pub(super) struct DeviceBlender<'a> {
    model: &'a TorchSegmenter,
    region: Window,
    padding: Padding,
    decision: Decision,
    scores: bool,
    patient: bool,
    /// (row, column) of a window.
    weights: Tensor,
    /// The rows that windows still reach, as many as a window has; those before `done` are finished.
    sums: Tensor,
    sum_of_weights: Tensor,
    valid: Tensor,
    done: i64,
    /// The scene's row that `done` is.
    first: usize,
    /// Whether the logits of the windows from here on are all numbers: not yet looked at.
    suspects: Vec<(Window, Tensor)>,
    /// Half a batch was blended.
    broken: bool,
}

impl<'a> DeviceBlender<'a> {
    pub(super) fn new(model: &'a TorchSegmenter, region: &Region<'_>) -> Result<Self> {
        let &Region { region, padding, weights, classifier, scores, patient } = region;
        let (queries, device) = (model.queries.size()[0], model.device);
        let (height, width) = (padding.window.height as i64, region.width as i64);
        let [rows, cols] = weights;
        let rows = Tensor::f_from_slice(rows)?.f_unsqueeze(1)?;
        let weights = rows.f_mul(&Tensor::f_from_slice(cols)?)?.f_to_device(device)?;
        Ok(Self {
            model,
            region,
            padding,
            decision: Decision::new(classifier, device)?,
            scores,
            patient,
            weights,
            sums: Tensor::f_zeros([queries, height, width], (Number::Float, device))?,
            sum_of_weights: Tensor::f_zeros([height, width], (Number::Float, device))?,
            valid: Tensor::f_zeros([height, width], (Number::Bool, device))?,
            done: 0,
            first: region.row,
            suspects: Vec::new(),
            broken: false,
        })
    }

    fn height(&self) -> i64 {
        self.padding.window.height as i64
    }

    /// Moves the rows that are not finished to the beginning; the others become empty.
    fn roll(&mut self) -> Result<()> {
        let (done, left) = (self.done, self.height() - self.done);
        if done == 0 {
            return Ok(());
        }
        for tensor in [&self.sums, &self.sum_of_weights, &self.valid] {
            if left > 0 {
                let moved = tensor.f_narrow(-2, done, left)?.f_to_dtype(tensor.kind(), false, true)?;
                tensor.f_narrow(-2, 0, left)?.f_copy_(&moved)?;
            }
            let _ = tensor.f_narrow(-2, left, done)?.f_zero_()?;
        }
        self.done = 0;
        Ok(())
    }

    /// Adds a window's logits (query, row, column) as they left the model.
    fn blend(&self, window: Window, logits: &Tensor, valid: Option<&[bool]>) -> Result<()> {
        let region = self.region;
        let rows = window.row.max(self.first)..window.rows().end.min(region.rows().end);
        let cols = window.col.max(region.col)..window.cols().end.min(region.cols().end);
        if rows.is_empty() || cols.is_empty() {
            return Ok(());
        }
        let (height, width) = (rows.len() as i64, cols.len() as i64);
        let (above, left) = ((rows.start - window.row) as i64, (cols.start - window.col) as i64);
        let here = |of: &Tensor| of.f_narrow(-2, above, height)?.f_narrow(-1, left, width);
        let (to_row, to_col) = ((rows.start - self.first) as i64, (cols.start - region.col) as i64);
        let there = |of: &Tensor| of.f_narrow(-2, to_row, height)?.f_narrow(-1, to_col, width);
        let weights = here(&self.weights)?;
        let _ = there(&self.sums)?.f_addcmul_(&here(logits)?, &weights)?;
        let _ = there(&self.sum_of_weights)?.f_add_(&weights)?;
        let mut reached = there(&self.valid)?;
        match valid {
            None => drop(reached.f_fill_(1)?),
            Some(valid) => {
                let shape = [window.height as i64, window.width as i64];
                let valid = Tensor::f_from_slice(valid)?.f_reshape(shape)?.f_to_device(self.model.device)?;
                drop(reached.f_logical_or_(&here(&valid)?)?);
            }
        }
        Ok(())
    }

    /// Looks at what has not been looked at.
    fn check(&mut self) -> Result<()> {
        for (window, finite) in self.suspects.drain(..) {
            if !bool::try_from(finite)? {
                self.broken = true;
                return Err(Error::input(format!("the logits of the windows from {window} on are not finite numbers"))
                    .with_hint("Half precision can overflow: import the model with --precision fp32 or bf16."));
            }
        }
        Ok(())
    }

    fn whole(&self) -> Result<()> {
        if self.broken { Err(Error::internal("a batch was blended in part")) } else { Ok(()) }
    }
}

impl Blender for DeviceBlender<'_> {
    fn add(&mut self, images: &Images, tiles: &[(Window, Option<&[bool]>)]) -> Result<()> {
        let _inference = tch::no_grad_guard();
        self.whole()?;
        let Some(&(first, _)) = tiles.first() else { return Ok(()) };
        let logits = self.model.logits(images)?.f_to_kind(Number::Float)?;
        self.suspects.push((first, logits.f_isfinite()?.f_all()?));
        if self.patient {
            let checked = self.check();
            self.broken = false;
            checked?;
        }
        let [above, left] = self.padding.before().map(|side| side as i64);
        let size = self.padding.window;
        let logits = logits.f_narrow(2, above, size.height as i64)?.f_narrow(3, left, size.width as i64)?;
        // From here on, what fails leaves a batch half blended.
        self.broken = true;
        self.roll()?;
        for (index, &(window, valid)) in tiles.iter().enumerate() {
            self.blend(window, &logits.f_select(0, index as i64)?, valid)?;
        }
        self.broken = false;
        Ok(())
    }

    fn first(&self) -> usize {
        self.first
    }

    fn finish_before(&mut self, row: usize) -> Result<Labelled> {
        let _inference = tch::no_grad_guard();
        self.whole()?;
        self.check()?;
        if self.done == self.height() {
            self.roll()?;
        }
        let wanted = row.min(self.region.rows().end).saturating_sub(self.first) as i64;
        let rows = wanted.min(ROWS_AT_ONCE).min(self.height() - self.done);
        let take = |of: &Tensor| of.f_narrow(-2, self.done, rows);
        let weights = take(&self.sum_of_weights)?;
        // A weight of zero is a pixel that only skipped windows reach: it is not valid, and its sum is zero.
        let weights = weights.f_where_self(&weights.f_gt(0.0)?, &weights.f_ones_like()?)?;
        let labelled = self.decision.label(&take(&self.sums)?.f_div(&weights)?, &take(&self.valid)?, self.scores)?;
        self.done += rows;
        self.first += rows as usize;
        Ok(labelled)
    }
}

/// A [`Classifier`] on a device.
struct Decision {
    /// The queries of each class; empty where each class has one, in order.
    queries: Vec<Tensor>,
    thresholds: Tensor,
    /// The label where the best score stays below its threshold.
    otherwise: i64,
    logit_scale: f64,
    /// (query, 1, 1); `None`: nothing is added.
    bias: Option<Tensor>,
    pooling: Pooling,
    nodata: i64,
}

impl Decision {
    fn new(classifier: &Classifier, device: TorchDevice) -> Result<Self> {
        let Classifier { query_class, thresholds, background, logit_scale, bias, pooling, nodata, margin: _ } =
            classifier;
        let nodata = i64::from(*nodata);
        let of_class = |class: usize| -> Result<Tensor> {
            let queries = (0..).zip(query_class).filter(|(_, of)| **of == class).map(|(query, _)| query);
            Ok(Tensor::f_from_slice(&queries.collect::<Vec<i64>>())?.f_to_device(device)?)
        };
        let queries = match query_class.iter().copied().eq(0..thresholds.len()) {
            true => Vec::new(),
            false => (0..thresholds.len()).map(of_class).collect::<Result<_>>()?,
        };
        Ok(Self {
            queries,
            thresholds: Tensor::f_from_slice(thresholds)?.f_to_device(device)?,
            otherwise: background.map_or(nodata, |class| class as i64),
            logit_scale: f64::from(*logit_scale),
            bias: match bias.as_slice() {
                [] => None,
                bias => Some(Tensor::f_from_slice(bias)?.f_view([-1, 1, 1])?.f_to_device(device)?),
            },
            pooling: *pooling,
            nodata,
        })
    }

    /// Labels blended logits (query, row, column).
    fn label(&self, logits: &Tensor, valid: &Tensor, scores: bool) -> Result<Labelled> {
        let mut scaled = logits.f_mul_scalar(self.logit_scale)?;
        if let Some(bias) = &self.bias {
            scaled = scaled.f_add(bias)?;
        }
        let probabilities = scaled.f_softmax(0, Number::Float)?;
        let of_class = |queries: &Tensor| {
            let probabilities = probabilities.f_index_select(0, queries)?;
            match self.pooling {
                Pooling::Largest => probabilities.f_amax(0, false),
                Pooling::Sum => probabilities.f_sum_dim_intlist(0, false, Number::Float),
            }
        };
        let classes = match self.queries.is_empty() {
            true => probabilities.shallow_clone(),
            false => {
                Tensor::f_stack(&self.queries.iter().map(of_class).collect::<std::result::Result<Vec<_>, _>>()?, 0)?
            }
        };
        let (best, winner) = classes.f_max_dim(0, false)?;
        let least = self.thresholds.f_index_select(0, &winner.f_flatten(0, -1)?)?.f_view_as(&best)?;
        let constant = |label: i64| Tensor::f_full_like(&winner, label);
        let taken = winner.f_where_self(&best.f_ge_tensor(&least)?, &constant(self.otherwise)?)?;
        let labels = taken.f_where_self(valid, &constant(self.nodata)?)?;
        let labels: Vec<i32> =
            labels.f_to_kind(Number::Int)?.f_flatten(0, -1)?.f_to_device(TorchDevice::Cpu)?.try_into()?;
        let below = best.f_lt_tensor(&least)?.f_logical_and(valid)?;
        let below = below.f_logical_and(&winner.f_ne(self.otherwise)?)?;
        let rejected =
            f64::try_from(best.f_multiply(&below.f_to_kind(Number::Float)?)?.f_amax([0i64; 0], false)?)? as f32;
        let scores = match scores {
            true => to_vec(&classes.f_masked_fill(&valid.f_logical_not()?, f64::NAN)?)?,
            false => Vec::new(),
        };
        Ok(Labelled { labels: labels.into_iter().map(|label| label as u16).collect(), scores, rejected })
    }
}

#[cfg(test)]
mod tests;
