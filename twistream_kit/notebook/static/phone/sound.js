// The sound of a call is PCMU, 8000 samples a second, in frames of 160 bytes, 20 ms each.

export const RATE = 8000;

export const ULAW = Float32Array.from({ length: 256 }, (_, code) => {
  const bits = ~code & 0xff;
  const size = ((((bits & 15) << 3) + 132) << ((bits >> 4) & 7)) - 132;
  return (bits & 0x80 ? -size : size) / 32768;
});

// A low-pass filter at 3.8 kHz for 8000 samples a second, as a table, for resampling to the browser's
// sample rate and back.  Kaiser window, images and aliases below -60 dB.
export class LowPass {
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
