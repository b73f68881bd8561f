"""The WAV file format: find the chunks and parse the ``fmt `` chunk.

Only headers are read.  RIFF is little-endian, RIFX big-endian; RF64 (EBU Tech 3306) and BW64 (ITU-R
BS.2088) store sizes beyond 4 GB in a separate chunk, ``ds64``.  Format tags and the layout of
``fmt `` are those of Microsoft's mmreg.h; EXTENSIBLE stores the tag in a GUID.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from twistream_kit.errors import WavError
from twistream_kit.sound_file import RIFF_FORMS, WAV_HEAD_BYTES, ByteOrder, Opened, read_at

IN_DS64 = 0xFFFFFFFF
"""In RF64, the size is in the ``ds64`` chunk.  In RIFF, the writer did not know it."""

OPEN_SIZES = (0, IN_DS64, 0x7FFFFFFF, 0x7FFFF000)
"""The sizes of ``data`` that writers leave if they cannot seek back: GStreamer 0, ffmpeg all ones,
SoX 0x7FFFF000."""

USUAL_IDS = (b"fmt ", b"fact", b"data", b"LIST", b"bext", b"JUNK", b"id3 ", b"cue ", b"smpl")
"""The IDs by which a chunk is recognised that follows an odd one without padding."""

MOST_CHUNKS = 1000
"""The largest number of chunks that is read.  Real files have about ten."""

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

    Raises:
        WavError: If the file ends before its format is given.
    """
    riff = walk(opened)
    if riff is None:
        return None
    form = _require_format(opened, riff)
    data = riff.find("data")
    size = data.size if data else 0
    return WavSound(
        riff=riff,
        format=form,
        offset=data.body if data else riff.size,
        size=size,
        missing_bytes=data.missing if data else 0,
        seconds=_compute_duration(opened, riff, form, size),
    )


@dataclass(frozen=True, slots=True)
class WavSound:
    """The position and format of the sound in a WAV file.

    Attributes:
        riff: The chunks of the file.
        format: The contents of its ``fmt `` chunk.
        offset: The offset of the sound; the size of the file if there is none.
        size: The number of bytes of sound in the file, which may be less than its header says.
        missing_bytes: The number of bytes of sound that the file lacks.
        seconds: The duration of the sound in the file.
    """

    riff: Riff
    format: Format
    offset: int
    size: int
    missing_bytes: int
    seconds: float

    @property
    def trailing_bytes(self) -> int:
        """The number of bytes after the sound."""
        return self.riff.size - self.offset - self.size

    @property
    def missing_seconds(self) -> float:
        """The duration of the sound that the file lacks."""
        return self.seconds * self.missing_bytes / self.size if self.size else 0.0


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


def _compute_duration(file: Opened, riff: Riff, form: Format, data_bytes: int) -> float:
    if form.sample_bytes and form.channels and form.sample_rate:
        return data_bytes / (form.sample_bytes * form.channels) / form.sample_rate
    fact = riff.find("fact")
    if fact and fact.size >= 4 and form.sample_rate:
        samples = int.from_bytes(read_at(file.file, fact.body, 4), riff.byte_order)
        data = riff.find("data")
        whole = data.declared if data and data.missing else data_bytes
        return samples / form.sample_rate * (data_bytes / whole if whole else 1.0)
    return data_bytes / form.byte_rate if form.byte_rate else 0.0


def walk(opened: Opened) -> Riff | None:
    """Find the chunks of a WAV file; return None if it is not a WAV file.

    Raises:
        WavError: If the file ends within its first 12 bytes.
    """
    file, size = opened.file, opened.size
    head = read_at(file, 0, WAV_HEAD_BYTES)
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
    form = head[:4].decode("ascii")
    declared = int.from_bytes(head[4:8], byte_order) + 8
    chunks, rest, riff_size = _walk_chunks(file, size, form, byte_order)
    return Riff(form, byte_order, riff_size or declared, size, tuple(chunks), rest)


@dataclass(frozen=True, slots=True)
class Riff:
    """The chunks of a RIFF file.

    Attributes:
        form: ``RIFF``, ``RIFX``, ``RF64`` or ``BW64``.
        byte_order: The byte order of all its numbers, samples included.
        declared: The size of the file by its header, in bytes, the first eight included.
        size: The size of the file in bytes.
        chunks: The chunks, in the order of the file.
        rest: The offset of the bytes that belong to no chunk; `size` if there are none.
    """

    form: str
    byte_order: ByteOrder
    declared: int
    size: int
    chunks: tuple[Chunk, ...]
    rest: int

    def find(self, id: str) -> Chunk | None:  # noqa: A002  the format's own word for it
        """Return the first chunk of that name."""
        return next((chunk for chunk in self.chunks if chunk.id == id), None)

    @property
    def is_open(self) -> bool:
        """Whether the writer could not go back to fill in the sizes."""
        return any(chunk.is_open for chunk in self.chunks)

    @property
    def missing(self) -> int:
        """The number of bytes that the file lacks by its header."""
        return 0 if self.is_open else max(0, self.declared - self.size)


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
            to the end of the file.
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


def _walk_chunks(
    file: BinaryIO, size: int, form: str, byte_order: ByteOrder
) -> tuple[list[Chunk], int, int]:
    """Return the chunks, the offset of the rest, and the file size by ``ds64`` or 0."""
    chunks: list[Chunk] = []
    sizes64: dict[str, int] = {}
    offset = 12
    while offset + 8 <= size and len(chunks) < MOST_CHUNKS:
        head = read_at(file, offset, 8)
        if not _is_id(head[:4]):
            break
        chunk_id = head[:4].decode("ascii")
        declared = int.from_bytes(head[4:], byte_order)
        if declared == IN_DS64 and chunk_id in sizes64:
            declared = sizes64[chunk_id]
        room = size - offset - 8
        is_open = chunk_id == "data" and _is_open(file, offset + 8, declared, room, byte_order)
        if is_open:
            declared = room
        padding = 0 if declared >= room else _measure_padding(file, offset + 8 + declared, declared)
        chunks.append(Chunk(chunk_id, offset, declared, min(declared, room), padding, is_open))
        if chunk_id == "ds64" and form in ("RF64", "BW64"):
            sizes64 = _read_ds64(read_at(file, offset + 8, min(declared, 1024)))
        offset = chunks[-1].end
    riff_size = sizes64["RIFF"] + 8 if "RIFF" in sizes64 else 0
    return chunks, min(offset, size), riff_size


def _is_open(file: BinaryIO, body: int, declared: int, room: int, byte_order: ByteOrder) -> bool:
    if declared not in OPEN_SIZES or declared == room:
        return False
    if declared:
        return declared > room
    # An empty recording also has size 0; then the next chunk follows directly.
    head = read_at(file, body, 8)
    follows = len(head) == 8 and _is_id(head[:4])
    return not (follows and int.from_bytes(head[4:], byte_order) <= room - 8)


def _measure_padding(file: BinaryIO, end: int, declared: int) -> int:
    # Some writers omit the padding; the next chunk then begins one byte earlier.
    return declared % 2 if read_at(file, end, 4) not in USUAL_IDS else 0


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
