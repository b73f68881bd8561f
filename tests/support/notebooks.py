"""The notebooks of the repository, and the module that runs and cleans them."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))

DELIBERATE = {"hear_the_caller": "WouldDeadlock: `for` over a stream runs on the event loop"}
"""What the handler of a notebook raises on purpose, and is therefore printed."""


def load_run_and_clean() -> Any:
    """Load ``notebooks/run_and_clean.py``, which is in no package."""
    spec = importlib.util.spec_from_file_location("run_and_clean", FOLDER / "run_and_clean.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read(path: Path) -> Any:
    """Read a notebook."""
    import nbformat  # takes four seconds of a core, which the other workers save

    return nbformat.read(path, as_version=4)
