"""Sound files: open them, recognise their format, and refuse them as the payload of a message.

A path, bytes and an open binary file are all read the same way.  Three inputs are often mistaken
for a WAV file: a download that returned an error page, an MP3 file renamed to ``.wav``, and bare
PCMU.

A call takes bare PCMU: Twilio plays every byte of a payload, headers included (PROTOCOL.md §4).
Both ends of a call use `check_payload`.
"""

from __future__ import annotations

import io
import os
import re
import shlex
import stat
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO, Literal, NewType

from twistream_kit.errors import LocalProtocolError, WavError, WrongType

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO
"""The sources that `inspect_wav`, `load_clip` and `convert_file` accept."""

USE_LOAD_CLIP = "kit.load_clip reads it and converts it for a call"
"""The fix for a file that libsndfile reads."""

CONVERT_FIRST = "Convert it first, for example with ffmpeg -i IN -ar 8000 -ac 1 out.wav"
"""The fix for a sound file that this package cannot read."""

LOOK_AT_IT = (
    "Look at it in an editor; a download may have brought an error page instead of the sound"
)
"""The fix for a file that holds no sound."""

NAME_THE_ENCODING = (
    "If it is bare sound, say which: kit.load_clip(source, sample_rate=8000, encoding='PCMU')"
)
"""The fix for bytes without a known signature."""

ByteOrder = Literal["little", "big"]
"""The byte order of a number, as `int.from_bytes` names it."""

RIFF_FORMS: dict[bytes, ByteOrder] = {
    b"RIFF": "little",
    b"RIFX": "big",
    b"RF64": "little",
    b"BW64": "little",
}
"""The signatures of a RIFF file, with the byte order of its numbers."""

WAV_HEAD_BYTES = 12
"""The bytes that identify a WAV file: signature, size and form."""

_WAVE_AT = 8
"""The offset of ``WAVE`` in a WAV header."""

_MP3_FRAMES = 6
"""How many MP3 frames must follow one another.

The first byte of an MP3 frame is 0xFF, and so is every byte of μ-law silence.
"""

_MPEG1_KBIT = (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)

_MPEG2_KBIT = (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160)

CheckedPayload = NewType("CheckedPayload", bytes)
"""PCMU in which `check_payload` found no file."""


