"""What ``import twistream_kit`` adds to the start of an interpreter."""

from __future__ import annotations

import subprocess
import sys
import time

from measuring import Figure, alternating


def measure(*, tiny: bool = False) -> list[Figure]:
    """Start interpreters with and without the import, in turn."""
    rounds = 1 if tiny else 41
    _start("import twistream_kit")  # so that what is compiled has been compiled
    seconds = alternating(
        rounds, bare=lambda: _start("pass"), kit=lambda: _start("import twistream_kit")
    )
    added = (seconds["kit"] - seconds["bare"]) * 1000
    bare = seconds["bare"] * 1000
    return [
        Figure("import twistream_kit", f"{added:.1f} ms over a bare interpreter ({bare:.0f} ms)")
    ]


def _start(code: str) -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - started
