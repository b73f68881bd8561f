"""A labelled set of sound in every coding, right and wrong, generated reproducibly.

Half of it is for tuning and half is held out: other voices, other melodies, other seeds, and the
speech of ``sample_audio``, which another synthesiser made.  Levels are those of the loudest sample.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from twistream_kit.audio.clip import make_dtmf
from twistream_kit.audio.g711 import decode_alaw, encode_ulaw

LEVELS = (-6, -12, -20, -30, -40)
RATE = 24000
SECONDS = 4.0
SAMPLE_AUDIO = Path(__file__).parent.parent / "sample_audio"


class Sound(NamedTuple):
    """A sound before it is coded: float, mono, RATE Hz, loudest sample 1."""

    kind: str
    name: str
    samples: np.ndarray


class Voice(NamedTuple):
    """The parameters of a synthetic voice."""

    pitch: float  # Hz
    tract: float  # its formants as a multiple of a man's
    tempo: float  # syllables a second
    breath: float  # noise in the voice, as a share


TUNING_VOICES = [
    Voice(95, 0.97, 4.0, 0.02),
    Voice(120, 1.0, 5.2, 0.05),
    Voice(145, 1.05, 3.6, 0.01),
    Voice(190, 1.13, 4.6, 0.08),
    Voice(225, 1.18, 5.5, 0.03),
    Voice(280, 1.30, 4.2, 0.05),
]
HELD_OUT_VOICES = [
    Voice(85, 0.94, 3.4, 0.04),
    Voice(108, 1.02, 4.7, 0.01),
    Voice(132, 0.99, 5.8, 0.07),
    Voice(175, 1.10, 3.9, 0.02),
    Voice(210, 1.16, 5.0, 0.06),
    Voice(250, 1.24, 4.4, 0.03),
]


def tuning() -> list[Sound]:
    """The half by which thresholds may be tuned."""
    return _sounds(TUNING_VOICES, 1000)


def held_out() -> list[Sound]:
    """The half held out from tuning."""
    recorded = ("greeting", "reply", "question", "speech_24bit_extensible")
    return [*_sounds(HELD_OUT_VOICES, 9000), *map(load_speech, recorded)]


RECORDED = (
    *("greeting", "reply", "question", "speech_24bit_extensible", "speech_float"),
    *("bot_goodbye", "bot_time", "bot_welcome", "caller_thanks", "caller_time"),
)
"""All speech of ``sample_audio``."""


def load_speech(name: str) -> Sound:
    """Load one of `RECORDED`."""
    samples, rate = soundfile.read(SAMPLE_AUDIO / f"{name}.wav", always_2d=True)
    return _sound("speech", name, soxr.resample(samples.mean(axis=1), rate, RATE))


def music(random: np.random.Generator) -> np.ndarray:
    """Chords, a melody or drums, or two of them at once; RATE Hz, SECONDS long."""
    makers = (_chords, _melody, _drums)
    first, second = random.integers(3, size=2)
    sound = makers[first](random)
    return sound + random.uniform(0.3, 1) * makers[second](random) if first != second else sound


def at_level(sound: Sound, level_db: float, rate: int = 8000) -> np.ndarray:
    """Return int16 samples at `rate` Hz with the loudest at `level_db`."""
    samples = sound.samples if rate == RATE else soxr.resample(sound.samples, RATE, rate)
    loudest = np.abs(samples).max() or 1.0
    return np.rint(samples * (32767 * 10 ** (level_db / 20) / loudest)).astype(np.int16)


def coded(samples: np.ndarray) -> dict[str, bytes]:
    """Return `samples` in every coding that people send, PCMU first."""
    little = samples.astype("<i2").tobytes()
    stereo = np.stack([samples, (samples * 0.8).astype(np.int16)], axis=1)
    return {
        "PCMU": encode_ulaw(samples),
        "A-law": encode_alaw(samples),
        "PCM8 unsigned": ((samples.astype(np.int32) + 128 >> 8) + 128)
        .clip(0, 255)
        .astype(np.uint8)
        .tobytes(),
        "PCM16 little-endian": little,
        "PCM16 big-endian": samples.astype(">i2").tobytes(),
        "PCM16 little-endian, stereo": stereo.astype("<i2").tobytes(),
        "PCM16 little-endian, odd pieces": _odd_pieces(little),
    }


def rightly_coded(samples: np.ndarray) -> dict[str, bytes]:
    """Return `samples` as PCMU, plain and after the usual processing of sound: all are correct."""
    eight_bits = (samples.astype(np.int32) + 128 >> 8 << 8).clip(-32768, 32767)
    loud = (samples.astype(np.int32) * 3).clip(-32768, 32767)
    offset = (samples.astype(np.int32) + 1200).clip(-32768, 32767)
    return {
        "PCMU": encode_ulaw(samples),
        "PCMU that was A-law": encode_ulaw(decode_alaw(encode_alaw(samples))),
        "PCMU that was 8-bit": encode_ulaw(eight_bits.astype(np.int16)),
        "PCMU, clipped": encode_ulaw(loud.astype(np.int16)),
        "PCMU, with an offset": encode_ulaw(offset.astype(np.int16)),
    }


DAMAGES = (
    "encoded twice as 16 kHz PCM16",
    "encoded twice as PCM16",
    "encoded twice as PCM8",
    "encoded twice as numbers",
    "wrapped around",
    "low 16 of 24 bits",
    "one byte lost",
    "other byte order",
    "text: UTF-8",
    "text: Latin-1",
    "text: ASCII",
    "text: 7 bits",
    "text: hexadecimal",
)
"""What happens to sound before it is encoded, or to its bytes after it."""


def damaged(sound: Sound, level: int, seed: int) -> dict[str, bytes]:
    """Return a sound that was damaged in each of these ways; the payload may be shorter."""
    random = np.random.default_rng(seed)
    samples = at_level(sound, level)
    right = encode_ulaw(samples)
    codes = np.frombuffer(right, np.uint8).astype(int)
    pairs = np.frombuffer(right[: len(right) // 2 * 2], "<i2")
    halved = np.rint(soxr.resample(pairs.astype(float), 16000, 8000)).clip(-32768, 32767)
    full = at_level(sound, 0).astype(int)
    wide = samples.astype(int) * 256 + random.integers(0, 256, len(samples))
    raw = samples.tobytes()
    lost = int(random.integers(2, 4000)) * 2 + 1
    shifted = raw[:lost] + raw[lost + 1 :] + b"\0"
    digits = right.hex().encode()
    pcmu = {
        "encoded twice as 16 kHz PCM16": halved,
        "encoded twice as PCM16": pairs,
        "encoded twice as PCM8": (codes - 128) * 256,
        "encoded twice as numbers": codes,
        "wrapped around": _wrap(full * 27 // 20),
        "low 16 of 24 bits": _wrap(wide),
        "one byte lost": np.frombuffer(shifted, "<i2"),
        "other byte order": samples.byteswap(),
    }
    text = right.decode("latin-1")
    return {
        **{name: encode_ulaw(each.astype(np.int16)) for name, each in pcmu.items()},
        "text: UTF-8": right.decode("utf-8", "replace").encode(),
        "text: Latin-1": text.encode(),
        "text: ASCII": text.encode("ascii", "replace"),
        "text: 7 bits": bytes(code & 0x7F for code in right),
        "text: hexadecimal": b64decode(digits[: len(digits) // 4 * 4]),
    }


def _wrap(samples: np.ndarray) -> np.ndarray:
    return (samples + 32768) % 65536 - 32768


def encode_alaw(samples: np.ndarray) -> bytes:
    """Compand to PCMA: the code whose sample is nearest."""
    values, codes = _alaw()
    return codes[np.searchsorted((values[1:] + values[:-1]) // 2, samples, side="right")].tobytes()


@cache
def _alaw() -> tuple[np.ndarray, np.ndarray]:
    values = decode_alaw(bytes(range(256))).astype(np.int32)
    codes = np.argsort(values).astype(np.uint8)
    return values[codes], codes


def _odd_pieces(payload: bytes) -> bytes:
    """Drop one byte in 2001, like a program that cuts 16-bit sound at odd places."""
    return b"".join(payload[at : at + 2001] for at in range(0, len(payload), 2002))


def _sounds(voices: list[Voice], seed: int) -> list[Sound]:
    makers: list[tuple[str, str, Callable[[np.random.Generator], np.ndarray]]] = [
        ("music", "chords", _chords),
        ("music", "melody", _melody),
        ("music", "drums", _drums),
        ("music", "chords and drums", lambda r: _chords(r) + 0.7 * _drums(r)),
        ("tones", "sine", lambda r: np.sin(2 * np.pi * r.integers(200, 3000) * _time())),
        ("tones", "whole sine", lambda r: np.sin(2 * np.pi * 500 * r.integers(1, 5) * _time())),
        ("tones", "dial tone", _dial_tone),
        ("tones", "sweep", _sweep),
        ("tones", "square", lambda r: np.sign(np.sin(2 * np.pi * r.integers(90, 700) * _time()))),
        ("noise", "white", lambda r: _noise(r, 0.0)),
        ("noise", "pink", lambda r: _noise(r, 0.5)),
        ("noise", "brown", lambda r: _noise(r, 1.0)),
        ("noise", "band", _band),
        ("DTMF", "keys", _keys),
        ("DTMF", "fast keys", lambda r: _keys(r, 50)),
    ]
    sounds = [
        _sound("speech", f"voice {count}", speech(voice, np.random.default_rng(seed + count)))
        for count, voice in enumerate(voices)
    ]
    for count, (kind, name, make) in enumerate(makers):
        for take in range(2):
            random = np.random.default_rng(seed + 100 + 10 * count + take)
            sounds.append(_sound(kind, f"{name} {take}", make(random)))
    return sounds


def line_noise(seed: int) -> list[np.ndarray]:
    """Return sounds of silence, int16 at 8000 Hz, whose level is fixed."""
    random = np.random.default_rng(seed)
    n = int(8000 * SECONDS)
    hum = 12 * np.sin(2 * np.pi * (50 if seed % 2 else 60) * np.arange(n) / 8000)
    quiet = [random.normal(0, sigma, n) for sigma in (0.5, 2, 6, 15)]
    offsets = [noise + random.integers(-40, 40) for noise in quiet]
    return [
        np.rint(x).astype(np.int16) for x in (np.zeros(n), *quiet, *offsets, hum, hum + quiet[1])
    ]


def speech(voice: Voice, random: np.random.Generator, seconds: float = SECONDS) -> np.ndarray:
    """Syllables of a consonant and a vowel in phrases, with pauses, through a moving tract."""
    hop = RATE // 100
    frames = int(seconds * 100)
    pitch, voiced, hiss, formants = _score(voice, random, frames)
    phase = np.cumsum(np.repeat(pitch, hop)) / RATE
    # Rosenberg's pulse: it opens slowly and closes fast.
    cycle = phase % 1
    pulse = np.where(cycle < 0.4, 0.5 - 0.5 * np.cos(np.pi * cycle / 0.4), 0.0)
    pulse = np.where((cycle >= 0.4) & (cycle < 0.56), np.cos(np.pi * (cycle - 0.4) / 0.32), pulse)
    pulse = np.diff(pulse, prepend=0.0) * 20
    source = np.repeat(voiced, hop) * (pulse + voice.breath * random.normal(0, 1, len(pulse)))
    friction = np.repeat(hiss, hop) * random.normal(0, 0.5, len(pulse))
    size = 2 * hop
    window = np.hanning(size + 1)[:-1]
    hertz = np.fft.rfftfreq(2 * size, 1 / RATE)
    out = np.zeros(frames * hop + 2 * size)
    for frame in range(frames - 1):
        at = slice(frame * hop, frame * hop + size)
        spectrum = np.fft.rfft(source[at] * window, 2 * size) * _tract(
            hertz, formants[frame], voice
        )
        hissing = np.fft.rfft(friction[at] * window, 2 * size)
        spectrum += hissing * (hertz / 4500) ** 2 / (1 + (hertz / 5500) ** 6)
        out[frame * hop : frame * hop + 2 * size] += np.fft.irfft(spectrum)
    return out[: frames * hop] + random.normal(0, 2e-4, frames * hop)


VOWELS = np.array(
    [(730, 1090, 2440), (270, 2290, 3010), (300, 870, 2240), (530, 1840, 2480), (570, 840, 2410),
     (660, 1720, 2410), (440, 1020, 2240), (490, 1350, 1690)]
)  # fmt: skip
"""The first three formants of a man's vowels in Hz (Peterson and Barney 1952)."""


