"""Drain before the ASGI server stops: handlers of SIGTERM and SIGINT in front of its own.

uvicorn closes the WebSockets (1012) before it tells the application that it stops, and it tells a
mounted application nothing.  So on the first signal all streams are drained, then the handlers that
were found get the signal.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import signal
import threading
import time
import weakref
from types import FrameType
from typing import Any, Protocol

from twistream_kit.pending import Pending

logger = logging.getLogger("twistream_kit.live")

REPEAT_SECONDS = 1.0
"""A signal within this time of the first one is the same request to stop.

A terminal or systemd signals all processes of a group, and the parent of the workers then signals
them again: that of uvicorn up to half a second later.
"""

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Drainable(Protocol):
    """An application whose streams can be drained."""

    @property
    def is_serving(self) -> bool:
        """Whether a stream is open."""

    def refuse_streams(self) -> None:
        """Open no stream any more; takes no lock."""

    def drain(self) -> Pending[None]:
        """Open no stream any more, and close each open one once what is queued was heard."""


class ShutdownSignals:
    """The handlers of SIGTERM and SIGINT of this process, in front of those of its server."""

    def __init__(self) -> None:
        self._apps: weakref.WeakSet[Drainable] = weakref.WeakSet()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._found: dict[int, Any] = {}
        self._first_at: float | None = None

    def put_before(self, app: Drainable) -> bool:
        """Drain `app` at the first signal; to be called on the loop it runs on.

        Returns:
            Whether signals can be handled: only on the main thread.
        """
        if threading.current_thread() is not threading.main_thread():
            return False
        self._apps.add(app)
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._restore()
            self._loop, self._first_at = loop, None
            for number in SIGNALS:
                self._install(loop, number)
        return True

    def remove(self, app: Drainable) -> None:
        """Drain `app` no more; when it was the last, install the handlers again that were found."""
        self._apps.discard(app)
        if not self._apps and threading.current_thread() is threading.main_thread():
            self._restore()
            self._loop = None

    def _install(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        handles = _find_loop_handlers(loop, number)
        if handles is not None:
            found = handles[number]
            loop.add_signal_handler(number, self._handle, number, None)
            self._found[number] = handles, found
            return
        handler = signal.getsignal(number)
        # None: C code has installed it.  A signal that is ignored stays so.
        if handler not in (None, signal.SIG_IGN):
            self._found[number] = handler
            signal.signal(number, self._handle)

    def _restore(self) -> None:
        """Install the handlers again that were found, unless others were installed since."""
        for number, found in self._found.items():
            if isinstance(found, tuple):
                handles, handle = found
                if number in handles:
                    handles[number] = handle
            elif signal.getsignal(number) == self._handle:
                signal.signal(number, found)
        self._found.clear()

    def _handle(self, number: int, _: FrameType | None) -> None:
        # Of a handler of `signal.signal` any bytecode may be interrupted: no lock may be taken.
        now = time.monotonic()
        if self._first_at is not None:
            if now - self._first_at >= REPEAT_SECONDS:
                self._pass_on(number)
            return
        self._first_at = now
        is_serving = any(app.is_serving for app in list(self._apps))
        for app in list(self._apps):
            app.refuse_streams()  # the server may accept for some time, and would cut it off
        if self._loop is None or not self._loop.is_running() or not is_serving:
            # Without a stream nothing has to be waited for; nor has Ctrl-C, where the loop is busy.
            self._pass_on(number)
            return
        self._loop.call_soon_threadsafe(self._drain, self._loop, number)

    def _drain(self, loop: asyncio.AbstractEventLoop, number: int) -> None:
        logger.info("%s: the streams are drained first", signal.Signals(number).name)
        waits = [app.drain() for app in self._apps]
        n_left = len(waits)

        def count_down(_: object) -> None:
            nonlocal n_left
            n_left -= 1
            if not n_left:
                # In a callback of its own, where the handler may raise KeyboardInterrupt.
                loop.call_soon_threadsafe(self._pass_on, number)

        if not waits:
            self._pass_on(number)
        for wait in waits:
            wait.add_done_callback(count_down)

    def _pass_on(self, number: int) -> None:
        """Let the handlers that were found have the signal, and each further one."""
        self._restore()
        signal.raise_signal(number)


shutdown_signals = ShutdownSignals()
"""Those of this process: all applications of it are drained at the same time."""


def _find_loop_handlers(loop: asyncio.AbstractEventLoop, number: int) -> dict[int, Any] | None:
    """Return the handlers by number of a loop that handles this signal, else None.

    `add_signal_handler` replaces a handler and does not return it.
    """
    handles = getattr(loop, "_signal_handlers", None)
    if handles is None:  # uvloop, whose attributes are not visible
        tables = (each for each in gc.get_referents(loop) if isinstance(each, dict))
        handles = next((each for each in tables if number in each), None)
    return handles if handles and number in handles else None
