// Plays the sound that the caller hears, and the ringing tone.

import { LowPass, RATE } from "./sound.js";

// Sound arrives unevenly, at 8000 samples a second, and leaves evenly, at `rate`.  Playback starts,
// stops and skips only with a fade of 4 ms, so that no border is heard as a click.
export class JitterBuffer {
  constructor(rate, target, most) {
    this.step = 8000 / rate;
    this.fade = 1 / (0.004 * rate);
    this.reserve = 52; // samples: the low-pass looks 12 ahead, the fade takes 32
    this.ring = new Float32Array(32768);
    this.lowPass = new LowPass();
    this.written = this.position = 64;
    this.gain = this.gaps = this.dropped = 0;
    this.flowing = this.flushing = this.hasFlowed = false;
    this.tune(target, most);
  }

  tune(target, most) {
    this.target = target * 8000;
    this.most = most * 8000;
  }

  get left() {
    return this.written - this.position;
  }

  push(samples) {
    const mask = this.ring.length - 1;
    for (const sample of samples) this.ring[this.written++ & mask] = sample;
    if (this.left > this.ring.length - 64) this.#skip(); // the audio context is suspended and does not pull
  }

  flush() {
    this.flushing = true;
  }

  pull(out) {
    for (let i = 0; i < out.length; i++) {
      if (!this.flowing && this.left >= Math.max(this.target, this.reserve)) {
        if (this.left > this.most) this.#skip();
        this.flowing = this.hasFlowed = true;
      }
      const isDry = this.left < this.reserve, isFull = this.left > this.most;
      const wanted = this.flowing && !isDry && !isFull && !this.flushing ? 1 : 0;
      this.gain += Math.max(-this.fade, Math.min(this.fade, wanted - this.gain));
      if (this.gain > 0) {
        out[i] = this.gain * this.#sample();
        this.position += this.step;
        continue;
      }
      out[i] = 0;
      if (this.flushing) {
        this.position = this.written;
        this.flowing = this.flushing = this.hasFlowed = false;
      } else if (this.flowing && isDry) {
        this.flowing = false;
        this.gaps += 1;
      } else if (isFull) {
        this.#skip();
      }
    }
  }

  #skip() {
    // Sound that arrived before the playback started does not count as dropped.
    if (this.hasFlowed) this.dropped += this.left - this.target;
    this.position = this.written - this.target;
  }

  #sample() {
    const mask = this.ring.length - 1, middle = Math.floor(this.position);
    let sum = 0;
    for (let k = middle - this.lowPass.half + 1; k <= middle + this.lowPass.half; k++) {
      sum += this.ring[k & mask] * this.lowPass.at(this.position - k);
    }
    return sum;
  }
}

// Sent as text to the audio thread, together with the classes that it uses.
export function registerLoudspeaker() {
  class Loudspeaker extends AudioWorkletProcessor {
    constructor({ processorOptions: { target, most } }) {
      super();
      this.buffer = new JitterBuffer(sampleRate, target, most);
      this.blocks = this.level = 0;
      this.port.onmessage = ({ data }) => {
        if (data.samples) this.buffer.push(data.samples);
        else if (data.flush) this.buffer.flush();
        else if (data.most) this.buffer.tune(data.target, data.most);
        else this.isOver = true;
      };
    }

    process(_inputs, [[out]]) {
      const buffer = this.buffer;
      buffer.pull(out);
      for (const sample of out) this.level = Math.max(this.level, Math.abs(sample));
      if (++this.blocks % 16 === 0) {
        const { left, gaps, dropped } = buffer;
        this.port.postMessage({ level: this.level, depth: left / 8000, gaps, dropped });
        this.level = 0;
      }
      return !this.isOver;
    }
  }

  registerProcessor("twistream-loudspeaker", Loudspeaker);
}

// Two classes with the same interface; the second needs neither a secure context nor a worklet.
// Both play into `output`, the node of the volume.

export class WorkletLoudspeaker {
  constructor(output, buffer, tell) {
    const options = { numberOfInputs: 0, outputChannelCount: [1], processorOptions: buffer };
    this.node = new AudioWorkletNode(output.context, "twistream-loudspeaker", options);
    this.node.port.onmessage = ({ data }) => tell(data);
    this.node.connect(output);
  }

  push(samples) {
    this.node.port.postMessage({ samples }, [samples.buffer]);
  }

  tune(buffer) {
    this.node.port.postMessage(buffer);
  }

  flush() {
    this.node.port.postMessage({ flush: true });
  }

  close() {
    this.node.port.postMessage({});
    this.node.disconnect();
  }
}

// Plays pieces of 100 ms one after the other.  They are resampled to the browser's sample rate here,
// continuously, because the browser would resample each piece by itself, with a click at each border.
export class BufferLoudspeaker {
  constructor(output, buffer, tell) {
    this.output = output;
    this.context = output.context;
    this.tell = tell;
    this.playing = new Set();
    this.gaps = this.dropped = 0;
    this.tune(buffer);
    this.flush();
  }

  tune({ target, most }) {
    this.target = Math.max(target, 0.1);
    this.most = Math.max(most, 0.3);
  }

  push(samples) {
    this.resampler.push(samples);
    const whole = this.resampler.left - this.resampler.reserve;
    if (whole < 0.1 * RATE) return;
    const out = new Float32Array(Math.floor(whole / this.resampler.step));
    this.resampler.pull(out);
    this.#play(out);
  }

  #play(out) {
    const { context } = this, now = context.currentTime;
    const depth = Math.max(0, this.next - now);
    if (depth > this.most) {
      this.dropped += out.length * this.resampler.step;
    } else {
      if (depth === 0) {
        if (this.next) this.gaps += 1;
        this.next = now + this.target;
      }
      const piece = context.createBuffer(1, out.length, context.sampleRate);
      piece.copyToChannel(out, 0);
      const node = new AudioBufferSourceNode(context, { buffer: piece });
      node.connect(this.output);
      node.onended = () => this.playing.delete(node);
      node.start(this.next);
      this.playing.add(node);
      this.next += piece.duration;
    }
    const level = out.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    this.tell({ level, depth, gaps: this.gaps, dropped: this.dropped });
  }

  flush() {
    for (const node of this.playing) node.stop();
    this.playing.clear();
    this.resampler = new JitterBuffer(this.context.sampleRate, 0, Infinity);
    this.next = 0;
  }

  close() {
    this.flush();
  }
}

// The ringing tone of North America: 440 and 480 Hz, 2 s of every 6.
export class Ringer {
  constructor(output) {
    const { context } = output;
    const gain = new GainNode(context, { gain: 0 });
    gain.connect(output);
    for (let ring = 0; ring < 20; ring++) {
      const begin = context.currentTime + 0.05 + 6 * ring;
      gain.gain.setTargetAtTime(0.06, begin, 0.01).setTargetAtTime(0, begin + 2, 0.01);
    }
    this.tones = [440, 480].map((frequency) => new OscillatorNode(context, { frequency }));
    for (const tone of this.tones) {
      tone.connect(gain);
      tone.start();
    }
  }

  stop() {
    for (const tone of this.tones) {
      tone.stop();
      tone.disconnect();
    }
  }
}
