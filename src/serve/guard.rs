//! Who may ask: the address that a request names (against DNS rebinding), the page that it comes from (against other sites), the token,
//! and how often.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::Instant;

use hyper::HeaderMap;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, COOKIE, HOST, HeaderName, ORIGIN};
use sha2::{Digest as _, Sha256};

use super::message::{Method, Response};

/// Requests a second that one address may send on average, and at once.
const RATE: f64 = 500.0;
const BURST: f64 = 1500.0;
/// Addresses whose rates are remembered.
const MOST_ADDRESSES: usize = 1024;
/// The cookie that holds the token.
pub(super) const COOKIE_NAME: &str = "segearth_token";

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");

/// Checks requests before anything is done for them.
pub struct Guard {
    /// The names by which a client may address the server, with the port; `None`: any, where a token is asked for.
    hosts: Option<Vec<String>>,
    token: Option<[u8; 32]>,
    buckets: Mutex<HashMap<IpAddr, (f64, Instant)>>,
}

/// What a request says about where it comes from.
pub(super) struct Caller<'a> {
    pub address: IpAddr,
    pub method: Method,
    pub path: &'a str,
    pub headers: &'a HeaderMap,
    /// The token in the query.
    pub token: Option<&'a str>,
}

impl Guard {
    /// For a server at `address`. Without a token it answers to the names of the loopback interface alone.
    pub fn new(address: SocketAddr, token: Option<&str>) -> Self {
        let port = address.port();
        let loopback = ["127.0.0.1", "localhost", "[::1]"].map(|name| format!("{name}:{port}"));
        Self { hosts: token.is_none().then(|| loopback.to_vec()), token: token.map(digest), buckets: Mutex::default() }
    }

    /// Lets a request pass, with the host that it names, or says why not.
    pub(super) fn check(&self, caller: &Caller<'_>) -> Result<String, Box<Response>> {
        let refuse = |status, sentence: &str, hint| Err(Box::new(Response::refusal(status, sentence, Some(hint))));
        if !self.is_slow_enough(caller.address) {
            let response =
                Response::refusal(429, "There are too many requests from this address.", Some("Wait a second."));
            return Err(Box::new(response.with_header("retry-after", "1")));
        }
        let host = text(caller.headers, &HOST).unwrap_or_default().to_ascii_lowercase();
        let is_plain = !host.is_empty()
            && host.len() < 256
            && host.chars().all(|c| c.is_ascii_alphanumeric() || ".-:[]".contains(c));
        if !is_plain || self.hosts.as_ref().is_some_and(|hosts| !hosts.contains(&host)) {
            return refuse(
                403,
                "The request names another host than this server.",
                "Open http://127.0.0.1 with the port of the server.",
            );
        }
        let own =
            |origin: &str| origin.strip_prefix("http://").or(origin.strip_prefix("https://")) == Some(host.as_str());
        let foreign = || refuse(403, "The request comes from another site.", "Use the page of this server.");
        match text(caller.headers, &ORIGIN) {
            Some(origin) if !own(origin) => return foreign(),
            None if caller.headers.contains_key(ORIGIN) => return foreign(),
            _ => {}
        }
        let site = text(caller.headers, &FETCH_SITE).unwrap_or("none");
        // A link on another site may open the page, and nothing else.
        let opens_page = caller.path == "/" && text(caller.headers, &FETCH_MODE) == Some("navigate");
        if !matches!(site, "none" | "same-origin") && !opens_page {
            return foreign();
        }
        if caller.method != Method::Get {
            // A form of another site can send no JSON without asking first.
            let media = text(caller.headers, &CONTENT_TYPE).unwrap_or_default().split(';').next().unwrap_or_default();
            if !media.trim().eq_ignore_ascii_case("application/json") {
                return refuse(
                    415,
                    "The body of the request is not announced as JSON.",
                    "Send Content-Type: application/json.",
                );
            }
        }
        if let Some(token) = &self.token {
            let cookie = text(caller.headers, &COOKIE).and_then(token_of_cookies);
            let bearer = text(caller.headers, &AUTHORIZATION).and_then(|value| value.strip_prefix("Bearer "));
            let given = [caller.token, bearer, cookie];
            if !given.into_iter().flatten().any(|given| equal(&digest(given), token)) {
                return refuse(
                    401,
                    "The token is missing or wrong.",
                    "Open the address with ?token=… that the server has printed.",
                );
            }
        }
        Ok(host)
    }

