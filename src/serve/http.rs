//! HTTP/1.1 with limits: connections, sizes, times and queues. One thread moves bytes; answers that take time are made on others.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Read as _;
use std::net::{SocketAddr, TcpListener};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{self, Poll};
use std::time::{Duration, Instant};

use http_body_util::BodyExt as _;
use hyper::body::{Bytes, Frame, Incoming, SizeHint};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, IF_NONE_MATCH};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::guard::{Caller, Guard};
use super::message::{Body, Method, Request, Response};
use crate::error::{Context as _, Result};
use crate::geom::Window;

/// Most connections at a time.
const MOST_CONNECTIONS: usize = 512;
/// Bytes of the line and headers of a request.
const MOST_HEAD: usize = 16 << 10;
/// Bytes of a body, and of a target.
const MOST_BODY: usize = 1 << 20;
const MOST_TARGET: usize = 2048;
/// Bytes of a body that is too large which are read before it is refused.
const MOST_DRAINED: usize = 8 << 20;
/// For the headers of a request, the idle time between two requests included.
const HEAD_TIME: Duration = Duration::from_secs(15);
/// For a body.
const BODY_TIME: Duration = Duration::from_secs(10);
/// For a connection as a whole, whatever goes on.
const CONNECTION_TIME: Duration = Duration::from_secs(3600);
/// How long a request may wait for what is not ready, and between two looks.
const WAIT: Duration = Duration::from_secs(20);
const LOOK: Duration = Duration::from_millis(50);
/// Between two looks whether the server is to end, and for requests to be answered then.
const STOP_LOOK: Duration = Duration::from_millis(100);
const FAREWELL: Duration = Duration::from_secs(3);
/// Requests that may wait in a lane, and threads that work for it.
const LANES: [(Lane, usize, usize); 3] = [(Lane::Render, 256, 2), (Lane::Ask, 64, 4), (Lane::Wait, 256, 2)];
/// Bytes of a file that are read at once.
const PIECE: usize = 128 << 10;

/// How a request is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// At once, on the thread that moves bytes: microseconds.
    Now,
    /// By reading pixels.
    Render,
    /// By asking the thread that owns the model.
    Ask,
    /// As [`Render`](Self::Render), once [`Application::is_ready`] says so or patience ends.
    Wait,
}

/// What a request of [`Lane::Wait`] waits for: a part of a scene.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    pub scene: usize,
    pub part: Window,
}

/// What answers requests.
pub trait Application: Send + Sync + 'static {
    /// How a request is answered, and what it waits for.
    fn lane(&self, request: &Request) -> (Lane, Option<Awaited>);

    /// Whether there is nothing to wait for any more.
    fn is_ready(&self, awaited: &Awaited) -> bool;

    fn answer(&self, request: &Request) -> Response;
}

struct Server {
    application: Arc<dyn Application>,
    guard: Guard,
    /// By lane: who may wait, who may work.
    lanes: Vec<(Lane, Arc<Semaphore>, Arc<Semaphore>)>,
    connections: AtomicUsize,
    /// Requests that are being answered.
    active: AtomicUsize,
}

/// Serves until `stop` says so; then open connections may end.
///
/// # Errors
/// The system has no means for it.
pub fn serve(
    listener: TcpListener,
    application: Arc<dyn Application>,
    guard: Guard,
    stop: impl Fn() -> bool,
) -> Result<()> {
    let cannot = || "cannot start the web server".to_owned();
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_io().enable_time().max_blocking_threads(16).build().internal(cannot)?;
    let lanes = LANES
        .map(|(lane, waiting, working)| (lane, Arc::new(Semaphore::new(waiting)), Arc::new(Semaphore::new(working))));
    let server = Arc::new(Server {
        application,
        guard,
        lanes: lanes.to_vec(),
        connections: AtomicUsize::new(0),
        active: AtomicUsize::new(0),
    });
    listener.set_nonblocking(true).internal(cannot)?;
    runtime
        .block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener).internal(cannot)?;
            while !stop() {
                match timeout(STOP_LOOK, listener.accept()).await {
                    Ok(Ok((stream, address))) => accept(&server, stream, address),
                    // Too many open files, say: they become fewer.
                    Ok(Err(_)) => tokio::time::sleep(STOP_LOOK).await,
                    Err(_) => {}
                }
            }
            drop(listener);
            let end = Instant::now() + FAREWELL;
            while server.active.load(Ordering::SeqCst) > 0 && Instant::now() < end {
                tokio::time::sleep(LOOK).await;
            }
            // The last answers are on their way.
            tokio::time::sleep(LOOK).await;
            Ok(())
        })
        .inspect(|()| runtime.shutdown_timeout(FAREWELL))
}

