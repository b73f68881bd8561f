"""Read an HTTP answer that stands where something else was expected: who gave it, and why.

The tunnel's proof, the preflight and the simulated call all ask `explain_answer`, so they say the
same.  An answer is first attributed: a page of a tunnel, a host, a proxy or a network says nothing
about the server behind it.  Only then its status is explained, for a handshake of a WebSocket or
for a request of ``/health``.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import urljoin, urlsplit, urlunsplit

from twistream_kit.diagnosis._answer_pages import GATEWAY_STATUSES, find_page
from twistream_kit.errors import Explained, escape_controls, hide_user, quote
from twistream_kit.protocol.service_codes import ServiceCode, identify_answer

SWITCHING_PROTOCOLS = 101
"""The status that opens a WebSocket."""

ANSWER_BYTES = 4096
"""How much of a body is read."""

_QUOTED_CHARS = 160

HOW_TO_SIGN = (
    "send one: kit.simulate_call(url, auth_token=…), or twistream call URL --auth-token-from "
    "TWILIO_AUTH_TOKEN"
)
"""How a signature is sent with a simulated call."""

_SENDS_NOTHING_ELSE = (
    "Twilio proves who it is by X-Twilio-Signature alone: it sends no Origin, cookie, "
    "Authorization or query"
)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """The answer of a server: its status, its headers and the beginning of its body.

    Attributes:
        status: The HTTP status.
        headers: The headers, names in lower case; of a repeated one, the values with commas.
        text: The beginning of the body.
    """

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    text: str = ""

    @classmethod
    def read(
        cls, status: int, headers: Iterable[tuple[str, str]], body: bytes | bytearray
    ) -> HttpAnswer:
        """Make one of what a client library returns."""
        joined: dict[str, str] = {}
        for name, value in headers:
            key = name.lower()
            joined[key] = f"{joined[key]}, {value}" if key in joined else value
        return cls(int(status), joined, bytes(body[:ANSWER_BYTES]).decode("utf-8", "replace"))

    @property
    def quoted(self) -> str:
        """What the body says to a reader, shortened and on one line, in quotes; or empty."""
        text = self.text
        if "<" in text:
            title = re.search(r"<title[^>]*>([^<]{1,200})", text, re.IGNORECASE)
            text = re.sub(r"(?is)<(script|style|head)\b.*?(</\1\s*>|\Z)", " ", text)
            text = html.unescape(re.sub(r"<[^<>]*(>|\Z)", " ", text))
            text = text if text.strip() or title is None else html.unescape(title[1])
        text = " ".join(escape_controls(text).split())
        return quote(text, _QUOTED_CHARS) if text else ""

    @property
    def title(self) -> str:
        """The status and its name: ``HTTP 404 Not Found``."""
        try:
            return f"HTTP {self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"HTTP {self.status}"


def read_status_line(error: BaseException) -> HttpAnswer | None:
    """Return the answer that an error of a WebSocket library quotes, because it is HTTP/1.0.

    The library expects HTTP/1.1 and keeps nothing but the status line.
    """
    seen: BaseException | None = error
    while seen is not None:
        if found := re.search(r"\bHTTP/[0-9.]{1,4} ([1-5][0-9]{2})\b", str(seen)):
            return HttpAnswer(int(found[1]))
        seen = seen.__cause__
    return None


@dataclass(frozen=True, slots=True)
class AnswerExplanation(Explained):
    """Who gave an answer, why, and what to do about it.

    Attributes:
        source: ``server``, or the name of what answered in its place: ``ngrok``, ``nginx`` …
        problem: What was answered; continues the sentence that the URL begins.
        fix: What to do.
        consequence: What follows, where that does not depend on what was requested; else empty.
        is_passing: Whether it may go away by itself after a tunnel was opened.
    """

    source: str
    problem: str
    fix: str
    consequence: str = ""
    is_passing: bool = False


@dataclass(frozen=True, slots=True)
class _Request:
    """What was requested.

    Attributes:
        url: The URL.
        signed_url: The URL that the signature was computed over, or None if none was sent.
        is_handshake: Whether a WebSocket was asked for.
    """

    url: str
    signed_url: str | None = None
    is_handshake: bool = True


def explain_answer(
    answer: HttpAnswer, url: str, *, signed_url: str | None = None
) -> AnswerExplanation:
    """Explain the answer to a handshake, where 101 was expected.

    Args:
        answer: The answer.
        url: The URL of the WebSocket.
        signed_url: The URL that the signature was computed over, or None if none was sent.

    Example:
        >>> refused = HttpAnswer(403, {}, "missing Origin header")
        >>> print(explain_answer(refused, "wss://example.com/media").problem)
        answered HTTP 403 instead of 101 ('missing Origin header'); no signature was sent, so none \
