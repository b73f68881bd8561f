"""Turns while they are measured, in frames: what belongs together, what answers and stops what.

`TurnMeter` takes what both parties said, and measures everything that two turns have with each
other; `turns` makes a table of it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.speech import (
    AUDIBLE_DB,
    SpeechSpan,
    find_speech,
    find_spoken,
    measure_level,
)
from twistream_kit.errors import WrongValue
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.protocol.playout import BYTES_PER_SECOND

TURN_PAUSE_MS = 2000
"""A party that is silent for longer has ended its turn, even if the other says nothing (ours)."""

DEAD_AIR_MS = 2000
"""Silence from which a caller asks whether anybody is there (ours)."""

UNANSWERED_MS = 2000
"""A call that ends sooner after a question says nothing about the answer (ours)."""

FALSE_BARGE_IN_MS = 2000
"""A server that stops later than this after a sound stopped for another reason (ours)."""

_GOES_ON_MS = 700
"""A server that continues within this time after it fell silent has not stopped: between sentences
a speaker pauses for 400 to 700 ms."""

_PAUSE_MS = 1000
"""The same where only a pause is possible."""

_QUICKEST_ANSWER_MS = 200
"""What begins sooner after the caller's end is no answer: nobody can know so soon that it is one.
In conversations between people the gap is 200 ms in the middle (Stivers et al., PNAS 2009)."""

_ABRUPT_DB = 15.0
"""Speech that ends by itself fades out; if its last frame is this far above the audible level and
silence follows, it was cut."""

_CLEAR_FRAMES = 5
"""A clear acts within two frames; the rest, 60 ms, is for the difference of two clocks."""

_CUT_OFF_MS = 200
"""Words that are lost belong to what was heard if that lasted until shortly before the end."""

SOUND = "sound"
"""The kind of what the caller did not mean for the server."""

CLOSED, ENDED = "the server closed", "the call ended"
"""How a call ended, in words."""

Who = Literal["caller", "server"]

Ending = Literal[
    "finished", "stopped", "stopped by a sound", "cleared", "cut off", "not heard", "call ended"
]


class WholeSound(NamedTuple):
    """Sound that was heard to the end of what the server had sent.

    Attributes:
        begins: When it began, in seconds of the call.
        ends: When it ended.
        known_at: From when on it is known that the server sends no more of it; earlier than the
            call if a mark after it says so.
    """

    begins: float
    ends: float
    known_at: float


class TooSoon(NamedTuple):
    """Why a time is not known: the call ended too soon.

    Attributes:
        figure: The figure that lacks a value.
        ms: How long after the beginning or the end of what the caller said the call ended.
        by: How it ended, in words.
    """

    figure: Literal["response_ms", "barge_in_ms"]
    ms: float
    by: str

    @property
    def delay(self) -> str:
        what = "no answer" if self.figure == "response_ms" else "the server had not stopped"
        return f"{what}: {self.by} {f'after {self.ms:.0f} ms' if self.ms else 'at once'}"

    @property
    def reason(self) -> str:
        is_response = self.figure == "response_ms"
        since = "the question" if is_response else "the caller began to interrupt"
        after = f"{self.ms:.0f} ms after" if self.ms else "right after"
        return f"{self.by} {after} {since}, too soon to know"


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

    @property
    def outcome(self) -> str:
        """How it ended, in words."""


@dataclass(slots=True)
class TurnSpan:
    """A turn while it is measured, in frames."""

    who: Who
    first: int
    end: int
    kind: str = "speech"
    response: float | None = None
    barge_in: float | None = None
    overlap: int = 0
    ending: Ending = "finished"
    is_stopped: bool | None = None
    too_soon: TooSoon | None = None
    lost_ms: float = 0.0

    @property
    def is_meant(self) -> bool:
        return self.kind != SOUND


def place_acts(acts: Sequence[Act]) -> list[TurnSpan]:
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
            kind = act.kind if act.meant else SOUND
            span = TurnSpan("caller", begin + first, begin + end, kind)
            whole = find_spoken(act.clip.payload) if len(payload) < len(act.clip.payload) else None
            if whole is not None and whole.end > end:
                span.ending = "call ended"
            spans.append(span)
    return spans


def find_caller(said: Clip) -> list[TurnSpan]:
    return [TurnSpan("caller", *span) for span in find_speech(said.payload)]


class TurnMeter:
    """What both parties said, in frames, and what follows from it."""

    def __init__(
        self,
        heard: Clip,
        seconds: float,
        clears: Sequence[float] = (),
        whole: Sequence[WholeSound] = (),
        *,
        is_closed: bool = False,
    ) -> None:
        self._heard = heard.payload
        self.frames = round(seconds * 1000 / PTIME_MS)
        self._clears = sorted(round(clear * 1000 / PTIME_MS) for clear in clears)
        self._whole = whole
        self.ended_by = CLOSED if is_closed else ENDED
        self.caller: list[TurnSpan] = []
        self.server = [
            TurnSpan("server", *part)
            for span in find_speech(heard.payload)
            for part in self._split_at_clears(*span)
        ]
        self._add_fragments()

    def add_caller(self, spans: list[TurnSpan]) -> None:
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
        self._note_clears()
        for one in self.server:
            for other in self.caller:
                both = max(0, min(one.end, other.end) - max(one.first, other.first))
                one.overlap += both
                other.overlap += both
        for span in (*self.caller, *self.server):
            if span.end >= self.frames - 1 and span.ending == "finished" and self._is_cut(span):
                span.ending = "call ended"

    def add_lost(self, lost_ms: float) -> None:
        """Add the last words of the server that nobody heard: to its last turn, or by themselves.

        They belong to the last turn if that was heard until the end.
        """
        last = self.server[-1] if self.server else None
        is_part = (
            last is not None
            and (self.frames - last.end) * PTIME_MS <= _CUT_OFF_MS
            and last.ending in ("finished", "call ended")
        )
        if last is None or not is_part:
            last = TurnSpan("server", self.frames, self.frames)
            self.server.append(last)
        last.ending = "cut off" if is_part else "not heard"
        last.lost_ms = lost_ms

    def list_dead_air(self) -> Iterator[tuple[float, float]]:
        """Yield when each silence that the server should have ended began, and its duration."""
        last: Who = "server"
        end = 0
        for span in sorted([*self.caller, *self.server], key=lambda each: each.first):
            if span.first - end >= DEAD_AIR_MS / PTIME_MS and span.who == "server":
                yield to_seconds(end), to_seconds(span.first - end)
            if span.end > end:
                last, end = span.who, span.end
        if self.frames - end >= DEAD_AIR_MS / PTIME_MS and last == "caller":
            yield to_seconds(end), to_seconds(self.frames - end)

    def _split_at_clears(self, first: int, end: int) -> Iterator[tuple[int, int]]:
        """Yield the parts of speech between clears: what follows one is said anew.

        The detector takes silence of less than 400 ms for a pause within speech.
        """
        for clear in self._clears:
            silence = self._find_silence(clear, first, end)
            if silence is not None:
                yield first, silence.first
                first = silence.end
        yield first, end

    def _find_silence(self, clear: int, first: int, end: int) -> SpeechSpan | None:
        """Return the silence at a clear, or right after or before it, within some frames."""
        if end <= clear + _CLEAR_FRAMES:
            return None  # the clear has ended this speech
        places = (*range(clear, clear + _CLEAR_FRAMES + 1), *reversed(self._list_before(clear)))
        place = next((n for n in places if first < n < end and not self._is_audible(n)), None)
        if place is None:
            return None
        begin = next((n + 1 for n in range(place, first, -1) if self._is_audible(n)), first)
        again = next((n for n in range(place, end) if self._is_audible(n)), end)
        return SpeechSpan(begin, again) if first < begin and again < end else None

    def _add_fragments(self) -> None:
        """Add to each turn what a clear has cut off after a pause, which is too short for speech.

        In noise nothing tells one from the other.
        """
        for clear in self._clears:
            around = (*self._list_before(clear), *range(clear, clear + _CLEAR_FRAMES + 1))
            last = max((n for n in around if self._is_audible(n)), default=None)
            span = next((s for s in reversed(self.server) if s.first < clear), None)
            if last is None or span is None or not span.end <= last:
                continue
            is_quiet = not all(map(self._is_audible, range(span.end, last)))
            is_over = not self._is_audible(last + 1)
            if is_quiet and is_over and last - span.end < TURN_PAUSE_MS / PTIME_MS:
                span.end = last + 1

    def _list_before(self, clear: int) -> range:
        return range(max(0, clear - _CLEAR_FRAMES), clear)

    def _is_audible(self, frame: int) -> bool:
        heard = self._heard[frame * FRAME_BYTES : (frame + 1) * FRAME_BYTES]
        return bool(heard) and measure_level(heard) > AUDIBLE_DB

    def _join(
        self,
        spans: list[TurnSpan],
        others: list[TurnSpan],
        belongs: Callable[[TurnSpan, TurnSpan, list[TurnSpan]], bool],
    ) -> list[TurnSpan]:
        joined: list[TurnSpan] = []
        for span in spans:
            if joined and belongs(joined[-1], span, others):
                joined[-1].end = span.end
            else:
                joined.append(span)
        return joined

    def _pauses(self, one: TurnSpan, two: TurnSpan, others: list[TurnSpan]) -> bool:
        """Whether a caller only pauses between two pieces of speech."""
        is_answered = any(one.first < other.first < two.first for other in others)
        return not is_answered and two.first - one.end < TURN_PAUSE_MS / PTIME_MS

    def _is_continued(self, one: TurnSpan, two: TurnSpan, others: list[TurnSpan]) -> bool:
        """Whether the server only pauses, also where the caller tries to interrupt it."""
        between = [
            other
            for other in others
            if one.first < other.first < two.first or one.end < other.end <= two.first
        ]
        gap = (two.first - one.end) * PTIME_MS
        if self._is_cleared(one):
            return False  # what is said after a clear is said anew, whatever the clear was for
        if not any(other.is_meant for other in between):
            stopped = bool(between) and self._is_cut(one, min(each.first for each in between))
            return not stopped and gap < TURN_PAUSE_MS
        # What ends before the caller begins, or begins before the caller ends, is a pause: nobody
        # stops for what is not there yet, or stops and speaks on into it.
        begins, ends = min(other.first for other in between), max(other.end for other in between)
        is_pause = one.end <= begins or two.first < ends
        is_stopped = not is_pause and self._is_cut(one, begins)
        is_soon = gap < (_PAUSE_MS if is_pause else _GOES_ON_MS)
        return not is_stopped and is_soon and two.first < ends + _QUICKEST_ANSWER_MS / PTIME_MS

    def _measure_answer(self, span: TurnSpan, limit: int) -> None:
        for answer in self.server:
            if span.first < answer.first < limit and answer.end > span.end:
                answer.response = answer.first - span.end
                return
        if (limit - span.end) * PTIME_MS >= UNANSWERED_MS:
            span.response = math.inf
        elif limit == self.frames and self._is_over(span):
            span.too_soon = self._make_too_soon("response_ms", span.end)

    def _is_over(self, span: TurnSpan) -> bool:
        """Whether the caller had said all of it when the call ended."""
        is_known = span.kind != "speech"  # of found speech there could be more
        return span.ending != "call ended" and span.end < self.frames + is_known

    def _measure_interruption(self, span: TurnSpan) -> None:
        for server in self.server:
            if not server.first < span.first < server.end:
                continue
            went_on = server.end - span.first
            is_cut = self._is_cut(server, span.first)
            if not span.is_meant:
                if is_cut and went_on * PTIME_MS <= FALSE_BARGE_IN_MS and self._is_followed(server):
                    server.ending = "stopped by a sound"
            elif self._is_followed(server):
                span.barge_in = went_on
                span.is_stopped = is_cut
                if is_cut:
                    server.ending = "stopped"
            elif went_on * PTIME_MS >= UNANSWERED_MS:
                span.barge_in = math.inf
                span.is_stopped = False
            else:
                span.too_soon = self._make_too_soon("barge_in_ms", span.first)

    def _note_clears(self) -> None:
        """Note which turns of the server a clear has ended that nobody interrupted.

        The caller may have been speaking when the server began, or a sound may have been there;
        otherwise the clear has another reason, such as a key or noise on the line.
        """
        for server in self.server:
            if server.ending != "finished" or not self._is_cleared(server):
                continue
            if not self._is_followed(server):
                continue
            least = server.end - FALSE_BARGE_IN_MS / PTIME_MS
            over = [
                each for each in self.caller if server.first < each.end and each.first < server.end
            ]
            if any(each.is_meant and each.end >= least for each in over):
                server.ending = "stopped"
            elif any(
                not each.is_meant and least <= each.first < server.end for each in self.caller
            ):
                server.ending = "stopped by a sound"
            else:
                server.ending = "cleared"

    def _make_too_soon(self, figure: Literal["response_ms", "barge_in_ms"], frame: int) -> TooSoon:
        return TooSoon(figure, float((self.frames - frame) * PTIME_MS), self.ended_by)

    def _is_followed(self, span: TurnSpan) -> bool:
        """Whether the call goes on after it."""
        return span.end < self.frames - 1

    def _is_cut(self, span: TurnSpan, interrupted: float = math.inf) -> bool:
        """Whether speech did not end by itself: a clear ended it, or it did not fade out.

        What had been sent to its end before the interruption, and was heard whole, did.
        """
        if span.who == "caller":
            return False
        if self._is_cleared(span):
            return True
        if self._is_whole(span, interrupted):
            return False
        last = self._heard[(span.end - 1) * FRAME_BYTES : span.end * FRAME_BYTES]
        after = self._heard[span.end * FRAME_BYTES : (span.end + 1) * FRAME_BYTES]
        is_silent = not after or measure_level(after) <= AUDIBLE_DB
        return is_silent and bool(last) and measure_level(last) > AUDIBLE_DB + _ABRUPT_DB

    def _is_cleared(self, span: TurnSpan) -> bool:
        """Whether a clear came where it ended."""
        return any(abs(clear - span.end) <= _CLEAR_FRAMES for clear in self._clears)

    def _is_whole(self, span: TurnSpan, interrupted: float) -> bool:
        """Whether it ended with sound of which the server had sent all before `interrupted`."""
        end, slack = to_seconds(span.end), _CLEAR_FRAMES * PTIME_MS / 1000
        sounds = [each for each in self._whole if each.begins < end <= each.ends + slack]
        if not sounds:
            return False
        sound = sounds[-1]
        # A mark says nothing of speech in the middle of sound that went on as silence.
        known_at = sound.known_at if sound.ends - end <= _PAUSE_MS / 1000 else sound.ends
        return known_at <= interrupted * PTIME_MS / 1000


def to_seconds(frames: int) -> float:
    return frames * PTIME_MS / 1000
