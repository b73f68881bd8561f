"""What is heard of sound in a wrong coding, and how to put it right (PROTOCOL.md §4, §9)."""

from __future__ import annotations

_LOAD = "Send kit.load_clip(sound, sample_rate=…, encoding={!r}).payload"
_NOISE = "The caller hears loud noise in the rhythm of the sound, drawn out to {} its length"

HEARD = {
    "PCM16 little-endian": _NOISE.format("twice"),
    "PCM16 big-endian": _NOISE.format("twice"),
    "PCM8 unsigned": (
        "The caller hears the sound crushed to a loud crackle, loudest where it should be silent"
    ),
    "A-law": "The caller hears the words, but harsh, and a loud buzz in every pause",
    "PCM24 little-endian": _NOISE.format("three times"),
    "float32 little-endian": _NOISE.format("four times"),
}
"""By coding; the lengths are those of sound at 8000 Hz."""

FIXES = {
    "PCM16 little-endian": (
        "Send kit.Clip.from_samples(samples, sample_rate).payload; sound that arrives in pieces"
        " goes through one kit.Resampler(sample_rate), then kit.encode_ulaw(samples)"
    ),
    "PCM16 big-endian": _LOAD.format("PCM_S16BE"),
    "PCM8 unsigned": _LOAD.format("PCM_U8"),
    "A-law": f"{_LOAD.format('PCMA')}, or ask the source for μ-law instead of A-law",
    "PCM24 little-endian": _LOAD.format("PCM_S24LE"),
    "float32 little-endian": "Send kit.Clip.from_samples(samples, sample_rate).payload",
}
"""By coding."""
