"""What the package says and does today, as files: nothing of it may change unnoticed.

Each area is recorded by a program of its own (`record.py`) and compared with the files in
``expected``.  After a change that is meant::

    python -m pytest tests/golden --regolden

writes them anew, and the diff of the commit shows what users will see otherwise.
"""

from __future__ import annotations

import difflib
import os
import shutil
import subprocess
import sys
from itertools import islice
from pathlib import Path

import pytest

HERE = Path(__file__).parent
EXPECTED = HERE / "expected"
AREAS = (
    "signatures",
    "wire",
    "reviews",
    "errors",
    "reports",
    "commands",
    "calls",
    "rest",
    "plugin",
)
MOST_SECONDS = 500
"""For one area, which takes a few seconds; a machine may be very busy."""

MOST_DIFF_LINES = 200
MOST_BYTES = 100_000
"""A file that nobody can read in a diff is no record; what is bulky is hashed."""

QUIET = {
    "COLUMNS": "200",
    "LC_ALL": "C.UTF-8",
    "MPLBACKEND": "Agg",
    "NO_COLOR": "1",
    "PYTHONHASHSEED": "0",
    "PYTHONUTF8": "1",
    "TERM": "dumb",
    "TWISTREAM_ENV_FILE": "",
    "TZ": "UTC",
}


def record(area: str, folder: Path) -> dict[str, str]:
    """Have the records of an area made; return them by the names of their files."""
    work, made = folder / "work", folder / "made"
    for each in (work, made):
        each.mkdir()
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "JUPYTER", "IPYTHON", "TWISTREAM_", "FORCE_COLOR"))
    }
    environment = kept | QUIET | {"HOME": str(folder), "MPLCONFIGDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, HERE / "record.py", area, made],
        cwd=work,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=MOST_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {path.name: path.read_text(encoding="utf-8") for path in made.iterdir()}


@pytest.mark.timeout(MOST_SECONDS + 20)
@pytest.mark.parametrize("area", AREAS)
def test_nothing_that_users_see_has_changed(area, tmp_path, pytestconfig):
    now = record(area, tmp_path)
    folder = EXPECTED / area
    if pytestconfig.getoption("--regolden", default=False):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, text in now.items():
            (folder / name).write_text(text, encoding="utf-8")
    before = {path.name: path.read_text(encoding="utf-8") for path in folder.iterdir()}
    diff = [
        line
        for name in sorted(before.keys() | now.keys())
        for line in difflib.unified_diff(
            before.get(name, "").splitlines(),
            now.get(name, "").splitlines(),
            f"expected/{area}/{name}",
            f"now/{area}/{name}",
            lineterm="",
        )
    ]
    if diff:
        more = len(diff) - MOST_DIFF_LINES
        lines = [*islice(diff, MOST_DIFF_LINES), *([f"… {more} more lines"] if more > 0 else [])]
        pytest.fail("\n".join(lines), pytrace=False)


def test_every_area_has_its_files_and_every_folder_its_area():
    assert {path.name for path in EXPECTED.iterdir()} == set(AREAS)


def test_the_files_can_be_read_in_a_diff():
    large = {
        str(path.relative_to(EXPECTED)): path.stat().st_size
        for path in EXPECTED.rglob("*.txt")
        if path.stat().st_size > MOST_BYTES
    }
    assert large == {}
