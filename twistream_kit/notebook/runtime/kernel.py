"""What the kernel under this notebook does with buttons while a cell runs (measured).

ipykernel 6 handles a click only when the running cell has ended, an awaiting one too.  7.0 to 7.3
handle it at once, on another thread.  7.4 sends a widget's next message wherever the parent of its
last one was handled, so a button may wait behind a blocking cell; its comm can be told not to.

The other thread is a *subshell*, which takes widgets' messages while the main one runs a cell; a
front end has to ask for it.  JupyterLab 4.4 and newer and Notebook 7.4 and newer ask for one as
soon as a widget is shown, unless their setting ``commsOverSubshells`` is off; others never do.
"""

from __future__ import annotations

import importlib.metadata as metadata
import sys
from typing import Any

SUBSHELLS_SINCE = (7, 0)
"""The first ipykernel that has them."""

OLD_KERNEL = "A cell is running: on this kernel, buttons wait until it ends."

NO_SUBSHELL = "A cell is running: with this front end, buttons may wait until it ends."


def why_buttons_wait() -> str:
    """Return why clicks wait for a running cell, or "" if they do not, or no kernel runs."""
    if buttons_wait_for_cells():
        return OLD_KERNEL
    # Not a promised interface; where it is missing, nothing is said.
    thread = getattr(running_kernel(), "shell_channel_thread", None)
    ask = getattr(getattr(thread, "manager", None), "list_subshell", None)
    return NO_SUBSHELL if ask is not None and not ask() else ""


def buttons_wait_for_cells() -> bool:
    """Whether a click is handled only after the running cell has ended."""
    version = ipykernel_version()
    return version is not None and version < SUBSHELLS_SINCE


class CellWatch:
    """Knows whether a cell is running, by IPython's own events."""

    def __init__(self) -> None:
        self.is_running = False
        shell = sys.modules["IPython"].get_ipython() if running_kernel() is not None else None
        if shell is not None:
            self.is_running = True  # it is made in a cell
            shell.events.register("pre_run_cell", self._begin)
            shell.events.register("post_run_cell", self._end)
        self._shell = shell

    def close(self) -> None:
        """Listen no more."""
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._begin)
            self._shell.events.unregister("post_run_cell", self._end)
            self._shell = None

    def _begin(self, *_: object) -> None:
        self.is_running = True

    def _end(self, *_: object) -> None:
        self.is_running = False


def answer_on_subshell(widget: Any) -> None:
    """Keep a widget's messages off the shell on which cells run, where the kernel has one.

    It sets an attribute that is private to ipykernel 7.4 and newer; without it nothing is lost
    but the speed of a click while a cell blocks.
    """
    comm: Any = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _message, default: default  # noqa: SLF001 - see above


def running_kernel() -> Any:
    """Return the kernel of this process, or None outside of one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def ipykernel_version() -> tuple[int, ...] | None:
    """Return the version of the running kernel, or None outside of one."""
    if running_kernel() is None:
        return None
    numbers = metadata.version("ipykernel").split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())
