"""The debugger of Twilio's console: errors and warnings, each with the message that caused it.

Twilio logs the three warnings about messages once per stream (PROTOCOL.md §5.1), and so does this;
the entries also show the message and its error, which Twilio leaves out.  Twilio does not log
problems of the sound (§4): those are kept separately, in `Debugger.unlogged`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import overload

from twistream_kit.errors import Objection, Severity
from twistream_kit.listing import Listing, Series
from twistream_kit.pending import Pending, Subject, fulfil
from twistream_kit.protocol.codes import TWILIO_CODES, get_code
from twistream_kit.simulator.model.assumptions import ONCE_PER_STREAM

KEPT_ENTRIES = 1000
"""The number of entries that are kept, and of problems that Twilio does not log."""

KEPT_BYTES = 8_000_000
"""The size of the messages that are kept with the entries; one may have a megabyte."""

KEPT_WARNED = 100_000
"""The number of pairs of warning and stream that are known, so as to log each only once."""

_SHOWN_CHARACTERS = 160

UNLOGGED = "What Twilio would not log"
"""The heading of the entries that Twilio's console would not show."""


NOTHING_LOGGED = "no errors, no warnings"
"""The text of an empty debugger log."""


_NO_OBJECTIONS: Series[Objection] = Series.of((), "objections")


@dataclass(frozen=True, slots=True)
class DebuggerEntry:
    """One line of the console.

    Attributes:
        code: Twilio's number, such as 31951.
        name: Twilio's title for it.
        level: ``error`` or ``warning``; ``note`` for an intentional close by the server.
        text: A sentence about this occurrence; may be empty.
        stream_sid: The stream concerned, or empty.
        call_sid: The call concerned, or empty.
        message: The message that caused it, as received, or None.
        objections: The result of `review` for that message.
        at: The time, in seconds since the epoch.
    """

    code: int
    name: str
    level: Severity
    text: str = ""
    stream_sid: str = ""
    call_sid: str = ""
    message: str | bytes | None = None
    objections: Series[Objection] = _NO_OBJECTIONS
    at: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        where = f" [{self.stream_sid or self.call_sid}]" if self.stream_sid or self.call_sid else ""
        lines = [f"{self.code} {self.level}: {self.name}{where}"]
        if self.text:
            lines.append(f"    {self.text}")
        if self.message is not None:
            lines.append(f"    message: {elide(self.message)}")
        lines += [f"    {objection}" for objection in self.objections]
        return "\n".join(lines)

    __repr__ = __str__


@dataclass(frozen=True, slots=True)
class Unlogged:
    """A problem that the caller hears and that Twilio's console does not show.

    Attributes:
        objection: The problem, its effect for the caller, and the fix.
        stream_sid: The stream concerned.
        call_sid: The call concerned.
        at: The time when it was found, in seconds since the epoch.
    """

    objection: Objection
    stream_sid: str = ""
    call_sid: str = ""
    at: float = field(default=0.0, compare=False)

    def __str__(self) -> str:
        where = f" [{self.stream_sid or self.call_sid}]" if self.stream_sid or self.call_sid else ""
        return f"{self.objection.severity}{where}\n    {self.objection}"

    __repr__ = __str__


