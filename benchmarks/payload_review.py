"""The detection rate of sound in a wrong coding, and the false alarms for correct sound."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import NamedTuple

import payload_set
from measuring import HERE, Figure, percentile
from payload_set import LEVELS, RATE, Sound

from twistream_kit.audio.load import load_clip
from twistream_kit.diagnosis._coding import recognise_coding
from twistream_kit.diagnosis._rate import suspect_rate
from twistream_kit.diagnosis.payload import look_inside
from twistream_kit.diagnosis.sound import SoundReview

SECOND = 8000
SPEECH = HERE.parent / "sample_audio" / "greeting.wav"
REQUIRED = ("speech", "music")


class Half(NamedTuple):
    """The results of one half of the set; keys are coding and kind, values are windows."""

    windows: Counter[tuple[str, str]]
    named: Counter[tuple[str, str]]  # recognise_coding said the right coding
    found: Counter[tuple[str, str]]  # it did, or a window was objected to by look_inside
    right: Counter[str]  # windows of right PCMU by kind
    alarms: Counter[str]
    errors: Counter[str]
    rates: dict[int, Counter[str]]  # by the rate at which speech was sent
    seconds: list[float]


def measure(*, tiny: bool = False) -> list[Figure]:
    """Review both halves of the set; print the table of both."""
    halves = {
        name: review(sounds()[:: 8 if tiny else 1], LEVELS[-1:] if tiny else LEVELS)
        for name, sounds in HALVES.items()
    }
    print(table(halves))
    figures = [figure for name, half in halves.items() for figure in _figures(name, half)]
    return [*figures, *_costs(rounds=2 if tiny else 10)]


def _costs(rounds: int) -> list[Figure]:
    """Measure the time per message of correct sound; the fastest round counts."""
    frames = load_clip(SPEECH).frames()
    looked = min(_each(frames, lambda frame, _: look_inside(frame)) for _ in range(rounds))
    followed = [_each(frames, SoundReview().note_sent) for _ in range(rounds)]
    middle, dearest, total = (
        min(what(costs) for costs in followed)
        for what in (lambda costs: percentile(costs, 0.5), max, sum)
    )
    look_us = 1e6 * percentile(looked, 0.5)
    return [
        Figure("one message looked into", f"{look_us:.1f} µs", "< 10 µs", look_us < 10),
        Figure(
            "one message followed by SoundReview, median", f"{middle * 1e6:.1f} µs", "< 50 µs",
            middle < 50e-6,
        ),
        Figure(
            f"the dearest of {len(frames)} messages so followed",
            f"{dearest * 1e3:.1f} ms, {dearest / total:.0%} of all", "< 40 % of all",
            dearest < 0.4 * total,
        ),
    ]  # fmt: skip


def _each(frames: list[bytes], take: Callable[[bytes, float], object]) -> list[float]:
    """Return the time of each, in seconds of CPU time of this thread."""
    costs = []
    for number, frame in enumerate(frames):
        began = time.thread_time()
        take(frame, number * 0.02)
        costs.append(time.thread_time() - began)
    return costs


HALVES: dict[str, Callable[[], list[Sound]]] = {
    "tuning": payload_set.tuning,
    "held out": payload_set.held_out,
}


def review(sounds: list[Sound], levels: tuple[int, ...]) -> Half:
    """Encode every sound in every coding, and review each window."""
    half = Half(*(Counter() for _ in range(6)), defaultdict(Counter), [])
    for sound in sounds:
        for level in levels:
            _wrong(half, sound, level)
            _right(half, sound.kind, payload_set.rightly_coded(payload_set.at_level(sound, level)))
            if sound.kind == "speech":
                _at_other_rates(half, sound, level)
    for seed in range(4):
        for samples in payload_set.line_noise(seed):
            _right(half, "silence", {"PCMU": payload_set.coded(samples)["PCMU"]})
    return half


def _wrong(half: Half, sound: Sound, level: int) -> None:
    for rate in (8000, RATE):
        codings = payload_set.coded(payload_set.at_level(sound, level, rate))
        del codings["PCMU"]
        for coding, payload in codings.items():
            key = coding, sound.kind
            for window in _windows(payload):
                started = time.perf_counter()
                recognised = recognise_coding(window)
                half.seconds.append(time.perf_counter() - started)
                is_named = recognised is not None and coding.startswith(recognised.coding)
                half.windows[key] += 1
                half.named[key] += is_named
                half.found[key] += is_named or bool(look_inside(window))


def _right(half: Half, kind: str, payloads: dict[str, bytes]) -> None:
    for payload in payloads.values():
        for window in _windows(payload):
            half.right[kind] += 1
            recognised = recognise_coding(window)
            found = look_inside(window) + ([recognised.to_objection()] if recognised else [])
            half.alarms[kind] += bool(found)
            half.errors[kind] += any(objection.severity == "error" for objection in found)


def _at_other_rates(half: Half, sound: Sound, level: int) -> None:
    for rate in (8000, 16000, 24000):
        payload = payload_set.coded(payload_set.at_level(sound, level, rate))["PCMU"]
        for window in _windows(payload, 3 * SECOND):
            half.rates[rate]["windows"] += 1
            half.rates[rate]["suspected"] += suspect_rate(window) is not None


def _windows(payload: bytes, size: int = SECOND) -> Iterator[bytes]:
    for at in range(0, len(payload) - size + 1, size):
        yield payload[at : at + size]


def table(halves: dict[str, Half]) -> str:
    """Return the two halves side by side, as Markdown."""
    first = next(iter(halves.values()))
    head = [
        "sound",
        "sent as",
        *(f"{what}, {name}" for name in halves for what in ("named", "found")),
    ]
    rows = [head, ["---"] * len(head)]
    for key in sorted(first.windows, key=lambda key: (key[1] not in REQUIRED, key[1], key[0])):
        shares = [
            f"{100 * counter[key] / half.windows[key]:.1f} %"
            for half in halves.values()
            for counter in (half.named, half.found)
            if half.windows[key]
        ]
        rows.append([key[1], key[0], *shares])
    for kind in first.right:
        shares = [
            f"{counter[kind]} of {half.right[kind]}"
            for half in halves.values()
            for counter in (half.alarms, half.errors)
        ]
        rows.append([kind, "PCMU (alarms, errors)", *shares])
    for rate in first.rates:
        shares = [
            f"{half.rates[rate]['suspected'] / max(1, half.rates[rate]['windows']):.1%}"
            for half in halves.values()
        ]
        rows.append(
            ["speech", f"PCMU at {rate} Hz (suspected, 3 s)", shares[0], "", *shares[1:], ""]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _figures(name: str, half: Half) -> list[Figure]:
    shares = {
        key: half.found[key] / half.windows[key] for key in half.windows if key[1] in REQUIRED
    }
    worst = min(shares, key=lambda key: shares[key])
    share = shares[worst]
    right, alarms, errors = (sum(c.values()) for c in (half.right, half.alarms, half.errors))
    milliseconds = 1000 * sorted(half.seconds)[len(half.seconds) // 2]
    what = f"{worst[0]}, {worst[1]}"
    figures = [
        Figure(
            f"windows of wrong coding found, {name}, at least", f"{share:.1%} ({what})", "≥ 95 %",
            share >= 0.95,
        ),
        Figure(
            f"windows of right sound objected to, {name}",
            f"{alarms} of {right}, {errors} as errors", "≤ 0.5 %, no error",
            alarms <= 0.005 * right and not errors,
        ),
        Figure(
            f"to recognise the coding of 1 s, {name}", f"{milliseconds:.2f} ms", "< 3 ms",
            milliseconds < 3,
        ),
    ]  # fmt: skip
    if speech := half.rates.get(8000):
        share = speech["suspected"] / max(1, speech["windows"])
        figures.append(Figure(f"right speech suspected of another rate, {name}", f"{share:.1%}"))
    return figures
