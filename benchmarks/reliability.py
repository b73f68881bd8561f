"""Whether a stated percentage is what it says: of objections to a coding, how many are right?

    python benchmarks/reliability.py

What counts is what a user reads: the objections of `review_sound` to four seconds of the held-out
half of the labelled set, in every coding, in none (right PCMU), and coded twice, where each name of
a coding is wrong.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import numpy as np
import payload_set
import soxr

from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis.sound import review_sound

LEVELS = (-6, -20, -40)
KINDS = ("speech", "music", "noise")
SECOND = 8000


def coded_twice(samples: np.ndarray) -> Iterator[bytes]:
    """Yield μ-law of what is noise already: of codes that were taken for samples."""
    codes = np.frombuffer(encode_ulaw(samples), np.uint8)
    pairs = codes[: len(codes) // 2 * 2].view("<i2")
    yield encode_ulaw(pairs)
    halved = soxr.resample(pairs / 32768, 16000, 8000) * 32767
    yield encode_ulaw(halved.clip(-32768, 32767).astype(np.int16))
    yield encode_ulaw(((codes.astype(np.int16) - 128) * 256).astype(np.int16))


def payloads() -> Iterator[tuple[str, bytes]]:
    """Yield the name of the coding with the payload; PCMU where none may be named, or twice."""
    for sound in payload_set.held_out():
        if sound.kind not in KINDS:
            continue
        for level in LEVELS:
            samples = payload_set.at_level(sound, level)
            yield from payload_set.coded(samples).items()
            yield from (
                ("PCMU", payload) for payload in payload_set.rightly_coded(samples).values()
            )
            yield from (("twice", payload) for payload in coded_twice(samples))


def count() -> dict[str, Counter[str]]:
    """Return for each wording how many objections were right, wrong, and to sound coded twice."""
    counts = {"99 %": Counter[str](), "probably": Counter[str]()}
    for coding, payload in payloads():
        frames = [payload[at : at + 160] for at in range(0, min(len(payload), 4 * SECOND), 160)]
        for objection in review_sound(frames):
            problem, _, rest = objection.problem.partition(", not PCMU")
            if rest or not objection.problem.endswith(", not PCMU"):
                continue
            named = problem.removeprefix("is ").removeprefix("probably ").partition(",")[0]
            said = "probably" if objection.confidence is None else "99 %"
            if coding == "twice":
                counts[said]["twice"] += 1
            else:
                counts[said]["right" if coding.startswith(named) else "wrong"] += 1
    return counts


def main() -> None:
    """Print the reliability table as Markdown."""
    print("| said | objections | right | and to sound coded twice |\n| --- | --- | --- | --- |")
    for said, found in count().items():
        n = found["right"] + found["wrong"]
        share = f"{found['right'] / n:.1%}" if n else ""
        print(f"| {said} | {n} | {share} | {found['twice']} |")


if __name__ == "__main__":
    main()
