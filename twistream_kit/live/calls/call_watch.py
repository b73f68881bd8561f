"""Asking how a call ended, when nobody can report it any more.

Status callbacks take the same way as the stream.  When the public address is lost in the middle of
a call, its end would never be known here; the REST API still tells it (PROTOCOL.md §6.2).
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from twistream_kit.errors import CallRefused, ServerStopped, TwistreamError

FIRST_SECONDS = 0.5
"""Before the first question; Twilio ends a call soon after its stream broke (§2.3)."""

LONGEST_SECONDS = 15.0
"""Between two questions, each of which waits twice as long as the one before."""

REFUSALS = 5
"""After how many refusals in a row no more is asked."""


def ask_until(
    known: threading.Event, look: Callable[[], bool], give_up: Callable[[TwistreamError], object]
) -> None:
    """Look again and again, until `known` is set or nobody wants to know; blocks.

    Args:
        known: Set by whoever learns the end, or knows that nobody waits for it.
        look: Asks once, and returns False when there is no use in asking again.
        give_up: Told why, if it cannot be found out.
    """
    pause, refusals = FIRST_SECONDS, 0
    while not known.wait(pause):
        pause = min(2 * pause, LONGEST_SECONDS)
        try:
            if not look():
                return
            refusals = 0
        except ServerStopped as stopped:
            give_up(stopped)
            return
        except CallRefused as refused:
            refusals += 1
            if refusals == REFUSALS:
                give_up(refused)
                return
