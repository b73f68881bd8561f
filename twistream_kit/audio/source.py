"""Where sound comes from: a path, bytes, or an open binary file, all read the same way."""

from __future__ import annotations

import io
import os
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
