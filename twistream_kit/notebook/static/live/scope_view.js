// The way back over a whole call that has ended: its peaks, and the part of it that is shown.
//
// The kernel sends the coarsest level of the peaks with the end of the call; of the finer ones it
// sends the tiles that the view asks for, so that a call of any length takes little memory.

const LEAST_SECONDS = 0.5;
const KEPT_TILES = 64; // 4 kB each
const STEP = 0.25; // of what is shown

const signed = (view) => new Int8Array(view.buffer, view.byteOffset, view.byteLength);

export class WholeCall {
  constructor(model, changed) {
    const { seconds, counts, column_seconds, factor, tile_columns, top, events, figures } = model.get("whole");
    Object.assign(this, { model, changed, seconds, counts, factor, events, figures });
    this.columnSeconds = column_seconds;
    this.tileColumns = tile_columns;
    this.top = signed(top);
    this.tiles = new Map();
    this.asked = new Set();
    this.showAll();
  }

  showAll() {
    [this.begin, this.end] = [0, Math.max(this.seconds, LEAST_SECONDS)];
  }

  // Shows the seconds from `begin` on, as many as are shown now or as `span` says.
  show(begin, span = this.end - this.begin) {
    const most = Math.max(this.seconds, LEAST_SECONDS);
    const width = Math.min(most, Math.max(LEAST_SECONDS, span));
    this.begin = Math.min(Math.max(0, begin), most - width);
    this.end = this.begin + width;
    this.changed();
  }

  zoom(by, about = (this.begin + this.end) / 2) {
    const span = (this.end - this.begin) * by;
    this.show(about - ((about - this.begin) / (this.end - this.begin)) * span, span);
  }

  move(by) {
    this.show(this.begin + by * (this.end - this.begin));
  }

  get words() {
    const number = (seconds) => seconds.toFixed(1);
    return `${number(this.begin)} to ${number(Math.min(this.end, this.seconds))} s of ${number(this.seconds)} s`;
  }

  receive({ level, tile }, [buffer]) {
    const name = `${level}/${tile}`;
    this.asked.delete(name);
    this.tiles.set(name, signed(buffer));
    for (const oldest of this.tiles.keys()) {
      if (this.tiles.size <= KEPT_TILES) break;
      this.tiles.delete(oldest);
    }
    this.changed();
  }

  // Returns the peaks of what is shown: one column for each pixel or two.
  columns(pixels) {
    const highest = this.counts.length - 1;
    const wanted = (this.end - this.begin) / this.columnSeconds / Math.max(pixels, 1);
    const level = Math.min(highest, Math.max(0, Math.floor(Math.log(wanted) / Math.log(this.factor))));
    const seconds = this.columnSeconds * this.factor ** level;
    const first = Math.max(0, Math.floor(this.begin / seconds) - 1);
    const last = Math.min(this.counts[level] - 1, Math.ceil(this.end / seconds) + 1);
    const size = Math.max(0, last - first + 1);
    const [caller, heard] = [new Int8Array(2 * size), new Int8Array(2 * size)];
    for (let column = first; column <= last; column++) {
      const [peaks, place] = this.peaksOf(level, column);
      const at = 2 * (column - first);
      [caller[at], caller[at + 1], heard[at], heard[at + 1]] = peaks.subarray(4 * place, 4 * place + 4);
    }
    return { first, seconds, caller, heard };
  }

  peaksOf(level, column) {
    const highest = this.counts.length - 1;
    if (level < highest) {
      const tile = Math.floor(column / this.tileColumns);
      const name = `${level}/${tile}`;
      const peaks = this.tiles.get(name);
      if (peaks) return [peaks, column - tile * this.tileColumns];
      if (!this.asked.has(name)) {
        this.asked.add(name);
        this.model.send({ kind: "peaks", level, tile });
      }
    }
    // Until it has come, a coarser picture.
    return [this.top, Math.floor(column / this.factor ** (highest - level))];
  }
}

const BUTTONS = [
  ["Whole call", "0", (whole) => whole.show(0, Infinity)],
  ["Zoom in", "+", (whole) => whole.zoom(0.5)],
  ["Zoom out", "-", (whole) => whole.zoom(2)],
  ["Earlier", "ArrowLeft", (whole) => whole.move(-STEP)],
  ["Later", "ArrowRight", (whole) => whole.move(STEP)],
];

const OTHER_KEYS = {
  "=": (whole) => whole.zoom(0.5),
  PageUp: (whole) => whole.move(-1),
  PageDown: (whole) => whole.move(1),
  Home: (whole) => whole.show(0),
  End: (whole) => whole.show(Infinity),
};

export function buildToolbar() {
  const bar = document.createElement("div");
  bar.className = "twistream-scope-bar";
  bar.setAttribute("role", "toolbar");
  bar.setAttribute("aria-label", "Part of the call that is shown");
  bar.hidden = true;
  for (const [text, key] of BUTTONS) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = text;
    button.title = `${text} (${key.replace("Arrow", "arrow ")})`;
    button.setAttribute("aria-keyshortcuts", key);
    bar.append(button);
  }
  const shown = document.createElement("span");
  shown.className = "twistream-scope-shown";
  bar.append(shown);
  return { bar, shown };
}

// Moves the view by buttons, keys, drag, wheel with Ctrl or Shift, and two fingers.
export function steer(parts, wholeOf) {
  const { canvas, bar, stage } = parts;
  bar.querySelectorAll("button").forEach((button, number) => {
    button.addEventListener("click", () => wholeOf() && BUTTONS[number][2](wholeOf()));
  });
  stage.addEventListener("keydown", (event) => {
    const whole = wholeOf();
    if (!whole || event.ctrlKey || event.metaKey || event.altKey) return;
    const action = BUTTONS.find(([, key]) => key === event.key)?.[2] ?? OTHER_KEYS[event.key];
    if (!action) return;
    event.preventDefault();
    action(whole);
  });
  const secondsAt = (whole, clientX) => {
    const { left, width } = canvas.getBoundingClientRect();
    return whole.begin + ((clientX - left) / Math.max(width, 1)) * (whole.end - whole.begin);
  };
  canvas.addEventListener(
    "wheel",
    (event) => {
      const whole = wholeOf();
      if (!whole || !(event.ctrlKey || event.metaKey || event.shiftKey)) return; // the page scrolls
      event.preventDefault();
      const turned = event.deltaY || event.deltaX;
      if (event.shiftKey) whole.move(Math.sign(turned) * 0.1);
      else whole.zoom(1.2 ** Math.sign(turned), secondsAt(whole, event.clientX));
    },
    { passive: false },
  );
  const fingers = new Map();
  canvas.addEventListener("pointerdown", (event) => {
    if (!wholeOf() || event.button) return;
    canvas.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, event.clientX);
  });
  canvas.addEventListener("pointermove", (event) => {
    const whole = wholeOf();
    if (!whole || !fingers.has(event.pointerId)) return;
    const before = fingers.get(event.pointerId);
    const perPixel = (whole.end - whole.begin) / Math.max(canvas.clientWidth, 1);
    const others = [...fingers].filter(([id]) => id !== event.pointerId);
    fingers.set(event.pointerId, event.clientX);
    if (!others.length) {
      whole.show(whole.begin - (event.clientX - before) * perPixel);
      return;
    }
    const [[, other]] = others;
    const [was, is] = [Math.abs(before - other), Math.abs(event.clientX - other)];
    if (was > 10 && is > 10) whole.zoom(was / is, secondsAt(whole, (event.clientX + other) / 2));
  });
  const lift = (event) => fingers.delete(event.pointerId);
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"]) canvas.addEventListener(name, lift);
}
