"""The WAV file format: find the chunks and parse the ``fmt `` chunk.

RIFF is little-endian, RIFX big-endian; RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088) store sizes
beyond 4 GB in a separate chunk, ``ds64``.  Format tags and the layout of ``fmt `` are those of
Microsoft's mmreg.h; EXTENSIBLE stores the tag in a GUID.

Programs put whole files end to end, headers included, so the sound is searched for further headers.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import BinaryIO

from twistream_kit.errors import WavError
from twistream_kit.sound_file import (
    RIFF_FORMS,
    WAV_HEAD_BYTES,
    ByteOrder,
    Opened,
    find_wav_headers,
    is_wav,
    read_at,
)

IN_DS64 = 0xFFFFFFFF
"""In RF64, the size is in the ``ds64`` chunk.  In RIFF, the writer did not know it."""

OPEN_SIZES = (0, IN_DS64, 0x7FFFFFFF, 0x7FFFF000)
"""The sizes of ``data`` that writers leave if they cannot seek back: GStreamer 0, ffmpeg all ones,
SoX 0x7FFFF000.  `is_placeholder` knows more of them."""

USUAL_IDS = (b"fmt ", b"fact", b"data", b"LIST", b"bext", b"JUNK", b"id3 ", b"cue ", b"smpl")
"""The IDs by which a chunk is recognised that follows an odd one without padding."""

MOST_CHUNKS = 1000
"""The largest number of chunks that is read.  Real files have about ten."""

MOST_FILES = 100_000
"""The largest number of WAV files, put end to end, that is read: half an hour in pieces of 20
ms."""

SEARCHED_BYTES = 1 << 26
"""Sound up to this size is searched for the headers of further files; 64 MB take 0.02 s.  Longer
sound is searched only if its size was left open."""

_FIRST_IDS = (*USUAL_IDS, b"ds64", b"JUNQ", b"PAD ", b"junk", b"FLLR", b"PEAK", b"iXML")
"""The IDs of chunks with which a WAV file begins."""

_ROUND = 100_000_000
"""Sizes in whole hundreds of millions are written by people, not counted by programs."""

_POWERS = (1 << 28, 1 << 29, 1 << 30)

_SLACK, _LIMIT_SLACK = 128, 65_536
"""How far a placeholder is below a round number, or below 2 and 4 GB: by a header, mostly."""

EXTENSIBLE = 0xFFFE
"""The format tag that refers to the sub-format at the end of a longer ``fmt `` chunk."""

ENCODINGS = {
    0x0001: "PCM",
    0x0002: "ADPCM_MS",
    0x0003: "IEEE_FLOAT",
    0x0006: "PCMA",
    0x0007: "PCMU",
    0x0011: "ADPCM_IMA",
    0x0031: "GSM",
    0x0040: "ADPCM_G721",
    0x0050: "MPEG",
    0x0055: "MP3",
    0x00FF: "AAC",
    0x0161: "WMA",
}
"""The names of format tags, as RTP (RFC 3551) and this package use them."""

EXPLAINED = {
    "PCM": "linear samples",
    "IEEE_FLOAT": "linear samples as floating-point numbers in [-1, 1]",
    "PCMU": "G.711 μ-law, what a call takes",
    "PCMA": "G.711 A-law, the European relative of μ-law",
    "GSM": "GSM 6.10, compressed",
    "EXTENSIBLE": "the encoding stands in the sub-format below",
}
"""The explanations of encodings in a report."""

LINEAR_BYTES = {
    "PCM": (1, 2, 3, 4),
    "IEEE_FLOAT": (4, 8),
    "PCMU": (1,),
    "PCMA": (1,),
}
"""The encodings that are decoded here, with the possible sizes of a sample in bytes."""

# The sub-format GUID of an ordinary encoding is its tag followed by these bytes.
_GUID_TAIL = bytes.fromhex("0000 0000 1000 8000 00AA00389B71")

# The same in RIFX, where the first three numbers of the GUID have their high byte first.
_GUID_HEAD_BIG, _GUID_TAIL_BIG = bytes(2), bytes.fromhex("0000 0010 8000 00AA00389B71")


def find_sound(opened: Opened) -> WavSound | None:
    """Find the sound in a WAV file and its format; return None if it is not a WAV file.

    Several files that were put end to end, headers included, are read as one.

    Raises:
        WavError: If the file ends before its format is given.
    """
    first = walk(opened)
    if first is None:
        return None
    riffs = [first]
    while riffs[-1].is_followed and len(riffs) < MOST_FILES:
        following = walk(opened, riffs[-1].size)
        assert following is not None  # noqa: S101  there is a header, or it would not be followed
        riffs.append(following)
    parts = [part for riff in riffs if (part := _find_part(opened, riff)) and part.size]
    if not parts:
        form, data = _require_format(opened, first), first.find("data")
        parts.append(WavPart(first, form, data.body if data else first.size, 0, 0, 0))
    return WavSound(tuple(riffs), tuple(parts), opened.size)


@dataclass(frozen=True, slots=True)
class WavSound:
    """The position and format of the sound in a WAV file, or in several put end to end.

    Attributes:
        riffs: The chunks of each file.
        parts: The sound of each file that holds some; if none does, one of size 0.
        file_size: The size of the whole in bytes.
    """

    riffs: tuple[Riff, ...]
    parts: tuple[WavPart, ...]
    file_size: int

    @property
    def format(self) -> Format:
        """The format of the first part."""
        return self.parts[0].format

    @property
    def offset(self) -> int:
        """The offset of the sound; the size of the file if there is none."""
        return self.parts[0].offset

    @property
    def size(self) -> int:
        """The number of bytes of sound in the file, which may be less than its header says."""
        return sum(part.size for part in self.parts)

    @property
    def missing_bytes(self) -> int:
        """The number of bytes of sound that the file lacks."""
        return sum(part.missing_bytes for part in self.parts)

    @property
    def seconds(self) -> float:
        """The duration of the sound in the file."""
        return sum(part.seconds for part in self.parts)

    @property
    def missing_seconds(self) -> float:
        """The duration of the sound that the file lacks."""
        return sum(part.missing_seconds for part in self.parts)

    @property
    def trailing_bytes(self) -> int:
        """The number of bytes after the sound."""
        last = self.parts[-1]
        return self.file_size - last.offset - last.size

    @property
    def rest_bytes(self) -> int:
        """The number of bytes at the end that belong to no chunk."""
        return self.riffs[-1].size - self.riffs[-1].rest


@dataclass(frozen=True, slots=True)
class WavPart:
    """The sound of one WAV file.

    Attributes:
        riff: The chunks of the file.
        format: The contents of its ``fmt `` chunk.
        offset: The offset of the sound.
        size: The number of bytes of sound.
        missing_bytes: The number of bytes of sound that the file lacks.
        n_samples: The number of samples in each channel, or 0 if only decoding can tell.
    """

    riff: Riff
    format: Format
    offset: int
    size: int
    missing_bytes: int
    n_samples: int

    @property
    def seconds(self) -> float:
        """The duration of the sound."""
        rate = self.format.sample_rate
        return self.n_samples / rate if rate else 0.0

    @property
    def missing_seconds(self) -> float:
        """The duration of the sound that the file lacks."""
        return self.seconds * self.missing_bytes / self.size if self.size else 0.0


def _find_part(file: Opened, riff: Riff) -> WavPart | None:
    chunk, data = riff.find("fmt "), riff.find("data")
    if chunk is None or chunk.size < 16 or data is None:
        return None
    form = _require_format(file, riff)
    n_samples = _count_samples(file, riff, form, data)
    return WavPart(riff, form, data.body, data.size, data.missing, n_samples)


def _require_format(file: Opened, riff: Riff) -> Format:
    chunk = riff.find("fmt ")
    if chunk is None:
        raise WavError(
            "the file ends before its fmt chunk"
            if riff.rest >= riff.size - 8
            else "no fmt chunk is left of it: what follows is no chunk",
            source=file.name,
            offset=riff.rest,
            consequence="Nothing says how the sound is written",
            fix="Fetch or record it again",
        )
    if chunk.size < 16:
        raise WavError(
            f"its fmt chunk has {chunk.size} bytes; 16 are the least",
            source=file.name,
            offset=chunk.body + chunk.size,
            consequence="Nothing says how the sound is written",
            fix="Fetch or record it again",
        )
    return read_format(read_at(file.file, chunk.body, min(chunk.size, 40)), riff.byte_order)


def _count_samples(file: Opened, riff: Riff, form: Format, data: Chunk) -> int:
    if form.sample_bytes and form.channels:
        return data.size // (form.sample_bytes * form.channels)
    fact = riff.find("fact")
    promised = 0
    if fact and fact.size >= 4:
        promised = int.from_bytes(read_at(file.file, fact.body, 4), riff.byte_order)
    block, in_block = form.block
    if in_block:
        # Whole blocks count, whatever the fact chunk says, but the last may be filled up.
        there = data.size // block * in_block
        return promised if there - in_block < promised < there else there
    whole = data.declared if data.missing else data.size
    promised = int(promised * data.size / whole) if whole else 0
    by_rate = int(data.size / form.byte_rate * form.sample_rate) if form.byte_rate else 0
    is_near = abs(promised - by_rate) <= max(by_rate / 20, 4096)
    return promised if promised and (is_near or not by_rate) else by_rate


def walk(opened: Opened, start: int = 0) -> Riff | None:
    """Find the chunks of a WAV file; return None if it is not a WAV file.

    Args:
        opened: The file.
        start: Where the WAV file begins in it.

    Raises:
        WavError: If the file ends within its first 12 bytes.
    """
    file, size = opened.file, opened.size
    head = read_at(file, start, WAV_HEAD_BYTES)
    byte_order = RIFF_FORMS.get(head[:4])
    if byte_order is None or (len(head) == WAV_HEAD_BYTES and head[8:] != b"WAVE"):
        return None
    if len(head) < WAV_HEAD_BYTES:
        raise WavError(
            f"the file ends after {len(head)} bytes, inside its RIFF header of 12",
            source=opened.name,
            offset=len(head),
            consequence="There is no sound in it",
            fix="Fetch or record it again",
        )
    walker = _Walker(file, start, size, head[:4].decode("ascii"), byte_order)
    walker.declared = int.from_bytes(head[4:8], byte_order) + 8
    return walker.walk()


@dataclass(frozen=True, slots=True)
class Riff:
    """The chunks of a RIFF file.

    Attributes:
        form: ``RIFF``, ``RIFX``, ``RF64`` or ``BW64``.
        byte_order: The byte order of all its numbers, samples included.
        declared: The size of the file by its header, in bytes, the first eight included.
        size: The offset after its last byte: the size of the file, unless another follows.
        chunks: The chunks, in the order of the file.
        rest: The offset of the bytes that belong to no chunk; `size` if there are none.
        start: The offset of its first byte.
        is_followed: Whether another WAV file follows, or begins inside its sound.
    """

    form: str
    byte_order: ByteOrder
    declared: int
    size: int
    chunks: tuple[Chunk, ...]
    rest: int
    start: int = 0
    is_followed: bool = False

    def find(self, id: str) -> Chunk | None:  # noqa: A002  the format's own word for it
        """Return the first chunk of that name."""
        return next((chunk for chunk in self.chunks if chunk.id == id), None)

    @property
    def is_open(self) -> bool:
        """Whether the writer could not go back to fill in the sizes."""
        there = self.size - self.start
        return is_placeholder(self.declared - 8, there) or any(
            chunk.is_open for chunk in self.chunks
        )

    @property
    def is_wrapper(self) -> bool:
        """Whether the header of another WAV file stands where its sound should begin."""
        data = self.find("data")
        return self.is_followed and data is not None and data.body == self.size

    @property
    def missing(self) -> int:
        """The number of bytes that the file lacks by its header."""
        lacking = self.declared - (self.size - self.start)
        return 0 if self.is_open or self.is_followed else max(0, lacking)


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk of a RIFF file.

    Attributes:
        id: Its ID of four characters; that of ``fmt `` ends with a space.
        offset: The offset of its header, which has eight bytes.
        declared: The size of its body by its header, in bytes.
        size: The size of its body in the file, in bytes.
        padding: 1 if a padding byte follows an odd size, else 0.
        is_open: Whether the writer left the size of a ``data`` chunk open; the chunk then extends
            to the end of the file, or to the next header.
    """

    id: str
    offset: int
    declared: int
    size: int
    padding: int = 0
    is_open: bool = False

    @property
    def body(self) -> int:
        """The offset of its first byte after the header."""
        return self.offset + 8

    @property
    def end(self) -> int:
        """The offset after its last byte and its padding."""
        return self.body + self.declared + self.padding

    @property
    def missing(self) -> int:
        """The number of bytes of its body that the file lacks."""
        return self.declared - self.size


