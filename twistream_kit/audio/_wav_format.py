"""The format of WAV files: their chunks, found by their headers, and what the ``fmt `` chunk says.

No chunk is ever read whole.  RIFF is little-endian, RIFX its big-endian twin; RF64 (EBU Tech 3306)
and BW64 (ITU-R BS.2088) keep sizes beyond 4 GB in a chunk of their own, ``ds64``.  Format tags and
the layout of ``fmt `` are those of Microsoft's mmreg.h; EXTENSIBLE hides the tag in a GUID.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO

from twistream_kit.errors import WavError
from twistream_kit.sound_file import RIFF_FORMS, WAV_HEAD_BYTES, ByteOrder, Opened, read_at

IN_DS64 = 0xFFFFFFFF
"""In RF64: the size stands in the ``ds64`` chunk.  In RIFF: the writer never knew it."""

OPEN_SIZES = (0, IN_DS64, 0x7FFFFFFF, 0x7FFFF000)
"""What writers that cannot seek back leave as the size of ``data``: GStreamer 0, ffmpeg all ones,
SoX 0x7FFFF000."""

USUAL_IDS = (b"fmt ", b"fact", b"data", b"LIST", b"bext", b"JUNK", b"id3 ", b"cue ", b"smpl")
"""By which a chunk is known that follows an odd one without padding."""

MOST_CHUNKS = 1000
"""Where the walk gives up: real files have ten chunks, and a header must stay cheap to read."""

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
"""Format tags, under the names by which RTP (RFC 3551) and this package know them."""

EXPLAINED = {
    "PCM": "linear samples",
    "IEEE_FLOAT": "linear samples as floating-point numbers in [-1, 1]",
    "PCMU": "G.711 μ-law, what a call takes",
    "PCMA": "G.711 A-law, the European relative of μ-law",
    "GSM": "GSM 6.10, compressed",
    "EXTENSIBLE": "the encoding stands in the sub-format below",
}
"""What is worth saying of an encoding in a report on a file."""

LINEAR_BYTES = {
    "PCM": (1, 2, 3, 4),
    "IEEE_FLOAT": (4, 8),
    "PCMU": (1,),
    "PCMA": (1,),
}
"""The encodings that are decoded here, and how many bytes one sample may take."""

# The tag in front of this tail makes the sub-format GUID of an ordinary encoding.
_GUID_TAIL = bytes.fromhex("0000 0000 1000 8000 00AA00389B71")

# The same in RIFX, where the first three numbers of the GUID have their high byte first.
_GUID_HEAD_BIG, _GUID_TAIL_BIG = bytes(2), bytes.fromhex("0000 0010 8000 00AA00389B71")


def find_sound(opened: Opened) -> WavSound | None:
    """Find the sound in a WAV file and how it is written; None if it does not begin as one.

    Raises:
        WavError: If it ends before that is said.
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
        seconds=_duration(opened, riff, form, size),
    )


@dataclass(frozen=True, slots=True)
class WavSound:
    """The sound in a WAV file.

    Attributes:
        riff: The chunks of the file.
        format: What its ``fmt `` chunk says.
        offset: Where the sound begins; the size of the file if there is none.
        size: How many bytes of sound there are, in fact and not by the header.
        missing_bytes: How many bytes of sound the header promises and the file does not hold.
        seconds: How long what is there lasts.
    """

    riff: Riff
    format: Format
    offset: int
    size: int
    missing_bytes: int
    seconds: float

    @property
    def trailing_bytes(self) -> int:
        """How many bytes follow the sound."""
        return self.riff.size - self.offset - self.size

    @property
    def missing_seconds(self) -> float:
        """How much sound the header promises and the file does not hold."""
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