@contextmanager
def open_source(source: Source) -> Iterator[Opened]:
    """Open `source` for reading.

    A file object is read from its beginning, and its position is restored at the end.  One that
    cannot seek (a pipe) is read into memory first.

    Raises:
        WavError: If the file does not exist, is a folder or cannot be opened.
        TypeError: If `source` is of another type, for example a file opened as text.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        yield Opened(io.BytesIO(source), "bytes", "", memoryview(source).nbytes)
    elif isinstance(source, str | os.PathLike):
        _refuse_address(os.fspath(source))
        path = Path(source)
        with _open(path) as file:
            size = file.seek(0, os.SEEK_END)
            yield Opened(file, path.name, path.stem, size, str(path))
    else:
        yield from _open_file_object(source)


@dataclass(frozen=True, slots=True)
class Opened:
    """An open source.

    Attributes:
        file: A binary, seekable file.  It is read in parts, on demand.
        name: Its name in errors and reports, ``greeting.wav``.
        stem: The name of a clip made of it, ``greeting``; empty for bytes.
        size: Its size in bytes.
        path: Its path as it was given; empty for bytes and file objects.
    """

    file: BinaryIO
    name: str
    stem: str
    size: int
    path: str = ""


def _open_file_object(file: Any) -> Iterator[Opened]:
    if isinstance(file, io.TextIOBase) or not callable(getattr(file, "read", None)):
        if hasattr(file, "dtype"):
            raise WrongType(
                "an array is no sound file; make a clip of it: "
                "kit.Clip.from_samples(array, sample_rate)"
            )
        kind = "a file opened as text" if isinstance(file, io.TextIOBase) else repr(type(file))
        raise WrongType(f"{kind} holds no bytes; give a path, bytes, or a file opened with 'rb'")
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
    # pathlib turns "http://" into "http:/".
    if source.startswith(("http:/", "https:/")):
        raise WavError(
            "is an address, not a file",
            source=source,
            fix="Download it first, and give the path or the bytes",
        )


def find_special_kind(path: Path) -> str | None:
    """Return what `path` leads to if that is neither a file nor a folder: ``a pipe``.

    To open a pipe waits until somebody writes to it, perhaps for ever.
    """
    try:
        kind = stat.S_IFMT(path.stat().st_mode)
    except (OSError, ValueError):
        return None  # `open` says why
    if kind in (stat.S_IFREG, stat.S_IFDIR):
        return None
    return {stat.S_IFIFO: "a pipe", stat.S_IFSOCK: "a socket"}.get(kind, "a device")


def _open(path: Path) -> BinaryIO:
    if kind := find_special_kind(path):
        raise WavError(
            f"is {kind}, not a file",
            source=str(path),
            consequence="Nothing says how much will come from it, or whether anything will",
            fix="Write what comes from it to a file, and give that; in Python also the bytes: "
            "pathlib.Path(path).read_bytes()",
        )
    try:
        return path.open("rb")
    except FileNotFoundError as error:
        raise _build_missing_error(path) from error
    except IsADirectoryError as error:
        raise WavError(
            "is a folder, not a file", source=str(path), fix="Name one of the files in it"
        ) from error
    except (OSError, ValueError) as error:  # ValueError: a NUL byte in the name
        reason = getattr(error, "strerror", None) or str(error)
        raise WavError(f"cannot be opened: {reason}", source=str(path)) from error


def _build_missing_error(path: Path) -> WavError:
    return WavError("there is no such file", source=str(path), fix=describe_nearest(path))


def describe_nearest(path: Path) -> str:
    """Return what may have been meant by the path of a file that does not exist."""
    folder = path.parent
    if not folder.is_dir():
        return f"The folder {folder} does not exist either, seen from {Path.cwd()}"
    from difflib import get_close_matches  # imported only here: it takes a millisecond

    names: list[str] = []
    with suppress(OSError):  # a folder that may not be listed
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    close = get_close_matches(path.name, names, n=3, cutoff=0.5)
    nearest = f"Nearest in that folder: {', '.join(close)}" if close else "Check the path"
    if not path.is_absolute():
        nearest += f" (looked in {folder.resolve()})"
    return nearest


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """Read up to `size` bytes from `offset`; fewer only where the file ends."""
    file.seek(offset)
    return file.read(size)


def refuse_shrunken(file: Opened) -> None:
    """Refuse a file that has become shorter since it was opened.

    Raises:
        WavError: If it has.
    """
    now = file.file.seek(0, os.SEEK_END)
    if now < file.size:
        raise WavError(
            f"it became shorter while it was read: from {file.size} bytes to {now}",
            source=file.name,
            consequence="What was read of it is not one whole sound",
            fix="Wait until it is complete, and read it again",
        )


def is_valid_text(raw: bytes) -> bool:
    """Whether bytes, of which the last may belong to an incomplete character, are UTF-8."""
    try:
        raw.decode()
    except UnicodeDecodeError as error:
        return error.start >= len(raw) - 3
    return True


def build_not_wav_error(head: bytes, file: Opened) -> WavError:
    """Build the error for a file that does not begin with the header of a WAV file."""
    name = file.name
    if not head:
        return WavError(
            "the file is empty",
            source=name,
            offset=0,
            consequence="There is nothing to hear",
            fix="Fetch or record it again",
        )
    if head[:4] in RIFF_FORMS and recognise(head).fix == NAME_THE_ENCODING:
        form = head[8:12].decode("latin-1")
        problem = f"it is a RIFF file, but of the kind {form!r}, not 'WAVE'"
        return WavError(problem, source=name, offset=8, fix=CONVERT_FIRST)
    kind = recognise(head)
    if kind.fix == CONVERT_FIRST:
        return build_undecodable_error(kind.what, file)
    return WavError(
        f"this is not a WAV file; it looks like {kind.what}"
        if kind.fix != NAME_THE_ENCODING
        else f"this is not a WAV file; it is {kind.what}",
        source=name,
        offset=0,
        consequence="It has no RIFF header to show",
        fix=kind.fix,
    )


def build_undecodable_error(what: str, file: Opened) -> WavError:
    """Build the error for a sound file whose encoding nothing here decodes, such as AAC.

    Args:
        what: The kind of file, with its article.
        file: The file, whose path stands in the command that converts it.
    """
    source, target = "IN", "OUT.wav"
    if file.path or Path(file.name).suffix:
        path = Path(file.path or file.name)
        source = shlex.quote(str(path))
        target = shlex.quote(str(path.with_suffix(".wav")))
    return WavError(
        f"it looks like {what}, which cannot be decoded here",
        source=file.name,
        offset=0,
        # Not at the end, where the full stop of the sentence would be copied with it.
        fix=f"Convert it with `ffmpeg -i {source} {target}` first",
    )


def recognise(head: bytes) -> FileKind:
    """Return the kind of a file.

    Args:
        head: Its first bytes, 64 of them if there are that many.
    """
    text = head.removeprefix(b"\xef\xbb\xbf")  # an HTML page may begin with a UTF-8 byte order mark
    for kind in _KINDS:
        if kind.resembles(text):
            return kind
    return _HEADERLESS


def find_container(payload: bytes) -> str | None:
    """Return the name of the file format that a payload begins with, or None if it may be sound."""
    kind = _find_container_kind(payload)
    return None if kind is None else kind.container


def _find_container_kind(payload: bytes) -> FileKind | None:
    # This runs fifty times a second for each stream, mostly for sound.
    for kind in _CONTAINERS_BY_FIRST_BYTE[payload[0]] if payload else ():
        if kind.is_for_certain(payload):
            return kind
    return None


def is_wav(head: bytes) -> bool:
    """Whether bytes begin with the header of a WAV file.

    Eight bytes are compared, so that no μ-law sound matches by chance.
    """
    return head[:4] in RIFF_FORMS and head[_WAVE_AT:WAV_HEAD_BYTES] == b"WAVE"


def find_wav_headers(payload: bytes) -> Iterator[int]:
    """Yield the offset of each WAV header in a payload, in bytes."""
    place = payload.find(b"WAVE", _WAVE_AT)
    while place != -1:
        if is_wav(payload[place - _WAVE_AT : place + 4]):
            yield place - _WAVE_AT
        place = payload.find(b"WAVE", place + 1)


@dataclass(frozen=True, slots=True)
class PayloadUse:
    """The texts of the error for a payload that is not bare PCMU, by where it is passed.

    Attributes:
        field: The name of the field or argument.
        whole: The consequence if the payload is a whole file.
        inside: The consequence if a WAV file begins inside it.
        fix: What to pass instead of a whole file.
    """

    field: str
    whole: str
    inside: str
    fix: str


TO_TWILIO = PayloadUse(
    "media.payload",
    "Twilio would accept it and play noise, logging nothing",
    "Twilio would accept it and play the header as a click",
    "Send kit.load_clip(path).payload",
)
"""Sound that a server sends."""

FROM_CALLER = PayloadUse(
    "say",
    "The server would hear its header as noise",
    "The server would hear the header as a click",
    "Pass kit.load_clip(path)",
)
"""Sound that a simulated caller says."""


def check_payload(payload: bytes, use: PayloadUse = TO_TWILIO) -> CheckedPayload:
    """Return `payload` if it is no sound file, and no WAV file begins anywhere in it.

    All of it is searched, because a stream may be cut into payloads at any byte.

    Raises:
        LocalProtocolError: If it is a file, of sound or compressed, or contains the header of a WAV
            file.
    """
    if payload.find(b"WAVE", _WAVE_AT) != -1:
        for at in find_wav_headers(payload):
            raise build_wav_refusal(payload, at, use)
    if (kind := _find_container_kind(payload)) is not None:
        raise LocalProtocolError(
            f"starts like a file: it is {kind.container}, not bare PCMU",
            field=use.field,
            consequence=use.whole,
            fix=use.fix if kind.fix == USE_LOAD_CLIP else kind.fix,
        )
    return CheckedPayload(payload)


def build_wav_refusal(
    payload: bytes, at: int = 0, use: PayloadUse = TO_TWILIO
) -> LocalProtocolError:
    """Build the error for a payload with a WAV file at byte `at`."""
    if at == 0:
        problem, consequence, fix = describe_wav(payload), use.whole, use.fix
    else:
        problem, consequence = f"holds the header of a WAV file at byte {at}", use.inside
        fix = "Add clips instead of files: kit.load_clip(a) + kit.load_clip(b)"
    return LocalProtocolError(problem, field=use.field, consequence=consequence, fix=fix)


def describe_wav(payload: bytes) -> str:
    """Describe the fault of a payload that is a whole WAV file."""
    sign = payload[:4].decode("ascii")
    return f"starts with {sign}: it is a whole WAV file, not bare PCMU"


def _compile_start(pattern: bytes, flags: re.RegexFlag = re.DOTALL) -> Callable[[bytes], bool]:
    compiled = re.compile(pattern, flags)
    return lambda head: compiled.match(head) is not None


_is_aiff = _compile_start(rb"FORM....AIF[FC]")

_starts_mp4 = _compile_start(rb"....ftyp[A-Za-z0-9 ]{4}")


def _is_mp4(payload: bytes) -> bool:
    return payload[4:8] == b"ftyp" and _starts_mp4(payload)


_is_nist = _compile_start(rb"NIST_1A\n")


def _is_au(payload: bytes) -> bool:
    header = [int.from_bytes(payload[at : at + 4], "big") for at in (4, 12, 20)]
    return (
        payload[:4] == b".snd"
        and len(payload) >= 24
        and 24 <= header[0] <= 65536  # where the sound begins
        and 1 <= header[1] <= 27  # its encoding
        and 1 <= header[2] <= 64  # its channels
    )


def _is_mp3(payload: bytes) -> bool:
    """Whether several MP3 frames follow one another, each as long as its header says."""
    headers: list[bytes] = []
    at = 0
    while len(headers) < _MP3_FRAMES:
        header = payload[at : at + 4]
        size = _read_mp3_frame_size(header)
        if not size:
            return False
        headers.append(header)
        at += size
    return all(a[:2] == b[:2] and a[2] & 0x0C == b[2] & 0x0C for a, b in pairwise(headers))


def _read_mp3_frame_size(header: bytes) -> int:
    """Return the length in bytes of a layer III frame, or 0 if `header` is not that of one."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE6 != 0xE2:
        return 0
    version, bit_rate, rate = (header[1] >> 3) & 3, header[2] >> 4, (header[2] >> 2) & 3
    if version == 1 or bit_rate in (0, 15) or rate == 3:
        return 0
    mpeg1 = version == 3
    kbit = (_MPEG1_KBIT if mpeg1 else _MPEG2_KBIT)[bit_rate - 1]
    sample_rate = (44100, 48000, 32000)[rate] >> {3: 0, 2: 1, 0: 2}[version]
    return (144 if mpeg1 else 72) * kbit * 1000 // sample_rate + ((header[2] >> 1) & 1)


