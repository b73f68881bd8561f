"""The messages of a call as they pass, in a widget: readable, filtered, saved by a button."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Sender
from twistream_kit.errors import TwistreamError
from twistream_kit.live.inspector.stream import Finding, InspectedStream
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.display.html import Html, bullets, code, joined, paragraph, table
from twistream_kit.notebook.plots import colours
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.runtime.pump import PUMP
from twistream_kit.notebook.widgets.log_lines import LogLine, LogLines, MediaCount

_FOLDER = Path(__file__).parents[1] / "static"

STILL_LINES = 12
"""How many lines a page without a kernel shows."""

_WHO: dict[Sender, str] = {"twilio": "from Twilio", "server": "to Twilio"}


class StreamLog(anywidget.AnyWidget):
    """The messages of one call as they pass, newest last.

    Media messages are counted in one line for each direction; everything else stands in full, and
    under a message of yours that Twilio would object to stands why.  The last 300 lines are kept.

    Args:
        stream: A `MediaStream` or an `InspectedStream`, open or ended, or a `Capture`.
        path: Where *Save capture* writes to; ``call-`` and the stream's SID in the working
            directory if not given.

    Attributes:
        saved: Where the capture was written to, or what prevented it, in words.

    Raises:
        TypeError: If `stream` is none of these.
    """

    _esm = _FOLDER / "stream_log.js"
    _css = _FOLDER / "stream_log.css"

    lines: traitlets.List[Any] = traitlets.List().tag(sync=True)
    media: traitlets.List[Any] = traitlets.List().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    saved = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict({"twilio": colours.CALLER_COLOUR, "server": colours.YOUR_COLOUR}).tag(
        sync=True
    )

    def __init__(
        self,
        stream: MediaStream | InspectedStream | Capture,
        *,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(stream, MediaStream | InspectedStream | Capture):
            raise TypeError(
                f"StreamLog takes a MediaStream or a Capture, not {type(stream).__name__}; "
                "server.next_stream().result(10) gives the one (an Inspector's likewise), "
                "kit.Capture.load(path) the other"
            )
        super().__init__()
        self._stream = None if isinstance(stream, Capture) else stream
        self._capture = stream if isinstance(stream, Capture) else stream.capture
        self._n_findings = 0
        self._path = path
        self._read = LogLines(self._capture)
        self._newest = 0
        self._is_closed = False
        self.on_msg(self._command)
        answer_on_subshell(self)
        if self._update():
            PUMP.add(self._update)

    def save(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the capture as JSON lines and return the path; from any thread.

        Args:
            path: A file that is replaced; the one that *Save capture* writes to if not given.

        Raises:
            OSError: If it cannot be written.
        """
        sid = self._capture.stream_sid or "without-a-stream"
        written = self._capture.save(path or self._path or f"call-{sid}.jsonl").resolve()
        self.saved = (
            f"Saved {len(self._capture)} messages as {written}. Names and numbers in it are "
            "replaced; the voices are in it."
        )
        return written

    def close(self) -> None:
        """Take the log away; the stream goes on."""
        self._is_closed = True
        PUMP.remove(self._update)
        super().close()

    def __repr__(self) -> str:
        return f"<StreamLog of {self._stream or self._capture!r}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        if isinstance(shown, tuple):  # what a page without a kernel shows instead
            shown[0]["text/html"] = self._still()
        return shown

    def _command(self, _widget: object, content: Any, _buffers: object) -> None:
        if not isinstance(content, dict) or content.get("kind") != "save":
            return
        try:
            self.save()
        except (OSError, TwistreamError) as error:
            self.saved = f"Not saved: {error}. StreamLog(stream, path=…) takes another place."

    def _update(self) -> bool:
        """Show what has passed; return whether there can be more."""
        if self._is_closed:
            return False
        is_over = self._stream is None or self._stream.closed.done()
        newest = self._read.read(self._new_findings())
        if newest != self._newest:
            self._newest = newest
            self.lines = [_as_traits(line) for line in self._read.lines]
        self.media = [_counted(who, self._read.media[who]) for who in _WHO]
        self.state = self._state_in_words()
        return not is_over

    def _new_findings(self) -> list[Finding] | None:
        if not isinstance(self._stream, InspectedStream):
            return None
        new = self._stream.findings[self._n_findings :]
        self._n_findings += len(new)
        return [finding for finding in new if not finding.in_capture]

    def _state_in_words(self) -> str:
        words = "A capture."
        if self._stream is not None:
            end = self._stream.closed
            words = f"Ended: {end.result(0).detail}." if end.done() else "In a call."
        if self._read.unkept:
            minutes = self._capture.keep_seconds / 60
            words += f" {self._read.unkept} media messages after {minutes:g} minutes not counted."
        return words

    def _still(self) -> str:
        lines = self.lines[-STILL_LINES:]
        rows = [
            (f"{line['at']:.2f}", _WHO[line["sender"]], line["event"], _story(line))
            for line in lines
        ]
        heads = ("time (s)", "direction", "event", "message")
        caption = f"The last {len(rows)} messages of the call"
        counts = bullets(f"media {_WHO[count['sender']]}: {count['text']}" for count in self.media)
        note = paragraph("As it stood when the cell ran; run the notebook and it goes on.")
        return str(joined(table(heads, rows, caption=caption), counts, note))


def _as_traits(line: LogLine) -> dict[str, Any]:
    return {
        "number": line.number,
        "at": round(line.at, 2),
        "sender": line.sender,
        "event": line.event,
        "text": line.text,
        "progress": line.is_progress,
        "objections": [
            {"severity": objection.severity, "code": objection.code, "text": str(objection)}
            for objection in line.objections
        ],
    }


def _counted(sender: Sender, count: MediaCount) -> dict[str, Any]:
    bad = f", {count.bad} of them objected to" if count.bad else ""
    text = f"{count.messages} messages, {count.seconds:.2f} s of sound{bad}"
    return {"sender": sender, "text": text}


def _story(line: dict[str, Any]) -> Html:
    objections = [f"{each['severity']}: {each['text']}" for each in line["objections"]]
    return joined(code(line["text"], breakable=True), bullets(objections))
