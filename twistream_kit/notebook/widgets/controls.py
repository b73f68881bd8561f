"""Buttons for one stream: send a clip, speak over it, mark, clear, hang up; what was heard.

Beside the buttons stand the state of the call, how much of the newest clip was heard, and the last
lines of activity: what passed on the wire, what was pressed, what went wrong.  The text is read out
by a screen reader when it changes.
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
from twistream_kit.errors import ServerStopped
from twistream_kit.live.calls.call import Call
from twistream_kit.live.stream.state import Playing
from twistream_kit.live.stream.stream import MediaStream, state_of
from twistream_kit.notebook.display.html import paragraph
from twistream_kit.notebook.runtime.activity_log import PUMP, ActivityLog, activity_log
from twistream_kit.notebook.runtime.kernel import CellWatch, answer_on_subshell, why_buttons_wait
from twistream_kit.pending import Pending, format_error
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import MarkName, MarkOutcome, PlayOutcome

NOT_RUN = (
    "Buttons for a call: Send, Speak over, Mark, Clear, Hang up. Run the notebook to use them."
)
"""Shown in place of the controls by pages that have no kernel."""

SHOWN_LINES = 8
"""How many lines of activity the controls show."""

KEPT_LINES = 200
"""How many they keep."""

_STATIC = Path(__file__).parents[1] / "static"


class StreamControls:
    """Buttons that act on a call while it runs.

    A click is handled on whatever thread the kernel picks, so every button only gives a command,
    which any thread may, and the display is brought up to date by one thread, ten times a second
    at most.

    Args:
        stream: The stream to act on.
        clips: What can be sent; `Clip` objects with names.
        call: The call of the stream, for *Hang up* and for its status; without it, hanging up
            closes the stream.

    Attributes:
        clip: A drop-down with the clips.
        send, mark, clear, hang_up: The buttons; ``controls.clear.click()`` presses one.
        speak_over: The button that clears and sends the chosen clip, at once.
        progress: How much of the newest playback was *heard*, from 0 to 1.
        state: The state of the call, in words; also when its public address was lost.
        log: The last events, errors among them.
        widget: The box of all of them, to be put into a layout of your own.

    Raises:
        TypeError: If `stream` is not a `MediaStream`, or `clips` holds something else than clips.
    """

    def __init__(
        self, stream: MediaStream, *, clips: Sequence[Clip] = (), call: Call | None = None
    ) -> None:
        _check(stream, clips)
        self._stream, self._call = stream, call
        self._marks = 0
        self._is_closed = False
        self._hanging_up: Pending[Any] | None = None
        # Without it, an update that looked before a press would undo what the press shows.
        self._display = threading.RLock()
        self._activity = ActivityLines(stream, activity_log())
        self._cells = CellWatch()
        self.clip = widgets.Dropdown(
            options=[(label_clip(clip), clip) for clip in clips],
            description="Clip",
            tooltip="Clip",
        )
        self.send = _button("Send", "paper-plane", "Play the chosen clip into the call", "primary")
        self.speak_over = _button(
            "Speak over", "bullhorn", "Clear, then play the chosen clip at once"
        )
        self.mark = _button("Mark", "flag", "Ask to be told when all queued so far was heard")
        self.clear = _button("Clear", "eraser", "Silence everything that is queued, at once")
        self.hang_up = _button("Hang up", "phone", "End the call", "danger")
        self.progress = widgets.FloatProgress(
            min=0, max=1, description="Heard", tooltip="How much of the newest clip was heard"
        )
        self.state = LiveText(box_label=f"Controls of stream {stream.stream_sid}")
        self.log = LiveText("log", label="Last events")
        self._heard_text = widgets.Label(layout=widgets.Layout(flex="0 0 auto"))
        for button, act in self._actions():
            button.on_click(act)
        self.widget = self._laid_out()
        for button in (self.clip, *(button for button, _ in self._actions())):
            answer_on_subshell(button)
        self._update()
        PUMP.add(self._update)
        if call is not None:
            # The end of the call is often reported when that of the stream was shown long ago.
            call.ended.add_done_callback(lambda _: self._wake())

    def close(self) -> None:
        """Take the widget away; the stream goes on."""
        self._is_closed = True
        PUMP.remove(self._update)
        self._cells.close()
        self.widget.close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        # Not a widget itself: every ipywidget has a `log` of its own, which is its logger.
        shown = self.widget._repr_mimebundle_(**options)
        if shown is not None:  # what a page without a kernel shows instead
            shown["text/html"] = str(paragraph(NOT_RUN))
        return shown

    def __repr__(self) -> str:
        return f"<StreamControls of {self._stream!r}>"

    def _laid_out(self) -> widgets.VBox:
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        buttons = [self.clip, *(button for button, _ in self._actions())]
        for wide in (self.clip, self.progress):
            wide.layout = widgets.Layout(width="auto", flex="0 1 300px", min_width="170px")
        heard = widgets.HBox([self.progress, self._heard_text])
        box = widgets.VBox([widgets.HBox(buttons, layout=row), heard, self.state, self.log])
        return box.add_class("twistream-controls")

    def _actions(self) -> list[tuple[widgets.Button, Any]]:
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
            PUMP.add(self._update)  # it has left the pump when the stream has ended

    def _update(self) -> bool:
        """Show the state of things; return whether it can still change."""
        with self._display:
            stream, state = self._stream, state_of(self._stream)
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
            waiting = why_buttons_wait() if self._cells.is_running else ""
            self.state.value = describe_state(stream, waiting, self._call)
            self.log.value = list_lines(self._activity.lines()[-SHOWN_LINES:])
            if over:
                self._cells.close()
            # Why a connection broke is often known only some moments after it did.
            return not over or (state.broke_lately and not stream.disconnect_reason)

    def _is_hanging_up(self) -> bool:
        if self._call is not None and self._call.is_over:
            return True
        return self._hanging_up is not None and not self._hanging_up.done()


def _button(text: str, icon: str, tooltip: str, style: str = "") -> widgets.Button:
    layout = widgets.Layout(width="auto")
    return widgets.Button(
        description=text, icon=icon, tooltip=tooltip, button_style=style, layout=layout
    )


def _check(stream: MediaStream, clips: Sequence[Clip]) -> None:
    if not isinstance(stream, MediaStream):
        raise TypeError(
            f"StreamControls takes a MediaStream, not {type(stream).__name__}; "
            "server.next_stream().result(10) gives one"
        )
    if not isinstance(clips, Sequence):
        raise TypeError(
            f"clips must be a list of Clip objects, not {type(clips).__name__}; say clips=[clip]"
        )
    wrong = [type(clip).__name__ for clip in clips if not isinstance(clip, Clip)]
    if wrong:
        raise TypeError(
            f"clips must be Clip objects, not {wrong[0]}; kit.load_clip(path) makes one"
        )


class LiveText(anywidget.AnyWidget):
    """A live region: what is new in it is read out, without a change of focus.

    `ipywidgets.HTML` cannot be one, as each change puts a new element in the place of the old.
    A list (``<ul>``) in `value` only ever gets new lines and loses old ones, so that no line is
    read out twice.

    Args:
        live: ``"status"`` is read out as a whole, of a ``"log"`` only what was added.
        label: Its name, where the text alone does not say what it is.
        box_label: The name of the box of class ``twistream-controls`` around it, whose clip
            can then be chosen with the keyboard; "" if that is somebody else's task.

    Attributes:
        value: HTML in which everything that came from elsewhere has been escaped.
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
        stream: Whose activity it is.
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
        """Add a line of one's own."""
        at = time.monotonic() - self._stream.capture.started
        with self._lock:
            self._new.append((at, text))

    def lines(self) -> list[str]:
        """Return the last lines, with all that has happened since, in the order of their times."""
        with self._lock:
            self._new += self._passed() + self._logged()
            self._new.sort(key=lambda line: line[0])
            self._lines += [f"{max(at, 0):.2f} s: {text}" for at, text in self._new]
            self._new.clear()
            del self._lines[:-KEPT_LINES]
            return list(self._lines)

    def _passed(self) -> list[tuple[float, str]]:
        entries = self._stream.capture.kept_since(self._read)
        self._read += len(entries)
        return [
            (entry.at, describe_message(entry.message))
            for entry in entries
            if _is_told(entry.message)
        ]

    def _logged(self) -> list[tuple[float, str]]:
        since, self._logged_until = self._logged_until, time.monotonic()
        return [
            (line.at - self._stream.capture.started, f"{line.level.capitalize()}: {line.text}")
            for line in self._log.about(self._stream.stream_sid, since)
            if line.level != "INFO" and line.at < self._logged_until
        ]


