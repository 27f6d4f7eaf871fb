//! A thousand requests that mean harm, the same every time: each is refused, nothing changes, and the server lives.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use segearth_testing::random::Numbers;

use crate::serve::{Served, scene};
use crate::workdir::Workdir;

const REQUESTS: usize = 1000;

/// Choices that look random.
struct Choices(Numbers);

impl Choices {
    fn below(&mut self, count: usize) -> usize {
        (((self.0.next_value() + 1.0) / 2.0 * count as f32) as usize).min(count - 1)
    }

    fn of<'a>(&mut self, all: &[&'a str]) -> &'a str {
        all[self.below(all.len())]
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.below(256) as u8).collect()
    }
}

/// What each kind of request tries.
const KINDS: usize = 10;

fn request(kind: usize, host: &str, it: &mut Choices) -> Vec<u8> {
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").into_bytes();
    let with_body = |method: &str, target: &str, body: &[u8]| {
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        [head.as_bytes(), body].concat()
    };
    match kind {
        // Out of the folders that are served.
        0 => {
            let start = it.of(&["", "/api/runs/0/files", "/tiles/labels/1", "/tiles", "/wmts", "/api/scenes/0"]);
            let mut path = start.to_owned();
            for _ in 0..=it.below(5) {
                path += "/";
                path += it.of(&[
                    "..",
                    "%2e%2e",
                    "..%2f",
                    "%252e%252e",
                    "....",
                    "..\\",
                    "%5c..",
                    "%00",
                    "~",
                    "%c0%ae%c0%ae",
                ]);
            }
            get(&format!(
                "{path}/{}",
                it.of(&["secret.txt", "etc/passwd", "session.json", ".lock", "proc/self/environ"])
            ))
        }
        // Tiles that no map has.
        1 => {
            let number = [
                "-1",
                "99",
                "1e3",
                "0x10",
                "NaN",
                "18446744073709551615",
                "18446744073709551616",
                "999999999",
                "%30",
                "",
            ];
            let layer =
                it.of(&["scene", "labels", "scene-99", "labels-18446744073709551615", "change-0-1", "change-9-9", "x"]);
            let (zoom, x, y) = (it.of(&["255", "256", "-1", "99", "1e9", "NaN"]), it.of(&number), it.of(&number));
            get(&format!("/tiles/{layer}/{zoom}/{x}/{y}{}", it.of(&[".png", ".png.png", "", ".exe", ".png%00"])))
        }
        // Methods.
        2 => {
            let method = it.of(&[
                "TRACE", "CONNECT", "OPTIONS", "PATCH", "PROPFIND", "get", "MKCOL", "DELETE", "PUT", "POST", "\u{1}",
            ]);
            let target = it.of(&["/api/state", "/", "/tiles/scene/0/0/0.png", "/wmts", "/api/job.yaml", "*"]);
            with_body(method, target, b"{}")
        }
        // Other hosts and sites.
        3 => {
            let evil = it.of(&[
                "evil.example",
                "127.0.0.1",
                "127.0.0.1:1",
                "localhost",
                "[::1]",
                "0.0.0.0",
                "",
                "a b",
                "127.0.0.1@evil.example",
            ]);
            let target = it.of(&["/", "/api/state", "/api/job.yaml", "/tiles/scene/0/0/0.png"]);
            format!("GET {target} HTTP/1.1\r\nhost: {evil}\r\nconnection: close\r\n\r\n").into_bytes()
        }
        4 => {
            let origin = it.of(&[
                "http://evil.example",
                "null",
                "file://",
                "http://127.0.0.1:1",
                "https://localhost",
                "",
                "javascript:",
            ]);
            let (method, target) = match it.below(3) {
                0 => ("POST", "/api/runs"),
                1 => ("PUT", "/api/classes"),
                _ => ("POST", "/api/examples/undo"),
            };
            let head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\norigin: {origin}\r\n");
            format!("{head}connection: close\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}")
                .into_bytes()
        }
        // JSON that is none, or not what is asked for.
        5 => {
            let target = it.of(&["/api/classes", "/api/look", "/api/background"]);
            let deep = "[".repeat(1 + it.below(20_000));
            let long = format!("{{\"classes\": [{{\"id\": 1, \"name\": \"{}\"}}]}}", "x".repeat(1 + it.below(100_000)));
            let fixed = [
                "null",
                "[]",
                "\"\"",
                "{\"evil\": 1}",
                "{\"classes\": -1}",
                "{\"classes\": [{\"id\": 1e400, \"name\": \"a\"}]}",
                "{\"xyz\": 7}",
                "{\"bands\": [1, 2]}",
                "{\"bands\": \"1\"}",
                "{\"stretch\": {}}",
                "{",
                "{\"a\":",
                "\u{0}",
                "",
            ];
            let body = match it.below(4) {
                0 => deep,
                1 => long + "}",
                _ => it.of(&fixed).to_owned(),
            };
            with_body("PUT", target, body.as_bytes())
        }
        6 => {
            let target = it.of(&[
                "/api/examples",
                "/api/runs",
                "/api/jobs",
                "/api/scenes/0/view",
                "/api/scenes/9/view",
                "/api/runs/7/cancel",
            ]);
            let fixed = [
                "null",
                "[0]",
                "{\"scene\": -1}",
                "{\"scene\": 0, \"class\": 1}",
                "{\"scene\": 0, \"class\": 1, \"point\": [1e999, 0]}",
                "{\"scene\": 0, \"class\": 99, \"point\": [0, 0], \"polygon\": []}",
                "{\"client\": \"../..\", \"bounds\": [0, 0, 1, 1]}",
                "{\"client\": \"a\", \"bounds\": [0]}",
                "{\"name\": \"../../x\"}",
                "{\"name\": \"/etc/passwd\"}",
                "{\"outputs\": {\"polygons\": \"../x\"}}",
                "{\"outputs\": {\"folder\": \"/\"}}",
                "{\"replace\": \"yes\"}",
            ];
            let body = it.of(&fixed);
            // Names alone are for jobs; a run has none to refuse.
            let target = if body.contains("name") { "/api/jobs" } else { target };
            with_body("POST", target, body.as_bytes())
        }
        // Queries.
        7 => {
            let what = it.of(&[
                "values?x=",
                "values?y=1&x=",
                "suggestions?left=",
                "outlines?recipe=..&left=",
                "changes?since=-1&left=",
                "changes?since=",
            ]);
            get(&format!(
                "/api/scenes/{}/{what}{}",
                it.of(&["0", "9", "-1", "x"]),
                it.of(&["NaN", "inf", "1e999", "%ff", "", "0x1", "'"])
            ))
        }
        // Sizes.
        8 => {
            let put = format!(
                "PUT /api/classes HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\ncontent-type: application/json\r\n"
            );
            match it.below(6) {
                0 => get(&format!("/{}", "a".repeat(3000 + it.below(100_000)))),
                1 => format!("GET / HTTP/1.1\r\nhost: {host}\r\nx: {}\r\n\r\n", "y".repeat(20_000 + it.below(100_000)))
                    .into_bytes(),
                2 => format!("GET / HTTP/1.1\r\nhost: {host}\r\n{}\r\n", "a: b\r\n".repeat(200 + it.below(1000)))
                    .into_bytes(),
                3 => format!("{put}content-length: {}\r\n\r\n[", u64::MAX - it.below(9) as u64).into_bytes(),
                4 => format!("{put}transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n[").into_bytes(),
                _ => with_body("PUT", "/api/classes", &b"[".repeat((1 << 20) + 1 + it.below(1 << 20))),
            }
        }
        // Bytes that are no HTTP.
        _ => match it.below(6) {
            0 => {
                let count = 1 + it.below(2000);
                it.bytes(count)
            }
            1 => b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(),
            2 => format!("GET / HTTP/{}\r\nhost: {host}\r\n\r\n", it.of(&["9.9", "0.9", "1.2", "x"])).into_bytes(),
            3 => format!(
                "GET / HTTP/1.1\r\nhost: {host}\r\n{}\r\n\r\n",
                it.of(&["a b: c", ": x", "\u{0}: x", "x", "content-length: -1"])
            )
            .into_bytes(),
            4 => {
                format!("POST /api/runs HTTP/1.1\r\nhost: {host}\r\ncontent-length: 4\r\ncontent-length: 5\r\n\r\nabcd")
                    .into_bytes()
            }
            _ => format!("GET http://evil.example/ HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n").into_bytes(),
        },
    }
}

