//! An image encoder on a GPU in two halves: the transformer by libtorch, the rest by kernels of our own.

use std::ffi::{OsStr, OsString};
use std::path::Path;

use segearth_upsample::tables::Tables;
use tch::{Device as TorchDevice, Kind as Number, Tensor};

use super::kernels::{DeviceUpsampler, LIBRARY};
use super::{Device, TorchPatchEncoder, sizes_of, to_vec};
use crate::error::{Error, Result};
use crate::network::export::Precision;

/// Set to 0, it disables the GPU kernels.
pub const KERNELS_VARIABLE: &str = "SEGEARTH_GPU_KERNELS";

/// Patches of the image on which both are compared: larger than a neighbourhood in both directions.
const GRID: [usize; 2] = [5, 7];

/// The files of the two halves, and their sizes.
#[derive(Clone, Copy, Debug)]
pub struct HalvesFiles<'a> {
    pub patch_encoder: &'a Path,
    pub upsampler: &'a Path,
    pub patch: usize,
    /// D
    pub depth: usize,
    /// What the transformer is computed in.
    pub precision: Precision,
}

/// Where the kernels run.
#[derive(Clone, Debug)]
pub(super) struct KernelDevice {
    /// The way to NVRTC and the driver.
    pub library: OsString,
    /// The card's number.
    pub index: usize,
    /// The device of libtorch's tensors.
    pub device: Device,
}

impl KernelDevice {
    /// `None` on the CPU, and where the environment leaves the kernels out.
    pub fn of(device: Device) -> Option<Self> {
        let Device::Cuda(index) = device else { return None };
        let wanted = std::env::var_os(KERNELS_VARIABLE).is_none_or(|value| value != "0");
        wanted.then(|| Self { library: OsStr::new(LIBRARY).to_owned(), index, device })
    }
}

pub(super) struct DeviceHalves {
    encoder: TorchPatchEncoder,
    upsampler: DeviceUpsampler,
    patch: usize,
    depth: usize,
}

impl DeviceHalves {
    /// # Errors
    /// A file is damaged, or the kernels cannot be had on the device.
    pub fn load(files: &HalvesFiles<'_>, kernel_device: &KernelDevice) -> Result<Self> {
        let &HalvesFiles { patch_encoder, upsampler, patch, depth, precision } = files;
        let number = match precision {
            // Models of int8 run on CPUs alone.
            Precision::Fp32 | Precision::Int8 => Number::Float,
            // Between kernels, where values are small, the rounding error of float16 is an eighth of that of bfloat16.
            Precision::Fp16 | Precision::Bf16 => Number::Half,
        };
        let encoder = TorchPatchEncoder::load(patch_encoder, kernel_device.device)?.with_fixup(upsampler, depth)?;
        let tables = Tables::load(upsampler, patch, depth)?;
        let device = TorchDevice::from(kernel_device.device);
        let upsampler = DeviceUpsampler::new(tables, &kernel_device.library, kernel_device.index, device, number)?;
        Ok(Self { encoder, upsampler, patch, depth })
    }

    /// Logits (window, query, row, column), float32, of `pixels` (window, 3, row, column); `tokens`: those of the tower, where they
    /// are known.
    pub fn logits(
        &self,
        pixels: &Tensor,
        tokens: Option<&Tensor>,
        queries: &Tensor,
        lambda: &Tensor,
    ) -> Result<Tensor> {
        let tokens = self.encoder.features(pixels, tokens, self.patch, self.depth)?;
        self.upsampler.logits(pixels, &tokens, queries, lambda)
    }

    /// Compares the logits with those of `trace`, within the precision, so that kernels that a GPU or its compiler gets wrong are not
    /// used. It detects gross errors, not single exchanged taps.
    ///
    /// # Errors
    /// The logits differ, or one of the two fails.
    pub fn agree(
        &self,
        trace: impl Fn(&Tensor) -> Result<Tensor>,
        queries: &Tensor,
        lambda: &Tensor,
        precision: Precision,
    ) -> Result<()> {
        // Relative to the standard deviation of the logits, and absolute.
        let (share, least) = match precision {
            Precision::Fp32 | Precision::Int8 => (0.01, 1e-4),
            Precision::Fp16 => (0.05, 1e-3),
            Precision::Bf16 => (0.2, 5e-3),
        };
        let [height, width] = GRID.map(|patches| patches * self.patch);
        let pixels: Vec<f32> = (0..3 * height * width).map(|at| pattern(at, width)).collect();
        let shape = [1, 3, height as i64, width as i64];
        let pixels = Tensor::f_from_slice(&pixels)?.f_reshape(shape)?.f_to_device(queries.device())?;
        let want = to_vec(&trace(&pixels)?)?;
        let got = to_vec(&self.logits(&pixels, None, queries, lambda)?)?;
        let count = sizes_of(queries).first().copied().unwrap_or(1).max(1);
        let spread = want.chunks_exact(height * width).map(spread).sum::<f64>() / count as f64;
        let off = want.iter().zip(&got).map(|(want, got)| f64::from(want - got).powi(2)).sum::<f64>();
        let off = (off / want.len() as f64).sqrt();
        if off <= share * spread + least {
            return Ok(());
        }
        Err(Error::internal(format!("the logits differ by {off:.2e} (RMS), at a standard deviation of {spread:.2e}")))
    }
}

