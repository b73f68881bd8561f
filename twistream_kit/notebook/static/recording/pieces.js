// The sound of the call, in pieces: over a socket if the kernel is on this machine, else in the
// kernel's messages.  One piece is under way at a time, and each has less than a megabyte.

const DIRECT_MS = 1500; // the timeout of a direct connection
const PIECE_MS = 15000; // after this, the kernel counts as gone

export class Pieces {
  constructor(model) {
    this.model = model;
    this.page = `${Math.random()}`.slice(2);
    this.arrived = null;
    this.last = Promise.resolve();
    this.take = (content, buffers) => {
      if (content.type === "piece" && content.page === this.page) this.#receive(bytesOf(buffers[0]));
    };
    model.on("msg:custom", this.take);
  }

  // Returns PCMU: of each sample the byte of the caller, then the byte of what the caller heard; and
  // nothing if the whole piece is silent.
  read(number) {
    const wanted = this.last.then(() => this.#request(number));
    this.last = wanted.catch(() => {});
    return wanted;
  }

  close() {
    this.model.off("msg:custom", this.take);
    this.socket?.close();
    this.socket = null;
  }

  async #request(number) {
    await (this.connecting ??= this.#connect());
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(), PIECE_MS);
      this.arrived = { number, resolve, reject, timer };
      try {
        if (this.socket) this.socket.send(`piece ${number}`);
        else this.model.send({ piece: number, page: this.page });
      } catch {
        this.#fail(); // the kernel has ended, and the comm with it
      }
    });
  }

  // A socket is a convenience: without it everything goes over the kernel.
  #connect() {
    const address = this.model.get("_address");
    const isLocal = /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);
    if (!address || !isLocal) return Promise.resolve();
    return new Promise((resolve) => {
      const socket = new WebSocket(address);
      socket.binaryType = "arraybuffer";
      const timer = setTimeout(() => socket.close(), DIRECT_MS);
      socket.onopen = () => {
        clearTimeout(timer);
        this.socket = socket;
        resolve();
      };
      socket.onmessage = ({ data }) => {
        socket.send(`got ${new DataView(data).getUint32(0, true)}`);
        this.#receive(new Uint8Array(data, 4));
      };
      socket.onclose = () => {
        clearTimeout(timer);
        resolve();
        if (this.socket !== socket) return;
        this.socket = null;
        if (this.arrived) this.model.send({ piece: this.arrived.number, page: this.page });
      };
    });
  }

  #receive(bytes) {
    const { number, resolve, timer } = this.arrived ?? {};
    if (new DataView(bytes.buffer, bytes.byteOffset).getUint32(0, true) !== number) return;
    clearTimeout(timer);
    this.arrived = null;
    resolve(bytes.subarray(4));
  }

  #fail() {
    clearTimeout(this.arrived?.timer);
    this.arrived?.reject(new Error("The kernel does not send the sound; run the cell again."));
    this.arrived = null;
  }
}

// Buffers arrive as DataView in JupyterLab.
export const bytesOf = (view) =>
  new Uint8Array(view.buffer ?? view, view.byteOffset ?? 0, view.byteLength);
