"""Buttons for one stream: send a clip, speak over, mark, clear, hang up; and the progress.

The controls also show the state of the call, how much of the newest clip was heard, and the last
lines of activity: messages, pressed buttons, errors.  A screen reader reads the text out when it
changes.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from html import escape
from pathlib import Path
from typing import Any, Literal

import anywidget
import ipywidgets as widgets
import traitlets

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.entry import Message
from twistream_kit.capture.message_text import describe_message
from twistream_kit.errors import WrongType
from twistream_kit.live.calls.call import Call
from twistream_kit.live.stream.state import Playing
from twistream_kit.live.stream.stream import MediaStream, describe_end, get_state
from twistream_kit.notebook.display.html import paragraph
from twistream_kit.notebook.runtime.activity_log import PUMP, ActivityLog, get_activity_log
from twistream_kit.notebook.runtime.kernel import (
    CellWatch,
    answer_on_subshell,
    explain_button_delay,
)
from twistream_kit.pending import Pending, format_error
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import MarkName, MarkOutcome, PlayOutcome

NOT_RUN = (
    "Buttons for a call: Send, Speak over, Mark, Clear, Hang up. Run the notebook to use them."
)
"""Shown in place of the controls by pages that have no kernel."""

SHOWN_LINES = 8
"""The number of lines of activity that the controls show."""

KEPT_LINES = 200
"""The number of lines that they keep."""

_STATIC = Path(__file__).parents[1] / "static"


class StreamControls:
    """Buttons that act on a call while it runs.

    A click is handled on a thread that the kernel chooses, so every button only gives a command,
    which any thread may do, and one thread updates the display, at most ten times a second.

    Args:
        stream: The stream to act on.
        clips: The clips that can be sent; `Clip` objects with names.
        call: The call of the stream, for *Hang up* and for its status; without it, hanging up
            closes the stream.

    Attributes:
        clip: A drop-down with the clips.
        send, mark, clear, hang_up: The buttons; ``controls.clear.click()`` presses one.
        speak_over: The button that clears, and then sends the chosen clip at once.
        progress: How much of the newest playback was *heard*, from 0 to 1.
        state: The state of the call as text; it also shows that the public address was lost, and
            that what is played is almost certainly no PCMU.
        log: The last events, including errors.
        widget: The box that holds all of them, for a layout of your own.

    Raises:
        TypeError: If `stream` is not a `MediaStream`, or `clips` holds anything but clips.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> controls = kit.StreamControls(stream, clips=[kit.Clip.tone(440, 0.1)])
        >>> controls.send.click()
        >>> stream.newest.result(10).ending
        'heard'
        >>> controls.close()
    """

    def __init__(
        self, stream: MediaStream, *, clips: Sequence[Clip] = (), call: Call | None = None
    ) -> None:
        _check(stream, clips)
        self._stream, self._call = stream, call
        self._marks = 0
        self._is_closed = False
        self._hanging_up: Pending[Any] | None = None
        # Without it, an update that read the state before a press would undo what the press shows.
        self._display = threading.RLock()
        self._activity = ActivityLines(stream, get_activity_log())
        self._cells = CellWatch()
        self.clip = widgets.Dropdown(
            options=[(label_clip(clip), clip) for clip in clips],
            description="Clip",
            tooltip="Clip",
        )
        self.send = _make_button(
            "Send", "paper-plane", "Play the chosen clip into the call", "primary"
        )
        self.speak_over = _make_button(
            "Speak over", "bullhorn", "Clear, then play the chosen clip at once"
        )
        self.mark = _make_button("Mark", "flag", "Notify when everything queued so far was heard")
        self.clear = _make_button("Clear", "eraser", "Silence everything that is queued, at once")
        self.hang_up = _make_button("Hang up", "phone", "End the call", "danger")
        self.progress = widgets.FloatProgress(
            min=0, max=1, description="Heard", tooltip="How much of the newest clip was heard"
        )
        self.state = LiveText(box_label=f"Controls of stream {stream.stream_sid}")
        self.log = LiveText("log", label="Last events")
        self._heard_text = widgets.Label(layout=widgets.Layout(flex="0 0 auto"))
        for button, act in self._list_actions():
            button.on_click(act)
        self.widget = self._build_box()
        for button in (self.clip, *(button for button, _ in self._list_actions())):
            answer_on_subshell(button)
        self._update()
        PUMP.add(self._update)
        if call is not None:
            # The end of the call is often reported long after the end of the stream.
            call.ended.add_done_callback(lambda _: self._wake())

    def close(self) -> None:
        """Close the widget; the stream continues."""
        self._is_closed = True
        PUMP.remove(self._update)
        self._cells.close()
        self.widget.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        # This class is no widget itself: every ipywidget has a `log`, which is its logger.
        shown = self.widget._repr_mimebundle_(**options)
        if shown is not None:  # shown by a page without a kernel
            shown["text/html"] = str(paragraph(NOT_RUN))
        return shown

    def __repr__(self) -> str:
        return f"<StreamControls of {self._stream!r}>"

    def _build_box(self) -> widgets.VBox:
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        buttons = [self.clip, *(button for button, _ in self._list_actions())]
        for wide in (self.clip, self.progress):
            wide.layout = widgets.Layout(width="auto", flex="0 1 300px", min_width="170px")
        heard = widgets.HBox([self.progress, self._heard_text])
        box = widgets.VBox([widgets.HBox(buttons, layout=row), heard, self.state, self.log])
        return box.add_class("twistream-controls")

    def _list_actions(self) -> list[tuple[widgets.Button, Any]]:
        return [
            (self.send, self._send),
            (self.speak_over, self._speak_over),
            (self.mark, self._mark),
            (self.clear, self._clear),
            (self.hang_up, self._hang_up),
        ]

    def _send(self, _button: object) -> None:
        clip = self.clip.value
        if clip is None:
            self._note("There is no clip to send: StreamControls(stream, clips=[…])")
            return
        self._note(f"sent {label_clip(clip)}")
        playing = self._stream.play(clip, mark=clip.name or None)
        with self._display:
            self.clear.disabled = False
        playing.add_done_callback(self._note_outcome_of(clip.name or "clip"))

    def _speak_over(self, button: object) -> None:
        if self.clip.value is not None:
            self._clear(button)
        self._send(button)

    def _mark(self, _button: object) -> None:
        self._marks += 1
        name = f"mark-{self._marks}"
        self._note(f"asked for {name}")
        self._stream.mark(name).add_done_callback(self._note_outcome_of(name))

    def _clear(self, _button: object) -> None:
        self._note("cleared")
        self._stream.clear()

    def _hang_up(self, _button: object) -> None:
        self._note("hanging up")
        call = self._call
        hanging_up: Pending[Any] = self._stream.close(now=True) if call is None else call.hang_up()
        self._hanging_up = hanging_up
        with self._display:
            self.hang_up.disabled = True
        if call is not None:
            hanging_up.add_done_callback(self._note_outcome_of("the call"))

    def _note_outcome_of(self, name: str) -> Callable[[Future[Any]], None]:
        def note(done: Future[Any]) -> None:
            error = done.exception(0)
            self._note(describe_outcome(done.result(0) if error is None else error, name))

        return note

    def _note(self, text: str) -> None:
        self._activity.note(text)
        self._wake()

    def _wake(self) -> None:
        if not self._is_closed:
            PUMP.add(self._update)  # the pump has dropped it if the stream has ended

    def _update(self) -> bool:
        """Show the present state; return whether it can still change."""
        with self._display:
            stream, state = self._stream, get_state(self._stream)
            newest = stream.newest
            is_open = stream.is_open
            over = stream.closed.done()
            self.send.disabled = self.speak_over.disabled = not (is_open and self.clip.options)
            self.mark.disabled = not is_open
            self.clear.disabled = over or not state.has_queued
            self.hang_up.disabled = over or self._is_hanging_up()
            self.progress.value = 0.0 if newest is None else newest.progress
            self.progress.bar_style = choose_bar_style(newest)
            self._heard_text.value = describe_heard(newest)
            waiting = explain_button_delay() if self._cells.is_running else ""
            self.state.value = describe_state(stream, waiting, self._call)
            self.log.value = list_lines(self._activity.read_lines()[-SHOWN_LINES:])
            if over:
                self._cells.close()
            # The reason of a lost connection often becomes known some moments later.
            return not over or (state.broke_lately and not stream.disconnect_reason)

    def _is_hanging_up(self) -> bool:
        if self._call is not None and self._call.is_over:
            return True
        return self._hanging_up is not None and not self._hanging_up.done()


def _make_button(text: str, icon: str, tooltip: str, style: str = "") -> widgets.Button:
    layout = widgets.Layout(width="auto")
    return widgets.Button(
        description=text, icon=icon, tooltip=tooltip, button_style=style, layout=layout
    )


def _check(stream: MediaStream, clips: Sequence[Clip]) -> None:
    if not isinstance(stream, MediaStream):
        raise WrongType(
            f"StreamControls takes a MediaStream, not {type(stream).__name__}; "
            "server.next_stream().result(10) gives one"
        )
    if not isinstance(clips, Sequence):
        raise WrongType(
            f"clips must be a list of Clip objects, not {type(clips).__name__}; write clips=[clip]"
        )
    wrong = [type(clip).__name__ for clip in clips if not isinstance(clip, Clip)]
    if wrong:
        raise WrongType(
            f"clips must be Clip objects, not {wrong[0]}; kit.load_clip(path) makes one"
        )


class LiveText(anywidget.AnyWidget):
    """An ARIA live region: a screen reader reads changes out, without a change of focus.

    `ipywidgets.HTML` cannot be one, because each change replaces its element by a new one.
    For a list (``<ul>``) in `value`, the page only adds new lines and removes old ones, so that no
    line is read out twice.

    Args:
        live: A ``"status"`` is read out as a whole, a ``"log"`` only in its new lines.
        label: Its accessible name, if the text alone does not say what it is.
        box_label: The name of the box of class ``twistream-controls`` around it, whose clip
            can then be chosen with the keyboard; "" if another widget names the box.

    Attributes:
        value: HTML in which all foreign text has been escaped.
    """

    _esm = _STATIC / "live_text.js"
    _css = _STATIC / "controls.css"

    value = traitlets.Unicode().tag(sync=True)
    live = traitlets.Unicode("status").tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    box_label = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, live: Literal["status", "log"] = "status", *, label: str = "", box_label: str = ""
    ) -> None:
        super().__init__(live=live, label=label, box_label=box_label)


class ActivityLines:
    """Collects the activity of one stream in lines; any thread may call its methods.

    Args:
        stream: The stream.
        log: The kit's activity log, for warnings and errors about the stream.
    """

    def __init__(self, stream: MediaStream, log: ActivityLog) -> None:
        self._stream = stream
        self._log = log
        self._read = 0
        self._logged_until = time.monotonic()
        self._new: list[tuple[float, str]] = []
        self._lines: list[str] = []
        self._lock = threading.Lock()

    def note(self, text: str) -> None:
        """Add a line."""
        at = time.monotonic() - self._stream.capture.started
        with self._lock:
            self._new.append((at, text))

    def read_lines(self) -> list[str]:
        """Add the lines of everything new, in the order of time, and return the last lines."""
        with self._lock:
            self._new += self._read_messages() + self._read_log()
            self._new.sort(key=lambda line: line[0])
            self._lines += [f"{max(at, 0):.2f} s: {text}" for at, text in self._new]
            self._new.clear()
            del self._lines[:-KEPT_LINES]
            return list(self._lines)

    def _read_messages(self) -> list[tuple[float, str]]:
        entries = self._stream.capture.kept_since(self._read)
        self._read += len(entries)
        return [
            (entry.at, describe_message(entry.message))
            for entry in entries
            if _is_shown(entry.message)
        ]

    def _read_log(self) -> list[tuple[float, str]]:
        since, self._logged_until = self._logged_until, time.monotonic()
        return [
            (line.at - self._stream.capture.started, f"{line.level.capitalize()}: {line.text}")
            for line in self._log.find_lines(self._stream.stream_sid, since)
            if line.level != "INFO" and line.at < self._logged_until
        ]


def _is_shown(message: Message) -> bool:
    """Whether a message gets a line: not media and progress marks, which arrive all the time."""
    if isinstance(message, from_twilio.Mark | to_twilio.Mark):
        return not MarkName.parse(message.name).is_own
    return not isinstance(message, from_twilio.Media | to_twilio.Media | from_twilio.Connected)


def label_clip(clip: Clip) -> str:
    """Return the name of a clip in the list of clips."""
    return f"{clip.name or 'clip'} ({clip.seconds:.1f} s)"


def describe_state(stream: MediaStream, waiting: str = "", call: Call | None = None) -> str:
    """Return the state of a call as HTML.

    Args:
        stream: The stream.
        waiting: The reason why buttons do not act at once, or "".
        call: The call of the stream, if it is known.
    """
    lines = [_describe_stream(stream)]
    if stream.disconnect_reason:
        lines.append(f"<b>The public address was lost</b>: {escape(stream.disconnect_reason)}")
    if remark := get_state(stream).remark:
        lines.append(f"<b>Look at what is played</b>: {escape(remark)}")
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


def _describe_stream(stream: MediaStream) -> str:
    if stream.handler_error is not None:
        error = stream.handler_error
        return f"<b>Ended by an error</b>: {escape(format_error(error))}"
    if stream.closed.done():
        return f"<b>Ended</b>: {escape(describe_end(stream))}"
    words = "Closing" if not stream.is_open else "In a call"
    if get_state(stream).has_queued and stream.is_open:
        words = "Playing"
    sid = escape(stream.stream_sid)
    # The whole SID is in the name of the box; here it would be read out again with each change.
    short = f'<span title="{sid}" aria-hidden="true">, stream {sid[:6]}…{sid[-4:]}</span>'
    return f"<b>{words}</b>{short}"


def describe_heard(newest: Playing | None) -> str:
    """Return the text that says how much of a playback was heard."""
    if newest is None:
        return "nothing sent yet"
    seconds = f"{newest.heard_ms / 1000:.1f} of {newest.total_ms / 1000:.1f} s"
    # Why it was lost stands in the state of the call; here it would widen the row.
    return f"{seconds}, {newest.result(0).ending}" if newest.done() else seconds


def choose_bar_style(newest: Playing | None) -> str:
    """Return the style of the progress bar."""
    if newest is None or not newest.done():
        return ""
    return {"heard": "success", "cleared": "warning", "lost": "danger"}[newest.result(0).ending]


def list_lines(newest: Iterable[str]) -> str:
    """Return lines of the log as HTML."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in newest)}</ul>"


def describe_outcome(outcome: object, name: str) -> str:
    """Return a sentence that says how something ended.

    Args:
        outcome: A `PlayOutcome`, a `MarkOutcome`, an exception, or another result.
        name: The name of the clip, the mark or the command that ended.
    """
    match outcome:
        case PlayOutcome(ending="heard"):
            return f"{name} was heard"
        case PlayOutcome(ending=ending, heard_ms=heard_ms, total_ms=total_ms):
            seconds = f"{heard_ms / 1000:.2f} of {total_ms / 1000:.2f} s"
            said = f"{name} was {ending} after {seconds}"
            return ": ".join(filter(None, (said, outcome.why)))
        case MarkOutcome(ending="heard"):
            return f"all before {name} was heard"
        case MarkOutcome(ending=ending):
            return ": ".join(filter(None, (f"{name} was {ending}", outcome.why)))
        case BaseException():
            return f"Error: {outcome}"
        case _:
            return f"{name}: {outcome}"
