//! The thread that owns the model: it answers questions, labels what somebody looks at, and then the rest from the middle outwards.
//!
//! ```text
//!  step:  a question ─► a new revision (words, lesson, model) ─► the newest view ─► the rest of the scenes
//! ```
//!
//! Work is cut into units of a second or less. A unit that nobody waits for is dropped when somebody does; a unit of an earlier
//! revision is dropped when the classes change.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::document::TokenStore;
use super::known::{Known, KnownLookup};
use super::lessons::Lessons;
use super::lock::lock;
use super::open_scenes::{OpenScene, OpenScenes};
use super::shared::{Ask, Shared, Values, View};
use super::suggest;
use super::words::Words;
use crate::error::{Error, Result};
use crate::geom::Window;
use crate::model::registry::Model;
use crate::model::{Segmenter, TokenSource};
use crate::pipeline::{self, ScenePlan};
use crate::run::engine::{RegionSource, region};
use crate::run::job;
use crate::run::learnt;
use crate::run::prepared::PreparedJob;
use crate::serve::{Legend, Session};

/// Blocks along a side of a unit: of labels, of labels whose tokens are missing (so that something is soon to be seen), and of work that
/// nobody waits for.
const UNIT: usize = 12;
const UNIT_WITHOUT_TOKENS: usize = 4;
const UNIT_OF_REST: usize = 6;
/// Before a failed unit is tried again.
const AFTER_FAILURE: Duration = Duration::from_secs(5);

/// Classes with which labels are computed.
pub struct Ready {
    pub revision: u64,
    pub job: PreparedJob,
    pub segmenter: Box<dyn Segmenter>,
    pub legend: Arc<Legend>,
}

pub struct Owner<'a> {
    shared: &'a Shared,
    known: &'a Known,
    model: Model,
    words: Words,
    lessons: Lessons,
    scenes: OpenScenes<'a>,
    ready: Option<Ready>,
    /// The revision that cannot be used.
    failed: Option<u64>,
    /// When a unit failed, and of which scene.
    broken: HashMap<usize, Instant>,
}

impl<'a> Owner<'a> {
    pub fn new(shared: &'a Shared, known: &'a Known) -> Self {
        Self {
            model: Model::Bundle(Box::new(shared.bundle.clone())),
            shared,
            known,
            words: Words::default(),
            lessons: Lessons::default(),
            scenes: OpenScenes::new(shared),
            ready: None,
            failed: None,
            broken: HashMap::new(),
        }
    }

    /// Works until the server ends.
    pub fn run(mut self) {
        while !self.shared.is_ending() {
            if !self.step() {
                self.shared.tell(|news| news.work.clear());
                self.shared.wait();
            }
        }
    }

    /// Does the next unit of work; `false`: there is none.
    fn step(&mut self) -> bool {
        let (ask, views) = self.shared.wanted();
        if let Some(ask) = ask {
            self.answer(ask);
            return true;
        }
        let session = lock(&self.shared.session).clone();
        let is_ready = self.ready.as_ref().is_some_and(|ready| ready.revision == session.revision);
        if !is_ready && self.failed != Some(session.revision) {
            self.prepare(&session);
            return true;
        }
        if !is_ready {
            return false;
        }
        match self.next(&views, session.revision) {
            None => false,
            Some((scene, part, waited_for)) => {
                if let Err(error) = self.unit(scene, part, waited_for) {
                    self.broken.insert(scene, Instant::now());
                    let hint = error.hint().map(str::to_owned);
                    let text = [vec![error.to_string()], error.causes()].concat().join(": ");
                    if !self.shared.is_ending() {
                        self.shared.tell(|news| news.failed = Some((text, hint)));
                    }
                }
                true
            }
        }
    }

