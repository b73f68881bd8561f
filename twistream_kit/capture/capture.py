"""One call as timed messages: kept, saved, read back, listened to.

Sound is kept for 15 minutes in each direction; after that only when a media message came and how
much sound it held.  Beside the messages stands what Twilio reported of the call meanwhile, from the
dialling on (PROTOCOL.md §6.6, §8).
"""

from __future__ import annotations

import os
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, Self, TypeVar

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.entry import Entry, Message, OddText, StatusReport
from twistream_kit.capture.file import Contents, Header, read_capture, read_file, write_capture
from twistream_kit.capture.recording import HeardSound, Recording, list_events
from twistream_kit.capture.replay import Playback, Replay, place_caller, render_caller
from twistream_kit.capture.summary import CaptureSummary, summarise
from twistream_kit.errors import WrongValue, quote, require_finite, require_type
from twistream_kit.listing import Listing
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending
from twistream_kit.protocol.playout import BYTES_PER_SECOND

T = TypeVar("T")

KEEP_SECONDS = 900.0
"""How much sound is kept in each direction of a stream (our choice)."""

MOST_STATUSES = 1000
"""How many statuses of a call are kept; there are about eight."""

MOST_ODD, MOST_ODD_SIZE = 1000, 8_000_000
"""The limits of the invalid messages that are kept; most of them have the same fault."""


MOST_TEXT_SIZE = 8_000_000
"""How much is kept of what has no usual size, in bytes: unknown events, keys, parameters and long
names.  The far end may send megabytes of it every second."""

_STOP_SIZE = 100_000
"""What is left for the stop message, by which everything else ends, when the rest is used up."""

_USUAL_NAME = 200
"""A mark's name of this size is kept like a record of media, without counting."""

_OBJECT_SIZE = 300
"""About the memory of a small object, in bytes."""


