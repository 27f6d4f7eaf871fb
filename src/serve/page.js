// What is around the map: classes, examples, runs. The page asks for the state again and again, and sends what the user changes.
"use strict";

const of = (id) => document.getElementById(id);
const client = Array.from(crypto.getRandomValues(new Uint8Array(8)), (byte) => byte.toString(16).padStart(2, "0")).join("");
const QUICK = 150, SLOW = 1500, TYPING = 350;
let state = null, scene = 0, selected = null, corners = [], suggestions = [], sending = Promise.resolve(), unsent = 0, sticky = null;

async function call(method, address, body) {
  const headers = body === undefined && method === "GET" ? {} : { "Content-Type": "application/json" };
  for (let tries = 0; ; tries++) {
    const response = await fetch(address, { method, headers, body: body === undefined ? (method === "GET" ? undefined : "{}") : JSON.stringify(body) });
    if (response.status === 429 && tries < 5) { await new Promise((done) => setTimeout(done, 500 * (tries + 1))); continue; }
    const answer = await response.json().catch(() => ({ error: "The server's answer cannot be read." }));
    if (!response.ok) throw Object.assign(new Error([answer.error, answer.hint].filter(Boolean).join("\n")), { status: response.status });
    return answer;
  }
}

function complain(error) {
  of("error").textContent = error ? error.message || error : "";
  of("error").hidden = !error;
}
// An error of what the user did stays until the next thing they do.
const tried = (work) => async (...given) => {
  try { sticky = null; complain(null); return await work(...given); } catch (error) { sticky = error.message; complain(error); }
};

const map = new TileMap(of("map"), {
  view: tried(async (bounds) => {
    localStorage.setItem(`view-${state.name}-${scene}`, JSON.stringify({ centre: map.centre, zoom: map.zoom }));
    scaleBar();
    await call("POST", `api/scenes/${scene}/view`, { client, bounds });
    soon();
    refreshLayers();
  }),
  press: tried(press),
  hover: tried(readValues),
});

// --- The state, as often as something happens.
let timer = 0, polling = false;
function soon(time = 30) { clearTimeout(timer); timer = setTimeout(poll, time); }
async function poll() {
  if (polling) return soon(QUICK);
  polling = true;
  try {
    take(await call("GET", `api/state?client=${client}&scene=${scene}`));
    document.body.classList.remove("lost");
  } catch (error) {
    of("status").textContent = "The server does not answer.";
  }
  polling = false;
  const busy = state && (!state.ready || state.work || unsent || state.runs.some((run) => run.state === "running"));
  soon(busy ? QUICK : SLOW);
}

function take(next) {
  const first = !state, revised = first || state.revision !== next.revision;
  state = next;
  const here = state.scenes[scene];
  if (first) {
    of("title").textContent = `${state.name} · segearth`;
    document.title = `${state.name} · segearth`;
    of("scene").replaceChildren(...state.scenes.map((it, at) => new Option(it.title, at)));
    of("scene-choice").hidden = state.scenes.length < 2;
    offerOutputs();
    offerScenes();
    of("xyz-address").textContent = `${location.origin}/tiles/labels/{z}/{x}/{y}.png`;
    showScene();
  }
  const doing = state.work ? `${state.work}… ` : "";
  const { done, all } = here.embedded, labels = state.labels;
  of("status").textContent = `${doing}${all ? `embedded ${percent(done / all)}, ` : ""}labelled ${percent(labels.known / labels.all)} · ${state.model}`;
  of("progress").value = labels.known / labels.all;
  complain(state.error ? [state.error.error, state.error.hint].filter(Boolean).join("\n") : sticky);
  if (!unsent) showClasses(revised);
  of("notes").replaceChildren(...state.notes.map((note) => element("li", { textContent: note })));
  const figures = state.figures;
  of("figures").textContent = state.examples.length ? `${state.examples.length} examples${figures && figures.mean_iou !== undefined ? `; mIoU of left-out examples ${figures.mean_iou.toFixed(2)}` : ""}` : "";
  of("learnt").hidden = !state.examples.length;
  fill("band-0", state.bands?.[0]); fill("band-1", state.bands?.[1]); fill("band-2", state.bands?.[2]);
  fill("stretch", state.stretch); fill("xyz", state.xyz);
  showRuns();
  setLayers();
  refreshLayers();
}
const percent = (share) => `${Math.floor((share || 0) * 100)} %`;
function fill(id, value) { if (document.activeElement !== of(id) && !of(id).dataset.changed) of(id).value = value ?? ""; }

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function showScene() {
  let place = null;
  try { place = JSON.parse(localStorage.getItem(`view-${state.name}-${scene}`)); } catch { /* none is kept */ }
  map.show(state.scenes[scene].grid, place);
}

