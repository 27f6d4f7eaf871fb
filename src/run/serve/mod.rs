//! `segearth serve`: a web application over the engine.
//!
//! ```text
//!  browsers ─► serve::http ─► api ─┬─► shared (session, views, questions) ─► owner: the thread with the model
//!                                  ├─► tiles (scene, labels)
//!                                  └─► runs: `segearth run` as a process of its own
//! ```

mod api;
mod changes;
mod document;
mod forms;
mod jobs;
mod known;
mod label_file;
mod lessons;
mod lock;
mod open_scenes;
mod outlines;
mod owner;
mod runs;
mod shared;
mod suggest;
mod tiles;
mod words;

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use super::embed;
use super::job::usable_device;
use super::stop::Stop;
use crate::cli::{EmbedPrecision, ServeArgs};
use crate::embeddings::Precision;
use crate::error::{Context as _, Error, Result};
use crate::file_lock::FileLock;
use crate::model::registry::Model;
use crate::pipeline::{self, ClassPlan, Plan};
use crate::report::Reporter;
use crate::serve::{self, Blocks, ClassEntry, Guard, LearntStart, Session, TileGrid};
use crate::{crs, hash};
use document::Document;
use known::{Known, KnownLookup};
use owner::Owner;
use runs::Runs;
use shared::{Parts, ServedScene, Shared};

/// More scenes than this belong into several sessions.
const MOST_SCENES: usize = 200;
/// Letters of a token.
const LEAST_TOKEN: usize = 16;
const TOKEN_VARIABLE: &str = "SEGEARTH_TOKEN";
/// The classes of a session that begins with none: words, names first.
const CLASSES: [&str; 5] =
    ["building,roof,house", "road,street", "forest,trees,woodland", "grass,field,farmland", "water,river,lake"];

/// Runs the command until a signal ends it.
///
/// # Errors
/// Arguments, model or scenes that cannot be used; a port or state folder that is in use.
pub fn run(args: &ServeArgs, trust: bool, reporter: &Reporter) -> Result<()> {
    let token = args.token.clone().or_else(|| std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()));
    check_address(args, token.as_deref())?;
    let document = Document::open(args)?;
    let known = Known::default();
    let spec = document.own()?;
    let model = model(&spec, trust)?;
    let plan = pipeline::resolve(&spec, &mut KnownLookup { known: &known, model: &model })?;
    let bundle = embed::bundle(model)?;
    if plan.scenes.is_empty() || plan.scenes.len() > MOST_SCENES {
        return Err(Error::input(format!(
            "there are {} scenes; 1 to {MOST_SCENES} can be served together",
            plan.scenes.len()
        ))
        .with_hint("Name some of them."));
    }
    if let Some(class) = plan.classes.iter().find(|class| class.index.is_some()) {
        return Err(Error::input(format!(
            "the class {:?} is one by a condition on bands, which the page cannot show",
            class.name
        ))
        .with_hint("Remove its key `index` while you try classes, and put it back into the job that is saved."));
    }
    plan.notes.iter().for_each(|note| reporter.note(note));
    let device = usable_device(plan.device, reporter)?;
    let folder = args.state.clone().unwrap_or_else(|| {
        let hash: String = hash::of(document.identity()).chars().take(8).collect();
        PathBuf::from("output/serve").join(format!("{}-{hash}", document.name))
    });
    fs::create_dir_all(&folder).input(|| format!("cannot make the state folder {}", folder.display()))?;
    let folder = folder.canonicalize().input(|| format!("cannot open the state folder {}", folder.display()))?;
    let _lock = lock_folder(&folder)?;
    let session = match Session::read(&folder.join("session.json"))? {
        Some(session) => fitted(session, &plan),
        None => first_session(&document, &plan),
    };
    session.check()?;
    let precision = match args.precision {
        Some(EmbedPrecision::Float32) => Precision::Float32,
        None | Some(EmbedPrecision::Float16) => Precision::Float16,
        Some(EmbedPrecision::Int8) => Precision::Int8,
    };
    let (listener, address) = listen(args)?;
    let parts = Parts {
        scenes: plan.scenes.iter().map(served).collect(),
        runs: Runs::open(folder.join("runs")),
        stop: Stop::listen()?,
        folder,
        document,
        bundle,
        device,
        precision,
        trust,
        plan,
        session,
    };
    let shared = Arc::new(Shared::new(parts));
    let known = Arc::new(known);
    api::restore_look(&shared, &known)?;
    let page = format!("http://{}:{}/", shown(address), address.port());
    let opened = token.as_ref().map_or_else(|| page.clone(), |token| format!("{page}?token={token}"));
    reporter.note(&format!("Open {page} (Ctrl-C ends the server)."));
    reporter.note(&format!("Session, embeddings and runs are kept in {}.", shared.folder.display()));
    if args.open {
        open_browser(&opened, reporter);
    }
    let served = shared.stop.orderly(|| {
        let worker = {
            let (shared, known) = (shared.clone(), known.clone());
            thread::spawn(move || Owner::new(&shared, &known).run())
        };
        let application = Arc::new(api::Api::new(shared.clone(), known.clone()));
        let guard = Guard::new(address, token.as_deref());
        let stopping = shared.clone();
        let served = serve::serve(listener, application, guard, move || stopping.is_ending());
        shared.end();
        shared.runs.end();
        let worked = worker.join().map_err(|_| Error::internal("the thread that owns the model panicked"));
        served.and(worked)
    });
    served?;
    reporter.note("The server has ended; the same command goes on from here.");
    Ok(())
}

