"""The messages that Twilio sends to your server (PROTOCOL.md §3).

snake_case in Python, camelCase on the wire; numbers that travel as strings are `int` here, and
base64 exists only inside `to_json` and `parse`.  The simulator builds them, the server parses
them.  Parsing is tolerant, as Twilio asks of its customers: unknown events become `Unknown`,
unknown fields are ignored, optional ones may be missing, a payload may have any length.

Example:
    >>> import twistream_kit as kit
    >>> kit.from_twilio.parse('{"event":"dtmf","streamSid":"MZ0","dtmf":{"digit":"7"}}')
    Dtmf(stream_sid='MZ0', digit='7', sequence_number=0, track='inbound_track')
"""

from __future__ import annotations

import json
import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from json.encoder import encode_basestring_ascii as _quote
from typing import Any

from twistream_kit.errors import RemoteProtocolError

__all__ = [  # noqa: PLE0604 - they are strings
    *("Connected", "Start", "MediaFormat", "Media", "Dtmf", "Mark", "Stop", "Unknown"),
    *("Message", "parse", "PTIME_MS", "FRAME_BYTES"),
]
"""The names for users of the package; a dot and a tab give these."""

PTIME_MS = 20
"""The duration of one frame in milliseconds; every capture shows it (§3)."""

FRAME_BYTES = 160
"""The size of one frame: 20 ms of PCMU at 8000 samples a second (§3)."""

NEUTRAL_FIELDS = frozenset(
    {"event", "sequenceNumber", "protocol", "version", "track", "tracks", "chunk", "timestamp"}
    | {"encoding", "sampleRate", "channels"}
)
"""The fields on the wire that are nobody's personal data: kinds, counts, times and formats."""

WIRE_FIELDS = NEUTRAL_FIELDS | {
    *("start", "media", "dtmf", "mark", "stop", "mediaFormat", "customParameters"),
    *("streamSid", "accountSid", "callSid", "payload", "digit", "name"),
}
"""All fields of the messages here.  What is in neither set, a redacted capture hides as far as it
looks like a SID, a number or a parameter; `diagnosis.message` takes it for one of the server's."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The first message on the socket (PROTOCOL.md §3).  Servers ignore its content.

    Attributes:
        protocol: ``Call``.
        version: ``1.0.0`` now, ``0.2.0`` in a capture of 2019: do not depend on it.

    Example:
        >>> import twistream_kit as kit
        >>> kit.from_twilio.Connected().to_json()
        '{"event":"connected","protocol":"Call","version":"1.0.0"}'
    """

    protocol: str = "Call"
    version: str = "1.0.0"

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        return _dumps({"event": "connected", "protocol": self.protocol, "version": self.version})


@dataclass(frozen=True, slots=True)
class MediaFormat:
    """What the payloads hold; the same for every stream (PROTOCOL.md §3).

    Attributes:
        encoding: ``audio/x-mulaw``.
        sample_rate: In Hz, 8000.
        channels: 1.

    Example:
        >>> import twistream_kit as kit
        >>> kit.from_twilio.Start("MZ0").media_format
        MediaFormat(encoding='audio/x-mulaw', sample_rate=8000, channels=1)
    """

    encoding: str = "audio/x-mulaw"
    sample_rate: int = 8000
    channels: int = 1


