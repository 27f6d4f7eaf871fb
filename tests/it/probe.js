// Runs inside a page and reports to the frame around it.
const of = (id) => document.getElementById(id), stage = of("stage"), handle = of("handle"), result = of("result"), found = [];
const note = (name, value) => found.push(name + "=" + value);
const fire = (type, share) => { const box = stage.getBoundingClientRect(); stage.dispatchEvent(new PointerEvent(type, {
  pointerId: 7, pointerType: "touch", isPrimary: true, bubbles: true, cancelable: true, button: type === "pointermove" ? -1 : 0,
  clientX: box.left + share * box.width, clientY: box.top + 9 })); };
const cut = () => Math.round(parseFloat(getComputedStyle(of("cut")).clipPath.split(" ").pop()));
const colours = async () => {
  do await new Promise((done) => setTimeout(done, 50)); while (!result.complete);
  const canvas = document.createElement("canvas"); canvas.width = result.naturalWidth; canvas.height = result.naturalHeight;
  const paint = canvas.getContext("2d"); paint.drawImage(result, 0, 0);
  const data = paint.getImageData(0, 0, canvas.width, canvas.height).data, seen = new Set();
  for (let at = 0; at < data.length; at += 4) seen.add(data[at + 3] === 0 ? "clear" : data.slice(at, at + 3).join("/"));
  return [...seen].sort().join(" ");
};
(async () => {
  note("title", document.title);
  note("width", innerWidth + (document.documentElement.scrollWidth > innerWidth ? " and more" : ""));
  note("picture", Math.round(100 * of("scene").clientWidth / of("scene").clientHeight) + " " + of("scene").naturalWidth);
  note("start", handle.ariaValueNow + " " + cut());
  fire("pointerdown", 0.25); note("pressed", cut());
  fire("pointermove", 0.8); note("dragged", cut());
  fire("pointerup", 0.8); fire("pointermove", 0.1); note("released", cut());
  handle.dispatchEvent(new KeyboardEvent("keydown", { key: "ArrowLeft", bubbles: true })); note("key", handle.ariaValueNow);
  handle.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true })); note("end", handle.ariaValueNow);
  const boxes = [...document.querySelectorAll("#legend input")];
  note("classes", boxes.length);
  note("all", await colours());
  document.querySelector("[data-slot='1']").click(); note("without 1", await colours());
  of("none").click(); note("none", await colours());
  of("all").click(); note("again", await colours());
  of("opacity").value = 20; of("opacity").dispatchEvent(new Event("input")); note("opacity", getComputedStyle(result).opacity);
  parent.postMessage(found.join("\n"), "*");
})().catch((error) => parent.postMessage("failed: " + error + "\n" + found.join("\n"), "*"));