@dataclass(slots=True)
class _Walker:
    """Walks over the chunks of the WAV file that begins at `start`, up to the next one."""

    file: BinaryIO
    start: int
    size: int
    form: str
    byte_order: ByteOrder
    declared: int = 0
    chunks: list[Chunk] = field(default_factory=list)
    sizes64: dict[str, int] = field(default_factory=dict)

    def walk(self) -> Riff:
        offset, following = self.start + WAV_HEAD_BYTES, None
        while following is None and offset + 8 <= self.size and len(self.chunks) < MOST_CHUNKS:
            head = read_at(self.file, offset, WAV_HEAD_BYTES)
            if is_wav(head):
                following = offset
            elif not _is_id(head[:4]):
                break
            else:
                following = self.take_chunk(offset, head)
                offset = self.chunks[-1].end
        if following is None and offset < self.size:
            end = min(self.size, offset + SEARCHED_BYTES)
            following = _find_header(self.file, offset, end)
        end = self.size if following is None else following
        if "RIFF" in self.sizes64 and not is_placeholder(self.sizes64["RIFF"], self.size):
            self.declared = self.sizes64["RIFF"] + 8
        return Riff(
            self.form,
            self.byte_order,
            self.declared,
            end,
            tuple(self.chunks),
            min(offset, end),
            self.start,
            following is not None,
        )

    def take_chunk(self, offset: int, head: bytes) -> int | None:
        """Add the chunk at `offset`; return where another WAV file begins inside it."""
        chunk_id, declared = head[:4].decode("ascii"), int.from_bytes(head[4:8], self.byte_order)
        if declared == IN_DS64 and chunk_id in self.sizes64:
            declared = self.sizes64[chunk_id]
        body, room = offset + 8, self.size - offset - 8
        is_open = chunk_id == "data" and self.is_open(body, declared, room)
        if is_open:
            declared = room
        if chunk_id == "data" and (at := self.find_inside(body, min(declared, room), is_open)):
            self.chunks.append(Chunk(chunk_id, offset, at - body, at - body, 0, is_open=True))
            return at
        padding = 0 if declared >= room else _measure_padding(self.file, body + declared, declared)
        self.chunks.append(Chunk(chunk_id, offset, declared, min(declared, room), padding, is_open))
        if chunk_id == "ds64" and self.form in ("RF64", "BW64"):
            self.sizes64 = _read_ds64(read_at(self.file, body, min(declared, 1024)))
        return None

    def is_open(self, body: int, declared: int, room: int) -> bool:
        """Whether the size of a ``data`` chunk was left open."""
        if declared > room:
            return is_placeholder(declared, room)
        if declared or not room:
            return False
        # An empty recording also has size 0; then the next chunk follows directly.
        head = read_at(self.file, body, WAV_HEAD_BYTES)
        follows = len(head) >= 8 and _is_id(head[:4]) and not is_wav(head)
        return not (follows and int.from_bytes(head[4:8], self.byte_order) <= room - 8)

    def find_inside(self, body: int, size: int, is_open: bool) -> int | None:
        """Return where another WAV file begins in the sound."""
        is_searched = is_open or size <= SEARCHED_BYTES
        return _find_header(self.file, body, body + (size if is_searched else min(size, 64)))


