"""What is said of a list of clips that holds something else."""

from __future__ import annotations

from typing import NoReturn

from twistream_kit.errors import WrongType


def refuse_item(name: str, number: int, value: object) -> NoReturn:
    """Refuse an item of a list of clips: say which one it is, and how a clip is made of it.

    Raises:
        WrongType: Always.
    """
    how = "kit.load_clip(path) makes one of a sound file"
    if hasattr(value, "__array__"):
        how = "kit.Clip.from_samples(samples, sample_rate) makes one of samples"
    raise WrongType(f"{name}[{number}] is of type {type(value).__name__}, not Clip; {how}")