def _duration(file: Opened, riff: Riff, form: Format, data_bytes: int) -> float:
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
    """Find the chunks of a WAV file; return None if it does not begin as one.

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
    """A RIFF file by its chunks.

    Attributes:
        form: ``RIFF``, ``RIFX``, ``RF64`` or ``BW64``.
        byte_order: Of every number in it, samples included.
        declared: The size of the whole that its header claims, in bytes, the first eight included.
        size: The size of the file in bytes.
        chunks: In the order of the file.
        rest: Where the bytes begin that belong to no chunk; `size` when there are none.
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
        """How many bytes the file is shorter than its header claims."""
        return 0 if self.is_open else max(0, self.declared - self.size)


@dataclass(frozen=True, slots=True)
class Chunk:
    """One chunk, by its header.

    Attributes:
        id: Its four characters, ``fmt`` with a blank at the end.
        offset: Where its eight bytes of header begin.
        declared: The size of its body as the file says, in bytes.
        size: What is there of its body, in bytes.
        padding: 1 when a byte follows that makes an odd size even, else 0.
        is_open: The writer left the size of a ``data`` chunk open; it lasts to the end of the file.
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
        """The offset after its last byte and the padding that makes its size even."""
        return self.body + self.declared + self.padding

    @property
    def missing(self) -> int:
        """How many bytes of its body the file lacks."""
        return self.declared - self.size


def _walk_chunks(
    file: BinaryIO, size: int, form: str, byte_order: ByteOrder
) -> tuple[list[Chunk], int, int]:
    """Return the chunks, the offset of the rest, and the size of the whole by ``ds64`` or 0."""
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
        padding = 0 if declared >= room else _padding_after(file, offset + 8 + declared, declared)
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
    # Size 0 is also what an empty recording has; then the next chunk follows at once.
    head = read_at(file, body, 8)
    follows = len(head) == 8 and _is_id(head[:4])
    return not (follows and int.from_bytes(head[4:], byte_order) <= room - 8)


def _padding_after(file: BinaryIO, end: int, declared: int) -> int:
    # Some writers forget the padding; then the next chunk is one byte nearer.
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

    def number(start: int, size: int) -> int:
        return int.from_bytes(body[start : start + size], byte_order)

    tag = number(0, 2)
    encoding = encoding_name(tag)
    if tag == EXTENSIBLE and len(body) >= 40:
        encoding = sub_format_name(body[24:40], byte_order)
    return Format(
        encoding=encoding,
        channels=number(2, 2),
        sample_rate=number(4, 4),
        byte_rate=number(8, 4),
        block_align=number(12, 2),
        bits_per_sample=number(14, 2),
        byte_order=byte_order,
    )


@dataclass(frozen=True, slots=True)
class Format:
    """A ``fmt `` chunk, understood.

    Attributes:
        encoding: ``PCM``, ``PCMU``, ``PCMA``, ``IEEE_FLOAT``, … or ``0x1234`` for an unknown tag.
        channels: As stated.
        sample_rate: In Hz, as stated.
        bits_per_sample: As stated; of an EXTENSIBLE file the size of the container.
        block_align: Bytes of one sample of all channels, as stated.
        byte_rate: Bytes a second, as stated.
        byte_order: Of the samples.
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
        """How many bytes one sample of one channel takes, or 0 when its encoding has no such size.

        `block_align` decides, since 24 bits may lie in 4 bytes; writers that leave it wrong are
        corrected by `bits_per_sample`.
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


def encoding_name(tag: int) -> str:
    """Return the name of a format tag."""
    return "EXTENSIBLE" if tag == EXTENSIBLE else ENCODINGS.get(tag, f"0x{tag:04X}")


def sub_format_name(guid: bytes, byte_order: ByteOrder) -> str:
    """Return the name of an EXTENSIBLE sub-format, or its GUID in hex if it is not ordinary."""
    # SoX turns only the tag round in a RIFX file, and leaves the tail as it is in RIFF.
    if guid[2:] == _GUID_TAIL:
        return encoding_name(int.from_bytes(guid[:2], byte_order))
    if byte_order == "big" and guid[:2] == _GUID_HEAD_BIG and guid[4:] == _GUID_TAIL_BIG:
        return encoding_name(int.from_bytes(guid[2:4], "big"))
    return f"GUID {guid.hex()}"
