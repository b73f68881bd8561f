"""The figures of a call in words, each with its definition."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from twistream_kit.capture.pace import (
    GAP_SECONDS,
    LATE_MARK_SECONDS,
    MISSING_MARK_SECONDS,
    PAUSE_SECONDS,
    Gap,
    LateMark,
)

MOST_NAMES = 5
"""More marks than this are counted."""

MOST_ENDINGS = 12
"""The same for those that came back, which is no news."""

DEFINITIONS: Mapping[str, str] = {
    "first sound": (
        "from the start message to the first sample you sent that is not 0, and to when Twilio"
        " played it"
    ),
    "gaps from Twilio": (
        f"more than {GAP_SECONDS:g} s between two media messages of the caller, which come every"
        " 20 ms; missing: messages left out by their chunk numbers"
    ),
    "gaps in sending": (
        f"more than {GAP_SECONDS:g} s between two media messages of yours; no fault in itself:"
        " what was sent ahead plays on"
    ),
    "underruns": (
        "Twilio had played all it had, and more of the same utterance came later: within"
        f" {PAUSE_SECONDS:g} s, and behind no clear and no named playback"
    ),
    "lead": (
        "seconds of sound that waited at Twilio: the median over the time in which any did, and"
        " the most"
    ),
    "deaf window": (
        "how long the caller could have interrupted in vain: the sound that waited when it was"
        " most plays on, unless you send a clear"
    ),
    "late marks": (
        f"back more than {LATE_MARK_SECONDS:g} s after the last sound before them was played, or"
        " cleared"
    ),
    "missing marks": (
        f"not back {MISSING_MARK_SECONDS:g} s after the last sound before them was played, or"
        " cleared"
    ),
}
"""What each figure means, by its name in the report; the playout model says what was played."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure of a call.

    Attributes:
        name: As in `DEFINITIONS`.
        value: In words, with its unit.
        definition: What was measured.
    """

    name: str
    value: str
    definition: str


def first_sound_in_words(sent_ms: float | None, heard_ms: float | None) -> str:
    """Say when something was first sent and heard."""
    if sent_ms is None:
        return "none was sent"
    if heard_ms is None:
        return f"sent {sent_ms:.0f} ms after the start, never heard"
    return f"heard {heard_ms:.0f} ms after the start, sent {sent_ms:.0f} ms after it"


def gaps_in_words(found: Sequence[Gap], *, missing: int = 0, in_all: bool = False) -> str:
    """Say how many gaps there were, and which was the longest."""
    parts = []
    if found:
        longest = max(found, key=lambda gap: gap.seconds)
        total = f", {_seconds(sum(gap.seconds for gap in found))} in all" if in_all else ""
        number = f"{len(found)}{total}, the longest" if len(found) > 1 else "1,"
        parts.append(f"{number} {_seconds(longest.seconds)} at {longest.at:.2f} s")
    if missing:
        parts.append(f"{missing} message{'' if missing == 1 else 's'} missing")
    return "; ".join(parts) or "none"


def lead_in_words(median_seconds: float, most_seconds: float) -> str:
    """Say how far ahead sound was sent."""
    if not most_seconds:
        return "none"
    return f"{_seconds(median_seconds)} in the median, {_seconds(most_seconds)} at most"


def deaf_in_words(seconds: float, at: float) -> str:
    """Say for how long an interruption would have been in vain."""
    return f"{_seconds(seconds)}, at {at:.2f} s" if seconds else "none"


def marks_in_words(marks: Sequence[tuple[str, str]]) -> str:
    """Say how the marks ended, by name if there are not too many names."""
    ended = Counter(f"{name} {ending}" for name, ending in marks)
    if len(ended) > MOST_ENDINGS:
        counts = Counter(ending for _, ending in marks)
        return ", ".join(f"{count} {ending}" for ending, count in counts.items())
    return ", ".join(f"{text} × {n}" if n > 1 else text for text, n in ended.items()) or "none"


def late_in_words(marks: Sequence[LateMark]) -> str:
    """Say which marks were late, and by how much."""
    return _listed([f"{mark.name} by {_seconds(mark.late_ms / 1000)}" for mark in marks])


def missing_in_words(names: Sequence[str]) -> str:
    """Say which marks never came back."""
    return _listed(names)


def _listed(texts: Sequence[str]) -> str:
    more = len(texts) - MOST_NAMES
    shown = ", ".join(texts[:MOST_NAMES])
    return f"{shown} and {more} more" if more > 0 else shown or "none"


def _seconds(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if 0 < seconds < 0.01 else f"{seconds:.2f} s"
