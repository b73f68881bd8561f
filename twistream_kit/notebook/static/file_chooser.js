// Chooses sound files, or takes dropped ones, and sends them to the kernel, one after the other: over
// a socket of its own if the kernel is on this machine, else in the kernel's messages.  The kernel
// acknowledges what it has written, and only a little more than that is sent, because a front end
// closes its connection to the kernel when too much waits in it.

import { PROBE, connectDirectly, isOnThisMachine, toBase64 } from "./transport.js";

const MEGABYTE = 1_000_000;
const SOCKET = { piece: 60_000, ahead: 1_200_000 };
const MESSAGES = { piece: 524_288, ahead: 1_048_576 };
const SILENT_MS = 3000; // after this without an answer, the kernel is shown as busy

const FILE_MARKUP = `
<div class="tf-drop">
  <label class="tf-choose"><span></span><input type="file" multiple></label>
  <span class="tf-hint"></span>
</div>
<div class="tf-sending" hidden>
  <span class="tf-what"></span>
  <div><progress max="1" value="0"></progress><button type="button">Cancel</button></div>
</div>
<ul class="tf-results" role="status"></ul>`;

export class FileChooser {
  // `zone` takes dropped files; `model` has `_file_limit` and takes the messages of the files.
  constructor(model, { root, zone, label, address }) {
    this.model = model;
    this.address = address;
    this.limit = model.get("_file_limit");
    this.queue = [];
    this.count = this.total = 0;
    root.classList.add("twistream-files");
    root.innerHTML = FILE_MARKUP;
    const find = (name) => root.querySelector(name);
    this.parts = {
      sending: find(".tf-sending"),
      what: find(".tf-what"),
      bar: find("progress"),
      results: find(".tf-results"),
    };
    find(".tf-choose span").textContent = label;
    find(".tf-hint").textContent = `or drop it; up to ${this.limit / MEGABYTE} MB`;
    const input = find("input");
    input.onchange = () => {
      this.add(input.files);
      input.value = ""; // the same file can be chosen again
    };
    find("button").onclick = () => this.cancel();
    this.#listenToDrops(zone);
    this.hear = (content) => content.type === "file" && this.#hear(content);
    model.on("msg:custom", this.hear);
  }

  close() {
    this.isClosed = true;
    this.model.off("msg:custom", this.hear);
    this.queue = [];
    this.current?.giveUp();
  }

  #listenToDrops(zone) {
    const mark = (isOver) => zone.classList.toggle("tf-over", isOver);
    const hasFiles = (event) => event.dataTransfer?.types.includes("Files");
    zone.addEventListener("dragover", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      mark(true);
    });
    zone.addEventListener("dragleave", (event) => zone.contains(event.relatedTarget) || mark(false));
    zone.addEventListener("drop", (event) => {
      if (!hasFiles(event)) return;
      event.preventDefault();
      event.stopPropagation();
      mark(false);
      this.add(event.dataTransfer.files);
    });
  }

  add(files) {
    if (!this.isSending) {
      this.parts.results.replaceChildren();
      this.count = this.total = 0;
    }
    this.queue.push(...files);
    this.total += files.length;
    if (!this.isSending) this.#sendAll();
  }

  cancel() {
    this.queue = [];
    this.current?.cancel();
  }

  async #sendAll() {
    this.isSending = true;
    this.parts.sending.hidden = false;
    while (this.queue.length && !this.isClosed) {
      const file = this.queue.shift();
      this.count += 1;
      this.#show(await this.#send(file));
    }
    this.isSending = false;
    this.parts.sending.hidden = true;
  }

  #show({ done, failed }) {
    const line = document.createElement("li");
    line.className = failed ? "tf-failed" : "tf-done";
    line.textContent = failed ? `✖ ${failed}` : `✓ ${done}`;
    this.parts.results.append(line);
  }

  // Resolves to what became of the file: { done } or { failed }, each a sentence.
  async #send(file) {
    if (file.size > this.limit) {
      const size = (file.size / MEGABYTE).toFixed(1);
      const most = this.limit / MEGABYTE;
      return { failed: `${file.name} is ${size} MB; at most ${most} MB are sent. Read it in a cell: kit.load_clip(path)` };
    }
    const sending = (this.current = new Sending(file, this.model, this.#draw.bind(this)));
    this.#draw(sending);
    try {
      return await sending.run(this.address);
    } finally {
      this.current = null;
    }
  }

  #draw({ file, acknowledged, isSilent, isReading }) {
    const { what, bar } = this.parts;
    const number = this.total > 1 ? ` (${this.count} of ${this.total})` : "";
    const state = isSilent ? ": the kernel is busy" : isReading ? ": being read" : "";
    what.textContent = `${file.name}${number}${state}`;
    bar.setAttribute("aria-label", `Sending ${file.name}`);
    bar.value = file.size ? acknowledged / file.size : 1;
  }

  #hear(content) {
    if (content.id === this.current?.id) this.current.hear(content);
  }
}

