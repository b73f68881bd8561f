"""The turns of scripted calls, compared with the log of the server that was called.

`turn_server.py` answers after delays of 0 to 3 s and stops after 0 to 0.8 s, from a table and with
jitter.  The truth is when it wrote the first audible frame of its clean clip, and until when the
last one was heard; the caller's frames it recognises by their bytes.  All processes of a machine
read the same monotonic clock.

Where a clear falls into the only audible frame after a pause of the speech, the server cannot know
whether that frame was begun at the ear: there are two true ends then, the nearer one counts, and
the errors with the later one stand beside the figures.

A call is invalid if the simulator or the server was late itself, each by its own measurement: the
99th percentile of the lateness of its frames, or of its loop while the call lasted, exceeds
`LATE_MS`.  Invalid calls are counted with the reason; the figures of all calls stand beside those
of the valid ones.

python benchmarks/run.py turns                       some calls under each condition, in minutes
python benchmarks/turn_truth.py --clean 1000 --at-once 50     on clean speech, so many at a time
python benchmarks/turn_truth.py --clean 100 --at-once 100     a hundred at once, in one process
    --processes 4       the callers in so many processes
    --log calls.jsonl   a line for each call; a call that is in the file is not made again
python benchmarks/turn_truth.py --same --at-once 100   the same script twice: the same to the frame
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import payload_set
from measuring import HERE, Figure, percentile
from speech_detectors import make_noise, mix
from turn_errors import INTO_ANSWER, LEVELS, Condition

import twistream_kit as kit
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis.speech import find_audible
from twistream_kit.simulator import caller

FRAME = 160
DELAYS = (0.0, 0.1, 0.2, 0.35, 0.5, 0.8, 1.2, 2.0, 3.0)
"""From the caller's end to the answer, in seconds."""

STOPS = (0.0, 0.06, 0.12, 0.2, 0.3, 0.5, 0.8)
"""From the caller's begin to the server's end."""

CHUNK = 200
"""About so many calls are made between two looks at the log of the server."""

JITTER = 0.1
"""Up to so much is added to each."""

TIMINGS = ("ahead", "paced")
RAMP_SECONDS = 0.02
"""Between the beginnings of the first calls."""

AT_ONCE = 12
"""So many calls at a time, if nothing else is said."""

LATE_MS = 10.0
"""Half a frame.  A call is invalid if simulator or server was later in one of 100 frames."""


@dataclass
class Trial:
    """One call: how far its turns were from the truth, and how late everybody was.

    Attributes:
        number: Its number, which decides the delays.
        responses: The errors of the response times, in milliseconds.
        barge_ins: The errors of the barge-in times.
        later_ends: The same with the later of two true ends, where there are two.
        own_ms: The lateness of the simulator's frames: median, 99th percentile, worst.
        server_ms: The same of the server's loop.
        failure: Why there was no report, or empty.
    """

    number: int
    responses: list[float] = field(default_factory=list)
    barge_ins: list[float] = field(default_factory=list)
    later_ends: list[float] = field(default_factory=list)
    no_response: int = 0
    no_barge_in: int = 0
    false_turns: int = 0
    missed_turns: int = 0
    own_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    failure: str = ""

    def explain_invalid(self, late_ms: float = LATE_MS) -> str:
        """Return the reason why it does not count, or empty."""
        if self.failure:
            return f"no report ({self.failure})"
        late = [("the simulator", self.own_ms), ("the server", self.server_ms)]
        names = [name for name, lateness in late if lateness[1] > late_ms]
        return f"{' and '.join(names)} late by over {late_ms:g} ms" if names else ""


@dataclass(frozen=True)
class Measured:
    """What a process of callers measured in one call, before it is compared with the truth."""

    trial: str
    found: int
    responses: list[float]
    barge_ins: list[float]
    own_ms: list[float]
    rows: str
    failure: str = ""


@dataclass(frozen=True)
class Plan:
    """One call that is to be made; what a process of callers has to know.

    Attributes:
        trial: Its name in the log of the server.
        number: Its number.
        waits: The seconds that the caller waits before he interrupts, and at the end.
        parameters: What the server is told.
    """

    trial: str
    number: int
    waits: tuple[float, float]
    parameters: dict[str, str]