def _score(voice: Voice, random: np.random.Generator, frames: int) -> tuple[np.ndarray, ...]:
    """Return pitch, voicing, friction and formants for each hundredth of a second."""
    pitch = np.full(frames, voice.pitch)
    voiced, hiss = np.zeros(frames), np.zeros(frames)
    formants = np.tile(VOWELS[0].astype(float), (frames, 1))
    at = int(random.integers(2, 20))
    vowel = VOWELS[0].astype(float)
    in_phrase, length = 0, int(random.integers(4, 9))
    while at < frames - 20:
        syllable = int(100 / voice.tempo * random.uniform(0.7, 1.3))
        consonant = int(syllable * random.uniform(0.15, 0.4))
        end = min(at + syllable, frames)
        kind = random.integers(3)
        if kind == 0:
            hiss[at : at + consonant] = random.uniform(0.3, 1.0)
        elif kind == 1:
            voiced[at : at + consonant] = 0.25
        body = np.arange(max(0, end - at - consonant))
        shape = np.sin(np.pi * (body + 1) / (len(body) + 1)) ** 0.5
        voiced[at + consonant : end] = shape * random.uniform(0.5, 1.0)
        following = VOWELS[random.integers(len(VOWELS))] * random.uniform(0.95, 1.05)
        glide = np.minimum(1, np.arange(end - at) / (0.6 * syllable))[:, None]
        formants[at:end] = vowel + (following - vowel) * glide
        fall = 1.15 - 0.3 * in_phrase / length
        rise = random.uniform(-0.1, 0.15) * np.sin(np.pi * np.arange(end - at) / syllable)
        pitch[at:end] = voice.pitch * (fall + rise)
        vowel, at, in_phrase = following, end, in_phrase + 1
        if in_phrase >= length:
            at += int(random.uniform(15, 60))
            in_phrase, length = 0, int(random.integers(3, 9))
    return pitch * random.normal(1, 0.008, frames), voiced, hiss, formants * voice.tract


