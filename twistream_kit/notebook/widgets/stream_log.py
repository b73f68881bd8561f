"""A widget that shows the messages of a call, with filters and a button that saves the capture.

Media messages are counted; every other message is shown in full, with the objections to it.
Objections to the sound of many media messages, such as clicks at their borders, have a line of
their own.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Entry, Sender
from twistream_kit.capture.message_text import get_event, quote_message
from twistream_kit.diagnosis.stream import CaptureReview, OddMessage, Reviewed
from twistream_kit.errors import Objection, TwistreamError, WrongType
from twistream_kit.live.inspector.stream import InspectedStream, Violation
from twistream_kit.live.stream.stream import MediaStream, describe_end
from twistream_kit.notebook.display.html import Html, bullets, code, join, paragraph, table
from twistream_kit.notebook.plots import style
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import MarkName
from twistream_kit.protocol.playout import BYTES_PER_SECOND

KEPT_LINES = 300
"""How many lines the log keeps."""

STILL_LINES = 12
"""How many lines are shown on a page without a kernel."""

SOUND = "sound"
"""The event of a line about the sound of many messages."""

INVALID = "invalid"
"""The event of an invalid message, which a capture does not hold as a message."""

_DIRECTIONS: dict[Sender, str] = {"twilio": "from Twilio", "server": "to Twilio"}

_STATIC = Path(__file__).parents[1] / "static"


class StreamLog(anywidget.AnyWidget):
    """Shows the messages of one call, newest last.

    Media messages are counted in one line for each direction.  Every other message is shown in
    full, and below a message of yours the objections of Twilio.  The last 300 lines are kept.

    Args:
        stream: A `MediaStream` or an `InspectedStream`, open or ended, or a `Capture`.
        path: The file that *Save capture* writes; ``call-`` and the stream's SID in the working
            directory if not given.

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

    _esm = _STATIC / "stream_log.js"
    _css = _STATIC / "stream_log.css"

    lines: traitlets.List[Any] = traitlets.List().tag(sync=True)
    media: traitlets.List[Any] = traitlets.List().tag(sync=True)
    state = traitlets.Unicode().tag(sync=True)
    saved = traitlets.Unicode().tag(sync=True)
    colours = traitlets.Dict({"twilio": style.CALLER_COLOUR, "server": style.YOUR_COLOUR}).tag(
        sync=True
    )

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
        self._written: Path | None = None
        self._messages = LogLines(self._capture)
        self._newest = 0
        self._is_closed = False
        self.on_msg(self._handle_command)
        answer_on_subshell(self)
        if self._update():
            PUMP.add(self._update)

    def save(self, path: str | os.PathLike[str] | None = None) -> Path:
        """Write the capture as JSON lines and return the path; from any thread.

        Args:
            path: A file that is replaced.  If not given it is the one that *Save capture* writes
                to: the `path` of the log, or a new file named after the stream.  Simulated streams
                of two kernels have the same names, so a file of another log is left as it is.

        Raises:
            TwistreamError: If it cannot be written.
        """
        given = path or self._path
        target = self._own_file or self._make_file() if given is None else Path(given)
        replaces = given is not None and target.exists() and target.resolve() != self._written
        try:
            written = self._written = self._capture.save(target, overwrite=True).resolve()
        except BaseException:
            if given is None and self._own_file is None:
                target.unlink()  # it is empty
            raise
        if given is None:
            self._own_file = target
        instead = " in place of what was there" if replaces else ""
        self.saved = (
            f"Saved {len(self._capture)} messages as {written}{instead}. Names and numbers in it "
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
        if isinstance(shown, tuple):  # the fallback for a page without a kernel
            shown[0]["text/html"] = self._render_still()
        return shown

    def _handle_command(self, _widget: object, content: Any, _buffers: object) -> None:
        if not isinstance(content, dict) or content.get("kind") != "save":
            return
        try:
            self.save()
        except (OSError, TwistreamError) as error:
            self.saved = f"Not saved: {error}. StreamLog(stream, path=…) takes another place."

    def _update(self) -> bool:
        """Show the new messages; return whether more may come."""
        if self._is_closed:
            return False
        is_over = self._stream is None or self._stream.closed.done()
        newest = self._read(is_over=is_over)
        if newest != self._newest:
            self._newest = newest
            self.lines = [_as_traits(line) for line in self._messages.lines]
        self.media = [
            _count_as_traits(sender, self._messages.media[sender]) for sender in _DIRECTIONS
        ]
        self.state = self._describe_state()
        return not is_over

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

    def _render_still(self) -> str:
        lines = self.lines[-STILL_LINES:]
        rows = [
            (f"{line['at']:.2f}", _DIRECTIONS[line["sender"]], line["event"], _render_message(line))
            for line in lines
        ]
        heads = ("time (s)", "direction", "event", "message")
        caption = f"The last {len(rows)} messages of the call"
        counts = bullets(
            f"media {_DIRECTIONS[count['sender']]}: {count['text']}" for count in self.media
        )
        note = paragraph("As it stood when the cell ran; run the notebook and it goes on.")
        return str(join(table(heads, rows, caption=caption), counts, note))


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


def _count_as_traits(sender: Sender, count: MediaCount) -> dict[str, Any]:
    bad = f", {count.bad} of them objected to" if count.bad else ""
    text = f"{count.messages} messages, {count.seconds:.2f} s of sound{bad}"
    return {"sender": sender, "text": text}


def _render_message(line: dict[str, Any]) -> Html:
    objections = [f"{each['severity']}: {each['text']}" for each in line["objections"]]
    return join(code(line["text"], breakable=True), bullets(objections))


class LogLines:
    """The messages of one capture as lines of a log; not thread-safe.

    A media message is shown in full only if there is a new objection to it, because the same
    mistake is often made fifty times a second.

    Args:
        capture: The capture of a call that is in progress or has ended.

    Attributes:
        media: The count of each direction, by sender.
        unkept: How many more media messages there were, of which the capture kept only the size.
    """

    def __init__(self, capture: Capture) -> None:
        self._capture = capture
        self._review = CaptureReview(capture)
        self._read = self._number = 0
        self._lines: deque[LogLine] = deque(maxlen=KEPT_LINES)
        self.unkept = 0
        self.media: dict[Sender, MediaCount] = {"twilio": MediaCount(), "server": MediaCount()}

    @property
    def lines(self) -> list[LogLine]:
        """The last lines, oldest first."""
        return list(self._lines)

    def read(self, *, is_over: bool = False) -> int:
        """Review the messages since the last call; return the number of the newest line.

        Args:
            is_over: Whether no more messages will come.
        """
        passed = len(self._capture)  # counted first, because more messages may come meanwhile
        for each, reviewed in self._review.read_new():
            if isinstance(each, OddMessage):
                self._take_odd(each, reviewed)
            else:
                self._take(each, reviewed)
            if reviewed.sound:
                self._add_sound(each.at, reviewed.sound)
        if is_over and (found := self._review.finish()):
            self._add_sound(self._capture.seconds, found)
        self.unkept = max(0, passed - self._read)
        return self._number

    def read_reviewed(self, violations: Iterable[Violation], *, bad_media: int) -> int:
        """Read the messages of an inspector, which reviews them; return as `read` does.

        Args:
            violations: The violations since the last call, oldest first.
            bad_media: How many media messages have objections of their own, in all.
        """
        waiting = deque(violations)
        passed = len(self._capture)  # before the rest is read, since more may pass meanwhile
        for entry in self._capture.kept_since(self._read):
            while waiting and waiting[0].place <= self._read:
                self._add_violation(waiting.popleft())
            if (
                waiting
                and waiting[0].place == self._read + 1
                and waiting[0].event not in ("", "media")
            ):
                self._take(entry, Reviewed(None, form=waiting.popleft().objections))
            else:
                self._take(entry, _NOT_REVIEWED)
        for violation in waiting:
            self._add_violation(violation)
        self.unkept = max(0, passed - self._read)
        self.media["server"].bad = bad_media
        return self._number

    def _take(self, entry: Entry, reviewed: Reviewed) -> None:
        self._read += 1
        if not isinstance(entry.message, from_twilio.Media | to_twilio.Media):
            self._add_message(entry, reviewed.objections)
            return
        count = self.media[entry.sender]
        count.messages += 1
        count.size += entry.size
        if reviewed.form or reviewed.inside:
            count.bad += 1
            if reviewed.new:
                self._add_message(entry, reviewed.objections)

    def _take_odd(self, odd: OddMessage, reviewed: Reviewed) -> None:
        if reviewed.is_obeyed and isinstance(odd.message, to_twilio.Media):
            self.media["server"].bad += 1
        if reviewed.new:
            self._add(odd.at, "server", INVALID, quote_message(odd.text), reviewed.new)

    def _add_violation(self, violation: Violation) -> None:
        if not violation.in_capture:
            self._add(violation.at, violation.sender, INVALID, violation.text, violation.objections)
        elif violation.event:
            self._add(violation.at, "server", violation.event, violation.text, violation.objections)
        else:
            self._add_sound(violation.at, violation.objections)

    def _add_sound(self, at: float, found: Sequence[Objection]) -> None:
        text = f"all media to Twilio so far, {self.media['server'].seconds:.2f} s"
        self._add(at, "server", SOUND, text, found)

    def _add_message(self, entry: Entry, objections: Sequence[Objection]) -> None:
        name = getattr(entry.message, "name", "")
        self._add(
            entry.at,
            entry.sender,
            get_event(entry.message),
            quote_message(entry.message.to_json()),
            objections,
            is_progress=MarkName.parse(name).is_progress,
        )

    def _add(
        self,
        at: float,
        sender: Sender,
        event: str,
        text: str,
        objections: Sequence[Objection],
        *,
        is_progress: bool = False,
    ) -> None:
        self._number += 1
        self._lines.append(
            LogLine(self._number, at, sender, event, text, is_progress, tuple(objections))
        )


_NOT_REVIEWED = Reviewed(None)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line: a message, or objections to the sound of many.

    Attributes:
        number: The number of the line, counted from 1 over all lines.
        at: The time in seconds since the stream began.
        sender: ``twilio`` or ``server``.
        event: The event as on the wire; ``sound`` for the sound of many messages, ``invalid`` for
            an invalid message.
        text: The message as on the wire; for the sound, its duration so far.
        is_progress: Whether it is a mark that only measures the progress of a playback.
        objections: The objections of `StreamReviewer` to it, or to the sound so far.
    """

    number: int
    at: float
    sender: Sender
    event: str
    text: str
    is_progress: bool = False
    objections: tuple[Objection, ...] = ()


@dataclass(slots=True)
class MediaCount:
    """The media messages of one direction.

    Attributes:
        messages: How many there were.
        size: How many bytes of sound they held.
        bad: How many of them have objections of their own.
    """

    messages: int = 0
    size: int = 0
    bad: int = 0

    @property
    def seconds(self) -> float:
        """How much sound they held."""
        return self.size / BYTES_PER_SECOND


def _describe_end(stream: MediaStream | InspectedStream) -> str:
    return (
        describe_end(stream) if isinstance(stream, MediaStream) else stream.closed.result(0).detail
    )
