"""Find the tones of telephone keys and beeps in a clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.tone_detector import Tone, ToneDetector, read_sound, refuse_file
from twistream_kit.listing import Listing


def find_tones(sound: Clip | bytes | bytearray | NDArray[np.int16]) -> Listing[Tone]:
    """Find the tones of telephone keys (DTMF) and beeps in the sound of a call.

    What is found, and what is not, is said at `ToneDetector`, which does the same for sound that
    still comes.

    Args:
        sound: A clip; PCMU as bytes, without a header; or samples: mono, int16, at 8000 Hz, shape
            ``(n,)``.  Of a call that was kept, the caller is
            ``capture.recording.samples()[:, 0]``, and what they heard ``[:, 1]``.

    Returns:
        The tones, in the order in which they end; times are in seconds of the sound, levels in dB
        relative to a full-scale sine, frequencies in Hz.

    Raises:
        TypeError: If `sound` is none of these.
        LocalProtocolError: If the bytes are a whole WAV file, or another.

    Example:
        >>> import twistream_kit as kit
        >>> for tone in kit.find_tones(kit.Clip.dtmf("4#")):
        ...     print(tone.key, tone.hz, f"{tone.begin:.2f} to {tone.end:.2f} s")
        4 (770.0, 1209.0) 0.00 to 0.10 s
        # (941.0, 1477.0) 0.20 to 0.30 s
    """
    heard: Any = sound.payload if isinstance(sound, Clip) else sound
    samples = read_sound(heard, "find_tones")
    if isinstance(sound, bytes | bytearray):
        refuse_file(sound)
    detector = ToneDetector()
    return Listing.of([*detector.feed(samples), *detector.finish()], "tones")
