"""One message in a capture and its time, and how a capture keeps it in memory.

A message is kept as a bare tuple of plain values, and media whose sound is not kept as a few
numbers.  Python's garbage collector goes through all objects that may hold others, again and again,
and everything stands still meanwhile: with the messages of fifty calls, six seconds of them, for
70 ms.  Tuples of numbers, text and bytes alone it leaves out.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any, Literal

from twistream_kit.protocol import from_twilio, to_twilio

Message = from_twilio.Message | to_twilio.Message

Sender = Literal["twilio", "server"]

KeptMessage = tuple[Any, ...]
"""A message as a bare tuple: the place of its class in `_KINDS`, its time and its values; of a
rarer message None, its time and itself."""

FROM_TWILIO_MEDIA, TO_TWILIO_MEDIA = 0, 1
"""The places of the two that come a hundred times a second."""

_WITH_SOUND = (FROM_TWILIO_MEDIA, TO_TWILIO_MEDIA)

_KINDS = (from_twilio.Media, to_twilio.Media, from_twilio.Mark, to_twilio.Mark)

_NAMES = tuple(tuple(each.name for each in fields(kind)) for kind in _KINDS)

_VALUES = {kind: (place, attrgetter(*_NAMES[place])) for place, kind in enumerate(_KINDS)}

_TO_TWILIO = (to_twilio.Media, to_twilio.Mark, to_twilio.Clear)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message and its time.

    Attributes:
        at: In seconds since the capture was started.
        message: A message of `from_twilio` or `to_twilio`; the payload of a media message is empty
            when it was not kept.
        size: How many bytes of sound it held when it passed; 0 for all but media.
    """

    at: float
    message: Message
    size: int = 0

    @property
    def sender(self) -> Sender:
        """``twilio`` or ``server``."""
        return "server" if isinstance(self.message, _TO_TWILIO) else "twilio"

    @property
    def is_kept(self) -> bool:
        """Whether its sound, if it had any, is still there."""
        return not self.size or bool(_payload_of(self.message))


def keep(message: Message, at: float) -> KeptMessage:
    """Return what is to be kept of a message that passed at `at`."""
    found = _VALUES.get(type(message))
    if found is None:
        return (None, at, message)
    place, values = found
    return (place, at, *values(message))


def message_of(kept: KeptMessage) -> Message:
    """Return the message, equal to the one that passed."""
    place = kept[0]
    if place == TO_TWILIO_MEDIA:
        return to_twilio.unchecked_media(*kept[2:])  # a whole WAV file is kept as it was sent
    message: Message = kept[2] if place is None else _KINDS[place](*kept[2:])
    return message


def time_of(kept: KeptMessage) -> float:
    """Return when it passed."""
    at: float = kept[1]
    return at


def size_of(kept: KeptMessage) -> int:
    """Return how many bytes of sound it holds."""
    return len(kept[3]) if kept[0] in _WITH_SOUND else 0


class BareMedia:
    """Media messages without their sound, in 25 bytes each.

    Each remembers how many whole messages stood before it, so that the order is not lost.
    """

    def __init__(self) -> None:
        self._places = array("Q")
        self._sizes = array("I")
        self._chunks = array("I")
        self._from_twilio = array("B")
        self._times = array("d")  # appended to last: its length says how many are complete

    def append(
        self, message: from_twilio.Media | to_twilio.Media, at: float, place: int, size: int
    ) -> None:
        """Note a message of `size` bytes of sound behind the first `place` whole ones."""
        is_from_twilio = isinstance(message, from_twilio.Media)
        chunk = message.chunk if isinstance(message, from_twilio.Media) else 0
        self._places.append(place)
        self._sizes.append(size)
        self._chunks.append(min(max(chunk, 0), 0xFFFFFFFF))
        self._from_twilio.append(is_from_twilio)
        self._times.append(at)

    def __len__(self) -> int:
        return len(self._times)

    @property
    def last_at(self) -> float:
        """When the last of them came, minus infinity if none did."""
        return self._times[-1] if self._times else float("-inf")

    def entries(self, stream_sid: str, started: float) -> Iterator[tuple[int, Entry]]:
        """Yield for each message how many whole ones stand before it, and itself."""
        for index in range(len(self._times)):
            message: Message = (
                from_twilio.Media(stream_sid, b"", chunk=self._chunks[index])
                if self._from_twilio[index]
                else to_twilio.Media(stream_sid, b"")
            )
            entry = Entry(self._times[index] - started, message, self._sizes[index])
            yield self._places[index], entry


def _payload_of(message: Message) -> bytes:
    """Return the sound of a media message, nothing of any other."""
    if isinstance(message, from_twilio.Media | to_twilio.Media):
        return message.payload
    return b""
