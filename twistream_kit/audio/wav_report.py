"""Report on a WAV file: every field of its header, and whether it can be sent to a call.

Every byte before and after the sound belongs to a field.  The sound itself is searched for the
headers of further files, and is decoded only if it ends in the middle of a sample.

A call takes PCMU at 8000 Hz, one channel, without a header (PROTOCOL.md §4): Twilio plays every
byte of a payload, the header included.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, NoReturn

from twistream_kit.audio._libsndfile import open_others
from twistream_kit.audio._wav_format import (
    EXPLAINED,
    EXTENSIBLE,
    LINEAR_BYTES,
    Chunk,
    Format,
    Riff,
    WavPart,
    WavSound,
    find_sound,
    name_encoding,
    name_sub_format,
)
from twistream_kit.audio.damage import (
    EXAMINED_BYTES,
    FETCH_BYTES,
    ByteShiftMeter,
    DamageReport,
    describe_text_damage,
)
from twistream_kit.audio.examination import MOST_UNCOUNTED
from twistream_kit.audio.load import open_linear, refuse_text
from twistream_kit.audio.resample import HIGHEST_RATE, LOWEST_RATE, MOST_CHANNELS, SAMPLE_RATE
from twistream_kit.errors import WavError
from twistream_kit.listing import Listing
from twistream_kit.sound_file import (
    USE_LOAD_CLIP,
    Opened,
    Source,
    build_not_wav_error,
    open_source,
    read_at,
    recognise,
)

SHOWN_BYTES = 64
"""The number of bytes that are read and shown of a body that is not parsed."""

NOT_NEEDED = "not needed for the sound"
"""The meaning of an unknown chunk."""

_CHUNK_MEANINGS = {
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

# Name, offset, size and meaning of the fields of every fmt chunk, after its format tag.
_FORMAT_FIELDS = (
    ("channels", 2, 2, "channels; a call has one"),
    ("sample_rate", 4, 4, "samples a second in each channel; a call has 8000"),
    ("byte_rate", 8, 4, "bytes a second"),
    ("block_align", 12, 2, "bytes for one sample of all channels"),
    ("bits_per_sample", 14, 2, "bits for one sample of one channel"),
)


def inspect_wav(source: Source) -> WavReport:
    """Explain the header of a WAV file; its sound is not decoded, whatever the length of the file.

    A call takes μ-law at 8000 Hz in mono without a header (PROTOCOL.md §4); the report says what
    differs.

    Args:
        source: A path, the bytes of a whole file, or a file opened with ``'rb'``.

    Raises:
        WavError: If there is no such file, it is not a WAV file, or it ends before its format is
            given; `offset` says where.
        TypeError: If `source` is of another type.

    Example:
        >>> import twistream_kit as kit
        >>> report = kit.inspect_wav("sample_audio/greeting.wav")
        >>> report.format
        <Format PCM, 16 bit, stereo, 44100 Hz>
        >>> report.fields[7]
        <Field fmt sample_rate at 24, 4 bytes is 44100: samples a second in each channel; ...>
    """
    with open_source(source) as file:
        return report_on(file)


@dataclass(frozen=True, slots=True)
class WavReport:
    """A report on a WAV file.

    Attributes:
        name: The name of the file, or ``bytes``.
        fields: Every field of every chunk, in the order of the file, without gaps.
        format: The contents of its ``fmt `` chunk.
        header_bytes: The number of bytes before the sound; the size of a file without sound.
        data_bytes: The number of bytes of sound in the file, which may be less than its header
            says; of several files that were put end to end, that of all.
        trailing_bytes: The number of bytes after the sound.
        missing_bytes: The number of bytes of sound that the file lacks.
        seconds: The duration of the sound in the file, in seconds.
        missing_seconds: The duration of the sound that the file lacks, in seconds.
        objections: The reasons why the file cannot be sent as it is, each a clause about "it".
        is_damaged: Whether its bytes were read as text, so that its sound is noise.
        n_files: The number of WAV files that were put end to end; 1 as a rule.

    Example:
        >>> import twistream_kit as kit
        >>> report = kit.inspect_wav("sample_audio/greeting.wav")
        >>> report.header_bytes, report.data_bytes, report.seconds
        (44, 742644, 4.21)
        >>> report.objections[0]
        'its encoding is PCM, and a call takes PCMU (μ-law)'
    """

    name: str
    fields: Listing[Field] = field(repr=False)
    format: Format
    header_bytes: int
    data_bytes: int
    trailing_bytes: int
    missing_bytes: int
    seconds: float
    missing_seconds: float
    objections: list[str]
    is_damaged: bool = False
    n_files: int = 1

    @property
    def encoding(self) -> str:
        """``PCM``, ``PCMU``, ``PCMA``, ``IEEE_FLOAT``, …; of EXTENSIBLE its sub-format."""
        return self.format.encoding

    @property
    def sample_rate(self) -> int:
        """The sample rate in Hz, by the header."""
        return self.format.sample_rate

    @property
    def channels(self) -> int:
        """The number of channels, by the header."""
        return self.format.channels

    @property
    def bits_per_sample(self) -> int:
        """The bits of a sample, by the header; in an EXTENSIBLE file the size of the container."""
        return self.format.bits_per_sample

    @property
    def ready(self) -> bool:
        """Whether the sound can be sent without conversion."""
        return not self.objections

    @property
    def verdict(self) -> str:
        """What to do with the file, in one sentence."""
        subject = "It" if self.name == "bytes" else self.name
        if self.ready:
            ends = f"the first {self.header_bytes} bytes"
            if self.trailing_bytes:
                ends += f" and the last {self.trailing_bytes}"
            return f"{subject} is ready, once {ends} are left out"
        reasons = "; ".join(self.objections)
        if not self.data_bytes:
            advice = "there is nothing to send"
        elif self.is_damaged:
            advice = f"{FETCH_BYTES[0].lower()}{FETCH_BYTES[1:]}"
        elif not _is_loadable(self.format):
            advice = "convert it with ffmpeg first"
        elif _is_too_short(self.format, self.seconds):
            advice = "there is nothing to send"
        elif self.n_files > 1 and self.encoding in LINEAR_BYTES:
            advice = "kit.load_clip joins their sound and converts it"
        elif self.missing_bytes:
            advice = "kit.load_clip takes what is there"
        elif self.encoding in LINEAR_BYTES:
            advice = "kit.load_clip converts it"
        else:
            advice = "kit.load_clip may read it; otherwise convert it with ffmpeg first"
        return f"{subject} is not ready: {reasons}; {advice}"

    def __repr__(self) -> str:
        return _as_table(self)

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a WAV file.

    Attributes:
        offset: Its offset in the file, in bytes.
        size: Its size in bytes.
        raw: Its bytes; of a long body only the first 64, of the sound none.
        chunk: The ID of its chunk, ``fmt ``; empty after the last chunk.
        name: Its name, ``sample_rate``.
        value: Its value: a number, a text, or None for a body that is not parsed.
        meaning: An explanation of the value.
    """

    offset: int
    size: int
    raw: bytes
    chunk: str
    name: str
    value: int | str | None
    meaning: str

    def __repr__(self) -> str:
        value = "" if self.value is None else f" is {self.value!r}"
        name = f"{self.chunk.strip()} {self.name}".strip()
        return f"<Field {name} at {self.offset}, {self.size} bytes{value}: {self.meaning}>"