/// Addresses that other machines reach need a token that nobody guesses.
fn check_address(args: &ServeArgs, token: Option<&str>) -> Result<()> {
    if let Some(token) = token {
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
        if token.len() < LEAST_TOKEN || !token.chars().all(plain) {
            return Err(Error::input(format!(
                "the token has {} characters; {LEAST_TOKEN} or more letters, digits, - and _ are needed",
                token.len()
            ))
            .with_hint("`openssl rand -hex 16` makes one."));
        }
    } else if !args.host.is_loopback() {
        return Err(Error::input(format!("other machines reach the address {}, and there is no token", args.host))
            .with_hint("Give a --token, or leave --host out and use `ssh -L 8765:localhost:8765`."));
    }
    Ok(())
}

fn model(spec: &pipeline::Spec, trust: bool) -> Result<Model> {
    let mut lookup = super::lookup::Lookup::new(trust);
    pipeline::views(spec, &mut lookup)?;
    match lookup.into_model()? {
        Model::Fake(_) => Err(Error::input("the fake models have no image tower, and so nothing to serve")
            .with_hint("Remove --model to use the built-in model, or name a bundle.")),
        bundle => Ok(bundle),
    }
}

fn lock_folder(folder: &std::path::Path) -> Result<FileLock> {
    let path = folder.join(".lock");
    let file = File::create(&path).input(|| format!("cannot write to the state folder {}", folder.display()))?;
    FileLock::take(file).ok_or_else(|| {
        Error::input(format!("another server uses the state folder {}", folder.display()))
            .with_hint("Use its page, or give this one a folder of its own with --state.")
    })
}

fn listen(args: &ServeArgs) -> Result<(TcpListener, SocketAddr)> {
    let wanted = SocketAddr::new(args.host, args.port);
    let cannot = || format!("cannot listen on {wanted}");
    let hint = |error: Error| error.with_hint("Choose another --port; 0 takes any that is free.");
    let listener = TcpListener::bind(wanted).input(cannot).map_err(hint)?;
    let address = listener.local_addr().input(cannot)?;
    Ok((listener, address))
}

fn shown(address: SocketAddr) -> String {
    match address.ip() {
        ip if ip.is_unspecified() => "127.0.0.1".to_owned(),
        std::net::IpAddr::V6(ip) => format!("[{ip}]"),
        ip => ip.to_string(),
    }
}

fn served(plan: &pipeline::ScenePlan) -> ServedScene {
    let info = &plan.info;
    ServedScene {
        title: plan.title(),
        size: info.size,
        grid: TileGrid::new(info),
        ground: crs::ground_of(info.size, info.georeference.as_ref()),
        blocks: Mutex::new(Blocks::new(info.size)),
        look: Mutex::new((0, Arc::new(plan.clone()))),
        pictures: Mutex::default(),
    }
}

/// The classes of the job, or of anybody's first session.
fn first_session(document: &Document, plan: &Plan) -> Session {
    let mut session = Session { revision: 1, threshold: f64::from(plan.method.threshold), ..Session::default() };
    if document.has_classes {
        let prompts_of = |class: &ClassPlan| {
            let known = class.learnt.and_then(|number| plan.learnt.as_ref()?.header.classes.get(number));
            known.map_or_else(|| class.prompts.clone(), |known| known.prompts.clone())
        };
        let words_of = |class: &ClassPlan| {
            let words = prompts_of(class);
            if words == [class.name.clone()] { Vec::new() } else { words }
        };
        session.classes = (1..)
            .zip(&plan.classes)
            .map(|(id, class)| ClassEntry {
                id,
                name: class.name.clone(),
                words: words_of(class),
                colour: Some(forms::hex(class.colour)),
                threshold: class.threshold.map(forms::decimal),
            })
            .collect();
        session.background = plan.background.map(|index| index as u64 + 1);
        let of_file = (1..).zip(&plan.classes).filter(|(_, class)| class.learnt.is_some());
        session.learnt = document.learnt_file().filter(|_| plan.learnt.is_some()).map(|file| LearntStart {
            file,
            classes: session.classes.clone(),
            background: session.background,
            ids: of_file.clone().map(|(id, _)| id).collect(),
            wordless: of_file.filter(|(_, class)| prompts_of(class).is_empty()).map(|(id, _)| id).collect(),
        });
    } else {
        let entry = |(id, words): (u64, &&str)| {
            let words: Vec<String> = words.split(',').map(str::to_owned).collect();
            ClassEntry { id, name: words.first().cloned().unwrap_or_default(), words, colour: None, threshold: None }
        };
        session.classes = (1..).zip(&CLASSES).map(entry).collect();
        session.threshold = 0.0;
    }
    session.threshold = forms::decimal(session.threshold as f32);
    session
}

/// A session of an earlier start, for the scenes that there are now.
fn fitted(mut session: Session, plan: &Plan) -> Session {
    session.examples.retain(|example| example.scene < plan.scenes.len());
    session
}

/// Opens the page with the desktop's browser, where there is one.
fn open_browser(page: &str, reporter: &Reporter) {
    let program = if cfg!(target_os = "macos") { "open" } else { "xdg-open" };
    let started =
        Command::new(program).arg(page).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    match started {
        // Its end is waited for, so that it leaves no trace in the table of processes.
        Ok(mut child) => drop(thread::spawn(move || child.wait())),
        Err(_) => reporter.note(&format!("The browser cannot be opened by `{program}`: open the address yourself.")),
    }
}
