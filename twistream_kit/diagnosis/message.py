"""Review one message of your server: what would Twilio object to (PROTOCOL.md §4)?

Twilio has one code, 31951, for every fault of a text message, names no field and logs it once per
stream.  `review` returns the field, the reason and the fix for each message, and also objects to
sound that Twilio would accept and play as noise.  It checks the JSON, then the fields of each
object (missing, misspelt or extra, §3 and §4), then the base64 of a payload, and then its content.
It never raises for the content of a message; only the constructors of `to_twilio` do.
`review_sound` finds what takes many messages to show.
"""

from __future__ import annotations

import json
import re
from base64 import b64decode
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from itertools import islice
from typing import Any

from twistream_kit.diagnosis.payload import SHORTEST_BYTES, is_8_bit_silence, look_inside
from twistream_kit.errors import Objection, Objections, WrongType, quote, sort_by_severity
from twistream_kit.protocol.from_twilio import WIRE_FIELDS
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE, MALFORMED_MESSAGE
from twistream_kit.sound_file import find_container

_EVENTS = ("media", "mark", "clear")
"""All that a server may send (§4)."""

_SEND_NOTHING = "Send nothing in its place"

_FROM_TWILIO = {
    "connected": f"{_SEND_NOTHING}: Twilio needs no greeting, whatever some guides say",
    "start": f"{_SEND_NOTHING}: the stream has begun when Twilio's own start has come",
    "dtmf": (
        f"{_SEND_NOTHING}: keys cannot be sent through a stream, nor does their sound arrive as"
        " keys. Send them before it, by send_digits='{digit}' when calling or by"
        ' <Play digits="{digit}"/> before <Connect>; in a call that runs, TwiML with <Play digits>'
        " ends the stream"
    ),
    "stop": "To end the stream, close the socket: stream.close()",
}
"""Events that only Twilio sends (§3), each with the fix; ``{digit}`` is the key of a *dtmf*."""

_KEY = re.compile(r"[0-9A-D*#]")

_FOREIGN_EVENTS = {
    "playAudio": ("Plivo", "media"),
    "clearAudio": ("Plivo", "clear"),
    "checkpoint": ("Plivo", "mark"),
}
"""Events of other companies' streams, the company, and Twilio's name of the event (§10.2)."""

_OWN_NAMES = frozenset({"event", "streamSid", *_EVENTS})
"""Correct names are never taken for a misspelling of another one."""

_KEY_INSIDE = {"media": "payload", "mark": "name"}
"""The only field of the inner object of each event; a clear has no inner object (§4)."""

_FIELDS_FROM_TWILIO = WIRE_FIELDS - _OWN_NAMES - set(_KEY_INSIDE.values())
"""Fields that only Twilio's own messages carry (§3); copied into an answer they are extra."""

_ALIASES = {
    "event": ("type", "action", "kind", "method", "message"),
    "streamSid": ("sid", "streamid", "stream", "streamuuid"),
    "media": ("audio", "data"),
    "payload": ("data", "audio", "content", "body", "bytes", "base64"),
    "name": ("label", "id", "mark", "markname", "markid"),
}

_STREAM_SID = re.compile(r"MZ[0-9a-fA-F]{32}")
"""The format of the SID of a stream (§1.7)."""

_DROPPED = "Twilio would drop it with warning 31951, logged once per stream"
"""The consequence that §4 documents for every message that is not exactly one of the three."""

_SUPPOSED = "If the rest of the message were right: "
"""Stands before what would follow from the payload of a message that is dropped for its form."""

_BINARY_DROPPED = "Twilio would drop it with warning 31950, logged once per stream"

_EXTRA = (
    "Twilio names extra fields a violation (31951, once per stream); whether it still obeys the"
    " message is not documented"
)

_ONE_OF_THREE = "Send 'media', 'mark' or 'clear'; there is no fourth"

_ENCODE = "Send b64encode(payload).decode() in one piece, or stream.play(clip)"


