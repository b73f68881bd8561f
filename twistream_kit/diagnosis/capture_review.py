"""What Twilio, or the caller's ear, would object to in all that a server sent on one call."""

from __future__ import annotations

from dataclasses import dataclass

from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.message import review
from twistream_kit.diagnosis.sound import mistake_in, review_sound
from twistream_kit.protocol.objection import Objection


@dataclass(slots=True)
class Mistake:
    """The same objection, as often as it applied.

    Attributes:
        objection: As it was the first time.
        at: When that was, in seconds since the start; None for one to the sound as a whole.
        times: To how many messages it applied.
    """

    objection: Objection
    at: float | None
    times: int = 1

    @property
    def place(self) -> str:
        """When it first applied, and to how many more messages, in words."""
        if self.at is None:
            return "sound"
        more = "" if self.times == 1 else f" and {self.times - 1} more"
        return f"{self.at:.2f} s{more}"


def review_capture(capture: Capture, *, stream_sid: str | None = None) -> list[Mistake]:
    """Say what is to be objected to in the messages of a server, and in the sound they made.

    Each mistake stands there once, in the order of time, those of the sound last.

    Args:
        capture: Of the call.
        stream_sid: The stream that the messages should be for; that of the capture if not given.
    """
    expected = stream_sid or capture.stream_sid or None
    found: dict[tuple[int | None, str, str], Mistake] = {}
    sent: list[tuple[float, str | bytes]] = [
        (entry.at, entry.message.to_json())
        for entry in capture.entries
        if entry.sender == "server" and entry.is_kept
    ]
    for at, message in sorted([*sent, *capture.odd], key=lambda each: each[0]):
        for objection in review(message, stream_sid=expected):
            mistake = found.setdefault(_key(objection), Mistake(objection, at, 0))
            mistake.times += 1
    for objection in review_sound(capture):
        found.setdefault(_key(objection), Mistake(objection, None))
    return list(found.values())


def _key(objection: Objection) -> tuple[int | None, str, str]:
    return objection.code, *mistake_in(objection)
