//! Addresses and what they do: the page, its API in JSON, and tiles.

use std::fs::File;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use serde_yaml::Mapping;

use super::changes::{self, Changes, changes};
use super::document::near;
use super::forms::{
    BackgroundForm, ClassNumbers, ClassesForm, ExampleForm, JobForm, LookForm, OutputsChoice, ViewForm, hex,
};
use super::known::{Known, KnownLookup};
use super::lock::lock;
use super::open_scenes::store_folder;
use super::outlines::{self, Outlines, outlines};
use super::owner::token_store;
use super::runs::RESULTS;
use super::shared::{Ask, News, ServedScene, Shared};
use super::tiles::{TileLayer, render};
use super::{jobs, lessons};
use crate::error::{Context as _, Error, Result};
use crate::geom::Window;
use crate::model::registry::Model;
use crate::pipeline::{self, Plan};
use crate::scene::same_name;
use crate::serve::{
    Application, Awaited, Body, Lane, Method, Request, Response, Session, SessionExample, Shape, TilePixels, WmtsLayer,
    asset, capabilities,
};

/// Letters of a client's name, and places that can be suggested at once.
const MOST_NAME: usize = 64;
const MOST_SUGGESTIONS: usize = 50;

/// The API's addresses, for `GET /api`.
const ADDRESSES: [&str; 28] = [
    "GET /api/state?client=NAME&scene=N",
    "PUT /api/classes",
    "PUT /api/look",
    "PUT /api/background",
    "POST /api/scenes/N/view",
    "GET /api/scenes/N/values?x=X&y=Y",
    "GET /api/scenes/N/suggestions?left=X&bottom=Y&right=X&top=Y&count=8",
    "GET /api/scenes/N/outlines?recipe=RECIPE&left=X&bottom=Y&right=X&top=Y",
    "GET /api/scenes/N/changes?since=N&left=X&bottom=Y&right=X&top=Y",
    "POST /api/examples",
    "POST /api/examples/undo",
    "DELETE /api/examples/ID",
    "GET /api/examples.gpkg",
    "GET /api/classes.safetensors",
    "GET /api/job.yaml",
    "POST /api/jobs",
    "GET /api/runs",
    "POST /api/runs",
    "POST /api/runs/N/cancel",
    "POST /api/runs/N/resume",
    "GET /api/runs/N/files",
    "GET /api/runs/N/files/N",
    "GET /tiles/scene/Z/X/Y.png",
    "GET /tiles/labels/Z/X/Y.png",
    "GET /tiles/scene-N/Z/X/Y.png",
    "GET /tiles/labels-N/Z/X/Y.png",
    "GET /tiles/change-N-SINCE/Z/X/Y.png",
    "GET /wmts",
];

pub struct Api {
    shared: Arc<Shared>,
    known: Arc<Known>,
    model: Model,
    outlines: Outlines,
    changes: Changes,
}

/// A tile that a request asks for.
struct Wanted<'a> {
    layer: TileLayer,
    scene: &'a ServedScene,
    pixels: TilePixels,
    number: usize,
}

impl Api {
    pub fn new(shared: Arc<Shared>, known: Arc<Known>) -> Self {
        let model = Model::Bundle(Box::new(shared.bundle.clone()));
        Self { shared, known, model, outlines: Outlines::default(), changes: Changes::default() }
    }

