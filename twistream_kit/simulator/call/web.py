"""Twilio as a client of your web server (PROTOCOL.md §1.5, §6.5, §7).

`WebClient` fetches TwiML and sound files, with signatures; `obtain` and `read_script` parse the
responses; `Callbacks` sends status callbacks.  Call progress is §6.6, the state of streams is §8,
the parameters of all voice requests are §6.5.  Callbacks of one kind are delivered in order, one
after the other (§10.30).

Every failed fetch is a `TwimlFault` with the code that Twilio would log; the caller of `fetch`
decides whether it ends the call.
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

from twistream_kit.errors import hide_user
from twistream_kit.protocol.signature import compute_signed_url, sign
from twistream_kit.protocol.twiml import FETCHED_LIMIT
from twistream_kit.simulator.call.context import Callback, CallPlan, Source
from twistream_kit.simulator.call.twiml import PlayBody, Say, TwimlFault, TwimlScript, read_twiml
from twistream_kit.simulator.model.debugger import Debugger

FETCH_SECONDS = 15.0
"""The timeout of a whole request (§1.5): for TwiML, for a sound, and of a callback."""

CONNECT_SECONDS = 5.0
"""The timeout of one attempt to connect (§1.5); Twilio's second attempt is not simulated."""

REDIRECT_LIMIT = 10
"""The largest number of redirects in one request (§1.5)."""

SOUND_BYTES = 40 * 1024 * 1024
"""A limit of the simulator: a larger <Play> file is refused."""

USER_AGENT = "TwilioProxy/1.1"
"""The User-Agent of voice webhooks (§2.1)."""

TWIML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})
"""Content types that are read as TwiML (§1.5)."""

DELIVERY_SECONDS = 2.0
"""How long a stopping simulator waits for callbacks that were not answered yet."""

_PLACE = ("City", "State", "Zip", "Country")


class WebClient:
    """The HTTP client of one call, which keeps its cookies (§6.5).

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
            # A strict jar would drop the cookies of servers that have an IP address and no name.
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
            params: The parameters of the request.
            limit: The largest body accepted, in bytes.
            signed: Whether the request carries a signature.

        Raises:
            TwimlFault: 11100, or 11200 to 11237 for a request without a response, 11215, 11750.  A
                response with a status of 400 or more is returned.
        """
        seconds, why = self._get_timeout(limit)
        try:
            async with asyncio.timeout(seconds):
                return await self._follow(url, method, dict(params or {}), limit, signed=signed)
        except aiohttp.ServerTimeoutError as error:
            raise TwimlFault(
                11201, f"{hide_user(url)}: no connection within {CONNECT_SECONDS:g} s"
            ) from error
        except TimeoutError as error:
            raise TwimlFault(
                11200, f"{hide_user(url)} did not answer within {seconds:g} s{why}"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _make_fault(url, error) from error

    async def fetch_document(self, url: str, method: str, params: Mapping[str, str]) -> FetchedPage:
        """Request TwiML from a webhook, as `fetch` does."""
        return await self.fetch(url, method, params)

    def _get_timeout(self, limit: int) -> tuple[float, str]:  # noqa: ARG002 - subclasses use it
        """Return the timeout of a request for at most `limit` bytes, and a remark for its error."""
        return FETCH_SECONDS, ""

    async def _follow(
        self, url: str, method: str, params: dict[str, str], limit: int, *, signed: bool
    ) -> FetchedPage:
        for _ in range(REDIRECT_LIMIT + 1):
            page, location = await self._request(url, method, params, limit, signed=signed)
            if not location:
                return page
            if page.status in {301, 302, 303}:
                # As browsers do; that Twilio drops the form here is an assumption.
                method, params = "GET", {}
            url = urljoin(url, location)
        raise TwimlFault(
            11215, f"more than {REDIRECT_LIMIT} redirects, the last to {hide_user(url)}"
        )

    async def _request(
        self, url: str, method: str, params: dict[str, str], limit: int, *, signed: bool
    ) -> tuple[FetchedPage, str]:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise TwimlFault(11100, f"{hide_user(url)} is not an absolute http(s) URL")
        if method == "GET" and params:
            url = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(params)}"
        form = params if method == "POST" else None
        headers = {}
        if signed:
            headers["X-Twilio-Signature"] = sign(self._auth_token, compute_signed_url(url), form)
        async with self._session.request(
            method, _keep_encoding(url), data=form, headers=headers, allow_redirects=False
        ) as response:
            content = await response.content.read(limit + 1)
            while len(content) <= limit and (more := await response.content.read(limit + 1)):
                content += more
            if len(content) > limit:
                raise TwimlFault(
                    11750, f"the body of {hide_user(url)} is larger than {limit} bytes"
                )
            kind = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
            location = response.headers.get("Location", "") if 300 <= response.status < 400 else ""
            return FetchedPage(url, response.status, kind, content), location


