"""Messages of a capture as bare tuples of plain values.

Python's garbage collector goes through all objects that may hold others, again and again, and
everything stands still meanwhile: with the messages of fifty calls, six seconds of them, for 70 ms.
Tuples of numbers, text and bytes alone it leaves out.
"""

from __future__ import annotations

from dataclasses import fields
from operator import attrgetter
from typing import Any

from twistream_kit.capture.entry import Message
from twistream_kit.protocol import from_twilio, to_twilio

Kept = tuple[Any, ...]
"""The place of its class in `_KINDS`, its time and its values; of a rarer message None, its time
and itself."""

_KINDS = (from_twilio.Media, to_twilio.Media, from_twilio.Mark, to_twilio.Mark)
FROM_TWILIO_MEDIA, TO_TWILIO_MEDIA = 0, 1
"""The places of the two that come a hundred times a second."""

_WITH_SOUND = (FROM_TWILIO_MEDIA, TO_TWILIO_MEDIA)

_NAMES = tuple(tuple(each.name for each in fields(kind)) for kind in _KINDS)
_VALUES = {kind: (place, attrgetter(*_NAMES[place])) for place, kind in enumerate(_KINDS)}


def kept(message: Message, at: float) -> Kept:
    """Return what is to be kept of a message that passed at `at`."""
    found = _VALUES.get(type(message))
    if found is None:
        return (None, at, message)
    place, values = found
    return (place, at, *values(message))


def time_of(what: Kept) -> float:
    """Return when it passed."""
    at: float = what[1]
    return at


def size_of(what: Kept) -> int:
    """Return how many bytes of sound it holds."""
    return len(what[3]) if what[0] in _WITH_SOUND else 0


def message_of(what: Kept) -> Message:
    """Return the message, equal to the one that passed."""
    message: Message
    place = what[0]
    if place == FROM_TWILIO_MEDIA:
        return from_twilio.Media(*what[2:])  # it refuses nothing, and this is quicker
    if place == TO_TWILIO_MEDIA:
        message = object.__new__(to_twilio.Media)  # as below, but quicker
        object.__setattr__(message, "stream_sid", what[2])
        object.__setattr__(message, "payload", what[3])
        return message
    if place is None:
        message = what[2]
        return message
    kind: Any = _KINDS[place]
    message = object.__new__(kind)
    # Past __post_init__: a whole WAV file is kept as it was sent.
    for name, value in zip(_NAMES[place], what[2:], strict=True):
        object.__setattr__(message, name, value)
    return message
