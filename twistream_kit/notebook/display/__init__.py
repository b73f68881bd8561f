"""The HTML of every result that a cell may end with.

Nothing here updates while a call runs, and `display` is not imported before a result is shown.
Begin with `display`, the table of classes and their displays; `html` has the markup and the
player.
"""
