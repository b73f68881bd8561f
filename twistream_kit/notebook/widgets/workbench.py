"""All of a call in one place: telephone, buttons, waveform, messages, and then the recording.

A workbench is made before any call.  It follows the streams of its server on the pump's thread,
ten times a second, and takes none of them away: `server.next_stream` gives them as before.  Its
boxes stay while what they hold is made anew for each stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
import weakref
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import ipywidgets as widgets

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.errors import ServerStopped, TwistreamError, WrongState, WrongType
from twistream_kit.guard import Guard
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.display.display import render_html, show_figures
from twistream_kit.notebook.display.html import Html, join, paragraph
from twistream_kit.notebook.runtime.activity_log import PUMP, WidgetGuard, is_interrupt
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets._clip_list import refuse_item
from twistream_kit.notebook.widgets._closing import ClosesLayout, close_tree
from twistream_kit.notebook.widgets._workbench_drawing import draw_workbench
from twistream_kit.notebook.widgets.controls import StreamControls
from twistream_kit.notebook.widgets.controls_text import describe_stream
from twistream_kit.notebook.widgets.last_picture import KeepsLastPicture
from twistream_kit.notebook.widgets.live_text import LiveText, add_sign
from twistream_kit.notebook.widgets.phone import PhoneWidget
from twistream_kit.notebook.widgets.recording_player import RecordingPlayer
from twistream_kit.notebook.widgets.scope import LiveScope
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.pending import on_worker
from twistream_kit.protocol.signature import remove_user
from twistream_kit.simulator.phone import Phone

logger = logging.getLogger("twistream_kit.notebook")

NO_SCOPE = "The waveform of the call appears here: what the caller says and hears."

NO_LOG = "Every message of the stream appears here."

RETIRED = "<b>Shown elsewhere</b>: a newer workbench shows this server; this one has been retired."

_PHONE_WIDTH = "300px"

_LEAST_WIDTH = "520px"
"""With less beside the telephone, the controls stand below it."""

_SHOWN: weakref.WeakSet[Workbench] = weakref.WeakSet()
"""The workbenches that follow a server."""

_SHOWN_LOCK = threading.Lock()


class Workbench(KeepsLastPicture, ClosesLayout, widgets.VBox):  # type: ignore[misc]  # ipywidgets has no types
    """Telephone, buttons, waveform and messages of each call of a server, on one page.

    It is made before any call, shows each stream that starts on the server, and says in between
    that it waits for the next.  An open stream stays until it ends, also when another one starts;
    with two or more, *Stream* chooses which one is shown.  After the end of a call stand its
    recording and its figures.  If a server is given a second workbench, as when a cell is run
    again, the first is retired.  Each of its parts stands in any box of yours.

    Args:
        server: Your server, started or not.
        phone: A simulated telephone, ``twilio.phone(number)``; None for real calls.
        clips: What *Send* can play: `Clip` objects, or paths of sound files.

    Attributes:
        stream: The stream that is shown, or None before the first.
        phone: The `PhoneWidget`, or None without a telephone.
        controls: The `StreamControls`, the same for all streams.
        scope: A box with the `LiveScope` of the stream.
        stream_log: A box with its `StreamLog`.
        recording: A box with its `RecordingPlayer` and its figures, empty until it has ended.
        status: What is shown, as text.
        is_retired: Whether it shows nothing any more.

    Raises:
        TypeError: If an argument has another type.
        TwistreamError: If a file cannot be read as sound.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio())
        >>> server = kit.start(kit.StreamServer())
        >>> phone = twilio.phone("+15550100001")
        >>> workbench = kit.Workbench(server, phone, clips=[kit.Clip.tone(440, 0.2)])
        >>> workbench
        <Workbench of <StreamServer ws://127.0.0.1:.../media: 0 open of 0 streams>>
        >>> call = kit.place_call(
        ...     twilio.client, to=phone.number, from_=twilio.numbers[0],
        ...     stream_url=server.stream_url,
        ... ).result(10)
        >>> stream = server.next_stream(call).result(10)
        >>> workbench.controls.send_button.click()
        >>> stream.newest.result(10).ending
        'heard'
        >>> workbench.close()
    """

    def __init__(
        self,
        server: StreamServer,
        phone: Phone | None = None,
        clips: Sequence[Clip | str | Path] = (),
    ) -> None:
        _check(server, phone)
        loaded = _load_clips(clips)
        self._server = server
        self._lock = threading.RLock()
        self._seen: set[str] = set()
        self._chosen = ""
        self._wanted: MediaStream | None = None
        self._stays: MediaStream | None = None
        self._finished: MediaStream | None = None
        self._has_failed = False
        self.is_retired = False
        self.stream: MediaStream | None = None
        self.phone = None if phone is None else _make_phone(phone, server)
        self.controls: StreamControls = _Controls(self._follow_now, loaded)
        self.scope = widgets.VBox([_make_placeholder(NO_SCOPE, "scope")])
        self.stream_log = widgets.VBox([_make_placeholder(NO_LOG, "log")])
        self.recording = widgets.VBox()
        self.status = LiveText(box_label="Workbench")
        self._chooser = widgets.Dropdown(
            description="Stream", tooltip="The stream that is shown", options=[]
        )
        super().__init__(self._arrange())
        self.add_class("twistream-workbench")
        answer_on_subshell(self._chooser)
        self._chooser.observe(self._choose, "value")
        try:
            _take_over(self)
            if self._update():
                PUMP.add(self._update)
        except BaseException:  # an interrupt
            self.close()
            raise

    def show(self, stream: MediaStream) -> None:
        """Show a stream now, an ended one too, until it ends and another starts; from any thread.

        Raises:
            TypeError: If it is not a `MediaStream`.
            WrongState: If this workbench was retired or closed.
        """
        if not isinstance(stream, MediaStream):
            raise WrongType(
                f"show() takes a MediaStream, not {type(stream).__name__}; "
                "server.next_stream().result(10) gives one"
            )
        if self.is_retired:
            raise WrongState(
                "this workbench was retired or closed",
                consequence="It shows nothing any more",
                fix="Use the newest workbench of the server, or make one with "
                "kit.Workbench(server)",
            )
        self._wanted = stream
        self._follow_now()

    def retire(self) -> None:
        """Follow the server no more, and say so; the server and its streams continue."""
        with self._lock:
            if self.is_retired:
                return
            self.is_retired = True
            _SHOWN.discard(self)
            PUMP.remove(self._update)
            self.children, self._head.children = [self.status], [self._chooser]
            close_tree([self._head, *self._body])
            self.status.value = RETIRED

    def close(self) -> None:
        """Close the widget; the server and its streams continue."""
        if not hasattr(self, "_body"):  # ipywidgets also closes after a failed constructor
            return
        try:
            self.retire()
        finally:  # an observer of the user's may raise
            close_tree([self.status])
            super().close()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        if shown is not None:  # shown by a page without a kernel
            shown["text/html"] = draw_workbench(has_phone=self.phone is not None)
        return shown

    def __repr__(self) -> str:
        return f"<Workbench of {self._server!r}>"

    def _arrange(self) -> list[widgets.Widget]:
        row = {"flex_flow": "row wrap", "align_items": "flex-start"}
        self._head = widgets.HBox(
            [self.status, self._chooser],
            layout=widgets.Layout(**row, justify_content="space-between"),
        )
        right = widgets.VBox(
            [self.controls, self.scope],
            layout=widgets.Layout(flex=f"1 1 {_LEAST_WIDTH}", min_width="0"),
        )
        body = widgets.HBox(
            [right] if self.phone is None else [self.phone, right],
            layout=widgets.Layout(**row, grid_gap="8px 16px"),
        )
        self._body = [body, self.recording, self.stream_log]
        return [self._head, *self._body]

    def _draw_last_picture(self) -> Html | None:
        stream = self.stream
        if stream is None:
            return None
        return join(paragraph(Html(describe_stream(stream))), render_html(stream.capture))

    def _choose(self, change: Any) -> None:
        self._chosen = change.new or ""  # the pump shows it

    def _follow_now(self) -> None:
        """Follow the streams before the pump does; not on the server's loop, which never waits."""
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            loop = None
        if loop is None or loop is not self._server.loop:
            self._update()

    def _update(self) -> bool:
        """Follow the streams of the server; return whether more can come."""
        with self._lock:
            if self.is_retired:
                return False
            before = self._seen, self._chosen, self._wanted
            try:
                self._follow()
                self._has_failed = False
            except BaseException as error:  # an observer of the user's may raise anything
                if is_interrupt(error):  # of the cell; the pump does what was cut off
                    self._seen, self._chosen, self._wanted = before
                    raise
                if not self._has_failed:  # and may raise it ten times a second
                    logger.exception("the workbench could not be updated")
                self._has_failed = True
            return True

    def _follow(self) -> None:
        streams = list(self._server.streams)
        stream = self._find_stream(streams)
        if stream is not None and stream is not self.stream:
            self._attach(stream)
        self._list_streams(streams)
        self.status.value = self._describe(streams)
        if stream is not None and stream.closed.done() and self._finished is not stream:
            self._finished = stream
            on_worker("twistream_kit workbench", lambda: self._finish(stream))

    def _find_stream(self, streams: Sequence[MediaStream]) -> MediaStream | None:
        """Return the stream to show: a chosen one, an open one, else the newest that started."""
        fresh = [each for each in streams if each.stream_sid not in self._seen]
        self._seen = {each.stream_sid for each in streams}
        chosen, self._chosen = self._chosen, ""
        wanted, self._wanted = self._wanted, None
        for each in streams if wanted is None else (wanted,):
            if each.stream_sid == chosen or each is wanted:
                self._stays = each
                return each
        shown = self.stream
        if shown is not None and not shown.closed.done():
            return shown
        open_ones = [each for each in fresh or streams if not each.closed.done()]
        if fresh or (open_ones and shown is not self._stays):
            return (open_ones or fresh[-1:])[0]
        return shown

    def _attach(self, stream: MediaStream) -> None:
        try:
            self._finished = None
            self._forget_last_picture()
            self.controls.attach(stream)
            _replace(self.recording)
            _replace(self.stream_log, StreamLog(stream))
            _replace(self.scope, LiveScope(stream))
        except BaseException as error:
            if not is_interrupt(error):
                self.stream = stream  # an observer has raised: once is enough
            raise
        self.stream = stream

    def _finish(self, stream: MediaStream) -> None:
        """Show the recording and the figures of a stream that has ended; on a worker's thread."""
        with Guard("the recording of a call could not be shown"):
            made = _make_recording(stream)
            with self._lock:
                if self.is_retired or self.stream is not stream:
                    close_tree(made)
                    return
                _replace(self.recording, *made)
            self._keep_last_picture()

    def _list_streams(self, streams: Sequence[MediaStream]) -> None:
        """Offer the streams in the drop-down, which is there if there is a choice."""
        options = [(_label_stream(each), each.stream_sid) for each in reversed(streams)]
        shown = None if self.stream is None else self.stream.stream_sid
        sids = [sid for _, sid in options]
        if list(self._chooser.options) != options or self._chooser.value != shown:
            self._chooser.unobserve(self._choose, "value")
            self._chooser.options = options
            self._chooser.value = shown if shown in sids else None
            self._chooser.observe(self._choose, "value")
        self._chooser.layout.display = None if len(options) > 1 else "none"

    def _describe(self, streams: Sequence[MediaStream]) -> str:
        stream, url = self.stream, self._find_url()
        if stream is not None and not stream.closed.done():
            sid = escape(stream.call_sid)
            words = f'<b>In a call</b>, <span title="{sid}">{sid[:6]}…{sid[-4:]}</span>'
            n_open = sum(not each.closed.done() for each in streams)
            if n_open > 1:
                words += f". {n_open} streams are open; <i>Stream</i> chooses which one is shown."
            return words
        if self._server.stopped.done():
            words = "<b>The server is not running</b>: <code>kit.start(server)</code> starts it."
            return add_sign("warning", words)
        if why := self._server.disconnect_reason:
            words = f"<b>The public address was lost</b>: {escape(why)}. No call can come."
            return add_sign("error", words)
        which = "a call" if stream is None else "the next call"
        return f"<b>Waiting for {which}</b> on <code>{escape(url)}</code>"

    def _find_url(self) -> str:
        with contextlib.suppress(ServerStopped):
            return remove_user(self._server.stream_url)
        return ""


