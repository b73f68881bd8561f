"""The official SDK's client, which shows no secret when a request fails.

The SDK hands SID and token to requests, which puts them into an ``Authorization`` header in
base64.  An exception from there carries the request, and its traceback every frame with the header
in it; ``%xmode Verbose`` prints them all.  So that exception never leaves this module: a new one of
the same kind is raised, with the same words.  (Read in twilio 9.3 and 9.13.)
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
        http_client=RedactingHttpClient(),
        environment=_NO_ENVIRONMENT,
        edge=edge,
    )


class RedactingHttpClient(TwilioHttpClient):  # type: ignore[misc]  # the SDK is untyped
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
