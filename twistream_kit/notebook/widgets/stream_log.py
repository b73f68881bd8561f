"""A widget that shows the messages of a call, with filters and a button that saves the capture.

Media messages are counted; every other message is shown in full, with the objections to it.
Objections to the sound of many media messages, such as clicks at their borders, have a line of
their own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from pathlib import Path
from typing import Any

import traitlets

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Sender
from twistream_kit.capture.message_text import find_own_sid
from twistream_kit.errors import TwistreamError, WrongType
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.live.stream.stream import MediaStream, describe_end
from twistream_kit.notebook.display.html import Html, bullets, code, join, paragraph, table
from twistream_kit.notebook.plots import style
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets._field_places import find_field
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets._log_lines import LogLine, LogLines, MediaCount, Problem
from twistream_kit.notebook.widgets.hearing import HearingWidget
from twistream_kit.notebook.widgets.last_picture import KeepsLastPicture

STILL_LINES = 12
"""How many lines are shown on a page without a kernel."""

_DIRECTIONS: dict[Sender, str] = {"twilio": "from Twilio", "server": "to Twilio"}

_THEME_COLOURS = {"error": "error", "warning": "warn", "note": "info"}
"""The names of Jupyter's own colours for the severities, which follow its theme."""

_COLOURS = {
    "twilio": style.CALLER_COLOUR,
    "server": style.YOUR_COLOUR,
    **style.SEVERITY_COLOURS,
}

_STATIC = Path(__file__).parents[1] / "static"


