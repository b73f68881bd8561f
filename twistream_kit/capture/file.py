"""A capture as a file: JSON lines, a header first, then one line for each message.

    {"format":"twistream-capture","version":1,"streamSid":"MZ...","callSid":"CA...","keepSeconds":900.0}
    {"at":-1.200000,"status":"ringing"}
    {"at":0.000210,"from":"twilio","message":{"event":"start",...}}
    {"at":0.310220,"odd":"{...}"}
    {"at":901.020113,"from":"server","size":160,"message":{"event":"media",...,"payload":""}}
    {"endings":{"<mark's name>":"cleared",...}}

The messages are written as on the wire, or redacted by `Redaction` if the header contains
``"redacted":true``.  ``size`` is present only where sound was not kept.  A line with ``status`` is
a status of the call that Twilio reported at that time.  A line with ``odd``, or ``oddBytes`` in
base64, is an invalid message of the server as it was sent.  The last line, if present, holds the
endings of the marks, which no message on the wire contains.

There is one version.  A change that an older reader would take for damage increases it.  A file of
another version is refused, because its lines may have another meaning.
"""

from __future__ import annotations

import json
import math
from base64 import b64decode, b64encode
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twistream_kit.audio.clip import write_file
from twistream_kit.capture._redaction import Redaction
from twistream_kit.capture.entry import Entry, Message
from twistream_kit.errors import TwistreamError, quote
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import Ending, is_ending
from twistream_kit.sound_file import describe_nearest, find_special_kind

FORMAT = "twistream-capture"
"""The format name in the header of every capture."""

VERSION = 1
"""The version of the format; this module reads no other."""

MOST_BYTES = 0xFFFFFFFF
"""The largest size of a message's sound that is accepted, in bytes."""

MOST_SECONDS = 1e9
"""The furthest time from the start that is accepted: no clock of a computer runs for thirty years.
A call lasts a day, but some programs count from when the computer was started."""


def write_capture(
    path: Path, header: Header, contents: Contents, *, overwrite: bool = False
) -> Path:
    """Write a capture atomically; redacted if the header says so.

    Raises:
        TwistreamError: If the file exists and `overwrite` is False, or it cannot be written.
    """
    redaction = Redaction(contents.rare) if header.redacted else None
    replaced = redaction.redact_text if redaction else str
    first: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "streamSid": replaced(header.stream_sid),
        "callSid": replaced(header.call_sid),
        "keepSeconds": header.keep_seconds,
    }
    if redaction:
        first["redacted"] = True
    renamed = redaction.redact_mark if redaction else str
    endings = {renamed(name): ending for name, ending in contents.endings.items()}
    with write_file(path, overwrite=overwrite, private=True) as file:
        file.write(f"{_dumps(first)}\n".encode())
        for line in _make_lines(contents, redaction):
            file.write(f"{line}\n".encode())
        if endings:
            file.write(f"{_dumps({'endings': endings})}\n".encode())
    return path


def read_file(path: Path) -> bytes:
    """Read a whole file.

    Raises:
        FileError: If it cannot be read; a MissingFileError if there is no such file.
        TwistreamError: If it is a pipe or a device, of which reading may not come to an end.
    """
    if kind := find_special_kind(path):
        raise TwistreamError(
            f"{path} is {kind}, not a file",
            consequence="Nothing says how much will come from it, or whether anything will",
            fix="Write what comes from it to a file, and give that",
        )
    try:
        if path.is_dir():
            raise FileError(f"{path} is a folder, not a file", fix="Name one of the files in it")
        return path.read_bytes()
    except FileError:
        raise
    except FileNotFoundError as error:
        raise MissingFileError(f"there is no file {path}", fix=describe_nearest(path)) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the name
        reason = getattr(error, "strerror", None) or error
        raise FileError(
            f"{path} cannot be read: {reason}",
            fix="Give the path of a file that you may read",
        ) from error


def read_capture(raw: bytes, path: Path, keep: Callable[[Entry], None]) -> tuple[Header, Contents]:
    """Read a capture without a truncated last line.

    Args:
        raw: The whole content of the file.
        path: The name of the file in error messages.
        keep: Called with each message, because a call of hours has too many for a list.

    Returns:
        The header, and the contents without the messages.

    Raises:
        CaptureError: If it is not a capture, or has another version.
    """
    lines = raw.split(b"\n")
    return _read_header(path, lines[0]), _read_lines(path, lines[1:], keep)


