"""How often speech of another rate is noticed, and right speech is not, on voices nobody tuned on.

    python benchmarks/rate_review.py [FOLDER]

The voices are those of espeak-ng, if it is on the PATH, in languages that were not used for tuning,
and those of FOLDER, in which each sound file is one speaker.  All are sent at 8000 Hz, where
nothing may be said, and at eight higher rates without being resampled: three seconds and seven, as
`review_sound` takes them.
"""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import soxr

from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis._rate import CANDIDATE_RATES, suspect_rate

SEED = 20261128
TEXT = (
    "Thank you for your patience. The appointment that you asked for is on the ninth of March at "
    "half past four. If this does not suit you, please call again between eight and noon, or leave "
    "a message with your name and the number under which we can reach you during the day."
)
LANGUAGES = (
    *("af", "sq", "bs", "cy", "et", "is", "lv", "lt", "mk", "ms", "sk", "sl", "eo", "eu", "ga"),
    *("hy", "ka", "en-gb-x-rp", "en-gb-x-gbclan", "en-gb-x-gbcwmd"),
)
VOICES = 60
MOST_WINDOWS = 4
SECONDS = (3, 7)


class Speaker(NamedTuple):
    """Somebody's speech, right as it is."""

    kind: str
    samples: np.ndarray
    rate: int


def synthetic_speakers(voices: int) -> Iterator[Speaker]:
    """Yield voices of espeak-ng; every fourth is as deep and as slow as the options go."""
    choose = random.Random(SEED)
    for number in range(voices):
        kind, pitch, speed = "synthetic", choose.randint(25, 85), choose.randint(125, 200)
        if number % 4 == 0:
            kind, pitch, speed = "deep and slow", choose.randint(0, 25), choose.randint(85, 130)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "voice.wav")
            options = ["-v", choose.choice(LANGUAGES), "-p", str(pitch), "-s", str(speed)]
            subprocess.run(["espeak-ng", *options, "-w", str(path), TEXT], check=True)
            samples, rate = soundfile.read(path, dtype="float32")
        yield Speaker(kind, samples, rate)


def recorded_speakers(folder: Path) -> Iterator[Speaker]:
    """Yield a speaker for each sound file."""
    for path in sorted(folder.iterdir()):
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        yield Speaker("human", samples.mean(axis=1), rate)


def windows(speaker: Speaker, rate: int, level: float, seconds: int) -> Iterator[bytes]:
    """Yield windows of some seconds of what is heard if `speaker` is sent at `rate`."""
    samples = soxr.resample(speaker.samples, speaker.rate, rate)
    samples = np.rint(samples * (32767 * 10 ** (level / 20) / np.abs(samples).max()))
    payload = encode_ulaw(samples.clip(-32768, 32767).astype(np.int16))
    size = 8000 * seconds
    ends = range(size, len(payload) + 1, size)
    for end in list(ends)[:MOST_WINDOWS]:
        yield payload[end - size : end]


def review(speakers: Iterator[Speaker]) -> tuple[Counter[tuple[str, int]], ...]:
    """Count windows, and those that were suspected, by kind and rate."""
    seen: Counter[tuple[str, int]] = Counter()
    suspected: Counter[tuple[str, int]] = Counter()
    levels = random.Random(SEED)
    for speaker in speakers:
        level = levels.uniform(-30, -3)
        for rate in (8000, *CANDIDATE_RATES):
            for seconds in SECONDS:
                kind = f"{speaker.kind}, {seconds} s"
                for window in windows(speaker, rate, level, seconds):
                    seen[kind, rate] += 1
                    suspected[kind, rate] += suspect_rate(window) is not None
    return seen, suspected


def table(seen: Counter[tuple[str, int]], suspected: Counter[tuple[str, int]]) -> str:
    """Return a row for each rate, a column for each kind, as Markdown."""
    kinds = sorted({kind for kind, _ in seen})
    rows = [["sent at", *kinds], ["---"] * (1 + len(kinds))]
    for rate in (8000, *CANDIDATE_RATES):
        cells = [
            f"{suspected[kind, rate]} of {n} ({suspected[kind, rate] / n:.1%})"
            if (n := seen[kind, rate])
            else ""
            for kind in kinds
        ]
        rows.append([f"{rate} Hz", *cells])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Review all voices that there are; print the table."""
    speakers: list[Speaker] = []
    if shutil.which("espeak-ng"):
        speakers += synthetic_speakers(VOICES)
    if len(sys.argv) > 1:
        speakers += recorded_speakers(Path(sys.argv[1]))
    if not speakers:
        sys.exit("There is no espeak-ng on the PATH, and no folder of recordings was given")
    print(table(*review(iter(speakers))))


if __name__ == "__main__":
    main()
