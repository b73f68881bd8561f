"""Secrets that are not shown by accident: in a repr, a log, a pickle or a traceback.

``%xmode Verbose`` prints the repr of every variable of every frame, so it is not enough to wrap a
secret: what is unwrapped for a library must hide as well, for as long as it is a text.

The official SDK's client, which shows no secret when a request fails.

The SDK hands SID and token to requests, which puts them into an ``Authorization`` header in
base64.  An exception out of there carries the request, and its traceback every frame with the
header in it; ``%xmode Verbose`` prints them all.  So nothing of it leaves this module: what does is
a new exception of the same kind, with the same words.  (Read in twilio 9.3 and 9.13.)
"""

from __future__ import annotations

import hmac
import re
from base64 import b64encode
from typing import Any, NoReturn, Self
from urllib.parse import quote

import requests
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

HIDDEN = "<secret>"
"""What is shown in place of a secret."""


class QuietText(str):
    """A text like any other, but its repr hides and it cannot be pickled.

    `str()`, f-strings and `encode()` give the text: libraries put an ``Authorization`` header
    together with these, and one that hid there would be sent to Twilio as ``<secret>``.  A repr is
    never sent; it is what tracebacks, debuggers, `vars()` and the last line of a cell show.  What
    is cut out of it or joined with it is an ordinary `str`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        return HIDDEN

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        _refuse_pickling()


class Secret:
    """A secret, such as an auth token: only `reveal` gives its text.

    Two are compared in constant time; comparing one with a `str` is never true.

    Args:
        text: Not empty.

    Raises:
        TypeError: If `text` is not a `str`; it is not shown.
        ValueError: If it is empty.
    """

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        kind, is_text = type(text).__name__, isinstance(text, str)
        # From here on a traceback that shows this frame's variables shows nothing.
        text = QuietText(text) if is_text else QuietText()
        if not is_text:
            raise TypeError(f"a Secret holds a str, not {kind}; decode bytes first")
        if not text:
            raise ValueError("a Secret cannot be empty; use None where there is none")
        object.__setattr__(self, "_text", text)

    def reveal(self) -> str:
        """Return the text, as a `str` whose repr still hides; hand it straight on."""
        text: str = self._text  # type: ignore[attr-defined]  # a slot that only __init__ sets
        return text

    def __repr__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash((Secret, self.reveal()))

    def __setattr__(self, name: str, _value: object) -> NoReturn:
        raise AttributeError(f"a Secret cannot be changed, so {name} cannot be set; make a new one")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"a Secret cannot be changed, so {name} cannot be deleted")

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self

    def __reduce_ex__(self, _protocol: object) -> NoReturn:
        _refuse_pickling()


def revealed(value: str | Secret | None) -> str:
    """Return the text of `value`, as a `str` whose repr hides; "" for None."""
    return value.reveal() if isinstance(value, Secret) else QuietText(value or "")


def _refuse_pickling() -> NoReturn:
    raise TypeError(
        "a secret cannot be pickled, as it would then stand in a file or on a wire in plain text; "
        "read it anew, with kit.settings(), in the process that needs it"
    )


TIMEOUT_SECONDS = 30.0
"""The SDK's own default is to wait for ever."""

_NO_ENVIRONMENT = {"": ""}
"""An empty mapping would make the SDK look into the environment by itself, past ``.env``."""


def make_client(
    account_sid: str,
    secret: Secret,
    *,
    api_key: str | None = None,
    region: str | None = None,
    edge: str | None = None,
) -> Client:
    """Make a client of the official SDK.

    Args:
        account_sid: AC and 32 hex digits.
        secret: The account's auth token, or the secret of `api_key`.
        api_key: SK and 32 hex digits, to make requests with in place of the account's own SID.
        region: Such as ie1; Twilio's default is us1.
        edge: Such as dublin.
    """
    return Client(
        api_key or account_sid,
        secret.reveal(),
        account_sid,
        region,
        http_client=DiscreetHttpClient(),
        environment=_NO_ENVIRONMENT,
        edge=edge,
    )


class DiscreetHttpClient(TwilioHttpClient):  # type: ignore[misc]  # the SDK is untyped
    """Sends the SDK's requests, with a limit in time and exceptions without secrets."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT_SECONDS)

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Response:
        """Send one request; blocks until it is answered or `TIMEOUT_SECONDS` have passed.

        Raises:
            requests.RequestException: If there is no answer: a new one, without the request, the
                traceback and the chain of the one that requests raised.
        """
        try:
            return super().request(method, url, *args, **options)
        except BaseException as error:  # noqa: BLE001 - an interrupt has the same frames
            failed = _without_secrets(error, options.get("auth"))
        # Out here, so that the first one is neither its cause nor its context.
        raise failed


def _without_secrets(error: BaseException, auth: Any) -> BaseException:
    """Return a new exception of the kind of `error`, with its words but for the secrets."""
    if not isinstance(error, Exception):
        return type(error)()
    words = _scrubbed(str(error), auth)
    if isinstance(error, requests.RequestException):
        try:
            return type(error)(words)
        except TypeError:  # one that wants to be made of other things than words
            return requests.RequestException(words)
    return requests.RequestException(f"{type(error).__name__}: {words}")


def _scrubbed(words: str, auth: Any) -> str:
    if isinstance(auth, tuple):
        for form in sorted(_forms(*auth), key=len, reverse=True):  # a longer one may hold a shorter
            words = words.replace(form, HIDDEN)
    words = re.sub(r"\b(Basic|Bearer) +[\w+/=.~-]+", rf"\1 {HIDDEN}", words)
    return re.sub(r"//[^/@\s]*@", f"//{HIDDEN}@", words)  # of a proxy


def _forms(username: str, password: str) -> set[str]:
    pair = b64encode(f"{username}:{password}".encode()).decode()
    alone = b64encode(password.encode()).decode()
    return {str(password), quote(password, safe=""), pair, alone} - {""}
