use segearth_checkpoint::{LearnedUpsampler, read_clip, read_learned_upsampler};

use super::{Folder, parts, refused};

/// A checkpoint of any layout, and the `config.json` beside it.
pub fn checkpoint(data: &[u8]) {
    let [weights, config] = parts(data);
    let folder = Folder::new();
    let path = folder.write("weights", weights);
    if !config.is_empty() {
        folder.write("config.json", config);
    }
    match read_clip(&path) {
        Ok(clip) => {
            assert!(clip.sizes.tensors().iter().all(|(name, shape)| clip.tensors[name].shape() == shape));
            clip.tensors.values().for_each(|tensor| assert_eq!(tensor.to_f32().len(), tensor.len()));
        }
        Err(error) => refused(&error),
    }
    match read_learned_upsampler(&path) {
        Ok(upsampler) => {
            let (shapes, tensors) = match &upsampler {
                LearnedUpsampler::SimFeatUp(weights) => (weights.shapes(), &weights.tensors),
                LearnedUpsampler::Naf(weights) => (weights.shapes(), &weights.tensors),
            };
            assert!(shapes.iter().all(|(name, shape)| tensors[name].shape() == shape));
        }
        Err(error) => refused(&error),
    }
}