    /// The tile of `/tiles/LAYER/Z/X/Y.png`; `None`: there is no such layer or number.
    fn tile(&self, request: &Request) -> Option<Result<Wanted<'_>>> {
        let route = request.route();
        let ["tiles", layer, zoom, x, y] = route.as_slice() else { return None };
        let (layer, number) = TileLayer::named(layer)?;
        let scene = self.shared.scenes.get(number)?;
        let (zoom, x, y) = (zoom.parse().ok()?, x.parse().ok()?, y.strip_suffix(".png")?.parse().ok()?);
        Some(scene.grid.tile(zoom, x, y).map(|pixels| Wanted { layer, scene, pixels, number }))
    }

    /// The labels that a tile needs and that are not there yet; they are asked for.
    fn awaited(&self, request: &Request) -> Option<Awaited> {
        let wanted = self.tile(request)?.ok()?;
        let awaited = Awaited { scene: wanted.number, part: wanted.pixels.part? };
        if self.is_ready(&awaited) {
            return None;
        }
        self.shared.look_at(&request.path.join("/"), awaited.scene, awaited.part);
        Some(awaited)
    }

    fn answered(&self, request: &Request) -> Result<Response> {
        let shared = &*self.shared;
        let route = request.route();
        let number = |text: &str| text.parse::<usize>().map_err(|_| Error::input(format!("{text:?} is not a number")));
        Ok(match (request.method, route.as_slice()) {
            (Method::Get, [name @ ("" | "page.css" | "map.js" | "page.js")]) => {
                let xyz = lock(&shared.session).xyz.clone();
                let origin = xyz.as_deref().and_then(|address| {
                    let (scheme, rest) = address.split_once("://")?;
                    Some(format!("{scheme}://{}", rest.split('/').next()?))
                });
                asset(name, origin.as_deref()).unwrap_or_else(|| Response::not_found("such file"))
            }
            (Method::Get, ["favicon.ico"]) => Response::new("image/x-icon", Vec::new()).with_status(204),
            (Method::Get, ["api"]) => Response::json(&json!({
                "program": "segearth", "version": env!("CARGO_PKG_VERSION"), "addresses": ADDRESSES,
            })),
            (Method::Get, ["api", "state"]) => Response::json(&self.state(request)),
            (Method::Put, ["api", "classes"]) => self.classes(request.json()?)?,
            (Method::Put, ["api", "look"]) => self.look(request.json()?)?,
            (Method::Put, ["api", "background"]) => {
                let BackgroundForm { xyz } = request.json()?;
                self.changed(shared.change(false, |session| {
                    session.xyz = xyz.filter(|address| !address.trim().is_empty());
                    Ok(())
                })?)
            }
            (Method::Post, ["api", "scenes", scene, "view"]) => {
                let ViewForm { client, bounds } = request.json()?;
                let scene = number(scene)?;
                let served = shared.scene(scene)?;
                check_client(&client)?;
                if let Some(part) = served.grid.part(bounds) {
                    shared.look_at(&client, scene, part);
                }
                Response::json(&json!({"revision": shared.revision()}))
            }
            (Method::Get, ["api", "scenes", scene, "values"]) => self.values(number(scene)?, request)?,
            (Method::Get, ["api", "scenes", scene, "suggestions"]) => self.suggestions(number(scene)?, request)?,
            (Method::Get, ["api", "scenes", scene, "outlines"]) => self.outlines(number(scene)?, request)?,
            (Method::Get, ["api", "scenes", scene, "changes"]) => self.changes(number(scene)?, request)?,
            (Method::Post, ["api", "examples"]) => self.example(request.json()?)?,
            (Method::Post, ["api", "examples", "undo"]) => self.changed(shared.change(true, |session| {
                session.examples.pop().map(drop).ok_or_else(|| Error::input("there is no example to undo"))
            })?),
            (Method::Delete, ["api", "examples", id]) => {
                let id = number(id)? as u64;
                self.changed(shared.change(true, |session| {
                    let count = session.examples.len();
                    session.examples.retain(|example| example.id != id);
                    match session.examples.len() < count {
                        true => Ok(()),
                        false => Err(Error::input(format!("there is no example {id}"))),
                    }
                })?)
            }
            (Method::Get, ["api", "examples.gpkg"]) => {
                let folder =
                    tempfile::tempdir_in(&shared.folder).input(|| "cannot write to the state folder".into())?;
                let path = folder.path().join("examples.gpkg");
                lessons::write(&path, shared, &lock(&shared.session).clone(), None)?;
                let bytes = std::fs::read(&path).input(|| "cannot read the examples back".into())?;
                download(Response::new("application/geopackage+sqlite3", bytes), "examples.gpkg")
            }
            (Method::Get, ["api", "classes.safetensors"]) => {
                let file = jobs::learnt_file(shared)?
                    .ok_or_else(|| Error::input("no classes are learnt").with_hint("Give examples first."))?;
                let bytes = std::fs::read(&file).input(|| format!("cannot read {}", file.display()))?;
                download(Response::new("application/octet-stream", bytes), "classes.safetensors")
            }
            (Method::Get, ["api", "job.yaml"]) => {
                let learnt = jobs::learnt_file(shared)?;
                let text = self.job_text(learnt.as_deref(), &shared.document.outputs, None)?;
                download(Response::new("application/yaml", text), "job.yaml")
            }
            (Method::Post, ["api", "jobs"]) => self.save(&request.json()?)?,
            (Method::Get, ["api", "runs"]) => Response::json(&json!({"runs": shared.runs.list()})),
            (Method::Post, ["api", "runs"]) => self.start(&request.json()?)?,
            (Method::Post, ["api", "runs", run, "cancel"]) => {
                shared.runs.cancel(number(run)?)?;
                Response::json(&json!({"runs": shared.runs.list()}))
            }
            (Method::Post, ["api", "runs", run, "resume"]) => {
                shared.runs.resume(number(run)?, shared.trust)?;
                Response::json(&json!({"runs": shared.runs.list()}))
            }
            (Method::Get, ["api", "runs", run, "files"]) => {
                Response::json(&json!({"files": shared.runs.files(number(run)?)?}))
            }
            (Method::Get, ["api", "runs", run, "files", file]) => {
                let files = shared.runs.files(number(run)?)?;
                let Some(found) = files.into_iter().nth(number(file)?) else {
                    return Ok(Response::not_found("such file"));
                };
                let opened = File::open(&found.path).input(|| format!("cannot open {}", found.name))?;
                let bytes = opened.metadata().map_or(0, |metadata| metadata.len());
                let response = Response {
                    status: 200,
                    media_type: "application/octet-stream",
                    body: Body::File(opened, bytes),
                    headers: Vec::new(),
                };
                download(response, &found.name)
            }
            (Method::Get, ["wmts"]) => self.wmts(request),
            (Method::Get, ["tiles", ..]) => match self.tile(request) {
                None => Response::not_found("such tile"),
                Some(Err(error)) => Response::of_error(&error).with_status(404),
                Some(Ok(wanted)) => self.tile_response(request, &wanted)?,
            },
            (_, ["" | "page.css" | "map.js" | "page.js" | "wmts" | "favicon.ico"] | ["tiles" | "api", ..]) => {
                Response::refusal(405, "This address does not know this method.", Some("GET /api lists what there is."))
            }
            _ => Response::not_found("such address"),
        })
    }

    /// The session with what is known of its work.
    fn state(&self, request: &Request) -> Value {
        let shared = &*self.shared;
        if let Some(client) = request.query.get("client") {
            shared.stay(client);
        }
        let session = lock(&shared.session).clone();
        let news = lock(&shared.news).clone();
        let scene = request.query.get("scene").and_then(|scene| scene.parse().ok()).unwrap_or(0usize);
        let scenes: Vec<Value> = shared
            .scenes
            .iter()
            .enumerate()
            .map(|(index, served)| {
                let (done, all) = news.embedded.get(index).copied().unwrap_or_default();
                json!({
                    "title": served.title, "width": served.size.width, "height": served.size.height, "grid": served.grid,
                    "layers": [TileLayer::Scene.name(index), TileLayer::Labels.name(index)],
                    "look": lock(&served.look).0, "embedded": {"done": done, "all": all},
                })
            })
            .collect();
        let labels = shared.scenes.get(scene).map(|served| labels(served, &session, &news));
        json!({
            "name": shared.document.name,
            "model": shared.bundle.card.name,
            "revision": session.revision,
            "classes": classes(&session, &news),
            "background": session.background,
            "threshold": session.threshold,
            "bands": session.bands,
            "stretch": session.stretch,
            "xyz": session.xyz,
            "examples": self.examples(&session),
            "scenes": scenes,
            "scene": scene,
            "labels": labels,
            "ready": news.revision == session.revision,
            "work": news.work,
            "error": news.failed.as_ref().map(|(sentence, hint)| json!({"error": sentence, "hint": hint})),
            "notes": news.notes,
            "figures": news.figures,
            "outputs": shared.document.chosen(),
            "runs": shared.runs.list(),
        })
    }

    /// The examples on the map.
    fn examples(&self, session: &Session) -> Vec<Value> {
        let place = |example: &SessionExample| {
            let served = self.shared.scenes.get(example.scene)?;
            let (kind, places) = match &example.shape {
                Shape::Point(place) => ("point", vec![*place]),
                Shape::Polygon(corners) => ("polygon", corners.clone()),
            };
            let on_map = served.grid.to_map(&places);
            Some(
                json!({"id": example.id, "scene": example.scene, "class": example.class, "kind": kind, "places": on_map}),
            )
        };
        session.examples.iter().filter_map(place).collect()
    }

    fn changed(&self, session: Session) -> Response {
        Response::json(&json!({"revision": session.revision}))
    }

    /// The plan of a session that is not yet in force.
    fn planned(&self, session: &Session) -> Result<Plan> {
        let shared = &*self.shared;
        session.check()?;
        let text = shared.document.text(session, None, None, None)?;
        let spec = shared.document.spec(&text)?;
        pipeline::resolve(&spec, &mut KnownLookup { known: &self.known, model: &self.model })
    }

    fn classes(&self, form: ClassesForm) -> Result<Response> {
        let shared = &*self.shared;
        let ClassesForm { revision, classes, background, threshold } = form;
        let mut session = lock(&shared.session).clone();
        if revision.is_some_and(|revision| revision != session.revision) {
            let sentence = "Somebody else has changed the session.";
            return Ok(Response::refusal(409, sentence, Some("Read /api/state and make the change again.")));
        }
        // As in a job, a class of this name is the background unless another one is.
        let named = || classes.iter().find(|class| same_name(&class.name, "background")).map(|class| class.id);
        let background = background.or_else(named);
        let apply = move |session: &mut Session| {
            session.examples.retain(|example| classes.iter().any(|class| class.id == example.class));
            (session.classes, session.background, session.threshold) = (classes, background, threshold);
            Ok(())
        };
        apply.clone()(&mut session)?;
        if !session.classes.is_empty() {
            self.planned(&session)?;
        }
        Ok(self.changed(shared.change(true, apply)?))
    }

    fn look(&self, form: LookForm) -> Result<Response> {
        let shared = &*self.shared;
        let LookForm { bands, stretch } = form;
        let stretch = stretch.filter(|stretch| !stretch.trim().is_empty());
        let mut session = lock(&shared.session).clone();
        (session.bands, session.stretch) = (bands.clone(), stretch.clone());
        let plan = self.planned(&session)?;
        let session = shared.change(true, |session| {
            (session.bands, session.stretch) = (bands, stretch);
            Ok(())
        })?;
        see(shared, plan);
        Ok(self.changed(session))
    }

    fn example(&self, form: ExampleForm) -> Result<Response> {
        let ExampleForm { scene, class, point, polygon } = form;
        let served = self.shared.scene(scene)?;
        let shape = match (point, polygon) {
            (Some(point), None) => {
                let place = served.grid.to_scene(&[point]).into_iter().next().unwrap_or([f64::NAN; 2]);
                let [col, row] = place;
                let inside =
                    col >= 0.0 && row >= 0.0 && col < served.size.width as f64 && row < served.size.height as f64;
                if !inside {
                    return Err(Error::input("the point lies beside the scene"));
                }
                Shape::Point(place)
            }
            (None, Some(corners)) => Shape::Polygon(served.grid.to_scene(&corners)),
            _ => return Err(Error::input("an example is a point or a polygon").with_hint("Give one of the two keys.")),
        };
        let session = self.shared.change(true, |session| {
            let id = session.next_example();
            session.examples.push(SessionExample { id, scene, class, shape });
            Ok(())
        })?;
        Ok(self.changed(session))
    }

    fn values(&self, scene: usize, request: &Request) -> Result<Response> {
        let served = self.shared.scene(scene)?;
        let place = served.grid.to_scene(&[[request.number("x")?, request.number("y")?]]);
        let [col, row] = place.into_iter().next().unwrap_or([f64::NAN; 2]);
        let size = served.size;
        if !(col >= 0.0 && row >= 0.0 && col < size.width as f64 && row < size.height as f64) {
            return Ok(Response::json(&json!({"inside": false})));
        }
        let (col, row) = (col as usize, row as usize);
        let values = self.shared.ask(|reply| Ask::Values { scene, col, row, reply })?;
        let names: Vec<String> = lock(&self.shared.session).classes.iter().map(|class| class.name.clone()).collect();
        let mut sorted: Vec<(usize, f32)> = values.scores.iter().copied().enumerate().collect();
        sorted.sort_by(|a, b| b.1.total_cmp(&a.1));
        let margin = match sorted.as_slice() {
            [first, second, ..] => Some(f64::from(first.1 - second.1)),
            _ => None,
        };
        let scores: Vec<Value> =
            sorted.iter().map(|(class, score)| json!({"class": names.get(*class), "score": score})).collect();
        let label = values.label.and_then(|label| names.get(label).cloned());
        Ok(Response::json(&json!({
            "inside": true, "col": values.col, "row": values.row, "label": label, "scores": scores, "margin": margin,
        })))
    }

    fn suggestions(&self, scene: usize, request: &Request) -> Result<Response> {
        let served = self.shared.scene(scene)?;
        let count = request.number("count").unwrap_or(8.0).clamp(1.0, MOST_SUGGESTIONS as f64) as usize;
        let part = part(served, request)?;
        let found = self.shared.ask(|reply| Ask::Suggest { scene, part, count, reply })?;
        let places: Vec<[f64; 2]> =
            found.iter().map(|place| [place.col as f64 + 0.5, place.row as f64 + 0.5]).collect();
        let names: Vec<String> = lock(&self.shared.session).classes.iter().map(|class| class.name.clone()).collect();
        let on_map = served.grid.to_map(&places);
        let listed: Vec<Value> = found
            .iter()
            .zip(on_map)
            .map(|(place, at)| {
                json!({"place": at, "margin": place.margin, "first": names.get(place.first), "second": names.get(place.second)})
            })
            .collect();
        Ok(Response::json(&json!({"suggestions": listed})))
    }

    fn outlines(&self, scene: usize, request: &Request) -> Result<Response> {
        let served = self.shared.scene(scene)?;
        let part = part(served, request)?;
        let recipe = request.query.get("recipe").cloned().unwrap_or_else(|| "plain".to_owned());
        let choice = OutputsChoice { polygons: Some(recipe), ..OutputsChoice::default() };
        let outputs = self.outputs(&JobForm { outputs: Some(choice), ..JobForm::default() })?;
        let session = lock(&self.shared.session).clone();
        let text = self.shared.document.text(&session, None, None, Some(&outputs))?;
        let spec = self.shared.document.spec(&text)?;
        let plan = pipeline::resolve(&spec, &mut KnownLookup { known: &self.known, model: &self.model })?;
        let product = plan.product.ok_or_else(|| Error::internal("a recipe without a product"))?;
        let known = request.query.get("known").map(String::as_str);
        Ok(match outlines(&self.shared, &self.outlines, scene, part, product, known)? {
            outlines::Found::Shapes(shapes) => Response::json(&*shapes),
            outlines::Found::Busy => busy(),
        })
    }

    fn changes(&self, scene: usize, request: &Request) -> Result<Response> {
        let part = part(self.shared.scene(scene)?, request)?;
        let since = request.number("since")?;
        if since < 0.0 || since.fract() != 0.0 {
            return Err(Error::input(format!("since in the query is {since}; it must be the number of a scene")));
        }
        Ok(match changes(&self.shared, &self.changes, since as usize, scene, part)? {
            changes::Found::Numbers(numbers) => Response::json(&numbers),
            changes::Found::Busy => busy(),
        })
    }

    fn tile_response(&self, request: &Request, wanted: &Wanted<'_>) -> Result<Response> {
        let changes = &self.changes;
        let tag = match wanted.layer {
            TileLayer::Scene => format!("\"s{}\"", lock(&wanted.scene.look).0),
            TileLayer::Labels => format!("\"l{}\"", lock(&wanted.scene.blocks).changes()),
            TileLayer::Change { since } => {
                format!("\"c{}\"", changes.with(since, wanted.number, crate::serve::Blocks::changes).unwrap_or(0))
            }
        };
        if request.known.as_ref() == Some(&tag) {
            let unchanged = Response::new("image/png", Vec::new()).with_status(304);
            return Ok(unchanged.with_header("etag", tag).with_header("cache-control", "no-cache"));
        }
        let bytes = render(wanted.layer, (wanted.number, wanted.scene), &wanted.pixels, changes)?;
        Ok(Response::new("image/png", bytes).with_header("etag", tag).with_header("cache-control", "no-cache"))
    }

    /// The job's text. `near_to`: the folder that the job is saved in, from which files beside it are named.
    fn job_text(&self, learnt: Option<&Path>, outputs: &Mapping, near_to: Option<&Path>) -> Result<String> {
        let shared = &*self.shared;
        let session = lock(&shared.session).clone();
        let named = |path: &Path| near_to.map_or_else(|| path.to_owned(), |folder| near(folder, path));
        let folder = named(&store_folder(&shared.folder, &session));
        let learnt = learnt.map(named);
        let learnt = learnt.as_deref();
        shared.document.text(&session, learnt, Some(&token_store(shared, &folder)), Some(outputs))
    }

    /// The outputs that a form asks for.
    fn outputs(&self, form: &JobForm) -> Result<Mapping> {
        let document = &self.shared.document;
        let Some(choice) = &form.outputs else { return Ok(document.outputs.clone()) };
        let mut keys = choice.keys()?;
        // Polygons of the job's own recipe keep the job's options.
        if let Some(own) = choice.polygons.as_deref().and_then(|recipe| document.polygons(recipe)) {
            keys.insert("polygons".into(), own.clone());
        }
        Ok(keys)
    }

    fn save(&self, form: &JobForm) -> Result<Response> {
        let outputs = self.outputs(form)?;
        let text = |learnt: Option<&Path>, folder: &Path| self.job_text(learnt, &outputs, Some(folder));
        let saved = jobs::save(&self.shared, form.name.as_deref(), form.replace, text)?;
        let command = format!("segearth run {}", saved.display());
        Ok(Response::json(&json!({"file": saved.display().to_string(), "command": command})))
    }

    fn start(&self, form: &JobForm) -> Result<Response> {
        let shared = &*self.shared;
        let mut outputs = self.outputs(form)?;
        let learnt = jobs::learnt_file(shared)?;
        let number = shared.runs.start(shared.trust, |folder| {
            outputs.insert("folder".into(), folder.join(RESULTS).display().to_string().into());
            let learnt = learnt.as_deref().map(|file| jobs::copy_classes(file, folder)).transpose()?;
            self.job_text(learnt.as_deref(), &outputs, None)
        })?;
        Ok(Response::json(&json!({"run": number, "runs": shared.runs.list()})))
    }

    fn wmts(&self, request: &Request) -> Response {
        let layers = [TileLayer::Scene, TileLayer::Labels];
        let layers: Vec<WmtsLayer<'_>> = self
            .shared
            .scenes
            .iter()
            .enumerate()
            .flat_map(|(index, served)| {
                layers.map(|layer| WmtsLayer {
                    name: layer.name(index),
                    title: match layer {
                        TileLayer::Scene => served.title.clone(),
                        _ => format!("{} (classes)", served.title),
                    },
                    grid: &served.grid,
                })
            })
            .collect();
        if layers.iter().all(|layer| layer.grid.crs.is_none()) {
            let hint = "Georeference the scene; its tiles in pixels are at /tiles/scene/Z/X/Y.png.";
            return Response::refusal(404, "No scene has a CRS, and so there is no map service.", Some(hint));
        }
        let token = request.query.get("token").map_or_else(String::new, |token| format!("?token={token}"));
        Response::new("text/xml; charset=utf-8", capabilities(&request.origin, &token, &layers))
    }
}

