"""The event loop of the kit: of a class of its own, so that it alone can be made re-entrant.

An async handler that says ``pending.result()`` would stop the loop that has to bring the result.
There, and only there, the loop is entered again while it waits.  nest_asyncio knows how, but its
``apply`` patches the class of the loop it is given, the kernel's too, and `asyncio.run` for the
whole process, after which a notebook's Run All can hang for ever.  So only this class is patched,
by its private ``_patch_loop``; the package is archived and pinned, so that cannot move.
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Coroutine
from typing import Any

import nest_asyncio

from twistream_kit.errors import WouldDeadlock
from twistream_kit.pending import Pending

HURRIED_SWITCH_SECONDS = 0.001
"""The interpreter's switch interval while a call is up: measured, a cell that computes in pure
Python then delays the server 3.5 ms instead of 15, and is slowed by at most an eighth."""

_BaseLoop: Any = getattr(asyncio, "ProactorEventLoop", asyncio.SelectorEventLoop)


class KitLoop(_BaseLoop):  # type: ignore[misc]
    """An event loop that can be entered again while one of its own tasks waits."""

    def __init__(self) -> None:
        super().__init__()
        self._nested = 0
        self._hurried = 0
        self._usual_switch = sys.getswitchinterval()
        self._lock = threading.Lock()
        nest_asyncio._patch_loop(self)  # noqa: SLF001 - see the module
        # C tasks refuse to be entered while another one runs; the Python ones let us.
        self.set_task_factory(_make_task)

    def run_nested(self, pending: Pending[Any], timeout: float | None) -> None:
        """Run the loop until `pending` is done, or `timeout` seconds are over.

        Raises:
            WouldDeadlock: If another nested wait is under way: they end last in, first out, so
                the first would wait for the second.
        """
        if self._nested:
            raise WouldDeadlock(
                "result() was called on the kit's loop while another such call waits there",
                consequence="Nested waits end last in, first out: the first would wait for this",
                fix="Say `await pending`, or make the handler an ordinary function",
            )
        self._nested += 1
        try:
            self.run_until_complete(_until_done(pending, timeout))
        finally:
            self._nested -= 1

    def hurry(self) -> None:
        """Shorten the interpreter's switch interval while at least one call is up."""
        with self._lock:
            self._hurried += 1
            if self._hurried == 1:
                self._usual_switch = sys.getswitchinterval()
                sys.setswitchinterval(min(HURRIED_SWITCH_SECONDS, self._usual_switch))

    def relax(self) -> None:
        """Put the switch interval back when the last call is over."""
        with self._lock:
            self._hurried -= 1
            if self._hurried == 0:
                sys.setswitchinterval(self._usual_switch)


async def _until_done(pending: Pending[Any], timeout: float | None) -> None:
    await asyncio.wait([asyncio.wrap_future(pending)], timeout=timeout)


def _make_task(
    loop: asyncio.AbstractEventLoop, work: Coroutine[Any, Any, Any], **options: Any
) -> asyncio.Task[Any]:
    task: asyncio.Task[Any] = asyncio.tasks._PyTask(work, loop=loop, **options)  # type: ignore[attr-defined]  # noqa: SLF001 - see the module
    return task
