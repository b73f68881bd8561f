// Draws both voices on a canvas, each in a lane, with the labels in strips above the lanes.

const AXIS = 20; // pixels below the lanes, for the seconds
const ROW = 15;
const KEY_ROWS = 1;
const MARK_ROWS = 2;
const COUNT = 64; // pixels at the right for the number of labels that found no room
const NEAR = 3; // events nearer than this many pixels share a label

// A canvas cannot use CSS variables: the colours of the theme are read from the legend.
export function paletteOf(parts) {
  const style = getComputedStyle(parts.root);
  const colours = Object.entries(parts.swatches).map(([name, swatch]) => [name, getComputedStyle(swatch).color]);
  return { ...Object.fromEntries(colours), text: style.color, font: `11px ${style.fontFamily}` };
}

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
  const least = (70 * (frame.end - frame.begin)) / frame.width;
  const step = [0.1, 0.2, 0.5, 1, 2, 5, 10, 30, 60, 120, 300].find((each) => each >= least) ?? 600;
  const digits = step < 1 ? 1 : 0;
  for (let n = Math.max(0, Math.ceil(frame.begin / step)); n * step <= frame.end; n++) {
    const x = frame.x(n * step);
    pen.globalAlpha = 0.15;
    pen.beginPath();
    pen.moveTo(x, 0);
    pen.lineTo(x, frame.bottom);
    pen.stroke();
    pen.globalAlpha = 0.9;
    if (x > 16 && x < frame.width - 16) pen.fillText(`${(n * step).toFixed(digits)} s`, x, frame.bottom + 14);
  }
  pen.globalAlpha = 1;
}