@dataclass(frozen=True, slots=True)
class Start:
    """The stream begins: its names, and the parameters of the TwiML (PROTOCOL.md §3).

    Attributes:
        stream_sid: MZ and 32 hex digits; every message sent back must carry it.
        account_sid: AC and 32 hex digits.
        call_sid: CA and 32 hex digits.
        tracks: ``("inbound",)`` for ``<Connect>``.
        media_format: What the payloads hold.
        custom_parameters: The ``<Parameter>`` names and values; empty when there are none.
        sequence_number: 1.

    Example:
        >>> import twistream_kit as kit
        >>> start = kit.from_twilio.parse(
        ...     '{"event":"start","sequenceNumber":"1","streamSid":"MZ0","start":'
        ...     '{"callSid":"CA0","tracks":["inbound"],"customParameters":{"customer":"42"}}}'
        ... )
        >>> start.call_sid, start.custom_parameters
        ('CA0', {'customer': '42'})
    """

    stream_sid: str
    account_sid: str = ""
    call_sid: str = ""
    tracks: tuple[str, ...] = ("inbound",)
    media_format: MediaFormat = MediaFormat()
    custom_parameters: Mapping[str, str] = field(default_factory=dict)
    sequence_number: int = 1

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        start = {
            "accountSid": self.account_sid,
            "streamSid": self.stream_sid,
            "callSid": self.call_sid,
            "tracks": list(self.tracks),
            "mediaFormat": {
                "encoding": self.media_format.encoding,
                "sampleRate": self.media_format.sample_rate,
                "channels": self.media_format.channels,
            },
            "customParameters": dict(self.custom_parameters),
        }
        return _dumps(
            {
                "event": "start",
                "sequenceNumber": str(self.sequence_number),
                "start": start,
                "streamSid": self.stream_sid,
            }
        )


@dataclass(frozen=True, slots=True)
class Media:
    """A piece of the caller's voice (PROTOCOL.md §3).

    Attributes:
        stream_sid: The stream it belongs to.
        payload: PCMU, 8000 bytes a second; 160 bytes (20 ms) in every capture, but any length is
            legal.
        sequence_number: One more than that of the message before, of any kind.
        track: ``inbound`` (the caller) or ``outbound``.
        chunk: Counts media messages from 1.
        timestamp_ms: Presentation time since the stream began, in ms; does not start at 0.

    Example:
        >>> import twistream_kit as kit
        >>> media = kit.from_twilio.parse(
        ...     '{"event":"media","sequenceNumber":"2","streamSid":"MZ0","media":'
        ...     '{"track":"inbound","chunk":"1","timestamp":"57","payload":"/////w=="}}'
        ... )
        >>> len(media.payload), media.timestamp_ms
        (4, 57)
    """

    stream_sid: str
    payload: bytes
    sequence_number: int = 0
    track: str = "inbound"
    chunk: int = 0
    timestamp_ms: int = 0

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        # Numbers and base64 need no escaping, so only the texts go through the JSON encoder.
        return (
            f'{{"event":"media","sequenceNumber":"{self.sequence_number}",'
            f'"media":{{"track":{_quote(self.track)},"chunk":"{self.chunk}",'
            f'"timestamp":"{self.timestamp_ms}",'
            f'"payload":"{b2a_base64(self.payload, newline=False).decode()}"}},'
            f'"streamSid":{_quote(self.stream_sid)}}}'
        )


class MediaEncoder:
    """Encodes the media of one track of one stream; `encode` is ``Media(…).to_json().encode()``.

    Fifty messages a second differ in three numbers and the payload.

    Example:
        >>> import twistream_kit as kit
        >>> encoder = kit.from_twilio.MediaEncoder("MZ0")
        >>> encoder.encode(b"", 2, 1, 57)
        b'{"event":"media","sequenceNumber":"2","media":{"track":"inbound","chunk":"1",...MZ0"}'
    """

    def __init__(self, stream_sid: str, track: str = "inbound") -> None:
        quoted = _quote(track).encode().replace(b"%", b"%%")
        self._before = (
            b'{"event":"media","sequenceNumber":"%d","media":{"track":'
            + quoted
            + b',"chunk":"%d","timestamp":"%d","payload":"'
        )
        self._after = f'"}},"streamSid":{_quote(stream_sid)}}}'.encode()

    def encode(self, payload: bytes, sequence_number: int, chunk: int, timestamp_ms: int) -> bytes:
        """Return the text that goes on the wire, as UTF-8."""
        before = self._before % (sequence_number, chunk, timestamp_ms)
        return before + b2a_base64(payload, newline=False) + self._after


