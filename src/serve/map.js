// A map on a canvas: tiles of a grid, layers with opacity and a swipe line, shapes above. What is drawn stays until its new version is there.
"use strict";

const TILE = 256, MOST_LOADING = 8, MOST_TILES = 600, FALLBACK_LEVELS = 6, RETRY = 1500;

class TileMap {
  // view: called when the map has come to rest; press: a click or Enter, with map coordinates; hover: the pointer rests there.
  constructor(canvas, { view, press, hover }) {
    Object.assign(this, { canvas, view, press, hover, layers: [], outlines: [], shapes: [], tiles: new Map(), loading: 0, grid: null });
    this.paint = canvas.getContext("2d");
    this.centre = [0, 0];
    this.zoom = 0;
    this.swipe = 0;
    this.pointers = new Map();
    this.listen();
    new ResizeObserver(() => this.resize()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
  }

  // Shows another grid: {origin, resolution, bounds, native_zoom, max_zoom}.
  show(grid, place) {
    const same = this.grid && this.grid.crs === grid.crs && grid.crs;
    this.grid = grid;
    this.resize();
    if (place) { [this.centre, this.zoom] = [place.centre, place.zoom]; this.moved(); } else if (!same) this.fit(); else this.moved();
  }

  fit() {
    const [left, bottom, right, top] = this.grid.bounds;
    this.centre = [(left + right) / 2, (bottom + top) / 2];
    const share = Math.max((right - left) / this.width, (top - bottom) / this.height);
    this.zoom = Math.min(Math.log2(this.grid.resolution / share) - 0.05, this.grid.max_zoom);
    this.moved();
  }

  // Map units of a pixel of the page.
  get resolution() { return this.grid.resolution / 2 ** this.zoom; }

  get bounds() {
    const [x, y] = this.centre, across = this.width / 2 * this.resolution, down = this.height / 2 * this.resolution;
    return [x - across, y - down, x + across, y + down];
  }

  toMap([left, top]) {
    const [x, y] = this.centre;
    return [x + (left - this.width / 2) * this.resolution, y - (top - this.height / 2) * this.resolution];
  }

  toPage([x, y]) {
    return [this.width / 2 + (x - this.centre[0]) / this.resolution, this.height / 2 - (y - this.centre[1]) / this.resolution];
  }

  zoomBy(steps, at = [this.width / 2, this.height / 2]) {
    if (!this.grid) return;
    const before = this.toMap(at);
    const least = Math.log2(this.grid.resolution / Math.max(this.grid.bounds[2] - this.grid.bounds[0], this.grid.bounds[3] - this.grid.bounds[1]) * 64);
    this.zoom = Math.min(Math.max(this.zoom + steps, least), this.grid.max_zoom + 3);
    const after = this.toMap(at);
    this.centre = [this.centre[0] + before[0] - after[0], this.centre[1] + before[1] - after[1]];
    this.moved();
  }

  panBy(right, down) {
    if (!this.grid) return;
    this.centre = [this.centre[0] + right * this.resolution, this.centre[1] - down * this.resolution];
    this.moved();
  }

  // Layers from below: {id, url(z, x, y), version, opacity, maxZoom, swiped}.
  setLayers(layers) { this.layers = layers; this.draw(); }

  // Polygons and lines of one colour each: {colour, closed, parts}, drawn below the shapes.
  setOutlines(outlines) { this.outlines = outlines; this.draw(); }

  setShapes(shapes) { this.shapes = shapes; this.draw(); }

  setSwipe(share) { this.swipe = share; this.draw(); }

  moved() {
    this.draw();
    clearTimeout(this.rest);
    this.rest = setTimeout(() => this.view(this.bounds), 120);
  }

  resize() {
    const box = this.canvas.getBoundingClientRect();
    [this.width, this.height] = [Math.max(box.width, 1), Math.max(box.height, 1)];
    const ratio = devicePixelRatio || 1;
    [this.canvas.width, this.canvas.height] = [Math.round(this.width * ratio), Math.round(this.height * ratio)];
    if (this.grid) this.moved();
  }

  draw() {
    if (this.drawing || !this.grid) return;
    this.drawing = requestAnimationFrame(() => { this.drawing = 0; this.drawNow(); });
  }

  drawNow() {
    const { paint } = this, ratio = devicePixelRatio || 1;
    paint.setTransform(ratio, 0, 0, ratio, 0, 0);
    paint.clearRect(0, 0, this.width, this.height);
    this.wanted = [];
    for (const layer of this.layers) {
      if (!(layer.opacity > 0)) continue;
      paint.save();
      paint.globalAlpha = layer.opacity;
      if (layer.swiped && this.swipe > 0) {
        paint.beginPath();
        paint.rect(this.swipe * this.width, 0, this.width, this.height);
        paint.clip();
      }
      this.drawLayer(layer, ratio);
      paint.restore();
    }
    this.drawOutlines();
    if (this.swipe > 0 && this.swipe < 1) {
      paint.fillStyle = "#fff";
      paint.fillRect(this.swipe * this.width - 1.5, 0, 3, this.height);
      paint.fillStyle = "#000";
      paint.fillRect(this.swipe * this.width - 0.5, 0, 1, this.height);
    }
    for (const shape of this.shapes) this.drawShape(shape);
    this.load();
    if (this.drawn) this.drawn();
  }

  drawLayer(layer, ratio) {
    const zoom = Math.min(Math.max(Math.round(this.zoom + Math.log2(ratio)), 0), layer.maxZoom);
    const side = TILE * this.grid.resolution / 2 ** zoom, [ox, oy] = this.grid.origin, count = 2 ** zoom;
    let [left, bottom, right, top] = this.bounds;
    if (!layer.whole) {
      const of = this.grid.bounds;
      [left, bottom, right, top] = [Math.max(left, of[0]), Math.max(bottom, of[1]), Math.min(right, of[2]), Math.min(top, of[3])];
    }
    if (left >= right || bottom >= top) return;
    const first = [Math.floor((left - ox) / side), Math.floor((oy - top) / side)].map((at) => Math.max(at, 0));
    const last = [Math.ceil((right - ox) / side), Math.ceil((oy - bottom) / side)].map((at) => Math.min(at, count) - 1);
    // Enlarged pixels stay pixels.
    this.paint.imageSmoothingEnabled = this.zoom < this.grid.native_zoom + 0.5 && !layer.swiped;
    for (let y = first[1]; y <= last[1]; y++) {
      for (let x = first[0]; x <= last[0]; x++) this.drawTile(layer, zoom, x, y, side);
    }
  }

  drawTile(layer, zoom, x, y, side) {
    const tile = this.tile(layer, zoom, x, y);
    if (tile.version !== layer.version && !tile.loading) this.wanted.push([layer, tile]);
    const [ox, oy] = this.grid.origin;
    const from = this.toPage([ox + x * side, oy - y * side]), to = this.toPage([ox + (x + 1) * side, oy - (y + 1) * side]);
    const [left, top] = from.map(Math.round), [width, height] = [Math.round(to[0]) - left, Math.round(to[1]) - top];
    if (tile.image) return void this.paint.drawImage(tile.image, left, top, width, height);
    // Until it is there, a part of a coarser one.
    for (let up = 1; up <= Math.min(FALLBACK_LEVELS, zoom); up++) {
      const above = this.tiles.get(`${layer.id}/${zoom - up}/${x >> up}/${y >> up}`);
      if (above && above.image) {
        const part = above.image.width / 2 ** up, at = [x, y].map((value) => (value % 2 ** up) * part);
        return void this.paint.drawImage(above.image, at[0], at[1], part, part, left, top, width, height);
      }
    }
  }

  tile(layer, zoom, x, y) {
    const key = `${layer.id}/${zoom}/${x}/${y}`;
    let tile = this.tiles.get(key);
    if (tile) this.tiles.delete(key); else tile = { zoom, x, y, version: null, image: null, loading: false };
    this.tiles.set(key, tile);
    return tile;
  }

  load() {
    for (const [key, tile] of this.tiles) {
      if (this.tiles.size <= MOST_TILES) break;
      if (!tile.loading) this.tiles.delete(key);
    }
    for (const [layer, tile] of this.wanted) {
      if (this.loading >= MOST_LOADING) return;
      if (tile.again > Date.now()) continue;
      this.loading++;
      tile.loading = true;
      const image = new Image(), version = layer.version;
      const done = (shown) => {
        this.loading--;
        tile.loading = false;
        if (shown) [tile.image, tile.version] = [image, version]; else { tile.again = Date.now() + RETRY; setTimeout(() => this.draw(), RETRY); }
        this.draw();
      };
      image.onload = () => done(true);
      image.onerror = () => done(false);
      image.src = layer.url(tile.zoom, tile.x, tile.y, version);
    }
  }

  // Whether everything in view is drawn in its newest version.
  get isCurrent() { return this.loading === 0 && (this.wanted || []).length === 0; }

  // All of a colour at once: there may be thousands.
  drawOutlines() {
    const { paint } = this;
    if (!this.outlines.length) return;
    paint.save();
    if (this.swipe > 0) {
      paint.beginPath();
      paint.rect(this.swipe * this.width, 0, this.width, this.height);
      paint.clip();
    }
    paint.lineJoin = paint.lineCap = "round";
    for (const { colour, shapes } of this.outlines) {
      paint.beginPath();
      for (const { closed, parts } of shapes) {
        for (const part of parts) {
          part.forEach((place, at) => { const [x, y] = this.toPage(place); if (at) paint.lineTo(x, y); else paint.moveTo(x, y); });
          if (closed) paint.closePath();
        }
      }
      // Dark lines are seen against a light border, light ones against a dark one.
      const [red, green, blue] = [1, 3, 5].map((at) => parseInt(colour.slice(at, at + 2), 16));
      paint.strokeStyle = 0.3 * red + 0.6 * green + 0.1 * blue < 90 ? "#fffc" : "#000c"; paint.lineWidth = 3.5; paint.stroke();
      paint.strokeStyle = colour; paint.lineWidth = 1.8; paint.stroke();
    }
    paint.restore();
  }

  drawShape({ places, kind, colour, text }) {
    const { paint } = this, points = places.map((place) => this.toPage(place));
    paint.lineWidth = 2;
    const outline = () => {
      paint.strokeStyle = "#000"; paint.lineWidth = 4; paint.stroke();
      paint.strokeStyle = colour; paint.lineWidth = 2; paint.stroke();
    };
    if (kind === "point") {
      const [x, y] = points[0];
      paint.beginPath();
      paint.arc(x, y, text ? 11 : 6, 0, 7);
      paint.fillStyle = colour;
      paint.fill();
      paint.strokeStyle = "#000"; paint.lineWidth = 3; paint.stroke();
      paint.strokeStyle = "#fff"; paint.lineWidth = 1.5; paint.stroke();
      if (text) {
        paint.fillStyle = "#000";
        paint.font = "bold 12px system-ui, sans-serif";
        paint.textAlign = "center";
        paint.textBaseline = "middle";
        paint.fillText(text, x, y + 0.5);
      }
      return;
    }
    paint.beginPath();
    points.forEach(([x, y], at) => (at ? paint.lineTo(x, y) : paint.moveTo(x, y)));
    if (kind === "polygon") paint.closePath();
    outline();
  }

  listen() {
    const { canvas } = this;
    const at = (event) => { const box = canvas.getBoundingClientRect(); return [event.clientX - box.left, event.clientY - box.top]; };
    canvas.addEventListener("pointerdown", (event) => {
      try { canvas.setPointerCapture(event.pointerId); } catch { /* a pointer made by a script */ }
      this.pointers.set(event.pointerId, at(event));
      this.start = this.pointers.size === 1 && event.button === 0 ? at(event) : null;
    });
    canvas.addEventListener("pointermove", (event) => {
      const before = this.pointers.get(event.pointerId), now = at(event);
      if (!before) {
        clearTimeout(this.pause);
        if (this.grid && event.pointerType === "mouse") this.pause = setTimeout(() => this.hover(this.toMap(now)), 250);
        return;
      }
      if (this.start && Math.hypot(now[0] - this.start[0], now[1] - this.start[1]) > 4) this.start = null;
      if (this.start) return;
      const others = [...this.pointers].filter(([id]) => id !== event.pointerId);
      if (others.length) {
        const [other] = others[0].slice(1), length = (point) => Math.hypot(point[0] - other[0], point[1] - other[1]);
        this.zoomBy(Math.log2(Math.max(length(now), 1) / Math.max(length(before), 1)), [(now[0] + other[0]) / 2, (now[1] + other[1]) / 2]);
      } else this.panBy(before[0] - now[0], before[1] - now[1]);
      this.pointers.set(event.pointerId, now);
    });
    const end = (event) => {
      const pressed = event.type === "pointerup" && this.start && this.pointers.size === 1 && this.grid;
      this.pointers.delete(event.pointerId);
      this.start = null;
      if (pressed) this.press(this.toMap(at(event)));
    };
    canvas.addEventListener("pointerup", end);
    canvas.addEventListener("pointercancel", end);
    canvas.addEventListener("pointerleave", () => clearTimeout(this.pause));
    canvas.addEventListener("wheel", (event) => {
      event.preventDefault();
      this.zoomBy(-Math.sign(event.deltaY) * Math.min(Math.abs(event.deltaY) / 200, 0.5), at(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const step = event.shiftKey ? 300 : 80;
      const keys = {
        ArrowLeft: () => this.panBy(-step, 0), ArrowRight: () => this.panBy(step, 0), ArrowUp: () => this.panBy(0, -step), ArrowDown: () => this.panBy(0, step),
        "+": () => this.zoomBy(1), "=": () => this.zoomBy(1), "-": () => this.zoomBy(-1), 0: () => this.fit(),
        Enter: () => this.press(this.centre), v: () => this.hover(this.centre), V: () => this.hover(this.centre),
      };
      if (event.ctrlKey || event.metaKey || event.altKey || !this.grid || !keys[event.key]) return;
      event.preventDefault();
      keys[event.key]();
    });
  }
}
