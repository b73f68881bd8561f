// A telephone on the page: what it looks like, its loudspeaker, its microphone and its connection
// to the kernel.  The default export is a function, called once for each widget: `initialize` and
// `render` get different proxies of the model, so only a closure gives both the same `Telephone`.
//
// Sound on a call is PCMU, 8000 samples a second, in frames of 160 bytes, 20 ms each.

const RATE = 8000;
const FRAMES_CONFIRMED_TOGETHER = 10;
const RETIRED = 4000; // a code of our own: this phone is shown elsewhere
const GOING_AWAY = 1001; // the listener was stopped
const DIRECT_MS = 1500; // how long a direct connection is tried
const PATIENCE_MS = 4000; // how long the kernel may take to answer before we say that it does not

// How much sound is kept back, and how much may pile up, in seconds.  Over the kernel's messages it
// comes 100 ms at a time and less evenly.
const DIRECT_BUFFER = { target: 0.07, most: 0.12 };
const KERNEL_BUFFER = { target: 0.12, most: 0.36 };

// ---------------------------------------------------------------------------------------------
// Signal processing.  These classes are also sent, as text, to the thread where sound is made.

// A low-pass at 3.8 kHz for 8000 samples a second, as a table: it serves both to raise the sample
// rate to the browser's and to lower it from there.  Kaiser window, images and aliases below -60 dB.
class LowPass {
  constructor() {
    this.half = 12; // samples to either side
    this.fine = 128; // entries for each sample
    const beta = 6, cutoff = 0.475, n = this.half * this.fine;
    const bessel = (x) => {
      let sum = 1, term = 1;
      for (let k = 1; k < 25; k++) sum += term *= (x / (2 * k)) ** 2;
      return sum;
    };
    this.table = new Float32Array(n + 2);
    for (let i = 0; i <= n; i++) {
      const t = i / this.fine;
      const ideal = t === 0 ? 2 * cutoff : Math.sin(2 * Math.PI * cutoff * t) / (Math.PI * t);
      this.table[i] = (ideal * bessel(beta * Math.sqrt(1 - (i / n) ** 2))) / bessel(beta);
    }
  }

  at(t) {
    const x = Math.abs(t) * this.fine, i = Math.floor(x);
    if (i >= this.half * this.fine) return 0;
    return this.table[i] + (this.table[i + 1] - this.table[i]) * (x - i);
  }
}

// Sound comes in at 8000 samples a second when it comes, and goes out evenly at `rate`.  It starts,
// stops and skips only under a fade of 4 ms, so that no border is heard as a click.
class JitterBuffer {
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
    if (this.left > this.ring.length - 64) this.#skip(); // nobody pulls: the sound is suspended
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
    // What came before there was anything to hear is not missed.
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

// Brings the browser's sample rate down to 8000 and gives frames of 160 samples, int16.
class Downsampler {
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

function registerProcessors() {
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

  registerProcessor("twistream-loudspeaker", Loudspeaker);
  registerProcessor("twistream-microphone", Microphone);
}

const WORKLET = [LowPass, JitterBuffer, Downsampler, `(${registerProcessors})();`].join("\n");

const ULAW = Float32Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const size = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
  return (bits & 0x80 ? -size : size) / 32768;
});

// ---------------------------------------------------------------------------------------------
// Loudspeakers: two of a kind, of which the second needs neither a secure context nor a worklet.

