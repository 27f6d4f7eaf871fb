//! From prompts to token ids, equal to OpenAI's tokenizer.

use std::path::Path;

use fancy_regex::Regex;
use serde_json::Value;
use tokenizers::models::bpe::{BPE, Vocab};
use tokenizers::normalizers::replace::ReplacePattern;
use tokenizers::normalizers::utils::Lowercase;
use tokenizers::normalizers::{NFC, Replace, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence as PreTokenizers;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::processors::roberta::RobertaProcessing;
use tokenizers::{AddedToken, Model, SplitDelimiterBehavior};

use super::vocabulary::{END_OF_WORD, Vocabulary, read_limited, spell};
use super::{CONTEXT, MAX_FILE_BYTES, MAX_PROMPT_CHARS, clean};
use crate::error::{Context, Error, Result};

/// The pattern of words in cleaned text, besides the two special tokens.
pub(super) const WORDS: &str = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+";

/// Several prompts as the rows of one array, with as many columns as the longest one needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenBatch {
    pub rows: usize,
    pub columns: usize,
    /// (row, column), `rows × columns`; 0 after a row's end token.
    pub ids: Vec<i64>,
}

/// Encodes prompts as tokens of a CLIP text tower.
#[derive(Debug)]
pub struct Tokenizer {
    vocabulary: Vocabulary,
    start: u32,
    end: u32,
    size: usize,
    context: usize,
    words: Regex,
    bpe: BPE,
}

impl Tokenizer {
    /// Reads either kind of file, plain or gzipped, detected by its content: OpenAI's BPE merges or a `tokenizer.json`.
    pub fn from_file(path: &Path) -> Result<Self> {
        Self::read(path, |bytes| match bytes.iter().find(|byte| !byte.is_ascii_whitespace()) {
            Some(b'{') => Self::from_json_bytes(bytes),
            _ => Self::from_bpe_bytes(bytes),
        })
    }

    /// Reads OpenAI's BPE merges, plain or gzipped.
    pub fn from_bpe_file(path: &Path) -> Result<Self> {
        Self::read(path, Self::from_bpe_bytes)
    }

    /// Reads a `tokenizer.json` in the Hugging Face layout, as [`Tokenizer::to_json`] writes it too.
    pub fn from_json_file(path: &Path) -> Result<Self> {
        Self::read(path, Self::from_json_bytes)
    }

    fn read(path: &Path, parse: impl FnOnce(&[u8]) -> Result<Self>) -> Result<Self> {
        read_limited(path, MAX_FILE_BYTES)
            .and_then(|bytes| parse(&bytes))
            .input(|| format!("cannot read the tokenizer {}", path.display()))
            .map_err(|error| match error.hint() {
                Some(_) => error,
                None => error.with_hint("Use the model's tokenizer.json, or CLIP's bpe_simple_vocab_16e6.txt.gz."),
            })
    }

    /// Reads the content of an unpacked merges file.
    pub fn from_bpe_bytes(bytes: &[u8]) -> Result<Self> {
        let text = std::str::from_utf8(bytes).input(|| "the file is not UTF-8 text".into())?;
        Vocabulary::from_merges_text(text).and_then(Self::new)
    }

