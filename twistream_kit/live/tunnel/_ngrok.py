"""A tunnel through ngrok's SDK.

The SDK raises a `ValueError` for every kind of failure and quotes the authtoken in it.  So the
token is removed from its messages, and a `TunnelError` is built from them, before they are logged
or raised.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import importlib.util
import logging
import re
import threading
from typing import Any

from twistream_kit.errors import TunnelError
from twistream_kit.live.settings.secret import Secret
from twistream_kit.live.tunnel._failures import CANNOT_CONNECT, ProgramFailure, build_error
from twistream_kit.live.tunnel._provider import TunnelRequest, suggest_another_way
from twistream_kit.protocol.service_codes import find_service_code

logger = logging.getLogger("twistream_kit.live")

OPEN_SECONDS = 10.0
"""The timeout for connecting; without a network the SDK retries for ever."""

CLOSE_SECONDS = 2.0

EXIT_PAUSE_SECONDS = 0.05
"""An interpreter that exits within 20 ms of a failed connect can crash in the SDK's threads."""

_DASHBOARD_PAGE = "https://dashboard.ngrok.com/get-started/your-authtoken"
_NO_USE = "Trying again does not help"

# Numbers and meanings as in ngrok.com/docs/errors: those that need a word of this package, or that
# `service_codes` does not know.  The patterns are for errors without a number.
_FAILURES: tuple[tuple[set[int], ProgramFailure], ...] = (
    (
        {4018},
        ProgramFailure(
            r"verified account|session is not authenticated",
            "ngrok opens a tunnel only for a verified account, and the authtoken belongs to none",
            "Sign up at https://dashboard.ngrok.com/signup, or verify the account there, and put "
            f"its authtoken ({_DASHBOARD_PAGE}) into NGROK_AUTHTOKEN{{another_way}}. {_NO_USE}",
        ),
    ),
    (
        {123, 382},
        ProgramFailure(
            r"email address is verified|verify your email",
            "ngrok opens no tunnel before the e-mail address of this account's owner is verified",
            "Verify it at https://dashboard.ngrok.com/user/settings{another_way}. "
            f"{_NO_USE} before that",
        ),
    ),
    (
        {102, 103, 205, 247, 337, 338},
        ProgramFailure(
            r"suspended|last payment",
            "ngrok has suspended this account",
            "Look at https://dashboard.ngrok.com: a payment failed, or ngrok's support has to be "
            f"asked{{another_way}}. {_NO_USE}",
        ),
    ),
    (
        {119, 120, 121},
        ProgramFailure(
            r"agent version|too old|no longer supported",
            "the package ngrok is older than ngrok allows for this account",
            f"Say pip install --upgrade ngrok{{another_way}}. {_NO_USE} with this version",
        ),
    ),
    (
        {9040},
        ProgramFailure(
            r"do not allow agents.*IP",
            "ngrok accepts no agents from the IP address that this machine has on the internet",
            f"Use another network{{another_way}}. {_NO_USE} from here",
        ),
    ),
    (
        {115, 116, 220},
        ProgramFailure(
            r"IP (polic|ACL|restriction)",
            "the ngrok account, or this authtoken, allows agents only from other IP addresses",
            "Add this machine's: https://dashboard.ngrok.com/security/ip-restrictions{another_way}"
            f". {_NO_USE} before that",
        ),
    ),
    (
        {725},
        ProgramFailure(
            r"bandwidth",
            "this ngrok account has moved all the data that its plan allows this month",
            f"Take a larger plan, or wait for the next month{{another_way}}. {_NO_USE} before that",
        ),
    ),
    (
        {727},
        ProgramFailure(
            r"requests? (limit|this month)",
            "this ngrok account has had all the HTTP requests that its plan allows this month",
            f"Take a larger plan, or wait for the next month{{another_way}}. {_NO_USE} before that",
        ),
    ),
    (
        {349, 351, 353},
        ProgramFailure(
            r"rate limit",
            "ngrok opens no more tunnels of this account for now: too many were opened in a short "
            "time",
            "Wait a minute, then try again{another_way}",
        ),
    ),
    (
        {108, 323, 324, 348, 350, 352},
        ProgramFailure(
            r"simultaneous|limited to|may not run more than",
            "a limit of this ngrok account is reached",
            "Close the other tunnels of the account, which https://dashboard.ngrok.com/agents lists"
            "{another_way}",
        ),
    ),
    (
        {334},
        ProgramFailure(
            r"already (online|bound)",
            "the domain is in use by another tunnel",
            "Close the other tunnel, or choose another NGROK_DOMAIN",
        ),
    ),
    (
        {305, 306, 313, 314, 315},
        ProgramFailure(
            r"plans? may bind|only available for .* plans",
            "the plan of this ngrok account allows no such domain as that of NGROK_DOMAIN",
            "Leave NGROK_DOMAIN unset, or take the account's free one from "
            "https://dashboard.ngrok.com/domains",
        ),
    ),
    (
        {*range(326, 332), 347, 355, 396, 397},
        ProgramFailure(
            r"in domain name|valid DNS name|invalid character sequence",
            "NGROK_DOMAIN is not the name of a host",
            "Write it without scheme, path and underscores, such as my-name.ngrok.app, or leave it "
            "unset",
        ),
    ),
    (
        {317, 318, 319, 320, 321, 322, 354, 7117},
        ProgramFailure(
            r"reserved",
            "the domain of NGROK_DOMAIN does not belong to this ngrok account",
            "Choose one from https://dashboard.ngrok.com/domains, or leave NGROK_DOMAIN unset",
        ),
    ),
    (
        {105, 106, 107, 300},
        ProgramFailure(
            r"authentication failed|authtoken",
            "ngrok refuses the authtoken",
            f"Copy it anew from {_DASHBOARD_PAGE} into NGROK_AUTHTOKEN. {_NO_USE} with this one",
        ),
    ),
)

