// In place of a microphone: a tone that this page makes, for as long as a test wants to hear it.
// Nothing of a real one is missing but the device, whose own delay nobody could measure here.
(() => {
  const spoken = (window.spoken = { at: [] });

  navigator.mediaDevices.getUserMedia = async () => {
    const context = new AudioContext({ latencyHint: "interactive" });
    const gain = new GainNode(context, { gain: 0 });
    const tone = new OscillatorNode(context, { frequency: 1000 });
    const microphone = context.createMediaStreamDestination();
    tone.connect(gain).connect(microphone);
    tone.start();
    spoken.gain = gain.gain;
    return microphone.stream;
  };

  const wait = (ms) => new Promise((done) => setTimeout(done, ms));

  // Say something every now and then, and note when, in seconds since 1970.
  spoken.speak = async (times, on_ms, off_ms) => {
    spoken.at = [];
    for (let count = 0; count < times; count++) {
      spoken.gain.value = 0.5;
      spoken.at.push(Date.now() / 1000);
      await wait(on_ms);
      spoken.gain.value = 0;
      await wait(off_ms + 40 * Math.random()); // no favourite place within a frame
    }
    return spoken.at;
  };
})();
