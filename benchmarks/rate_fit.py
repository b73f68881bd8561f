"""Fit the regression by which five seconds of speech or more are found to play slowly.

    python benchmarks/rate_fit.py [--voices N] [--speech FOLDER] [--music FOLDER]

The voices are those of espeak-ng in languages that neither `rate_review` nor `fault_set` draws,
and the synthetic ones of the tuning half of `payload_set`; each file of a folder of speech is a
speaker, of a folder of music a piece.  Speakers are left out by language, in five parts.

The factors in the package were fitted in this way with 400 voices of espeak-ng in six texts, 86
recordings of people (prompts of Asterisk, samples of codec2), 40 voices of festival and flite, and
the hold music of Asterisk.  Other folders and other texts give factors that differ a little.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import payload_set
import soundfile
import soxr

from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._rate import list_features

SEED = 77
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000)
SECONDS = (3, 6, 10)
LANGUAGES = (
    *("en-us", "en-gb", "de", "fr-fr", "es", "ru", "tr", "id", "hi", "en-029", "en-us-nyc", "da"),
    *("nb", "bg", "hr", "sr", "ca", "uk", "pt", "sw", "fa", "fr-be", "vi", "ta", "bn", "gu", "ur"),
    *("az", "kk"),
)
VARIANTS = (
    *("", "", "", "", "Alex", "Alicia", "Andy", "Annie", "Denis", "Gene", "Henrique", "Jacky"),
    *("Lee", "Marco", "Mario", "Michael", "adam", "anika", "antonio", "belinda", "benjamin"),
    *("david", "ed", "edward", "f1", "f2", "f3", "f4", "f5", "grandma", "grandpa", "iven", "john"),
    *("klatt", "klatt2", "linda", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8", "marcelo", "max"),
    *("miguel", "pablo", "paul", "quincy", "rob", "robert", "sandro", "shelby", "steph", "travis"),
)
TEXT = (
    "Welcome to the city library. To renew your books, say renew. For opening hours, press two. "
    "All of our agents are busy at the moment, but your call matters to us, so please stay on the "
    "line and somebody will be with you shortly."
)
RIDGE = 10.0
PARTS = 5


class Source(NamedTuple):
    """A speaker or a piece of music."""

    group: str  # what is left out together
    rates: tuple[int, ...]
    made_at: int
    samples: np.ndarray


class Rows(NamedTuple):
    """One row for each window."""

    features: np.ndarray
    rates: np.ndarray
    groups: np.ndarray
    seconds: np.ndarray


def sources(voices: int, speech: Path | None, music: Path | None) -> Iterator[Source]:
    """Yield all that is fitted to."""
    choose = random.Random(SEED)
    for number in range(voices):
        pitch, speed = choose.randint(20, 85), choose.randint(120, 200)
        if number % 4 == 0:
            pitch, speed = choose.randint(0, 30), choose.randint(85, 130)
        language, variant = choose.choice(LANGUAGES), choose.choice(VARIANTS)
        voice = f"{language}+{variant}" if variant else language
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "voice.wav")
            options = ["-v", voice, "-p", str(pitch), "-s", str(speed), "-w", str(path)]
            subprocess.run(["espeak-ng", *options, TEXT], check=True, capture_output=True)
            samples, made_at = soundfile.read(path)
        yield Source(language, RATES, made_at, samples)
    for number, voice in enumerate(payload_set.TUNING_VOICES):
        samples = payload_set.speech(voice, np.random.default_rng(500 + number), 16.0)
        yield Source(f"synthetic {number}", RATES, payload_set.RATE, samples)
    for sound in payload_set.tuning():
        if sound.kind != "speech":
            yield Source(sound.name, RATES[:1], payload_set.RATE, sound.samples)
    for folder, rates in ((speech, RATES), (music, RATES[:1])):
        for path in sorted(folder.iterdir()) if folder else ():
            samples, made_at = soundfile.read(path, always_2d=True)
            # Speech of a telephone holds nothing above 4 kHz that could move into the band.
            few = rates if made_at > 8000 else rates[:1]
            yield Source(path.stem, few, made_at, samples[: 90 * made_at].mean(axis=1))


def windows(source: Source, number: int) -> Iterator[tuple[int, int, bytes]]:
    """Yield rates, seconds, and what is heard, in the tone and the noise of a line."""
    for rate in source.rates:
        rng = np.random.default_rng([SEED, number, zlib.crc32(source.group.encode())])
        samples = soxr.resample(source.samples, source.made_at, rate)
        tone = rng.uniform(-0.6, 0.8)
        if rng.random() < 0.4:
            samples = samples - tone * np.concatenate([samples[:1], samples[:-1]])
        samples = samples / np.abs(samples).max() * 10 ** (rng.uniform(-30, -2) / 20)
        if rng.random() < 0.5:
            samples = samples + rng.normal(0, 10 ** (rng.uniform(-85, -55) / 20), len(samples))
        payload = encode_ulaw(np.rint(samples * 32767).clip(-32768, 32767).astype(np.int16))
        for seconds in SECONDS:
            last = len(payload) - 8000 * seconds
            if last < 0:
                continue
            count = 3 if rate == RATES[0] else 1
            for at in {int(at) for at in np.linspace(0, last, count + 2)[1:-1]}:
                yield rate, seconds, payload[at : at + 8000 * seconds]


def measure(all_sources: Iterator[Source]) -> Rows:
    """Measure all windows that are speech by their alternation of sound and silence."""
    rows = []
    for number, source in enumerate(all_sources):
        for rate, seconds, payload in windows(source, number):
            # Three seconds hold the features as well, but less surely.
            features = list_features(payload)
            if features is not None:
                rows.append((features, rate, source.group, seconds))
    return Rows(*(np.array(each) for each in zip(*rows, strict=True)))


def fit(features: np.ndarray, rates: np.ndarray) -> np.ndarray:
    """Return the factors of a logistic regression with a ridge, by Newton's method."""
    mean, scale = features.mean(axis=0), features.std(axis=0)
    mean[0], scale[0] = 0, 1  # the constant
    scaled = (features - mean) / scale
    weights = np.where(rates == RATES[0], 2.0, np.where(rates == RATES[-1], 0.5, 1.0))
    ridge = np.full(features.shape[1], RIDGE)
    ridge[0] = 0
    factors = np.zeros(features.shape[1])
    for _ in range(30):
        chances = 1 / (1 + np.exp(-(scaled @ factors).clip(-30, 30)))
        gradient = scaled.T @ (weights * (chances - (rates > RATES[0]))) + ridge * factors
        curvature = (scaled.T * (weights * chances * (1 - chances))) @ scaled + np.diag(ridge)
        factors = factors - np.linalg.solve(curvature, gradient)
    raw = factors / scale
    raw[0] = factors[0] - (raw[1:] * mean[1:]).sum()
    return raw