def _tract(hertz: np.ndarray, formants: np.ndarray, voice: Voice) -> np.ndarray:
    centres = [*formants, 3500 * voice.tract, 4500 * voice.tract, 5500 * voice.tract]
    response = np.ones_like(hertz)
    for centre, width in zip(centres, (70, 90, 140, 200, 250, 300), strict=True):
        response = response * centre**2 / np.hypot(centre**2 - hertz**2, width * hertz)
    return response * np.minimum(1, hertz / 60)


def _time() -> np.ndarray:
    return np.arange(int(RATE * SECONDS)) / RATE


def _note(hertz: float, seconds: float, random: np.random.Generator) -> np.ndarray:
    t = np.arange(int(RATE * seconds)) / RATE
    partials = np.arange(1, int(min(12, 9000 / hertz)) + 1)
    loud = partials ** -random.uniform(0.8, 2.0)
    phases = random.uniform(0, 2 * np.pi, len(partials))
    waves = np.sin(2 * np.pi * hertz * partials[:, None] * t + phases[:, None])
    decay = np.exp(-t * random.uniform(0.5, 4) * (1 + 0.2 * partials[:, None]))
    return (loud[:, None] * waves * decay).sum(axis=0) * np.minimum(1, t / 0.01)


def _played(notes: Iterator[tuple[float, np.ndarray]]) -> np.ndarray:
    out = np.zeros(len(_time()))
    for second, note in notes:
        at = int(second * RATE)
        out[at : at + len(note)] += note[: max(0, len(out) - at)]
    return out + 1e-4 * np.random.default_rng(5).normal(size=len(out))


