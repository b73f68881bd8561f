// Draws the scope from the minimum and the maximum of each 20 ms.
//
// Python sends the last seconds ten times a second; between two updates the picture moves by the
// browser's clock, with a short delay, so that it scrolls smoothly.

const COLUMN_SECONDS = 0.02;
const LATE_SECONDS = 0.2; // two updates: everything that is drawn has arrived
const MARGIN_SECONDS = 0.4; // received but not shown, so that the left edge is never empty
const SILENT_KERNEL_MS = 3000;
const AXIS = 20; // pixels below the lanes, for the seconds
const LABEL_ROWS = 3;
const ROW = 14;

const LEGEND = [
  ["caller", "■", "caller says"],
  ["yours", "■", "caller hears (you)"],
  ["mark", "▼", "mark sent"],
  ["mark", "│", "mark back"],
  ["clear", "┆", "clear"],
];

function build(el) {
  const root = document.createElement("div");
  root.className = "twistream-scope";
  const canvas = document.createElement("canvas");
  canvas.setAttribute("role", "img");
  const words = document.createElement("div");
  words.className = "twistream-scope-words";
  const swatches = {};
  for (const [name, sign, text] of LEGEND) {
    const item = document.createElement("span");
    const swatch = document.createElement("span");
    swatch.className = "twistream-scope-swatch";
    swatch.setAttribute("aria-hidden", "true");
    swatch.style.color = `var(--${name})`;
    swatch.textContent = sign;
    item.append(swatch, text);
    words.append(item);
    swatches[name] = swatch;
  }
  const state = document.createElement("span");
  state.className = "twistream-scope-state";
  state.setAttribute("role", "status");
  words.append(state);
  root.append(canvas, words);
  el.append(root);
  return { root, canvas, swatches, state };
}

// A canvas cannot use CSS variables: the colours of the theme are read from the legend.
function paletteOf(parts) {
  const colourOf = (element) => getComputedStyle(element).color;
  const style = getComputedStyle(parts.root);
  return {
    caller: colourOf(parts.swatches.caller),
    yours: colourOf(parts.swatches.yours),
    mark: colourOf(parts.swatches.mark),
    clear: colourOf(parts.swatches.clear),
    text: style.color,
    paper: getComputedStyle(parts.canvas).backgroundColor,
    font: `11px ${style.fontFamily}`,
  };
}

// Buffers arrive as DataView in JupyterLab.
const samplesOf = (view) => new Int8Array(view.buffer, view.byteOffset, view.byteLength);

function fitted(canvas) {
  const scale = window.devicePixelRatio || 1;
  const [width, height] = [canvas.clientWidth, canvas.clientHeight];
  if (canvas.width !== Math.round(width * scale)) canvas.width = Math.round(width * scale);
  if (canvas.height !== Math.round(height * scale)) canvas.height = Math.round(height * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  pen.clearRect(0, 0, width, height);
  return { pen, width, height };
}

function drawSeconds(pen, frame, palette) {
  pen.font = palette.font;
  pen.fillStyle = pen.strokeStyle = palette.text;
  pen.textAlign = "center";
  pen.lineWidth = 1;
  for (let second = Math.max(0, Math.ceil(frame.begin)); second <= frame.end; second++) {
    const x = frame.x(second);
    pen.globalAlpha = 0.15;
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x, frame.bottom);
    pen.stroke();
    pen.globalAlpha = 0.9;
    if (x > 12 && x < frame.width - 12) pen.fillText(`${second} s`, x, frame.bottom + 14);
  }
  pen.globalAlpha = 1;
}

function drawLane(pen, frame, lane, samples, first, colour, palette) {
  const columns = samples.length / 2;
  pen.strokeStyle = palette.text;
  pen.globalAlpha = 0.3;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, lane.middle);
  pen.lineTo(frame.width, lane.middle);
  pen.stroke();
  pen.globalAlpha = 1;
  const y = (value) => lane.middle - (value / 128) * lane.half;
  const xOf = (column) => frame.x((first + column) * COLUMN_SECONDS);
  // Columns beyond the right edge have arrived but are not due yet.
  let last = columns - 1;
  while (last > 0 && xOf(last) > frame.width) last--;
  pen.beginPath();
  for (let column = 0; column <= last; column++) pen.lineTo(xOf(column), y(samples[2 * column + 1]) - 0.5);
  for (let column = last; column >= 0; column--) pen.lineTo(xOf(column), y(samples[2 * column]) + 0.5);
  pen.closePath();
  pen.fillStyle = colour;
  pen.fill();
}

