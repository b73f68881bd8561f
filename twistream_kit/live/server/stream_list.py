"""The streams of a server or an inspector, and the waits for the next stream."""

from __future__ import annotations

from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from twistream_kit.errors import (
    NoResultYet,
    ServerStopped,
    TwistreamError,
    WrongType,
    hide_user,
    quote,
)
from twistream_kit.listing import Series
from twistream_kit.pending import Pending, Subject, fail, fulfil

KEPT_ENDED_STREAMS = 10


class HasCallSid(Protocol):
    """An object with the SID of a call, such as a `Call`."""

    @property
    def sid(self) -> str:
        """CA and 32 hex digits."""


class _Addressed(Protocol):
    """A server or an inspector."""

    @property
    def stream_url(self) -> str: ...


def build_stream_subject(server: _Addressed, kind: type, call: HasCallSid | str | None) -> Subject:
    """Return what a wait for a stream stands for.

    Args:
        server: The server or the inspector that waits.
        kind: The class of its streams.
        call: The call whose stream is waited for, or its SID, or None.
    """
    waits, result = partial(_say_address, server), kind.__name__
    if call is None:
        return Subject(
            f"next {result}", result, waits, late=partial(_build_no_call, server), kind=kind
        )
    sid = call if isinstance(call, str) else getattr(call, "sid", None)
    if not isinstance(sid, str):
        raise WrongType(f"call is {quote(call)}; give a Call, such as place_call(…).result(10)")
    return Subject(
        f"{result} of call {sid}",
        result,
        waits,
        late=partial(_build_no_stream, call, sid),
        kind=kind,
    )


def _say_address(server: _Addressed) -> str:
    return f"no call yet on {hide_user(server.stream_url)}"


def _build_no_call(server: _Addressed, seconds: float) -> NoResultYet:
    return NoResultYet(
        f"no call came within {seconds:g} s",
        consequence=f"{hide_user(server.stream_url)} waits for one",
        fix="Place it with kit.place_call(…, stream_url=server.stream_url), or simulate one with "
        "kit.simulate_call(server.stream_url), then wait again",
    )


def _build_no_stream(call: HasCallSid | str, sid: str, seconds: float) -> NoResultYet:
    status = getattr(call, "status", "")
    return NoResultYet(
        f"no stream of call {sid} started within {seconds:g} s",
        consequence=f"The call is {status}" if status else "",
        fix="A stream starts once the call is answered: wait longer, or answer it",
    )


class _Listed(Protocol):
    """A stream of a server, or one that an inspector relays."""

    @property
    def call_sid(self) -> str: ...

    @property
    def is_open(self) -> bool: ...

    @property
    def closed(self) -> Pending[Any]: ...


S = TypeVar("S", bound=_Listed)


class StreamList(Generic[S]):
    """The streams of a server, and the waits for the next.

    Everything except `streams` must be used on the server's loop.
    """

    def __init__(self) -> None:
        self._streams: list[S] = []
        self._not_handed_out: list[S] = []
        self._waiting: list[tuple[str | None, Pending[S]]] = []

    @property
    def streams(self) -> Series[S]:
        """The open streams and the last ten that ended, oldest first; from any thread."""
        return Series.of(self._streams, "streams")

    def wait_for(self, call_sid: str | None, wait: Pending[S]) -> None:
        """Fulfil `wait` with the stream of that call, or with the next one for None."""
        if call_sid is None:
            found = [stream for stream in self._not_handed_out if stream.is_open]
        else:
            of_call = [stream for stream in self._streams if stream.call_sid == call_sid]
            # A call that was redirected to another <Stream> also has the first, ended one (§6.4).
            found = [stream for stream in of_call if stream.is_open] or of_call
        if not found:
            self._waiting.append((call_sid, wait))
            return
        self._not_handed_out = [s for s in self._not_handed_out if s is not found[0]]
        fulfil(wait, found[0])

    def announce(self, stream: S) -> None:
        """Add a stream that has started, and fulfil the waits for it."""
        self._streams.append(stream)
        answered = [w for sid, w in self._waiting if sid in (None, stream.call_sid)]
        self._waiting = [(s, w) for s, w in self._waiting if s not in (None, stream.call_sid)]
        for wait in answered:
            fulfil(wait, stream)
        if not answered:
            self._not_handed_out.append(stream)

    def give_up(self, error: TwistreamError, call_sid: str | None = None) -> None:
        """Fail the waits for the stream of that call, or all waits if it is None, with `error`."""
        given_up = [w for sid, w in self._waiting if call_sid in (None, sid)]
        self._waiting = [(s, w) for s, w in self._waiting if call_sid not in (None, s)]
        for wait in given_up:
            fail(wait, error)

    def forget_old(self) -> None:
        """Remove ended streams except the last ten."""
        ended = [stream for stream in self._streams if stream.closed.done()]
        for stream in ended[:-KEPT_ENDED_STREAMS]:
            self._streams.remove(stream)
        self._not_handed_out = [s for s in self._not_handed_out if s.is_open]

    def stop(self) -> None:
        """Fail all waits, because the server stops."""
        self.give_up(ServerStopped.before("a stream started"))
        self._not_handed_out.clear()
