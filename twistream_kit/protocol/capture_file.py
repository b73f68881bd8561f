"""A capture as a file: JSON lines, a header first, then one line for each message.

    {"format":"twistream-capture","version":1,"streamSid":"MZ...","callSid":"CA...","keepSeconds":900.0}
    {"at":-1.200000,"status":"ringing"}
    {"at":0.000210,"from":"twilio","message":{"event":"start",...}}
    {"at":901.020113,"from":"server","size":160,"message":{"event":"media",...,"payload":""}}
    {"endings":{"greeting#1":"cleared",...}}

The messages stand as they are on the wire.  ``size`` is there only where sound was not kept.  A
line with ``status`` is what Twilio reported of the call at that time.  The last line, if it is
there, says how the marks ended, which the wire does not.

Lines with ``status`` came with version 2.  A file without them is written as version 1, which it
is; a reader that knows only version 1 would take such a line for damage, and so refuses the file by
its version and says why.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twistream_kit.audio.write import replacing
from twistream_kit.errors import TwistreamError
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.capture_entry import Entry, payload_of
from twistream_kit.protocol.outcomes import Ending, is_ending

FORMAT = "twistream-capture"
VERSION = 2


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


@dataclass(frozen=True, slots=True)
class Contents:
    """All other lines.

    Attributes:
        entries: The messages, in the order in which they passed.
        statuses: What was reported of the call, in the order of time: seconds and Twilio's word.
        endings: How the marks ended.
    """

    entries: list[Entry] = field(default_factory=list)
    statuses: list[tuple[float, str]] = field(default_factory=list)
    endings: dict[str, Ending] = field(default_factory=dict)


def write_capture(path: Path, header: Header, contents: Contents) -> Path:
    """Write a capture, whole or not at all."""
    first = {
        "format": FORMAT,
        "version": VERSION if contents.statuses else 1,
        "streamSid": header.stream_sid,
        "callSid": header.call_sid,
        "keepSeconds": header.keep_seconds,
    }
    with replacing(path) as file:
        file.write(f"{_dumps(first)}\n".encode())
        for line in _lines(contents):
            file.write(f"{line}\n".encode())
        if contents.endings:
            file.write(f"{_dumps({'endings': dict(contents.endings)})}\n".encode())
    return path


def _lines(contents: Contents) -> Iterator[str]:
    """Yield what happened by time, so that a file cut off is whole up to there."""
    statuses = deque(contents.statuses)
    for entry in contents.entries:
        while statuses and statuses[0][0] <= entry.at:
            yield _status_line(*statuses.popleft())
        yield _line(entry)
    for status in statuses:
        yield _status_line(*status)


def _status_line(at: float, name: str) -> str:
    return f'{{"at":{at:.6f},"status":{_dumps(name)}}}'


def _line(entry: Entry) -> str:
    size = "" if entry.is_kept else f'"size":{entry.size},'
    text = entry.message.to_json()
    if isinstance(entry.message, from_twilio.Unknown):
        text = _dumps(json.loads(text))  # it came as it came: perhaps with line breaks in it
    return f'{{"at":{entry.at:.6f},"from":"{entry.sender}",{size}"message":{text}}}'


def read_capture(path: Path) -> tuple[Header, Contents]:
    """Read a capture; a last line that was cut off is left out.

    Raises:
        CaptureError: If it is no capture, or one of a newer version.
    """
    lines = path.read_bytes().split(b"\n")
    return _header(path, lines[0]), _contents(path, lines[1:])


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


def _contents(path: Path, lines: list[bytes]) -> Contents:
    contents = Contents()
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        try:
            _take(contents, json.loads(line))
        except (ValueError, TypeError, KeyError, RecursionError, TwistreamError) as error:
            if number == len(lines) + 1:
                break  # cut off: whole lines end with a line break, so the last is empty
            reason = error if isinstance(error, TwistreamError) else "it is no timed message"
            problem = f"the line cannot be read: {reason}"
            raise CaptureError(path, number, problem, fix="Remove the line") from error
    return contents


def _take(contents: Contents, row: dict[str, Any]) -> None:
    if "endings" in row:
        contents.endings.update(_known(row["endings"]))
    elif "status" in row:
        contents.statuses.append((_time(row), str(row["status"])))
    else:
        contents.entries.append(_entry(row))


def _time(row: dict[str, Any]) -> float:
    at = float(row["at"])
    if not math.isfinite(at):  # which JSON does not know, but Python's reader of it does
        raise ValueError("it is no time")
    return at


def _known(endings: Mapping[str, str]) -> dict[str, Ending]:
    return {str(name): end for name, end in endings.items() if is_ending(end)}


def _entry(row: dict[str, Any]) -> Entry:
    text = _dumps(row["message"])
    parse = to_twilio.parse if row["from"] == "server" else from_twilio.parse
    message = parse(text)
    return Entry(_time(row), message, int(row.get("size", len(payload_of(message)))))


def _dumps(value: object) -> str:
    return json.dumps(value, separators=(",", ":"))
