//! A vocabulary of one's own, for a model that is trained here.

use std::collections::BTreeSet;

use fancy_regex::Regex;
use serde::Deserialize;
use tokenizers::Trainer;
use tokenizers::models::bpe::{BPE, BpeTrainerBuilder};

use super::clean;
use super::tokenizer::{Tokenizer, WORDS};
use super::vocabulary::{END_OF_WORD, Vocabulary, spell};
use crate::error::{Context, Error, Result};

/// Tokens of every vocabulary before its first merge: byte symbols, the same at the end of a word, start and end.
const UNMERGED: usize = 514;

impl Tokenizer {
    /// Learns merges from texts until the vocabulary has `size` tokens or nothing is left to merge, in CLIP's layout and
    /// with its clean-up. The same texts give the same tokenizer. Tokens that spell none of the texts count as untrained:
    /// [`Tokenizer::unknown_words`] names the words that would need them.
    pub fn train<S: AsRef<str>>(texts: &[S], size: usize) -> Result<Self> {
        if size < UNMERGED {
            return Err(Error::input(format!("the vocabulary must have at least {UNMERGED} tokens, not {size}")));
        }
        let pattern = Regex::new(WORDS).internal(|| "the pattern of words is invalid".into())?;
        let cleaned: Vec<String> = texts.iter().map(|text| clean(text.as_ref())).collect();
        let words: Vec<String> = cleaned
            .iter()
            .flat_map(|text| pattern.find_iter(text).filter_map(|found| found.ok()))
            .map(|found| spell(found.as_str()))
            .collect();

        let mut trainer = BpeTrainerBuilder::new()
            .show_progress(false)
            // The library counts only the symbols that it meets; ours are all there. Merges are cut below.
            .vocab_size(size)
            .end_of_word_suffix(END_OF_WORD.into())
            .build();
        let mut learnt = BPE::default();
        trainer.feed(words.iter(), |word| Ok(vec![word.to_owned()])).map_err(failed)?;
        trainer.train(&mut learnt).map_err(failed)?;
        let learnt: Learnt = serde_json::to_value(&learnt)
            .and_then(serde_json::from_value)
            .internal(|| "cannot read the learned merges".into())?;

        let mut vocabulary = Vocabulary::from_ordered_merges(keep(learnt.merges, size - UNMERGED));
        vocabulary.untrained = untrained(&vocabulary, &cleaned)?;
        Self::new(vocabulary)
    }
}

/// Returns the first merges, up to `tokens` different tokens.
fn keep(mut merges: Vec<(String, String)>, tokens: usize) -> Vec<(String, String)> {
    let mut made = BTreeSet::new();
    merges.retain(|(left, right)| {
        let token = format!("{left}{right}");
        made.contains(&token) || made.len() < tokens && made.insert(token)
    });
    merges
}

/// The tokens that none of the texts is spelt with.
fn untrained(vocabulary: &Vocabulary, cleaned: &[String]) -> Result<BTreeSet<String>> {
    let tokenizer = Tokenizer::new(vocabulary.clone())?.with_context(usize::MAX);
    let mut used = BTreeSet::from([tokenizer.start_id(), tokenizer.end_id()]);
    for text in cleaned {
        used.extend(tokenizer.encode(text)?);
    }
    let unused = vocabulary.ids.iter().filter(|(_, id)| !used.contains(id));
    Ok(unused.map(|(token, _)| token.clone()).collect())
}

#[derive(Deserialize)]
struct Learnt {
    merges: Vec<(String, String)>,
}

fn failed(cause: tokenizers::Error) -> Error {
    Error::internal("cannot learn the vocabulary").with_source(cause)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 4] = ["a photo of a river", "a photo of the roads", "River, road & field", "a field of wheat"];

    #[test]
    fn learned_vocabulary_has_its_words_and_no_others() {
        let tokenizer = Tokenizer::train(&TEXTS, 600).unwrap();
        assert_eq!(tokenizer.encode("river").unwrap().len(), 3, "a frequent word becomes one token");
        assert!(tokenizer.unknown_words("A River of Wheat & roads").unwrap().is_empty());
        assert_eq!(tokenizer.unknown_words("river bridge, a bridge").unwrap(), ["bridge"]);
    }

    #[test]
    fn learning_is_repeatable_and_file_is_equal() {
        let first = Tokenizer::train(&TEXTS, 530).unwrap();
        assert_eq!((first.vocabulary_size(), first.start_id(), first.end_id()), (530, 528, 529));
        let json = first.to_json().unwrap();
        assert_eq!(json, Tokenizer::train(&TEXTS, 530).unwrap().to_json().unwrap());
        let again = Tokenizer::from_json_bytes(&json).unwrap();
        assert_eq!(again.encode(TEXTS[2]).unwrap(), first.encode(TEXTS[2]).unwrap());
        assert_eq!(again.unknown_words("river bridge").unwrap(), ["bridge"]);
        assert_eq!(again.to_json().unwrap(), json);
    }

    #[test]
    fn vocabulary_smaller_than_the_bytes_is_refused() {
        assert!(Tokenizer::train(&TEXTS, 500).unwrap_err().to_string().contains("at least 514 tokens"));
    }
}
