"""One stream that passes through an inspector: its capture, and what is wrong with it.

Nothing here changes the traffic.  What Twilio sends, and what it would obey, stands in the capture
as messages; messages of the server that are objected to stand under `Capture.odd` as they came.
The objections are kept as violations: each kind once, with the number of messages that it applied
to.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Sender
from twistream_kit.diagnosis.message import review
from twistream_kit.diagnosis.sound import SoundReview
from twistream_kit.errors import Objection, Objections, RemoteProtocolError, sort_by_severity
from twistream_kit.live.inspector._frames import ABNORMAL, Closing, FrameViolation, Passed
from twistream_kit.pending import HomeLoop, Pending, fulfil
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE, PROTOCOL_ERROR

MOST_OBJECTIONS = 1000
"""How many different objections are kept of one stream; further ones are dropped."""

MOST_CHARACTERS = 2000
"""How much is kept of the text of a message at fault."""

_BETWEEN = "Look at what stands between Twilio and here: a proxy, or a simulator"

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

EndedBy = Literal["twilio", "server", "inspector"]


class InspectedStream:
    """One stream between Twilio and your server, as it passes.

    Made by `Inspector`.  It may be read from any thread; there is nothing to command.

    Attributes:
        capture: Everything that passed, as a `Capture`; of your server's messages those that
            Twilio would not understand, or not take as theirs, stand under `Capture.odd`.
        closed: A `Pending` with the `InspectedEnd`.
        disconnect_reason: Why its public address was lost, or empty.
    """

    def __init__(self, home: HomeLoop, began: float) -> None:
        self.capture = Capture(started=began)
        self.closed: Pending[InspectedEnd] = Pending(home.loop)
        self.disconnect_reason = ""
        self._start: from_twilio.Start | None = None
        self._has_begun = self._said_stop = False
        self._sound = SoundReview()
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
    def findings(self) -> list[Violation]:
        """What is at fault, each kind of fault once, oldest first; a new list each time."""
        return self._violations.found

    @property
    def objections(self) -> Objections:
        """What is objected to so far, each thing once, errors first."""
        return sort_by_severity(
            each for violation in self.findings for each in violation.objections
        )

    @property
    def times(self) -> Counter[Objection]:
        """How many messages each objection applied to."""
        return Counter({**self._violations.times, **self._sound.found})

    def __repr__(self) -> str:
        n = len(self._violations.times)
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
        self._note_sound(self._sound.finish(at), "", at)
        by: EndedBy = "inspector" if stopped_here or self._first is None else self._first
        twilio, server = self._codes["twilio"], self._codes["server"]
        detail = _end_in_words(by, twilio, server)
        fulfil(self.closed, InspectedEnd(by, twilio, server, self._said_stop, detail))

    def _note(self, at: float, sender: Sender, *objections: Objection) -> None:
        """Note what is about no single message."""
        self._violations.note(max(0.0, at - self.capture.started), sender, objections)

    def _take_from_twilio(self, message: str | bytes, at: float) -> None:
        try:
            parsed = from_twilio.parse(message)
        except RemoteProtocolError as error:
            objections = [_message_objection(error)]
            since = at - self.capture.started
            self._violations.note(since, "twilio", objections, message)
            return
        if isinstance(parsed, from_twilio.Start) and self._start is None:
            self.capture.stream_sid, self.capture.call_sid = parsed.stream_sid, parsed.call_sid
            self._sound = SoundReview(parsed.stream_sid)
            self._start = parsed
        elif isinstance(parsed, from_twilio.Stop):
            self._said_stop = True
        self.capture.append(parsed, at)

    def _take_from_server(self, message: str | bytes, at: float) -> None:
        parsed = _parse_or_none(message)
        sid = self.stream_sid
        is_addressed = parsed is not None and bool(sid) and parsed.stream_sid == sid
        if parsed is None or not is_addressed or not _is_plain(parsed, message):
            objections: list[Objection] = list(review(message, stream_sid=sid or None))
            if not sid:
                objections = [TOO_EARLY, *objections]
            if is_addressed and isinstance(parsed, to_twilio.Media):
                # The review of the whole stream says what is wrong with the sound, and says more.
                objections = [each for each in objections if each.code is not None]
            self._violations.note(at - self.capture.started, "server", objections, message)
            if objections:
                self.capture.note_odd(at, message)
        if parsed is not None and is_addressed:
            self._take_obeyed(parsed, message, at)

    def _take_obeyed(self, parsed: to_twilio.Message, message: str | bytes, at: float) -> None:
        self.capture.append(parsed, at)
        if isinstance(parsed, to_twilio.Media):
            self._note_sound(self._sound.sent(parsed.payload, at), message, at)
        elif isinstance(parsed, to_twilio.Clear):
            self._sound.cleared(at)

    def _note_sound(self, found: list[Objection], message: str | bytes, at: float) -> None:
        if found:
            since = at - self.capture.started
            self._violations.note(since, "server", found, message, in_capture=True)


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
    """

    ended_by: EndedBy
    twilio_code: int
    server_code: int
    said_stop: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Violation:
    """A message, or a frame, that broke a rule in a way that is new on its stream.

    Attributes:
        at: In seconds since the stream began.
        sender: ``twilio`` or ``server``: who sent it.
        objections: What is wrong with it that was not wrong with anything before.
        text: The message, or the beginning of it; empty if the objections are about many.
        in_capture: Whether a review of the capture finds it too.  A capture cannot hold what is no
            message, nor a field that no message has.
    """

    at: float
    sender: Sender
    objections: tuple[Objection, ...]
    text: str = ""
    in_capture: bool = False


def _parse_or_none(message: str | bytes) -> to_twilio.Message | None:
    try:
        return to_twilio.parse(message)
    except RemoteProtocolError:
        return None


def _is_plain(parsed: to_twilio.Message, message: str | bytes) -> bool:
    """Whether `message` holds exactly what was parsed, so that it needs no review."""
    text = parsed.to_json()
    return text == message or (isinstance(message, str) and text == message.replace(" ", ""))


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
        times: How many messages each objection applied to.
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
            self._found.append(Violation(at, sender, tuple(new), _shown(message), in_capture))


def _shown(message: str | bytes) -> str:
    if isinstance(message, bytes):
        return f"{len(message)} bytes, binary: {message[:40].hex(' ')}"
    if len(message) <= MOST_CHARACTERS:
        return message
    return f"{message[:MOST_CHARACTERS]}… ({len(message)} characters)"
