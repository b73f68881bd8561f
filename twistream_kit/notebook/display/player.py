"""A player in a page, with its sound inside: nothing is fetched, and a saved notebook plays."""

from __future__ import annotations

import struct
from base64 import b64encode
from typing import Any

from numpy.typing import NDArray

from twistream_kit.notebook.display.html import Html, text


def player(samples: NDArray[Any], sample_rate: int, name: object) -> Html:
    """Return a player.

    Args:
        samples: int16, shape ``(n,)`` or ``(n, channels)``.
        sample_rate: In Hz.
        name: What is shown where there is no sound.
    """
    sound = b64encode(wav(samples, sample_rate)).decode("ascii")
    source = f"data:audio/wav;base64,{sound}"
    return Html(f'<audio controls preload="metadata" src="{source}">{text(name)}</audio>')


def wav(samples: NDArray[Any], sample_rate: int = 8000) -> bytes:
    """Wrap 16-bit samples, because not every browser plays μ-law."""
    channels = samples.shape[1] if samples.ndim == 2 else 1
    sound = samples.astype("<i2").tobytes()
    size = 2 * channels
    rates = (sample_rate, size * sample_rate, size, 16)
    form = struct.pack("<4sIHHIIHH", b"fmt ", 16, 1, channels, *rates)
    body = b"WAVE" + form + struct.pack("<4sI", b"data", len(sound)) + sound
    return struct.pack("<4sI", b"RIFF", len(body)) + body
