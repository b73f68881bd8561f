// Draws the scope from the minimum and the maximum of each 20 ms.
//
// Python sends the last seconds ten times a second; between two updates the picture moves by the
// browser's clock, with a short delay, so that it scrolls smoothly.  After the end of the call the
// whole of it can be looked at.

import { hearing } from "../hearing.js";
import { leave, shareKeys } from "./keys.js";
import { draw, swatchOf } from "./scope_drawing.js";
import { WholeCall, buildToolbar, steer } from "./scope_view.js";

const COLUMN_SECONDS = 0.02;
const LATE_SECONDS = 0.2; // two updates: everything that is drawn has arrived
const MARGIN_SECONDS = 0.4; // received but not shown, so that the left edge is never empty
const SILENT_KERNEL_MS = 3000;

const LEGEND = [
  ["caller", "■", "caller says"],
  ["yours", "■", "caller hears (you)"],
  ["key", "│", "key pressed"],
  ["sent", "▼", "mark sent"],
  ["mark", "│", "mark back: heard"],
  ["cleared", "│", "mark back: cleared"],
  ["clear", "┆", "clear"],
];
const ALWAYS = ["caller", "yours"];

function build(el) {
  const root = document.createElement("div");
  root.className = "twistream-scope";
  const stage = document.createElement("div");
  stage.className = "twistream-scope-stage";
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  stage.append(canvas);
  const words = document.createElement("div");
  words.className = "twistream-scope-words";
  const [swatches, items] = [{}, {}];
  for (const [name, sign, text] of LEGEND) {
    const item = document.createElement("span");
    const swatch = document.createElement("span");
    swatch.className = "twistream-scope-swatch";
    swatch.setAttribute("aria-hidden", "true");
    swatch.style.color = `var(--${name})`;
    swatch.textContent = sign;
    item.append(swatch, text);
    item.hidden = !ALWAYS.includes(name);
    words.append(item);
    swatches[name] = swatch;
    items[name] = item;
  }
  const state = document.createElement("span");
  state.className = "twistream-scope-state";
  state.setAttribute("role", "status");
  const figures = document.createElement("span");
  figures.className = "twistream-scope-state";
  words.append(state, figures);
  const { bar, shown } = buildToolbar();
  root.append(bar, stage, words);
  el.append(root);
  return { root, stage, canvas, swatches, items, state, figures, bar, shown };
}

// Buffers arrive as DataView in JupyterLab.
const samplesOf = (view) => new Int8Array(view.buffer, view.byteOffset, view.byteLength);

function drawNow(parts, picture, end) {
  const { first, events } = picture;
  const [caller, heard] = [samplesOf(picture.caller), samplesOf(picture.heard)];
  const seconds = (caller.length / 2) * COLUMN_SECONDS - MARGIN_SECONDS;
  draw(parts, { first, seconds: COLUMN_SECONDS, caller, heard }, events, end - seconds, end);
}

function explain(parts, events) {
  for (const event of events) parts.items[swatchOf(event)].hidden = false;
}

function render({ model, el }) {
  const parts = build(el);
  for (const [name, colour] of Object.entries(model.get("colours"))) {
    parts.root.style.setProperty(`--light-${name}`, colour);
  }
  let arrived = performance.now();
  let before = arrived;
  let shown = null;
  let waiting = 0;
  let whole = null;

  const words = () => {
    const silent = model.get("picture").running && performance.now() - arrived > SILENT_KERNEL_MS;
    const text = silent ? "No update from the kernel: the picture does not move." : model.get("state");
    if (parts.state.textContent !== text) parts.state.textContent = text;
    const summary = whole ? `Waveform of the call, ${whole.words}; ${whole.figures}` : model.get("summary");
    parts.canvas.setAttribute("aria-label", summary);
    if (whole) parts.shown.textContent = whole.words;
  };

  const step = (now) => {
    waiting = 0;
    if (whole) {
      draw(parts, whole.columns(parts.canvas.clientWidth), whole.events, whole.begin, whole.end);
      words();
      return;
    }
    const picture = model.get("picture");
    if (!picture.events) return; // the first is still to come, and will ask again
    const passed = (now - before) / 1000;
    before = now;
    const target = picture.running
      ? picture.now + Math.min((now - arrived) / 1000, LATE_SECONDS) - LATE_SECONDS
      : picture.now;
    const jumps = shown === null || !picture.running || Math.abs(target - shown) > 0.5;
    shown = jumps ? target : shown + passed + (target - shown - passed) * 0.1;
    explain(parts, picture.events);
    drawNow(parts, picture, shown);
    words();
    if (picture.running && now - arrived < 2 * SILENT_KERNEL_MS) ask();
  };
  const ask = () => {
    if (!waiting) waiting = requestAnimationFrame(step);
  };
  const receive = () => {
    arrived = performance.now();
    ask();
  };
  const receiveWhole = () => {
    if (!model.get("whole").counts) return;
    whole = new WholeCall(model, ask);
    explain(parts, whole.events);
    parts.figures.textContent = whole.figures;
    parts.bar.hidden = false;
    parts.stage.tabIndex = 0;
    parts.stage.setAttribute("role", "group");
    const keys = "arrows move, plus and minus zoom, Home, End, 0 for all";
    parts.stage.setAttribute("aria-label", `Waveform of the whole call; ${keys}`);
    parts.stage.classList.add("twistream-scope-whole");
    ask();
  };
  const receiveTile = (content, buffers) => {
    if (whole && content.kind === "peaks") whole.receive(content, buffers);
  };

  shareKeys(parts.root);
  steer(parts, () => whole);
  parts.canvas.addEventListener("click", () => leave(parts.root));
  const resized = new ResizeObserver(ask);
  resized.observe(parts.canvas);
  const themed = new MutationObserver(ask);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  model.on("change:picture", receive);
  model.on("change:state", words);
  model.on("change:whole", receiveWhole);
  model.on("msg:custom", receiveTile);
  words();
  receiveWhole();
  ask();
  return () => {
    model.off("change:picture", receive);
    model.off("change:state", words);
    model.off("change:whole", receiveWhole);
    model.off("msg:custom", receiveTile);
    resized.disconnect();
    themed.disconnect();
    cancelAnimationFrame(waiting);
    waiting = -1; // request no further frame
  };
}

export default () => hearing({ render });
