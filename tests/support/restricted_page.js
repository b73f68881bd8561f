// A front end of one widget: what anywidget gives a widget, over one WebSocket to the test.
// Its address says whether binary parts of messages get through (?buffers=no: as on Colab).

import factory from "/widget.js";

const hasBuffers = !location.search.includes("buffers=no");
const socket = new WebSocket(`ws://${location.host}/comm`);
const listeners = new Map();
const state = {};
const tell = (event, ...news) => [...(listeners.get(event) ?? [])].forEach((each) => each(...news));
const decode = (text) => new DataView(Uint8Array.from(atob(text), (c) => c.charCodeAt(0)).buffer);

window.violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.violations.push(event.effectiveDirective),
);

const model = {
  get: (name) => state[name],
  set: (name, value) => (state[name] = value),
  save_changes() {},
  on: (event, listener) => listeners.set(event, (listeners.get(event) ?? new Set()).add(listener)),
  off: (event, listener) => listeners.get(event)?.delete(listener),
  send(content, _callbacks, buffers = []) {
    const kept = hasBuffers ? buffers : [];
    const letters = (bytes) => Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
    const encode = (buffer) => btoa(letters(new Uint8Array(buffer.buffer ?? buffer)));
    socket.send(JSON.stringify({ content, buffers: kept.map(encode) }));
  },
};

let widget;
socket.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.state) {
    for (const [name, value] of Object.entries(message.state)) {
      state[name] = value;
      if (widget) tell(`change:${name}`);
    }
  } else {
    tell("msg:custom", message.content, hasBuffers ? message.buffers.map(decode) : []);
  }
  if (widget) return;
  widget = factory();
  widget.initialize({ model });
  widget.render({ model, el: document.querySelector("main") });
};
