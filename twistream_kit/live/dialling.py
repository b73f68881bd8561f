"""Placing a call with the official Twilio SDK, and hanging it up.

The SDK blocks, so it never runs on a loop: each request has a worker thread and returns a
`Pending`.  What Twilio refuses becomes a `CallRefused` with Twilio's code and what to do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from twistream_kit.errors import CallRefused, TwistreamError
from twistream_kit.live.playing import Playing
from twistream_kit.live.stream import GOODBYE_SECONDS
from twistream_kit.live.worker import on_worker
from twistream_kit.pending import Pending
from twistream_kit.protocol.codes import UnknownCode, explain
from twistream_kit.protocol.stream_address import is_loopback
from twistream_kit.protocol.twiml import connect_stream

if TYPE_CHECKING:
    from twilio.rest import Client

T = TypeVar("T")

ALREADY_OVER = (20404, 21220)
"""What Twilio answers when a call to be completed has ended already (PROTOCOL.md §6.4)."""

_ENDED = ("completed", "busy", "failed", "no-answer", "canceled")


class Call:
    """A call that was placed.

    Attributes:
        sid: CA and 32 hex digits.
        to: The number called, E.164.
        from_: The number that calls, E.164.
    """

    def __init__(self, client: Client, sid: str, *, to: str, from_: str, status: str) -> None:
        self._client = client
        self.sid = sid
        self.to = to
        self.from_ = from_
        self._status = status

    @property
    def status(self) -> str:
        """The last known status (§6.3); no request is made.  See `refresh`."""
        return self._status

    @property
    def is_over(self) -> bool:
        """Whether the last known status is a final one."""
        return self._status in _ENDED

    def __repr__(self) -> str:
        return f"<Call {self.sid}: {self.from_} to {self.to}, {self._status}>"

    def refresh(self) -> Pending[str]:
        """Ask Twilio for the status; returns a `Pending` with it.  Callable from any thread."""
        return self._request("asking for a call", self._fetch_status)

    def hang_up(self, *, after: Playing | None = None) -> Pending[str]:
        """End the call; callable from any thread, any number of times.

        Args:
            after: A playback to be heard first, waited for at most five seconds longer than its
                sound lasts (§9 item 13: hanging up cuts a goodbye).

        Returns:
            A `Pending` with the status.  A call that is over already is no error.
        """

        def complete() -> str:
            if after is not None:
                _wait_for(after)
            return self._complete()

        return self._request("hanging up", complete)

    def _request(self, name: str, work: Callable[[], str]) -> Pending[str]:
        return on_worker(f"{name} {self.sid}", work, home=_home_of(self._client))

    def _fetch_status(self) -> str:
        call = _ask(lambda: self._client.calls(self.sid).fetch(), f"about call {self.sid}")
        self._status = str(call.status)
        return self._status

    def _complete(self) -> str:
        try:
            call = _ask(
                lambda: self._client.calls(self.sid).update(status="completed"),
                f"to hang up call {self.sid}",
            )
        except CallRefused as refused:
            if refused.code not in ALREADY_OVER:
                raise
            self._status = self._status if self.is_over else "completed"
        else:
            self._status = str(call.status)
        return self._status


def place_call(
    client: Client,
    *,
    to: str,
    from_: str,
    stream_url: str,
    parameters: Mapping[str, str] | None = None,
    status_callback: str | None = None,
    ring_seconds: int | None = None,
) -> Pending[Call]:
    """Call somebody and connect the call to a stream; callable from any thread.

    Args:
        client: The real ``twilio.rest.Client``: `client_from_environment`, or a simulator's.
        to: Whom to call, E.164.
        from_: A number of the account's, E.164.
        stream_url: ``server.stream_url``, wss.
        parameters: Names and values that arrive as ``stream.parameters``.
        status_callback: Where Twilio reports ringing, answer and end: ``server.status_url``.
        ring_seconds: After how long to give up; Twilio's default is 60.

    Returns:
        A `Pending` with the `Call` as soon as Twilio has accepted it, which is before it rings.
        It gets a `CallRefused` with Twilio's code when it is refused.

    Raises:
        LocalProtocolError: If the URL or the parameters cannot be put into TwiML.
        CallRefused: If `stream_url` leads nowhere from where Twilio is.
    """
    _check_reachable(client, stream_url)
    twiml = connect_stream(stream_url, parameters=parameters)
    options: dict[str, Any] = {"to": to, "from_": from_, "twiml": twiml}
    if ring_seconds is not None:
        options["timeout"] = ring_seconds
    if status_callback is not None:
        options["status_callback"] = status_callback
        options["status_callback_event"] = ["initiated", "ringing", "answered", "completed"]

    def create() -> Call:
        call = _ask(lambda: client.calls.create(**options), f"to call {to} from {from_}")
        return Call(client, str(call.sid), to=to, from_=from_, status=str(call.status))

    return on_worker(f"calling {to}", create, home=_home_of(client))


def _check_reachable(client: Client, stream_url: str) -> None:
    if getattr(client.http_client, "dials_loopback", False):
        return
    if stream_url.lower().startswith("wss://") and not is_loopback(stream_url):
        return
    raise CallRefused(
        f"{stream_url} cannot be reached by Twilio: it needs a wss address on the public internet",
        consequence="The call would be answered and dropped, with error 31920 or 31922",
        fix="Open a tunnel first: kit.start(kit.open_tunnel(server)), then use server.stream_url",
    )


def _ask(request: Callable[[], T], purpose: str) -> T:
    """Make one request of the SDK's, and say in words why it failed if it does."""
    import requests
    from twilio.base.exceptions import TwilioException, TwilioRestException

    try:
        return request()
    except TwistreamError:
        raise
    except TwilioRestException as refused:
        raise _refused(refused, purpose) from refused
    except requests.RequestException as error:
        raise CallRefused(
            f"Twilio could not be reached ({type(error).__name__}) {purpose}",
            consequence="Whether the request arrived is not known",
            fix="Look at the network, the proxy and the name of the region, then at the calls in "
            "the Twilio console before you try again",
        ) from error
    except TwilioException as error:
        raise CallRefused(f"the Twilio SDK refused {purpose}: {error}") from error


def _refused(refused: Any, purpose: str) -> CallRefused:
    code = int(refused.code) if refused.code else None
    meaning, fix = "", ""
    if code is not None:
        try:
            known = explain(code)
        except UnknownCode:
            fix = f"See https://www.twilio.com/docs/api/errors/{code}"
        else:
            meaning, fix = known.meaning, known.remedy
    return CallRefused(
        f"Twilio refused {purpose}: {code or refused.status}, {refused.msg}",
        code=code,
        status=refused.status,
        consequence=meaning,
        fix=fix,
    )


def _wait_for(playing: Playing) -> None:
    remaining = (1 - playing.progress) * playing.total_ms / 1000
    try:
        playing.result(remaining + GOODBYE_SECONDS)
    except TimeoutError:
        return  # nothing waits for ever: the call is hung up all the same


def _home_of(client: Client) -> asyncio.AbstractEventLoop | None:
    # A simulator's client is answered by a loop of this process, which must not be blocked.
    return getattr(client.http_client, "loop", None)
