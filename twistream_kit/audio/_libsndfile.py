"""Decode sound by libsndfile: FLAC, OGG, MP3, AIFF, AU and the like, and compressed WAV files.

Of files that were put end to end libsndfile reads only the first, or plays the headers of the
others; so each is given to it alone.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio._wav_format import WavPart, is_placeholder
from twistream_kit.audio.callbacks import call_apart
from twistream_kit.audio.resample import BLOCK, check_range
from twistream_kit.errors import WavError
from twistream_kit.sound_file import (
    CONVERT_FIRST,
    USE_LOAD_CLIP,
    Opened,
    build_not_wav_error,
    build_undecodable_error,
    read_at,
    recognise,
    refuse_shrunken,
)

MOST_FILLED = 4096
"""The most samples that fill up the last block of a compressed sound."""

_UNSUPPORTED_ENCODING = 4
"""``SF_ERR_UNSUPPORTED_ENCODING`` of sndfile.h."""

FETCH_AGAIN = "Fetch or record it again, as bytes"
"""The fix for a file that is damaged."""


@dataclass(slots=True)
class DecodedPart:
    """A stretch of sound that libsndfile decodes.

    Attributes:
        sample_rate: The sample rate, 4000 to 192,000 Hz.
        channels: The number of channels, 1 to 8.
        read: Reads the samples: float32 in [-1, 1], shape ``(n, channels)``, n > 0.
        missing_seconds: How much the file lacks; known when all is read.
    """

    sample_rate: int
    channels: int
    read: Callable[[], Iterator[NDArray[Any]]]
    missing_seconds: float = 0.0


def open_compressed(file: Opened, part: WavPart) -> DecodedPart:
    """Open compressed samples in a WAV file.

    Raises:
        WavError: If libsndfile cannot read them.
    """
    window = _open_window(file, part.riff.start, part.riff.size)
    if part.format.block[1] and not part.n_samples:
        raise WavError(
            f"its sound is cut off within the first block of {part.format.block[0]} bytes",
            source=file.name,
            offset=part.offset + part.size,
            consequence="There is nothing to hear",
            fix=FETCH_AGAIN,
        )
    # In whole blocks: libsndfile decodes also the beginning of one that is not there.
    return _open_by_libsndfile(file, window, b"", part.n_samples)


def open_others(file: Opened) -> list[DecodedPart]:
    """Open a sound file that is not a WAV file, or several that were put end to end.

    Raises:
        WavError: If libsndfile cannot read it.
    """
    head = read_at(file.file, 0, 64)
    starts = [0, *_find_further_files(file, head)]
    ends = [*starts[1:], file.size]
    return [
        _open_by_libsndfile(file, _open_window(file, start, end), head)
        for start, end in zip(starts, ends, strict=True)
    ]


def _open_by_libsndfile(
    file: Opened, window: _Window | _Memory, head: bytes, n_samples: int = 0
) -> DecodedPart:
    import soundfile

    kind = recognise(head) if head else None
    try:
        with discard_c_messages():
            sound = call_apart(lambda: soundfile.SoundFile(window))
    except soundfile.LibsndfileError as error:
        if kind and kind.fix != USE_LOAD_CLIP:
            raise build_not_wav_error(head, file) from error
        if kind and error.code == _UNSUPPORTED_ENCODING:  # AAC in Core Audio, for example
            what = f"{kind.what} with an encoding"
            raise build_undecodable_error(what, file) from error
        raise WavError(
            f"it cannot be decoded: {_explain_failure(kind.what if kind else '', error)}",
            source=file.name,
            offset=window.start,
            consequence="There is nothing to hear",
            fix=FETCH_AGAIN if kind else CONVERT_FIRST,
        ) from error
    check_range(file.name, sound.samplerate, sound.channels)
    _refuse_cut_ogg(file, window, head)
    if not sound.frames:
        raise WavError(
            "it holds no sound, or is cut short before it", source=file.name, fix=FETCH_AGAIN
        )
    # Far fewer are a header that is not right rather than the filling of the last block.
    is_near = sound.frames - n_samples <= max(sound.frames // 10, MOST_FILLED)
    limit = n_samples if n_samples and is_near else None
    part = DecodedPart(sound.samplerate, sound.channels, lambda: iter(()))
    what = kind.what if kind else "a WAV file"
    promised = _count_promised(window, head, sound) if head else limit or 0

    def read() -> Iterator[NDArray[np.float32]]:
        done = 0
        for block in _read_blocks(sound, file, what, limit):
            done += len(block)
            yield block
        part.missing_seconds = max(0, promised - done) / sound.samplerate

    part.read = read
    return part


def _explain_failure(what: str, error: Any) -> str:
    """Return why libsndfile does not read a file, as a guess and in its own words."""
    reason = error.error_string.strip().rstrip(".")
    if not what:
        return f"libsndfile cannot read it ({reason})"
    return f"it looks like {what}, but is damaged or cut short (libsndfile: {reason})"


def _read_blocks(
    sound: Any, file: Opened, what: str, limit: int | None
) -> Iterator[NDArray[np.float32]]:
    """Yield the samples that libsndfile reads, at most `limit`: float32, shape ``(n, channels)``.

    Raises:
        WavError: If libsndfile stops before the end.
    """
    import soundfile

    done = 0
    # Not `sound.blocks`, which refuses encodings in which libsndfile cannot seek, such as GSM.
    while limit is None or done < limit:
        size = BLOCK if limit is None else min(BLOCK, limit - done)
        try:
            with discard_c_messages():
                block = call_apart(partial(sound.read, size, dtype="float32", always_2d=True))
        except soundfile.LibsndfileError as error:
            refuse_shrunken(file)
            raise WavError(
                f"it cannot be decoded beyond {done / sound.samplerate:.2f} s: "
                f"{_explain_failure(what, error)}",
                source=file.name,
                consequence="The rest of it cannot be heard",
                fix=FETCH_AGAIN,
            ) from error
        if not len(block):
            return
        done += len(block)
        yield block


class _Window:
    """A part of an open file, for libsndfile, as if it were a file of its own.

    It has no name: soundfile reads a file whose name ends in .raw as headerless sound.
    """

    def __init__(self, file: Opened, start: int, end: int) -> None:
        self._file = file.file
        self._at = 0
        self._block, self._block_at = b"", 0
        self.start = start
        self.end = end

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self.end - self.start}[whence]
        # A damaged header may lead before the beginning: an exception in this callback would be
        # printed by cffi and not be raised.
        self._at = max(0, base + offset)
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        left = max(0, self.end - self.start - self._at)
        size = left if size < 0 else min(size, left)
        begin = self._at - self._block_at
        if begin < 0 or begin + size > len(self._block):
            self._block_at, begin = self._at, 0
            place = self.start + self._at
            self._block = read_at(self._file, place, min(left, max(size, _BLOCK_BYTES)))
        raw = self._block[begin : begin + size]
        self._at += len(raw)
        return raw

    def readinto(self, buffer: Any) -> int:
        raw = self.read(len(buffer))
        buffer[: len(raw)] = raw
        return len(raw)


_BLOCK_BYTES = 65536
"""How much is read at once: libmpg123 looks for headers by four bytes each."""


class _Memory(io.BytesIO):
    """What `_Window` is, of a part that is so short that it is read at once: half the time."""

    def __init__(self, raw: bytes, start: int) -> None:
        super().__init__(raw)
        self.start = start
        self.end = start + len(raw)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        if whence != os.SEEK_SET:
            offset += self.tell() if whence == os.SEEK_CUR else self.end - self.start
        return super().seek(max(0, offset))


def _open_window(file: Opened, start: int, end: int) -> _Window | _Memory:
    if end - start <= _BLOCK_BYTES:
        raw = read_at(file.file, start, end - start)
        if len(raw) == end - start:
            return _Memory(raw, start)
    return _Window(file, start, end)


_SIGNATURES = {
    "a FLAC file": re.compile(rb"fLaC[\x00\x80]\x00\x00\x22"),
    "an AIFF file": re.compile(rb"FORM....AIF[FC](?:COMM|FVER|NAME|ANNO|COMT|SSND)", re.DOTALL),
    "an AU file": re.compile(
        rb"\.snd\x00\x00[\x00-\x10].{5}\x00\x00\x00[\x01-\x1b].{4}\x00\x00\x00[\x01-\x08]",
        re.DOTALL,
    ),
    "a CAF file": re.compile(rb"caff\x00\x01\x00\x00desc"),
    "a W64 file": re.compile(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"),
    "a NIST Sphere file": re.compile(rb"NIST_1A\n +\d+\n"),
    # The first page of a stream: its position is 0.  Several may stand at the beginning.
    "an OGG file": re.compile(rb"OggS\x00\x02\x00{8}"),
    # A frame that counts those after it, behind its side information (ISO/IEC 11172-3).
    "an MP3 file": re.compile(
        rb"\xff[\xe2-\xfb][\x10-\xeb].(?:.{9}|.{17}|.{32})(?:Xing|Info)\x00\x00\x00[\x01-\x0f]",
        re.DOTALL,
    ),
}
"""What a file begins with, by the names of kinds; no sound contains it by chance."""

_LONGEST_SIGNATURE = 64


def _find_further_files(file: Opened, head: bytes) -> Iterator[int]:
    """Yield where further files of the same kind begin."""
    what = recognise(head).what
    signature = _SIGNATURES.get(what)
    if signature is None:
        return
    found = _find_all(file, signature)
    if what == "an OGG file":
        # Streams that run side by side begin together; a chain begins a stream after others.
        between = re.compile(rb"OggS\x00[\x00\x01\x04\x05]")
        later = next(_find_all(file, between), file.size)
        yield from (at for at in found if at > later)
    elif what == "an MP3 file":
        # Without such a frame at its beginning, libsndfile reads on to the end anyway.
        first = next(found, None)
        if first is not None and first <= _skip_tag(head):
            yield from found
    else:
        yield from (at for at in found if at > 0)


def _skip_tag(head: bytes) -> int:
    """Return the offset of what follows an ID3 tag at the beginning of a file."""
    if head[:3] != b"ID3" or len(head) < 10:
        return 0
    size = 0
    for byte in head[6:10]:
        size = size << 7 | byte & 0x7F
    return size + 10


def _find_all(file: Opened, pattern: re.Pattern[bytes]) -> Iterator[int]:
    step = 1 << 20
    for offset in range(0, file.size, step):
        block = read_at(file.file, offset, step + _LONGEST_SIGNATURE)
        for match in pattern.finditer(block):
            if match.start() < step:
                yield offset + match.start()


def _refuse_cut_ogg(file: Opened, window: _Window | _Memory, head: bytes) -> None:
    """Refuse an OGG file whose last page is incomplete.

    Raises:
        WavError: If it is.  libsndfile would leave out that page without a word.
    """
    if head[:4] != b"OggS":
        return
    begin = max(window.start, window.end - 2 * 65_536)
    last = read_at(file.file, begin, window.end - begin)
    at = last.rfind(b"OggS")
    page = last[at:]
    n_segments = page[26] if len(page) > 26 else 0
    size = 27 + n_segments + sum(page[27 : 27 + n_segments])
    if at >= 0 and (len(page) < 27 or len(page) < size):
        raise WavError(
            "it cannot be decoded whole: it is an OGG file that is cut short, inside a page",
            source=file.name,
            offset=begin + at,
            consequence="How much is missing cannot be known",
            fix=FETCH_AGAIN,
        )


def _count_promised(window: _Window | _Memory, head: bytes, sound: Any) -> int:
    """Return how many samples the header of a file promises, or 0 if it does not say."""
    position = window.tell()
    window.seek(0)
    begin = window.read(4096)
    window.seek(position)
    frames: int = sound.frames
    if head[:4] == b"FORM":
        at = begin.find(b"COMM")
        promised = int.from_bytes(begin[at + 10 : at + 14], "big") if at > 0 else 0
        return promised if frames < promised < 1 << 31 else 0
    if head[:4] == b".snd":
        start, size = (int.from_bytes(begin[at : at + 4], "big") for at in (4, 8))
        there = window.end - window.start - start
        is_cut = 0 < there < size and not is_placeholder(size, there)
        return round(frames * size / there) if is_cut else 0
    if recognise(head).what == "an MP3 file" and re.search(rb"Xing|Info", begin):
        return frames
    return 0


@contextlib.contextmanager
def discard_c_messages() -> Iterator[None]:
    """Discard what libsndfile and libmpg123 print to stderr by themselves.

    Their errors are raised, with their text; what they print besides comes from no logger and
    names no file.  Only the stream of the C library is replaced: what Python prints is not lost.
    """
    with _silence:
        _silence.depth += 1
        if _silence.depth == 1:
            _silence.replace()
    try:
        yield
    finally:
        with _silence:
            _silence.depth -= 1
            if not _silence.depth:
                _silence.restore()


class _Silence:
    """The stream ``stderr`` of the C library, and a stream that discards what is written."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stream: ctypes.c_void_p | None = None
        self._nowhere: int | None = None
        self._saved: int | None = None
        self.depth = 0

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *error: object) -> None:
        self._lock.release()

    def replace(self) -> None:
        if self._stream is None and not self._find():
            return
        assert self._stream is not None  # noqa: S101  found
        self._saved = self._stream.value
        self._stream.value = self._nowhere

    def restore(self) -> None:
        if self._stream is not None:
            self._stream.value = self._saved

    def _find(self) -> bool:
        # Windows exports no such variable, and that of musl must not be written: it is a constant.
        name = {"linux": "stderr", "darwin": "__stderrp"}.get(sys.platform)
        if name is None or self._nowhere is not None:
            return False
        try:
            if sys.platform == "linux" and not os.confstr("CS_GNU_LIBC_VERSION"):
                return False
            library = ctypes.CDLL(None)
            stream = ctypes.c_void_p.in_dll(library, name)
            library.fopen.restype = ctypes.c_void_p
            self._nowhere = library.fopen(os.devnull.encode(), b"w")
        except (OSError, ValueError, AttributeError):
            return False
        if self._nowhere:
            self._stream = stream
        return bool(self._nowhere)


_silence = _Silence()