def drive(url: str, folder: Path, plans: Sequence[Plan], at_once: int) -> list[Measured]:
    """Make calls, so many at a time; the whole work of a process of callers."""
    return asyncio.run(_drive(url, folder, plans, at_once))


async def _drive(url: str, folder: Path, plans: Sequence[Plan], at_once: int) -> list[Measured]:
    places = asyncio.Semaphore(at_once)
    question, stop = (
        kit.Clip((folder / f"{name}.ulaw").read_bytes()) for name in ("question", "stop")
    )

    async def call(number: int, plan: Plan) -> kit.CallReport | kit.TwistreamError:
        script = [
            caller.wait(0.5),
            caller.say(question),
            caller.wait(plan.waits[0]),
            caller.say(stop),
            caller.wait(plan.waits[1]),
            caller.hang_up(),
        ]
        async with places:
            if number < at_once:
                await asyncio.sleep(number * RAMP_SECONDS)
            try:
                return await kit.simulate_call(url, script=script, parameters=plan.parameters)
            except kit.TwistreamError as error:
                return error

    reports = await asyncio.gather(*(call(number, plan) for number, plan in enumerate(plans)))
    # All have ended before the first is measured, which would make the others late.
    return [_measure(plan, report) for plan, report in zip(plans, reports, strict=True)]


def _measure(plan: Plan, report: kit.CallReport | kit.TwistreamError) -> Measured:
    if isinstance(report, kit.TwistreamError):
        return Measured(plan.trial, 0, [], [], [], "", type(report).__name__)
    turns, late = report.turns, report.lateness
    return Measured(
        plan.trial,
        sum(turn.who == "server" for turn in turns),
        list(turns.response_ms.values),
        list(turns.barge_in_ms.values),
        [late.p50_ms, late.p99_ms, late.max_ms],
        repr((turns.rows, [act.to_dict() for act in report.acts])),
    )


def compare(number: int, measured: Measured, log: dict[str, Any] | None) -> Trial:
    """Compare the turns of a call with the log of the server; None if it has none."""
    trial = Trial(number, own_ms=measured.own_ms, failure=measured.failure)
    if log is None or trial.failure:
        trial.failure = trial.failure or "the server has no log of it"
        return trial
    trial.server_ms = log["late_ms"]
    answers = [each for each in log["answers"] if each["began"] is not None]
    if len(log["question"]) != 1 or len(log["stop"]) != 1:
        trial.failure = "the server did not hear all that was said"
        return trial
    ends = [log["question"][0][1], log["stop"][0][1]]
    trial.false_turns = max(0, measured.found - len(answers))
    trial.missed_turns = max(0, len(answers) - measured.found)
    for place, answer in enumerate(answers):
        true = 1000 * (answer["began"] - ends[place]) - 20
        if place < len(measured.responses) and np.isfinite(measured.responses[place]):
            trial.responses.append(measured.responses[place] - true)
        else:
            trial.no_response += 1
    if answers and answers[0]["ended"] is not None:
        true = 1000 * (answers[0]["ended"] - log["stop"][0][0])
        if measured.barge_ins and np.isfinite(measured.barge_ins[0]):
            later = measured.barge_ins[0] - true
            trial.barge_ins.append(later)
            if (end := answers[0]["or_ended"]) is not None:
                earlier = measured.barge_ins[0] - 1000 * (end - log["stop"][0][0])
                trial.barge_ins[-1] = min(later, earlier, key=abs)
                trial.later_ends.append(later)
        elif true > 0:
            trial.no_barge_in = 1
    return trial