    /// Reads the content of a `tokenizer.json`.
    pub fn from_json_bytes(bytes: &[u8]) -> Result<Self> {
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(Error::input(format!("the file has more than the {} MiB allowed", MAX_FILE_BYTES >> 20)));
        }
        Vocabulary::from_json(bytes).and_then(Self::new)
    }

    pub(super) fn new(vocabulary: Vocabulary) -> Result<Self> {
        let id = |token: &str| vocabulary.ids.get(token).copied();
        let (Some(start), Some(end)) = (id(&vocabulary.start), id(&vocabulary.end)) else {
            return Err(Error::internal("the vocabulary has no start or no end token"));
        };
        let size = vocabulary.ids.values().max().map_or(0, |largest| *largest as usize + 1);
        let words = Regex::new(&word_pattern(&vocabulary)).internal(|| "the pattern of words is invalid".into())?;
        let bpe = build_bpe(&vocabulary)?;
        Ok(Self { vocabulary, start, end, size, context: CONTEXT, words, bpe })
    }

    /// Sets the number of tokens that the text tower takes, in place of CLIP's 77; at least 2.
    #[must_use]
    pub fn with_context(mut self, context: usize) -> Self {
        self.context = context.max(2);
        self
    }

    /// Number of rows that the text tower's embedding table has for this vocabulary: the largest id plus one.
    pub fn vocabulary_size(&self) -> usize {
        self.size
    }

    pub fn start_id(&self) -> u32 {
        self.start
    }

    /// The largest id of all: where the text tower takes a prompt's feature.
    pub fn end_id(&self) -> u32 {
        self.end
    }

    pub fn context(&self) -> usize {
        self.context
    }

    /// Returns an error unless the tokenizer fits a text tower with an embedding of `rows`.
    pub fn check_embedding(&self, rows: usize) -> Result<()> {
        if rows == self.size {
            return Ok(());
        }
        let size = self.size;
        Err(Error::input(format!("the tokenizer has {size} tokens, but the text tower's embedding has {rows} rows"))
            .with_hint("Use the tokenizer that was published with these weights."))
    }

    /// Returns the token ids of a prompt: start, words, end, without padding. Longer prompts are truncated to the context; the end token
    /// remains.
    ///
    /// # Errors
    /// A prompt of more than [`MAX_PROMPT_CHARS`] characters.
    pub fn encode(&self, prompt: &str) -> Result<Vec<u32>> {
        let mut ids = vec![self.start];
        for word in self.words(prompt)? {
            if ids.len() >= self.context {
                break;
            }
            ids.extend(self.word_ids(&word)?);
        }
        ids.truncate(self.context - 1);
        ids.push(self.end);
        Ok(ids)
    }

    /// Number of tokens of a prompt, start and end among them, before it is cut to the context.
    ///
    /// # Errors
    /// As [`encode`](Self::encode).
    pub fn count(&self, prompt: &str) -> Result<usize> {
        self.words(prompt)?.iter().try_fold(2, |count, word| Ok(count + self.word_ids(word)?.len()))
    }

    /// Encodes prompts as the rows of one array. Attention is causal, so columns after the longest row are left out.
    pub fn encode_batch<S: AsRef<str>>(&self, prompts: &[S]) -> Result<TokenBatch> {
        let rows = prompts.iter().map(|prompt| self.encode(prompt.as_ref())).collect::<Result<Vec<_>>>()?;
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let padded = |row: &Vec<u32>| {
            let padding = columns - row.len();
            row.iter().map(|id| i64::from(*id)).chain(std::iter::repeat_n(0, padding)).collect::<Vec<_>>()
        };
        Ok(TokenBatch { rows: rows.len(), columns, ids: rows.iter().flat_map(padded).collect() })
    }

    /// Returns the words of a prompt that are not in the model's vocabulary: their spelling needs a symbol outside of it, or a token that
    /// never occurred in training. Each once, cleaned, in the prompt's order; for CLIP's own vocabulary always none.
    pub fn unknown_words(&self, prompt: &str) -> Result<Vec<String>> {
        let mut unknown = Vec::new();
        for word in self.words(prompt)? {
            if !unknown.contains(&word) && !self.knows(&word)? {
                unknown.push(word);
            }
        }
        Ok(unknown)
    }

    fn knows(&self, word: &str) -> Result<bool> {
        if self.is_special(word) {
            return Ok(true);
        }
        let spelling = spell(word);
        let mut symbols = spelling.chars().peekable();
        while let Some(symbol) = symbols.next() {
            let suffix = if symbols.peek().is_none() { END_OF_WORD } else { "" };
            if !self.vocabulary.ids.contains_key(&format!("{symbol}{suffix}")) {
                return Ok(false);
            }
        }
        let tokens = self.bpe.tokenize(&spelling).map_err(broken)?;
        Ok(!tokens.iter().any(|token| self.vocabulary.untrained.contains(&token.value)))
    }

    /// The cleaned words of a prompt, special tokens among them.
    fn words(&self, prompt: &str) -> Result<Vec<String>> {
        if let Some((at, _)) = prompt.char_indices().nth(MAX_PROMPT_CHARS) {
            let head: String = prompt[..at].chars().take(40).collect();
            return Err(Error::input(format!(
                "the prompt that begins with {head:?} has more than the {MAX_PROMPT_CHARS} characters allowed"
            )));
        }
        let cleaned = clean(prompt);
        self.words
            .find_iter(&cleaned)
            .map(|found| found.map(|found| found.as_str().to_owned()))
            .collect::<Result<_, _>>()
            .internal(|| "cannot split a prompt into words".into())
    }

    fn word_ids(&self, word: &str) -> Result<Vec<u32>> {
        if self.is_special(word) {
            return Ok(vec![if word == self.vocabulary.start { self.start } else { self.end }]);
        }
        let tokens = self.bpe.tokenize(&spell(word)).map_err(broken)?;
        Ok(tokens.into_iter().map(|token| token.id).collect())
    }

    fn is_special(&self, word: &str) -> bool {
        word == self.vocabulary.start || word == self.vocabulary.end
    }

    /// The whole tokenizer as a `tokenizer.json`, which other programs can read as well.
    pub fn to_json(&self) -> Result<Vec<u8>> {
        let pattern = SplitPattern::Regex(word_pattern(&self.vocabulary));
        let split = Split::new(pattern, SplitDelimiterBehavior::Removed, true).map_err(broken)?;
        let spaces = Replace::new(ReplacePattern::Regex(r"\s+".into()), " ").map_err(broken)?;
        let specials = [&self.vocabulary.start, &self.vocabulary.end];

        let mut file = tokenizers::Tokenizer::new(build_bpe(&self.vocabulary)?);
        file.with_normalizer(Some(Normalizers::new(vec![NFC.into(), spaces.into(), Lowercase.into()])))
            .map_err(broken)?;
        file.with_pre_tokenizer(Some(PreTokenizers::new(vec![split.into(), byte_level().into()])))
            .with_post_processor(Some(
                RobertaProcessing::new((specials[1].clone(), self.end), (specials[0].clone(), self.start))
                    .trim_offsets(false)
                    .add_prefix_space(false),
            ))
            .with_decoder(Some(byte_level()));
        file.add_special_tokens(specials.map(|token| AddedToken::from(token.as_str(), true))).map_err(broken)?;

        let mut json = serde_json::to_value(&file).internal(|| "cannot write the tokenizer".into())?;
        if let (Value::Object(fields), false) = (&mut json, self.vocabulary.untrained.is_empty()) {
            fields.insert("untrained".into(), self.vocabulary.untrained.iter().cloned().collect());
        }
        serde_json::to_vec(&json).internal(|| "cannot write the tokenizer".into())
    }
}

