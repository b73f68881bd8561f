"""How the kernel of this notebook handles buttons while a cell runs (measured).

ipykernel 6 handles a click only after the running cell has ended, even one that awaits.  7.0 to 7.3
handle it at once, on another thread.  7.4 sends the next message of a widget to the thread that
handled the parent of its last one, so a button may wait behind a blocking cell; an attribute of its
comm changes that.

The other thread is a *subshell*, which handles the messages of widgets while the main one runs a
cell; a front end has to request it.  JupyterLab 4.4 and newer and Notebook 7.4 and newer request
one as soon as a widget is shown, unless their setting ``commsOverSubshells`` is off; other front
ends never do.
"""

from __future__ import annotations

import importlib.metadata as metadata
import sys
from typing import Any

SUBSHELLS_SINCE = (7, 0)
"""The first ipykernel with subshells."""

OLD_KERNEL = "A cell is running: on this kernel, buttons wait until it ends."

NO_SUBSHELL = "A cell is running: with this front end, buttons may wait until it ends."


def explain_button_delay() -> str:
    """Return why clicks wait for a running cell; "" if they do not, or if no kernel runs."""
    if do_buttons_wait():
        return OLD_KERNEL
    # A private interface; without it, the result is "".
    thread = getattr(find_kernel(), "shell_channel_thread", None)
    ask = getattr(getattr(thread, "manager", None), "list_subshell", None)
    return NO_SUBSHELL if ask is not None and not ask() else ""


def do_buttons_wait() -> bool:
    """Whether a click is handled only after the running cell has ended."""
    version = read_ipykernel_version()
    return version is not None and version < SUBSHELLS_SINCE


class CellWatch:
    """Tracks whether a cell is running, by IPython's own events."""

    def __init__(self) -> None:
        self.is_running = False
        shell = sys.modules["IPython"].get_ipython() if find_kernel() is not None else None
        if shell is not None:
            self.is_running = True  # this constructor runs in a cell
            shell.events.register("pre_run_cell", self._begin)
            shell.events.register("post_run_cell", self._end)
        self._shell = shell

    def close(self) -> None:
        """Unregister from IPython's events."""
        if self._shell is not None:
            self._shell.events.unregister("pre_run_cell", self._begin)
            self._shell.events.unregister("post_run_cell", self._end)
            self._shell = None

    def _begin(self, *_: object) -> None:
        self.is_running = True

    def _end(self, *_: object) -> None:
        self.is_running = False


def answer_on_subshell(widget: Any) -> None:
    """Have a widget's messages handled on a subshell, if the kernel has one.

    It sets an attribute that is private to ipykernel 7.4 and newer; without it, only clicks while a
    cell blocks are handled later.
    """
    comm: Any = getattr(widget, "comm", None)
    if hasattr(comm, "_reply_subshell_for"):
        comm._reply_subshell_for = lambda _message, default: default  # noqa: SLF001 - see above


def find_kernel() -> Any:
    """Return the kernel of this process, or None outside of one."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return getattr(shell, "kernel", None)


def read_ipykernel_version() -> tuple[int, ...] | None:
    """Return the version of the running kernel, or None outside of one."""
    if find_kernel() is None:
        return None
    numbers = metadata.version("ipykernel").split(".")[:2]
    return tuple(int(number) for number in numbers if number.isdigit())