def _as_table(report: WavReport) -> str:
    rows = [("offset", "bytes in hex", "field", "value", "meaning")]
    for item in report.fields:
        shown = item.raw[:8].hex(" ") + (" …" if len(item.raw) > 8 else "")
        value = f"{item.size} bytes" if item.value is None else str(item.value)
        name = f"{item.chunk.strip()} {item.name}".strip()
        rows.append((str(item.offset), shown, name, value, item.meaning))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = ["  ".join([*map(str.ljust, row, widths), row[4]]).rstrip() for row in rows]
    summary = f"{report.name}: WAV, {report.format.description}, {report.seconds:.2f} s"
    return "\n".join([summary, "", *lines, "", f"{report.verdict}."])


def report_on(file: Opened) -> WavReport:
    """Do the same as `inspect_wav` for a source that is open already."""
    damage = describe_text_damage(read_at(file.file, 0, EXAMINED_BYTES))
    try:
        wav = find_sound(file)
    except WavError:
        refuse_text(file)
        raise
    if wav is None:
        refuse_text(file)
        _refuse_other_file(file)
    damage = damage or describe_text_damage(read_at(file.file, wav.offset, EXAMINED_BYTES))
    return WavReport(
        name=file.name,
        fields=Listing.of(read_fields(file.file, wav.riffs), "fields"),
        format=wav.format,
        header_bytes=wav.offset,
        data_bytes=wav.size,
        trailing_bytes=wav.trailing_bytes,
        missing_bytes=wav.missing_bytes,
        seconds=wav.seconds,
        missing_seconds=wav.missing_seconds,
        objections=[
            *_object_to_contents(file, wav, damage),
            *_object_to_format(wav.format),
        ],
        is_damaged=damage is not None,
        n_files=len(wav.parts),
    )


