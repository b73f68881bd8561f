// The code of the audio thread, for the loudspeaker and for the microphone.

import { JitterBuffer, registerLoudspeaker } from "./loudspeaker.js";
import { Downsampler, registerMicrophone } from "./microphone.js";
import { LowPass } from "./sound.js";

// That thread cannot access this page: these may use each other and the globals of the thread only.
const WORKLET = [
  ...[LowPass, JitterBuffer, Downsampler],
  ...[registerLoudspeaker, registerMicrophone].map((register) => `(${register})();`),
].join("\n");

// Returns whether the browser accepted it.
export async function loadWorklet(context) {
  const module = URL.createObjectURL(new Blob([WORKLET], { type: "text/javascript" }));
  try {
    if (!context.audioWorklet) throw new Error("not a secure context");
    await context.audioWorklet.addModule(module);
    return true;
  } catch {
    return false; // not a secure context, or a policy against scripts from blobs
  } finally {
    URL.revokeObjectURL(module);
  }
}
