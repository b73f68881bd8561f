"""Buttons for one stream: send a clip, speak over, mark, clear, hang up; and the progress.

The controls also show the state of the call, how much was heard of the sound that plays now, what
follows it, and the last lines of activity: messages, pressed buttons, errors.  A screen reader
reads the text out when it changes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from html import escape
from typing import Any

import ipywidgets as widgets

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WrongType, WrongValue, quote
from twistream_kit.live.calls.call import Call
from twistream_kit.live.stream.state import Playing
from twistream_kit.live.stream.stream import MediaStream, get_state
from twistream_kit.notebook.display.html import EMPTY, Html, join, paragraph
from twistream_kit.notebook.runtime.activity_log import PUMP, get_activity_log
from twistream_kit.notebook.runtime.kernel import (
    CellWatch,
    answer_on_subshell,
    explain_button_delay,
)
from twistream_kit.notebook.widgets._clip_list import refuse_item
from twistream_kit.notebook.widgets._closing import ClosesLayout, close_tree
from twistream_kit.notebook.widgets.activity_lines import ActivityLines, list_lines
from twistream_kit.notebook.widgets.controls_text import describe_playback, describe_state
from twistream_kit.notebook.widgets.file_field import FileField
from twistream_kit.notebook.widgets.last_picture import KeepsLastPicture
from twistream_kit.notebook.widgets.live_text import LiveText
from twistream_kit.pending import Pending

NOT_RUN = (
    "Buttons for a call: Send, Speak over, Mark, Clear, Hang up. Run the notebook to use them."
)
"""Shown in place of the controls by pages that have no kernel."""

SHOWN_LINES = 8
"""The number of lines of activity that the controls show."""

_LABEL_STYLE = {"description_width": "48px"}
"""On a narrow page the room is needed for the names of the clips."""


class StreamControls(KeepsLastPicture, ClosesLayout, widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Buttons that act on a call while it runs; a box, which stands in any other.

    A click is handled on a thread that the kernel chooses, so every button only gives a command,
    which any thread may do, and one thread updates the display, at most ten times a second.

    Args:
        stream: The stream to act on; None for none yet, `attach` gives it one.
        clips: The clips that can be sent; `Clip` objects with names.
        call: The call of the stream, for *Hang up* and for its status; without it, hanging up
            closes the stream.

    Attributes:
        clip: A drop-down with the clips.
        send_button, mark_button, clear_button, hang_up_button: The buttons;
            ``controls.clear_button.click()`` presses one.
        speak_over_button: The button that clears, and then sends the chosen clip at once.
        progress: How much was *heard* of the sound that plays now, from 0 to 1.
        state: The state of the call as text; it also shows that the public address was lost, that
            the handler raised, and that what is played is almost certainly no PCMU.
        log_view: The last events, including errors.
        file_field: The field where files are chosen or dropped; each becomes a clip to send.

    Raises:
        TypeError: If `stream` is not a `MediaStream`, `call` not a `Call`, or `clips` holds
            anything but clips.
        ValueError: If the stream is of another call.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> controls = kit.StreamControls(stream, clips=[kit.Clip.tone(440, 0.1)])
        >>> controls.send_button.click()
        >>> stream.newest.result(10).ending
        'heard'
        >>> controls.close()
    """

    def __init__(
        self, stream: MediaStream | None, *, clips: Sequence[Clip] = (), call: Call | None = None
    ) -> None:
        if stream is not None:
            _check_stream(stream)
        _check_clips(clips)
        _check_call(call, stream)
        self._marks = 0
        self._is_closed = False
        self._last_drawn = EMPTY
        # Without it, an update that read the state before a press would undo what the press shows.
        self._display = threading.RLock()
        self._cells = CellWatch()
        # Controls that are given one stream are done with its end; others wait for the next.
        self._is_reused = stream is None
        self.clip = widgets.Dropdown(
            options=[(label_clip(clip), clip) for clip in clips],
            description="Clip",
            tooltip="Clip",
            style=_LABEL_STYLE,
        )
        self.send_button = _make_button(
            "Send", "paper-plane", "Play the chosen clip into the call", "primary"
        )
        self.speak_over_button = _make_button(
            "Speak over", "bullhorn", "Clear, then play the chosen clip at once"
        )
        self.mark_button = _make_button(
            "Mark", "flag", "Notify when everything queued so far was heard"
        )
        self.clear_button = _make_button(
            "Clear", "eraser", "Silence everything that is queued, at once"
        )
        self.hang_up_button = _make_button("Hang up", "phone", "End the call", "danger")
        self.progress = widgets.FloatProgress(
            min=0,
            max=1,
            description="Heard",
            tooltip="How much of the sound was heard",
            style=_LABEL_STYLE,
        )
        self.state = LiveText()
        self.log_view = LiveText("log", label="Last events")
        # Its file comes in the kernel's messages, as a click on a button does.
        self.file_field = FileField(self.add_clip, label="Add a file", direct=False)
        self._heard_text = widgets.Label().add_class("twistream-heard")
        for button, act in self._list_actions():
            button.on_click(act)
        super().__init__(self._arrange())
        self.add_class("twistream-controls")
        for button in (self.clip, *(button for button, _ in self._list_actions())):
            answer_on_subshell(button)
        self._take(stream, call)

    def attach(self, stream: MediaStream, call: Call | None = None) -> None:
        """Act on another stream from now on, with the same clips; callable from any thread.

        Args:
            stream: The stream.
            call: Its call, as of the constructor.

        Raises:
            TypeError: If `stream` is not a `MediaStream`, or `call` not a `Call`.
            ValueError: If the stream is of another call.
        """
        _check_stream(stream)
        _check_call(call, stream)
        self._is_reused = True
        self._take(stream, call)

    def add_clip(self, clip: Clip) -> None:
        """Add a clip to the drop-down and choose it; callable from any thread.

        Raises:
            TypeError: If it is not a `Clip`.
        """
        _check_clips([clip])
        with self._display:
            options = list(self.clip.options)
            clips = [each for _, each in options]
            if clip not in clips:
                self.clip.options = (*options, (label_clip(clip), clip))
                clips.append(clip)
            self.clip.index = clips.index(clip)
        self._wake()

    def close(self) -> None:
        """Close the widget; the stream continues."""
        self._is_closed = True
        if not hasattr(self, "_queue"):  # ipywidgets also closes after a failed constructor
            return
        PUMP.remove(self._update)
        self._cells.close()
        close_tree(self.children)
        super().close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        if shown is not None:  # shown by a page without a kernel
            shown["text/html"] = str(paragraph(NOT_RUN))
        return shown

    def __repr__(self) -> str:
        stream = "no stream yet" if self._stream is None else repr(self._stream)
        return f"<StreamControls of {stream}>"

    def _draw_last_picture(self) -> Html:
        texts = (self.state.value, escape(self._heard_text.value), self.log_view.value)
        return join(*(paragraph(Html(text)) for text in texts[:2]), Html(texts[2]))

    def _take(self, stream: MediaStream | None, call: Call | None) -> None:
        with self._display:
            self._forget_last_picture()
            self._stream, self._call = stream, call
            self._hanging_up: Pending[Any] | None = None
            self._queue: list[Playing] = []
            self._activity = None if stream is None else ActivityLines(stream, get_activity_log())
            sid = "no stream yet" if stream is None else f"stream {stream.stream_sid}"
            self.state.box_label = f"Controls of {sid}"
            if self._update():
                PUMP.add(self._update)
        if call is not None:
            # The end of the call is often reported long after the end of the stream.
            call.ended.add_done_callback(lambda _: self._wake())

    def _arrange(self) -> list[widgets.Widget]:
        row = widgets.Layout(flex_flow="row wrap", align_items="center")
        buttons = [self.clip, *(button for button, _ in self._list_actions())]
        for wide in (self.clip, self.progress):
            wide.layout.width, wide.layout.flex = "auto", "1 1 180px"
            wide.layout.min_width, wide.layout.max_width = "170px", "300px"
        heard = widgets.HBox([self.progress, self._heard_text], layout=row)
        return [
            widgets.HBox(buttons, layout=row),
            self.file_field,
            heard,
            self.state,
            self.log_view,
        ]

    def _list_actions(self) -> list[tuple[widgets.Button, Any]]:
        return [
            (self.send_button, self._send_clip),
            (self.speak_over_button, self._speak_over),
            (self.mark_button, self._send_mark),
            (self.clear_button, self._clear),
            (self.hang_up_button, self._hang_up),
        ]

    def _find_stream(self) -> MediaStream | None:
        """Return the stream that a pressed button acts on."""
        return self._stream

    def _send_clip(self, _button: object) -> None:
        stream, activity, clip = self._find_stream(), self._activity, self.clip.value
        if stream is None or activity is None:
            return
        if clip is None:
            self._note(
                "There is no clip to send: add a file, or write StreamControls(stream, clips=[…])"
            )
            return
        if clip.name:
            activity.expect_mark(clip.name)
        playing = stream.play(clip, mark=clip.name or None)
        activity.note_sent(f"sent {label_clip(clip)}", playing)
        self._wake()
        with self._display:
            self.clear_button.disabled = False
        playing.add_done_callback(self._note_outcome_of(clip.name or "clip"))

    def _speak_over(self, button: object) -> None:
        if self.clip.value is not None:
            self._clear(button)
        self._send_clip(button)

    def _send_mark(self, _button: object) -> None:
        stream, activity = self._find_stream(), self._activity
        if stream is None or activity is None:
            return
        with self._display:
            self._marks += 1
            name = f"mark-{self._marks}"
        activity.expect_mark(name)
        self._note(f"asked for {name}")
        stream.mark(name).add_done_callback(self._note_outcome_of(name))

    def _clear(self, _button: object) -> None:
        stream, activity = self._find_stream(), self._activity
        if stream is not None:
            if activity is not None and stream.is_open:
                activity.expect_clear()
                activity.note("clear sent")
            stream.clear()
            self._wake()

    def _hang_up(self, _button: object) -> None:
        stream, call = self._find_stream(), self._call
        if stream is None:
            return
        self._note("hanging up")
        hanging_up: Pending[Any] = stream.close(now=True) if call is None else call.hang_up()
        self._hanging_up = hanging_up
        with self._display:
            self.hang_up_button.disabled = True
        if call is not None:
            hanging_up.add_done_callback(self._note_outcome_of("the call"))

    def _note_outcome_of(self, name: str) -> Callable[[Future[Any]], None]:
        activity = self._activity

        def note(done: Future[Any]) -> None:
            error = done.exception(0)
            if activity is not None:
                activity.note_outcome(done.result(0) if error is None else error, name)
            self._wake()

        return note

    def _note(self, text: str) -> None:
        if self._activity is not None:
            self._activity.note(text)
        self._wake()

    def _wake(self) -> None:
        if not self._is_closed:
            PUMP.add(self._update)  # the pump has dropped it if the stream has ended

    def _update(self) -> bool:
        """Show the present state; return whether it can still change."""
        with self._display:
            if self._is_closed:
                return False
            stream, activity = self._stream, self._activity
            over = stream is None or stream.closed.done()
            self._switch_buttons(stream, over)
            self._show_playback(stream)
            waiting = explain_button_delay() if self._cells.is_running else ""
            self.state.value = describe_state(stream, waiting, self._call)
            lines = [] if activity is None else activity.read_lines()[-SHOWN_LINES:]
            self.log_view.value = list_lines(lines)
            if stream is None:
                return False
            if over:
                self._note_end()
            # The reason of a lost connection often becomes known some moments later.
            return not over or (get_state(stream).broke_lately and not stream.disconnect_reason)

    def _note_end(self) -> None:
        if not self._is_reused:
            self._cells.close()
        if (last := self._draw_last_picture()) != self._last_drawn:
            self._last_drawn = last  # who ended the call is often known later
            self._keep_last_picture()

    def _switch_buttons(self, stream: MediaStream | None, over: bool) -> None:
        is_open = stream is not None and stream.is_open
        has_queued = stream is not None and get_state(stream).has_queued
        no_clip = not (is_open and self.clip.options)
        self.send_button.disabled = self.speak_over_button.disabled = no_clip
        self.mark_button.disabled = not is_open
        self.clear_button.disabled = over or not has_queued
        self.hang_up_button.disabled = over or self._is_hanging_up()

    def _show_playback(self, stream: MediaStream | None) -> None:
        queue = [] if stream is None else get_state(stream).queue
        newest = None if stream is None else stream.newest
        cause = None if stream is None else stream.cause
        shown = describe_playback(queue, newest, self._queue, cause)
        self._queue = queue or self._queue
        self.progress.value, self.progress.bar_style = shown.share, shown.bar_style
        self._heard_text.value = shown.text

    def _is_hanging_up(self) -> bool:
        if self._call is not None and self._call.is_over:
            return True
        return self._hanging_up is not None and not self._hanging_up.done()