class WorkletLoudspeaker {
  constructor(context, buffer, tell) {
    const options = { numberOfInputs: 0, outputChannelCount: [1], processorOptions: buffer };
    this.node = new AudioWorkletNode(context, "twistream-loudspeaker", options);
    this.node.port.onmessage = ({ data }) => tell(data);
    this.node.connect(context.destination);
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

// Plays pieces of 100 ms one after the other.  They are brought to the browser's sample rate here,
// in one go over all borders, because the browser would do it piece by piece, with a click at each.
class BufferLoudspeaker {
  constructor(context, buffer, tell) {
    this.context = context;
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
      node.connect(context.destination);
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

// The ring of a telephone in North America: 440 and 480 Hz, 2 s of every 6.
class Ringer {
  constructor(context) {
    const gain = new GainNode(context, { gain: 0 });
    gain.connect(context.destination);
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

// ---------------------------------------------------------------------------------------------
// The connection to the kernel: a socket where the kernel is on this machine, else its messages.

class Link {
  constructor(model, address, page, told) {
    Object.assign(this, { model, address, page, told, state: "closed", missed: 0 });
    this.waiting = [];
    this.voiceNumber = 0;
    this.batch = [];
    model.on("msg:custom", (content, buffers) => this.#take(content, buffers));
  }

  open() {
    if (this.state !== "closed") return;
    const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);
    if (this.address && isLocal) this.#connect();
    else this.#overKernel();
  }

  close() {
    this.#become("closed");
    clearTimeout(this.timer);
    this.waiting = [];
    this.socket?.close();
    this.socket = null;
  }

  say(words) {
    if (this.state === "direct") this.#sendDirectly(words);
    else if (this.state === "connecting") this.waiting.push(words);
    else if (this.state !== "closed") this.#send({ do: words });
  }

  // 20 ms of the microphone, int16.  They are numbered, so that the kernel can count the lost ones.
  speak(frame) {
    if (this.state === "direct") {
      const message = new Uint8Array(4 + frame.byteLength);
      new DataView(message.buffer).setUint32(0, ++this.voiceNumber, true);
      message.set(new Uint8Array(frame.buffer), 4);
      if (this.socket.bufferedAmount < 16_000) this.#sendDirectly(message);
    } else if (this.state === "kernel") {
      this.batch.push(frame);
      if (this.batch.length < 3) return;
      const joined = new Int16Array(3 * frame.length);
      this.batch.forEach((each, i) => joined.set(each, i * frame.length));
      this.batch = [];
      this.#send({ number: ++this.voiceNumber }, [joined.buffer]);
    }
  }

  restart() {
    this.voiceNumber = this.missed = 0;
    this.number = undefined;
    this.batch = [];
  }

  #become(state) {
    if (this.state === state) return;
    this.state = state;
    this.told({ state });
  }

  #connect() {
    this.#become("connecting");
    const socket = (this.socket = new WebSocket(this.address));
    socket.binaryType = "arraybuffer";
    this.timer = setTimeout(() => socket.close(), DIRECT_MS);
    let isOpen = false;
    socket.onopen = () => {
      isOpen = true;
      clearTimeout(this.timer);
      this.confirmed = 0;
      this.restart();
      socket.send(`here ${this.page}`);
      this.#become("direct");
      for (const words of this.waiting.splice(0)) socket.send(words);
    };
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code }) => {
      clearTimeout(this.timer);
      if (this.socket !== socket) return; // an earlier one, or we closed it
      if (code === RETIRED) this.close();
      else if (isOpen && code !== GOING_AWAY) this.#connect();
      else this.#overKernel();
    };
  }

  #overKernel() {
    this.socket = null;
    this.#become("waiting");
    this.#send({ do: `here ${this.page}` });
    this.timer = setTimeout(() => this.#become("lost"), PATIENCE_MS);
    for (const words of this.waiting.splice(0)) this.#send({ do: words });
  }

  #sendDirectly(message) {
    // A socket that is closing complains to the console; what is to come its `onclose` decides.
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  #send(content, buffers) {
    try {
      this.model.send({ ...content, page: this.page }, undefined, buffers);
    } catch {
      this.#become("lost"); // the kernel has ended and taken the comm with it
    }
  }

  #take(content, buffers) {
    if (this.state === "closed") return;
    if (content.type === "welcome" && content.page === this.page) {
      clearTimeout(this.timer);
      this.restart();
      this.#become("kernel");
    } else if (content.type === "sound") {
      if (content.page !== this.page) return;
      const { buffer, byteOffset, byteLength } = buffers[0];
      this.#frames(content.number, new Uint8Array(buffer ?? buffers[0], byteOffset, byteLength));
    } else {
      this.told(content);
    }
  }

