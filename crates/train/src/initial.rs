//! The towers' sizes and first weights.

use segearth::error::{Error, Result};
use segearth::network::Tensors;
use segearth::train::random::Random;
use tch::{Device, Kind, Tensor};

/// What the towers are made like.
#[derive(Clone, Copy, Debug, serde::Serialize, serde::Deserialize)]
pub struct Shape {
    /// Side of a patch in pixels.
    pub patch: usize,
    /// Side of the window for whose grid the positions are learned, in pixels.
    pub window: usize,
    pub width: usize,
    pub layers: usize,
    pub heads: usize,
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
        Self {
            patch: 8,
            window: 128,
            width: 192,
            layers: 6,
            heads: 3,
            joint: 128,
            text_width: 128,
            text_layers: 2,
            text_heads: 2,
            context: 77,
            vocabulary: 0,
        }
    }
}

/// First weights of both towers.
///
/// Small data needs a start that is close to something sensible: positions are sines, so that near patches have near
/// positions, and in the image tower's blocks queries resemble keys while the output undoes a part of the values
/// (attention begins as smoothing, as it ends in trained towers: "mimetic initialisation").
pub fn initial(shape: &Shape, random: &mut Random) -> Result<Tensors> {
    let mut tensors = Tensors::new();
    let mut draw = |name: &str, size: &[i64], deviation: f32| -> Result<()> {
        let count: i64 = size.iter().product();
        let values: Vec<f32> = (0..count).map(|_| deviation * random.normal()).collect();
        tensors.insert(name.to_owned(), Tensor::f_from_slice(&values)?.f_reshape(size)?);
        Ok(())
    };
    let (width, joint, text) = (shape.width as i64, shape.joint as i64, shape.text_width as i64);
    let pixels = (3 * shape.patch * shape.patch) as f32;
    let patch = shape.patch as i64;
    draw("visual.conv1.weight", &[width, 3, patch, patch], pixels.sqrt().recip())?;
    draw("visual.class_embedding", &[width], 0.02)?;
    draw("visual.proj", &[width, joint], (width as f32).sqrt().recip())?;
    draw("token_embedding.weight", &[shape.vocabulary as i64, text], 0.05)?;
    draw("positional_embedding", &[shape.context as i64, text], 0.01)?;
    draw("text_projection", &[text, joint], (text as f32).sqrt().recip())?;
    for (prefix, width, layers) in
        [("visual.transformer", width, shape.layers), ("transformer", text, shape.text_layers)]
    {
        let deviation = (width as f32).sqrt().recip();
        for layer in 0..layers {
            let block = format!("{prefix}.resblocks.{layer}.");
            draw(&format!("{block}attn.in_proj_weight"), &[3 * width, width], deviation)?;
            draw(&format!("{block}attn.out_proj.weight"), &[width, width], deviation * 0.5)?;
            draw(&format!("{block}mlp.c_fc.weight"), &[4 * width, width], deviation)?;
            draw(&format!("{block}mlp.c_proj.weight"), &[width, 4 * width], deviation * 0.35)?;
        }
    }
    let mut fill = |name: String, size: i64, value: f64| -> Result<()> {
        tensors.insert(name, Tensor::f_full([size], value, (Kind::Float, Device::Cpu))?);
        Ok(())
    };
    let mut norms = vec![("visual.ln_pre.".to_owned(), width), ("visual.ln_post.".to_owned(), width)];
    norms.push(("ln_final.".to_owned(), text));
    for (prefix, width, layers) in
        [("visual.transformer", width, shape.layers), ("transformer", text, shape.text_layers)]
    {
        for layer in 0..layers {
            let block = format!("{prefix}.resblocks.{layer}.");
            norms.extend(["ln_1.", "ln_2."].map(|norm| (format!("{block}{norm}"), width)));
            fill(format!("{block}attn.in_proj_bias"), 3 * width, 0.0)?;
            fill(format!("{block}attn.out_proj.bias"), width, 0.0)?;
            fill(format!("{block}mlp.c_fc.bias"), 4 * width, 0.0)?;
            fill(format!("{block}mlp.c_proj.bias"), width, 0.0)?;
        }
    }
    for (name, width) in norms {
        fill(format!("{name}weight"), width, 1.0)?;
        fill(format!("{name}bias"), width, 0.0)?;
    }
    tensors.insert("visual.positional_embedding".into(), sines(shape)?);
    for layer in 0..shape.layers.saturating_sub(1) {
        mimic(&mut tensors, &format!("visual.transformer.resblocks.{layer}.attn."), width, shape.heads as i64)?;
    }
    Ok(tensors)
}