@dataclass(frozen=True, slots=True)
class Dtmf:
    """A key pressed by the caller (PROTOCOL.md §3).

    Attributes:
        stream_sid: The stream it belongs to.
        digit: One of ``0123456789*#ABCD``.
        sequence_number: One more than that of the message before.
        track: ``inbound_track``, with the suffix that `Media.track` lacks.

    Example:
        >>> import twistream_kit as kit
        >>> key = kit.from_twilio.parse('{"event":"dtmf","streamSid":"MZ0","dtmf":{"digit":"#"}}')
        >>> key.digit, key.track
        ('#', 'inbound_track')
    """

    stream_sid: str
    digit: str
    sequence_number: int = 0
    track: str = "inbound_track"

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        return _dumps(
            {
                "event": "dtmf",
                "streamSid": self.stream_sid,
                "sequenceNumber": str(self.sequence_number),
                "dtmf": {"track": self.track, "digit": self.digit},
            }
        )


@dataclass(frozen=True, slots=True)
class Mark:
    """A returned mark: the audio before it was played or cleared (PROTOCOL.md §4).

    Attributes:
        stream_sid: The stream it belongs to.
        name: The name that your server sent.
        sequence_number: One more than that of the message before.

    Example:
        >>> import twistream_kit as kit
        >>> kit.from_twilio.parse('{"event":"mark","streamSid":"MZ0","mark":{"name":"greeting"}}')
        Mark(stream_sid='MZ0', name='greeting', sequence_number=0)
    """

    stream_sid: str
    name: str
    sequence_number: int = 0

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        return _dumps(
            {
                "event": "mark",
                "sequenceNumber": str(self.sequence_number),
                "streamSid": self.stream_sid,
                "mark": {"name": self.name},
            }
        )


@dataclass(frozen=True, slots=True)
class Stop:
    """The stream has ended, or the call has (PROTOCOL.md §3).

    Attributes:
        stream_sid: The stream it belongs to.
        account_sid: AC and 32 hex digits.
        call_sid: CA and 32 hex digits.
        sequence_number: One more than that of the message before.

    Example:
        >>> import twistream_kit as kit
        >>> kit.from_twilio.parse('{"event":"stop","streamSid":"MZ0","stop":{"callSid":"CA0"}}')
        Stop(stream_sid='MZ0', account_sid='', call_sid='CA0', sequence_number=0)
    """

    stream_sid: str
    account_sid: str = ""
    call_sid: str = ""
    sequence_number: int = 0

    def to_json(self) -> str:
        """Return the text that goes on the wire."""
        return _dumps(
            {
                "event": "stop",
                "sequenceNumber": str(self.sequence_number),
                "streamSid": self.stream_sid,
                "stop": {"accountSid": self.account_sid, "callSid": self.call_sid},
            }
        )


@dataclass(frozen=True, slots=True)
class Unknown:
    """A message with an unknown event; it is captured and shown, and has no effect.

    Attributes:
        event: The name of the event.
        raw: The whole text.
        stream_sid: The stream's SID, if the message has one, or empty.
        sequence_number: The sequence number, if the message has one, or 0.

    Example:
        >>> import twistream_kit as kit
        >>> message = kit.from_twilio.parse('{"event":"hold","streamSid":"MZ0"}')
        >>> message.event, message.raw
        ('hold', '{"event":"hold","streamSid":"MZ0"}')
    """

    event: str
    raw: str
    stream_sid: str = ""
    sequence_number: int = 0

    def to_json(self) -> str:
        """Return the text that came on the wire."""
        return self.raw


Message = Connected | Start | Media | Dtmf | Mark | Stop | Unknown


