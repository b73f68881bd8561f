"""Numbers of other services that stand beside Twilio's in logs and on pages (PROTOCOL.md §11).

They are ngrok's, Cloudflare's, the close codes of WebSocket and the statuses of HTTP.  The texts
are in `service_codes.toml`, beside this module; the file is read on first use.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from textwrap import fill
from typing import Literal, get_args

Service = Literal["ngrok", "cloudflare", "websocket", "http"]
"""Whose number it is."""

_SERVICE_NAMES: dict[Service, str] = {
    "ngrok": "ngrok's error ERR_NGROK_{}",
    "cloudflare": "Cloudflare's error {}",
    "websocket": "close code {} of WebSocket",
    "http": "HTTP status {}",
}


@dataclass(frozen=True, slots=True)
class ServiceCode:
    """A number that is none of Twilio's, with its meaning and what to do.

    Attributes:
        service: Whose it is: ``ngrok``, ``cloudflare``, ``websocket`` or ``http``.
        number: The number.
        name: What the service calls it.
        meaning: What has happened.
        fix: What to do; where trying again does not help, it says so.
        twilio: The number that Twilio logs when your server causes it, or None.

    Example:
        >>> import twistream_kit as kit
        >>> code = kit.explain("ERR_NGROK_3200")
        >>> code.service, code.number, code.name
        ('ngrok', 3200, 'Endpoint offline')
    """

    service: Service
    number: int
    name: str
    meaning: str
    fix: str
    twilio: int | None = None

    @property
    def title(self) -> str:
        """Whose number it is, and what it is called: ``HTTP status 404: Not Found``."""
        return f"{_SERVICE_NAMES[self.service].format(self.number)}: {self.name}"

    def __repr__(self) -> str:
        lines = [f"{self.title} (not a code of Twilio's)", fill(self.meaning, 96)]
        if self.twilio is not None:
            lines.append(f"Where your server is the cause, Twilio logs {self.twilio}.")
        lines.append(fill(f"What to do: {self.fix}", 96, break_long_words=False))
        return "\n".join(lines)


@cache
def read_service_codes() -> Mapping[tuple[Service, int], ServiceCode]:
    """Return every code of `service_codes.toml`, by service and number."""
    content = resources.files("twistream_kit.protocol").joinpath("service_codes.toml").read_text()
    entries = tomllib.loads(content)
    return {
        (service, int(number)): ServiceCode(service, int(number), **entry)
        for service in get_args(Service)
        for number, entry in entries[service].items()
    }


def find_service_code(service: Service, number: int) -> ServiceCode | None:
    """Return the code of a service, or None if it is not among those known here."""
    return read_service_codes().get((service, number))


def explain_ngrok(number: int) -> ServiceCode:
    """Return what is known of a number of ngrok's; of an unknown one, where to look it up."""
    return find_service_code("ngrok", number) or ServiceCode(
        "ngrok",
        number,
        "not among the numbers known here",
        "ngrok, and not your server, answered or refused.",
        f"Read ngrok's page on it: https://ngrok.com/docs/errors/err_ngrok_{number}.",
    )


def identify_answer(status: int, headers: Mapping[str, str], body: str) -> ServiceCode | None:
    """Return the code that a tunnel's own page carries, or None if another program answered.

    ngrok names its code in the header ``ngrok-error-code`` and in the page; Cloudflare's number is
    in the page, and its statuses from 520 to 530 no other program sends.

    Args:
        status: The HTTP status of the answer.
        headers: The headers of the answer; the case of their names does not matter.
        body: The text of the answer, or its beginning.

    Example:
        >>> page = "<html>This endpoint is offline. ERR_NGROK_3200</html>"
        >>> identify_answer(404, {"Ngrok-Error-Code": "ERR_NGROK_3200"}, page).name
        'Endpoint offline'
        >>> identify_answer(530, {"Server": "cloudflare"}, "error code: 1033").number
        1033
        >>> identify_answer(404, {"Server": "uvicorn"}, "Not Found")
    """
    lowered = {name.lower(): value for name, value in headers.items()}
    if found := NGROK_CODE.search(lowered.get("ngrok-error-code", "")) or (
        _is_error_page(status) and NGROK_CODE.search(body)
    ):
        return explain_ngrok(int(found.group(1)))
    is_cloudflare = lowered.get("server", "").lower() == "cloudflare" or "cf-ray" in lowered
    if not is_cloudflare or not _is_error_page(status):
        return None
    if number := find_cloudflare_number(body):
        return find_service_code("cloudflare", number)
    return find_service_code("cloudflare", status)


NGROK_CODE = re.compile(r"ERR_NGROK_([0-9]{1,6})(?![0-9])", re.IGNORECASE)

_CLOUDFLARE_PAGE = re.compile(
    r"\berror(?:\s+code)?\s*:?\s*(?:<[^<>]{0,80}>\s*){0,4}(1[0-9]{3})(?![0-9])", re.IGNORECASE
)


def find_cloudflare_number(page: str) -> int | None:
    """Return the known number from 1000 to 1999 that a page of Cloudflare's names, or None."""
    for found in _CLOUDFLARE_PAGE.finditer(page):
        if find_service_code("cloudflare", int(found.group(1))) is not None:
            return int(found.group(1))
    return None


def _is_error_page(status: int) -> bool:
    return status >= 400
