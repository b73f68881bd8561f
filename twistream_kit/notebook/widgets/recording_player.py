"""A player of a whole call: two sides, a cursor on the timeline, speed, volume, download.

The page asks for the sound in pieces of 30 s when it is to be played, over the socket of the
widgets or, where there is none, in the kernel's messages: a page's connection breaks at messages of
10 MiB, and a piece has 480 kB.  Below the player stands a copy for the notebook that is opened
without a kernel (`notebook/display/recording.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import traitlets

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.recording import SAMPLE_RATE, Recording
from twistream_kit.errors import WrongType
from twistream_kit.notebook.display.display import show_figures
from twistream_kit.notebook.display.html import Html
from twistream_kit.notebook.display.recording import show_recording
from twistream_kit.notebook.plots.style import (
    CALLER_COLOUR,
    CLEAR_COLOUR,
    MARK_COLOUR,
    YOUR_COLOUR,
)
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets._socket import NUMBER, Channel, WidgetPage, start_widget_socket
from twistream_kit.notebook.widgets.hearing import HearingWidget
from twistream_kit.notebook.widgets.last_picture import KeepsLastPicture

PIECE_SECONDS = 30
"""The length of what a page asks for at a time."""

MOST_DOWNLOAD_SECONDS = 2 * 3600
"""A page holds all that it downloads, 115 MB an hour."""

_COLUMNS = 1400
"""The picture's width in pieces of the call, of which a page shows as many as it has room for."""

_MOST_EVENTS = 500
"""More than this would cover the picture, and each stays in the page."""

_STATIC = Path(__file__).parents[1] / "static"


class RecordingPlayer(KeepsLastPicture, HearingWidget):
    """A player of a call in stereo: left channel the caller, right you, as the caller heard it.

    It plays the whole call, also one of hours, at half to double speed.  The cursor moves along the
    picture of the call; a click there, or an arrow key, goes to another place.  A cell that ends
    with a capture, a recording or the report of a call shows one.  Of a simulated call with a line
    or a latency it is Twilio's side; ``report.heard`` is what reached the ear, later.

    Args:
        capture: A `Capture`, or an object that has one: a stream, an inspected stream, the report
            of a call.  Or a `Recording`.
        direct: Whether a page on this machine may use the direct socket.

    Attributes:
        recording: The call as it was when this was made.

    Raises:
        TypeError: If it is none of these.
        TwistreamError: If there are too few messages for so long a time.
        WouldDeadlock: If called on the kit's own loop.

    Example:
        >>> import twistream_kit as kit
        >>> def answer(stream):
        ...     stream.play(kit.Clip.tone(440, 0.2))
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(answer))
        >>> report = kit.simulate_call(server.url).result(10)
        >>> player = kit.RecordingPlayer(report)
        >>> player
        <RecordingPlayer of Recording(... s, left: the caller...; right: what the caller heard)>
        >>> player.close()
    """

    _esm = join_modules(_STATIC / "recording" / "recording.js")
    _css = (_STATIC / "voices.css").read_text("utf-8") + (_STATIC / "recording.css").read_text(
        "utf-8"
    )

    seconds = traitlets.Float().tag(sync=True)
    piece_seconds = traitlets.Int(PIECE_SECONDS).tag(sync=True)
    most_download_seconds = traitlets.Int(MOST_DOWNLOAD_SECONDS).tag(sync=True)
    peaks = traitlets.Bytes().tag(sync=True)
    events: Any = traitlets.List().tag(sync=True)
    summary = traitlets.Unicode().tag(sync=True)
    file_name = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict().tag(sync=True)
    _address = traitlets.Unicode().tag(sync=True)

    def __init__(self, capture: Any, *, direct: bool = True) -> None:
        recording, name = _read_call(capture)
        self.recording = recording
        self._of = _name_recording(capture)
        self._channel: Channel | None = None
        if direct:
            self._channel = start_widget_socket().open(_RecordingPages(self))
        super().__init__(
            seconds=recording.seconds,
            peaks=(recording.measure_peaks(_COLUMNS) >> 8).astype(np.int8).tobytes(),
            events=[
                [round(at, 3), kind, said] for at, kind, said in recording.events[:_MOST_EVENTS]
            ],
            summary=f"Recording of a call, {recording.seconds:.1f} s",
            file_name=name,
            colours={
                "caller": CALLER_COLOUR,
                "yours": YOUR_COLOUR,
                "mark": MARK_COLOUR,
                "clear": CLEAR_COLOUR,
            },
            _address="" if self._channel is None else self._channel.address,
        )
        answer_on_subshell(self)
        self.on_msg(self._take_message)

    def __repr__(self) -> str:
        return f"<RecordingPlayer of {self.recording!r}>"

    def close(self) -> None:
        """Close the widget; the recording stays."""
        channel = getattr(self, "_channel", None)  # closed after a failed constructor, too
        if channel is not None:
            channel.close()
        super().close()

    def read_piece(self, number: int) -> bytes:
        """Return a piece of the sound, as a page asks for it.

        Returns:
            The number in four bytes; then PCMU, of each sample the byte of the caller and the byte
            of what the caller heard, or nothing if all of it is silence.
        """
        first = number * PIECE_SECONDS * SAMPLE_RATE
        last = first + PIECE_SECONDS * SAMPLE_RATE
        sides = [self.recording.read_pcmu(side, first, last) for side in ("caller", "heard")]
        if not any(side.translate(None, b"\x7f\xff") for side in sides):
            return NUMBER.pack(number)
        both = np.stack([np.frombuffer(side, np.uint8) for side in sides], axis=1)
        return NUMBER.pack(number) + both.tobytes()

    def _draw_last_picture(self) -> Html:
        return show_recording(self.recording, of=self._of)

    def _ipython_display_(self, **options: Any) -> None:
        self._keep_last_picture()  # drawn when it is shown, since Opus takes a second a minute
        super()._ipython_display_(**options)

    def _take_message(
        self, _widget: object, content: Mapping[str, Any], _buffers: Sequence[memoryview]
    ) -> None:
        number = _parse_number(content.get("piece"))
        if number is not None:
            shown = {"type": "piece", "page": content.get("page")}
            self.send(shown, buffers=[self.read_piece(number)])