class Debugger(Sequence[DebuggerEntry]):
    """The last thousand entries, oldest first.  Any thread may read and write it.

    There are fewer if their messages have more than 8 MB; the newest entry is always there.

    Attributes:
        dropped: How many older entries were dropped.
    """

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self.dropped = 0
        self._entries: deque[DebuggerEntry] = deque()
        self._n_bytes = 0
        self._unlogged: deque[Unlogged] = deque(maxlen=KEPT_ENTRIES)
        self._seen: dict[tuple[int, str], None] = {}
        self._waiting: list[tuple[int, Pending[DebuggerEntry]]] = []
        self._lock = threading.Lock()
        self._clock = clock
        # Reads the file of codes now: it takes some 10 ms, half a frame, and would delay a call.
        len(TWILIO_CODES)

    def log(
        self,
        code: int,
        text: str = "",
        *,
        stream_sid: str = "",
        call_sid: str = "",
        message: str | bytes | None = None,
        objections: Sequence[Objection] = (),
        level: Severity | None = None,
    ) -> DebuggerEntry | None:
        """Add an entry and return it, or None if Twilio logs it only once per stream."""
        known = get_code(code)
        entry = DebuggerEntry(
            known.code, known.name, level or known.level, text, stream_sid, call_sid, message,
            Series.of(objections, "objections"), self._clock(),
        )  # fmt: skip
        with self._lock:
            if code in ONCE_PER_STREAM:
                if (code, stream_sid) in self._seen:
                    return None
                self._seen[code, stream_sid] = None
                if len(self._seen) > KEPT_WARNED:
                    del self._seen[next(iter(self._seen))]
            self._keep(entry)
            waiting = [wait for wanted, wait in self._waiting if wanted == code]
            self._waiting = [(other, wait) for other, wait in self._waiting if other != code]
        for wait in waiting:
            fulfil(wait, entry)
        return entry

    def note(self, objection: Objection, stream_sid: str = "", call_sid: str = "") -> Unlogged:
        """Add a problem that Twilio does not log, and return it."""
        unlogged = Unlogged(objection, stream_sid, call_sid, self._clock())
        with self._lock:
            self._unlogged.append(unlogged)
        return unlogged

    @property
    def unlogged(self) -> Listing[Unlogged]:
        """The problems that are heard and not logged, oldest first; each once per stream."""
        with self._lock:
            return Listing.of(self._unlogged, "unlogged objections")

    def wait_for(self, code: int) -> Pending[DebuggerEntry]:
        """Return a `Pending` of the oldest entry of `code`, present or future.

        Raises:
            LookupError: If Twilio has no such code.
        """
        wait: Pending[DebuggerEntry] = Pending(
            None,
            Subject(
                f"entry {code} in Twilio's debugger",
                "DebuggerEntry",
                self._say_entries,
                kind=DebuggerEntry,
            ),
        )
        get_code(code)
        with self._lock:
            found = next((entry for entry in self._entries if entry.code == code), None)
            if found is None:
                self._waiting.append((code, wait))
        if found is not None:
            fulfil(wait, found)
        return wait

    def _say_entries(self) -> str:
        return f"its codes: {', '.join(map(str, self.codes))}" if self.codes else "it is empty"

    @property
    def codes(self) -> list[int]:
        """The codes of the entries, oldest first."""
        return [entry.code for entry in self._copy_entries()]

    def find(self, sid: str) -> Listing[DebuggerEntry]:
        """Return the entries of one stream (MZ...) or one call (CA...), oldest first."""
        return _list_entries(e for e in self._copy_entries() if sid in (e.stream_sid, e.call_sid))

    def clear(self) -> None:
        """Remove all entries; warnings already logged for a stream are still not logged again."""
        with self._lock:
            self._entries.clear()
            self._unlogged.clear()
            self.dropped = self._n_bytes = 0

    @overload
    def __getitem__(self, index: int) -> DebuggerEntry: ...
    @overload
    def __getitem__(self, index: slice) -> Listing[DebuggerEntry]: ...
    def __getitem__(self, index: int | slice) -> DebuggerEntry | Listing[DebuggerEntry]:
        found = self._copy_entries()[index]
        return found if isinstance(found, DebuggerEntry) else _list_entries(found)

    def __len__(self) -> int:
        return len(self._entries)

    def __iter__(self) -> Iterator[DebuggerEntry]:
        return iter(self._copy_entries())

    def __repr__(self) -> str:
        lines = [str(entry) for entry in self] or [NOTHING_LOGGED]
        if self.dropped:
            lines.insert(0, f"{self.dropped} older entries were dropped")
        if unlogged := self.unlogged:
            lines += [f"{UNLOGGED}:", *map(str, unlogged)]
        return "\n".join(lines)

    def _keep(self, entry: DebuggerEntry) -> None:
        self._entries.append(entry)
        self._n_bytes += _measure(entry)
        while len(self._entries) > 1 and (
            len(self._entries) > KEPT_ENTRIES or self._n_bytes > KEPT_BYTES
        ):
            self._n_bytes -= _measure(self._entries.popleft())
            self.dropped += 1

    def _copy_entries(self) -> list[DebuggerEntry]:
        with self._lock:
            return list(self._entries)


def _measure(entry: DebuggerEntry) -> int:
    """Return the size of what the far end chooses the size of."""
    return len(entry.text) + len(entry.message or "")


def _list_entries(entries: Iterable[DebuggerEntry]) -> Listing[DebuggerEntry]:
    return Listing.of(entries, "entries")


def elide(message: str | bytes) -> str:
    """Return `message` on one line, without the middle of a long one."""
    text = message if isinstance(message, str) else repr(message)
    text = " ".join(text.split())
    if len(text) <= _SHOWN_CHARACTERS:
        return text
    # More of the beginning, where the keys are, than of the end.
    head, tail = _SHOWN_CHARACTERS * 3 // 4, _SHOWN_CHARACTERS // 4
    return f"{text[:head]} ... {text[-tail:]} ({len(message)} long)"
