"""Meters that measure a sound block by block, in constant memory.

`open_channels` opens a source with its separate channels.  A `ChannelMeter` measures these, a
`TelephoneMeter` the sound after conversion for a call, and a `SpectrumMeter` its spectrum.
`measure_speech` distinguishes speech from pauses by the power of pieces of 20 ms.

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
from twistream_kit.audio.load import DecodedSound, build_headerless_format, find_decoder, open_sound
from twistream_kit.audio.resample import FULL_SCALE, QUIETLY, SAMPLE_RATE
from twistream_kit.sound_file import Source, read_at, recognise

SILENT = -math.inf
"""The level of digital silence."""

MOST_HEADER_BYTES = 480_000
"""How much of a header is kept: one minute, if played; a cover picture can be longer."""

FLAT_SAMPLES = 3
"""This many samples at full scale in a row count as clipping, not as a peak."""

PIECE = SAMPLE_RATE // 50
"""20 ms at the telephone's sample rate."""

MARGIN_DB = 15.9
"""The margin below the active speech level within which a piece counts as speech (ITU-T P.56)."""

HANGOVER = 10
"""The number of pieces after speech that still count as speech: 200 ms (ITU-T P.56)."""

UNHEARD_DB = 30.0
"""A piece this far below the speech level of a file is background."""

HEARD_AT_LEAST_DB = -60.0
"""Below this level nothing is audible on a telephone, whose own noise is louder."""

QUIETEST = 0.1
"""The fraction of the pieces, the quietest ones, whose level is the noise level."""

CARRIED_HZ = (300, 3400)
"""The band of a telephone call (ITU-T G.712); handsets reproduce little else."""

WHOLE_SECONDS = 300
"""For this long, all windows of the spectrum are computed; after it, one of eight."""


