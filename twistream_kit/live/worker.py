"""Blocking work, such as the Twilio SDK's, on a thread of its own; never on a loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from twistream_kit.pending import Pending, fail, fulfil

T = TypeVar("T")


def on_worker(
    name: str, work: Callable[[], T], *, home: asyncio.AbstractEventLoop | None = None
) -> Pending[T]:
    """Do `work` on a daemon thread; return a `Pending` with its result or its error.

    Args:
        name: Of the thread, for people who look at a list of them.
        work: May block as long as it likes.
        home: A loop that must keep running for `work` to end, if there is one.
    """
    pending: Pending[T] = Pending(home)

    def run() -> None:
        try:
            result = work()
        except BaseException as error:  # noqa: BLE001 - it goes to whoever waits
            fail(pending, error)
        else:
            fulfil(pending, result)

    threading.Thread(target=run, name=name, daemon=True).start()
    return pending