// One file on its way.
class Sending {
  constructor(file, model, draw) {
    Object.assign(this, { file, model, draw, acknowledged: 0 });
    this.id = Array.from(crypto.getRandomValues(new Uint32Array(2)), (n) => n.toString(36)).join("");
    this.over = new Promise((resolve) => (this.resolve = resolve));
  }

  async run(address) {
    const { file } = this;
    await this.#connect(address);
    const { piece, ahead } = this.socket ? SOCKET : MESSAGES;
    this.#say({ do: "begin", name: file.name, size: file.size }, Uint8Array.from(PROBE));
    this.#watch();
    try {
      for (let at = 0; at < file.size && !this.result; at += piece) {
        while ((!this.mayGo || at - this.acknowledged >= ahead) && !this.result) {
          await new Promise((resolve) => (this.wake = resolve));
        }
        if (this.result) break;
        const bytes = new Uint8Array(await file.slice(at, at + piece).arrayBuffer());
        if (!this.result) this.#say({ do: "piece" }, bytes);
      }
      this.isAllSent = !this.result;
    } catch (error) {
      this.end({ failed: `${file.name} cannot be read: ${error.message}`, isCancelled: true });
    }
    const result = await this.over;
    clearInterval(this.timer);
    this.socket?.close();
    return result;
  }

  hear({ mayGo, takesBuffers, got, done, failed }) {
    this.heardAt = performance.now();
    if (mayGo) this.mayGo = true;
    if (takesBuffers === false) this.isText = true;
    if (got !== undefined) {
      this.acknowledged = got;
      this.isReading = got >= this.file.size;
    }
    if (done !== undefined || failed !== undefined) this.end({ done, failed });
    this.#wakeUp();
  }

  cancel() {
    // Of a file that is there whole, only the kernel knows which came first: the clip or this.
    if (this.isAllSent) this.#say({ do: "cancel" });
    else this.giveUp();
  }

  giveUp() {
    this.end({ failed: `${this.file.name} was not sent: cancelled`, isCancelled: true });
  }

  end(result) {
    if (this.result) return;
    this.result = result;
    if (result.isCancelled) this.#say({ do: "cancel" });
    this.resolve(result);
    this.#wakeUp();
  }

  #wakeUp() {
    this.isSilent = performance.now() - this.heardAt > SILENT_MS;
    this.draw(this);
    this.wake?.();
  }

  #watch() {
    this.heardAt = performance.now();
    this.timer = setInterval(() => this.#wakeUp(), 500);
  }

  async #connect(address) {
    if (!address || !isOnThisMachine()) return;
    const socket = await new Promise((resolve) => {
      const opening = connectDirectly(address, () => resolve(null));
      opening?.addEventListener("open", () => resolve(opening));
    });
    if (!socket) return;
    this.socket = socket;
    socket.onmessage = ({ data }) => this.hear(JSON.parse(data));
    socket.onclose = ({ reason }) =>
      this.end({ failed: reason || `${this.file.name} was not sent: the connection to the kernel has ended` });
  }

  #say(content, bytes) {
    if (this.socket) {
      if (this.socket.readyState !== WebSocket.OPEN) return;
      if (content.do === "piece") this.socket.send(bytes);
      else if (content.do === "begin") this.socket.send(`begin ${content.size} ${content.name}`);
      else this.socket.send("cancel");
      return;
    }
    const message = { ...content, id: this.id };
    if (bytes && this.isText) message.data = toBase64(bytes);
    try {
      this.model.send({ file: message }, undefined, bytes && !this.isText ? [bytes.buffer] : []);
    } catch {
      this.result ?? this.end({ failed: `${this.file.name} was not sent: the kernel has ended` });
    }
  }
}
