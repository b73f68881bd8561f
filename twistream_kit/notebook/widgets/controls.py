"""Buttons for one stream: send a clip, speak over it, mark, clear, hang up; what was heard."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Any

import ipywidgets as widgets

from twistream_kit.audio.clip import Clip
from twistream_kit.live.calls.call import Call
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.display.html import paragraph
from twistream_kit.notebook.runtime.event_log import event_log
from twistream_kit.notebook.runtime.kernel import CellWatch, answer_on_subshell
from twistream_kit.notebook.runtime.pump import PUMP
from twistream_kit.notebook.runtime.subshells import why_buttons_wait
from twistream_kit.notebook.widgets import controls_words as words
from twistream_kit.notebook.widgets.happenings import Happenings, in_words
from twistream_kit.notebook.widgets.live_text import LiveText
from twistream_kit.pending import Pending

SHOWN_LINES = 8


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
        self._happenings = Happenings(stream, event_log())
        self._cells = CellWatch()
        self.clip = widgets.Dropdown(
            options=[(words.label(clip), clip) for clip in clips],
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
            shown["text/html"] = str(paragraph(words.NOT_RUN))
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
        self._note(f"sent {words.label(clip)}")
        playing = self._stream.play(clip, mark=clip.name or None)
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
        self.hang_up.disabled = True
        self._note("hanging up")
        if self._call is not None:
            self._hanging_up = self._call.hang_up()
            self._hanging_up.add_done_callback(self._note_outcome_of("the call"))
        else:
            self._hanging_up = self._stream.close(now=True)

    def _note_outcome_of(self, name: str) -> Callable[[Future[Any]], None]:
        def note(done: Future[Any]) -> None:
            error = done.exception(0)
            self._note(in_words(done.result(0) if error is None else error, name))

        return note

    def _note(self, text: str) -> None:
        self._happenings.note(text)
        self._wake()

    def _wake(self) -> None:
        if not self._is_closed:
            PUMP.add(self._update)  # it has left the pump when the stream has ended

    def _update(self) -> bool:
        """Show the state of things; return whether it can still change."""
        stream, newest = self._stream, self._stream.newest
        is_open = stream.is_open
        over = stream.closed.done()
        self.send.disabled = self.speak_over.disabled = not (is_open and self.clip.options)
        self.mark.disabled = not is_open
        self.clear.disabled = over or not stream.has_queued
        self.hang_up.disabled = over or self._is_hanging_up()
        self.progress.value = 0.0 if newest is None else newest.progress
        self.progress.bar_style = words.style(newest)
        self._heard_text.value = words.heard(newest)
        waiting = why_buttons_wait() if self._cells.is_running else ""
        self.state.value = words.state(stream, waiting, self._call)
        self.log.value = words.lines(self._happenings.lines()[-SHOWN_LINES:])
        if over:
            self._cells.close()
        # Why a connection broke is often known only some moments after it did.
        return not over or (stream.broke_lately and not stream.trouble)

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