@contextmanager
def open_channels(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Iterator[Channels]:
    """Open a source of sound with its separate channels; arguments and errors as `load_clip`."""
    with open_sound(source, sample_rate=sample_rate, encoding=encoding) as sound:
        if sample_rate is not None and encoding is not None:
            form = build_headerless_format(encoding, sample_rate)
            limit = _find_full_scale(form.encoding, form.bits_per_sample)
            yield Channels(sound, f"{encoding}, headerless", limit, b"")
        elif sound.wav is not None:
            yield _describe_wav(sound, sound.wav)
        else:
            head = read_at(sound.opened.file, 0, 64)
            yield Channels(sound, recognise(head).what, _find_full_scale("", 0))


@dataclass(frozen=True, slots=True)
class Channels:
    """An open source of sound with its separate channels.

    Attributes:
        sound: The source as `load_clip` reads it; read only its `channel_blocks`.
        form: A description of its samples: ``PCM, 16 bit`` or ``an MP3 file``.
        limit: The magnitude of a sample at full scale, in [-1, 1].
        header: The bytes before the sound, at most `MOST_HEADER_BYTES`; empty for headerless
            sound, None if the format does not separate header and sound, such as MP3.
        header_bytes: The length of the whole header.
        trailing_bytes: The number of bytes after the sound.
    """

    sound: DecodedSound
    form: str
    limit: float
    header: bytes | None = None
    header_bytes: int = 0
    trailing_bytes: int = 0


def _describe_wav(sound: DecodedSound, wav: WavSound) -> Channels:
    form = wav.format
    return Channels(
        sound,
        f"{form.encoding}, {form.bits_per_sample} bit" if form.bits_per_sample else form.encoding,
        _find_full_scale(form.encoding, form.bits_per_sample if find_decoder(form) else 0),
        read_at(sound.opened.file, 0, min(wav.offset, MOST_HEADER_BYTES)),
        wav.offset,
        wav.trailing_bytes,
    )


def _find_full_scale(encoding: str, bits: int) -> float:
    """Return the magnitude of a clipped sample of an encoding."""
    if encoding in ("PCMU", "PCMA"):
        return (32124 if encoding == "PCMU" else 32256) / 32768
    # Most float samples come from 16 bits, whose largest value is just below 1.
    return 1 - 2.0 ** (1 - min(bits, 24)) if encoding == "PCM" and bits else 32767 / 32768


@dataclass(slots=True)
class ChannelMeter:
    """Measures level, DC offset and clipping of each channel, and the level of their mix.

    Args:
        channels: The number of channels.
        limit: The magnitude from which a sample counts as at full scale.
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
            self.squares[number] += _compute_energy(channel)
        self.mix_square += _compute_energy(mix)
        self.count += len(mix)

    @property
    def offset(self) -> float:
        """The mean of the mix, in [-1, 1]."""
        return sum(self.sums) / self.channels / self.count if self.count else 0.0

    @property
    def levels_db(self) -> tuple[float, ...]:
        """The RMS level of each channel, without its DC offset."""
        pairs = zip(self.squares, self.sums, strict=True)
        return tuple(
            to_decibels(_compute_variance(square, total, self.count)) for square, total in pairs
        )

    @property
    def mix_db(self) -> float:
        """The power of the mix relative to the mean power of the channels; 0 if all are equal."""
        pairs = zip(self.squares, self.sums, strict=True)
        power = (
            sum(_compute_variance(square, total, self.count) for square, total in pairs)
            / self.channels
        )
        mixed = self.mix_square / self.count - self.offset**2 if self.count else 0.0
        # Below -100 dB, the rounding of float32 dominates.
        return to_decibels(max(mixed / power, 1e-10)) if power > 0 else 0.0

    @property
    def first_flat(self) -> int | None:
        """The index of the first clipped sample of any channel."""
        return min((tops.first for tops in self.tops if tops.first is not None), default=None)


@dataclass(slots=True)
class FlatTops:
    """Counts the clipped samples of one channel.

    Attributes:
        limit: The magnitude from which a sample counts as at full scale.
        samples: The number of samples in runs of `FLAT_SAMPLES` or more.
        runs: The number of such runs.
        first: The index of the first of these samples, or None.
    """

    limit: float
    samples: int = 0
    runs: int = 0
    first: int | None = None
    _done: int = 0
    _open: tuple[int, int] = (0, 0)

    def push(self, channel: NDArray[np.float32]) -> None:
        """Count in the next samples, in [-1, 1], shape ``(n,)``, n > 0."""
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
        """Count runs; `sides` is 1 or -1 for a run at full scale, else 0."""
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
    """Measures the sound at 8000 Hz, before μ-law: the power of pieces of 20 ms.

    Attributes:
        count: The number of samples so far.
        peak: The largest magnitude, 0 to 32768.
        noise: The energy of the quantisation noise of μ-law.
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
        self._square += _compute_energy(wide)
        self.noise += _compute_energy(decode_ulaw(encode_ulaw(samples)) - wide)
        joined = np.concatenate([self._rest, samples])
        whole = len(joined) - len(joined) % PIECE
        self._rest = joined[whole:]
        pieces = joined[:whole].reshape(-1, PIECE).astype(np.float32)
        self._powers.append(pieces.var(axis=1) / np.float32(FULL_SCALE**2))

    @property
    def rms_db(self) -> float:
        """The overall level, without the DC offset."""
        return to_decibels(_compute_variance(self._square, self._sum, self.count) / FULL_SCALE**2)

    @property
    def peak_db(self) -> float:
        """The level of the largest sample."""
        return to_decibels((self.peak / FULL_SCALE) ** 2)

    @property
    def quantisation_db(self) -> float:
        """How far the quantisation noise of μ-law lies below the sound."""
        return to_decibels(self._square / self.noise) if self.noise else math.inf

    def compute_powers(self) -> NDArray[np.float32]:
        """Return the power of each piece, without its DC offset; the last may be shorter."""
        last = [self._rest.astype(np.float32).var(keepdims=True)] if len(self._rest) else []
        scaled = [each / np.float32(FULL_SCALE**2) for each in last]
        return np.concatenate([np.empty(0, np.float32), *self._powers, *scaled])


def measure_speech(powers: NDArray[np.float32]) -> tuple[float, float]:
    """Return the level without pauses, in dBFS, and the fraction of the time that is not pause.

    Args:
        powers: The powers of pieces of 20 ms, as `TelephoneMeter.compute_powers` returns them:
            mean squares without DC offset, full scale being 1.

    The threshold depends on the level, so both are found by iteration.  Each step removes pieces
    that are quieter than the rest; so the level only rises, and converges.
    """
    is_speech = powers > 0
    level = _mean_db(powers[is_speech])
    while np.isfinite(level):
        loud = powers > 10 ** ((level - MARGIN_DB) / 10)
        # A piece counts if it or one of the ten before it was loud.
        kept = np.convolve(loud, np.ones(HANGOVER + 1, np.int32))[: len(powers)] > 0
        kept &= is_speech
        if (again := _mean_db(powers[kept])) <= level + 1e-6:
            return again, float(kept.mean())
        is_speech, level = kept, again
    return SILENT, 0.0


def measure_noise(powers: NDArray[np.float32]) -> float:
    """Return the level of the quietest tenth of the pieces, without digital silence, in dBFS."""
    present = np.sort(powers[powers > 0])
    return _mean_db(present[: max(round(len(present) * QUIETEST), 1)])


def measure_silent_ends(
    powers: NDArray[np.float32], speech_db: float, seconds: float
) -> tuple[float, float]:
    """Return the seconds before the first audible piece, and after the last."""
    threshold = max(speech_db - UNHEARD_DB, HEARD_AT_LEAST_DB)
    heard = np.flatnonzero(powers > 10 ** (threshold / 10))
    if not len(heard):
        return seconds, 0.0
    piece = PIECE / SAMPLE_RATE
    return float(heard[0]) * piece, max(seconds - (float(heard[-1]) + 1) * piece, 0.0)


def _mean_db(powers: NDArray[np.float32]) -> float:
    return to_decibels(float(powers.mean(dtype=np.float64))) if len(powers) else SILENT


class SpectrumMeter:
    """Averages the spectrum over windows of 32 to 64 ms, half overlapping, without DC offset."""

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

    def compute_spectrum(self) -> Spectrum:
        """Return the average spectrum so far."""
        if not self._weight and len(self._rest):
            short = np.zeros((1, self._size), np.float32)
            short[0, : len(self._rest)] = self._rest
            self._add(short, 1)
        power = self._power / max(self._weight, 1)
        frequencies = np.arange(len(power), dtype=np.float64) * (self._rate / self._size)
        return Spectrum(frequencies[1:], power[1:])

    def _add(self, windows: NDArray[np.float32], weight: int) -> None:
        """Add windows, shape ``(m, size)``, with the weight of `weight` windows."""
        level = windows - windows.mean(axis=1, keepdims=True)
        with QUIETLY():
            found = np.fft.rfft(level * self._window, axis=1)
            square = (found.real**2 + found.imag**2).sum(axis=0, dtype=np.float64)
        square[1:-1] *= 2  # the negative frequencies of a real signal
        scale = self._size * float(np.square(self._window, dtype=np.float64).sum())
        self._power += square * (weight / len(windows) / scale)
        self._weight += weight


@dataclass(frozen=True, slots=True)
class Spectrum:
    """The power spectrum of a sound.

    Attributes:
        frequencies: The frequencies in Hz, evenly spaced from above 0, shape ``(n,)``.
        power: The mean square at each, full scale being 1, shape ``(n,)``; their sum is the mean
            square of the sound.
    """

    frequencies: NDArray[np.float64]
    power: NDArray[np.float64]

    def share(self, low: float, high: float) -> float:
        """Return the fraction of the power, 0 to 1, from `low` to below `high` Hz."""
        inside = (self.frequencies >= low) & (self.frequencies < high)
        total = float(self.power.sum())
        return float(self.power[inside].sum()) / total if total > 0 else 0.0

    def __repr__(self) -> str:
        if not len(self.frequencies):
            return "<Spectrum: nothing>"
        low, high = self.share(0, 300), self.share(3400, math.inf)
        return (
            f"<Spectrum up to {self.frequencies[-1]:.0f} Hz: {low:.0%} of the power below 300 Hz, "
            f"{high:.0%} above 3400 Hz>"
        )


def to_decibels(power: float) -> float:
    """Return a mean square, or a ratio of two, in dB; `SILENT` for 0."""
    return 10 * math.log10(power) if power > 0 else SILENT


def _compute_energy(samples: NDArray[Any]) -> float:
    # In pieces, because float32 has 7 digits only, and converting to float64 doubles the memory.
    total = 0.0
    for start in range(0, len(samples), 4096):
        piece = samples[start : start + 4096]
        with QUIETLY():
            total += float(np.dot(piece, piece))
    return total


def _compute_variance(square: float, total: float, count: int) -> float:
    if not count:
        return 0.0
    power = square / count
    variance = power - (total / count) ** 2
    # For a constant signal, only a rounding error remains.
    return variance if variance > power * 1e-6 else 0.0
