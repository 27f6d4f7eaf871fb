//! The vocabulary of a byte-level BPE in CLIP's layout, read from either kind of file.
//!
//! OpenAI's merges file only lists merges; the ids follow from their order. A `tokenizer.json` (the Hugging Face layout)
//! has explicit ids. Both are checked completely before the tokenizer library gets them.

#![expect(clippy::indexing_slicing, reason = "tables of all 256 bytes, and a token that was found in the map")]

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::LazyLock;

use flate2::read::MultiGzDecoder;
use serde::Deserialize;

use crate::error::{Context, Error, Result};

/// Marks the symbol that ends a word.
pub(super) const END_OF_WORD: &str = "</w>";

/// The special tokens in OpenAI's and in open_clip's names.
const START_NAMES: [&str; 2] = ["<|startoftext|>", "<start_of_text>"];
const END_NAMES: [&str; 2] = ["<|endoftext|>", "<end_of_text>"];

/// Merges that OpenAI's tokenizer uses of its file, which has five times as many lines.
const MAX_MERGES: usize = 49_152 - 256 - 2;

/// Largest id.
const MAX_ID: u32 = 1 << 22;

const GZIP: [u8; 2] = [0x1f, 0x8b];
const HINT: &str =
    "Use the tokenizer that belongs to the model: CLIP's bpe_simple_vocab_16e6.txt.gz or its tokenizer.json.";

/// Tokens, their ids and merges, checked.
#[derive(Clone, Debug)]
pub(super) struct Vocabulary {
    pub ids: HashMap<String, u32>,
    /// In the order of their rank; both parts and their union are tokens.
    pub merges: Vec<(String, String)>,
    pub start: String,
    pub end: String,
    /// The token for unknown symbols, if there is one.
    pub unknown: Option<String>,
    /// Tokens that the model never met in training.
    pub untrained: BTreeSet<String>,
}

impl Vocabulary {
    /// OpenAI's layout: byte symbols, the same ending a word, the merges in their order, start, end.
    pub fn from_ordered_merges(merges: Vec<(String, String)>) -> Self {
        let symbols = byte_symbols();
        let mut tokens: Vec<String> = symbols.iter().map(char::to_string).collect();
        tokens.extend(symbols.iter().map(|symbol| format!("{symbol}{END_OF_WORD}")));
        let mut known: HashSet<String> = tokens.iter().cloned().collect();
        // A learned list may have two merges with the same result, which has one id.
        tokens.extend(
            merges.iter().map(|(left, right)| format!("{left}{right}")).filter(|made| known.insert(made.clone())),
        );
        let (start, end) = (START_NAMES[0].to_owned(), END_NAMES[0].to_owned());
        tokens.extend([start.clone(), end.clone()]);
        Self {
            ids: tokens.into_iter().zip(0u32..).collect(),
            merges,
            start,
            end,
            unknown: None,
            untrained: BTreeSet::new(),
        }
    }

    /// Reads a merges file: a header, then a merge a line, of which the first 48,894 count.
    pub fn from_merges_text(text: &str) -> Result<Self> {
        let mut lines = text.lines().zip(1usize..);
        let header = lines.next().map_or("", |(header, _)| header);
        if !header.contains("#version") {
            let found: String = header.chars().take(40).collect();
            return Err(
                Error::input(format!("line 1 is {found:?}, not \"#version\" as in a BPE merges file")).with_hint(HINT)
            );
        }
        let symbols = byte_symbols();
        let mut known: BTreeSet<String> = symbols.iter().map(char::to_string).collect();
        known.extend(symbols.iter().map(|symbol| format!("{symbol}{END_OF_WORD}")));
        let mut merges = Vec::new();
        for (line, number) in lines.take(MAX_MERGES) {
            if line.is_empty() {
                continue;
            }
            let error = |what: String| Error::input(format!("line {number} {what}")).with_hint(HINT);
            let parts: Vec<&str> = line.split(' ').collect();
            let &[left, right] = parts.as_slice() else {
                return Err(error(format!("has {} words, not 2", parts.len())));
            };
            if let Some(part) = [left, right].into_iter().find(|part| !known.contains(*part)) {
                return Err(error(format!("merges {part:?}, which is neither a byte nor the result of a line above")));
            }
            if left.ends_with(END_OF_WORD) {
                return Err(error(format!("merges {left:?}, the end of a word, with a following symbol")));
            }
            if !known.insert(format!("{left}{right}")) {
                return Err(error(format!("results in \"{left}{right}\", as a line above does")));
            }
            merges.push((left.to_owned(), right.to_owned()));
        }
        Ok(Self::from_ordered_merges(merges))
    }

