// The telephone: one for each widget on a page, however many views show it.

import { Link } from "./connection.js";
import { BufferLoudspeaker, Ringer, WorkletLoudspeaker } from "./loudspeaker.js";
import { WorkletMicrophone, askForMicrophone, whyNoMicrophone } from "./microphone.js";
import { RATE } from "./sound.js";
import { loadWorklet } from "./worklet.js";

// The target and the limit of the jitter buffer, in seconds.  Over the kernel's messages, sound
// arrives 100 ms at a time and less evenly.
const DIRECT_BUFFER = { target: 0.07, most: 0.12 };
const KERNEL_BUFFER = { target: 0.12, most: 0.36 };

const RESUME_MS = 1000; // a browser that allows sound begins within this

// What this page keeps of each telephone while it is open: whether it had sound.  Each run of the cell
// makes a new widget, and its script anew, so only the page itself can keep it.
const KEPT = (globalThis[Symbol.for("twistream_kit.phone")] ??= new Map());

const VOLUME = "twistream_kit.volume"; // in the browser's storage, for the next visit too

const storage = {
  read() {
    try {
      return Number(localStorage.getItem(VOLUME) ?? KEPT.get(VOLUME) ?? 100);
    } catch {
      return KEPT.get(VOLUME) ?? 100; // a page without storage
    }
  },
  write(volume) {
    KEPT.set(VOLUME, volume);
    try {
      localStorage.setItem(VOLUME, volume);
    } catch {
      // kept until the page is closed
    }
  },
};

export class Telephone {
  constructor(model) {
    this.model = model;
    this.page = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
    this.views = new Set();
    this.hasSound = this.isMuted = false;
    this.note = this.noMicrophone = this.recording = "";
    this.levels = { hear: 0, say: 0 };
    this.stats = { depth: 0, gaps: 0, dropped: 0 };
    this.link = new Link(model, model.get("_address"), this.page, (news) => this.#handleNews(news));
    this.filesAddress = model.get("_files_address");
    model.set("_address", ""); // not synchronised with the kernel, and not saved with the notebook
    model.set("_files_address", "");
    this.name = `${model.get("_place")} ${model.get("number")}`;
    this.volume = storage.read();
    model.on("change:call", () => this.#followCall());
    model.on("change:is_retired", () => this.release());
    this.call = model.get("call");
  }

  get state() {
    return this.model.get("is_retired") ? "retired" : this.call.state;
  }

  get inCall() {
    return this.state === "in-call";
  }

  // Whether a mailbox has this call: it says what is said.
  get ofMachine() {
    return this.inCall && Boolean(this.call.of_machine);
  }

  get missing() {
    return this.stats.dropped / RATE + this.link.missed;
  }

  show(view) {
    clearTimeout(this.leaving);
    this.views.add(view);
    if (this.state !== "retired") {
      this.link.open();
      if (KEPT.get(this.name) && !this.hasSound) this.#restoreSound();
    }
    this.draw();
  }

  hide(view) {
    this.views.delete(view);
    // A moved view is created again at once: release only if none comes back.
    if (!this.views.size) this.leaving = setTimeout(() => this.views.size || this.release(), 500);
  }

  draw() {
    for (const view of this.views) view.draw();
  }

  // Actions of the user

  answer() {
    this.setSound(true); // within the click, as the browser requires
    this.link.say("answer");
  }

  press(digit) {
    if (this.inCall) this.link.say(`press ${digit}`);
  }

  say(words) {
    this.note = "";
    this.link.say(words);
    this.draw();
  }

  setMuted(isMuted) {
    this.isMuted = isMuted;
    this.draw();
  }

  setVolume(volume) {
    this.volume = volume;
    storage.write(volume);
    this.output?.gain.setTargetAtTime(this.#gain, this.context.currentTime, 0.01);
    this.draw();
  }

  setSound(isOn) {
    KEPT.set(this.name, isOn);
    this.#switchSound(isOn);
  }

  // The cell was run again: a click in this page has allowed sound before.
  async #restoreSound() {
    if (navigator.userActivation?.hasBeenActive === false) return;
    this.#switchSound(true);
    const limit = new Promise((resolve) => setTimeout(resolve, RESUME_MS));
    const { context } = this;
    const isAllowed = await Promise.race([context.resume().then(() => true, () => false), limit]);
    if (this.context === context && !isAllowed) this.#switchSound(false);
  }

  get #gain() {
    return (this.volume / 100) ** 2; // the ear's scale is nearer to this than to a straight line
  }

  #switchSound(isOn) {
    this.hasSound = isOn;
    this.link.say(isOn ? "sound on" : "sound off");
    if (isOn) this.#wake();
    this.#settle();
  }

  // Events

