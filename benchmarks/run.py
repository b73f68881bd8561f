"""Measure, and print one table: what, the figure, the aim, and whether it was reached.

python benchmarks/run.py            everything, in some ten minutes
python benchmarks/run.py codec      one part, or several
python benchmarks/run.py echo       the ratios of an echo in 40 s; --profile says what they go to
python benchmarks/run.py first_call   from the clone to the first sound, with pip's part
python benchmarks/run.py --tiny     toy sizes: proves that it works, measures nothing
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import sys
import time

from measuring import Figure

PARTS = {
    "codec": "codec",
    "server": "server",
    "asgi": "asgi",
    "calls": "calls_on_a_core",
    "first_sound": "first_sound",
    "memory": "memory",
    "slow_peer": "slow_peer",
    "clear": "clear_latency",
    "ear": "ear_latency",
    "inspector": "inspector_delay",
    "heads": "heads",
    "simulator": "simulator_lateness",
    "load": "load",
    "ten_minutes": "ten_minutes",
    "payload": "payload_review",
    "speech": "speech_detectors",
    "tones": "tones",
    "conversations": "turn_errors",
    "lines": "lines",
    "faults": "fault_answers",
    "capture": "capture_reading",
    "parsers": "parsers",
    "import": "import_time",
}

ON_REQUEST = {
    "echo": "echo",
    "first_call": "first_call",
    "turns": "turn_truth",
    "line_turns": "line_turns",
}
"""The short form of another part, what installs a whole environment, and many calls."""


def main() -> None:
    """Run the requested parts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS | ON_REQUEST)}"
    )
    parser.add_argument("--tiny", action="store_true", help="toy sizes, to see that it works")
    parser.add_argument("--profile", action="store_true", help="of the part echo, also a profile")
    wanted = parser.parse_args()
    parts = PARTS | ON_REQUEST
    if unknown := [part for part in wanted.parts if part not in parts]:
        parser.error(f"there is no part {', '.join(unknown)}; there are {', '.join(parts)}")
    began = time.monotonic()
    figures: list[Figure] = []
    for part in wanted.parts or PARTS:
        print(f"measuring {part} …", flush=True)
        options = {"profile": True} if wanted.profile and part == "echo" else {}
        figures += importlib.import_module(parts[part]).measure(tiny=wanted.tiny, **options)
    print(f"\n{_machine()}, {time.monotonic() - began:.0f} s\n")
    print(table(figures))
    if "parsers" in wanted.parts and any(figure.reached is False for figure in figures):
        sys.exit(1)  # hostile input is no matter of a busy machine


def table(figures: list[Figure]) -> str:
    """Return the figures in columns."""
    verdicts = {True: "yes", False: "NO", None: ""}
    rows = [("what", "figure", "aim", "reached")]
    rows += [(f.what, f.figure, f.aim, verdicts[f.reached]) for f in figures]
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    rows.insert(1, tuple("-" * width for width in widths))
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _machine() -> str:
    python = f"{platform.python_implementation()} {platform.python_version()}"
    load = f", load {os.getloadavg()[0]:.1f} at the end" if hasattr(os, "getloadavg") else ""
    nice = os.nice(0) if hasattr(os, "nice") else 0
    raised = f", run at nice {nice}" if nice else ""
    return f"{os.cpu_count()} cores ({platform.machine()}), {python}{load}{raised}"


if __name__ == "__main__":
    main()