    /// Reads a `tokenizer.json`: only a byte-level BPE with CLIP's two special tokens is accepted.
    pub fn from_json(bytes: &[u8]) -> Result<Self> {
        let file: JsonFile = serde_json::from_slice(bytes)
            .map_err(|cause| Error::input("the file is not a tokenizer.json").with_source(cause).with_hint(HINT))?;
        let foreign =
            |what: String| Error::input(format!("the tokenizer is not of CLIP's kind: {what}")).with_hint(HINT);
        let model = file.model;
        if model.kind.as_deref().is_some_and(|kind| kind != "BPE") {
            return Err(foreign(format!("the model is {:?}, not BPE", model.kind.unwrap_or_default())));
        }
        if model.end_of_word_suffix.as_deref() != Some(END_OF_WORD) {
            let found = model.end_of_word_suffix;
            return Err(foreign(format!("words end in {found:?}, not in {END_OF_WORD:?}")));
        }
        if model.continuing_subword_prefix.is_some_and(|prefix| !prefix.is_empty()) {
            return Err(foreign("inner parts of words have a prefix".into()));
        }
        if model.byte_fallback || model.ignore_merges {
            return Err(foreign("byte_fallback or ignore_merges is set".into()));
        }
        if !mentions(&file.pre_tokenizer, "ByteLevel") {
            return Err(foreign("the pre-tokenizer is not byte-level".into()));
        }

        let mut ids = model.vocab;
        for token in file.added_tokens {
            if *ids.entry(token.content.clone()).or_insert(token.id) != token.id {
                return Err(foreign(format!("{:?} has two different ids", token.content)));
            }
        }
        let mut seen = HashMap::new();
        for (token, &id) in &ids {
            if id > MAX_ID {
                return Err(foreign(format!("{token:?} has the id {id}, above the maximum of {MAX_ID}")));
            }
            if let Some(other) = seen.insert(id, token) {
                return Err(foreign(format!("{token:?} and {other:?} have the same id {id}")));
            }
        }
        let special = |names: [&str; 2]| names.into_iter().find(|name| ids.contains_key(*name)).map(str::to_owned);
        let start = special(START_NAMES).ok_or_else(|| foreign(format!("there is no token {:?}", START_NAMES[0])))?;
        let end = special(END_NAMES).ok_or_else(|| foreign(format!("there is no token {:?}", END_NAMES[0])))?;
        if let Some((token, id)) = ids.iter().find(|(_, id)| **id > ids[&end]) {
            let end_id = ids[&end];
            return Err(foreign(format!(
                "{token:?} has the id {id}, above the end token's {end_id}, which must be the largest"
            )));
        }

        let merges = model.merges.into_iter().map(JsonMerge::parts).collect::<Option<Vec<_>>>();
        let merges = merges.ok_or_else(|| foreign("a merge is not a pair".into()))?;
        let ranks: BTreeSet<&(String, String)> = merges.iter().collect();
        if ranks.len() < merges.len() {
            return Err(foreign("a merge is listed twice".into()));
        }
        for (left, right) in &merges {
            let union = format!("{left}{right}");
            if left.is_empty() || right.is_empty() || left.ends_with(END_OF_WORD) {
                return Err(foreign(format!("{left:?} is merged with {right:?}")));
            }
            if let Some(absent) = [left, right, &union].into_iter().find(|part| !ids.contains_key(*part)) {
                return Err(foreign(format!("{left:?} is merged with {right:?}, but {absent:?} is not a token")));
            }
        }
        // CLIP's file names the end token here; in the middle of a prompt that would end it.
        let unknown = model.unk_token.filter(|token| *token != end && *token != start && ids.contains_key(token));
        let untrained = file.untrained.into_iter().collect();
        Ok(Self { ids, merges, start, end, unknown, untrained })
    }
}

