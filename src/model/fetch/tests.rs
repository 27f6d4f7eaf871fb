use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use segearth_checkpoint::Activation;

use super::*;

/// What the server does with one request.
#[derive(Clone, Copy, Debug)]
enum Answer {
    /// As it should.
    Serve,
    /// Announces the whole file, sends some bytes and closes the connection.
    Cut(usize),
    /// The whole file, for any range.
    IgnoreRange,
    /// A range with another start.
    WrongRange,
    /// No length: the end of the connection is the end of the file.
    Unannounced,
    /// Sends other bytes, of the same length.
    Forge,
    Status(u16),
    /// Leads on to this address.
    Redirect(&'static str),
    /// Hangs up without a word.
    Drop,
}

/// A web server of one file: given answers first, then correct ones.
struct Server {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(content: &[u8], tag: &'static str, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (content, log) = (content.to_vec(), Arc::clone(&requests));
        let mut answers = VecDeque::from(answers.to_vec());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // One request a connection; a client that went away is no concern of the server's.
                let _ = answer(stream, &content, tag, answers.pop_front().unwrap_or(Answer::Serve), &log);
            }
        });
        Self { address, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

fn answer(
    mut stream: TcpStream,
    content: &[u8],
    tag: &str,
    answer: Answer,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut request)? > 2 {}
    let field = |name: &str| {
        request.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    log.lock().unwrap().push(request.clone());
    let same = field("if-range").is_none_or(|asked| asked == tag);
    let range = field("range").filter(|_| same && !matches!(answer, Answer::IgnoreRange));
    let start = range.and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    let common = format!("etag: {tag}\r\nconnection: close\r\n");
    match answer {
        Answer::Status(status) => {
            return write!(stream, "HTTP/1.1 {status} No\r\n{common}content-length: 2\r\n\r\nno");
        }
        Answer::Redirect(to) => {
            return write!(stream, "HTTP/1.1 302 Found\r\n{common}location: {to}\r\ncontent-length: 0\r\n\r\n");
        }
        Answer::Drop => return Ok(()),
        Answer::WrongRange => {
            write!(stream, "HTTP/1.1 206 Part\r\n{common}content-range: bytes 1-2/9\r\ncontent-length: 2\r\n\r\n")?;
            return stream.write_all(b"xx");
        }
        Answer::Unannounced => {
            write!(stream, "HTTP/1.1 200 OK\r\n{common}\r\n")?;
            return stream.write_all(content);
        }
        _ => {}
    }
    if start.is_some_and(|start| start >= content.len()) {
        return write!(
            stream,
            "HTTP/1.1 416 No\r\n{common}content-range: bytes */{}\r\ncontent-length: 0\r\n\r\n",
            content.len()
        );
    }
    let body = &content[start.unwrap_or(0)..];
    match start {
        Some(start) => write!(
            stream,
            "HTTP/1.1 206 Part\r\n{common}content-range: bytes {start}-{}/{}\r\n",
            content.len() - 1,
            content.len()
        )?,
        None => write!(stream, "HTTP/1.1 200 OK\r\n{common}")?,
    }
    write!(stream, "content-length: {}\r\n\r\n", body.len())?;
    match answer {
        Answer::Cut(len) => stream.write_all(&body[..len.min(body.len())]),
        Answer::Forge => stream.write_all(&vec![0; body.len()]),
        _ => stream.write_all(body),
    }
}

fn content() -> Vec<u8> {
    (0..1_000_003u32).map(|index| (index.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

fn sha256(bytes: &[u8]) -> &'static str {
    Box::leak(crate::hash::of(bytes).into_boxed_str())
}

fn remote(sha256: Option<&'static str>) -> Remote {
    Remote {
        file: "weights.pt",
        url: "https://publisher.example.org/some/weights.pt",
        mirrors: &[],
        sha256,
        limit: 2_000_000,
    }
}

fn pinned() -> Remote {
    remote(Some(sha256(&content())))
}

/// A message and everything below it.
fn whole(error: &Error) -> String {
    std::iter::once(error.to_string()).chain(error.causes()).collect::<Vec<_>>().join(": ")
}

struct Run {
    folder: tempfile::TempDir,
    server: Server,
    retries: Vec<String>,
}

impl Run {
    fn new(answers: &[Answer]) -> Self {
        Self::with_tag("\"one\"", answers)
    }

    fn with_tag(tag: &'static str, answers: &[Answer]) -> Self {
        let server = Server::start(&content(), tag, answers);
        Self { folder: tempfile::tempdir().unwrap(), server, retries: Vec::new() }
    }

    fn fetch(&mut self, remote: &Remote) -> Result<Fetched> {
        let client = Client::impatient(&self.server.address);
        let retries = &mut self.retries;
        client.fetch(remote, self.folder.path(), &mut |progress| {
            if let Progress::Retrying { reason, .. } = progress {
                retries.push(reason.to_owned());
            }
        })
    }

    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path()).unwrap();
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// The ranges asked for, in order; `-` for the whole file.
    fn ranges(&self) -> Vec<String> {
        let range = |request: &String| {
            let line = request.lines().find(|line| line.to_lowercase().starts_with("range: "));
            line.map_or("-".to_owned(), |line| line[7..].to_owned())
        };
        self.server.requests().iter().map(range).collect()
    }
}

#[test]
fn complete_file_is_not_downloaded_twice() {
    let mut run = Run::new(&[]);
    let fetched = run.fetch(&pinned()).unwrap();
    assert_eq!(std::fs::read(&fetched.path).unwrap(), content());
    assert_eq!(fetched.checked, Checked::Pinned);
    assert_eq!(run.files(), ["weights.pt", "weights.pt.sha256"]);
    assert!(run.server.requests()[0].starts_with("GET /some/weights.pt HTTP/1.1"));
    assert_eq!(run.fetch(&pinned()).unwrap().sha256, sha256(&content()));
    assert_eq!(run.server.requests().len(), 1);
}

#[test]
fn lost_connection_is_resumed() {
    let mut run = Run::new(&[Answer::Cut(300_000), Answer::Drop, Answer::Cut(200_000)]);
    let fetched = run.fetch(&pinned()).unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), content());
    assert_eq!(run.ranges(), ["-", "bytes=300000-", "bytes=300000-", "bytes=500000-"]);
    assert_eq!(run.retries.len(), 3, "{:?}", run.retries);
}