    /// The next part to label: of the newest view that lacks some, else the rest of the scene that was looked at last, from the middle of
    /// what is looked at outwards. Also whether somebody waits for it.
    fn next(&mut self, views: &[View], revision: u64) -> Option<(usize, Window, bool)> {
        self.broken.retain(|_, when| when.elapsed() < AFTER_FAILURE);
        let shared = self.shared;
        let usable = |scene: usize| !self.broken.contains_key(&scene);
        let missing = |scene: usize, part: Window, most: usize| {
            let blocks = &shared.scenes.get(scene)?.blocks;
            lock(blocks).missing(part, revision, most)
        };
        for view in views.iter().filter(|view| usable(view.scene)) {
            if let Some(part) = missing(view.scene, view.part, UNIT) {
                if self.scenes.get(view.scene).is_some_and(|open| open.has_tokens(part)) {
                    return Some((view.scene, part, true));
                }
                return missing(view.scene, view.part, UNIT_WITHOUT_TOKENS).map(|part| (view.scene, part, true));
            }
        }
        let mut order: Vec<usize> = views.iter().map(|view| view.scene).collect();
        order.extend(0..shared.scenes.len());
        let whole = |scene: usize| shared.scenes.get(scene).map(|served| served.size.window());
        let lacks =
            |scene: &usize| usable(*scene) && whole(*scene).and_then(|all| missing(*scene, all, UNIT)).is_some();
        let scene = order.into_iter().find(lacks)?;
        let whole = whole(scene)?;
        // Around what is looked at first: a square that grows until it holds something that is missing.
        let view = views.iter().find(|view| view.scene == scene).map_or(whole, |view| view.part);
        let mut part = view;
        while part != whole {
            if let Some(part) = missing(scene, part, UNIT_OF_REST) {
                return Some((scene, part, false));
            }
            part = grown(part, whole);
        }
        missing(scene, whole, UNIT_OF_REST).map(|part| (scene, part, false))
    }

    /// Labels a part: embeds what is missing first.
    fn unit(&mut self, scene: usize, part: Window, waited_for: bool) -> Result<()> {
        let shared = self.shared;
        let revision = shared.revision();
        let go_on = || !shared.is_ending() && shared.revision() == revision && (waited_for || !shared.is_urgent());
        self.scenes.open(scene)?;
        if !self.scenes.embed(scene, part, &go_on)? {
            return Ok(());
        }
        let (Some(ready), Some(open)) = (&mut self.ready, self.scenes.get(scene)) else { return Ok(()) };
        shared.tell(|news| "classifying".clone_into(&mut news.work));
        let plan = plan_of(&ready.job, scene)?;
        let source = RegionSource { job: &ready.job, scene: plan, tokens: &open.store, reader: &open.reader };
        if let Some(labelled) = region(&source, ready.segmenter.as_mut(), part, false, &go_on)?
            && let Some(served) = shared.scenes.get(scene)
            && ready.revision == revision
        {
            let area = |col, row| served.ground.as_ref().map_or(1.0, |ground| ground.pixel_area(col, row));
            lock(&served.blocks).put(part, &labelled.labels, &ready.legend, area);
            shared.tell(|news| news.failed = None);
        }
        Ok(())
    }

    /// Makes the classes of a session ready for use, or says why they cannot be.
    fn prepare(&mut self, session: &Session) {
        self.shared.tell(|news| "reading the words".clone_into(&mut news.work));
        match self.readied(session) {
            Ok(Some(ready)) => {
                self.failed = None;
                let job = &ready.job;
                let colours = job.classes.iter().map(|class| class.colour).collect();
                let few = "Examples count once two classes have some.".to_owned();
                let few = (!session.examples.is_empty() && job.plan.learnt.is_none()).then_some(few);
                let learnt = session.can_learn().then_some(&self.lessons.notes).into_iter().flatten();
                let notes = job.plan.notes.iter().chain(&self.words.notes).chain(learnt).cloned().chain(few).collect();
                let of_file = job.plan.learnt.as_ref().map(|learnt| learnt.header.figures.clone());
                let figures = of_file.flatten();
                let file = self.lessons.file.clone().filter(|_| session.can_learn());
                self.shared.tell(|news| {
                    news.revision = ready.revision;
                    (news.failed, news.notes, news.figures) = (None, notes, figures);
                    (news.colours, news.learnt) = (colours, file);
                });
                self.scenes.tiling = ready.job.plan.tiling;
                self.ready = Some(ready);
            }
            // Interrupted: another revision waits.
            Ok(None) => {}
            Err(error) => {
                self.failed = Some(session.revision);
                let text = [vec![error.to_string()], error.causes()].concat().join(": ");
                let hint = error.hint().map(str::to_owned);
                self.shared.tell(|news| news.failed = Some((text, hint)));
            }
        }
    }

    fn readied(&mut self, session: &Session) -> Result<Option<Ready>> {
        if session.classes.is_empty() {
            return Err(Error::input("there is no class yet").with_hint("Add a class: a word for what is to be found."));
        }
        let mut job = self.job(session, None)?;
        if session.can_learn() {
            let learnt = self.lessons.learn(self.shared, &mut self.scenes, &mut self.words, &job, session)?;
            let Some(file) = learnt else { return Ok(None) };
            job = self.job(session, Some(&file))?;
        }
        let words = self.words.queries(&job.plan, &self.shared.bundle, self.shared.device, &self.scenes.reporter)?;
        let queries = job::with_learnt(&job.plan, words);
        let segmenter = job::of_queries(&job, &self.shared.bundle, &queries, TokenSource::Images)?;
        let legend = Legend {
            revision: session.revision,
            names: job.classes.iter().map(|class| class.name.clone()).collect(),
            colours: job.classes.iter().map(|class| class.colour).collect(),
        };
        Ok(Some(Ready { revision: session.revision, job, segmenter, legend: legend.into() }))
    }

