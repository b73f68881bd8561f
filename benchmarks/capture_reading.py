"""The time to load, summarise and draw the capture of a long call, and to append a message."""

from __future__ import annotations

import io
import tempfile
import time
from pathlib import Path

import numpy as np
from measuring import Figure, alternating

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.plots.call import plot_timeline
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.protocol import from_twilio, to_twilio

SID = f"MZ{1:032x}"


def measure(*, tiny: bool = False) -> list[Figure]:
    """Write the capture of a call of ten minutes, and measure each operation on it."""
    seconds = 6 if tiny else 600
    capture, kept_us = _call(seconds)
    _draw(Capture(SID))  # loads fonts, once per process
    with tempfile.TemporaryDirectory() as folder:
        path = capture.save(Path(folder) / "call.jsonl")
        loaded = Capture.load(path)
        took = alternating(
            1 if tiny else 5,
            load=lambda: _timed(lambda: Capture.load(path)),
            summary=lambda: _timed(loaded.summary),
            draw=lambda: _timed(lambda: _draw(loaded)),
        )
    total = sum(took.values())
    minute, shown = _shown_in_a_log(1 if tiny else 60)
    what = f"a capture of {seconds / 60:g} min"
    return [
        Figure(f"{what}: loaded, summarised and drawn", f"{total:.2f} s", "< 2 s", total < 2),
        Figure(f"{what}: loaded", f"{took['load']:.2f} s"),
        Figure(f"{what}: summarised", f"{took['summary']:.2f} s"),
        Figure(f"{what}: drawn, as PNG", f"{took['draw']:.2f} s"),
        Figure(f"{minute} s of sound shown in a StreamLog", f"{shown:.2f} s", "< 1 s", shown < 1),
        Figure("one message kept", f"{kept_us:.2f} µs", "< 2 µs", kept_us < 2),
    ]


def _call(seconds: int) -> tuple[Capture, float]:
    """Return a capture with 50 messages a second each way, and the µs to append one of them."""
    capture = Capture(SID)
    sound = np.random.default_rng(1).integers(0, 255, 160 * 50 * seconds, dtype=np.uint8).tobytes()
    rows: list[tuple[float, from_twilio.Message | to_twilio.Message]] = []
    for chunk in range(50 * seconds):
        at, frame = chunk * 0.02, sound[160 * chunk : 160 * chunk + 160]
        voice = from_twilio.Media(SID, frame, chunk + 2, "inbound", chunk + 1, chunk * 20)
        rows += [(at + 0.001, voice), (at + 0.002, to_twilio.Media(SID, frame))]
        if chunk % 50 == 49:
            name = f"m{chunk}"
            rows += [
                (at + 0.003, to_twilio.Mark(SID, name)),
                (at + 0.025, from_twilio.Mark(SID, name)),
            ]
    capture.append(from_twilio.Start(SID), 0.0)
    began = time.perf_counter()
    for at, message in rows:
        capture.append(message, at)
    kept_us = (time.perf_counter() - began) / len(rows) * 1e6
    capture.append(from_twilio.Stop(SID), float(seconds))
    return capture, kept_us


def _shown_in_a_log(seconds: int) -> tuple[int, float]:
    """Return the time that an idle log takes to read so many seconds of sound at once."""
    capture = Capture(SID)
    log = StreamLog(capture)
    frame = to_twilio.Media(SID, Clip.tone(440, 0.02).payload)
    for number in range(50 * seconds):
        capture.append(frame, number / 50)
    took = _timed(log._update)
    log.close()
    return seconds, took


def _draw(capture: Capture) -> None:
    plot_timeline(capture).savefig(io.BytesIO(), format="png")


def _timed(work) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
