"""Files of ours: a μ-law WAV header, and a file that is there whole or not at all."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from secrets import token_hex
from typing import BinaryIO

from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.errors import WavError

HEADER_BYTES = 58
"""The size of our header: RIFF 12, fmt 26, fact 12, data 8."""

_MOST_BYTES = 0xFFFFFFFF - HEADER_BYTES


def ulaw_header(payload_bytes: int) -> bytes:
    """Return the header of a μ-law WAV file, 58 bytes, as other recorders of μ-law write it.

    An odd payload must be followed by one byte of padding.

    Raises:
        ValueError: If the payload is larger than a WAV file can be, 4 GB or six days.
    """
    if payload_bytes > _MOST_BYTES:
        raise ValueError(f"{payload_bytes} bytes are too many for a WAV file; split the sound")
    even = payload_bytes + payload_bytes % 2
    return struct.pack(
        "<4sI4s4sIHHIIHHH4sII4sI",
        *(b"RIFF", HEADER_BYTES - 8 + even, b"WAVE"),
        *(b"fmt ", 18, 7, 1, SAMPLE_RATE, SAMPLE_RATE, 1, 8, 0),
        *(b"fact", 4, payload_bytes),
        *(b"data", payload_bytes),
    )


def require_place(path: Path) -> None:
    """Make sure that a file of that name could be there.

    Raises:
        WavError: If it is a folder, or in a folder that does not exist.
    """
    if path.is_dir():
        fix = f"Name a file in it: {path.name}/out.wav"
        raise WavError("is a folder", source=str(path), fix=fix)
    if not path.parent.is_dir():
        problem = f"there is no folder {path.parent}"
        raise WavError(problem, source=str(path), fix="Make it first")


@contextmanager
def replacing(path: Path, *, overwrite: bool = True) -> Iterator[BinaryIO]:
    """Open a new file that takes the place of `path` when the block ends without an exception.

    Until then, and after an exception, `path` is what it was.

    Args:
        path: The name of the file.
        overwrite: Whether a file of that name may be replaced.

    Raises:
        FileExistsError: If there is a file of that name at the end, and it may not be replaced.
    """
    # Beside the target, because a rename across file systems is a copy that can break off.
    unfinished = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        with unfinished.open("xb") as file:
            yield file
        if overwrite:
            unfinished.replace(path)
        else:
            _rename_to_free_name(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


def _rename_to_free_name(file: Path, path: Path) -> None:
    # Python's rename replaces a file that appeared since anyone looked; a link never does.
    try:
        os.link(file, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        # No hard links here (FAT, some network folders, Android): an empty file claims the name.
        path.open("xb").close()
        try:
            file.replace(path)
        except BaseException:
            path.unlink()
            raise
    else:
        file.unlink()


def write_ulaw_wav(file: BinaryIO, payload: Iterator[bytes]) -> int:
    """Write a μ-law WAV file; return the size of its payload in bytes.

    Args:
        file: Empty and seekable.
        payload: PCMU in pieces of any length.
    """
    file.write(ulaw_header(0))
    size = 0
    for piece in payload:
        size += file.write(piece)
    file.write(b"\0" * (size % 2))
    file.seek(0)
    file.write(ulaw_header(size))
    return size