def list_figures(
    what: str, trials: Sequence[Trial], *, has_aim: bool, late_ms: float = LATE_MS
) -> Iterator[Figure]:
    """Yield what was found under a condition: the valid calls, then all, then who was late."""
    reasons = Counter(filter(None, (trial.explain_invalid(late_ms) for trial in trials)))
    valid = [trial for trial in trials if not trial.explain_invalid(late_ms)]
    heard = [trial for trial in trials if not trial.failure]
    n_invalid = sum(reasons.values())
    yield from _list_errors(what, valid, has_aim=has_aim)
    if n_invalid:
        yield from _list_errors(f"{what}, invalid calls too", heard, has_aim=False)
    why = "; ".join(f"{count}: {reason}" for reason, count in reasons.most_common())
    yield Figure(f"{what}: invalid calls of {len(trials)}", f"{n_invalid}{why and f' ({why})'}")
    for name, values in (
        ("own lateness", [trial.own_ms for trial in heard]),
        ("lateness of the server", [trial.server_ms for trial in heard]),
    ):
        yield Figure(f"{what}: {name}, of a call", _describe_lateness(values))


def _list_errors(what: str, trials: Sequence[Trial], *, has_aim: bool) -> Iterator[Figure]:
    for name, values, missing in (
        (
            "response",
            [value for trial in trials for value in trial.responses],
            sum(trial.no_response for trial in trials),
        ),
        (
            "barge-in",
            [value for trial in trials for value in trial.barge_ins],
            sum(trial.no_barge_in for trial in trials),
        ),
    ):
        sizes = [abs(value) for value in values] or [float("inf")]
        middle, most = percentile(sizes, 0.5), percentile(sizes, 0.99)
        signed = np.mean(values) if values else 0.0
        text = (
            f"{middle:.1f} / {most:.1f} ms, at most {max(sizes):.0f} "
            f"(mean {signed:+.1f}), not found {missing}"
        )
        reached = bool(values) and middle <= 20 and most <= 40 if has_aim else None
        aim = "≤ 20 / 40 ms" if has_aim else ""
        yield Figure(f"{what}: error of {name}, {len(values)}", text, aim, reached)
    if later := [value for trial in trials for value in trial.later_ends]:
        text = f"{len(later)}; errors with the later: {', '.join(f'{v:+.0f}' for v in later)} ms"
        yield Figure(f"{what}: barge-ins with two true ends", text)
    false, missed = (
        sum(getattr(trial, name) for trial in trials) for name in ("false_turns", "missed_turns")
    )
    may_be = max(2, 2 * len(trials) // 1000)
    aim = f"≤ {may_be} / {may_be}" if has_aim else ""
    yield Figure(
        f"{what}: turns of {len(trials)} calls",
        f"false {false}, missed {missed}",
        aim,
        bool(trials) and max(false, missed) <= may_be if has_aim else None,
    )


def _describe_lateness(values: Sequence[Sequence[float]]) -> str:
    if not values:
        return "no call"
    middle, most, worst = zip(*values, strict=True)
    return (
        f"median {percentile(list(middle), 0.5):.1f} ms, "
        f"p99 {percentile(list(most), 0.5):.1f} ms (worst call {max(most):.1f}), "
        f"at most {max(worst):.1f} ms"
    )


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
            trials = server.run(condition, range(calls), AT_ONCE, tiny=tiny)
            figures += list_figures(str(condition), trials, has_aim=condition.has_aim)
        return [*figures, *server.compare_twice(2 if tiny else 20, AT_ONCE, tiny=tiny)]


class _Seen:
    """A call to the server that counts frames, with the lateness of both sides."""

    def __init__(self, measured: Measured, log: dict[str, Any]) -> None:
        self.rows = measured.rows
        self.own_ms = measured.own_ms
        self.server_ms = log["late_ms"]

    @property
    def is_undisturbed(self) -> bool:
        """Whether nobody was ever so late that an answer could have come a frame later."""
        return self.own_ms[2] + self.server_ms[2] < LATE_MS


class _Server:
    """The server's process, the folder with its clips, and its log."""

    def __init__(self, process: subprocess.Popen[str], folder: Path) -> None:
        self._process = process
        self._folder = folder
        self._url = f"ws://127.0.0.1:{process.stdout.readline().strip()}/media"
        self._trials = 0
        self._logs: dict[str, dict[str, Any]] = {}
        self._lines: SimpleQueue[str] = SimpleQueue()
        # Read at once: a server whose pipe is full stands still.
        self._reader = threading.Thread(target=self._read_lines, daemon=True)
        self._reader.start()

    def run(
        self,
        condition: Condition,
        numbers: Iterable[int],
        at_once: int,
        *,
        processes: int = 1,
        tiny: bool = False,
        on_trial: Callable[[Trial], None] = lambda _: None,
    ) -> list[Trial]:
        """Make calls under a condition; return how far their turns were off."""
        plans = [self._plan(condition, number, tiny=tiny) for number in numbers]
        trials = []
        # Not all at the end, so that a run which is stopped has left something in its log.
        size = max(at_once, CHUNK // at_once * at_once)
        for first in range(0, len(plans), size):
            chunk = plans[first : first + size]
            measured = self._drive(chunk, at_once, processes)
            for plan, each in zip(chunk, measured, strict=True):
                log = None if each.failure else self._read_log(plan.trial)
                trials.append(compare(plan.number, each, log))
                on_trial(trials[-1])
        return trials

    def compare_twice(self, calls: int, at_once: int, *, tiny: bool = False) -> Iterator[Figure]:
        """Make calls twice to the server that counts frames; count those that differ.

        Then make one call so many times, all at once.
        """
        rounds = []
        for numbers in (range(calls), range(calls), [0] * at_once):
            plans = [
                self._plan(Condition(), number, timing="frames", tiny=tiny) for number in numbers
            ]
            rounds.append(self._drive(plans, at_once, 1))
        seen = [[_Seen(each, self._read_log(each.trial)) for each in one] for one in rounds]
        pairs = list(zip(seen[0], seen[1], strict=True))
        undisturbed = [pair for pair in pairs if pair[0].is_undisturbed and pair[1].is_undisturbed]
        what = f"{calls} scripts twice, {at_once} at once, to a server that counts frames"
        for shown, chosen in ((what, pairs), (f"{what}, nobody ever late", undisturbed)):
            differ = sum(one.rows != other.rows for one, other in chosen)
            is_fair = bool(chosen) and (chosen is undisturbed or not differ)
            aim, reached = ("0 differ", not differ) if is_fair else ("", None)
            yield Figure(shown, f"{differ} of {len(chosen)} differ", aim, reached)
        what = f"one script {at_once} times at once, to a server that counts frames"
        undisturbed_calls = [each for each in seen[2] if each.is_undisturbed]
        for shown, those in (
            (what, seen[2]),
            (f"{what}, nobody ever late", undisturbed_calls),
        ):
            variants = Counter(each.rows for each in those)
            sizes = ", ".join(str(count) for _, count in variants.most_common())
            is_fair = bool(those) and (those is undisturbed_calls or len(variants) == 1)
            aim, reached = ("1", len(variants) == 1) if is_fair else ("", None)
            yield Figure(shown, f"{len(variants)} variants ({sizes or 'no call'})", aim, reached)
        what = "the same to the frame"
        every = [each for one in seen for each in one]
        yield Figure(
            f"{what}: own lateness, of a call", _describe_lateness([e.own_ms for e in every])
        )
        late = _describe_lateness([each.server_ms for each in every])
        yield Figure(f"{what}: lateness of the server, of a call", late)

    def _drive(self, plans: Sequence[Plan], at_once: int, processes: int) -> list[Measured]:
        if processes == 1:
            return drive(self._url, self._folder, plans, at_once)
        shares = [plans[first::processes] for first in range(processes)]
        spawning = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(processes, mp_context=spawning) as pool:
            each = -(-at_once // processes)
            done = [pool.submit(drive, self._url, self._folder, share, each) for share in shares]
            found = {measured.trial: measured for one in done for measured in one.result()}
        return [found[plan.trial] for plan in plans]

    def _plan(
        self, condition: Condition, number: int, *, timing: str = "", tiny: bool = False
    ) -> Plan:
        self._trials += 1
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
            "trial": f"{self._trials}",
            "timing": timing,
            "delays": json.dumps(delays),
            "stops": json.dumps([stop]),
            "answers": json.dumps([self._make_answer(condition, number + n) for n in range(2)]),
        }
        waits = delays[0] + INTO_ANSWER, delays[1] + (1.0 if tiny else 5.0)
        return Plan(parameters["trial"], number, waits, parameters)

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

    def wait_read(self) -> None:
        """Wait until all that the server wrote was read, after its end."""
        self._reader.join(10)

    def _read_lines(self) -> None:
        for line in self._process.stdout:
            self._lines.put(line)

    def _read_log(self, trial: str) -> dict[str, Any]:
        """Return what the server logged of a call."""
        while trial not in self._logs:
            line = json.loads(self._lines.get(timeout=60))
            self._logs[line["trial"]] = line
        return self._logs.pop(trial)


def _find_sound(kind: str, level: int, number: int) -> np.ndarray:
    """Return a sound of a kind, one of those that are audible at that level."""
    sounds = _list_audible(kind, level)
    return sounds[number % len(sounds)]


@cache
def _list_audible(kind: str, level: int) -> list[np.ndarray]:
    """Return sounds from their first audible frame to their last; the soft ones have none."""
    found = []
    for sound in payload_set.held_out():
        if sound.kind == kind:
            samples = payload_set.at_level(sound, level)
            if (audible := find_audible(encode_ulaw(samples))) is not None:
                found.append(samples[audible.first * FRAME : audible.end * FRAME])
    if not found:
        raise ValueError(f"no {kind} at {level} dB has a frame above -50 dBFS")
    return found


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
        server = _Server(process, folder)
        try:
            yield server
        finally:
            with suppress(OSError):
                process.stdin.close()
            process.wait(10)
            server.wait_read()
            process.stdout.close()


def _trim(clip: kit.Clip) -> bytes:
    audible = find_audible(clip.payload)
    return clip.payload[audible.first * FRAME : audible.end * FRAME]


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the runs that take long."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clean", type=int, default=0, metavar="CALLS", help="on clean speech")
    parser.add_argument("--at-once", type=int, default=AT_ONCE, metavar="CALLS")
    parser.add_argument("--processes", type=int, default=1, help="of callers")
    parser.add_argument("--level", type=int, default=-12, metavar="DB")
    parser.add_argument("--log", type=Path, metavar="FILE", help="of calls, to go on with")
    parser.add_argument("--late-ms", type=float, default=LATE_MS, help="makes a call invalid")
    parser.add_argument("--same", action="store_true", help="the same script twice")
    chosen = parser.parse_args(arguments)
    began, load = time.monotonic(), _say_load()
    figures: list[Figure] = []
    with _server() as server:
        if chosen.clean:
            condition = Condition(level=chosen.level)
            trials = _run_with_log(server, condition, chosen)
            where = (
                "in one process" if chosen.processes == 1 else f"in {chosen.processes} processes"
            )
            what = f"{condition}, {chosen.at_once} at once {where}"
            figures += list_figures(what, trials, has_aim=condition.has_aim, late_ms=chosen.late_ms)
        if chosen.same:
            figures += server.compare_twice(max(20, chosen.at_once), chosen.at_once)
    _print(figures)
    print(f"{time.monotonic() - began:.0f} s; load average before {load}, after {_say_load()}")


def _run_with_log(server: _Server, condition: Condition, chosen: argparse.Namespace) -> list[Trial]:
    """Make the calls that are not in the log yet; return all of them."""
    log: Path | None = chosen.log
    done = []
    if log is not None and log.exists():
        done = [Trial(**json.loads(line)) for line in log.read_text().splitlines()]
    missing = sorted(set(range(chosen.clean)) - {trial.number for trial in done})
    n_done = len(done)

    def note(trial: Trial) -> None:
        nonlocal n_done
        n_done += 1
        if log is not None:
            with log.open("a") as file:
                file.write(json.dumps(asdict(trial)) + "\n")
        if not n_done % 100:
            print(f"{n_done} of {chosen.clean} calls, load {_say_load()}", flush=True)

    made = server.run(condition, missing, chosen.at_once, processes=chosen.processes, on_trial=note)
    return [*done, *made]


def _say_load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


def _print(figures: Iterable[Figure]) -> None:
    for figure in figures:
        reached = {True: ": reached", False: ": NOT reached", None: ""}[figure.reached]
        aim = f"  (aim {figure.aim}{reached})" if figure.aim else ""
        print(f"{figure.what}: {figure.figure}{aim}", flush=True)


if __name__ == "__main__":
    main()
