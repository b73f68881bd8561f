"""The CPU time per media message in the server, beside a plain `websockets` echo.

Callers at the rate of real ones (50 messages a second each) speak to each server in turn.  The
server has a core of its own; its CPU time is divided by the messages that came.  In every round
each kind of server is measured once, every second round in reverse, and its ratio is to the bare
echo of the same round.

`echo.py` is the short form of this, with a profile on request.
"""

from __future__ import annotations

import asyncio
import importlib.util
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from callers import LIMIT_SECONDS, Caller, Sound, WrongSound, make_speech, speak
from measuring import Companion, Figure, kept_off_the_first_core, spread
from streams_on_a_core import ANSWER, CLIP

from twistream_kit.protocol.from_twilio import FRAME_BYTES

WHAT = {
    "speak": "echo by speak",
    "play": "echo by play of each frame",
    "clip and reader": "a clip plays, a reader listens",
    "clip": "a clip plays, nobody reads",
}
"""The handlers of the kit, by the names of `streams_on_a_core`, and in words."""

AIMS = {"speak": 1.5, "play": 2.0, "clip and reader": 1.3, "clip": 1.3}

ECHOES = ("bare", "speak", "play")
"""The kinds that send back what came."""

SEND_AHEAD_SECONDS = 2.5
"""How long a clip plays before the measurement, so that its first ten seconds were sent."""


@dataclass(frozen=True, slots=True)
class Cost:
    """The results of one round.

    Attributes:
        microseconds: CPU for each media message that came.
        answers: Media messages sent for each that came.
        marks: Marks sent for each media message that came.
        messages: How many came.
        profile: Rows of `streams_on_a_core.list_profile`, if it was requested.
    """

    microseconds: float
    answers: float
    marks: float
    messages: int
    profile: Sequence[Any] = ()


@dataclass(frozen=True, slots=True)
class Load:
    """What a server is measured with.

    Attributes:
        n_calls: How many callers speak.
        settle: How long they speak before the measurement, in seconds.
        seconds: How long is measured.
        rounds: How many rounds there are.
    """

    n_calls: int
    settle: float
    seconds: float
    rounds: int


TINY = Load(3, 0.3, 0.3, 1)
FULL = Load(40, 1.2, 2.0, 5)


def measure(*, tiny: bool = False) -> list[Figure]:
    """Measure all kinds, and the echo on uvloop where it is installed."""
    load = TINY if tiny else FULL
    kinds = ["bare", *WHAT, "answers with marks"]
    has_uvloop = importlib.util.find_spec("uvloop") is not None
    if has_uvloop:
        kinds += ["bare --uvloop", "speak --uvloop"]
    costs = compare(kinds, load)
    figures = make_figures(costs)
    figures += [
        _beside(costs, kind, "answers with marks", "plain websockets with a mark each")
        for kind in ("speak", "play")
    ]
    what = "server CPU on uvloop, echo by speak"
    if not has_uvloop:
        return [*figures, Figure(what, "left out: uvloop is not installed")]
    return [
        *figures,
        _beside(costs, "speak --uvloop", "bare --uvloop", "bare on uvloop"),
        _beside(costs, "speak --uvloop", "bare", "bare on asyncio"),
    ]


def compare(kinds: Sequence[str], load: Load) -> dict[str, list[Cost]]:
    """Measure each kind once a round."""
    costs: dict[str, list[Cost]] = {kind: [] for kind in kinds}
    with kept_off_the_first_core():
        for count in range(load.rounds):
            for kind in list(kinds)[:: -1 if count % 2 else 1]:
                costs[kind].append(measure_once(kind, load))
    return costs


def measure_once(kind: str, load: Load, *, profile: bool = False) -> Cost:
    """Measure one kind of server; the first word of `kind` may be followed by ``--uvloop``."""
    name, *options = kind.split(" --")
    with Companion("streams_on_a_core.py", name, *(f"--{o}" for o in options)) as server:
        return asyncio.run(_round(server, name, load, profile=profile))


def make_figures(costs: dict[str, list[Cost]]) -> list[Figure]:
    """Return the figures of the bare echo, and of each handler beside it."""
    bare = [cost.microseconds for cost in costs["bare"]]
    figures = [Figure("server CPU, bare websockets echo", f"{spread(bare, ' µs', 0)} a media in")]
    return figures + [_beside(costs, kind, "bare", "bare") for kind in WHAT if kind in costs]


