"""What would be heard of a whole stream other than what was meant (PROTOCOL.md §4, §9).

Twilio plays every payload as PCMU, one behind the other, 8000 bytes a second, and logs nothing,
whatever it holds.  `look_inside` reviews one payload; here stands what only shows over many.

- `SoundReview` follows a stream message by message.  It costs a few microseconds a message.  Now
  and then there are milliseconds of work, which are spread over the messages that follow, less than
  one on each: whoever follows a stream must not stand still.
- `SoundWindow` chooses what is listened to.  That costs milliseconds for each second of sound, and
  a wrong coding is wrong from the first second on.  So three seconds are taken, then a rest is
  made, each twice as long as the one before.  A clip that is sent whole is listened to in any case.
- `SendingPace` tells whether sound is sent in time: neither slower than it is played nor ten
  minutes ahead.  Where Twilio has no sound, it plays silence.  A server that sleeps 20 ms after
  each 20 ms of sound is therefore always late, by what else it does, and the caller hears a stutter
  (§9, item 2).  A pause between two sentences is none: there, the sound is soft on one side at
  least.
- `RepeatedHeaders` finds file headers in the midst of a stream: one more for each file that
  somebody sends as it is.  Twilio reads no headers, it plays them: each is heard as a click,
  whether it stands at the beginning of a message or was cut in two.
- `clicks_at` finds clicks where one message ends and the next begins.  Nothing at all marks these
  borders in good sound.  A resampler without a memory, or a piece that is missing, leaves a break:
  the next samples are not those that the ones before led one to expect.  That is measured by
  predicting each sample from the eight before it; the error at a border is compared with the errors
  at eight other places near it.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis._coding import recognise_coding, suspect_rate_in_steps
from twistream_kit.diagnosis.payload import (
    SHORTEST_BYTES,
    full_scale_share,
    is_cut,
    look_inside,
)
from twistream_kit.errors import Objection, Objections, sort_by_severity
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.playout import (
    BYTES_PER_SECOND,
    CAPACITY_SECONDS,
    MEDIA_DISCARDED,
    SEND_AHEAD_SECONDS,
)
from twistream_kit.sound_file import WAV_HEAD_BYTES, find_container, find_wav_headers

FIELD = "media.payload"
"""How objections to sound name what they are about."""

MOST_MISTAKES = 1000
"""How many different mistakes are kept of one stream; further ones are dropped."""

_SILENT_SECONDS = 3.0
"""Of silence at the beginning of a stream are worth a note (our choice)."""

_SILENT_BYTES = int(_SILENT_SECONDS * BYTES_PER_SECOND)

_INAUDIBLE = bytes(code for code in range(256) if code & 0x7F >= 0x7C)
"""The codes of 0 to 24 of 32,768: silence, and what a quiet line adds to it."""

_PAUSE_BYTES = BYTES_PER_SECOND // 2
"""Half a second: shorter pauses belong to speech, longer ones are not listened to."""

_ODD_MESSAGES = 3
"""So many messages that are no whole frames, and more than half of all, are worth a note."""

_WHOLE_CLIP = BYTES_PER_SECOND
"""In bytes: what is sent at a time from here on ends where it ends, in whatever part of a frame.

