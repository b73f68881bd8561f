"""Runs the kit beside the cells of a notebook.

It holds the thread and its event loop, the facts about the kernel, the activity log, and the pump
that updates the widgets.  Nothing here draws or displays.  Begin with `background`; `loop` is the
re-entrant event loop.
"""
