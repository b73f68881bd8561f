"""The command ``inspect-stream``: an inspector that prints the messages, until Ctrl-C.

`ConsoleReport` turns one stream into lines of text: media messages are counted, every other message
has a line, objections follow when they are found, and a summary comes at the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import weakref
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from twistream_kit.capture.entry import Entry, Sender
from twistream_kit.capture.message_text import describe_message, get_event
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.inspector.stream import InspectedStream, Violation
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND

PAUSE_SECONDS = 0.2
"""The interval at which the command looks for new messages."""

MEDIA_SECONDS = 5.0
"""How often a count of media messages is printed while there are no other messages."""

_WHO: dict[Sender, str] = {"twilio": "from Twilio", "server": "to Twilio"}

_MOST_CHARACTERS = 160


class InspectCommand:
    """Runs an inspector and prints what is sent through it.

    Args:
        inspector: The inspector, not entered yet.
        say: Prints a line.
        save: A folder for the captures, created if it is missing; None saves none.

    Attributes:
        has_objections: Whether there was an objection worse than a note.
    """

    def __init__(
        self, inspector: Inspector, say: Callable[[str], None], save: Path | None = None
    ) -> None:
        self.has_objections = False
        self._inspector = inspector
        self._say = say
        self._folder = save
        self._reports: dict[InspectedStream, tuple[str, ConsoleReport]] = {}
        self._finished: weakref.WeakSet[InspectedStream] = weakref.WeakSet()
        self._numbers = itertools.count(1)

    def run(self) -> None:
        """Inspect until Ctrl-C.

        Raises:
            OSError: If the port cannot be opened, or a capture cannot be written.
        """
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is the normal end
            asyncio.run(self._inspect())
        self._print_news()

    async def _inspect(self) -> None:
        async with self._inspector as inspector:
            self._say(f"Connect Twilio, a tunnel or `twistream call` to {inspector.stream_url}")
            self._say(f"Everything is relayed to {inspector.upstream_url}; Ctrl-C ends this.")
            while True:
                self._print_news()
                await asyncio.sleep(PAUSE_SECONDS)

    def _print_news(self) -> None:
        # Include the streams reported so far: of many that end at once the inspector keeps ten.
        for stream in dict.fromkeys([*self._inspector.streams, *self._reports]):
            if stream not in self._finished:
                self._print_news_of(stream)

    def _print_news_of(self, stream: InspectedStream) -> None:
        if stream not in self._reports:
            self._reports[stream] = f"[{next(self._numbers)}] ", ConsoleReport(stream)
        prefix, report = self._reports[stream]
        is_over = stream.closed.done()
        for line in report.read_last_lines() if is_over else report.read_new_lines():
            self._say(prefix + line)
        if not is_over:
            return
        del self._reports[stream]
        self._finished.add(stream)
        self.has_objections |= any(each.severity != "note" for each in stream.objections)
        if self._folder is not None:
            self._say(f"{prefix}saved {stream.capture.save(self._choose_file(self._folder))}")

    def _choose_file(self, folder: Path) -> Path:
        # Not named after the SID, which is redacted in the capture.
        day = time.strftime("%Y%m%d-%H%M%S")
        names = (folder / f"call-{day}-{count}.jsonl" for count in itertools.count(1))
        return next(name for name in names if not name.exists())


class ConsoleReport:
    """Describes one stream in lines of text; not thread-safe.

    Args:
        stream: A stream that is open or has ended.
    """

    def __init__(self, stream: InspectedStream) -> None:
        self.stream = stream
        self._n_entries = self._n_violations = 0
        self._messages: Counter[Sender] = Counter()
        self._bytes: Counter[Sender] = Counter()
        self._counted_at = 0.0

    def read_new_lines(self) -> list[str]:
        """Return the lines about what has happened since the last call, in order of time."""
        violations = self.stream.violations[self._n_violations :]
        entries = self.stream.capture.kept_since(self._n_entries)
        self._n_violations += len(violations)
        self._n_entries += len(entries)
        happened: list[tuple[float, Entry | Violation]] = [(each.at, each) for each in entries]
        happened += [(each.at, each) for each in violations]
        happened.sort(key=lambda each: each[0])  # stable: a message comes before its violation
        lines: list[str] = []
        for _, each in happened:
            lines += (
                self._describe_violation(each)
                if isinstance(each, Violation)
                else self._describe_entry(each)
            )
        return lines

    def read_last_lines(self) -> list[str]:
        """Return the remaining lines of a stream that has ended, and its summary."""
        lines = [*self.read_new_lines(), *self._describe_media(self.stream.capture.seconds)]
        end = self.stream.closed.result(0)
        lines.append(f"ended: {end.detail}")
        lines += repr(self.stream.capture.summary()).splitlines()
        times = self.stream.times
        objections = self.stream.objections
        if not objections:
            lines.append("nothing to object to")
        for objection in objections:
            code = f" ({objection.code})" if objection.code else ""
            lines.append(f"{times[objection]} × {objection.severity}{code}: {objection}")
        return lines

    def _describe_entry(self, entry: Entry) -> list[str]:
        if isinstance(entry.message, from_twilio.Media | to_twilio.Media):
            self._messages[entry.sender] += 1
            self._bytes[entry.sender] += entry.size
            is_due = entry.at - self._counted_at >= MEDIA_SECONDS
            return self._describe_media(entry.at) if is_due else []
        if get_event(entry.message) == "progress mark":
            return []
        words = describe_message(entry.message)
        return [*self._describe_media(entry.at), _format_line(entry.at, _WHO[entry.sender], words)]

    def _describe_violation(self, violation: Violation) -> list[str]:
        lines = self._describe_media(violation.at)
        if violation.text and not violation.in_capture:
            # Cut to one line; the violation holds more of the text, and the capture all of it.
            is_long = len(violation.text) > _MOST_CHARACTERS
            text = f"{violation.text[:_MOST_CHARACTERS]}…" if is_long else violation.text
            lines.append(_format_line(violation.at, _WHO[violation.sender], text))
        for objection in violation.objections:
            code = f" {objection.code}" if objection.code else ""
            lines.append(_format_line(violation.at, f"{objection.severity}{code}", str(objection)))
        return lines

    def _describe_media(self, at: float) -> list[str]:
        """Return a line that counts the media messages since the last call, if there are any."""
        counts = [
            f"{n} {_WHO[sender]} ({self._bytes[sender] / BYTES_PER_SECOND:.2f} s)"
            for sender in _WHO
            if (n := self._messages[sender])
        ]
        self._messages.clear()
        self._bytes.clear()
        self._counted_at = at
        return [_format_line(at, "media", ", ".join(counts))] if counts else []


def _format_line(at: float, what: str, words: str) -> str:
    return f"{at:8.2f} s  {what:<12} {words}"