Few messages may follow on which work could be spread.
"""

_RATE_ROUNDS = 3
"""In so many the sample rate is looked at: that costs more than all the rest, and a rate does not
change in the middle of a call."""

_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![A-Za-z\d.])[\d.]+(?!x)")
"""Numbers and quotations; but PCM16 and 0x80 are names."""

_ODD_SIZES = Objection(
    None,
    FIELD,
    "is no multiple of 160 bytes in most messages",
    "What Twilio does with part of a frame is not documented; it may fill it up with silence",
    "Cut sound into multiples of 160 bytes, 20 ms each: kit.Clip.frames(); or stream.play(clip)",
    "note",
)

_SILENT_SO_FAR = Objection(
    None,
    FIELD,
    f"holds nothing but silence in the first {_SILENT_SECONDS:g} s of sound",
    "The caller hears nothing so far, and all that follows waits behind it",
    "If speech was meant, look at what the bytes were read from",
    "note",
)

_NOTHING_BUT_SILENCE = Objection(
    None,
    FIELD,
    "was nothing but silence on the whole stream",
    "The caller heard nothing",
    "Look at what the bytes were read from: kit.inspect_wav(path), kit.plot_waveform(clip)",
    "warning",
)

_SECOND_BYTES = BYTES_PER_SECOND

_ROUND_BYTES = 3 * BYTES_PER_SECOND

_FIRST_REST, _LONGEST_REST = 4 * BYTES_PER_SECOND, 60 * BYTES_PER_SECOND
"""In bytes of audible sound: how much goes by between two rounds."""

_PACE_FIELD = "media"
"""How objections to the pace name what they are about."""

_SHORTEST_GAP, _LONGEST_GAP = 0.001, 0.4
"""In seconds.  Twilio plays frames, so a gap of a millisecond now and then costs 20 of them; what
is longer than the other is heard as a pause."""

_FEWEST_GAPS = 5

_GAPS_TOGETHER = 0.1
"""In seconds.  What the network or a busy machine delays now and then is far below it: whoever
sends by a clock is ahead again after each delay."""

_WITHIN_SECONDS = 10.0
"""Gaps that lie further back are forgotten."""

_EDGE_BYTES = 80
"""10 ms before and behind a gap tell whether sound was cut in two."""

_LOUD = 0x60
"""Codes without their sign count downwards: up to this one lies all from -39 dBFS upwards."""

_MAGNITUDES = bytes(code & 0x7F for code in range(256))

_TOO_SLOW = "comes more slowly than it sounds"

_TOO_FAR_AHEAD = Objection(
    MEDIA_DISCARDED,
    _PACE_FIELD,
    "is more than ten minutes ahead of what the caller hears",
    f"Twilio discards what does not fit, with warning {MEDIA_DISCARDED}, logged once per stream",
    "Wait for a mark to come back before you send more; "
    f"stream.play(clip) keeps {SEND_AHEAD_SECONDS:g} s ahead",
)

FEWEST_BORDERS = 12
"""Fewer than this prove nothing."""

_SHORTEST_MESSAGE = 64
"""In bytes: shorter messages have no inside to compare their borders with."""

_ORDER = 8
"""By how many samples before it each sample is predicted."""

_ERROR_BEFORE, _ERROR_BEHIND = 1, 4
"""In samples: where around a border its greatest error is looked for."""

_PLACES = np.array([-0.5, -0.375, -0.25, -0.125, 0.125, 0.25, 0.375, 0.5])
"""Where else it is looked for, in parts of a message before and behind the border."""

_TIMES_GREATER = 2.0

_AUDIBLE = 100
"""Of 32,768: a softer click is lost in the sound."""

_FEWEST_CLICKS, _SHARE_OF_CLICKS = 5, 0.1
"""Measured: speech, music, noise and tones that are whole have up to 0.05; what was converted piece
by piece 0.15 to 1, as far as it is loud enough at the borders."""

_Samples = NDArray[np.float64]


def review_sound(source: Capture | bytes | Iterable[bytes | to_twilio.Media]) -> Objections:
    """Say what would be heard of a whole stream other than what was meant.

    A call takes PCMU at 8000 Hz in mono; Twilio plays all else as noise, and logs nothing
    (PROTOCOL.md §4, §9).

    Args:
        source: A capture, of which what the server sent is judged with its times; or payloads, or
            `to_twilio.Media`, which are taken as sent in time.

    Returns:
        Each kind of objection once, errors first; empty if all is well.

    Raises:
        TypeError: If `source` is none of these.

    Example:
        >>> import twistream_kit as kit
        >>> clip = kit.load_clip("sample_audio/greeting.wav")
        >>> kit.review_sound([clip.payload])
        nothing to object to
        >>> kit.review_sound([clip.payload.hex().encode()])
        - media.payload is hexadecimal digits, not sound. ...
    """
    if isinstance(source, Capture):
        return _review_capture(source)
    sound = SoundReview()
    at = 0.0
    found: list[Objection] = []
    for each in [source] if isinstance(source, bytes | bytearray) else source:
        payload = each.payload if isinstance(each, to_twilio.Media) else each
        if not isinstance(payload, bytes | bytearray):
            raise TypeError(
                f"a payload is bytes, not {type(payload).__name__}; "
                "kit.load_clip(path).payload is one"
            )
        found += sound.sent(bytes(payload), at)
        at += len(payload) / BYTES_PER_SECOND
    return sort_by_severity([*found, *sound.finish(at)])


def _review_capture(capture: Capture) -> Objections:
    sound = SoundReview(capture.stream_sid)
    found: list[Objection] = []
    for entry in capture.entries:
        if isinstance(entry.message, to_twilio.Media) and entry.is_kept:
            found += sound.sent(entry.message.payload, entry.at)
        elif isinstance(entry.message, to_twilio.Clear):
            sound.cleared(entry.at)
    return sort_by_severity([*found, *sound.finish(capture.seconds)])


def listen_to(payload: bytes) -> list[Objection]:
    """Return what shows in half a second of sound or more, and not in every byte of it."""
    sound = SoundReview()
    known = {mistake_in(objection) for objection in look_inside(payload, FIELD)}
    found = [*sound.sent(payload, 0.0), *sound.finish(0.0)]
    return [each for each in found if mistake_in(each) not in known]


class SoundReview:
    """Follows the sound that a server sends on one stream; time is an argument.

    Every kind of objection comes once, as Twilio's warnings do, but with what is wrong.

    Args:
        stream_sid: The name of the stream; only spreads the work of many over time.
        at_leisure: Whether `sent` leaves all listening, which costs milliseconds, to `listen`.
    """

    def __init__(self, stream_sid: str = "", *, at_leisure: bool = False) -> None:
        self._at_leisure = at_leisure
        self._mistakes = MistakeCounter()
        self._pace = SendingPace()
        self._headers = RepeatedHeaders(FIELD)
        self._listening: deque[Iterator[list[Objection]]] = deque()
        self._window = SoundWindow(crc32(stream_sid.encode()))
        self._is_recognised = False
        self._is_audible = False
        self._pause = self._rounds = 0
        self._size = self._messages = self._odd = 0

    def sent(
        self, payload: bytes, at: float, inside: list[Objection] | None = None
    ) -> list[Objection]:
        """Take in the sound of one message; return what is newly objected to.

        Args:
            payload: Decoded, any length.
            at: When it was sent, in seconds of any clock.
            inside: What `look_inside` says of it, where that was asked already.
        """
        found = look_inside(payload, FIELD) if inside is None else inside
        if header := self._headers.sent(payload, is_file=bool(found)):
            found = [*found, header]
        # Noted before anything is listened to: what follows from it is no news.
        new, found = (self._mistakes.add(found) if found else []), []
        if self._is_worth_listening(payload):
            if not self._pace.is_joined(at):
                self._window.interrupt()
            if due := self._window.add(payload):
                self._listening += map(self._listen, due)
            if len(payload) >= _WHOLE_CLIP:
                # Each may come from a file of its own, in a coding of its own.
                self._listening.append(self._listen(SoundPiece(payload[:_ROUND_BYTES])))
        else:
            self._window.interrupt()
        if self._listening and not self._at_leisure:
            new += self._heard(is_to_the_end=len(payload) >= _WHOLE_CLIP)
        if pace := self._pace.sent(payload, at):
            found = [*found, pace]
        if counted := self._counted(len(payload)):
            found = [*found, *counted]
        return [*new, *self._mistakes.add(found)] if found else new

    @property
    def found(self) -> Counter[Objection]:
        """Each objection with how many messages it applied to."""
        return self._mistakes.found

    @property
    def has_more_to_hear(self) -> bool:
        """Whether `listen` would do something."""
        return bool(self._listening)

    def listen(self) -> list[Objection]:
        """Do one step of listening, about a millisecond; return what is newly objected to."""
        return self._heard(is_to_the_end=False)

    def cleared(self, at: float) -> None:
        """Note that a clear was sent."""
        self._pace.cleared(at)
        self._window.interrupt()

    def finish(self, at: float) -> list[Objection]:  # noqa: ARG002 - time is an argument of every step
        """Return what is newly objected to now that nothing more will come."""
        piece = self._window.rest()
        if piece is not None and len(piece.payload) >= SHORTEST_BYTES:
            self._listening.append(self._listen(piece))
        new = self._heard(is_to_the_end=True)
        if self._size >= _PAUSE_BYTES and not self._is_audible:
            new += self._mistakes.add([_NOTHING_BUT_SILENCE])
        return new

    def _is_worth_listening(self, payload: bytes) -> bool:
        if payload.strip(_INAUDIBLE):
            self._is_audible, self._pause = True, 0
            return True
        self._pause += len(payload)
        return self._pause <= _PAUSE_BYTES and not self._window.is_empty

    def _heard(self, *, is_to_the_end: bool) -> list[Objection]:
        """Go on listening, by one step or to the end; return what did not show before."""
        new: list[Objection] = []
        while self._listening:
            for found in self._listening[0]:
                new += self._mistakes.add(each for each in found if each not in self._mistakes)
                if not is_to_the_end:
                    return new
            self._listening.popleft()
        return new

    def _listen(self, piece: SoundPiece) -> Iterator[list[Objection]]:
        """Listen to a second or three of sound, step by step; yield what each step has shown."""
        inside = look_inside(piece.payload, FIELD)
        if inside:
            yield inside
        if self._headers.is_packed:
            return
        if not self._is_recognised and (recognised := recognise_coding(piece.second)):
            self._is_recognised = True
            yield [recognised.objection(FIELD)]
        if inside or self._is_recognised or self._is_no_sound:
            return  # whatever else is heard of it follows from that
        if is_cut(piece.payload):
            yield [_object_to_clipping(full_scale_share(piece.payload))]
        yield []
        if clicks := clicks_at(piece.payload, piece.borders):
            yield [_object_to_clicks(clicks, len(piece.borders))]
        if piece.is_round and self._rounds < _RATE_ROUNDS:
            self._rounds += 1
            for suspected in suspect_rate_in_steps(piece.payload):
                yield [suspected.objection(FIELD)] if suspected else []

    @property
    def _is_no_sound(self) -> bool:
        return any(each.severity == "error" and each.field == FIELD for each in self.found)

    def _counted(self, size: int) -> list[Objection]:
        """Count a message; object to sizes, and to silence alone, at the one right moment."""
        found: list[Objection] = []
        before, self._size = self._size, self._size + size
        self._messages += 1
        if size % FRAME_BYTES and size < _WHOLE_CLIP:
            self._odd += 1
            if self._odd >= _ODD_MESSAGES and 2 * self._odd > self._messages:
                self._odd = -1 << 62  # once is enough
                found.append(_ODD_SIZES)
        if before < _SILENT_BYTES <= self._size and not self._is_audible:
            found.append(_SILENT_SO_FAR)
        return found


class MistakeCounter:
    """Counts in how many messages each mistake was made; the first objection stands for all.

    Attributes:
        found: Each objection with how many messages it applied to.
    """

    def __init__(self) -> None:
        self.found: Counter[Objection] = Counter()
        self._first: dict[tuple[str, str], Objection] = {}

    def __contains__(self, objection: Objection) -> bool:
        """Whether the same mistake was counted before."""
        return mistake_in(objection) in self._first

    def add(self, objections: Iterable[Objection]) -> list[Objection]:
        """Count the objections to one message; return those to a mistake that is new."""
        new = []
        for objection in objections:
            mistake = mistake_in(objection)
            first = self._first.get(mistake)
            if first is None:
                if len(self._first) >= MOST_MISTAKES:
                    continue
                first = self._first[mistake] = objection
                new.append(objection)
            self.found[first] += 1
        return new


def mistake_in(objection: Objection) -> tuple[str, str]:
    """Return what stays the same when the same mistake is made in the next message."""
    return objection.field, _VARIABLE.sub("", objection.problem)


def is_about_pace(objection: Objection) -> bool:
    """Whether `objection` is about when sound was sent, which a busy machine changes too."""
    return objection.problem.startswith(_TOO_SLOW)


def _object_to_clipping(share: float) -> Objection:
    """Return what is said of sound of which a `share` of 0 to 1 is at full scale."""
    return Objection(
        None,
        FIELD,
        f"is at full scale in {100 * share:.0f} % of its samples: it was made too loud and cut",
        "The caller hears a rasp on all that is loud",
        "Turn the sound down before it is converted; Clip.clipped counts what was cut",
        "warning",
    )


def _object_to_clicks(clicks: int, borders: int) -> Objection:
    """Return what is said of messages that click at so many of their borders."""
    return Objection(
        None,
        FIELD,
        f"clicks where messages meet: at {clicks} of {borders} borders it breaks off",
        "The caller hears a buzz; so it sounds when each piece is converted on its own",
        "Push all pieces through one kit.Resampler(rate), or convert the whole before you cut it",
        "warning",
    )


class SoundWindow:
    """Collects audible sound until there is enough of it to be listened to.

    Args:
        number: Of the stream, any; calls that begin together have different ones, and so are not
            listened to together: the first second may wait for half a second more, the whole round
            for two.
    """

    def __init__(self, number: int = 0) -> None:
        self._first = _SECOND_BYTES + number % 25 * FRAME_BYTES
        self._round = _ROUND_BYTES + number % 100 * FRAME_BYTES
        self._sound = bytearray()
        self._borders: list[int] = []
        self._joined = False
        self._is_begun = False  # its first second was listened to
        self._resting = 0
        self._next_rest = _FIRST_REST

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been collected since the last rest."""
        return not self._sound

    def add(self, payload: bytes) -> list[SoundPiece]:
        """Take sound in; return what is to be listened to now, nearly always nothing."""
        if self._resting > 0:
            self._resting -= len(payload)
            return []
        if self._joined and self._sound:
            self._borders.append(len(self._sound))
        self._sound += payload
        self._joined = True
        if len(self._sound) < (self._round if self._is_begun else self._first):
            return []
        return self._due()

    def interrupt(self) -> None:
        """Note that the next sound does not follow on what was added last."""
        self._joined = False

    def rest(self) -> SoundPiece | None:
        """Return what was collected and not listened to, when the stream is over."""
        if len(self._sound) >= _ROUND_BYTES:
            return self._whole_round()
        if self._is_begun or not self._sound:
            return None
        return SoundPiece(bytes(self._sound), self._borders)

    def _due(self) -> list[SoundPiece]:
        due: list[SoundPiece] = []
        if not self._is_begun:
            self._is_begun = True
            due.append(SoundPiece(bytes(self._sound[: self._first])))
        if len(self._sound) >= self._round:
            due.append(self._whole_round())
            self._sound, self._borders = bytearray(), []
            self._is_begun = self._joined = False
            self._resting, self._next_rest = (
                self._next_rest,
                min(2 * self._next_rest, _LONGEST_REST),
            )
        return due

    def _whole_round(self) -> SoundPiece:
        borders = [border for border in self._borders if border < _ROUND_BYTES]
        return SoundPiece(bytes(self._sound[:_ROUND_BYTES]), borders, is_round=True)