def _chords(random: np.random.Generator) -> np.ndarray:
    root = random.uniform(90, 220)
    return _played(
        (beat * 0.8, _note(root * 2 ** ((step + turn) / 12), 1.0, random))
        for beat in range(5)
        for turn in [random.choice([0, 5, 7, 9])]
        for step in random.choice([(0, 4, 7), (0, 3, 7), (0, 4, 7, 10)][:2], axis=0)
    )


def _melody(random: np.random.Generator) -> np.ndarray:
    root = random.uniform(250, 500)
    steps = random.choice([0, 2, 4, 5, 7, 9, 11, 12], 16)
    return _played(
        (0.25 * beat, _note(root * 2 ** (step / 12), 0.5, random))
        for beat, step in enumerate(steps)
    )


def _drums(random: np.random.Generator) -> np.ndarray:
    def hit(beat: int) -> np.ndarray:
        t = np.arange(RATE // 4) / RATE
        if beat % 4 == 0:
            return np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-30 * t)))) * np.exp(-12 * t)
        noise = random.normal(0, 0.3, len(t)) * np.exp(-t * (25 if beat % 4 == 2 else 60))
        return noise if beat % 4 == 2 else np.diff(noise, prepend=0)

    tempo = random.uniform(0.1, 0.18)
    return _played((beat * tempo, hit(beat)) for beat in range(int(SECONDS / tempo)))