    /// The cookie by which a browser keeps the token that it came with.
    pub(super) fn cookie(&self, token: Option<&str>) -> Option<String> {
        let given = token.filter(|token| token.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c)))?;
        self.token.as_ref().map(|_| format!("{COOKIE_NAME}={given}; Path=/; HttpOnly; SameSite=Strict"))
    }

    /// Takes one request from the address's allowance, which fills up again over time.
    fn is_slow_enough(&self, address: IpAddr) -> bool {
        let Ok(mut buckets) = self.buckets.lock() else { return true };
        let now = Instant::now();
        if buckets.len() >= MOST_ADDRESSES && !buckets.contains_key(&address) {
            buckets.retain(|_, (_, last)| last.elapsed().as_secs_f64() < BURST / RATE);
        }
        let (left, last) = buckets.entry(address).or_insert((BURST, now));
        *left = (*left + now.duration_since(*last).as_secs_f64() * RATE).min(BURST);
        *last = now;
        let passes = *left >= 1.0;
        *left -= f64::from(u8::from(passes));
        passes
    }
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn token_of_cookies(cookies: &str) -> Option<&str> {
    cookies.split(';').find_map(|cookie| cookie.trim().strip_prefix(COOKIE_NAME)?.strip_prefix('='))
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token).into()
}

/// Compares in a time that does not depend on where the two differ.
fn equal(a: &[u8; 32], b: &[u8; 32]) -> bool {
    std::hint::black_box(a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b))) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn asked(guard: &Guard, method: Method, path: &str, headers: &[(&'static str, &'static str)]) -> u16 {
        let headers: HeaderMap = headers
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect();
        let token = None;
        let caller = Caller { address: IpAddr::from([127, 0, 0, 1]), method, path, headers: &headers, token };
        guard.check(&caller).map_or_else(|response| response.status, |_| 200)
    }

    #[test]
    fn other_hosts_and_sites_are_refused() {
        let guard = Guard::new(SocketAddr::from(([127, 0, 0, 1], 8765)), None);
        let host = ("host", "127.0.0.1:8765");
        let json = ("content-type", "application/json");
        let get = |headers: &[_]| asked(&guard, Method::Get, "/", headers);
        let post = |headers: &[_]| asked(&guard, Method::Post, "/api/jobs", headers);
        assert_eq!((get(&[host]), get(&[("host", "localhost:8765")])), (200, 200));
        for wrong in ["evil.example:8765", "127.0.0.1", "127.0.0.1:80", ""] {
            assert_eq!(get(&[("host", wrong)]), 403, "{wrong}");
        }
        assert_eq!(get(&[]), 403);
        assert_eq!(post(&[host, json, ("origin", "http://127.0.0.1:8765")]), 200);
        for wrong in ["http://evil.example", "null", "http://127.0.0.1:8766", "http://127.0.0.1:8765.evil.example"] {
            assert_eq!(post(&[host, json, ("origin", wrong)]), 403, "{wrong}");
        }
        assert_eq!(post(&[host]), 415);
        assert_eq!(post(&[host, ("content-type", "text/plain")]), 415);
        assert_eq!(get(&[host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")]), 200);
        let tile = [host, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate")];
        assert_eq!(asked(&guard, Method::Get, "/api/state", &tile), 403);
    }

    #[test]
    fn token_is_asked_for_everywhere() {
        let guard = Guard::new(SocketAddr::from(([0, 0, 0, 0], 8765)), Some("secret"));
        let get = |more: &[(&'static str, &'static str)]| {
            asked(&guard, Method::Get, "/", &[&[("host", "map.example:8765")], more].concat())
        };
        assert_eq!((get(&[]), get(&[("cookie", "segearth_token=secre")])), (401, 401));
        assert_eq!(get(&[("cookie", "a=b; segearth_token=secret")]), 200);
        assert_eq!(get(&[("authorization", "Bearer secret")]), 200);
        assert_eq!(guard.cookie(Some("secret;x")), None);
    }

    #[test]
    fn requests_are_counted_by_address() {
        let guard = Guard::new(SocketAddr::from(([127, 0, 0, 1], 1)), None);
        let passed = (0..2000).filter(|_| guard.is_slow_enough(IpAddr::from([10, 0, 0, 1]))).count();
        assert!((1500..1990).contains(&passed), "{passed}");
        assert!(guard.is_slow_enough(IpAddr::from([10, 0, 0, 2])));
    }
}
