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
    handle.setAttribute("aria-valuetext", Math.round(cut) + " % scene");
  };
  const follow = (event) => {
    const box = stage.getBoundingClientRect();
    swipe((100 * (event.clientX - box.left)) / box.width);
  };
  let pointer = null;
  stage.addEventListener("pointerdown", (event) => {
    if (pointer !== null || event.button !== 0) return;
    pointer = event.pointerId;
    try { stage.setPointerCapture(pointer); } catch { /* a pointer that is gone already */ }
    handle.focus({ preventScroll: true });
    event.preventDefault();
    follow(event);
  });
  stage.addEventListener("pointermove", (event) => { if (event.pointerId === pointer) follow(event); });
  for (const end of ["pointerup", "pointercancel", "lostpointercapture"])
    stage.addEventListener(end, (event) => { if (event.pointerId === pointer) pointer = null; });
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
  const show = () => {
    const opacities = new Uint8Array(palette).fill(255);
    opacities.fill(0, 255);
    for (const box of boxes) if (!box.checked) opacities[box.dataset.slot] = 0;
    const before = result.src;
    result.src = withOpacities(opacities);
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  };
  of("legend").addEventListener("change", show);
  const all = (checked) => () => { for (const box of boxes) box.checked = checked; show(); };
  of("all").addEventListener("click", all(true));
  of("none").addEventListener("click", all(false));
  if (boxes.some((box) => !box.checked)) show();
})();
