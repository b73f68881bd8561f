// Plays the call: an audio element with the five minutes around the position, as WAV.

import { Pieces } from "./pieces.js";

const RATE = 8000;
const PIECES_IN_PART = 10;
const KEPT_PARTS = 3;
const AHEAD_SECONDS = 20; // before its end the next part is fetched

const SAMPLES = Int16Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const size = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
  return bits & 0x80 ? -size : size;
});

function writeHeader(size) {
  const header = new DataView(new ArrayBuffer(44));
  const write = (at, text) => [...text].forEach((sign, i) => header.setUint8(at + i, sign.charCodeAt(0)));
  write(0, "RIFF");
  header.setUint32(4, 36 + size, true);
  write(8, "WAVEfmt ");
  header.setUint32(16, 16, true);
  header.setUint16(20, 1, true);
  header.setUint16(22, 2, true);
  header.setUint32(24, RATE, true);
  header.setUint32(28, 4 * RATE, true);
  header.setUint16(32, 4, true);
  header.setUint16(34, 16, true);
  write(36, "data");
  header.setUint32(40, size, true);
  return header;
}

export class CallSound {
  constructor(model, notify) {
    this.pieces = new Pieces(model);
    this.seconds = model.get("seconds");
    this.pieceSeconds = model.get("piece_seconds");
    this.partSeconds = PIECES_IN_PART * this.pieceSeconds;
    this.notify = notify;
    this.parts = new Map();
    this.position = 0; // where the next part begins to play; the element tells it while one is there
    this.part = null;
    this.isPlaying = false;
    this.audio = new Audio();
    this.audio.onended = () => this.#goOn();
    this.audio.ontimeupdate = () => this.#fetchAhead();
    this.volume = 1;
    this.speed = 1;
    this.pause = this.pause.bind(this);
    window.addEventListener("twistream-recording-plays", this.pause);
  }

  get now() {
    if (this.part === null) return this.position;
    return Math.min(this.seconds, this.part * this.partSeconds + this.audio.currentTime);
  }

  async play() {
    window.dispatchEvent(new Event("twistream-recording-plays")); // one recording at a time
    this.isPlaying = true;
    this.#openLoudspeaker();
    this.notify();
    await this.seek(this.now >= this.seconds - 0.02 ? 0 : this.now);
  }

  pause() {
    if (!this.isPlaying) return;
    this.isPlaying = false;
    this.audio.pause();
    this.context?.suspend();
    this.notify();
  }

  async seek(seconds) {
    const wanted = (this.position = Math.max(0, Math.min(seconds, this.seconds)));
    const last = Math.max(0, Math.ceil(this.seconds / this.partSeconds) - 1);
    const part = Math.min(last, Math.floor(wanted / this.partSeconds));
    if (this.part !== part) {
      if (!this.isPlaying) this.part = null; // fetched when it is played
      else if (!(await this.#show(part, wanted))) return;
    }
    if (this.part !== null) this.audio.currentTime = wanted - this.part * this.partSeconds;
    if (this.isPlaying) await this.#start();
    this.notify();
  }

  setSpeed(speed) {
    this.speed = this.audio.playbackRate = this.audio.defaultPlaybackRate = speed;
    this.audio.preservesPitch = true;
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.gain) this.gain.gain.value = volume;
    else this.audio.volume = volume;
  }

  // The whole call as a WAV file.
  async collect(progress) {
    const found = [];
    const count = Math.ceil(this.seconds / this.pieceSeconds);
    for (let number = 0; number < count; number++) {
      found.push(await this.#decode(number));
      progress((number + 1) / count);
    }
    return new Blob([writeHeader(found.reduce((sum, each) => sum + each.byteLength, 0)), ...found], {
      type: "audio/wav",
    });
  }

  close() {
    window.removeEventListener("twistream-recording-plays", this.pause);
    this.isPlaying = false;
    this.audio.pause();
    this.audio.removeAttribute("src");
    for (const url of this.parts.values()) URL.revokeObjectURL(url);
    this.parts.clear();
    this.pieces.close();
    this.context?.close();
  }

  // Speed and pitch are the element's, volume the context's: Safari does not change an element's.
  #openLoudspeaker() {
    if (!this.context && window.AudioContext) {
      this.context = new AudioContext();
      this.gain = this.context.createGain();
      this.gain.gain.value = this.volume;
      this.context.createMediaElementSource(this.audio).connect(this.gain);
      this.gain.connect(this.context.destination);
      this.audio.volume = 1;
    }
    this.context?.resume();
  }

  async #start() {
    try {
      await this.audio.play();
    } catch (error) {
      if (error.name === "AbortError") return; // paused, or somewhere else, meanwhile
      this.pause();
      this.notify(`The browser does not play it: ${error.message}`);
    }
  }

  // Gives the element a part of the call; returns false if another was wanted meanwhile.
  async #show(part, wanted) {
    const asked = (this.asked = {});
    this.audio.pause();
    this.part = null;
    try {
      const url = await this.#fetch(part);
      if (this.asked !== asked || !this.isPlaying) return false;
      this.audio.src = url;
    } catch (error) {
      this.pause();
      this.notify(error.message);
      return false;
    }
    this.setSpeed(this.speed); // a new source resets it
    await new Promise((resolve) => {
      this.audio.onloadedmetadata = this.audio.onerror = resolve;
    });
    if (this.asked !== asked) return false;
    this.part = part;
    this.position = wanted;
    return true;
  }

  async #fetch(part) {
    if (!this.parts.has(part)) {
      const first = part * PIECES_IN_PART;
      const count = Math.min(PIECES_IN_PART, Math.ceil(this.seconds / this.pieceSeconds) - first);
      const found = [];
      for (let i = 0; i < count; i++) {
        if (count > 1 && this.part === null) this.notify(`Loading, ${Math.round((100 * i) / count)} %`);
        found.push(await this.#decode(first + i));
      }
      const size = found.reduce((sum, each) => sum + each.byteLength, 0);
      const blob = new Blob([writeHeader(size), ...found], { type: "audio/wav" });
      this.parts.set(part, URL.createObjectURL(blob));
      for (const [other, url] of this.parts) {
        if (this.parts.size <= KEPT_PARTS) break;
        if (other === this.part || other === part) continue;
        URL.revokeObjectURL(url);
        this.parts.delete(other);
      }
    }
    return this.parts.get(part);
  }

  async #decode(number) {
    const payload = await this.pieces.read(number);
    const seconds = Math.min(this.pieceSeconds, this.seconds - number * this.pieceSeconds);
    const samples = new Int16Array(2 * Math.round(seconds * RATE));
    for (let i = 0; i < payload.length; i++) samples[i] = SAMPLES[payload[i]];
    return samples;
  }

  #fetchAhead() {
    const left = this.partSeconds - this.audio.currentTime;
    const next = this.part + 1;
    if (this.part === null || left > AHEAD_SECONDS || next * this.partSeconds >= this.seconds) return;
    this.#fetch(next).catch(() => {}); // asked for again when it is needed
  }

  #goOn() {
    const next = (this.part + 1) * this.partSeconds;
    if (this.isPlaying && next < this.seconds) this.seek(next);
    else this.pause();
  }
}
