//! `model fetch` through the real binary, from a server of the test's own.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use crate::scenes::noise_scene;
use crate::workdir::{Workdir, shared};

/// Files by the end of their address; each connection is one request. The first answer about a file whose name is in `cut` ends
/// half-way.
struct Server {
    base: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn start(files: Vec<(&'static str, Vec<u8>)>, cut: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let base = format!("http://{}/mirror", listener.local_addr().expect("an address"));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            let mut cut = cut;
            for stream in listener.incoming().flatten() {
                // A client that went away is no concern of the server's.
                let _ = answer(stream, &files, &mut cut, &log);
            }
        });
        Self { base, requests }
    }

    fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("the log").clone()
    }
}

fn answer(
    mut stream: TcpStream,
    files: &[(&str, Vec<u8>)],
    cut: &mut &str,
    log: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut request = String::new();
    let mut reader = BufReader::new(stream.try_clone()?);
    while reader.read_line(&mut request)? > 2 {}
    let path = request.split(' ').nth(1).unwrap_or_default().to_owned();
    let start = request
        .to_lowercase()
        .lines()
        .find_map(|line| line.strip_prefix("range: bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
    log.lock().expect("the log").push(match start {
        Some(start) => format!("{path} from {start}"),
        None => path.clone(),
    });
    let Some((name, content)) = files.iter().find(|(name, _)| path.ends_with(name)) else {
        return write!(stream, "HTTP/1.1 404 No\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    };
    let (body, total) = (&content[start.unwrap_or(0).min(content.len())..], content.len());
    let head = match start {
        Some(start) => format!("206 Part\r\ncontent-range: bytes {start}-{}/{total}", total - 1),
        None => "200 OK".to_owned(),
    };
    let common = "etag: \"one\"\r\nconnection: close";
    write!(stream, "HTTP/1.1 {head}\r\n{common}\r\ncontent-length: {}\r\n\r\n", body.len())?;
    if *cut == *name {
        *cut = "";
        return stream.write_all(&body[..body.len() / 2]);
    }
    stream.write_all(body)
}

const VOCABULARY: &str = "bpe_simple_vocab_16e6.txt.gz";

#[test]
fn a_file_with_another_hash_is_not_kept() {
    let work = Workdir::new();
    let server = Server::start(vec![(VOCABULARY, b"not the vocabulary".to_vec())], "");
    let fetch = |base: &str| work.run_with(["model", "fetch", "openai/ViT-B-16"], &[("SEGEARTH_FETCH_BASE", base)]);
    let ran = fetch(&server.base);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains(&format!("error: {VOCABULARY} cannot be fetched from http://127.0.0.1:")),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains(
            "cause: the file that came has SHA-256 b703d0022ed92f8f4e7337664ee336a12bb60edf4ad60b5bf4ae061094995886"
        ),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a is expected"));
    assert!(ran.stderr.contains("\n\nhint: "), "{}", ran.stderr);
    assert!(work.files().is_empty(), "{:?}", work.files());

    let nothing = Server::start(vec![], "");
    let ran = fetch(&nothing.base);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("cause: the server answers with status 404"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: It is no longer published there"), "{}", ran.stderr);
    // A password in the address is nobody's business.
    let ran = fetch("ftp://user:secret@example.org");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("is no HTTP address") && !ran.stderr.contains("secret"), "{}", ran.stderr);
    let said = work.refused("model fetch openai/ViT-B-61");
    assert!(said.contains("Did you mean openai/ViT-B-16?"), "{said}");
}

/// What speaks against a model is said before a byte of it is downloaded; a token goes to no mirror and into no message.
#[test]
fn what_is_known_of_a_model_is_said_first() {
    let work = Workdir::new();
    let server = Server::start(vec![], "");
    let environment = [("SEGEARTH_FETCH_BASE", server.base.as_str()), ("HF_TOKEN", "hf_secretTOKEN")];
    let ran = work.run_with(["model", "fetch", "remoteclip/ViT-B-32", "-vv"], &environment);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for note in [
        "note: RemoteCLIP's authors do not say its activation: quickgelu is assumed.",
        "one public measurement has a mean recall of 26.5 with quickgelu and 18.0 with gelu",
        "note: SimFeatUp's weights were trained on patches of 16 pixels, and none were published for patches of 32",
        "(the server answers with status 404); trying http://",
    ] {
        assert!(ran.stderr.contains(note), "{note}: {}", ran.stderr);
    }
    assert!(!ran.stderr.contains("secretTOKEN"), "{}", ran.stderr);
    let ran = work.run_with(
        ["model", "fetch", "remoteclip/ViT-B-32", "--activation", "gelu", "--upsampler", "none"],
        &environment,
    );
    assert!(!ran.stderr.contains("activation") && !ran.stderr.contains("SimFeatUp"), "{}", ran.stderr);
}

/// Downloaded with a break, imported, found by its name, used; the second time nothing is asked for again.
#[test]
fn a_model_is_fetched_in_two_pieces_and_used() {
    let (Some(vocabulary), Some(clip)) =
        (shared("parity").map(|folder| folder.join(VOCABULARY)), shared("parity/full/clip_openai_state_dict.pt"))
    else {
        return;
    };
    let work = Workdir::new();
    let clip = fs::read(clip).expect("weights");
    let half = clip.len() / 2;
    let files = vec![(VOCABULARY, fs::read(vocabulary).expect("merges")), ("RS5M_ViT-B-32.pt", clip)];
    let server = Server::start(files, "RS5M_ViT-B-32.pt");
    let fetch = |output: &str| {
        let words = ["model", "fetch", "GeoRSCLIP/vit-b-32", "--upsampler", "none"];
        let output = if output.is_empty() { vec![] } else { vec!["-o", output] };
        work.run_with(words.into_iter().chain(output), &[("SEGEARTH_FETCH_BASE", &server.base)])
    };
    let ran = fetch("");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("note: GeoRSCLIP-RS5M_ViT-B-32.pt: the connection "), "{}", ran.stderr);
    assert!(ran.stderr.contains("no SHA-256 is published for"), "{}", ran.stderr);
    let address = "/mirror/Zilun/GeoRSCLIP/resolve/main/ckpt/RS5M_ViT-B-32.pt";
    assert_eq!(server.requests()[1..], [address.to_owned(), format!("{address} from {half}")]);
    assert!(work.path("models/georsclip/ViT-B-32/model.yaml").is_file());
    assert!(!work.files().keys().any(|path| path.to_string_lossy().contains(".partial")), "{:?}", work.files());

    // What its authors do not say is said, and recorded.
    assert!(ran.stderr.contains("quickgelu is assumed. They load the weights over OpenAI's"), "{}", ran.stderr);
    assert!(ran.stdout.contains("  activation: quickgelu\n  activation_from: assumed\n"), "{}", ran.stdout);

    noise_scene(&work.path("scene.tif"), 40, 30);
    work.ok("segment scene.tif --model georsclip/ViT-B-32 -c road;river --templates none -o l.tif".split_whitespace());
    let ran = fetch("again");
    assert_eq!((ran.code, server.requests().len()), (0, 3), "{}", ran.stderr);
    // What lies there was changed since: it is fetched anew.
    fs::write(work.path("downloads/GeoRSCLIP-RS5M_ViT-B-32.pt"), "changed").expect("a changed file");
    let ran = fetch("third");
    assert_eq!((ran.code, server.requests().len()), (0, 4), "{}", ran.stderr);
}
