//! Downloads one file: resumed, retried, bounded and checked.

#![expect(clippy::indexing_slicing, reason = "as many bytes as were read into the buffer")]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::http::Response;
use ureq::{Agent, Body};

use super::catalogue::Remote;
use super::partial::{Partial, beside};
use crate::error::{Context, Error, Result};
use crate::hash;

/// Tries without a single new byte before giving up.
const ATTEMPTS: u32 = 6;
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A server that sends nothing for so long has gone.
const SILENCE: Duration = Duration::from_secs(60);
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What happens during a download.
#[derive(Debug, PartialEq)]
pub enum Progress<'a> {
    /// The file is here already and is what it should be.
    Reused {
        file: &'a str,
    },
    /// `have` of `total` bytes are here; the total is unknown where the server does not tell.
    Bytes {
        file: &'a str,
        have: u64,
        total: Option<u64>,
    },
    Retrying {
        file: &'a str,
        wait: Duration,
        reason: &'a str,
    },
    /// All bytes are here and are being hashed.
    Checking {
        file: &'a str,
    },
}

/// How far a file's content is known to be right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Checked {
    /// It has the SHA-256 that is pinned in the program.
    Pinned,
    /// No hash is pinned: what came was recorded, and later uses are held against that.
    Recorded,
}

/// A file that is here.
#[derive(Debug)]
pub struct Fetched {
    pub path: PathBuf,
    pub sha256: String,
    pub checked: Checked,
}

pub struct Client {
    agent: Agent,
    base: Option<String>,
    first_wait: Duration,
}

