"""How the kit runs beside the cells.

The thread and its loop, what is known of the kernel, the activity log and the pump of the widgets.
Nothing here draws or displays. Begin with `background`; `loop` is the event loop that can be
entered again.
"""
