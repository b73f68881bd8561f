"""From ``stream.clear()`` in a cell to the end of the last audible frame at the phone.

Server and simulator run on the kit's own loop, in the process that says ``clear``, as they do in
a notebook: once idle, once beside a thread that computes in pure Python without end.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from measuring import Figure, percentile, spread

import twistream_kit as kit
from twistream_kit.protocol.from_twilio import PTIME_MS

NUMBER = "+15550100001"
STATES = {"idle": "idle", "busy": "beside busy Python"}
AIMS_MS = {"idle": 12, "busy": 16}


def measure(*, tiny: bool = False) -> list[Figure]:
    """Interrupt a long tone again and again, in alternating rounds idle and busy."""
    trials, rounds = (2, 1) if tiny else (40, 5)
    found: dict[str, list[list[float]]] = {name: [] for name in STATES}
    with _call() as (stream, phone):
        for _ in range(rounds):
            found["idle"].append(_try_phases(stream, phone, trials))
            with _busy_python():
                found["busy"].append(_try_phases(stream, phone, trials))
    return [figure for name in STATES for figure in _describe(name, found[name])]


def _describe(name: str, rounds: list[list[float]]) -> list[Figure]:
    delays = [delay for each in rounds for delay in each]
    what, aim = f"clear → silence at the phone, {len(delays)} trials, {STATES[name]}", AIMS_MS[name]
    median = percentile(delays, 0.5)
    medians = spread([percentile(each, 0.5) for each in rounds], " ms", 1)
    return [
        Figure(
            f"{what}: median",
            f"{median:.1f} ms; of each round {medians}",
            f"≤ {aim} ms",
            median <= aim,
        ),
        Figure(f"{what}: p99", f"{percentile(delays, 0.99):.1f} ms"),
    ]


@contextmanager
def _call() -> Iterator[tuple[kit.MediaStream, kit.Phone]]:
    twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
    server = kit.start(kit.StreamServer())
    try:
        phone = twilio.phone(NUMBER)
        kit.place_call(
            twilio.client, to=NUMBER, from_=twilio.numbers[0], stream_url=server.stream_url
        ).result(10)
        yield server.next_stream().result(10), phone
    finally:
        kit.stop()


def _try_phases(stream: kit.MediaStream, phone: kit.Phone, trials: int) -> list[float]:
    """Clear at evenly spread phases within a frame, in random order.

    The delay depends on the phase by up to a frame, so that with phases at random the median of a
    few hundred trials would still be uncertain by a millisecond.
    """
    phases = [(count + 0.5) / trials * PTIME_MS / 1000 for count in range(trials)]
    return [_trial(stream, phone, phase) for phase in random.sample(phases, trials)]


def _trial(stream: kit.MediaStream, phone: kit.Phone, phase: float) -> float:
    """Return the milliseconds that the caller still heard sound for."""
    playing = stream.play(kit.Clip.tone(440, 3.0))
    playing.heard(0.04).result(5)
    time.sleep(phase)
    cleared = time.monotonic()
    stream.clear()
    assert playing.result(5).ending == "cleared"
    time.sleep(2 * PTIME_MS / 1000)  # until the remaining sound has been heard
    ear = phone.call.handset.ear
    return max(0.0, (ear.last_audible_at - cleared) * 1000 + PTIME_MS)


@contextmanager
def _busy_python() -> Iterator[None]:
    stop = threading.Event()
    thread = threading.Thread(target=_compute, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def _compute(stop: threading.Event) -> None:
    total = 0
    while not stop.is_set():
        for number in range(1000):
            total += number * number
