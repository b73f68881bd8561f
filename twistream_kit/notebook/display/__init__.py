"""The HTML of every result that a cell may end with.

Nothing here is imported before a result is shown, and nothing here updates while a call runs.
Begin with `display`, the table of classes and their displays; `html` has the markup and the
player.
"""
