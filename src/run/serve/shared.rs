//! What the web server and the thread that owns the model share.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use super::document::Document;
use super::lock::lock;
use super::runs::Runs;
use crate::embeddings::Precision;
use crate::error::{Error, Result};
use crate::geom::{PixelGround, Size, Window};
use crate::learn::Candidate;
use crate::model::bundle::Bundle;
use crate::model::torch::Device;
use crate::pipeline::{Plan, ScenePlan};
use crate::raster::{SceneReader, Thumbnail};
use crate::run::stop::Stop;
use crate::serve::{Blocks, Session, TileGrid};

/// Clients whose views are remembered, and for how long without a word of theirs.
const MOST_VIEWS: usize = 256;
const FORGET_VIEW: Duration = Duration::from_secs(60);
/// Questions that may wait for the model.
const MOST_ASKS: usize = 32;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// A scene that is served.
pub struct ServedScene {
    pub title: String,
    pub size: Size,
    pub grid: TileGrid,
    /// `None`: no CRS says how large pixels are.
    pub ground: Option<PixelGround>,
    pub blocks: Mutex<Blocks>,
    /// How the scene is seen, and a number that grows when that changes.
    pub look: Mutex<(u64, Arc<ScenePlan>)>,
    pub pictures: Mutex<Option<Pictures>>,
}

/// What tiles of a scene are made from.
pub struct Pictures {
    pub look: u64,
    pub reader: SceneReader,
    /// The whole scene in few pixels, once it was asked for.
    pub thumbnail: Option<Arc<Thumbnail>>,
}

/// A client's part of a scene.
#[derive(Clone, Debug)]
pub struct View {
    pub client: String,
    pub scene: usize,
    pub part: Window,
    seen: Instant,
}

/// A question that the model answers.
pub enum Ask {
    Values { scene: usize, col: usize, row: usize, reply: SyncSender<Result<Values>> },
    Suggest { scene: usize, part: Window, count: usize, reply: SyncSender<Result<Vec<Candidate>>> },
}

/// The values of a pixel.
#[derive(Clone, Debug)]
pub struct Values {
    pub col: usize,
    pub row: usize,
    /// The index of its class; `None`: it has no label.
    pub label: Option<usize>,
    /// Of each class, 0..=1; empty where the pixel has no data.
    pub scores: Vec<f32>,
}

/// What is wanted of the model.
#[derive(Default)]
struct Desk {
    views: Vec<View>,
    asks: VecDeque<Ask>,
}

/// What is known of the model's work.
#[derive(Clone, Debug, Default)]
pub struct News {
    /// The revision that labels are computed with.
    pub revision: u64,
    /// Why the latest classes cannot be used: a sentence, and what to do.
    pub failed: Option<(String, Option<String>)>,
    /// Remarks on the classes.
    pub notes: Vec<String>,
    /// What happens at the moment, in words.
    pub work: String,
    /// Chunks of each scene that are embedded, and all.
    pub embedded: Vec<(usize, usize)>,
    /// The figures of learnt classes.
    pub figures: Option<serde_json::Value>,
    /// Colours of the classes, and their names, in the order of labels.
    pub colours: Vec<[u8; 3]>,
    /// The file of learnt classes in use.
    pub learnt: Option<PathBuf>,
}

pub struct Shared {
    /// Where session, embeddings and runs are.
    pub folder: PathBuf,
    pub document: Document,
    pub bundle: Bundle,
    pub device: Device,
    pub precision: Precision,
    pub trust: bool,
    pub scenes: Vec<ServedScene>,
    /// The plan of the job as it was given, by which its scenes are known.
    pub plan: Plan,
    pub session: Mutex<Session>,
    pub news: Mutex<News>,
    pub runs: Runs,
    pub stop: Stop,
    /// The session's revision, to be seen without a lock.
    revision: AtomicU64,
    /// Somebody waits: work that nobody waits for is interrupted.
    urgent: AtomicBool,
    ended: AtomicBool,
    desk: Mutex<Desk>,
    bell: Condvar,
}

/// All that does not follow from something else.
pub struct Parts {
    pub folder: PathBuf,
    pub document: Document,
    pub bundle: Bundle,
    pub device: Device,
    pub precision: Precision,
    pub trust: bool,
    pub scenes: Vec<ServedScene>,
    pub plan: Plan,
    pub session: Session,
    pub runs: Runs,
    pub stop: Stop,
}

