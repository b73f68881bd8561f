"""Turns of a conversation: who spoke when, how fast the server answered, how it stopped.

`find_turns` measures at the ear, from the sound itself: what the caller heard and what the caller
said, on one clock that is counted in frames of 20 ms.  Of a script the clips that were said are
known, and with them when they begin and end; all else is found by `speech`.  `turns` does the same
for a capture.  `DEFINITIONS` defines each figure.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Literal, Protocol, overload
from xml.etree import ElementTree as ET

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.capture.replay import Replay
from twistream_kit.diagnosis.speech import (
    AUDIBLE_DB,
    find_speech,
    find_spoken,
    measure_level,
)
from twistream_kit.errors import WrongState, WrongType, WrongValue, quote, require_type
from twistream_kit.listing import Series
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.protocol.playout import BYTES_PER_SECOND

LEAST_FOR_PERCENTILES = 20
"""With fewer values, a percentile would be the greatest value or chance."""

TURN_PAUSE_MS = 2000
"""A party that is silent for longer has ended its turn, even if the other says nothing (ours)."""

DEAD_AIR_MS = 2000
"""Silence from which a caller asks whether anybody is there (ours)."""

UNANSWERED_MS = 2000
"""A call that ends sooner after a question says nothing about the answer (ours)."""

FALSE_BARGE_IN_MS = 2000
"""A server that stops later than this after a sound stopped for another reason (ours)."""

_GOES_ON_MS = 1000
"""A server that continues within this time after an interruption has not stopped."""

_QUICKEST_ANSWER_MS = 200
"""What begins sooner after the caller's end is no answer: nobody can know so soon that it is one.
In conversations between people the gap is 200 ms in the middle (Stivers et al., PNAS 2009)."""

_ABRUPT_DB = 15.0
"""Speech that ends by itself fades out; if its last frame is this far above the audible level and
silence follows, it was cut."""

_CLEAR_MS = 100
"""A clear acts within two frames; the rest is for the difference of two clocks."""

_SOUND = "sound"
"""The kind of what the caller did not mean for the server."""

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold; the far end may send them."""

Who = Literal["caller", "server"]

Ending = Literal["finished", "stopped", "stopped by a sound", "cut off", "call ended"]

DEFINITIONS: Mapping[str, str] = {
    "response_ms": (
        "from the end of the last audible frame of the caller to the begin of the first audible"
        " frame of the server that comes after it; below 0 if the server began before the caller"
        f" had ended, infinite if it was silent for {UNANSWERED_MS / 1000:g} s or longer until the"
        " caller spoke again or the call ended"
    ),
    "barge_in_ms": (
        "from the begin of the first audible frame of the caller, while the server speaks, to the"
        " end of the server's last audible frame; infinite if it spoke until the call ended"
    ),
    "overlap_ms": "how long both were audible, for each turn of the server in which they were",
    "dead_air_ms": (
        f"silence of both of {DEAD_AIR_MS / 1000:g} s or longer that the server ends, or that"
        " follows the caller until the call ends"
    ),
    "false_barge_ins": (
        "how often the server was stopped by a sound that was not meant to interrupt: it fell"
        f" silent abruptly, or sent a clear, within {FALSE_BARGE_IN_MS / 1000:g} s after the sound"
        " began"
    ),
    "cut_off_ms": "sound of the server's last words that nobody heard, because it closed too early",
}
"""What each figure of `Turns` is; all are measured at the ear, in milliseconds."""

_NOTHING: Mapping[str, str] = {
    "response_ms": "the caller said nothing that the server could have answered",
    "barge_in_ms": "the caller did not speak while the server spoke",
    "overlap_ms": "they did not speak at the same time",
    "dead_air_ms": "there was no such silence",
}
"""Why a figure has no values."""

_FIX: Mapping[str, str] = {
    "response_ms": "Let the caller say something, and wait for the answer",
    "barge_in_ms": "Let the caller interrupt the server while it speaks",
}

EXACT_UNCERTAINTY = (
    "each edge lies in a frame of 20 ms, so a time between two edges is right to ±20 ms; with noise"
    " in the sound an edge may be off by several frames"
)

ESTIMATE_UNCERTAINTY = (
    "estimated from your side of the call: response_ms and barge_in_ms lack the way from the"
    " caller's phone to you and back, 100 to 600 ms with the real service, so the caller waited"
    " longer by that; overlap_ms may be off by as much either way; dead_air_ms lacks it where the"
    " caller spoke last; the begins and ends of the caller's speech are found by a detector, right"
    " to ±60 ms on a quiet line"
)


