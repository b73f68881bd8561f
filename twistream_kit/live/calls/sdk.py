"""What the kit has to know of a Twilio client: is it the real one, or a simulator's?"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from twistream_kit.protocol.twiml import is_loopback

if TYPE_CHECKING:
    from twilio.rest import Client


def home_of(client: Client) -> asyncio.AbstractEventLoop | None:
    """Return the loop of this process that answers `client`, which must not be blocked, if any."""
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


@contextmanager
def answered_within(client: Client, seconds: float) -> Iterator[None]:
    """While it lasts, requests of `client` are given up after `seconds`; for the exit of a program.

    It holds for all threads that use the client.
    """
    http_client = client.http_client
    usual, http_client.timeout = http_client.timeout, seconds
    try:
        yield
    finally:
        http_client.timeout = usual
