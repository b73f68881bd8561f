"""The turns of synthetic conversations, compared with the clean sounds they were mixed from.

No call is made and no clock is read, so a busy machine changes nothing: a caller asks, the server
answers after a known delay, the caller interrupts, the server stops after a known time and answers
again.  `find_turns` hears the mixture; the truth is the first and the last frame above -50 dBFS of
the clean sound of each answer.  Levels are those of the loudest sample, noise is relative to the
audible part of an answer.  `turn_truth.py` does the same in real calls.

python benchmarks/run.py conversations
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import numpy as np
import payload_set
from measuring import Figure, percentile
from speech_detectors import make_noise

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis.speech import SpeechSpan, find_audible
from twistream_kit.diagnosis.turn import Turn
from twistream_kit.diagnosis.turns import Turns, find_turns
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS

FRAME = FRAME_BYTES
RATE = 8000
SECONDS = 18.0
LEVELS = (-6, -12, -20, -30, -40)
NOISES = (20, 10, 5)
DELAYS = (0.0, 3.0)
"""The answer begins so long after the caller's end, at least and at most."""

STOPS = (0.0, 0.8)
"""The server stops so long after the caller's begin."""

INTO_ANSWER = 0.8
"""When the caller interrupts, counted from the beginning of the answer."""

VOICES = 40
"""So many synthetic voices speak, besides those of ``sample_audio``."""


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


@dataclass(frozen=True)
class NoiseCondition(Condition):
    """What the server says, and in which noise.

    Attributes:
        colour: Of the noise.
        begins: When the noise begins: with the ``call``, or with the first ``answer``, after
            silence; or it comes and goes with each ``answer's sound``.
    """

    colour: str = "white"
    begins: str = "answer"

    def __str__(self) -> str:
        if self.noise is None:
            return super().__str__()
        return f"{self.kind} {self.noise} dB above {self.colour} noise from the {self.begins} on"


@dataclass
class Errors:
    """How far the turns of some conversations were from the truth, in milliseconds."""

    responses: list[float] = field(default_factory=list)
    barge_ins: list[float] = field(default_factory=list)
    no_response: int = 0
    no_barge_in: int = 0
    false_turns: int = 0
    missed_turns: int = 0
    conversations: int = 0

    def describe(self) -> str:
        """Return median and 99th percentile of both, and what was not found, in words."""
        said = []
        for name, values, missing in (
            ("response", self.responses, self.no_response),
            ("barge-in", self.barge_ins, self.no_barge_in),
        ):
            sizes = [abs(value) for value in values] or [float("inf")]
            middle, most = percentile(sizes, 0.5), percentile(sizes, 0.99)
            text = f"{name} {middle:.0f} / {most:.0f} ms"
            said.append(f"{text} ({missing} not found)" if missing else text)
        turns = f"false {self.false_turns}, missed {self.missed_turns} of {self.conversations}"
        return ", ".join([*said, turns])

    @property
    def is_within(self) -> bool:
        """Whether both are within 20 ms at the median and 40 ms at the 99th percentile."""
        return all(
            percentile([abs(value) for value in values], 0.5) <= 20
            and percentile([abs(value) for value in values], 0.99) <= 40
            for values in (self.responses, self.barge_ins)
        )


def measure(*, tiny: bool = False) -> list[Figure]:
    """Compare under each condition."""
    figures, clean = [], Errors()
    for condition in [NoiseCondition(), NoiseCondition(noise=10)] if tiny else list_conditions():
        count = 2 if tiny else 250 if condition.has_aim else 100
        errors = run(condition, count)
        has_aim = condition.has_aim
        aim, reached = ("≤ 20 / 40 ms", errors.is_within) if has_aim else ("", None)
        figures.append(Figure(str(condition), errors.describe(), aim, reached))
        if has_aim:
            clean.conversations += errors.conversations
            clean.false_turns += errors.false_turns
            clean.missed_turns += errors.missed_turns
    text = f"false {clean.false_turns}, missed {clean.missed_turns}"
    what = f"turns of {clean.conversations} conversations, speech at -6 to -30 dB"
    reached = None if tiny else clean.false_turns <= 2 and clean.missed_turns <= 2
    return [*figures, Figure(what, text, "≤ 2, ≤ 2", reached)]


def list_conditions() -> Iterator[NoiseCondition]:
    """Yield the conditions of the table."""
    yield from (NoiseCondition(level=level) for level in LEVELS)
    yield from (NoiseCondition(kind) for kind in ("music", "tones"))
    for begins in ("answer", "call", "answer's sound"):
        for colour in ("white", "pink", "babble"):
            for noise in NOISES:
                yield NoiseCondition(noise=noise, colour=colour, begins=begins)
    yield from (
        NoiseCondition(kind, noise=noise) for kind in ("music", "tones") for noise in NOISES
    )


def run(condition: NoiseCondition, count: int) -> Errors:
    """Measure the turns of so many conversations; return how far they were off."""
    errors = Errors()
    for number in range(count):
        conversation = _Conversation(condition, number)
        errors.conversations += 1
        _compare(errors, conversation.measure(), conversation)
    return errors


@dataclass(frozen=True)
class _Act:
    """What the caller said."""

    begins: float
    clip: Clip
    kind: str = "say"
    meant: bool = True

    @property
    def ends(self) -> float:
        return self.begins + self.clip.seconds


