//! Comparison with OpenAI's own tokenizer and templates.

use segearth_testing::shared;

use super::*;

#[derive(serde::Deserialize)]
struct Tokens {
    context_length: usize,
    cases: Vec<Case>,
}

#[derive(serde::Deserialize)]
struct Case {
    text: String,
    tokens: Vec<i64>,
}

fn compare(tokenizer: &Tokenizer, path: &std::path::Path) {
    let expected: Tokens = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(expected.context_length, CONTEXT);
    assert!(expected.cases.len() >= 26, "only {} cases", expected.cases.len());
    for case in expected.cases {
        let batch = tokenizer.encode_batch(&[&case.text]).unwrap();
        assert_eq!(case.tokens[..batch.columns], batch.ids, "{:?}", case.text);
        assert!(case.tokens[batch.columns..].iter().all(|id| *id == 0), "{:?}", case.text);
    }
}

#[test]
fn token_ids_equal_openai_from_both_kinds_of_file() {
    let (Some(merges), Some(tokens)) = (shared("parity/bpe_simple_vocab_16e6.txt.gz"), shared("parity/tokens.json"))
    else {
        return;
    };
    let from_merges = Tokenizer::from_file(&merges).unwrap();
    assert_eq!((from_merges.vocabulary_size(), from_merges.start_id(), from_merges.end_id()), (49408, 49406, 49407));
    assert!(from_merges.unknown_words("建物 Zwölfprozentiger 🛰️ qwertz").unwrap().is_empty());
    compare(&from_merges, &tokens);

    let json = from_merges.to_json().unwrap();
    let from_json = Tokenizer::from_json_bytes(&json).unwrap();
    compare(&from_json, &tokens);
    assert_eq!(from_json.to_json().unwrap(), json);

    // Our file in other programs, for prompts that need no clean-up.
    let other = tokenizers::Tokenizer::from_bytes(&json).unwrap();
    for prompt in ["A photo of a BUILDING.", "ground-track  field", "it's 1234 m²", "étang, forêt"] {
        assert_eq!(other.encode(prompt, true).unwrap().get_ids(), from_json.encode(prompt).unwrap(), "{prompt}");
    }
}

#[test]
fn templates_equal_clip() {
    let Some(path) = shared("parity/templates.json") else { return };
    let expected: Vec<String> = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(imagenet_templates(), expected);
}
