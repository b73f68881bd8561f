"""The profiles of `kit.Line`: each parameter measured from outside, and what a frame costs.

A parameter is measured by itself, with the others switched off, in the sound and the times that
come out: nothing is read from the line but its parameters.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
from measuring import Figure
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.simulator.line._parameters import PRESETS
from twistream_kit.simulator.line.line import Line

SILENT = b"\xff" * 160

UNTOUCHED = slice(80, 130)
"""The bytes of a frame that came which no joint with a concealed neighbour changes."""

OFF = {
    "loss": 0.0,
    "jitter_ms": 0.0,
    "bunching": 0.0,
    "delay_ms": 0.0,
    "snr_db": math.inf,
    "gain_db": 0.0,
    "clipping_db": 0.0,
    "echo_db": -math.inf,
}
"""Each parameter that does something, and how it does nothing."""

AIM = "± 5 %"

Measured = tuple[str, float, float, str]
"""A parameter, what was measured, what was asked, and the unit."""


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure a million frames of each profile, and time ten thousand."""
    frames, rounds = (20_000, 1) if tiny else (1_000_000, 9)
    figures = []
    for preset in PRESETS:
        line = Line(preset, seed=1)
        for name, found, asked, unit in _measure_all(line, frames):
            is_near = abs(found - asked) <= 0.05 * abs(asked)
            said = f"{found:.4g}{unit} (asked {asked:g})"
            figures.append(Figure(f"{preset}: {name}", said, AIM, is_near))
        figures.append(_measure_cost(line, rounds))
    return figures


def _measure_all(line: Line, frames: int) -> list[Measured]:
    found: list[Measured] = []
    if line.loss:
        share, mean = _measure_losses(_only(line, "loss"), frames)
        found += [("loss", 100 * share, 100 * line.loss, " %"), ("burst", mean, line.burst, "")]
    if line.jitter_ms:
        late = _only(line, "jitter_ms").arrivals(frames)
        found.append(("jitter", float(late.mean()), line.jitter_ms, " ms"))
    if line.bunching:
        share, mean = _measure_bunches(_only(line, "bunching"), frames)
        found += [("bunching", 100 * share, 100 * line.bunching, " %")]
        found += [("bunch", mean, line.bunch, "")]
    if line.delay_ms:
        found.append(("delay", _measure_delay(_only(line, "delay_ms")), line.delay_ms, " ms"))
    if line.gain_db:
        gain = _measure_gain(_only(line, "gain_db"))
        found.append(("level, as a factor", gain, 10 ** (line.gain_db / 20), ""))
    if math.isfinite(line.snr_db):
        ratio = _measure_noise(_only(line, "snr_db"), frames)
        found.append(("speech to noise, as a factor", ratio, 10 ** (line.snr_db / 20), ""))
    if line.clipping_db:
        limit = _measure_limit(_only(line, "clipping_db"))
        found.append(("clipping, of full scale", limit, 10 ** (line.clipping_db / 20), ""))
    if line.has_echo:
        level, late_ms = _measure_echo(_only(line, "echo_db"))
        found.append(("echo, as a factor", level, 10 ** (line.echo_db / 20), ""))
        found.append(("echo, delay", late_ms, line.echo_ms, " ms"))
    return found


def _only(line: Line, name: str) -> Line:
    """Return a line that does one thing of what a line does."""
    return replace(line, **{each: off for each, off in OFF.items() if each != name})


def _measure_losses(line: Line, frames: int) -> tuple[float, float]:
    """Return the share of frames that were replaced, and how many at a time."""
    random = np.random.default_rng(3)
    # Not 0x7F, the second zero of μ-law, which becomes the first where a joint is made.
    codes = random.integers(0x80, 0x100, (61, 160), np.uint8)
    sound = [row.tobytes() for row in codes]
    stream = line.open()
    is_lost = np.zeros(frames, bool)
    for n in range(frames):
        frame = sound[n % len(sound)]
        is_lost[n] = stream.take(frame)[UNTOUCHED] != frame[UNTOUCHED]
    begins = np.count_nonzero(is_lost[1:] & ~is_lost[:-1]) + int(is_lost[0])
    return float(is_lost.mean()), float(is_lost.sum() / begins)


def _measure_bunches(line: Line, frames: int) -> tuple[float, float]:
    """Return the share of frames that came with another one, and how many together."""
    come = np.round(line.arrivals(frames) + 20.0 * np.arange(frames), 3)
    _, sizes = np.unique(come, return_counts=True)
    bunches = sizes[sizes > 1]
    return float(bunches.sum() / frames), float(bunches.mean())


def _measure_delay(line: Line) -> float:
    """Return after how many milliseconds a first loud sample comes out."""
    clip = line.apply(Clip(b"\x80" + b"\xff" * 7999))
    return float(np.argmax(np.abs(clip.samples().astype(int)))) / 8


def _measure_gain(line: Line) -> float:
    tone = Clip.tone(440, 10.0, level_db=-12)
    return _rms(line.apply(tone).samples()) / _rms(tone.samples())


def _measure_noise(line: Line, frames: int) -> float:
    """Return the level of speech over that of the noise beside it."""
    speech_db, stream, power = -15.0, line.open(speech_db=-15.0), 0.0
    for _ in range(frames // 1000):
        sound = b"".join(stream.take(SILENT) for _ in range(1000))
        power += _rms(decode_ulaw(sound)) ** 2
    noise = math.sqrt(power / (frames // 1000))
    return 32768 * 10 ** (speech_db / 20) / noise


def _measure_limit(line: Line) -> float:
    loud = line.apply(Clip.tone(440, 1.0, level_db=0)).samples()
    return float(np.abs(loud.astype(int)).max()) / 32768


def _measure_echo(line: Line) -> tuple[float, float]:
    """Return the level of the echo of a tone, and after how many milliseconds it comes."""
    tone = Clip.tone(440, 5.0, level_db=-6)
    out = line.apply(Clip.silence(6.0), heard=tone).samples()
    level = _rms(out[: 8 * 5500]) / _rms(np.r_[tone.samples(), np.zeros(4000)])
    click = line.apply(Clip.silence(1.0), heard=Clip(b"\x80" + b"\xff" * 7999)).samples()
    return level, float(np.argmax(np.abs(click.astype(int)))) / 8


def _measure_cost(line: Line, rounds: int) -> Figure:
    """Time the frames of a question that is asked again and again, with an answer in the ear."""
    folder = Path(__file__).parent.parent / "sample_audio"
    said = load_clip(folder / "question.wav").frames() * 48
    heard = (load_clip(folder / "reply.wav").frames() * 103)[: len(said)]
    costs = []
    for _ in range(rounds):
        take = line.open(speech_db=-15).take
        costs.append(_time(lambda take=take: [*map(take, said, heard)]) / len(said) * 1e6)
    cost = statistics.median(costs)
    return Figure(f"{line.preset}: cost of a frame", f"{cost:.1f} µs", "≤ 20 µs", cost <= 20)


def _time(function: Callable[[], object]) -> float:
    """Return the CPU time of a function: other programs may run beside it."""
    started = time.process_time()
    function()
    return time.process_time() - started


def _rms(samples: NDArray[np.int16] | NDArray[np.float64]) -> float:
    return math.sqrt(float(np.mean(np.square(samples.astype(np.float64)))))
