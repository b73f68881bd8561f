"""Review all messages of a server on one stream: the form of each, and the sound of all.

Only `StreamReviewer` decides which messages need a review, which of them Twilio obeys, and which
sound is analysed.  The simulator, the inspector, the log in a notebook and the review of a capture
all use it, so that their results agree.  `CaptureReview` reviews the messages of a capture with it.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from twistream_kit.capture.capture import Capture
from twistream_kit.capture.entry import Entry
from twistream_kit.diagnosis.message import review_unheard
from twistream_kit.diagnosis.payload import SHORTEST_BYTES
from twistream_kit.diagnosis.sound import (
    FIELD,
    MistakeCounter,
    SoundReview,
    listen_to,
    look_closely,
)
from twistream_kit.errors import Objection, RemoteProtocolError, sort_by_severity
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE

TOO_EARLY = Objection(
    INVALID_MESSAGE,
    "",
    "the message was sent before Twilio's start message",
    "No SID is known before it, so Twilio would drop it with warning 31951, logged once per stream",
    "Wait for start, and take the SID of the stream from it",
)


class StreamReviewer:
    """Reviews the messages that a server sends on one stream; time is an argument.

    `found` and `bad_media` may be read from any thread; the methods belong to one.

    Args:
        stream_sid: The SID that every message must carry; None accepts any.
        is_begun: False if Twilio's start message has not arrived; then `begin` sets the SID.
        at_leisure: Whether `take` leaves all analysis of sound, which takes milliseconds, to
            `listen`.
        obeys_extra_fields: Whether a message with extra fields is obeyed.
        hears: Whether the sound is reviewed; without that only the form of each message is.

    Attributes:
        bad_media: How many of the media messages that were obeyed are objected to by themselves.
    """

    def __init__(
        self,
        stream_sid: str | None = None,
        *,
        is_begun: bool = True,
        at_leisure: bool = False,
        obeys_extra_fields: bool = True,
        hears: bool = True,
    ) -> None:
        self.bad_media = 0
        self._hears = hears
        self._stream_sid: str | None = None
        self._at_leisure = at_leisure
        self._obeys_extra_fields = obeys_extra_fields
        self._mistakes = MistakeCounter()
        self._sound: SoundReview | None = None
        self._is_over = False
        if is_begun:
            self.begin(stream_sid)

    @property
    def found(self) -> Counter[Objection]:
        """Each objection with how many messages it applied to; a new counter each time."""
        sound = Counter[Objection]() if self._sound is None else self._sound.found
        return self._mistakes.found.copy() + sound.copy()

    @property
    def is_begun(self) -> bool:
        """Whether Twilio's start message has come."""
        return self._sound is not None

    @property
    def has_more_to_hear(self) -> bool:
        """Whether `listen` would do something."""
        return self._sound is not None and self._sound.has_more_to_hear

    def begin(self, stream_sid: str | None) -> None:
        """Note that Twilio's start message has come."""
        self._stream_sid = stream_sid
        self._sound = SoundReview(stream_sid or "", at_leisure=self._at_leisure)

    def take(self, text: str | bytes, at: float) -> Reviewed:
        """Review one message as it was received.

        Args:
            text: Text, or bytes for a binary message.
            at: When it was sent, in seconds of any clock.
        """
        try:
            message = to_twilio.parse(text)
        except RemoteProtocolError:
            return self._review(None, text, at)
        is_heard = message.stream_sid == self._stream_sid and not self._is_over
        # Fast path: most messages contain exactly the fields that were read.
        if is_heard and _is_all_of(message, text) and _is_named(message):
            return self._obey(message, at)
        return self._review(message, text, at)

    def take_read(self, message: to_twilio.Message, at: float) -> Reviewed:
        """Review a parsed message whose original text is not available, as in a capture."""
        is_addressed = self._stream_sid is None or message.stream_sid == self._stream_sid
        if is_addressed and self._sound is not None and not self._is_over and _is_named(message):
            return self._obey(message, at)
        return self._review(message, message.to_json(), at)

    def take_odd(
        self, message: to_twilio.Message | None, text: str | bytes, at: float, *, is_dropped: bool
    ) -> Reviewed:
        """Review a message that was parsed before.

        Args:
            message: The parsed message; None if it is none of the three messages.
            text: Text, or bytes for a binary message.
            at: When it was sent, in seconds of any clock.
            is_dropped: Whether it is known not to have been obeyed.
        """
        return self._review(message, text, at, is_dropped=is_dropped)

    def listen(self) -> list[Objection]:
        """Do one step of the analysis, about a millisecond; return the new objections."""
        return [] if self._sound is None else self._sound.listen()

    def finish(self, at: float) -> list[Objection]:
        """Return the new objections at the end of the stream; later messages are not reviewed."""
        return [each for found in self.finish_in_steps(at) for each in found]

    def finish_in_steps(self, at: float) -> Iterator[list[Objection]]:
        """Do the same as `finish`, one step of the analysis each time; yield its new objections."""
        if self._is_over or self._sound is None:
            return
        self._is_over = True
        yield from self._sound.finish_in_steps(at)

    def _review(
        self,
        message: to_twilio.Message | None,
        text: str | bytes,
        at: float,
        *,
        is_dropped: bool = False,
    ) -> Reviewed:
        sid = self._stream_sid
        is_begun = self.is_begun
        obeyed = message if is_begun and not is_dropped else None
        if obeyed is not None and sid not in (None, obeyed.stream_sid):
            obeyed = None
        if self._is_over:
            return Reviewed(message, is_obeyed=obeyed is not None)
        form: list[Objection] = review_unheard(text, stream_sid=sid)
        if not is_begun:
            form = [TOO_EARLY, *form]
        if obeyed is None or not self._is_obeyed(form):
            form = sort_by_severity([*form, *_listen_alone(message, form)])
            return Reviewed(
                message, is_obeyed=False, is_odd=True, form=form, new=self._mistakes.add(form)
            )
        # Objections to the sound are made for the whole stream, which is more informative.
        form = [each for each in form if not _is_about_sound(each)]
        # A parsed mark also shows that its name is missing.
        return self._obey(obeyed, at, form, is_odd=len(form) > (not _is_named(obeyed)))

    def _is_obeyed(self, form: list[Objection]) -> bool:
        """Whether Twilio would obey a message for this stream with these objections to its form."""
        logged = [each for each in form if each.code is not None]
        if any(each.severity == "error" for each in logged):
            return False
        return self._obeys_extra_fields or not logged

    def _obey(
        self,
        message: to_twilio.Message,
        at: float,
        form: Sequence[Objection] = (),
        *,
        is_odd: bool = False,
    ) -> Reviewed:
        assert self._sound is not None  # noqa: S101 - for the type checker; set by `begin`
        inside: Sequence[Objection] = ()
        sound: Sequence[Objection] = ()
        if not self._hears:
            self.bad_media += bool(form) and isinstance(message, to_twilio.Media)
        elif isinstance(message, to_twilio.Media):
            inside = self._sound.defer(look_closely(message.payload), len(message.payload))
            sound = self._sound.note_sent(message.payload, at, inside)
            if not (inside or sound or form):
                return Reviewed(message, True)
            self.bad_media += bool(inside or form)
        elif isinstance(message, to_twilio.Clear):
            self._sound.note_clear(at)
        return Reviewed(
            message,
            is_obeyed=True,
            is_odd=is_odd,
            form=form,
            inside=inside,
            new=[*self._mistakes.add(form), *(each for each in sound if each in inside)],
            sound=[each for each in sound if each not in inside],
        )


