"""Write the TwiML that connects a call to a stream, and review the stream's URL (PROTOCOL.md §1).

This module does not parse TwiML; `diagnosis.twiml_tree` does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import SplitResult, parse_qsl, urlsplit
from urllib.parse import quote as encode

from twistream_kit.errors import (
    LocalProtocolError,
    Objection,
    WrongType,
    WrongValue,
    hide_user,
    quote,
    require_type,
    sort_by_severity,
)
from twistream_kit.protocol.url_repair import repair_url

INLINE_LIMIT = 4000
"""The limit of the REST parameter ``Twiml``, in characters (§1.5); more is error 32018."""

FETCHED_LIMIT = 65536
"""The limit of TwiML that Twilio fetches from a URL, in bytes (§1.5); more is error 11750."""

PARAMETER_LIMIT = 500
"""Name and value of a <Parameter> together must have fewer characters (§1.4)."""

PARAMETER_TOO_LONG = (
    f"Twilio wants fewer than {PARAMETER_LIMIT}; what it does with more is not documented"
)
PASS_A_TOKEN = "Pass a short token and keep the rest on your server"  # noqa: S105

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 does not allow, not even escaped."""

_STREAM_SCHEMES = {"https": "wss", "wss": "wss", "http": "ws", "ws": "ws"}
"""The scheme of a stream URL by the scheme of the server's address."""

_OPEN_A_TUNNEL = "Open a tunnel, kit.start(kit.open_tunnel(server)), and use server.stream_url"

_PRIVATE = "a private network"

_SPECIAL = tuple(
    (ip_network(network), what)
    for networks, what in (
        (
            "192.0.2.0/24 198.51.100.0/24 203.0.113.0/24 2001:db8::/32 3fff::/20",
            "reserved for examples",
        ),
        ("198.18.0.0/15 2001:2::/48", "reserved for measurements"),
        ("100.64.0.0/10", "shared inside the network of a provider"),
        ("169.254.0.0/16 fe80::/10", "link-local, and valid on one cable or Wi-Fi only"),
        ("224.0.0.0/4 ff00::/8", "a multicast address, and no host's"),
        ("0.0.0.0/32 ::/128", "no host's: a server listens on it, and nobody can call it"),
        ("255.255.255.255/32", "a broadcast address, and no host's"),
        ("10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 fc00::/7 fec0::/10", _PRIVATE),
    )
    for network in networks.split()
)
"""The special ranges of addresses that have a use of their own (RFC 6890), and what they are."""

_NAMES_OF_A_NETWORK = (".localhost", ".local", ".internal", ".lan", ".home.arpa")

_UNSET = frozenset({"undefined", "null", "none", "nan", "false", "true", "object", "[object"})
"""What a setting without a value becomes as text, in JavaScript or Python."""

_LONGEST_SHOWN = 2000
"""The longest URL that a fix quotes, in characters: it has to be whole to be copied."""


def connect_stream(
    url: str,
    *,
    parameters: Mapping[str, str] | None = None,
    name: str | None = None,
    status_callback: str | None = None,
    status_callback_method: str | None = None,
    action: str | None = None,
    method: str | None = None,
    inline: bool = True,
) -> str:
    """Write the TwiML that connects a call, both ways, to the stream at `url`.

    Args:
        url: ``wss://...`` without a query; ``ws://`` only on this machine, for the simulator.
        parameters: The `custom_parameters` of the stream's start message; name and value of each
            must have fewer than 500 characters together.
        name: A name for the stream, unique in its call; status callbacks contain it.
        status_callback: Absolute URL that Twilio requests when the stream starts, stops or fails.
        status_callback_method: ``GET`` or ``POST``; POST if left out.
        action: URL from which Twilio fetches more TwiML when the stream has ended; without it the
            call ends then.
        method: ``GET`` or ``POST`` for `action`; POST if left out.
        inline: True if the TwiML is passed in a REST request (4000 characters at most), False if
            it is served from a URL (64 kB).

    Raises:
        LocalProtocolError: If Twilio would refuse it.
        TypeError: If a parameter is not a string.

    Example:
        >>> import twistream_kit as kit
        >>> twiml = kit.connect_stream("wss://example.com/media")
        >>> print(twiml.partition("?>")[2])
        <Response><Connect><Stream url="wss://example.com/media" /></Connect></Response>
    """
    from twilio.twiml.voice_response import Connect, VoiceResponse

    require_type("a string", url=url)
    optional = {"name": name, "status_callback": status_callback, "action": action}
    require_type("a string", **{key: text for key, text in optional.items() if text is not None})
    require_type("a dict of names and values", parameters=parameters or {})
    check_stream_url(url)
    connect = Connect(action=action, method=_check_method(method, "method"))
    stream = connect.stream(
        url=url,
        name=name,
        status_callback=status_callback,
        status_callback_method=_check_method(status_callback_method, "status_callback_method"),
    )
    for key, value in (parameters or {}).items():
        check_parameter(key, value)
        stream.parameter(name=key, value=value)
    response = VoiceResponse()
    response.append(connect)
    for text in (name, status_callback, action):
        _check_characters(text or "", "TwiML")
    twiml = str(response)
    _check_size(twiml, inline=inline)
    return twiml