def is_capture(raw: bytes) -> bool:
    """Whether a file begins with the header of a capture."""
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
        redacted: Whether what identifies the caller was replaced.
    """

    stream_sid: str
    call_sid: str
    keep_seconds: float
    redacted: bool = False


@dataclass(frozen=True, slots=True)
class Contents:
    """The content of the lines after the header.

    Attributes:
        entries: The messages, in order; to write, they are read once.
        rare: The messages of which a call has few, with all values that have to be redacted.
        statuses: The statuses of the call: seconds and Twilio's name.
        endings: How the marks ended, by their names on the wire.
        odd: The invalid messages of the server: seconds and the message.
    """

    entries: Iterable[Entry] = ()
    rare: Iterable[Message] = ()
    statuses: list[tuple[float, str]] = field(default_factory=list)
    endings: dict[str, Ending] = field(default_factory=dict)
    odd: list[tuple[float, str | bytes]] = field(default_factory=list)


class FileError(TwistreamError, OSError):
    """A file cannot be read."""


class MissingFileError(FileError, FileNotFoundError):
    """There is no such file."""


class CaptureError(TwistreamError, ValueError):
    """A file is not a capture that can be read.

    Attributes:
        path: The file.
        line: The number of the invalid line, from 1.
    """

    def __init__(
        self, path: Path, line: int, problem: str, *, consequence: str = "", fix: str = ""
    ) -> None:
        super().__init__(f"{path.name}, line {line}: {problem}", consequence=consequence, fix=fix)
        self.path = path
        self.line = line


def _make_lines(contents: Contents, redaction: Redaction | None) -> Iterator[str]:
    """Yield the lines in order of time, so that a truncated file is complete up to its end."""
    replaced = redaction.redact_text if redaction else str
    odd = redaction.redact_odd if redaction else _as_it_is
    beside = [(at, _format_timed(at, "status", replaced(name))) for at, name in contents.statuses]
    beside += [(at, _format_odd(at, odd(message))) for at, message in contents.odd]
    waiting = deque(sorted(beside, key=lambda each: each[0]))
    for entry in contents.entries:
        while waiting and waiting[0][0] <= entry.at:
            yield waiting.popleft()[1]
        yield _format_message(entry, redaction)
    for _, line in waiting:
        yield line


def _format_message(entry: Entry, redaction: Redaction | None) -> str:
    size = "" if entry.is_kept else f'"size":{entry.size},'
    text = redaction.redact_message(entry.message) if redaction else entry.message.to_json()
    if isinstance(entry.message, from_twilio.Unknown):
        text = _dumps(json.loads(text))  # the original text may contain line breaks
    return f'{{"at":{entry.at:.6f},"from":"{entry.sender}",{size}"message":{text}}}'


def _format_odd(at: float, message: str | bytes) -> str:
    if isinstance(message, str):
        return _format_timed(at, "odd", message)
    return _format_timed(at, "oddBytes", b64encode(message).decode())


def _format_timed(at: float, what: str, text: str) -> str:
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
    if type(version) is not int or version != VERSION:  # to Python, 1 is also True and 1.0
        raise CaptureError(
            path,
            1,
            f"the capture has version {quote(version)}; this package reads version {VERSION} only",
            consequence="Nothing of it was read, because its lines may mean something else",
            fix="Read it with the version of twistream-kit that wrote it",
        )
    sids = _get_sid(header, "streamSid"), _get_sid(header, "callSid")
    return Header(*sids, _read_keep_seconds(header), redacted=header.get("redacted") is True)


def _get_sid(header: dict[str, Any], name: str) -> str:
    value = header.get(name)
    return value if isinstance(value, str) else ""


def _read_keep_seconds(header: dict[str, Any]) -> float:
    """Return how much sound was kept; 0 if the header does not say so."""
    try:
        seconds = float(header.get("keepSeconds", 0))
    except (TypeError, ValueError, OverflowError):
        return 0.0
    return min(seconds, MOST_SECONDS) if seconds > 0 and math.isfinite(seconds) else 0.0


def _read_lines(path: Path, lines: list[bytes], keep: Callable[[Entry], None]) -> Contents:
    contents = Contents()
    for number, line in enumerate(lines, start=2):
        if not line:
            continue
        try:
            row = json.loads(line)
            _take(contents, keep, row)
        except (
            ValueError,
            TypeError,
            LookupError,
            ArithmeticError,
            RecursionError,
            TwistreamError,
        ) as error:
            if number == len(lines) + 1:
                break  # truncated: a complete line ends with a line break, so the last is empty
            reason = error if isinstance(error, TwistreamError) else "it is no timed message"
            problem = f"the line cannot be read: {reason}"
            raise CaptureError(path, number, problem, fix="Remove the line") from error
    return contents


def _take(contents: Contents, keep: Callable[[Entry], None], row: object) -> None:
    if not isinstance(row, dict):
        raise TypeError("it is no object")
    if "endings" in row:
        contents.endings.update(_read_endings(row["endings"]))
        return
    at = _read_time(row)
    if "status" in row:
        contents.statuses.append((at, _read_text(row["status"])))
    elif "odd" in row:
        contents.odd.append((at, _read_text(row["odd"])))
    elif "oddBytes" in row:
        contents.odd.append((at, b64decode(row["oddBytes"], validate=True)))
    else:
        keep(_read_entry(row, at))


def _read_entry(row: dict[str, Any], at: float) -> Entry:
    read = to_twilio.read if row["from"] == "server" else from_twilio.read
    message = read(row["message"])
    size = int(row.get("size", 0))
    if not isinstance(message, from_twilio.Media | to_twilio.Media):
        return Entry(at, message)
    if message.payload:
        return Entry(at, message, len(message.payload))
    if not 0 <= size <= MOST_BYTES:
        raise ValueError("it is no size")
    return Entry(at, message, size)


def _read_time(row: dict[str, Any]) -> float:
    at = float(row["at"])
    if not math.isfinite(at):  # not JSON, but Python's parser accepts it
        raise ValueError("it is no time")
    if abs(at) > MOST_SECONDS:
        raise TwistreamError(f"its time is {at:g} s from the start")
    return at


def _read_text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("it is no text")
    return value


def _read_endings(endings: object) -> dict[str, Ending]:
    if not isinstance(endings, dict):
        raise TypeError("the endings are no object")
    return {name: end for name, end in endings.items() if is_ending(end)}


_dumps = json.JSONEncoder(separators=(",", ":")).encode