  #followCall() {
    const before = this.call.state;
    const { since, at } = this.call;
    this.call = this.model.get("call");
    if (this.inCall && before !== "in-call") {
      this.recording = "";
      this.stats = { depth: 0, gaps: 0, dropped: 0 };
      this.link.missed = 0;
      this.counted = null;
      this.note = this.noMicrophone = "";
      this.isMuted = false;
    }
    if (before === "in-call" && !this.inCall) {
      this.lasted = Math.max(0, this.call.at - (since ?? at));
      this.loudspeaker?.flush();
    }
    if (before === "ringing" && this.state === "idle") this.lasted = null;
    this.#settle();
  }

  #handleNews(news) {
    if (news.samples) {
      if (this.hasSound && this.inCall) this.loudspeaker?.push(news.samples);
      return;
    }
    if (news.type === "note") this.note = news.text;
    if (news.type === "recording" && news.page === this.page) {
      this.recording = `data:audio/wav;base64,${news.wav}`;
    }
    if (news.type === "speaker" && news.page && news.page !== this.page) {
      this.hasSound = false;
      KEPT.set(this.name, false);
    }
    if (news.state === "direct" || news.state === "kernel") {
      this.loudspeaker?.tune(this.#buffer());
      if (this.hasSound) this.link.say("sound on");
    }
    this.#settle();
  }

  #buffer() {
    return this.link.state === "direct" ? DIRECT_BUFFER : KERNEL_BUFFER;
  }

  // Apply the present state to all parts, after any change.
  #settle() {
    const isLinked = this.link.state === "direct" || this.link.state === "kernel";
    const mayTalk = this.hasSound && this.inCall && !this.ofMachine && isLinked;
    if (mayTalk) this.#openMicrophone();
    else this.#closeMicrophone();
    const mustRing = this.state === "ringing" && this.hasSound && this.context;
    if (mustRing) this.ringer ??= new Ringer(this.output);
    else this.ringer = void this.ringer?.stop();
    if (!this.hasSound) this.loudspeaker?.flush();
    this.#rest();
    this.draw();
  }

  // Between calls the browser need not produce 48,000 samples of silence a second.
  #rest() {
    const { context } = this;
    if (!context || context.state === "closed") return;
    const isNeeded = this.hasSound && (this.inCall || this.state === "ringing");
    if (isNeeded && context.state === "suspended") context.resume().catch(() => {});
    if (!isNeeded && context.state === "running") context.suspend().catch(() => {});
  }

  async #wake() {
    if (!this.context) {
      this.context = new AudioContext({ latencyHint: "interactive" });
      this.output = new GainNode(this.context, { gain: this.#gain });
      this.output.connect(this.context.destination);
    }
    const { context } = this;
    context.onstatechange = () => this.draw();
    this.isReady ??= this.#makeLoudspeaker(context);
    try {
      await Promise.all([context.resume(), this.isReady]);
    } catch (error) {
      this.note = `The browser plays no sound: ${error.message}`;
    }
    this.#settle();
  }

  async #makeLoudspeaker(context) {
    const tell = (stats) => {
      this.levels.hear = Math.max(this.levels.hear, stats.level);
      this.counted ??= { gaps: stats.gaps, dropped: stats.dropped };
      this.stats = {
        depth: 0.8 * this.stats.depth + 0.2 * stats.depth,
        gaps: stats.gaps - this.counted.gaps,
        dropped: stats.dropped - this.counted.dropped,
      };
    };
    const hasWorklet = await loadWorklet(context);
    if (this.context !== context) return;
    this.hasWorklet = hasWorklet;
    const Kind = hasWorklet ? WorkletLoudspeaker : BufferLoudspeaker;
    this.loudspeaker = new Kind(this.output, this.#buffer(), tell);
  }

  async #openMicrophone() {
    if (this.isAsking || this.microphone || this.noMicrophone) return;
    this.isAsking = true;
    try {
      await this.isReady;
      const tracks = await askForMicrophone(this.hasWorklet);
      this.#useMicrophone(tracks);
    } catch (error) {
      this.noMicrophone = whyNoMicrophone(error);
    } finally {
      this.isAsking = false;
      this.draw();
    }
  }

  #useMicrophone(tracks) {
    if (!this.hasSound || !this.inCall) {
      for (const track of tracks.getTracks()) track.stop(); // the call ended before the permission was given
      return;
    }
    this.microphone = new WorkletMicrophone(this.context, tracks, (frame) => {
      if (this.isMuted) frame.fill(0); // silence is sent: a muted telephone still sends frames
      for (const sample of frame) this.levels.say = Math.max(this.levels.say, Math.abs(sample) / 32768);
      this.link.speak(frame);
    });
  }

  #closeMicrophone() {
    const { microphone } = this;
    this.microphone = null;
    microphone?.close();
  }

  // Release all resources of the page.  The next view starts afresh.
  release() {
    // Over the kernel's messages, nothing else tells the kernel that this page has gone.
    if (this.hasSound) this.link.say("sound off");
    this.hasSound = false;
    this.#closeMicrophone();
    this.ringer = void this.ringer?.stop();
    this.loudspeaker?.close();
    this.context?.close();
    this.context = this.output = this.loudspeaker = this.isReady = undefined;
    this.link.close();
    this.draw();
  }
}
