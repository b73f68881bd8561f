"""What all benchmarks share: a figure with its aim, rounds that alternate, programs beside us.

Nothing is compared with a figure of another machine or another day.  What is compared runs side by
side, in rounds that alternate, and the medians are divided.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Figure:
    """One line of the table.

    Attributes:
        what: What was measured.
        figure: The result, in words.
        aim: What it should be, or empty when it is only reported.
        reached: Whether the aim was reached; None without one.
    """

    what: str
    figure: str
    aim: str = ""
    reached: bool | None = None


def alternating(rounds: int, **ways: Callable[[], float]) -> dict[str, float]:
    """Measure each variant once a round, every second round in reverse; return the medians."""
    results: dict[str, list[float]] = {name: [] for name in ways}
    for count in range(rounds):
        for name in list(ways)[:: -1 if count % 2 else 1]:
            results[name].append(ways[name]())
    return {name: statistics.median(values) for name, values in results.items()}


def spread(values: list[float], unit: str = "", digits: int = 2) -> str:
    """Return the median of a value of each round, and the smallest and the largest, in words."""
    low, high = (f"{value:.{digits}f}" for value in (min(values), max(values)))
    return f"{statistics.median(values):.{digits}f}{unit} ({low} to {high} in {len(values)} rounds)"


def percentile(values: list[float], share: float) -> float:
    """Return the smallest value that a `share` of all values does not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cores() -> list[int]:
    """Return the numbers of the usable cores; empty if the system has no CPU affinity."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []


@contextmanager
def kept_off_the_first_core() -> Iterator[None]:
    """Leave the first core to the measured program, if there are two."""
    usable = cores()
    if len(usable) > 1:
        os.sched_setaffinity(0, usable[1:])
    try:
        yield
    finally:
        if usable:
            os.sched_setaffinity(0, usable)


def stay_on_the_first_core() -> None:
    """Bind this process to the first core, if the system allows it."""
    if usable := cores():
        os.sched_setaffinity(0, usable[:1])


class Companion:
    """A program of this folder in another process; asked in words, it answers in JSON.

    Use it with ``with``.  Its first line is `hello`.
    """

    def __init__(self, program: str, *args: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, str(HERE / program), *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.hello: Any = None

    def __enter__(self) -> Self:
        self.hello = self._answer()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        self._process.wait(10)
        self._process.stdout.close()

    def ask(self, question: str) -> Any:
        """Send one line; return the answer to it."""
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args[1]} ended: {self._process.wait(10)}")
        return json.loads(line)