def validate(rows: Rows) -> np.ndarray:
    """Return the value of each window by a regression that was fitted without its group."""
    values = np.zeros(len(rows.rates))
    groups = np.unique(rows.groups)
    for part in range(PARTS):
        is_out = np.isin(rows.groups, groups[part::PARTS])
        factors = fit(rows.features[~is_out], rows.rates[~is_out])
        values[is_out] = rows.features[is_out] @ factors
    return values


def main() -> None:
    """Print how much is found by each least value, and the factors."""
    parser = argparse.ArgumentParser(description="Fit the regression of speech that plays slowly.")
    parser.add_argument("--voices", type=int, default=400)
    parser.add_argument("--speech", type=Path)
    parser.add_argument("--music", type=Path)
    arguments = parser.parse_args()
    rows = measure(sources(arguments.voices, arguments.speech, arguments.music))
    values = validate(rows)
    for least in (2.0, 2.6, 3.0, 3.4, 3.8, 4.2):
        found = values > least
        for seconds in SECONDS[1:]:
            at = [(rows.rates == rate) & (rows.seconds == seconds) for rate in RATES]
            right = f"{found[at[0]].sum()} of {at[0].sum()} right"
            slow = (
                f"{rate} {found[each].mean():.0%}"
                for rate, each in zip(RATES, at, strict=True)
                if rate > 8000
            )
            print(f"above {least}, {seconds} s: {right};", ", ".join(slow))
    print(np.round(fit(rows.features, rows.rates), 3).tolist())


if __name__ == "__main__":
    main()
