"""The messages of a stream as version 0.1 of this package read and wrote them, as plain values.

It is an oracle and stays as it is: what it accepts is accepted, and what it refuses is refused with
the same error.  A message is a tuple: the name of its class, then its fields in order.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Any

from twistream_kit.errors import RemoteProtocolError

Plain = tuple[Any, ...]


def read_from_twilio(text: str | bytes) -> Plain:
    if isinstance(text, bytes):
        raise RemoteProtocolError("the message is binary; Twilio sends text only")
    try:
        raw = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise RemoteProtocolError(f"the message is not JSON: {error}") from error
    event = raw.get("event") if isinstance(raw, dict) else None
    if not isinstance(event, str):
        raise RemoteProtocolError("the message is not a JSON object with an event")
    reader = _READERS.get(event)
    if reader is None:
        return _unknown(event, text, raw)
    return reader(raw)


def _unknown(event: str, text: str, raw: dict[str, Any]) -> Plain:
    sid = raw.get("streamSid")
    try:
        sequence_number = _number(raw, "sequenceNumber")
    except RemoteProtocolError:
        sequence_number = 0
    return ("Unknown", event, text, sid if isinstance(sid, str) else "", sequence_number)


def _connected(raw: dict[str, Any]) -> Plain:
    return ("Connected", _text(raw, "protocol", "Call"), _text(raw, "version", ""))


def _start(raw: dict[str, Any]) -> Plain:
    start = _part(raw, "start")
    wire_format = start.get("mediaFormat")
    media_format = ("MediaFormat", "audio/x-mulaw", 8000, 1)
    if isinstance(wire_format, dict):
        media_format = (
            "MediaFormat",
            _text(wire_format, "encoding", media_format[1]),
            _number(wire_format, "sampleRate", media_format[2]),
            _number(wire_format, "channels", media_format[3]),
        )
    tracks, parameters = start.get("tracks"), start.get("customParameters")
    return (
        "Start",
        _text(raw, "streamSid") if "streamSid" in raw else _text(start, "streamSid"),
        _text(start, "accountSid", ""),
        _text(start, "callSid", ""),
        tuple(map(str, tracks)) if isinstance(tracks, list) else (),
        media_format,
        (
            {str(name): str(value) for name, value in parameters.items()}
            if isinstance(parameters, dict)
            else {}
        ),
        _number(raw, "sequenceNumber"),
    )


def _media(raw: dict[str, Any]) -> Plain:
    media = _part(raw, "media")
    try:
        payload = b64decode(_text(media, "payload"), validate=True)
    except (Base64Error, ValueError) as error:
        raise RemoteProtocolError(f"is not base64: {error}", field="media.payload") from error
    return (
        "Media",
        _text(raw, "streamSid", ""),
        payload,
        _number(raw, "sequenceNumber"),
        _text(media, "track", "inbound"),
        _number(media, "chunk"),
        _number(media, "timestamp"),
    )


def _dtmf(raw: dict[str, Any]) -> Plain:
    dtmf = _part(raw, "dtmf")
    return (
        "Dtmf",
        _text(raw, "streamSid", ""),
        _text(dtmf, "digit"),
        _number(raw, "sequenceNumber"),
        _text(dtmf, "track", "inbound_track"),
    )


def _mark(raw: dict[str, Any]) -> Plain:
    name = _text(_part(raw, "mark"), "name")
    return ("Mark", _text(raw, "streamSid", ""), name, _number(raw, "sequenceNumber"))


def _stop(raw: dict[str, Any]) -> Plain:
    stop = raw.get("stop")
    stop = stop if isinstance(stop, dict) else {}
    return (
        "Stop",
        _text(raw, "streamSid", ""),
        _text(stop, "accountSid", ""),
        _text(stop, "callSid", ""),
        _number(raw, "sequenceNumber"),
    )


_READERS = {
    "connected": _connected,
    "start": _start,
    "media": _media,
    "dtmf": _dtmf,
    "mark": _mark,
    "stop": _stop,
}


def _part(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise RemoteProtocolError("is missing or not an object", field=key)
    return value


def _text(raw: dict[str, Any], key: str, default: str | None = None) -> str:
    value = raw.get(key, default)
    if not isinstance(value, str):
        raise RemoteProtocolError("is missing or not a string", field=key)
    return value


def _number(raw: dict[str, Any], key: str, default: int = 0) -> int:
    value = raw.get(key, default)
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise RemoteProtocolError(f"is {value!r}, not a number", field=key) from error


def read_to_twilio(text: str | bytes) -> Plain:
    if isinstance(text, bytes):
        raise RemoteProtocolError("the message is binary", twilio_code=31950)
    try:
        raw = _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        problem = f"the message is not JSON: {error}"
        raise RemoteProtocolError(problem, twilio_code=31951) from error
    if not isinstance(raw, dict):
        raise _invalid("the message is not a JSON object")
    stream_sid = _string(raw, "streamSid")
    match raw.get("event"):
        case "media":
            payload = _string(_object(raw, "media"), "payload", "media.")
            try:
                decoded = b64decode(payload, validate=True)
            except (Base64Error, ValueError) as error:
                raise _invalid(f"is not base64: {error}", "media.payload") from error
            return ("Media", stream_sid, decoded)
        case "mark":
            return ("Mark", stream_sid, _string(_object(raw, "mark"), "name", "mark."))
        case "clear":
            return ("Clear", stream_sid)
        case event:
            raise _invalid(f"is {event!r}, which is not a message to Twilio", "event")


def _refuse_constant(constant: str) -> None:
    raise ValueError(f"{constant} is no number in JSON")


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _object(raw: dict[str, Any], key: str) -> dict[str, Any]:
    value = raw.get(key)
    if not isinstance(value, dict):
        raise _invalid("is missing" if value is None else "is not an object", key)
    return value


def _string(raw: dict[str, Any], key: str, prefix: str = "") -> str:
    value = raw.get(key)
    if not isinstance(value, str):
        raise _invalid("is missing" if value is None else "is not a string", prefix + key)
    return value


def _invalid(problem: str, field: str = "") -> RemoteProtocolError:
    return RemoteProtocolError(problem, field=field, twilio_code=31951)


def write_from_twilio(message: Plain) -> str:
    match message:
        case ("Connected", protocol, version):
            raw = {"event": "connected", "protocol": protocol, "version": version}
        case ("Start", sid, account_sid, call_sid, tracks, form, parameters, number):
            start = {
                "accountSid": account_sid,
                "streamSid": sid,
                "callSid": call_sid,
                "tracks": list(tracks),
                "mediaFormat": {"encoding": form[1], "sampleRate": form[2], "channels": form[3]},
                "customParameters": dict(parameters),
            }
            raw = {
                "event": "start",
                "sequenceNumber": str(number),
                "start": start,
                "streamSid": sid,
            }
        case ("Media", sid, payload, number, track, chunk, timestamp):
            media = {
                "track": track,
                "chunk": str(chunk),
                "timestamp": str(timestamp),
                "payload": b64encode(payload).decode("ascii"),
            }
            raw = {
                "event": "media",
                "sequenceNumber": str(number),
                "media": media,
                "streamSid": sid,
            }
        case ("Dtmf", sid, digit, number, track):
            dtmf = {"track": track, "digit": digit}
            raw = {"event": "dtmf", "streamSid": sid, "sequenceNumber": str(number), "dtmf": dtmf}
        case ("Mark", sid, name, number):
            mark = {"name": name}
            raw = {"event": "mark", "sequenceNumber": str(number), "streamSid": sid, "mark": mark}
        case ("Stop", sid, account_sid, call_sid, number):
            stop = {"accountSid": account_sid, "callSid": call_sid}
            raw = {"event": "stop", "sequenceNumber": str(number), "streamSid": sid, "stop": stop}
        case ("Unknown", _, text, _, _):
            return text
    return json.dumps(raw, separators=(",", ":"))


def write_to_twilio(message: Plain) -> str:
    match message:
        case ("Media", sid, payload):
            part = {"media": {"payload": b64encode(payload).decode("ascii")}}
        case ("Mark", sid, name):
            part = {"mark": {"name": name}}
        case ("Clear", sid):
            part = {}
    raw = {"event": message[0].lower(), "streamSid": sid, **part}
    return json.dumps(raw, separators=(",", ":"))
