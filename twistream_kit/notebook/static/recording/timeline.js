// The picture of the call: the caller above, what the caller heard below, what happened between.

import { bytesOf } from "./pieces.js";

const WAVE = 46; // pixels of each voice
const EVENTS = 30; // pixels between the voices, for marks, clears and keys with their names
const AXIS = 18;

export const HEIGHT = 2 * WAVE + EVENTS + AXIS;

const STEPS = [0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800, 3600];

export function formatTime(seconds, digits = 0) {
  const rounded = Number(seconds.toFixed(digits)); // first, or 59.97 would be 0:60.0
  const minutes = Math.floor(rounded / 60);
  const rest = (rounded - 60 * minutes).toFixed(digits);
  return `${minutes}:${rest.padStart(digits ? 3 + digits : 2, "0")}`;
}

function fit(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth;
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(HEIGHT * scale);
  const pen = canvas.getContext("2d");
  pen.setTransform(scale, 0, 0, scale, 0, 0);
  return { pen, width };
}

function drawWave(pen, width, peaks, side, middle, colour) {
  const columns = peaks.length / 4;
  pen.fillStyle = colour;
  for (let x = 0; x < width; x++) {
    const first = Math.floor((x / width) * columns);
    const last = Math.max(first + 1, Math.floor(((x + 1) / width) * columns));
    let low = 0, high = 0;
    for (let column = first; column < Math.min(last, columns); column++) {
      low = Math.min(low, peaks[4 * column + 2 * side]);
      high = Math.max(high, peaks[4 * column + 2 * side + 1]);
    }
    const top = middle - (high / 128) * (WAVE / 2), bottom = middle - (low / 128) * (WAVE / 2);
    pen.fillRect(x, top, 1, Math.max(bottom - top, 0.6));
  }
}

function drawAxis(pen, width, seconds, colours) {
  const most = Math.max(1, Math.floor(width / 70));
  const step = STEPS.find((each) => seconds / each <= most) ?? STEPS.at(-1);
  const digits = step < 1 ? 1 : 0;
  pen.fillStyle = pen.strokeStyle = colours.text;
  pen.textAlign = "center";
  for (let second = 0; second <= seconds; second += step) {
    const x = (second / seconds) * width;
    pen.globalAlpha = 0.35;
    pen.fillRect(x, HEIGHT - AXIS, 1, 4);
    pen.globalAlpha = 1;
    if (x > 14 && x < width - 14) pen.fillText(formatTime(second, digits), x, HEIGHT - 3);
  }
}

const SIGNS = { heard: "●", cleared: "✕", lost: "□", open: "○", clear: "┆", key: "⌗" };

// A sign for each event, with its name where there is room; names never lie on each other.
function drawEvents(pen, width, seconds, events, colours) {
  const ends = [0, 0];
  pen.textAlign = "left";
  for (const [at, kind, name] of events) {
    const x = (at / seconds) * width;
    pen.fillStyle = kind === "key" ? colours.caller : kind === "clear" || kind === "cleared" ? colours.clear : colours.mark;
    if (kind === "clear") {
      for (let y = 0; y < HEIGHT - AXIS; y += 7) pen.fillRect(x, y, 1.5, 4);
    } else {
      pen.fillRect(x, WAVE, 1, EVENTS);
    }
    const words = kind === "key" ? `key ${name}` : kind === "clear" ? "clear" : `${SIGNS[kind] ?? ""} ${name}`;
    const wide = pen.measureText(words).width + 8;
    const left = x + wide > width ? x - wide : x + 3;
    const row = ends.findIndex((end) => end <= left);
    if (row < 0) continue;
    ends[row] = left + wide;
    pen.fillStyle = colours.text;
    pen.fillText(words, left, WAVE + 12 + 13 * row);
  }
}

export function drawCall(canvas, swatches, model) {
  const seconds = model.get("seconds");
  if (!canvas.clientWidth || !seconds) return; // JupyterLab takes cells out of the page that are out of view
  const { pen, width } = fit(canvas);
  const colourOf = (element) => getComputedStyle(element).color;
  // A canvas cannot use CSS variables: the colours of the theme are read from the names.
  const colours = {
    caller: colourOf(swatches.caller),
    yours: colourOf(swatches.yours),
    mark: colourOf(swatches.mark),
    clear: colourOf(swatches.clear),
    text: getComputedStyle(canvas).color,
  };
  pen.clearRect(0, 0, width, HEIGHT);
  pen.font = `11px ${getComputedStyle(canvas).fontFamily}`;
  const bytes = bytesOf(model.get("peaks"));
  const peaks = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  drawWave(pen, width, peaks, 0, WAVE / 2, colours.caller);
  drawWave(pen, width, peaks, 1, WAVE + EVENTS + WAVE / 2, colours.yours);
  drawAxis(pen, width, seconds, colours);
  drawEvents(pen, width, seconds, model.get("events"), colours);
}
