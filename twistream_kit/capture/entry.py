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
        at: In seconds since the capture was started.
        message: A message of `from_twilio` or `to_twilio`; the payload of a media message is empty
            when it was not kept.
        size: How many bytes of sound it held when it passed; 0 for all but media.
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
        """Whether its sound, if it had any, is still there."""
        return not self.size or bool(getattr(self.message, "payload", b""))

    def __repr__(self) -> str:
        size = f", {self.size} bytes of sound" if self.size else ""
        return f"<Entry at {self.at:.3f} s: {describe_message(self.message)}{size}>"


class StatusReport(NamedTuple):
    """What was reported of a call, and when.

    Attributes:
        at: In seconds since the capture was started.
        name: Twilio's word: ``ringing``, ``completed``, ``stream-started`` …
    """

    at: float
    name: str

    def __repr__(self) -> str:
        return f"<StatusReport {self.name} at {self.at:.2f} s>"


class OddText(NamedTuple):
    """A message of the server as it came, and when.

    Attributes:
        at: In seconds since the capture was started.
        text: Text, or bytes for a binary message.
    """

    at: float
    text: str | bytes

    def __repr__(self) -> str:
        return f"<OddText at {self.at:.2f} s: {quote(self.text, 100)}>"
