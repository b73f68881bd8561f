"""What Twilio would object to in a message of your server (PROTOCOL.md §4).

Twilio gives one number, 31951, to everything that is wrong with a text message, names no field and
logs it once per stream.  `review` says which field, why and what to do, every time; and what
Twilio would *not* object to but play as noise.  It advises and never raises: only the constructors
of `to_twilio` refuse.  What shows only over many messages, `review_sound` finds.
"""

from __future__ import annotations

import json
from base64 import b64decode
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from twistream_kit.diagnosis.fields import invalid, kind, path
from twistream_kit.diagnosis.payload import SHORTEST_BYTES, container
from twistream_kit.diagnosis.structure import review_structure
from twistream_kit.protocol.objection import Objection, by_importance
from twistream_kit.protocol.to_twilio import MALFORMED_MESSAGE

_BINARY = "Twilio would drop it with warning 31950, logged once per stream"


def review(
    message: str | bytes | Mapping[str, Any], *, stream_sid: str | None = None
) -> list[Objection]:
    """Say what Twilio would object to in `message`, and what it would play as noise.

    Args:
        message: What your server sends: str for a text message, bytes for a binary one, or a dict
            that is about to become JSON.
        stream_sid: The name of this stream, from its start message; without it only the shape of
            the message's ``streamSid`` is looked at.

    Returns:
        Errors first, then warnings (extra fields, for one), then notes; empty if all is well.

    Raises:
        TypeError: If `message` is none of these.
    """
    if isinstance(message, Mapping):
        try:
            message = json.dumps(dict(message))
        except (TypeError, ValueError, RecursionError) as error:
            fix = "Everything in it must be text; base64 too: b64encode(payload).decode()"
            return [invalid("", f"the message cannot become JSON: {error}", fix)]
    if isinstance(message, (bytes, bytearray, memoryview)):
        return by_importance(_binary(bytes(message), stream_sid))
    if not isinstance(message, str):
        raise TypeError(f"a message is str, bytes or a dict, not {type(message).__name__}")
    return by_importance(_text(message, stream_sid))


def _binary(message: bytes, stream_sid: str | None) -> Iterator[Objection]:
    is_json = message.lstrip().startswith(b"{")
    if is_json:
        problem = "the message is JSON, but sent as a binary message"
        fix = "Send it as str: given bytes, most libraries send a binary message"
    else:
        problem = f"the message is binary: {container(message) or 'bare bytes'}, not JSON"
        fix = "Call stream.play(clip), or send to_twilio.Media(stream_sid, payload).to_json()"
    yield Objection(MALFORMED_MESSAGE, "", problem, _BINARY, fix)
    if is_json:
        yield from _text(message.decode("utf-8", "replace"), stream_sid)


def _text(text: str, stream_sid: str | None) -> Iterator[Objection]:
    repeated: list[str] = []

    def collect(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            counts = Counter(name for name, _ in pairs)
            repeated.extend(name for name, count in counts.items() if count > 1)
        return found

    try:
        message = json.loads(text, object_pairs_hook=collect, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        yield _not_json(text, error)
        return
    if not isinstance(message, dict):
        fix = "Send one object for each message: media, mark or clear"
        yield invalid("", f"the message is {kind(message)}, not a JSON object", fix)
        return
    found = list(review_structure(message, stream_sid))
    yield from found
    if not any(objection.severity == "error" for objection in found):
        yield from _long_sound(message)
    for name in dict.fromkeys(repeated):
        problem = "stands twice in one object; which of the two Twilio reads is not documented"
        yield Objection(None, path("", name), problem, fix="Keep one", severity="warning")


def _long_sound(message: dict[str, Any]) -> Iterator[Objection]:
    """Listen to the sound of a message without errors, if there is enough of it."""
    media = message.get("media")
    text = media.get("payload") if isinstance(media, dict) else None
    if isinstance(text, str) and len(text) * 3 // 4 > SHORTEST_BYTES:
        # Only here: it brings numpy in, and most messages are too short for it.
        from twistream_kit.diagnosis.sound import listen_to

        yield from listen_to(b64decode(text))


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


def _not_json(text: str, error: Exception) -> Objection:
    if not text.strip():
        fix = "Send nothing instead: the stream stays open without it"
    elif text.lstrip().startswith("{'"):
        fix = "This is how Python prints a dict: send json.dumps(message), not str(message)"
    else:
        fix = "Build it with to_twilio.Media(stream_sid, payload).to_json()"
    reason = "too deeply nested" if isinstance(error, RecursionError) else error
    return invalid("", f"the message is not JSON: {reason}", fix)
