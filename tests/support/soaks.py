"""Reports of soaks that never were."""

from __future__ import annotations

from typing import Any

from twistream_kit.diagnosis.growth import KINDS, UsageReading, find_growth
from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.diagnosis.load_figure import TIMES
from twistream_kit.diagnosis.soak import SoakReport, SoakWave
from twistream_kit.listing import Series

URL = "ws://127.0.0.1:8080/media"


def make_waves(count: int, *, failed: int = 0, invalid: int = 0) -> list[SoakWave]:
    """Return waves of 20 calls, half a minute apart, the last of which failed or are invalid."""
    return [
        SoakWave(
            n,
            30.0 * (n - 1),
            30.0 * n - 2,
            20,
            int(n > count - failed),
            "was late" if n > count - invalid else "",
        )
        for n in range(1, count + 1)
    ]


def make_readings(count: int, memory_a_wave: float = 0.0) -> list[UsageReading]:
    return [
        UsageReading(30.0 * n, 20 * n, 0, 50 + memory_a_wave * n, 12 + n % 2, 3)
        for n in range(count + 1)
    ]


def soak_of(count: int = 20, *, memory_a_wave: float = 0.0, **others: Any) -> SoakReport:
    """Return a report in which nothing is wrong."""
    limits = {"failed_percent": 0.0, **others.pop("limits", {})}
    readings = others.pop("read", make_readings(count, memory_a_wave))
    found = (
        find_growth(name, readings, limit=limits.get(kind.limit)) for name, kind in KINDS.items()
    )
    values: dict[str, Any] = {
        "url": URL,
        "minutes": count / 2,
        "seconds": 30.0 * count,
        "at_once": 20,
        "call_seconds": 25.0,
        "waves": Series.of(make_waves(count), "waves"),
        "times": {name: Histogram([80.0] * 30) for name in TIMES},
        "late_frames": 0.0,
        "heard_frames": 1000,
        "failures": {},
        "failed_calls": Series.of([], "calls"),
        "limits": limits,
        "growth": Series.of([each for each in found if each is not None], "growths"),
        "readings": Series.of(readings, "readings"),
        "samples": Series.of(readings, "readings"),
        "process": "4711 (python)" if readings else "",
        "faults": Series.of([], "faults"),
        "fault_scale": 1.0,
        "notes": Series.of([], "notes"),
        "ended": "",
        "is_interrupted": False,
        "own_late_ms": Histogram([1.0]),
        "echo_idle_ms": Histogram([0.1]),
        "echo_loaded_ms": Histogram([0.2]),
    }
    return SoakReport(**{**values, **others})