  #hear(message) {
    const number = new DataView(message).getUint32(0, true);
    if (number - this.confirmed >= FRAMES_CONFIRMED_TOGETHER) {
      this.confirmed = number;
      this.#sendDirectly(`got ${number}`);
    }
    this.#frames(number, new Uint8Array(message, 4));
  }

  #frames(number, payload) {
    if (this.number !== undefined && number > this.number + 1) {
      this.missed += ((number - this.number - 1) * payload.length) / RATE;
    }
    this.number = number;
    this.told({ samples: Float32Array.from(payload, (code) => ULAW[code]) });
  }
}

// ---------------------------------------------------------------------------------------------
// The telephone: one for each widget on a page, however many views show it.

const NO_MICROPHONE = {
  NotAllowedError: "The browser may not use the microphone. Allow it beside the address, or",
  NotFoundError: "There is no microphone. You can",
  NotReadableError: "Another program has the microphone. You can",
  insecure: "Browsers give a microphone only to https pages and to localhost. You can",
  other: "The microphone does not work. You can",
};

class Telephone {
  constructor(model) {
    this.model = model;
    this.page = Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(36)).join("");
    this.views = new Set();
    this.hasSound = this.isMuted = false;
    this.note = this.noMicrophone = "";
    this.levels = { hear: 0, say: 0 };
    this.stats = { depth: 0, gaps: 0, dropped: 0 };
    this.link = new Link(model, model.get("_address"), this.page, (news) => this.#hearNews(news));
    model.set("_address", ""); // not saved to the kernel, and not with the notebook
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

  get missing() {
    return this.stats.dropped / RATE + this.link.missed;
  }

  show(view) {
    clearTimeout(this.leaving);
    this.views.add(view);
    if (this.state !== "retired") this.link.open();
    this.draw();
  }

  hide(view) {
    this.views.delete(view);
    // A view that is moved is made anew at once: only one that stays away means the end.
    if (!this.views.size) this.leaving = setTimeout(() => this.views.size || this.release(), 500);
  }

  draw() {
    for (const view of this.views) view.draw();
  }

  // What a person does

  answer() {
    this.setSound(true); // within the click, which is what the browser asks for
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

  setSound(isOn) {
    this.hasSound = isOn;
    this.link.say(isOn ? "sound on" : "sound off");
    if (isOn) this.#wake();
    this.#settle();
  }

  // What happens

  #followCall() {
    const before = this.call.state;
    const { since, at } = this.call;
    this.call = this.model.get("call");
    if (this.inCall && before !== "in-call") {
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

  #hearNews(news) {
    if (news.samples) {
      if (this.hasSound && this.inCall) this.loudspeaker?.push(news.samples);
      return;
    }
    if (news.type === "note") this.note = news.text;
    if (news.type === "speaker" && news.page && news.page !== this.page) this.hasSound = false;
    if (news.state === "direct" || news.state === "kernel") {
      this.loudspeaker?.tune(this.#buffer());
      if (this.hasSound) this.link.say("sound on");
    }
    this.#settle();
  }

  #buffer() {
    return this.link.state === "direct" ? DIRECT_BUFFER : KERNEL_BUFFER;
  }

  // Bring everything in line with the state: whatever changes, this makes it so.
  #settle() {
    const isLinked = this.link.state === "direct" || this.link.state === "kernel";
    const mayTalk = this.hasSound && this.inCall && isLinked;
    if (mayTalk) this.#openMicrophone();
    else this.#closeMicrophone();
    const mustRing = this.state === "ringing" && this.hasSound && this.context;
    if (mustRing) this.ringer ??= new Ringer(this.context);
    else this.ringer = void this.ringer?.stop();
    if (!this.hasSound) this.loudspeaker?.flush();
    this.#rest();
    this.draw();
  }

  // Between calls the browser need not make 48,000 samples of silence a second.
  #rest() {
    const { context } = this;
    if (!context || context.state === "closed") return;
    const isNeeded = this.hasSound && (this.inCall || this.state === "ringing");
    if (isNeeded && context.state === "suspended") context.resume().catch(() => {});
    if (!isNeeded && context.state === "running") context.suspend().catch(() => {});
  }