class _Controls(StreamControls):
    """Controls that look for a stream before they act on none, or on one that has ended.

    A cell may press a button as soon as it knows of a stream, which is before the pump does.

    Args:
        look: Attaches a stream that has started meanwhile.
        clips: The clips that can be sent.
    """

    def __init__(self, look: Callable[[], None], clips: Sequence[Clip]) -> None:
        self._look = look
        super().__init__(None, clips=clips)

    def _find_stream(self) -> MediaStream | None:
        if self._stream is None or self._stream.closed.done():
            self._look()
        return super()._find_stream()


def _check(server: object, phone: object) -> None:
    if not isinstance(server, StreamServer):
        raise WrongType(
            f"Workbench takes a StreamServer, not {type(server).__name__}; "
            "server = kit.start(kit.StreamServer()) gives one"
        )
    if phone is not None and not isinstance(phone, Phone):
        raise WrongType(
            f"phone is a {type(phone).__name__}; it must be a simulated telephone, as "
            'twilio.phone("+15550100001") gives one; leave it out for real calls'
        )


def _load_clips(clips: Sequence[Clip | str | Path]) -> list[Clip]:
    if isinstance(clips, str) or not isinstance(clips, Sequence):
        raise WrongType(
            "clips must be a list of Clip objects or of paths of sound files, not "
            f"{type(clips).__name__}; write clips=[…]"
        )
    loaded = []
    for number, each in enumerate(clips):
        if not isinstance(each, Clip | str | os.PathLike | bytes):
            refuse_item("clips", number, each)
        loaded.append(each if isinstance(each, Clip) else load_clip(each))
    return loaded


