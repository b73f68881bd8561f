"""One stream that passes through an inspector: its capture, and what is wrong with it.

Nothing here changes the traffic.  What Twilio sends, and what it would obey, stands in the capture
as messages; messages of the server that are objected to stand under `Capture.odd` as they came.
The objections are kept as violations: each kind once, with the number of messages that it applied
to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Sender
from twistream_kit.capture.message_text import event_of, quote_message
from twistream_kit.diagnosis.stream import Reviewed, StreamReviewer
from twistream_kit.errors import Objection, Objections, RemoteProtocolError, sort_by_severity
from twistream_kit.listing import Listing, Series
from twistream_kit.live.inspector._frames import ABNORMAL, Closing, FrameViolation, Passed
from twistream_kit.pending import HomeLoop, Pending, fulfil
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.to_twilio import PROTOCOL_ERROR

MOST_OBJECTIONS = 1000
"""How many different objections are kept of one stream; further ones are dropped."""

_BETWEEN = "Look at what stands between Twilio and here: a proxy, or a simulator"

UNASKED_EXTENSION = Objection(
    PROTOCOL_ERROR,
    "the handshake",
    "was answered with an extension (compression), which Twilio does not offer",
    "Twilio would end the stream with error 31924",
    "Switch compression (permessage-deflate) off in your WebSocket library",
)

EndedBy = Literal["twilio", "server", "inspector"]


class InspectedStream:
    """One stream between Twilio and your server, as it passes.

    Made by `Inspector`.  It may be read from any thread; there is nothing to command.

    Attributes:
        capture: Everything that passed, as a `Capture`; of your server's messages those that
            Twilio would not understand, or not take as theirs, stand under `Capture.odd`.
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
        self.closed: Pending[InspectedEnd] = Pending(home.loop)
        self.disconnect_reason = ""
        self._start: from_twilio.Start | None = None
        self._has_begun = self._said_stop = False
        self._reviewer = StreamReviewer(is_begun=False)
        self._violations = Violations()
        self._codes: dict[Sender, int] = {"twilio": ABNORMAL, "server": ABNORMAL}
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
        """Whether something can still pass."""
        return not self.closed.done()

    @property
    def findings(self) -> Listing[Violation]:
        """What is at fault, each kind of fault once, oldest first; a new list each time."""
        return Listing.of(self._violations.found, "violations")

    @property
    def objections(self) -> Objections:
        """What is objected to so far, each thing once, errors first."""
        return sort_by_severity(
            each for violation in self.findings for each in violation.objections
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
        """Take in what has passed, at `at` in monotonic seconds; for the inspector alone."""
        if not self._has_begun:
            self._has_begun = True
            self.capture.started = at  # time counts from the first message, not the handshake
        if isinstance(passed, Closing):
            if self._codes[sender] == ABNORMAL:
                self._codes[sender] = passed.code
            self.gone(sender)
        elif isinstance(passed, FrameViolation):
            self._note(at, sender, _frame_objection(passed, sender))
        elif sender == "twilio":
            self._take_from_twilio(passed, at)
        else:
            self._take_from_server(passed, at)

    def object_to_handshake(self, objection: Objection, at: float) -> None:
        """Note what is wrong with your server's answer to the handshake; for the inspector."""
        self._note(at, "server", objection)

    def gone(self, sender: Sender) -> None:
        """Note that one side has nothing more to say; for the inspector alone."""
        self._first = self._first or sender

    def end(self, at: float, *, stopped_here: bool) -> None:
        """End it, once; for the inspector alone."""
        self._note_sound(self._reviewer.finish(at), at)
        by: EndedBy = "inspector" if stopped_here or self._first is None else self._first
        twilio, server = self._codes["twilio"], self._codes["server"]
        detail = _end_in_words(by, twilio, server)
        fulfil(self.closed, InspectedEnd(by, twilio, server, self._said_stop, detail))

    def _note(self, at: float, sender: Sender, *objections: Objection) -> None:
        """Note what is about no single message."""
        since = max(0.0, at - self.capture.started)
        self._violations.note(since, sender, objections, place=self.capture.n_kept)

    def _take_from_twilio(self, message: str | bytes, at: float) -> None:
        try:
            parsed = from_twilio.parse(message)
        except RemoteProtocolError as error:
            objections = [_message_objection(error)]
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
            self._note_sound(self._reviewer.finish(at), at)

    def _take_from_server(self, message: str | bytes, at: float) -> None:
        reviewed = self._reviewer.take(message, at)
        if reviewed.message is not None and reviewed.is_obeyed:
            # Before what is wrong with it: who reads both at once finds the message of a violation.
            self.capture.append(reviewed.message, at)
        if reviewed.is_odd:
            self.capture.note_odd(at, message)
        if reviewed.new:
            self._note_new(reviewed, message, at)
        if reviewed.sound:
            self._note_sound(reviewed.sound, at)

    def _note_new(self, reviewed: Reviewed, text: str | bytes, at: float) -> None:
        message = reviewed.message
        event = "" if message is None or reviewed.is_odd else event_of(message)
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
        ended_by: Who closed, or went away, first: ``twilio``, ``server`` or ``inspector``.
        twilio_code: Of the Close frame of Twilio's side; 1005 for one without a code, 1006 if there
            was none.
        server_code: Of your server's, likewise.
        said_stop: Whether Twilio had said stop.
        detail: The same in words.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer(lambda stream: stream.close()))
        >>> inspector = kit.start(kit.Inspector(server.url))
        >>> report = kit.simulate_call(inspector.stream_url).result(10)
        >>> end = inspector.streams[0].closed.result(10)
        >>> end.ended_by, end.server_code
        ('server', 1000)
    """

    ended_by: EndedBy
    twilio_code: int
    server_code: int
    said_stop: bool
    detail: str

    def __repr__(self) -> str:
        stop = "after stop" if self.said_stop else "without stop"
        return f"<InspectedEnd {self.ended_by}, {stop}: {self.detail}>"


@dataclass(frozen=True, slots=True)
class Violation:
    """A message, or a frame, that broke a rule in a way that is new on its stream.

    Attributes:
        at: In seconds since the stream began.
        sender: ``twilio`` or ``server``: who sent it.
        objections: What is wrong with it that was not wrong with anything before.
        text: The message, or the beginning of it; empty if the objections are about many.
        in_capture: Whether it is about a message that the capture holds as one, or about the sound
            of many.  What is no message, or has a field too many, stands there as it came.
        event: Of a message that is in the capture, as on the wire.
        place: How many messages the capture had kept whole by then, this one included.
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


