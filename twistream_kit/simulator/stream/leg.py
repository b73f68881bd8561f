"""Twilio's half of one stream, without I/O and without a clock (PROTOCOL.md §3, §4).

A timer calls `StreamLeg.advance` every 20 ms and sends the messages that it returns.  The reader of
the socket passes each message of the server to `StreamLeg.receive` and sends the messages that it
returns.

`PlayoutBuffer` holds the audio of the simulated call.  `protocol.playout` estimates it for the
server; the two share no code, so that one cannot hide an error of the other.

`MessageChecker` determines what Twilio does with a message from the server: obey it, or drop it and
warn (§4).  Twilio names neither the message nor the field, warns once per stream, and does not
check the sound.  The checker keeps all objections of `StreamReviewer` to single messages and to
their sound, for the debugger and for reports.
"""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from twistream_kit.diagnosis.stream import Reviewed, StreamReviewer
from twistream_kit.errors import Objection, WrongValue
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.protocol.playout import MEDIA_DISCARDED
from twistream_kit.simulator.model.assumptions import (
    FIRST_TIMESTAMPS_MS,
    INITIAL_BURST_FRAMES,
    ONCE_PER_STREAM,
    PLAYOUT_CAPACITY,
    SILENCE,
    SILENT_FRAME,
    TIMESTAMP_JITTER_MS,
    Behaviour,
    count_frames,
)
from twistream_kit.simulator.stream._gaps import GapMeter

TALKS_ON_ONE_WAY_STREAM = (
    "a message came on a stream of <Start>, which only listens; use <Connect> to speak"
)
"""The rule that a server breaks by sending anything on a one-way stream."""

_SILENT_BYTES = b"\xff\x7f"

_LOOK_AHEAD_BYTES = 800
"""As much of what follows a silence as is looked at, to know whether it is a gap."""

DIGITS = frozenset("0123456789*#ABCD")
"""The keys of a telephone, the rare fourth column included (§3)."""