@dataclass(slots=True)
class Reviewed:
    """The review of one message.

    Attributes:
        message: The parsed message; None if it is none of the three messages.
        is_obeyed: Whether Twilio obeys it, so that its sound is played.
        is_odd: Whether the text has faults that the parsed message does not show.
        form: The objections to the message; if it is not obeyed, also to its sound.
        inside: The objections to the sound of this message alone.
        new: Those of `form` and `inside` that applied to no earlier message.
        sound: The new objections to the sound of all messages so far.
    """

    message: to_twilio.Message | None
    is_obeyed: bool = False
    is_odd: bool = False
    form: Sequence[Objection] = ()
    inside: Sequence[Objection] = ()
    new: Sequence[Objection] = ()
    sound: Sequence[Objection] = ()

    @property
    def objections(self) -> Sequence[Objection]:
        """All objections to this message, errors first."""
        return sort_by_severity([*self.form, *self.inside]) if self.form else self.inside


@dataclass(frozen=True, slots=True)
class OddMessage:
    """An invalid message of the server, whose text contains more than the parsed message.

    Attributes:
        at: The time in seconds since the start of the capture.
        text: The message as it was sent.
        message: The parsed message; None if it is none of the three messages.
    """

    at: float
    text: str | bytes
    message: to_twilio.Message | None


