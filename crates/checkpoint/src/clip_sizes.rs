//! The sizes of a CLIP, and the tensors that follow from them.

use std::collections::BTreeMap;

/// Side in pixels of a cell of the convolutional image tower, and of the window that it is meant for in cells.
const CONVOLUTIONAL: (usize, usize) = (4, 64);

/// Every size of a CLIP.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClipSizes {
    /// Side of a patch, in pixels.
    pub patch: usize,
    /// Patches along a side of the image that the positional embedding was made for.
    pub image_grid: usize,
    /// Width of the image tower.
    pub vision_width: usize,
    /// Blocks of the image tower; 0: the tower is a convolutional one of this program's own, whose tensors `network::convolutional`
    /// knows.
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
    /// Whether the image tower is convolutional.
    pub fn is_convolutional(&self) -> bool {
        self.vision_layers == 0
    }

    /// The sizes of a convolutional image tower with features of so many channels; those of the text tower are 0.
    pub(crate) fn convolutional(embed_dim: usize) -> Self {
        let (patch, image_grid) = CONVOLUTIONAL;
        Self {
            patch,
            image_grid,
            vision_width: embed_dim,
            vision_layers: 0,
            vision_heads: 1,
            vision_hidden: 0,
            embed_dim,
            text_width: 0,
            text_layers: 0,
            text_heads: 0,
            text_hidden: 0,
            vocab: 0,
            context: 0,
        }
    }

    /// Returns the shape of every tensor that a CLIP of these sizes needs; without those of a convolutional image tower.
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
        if self.is_convolutional() {
            tensors.retain(|name, _| !name.starts_with("visual."));
        }
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
