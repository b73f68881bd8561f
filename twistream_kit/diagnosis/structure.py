"""Whether a JSON object is one of the three messages to Twilio, field by field (PROTOCOL.md §4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from twistream_kit.diagnosis.encoding import review_base64
from twistream_kit.diagnosis.fields import Fields, invalid, kind
from twistream_kit.diagnosis.words import (
    EVENTS,
    FIELDS_FROM_TWILIO,
    FOREIGN_EVENTS,
    FROM_TWILIO,
    meant_for,
    nearest,
)
from twistream_kit.protocol.objection import Objection, shown
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE

_STREAM_SID = re.compile(r"MZ[0-9a-fA-F]{32}")
"""The shape of a stream's name (§1.7)."""

_BODY = {"media": "payload", "mark": "name"}
"""The one field in the object of the same name; a clear has no object (§4)."""

_ONE_OF_THREE = "Send 'media', 'mark' or 'clear'; there is no fourth"


def review_structure(message: dict[str, Any], stream_sid: str | None) -> Iterator[Objection]:
    """Say what is wrong with the fields of `message`, most important first."""
    fields = Fields(message)
    event, objection = _event(fields)
    if objection:
        yield objection
    if event in FROM_TWILIO:
        return  # Its fields are Twilio's; to name each of them as wrong would hide the point.
    yield from _stream_sid(fields, event, stream_sid)
    if event in _BODY:
        yield from _body(fields, event)
    if event:
        yield from fields.left_over()


def _event(fields: Fields) -> tuple[str, Objection | None]:
    """Find the event that is meant, and what is wrong with the way it is said."""
    found = fields.take("event")
    if found.field is None:
        return next((name for name in EVENTS if name in fields.values), ""), found.objection
    if not isinstance(found.value, str):
        return "", invalid(found.field, f"is {kind(found.value)}, not a string", _ONE_OF_THREE)
    if found.value in EVENTS:
        return found.value, found.objection
    event, problem, fix = _wrong_event(found.value)
    return event, invalid(found.field, problem, fix)


def _wrong_event(event: str) -> tuple[str, str, str]:
    """Return the event that is meant, or an empty string, the problem and the fix."""
    if event in FROM_TWILIO:
        problem = f"is {event!r}, a message that Twilio sends and never receives"
        return event, problem, FROM_TWILIO[event]
    if event in FOREIGN_EVENTS:
        whose, meant = FOREIGN_EVENTS[event]
        return (
            meant,
            f"is {event!r}, which is {whose}'s word: {meant!r} is meant",
            f"Write {meant!r}",
        )
    if meant := nearest(event, EVENTS):
        return (
            meant,
            f"is {shown(event)}: {meant!r} is meant",
            f"Write {meant!r}, letter for letter",
        )
    return "", f"is {shown(event)}, which is not a message to Twilio", _ONE_OF_THREE


def _stream_sid(fields: Fields, event: str, expected: str | None) -> Iterator[Objection]:
    found = fields.take("streamSid")
    if found.field is None:
        body = fields.values.get(event)
        if isinstance(body, dict) and "streamSid" in body:
            problem = f"stands inside {event}; it belongs beside the event"
            yield invalid(f"{event}.streamSid", problem, "Move it to the top of the message")
            return
    if found.objection:
        yield found.objection
    if found.field is not None:
        yield from _sid_value(found.field, found.value, expected)


def _sid_value(field: str, value: object, expected: str | None) -> Iterator[Objection]:
    fix = "Use the stream_sid of this call's start message"
    if not isinstance(value, str):
        yield invalid(field, f"is {kind(value)}, not a string", fix)
    elif expected is not None:
        if value != expected:
            yield invalid(field, f"is {shown(value)} but this stream is {shown(expected)}", fix)
    elif not _STREAM_SID.fullmatch(value):
        known = {"CA": ": it is a call's", "AC": ": it is an account's"}.get(value[:2], "")
        problem = f"is {shown(value)}, not MZ and 32 hex digits{known}"
        consequence = "Twilio drops what names another stream, with warning 31951, once per stream"
        yield Objection(INVALID_MESSAGE, field, problem, consequence, fix, "warning")


def _body(fields: Fields, event: str) -> Iterator[Objection]:
    key = _BODY[event]
    found = fields.take(event)
    write = f'Write "{event}": {{"{key}": …}}'
    if isinstance(found.value, dict):
        if found.objection:
            yield found.objection
        yield from _inside(Fields(found.value, event), fields, event)
    elif found.field is None and (beside := _beside(fields, event, key)):
        fields.claim(beside)
        problem = f"stands beside the event; it belongs inside {event}"
        if beside != key:
            problem += f", as {key}"
        yield invalid(beside, problem, write)
        yield from _content(event, fields.values[beside], beside)
    elif found.field is None:
        yield invalid(event, "is missing", write)
    else:
        yield invalid(found.field, f"is {kind(found.value)}, not an object", write)
        if isinstance(found.value, str):
            yield from _content(event, found.value, found.field)


def _beside(fields: Fields, event: str, key: str) -> str:
    """Return the name of what should be `key` inside the object, or an empty string."""
    if key in fields.values:
        return key
    own = FIELDS_FROM_TWILIO | {"event", "streamSid", event}
    return meant_for(key, (name for name in fields.values if name not in own))


def _inside(body: Fields, fields: Fields, event: str) -> Iterator[Objection]:
    key = _BODY[event]
    found = body.take(key)
    if found.field is None and key in fields.values:
        fields.claim(key)
        problem = f"stands beside {event}; it belongs inside it"
        yield invalid(key, problem, f'Write "{event}": {{"{key}": …}}')
        yield from _content(event, fields.values[key], key)
    elif found.objection:
        yield found.objection
    if found.field is not None:
        yield from _content(event, found.value, found.field)
    if "streamSid" in body.values and "streamSid" not in fields.values:
        body.claim("streamSid")
    yield from body.left_over()


def _content(event: str, value: object, field: str) -> Iterator[Objection]:
    return _payload(value, field) if event == "media" else _name(value, field)


def _payload(value: object, field: str) -> Iterator[Objection]:
    if isinstance(value, str):
        yield from review_base64(value, field)
        return
    fix = "Send base64 text: b64encode(payload).decode()"
    if isinstance(value, list):
        fix = f"Numbers in a list are not sound here. {fix}"
    yield invalid(field, f"is {kind(value)}, not a string of base64", fix)


def _name(value: object, field: str) -> Iterator[Objection]:
    if not isinstance(value, str):
        fix = "Send a string; a number must be turned into one: str(number)"
        yield invalid(field, f"is {kind(value)}, not a string", fix)
    elif not value:
        consequence = "It comes back empty and does not tell which audio was played"
        yield Objection(None, field, "is empty", consequence, "Give each mark a name", "note")
