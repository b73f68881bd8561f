"""One stream that is relayed by an inspector: its capture and its violations.

This module does not change the traffic.  The capture holds the messages that Twilio sends and those
that it would obey; messages of the server that are objected to are kept unchanged in `Capture.odd`.
Objections are kept as violations: each kind once, with the number of messages that it applied to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Sender
from twistream_kit.capture.message_text import get_event, quote_message
from twistream_kit.diagnosis.stream import Reviewed, StreamReviewer
from twistream_kit.errors import Objection, Objections, RemoteProtocolError, sort_by_severity
from twistream_kit.listing import Listing, Series
from twistream_kit.live.inspector._frames import ABNORMAL, Closing, FrameViolation, Passed
from twistream_kit.pending import HomeLoop, Pending, Subject, fulfil
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.ending import STOPPED_IN_WORDS, Cause, EndCause
from twistream_kit.protocol.to_twilio import PROTOCOL_ERROR

MOST_OBJECTIONS = 1000
"""How many different objections are kept of one stream; further ones are dropped."""

_BETWEEN = "Check what runs between Twilio and the inspector: a proxy, or a simulator"

UNASKED_EXTENSION = Objection(
    PROTOCOL_ERROR,
    "the handshake",
    "was answered with an extension (compression), which Twilio does not offer",
    "Twilio would end the stream with error 31924",
    "Switch compression (permessage-deflate) off in your WebSocket library",
)

EndedBy = Literal["twilio", "server", "inspector"]


class InspectedStream:
    """One stream between Twilio and your server.

    `Inspector` makes it.  It is read-only and may be read from any thread.

    Attributes:
        capture: All messages, as a `Capture`; messages of your server that Twilio would not
            understand, or not accept, are in `Capture.odd`.
        closed: A `Pending` with the `InspectedEnd`.
        disconnect_reason: Why its public address was lost, or empty.

    Example:
        >>> import twistream_kit as kit
        >>> import websockets
        >>> async def answer(socket):
        ...     await socket.send("hello")
        >>> server = kit.start(lambda: websockets.serve(answer, "127.0.0.1", 0, compression=None))
        >>> inspector = kit.start(kit.Inspector(kit.url_of(server)))
        >>> report = kit.simulate_call(inspector.stream_url).result(10)
        >>> inspector.streams[0].objections[-1].problem
        'the message is not JSON: ...'
    """

    def __init__(self, home: HomeLoop, began: float) -> None:
        self.capture = Capture(started=began)
        self.closed: Pending[InspectedEnd] = Pending(
            home.loop, Subject("end of an inspected stream", "InspectedEnd", kind=InspectedEnd)
        )
        self.disconnect_reason = ""
        self._start: from_twilio.Start | None = None
        self._has_begun = self._said_stop = False
        self._reviewer = StreamReviewer(is_begun=False)
        self._violations = Violations()
        self._closings: dict[Sender, Closing] = {}
        self._broken_rule = ""
        self._first: Sender | None = None

    @property
    def stream_sid(self) -> str:
        """MZ and 32 hex digits; empty before the start message."""
        return self.capture.stream_sid

    @property
    def call_sid(self) -> str:
        """CA and 32 hex digits; empty before the start message."""
        return self.capture.call_sid

    @property
    def start(self) -> from_twilio.Start | None:
        """The start message, with the parameters of the TwiML; None before it."""
        return self._start

    @property
    def is_open(self) -> bool:
        """Whether the stream has not ended."""
        return not self.closed.done()

    @property
    def violations(self) -> Listing[Violation]:
        """The violations, each kind once, oldest first; a new list each time."""
        return Listing.of(self._violations.found, "violations")

    @property
    def objections(self) -> Objections:
        """The objections so far, each once, errors first."""
        return sort_by_severity(
            each for violation in self.violations for each in violation.objections
        )

    @property
    def times(self) -> Counter[Objection]:
        """How many messages each objection applied to."""
        return self._violations.times.copy() + self._reviewer.found

    @property
    def bad_media(self) -> int:
        """How many of your server's media messages are objected to by themselves."""
        return self._reviewer.bad_media

    def __repr__(self) -> str:
        n = len(self.times)
        state = f"ended, {self.closed.result(0).detail}" if self.closed.done() else "open"
        what = f"{n} objection" if n == 1 else f"{n or 'no'} objections"
        return f"<InspectedStream {self.stream_sid or '(no start yet)'}: {state}; {what}>"

    def take(self, sender: Sender, passed: Passed, at: float) -> None:
        """Process what was relayed at `at`, in monotonic seconds; called by the inspector only."""
        if not self._has_begun:
            self._has_begun = True
            self.capture.started = at  # time counts from the first message, not the handshake
        if isinstance(passed, Closing):
            self._closings.setdefault(sender, passed)
            self.gone(sender)
        elif isinstance(passed, FrameViolation):
            if sender == "server":
                self._broken_rule = self._broken_rule or passed.problem
            self._note(at, sender, _object_to_frame(passed, sender))
        elif sender == "twilio":
            self._take_from_twilio(passed, at)
        else:
            self._take_from_server(passed, at)

    def object_to_handshake(self, objection: Objection, at: float) -> None:
        """Note an objection to your server's handshake; called by the inspector only."""
        self._note(at, "server", objection)

    def has_ended_at(self, side: Sender) -> bool:
        """Whether one side has ended the stream: it sent a Close frame, or Twilio sent stop."""
        return side in self._closings or (side == "twilio" and self._said_stop)

    def gone(self, sender: Sender) -> None:
        """Note that one side has ended its direction; called by the inspector only."""
        self._first = self._first or sender

    def end(self, at: float, *, stopped_here: bool) -> None:
        """End the stream, once; called by the inspector only."""
        self._note_sound(self._reviewer.finish(at), at)
        by: EndedBy = "inspector" if stopped_here or self._first is None else self._first
        none = Closing(ABNORMAL)
        twilio = self._closings.get("twilio", none)
        server = self._closings.get("server", none)
        cause = self._find_cause(by, twilio, server)
        if by == "server" and cause.is_error and cause.cause != "protocol-error":
            self._note(at, "server", _object_to_end(cause))
        detail = _end_in_words(by, twilio, server)
        end = InspectedEnd(by, twilio.code, server.code, self._said_stop, detail, cause)
        fulfil(self.closed, end)

    def _find_cause(self, by: EndedBy, twilio: Closing, server: Closing) -> EndCause:
        if by == "inspector":
            return EndCause("connection-lost", ABNORMAL, detail="the inspector was stopped")
        if self._said_stop:
            return EndCause("twilio-stopped", twilio.code, twilio.reason, detail=STOPPED_IN_WORDS)
        if self._broken_rule:
            return EndCause("protocol-error", twilio.code, twilio.reason, detail=self._broken_rule)
        closing, who = (twilio, "Twilio") if by == "twilio" else (server, "your server")
        if closing.code != ABNORMAL:
            cause: Cause = "twilio-stopped" if by == "twilio" else "server-closed"
            return EndCause(cause, closing.code, closing.reason)
        if self.disconnect_reason and by == "twilio":
            return EndCause("tunnel-lost", ABNORMAL, detail=self.disconnect_reason)
        return EndCause("connection-lost", ABNORMAL, detail=f"{who} disconnected")

    def _note(self, at: float, sender: Sender, *objections: Objection) -> None:
        """Note objections that do not apply to a single message."""
        since = max(0.0, at - self.capture.started)
        self._violations.note(since, sender, objections, place=self.capture.n_kept)

    def _take_from_twilio(self, message: str | bytes, at: float) -> None:
        try:
            parsed = from_twilio.parse(message)
        except RemoteProtocolError as error:
            objections = [_object_to_message(error)]
            since = at - self.capture.started
            place = self.capture.n_kept
            self._violations.note(since, "twilio", objections, message, place=place)
            return
        if isinstance(parsed, from_twilio.Start) and self._start is None:
            self.capture.stream_sid, self.capture.call_sid = parsed.stream_sid, parsed.call_sid
            self._reviewer.begin(parsed.stream_sid)
            self._start = parsed
        self.capture.append(parsed, at)
        if isinstance(parsed, from_twilio.Stop):
            self._said_stop = True
            # Both sides close after it; whose Close frame comes first does not matter then.
            self._first = self._first or "twilio"
            self._note_sound(self._reviewer.finish(at), at)

    def _take_from_server(self, message: str | bytes, at: float) -> None:
        reviewed = self._reviewer.take(message, at)
        if reviewed.message is not None and reviewed.is_obeyed:
            # Before its violation, so that a reader of both finds the message of each violation.
            self.capture.append(reviewed.message, at)
        if reviewed.is_odd:
            self.capture.note_odd(at, message)
        if reviewed.new:
            self._note_new(reviewed, message, at)
        if reviewed.sound:
            self._note_sound(reviewed.sound, at)

    def _note_new(self, reviewed: Reviewed, text: str | bytes, at: float) -> None:
        message = reviewed.message
        event = "" if message is None or reviewed.is_odd else get_event(message)
        self._violations.add(
            Violation(
                at - self.capture.started,
                "server",
                Series.of(reviewed.new, "objections"),
                quote_message(text),
                in_capture=not reviewed.is_odd,
                event=event,
                place=self.capture.n_kept,
            )
        )

    def _note_sound(self, found: Sequence[Objection], at: float) -> None:
        if found:
            since, place = at - self.capture.started, self.capture.n_kept
            objections = Series.of(found, "objections")
            self._violations.add(
                Violation(since, "server", objections, in_capture=True, place=place)
            )


