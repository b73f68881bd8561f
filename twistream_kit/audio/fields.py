"""Every byte of a WAV file in front of and behind its sound, named."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from twistream_kit.audio.formats import EXPLAINED, EXTENSIBLE, encoding_name, sub_format_name
from twistream_kit.audio.source import read_at
from twistream_kit.audio.wav_format import Chunk, Riff

SHOWN = 64
"""How many bytes of a skipped body are read, to be shown."""


NOT_NEEDED = "not needed for the sound"


@dataclass(frozen=True, slots=True)
class Field:
    """One field of a file.

    Attributes:
        offset: Where it begins, in bytes from the beginning of the file.
        size: How many bytes it takes.
        raw: Those bytes; of a long body only the first 64, of the sound itself none.
        chunk: The chunk that it belongs to, ``fmt ``; empty behind the last.
        name: Its name, ``sample_rate``.
        value: What it says: a number, a text, or None for a body that is not looked into.
        meaning: What that means, in words.
    """

    offset: int
    size: int
    raw: bytes
    chunk: str
    name: str
    value: int | str | None
    meaning: str


def read_fields(file: BinaryIO, riff: Riff) -> list[Field]:
    """Name the bytes of a file; together the fields cover all of it, without gaps.

    The body of ``data`` is one field and is not read.
    """
    reader = _Reader(file, riff)
    fields = list(reader.riff_header())
    for chunk in riff.chunks:
        fields += reader.chunk(chunk)
    if riff.rest < riff.size:
        meaning = (
            "belongs to no chunk"
            if riff.size - riff.rest > 7
            else "the rest of a chunk, or of its padding"
        )
        fields.append(reader.body("", "rest", riff.rest, riff.size - riff.rest, meaning))
    return fields


class _Reader:
    """Names the bytes of one file, chunk by chunk."""

    def __init__(self, file: BinaryIO, riff: Riff) -> None:
        self.file = file
        self.riff = riff

    def riff_header(self) -> Iterator[Field]:
        form = {
            "RIFF": "a RIFF file: numbers with the low byte first",
            "RIFX": "a RIFX file: numbers with the high byte first, rare",
        }.get(self.riff.form, "a RIFF file of more than 4 GB; its sizes stand in ds64")
        yield self.text("RIFF", "form", 0, 4, form)
        meaning = "bytes after this field"
        if self.riff.is_open:
            meaning = "not to be relied on: the writer could not go back"
        elif self.riff.missing:
            meaning += f"; {self.riff.missing} of them are missing"
        yield self.number("RIFF", "size", 4, 4, meaning)
        yield self.text("RIFF", "type", 8, 4, "the RIFF file is a WAV file")

    def chunk(self, chunk: Chunk) -> Iterator[Field]:
        meaning = _CHUNKS.get(chunk.id, NOT_NEEDED)
        yield self.text(chunk.id, "id", chunk.offset, 4, meaning)
        meaning = "bytes in this chunk"
        if chunk.is_open:
            meaning = "left open by the writer: the sound lasts to the end of the file"
        elif chunk.missing:
            meaning += f"; {chunk.missing} of them are missing"
        yield self.number(chunk.id, "size", chunk.offset + 4, 4, meaning)
        yield from self.contents(chunk)
        if chunk.padding:
            meaning = "makes the size even; not sound"
            yield self.number(chunk.id, "padding", chunk.end - 1, 1, meaning)

    def contents(self, chunk: Chunk) -> Iterator[Field]:
        start = chunk.body
        if chunk.id == "fmt " and chunk.size >= 16:
            yield from self.format(chunk)
        elif chunk.id == "fact" and chunk.size >= 4:
            yield self.number("fact", "n_samples", start, 4, "samples in each channel")
            yield from self.remainder(chunk, 4)
        elif chunk.id == "ds64" and chunk.size >= 28:
            yield self.number("ds64", "riff_size", start, 8, "the size of the whole, less 8")
            yield self.number("ds64", "data_size", start + 8, 8, "the size of data")
            yield self.number("ds64", "n_samples", start + 16, 8, "samples in each channel")
            yield self.number("ds64", "table", start + 24, 4, "sizes of further chunks")
            yield from self.remainder(chunk, 28)
        elif chunk.id == "data" and chunk.size:
            yield Field(start, chunk.size, b"", "data", "sound", None, "the sound")
        elif chunk.id == "LIST" and chunk.size >= 4:
            yield self.text("LIST", "type", start, 4, "what kind of remarks follows")
            yield from self.remainder(chunk, 4)
        else:
            yield from self.remainder(chunk, 0)

    def format(self, chunk: Chunk) -> Iterator[Field]:
        start = chunk.body
        tag = int.from_bytes(read_at(self.file, start, 2), self.riff.byte_order)
        name = encoding_name(tag)
        meaning = f"{name}: {EXPLAINED[name]}" if name in EXPLAINED else name
        yield self.number("fmt ", "format_tag", start, 2, meaning)
        for field_name, at, size, words in _FORMAT:
            yield self.number("fmt ", field_name, start + at, size, words)
        done = 16
        if chunk.size >= 18:
            yield self.number("fmt ", "extra_size", start + 16, 2, "bytes of fmt that follow")
            done = 18
        if tag == EXTENSIBLE and chunk.size >= 40:
            yield self.number(
                "fmt ", "valid_bits", start + 18, 2, "of each sample, the rest is padding"
            )
            yield self.number("fmt ", "channel_mask", start + 20, 4, "which loudspeakers")
            raw = read_at(self.file, start + 24, 16)
            name = sub_format_name(raw, self.riff.byte_order)
            meaning = EXPLAINED.get(name, "the encoding")
            yield Field(start + 24, 16, raw, "fmt ", "sub_format", name, meaning)
            done = 40
        yield from self.remainder(chunk, done)

    def remainder(self, chunk: Chunk, done: int) -> Iterator[Field]:
        if chunk.size > done:
            meaning = _CHUNKS.get(chunk.id, NOT_NEEDED)
            yield self.body(chunk.id, "body", chunk.body + done, chunk.size - done, meaning)

    def body(self, chunk: str, name: str, offset: int, size: int, meaning: str) -> Field:
        raw = read_at(self.file, offset, min(size, SHOWN))
        text = raw.rstrip(b"\0")
        is_text = len(text) > 3 and all(0x20 <= byte < 0x7F or byte == 0 for byte in text)
        value = text.decode("ascii").replace("\0", " ") if is_text else None
        return Field(offset, size, raw, chunk, name, value, meaning)

    def number(self, chunk: str, name: str, offset: int, size: int, meaning: str) -> Field:
        raw = read_at(self.file, offset, size)
        value = int.from_bytes(raw, self.riff.byte_order)
        return Field(offset, size, raw, chunk, name, value, meaning)

    def text(self, chunk: str, name: str, offset: int, size: int, meaning: str) -> Field:
        raw = read_at(self.file, offset, size)
        return Field(offset, size, raw, chunk, name, raw.decode("latin-1"), meaning)


_FORMAT = (
    ("channels", 2, 2, "channels; a call has one"),
    ("sample_rate", 4, 4, "samples a second in each channel; a call has 8000"),
    ("byte_rate", 8, 4, "bytes a second"),
    ("block_align", 12, 2, "bytes for one sample of all channels"),
    ("bits_per_sample", 14, 2, "bits for one sample of one channel"),
)

_CHUNKS = {
    "fmt ": "how the sound is written",
    "fact": "how many samples there are",
    "data": "the sound begins after the size",
    "ds64": "the sizes that do not fit 32 bits",
    "LIST": "remarks: title, artist, software and the like",
    "bext": "broadcast remarks: originator, date and time",
    "JUNK": "room kept free by the writer",
    "cue ": "positions in the sound",
    "smpl": "for samplers: loops and notes",
    "id3 ": "remarks as in an MP3 file",
    "PEAK": "the loudest sample of each channel",
}
