"""What the figures of a file mean: in words, what follows in the caller's ear, and what to do."""

from __future__ import annotations

import math
from collections.abc import Iterator

from twistream_kit.audio.examination import Figures, Finding, Severity
from twistream_kit.audio.resample import SAMPLE_RATE

NOMINAL_DBM0 = -19.0
"""How loud speech should be in a call, give or take 6 dB (RFC 7874 §4, after ITU-T G.169)."""

TOLERANCE_DB = 6.0

SAMPLES_OF = "With `samples, rate = soundfile.read(path)`"
"""How most repairs begin."""


def findings_of(figures: Figures) -> tuple[Finding, ...]:
    """Judge the figures, each thing once, in the order in which they are mended."""
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