/// The 256 characters that stand for bytes, in the order of CLIP's ids: printable ones as themselves, then the rest.
fn byte_symbols() -> Vec<char> {
    let (printable, others): (Vec<u8>, Vec<u8>) = (0..=u8::MAX).partition(|byte| is_printable(*byte));
    printable.into_iter().chain(others).map(|byte| SYMBOLS[usize::from(byte)]).collect()
}

/// A word in the characters that stand for its bytes.
pub(super) fn spell(word: &str) -> String {
    word.bytes().map(|byte| SYMBOLS[usize::from(byte)]).collect()
}

/// The character that stands for each byte.
static SYMBOLS: LazyLock<[char; 256]> = LazyLock::new(|| {
    let mut table = ['\0'; 256];
    let mut others = '\u{100}'..;
    for byte in 0..=u8::MAX {
        let symbol = if is_printable(byte) { Some(char::from(byte)) } else { others.next() };
        table[usize::from(byte)] = symbol.unwrap_or_default();
    }
    table
});

fn is_printable(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7E | 0xA1..=0xAC | 0xAE..=0xFF)
}

/// Reads a whole file, unpacked where it is gzipped; more than `limit` bytes are refused.
pub(super) fn read_limited(path: &Path, limit: u64) -> Result<Vec<u8>> {
    let file = File::open(path).input(|| "cannot open the file".into())?;
    let packed = read_to(file, limit)?;
    if packed.starts_with(&GZIP) { read_to(MultiGzDecoder::new(packed.as_slice()), limit) } else { Ok(packed) }
}

fn read_to(from: impl Read, limit: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    from.take(limit + 1).read_to_end(&mut bytes).input(|| "cannot read the whole file".into())?;
    if bytes.len() as u64 > limit {
        return Err(Error::input(format!("the file has more than the {} MiB allowed", limit >> 20)));
    }
    Ok(bytes)
}

/// Whether any object below has this `type`.
fn mentions(value: &serde_json::Value, kind: &str) -> bool {
    match value {
        serde_json::Value::Object(fields) => {
            fields.get("type").is_some_and(|found| found == kind) || fields.values().any(|field| mentions(field, kind))
        }
        serde_json::Value::Array(items) => items.iter().any(|item| mentions(item, kind)),
        _ => false,
    }
}

#[derive(Deserialize)]
struct JsonFile {
    #[serde(default)]
    added_tokens: Vec<JsonToken>,
    #[serde(default)]
    pre_tokenizer: serde_json::Value,
    model: JsonModel,
    /// Ours: tokens that the model never met in training. Other readers pass over it.
    #[serde(default)]
    untrained: Vec<String>,
}

#[derive(Deserialize)]
struct JsonToken {
    id: u32,
    content: String,
}

#[derive(Deserialize)]
struct JsonModel {
    #[serde(rename = "type")]
    kind: Option<String>,
    vocab: HashMap<String, u32>,
    merges: Vec<JsonMerge>,
    unk_token: Option<String>,
    end_of_word_suffix: Option<String>,
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    byte_fallback: bool,
    #[serde(default)]
    ignore_merges: bool,
}

/// Older files write a merge as one text with a space.
#[derive(Deserialize)]
#[serde(untagged)]
enum JsonMerge {
    Text(String),
    Pair(String, String),
}