/// Returns a pixel of a test pattern: squares of the size of a patch and of a few pixels, and noise.
fn pattern(at: usize, width: usize) -> f32 {
    let (row, column) = (at / width, at % width);
    let square = |side: usize| ((row / side + column / side) % 2) as f32;
    let noise = (at.wrapping_mul(2_654_435_761) >> 7) % 1024;
    1.2 * square(24) - 0.8 * square(7) + noise as f32 / 2048.0
}

/// The standard deviation.
fn spread(values: &[f32]) -> f64 {
    let count = values.len().max(1) as f64;
    let mean = values.iter().copied().map(f64::from).sum::<f64>() / count;
    (values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / count).sqrt()
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::super::TorchSegmenter;
    use super::super::kernels::tests::emulator;
    use super::*;
    use crate::geom::Window;
    use crate::model::{Normalisation, Padding, Queries, Segmenter as _, normalise};
    use crate::network::Attention;
    use crate::network::export::{self, DecoderFiles, ExportOptions, ImageFiles, TowerFiles, UpsamplerSource};
    use crate::raster::SceneReader;
    use crate::scene::{StretchMethod, StretchPlan};
    use segearth_checkpoint::{Activation, read_clip, read_upsampler};
    use segearth_testing::shared;

    const OPTIONS: ExportOptions = ExportOptions {
        activation: Activation::QuickGelu,
        attention: Attention::SegEarth,
        attention_blocks: 1,
        keep_residual: false,
        window: 64,
        precision: Precision::Fp32,
    };

    fn parity(name: &str) -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/parity/small").join(name)
    }

    fn files_in<'a>([whole, patch_encoder, pixel_decoder, upsampler]: [&'a Path; 4]) -> ImageFiles<'a> {
        let tower = TowerFiles::Traces { whole, patch_encoder };
        ImageFiles { tower, decoder: DecoderFiles { pixel_decoder, upsampler: Some(upsampler) } }
    }

    /// Runs a model on an emulated device; returns its warning and the largest difference of its logits. `upsampler`: the second half.
    fn with_halves(precision: Precision, upsampler: &str, library: Option<&str>) -> (Option<String>, f32) {
        let folder = tempfile::tempdir().unwrap();
        let [whole, patch_encoder, weights, other, decoder] =
            ["a", "b", "c", "d", "e"].map(|name| folder.path().join(name));
        let clip = read_clip(&parity("clip_openai_state_dict.pt")).unwrap();
        let options = ExportOptions { precision, ..OPTIONS };
        for (name, whole, weights) in [("jbu_one", &whole, &weights), (upsampler, &other, &other)] {
            let read = read_upsampler(&parity(&format!("simfeatup_{name}.ckpt"))).unwrap();
            let files = files_in([whole, &patch_encoder, &decoder, weights]);
            export::image_encoder(&clip, Some(UpsamplerSource::SimFeatUp(&read)), &options, &files).unwrap();
        }
        let depth = clip.sizes.embed_dim;
        let mut features = vec![0.0; 2 * depth];
        (features[0], features[depth + 1]) = (1.0, 1.0);
        let queries = Queries { count: 2, width: depth, features };
        let library = library.map_or_else(|| emulator(folder.path()).into_os_string(), OsString::from);
        let kernel_device = KernelDevice { library, index: 0, device: Device::Cpu };
        let upsampler = if upsampler == "jbu_one" { &weights } else { &other };
        let files = HalvesFiles { patch_encoder: &patch_encoder, upsampler, patch: 16, depth, precision };
        let plain = TorchSegmenter::load(&whole, Device::Cpu, &queries, 0.3).unwrap();
        let pixels: Vec<f32> = (0..3 * 32 * 48).map(|at| pattern(at, 48)).collect();
        let pixels = Tensor::from_slice(&pixels).reshape([1, 3, 32, 48]);
        let want = to_vec(&plain.logits_of(&pixels, None).unwrap()).unwrap();
        let halves = plain.with_halves_at(&files, &kernel_device);
        let got = to_vec(&halves.logits_of(&pixels, None).unwrap()).unwrap();
        let off = want.iter().zip(&got).map(|(want, got)| (want - got).abs()).fold(0.0, f32::max);
        (halves.warning().map(str::to_owned), off)
    }

    #[test]
    fn kernels_are_used_if_they_agree_with_the_trace() {
        // Not zero: other sums were done.
        for (precision, most) in [(Precision::Fp32, 2e-5), (Precision::Bf16, 0.05)] {
            let (warning, off) = with_halves(precision, "jbu_one", None);
            assert_eq!(warning, None);
            assert!(off > 0.0 && off < most, "{off}");
        }
    }

    #[test]
    fn kernels_are_not_used_if_they_disagree_or_are_missing() {
        let (warning, off) = with_halves(Precision::Fp32, "jbu_stack", None);
        let warning = warning.unwrap();
        assert!(warning.contains("the logits differ by") && warning.contains(KERNELS_VARIABLE), "{warning}");
        assert_eq!(off, 0.0);
        let (warning, off) = with_halves(Precision::Fp32, "jbu_one", Some("libnone.so"));
        assert!(warning.unwrap().contains("cannot use libnone.so"));
        assert_eq!(off, 0.0);
    }

    /// Labels of a corner of an aerial image in half precision, as on a GPU, against those of the trace in float32: nine windows at
    /// half their side, blended by their mean.
    #[test]
    #[ignore = "runs a GPU's threads one by one for minutes"]
    fn labels_are_equal_in_half_precision() {
        let (Some(image), Some(parity)) = (shared("scenes/koeln.tif"), shared("parity/full")) else { return };
        let info = crate::raster::inspect(&image).unwrap();
        let stretch = StretchPlan { method: StretchMethod::None, joint: false, gamma: 1.0 };
        let reader = SceneReader::open(&info, [1, 2, 3], &stretch).unwrap();
        let expected = Tensor::read_safetensors(parity.join("expected.safetensors")).unwrap();
        let (_, features) = expected.iter().find(|(name, _)| name == "query_features").unwrap();
        let [count, width] = [0, 1].map(|axis| features.size()[axis] as usize);
        let queries = Queries { count, width, features: to_vec(features).unwrap() };
        let clip = read_clip(&parity.join("model.safetensors")).unwrap();
        let upsampler = read_upsampler(&parity.join("simfeatup_jbu_one.ckpt")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let [whole, patch_encoder, weights, decoder] = ["a", "b", "c", "d"].map(|name| folder.path().join(name));
        let kernel_device =
            KernelDevice { library: emulator(folder.path()).into_os_string(), index: 0, device: Device::Cpu };
        let model = |precision: Precision, emulated: bool| {
            let options = ExportOptions { precision, window: 224, ..OPTIONS };
            let files = files_in([&whole, &patch_encoder, &decoder, &weights]);
            export::image_encoder(&clip, Some(UpsamplerSource::SimFeatUp(&upsampler)), &options, &files).unwrap();
            let plain = TorchSegmenter::load(&whole, Device::Cpu, &queries, 0.3).unwrap();
            if !emulated {
                return plain;
            }
            let (patch_encoder, upsampler) = (&patch_encoder, &weights);
            let files = HalvesFiles { patch_encoder, upsampler, patch: 16, depth: width, precision };
            let halves = plain.with_halves_at(&files, &kernel_device);
            assert_eq!(halves.warning(), None);
            halves
        };
        let models = [(Precision::Fp32, false), (Precision::Fp16, true), (Precision::Bf16, true)]
            .map(|(precision, emulated)| model(precision, emulated));
        const SIDE: i64 = 448;
        let blended = [(); 3].map(|()| Tensor::zeros([count as i64, SIDE, SIDE], (Number::Float, TorchDevice::Cpu)));
        let starts = (0..3).map(|step| 112 * step);
        for (row, col) in starts.clone().flat_map(|row| starts.clone().map(move |col| (row, col))) {
            let window = Window { col: col as usize, row: row as usize, width: 224, height: 224 };
            let padding = Padding::new(window.size(), 16);
            let images = normalise(&[reader.read(window).unwrap()], &Normalisation::CLIP, &padding);
            let images = Tensor::from_slice(&images.pixels).reshape([1, 3, 224, 224]);
            for (blended, model) in blended.iter().zip(&models) {
                let logits = model.logits_of(&images, None).unwrap();
                assert!(bool::try_from(logits.isfinite().all()).unwrap());
                eprintln!("{row} {col}");
                let _ = blended.narrow(1, row, 224).narrow(2, col, 224).g_add_(&logits.squeeze_dim(0));
            }
        }
        // Every pixel has all of its windows' sums, so that the label of their mean is that of their sum.
        let [want, half, brain] = blended.map(|sums| sums.argmax(0, false));
        let shares = [half, brain].map(|labels| {
            let same = i64::try_from(labels.eq_tensor(&want).sum(Number::Int64)).unwrap();
            same as f64 / (SIDE * SIDE) as f64
        });
        eprintln!("the same labels as in float32: {:.4} in float16, {:.4} in bfloat16", shares[0], shares[1]);
        assert!(shares[0] > 0.995 && shares[1] > 0.98, "{shares:?}");
    }
}
