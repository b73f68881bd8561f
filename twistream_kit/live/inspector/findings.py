"""What an inspector objects to on one stream: each kind of thing once, and how often it applied."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from twistream_kit.capture.entry import Sender
from twistream_kit.errors import Objection, RemoteProtocolError
from twistream_kit.live.inspector.message_reader import Violation
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE

MOST_OBJECTIONS = 1000
"""How many different things a stream can have wrong with it; what is beyond goes untold."""

MOST_CHARACTERS = 2000
"""Of a message at fault that are kept; it may be as long as it likes."""

PROTOCOL_ERROR = 31924
"""Twilio's code for what breaks the rules of WebSocket itself (PROTOCOL.md §5.1)."""

_BETWEEN = "Look at what stands between Twilio and here: a proxy, or a simulator"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something at fault, in a way that is new on its stream.

    Attributes:
        at: In seconds since the stream began.
        sender: ``twilio`` or ``server``: who sent what is at fault.
        objections: What is wrong with it that was not wrong with anything before.
        text: The message at fault, or the beginning of it; empty if it is about many.
        in_capture: Whether whoever reviews the capture finds it there too.  A capture cannot hold
            what is no message, nor a field that no message has.
    """

    at: float
    sender: Sender
    objections: tuple[Objection, ...]
    text: str = ""
    in_capture: bool = False


class Findings:
    """The findings of one stream; one thread notes them, any may read meanwhile.

    Attributes:
        times: How many messages each objection applied to.
    """

    def __init__(self) -> None:
        self.times: Counter[Objection] = Counter()
        self._found: list[Finding] = []

    @property
    def found(self) -> list[Finding]:
        """Oldest first; a new list each time."""
        return list(self._found)

    def note(
        self,
        at: float,
        sender: Sender,
        objections: Iterable[Objection],
        message: str | bytes = "",
        *,
        in_capture: bool = False,
    ) -> None:
        """Count what is objected to in a message, and keep what is new."""
        new = []
        for objection in objections:
            if objection not in self.times:
                if len(self.times) >= MOST_OBJECTIONS:
                    continue
                new.append(objection)
            self.times[objection] += 1
        if new:
            self._found.append(Finding(at, sender, tuple(new), _shown(message), in_capture))


def _shown(message: str | bytes) -> str:
    if isinstance(message, bytes):
        return f"{len(message)} bytes, binary: {message[:40].hex(' ')}"
    if len(message) <= MOST_CHARACTERS:
        return message
    return f"{message[:MOST_CHARACTERS]}… ({len(message)} characters)"


def violation(found: Violation, sender: Sender) -> Objection:
    """Say what follows from a frame that breaks the rules."""
    problem = f"breaks the rules of WebSocket: {found.problem}"
    if sender == "twilio":
        consequence = "Your server would be right to close with 1002"
        return Objection(None, "a frame from Twilio", problem, consequence, _BETWEEN, "warning")
    return Objection(
        PROTOCOL_ERROR,
        "a frame",
        problem,
        "Twilio would end the stream with error 31924",
        "Leave frames to a WebSocket library, with compression switched off",
    )


def not_twilios(error: RemoteProtocolError) -> Objection:
    """Say what follows from a message that Twilio does not send."""
    return Objection(
        None,
        error.field,
        error.problem,
        "Twilio sends nothing of the kind, and a server may trip over it",
        _BETWEEN,
        "warning",
    )


TOO_EARLY = Objection(
    INVALID_MESSAGE,
    "",
    "the message was sent before Twilio's start message",
    "No SID is known before it, so Twilio would drop it with warning 31951, logged once per stream",
    "Wait for start, and take the SID of the stream from it",
)

UNASKED_EXTENSION = Objection(
    PROTOCOL_ERROR,
    "the handshake",
    "was answered with an extension (compression), which Twilio does not offer",
    "Twilio would end the stream with error 31924",
    "Switch compression (permessage-deflate) off in your WebSocket library",
)
