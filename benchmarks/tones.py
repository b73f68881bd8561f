"""Telephone keys and beeps in sound: how many are found, and what is taken for one.

Keys: all sixteen, of 40 to 100 ms, begun anywhere within a frame, with a twist of -6 to 6 dB, and
with both frequencies off by up to 1.5 %, alone and in noise.  The level is that of the louder
frequency, and noise is relative to the power of both.  Beeps: 400 to 2000 Hz, 100 ms to 1 s.  What
holds none: an hour of speech and music, at several rates and levels, alone and mixed.

python benchmarks/run.py tones
"""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
import payload_set
import soxr
from measuring import Figure
from speech_detectors import make_noise

from twistream_kit.audio.clip import COLUMN_HZ, KEYS, ROW_HZ
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.tone_detector import Tone, ToneDetector
from twistream_kit.audio.tones import find_tones

LEVELS = (-6, -12, -18, -24, -30)
SOFT_LEVELS = (-36, -42)
TWISTS = (-6, -3, 0, 3, 6)
LENGTHS_MS = (40, 45, 50, 60, 70, 85, 100)
OFF = (-0.015, 0.0, 0.015)
NOISES = (20, 10, 5)
COLOURS = ("white", "pink", "babble")
SHORT_MS = (15, 20, 23, 26)
BEEP_LENGTHS_MS = (100, 150, 300, 1000)
MIXED_DB = -15.0
"""How far the music is below the speech in a mixture, and the other way round."""


def measure(*, tiny: bool = False) -> list[Figure]:
    """Count what is found and what is mistaken."""
    figures = list(_measure_keys(tiny=tiny))
    figures += _measure_beeps(tiny=tiny)
    figures += _measure_speech(tiny=tiny)
    return figures


def _measure_keys(*, tiny: bool) -> Iterator[Figure]:
    lengths = LENGTHS_MS[:1] if tiny else LENGTHS_MS
    twists = TWISTS[:1] if tiny else TWISTS
    for name, levels in (("-6 to -30", LEVELS), ("-36 and -42", SOFT_LEVELS)):
        found, wrong, count = _count_keys(levels[-1:] if tiny else levels, twists, lengths)
        reached = found >= 0.99 * count if levels is LEVELS else None
        aim = "≥ 99 %" if levels is LEVELS else ""
        yield Figure(
            f"keys, {name} dBFS, no noise: found, wrong", _say(found, wrong, count), aim, reached
        )
    for colour in COLOURS[:1] if tiny else COLOURS:
        for below in NOISES[-1:] if tiny else NOISES:
            levels = LEVELS[-1:] if tiny else LEVELS[::2]
            noise = (colour, below)
            found, wrong, count = _count_keys(levels, twists[::2], lengths, noise=noise)
            yield Figure(
                f"keys {below} dB above {colour} noise: found, wrong", _say(found, wrong, count)
            )
    for short in SHORT_MS[1:2] if tiny else SHORT_MS:
        found, wrong, count = _count_keys(LEVELS[::4], twists[::2], (short,))
        yield Figure(
            f"keys of {short} ms: found, wrong",
            _say(found, wrong, count),
            "none" if short <= 23 else "",
            found + wrong == 0 if short <= 23 else None,
        )
    found, wrong, count = _count_keys(LEVELS[::4], twists[::2], (100,), off=(-0.035, 0.035))
    yield Figure(
        "keys off by 3.5 %: found, wrong", _say(found, wrong, count), "none", found + wrong == 0
    )


def _make_voices() -> list[payload_set.Sound]:
    seeds = np.random.default_rng(21).spawn(len(payload_set.TUNING_VOICES))
    pairs = zip(payload_set.TUNING_VOICES, seeds, strict=True)
    sounds = [payload_set.speech(voice, random) for voice, random in pairs]
    return [payload_set.Sound("speech", "babble", sound / np.abs(sound).max()) for sound in sounds]


def _say(found: int, wrong: int, count: int) -> str:
    return f"{found} of {count} ({100 * found / count:.2f} %), {wrong}"


