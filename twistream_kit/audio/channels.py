"""A source of any kind with its channels apart, as they are before a call mixes them into one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.linear import Decoder, decoder_for, headerless_format
from twistream_kit.audio.lookalike import recognise
from twistream_kit.audio.sound import BLOCK, Sound, open_sound
from twistream_kit.audio.source import Source, read_at
from twistream_kit.audio.wav_format import is_wav
from twistream_kit.audio.wav_report import WavReport, report_on
from twistream_kit.errors import WavError

MOST_HEADER_BYTES = 480_000
"""One minute of sound, if it were played; a cover picture in a header can be longer."""


@dataclass(frozen=True, slots=True)
class Channels:
    """An opened source of sound, its channels apart.

    Attributes:
        sound: The same source as `load_clip` reads it; its blocks must not be asked for.
        count: How many channels there are, 1 to 8.
        form: What its samples are, in words: ``PCM, 16 bit`` or ``an MP3 file``.
        limit: The magnitude of a sample at full scale, in [-1, 1].
        blocks: float32, nominally in [-1, 1], shape ``(n, count)``, n > 0.
        header: The bytes before the sound; empty for headerless sound, None where sound and
            header cannot be told apart, as in an MP3 file.
        header_bytes: How many those are, of which `header` holds a minute at most.
        trailing_bytes: How many bytes follow the sound.
    """

    sound: Sound
    count: int
    form: str
    limit: float
    blocks: Iterator[NDArray[np.float32]]
    header: bytes | None = None
    header_bytes: int = 0
    trailing_bytes: int = 0


@contextmanager
def open_channels(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Iterator[Channels]:
    """Open a source of sound; see `load_clip` for what it may be, and for the errors."""
    with open_sound(source, sample_rate=sample_rate, encoding=encoding) as sound:
        head = read_at(sound.opened.file, 0, 64)
        if sample_rate is not None and encoding is not None:
            form = headerless_format(encoding, sample_rate)
            decoder = decoder_for(form)
            blocks = _by_decoder(sound, decoder, 1, 0, sound.opened.size) if decoder else iter(())
            yield Channels(
                sound, 1, f"{encoding}, headerless", _limit(form.encoding, form.bits_per_sample),
                blocks, b"",
            )  # fmt: skip
        elif is_wav(head):
            yield _wav(sound, report_on(sound.opened))
        else:
            count, blocks = _by_libsndfile(sound)
            yield Channels(sound, count, recognise(head).what, _limit("", 0), blocks)


def _wav(sound: Sound, report: WavReport) -> Channels:
    form, decoder = report.format, decoder_for(report.format)
    count = form.channels
    if decoder is None:
        count, blocks = _by_libsndfile(sound)
    else:
        blocks = _by_decoder(sound, decoder, count, report.header_bytes, report.data_bytes)
    return Channels(
        sound,
        count,
        f"{form.encoding}, {form.bits_per_sample} bit" if form.bits_per_sample else form.encoding,
        _limit(form.encoding, form.bits_per_sample if decoder else 0),
        blocks,
        read_at(sound.opened.file, 0, min(report.header_bytes, MOST_HEADER_BYTES)),
        report.header_bytes,
        report.trailing_bytes,
    )


def _limit(encoding: str, bits: int) -> float:
    """The magnitude that a wave reaches when it is cut off."""
    if encoding in ("PCMU", "PCMA"):
        return (32124 if encoding == "PCMU" else 32256) / 32768
    # Floats are mostly made of 16 bits, whose largest value is just below 1.
    return 1 - 2.0 ** (1 - min(bits, 24)) if encoding == "PCM" and bits else 32767 / 32768


def _by_decoder(
    sound: Sound, decoder: Decoder, count: int, offset: int, size: int
) -> Iterator[NDArray[np.float32]]:
    file, whole = sound.opened.file, decoder.size * count
    left = size - size % whole
    file.seek(offset)
    while left > 0 and (raw := file.read(min(left, BLOCK * whole))):
        left -= len(raw)
        samples = decoder.decode(raw).astype(np.float32)
        yield (samples * np.float32(decoder.scale)).reshape(-1, count)


def _by_libsndfile(sound: Sound) -> tuple[int, Iterator[NDArray[np.float32]]]:
    import soundfile

    file = sound.opened.file
    file.seek(0)
    # Only the methods: soundfile takes a name that ends in .raw for an order to read headerless.
    reader = soundfile.SoundFile(SimpleNamespace(read=file.read, seek=file.seek, tell=file.tell))
    return reader.channels, _blocks(reader, sound.opened.name)


def _blocks(reader: Any, name: str) -> Iterator[NDArray[np.float32]]:
    import soundfile

    try:
        while len(block := reader.read(BLOCK, dtype="float32", always_2d=True)):
            yield block
    except soundfile.LibsndfileError as error:
        raise WavError(
            f"libsndfile stopped in the middle of it: {error.error_string}",
            source=name,
            fix="The file is damaged: fetch or record it again",
        ) from error
