"""Sound files from the browser: a chooser and a drop field, and the clips that come of them.

A file comes over a socket of its own if the browser runs on the kernel's machine, else in the
kernel's messages, in pieces: a front end closes its connection to the kernel at a message of
10 MiB.  Each piece is acknowledged when it is written, and a page sends little more than that.

What arrives is kept in a temporary file without a name, which the operating system removes with the
last handle: nothing remains of it, however the transfer or the process ends.
"""

from __future__ import annotations

import json
import logging
import queue
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import IO, Any

import traitlets

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.errors import TwistreamError, WrongType, escape_controls
from twistream_kit.notebook.runtime.kernel import answer_on_subshell
from twistream_kit.notebook.widgets._comm import Tell, read_bytes
from twistream_kit.notebook.widgets._javascript import join_modules
from twistream_kit.notebook.widgets._socket import Channel, WidgetPage, start_widget_socket
from twistream_kit.notebook.widgets.hearing import HearingWidget
from twistream_kit.pending import on_worker

logger = logging.getLogger("twistream_kit.notebook")

FILE_LIMIT = 200_000_000
"""The largest file that a page sends, in bytes: 200 MB."""

IDLE_SECONDS = 900.0
"""A transfer that stands still for so long has ended.

In the kernel's messages nothing tells that a page was closed, and a cell that runs may hold back
what the page sends.
"""

MOST_AT_ONCE = 16
"""How many transfers may run in one widget; each has a thread, and a page sends one at a time."""

_CLOSED = "the widget was closed or shown anew; choose the file there"

_LONGEST_NAME = 120

_STATIC = Path(__file__).parents[1] / "static"

CSS = (_STATIC / "file_field.css").read_text(encoding="utf-8")
"""The style of the chooser, also inside other widgets."""

OnClip = Callable[[Clip], object]
"""Takes a clip, on a worker thread; what it raises is shown beside the file's name."""


class FileField(HearingWidget):
    """A field to choose sound files with, or to drop them on; each becomes a clip.

    It takes every file that `load_clip` reads, up to 200 MB, and several at once.  Of a file that
    cannot be read, it shows the reason.

    Args:
        on_clip: Called with each clip, on a worker thread.
        label: The label of the button, which is also the name of the field.
        direct: Whether a page on this machine may use the direct socket.

    Raises:
        TypeError: If `on_clip` cannot be called.
        WouldDeadlock: If called on the kit's own loop.

    Example:
        >>> from twistream_kit.notebook.widgets.file_field import FileField
        >>> clips = []
        >>> field = FileField(clips.append, label="Add a file")
        >>> field.label
        'Add a file'
        >>> field.close()
    """

    _esm = join_modules(_STATIC / "file_field.js")
    _css = CSS

    label = traitlets.Unicode().tag(sync=True)
    _file_limit = traitlets.Int(FILE_LIMIT).tag(sync=True)
    # The page empties it as soon as it has read it, so that it is not saved with the notebook.
    _files_address = traitlets.Unicode().tag(sync=True)

    def __init__(
        self, on_clip: OnClip, *, label: str = "Choose a sound file", direct: bool = True
    ) -> None:
        if not callable(on_clip):
            raise WrongType(
                f"on_clip is a {type(on_clip).__name__}; it is a function that takes a Clip"
            )
        self.files = FileReceiver(on_clip, self._tell)
        super().__init__(label=label, _files_address=self.files.listen() if direct else "")
        answer_on_subshell(self)
        self.on_msg(self._take_message)

    def close(self) -> None:
        """Close the widget; transfers end, and what arrived of them is removed."""
        if hasattr(self, "files"):  # ipywidgets also closes after a failed constructor
            self.files.close()
        super().close()

    def _take_message(
        self, _widget: object, content: Mapping[str, Any], buffers: Sequence[memoryview]
    ) -> None:
        self.files.handle_message(content, buffers)

    def _tell(self, content: dict[str, Any], buffers: list[bytes]) -> None:
        self.send(content, buffers=buffers)


