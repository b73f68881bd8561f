"""Every part of the benchmarks works; what it measures is nobody's business here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.chromium import find_chromium

pytestmark = pytest.mark.slow

HERE = Path(__file__).parent
RUN = HERE.parent / "benchmarks" / "run.py"

PARTS = {
    "codec": "encode",
    "server": "server CPU, bare websockets echo",
    "echo": "server CPU, echo by speak",
    "calls": "calls on one core, echo by speak: late over 5 ms, beyond the bare echo",
    "clear": "clear → silence at the phone",
    "inspector": "inspector, added delay one way, 1 call",
    "heads": "loop held by 10 heads",
    "simulator": "simulator, 1 call",
    "ten_minutes": "through the plain objects",
    "payload": "windows of wrong coding found",
    "faults": "reported faults drawn anew",
    "capture": "loaded, summarised and drawn",
    "parsers": "reader, capture: grows like",
    "import": "over a bare interpreter",
}


def run(*args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(RUN), *args], capture_output=True, text=True, timeout=60
    )


@pytest.mark.parametrize("part", PARTS)
def test_each_part_of_the_benchmarks_prints_its_line_of_the_table(part):
    done = run("--tiny", part)
    assert done.returncode == 0, done.stderr
    table = done.stdout.partition("what ")[2]
    assert PARTS[part] in table
    assert done.stderr == ""


@pytest.mark.browser
@pytest.mark.skipif(
    not (find_chromium() or os.environ.get("TWISTREAM_REQUIRE_BROWSER")),
    reason="no Chromium on PATH; set TWISTREAM_REQUIRE_BROWSER=1 to make this a failure",
)
def test_the_way_to_the_ear_is_measured_in_a_browser():
    done = run("--tiny", "ear")
    assert done.returncode == 0, done.stderr
    for way in ("kernel → ear", "ear → kernel"):
        for state in ("idle", "a cell sleeps", "a cell computes"):
            assert re.search(rf"{way}, {state}: median and p95 +\d+ and \d+ ms", done.stdout)
    clicks = r"click on Clear → silence at the ear, \d+ clicks: median and p95 +-?\d+ and -?\d+ ms"
    assert re.search(clicks, done.stdout)


def test_without_a_browser_the_way_to_the_ear_is_left_out_in_words(monkeypatch):
    monkeypatch.setenv("PATH", "")
    done = run("--tiny", "ear")
    assert done.returncode == 0, done.stderr
    assert "left out: there is no Chromium on PATH" in done.stdout


def test_the_benchmarks_know_all_their_parts_by_name():
    done = run("nonsense")
    assert done.returncode == 2
    assert all(part in done.stderr for part in PARTS)


def test_the_table_of_the_benchmarks_says_which_machine_it_was():
    assert "cores" in run("--tiny", "import").stdout
