"""One call as timed messages: kept, saved, read back, listened to.

Sound is kept for 15 minutes in each direction; after that only when a media message came and how
much sound it held.  Beside the messages stands what Twilio reported of the call meanwhile, from the
dialling on (PROTOCOL.md §6.6, §8).
"""

from __future__ import annotations

import os
import struct
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self, TypeVar

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.entry import Entry, Message, OddText, StatusReport
from twistream_kit.capture.file import Contents, Header, read_capture, read_file, write_capture
from twistream_kit.capture.replay import Playback, Replay, render_caller, write_stereo
from twistream_kit.capture.summary import CaptureSummary, summarise
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
        self.started = started
        self.keep_seconds = keep_seconds
        self.redacted = False
        self._messages = _Messages()
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
            TwistreamError: If it is a pipe or a device.
            OSError: If it cannot be read.
        """
        path = Path(path)
        return cls.read(read_file(path), path)

    @classmethod
    def read(cls, raw: bytes, path: Path = Path("capture")) -> Self:
        """Read a saved capture from bytes; it works like `load`.

        Args:
            raw: The whole content of the file.
            path: The name of the file in error messages.
        """
        header, contents = read_capture(raw, path)
        capture = cls(header.stream_sid, header.call_sid, keep_seconds=header.keep_seconds)
        capture.redacted = header.redacted
        for entry in contents.entries:
            capture._messages.append(entry.message, entry.at, 0 if entry.is_kept else entry.size)
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
        header = Header(self.stream_sid, self.call_sid, self.keep_seconds, redact or self.redacted)
        contents = Contents(self.entries, [*self.statuses], self.endings, [*self.odd])
        return write_capture(Path(path), header, contents, overwrite=overwrite)

    def append(self, message: Message, at: float) -> None:
        """Add a message that was sent or received at `at`, in monotonic seconds.

        It takes well under 2 µs, because it runs between the socket and the playback.
        """
        dropped = 0
        if type(message) is from_twilio.Media or type(message) is to_twilio.Media:
            room = self._room[type(message)] - len(message.payload)
            self._room[type(message)] = room
            if room < 0:
                dropped = len(message.payload)
        self._messages.append(message, at, dropped)

    def note_ending(self, wire_name: str, ending: Ending) -> None:
        """Note how a mark ended, by its name on the wire; no message of Twilio says it."""
        self.endings[wire_name] = ending

    def note_status(self, at: float, name: str) -> None:
        """Note a status that Twilio reported for the call or its stream; callable from any thread.

        Args:
            at: The time in monotonic seconds; it may be before the start, while the call rang.
            name: Twilio's name of the status: ``ringing``, ``completed``, ``stream-started`` …
        """
        if len(self._statuses) < MOST_STATUSES:
            self._statuses.append((at, name))

    def note_odd(self, at: float, message: str | bytes) -> None:
        """Keep the text of an invalid message of the server, which no parsed message holds.

        Args:
            at: The time in monotonic seconds.
            message: A message that Twilio cannot read, is for another stream, or has extra fields.
        """
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
        return _list_as("messages", self._messages.list_entries(0, self.started))

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
        return render_caller(self.entries)

    @property
    def heard(self) -> Clip:
        """The audio that the caller heard, by the playout model, from the start of the capture.

        Audio that a clear removed is absent, and there is silence where nothing was played.
        """
        return Replay(self.entries, self.endings).render_heard()

    def stereo(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the call as a 16-bit WAV file: left the caller, right what the caller heard.

        Args:
            path: The name of the file.
            overwrite: Replace an existing file of that name when the new one is complete.

        Raises:
            TwistreamError: If there is such a file already, or it cannot be written.
        """
        entries = self.entries
        heard = Replay(entries, self.endings).render_heard()
        return write_stereo(Path(path), render_caller(entries), heard, overwrite=overwrite)

    def playbacks(self) -> Listing[Playback]:
        """Return the pieces of sound that were sent, up to a mark or a clear, and their endings."""
        return _list_as("playbacks", Replay(self.entries, self.endings).list_playbacks())

    def summary(self) -> CaptureSummary:
        """Count the messages and measure their timing."""
        return summarise(self.stream_sid, self.call_sid, self.entries, self.endings)

    def __len__(self) -> int:
        return len(self._messages)

    def __bool__(self) -> bool:
        return True  # an empty capture is still one

    def __repr__(self) -> str:
        stream = self.stream_sid or "no stream"
        redacted = ", redacted" if self.redacted else ""
        return f"Capture({stream}, {self.seconds:.2f} s, {len(self)} messages{redacted})"


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
    """

    def __init__(self) -> None:
        self._heads: dict[tuple[Any, ...], int] = {}
        self._bytes = bytearray()
        self._rare: list[Message] = []
        self._not_kept = array("Q")  # the places of the messages whose sound is not kept
        self._records = bytearray()  # extended last, so its length counts the complete messages

    def __len__(self) -> int:
        return len(self._records) // _RECORD.size

    def append(self, message: Message, at: float, dropped: int = 0) -> None:
        """Keep a message; without its payload if `dropped`, the size of the payload, is not 0."""
        number = chunk = timestamp = 0
        head: tuple[Any, ...]
        body, start = b"", len(self._bytes)
        if isinstance(message, from_twilio.Media):
            head, body = (from_twilio.Media, message.stream_sid, message.track), message.payload
            number, chunk, timestamp = message.sequence_number, message.chunk, message.timestamp_ms
        elif isinstance(message, to_twilio.Media):
            head, body = (to_twilio.Media, message.stream_sid, ""), message.payload
        elif isinstance(message, from_twilio.Mark):
            head, body = (from_twilio.Mark, message.stream_sid, ""), _encode(message.name)
            number = message.sequence_number
        elif isinstance(message, to_twilio.Mark):
            head, body = (to_twilio.Mark, message.stream_sid, ""), _encode(message.name)
        else:
            head, start = (None, "", ""), len(self._rare)
            self._rare.append(message)
        if dropped:
            self._not_kept.append(len(self))
            body, start = b"", _NOT_KEPT
        size, place = dropped or len(body), self._heads.setdefault(head, len(self._heads))
        try:
            record = _RECORD.pack(place, at, size, start, number, chunk, timestamp)
        except struct.error:  # a number that does not fit into the record: store it in a head
            place = self._heads.setdefault((*head, number, chunk, timestamp), len(self._heads))
            record = _RECORD.pack(place, at, size, start, 0, 0, 0)
        self._bytes += body
        self._records += record

    @property
    def last_at(self) -> float:
        """The time of the last message."""
        at: float = _RECORD.unpack_from(self._records, len(self._records) - _RECORD.size)[1]
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

    def list_entries(self, first: int, started: float) -> Iterator[Entry]:
        """Yield the messages after the first ones, with their time in seconds since `started`."""
        records = bytes(self._records[first * _RECORD.size :])
        heads = list(self._heads)
        for place, at, size, start, number, chunk, timestamp in _RECORD.iter_unpack(records):
            kind, sid, track = heads[place][:3]
            if kind is None:
                yield Entry(at - started, self._rare[start])
                continue
            numbers = heads[place][3:] or (number, chunk, timestamp)
            body = b"" if start == _NOT_KEPT else bytes(self._bytes[start : start + size])
            if kind is to_twilio.Media:
                yield Entry(at - started, to_twilio.make_unchecked_media(sid, body), size)
            elif kind is from_twilio.Media:
                voice = from_twilio.Media(sid, body, numbers[0], track, *numbers[1:])
                yield Entry(at - started, voice, size)
            elif kind is to_twilio.Mark:
                yield Entry(at - started, to_twilio.Mark(sid, _decode(body)))
            else:
                yield Entry(at - started, from_twilio.Mark(sid, _decode(body), numbers[0]))


def _encode(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")  # JSON may hold a lone surrogate


def _decode(name: bytes) -> str:
    return name.decode("utf-8", "surrogatepass")


def _list_as(what: str, items: Iterable[T]) -> Listing[T]:
    # Without a class method, because a live display calls this for every message.
    found = Listing(items)
    found.what = what
    return found
