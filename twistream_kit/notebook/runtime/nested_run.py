"""Advice below an error that says that a loop runs already: ``asyncio.run`` in a cell.

It is raised by asyncio, not by this package, and asyncio cannot know what a cell can do instead.
Where a cell raises it, the user's line is shown with one line of advice (`cell_errors`).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import partial
from types import TracebackType

from twistream_kit.cell_errors import shorten_in_cells
from twistream_kit.notebook.runtime.loop import HOW_TO_START_A_SERVER
from twistream_kit.user_frames import render_with_advice

_SAID = (
    "cannot be called from a running event loop",
    "This event loop is already running",
    "Cannot run the event loop while another loop is running",
)
"""What asyncio and uvloop say of `run`, `Runner.run` and `run_until_complete`."""

_SERVERS = ("uvicorn", "hypercorn")

ADVICE_FOR_SERVERS = (
    "A cell runs on a loop that runs already. Put the application into mine.py, and start its "
    f"server beside the cells: {HOW_TO_START_A_SERVER}"
)

ADVICE = (
    "A cell runs on a loop that runs already: write `await main()` in place of asyncio.run(main()),"
    " or call kit.allow_nested_asyncio() once."
)


def explain_nested_runs() -> None:
    """Have the advice given in this notebook, unless somebody handles errors already."""
    shorten_in_cells(_choose_text)


def _choose_text(
    error: BaseException, traceback: TracebackType | None
) -> Callable[[], list[str]] | None:
    if type(error) is not RuntimeError or not any(said in str(error) for said in _SAID):
        return None
    _close_coroutines(error)
    return partial(render_with_advice, error, _choose_advice(traceback))


def _choose_advice(traceback: TracebackType | None) -> str:
    while traceback is not None:
        module = str(traceback.tb_frame.f_globals.get("__name__"))
        if module.partition(".")[0] in _SERVERS:
            return ADVICE_FOR_SERVERS
        traceback = traceback.tb_next
    return ADVICE


def _close_coroutines(error: BaseException | None) -> None:
    """Close the coroutine that was not run; Python would print that it was never awaited."""
    while error is not None:
        traceback = error.__traceback__
        while traceback is not None:
            frame = traceback.tb_frame
            if str(frame.f_globals.get("__name__")).startswith(("asyncio.", "uvicorn.")):
                for value in frame.f_locals.values():
                    if inspect.iscoroutine(value):
                        value.close()
            traceback = traceback.tb_next
        error = error.__context__
