"""Exit hooks: hang up calls and restore numbers when the interpreter exits.

A call that is not hung up goes on and costs money; a number that was routed to this process would
lead nowhere.  Each registers a hook that undoes it at exit.  The hooks run on the main thread, one
after the other, because from Python 3.12 on no thread can be started at that time.
"""

from __future__ import annotations

import atexit
import itertools
import logging
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from twistream_kit.errors import ServerStopped

logger = logging.getLogger("twistream_kit.live")

EACH_SECONDS = 3.0
"""The time limit of one hook."""

ALL_SECONDS = 10.0
"""The time limit of all hooks together, by which the exit may be delayed."""

_NUMBERS = itertools.count()

_LOCK = threading.Lock()

_hooks: dict[int, _ExitHook] = {}
"""The registered hooks by number, oldest first."""


def register_exit_hook(what: str, undo: Callable[[float], object]) -> Callable[[], None]:
    """Register a hook that runs when the interpreter exits; callable from any thread.

    The newest hook runs first, and all of them before the functions that were registered with
    `atexit` earlier: the loop that a simulated call needs for its hang-up is stopped later.

    Args:
        what: A name of what is to be undone, for the log: ``call CA…``.
        undo: A function that undoes it; it gets its time limit in seconds, and must start no
            thread.

    Returns:
        A function that removes the hook; it may be called more than once.
    """
    number = next(_NUMBERS)
    with _LOCK:
        _hooks[number] = _ExitHook(what, undo)
        # The function that was registered last runs first.
        atexit.unregister(undo_all)
        atexit.register(undo_all)

    def forget() -> None:
        with _LOCK:
            _hooks.pop(number, None)

    return forget


def undo_all(limit: float = ALL_SECONDS) -> None:
    """Run all hooks, newest first; for the exit.

    Args:
        limit: The time limit in seconds; hooks that cannot begin within it are only logged.
    """
    deadline = time.monotonic() + limit
    with _LOCK:
        left = [each for each in reversed(_hooks.values()) if each.pid == os.getpid()]
        _hooks.clear()
    for hook in left:
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            logger.warning("%s is left as it is: there was no time to undo it", hook.what)
            continue
        try:
            hook.undo(min(remaining, EACH_SECONDS))
        except ServerStopped:
            continue  # its simulator has stopped, and so has the call
        except Exception as error:  # noqa: BLE001 - one hook that fails must not prevent the next
            logger.warning("%s is left as it is: %s", hook.what, error)


@dataclass(frozen=True, slots=True)
class _ExitHook:
    what: str
    undo: Callable[[float], object]
    # A forked child inherits the hooks, and must not run those of its parent.
    pid: int = field(default_factory=os.getpid)
