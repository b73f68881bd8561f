"""Where sound comes from: a path, bytes, or an open binary file, all read the same way.

What a file is that is no WAV file, told by its first bytes.

A download that brought an error page, an MP3 renamed to .wav and bare PCMU are the usual three.
"""

from __future__ import annotations

import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import Any, BinaryIO

from twistream_kit.errors import WavError

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""What `inspect_wav`, `load_clip` and `convert_file` take."""


@dataclass(frozen=True, slots=True)
class Opened:
    """A source while it is being read.

    Attributes:
        file: Binary and seekable; what is asked for is read, and no more.
        name: How errors and reports call it, ``greeting.wav``.
        stem: How a clip made of it is called, ``greeting``; empty for bytes.
        size: In bytes.
    """

    file: BinaryIO
    name: str
    stem: str
    size: int


@contextmanager
def opened(source: Source) -> Iterator[Opened]:
    """Open `source` for reading.

    A file object is read from its beginning, whatever its position, which is put back at the end;
    one that cannot seek (a pipe) is read into memory first.

    Raises:
        WavError: If the file is missing, is a folder or may not be read.
        TypeError: If `source` is something else, a file opened as text for instance.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        yield Opened(io.BytesIO(source), "bytes", "", memoryview(source).nbytes)
    elif isinstance(source, str | os.PathLike):
        _refuse_address(os.fspath(source))
        path = Path(source)
        with _open(path) as file:
            yield Opened(file, path.name, path.stem, file.seek(0, os.SEEK_END))
    else:
        yield from _from_file(source)


def _from_file(file: Any) -> Iterator[Opened]:
    if isinstance(file, io.TextIOBase) or not callable(getattr(file, "read", None)):
        kind = "a file opened as text" if isinstance(file, io.TextIOBase) else repr(type(file))
        raise TypeError(f"{kind} holds no bytes; give a path, bytes, or a file opened with 'rb'")
    named = getattr(file, "name", "")
    path = Path(named) if isinstance(named, str) else Path()
    if not file.seekable():
        whole = file.read()
        yield Opened(io.BytesIO(whole), path.name or "file", path.stem, len(whole))
        return
    position = file.tell()
    try:
        yield Opened(file, path.name or "file", path.stem, file.seek(0, os.SEEK_END))
    finally:
        if not file.closed:
            file.seek(position)


def _refuse_address(source: str) -> None:
    # "http:/" is what pathlib makes of an address.
    if source.startswith(("http:/", "https:/")):
        raise WavError(
            "is an address, not a file",
            source=source,
            fix="Download it first, and give the path or the bytes",
        )


