"""The speed of μ-law compared with Python's old audioop, and of `convert_file` for an hour."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import warnings
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from measuring import Companion, Figure, alternating, stay_on_the_first_core

from twistream_kit.audio.convert import convert_file
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw

SAMPLE_RATE = 44100
CHANNELS = 2


def measure(*, tiny: bool = False) -> list[Figure]:
    """Encode and decode 10 M samples, convert an hour of 44.1 kHz stereo."""
    n_samples, rounds, minutes = (10_000, 1, 0.05) if tiny else (10_000_000, 7, 60)
    return [*_codec(n_samples, rounds), *_hour(minutes, 2 if tiny else 3)]


def _codec(n_samples: int, rounds: int) -> list[Figure]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            import audioop
    except ImportError:
        return [Figure("encode and decode beside audioop", "this Python has no audioop", "≥ 4 ×")]
    random = np.random.default_rng(1)
    # Speech uses mostly small samples; noise uses the whole table.
    speech = np.clip(random.laplace(0, 2000, n_samples), -32768, 32767).astype(np.int16)
    noise = random.integers(-32768, 32768, n_samples, np.int16)
    figures = []
    for name, samples in (("speech", speech), ("noise", noise)):
        pcm, payload = samples.tobytes(), encode_ulaw(samples)
        ours, theirs = _beside(
            rounds, lambda s=samples: encode_ulaw(s), lambda p=pcm: audioop.lin2ulaw(p, 2)
        )
        figure = f"{theirs / ours:.1f} × audioop ({ours * 1e9 / n_samples:.2f} ns a sample)"
        reached = theirs / ours >= 4
        figures.append(Figure(f"encode, levels of {name}", figure, "≥ 4 ×", reached))
        ours, theirs = _beside(
            rounds, lambda p=payload: decode_ulaw(p), lambda p=payload: audioop.ulaw2lin(p, 2)
        )
        figure = f"{theirs / ours:.1f} × audioop ({ours * 1e9 / n_samples:.2f} ns a sample)"
        figures.append(Figure(f"decode, levels of {name}", figure))
    return figures


def _beside(
    rounds: int, ours: Callable[[], object], theirs: Callable[[], object]
) -> tuple[float, float]:
    ours()  # builds the tables
    seconds = alternating(rounds, ours=lambda: _seconds(ours), theirs=lambda: _seconds(theirs))
    return seconds["ours"], seconds["theirs"]


def _seconds(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def _hour(minutes: float, rounds: int) -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "long.wav")
        _write_sound(source, minutes)
        megabytes = source.stat().st_size / 1e6
        results = []
        for _ in range(rounds):
            with Companion("codec.py", str(source), str(Path(folder, "out.wav"))) as child:
                results.append(child.hello)
    times = sorted(result["seconds_of_sound"] / result["seconds"] for result in results)
    peak = max(result["peak_mb"] for result in results)
    what = f"convert {minutes:g} min of 44.1 kHz stereo ({megabytes:.0f} MB), one core"
    speed = times[len(times) // 2]
    return [
        Figure(f"{what}: speed", f"{speed:,.0f} × real time", "> 1,000 ×", speed > 1000),
        Figure(f"{what}: resident", f"{peak:.0f} MB at most", "< 150 MB", peak < 150),
    ]


def _write_sound(path: Path, minutes: float) -> None:
    random = np.random.default_rng(2)
    n_samples = int(SAMPLE_RATE * 3)
    seconds = random.normal(0, 3000, (n_samples, CHANNELS)).astype("<i2").tobytes()
    with wave.open(str(path), "wb") as file:
        file.setnchannels(CHANNELS)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        for _ in range(max(1, round(minutes * 20))):
            file.writeframesraw(seconds)


def _peak_megabytes() -> float:
    # Not ru_maxrss: across vfork and exec, Linux includes the parent's memory.
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def _convert_once(source: str, target: str) -> None:
    stay_on_the_first_core()
    started = time.perf_counter()
    converted = convert_file(source, target, overwrite=True)
    seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "seconds": seconds,
                "seconds_of_sound": converted.seconds,
                "peak_mb": _peak_megabytes(),
            }
        )
    )


if __name__ == "__main__":
    _convert_once(*sys.argv[1:])
