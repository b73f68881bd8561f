"""Shows in a notebook, in few lines, the errors of others that one of ours led to.

IPython asks our own errors for their text (`user_frames`).  It does not ask where ours is only the
cause of what was raised: of an error of the user's, of the group of a `TaskGroup`, of the
TimeoutError of `asyncio.wait_for`, of what ends a thread.  IPython lets one function handle the
exceptions of some classes.  Ours gives those errors a text, and leaves all others to IPython as
they are.  If somebody has set such a function before, theirs stays.

A script shows a traceback as Python does: nothing is set where no IPython runs.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

from twistream_kit.user_frames import (
    find_shell,
    is_verbose,
    render,
    render_handled,
    step_back,
    walk_frames,
)

Adviser = Callable[[BaseException, TracebackType | None], Callable[[], list[str]] | None]
"""Returns what makes the text of an error, or None for an error that it does not know."""

_MOST_ERRORS = 1000
"""How many errors are looked at: of a chain, and of all groups in it."""

_advisers: list[Adviser] = []

_earlier_hook: Callable[[threading.ExceptHookArgs], object] | None = None
"""What shows the errors of threads, before ours was set."""


def shorten_in_cells(adviser: Adviser | None = None) -> None:
    """Have such errors shown in few lines in this notebook, unless somebody handles errors already.

    Args:
        adviser: Asked before, for the text of an error of somebody else.
    """
    global _earlier_hook  # noqa: PLW0603 - the hook is one of the process
    if adviser is not None and adviser not in _advisers:
        _advisers.append(adviser)
    shell = find_shell()
    if shell is None:
        return
    if not shell.custom_exceptions:
        shell.set_custom_exc((BaseException,), _show)
    if _earlier_hook is None:  # once, for another hook that is set later may call this one
        _earlier_hook = threading.excepthook
        threading.excepthook = _show_of_thread


def is_led_to_by_ours(error: BaseException) -> bool:
    """Whether an error of ours led to `error`, is part of it, or was interrupted by it."""
    if isinstance(error, KeyboardInterrupt) and any(map(_is_frame_of_ours, _list(error))):
        return True
    seen: set[int] = set()
    open_ones: list[BaseException | None] = [error]
    while open_ones and len(seen) < _MOST_ERRORS:
        each = open_ones.pop()
        if each is None or id(each) in seen:
            continue
        seen.add(id(each))
        if _is_package(type(each).__module__) or _is_explained(each):
            return True
        open_ones.append(step_back(each))
        if isinstance(each, BaseExceptionGroup):
            open_ones.extend(each.exceptions)
    return False


def _is_explained(error: BaseException) -> bool:
    """Whether it ended a wait for a `Pending`, which has said beside it what goes on."""
    return getattr(error, "__dict__", {}).get("_render_traceback_") is render_handled


def _list(error: BaseException) -> list[TracebackType]:
    return list(walk_frames(error.__traceback__))


def _is_frame_of_ours(traceback: TracebackType) -> bool:
    return _is_package(str(traceback.tb_frame.f_globals.get("__name__")))


def _is_package(module: object) -> bool:
    return str(module).partition(".")[0] == "twistream_kit"


def _make_text(error: BaseException, traceback: TracebackType | None) -> list[str] | None:
    """Return the lines to show of `error`; None if IPython shows it as ever."""
    own = getattr(error, "_render_traceback_", None)
    if own is not None:
        return own() if _is_package(type(error).__module__) or _is_explained(error) else None
    for adviser in _advisers:
        if (make := adviser(error, traceback)) is not None:
            return make()
    if is_verbose() or isinstance(error, SyntaxError) or not is_led_to_by_ours(error):
        return None
    return render(error)


def _show(
    shell: Any,
    kind: type[BaseException],
    error: BaseException,
    traceback: TracebackType | None,
    tb_offset: int | None = None,
) -> None:
    lines = None
    with suppress(Exception):  # its class may be the user's
        lines = _make_text(error, traceback)
    if lines is None:
        # As IPython itself shows what a cell raised.
        raised = kind, error, traceback
        shell.showtraceback(raised, tb_offset=tb_offset, running_compiled_code=True)
        return
    # `showtraceback` would have Python print a group, and an error with a group behind it.
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, traceback  # for %tb, %debug
    if sys.version_info >= (3, 12):
        sys.last_exc = error
    shell._showtraceback(kind, error, lines)  # noqa: SLF001 - IPython's classes override it
    if shell.call_pdb:
        shell.debugger(force=True)


def _show_of_thread(ended: threading.ExceptHookArgs) -> None:
    error = ended.exc_value
    with suppress(Exception):
        if error is not None and not is_verbose() and is_led_to_by_ours(error):
            name = ended.thread.name if ended.thread is not None else "that has ended"
            text = "\n".join([f"Exception in thread {name}:", *render(error)])
            sys.stderr.write(f"{text}\n")
            return
    if _earlier_hook is not None:
        _earlier_hook(ended)