def _is_told(message: Message) -> bool:
    """Whether a message is worth a line: media and marks that nobody named come all the time."""
    if isinstance(message, from_twilio.Mark | to_twilio.Mark):
        return not MarkName.parse(message.name).is_own
    return not isinstance(message, from_twilio.Media | to_twilio.Media | from_twilio.Connected)


def label_clip(clip: Clip) -> str:
    """Return how a clip is named in the list of clips."""
    return f"{clip.name or 'clip'} ({clip.seconds:.1f} s)"


def describe_state(stream: MediaStream, waiting: str = "", call: Call | None = None) -> str:
    """Return the state of a call as HTML.

    Args:
        stream: Whose state it is.
        waiting: Why buttons do not act at once, if they do not.
        call: The call of the stream, if it is known.
    """
    lines = [_describe_stream(stream)]
    if stream.disconnect_reason:
        lines.append(f"<b>The public address is gone</b>: {escape(stream.disconnect_reason)}")
    if call is not None and _says_more_than_the_stream(call):
        lines.append(f"The call: {escape(call.status)}")
    if waiting and not stream.closed.done() and stream.handler_error is None:
        lines.append(escape(waiting))
    return "<br>".join(lines)


def _says_more_than_the_stream(call: Call) -> bool:
    """Whether the status says more than the stream does.

    Without status callbacks it stays for ever what it was when the call was placed.
    """
    is_followed = any(not event.stream_sid for event in call.events)
    return call.is_over or (is_followed and call.status != "in-progress")