def _make_phone(phone: Phone, server: StreamServer) -> PhoneWidget:
    widget = PhoneWidget(phone, server=server)
    # A flex item is otherwise made narrower or wider with the page.
    widget.layout.flex, widget.layout.width = "0 0 auto", f"min({_PHONE_WIDTH}, 100%)"
    return widget


def _make_placeholder(words: str, kind: str) -> widgets.HTML:
    text = f'<div class="twistream-placeholder twistream-placeholder-{kind}">{words}</div>'
    return widgets.HTML(text)


def _make_recording(stream: MediaStream) -> list[widgets.Widget]:
    try:
        return [RecordingPlayer(stream.capture), _make_figures(stream)]
    except TwistreamError as error:
        return [widgets.HTML(add_sign("warning", escape(str(error)), "p"))]


def _make_figures(stream: MediaStream) -> widgets.HTML:
    found = show_figures(stream.capture)
    summary = f"<summary>Figures of the call, {stream.capture.seconds:.1f} s</summary>"
    return widgets.HTML(f'<details class="twistream-figures">{summary}{found}</details>')


def _label_stream(stream: MediaStream) -> str:
    sid = stream.stream_sid
    state = "ended" if stream.closed.done() else "open"
    return f"{sid[:6]}…{sid[-4:]}, {state}"


def _replace(box: widgets.Box, *children: widgets.Widget) -> None:
    """Put others in the place of what a box holds, which is closed."""
    earlier, box.children = box.children, children
    close_tree(earlier)


def _take_over(workbench: Workbench) -> None:
    """Retire those of the same server, and of servers that run no more.

    A cell that is run again often makes a new server, too, and that stops the first.
    """
    server = workbench._server  # noqa: SLF001 - the same module
    with _SHOWN_LOCK:
        shown = [(each, each._server) for each in _SHOWN]  # noqa: SLF001
        _SHOWN.add(workbench)
    for each, its_server in shown:
        if its_server is server or its_server.stopped.done():
            with WidgetGuard("an earlier workbench could not be retired"):  # observers may raise
                each.retire()
