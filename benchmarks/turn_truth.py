"""The turns of scripted calls, compared with the log of the server that was called.

`turn_server.py` answers after delays of 0 to 3 s and stops after 0 to 0.8 s, from a table and with
jitter.  The truth is when it wrote the first audible frame of its clean clip, and until when the
last one was heard; the caller's frames it recognises by their bytes.  All processes of a machine
read the same monotonic clock.

python benchmarks/run.py turns                       some calls under each condition, in minutes
python benchmarks/turn_truth.py --clean 1000         so many on clean speech: false and missed turns
python benchmarks/turn_truth.py --clean 100 --at-once 100    a hundred at once, own lateness beside
python benchmarks/turn_truth.py --same               twice the same script: the same to the frame
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import payload_set
from measuring import HERE, Figure, percentile
from speech_detectors import make_noise, mix

import twistream_kit as kit
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis.speech import find_audible
from twistream_kit.simulator import caller

FRAME = 160
DELAYS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.8, 1.2, 2.0, 3.0)
"""From the caller's end to the answer, in seconds."""

STOPS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.5, 0.8)
"""From the caller's begin to the server's end."""

JITTER = 0.1
"""Up to so much is added to each."""

INTO_ANSWER = 0.8
"""When the caller interrupts, counted from the begin of the answer."""

LEVELS = (-6, -12, -20, -30, -40)
TIMINGS = ("ahead", "paced")
RAMP_SECONDS = 0.05
"""Between the begins of two calls."""

AT_ONCE = 12
"""So many calls at once on two cores leave the simulator punctual."""


@dataclass(frozen=True)
class Condition:
    """What the server says, and how.

    Attributes:
        kind: ``speech``, ``music`` or ``tones``.
        level: Of the loudest sample, in dBFS.
        noise: How far the noise lies below the sound, in dB; None for silence.
    """

    kind: str = "speech"
    level: int = -12
    noise: int | None = None

    def __str__(self) -> str:
        around = "in silence" if self.noise is None else f"{self.noise} dB above noise"
        return f"{self.kind} at {self.level} dB, {around}"

    @property
    def has_aim(self) -> bool:
        """Whether a limit is set for it."""
        return self.kind == "speech" and self.level >= -30 and self.noise is None


@dataclass
class Errors:
    """How far the turns of some calls were from the truth, in milliseconds."""

    responses: list[float] = field(default_factory=list)
    barge_ins: list[float] = field(default_factory=list)
    no_response: int = 0
    no_barge_in: int = 0
    false_turns: int = 0
    missed_turns: int = 0
    calls: int = 0
    late_ms: list[float] = field(default_factory=list)

    def add(self, report: kit.CallReport, log: dict[str, Any]) -> None:
        """Compare the turns of a call with the log of the server."""
        self.calls += 1
        self.late_ms.append(report.lateness.p99_ms)
        turns = report.turns
        answers = [each for each in log["answers"] if each["began"] is not None]
        ends = [log["question"][0][1], log["stop"][0][1]]
        found = sum(turn.who == "server" for turn in turns)
        self.false_turns += max(0, found - len(answers))
        self.missed_turns += max(0, len(answers) - found)
        measured = turns.response_ms.values
        for place, answer in enumerate(answers):
            true = 1000 * (answer["began"] - ends[place]) - 20
            if place < len(measured) and np.isfinite(measured[place]):
                self.responses.append(measured[place] - true)
            else:
                self.no_response += 1
        if answers and answers[0]["ended"] is not None:
            true = 1000 * (answers[0]["ended"] - log["stop"][0][0])
            values = turns.barge_in_ms.values
            if values and np.isfinite(values[0]):
                self.barge_ins.append(values[0] - true)
            elif true > 0:
                self.no_barge_in += 1

    def list_figures(self, what: str, *, has_aim: bool) -> Iterator[Figure]:
        """Yield what was found under a condition."""
        for name, values, missing in (
            ("response", self.responses, self.no_response),
            ("barge-in", self.barge_ins, self.no_barge_in),
        ):
            sizes = [abs(value) for value in values] or [float("inf")]
            middle, most = percentile(sizes, 0.5), percentile(sizes, 0.99)
            signed = np.mean(values) if values else 0.0
            text = f"{middle:.0f} / {most:.0f} ms (mean {signed:+.0f}), not found {missing}"
            reached = middle <= 20 and most <= 40 if has_aim else None
            aim = "≤ 20 / 40 ms" if has_aim else ""
            yield Figure(f"{what}: error of {name}, {len(values)}", text, aim, reached)
        text = f"false {self.false_turns}, missed {self.missed_turns}"
        yield Figure(f"{what}: turns of {self.calls} calls", text)
        late = percentile(self.late_ms, 0.5), max(self.late_ms)
        text = f"p99 of a call {late[0]:.1f} ms, at most {late[1]:.1f} ms"
        yield Figure(f"{what}: own lateness", text)


