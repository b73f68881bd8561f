"""Twilio's web client: TwiML, sound files and callbacks, signed (PROTOCOL.md §1.5, §6.5, §7).

Every failure is a `TwimlFault` with the code that Twilio would log, so that whoever asked decides
whether the call ends over it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlencode, urljoin, urlsplit

import aiohttp

from twistream_kit.protocol.signature import sign, signed_url
from twistream_kit.simulator.call.twiml import TwimlFault

FETCH_SECONDS = 15.0
"""The whole of one request may take this long (§1.5)."""

CONNECT_SECONDS = 5.0
"""One attempt to connect (§1.5); the second attempt is not made here."""

REDIRECT_LIMIT = 10
"""Redirects followed in one request (§1.5)."""

TWIML_BYTES = 64 * 1024
"""A larger TwiML document is fault 11750 (§1.5)."""

SOUND_BYTES = 40 * 1024 * 1024
"""A limit of our own: a <Play> file beyond it is refused."""

USER_AGENT = "TwilioProxy/1.1"
"""As voice webhooks carry it (§2.1)."""


@dataclass(frozen=True, slots=True)
class Page:
    """What a web server answered.

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
        limit: int = TWIML_BYTES,
    ) -> Page:
        """Request `url` with `params` as a form (POST) or in the query (GET), and follow redirects.

        Args:
            url: Absolute, http or https.
            method: POST or GET.
            params: What Twilio tells the server.
            limit: The largest body taken, in bytes.

        Raises:
            TwimlFault: 11100, or 11200 to 11237 for a request that brought no answer, 11215,
                11750.  An answer of 400 or more is returned.
        """
        try:
            async with asyncio.timeout(FETCH_SECONDS):
                return await self._follow(url, method, dict(params or {}), limit)
        except aiohttp.ServerTimeoutError as error:
            raise TwimlFault(11201, f"{url}: no connection within 5 s") from error
        except TimeoutError as error:
            raise TwimlFault(11200, f"{url} did not answer within 15 s") from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise _fault_of(url, error) from error

    async def _follow(self, url: str, method: str, params: dict[str, str], limit: int) -> Page:
        for _ in range(REDIRECT_LIMIT + 1):
            page, location = await self._request(url, method, params, limit)
            if not location:
                return page
            if page.status in {301, 302, 303}:
                # What a browser does too; that Twilio drops the form here is an assumption.
                method, params = "GET", {}
            url = urljoin(url, location)
        raise TwimlFault(11215, f"more than {REDIRECT_LIMIT} redirects, the last to {url}")

    async def _request(
        self, url: str, method: str, params: dict[str, str], limit: int
    ) -> tuple[Page, str]:
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).hostname:
            raise TwimlFault(11100, f"{url} is not an absolute http(s) URL")
        if method == "GET" and params:
            url = f"{url}{'&' if urlsplit(url).query else '?'}{urlencode(params)}"
        form = params if method == "POST" else None
        headers = {"X-Twilio-Signature": sign(self._auth_token, signed_url(url), form)}
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
            return Page(url, response.status, kind, content), location


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