class StreamLeg:
    """Twilio's state of one stream, from its first message to its last.

    Args:
        stream_sid, call_sid, account_sid: Its SIDs; MZ, CA and AC with 32 hex digits.
        tracks: ``inbound`` (the caller), ``outbound`` (what the caller hears), or both.
        parameters: The ``<Parameter>`` names and values.
        bidirectional: False for ``<Start>``: any message of the server ends the stream (31924).
        behaviour: The switches for behaviour of Twilio that is not known.
        first_timestamp_ms: The first timestamp; None derives it from `stream_sid`, so that the same
            stream always has the same.
        hears: Whether the sound of the server is reviewed.  Without that, media messages in the
            usual form are not even made objects of, and `on_message` is not called for them.

    Attributes:
        playout: The buffer of audio that has not been played.
        played_frames: How many frames of the server's sound were played.
        on_message: Called with each message that was obeyed and its time, if not None.
        on_odd: Called with the text of each message that was not obeyed, or that has extra fields,
            and its time, if not None.
        broken: Whether the server violated a rule, which ends the stream.
    """

    def __init__(
        self,
        *,
        stream_sid: str,
        call_sid: str,
        account_sid: str,
        tracks: Sequence[str] = ("inbound",),
        parameters: Mapping[str, str] | None = None,
        bidirectional: bool = True,
        behaviour: Behaviour | None = None,
        first_timestamp_ms: int | None = None,
        hears: bool = True,
    ) -> None:
        if not tracks or not set(tracks) <= {"inbound", "outbound"}:
            raise WrongValue(f"tracks is {tracks!r}; it may hold 'inbound' and 'outbound'")
        self.stream_sid = stream_sid
        self.call_sid = call_sid
        self.account_sid = account_sid
        self.tracks = tuple(tracks)
        self.parameters = dict(parameters or {})
        self.bidirectional = bidirectional
        self.behaviour = behaviour or Behaviour()
        if first_timestamp_ms is None:
            # Derived from the SID, not secret.
            first_timestamp_ms = random.Random(stream_sid).choice(FIRST_TIMESTAMPS_MS)  # noqa: S311
        self._timestamp_ms = first_timestamp_ms
        self.playout = PlayoutBuffer()
        self.played_frames = 0
        self._gaps = GapMeter()
        self._checker = MessageChecker(stream_sid, self.behaviour, hears=hears)
        self._encoder = from_twilio.MediaEncoder(stream_sid)
        self._reader = None if hears else to_twilio.MediaReader(stream_sid)
        self.on_message: Callable[[to_twilio.Message, float], None] | None = None
        self.on_odd: Callable[[str | bytes, float], None] | None = None
        self.broken = False
        self._sequence = 0
        self._chunks = dict.fromkeys(self.tracks, 0)
        self._stopped = self._is_silenced = False
        self._hold_frames = count_frames(self.behaviour.playout_delay_ms)
        self._held = 0

    @property
    def gaps(self) -> Counter[int]:
        """How often the server's sound stopped for how many frames, since more came too late."""
        return self._gaps.found

    def note_act(self) -> None:
        """Note that the caller begins or ends to speak, which is a reason for a server to pause."""
        self._gaps.note_act()

    @property
    def received(self) -> Counter[str]:
        """How many messages came: ``media``, ``mark``, ``clear``, ``invalid``, ``binary``."""
        return self._checker.received

    @property
    def objections(self) -> Counter[Objection]:
        """The objections of `review` and `SoundReview`, each with its number of messages."""
        return self._checker.objections

    @property
    def stopped(self) -> bool:
        """Whether the stop message was sent, which is the last one."""
        return self._stopped

    def begin(self) -> list[from_twilio.Message]:
        """Return the first two messages: connected, without a number, and start, with number 1."""
        start = from_twilio.Start(
            self.stream_sid,
            self.account_sid,
            self.call_sid,
            self.tracks,
            custom_parameters=self.parameters,
            sequence_number=self._take_sequence(),
        )
        return [from_twilio.Connected(), start]

    def advance(
        self,
        inbound: bytes | None,
        now: float,  # noqa: ARG002 - time is an argument of every step, also where it is not needed
        outbound: bytes | None = None,
    ) -> tuple[bytes, list[from_twilio.Message]]:
        """Advance by 20 ms.

        Args:
            inbound: The caller's audio, 160 bytes PCMU; None if it comes by `take_late`.
            now: Monotonic seconds.
            outbound: What sources other than this stream play to the caller, 160 bytes; for a
                stream with the outbound track.

        Returns:
            What the caller hears from this stream, 160 bytes, and the messages to send: the media
            of each track, then the marks whose audio has been played.
        """
        heard, names = self._play()
        if self._stopped:
            return heard, []
        messages: list[from_twilio.Message] = []
        frames = {} if inbound is None else {"inbound": inbound}
        frames["outbound"] = heard if outbound is None else outbound
        self._add_frames(messages, frames)
        messages.extend(self._mark(name) for name in names)
        return heard, messages

    def advance_encoded(
        self, inbound: bytes | None
    ) -> tuple[bytes, list[bytes], list[from_twilio.Message]]:
        """Do the same as `advance` on a stream with the inbound track; the media come as texts.

        Args:
            inbound: The caller's audio, 160 bytes PCMU; None if it comes by `take_late_encoded`.

        Returns:
            What the caller hears, the media messages as UTF-8, and the marks.
        """
        heard, names = self._play()
        if self._stopped:
            return heard, [], []
        texts = [] if inbound is None else self._encode_frames(inbound)
        return heard, texts, [self._mark(name) for name in names] if names else []

    def take_late(self, inbound: bytes) -> list[from_twilio.Message]:
        """Return the media of a frame of the caller that has come late, 160 bytes PCMU."""
        messages: list[from_twilio.Message] = []
        if not self._stopped:
            self._add_frames(messages, {"inbound": inbound})
        return messages

    def take_late_encoded(self, inbound: bytes) -> list[bytes]:
        """Do the same as `take_late` on a stream with the inbound track; the media are texts."""
        return [] if self._stopped else self._encode_frames(inbound)

    def receive(self, message: str | bytes, now: float) -> list[from_twilio.Message]:
        """Obey one message from the server, or note why not; return the marks to send back."""
        if self._stopped:
            return []
        if self._reader is not None and self.bidirectional and type(message) is str:
            payload = self._reader.read(message)
            if payload is not None:
                self._checker.received["media"] += 1
                self._enqueue(payload)
                return []
        if not self.bidirectional:
            self._break(message)
            return []
        reviewed = self._checker.check(message, now)
        obeyed = reviewed.message if reviewed.is_obeyed else None
        if obeyed is not None and self.on_message is not None:
            self.on_message(obeyed, now)
        if reviewed.is_odd and self.on_odd is not None:
            self.on_odd(message, now)
        return [] if obeyed is None else [self._mark(name) for name in self._obey(obeyed)]

    def listen(self, now: float) -> bool:
        """Review more of the server's sound if there is time; return whether anything was found."""
        return self._checker.listen(now)

    def press(self, digit: str) -> list[from_twilio.Message]:
        """Return the message for a key; only a bidirectional stream has one (§1.1, §1.2).

        Raises:
            ValueError: If `digit` is not a key of a telephone.
        """
        if digit not in DIGITS:
            raise WrongValue(f"{digit!r} is no key of a telephone; press one of 0-9, *, #, A-D")
        if self._stopped or not self.bidirectional:
            return []
        self._gaps.note_act()
        return [from_twilio.Dtmf(self.stream_sid, digit, self._take_sequence())]

    def stop(self) -> list[from_twilio.Message]:
        """End the stream from Twilio's side; return the stop message, once."""
        if self._stopped:
            return []
        self._stopped = True
        sequence = self._take_sequence()
        return [from_twilio.Stop(self.stream_sid, self.account_sid, self.call_sid, sequence)]

    @property
    def has_warnings(self) -> bool:
        """Whether `take_warnings` or `take_unlogged` would return something."""
        return self._checker.has_warnings

    def take_warnings(self) -> list[Warned]:
        """Return what Twilio has logged since the last call."""
        return self._checker.take_warnings()

    def take_unlogged(self) -> list[Objection]:
        """Return what was found since the last time this was asked and Twilio does not log."""
        return self._checker.take_unlogged()

    def stop_playing(self) -> None:
        """Play nothing more: what waits is lost, because the server has gone (§10.37)."""
        self._is_silenced = True

    def finish(self, now: float) -> None:
        """Note that the server will send nothing more."""
        self._checker.finish(now)

    def finish_in_steps(self, now: float) -> Iterator[None]:
        """Do the same as `finish` in steps of about a millisecond, for a loop with other calls."""
        return self._checker.finish_in_steps(now)

    def warn(self, code: int, text: str, message: str | bytes | None = None) -> None:
        """Note `code`; codes that Twilio logs once per stream are noted once."""
        self._checker.warn(Warned(code, text, message))

    def _play(self) -> tuple[bytes, list[str]]:
        if self._is_silenced or not len(self.playout):
            self._held = 0
            self._gaps.pass_silence()
            return SILENT_FRAME, []
        if self._held < self._hold_frames:
            self._held += 1
            return SILENT_FRAME, []
        gaps, playout = self._gaps, self.playout
        if gaps.empty_frames:
            gaps.note_resumption(playout.read_next(_LOOK_AHEAD_BYTES))
        self.played_frames += 1
        frame, names = playout.play(FRAME_BYTES)
        gaps.pass_sound(frame, len(names), is_last=not len(playout))
        return frame, names

    def _add_frames(self, messages: list[from_twilio.Message], frames: Mapping[str, bytes]) -> None:
        """Add the media of the next frame of some tracks, of those that the stream has."""
        tracks = [track for track in self.tracks if track in frames]
        for _ in range(self._count_backlog(tracks[0]) if tracks else 0):
            for track in tracks:
                self._add_media(messages, track, SILENT_FRAME)
        for track in tracks:
            self._add_media(messages, track, frames[track])

    def _encode_frames(self, inbound: bytes) -> list[bytes]:
        """Return the media of the caller's next frame as texts, after those that wait before it."""
        waiting = [SILENT_FRAME] * self._count_backlog("inbound")
        return [self._encode_media(payload) for payload in [*waiting, inbound]]

    def _count_backlog(self, track: str) -> int:
        """Return how many frames come before the next one of a track, and with it.

        The backlog of a stream that has just been connected arrives at once (§10.20).
        """
        return 0 if self._chunks[track] else INITIAL_BURST_FRAMES - 1

    def _add_media(self, messages: list[from_twilio.Message], track: str, payload: bytes) -> None:
        chunk, timestamp = self._count_media(track)
        sequence = self._take_sequence()
        messages.append(
            from_twilio.Media(self.stream_sid, payload, sequence, track, chunk, timestamp)
        )

    def _encode_media(self, payload: bytes) -> bytes:
        chunk, timestamp = self._count_media("inbound")
        return self._encoder.encode(payload, self._take_sequence(), chunk, timestamp)

    def _count_media(self, track: str) -> tuple[int, int]:
        """Count the next frame of a track; return its chunk number and its timestamp.

        Each track has its own chunk counter: seen live, no gap in 2,300 frames (§10.19).
        """
        frames = self._chunks[track]
        self._chunks[track] = frames + 1
        jitter = TIMESTAMP_JITTER_MS[frames % len(TIMESTAMP_JITTER_MS)]
        return frames + 1, self._timestamp_ms + frames * PTIME_MS + jitter

    def _obey(self, message: to_twilio.Message) -> list[str]:
        """Obey `message`; return the names of the marks that come back at once."""
        if isinstance(message, to_twilio.Mark):
            self._gaps.note_mark(is_behind_all=not len(self.playout))
            return self.playout.mark(message.name)
        if isinstance(message, to_twilio.Clear):
            self._gaps.end_sound()
            return self.playout.clear()
        self._enqueue(message.payload)
        return []

    def _enqueue(self, payload: bytes) -> None:
        if lost := self.playout.enqueue(payload):
            text = f"ten minutes of audio are waiting already: {lost} bytes were discarded"
            self.warn(MEDIA_DISCARDED, text)

    def _break(self, message: str | bytes) -> None:
        self._checker.refuse(message)
        if self.broken:
            return
        self.broken = True
        self.warn(to_twilio.PROTOCOL_ERROR, TALKS_ON_ONE_WAY_STREAM, message)

    def _mark(self, name: str) -> from_twilio.Mark:
        return from_twilio.Mark(self.stream_sid, name, self._take_sequence())

    def _take_sequence(self) -> int:
        self._sequence += 1
        return self._sequence