  async #wake() {
    this.context ??= new AudioContext({ latencyHint: "interactive" });
    const { context } = this;
    context.onstatechange = () => this.draw();
    this.isReady ??= this.#makeLoudspeaker(context);
    try {
      await Promise.all([context.resume(), this.isReady]);
    } catch (error) {
      this.note = `The browser makes no sound: ${error.message}`;
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
    const module = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
    let Kind = WorkletLoudspeaker;
    try {
      if (!context.audioWorklet) throw new Error("not a secure context");
      await context.audioWorklet.addModule(module);
    } catch {
      Kind = BufferLoudspeaker; // http from elsewhere, or a policy against scripts from blobs
    } finally {
      URL.revokeObjectURL(module);
    }
    if (this.context !== context) return;
    this.hasWorklet = Kind === WorkletLoudspeaker;
    this.loudspeaker = new Kind(context, this.#buffer(), tell);
  }

  async #openMicrophone() {
    if (this.isAsking || this.microphone || this.noMicrophone) return;
    this.isAsking = true;
    try {
      await this.isReady;
      if (!navigator.mediaDevices || !this.hasWorklet) {
        throw Object.assign(new Error(), { name: "insecure" });
      }
      // The echo of the loudspeaker is taken out and nothing else: what arrives is to be analysed.
      const wishes = { echoCancellation: true, noiseSuppression: false, autoGainControl: false };
      const tracks = await navigator.mediaDevices.getUserMedia({ audio: wishes });
      this.#useMicrophone(tracks);
    } catch (error) {
      this.noMicrophone = NO_MICROPHONE[error.name] ?? NO_MICROPHONE.other;
    } finally {
      this.isAsking = false;
      this.draw();
    }
  }

  #useMicrophone(tracks) {
    if (!this.hasSound || !this.inCall) {
      for (const track of tracks.getTracks()) track.stop(); // the call was shorter than the asking
      return;
    }
    const source = this.context.createMediaStreamSource(tracks);
    const node = new AudioWorkletNode(this.context, "twistream-microphone", { numberOfOutputs: 0 });
    source.connect(node);
    node.port.onmessage = ({ data: frame }) => {
      if (this.isMuted) frame.fill(0); // silence is sent: a telephone that is muted still talks
      for (const sample of frame) this.levels.say = Math.max(this.levels.say, Math.abs(sample) / 32768);
      this.link.speak(frame);
    };
    this.microphone = { tracks, source, node };
  }

  #closeMicrophone() {
    if (!this.microphone) return;
    const { tracks, source, node } = this.microphone;
    this.microphone = null;
    for (const track of tracks.getTracks()) track.stop();
    source.disconnect();
    node.port.onmessage = null;
    node.port.postMessage("end");
  }

  // Let go of everything that a page can hold.  The next view begins anew.
  release() {
    this.hasSound = false;
    this.#closeMicrophone();
    this.ringer = void this.ringer?.stop();
    this.loudspeaker?.close();
    this.context?.close();
    this.context = this.loudspeaker = this.isReady = undefined;
    this.link.close();
    this.draw();
  }
}

// ---------------------------------------------------------------------------------------------
// What it looks like

const HANDSET = `<svg viewBox="0 0 24 24" aria-hidden="true"><path d="M2.5 14.5c-1-1.6-.6-3.4.8-4.5
  5-4 12.4-4 17.4 0 1.4 1.1 1.8 2.9.8 4.5l-1 1.6c-.4.6-1.1.8-1.7.6l-3-1.1c-.6-.2-1-.8-1-1.4v-2.3
  c-1.9-.6-3.7-.6-5.6 0v2.3c0 .6-.4 1.2-1 1.4l-3 1.1c-.6.2-1.3 0-1.7-.6z"/></svg>`;

const KEYS = ["1", "2 abc", "3 def", "4 ghi", "5 jkl", "6 mno", "7 pqrs", "8 tuv", "9 wxyz", "*", "0", "#"];
const NAMES = { "*": "Star", "#": "Hash" };