@dataclass(frozen=True, slots=True)
class FetchedPage:
    """The response of a web server to one request, after redirects.

    Attributes:
        url: The final URL, after redirects.
        status: The HTTP status.
        content_type: In lower case, without parameters; empty if there was none.
        content: The body.
    """

    url: str
    status: int
    content_type: str
    content: bytes

    def check_status(self) -> Self:
        """Return the page itself if its status is less than 400.

        Raises:
            TwimlFault: 11200 if the status is 400 or more.
        """
        if self.status >= 400:
            raise TwimlFault(
                11200, f"{hide_user(self.url)} answered with HTTP status {self.status}"
            )
        return self


def _keep_encoding(url: str) -> aiohttp.typedefs.StrOrURL:
    # aiohttp would decode and encode the query again, and the signature would not match any more.
    from yarl import URL

    return URL(url, encoded=True)


def _make_fault(url: str, error: Exception) -> TwimlFault:
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return TwimlFault(11237, f"{hide_user(url)}: its certificate is not valid")
    if isinstance(error, aiohttp.ClientSSLError):
        return TwimlFault(11220, f"{hide_user(url)}: no TLS connection: {error}")
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return TwimlFault(11210, f"{hide_user(url)}: its host name has no address")
    if isinstance(error, aiohttp.ClientConnectorError):
        return TwimlFault(11202, f"{hide_user(url)}: nobody listens there")
    if isinstance(error, (aiohttp.InvalidURL, ValueError)):
        return TwimlFault(11100, f"{hide_user(url)} is not a URL")
    return TwimlFault(
        11206, f"{hide_user(url)}: the connection broke: {error or type(error).__name__}"
    )


async def obtain(
    source: Source,
    web: WebClient,
    params: Mapping[str, str],
    on_fault: Callable[[TwimlFault], None],
) -> TwimlScript:
    """Read the TwiML that `source` names, or its fallback when that fails.

    Args:
        source: The source of the TwiML.
        web: Fetches it.
        params: The request parameters of §6.5.
        on_fault: Called with a fault before the fallback is fetched.

    Raises:
        TwimlFault: If no TwiML could be read.
    """
    if source.page is not None and not source.page.url:
        # Twilio's behaviour for such a number is not documented.
        raise TwimlFault(11100, "the number that was called has no Voice URL: set its voice_url")
    if source.page is None:
        return read_twiml(source.twiml, into_live_call=source.into_live_call)
    try:
        page = await web.fetch_document(source.page.url, source.page.method, params)
        return read_script(page.check_status())
    except TwimlFault as fault:
        if source.fallback is None:
            raise
        on_fault(fault)
        why = {"ErrorCode": str(fault.code), "ErrorUrl": source.page.url}
    page = await web.fetch_document(source.fallback.url, source.fallback.method, {**params, **why})
    return read_script(page.check_status())


