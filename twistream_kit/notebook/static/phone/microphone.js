// The caller's voice: converts the browser's microphone to frames for the kernel.

import { LowPass } from "./sound.js";

const NO_MICROPHONE = {
  NotAllowedError: "The browser may not use the microphone. Allow it beside the address, or",
  NotFoundError: "There is no microphone. You can",
  NotReadableError: "Another program has the microphone. You can",
  policy: "The page around this notebook gives its outputs no microphone, as in VS Code. You can",
  worklet: "A policy of this page forbids the AudioWorklet that a microphone needs. You can",
  insecure: "Browsers give a microphone only to https pages and to localhost. You can",
  other: "The microphone does not work. You can",
};

// Resamples from the browser's sample rate to 8000 and emits frames of 160 samples, int16.
export class Downsampler {
  constructor(rate, give) {
    this.step = rate / 8000;
    this.give = give;
    this.lowPass = new LowPass();
    this.reach = this.lowPass.half * this.step;
    this.ring = new Float32Array(8192);
    this.written = 0;
    this.position = this.reach;
    this.frame = new Int16Array(160);
    this.filled = 0;
  }

  push(block) {
    const mask = this.ring.length - 1;
    for (const sample of block) this.ring[this.written++ & mask] = sample;
    for (; this.position + this.reach < this.written; this.position += this.step) {
      let sum = 0;
      const last = Math.floor(this.position + this.reach);
      for (let k = Math.ceil(this.position - this.reach); k <= last; k++) {
        sum += this.ring[k & mask] * this.lowPass.at((k - this.position) / this.step);
      }
      const level = Math.round((32767 * sum) / this.step);
      this.frame[this.filled++] = Math.max(-32768, Math.min(32767, level));
      if (this.filled === this.frame.length) {
        this.give(this.frame);
        this.frame = new Int16Array(160);
        this.filled = 0;
      }
    }
  }
}

// Sent as text to the audio thread, together with the classes that it uses.
export function registerMicrophone() {
  class Microphone extends AudioWorkletProcessor {
    constructor() {
      super();
      const give = (frame) => this.port.postMessage(frame, [frame.buffer]);
      this.downsampler = new Downsampler(sampleRate, give);
      this.port.onmessage = () => (this.isOver = true);
    }

    process([[block]]) {
      if (block) this.downsampler.push(block);
      return !this.isOver;
    }
  }

  registerProcessor("twistream-microphone", Microphone);
}

export async function askForMicrophone(hasWorklet) {
  const fail = (name) => {
    throw Object.assign(new Error(), { name });
  };
  // Only Chromium and what is made of it, such as VS Code, tell their policy.
  if (document.featurePolicy?.allowsFeature("microphone") === false) fail("policy");
  if (!navigator.mediaDevices) fail("insecure");
  if (!hasWorklet) fail("worklet");
  // Only the echo of the loudspeaker is removed, because the voice is to be analysed unchanged.
  const wishes = { echoCancellation: true, noiseSuppression: false, autoGainControl: false };
  return navigator.mediaDevices.getUserMedia({ audio: wishes });
}

export function whyNoMicrophone(error) {
  return NO_MICROPHONE[error.name] ?? NO_MICROPHONE.other;
}

export class WorkletMicrophone {
  constructor(context, tracks, take) {
    this.tracks = tracks;
    this.source = context.createMediaStreamSource(tracks);
    this.node = new AudioWorkletNode(context, "twistream-microphone", { numberOfOutputs: 0 });
    this.source.connect(this.node);
    this.node.port.onmessage = ({ data: frame }) => take(frame);
  }

  close() {
    for (const track of this.tracks.getTracks()) track.stop();
    this.source.disconnect();
    this.node.port.onmessage = null;
    this.node.port.postMessage("end");
  }
}
