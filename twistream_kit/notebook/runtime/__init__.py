"""How the kit runs beside the cells.

The thread and its loop, the kernel's versions, and the activity log. Nothing here draws or
displays. Begin with `background`; `loop` is the event loop that can be entered again and `kernel`
what is known of the kernel.
"""
