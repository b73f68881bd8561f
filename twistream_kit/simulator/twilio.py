"""Twilio's side of everything, on this machine: `SimulatedTwilio`."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self, get_args

import aiohttp
from twilio.rest import Client

from twistream_kit.errors import CallRefused, ServerStopped
from twistream_kit.pending import HomeLoop, Pending, fail, fulfil
from twistream_kit.simulator.assumptions import Behaviour
from twistream_kit.simulator.call import SimulatedCall
from twistream_kit.simulator.call_request import incoming_plan
from twistream_kit.simulator.calls import Calls
from twistream_kit.simulator.debugger import Debugger
from twistream_kit.simulator.exchange import Exchange
from twistream_kit.simulator.http_client import LoopbackHttpClient
from twistream_kit.simulator.line import AnswerMode, Line
from twistream_kit.simulator.numbers import (
    ACCOUNT_NUMBERS,
    AccountNumber,
    Sids,
    in_national_form,
    is_e164,
    new_auth_token,
)
from twistream_kit.simulator.pacer import Pacer
from twistream_kit.simulator.phone import Phone
from twistream_kit.simulator.rest import RestApi, serve


@dataclass(slots=True)
class _Running:
    """What exists only while the simulator is entered."""

    exchange: Exchange
    client: Client
    resources: AsyncExitStack


class SimulatedTwilio:
    """An account with Twilio, and telephones, without Twilio and without telephones.

    A real HTTP server on loopback answers the official SDK; behind it calls ring, are answered,
    fetch TwiML, open Media Streams and report their progress, all in real time.  It is an
    asynchronous context manager: ``async with SimulatedTwilio() as twilio`` or, in a notebook,
    ``twilio = kit.start(kit.SimulatedTwilio())``.  It can be entered again after it was left.

    Args:
        ring_seconds: How long a telephone that answers by itself rings first.
        behaviour: Switches for what is not known of Twilio.
        numbers: The account's own numbers, E.164.

    Attributes:
        account_sid: AC and 32 hex digits, the same in every run.
        auth_token: Drawn anew for each simulator; never part of a repr.
        calls: All calls, oldest first.
        debugger: What Twilio's console would show.
    """

    def __init__(
        self,
        *,
        ring_seconds: float = 0.2,
        behaviour: Behaviour | None = None,
        numbers: tuple[str, ...] = ACCOUNT_NUMBERS,
    ) -> None:
        if ring_seconds < 0:
            raise ValueError(f"ring_seconds is {ring_seconds!r}; a phone rings 0 seconds or longer")
        if not numbers:
            raise ValueError("numbers is empty; an account has one or more")
        for number in numbers:
            _require_e164(number)
        self._sids = Sids()
        self._ring_seconds = ring_seconds
        self._behaviour = behaviour or Behaviour()
        self.account_sid = self._sids.make("AC")
        self.auth_token = new_auth_token()
        self.debugger = Debugger()
        self._own = [
            AccountNumber(self._sids.make("PN"), number, in_national_form(number))
            for number in numbers
        ]
        self._numbers = {number.sid: number for number in self._own}
        self._lines: dict[str, Line] = {}
        self._phones: dict[str, Phone] = {}
        self._lock = threading.Lock()
        self.calls = Calls(self._lines)
        self._pacer = Pacer()
        self._home = HomeLoop("the simulator")
        self._running: _Running | None = None

    @property
    def client(self) -> Client:
        """The official SDK's client, whose requests come here.

        It blocks, so it is for cells and worker threads, not for the simulator's own loop.

        Raises:
            ServerStopped: If the simulator is not running.
        """
        return self._now_running().client

    @property
    def numbers(self) -> tuple[str, ...]:
        """The account's own numbers; the first one will do as `from_`."""
        return tuple(number.phone_number for number in self._own)

    @property
    def url(self) -> str:
        """Where the REST API is: ``http://127.0.0.1:`` and a port.

        Raises:
            ServerStopped: If the simulator is not running.
        """
        return self._client_of(self._now_running()).origin

    @property
    def pacer(self) -> Pacer:
        """The beat that all calls follow; its `lateness` says how late the simulator itself was."""
        return self._pacer

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop it runs on, or None."""
        return self._home.loop

    def phone(self, number: str, answer: AnswerMode = "auto") -> Phone:
        """Return the telephone with that number, which is put there if it did not exist.

        Callable from any thread.

        Args:
            number: E.164, such as ``+15550100001``.
            answer: What it does when it rings: ``auto`` answers, ``manual`` waits for
                `Phone.answer`, ``busy`` is engaged, ``never`` rings on, ``reject`` declines.

        Raises:
            ValueError: For a number that is not E.164, belongs to the account, or another `answer`.
        """
        _require_e164(number)
        if answer not in get_args(AnswerMode):
            raise ValueError(
                f"answer is {answer!r}; it must be one of {', '.join(get_args(AnswerMode))}"
            )
        if number in self.numbers:
            raise ValueError(
                f"{number} is a number of the account, not a telephone; "
                "use another one, such as +15550100001"
            )
        with self._lock:
            if number not in self._phones:
                self._lines[number] = Line(number, answer)
                self._phones[number] = Phone(self._lines[number], self._home, self._dial)
            self._lines[number].mode = answer
            return self._phones[number]

    async def __aenter__(self) -> Self:
        self._home.enter()
        try:
            async with AsyncExitStack() as resources:
                await self._open(resources)
        except BaseException:
            await self._home.leave()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        running = self._running
        await self.calls.close()
        self._running = None
        await self._home.leave()
        for line in self._lines.values():
            for pending in line.end_watches():
                fail(pending, ServerStopped.before("the phone got into that state"))
        if running is not None:
            await running.resources.aclose()

    def __repr__(self) -> str:
        state = self.url if self._running else "not running"
        return (
            f"<SimulatedTwilio {self.account_sid}: {state}, {len(self.calls)} calls, "
            f"{len(self.debugger)} debugger entries>"
        )

    async def _open(self, resources: AsyncExitStack) -> None:
        connector = aiohttp.TCPConnector(limit=0)
        resources.push_async_callback(connector.close)
        workshop = ThreadPoolExecutor(1, thread_name_prefix="simulator sound")
        resources.callback(workshop.shutdown, wait=False, cancel_futures=True)
        await resources.enter_async_context(self._pacer)
        exchange = Exchange(
            self.account_sid, self.auth_token, self._behaviour, self.debugger, self._sids,
            self._pacer, connector, workshop, self._ring_seconds,
        )  # fmt: skip
        application = RestApi(exchange, self.calls, self._numbers).application()
        origin = await serve(application, resources)
        http_client = LoopbackHttpClient(origin, asyncio.get_running_loop())
        resources.callback(http_client.close)
        client = Client(self.account_sid, self.auth_token, http_client=http_client)
        self._running = _Running(exchange, client, resources.pop_all())

    def _dial(self, line: Line, number: str, pending: Pending[SimulatedCall]) -> None:
        """Begin an incoming call; on the loop."""
        own = next((each for each in self._numbers.values() if each.phone_number == number), None)
        if own is None or self._running is None:
            fail(pending, _nobody_at(number, self.numbers))
        elif line.call is not None:
            fail(pending, CallRefused(f"{line.number} is in a call already", fix="Hang up first"))
        else:
            plan = incoming_plan(line.number, own)
            call = self.calls.receive(self._running.exchange, plan, line)
            call.on_decided = lambda: fulfil(pending, call)

    def _now_running(self) -> _Running:
        if self._running is None:
            raise ServerStopped(
                "the simulator is not running",
                fix="Start it with kit.start(kit.SimulatedTwilio()) or `async with`",
            )
        return self._running

    @staticmethod
    def _client_of(running: _Running) -> LoopbackHttpClient:
        http_client = running.client.http_client
        assert isinstance(http_client, LoopbackHttpClient)  # noqa: S101 - for the type checker
        return http_client


def _require_e164(number: str) -> None:
    if not is_e164(number):
        raise ValueError(
            f"{number!r} is not a number in E.164 form: plus, country code and number, "
            "such as +15550100001"
        )


def _nobody_at(number: str, own: tuple[str, ...]) -> CallRefused:
    return CallRefused(
        f"the account has no number {number}",
        consequence="The call was not placed",
        fix=f"Dial one of {', '.join(own)}",
    )
