"""What becomes of the exceptions of user code: they end nothing but themselves, and are logged.

A `Guard` around a call of user code keeps its exception from the loop or the thread that makes the
call.  `log_user_error` logs one with the frames of the user only, and marks it, so that a notebook
can print it.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from twistream_kit.user_frames import keep_user_frames

logger = logging.getLogger("twistream_kit")


class Guard:
    """A context manager around user code: an exception is reported and not propagated.

    `asyncio` propagates SystemExit and KeyboardInterrupt from a task or a callback through
    ``run_forever``, and `concurrent.futures` propagates every BaseException from a done-callback:
    one ``sys.exit()`` in user code would end the thread that all calls share.

    >>> with Guard("a listener failed") as guard:
    ...     raise SystemExit(3)
    >>> guard.error
    SystemExit(3)

    Args:
        message: The message to log with the traceback.
        loop: The loop whose exception handler gets the error instead of the log.
        of_user: Whether the code is the user's; see `report`.

    Attributes:
        error: The exception that was raised, or None.
    """

    __slots__ = ("_loop", "_message", "_of_user", "error")

    def __init__(
        self,
        message: str,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        of_user: bool = False,
    ) -> None:
        self._message = message
        self._loop = loop
        self._of_user = of_user
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if error is None:
            return False
        self.error = error
        report(self._message, error, self._loop, of_user=self._of_user)
        return True


def report(
    message: str,
    error: BaseException,
    loop: asyncio.AbstractEventLoop | None = None,
    *,
    of_user: bool = False,
) -> None:
    """Log an error with its traceback, or pass it to the exception handler of `loop`.

    An error of the user's code is logged with the user's frames only, and marked, so that a
    notebook can print it (`notebook.runtime.failures`).
    """
    with suppress(BaseException):  # a logging handler may be user code, too
        if of_user:
            log_user_error(logger, message, error)
        elif loop is None:
            logger.error("%s", message, exc_info=error)
        else:
            loop.call_exception_handler({"message": message, "exception": error})


OF_USER = "is_of_user"
"""The attribute of a log record that tells of an error in the user's code."""


def log_user_error(
    to: logging.Logger, message: str, error: BaseException, values: dict[str, Any] | None = None
) -> None:
    """Log an error that the user's code raised, with the user's frames only."""
    frames = keep_user_frames(error.__traceback__)
    to.error(
        "%s",
        message,
        exc_info=(type(error), error, frames),
        extra={**(values or {}), OF_USER: True},
    )


def format_error(error: BaseException) -> str:
    """Return the class and the text of `error` in one line; its class may be the user's."""
    name = type(error).__name__
    try:
        text = str(error)
    except BaseException:  # noqa: BLE001 - __str__ may be user code
        text = "(its text cannot be had)"
    return f"{name}: {text}" if text else name