def is_placeholder(size: int, room: int) -> bool:
    """Whether a size was written by a program that did not know it, because it cannot seek back.

    Known are those near 2 and 4 GB, and whole hundreds of millions; all of them are much more than
    the `room` in the file, or what stands there might only be cut off.
    """
    if size <= room:
        return False
    if size in OPEN_SIZES or size >= 1 << 62:
        return True
    below = [limit - size for limit in (1 << 31, 1 << 32)]
    is_limit = any(-_SLACK <= each <= _LIMIT_SLACK for each in below) or size in _POWERS
    is_round = size > _ROUND - _SLACK and (size + _SLACK) % _ROUND <= 2 * _SLACK
    return (is_limit or is_round) and room * 2 < size


def _find_header(file: BinaryIO, begin: int, end: int) -> int | None:
    """Return where the header of a WAV file begins, with a chunk after it."""
    step = 1 << 20
    for offset in range(begin, end, step):
        block = read_at(file, offset, min(step, end - offset) + WAV_HEAD_BYTES + 4)
        for at in find_wav_headers(block):
            if (
                at < min(step, end - offset)
                and block[at + WAV_HEAD_BYTES : at + WAV_HEAD_BYTES + 4] in _FIRST_IDS
            ):
                return offset + at
    return None


def _measure_padding(file: BinaryIO, end: int, declared: int) -> int:
    # Some writers omit the padding; the next chunk then begins one byte earlier.
    follows = read_at(file, end, 4)
    return declared % 2 if follows not in USUAL_IDS and follows not in RIFF_FORMS else 0