_CANNOT_REACH = ProgramFailure(
    r"tcp connection|resolve|connect|tls|timed? ?out",
    "ngrok cannot be reached",
    "Check the network: connect.ngrok-agent.com, port 443{another_way}",
)

_UNKNOWN = ProgramFailure("", "ngrok opened no tunnel", "Try again{another_way}")

NOT_INSTALLED = "the package ngrok is not installed"
INSTALL = "Say pip install 'twistream-kit[tunnel]'"

_exit_pause = threading.Lock()


def is_installed() -> bool:
    """Whether the package `ngrok` can be imported."""
    return importlib.util.find_spec("ngrok") is not None


def make(request: TunnelRequest) -> NgrokTunnel:
    """Make an endpoint of the configured account, not opened yet.

    Raises:
        SettingsError: If the token is missing or malformed.  It is checked here, because the SDK
            raises the same exception for every failure.
    """
    settings = request.get_settings()
    token: Secret = settings.ngrok_authtoken
    return NgrokTunnel(token, domain=str(settings.get("ngrok_domain") or ""))


class NgrokTunnel:
    """An https endpoint of an ngrok account.

    Args:
        token: The account's authtoken.
        domain: A domain of the account; empty for any.
        server_addr: The address of ngrok's service, ``host:port``; None for the default.
        open_seconds: The timeout for connecting.
    """

    name = "ngrok"
    settles_within = 10.0
    lookup_after = 0.0

    def __init__(
        self,
        token: Secret,
        *,
        domain: str = "",
        server_addr: str | None = None,
        open_seconds: float = OPEN_SECONDS,
    ) -> None:
        self._token, self._domain = token, domain
        self._server_addr, self._open_seconds = server_addr, open_seconds
        self._session: Any = None
        self._listener: Any = None
        self._stopped: asyncio.Future[str] | None = None

    async def open(self, origin: str) -> str:
        """Connect to ngrok and open an endpoint that forwards to `origin`."""
        if not is_installed():
            raise TunnelError(
                NOT_INSTALLED,
                fix=INSTALL + suggest_another_way("ngrok"),
            )
        _pause_at_exit()
        self._stopped = asyncio.get_running_loop().create_future()
        said = ""
        try:
            async with asyncio.timeout(self._open_seconds):
                self._session = await self._build_session().connect()
                self._listener = await self._build_endpoint().listen_and_forward(f"http://{origin}")
            return str(self._listener.url())
        except TimeoutError:
            said = f"timed out after {self._open_seconds:g} s"
        except (ValueError, RuntimeError) as error:
            said = scrub(" ".join(map(str, error.args)), self._token)
        # Outside the handler: otherwise the SDK's error, which quotes the token, would be chained.
        raise to_error(said)

    async def wait_closed(self) -> str:
        """Wait until ngrok ends the session or the forwarding; return the reason."""
        if self._listener is None or self._stopped is None:
            return "ngrok was not connected"
        joining = asyncio.ensure_future(_wait_joined(self._listener))
        try:
            await asyncio.wait((joining, self._stopped), return_when=asyncio.FIRST_COMPLETED)
        finally:
            joining.cancel()
        if self._stopped.done():
            return self._stopped.result()
        return scrub(f"ngrok ended the tunnel: {joining.result()}", self._token)

    async def close(self) -> None:
        """Close the session, which closes its endpoint too."""
        session, self._session = self._session, None
        if session is None:
            return
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await session.close()
        except (TimeoutError, ValueError, RuntimeError):
            logger.warning("ngrok did not close its session; its tunnel ends with the connection")

    def _build_session(self) -> Any:
        import ngrok

        builder = ngrok.SessionBuilder().authtoken(self._token.reveal())
        if self._server_addr is not None:
            builder = builder.server_addr(self._server_addr)
        loop, stopped, token = asyncio.get_running_loop(), self._stopped, self._token

        def on_disconnection(_: str, why: str) -> None:
            logger.warning("the connection to ngrok was lost; reconnecting: %s", scrub(why, token))

        def stop() -> None:
            with contextlib.suppress(RuntimeError):  # the loop is closed: no task waits for it
                loop.call_soon_threadsafe(_settle, stopped, "ngrok was stopped from its dashboard")

        return builder.handle_disconnection(on_disconnection).handle_stop_command(stop)

    def _build_endpoint(self) -> Any:
        builder = self._session.http_endpoint()
        return builder.domain(self._domain) if self._domain else builder


