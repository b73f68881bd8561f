"""What the controls of a stream say: its state, what was heard, the last events."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import ServerStopped
from twistream_kit.live.calls.call import Call
from twistream_kit.live.stream.stream import MediaStream, Playing
from twistream_kit.pending import error_text

NOT_RUN = (
    "Buttons for a call: Send, Speak over, Mark, Clear, Hang up. Run the notebook to use them."
)
"""Shown in place of the controls by pages that have no kernel."""


def label(clip: Clip) -> str:
    """Return how a clip is named in the list of clips."""
    return f"{clip.name or 'clip'} ({clip.seconds:.1f} s)"


def state(stream: MediaStream, waiting: str = "", call: Call | None = None) -> str:
    """Return the state of a call as HTML.

    Args:
        stream: Whose state it is.
        waiting: Why buttons do not act at once, if they do not.
        call: The call of the stream, if it is known.
    """
    lines = [_state_of_stream(stream)]
    if stream.trouble:
        lines.append(f"<b>The public address is gone</b>: {escape(stream.trouble)}")
    if call is not None and _is_worth_saying(call):
        lines.append(f"The call: {escape(call.status)}")
    if waiting and not stream.closed.done() and stream.handler_error is None:
        lines.append(escape(waiting))
    return "<br>".join(lines)


def _is_worth_saying(call: Call) -> bool:
    """Whether the status says more than the stream does.

    Without status callbacks it stays for ever what it was when the call was placed.
    """
    is_followed = any(not event.stream_sid for event in call.events)
    return call.is_over or (is_followed and call.status != "in-progress")


def _state_of_stream(stream: MediaStream) -> str:
    if stream.handler_error is not None:
        error = stream.handler_error
        return f"<b>Ended by an error</b>: {escape(error_text(error))}"
    if stream.closed.done():
        try:
            how = stream.closed.result(0).detail
        except ServerStopped as stopped:  # its loop ended, and could not say how the stream did
            how = str(stopped)
        return f"<b>Ended</b>: {escape(how)}"
    words = "Saying goodbye" if not stream.is_open else "In a call"
    if stream.has_queued and stream.is_open:
        words = "Playing"
    sid = escape(stream.stream_sid)
    # Whole in the name of the box; here it would be read out again with each change.
    short = f'<span title="{sid}" aria-hidden="true">, stream {sid[:6]}…{sid[-4:]}</span>'
    return f"<b>{words}</b>{short}"


def lines(newest: Iterable[str]) -> str:
    """Return lines of the log as HTML."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in newest)}</ul>"


def heard(newest: Playing | None) -> str:
    """Return how much of a playback was heard."""
    if newest is None:
        return "nothing sent yet"
    seconds = f"{newest.heard_ms / 1000:.1f} of {newest.total_ms / 1000:.1f} s"
    return f"{seconds}, {newest.result(0).ending}" if newest.done() else seconds


def style(newest: Playing | None) -> str:
    """Return the style of the bar that shows how much was heard."""
    if newest is None or not newest.done():
        return ""
    return {"heard": "success", "cleared": "warning", "lost": "danger"}[newest.result(0).ending]