@dataclass(slots=True)
class SoundPiece:
    """A stretch of audible sound that is to be listened to.

    Attributes:
        payload: What was sent, silence between left out.
        borders: Where in it messages begin right behind the one before.
        is_round: Whether it is a whole round, and not the first second of one.
    """

    payload: bytes
    borders: list[int] = field(default_factory=list)
    is_round: bool = False

    @property
    def second(self) -> bytes:
        """The second of it by which a coding is told: the last one of a round, else the first."""
        return self.payload[-_SECOND_BYTES:] if self.is_round else self.payload[:_SECOND_BYTES]


class SendingPace:
    """Twilio's buffer as far as its level goes.  It has no clock: time is an argument."""

    def __init__(self) -> None:
        self._until = float("-inf")
        self._last = b""
        self._gaps: deque[tuple[float, float]] = deque()
        self._is_late = self._is_full = False

    def sent(self, payload: bytes, at: float) -> Objection | None:
        """Note sound sent at `at`, in seconds; return what is wrong with the pace, once each."""
        if not payload:
            return None
        found = None
        gap = at - self._until
        if gap > 0:
            if gap >= _SHORTEST_GAP and not self._is_late:
                found = self._ran_dry(gap, payload, at)
            self._until = at
        self._until += len(payload) / BYTES_PER_SECOND
        self._last = payload
        if self._until - at > CAPACITY_SECONDS:
            self._until = at + CAPACITY_SECONDS  # the rest is discarded
            found, self._is_full = (None if self._is_full else _TOO_FAR_AHEAD), True
        return found

    def is_joined(self, at: float) -> bool:
        """Whether sound sent at `at` is played right behind the sound before it."""
        return at - self._until < _SHORTEST_GAP

    def cleared(self, at: float) -> None:
        """Note that a clear was sent: what comes next is something new."""
        self._until = min(self._until, at)
        self._last = b""

    def _ran_dry(self, gap: float, payload: bytes, at: float) -> Objection | None:
        if gap > _LONGEST_GAP or not _is_cut_in_two(self._last, payload):
            return None
        self._gaps.append((at, gap))
        while at - self._gaps[0][0] > _WITHIN_SECONDS:
            self._gaps.popleft()
        together = sum(length for _, length in self._gaps)
        if len(self._gaps) < _FEWEST_GAPS or together < _GAPS_TOGETHER:
            return None
        self._is_late = True
        return _object_to_slowness([length for _, length in self._gaps], at - self._gaps[0][0])