def _refuse_other_file(file: Opened) -> NoReturn:
    """Refuse what is not a WAV file; if libsndfile should read it, see whether it does."""
    head = read_at(file.file, 0, 64)
    if head and recognise(head).fix == USE_LOAD_CLIP:
        open_others(file)
    raise build_not_wav_error(head, file)


def _is_too_short(form: Format, seconds: float) -> bool:
    # Of other encodings the duration is not always known.
    return _is_loadable(form) and form.encoding in LINEAR_BYTES and seconds * SAMPLE_RATE < 1


def _object_to_contents(file: Opened, wav: WavSound, damage: DamageReport | None) -> Iterator[str]:
    if damage:
        # It explains all else that is wrong with the contents.
        yield f"{damage.problem} ({damage.consequence[0].lower()}{damage.consequence[1:]})"
    else:
        yield from _object_to_joints(wav)
        yield from _object_to_structure(file, wav)


def _object_to_joints(wav: WavSound) -> Iterator[str]:
    """Object to WAV files that were put end to end, and to one inside the sound of another."""
    parts, first = wav.parts, wav.riffs[0]
    if first.is_wrapper and len(wav.riffs) == 2:
        yield "its sound is a whole WAV file, header included: it was wrapped twice"
        return
    seconds = [part.seconds for part in parts]
    if first.is_wrapper:
        yield (
            f"its sound is {len(wav.riffs) - 1} whole WAV files put end to end, headers included, "
            f"{sum(seconds):.2f} s in all: {len(wav.riffs) - 1} headers stand inside the sound"
        )
    elif len(wav.riffs) > 1:
        more = len(wav.riffs) - 1
        yield (
            f"{more} more WAV {'file follows' if more == 1 else 'files follow'} the first, headers "
            f"included: it lasts {seconds[0]:.2f} s, all together {sum(seconds):.2f} s"
        )
    formats = {part.format.description for part in parts}
    if len(formats) > 1:
        yield f"they are of different formats: {'; '.join(sorted(formats))}"


def _is_loadable(form: Format) -> bool:
    is_possible = bool(form.sample_bytes) or form.encoding not in LINEAR_BYTES
    is_in_range = LOWEST_RATE <= form.sample_rate <= HIGHEST_RATE
    return is_possible and is_in_range and 1 <= form.channels <= MOST_CHANNELS


def _object_to_structure(file: Opened, wav: WavSound) -> Iterator[str]:
    sounds = [chunk for chunk in wav.riffs[0].chunks if chunk.id == "data"]
    if not wav.size:
        yield "its data chunk is empty" if sounds else "it ends before its data chunk"
    else:
        yield from _object_to_size(wav)
    if len(sounds) > 1:
        yield f"it has {len(sounds)} data chunks, of which only the first is played"
    for part in wav.parts:
        whole = part.format.sample_bytes * part.format.channels
        if whole and part.size % whole and not part.missing_bytes:
            yield f"its sound ends in the middle of a sample of {whole} bytes"
            if (begin := _find_shift(file, part)) is not None:
                yield (
                    f"from {begin:.1f} s on it is noise: a byte is missing or too many there, and "
                    "all after it is read from the wrong byte on"
                )