function setLayers() {
  const here = state.scenes[scene], layers = [];
  if (state.xyz && here.grid.crs) {
    layers.push({ id: `xyz ${state.xyz}`, whole: true, version: 0, opacity: 1, maxZoom: 19, url: (z, x, y) => state.xyz.replace("{z}", z).replace("{x}", x).replace("{y}", y) });
  }
  const tiles = (layer, query) => (z, x, y, version) => `tiles/${layer}/${z}/${x}/${y}.png?${query}v=${version}`;
  layers.push({ id: here.layers[0], version: here.look, opacity: of("show-scene").checked ? 1 : 0, maxZoom: here.grid.max_zoom, url: tiles(here.layers[0], "") });
  layers.push({ id: here.layers[1], version: state.labels.changes, opacity: of("show-classes").checked ? of("opacity").value / 100 : 0, maxZoom: here.grid.max_zoom, swiped: true, url: tiles(here.layers[1], "now=1&") });
  if (changes) layers.push({ id: changes.layer, version: changes.version, opacity: of("opacity").value / 100, maxZoom: here.grid.max_zoom, swiped: true, url: tiles(changes.layer, "") });
  map.setLayers(layers);
  const colours = new Map(state.classes.map((it) => [it.id, it.shown || "#888888"]));
  const shapes = state.examples.filter((it) => it.scene === scene).map((it) => ({ kind: it.kind, places: it.places, colour: colours.get(it.class) }));
  if (corners.length) shapes.push({ kind: corners.length > 1 ? "line" : "point", places: corners, colour: colours.get(selected) || "#ffffff" });
  suggestions.forEach((it, at) => shapes.push({ kind: "point", places: [it.place], colour: "#ffd633", text: String(at + 1) }));
  map.setShapes(shapes);
}

function scaleBar() {
  const { grid } = map;
  if (!grid) return;
  // Web Mercator's metres are longer than those on the ground.
  const ground = grid.crs ? map.resolution / Math.cosh(map.centre[1] / 6378137) : map.resolution;
  const most = ground * 110, power = 10 ** Math.floor(Math.log10(most)), length = [5, 2, 1].map((it) => it * power).find((it) => it <= most);
  const bar = of("scale").firstElementChild;
  bar.style.width = `${length / ground}px`;
  bar.textContent = grid.crs ? (length >= 1000 ? `${length / 1000} km` : `${length} m`) : `${length} px`;
}

// --- Outlines and changes, of what is in view.
let changes = null;
// What was asked for last, and what came of it.
const asked = { outlines: { key: null, again: 0, next: 0 }, changes: { key: null, again: 0, next: 0 } };
let outlinesVersion = null;
const AGAIN = 500;

// Asks where the question is another one, or its answer was not complete.
async function ask(which, key, address, take) {
  const it = asked[which];
  if (it.working || Date.now() < (it.key === key ? it.again : it.next)) return;
  it.working = true;
  try {
    const answer = await call("GET", address);
    [it.key, it.again] = [key, answer.ready ? Infinity : Date.now() + AGAIN];
    it.note = "";
    take(answer);
  } catch (error) {
    [it.key, it.again, it.note] = [key, error.status === 429 ? Date.now() + AGAIN : Infinity, error.message.replace("\n", " ")];
    take(null);
  }
  it.working = false;
  it.next = Date.now() + AGAIN;
  of("layers-note").textContent = [asked.outlines.note, asked.changes.note].filter(Boolean).join(" ");
  setTimeout(refreshLayers, AGAIN);
}

