//! The answers of servers to GDAL's requests: status, time to wait, and answers that do not match the request.
//!
//! GDAL reports failed requests only in part, and takes a truncated answer for the end of the file. Its HTTP client
//! reports each request and answer as a debug message; these are parsed here and not printed. No version of GDAL so far
//! would let this file go.

use std::time::{Duration, SystemTime};

use super::ffi;

/// Categories of GDAL's debug messages that [`Answers::parse`] parses.
pub(super) const CATEGORIES: &str = "CURL_INFO_HEADER_OUT,CURL_INFO_HEADER_IN,CURL_INFO_TEXT";

const REQUEST: &str = "CURL_INFO_HEADER_OUT: ";
const ANSWER: &str = "CURL_INFO_HEADER_IN: ";
const TEXT: &str = "CURL_INFO_TEXT: ";

/// libcurl's messages for an answer that is truncated or stalls.
const CUT: &[&str] = &[
    "bytes remaining to read",
    "bytes missing",
    "Operation too slow",
    "Operation timed out",
    "Connection timed out",
    "transfer closed with outstanding",
];

/// Most ranges that may be requested at once.
const MAX_REQUESTED: usize = 4096;

/// HTTP statuses for which a retry is useless.
pub(super) fn is_final(status: u16) -> bool {
    matches!(status, 400..=499) && !matches!(status, 408 | 425 | 429)
}

/// The requests and answers of one thread.
#[derive(Debug, Default)]
pub(super) struct Answers {
    /// First and last byte of the ranges that were requested and have not arrived.
    asked: Vec<(u64, u64)>,
    /// Of the answer whose header is being read.
    length: Option<u64>,
    range: Option<(u64, u64)>,
    /// The status of the latest answer.
    latest: Option<u16>,
    /// The first status after which a retry may succeed.
    busy: Option<u16>,
    /// Whether the answer whose header is being read is a refusal.
    refused: bool,
    retry_after: Option<Duration>,
    bad_answer: Option<String>,
    /// Host and port of the latest request; after redirections, of the first one.
    host: Option<String>,
    redirected: bool,
}

impl Answers {
    /// Parses a debug message. Returns whether it reports a failure.
    pub(super) fn parse(&mut self, message: &str) -> bool {
        if let Some(request) = message.strip_prefix(REQUEST) {
            self.ask(request);
            return false;
        }
        if let Some(line) = message.strip_prefix(ANSWER) {
            return self.line(line.trim());
        }
        if let Some(text) = message.strip_prefix(TEXT)
            && CUT.iter().any(|cut| text.contains(cut))
        {
            self.bad_answer.get_or_insert_with(|| text.trim().to_owned());
            return true;
        }
        false
    }

    fn ask(&mut self, request: &str) {
        let header = |wanted: &str| {
            request.lines().find_map(|line| {
                let (name, value) = line.split_once(':')?;
                name.eq_ignore_ascii_case(wanted).then_some(value.trim())
            })
        };
        if !std::mem::take(&mut self.redirected) {
            self.host = header("host").map(str::to_owned);
        }
        let Some(range) = header("range").and_then(|range| bounds(range.strip_prefix("bytes=")?)) else { return };
        if self.asked.len() == MAX_REQUESTED {
            self.asked.remove(0);
        }
        self.asked.push(range);
    }

    fn line(&mut self, line: &str) -> bool {
        if line.starts_with("HTTP/") {
            (self.length, self.range) = (None, None);
            self.latest = line.split_ascii_whitespace().nth(1).and_then(|status| status.parse().ok());
            let failed = self.latest.filter(|status| *status >= 400);
            self.refused = failed.is_some();
            self.redirected = self.latest.is_some_and(|status| (300..400).contains(&status));
            self.busy = self.busy.or(failed.filter(|status| !is_final(*status)));
            return false;
        }
        if line.is_empty() {
            // Reported only now that the time to wait is known.
            if std::mem::take(&mut self.refused) {
                return true;
            }
            let (Some(length), Some((first, last))) = (self.length, self.range) else { return false };
            return self.check(last.checked_sub(first).is_some_and(|bytes| bytes + 1 == length), || {
                format!("the server announced the bytes {first} to {last} and sent {length}")
            });
        }
        let Some((name, value)) = line.split_once(':') else { return false };
        let value = value.trim();
        match name.to_ascii_lowercase().as_str() {
            "content-length" => self.length = value.parse().ok(),
            "retry-after" => self.retry_after = self.retry_after.max(wait(value)),
            "content-range" => {
                let Some((range, total)) = value.strip_prefix("bytes ").and_then(|value| value.split_once('/')) else {
                    return false;
                };
                let Some(range) = bounds(range) else { return false };
                self.range = Some(range);
                // A range that reaches beyond the end of the file is answered up to there.
                let end = total.parse::<u64>().map_or(u64::MAX, |total| total.saturating_sub(1));
                let place = self.asked.iter().position(|(first, last)| (*first, (*last).min(end)) == range);
                if let Some(place) = place {
                    self.asked.swap_remove(place);
                }
                return self.check(place.is_some() || self.asked.is_empty(), || {
                    format!("the server sent the bytes {} to {}, which were not requested", range.0, range.1)
                });
            }
            _ => {}
        }
        false
    }

    /// Notes a bad answer where `sound` is false. Returns whether there is one.
    fn check(&mut self, sound: bool, bad_answer: impl FnOnce() -> String) -> bool {
        if !sound {
            self.bad_answer.get_or_insert_with(bad_answer);
        }
        !sound
    }

