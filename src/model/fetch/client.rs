//! Downloads one file: resumed, retried, bounded and checked.

#![expect(clippy::indexing_slicing, reason = "as many bytes as were read into the buffer")]

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ureq::config::RedirectAuthHeaders;
use ureq::http::Response;
use ureq::{Agent, Body};

use super::catalogue::Remote;
use super::partial::PartialDownload;
use crate::atomic;
use crate::error::{Context, Error, Result};
use crate::hash;
use crate::location::without_credentials;

/// Tries without a single new byte before giving up.
const ATTEMPTS: u32 = 6;
/// The same, where there is another address.
const ATTEMPTS_BEFORE_NEXT: u32 = 2;
/// Where a token for Hugging Face is sent, and nowhere else.
const HUGGING_FACE: &str = "https://huggingface.co";
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Longest time without data before a connection counts as lost.
const SILENCE: Duration = Duration::from_secs(60);
const REPORT_EVERY: Duration = Duration::from_millis(100);

/// What happens during a download.
#[derive(Debug, PartialEq)]
pub enum Progress<'a> {
    /// The file is here already and is what it should be.
    Reused {
        file: &'a str,
    },
    /// `have` of `total` bytes are received; `None` if the server does not send the total.
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
    /// The download from an address failed, and the next is tried.
    NextAddress {
        file: &'a str,
        failed: &'a str,
        reason: &'a str,
        next: &'a str,
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
    /// No hash is pinned: that of the download was recorded, and later uses are compared with it.
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
    token: Option<Token>,
    first_wait: Duration,
}

/// Shown to one server. It has no `Debug`: it is not to be printed.
struct Token {
    /// Scheme and host.
    origin: String,
    /// The header's value.
    value: String,
}

