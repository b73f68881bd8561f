"""A source of any kind as mono blocks, from its first sample to its last, in constant memory.

WAV files and headerless bytes are read here and not by libsndfile, which reads a ``data`` chunk
of size 0 as no sound at all; FLAC, OGG, MP3, AU and compressed WAV files are libsndfile's.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.formats import Format
from twistream_kit.audio.linear import Decoder, decoder_for, headerless_format
from twistream_kit.audio.lookalike import not_a_wav
from twistream_kit.audio.mono import MOST_CHANNELS, mono
from twistream_kit.audio.resample import HIGHEST_RATE, LOWEST_RATE, SAMPLE_RATE
from twistream_kit.audio.source import Opened, Source, opened, read_at
from twistream_kit.audio.wav_format import FORMS, HEAD_BYTES, is_wav
from twistream_kit.audio.wav_report import report_on
from twistream_kit.errors import WavError

BLOCK = 65536
"""Samples of each channel in one block: large against the cost of a call, small against a cache."""

OTHER_PROGRAM = "Convert it first, for example with ffmpeg -i IN -ar 8000 -ac 1 out.wav"


@dataclass(frozen=True, slots=True)
class Sound:
    """An opened source of sound.

    Attributes:
        opened: The source; the position of its file tells how far the reading has come.
        sample_rate: In Hz, 4000 to 192,000.
        blocks: float32 in [-1, 1], mono, shape ``(n,)``.
        payload: The bytes of a source that is PCMU at 8000 Hz in mono already, else None.
        missing_seconds: How much of it a WAV file promises and does not hold: it was cut off.
    """

    opened: Opened
    sample_rate: int
    blocks: Iterator[NDArray[np.float32]]
    payload: Iterator[bytes] | None = None
    missing_seconds: float = 0.0


@contextmanager
def open_sound(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Iterator[Sound]:
    """Open a source of sound; see `load_clip` for what it may be.

    Raises:
        WavError: If it cannot be read as sound.
        ValueError: If only one of the keywords is given, or an unknown encoding.
    """
    if (sample_rate is None) != (encoding is None):
        raise ValueError(
            "headerless sound needs both, sample_rate=8000 and encoding='PCMU' for example; "
            "for a file with a header leave both out"
        )
    form = None
    if sample_rate is not None and encoding is not None:
        form = headerless_format(encoding, sample_rate)
    with opened(source) as file:
        head = read_at(file.file, 0, 64)
        if form is not None:
            yield _headerless(file, form, head)
        elif not head:
            raise not_a_wav(head, file.name)
        elif is_wav(head) or (head[:4] in FORMS and len(head) < HEAD_BYTES):
            yield _wav(file)
        else:
            yield _by_libsndfile(file, head)


def _headerless(file: Opened, form: Format, head: bytes) -> Sound:
    if is_wav(head):
        raise WavError(
            "it has a WAV header, which says how it is encoded",
            source=file.name,
            offset=0,
            consequence="Read as headerless sound, the header would be heard as a click",
            fix="Leave sample_rate and encoding out",
        )
    size = form.sample_bytes
    if not file.size or file.size % size:
        raise WavError(
            f"it holds {file.size} bytes, not a whole number of samples of {size} bytes"
            if file.size
            else "it is empty",
            source=file.name,
            fix="Check the encoding and where the bytes were cut"
            if file.size
            else "Record it again",
        )
    return _linear(file, form, 0, file.size)


def _wav(file: Opened) -> Sound:
    report = report_on(file)
    if not report.data_bytes:
        raise WavError(
            "it holds no sound: its data chunk is empty or missing",
            source=file.name,
            offset=report.header_bytes,
            fix="Fetch or record it again",
        )
    if decoder_for(report.format) is None:
        sound = _by_libsndfile(file, b"")
    else:
        sound = _linear(file, report.format, report.header_bytes, report.data_bytes)
    return replace(sound, missing_seconds=report.missing_seconds)


def _linear(file: Opened, form: Format, offset: int, size: int) -> Sound:
    _check(file.name, form.sample_rate, form.channels)
    decoder = decoder_for(form)
    assert decoder is not None  # noqa: S101  both callers have made sure
    whole = decoder.size * form.channels
    raw = _pieces(file.file, offset, size - size % whole, BLOCK * whole)
    if (form.encoding, form.sample_rate, form.channels) == ("PCMU", SAMPLE_RATE, 1):
        return Sound(file, form.sample_rate, iter(()), raw)
    return Sound(file, form.sample_rate, _decoded(raw, decoder, form.channels))


def _pieces(file: BinaryIO, offset: int, size: int, piece: int) -> Iterator[bytes]:
    file.seek(offset)
    while size > 0:
        raw = file.read(min(piece, size))
        if not raw:
            return
        size -= len(raw)
        yield raw


def _decoded(
    raw: Iterator[bytes], decoder: Decoder, channels: int
) -> Iterator[NDArray[np.float32]]:
    for piece in raw:
        samples = decoder.decode(piece)
        yield mono(samples.reshape(-1, channels), decoder.scale)


def _by_libsndfile(file: Opened, head: bytes) -> Sound:
    import soundfile

    file.file.seek(0)
    # Only the methods: soundfile takes a name that ends in .raw for an order to read headerless.
    nameless = SimpleNamespace(read=file.file.read, seek=file.file.seek, tell=file.file.tell)
    try:
        sound = soundfile.SoundFile(nameless)
    except soundfile.LibsndfileError as error:
        if head:
            raise not_a_wav(head, file.name) from error
        raise WavError(
            f"libsndfile cannot read it: {error.error_string}", source=file.name, fix=OTHER_PROGRAM
        ) from error
    _check(file.name, sound.samplerate, sound.channels)
    if not sound.frames:
        raise WavError("it holds no sound", source=file.name, fix="Fetch or record it again")
    return Sound(file, sound.samplerate, _read(sound, file.name))


def _read(sound: Any, name: str) -> Iterator[NDArray[np.float32]]:
    import soundfile

    # Not `sound.blocks`, which refuses the encodings in which libsndfile cannot seek, GSM for one.
    try:
        while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
            yield mono(block, 1.0)
    except soundfile.LibsndfileError as error:
        raise WavError(
            f"libsndfile stopped in the middle of it: {error.error_string}",
            source=name,
            fix="The file is damaged: fetch or record it again",
        ) from error


def _check(name: str, sample_rate: int, channels: int) -> None:
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise WavError(
            f"its sample rate is {sample_rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} Hz can be read",
            source=name,
            fix=OTHER_PROGRAM,
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise WavError(
            f"it has {channels} channels; 1 to {MOST_CHANNELS} can be mixed into one",
            source=name,
            fix=OTHER_PROGRAM,
        )