@dataclass(frozen=True, slots=True)
class InspectedEnd:
    """How an inspected stream ended.

    Attributes:
        ended_by: The side that ended it: ``twilio`` where it sent stop first, else the side that
            closed or disconnected first, ``twilio``, ``server`` or ``inspector``.
        twilio_code: The code of Twilio's Close frame; 1005 for a frame without a code, 1006 if
            there was no frame.
        server_code: The code of your server's Close frame, likewise.
        said_stop: Whether Twilio had sent the stop message.
        detail: A description of the end, with the text of the Close frames.
        cause: Who ended the stream, and why; an `EndCause`.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer(lambda stream: stream.close()))
        >>> inspector = kit.start(kit.Inspector(server.url))
        >>> report = kit.simulate_call(inspector.stream_url).result(10)
        >>> end = inspector.streams[0].closed.result(10)
        >>> end.ended_by, end.server_code
        ('server', 1000)
        >>> end.cause.in_words
        'your server closed the connection (1000)'
    """

    ended_by: EndedBy
    twilio_code: int
    server_code: int
    said_stop: bool
    detail: str
    cause: EndCause

    @property
    def error_code(self) -> int | None:
        """The error that Twilio logs for this end, or None; for a close with 1000 it is no fault.

        >>> cause = EndCause("server-closed", 1011)
        >>> InspectedEnd("server", 1011, 1011, False, "", cause).error_code
        31921
        """
        return self.cause.error_code

    def __repr__(self) -> str:
        stop = "after stop" if self.said_stop else "without stop"
        return f"<InspectedEnd {self.ended_by}, {stop}: {self.detail}>"


