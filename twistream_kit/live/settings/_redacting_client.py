"""The official SDK's client, with exceptions that contain no secrets.

The SDK passes SID and token to requests, which puts them into an ``Authorization`` header in
base64.  An exception of requests holds the request, and its traceback holds every frame with that
header; ``%xmode Verbose`` prints them.  Therefore that exception never leaves this module: a new
one of the same class and with the same text is raised.  (Read in twilio 9.3 and 9.13.)
"""

from __future__ import annotations

import re
from base64 import b64encode
from typing import Any
from urllib.parse import quote

import requests
from twilio.http.http_client import TwilioHttpClient
from twilio.http.response import Response
from twilio.rest import Client

from twistream_kit.live.settings.secret import HIDDEN, Secret

TIMEOUT_SECONDS = 30.0
"""The timeout of a request; by default the SDK has none."""

_NO_ENVIRONMENT = {"": ""}
"""With an empty mapping, the SDK would read the environment itself, without ``.env``."""


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
        api_key: SK and 32 hex digits, to authenticate with instead of the account SID.
        region: A region such as ie1; Twilio's default is us1.
        edge: An edge location such as dublin.
    """
    return Client(
        api_key or account_sid,
        secret.reveal(),
        account_sid,
        region,
        http_client=RedactingHttpClient(),
        environment=_NO_ENVIRONMENT,
        edge=edge,
    )


class RedactingHttpClient(TwilioHttpClient):  # type: ignore[misc]  # the SDK is untyped
    """Sends the SDK's requests, with a timeout and with exceptions that contain no secrets."""

    def __init__(self) -> None:
        super().__init__(timeout=TIMEOUT_SECONDS)

    def request(self, method: str, url: str, *args: Any, **options: Any) -> Response:
        """Send a request; blocks until it is answered or `TIMEOUT_SECONDS` have passed.

        Raises:
            requests.RequestException: If there is no answer.  It is a new exception, without the
                request, the traceback and the cause of the one that requests raised.
        """
        try:
            return super().request(method, url, *args, **options)
        except BaseException as error:  # noqa: BLE001 - an interrupt has the same frames
            failed = _remove_secrets(error, options.get("auth"))
        # Raised outside the except block, so that the original is neither cause nor context.
        raise failed


def _remove_secrets(error: BaseException, auth: Any) -> BaseException:
    """Return a new exception of the class of `error`, with its text but without secrets."""
    if not isinstance(error, Exception):
        return type(error)()
    words = _redact(str(error), auth)
    if isinstance(error, requests.RequestException):
        try:
            return type(error)(words)
        except TypeError:  # its constructor takes other arguments
            return requests.RequestException(words)
    return requests.RequestException(f"{type(error).__name__}: {words}")


def _redact(words: str, auth: Any) -> str:
    if isinstance(auth, tuple):
        # The longest first, because it may contain a shorter one.
        for form in sorted(_list_forms(*auth), key=len, reverse=True):
            words = words.replace(form, HIDDEN)
    words = re.sub(r"\b(Basic|Bearer) +[\w+/=.~-]+", rf"\1 {HIDDEN}", words)
    return re.sub(r"//[^/@\s]*@", f"//{HIDDEN}@", words)  # of a proxy


def _list_forms(username: str, password: str) -> set[str]:
    pair = b64encode(f"{username}:{password}".encode()).decode()
    alone = b64encode(password.encode()).decode()
    return {str(password), quote(password, safe=""), pair, alone} - {""}
