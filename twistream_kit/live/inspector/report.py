"""The command ``inspect-stream``: an inspector that prints what passes, until Ctrl-C.

`ConsoleReport` turns one stream into lines of text: media counted, every other message by itself,
objections as they arise, and a summary at the end.
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
from twistream_kit.capture.message_text import describe_message, event_of
from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.inspector.stream import InspectedStream, Violation
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND

PAUSE_SECONDS = 0.2
"""How often the command looks for what has passed."""

MEDIA_SECONDS = 5.0
"""How often media is counted aloud while nothing else happens."""

_WHO: dict[Sender, str] = {"twilio": "from Twilio", "server": "to Twilio"}

_MOST_CHARACTERS = 160


class InspectCommand:
    """Runs an inspector and prints what passes through it.

    Args:
        inspector: Not entered yet.
        say: Prints a line.
        save: A folder for the captures, made if it is not there; None keeps none.

    Attributes:
        has_objections: Whether anything worse than a note was objected to.
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
            OSError: If the port cannot be had, or a capture not be written.
        """
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(KeyboardInterrupt):  # which is how it is meant to end
            asyncio.run(self._inspect())
        self._print_news()

    async def _inspect(self) -> None:
        async with self._inspector as inspector:
            self._say(f"Connect Twilio, a tunnel or `twistream call` to {inspector.stream_url}")
            self._say(f"Everything passes on to {inspector.upstream_url}; Ctrl-C ends this.")
            while True:
                self._print_news()
                await asyncio.sleep(PAUSE_SECONDS)

    def _print_news(self) -> None:
        # Those begun here too: of many that end at once the inspector keeps ten.
        for stream in dict.fromkeys([*self._inspector.streams, *self._reports]):
            if stream not in self._finished:
                self._print_news_of(stream)

    def _print_news_of(self, stream: InspectedStream) -> None:
        if stream not in self._reports:
            self._reports[stream] = f"[{next(self._numbers)}] ", ConsoleReport(stream)
        prefix, report = self._reports[stream]
        is_over = stream.closed.done()
        for line in report.last_lines() if is_over else report.new_lines():
            self._say(prefix + line)
        if not is_over:
            return
        del self._reports[stream]
        self._finished.add(stream)
        self.has_objections |= any(each.severity != "note" for each in stream.objections)
        if self._folder is not None:
            self._say(f"{prefix}saved {stream.capture.save(self._new_file(self._folder))}")

    def _new_file(self, folder: Path) -> Path:
        # Not named after the SID, which the capture does not give away either.
        day = time.strftime("%Y%m%d-%H%M%S")
        names = (folder / f"call-{day}-{count}.jsonl" for count in itertools.count(1))
        return next(name for name in names if not name.exists())


class ConsoleReport:
    """The lines that tell what passes on one stream; not thread-safe.

    Args:
        stream: One that is open, or has ended.
    """

    def __init__(self, stream: InspectedStream) -> None:
        self.stream = stream
        self._n_entries = self._n_violations = 0
        self._messages: Counter[Sender] = Counter()
        self._bytes: Counter[Sender] = Counter()
        self._counted_at = 0.0

    def new_lines(self) -> list[str]:
        """Return what has happened since the last time this was asked, by time."""
        findings = self.stream.findings[self._n_violations :]
        entries = self.stream.capture.kept_since(self._n_entries)
        self._n_violations += len(findings)
        self._n_entries += len(entries)
        happened: list[tuple[float, Entry | Violation]] = [(each.at, each) for each in entries]
        happened += [(each.at, each) for each in findings]
        happened.sort(key=lambda each: each[0])  # of one time, the message before what is wrong
        lines: list[str] = []
        for _, each in happened:
            lines += (
                self._of_violation(each) if isinstance(each, Violation) else self._of_entry(each)
            )
        return lines

    def last_lines(self) -> list[str]:
        """Return what is left to tell once the stream has ended, and the summary of it."""
        lines = [*self.new_lines(), *self._media(self.stream.capture.seconds)]
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

    def _of_entry(self, entry: Entry) -> list[str]:
        if isinstance(entry.message, from_twilio.Media | to_twilio.Media):
            self._messages[entry.sender] += 1
            self._bytes[entry.sender] += entry.size
            is_due = entry.at - self._counted_at >= MEDIA_SECONDS
            return self._media(entry.at) if is_due else []
        if event_of(entry.message) == "progress mark":
            return []
        words = describe_message(entry.message)
        return [*self._media(entry.at), _line(entry.at, _WHO[entry.sender], words)]

    def _of_violation(self, violation: Violation) -> list[str]:
        lines = self._media(violation.at)
        if violation.text and not violation.in_capture:
            # One line's worth; the violation has more of it, and the capture all.
            is_long = len(violation.text) > _MOST_CHARACTERS
            text = f"{violation.text[:_MOST_CHARACTERS]}…" if is_long else violation.text
            lines.append(_line(violation.at, _WHO[violation.sender], text))
        for objection in violation.objections:
            code = f" {objection.code}" if objection.code else ""
            lines.append(_line(violation.at, f"{objection.severity}{code}", str(objection)))
        return lines

    def _media(self, at: float) -> list[str]:
        """Tell what media has passed since the last time, if any has."""
        counts = [
            f"{n} {_WHO[sender]} ({self._bytes[sender] / BYTES_PER_SECOND:.2f} s)"
            for sender in _WHO
            if (n := self._messages[sender])
        ]
        self._messages.clear()
        self._bytes.clear()
        self._counted_at = at
        return [_line(at, "media", ", ".join(counts))] if counts else []


def _line(at: float, what: str, words: str) -> str:
    return f"{at:8.2f} s  {what:<12} {words}"
