"""The result of `examine`: the figures of a sound file, and what they mean for the caller.

A finding holds the problem, its consequence for the caller, and the fix.  `measure` computes the
figures.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.measure import Spectrum
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.errors import Explained, Severity, join_sentences
from twistream_kit.listing import Series

DBM0 = 6.18
"""The offset from dBFS (RMS) to dBm0: a full-scale sine is 3.17 dBm0 in μ-law (ITU-T G.711)."""

NOMINAL_DBM0 = -19.0
"""The nominal level of speech in a call, ± 6 dB (RFC 7874 §4, after ITU-T G.169)."""

TOLERANCE_DB = 6.0
"""The tolerance around `NOMINAL_DBM0`; beyond twice the tolerance a finding is a warning."""

MOST_UNCOUNTED = 1000
"""Fewer bytes than these at the end are no sound that anybody would miss: a tag, or padding."""

SAMPLES_OF = "With `samples, rate = soundfile.read(path)`"
"""The first words of most fixes."""

_SIGNS = {"ok": " ok ", "note": "note", "warning": "WARN"}


@dataclass(frozen=True, slots=True, repr=False)
class Examination:
    """How a sound file will be heard on the telephone.

    Attributes:
        name: The name of the file.
        figures: The measurements.
        findings: One finding for each property that was checked.
        before: The first minute as it is in the file: int16, shape ``(n, channels)``; at most the
            first two channels.
        sample_rate: The sample rate of `before`, in Hz.
        after: The first minute as the caller hears it.
        click: The sound of the header if the file were sent whole, with 0.2 s of silence before
            and after it; None if there is no header.
        spectrum_before: The spectrum of the file.
        spectrum_after: The spectrum after conversion for the telephone.

    Example:
        >>> import twistream_kit as kit
        >>> examination = kit.examine("sample_audio/greeting.wav")
        >>> [finding.subject for finding in examination.findings if finding.severity != "ok"]
        ['level', 'high pitches', 'header']
        >>> round(examination.figures.peak_db, 1), examination.before.shape
        (-4.0, (185661, 2))
    """

    name: str
    figures: Figures
    findings: Series[Finding]
    before: NDArray[np.int16] = field(compare=False)
    sample_rate: int
    after: Clip
    click: Clip | None
    spectrum_before: Spectrum = field(compare=False)
    spectrum_after: Spectrum = field(compare=False)

    @property
    def ok(self) -> bool:
        """Whether there is no warning."""
        return all(finding.severity != "warning" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """The result in one sentence."""
        mend = [found.subject for found in self.findings if found.severity == "warning"]
        subject = "It" if self.name == "bytes" else self.name
        if not mend:
            return f"{subject} will be well understood on a telephone"
        return f"{subject} should be corrected before a call: {', '.join(mend)}"

    @property
    def heading(self) -> str:
        """A short description of the file: name, encoding, channels, sample rate, duration."""
        found = self.figures
        channels = {1: "mono", 2: "stereo"}.get(found.channels, f"{found.channels} channels")
        form = f"{found.form}, {channels}, {found.sample_rate} Hz"
        return f"{self.name}: {form}, {found.seconds:.2f} s on the telephone"

    def __repr__(self) -> str:
        width = max((len(finding.subject) for finding in self.findings), default=0)
        lines = [self.heading, ""]
        for finding in self.findings:
            sign, subject = _SIGNS[finding.severity], finding.subject.ljust(width)
            lines.append(f"{sign}  {subject}  {join_sentences(finding.problem)}")
            if rest := join_sentences(finding.consequence, finding.fix):
                lines.append(f"{'':{width + 8}}{rest}")
        return "\n".join([*lines, "", f"{self.verdict}."])

    __str__ = __repr__


@dataclass(frozen=True, slots=True)
class Finding(Explained):
    """The result of one check.

    Attributes:
        subject: The property that was checked: ``level``, ``clipping``, ``noise``, …
        severity: ``ok``, ``note`` (worth knowing) or ``warning`` (worth fixing).
        problem: What was found, with its figure.
        consequence: What the caller hears of it; may be empty.
        fix: What to do, in this package's names; may be empty.
    """

    subject: str
    severity: Severity | Literal["ok"]
    problem: str
    consequence: str = ""
    fix: str = ""

    def __repr__(self) -> str:
        return f"<Finding {self.severity}, {self.subject}: {self}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """The measurements of a sound file.  RMS levels are in dBFS; 0 is a full-scale square wave.

    After the conversion to one channel at 8000 Hz, before μ-law:

    Attributes:
        seconds: The duration.
        rms_db: The overall level in dBFS; -inf for silence.
        peak_db: The largest sample, in dBFS.
        speech_db: The level without pauses, in dBFS: of the pieces of 20 ms down to 15.9 dB below
            it and the 200 ms after each (as in ITU-T P.56, but in pieces and without its filter).
        active: The fraction of the time that is not pause, 0 to 1.
        noise_db: The level of the quietest tenth of all pieces that are not digital silence.
        silence_before: Seconds before the first audible piece.
        silence_after: Seconds after the last one.
        quantisation_db: How far the noise of μ-law lies below the sound; inf if the file is μ-law
            already, so that none is added.
        clipped_by_mixing: How many samples exceed full scale during the conversion.

    In the file:

    Attributes:
        form: The encoding, ``PCM, 16 bit``.
        sample_rate: The sample rate in Hz.
        channels: The number of channels.
        missing_seconds: How much sound is missing because the file was cut off.
        n_files: The number of files that were put end to end; 1 as a rule.
        noise_from: The time in seconds from which on a byte is missing or too many, or None.
        wrapped_samples: The number of samples that wrapped around.
        first_wrapped_at: The time of the first of them, in seconds, or None.
        uncounted_bytes: The number of bytes at its end that no header counts.
        file_peak_db: The largest sample of any channel, in dBFS.
        clipped_samples: The number of samples in runs of three or more at full scale.
        clipped_runs: The number of such runs.
        first_clipped_at: The time of the first of them, in seconds, or None.
        offset: The mean of all samples (DC offset), -1 to 1.
        above_3400: The fraction of the energy above 3.4 kHz, 0 to 1.
        below_300: The fraction of the energy below 300 Hz, 0 to 1.
        channels_db: The RMS level of each channel.
        mix_db: The power of the mix relative to the mean power of the channels: 0 if all are the
            same, -3 if they are uncorrelated or one is silent, far below if they cancel each other.
        header_bytes: The number of bytes before the sound; None if the format does not separate
            header and sound.
        header_peak_db: The largest sample of the header, if it were played.
        trailing_bytes: The number of bytes after the sound.
        has_inserted_bytes: Whether 0D stands before every 0A, as in a file opened as text.
    """

    seconds: float
    rms_db: float
    peak_db: float
    speech_db: float
    active: float
    noise_db: float
    silence_before: float
    silence_after: float
    quantisation_db: float
    clipped_by_mixing: int
    form: str
    sample_rate: int
    channels: int
    missing_seconds: float
    n_files: int
    noise_from: float | None
    wrapped_samples: int
    first_wrapped_at: float | None
    uncounted_bytes: int
    file_peak_db: float
    clipped_samples: int
    clipped_runs: int
    first_clipped_at: float | None
    offset: float
    above_3400: float
    below_300: float
    channels_db: tuple[float, ...]
    mix_db: float
    header_bytes: int | None
    header_peak_db: float
    trailing_bytes: int
    has_inserted_bytes: bool = False

    @property
    def speech_dbm0(self) -> float:
        """The level without pauses, in dBm0, the unit of telephony."""
        return self.speech_db + DBM0

    @property
    def header_ms(self) -> float:
        """The duration of the header, if it were played."""
        return (self.header_bytes or 0) / 8

    @property
    def above_3400_db(self) -> float:
        """The energy above 3.4 kHz relative to the total energy, in dB."""
        return 10 * math.log10(self.above_3400) if self.above_3400 > 0 else -math.inf

    @property
    def below_300_db(self) -> float:
        """The energy below 300 Hz relative to the total energy, in dB."""
        return 10 * math.log10(self.below_300) if self.below_300 > 0 else -math.inf

    def __repr__(self) -> str:
        what = f"{self.form}, {self.channels} at {self.sample_rate} Hz, {self.seconds:.2f} s"
        levels = f"speech {self.speech_db:.1f} dBFS, peak {self.peak_db:.1f} dBFS"
        return f"<Figures of {what}: {levels}, noise {self.noise_db:.1f} dBFS>"


_CANCELLED_DB, _CHANNELS_AUDIBLE_DB = -20.0, -60.0
"""The change of level by mixing from which hardly anything is left, and what would be heard."""


def derive_findings(figures: Figures) -> tuple[Finding, ...]:
    """Return a finding for each property, in the order in which to fix them."""
    if figures.mix_db < _CANCELLED_DB and max(figures.channels_db) > _CHANNELS_AUDIBLE_DB:
        # The level and the pauses of the mix say nothing of the sound.
        return (
            *_check_length(figures), *_check_damage(figures), *_check_channels(figures),
            *_check_offset(figures),
            *_check_clipping(figures), *_check_header(figures),
        )  # fmt: skip
    if math.isinf(figures.rms_db):
        silence = Finding(
            "level", "warning", "All of it is silence", "The caller hears nothing",
            "Check the recording; `kit.plot_waveform(kit.load_clip(path))` shows it",
        )  # fmt: skip
        return (*_check_length(figures), silence, *_check_header(figures))
    if figures.noise_from is not None or figures.has_inserted_bytes:
        return (*_check_length(figures), *_check_damage(figures), *_check_header(figures))
    checks = (
        _check_length,
        _check_damage,
        _check_level,
        _check_clipping,
        _check_offset,
        _check_noise,
        _check_silence,
        _check_high_pitches,
        _check_low_pitches,
        _check_channels,
        _check_header,
        _check_quantisation,
    )
    return tuple(finding for check in checks for finding in check(figures))


def _check_length(figures: Figures) -> Iterator[Finding]:
    if figures.missing_seconds:
        yield Finding(
            "length",
            "warning",
            f"It is cut off: {figures.missing_seconds:.2f} s that the header promises are missing",
            "The caller hears it break off",
            "Fetch or record it again; kit.load_clip takes what is there",
        )
    if figures.n_files > 1:
        yield Finding(
            "files",
            "note",
            f"It is {figures.n_files} files put end to end, headers included",
            "kit.load_clip joins their sound; other programs play the first only, or play the "
            "headers as clicks",
            "Take the header off each before they are joined, or add clips: "
            "`kit.load_clip(a) + kit.load_clip(b)`",
        )
    if figures.uncounted_bytes > MOST_UNCOUNTED:
        yield Finding(
            "length",
            "warning",
            f"{figures.uncounted_bytes} bytes at its end are counted by no header",
            "If they are sound, the caller does not hear it",
            "Write the header when the sound is complete, with the size of all of it",
        )
    if figures.sample_rate < SAMPLE_RATE:
        yield Finding(
            "pitches",
            "note",
            f"At {figures.sample_rate} Hz it holds nothing above {figures.sample_rate // 2} Hz",
            "It sounds duller than it has to on a telephone",
            "Record it at 8000 Hz or more",
        )


def _check_damage(figures: Figures) -> Iterator[Finding]:
    if figures.has_inserted_bytes:
        yield Finding(
            "noise",
            "warning",
            "Bytes were inserted: 0D stands before every 0A, as if they were line ends; the file "
            "was written or sent in text mode",
            "The caller hears a roar in place of the voice",
            "Open it with 'wb' and send it as binary. This one is restored, but for what was 0D 0A "
            "before: `pathlib.Path(path).read_bytes().replace(b'\\r\\n', b'\\n')`",
        )
    elif figures.noise_from is not None:
        yield Finding(
            "noise",
            "warning",
            f"From {figures.noise_from:.1f} s on it is loud noise: a byte is missing or too many "
            "there, so that each sample is read from the wrong byte on",
            "The caller hears a roar in place of the voice",
            "Keep pieces of sound at a whole number of samples: carry an odd byte over to the next "
            "piece, and make pauses of whole samples. From the beginning on it may also be the "
            "byte order",
        )
    elif figures.wrapped_samples:
        where = figures.first_wrapped_at or 0.0
        yield Finding(
            "clipping",
            "warning",
            f"{figures.wrapped_samples} samples jump over the whole scale, the first at "
            f"{where:.2f} s: they were beyond full scale and wrapped around when they were made "
            "integers",
            "It crackles loudly; what wrapped around cannot be restored",
            "Scale or clip before the cast: "
            "`(samples / abs(samples).max() * 26000).astype('int16')`, or give the floats to "
            "kit.Clip.from_samples, which clips",
        )


def _check_level(figures: Figures) -> Iterator[Finding]:
    level, lacks = figures.speech_dbm0, NOMINAL_DBM0 - figures.speech_dbm0
    problem = (
        f"{level:.1f} dBm0 where it is not pause ({figures.rms_db:.1f} dBFS RMS over all, "
        f"peak {figures.peak_db:.1f} dBFS)"
    )
    if abs(lacks) <= TOLERANCE_DB:
        yield Finding("level", "ok", f"{problem}: right for a call")
        return
    severity: Severity = "warning" if abs(lacks) > 2 * TOLERANCE_DB else "note"
    change = f"{SAMPLES_OF}: `kit.Clip.from_samples(samples * {10 ** (lacks / 20):.2g}, rate)`"
    room = -figures.peak_db
    if lacks < 0:
        words = "too loud for a call" if severity == "warning" else "loud for a call"
        ear = "It is much louder than other voices, and echo cancellers work badly with it"
    else:
        words = "too soft for a call" if severity == "warning" else "soft for a call"
        ear = "In a noisy place the caller misses words"
        if lacks > room:
            change += f", after compressing it: its peaks leave {room:.0f} dB only"
    nominal = f"speech should be at {NOMINAL_DBM0:.0f} ± {TOLERANCE_DB:.0f} dBm0 (RFC 7874)"
    yield Finding("level", severity, f"{problem}: {words}", f"{ear}; {nominal}", change)


def _check_clipping(figures: Figures) -> Iterator[Finding]:
    if figures.clipped_runs:
        where = figures.first_clipped_at or 0.0
        places = "one place" if figures.clipped_runs == 1 else f"{figures.clipped_runs} places"
        yield Finding(
            "clipping",
            "warning" if figures.clipped_runs > 2 else "note",
            f"{figures.clipped_samples} samples in {places} are cut off at full scale, "
            f"the first at {where:.2f} s",
            "It crackles on loud syllables; a lower level does not restore what was cut off",
            "Record it again with less gain",
        )
    # Wrapped samples also go beyond full scale in a conversion; a lower level does not mend them.
    if figures.clipped_by_mixing and not figures.clipped_runs and not figures.wrapped_samples:
        yield Finding(
            "clipping",
            "note",
            f"{figures.clipped_by_mixing} samples go beyond full scale in the conversion and are "
            "cut off",
            "Loud syllables may crackle",
            f"{SAMPLES_OF}: `kit.Clip.from_samples(samples * 0.8, rate)`",
        )
    if not figures.clipped_runs and not figures.clipped_by_mixing and not figures.wrapped_samples:
        peak = figures.file_peak_db
        yield Finding("clipping", "ok", f"Nothing is cut off; the file's peak is {peak:.1f} dBFS")


def _check_offset(figures: Figures) -> Iterator[Finding]:
    offset = abs(figures.offset)
    problem = f"An offset (DC) of {100 * figures.offset:.2f} % of full scale"
    if offset < 0.005:
        yield Finding("offset", "ok", problem)
        return
    yield Finding(
        "offset",
        "warning" if offset >= 0.03 else "note",
        problem,
        "A thump where the sound begins, ends or is cleared, and coarser steps of μ-law for quiet "
        "sounds",
        f"{SAMPLES_OF}: `kit.Clip.from_samples(samples - samples.mean(axis=0), rate)`",
    )


def _check_noise(figures: Figures) -> Iterator[Finding]:
    if math.isinf(figures.noise_db):
        return
    below = figures.speech_db - figures.noise_db
    problem = (
        f"The quietest tenth lies at {figures.noise_db:.0f} dBFS, {below:.0f} dB below the rest"
    )
    if below < 6:
        yield Finding("noise", "ok", f"{problem}: there is no pause in which noise would be heard")
    elif figures.noise_db <= -50:
        yield Finding("noise", "ok", problem)
    else:
        yield Finding(
            "noise",
            "warning" if below < 20 else "note",
            problem,
            "It hisses or hums in the pauses, and the caller hears where the file begins and ends",
            "Record it in a quiet room, nearer to the microphone",
        )


def _check_silence(figures: Figures) -> Iterator[Finding]:
    before, after = figures.silence_before, figures.silence_after
    problem = f"{before:.2f} s of silence before the sound, {after:.2f} s after it"
    if before <= 0.5 and after <= 1.0:
        yield Finding("silence", "ok", problem)
        return
    begin, end = int(max(before - 0.1, 0) * 8000), int(max(after - 0.2, 0) * 8000)
    cut = f"{begin or ''}:{f'-{end}' if end else ''}"
    ears = [
        "the caller waits and may think that nothing comes" if before > 0.5 else "",
        "its mark comes back that much after the last word" if after > 1.0 else "",
    ]
    consequence = "; ".join(filter(None, ears)).capitalize()
    yield Finding(
        "silence",
        "warning" if before > 2 or after > 5 else "note",
        problem,
        consequence,
        f"Cut it: `kit.Clip(kit.load_clip(path).payload[{cut}])`",
    )


def _check_high_pitches(figures: Figures) -> Iterator[Finding]:
    share = figures.above_3400
    level = _format_db(figures.above_3400_db)
    problem = f"{_format_percent(share)} of its energy ({level}) lies above 3.4 kHz"
    if share < 0.001:
        yield Finding("high pitches", "ok", problem)
        return
    consequence = "The telephone does not carry it: s and f will be hard to tell apart"
    fix = "As with every call: say names and numbers slowly, letters as words"
    if share >= 0.2:
        fix = "Choose another voice or sound: much of this one is not heard"
    yield Finding("high pitches", "warning" if share >= 0.2 else "note", problem, consequence, fix)


def _check_low_pitches(figures: Figures) -> Iterator[Finding]:
    share = figures.below_300
    level = _format_db(figures.below_300_db)
    problem = f"{_format_percent(share)} of its energy ({level}) lies below 300 Hz"
    if share < 0.9:  # four fifths are usual for a deep voice: its fundamental
        yield Finding("low pitches", "ok", problem)
        return
    yield Finding(
        "low pitches",
        "warning" if share >= 0.98 else "note",
        problem,
        "A handset hardly reproduces it: what is left sounds thinner and softer than here",
        "Filter out what lies below 200 Hz before kit.load_clip, then look at the level again",
    )


def _check_channels(figures: Figures) -> Iterator[Finding]:
    if figures.channels == 1:
        return
    loudest = max(figures.channels_db)
    silent = [n for n, level in enumerate(figures.channels_db, 1) if level < loudest - 40]
    problem = (
        f"Mixing {figures.channels} channels into one changes the level {figures.mix_db:.1f} dB"
    )
    one = figures.channels_db.index(loudest)
    fix = (
        f"Take one channel: {SAMPLES_OF.lower()}, `kit.Clip.from_samples(samples[:, {one}], rate)`"
    )
    if figures.mix_db < -6 and not silent:
        ear = "The channels cancel each other: in mono the voice sounds hollow, or is inaudible"
        yield Finding("channels", "warning", problem, ear, fix)
    elif silent:
        names = " and ".join(map(str, silent))
        problem += f", because channel {names} is silent"
        yield Finding("channels", "note", problem, "It is softer than it needs to be", fix)
    else:
        yield Finding("channels", "ok", problem)


def _check_header(figures: Figures) -> Iterator[Finding]:
    if figures.header_bytes is None:
        yield Finding(
            "header",
            "note",
            f"The file is {figures.form}",
            "Sent as it is, all of it would be noise in the caller's ear",
            "Send kit.load_clip(path).payload",
        )
    elif figures.header_bytes == 0:
        yield Finding("header", "ok", "No header: nothing clicks")
    else:
        after = f", and {figures.trailing_bytes} after it" if figures.trailing_bytes else ""
        click = f"{figures.header_ms:.1f} ms" if figures.header_ms < 100 else "a burst"
        yield Finding(
            "header",
            "note",
            f"{figures.header_bytes} bytes before the sound{after}",
            f"If they are sent, they are heard as a click of {click} with a peak of "
            f"{figures.header_peak_db:.1f} dBFS (`.click` lets you hear it)",
            "Send kit.load_clip(path).payload, which has no header",
        )


def _check_quantisation(figures: Figures) -> Iterator[Finding]:
    ratio = figures.quantisation_db
    if math.isinf(ratio):
        yield Finding("μ-law", "ok", "It is μ-law already: the conversion adds no noise")
        return
    problem = f"The noise that μ-law adds lies {ratio:.0f} dB below the sound"
    if ratio >= 30:
        yield Finding("μ-law", "ok", problem)
        return
    ear = "The voice is grainy, because it is too soft for the steps of μ-law"
    yield Finding("μ-law", "warning" if ratio < 20 else "note", problem, ear, "Raise its level")


def _format_percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "under 0.1 %"


def _format_db(level: float) -> str:
    return f"{level:.0f} dB" if math.isfinite(level) else "nothing"