#[test]
fn received_bytes_are_kept_for_the_next_download() {
    let mut answers = vec![Answer::Cut(400_000)];
    answers.extend([Answer::Drop; 6]);
    let mut run = Run::new(&answers);
    let error = run.fetch(&remote(None)).unwrap_err();
    assert!(whole(&error).contains("6 consecutive attempts failed"), "{}", whole(&error));
    assert!(error.hint().unwrap().contains("400000 bytes received are kept"), "{:?}", error.hint());
    assert_eq!(run.files(), ["weights.pt.partial", "weights.pt.partial.tag"]);
    let fetched = run.fetch(&remote(None)).unwrap();
    assert_eq!(std::fs::read(fetched.path).unwrap(), content());
    assert_eq!(run.ranges().last().unwrap(), "bytes=400000-");
    assert_eq!(run.files(), ["weights.pt", "weights.pt.sha256"]);
}

#[test]
fn bytes_of_another_version_are_not_joined() {
    for (tag, ranges) in [("\"new\"", "bytes=5-"), ("W/\"weak\"", "bytes=5-")] {
        let mut run = Run::with_tag(tag, &[]);
        std::fs::write(run.folder.path().join("weights.pt.partial"), b"other").unwrap();
        std::fs::write(run.folder.path().join("weights.pt.partial.tag"), "\"old\"").unwrap();
        let fetched = run.fetch(&remote(None)).unwrap();
        assert_eq!(std::fs::read(fetched.path).unwrap(), content());
        assert_eq!(run.ranges(), [ranges]);
    }
    // Without a tag and without a hash nothing could tell: start over.
    let mut run = Run::new(&[]);
    std::fs::write(run.folder.path().join("weights.pt.partial"), b"other").unwrap();
    assert_eq!(std::fs::read(run.fetch(&remote(None)).unwrap().path).unwrap(), content());
    assert_eq!(run.ranges(), ["-"]);
    // With a hash it is tried, found wrong and fetched from the start.
    let mut run = Run::new(&[]);
    std::fs::write(run.folder.path().join("weights.pt.partial"), b"other").unwrap();
    assert_eq!(std::fs::read(run.fetch(&pinned()).unwrap().path).unwrap(), content());
    assert_eq!(run.ranges(), ["bytes=5-", "-"]);
}

#[test]
fn complete_partial_file_is_used() {
    let mut run = Run::new(&[]);
    std::fs::write(run.folder.path().join("weights.pt.partial"), content()).unwrap();
    assert_eq!(std::fs::read(run.fetch(&pinned()).unwrap().path).unwrap(), content());
    assert_eq!(run.ranges(), ["bytes=1000003-"]);
}

