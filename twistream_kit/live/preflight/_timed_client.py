"""A client of the Twilio SDK with a timeout, which also reads Twilio's clock from each answer."""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from twilio.http import HttpClient
from twilio.http.response import Response
from twilio.rest import Client

REQUEST_SECONDS = 10.0
"""The timeout of a request; the SDK's own client has none."""


class ClockReading(NamedTuple):
    """The times of a request by the local clock and by Twilio's, in seconds since 1970.

    Attributes:
        sent: Local time before the request.
        received: Local time after the answer.
        date: Twilio's time in between, truncated to a whole second.
    """

    sent: float
    received: float
    date: float


class TimedHttpClient(HttpClient):  # type: ignore[misc]  # the SDK is untyped
    """Passes requests on to another HTTP client of the SDK, with a timeout.

    Args:
        inner: The HTTP client that sends them.

    Attributes:
        readings: A clock reading for each answer with a ``Date`` header.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.readings: list[ClockReading] = []
        super().__init__(getattr(inner, "logger", None), False, REQUEST_SECONDS)

    def request(self, method: str, url: str, **options: Any) -> Response:
        """Send a request; blocks for `REQUEST_SECONDS` at most without receiving data."""
        options["timeout"] = REQUEST_SECONDS
        sent = time.time()
        response = self._inner.request(method, url, **options)
        received = time.time()
        date = _read_date(response)
        if date is not None:
            self.readings.append(ClockReading(sent, received, date))
        return response


def make_timed_client(client: Client) -> tuple[Client, TimedHttpClient]:
    """Make a client for the same account with a timeout; return it and its HTTP client."""
    http_client = TimedHttpClient(client.http_client)
    options = {
        "account_sid": client.account_sid,
        "region": client.region,
        "edge": client.edge,
        "user_agent_extensions": client.user_agent_extensions,
        "http_client": http_client,
    }
    provider = getattr(client, "credential_provider", None)
    if provider is not None:  # SDKs before 9.4 do not know the argument
        options["credential_provider"] = provider
    return Client(client.username, client.password, **options), http_client


def _read_date(response: Response) -> float | None:
    headers = {str(name).lower(): value for name, value in dict(response.headers or {}).items()}
    try:
        return parsedate_to_datetime(str(headers["date"])).timestamp()
    except (KeyError, ValueError):
        return None