    /// The job of a session.
    fn job(&self, session: &Session, learnt: Option<&Path>) -> Result<PreparedJob> {
        let shared = self.shared;
        let text = shared.document.text(session, learnt, None, None)?;
        let spec = shared.document.spec(&text)?;
        let mut plan = pipeline::resolve(&spec, &mut KnownLookup { known: self.known, model: &self.model })?;
        // What was learnt from examples alone goes on without words, until it gets some.
        let wordless = |id: &u64| session.learnt.as_ref().is_some_and(|start| start.wordless.contains(id));
        for (class, entry) in plan.classes.iter_mut().zip(&session.classes) {
            if session.can_learn() && entry.words.is_empty() && wordless(&entry.id) {
                class.prompts.clear();
            }
        }
        learnt::check(&plan, &self.model)?;
        if plan.method.d4 {
            return Err(Error::input("a preview has no test-time augmentation, and the job has `method.tta: d4`")
                .with_hint("Remove the key while you try classes, and put it back into the job that is saved."));
        }
        Ok(PreparedJob::new(plan, self.model.clone(), shared.device, text))
    }

    fn answer(&mut self, ask: Ask) {
        // Whoever asked may be gone.
        match ask {
            Ask::Values { scene, col, row, reply } => drop(reply.try_send(self.values(scene, col, row))),
            Ask::Suggest { scene, part, count, reply } => drop(reply.try_send(self.suggest(scene, part, count))),
        }
    }

    fn ready_and_open(&mut self, scene: usize, part: Window) -> Result<(&mut Ready, &OpenScene)> {
        let session = lock(&self.shared.session).clone();
        if self.ready.as_ref().is_none_or(|ready| ready.revision != session.revision) {
            self.prepare(&session);
        }
        self.scenes.open(scene)?;
        let shared = self.shared;
        self.scenes.embed(scene, part, &|| !shared.is_ending())?;
        match (&mut self.ready, self.scenes.get(scene)) {
            (Some(ready), Some(open)) => Ok((ready, open)),
            _ => Err(Error::input("there are no classes to compute with").with_hint("Add a class.")),
        }
    }

    fn values(&mut self, scene: usize, col: usize, row: usize) -> Result<Values> {
        let part = Window { col, row, width: 1, height: 1 };
        let (ready, open) = self.ready_and_open(scene, part)?;
        let plan = plan_of(&ready.job, scene)?;
        let source = RegionSource { job: &ready.job, scene: plan, tokens: &open.store, reader: &open.reader };
        let labelled = region(&source, ready.segmenter.as_mut(), part, true, &|| true)?.unwrap_or_default();
        let label = labelled.labels.first().map(|label| usize::from(*label)).filter(|it| *it < ready.job.classes.len());
        let known = labelled.scores.iter().all(|score| score.is_finite());
        Ok(Values { col, row, label, scores: if known { labelled.scores } else { Vec::new() } })
    }

    fn suggest(&mut self, scene: usize, part: Window, count: usize) -> Result<Vec<crate::learn::Candidate>> {
        let (ready, open) = self.ready_and_open(scene, part)?;
        let plan = plan_of(&ready.job, scene)?;
        let source = RegionSource { job: &ready.job, scene: plan, tokens: &open.store, reader: &open.reader };
        suggest::places(&source, ready.segmenter.as_mut(), part, count)
    }
}

fn plan_of(job: &PreparedJob, scene: usize) -> Result<&ScenePlan> {
    job.plan.scenes.get(scene).ok_or_else(|| Error::internal(format!("the job has no scene {scene}")))
}

/// A window half as wide and high again, within a scene.
fn grown(part: Window, whole: Window) -> Window {
    let span = |start: usize, length: usize, most: usize| {
        let more = (length / 4).max(64);
        let first = start.saturating_sub(more);
        (first, (start + length + more).min(most) - first)
    };
    let ((col, width), (row, height)) =
        (span(part.col, part.width, whole.width), span(part.row, part.height, whole.height));
    Window { col, row, width, height }
}

/// The store of a saved job.
pub fn token_store<'a>(shared: &Shared, folder: &'a Path) -> TokenStore<'a> {
    TokenStore { folder, precision: shared.precision }
}