#[test]
fn wrong_hash_is_refused_and_deleted() {
    let mut run = Run::new(&[Answer::Forge]);
    let error = run.fetch(&pinned()).unwrap_err();
    assert!(whole(&error).contains(&format!("not {}", sha256(&content()))), "{}", whole(&error));
    assert_eq!(error.exit_code(), 1);
    assert_eq!(run.files(), [""; 0]);
    // A file that was damaged after the download is fetched again.
    let fetched = run.fetch(&pinned()).unwrap();
    std::fs::write(&fetched.path, b"damaged").unwrap();
    assert_eq!(std::fs::read(run.fetch(&pinned()).unwrap().path).unwrap(), content());
}

#[test]
fn first_hash_is_recorded_without_a_pinned_one() {
    let mut run = Run::new(&[]);
    let fetched = run.fetch(&remote(None)).unwrap();
    assert_eq!((fetched.checked, fetched.sha256.as_str()), (Checked::Recorded, sha256(&content())));
    let record = std::fs::read_to_string(run.folder.path().join("weights.pt.sha256")).unwrap();
    assert_eq!(record, format!("{}  weights.pt\n", sha256(&content())));
    run.fetch(&remote(None)).unwrap();
    assert_eq!(run.server.requests().len(), 1);
}

#[test]
fn missing_and_wrong_ranges_are_handled() {
    let mut run = Run::new(&[Answer::Cut(1000), Answer::IgnoreRange]);
    assert_eq!(std::fs::read(run.fetch(&pinned()).unwrap().path).unwrap(), content());
    assert_eq!(run.ranges(), ["-", "bytes=1000-"]);
    let mut run = Run::new(&[Answer::Cut(1000), Answer::WrongRange]);
    assert_eq!(std::fs::read(run.fetch(&pinned()).unwrap().path).unwrap(), content());
    assert_eq!(run.ranges(), ["-", "bytes=1000-", "-"]);
    let mut run = Run::new(&[Answer::Unannounced]);
    assert_eq!(std::fs::read(run.fetch(&pinned()).unwrap().path).unwrap(), content());
}

#[test]
fn refusals_fail_at_once_and_server_errors_are_retried() {
    for (status, hint) in [(404, "no longer published"), (403, "Access to the file is restricted")] {
        let mut run = Run::new(&[Answer::Status(status)]);
        let error = run.fetch(&pinned()).unwrap_err();
        assert!(whole(&error).contains(&format!("status {status}")), "{}", whole(&error));
        assert!(error.hint().unwrap().contains(hint));
        assert_eq!(run.server.requests().len(), 1);
    }
    let mut run = Run::new(&[Answer::Status(503), Answer::Status(429), Answer::Drop]);
    run.fetch(&pinned()).unwrap();
    assert_eq!(run.retries.len(), 3);
}

#[test]
fn file_beyond_its_limit_is_refused() {
    for answer in [Answer::Serve, Answer::Unannounced] {
        let mut run = Run::new(&[answer]);
        let error = run.fetch(&Remote { limit: 900_000, ..pinned() }).unwrap_err();
        assert!(whole(&error).contains("at most 900000 are allowed"), "{}", whole(&error));
        assert_eq!(run.files(), [""; 0]);
    }
}

#[test]
fn concurrent_download_is_refused() {
    let mut run = Run::new(&[]);
    let held = std::fs::File::create(run.folder.path().join("weights.pt.partial")).unwrap();
    held.lock().unwrap();
    let error = run.fetch(&pinned()).unwrap_err();
    assert!(whole(&error).contains("another process"), "{}", whole(&error));
}

#[test]
fn addresses_in_messages_have_no_secrets() {
    let folder = tempfile::tempdir().unwrap();
    // Nothing listens on port 1.
    let client = Client::impatient("http://user:secret@127.0.0.1:1");
    let error = client.fetch(&pinned(), folder.path(), &mut |_| {}).unwrap_err();
    assert!(!whole(&error).contains("secret"), "{}", whole(&error));
    assert!(error.to_string().contains("http://127.0.0.1:1/some/weights.pt"), "{error}");
    assert!(Client::new(Some("ftp://somewhere"), None).is_err());
}

