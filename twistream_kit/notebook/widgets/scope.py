"""A moving picture of a call: what the caller says and hears, with marks and clears.

Python sends the least and the greatest sample of each 20 ms, ten times a second; the browser draws
them.  That costs the kernel a hundredth of its time, where a plot would take a third.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.plots import colours
from twistream_kit.notebook.runtime.pump import PUMP
from twistream_kit.notebook.widgets.scope_picture import scope_picture
from twistream_kit.notebook.widgets.scope_trace import ScopeTrace, ScopeWindow

_FOLDER = Path(__file__).parents[1] / "static"

_RECENT_COLUMNS = 15
"""Who was loud within 300 ms is said to speak."""

_LOUD = 4
"""In 256ths of full scale, -36 dB."""

_COUNTED = (
    ("mark back", "mark back", "marks back"),
    ("clear", "clear", "clears"),
    ("key", "key", "keys"),
)

_COLOURS = {
    "caller": colours.CALLER_COLOUR,
    "yours": colours.YOUR_COLOUR,
    "mark": colours.MARK_COLOUR,
    "clear": colours.CLEAR_COLOUR,
}


class LiveScope(anywidget.AnyWidget):
    """The last eight seconds of a call, moving: above what the caller says, below what is heard.

    What is below is what the caller *hears* of you by the playout model, not what was sent: a
    clear cuts it off, and silence follows.  Marks, clears and keys stand where they fall.  When the
    call has ended its last seconds remain.

    Args:
        stream: The stream to show; one that has ended shows its end.

    Raises:
        TypeError: If `stream` is not a `MediaStream`.
    """

    _esm = _FOLDER / "scope.js"
    _css = _FOLDER / "scope.css"

    picture = traitlets.Dict().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    story = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict(_COLOURS).tag(sync=True)

    def __init__(self, stream: MediaStream) -> None:
        if not isinstance(stream, MediaStream):
            raise TypeError(
                f"LiveScope takes a MediaStream, not {type(stream).__name__}; "
                "server.next_stream().result(10) gives one, kit.plot_timeline(capture) draws a "
                "call from a file"
            )
        super().__init__()
        self._stream = stream
        self._trace = ScopeTrace(stream.capture)
        self._is_closed = False
        if self._update():
            PUMP.add(self._update)

    def close(self) -> None:
        """Take the picture away; the stream goes on."""
        self._is_closed = True
        PUMP.remove(self._update)
        super().close()

    def __repr__(self) -> str:
        return f"<LiveScope of {self._stream!r}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        if isinstance(shown, tuple):  # what a page without a kernel shows instead
            shown[0]["text/html"] = scope_picture(self.picture, self.story)
        return shown

    def _update(self) -> bool:
        """Show the last seconds; return whether there can be more."""
        if self._is_closed:
            return False
        stream = self._stream
        is_over = stream.closed.done()
        now = stream.capture.seconds if is_over else time.monotonic() - stream.capture.started
        window = self._trace.window(now)
        with self.hold_sync():
            self.picture = _as_traits(window, is_running=not is_over)
            self.state = self._state_in_words()
            self.story = _story(window)
        return not is_over

    def _state_in_words(self) -> str:
        words = "In a call."
        if self._stream.closed.done():
            how = self._stream.closed.exception(0) or f"{self._stream.closed.result(0).detail}."
            words = f"Ended: {how}"
        if self._trace.unkept:
            minutes = self._stream.capture.keep_seconds / 60
            words += f" Sound is kept for {minutes:g} minutes and not drawn after them."
        return words


def _as_traits(window: ScopeWindow, *, is_running: bool) -> dict[str, Any]:
    return {
        "now": round(window.now, 3),
        "first": window.first,
        "caller": window.caller.tobytes(),
        "heard": window.heard.tobytes(),
        "events": [[round(e.at, 3), e.kind, e.name] for e in window.events],
        "running": is_running,
    }


def _story(window: ScopeWindow) -> str:
    """Say what the picture shows, for those who do not see it."""
    speaks = "speaks" if _is_loud(window.caller) else "is silent"
    hears = "hears you" if _is_loud(window.heard) else "hears silence"
    kinds = [event.kind for event in window.events]
    counts = [
        f"{kinds.count(kind)} {one if kinds.count(kind) == 1 else many}"
        for kind, one, many in _COUNTED
        if kind in kinds
    ]
    noted = f"; in view: {', '.join(counts)}" if counts else ""
    return f"Waveform of the call: the caller {speaks} and {hears}{noted}"


def _is_loud(lane: Any) -> bool:
    recent = lane[-_RECENT_COLUMNS:].astype(int)
    return bool((recent[:, 1] - recent[:, 0]).max() > 2 * _LOUD)
