// The view of a telephone.

import { FileChooser } from "../file_chooser.js";
import { shareKeyboard } from "../keyboard.js";
import { KEYPAD, Keypad } from "./keypad.js";

const HANDSET = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M2.5 14.5c-1-1.6-.6-3.4.8-4.5
  5-4 12.4-4 17.4 0 1.4 1.1 1.8 2.9.8 4.5l-1 1.6c-.4.6-1.1.8-1.7.6l-3-1.1c-.6-.2-1-.8-1-1.4v-2.3
  c-1.9-.6-3.7-.6-5.6 0v2.3c0 .6-.4 1.2-1 1.4l-3 1.1c-.6.2-1.3 0-1.7-.6z"/></svg>`;

const MARKUP = `
<header>
  <div class="tp-number"></div>
  <div class="tp-state" role="status" aria-live="polite"></div>
  <div class="tp-timer" role="timer" aria-label="Time of the call"></div>
  <div class="tp-news" role="status" aria-label="Keys and mailbox" hidden></div>
</header>
<div class="tp-row tp-recording" hidden>
  <button type="button" title="Play here what the mailbox has recorded">Play the recording</button>
  <audio controls hidden aria-label="What the mailbox has recorded"></audio>
</div>
<div class="tp-row">
  <button type="button" class="tp-answer">${HANDSET}Answer</button>
  <button type="button" class="tp-hang-up">${HANDSET}Hang up</button>
</div>
<div class="tp-meters">
  <span>You hear</span><div class="tp-meter tp-hear" role="meter" aria-label="Level of what you hear"
    aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><i></i></div>
  <span>You say</span><div class="tp-meter tp-say" role="meter" aria-label="Level of what you say"
    aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><i></i></div>
  <span>Volume</span><input type="range" class="tp-volume" aria-label="Volume" min="0" max="100" step="5">
</div>
${KEYPAD}
<div class="tp-row">
  <button type="button" class="tp-mute" aria-pressed="false">Mute</button>
  <button type="button" class="tp-clear">Clear</button>
  <button type="button" class="tp-sound" aria-pressed="false">Sound</button>
</div>
<div class="tp-voice" role="group" aria-label="Say a file">
  <p></p>
  <div class="tp-row"><select aria-label="File to say"></select><button type="button">Say it</button></div>
  <div class="tp-files"></div>
</div>
<p class="tp-note" role="alert" hidden></p>
<footer></footer>`;

const LINKS = {
  closed: "Not connected",
  connecting: "Connecting",
  direct: "Direct connection",
  waiting: "Through the kernel, which has not answered yet",
  kernel: "Through the kernel's messages",
  lost: "The kernel does not answer: a cell is running, or the kernel has ended. Then run the cell again",
};

const clock = (ms) => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
};

// -50 dB is 0 %, full scale 100 %.
const percent = (level) => Math.max(0, Math.min(100, 100 + 40 * Math.log10(level + 1e-9)));

export class PhoneView {
  constructor(telephone, root) {
    this.telephone = telephone;
    this.root = root;
    const model = telephone.model;
    root.innerHTML = MARKUP;
    const find = (name) => root.querySelector(name);
    this.parts = Object.fromEntries(
      ["state", "timer", "news", "answer", "hang-up", "mute", "clear", "sound", "volume", "voice", "note", "recording"].map((name) => [
        name,
        find(`.tp-${name}`),
      ]),
    );
    this.bars = { hear: find(".tp-hear"), say: find(".tp-say") };
    this.keypad = new Keypad(root, (digit) => telephone.press(digit));
    this.footer = find("footer");
    find(".tp-number").textContent = model.get("number");
    root.setAttribute("aria-label", `Telephone ${model.get("number")}`);
    const { caller, you } = model.get("colours");
    root.style.setProperty("--tp-say", caller);
    root.style.setProperty("--tp-hear", you);
    this.offerVoices = () => this.#offerVoices(model.get("voices"));
    model.on("change:voices", this.offerVoices);
    this.offerVoices();
    this.#listen();
    this.files = new FileChooser(model, {
      root: find(".tp-files"),
      zone: root,
      label: "Choose a file",
      address: telephone.filesAddress,
    });
    this.releaseKeyboard = this.#listenToKeyboard();
    this.timer = setInterval(() => this.#tick(), 100);
  }

  close() {
    clearInterval(this.timer);
    this.releaseKeyboard();
    this.files.close();
    this.telephone.model.off("change:voices", this.offerVoices);
  }

  #offerVoices(voices) {
    const [select, button] = this.parts.voice.querySelectorAll(".tp-row > *");
    const before = new Set(Array.from(select.options, (option) => option.value));
    const chosen = select.value;
    select.replaceChildren(...voices.map((name) => new Option(name)));
    const added = voices.filter((name) => !before.has(name));
    // A file that was just added can be said at once.
    if (before.size) select.value = added.at(-1) ?? chosen;
    button.onclick = () => this.telephone.say(`say ${select.value}`);
    this.hasVoices = voices.length > 0;
  }