#[test]
fn catalogue_is_consistent() {
    let files = MODELS.iter().map(|model| &model.clip).chain([&VOCABULARY, &SIMFEATUP]);
    let mut names = Vec::new();
    for remote in files {
        assert!(remote.url.starts_with("https://") && !remote.url.contains(' '), "{}", remote.url);
        assert!(
            remote.sha256.is_none_or(|hash| hash.len() == 64 && hash.bytes().all(|b| b"0123456789abcdef".contains(&b)))
        );
        for url in std::iter::once(&remote.url).chain(remote.mirrors).filter(|url| url.contains("/clip/models/")) {
            assert!(url.contains(remote.sha256.unwrap()), "{url}");
        }
        for mirror in remote.mirrors {
            assert!(mirror.starts_with("https://") && !mirror.contains(' '), "{mirror}");
        }
        names.push(remote.file);
    }
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), MODELS.len() + 2);
    assert_eq!(find("openai/vit-b-16").unwrap().name, "openai/ViT-B-16");
    assert!(find("openai/ViT-B16").unwrap_err().hint().unwrap().starts_with("Did you mean openai/ViT-B-16?"));
}

#[test]
fn model_is_downloaded_with_vocabulary_and_upsampler() {
    static TOKENIZER: Remote =
        Remote { file: "merges.gz", url: "https://a.example.org/m", mirrors: &[], sha256: None, limit: 2_000_000 };
    static UPSAMPLER: Remote =
        Remote { file: "up.ckpt", url: "https://b.example.org/u", mirrors: &[], sha256: None, limit: 2_000_000 };
    let model = Model {
        name: "some/model",
        clip: pinned(),
        patch: 16,
        activation: Activation::Gelu,
        activation_note: None,
        pixels: None,
        tokenizer: &TOKENIZER,
        upsampler: Some(&UPSAMPLER),
        note: "",
    };
    for (with_upsampler, paths) in [(true, &["/m", "/u", "/some/weights.pt"][..]), (false, &["/m", "/some/weights.pt"])]
    {
        let run = Run::new(&[]);
        let client = Client::impatient(&run.server.address);
        let fetched = model.fetch(with_upsampler, run.folder.path(), &client, &mut |_| {}).unwrap();
        assert_eq!(fetched.upsampler.is_some(), with_upsampler);
        assert_eq!((fetched.clip.checked, fetched.tokenizer.checked), (Checked::Pinned, Checked::Recorded));
        let asked = run.server.requests();
        assert!(
            asked.iter().zip(paths).all(|(request, path)| request.starts_with(&format!("GET {path} "))),
            "{asked:?}"
        );
        assert_eq!(asked.len(), paths.len());
    }
}

#[test]
fn server_that_always_restarts_is_given_up() {
    let mut run = Run::new(&[[Answer::Cut(1000), Answer::WrongRange]; 20].concat());
    let error = run.fetch(&pinned()).unwrap_err();
    assert!(whole(&error).contains("consecutive attempts failed"), "{}", whole(&error));
    assert!(run.server.requests().len() < 10);
}

/// The second address has the same path on another host, as OpenAI's has.
fn mirrored() -> Remote {
    Remote { mirrors: &["https://mirror.example.org/other/weights.pt"], ..pinned() }
}

#[test]
fn next_address_is_tried_after_a_failure() {
    for (answers, reason) in [
        (vec![Answer::Status(404)], "status 404"),
        (vec![Answer::Status(403)], "status 403"),
        (vec![Answer::Drop; 2], "2 consecutive attempts failed"),
        (vec![Answer::Forge], "has SHA-256"),
    ] {
        let server = Server::start(&content(), "\"one\"", &answers);
        let folder = tempfile::tempdir().unwrap();
        let mut moves = Vec::new();
        let client = Client::impatient(&server.address);
        let fetched = client.fetch(&mirrored(), folder.path(), &mut |progress| {
            if let Progress::NextAddress { failed, reason, next, .. } = progress {
                moves.push([failed, reason, next].map(str::to_owned));
            }
        });
        assert_eq!(std::fs::read(fetched.unwrap().path).unwrap(), content());
        let [[failed, why, next]] = moves.as_slice() else { panic!("{moves:?}") };
        assert!(failed.ends_with("/some/weights.pt") && next.ends_with("/other/weights.pt"), "{moves:?}");
        assert!(why.contains(reason), "{why}");
        assert!(server.requests().last().unwrap().starts_with("GET /other/weights.pt "));
    }
    // Bytes from the first address are kept.
    let server = Server::start(&content(), "\"one\"", &[Answer::Cut(400_000), Answer::Drop, Answer::Drop]);
    let folder = tempfile::tempdir().unwrap();
    Client::impatient(&server.address).fetch(&mirrored(), folder.path(), &mut |_| {}).unwrap();
    assert!(server.requests().last().unwrap().to_lowercase().contains("range: bytes=400000-"));
}

