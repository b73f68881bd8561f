"""What is measured of a sound while it passes, block by block, in constant memory.

`open_channels` opens a source with its channels apart, as they are before a call mixes them into
one.  A `ChannelMeter` measures these, a `TelephoneMeter` what a call makes of them, in pieces of
20 ms by whose power speech and pauses are told apart, and a `SpectrumMeter` how the energy is
spread over pitches.

All levels are in dBFS: of RMS values, 0 is a full-scale square wave, so a full-scale sine has
-3.01; of peaks, 0 is full scale.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio._wav_format import WavSound
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.audio.load import (
    BLOCK,
    DecodedSound,
    Decoder,
    decoder_for,
    headerless_format,
    open_libsndfile,
    open_sound,
    read_blocks,
    read_pieces,
)
from twistream_kit.audio.resample import FULL_SCALE, SAMPLE_RATE
from twistream_kit.sound_file import Source, read_at, recognise

SILENT = -math.inf
"""The level of nothing at all."""

MOST_HEADER_BYTES = 480_000
"""One minute of sound, if it were played; a cover picture in a header can be longer."""

FLAT_SAMPLES = 3
"""So many samples at full scale one after the other are no peak any more but a cut one."""

PIECE = SAMPLE_RATE // 50
"""20 ms at the telephone's sample rate."""

MARGIN_DB = 15.9
"""Speech reaches from its level down to so much below it (ITU-T P.56)."""

HANGOVER = 10
"""So many pieces after speech still belong to it: 200 ms (ITU-T P.56)."""

UNHEARD_DB = 30.0
"""What lies so far below the speech of a file is its background."""

HEARD_AT_LEAST_DB = -60.0
"""Below this nothing is heard on a telephone, whose own noise is louder."""

QUIETEST = 0.1
"""The part of a sound that is taken for its noise."""

CARRIED_HZ = (300, 3400)
"""What a telephone call is planned to carry (ITU-T G.712); handsets reproduce little else."""

WHOLE_SECONDS = 300
"""The spectrum of so much sound is taken without gaps, of what follows one window of eight."""