def _is_cut_in_two(before: bytes, behind: bytes) -> bool:
    edges = (before[-_EDGE_BYTES:], behind[:_EDGE_BYTES])
    return all(edge and min(edge.translate(_MAGNITUDES)) <= _LOUD for edge in edges)


def _object_to_slowness(gaps: list[float], seconds: float) -> Objection:
    usual_ms = max(1, round(1000 * median(gaps)))
    return Objection(
        None,
        _PACE_FIELD,
        f"{_TOO_SLOW}: {len(gaps)} gaps of some {usual_ms} ms in {seconds:.1f} s",
        "Twilio plays silence in each gap, logging nothing: the caller hears a stutter",
        "Send ahead: stream.play(clip) does; if you pace, then by a clock and not by sleeps, and"
        " stay 200 ms ahead",
        "warning",
    )


class RepeatedHeaders:
    """Finds the second header, and a first one that stands in the midst of sound.

    Args:
        field: How the objections are to name the payload.
    """

    def __init__(self, field: str) -> None:
        self._field = field
        self._tail = b""
        self._sent = 0
        self._last: int | None = None
        self._is_told = False
        self._is_compressed = False

    @property
    def is_packed(self) -> bool:
        """Whether there are files in the stream that cannot be listened to as they are.

        They are compressed, or their headers lie in between; their sound is judged unpacked.
        """
        return self._is_told or self._is_compressed

    def sent(self, payload: bytes, *, is_file: bool) -> Objection | None:
        """Note what was sent next; return what is to be said of it, once.

        Args:
            payload: Any length.
            is_file: Whether it may begin like a file of any format, so that it is worth a look.
        """
        begin, tail = self._sent, self._tail
        self._sent += len(payload)
        joined = tail + payload if tail else payload
        self._tail = joined[1 - WAV_HEAD_BYTES :]
        if self._is_told:
            return None
        found: Objection | None = None
        # Nearly always there is none, and to look for it costs less than to begin a generator.
        for place in find_wav_headers(joined) if b"WAVE" in joined else ():
            found = self._header("WAV", begin - len(tail) + place, begin) or found
        name = find_container(payload) if is_file else None
        if name and name != "WAV":
            self._is_compressed = True
            found = self._header(name, begin, begin) or found
        return found

    def _header(self, name: str, at: int, begin: int) -> Objection | None:
        last, self._last = self._last, at
        if last is not None:
            self._is_told = True
            return _object_to_repeated_header(
                self._field, name, (at - last) * 1000 // BYTES_PER_SECOND
            )
        return None if at == begin else _object_to_header_amid(self._field, name, at)