@dataclass(frozen=True, slots=True)
class Violation:
    """A message or a WebSocket frame that broke a rule for the first time on its stream.

    Attributes:
        at: The time in seconds since the stream began.
        sender: ``twilio`` or ``server``: the side that sent it.
        objections: The objections that applied to no earlier message.
        text: The message, or its beginning; empty if the objections are about many messages.
        in_capture: Whether it is about a message in the capture, or about the sound of many.
            Invalid messages, and messages with an extra field, are in `Capture.odd` instead.
        event: The event of a message in the capture, as on the wire.
        place: How many messages the capture had kept whole by then, including this one.
    """

    at: float
    sender: Sender
    objections: Series[Objection]
    text: str = ""
    in_capture: bool = False
    event: str = ""
    place: int = 0

    def __repr__(self) -> str:
        objections = " ".join(f"{each.severity}: {each}" for each in self.objections)
        return f"<Violation by {self.sender} at {self.at:.2f} s, {objections}>"


def _end_in_words(by: EndedBy, twilio: Closing, server: Closing) -> str:
    if by == "inspector":
        return "the inspector stopped"
    who, first, other, answer = (
        ("Twilio", twilio, "your server", server)
        if by == "twilio"
        else ("your server", server, "Twilio", twilio)
    )
    if first.code == ABNORMAL:
        return f"{who} disconnected without a Close frame ({ABNORMAL})"
    if answer.code == ABNORMAL:
        return f"{who} closed with {_quote(first)}; {other} did not answer"
    # An answer usually repeats what it answers.
    answered = answer.code if answer == first else _quote(answer)
    return f"{who} closed with {_quote(first)}; {other} answered {answered}"