def review_message(
    message: str | bytes | Mapping[str, Any], *, stream_sid: str | None = None
) -> Objections:
    """Say what Twilio would object to in `message`, and what it would play as noise.

    A server may send media, mark and clear (PROTOCOL.md §4); Twilio drops what is none of them, or
    malformed, with warning 31950 or 31951, once per stream (§5.1).

    Args:
        message: What your server sends: str for a text message, bytes for a binary one, or a dict
            that is about to become JSON.
        stream_sid: The name of this stream, from its start message; without it only the shape of
            the message's ``streamSid`` is looked at.

    Returns:
        Errors first, then warnings (extra fields, for one), then notes; empty if all is well.

    Raises:
        TypeError: If `message` is none of these.

    Example:
        >>> import twistream_kit as kit
        >>> sid = "MZ" + "0" * 32
        >>> kit.review_message({"event": "mark", "streamSid": sid, "mark": "greeting"})
        - mark is the string 'greeting', not an object. Twilio would drop it with warning 31951, ...
        >>> kit.review_message(kit.to_twilio.Mark(sid, "greeting").to_json(), stream_sid=sid)
        nothing to object to
    """
    if isinstance(message, Mapping):
        try:
            message = json.dumps(dict(message))
        except (TypeError, ValueError, RecursionError) as error:
            fix = "Everything in it must be text; base64 too: b64encode(payload).decode()"
            return Objections(
                [_make_objection("", f"the message cannot become JSON: {error}", fix)]
            )
    if isinstance(message, (bytes, bytearray, memoryview)):
        return sort_by_severity(_review_binary(bytes(message), stream_sid))
    if not isinstance(message, str):
        raise WrongType(f"a message is str, bytes or a dict, not {type(message).__name__}")
    return sort_by_severity(_review_text(message, stream_sid))


def review_unheard(message: str | bytes, *, stream_sid: str | None = None) -> Objections:
    """Say what `review_message` says, without what only listening to a long payload shows.

    It is for `StreamReviewer`, which listens to all messages of a stream together.
    """
    if isinstance(message, bytes):
        return sort_by_severity(_review_binary(message, stream_sid, is_heard=False))
    return sort_by_severity(_review_text(message, stream_sid, is_heard=False))


def find_nearest(word: str, choices: Iterable[str]) -> str:
    """Return the item of `choices` that `word` probably means, or an empty string.

    Case and punctuation do not count, so ``stream_sid`` means ``streamSid``.
    """
    plain = {_reduce_word(choice): choice for choice in choices}
    close = get_close_matches(_reduce_word(word[:64]), plain, n=1, cutoff=0.7)
    return plain[close[0]] if close else ""


def _review_binary(
    message: bytes, stream_sid: str | None, *, is_heard: bool = True
) -> Iterator[Objection]:
    is_json = message.lstrip().startswith(b"{")
    if is_json:
        problem = "the message is JSON, but sent as a binary message"
        fix = "Send it as str: given bytes, most libraries send a binary message"
    else:
        problem = f"the message is binary: {find_container(message) or 'bare bytes'}, not JSON"
        fix = "Call stream.play(clip), or send to_twilio.Media(stream_sid, payload).to_json()"
    yield Objection(MALFORMED_MESSAGE, "", problem, _BINARY_DROPPED, fix)
    if is_json:
        inside = _review_text(message.decode("utf-8", "replace"), stream_sid, is_heard=is_heard)
        yield from map(_add_condition, inside)


