"""Our detector of speech beside WebRTC's, on sound whose begin and end are known.

Speech, music and tones at five levels, in silence and in noise; the noise lasts through the whole
call.  What is right is the clean sound: its first and its last frame above -50 dBFS.  Levels are
those of the loudest sample; noise is relative to the level of the audible part.  Both detectors
begin after 60 ms and end after the same pause.

python benchmarks/run.py speech    the table; `webrtcvad-wheels` must be installed
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import payload_set
from measuring import Figure, percentile

from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.diagnosis.speech import (
    BEGIN_MS,
    PAUSE_MS,
    SpeechSpan,
    find_audible,
    find_speech,
)
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS

FRAME = FRAME_BYTES
BEFORE, AFTER = 2.0, 2.0
"""Seconds of the call before the sound, at least, and after it."""

NOISES = (20, 10, 5)
"""How far the noise is below the sound, in dB."""

KINDS = ("speech", "music", "tones")
COLOURS = ("white", "pink", "babble")

WITH_AIM = {f"speech in silence, {level} dB" for level in (-6, -12, -20, -30)}

Detector = Callable[[bytes], list[SpeechSpan]]


@dataclass
class Errors:
    """How far a detector was off under one condition, in milliseconds."""

    begins: list[float] = field(default_factory=list)
    ends: list[float] = field(default_factory=list)
    missed: int = 0
    false: int = 0
    trials: int = 0

    def describe(self) -> str:
        """Return median and 99th percentile of both, missed and false ones, in words."""
        said = []
        for name, values in (("begin", self.begins), ("end", self.ends)):
            sizes = [abs(value) for value in values]
            if sizes:
                middle, most = percentile(sizes, 0.5), percentile(sizes, 0.99)
                said.append(f"{name} {middle:.0f} / {most:.0f} ms")
        return ", ".join([*said, f"missed {self.missed}, false {self.false} of {self.trials}"])


def measure(*, tiny: bool = False) -> list[Figure]:
    """Compare the detectors under each condition."""
    detectors: dict[str, Detector] = {"ours": find_speech}
    figures = []
    if importlib.util.find_spec("webrtcvad") is None:
        figures.append(Figure("speech, WebRTC's", "left out: webrtcvad-wheels is not installed"))
    else:
        modes = (3,) if tiny else (0, 1, 2, 3)
        detectors |= {f"WebRTC's, mode {mode}": _WebrtcDetector(mode) for mode in modes}
    found: dict[tuple[str, str], Errors] = {}
    spent = dict.fromkeys(detectors, 0.0)
    frames = 0
    for condition, clean, heard in _list_trials(tiny=tiny):
        right = find_audible(clean)
        frames += len(heard) // FRAME
        if right is None:
            continue
        for name, detector in detectors.items():
            began = time.process_time()
            spans = detector(heard)
            spent[name] += time.process_time() - began
            _compare(found.setdefault((condition, name), Errors()), spans, right)
    for (condition, name), errors in found.items():
        aim, reached = "", None
        if name == "ours" and condition in WITH_AIM:
            aim = "begin ≤ 20 / 40 ms"
            reached = _is_within(errors.begins, 20, 40) and not errors.missed + errors.false
        figures.append(Figure(f"{condition}: {name}", errors.describe(), aim, reached))
    for name, seconds in spent.items():
        figures.append(Figure(f"CPU for a frame: {name}", f"{1e6 * seconds / frames:.1f} µs"))
    return figures


def _is_within(values: list[float], middle: float, most: float) -> bool:
    sizes = [abs(value) for value in values]
    return percentile(sizes, 0.5) <= middle and percentile(sizes, 0.99) <= most


def _compare(errors: Errors, spans: list[SpeechSpan], right: SpeechSpan) -> None:
    errors.trials += 1
    ours = [span for span in spans if span.first < right.end and span.end > right.first]
    errors.false += len(spans) - len(ours)
    if not ours:
        errors.missed += 1
        return
    errors.begins.append((ours[0].first - right.first) * PTIME_MS)
    errors.ends.append((ours[-1].end - right.end) * PTIME_MS)


def _list_trials(*, tiny: bool) -> Iterator[tuple[str, bytes, bytes]]:
    """Yield the condition of each trial, the clean call, and what is heard; sorted."""
    sounds = [sound for sound in payload_set.held_out() if sound.kind in KINDS]
    voices = [sound for sound in payload_set.tuning() if sound.kind == "speech"]
    levels: tuple[int, ...] = payload_set.LEVELS
    noises = [None, *((below, colour) for colour in COLOURS for below in NOISES)]
    if tiny:
        sounds, levels, noises = [sounds[0], sounds[-1]], (-20,), [None, (10, "white")]
    for kind in KINDS:
        for noise in noises:
            for level in levels:
                for number, sound in enumerate(sounds):
                    if sound.kind != kind:
                        continue
                    random = np.random.default_rng([number, -level])
                    clean = heard = _place(payload_set.at_level(sound, level), random)
                    condition = f"{kind} in silence, {level} dB"
                    if noise is not None:
                        below, colour = noise
                        heard = mix(clean, make_noise(colour, len(clean), voices, random), below)
                        condition = f"{kind} {below} dB above {colour} noise, all levels"
                    yield condition, encode_ulaw(clean), encode_ulaw(heard)


def _place(sound: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return a call in which a sound begins anywhere within a frame."""
    before = round(8000 * BEFORE) + int(random.integers(0, 8000))
    call = np.concatenate([np.zeros(before), sound, np.zeros(round(8000 * AFTER))])
    return call[: len(call) // FRAME * FRAME].astype(np.int16)


def mix(clean: np.ndarray, noise: np.ndarray, below_db: float) -> np.ndarray:
    audible = find_audible(encode_ulaw(clean))
    if audible is None:
        return clean
    part = clean[audible.first * FRAME : audible.end * FRAME].astype(float)
    level = np.sqrt(np.mean(part**2)) * 10 ** (-below_db / 20)
    mixed = clean + noise * (level / np.sqrt(np.mean(noise**2)))
    return np.rint(mixed.clip(-32768, 32767)).astype(np.int16)


def make_noise(
    colour: str, n: int, voices: list[payload_set.Sound], random: np.random.Generator
) -> np.ndarray:
    if colour == "babble":  # six voices at once
        parts = [payload_set.at_level(voice, -12).astype(float) for voice in voices]
        return sum(np.roll(np.resize(part, n), int(random.integers(n))) for part in parts)
    hertz = np.fft.rfftfreq(n, 1 / 8000)
    hertz[0] = hertz[1]
    spectrum = np.fft.rfft(random.normal(0, 1, n))
    if colour == "pink":
        spectrum = spectrum / np.sqrt(hertz) * (hertz > 50)
    return np.fft.irfft(spectrum, n)


class _WebrtcDetector:
    """WebRTC's detector, which says of each frame whether it is speech, with our begin and end.

    Args:
        mode: How much it takes for noise, 0 to 3.
    """

    def __init__(self, mode: int) -> None:
        self._mode = mode

    def __call__(self, payload: bytes) -> list[SpeechSpan]:
        """Return the speech in a call."""
        import webrtcvad

        detector = webrtcvad.Vad(self._mode)
        least, pause = BEGIN_MS // PTIME_MS, PAUSE_MS // PTIME_MS
        spans: list[SpeechSpan] = []
        count = first = last = 0
        is_speaking = False
        for number in range(len(payload) // FRAME):
            frame = decode_ulaw(payload[number * FRAME : (number + 1) * FRAME])
            is_speech = detector.is_speech(frame.tobytes(), 8000)
            if is_speaking:
                last = number + 1 if is_speech else last
                if number + 1 - last >= pause:
                    spans.append(SpeechSpan(first, last))
                    is_speaking, count = False, 0
                continue
            if is_speech and not count:
                first = number
            count = max(0, count + (1 if is_speech else -1))
            if count >= least:
                is_speaking, last = True, number + 1
        if is_speaking:
            spans.append(SpeechSpan(first, last))
        return spans