class Act(Protocol):
    """Something that a caller with a script did."""

    @property
    def kind(self) -> str:
        """``say``, ``interrupt`` and the like."""

    @property
    def begins(self) -> float:
        """When its sound began, in seconds of the call's clock."""

    @property
    def ends(self) -> float:
        """When its sound ended, likewise; earlier than the clip's length if the call ended."""

    @property
    def clip(self) -> Clip | None:
        """Its sound, clean; None without any."""

    @property
    def meant(self) -> bool:
        """Whether its sound is meant for the server; that of a cough is not."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one party said until the other's turn came.

    Attributes:
        who: ``caller`` or ``server``.
        begins: When its first audible frame began, in seconds of the call.
        ends: When its last audible frame ended.
        kind: What the caller did, as the script says: ``say``, ``interrupt`` …, or ``sound`` for
            one that is not meant for the server; ``speech`` where there is no script, and for the
            server.
        response_ms: Of a turn of the server, how long after the caller's end it began; of a turn of
            the caller that was not answered, infinite; otherwise None.
        barge_in_ms: Of a turn of the caller that interrupted the server, how long that went on;
            otherwise None.
        overlap_ms: How long the other party was audible too.
        ending: ``finished``; ``stopped`` after an interruption; ``stopped by a sound`` that was not
            meant to interrupt; ``cut off`` because the server closed with sound still queued; or
            ``call ended``, while it spoke.
    """

    who: Who
    begins: float
    ends: float
    kind: str = "speech"
    response_ms: float | None = None
    barge_in_ms: float | None = None
    overlap_ms: float = 0.0
    ending: Ending = "finished"

    @property
    def delay(self) -> str:
        """The response time or the barge-in time in words; empty if there is none."""
        if self.who == "server" and self.response_ms is not None:
            return f"answers after {_say_ms(self.response_ms)}"
        if self.barge_in_ms is not None:
            is_stopped = math.isfinite(self.barge_in_ms)
            return f"stops it in {_say_ms(self.barge_in_ms)}" if is_stopped else "does not stop it"
        return "no answer" if self.response_ms is not None else ""

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; what is infinite is ``None`` and named in `delay`."""
        return {
            "who": self.who,
            "begins": round(self.begins, 3),
            "ends": round(self.ends, 3),
            "kind": self.kind,
            "response_ms": _as_json(self.response_ms),
            "barge_in_ms": _as_json(self.barge_in_ms),
            "overlap_ms": round(self.overlap_ms),
            "ending": self.ending,
            "delay": self.delay,
        }

    def __repr__(self) -> str:
        said = ", ".join(filter(None, (self.delay, self.ending)))
        return f"<Turn of the {self.who}, {self.begins:.2f} to {self.ends:.2f} s: {said}>"


@dataclass(frozen=True, slots=True, repr=False)
class TurnFigure:
    """One figure of a conversation: its values in the order of the call, in milliseconds.

    Attributes:
        name: As in `DEFINITIONS`.
        values: The values; infinite for an answer or an end that never came.
    """

    name: str
    values: tuple[float, ...] = ()

    @property
    def definition(self) -> str:
        """What was measured."""
        return DEFINITIONS[self.name]

    @property
    def never(self) -> int:
        """How many of the values are infinite."""
        return sum(math.isinf(value) for value in self.values)

    @property
    def max(self) -> float:
        """The greatest value.

        Raises:
            WrongState: If there is none.
        """
        return max(self._require())

    @property
    def min(self) -> float:
        """The least value.

        Raises:
            WrongState: If there is none.
        """
        return min(self._require())

    @property
    def total(self) -> float:
        """The sum of the values; 0 if there are none."""
        return sum(self.values)

    @property
    def p50(self) -> float:
        """The median.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        return float(median(self._require_many("p50")))

    @property
    def p95(self) -> float:
        """The value that 95 % of the values do not exceed.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        return self._find_percentile(95)

    @property
    def p99(self) -> float:
        """The value that 99 % of the values do not exceed.

        Raises:
            WrongState: If there are fewer than 20 values.
        """
        return self._find_percentile(99)

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain values for JSON; what is infinite is ``None``, counted in ``never``.

        Percentiles are there from 20 values on.
        """
        found: dict[str, Any] = {"values": [_as_json(value) for value in self.values]}
        found["never"] = self.never
        found["max"] = _as_json(self.max) if self.values else None
        if len(self.values) >= LEAST_FOR_PERCENTILES:
            found |= {name: _as_json(getattr(self, name)) for name in ("p50", "p95", "p99")}
        return found

    def describe(self) -> str:
        """Return the values in words: percentiles from 20 on, below that the greatest."""
        n = len(self.values)
        if not n:
            return "none"
        if n == 1:
            return _say_ms(self.max)
        ends = [value for value in self.values if math.isfinite(value)]
        parts = [f"at most {_say_ms(max(ends))}"] if ends else []
        if n >= LEAST_FOR_PERCENTILES:
            parts.insert(0, f"median {_say_ms(self.p50)}, 95 % within {_say_ms(self.p95)}")
        if self.never:
            parts.append(f"{_count(self.never, 'time')} never")
        return f"{', '.join(parts)} ({n} values)"

    def __repr__(self) -> str:
        return f"<TurnFigure {self.name}: {self.describe()}>"

    def _find_percentile(self, percent: int) -> float:
        ordered = sorted(self._require_many(f"p{percent}"))
        return ordered[math.ceil(percent / 100 * len(ordered)) - 1]

    def _require_many(self, name: str) -> tuple[float, ...]:
        values = self._require()
        if len(values) < LEAST_FOR_PERCENTILES:
            raise WrongState(
                f"{self.name}.{name} needs {LEAST_FOR_PERCENTILES} values, and there are "
                f"{len(values)}; ask for {self.name}.max, or measure more"
            )
        return values

    def _require(self) -> tuple[float, ...]:
        if not self.values:
            raise WrongState(
                f"{self.name} has no values: {_NOTHING[self.name]}. "
                f"{_FIX.get(self.name, f'Ask for {self.name}.total, which is 0')}"
            )
        return self.values


