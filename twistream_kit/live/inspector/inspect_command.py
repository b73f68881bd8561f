"""``inspect-stream`` on the command line: an inspector that tells what passes until Ctrl-C."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
import weakref
from collections.abc import Callable
from pathlib import Path

from twistream_kit.live.inspector.inspector import Inspector
from twistream_kit.live.inspector.report import InspectionStory
from twistream_kit.live.inspector.stream import InspectedStream

PAUSE_SECONDS = 0.2
"""Between two looks at what has passed."""


class InspectCommand:
    """Tells what passes through an inspector.

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
        self._stories: dict[InspectedStream, tuple[str, InspectionStory]] = {}
        self._told: weakref.WeakSet[InspectedStream] = weakref.WeakSet()
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
        self._tell()

    async def _inspect(self) -> None:
        async with self._inspector as inspector:
            self._say(f"Connect Twilio, a tunnel or `twistream call` to {inspector.stream_url}")
            self._say(f"Everything passes on to {inspector.upstream_url}; Ctrl-C ends this.")
            while True:
                self._tell()
                await asyncio.sleep(PAUSE_SECONDS)

    def _tell(self) -> None:
        # Those begun here too: of many that end at once the inspector keeps ten.
        for stream in dict.fromkeys([*self._inspector.streams, *self._stories]):
            if stream not in self._told:
                self._tell_of(stream)

    def _tell_of(self, stream: InspectedStream) -> None:
        if stream not in self._stories:
            self._stories[stream] = f"[{next(self._numbers)}] ", InspectionStory(stream)
        prefix, story = self._stories[stream]
        is_over = stream.closed.done()
        for line in story.last_lines() if is_over else story.new_lines():
            self._say(prefix + line)
        if not is_over:
            return
        del self._stories[stream]
        self._told.add(stream)
        self.has_objections |= any(each.severity != "note" for each in stream.objections)
        if self._folder is not None:
            self._say(f"{prefix}saved {stream.capture.save(self._new_file(self._folder))}")

    def _new_file(self, folder: Path) -> Path:
        # Not named after the SID, which the capture does not give away either.
        day = time.strftime("%Y%m%d-%H%M%S")
        names = (folder / f"call-{day}-{count}.jsonl" for count in itertools.count(1))
        return next(name for name in names if not name.exists())
