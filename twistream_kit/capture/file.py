"""A capture as a file: JSON lines, a header first, then one line for each message.

    {"format":"twistream-capture","version":1,"streamSid":"MZ...","callSid":"CA...","keepSeconds":900.0}
    {"at":-1.200000,"status":"ringing"}
    {"at":0.000210,"from":"twilio","message":{"event":"start",...}}
    {"at":0.310220,"odd":"{...}"}
    {"at":901.020113,"from":"server","size":160,"message":{"event":"media",...,"payload":""}}
    {"endings":{"greeting#1":"cleared",...}}

The messages stand as they are on the wire, or as `Redaction` leaves them if the header says
``"redacted":true``.  ``size`` is there only where sound was not kept.  A line with ``status`` is
what Twilio reported of the call at that time.  One with ``odd``, or in base64 ``oddBytes``, is a
message of the server as it came, because something is wrong with it.  The last line, if it is
there, says how the marks ended, which the wire does not.

Lines with ``status`` came with version 2, those with ``odd`` with version 3.  A file without them
is written as version 1, which it is; a reader that knows only version 1 would take such a line for
damage, and so refuses the file by its version and says why.

A media line that looks exactly as it is written here is taken apart by one expression; every other
line, however it differs, is left to the reader that knows all of JSON.
"""

from __future__ import annotations

import json
import math
import re
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from binascii import a2b_base64
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twistream_kit.audio.clip import replace_file
from twistream_kit.capture._redaction import Redaction
from twistream_kit.capture.entry import (
    FROM_TWILIO_MEDIA,
    TO_TWILIO_MEDIA,
    BareMedia,
    Entry,
    KeptMessage,
    keep,
)
from twistream_kit.errors import TwistreamError
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending, is_ending

FORMAT = "twistream-capture"
"""What the header of every capture says."""

VERSION = 3
"""The newest version of the format; this module reads all up to it."""

_BEGIN = rb'\{"at":(-?\d{1,12}\.\d{6}),"from":"%s","message":\{"event":"media",'
"""How a media line begins, exactly as it is written here; `MediaLineReader` reads no other."""

_FROM_TWILIO_LINE = re.compile(
    _BEGIN % b"twilio" + rb'"sequenceNumber":"(\d{1,18})","media":\{"track":"(inbound|outbound)",'
    rb'"chunk":"(\d{1,18})","timestamp":"(\d{1,18})","payload":"([^"\\]*)"\},'
    rb'"streamSid":"([A-Za-z0-9]*)"\}\}'
)

_TO_TWILIO_LINE = re.compile(
    _BEGIN % b"server" + rb'"streamSid":"([A-Za-z0-9]*)","media":\{"payload":"([^"\\]*)"\}\}\}'
)


def write_capture(path: Path, header: Header, contents: Contents) -> Path:
    """Write a capture, whole or not at all; redacted if its header says so."""
    redaction = Redaction(contents.entries) if header.redacted else None
    replaced = redaction.text if redaction else str
    first: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION if contents.odd else 2 if contents.statuses else 1,
        "streamSid": replaced(header.stream_sid),
        "callSid": replaced(header.call_sid),
        "keepSeconds": header.keep_seconds,
    }
    if redaction:
        first["redacted"] = True
    renamed = redaction.mark if redaction else str
    endings = {renamed(name): ending for name, ending in contents.endings.items()}
    with replace_file(path) as file:
        file.write(f"{_dumps(first)}\n".encode())
        for line in _make_lines(contents, redaction):
            file.write(f"{line}\n".encode())
        if endings:
            file.write(f"{_dumps({'endings': endings})}\n".encode())
    return path


def read_capture(raw: bytes, path: Path) -> tuple[Header, Stored]:
    """Read a capture; a last line that was cut off is left out.

    Args:
        raw: The whole file.
        path: How errors call it.

    Raises:
        CaptureError: If it is no capture, or one of a newer version.
    """
    lines = raw.split(b"\n")
    return _read_header(path, lines[0]), _read_lines(path, lines[1:])


