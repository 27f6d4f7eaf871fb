//! From prompts to queries: fills templates, encodes tokens, averages features, and caches the result on disk.

use std::fs;
use std::path::PathBuf;

use sha2::{Digest, Sha256};

use super::text::{Tokenizer, fill};
use super::{Queries, TextEncoder};
use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::hash;

/// Filled templates that go through the text tower at once.
const BATCH: usize = 80;

/// Marks the files of the cache, and their layout's version.
const MAGIC: &[u8; 8] = b"segeaq01";

/// What a set of queries depends on.
#[derive(Clone, Copy, Debug)]
pub struct Wording<'a> {
    pub prompts: &'a [String],
    /// Each with one `{}`; `["{}"]` for the bare prompt.
    pub templates: &'a [String],
}

/// Encodes every prompt in every template: each feature to unit length, averaged over the templates, to unit length again.
///
/// `progress` hears of every prompt done.
pub fn encode(
    wording: Wording<'_>,
    tokenizer: &Tokenizer,
    encoder: &mut dyn TextEncoder,
    mut progress: impl FnMut(usize),
) -> Result<Queries> {
    let mut features = Vec::new();
    for (index, prompt) in wording.prompts.iter().enumerate() {
        let texts: Vec<String> = wording.templates.iter().map(|template| fill(template, prompt)).collect();
        let mut sum: Vec<f64> = Vec::new();
        for texts in texts.chunks(BATCH) {
            let encoded = encoder.encode(&tokenizer.encode_batch(texts)?)?;
            let width = encoded.len() / texts.len();
            sum.resize(width, 0.0);
            for feature in encoded.chunks_exact(width) {
                let norm = norm(feature.iter().map(|&value| f64::from(value)));
                sum.iter_mut().zip(feature).for_each(|(sum, &value)| *sum += f64::from(value) / norm);
            }
        }
        let norm = norm(sum.iter().copied());
        features.extend(sum.iter().map(|value| (value / norm) as f32));
        progress(index + 1);
    }
    if features.iter().any(|value| !value.is_finite()) {
        return Err(Error::input("the text features are not finite numbers")
            .with_hint("The weights are damaged or belong to another model; import them again."));
    }
    let count = wording.prompts.len();
    Ok(Queries { count, width: features.len() / count.max(1), features })
}

fn norm(values: impl Iterator<Item = f64>) -> f64 {
    values.map(|value| value * value).sum::<f64>().sqrt()
}

/// Queries on disk, named by a hash of all they depend on.
#[derive(Clone, Debug)]
pub struct QueryCache {
    folder: PathBuf,
}

impl QueryCache {
    pub fn new(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// In the user's cache folder; `None` where the environment names none.
    pub fn of_user() -> Option<Self> {
        Some(Self::new(super::folders::cache()?.join("queries")))
    }

    /// The file for a wording under a text tower and tokenizer, which `model` identifies by content.
    fn file(&self, model: &str, wording: Wording<'_>) -> PathBuf {
        let mut texts = vec![model.to_owned()];
        for list in [wording.prompts, wording.templates] {
            texts.push(list.len().to_string());
            texts.extend(list.iter().map(|text| text.to_string()));
        }
        self.folder.join(hash::of_texts(texts.iter().map(String::as_str)))
    }

    /// What an earlier job left. A file that is damaged counts as absent.
    pub fn get(&self, model: &str, wording: Wording<'_>) -> Option<Queries> {
        decode(&fs::read(self.file(model, wording)).ok()?).filter(|queries| queries.count == wording.prompts.len())
    }

    /// Stores queries for later jobs.
    pub fn put(&self, model: &str, wording: Wording<'_>, queries: &Queries) -> Result<()> {
        let file = self.file(model, wording);
        fs::create_dir_all(&self.folder).input(|| format!("cannot make the folder {}", self.folder.display()))?;
        atomic::write_file(&file, &encode_file(queries))
    }
}

/// Magic, count, width, features, and a hash over all of them.
fn encode_file(queries: &Queries) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend((queries.count as u64).to_le_bytes());
    bytes.extend((queries.width as u64).to_le_bytes());
    bytes.extend(queries.features.iter().flat_map(|value| value.to_le_bytes()));
    let digest = Sha256::digest(&bytes);
    bytes.extend(digest);
    bytes
}

fn decode(bytes: &[u8]) -> Option<Queries> {
    let (content, digest) = bytes.split_at_checked(bytes.len().checked_sub(32)?)?;
    if Sha256::digest(content).as_slice() != digest {
        return None;
    }
    let numbers = content.strip_prefix(MAGIC)?;
    let (count, numbers) = numbers.split_first_chunk::<8>()?;
    let (width, numbers) = numbers.split_first_chunk::<8>()?;
    let (count, width) = (u64::from_le_bytes(*count) as usize, u64::from_le_bytes(*width) as usize);
    let features: Vec<f32> =
        numbers.chunks_exact(4).filter_map(|b| Some(f32::from_le_bytes(b.try_into().ok()?))).collect();
    (count.checked_mul(width)? == features.len()).then_some(Queries { count, width, features })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cache_returns_only_what_was_stored() {
        let folder = tempfile::tempdir().unwrap();
        let cache = QueryCache::new(folder.path().to_owned());
        let (road, river) = (["road".to_owned()], ["river".to_owned()]);
        let templates = ["a {}.".to_owned()];
        let wording = Wording { prompts: &road, templates: &templates };
        let queries = Queries { count: 1, width: 2, features: vec![0.6, 0.8] };
        assert_eq!(cache.get("m", wording), None);
        cache.put("m", wording, &queries).unwrap();
        assert_eq!(cache.get("m", wording), Some(queries));
        assert_eq!(cache.get("other", wording), None);
        assert_eq!(cache.get("m", Wording { prompts: &river, templates: &templates }), None);

        let file = cache.file("m", wording);
        let mut damaged = fs::read(&file).unwrap();
        damaged[20] ^= 1;
        fs::write(&file, damaged).unwrap();
        assert_eq!(cache.get("m", wording), None);
    }
}
