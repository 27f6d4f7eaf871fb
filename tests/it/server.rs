//! A server of the tests' own: files over HTTP, in ranges, and failures by a plan.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What a client asks for.
#[derive(Clone, Debug)]
pub struct Request {
    pub head: bool,
    /// Path and query.
    pub target: String,
    /// First byte, and last one where it is said.
    pub range: Option<(usize, Option<usize>)>,
    /// The number of this request among those for content, from 1.
    pub number: usize,
}

/// What the server does about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(dead_code, reason = "not all tests that share this file fail in all ways")]
pub enum Reply {
    Well,
    /// The connection is closed within the body.
    Cut,
    /// Half of the body, announced as if that were the range that was asked for.
    Short,
    /// Half of the body, its length not announced.
    Unannounced,
    /// Other bytes than those that were asked for, and their place.
    Elsewhere,
    /// The whole file, as servers do that know no ranges.
    Whole,
    /// A status, and the seconds to wait, where it says so.
    Status(u16, Option<u32>),
}

/// A file by the end of its path, and headers of its own.
pub struct File {
    pub name: &'static str,
    pub content: Vec<u8>,
    /// Whole lines, such as `ETag: "one"\r\n`.
    pub headers: &'static str,
}

pub struct Server {
    /// `http://127.0.0.1:…`
    pub address: String,
    state: Arc<State>,
}

struct State {
    files: Vec<File>,
    plan: Box<dyn Fn(&Request) -> Reply + Send + Sync>,
    log: Mutex<Vec<Request>>,
    /// Bytes of content sent.
    sent: AtomicUsize,
}

impl Server {
    pub fn start(files: Vec<File>, plan: impl Fn(&Request) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let state = State { files, plan: Box::new(plan), log: Mutex::default(), sent: AtomicUsize::new(0) };
        let state = Arc::new(state);
        let shared = Arc::clone(&state);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = Arc::clone(&shared);
                // A client that went away is no concern of the server's.
                std::thread::spawn(move || serve(stream, &state));
            }
        });
        Self { address, state }
    }

    /// The requests for content so far.
    pub fn requests(&self) -> Vec<Request> {
        self.state.log.lock().expect("the log").iter().filter(|request| !request.head).cloned().collect()
    }

    /// Bytes of content sent.
    #[allow(dead_code, reason = "not all tests that share this file count bytes")]
    pub fn sent(&self) -> usize {
        self.state.sent.load(Ordering::SeqCst)
    }
}

/// Answers the requests of one connection until either side ends it.
fn serve(stream: TcpStream, state: &State) -> Option<()> {
    // Answers go out at once, in whatever pieces they are written.
    stream.set_nodelay(true).ok()?;
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut stream = stream;
    loop {
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line).ok()? == 0 {
                return None;
            }
            if line.trim().is_empty() {
                break;
            }
            lines.push(line.trim().to_owned());
        }
        let (method, rest) = lines.first()?.split_once(' ')?;
        let range = lines.iter().find_map(|line| {
            let (first, last) = line
                .to_lowercase()
                .strip_prefix("range: bytes=")?
                .split_once('-')
                .map(|(a, b)| (a.to_owned(), b.to_owned()))?;
            Some((first.parse().ok()?, last.parse().ok()))
        });
        let target = rest.split(' ').next().unwrap_or_default().to_owned();
        let request = {
            let mut log = state.log.lock().expect("the log");
            let number = log.iter().filter(|request| !request.head).count() + usize::from(method != "HEAD");
            log.push(Request { head: method == "HEAD", target, range, number });
            log.last()?.clone()
        };
        let path = request.target.split('?').next().unwrap_or_default();
        let file = state.files.iter().find(|file| path.ends_with(file.name));
        let reply = if file.is_some() { (state.plan)(&request) } else { Reply::Status(404, None) };
        answer(&mut stream, &request, file, reply, state)?;
    }
}

fn answer(stream: &mut TcpStream, request: &Request, file: Option<&File>, reply: Reply, state: &State) -> Option<()> {
    if let Reply::Status(status, wait) = reply {
        let wait = wait.map_or_else(String::new, |wait| format!("Retry-After: {wait}\r\n"));
        return write!(stream, "HTTP/1.1 {status} Refused\r\n{wait}Content-Length: 0\r\n\r\n").ok();
    }
    let File { content, headers, .. } = file?;
    let total = content.len();
    let whole = format!("HTTP/1.1 200 OK\r\nAccept-Ranges: bytes\r\n{headers}Content-Length: {total}\r\n\r\n");
    if request.head {
        return stream.write_all(whole.as_bytes()).ok();
    }
    let Some((first, last)) = request.range.filter(|_| reply != Reply::Whole) else {
        stream.write_all(whole.as_bytes()).ok()?;
        return send(stream, content, reply, state);
    };
    if first >= total {
        return write!(stream, "HTTP/1.1 416 Refused\r\nContent-Length: 0\r\n\r\n").ok();
    }
    let last = last.unwrap_or(total - 1).min(total - 1);
    let (first, last) = match reply {
        Reply::Elsewhere if first > 0 => (first - 1, last - 1),
        _ => (first, last),
    };
    let body = content.get(first..=last)?;
    let body = if reply == Reply::Short { &body[..body.len() / 2] } else { body };
    let length = match reply {
        Reply::Unannounced => "Connection: close\r\n".to_owned(),
        _ => format!("Content-Length: {}\r\n", body.len()),
    };
    let range = format!("Content-Range: bytes {first}-{last}/{total}\r\n");
    write!(stream, "HTTP/1.1 206 Partial Content\r\n{headers}{range}{length}\r\n").ok()?;
    send(stream, body, reply, state)
}

fn send(stream: &mut TcpStream, body: &[u8], reply: Reply, state: &State) -> Option<()> {
    if matches!(reply, Reply::Cut | Reply::Unannounced) {
        let _ = stream.write_all(&body[..body.len() / 2]);
        let _ = stream.shutdown(Shutdown::Both);
        return None;
    }
    stream.write_all(body).ok()?;
    state.sent.fetch_add(body.len(), Ordering::SeqCst);
    Some(())
}
