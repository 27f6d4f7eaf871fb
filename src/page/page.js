"use strict";
(() => {
  const of = (id) => document.getElementById(id);
  const stage = of("stage"), handle = of("handle"), result = of("result");

  // The swipe: drag anywhere on the picture, or move the handle with the keyboard.
  let cut = 50;
  const swipe = (share) => {
    cut = Math.min(100, Math.max(0, share));
    stage.style.setProperty("--cut", cut + "%");
    handle.setAttribute("aria-valuenow", Math.round(cut));
    handle.setAttribute("aria-valuetext", Math.round(cut) + " %");
  };
  const place = (event) => {
    const box = stage.getBoundingClientRect();
    return { x: event.clientX - box.left, y: event.clientY - box.top, width: box.width, height: box.height };
  };
  const follow = (event) => {
    const at = place(event);
    swipe((100 * at.x) / at.width);
  };

  // The view: how much the world is enlarged, and where its corner lies in the stage.
  const MOST = 40;
  let zoom = 1, left = 0, top = 0;
  const fit = { x: parseFloat(stage.style.getPropertyValue("--fit-x")), y: parseFloat(stage.style.getPropertyValue("--fit-y")) };
  // What is smaller than the stage is centred; what is larger covers it.
  const within = (start, size, space) => (size <= space ? (space - size) / 2 : Math.min(0, Math.max(space - size, start)));
  const view = () => {
    const width = stage.clientWidth, height = stage.clientHeight;
    left = within(left, fit.x * width * zoom, width);
    top = within(top, fit.y * height * zoom, height);
    stage.style.setProperty("--zoom", zoom);
    stage.style.setProperty("--x", left + "px");
    stage.style.setProperty("--y", top + "px");
    stage.classList.toggle("near", zoom > 1);
  };
  const zoomTo = (wanted, x, y) => {
    const next = Math.min(MOST, Math.max(1, wanted)), factor = next / zoom;
    left = x - (x - left) * factor;
    top = y - (y - top) * factor;
    zoom = next;
    view();
  };
  const zoomBy = (factor) => zoomTo(zoom * factor, stage.clientWidth / 2, stage.clientHeight / 2);
  // Of a strip a part is shown that is as high, or as wide, as the stage.
  const strip = 1 / Math.min(fit.x, fit.y);
  if (strip > 1.6) zoom = Math.min(strip, MOST);
  view();
  addEventListener("resize", view);
  of("in").addEventListener("click", () => zoomBy(1.6));
  of("out").addEventListener("click", () => zoomBy(1 / 1.6));
  of("whole").addEventListener("click", () => { zoom = 1; view(); });
  stage.addEventListener("wheel", (event) => {
    // A page that is being scrolled goes on being scrolled.
    if (!event.ctrlKey && !event.metaKey && !stage.matches(":focus-within")) return;
    event.preventDefault();
    const at = place(event);
    zoomTo(zoom * Math.exp(-event.deltaY / (event.deltaMode ? 20 : 300)), at.x, at.y);
  }, { passive: false });
  stage.addEventListener("keydown", (event) => {
    if (event.target !== stage || event.ctrlKey || event.altKey || event.metaKey) return;
    const moves = { ArrowLeft: [60, 0], ArrowRight: [-60, 0], ArrowUp: [0, 60], ArrowDown: [0, -60] };
    if (event.key === "+" || event.key === "=") zoomBy(1.6);
    else if (event.key === "-") zoomBy(1 / 1.6);
    else if (event.key === "0") { zoom = 1; view(); }
    else if (event.key in moves) { left += moves[event.key][0]; top += moves[event.key][1]; view(); }
    else return;
    event.preventDefault();
  });

  // One pointer swipes, or moves the world where it is enlarged; two pointers enlarge it.
  const pointers = new Map();
  let swiping = false;
  stage.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.target.closest("button")) return;
    pointers.set(event.pointerId, event);
    try { stage.setPointerCapture(event.pointerId); } catch { /* a pointer that is gone already */ }
    if (pointers.size === 1) swiping = zoom === 1 || event.target === handle;
    (swiping ? handle : stage).focus({ preventScroll: true });
    event.preventDefault();
    if (swiping && pointers.size === 1) follow(event);
  });
  stage.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (!before) return;
    if (pointers.size === 2) {
      const other = [...pointers.values()].find((one) => one.pointerId !== event.pointerId);
      const apart = (one) => Math.hypot(one.clientX - other.clientX, one.clientY - other.clientY);
      const [a, b] = [place(event), place(other)];
      zoomTo((zoom * apart(event)) / Math.max(1, apart(before)), (a.x + b.x) / 2, (a.y + b.y) / 2);
    } else if (swiping) {
      follow(event);
    } else {
      left += event.clientX - before.clientX;
      top += event.clientY - before.clientY;
      view();
    }
    pointers.set(event.pointerId, event);
  });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    stage.addEventListener(end, (event) => pointers.delete(event.pointerId));
  stage.addEventListener("dblclick", (event) => {
    if (event.target.closest("button")) return;
    const at = place(event);
    zoomTo(zoom * 2, at.x, at.y);
  });
  handle.addEventListener("keydown", (event) => {
    const steps = { ArrowLeft: -2, ArrowDown: -2, ArrowRight: 2, ArrowUp: 2, PageDown: -10, PageUp: 10, Home: -100, End: 100 };
    if (!(event.key in steps) || event.ctrlKey || event.altKey || event.metaKey) return;
    event.preventDefault();
    swipe(cut + steps[event.key]);
  });

  const opacity = of("opacity");
  const fade = () => {
    result.style.opacity = opacity.value / 100;
    of("opacity-value").value = opacity.value + " %";
  };
  opacity.addEventListener("input", fade);
  // Browsers keep what a reader had set when a page is loaded again.
  fade();

  // The result is an indexed PNG: a class disappears when its place in the palette becomes transparent (the chunk tRNS).
  const png = Uint8Array.from(atob(result.src.split(",")[1]), (letter) => letter.charCodeAt(0));
  const crcs = Uint32Array.from({ length: 256 }, (_, byte) => {
    for (let bit = 0; bit < 8; bit++) byte = byte & 1 ? 0xedb88320 ^ (byte >>> 1) : byte >>> 1;
    return byte;
  });
  const chunk = (name, content) => {
    const bytes = new Uint8Array(12 + content.length), view = new DataView(bytes.buffer);
    view.setUint32(0, content.length);
    bytes.set([...name].map((letter) => letter.charCodeAt(0)), 4);
    bytes.set(content, 8);
    let crc = 0xffffffff;
    for (const byte of bytes.subarray(4, 8 + content.length)) crc = crcs[(crc ^ byte) & 255] ^ (crc >>> 8);
    view.setUint32(8 + content.length, ~crc >>> 0);
    return bytes;
  };
  const withOpacities = (opacities) => {
    const parts = [png.subarray(0, 8)], view = new DataView(png.buffer);
    let placed = false;
    for (let at = 8; at < png.length; ) {
      const end = at + 12 + view.getUint32(at), name = String.fromCharCode(...png.subarray(at + 4, at + 8));
      if (name === "IDAT" && !placed) { parts.push(chunk("tRNS", opacities)); placed = true; }
      if (name !== "tRNS") parts.push(png.subarray(at, end));
      at = end;
    }
    return URL.createObjectURL(new Blob(parts, { type: "image/png" }));
  };
  let palette = 0;
  for (let at = 8, view = new DataView(png.buffer); at < png.length; at += 12 + view.getUint32(at))
    if (String.fromCharCode(...png.subarray(at + 4, at + 8)) === "PLTE") palette = view.getUint32(at) / 3;
  const boxes = [...document.querySelectorAll("#legend input")];
  const vectors = of("vectors"), lines = of("lines");
  const show = () => {
    if (vectors) {
      vectors.style.display = lines.checked ? "" : "none";
      const hidden = new Set(boxes.filter((box) => !box.checked).map((box) => box.dataset.slot));
      for (const path of vectors.children) path.style.display = hidden.has(path.dataset.class) ? "none" : "";
    }
    const opacities = new Uint8Array(palette).fill(255);
    opacities.fill(0, 255);
    for (const box of boxes) if (!box.checked) opacities[box.dataset.slot] = 0;
    const before = result.src;
    result.src = withOpacities(opacities);
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  };
  of("legend").addEventListener("change", show);
  if (lines) lines.addEventListener("change", show);
  const all = (checked) => () => { for (const box of boxes) box.checked = checked; show(); };
  of("all").addEventListener("click", all(true));
  of("none").addEventListener("click", all(false));
  if (boxes.some((box) => !box.checked) || (lines && !lines.checked)) show();
})();