impl JsonMerge {
    fn parts(self) -> Option<(String, String)> {
        match self {
            Self::Text(text) => text.split_once(' ').map(|(left, right)| (left.to_owned(), right.to_owned())),
            Self::Pair(left, right) => Some((left, right)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_follow_the_order_of_bytes_and_merges() {
        let vocabulary = Vocabulary::from_merges_text("#version: 0.2\nr o\nro a\nroa d</w>\n").unwrap();
        for (token, id) in [
            ("!", 0),
            ("a", 64),
            ("ÿ", 187),
            ("Ā", 188),
            ("Ń", 255),
            ("!</w>", 256),
            ("ro", 512),
            ("road</w>", 514),
            ("<|startoftext|>", 515),
            ("<|endoftext|>", 516),
        ] {
            assert_eq!(vocabulary.ids[token], id, "{token}");
        }
        assert_eq!(spell("a b"), "aĠb");
    }

    #[test]
    fn invalid_merges_are_refused_with_their_line() {
        for (text, expected) in [
            ("r o\nro a", "line 1 is \"r o\""),
            ("#version\nr o\nroa d", "line 3 merges \"roa\""),
            ("#version\nr o\n\nr o", "line 4 results in \"ro\""),
            ("#version\nr", "line 2 has 1 words"),
            ("#version\na</w> b", "line 2 merges \"a</w>\", the end"),
            ("#version\nro o", "line 2 merges \"ro\""),
            ("", "line 1 is \"\""),
        ] {
            let error = Vocabulary::from_merges_text(text).unwrap_err();
            assert!(error.to_string().starts_with(expected), "{error}");
            assert_eq!(error.exit_code(), 1);
        }
    }

    #[test]
    fn decompression_is_limited() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("zeros.gz");
        let mut packer = flate2::write::GzEncoder::new(File::create(&path).unwrap(), flate2::Compression::best());
        std::io::copy(&mut std::io::repeat(b'\n').take(3 << 20), &mut packer).unwrap();
        packer.finish().unwrap();
        assert_eq!(read_limited(&path, 3 << 20).unwrap().len(), 3 << 20);
        let message = read_limited(&path, 2 << 20).unwrap_err().to_string();
        assert_eq!(message, "the file has more than the 2 MiB allowed");
    }

    /// A small file in the Hugging Face layout, with one piece replaced.
    fn json(from: &str, to: &str) -> Result<Vocabulary> {
        let good = r#"{"added_tokens": [{"id": 4, "content": "<|endoftext|>"}],
            "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}]},
            "model": {"type": "BPE", "unk_token": "<|endoftext|>", "end_of_word_suffix": "</w>",
                "vocab": {"a": 0, "b</w>": 1, "ab</w>": 2, "<|startoftext|>": 3}, "merges": ["a b</w>"]}}"#;
        assert!(good.contains(from), "{from}");
        Vocabulary::from_json(good.replacen(from, to, 1).as_bytes())
    }

    #[test]
    fn both_forms_of_merges_in_json_are_read() {
        for spelling in [r#""a b</w>""#, r#"["a", "b</w>"]"#] {
            let vocabulary = json(r#""a b</w>""#, spelling).unwrap();
            assert_eq!(vocabulary.merges, [("a".to_owned(), "b</w>".to_owned())]);
            assert_eq!((vocabulary.ids.len(), vocabulary.unknown), (5, None));
        }
    }

    #[test]
    fn unsupported_json_is_refused() {
        for (from, to, expected) in [
            ("BPE", "WordPiece", "the model is \"WordPiece\""),
            ("</w>", "_", "words end in Some(\"_\")"),
            ("ByteLevel", "Metaspace", "not byte-level"),
            ("\"a b</w>\"", "\"a c</w>\"", "\"c</w>\" is not a token"),
            ("\"a b</w>\"", "\" b</w>\"", "\"\" is merged with"),
            ("\"a b</w>\"", "\"a b</w>\", \"a b</w>\"", "a merge is listed twice"),
            ("\"id\": 4", "\"id\": 2", "have the same id 2"),
            ("\"id\": 4", "\"id\": 4000000000", "above the maximum of"),
            ("\"b</w>\": 1", "\"b</w>\": 9", "above the end token's 4"),
            ("startoftext", "begin", "no token \"<|startoftext|>\""),
            ("{\"added", "[\"added", "the file is not a tokenizer.json"),
        ] {
            let message = json(from, to).unwrap_err().to_string();
            assert!(message.contains(expected), "{to}: {message}");
        }
    }
}
