"""Where sound comes from: a path, bytes or an open binary file, and what it is by its first bytes.

All sources are read the same way.  The usual three that are no WAV file are a download that brought
an error page, an MP3 file renamed to ``.wav``, and bare PCMU.
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

USE_LOAD_CLIP = "kit.load_clip reads it and converts it for a call"
"""What to do with a file that libsndfile reads."""

CONVERT_FIRST = "Convert it first, for example with ffmpeg -i IN -ar 8000 -ac 1 out.wav"
"""What to do with sound that nothing here reads."""

LOOK_AT_IT = (
    "Look at it in an editor; a download may have brought an error page instead of the sound"
)
"""What to do with a file that holds no sound."""

NAME_THE_ENCODING = (
    "If it is bare sound, say which: kit.load_clip(source, sample_rate=8000, encoding='PCMU')"
)
"""What to do with bytes that do not say what they are."""


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
        yield from _open_file_object(source)


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


def _open_file_object(file: Any) -> Iterator[Opened]:
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
        raise _missing_file(path) from error
    except IsADirectoryError as error:
        raise WavError(
            "is a folder, not a file", source=str(path), fix="Name one of the files in it"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise WavError(f"cannot be opened: {reason}", source=str(path)) from error


def _missing_file(path: Path) -> WavError:
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
    if (
        head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64")
        and recognise(head).fix == NAME_THE_ENCODING
    ):
        form = head[8:12].decode("latin-1")
        problem = f"it is a RIFF file, but of the kind {form!r}, not 'WAVE'"
        return WavError(problem, source=name, offset=8, fix=CONVERT_FIRST)
    kind = recognise(head)
    return WavError(
        f"this is not a WAV file; it looks like {kind.what}"
        if kind.fix != NAME_THE_ENCODING
        else f"this is not a WAV file; it is {kind.what}",
        source=name,
        offset=0,
        consequence="It has no RIFF header to show",
        fix=kind.fix,
    )


def recognise(head: bytes) -> FileKind:
    """Say what a file looks like.

    Args:
        head: Its first bytes, 64 of them if there are that many.
    """
    text = head.removeprefix(b"\xef\xbb\xbf")  # a UTF-8 byte order mark hides a page
    for pattern, kind in _SIGNATURES:
        if pattern.match(text):
            return kind
    if _MPEG_FRAME.match(head) and (head[2] >> 2) & 3 != 3:
        return FileKind("an MP3 file", USE_LOAD_CLIP)
    if len(head) >= 16 and all(byte in b"\t\n\r" or 0x20 <= byte < 0x7F for byte in head):
        return FileKind("a text file", LOOK_AT_IT)
    return FileKind("headerless: nothing at its beginning says what it is", NAME_THE_ENCODING)


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
        (rb"ID3", False, "an MP3 file", USE_LOAD_CLIP),
        (rb"OggS", False, "an OGG file", USE_LOAD_CLIP),
        (rb"fLaC", False, "a FLAC file", USE_LOAD_CLIP),
        (rb"\.snd", False, "an AU file", USE_LOAD_CLIP),
        (rb"FORM....AIF[FC]", False, "an AIFF file", USE_LOAD_CLIP),
        (rb"caff", False, "a CAF file", USE_LOAD_CLIP),
        (rb"riff\x2e\x91\xcf\x11", False, "a W64 file", USE_LOAD_CLIP),
        (rb"....ftyp", False, "an MP4 or M4A file", CONVERT_FIRST),
        (rb"\x1aE\xdf\xa3", False, "a WebM or Matroska file", CONVERT_FIRST),
        (rb"#!AMR", False, "an AMR file", CONVERT_FIRST),
        (rb"\x30\x26\xb2\x75", False, "a WMA file", CONVERT_FIRST),
        (rb"\xff[\xf1\xf9][\x40-\x7f][\x40\x41\x80\x81]", False, "an AAC file", CONVERT_FIRST),
        (rb"RIFF....AVI ", False, "an AVI film", CONVERT_FIRST),
        (rb"RIFF....WEBP", False, "a WebP picture", LOOK_AT_IT),
        (rb"\x89PNG|\xff\xd8\xff|GIF8", False, "a picture", LOOK_AT_IT),
        (rb"PK\x03\x04", False, "a ZIP archive", "Unpack it first"),
        (rb"\x1f\x8b", False, "a gzip archive", "Unpack it first"),
        (rb"%PDF", False, "a PDF document", LOOK_AT_IT),
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
        (rb"\s*<(!doctype html|html|head|body)", True, "an HTML page", LOOK_AT_IT),
        (rb"\s*<(\?xml|response)", True, "an XML document", LOOK_AT_IT),
        (rb"\s*[{\[]\s*([\"\[{}\]]|-?\d|$)", False, "JSON", LOOK_AT_IT),
    )
)

# Layer I to III, a legal bitrate and sample rate (ISO/IEC 11172-3 §2.4.2.3), so that
# headerless μ-law, whose silence is 0xFF, is not taken for an MP3.
_MPEG_FRAME = re.compile(rb"\xff[\xfa\xfb\xf2\xf3\xe2\xe3\xfc-\xfe][\x10-\xeb]", re.DOTALL)
