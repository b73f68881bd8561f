"""Incoming calls: a number of the account leads to a server while its route is open.

The SDK blocks, so each change has a worker thread.  The number is put back when the route is left,
after a cancellation, and when the interpreter exits.
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

from twistream_kit.errors import ServerStopped, SettingsError, TwistreamError
from twistream_kit.live.calls.exit_hooks import at_exit
from twistream_kit.live.calls.sdk import (
    answered_within,
    ask,
    callback_problem,
    dials_loopback,
    home_of,
)
from twistream_kit.live.server.server import StreamServer
from twistream_kit.pending import Pending, on_worker

if TYPE_CHECKING:
    from twilio.rest import Client

T = TypeVar("T")

logger = logging.getLogger("twistream_kit.live")

PUT_BACK_SECONDS = 10.0
"""How long a cancelled task waits for the number to be put back."""

_routes: weakref.WeakSet[NumberRoute] = weakref.WeakSet()
"""The routes that were entered in this process; some may have been left since."""

_VOICE = ("voice_url", "voice_method", "voice_application_sid")

_STATUS = ("status_callback", "status_callback_method")

_UNCHANGED = ("voice_fallback_url", "voice_fallback_method")


def route_number(
    client: Client, number: str, server: StreamServer, *, unsigned: bool = False
) -> NumberRoute:
    """Lead the calls to a number here: ``kit.start(kit.route_number(client, number, server))``.

    Entering it sets the number's voice URL to ``server.twiml_url`` and its status callback to
    ``server.status_url``.  Leaving it puts back what was there before: after an error and a
    cancellation too, and when the interpreter exits.  What somebody else has set meanwhile is left
    alone.  An application that handles the number (which comes before its voice URL) is taken off
    and put back likewise.

    The addresses are those of the moment: after a new tunnel, route the number anew.

    Args:
        client: The real ``twilio.rest.Client``: `client_from_environment`, or a simulator's.
        number: A number of the account's that can take calls, E.164.
        server: A running server with a public address.
        unsigned: Allow a server that checks no signatures.

    Returns:
        An async context manager that has not been entered yet.  Entering it raises SettingsError
        if Twilio could not reach the server, or the account has no such number or handles it by a
        SIP trunk; CallRefused if Twilio refuses.

    Raises:
        SettingsError: If the server lets anybody in.
    """
    if not server.checks_signatures and not unsigned:
        raise SettingsError(
            "this server checks no signatures",
            consequence="Anyone who finds its address could play a call of yours",
            fix="Make it with StreamServer(auth_token=…), or say unsigned=True",
        )
    return NumberRoute(client, number, server)


class NumberRoute:
    """A number whose calls come to a server; an async context manager that puts it back.

    Attributes:
        number: E.164.
    """

    def __init__(self, client: Client, number: str, server: StreamServer) -> None:
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
        """What the number was set to before, by the SDK's names; empty until it was entered."""
        return MappingProxyType(self._previous)

    @property
    def is_open(self) -> bool:
        """Whether the number leads here, as far as is known."""
        return bool(self._ours)

    def __repr__(self) -> str:
        if not self._ours:
            return f"<NumberRoute {self.number}: not routed>"
        before = self._previous["voice_application_sid"] or self._previous["voice_url"]
        now = self._ours["voice_url"]
        return f"<NumberRoute {self.number}: to {now}; before: {before or 'nothing'}>"

    async def __aenter__(self) -> Self:
        if self._ours:
            raise RuntimeError(f"{self!r} is entered already; leave it before entering it again")
        wanted = self._wanted()
        routing = self._on_worker("routing", lambda: self._route(wanted))
        try:
            await _to_its_end(routing)
        except BaseException:
            # Cancelled, or without an answer: the request may have been carried out.
            if self._ours:
                await self._put_back_or_tell()
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
            return  # put back already, at the exit of the interpreter
        failed = await self._put_back_or_tell()
        if failed is not None and kind is None:
            raise failed

    def _wanted(self) -> dict[str, str]:
        url = self._server.twiml_url
        problem = callback_problem(self._client, url)
        if not problem and not dials_loopback(self._client) and not url.startswith("https:"):
            problem = "is not https, and Twilio connects streams over TLS only"
        if problem:
            raise SettingsError(
                f"{url} {problem}",
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
        with self._lock:  # a cancellation meanwhile puts back after the change, and not before
            self._change(found, wanted)

    def _change(self, found: Any, wanted: dict[str, str]) -> None:
        self._sid = str(found.sid)
        self._previous = _settings(found, *_UNCHANGED)
        _routes.add(self)
        # Before the request: whatever becomes of it, the number is looked after from here on.
        self._ours = wanted
        self._forget = at_exit(f"the voice URL of {self.number}", self._put_back_within)
        changes = {name: value for name, value in wanted.items() if self._previous[name] != value}
        if changes:
            changed = self._update(changes, "to lead its calls here")
            # Twilio may write an address in another way than it was given.
            self._ours = _settings(changed)

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
        """Put back what is still as it was set here; blocks; once is enough."""
        if not self._lock.acquire(timeout=seconds):
            raise TimeoutError(f"{self.number} is being put back on another thread")
        try:
            if not self._ours:
                return
            number = self._client.incoming_phone_numbers(self._sid)
            now = _settings(ask(number.fetch, f"to look at {self.number}"))
            changes = self._still_ours(now, _VOICE) | self._still_ours(now, _STATUS)
            if changes:
                self._update(changes, "back to what it was")
                logger.info("calls to %s go where they went before", self.number)
            self._ours = {}
        finally:
            self._lock.release()
        self._forget()

    def _still_ours(self, now: Mapping[str, str], names: tuple[str, ...]) -> dict[str, str]:
        """Return what is to be put back of settings that belong together."""
        if self._hand_down(names):
            return {}
        before = {name: self._previous[name] for name in names if now[name] != self._previous[name]}
        if not before or all(now[name] == self._ours[name] for name in names):
            return before
        logger.warning(
            "the %s of %s was changed by somebody else meanwhile, and is left as it is now",
            names[0], self.number,
        )  # fmt: skip
        return {}

    def _hand_down(self, names: tuple[str, ...]) -> bool:
        """Leave the putting back to a route that was laid over this one, if there is one."""
        for route in tuple(_routes):
            is_over_this = route is not self and route.is_open and route._sid == self._sid  # noqa: SLF001 - this very class
            if is_over_this and all(route._previous[name] == self._ours[name] for name in names):  # noqa: SLF001
                before = {name: self._previous[name] for name in names}
                route._previous = route._previous | before  # noqa: SLF001
                return True
        return False

    def _put_back_within(self, seconds: float) -> None:
        with answered_within(self._client, seconds):
            self._put_back(seconds)

    async def _put_back_or_tell(self) -> TwistreamError | None:
        try:
            await _to_its_end(self._on_worker("putting back", self._put_back))
        except ServerStopped:
            # The simulator that the number belonged to has stopped: no call can come to it.
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
        return on_worker(f"{doing} {self.number}", work, home=home_of(self._client))


def _settings(number: Any, *more: str) -> dict[str, str]:
    """Return what a number of the SDK's is set to, each as it can be sent back."""
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


async def _to_its_end(pending: Pending[T]) -> T:
    """Wait for `pending`; a cancellation is passed on when it has ended, or after ten seconds."""
    try:
        return await pending
    except asyncio.CancelledError:
        with contextlib.suppress(TimeoutError, TwistreamError):
            await asyncio.wait_for(pending, PUT_BACK_SECONDS)
        raise