def parse(text: str | bytes) -> Message:
    """Read one message from Twilio (PROTOCOL.md §3).

    Args:
        text: The content of a WebSocket message; bytes, of a binary one, are refused.

    Returns:
        One of the classes of this module; `Unknown` for an event that is none of them.

    Raises:
        RemoteProtocolError: If `text` is binary, is not a JSON object with an ``event``, lacks a
            required field, or has a field of another type.

    Example:
        >>> import twistream_kit as kit
        >>> kit.from_twilio.parse('{"event":"mark","streamSid":"MZ0","mark":{"name":"end"}}').name
        'end'
    """
    if isinstance(text, bytes):
        raise RemoteProtocolError("the message is binary; Twilio sends text only")
    if (media := parse_usual_media(text)) is not None:
        return media
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the message is not JSON: {error}") from error
    return read(raw, text)


_USUAL_MEDIA = re.compile(
    r'\{"event":"media","sequenceNumber":"([0-9]{1,18})","media":\{"track":"(inbound|outbound)",'
    r'"chunk":"([0-9]{1,18})","timestamp":"([0-9]{1,18})","payload":"'
)
"""The beginning of a media message exactly as Twilio writes it (PROTOCOL.md §3)."""

_BEFORE_SID = '"},"streamSid":"'


def parse_usual_media(text: str) -> Media | None:
    """Read a media message whose text is exactly in Twilio's form, in a third of the time of JSON.

    Returns:
        What `read` would return; None for any other text, and for a payload that it would refuse.

    Example:
        >>> import twistream_kit as kit
        >>> text = kit.from_twilio.Media("MZ0", bytes(160), 2, "inbound", 1, 57).to_json()
        >>> len(kit.from_twilio.parse_usual_media(text).payload)
        160
        >>> kit.from_twilio.parse_usual_media(text.replace(",", ", ")) is None
        True
    """
    begin = _USUAL_MEDIA.match(text)
    if begin is None:
        return None
    start = begin.end()
    end = text.find('"', start)
    sid = text[end + len(_BEFORE_SID) : -2]
    # Letters and digits mean themselves in JSON, and so does what is base64.
    if not (
        text.startswith(_BEFORE_SID, end)
        and text.endswith('"}')
        and sid.isalnum()
        and sid.isascii()
    ):
        return None
    try:
        payload = a2b_base64(text[start:end], strict_mode=True)
    except ValueError:
        return None
    draft = _MediaDraft()
    draft.stream_sid = sid
    draft.payload = payload
    sequence_number, draft.track, chunk, timestamp = begin.groups()
    draft.sequence_number = int(sequence_number)
    draft.chunk = int(chunk)
    draft.timestamp_ms = int(timestamp)
    draft.__class__ = Media  # type: ignore[assignment]
    return draft  # type: ignore[return-value]


class _MediaDraft:
    """A `Media` that is not finished: the same slots, but not frozen.

    Setting the fields of a frozen object takes several times as long, for each message that comes.
    """

    __slots__ = ("chunk", "payload", "sequence_number", "stream_sid", "timestamp_ms", "track")
    stream_sid: str
    payload: bytes
    sequence_number: int
    track: str
    chunk: int
    timestamp_ms: int


def read(raw: Any, text: str = "") -> Message:
    """Read one message from decoded JSON; it works like `parse`.

    Args:
        raw: The decoded message.
        text: The text of the message, for an `Unknown`; encoded again if not given.

    Raises:
        RemoteProtocolError: As `parse`.

    Example:
        >>> import twistream_kit as kit
        >>> import json
        >>> raw = json.loads('{"event":"dtmf","streamSid":"MZ0","dtmf":{"digit":"7"}}')
        >>> kit.from_twilio.read(raw).digit
        '7'
    """
    event = raw.get("event") if isinstance(raw, dict) else None
    if not isinstance(event, str):
        raise RemoteProtocolError("the message is not a JSON object with an event")
    reader = _READERS.get(event)
    if reader is None:
        return _read_unknown(event, text or _dumps(raw), raw)
    return reader(raw)


def _read_unknown(event: str, text: str, raw: dict[str, Any]) -> Unknown:
    # Do not check its fields: a future event may give them another type.
    sid = raw.get("streamSid")
    try:
        sequence_number = _get_number(raw, "sequenceNumber")
    except RemoteProtocolError:
        sequence_number = 0
    return Unknown(event, text, sid if isinstance(sid, str) else "", sequence_number)


