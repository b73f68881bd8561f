"""Incoming calls: route a number of the account to a server, and restore it afterwards.

The SDK blocks, so each change runs on a worker thread.  The number is restored when the context
manager exits, after a cancellation, and when the interpreter exits.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import weakref
from collections.abc import Callable, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

from twistream_kit.errors import (
    ServerStopped,
    SettingsError,
    TwistreamError,
    WrongState,
    WrongType,
    hide_user,
    quote,
    require_type,
)
from twistream_kit.live.calls.exit_hooks import register_exit_hook
from twistream_kit.live.calls.sdk import (
    ask,
    check_client,
    describe_callback_problem,
    dials_loopback,
    find_loop,
    limit_timeout,
)
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.server.stream_app import StreamApp
from twistream_kit.pending import Pending, on_worker

if TYPE_CHECKING:
    from twilio.rest import Client

T = TypeVar("T")

logger = logging.getLogger("twistream_kit.live")

PUT_BACK_SECONDS = 10.0
"""How long a cancelled task waits until the number is restored."""

_routes: weakref.WeakSet[NumberRoute] = weakref.WeakSet()
"""The routes that were entered in this process; some may have been exited since."""

_VOICE = ("voice_url", "voice_method", "voice_application_sid")

_STATUS = ("status_callback", "status_callback_method")

_UNCHANGED = ("voice_fallback_url", "voice_fallback_method")


def route_number(
    client: Client, number: str, server: StreamServer | StreamApp, *, unsigned: bool = False
) -> NumberRoute:
    """Route calls to a number to a server: ``kit.start(kit.route_number(client, number, server))``.

    Entering it sets the number's voice URL to ``server.twiml_url`` and its status callback to
    ``server.status_url``.  Exiting it restores the previous settings, also after an error or a
    cancellation, and when the interpreter exits.  Settings that were changed by others meanwhile
    are not touched.  An application of the number, which has precedence over its voice URL, is
    removed and restored likewise.

    The current addresses of the server are used: after opening a new tunnel, route the number
    again.

    Args:
        client: The real ``twilio.rest.Client``: `client_from_environment`, or a simulator's.
        number: A number of the account that can receive calls, E.164.
        server: A running server with a public address.
        unsigned: Allow a server that checks no signatures.

    Returns:
        An async context manager that has not been entered yet.  Entering it raises SettingsError
        if Twilio could not reach the server, or if the account has no such number or uses a SIP
        trunk for it; CallRefused if Twilio refuses.

    Raises:
        SettingsError: If the server checks no signatures.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
        >>> number = twilio.numbers[0]
        >>> route = kit.start(kit.route_number(twilio.client, number, server, unsigned=True))
        >>> twilio.phone("+15550100001").dial(number).result(10).status
        'in-progress'
        >>> server.next_stream().result(10).is_open
        True
    """
    if not hasattr(server, "checks_signatures"):
        raise WrongType(f"server is {quote(server)}; give the StreamServer that answers")
    if not server.checks_signatures and not unsigned:
        raise SettingsError(
            "this server checks no signatures",
            consequence="Anyone who finds its address could play a call of yours",
            fix="Make it with StreamServer(auth_token=…), or say unsigned=True",
        )
    require_type("a string", number=number)
    return NumberRoute(client, number, server)


class NumberRoute:
    """A number that is routed to a server; an async context manager that restores it.

    Attributes:
        number: The number, E.164.

    Example:
        >>> import twistream_kit as kit
        >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
        >>> server = kit.start(kit.StreamServer(auth_token=twilio.auth_token))
        >>> route = kit.start(kit.route_number(twilio.client, twilio.numbers[0], server))
        >>> route
        <NumberRoute +15005550006: to http://127.0.0.1:.../twiml; before: nothing>
        >>> kit.stop(route)
        >>> route.is_open
        False
    """

    def __init__(self, client: Client, number: str, server: StreamServer | StreamApp) -> None:
        self._client = client
        self.number = number
        self._server = server
        self._sid = ""
        self._previous: dict[str, str] = {}
        self._ours: dict[str, str] = {}
        self._lock = threading.Lock()
        self._forget: Callable[[], object] = lambda: None

    @property
    def previous(self) -> Mapping[str, str]:
        """The previous settings of the number, by the SDK's names; empty until it is entered."""
        return MappingProxyType(self._previous)

    @property
    def is_open(self) -> bool:
        """Whether the number is routed to the server, as far as is known."""
        return bool(self._ours)

    def __repr__(self) -> str:
        if not self._ours:
            return f"<NumberRoute {self.number}: not routed>"
        before = self._previous["voice_application_sid"] or self._previous["voice_url"]
        now = self._ours["voice_url"]
        return f"<NumberRoute {self.number}: to {now}; before: {before or 'nothing'}>"

    async def __aenter__(self) -> Self:
        if self._ours:
            raise WrongState(f"{self!r} is entered already; leave it before entering it again")
        check_client(self._client)
        wanted = self._build_settings()
        routing = self._on_worker("routing", lambda: self._route(wanted))
        try:
            await _wait_until_done(routing)
        except BaseException:
            # After a cancellation or a timeout, the request may have been carried out.
            if self._ours:
                await self._put_back_or_log()
            raise
        logger.info("calls to %s come to %s", self.number, wanted["voice_url"])
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if not self._ours:
            return  # restored already, at the exit of the interpreter
        failed = await self._put_back_or_log()
        if failed is not None and kind is None:
            raise failed

    def _build_settings(self) -> dict[str, str]:
        url = self._server.twiml_url
        problem = describe_callback_problem(self._client, url)
        if not problem and not dials_loopback(self._client) and not url.startswith("https:"):
            problem = "is not https, and Twilio connects streams over TLS only"
        if problem:
            raise SettingsError(
                f"{hide_user(url)} {problem}",
                consequence=f"Calls to {self.number} would not come here; nothing was changed",
                fix="Open a tunnel first: kit.start(kit.open_tunnel(server))",
            )
        return {
            "voice_url": url,
            "voice_method": "POST",
            "voice_application_sid": "",
            "status_callback": self._server.status_url,
            "status_callback_method": "POST",
        }

    def _route(self, wanted: dict[str, str]) -> None:
        found = self._find()
        with self._lock:  # after a cancellation, the number is restored after this change
            self._change(found, wanted)

    def _change(self, found: Any, wanted: dict[str, str]) -> None:
        self._sid = str(found.sid)
        self._previous = _read_settings(found, *_UNCHANGED)
        _routes.add(self)
        # Set before the request, so that the number is restored also if the request fails.
        self._ours = wanted
        self._forget = register_exit_hook(f"the voice URL of {self.number}", self._put_back_within)
        changes = {name: value for name, value in wanted.items() if self._previous[name] != value}
        if changes:
            changed = self._update(changes, "to lead its calls here")
            # Twilio may normalise an address.
            self._ours = _read_settings(changed)

    def _find(self) -> Any:
        numbers = self._client.incoming_phone_numbers
        purpose = f"to look for the number {self.number}"
        found = ask(lambda: numbers.list(phone_number=self.number, limit=20), purpose)
        exact = [each for each in found if each.phone_number == self.number]
        if not exact:
            own = ask(lambda: numbers.list(limit=20), purpose)
            names = ", ".join(str(each.phone_number) for each in own)
            raise SettingsError(
                f"the account has no number {self.number}",
                consequence="There is nothing to lead here",
                fix=f"It has {names}; give one of them" if names else "Buy one in the console",
            )
        _check_usable(exact[0])
        return exact[0]

    def _update(self, changes: dict[str, str], purpose: str) -> Any:
        number = self._client.incoming_phone_numbers(self._sid)
        return ask(lambda: number.update(**changes), f"to change {self.number} {purpose}")

    def _put_back(self, seconds: float = -1) -> None:
        """Restore the settings that are still as they were set here; blocks; may be repeated."""
        if not self._lock.acquire(timeout=seconds):
            raise TimeoutError(f"{self.number} is being put back on another thread")
        try:
            if not self._ours:
                return
            number = self._client.incoming_phone_numbers(self._sid)
            now = _read_settings(ask(number.fetch, f"to look at {self.number}"))
            changes = self._find_changes(now, _VOICE) | self._find_changes(now, _STATUS)
            if changes:
                self._update(changes, "back to what it was")
                logger.info("calls to %s go where they went before", self.number)
            self._ours = {}
        finally:
            self._lock.release()
        self._forget()

    def _find_changes(self, now: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
        """Return the changes that restore settings that belong together."""
        if self._delegate(names):
            return {}
        before = {name: self._previous[name] for name in names if now[name] != self._previous[name]}
        if not before or all(now[name] == self._ours[name] for name in names):
            return before
        logger.warning(
            "the %s of %s was changed by somebody else meanwhile, and is left as it is now",
            names[0], self.number,
        )  # fmt: skip
        return {}

    def _delegate(self, names: tuple[str, ...]) -> bool:
        """Let a later route of the same number restore the settings, if there is one."""
        for route in tuple(_routes):
            is_over_this = route is not self and route.is_open and route._sid == self._sid  # noqa: SLF001 - this very class
            if is_over_this and all(route._previous[name] == self._ours[name] for name in names):  # noqa: SLF001
                before = {name: self._previous[name] for name in names}
                route._previous = route._previous | before  # noqa: SLF001
                return True
        return False

    def _put_back_within(self, seconds: float) -> None:
        with limit_timeout(self._client, seconds):
            self._put_back(seconds)

    async def _put_back_or_log(self) -> TwistreamError | None:
        try:
            await _wait_until_done(self._on_worker("putting back", self._put_back))
        except ServerStopped:
            # The simulator of the number has stopped, so it cannot receive calls.
            self._ours = {}
            self._forget()
        except TwistreamError as error:
            logger.error(
                "%s could not be put back; set its voice URL to %r in the Twilio console: %s",
                self.number, self._previous["voice_url"], error,
            )  # fmt: skip
            return error
        return None

    def _on_worker(self, doing: str, work: Callable[[], None]) -> Pending[None]:
        return on_worker(f"{doing} {self.number}", work, home=find_loop(self._client))


def _read_settings(number: Any, *more: str) -> dict[str, str]:
    """Return the settings of a number of the SDK, in the form in which they can be sent back."""
    unset = {name: "POST" if name.endswith("method") else "" for name in (*_VOICE, *_STATUS, *more)}
    return {name: getattr(number, name) or default for name, default in unset.items()}


def _check_usable(found: Any) -> None:
    number = found.phone_number
    if isinstance(found.capabilities, dict) and found.capabilities.get("voice") is False:
        raise SettingsError(
            f"{number} cannot take calls: it has no voice capability",
            fix="Use another number, or buy one with voice in the console",
        )
    if found.trunk_sid:
        raise SettingsError(
            f"the calls of {number} go to the SIP trunk {found.trunk_sid}",
            consequence="Twilio would ignore a voice URL; nothing was changed",
            fix="Take the number off the trunk in the console, or use another one",
        )


async def _wait_until_done(pending: Pending[T]) -> T:
    """Wait for `pending`; delay a cancellation until it is done, for ten seconds at most."""
    try:
        return await pending
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError, TwistreamError):
            await asyncio.wait_for(pending, PUT_BACK_SECONDS)
        raise
