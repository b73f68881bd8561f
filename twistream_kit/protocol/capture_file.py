"""A capture as a file: JSON lines, a header first, then one line for each message.

    {"format":"twistream-capture","version":1,"streamSid":"MZ...","callSid":"CA...","keepSeconds":900.0}
    {"at":0.000210,"from":"twilio","message":{"event":"start",...}}
    {"at":901.020113,"from":"server","size":160,"message":{"event":"media",...,"payload":""}}
    {"endings":{"greeting#1":"cleared",...}}

The messages stand as they are on the wire.  ``size`` is there only where sound was not kept.  The
last line, if it is there, says how the marks ended, which the wire does not.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from twistream_kit.audio.write import replacing
from twistream_kit.errors import TwistreamError
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.capture_entry import Entry, payload_of
from twistream_kit.protocol.outcomes import Ending, is_ending

FORMAT = "twistream-capture"
VERSION = 1


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


@dataclass(frozen=True, slots=True)
class Header:
    """The first line."""

    stream_sid: str
    call_sid: str
    keep_seconds: float


def write_capture(
    path: Path, header: Header, entries: Iterable[Entry], endings: Mapping[str, Ending]
) -> Path:
    """Write a capture, whole or not at all."""
    first = {
        "format": FORMAT,
        "version": VERSION,
        "streamSid": header.stream_sid,
        "callSid": header.call_sid,
        "keepSeconds": header.keep_seconds,
    }
    with replacing(path) as file:
        file.write(f"{_dumps(first)}\n".encode())
        for entry in entries:
            file.write(f"{_line(entry)}\n".encode())
        if endings:
            file.write(f"{_dumps({'endings': dict(endings)})}\n".encode())
    return path


def _line(entry: Entry) -> str:
    size = "" if entry.is_kept else f'"size":{entry.size},'
    text = entry.message.to_json()
    if isinstance(entry.message, from_twilio.Unknown):
        text = _dumps(json.loads(text))  # it came as it came: perhaps with line breaks in it
    return f'{{"at":{entry.at:.6f},"from":"{entry.sender}",{size}"message":{text}}}'


def read_capture(path: Path) -> tuple[Header, list[Entry], dict[str, Ending]]:
    """Read a capture; a last line that was cut off is left out.

    Raises:
        CaptureError: If it is no capture, or one of a newer version.
    """
    lines = path.read_bytes().split(b"\n")
    endings: dict[str, Ending] = {}
    return _header(path, lines[0]), list(_entries(path, lines[1:], endings)), endings


def _header(path: Path, line: bytes) -> Header:
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
    return Header(str(header.get("streamSid", "")), str(header.get("callSid", "")), keep_seconds)


def _entries(path: Path, lines: list[bytes], endings: dict[str, Ending]) -> Iterator[Entry]:
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        try:
            row = json.loads(line)
            if "endings" in row:
                endings.update(_known(row["endings"]))
            else:
                yield _entry(row)
        except (ValueError, TypeError, KeyError, RecursionError, TwistreamError) as error:
            if number == len(lines) + 1:
                return  # cut off: whole lines end with a line break, so the last is empty
            reason = error if isinstance(error, TwistreamError) else "it is no timed message"
            problem = f"the line cannot be read: {reason}"
            raise CaptureError(path, number, problem, fix="Remove the line") from error


def _known(endings: Mapping[str, str]) -> dict[str, Ending]:
    return {str(name): end for name, end in endings.items() if is_ending(end)}


def _entry(row: dict[str, Any]) -> Entry:
    text = _dumps(row["message"])
    parse = to_twilio.parse if row["from"] == "server" else from_twilio.parse
    message = parse(text)
    return Entry(float(row["at"]), message, int(row.get("size", len(payload_of(message)))))


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
