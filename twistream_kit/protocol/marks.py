"""How playbacks and marks end: as values, one for each handle."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeGuard

Ending = Literal["heard", "cleared", "lost"]
"""``heard``: Twilio played all of it.  ``cleared``: a clear took it away.  ``lost``: the stream
ended, or the mark never came back."""


def is_ending(text: object) -> TypeGuard[Ending]:
    """Whether `text` names an ending."""
    return text in ("heard", "cleared", "lost")


@dataclass(frozen=True, slots=True)
class PlayOutcome:
    """How a playback ended.

    Attributes:
        ending: ``heard``, ``cleared`` or ``lost``.
        heard_ms: How much of it Twilio had played by then, by the playout model; at most
            `total_ms`.  With the real service the caller's ear is 50 to 300 ms behind (§4).
        total_ms: The duration of the whole.
        handle: The name under which the conversation knows it.
    """

    ending: Ending
    heard_ms: int
    total_ms: int
    handle: str = field(default="", repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class MarkOutcome:
    """How a mark ended.

    Attributes:
        ending: ``heard``, ``cleared`` or ``lost``.
        name: As the user gave it.
        after_ms: Time from asking for it to its return, or to the ending.
        handle: Its unique name on the wire.
    """

    ending: Ending
    name: str
    after_ms: int
    handle: str = field(default="", repr=False, compare=False)
