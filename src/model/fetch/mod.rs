//! Published models: the catalogue, and the download of their files.
//!
//! Progress goes to the caller. Files are compared with their pinned SHA-256. Where none is known, the hash of the first download is
//! stored beside the file, and a file that no longer has it is refused. A checkpoint from an archive is kept with the hashes of both.

mod catalogue;
mod client;
mod partial;
#[cfg(test)]
mod tests;

use std::fs::File;
use std::path::{Path, PathBuf};

pub use catalogue::{MODELS, Model, Remote, SIMFEATUP, VOCABULARY, upsampler_note};
pub use client::{Checked, Client, Fetched, Progress};

use super::folders;
use crate::atomic::{self, AtomicFile};
use crate::error::{Context, Error, Result};
use crate::hash;

/// Replaces scheme and host of every address: a mirror, or a server in a test.
pub const BASE_VARIABLE: &str = "SEGEARTH_FETCH_BASE";

/// A token for restricted files on Hugging Face; it is sent to no other server.
pub const TOKEN_VARIABLE: &str = "HF_TOKEN";

/// Most bytes of a checkpoint that is published inside a zip archive.
const UNPACKED_LIMIT: u64 = 8 << 30;

/// The files of one model, ready to be imported.
#[derive(Debug)]
pub struct FetchedModel {
    pub clip: Fetched,
    pub tokenizer: Fetched,
    /// `None` if there is no published upsampler for this model's joint width, or none was requested.
    pub upsampler: Option<Fetched>,
}

impl Model {
    /// Downloads the model's files into `folder`, or finds them there.
    ///
    /// # Errors
    /// A file cannot be downloaded; see [`Client::fetch`]. Files downloaded before it are kept.
    pub fn fetch(
        &self,
        with_upsampler: bool,
        folder: &Path,
        client: &Client,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<FetchedModel> {
        let upsampler = self.upsampler.filter(|_| with_upsampler);
        // Small files first, so that an unreachable publisher is reported at once.
        let tokenizer = client.fetch(self.tokenizer, folder, progress)?;
        let upsampler = upsampler.map(|remote| client.fetch(remote, folder, progress)).transpose()?;
        let mut clip = client.fetch(&self.clip, folder, progress)?;
        if self.clip.file.ends_with(".zip") {
            progress(Progress::Checking { file: self.clip.file });
            clip.path = unpacked(&clip.path, &clip.sha256)?;
        }
        Ok(FetchedModel { clip, tokenizer, upsampler })
    }
}

/// Unpacks the checkpoint of a zip archive beside it, and returns its path. One that was unpacked from an archive of this SHA-256,
/// and has not been changed since, is kept.
fn unpacked(archive: &Path, sha256: &str) -> Result<PathBuf> {
    let target = archive.with_extension("pt");
    let record = atomic::with_suffix(&target, ".sha256");
    let describe = |unpacked: &str| {
        let name = |path: &Path| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        format!("{unpacked}  {}\n{sha256}  {}\n", name(&target), name(archive))
    };
    let recorded = std::fs::read_to_string(&record).ok().filter(|text| text.ends_with(&describe("")));
    if recorded.is_some() && target.is_file() && recorded == Some(describe(&hash::of_file(&target)?)) {
        return Ok(target);
    }
    let file = AtomicFile::new(&target)?;
    let write = || -> Result<()> {
        let mut out = File::create(file.temporary()).input(|| format!("cannot write {}", target.display()))?;
        segearth_checkpoint::unpack(archive, UNPACKED_LIMIT, &mut out)?;
        out.sync_all().input(|| format!("cannot write {}", target.display()))
    };
    write()?;
    let unpacked = hash::of_file(file.temporary())?;
    file.commit()?;
    atomic::write_file(&record, describe(&unpacked).as_bytes())?;
    Ok(target)
}

/// Returns a model by its name, case-insensitive.
pub fn known(name: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.name.eq_ignore_ascii_case(name))
}

/// Returns a model by its name, as [`known`].
///
/// # Errors
/// There is none; the hint has the nearest name.
pub fn find(name: &str) -> Result<&'static Model> {
    if let Some(model) = known(name) {
        return Ok(model);
    }
    let shown: String = name.chars().take(80).collect();
    let closeness = |model: &&Model| strsim::jaro_winkler(&shown.to_lowercase(), &model.name.to_lowercase());
    let nearest = MODELS.iter().max_by(|a, b| closeness(a).total_cmp(&closeness(b)));
    let error = Error::input(format!("the model {shown:?} is not known"));
    let names: Vec<&str> = MODELS.iter().map(|model| model.name).collect();
    let names = names.join(", ");
    Err(error.with_hint(match nearest.filter(|model| closeness(model) > 0.75) {
        Some(model) => format!("Did you mean {}? Models that can be fetched: {names}.", model.name),
        None => format!("Models that can be fetched: {names}. Import others with `segearth model import`."),
    }))
}

/// Returns the published model whose CLIP weights have this SHA-256.
pub fn published(sha256: &str) -> Option<&'static Model> {
    MODELS.iter().find(|model| model.clip.sha256.is_some_and(|known| known.eq_ignore_ascii_case(sha256)))
}

/// Returns the folder of downloads: `$SEGEARTH_DOWNLOADS`, else `$XDG_DATA_HOME/segearth/downloads`, else
/// `~/.local/share/segearth/downloads`.
pub fn downloads() -> Option<PathBuf> {
    folders::data("SEGEARTH_DOWNLOADS", "downloads")
}
