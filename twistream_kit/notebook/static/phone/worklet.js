// What runs in the thread where sound is made, for the loudspeaker and for the microphone.

import { JitterBuffer, registerLoudspeaker } from "./loudspeaker.js";
import { Downsampler, registerMicrophone } from "./microphone.js";
import { LowPass } from "./sound.js";

// That thread knows nothing of this page: all that these name must be among them, or be its own.
const WORKLET = [
  ...[LowPass, JitterBuffer, Downsampler],
  ...[registerLoudspeaker, registerMicrophone].map((register) => `(${register})();`),
].join("\n");

// Returns whether the browser took it.
export async function loadWorklet(context) {
  const module = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  try {
    if (!context.audioWorklet) throw new Error("not a secure context");
    await context.audioWorklet.addModule(module);
    return true;
  } catch {
    return false; // http from elsewhere, or a policy against scripts from blobs
  } finally {
    URL.revokeObjectURL(module);
  }
}
