"""One message in a capture, and its time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, NamedTuple

from twistream_kit.capture.message_text import describe_message
from twistream_kit.errors import quote
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

    def __repr__(self) -> str:
        size = f", {self.size} bytes of sound" if self.size else ""
        return f"<Entry at {self.at:.3f} s: {describe_message(self.message)}{size}>"


class StatusReport(NamedTuple):
    """A status of a call that Twilio reported, and its time.

    Attributes:
        at: The time in seconds since the start of the capture.
        name: Twilio's name of the status: ``ringing``, ``completed``, ``stream-started`` …
    """

    at: float
    name: str

    def __repr__(self) -> str:
        return f"<StatusReport {self.name} at {self.at:.2f} s>"


class OddText(NamedTuple):
    """An invalid message of the server as it was sent, and its time.

    Attributes:
        at: The time in seconds since the start of the capture.
        text: Text, or bytes for a binary message.
    """

    at: float
    text: str | bytes

    def __repr__(self) -> str:
        return f"<OddText at {self.at:.2f} s: {quote(self.text, 100)}>"
