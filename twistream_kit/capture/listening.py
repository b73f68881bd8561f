"""The two voices of a capture as sound."""

from __future__ import annotations

import wave
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.write import replacing
from twistream_kit.capture.entry import Entry
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.playout import BYTES_PER_SECOND

SILENCE = b"\xff"
"""PCMU for the sample 0."""

_LEAD_IN_SECONDS = 0.1
"""Twilio's first media comes within this of the start message (§2.3); more is a real gap."""


def caller(entries: Iterable[Entry]) -> Clip:
    """Put the caller's media together, in time from the start of the capture.

    Messages that are missing by their chunk numbers, or whose sound was not kept, are silence.
    """
    sound = bytearray()
    expected = 0
    for entry in entries:
        message = entry.message
        if not isinstance(message, from_twilio.Media) or message.track != "inbound":
            continue
        here = int(entry.at * BYTES_PER_SECOND)
        if not expected and entry.at > _LEAD_IN_SECONDS:
            sound += SILENCE * here
        elif message.chunk > expected > 0:
            # Never beyond the present, however wild the numbers of a broken sender are.
            missing = (message.chunk - expected) * entry.size
            sound += SILENCE * max(0, min(missing, here - len(sound)))
        sound += message.payload if entry.is_kept else SILENCE * entry.size
        expected = message.chunk + 1
    return Clip(bytes(sound), "caller")


def write_stereo(path: Path, left: Clip, right: Clip) -> Path:
    """Write two clips side by side as 16-bit PCM at 8000 Hz, the shorter one filled up."""
    n_samples = max(len(left.payload), len(right.payload))
    columns = np.zeros((n_samples, 2), dtype="<i2")
    for column, clip in enumerate((left, right)):
        columns[: len(clip.payload), column] = clip.samples()
    with replacing(path) as file, wave.open(file, "wb") as wav:
        wav.setnchannels(2)
        wav.setsampwidth(2)
        wav.setframerate(BYTES_PER_SECOND)
        wav.writeframes(columns.tobytes())
    return path
