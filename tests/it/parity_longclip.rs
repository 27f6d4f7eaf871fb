//! Long-CLIP's two text tables, and long texts, against the numbers of the authors' code.

use std::collections::HashMap;

use segearth::model::text::Tokenizer;
use segearth_checkpoint::{Activation, read_clip};
use segearth_testing::shared;
use serde::Deserialize;
use tch::Tensor;

use crate::parity_network::text_tower;

const FEATURES: f64 = 5e-5;

#[test]
fn long_texts_have_the_authors_features() {
    let Some(folder) = shared("parity/more/longclip") else { return };
    let expected: HashMap<String, Tensor> =
        Tensor::read_safetensors(folder.join("expected.safetensors")).expect("expected tensors").into_iter().collect();
    let clip = read_clip(&folder.join("longclip.pt")).expect("a Long-CLIP");
    assert_eq!(clip.sizes.context, 248);
    let found = text_tower(&clip, Activation::QuickGelu).forward(&expected["token_ids"]).expect("features");
    let difference = |to: &str| f64::try_from((&found - &expected[to]).abs().max()).expect("a number");
    println!("largest difference {:.2e}", difference("text_embeddings"));
    assert!(difference("text_embeddings") <= FEATURES, "{:.2e}", difference("text_embeddings"));
    // Either table alone is wrong for long texts: the comparison can fail.
    assert!(difference("wrong_first_table_only") > 10.0 * FEATURES);
    assert!(difference("wrong_second_table_only") > 10.0 * FEATURES);
}

#[derive(Deserialize)]
struct Case {
    text: String,
    context: usize,
    ids: Vec<u32>,
}

#[test]
fn long_texts_are_cut_at_the_context() {
    let Some(merges) = shared("parity/bpe_simple_vocab_16e6.txt.gz") else { return };
    let Some(tokens) = shared("parity/more/longclip/tokens.json") else { return };
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(tokens).expect("tokens")).expect("JSON");
    assert!(cases.iter().any(|case| case.ids.len() > 77) && cases.iter().any(|case| case.ids.len() == 77));
    let tokenizers = [77, 248].map(|context| Tokenizer::from_file(&merges).expect("a tokenizer").with_context(context));
    for case in cases {
        let cut = tokenizers.iter().find(|tokenizer| tokenizer.context() == case.context).expect("77 or 248");
        assert_eq!(cut.encode(&case.text).expect("ids"), case.ids, "{} of {:?}", case.context, case.text);
    }
}