def _count_keys(
    levels: tuple[int, ...],
    twists: tuple[int, ...],
    lengths: tuple[int, ...],
    *,
    off: tuple[float, ...] = OFF,
    noise: tuple[str, int] | None = None,
) -> tuple[int, int, int]:
    """Return how many keys were found, how many others or doubles were, and how many there were."""
    random = np.random.default_rng([len(levels), len(lengths), noise[1] if noise else 0])
    voices = _make_voices() if noise is not None and noise[0] == "babble" else []
    found = wrong = count = 0
    for level in levels:
        for twist in twists:
            for ms in lengths:
                for each in off:
                    sound, right = _dial(random, level, twist, ms, each)
                    if noise is not None:
                        sound = _add_noise(sound, right, noise, voices, random)
                    heard = _hear(sound)
                    ours, others = _match(heard, right)
                    found, wrong, count = found + ours, wrong + others, count + len(right)
    return found, wrong, count


def _dial(
    random: np.random.Generator, level: int, twist: int, ms: int, off: float
) -> tuple[np.ndarray, list[tuple[str, float, float]]]:
    """Return the sixteen keys in any order, as samples, and each with its begin and end."""
    sound = np.zeros(0)
    right = []
    for number in random.permutation(16):
        row, column = divmod(int(number), 4)
        pause = np.zeros(int(random.integers(320, 900)))
        size = 8 * ms
        # Off both in the same direction, or one in each: two clocks, or one that is wrong.
        other = off * random.choice([-1, 1])
        low, high = (10 ** ((level + min(0, each)) / 20) for each in (-twist, twist))
        tone = sum(
            amplitude * np.sin(2 * np.pi * hz * np.arange(size) / 8000 + random.uniform(0, 7))
            for amplitude, hz in (
                (low, ROW_HZ[row] * (1 + off)),
                (high, COLUMN_HZ[column] * (1 + other)),
            )
        )
        ramp = int(random.integers(1, 32))  # 4 ms at most
        ends = np.minimum(1, np.minimum(np.arange(size), np.arange(size)[::-1]) / ramp)
        begin = (len(sound) + len(pause)) / 8000
        right.append((KEYS[row][column], begin, begin + ms / 1000))
        sound = np.concatenate([sound, pause, tone * ends])
    return np.concatenate([sound, np.zeros(800)]), right


def _add_noise(
    sound: np.ndarray,
    right: list[tuple[str, float, float]],
    noise: tuple[str, int],
    voices: list[payload_set.Sound],
    random: np.random.Generator,
) -> np.ndarray:
    colour, below = noise
    tones = np.concatenate([sound[int(8000 * begin) : int(8000 * end)] for _, begin, end in right])
    added = make_noise(colour, len(sound), voices, random)
    level = np.sqrt(np.mean(tones**2) / np.mean(added**2)) * 10 ** (-below / 20)
    return sound + level * added


def _match(tones: list[Tone], right: list[tuple[str, float, float]]) -> tuple[int, int]:
    """Return how many of `right` were found, and how many keys were reported beside them."""
    keys = [tone for tone in tones if tone.kind == "key"]
    ours = 0
    for key, begin, end in right:
        at = [tone for tone in keys if tone.begin < end and tone.end > begin]
        ours += len(at) == 1 and at[0].key == key
    return ours, len(keys) - ours


def _hear(sound: np.ndarray) -> list[Tone]:
    samples = np.rint(32767 * sound).clip(-32768, 32767).astype(np.int16)
    return find_tones(encode_ulaw(samples))


