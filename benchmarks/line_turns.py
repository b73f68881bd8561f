"""One conversation with one server on each profile of `kit.Line`: what the line does to its turns.

The server is a bot on `StreamServer` that stops for a caller and answers when the caller pauses,
both by `VoiceTrigger`.  Each round is a call on each profile at the same time, with a seed of its
own.  The figures hold for this bot: another one hears other things in noise and echo.
"""

from __future__ import annotations

import math
import statistics
from functools import partial
from pathlib import Path

from measuring import Figure

import twistream_kit as kit
from twistream_kit import caller
from twistream_kit.simulator.line._parameters import PRESETS

SAMPLES = Path(__file__).parent.parent / "sample_audio"


async def answer(stream: kit.MediaStream) -> None:
    """Greet, stop for a caller, and answer."""
    stream.play(kit.load_clip(SAMPLES / "greeting.wav"))
    reply = kit.load_clip(SAMPLES / "bot_time.wav")
    trigger, is_asked = kit.VoiceTrigger(), False
    async for samples in stream.audio():
        if trigger.push(samples):
            stream.clear()
            is_asked = True
        if is_asked and not trigger.speaking:
            stream.play(reply)
            is_asked = False


def make_script() -> list[caller.Step]:
    """Interrupt the greeting, hear the answer, ask again, hear the answer."""
    return [
        caller.interrupt(kit.load_clip(SAMPLES / "caller_time.wav"), after=1.0, limit=8),
        caller.listen(limit=6),
        caller.say(kit.load_clip(SAMPLES / "question.wav")),
        caller.listen(limit=6),
        caller.hang_up(),
    ]


def measure(*, tiny: bool = False) -> list[Figure]:
    """Hold the conversation ten times on each profile."""
    presets = ["clean", "speakerphone"] if tiny else list(PRESETS)
    rounds = 1 if tiny else 10
    script = make_script()
    if tiny:
        script[2:-1] = []
    reports: dict[str, list[kit.CallReport]] = {preset: [] for preset in presets}
    server = kit.start(kit.StreamServer(answer))
    for seed in range(rounds):
        call = partial(kit.simulate_call, server.url, script=script)
        calls = {preset: call(line=kit.Line(preset, seed=seed)) for preset in presets}
        for preset, pending in calls.items():
            reports[preset].append(pending.result(90))
    kit.stop(server)
    return [_describe(preset, reports[preset]) for preset in presets]


def _describe(preset: str, reports: list[kit.CallReport]) -> Figure:
    turns = [report.turns for report in reports]
    responses = [ms for each in turns for ms in each.response_ms.values]
    barge_ins = [ms for each in turns for ms in each.barge_in_ms.values]
    failed = sum(any(not act.ok for act in report.acts) for report in reports)
    late = sum(not report.believable for report in reports)
    stopped = sum(report.received.get("clear", 0) for report in reports) / len(reports)
    said = [
        f"response {_spread(responses)}",
        f"barge-in {_spread(barge_ins)}",
        f"{stopped:.1f} clears a call",
        f"{failed} of {len(reports)} scripts not as written",
    ]
    if late:
        said.append(f"{late} calls in which the simulator was late")
    return Figure(f"turns on {preset}", "; ".join(said))


def _spread(values: list[float]) -> str:
    """Return the median and the greatest of some times, in words."""
    known = [value for value in values if math.isfinite(value)]
    never = f"{len(values) - len(known)} of {len(values)} never" if len(known) < len(values) else ""
    times = f"{statistics.median(known):.0f}, {max(known):.0f} ms" if known else ""
    return ", ".join(filter(None, (times, never))) or "none"
