"""The three messages that your server may send to Twilio (PROTOCOL.md §4).

snake_case in Python, camelCase on the wire; base64 exists only inside `to_json` and `parse`.
The server builds them, the simulator parses them; `review` says what is wrong with a text that
does not parse.

Example:
    >>> import twistream_kit as kit
    >>> kit.to_twilio.Clear("MZ0").to_json()
    '{"event":"clear","streamSid":"MZ0"}'
"""

from __future__ import annotations

import json
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from dataclasses import dataclass
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from twistream_kit.errors import RemoteProtocolError
from twistream_kit.sound_file import build_wav_refusal, is_wav

__all__ = ["Clear", "Mark", "Media", "Message", "parse"]
"""The names for users of the package; a dot and a tab give these."""

INVALID_MESSAGE = 31951
"""Twilio's code for an invalid text message; a warning, logged once per stream (§5.1)."""

PROTOCOL_ERROR = 31924
"""Twilio's code for a violation of the WebSocket protocol, and for any message on a unidirectional
stream; it ends the stream (§4, §5.1)."""

MALFORMED_MESSAGE = 31950
"""Twilio's code for a binary message; a warning, logged once per stream (§5.1)."""


@dataclass(frozen=True, slots=True)
class Media:
    """Audio for the caller, queued after all audio that Twilio has not played yet (PROTOCOL.md §4).

    Of more than ten minutes in the queue, Twilio discards the rest (31931).

    Attributes:
        stream_sid: The SID of the stream, from `from_twilio.Start`.
        payload: PCMU, 8000 bytes a second, any length, without a file header.

    Raises:
        LocalProtocolError: If the payload is a whole WAV file.

    Example:
        >>> import twistream_kit as kit
        >>> silence = kit.Clip.silence(0.02)
        >>> kit.to_twilio.Media("MZ0", silence.payload).to_json()
        '{"event":"media","streamSid":"MZ0","media":{"payload":"//////.../////w=="}}'
    """

    stream_sid: str
    payload: bytes

    def __post_init__(self) -> None:
        if is_wav(self.payload):
            raise build_wav_refusal(self.payload)

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        # base64 needs no escaping, so only the SID goes through the JSON encoder.
        sid = self.stream_sid
        return (
            f'{{"event":"media","streamSid":{_quote(sid) if type(sid) is str else _dumps(sid)},'
            f'"media":{{"payload":"{b2a_base64(self.payload, newline=False).decode()}"}}}}'
        )


class MessageEncoder:
    """Encodes the messages of one stream as bytes; `encode` is ``to_json().encode()``.

    Fifty media messages a second differ in their payload only.

    Example:
        >>> import twistream_kit as kit
        >>> kit.to_twilio.MessageEncoder("MZ0").encode(kit.to_twilio.Clear("MZ0"))
        b'{"event":"clear","streamSid":"MZ0"}'
    """

    def __init__(self, stream_sid: str) -> None:
        self._stream_sid = stream_sid
        before, self._after = Media(stream_sid, b"").to_json().encode().split(b'""')
        self._before, self._after = before + b'"', b'"' + self._after

    def encode(self, message: Message) -> bytes:
        """Return the text that goes on the wire, as UTF-8."""
        if type(message) is Media and message.stream_sid == self._stream_sid:
            return self._before + b2a_base64(message.payload, newline=False) + self._after
        return message.to_json().encode()

    def encode_media(self, payload: bytes) -> bytes:
        """Return the text of a media message of the stream, as UTF-8."""
        return self._before + b2a_base64(payload, newline=False) + self._after


class MediaReader:
    """Reads the media messages of one stream whose text is the usual one, without reading JSON.

    The usual text is that of `Media.to_json`, or the same with the spaces of Python's ``json``.

    Example:
        >>> import twistream_kit as kit
        >>> reader = kit.to_twilio.MediaReader("MZ0")
        >>> text = '{"event":"media","streamSid":"MZ0","media":{"payload":"/////w=="}}'
        >>> len(reader.read(text))
        4
        >>> reader.read(text.replace("MZ0", "MZ1")) is None
        True
    """

    def __init__(self, stream_sid: str) -> None:
        self._usual, _ = Media(stream_sid, b"").to_json().split('""')
        raw = {"event": "media", "streamSid": stream_sid, "media": {"payload": ""}}
        self._spaced, _ = json.dumps(raw).split('""')
        self._usual += '"'
        self._spaced += '"'

    def read(self, text: str) -> bytes | None:
        """Return the payload; None for every other text, which may be a message all the same."""
        if text.startswith(self._usual):
            begin = len(self._usual)
        elif text.startswith(self._spaced):
            begin = len(self._spaced)
        else:
            return None
        if not text.endswith('"}}'):
            return None
        try:
            return a2b_base64(text[begin:-3], strict_mode=True)
        except ValueError:
            return None