def _is_id(raw: bytes) -> bool:
    return len(raw) == 4 and all(0x20 <= byte < 0x7F for byte in raw) and raw != b"    "


def _read_ds64(body: bytes) -> dict[str, int]:
    # EBU Tech 3306 §3.5: RIFF size, data size, number of samples, then a table of other sizes.
    if len(body) < 28:
        return {}
    riff_size, data_size, _, entries = struct.unpack_from("<QQQI", body)
    sizes = {"RIFF": riff_size, "data": data_size}
    for index in range(min(entries, (len(body) - 28) // 12)):
        raw, size = struct.unpack_from("<4sQ", body, 28 + 12 * index)
        sizes[raw.decode("latin-1")] = size
    return sizes


def read_format(body: bytes, byte_order: ByteOrder) -> Format:
    """Read the body of a ``fmt `` chunk of at least 16 bytes."""

    def read_number(start: int, size: int) -> int:
        return int.from_bytes(body[start : start + size], byte_order)

    tag = read_number(0, 2)
    encoding = name_encoding(tag)
    if tag == EXTENSIBLE and len(body) >= 40:
        encoding = name_sub_format(body[24:40], byte_order)
    return Format(
        encoding=encoding,
        channels=read_number(2, 2),
        sample_rate=read_number(4, 4),
        byte_rate=read_number(8, 4),
        block_align=read_number(12, 2),
        bits_per_sample=read_number(14, 2),
        byte_order=byte_order,
    )


@dataclass(frozen=True, slots=True)
class Format:
    """The contents of a ``fmt `` chunk.

    Attributes:
        encoding: ``PCM``, ``PCMU``, ``PCMA``, ``IEEE_FLOAT``, … or ``0x1234`` for an unknown tag.
        channels: The number of channels.
        sample_rate: The sample rate in Hz.
        bits_per_sample: The bits of a sample; in an EXTENSIBLE file the size of the container.
        block_align: The bytes of one sample of all channels.
        byte_rate: The bytes a second.
        byte_order: The byte order of the samples.
    """

    encoding: str
    channels: int
    sample_rate: int
    bits_per_sample: int
    block_align: int
    byte_rate: int
    byte_order: ByteOrder

    @property
    def sample_bytes(self) -> int:
        """The bytes of one sample of one channel, or 0 if the encoding has no fixed size.

        It follows from `block_align`, because 24 bits may be stored in 4 bytes; if that is wrong,
        from `bits_per_sample`.
        """
        legal = LINEAR_BYTES.get(self.encoding, ())
        if self.channels and self.block_align % self.channels == 0:
            size = self.block_align // self.channels
            if size in legal and 8 * size >= self.bits_per_sample:
                return size
        size = 1 if self.encoding in ("PCMU", "PCMA") else (self.bits_per_sample + 7) // 8
        return size if size in legal else 0

    @property
    def block(self) -> tuple[int, int]:
        """The bytes of a block of a compressed encoding, and its samples; 0 if it has no such."""
        size, channels = self.block_align, max(self.channels, 1)
        match self.encoding:
            case "ADPCM_IMA" if size > 4 * channels:
                return size, (size - 4 * channels) * 2 // channels + 1
            case "ADPCM_MS" if size > 7 * channels:
                return size, (size - 7 * channels) * 2 // channels + 2
            case "GSM":
                return 65, 320
            case "ADPCM_G721" if self.bits_per_sample == 4:
                return 1, 2
        return 0, 0

    @property
    def description(self) -> str:
        """The encoding in a few words, ``PCM, 16 bit, stereo, 44100 Hz``."""
        bits = f", {self.bits_per_sample} bit" if self.bits_per_sample else ""
        how_many = {1: "mono", 2: "stereo"}.get(self.channels, f"{self.channels} channels")
        return f"{self.encoding}{bits}, {how_many}, {self.sample_rate} Hz"

    def __repr__(self) -> str:
        return f"<Format {self.description}>"


def name_encoding(tag: int) -> str:
    """Return the name of a format tag."""
    return "EXTENSIBLE" if tag == EXTENSIBLE else ENCODINGS.get(tag, f"0x{tag:04X}")


def name_sub_format(guid: bytes, byte_order: ByteOrder) -> str:
    """Return the name of an EXTENSIBLE sub-format, or its GUID in hex if it is not ordinary."""
    # In a RIFX file, SoX swaps the bytes of the tag only and leaves the rest as in RIFF.
    if guid[2:] == _GUID_TAIL:
        return name_encoding(int.from_bytes(guid[:2], byte_order))
    if byte_order == "big" and guid[:2] == _GUID_HEAD_BIG and guid[4:] == _GUID_TAIL_BIG:
        return name_encoding(int.from_bytes(guid[2:4], "big"))
    return f"GUID {guid.hex()}"