class CaptureReview:
    """Reviews the messages of a capture with a `StreamReviewer`, in order.

    Args:
        capture: The capture of a call that is in progress or has ended.
        stream_sid: The stream that the messages should be for; that of the capture if not given.
    """

    def __init__(self, capture: Capture, *, stream_sid: str | None = None) -> None:
        self._capture = capture
        self._wanted_sid = stream_sid
        self._reviewer: StreamReviewer | None = None
        self._n_read = self._n_odd = 0

    def read_new(self) -> Iterator[tuple[Entry | OddMessage, Reviewed]]:
        """Yield the messages added to the capture since the last call, each with its review.

        Twilio's messages have no objections, except that the stop message carries the final
        objections to the sound.
        """
        odd = self._capture.odd[self._n_odd :]
        entries = self._capture.kept_since(self._n_read)
        self._n_odd += len(odd)
        self._n_read += len(entries)
        waiting = deque(OddMessage(at, text, _read_or_none(text)) for at, text in odd)
        reviewer = self._reviewer
        if reviewer is None and (entries or waiting):
            reviewer = self._reviewer = StreamReviewer(self._sid, is_begun=_is_begun(entries))
        if reviewer is None:
            return
        for entry in entries:
            while waiting and waiting[0].at < entry.at:
                yield _take_dropped(reviewer, waiting.popleft())
            message = entry.message
            if not isinstance(message, to_twilio.Media | to_twilio.Mark | to_twilio.Clear):
                yield entry, self._follow_twilio(reviewer, entry)
                continue
            place = _find_same(entry, waiting) if waiting else None
            if place is None:
                yield entry, reviewer.take_read(message, entry.at)
                continue
            for _ in range(place):
                yield _take_dropped(reviewer, waiting.popleft())
            yield entry, _NOTHING
            same = waiting.popleft()
            yield same, reviewer.take_odd(same.message, same.text, same.at, is_dropped=False)
        for each in waiting:
            yield _take_dropped(reviewer, each)

    def finish(self) -> Sequence[Objection]:
        """Return the new objections at the end of the capture."""
        return [] if self._reviewer is None else self._reviewer.finish(self._capture.seconds)

    @property
    def _sid(self) -> str | None:
        return self._wanted_sid or self._capture.stream_sid or None

    def _follow_twilio(self, reviewer: StreamReviewer, entry: Entry) -> Reviewed:
        if isinstance(entry.message, from_twilio.Start):
            if not reviewer.is_begun:
                reviewer.begin(self._sid)
        elif isinstance(entry.message, from_twilio.Stop):
            return Reviewed(None, sound=reviewer.finish(entry.at))
        return _NOTHING


_NOTHING = Reviewed(None)


def _is_all_of(message: to_twilio.Message, text: str | bytes) -> bool:
    """Whether `text` contains exactly the parsed fields; the spaces of Python's JSON may differ."""
    whole = message.to_json()
    return whole == text or (isinstance(text, str) and whole == text.replace(" ", ""))


def _is_named(message: to_twilio.Message) -> bool:
    """False for a mark without a name, the only fault of a message with a valid form."""
    return bool(message.name) if isinstance(message, to_twilio.Mark) else True


def _is_about_sound(objection: Objection) -> bool:
    return objection.code is None and objection.field == FIELD


def _listen_alone(
    message: to_twilio.Message | None, form: Sequence[Objection]
) -> Sequence[Objection]:
    """Analyse the sound of a message that is not obeyed only because it has extra fields."""
    if not isinstance(message, to_twilio.Media) or len(message.payload) <= SHORTEST_BYTES:
        return ()
    return () if any(each.severity == "error" for each in form) else listen_to(message.payload)


def _read_or_none(text: str | bytes) -> to_twilio.Message | None:
    try:
        return to_twilio.parse(text)
    except RemoteProtocolError:
        return None


def _is_begun(entries: Sequence[Entry]) -> bool:
    """Whether the start message came earlier, or is missing in the capture."""
    return not any(
        isinstance(entry.message, from_twilio.Connected | from_twilio.Start) for entry in entries
    )


def _find_same(entry: Entry, waiting: Iterable[OddMessage]) -> int | None:
    """Return the place of the text of `entry` among messages of the same time, or None."""
    for place, odd in enumerate(waiting):
        if odd.at > entry.at:
            return None
        if odd.message == entry.message:
            return place
    return None


def _take_dropped(reviewer: StreamReviewer, odd: OddMessage) -> tuple[OddMessage, Reviewed]:
    return odd, reviewer.take_odd(odd.message, odd.text, odd.at, is_dropped=True)
