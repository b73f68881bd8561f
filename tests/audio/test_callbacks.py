"""Ctrl-C while libsndfile reads or writes: it is raised, and nothing is left half-done."""

from __future__ import annotations

import os
import signal
import sys
import threading

import numpy as np
import pytest
import soundfile

from support.captures import capture_of
from twistream_kit.audio import _libsndfile
from twistream_kit.audio.callbacks import call_apart
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.capture import recording
from twistream_kit.protocol import from_twilio, to_twilio

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")

SID = "MZ" + "0" * 32


def press_ctrl_c():
    os.kill(os.getpid(), signal.SIGINT)


def interrupt_within(monkeypatch, cls, method, calls):
    """Let Ctrl-C come while libsndfile is in `method` for the number `calls` time."""
    original, counted = getattr(cls, method), []

    def interrupted(self, *args):
        counted.append(1)
        if len(counted) == calls:
            press_ctrl_c()
        return original(self, *args)

    monkeypatch.setattr(cls, method, interrupted)
    return counted


def record(seconds):
    tone = Clip.tone(440, 10).payload
    sent = [(1.0 + at, to_twilio.Media(SID, tone)) for at in range(0, seconds, 10)]
    return capture_of(SID, (0.0, from_twilio.Start(SID)), *sent).recording


@pytest.mark.parametrize("kind", sorted(recording.FORMATS))
def test_ctrl_c_while_a_recording_is_saved_is_raised_and_leaves_no_file(
    kind, tmp_path, monkeypatch
):
    # In the second write: an Opus file has two pages of headers, whose loss nobody would see.
    calls = interrupt_within(monkeypatch, recording._Target, "write", 2)
    with pytest.raises(KeyboardInterrupt):
        record(120).save(tmp_path / f"call{kind}")
    assert len(calls) >= 2
    assert list(tmp_path.iterdir()) == []


def test_ctrl_c_leaves_the_file_that_was_to_be_replaced(tmp_path, monkeypatch):
    path = tmp_path / "call.opus"
    record(10).save(path)
    before = path.read_bytes()
    interrupt_within(monkeypatch, recording._Target, "write", 2)
    with pytest.raises(KeyboardInterrupt):
        record(120).save(path, overwrite=True)
    assert path.read_bytes() == before


def test_no_more_is_encoded_after_ctrl_c(tmp_path, monkeypatch):
    decoded, pressed = [], threading.Event()
    original = recording.Recording._decode

    def decode(self, first, last):
        decoded.append(first)
        if not pressed.is_set():
            press_ctrl_c()
            pressed.set()
        elif stops:
            assert stops[0].wait(30)
        return original(self, first, last)

    stops = []
    encode = recording.Recording._encode

    def note_stop(self, *args):
        stops.append(args[-1])
        return encode(self, *args)

    monkeypatch.setattr(recording.Recording, "_decode", decode)
    monkeypatch.setattr(recording.Recording, "_encode", note_stop)
    with pytest.raises(KeyboardInterrupt):
        record(600).save(tmp_path / "call.wav")
    assert len(decoded) <= 2, "of eleven minutes"


@pytest.mark.parametrize(
    ("kind", "window"), [("flac", "_Window"), ("mp3", "_Window"), ("mp3", "_Memory")]
)
@pytest.mark.parametrize("calls", [1, 4])
def test_ctrl_c_while_a_file_is_read_is_raised(kind, window, calls, tmp_path, monkeypatch):
    path = tmp_path / f"noise.{kind}"
    seconds = 20 if window == "_Window" else 2
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 16_000 * seconds), 16_000)
    load_clip(path)
    counted = interrupt_within(monkeypatch, getattr(_libsndfile, window), "seek", calls)
    with pytest.raises(KeyboardInterrupt):
        load_clip(path)
    assert len(counted) >= calls


def test_a_call_apart_returns_and_raises_as_it_would_without():
    assert call_apart(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        call_apart(lambda: 1 / 0)


def test_without_a_thread_it_is_done_here(monkeypatch):
    def refuse(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert call_apart(threading.current_thread) is threading.main_thread()