class StreamLog(KeepsLastPicture, HearingWidget):
    """Shows the messages of one call, newest last, and above them what is wrong, causes first.

    Media messages are counted in one line for each direction, and equal messages in one row.  Every
    other message is shown in full, and below a message of yours the objections of Twilio, with the
    field marked that each is about.  The kit's own marks, which measure the progress of a playback,
    are shown on demand.  The last 300 rows are kept.  Up and Down go from row to row, Enter opens
    and closes one.

    Args:
        stream: A `MediaStream` or an `InspectedStream`, open or ended, or a `Capture`.
        path: The file that *Save capture* writes, which must not exist; ``call-`` and the stream's
            SID in the working directory if not given.

    Attributes:
        saved: A description of where the capture was saved, or of the error.

    Raises:
        TypeError: If `stream` is none of these.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer(lambda stream: stream.close()))
        >>> report = kit.simulate_call(server.url, press="1").result(10)
        >>> log = kit.StreamLog(report.capture)
        >>> [line["event"] for line in log.lines]
        ['connected', 'start', 'dtmf']
        >>> log.close()
    """

    _esm = join_modules(_STATIC / "live" / "stream_log.js")
    _css = (_STATIC / "stream_log.css").read_text("utf-8")

    lines: traitlets.List[Any] = traitlets.List().tag(sync=True)
    counts: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    problems: traitlets.List[Any] = traitlets.List().tag(sync=True)
    media: traitlets.List[Any] = traitlets.List().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    saved = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict(_COLOURS).tag(sync=True)
    signs = traitlets.Dict(style.SEVERITY_SIGNS).tag(sync=True)

    def __init__(
        self,
        stream: MediaStream | InspectedStream | Capture,
        *,
        path: str | os.PathLike[str] | None = None,
    ) -> None:
        if not isinstance(stream, MediaStream | InspectedStream | Capture):
            raise WrongType(
                f"StreamLog takes a MediaStream or a Capture, not {type(stream).__name__}; "
                "server.next_stream().result(10) gives the one (an Inspector's likewise), "
                "kit.Capture.load(path) the other"
            )
        super().__init__()
        self._stream = None if isinstance(stream, Capture) else stream
        self._capture = stream if isinstance(stream, Capture) else stream.capture
        self._n_violations = 0
        self._path = path
        self._own_file: Path | None = None
        self._written: set[Path] = set()
        self._messages = LogLines(self._capture)
        self._newest = self._revision = 0
        self._is_closed = False
        # ipywidgets breaks if one thread sets a trait while another sends those it holds.
        self._drawing = threading.RLock()
        self.on_msg(self._handle_command)
        answer_on_subshell(self)
        if self._update():
            PUMP.add(self._update)

    def save(self, path: str | os.PathLike[str] | None = None, *, overwrite: bool = False) -> Path:
        """Write the capture as JSON lines and return the path; from any thread.

        What this log has written before is written again, with what has passed since.

        Args:
            path: The file.  If not given it is the one that *Save capture* writes to: the `path` of
                the log, or a new file named after the stream.  Simulated streams of two kernels
                have the same names, so a file of another log is left as it is.
            overwrite: Replace a file of that name that this log has not written.

        Raises:
            TwistreamError: If there is such a file already, or it cannot be written.
        """
        given = path or self._path
        target = self._own_file or self._make_file() if given is None else Path(given)
        is_ours = given is None or target.resolve() in self._written
        try:
            written = self._capture.save(target, overwrite=overwrite or is_ours).resolve()
        except BaseException:
            if given is None and self._own_file is None:
                target.unlink()  # it is empty
            raise
        self._written.add(written)
        if given is None:
            self._own_file = target
        with self._drawing:
            self.saved = (
                f"Saved {len(self._capture)} messages as {written}. Names and numbers in it "
                "are replaced; the voices are in it."
            )
        return written

    def _make_file(self) -> Path:
        """Make an empty file with a name that was free, in the current folder."""
        sid = self._capture.stream_sid or "without-a-stream"
        for count in itertools.count(1):
            path = Path.cwd() / f"call-{sid}{f'-{count}' if count > 1 else ''}.jsonl"
            with contextlib.suppress(FileExistsError):
                path.touch(0o600, exist_ok=False)
                return path
        raise AssertionError  # the count has no end

    def close(self) -> None:
        """Close the widget; the stream stays open."""
        self._is_closed = True
        PUMP.remove(self._update)
        super().close()

    def __repr__(self) -> str:
        return f"<StreamLog of {self._stream or self._capture!r}>"

    def _repr_mimebundle_(self, **options: Any) -> Any:
        shown = super()._repr_mimebundle_(**options)
        # For a page without a kernel, unless the last picture stands below already.
        if isinstance(shown, tuple) and not self._has_last_picture:
            shown[0]["text/html"] = self._render_still()
        return shown

    def _handle_command(self, _widget: object, content: Any, _buffers: object) -> None:
        if not isinstance(content, dict) or content.get("kind") != "save":
            return
        try:
            self.save()
        except (OSError, TwistreamError) as error:
            reason = str(error).removesuffix(".")
            with self._drawing:
                self.saved = f"Not saved: {reason}. StreamLog(stream, path=…) takes another place."

    def _update(self) -> bool:
        """Show the new messages; return whether more may come."""
        if self._is_closed:
            return False
        is_over = self._stream is None or self._stream.closed.done()
        with self._drawing, self.hold_sync():
            newest = self._read(is_over=is_over)
            if self._messages.revision != self._revision:
                self._revision = self._messages.revision
                self._show_lines(newest)
            self.media = [
                _count_as_traits(sender, self._messages.media[sender]) for sender in _DIRECTIONS
            ]
            self.state = self._describe_state()
        if is_over:
            self._keep_last_picture()
        return not is_over

    def _show_lines(self, newest: int) -> None:
        lines = self._messages.lines
        if newest != self._newest:
            self._newest = newest
            sid = self._capture.stream_sid
            self.lines = [_as_traits(line, sid) for line in lines]
        # Apart from the lines, because they change fifty times a second where all media is bad.
        self.counts = {
            str(line.number): [line.count, round(line.last_at, 2)]
            for line in lines
            if line.count > 1
        }
        self.problems = [_convert_problem(each) for each in self._messages.problems]

    def _draw_last_picture(self) -> Html | None:
        return Html(self._render_still(at_the_end=True)) if self.lines else None

    def _read(self, *, is_over: bool) -> int:
        """Read the new messages; return the number of the newest line."""
        if not isinstance(self._stream, InspectedStream):
            return self._messages.read(is_over=is_over)
        new = self._stream.violations[self._n_violations :]
        self._n_violations += len(new)
        return self._messages.read_reviewed(new, bad_media=self._stream.bad_media)

    def _describe_state(self) -> str:
        words = "A capture."
        if self._stream is not None:
            words = "In a call."
            if self._stream.closed.done():
                words = f"Ended: {_describe_end(self._stream).removesuffix('.')}."
        if self._messages.unkept:
            minutes = self._capture.keep_seconds / 60
            words += (
                f" {self._messages.unkept} media messages after {minutes:g} minutes not counted."
            )
        return words

    def _render_still(self, *, at_the_end: bool = False) -> str:
        lines = [line for line in self.lines if not line["progress"]][-STILL_LINES:]
        rows = [
            (f"{line['at']:.2f}", _DIRECTIONS[line["sender"]], line["event"], self._quote(line))
            for line in lines
        ]
        heads = ("time (s)", "direction", "event", "message")
        caption = f"The last {len(rows)} messages of the call"
        wrong = bullets(
            _render_problem(each["severity"], f"{each['times']}{each['text']}")
            for each in self.problems
        )
        counts = bullets(
            f"media {_DIRECTIONS[count['sender']]}: {count['text']}" for count in self.media
        )
        words = "As it stood when the cell ran; run the notebook and it goes on."
        note = paragraph(self.state if at_the_end else words)
        return str(join(wrong, table(heads, rows, caption=caption), counts, note))

    def _quote(self, line: dict[str, Any]) -> Html:
        count, _ = self.counts.get(str(line["number"]), (1, 0))
        times = f"{count} × " if count > 1 else ""
        objections = [
            _render_problem(each["severity"], each["text"]) for each in line["objections"]
        ]
        return join(times, code(line["text"], breakable=True), bullets(objections))