def to_error(said: str) -> TunnelError:
    """Return the error for a message of the SDK from which the token was removed."""
    found = re.search(r"ERR_NGROK_(\d{1,6})", said)
    return build_error(
        [said],
        [row for _, row in _FAILURES] + [*CANNOT_CONNECT, _CANNOT_REACH],
        known=None if found is None else _explain_number(int(found[1])),
        unknown=_UNKNOWN,
        program="ngrok",
        another_way=suggest_another_way("ngrok"),
    )


def _explain_number(number: int) -> ProgramFailure:
    """Return the failure that a number means: it is decisive, whatever else the message says."""
    for numbers, row in _FAILURES:
        if number in numbers:
            return row
    code = find_service_code("ngrok", number)
    if code is None:
        page = f"https://ngrok.com/docs/errors/err_ngrok_{number}"
        fix = f"Read {page}; if it does not say otherwise, try again{{another_way}}"
        return ProgramFailure("", _UNKNOWN.problem, fix)
    return ProgramFailure(
        "",
        f"ngrok opened no tunnel (ERR_NGROK_{number}, {code.name}): {code.meaning.rstrip('.')}",
        code.fix.rstrip("."),
    )


def scrub(said: str, token: Secret) -> str:
    """Return a message of the SDK on one line, without the token or anything like one."""
    text = said.replace(token.reveal(), "…") if token.reveal() else said
    return re.sub(r"(?i)(authtoken:\s*)\S+", r"\1…", " ".join(text.split()))


async def _wait_joined(listener: Any) -> str:
    try:
        await listener.join()
    except (ValueError, RuntimeError) as error:
        return " ".join(str(part) for part in error.args)
    return "its forwarding has ended"


def _settle(future: asyncio.Future[str] | None, words: str) -> None:
    if future is not None and not future.done():
        future.set_result(words)


def _pause_at_exit() -> None:
    # The lock is never released: one registration per process is enough.
    if _exit_pause.acquire(blocking=False):
        atexit.register(threading.Event().wait, EXIT_PAUSE_SECONDS)
