"""What `examine` gives: the figures of a file, and what each means in the caller's ear.

A finding says what was found, what follows for the caller, and what to do about it.  Nothing is
measured here.
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
from twistream_kit.errors import join_sentences

Severity = Literal["ok", "note", "warning"]
"""How much a finding matters: nothing is wrong, worth knowing, or worth mending."""

DBM0 = 6.18
"""What dBFS of an RMS value lack to dBm0: a full-scale sine is 3.17 dBm0 in μ-law (ITU-T G.711)."""

NOMINAL_DBM0 = -19.0
"""How loud speech should be in a call, give or take 6 dB (RFC 7874 §4, after ITU-T G.169)."""

TOLERANCE_DB = 6.0
"""How far from `NOMINAL_DBM0` speech is right for a call; twice as far is a warning."""

SAMPLES_OF = "With `samples, rate = soundfile.read(path)`"
"""How most repairs begin."""

_SIGNS = {"ok": " ok ", "note": "note", "warning": "WARN"}


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
            lines.append(f"{sign}  {subject}  {join_sentences(finding.problem)}")
            if rest := join_sentences(finding.consequence, finding.fix):
                lines.append(f"{'':{width + 8}}{rest}")
        return "\n".join([*lines, "", f"{self.verdict}."])

    __str__ = __repr__


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
        return join_sentences(self.problem, self.consequence, self.fix)


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


def findings_of(figures: Figures) -> tuple[Finding, ...]:
    """Return what the figures mean, each thing once, in the order in which they are mended."""
    if math.isinf(figures.rms_db):
        silence = Finding(
            "level", "warning", "All of it is silence", "The caller hears nothing",
            "Check what recorded it; `kit.plot_waveform(kit.load_clip(path))` shows it",
        )  # fmt: skip
        return (*_whole(figures), silence, *_header(figures))
    parts = (
        _whole, _level, _clipping, _offset, _noise, _ends, _above, _below, _mix, _header,
        _quantisation,
    )  # fmt: skip
    return tuple(finding for part in parts for finding in part(figures))


def _whole(figures: Figures) -> Iterator[Finding]:
    if figures.missing_seconds:
        yield Finding(
            "length",
            "warning",
            f"It is cut off: {figures.missing_seconds:.2f} s that the header promises are missing",
            "The caller hears it break off",
            "Fetch or record it again; kit.load_clip takes what is there",
        )
    if figures.sample_rate < SAMPLE_RATE:
        yield Finding(
            "pitches",
            "note",
            f"At {figures.sample_rate} Hz it holds nothing above {figures.sample_rate // 2} Hz",
            "It sounds duller than a telephone has to",
            "Record it at 8000 Hz or more",
        )


def _level(figures: Figures) -> Iterator[Finding]:
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
        ear = "Beside other voices it shouts, and echo cancellers work badly with it"
    else:
        words = "too soft for a call" if severity == "warning" else "soft for a call"
        ear = "In a noisy place the caller misses words"
        if lacks > room:
            change += f", after compressing it: its peaks leave {room:.0f} dB only"
    nominal = f"speech should be at {NOMINAL_DBM0:.0f} ± {TOLERANCE_DB:.0f} dBm0 (RFC 7874)"
    yield Finding("level", severity, f"{problem}: {words}", f"{ear}; {nominal}", change)


def _clipping(figures: Figures) -> Iterator[Finding]:
    if figures.clipped_runs:
        where = figures.first_clipped_at or 0.0
        places = "one place" if figures.clipped_runs == 1 else f"{figures.clipped_runs} places"
        yield Finding(
            "clipping",
            "warning" if figures.clipped_runs > 2 else "note",
            f"{figures.clipped_samples} samples in {places} are cut off at full scale, "
            f"the first at {where:.2f} s",
            "It crackles and rasps on loud syllables; making it softer does not bring them back",
            "Record it again with less gain",
        )
    if figures.clipped_by_mixing and not figures.clipped_runs:
        yield Finding(
            "clipping",
            "note",
            f"{figures.clipped_by_mixing} samples go beyond full scale in the conversion and are "
            "cut off",
            "Loud syllables may crackle",
            f"{SAMPLES_OF}: `kit.Clip.from_samples(samples * 0.8, rate)`",
        )
    if not figures.clipped_runs and not figures.clipped_by_mixing:
        peak = figures.file_peak_db
        yield Finding("clipping", "ok", f"Nothing is cut off; the file's peak is {peak:.1f} dBFS")


def _offset(figures: Figures) -> Iterator[Finding]:
    offset = abs(figures.offset)
    problem = f"An offset (DC) of {100 * figures.offset:.2f} % of full scale"
    if offset < 0.005:
        yield Finding("offset", "ok", problem)
        return
    yield Finding(
        "offset",
        "warning" if offset >= 0.03 else "note",
        problem,
        "A thump where the sound begins, ends or is cleared, and coarser steps of μ-law for what "
        "is quiet",
        f"{SAMPLES_OF}: `kit.Clip.from_samples(samples - samples.mean(axis=0), rate)`",
    )


def _noise(figures: Figures) -> Iterator[Finding]:
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


def _ends(figures: Figures) -> Iterator[Finding]:
    before, after = figures.silence_before, figures.silence_after
    problem = f"{before:.2f} s of silence before the sound, {after:.2f} s after it"
    if before <= 0.5 and after <= 1.0:
        yield Finding("silence", "ok", problem)
        return
    begin, end = int(max(before - 0.1, 0) * 8000), int(max(after - 0.2, 0) * 8000)
    cut = f"{begin or ''}:{f'-{end}' if end else ''}"
    ears = [
        "the caller waits and thinks that nothing comes" if before > 0.5 else "",
        "its mark comes back so much after the last word" if after > 1.0 else "",
    ]
    consequence = "; ".join(filter(None, ears)).capitalize()
    yield Finding(
        "silence",
        "warning" if before > 2 or after > 5 else "note",
        problem,
        consequence,
        f"Cut it: `kit.Clip(kit.load_clip(path).payload[{cut}])`",
    )


def _above(figures: Figures) -> Iterator[Finding]:
    share = figures.above_3400
    problem = f"{_percent(share)} of its energy ({_db(figures.above_3400_db)}) lies above 3.4 kHz"
    if share < 0.001:
        yield Finding("high pitches", "ok", problem)
        return
    consequence = "The telephone does not carry it: s and f will be hard to tell apart"
    fix = "As with every call: say names and numbers slowly, letters as words"
    if share >= 0.2:
        fix = "Choose another voice or sound: much of this one is not heard"
    yield Finding("high pitches", "warning" if share >= 0.2 else "note", problem, consequence, fix)


def _below(figures: Figures) -> Iterator[Finding]:
    share = figures.below_300
    problem = f"{_percent(share)} of its energy ({_db(figures.below_300_db)}) lies below 300 Hz"
    if share < 0.9:  # of a deep voice four fifths are usual: its fundamental
        yield Finding("low pitches", "ok", problem)
        return
    yield Finding(
        "low pitches",
        "warning" if share >= 0.98 else "note",
        problem,
        "A handset hardly reproduces it: what is left sounds thinner and softer than here",
        "Filter out what lies below 200 Hz before kit.load_clip, then look at the level again",
    )


def _mix(figures: Figures) -> Iterator[Finding]:
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
        ear = "The channels cancel each other: to one ear the voice is hollow, or gone"
        yield Finding("channels", "warning", problem, ear, fix)
    elif silent:
        names = " and ".join(map(str, silent))
        problem += f", because channel {names} is silent"
        yield Finding("channels", "note", problem, "It is softer than it needs to be", fix)
    else:
        yield Finding("channels", "ok", problem)


def _header(figures: Figures) -> Iterator[Finding]:
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
            f"Sent along, they are a click of {click} with a peak of "
            f"{figures.header_peak_db:.1f} dBFS (`.click` lets you hear it)",
            "Send kit.load_clip(path).payload, which has no header",
        )


def _quantisation(figures: Figures) -> Iterator[Finding]:
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


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %" if share >= 0.0005 else "under 0.1 %"


def _db(level: float) -> str:
    return f"{level:.0f} dB" if math.isfinite(level) else "nothing"