@dataclass(frozen=True, slots=True, repr=False)
class Turns:
    """The turns of a call in the order of time, and what follows from them.

    It is a sequence of `Turn`.

    Attributes:
        rows: The turns.
        seconds: The duration of the call.
        dead_air: When each silence that counts as dead air began, and how long it lasted.
        false_barge_ins: How often the server was stopped by a sound not meant to interrupt.
        cut_off_ms: How much of the server's last words nobody heard, because it closed too early.
        is_estimate: Whether the figures are estimates, because the sound was not taken at the ear.
        heard: What the caller heard.
        said: What the caller said, on the same clock.

    Example:
        >>> import twistream_kit as kit
        >>> from twistream_kit.diagnosis.turns import find_turns
        >>> question = kit.load_clip("sample_audio/question.wav")
        >>> reply = kit.load_clip("sample_audio/reply.wav")
        >>> said = question + kit.Clip.silence(3.0)
        >>> heard = kit.Clip.silence(question.seconds + 0.5) + reply
        >>> turns = find_turns(heard, said)
        >>> turns
        Turns of a call of 7.21 s
          caller   0.16 to  3.98 s                        finished
          server   4.88 to  6.54 s  answers after 900 ms  finished
          response_ms  900 ms
        >>> turns.response_ms.max
        900.0
    """

    rows: Series[Turn]
    seconds: float
    dead_air: tuple[tuple[float, float], ...] = ()
    false_barge_ins: int = 0
    cut_off_ms: float = 0.0
    is_estimate: bool = False
    heard: Clip = field(default_factory=lambda: Clip(b""), compare=False)
    said: Clip = field(default_factory=lambda: Clip(b""), compare=False)

    @property
    def response_ms(self) -> TurnFigure:
        """How long the caller waited for each answer, in milliseconds; see `DEFINITIONS`."""
        return self._collect("response_ms", (turn.response_ms for turn in self.rows))

    @property
    def barge_in_ms(self) -> TurnFigure:
        """How long the server went on when it was interrupted, each time, in milliseconds."""
        return self._collect("barge_in_ms", (turn.barge_in_ms for turn in self.rows))

    @property
    def overlap_ms(self) -> TurnFigure:
        """How long both spoke, for each turn of the server in which they did, in milliseconds."""
        overlaps = (turn.overlap_ms or None for turn in self.rows if turn.who == "server")
        return self._collect("overlap_ms", overlaps)

    @property
    def dead_air_ms(self) -> TurnFigure:
        """How long each silence was that is dead air, in milliseconds."""
        return self._collect("dead_air_ms", (seconds * 1000 for _, seconds in self.dead_air))

    @property
    def figures(self) -> Series[TurnFigure]:
        """All figures that have several values."""
        return Series.of(
            (self.response_ms, self.barge_in_ms, self.overlap_ms, self.dead_air_ms), "figures"
        )

    @property
    def uncertainty(self) -> str:
        """Which figures are estimates, and how far each may be off."""
        return ESTIMATE_UNCERTAINTY if self.is_estimate else EXACT_UNCERTAINTY

    @property
    def definitions(self) -> Mapping[str, str]:
        """What each figure is, by its name."""
        return DEFINITIONS

    def describe(self) -> str:
        """Return the figures in one line; empty if there are none."""
        figures = [f"{each.name} {each.describe()}" for each in self.figures if each.values]
        return "; ".join([*figures, *self.describe_faults()])

    def describe_faults(self) -> list[str]:
        """Return in words what a caller would complain about whatever the limits are."""
        said = []
        if never := self.response_ms.never:
            said.append(f"{_count(never, 'time')} the server did not answer")
        if never := self.barge_in_ms.never:
            said.append(f"{_count(never, 'time')} the server went on speaking until the call ended")
        if self.false_barge_ins:
            times = _count(self.false_barge_ins, "time")
            said.append(
                f"{times} the server was stopped by a sound that was not meant to interrupt"
            )
        if self.cut_off_ms:
            cut = _say_ms(self.cut_off_ms)
            said.append(f"the server's last {cut} were not heard: it closed too early")
        return said

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the sound as plain values for JSON."""
        return {
            "seconds": round(self.seconds, 3),
            "turns": [turn.to_dict() for turn in self.rows],
            **{each.name: each.to_dict() for each in self.figures},
            "dead_air": [{"at": round(at, 3), "seconds": round(s, 3)} for at, s in self.dead_air],
            "false_barge_ins": self.false_barge_ins,
            "cut_off_ms": round(self.cut_off_ms),
            "faults": self.describe_faults(),
            "is_estimate": self.is_estimate,
            "definitions": dict(DEFINITIONS),
            "uncertainty": self.uncertainty,
        }

    def to_json(self) -> str:
        """Return everything except the sound as JSON."""
        return json.dumps(self.to_dict(), indent=2, allow_nan=False)

    def to_junit(
        self,
        *,
        name: str = "call",
        response_ms: float = math.inf,
        barge_in_ms: float = math.inf,
        overlap_ms: float = math.inf,
        dead_air_ms: float = math.inf,
    ) -> str:
        """Return the turns as XML of JUnit, which programs for continuous integration read.

        Each value is a test case, which fails if it exceeds the limit of its figure.  An answer or
        an end that never came, a false barge-in and last words that were cut off fail without one.

        Args:
            name: The name of the test suite.
            response_ms: The limit of each response time, in milliseconds.
            barge_in_ms: The limit of each barge-in time.
            overlap_ms: The limit of the overlap in each turn of the server.
            dead_air_ms: The limit of each silence that is dead air.

        Raises:
            TypeError: If a limit is no number.
        """
        require_type("a string", name=name)
        cases = self.list_cases(
            response_ms=response_ms,
            barge_in_ms=barge_in_ms,
            overlap_ms=overlap_ms,
            dead_air_ms=dead_air_ms,
        )
        return build_junit(name, cases, self.seconds, repr(self))

    def check(
        self,
        *,
        response_ms: float = math.inf,
        barge_in_ms: float = math.inf,
        overlap_ms: float = math.inf,
        dead_air_ms: float = math.inf,
    ) -> None:
        """Raise an error with all turns in it, unless every time is within its limit.

        An answer or an end that never came, a false barge-in and last words that were cut off fail
        without a limit; a limit of response or barge-in fails if there was none to be measured.

        Args:
            response_ms: The limit of each response time, in milliseconds.
            barge_in_ms: The limit of each barge-in time.
            overlap_ms: The limit of the overlap in each turn of the server.
            dead_air_ms: The limit of each silence that is dead air.

        Raises:
            AssertionError: If a time exceeds its limit, or there is one of these faults.
            TypeError, ValueError: If a limit is no number.

        Example:
            >>> import twistream_kit as kit
            >>> from twistream_kit.diagnosis.turns import find_turns
            >>> question = kit.load_clip("sample_audio/question.wav")
            >>> heard = kit.Clip.silence(5.5) + kit.load_clip("sample_audio/reply.wav")
            >>> turns = find_turns(heard, question)
            >>> turns.check(response_ms=2000)
            >>> try:
            ...     turns.check(response_ms=800)
            ... except AssertionError as error:
            ...     print(str(error).splitlines()[0])
            response_ms 1: 1680 ms, and the limit is 800 ms
        """
        __tracebackhide__ = True  # of pytest, which shows the line of the test instead
        cases = self.list_cases(
            response_ms=response_ms,
            barge_in_ms=barge_in_ms,
            overlap_ms=overlap_ms,
            dead_air_ms=dead_air_ms,
        )
        failed = [f"{case}: {failure}" for case, failure in cases.items() if failure]
        if failed:
            raise AssertionError("\n".join([*failed, repr(self)]))

    def list_cases(self, **limits: float) -> dict[str, str]:
        """Return the test cases that `to_junit` writes: what is wrong with each, or empty.

        Args:
            limits: The limits of figures by their names, in milliseconds.  A response or barge-in
                time with a limit and without a value is wrong, too: nothing was tried.

        Raises:
            TypeError, ValueError: If a limit is no number.
        """
        require_type("a number", **limits)
        for name, limit in limits.items():
            if math.isnan(limit):
                raise WrongValue(f"{name} is nan; give a limit in milliseconds")
        cases = {
            name: f"{name} has no values: {_NOTHING[name]}. {_FIX[name]}"
            for name in _FIX
            if math.isfinite(limits.get(name, math.inf)) and not getattr(self, name).values
        }
        for figure in self.figures:
            limit = limits.get(figure.name, math.inf)
            for number, value in enumerate(figure.values, 1):
                cases[f"{figure.name} {number}"] = _object_to_value(value, limit)
        times = _count(self.false_barge_ins, "time")
        false = f"{times} stopped by a sound that was not meant to interrupt"
        cases["false_barge_ins"] = false if self.false_barge_ins else ""
        cut = f"{_say_ms(self.cut_off_ms)} of its last words were not heard"
        cases["cut_off_ms"] = cut if self.cut_off_ms else ""
        return cases

    def __iter__(self) -> Iterator[Turn]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    def __bool__(self) -> bool:
        return True  # a call in which nobody spoke was measured too

    @overload
    def __getitem__(self, index: int) -> Turn: ...
    @overload
    def __getitem__(self, index: slice) -> Series[Turn]: ...
    def __getitem__(self, index: int | slice) -> Turn | Series[Turn]:
        return self.rows[index]

    def __repr__(self) -> str:
        lines = [f"Turns of a call of {self.seconds:.2f} s"]
        if not self.rows:
            lines.append("  nobody spoke")
        width = max((len(turn.delay) for turn in self.rows), default=0)
        for turn in self.rows:
            kind = f" ({turn.kind})" if turn.kind not in ("speech", "say") else ""
            overlap = f", both for {_say_ms(turn.overlap_ms)}" if turn.overlap_ms else ""
            lines.append(
                f"  {turn.who}  {turn.begins:5.2f} to {turn.ends:5.2f} s  "
                f"{turn.delay:{width}}  {turn.ending}{overlap}{kind}"
            )
        lines += [f"  {each.name:<12} {each.describe()}" for each in self.figures if each.values]
        lines += [f"  {fault}" for fault in self.describe_faults()]
        if self.is_estimate:
            lines.append(f"  {self.uncertainty}")
        return "\n".join(lines)

    def _collect(self, name: str, values: Iterable[float | None]) -> TurnFigure:
        return TurnFigure(name, tuple(value for value in values if value is not None))


def _object_to_value(value: float, limit: float) -> str:
    if math.isinf(value):
        return "never"
    if value > limit:
        return f"{_say_ms(value)}, and the limit is {_say_ms(limit)}"
    return ""


def build_junit(name: str, cases: Mapping[str, str], seconds: float, text: str) -> str:
    """Return the XML of JUnit.

    Args:
        name: The name of the test suite.
        cases: What is wrong with each of its test cases, or empty, by their names.
        seconds: How long the call lasted.
        text: What is shown with each failure.
    """
    text = _NO_XML.sub("", text)
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=str(sum(map(bool, cases.values()))),
        errors="0",
        skipped="0",
        time=f"{seconds:.3f}",
    )
    for case, failure in cases.items():
        element = ET.SubElement(suite, "testcase", classname=name, name=case, time="0")
        if failure:
            about = DEFINITIONS.get(case.partition(" ")[0], "")
            said = ET.SubElement(element, "failure", message=_NO_XML.sub("", failure))
            said.text = f"{about}\n{text}".strip()
    ET.SubElement(suite, "system-out").text = text
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return f"{document.decode()}\n"


def turns(call: Any) -> Turns:
    """Measure the turns of a call: who spoke when, and how fast the server answered.

    Of a real call the sound is known at your side only.  Response and barge-in times then lack the
    way from the caller's phone to you and back; `Turns.uncertainty` says which figures are
    estimates and by how much.  Of a call of `simulate_call` they are measured at the ear.

    Args:
        call: A `Capture`, or an object that has one: a stream, an inspected stream; or the report
            of a call, whose own turns are returned, as `Turns` themselves are.

    Raises:
        TypeError: If `call` is none of these.

    Example:
        >>> import twistream_kit as kit
        >>> reply = kit.load_clip("sample_audio/reply.wav")
        >>> question = kit.load_clip("sample_audio/question.wav")
        >>> capture = kit.Capture("MZ" + "0" * 32)
        >>> capture.append(kit.from_twilio.Start(capture.stream_sid), at=0.0)
        >>> for n, frame in enumerate((question + kit.Clip.silence(3.0)).frames(), 1):
        ...     media = kit.from_twilio.Media(capture.stream_sid, frame, n, "inbound", n, 20 * n)
        ...     capture.append(media, at=n * 0.02)
        >>> capture.append(kit.to_twilio.Media(capture.stream_sid, reply.payload), at=5.0)
        >>> kit.turns(capture).response_ms
        <TurnFigure response_ms: 1180 ms>
    """
    own = call if isinstance(call, Turns) else getattr(call, "turns", None)
    if isinstance(own, Turns):
        return own
    capture = getattr(call, "capture", call)
    if not isinstance(capture, Capture):
        raise WrongType(
            f"turns takes a Capture; stream.capture is one. This is {quote(type(call).__name__)}."
        )
    entries = capture.entries
    replay = Replay(entries, capture.endings)
    return find_turns(
        replay.render_heard(),
        render_said(capture),
        clears=find_clears(replay),
        cut_off_seconds=_find_cut_off(capture, replay),
        seconds=replay.seconds,
        is_estimate=True,
    )


def _find_cut_off(capture: Capture, replay: Replay) -> float:
    """Return how many seconds of sound waited when the server closed the stream.

    The caller or Twilio may have ended it, and then there is a stop message; or it goes on, and
    then no mark is lost yet.
    """
    is_stopped = any(isinstance(entry.message, from_twilio.Stop) for entry in capture.entries)
    if is_stopped or "lost" not in capture.endings.values() or not replay.levels:
        return 0.0
    return replay.levels[-1][1] / BYTES_PER_SECOND


def find_clears(replay: Replay) -> list[float]:
    """Return when the clears came that discarded sound, in seconds of the capture."""
    effective = {at for at, before, after, _ in replay.levels if before and not after}
    return [at for at in replay.clears if at in effective]


def render_said(capture: Capture) -> Clip:
    """Return the caller's sound, on the clock by which it arrived.

    `Capture.caller` puts the first message at the begin of the call, and so all later ones too
    late, because Twilio's first messages come at once (§10.20).
    """
    said = capture.caller.payload
    sizes = [
        (entry.at, entry.size)
        for entry in capture.entries
        if isinstance(entry.message, from_twilio.Media) and entry.message.track == "inbound"
    ]
    position, early = len(said), []
    for at, size in reversed(sizes):  # from the end, since lost messages are filled in before
        early.append(position - round(at * BYTES_PER_SECOND))
        position -= size
    shift = round(median(early)) if early else 0
    return Clip(said[shift:] if shift > 0 else b"\xff" * -shift + said, "caller")


def find_turns(
    heard: Clip,
    said: Clip | None = None,
    acts: Sequence[Act] | None = None,
    *,
    clears: Sequence[float] = (),
    cut_off_seconds: float = 0.0,
    seconds: float | None = None,
    is_estimate: bool = False,
) -> Turns:
    """Measure the turns of a conversation.

    Args:
        heard: What the caller heard, from the begin of the call.
        said: What the caller said, on the same clock; the caller's turns are found in it, if there
            are no `acts`.
        acts: What the caller did, in order, with the clean clips; those without a clip are passed
            over.
        clears: When the server sent a clear that discarded sound, in seconds.
        cut_off_seconds: How much sound was queued when the server closed.
        seconds: The duration of the call; that of the longer clip if None.
        is_estimate: Whether the sound was not taken at the ear.

    Raises:
        ValueError: If an act ends before it begins.
    """
    said = said or Clip(b"", "caller")
    if seconds is None:
        seconds = max(heard.seconds, said.seconds)
    measured = _TurnMeter(heard, seconds, clears)
    measured.add_caller(_place_acts(acts) if acts is not None else _find_caller(said))
    measured.measure()
    if cut_off_seconds and measured.server:
        measured.server[-1].ending = "cut off"
    rows = sorted([*measured.caller, *measured.server], key=lambda each: each.first)
    return Turns(
        rows=Series.of((each.make_turn() for each in rows), "turns"),
        seconds=seconds,
        dead_air=tuple(measured.list_dead_air()),
        false_barge_ins=sum(each.ending == "stopped by a sound" for each in measured.server),
        cut_off_ms=1000 * cut_off_seconds,
        is_estimate=is_estimate,
        heard=heard,
        said=said if acts is None else _render_acts(acts, said),
    )


@dataclass(slots=True)
class _Span:
    """A turn while it is measured, in frames."""

    who: Who
    first: int
    end: int
    kind: str = "speech"
    response: float | None = None
    barge_in: float | None = None
    overlap: int = 0
    ending: Ending = "finished"

    @property
    def is_meant(self) -> bool:
        return self.kind != _SOUND

    def make_turn(self) -> Turn:
        return Turn(
            self.who,
            _to_seconds(self.first),
            _to_seconds(self.end),
            self.kind,
            None if self.response is None else float(self.response * PTIME_MS),
            None if self.barge_in is None else float(self.barge_in * PTIME_MS),
            float(self.overlap * PTIME_MS),
            self.ending,
        )


def _place_acts(acts: Sequence[Act]) -> list[_Span]:
    """Return when the audible part of each clip was said."""
    spans = []
    for act in acts:
        if act.ends < act.begins:
            raise WrongValue(f"an act begins at {act.begins:g} s and ends at {act.ends:g} s")
        if act.clip is None:
            continue
        payload = act.clip.payload[: round((act.ends - act.begins) * BYTES_PER_SECOND)]
        if (audible := find_spoken(payload)) is not None:
            begin = round(act.begins * 1000 / PTIME_MS)
            first, end = audible
            kind = act.kind if act.meant else _SOUND
            spans.append(_Span("caller", begin + first, begin + end, kind))
    return spans


def _find_caller(said: Clip) -> list[_Span]:
    return [_Span("caller", *span) for span in find_speech(said.payload)]


def _render_acts(acts: Sequence[Act], said: Clip) -> Clip:
    """Return the sound of the acts, each at its time; `said` itself if it is there."""
    if said.payload:
        return said
    sound = bytearray()
    for act in acts:
        if act.clip is not None:
            begin = round(act.begins * BYTES_PER_SECOND)
            size = round((act.ends - act.begins) * BYTES_PER_SECOND)
            sound += b"\xff" * (begin - len(sound))
            sound[begin : begin + size] = act.clip.payload[:size]
    return Clip(bytes(sound), "caller")


class _TurnMeter:
    """What both parties said, in frames, and what follows from it."""

    def __init__(self, heard: Clip, seconds: float, clears: Sequence[float]) -> None:
        self._heard = heard.payload
        self.frames = round(seconds * 1000 / PTIME_MS)
        self._clears = clears
        self.caller: list[_Span] = []
        self.server = [_Span("server", *span) for span in find_speech(heard.payload)]

    def add_caller(self, spans: list[_Span]) -> None:
        """Add what the caller said; then join what is one turn of the server, and of the caller."""
        self.caller = spans
        if all(span.kind == "speech" for span in spans):  # found, not known
            self.caller = self._join(spans, self.server, self._pauses)
        self.server = self._join(self.server, self.caller, self._is_continued)

    def measure(self) -> None:
        """Measure everything that two turns have with each other."""
        meant = [span for span in self.caller if span.is_meant]
        for place, span in enumerate(meant):
            limit = meant[place + 1].first if place + 1 < len(meant) else self.frames
            self._measure_answer(span, limit)
        for span in self.caller:
            self._measure_interruption(span)
        for one in self.server:
            for other in self.caller:
                both = max(0, min(one.end, other.end) - max(one.first, other.first))
                one.overlap += both
                other.overlap += both
        for span in (*self.caller, *self.server):
            if span.end >= self.frames - 1 and span.ending == "finished" and self._is_cut(span):
                span.ending = "call ended"

    def list_dead_air(self) -> Iterator[tuple[float, float]]:
        """Yield the begin and the duration of each silence that the server should have ended."""
        last: Who = "server"
        end = 0
        for span in sorted([*self.caller, *self.server], key=lambda each: each.first):
            if span.first - end >= DEAD_AIR_MS / PTIME_MS and span.who == "server":
                yield _to_seconds(end), _to_seconds(span.first - end)
            if span.end > end:
                last, end = span.who, span.end
        if self.frames - end >= DEAD_AIR_MS / PTIME_MS and last == "caller":
            yield _to_seconds(end), _to_seconds(self.frames - end)

    def _join(self, spans: list[_Span], others: list[_Span], belongs: Any) -> list[_Span]:
        joined: list[_Span] = []
        for span in spans:
            if joined and belongs(joined[-1], span, others):
                joined[-1].end = span.end
            else:
                joined.append(span)
        return joined

    def _pauses(self, one: _Span, two: _Span, others: list[_Span]) -> bool:
        """Whether a caller only pauses between two pieces of speech."""
        is_answered = any(one.first < other.first < two.first for other in others)
        return not is_answered and two.first - one.end < TURN_PAUSE_MS / PTIME_MS

    def _is_continued(self, one: _Span, two: _Span, others: list[_Span]) -> bool:
        """Whether the server only pauses, also where the caller tries to interrupt it."""
        between = [
            other
            for other in others
            if one.first < other.first < two.first or one.end < other.end <= two.first
        ]
        gap = (two.first - one.end) * PTIME_MS
        if not any(other.is_meant for other in between):
            stopped = bool(between) and self._is_cut(one)
            return not stopped and gap < TURN_PAUSE_MS
        quickest = max(other.end for other in between) + _QUICKEST_ANSWER_MS / PTIME_MS
        return not self._is_cut(one) and gap < _GOES_ON_MS and two.first < quickest

    def _measure_answer(self, span: _Span, limit: int) -> None:
        for answer in self.server:
            if span.first < answer.first < limit and answer.end > span.end:
                answer.response = answer.first - span.end
                return
        if (limit - span.end) * PTIME_MS >= UNANSWERED_MS:
            span.response = math.inf

    def _measure_interruption(self, span: _Span) -> None:
        for server in self.server:
            if not server.first < span.first < server.end:
                continue
            went_on = server.end - span.first
            is_cut = self._is_cut(server)
            if not span.is_meant:
                if is_cut and went_on * PTIME_MS <= FALSE_BARGE_IN_MS and self._is_followed(server):
                    server.ending = "stopped by a sound"
            elif self._is_followed(server):
                span.barge_in = went_on
                if is_cut:
                    server.ending = "stopped"
            elif went_on * PTIME_MS >= UNANSWERED_MS:
                span.barge_in = math.inf

    def _is_followed(self, span: _Span) -> bool:
        """Whether the call goes on after it."""
        return span.end < self.frames - 1

    def _is_cut(self, span: _Span) -> bool:
        """Whether speech did not end by itself: a clear ended it, or it did not fade out."""
        if span.who == "server":
            end = span.end * PTIME_MS
            if any(abs(1000 * clear - end) <= _CLEAR_MS for clear in self._clears):
                return True
        else:
            return False
        last = self._heard[(span.end - 1) * FRAME_BYTES : span.end * FRAME_BYTES]
        after = self._heard[span.end * FRAME_BYTES : (span.end + 1) * FRAME_BYTES]
        is_silent = not after or measure_level(after) <= AUDIBLE_DB
        return is_silent and bool(last) and measure_level(last) > AUDIBLE_DB + _ABRUPT_DB


def _to_seconds(frames: int) -> float:
    return frames * PTIME_MS / 1000


def _say_ms(milliseconds: float) -> str:
    return "never" if math.isinf(milliseconds) else f"{milliseconds:.0f} ms"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _as_json(milliseconds: float | None) -> float | None:
    if milliseconds is None or math.isinf(milliseconds):
        return None
    return round(milliseconds, 1)
