// A player of a call: two sides, a cursor on the timeline, speed, volume, download.

import { hearing } from "../hearing.js";
import { CallSound } from "./media.js";
import { drawCall, formatTime } from "./timeline.js";

const STEP_SECONDS = 5;
const SPEEDS = [0.5, 0.75, 1, 1.25, 1.5, 2];

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function build(model) {
  const swatch = (name) => make("span", { class: "twistream-recording-swatch", style: `color:var(--${name})`, "aria-hidden": "true" }, "■");
  const swatches = { caller: swatch("caller"), yours: swatch("yours"), mark: swatch("mark"), clear: swatch("clear") };
  const canvas = make("canvas", { "aria-hidden": "true" });
  const cursor = make("div", { class: "twistream-recording-cursor" });
  const track = make("div", {
    class: "twistream-recording-track", role: "slider", tabindex: "0", "aria-label": "Position in the call",
    "aria-valuemin": "0", "aria-valuemax": model.get("seconds").toFixed(2), "aria-valuenow": "0",
    title: "Click to go there; arrow keys: 5 s; space: play",
  }, canvas, cursor);
  const icon = (name) => make("i", { class: `fa fa-${name}`, "aria-hidden": "true" });
  const play = make("button", { type: "button", title: "Play or pause (space)" });
  const time = make("span", { class: "twistream-recording-time" });
  const speed = make("select", { "aria-label": "Speed", title: "Speed" },
    ...SPEEDS.map((each) => make("option", { value: each, ...(each === 1 && { selected: "" }) }, `${each} ×`)));
  const volume = make("input", { type: "range", min: "0", max: "1", step: "0.05", value: "1", "aria-label": "Volume", title: "Volume" });
  const save = make("button", { type: "button", title: "Download the whole call as a WAV file" }, icon("download"), " WAV");
  const state = make("span", { class: "twistream-recording-state", role: "status" });
  const names = make("div", { class: "twistream-recording-names" },
    make("span", {}, swatches.caller, "caller says"),
    make("span", {}, swatches.mark, "marks ", swatches.clear, "clears"),
    make("span", {}, swatches.yours, "caller hears"));
  const root = make("div", { class: "twistream-recording", role: "group", "aria-label": model.get("summary") },
    make("div", { class: "twistream-recording-picture" }, names, track),
    make("div", { class: "twistream-recording-bar" }, play, time,
      make("label", {}, "Speed ", speed),
      make("label", {}, icon("volume-up"), " Volume ", volume), save, state));
  return { root, swatches, canvas, cursor, track, play, time, speed, volume, save, state, icon };
}

// Keys that are pressed in the player are its own; a chord (Shift+Enter, Ctrl+S) goes to Jupyter.
function shareKeys(root) {
  const share = (event) => {
    if (!root.contains(event.target)) return;
    const isChord = event.ctrlKey || event.metaKey || event.altKey || (event.shiftKey && event.key !== "Tab");
    const isJupyters = isChord || event.key === "Escape";
    // JupyterLab looks for it from the focused element upwards, and stops where a shortcut fits.
    if (isJupyters) delete event.target.dataset.lmSuppressShortcuts;
    else event.target.dataset.lmSuppressShortcuts = "true";
  };
  window.addEventListener("keydown", share, true); // before JupyterLab looks for shortcuts
  return () => window.removeEventListener("keydown", share, true);
}

// A click with the mouse leaves the focus where it was, in the notebook.
function giveFocusBack(parts) {
  for (const button of [parts.play, parts.save]) {
    button.addEventListener("mousedown", (event) => event.preventDefault());
  }
  let byPointer = false;
  for (const field of [parts.speed, parts.volume]) {
    field.addEventListener("pointerdown", () => (byPointer = true));
    field.addEventListener("keydown", () => (byPointer = false));
    field.addEventListener("change", () => {
      if (!byPointer) return;
      byPointer = false;
      field.blur();
      parts.root.closest(".jp-Notebook")?.focus({ preventScroll: true });
    });
  }
}

function followPointer(track, seek) {
  const go = (event) => {
    const box = track.getBoundingClientRect();
    seek((event.clientX - box.left) / box.width);
  };
  track.addEventListener("mousedown", (event) => event.preventDefault());
  track.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    track.setPointerCapture(event.pointerId);
    go(event);
  });
  track.addEventListener("pointermove", (event) => {
    if (track.hasPointerCapture(event.pointerId)) go(event);
  });
}