_starts_mpeg_frame = _compile_start(rb"\xff[\xfa\xfb\xf2\xf3\xe2\xe3\xfc-\xfe][\x10-\xeb]")


def _resembles_mp3(head: bytes) -> bool:
    # Check layer I to III, bit rate and sample rate (ISO/IEC 11172-3 §2.4.2.3), because the
    # silence of headerless μ-law is 0xFF, like the first byte of an MP3 frame.
    return _starts_mpeg_frame(head) and (head[2] >> 2) & 3 != 3


_starts_gzip = _compile_start(rb"\x1f\x8b\x08[\x00-\x1f].{4}[\x00\x02\x04][\x00-\x0d\xff]")


def _is_gzip(payload: bytes) -> bool:
    """Whether the first bytes can be unpacked; sound that begins like a header cannot."""
    if not _starts_gzip(payload):
        return False
    try:
        return bool(zlib.decompressobj(wbits=31).decompress(payload[:4096], 1))
    except zlib.error:
        return False


def _resembles_text(head: bytes) -> bool:
    return len(head) >= 16 and all(byte in b"\t\n\r" or 0x20 <= byte < 0x7F for byte in head)


def _match_nothing(_payload: bytes) -> bool:
    return False


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file, and how it is recognised.

    Attributes:
        what: Its name with the article: ``an MP3 file``.
        fix: What to do with such a file, one sentence.
        resembles: Whether the first bytes of a file are those of this kind.
        container: The short name used when such a file was sent as a payload.
        is_for_certain: Whether a payload begins with a signature of this kind that bare sound
            cannot contain by chance: eight bytes or more, or one as unlikely as that.
        first_bytes: The bytes that such a payload may begin with; empty for any byte.
    """

    what: str
    fix: str
    resembles: Callable[[bytes], bool] = _match_nothing
    container: str = ""
    is_for_certain: Callable[[bytes], bool] = _match_nothing
    first_bytes: bytes = b""


_KINDS = (
    FileKind("a WAV file", USE_LOAD_CLIP, is_wav, "WAV", is_wav, b"RB"),
    FileKind(
        "an MP3 file",
        USE_LOAD_CLIP,
        _compile_start(rb"ID3"),
        "MP3 with an ID3 tag",
        # Version 2 to 4, revision 0, flags, then a size in four bytes below 0x80.
        _compile_start(rb"ID3[\x02-\x04]\x00[\x00-\xf0][\x00-\x7f]{4}"),
        b"I",
    ),
    FileKind(
        "an OGG file",
        USE_LOAD_CLIP,
        _compile_start(rb"OggS"),
        "Ogg",
        # The first page: version 0, beginning of stream, position 0.
        _compile_start(rb"OggS\x00\x02\x00{8}"),
        b"O",
    ),
    FileKind(
        "a FLAC file",
        USE_LOAD_CLIP,
        _compile_start(rb"fLaC"),
        "FLAC",
        # The first block is STREAMINFO, 34 bytes long.
        _compile_start(rb"fLaC[\x00\x80]\x00\x00\x22"),
        b"f",
    ),
    FileKind("an AU file", USE_LOAD_CLIP, _compile_start(rb"\.snd"), "AU", _is_au, b"."),
    FileKind(
        "an AIFF file",
        USE_LOAD_CLIP,
        _is_aiff,
        "AIFF",
        _is_aiff,
        b"F",
    ),
    FileKind(
        "a CAF file",
        USE_LOAD_CLIP,
        _compile_start(rb"caff"),
        "Core Audio",
        _compile_start(rb"caff\x00\x01\x00\x00desc"),
        b"c",
    ),
    FileKind(
        "a W64 file",
        USE_LOAD_CLIP,
        _compile_start(rb"riff\x2e\x91\xcf\x11"),
        "Wave64",
        _compile_start(rb"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\x00\x00"),
        b"r",
    ),
    FileKind(
        "a NIST Sphere file",
        USE_LOAD_CLIP,
        _is_nist,
        "NIST Sphere",
        _is_nist,
        b"N",
    ),
    FileKind(
        "an MP4 or M4A file",
        CONVERT_FIRST,
        _compile_start(rb"....ftyp"),
        "MPEG-4",
        _is_mp4,
    ),
    FileKind(
        "a WebM or Matroska file",
        CONVERT_FIRST,
        _compile_start(rb"\x1aE\xdf\xa3"),
        "WebM or Matroska",
        # An EBML header, and its first element or its size in eight bytes: a version or a type.
        _compile_start(
            rb"\x1aE\xdf\xa3(?:.{1,40}(?:webm|matroska)|[\x81-\xff\x01].{0,7}B[\x82\x86])"
        ),
        b"\x1a",
    ),
    FileKind(
        "an AMR file",
        CONVERT_FIRST,
        _compile_start(rb"#!AMR"),
        "AMR",
        _compile_start(rb"#!AMR(?:-WB)?\n[\x04-\x7c]"),
        b"#",
    ),
    FileKind("a WMA file", CONVERT_FIRST, _compile_start(rb"\x30\x26\xb2\x75")),
    FileKind(
        "an AAC file",
        CONVERT_FIRST,
        # ADTS, with or without a checksum, one or two channels; or ADIF.
        _compile_start(rb"\xff[\xf0\xf1\xf8\xf9][\x40-\x7f][\x40-\x43\x80-\x83]|ADIF"),
    ),
    FileKind("an AVI film", CONVERT_FIRST, _compile_start(rb"RIFF....AVI ")),
    FileKind("a WebP picture", LOOK_AT_IT, _compile_start(rb"RIFF....WEBP")),
    FileKind("a picture", LOOK_AT_IT, _compile_start(rb"\x89PNG|\xff\xd8\xff|GIF8")),
    FileKind("a ZIP archive", "Unpack it first", _compile_start(rb"PK\x03\x04")),
    FileKind(
        "a gzip archive",
        "Unpack it first",
        _compile_start(rb"\x1f\x8b"),
        "gzip",
        # Deflate, known flags only, no flag of the speed but 0, 2 and 4, a system that exists.
        _is_gzip,
        b"\x1f",
    ),
    FileKind("a PDF document", LOOK_AT_IT, _compile_start(rb"%PDF")),
    FileKind(
        "a WAV file written as base64",
        "Decode it: base64.b64decode",
        _compile_start(rb"UklGR|data:audio"),
    ),
    FileKind(
        "a Git LFS pointer",
        "Fetch the file with git lfs pull",
        _compile_start(rb"version https://git-lfs"),
    ),
    FileKind(
        "an HTML page",
        LOOK_AT_IT,
        _compile_start(rb"\s*<(!doctype html|html|head|body)", re.DOTALL | re.IGNORECASE),
    ),
    FileKind(
        "an XML document",
        LOOK_AT_IT,
        _compile_start(rb"\s*<(\?xml|response)", re.DOTALL | re.IGNORECASE),
    ),
    FileKind("JSON", LOOK_AT_IT, _compile_start(rb"\s*[{\[]\s*([\"\[{}\]]|-?\d|$)")),
    FileKind("an MP3 file", USE_LOAD_CLIP, _resembles_mp3, "MP3", _is_mp3, b"\xff"),
    FileKind("a text file", LOOK_AT_IT, _resembles_text),
)
"""All known kinds of file; the first that matches is taken."""

_HEADERLESS = FileKind("headerless: nothing at its beginning says what it is", NAME_THE_ENCODING)

_CONTAINERS = tuple(kind for kind in _KINDS if kind.container)

_CONTAINERS_BY_FIRST_BYTE = tuple(
    tuple(kind for kind in _CONTAINERS if not kind.first_bytes or byte in kind.first_bytes)
    for byte in range(256)
)
"""The containers that a payload may be, by its first byte, in the order of `_KINDS`."""


_FEWEST_LINE_ENDS = 12
"""So many of 0A, all after 0D, are no chance: by chance, one of 256 is."""

_FEWEST_CODES = 48
"""Sound that is no silence has so many codes of a byte."""


def has_line_ends(raw: bytes) -> bool:
    """Whether 0D stands before every 0A of sound, as after a change of LF to CR LF.

    Args:
        raw: The bytes of sound, of linear or of companded samples.
    """
    count = raw.count(b"\n")
    if count < _FEWEST_LINE_ENDS or raw.count(b"\r\n") < count - raw.startswith(b"\n"):
        return False
    # A tone that repeats exactly has few codes, and each always stands after the same one.
    return len(set(raw)) >= _FEWEST_CODES
