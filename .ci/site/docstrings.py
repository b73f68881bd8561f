"""How mkdocstrings reads our docstrings: examples as code, and public names as links."""

from __future__ import annotations

import re
from typing import Any

import griffe

import twistream_kit as kit

_HOMES = {name: f"{home}.{name}" for name, home in kit._HOME_OF.items()}  # noqa: SLF001
_NAME = re.compile(r"(?<![`\w])`([A-Za-z_]+)`(?!`)")


class OurDocstrings(griffe.Extension):
    """Reads `Example:` as a section of code, which griffe knows as `Examples:` only."""

    def on_object(self, *, obj: griffe.Object, **_others: Any) -> None:
        """Change the docstring of one object."""
        if obj.docstring is None:
            return
        prose, head, example = obj.docstring.value.partition("\nExample:\n")
        own = obj.name
        linked = _NAME.sub(
            lambda name: (
                f"[`{name[1]}`][{_HOMES[name[1]]}]"
                if name[1] in _HOMES and name[1] != own
                else name[0]
            ),
            prose,
        )
        obj.docstring.value = linked + (f"\nExamples:\n{example}" if head else "")