def _end_in_words(by: EndedBy, twilio: int, server: int) -> str:
    if by == "inspector":
        return "the inspector stopped"
    who, code, other, answer = (
        ("Twilio", twilio, "your server", server)
        if by == "twilio"
        else ("your server", server, "Twilio", twilio)
    )
    if code == ABNORMAL:
        return f"{who} went away without a goodbye ({code})"
    if answer == ABNORMAL:
        return f"{who} closed with {code}; {other} did not answer"
    return f"{who} closed with {code}; {other} answered {answer}"


def _frame_objection(found: FrameViolation, sender: Sender) -> Objection:
    """Return the objection to a frame that breaks the rules of WebSocket."""
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


def _message_objection(error: RemoteProtocolError) -> Objection:
    """Return the objection to a message that Twilio does not send."""
    return Objection(
        None,
        error.field,
        error.problem,
        "Twilio sends nothing of the kind, and a server may trip over it",
        _BETWEEN,
        "warning",
    )


class Violations:
    """The violations of one stream; one thread notes them, any thread may read them meanwhile.

    Attributes:
        times: How many messages or frames each objection applied to that came by `note`.
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
        """Count what is objected to in a message or a frame, and keep what is new."""
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
        """Keep a violation whose objections are new, and counted elsewhere."""
        self._found.append(violation)