def make_unchecked_media(stream_sid: str, payload: bytes) -> Media:
    """Make a `Media` without checking its payload, which was checked or sent before.

    Example:
        >>> import twistream_kit as kit
        >>> kit.to_twilio.make_unchecked_media("MZ0", b"RIFF....WAVEfmt ")
        Media(stream_sid='MZ0', payload=b'RIFF....WAVEfmt ')
    """
    draft = _Draft()
    draft.stream_sid = stream_sid
    draft.payload = payload
    draft.__class__ = Media  # type: ignore[assignment]  # past __post_init__
    return draft  # type: ignore[return-value]


class _Draft:
    """A `Media` that is not finished: the same slots, but not frozen.

    Setting the fields of a frozen object takes several times as long, for each message played.
    """

    __slots__ = ("payload", "stream_sid")
    stream_sid: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark: Twilio returns it when all audio before it was played or cleared (PROTOCOL.md §4).

    Attributes:
        stream_sid: The stream it belongs to.
        name: Comes back unchanged; keep it short ASCII, Twilio documents no limit (§4).

    Example:
        >>> import twistream_kit as kit
        >>> kit.to_twilio.Mark("MZ0", "greeting").to_json()
        '{"event":"mark","streamSid":"MZ0","mark":{"name":"greeting"}}'
    """

    stream_sid: str
    name: str

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        return _dumps({"event": "mark", "streamSid": self.stream_sid, "mark": {"name": self.name}})


@dataclass(frozen=True, slots=True)
class Clear:
    """Empty Twilio's buffer at once; all marks still waiting there come back (PROTOCOL.md §4).

    Attributes:
        stream_sid: The stream whose buffer is emptied.

    Example:
        >>> import twistream_kit as kit
        >>> kit.to_twilio.Clear("MZ0").to_json()
        '{"event":"clear","streamSid":"MZ0"}'
    """

    stream_sid: str

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        return _dumps({"event": "clear", "streamSid": self.stream_sid})


Message = Media | Mark | Clear


def parse(text: str | bytes) -> Message:
    """Read one message as Twilio would (PROTOCOL.md §4).

    Extra fields are ignored here; `review` names them.  The payload of a `Media` may hold
    anything, a WAV header included, because it has already been sent: nothing is refused twice.

    Args:
        text: The content of a WebSocket message; bytes, of a binary one, are refused.

    Raises:
        RemoteProtocolError: If it is none of the three messages; `twilio_code` is what Twilio
            would log: 31950 for a binary message, 31951 for everything else.

    Example:
        >>> import twistream_kit as kit
        >>> text = '{"event":"media","streamSid":"MZ0","media":{"payload":"/////w=="}}'
        >>> kit.to_twilio.parse(text).payload.hex(" ")
        'ff ff ff ff'
    """
    if isinstance(text, bytes):
        raise RemoteProtocolError("the message is binary", twilio_code=MALFORMED_MESSAGE)
    try:
        raw = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        problem = f"the message is not JSON: {error}"
        raise RemoteProtocolError(problem, twilio_code=INVALID_MESSAGE) from error
    return read(raw)


def read(raw: object) -> Message:
    """Read one message from decoded JSON; it works like `parse`.

    Raises:
        RemoteProtocolError: As `parse`.

    Example:
        >>> import twistream_kit as kit
        >>> kit.to_twilio.read({"event": "clear", "streamSid": "MZ0"})
        Clear(stream_sid='MZ0')
    """
    if not isinstance(raw, dict):
        raise _make_error("the message is not a JSON object")
    stream_sid = _get_string(raw, "streamSid")
    match raw.get("event"):
        case "media":
            return _read_media(
                stream_sid, _get_string(_get_object(raw, "media"), "payload", "media.")
            )
        case "mark":
            return Mark(stream_sid, _get_string(_get_object(raw, "mark"), "name", "mark."))
        case "clear":
            return Clear(stream_sid)
        case event:
            raise _make_error(f"is {event!r}, which is not a message to Twilio", "event")


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
"""Python would read NaN and Infinity, which are not JSON."""


def _read_media(stream_sid: str, payload: str) -> Media:
    try:
        decoded = a2b_base64(payload, strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise _make_error(f"is not base64: {error}", "media.payload") from error
    return make_unchecked_media(stream_sid, decoded)


def _get_object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise _make_error("is missing" if value is None else "is not an object", key)
    return value


def _get_string(raw: dict[str, Any], key: str, prefix: str = "") -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise _make_error("is missing" if value is None else "is not a string", prefix + key)
    return value


def _make_error(problem: str, field: str = "") -> RemoteProtocolError:
    return RemoteProtocolError(problem, field=field, twilio_code=INVALID_MESSAGE)


def __dir__() -> list[str]:
    return __all__.copy()


_dumps = json.JSONEncoder(separators=(",", ":")).encode