def is_capture(raw: bytes) -> bool:
    """Whether a file begins as a capture does."""
    try:
        header = json.loads(raw.partition(b"\n")[0])
    except (ValueError, RecursionError):
        return False
    return isinstance(header, dict) and header.get("format") == FORMAT


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a capture file.

    Attributes:
        stream_sid: MZ and 32 hex digits.
        call_sid: CA and 32 hex digits.
        keep_seconds: How much sound was kept in each direction.
        redacted: Whether what says who called was replaced.
    """

    stream_sid: str
    call_sid: str
    keep_seconds: float
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """What is to be written in the lines behind the header.

    Attributes:
        entries: The messages, in the order in which they passed.
        statuses: What was reported of the call, in the order of time: seconds and Twilio's word.
        endings: How the marks ended.
        odd: Messages of the server as they came, in the order of time: seconds and the message.
    """

    entries: list[Entry] = field(default_factory=list)
    statuses: list[tuple[float, str]] = field(default_factory=list)
    endings: dict[str, Ending] = field(default_factory=dict)
    odd: list[tuple[float, str | bytes]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Stored:
    """What was read from the lines behind the header.

    Attributes:
        whole: The messages, as a capture keeps them.
        bare: Media messages whose sound was not kept.
        statuses: What was reported of the call: seconds and Twilio's word.
        endings: How the marks ended.
        odd: Messages of the server as they came: seconds and the message.
    """

    whole: list[KeptMessage] = field(default_factory=list)
    bare: BareMedia = field(default_factory=BareMedia)
    statuses: list[tuple[float, str]] = field(default_factory=list)
    endings: dict[str, Ending] = field(default_factory=dict)
    odd: list[tuple[float, str | bytes]] = field(default_factory=list)


class CaptureError(TwistreamError, ValueError):
    """A file is not a capture that can be read.

    Attributes:
        path: The file.
        line: The line at fault, from 1.
    """

    def __init__(self, path: Path, line: int, problem: str, *, fix: str = "") -> None:
        super().__init__(f"{path.name}, line {line}: {problem}", fix=fix)
        self.path = path
        self.line = line


def _make_lines(contents: Contents, redaction: Redaction | None) -> Iterator[str]:
    """Yield what happened by time, so that a file cut off is whole up to there."""
    replaced = redaction.text if redaction else str
    odd = redaction.odd if redaction else _as_it_is
    beside = [(at, _timed_line(at, "status", replaced(name))) for at, name in contents.statuses]
    beside += [(at, _odd_line(at, odd(message))) for at, message in contents.odd]
    waiting = deque(sorted(beside, key=lambda each: each[0]))
    for entry in contents.entries:
        while waiting and waiting[0][0] <= entry.at:
            yield waiting.popleft()[1]
        yield _message_line(entry, redaction)
    for _, line in waiting:
        yield line


def _message_line(entry: Entry, redaction: Redaction | None) -> str:
    size = "" if entry.is_kept else f'"size":{entry.size},'
    text = redaction.message(entry.message) if redaction else entry.message.to_json()
    if isinstance(entry.message, from_twilio.Unknown):
        text = _dumps(json.loads(text))  # it came as it came: perhaps with line breaks in it
    return f'{{"at":{entry.at:.6f},"from":"{entry.sender}",{size}"message":{text}}}'


def _odd_line(at: float, message: str | bytes) -> str:
    if isinstance(message, str):
        return _timed_line(at, "odd", message)
    return _timed_line(at, "oddBytes", b64encode(message).decode())


def _timed_line(at: float, what: str, text: str) -> str:
    return f'{{"at":{at:.6f},"{what}":{_dumps(text)}}}'


def _as_it_is(message: str | bytes) -> str | bytes:
    return message


def _read_header(path: Path, line: bytes) -> Header:
    try:
        header = json.loads(line)
    except (ValueError, RecursionError):
        header = None
    if not isinstance(header, dict) or header.get("format") != FORMAT:
        fix = "Give a file that Capture.save has written"
        raise CaptureError(path, 1, "this is not the header of a capture", fix=fix)
    version = header.get("version")
    if not isinstance(version, int) or version > VERSION:
        problem = f"the capture has version {version!r}; this package reads up to {VERSION}"
        raise CaptureError(path, 1, problem, fix="Read it with a newer twistream-kit")
    try:
        keep_seconds = float(header.get("keepSeconds", 0))
    except (TypeError, ValueError):
        keep_seconds = 0.0
    sids = str(header.get("streamSid", "")), str(header.get("callSid", ""))
    return Header(*sids, keep_seconds, redacted=header.get("redacted") is True)


def _read_lines(path: Path, lines: list[bytes]) -> Stored:
    stored, media = Stored(), MediaLineReader()
    for number, line in enumerate(lines, start=2):
        if (sound := media.read(line)) is not None:
            stored.whole.append(sound)
            continue
        if not line:
            continue
        try:
            _take(stored, json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError, TwistreamError) as error:
            if number == len(lines) + 1:
                break  # cut off: whole lines end with a line break, so the last is empty
            reason = error if isinstance(error, TwistreamError) else "it is no timed message"
            problem = f"the line cannot be read: {reason}"
            raise CaptureError(path, number, problem, fix="Remove the line") from error
    return stored


def _take(stored: Stored, row: dict[str, Any]) -> None:
    if "endings" in row:
        stored.endings.update(_known_endings(row["endings"]))
    elif "status" in row:
        stored.statuses.append((_time(row), str(row["status"])))
    elif "odd" in row:
        stored.odd.append((_time(row), str(row["odd"])))
    elif "oddBytes" in row:
        stored.odd.append((_time(row), b64decode(row["oddBytes"], validate=True)))
    else:
        _take_message(stored, row)


def _take_message(stored: Stored, row: dict[str, Any]) -> None:
    parse = to_twilio.parse if row["from"] == "server" else from_twilio.parse
    message, at = parse(_dumps(row["message"])), _time(row)
    size = int(row.get("size", 0))
    if size and isinstance(message, from_twilio.Media | to_twilio.Media) and not message.payload:
        stored.bare.append(message, at, len(stored.whole), size)
    else:
        stored.whole.append(keep(message, at))


def _time(row: dict[str, Any]) -> float:
    at = float(row["at"])
    if not math.isfinite(at):  # which JSON does not know, but Python's reader of it does
        raise ValueError("it is no time")
    return at


def _known_endings(endings: Mapping[str, str]) -> dict[str, Ending]:
    return {str(name): end for name, end in endings.items() if is_ending(end)}


class MediaLineReader:
    """Reads the media lines without JSON, because there are a hundred a second.

    It remembers the few texts that stand in each of them.
    """

    def __init__(self) -> None:
        self._texts: dict[bytes, str] = {}

    def read(self, line: bytes) -> KeptMessage | None:
        """Return what is to be kept of a media message with its sound, None for any other line."""
        try:
            if found := _FROM_TWILIO_LINE.fullmatch(line):
                at, number, track, chunk, timestamp, payload, sid = found.groups()
                return (
                    FROM_TWILIO_MEDIA,
                    float(at),
                    self._text(sid),
                    a2b_base64(payload, strict_mode=True),
                    int(number),
                    self._text(track),
                    int(chunk),
                    int(timestamp),
                )
            if found := _TO_TWILIO_LINE.fullmatch(line):
                at, sid, payload = found.groups()
                sound = a2b_base64(payload, strict_mode=True)
                return (TO_TWILIO_MEDIA, float(at), self._text(sid), sound)
        except Base64Error:
            pass  # the other reader says what is wrong with it
        return None

    def _text(self, raw: bytes) -> str:
        text = self._texts.get(raw)
        if text is None:
            text = self._texts[raw] = raw.decode("ascii")
        return text


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