def _review_text(
    text: str, stream_sid: str | None, *, is_heard: bool = True
) -> Iterator[Objection]:
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            repeated.extend(name for name, count in counts.items() if count > 1)
        return found

    try:
        message = json.loads(text, object_pairs_hook=collect, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        yield _explain_json(text, error)
        return
    if not isinstance(message, dict):
        fix = "Send one object for each message: media, mark or clear"
        yield _make_objection(
            "", f"the message is {_describe_kind(message)}, not a JSON object", fix
        )
        return
    found = list(_review_fields(message, stream_sid))
    yield from _add_conditions(found)
    if is_heard and not any(objection.severity == "error" for objection in found):
        yield from _review_long_sound(message)
    for name in dict.fromkeys(repeated):
        problem = "stands twice in one object; which of the two Twilio reads is not documented"
        yield Objection(None, _format_path("", name), problem, fix="Keep one", severity="warning")


def _add_conditions(found: Sequence[Objection]) -> Iterator[Objection]:
    """Say of what Twilio would only do with a message that it obeys, that it drops this one."""
    is_dropped = any(objection.code and objection.severity == "error" for objection in found)
    return map(_add_condition, found) if is_dropped else iter(found)


def _add_condition(objection: Objection) -> Objection:
    consequence = objection.consequence
    if objection.code is not None or not consequence or consequence.startswith(_SUPPOSED):
        return objection
    if not consequence.startswith("Twilio"):
        consequence = consequence[0].lower() + consequence[1:]
    return replace(objection, consequence=_SUPPOSED + consequence)


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _explain_json(text: str, error: Exception) -> Objection:
    if not text.strip():
        fix = "Send nothing instead: the stream stays open without it"
    elif text.lstrip().startswith("{'"):
        fix = "This is how Python prints a dict: send json.dumps(message), not str(message)"
    else:
        fix = "Build it with to_twilio.Media(stream_sid, payload).to_json()"
    reason = "too deeply nested" if isinstance(error, RecursionError) else error
    return _make_objection("", f"the message is not JSON: {reason}", fix)


def _review_long_sound(message: dict[str, Any]) -> Iterator[Objection]:
    """Listen to the sound of a message without errors, if there is enough of it."""
    media = message.get("media")
    text = media.get("payload") if isinstance(media, dict) else None
    if isinstance(text, str) and len(text) * 3 // 4 > SHORTEST_BYTES:
        # Imported here, because it imports numpy, and most messages are too short to need it.
        from twistream_kit.diagnosis.sound import listen_to

        yield from listen_to(b64decode(text))


def _review_fields(message: dict[str, Any], stream_sid: str | None) -> Iterator[Objection]:
    """Object to the fields of `message`, most important first."""
    fields = Fields(message)
    event, objection = _find_event(fields)
    if objection:
        yield objection
    if event in _FROM_TWILIO:
        return  # its fields are Twilio's; an objection to each would hide the important one
    yield from _review_stream_sid(fields, event, stream_sid)
    if event in _KEY_INSIDE:
        yield from _review_body(fields, event)
    if event:
        yield from fields.check_rest()


def _find_event(fields: Fields) -> tuple[str, Objection | None]:
    """Return the intended event, and the objection to its field, if any."""
    found = fields.take("event")
    if found.field is None:
        return next((name for name in _EVENTS if name in fields.values), ""), found.objection
    if not isinstance(found.value, str):
        return "", _make_objection(
            found.field, f"is {_describe_kind(found.value)}, not a string", _ONE_OF_THREE
        )
    if found.value in _EVENTS:
        return found.value, found.objection
    event, problem, fix = _explain_event(found.value)
    if event == "dtmf":
        fix = fix.format(digit=_find_key(fields.values.get("dtmf")))
    return event, _make_objection(found.field, problem, fix)


def _find_key(body: object) -> str:
    """Return the key that a *dtmf* message was to send, 1 if it names none."""
    key = body.get("digit") if isinstance(body, dict) else None
    return key if isinstance(key, str) and _KEY.fullmatch(key) else "1"


def _explain_event(event: str) -> tuple[str, str, str]:
    """Return the intended event (or an empty string), the problem and the fix."""
    if event in _FROM_TWILIO:
        problem = f"is {event!r}, a message that Twilio sends and never receives"
        return event, problem, _FROM_TWILIO[event]
    if event in _FOREIGN_EVENTS:
        whose, meant = _FOREIGN_EVENTS[event]
        return (
            meant,
            f"is {event!r}, which is {whose}'s word: {meant!r} is meant",
            f"Write {meant!r}",
        )
    if meant := find_nearest(event, _EVENTS):
        return (
            meant,
            f"is {quote(event)}: {meant!r} is meant",
            f"Write {meant!r}, letter for letter",
        )
    return "", f"is {quote(event)}, which is not a message to Twilio", _ONE_OF_THREE


def _review_stream_sid(fields: Fields, event: str, expected: str | None) -> Iterator[Objection]:
    found = fields.take("streamSid")
    if found.field is None:
        body = fields.values.get(event)
        if isinstance(body, dict) and "streamSid" in body:
            problem = f"stands inside {event}; it belongs beside the event"
            yield _make_objection(
                f"{event}.streamSid", problem, "Move it to the top of the message"
            )
            return
    if found.objection:
        yield found.objection
    if found.field is not None:
        yield from _review_sid(found.field, found.value, expected)


def _review_sid(field: str, value: object, expected: str | None) -> Iterator[Objection]:
    fix = "Use the stream_sid of this call's start message"
    if not isinstance(value, str):
        yield _make_objection(field, f"is {_describe_kind(value)}, not a string", fix)
    elif expected is not None:
        if value != expected:
            yield _make_objection(
                field, f"is {quote(value)} but this stream is {quote(expected)}", fix
            )
    elif not _STREAM_SID.fullmatch(value):
        known = {"CA": ": it is a call's", "AC": ": it is an account's"}.get(value[:2], "")
        problem = f"is {quote(value)}, not MZ and 32 hex digits{known}"
        consequence = "Twilio drops what names another stream, with warning 31951, once per stream"
        yield Objection(INVALID_MESSAGE, field, problem, consequence, fix, "warning")


def _review_body(fields: Fields, event: str) -> Iterator[Objection]:
    key = _KEY_INSIDE[event]
    found = fields.take(event)
    write = f'Write "{event}": {{"{key}": …}}'
    if isinstance(found.value, dict):
        if found.objection:
            yield found.objection
        yield from _review_object(Fields(found.value, event), fields, event)
    elif found.field is None and (beside := _find_beside(fields, event, key)):
        fields.claim(beside)
        problem = f"stands beside the event; it belongs inside {event}"
        if beside != key:
            problem += f", as {key}"
        yield _make_objection(beside, problem, write)
        yield from _review_content(event, fields.values[beside], beside)
    elif found.field is None:
        yield _make_objection(event, "is missing", write)
    else:
        yield _make_objection(
            found.field, f"is {_describe_kind(found.value)}, not an object", write
        )
        if isinstance(found.value, str):
            yield from _review_content(event, found.value, found.field)


def _find_beside(fields: Fields, event: str, key: str) -> str:
    """Return the field that stands outside the object in place of `key`, or an empty string."""
    if key in fields.values:
        return key
    own = _FIELDS_FROM_TWILIO | {"event", "streamSid", event}
    return _find_meant(key, (name for name in fields.values if name not in own))


def _review_object(body: Fields, fields: Fields, event: str) -> Iterator[Objection]:
    key = _KEY_INSIDE[event]
    found = body.take(key)
    if found.field is None and key in fields.values:
        fields.claim(key)
        problem = f"stands beside {event}; it belongs inside it"
        yield _make_objection(key, problem, f'Write "{event}": {{"{key}": …}}')
        yield from _review_content(event, fields.values[key], key)
    elif found.objection:
        yield found.objection
    if found.field is not None:
        yield from _review_content(event, found.value, found.field)
    if "streamSid" in body.values and "streamSid" not in fields.values:
        body.claim("streamSid")
    yield from body.check_rest()


def _review_content(event: str, value: object, field: str) -> Iterator[Objection]:
    return _review_payload(value, field) if event == "media" else _review_name(value, field)


def _review_payload(value: object, field: str) -> Iterator[Objection]:
    if isinstance(value, str):
        yield from _review_base64(value, field)
        return
    fix = "Send base64 text: b64encode(payload).decode()"
    if isinstance(value, list):
        fix = f"Numbers in a list are not sound here. {fix}"
    yield _make_objection(field, f"is {_describe_kind(value)}, not a string of base64", fix)


def _review_name(value: object, field: str) -> Iterator[Objection]:
    if not isinstance(value, str):
        fix = "Send a string; a number must be turned into one: str(number)"
        yield _make_objection(field, f"is {_describe_kind(value)}, not a string", fix)
    elif not value:
        consequence = "It comes back empty and does not tell which audio was played"
        yield Objection(None, field, "is empty", consequence, "Give each mark a name", "note")


@dataclass(frozen=True, slots=True)
class FieldValue:
    """The value of one field of an object, under its correct or a misspelt name.

    Attributes:
        value: The value; None if the field is missing.
        field: The path of the field as written; None if it is missing.
        objection: The objection that the field is missing or misspelt; else None.
    """

    value: Any
    field: str | None
    objection: Objection | None = None


class Fields:
    """The fields of one object, taken one by one; the rest are extra.

    Args:
        values: The object.
        inside: Its path, empty for the whole message.
    """

    def __init__(self, values: dict[str, Any], inside: str = "") -> None:
        self.values = values
        self.inside = inside
        self._taken: set[str] = set()

    def take(self, key: str) -> FieldValue:
        """Take the field `key`, or the field that was probably meant as `key`."""
        if key in self.values:
            self._taken.add(key)
            return FieldValue(self.values[key], _format_path(self.inside, key))
        written = _find_meant(key, (name for name in self.values if self._may_be_misspelt(name)))
        right = _format_path(self.inside, key)
        if not written:
            fix = f"Add {right}; Twilio reads no other name"
            return FieldValue(None, None, _make_objection(right, "is missing", fix))
        self._taken.add(written)
        field = _format_path(self.inside, written)
        problem = f"is not a name that Twilio reads: {key} is meant"
        return FieldValue(
            self.values[written], field, _make_objection(field, problem, f"Rename it to {right}")
        )

    def _may_be_misspelt(self, name: str) -> bool:
        known = _FIELDS_FROM_TWILIO if self.inside else _FIELDS_FROM_TWILIO | _OWN_NAMES
        return name not in self._taken and name not in known

    def claim(self, name: str) -> None:
        """Note that there is an objection to field `name` already."""
        self._taken.add(name)

    def check_rest(self) -> Iterator[Objection]:
        """Object to every field that was not taken."""
        for name in self.values:
            if name in self._taken:
                continue
            problem = (
                "is a field of Twilio's own messages, not of yours"
                if name in _FIELDS_FROM_TWILIO
                else "is not a field of this message"
            )
            field = _format_path(self.inside, name)
            yield Objection(INVALID_MESSAGE, field, problem, _EXTRA, "Leave it out", "warning")


def _find_meant(key: str, found: Iterable[str]) -> str:
    """Return the name in `found` that was probably meant as `key`, or an empty string."""
    names = list(islice(found, _MOST_NAMES))
    aliases = _ALIASES.get(key, ())
    by_sense = (name for name in names if _reduce_word(name[:64]) in aliases)
    return find_nearest(key, names) or next(by_sense, "")


_MOST_NAMES = 200
"""How many of a message's unknown names are compared: a message of Twilio's has ten at most."""


def _reduce_word(word: str) -> str:
    return re.sub(r"[^a-z0-9]", "", word.casefold())


def _format_path(inside: str, name: str) -> str:
    """Return the path of field `name`, quoted if the name is unusual."""
    plain = name if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else quote(name)
    return f"{inside}.{plain}" if inside else plain


def _describe_kind(value: object) -> str:
    """Describe the JSON type of `value`."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {quote(value, 20)}"
        case str():
            return f"the string {quote(value, 20)}"
        case list():
            return "a list"
        case _:
            return "an object"


def _make_objection(field: str, problem: str, fix: str) -> Objection:
    """Return an objection to a fault for which Twilio drops the message."""
    return Objection(INVALID_MESSAGE, field, problem, _DROPPED, fix)


def _review_base64(text: str, field: str) -> Iterator[Objection]:
    """Object to `text` if it is not base64, and to the sound that it contains."""
    try:
        payload = b64decode(text, validate=True)
    except ValueError:
        bare, problem, fix = _explain_base64(text)
        yield _make_objection(field, problem, fix)
        # A payload with wrong base64 may also have wrong content.
        payload = _decode_leniently(bare)
        if not payload:
            return
    found = look_inside(payload, field)
    if len(payload) >= SHORTEST_BYTES and any(map(is_8_bit_silence, found)):
        from twistream_kit.diagnosis.sound import look_closely

        found = look_closely(payload)
    yield from found


def _explain_base64(text: str) -> tuple[str, str, str]:
    """Return the base64 inside `text`, what is wrong around it, and the fix."""
    if match := re.match(r"data:[^,]{0,100};base64,", text):
        fix = "Send what follows the comma, nothing else"
        return text[match.end() :], f"is a data URL, starting with {quote(match[0])}", fix
    if text[:2] in ("b'", 'b"'):
        fix = "Use b64encode(payload).decode(), not str(b64encode(payload))"
        return text[2:-1], "is Python's way to print bytes: it starts with b and a quote", fix
    bare = re.sub(r"\s", "", text)
    if bare != text and _is_base64(bare):
        fix = "Use b64encode, not encodebytes: everything in one line"
        return bare, "holds spaces or line breaks between the base64", fix
    standard = text.replace("-", "+").replace("_", "/")
    if standard != text and _is_base64(standard + "=" * (-len(standard) % 4)):
        fix = "Use base64.b64encode(payload).decode(), not urlsafe_b64encode"
        return standard, "is base64 in the alphabet for URLs, with - and _", fix
    if re.fullmatch(r"[A-Za-z0-9+/]*={0,2}", text):
        if "=" not in text and len(text) % 4 in (2, 3):
            missing = "=" * (-len(text) % 4)
            return text, f"is base64 without its padding: {missing} is missing at the end", _ENCODE
        return text, f"is base64 cut off or joined: {len(text)} characters", _ENCODE
    wrong = re.search(r"[^A-Za-z0-9+/=]", text)
    if wrong:
        where = f"{quote(wrong[0])} stands at character {wrong.start()}"
        return "", f"is not base64: {where}", _ENCODE
    fix = "Encode all bytes at once; pieces of base64 cannot be joined"
    return text, "is not base64: = stands before the end", fix


def _is_base64(text: str) -> bool:
    try:
        b64decode(text, validate=True)
    except ValueError:
        return False
    return True


def _decode_leniently(text: str) -> bytes:
    letters = re.sub(r"[^A-Za-z0-9+/]", "", text)
    return b64decode(letters[: len(letters) // 4 * 4])
