"""What is said of sound that is PCMU, and yet not what was meant (PROTOCOL.md §4)."""

from __future__ import annotations

from twistream_kit.protocol.objection import Objection

FIELD = "media.payload"

SILENT_SECONDS = 3.0
"""Of silence at the beginning of a stream are worth a note (our choice)."""


def clipped(share: float) -> Objection:
    """Return what is said of sound of which a `share` of 0 to 1 is at full scale."""
    return Objection(
        None,
        FIELD,
        f"is at full scale in {100 * share:.0f} % of its samples: it was made too loud and cut",
        "The caller hears a rasp on all that is loud",
        "Turn the sound down before it is converted; Clip.clipped counts what was cut",
        "warning",
    )


def clicking(clicks: int, borders: int) -> Objection:
    """Return what is said of messages that click at so many of their borders."""
    return Objection(
        None,
        FIELD,
        f"clicks where messages meet: at {clicks} of {borders} borders it breaks off",
        "The caller hears a buzz; so it sounds when each piece is converted on its own",
        "Push all pieces through one kit.Resampler(rate), or convert the whole before you cut it",
        "warning",
    )


ODD_SIZES = Objection(
    None,
    FIELD,
    "is no multiple of 160 bytes in most messages",
    "What Twilio does with part of a frame is not documented; it may fill it up with silence",
    "Cut sound into multiples of 160 bytes, 20 ms each: kit.Clip.frames(); or stream.play(clip)",
    "note",
)

SILENT_SO_FAR = Objection(
    None,
    FIELD,
    f"holds nothing but silence in the first {SILENT_SECONDS:g} s of sound",
    "The caller hears nothing so far, and all that follows waits behind it",
    "If speech was meant, look at what the bytes were read from",
    "note",
)

NOTHING_BUT_SILENCE = Objection(
    None,
    FIELD,
    "was nothing but silence on the whole stream",
    "The caller heard nothing",
    "Look at what the bytes were read from: kit.inspect_wav(path), kit.plot_waveform(clip)",
    "warning",
)