class PlayoutBuffer:
    """The audio that has not been played, with the marks between its bytes (PROTOCOL.md §4).

    It has no clock: the timer calls `play` once for each frame.  `play`, `mark` and `clear` return
    the names of the marks that Twilio would send back at that moment, in order.

    Attributes:
        cleared_seconds: The duration of the audible sound that clears have removed.
    """

    def __init__(self, capacity: int = PLAYOUT_CAPACITY) -> None:
        self._capacity = capacity
        self._audio = bytearray()
        self._played = 0
        self._marks: deque[tuple[int, str]] = deque()
        self.cleared_seconds = 0.0

    def __len__(self) -> int:
        """Return the number of bytes that have not been played."""
        return len(self._audio)

    @property
    def waiting_seconds(self) -> float:
        """The duration of the audible sound that has not been played."""
        return measure_sound(bytes(self._audio))

    @property
    def waiting_marks(self) -> list[str]:
        """The marks that have not come back, in the order sent."""
        return [name for _, name in self._marks]

    def read_next(self, size: int) -> bytes:
        """Return the next `size` bytes, or what there is, and leave them."""
        return bytes(self._audio[:size])

    def enqueue(self, payload: bytes) -> int:
        """Append PCMU of any length; return how many bytes did not fit and were discarded."""
        room = self._capacity - len(self._audio)
        self._audio += payload if len(payload) <= room else payload[:room]
        return max(0, len(payload) - room)

    def mark(self, name: str) -> list[str]:
        """Place a mark after the audio so far; if the buffer is empty, it comes back at once."""
        if not self._audio:
            return [name]
        self._marks.append((self._played + len(self._audio), name))
        return []

    def clear(self) -> list[str]:
        """Discard all waiting audio and return all waiting marks."""
        self.cleared_seconds += self.waiting_seconds
        self._audio.clear()
        names = self.waiting_marks
        self._marks.clear()
        return names

    def drop(self) -> None:
        """Discard all waiting audio and its marks, because the stream has ended."""
        self._audio.clear()
        self._marks.clear()

    def play(self, size: int) -> tuple[bytes, list[str]]:
        """Take the next `size` bytes, padded with silence, and the marks that they reach."""
        audio = bytes(self._audio[:size])
        del self._audio[:size]
        self._played += len(audio)
        names: list[str] = []
        while self._marks and self._marks[0][0] <= self._played:
            names.append(self._marks.popleft()[1])
        if len(audio) < size:
            audio += bytes([SILENCE]) * (size - len(audio))
        return audio, names