// `columns` has for each lane, column by column, the minimum and the maximum.
function drawLane(pen, frame, lane, columns, colour, palette) {
  pen.strokeStyle = palette.text;
  pen.globalAlpha = 0.3;
  pen.lineWidth = 1;
  pen.beginPath();
  pen.moveTo(0, lane.middle);
  pen.lineTo(frame.width, lane.middle);
  pen.stroke();
  pen.globalAlpha = 1;
  const y = (value) => lane.middle - (value / 128) * lane.half;
  const xOf = (column) => frame.x((columns.first + column) * columns.seconds);
  const samples = columns[lane.name];
  // Columns beyond the right edge have arrived but are not due yet.
  let last = samples.length / 2 - 1;
  while (last > 0 && xOf(last) > frame.width) last--;
  if (last < 0) return;
  pen.beginPath();
  for (let column = 0; column <= last; column++) pen.lineTo(xOf(column), y(samples[2 * column + 1]) - 0.5);
  for (let column = last; column >= 0; column--) pen.lineTo(xOf(column), y(samples[2 * column]) + 0.5);
  pen.closePath();
  pen.fillStyle = colour;
  pen.fill();
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

const NAMES = { clear: "clears", key: "keys", "mark back": "marks" };

const nameOf = ([, kind, name]) => (kind === "key" ? `key ${name}` : name || kind);

// Joins events that share a pixel or two: both names, or how many there are.
function grouped(events, x) {
  const groups = [];
  for (const event of events) {
    const group = groups.at(-1);
    if (group && x(event[0]) - x(group[0][0]) <= NEAR) group.push(event);
    else groups.push([event]);
  }
  return groups.map((group) => {
    const [at, kind] = group[0];
    if (group.length <= 2) return [at, group.map(nameOf).join(", ")];
    const many = group.every((each) => each[1] === kind) ? NAMES[kind] : "marks and clears";
    return [at, `${group.length} ${many}`];
  });
}

// Writes labels into the rows of a strip; what finds no room is counted at its right end.
function writeLabels(pen, frame, strip, labels, palette) {
  const ends = Array(strip.rows).fill(0);
  pen.textAlign = "left";
  pen.fillStyle = palette.text;
  pen.fillText(strip.title, 4, strip.top + 11);
  ends[0] = pen.measureText(strip.title).width + 14;
  const places = [];
  let room = frame.width;
  let hidden = 0;
  const place = ([at, text]) => {
    const wide = pen.measureText(text).width;
    const x = frame.x(at);
    const left = x + 4 + wide > room ? x - wide - 4 : x + 4;
    const row = left < 0 || x > room ? -1 : ends.findIndex((end) => end < left);
    if (row < 0) return false;
    ends[row] = left + wide + 8;
    places.push([left, row, text]);
    return true;
  };
  for (const label of labels) hidden += !place(label);
  if (hidden) {
    // Once more, with room for the number.
    room = frame.width - COUNT;
    [places.length, hidden] = [0, 0];
    ends.fill(0);
    ends[0] = pen.measureText(strip.title).width + 14;
    for (const label of labels) hidden += !place(label);
  }
  for (const [left, row, text] of places) pen.fillText(text, left, strip.top + row * ROW + 11);
  if (!hidden) return;
  pen.textAlign = "right";
  pen.fillText(`+ ${hidden} more`, frame.width - 4, strip.top + 11);
}

function drawEvent(pen, frame, [caller, heard], [at, kind, name], palette) {
  const x = frame.x(at);
  if (kind === "clear") {
    drawLine(pen, x, heard.strip, heard.bottom, palette.clear, [5, 4]);
  } else if (kind === "mark back") {
    drawLine(pen, x, heard.strip, heard.bottom, isCleared(name) ? palette.cleared : palette.mark);
  } else if (kind === "mark sent") {
    pen.fillStyle = palette.sent;
    pen.beginPath();
    pen.moveTo(x - 5, heard.top);
    pen.lineTo(x + 5, heard.top);
    pen.lineTo(x, heard.top + 8);
    pen.fill();
  } else {
    drawLine(pen, x, caller.strip, caller.bottom, palette.key);
  }
}

const isCleared = (name) => name.endsWith(" (cleared)");

// The entry of the legend that explains an event.
export function swatchOf([, kind, name]) {
  if (kind === "mark sent") return "sent";
  if (kind === "mark back") return isCleared(name) ? "cleared" : "mark";
  return kind;
}

// Draws the seconds from `begin` to `end` of a picture: its columns and its events.
export function draw(parts, columns, events, begin, end) {
  const { pen, width, height } = fitted(parts.canvas);
  if (!width) return;
  const palette = paletteOf(parts);
  const bottom = height - AXIS;
  const tall = (bottom - (KEY_ROWS + MARK_ROWS) * ROW) / 2;
  const lane = (name, strip, rows) => {
    const top = strip + rows * ROW;
    return { name, strip, top, half: tall / 2, middle: top + tall / 2, bottom: top + tall };
  };
  const caller = lane("caller", 0, KEY_ROWS);
  const heard = lane("heard", caller.bottom, MARK_ROWS);
  const frame = { width, bottom, begin, end, x: (at) => ((at - begin) / (end - begin)) * width };
  drawSeconds(pen, frame, palette);
  drawLane(pen, frame, caller, columns, palette.caller, palette);
  drawLane(pen, frame, heard, columns, palette.yours, palette);
  const seen = events.filter(([at]) => at >= begin && at <= end);
  for (const event of seen) drawEvent(pen, frame, [caller, heard], event, palette);
  const isKey = ([, kind]) => kind === "key";
  const isNamed = ([, kind]) => kind === "clear" || kind === "mark back";
  const strips = [
    [{ top: caller.strip, rows: KEY_ROWS, title: "caller says" }, seen.filter(isKey)],
    [{ top: heard.strip, rows: MARK_ROWS, title: "caller hears (you)" }, seen.filter(isNamed)],
  ];
  for (const [strip, shown] of strips) {
    writeLabels(pen, frame, strip, grouped(shown, frame.x), palette);
  }
}
