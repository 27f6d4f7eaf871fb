//! The sizes of a CLIP, and the tensors that follow from them.

use std::collections::BTreeMap;

/// Every size of a CLIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipSizes {
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Patches along a side of the image that the positional embedding was made for.
    pub image_grid: usize,
    /// Width of the image tower.
    pub vision_width: usize,
    /// Blocks of the image tower.
    pub vision_layers: usize,
    /// Attention heads of each of its blocks.
    pub vision_heads: usize,
    /// Width of the hidden layer of the blocks' MLPs.
    pub vision_hidden: usize,
    /// Width of the joint space of images and texts.
    pub embed_dim: usize,
    /// Width of the text tower.
    pub text_width: usize,
    /// Blocks of the text tower.
    pub text_layers: usize,
    /// Attention heads of each of its blocks.
    pub text_heads: usize,
    /// Width of the hidden layer of its blocks' MLPs.
    pub text_hidden: usize,
    /// Rows of the token embedding.
    pub vocab: usize,
    /// Length of the context, in tokens.
    pub context: usize,
}

impl ClipSizes {
    /// Returns the shape of every tensor that a CLIP of these sizes needs.
    pub fn tensors(&self) -> BTreeMap<String, Vec<usize>> {
        let (vision, text) = (self.vision_width, self.text_width);
        let mut tensors = BTreeMap::from(
            [
                ("visual.conv1.weight", vec![vision, 3, self.patch, self.patch]),
                ("visual.class_embedding", vec![vision]),
                ("visual.positional_embedding", vec![self.image_grid * self.image_grid + 1, vision]),
                ("visual.ln_pre.weight", vec![vision]),
                ("visual.ln_pre.bias", vec![vision]),
                ("visual.ln_post.weight", vec![vision]),
                ("visual.ln_post.bias", vec![vision]),
                ("visual.proj", vec![vision, self.embed_dim]),
                ("token_embedding.weight", vec![self.vocab, text]),
                ("positional_embedding", vec![self.context, text]),
                ("ln_final.weight", vec![text]),
                ("ln_final.bias", vec![text]),
                ("text_projection", vec![text, self.embed_dim]),
            ]
            .map(|(name, shape)| (name.to_owned(), shape)),
        );
        for (tower, layers, width, hidden) in [
            ("visual.transformer", self.vision_layers, vision, self.vision_hidden),
            ("transformer", self.text_layers, text, self.text_hidden),
        ] {
            for layer in 0..layers {
                let block = [
                    ("ln_1.weight", vec![width]),
                    ("ln_1.bias", vec![width]),
                    ("attn.in_proj_weight", vec![3 * width, width]),
                    ("attn.in_proj_bias", vec![3 * width]),
                    ("attn.out_proj.weight", vec![width, width]),
                    ("attn.out_proj.bias", vec![width]),
                    ("ln_2.weight", vec![width]),
                    ("ln_2.bias", vec![width]),
                    ("mlp.c_fc.weight", vec![hidden, width]),
                    ("mlp.c_fc.bias", vec![hidden]),
                    ("mlp.c_proj.weight", vec![width, hidden]),
                    ("mlp.c_proj.bias", vec![width]),
                ];
                tensors.extend(block.map(|(name, shape)| (format!("{tower}.resblocks.{layer}.{name}"), shape)));
            }
        }
        tensors
    }
}