function refreshLayers() {
  if (!state || !map.grid) return;
  const recipe = of("outlines").value, since = of("since").value, mine = scene;
  const [left, bottom, right, top] = map.bounds, view = `left=${left}&bottom=${bottom}&right=${right}&top=${top}`;
  const key = `${scene} ${view} ${state.revision} ${state.labels.changes}`;
  if (recipe) {
    ask("outlines", `${recipe} ${key}`, `api/scenes/${scene}/outlines?recipe=${recipe}&known=${outlinesVersion ?? ""}&${view}`, (answer) => {
      if (mine !== scene || recipe !== of("outlines").value) return;
      if (answer && (!answer.ready || answer.unchanged)) return;
      outlinesVersion = answer?.version ?? null;
      const colours = new Map();
      for (const shape of answer?.shapes ?? []) {
        if (!colours.has(shape.colour)) colours.set(shape.colour, []);
        colours.get(shape.colour).push(shape);
      }
      map.setOutlines([...colours].map(([colour, shapes]) => ({ colour: colour ?? "#ffffff", shapes })));
      if (answer?.left_out) asked.outlines.note = `${answer.left_out} outlines are too small to be shown here: zoom in.`;
    });
  }
  if (since) {
    ask("changes", `${since} ${key}`, `api/scenes/${scene}/changes?since=${since}&${view}`, (answer) => {
      if (mine !== scene || since !== of("since").value) return;
      changes = answer;
      showChanges();
      setLayers();
    });
  }
}

function showChanges() {
  const listed = changes?.transitions ?? [], most = 8;
  const rows = listed.slice(0, most).map((it) => {
    const swatch = element("i");
    swatch.style.background = it.colour ?? "transparent";
    return element("li", {}, swatch, element("span", { textContent: `${it.from} → ${it.to}` }), element("output", { textContent: it.area == null ? `${it.pixels.toLocaleString("en")} px` : area(it.area) }));
  });
  if (listed.length > most) rows.push(element("li", { textContent: `and ${listed.length - most} smaller ones` }));
  if (changes && !listed.length && changes.ready) rows.push(element("li", { textContent: "Nothing has changed in view." }));
  of("transitions").replaceChildren(...rows);
}

function dropLayers(...which) {
  for (const it of which) Object.assign(asked[it], { key: null, again: 0, next: 0, note: "" });
  if (which.includes("outlines")) { outlinesVersion = null; map.setOutlines([]); }
  if (which.includes("changes")) { changes = null; showChanges(); }
  of("layers-note").textContent = "";
  setLayers();
  refreshLayers();
}

function offerScenes() {
  const others = state.scenes.map((it, at) => [it.title, at]).filter(([, at]) => at !== scene);
  of("since").replaceChildren(new Option("none", ""), ...others.map(([title, at]) => new Option(title, at)));
  of("since-choice").hidden = !others.length;
}

// The outputs of the job that was opened.
function offerOutputs() {
  const wanted = state.outputs;
  if (!Object.values(wanted).some(Boolean)) return;
  for (const box of of("outputs").querySelectorAll("[type=checkbox]")) box.checked = wanted[box.value];
  of("recipe").value = wanted.polygons ?? "";
}

of("show-scene").onchange = of("show-classes").onchange = () => setLayers();
of("outlines").onchange = () => dropLayers("outlines");
// Changes above classes in the same colours cannot be read.
of("since").onchange = () => { of("show-classes").checked = !of("since").value; dropLayers("changes"); };