impl Application for Api {
    fn lane(&self, request: &Request) -> (Lane, Option<Awaited>) {
        let lane = match request.route().as_slice() {
            ["tiles", layer, ..] => {
                let is_labels = TileLayer::named(layer).is_some_and(|(layer, _)| layer == TileLayer::Labels);
                if is_labels && !request.query.contains_key("now") {
                    return (Lane::Wait, self.awaited(request));
                }
                Lane::Render
            }
            ["" | "page.css" | "map.js" | "page.js" | "favicon.ico"] | ["api"] | ["api", "state" | "runs"]
                if request.method == Method::Get =>
            {
                Lane::Now
            }
            _ => Lane::Ask,
        };
        (lane, None)
    }

    fn is_ready(&self, awaited: &Awaited) -> bool {
        let Some(served) = self.shared.scenes.get(awaited.scene) else { return true };
        let failed = lock(&self.shared.news).failed.is_some();
        failed || self.shared.is_ending() || lock(&served.blocks).has(awaited.part, self.shared.revision())
    }

    fn answer(&self, request: &Request) -> Response {
        self.answered(request).into()
    }
}

/// The part of a scene that a request's query bounds.
///
/// # Errors
/// The query has no bounds, or they lie beside the scene.
fn part(served: &ServedScene, request: &Request) -> Result<Window> {
    let bounds = ["left", "bottom", "right", "top"].map(|side| request.number(side));
    let [left, bottom, right, top] = bounds;
    let bounds = [left?, bottom?, right?, top?];
    served.grid.part(bounds).ok_or_else(|| Error::input("the scene is not in view").with_hint("Move the map."))
}