def read_script(page: FetchedPage) -> TwimlScript:
    """Parse a response by its content type: TwiML, text to say, or a sound to play.

    Raises:
        TwimlFault: 12300 for an unsupported or missing content type, 11770 for an empty body, and
            the faults of `read_twiml`.
    """
    if page.content_type in TWIML_TYPES:
        if not page.content:
            raise TwimlFault(11770, f"{page.url} answered with an empty body")
        return read_twiml(page.content, base_url=page.url)
    if page.content_type == "text/plain":
        try:
            return read_twiml(page.content, base_url=page.url)
        except TwimlFault:
            return TwimlScript((Say(page.content.decode("utf-8", "replace")),))
    if page.content_type.startswith("audio/"):
        return TwimlScript((PlayBody(page.content),))
    kind = page.content_type or "no Content-Type"
    raise TwimlFault(12300, f"{page.url} answered with {kind}; TwiML is text/xml")


class Callbacks:
    """Sends the callbacks of one kind for one call, in order.

    Args:
        web: Sends the requests.
        debugger: Logs failures: 15003 for a status of 400 or more.
        call_sid: The SID of the call.
    """

    def __init__(self, web: WebClient, debugger: Debugger, call_sid: str) -> None:
        self._web = web
        self._debugger = debugger
        self._call_sid = call_sid
        self._last: asyncio.Task[None] | None = None

    def send(self, callback: Callback, params: Mapping[str, str]) -> None:
        """Send `params` after all earlier callbacks; nothing happens without a URL."""
        if callback.url:
            earlier = self._last
            self._last = asyncio.create_task(self._send(earlier, callback, dict(params)))

    async def wait_delivered(self, limit: float = DELIVERY_SECONDS) -> None:
        """Wait until all callbacks were answered, at most `limit` seconds; cancels nothing."""
        if self._last is not None:
            await asyncio.wait({self._last}, timeout=limit)

    def drop(self) -> None:
        """Cancel the callbacks that were not answered yet."""
        if self._last is not None:
            self._last.cancel()

    async def _send(
        self, earlier: asyncio.Task[None] | None, callback: Callback, params: dict[str, str]
    ) -> None:
        if earlier is not None:
            # Awaited, so that cancelling the last task cancels the whole queue.
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


def make_voice_params(
    plan: CallPlan, *, call_sid: str, account_sid: str, status: str
) -> dict[str, str]:
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
        # An unknown part of a place is empty, not absent.
        params |= {f"{who}{part}": "" for part in _PLACE}
        if number.startswith("+1"):
            params[f"{who}Country"] = "US"
    return params


def make_terminal_params(seconds: int, sip_code: int) -> dict[str, str]:
    """Return the parameters that only the last progress callback has (§6.6).

    `Duration` is in billed minutes.
    """
    return {
        "CallDuration": str(seconds),
        "Duration": str(math.ceil(seconds / 60)),
        "SipResponseCode": str(sip_code),
    }


def make_stream_params(
    *, account_sid: str, call_sid: str, stream_sid: str, name: str, event: str, error: str = ""
) -> dict[str, str]:
    """Return the parameters of a stream's status callback; `StreamError` only on errors (§8)."""
    params = {
        "AccountSid": account_sid,
        "CallSid": call_sid,
        "StreamSid": stream_sid,
        "StreamName": name or stream_sid,
        "StreamEvent": event,
        "Timestamp": format_timestamp(time.time_ns()),
    }
    return params | {"StreamError": error} if error else params


def format_timestamp(ns: int) -> str:
    """Return nanoseconds since the epoch as ISO 8601 in UTC: 2024-11-29T00:09:39.602648368Z."""
    seconds, rest = divmod(ns, 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"


def format_rfc2822(moment: datetime) -> str:
    """Format a date as Twilio's REST API does: Tue, 31 Aug 2010 20:36:28 +0000."""
    return format_datetime(moment)