def is_audible(frame: bytes) -> bool:
    """Whether `frame` holds anything but the two silences of μ-law, 0xFF and 0x7F."""
    return frame is not SILENT_FRAME and bool(frame.strip(_SILENT_BYTES))


def measure_sound(payload: bytes) -> float:
    """Return the seconds of `payload` that are audible, in steps of one frame."""
    frames = range(0, len(payload), FRAME_BYTES)
    return sum(is_audible(payload[i : i + FRAME_BYTES]) for i in frames) * PTIME_MS / 1000


class MessageChecker:
    """Checks the messages of one stream: which of them Twilio obeys, and what is wrong with each.

    Args:
        stream_sid: The SID that every message must carry.
        behaviour: Determines whether a message with an extra field is dropped or only warned about.
        hears: Whether the sound is reviewed.

    Attributes:
        received: How many messages of each kind came: ``media``, ``mark``, ``clear``,
            ``invalid``, ``binary``.
    """

    def __init__(self, stream_sid: str, behaviour: Behaviour, *, hears: bool = True) -> None:
        self.received: Counter[str] = Counter()
        self._reviewer = StreamReviewer(
            stream_sid,
            at_leisure=True,
            obeys_extra_fields=behaviour.extra_fields != "drop",
            hears=hears,
        )
        self._unlogged: list[Objection] = []
        self._warnings: list[Warned] = []
        self._warned: set[int] = set()
        self._is_finishing = False

    @property
    def objections(self) -> Counter[Objection]:
        """The objections to the messages and their sound, each with its number of messages."""
        return self._reviewer.found

    def check(self, message: str | bytes, now: float) -> Reviewed:
        """Return whether Twilio would obey a message; note the objections to form and sound.

        Args:
            message: The message as it was received.
            now: Monotonic seconds.
        """
        reviewed = self._reviewer.take(message, now)
        if not reviewed.is_obeyed:
            self.refuse(message)
            self._note(reviewed, message)
            return reviewed
        self.received[_KINDS[type(reviewed.message)]] += 1
        if reviewed.form or reviewed.inside or reviewed.sound:
            self._note(reviewed, message)
        return reviewed

    def listen(self, now: float) -> bool:
        """Review more of the sound if it is this stream's turn; return whether anything was found.

        All streams of this process share one step every 20 ms, so that reviews do not delay frames,
        however many calls there are.
        """
        is_mine = self._reviewer.has_more_to_hear and not self._is_finishing
        if not is_mine or not _TURNS.take(now):
            return False
        found = self._reviewer.listen()
        self._note_unlogged(found)
        return bool(found)

    def finish(self, now: float) -> None:
        """Note the remaining objections to the sound, after the last message."""
        for _ in self.finish_in_steps(now):
            pass

    def finish_in_steps(self, now: float) -> Iterator[None]:
        """Do the same as `finish`, with one step of the review each time."""
        self._is_finishing = True
        for found in self._reviewer.finish_in_steps(now):
            self._note_unlogged(found)
            yield

    def refuse(self, message: str | bytes) -> None:
        """Count a message that Twilio drops."""
        self.received["binary" if isinstance(message, bytes) else "invalid"] += 1

    def warn(self, warned: Warned) -> None:
        """Note a warning; codes that Twilio logs once per stream are noted once."""
        if warned.code in self._warned:
            return
        if warned.code in ONCE_PER_STREAM:
            self._warned.add(warned.code)
        self._warnings.append(warned)

    @property
    def has_warnings(self) -> bool:
        """Whether a warning or an objection was noted and not taken."""
        return bool(self._warnings or self._unlogged)

    def take_warnings(self) -> list[Warned]:
        """Return the warnings noted since the last call."""
        warnings, self._warnings = self._warnings, []
        return warnings

    def take_unlogged(self) -> list[Objection]:
        """Return what was found since the last time this was asked and Twilio does not log."""
        unlogged, self._unlogged = self._unlogged, []
        return unlogged

    def _note(self, reviewed: Reviewed, message: str | bytes) -> None:
        logged = [each for each in reviewed.objections if each.code in ONCE_PER_STREAM]
        if logged or reviewed.message is None:
            code = logged[0].code if logged else None
            reason = "" if logged else "the message is none of media, mark and clear"
            objections = tuple(reviewed.objections)
            self.warn(Warned(code or to_twilio.INVALID_MESSAGE, reason, message, objections))
        if reviewed.is_obeyed:
            self._note_unlogged([*reviewed.new, *reviewed.sound])

    def _note_unlogged(self, objections: Iterable[Objection]) -> None:
        self._unlogged += [each for each in objections if each.code is None]


@dataclass(frozen=True, slots=True)
class Warned:
    """Something that Twilio logs about a stream.

    Attributes:
        code: Twilio's code.
        text: A description, in a sentence.
        message: The message that caused it, as it was received.
        objections: The objections of `review` to it.
    """

    code: int
    text: str
    message: str | bytes | None = None
    objections: tuple[Objection, ...] = ()


_KINDS: dict[type, str] = {
    to_twilio.Media: "media",
    to_twilio.Mark: "mark",
    to_twilio.Clear: "clear",
}


class _FrameTurns:
    """Grants one turn per 20 ms frame."""

    def __init__(self) -> None:
        self._last = float("-inf")

    def take(self, now: float) -> bool:
        # An earlier time comes from another clock: that of a test, or of a call on another loop.
        if 0 <= now - self._last < PTIME_MS / 1000 * 0.9:
            return False
        self._last = now
        return True


_TURNS = _FrameTurns()