function render({ model, el }) {
  const parts = build(model);
  const seconds = model.get("seconds");
  for (const [name, colour] of Object.entries(model.get("colours"))) {
    parts.root.style.setProperty(`--light-${name}`, colour);
  }
  el.append(parts.root);
  let waiting = 0;
  let isPlaying = null;

  const show = () => {
    const now = sound.now;
    parts.cursor.style.left = `${seconds ? (100 * now) / seconds : 0}%`;
    parts.track.setAttribute("aria-valuenow", now.toFixed(2));
    parts.track.setAttribute("aria-valuetext", `${now.toFixed(1)} of ${seconds.toFixed(1)} seconds`);
    parts.time.textContent = `${formatTime(now, 1)} / ${formatTime(seconds, 1)}`;
    if (isPlaying !== sound.isPlaying) {
      isPlaying = sound.isPlaying;
      parts.play.replaceChildren(parts.icon(isPlaying ? "pause" : "play"), isPlaying ? " Pause" : " Play");
    }
  };
  const step = () => {
    show();
    waiting = sound.isPlaying ? requestAnimationFrame(step) : 0;
  };
  const say = (words) => {
    if (parts.state.textContent !== words) parts.state.textContent = words;
  };
  const sound = new CallSound(model, (words = "") => {
    say(words);
    if (!waiting) step();
  });
  const toggle = () => (sound.isPlaying ? sound.pause() : sound.play());

  parts.play.addEventListener("click", toggle);
  parts.speed.addEventListener("change", () => sound.setSpeed(Number(parts.speed.value)));
  parts.volume.addEventListener("input", () => sound.setVolume(Number(parts.volume.value)));
  parts.save.addEventListener("click", async () => {
    parts.save.disabled = true;
    try {
      const blob = await sound.collect((share) => say(`Collecting, ${Math.round(100 * share)} %`));
      const link = make("a", { href: URL.createObjectURL(blob), download: model.get("file_name") });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
      say(`Downloaded as ${link.download}`);
    } catch (error) {
      say(error.message);
    }
    parts.save.disabled = seconds > model.get("most_download_seconds");
  });
  if (seconds > model.get("most_download_seconds")) {
    parts.save.disabled = true;
    say('Too long to download here: capture.recording.save("call.wav") writes it.');
  }
  followPointer(parts.track, (share) => sound.seek(Math.max(0, Math.min(1, share)) * seconds));
  const keys = {
    ArrowLeft: () => sound.seek(sound.now - STEP_SECONDS),
    ArrowDown: () => sound.seek(sound.now - STEP_SECONDS),
    ArrowRight: () => sound.seek(sound.now + STEP_SECONDS),
    ArrowUp: () => sound.seek(sound.now + STEP_SECONDS),
    PageDown: () => sound.seek(sound.now - seconds / 10),
    PageUp: () => sound.seek(sound.now + seconds / 10),
    Home: () => sound.seek(0),
    End: () => sound.seek(seconds),
    " ": toggle,
  };
  parts.track.addEventListener("keydown", (event) => {
    const isChord = event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;
    if (isChord || !keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  giveFocusBack(parts);
  const stopSharing = shareKeys(parts.root);

  let drawing = 0;
  const draw = () => {
    cancelAnimationFrame(drawing); // once a frame, when the styles of a new theme are in force
    drawing = requestAnimationFrame(() => drawCall(parts.canvas, parts.swatches, model));
  };
  const resized = new ResizeObserver(draw);
  resized.observe(parts.canvas);
  const seen = new IntersectionObserver(draw); // the theme may have changed while it was out of view
  seen.observe(parts.canvas);
  const themed = new MutationObserver(draw);
  themed.observe(document.body, { attributes: true, attributeFilter: ["data-jp-theme-light"] });
  show();
  draw();
  return () => {
    cancelAnimationFrame(waiting);
    cancelAnimationFrame(drawing);
    waiting = -1; // request no further frame
    resized.disconnect();
    seen.disconnect();
    themed.disconnect();
    stopSharing();
    sound.close();
  };
}

export default () => hearing({ render });
