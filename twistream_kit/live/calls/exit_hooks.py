"""Exit hooks: what is undone when the interpreter exits.

A call that nobody hung up goes on and costs money; a number whose calls were led to this process
leads nowhere.  Each is noted here while that is so, and undone at exit: on the main thread and one
after the other, because from Python 3.12 on no thread can be started by then.
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
"""How long undoing one thing may take."""

ALL_SECONDS = 10.0
"""How long all of it may hold up the exit."""

_NUMBERS = itertools.count()

_LOCK = threading.Lock()

_hooks: dict[int, _ExitHook] = {}
"""What is to be undone, by number, oldest first."""


def at_exit(what: str, undo: Callable[[float], object]) -> Callable[[], None]:
    """Have something undone when the interpreter exits; callable from any thread.

    The newest is undone first, and all of them before anything that was registered with `atexit`
    by now: the loop that a simulated call needs for its hang-up is stopped later.

    Args:
        what: Is left behind, for the log: ``call CA…``.
        undo: Undoes it; takes the seconds it may last, and must start no thread.

    Returns:
        What forgets it; calling that twice does no harm.
    """
    number = next(_NUMBERS)
    with _LOCK:
        _hooks[number] = _ExitHook(what, undo)
        # The last to be registered is the first to run.
        atexit.unregister(undo_all)
        atexit.register(undo_all)

    def forget() -> None:
        with _LOCK:
            _hooks.pop(number, None)

    return forget


def undo_all(limit: float = ALL_SECONDS) -> None:
    """Undo everything that is left, newest first; for the exit.

    Args:
        limit: In seconds; what cannot be begun within it is only named in the log.
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
            continue  # its simulator has stopped, and took it along
        except Exception as error:  # noqa: BLE001 - one must not keep the next from being undone
            logger.warning("%s is left as it is: %s", hook.what, error)


@dataclass(frozen=True, slots=True)
class _ExitHook:
    what: str
    undo: Callable[[float], object]
    # A forked child inherits the list, and must leave what is its parent's alone.
    pid: int = field(default_factory=os.getpid)