def _render_problem(severity: str, text: str) -> Html:
    """Return an objection with its severity as a sign, in colour, and as a word."""
    sign = style.SEVERITY_SIGNS[severity]
    colour = f"var(--jp-{_THEME_COLOURS[severity]}-color1, {style.SEVERITY_COLOURS[severity]})"
    shown = Html(f'<span style="color:{colour}" aria-hidden="true">{sign}</span> ')
    return join(shown, f"{severity}: {text}")


def _as_traits(line: LogLine, stream_sid: str) -> dict[str, Any]:
    places = [find_field(line.text, objection.field) for objection in line.objections]
    meant = [place for place in places if place]
    return {
        "number": line.number,
        "at": round(line.at, 2),
        "sender": line.sender,
        "event": line.event,
        "text": line.text,
        "progress": line.is_progress,
        "implied": [
            [begin, end]
            for begin, end in find_own_sid(line.text, stream_sid)
            if not any(first < end and begin < last for first, last in meant)
        ],
        "objections": [
            {
                "severity": objection.severity,
                "code": objection.code,
                "text": str(objection),
                "place": place,
            }
            for objection, place in zip(line.objections, places, strict=True)
        ],
    }


def _convert_problem(problem: Problem) -> dict[str, Any]:
    objection = problem.objection
    return {
        "number": problem.number,
        "severity": objection.severity,
        "code": objection.code,
        "text": objection.statement,
        "times": f"{problem.count} × " if problem.count > 1 else "",
    }


def _count_as_traits(sender: Sender, count: MediaCount) -> dict[str, Any]:
    bad = f", {count.bad} of them objected to" if count.bad else ""
    text = f"{count.messages} messages, {count.seconds:.2f} s of sound{bad}"
    return {"sender": sender, "text": text}


def _describe_end(stream: MediaStream | InspectedStream) -> str:
    return (
        describe_end(stream) if isinstance(stream, MediaStream) else stream.closed.result(0).detail
    )
