//! The sizes of the joint space and of the text tower, and the text tower's first weights.

use segearth::error::Result;
use segearth::network::Tensors;
use segearth::train::random::Random;
use tch::{Device, Kind, Tensor};

/// What the text tower is made like.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Side of the window that jobs use, in pixels.
    pub window: usize,
    /// Width of the joint space.
    pub joint: usize,
    pub text_width: usize,
    pub text_layers: usize,
    pub text_heads: usize,
    pub context: usize,
    pub vocabulary: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self { window: 256, joint: 128, text_width: 128, text_layers: 2, text_heads: 2, context: 77, vocabulary: 0 }
    }
}

/// First weights of the text tower.
pub fn text_tower(shape: &Shape, random: &mut Random) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    let mut draw = |name: &str, size: &[i64], deviation: f32| -> Result<()> {
        let count: i64 = size.iter().product();
        let values: Vec<f32> = (0..count).map(|_| deviation * random.normal()).collect();
        tensors.insert(name.to_owned(), Tensor::f_from_slice(&values)?.f_reshape(size)?);
        Ok(())
    };
    let (joint, width) = (shape.joint as i64, shape.text_width as i64);
    let deviation = (width as f32).sqrt().recip();
    draw("token_embedding.weight", &[shape.vocabulary as i64, width], 0.05)?;
    draw("positional_embedding", &[shape.context as i64, width], 0.01)?;
    draw("text_projection", &[width, joint], deviation)?;
    for layer in 0..shape.text_layers {
        let block = format!("transformer.resblocks.{layer}.");
        draw(&format!("{block}attn.in_proj_weight"), &[3 * width, width], deviation)?;
        draw(&format!("{block}attn.out_proj.weight"), &[width, width], deviation * 0.5)?;
        draw(&format!("{block}mlp.c_fc.weight"), &[4 * width, width], deviation)?;
        draw(&format!("{block}mlp.c_proj.weight"), &[width, 4 * width], deviation * 0.35)?;
    }
    let mut fill = |name: String, size: i64, value: f64| -> Result<()> {
        tensors.insert(name, Tensor::f_full([size], value, (Kind::Float, Device::Cpu))?);
        Ok(())
    };
    let mut norms = vec!["ln_final.".to_owned()];
    for layer in 0..shape.text_layers {
        let block = format!("transformer.resblocks.{layer}.");
        norms.extend(["ln_1.", "ln_2."].map(|norm| format!("{block}{norm}")));
        fill(format!("{block}attn.in_proj_bias"), 3 * width, 0.0)?;
        fill(format!("{block}attn.out_proj.bias"), width, 0.0)?;
        fill(format!("{block}mlp.c_fc.bias"), 4 * width, 0.0)?;
        fill(format!("{block}mlp.c_proj.bias"), width, 0.0)?;
    }
    for name in norms {
        fill(format!("{name}weight"), width, 1.0)?;
        fill(format!("{name}bias"), width, 0.0)?;
    }
    Ok(tensors)
}