def _object_to_size(wav: WavSound) -> Iterator[str]:
    if wav.missing_bytes:
        doubt = ", or its size is a placeholder" if wav.missing_bytes > _DOUBTFUL * wav.size else ""
        yield f"it is cut off: {wav.missing_bytes} bytes of its sound are missing{doubt}"
    elif missing := sum(riff.missing for riff in wav.riffs):
        yield f"it is cut off: {missing} bytes after its sound are missing"
    if _is_too_short(wav.format, wav.seconds):
        yield "it is too short: its sound is less than one sample of a call"
    if wav.rest_bytes > MOST_UNCOUNTED:
        yield (
            f"{wav.rest_bytes} bytes at its end belong to no chunk and are not played: they may be "
            "sound that its header does not count"
        )


_DOUBTFUL = 100
"""A file of which less than a hundredth arrived may also be a whole one."""


def _find_shift(file: Opened, part: WavPart) -> float | None:
    if part.format.encoding != "PCM" or not _is_loadable(part.format):
        return None
    sound = open_linear(file, part.format, part.offset, part.size)
    if sound.width not in (2, 3):
        return None
    meter = ByteShiftMeter(sound.width, sound.sample_rate)
    for block in sound.read():
        meter.push(block if sound.width == 2 else block >> 8)
    return meter.shifted_from


def _object_to_format(form: Format) -> Iterator[str]:
    if form.encoding != "PCMU":
        yield f"its encoding is {form.encoding}, and a call takes PCMU (μ-law)"
        if form.encoding in LINEAR_BYTES and not form.sample_bytes:
            yield f"{form.bits_per_sample} bits a sample are not possible in {form.encoding}"
    if form.sample_rate != SAMPLE_RATE:
        yield f"its sample rate is {form.sample_rate} Hz, and a call takes {SAMPLE_RATE} Hz"
    if form.channels != 1:
        yield f"it has {form.channels} channels, and a call takes one"


def read_fields(file: BinaryIO, riffs: Iterable[Riff]) -> list[Field]:
    """Return the fields of a file, which cover all of its bytes.

    The body of ``data`` is one field and is not read.
    """
    return [field for riff in riffs for field in _read_riff_fields(file, riff)]


def _read_riff_fields(file: BinaryIO, riff: Riff) -> list[Field]:
    reader = _FieldReader(file, riff)
    fields = list(reader.read_riff_header())
    for chunk in riff.chunks:
        fields += reader.read_chunk(chunk)
    if riff.rest < riff.size:
        meaning = (
            "belongs to no chunk"
            if riff.size - riff.rest > 7
            else "the rest of a chunk, or of its padding"
        )
        fields.append(reader.read_body("", "rest", riff.rest, riff.size - riff.rest, meaning))
    return fields