// --- Classes.
function showClasses(revised) {
  const list = of("classes"), known = [...list.children].map((row) => Number(row.dataset.id));
  if (selected === null || !state.classes.some((it) => it.id === selected)) selected = state.classes[0]?.id ?? null;
  if (known.join() !== state.classes.map((it) => it.id).join()) list.replaceChildren(...state.classes.map(classRow));
  state.classes.forEach((it, at) => {
    const row = list.children[at], part = (name) => row.querySelector(`.${name}`);
    const keep = (input, value) => { if (document.activeElement !== input && input.value !== String(value)) input.value = value; };
    keep(part("words"), wordsOf(it));
    keep(part("colour"), it.shown || "#888888");
    keep(part("limit"), it.threshold ?? "");
    part("pick").checked = it.id === selected;
    const amount = state.labels.classes[at];
    part("amount").textContent = amount ? `${(amount.share * 100).toFixed(1)} %${amount.area == null ? `, ${amount.pixels.toLocaleString("en")} px` : `, ${area(amount.area)}`}` : "…";
  });
  if (document.activeElement !== of("threshold")) of("threshold").value = state.threshold;
  if (revised) of("background").replaceChildren(new Option("none", ""), ...state.classes.map((it) => new Option(it.name, it.id)));
  of("background").value = state.background ?? "";
}
const area = (metres) => (metres >= 1e6 ? `${(metres / 1e6).toFixed(2)} km²` : metres >= 1e4 ? `${(metres / 1e4).toFixed(2)} ha` : `${metres.toFixed(0)} m²`);
const wordsOf = (it) => (it.words.length && it.words[0] === it.name ? it.words.join(", ") : it.words.length ? `${it.name}: ${it.words.join(", ")}` : it.name);

// "name: word, word", or "word, word" of which the first is the name.
function wordsFrom(text) {
  const [name, rest] = text.includes(":") ? [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)] : [null, text];
  const words = rest.split(",").map((word) => word.trim()).filter(Boolean);
  return { name: (name ?? words[0] ?? "").trim(), words };
}

function classRow(it) {
  const row = element("li");
  row.dataset.id = it.id;
  const label = (input, text) => { input.setAttribute("aria-label", `${text} ${it.name}`); return input; };
  const pick = label(element("input", { type: "radio", name: "picked", className: "pick", title: "Give examples of this class" }), "Give examples of");
  const colour = label(element("input", { type: "color", className: "colour" }), "Colour of");
  const words = label(element("input", { className: "words", autocomplete: "off", maxLength: 400 }), "Words of");
  const limit = label(element("input", { type: "number", className: "limit", min: 0, max: 1, step: 0.05, placeholder: "min", title: "Threshold of this class" }), "Threshold of");
  const remove = label(element("button", { type: "button", textContent: "×", title: "Remove" }), "Remove");
  pick.onchange = () => { selected = it.id; setLayers(); };
  words.oninput = () => edited(TYPING);
  words.onchange = colour.onchange = limit.onchange = () => edited(0);
  colour.oninput = () => edited(TYPING);
  remove.onclick = () => { row.remove(); edited(0); };
  row.append(pick, colour, words, limit, remove, element("span", { className: "amount" }));
  return row;
}

let typing = 0;
function edited(time) {
  unsent++;
  clearTimeout(typing);
  typing = setTimeout(() => { const upTo = unsent; sending = sending.then(() => sendClasses(upTo)); }, time);
}

async function sendClasses(upTo) {
  const old = new Map(state.classes.map((it) => [it.id, it]));
  const classes = [...of("classes").children].map((row) => {
    const id = Number(row.dataset.id), value = (name) => row.querySelector(`.${name}`).value;
    const { name, words } = wordsFrom(value("words")), before = old.get(id);
    const own = before && (before.colour || before.shown !== value("colour")) && value("colour") !== "#888888";
    return { id, name, words: words.length === 1 && words[0] === name ? [] : words, colour: own ? value("colour") : before?.colour ?? null, threshold: value("limit") === "" ? null : Number(value("limit")) };
  }).filter((it) => it.name);
  const chosen = of("background").value === "" ? null : Number(of("background").value);
  const form = { classes, background: classes.some((it) => it.id === chosen) ? chosen : null, threshold: Number(of("threshold").value) || 0 };
  try {
    await call("PUT", "api/classes", form);
    sticky = null;
  } catch (error) {
    sticky = error.message;
    complain(error);
  }
  if (unsent === upTo) unsent = 0;
  soon();
}