/// The patch embedding as the whitening of real patches: without it brightness drowns all texture at first.
///
/// `images`: normalised, (batch, 3, side, side).
pub fn whiten(tensors: &mut Tensors, shape: &Shape, images: &Tensor) -> Result<()> {
    let patch = shape.patch as i64;
    let inputs = 3 * patch * patch;
    let patches = images.f_unfold(2, patch, patch)?.f_unfold(3, patch, patch)?.f_permute([0, 2, 3, 1, 4, 5])?;
    let patches = patches.f_contiguous()?.f_view([-1, inputs])?;
    let covariance = patches.f_transpose(0, 1)?.f_matmul(&patches)?.f_div_scalar(patches.size2()?.0 as f64)?;
    let (values, vectors) = covariance.f_linalg_eigh("L")?; // ascending
    let floor = f64::try_from(values.f_mean(Kind::Float)?)? * 0.02;
    let scaled = vectors.f_div(&values.f_clamp_min(0.0)?.f_add_scalar(floor)?.f_sqrt()?)?;
    let count = inputs.min(shape.width as i64);
    let filters = scaled.f_narrow(1, inputs - count, count)?.f_transpose(0, 1)?.f_contiguous()?;
    let name = "visual.conv1.weight";
    let random = tensors.get(name).ok_or_else(|| Error::internal("no patch embedding"))?;
    let rest = random.f_flatten(1, 3)?.f_narrow(0, count, shape.width as i64 - count)?;
    let whole = Tensor::f_cat(&[filters, rest], 0)?.f_view([shape.width as i64, 3, patch, patch])?;
    tensors.insert(name.to_owned(), whole);
    Ok(())
}

/// Positions of the class token (zeros) and of each patch (sines of row and column).
fn sines(shape: &Shape) -> Result<Tensor> {
    let side = shape.window / shape.patch;
    let quarter = shape.width / 4;
    let mut values = vec![0f32; (1 + side * side) * shape.width];
    for row in 0..side {
        for col in 0..side {
            let at = (1 + row * side + col) * shape.width;
            for wave in 0..quarter {
                // Wavelengths from 4 patches to 60.
                let step = std::f32::consts::TAU / (4.0 * 15f32.powf(wave as f32 / quarter as f32));
                for (part, value) in [
                    (row as f32 * step).sin(),
                    (row as f32 * step).cos(),
                    (col as f32 * step).sin(),
                    (col as f32 * step).cos(),
                ]
                .into_iter()
                .enumerate()
                {
                    values[at + part * quarter + wave] = 0.8 * value;
                }
            }
        }
    }
    Ok(Tensor::f_from_slice(&values)?.f_reshape([(1 + side * side) as i64, shape.width as i64])?)
}

/// Queries start as a noisy copy of the keys; the output projection as a share of the values' transpose, negative.
fn mimic(tensors: &mut Tensors, prefix: &str, width: i64, heads: i64) -> Result<()> {
    let head = width / heads;
    let name = format!("{prefix}in_proj_weight");
    let weight = tensors.get(&name).map(Tensor::copy).ok_or_else(|| Error::internal("no attention weights"))?;
    let (queries, keys, values) =
        (weight.f_narrow(0, 0, width)?, weight.f_narrow(0, width, width)?, weight.f_narrow(0, 2 * width, width)?);
    // A token's own logit (0.8 · gain² · head^1/2) then stands about three above the others'.
    let gain = (3.0 / 0.8 / (head as f64).sqrt()).sqrt();
    let copy = keys.f_mul_scalar(0.8)?.f_add(&queries.f_mul_scalar(0.6)?)?.f_mul_scalar(gain)?;
    let keys = keys.f_mul_scalar(gain)?;
    let out = format!("{prefix}out_proj.weight");
    let noise = tensors.get(&out).map(Tensor::copy).ok_or_else(|| Error::internal("no output weights"))?;
    tensors.insert(out, noise.f_mul_scalar(0.8)?.f_sub(&values.f_transpose(0, 1)?.f_mul_scalar(0.4)?)?);
    tensors.insert(name, Tensor::f_cat(&[copy, keys, values], 0)?);
    Ok(())
}