def _quote(closing: Closing) -> str:
    return f"{closing.code} {closing.reason!r}" if closing.reason else str(closing.code)


def _object_to_end(cause: EndCause) -> Objection:
    """Return the objection to a server that ended the stream, for which Twilio logs an error."""
    if cause.cause == "connection-lost":
        return Objection(
            cause.error_code,
            "the connection",
            "was dropped by your server without a Close frame (1006)",
            f"Twilio ends the stream with error {cause.error_code}; sound that is still queued is "
            "lost, and the call goes on with the next verb of its TwiML, or ends",
            "Look in the log of your server for a crash, a restart or a timeout of a proxy; a "
            "stream that is to end is closed with code 1000",
        )
    reason = f" {cause.close_reason!r}" if cause.close_reason else ""
    why = _WHY.get(cause.close_code or 0, "")
    return Objection(
        cause.error_code,
        "the connection",
        f"was closed by your server with {cause.close_code}{reason}{why}",
        f"Twilio ends the stream and logs error {cause.error_code}; sound that is still queued is "
        "lost, and the call goes on with the next verb of its TwiML, or ends",
        "Look in the log of your server for what closed it; a stream that is to end is closed "
        "with code 1000",
    )


_WHY = {
    1001: ": it was shutting down, or restarted",
    1002: ": to it, Twilio's side broke a rule of WebSocket",
    1003: ": it does not take this kind of message",
    1005: ", which stands for a Close frame without a code",
    1007: ": to it, a text was not UTF-8",
    1008: ": by a rule of its own",
    1009: ": a message was too big for it",
    1011: ": an error inside it",
    1012: ": it restarted",
    1013: ": it was overloaded",
}
"""What a close code says (RFC 6455 §7.4.1, and the registry of IANA for 1012 and 1013)."""


def _object_to_frame(found: FrameViolation, sender: Sender) -> Objection:
    """Return the objection to a WebSocket frame that violates the protocol."""
    problem = f"violates the WebSocket protocol: {found.problem}"
    if sender == "twilio":
        consequence = "Your server may close the connection with code 1002"
        return Objection(None, "a frame from Twilio", problem, consequence, _BETWEEN, "warning")
    return Objection(
        PROTOCOL_ERROR,
        "a frame",
        problem,
        "Twilio would end the stream with error 31924",
        "Let a WebSocket library build the frames, with compression switched off",
    )


def _object_to_message(error: RemoteProtocolError) -> Objection:
    """Return the objection to a message that Twilio does not send."""
    return Objection(
        None,
        error.field,
        error.problem,
        "Twilio sends no such message, and a server may fail on it",
        _BETWEEN,
        "warning",
    )


class Violations:
    """The violations of one stream; one thread writes, any thread may read meanwhile.

    Attributes:
        times: For each objection passed to `note`, how many messages or frames it applied to.
    """

    def __init__(self) -> None:
        self.times: Counter[Objection] = Counter()
        self._found: list[Violation] = []

    @property
    def found(self) -> list[Violation]:
        """The violations, oldest first; a new list each time."""
        return list(self._found)

    def note(
        self,
        at: float,
        sender: Sender,
        objections: Iterable[Objection],
        message: str | bytes = "",
        *,
        place: int = 0,
    ) -> None:
        """Count the objections to a message or a WebSocket frame; keep the new ones."""
        new = []
        for objection in objections:
            if objection not in self.times:
                if len(self.times) >= MOST_OBJECTIONS:
                    continue
                new.append(objection)
            self.times[objection] += 1
        if new:
            found = Series.of(new, "objections")
            self.add(Violation(at, sender, found, quote_message(message), place=place))

    def add(self, violation: Violation) -> None:
        """Keep a violation whose objections are new and have been counted elsewhere."""
        self._found.append(violation)