of("add-class").onsubmit = (event) => {
  event.preventDefault();
  const { name, words } = wordsFrom(of("new-class").value);
  if (!name) return;
  const id = 1 + Math.max(0, ...state.classes.map((it) => it.id), ...[...of("classes").children].map((row) => Number(row.dataset.id)));
  const row = classRow({ id, name, words });
  row.querySelector(".words").value = wordsOf({ name, words: words.length > 1 || words[0] !== name ? words : [] });
  row.querySelector(".colour").value = "#888888";
  of("classes").append(row);
  of("new-class").value = "";
  edited(0);
};
of("threshold").onchange = of("background").onchange = () => edited(0);

// --- Examples and values.
const tool = () => document.querySelector("[name=tool]:checked").value;
const HELP = { values: "Click to read the scores of a pixel.", point: "Click on a place of the selected class.", polygon: "Click the corners; click the first one again, or press C, to close." };
for (const input of document.querySelectorAll("[name=tool]")) input.onchange = () => { corners = []; of("tool-help").textContent = HELP[tool()]; setLayers(); };
of("tool-help").textContent = HELP.values;

async function press(place) {
  if (tool() === "values") return readValues(place);
  if (selected === null) throw new Error("There is no class to give examples of.");
  if (tool() === "point") return give({ point: place });
  const [x, y] = map.toPage(place), first = corners.length > 2 && map.toPage(corners[0]);
  if (first && Math.hypot(first[0] - x, first[1] - y) < 12) return closePolygon();
  corners.push(place);
  setLayers();
}
async function closePolygon() {
  const polygon = corners;
  corners = [];
  if (polygon.length > 2) await give({ polygon });
  setLayers();
}
async function give(shape) {
  await call("POST", "api/examples", { scene, class: selected, ...shape });
  suggestions = suggestions.filter((it) => !shape.point || Math.hypot(...map.toPage(it.place).map((value, at) => value - map.toPage(shape.point)[at])) > 14);
  soon();
}
of("map").addEventListener("keydown", (event) => {
  if (event.key === "Escape") { corners = []; setLayers(); }
  if (event.key.toLowerCase() === "c" && corners.length) tried(closePolygon)();
});

let reading = 0;
async function readValues([x, y]) {
  const mine = ++reading, found = await call("GET", `api/scenes/${scene}/values?x=${x}&y=${y}`);
  if (mine !== reading) return;
  const box = of("values");
  box.hidden = !found.inside;
  if (!found.inside) return;
  const rows = found.scores.slice(0, 6).map((it) => element("tr", {}, element("td", { textContent: it.class }), element("td", { textContent: it.score.toFixed(3) })));
  const margin = found.margin == null ? "" : `, margin ${found.margin.toFixed(3)}`;
  box.replaceChildren(element("p", { textContent: `${found.label ?? "no label"}${margin}` }), element("table", {}, ...rows), element("p", { className: "small", textContent: `column ${found.col}, row ${found.row}` }));
}

of("undo").onclick = tried(async () => { if (corners.length) { corners.pop(); return setLayers(); } await call("POST", "api/examples/undo"); soon(); });
of("suggest").onclick = tried(async () => {
  const [left, bottom, right, top] = map.bounds;
  of("suggest").disabled = true;
  try {
    suggestions = (await call("GET", `api/scenes/${scene}/suggestions?left=${left}&bottom=${bottom}&right=${right}&top=${top}`)).suggestions;
  } finally { of("suggest").disabled = false; }
  of("tool-help").textContent = suggestions.length ? `Examples at the ${suggestions.length} numbered places would help most.` : "Nothing in view is doubtful.";
  setLayers();
});