def measure(*, tiny: bool = False) -> list[Figure]:
    """Compare under each condition, then the same script twice."""
    if tiny:
        conditions, calls = [Condition()], 2
    else:
        conditions = [
            *(Condition(level=level) for level in LEVELS),
            *(Condition(level=level, noise=noise) for noise in (20, 10, 5) for level in LEVELS),
            *(Condition(kind) for kind in ("music", "tones")),
        ]
        calls = 24
    with _server() as server:
        figures = []
        for condition in conditions:
            errors = server.run(condition, calls, AT_ONCE, tiny=tiny)
            figures += errors.list_figures(str(condition), has_aim=condition.has_aim)
        return [*figures, server.compare_twice(tiny=tiny)]


class _Server:
    """The server's process, the folder with its clips, and its log."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._url = f"ws://127.0.0.1:{process.stdout.readline().strip()}/media"
        self._trials = 0
        self._logs: dict[str, dict[str, Any]] = {}
        self._question, self._stop = (
            kit.Clip((folder / f"{name}.ulaw").read_bytes()) for name in ("question", "stop")
        )

    def run(self, condition: Condition, calls: int, at_once: int, *, tiny: bool = False) -> Errors:
        """Make calls under a condition, so many at a time; return how far their turns were off."""
        errors = Errors()
        for first in range(0, calls, at_once):
            numbers = range(first, min(first + at_once, calls))
            started = []
            for number in numbers:
                started.append(self._start(condition, number, tiny=tiny))
                time.sleep(RAMP_SECONDS)
            # All have ended before the first is measured, which would make the others late.
            reports = [(trial, pending.result(120)) for trial, pending in started]
            for trial, report in reports:
                errors.add(report, self._read_log(trial))
        return errors

    def compare_twice(self, *, tiny: bool = False) -> Figure:
        """Make calls to the server that counts frames, each twice; count those that differ."""
        calls, rounds = 2 if tiny else 24, []
        for _ in range(2):
            rows = []
            for first in range(0, calls, AT_ONCE):
                numbers = range(first, min(first + AT_ONCE, calls))
                started = [
                    self._start(Condition(), number, timing="frames", tiny=tiny)
                    for number in numbers
                ]
                for trial, pending in started:
                    rows.append(pending.result(120).turns.rows)
                    self._read_log(trial)
            rounds.append(rows)
        differ = sum(one != other for one, other in zip(*rounds, strict=True))
        what = f"the same script twice, {calls} times, to a server that counts frames"
        return Figure(what, f"{differ} differ", "0 differ", differ == 0)

    def _start(
        self, condition: Condition, number: int, *, timing: str = "", tiny: bool = False
    ) -> tuple[str, kit.Pending[kit.CallReport]]:
        self._trials += 1
        trial = f"{self._trials}"
        random = np.random.default_rng([number, -condition.level, condition.noise or 0])
        delays = [DELAYS[(number + 4 * n) % len(DELAYS)] for n in range(2)]
        stop = STOPS[number % len(STOPS)]
        if tiny:
            delays, stop = [0.2, 0.1], 0.1
        delays = [delay + random.uniform(0, JITTER) for delay in delays]
        stop += random.uniform(0, JITTER)
        if not timing:
            timing = "paced" if condition.noise is not None else TIMINGS[number % 2]
        parameters = {
            "trial": trial,
            "timing": timing,
            "delays": json.dumps(delays),
            "stops": json.dumps([stop]),
            "answers": json.dumps([self._make_answer(condition, number + n) for n in range(2)]),
        }
        script = [
            caller.wait(0.5),
            caller.say(self._question),
            caller.wait(delays[0] + INTO_ANSWER),
            caller.say(self._stop),
            caller.wait(delays[1] + (1.0 if tiny else 5.0)),
            caller.hang_up(),
        ]
        return trial, kit.simulate_call(self._url, script=script, parameters=parameters)

    def _make_answer(self, condition: Condition, number: int) -> tuple[str, str, str]:
        """Write the files of an answer; return the names of the clean one, the other, the noise."""
        names = [f"{condition} {number % 8} {part}.ulaw" for part in ("clean", "sent", "noise")]
        paths = [self._folder / name for name in names]
        if not paths[0].exists():
            clean = _find_sound(condition.kind, condition.level, number % 8)
            sent, noise = clean, b""
            if condition.noise is not None:
                random = np.random.default_rng(number)
                around = make_noise("white", 8 * len(clean), [], random)
                mixed = mix(np.resize(clean, 8 * len(clean)), around, condition.noise)
                sent = mixed[: len(clean)]
                rest = mixed[len(clean) :].astype(int)
                rest -= np.resize(clean, len(rest))
                noise = encode_ulaw(rest.clip(-32768, 32767).astype(np.int16))
            paths[1].write_bytes(encode_ulaw(sent))
            paths[2].write_bytes(noise)
            paths[0].write_bytes(encode_ulaw(clean))
        return names[0], names[1], names[2] if condition.noise is not None else ""

    def _read_log(self, trial: str) -> dict[str, Any]:
        """Return what the server logged of a call."""
        while trial not in self._logs:
            line = json.loads(self._process.stdout.readline())
            self._logs[line["trial"]] = line
        return self._logs.pop(trial)


def _find_sound(kind: str, level: int, number: int) -> np.ndarray:
    """Return a sound of a kind from its first audible frame to its last, which all have."""
    sounds = _list_sounds(kind)
    samples = payload_set.at_level(sounds[number % len(sounds)], level)
    audible = find_audible(encode_ulaw(samples))
    if audible is None:
        raise ValueError(f"{kind} at {level} dB has no frame above -50 dBFS")
    return samples[audible.first * FRAME : audible.end * FRAME]


@cache
def _list_sounds(kind: str) -> list[payload_set.Sound]:
    return [sound for sound in payload_set.held_out() if sound.kind == kind]


@contextmanager
def _server() -> Iterator[_Server]:
    with tempfile.TemporaryDirectory(prefix="turns-") as name:
        folder = Path(name)
        question = kit.load_clip(HERE.parent / "sample_audio" / "question.wav")
        reply = kit.load_clip(HERE.parent / "sample_audio" / "reply.wav")
        (folder / "question.ulaw").write_bytes(_trim(question)[: 8000 * 2])
        (folder / "stop.ulaw").write_bytes(_trim(reply)[: 8000 * 2])
        command = [sys.executable, str(HERE / "turn_server.py"), name]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        try:
            yield _Server(process, folder)
        finally:
            with suppress(OSError):
                process.stdin.close()
            process.wait(10)


def _trim(clip: kit.Clip) -> bytes:
    audible = find_audible(clip.payload)
    return clip.payload[audible.first * FRAME : audible.end * FRAME]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs that take long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clean", type=int, default=0, metavar="CALLS", help="on clean speech")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="CALLS")
    parser.add_argument("--level", type=int, default=-12, metavar="DB")
    parser.add_argument("--same", action="store_true", help="the same script twice")
    chosen = parser.parse_args(arguments)
    figures: list[Figure] = []
    with _server() as server:
        if chosen.clean:
            condition = Condition(level=chosen.level)
            errors = server.run(condition, chosen.clean, chosen.at_once)
            figures += errors.list_figures(str(condition), has_aim=condition.has_aim)
        if chosen.same:
            figures.append(server.compare_twice())
    _print(figures)


def _print(figures: Iterable[Figure]) -> None:
    for figure in figures:
        reached = {True: ": reached", False: ": NOT reached", None: ""}[figure.reached]
        aim = f"  (aim {figure.aim}{reached})" if figure.aim else ""
        print(f"{figure.what}: {figure.figure}{aim}", flush=True)


if __name__ == "__main__":
    main()
