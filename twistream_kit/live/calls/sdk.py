"""Requests of the official Twilio SDK, and what the kit has to know of its client.

Whatever the SDK or `requests` raises becomes a `CallRefused` with Twilio's code and what to do
(PROTOCOL.md §5.3).  The original error is not chained to it, and its traceback is dropped: the
frames of the SDK hold the auth token, and IPython prints the variables of frames when asked to be
verbose.

A client is the real one, or a simulator's, whose transport says so by attributes of its own.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from twistream_kit.errors import CallRefused, TwistreamError
from twistream_kit.protocol.codes import UnknownCode, explain
from twistream_kit.protocol.twiml import is_loopback

if TYPE_CHECKING:
    from twilio.rest import Client

T = TypeVar("T")

_TEXT_LIMIT = 500
"""Characters of an answer that are passed on; a proxy may answer with a whole page."""

_LEAST_CODE = 10000
"""Twilio's codes have five digits (§5)."""

_HIDDEN = (
    # user:password@ of a URL
    (re.compile(r"(?<=//)[^\s/@]*@"), ""),
    (re.compile(r"\b(Basic|Bearer)\s+\S+", re.IGNORECASE), r"\1 …"),
    # Tokens and API secrets have 32 letters and digits; SIDs have 34 (§1.7) and may be shown.
    (re.compile(r"(?<![0-9A-Za-z])[0-9A-Za-z]{32}(?![0-9A-Za-z])"), "…"),
    # Other control characters than blanks would colour a terminal.
    (re.compile(r"[^\S ]+"), " "),
    (re.compile(r"\x1b\[[0-9;]*m|[\x00-\x1f\x7f]"), ""),
)


def ask(request: Callable[[], T], purpose: str) -> T:
    """Make one request of the SDK's; blocks until it is answered.

    Args:
        request: Makes it.
        purpose: What for, as it reads after "Twilio refused": ``to call +15550100001``.

    Raises:
        CallRefused: If it fails in any way; without the SDK's error or frames attached.
        TwistreamError: What the kit's own transport raised, without them too.
    """
    try:
        return request()
    except Exception as error:  # noqa: BLE001 - each is put into words below
        refusal = _in_words(error, purpose)
    # Outside the except block, so that nothing is chained to it.
    raise refusal


def scrubbed(text: str) -> str:
    """Return `text` in one line, without what may be a secret, 500 characters at most."""
    for pattern, shown in _HIDDEN:
        text = pattern.sub(shown, text)
    text = text.strip()
    return text if len(text) <= _TEXT_LIMIT else f"{text[:_TEXT_LIMIT]}…"


@contextmanager
def answered_within(client: Client, seconds: float) -> Iterator[None]:
    """Within it, requests of `client` time out after `seconds`; for the exit of a program.

    It holds for all threads that use the client.
    """
    http_client = client.http_client
    usual, http_client.timeout = http_client.timeout, seconds
    try:
        yield
    finally:
        http_client.timeout = usual


def home_of(client: Client) -> asyncio.AbstractEventLoop | None:
    """Return the loop of this process that answers `client` and must not be blocked, or None."""
    # A simulator's client has one; Twilio's own has none.
    return getattr(client.http_client, "loop", None)


def dials_loopback(client: Client) -> bool:
    """Whether the calls of `client` may be sent to this very machine: the simulator's may."""
    return bool(getattr(client.http_client, "dials_loopback", False))


def callback_problem(client: Client, url: str) -> str:
    """Say why Twilio could not report to `url`, as it reads after the URL; empty if it could."""
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


def _in_words(error: Exception, purpose: str) -> TwistreamError:
    import requests
    from twilio.base.exceptions import TwilioException
    from twilio.base.version import Version
    from twilio.http.response import Response

    if isinstance(error, TwistreamError):
        error.__cause__ = error.__context__ = None
        return error.with_traceback(None)
    if isinstance(error, TwilioException) and isinstance(answer := _last(error.args), Response):
        # What a list is refused with: the whole answer, unread.
        error = Version.exception("GET", "", answer, str(error.args[0]))
    if isinstance(getattr(error, "status", None), int):
        return _refused(error, purpose)
    if isinstance(error, requests.RequestException):
        return CallRefused(
            f"Twilio could not be reached ({type(error).__name__}) {purpose}",
            consequence="Whether the request arrived is not known",
            fix="Look at the network, the proxy and the name of the region, then at the calls in "
            "the Twilio console before you try again",
        )
    if isinstance(error, TwilioException):
        return CallRefused(f"the Twilio SDK refused {purpose}: {scrubbed(str(error))}")
    # The text of an encoding error, for one, would quote the credentials.
    return CallRefused(
        f"the Twilio SDK failed {purpose} ({type(error).__name__})",
        consequence="Whether the request was sent is not known",
        fix="Look at the credentials for characters that do not belong there, and at what was "
        "passed for values of the wrong type",
    )


def _last(args: tuple[object, ...]) -> object:
    return args[-1] if args else None


def _refused(refused: Any, purpose: str) -> CallRefused:
    code = int(refused.code) if str(refused.code or "").isdecimal() else 0
    if code < _LEAST_CODE:
        code = 0  # the SDK puts the HTTP status there when an answer has no code
    words = getattr(refused, "msg", None) or getattr(refused, "detail", None)
    words = scrubbed(str(words or getattr(refused, "title", None) or "without a reason"))
    meaning, fix = "", ""
    if code:
        try:
            known = explain(code)
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