def _object_to_repeated_header(field: str, name: str, apart_ms: int) -> Objection:
    return Objection(
        None,
        field,
        f"holds a header ({name}) again, {apart_ms} ms of sound behind the one before",
        f"Twilio would play each as sound: a click every {apart_ms} ms, logging nothing",
        "Take the header off each piece; kit.load_clip(piece).payload is without",
    )


def _object_to_header_amid(field: str, name: str, at: int) -> Objection:
    return Objection(
        None,
        field,
        f"holds the header of a {name} file in the midst of the stream, at byte {at}",
        "Twilio would play it as sound: a click, and noise if the file is not μ-law at 8000 Hz",
        "Send kit.load_clip(path).payload; files are joined as clips: kit.load_clip(a) +"
        " kit.load_clip(b)",
    )


def clicks_at(payload: bytes, borders: Sequence[int]) -> int:
    """Return at how many of the borders there is a click; 0 where it may be by chance.

    Args:
        payload: PCMU without gaps.
        borders: The positions in it at which messages begin, rising, without 0.
    """
    edges = np.array([0, *borders, len(payload)])
    sizes = np.diff(edges)
    room = np.minimum(sizes[:-1], sizes[1:])
    inside = room >= _SHORTEST_MESSAGE
    if np.count_nonzero(inside) < FEWEST_BORDERS:
        return 0
    at, room = edges[1:-1][inside], room[inside]
    errors = _find_prediction_errors(decode_ulaw(payload).astype(np.float64))
    here = _find_greatest(errors, at)
    elsewhere = _find_greatest(errors, at[:, None] + np.rint(room[:, None] * _PLACES).astype(int))
    breaks = (here > _TIMES_GREATER * elsewhere.max(axis=1)) & (here > _AUDIBLE)
    clicks = int(np.count_nonzero(breaks))
    return clicks if clicks >= max(_FEWEST_CLICKS, _SHARE_OF_CLICKS * len(at)) else 0


def _find_prediction_errors(samples: _Samples) -> _Samples:
    """Return how far each sample lies from what the eight before it lead one to expect."""
    n_samples = len(samples)
    # Not `@`: the threads of a BLAS wait for each other 70 ms long where the machine is busy.
    alike = np.array(
        [np.einsum("i,i->", samples[: n_samples - lag], samples[lag:]) for lag in range(_ORDER + 1)]
    )
    alike[0] = alike[0] * 1.0001 + 100 * n_samples  # a trace of noise, or silence has no solution
    lags = np.abs(np.subtract.outer(np.arange(_ORDER), np.arange(_ORDER)))
    weights = np.linalg.solve(alike[lags], alike[1:])
    return np.abs(np.convolve(samples, np.concatenate([[1.0], -weights]))[:n_samples])


def _find_greatest(errors: _Samples, places: NDArray[Any]) -> _Samples:
    near = places[..., None] + np.arange(-_ERROR_BEFORE, _ERROR_BEHIND)
    greatest: _Samples = errors[np.clip(near, 0, len(errors) - 1)].max(axis=-1)
    return greatest
