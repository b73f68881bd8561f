"""Examine a sound file before a call: one pass, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.damage import EXAMINED_BYTES, ByteShiftMeter, WrapMeter
from twistream_kit.audio.examination import Examination, Figures, derive_findings
from twistream_kit.audio.g711 import SILENCE, decode_ulaw
from twistream_kit.audio.load import LinearPart, encode_blocks
from twistream_kit.audio.measure import (
    CARRIED_HZ,
    ChannelMeter,
    Channels,
    Spectrum,
    SpectrumMeter,
    TelephoneMeter,
    measure_noise,
    measure_silent_ends,
    measure_speech,
    open_channels,
    to_decibels,
)
from twistream_kit.audio.resample import FULL_SCALE, QUIETLY, SAMPLE_RATE, Resampler, mix_to_mono
from twistream_kit.listing import Series
from twistream_kit.sound_file import Source, has_line_ends

KEPT_SECONDS = 60
"""How much of the sound is kept for audio players and plots."""

CLICK_SILENCE = bytes([SILENCE]) * (SAMPLE_RATE // 5)
"""0.2 s of silence before and after the click, so that it can be noticed."""


def examine(
    source: Source | Clip, *, sample_rate: int | None = None, encoding: str | None = None
) -> Examination:
    """Examine how a sound will be heard on the telephone: level, spectrum and faults.

    It takes one pass in constant memory, a few seconds for an hour of sound.  The sound is not
    changed.

    Args:
        source: A source that `load_clip` reads, or a `Clip`.
        sample_rate: For headerless mono sound, together with `encoding`: its sample rate in Hz.
        encoding: As for `load_clip`.

    Returns:
        A report with the measurements, and a finding for each property; levels are in dB.

    Raises:
        WavError: If there is no such file, it cannot be read as sound, or contains none.
        ValueError: If only one of the keywords is given, or the encoding is unknown.
        TypeError: If `source` is of another type, for example a file opened as text.

    Example:
        >>> import twistream_kit as kit
        >>> examination = kit.examine("sample_audio/greeting.wav")
        >>> examination.figures
        <Figures of PCM, 16 bit, 2 at 44100 Hz, 4.21 s: speech -16.1 dBFS, peak -4.0 dBFS, ...>
        >>> examination.findings[1]
        <Finding ok, clipping: Nothing is cut off; the file's peak is -3.1 dBFS.>
    """
    name = ""
    if isinstance(source, Clip):
        name = source.name or "clip"
        source, sample_rate, encoding = source.payload, SAMPLE_RATE, "PCMU"
    with open_channels(source, sample_rate=sample_rate, encoding=encoding) as channels:
        meters = _Meters(channels)
        payload = _keep_first_minute(meters.convert())
        name = name or channels.sound.opened.name
        return _build_examination(name, channels, meters, payload)


@dataclass(slots=True)
class _Meters:
    """All meters, fed while the sound is converted."""

    source: Channels
    sides: ChannelMeter = field(init=False)
    spectrum: SpectrumMeter = field(init=False)
    telephone: TelephoneMeter = field(default_factory=TelephoneMeter)
    resampler: Resampler = field(init=False)
    before: list[NDArray[np.int16]] = field(default_factory=list)
    wraps: list[WrapMeter] = field(default_factory=list)
    shift: ByteShiftMeter | None = None

    def __post_init__(self) -> None:
        rate = self.source.sound.sample_rate
        self.wraps = [WrapMeter() for _ in range(self.source.sound.channels)]
        parts = self.source.sound.parts
        widths = {part.width if isinstance(part, LinearPart) else 0 for part in parts}
        if widths in ({2}, {3}):
            self.shift = ByteShiftMeter(widths.pop(), rate)
        self.sides = ChannelMeter(self.source.sound.channels, self.source.limit)
        self.spectrum = SpectrumMeter(rate)
        self.resampler = _MeasuredResampler(rate, self.telephone)

    def convert(self) -> Iterator[bytes]:
        """Yield the payload that `load_clip` makes, and feed the meters."""
        sound = self.source.sound
        if sound.payload is None:
            yield from encode_blocks(sound, self.resampler, self._mix_blocks())
            return
        for piece in encode_blocks(sound, self.resampler, sound.payload):
            samples = decode_ulaw(piece)
            self.telephone.push(samples)
            linear = samples.astype(np.float32) / np.float32(FULL_SCALE)
            self._measure(linear[:, None], linear)
            yield piece

    def _mix_blocks(self) -> Iterator[NDArray[np.float32]]:
        for block in self.source.sound.channel_blocks:
            mix = mix_to_mono(block, 1.0)
            yield mix  # first, because the conversion refuses NaN, which the meters cannot handle
            self._measure(block, mix)

    def _measure(self, block: NDArray[np.float32], mix: NDArray[np.float32]) -> None:
        room = KEPT_SECONDS * self.source.sound.sample_rate - self.sides.count
        if room > 0:
            with QUIETLY():
                scaled = np.rint(block[:room, :2] * np.float32(FULL_SCALE))
            self.before.append(np.clip(scaled, -FULL_SCALE, FULL_SCALE - 1).astype(np.int16))
        self.sides.push(block, mix)
        self.spectrum.push(mix)
        for number, meter in enumerate(self.wraps):
            meter.push(block[:, number])
        if self.shift is not None:
            full = np.float32(1 << (8 * self.shift.width - 1))
            self.shift.push(np.rint(block * full))


class _MeasuredResampler(Resampler):
    """A resampler that feeds its result to a meter."""

    def __init__(self, rate_in: int, meter: TelephoneMeter) -> None:
        super().__init__(rate_in)
        self._meter = meter

    def push(self, samples: NDArray[Any]) -> NDArray[np.int16]:
        finished = super().push(samples)
        self._meter.push(finished)
        return finished

    def flush(self) -> NDArray[np.int16]:
        rest = super().flush()
        self._meter.push(rest)
        return rest


def _keep_first_minute(pieces: Iterator[bytes]) -> bytes:
    """Consume all pieces and return the first minute."""
    kept = bytearray()
    for piece in pieces:
        kept += piece[: KEPT_SECONDS * SAMPLE_RATE - len(kept)]
    return bytes(kept)


def _build_examination(name: str, source: Channels, meters: _Meters, payload: bytes) -> Examination:
    spectrum, after = meters.spectrum.compute_spectrum(), SpectrumMeter(SAMPLE_RATE)
    after.push(decode_ulaw(payload).astype(np.float32) / np.float32(FULL_SCALE))
    figures = _build_figures(source, meters, spectrum)
    header = source.header
    return Examination(
        name=name,
        figures=figures,
        findings=Series.of(derive_findings(figures), "findings"),
        before=np.concatenate(
            [np.empty((0, min(source.sound.channels, 2)), np.int16), *meters.before]
        ),
        sample_rate=source.sound.sample_rate,
        after=Clip(payload, name, meters.resampler.clipped, source.sound.missing_seconds),
        click=Clip(CLICK_SILENCE + header + CLICK_SILENCE, f"header of {name}") if header else None,
        spectrum_before=spectrum,
        spectrum_after=after.compute_spectrum(),
    )


def _build_figures(source: Channels, meters: _Meters, spectrum: Spectrum) -> Figures:
    sides, telephone, sound = meters.sides, meters.telephone, source.sound
    powers = telephone.compute_powers()
    speech, active = measure_speech(powers)
    before, after = measure_silent_ends(powers, speech, telephone.count / SAMPLE_RATE)
    first = sides.first_flat
    wraps = [meter for meter in meters.wraps if meter.is_wrapped]
    header = np.abs(decode_ulaw(source.header or b"").astype(np.float64))
    return Figures(
        seconds=telephone.count / SAMPLE_RATE,
        rms_db=telephone.rms_db,
        peak_db=telephone.peak_db,
        speech_db=speech,
        active=active,
        noise_db=measure_noise(powers),
        silence_before=before,
        silence_after=after,
        quantisation_db=telephone.quantisation_db,
        clipped_by_mixing=meters.resampler.clipped,
        form=source.form,
        sample_rate=sound.sample_rate,
        channels=source.sound.channels,
        missing_seconds=sound.missing_seconds,
        n_files=len(sound.parts),
        noise_from=None if meters.shift is None else meters.shift.shifted_from,
        wrapped_samples=sum(meter.wrapped for meter in wraps),
        first_wrapped_at=min(
            (meter.first / sound.sample_rate for meter in wraps if meter.first is not None),
            default=None,
        ),
        uncounted_bytes=0 if sound.wav is None else sound.wav.rest_bytes,
        file_peak_db=to_decibels(sides.peak**2),
        clipped_samples=sum(tops.samples for tops in sides.tops),
        clipped_runs=sum(tops.runs for tops in sides.tops),
        first_clipped_at=None if first is None else first / sound.sample_rate,
        offset=sides.offset,
        above_3400=spectrum.share(CARRIED_HZ[1], math.inf),
        below_300=spectrum.share(0, CARRIED_HZ[0]),
        channels_db=sides.levels_db,
        mix_db=sides.mix_db,
        header_bytes=None if source.header is None else source.header_bytes,
        header_peak_db=to_decibels((float(header.max(initial=0.0)) / FULL_SCALE) ** 2),
        trailing_bytes=source.trailing_bytes,
        has_inserted_bytes=_has_inserted_bytes(source),
    )


def _has_inserted_bytes(source: Channels) -> bool:
    """Whether the bytes of bare sound, after any header, were changed as line ends."""
    if source.header is None:
        return False
    file = source.sound.opened.file
    file.seek(source.header_bytes)
    return has_line_ends(file.read(EXAMINED_BYTES))