fn busy() -> Response {
    let response = Response::refusal(429, "The server is busy.", Some("Try again in a second."));
    response.with_header("retry-after", "1")
}

/// A response that browsers keep as a file of this name.
fn download(response: Response, name: &str) -> Response {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || "._- ".contains(c) { c } else { '_' }).collect();
    response.with_header("content-disposition", format!("attachment; filename=\"{plain}\""))
}

fn check_client(client: &str) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    match (1..=MOST_NAME).contains(&client.len()) && client.chars().all(plain) {
        true => Ok(()),
        false => {
            Err(Error::input(format!("the client is {client:?}; 1 to {MOST_NAME} letters and digits are allowed")))
        }
    }
}

/// The classes with the colours that are shown.
fn classes(session: &Session, news: &News) -> Vec<Value> {
    let colour =
        |index: usize| news.colours.get(index).filter(|_| news.revision == session.revision).map(|it| hex(*it));
    let with = |(index, class): (usize, &crate::serve::ClassEntry)| {
        json!({
            "id": class.id, "name": class.name, "words": class.words, "colour": class.colour, "threshold": class.threshold,
            "shown": class.colour.clone().or_else(|| colour(index)),
        })
    };
    session.classes.iter().enumerate().map(with).collect()
}

/// What is known of a scene's labels.
fn labels(served: &ServedScene, session: &Session, news: &News) -> Value {
    let blocks = lock(&served.blocks);
    let totals = blocks.totals();
    let current = totals.revision == session.revision;
    let known = if current { totals.blocks } else { 0 };
    let all: u64 = totals.pixels.iter().sum();
    let numbers: Vec<ClassNumbers> = session
        .classes
        .iter()
        .enumerate()
        .filter(|_| current)
        .map(|(index, class)| {
            let pixels = totals.pixels.get(index).copied().unwrap_or(0);
            ClassNumbers {
                name: class.name.clone(),
                colour: news.colours.get(index).map_or_else(String::new, |colour| hex(*colour)),
                pixels,
                share: pixels as f64 / all.max(1) as f64,
                area: served.ground.as_ref().map(|_| totals.areas.get(index).copied().unwrap_or(0.0)),
            }
        })
        .collect();
    json!({"changes": blocks.changes(), "known": known, "all": blocks.count(), "classes": numbers})
}

/// Has all scenes seen as a plan says.
fn see(shared: &Shared, plan: Plan) {
    for (served, plan) in shared.scenes.iter().zip(plan.scenes) {
        let mut look = lock(&served.look);
        let same = look.1.bands == plan.bands && look.1.stretch == plan.stretch;
        if !same {
            *look = (look.0 + 1, Arc::new(plan));
        }
    }
}

/// Has all scenes seen as the session of an earlier start says.
///
/// # Errors
/// Its bands or stretch are not possible any more.
pub fn restore_look(shared: &Arc<Shared>, known: &Arc<Known>) -> Result<()> {
    let session = lock(&shared.session).clone();
    if session.bands.is_none() && session.stretch.is_none() || session.classes.is_empty() {
        return Ok(());
    }
    let plan = Api::new(shared.clone(), known.clone()).planned(&session)?;
    see(shared, plan);
    Ok(())
}
