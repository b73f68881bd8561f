"""Refuse requests that come from a web page, or that are for another host.

A browser lets any page send requests to any address, including those of this machine, and open
WebSockets there.  Such a page is recognised in two ways.  The browser sends ``Origin`` or
``Sec-Fetch-Site``; Twilio sends neither (PROTOCOL.md §2.1).  Or the page resolves its own host name
to this machine (DNS rebinding); then ``Host`` is that name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv6Address, ip_address

from twistream_kit.errors import SettingsError, require_type

HeaderValues = Callable[[str], Sequence[str]]
"""Returns all values of a header, by its name."""

UNSIGNED = "The signature is missing or does not fit.\n"
"""The body of a 403 for an invalid signature; only the log gives the reason."""

_AUTHORITY = re.compile(r"(\[[^\[\]]*\]|[A-Za-z0-9._-]+)(?::[0-9]*)?")
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened on
_SHOWN_CHARS = 80


def describe_page_refusal(values: HeaderValues) -> str:
    """Say why a request from a web page is refused; return an empty string for other requests."""
    site = values("Sec-Fetch-Site")
    if (refusal := describe_origin_refusal(values)) or not site or set(site) == {"none"}:
        return refusal  # "none": an address typed into the address bar
    return _describe_page("a Sec-Fetch-Site header", site)


def describe_origin_refusal(values: HeaderValues) -> str:
    """Say why a request with ``Origin`` is refused; return an empty string if it has none.

    A page loads images and the like without ``Origin``; `describe_page_refusal` detects that, too.
    """
    origin = values("Origin")
    return _describe_page("an Origin header", origin) if origin else ""


def describe_host_refusal(values: HeaderValues, is_own_host: Callable[[str], bool]) -> str:
    """Say why an unsigned request is refused for its Host; return an empty string if it is not."""
    hosts = values("Host")
    if len(hosts) == 1 and is_own_host(hosts[0]):
        return ""
    found = f"for the host {_quote_values(hosts)}" if hosts else "for no host"
    return (
        f"This request is {found}, which is not known here.  It is refused, because nothing proves "
        "that Twilio signed it, and a web page can have a name of its own lead to this machine.  "
        "Give the host's name in allowed_hosts= (--allowed-host on the command line), or the "
        "public address as public_url=."
    )


def normalise_host(authority: str) -> str:
    """Return the host of ``host:port`` in a form for comparison; empty if there is none.

    An IPv6 address has brackets, or stands alone.
    """
    match = _AUTHORITY.fullmatch(authority)
    name = match[1].strip("[]") if match else authority
    try:
        address = ip_address(name)
    except ValueError:
        is_name = match is not None and not authority.startswith("[")
        return name.lower().removesuffix(".") if is_name else ""
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return str(mapped or address)


def is_ip_address(host: str) -> bool:
    """Whether `normalise_host` returned an IP address, for which no page can forge DNS."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_wildcard(host: str) -> bool:
    """Whether a server with this `host` listens on all addresses of its machine."""
    return host in _WILDCARDS


def normalise_hosts(allowed_hosts: Iterable[str]) -> frozenset[str]:
    """Return the names of hosts in a form for comparison.

    Raises:
        SettingsError: If one is not a name or address of a host, or if `allowed_hosts` is a string.
    """
    require_type("a list, tuple or set", allowed_hosts=allowed_hosts)
    names = [allowed_hosts] if isinstance(allowed_hosts, str) else list(allowed_hosts)
    wrong = [name for name in names if not isinstance(name, str) or not normalise_host(name)]
    if wrong or isinstance(allowed_hosts, str):
        raise SettingsError(
            f"allowed_hosts is {allowed_hosts!r}"
            + (f", and {wrong[0]!r} is no host" if wrong else ""),
            consequence="It is a sequence of names or IP addresses, without scheme, path or *",
            fix="Say for example allowed_hosts=['devbox.lan', '192.168.1.7'], or on the command "
            "line --allowed-host devbox.lan",
        )
    return frozenset(map(normalise_host, names))


def _describe_page(header: str, values: Sequence[str]) -> str:
    return (
        f"This request has {header} ({_quote_values(values)}), "
        "as web pages send it and Twilio does not.  "
        "It is refused, because any page in a browser could play Twilio here.  From a program of "
        "your own, send no such header (websocket-client: suppress_origin=True); in a browser, "
        "type the address."
    )


def _quote_values(values: Sequence[str]) -> str:
    """Return what a stranger sent, fit for one line of a log."""
    return ascii(", ".join(values)[:_SHOWN_CHARS])
