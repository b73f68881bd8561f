"""Redirects the requests of Twilio's own SDK to the simulator.

Only scheme and host of each request change; path, parameters, credentials and the parsing of the
response stay the SDK's.  So the same `twilio.rest.Client` code runs against both.
"""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import urlsplit

from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response

from twistream_kit.errors import ServerStopped, WouldDeadlock
from twistream_kit.pending import get_running_loop

TIMEOUT_SECONDS = 10.0
"""The timeout of a request; a simulator on the same machine that exceeds it will never answer."""


class LoopbackHttpClient(TwilioHttpClient):  # type: ignore[misc]  # the SDK is untyped
    """Sends the SDK's requests to a simulator on this machine.

    Args:
        origin: Scheme, host and port of the simulator: ``http://127.0.0.1:40001``.
        loop: The event loop that the simulator runs on.

    Attributes:
        dials_loopback: True: calls placed through this client may be sent to loopback addresses.
        loop: The event loop that the simulator runs on.
        stop_reason: Why all calls of this client end now, in words; empty while they go on.
    """

    dials_loopback = True

    def __init__(self, origin: str, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(timeout=TIMEOUT_SECONDS)
        self.origin = origin
        self.loop = loop
        self.stop_reason = ""
        self._closed = False
        # A proxy variable in the environment must not apply to requests on this machine.
        self.session.trust_env = False

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Response:
        """Send one request; blocks until it is answered.

        Raises:
            WouldDeadlock: If called on the simulator's own loop.
            ServerStopped: If the simulator has been stopped.
        """
        if self._closed:
            raise ServerStopped(
                "the simulator that this client belongs to has stopped",
                fix="Start a SimulatedTwilio and use its client",
            )
        if get_running_loop() is self.loop:
            raise WouldDeadlock(
                "the Twilio SDK would block the loop that has to answer the request",
                consequence="The request would never end",
                fix="Use kit.place_call(…), or await asyncio.to_thread(client.calls.create, …)",
            )
        parts = urlsplit(url)
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        return super().request(method, self.origin + path, *args, **options)

    def close(self) -> None:
        """Close the connections; every later request raises `ServerStopped`."""
        self._closed = True
        self.session.close()