def _read_connected(raw: dict[str, Any]) -> Connected:
    return Connected(_get_text(raw, "protocol", "Call"), _get_text(raw, "version", ""))


def _read_start(raw: dict[str, Any]) -> Start:
    start = _get_part(raw, "start")
    wire_format = start.get("mediaFormat")
    media_format = MediaFormat()
    if isinstance(wire_format, dict):
        media_format = MediaFormat(
            _get_text(wire_format, "encoding", media_format.encoding),
            _get_number(wire_format, "sampleRate", media_format.sample_rate),
            _get_number(wire_format, "channels", media_format.channels),
        )
    tracks, parameters = start.get("tracks"), start.get("customParameters")
    return Start(
        stream_sid=_get_text(raw, "streamSid")
        if "streamSid" in raw
        else _get_text(start, "streamSid"),
        account_sid=_get_text(start, "accountSid", ""),
        call_sid=_get_text(start, "callSid", ""),
        tracks=tuple(map(str, tracks)) if isinstance(tracks, list) else (),
        media_format=media_format,
        custom_parameters=(
            {str(name): str(value) for name, value in parameters.items()}
            if isinstance(parameters, dict)
            else {}
        ),
        sequence_number=_get_number(raw, "sequenceNumber"),
    )


def _read_media(raw: dict[str, Any]) -> Media:
    media = _get_part(raw, "media")
    try:
        payload = a2b_base64(_get_text(media, "payload"), strict_mode=True)
    except (Base64Error, ValueError) as error:
        raise RemoteProtocolError(f"is not base64: {error}", field="media.payload") from error
    return Media(
        _get_text(raw, "streamSid", ""),
        payload,
        _get_number(raw, "sequenceNumber"),
        _get_text(media, "track", "inbound"),
        _get_number(media, "chunk"),
        _get_number(media, "timestamp"),
    )


def _read_dtmf(raw: dict[str, Any]) -> Dtmf:
    dtmf = _get_part(raw, "dtmf")
    return Dtmf(
        _get_text(raw, "streamSid", ""),
        _get_text(dtmf, "digit"),
        _get_number(raw, "sequenceNumber"),
        _get_text(dtmf, "track", "inbound_track"),
    )


def _read_mark(raw: dict[str, Any]) -> Mark:
    name = _get_text(_get_part(raw, "mark"), "name")
    return Mark(_get_text(raw, "streamSid", ""), name, _get_number(raw, "sequenceNumber"))


def _read_stop(raw: dict[str, Any]) -> Stop:
    stop = raw.get("stop")
    stop = stop if isinstance(stop, dict) else {}
    return Stop(
        _get_text(raw, "streamSid", ""),
        _get_text(stop, "accountSid", ""),
        _get_text(stop, "callSid", ""),
        _get_number(raw, "sequenceNumber"),
    )


_READERS: dict[str, Callable[[dict[str, Any]], Message]] = {
    "connected": _read_connected,
    "start": _read_start,
    "media": _read_media,
    "dtmf": _read_dtmf,
    "mark": _read_mark,
    "stop": _read_stop,
}


def _get_part(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise RemoteProtocolError("is missing or not an object", field=key)
    return value


def _get_text(raw: dict[str, Any], key: str, default: str | None = None) -> str:
    value = raw.get(key, default)
    if not isinstance(value, str):
        raise RemoteProtocolError("is missing or not a string", field=key)
    return value


def _get_number(raw: dict[str, Any], key: str, default: int = 0) -> int:
    # Twilio writes most of its numbers as strings and two of them as numbers (§3).
    value = raw.get(key, default)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise RemoteProtocolError(f"is {value!r}, not a number", field=key) from error


def __dir__() -> list[str]:
    return __all__.copy()


_dumps = json.JSONEncoder(separators=(",", ":")).encode