impl Client {
    /// `base` replaces scheme and host of every address (`http://localhost:8000`), and only then plain HTTP is allowed.
    ///
    /// # Errors
    /// The base is no HTTP address.
    pub fn new(base: Option<&str>) -> Result<Self> {
        let base = base.map(|base| base.trim_end_matches('/').to_owned());
        if let Some(base) = &base
            && !base.starts_with("http://")
            && !base.starts_with("https://")
        {
            return Err(Error::input(format!("{} = {:?} is no HTTP address", super::BASE_VARIABLE, shown(base)))
                .with_hint("Give scheme and host, such as https://mirror.example.org."));
        }
        let config = Agent::config_builder()
            .https_only(base.is_none())
            .http_status_as_error(false)
            // Bytes as they are: ranges and hashes are of those.
            .accept_encoding("identity")
            .user_agent(concat!("segearth/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        Ok(Self { agent: config.new_agent(), base, first_wait: Duration::from_secs(1) })
    }

    #[cfg(test)]
    pub(super) fn impatient(base: &str) -> Self {
        Self { first_wait: Duration::from_millis(1), ..Self::new(Some(base)).unwrap() }
    }

    /// Downloads a file into a folder, or finds it there.
    ///
    /// # Errors
    /// The server refuses or cannot be reached again and again (what came so far is kept for the next time); the file is
    /// larger than its limit or does not have its hash (nothing is kept); the folder cannot be written.
    pub fn fetch(&self, remote: &Remote, folder: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Fetched> {
        fs::create_dir_all(folder).input(|| format!("the folder {} cannot be made", folder.display()))?;
        let target = folder.join(remote.file);
        if let Some(found) = self.find(remote, &target, progress)? {
            return Ok(found);
        }
        let url = self.url(remote);
        self.download(remote, &url, &target, progress)
            .input(|| format!("{} cannot be fetched from {}", remote.file, shown(&url)))
    }

    fn url(&self, remote: &Remote) -> String {
        let Some(base) = &self.base else { return remote.url.to_owned() };
        let path = remote.url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        format!("{base}/{path}")
    }

    /// A file of an earlier download, if it is still what it was. One that is not what it must be is fetched again.
    fn find(&self, remote: &Remote, target: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Option<Fetched>> {
        if !target.is_file() {
            return Ok(None);
        }
        progress(Progress::Checking { file: remote.file });
        let sha256 = hash::of_file(target)?;
        let record = beside(target, ".sha256");
        let (expected, checked) = match remote.sha256 {
            Some(pinned) => (Some(pinned.to_owned()), Checked::Pinned),
            None => {
                let recorded = fs::read_to_string(&record).ok();
                (recorded.and_then(|text| text.split_whitespace().next().map(str::to_owned)), Checked::Recorded)
            }
        };
        if expected.as_ref() != Some(&sha256) {
            return Ok(None);
        }
        progress(Progress::Reused { file: remote.file });
        Ok(Some(Fetched { path: target.to_owned(), sha256, checked }))
    }

    fn download(
        &self,
        remote: &Remote,
        url: &str,
        target: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> Result<Fetched> {
        let mut partial = Partial::open(target)?;
        let mut resumed = partial.len() > 0;
        loop {
            if let Err(error) = self.complete(remote, url, &mut partial, progress) {
                return Err(match error {
                    Stop::TooLarge(size) => {
                        partial.discard();
                        Error::input(format!("the file has {size} bytes, at most {} are allowed", remote.limit))
                            .with_hint(
                                "The address leads to something else: report it, and import weights of your own.",
                            )
                    }
                    Stop::Failed(error) => error,
                });
            }
            progress(Progress::Checking { file: remote.file });
            let sha256 = hash::of_file(partial.path())?;
            if let Some(pinned) = remote.sha256
                && pinned != sha256
            {
                // What was kept from another day may have been another file.
                if std::mem::take(&mut resumed) {
                    partial.restart(None)?;
                    continue;
                }
                partial.discard();
                return Err(Error::input(format!("the file that came has SHA-256 {sha256}, {pinned} is expected"))
                    .with_hint(
                        "It was changed by its publisher or on the way, and was not kept. Try again later; if it stays so, \
                         get the file from a source you trust and use `segearth model import`.",
                    ));
            }
            partial.finish(target)?;
            let record = beside(target, ".sha256");
            fs::write(&record, format!("{sha256}  {}\n", remote.file))
                .input(|| format!("{} cannot be written", record.display()))?;
            let checked = if remote.sha256.is_some() { Checked::Pinned } else { Checked::Recorded };
            return Ok(Fetched { path: target.to_owned(), sha256, checked });
        }
    }

    /// Asks until all bytes are there; gives up after some tries in a row that brought nothing.
    fn complete(
        &self,
        remote: &Remote,
        url: &str,
        partial: &mut Partial,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<(), Stop> {
        let mut barren = 0;
        // The most that ever was here: a server that makes us start over again and again gets nowhere.
        let mut most = partial.len();
        loop {
            let (reason, asked_wait) = match self.attempt(remote, url, partial, progress)? {
                Attempt::Whole => return Ok(()),
                Attempt::Again { reason, wait } => (reason, wait),
            };
            barren = if partial.len() > most { 0 } else { barren + 1 };
            most = most.max(partial.len());
            if barren >= ATTEMPTS {
                let kept = if partial.len() > 0 {
                    format!(" The {} bytes that came are kept, and the download goes on there.", partial.len())
                } else {
                    String::new()
                };
                return Err(Stop::Failed(
                    Error::input(format!("{ATTEMPTS} attempts in a row brought nothing, at last: {reason}"))
                        .with_hint(format!("Look at the network (or HTTPS_PROXY) and start again.{kept}")),
                ));
            }
            let wait = self.first_wait.saturating_mul(1 << barren.min(6));
            let wait = asked_wait.map_or(wait, |asked| asked.max(wait)).min(LONGEST_WAIT);
            progress(Progress::Retrying { file: remote.file, wait, reason: &reason });
            std::thread::sleep(wait);
        }
    }

    fn attempt(
        &self,
        remote: &Remote,
        url: &str,
        partial: &mut Partial,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<Attempt, Stop> {
        let tag = partial.tag();
        // Without a pinned hash only the tag tells whether the rest will belong to the same file.
        if partial.len() > 0 && tag.is_none() && remote.sha256.is_none() {
            partial.restart(None)?;
        }
        let have = partial.len();
        let mut request = self.agent.get(url);
        if have > 0 {
            request = request.header("range", format!("bytes={have}-"));
            if let Some(tag) = &tag {
                request = request.header("if-range", tag);
            }
        }
        let response = match request.call() {
            Ok(response) => response,
            Err(error) => return lost(error),
        };
        let total = match response.status().as_u16() {
            200 => {
                // From the start: the server knows no ranges, or has another version by now.
                partial.restart(header(&response, "etag"))?;
                length(&response)
            }
            206 => match content_range(&response) {
                Some((start, total)) if start == have => total,
                _ => {
                    partial.restart(None)?;
                    return Ok(Attempt::again("the server sent another range than asked for"));
                }
            },
            416 => {
                // Nothing is left to send: either all is here, or what is here is not this file.
                let total =
                    header(&response, "content-range").and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
                if total == Some(have) && have > 0 {
                    return Ok(Attempt::Whole);
                }
                partial.restart(None)?;
                return Ok(Attempt::again("the server does not have the rest of what is here"));
            }
            status @ (408 | 425 | 429 | 500..=599) => {
                let wait = header(&response, "retry-after").and_then(|seconds| seconds.parse().ok());
                return Ok(Attempt::Again {
                    reason: format!("the server answers with status {status}"),
                    wait: wait.map(Duration::from_secs),
                });
            }
            status => return Err(Stop::Failed(refusal(status))),
        };
        if let Some(total) = total.filter(|&total| total > remote.limit) {
            return Err(Stop::TooLarge(total));
        }
        self.receive(remote, response, total, partial, progress)
    }

    fn receive(
        &self,
        remote: &Remote,
        response: Response<Body>,
        total: Option<u64>,
        partial: &mut Partial,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<Attempt, Stop> {
        let mut reader = response.into_body().into_reader();
        let mut buffer = vec![0u8; 256 << 10];
        let mut reported = Instant::now();
        let file = remote.file;
        progress(Progress::Bytes { file, have: partial.len(), total });
        loop {
            let count = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Attempt::again(format!("the connection broke ({error})"))),
            };
            if partial.len() + count as u64 > remote.limit {
                return Err(Stop::TooLarge(partial.len() + count as u64));
            }
            partial.append(&buffer[..count])?;
            if reported.elapsed() >= REPORT_EVERY {
                reported = Instant::now();
                progress(Progress::Bytes { file, have: partial.len(), total });
            }
        }
        progress(Progress::Bytes { file, have: partial.len(), total });
        Ok(match total {
            Some(total) if partial.len() < total => Attempt::again("the connection ended early"),
            Some(total) if partial.len() > total => {
                partial.restart(None)?;
                Attempt::again("the server sent more than it announced")
            }
            _ => Attempt::Whole,
        })
    }
}

enum Attempt {
    Whole,
    Again { reason: String, wait: Option<Duration> },
}

impl Attempt {
    fn again(reason: impl Into<String>) -> Self {
        Self::Again { reason: reason.into(), wait: None }
    }
}

/// Why trying on is of no use.
enum Stop {
    TooLarge(u64),
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// No answer: worth another try unless the address itself is wrong.
fn lost(error: ureq::Error) -> std::result::Result<Attempt, Stop> {
    use ureq::Error as E;
    match error {
        E::Io(_) | E::Timeout(_) | E::HostNotFound | E::ConnectionFailed | E::Protocol(_) => {
            Ok(Attempt::again(format!("no answer ({error})")))
        }
        _ => Err(Stop::Failed(Error::input("the server cannot be asked").with_source(error))),
    }
}

fn refusal(status: u16) -> Error {
    let error = Error::input(format!("the server answers with status {status}"));
    match status {
        401 | 403 => error.with_hint(
            "The publisher does not give it to everyone: download it by hand, then use `segearth model import`.",
        ),
        404 | 410 => {
            error.with_hint("It is no longer published there: get it elsewhere, then use `segearth model import`.")
        }
        _ => error,
    }
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}

fn length(response: &Response<Body>) -> Option<u64> {
    header(response, "content-length")?.parse().ok()
}

/// `bytes 100-199/200`: the first byte, and the whole file's length where it is known.
fn content_range(response: &Response<Body>) -> Option<(u64, Option<u64>)> {
    let (range, total) = header(response, "content-range")?.strip_prefix("bytes ")?.split_once('/')?;
    let (start, _) = range.split_once('-')?;
    Some((start.parse().ok()?, total.parse().ok()))
}

/// An address as messages may show it: without user, password, query and fragment.
fn shown(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default();
    match url.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
            let host = host.rsplit('@').next().unwrap_or_default();
            format!("{scheme}://{host}{path}")
        }
        None => url.rsplit('@').next().unwrap_or_default().to_owned(),
    }
}
