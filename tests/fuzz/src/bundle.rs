use segearth::error::Result;
use segearth::model::bundle::{
    Bundle, IMAGE_ENCODER, PATCH_ENCODER, PIXEL_DECODER, TEXT_ENCODER, TOKENIZER, Trust, UPSAMPLER,
};
use segearth::model::text::{CONTEXT, Tokenizer};
use segearth_upsample::{KernelPrecision, Shortcuts, Upsampler};

use super::{Folder, parts, refused};

/// A bundle's `model.yaml`, its tokenizer, prompts for it, one a line, and the weights of its upsampler.
pub fn bundle(data: &[u8]) {
    let [card, tokenizer, prompts, upsampler] = parts(data);
    let folder = Folder::new();
    folder.write("model.yaml", card);
    for name in [IMAGE_ENCODER, PATCH_ENCODER, PIXEL_DECODER, TEXT_ENCODER] {
        folder.write(name, b"no TorchScript");
    }
    folder.write(TOKENIZER, tokenizer);
    folder.write(UPSAMPLER, upsampler);
    let mut facts = [CONTEXT, 16, 4];
    match Bundle::open(folder.path(), Trust::User) {
        Ok(bundle) => {
            let sizes = bundle.card.sizes;
            facts = [sizes.context, sizes.patch, sizes.embed_dim];
            bundle.normalisation();
            bundle.upsampler();
            let told = bundle.describe().and_then(|_| bundle.text_fingerprint());
            told.expect("a card that was read is told");
        }
        Err(error) => refused(&error),
    }
    // None of the files has the hash that a card could name, unless it was written for it.
    if let Err(error) = Bundle::open(folder.path(), Trust::Hashes) {
        refused(&error);
    }
    let [context, patch, depth] = facts;
    if let Err(error) = encode(&folder, context, &String::from_utf8_lossy(prompts)) {
        refused(&error);
    }
    if !upsampler.is_empty()
        && let Err(error) = Upsampler::load(
            &folder.path().join(UPSAMPLER),
            patch,
            depth,
            1,
            KernelPrecision::Float32,
            Shortcuts::default(),
        )
    {
        refused(&error);
    }
}

fn encode(folder: &Folder, context: usize, prompts: &str) -> Result<()> {
    let tokenizer = Tokenizer::from_file(&folder.path().join(TOKENIZER))?.with_context(context);
    let again = Tokenizer::from_json_bytes(&tokenizer.to_json()?)?.with_context(context);
    for prompt in prompts.lines().take(8) {
        let ids = tokenizer.encode(prompt)?;
        assert!(ids.len() <= context.max(2) && ids.iter().all(|&id| (id as usize) < tokenizer.vocabulary_size()));
        assert_eq!(ids, again.encode(prompt)?, "the tokenizer that was written is another");
        tokenizer.unknown_words(prompt)?;
    }
    tokenizer.encode_batch(&prompts.lines().take(8).collect::<Vec<_>>())?;
    Ok(())
}
