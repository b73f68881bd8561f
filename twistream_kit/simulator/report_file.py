"""Where a report and its sounds are kept: a file of one kind, or a folder with all of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from twistream_kit.errors import SettingsError

if TYPE_CHECKING:
    from twistream_kit.simulator.report import CallReport

KINDS = {
    ".wav": "heard.wav",
    ".jsonl": "messages.jsonl",
    ".json": "report.json",
}
"""What was heard, the messages with their times, the report; and their names in a folder."""


def files_for(target: Path) -> list[Path]:
    """Return the files that `save_report` would write, so that a fault shows before the call.

    Raises:
        SettingsError: If `target` is neither a folder nor a file of one of the three kinds, or
            stands in a folder that is not there.
    """
    if target.is_dir() or not target.suffix:
        return [target / name for name in KINDS.values()]
    if target.suffix not in KINDS:
        raise SettingsError(
            f"a call cannot be kept as {target.name}",
            fix="Give a folder, or a file that ends in .wav, .jsonl or .json",
        )
    if not target.parent.is_dir():
        raise SettingsError(f"{target.parent} is not a folder", fix="Make it first")
    return [target]


def save_report(report: CallReport, target: Path) -> list[Path]:
    """Write `report` to a file, or all there is into a folder; return what was written."""
    files = files_for(target)
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        match file.suffix:
            case ".wav":
                report.heard.save(file)
            case ".jsonl":
                report.capture.save(file)
            case _:
                file.write_text(json.dumps(report.to_dict(), indent=2) + "\n", encoding="utf-8")
    return files