  #listen() {
    const { telephone, parts } = this;
    parts.answer.onclick = () => telephone.answer();
    parts["hang-up"].onclick = () => telephone.say("hang_up");
    parts.clear.onclick = () => telephone.say("clear");
    parts.recording.firstElementChild.onclick = () => telephone.say("recording");
    parts.mute.onclick = () => telephone.setMuted(!telephone.isMuted);
    parts.sound.onclick = () => telephone.setSound(!telephone.hasSound);
    parts.volume.oninput = () => telephone.setVolume(parts.volume.valueAsNumber);
  }

  #listenToKeyboard() {
    // What each key of the keyboard presses, while the telephone has the focus.
    const shortcuts = new Map(this.keypad.keys.map((button) => [button.dataset.digit, button]));
    for (const [key, button] of shortcuts) button.setAttribute("aria-keyshortcuts", key);
    return shareKeyboard(this.root, (event) => {
      const button = shortcuts.get(event.key);
      if (!button || button.disabled) return;
      event.preventDefault();
      button.classList.add("tp-down");
      setTimeout(() => button.classList.remove("tp-down"), 150);
      button.click();
    });
  }

  draw() {
    const { telephone, parts, root } = this, { state, inCall } = telephone;
    const [words, hint] = this.#words();
    root.dataset.state = state;
    if (parts.state.textContent !== words) parts.state.textContent = words;
    const news = this.#news();
    parts.news.hidden = !news;
    if (parts.news.textContent !== news) parts.news.textContent = news;
    parts.answer.disabled = state !== "ringing";
    parts["hang-up"].disabled = !["ringing", "dialling", "in-call"].includes(state);
    parts["hang-up"].lastChild.textContent = state === "ringing" ? "Decline" : "Hang up";
    this.keypad.enable(inCall && !telephone.ofMachine);
    this.#drawRecording();
    parts.mute.disabled = !telephone.microphone;
    parts.mute.setAttribute("aria-pressed", telephone.isMuted);
    const canClear = telephone.model.get("can_clear");
    parts.clear.disabled = !inCall || !canClear;
    parts.clear.title = canClear
      ? "Silence everything that your server has queued, at once"
      : "To use it, write PhoneWidget(phone, server=server)";
    parts.sound.disabled = state === "retired";
    parts.sound.setAttribute("aria-pressed", telephone.hasSound);
    parts.sound.title = telephone.hasSound
      ? "Turn the sound and the microphone off"
      : "Play the call here, and let you speak: the browser asks for the microphone, which you may refuse";
    if (parts.volume.valueAsNumber !== telephone.volume) parts.volume.value = telephone.volume;
    parts.volume.setAttribute("aria-valuetext", `${telephone.volume} %`);
    this.#drawVoice();
    const note = telephone.note || hint;
    parts.note.hidden = !note;
    if (parts.note.textContent !== note) parts.note.textContent = note;
    this.#tick();
  }

  #drawVoice() {
    const { noMicrophone, inCall, hasSound, state, ofMachine } = this.telephone;
    const { voice } = this.parts;
    voice.hidden = state === "retired";
    const [text, row] = voice.children;
    text.hidden = !inCall || !hasSound || !noMicrophone || ofMachine;
    text.textContent = `${noMicrophone} let a file speak for you.`;
    row.hidden = !this.hasVoices;
    row.lastElementChild.disabled = !inCall || ofMachine;
    row.lastElementChild.title = ofMachine
      ? "A mailbox has answered: it says its greeting, and nobody is there to say a file"
      : inCall
        ? "The caller says this file"
        : "Files are said in a call";
  }

  #drawRecording() {
    const { call, recording, state } = this.telephone;
    const { recording: row } = this.parts;
    row.hidden = state !== "idle" || !call.recorded;
    const [button, audio] = row.children;
    button.hidden = Boolean(recording);
    audio.hidden = !recording;
    if (recording && audio.getAttribute("src") !== recording) {
      audio.src = recording;
      audio.play().catch(() => {}); // where the browser does not allow it, its own button plays
    }
    if (row.hidden && audio.hasAttribute("src")) audio.removeAttribute("src");
  }

  #words() {
    const { state, call, lasted, hasSound } = this.telephone;
    const silent = "The browser plays no sound before a click: press Sound.";
    switch (state) {
      case "ringing":
        return [`${call.other} is calling`, ""];
      case "dialling":
        return [`Calling ${call.other}`, ""];
      case "in-call":
        return [`In a call with ${call.other}`, hasSound ? "" : silent];
      case "retired":
        return ["Shown again elsewhere", "This telephone is silent: the one shown last is in use."];
      default:
        return lasted == null ? ["Waiting for a call", ""] : ["The call has ended", call.ended ?? ""];
    }
  }

  // What the telephone itself has noticed: the mailbox that answers, and the keys sent to it.
  #news() {
    const { mailbox, keys } = this.telephone.call;
    return [mailbox, keys && `Keys heard: ${keys}`].filter(Boolean).join(" · ");
  }

  #tick() {
    const { telephone, parts } = this, { inCall, call, levels, stats, link } = telephone;
    const ms = inCall ? Date.now() - (call.since ?? call.at) : telephone.lasted;
    const time = ms == null || telephone.state === "ringing" ? "" : clock(ms);
    if (parts.timer.textContent !== time) parts.timer.textContent = time;
    for (const [name, bar] of Object.entries(this.bars)) {
      const value = inCall ? Math.round(percent(levels[name])) : 0;
      bar.firstChild.style.width = `${value}%`;
      bar.setAttribute("aria-valuenow", value);
      levels[name] *= 0.5; // falls more slowly than the level of speech
    }
    const pieces = [LINKS[link.state]];
    if (telephone.hasSound && telephone.inCall) {
      // Of this page's loudspeaker: the call itself, and what is recorded of it, have no part in it.
      const gaps = `${stats.gaps} gap${stats.gaps === 1 ? "" : "s"}`;
      const skipped = `${Math.round(1000 * telephone.missing)} ms skipped`;
      pieces.push(`this page's player: ${Math.round(1000 * stats.depth)} ms buffer, ${gaps}, ${skipped}`);
      if (telephone.hasWorklet === false) pieces.push("simple player: the page allows no AudioWorklet");
    }
    const text = pieces.join(" · ");
    if (this.footer.textContent !== text) this.footer.textContent = text;
  }
}