class _Conversation:
    """What both say, mixed from clean sounds, and the truth about it, in frames.

    Args:
        condition: What the server says, and how.
        number: It decides all else.
    """

    def __init__(self, condition: NoiseCondition, number: int) -> None:
        random = np.random.default_rng([number, -condition.level, condition.noise or 0])
        question, stop = _load("question"), _load("reply")
        self._frames = round(SECONDS * 1000 / PTIME_MS)
        self._heard = np.zeros(self._frames * FRAME)
        ask = int(random.integers(25, 50))
        self.asked = ask + len(question.payload) // FRAME
        first = self.asked + _draw(random, DELAYS)
        self.interrupts = first + round(INTO_ANSWER * 1000 / PTIME_MS)
        ends = self.interrupts + _draw(random, STOPS)
        self.interrupted = self.interrupts + len(stop.payload) // FRAME
        second = max(ends + 25, self.interrupted + _draw(random, DELAYS))
        sounds = _list_sounds(condition.kind)
        chosen = random.integers(0, len(sounds), 2)
        self.answers = [
            self._play(_trim(sounds[chosen[0]], condition.level), first, ends),
            self._play(_trim(sounds[chosen[1]], condition.level), second, self._frames - 100),
        ]
        if condition.noise is not None:
            self._add_noise(condition, random)
        self._acts = [
            _Act(ask * PTIME_MS / 1000, question),
            _Act(self.interrupts * PTIME_MS / 1000, stop, "interrupt"),
        ]

    def measure(self) -> Turns:
        """Return the turns that are found in it."""
        samples = np.rint(self._heard.clip(-32768, 32767)).astype(np.int16)
        return find_turns(Clip(encode_ulaw(samples)), acts=self._acts)

    def _play(self, sound: np.ndarray, first: int, ends: int) -> SpeechSpan:
        """Add an answer; return its audible frames."""
        part = sound[: (ends - first) * FRAME]
        self._heard[first * FRAME : first * FRAME + len(part)] += part
        audible = find_audible(encode_ulaw(part))
        return SpeechSpan(first + audible.first, first + audible.end)

    def _add_noise(self, condition: NoiseCondition, random: np.random.Generator) -> None:
        parts = [self._heard[first * FRAME : end * FRAME] for first, end in self.answers]
        level = np.sqrt(np.mean(np.concatenate(parts) ** 2)) * 10 ** (-condition.noise / 20)
        noise = make_noise(condition.colour, len(self._heard), _list_babble(), random)
        is_there = np.zeros(len(noise), bool)
        match condition.begins:
            case "call":
                is_there[:] = True
            case "answer":
                is_there[self.answers[0].first * FRAME :] = True
            case _:
                for first, end in self.answers:
                    is_there[first * FRAME : end * FRAME] = True
        self._heard += noise * (level / np.sqrt(np.mean(noise**2))) * is_there


def _compare(errors: Errors, turns: Turns, conversation: _Conversation) -> None:
    found = [turn for turn in turns if turn.who == "server"]
    matches = []
    for answer in conversation.answers:
        matches.append(match := _find_match(found, answer))
        found = [turn for turn in found if turn is not match]
    errors.missed_turns += sum(match is None for match in matches)
    errors.false_turns += len(found)
    ends = (conversation.asked, conversation.interrupted)
    for match, answer, end in zip(matches, conversation.answers, ends, strict=True):
        if match is None or match.response_ms is None:
            errors.no_response += 1
        else:
            errors.responses.append(match.response_ms - (answer.first - end) * PTIME_MS)
    true = (conversation.answers[0].end - conversation.interrupts) * PTIME_MS
    if true > 0:  # otherwise it paused, and did not go on
        measured = turns.barge_in_ms.values
        if measured and np.isfinite(measured[0]):
            errors.barge_ins.append(measured[0] - true)
        else:
            errors.no_barge_in += 1


def _find_match(turns: list[Turn], answer: SpeechSpan) -> Turn | None:
    """Return the first turn that an answer belongs to."""
    begins, ends = (frame * PTIME_MS / 1000 for frame in answer)
    return next((turn for turn in turns if turn.begins < ends and turn.ends > begins), None)


def _draw(random: np.random.Generator, bounds: tuple[float, float]) -> int:
    return round(random.uniform(*bounds) * 1000 / PTIME_MS)


def _trim(sound: payload_set.Sound, level: int) -> np.ndarray:
    """Return a sound from its first audible frame to its last."""
    samples = payload_set.at_level(sound, level)
    audible = find_audible(encode_ulaw(samples))
    return samples[audible.first * FRAME : audible.end * FRAME]


@cache
def _load(name: str) -> Clip:
    """Return a clip of the caller from its first audible frame to its last, 2 s at most."""
    sound = next(each for each in payload_set.held_out() if each.name == name)
    samples = _trim(sound, -12)[: 2 * RATE]
    payload = encode_ulaw(samples)
    audible = find_audible(payload)
    return Clip(payload[: audible.end * FRAME])


@cache
def _list_sounds(kind: str) -> list[payload_set.Sound]:
    sounds = [sound for sound in payload_set.held_out() if sound.kind == kind]
    if kind == "speech":
        sounds += map(_synthesise, range(VOICES))
    return [
        sound for sound in sounds if find_audible(encode_ulaw(payload_set.at_level(sound, -40)))
    ]


@cache
def _list_babble() -> list[payload_set.Sound]:
    return [sound for sound in payload_set.tuning() if sound.kind == "speech"]


def _synthesise(number: int) -> payload_set.Sound:
    random = np.random.default_rng([number, 77])
    voice = payload_set.Voice(
        pitch=random.uniform(80, 280),
        tract=random.uniform(0.93, 1.3),
        tempo=random.uniform(3.4, 5.8),
        breath=random.uniform(0.01, 0.08),
    )
    samples = payload_set.speech(voice, random)
    return payload_set.Sound("speech", f"drawn {number}", samples / np.abs(samples).max())
