"""Describe a message as text, for a console, a log and the activity log."""

from __future__ import annotations

import re

from twistream_kit.errors import quote
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import MarkName

MOST_CHARACTERS = 2000
"""The limit of the text shown of one message: an invalid message may have any length."""

_END_CHARACTERS = 30
"""How much of the end of a long message is shown: the fields after the payload."""


def describe_message(message: from_twilio.Message | to_twilio.Message) -> str:
    """Describe a message and its sender in one line; the sound of media is not described.

    >>> from twistream_kit.protocol import from_twilio, to_twilio
    >>> describe_message(from_twilio.Dtmf("MZ1", "5"))
    'the caller pressed 5'
    >>> describe_message(to_twilio.Mark("MZ1", "greeting#1"))
    "mark 'greeting#1' sent"
    """
    match message:
        case from_twilio.Connected():
            return "Twilio connected"
        case from_twilio.Start(stream_sid=sid, custom_parameters=parameters):
            # Only the names: the values may be personal data, and terminal output gets copied.
            names = ", ".join(parameters)
            return f"Twilio started the stream {sid}" + (f", parameters: {names}" if names else "")
        case from_twilio.Dtmf(digit=digit):
            return f"the caller pressed {digit}"
        case from_twilio.Mark(name=name):
            return f"mark {quote(name)} came back"
        case from_twilio.Stop():
            return "Twilio stopped the stream"
        case from_twilio.Unknown(event=event):
            return f"Twilio sent {quote(event)}, an event that is not known here"
        case to_twilio.Mark(name=name):
            return f"mark {quote(name)} sent"
        case to_twilio.Clear():
            return "clear sent"
        case _:
            return "media came" if isinstance(message, from_twilio.Media) else "media sent"


def get_event(message: from_twilio.Message | to_twilio.Message) -> str:
    """Return the event of a message as on the wire; ``progress mark`` for the kit's own marks."""
    if isinstance(message, from_twilio.Unknown):
        return message.event
    if isinstance(message, from_twilio.Mark | to_twilio.Mark):
        return "progress mark" if MarkName.parse(message.name).is_progress else "mark"
    return type(message).__name__.lower()


def quote_message(message: str | bytes, limit: int = MOST_CHARACTERS) -> str:
    """Return the text of a message; for a long one, its beginning, its end and its length.

    Args:
        message: Text, or bytes for a binary message, in which text can still be read.
        limit: How many characters, or bytes, of the beginning are shown.
    """
    if isinstance(message, bytes):
        more = " …" if len(message) > limit else ""
        return f"{len(message)} bytes, binary: {message[:limit]!r}{more}"
    if len(message) <= limit + _END_CHARACTERS:
        return message
    return f"{message[:limit]} … {message[-_END_CHARACTERS:]} ({len(message)} characters)"


def find_own_sid(text: str, stream_sid: str) -> list[tuple[int, int]]:
    """Return where a message names its own stream, each with the comma beside it.

    The same 50 characters stand in every message; in a line of one row they would leave no room
    for what is different.
    """
    if not stream_sid:
        return []
    field = rf'"streamSid": ?"{re.escape(stream_sid)}"'
    return [found.span() for found in re.finditer(rf"{field}, ?|, ?{field}", text)]
