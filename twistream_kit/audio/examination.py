"""What `examine` gives: the figures of a file, and what each means in the caller's ear."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.spectrum import Spectrum
from twistream_kit.errors import sentences

Severity = Literal["ok", "note", "warning"]

DBM0 = 6.18
"""What dBFS of an RMS value lack to dBm0: a full-scale sine is 3.17 dBm0 in μ-law (ITU-T G.711)."""

_SIGNS = {"ok": " ok ", "note": "note", "warning": "WARN"}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        subject: What it is about: ``level``, ``clipping``, ``noise``, …
        severity: ``ok``, ``note`` (worth knowing) or ``warning`` (worth mending).
        problem: What was found, with its figure.
        consequence: What follows in the caller's ear; may be empty.
        fix: What to do, in this package's names; may be empty.
    """

    subject: str
    severity: Severity
    problem: str
    consequence: str = ""
    fix: str = ""

    def __str__(self) -> str:
        return sentences(self.problem, self.consequence, self.fix)


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What was measured.  RMS levels are in dBFS, 0 being a full-scale square wave.

    Of the telephone's side, that is of the sound in one channel at 8000 Hz before μ-law:

    Attributes:
        seconds: How long it lasts.
        rms_db: The level of all of it, in dBFS; -inf for silence.
        peak_db: The largest sample, in dBFS.
        speech_db: The level of what is not pause, in dBFS: pieces of 20 ms up to 15.9 dB below
            it, and 200 ms after each (the idea of ITU-T P.56, in pieces and without its filter).
        active: Which part of the time that was, 0 to 1.
        noise_db: The level of the quietest tenth of all pieces that are not digital silence.
        silence_before: Seconds before the first piece that is heard.
        silence_after: Seconds after the last one.
        quantisation_db: How far the noise of μ-law lies below the sound; inf where the file is
            μ-law already and nothing is added.
        clipped_by_mixing: How many samples lie beyond full scale in the conversion.

    Of the file's side:

    Attributes:
        form: The encoding, ``PCM, 16 bit``.
        sample_rate: In Hz.
        channels: How many there are.
        missing_seconds: How much the file promises and does not hold.
        file_peak_db: The largest sample of any channel, in dBFS.
        clipped_samples: How many lie in runs of three or more at full scale.
        clipped_runs: How many such runs there are.
        first_clipped_at: When the first begins, in seconds, or None.
        offset: The mean of all samples (DC), -1 to 1.
        above_3400: Which part of the energy lies above 3.4 kHz, 0 to 1.
        below_300: Which part of it lies below 300 Hz, 0 to 1.
        channels_db: The RMS level of each channel.
        mix_db: The mix against the mean power of the channels: 0 if all are the same, -3 if they
            have nothing in common or one is silent, far below if they cancel each other.
        header_bytes: Bytes before the sound; None where header and sound cannot be told apart.
        header_peak_db: The largest sample of the header, if it were played.
        trailing_bytes: Bytes after the sound.
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

    @property
    def speech_dbm0(self) -> float:
        """The level of what is not pause, as telephone engineers count: in dBm0."""
        return self.speech_db + DBM0

    @property
    def header_ms(self) -> float:
        """How long the header would be heard if the file were sent whole."""
        return (self.header_bytes or 0) / 8

    @property
    def above_3400_db(self) -> float:
        """The energy above 3.4 kHz against all of it, in dB."""
        return 10 * math.log10(self.above_3400) if self.above_3400 > 0 else -math.inf

    @property
    def below_300_db(self) -> float:
        """The energy below 300 Hz against all of it, in dB."""
        return 10 * math.log10(self.below_300) if self.below_300 > 0 else -math.inf


@dataclass(frozen=True, slots=True, repr=False)
class Examination:
    """What the telephone will make of a file.

    Attributes:
        name: Of the file.
        figures: What was measured.
        findings: What it means, one for each thing that was looked at.
        before: The first minute as it is in the file: int16, shape ``(n, channels)``, of more
            than two channels the first two.
        sample_rate: Of `before`, in Hz.
        after: The first minute as the caller hears it.
        click: What would be heard of the header if the file were sent whole, between two tenths
            of a second of silence; None where there is no header.
        spectrum_before: Which pitches the file holds.
        spectrum_after: Which of them the telephone gets.
    """

    name: str
    figures: Figures
    findings: tuple[Finding, ...]
    before: NDArray[np.int16] = field(compare=False)
    sample_rate: int
    after: Clip
    click: Clip | None
    spectrum_before: Spectrum = field(compare=False)
    spectrum_after: Spectrum = field(compare=False)

    @property
    def ok(self) -> bool:
        """Whether nothing is worth mending."""
        return all(finding.severity != "warning" for finding in self.findings)

    @property
    def verdict(self) -> str:
        """All of it in one sentence."""
        mend = [found.subject for found in self.findings if found.severity == "warning"]
        subject = "It" if self.name == "bytes" else self.name
        if not mend:
            return f"{subject} will be well understood on a telephone"
        return f"{subject} wants mending before a call: {', '.join(mend)}"

    @property
    def heading(self) -> str:
        """What was examined, in a few words."""
        found = self.figures
        channels = {1: "mono", 2: "stereo"}.get(found.channels, f"{found.channels} channels")
        form = f"{found.form}, {channels}, {found.sample_rate} Hz"
        return f"{self.name}: {form}, {found.seconds:.2f} s on the telephone"

    def __repr__(self) -> str:
        width = max((len(finding.subject) for finding in self.findings), default=0)
        lines = [self.heading, ""]
        for finding in self.findings:
            sign, subject = _SIGNS[finding.severity], finding.subject.ljust(width)
            lines.append(f"{sign}  {subject}  {sentences(finding.problem)}")
            if rest := sentences(finding.consequence, finding.fix):
                lines.append(f"{'':{width + 8}}{rest}")
        return "\n".join([*lines, "", f"{self.verdict}."])

    __str__ = __repr__