def _describe_stream(stream: MediaStream) -> str:
    if stream.handler_error is not None:
        error = stream.handler_error
        return f"<b>Ended by an error</b>: {escape(format_error(error))}"
    if stream.closed.done():
        try:
            how = stream.closed.result(0).detail
        except ServerStopped as stopped:  # its loop ended, and could not say how the stream did
            how = str(stopped)
        return f"<b>Ended</b>: {escape(how)}"
    words = "Saying goodbye" if not stream.is_open else "In a call"
    if state_of(stream).has_queued and stream.is_open:
        words = "Playing"
    sid = escape(stream.stream_sid)
    # Whole in the name of the box; here it would be read out again with each change.
    short = f'<span title="{sid}" aria-hidden="true">, stream {sid[:6]}…{sid[-4:]}</span>'
    return f"<b>{words}</b>{short}"


def describe_heard(newest: Playing | None) -> str:
    """Return how much of a playback was heard."""
    if newest is None:
        return "nothing sent yet"
    seconds = f"{newest.heard_ms / 1000:.1f} of {newest.total_ms / 1000:.1f} s"
    return f"{seconds}, {newest.result(0).ending}" if newest.done() else seconds


def choose_bar_style(newest: Playing | None) -> str:
    """Return the style of the bar that shows how much was heard."""
    if newest is None or not newest.done():
        return ""
    return {"heard": "success", "cleared": "warning", "lost": "danger"}[newest.result(0).ending]


def list_lines(newest: Iterable[str]) -> str:
    """Return lines of the log as HTML."""
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in newest)}</ul>"


def describe_outcome(outcome: object, name: str) -> str:
    """Say how something ended, in words.

    Args:
        outcome: A `PlayOutcome`, a `MarkOutcome`, an exception, or what else there is to say.
        name: Of what ended.
    """
    match outcome:
        case PlayOutcome(ending="heard"):
            return f"{name} was heard"
        case PlayOutcome(ending=ending, heard_ms=heard_ms, total_ms=total_ms):
            seconds = f"{heard_ms / 1000:.2f} of {total_ms / 1000:.2f} s"
            return f"{name} was {ending} after {seconds}"
        case MarkOutcome(ending="heard"):
            return f"all before {name} was heard"
        case MarkOutcome(ending=ending):
            return f"{name} was {ending}"
        case BaseException():
            return f"Error: {outcome}"
        case _:
            return f"{name}: {outcome}"