#[test]
fn all_failed_addresses_are_named() {
    let server = Server::start(&content(), "\"one\"", &[Answer::Status(404), Answer::Status(410)]);
    let folder = tempfile::tempdir().unwrap();
    let error = Client::impatient(&server.address).fetch(&mirrored(), folder.path(), &mut |_| {}).unwrap_err();
    let said = whole(&error);
    assert!(said.contains("/some/weights.pt or from ") && said.contains("/other/weights.pt: "), "{said}");
    assert!(said.ends_with("status 410") && error.hint().unwrap().contains("no longer published"), "{said}");
    // Two addresses that a base makes one are asked once.
    let same = Remote { mirrors: &["https://mirror.example.org/some/weights.pt"], ..pinned() };
    let server = Server::start(&content(), "\"one\"", &[Answer::Status(404)]);
    Client::impatient(&server.address).fetch(&same, folder.path(), &mut |_| {}).unwrap_err();
    assert_eq!(server.requests().len(), 1);
}

/// Sent to the server that it is for, and neither to a mirror nor to where that server leads on.
#[test]
fn token_is_sent_to_its_own_server_only() {
    const TOKEN: &str = "hf_abcDEF123";
    let asked_with = |server: &Server| {
        let requests = server.requests();
        assert!(!requests.is_empty());
        requests.iter().map(|request| request.contains(TOKEN)).collect::<Vec<_>>()
    };
    let folder = tempfile::tempdir().unwrap();
    let other = Server::start(&content(), "\"one\"", &[]);
    let there: &'static str = Box::leak(format!("{}/cdn/weights.pt", other.address).into_boxed_str());
    let own = Server::start(&content(), "\"one\"", &[Answer::Redirect(there)]);
    let client = Client::impatient(&own.address).with_token(&own.address, TOKEN);
    client.fetch(&pinned(), folder.path(), &mut |_| {}).unwrap();
    assert_eq!(
        own.requests()[0].lines().find(|line| line.contains(TOKEN)),
        Some(format!("authorization: Bearer {TOKEN}").as_str())
    );
    assert_eq!((asked_with(&own), asked_with(&other)), (vec![true], vec![false]));

    let mirror = Server::start(&content(), "\"one\"", &[]);
    let client = Client::new(Some(&mirror.address), Some(TOKEN)).unwrap();
    client.fetch(&Remote { file: "again.pt", ..pinned() }, folder.path(), &mut |_| {}).unwrap();
    assert_eq!(asked_with(&mirror), [false]);

    let client = Client::new(None, Some(&format!(" {TOKEN}\n"))).unwrap();
    for (url, sent) in [
        ("https://huggingface.co/a/b/resolve/main/c.pt", true),
        ("http://huggingface.co/a/b/resolve/main/c.pt", false),
        ("https://huggingface.co.example.org/a", false),
        ("https://huggingface.co@example.org/a", false),
        ("https://huggingface.co:8443/a", false),
        ("https://cdn-lfs.huggingface.co/a", false),
        ("https://example.org/https://huggingface.co/a", false),
    ] {
        assert_eq!(client.sends_token_to(url), sent, "{url}");
    }
    assert!(!Client::new(None, Some("")).unwrap().sends_token_to("https://huggingface.co/a"));
    let error = Client::new(None, Some("hf_secret\r\nhost: elsewhere")).err().unwrap();
    assert!(whole(&error).contains("HF_TOKEN") && !whole(&error).contains("hf_secret"), "{}", whole(&error));
}

#[test]
fn refusal_of_hugging_face_names_the_token() {
    let gated = Remote { url: "https://huggingface.co/some/weights.pt", ..pinned() };
    let mut run = Run::new(&[Answer::Status(401)]);
    let error = run.fetch(&gated).unwrap_err();
    assert!(error.hint().unwrap().contains("set HF_TOKEN"), "{:?}", error.hint());
}