fn accept(server: &Arc<Server>, stream: tokio::net::TcpStream, address: SocketAddr) {
    if server.connections.fetch_add(1, Ordering::SeqCst) >= MOST_CONNECTIONS {
        server.connections.fetch_sub(1, Ordering::SeqCst);
        let _ = stream.try_write(
            b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 1\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
        );
        return;
    }
    let _ = stream.set_nodelay(true);
    let server = server.clone();
    tokio::spawn(async move {
        let of_service = server.clone();
        let service = service_fn(move |request| {
            let server = of_service.clone();
            async move { Ok::<_, Infallible>(server.respond(request, address).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIME)
            .max_buf_size(MOST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        // What goes wrong on a connection concerns its client alone.
        let _ = timeout(CONNECTION_TIME, connection).await;
        server.connections.fetch_sub(1, Ordering::SeqCst);
    });
}

impl Server {
    async fn respond(&self, request: hyper::Request<Incoming>, address: SocketAddr) -> hyper::Response<Content> {
        self.active.fetch_add(1, Ordering::SeqCst);
        let head = request.method() == hyper::Method::HEAD;
        let response = match self.checked(request, address).await {
            Ok((request, cookie)) => {
                let response = self.answered(request).await;
                match cookie {
                    Some(cookie) => response.with_header("set-cookie", cookie),
                    None => response,
                }
            }
            Err(response) => *response,
        };
        self.active.fetch_sub(1, Ordering::SeqCst);
        sent(response, head)
    }

    /// The request if it may be answered, with the cookie that is to be set.
    async fn checked(
        &self,
        request: hyper::Request<Incoming>,
        address: SocketAddr,
    ) -> Result<(Request, Option<String>), Box<Response>> {
        let refuse = |status, sentence: &str| Err(Box::new(Response::refusal(status, sentence, None)));
        let (head, body) = request.into_parts();
        let Some(method) = Method::of(&head.method) else {
            return refuse(405, "The server knows GET, HEAD, POST, PUT and DELETE.");
        };
        let target = head.uri.path_and_query().map_or("", |target| target.as_str());
        if target.len() > MOST_TARGET || head.uri.authority().is_some() {
            return refuse(414, "The address of the request is too long, or names a server.");
        }
        let query = query(head.uri.query().unwrap_or_default());
        let token = query.get("token").map(String::as_str);
        let caller = Caller { address: address.ip(), method, path: head.uri.path(), headers: &head.headers, token };
        let host = self.guard.check(&caller)?;
        let cookie = self.guard.cookie(token);
        let path: Vec<String> = head.uri.path().split('/').skip(1).map(str::to_owned).collect();
        let plain = |piece: &String| {
            !piece.starts_with("..") && piece.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        };
        if !path.iter().all(plain) || path.len() > 8 {
            return refuse(404, "There is nothing at this address.");
        }
        let announced = head.headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        let too_large = || refuse(413, &format!("The body of the request is larger than {MOST_BODY} bytes."));
        if announced.is_some_and(|length| length > MOST_DRAINED as u64) {
            return too_large();
        }
        let body = match timeout(BODY_TIME, read(body)).await {
            Err(_) => return refuse(408, "The body of the request took too long."),
            Ok(Err(_)) => return refuse(400, "The body of the request ended too early."),
            Ok(Ok(None)) => return too_large(),
            Ok(Ok(Some(body))) => body,
        };
        let known = head.headers.get(IF_NONE_MATCH).and_then(|tag| tag.to_str().ok()).map(str::to_owned);
        Ok((Request { method, path, query, body, origin: format!("http://{host}"), known }, cookie))
    }

    async fn answered(&self, request: Request) -> Response {
        let (lane, awaited) = self.application.lane(&request);
        let Some((_, waiting, working)) = self.lanes.iter().find(|(known, ..)| *known == lane) else {
            return self.application.answer(&request);
        };
        let busy = || {
            let hint = Some("Try again in a second.");
            Response::refusal(429, "The server is busy.", hint).with_header("retry-after", "1")
        };
        let Ok(_place) = waiting.try_acquire() else { return busy() };
        if let Some(awaited) = awaited {
            let end = Instant::now() + WAIT;
            while !self.application.is_ready(&awaited) && Instant::now() < end {
                tokio::time::sleep(LOOK).await;
            }
        }
        let Ok(_turn) = working.acquire().await else { return busy() };
        let application = self.application.clone();
        let answered = tokio::task::spawn_blocking(move || application.answer(&request)).await;
        answered.unwrap_or_else(|_| Response::refusal(500, "The answer failed: this is a defect of segearth.", None))
    }
}

/// A body of allowed size; `None`: it is larger. The rest of one that is not much larger is read, so that its client hears the answer.
async fn read(mut body: Incoming) -> hyper::Result<Option<Bytes>> {
    let mut bytes = Vec::new();
    let mut count = 0;
    while let Some(frame) = body.frame().await {
        let Ok(part) = frame?.into_data() else { continue };
        count += part.len();
        match () {
            () if count <= MOST_BODY => bytes.extend(part),
            () if count <= MOST_DRAINED => bytes.clear(),
            () => break,
        }
    }
    Ok((count <= MOST_BODY).then(|| bytes.into()))
}

/// The parts of a query; what is not plain text is left out.
fn query(text: &str) -> BTreeMap<String, String> {
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter_map(|(key, value)| Some((decoded(key)?, decoded(value)?))).collect()
}

/// Decodes `%20` and `+`.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

/// Headers of every response: nothing is guessed, framed or sent on.
const HEADERS: [(&str, &str); 5] = [
    ("x-content-type-options", "nosniff"),
    ("x-frame-options", "DENY"),
    ("referrer-policy", "no-referrer"),
    ("cross-origin-resource-policy", "same-origin"),
    ("cross-origin-opener-policy", "same-origin"),
];

fn sent(response: Response, head: bool) -> hyper::Response<Content> {
    let Response { status, media_type, body, headers } = response;
    let mut content = match body {
        Body::Whole(bytes) => Content::Whole(Some(bytes)),
        Body::File(file, left) => Content::File { file, left },
    };
    let length = content.left();
    if head {
        content = Content::Whole(None);
    }
    let mut response = hyper::Response::new(content);
    *response.status_mut() = hyper::StatusCode::from_u16(status).unwrap_or(hyper::StatusCode::INTERNAL_SERVER_ERROR);
    let map = response.headers_mut();
    let mut put = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_str(value)) {
            map.insert(name, value);
        }
    };
    HEADERS.iter().for_each(|(name, value)| put(name, value));
    put("cache-control", "no-store");
    put("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
    headers.iter().for_each(|(name, value)| put(name, value));
    if status != 304 {
        put(CONTENT_TYPE.as_str(), media_type);
        put(CONTENT_LENGTH.as_str(), &length.to_string());
    }
    response
}

/// A response on its way.
enum Content {
    Whole(Option<Bytes>),
    File { file: std::fs::File, left: u64 },
}

impl Content {
    fn left(&self) -> u64 {
        match self {
            Self::Whole(bytes) => bytes.as_ref().map_or(0, |bytes| bytes.len() as u64),
            Self::File { left, .. } => *left,
        }
    }
}

impl hyper::body::Body for Content {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        Poll::Ready(match &mut *self {
            Self::Whole(bytes) => bytes.take().filter(|bytes| !bytes.is_empty()).map(|bytes| Ok(Frame::data(bytes))),
            Self::File { left: 0, .. } => None,
            Self::File { file, left } => {
                let mut piece = vec![0; PIECE.min(usize::try_from(*left).unwrap_or(PIECE))];
                Some(file.read_exact(&mut piece).map(|()| {
                    *left -= piece.len() as u64;
                    Frame::data(Bytes::from(piece))
                }))
            }
        })
    }

    fn is_end_stream(&self) -> bool {
        self.left() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_decoded() {
        let found = query("a=1&b=x%20y+z&c&d=%zz&e=%ff&%66=%C3%A9");
        let expected = [("a", "1"), ("b", "x y z"), ("f", "é")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())).into());
    }
}
