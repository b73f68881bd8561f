"""Call progress, told to the status callback of the call (PROTOCOL.md §6.6)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

from twistream_kit.simulator.call.callbacks import Callbacks, rfc2822
from twistream_kit.simulator.call.context import CallPlan


class Progress:
    """Tells those events that were subscribed to.

    Args:
        plan: Says where to and which events.
        callbacks: Sends them.
    """

    def __init__(self, plan: CallPlan, callbacks: Callbacks) -> None:
        self._plan = plan
        self._callbacks = callbacks
        self._told = 0

    def tell(self, event: str, params: Mapping[str, str]) -> None:
        """Tell `event`, one of ``initiated``, ``ringing``, ``answered``, ``completed``.

        Busy, no-answer, failed and canceled calls end with ``completed`` too; their `CallStatus`
        says which it was.
        """
        if event not in self._plan.events:
            return
        extra = {
            "CallbackSource": "call-progress-events",
            "Timestamp": rfc2822(datetime.now(UTC)),
            # Counts what is sent, so a lone completed event has number 0; an assumption.
            "SequenceNumber": str(self._told),
        }
        self._told += 1
        self._callbacks.send(self._plan.callback, {**params, **extra})

    async def delivered(self, limit: float = 2.0) -> None:
        """Wait until all was answered, at most `limit` seconds."""
        await self._callbacks.delivered(limit)

    def drop(self) -> None:
        """Give up what is still on its way."""
        self._callbacks.drop()
