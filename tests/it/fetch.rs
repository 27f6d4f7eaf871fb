//! `model fetch` through the real binary, from a server of the test's own.

use std::fs;
use std::sync::Mutex;

use segearth_testing::shared;

use crate::scenes::noise_scene;
use crate::server::{File, Reply, Request, Server};
use crate::workdir::Workdir;

/// Serves these files; the first answer about one whose name is in `cut` ends half-way.
fn serve(files: Vec<(&'static str, Vec<u8>)>, cut: &'static str) -> Server {
    let files = files.into_iter().map(|(name, content)| File { name, content, headers: "ETag: \"one\"\r\n" }).collect();
    let cut = Mutex::new(cut);
    Server::start(files, move |request| {
        let mut cut = cut.lock().expect("a name");
        if cut.is_empty() || !request.target.ends_with(*cut) {
            return Reply::Well;
        }
        *cut = "";
        Reply::Cut
    })
}

/// The paths that were asked for, and from where on.
fn asked(server: &Server) -> Vec<String> {
    let shown = |Request { target, range, .. }: Request| match range {
        Some((first, _)) => format!("{target} from {first}"),
        None => target,
    };
    server.requests().into_iter().map(shown).collect()
}

fn base(server: &Server) -> String {
    format!("{}/mirror", server.address)
}

const VOCABULARY: &str = "bpe_simple_vocab_16e6.txt.gz";

#[test]
fn a_file_with_another_hash_is_not_kept() {
    let work = Workdir::new();
    let server = serve(vec![(VOCABULARY, b"not the vocabulary".to_vec())], "");
    let fetch = |base: &str| work.run_with(["model", "fetch", "openai/ViT-B-16"], &[("SEGEARTH_FETCH_BASE", base)]);
    let ran = fetch(&base(&server));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(
        ran.stderr.contains(&format!("error: cannot download {VOCABULARY} from http://127.0.0.1:")),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains(
            "cause: the downloaded file has SHA-256 b703d0022ed92f8f4e7337664ee336a12bb60edf4ad60b5bf4ae061094995886"
        ),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("not 924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"));
    assert!(ran.stderr.contains("\n\nhint: "), "{}", ran.stderr);
    assert!(work.files().is_empty(), "{:?}", work.files());

    let nothing = serve(vec![], "");
    let ran = fetch(&base(&nothing));
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("cause: the server responded with status 404"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: The file is no longer published there"), "{}", ran.stderr);
    // A password in the address is nobody's business.
    let ran = fetch("ftp://user:secret@example.org");
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    assert!(ran.stderr.contains("is not an HTTP address") && !ran.stderr.contains("secret"), "{}", ran.stderr);
    let said = work.refused("model fetch openai/ViT-B-61");
    assert!(said.contains("Did you mean openai/ViT-B-16?"), "{said}");
}

/// What speaks against a model is said before a byte of it is downloaded; a token goes to no mirror and into no message.
#[test]
fn what_is_known_of_a_model_is_said_first() {
    let work = Workdir::new();
    let mirror = base(&serve(vec![], ""));
    let environment = [("SEGEARTH_FETCH_BASE", mirror.as_str()), ("HF_TOKEN", "hf_secretTOKEN")];
    let ran = work.run_with(["model", "fetch", "remoteclip/ViT-B-32", "-vv"], &environment);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    for note in [
        "note: RemoteCLIP's authors do not say its activation: quickgelu is assumed.",
        "one public measurement has a mean recall of 26.5 with quickgelu and 18.0 with gelu",
        "note: SimFeatUp's weights were trained on patches of 16 pixels, and none were published for patches of 32",
        "(the server responded with status 404); trying http://",
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
    let server = serve(files, "RS5M_ViT-B-32.pt");
    let fetch = |output: &str| {
        let words = ["model", "fetch", "GeoRSCLIP/vit-b-32", "--upsampler", "none"];
        let output = if output.is_empty() { vec![] } else { vec!["-o", output] };
        work.run_with(words.into_iter().chain(output), &[("SEGEARTH_FETCH_BASE", &base(&server))])
    };
    let ran = fetch("");
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("note: GeoRSCLIP-RS5M_ViT-B-32.pt: the connection "), "{}", ran.stderr);
    assert!(ran.stderr.contains("no SHA-256 is published for"), "{}", ran.stderr);
    let address = "/mirror/Zilun/GeoRSCLIP/resolve/main/ckpt/RS5M_ViT-B-32.pt";
    assert_eq!(asked(&server)[1..], [address.to_owned(), format!("{address} from {half}")]);
    assert!(work.path("models/georsclip/ViT-B-32/model.yaml").is_file());
    assert!(!work.files().keys().any(|path| path.to_string_lossy().contains(".partial")), "{:?}", work.files());

    // What its authors do not say is said, and recorded.
    assert!(ran.stderr.contains("quickgelu is assumed. They load the weights over OpenAI's"), "{}", ran.stderr);
    assert!(ran.stdout.contains("  activation: quickgelu\n  activation_from: assumed\n"), "{}", ran.stdout);

    noise_scene(&work.path("scene.tif"), 40, 30);
    work.ok("segment scene.tif --model georsclip/ViT-B-32 -c road;river --templates none -o l.tif".split_whitespace());
    let ran = fetch("again");
    assert_eq!((ran.code, server.requests().len()), (0, 3), "{}", ran.stderr);
    // What lies there was changed since: it is fetched again.
    fs::write(work.path("downloads/GeoRSCLIP-RS5M_ViT-B-32.pt"), "changed").expect("a changed file");
    let ran = fetch("third");
    assert_eq!((ran.code, server.requests().len()), (0, 4), "{}", ran.stderr);
}
