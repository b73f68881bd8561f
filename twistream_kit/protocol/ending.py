"""Who ended a call or a stream, and why: the causes and their words, the same on both sides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from twistream_kit.protocol.to_twilio import PROTOCOL_ERROR

Cause = Literal[
    "callee-hung-up",
    "caller-hung-up",
    "hung-up-by-request",
    "twiml-replaced",
    "twiml-went-on",
    "twiml-ended",
    "stopped-by-request",
    "time-limit",
    "server-closed",
    "handler-failed",
    "server-stopped",
    "protocol-error",
    "connection-lost",
    "tunnel-lost",
    "twilio-stopped",
    "twilio-hung-up",
]
"""All causes; ``twilio-stopped`` says that Twilio sent stop and no more is known."""

CAUSES: dict[Cause, str] = {
    "callee-hung-up": "the callee hung up",
    "caller-hung-up": "the caller hung up",
    "hung-up-by-request": "the call was ended by a request to Twilio's REST API",
    "twiml-replaced": "the call's TwiML was replaced during the stream",
    "twiml-went-on": "the call's TwiML went on and ended the stream",
    "twiml-ended": "the call's TwiML came to its end",
    "stopped-by-request": "the stream was stopped by a request to Twilio's REST API",
    "time-limit": "the call reached its time limit at Twilio",
    "server-closed": "your server closed the connection",
    "handler-failed": "your handler raised an exception",
    "server-stopped": "your server was stopped",
    "protocol-error": "your server broke a rule that ends the stream",
    "connection-lost": "the connection was lost without a Close frame",
    "tunnel-lost": "the tunnel was lost",
    "twilio-stopped": "Twilio ended the stream",
    "twilio-hung-up": "Twilio ended the call",
}
"""What is said of each cause."""

STOPPED_IN_WORDS = "the call ended, or its TwiML was replaced"
"""What a stop message of Twilio means while no more is known (§3)."""

CLOSED_BY_SERVER = 31921
"""Twilio's code for a stream whose connection the server closed, with any code (§5.1)."""

BROKEN_PIPE = 31903
"""Twilio's code for a stream whose connection was lost without a Close frame (§5.1)."""

NORMAL_CLOSURE = 1000
"""The close code that says that the end is meant (RFC 6455 §7.4.1)."""

ABNORMAL_CLOSURE = 1006
"""The close code that stands for no Close frame; it is never sent (RFC 6455 §7.4.1)."""

BY_PEOPLE: frozenset[Cause] = frozenset({"callee-hung-up", "caller-hung-up"})
"""The causes that are no fault of the server: sound that was still queued is nobody's loss."""


@dataclass(frozen=True, slots=True)
class EndCause:
    """Who ended a call or a stream, and why.

    Attributes:
        cause: One of `CAUSES`.
        close_code: The code of the Close frame that ended it (RFC 6455 §7.4); 1005 for a frame
            without a code, 1006 for no frame; None where no connection was closed for it.
        close_reason: The text of the Close frame, at most 123 bytes of UTF-8, or empty.
        detail: What else is known, such as the exception of a handler, or empty.
        is_guess: Whether the cause was concluded and not seen.

    Example:
        >>> EndCause("server-closed", 1000, "done").in_words
        "your server closed the connection (1000 'done')"
    """

    cause: Cause
    close_code: int | None = None
    close_reason: str = ""
    detail: str = ""
    is_guess: bool = False

    @property
    def in_words(self) -> str:
        """A description in one clause, ready for a sentence."""
        words = CAUSES[self.cause]
        if self.close_code is not None and self.cause in ("server-closed", "protocol-error"):
            quoted = f" {self.close_reason!r}" if self.close_reason else ""
            words += f" ({self.close_code}{quoted})"
        if self.detail:
            words += f": {self.detail}"
        return f"{words} (probably)" if self.is_guess else words

    @property
    def error_code(self) -> int | None:
        """The error that Twilio logs for a stream that ended so, or None (§5.1).

        >>> EndCause("server-closed", 1011).error_code
        31921
        """
        return _ERROR_CODES.get(self.cause)

    @property
    def is_error(self) -> bool:
        """Whether Twilio logs an error for it; one for a close with 1000 is expected."""
        is_meant = self.error_code == CLOSED_BY_SERVER and self.close_code == NORMAL_CLOSURE
        return self.error_code is not None and not is_meant

    def __repr__(self) -> str:
        return f"<EndCause {self.cause}: {self.in_words}>"


_ERROR_CODES: dict[Cause, int] = {
    "server-closed": CLOSED_BY_SERVER,
    "handler-failed": CLOSED_BY_SERVER,
    "server-stopped": CLOSED_BY_SERVER,
    "protocol-error": PROTOCOL_ERROR,
    "connection-lost": BROKEN_PIPE,
}


CLOSED_HERE = EndCause("server-closed", NORMAL_CLOSURE)
"""The cause of a stream that `MediaStream.close` ended."""

EndReason = Literal["stop", "far end", "lost", "silent", "closed", "server stopped", "handler"]
"""``stop``: Twilio sent stop.  ``far end``: the peer closed the socket.  ``lost``: the connection
was lost.  ``silent``: no message came before the timeout.  ``closed``: `MediaStream.close` was
called.  ``server stopped``: the server stopped.  ``handler``: the handler raised."""


@dataclass(frozen=True, slots=True)
class StreamEnd:
    """How a stream ended.

    Attributes:
        reason: One of `EndReason`: what was seen of the end.
        cause: Who ended the stream, and why, as it was known at its end; an `EndCause`.  What
            became known later is in `MediaStream.cause`.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url, seconds=0.1).result(10)
        >>> end = server.streams[-1].closed.result(10)
        >>> end.reason, end.cause.cause
        ('stop', 'twilio-stopped')
        >>> end.detail
        'Twilio ended the stream: the call ended, or its TwiML was replaced'
    """

    reason: EndReason
    cause: EndCause

    @property
    def detail(self) -> str:
        """Who ended the stream, and why, as a clause."""
        return self.cause.in_words

    def __repr__(self) -> str:
        return f"<StreamEnd {self.reason}: {self.detail}>"
