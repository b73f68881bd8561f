"""What an ordinary call to a server is like, before any fault: what all rows are compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from twistream_kit.simulator.stream.ending import StreamEnding

MEANT_CODES = frozenset({1000, 1001, 1005})
"""Codes of a Close frame by which a server ends a stream because it wants to."""

APPLICATION_CODES = range(4000, 5000)
"""Codes that a program may give a meaning of its own (RFC 6455 §7.4.2)."""

BROKEN_CODE = 1006
"""That no Close frame came."""


def is_meant(code: int) -> bool:
    """Whether a server that closes with `code` may want to end the stream."""
    return code in MEANT_CODES or code in APPLICATION_CODES


@dataclass(frozen=True, slots=True)
class OrdinaryCall:
    """What a call without a fault is like.

    Attributes:
        seconds: How long it lasted.
        first_sound: The seconds to the first sound of the server, or None if none came.
        sends_marks: Whether the server sent a mark.
        ended: How the server ended it, before the caller hung up; None if it did not.
        answers_close: Whether the server answered the Close frame.
        has_other_sid: Whether messages of the server had another streamSid.
        pause: The longest time in which a server that goes on sounding sent nothing, in seconds;
            None if it fell silent for good.
        hang_up_code: The code of its Close frame when the caller hung up; None if the server had
            ended the call.
    """

    seconds: float
    first_sound: float | None
    sends_marks: bool
    ended: StreamEnding | None
    answers_close: bool
    has_other_sid: bool = False
    pause: float | None = None
    hang_up_code: int | None = None

    @property
    def problem(self) -> str:
        """Why no fault can be tried, since an ordinary call does not work; or empty."""
        if self.has_other_sid:
            return "messages of the server have a streamSid that is not the one of start"
        if self.ended is not None and not is_meant(self.ended.close_code):
            return say_ended(self.ended, self.seconds)
        return ""

    def __str__(self) -> str:
        said = (
            "the server said nothing, so only that it keeps the connection can be seen"
            if self.first_sound is None
            else f"the first sound after {self.first_sound * 1000:.0f} ms"
        )
        if self.first_sound is not None and self.ended is None and self.pause is None:
            said += ", and none later"
        if self.ended is not None:
            said += f"; {say_ended(self.ended, self.seconds)}"
        elif not self.answers_close:
            said += "; the Close frame at its end was not answered"
        elif self.hang_up_code not in {None, *MEANT_CODES}:
            said += f"; at its end there was {name_code(self.hang_up_code or 0)}"
        return said


UNKNOWN = OrdinaryCall(0.0, None, sends_marks=False, ended=None, answers_close=True)
"""Before it is measured."""


def find_pause(sounds: Sequence[float], end: float, longest_pause: float) -> float | None:
    """Return the longest pause of a server that goes on sounding.

    Args:
        sounds: When messages with sound came, in seconds, ascending.
        end: Until when they were counted.
        longest_pause: A longer pause before the end is no pause any more.

    Returns:
        The seconds, or None if the server fell silent, or said nothing.
    """
    if not sounds or end - sounds[-1] > longest_pause:
        return None
    return max(later - sooner for sooner, later in zip(sounds, [*sounds[1:], end], strict=True))


def say_ended(ending: StreamEnding, seconds: float) -> str:
    """Say how a stream ended by itself, after so many seconds."""
    if ending.reason == "broken":
        how = "the connection broke without a Close frame (1006)"
    elif ending.reason == "protocol-error":
        how = f"the WebSocket protocol was violated ({ending.ended.in_words})"
    else:
        how = f"the server closed with {name_code(ending.close_code)}"
    return f"{how} {seconds:.1f} s after the start"


def name_code(code: int) -> str:
    """Return a code of a Close frame, and what it means."""
    names = {
        1000: "1000 (normal)",
        1001: "1001 (going away)",
        1002: "1002 (protocol error)",
        1005: "no code (1005)",
        1006: "no Close frame (1006)",
        1007: "1007 (invalid data)",
        1011: "1011 (internal error)",
    }
    return names.get(
        code, f"{code} (of the application)" if code in APPLICATION_CODES else str(code)
    )