def _open(path: Path) -> BinaryIO:
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise _missing(path) from error
    except IsADirectoryError as error:
        raise WavError(
            "is a folder, not a file", source=str(path), fix="Name one of the files in it"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise WavError(f"cannot be opened: {reason}", source=str(path)) from error


def _missing(path: Path) -> WavError:
    folder = path.parent
    if not folder.is_dir():
        nearest = f"The folder {folder} does not exist either, seen from {Path.cwd()}"
    else:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
        close = get_close_matches(path.name, names, n=3, cutoff=0.5)
        nearest = f"Nearest in that folder: {', '.join(close)}" if close else "Check the path"
        if not path.is_absolute():
            nearest += f" (looked in {folder.resolve()})"
    return WavError("there is no such file", source=str(path), fix=nearest)


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Read up to `size` bytes from `offset`; fewer only where the file ends."""
    file.seek(offset)
    return file.read(size)


LOADABLE = "kit.load_clip reads it and converts it for a call"

OTHER_PROGRAM = "Convert it first, for example with ffmpeg -i IN -ar 8000 -ac 1 out.wav"

NOT_SOUND = (
    "Look at it in an editor; a download may have brought an error page instead of the sound"
)

HEADERLESS = (
    "If it is bare sound, say which: kit.load_clip(source, sample_rate=8000, encoding='PCMU')"
)


@dataclass(frozen=True, slots=True)
class FileKind:
    """What a file looks like.

    Attributes:
        what: With its article, ``an MP3 file``.
        fix: What to do with it, one sentence.
    """

    what: str
    fix: str


_SIGNATURES: tuple[tuple[re.Pattern[bytes], FileKind], ...] = tuple(
    (re.compile(pattern, re.DOTALL | re.IGNORECASE if text else re.DOTALL), FileKind(what, fix))
    for pattern, text, what, fix in (
        (rb"ID3", False, "an MP3 file", LOADABLE),
        (rb"OggS", False, "an OGG file", LOADABLE),
        (rb"fLaC", False, "a FLAC file", LOADABLE),
        (rb"\.snd", False, "an AU file", LOADABLE),
        (rb"FORM....AIF[FC]", False, "an AIFF file", LOADABLE),
        (rb"caff", False, "a CAF file", LOADABLE),
        (rb"riff\x2e\x91\xcf\x11", False, "a W64 file", LOADABLE),
        (rb"....ftyp", False, "an MP4 or M4A file", OTHER_PROGRAM),
        (rb"\x1aE\xdf\xa3", False, "a WebM or Matroska file", OTHER_PROGRAM),
        (rb"#!AMR", False, "an AMR file", OTHER_PROGRAM),
        (rb"\x30\x26\xb2\x75", False, "a WMA file", OTHER_PROGRAM),
        (rb"\xff[\xf1\xf9][\x40-\x7f][\x40\x41\x80\x81]", False, "an AAC file", OTHER_PROGRAM),
        (rb"RIFF....AVI ", False, "an AVI film", OTHER_PROGRAM),
        (rb"RIFF....WEBP", False, "a WebP picture", NOT_SOUND),
        (rb"\x89PNG|\xff\xd8\xff|GIF8", False, "a picture", NOT_SOUND),
        (rb"PK\x03\x04", False, "a ZIP archive", "Unpack it first"),
        (rb"\x1f\x8b", False, "a gzip archive", "Unpack it first"),
        (rb"%PDF", False, "a PDF document", NOT_SOUND),
        (
            rb"UklGR|data:audio",
            False,
            "a WAV file written as base64",
            "Decode it: base64.b64decode",
        ),
        (
            rb"version https://git-lfs",
            False,
            "a Git LFS pointer",
            "Fetch the file with git lfs pull",
        ),
        (rb"\s*<(!doctype html|html|head|body)", True, "an HTML page", NOT_SOUND),
        (rb"\s*<(\?xml|response)", True, "an XML document", NOT_SOUND),
        (rb"\s*[{\[]\s*([\"\[{}\]]|-?\d|$)", False, "JSON", NOT_SOUND),
    )
)

# Layer I to III, a legal bitrate and sample rate (ISO/IEC 11172-3 §2.4.2.3), so that
# headerless μ-law, whose silence is 0xFF, is not taken for an MP3.
_MPEG_FRAME = re.compile(rb"\xff[\xfa\xfb\xf2\xf3\xe2\xe3\xfc-\xfe][\x10-\xeb]", re.DOTALL)


def recognise(head: bytes) -> FileKind:
    """Say what a file looks like.

    Args:
        head: Its first bytes, 64 of them if there are that many.
    """
    text = head.removeprefix(b"\xef\xbb\xbf")  # a UTF-8 byte order mark hides a page
    for pattern, lookalike in _SIGNATURES:
        if pattern.match(text):
            return lookalike
    if _MPEG_FRAME.match(head) and (head[2] >> 2) & 3 != 3:
        return FileKind("an MP3 file", LOADABLE)
    if len(head) >= 16 and all(byte in b"\t\n\r" or 0x20 <= byte < 0x7F for byte in head):
        return FileKind("a text file", NOT_SOUND)
    return FileKind("headerless: nothing at its beginning says what it is", HEADERLESS)


def not_a_wav(head: bytes, name: str) -> WavError:
    """Build the error for a file that does not begin as a WAV file does."""
    if not head:
        return WavError(
            "the file is empty",
            source=name,
            offset=0,
            consequence="There is nothing to hear",
            fix="Fetch or record it again",
        )
    if head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64") and recognise(head).fix == HEADERLESS:
        form = head[8:12].decode("latin-1")
        problem = f"it is a RIFF file, but of the kind {form!r}, not 'WAVE'"
        return WavError(problem, source=name, offset=8, fix=OTHER_PROGRAM)
    lookalike = recognise(head)
    return WavError(
        f"this is not a WAV file; it looks like {lookalike.what}"
        if lookalike.fix != HEADERLESS
        else f"this is not a WAV file; it is {lookalike.what}",
        source=name,
        offset=0,
        consequence="It has no RIFF header to show",
        fix=lookalike.fix,
    )