def _measure_beeps(*, tiny: bool) -> Iterator[Figure]:
    random = np.random.default_rng(7)
    for noise in (None, ("white", 20), ("white", 10), ("pink", 10))[: 1 if tiny else 4]:
        found = others = count = 0
        for level in LEVELS[:1] if tiny else LEVELS:
            for ms in BEEP_LENGTHS_MS[:1] if tiny else BEEP_LENGTHS_MS:
                for hz in (400, 425, 440, 500, 620, 800, 950, 1000, 1400, 1633, 2000):
                    before = int(random.integers(800, 1600))
                    wave = np.sin(2 * np.pi * hz * np.arange(8 * ms) / 8000 + random.uniform(0, 7))
                    sound = np.concatenate(
                        [np.zeros(before), wave * 10 ** (level / 20), np.zeros(1600)]
                    )
                    right = [("", before / 8000, before / 8000 + ms / 1000)]
                    if noise is not None:
                        sound = _add_noise(sound, right, noise, [], random)
                    tones = _hear(sound)
                    ours = [
                        tone
                        for tone in tones
                        if tone.kind == "beep"
                        and abs(tone.hz[0] - hz) < 10
                        and abs(tone.begin - right[0][1]) < 0.02
                        and abs(tone.end - right[0][2]) < 0.02
                    ]
                    found += bool(ours)
                    others += len(tones) - len(ours)
                    count += 1
        said = "no noise" if noise is None else f"{noise[1]} dB above {noise[0]} noise"
        reached = found >= 0.99 * count if noise is None else None
        aim = "≥ 99 %" if noise is None else ""
        yield Figure(f"beeps, {said}: found, wrong", _say(found, others, count), aim, reached)


def _measure_speech(*, tiny: bool) -> Iterator[Figure]:
    seconds = keys = beeps = 0.0
    spent = 0.0
    for sound in make_hour(seconds=20 if tiny else 3600):
        payload = encode_ulaw(sound)
        began = time.process_time()
        detector = ToneDetector()
        tones = []
        for at in range(0, len(payload), 160):
            tones += detector.feed(payload[at : at + 160])
        tones += detector.finish()
        spent += time.process_time() - began
        seconds += len(sound) / 8000
        keys += sum(tone.kind == "key" for tone in tones)
        beeps += sum(tone.kind == "beep" for tone in tones)
    said = f"{seconds / 60:.0f} min of speech and music"
    yield Figure(f"{said}: false keys", f"{keys:.0f}", "≤ 1", keys <= 1)
    yield Figure(f"{said}: steady tones taken for beeps", f"{beeps:.0f}")
    yield Figure("CPU for a frame of them", f"{1e6 * spent / seconds / 50:.0f} µs")


def make_hour(*, seconds: float, seed: int = 0) -> Iterator[np.ndarray]:
    """Yield speech of all voices and music, alone and mixed, int16 at 8000 Hz.

    The recorded voices are played at several rates, which changes pitch and tempo; the synthetic
    ones say other syllables each time, and the music has other notes.
    """
    random = np.random.default_rng([seed, 11])
    recorded = [payload_set.load_speech(name) for name in payload_set.RECORDED]
    voices = [*payload_set.TUNING_VOICES, *payload_set.HELD_OUT_VOICES]
    made, take = 0.0, 0
    while made < seconds:
        take += 1
        rate = float(random.uniform(0.7, 1.45))
        kind = take % 4
        if kind == 0:
            voice = voices[int(random.integers(len(voices)))]
            voice = voice._replace(pitch=voice.pitch * rate, tempo=random.uniform(3, 7))
            sound = payload_set.speech(voice, random, 8.0)
        elif kind == 1:
            one = recorded[int(random.integers(len(recorded)))].samples
            sound = soxr.resample(one, payload_set.RATE * rate, payload_set.RATE)
        else:
            sound = payload_set.music(random)
            sound = soxr.resample(sound, payload_set.RATE * rate, payload_set.RATE)
            if kind == 3:
                one = recorded[int(random.integers(len(recorded)))].samples
                size = min(len(sound), len(one))
                shares = 10 ** (random.uniform(MIXED_DB, -MIXED_DB) / 20)
                sound = _scale(sound[:size]) + shares * _scale(one[:size])
        samples = soxr.resample(sound, payload_set.RATE, 8000)
        level = 10 ** (random.uniform(-30, 0) / 20)
        samples = np.rint(32767 * level * samples / np.abs(samples).max()).astype(np.int16)
        made += len(samples) / 8000
        yield samples


def _scale(sound: np.ndarray) -> np.ndarray:
    return sound / np.sqrt(np.mean(sound**2))
