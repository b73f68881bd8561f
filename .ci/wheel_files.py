"""What the wheel holds besides the package: the files that ``twistream tutorial`` writes.

hatchling calls it; the patterns are in pyproject.toml.  An editable installation gets no copies: it
finds the files in the checkout (`twistream_kit/tutorial/folder.py`).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

INTO = "twistream_kit/tutorial/files"
"""Where they are in the wheel."""


class TutorialFiles(BuildHookInterface):
    """Adds the files to a wheel that is built to be installed elsewhere."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Add them to `build_data`; `version` is "editable" or "standard"."""
        if version == "editable":
            return
        root = Path(self.root)
        for pattern in self.config["files"]:
            found = sorted(root.glob(pattern))
            if not found:
                raise FileNotFoundError(f"{root} holds no {pattern}, which the wheel needs")
            for path in found:
                name = path.relative_to(root).as_posix()
                build_data["force_include"][str(path)] = f"{INTO}/{name}"