/// What comes back. `cut`: the request never ends, and its client goes away; `closed`: the client says that it has said all.
fn answer(server: &Served, bytes: &[u8], cut: bool, closed: bool) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.address).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time-out");
    let sent = if cut { &bytes[..bytes.len() * 3 / 4] } else { bytes };
    // A server may refuse before it has read everything.
    let _ = stream.write_all(sent);
    if cut || closed {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut all = Vec::new();
    let _ = stream.read_to_end(&mut all);
    all
}

#[test]
fn a_thousand_hostile_requests_are_refused() {
    let work = Workdir::new();
    scene(&work, "scene.tif");
    work.write("secret.txt", "the secret of this folder");
    let server = Served::start(&work, &["scene.tif"]);
    let before = server.labelled();
    let host = server.address.to_string();
    // Bodies that come a byte at a time, or never, while the others are answered.
    let head = format!("PUT /api/classes HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n");
    let slow: Vec<TcpStream> = (0..50)
        .map(|at| {
            let mut stream = TcpStream::connect(server.address).expect("a connection");
            stream.set_read_timeout(Some(Duration::from_secs(120))).expect("a time-out");
            let begun = match at % 3 {
                0 => format!("{head}content-length: 1000000\r\n\r\n["),
                1 => format!("{head}transfer-encoding: chunked\r\n\r\n1\r\n[\r\n"),
                _ => head.clone(),
            };
            stream.write_all(begun.as_bytes()).expect("a beginning");
            stream
        })
        .collect();
    let mut choices = Choices(Numbers(17));
    let mut refused = [0; KINDS];
    for number in 0..REQUESTS {
        let kind = number % KINDS;
        let bytes = request(kind, &host, &mut choices);
        let cut = choices.below(4) == 0;
        // Bytes that are no HTTP may be the beginning of a request for ever.
        let said = answer(&server, &bytes, cut, kind == KINDS - 1);
        let shown = || String::from_utf8_lossy(&bytes[..bytes.len().min(300)]).into_owned();
        assert!(!said.windows(6).any(|part| part == b"secret"), "{}", shown());
        let status = said.strip_prefix(b"HTTP/1.1 ").or(said.strip_prefix(b"HTTP/1.0 ")).and_then(|rest| rest.get(..3));
        let status = status.and_then(|digits| std::str::from_utf8(digits).ok()?.parse::<u16>().ok());
        assert!(
            status.is_none_or(|status| (400..500).contains(&status)) && (status.is_some() || said.is_empty()),
            "{}\n{}",
            shown(),
            String::from_utf8_lossy(&said)
        );
        refused[kind] += usize::from(status.is_some());
    }
    // Not merely hung up on: whole requests are answered.
    assert!(refused.iter().all(|count| *count > REQUESTS / KINDS / 3), "{refused:?}");
    for mut stream in slow {
        let mut said = Vec::new();
        let _ = stream.read_to_end(&mut said);
        assert!(said.is_empty() || said.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&said));
    }
    let after = server.labelled();
    for key in ["revision", "classes", "examples", "runs", "bands", "xyz"] {
        assert_eq!(before[key], after[key], "{key}");
    }
    assert_eq!(server.end(), 0);
}