def _beside(costs: dict[str, list[Cost]], kind: str, other: str, called: str) -> Figure:
    pairs = zip(costs[kind], costs[other], strict=True)
    ratios = [cost.microseconds / beside.microseconds for cost, beside in pairs]
    ratio = statistics.median(ratios)
    cpu = statistics.median(cost.microseconds for cost in costs[kind])
    out = statistics.median(cost.answers for cost in costs[kind])
    marks = statistics.median(cost.marks for cost in costs[kind])
    name, *options = kind.split(" --")
    what = f"server CPU{''.join(f' on {o}' for o in options)}, {WHAT[name]}"
    figure = f"{spread(ratios)} × {called}; {cpu:.0f} µs, {out:.2f} media and {marks:.2f} marks out"
    if other != "bare" or options:
        return Figure(what, figure)
    return Figure(what, figure, f"≤ {AIMS[name]} ×", ratio <= AIMS[name])


def make_callers(kind: str, n_calls: int) -> list[Caller]:
    """Make callers that know which sound a kind of server sends."""
    speech, n_frames = make_speech(), len(make_speech()) // FRAME_BYTES

    def begin(number: int) -> int:
        return number * 37 % n_frames * FRAME_BYTES

    def expect(number: int) -> Sound:
        if kind in ECHOES:
            return Sound(speech, begin(number))
        return Sound(ANSWER if kind == "answers with marks" else CLIP.payload)

    return [
        Caller(number, Sound(speech, begin(number)), expect(number), echoes=kind in ECHOES)
        for number in range(n_calls)
    ]


async def hold_calls(stack: AsyncExitStack, callers: Sequence[Caller], url: str) -> None:
    """Connect the callers and begin their streams; `stack` ends them."""
    for caller in callers:
        await caller.connect(url, url)
        stack.push_async_callback(caller.end)
        caller.begin()


async def wait_answers(kind: str, callers: Sequence[Caller]) -> None:
    """Wait for the last byte of what the callers expect.

    Raises:
        WrongSound: If a byte is missing, or a mark.
    """
    for caller in callers:
        size = 0 if kind == "no handler" else caller.frames * FRAME_BYTES
        await caller.wait_received(size)
        if kind in WHAT and size >= 2 * 8000 and not caller.marks:
            raise WrongSound(f"{caller.sid}: no mark came with {size} bytes of sound")


async def check_answers(server: Companion, kind: str, callers: Sequence[Caller]) -> None:
    """Wait for the last byte of what the callers expect, and compare the captures with it.

    Raises:
        WrongSound: If a byte is missing, or a mark, or is not in the captures.
    """
    await wait_answers(kind, callers)
    if kind not in WHAT and kind != "no handler":
        return
    sent = sum(caller.frames for caller in callers) * FRAME_BYTES
    captured = await _await_captured(server, sent)
    if captured["in"] != sent:
        raise WrongSound(f"the captures hold {captured['in']} of {sent} bytes that were sent")
    received = sum(caller.received for caller in callers)
    if captured["out"] < received:
        raise WrongSound(f"the captures hold {captured['out']} of {received} bytes that came")


async def _await_captured(server: Companion, sent: int) -> dict[str, int]:
    """Return what the captures hold once all that was `sent` has arrived, or after a limit."""
    until = time.monotonic() + LIMIT_SECONDS
    captured = server.ask("captured")
    while captured["in"] < sent and time.monotonic() < until:
        await asyncio.sleep(0.1)
        captured = server.ask("captured")
    return captured


async def _round(server: Companion, kind: str, load: Load, *, profile: bool) -> Cost:
    callers = make_callers(kind, load.n_calls)
    settle = load.settle
    if kind.startswith("clip") and load is not TINY:
        settle = max(settle, SEND_AHEAD_SECONDS)
    async with AsyncExitStack() as stack:
        await hold_calls(stack, callers, server.hello["url"])
        await speak(callers, settle)
        if profile:
            server.ask("profile")
        before = _count(server, callers)
        spoken = await speak(callers, load.seconds)
        after = _count(server, callers)
        rows = server.ask("profiled") if profile else ()
        await check_answers(server, kind, callers)
    cpu, media, marks = ((now - then) / spoken for now, then in zip(after, before, strict=True))
    return Cost(cpu * 1e6, media, marks, spoken, rows)


def _count(server: Companion, callers: Sequence[Caller]) -> tuple[float, int, int]:
    """Return the seconds of CPU, the media messages and the marks so far."""
    media, marks = sum(c.media for c in callers), sum(len(c.marks) for c in callers)
    return server.ask("cpu")["cpu"], media, marks
