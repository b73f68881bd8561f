"""Make the records of one area and write them into a folder: ``python record.py AREA FOLDER``.

It is a program of its own, so that counters begin at 1, nothing of other tests is in the process,
and the records may be made side by side.
"""

from __future__ import annotations

import importlib
import logging
import shutil
import sys
import warnings
from pathlib import Path


def main() -> None:
    """Write one file for each page of the area."""
    area, folder = sys.argv[1], Path(sys.argv[2])
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    shutil.copytree(Path(__file__).parents[2] / "sample_audio", "sample_audio")
    from common import steady

    for name, text in importlib.import_module(area).record().items():
        (folder / f"{name}.txt").write_text(steady(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