def build_stream_url(base_url: str, path: str = "/media") -> str:
    """Return the URL of the stream at a server.

    ``https://host/x`` with ``/media`` becomes ``wss://host/x/media``; http becomes ws, which only
    the simulator accepts.

    Raises:
        LocalProtocolError: If `base_url` is not an http or ws URL with a host, or has a query.
    """
    repair = repair_url(base_url, "https")
    match = re.fullmatch(r"(?P<scheme>\w+)://(?P<rest>[^\s?#]+)", base_url)
    scheme = _STREAM_SCHEMES.get(match["scheme"].lower()) if match else None
    if repair or match is None or scheme is None or match["rest"].startswith(("/", ":")):
        raise LocalProtocolError(
            f"{quote(hide_user(base_url))} is not the address of a server",
            consequence="No stream can be opened to it",
            fix=repair.fix
            if repair
            else "Give scheme and host, without a query, such as https://example.com",
        )
    return f"{scheme}://{match['rest'].rstrip('/')}/{path.removeprefix('/')}"


def review_stream_url(url: str, field: str = "<Stream url>") -> list[Objection]:
    """Return what Twilio would object to in the URL of a stream.

    Args:
        url: The URL in the TwiML, with XML escapes decoded.
        field: The name of the field in the objections.
    """
    return sort_by_severity(_review_url(url, field))


def describe_url_error(url: str, error: ValueError) -> str:
    """Return what `urlsplit` says of `url`, unless it may quote a password: it quotes the port."""
    return str(error) if hide_user(url) == url else "its host or port cannot be read"


def is_loopback(url: str) -> bool:
    """Whether the host of `url` is this machine."""
    try:
        return is_loopback_host(urlsplit(url).hostname or "")
    except ValueError:
        return False


