"""The chunks of a RIFF file, found by their headers; no chunk is ever read whole.

RIFF is little-endian, RIFX its big-endian twin; RF64 (EBU Tech 3306) and BW64 (ITU-R BS.2088)
keep sizes beyond 4 GB in a chunk of their own, ``ds64``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import BinaryIO, Literal

from twistream_kit.audio.lookalike import not_a_wav
from twistream_kit.audio.source import Opened, read_at
from twistream_kit.errors import WavError

ByteOrder = Literal["little", "big"]

FORMS: dict[bytes, ByteOrder] = {
    b"RIFF": "little",
    b"RIFX": "big",
    b"RF64": "little",
    b"BW64": "little",
}
"""The signatures of a RIFF file, and the order of the bytes in its numbers."""

IN_DS64 = 0xFFFFFFFF
"""In RF64: the size stands in the ``ds64`` chunk.  In RIFF: the writer never knew it."""

HEAD_BYTES = 12
"""What is needed to know a WAV file: its signature, its size, its kind."""

OPEN_SIZES = (0, IN_DS64, 0x7FFFFFFF, 0x7FFFF000)
"""What writers that cannot seek back leave as the size of ``data``: GStreamer 0, ffmpeg all ones,
SoX 0x7FFFF000."""

USUAL_IDS = (b"fmt ", b"fact", b"data", b"LIST", b"bext", b"JUNK", b"id3 ", b"cue ", b"smpl")
"""By which a chunk is known that follows an odd one without padding."""

MOST_CHUNKS = 1000
"""Where the walk gives up: real files have ten chunks, and a header must stay cheap to read."""


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


def is_wav(head: bytes) -> bool:
    """Whether bytes begin as a WAV file does."""
    return head[:4] in FORMS and head[8:HEAD_BYTES] == b"WAVE"


def walk(opened: Opened) -> Riff:
    """Find the chunks of a WAV file.

    Raises:
        WavError: If the file is empty, is something else, or ends within its first 12 bytes.
    """
    file, size = opened.file, opened.size
    head = read_at(file, 0, 64)
    byte_order = FORMS.get(head[:4])
    if byte_order is None or (len(head) >= 12 and head[8:12] != b"WAVE"):
        raise not_a_wav(head, opened.name)
    if len(head) < 12:
        raise WavError(
            f"the file ends after {len(head)} bytes, inside its RIFF header of 12",
            source=opened.name,
            offset=len(head),
            consequence="There is no sound in it",
            fix="Fetch or record it again",
        )
    form = head[:4].decode("ascii")
    declared = int.from_bytes(head[4:8], byte_order) + 8
    chunks, rest, riff_size = _chunks(file, size, form, byte_order)
    return Riff(form, byte_order, riff_size or declared, size, tuple(chunks), rest)


def _chunks(
    file: BinaryIO, size: int, form: str, byte_order: ByteOrder
) -> tuple[list[Chunk], int, int]:
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
        padding = 0 if declared >= room else _padding(file, offset + 8 + declared, declared)
        chunks.append(Chunk(chunk_id, offset, declared, min(declared, room), padding, is_open))
        if chunk_id == "ds64" and form in ("RF64", "BW64"):
            sizes64 = _sizes64(read_at(file, offset + 8, min(declared, 1024)))
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


def _padding(file: BinaryIO, end: int, declared: int) -> int:
    # Some writers forget the padding; then the next chunk is one byte nearer.
    return declared % 2 if read_at(file, end, 4) not in USUAL_IDS else 0


def _is_id(raw: bytes) -> bool:
    return len(raw) == 4 and all(0x20 <= byte < 0x7F for byte in raw) and raw != b"    "


def _sizes64(body: bytes) -> dict[str, int]:
    # EBU Tech 3306 §3.5: RIFF size, data size, number of samples, then a table of other sizes.
    if len(body) < 28:
        return {}
    riff_size, data_size, _, entries = struct.unpack_from("<QQQI", body)
    sizes = {"RIFF": riff_size, "data": data_size}
    for index in range(min(entries, (len(body) - 28) // 12)):
        raw, size = struct.unpack_from("<4sQ", body, 28 + 12 * index)
        sizes[raw.decode("latin-1")] = size
    return sizes