class Capture:
    """One stream as timed messages; one thread appends, any thread may read meanwhile.

    Attributes:
        stream_sid: MZ and 32 hex digits (PROTOCOL.md §1.7).
        call_sid: CA and 32 hex digits.
        started: Monotonic seconds from which all times count; normally those of the start message.
        keep_seconds: How much sound is kept in each direction.
        redacted: Whether it was read from a redacted file; see `save`.

    Example:
        >>> import twistream_kit as kit
        >>> sid = "MZ" + "0" * 32
        >>> capture = kit.Capture(sid)
        >>> capture.append(kit.from_twilio.Start(sid), at=0.0)
        >>> capture.append(kit.to_twilio.Media(sid, kit.Clip.tone(440, 2.0).payload), at=0.1)
        >>> capture.append(kit.to_twilio.Clear(sid), at=0.6)
        >>> capture
        Capture(MZ00000000000000000000000000000000, 0.60 s, 3 messages)
        >>> capture.heard
        Clip('heard', 0.60 s)
    """

    def __init__(
        self,
        stream_sid: str = "",
        call_sid: str = "",
        started: float = 0.0,
        keep_seconds: float = KEEP_SECONDS,
    ) -> None:
        self.stream_sid = stream_sid
        self.call_sid = call_sid
        require_finite(started=started, keep_seconds=keep_seconds)
        if keep_seconds < 0:
            raise WrongValue(f"keep_seconds is {quote(keep_seconds)}; it is 0 or more")
        self.started = started
        self.keep_seconds = keep_seconds
        self.redacted = False
        self._messages = _Messages()
        self._sent_head = (to_twilio.Media, stream_sid, "")
        self.endings: dict[str, Ending] = {}
        self._statuses: list[tuple[float, str]] = []
        self._odd: list[tuple[float, str | bytes]] = []
        self._odd_room = MOST_ODD_SIZE
        room = int(keep_seconds * BYTES_PER_SECOND)
        self._room: dict[type, int] = {from_twilio.Media: room, to_twilio.Media: room}

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Self:
        """Read a saved capture; of a truncated file, read the complete lines.

        Raises:
            CaptureError: If it is not a capture, or has another version of the file format.
            TwistreamError: If it cannot be read, or is a pipe or a device.  It is also an OSError
                if the file system says so, and a FileNotFoundError if there is no such file.
        """
        require_type("a path", path=path)
        path = Path(path)
        return cls.read(read_file(path), path)

    @classmethod
    def read(cls, raw: bytes, path: Path = Path("capture")) -> Self:
        """Read a saved capture from bytes; it works like `load`.

        Args:
            raw: The whole content of the file.
            path: The name of the file in error messages.
        """
        messages = _Messages(
            MOST_TEXT_SIZE + len(raw) * _OBJECT_SIZE
        )  # nothing of a file is left out
        header, contents = read_capture(raw, path, messages.append_entry)
        capture = cls(header.stream_sid, header.call_sid, keep_seconds=header.keep_seconds)
        capture.redacted = header.redacted
        capture._messages = messages
        capture.endings.update(contents.endings)
        for at, name in contents.statuses:
            capture.note_status(at, name)
        for at, message in contents.odd:
            capture.note_odd(at, message)
        return capture

    def save(
        self, path: str | os.PathLike[str], *, redact: bool = True, overwrite: bool = False
    ) -> Path:
        """Write it as JSON lines, one for each message, and return the path.

        A new file can be read by its owner alone.

        **The file contains the voices**: the sound is written unchanged, and anyone who has the
        file can hear both sides of the call.

        Args:
            path: The file, ``call.jsonl`` for example.
            redact: Replace what identifies the caller by stand-ins, equal values by equal ones:
                SIDs, telephone numbers, the values of ``<Parameter>`` (their names stay) and the
                keys that were pressed, which all become 0 because people type card numbers; also
                where a mark is named after one of them.  All figures stay the same.  False writes
                everything unchanged.
            overwrite: Replace an existing file of that name when the new one is complete.

        Raises:
            TwistreamError: If there is such a file already, or it cannot be written.
        """
        require_type("a path", path=path)
        header = Header(self.stream_sid, self.call_sid, self.keep_seconds, redact or self.redacted)
        entries, rare = self._read_entries(), self._messages.list_rare()
        contents = Contents(entries, rare, [*self.statuses], {**self.endings}, [*self.odd])
        return write_capture(Path(path), header, contents, overwrite=overwrite)

    def append(self, message: Message, at: float) -> None:
        """Add a message that was sent or received at `at`, in monotonic seconds.

        It takes well under 2 µs, because it runs between the socket and the playback.

        Raises:
            TypeError: If `at` is no number.
            ValueError: If it is not finite.
        """
        try:
            is_time = -_LAST < at < _LAST
        except TypeError:
            is_time = False
        if not is_time:
            require_finite(at=at)
        number = chunk = timestamp = 0
        kind, messages = type(message), self._messages
        head: tuple[Any, ...]
        if type(message) is from_twilio.Media:
            head = (kind, message.stream_sid, message.track)
            number, chunk, timestamp = message.sequence_number, message.chunk, message.timestamp_ms
        elif type(message) is to_twilio.Media:
            head = (kind, message.stream_sid, "")
        else:
            messages.append(message, at)
            return
        payload = message.payload
        size = len(payload)
        room = self._room[kind] = self._room[kind] - size
        place = messages.heads.get(head)
        if room < 0 or place is None:
            messages.append(message, at, size if room < 0 else 0)
            return
        # The same as `_Messages.append`, in place: on a server that is mostly idle, a call costs
        # more than what it does.
        try:
            record = _RECORD.pack(place, at, size, len(messages.sounds), number, chunk, timestamp)
        except struct.error:  # it needs a head of its own
            messages.append(message, at)
            return
        messages.sounds += payload
        messages.records += record

    def append_sent(self, payload: bytes, at: float) -> None:
        """Add a media message to Twilio as `append` would, without its object: at half its cost.

        Args:
            payload: PCMU that was sent, 8000 bytes a second, without a file header.
            at: The time in monotonic seconds.

        Raises:
            TypeError: If `at` is no number.
            ValueError: If it is not finite.
        """
        messages, size = self._messages, len(payload)
        place = messages.heads.get(self._sent_head)
        room = self._room[to_twilio.Media]
        if place is None or room < size or type(at) is not float or not -_LAST < at < _LAST:
            self.append(to_twilio.make_unchecked_media(self._sent_head[1], payload), at)
            return
        self._room[to_twilio.Media] = room - size
        record = _RECORD.pack(place, at, size, len(messages.sounds), 0, 0, 0)
        messages.sounds += payload
        messages.records += record

    @property
    def left_out(self) -> int:
        """How many messages were not kept, because they had more text than any call has."""
        return self._messages.left_out

    def note_ending(self, wire_name: str, ending: Ending) -> None:
        """Note how a mark ended, by its name on the wire; no message of Twilio says it."""
        self.endings[wire_name] = ending

    def note_status(self, at: float, name: str) -> None:
        """Note a status that Twilio reported for the call or its stream; callable from any thread.

        Args:
            at: The time in monotonic seconds; it may be before the start, while the call rang.
            name: Twilio's name of the status: ``ringing``, ``completed``, ``stream-started`` …
        """
        require_finite(at=at)
        if len(self._statuses) < MOST_STATUSES:
            self._statuses.append((at, name))

    def note_odd(self, at: float, message: str | bytes) -> None:
        """Keep the text of an invalid message of the server, which no parsed message holds.

        Args:
            at: The time in monotonic seconds.
            message: A message that Twilio cannot read, is for another stream, or has extra fields.
        """
        require_finite(at=at)
        if len(self._odd) < MOST_ODD and len(message) <= self._odd_room:
            self._odd_room -= len(message)
            self._odd.append((at, message))

    @property
    def odd(self) -> Listing[OddText]:
        """The invalid messages of the server as they were sent, in order of time.

        Each is a tuple of the seconds from the start and the message.  A new list each time.
        """
        found = (OddText(at - self.started, message) for at, message in list(self._odd))
        return _list_as("odd messages", found)

    @property
    def statuses(self) -> Listing[StatusReport]:
        """The statuses of the call, in order of time: seconds from the start, and Twilio's name.

        Seconds before the start are negative.  A new list each time.
        """
        counted = [StatusReport(at - self.started, name) for at, name in list(self._statuses)]
        return _list_as("status reports", sorted(counted, key=lambda status: status.at))

    @property
    def entries(self) -> Listing[Entry]:
        """All messages so far, in order; a new list each time."""
        return _list_as("messages", self._read_entries())

    def _read_entries(self) -> Iterator[Entry]:
        """Yield all messages so far; a call of hours has millions, which need not be kept."""
        return self._messages.list_entries(0, self.started)

    @property
    def n_kept(self) -> int:
        """How many messages are kept with their sound."""
        return self._messages.n_kept

    def kept_since(self, count: int) -> Listing[Entry]:
        """Return the messages after the first `count` of those kept with their sound.

        The time it takes depends on the new messages only, for a display that updates ten times a
        second.
        """
        first = self._messages.find_kept(count)
        new = (each for each in self._messages.list_entries(first, self.started) if each.is_kept)
        return _list_as("messages", new)

    @property
    def seconds(self) -> float:
        """The time from the start to the last message."""
        return self._messages.last_at - self.started if len(self._messages) else 0.0

    @property
    def caller(self) -> Clip:
        """The caller's audio, from the start of the capture; gaps are silence."""
        return render_caller(self._read_entries())

    @property
    def heard(self) -> Clip:
        """The audio that the caller heard, by the playout model, from the start of the capture.

        Audio that a clear removed is absent, and there is silence where nothing was played.
        """
        return Replay(self._read_entries(), self.endings).render_heard()

    @property
    def recording(self) -> Recording:
        """The call as it is now, as stereo: left channel the caller, right you, as heard.

        It lasts from the start of the capture to the last message.  A new one each time.

        Raises:
            TwistreamError: If there are too few messages for so long a time.
        """
        replay = Replay(self._read_entries(), self.endings)
        heard = HeardSound(replay.sound, replay.place_heard())
        caller = place_caller(self._read_entries())
        return Recording(caller, heard, replay.seconds, list_events(replay))

    def stereo(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write `recording` as 16-bit stereo WAV: left the caller, right what the caller heard.

        Args:
            path: The name of the file; ``capture.recording.save(path)`` goes by its end.
            overwrite: Replace an existing file of that name when the new one is complete.

        Raises:
            TwistreamError: If there is such a file already, or it cannot be written.
        """
        return self.recording.save_wav(path, overwrite=overwrite)

    def playbacks(self) -> Listing[Playback]:
        """Return the pieces of sound that were sent, up to a mark or a clear, and their endings."""
        return _list_as("playbacks", Replay(self._read_entries(), self.endings).list_playbacks())

    def summary(self) -> CaptureSummary:
        """Count the messages and measure their timing."""
        return summarise(self.stream_sid, self.call_sid, self._read_entries(), self.endings)

    def __len__(self) -> int:
        return len(self._messages)

    def __bool__(self) -> bool:
        return True  # an empty capture is still one

    def __repr__(self) -> str:
        stream = self.stream_sid or "no stream"
        redacted = ", redacted" if self.redacted else ""
        left_out = f", {self.left_out} left out" if self.left_out else ""
        return f"Capture({stream}, {self.seconds:.2f} s, {len(self)} messages{left_out}{redacted})"


_LAST = sys.float_info.max
"""No time is later; infinity and NaN are beyond it, and whole numbers that no float can hold."""

_RECORD = struct.Struct("<LdLqqqq")
"""The number of the head, the time, the size and start of its bytes, and three numbers."""

_NOT_KEPT = -1
"""The start of a payload that was not kept."""


class _Messages:
    """The messages in order: a packed record for each, and its bytes.

    Python's garbage collector repeatedly traverses all container objects and stops the program
    meanwhile.  This class keeps no such object per message.  What many messages share (class,
    stream and track) is stored once, as a head; payloads and the names of marks are stored in one
    bytearray.  Only messages that occur a few times in a call are kept as objects.  All others are
    built again when they are read.

    Args:
        room: How much is kept of what has no usual size, in bytes.

    Attributes:
        left_out: How many messages were not kept, because there was no room.
        heads: The number of each head.
        sounds: The payloads, and the names of marks.
        records: The records; extended last, so its length counts the complete messages.
    """

    def __init__(self, room: int = MOST_TEXT_SIZE) -> None:
        self.left_out = 0
        self._room = room
        self.heads: dict[tuple[Any, ...], int] = {}
        self.sounds = bytearray()
        self._rare: list[Message] = []
        self._not_kept = array("Q")  # the places of the messages whose sound is not kept
        self.records = bytearray()

    def __len__(self) -> int:
        return len(self.records) // _RECORD.size

    def append(self, message: Message, at: float, dropped: int = 0) -> None:
        """Keep a message; without its payload if `dropped`, the size of the payload, is not 0."""
        number = chunk = timestamp = cost = 0
        head: tuple[Any, ...]
        body, start = b"", len(self.sounds)
        if isinstance(message, from_twilio.Media):
            head, body = (from_twilio.Media, message.stream_sid, message.track), message.payload
            number, chunk, timestamp = message.sequence_number, message.chunk, message.timestamp_ms
        elif isinstance(message, to_twilio.Media):
            head, body = (to_twilio.Media, message.stream_sid, ""), message.payload
        elif isinstance(message, from_twilio.Mark | to_twilio.Mark):
            head, body = (type(message), message.stream_sid, ""), _encode(message.name)
            number, cost = getattr(message, "sequence_number", 0), max(0, len(body) - _USUAL_NAME)
        else:
            head, start, cost = (None, "", ""), len(self._rare), _estimate_size(message)
        if dropped:
            body, start = b"", _NOT_KEPT
        size, place = dropped or len(body), self.heads.get(head, len(self.heads))
        try:
            record = _RECORD.pack(place, at, size, start, number, chunk, timestamp)
        except struct.error:  # a number that does not fit into the record: store it in a head
            head = (*head, number, chunk, timestamp)
            place = self.heads.get(head, len(self.heads))
            record = _RECORD.pack(place, at, size, start, 0, 0, 0)
        if place == len(self.heads):
            cost += _OBJECT_SIZE + len(head[1]) + len(head[2])
        if cost and not self._take_room(message, cost):
            return
        self.heads[head] = place
        if dropped:
            self._not_kept.append(len(self))
        if head[0] is None:
            self._rare.append(message)
        self.sounds += body
        self.records += record

    def _take_room(self, message: Message, cost: int) -> bool:
        """Whether there is room for a message, which it then takes."""
        room = self._room + (_STOP_SIZE if isinstance(message, from_twilio.Stop) else 0)
        if cost > room:
            self.left_out += 1
            return False
        self._room -= cost
        return True

    def append_entry(self, entry: Entry) -> None:
        """Keep a message that was read from a file."""
        self.append(entry.message, entry.at, 0 if entry.is_kept else entry.size)

    @property
    def last_at(self) -> float:
        """The time of the last message."""
        at: float = _RECORD.unpack_from(self.records, len(self.records) - _RECORD.size)[1]
        return at

    @property
    def n_kept(self) -> int:
        """How many messages are kept with their sound."""
        count = len(self)
        return count - bisect_left(self._not_kept, count)  # another thread may be adding one

    def find_kept(self, count: int) -> int:
        """Return the place of the message after the first `count` kept with their sound."""
        places = self._not_kept
        return count + bisect_right(range(len(places)), count, key=lambda n: places[n] - n)

    def list_rare(self) -> list[Message]:
        """Return the messages of which a call has few: all but media and marks."""
        return list(self._rare)

    def list_entries(self, first: int, started: float) -> Iterator[Entry]:
        """Yield the messages after the first ones, with their time in seconds since `started`."""
        records = bytes(self.records[first * _RECORD.size :])
        heads = list(self.heads)
        for place, at, size, start, number, chunk, timestamp in _RECORD.iter_unpack(records):
            kind, sid, track = heads[place][:3]
            if kind is None:
                yield Entry(at - started, self._rare[start])
                continue
            numbers = heads[place][3:] or (number, chunk, timestamp)
            body = b"" if start == _NOT_KEPT else bytes(self.sounds[start : start + size])
            if kind is to_twilio.Media:
                yield Entry(at - started, to_twilio.make_unchecked_media(sid, body), size)
            elif kind is from_twilio.Media:
                voice = from_twilio.Media(sid, body, numbers[0], track, *numbers[1:])
                yield Entry(at - started, voice, size)
            elif kind is to_twilio.Mark:
                yield Entry(at - started, to_twilio.Mark(sid, _decode(body)))
            else:
                yield Entry(at - started, from_twilio.Mark(sid, _decode(body), numbers[0]))


def _estimate_size(message: Message) -> int:
    """Return about how much memory a message takes, in bytes."""
    texts: list[Any] = [getattr(message, field.name) for field in fields(message)]
    if isinstance(message, from_twilio.Start):
        texts += [*message.tracks, *message.custom_parameters, *message.custom_parameters.values()]
        texts.append(message.media_format.encoding)
    return _OBJECT_SIZE + sum(len(text) for text in texts if isinstance(text, str))


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")  # JSON may hold a lone surrogate


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def _list_as(what: str, items: Iterable[T]) -> Listing[T]:
    # Without a class method, because a live display calls this for every message.
    found = Listing(items)
    found.what = what
    return found
