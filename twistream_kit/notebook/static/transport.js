// How a page reaches the kernel beside the kernel's messages, and what these cannot carry.

// The timeout of a direct connection, in parts: after a page was busy for longer than all of it, one
// part passes, and the socket that has opened meanwhile can say so.
const OPEN_MS = 1500;
const OPEN_PARTS = 3;

// A socket on 127.0.0.1 reaches the kernel only if this page was served by the same machine.
export const isOnThisMachine = () => /^(localhost|127(\.\d+){3}|\[::1\])$/.test(location.hostname);

// Calls `fail` if this page may not use a socket, nothing listens, or it does not open in time.
export function connectDirectly(address, fail) {
  let socket;
  try {
    socket = new WebSocket(address);
  } catch {
    queueMicrotask(fail); // a policy of the page forbids it
    return null;
  }
  socket.binaryType = "arraybuffer";
  let passed = 0;
  const timer = setInterval(() => {
    if (++passed === OPEN_PARTS) socket.close();
  }, OPEN_MS / OPEN_PARTS);
  let isSettled = false;
  const settle = (hasFailed) => {
    clearInterval(timer);
    if (hasFailed && !isSettled) fail();
    isSettled = true;
  };
  socket.addEventListener("open", () => settle(false));
  socket.addEventListener("close", () => settle(true));
  // Of a socket that a policy forbids, Chromium tells the error only, and never that it is closed.
  socket.addEventListener("error", () => settle(true));
  return socket;
}

// Some front ends lose the binary part of the kernel's messages: there, bytes become text.
export const PROBE = [1, 2, 3, 4];

export const isProbe = (bytes) => bytes?.byteLength === PROBE.length;

export const asBytes = (buffer) =>
  new Uint8Array(buffer.buffer ?? buffer, buffer.byteOffset ?? 0, buffer.byteLength);

export const fromBase64 = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));

export function toBase64(bytes) {
  let text = "";
  for (let i = 0; i < bytes.length; i += 32768) {
    text += String.fromCharCode(...bytes.subarray(i, i + 32768));
  }
  return btoa(text);
}
