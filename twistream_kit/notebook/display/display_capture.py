"""How a `Capture` looks in a notebook: one call in numbers, and what became of each sound."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from twistream_kit.capture.summary import marks_in_words
from twistream_kit.notebook.display.html import EMPTY, Html, code, joined, pairs, table

if TYPE_CHECKING:
    from twistream_kit.capture.capture import Capture
    from twistream_kit.capture.replay import Playback

MOST_PLAYBACKS = 100
"""More rows than this nobody reads, and a notebook keeps them all."""


def show_capture(capture: Capture) -> Html:
    """One call in numbers, each timing with what was measured, and what became of each sound."""
    found = capture.summary()
    values: dict[str, object] = {
        "stream": code(found.stream_sid or "(no name)"),
        "length": f"{found.seconds:.2f} s",
        "from Twilio": f"{_counts(found.from_twilio)}; {found.caller_seconds:.2f} s of sound",
        "to Twilio": f"{_counts(found.to_twilio)}; {found.sent_seconds:.2f} s of sound",
        "heard of it": f"{found.heard_seconds:.2f} s",
        "marks": marks_in_words(found.marks),
    }
    numbers = pairs(values, caption="A captured call")
    rows = [(figure.name, figure.value, _gloss(figure.definition)) for figure in found.figures()]
    figures = table(("figure", "value", "what was measured"), rows, caption="Timing")
    return joined(numbers, figures, _playbacks(found.playbacks))


def _playbacks(playbacks: tuple[Playback, ...]) -> Html:
    if not playbacks:
        return EMPTY
    heads = (
        *("sound", "sent at (s)", "heard from (s)", "to (s)", "cleared at (s)"),
        *("heard (ms)", "of (ms)", "ending"),
    )
    rows = [
        (
            played.name,
            *map(_at, (played.sent_at, played.heard_from, played.heard_to, played.cleared_at)),
            *(played.heard_ms, played.total_ms, played.ending),
        )
        for played in playbacks[:MOST_PLAYBACKS]
    ]
    more = len(playbacks) - len(rows)
    caption = f"What was sent; {more} more are in capture.playbacks()" if more else "What was sent"
    return table(heads, rows, caption=caption)


def _at(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.2f}"


def _gloss(definition: str) -> Html:
    return joined(Html('<small style="opacity:0.8">'), definition, Html("</small>"))


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{kind} {count}" for kind, count in counts.items()) or "nothing"