def label_clip(clip: Clip) -> str:
    """Return the name of a clip in the list of clips."""
    return f"{clip.name or 'clip'} ({clip.seconds:.1f} s)"


def _make_button(text: str, icon: str, tooltip: str, style: str = "") -> widgets.Button:
    layout = widgets.Layout(width="auto")
    return widgets.Button(
        description=text, icon=icon, tooltip=tooltip, button_style=style, layout=layout
    )


def _check_stream(stream: MediaStream) -> None:
    if not isinstance(stream, MediaStream):
        raise WrongType(
            f"StreamControls takes a MediaStream, not {type(stream).__name__}; "
            "server.next_stream().result(10) gives one"
        )


def _check_clips(clips: Sequence[Clip]) -> None:
    if not isinstance(clips, Sequence):
        raise WrongType(
            f"clips must be a list of Clip objects, not {type(clips).__name__}; write clips=[clip]"
        )
    for number, clip in enumerate(clips):
        if not isinstance(clip, Clip):
            refuse_item("clips", number, clip)


def _check_call(call: Call | None, stream: MediaStream | None) -> None:
    if call is None:
        return
    if isinstance(call, Pending):
        raise WrongType("call is a Pending and no Call yet; say .result(10) or await it")
    if not isinstance(call, Call):
        raise WrongType(
            f"call is {quote(call)}; it is the Call of the stream, as "
            "kit.place_call(…).result(10) gives one; leave it out if you have none"
        )
    if stream is not None and call.sid != stream.call_sid:
        raise WrongValue(
            f"call is {call.sid}, and the stream is of call {stream.call_sid}",
            consequence="Hang up would end another call",
            fix="Give the call of this stream, or leave it out",
        )
