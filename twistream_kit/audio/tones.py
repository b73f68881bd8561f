"""Find the tones of telephone keys and beeps in a clip."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.tone_detector import Tone, ToneDetector
from twistream_kit.errors import WrongType
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

    Example:
        >>> import twistream_kit as kit
        >>> for tone in kit.find_tones(kit.Clip.dtmf("4#")):
        ...     print(tone.key, tone.hz, f"{tone.begin:.2f} to {tone.end:.2f} s")
        4 (770.0, 1209.0) 0.00 to 0.10 s
        # (941.0, 1477.0) 0.20 to 0.30 s
    """
    heard: Any = sound.payload if isinstance(sound, Clip) else sound
    if not isinstance(heard, bytes | bytearray | np.ndarray):
        raise WrongType(
            "find_tones() takes a Clip, PCMU as bytes or int16 samples, not "
            f"{type(sound).__name__}; a file is kit.find_tones(kit.load_clip(path))"
        )
    detector = ToneDetector()
    return Listing.of([*detector.feed(heard), *detector.finish()], "tones")