def is_loopback_host(host: str) -> bool:
    """Whether `host` is this machine by its name or number alone."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def describe_out_of_reach(host: str) -> str:
    """Say what `host` is, to follow "which is", if nothing on the internet reaches it; else ""."""
    if is_loopback_host(host):
        return "this machine"
    try:
        address = ip_address(host)
    except ValueError:
        is_one_networks = "." not in host or host.endswith(_NAMES_OF_A_NETWORK)
        return _PRIVATE if is_one_networks else ""
    return _describe_address(getattr(address, "ipv4_mapped", None) or address)


def _describe_address(address: IPv4Address | IPv6Address) -> str:
    if address.is_loopback:
        return "this machine"
    for network, what in _SPECIAL:
        if address in network:
            return what
    return "" if address.is_global else "reserved, and no host's on the internet"


def check_parameter(name: str, value: str) -> None:
    """Refuse what no `<Parameter>` can carry.

    Raises:
        LocalProtocolError: If it has no name, is too long, or holds what XML cannot carry.
        TypeError: If either is no string.
    """
    if not isinstance(name, str) or not isinstance(value, str):
        raise WrongType(f"parameter {name!r} is {value!r}: names and values must be strings")
    if not name:
        raise LocalProtocolError("has no name", field="<Parameter>", fix="Give it one")
    if len(name) + len(value) >= PARAMETER_LIMIT:
        raise LocalProtocolError(
            f"{name[:40]!r} has {len(name) + len(value)} characters, name and value together",
            field="<Parameter>",
            consequence=PARAMETER_TOO_LONG,
            fix=PASS_A_TOKEN,
        )
    _check_characters(name + value, f"<Parameter> {name[:40]!r}")


def check_stream_url(url: str) -> None:
    """Refuse a URL that cannot be in the TwiML of a call.

    Raises:
        LocalProtocolError: If Twilio would not open it.
    """
    for objection in review_stream_url(url):
        if objection.severity == "error" or objection.problem.startswith("is relative"):
            raise LocalProtocolError.from_objection(objection)


def _check_characters(text: str, field: str) -> None:
    if wrong := _NOT_XML.search(text):
        raise LocalProtocolError(
            f"holds {quote(wrong[0])}, which XML cannot carry",
            field=field,
            twilio_code=12100,
            consequence="Twilio could not parse the document (error 12100)",
            fix="Leave the character out, or encode the value",
        )


def _check_size(twiml: str, *, inline: bool) -> None:
    size = len(twiml) if inline else len(twiml.encode())
    limit, code = (INLINE_LIMIT, 32018) if inline else (FETCHED_LIMIT, 11750)
    if size > limit:
        unit = "characters" if inline else "bytes"
        raise LocalProtocolError(
            f"TwiML has {size} {unit}; {limit} are the most",
            twilio_code=code,
            consequence=f"Twilio would refuse it (error {code})",
            fix="Pass one short token by <Parameter> and keep the rest on your server",
        )


def _check_method(value: str | None, name: str) -> str | None:
    if value not in (None, "GET", "POST"):
        raise WrongValue(f"{name} is {value!r}: write 'GET' or 'POST'")
    return value


def _review_url(url: str, field: str) -> Iterator[Objection]:
    if not url.strip():
        yield Objection(31923, field, "is empty", _describe_refusal(31923), "Give a wss:// URL")
        return
    if repair := repair_url(url):
        consequence = _describe_refusal(31923)
        if repair.around:
            consequence = f"Whether Twilio takes it away is not documented; if not: {consequence}"
        yield Objection(31923, field, repair.problem, consequence, repair.fix)
        url = repair.url
    # urlsplit removes some of these silently; the parser at the other end may not.
    if wrong := re.search(r"[\s\x00-\x1f{}<>\"\\^`|]", url):
        problem = f"holds {quote(wrong[0])}, which no URL may contain: {quote(hide_user(url))}"
        fix = "Fill in what stands for a value; if it is Python, the f before f'…' may be missing"
        if wrong[0] not in "{}<>":
            fix = _write(encode(hide_user(url), safe="/:?#[]@!$&'()*+,;=%", errors="replace"))
        yield Objection(31923, field, problem, _describe_refusal(31923), fix)
        return
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        fix = "Write wss://host/path"
        problem = f"is no URL: {describe_url_error(url, error)}"
        yield Objection(31923, field, problem, _describe_refusal(31923), fix)
        return
    if _has_no_scheme(url) or not (parts.scheme or parts.netloc):
        yield _object_to_relative_url(url, field)
    elif not parts.hostname:
        problem = f"names no host: {quote(hide_user(url))}"
        yield Objection(31923, field, problem, _describe_refusal(31923), "Write wss://host/path")
    else:
        yield from _review_scheme_and_host(parts, field)
        yield from _review_port(port, parts, field)
    yield from _review_extras(parts, field)


def _has_no_scheme(url: str) -> bool:
    """Whether `url` begins with its host; `urlsplit` takes one with a port for a scheme."""
    return bool(re.match(r"(?:[\w-]+(?:\.[\w-]+)+(?::\d+)?|[\w.-]+:\d+)(?:/|$)", url))


def _object_to_relative_url(url: str, field: str) -> Objection:
    if _has_no_scheme(url):
        scheme = "ws" if is_loopback(f"ws://{url}") else "wss"
        return Objection(
            31922,
            field,
            f"has no scheme: {quote(hide_user(url))}",
            _describe_refusal(31922),
            f"Write {_describe_right(urlsplit(f'//{url}'), scheme)}",
        )
    return Objection(
        None,
        field,
        f"is relative: {quote(hide_user(url))}",
        "Twilio completes it from the TwiML's own URL; inline TwiML has none",
        "Write the whole wss:// URL",
        "warning",
    )


def _review_scheme_and_host(parts: SplitResult, field: str) -> Iterator[Objection]:
    host, scheme = parts.hostname or "", parts.scheme.lower()
    loopback = is_loopback_host(host)
    if scheme != "wss":
        yield _object_to_scheme(parts, scheme, field, is_local=scheme == "ws" and loopback)
    if host in _UNSET:
        yield Objection(
            31904,
            field,
            f"leads to {quote(host)}, which is no host: a setting had no value",
            _describe_refusal(31904),
            "Give the setting its value before the TwiML is written",
        )
    elif where := describe_out_of_reach(host):
        consequence, fix = "Twilio could not reach it (31904)", _OPEN_A_TUNNEL
        if loopback and scheme in ("ws", "http"):
            consequence += "; only the simulator on this machine could"
        elif loopback:
            consequence += "; the simulator on this machine could, if the server speaks TLS"
            plain = _describe_right(parts, "ws")
            fix += f"; for a server without TLS and the simulator, write {plain}"
        elif where == _PRIVATE:
            consequence += "; only the simulator could, from a machine in it"
        yield Objection(
            31904, field, f"leads to {host}, which is {where}", consequence, fix, "warning"
        )


def _object_to_scheme(parts: SplitResult, scheme: str, field: str, *, is_local: bool) -> Objection:
    secure = f"Write {_describe_right(parts, 'wss')}"
    if is_local:
        consequence, fix = "Only the simulator dials it; Twilio would not (31922)", _OPEN_A_TUNNEL
    else:
        consequence, fix = _describe_refusal(31922), secure
    host = parts.hostname or ""
    if scheme == "http" and is_loopback_host(host):
        fix = f"{_OPEN_A_TUNNEL}; for the simulator, write {_describe_right(parts, 'ws')}"
    elif scheme in ("ws", "http") and describe_out_of_reach(host):
        fix = _OPEN_A_TUNNEL
    elif scheme == "ws":
        fix = f"{secure}; the server needs TLS there, its own or that of a proxy or tunnel"
    problem = f"begins with {scheme or 'nothing'}:// instead of wss://"
    return Objection(31922, field, problem, consequence, fix, "warning" if is_local else "error")


def _make_right(parts: SplitResult, scheme: str) -> str:
    """Return an address without what would be objected to next, if this were followed."""
    netloc = re.sub(r":0+\Z", "", parts.netloc.rpartition("@")[2])
    return parts._replace(scheme=scheme, netloc=netloc, query="", fragment="").geturl()


def _describe_right(parts: SplitResult, scheme: str) -> str:
    """Return that address, and where the values of its query belong, for after "write"."""
    right = _shorten(_make_right(parts, scheme))
    if not parts.query:
        return right
    return f"{right} and pass the query's values by parameters={_read_query(parts.query)!r}"


def _choose_scheme(parts: SplitResult) -> str:
    """Return the scheme to write: that of the simulator only where nothing else can dial."""
    is_plain = parts.scheme.lower() in ("ws", "http")
    return "ws" if is_plain and is_loopback_host(parts.hostname or "") else "wss"


def _review_port(port: int | None, parts: SplitResult, field: str) -> Iterator[Objection]:
    if port == 0:
        fix = f"Write {_describe_right(parts, _choose_scheme(parts))}"
        problem = "uses port 0, on which no server can be called"
        yield Objection(31923, field, problem, _describe_refusal(31923), fix)
        return
    if port in (None, 443) or is_loopback_host(parts.hostname or ""):
        return
    consequence = "Twilio's documents speak of 443 only; others may work and are not promised"
    fix = "Serve the stream on 443, through a tunnel or a reverse proxy"
    yield Objection(None, field, f"uses port {port}", consequence, fix, "note")


def _review_extras(parts: SplitResult, field: str) -> Iterator[Objection]:
    if parts.query:
        bare = _make_right(parts, _choose_scheme(parts)) if parts.hostname else ""
        bare = bare or hide_user(parts._replace(query="", fragment="").geturl())
        yield Objection(
            31920,
            field,
            f"has a query, ?{parts.query[:40]}",
            "Streams do not support one: it is dropped in silence, or the handshake fails (31920)",
            "Pass its values by <Parameter>: "
            f"kit.connect_stream({bare!r}, parameters={_read_query(parts.query)!r})",
        )
    if parts.fragment:
        consequence = "It never reaches a server"
        fix = f"Write {_describe_right(parts, _choose_scheme(parts))}"
        yield Objection(None, field, "has a #fragment", consequence, fix, "warning")
    if "@" in parts.netloc:
        consequence = (
            "Whether Twilio sends them is not documented, and TwiML is no place for a secret"
        )
        fix = (
            f"Write {_describe_right(parts, _choose_scheme(parts))}, and check the signature"
            " instead: kit.StreamServer(auth_token=token)"
        )
        yield Objection(None, field, "holds a user or password", consequence, fix, "warning")


def _write(url: str) -> str:
    return f"Write {_shorten(url)}"


def _shorten(url: str) -> str:
    return url if len(url) <= _LONGEST_SHOWN else f"{url[:_LONGEST_SHOWN]}…"


def _read_query(query: str) -> dict[str, str]:
    """Return names and values of a query; the values only where the problem shows them too."""
    values = dict(parse_qsl(query[:_LONGEST_SHOWN], keep_blank_values=True))
    return values if len(query) <= 40 else dict.fromkeys(values, "…")


def _describe_refusal(code: int) -> str:
    return f"Twilio would not open the stream (error {code}); the next verb runs, or the call ends"
