"""Requests with the official Twilio SDK, and properties of its client.

Every exception of the SDK or `requests` becomes a `CallRefused` with Twilio's code and the fix
(PROTOCOL.md §5.3).  The original exception is not chained to it, and its traceback is dropped:
frames of the SDK hold the auth token, and IPython prints the variables of frames in its verbose
mode.

A client is the real one or that of a simulator, whose transport has additional attributes.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from twistream_kit.errors import CallRefused, TwistreamError, WrongType, quote
from twistream_kit.protocol.codes import UnknownCode, get_code
from twistream_kit.protocol.twiml import is_loopback
from twistream_kit.protocol.url_repair import repair_url

if TYPE_CHECKING:
    from twilio.rest import Client

T = TypeVar("T")

_TEXT_LIMIT = 500
"""The number of characters of an answer that are quoted; a proxy may return a whole page."""

_LEAST_CODE = 10000
"""The smallest code of Twilio: all have five digits (§5)."""

_HIDDEN = (
    # user:password@ of a URL
    (re.compile(r"(?<=//)[^\s/@]*@"), ""),
    (re.compile(r"\b(Basic|Bearer)\s+\S+", re.IGNORECASE), r"\1 …"),
    # Tokens and API secrets have 32 letters and digits; SIDs have 34 (§1.7) and may be shown.
    (re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{32}(?![0-9A-Za-z])"), "…"),
    # Control characters could change the colours of a terminal.
    (re.compile(r"[^\S ]+"), " "),
    (re.compile(r"\x1b\[[0-9;]*m|[\x00-\x1f\x7f]"), ""),
)


def ask(request: Callable[[], T], purpose: str) -> T:
    """Make a request with the SDK; blocks until it is answered.

    Args:
        request: A function that makes the request.
        purpose: Its purpose, to follow "Twilio refused": ``to call +15550100001``.

    Raises:
        CallRefused: If the request fails; the SDK's exception and frames are not attached.
        TwistreamError: If the kit's own transport raised one; without frames, too.
    """
    try:
        return request()
    except Exception as error:  # noqa: BLE001 - each is converted below
        refusal = _to_refusal(error, purpose)
    try:
        raise refusal  # outside the except block, so that nothing is chained to it
    finally:
        # Its traceback has this frame: the error, the call and all that the caller of this has
        # would keep each other until a full garbage collection.
        del refusal


def redact(text: str) -> str:
    """Return `text` on one line, without possible secrets, 500 characters at most."""
    for pattern, shown in _HIDDEN:
        text = pattern.sub(shown, text)
    text = text.strip()
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}…"


@contextmanager
def limit_timeout(client: Client, seconds: float) -> Iterator[None]:
    """Limit requests of `client` to `seconds` within the block; for the exit of the interpreter.

    The limit applies to all threads that use the client.
    """
    http_client = client.http_client
    usual, http_client.timeout = http_client.timeout, seconds
    try:
        yield
    finally:
        http_client.timeout = usual


def find_loop(client: Client) -> asyncio.AbstractEventLoop | None:
    """Return the loop of this process that answers `client` and must not be blocked, or None."""
    # A simulator's client has one; Twilio's own has none.
    return getattr(client.http_client, "loop", None)


def find_stop_reason(client: Client) -> str:
    """Return why all calls of `client` end now: its simulator is being stopped; else empty."""
    reason = getattr(client.http_client, "stop_reason", "")
    return reason if isinstance(reason, str) else ""


def check_client(client: object) -> None:
    """Refuse what is no client of Twilio's SDK.

    Raises:
        WrongType: If it is none.
    """
    if not hasattr(client, "http_client"):
        raise WrongType(
            f"client is {quote(client)}; give kit.client_from_environment(), or the client of a "
            "SimulatedTwilio"
        )


def dials_loopback(client: Client) -> bool:
    """Whether calls of `client` can connect to loopback; those of the simulator can."""
    return bool(getattr(client.http_client, "dials_loopback", False))


def describe_callback_problem(client: Client, url: str) -> str:
    """Say why Twilio could not reach the callback `url`, as a predicate; empty if it could."""
    if repair := repair_url(url, "https"):
        return f"{repair.problem}; {repair.fix.replace('Write', 'write', 1)}"
    try:
        parts = urlsplit(url)
    except ValueError:  # an IPv6 address cut off, for example
        parts = urlsplit("")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        return "is not an absolute http or https address"
    if "_" in parts.hostname:
        # PROTOCOL.md §6.1.
        return "has an underscore in its host, which Twilio does not accept in callbacks"
    if is_loopback(url) and not dials_loopback(client):
        return "leads to this machine, which Twilio cannot reach"
    return ""


def _to_refusal(error: Exception, purpose: str) -> TwistreamError:
    import requests
    from twilio.base.exceptions import TwilioException
    from twilio.base.version import Version
    from twilio.http.response import Response

    if isinstance(error, TwistreamError):
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    if isinstance(error, TwilioException) and isinstance(answer := _get_last(error.args), Response):
        # For a list, the SDK raises an exception with the whole, unparsed response.
        error = Version.exception("GET", "", answer, str(error.args[0]))
    if isinstance(getattr(error, "status", None), int):
        return _build_refusal(error, purpose)
    if isinstance(error, requests.RequestException):
        return CallRefused(
            f"Twilio could not be reached ({type(error).__name__}) {purpose}",
            consequence="Whether the request arrived is not known",
            fix="Look at the network, the proxy and the name of the region, then at the calls in "
            "the Twilio console before you try again",
        )
    if isinstance(error, TwilioException):
        return CallRefused(f"the Twilio SDK refused {purpose}: {redact(str(error))}")
    # The text is left out, because that of an encoding error, for example, quotes credentials.
    return CallRefused(
        f"the Twilio SDK failed {purpose} ({type(error).__name__})",
        consequence="Whether the request was sent is not known",
        fix="Look at the credentials for characters that do not belong there, and at what was "
        "passed for values of the wrong type",
    )


def _get_last(args: tuple[object, ...]) -> object:
    return args[-1] if args else None


def _build_refusal(refused: Any, purpose: str) -> CallRefused:
    code = int(refused.code) if str(refused.code or "").isdecimal() else 0
    if code < _LEAST_CODE:
        code = 0  # the SDK uses the HTTP status if an answer has no code
    words = getattr(refused, "msg", None) or getattr(refused, "detail", None)
    words = redact(str(words or getattr(refused, "title", None) or "without a reason"))
    meaning, fix = "", ""
    if code:
        try:
            known = get_code(code)
        except UnknownCode:
            fix = f"See https://www.twilio.com/docs/api/errors/{code}"
        else:
            meaning, fix = known.meaning, known.remedy
    return CallRefused(
        f"Twilio refused {purpose}: {code or refused.status}, {words}",
        code=code or None,
        status=refused.status,
        consequence=meaning,
        fix=fix,
    )