def _dial_tone(random: np.random.Generator) -> np.ndarray:
    a, b = ((350, 440), (440, 480), (480, 620))[random.integers(3)]
    return np.sin(2 * np.pi * a * _time()) + np.sin(2 * np.pi * b * _time())


def _sweep(random: np.random.Generator) -> np.ndarray:
    t = _time()
    return np.sin(2 * np.pi * (100 * t + random.uniform(200, 450) * t**2))


def _noise(random: np.random.Generator, power: float) -> np.ndarray:
    spectrum = np.fft.rfft(random.normal(0, 1, len(_time())))
    hertz = np.maximum(np.fft.rfftfreq(len(_time()), 1 / RATE), 20)
    return np.fft.irfft(spectrum / hertz**power)


def _band(random: np.random.Generator) -> np.ndarray:
    spectrum = np.fft.rfft(random.normal(0, 1, len(_time())))
    hertz = np.fft.rfftfreq(len(_time()), 1 / RATE)
    low = random.uniform(200, 1500)
    return np.fft.irfft(spectrum * ((hertz > low) & (hertz < low * random.uniform(1.3, 3))))


def _keys(random: np.random.Generator, tone_ms: int = 100) -> np.ndarray:
    digits = "".join(random.choice(list("0123456789*#"), 60))
    samples = make_dtmf(digits, tone_ms, tone_ms)[: int(8000 * SECONDS)] / 32768
    return soxr.resample(samples, 8000, RATE)


def _sound(kind: str, name: str, samples: np.ndarray) -> Sound:
    return Sound(kind, name, samples / np.abs(samples).max())
