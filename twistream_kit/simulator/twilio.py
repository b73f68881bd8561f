"""`SimulatedTwilio`: a simulated Twilio account with telephones, on this machine."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Self

import aiohttp
from twilio.rest import Client

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import ServerStopped, WrongValue, is_finite, quote, require_type
from twistream_kit.pending import HomeLoop
from twistream_kit.simulator.call.call import STOPPED
from twistream_kit.simulator.call.context import CallContext
from twistream_kit.simulator.call.endpoint import AnswerMode
from twistream_kit.simulator.call.mailbox import MailboxSettings
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.model.debugger import Debugger
from twistream_kit.simulator.model.numbers import ACCOUNT_NUMBERS, Sids, require_e164
from twistream_kit.simulator.phone import Phone, Phones
from twistream_kit.simulator.rest.account import AccountRecord, SimulatedAccount, reconcile
from twistream_kit.simulator.rest.app import RestApi, serve
from twistream_kit.simulator.rest.http_client import LoopbackHttpClient
from twistream_kit.simulator.stream.pacer import Pacer


@dataclass(slots=True)
class _Running:
    """The objects that exist only while the simulator runs."""

    context: CallContext
    client: Client
    test_client: Client
    resources: AsyncExitStack


class SimulatedTwilio:
    """A simulated Twilio account, with simulated telephones.

    A real HTTP server on loopback answers the official SDK; its calls ring, are answered, fetch
    TwiML, open Media Streams and report their progress, all in real time.  It is an asynchronous
    context manager: ``async with SimulatedTwilio() as twilio`` or, in a notebook,
    ``twilio = kit.start(kit.SimulatedTwilio())``.  It can be entered again after it was left.

    Args:
        ring_seconds: How long a telephone that answers by itself rings before.
        behaviour: Switches for behaviour of Twilio that is not known.
        numbers: The account's own numbers, E.164.
        account: The type and permissions of the account: on trial, suspended, with blocked
            countries.  A trial account has the rules of 2026 unless `behaviour.trial` names the
            older ones; conversely a `behaviour.trial` other than ``off`` makes it a trial account.

    Attributes:
        account_sid: AC and 32 hex digits, the same in every run.
        auth_token: A new random token for each simulator; never part of a repr.
        api_key: SK and 32 hex digits: with `api_secret`, an alternative to the auth token.
        api_secret: A new random secret for each simulator; never part of a repr.
        calls: The running calls and the last 500 that ended, oldest first.
        debugger: The errors and warnings that Twilio's console would show.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
        >>> phone = twilio.phone("+15550100001")
        >>> twiml = "<Response><Say>Hello</Say></Response>"
        >>> call = twilio.client.calls.create(to=phone.number, from_=twilio.numbers[0], twiml=twiml)
        >>> phone.until("in-call").result(10)
        'in-call'
        >>> twilio.debugger
        no errors, no warnings
    """

    def __init__(
        self,
        *,
        ring_seconds: float = 0.2,
        behaviour: Behaviour | None = None,
        numbers: tuple[str, ...] = ACCOUNT_NUMBERS,
        account: SimulatedAccount | None = None,
    ) -> None:
        require_type("a number", ring_seconds=ring_seconds)
        require_type("a list, tuple or set", numbers=numbers)
        if not (is_finite(ring_seconds) and ring_seconds >= 0):
            raise WrongValue(
                f"ring_seconds is {quote(ring_seconds)}; a phone rings 0 seconds or longer"
            )
        if not numbers:
            raise WrongValue("numbers is empty; an account has one or more")
        for number in numbers:
            require_e164(number)
        self._sids = Sids()
        self._ring_seconds = ring_seconds
        account, self._behaviour = reconcile(account, behaviour)
        self._account = AccountRecord(account, self._behaviour.trial, numbers, self._sids)
        credentials = self._account.credentials
        self.account_sid, self.auth_token = credentials.account_sid, credentials.auth_token
        self.api_key, self.api_secret = credentials.api_key, credentials.api_secret
        self.debugger = Debugger()
        self._pacer = Pacer()
        self._home = HomeLoop("the simulator")
        self._phones = Phones(self._account, self._home)
        self.calls = self._phones.calls
        self._running: _Running | None = None

    @property
    def client(self) -> Client:
        """The official SDK's client, which sends its requests to this simulator.

        It blocks, so it is for cells and worker threads, not for the simulator's own loop.

        Raises:
            ServerStopped: If the simulator is not running.
        """
        return self._require_running().client

    @property
    def test_client(self) -> Client:
        """A client with the account's test credentials, which place no calls (PROTOCOL.md §6.7).

        It may create calls from +15005550006, which are checked and not placed, and look numbers
        up; the magic numbers +15005550001 to +15005550004 are refused, each for its own reason.
        All other requests get 20008.

        Raises:
            ServerStopped: If the simulator is not running.
        """
        return self._require_running().test_client

    @property
    def account(self) -> SimulatedAccount:
        """The type, status and permissions of the account."""
        return self._account.settings

    @property
    def numbers(self) -> tuple[str, ...]:
        """The account's own numbers; the first one can be used as `from_`."""
        return tuple(number.phone_number for number in self._account.numbers.values())

    @property
    def url(self) -> str:
        """The URL of the REST API: ``http://127.0.0.1:`` and a port.

        Raises:
            ServerStopped: If the simulator is not running.
        """
        return self._get_http_client(self._require_running()).origin

    @property
    def pacer(self) -> Pacer:
        """The 20 ms clock of all calls; its `lateness` says how late the simulator itself was."""
        return self._pacer

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that it runs on, or None."""
        return self._home.loop

    def verify(self, number: str) -> None:
        """Verify `number`, as its owner does in Twilio's console.  Callable from any thread.

        A trial account may call verified numbers only.

        Args:
            number: In E.164 form, such as ``+15550100001``.

        Raises:
            ValueError: If it is not in E.164 form, or the sixth number of a trial account.
        """
        self._account.verify(number)

    def refuse_next(self, code: int, times: int = 1) -> None:
        """Refuse the next REST requests.  Callable from any thread.

        It serves to test errors that cannot be caused otherwise, such as 20429 or 20503.

        Args:
            code: One of Twilio's error codes for requests (PROTOCOL.md §5.3).
            times: The number of requests, of any kind.

        Raises:
            ValueError: If `code` is no error code of the REST API, or `times` is less than 1.
        """
        self._account.refuse_next(code, times)

    def phone(
        self,
        number: str,
        answer: AnswerMode | None = None,
        *,
        greeting: Clip | None = None,
        beep_hz: float | None = 1000.0,
        record_seconds: float = 120.0,
        silence_seconds: float = 5.0,
    ) -> Phone:
        """Return the telephone with that number; create it if it does not exist.

        With the number alone, a telephone that exists is returned as it is; with `answer`, it does
        what that says from its next call on.

        A mailbox answers, says its greeting, beeps, and records what it hears then
        (`Phone.recorded`).  It hangs up when it has recorded `record_seconds`, or has heard nothing
        for `silence_seconds`.

        Callable from any thread.

        Args:
            number: In E.164 form, such as ``+15550100001``.
            answer: The reaction when it rings: ``auto`` answers and says nothing, ``manual`` waits
                for `Phone.answer`, ``busy`` is engaged, ``never`` rings on, ``reject`` declines,
                ``mailbox`` answers as a machine.  By default that of the telephone, and ``auto``
                for a new one.
            greeting: What a mailbox says; by default a sentence of 4 s in tones, as ``<Say>`` has
                them here.  Machine detection takes what is shorter than its speech threshold
                (2.4 s), without a beep, for a human.
            beep_hz: The frequency of its beep, 300 to 3400 Hz; None for no beep.  Machine detection
                knows beeps of about 400 to 2000 Hz.
            record_seconds: The longest recording, in seconds.
            silence_seconds: The silence that ends the recording, in seconds.

        Raises:
            TypeError: If `greeting` is no `Clip`, or a figure no number.
            ValueError: If the number is not in E.164 form or belongs to the account, if `answer`
                has another value, if a figure is out of range, or if one of the last four is given
                for a telephone that is no mailbox.

        Example:
            >>> import twistream_kit as kit
            >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
            >>> greeting = kit.Clip.tone(330, 0.3)  # rather your voice
            >>> phone = twilio.phone("+15550100001", answer="mailbox", greeting=greeting)
            >>> call = twilio.client.calls.create(
            ...     to=phone.number, from_=twilio.numbers[0],
            ...     machine_detection="DetectMessageEnd",
            ...     twiml="<Response><Say>Hello</Say></Response>",
            ... )
            >>> phone.until("in-call").result(10), phone.until("idle").result(10)
            ('in-call', 'idle')
            >>> call.fetch().answered_by
            'machine_end_beep'
            >>> phone.recorded.seconds > 0.2
            True
        """
        mailbox = MailboxSettings(greeting, beep_hz, record_seconds, silence_seconds)
        if answer == "mailbox":
            return self._phones.provide(number, answer, mailbox)
        if mailbox != MailboxSettings():
            given = "left out" if answer is None else repr(answer)
            raise WrongValue(
                f"answer is {given}, and greeting, beep_hz, record_seconds and silence_seconds "
                "are those of a mailbox",
                fix='Write answer="mailbox", or leave them out',
            )
        return self._phones.provide(number, answer)

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
        if running is not None:
            # Twilio would not stop; who placed a call by this client would blame its callee.
            self._get_http_client(running).stop_reason = STOPPED
        await self.calls.close()
        self._running = None
        self._phones.disconnect()
        await self._home.leave()
        self._phones.end_watches()
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
        executor = ThreadPoolExecutor(1, thread_name_prefix="simulator sound")
        resources.callback(executor.shutdown, wait=False, cancel_futures=True)
        await resources.enter_async_context(self._pacer)
        context = CallContext(
            self.account_sid, self.auth_token, self._behaviour, self.debugger, self._sids,
            self._pacer, connector, executor, self._ring_seconds,
        )  # fmt: skip
        application = RestApi(context, self.calls, self._account).build_application()
        origin = await serve(application, resources)
        http_client = LoopbackHttpClient(origin, asyncio.get_running_loop())
        resources.callback(http_client.close)
        self._phones.connect(context)
        credentials = self._account.credentials
        self._running = _Running(
            context,
            Client(credentials.account_sid, credentials.auth_token, http_client=http_client),
            Client(credentials.test_sid, credentials.test_token, http_client=http_client),
            resources.pop_all(),
        )

    def _require_running(self) -> _Running:
        if self._running is None:
            raise ServerStopped(
                "the simulator is not running",
                fix="Start it with kit.start(kit.SimulatedTwilio()) or `async with`",
            )
        return self._running

    @staticmethod
    def _get_http_client(running: _Running) -> LoopbackHttpClient:
        http_client = running.client.http_client
        assert isinstance(http_client, LoopbackHttpClient)  # noqa: S101 - for the type checker
        return http_client