fn byte_level() -> ByteLevel {
    ByteLevel::new(false, true, false)
}

fn word_pattern(vocabulary: &Vocabulary) -> String {
    let specials = [&vocabulary.start, &vocabulary.end].map(|token| fancy_regex::escape(token).into_owned());
    format!("(?i){}|{}|{WORDS}", specials[0], specials[1])
}

fn build_bpe(vocabulary: &Vocabulary) -> Result<BPE> {
    let ids: Vocab = vocabulary.ids.iter().map(|(token, id)| (token.clone(), *id)).collect();
    let mut builder = BPE::builder()
        .vocab_and_merges(ids, vocabulary.merges.clone())
        .continuing_subword_prefix(String::new())
        .end_of_word_suffix(END_OF_WORD.into());
    if let Some(unknown) = &vocabulary.unknown {
        builder = builder.unk_token(unknown.clone());
    }
    builder.build().map_err(broken)
}

/// Vocabularies are checked before the library gets them, so that its errors are our defects.
fn broken(cause: tokenizers::Error) -> Error {
    Error::internal("the tokenizer failed on a checked vocabulary").with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MERGES: &str = "#version: 0.2\nr o\nro a\nroa d</w>\n";
    /// Ids of the test vocabulary: r 81, o 78, d</w> 323, ro 512, roa 513, road</w> 514.
    const START: u32 = 515;
    const END: u32 = 516;

    fn tiny() -> Tokenizer {
        Tokenizer::new(Vocabulary::from_merges_text(MERGES).unwrap()).unwrap()
    }

    #[test]
    fn words_are_split_and_merged() {
        let tokenizer = tiny();
        for (prompt, words) in [
            ("Road", vec![514]),
            ("ro road!", vec![81, 334, 514, 256]),
            ("rod's", vec![512, 323, 6, 338]),
            ("roa12", vec![512, 320, 272, 273]),
            ("<|EndOfText|>road", vec![END, 514]),
            ("", vec![]),
        ] {
            let expected = [vec![START], words, vec![END]].concat();
            assert_eq!(tokenizer.encode(prompt).unwrap(), expected, "{prompt}");
        }
    }

    #[test]
    fn long_prompt_is_truncated_before_the_end_token() {
        let tokenizer = tiny().with_context(4);
        assert_eq!(tokenizer.encode("road road").unwrap(), [START, 514, 514, END]);
        assert_eq!(tokenizer.encode("road road road").unwrap(), [START, 514, 514, END]);
        assert_eq!(tiny().encode(&"road ".repeat(100)).unwrap().len(), CONTEXT);
        assert_eq!(tokenizer.count("road road road").unwrap(), 5);
        assert_eq!(tiny().count(&"road ".repeat(100)).unwrap(), 102);
    }

    #[test]
    fn batch_has_the_columns_of_its_longest_row() {
        let batch = tiny().encode_batch(&["road road", "road"]).unwrap();
        let (start, end) = (i64::from(START), i64::from(END));
        assert_eq!((batch.rows, batch.columns), (2, 4));
        assert_eq!(batch.ids, [start, 514, 514, end, start, 514, end, 0]);
    }

    #[test]
    fn too_long_prompt_is_refused() {
        assert!(tiny().encode(&"a".repeat(MAX_PROMPT_CHARS)).is_ok());
        let error = tiny().encode(&"a".repeat(MAX_PROMPT_CHARS + 1)).unwrap_err();
        assert!(error.to_string().ends_with("more than the 10000 characters allowed"), "{error}");
    }

    #[test]
    fn tokenizer_of_another_model_is_refused_with_both_sizes() {
        assert!(tiny().check_embedding(517).is_ok());
        let error = tiny().check_embedding(49408).unwrap_err();
        assert_eq!(error.to_string(), "the tokenizer has 517 tokens, but the text tower's embedding has 49408 rows");
    }

    #[test]
    fn written_file_is_read_back_equal() {
        let json = tiny().to_json().unwrap();
        let again = Tokenizer::from_json_bytes(&json).unwrap();
        assert_eq!(again.to_json().unwrap(), json);
        assert_eq!(again.encode("Roads & rod").unwrap(), tiny().encode("Roads & rod").unwrap());
    }

    #[test]
    fn words_outside_the_vocabulary_are_named() {
        let json = String::from_utf8(tiny().to_json().unwrap()).unwrap();
        assert!(tiny().unknown_words("Zebra éé").unwrap().is_empty());
        let without_z = json.replacen("\"z\":89,", "", 1);
        assert_ne!(json, without_z);
        let small = Tokenizer::from_json_bytes(without_z.as_bytes()).unwrap();
        assert_eq!(small.unknown_words("road Zebra zebra z Zoo").unwrap(), ["zebra", "zoo"]);
        // Without a token for unknown symbols, the symbol is ignored.
        assert_eq!(small.encode("zroad").unwrap(), tiny().encode("road").unwrap());
    }

    #[test]
    fn file_format_is_detected_by_content() {
        let directory = tempfile::tempdir().unwrap();
        for (name, content) in [("a", MERGES.as_bytes().to_vec()), ("b", tiny().to_json().unwrap())] {
            let path = directory.path().join(name);
            std::fs::write(&path, content).unwrap();
            assert_eq!(Tokenizer::from_file(&path).unwrap().vocabulary_size(), 517);
        }
        let absent = Tokenizer::from_file(&directory.path().join("c")).unwrap_err();
        assert!(absent.to_string().starts_with("cannot read the tokenizer"), "{absent}");
    }
}