class _RecordingPages:
    """The pages of one player that are connected by the socket."""

    def __init__(self, player: RecordingPlayer) -> None:
        self._player = player

    def add_page(self, page: WidgetPage) -> None:
        """Do nothing until the page asks for a piece."""

    def remove_page(self, page: WidgetPage) -> None:
        """Do nothing: what was asked for is lost with the connection."""

    def handle_text(self, page: WidgetPage, words: str) -> None:
        """Send the piece that a page asks for; it asks for the next when it has received it."""
        verb, _, rest = words.partition(" ")
        number = _parse_number(rest)
        if verb == "piece" and number is not None:
            page.send_sound(self._player.read_piece(number))

    def handle_sound(self, page: WidgetPage, sound: bytes) -> None:
        """Do nothing: a page of a player has no microphone."""


def _parse_number(value: object) -> int | None:
    """Return the number of a piece; None if the page sent something else."""
    with contextlib.suppress(TypeError, ValueError, OverflowError):
        number = int(str(value)[:9])  # no call has so many, and they fit into the header
        return number if number >= 0 else None
    return None


def _name_recording(capture: object) -> str:
    """Return the expression by which a user gets at the recording of what was shown."""
    if isinstance(capture, Recording):
        return "recording"
    if isinstance(capture, Capture):
        return "capture.recording"
    return f"{'report' if hasattr(capture, 'verdict') else 'stream'}.capture.recording"


def _read_call(capture: object) -> tuple[Recording, str]:
    """Return the recording of a call, and a name for its file."""
    if isinstance(capture, Recording):
        return capture, "call.wav"
    capture = getattr(capture, "capture", capture)
    if not isinstance(capture, Capture):
        raise WrongType(
            "RecordingPlayer takes a Capture, or what has one (a stream, a report), or a "
            f"Recording, not {type(capture).__name__}; stream.capture is one, and "
            'kit.Capture.load("call.jsonl") gives one'
        )
    name = f"call-{capture.stream_sid[-6:]}.wav" if capture.stream_sid.isalnum() else "call.wav"
    return capture.recording, name


def show_player(thing: Any) -> None:
    """Show the player of a call in the cell, its copy for a page without a kernel, and the figures.

    Args:
        thing: A `Capture`, a `Recording` or a `CallReport`.

    Raises:
        TwistreamError: If there are too few messages for so long a time.
    """
    from IPython.display import display

    display(RecordingPlayer(thing))  # type: ignore[no-untyped-call]
    figures = show_figures(thing)
    if figures:
        shown = {"text/html": figures, "text/plain": repr(thing)}
        display(shown, raw=True)  # type: ignore[no-untyped-call]