// --- Whole scene.
const outputs = () => ({ ...Object.fromEntries([...of("outputs").querySelectorAll("[type=checkbox]")].map((box) => [box.value, box.checked])), polygons: of("recipe").value || null });
of("run").onclick = tried(async () => { await call("POST", "api/runs", { outputs: outputs() }); soon(); });
of("save").onclick = tried(async () => {
  const name = of("job-name").value.trim() || state.name;
  let saved;
  try { saved = await call("POST", "api/jobs", { name, outputs: outputs() }); } catch (error) {
    if (!error.message.includes("already") || !confirm(`There is a job ${name} already. Replace it?`)) throw error;
    saved = await call("POST", "api/jobs", { name, outputs: outputs(), replace: true });
  }
  of("saved").replaceChildren("Saved. Run it with ", element("code", { textContent: saved.command }), " or ", element("a", { href: "api/job.yaml", download: "job.yaml", textContent: "download it" }));
});

let shownRuns = "";
async function showRuns() {
  const text = JSON.stringify(state.runs);
  if (text === shownRuns) return;
  shownRuns = text;
  const rows = state.runs.map((run, number) => {
    const row = element("li"), what = { running: run.total ? `${run.work}: ${percent(run.done / run.total)}` : run.work, finished: "finished", failed: `failed: ${run.error ?? ""}`, stopped: "stopped" }[run.state];
    row.append(element("span", { textContent: `Run ${number + 1}: ${what} ` }));
    const button = (text, action) => element("button", { type: "button", textContent: text, onclick: tried(async () => { await call("POST", `api/runs/${number}/${action}`); soon(); }) });
    if (run.state === "running") row.append(element("progress", { max: Math.max(run.total, 1), value: run.done, ariaLabel: `Progress of run ${number + 1}` }), button("Cancel", "cancel"));
    if (run.state === "stopped" || run.state === "failed") row.append(button("Resume", "resume"));
    if (run.state === "finished") {
      const files = element("div", { className: "files" });
      row.append(files);
      call("GET", `api/runs/${number}/files`).then(({ files: found }) => files.append(...found.map((file, at) => element("a", { href: `api/runs/${number}/files/${at}`, download: file.name, textContent: file.name })))).catch(() => {});
    }
    return row;
  });
  of("runs").replaceChildren(...rows.reverse());
}

// --- How the scene is seen.
for (const id of ["band-0", "band-1", "band-2", "stretch", "xyz"]) of(id).oninput = () => { of(id).dataset.changed = "1"; };
const unchanged = (...ids) => ids.forEach((id) => delete of(id).dataset.changed);
of("look").onsubmit = (event) => {
  event.preventDefault();
  const bands = [0, 1, 2].map((at) => of(`band-${at}`).value.trim());
  tried(async () => {
    await call("PUT", "api/look", { bands: bands.some(Boolean) ? bands : null, stretch: of("stretch").value.trim() || null });
    unchanged("band-0", "band-1", "band-2", "stretch");
    soon();
  })();
};
of("xyz-form").onsubmit = (event) => {
  event.preventDefault();
  // The page may load pictures from there once it is opened again.
  tried(async () => { await call("PUT", "api/background", { xyz: of("xyz").value.trim() || null }); location.reload(); })();
};
of("opacity").oninput = () => setLayers();
of("swipe").oninput = () => map.setSwipe(of("swipe").value / 100);
of("scene").onchange = () => { scene = Number(of("scene").value); suggestions = []; corners = []; poll().then(() => { showScene(); offerScenes(); of("show-classes").checked = true; dropLayers("outlines", "changes"); }); };
of("zoom-in").onclick = () => map.zoomBy(1);
of("zoom-out").onclick = () => map.zoomBy(-1);
of("zoom-fit").onclick = () => map.fit();
poll();
