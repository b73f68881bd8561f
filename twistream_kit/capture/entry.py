"""One message in a capture, and its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twistream_kit.protocol import from_twilio, to_twilio

Message = from_twilio.Message | to_twilio.Message

Sender = Literal["twilio", "server"]

_TO_TWILIO = (to_twilio.Media, to_twilio.Mark, to_twilio.Clear)


@dataclass(frozen=True, slots=True)
class Entry:
    """One message and its time.

    Attributes:
        at: The time in seconds since the start of the capture.
        message: A message of `from_twilio` or `to_twilio`; the payload of a media message is empty
            if it was not kept.
        size: How many bytes of sound the message held; 0 for all but media.
    """

    at: float
    message: Message
    size: int = 0

    @property
    def sender(self) -> Sender:
        """``twilio`` or ``server``."""
        return "server" if isinstance(self.message, _TO_TWILIO) else "twilio"

    @property
    def is_kept(self) -> bool:
        """Whether its sound is kept; true for a message without sound."""
        return not self.size or bool(getattr(self.message, "payload", b""))
