"""IPython without a front end: how results look in a notebook."""

from __future__ import annotations

from functools import cache
from typing import Any

from IPython.core.interactiveshell import InteractiveShell
from traitlets.config import Config

# The package tells IPython of its displays when it is imported, so the shell comes first.
_CONFIG = Config()
_CONFIG.HistoryManager.enabled = False
_SHELL = InteractiveShell.instance(config=_CONFIG)


@cache
def _registered() -> None:
    import twistream_kit as kit

    kit._show_richly()  # for the case that it was imported before the shell


def render_html(result: Any) -> str:
    """Return the HTML that a cell would show, or that there is none."""
    _registered()
    html = _SHELL.display_formatter.formatters["text/html"](result)
    return "(no HTML)" if html is None else str(html)