#[test]
fn assumptions_on_published_models_are_recorded() {
    let known = |name: &str| find(name).unwrap().known_activation();
    assert_eq!(
        (known("openai/ViT-B-16").activation, known("openai/ViT-B-16").from.as_str()),
        (Activation::QuickGelu, "publisher")
    );
    for name in ["remoteclip/ViT-B-32", "remoteclip/ViT-L-14"] {
        assert_eq!((known(name).activation, known(name).from.as_str()), (Activation::QuickGelu, "assumed"));
        let note = find(name).unwrap().activation_note.unwrap();
        assert!(note.contains("26.5") && note.contains("18.0") && note.contains("`--activation gelu`"), "{note}");
    }
    let model = published("60014E395D930A3F2963D1D89C8522BF4AD56775571E4356E866864789AF85C4").unwrap();
    assert_eq!((model.name, model.patch), ("remoteclip/ViT-B-32", 32));
    assert_eq!(upsampler_note(16), None);
    assert!(upsampler_note(32).unwrap().contains("none were published for patches of 32"));
}

/// A zip archive of one stored file.
fn zip(name: &str, content: &[u8]) -> Vec<u8> {
    let mut crc = flate2::Crc::new();
    crc.update(content);
    let len = (content.len() as u32).to_le_bytes();
    let common =
        [&[20, 0, 0, 0, 0, 0, 0, 0, 0, 0][..], &crc.sum().to_le_bytes(), &len, &len, &[name.len() as u8, 0, 0, 0]]
            .concat();
    let local = [&b"PK\x03\x04"[..], common.as_slice(), name.as_bytes(), content].concat();
    let directory = [&b"PK\x01\x02\x14\x00"[..], common.as_slice(), &[0; 14], name.as_bytes()].concat();
    let place = [(directory.len() as u32).to_le_bytes(), (local.len() as u32).to_le_bytes()].concat();
    [&local[..], &directory, b"PK\x05\x06\0\0\0\0\x01\0\x01\0", &place, &[0, 0]].concat()
}

#[test]
fn archives_are_unpacked_beside_themselves() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("SkyCLIP.zip");
    std::fs::write(&archive, zip("SkyCLIP/epoch_20.pt", b"the weights")).unwrap();
    let path = super::unpacked(&archive, "one").unwrap();
    assert_eq!(path, folder.path().join("SkyCLIP.pt"));
    assert_eq!(std::fs::read(&path).unwrap(), b"the weights");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&archive, zip("SkyCLIP/readme.txt", b"words")).unwrap();
    let error = super::unpacked(&archive, "two").unwrap_err();
    assert!(whole(&error).contains("has 0 checkpoints"), "{}", whole(&error));
    let names: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(names.iter().all(|name| name == "SkyCLIP.zip" || name == "SkyCLIP.pt.sha256"), "half-written: {names:?}");
}

/// Unpacked again only where the archive is another one, or the checkpoint is no longer what came out of it.
#[test]
fn unpacked_checkpoints_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let archive = folder.path().join("SkyCLIP.zip");
    let put = |weights: &[u8]| std::fs::write(&archive, zip("SkyCLIP/epoch_20.pt", weights)).unwrap();
    // A time that no file is written at: one that still has it was not written.
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let unpack = |sha256: &str| {
        let path = super::unpacked(&archive, sha256).unwrap();
        let file = std::fs::OpenOptions::new().append(true).open(&path).unwrap();
        let kept = file.metadata().unwrap().modified().unwrap() == old;
        file.set_modified(old).unwrap();
        (kept, std::fs::read(path).unwrap())
    };
    put(b"the weights");
    assert_eq!(unpack("one"), (false, b"the weights".to_vec()));
    assert_eq!(unpack("one"), (true, b"the weights".to_vec()));
    put(b"other ones");
    assert_eq!(unpack("two"), (false, b"other ones".to_vec()));
    assert_eq!(unpack("two"), (true, b"other ones".to_vec()));
    let (checkpoint, record) = (folder.path().join("SkyCLIP.pt"), folder.path().join("SkyCLIP.pt.sha256"));
    std::fs::write(&checkpoint, b"other_ones").unwrap();
    std::fs::File::options().append(true).open(&checkpoint).unwrap().set_modified(old).unwrap();
    assert_eq!(unpack("two"), (false, b"other ones".to_vec()));
    std::fs::remove_file(&record).unwrap();
    assert_eq!(unpack("two"), (false, b"other ones".to_vec()));
    std::fs::remove_file(&checkpoint).unwrap();
    assert_eq!(unpack("two"), (false, b"other ones".to_vec()));
    assert_eq!(unpack("two"), (true, b"other ones".to_vec()));
}
