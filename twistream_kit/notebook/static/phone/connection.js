// The connection to the kernel: a socket if the kernel is on this machine, else the kernel's messages.

import {
  PROBE,
  asBytes,
  connectDirectly,
  fromBase64,
  isOnThisMachine,
  isProbe,
  toBase64,
} from "../transport.js";
import { RATE, ULAW } from "./sound.js";

const FRAMES_CONFIRMED_TOGETHER = 10;
const RETIRED = 4000; // a private close code: this phone is shown elsewhere
const GOING_AWAY = 1001; // the listener was stopped
const KERNEL_TIMEOUT_MS = 4000; // after this, the kernel is shown as not answering

export class Link {
  constructor(model, address, page, notify) {
    Object.assign(this, { model, address, page, notify, state: "closed", missed: 0 });
    this.waiting = [];
    this.voiceNumber = 0;
    this.batch = [];
    model.on("msg:custom", (content, buffers) => this.#take(content, buffers));
  }

  open() {
    if (this.state !== "closed") return;
    if (this.address && isOnThisMachine()) this.#connect();
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

  // Sends 20 ms of the microphone, int16.  Messages are numbered, so that the kernel can count the
  // lost ones.
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
      this.#sendBytes({ number: ++this.voiceNumber }, new Uint8Array(joined.buffer));
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
    this.notify({ state });
  }

  #connect() {
    this.#become("connecting");
    const socket = (this.socket = connectDirectly(this.address, () => {
      if (this.socket === socket && this.state === "connecting") this.#overKernel();
    }));
    if (!socket) return;
    let isOpen = false;
    socket.onopen = () => {
      isOpen = true;
      this.confirmed = 0;
      this.restart();
      socket.send(`here ${this.page}`);
      this.#become("direct");
      for (const words of this.waiting.splice(0)) socket.send(words);
    };
    socket.onmessage = ({ data }) => this.#hear(data);
    socket.onclose = ({ code }) => {
      if (this.socket !== socket || !isOpen) return; // an earlier socket, or closed by us
      if (code === RETIRED) this.close();
      else if (code !== GOING_AWAY) this.#connect();
      else this.#overKernel();
    };
  }

  #overKernel() {
    this.socket = null;
    this.#become("waiting");
    this.isText = false;
    this.#sendBytes({ do: `here ${this.page}` }, Uint8Array.from(PROBE));
    this.timer = setTimeout(() => this.#become("lost"), KERNEL_TIMEOUT_MS);
    for (const words of this.waiting.splice(0)) this.#send({ do: words });
  }

  #sendDirectly(message) {
    // A closing socket would log an error to the console; its `onclose` decides how to go on.
    if (this.socket.readyState === WebSocket.OPEN) this.socket.send(message);
  }

  #send(content, buffers) {
    try {
      this.model.send({ ...content, page: this.page }, undefined, buffers);
    } catch {
      this.#become("lost"); // the kernel has ended, and the comm with it
    }
  }

  #sendBytes(content, bytes) {
    if (this.isText) this.#send({ ...content, data: toBase64(bytes) });
    else this.#send(content, [bytes.buffer]);
  }

  #take(content, buffers) {
    if (this.state === "closed") return;
    if (content.type === "welcome" && content.page === this.page) {
      clearTimeout(this.timer);
      this.isText = content.takesBuffers === false;
      if (!isProbe(buffers?.[0])) this.#send({ do: "text" }); // the kernel then sends no buffers
      this.restart();
      this.#become("kernel");
    } else if (content.type === "sound") {
      if (content.page !== this.page) return;
      const bytes = content.data ? fromBase64(content.data) : buffers?.[0] && asBytes(buffers[0]);
      if (bytes) this.#frames(content.number, bytes);
    } else {
      this.notify(content);
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
    this.notify({ samples: Float32Array.from(payload, (code) => ULAW[code]) });
  }
}
