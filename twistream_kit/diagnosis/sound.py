"""What would be heard of a whole stream other than what was meant (PROTOCOL.md §4, §9).

Twilio plays every payload as PCMU and logs nothing, whatever it holds.  One payload is judged by
`look_inside`; here stands what only shows over many: which coding they have, clicks where they
meet, whether they come in time.  It costs a few microseconds a message.  Now and then there are
milliseconds of work (see `SoundWindow`), which are spread over the messages that follow, less than
one on each: whoever follows a stream must not stand still.
"""

from __future__ import annotations

import re
from collections import Counter, deque
from collections.abc import Iterable, Iterator
from zlib import crc32

from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.chunk_borders import clicks_at
from twistream_kit.diagnosis.coding import recognise_coding
from twistream_kit.diagnosis.payload import SHORTEST_BYTES, full_scale_share, is_cut, look_inside
from twistream_kit.diagnosis.repeated_headers import RepeatedHeaders
from twistream_kit.diagnosis.sample_rate import suspect_rate_in_steps
from twistream_kit.diagnosis.sending_pace import SendingPace
from twistream_kit.diagnosis.sound_window import Piece, SoundWindow
from twistream_kit.diagnosis.sound_words import (
    FIELD,
    NOTHING_BUT_SILENCE,
    ODD_SIZES,
    SILENT_SECONDS,
    SILENT_SO_FAR,
    clicking,
    clipped,
)
from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.objection import Objection, Objections, by_importance
from twistream_kit.protocol.playout import BYTES_PER_SECOND

_INAUDIBLE = bytes(code for code in range(256) if code & 0x7F >= 0x7C)
"""The codes of 0 to 24 of 32,768: silence, and what a quiet line adds to it."""

_PAUSE_BYTES = BYTES_PER_SECOND // 2
"""Half a second: shorter pauses belong to speech, longer ones are not listened to."""

_ODD_MESSAGES = 3
_WHOLE_CLIP = BYTES_PER_SECOND
"""In bytes: what is sent at a time from here on ends where it ends, in whatever part of a frame.

Few messages may follow on which work could be spread.
"""

_RATE_ROUNDS = 3
"""It costs more than all the rest, and a sample rate does not change in the middle of a call."""

_VARIABLE = re.compile(r"'[^']*'|\"[^\"]*\"|(?<![A-Za-z\d.])[\d.]+(?!x)")
"""Numbers and quotations; but PCM16 and 0x80 are names."""


class SoundReview:
    """Follows the sound that a server sends on one stream; time is an argument.

    Every kind of objection comes once, as Twilio's warnings do, but with what is wrong.

    Args:
        stream_sid: The name of the stream; only spreads the work of many over time.
        at_leisure: Whether `sent` leaves all listening, which costs milliseconds, to `listen`.

    Attributes:
        found: Each objection with how many messages it applied to.
    """

    def __init__(self, stream_sid: str = "", *, at_leisure: bool = False) -> None:
        self._at_leisure = at_leisure
        self.found: Counter[Objection] = Counter()
        self._kinds: dict[tuple[str, str], Objection] = {}
        self._pace = SendingPace()
        self._headers = RepeatedHeaders(FIELD)
        self._listening: deque[Iterator[list[Objection]]] = deque()
        self._window = SoundWindow(crc32(stream_sid.encode()))
        self._is_recognised = False
        self._is_audible = False
        self._pause = self._rounds = 0
        self._size = self._messages = self._odd = 0

    def sent(self, payload: bytes, at: float) -> list[Objection]:
        """Take in the sound of one message; return what is newly objected to.

        Args:
            payload: Decoded, any length.
            at: When it was sent, in seconds of any clock.
        """
        found = look_inside(payload, FIELD)
        if header := self._headers.sent(payload, is_file=bool(found)):
            found = [*found, header]
        # Noted before anything is listened to: what follows from it is no news.
        new, found = (self._new(found) if found else []), []
        if self._is_worth_listening(payload):
            if not self._pace.is_joined(at):
                self._window.interrupt()
            self._listening += map(self._listen, self._window.add(payload))
        else:
            self._window.interrupt()
        if self._listening and not self._at_leisure:
            new += self._heard(is_to_the_end=len(payload) >= _WHOLE_CLIP)
        if pace := self._pace.sent(payload, at):
            found = [*found, pace]
        found = [*found, *self._counted(len(payload))]
        return [*new, *self._new(found)] if found else new

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
            new += self._new([NOTHING_BUT_SILENCE])
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
                new += self._new([each for each in found if mistake_in(each) not in self._kinds])
                if not is_to_the_end:
                    return new
            self._listening.popleft()
        return new

    def _listen(self, piece: Piece) -> Iterator[list[Objection]]:
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
            yield [clipped(full_scale_share(piece.payload))]
        yield []
        if clicks := clicks_at(piece.payload, piece.borders):
            yield [clicking(clicks, len(piece.borders))]
        if piece.is_round and self._rounds < _RATE_ROUNDS:
            self._rounds += 1
            for suspected in suspect_rate_in_steps(piece.payload):
                yield [suspected.objection(FIELD)] if suspected else []

    @property
    def _is_no_sound(self) -> bool:
        return any(each.severity == "error" and each.field == FIELD for each in self.found)

    def _counted(self, size: int) -> Iterator[Objection]:
        """Count a message; object to sizes, and to silence alone, at the one right moment."""
        before, self._size = self._size, self._size + size
        self._messages += 1
        if size % FRAME_BYTES and size < _WHOLE_CLIP:
            self._odd += 1
            if self._odd >= _ODD_MESSAGES and 2 * self._odd > self._messages:
                self._odd = -1 << 62  # once is enough
                yield ODD_SIZES
        limit = SILENT_SECONDS * BYTES_PER_SECOND
        if before < limit <= self._size and not self._is_audible:
            yield SILENT_SO_FAR

    def _new(self, found: Iterable[Objection]) -> list[Objection]:
        new = []
        for objection in found:
            kind = mistake_in(objection)
            if kind not in self._kinds:
                self._kinds[kind] = objection
                new.append(objection)
            self.found[self._kinds[kind]] += 1
        return new


def listen_to(payload: bytes) -> list[Objection]:
    """Return what shows in half a second of sound or more, and not in every byte of it."""
    sound = SoundReview()
    known = {mistake_in(objection) for objection in look_inside(payload, FIELD)}
    found = [*sound.sent(payload, 0.0), *sound.finish(0.0)]
    return [each for each in found if mistake_in(each) not in known]


def review_sound(source: Capture | bytes | Iterable[bytes | to_twilio.Media]) -> Objections:
    """Say what would be heard of a whole stream other than what was meant.

    Args:
        source: A capture, of which what the server sent is judged with its times; or payloads, or
            `to_twilio.Media`, which are taken as sent in time.

    Returns:
        Each kind of objection once, errors first; empty if all is well.

    Raises:
        TypeError: If `source` is none of these.
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
    return by_importance([*found, *sound.finish(at)])


def _review_capture(capture: Capture) -> Objections:
    sound = SoundReview(capture.stream_sid)
    found: list[Objection] = []
    for entry in capture.entries:
        if isinstance(entry.message, to_twilio.Media) and entry.is_kept:
            found += sound.sent(entry.message.payload, entry.at)
        elif isinstance(entry.message, to_twilio.Clear):
            sound.cleared(entry.at)
    return by_importance([*found, *sound.finish(capture.seconds)])


def mistake_in(objection: Objection) -> tuple[str, str]:
    """Return what stays the same when the same mistake is made in the next message."""
    return objection.field, _VARIABLE.sub("", objection.problem)
