"""Blocking work, such as the Twilio SDK's, on a thread of its own; never on a loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

from twistream_kit.errors import TwistreamError
from twistream_kit.pending import Pending, fail, fulfil

T = TypeVar("T")


def on_worker(
    name: str, work: Callable[[], T], *, home: asyncio.AbstractEventLoop | None = None
) -> Pending[T]:
    """Do `work` on a daemon thread; return a `Pending` with its result or its error.

    If no thread can be started, that is the error.

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

    try:
        threading.Thread(target=run, name=name, daemon=True).start()
    except RuntimeError as error:
        # It is told like every other failure, to those who wait for the result.
        fail(pending, _no_thread(name, error))
    return pending


def _no_thread(name: str, error: RuntimeError) -> TwistreamError:
    failure = TwistreamError(
        f"no thread could be started for {name}: {error}",
        consequence="It was not done",
        fix="End other work of this process or of this machine, then try again",
    )
    failure.__cause__ = error
    return failure