impl Shared {
    pub fn new(parts: Parts) -> Self {
        let Parts { folder, document, bundle, device, precision, trust, scenes, plan, session, runs, stop } = parts;
        Self {
            revision: AtomicU64::new(session.revision),
            news: Mutex::new(News { embedded: vec![(0, 0); scenes.len()], ..News::default() }),
            session: Mutex::new(session),
            urgent: AtomicBool::new(false),
            ended: AtomicBool::new(false),
            desk: Mutex::default(),
            bell: Condvar::new(),
            folder,
            document,
            bundle,
            device,
            precision,
            trust,
            scenes,
            plan,
            runs,
            stop,
        }
    }

    pub fn scene(&self, index: usize) -> Result<&ServedScene> {
        self.scenes
            .get(index)
            .ok_or_else(|| Error::input(format!("there is no scene {index}; there are {}", self.scenes.len())))
    }

    /// Whether all work is to end.
    pub fn is_ending(&self) -> bool {
        self.ended.load(Ordering::Relaxed) || self.stop.signal().is_some()
    }

    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
        self.bell.notify_all();
    }

    pub fn revision(&self) -> u64 {
        self.revision.load(Ordering::Relaxed)
    }

    /// Whether work that nobody waits for is to make room.
    pub fn is_urgent(&self) -> bool {
        self.urgent.load(Ordering::Relaxed)
    }

    /// Changes the session: `change` may refuse. What decides labels makes a new revision. Returns the session as it is now.
    ///
    /// # Errors
    /// The change is refused, or the session cannot be kept.
    pub fn change(&self, decides_labels: bool, change: impl FnOnce(&mut Session) -> Result<()>) -> Result<Session> {
        let mut session = lock(&self.session);
        let mut changed = session.clone();
        change(&mut changed)?;
        changed.revision += u64::from(decides_labels);
        changed.check()?;
        changed.write(&self.session_path())?;
        *session = changed.clone();
        drop(session);
        self.revision.store(changed.revision, Ordering::Relaxed);
        self.wake();
        Ok(changed)
    }

    pub fn session_path(&self) -> PathBuf {
        self.folder.join("session.json")
    }

    /// Says that a client looks at a part of a scene.
    pub fn look_at(&self, client: &str, scene: usize, part: Window) {
        let mut desk = lock(&self.desk);
        desk.views.retain(|view| view.client != client && view.seen.elapsed() < FORGET_VIEW);
        if desk.views.len() >= MOST_VIEWS {
            desk.views.remove(0);
        }
        desk.views.push(View { client: client.to_owned(), scene, part, seen: Instant::now() });
        drop(desk);
        self.wake();
    }

    /// Says that a client is still there.
    pub fn stay(&self, client: &str) {
        if let Some(view) = lock(&self.desk).views.iter_mut().find(|view| view.client == client) {
            view.seen = Instant::now();
        }
    }

    /// Asks the model and waits for the answer.
    ///
    /// # Errors
    /// Too many ask, or the model cannot answer.
    pub fn ask<T>(&self, question: impl FnOnce(SyncSender<Result<T>>) -> Ask) -> Result<T> {
        let (reply, answer) = std::sync::mpsc::sync_channel(1);
        {
            let mut desk = lock(&self.desk);
            if desk.asks.len() >= MOST_ASKS {
                return Err(Error::input("too many questions wait for the model").with_hint("Ask again in a second."));
            }
            desk.asks.push_back(question(reply));
        }
        self.wake();
        answer
            .recv_timeout(PATIENCE)
            .map_err(|_| Error::input("the model is busy").with_hint("Ask again in a minute."))?
    }

    fn wake(&self) {
        self.urgent.store(true, Ordering::Relaxed);
        self.bell.notify_all();
    }

    /// The next question, and the views, the newest first. Work that nobody waits for may go on after this.
    pub fn wanted(&self) -> (Option<Ask>, Vec<View>) {
        self.urgent.store(false, Ordering::Relaxed);
        let mut desk = lock(&self.desk);
        desk.views.retain(|view| view.seen.elapsed() < FORGET_VIEW);
        (desk.asks.pop_front(), desk.views.iter().rev().cloned().collect())
    }

    /// Waits until something is wanted, or for a moment.
    pub fn wait(&self) {
        let desk = lock(&self.desk);
        if !self.is_urgent() && !self.is_ending() {
            drop(self.bell.wait_timeout(desk, Duration::from_millis(200)));
        }
    }

    pub fn tell(&self, change: impl FnOnce(&mut News)) {
        change(&mut lock(&self.news));
    }
}
