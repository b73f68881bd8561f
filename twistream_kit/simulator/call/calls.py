"""All calls of one simulator, oldest first."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import overload

from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.context import CallPlan, Exchange
from twistream_kit.simulator.call.endpoint import Line

CLOSE_SECONDS = 8.0
"""How long calls may take to end in order, callbacks and Close frames included."""


class Calls(Sequence[SimulatedCall]):
    """The calls so far.  Reading is for any thread, placing and ending for the simulator's loop.

    Args:
        lines: The telephones by number; a number without one cannot be reached.
    """

    def __init__(self, lines: Mapping[str, Line[SimulatedCall]]) -> None:
        self._lines = lines
        self._calls: list[SimulatedCall] = []
        self._lives: set[asyncio.Task[None]] = set()

    def place(self, exchange: Exchange, plan: CallPlan) -> SimulatedCall:
        """Begin a call to a telephone, as a REST request does."""
        return self._begin(SimulatedCall(exchange, plan, self._lines.get(plan.to)))

    def receive(
        self, exchange: Exchange, plan: CallPlan, line: Line[SimulatedCall]
    ) -> SimulatedCall:
        """Begin a call from a telephone to a number of the account."""
        call = SimulatedCall(exchange, plan, line)
        line.dial(call)
        return self._begin(call)

    @property
    def running(self) -> int:
        """How many of them are not over."""
        return sum(not call.over for call in self)

    def find(self, sid: str) -> SimulatedCall | None:
        """Return the call of that SID."""
        return next((call for call in self._calls if call.sid == sid), None)

    def forget(self, call: SimulatedCall) -> None:
        """Take a call that is over from the list."""
        self._calls.remove(call)

    async def close(self) -> None:
        """End all calls in order, and wait until nothing of them is left."""
        for call in self._calls:
            # A call that was never answered has been cancelled, not completed (§6.3).
            call.end("completed" if call.started else "canceled")
        if self._lives:
            _, late = await asyncio.wait(self._lives, timeout=CLOSE_SECONDS)
            for life in late:
                life.cancel()
            if late:
                await asyncio.wait(late)

    def _begin(self, call: SimulatedCall) -> SimulatedCall:
        self._calls.append(call)
        life = asyncio.create_task(call.live(), name=f"simulated call {call.sid}")
        self._lives.add(life)
        life.add_done_callback(self._ended)
        return call

    def _ended(self, life: asyncio.Task[None]) -> None:
        self._lives.discard(life)
        if not life.cancelled() and (error := life.exception()) is not None:
            context = {"message": f"{life.get_name()} broke", "exception": error}
            life.get_loop().call_exception_handler(context)

    @overload
    def __getitem__(self, index: int) -> SimulatedCall: ...
    @overload
    def __getitem__(self, index: slice) -> list[SimulatedCall]: ...
    def __getitem__(self, index: int | slice) -> SimulatedCall | list[SimulatedCall]:
        return self._calls[index]

    def __len__(self) -> int:
        return len(self._calls)

    def __iter__(self) -> Iterator[SimulatedCall]:
        return iter(list(self._calls))

    def __repr__(self) -> str:
        return "\n".join(map(repr, self)) or "no calls yet"