function note(pen, frame, lane, x, text, palette) {
  const wide = pen.measureText(text).width;
  const left = Math.min(x + 4, frame.width - wide - 4);
  // Use the first row in which it covers no other label; without such a row, draw the line alone.
  const row = lane.ends.findIndex((end) => end < left);
  if (row < 0) return;
  lane.ends[row] = left + wide + 6;
  const top = lane.top + 18 + row * ROW;
  pen.globalAlpha = 0.8;
  pen.fillStyle = palette.paper;
  pen.fillRect(left - 2, top, wide + 4, ROW);
  pen.globalAlpha = 1;
  pen.fillStyle = palette.text;
  pen.textAlign = "left";
  pen.fillText(text, left, top + 11);
}

function drawLine(pen, x, top, bottom, colour, dashes = []) {
  pen.strokeStyle = colour;
  pen.lineWidth = 1.5;
  pen.setLineDash(dashes);
  pen.beginPath();
  pen.moveTo(x, top);
  pen.lineTo(x, bottom);
  pen.stroke();
  pen.setLineDash([]);
}

function drawEvent(pen, frame, [caller, heard], [at, kind, name], palette) {
  const x = frame.x(at);
  if (x < 0 || x > frame.width) return;
  if (kind === "clear") {
    drawLine(pen, x, 0, frame.bottom, palette.clear, [5, 4]);
    note(pen, frame, heard, x, "clear", palette);
  } else if (kind === "mark back") {
    drawLine(pen, x, heard.top, frame.bottom, palette.mark);
    note(pen, frame, heard, x, name, palette);
  } else if (kind === "mark sent") {
    pen.fillStyle = palette.mark;
    pen.beginPath();
    pen.moveTo(x - 5, heard.top);
    pen.lineTo(x + 5, heard.top);
    pen.lineTo(x, heard.top + 8);
    pen.fill();
  } else {
    drawLine(pen, x, caller.top, caller.top + 2 * caller.half, palette.caller);
    note(pen, frame, caller, x, `key ${name}`, palette);
  }
}

function drawTitles(pen, lanes, palette) {
  pen.textAlign = "left";
  for (const lane of lanes) {
    const wide = pen.measureText(lane.title).width;
    pen.globalAlpha = 0.8;
    pen.fillStyle = palette.paper;
    pen.fillRect(2, lane.top + 2, wide + 8, ROW);
    pen.globalAlpha = 1;
    pen.fillStyle = palette.text;
    pen.fillText(lane.title, 6, lane.top + 13);
  }
}

function draw(parts, picture, end) {
  const { pen, width, height } = fitted(parts.canvas);
  if (!width) return;
  const palette = paletteOf(parts);
  const [caller, heard] = [samplesOf(picture.caller), samplesOf(picture.heard)];
  const seconds = (caller.length / 2) * COLUMN_SECONDS - MARGIN_SECONDS;
  const bottom = height - AXIS;
  const half = bottom / 4;
  const lane = (number, title) => ({
    title, half, top: number * 2 * half, middle: (2 * number + 1) * half,
    ends: Array(LABEL_ROWS).fill(-1),
  });
  const lanes = [lane(0, "caller says"), lane(1, "caller hears (you)")];
  const begin = end - seconds;
  const frame = { width, bottom, begin, end, x: (at) => ((at - begin) / seconds) * width };
  drawSeconds(pen, frame, palette);
  drawLane(pen, frame, lanes[0], caller, picture.first, palette.caller, palette);
  drawLane(pen, frame, lanes[1], heard, picture.first, palette.yours, palette);
  for (const event of picture.events) drawEvent(pen, frame, lanes, event, palette);
  drawTitles(pen, lanes, palette);
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

  const words = () => {
    const silent = model.get("picture").running && performance.now() - arrived > SILENT_KERNEL_MS;
    const text = silent ? "No update from the kernel: the picture does not move." : model.get("state");
    if (parts.state.textContent !== text) parts.state.textContent = text;
    parts.canvas.setAttribute("aria-label", model.get("summary"));
  };

  const step = (now) => {
    waiting = 0;
    const picture = model.get("picture");
    const passed = (now - before) / 1000;
    before = now;
    const target = picture.running
      ? picture.now + Math.min((now - arrived) / 1000, LATE_SECONDS) - LATE_SECONDS
      : picture.now;
    const jumps = shown === null || !picture.running || Math.abs(target - shown) > 0.5;
    shown = jumps ? target : shown + passed + (target - shown - passed) * 0.1;
    draw(parts, picture, shown);
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

  const resized = new ResizeObserver(ask);
  resized.observe(parts.canvas);
  const themed = new MutationObserver(ask);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  model.on("change:picture", receive);
  model.on("change:state", words);
  words();
  ask();
  return () => {
    model.off("change:picture", receive);
    model.off("change:state", words);
    resized.disconnect();
    themed.disconnect();
    cancelAnimationFrame(waiting);
    waiting = -1; // request no further frame
  };
}

export default () => ({ render });