const MARKUP = `
<header>
  <div class="tp-number"></div>
  <div class="tp-state" role="status" aria-live="polite"></div>
  <div class="tp-timer" role="timer" aria-label="Time of the call"></div>
</header>
<div class="tp-row">
  <button type="button" class="tp-answer">${HANDSET}Answer</button>
  <button type="button" class="tp-hang-up">${HANDSET}Hang up</button>
</div>
<div class="tp-meters">
  <span>You hear</span><div class="tp-meter tp-hear" role="meter" aria-label="Level of what you hear"
    aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><i></i></div>
  <span>You say</span><div class="tp-meter tp-say" role="meter" aria-label="Level of what you say"
    aria-valuemin="0" aria-valuemax="100" aria-valuenow="0"><i></i></div>
</div>
<div class="tp-keys" role="group" aria-label="Keypad">${KEYS.map((key) => {
  const [digit, letters] = key.split(" ");
  return `<button type="button" data-digit="${digit}" aria-label="${NAMES[digit] ?? digit}"
    >${digit}<small>${letters ?? ""}</small></button>`;
}).join("")}</div>
<div class="tp-row">
  <button type="button" class="tp-mute" aria-pressed="false">Mute</button>
  <button type="button" class="tp-clear">Clear</button>
  <button type="button" class="tp-sound" aria-pressed="false">Sound</button>
</div>
<div class="tp-voice" hidden>
  <p></p>
  <div class="tp-row"><select aria-label="File to say"></select><button type="button">Say it</button></div>
</div>
<p class="tp-note" role="alert" hidden></p>
<footer></footer>`;

const LINKS = {
  closed: "Not connected",
  connecting: "Connecting",
  direct: "Direct connection",
  waiting: "Through the kernel, which has not answered yet",
  kernel: "Through the kernel's messages",
  lost: "The kernel does not answer: a cell is running, or it has ended. Then run the cell again",
};

