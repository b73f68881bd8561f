"""Turns of a conversation: who spoke when, how fast the server answered, how it stopped.

`find_turns` measures at the ear, from the sound itself: what the caller heard and what the caller
said, on one clock that is counted in frames of 20 ms.  Of a script the clips that were said are
known, and with them when they begin and end; all else is found by `speech`.  `turns` does the same
for a capture.  `turn_figures` defines each figure.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NoReturn, overload

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.capture.replay import Replay
from twistream_kit.diagnosis._turn_cases import list_cases, list_skipped, list_values
from twistream_kit.diagnosis._turn_meter import (
    SOUND,
    Act,
    TurnMeter,
    TurnSpan,
    WholeSound,
    find_caller,
    place_acts,
    to_seconds,
)
from twistream_kit.diagnosis._turn_reasons import (
    Reason,
    Unsaid,
    explain_barge_in,
    explain_response,
    list_unsaid,
)
from twistream_kit.diagnosis.junit import build_junit
from twistream_kit.diagnosis.turn import Turn, is_run_together, is_to_its_end
from twistream_kit.diagnosis.turn_capture import (
    find_clears,
    find_cut_off,
    find_whole,
    render_said,
)
from twistream_kit.diagnosis.turn_figures import (
    DEFINITIONS,
    ESTIMATE_UNCERTAINTY,
    EXACT_UNCERTAINTY,
    RUN_TOGETHER,
    TurnFigure,
    build_no_attribute,
    say_ms,
    say_times,
)
from twistream_kit.errors import WrongType, quote, require_type
from twistream_kit.listing import Series
from twistream_kit.protocol.from_twilio import PTIME_MS
from twistream_kit.protocol.playout import BYTES_PER_SECOND

_NO_REASON = Reason()


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
        unsaid: The steps of a script in which the caller was to speak, and said nothing.

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
    unsaid: tuple[Unsaid, ...] = ()

    @property
    def response_ms(self) -> TurnFigure:
        """How long the caller waited for each answer, in milliseconds; see `DEFINITIONS`."""
        values = (turn.response_ms for turn in self.rows)
        reason = explain_response(self.rows, self.unsaid)
        return self._collect("response_ms", values, reason=reason)

    @property
    def barge_in_ms(self) -> TurnFigure:
        """How long the server went on when it was interrupted, each time, in milliseconds."""
        return self._collect(
            "barge_in_ms",
            (turn.barge_in_ms for turn in self.rows),
            sum(map(is_to_its_end, self.rows)),
            explain_barge_in(self.rows, self.unsaid),
        )

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
    def cleared(self) -> int:
        """How often a clear ended a turn of the server while the caller did not speak."""
        return sum(turn.ending == "cleared" for turn in self.rows)

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
        figures = [f"{each.name} {each.describe()}" for each in self._list_shown()]
        return "; ".join([*figures, *self._describe_cleared(), *self.describe_faults()])

    def describe_faults(self) -> list[str]:
        """Return in words what a caller would complain about whatever the limits are."""
        said = []
        if never := self.response_ms.never:
            together = sum(map(is_run_together, self.rows))
            why = f", {RUN_TOGETHER}" if together == never else ""
            why = why or (f" ({say_times(together)}, {RUN_TOGETHER})" if together else "")
            said.append(f"{say_times(never)} the server did not answer{why}")
        if never := self.barge_in_ms.never:
            said.append(f"{say_times(never)} the server went on speaking until the call ended")
        if self.false_barge_ins:
            times = say_times(self.false_barge_ins)
            said.append(
                f"{times} the server was stopped by a sound that was not meant to interrupt"
            )
        if self.cut_off_ms:
            cut = say_ms(self.cut_off_ms)
            said.append(f"the server's last {cut} were not heard: it closed too early")
        return said

    def _describe_cleared(self) -> list[str]:
        if not self.cleared:
            return []
        times = say_times(self.cleared)
        return [f"{times} a clear ended what the server said while the caller did not speak"]

    def to_dict(self) -> dict[str, Any]:
        """Return everything except the sound as plain values for JSON."""
        return {
            "seconds": round(self.seconds, 3),
            "turns": [turn.to_dict() for turn in self.rows],
            **{each.name: each.to_dict() for each in self.figures},
            "dead_air": [{"at": round(at, 3), "seconds": round(s, 3)} for at, s in self.dead_air],
            "false_barge_ins": self.false_barge_ins,
            "cleared": self.cleared,
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
        **others: float,
    ) -> str:
        """Return the turns as XML of JUnit, which programs for continuous integration read.

        Each value is a test case, with the value as its output; it fails if that exceeds the limit
        of its figure.  An answer or
        an end that never came, a false barge-in and last words that were cut off fail without one.

        Args:
            name: The name of the test suite.
            response_ms: The limit of each response time, in milliseconds.
            barge_in_ms: The limit of each barge-in time.
            overlap_ms: The limit of the overlap in each turn of the server.
            dead_air_ms: The limit of each silence that is dead air.
            others: There are none; an unknown name is refused with the nearest.

        Raises:
            TypeError, ValueError: If a limit is no number, of no figure, less than 0, or a part of
                1 ms.
        """
        require_type("a string", name=name)
        limits = {
            "response_ms": response_ms,
            "barge_in_ms": barge_in_ms,
            "overlap_ms": overlap_ms,
            "dead_air_ms": dead_air_ms,
            **others,
        }
        cases = self.list_cases(**limits)
        skipped = self.list_skipped(**limits)
        return build_junit(name, cases, self.seconds, repr(self), skipped, self.list_values())

    def check(
        self,
        *,
        response_ms: float = math.inf,
        barge_in_ms: float = math.inf,
        overlap_ms: float = math.inf,
        dead_air_ms: float = math.inf,
        **others: float,
    ) -> None:
        """Raise an error with all turns in it, unless every time is within its limit.

        An answer or an end that never came, a false barge-in and last words that were cut off fail
        without a limit; a limit of response or barge-in fails if there was none to be measured, and
        so does a call in which the caller neither asked nor interrupted.

        Args:
            response_ms: The limit of each response time, in milliseconds.
            barge_in_ms: The limit of each barge-in time.
            overlap_ms: The limit of the overlap in each turn of the server.
            dead_air_ms: The limit of each silence that is dead air.
            others: There are none; an unknown name is refused with the nearest.

        Raises:
            AssertionError: If a time exceeds its limit, or there is one of these faults.
            TypeError, ValueError: If a limit is no number, of no figure, less than 0, or a part of
                1 ms.

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
            **others,
        )
        failed = [f"{case}: {failure}" for case, failure in cases.items() if failure]
        is_tried = self.response_ms.values or self.barge_in_ms.values or self.is_sound_tried
        if not (failed or is_tried or math.isfinite(overlap_ms) or math.isfinite(dead_air_ms)):
            failed = [f"{name}: {why}" for name, why in self.list_skipped().items()]
        if failed:
            raise AssertionError("\n".join([*failed, repr(self)]))

    def list_cases(self, **limits: float) -> dict[str, str]:
        """Return the test cases that `to_junit` writes: what is wrong with each, or empty.

        Args:
            limits: The limits of figures by their names, in milliseconds.  A response or barge-in
                time with a limit and without a value is wrong, too: nothing was tried.

        Raises:
            TypeError, ValueError: If a limit is no number, of no figure, less than 0, or a part of
                1 ms.
        """
        return list_cases(self, limits)

    def list_values(self) -> dict[str, str]:
        """Return what was measured in each test case of `list_cases`, in words."""
        return list_values(self)

    def list_skipped(self, **limits: float) -> dict[str, str]:
        """Return the test cases that `to_junit` skips, because nothing was tried, and why.

        Args:
            limits: The limits of figures by their names; one with a limit is no skipped case.

        Raises:
            TypeError, ValueError: As `list_cases` does.
        """
        return list_skipped(self, limits)

    if not TYPE_CHECKING:  # which finds a wrong name by itself

        def __getattr__(self, name: str) -> NoReturn:
            __tracebackhide__ = True  # of pytest, which shows the line of the test instead
            raise build_no_attribute(self, name)

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
            times = f"{turn.begins:5.2f} to {turn.ends:5.2f} s"
            if turn.ending == "not heard":
                times = f"{'–':^{len(times)}}"
            kind = f" ({turn.kind})" if turn.kind not in ("speech", "say") else ""
            overlap = f", overlap {say_ms(turn.overlap_ms)}" if turn.overlap_ms else ""
            lines.append(
                f"  {turn.who}  {times}  {turn.delay:{width}}  {turn.outcome}{overlap}{kind}"
            )
        lines += [f"  {each.name:<12} {each.describe()}" for each in self._list_shown()]
        lines += [f"  {said}" for said in (*self._describe_cleared(), *self.describe_faults())]
        if self.is_estimate:
            lines.append(f"  {self.uncertainty}")
        return "\n".join(lines)

    @property
    def is_sound_tried(self) -> bool:
        """Whether the caller made a sound, not meant to interrupt, while the server spoke."""
        return any(turn.kind == SOUND and turn.overlap_ms for turn in self.rows)

    def _list_shown(self) -> list[TurnFigure]:
        return [each for each in self.figures if each.values or each.reason]

    def _collect(
        self,
        name: str,
        values: Iterable[float | None],
        to_its_end: int = 0,
        reason: Reason = _NO_REASON,
    ) -> TurnFigure:
        found = tuple(value for value in values if value is not None)
        return TurnFigure(name, found, to_its_end, *(_NO_REASON if found else reason))