impl Token {
    /// # Errors
    /// The token is none: the message does not show it.
    fn new(origin: &str, token: &str) -> Result<Option<Self>> {
        let token = token.trim();
        if token.is_empty() {
            return Ok(None);
        }
        if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Error::input(format!(
                "{} has characters that are not allowed in a token",
                super::TOKEN_VARIABLE
            ))
            .with_hint("Set it to the token as Hugging Face shows it, or unset it."));
        }
        Ok(Some(Self { origin: origin.to_owned(), value: format!("Bearer {token}") }))
    }

    /// Whether the address is one of the server's that may see the token.
    fn is_for(&self, url: &str) -> bool {
        url.strip_prefix(self.origin.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl Client {
    /// `base` replaces scheme and host of every address (`http://localhost:8000`), and only then plain HTTP is allowed. `token` is
    /// sent to Hugging Face itself over HTTPS: to no base, and to no server that an answer leads on to.
    ///
    /// # Errors
    /// The base is not an HTTP address, or the token has invalid characters.
    pub fn new(base: Option<&str>, token: Option<&str>) -> Result<Self> {
        let base = base.map(|base| base.trim_end_matches('/').to_owned());
        if let Some(base) = &base
            && !base.starts_with("http://")
            && !base.starts_with("https://")
        {
            return Err(Error::input(format!("{} = {:?} is not an HTTP address", super::BASE_VARIABLE, shown(base)))
                .with_hint("Give scheme and host, such as https://mirror.example.org."));
        }
        let config = Agent::config_builder()
            .https_only(base.is_none())
            .http_status_as_error(false)
            // Bytes as they are: ranges and hashes are of those.
            .accept_encoding("identity")
            .redirect_auth_headers(RedirectAuthHeaders::Never)
            .user_agent(concat!("segearth/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(Duration::from_secs(30)))
            .timeout_recv_response(Some(SILENCE))
            .timeout_per_read(Some(SILENCE))
            .build();
        let token = token.map(|token| Token::new(HUGGING_FACE, token)).transpose()?.flatten();
        Ok(Self { agent: config.new_agent(), base, token, first_wait: Duration::from_secs(1) })
    }

    #[cfg(test)]
    pub(super) fn impatient(base: &str) -> Self {
        Self { first_wait: Duration::from_millis(1), ..Self::new(Some(base), None).unwrap() }
    }

    /// As [`impatient`](Self::impatient), with a token for the server at `origin`.
    #[cfg(test)]
    pub(super) fn with_token(self, origin: &str, token: &str) -> Self {
        Self { token: Token::new(origin, token).unwrap(), ..self }
    }

    /// Whether a token would be sent with a request for this address.
    #[cfg(test)]
    pub(super) fn sends_token_to(&self, url: &str) -> bool {
        self.token.as_ref().is_some_and(|token| token.is_for(url))
    }

    /// Downloads a file into a folder, or finds it there.
    ///
    /// # Errors
    /// The server refuses or repeatedly fails (the bytes received are kept for the next download); the file exceeds its limit or has
    /// another hash (it is deleted); the folder cannot be written.
    pub fn fetch(&self, remote: &Remote, folder: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Fetched> {
        fs::create_dir_all(folder).input(|| format!("cannot create the folder {}", folder.display()))?;
        let target = folder.join(remote.file);
        if let Some(found) = self.find(remote, &target, progress)? {
            return Ok(found);
        }
        let urls = self.urls(remote);
        let mut tried: Vec<String> = Vec::new();
        for (index, url) in urls.iter().enumerate() {
            let next = urls.get(index + 1);
            let attempts = if next.is_some() { ATTEMPTS_BEFORE_NEXT } else { ATTEMPTS };
            tried.push(shown(url));
            let error = match self.download(remote, url, attempts, &target, progress) {
                Ok(fetched) => return Ok(fetched),
                Err(Failure::There(error)) => error,
                Err(Failure::Here(error)) => return Err(error),
            };
            let Some(next) = next else {
                let from = tried.join(" or from ");
                return Err(error).input(|| format!("cannot download {} from {from}", remote.file));
            };
            progress(Progress::NextAddress {
                file: remote.file,
                failed: &shown(url),
                reason: &error.to_string(),
                next: &shown(next),
            });
        }
        Err(Error::internal("a file without an address"))
    }

    /// Returns the addresses to try, in order, without duplicates: a base can make several equal.
    fn urls(&self, remote: &Remote) -> Vec<String> {
        let mut urls: Vec<String> = Vec::new();
        for url in std::iter::once(&remote.url).chain(remote.mirrors) {
            let url = self.url(url);
            if !urls.contains(&url) {
                urls.push(url);
            }
        }
        urls
    }

    fn url(&self, url: &str) -> String {
        let Some(base) = &self.base else { return url.to_owned() };
        let path = url.split_once("://").and_then(|(_, rest)| rest.split_once('/')).map_or("", |(_, path)| path);
        format!("{base}/{path}")
    }

    /// A file of an earlier download, if it is still what it was. One that is not what it must be is fetched again.
    fn find(&self, remote: &Remote, target: &Path, progress: &mut dyn FnMut(Progress<'_>)) -> Result<Option<Fetched>> {
        if !target.is_file() {
            return Ok(None);
        }
        progress(Progress::Checking { file: remote.file });
        let sha256 = hash::of_file(target)?;
        let record = atomic::with_suffix(target, ".sha256");
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
        attempts: u32,
        target: &Path,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<Fetched, Failure> {
        let mut partial = PartialDownload::open(target)?;
        let mut resumed = partial.len() > 0;
        loop {
            if let Err(error) = self.complete(remote, url, attempts, &mut partial, progress) {
                return Err(match error {
                    Stop::TooLarge(size) => {
                        partial.discard();
                        Failure::There(
                            Error::input(format!("the file has {size} bytes; at most {} are allowed", remote.limit))
                                .with_hint(
                                    "The address returns another file: report it, and use `segearth model import` with a file from elsewhere.",
                                ),
                        )
                    }
                    Stop::Failed(error) => Failure::Here(error),
                    Stop::Refused(error) => Failure::There(error),
                });
            }
            progress(Progress::Checking { file: remote.file });
            let sha256 = hash::of_file(partial.path())?;
            if let Some(pinned) = remote.sha256
                && pinned != sha256
            {
                // The bytes of an earlier download may belong to another file.
                if std::mem::take(&mut resumed) {
                    partial.restart(None)?;
                    continue;
                }
                partial.discard();
                return Err(Failure::There(
                    Error::input(format!("the downloaded file has SHA-256 {sha256}, not {pinned}")).with_hint(
                        "The publisher or a proxy changed the file; it was deleted. Try again later; if that does not help, \
                         download the file from a source that you trust and use `segearth model import`.",
                    ),
                ));
            }
            partial.finish(target)?;
            let record = atomic::with_suffix(target, ".sha256");
            atomic::write_file(&record, format!("{sha256}  {}\n", remote.file).as_bytes())?;
            let checked = if remote.sha256.is_some() { Checked::Pinned } else { Checked::Recorded };
            return Ok(Fetched { path: target.to_owned(), sha256, checked });
        }
    }

    /// Requests until the file is complete; gives up after `attempts` consecutive attempts without progress.
    fn complete(
        &self,
        remote: &Remote,
        url: &str,
        attempts: u32,
        partial: &mut PartialDownload,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<(), Stop> {
        let mut failed_attempts = 0;
        // The most bytes so far: a server that always restarts from the beginning makes no progress.
        let mut most = partial.len();
        loop {
            let (reason, asked_wait) = match self.attempt(remote, url, partial, progress)? {
                Attempt::Whole => return Ok(()),
                Attempt::Again { reason, wait } => (reason, wait),
            };
            failed_attempts = if partial.len() > most { 0 } else { failed_attempts + 1 };
            most = most.max(partial.len());
            if failed_attempts >= attempts {
                let kept = if partial.len() > 0 {
                    format!(" The {} bytes received are kept, and the next download resumes there.", partial.len())
                } else {
                    String::new()
                };
                return Err(Stop::Refused(
                    Error::input(format!("{attempts} consecutive attempts failed, the last one because {reason}"))
                        .with_hint(format!("Check the network connection (or HTTPS_PROXY) and try again.{kept}")),
                ));
            }
            let wait = self.first_wait.saturating_mul(1 << failed_attempts.min(6));
            let wait = asked_wait.map_or(wait, |asked| asked.max(wait)).min(LONGEST_WAIT);
            progress(Progress::Retrying { file: remote.file, wait, reason: &reason });
            std::thread::sleep(wait);
        }
    }

    fn attempt(
        &self,
        remote: &Remote,
        url: &str,
        partial: &mut PartialDownload,
        progress: &mut dyn FnMut(Progress<'_>),
    ) -> std::result::Result<Attempt, Stop> {
        let tag = partial.tag();
        // Without a pinned hash only the tag shows whether the rest belongs to the same file.
        if partial.len() > 0 && tag.is_none() && remote.sha256.is_none() {
            partial.restart(None)?;
        }
        let have = partial.len();
        let mut request = self.agent.get(url);
        if let Some(token) = self.token.as_ref().filter(|token| token.is_for(url)) {
            request = request.header("authorization", &token.value);
        }
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
                // The whole file: the server does not support ranges, or has another version.
                partial.restart(header(&response, "etag"))?;
                length(&response)
            }
            206 => match content_range(&response) {
                Some((start, total)) if start == have => total,
                _ => {
                    partial.restart(None)?;
                    return Ok(Attempt::again("the server sent another range than requested"));
                }
            },
            416 => {
                // No bytes after those received: the file is complete, or they belong to another file.
                let total =
                    header(&response, "content-range").and_then(|range| range.strip_prefix("bytes */")?.parse().ok());
                if total == Some(have) && have > 0 {
                    return Ok(Attempt::Whole);
                }
                partial.restart(None)?;
                return Ok(Attempt::again("the server has no further bytes of the file"));
            }
            status @ (408 | 425 | 429 | 500..=599) => {
                let wait = header(&response, "retry-after").and_then(|seconds| seconds.parse().ok());
                return Ok(Attempt::Again {
                    reason: format!("the server responded with status {status}"),
                    wait: wait.map(Duration::from_secs),
                });
            }
            status => return Err(Stop::Refused(refusal(status, remote.url))),
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
        partial: &mut PartialDownload,
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
                Err(error) => return Ok(Attempt::again(format!("the connection was lost ({error})"))),
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
    /// By what happened on this machine.
    Failed(Error),
    /// Failed on the side of the server: the next address is tried.
    Refused(Error),
}

/// Why there is no file, in the end.
enum Failure {
    Here(Error),
    /// At that address.
    There(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Here(error)
    }
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
            Ok(Attempt::again(format!("there was no response ({error})")))
        }
        _ => Err(Stop::Refused(Error::input("cannot send the request").with_source(error))),
    }
}

fn refusal(status: u16, published: &str) -> Error {
    let error = Error::input(format!("the server responded with status {status}"));
    match status {
        401 | 403 if published.starts_with(HUGGING_FACE) => error.with_hint(format!(
            "Access to the file is restricted: set {} to a token of an account that may read it, or download it yourself \
             and use `segearth model import`.",
            super::TOKEN_VARIABLE
        )),
        401 | 403 => error.with_hint(
            "Access to the file is restricted: download it yourself, then use `segearth model import`.",
        ),
        404 | 410 => {
            error.with_hint("The file is no longer published there: download it from elsewhere, then use `segearth model import`.")
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

/// An address as messages may show it; one without a scheme loses its user and password too.
fn shown(url: &str) -> String {
    let shown = without_credentials(url);
    if shown.contains("://") { shown } else { shown.rsplit('@').next().unwrap_or_default().to_owned() }
}
