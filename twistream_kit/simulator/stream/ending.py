"""How a stream ended: by Twilio's side, by a Close frame, without one, or by an error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from websockets.frames import CloseCode
from websockets.protocol import Protocol

from twistream_kit.protocol.ending import BROKEN_PIPE, CLOSED_BY_SERVER, Cause, EndCause
from twistream_kit.protocol.to_twilio import PROTOCOL_ERROR
from twistream_kit.simulator.model.assumptions import NORMAL_CLOSE, NormalClose
from twistream_kit.simulator.stream.handshake import OUR_OBJECTIONS
from twistream_kit.simulator.stream.leg import TALKS_ON_ONE_WAY_STREAM

EndingReason = Literal["stopped", "server-closed", "broken", "protocol-error"]
"""The ways in which a stream ends: by Twilio's side, by a Close frame, without one, by an error."""

_REASONS: dict[Cause, EndingReason] = {
    "server-closed": "server-closed",
    "connection-lost": "broken",
    "protocol-error": "protocol-error",
}
"""The way for each cause; all other causes stop the stream from Twilio's side."""


@dataclass(frozen=True, slots=True)
class StreamEnding:
    """How a stream ended.

    Attributes:
        ended: Who ended it, and why.
        close_code: The code of the server's Close frame; 1005 for a frame without a code, 1006 for
            no frame.
        error_code: The error that Twilio logs for it, or None.
    """

    ended: EndCause
    close_code: int
    error_code: int | None = None

    @property
    def reason(self) -> EndingReason:
        """The way in which it ended."""
        return _REASONS.get(self.ended.cause, "stopped")

    @property
    def failed(self) -> bool:
        """Whether the ending is an error; a close with 1000 is not, though it may be logged."""
        return self.error_code is not None and not self._is_meant

    @property
    def _is_meant(self) -> bool:
        return self.reason == "server-closed" and self.close_code == NORMAL_CLOSE

    @property
    def in_words(self) -> str:
        """A description of the ending, in one sentence."""
        words = self.ended.in_words
        return f"{words}; expected when you meant to end the stream" if self._is_meant else words


def read_ending(
    protocol: Protocol,
    *,
    broken: bool,
    stopped_by: EndCause | None,
    normal_close: NormalClose,
) -> StreamEnding:
    """Return how the stream of a closed connection ended.

    Args:
        protocol: The protocol of the closed connection.
        broken: Whether the server sent a message on a unidirectional stream.
        stopped_by: Who ended the stream at Twilio's side; None if nobody did.
        normal_close: What is logged for a close with 1000 (§10.5).
    """
    received, sent = protocol.close_rcvd, protocol.close_sent
    code = int(received.code) if received else int(CloseCode.ABNORMAL_CLOSURE)
    ours = int(sent.code) if sent else None
    if broken:
        ended = EndCause("protocol-error", ours, detail=TALKS_ON_ONE_WAY_STREAM)
        return StreamEnding(ended, code, PROTOCOL_ERROR)
    if stopped_by is not None:
        return StreamEnding(stopped_by, code)
    if received is not None:
        is_silent = code == NORMAL_CLOSE and normal_close == "silent"
        ended = EndCause("server-closed", code, received.reason)
        return StreamEnding(ended, code, None if is_silent else CLOSED_BY_SERVER)
    if sent is not None and sent.code in OUR_OBJECTIONS:
        ended = EndCause("protocol-error", ours, detail=sent.reason)
        return StreamEnding(ended, code, PROTOCOL_ERROR)
    return StreamEnding(EndCause("connection-lost", code), code, BROKEN_PIPE)