class _FieldReader:
    """Reads the fields of a file, chunk by chunk."""

    def __init__(self, file: BinaryIO, riff: Riff) -> None:
        self.file = file
        self.riff = riff

    def read_riff_header(self) -> Iterator[Field]:
        form = {
            "RIFF": "a RIFF file: numbers with the low byte first",
            "RIFX": "a RIFX file: numbers with the high byte first, rare",
        }.get(self.riff.form, "a RIFF file of more than 4 GB; its sizes stand in ds64")
        start = self.riff.start
        yield self.read_text("RIFF", "form", start, 4, form)
        meaning = "bytes after this field"
        if self.riff.is_open:
            meaning = "not to be relied on: the writer could not go back"
        elif self.riff.missing:
            meaning += f"; {self.riff.missing} of them are missing"
        yield self.read_number("RIFF", "size", start + 4, 4, meaning)
        yield self.read_text("RIFF", "type", start + 8, 4, "the RIFF file is a WAV file")

    def read_chunk(self, chunk: Chunk) -> Iterator[Field]:
        meaning = _CHUNK_MEANINGS.get(chunk.id, NOT_NEEDED)
        yield self.read_text(chunk.id, "id", chunk.offset, 4, meaning)
        meaning = "bytes in this chunk"
        if chunk.is_open:
            meaning = "left open by the writer: the sound lasts to the end of the file"
            if self.riff.is_followed:
                meaning = "the sound lasts to the next header, whatever this says"
        elif chunk.missing:
            meaning += f"; {chunk.missing} of them are missing"
        yield self.read_number(chunk.id, "size", chunk.offset + 4, 4, meaning)
        yield from self.read_contents(chunk)
        if chunk.padding:
            meaning = "makes the size even; not sound"
            yield self.read_number(chunk.id, "padding", chunk.end - 1, 1, meaning)

    def read_contents(self, chunk: Chunk) -> Iterator[Field]:
        start = chunk.body
        if chunk.id == "fmt " and chunk.size >= 16:
            yield from self.read_format(chunk)
        elif chunk.id == "fact" and chunk.size >= 4:
            yield self.read_number("fact", "n_samples", start, 4, "samples in each channel")
            yield from self.read_remainder(chunk, 4)
        elif chunk.id == "ds64" and chunk.size >= 28:
            yield self.read_number("ds64", "riff_size", start, 8, "the size of the whole, less 8")
            yield self.read_number("ds64", "data_size", start + 8, 8, "the size of data")
            yield self.read_number("ds64", "n_samples", start + 16, 8, "samples in each channel")
            yield self.read_number("ds64", "table", start + 24, 4, "sizes of further chunks")
            yield from self.read_remainder(chunk, 28)
        elif chunk.id == "data" and chunk.size:
            yield Field(start, chunk.size, b"", "data", "sound", None, "the sound")
        elif chunk.id == "LIST" and chunk.size >= 4:
            yield self.read_text("LIST", "type", start, 4, "what kind of remarks follows")
            yield from self.read_remainder(chunk, 4)
        else:
            yield from self.read_remainder(chunk, 0)

    def read_format(self, chunk: Chunk) -> Iterator[Field]:
        start = chunk.body
        tag = int.from_bytes(read_at(self.file, start, 2), self.riff.byte_order)
        name = name_encoding(tag)
        meaning = f"{name}: {EXPLAINED[name]}" if name in EXPLAINED else name
        yield self.read_number("fmt ", "format_tag", start, 2, meaning)
        for field_name, at, size, words in _FORMAT_FIELDS:
            yield self.read_number("fmt ", field_name, start + at, size, words)
        done = 16
        if chunk.size >= 18:
            yield self.read_number("fmt ", "extra_size", start + 16, 2, "bytes of fmt that follow")
            done = 18
        if tag == EXTENSIBLE and chunk.size >= 40:
            yield self.read_number(
                "fmt ", "valid_bits", start + 18, 2, "of each sample, the rest is padding"
            )
            yield self.read_number("fmt ", "channel_mask", start + 20, 4, "which loudspeakers")
            raw = read_at(self.file, start + 24, 16)
            name = name_sub_format(raw, self.riff.byte_order)
            meaning = EXPLAINED.get(name, "the encoding")
            yield Field(start + 24, 16, raw, "fmt ", "sub_format", name, meaning)
            done = 40
        yield from self.read_remainder(chunk, done)

    def read_remainder(self, chunk: Chunk, done: int) -> Iterator[Field]:
        if chunk.size > done:
            meaning = _CHUNK_MEANINGS.get(chunk.id, NOT_NEEDED)
            yield self.read_body(chunk.id, "body", chunk.body + done, chunk.size - done, meaning)

    def read_body(self, chunk: str, name: str, offset: int, size: int, meaning: str) -> Field:
        raw = read_at(self.file, offset, min(size, SHOWN_BYTES))
        text = raw.rstrip(b"\0")
        is_text = len(text) > 3 and all(0x20 <= byte < 0x7F or byte == 0 for byte in text)
        value = text.decode("ascii").replace("\0", " ") if is_text else None
        return Field(offset, size, raw, chunk, name, value, meaning)

    def read_number(self, chunk: str, name: str, offset: int, size: int, meaning: str) -> Field:
        raw = read_at(self.file, offset, size)
        value = int.from_bytes(raw, self.riff.byte_order)
        return Field(offset, size, raw, chunk, name, value, meaning)

    def read_text(self, chunk: str, name: str, offset: int, size: int, meaning: str) -> Field:
        raw = read_at(self.file, offset, size)
        return Field(offset, size, raw, chunk, name, raw.decode("latin-1"), meaning)