def turns(call: Any) -> Turns:
    """Measure the turns of a call: who spoke when, and how fast the server answered.

    Of a real call the sound is known at your side only.  Response and barge-in times then lack the
    way from the caller's phone to you and back; `Turns.uncertainty` says which figures are
    estimates and by how much.  Of a call of `simulate_call` they are measured at the ear; its
    ``report.capture`` alone is Twilio's side, without what a line delays.

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
        whole=find_whole(replay),
        cut_off_seconds=(cut_off := find_cut_off(capture, replay)),
        is_closed=cut_off > 0,
        seconds=replay.seconds,
        is_estimate=True,
    )


def find_turns(
    heard: Clip,
    said: Clip | None = None,
    acts: Sequence[Act] | None = None,
    *,
    clears: Sequence[float] = (),
    whole: Sequence[WholeSound] = (),
    cut_off_seconds: float = 0.0,
    is_closed: bool = False,
    seconds: float | None = None,
    is_estimate: bool = False,
) -> Turns:
    """Measure the turns of a conversation.

    Args:
        heard: What the caller heard, from the beginning of the call.
        said: What the caller said, on the same clock; the caller's turns are found in it, if there
            are no `acts`.
        acts: What the caller did, in order, with the clean clips; those without a clip are passed
            over.
        clears: When the server sent a clear that discarded sound, in seconds.
        whole: The sound that was heard to the end of what the server had sent.
        cut_off_seconds: How much sound was queued when the server closed.
        is_closed: Whether the server ended the call.
        seconds: The duration of the call, if it was longer than all that was heard and said.
        is_estimate: Whether the sound was not taken at the ear.

    Raises:
        ValueError: If an act ends before it begins.
    """
    said = said or Clip(b"", "caller")
    last_act = max((act.ends for act in acts or () if act.clip is not None), default=0.0)
    seconds = max(seconds or 0.0, heard.seconds, said.seconds, last_act)
    measured = TurnMeter(heard, seconds, clears, whole, is_closed=is_closed)
    measured.add_caller(place_acts(acts) if acts is not None else find_caller(said))
    measured.measure()
    dead_air = tuple(measured.list_dead_air())
    if cut_off_seconds:
        measured.add_lost(1000 * cut_off_seconds)
    rows = sorted([*measured.caller, *measured.server], key=lambda each: each.first)
    return Turns(
        rows=Series.of(map(_make_turn, rows), "turns"),
        seconds=seconds,
        dead_air=dead_air,
        false_barge_ins=sum(each.ending == "stopped by a sound" for each in measured.server),
        cut_off_ms=1000 * cut_off_seconds,
        is_estimate=is_estimate,
        heard=heard,
        said=said if acts is None else _render_acts(acts, said),
        unsaid=list_unsaid(acts or (), measured.ended_by, seconds),
    )


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


def _make_turn(span: TurnSpan) -> Turn:
    return Turn(
        span.who,
        to_seconds(span.first),
        to_seconds(span.end),
        span.kind,
        None if span.response is None else float(span.response * PTIME_MS),
        None if span.barge_in is None else float(span.barge_in * PTIME_MS),
        float(span.overlap * PTIME_MS),
        span.ending,
        span.is_stopped,
        span.lost_ms,
        span.too_soon,
    )
