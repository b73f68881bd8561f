"""How a stream ended, read from its connection (PROTOCOL.md §2.3, §5.1)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from websockets.frames import CloseCode
from websockets.protocol import Protocol

from twistream_kit.simulator.model.assumptions import NORMAL_CLOSE
from twistream_kit.simulator.stream.leg import PROTOCOL_ERROR

BROKEN_PIPE = 31903
"""The connection died without a word (§5.1)."""

CLOSED_BY_SERVER = 31921
"""The server closed the connection, by anything but 1000 [ASM] (§10.5)."""


@dataclass(frozen=True, slots=True)
class StreamEnding:
    """How a stream ended.

    Attributes:
        reason: ``stopped`` (the call ended, or its TwiML was replaced), ``server-closed``,
            ``broken`` (the connection died) or ``protocol-error``.
        close_code: What the server's Close frame said, 1005 for one without status, 1006 for none.
        error_code: What Twilio logs for it, or None.
        detail: Which rule was broken, in the words of our WebSocket library, or empty.
    """

    reason: Literal["stopped", "server-closed", "broken", "protocol-error"]
    close_code: int
    error_code: int | None = None
    detail: str = ""

    @property
    def in_words(self) -> str:
        """What happened, in a sentence."""
        words = _IN_WORDS[self.reason].format(self.close_code)
        return f"{words}: {self.detail}" if self.detail else words


def ending_of(protocol: Protocol, *, broken: bool, stopping: bool, strict: bool) -> StreamEnding:
    """Read from a closed connection how its stream ended.

    Args:
        protocol: The connection's, after it was closed.
        broken: Whether the server said something on a stream that only listens.
        stopping: Whether Twilio's side ended it.
        strict: Whether a close with 1000 is an error as well (§10.5).
    """
    received, sent = protocol.close_rcvd, protocol.close_sent
    code = int(received.code) if received else int(CloseCode.ABNORMAL_CLOSURE)
    if broken:
        return StreamEnding("protocol-error", code, PROTOCOL_ERROR)
    if stopping:
        return StreamEnding("stopped", code)
    if received is not None:
        fine = code == NORMAL_CLOSE and not strict
        return StreamEnding("server-closed", code, None if fine else CLOSED_BY_SERVER)
    if sent is not None and sent.code in _OUR_OBJECTIONS:
        return StreamEnding("protocol-error", code, PROTOCOL_ERROR, sent.reason)
    return StreamEnding("broken", code, BROKEN_PIPE)


_OUR_OBJECTIONS = (CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.MESSAGE_TOO_BIG)

_IN_WORDS = {
    "stopped": "the call ended, or its TwiML was replaced",
    "server-closed": "your server closed the connection with {}",
    "broken": "the connection died without a Close frame",
    "protocol-error": "your server broke a rule of WebSocket",
}