    /// What was received since the last call. Ranges that have not arrived are dropped: the caller has given up on
    /// them.
    pub(super) fn take(&mut self) -> Outcome {
        let Self { latest, busy, retry_after, bad_answer, host, .. } = std::mem::take(self);
        Outcome { status: latest.filter(|status| *status >= 400).or(busy), busy, retry_after, bad_answer, host }
    }
}

/// The outcome of the answers to a thread's requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// The status of the answer that ended it, where that is a failure.
    pub status: Option<u16>,
    /// A status after which a retry may succeed, whatever came later.
    pub busy: Option<u16>,
    /// How long the server asks to wait.
    pub retry_after: Option<Duration>,
    /// An answer that does not match its request.
    pub bad_answer: Option<String>,
    /// Host and port of the latest request.
    pub host: Option<String>,
}

fn bounds(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.split_once('-')?;
    Some((first.trim().parse().ok()?, last.trim().parse().ok()?))
}

/// The wait that a `Retry-After` asks for: seconds, or the time from when on.
fn wait(value: &str) -> Option<Duration> {
    if let Ok(seconds) = value.parse() {
        return Some(Duration::from_secs(seconds));
    }
    // A time that has passed is no wait.
    Some(ffi::http_date(value)?.duration_since(SystemTime::now()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An exchange as GDAL reports it; gives the failures that are received on the way and what it comes to.
    fn exchange(lines: &[&str]) -> (usize, Outcome) {
        let mut answers = Answers::default();
        let failures = lines.iter().filter(|line| answers.parse(line)).count();
        (failures, answers.take())
    }

    const ASK: &str = "CURL_INFO_HEADER_OUT: GET /a.tif?sig=x HTTP/1.1\r\nHost: x\r\nRange: bytes=1024-2047\r\n\r";

    #[test]
    fn answer_other_than_requested_is_a_fault() {
        let partial = "CURL_INFO_HEADER_IN: HTTP/1.1 206 Partial Content\r";
        let length = "CURL_INFO_HEADER_IN: Content-Length: 1024\r";
        let end = "CURL_INFO_HEADER_IN: \r";
        let range = |range: &str| format!("CURL_INFO_HEADER_IN: content-range: bytes {range}\r");
        for (answered, length, bad_answer) in [
            ("1024-2047/9000", length, None),
            ("1024-1999/2000", "CURL_INFO_HEADER_IN: Content-Length: 976\r", None),
            ("0-1023/9000", length, Some("the server sent the bytes 0 to 1023, which were not requested")),
            (
                "1024-2047/9000",
                "CURL_INFO_HEADER_IN: Content-Length: 500\r",
                Some("the server announced the bytes 1024 to 2047 and sent 500"),
            ),
        ] {
            let (failures, outcome) = exchange(&[ASK, partial, &range(answered), length, end]);
            assert_eq!(
                (failures, outcome.bad_answer.as_deref()),
                (usize::from(bad_answer.is_some()), bad_answer),
                "{answered}"
            );
            assert_eq!((outcome.status, outcome.busy), (None, None));
        }
        let cut = "CURL_INFO_TEXT: transfer closed with 524 bytes remaining to read";
        assert_eq!(exchange(&[ASK, partial, &range("1024-2047/9000"), length, end, cut]).0, 1);
        assert_eq!(exchange(&[ASK, partial, "CURL_INFO_TEXT: Connection #0 to host x left intact"]).0, 0);
    }

    #[test]
    fn status_and_wait_are_kept() {
        let busy = ["CURL_INFO_HEADER_IN: HTTP/1.1 429 Too Many Requests\r", "CURL_INFO_HEADER_IN: retry-after: 7\r"];
        let (failures, outcome) = exchange(&[ASK, busy[0], busy[1], "CURL_INFO_HEADER_IN: \r"]);
        let expected = Outcome {
            status: Some(429),
            busy: Some(429),
            retry_after: Some(Duration::from_secs(7)),
            bad_answer: None,
            host: Some("x".into()),
        };
        assert_eq!((failures, outcome), (1, expected));
        // A neighbour of the file that is not there is no failure of what is read afterwards.
        let fine = "CURL_INFO_HEADER_IN: HTTP/2 206\r";
        let absent = exchange(&[ASK, "CURL_INFO_HEADER_IN: HTTP/1.1 404 Not Found\r", ASK, fine]).1;
        assert_eq!((absent.status, absent.busy, absent.bad_answer), (None, None, None));
        // Whoever sent us elsewhere was asked.
        let moved = "CURL_INFO_HEADER_IN: HTTP/1.1 302 Found\r";
        let other = "CURL_INFO_HEADER_OUT: GET /b HTTP/1.1\r\nHost: y:80\r\n\r";
        assert_eq!(exchange(&[ASK, moved, other, busy[0]]).1.host.as_deref(), Some("x"));
        assert_eq!(exchange(&[ASK, fine, other, fine]).1.host.as_deref(), Some("y:80"));
        assert_eq!(exchange(&[ASK, busy[0], fine]).1.status, Some(429));
        assert_eq!(wait("Sun, 06 Nov 1994 08:49:37 GMT"), Some(Duration::ZERO));
        assert!(wait("Fri, 31 Dec 9999 23:59:59 GMT").is_some_and(|wait| wait > Duration::from_secs(1 << 30)));
        assert_eq!((wait("soon"), wait("-1")), (None, None));
    }

    #[test]
    fn final_statuses_are_not_retried() {
        assert!([400, 401, 403, 404, 410, 416].into_iter().all(is_final));
        assert!(![200, 206, 408, 429, 500, 502, 503, 504].into_iter().any(is_final));
    }
}
