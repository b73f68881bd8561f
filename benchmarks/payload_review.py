"""The detection rate of sound in a wrong coding, and the false alarms for correct sound."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import numpy as np
import payload_set
from measuring import HERE, Figure, percentile
from payload_set import LEVELS, RATE, Sound

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.diagnosis._coding import recognise_coding
from twistream_kit.diagnosis._rate import suspect_rate
from twistream_kit.diagnosis.payload import look_inside
from twistream_kit.diagnosis.sound import SoundReview, review_sound
from twistream_kit.errors import Objection

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
    damaged: Counter[str]  # windows of 3 s by what happened to speech
    noticed: Counter[str]  # those of which that was said
    said: Counter[str]  # what was said of any speech, damaged or not
    keys: Counter[str]  # windows of DTMF, and those in which keys were found


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
    counters = [Counter[Any]() for _ in range(4)]
    half = Half(*(Counter() for _ in range(6)), defaultdict(Counter), [], *counters)
    for sound in sounds:
        for level in levels:
            _wrong(half, sound, level)
            _right(half, sound.kind, payload_set.rightly_coded(payload_set.at_level(sound, level)))
            _follow(half, sound, level)
            if sound.kind == "speech":
                _damage(half, sound, level)
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


NAMES = {
    "encoded twice as 16 kHz PCM16": "encoded twice",
    "encoded twice as PCM16": "encoded twice",
    "encoded twice as PCM8": "encoded twice",
    "encoded twice as numbers": "encoded twice",
    "wrapped around": "wrapped around",
    "low 16 of 24 bits": "only the low bits|wrapped around",
    "one byte lost": "a byte is missing",
    "other byte order": "byte order is wrong",
    "text: UTF-8": "read as text (UTF-8)",
    "text: Latin-1": "read as text (Latin-1",
    "text: ASCII": "read as text (ASCII)",
    "text: 7 bits": "half of all codes are missing",
    "text: hexadecimal": "hexadecimal digits",
}
"""What is said of each damage; the two names of displaced bytes are one and the same objection."""

KEYS = "tones of telephone keys"


def _is_said(damage: str, problem: str) -> bool:
    return any(saying in problem for saying in NAMES[damage].split("|"))


def _sayings(problems: list[str]) -> set[str]:
    sayings = {saying for name in NAMES.values() for saying in name.split("|")}
    return {saying for saying in sayings if any(saying in problem for problem in problems)}


def _rightly(damage: str) -> set[str]:
    """Return what may be said: one objection names a lost byte and the byte order together."""
    sayings = set(NAMES[damage].split("|"))
    both = {"a byte is missing", "byte order is wrong"}
    return sayings | both if sayings & both else sayings


def _damage(half: Half, sound: Sound, level: int) -> None:
    payloads = payload_set.damaged(_repeated(sound), level, seed=level & 255)
    for damage, payload in payloads.items():
        for window in list(_windows(payload, 3 * SECOND))[:2]:
            if damage == "wrapped around" and not _has_wraps(window):
                continue
            half.damaged[damage] += 1
            problems = _problems(window)
            half.noticed[damage] += any(_is_said(damage, problem) for problem in problems)
            said = _sayings(problems)
            half.said.update(said)
            half.said.update(f"{each}, rightly" for each in said if each in _rightly(damage))


def _repeated(sound: Sound) -> Sound:
    """Return the sound four times, so that there are 3 s of it after two bytes became one."""
    return sound._replace(samples=np.tile(sound.samples, 4))


def _has_wraps(window: bytes) -> bool:
    """Whether at least three samples wrapped around: without any, the sound is right."""
    samples = decode_ulaw(window).astype(int)
    return int(np.count_nonzero(np.abs(np.diff(samples)) > 40000)) >= 3


def _problems(window: bytes) -> list[str]:
    """Return what is said of a window that is sent in frames."""
    frames = [window[at : at + 160] for at in range(0, len(window), 160)]
    return [objection.problem for objection in review_sound(frames)]


def _follow(half: Half, sound: Sound, level: int) -> None:
    """Review right sound over 3 s as well."""
    samples = payload_set.at_level(sound, level)
    for payload in payload_set.rightly_coded(samples).values():
        for window in _windows(payload, 3 * SECOND):
            frames = [window[at : at + 160] for at in range(0, len(window), 160)]
            found = [each for each in review_sound(frames) if not _is_about_level(each)]
            others = [each for each in found if KEYS not in each.problem]
            half.keys[sound.kind] += len(found) != len(others)
            half.keys[f"{sound.kind}, windows"] += 1
            half.right[f"{sound.kind}, 3 s"] += 1
            half.alarms[f"{sound.kind}, 3 s"] += bool(others)
            half.errors[f"{sound.kind}, 3 s"] += any(each.severity == "error" for each in others)
            half.said.update(_sayings([each.problem for each in others]))


def _is_about_level(objection: Objection) -> bool:
    """Whether it is about clipping, silence or speed: of some sounds this is true."""
    return any(word in objection.problem for word in ("full scale", "silence", "speech at"))


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
    for damage in first.damaged:
        shares = [
            part
            for half in halves.values()
            for part in (_format_recall(half, damage), _format_precision(half, damage))
        ]
        rows.append(["speech", f"{damage} (recall, precision, 3 s)", *shares])
    shares = [
        f"{half.keys['DTMF']} of {half.keys['DTMF, windows']}; in other sound"
        f" {sum(half.keys[kind] for kind in ('speech', 'music', 'tones', 'noise'))}"
        for half in halves.values()
    ]
    rows.append(["DTMF", "tones of keys (found, 3 s)", shares[0], "", *shares[1:], ""])
    for rate in first.rates:
        shares = [
            f"{half.rates[rate]['suspected'] / max(1, half.rates[rate]['windows']):.1%}"
            for half in halves.values()
        ]
        rows.append(
            ["speech", f"PCMU at {rate} Hz (suspected, 3 s)", shares[0], "", *shares[1:], ""]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _format_recall(half: Half, damage: str) -> str:
    return f"{100 * half.noticed[damage] / max(1, half.damaged[damage]):.1f} %"


def _format_precision(half: Half, damage: str) -> str:
    """Return how often what is said of this damage is true, of all windows of all sounds."""
    said = {saying: half.said[saying] for saying in NAMES[damage].split("|")}
    true = {saying: half.said[f"{saying}, rightly"] for saying in said}
    return f"{100 * sum(true.values()) / max(1, sum(said.values())):.1f} %"


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
    texts = [each for each in half.damaged if each.startswith("text")]
    if texts:
        share = min(half.noticed[each] / half.damaged[each] for each in texts)
        figures.append(
            Figure(f"3 s of text in place of sound found, {name}, at least", f"{share:.1%}",
                   "≥ 99 %", share >= 0.99)
        )  # fmt: skip
    if speech := half.rates.get(8000):
        share = speech["suspected"] / max(1, speech["windows"])
        figures.append(Figure(f"right speech suspected of another rate, {name}", f"{share:.1%}"))
    return figures
