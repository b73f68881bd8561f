"""Whether clicks have a thread of their own in the kernel, while a cell runs.

Since ipykernel 7.0 a front end may ask for a *subshell*, a thread that takes widgets' messages
while the main one runs a cell.  JupyterLab 4.4 and newer and Notebook 7.4 and newer ask for one
as soon as a widget is shown, unless their setting ``commsOverSubshells`` is off; others never do.
"""

from __future__ import annotations

from twistream_kit.notebook.runtime.kernel import buttons_wait_for_cells, running_kernel

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