was refused, and the answer speaks of Origin, which browsers send and Twilio does not
    """
    request = _Request(url, signed_url)
    return _find_other_source(answer, request) or _explain_handshake(answer, request)


def explain_health_answer(answer: HttpAnswer, url: str) -> AnswerExplanation:
    """Explain an answer to ``GET /health`` that this process did not give.

    Args:
        answer: The answer.
        url: The URL that was requested.
    """
    request = _Request(url, is_handshake=False)
    if found := _find_other_source(answer, request):
        return found
    # A body without a space is no words: mostly the nonce of another server of this package.
    shown = f"HTTP {answer.status}" + (f", {answer.quoted}" if " " in answer.quoted else "")
    if answer.status in GATEWAY_STATUSES:
        return AnswerExplanation(
            "a proxy",
            f"leads nowhere (HTTP {answer.status}): a proxy or tunnel answers, and does not reach "
            "the server behind it",
            "Start the proxy or tunnel that leads to this server's port, and try again",
            is_passing=True,
        )
    if 300 <= answer.status < 400 and (target := _get_target(answer, request)):
        base = _shorten_url(target).removesuffix(urlsplit(url).path)
        return AnswerExplanation(
            "server",
            f"answers with a redirection (HTTP {answer.status}) to {quote(base, 120)}",
            "Give the address that it leads to: Twilio follows no redirects to open a WebSocket",
            "Twilio would not reach this server either",
        )
    fix = "Point the proxy or tunnel at this server's port"
    if answer.status in (401, 403):
        fix += "; if something on the way asks for a login or refuses, make this address public"
    return AnswerExplanation(
        "server",
        f"answers, but not from this process ({shown})",
        fix,
        "Calls would go to somebody else's server, or to an earlier one of yours",
    )


# Who answers ------------------------------------------------------------------------------------


def _find_other_source(answer: HttpAnswer, request: _Request) -> AnswerExplanation | None:
    """Return the explanation of an answer that something on the way gave, or None."""
    if code := _identify_service(answer):
        return _explain_service(code, answer)
    head = "\n".join(f"{name}: {value}" for name, value in answer.headers.items())
    if page := find_page(answer.status, head, answer.text, _get_host(request.url)):
        return AnswerExplanation(
            page.source,
            f"is answered by {page.source}, not by your server ({_show(answer)}): {page.problem}",
            page.fix,
            is_passing=page.is_passing,
        )
    if login := _describe_login(answer, request):
        is_unsigned = request.is_handshake and request.signed_url is None
        return AnswerExplanation(
            "a login",
            f"asks for a login, which Twilio does not have ({answer.title}): {login}"
            + ("; no signature was sent, so none was refused" if is_unsigned else ""),
            "Make the address public, or except this path from the login; a server behind it can "
            "check X-Twilio-Signature instead",
        )
    if _HOST_REFUSED.search(answer.text) and answer.status >= 400:
        said = f", {answer.quoted}" if answer.quoted else ""
        return AnswerExplanation(
            "server",
            f"is answered by a server that does not know the host that was asked for "
            f"(HTTP {answer.status}{said})",
            f"Add {quote(_get_host(request.url), 80)} to the hosts that it allows "
            "(ALLOWED_HOSTS, allowed_hosts, server.allowedHosts), or let the proxy keep Host",
        )
    if answer.status == HTTPStatus.NETWORK_AUTHENTICATION_REQUIRED:
        return AnswerExplanation(
            "the network",
            f"is answered by the network that this machine is in, not by your server "
            f"({answer.title}): it asks for a login first, as in hotels and trains",
            "Open any page in a browser and log in to the network, or use another one",
        )
    return None


def _show(answer: HttpAnswer) -> str:
    """Return the status, its name and what the body says."""
    return f"{answer.title}, {answer.quoted}" if answer.quoted else answer.title


def _identify_service(answer: HttpAnswer) -> ServiceCode | None:
    found = identify_answer(answer.status, answer.headers, answer.text)
    if found is None and (
        520 <= answer.status <= 530 or re.fullmatch(r"error code: 1\d{3}\s*", answer.text)
    ):
        # No other program answers so; a proxy may have changed the header Server.
        found = identify_answer(answer.status, {"server": "cloudflare"}, answer.text)
    return found


_PASSING = {
    "ngrok": {3200, 3209, 3210},
    "cloudflare": {502, 521, 522, 523, 530, 1001, 1016, 1033},
}
"""The numbers that go away by themselves when a tunnel has just been opened."""


_BROWSER_WARNING = 6024


def _explain_service(code: ServiceCode, answer: HttpAnswer) -> AnswerExplanation:
    is_ngrok = code.service == "ngrok"
    source = "ngrok" if is_ngrok else "Cloudflare"
    number = f"ERR_NGROK_{code.number}" if is_ngrok else f"error {code.number}"
    status = "" if code.number == answer.status else f", HTTP {answer.status}"
    meaning, fix, consequence = code.meaning, code.fix, ""
    if is_ngrok and code.number == _BROWSER_WARNING:
        meaning = "ngrok shows it to requests that look like a browser's"
        fix = (
            "Nothing for Twilio's requests, which do not look like a browser's; let a program of "
            "yours that gets this page send the header ngrok-skip-browser-warning"
        )
        consequence = "Whether the tunnel leads to your server is not known from it"
    return AnswerExplanation(
        source,
        f"is answered by {source}, not by your server ({number}{status}): {code.name}. "
        + meaning.rstrip("."),
        fix.rstrip("."),
        consequence,
        is_passing=code.number in _PASSING[code.service],
    )


_LOGIN_HOSTS = re.compile(
    r"(^|\.)(accounts\.google\.com|login\.microsoftonline\.com|login\.live\.com|cloudflareaccess\.com"
    r"|okta\.com|auth0\.com|amazoncognito\.com|onelogin\.com|duosecurity\.com)$"
    r"|^(login|captive|portal|hotspot|guest|wifi)[.-]",
    re.IGNORECASE,
)
_LOGIN_PATH = re.compile(
    r"(^|[/_-])(log-?in|sign-?in|sso|oauth2?|auth|authorize|authenticate|saml2?|captive|portal"
    r"|hotspot|guest)([/_.?-]|$)",
    re.IGNORECASE,
)
_LOGIN_FORM = re.compile(r"<input[^<>]{0,200}type=[\"']?password", re.IGNORECASE)
_PORTAL = re.compile(r"captive|hotspot|guest[ -]?(wi-?fi|network|access)|portal", re.IGNORECASE)


def _describe_login(answer: HttpAnswer, request: _Request) -> str:
    """Say which login an answer asks for; return an empty string if it asks for none."""
    if 300 <= answer.status < 400 and (target := _get_target(answer, request)):
        parts, path = urlsplit(target), urlsplit(request.url).path
        is_login = _LOGIN_PATH.search(parts.path) and not _LOGIN_PATH.search(path)
        if _LOGIN_HOSTS.search(parts.hostname or "") or is_login:
            return f"it redirects to {quote(_shorten_url(target), 120)}"
    asked = answer.headers.get("www-authenticate", "")
    if answer.status == HTTPStatus.UNAUTHORIZED and asked:
        return f"it asks for {quote(asked.split(',')[0], 60)} (WWW-Authenticate)"
    if _LOGIN_FORM.search(answer.text):
        portal = " of a network, as in hotels" if _PORTAL.search(answer.text) else ""
        return f"its page has a field for a password{portal}"
    return ""


# What a handshake's status means ----------------------------------------------------------------

_ORIGIN = re.compile(
    r"\borigins?\b(?! (service|server|web server|dns|is unreachable))", re.IGNORECASE
)
_HOST_REFUSED = re.compile(
    r"invalid (http_)?host|blocked (request|hosts?)|disallowedhost|host \S{1,80} is not allowed"
    r"|allowed_?hosts|for the host '",
    re.IGNORECASE,
)
_NO_UPGRADE = re.compile(
    r"upgrade.{0,20}(required|header|hdr|websocket|only to)|(connection|upgrade) header"
    r"|websocket (handshake|client|upgrade)|not a websocket",
    re.IGNORECASE,
)
_SOCKET_IO = re.compile(r"transport unknown|socket\.io|engine\.io|unknown sid", re.IGNORECASE)
_ADDRESS_REFUSED = re.compile(r"\byour ip\b|\bip address\b|allow-?list|whitelist", re.IGNORECASE)
_TWIML = re.compile(r"<Response\b")

_LET_UPGRADE_THROUGH = (
    "Let the tunnel or proxy pass the headers Upgrade and Connection on, over HTTP/1.1; nginx "
    "needs proxy_http_version 1.1 and proxy_set_header Upgrade $http_upgrade"
)
_FRAMEWORK_SAYS_403 = "a path without a WebSocket (FastAPI and Starlette answer 403 there)"


def _explain_handshake(answer: HttpAnswer, request: _Request) -> AnswerExplanation:
    status, text = answer.status, answer.text
    said = f" ({answer.quoted})" if answer.quoted else ""
    answered = f"answered HTTP {status} instead of 101{said}"
    path = quote(urlsplit(request.url).path or "/", 80)
    if _SOCKET_IO.search(text):
        return _from_server(
            f"{answered}: Socket.IO answers, which has a protocol of its own",
            "Give the path of a plain WebSocket: Twilio does not speak Socket.IO",
        )
    if status in (401, 403):
        return _explain_refusal(answer, answered, request)
    if 300 <= status < 400:
        return _explain_redirect(answer, answered, request)
    if status in (400, 426) or (status < 300 and _NO_UPGRADE.search(text)):
        return _from_server(
            f"{answered}: it did not see a handshake of a WebSocket, as when something on the way "
            "drops the headers Upgrade and Connection"
            if status == 426 or _NO_UPGRADE.search(text)
            else f"{answered}: it found the request wrong",
            _LET_UPGRADE_THROUGH
            + ("" if status == 426 else "; the server's log says what else it objects to"),
        )
    if status < 300:
        if _TWIML.search(text):
            return _from_server(
                f"{answered}: this is the address of your TwiML, not of the WebSocket",
                "Give the address that stands in <Stream url> of that TwiML",
            )
        return _from_server(
            f"{answered}: an ordinary page is at {path}, or something on the way drops the header "
            "Upgrade",
            f"Is this the path of the WebSocket, and does the server speak it there? If so: "
            f"{_LET_UPGRADE_THROUGH[0].lower()}{_LET_UPGRADE_THROUGH[1:]}",
        )
    problem, fix = _STATUSES.get(status, _STATUSES[500 if status >= 500 else 400])
    wait = answer.headers.get("retry-after", "")
    if status == HTTPStatus.TOO_MANY_REQUESTS and re.fullmatch(r"\d{1,6}", wait):
        fix = f"Wait {wait} s, then try again more slowly"
    return AnswerExplanation(
        "a proxy" if status in GATEWAY_STATUSES else "server",
        f"{answered}: {problem.format(path=path)}",
        fix,
        is_passing=status in GATEWAY_STATUSES,
    )


_STATUSES = {
    400: (
        "the server refused the handshake",
        "Is this the path of the WebSocket, and does the server speak it there?",
    ),
    404: (
        "nothing is served at {path}",
        "Check the path, the slash at its end included; a query string never arrives",
    ),
    405: (
        (
            "{path} does not take GET, with which a WebSocket begins; it may be the address of a "
            "webhook, which Twilio requests by POST"
        ),
        "Give the address of the WebSocket, the one of <Stream url>",
    ),
    429: (
        "more requests came than the server, or something before it, allows",
        "Wait, then try again more slowly; look who else requests this address",
    ),
    500: (
        "the server, or something before it, failed while it answered",
        "Read the exception in the server's log",
    ),
    501: ("the server does not speak WebSocket", "Use a server with WebSocket"),
    502: (
        "a proxy or tunnel answers, and does not reach the server behind it",
        "Start the server, and compare its port with the one that the proxy or tunnel leads to",
    ),
    503: (
        "the server, or a proxy or tunnel before it, takes no requests now",
        (
            "Wait until the server has started, and compare its port with the one that the proxy "
            "or tunnel leads to"
        ),
    ),
    504: (
        "a proxy or tunnel answers, and the server behind it did not answer in time",
        (
            "Look whether the server hangs, and compare its port with the one that the proxy or "
            "tunnel leads to"
        ),
    ),
    505: (
        "the server does not speak this version of HTTP",
        "Let the proxy speak HTTP/1.1 with the server: a WebSocket's handshake needs it",
    ),
}
"""What other statuses mean for a handshake, and what to do."""


def _explain_refusal(answer: HttpAnswer, answered: str, request: _Request) -> AnswerExplanation:
    """Explain a 401 or 403 of the server."""
    speaks_of_origin = _ORIGIN.search(answer.text) is not None
    speaks_of_signature = re.search("signature", answer.text, re.IGNORECASE) is not None
    clause = (
        ", and the answer speaks of Origin, which browsers send and Twilio does not"
        if speaks_of_origin
        else ""
    )
    if request.signed_url is None:
        problem = f"{answered}; no signature was sent, so none was refused{clause}"
    else:
        problem = f"{answered}, to a handshake with a signature{clause}"
    if speaks_of_origin:
        return _from_server(problem, f"{_suggest_origin(answer)}. {_SENDS_NOTHING_ELSE}")
    if _ADDRESS_REFUSED.search(answer.text):
        return _from_server(
            f"{problem}; the answer speaks of the address that the request came from",
            "Admit all addresses on this path: Twilio's streams come from no fixed ones. "
            + _SENDS_NOTHING_ELSE,
        )
    if request.signed_url is None:
        if speaks_of_signature:
            return _from_server(
                f"{problem}: the server wants one", f"If Twilio's signature is meant, {HOW_TO_SIGN}"
            )
        other = f"an Origin that is demanded, a login, {_FRAMEWORK_SAYS_403}"
        return _from_server(
            problem,
            f"If the server checks X-Twilio-Signature, {HOW_TO_SIGN}. If not, its log may say what "
            f"else refuses: {other}. {_SENDS_NOTHING_ELSE}",
        )
    return _from_server(
        problem, _compare_signature(request.signed_url, speaks_of_signature=speaks_of_signature)
    )


def _compare_signature(signed_url: str, *, speaks_of_signature: bool) -> str:
    scheme = signed_url.partition(":")[0]
    here = "" if scheme == "wss" else f" ({scheme}:// for this call)"
    compared = (
        "three things with those of the server: the auth token; the URL, which was signed as "
        f"{quote(hide_user(signed_url), 120)}; and its scheme. Twilio signs the wss:// URL of "
        "<Stream>: a server that computes over https:// or http://, as its request shows the URL "
        f"behind a proxy, refuses every handshake; let it put wss:// in its place{here}"
    )
    if speaks_of_signature:
        return f"Compare {compared}"
    return (
        f"If it is the signature that was refused, compare {compared}. If not, the server's log "
        f"may say what else refuses: an Origin that is demanded, {_FRAMEWORK_SAYS_403}"
    )


def _suggest_origin(answer: HttpAnswer) -> str:
    server = answer.headers.get("server", "").lower()
    if "websockets/" in server or "Failed to open a WebSocket connection" in answer.text:
        return "Add None to the origins of serve(): origins=[None, 'https://example.com']"
    if "daphne" in server:
        return "Take AllowedHostsOriginValidator and OriginValidator off this route"
    if "tornado" in server:
        return "Let check_origin of this handler return True"
    return "Let handshakes without an Origin pass on this path"


def _explain_redirect(answer: HttpAnswer, answered: str, request: _Request) -> AnswerExplanation:
    target = _get_target(answer, request)
    if not target:
        return _from_server(
            f"{answered}: a redirection without an address",
            "Twilio follows no redirects here: give the address that it leads to",
        )
    stream_url = re.sub(r"\Ahttp", "ws", _shorten_url(target), flags=re.IGNORECASE)
    here, there = urlsplit(request.url), urlsplit(stream_url)
    if here.scheme == "ws" and there.scheme == "wss" and here.netloc == there.netloc:
        why = "it wants TLS"
    elif there.path == f"{here.path}/" and here.netloc == there.netloc:
        why = "it wants a slash at the end of the path"
    elif here.path == f"{there.path}/" and here.netloc == there.netloc:
        why = "it wants no slash at the end of the path"
    else:
        why = "it leads to another address"
    shown = quote(stream_url, 120)
    return _from_server(
        f"{answered}: {why}, {shown}",
        f"Twilio follows no redirects here: give the address that it leads to, {shown}",
    )


def _from_server(problem: str, fix: str) -> AnswerExplanation:
    return AnswerExplanation("server", problem, fix)


def _get_target(answer: HttpAnswer, request: _Request) -> str:
    """Return the absolute URL that a redirection leads to, with http for ws, or an empty string."""
    location = answer.headers.get("location", "").strip()
    base = re.sub(r"\Aws", "http", request.url, flags=re.IGNORECASE)
    try:
        target = urljoin(base, location) if location else ""
        _ = urlsplit(target).hostname
    except ValueError:
        return ""
    return target


def _shorten_url(url: str) -> str:
    """Return a URL without its user and its query, which may hold secrets."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


def _get_host(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