@contextmanager
def open_channels(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Iterator[Channels]:
    """Open a source of sound; see `load_clip` for what it may be, and for the errors."""
    with open_sound(source, sample_rate=sample_rate, encoding=encoding) as sound:
        if sample_rate is not None and encoding is not None:
            form = headerless_format(encoding, sample_rate)
            decoder = decoder_for(form)
            blocks = (
                _decode_blocks(sound, decoder, 1, 0, sound.opened.size) if decoder else iter(())
            )
            yield Channels(
                sound,
                1,
                f"{encoding}, headerless",
                _full_scale_of(form.encoding, form.bits_per_sample),
                blocks,
                b"",
            )
        elif sound.wav is not None:
            yield _wav_channels(sound, sound.wav)
        else:
            head = read_at(sound.opened.file, 0, 64)
            count, blocks = _open_by_libsndfile(sound)
            yield Channels(sound, count, recognise(head).what, _full_scale_of("", 0), blocks)


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

    sound: DecodedSound
    count: int
    form: str
    limit: float
    blocks: Iterator[NDArray[np.float32]]
    header: bytes | None = None
    header_bytes: int = 0
    trailing_bytes: int = 0


def _wav_channels(sound: DecodedSound, wav: WavSound) -> Channels:
    form, decoder = wav.format, decoder_for(wav.format)
    count = form.channels
    if decoder is None:
        count, blocks = _open_by_libsndfile(sound)
    else:
        blocks = _decode_blocks(sound, decoder, count, wav.offset, wav.size)
    return Channels(
        sound,
        count,
        f"{form.encoding}, {form.bits_per_sample} bit" if form.bits_per_sample else form.encoding,
        _full_scale_of(form.encoding, form.bits_per_sample if decoder else 0),
        blocks,
        read_at(sound.opened.file, 0, min(wav.offset, MOST_HEADER_BYTES)),
        wav.offset,
        wav.trailing_bytes,
    )


def _full_scale_of(encoding: str, bits: int) -> float:
    """Return the magnitude that a wave of an encoding reaches when it is cut off."""
    if encoding in ("PCMU", "PCMA"):
        return (32124 if encoding == "PCMU" else 32256) / 32768
    # Floats are mostly made of 16 bits, whose largest value is just below 1.
    return 1 - 2.0 ** (1 - min(bits, 24)) if encoding == "PCM" and bits else 32767 / 32768


def _decode_blocks(
    sound: DecodedSound, decoder: Decoder, count: int, offset: int, size: int
) -> Iterator[NDArray[np.float32]]:
    whole = decoder.size * count
    for raw in read_pieces(sound.opened.file, offset, size - size % whole, BLOCK * whole):
        samples = decoder.decode(raw).astype(np.float32)
        yield (samples * np.float32(decoder.scale)).reshape(-1, count)


def _open_by_libsndfile(sound: DecodedSound) -> tuple[int, Iterator[NDArray[np.float32]]]:
    reader = open_libsndfile(sound.opened)
    return reader.channels, read_blocks(reader, sound.opened.name)


@dataclass(slots=True)
class ChannelMeter:
    """Level, offset and flat tops of all channels, and what mixing them leaves.

    Args:
        channels: How many there are.
        limit: From which magnitude on a sample is at full scale.
    """

    channels: int
    limit: float
    count: int = 0
    peak: float = 0.0
    mix_square: float = 0.0
    tops: list[FlatTops] = field(default_factory=list)
    sums: list[float] = field(default_factory=list)
    squares: list[float] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tops = [FlatTops(self.limit) for _ in range(self.channels)]
        self.sums = [0.0] * self.channels
        self.squares = [0.0] * self.channels

    def push(self, block: NDArray[np.float32], mix: NDArray[np.float32]) -> None:
        """Measure samples in [-1, 1], shape ``(n, channels)``, and their mix, shape ``(n,)``."""
        for number, tops in enumerate(self.tops):
            channel = np.ascontiguousarray(block[:, number])
            tops.push(channel)
            self.peak = max(self.peak, float(channel.max()), -float(channel.min()))
            self.sums[number] += float(channel.sum(dtype=np.float64))
            self.squares[number] += _energy(channel)
        self.mix_square += _energy(mix)
        self.count += len(mix)

    @property
    def offset(self) -> float:
        """The mean of the mix, in [-1, 1]."""
        return sum(self.sums) / self.channels / self.count if self.count else 0.0

    @property
    def levels_db(self) -> tuple[float, ...]:
        """The RMS level of each channel, without its offset."""
        pairs = zip(self.squares, self.sums, strict=True)
        return tuple(decibels(_variance(square, total, self.count)) for square, total in pairs)

    @property
    def mix_db(self) -> float:
        """The level of the mix against the mean power of the channels: 0 if all are the same."""
        pairs = zip(self.squares, self.sums, strict=True)
        power = sum(_variance(square, total, self.count) for square, total in pairs) / self.channels
        mixed = self.mix_square / self.count - self.offset**2 if self.count else 0.0
        # Below -100 dB it is the rounding of float32 that is measured.
        return decibels(max(mixed / power, 1e-10)) if power > 0 else 0.0

    @property
    def first_flat(self) -> int | None:
        """The index of the first sample that was cut off, in whatever channel."""
        return min((tops.first for tops in self.tops if tops.first is not None), default=None)


@dataclass(slots=True)
class FlatTops:
    """Counts the samples of one channel at which a wave was cut off at full scale.

    Attributes:
        limit: From which magnitude on a sample is at full scale.
        samples: How many lie in runs of `FLAT_SAMPLES` or more.
        runs: How many such runs there are.
        first: The index of the first of these samples, or None.
    """

    limit: float
    samples: int = 0
    runs: int = 0
    first: int | None = None
    _done: int = 0
    _open: tuple[int, int] = (0, 0)

    def push(self, channel: NDArray[np.float32]) -> None:
        """Look at the next samples, in [-1, 1], shape ``(n,)``, n > 0."""
        if max(float(channel.max()), -float(channel.min())) < self.limit:
            self._open = (0, 0)
        else:
            sides = (channel >= self.limit).astype(np.int8) - (channel <= -self.limit)
            begins = np.flatnonzero(np.diff(sides, prepend=np.int8(2)))
            self._count(sides[begins], begins, np.diff(begins, append=len(sides)))
        self._done += len(channel)

    def _count(
        self, sides: NDArray[np.int8], begins: NDArray[np.intp], lengths: NDArray[np.intp]
    ) -> None:
        """Count runs: on which side of zero each lies at full scale, or 0 if it does not."""
        side, before = self._open
        joined = before if side == sides[0] else 0
        lengths[0] += joined
        begins[0] -= joined
        flat = (sides != 0) & (lengths >= FLAT_SAMPLES)
        is_counted = joined >= FLAT_SAMPLES
        self.runs += int(np.count_nonzero(flat)) - is_counted
        self.samples += int(lengths[flat].sum()) - is_counted * joined
        if self.first is None and flat.any():
            self.first = self._done + int(begins[flat][0])
        self._open = (int(sides[-1]), int(lengths[-1]) if sides[-1] else 0)


@dataclass(slots=True)
class TelephoneMeter:
    """What is measured of the sound at 8000 Hz, before μ-law: levels in pieces of 20 ms.

    Attributes:
        count: How many samples passed.
        peak: The largest magnitude, 0 to 32768.
        noise: The energy of what μ-law changes.
    """

    count: int = 0
    peak: int = 0
    noise: float = 0.0
    _sum: int = 0
    _square: float = 0.0
    _rest: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    _powers: list[NDArray[np.float32]] = field(default_factory=list)

    def push(self, samples: NDArray[np.int16]) -> None:
        """Measure the next samples, shape ``(n,)``."""
        if not len(samples):
            return
        wide = samples.astype(np.float32)
        self.count += len(samples)
        self.peak = max(self.peak, int(samples.max()), -int(samples.min()))
        self._sum += int(samples.sum(dtype=np.int64))
        self._square += _energy(wide)
        self.noise += _energy(decode_ulaw(encode_ulaw(samples)) - wide)
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % PIECE
        self._rest = joined[whole:]
        pieces = joined[:whole].reshape(-1, PIECE).astype(np.float32)
        self._powers.append(pieces.var(axis=1) / np.float32(FULL_SCALE**2))

    @property
    def rms_db(self) -> float:
        """The level of all of it, without the offset."""
        return decibels(_variance(self._square, self._sum, self.count) / FULL_SCALE**2)

    @property
    def peak_db(self) -> float:
        """The level of the largest sample."""
        return decibels((self.peak / FULL_SCALE) ** 2)

    @property
    def quantisation_db(self) -> float:
        """How far what μ-law changes lies below the sound."""
        return decibels(self._square / self.noise) if self.noise else math.inf

    def powers(self) -> NDArray[np.float32]:
        """Return the power of each piece without its offset; a last one may be shorter."""
        last = [self._rest.astype(np.float32).var(keepdims=True)] if len(self._rest) else []
        scaled = [each / np.float32(FULL_SCALE**2) for each in last]
        return np.concatenate([np.empty(0, np.float32), *self._powers, *scaled])


def speech_level(powers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the level of what is not pause in dBFS, and which part of the time that is.

    Args:
        powers: Of pieces of 20 ms, as `TelephoneMeter.powers` gives them: mean squares without
            their offset, full scale being 1.

    The threshold depends on the level that it leads to, so it is sought step by step: what falls
    away each time is quieter than the rest, hence the level only rises and comes to a stand.
    """
    is_speech = powers > 0
    level = _mean_db(powers[is_speech])
    while np.isfinite(level):
        loud = powers > 10 ** ((level - MARGIN_DB) / 10)
        # Ones in front of each piece: it counts if one of the last ten was loud.
        kept = np.convolve(loud, np.ones(HANGOVER + 1, np.int32))[: len(powers)] > 0
        kept &= is_speech
        if (again := _mean_db(powers[kept])) <= level + 1e-6:
            return again, float(kept.mean())
        is_speech, level = kept, again
    return SILENT, 0.0


def noise_db(powers: NDArray[np.float32]) -> float:
    """Return the level of the quietest tenth, in dBFS; digital silence does not count."""
    present = np.sort(powers[powers > 0])
    return _mean_db(present[: max(round(len(present) * QUIETEST), 1)])


def silent_ends(
    powers: NDArray[np.float32], speech_db: float, seconds: float
) -> tuple[float, float]:
    """Return the seconds before the first piece that is heard, and after the last one."""
    threshold = max(speech_db - UNHEARD_DB, HEARD_AT_LEAST_DB)
    heard = np.flatnonzero(powers > 10 ** (threshold / 10))
    if not len(heard):
        return seconds, 0.0
    piece = PIECE / SAMPLE_RATE
    return float(heard[0]) * piece, max(seconds - (float(heard[-1]) + 1) * piece, 0.0)


def _mean_db(powers: NDArray[np.float32]) -> float:
    return decibels(float(powers.mean(dtype=np.float64))) if len(powers) else SILENT


class SpectrumMeter:
    """The average spectrum: windows of 32 to 64 ms, half over each other, without their offset."""

    def __init__(self, sample_rate: int) -> None:
        self._size = 1 << round(math.log2(sample_rate / 22))
        self._rate = sample_rate
        self._window = np.hanning(self._size + 1)[:-1].astype(np.float32)
        self._rest = np.empty(0, np.float32)
        self._power = np.zeros(self._size // 2 + 1)
        self._weight = 0.0

    def push(self, samples: NDArray[np.float32]) -> None:
        """Measure the next samples, in [-1, 1], shape ``(n,)``."""
        samples = np.concatenate([self._rest, samples])
        hop = self._size // 2
        count = max((len(samples) - self._size) // hop + 1, 0)
        self._rest = samples[count * hop :]
        if count:
            views = np.lib.stride_tricks.sliding_window_view(samples, self._size)
            is_long = self._weight * hop > WHOLE_SECONDS * self._rate
            self._add(views[: count * hop : hop * (8 if is_long else 1)], count)

    def result(self) -> Spectrum:
        """Return what was measured so far."""
        if not self._weight and len(self._rest):
            short = np.zeros((1, self._size), np.float32)
            short[0, : len(self._rest)] = self._rest
            self._add(short, 1)
        power = self._power / max(self._weight, 1)
        frequencies = np.arange(len(power), dtype=np.float64) * (self._rate / self._size)
        return Spectrum(frequencies[1:], power[1:])

    def _add(self, windows: NDArray[np.float32], weight: int) -> None:
        """Add windows, shape ``(m, size)``, that stand for `weight` of them."""
        level = windows - windows.mean(axis=1, keepdims=True)
        found = np.fft.rfft(level * self._window, axis=1)
        square = (found.real**2 + found.imag**2).sum(axis=0, dtype=np.float64)
        square[1:-1] *= 2  # the other half of a spectrum of real numbers
        scale = self._size * float(np.square(self._window, dtype=np.float64).sum())
        self._power += square * (weight / len(windows) / scale)
        self._weight += weight


@dataclass(frozen=True, slots=True)
class Spectrum:
    """How the power of a sound is spread over pitches.

    Attributes:
        frequencies: In Hz, evenly spaced from above 0, shape ``(n,)``.
        power: Mean square at each, full scale being 1, shape ``(n,)``; the sum is that of the
            sound.
    """

    frequencies: NDArray[np.float64]
    power: NDArray[np.float64]

    def share(self, low: float, high: float) -> float:
        """Return which part of the power, 0 to 1, lies from `low` up to `high` Hz."""
        inside = (self.frequencies >= low) & (self.frequencies < high)
        total = float(self.power.sum())
        return float(self.power[inside].sum()) / total if total > 0 else 0.0


def decibels(power: float) -> float:
    """Return a mean square, or a ratio of two, in dB; `SILENT` for 0."""
    return 10 * math.log10(power) if power > 0 else SILENT


def _energy(samples: NDArray[Any]) -> float:
    # Pieces, because float32 adds up to 7 digits only, and a block of float64 is twice as wide.
    total = 0.0
    for start in range(0, len(samples), 4096):
        piece = samples[start : start + 4096]
        total += float(np.dot(piece, piece))
    return total


def _variance(square: float, total: float, count: int) -> float:
    if not count:
        return 0.0
    power = square / count
    variance = power - (total / count) ** 2
    # A constant leaves rounding behind, and that is no sound.
    return variance if variance > power * 1e-6 else 0.0
