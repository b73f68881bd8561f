"""Twilio's status callbacks of calls and streams.

PROTOCOL.md §6.6 has those of calls, §8 those of streams.  Either may arrive out of order.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import Self

from twistream_kit.errors import CallRefused, quote
from twistream_kit.guard import Guard
from twistream_kit.listing import Listing

KEPT_EVENTS = 1000
"""The number of status callbacks that are kept; a call has about six."""

KEPT_CHARACTERS = 4_000_000
"""The size of their parameters; those of Twilio have less than a thousand, others up to 64 kB."""

FOLLOWED_AFTER_END = 100
"""The number of ended calls that are still followed, because callbacks can be late (§6.6)."""

FINAL_STATUSES = frozenset({"completed", "busy", "failed", "no-answer", "canceled"})
"""The final statuses of a call (§6.3)."""

STREAM_ERROR = "stream-error"
"""The `StreamEvent` of a stream that could not be opened, or was lost (§8)."""

ANSWERED_BY = "answered-by"
"""Our name of a callback of answering machine detection, which has no status (§6.1)."""

_IN_WORDS = {
    "completed": "it was answered and ended",
    "busy": "the phone is engaged, or declined",
    "failed": "the number could not be reached",
    "no-answer": "nobody answered",
    "canceled": "it was cancelled while it rang",
}

Listener = Callable[["StatusEvent"], None]


@dataclass(frozen=True, slots=True)
class StatusEvent:
    """A status callback of a call or a stream.

    Attributes:
        at: When it arrived, in seconds of the monotonic clock.
        name: ``CallStatus`` or ``StreamEvent``: ``ringing``, ``completed``, ``stream-started`` …;
            ``answered-by`` for the result of answering machine detection.
        call_sid: The SID of the call.
        stream_sid: The SID of the stream; empty for a callback of the call.
        sequence: Twilio's sequence number in the call, from 0, or None if there is none.
        parameters: All parameters of the callback.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
        >>> phone = twilio.phone("+15550100001", answer="busy")
        >>> call = kit.place_call(
        ...     twilio.client, to="+15550100001", from_=twilio.numbers[0],
        ...     stream_url=server.stream_url,
        ... ).result(10)
        >>> call.ended.result(10)
        'busy'
        >>> [(event.sequence, event.name) for event in call.events]
        [(0, 'initiated'), (1, 'ringing'), (2, 'busy')]
    """

    at: float
    name: str
    call_sid: str
    stream_sid: str
    sequence: int | None
    parameters: Mapping[str, str | list[str]]

    @classmethod
    def of(cls, parameters: Mapping[str, str | list[str]], at: float) -> Self:
        """Make an event from the parameters of a status callback that arrived at `at`."""

        def get_value(name: str) -> str:
            given = parameters.get(name, "")
            return given if isinstance(given, str) else given[0]

        sequence = get_value("SequenceNumber")
        return cls(
            at,
            get_value("StreamEvent")
            or get_value("CallStatus")
            or (get_value("AnsweredBy") and ANSWERED_BY),
            get_value("CallSid"),
            get_value("StreamSid"),
            int(sequence) if re.fullmatch(r"[0-9]{1,9}", sequence) else None,
            parameters,
        )

    @property
    def is_final(self) -> bool:
        """Whether it says that the call is over."""
        return not self.stream_sid and self.name in FINAL_STATUSES

    @property
    def is_stream_error(self) -> bool:
        """Whether it says that a stream could not be opened, or was lost."""
        return self.name == STREAM_ERROR

    @property
    def stream_error(self) -> str:
        """Twilio's description of the stream's error, or empty."""
        error = self.parameters.get("StreamError", "")
        return error if isinstance(error, str) else error[0]

    def __repr__(self) -> str:
        about = f"stream {self.stream_sid} of " if self.stream_sid else ""
        number = "" if self.sequence is None else f", number {self.sequence}"
        error = f": {quote(self.stream_error, 100)}" if self.stream_error else ""
        name, call = self.name or "(no status)", self.call_sid or "(no SID)"
        return f"<StatusEvent {name}, {about}call {call}{number}{error}>"


class StatusLog:
    """The status callbacks of a server, and their listeners; to be used on the server's loop."""

    def __init__(self) -> None:
        self._events: deque[StatusEvent] = deque()
        self._n_characters = 0
        self._listeners: dict[str, list[_Following]] = {}
        self._over: dict[str, None] = {}  # followed calls that are over, in the order of that

    @property
    def events(self) -> Listing[StatusEvent]:
        """The last status callbacks, oldest first; from any thread."""
        return Listing.of(self._events, "status callbacks")

    def find(self, call_sid: str) -> list[StatusEvent]:
        """Return the status callbacks of a call, oldest first."""
        return [event for event in self.events if event.call_sid == call_sid]

    def note(self, event: StatusEvent) -> None:
        """Keep an event that has arrived, and pass it to the listeners of its call."""
        self._keep(event)
        for following in tuple(self._listeners.get(event.call_sid, ())):
            _notify(following.listener, event)
        if event.is_final:
            self._note_end(event.call_sid)

    def follow(
        self,
        call_sid: str,
        listener: Listener,
        on_loss: Callable[[], object] | None = None,
    ) -> None:
        """Pass all callbacks of a call to `listener`, past and future ones.

        After its end, a call is followed until a hundred later calls have ended.

        Args:
            call_sid: CA and 32 hex digits.
            listener: A function of one `StatusEvent`.
            on_loss: A function that is called when the public address of the server is lost.
        """
        events = self.find(call_sid)
        for event in events:
            _notify(listener, event)
        self._listeners.setdefault(call_sid, []).append(_Following(listener, on_loss))
        if any(event.is_final for event in events):
            self._note_end(call_sid)

    def unfollow(self, call_sid: str, listener: Listener) -> None:
        """Remove `listener`, if it is there."""
        left = [each for each in self._listeners.pop(call_sid, []) if each.listener is not listener]
        if left:
            self._listeners[call_sid] = left

    def stop(self) -> None:
        """Remove all listeners."""
        self._listeners.clear()
        self._over.clear()

    def lose_address(self) -> None:
        """Call `on_loss` of all listeners, because no callback can arrive any more."""
        for following in list(chain.from_iterable(self._listeners.values())):
            if following.on_loss is not None:
                _call_guarded(following.on_loss)

    def explain_missing_stream(self, call_sid: str) -> CallRefused | None:
        """Return an error that says why the call cannot open a stream any more, or None."""
        events = self.find(call_sid)
        final = next((event for event in reversed(events) if event.is_final), None)
        broken = next((event for event in reversed(events) if event.is_stream_error), None)
        if final is None and broken is None:
            return None
        if broken is not None:
            reason = broken.stream_error or "no reason given"
            return CallRefused(
                f"the call's stream could not be opened: {reason}",
                consequence="The call goes on with its next verb, or ends",
                fix="See that the public address leads to this server, path included, and that the "
                "server has the account's auth token; kit.preflight(…) tries both",
            )
        assert final is not None  # noqa: S101 - one of the two is there
        return build_ended_error(final.name)

    def _keep(self, event: StatusEvent) -> None:
        self._events.append(event)
        self._n_characters += _measure(event)
        while len(self._events) > KEPT_EVENTS or self._n_characters > KEPT_CHARACTERS:
            self._n_characters -= _measure(self._events.popleft())

    def _note_end(self, call_sid: str) -> None:
        if call_sid not in self._listeners:
            return
        self._over.pop(call_sid, None)
        self._over[call_sid] = None
        if len(self._over) > FOLLOWED_AFTER_END:
            oldest = next(iter(self._over))
            del self._over[oldest]
            self._listeners.pop(oldest, None)


def _measure(event: StatusEvent) -> int:
    """Return the size of the parameters, which the sender chooses."""
    values = ([given] if isinstance(given, str) else given for given in event.parameters.values())
    return sum(map(len, chain(event.parameters, chain.from_iterable(values))))


def build_ended_error(status: str) -> CallRefused:
    """Build the error for a wait for the stream of a call that has ended with `status`."""
    return CallRefused(
        f"the call ended as {status} before a stream came: {_IN_WORDS[status]}",
        consequence="No stream will come of it",
        fix="Look at the TwiML and at the account's type: trial accounts refuse <Stream>"
        if status == "completed"
        else "Place the call anew",
    )


@dataclass(frozen=True, slots=True)
class _Following:
    listener: Listener
    on_loss: Callable[[], object] | None


def _notify(listener: Listener, event: StatusEvent) -> None:
    # An exception of a listener must affect neither the next one nor Twilio's request.
    with Guard(f"a listener to the progress of call {event.call_sid} failed", of_user=True):
        listener(event)


def _call_guarded(act: Callable[[], object]) -> None:
    # An exception of one must not prevent the others.
    with Guard("a listener to the loss of a server's address failed", of_user=True):
        act()
