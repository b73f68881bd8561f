"""A WAV file as a reader of this package sees it: every field, and whether a call could take it.

A call takes PCMU at 8000 Hz, one channel, without any header (PROTOCOL.md §4): whatever is sent
is played, header included.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from twistream_kit.audio.fields import Field, read_fields
from twistream_kit.audio.formats import LINEAR_BYTES, Format, understood
from twistream_kit.audio.mono import MOST_CHANNELS
from twistream_kit.audio.resample import HIGHEST_RATE, LOWEST_RATE, SAMPLE_RATE
from twistream_kit.audio.source import Opened, Source, opened, read_at
from twistream_kit.audio.wav_format import Riff, is_wav, walk
from twistream_kit.errors import WavError

if TYPE_CHECKING:
    from collections.abc import Iterator


@dataclass(frozen=True, slots=True)
class WavReport:
    """A WAV file, shown.

    Attributes:
        name: Of the file, or ``bytes``.
        fields: Every field of every chunk, in the order of the file, without gaps.
        format: What its ``fmt `` chunk says.
        header_bytes: How many bytes stand before the sound; the size of the file without any.
        data_bytes: How many bytes of sound there are, in fact and not by the header.
        trailing_bytes: How many bytes follow the sound.
        missing_bytes: How many bytes of sound the header promises and the file does not hold.
        objections: What stands between this file and a call, each a clause about "it".
    """

    name: str
    fields: list[Field] = field(repr=False)
    format: Format
    header_bytes: int
    data_bytes: int
    trailing_bytes: int
    missing_bytes: int
    seconds: float
    objections: list[str]

    @property
    def encoding(self) -> str:
        """``PCM``, ``PCMU``, ``PCMA``, ``IEEE_FLOAT``, …; of EXTENSIBLE what it contains."""
        return self.format.encoding

    @property
    def sample_rate(self) -> int:
        """In Hz, as the header says."""
        return self.format.sample_rate

    @property
    def channels(self) -> int:
        """As the header says."""
        return self.format.channels

    @property
    def bits_per_sample(self) -> int:
        """As the header says; of an EXTENSIBLE file the size of the container."""
        return self.format.bits_per_sample

    @property
    def missing_seconds(self) -> float:
        """How much sound the header promises and the file does not hold."""
        return self.seconds * self.missing_bytes / self.data_bytes if self.data_bytes else 0.0

    @property
    def ready(self) -> bool:
        """Whether the bytes between header and trailer can be sent as they are."""
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
        elif not _is_loadable(self.format):
            advice = "convert it with ffmpeg first"
        elif self.missing_bytes:
            advice = "kit.load_clip takes what is there"
        elif self.encoding in LINEAR_BYTES:
            advice = "kit.load_clip converts it"
        else:
            advice = "kit.load_clip may read it; otherwise convert it with ffmpeg first"
        return f"{subject} is not ready: {reasons}; {advice}"

    def __repr__(self) -> str:
        return _table(self)

    __str__ = __repr__


def inspect_wav(source: Source) -> WavReport:
    """Show what a WAV file consists of; only its headers are read, however long it is.

    Args:
        source: A path, the bytes of a whole file, or a file opened with ``'rb'``.

    Raises:
        WavError: If it is no WAV file, or ends before its sound is described; `offset` says where.
        TypeError: If `source` is something else.
    """
    with opened(source) as file:
        return report_on(file)


def report_on(file: Opened) -> WavReport:
    """Do what `inspect_wav` does with a source that is open already."""
    riff = walk(file)
    form = _format(file, riff)
    data = riff.find("data")
    data_bytes = data.size if data else 0
    header_bytes = data.body if data else riff.size
    return WavReport(
        name=file.name,
        fields=read_fields(file.file, riff),
        format=form,
        header_bytes=header_bytes,
        data_bytes=data_bytes,
        trailing_bytes=riff.size - header_bytes - data_bytes,
        missing_bytes=data.missing if data else 0,
        seconds=_seconds(file, riff, form, data_bytes),
        objections=[*_of_structure(file, riff, form), *_of_format(form)],
    )


def _format(file: Opened, riff: Riff) -> Format:
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
    return understood(read_at(file.file, chunk.body, min(chunk.size, 40)), riff.byte_order)


def _is_loadable(form: Format) -> bool:
    is_possible = bool(form.sample_bytes) or form.encoding not in LINEAR_BYTES
    is_in_range = LOWEST_RATE <= form.sample_rate <= HIGHEST_RATE
    return is_possible and is_in_range and 1 <= form.channels <= MOST_CHANNELS


def _seconds(file: Opened, riff: Riff, form: Format, data_bytes: int) -> float:
    if form.sample_bytes and form.channels and form.sample_rate:
        return data_bytes / (form.sample_bytes * form.channels) / form.sample_rate
    fact = riff.find("fact")
    if fact and fact.size >= 4 and form.sample_rate:
        samples = int.from_bytes(read_at(file.file, fact.body, 4), riff.byte_order)
        data = riff.find("data")
        whole = data.declared if data and data.missing else data_bytes
        return samples / form.sample_rate * (data_bytes / whole if whole else 1.0)
    return data_bytes / form.byte_rate if form.byte_rate else 0.0


def _of_structure(file: Opened, riff: Riff, form: Format) -> Iterator[str]:
    sounds = [chunk for chunk in riff.chunks if chunk.id == "data"]
    if not sounds:
        yield "it ends before its data chunk"
    elif not sounds[0].size:
        yield "its data chunk is empty"
    elif sounds[0].missing:
        yield f"it is cut off: {sounds[0].missing} bytes of its sound are missing"
    elif riff.missing:
        yield f"it is cut off: {riff.missing} bytes after its sound are missing"
    if sounds and is_wav(read_at(file.file, sounds[0].body, 12)):
        yield "its sound is a whole WAV file, header included: it was wrapped twice"
    if len(sounds) > 1:
        yield f"it has {len(sounds)} data chunks, of which only the first is played"
    whole = form.sample_bytes * form.channels
    if sounds and whole and sounds[0].size % whole and not sounds[0].missing:
        yield f"its sound ends in the middle of a sample of {whole} bytes"


def _of_format(form: Format) -> Iterator[str]:
    if form.encoding != "PCMU":
        yield f"its encoding is {form.encoding}, and a call takes PCMU (μ-law)"
        if form.encoding in LINEAR_BYTES and not form.sample_bytes:
            yield f"{form.bits_per_sample} bits a sample are not possible in {form.encoding}"
    if form.sample_rate != SAMPLE_RATE:
        yield f"its sample rate is {form.sample_rate} Hz, and a call takes {SAMPLE_RATE} Hz"
    if form.channels != 1:
        yield f"it has {form.channels} channels, and a call takes one"


def _table(report: WavReport) -> str:
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