class FileReceiver:
    """The kernel's end of all transfers of one widget.

    All methods may be called from any thread.

    Args:
        on_clip: Called with each clip, on a worker thread.
        tell: Sends a message to all pages, over the kernel.
    """

    def __init__(self, on_clip: OnClip, tell: Tell) -> None:
        self._on_clip, self._tell = on_clip, tell
        self._channel: Channel | None = None
        self._transfers: dict[object, _Transfer] = {}
        self._is_closed = False
        self._lock = threading.Lock()

    @property
    def running(self) -> int:
        """The number of transfers that have not ended."""
        return len(self._transfers)

    def listen(self) -> str:
        """Let pages of this machine use a socket; return its address."""
        self._channel = start_widget_socket().open(self)
        return self._channel.address

    def close(self) -> None:
        """End all transfers, and admit no more pages."""
        with self._lock:
            self._is_closed = True
            transfers = list(self._transfers.values())
        for transfer in transfers:
            transfer.cancel(_CLOSED)
        if self._channel is not None:
            self._channel.close()

    # Messages over the kernel: {"file": {"id", "do", …}}

    def handle_message(self, content: Mapping[str, Any], buffers: Sequence[memoryview]) -> None:
        """Take a message of a page, if it is of a file."""
        message = content.get("file")
        if not isinstance(message, Mapping):
            return
        name = str(message.get("id", ""))
        if message.get("do") == "begin":

            def answer(news: dict[str, Any]) -> None:
                self._tell({"type": "file", "id": name, **news}, [])

            if self._begin(name, message, answer):
                answer({"mayGo": True, "takesBuffers": bool(buffers)})
        elif message.get("do") == "piece":
            self._take(name, read_bytes(message, buffers))
        else:
            self._cancel(name)

    # Messages over the socket: one connection for each file

    def add_page(self, page: WidgetPage) -> None:
        """Do nothing until the page names its file."""

    def remove_page(self, page: WidgetPage) -> None:
        """End the transfer of a page that has disconnected."""
        self._cancel(page)

    def handle_text(self, page: WidgetPage, words: str) -> None:
        """Begin the transfer of a page, ``begin SIZE NAME``, or cancel it."""
        verb, _, rest = words.partition(" ")
        size, _, name = rest.partition(" ")
        channel = self._channel
        if verb != "begin" or not size.isdecimal() or channel is None:
            self._cancel(page)
            return

        def answer(news: dict[str, Any]) -> None:
            channel.send_text(page, json.dumps(news))

        if self._begin(page, {"name": name, "size": int(size[:20])}, answer):
            answer({"mayGo": True})

    def handle_sound(self, page: WidgetPage, sound: bytes) -> None:
        """Take a piece of the page's file."""
        self._take(page, sound)

    def _begin(
        self, key: object, message: Mapping[str, Any], answer: Callable[[dict[str, Any]], None]
    ) -> bool:
        """Begin a transfer; return False, and say so, if too many run already."""
        self._cancel(key)
        transfer = _Transfer(clean_name(message.get("name")), message.get("size"))
        with self._lock:
            is_full = len(self._transfers.keys() - {key}) >= MOST_AT_ONCE
            if not is_full:
                self._transfers[key] = transfer
            if self._is_closed:
                transfer.cancel(_CLOSED)
        if is_full:
            why = f"{MOST_AT_ONCE} files are on their way; choose it again when one has arrived"
            answer({"failed": transfer.describe_failure(_Cancelled(why))})
            return False

        def receive() -> str:
            try:
                clip = transfer.receive(lambda size: answer({"got": size}))
                transfer.check()
                self._on_clip(clip)
            finally:
                with self._lock:
                    if self._transfers.get(key) is transfer:
                        del self._transfers[key]
            return f"{transfer.name}, {clip.seconds:.2f} s{_describe_loss(clip)}"

        def report(done: Future[str]) -> None:
            error = done.exception(0)
            if error is None:
                answer({"done": done.result(0)})
            else:
                answer({"failed": transfer.describe_failure(error)})

        on_worker("twistream_kit file", receive).add_done_callback(report)
        return True

    def _take(self, key: object, piece: bytes) -> None:
        transfer = self._transfers.get(key)
        if transfer is not None:
            transfer.take(piece)

    def _cancel(self, key: object) -> None:
        transfer = self._transfers.get(key)
        if transfer is not None:
            transfer.cancel("cancelled")


class _Cancelled(Exception):
    """The transfer was ended before the file was whole; the text says why."""


class _Transfer:
    """One file on its way to this process.

    Args:
        name: Its name, without a folder.
        size: Its size as the page says.
    """

    def __init__(self, name: str, size: object) -> None:
        self.name = name
        self._size = size if isinstance(size, int) and size >= 0 else FILE_LIMIT + 1
        self._pieces: queue.SimpleQueue[bytes | _Cancelled] = queue.SimpleQueue()
        self._cancelled: _Cancelled | None = None

    def take(self, piece: bytes) -> None:
        """Add the next piece."""
        self._pieces.put(piece)

    def cancel(self, why: str) -> None:
        """End the transfer, unless the clip has been handed over."""
        self._cancelled = _Cancelled(why)
        self._pieces.put(self._cancelled)

    def check(self) -> None:
        """Raise what `cancel` has said meanwhile, also while the whole file was being read."""
        if self._cancelled is not None:
            raise self._cancelled

    def receive(self, acknowledge: Callable[[int], None]) -> Clip:
        """Wait for the whole file and load it; blocks, so it needs a thread of its own.

        Args:
            acknowledge: Called with the number of bytes that are written, after each piece.
        """
        if self._size > FILE_LIMIT:
            raise _Cancelled(f"it is larger than {FILE_LIMIT // 1_000_000} MB")
        with tempfile.TemporaryFile(prefix="twistream_kit-") as file:
            received = 0
            while received < self._size:
                piece = self._wait_for_piece()
                received += len(piece)
                if not piece or received > self._size:
                    raise _Cancelled("it was changed on its way")
                file.write(piece)
                acknowledge(received)
            file.seek(0)
            return load_clip(_NamedFile(file, self.name))

    def _wait_for_piece(self) -> bytes:
        try:
            piece = self._pieces.get(timeout=IDLE_SECONDS)
        except queue.Empty:
            raise _Cancelled("the page has sent nothing more for 15 minutes") from None
        if isinstance(piece, _Cancelled):
            raise piece
        return piece

    def describe_failure(self, error: BaseException) -> str:
        """Return a sentence that says why there is no clip, or why nobody took it."""
        if isinstance(error, _Cancelled):
            return f"{self.name} was not sent: {error}"
        if isinstance(error, TwistreamError):
            return str(error)
        if isinstance(error, OSError):
            return f"{self.name} cannot be kept on this machine: {error}"
        logger.error("a file from a page could not be used", exc_info=error)
        return f"{self.name} cannot be used: {type(error).__name__}: {error}"


class _NamedFile:
    """A temporary file with the name that errors and the clip are to have."""

    def __init__(self, file: IO[bytes], name: str) -> None:
        self.name = name
        self._file = file

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def clean_name(name: object) -> str:
    """Return the name of a file without a folder, and without what a terminal would obey."""
    last = str(name or "file").replace("\\", "/").rpartition("/")[2]
    return escape_controls(last)[-_LONGEST_NAME:] or "file"


def _describe_loss(clip: Clip) -> str:
    return f"; {clip.missing_seconds:.2f} s are missing" if clip.missing_seconds else ""
