//! From normalised windows to logits: CLIP's patches, an upsampler, the scalar products and the [CLS] debiasing.

#![expect(clippy::indexing_slicing, reason = "the one shape that an operation gives")]

use tch::{Kind, TchError, Tensor};

use super::clip::ImageFeatures;
use super::naf::Naf;
use super::simfeatup::{Basis, Upsampler};
use super::tower::ImageTower;

/// How patch features reach full resolution.
#[derive(Debug)]
pub enum Upsampling {
    Learned(Upsampler, Basis),
    /// By attention over neighbouring patches.
    Neighbours(Naf),
    /// None: logits per patch, resized bilinearly.
    Bilinear,
}

#[derive(Debug)]
pub struct ImageEncoder {
    tower: ImageTower,
    upsampling: Upsampling,
}

impl ImageEncoder {
    pub fn new(tower: ImageTower, upsampling: Upsampling) -> Self {
        Self { tower, upsampling }
    }

    pub fn tower(&self) -> &ImageTower {
        &self.tower
    }

    /// What the image tower gives: (batch, 1 + patch, D), the `[CLS]` feature and the patches'. Float32.
    pub fn features(&self, images: &Tensor) -> Result<Tensor, TchError> {
        let ImageFeatures { cls, patches, .. } = self.tower.forward(images)?;
        Tensor::f_cat(&[cls.f_unsqueeze(1)?, patches], 1)?.f_to_kind(Kind::Float)
    }

    /// [`forward`](Self::forward) without the tower: `features` are those of the images, in the kind of the weights.
    pub fn decode(
        &self,
        images: &Tensor,
        features: &Tensor,
        queries: &Tensor,
        lambda: &Tensor,
    ) -> Result<Tensor, TchError> {
        let step = self.tower.patch();
        let grid = images.f_slice(1, 0, 1, 1)?.f_slice(2, 0, None, step)?.f_slice(3, 0, None, step)?;
        let (cls, patches) = (features.f_select(1, 0)?, features.f_slice(1, 1, None, 1)?);
        self.logits(images, &ImageFeatures { cls, patches, grid }, queries, lambda)
    }

    /// `images`: normalised, (batch, 3, row, column), sides multiples of the patch; `queries`: unit length, (Q, D);
    /// `lambda`: the factor of the `[CLS]` similarity, which is added (-0.3 in the paper). Returns logits in float32,
    /// (batch, Q, row, column).
    pub fn forward(&self, images: &Tensor, queries: &Tensor, lambda: &Tensor) -> Result<Tensor, TchError> {
        self.logits(images, &self.tower.forward(images)?, queries, lambda)
    }

    fn logits(
        &self,
        images: &Tensor,
        features: &ImageFeatures,
        queries: &Tensor,
        lambda: &Tensor,
    ) -> Result<Tensor, TchError> {
        let ImageFeatures { cls, patches, grid } = features;
        let similarities = match &self.upsampling {
            Upsampling::Learned(upsampler, basis) => upsampler.similarities(patches, queries, grid, images, *basis)?,
            Upsampling::Neighbours(naf) => naf.similarities(patches, queries, grid, images)?,
            Upsampling::Bilinear => {
                let products = unit(patches)?.f_matmul(&queries.f_transpose(0, 1)?)?.f_to_kind(Kind::Float)?;
                let shape = Tensor::f_broadcast_tensors(&[
                    grid.shallow_clone(),
                    products.f_slice(1, 0, 1, 1)?.f_transpose(1, 2)?.f_unsqueeze(3)?,
                ])?;
                let per_patch = products.f_transpose(1, 2)?.f_contiguous()?.f_view_as(&shape[0])?;
                let factor = self.tower.patch() as f64;
                per_patch.f_upsample_bilinear2d_vec(None::<&[i64]>, false, [factor, factor].as_slice())?
            }
        };
        let of_cls = unit(cls)?.f_matmul(&queries.f_transpose(0, 1)?)?.f_to_kind(Kind::Float)?;
        similarities.f_add(&of_cls.f_multiply(&lambda.f_to_kind(Kind::Float)?)?.f_unsqueeze(2)?.f_unsqueeze(3)?)
    }
}

fn unit(x: &Tensor) -> Result<Tensor, TchError> {
    x.f_divide(&x.f_linalg_norm(2.0, Some(&[-1i64][..]), true, None)?)
}
