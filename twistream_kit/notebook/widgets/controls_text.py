"""What the controls say of the state of a stream and of what sounds on it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from twistream_kit.guard import format_error
from twistream_kit.live.calls.call import Call
from twistream_kit.live.stream.state import Playing
from twistream_kit.live.stream.stream import MediaStream, describe_end, get_state
from twistream_kit.notebook.widgets.activity_lines import explain_loss
from twistream_kit.notebook.widgets.live_text import add_sign
from twistream_kit.protocol.ending import EndCause

NO_STREAM = "<b>No call yet</b>"

_BAR_STYLES = {"heard": "success", "cleared": "warning", "lost": "danger"}


def describe_state(stream: MediaStream | None, waiting: str = "", call: Call | None = None) -> str:
    """Return the state of a call as HTML.

    Args:
        stream: The stream, or None before the first.
        waiting: The reason why buttons do not act at once, or "".
        call: The call of the stream, if it is known.
    """
    if stream is None:
        return NO_STREAM
    lines = [describe_stream(stream)]
    if stream.disconnect_reason:
        lost = f"<b>The public address was lost</b>: {escape(stream.disconnect_reason)}"
        lines.append(add_sign("error", lost))
    if remark := get_state(stream).remark:
        lines.append(add_sign("warning", f"<b>Look at what is played</b>: {escape(remark)}"))
    if call is not None and _says_more_than_the_stream(call):
        why = "" if call.cause is None else f", {call.cause.in_words}"
        lines.append(f"The call: {escape(call.status + why)}")
    if waiting and not stream.closed.done() and stream.handler_error is None:
        lines.append(escape(waiting))
    return "<br>".join(lines)


def _says_more_than_the_stream(call: Call) -> bool:
    """Whether the status of the call adds something to the state of the stream.

    Without status callbacks, the status stays what it was when the call was placed.
    """
    is_followed = any(not event.stream_sid for event in call.events)
    return call.is_over or (is_followed and call.status != "in-progress")


def describe_stream(stream: MediaStream) -> str:
    """Return what a stream does now, or who ended it and why, as HTML."""
    if stream.handler_error is not None:
        error = escape(format_error(stream.handler_error))
        return add_sign("error", f"<b>Ended by an error in your handler</b>: {error}")
    if stream.closed.done():
        return f"<b>Ended</b>: {escape(describe_end(stream))}"
    words = "Closing" if not stream.is_open else "In a call"
    if get_state(stream).has_queued and stream.is_open:
        words = "Playing"
    return f"<b>{words}</b>{_shorten_sid(stream.stream_sid)}"


def _shorten_sid(sid: str) -> str:
    """Return the SID of a stream in short, as HTML that is not read out with each change."""
    sid = escape(sid)
    return f'<span title="{sid}" aria-hidden="true">, stream {sid[:6]}…{sid[-4:]}</span>'


@dataclass(frozen=True, slots=True)
class PlaybackText:
    """What the bar and the text beside it show.

    Attributes:
        text: How much of which playback was heard, and what follows it.
        share: The share of it, from 0 to 1.
        bar_style: The style of the bar.
    """

    text: str
    share: float = 0.0
    bar_style: str = ""


def describe_playback(
    queue: Sequence[Playing],
    newest: Playing | None,
    before: Sequence[Playing] = (),
    cause: EndCause | None = None,
) -> PlaybackText:
    """Say what sounds now and what follows it; when nothing does, how the last sound ended.

    Args:
        queue: The playbacks that have not ended, in the order of their sound.
        newest: The most recent playback, or None.
        before: The last queue that was not empty.
        cause: Why the stream ended, as far as it is known now.
    """
    if newest is None:
        return PlaybackText("nothing sent yet")
    if not queue and newest.done():
        return _describe_ended(newest, before, cause)
    now, *later = queue or [newest]
    text = f"now: {_name(now)}{_count_seconds(now)}"
    if later:
        seconds = sum(each.total_ms for each in later) / 1000
        text += f"; then {len(later)} more, {seconds:.1f} s"
    return PlaybackText(text, now.progress)


def _describe_ended(
    newest: Playing, before: Sequence[Playing], cause: EndCause | None
) -> PlaybackText:
    """Say how the sound ended that was heard last, and how much behind it nobody heard."""
    unheard = [each for each in before if each.done() and each is not newest]
    heard = [each for each in unheard if each.heard_ms]
    last = newest if newest.heard_ms or not heard else heard[-1]
    outcome = last.result(0)
    text = f"{_name(last)}{_count_seconds(last)}, {outcome.ending}"
    n_more = 0 if last is newest else 1 + sum(not each.heard_ms for each in unheard)
    if n_more:
        text += f", and {n_more} more that nobody heard"
    if why := explain_loss(outcome, cause):
        text += f": {why}"
    return PlaybackText(text, last.progress, _BAR_STYLES[outcome.ending])


def _name(playing: Playing) -> str:
    return f"{playing.mark} " if playing.mark else ""


def _count_seconds(playing: Playing) -> str:
    return f"{playing.heard_ms / 1000:.1f} of {playing.total_ms / 1000:.1f} s"
