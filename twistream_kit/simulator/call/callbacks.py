"""What Twilio tells your web server: request parameters and status callbacks.

Call progress is PROTOCOL.md §6.6, the state of streams is §8, the parameters of all voice requests
are §6.5.  Callbacks of one kind are delivered in order, one after the other (§10.30).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import format_datetime

from twistream_kit.simulator.call.context import Callback, CallPlan
from twistream_kit.simulator.call.twiml import TwimlFault
from twistream_kit.simulator.call.web import WebClient
from twistream_kit.simulator.model.debugger import Debugger

DELIVERY_SECONDS = 2.0
"""How long the end of a simulator waits for callbacks that are on their way."""

_PLACE = ("City", "State", "Zip", "Country")


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
