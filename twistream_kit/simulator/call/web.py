"""Twilio as a client of your web server (PROTOCOL.md §1.5, §6.5, §7).

`WebClient` fetches TwiML and sound files, signed; `obtain` and `script_of` make a script of an
answer; `Callbacks` sends status callbacks.  Call progress is §6.6, the state of streams is §8, the
parameters of all voice requests are §6.5.  Callbacks of one kind are delivered in order, one after
the other (§10.30).

Every failure of a fetch is a `TwimlFault` with the code that Twilio would log; what called
`fetch` decides whether the call ends over it.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp

from twistream_kit.protocol.signature import compute_signed_url, sign
from twistream_kit.protocol.twiml import FETCHED_LIMIT
from twistream_kit.simulator.call.context import Callback, CallPlan, Source
from twistream_kit.simulator.call.twiml import PlayBody, Say, Script, TwimlFault, read_twiml
from twistream_kit.simulator.model.debugger import Debugger

FETCH_SECONDS = 15.0
"""The whole of one request may take this long (§1.5)."""

CONNECT_SECONDS = 5.0
"""One attempt to connect (§1.5); the second attempt is not made here."""

REDIRECT_LIMIT = 10
"""Redirects followed in one request (§1.5)."""

SOUND_BYTES = 40 * 1024 * 1024
"""A limit of our own: a <Play> file beyond it is refused."""

USER_AGENT = "TwilioProxy/1.1"
"""As voice webhooks carry it (§2.1)."""

TWIML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})
"""Content types that are read as TwiML (§1.5)."""

DELIVERY_SECONDS = 2.0
"""How long the end of a simulator waits for callbacks that are on their way."""

_PLACE = ("City", "State", "Zip", "Country")


class WebClient:
    """Requests made for one call, which keeps its cookies (§6.5).

    Args:
        auth_token: Signs every request.
        connector: The connections, shared by all calls and closed by their owner.
    """

    def __init__(self, auth_token: str, connector: aiohttp.BaseConnector) -> None:
        self._auth_token = auth_token
        self._connector = connector

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(
            connector=self._connector,
            connector_owner=False,
            # The servers here have an address and no name; a strict jar would drop their cookies.
            cookie_jar=aiohttp.CookieJar(unsafe=True),
            timeout=aiohttp.ClientTimeout(total=FETCH_SECONDS, sock_connect=CONNECT_SECONDS),
            trust_env=False,
            headers={"User-Agent": USER_AGENT, "Accept": "*/*"},
            skip_auto_headers=("Accept-Encoding",),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()

    async def fetch(
        self,
        url: str,
        method: str = "POST",
        params: Mapping[str, str] | None = None,
        *,
        limit: int = FETCHED_LIMIT,
        signed: bool = True,
    ) -> FetchedPage:
        """Request `url` with `params` as a form (POST) or in the query (GET), and follow redirects.

        Args:
            url: Absolute, http or https.
            method: POST or GET.
            params: What Twilio tells the server.
            limit: The largest body taken, in bytes.
            signed: Whether the request carries a signature.

        Raises:
            TwimlFault: 11100, or 11200 to 11237 for a request that brought no answer, 11215,
                11750.  An answer of 400 or more is returned.
        """
        seconds, why = self._patience(limit)
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(url, method, dict(params or {}), limit, signed=signed)
        except aiohttp.ServerTimeoutError as error:
            raise TwimlFault(11201, f"{url}: no connection within 5 s") from error
        except TimeoutError as error:
            raise TwimlFault(11200, f"{url} did not answer within {seconds:g} s{why}") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _fault_of(url, error) from error

    async def fetch_document(self, url: str, method: str, params: Mapping[str, str]) -> FetchedPage:
        """Ask a webhook for TwiML; as `fetch` does."""
        return await self.fetch(url, method, params)

    def _patience(self, limit: int) -> tuple[float, str]:  # noqa: ARG002 - for those who differ
        """Return how long a request for so many bytes may take, and why if it is a special time."""
        return FETCH_SECONDS, ""

    async def _follow(
        self, url: str, method: str, params: dict[str, str], limit: int, *, signed: bool
    ) -> FetchedPage:
        for _ in range(REDIRECT_LIMIT + 1):
            page, location = await self._request(url, method, params, limit, signed=signed)
            if not location:
                return page
            if page.status in {301, 302, 303}:
                # What a browser does too; that Twilio drops the form here is an assumption.
                method, params = "GET", {}
            url = urljoin(url, location)
        raise TwimlFault(11215, f"more than {REDIRECT_LIMIT} redirects, the last to {url}")

    async def _request(
        self, url: str, method: str, params: dict[str, str], limit: int, *, signed: bool
    ) -> tuple[FetchedPage, str]:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise TwimlFault(11100, f"{url} is not an absolute http(s) URL")
        if method == "GET" and params:
            url = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(params)}"
        form = params if method == "POST" else None
        headers = {}
        if signed:
            headers["X-Twilio-Signature"] = sign(self._auth_token, compute_signed_url(url), form)
        async with self._session.request(
            method, _exactly(url), data=form, headers=headers, allow_redirects=False
        ) as response:
            content = await response.content.read(limit + 1)
            while len(content) <= limit and (more := await response.content.read(limit + 1)):
                content += more
            if len(content) > limit:
                raise TwimlFault(11750, f"the body of {url} is larger than {limit} bytes")
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            location = response.headers.get("Location", "") if 300 <= response.status < 400 else ""
            return FetchedPage(url, response.status, kind, content), location


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """What a web server answered to one request, redirects followed.

    Attributes:
        url: Where it was found in the end, after redirects.
        status: HTTP status.
        content_type: Lower case, without parameters; empty when there was none.
        content: The body.
    """

    url: str
    status: int
    content_type: str
    content: bytes

    def in_full(self) -> Self:
        """Return the page itself.

        Raises:
            TwimlFault: 11200 if the answer was 400 or more.
        """
        if self.status >= 400:
            raise TwimlFault(11200, f"{self.url} answered with HTTP status {self.status}")
        return self


def _exactly(url: str) -> aiohttp.typedefs.StrOrURL:
    # aiohttp would decode and encode the query anew, and the signature would not fit it any more.
    from yarl import URL

    return URL(url, encoded=True)


def _fault_of(url: str, error: Exception) -> TwimlFault:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return TwimlFault(11237, f"{url}: its certificate is not valid")
    if isinstance(error, aiohttp.ClientSSLError):
        return TwimlFault(11220, f"{url}: no TLS connection: {error}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TwimlFault(11210, f"{url}: its host name has no address")
    if isinstance(error, aiohttp.ClientConnectorError):
        return TwimlFault(11202, f"{url}: nobody listens there")
    if isinstance(error, (aiohttp.InvalidURL, ValueError)):
        return TwimlFault(11100, f"{url} is not a URL")
    return TwimlFault(11206, f"{url}: the connection broke: {error or type(error).__name__}")


async def obtain(
    source: Source,
    web: WebClient,
    params: Mapping[str, str],
    on_fault: Callable[[TwimlFault], None],
) -> Script:
    """Read the TwiML that `source` names, or its fallback when that fails.

    Args:
        source: Where it is.
        web: Fetches it.
        params: The request parameters of §6.5.
        on_fault: Told of a fault that the fallback may still mend.

    Raises:
        TwimlFault: If there is no TwiML to be had.
    """
    if source.page is not None and not source.page.url:
        # What Twilio does with such a number is not documented.
        raise TwimlFault(11100, "the number that was called has no Voice URL: set its voice_url")
    if source.page is None:
        return read_twiml(source.twiml, into_live_call=source.into_live_call)
    try:
        page = await web.fetch_document(source.page.url, source.page.method, params)
        return script_of(page.in_full())
    except TwimlFault as fault:
        if source.fallback is None:
            raise
        on_fault(fault)
        why = {"ErrorCode": str(fault.code), "ErrorUrl": source.page.url}
    page = await web.fetch_document(source.fallback.url, source.fallback.method, {**params, **why})
    return script_of(page.in_full())


def script_of(page: FetchedPage) -> Script:
    """Read an answer by its content type: TwiML, words to say, or a sound to play.

    Raises:
        TwimlFault: 12300 for a type that is not understood or missing, 11770 for no body at all,
            and the faults of `read_twiml`.
    """
    if page.content_type in TWIML_TYPES:
        if not page.content:
            raise TwimlFault(11770, f"{page.url} answered with an empty body")
        return read_twiml(page.content, base_url=page.url)
    if page.content_type == "text/plain":
        try:
            return read_twiml(page.content, base_url=page.url)
        except TwimlFault:
            return Script((Say(page.content.decode("utf-8", "replace")),))
    if page.content_type.startswith("audio/"):
        return Script((PlayBody(page.content),))
    kind = page.content_type or "no Content-Type"
    raise TwimlFault(12300, f"{page.url} answered with {kind}; TwiML is text/xml")


class Callbacks:
    """Sends the callbacks of one kind for one call, in the order they were told.

    Args:
        web: Sends them.
        debugger: Where failures go, as 15003 for an answer of 400 or more.
        call_sid: The call they belong to.
    """

    def __init__(self, web: WebClient, debugger: Debugger, call_sid: str) -> None:
        self._web = web
        self._debugger = debugger
        self._call_sid = call_sid
        self._last: asyncio.Task[None] | None = None

    def send(self, callback: Callback, params: Mapping[str, str]) -> None:
        """Send `params` after what was sent before; nothing happens without a URL."""
        if callback.url:
            earlier = self._last
            self._last = asyncio.create_task(self._send(earlier, callback, dict(params)))

    async def delivered(self, limit: float = DELIVERY_SECONDS) -> None:
        """Wait until all of them were answered, at most `limit` seconds; cancels nothing."""
        if self._last is not None:
            await asyncio.wait({self._last}, timeout=limit)

    def drop(self) -> None:
        """Give up those that are still on their way."""
        if self._last is not None:
            self._last.cancel()

    async def _send(
        self, earlier: asyncio.Task[None] | None, callback: Callback, params: dict[str, str]
    ) -> None:
        if earlier is not None:
            # Awaited, so that dropping the last one drops the whole queue.
            await earlier
        try:
            page = await self._web.fetch(callback.url, callback.method, params)
        except TwimlFault as fault:
            self._debugger.log(
                fault.code, f"status callback: {fault.text}", call_sid=self._call_sid
            )
        else:
            if page.status >= 400:
                self._debugger.log(
                    15003,
                    f"the status callback {callback.url} answered with HTTP status {page.status}",
                    call_sid=self._call_sid,
                )


def voice_params(plan: CallPlan, *, call_sid: str, account_sid: str, status: str) -> dict[str, str]:
    """Return the parameters that come with every voice request (§6.5)."""
    params = {
        "CallSid": call_sid,
        "AccountSid": account_sid,
        "From": plan.from_,
        "To": plan.to,
        "Called": plan.to,
        "Caller": plan.from_,
        "CallStatus": status,
        "ApiVersion": "2010-04-01",
        "Direction": plan.direction,
    }
    for who, number in {
        "From": plan.from_, "To": plan.to, "Called": plan.to, "Caller": plan.from_,
    }.items():  # fmt: skip
        # What is unknown of a place is empty, not absent.
        params |= {f"{who}{part}": "" for part in _PLACE}
        if number.startswith("+1"):
            params[f"{who}Country"] = "US"
    return params


def terminal_params(seconds: int, sip_code: int) -> dict[str, str]:
    """Return what the last progress callback adds (§6.6): `Duration` is billed minutes."""
    return {
        "CallDuration": str(seconds),
        "Duration": str(math.ceil(seconds / 60)),
        "SipResponseCode": str(sip_code),
    }


def stream_params(
    *, account_sid: str, call_sid: str, stream_sid: str, name: str, event: str, error: str = ""
) -> dict[str, str]:
    """Return the parameters of a stream's status callback; `StreamError` only on errors (§8)."""
    params = {
        "AccountSid": account_sid,
        "CallSid": call_sid,
        "StreamSid": stream_sid,
        "StreamName": name or stream_sid,
        "StreamEvent": event,
        "Timestamp": nanosecond_timestamp(time.time_ns()),
    }
    return params | {"StreamError": error} if error else params


def nanosecond_timestamp(ns: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 in UTC: 2024-11-29T00:09:39.602648368Z."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def rfc2822(moment: datetime) -> str:
    """Return a date as Twilio's REST API writes it: Tue, 31 Aug 2010 20:36:28 +0000."""
    return format_datetime(moment)