const clock = (ms) => {
  const seconds = Math.max(0, Math.floor(ms / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
};

// -50 dB is nothing, full scale everything.
const percent = (level) => Math.max(0, Math.min(100, 100 + 40 * Math.log10(level + 1e-9)));

class PhoneView {
  constructor(telephone, root) {
    this.telephone = telephone;
    this.root = root;
    const model = telephone.model;
    root.innerHTML = MARKUP;
    const find = (name) => root.querySelector(name);
    this.parts = Object.fromEntries(
      ["state", "timer", "answer", "hang-up", "mute", "clear", "sound", "voice", "note"].map((name) => [
        name,
        find(`.tp-${name}`),
      ]),
    );
    this.bars = { hear: find(".tp-hear"), say: find(".tp-say") };
    this.keys = [...root.querySelectorAll("[data-digit]")];
    this.footer = find("footer");
    find(".tp-number").textContent = model.get("number");
    root.setAttribute("aria-label", `Telephone ${model.get("number")}`);
    const { caller, you } = model.get("colours");
    root.style.setProperty("--tp-say", caller);
    root.style.setProperty("--tp-hear", you);
    this.#offerVoices(model.get("voices"));
    this.#listen();
    this.timer = setInterval(() => this.#tick(), 100);
  }

  close() {
    clearInterval(this.timer);
  }

  #offerVoices(voices) {
    const [select, button] = this.parts.voice.querySelectorAll("select, button");
    for (const name of voices) select.add(new Option(name));
    button.onclick = () => this.telephone.say(`say ${select.value}`);
    this.hasVoices = voices.length > 0;
  }

  #listen() {
    const { telephone, parts } = this;
    parts.answer.onclick = () => telephone.answer();
    parts["hang-up"].onclick = () => telephone.say("hang_up");
    parts.clear.onclick = () => telephone.say("clear");
    parts.mute.onclick = () => telephone.setMuted(!telephone.isMuted);
    parts.sound.onclick = () => telephone.setSound(!telephone.hasSound);
    for (const key of this.keys) key.onclick = () => telephone.press(key.dataset.digit);
    this.root.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || event.target.tagName === "SELECT") return;
      const key = this.keys.find((each) => each.dataset.digit === event.key);
      if (!key || key.disabled) return;
      event.preventDefault();
      key.classList.add("tp-down");
      setTimeout(() => key.classList.remove("tp-down"), 150);
      telephone.press(event.key);
    };
  }

  draw() {
    const { telephone, parts, root } = this, { state, inCall } = telephone;
    const [words, hint] = this.#words();
    root.dataset.state = state;
    if (parts.state.textContent !== words) parts.state.textContent = words;
    parts.answer.disabled = state !== "ringing";
    parts["hang-up"].disabled = !["ringing", "dialling", "in-call"].includes(state);
    parts["hang-up"].lastChild.textContent = state === "ringing" ? "Decline" : "Hang up";
    for (const key of this.keys) key.disabled = !inCall;
    parts.mute.disabled = !telephone.microphone;
    parts.mute.setAttribute("aria-pressed", telephone.isMuted);
    const canClear = telephone.model.get("can_clear");
    parts.clear.disabled = !inCall || !canClear;
    parts.clear.title = canClear
      ? "Silence everything that your server has queued, at once"
      : "PhoneWidget(phone, server=server) knows what to clear";
    parts.sound.disabled = state === "retired";
    parts.sound.setAttribute("aria-pressed", telephone.hasSound);
    parts.sound.title = telephone.hasSound ? "Turn the sound off" : "Let the browser make sound";
    this.#drawVoice();
    const note = telephone.note || hint;
    parts.note.hidden = !note;
    if (parts.note.textContent !== note) parts.note.textContent = note;
    this.#tick();
  }

  #drawVoice() {
    const { noMicrophone, inCall, hasSound } = this.telephone;
    const { voice } = this.parts;
    voice.hidden = !inCall || !hasSound || !noMicrophone;
    const [text, row] = voice.children;
    row.hidden = !this.hasVoices;
    text.textContent = this.hasVoices
      ? `${noMicrophone} let a file speak for you.`
      : `${noMicrophone} let a file speak for you: PhoneWidget(phone, voices=[clip]).`;
  }

  #words() {
    const { state, call, lasted, hasSound } = this.telephone;
    const silent = "The browser makes no sound before a click: press Sound.";
    switch (state) {
      case "ringing":
        return [`${call.other} is calling`, ""];
      case "dialling":
        return [`Calling ${call.other}`, ""];
      case "in-call":
        return [`In a call with ${call.other}`, hasSound ? "" : silent];
      case "retired":
        return ["Shown anew elsewhere", "This telephone is silent: the one shown last is in use."];
      default:
        return [lasted == null ? "Waiting for a call" : "The call has ended", ""];
    }
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
      levels[name] *= 0.5; // falls slower than speech does
    }
    const pieces = [LINKS[link.state]];
    if (telephone.hasSound && telephone.inCall) {
      pieces.push(`${Math.round(1000 * stats.depth)} ms buffer`);
      pieces.push(`${stats.gaps} gap${stats.gaps === 1 ? "" : "s"}`);
      pieces.push(`${Math.round(1000 * telephone.missing)} ms dropped`);
      if (telephone.hasWorklet === false) pieces.push("simple player: the page is not secure");
    }
    const text = pieces.join(" · ");
    if (this.footer.textContent !== text) this.footer.textContent = text;
  }
}

export default () => {
  let telephone;
  return {
    initialize({ model }) {
      telephone = new Telephone(model);
      return () => telephone.release();
    },
    render({ el }) {
      const root = document.createElement("section");
      root.className = "twistream-phone";
      // Or JupyterLab would take digits for its own shortcuts: 0 0 restarts the kernel.
      root.dataset.lmSuppressShortcuts = "true";
      el.append(root);
      const view = new PhoneView(telephone, root);
      telephone.show(view);
      return () => {
        view.close();
        telephone.hide(view);
      };
    },
  };
};
