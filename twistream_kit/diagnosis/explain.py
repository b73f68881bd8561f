"""Explain a number, or each number in a pasted text: whose it is, what it means, what to do.

A text is a line of a log, the JSON of an error, a page, a header, or somebody's own sentence.  A
number in it is taken for a code only where the words around it say so, because ports, durations,
dates and telephone numbers look the same.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import NamedTuple

from twistream_kit.listing import Series
from twistream_kit.protocol.codes import TWILIO_CODES, TwilioCode, UnknownCode, get_code
from twistream_kit.protocol.service_codes import (
    NGROK_CODE,
    Service,
    ServiceCode,
    explain_ngrok,
    find_service_code,
)

MOST_CHARACTERS = 100_000
"""What is read of a text: the beginning, in which a page or a log names its error."""


class Explanations(Series[TwilioCode | ServiceCode]):
    """The codes of one text, in the order in which they stand there."""

    what = "codes"

    def __repr__(self) -> str:
        return "\n\n".join(map(repr, self))


def explain(text: int | str) -> TwilioCode | ServiceCode | Explanations:
    """Explain a code, or the codes in a pasted text (PROTOCOL.md §5 and §11).

    It knows Twilio's errors and warnings, also by the sentences of Twilio's REST API that lack the
    number; ngrok's and Cloudflare's numbers, the close codes of WebSocket, and HTTP's statuses.
    Where the words around a number do not say that it is a code, nothing is claimed.

    Args:
        text: A number, or a text: a line of a log, the JSON of an error, an HTML page, a header, a
            close code.  Of a text, the first 100,000 characters are read.

    Returns:
        The code; or, where the text holds several, all of them in the order of the text.

    Raises:
        UnknownCode: If there is no code, or none that is known here; for an unknown number, the
            text names the nearest of Twilio's codes.

    Example:
        >>> import twistream_kit as kit
        >>> kit.explain(31902)
        31902 (error): Stream - WebSocket - Connection Refused
        The host answered that nothing listens on that port.
        Usual causes:
          - the server is not running
          - the port in the URL is not the server's or the tunnel's
        What to do: Start the server before the call, and compare its address with the URL ...
        >>> kit.explain("[HTTP 401] Unable to create record: Authenticate").code
        20003
        >>> [code.number for code in kit.explain("closed with 1006; then HTTP 502 from the proxy")]
        [1006, 502]
    """
    if isinstance(text, int):
        return _explain_number(text)
    uncoloured = _FOR_TERMINALS.sub("", str(text)[:MOST_CHARACTERS])
    whole = _ONE_NUMBER.fullmatch(uncoloured[:80])
    if whole is not None:
        return _explain_number(int(whole.group(1)))
    plain = _take_words(uncoloured)
    found = _drop_consequences(sorted(_find_codes(plain)), plain)
    codes = list(dict.fromkeys(each.code for each in found))
    if not codes:
        raise _build_unknown(text, plain)
    return codes[0] if len(codes) == 1 else Explanations(codes)


_FOR_TERMINALS = re.compile(
    r"(?:\x1b|\^\[|\\(?:e|x1b|033|u001b))\[[0-9;:?]{0,40}[A-Za-z]"
    r"|\x1b\][^\x07\x1b]{0,2000}(?:\x07|\x1b\\)",
    re.IGNORECASE,
)
"""Colours and links of a terminal (ECMA-48), as they are, and as a log or a shell writes them."""

_ONE_NUMBER = re.compile(r"[\s\"'(\[#]*([0-9]{1,9})[\s\"')\].,:]*")


def _explain_number(number: int) -> TwilioCode | ServiceCode | Explanations:
    """Explain a number without a word beside it."""
    if number in TWILIO_CODES:
        return TWILIO_CODES[number]
    services: list[Service] = ["websocket", "http", "cloudflare"]
    codes = [code for each in services if (code := find_service_code(each, number)) is not None]
    if number < _CLOUDFLARE_ALONE:
        # From 1000 to 1014 a bare number is a close code; Cloudflare's stand on a page of its own.
        codes = [code for code in codes if code.service != "cloudflare" or number < _LEAST_CLOSE]
    if not codes and number >= _LEAST_CLOSE:
        known = find_service_code("ngrok", number)
        codes = [known] if known is not None else []
    if number in _BAD_GATEWAYS:
        codes = codes[:1]
    if not codes:
        return get_code(number)
    return codes[0] if len(codes) == 1 else Explanations(codes)


_LEAST_CLOSE, _CLOUDFLARE_ALONE = 1000, 1015
_BAD_GATEWAYS = (502,)
"""Statuses of HTTP that Cloudflare's page has, too; alone they are HTTP's."""


class _FoundCode(NamedTuple):
    at: int
    code: TwilioCode | ServiceCode

    def __lt__(self, other: object) -> bool:
        return isinstance(other, _FoundCode) and self.at < other.at


class _Number(NamedTuple):
    """A number in a text, with what stands on its line before and behind it, in lower case."""

    value: int
    at: int
    before: str
    behind: str

    @property
    def word(self) -> str:
        """The word just before it, or an empty text."""
        found = _LAST_WORD.search(self.before)
        return found.group(1) if found else ""


_LAST_WORD = re.compile(r"([a-z][a-z_'’-]{0,30})[\s\"'’:=#(\[{>.,/-]{0,4}$")

_A_NUMBER = re.compile(r"(?<![0-9A-Za-z_.+-])([0-9]{3,5})(?![0-9A-Za-z_]|[.,:/-][0-9])")

_MOST_NUMBERS = 3000
"""How many numbers of a text are looked at; this keeps 64 kB of nothing but numbers below 0.1 s."""

_AROUND = 60
"""How many characters on each side of a number are looked at."""


def _list_numbers(text: str) -> Iterator[_Number]:
    for found in islice(_A_NUMBER.finditer(text), _MOST_NUMBERS):
        before = text[max(0, found.start() - _AROUND) : found.start()]
        behind = text[found.end() : found.end() + _AROUND]
        if len(found.group(1)) == 3 and before.endswith(","):
            continue  # thousands
        # The end of an address: behind the colon of a host, of IPv6, or of the time of day.
        if before.endswith(":") and re.search(r"(?:[0-9.\]:]|localhost):$", before):
            continue
        yield _Number(
            int(found.group(1)),
            found.start(),
            before.rpartition("\n")[2].lower(),
            behind.partition("\n")[0].lower(),
        )


def _find_codes(text: str) -> Iterator[_FoundCode]:
    for found in NGROK_CODE.finditer(text):
        yield _FoundCode(found.start(), explain_ngrok(int(found.group(1))))
    yield from _find_sentences(text)
    lowered = text.lower()
    names_cloudflare = _OF_CLOUDFLARE.search(lowered) is not None
    names_websocket = _OF_WEBSOCKET.search(lowered) is not None
    for number in _list_numbers(text):
        if _is_amount(number):
            continue
        if number.value in TWILIO_CODES:
            if _is_twilios(number):
                yield _FoundCode(number.at, TWILIO_CODES[number.value])
        elif _LEAST_CLOSE <= number.value < 2000:
            yield from _find_four_digits(
                number, names_cloudflare=names_cloudflare, names_websocket=names_websocket
            )
        elif number.value < _LEAST_CLOSE and _is_status(number):
            code = find_service_code("http", number.value)
            code = code or find_service_code("cloudflare", number.value)
            if code is not None and number.value >= _LEAST_REDIRECT:
                yield _FoundCode(number.at, code)


_LEAST_REDIRECT, _LEAST_ERROR = 300, 400
"""Statuses below it are no failure, so nothing is said of them in a log."""


def _is_amount(number: _Number) -> bool:
    """Whether a unit behind it or the word before it says that it is no code."""
    if _UNIT.match(number.behind) or _OTHER_CODE.search(number.before):
        return True
    return bool(_AMOUNT_WORD.fullmatch(number.word))


_UNIT = re.compile(
    r"[\s-]*(?:%(?![0-9a-f]{2})|[kmg]i?b\b|(?:ms|msecs?|s|secs?|seconds?|us|µs|μs|mins?|minutes?|h|hours?|days?|"
    r"bytes?|octets?|bits?|k?hz|frames?|messages|samples?|px|times|requests?|packets?|chunks?|"
    r"calls|words?|lines?|tokens?|items?|rows?|events?|users?|streams|connections|dollars|usd|"
    r"eur|files?|errors|warnings|tests?|passed|failed|attempts?|retries|characters|chars|digits|"
    r"marks?|milliseconds?|records?|people|years?)\b)"
)

_OTHER_CODE = re.compile(
    r"\b(?:zip|post(?:al)?|area|country|exit|return|pin|access|promo|product|dial|room|door)"
    r"[\s-]code\W{0,3}$"
)
"""A code of something else."""

_AMOUNT_WORD = re.compile(
    r"ports?|pid|took|takes?|after|in|for|waited|since|lines?|col(?:umn)?|row|seq(?:uence)?|"
    r"sequence_?number|timestamp|chunk|year|size|len(?:gth)?|bytes|ext(?:ension)?|room|order|version|"
    r"build|ticket|issue|pr|about|approximately|around|than|over|under|up|by|of|uptime|duration|"
    r"delay|latency|count|total|rate|sample_?rate|page|offset|at|within|every|max(?:imum)?|"
    r"min(?:imum)?|limit|budget|zip"
)


# ---- Twilio ------------------------------------------------------------------------------------


def _is_twilios(number: _Number) -> bool:
    before, behind = number.before, number.behind
    if before.endswith("/errors/") or _CODE_WORD.fullmatch(number.word):
        return True
    name = TWILIO_CODES[number.value].name.lower()
    title = name.rpartition(" - ")[2]
    if title in before or title in behind or re.match(r"\W{0,6}" + re.escape(name[:8]), behind):
        return True
    if before.endswith((",", ", ")) and _DATED.search(before):
        return True  # a row of the debugger's list, as it is exported
    is_of_streams = 31900 <= number.value <= 31999
    if is_of_streams and not number.at and re.match(r" [a-z]", behind):
        return True  # somebody's sentence that begins with it
    return bool(_OF_TWILIO.search(before)) and not _ENDS_IN_SIGN.search(before)


_DATED = re.compile(
    r"^[\"']?20[0-9]{2}-[01][0-9]-[0-3][0-9][t ][0-9:.]{5,15}(?:z|\+00:00| utc)?[\"']?, ?$"
)

_OF_TWILIO = re.compile(
    r"\b(?:twilio|debugger|(?:we|i) (?:get|got|see|read|have)|warning|logs?)\b[^.;]{0,40}$"
)
"""Who says a number behind it; a number of streams is then Twilio's without the word "code"."""

_ENDS_IN_SIGN = re.compile(r"[:=/#$*+(\[]\s?[\"']?$")

_CODE_WORD = re.compile(
    r"err(?:or)?s?|warn(?:ing)?s?|(?:error|warning|stream|twilio)?[_-]?(?:code|error)|twilio(?:'s)?|"
    r"debugger|alert|notification|twiliorestexception"
)


def _find_sentences(text: str) -> Iterator[_FoundCode]:
    """Find Twilio's codes by the sentences of its REST API, and by the titles of stream errors."""
    for pattern, number in _list_sentences():
        if (found := pattern.search(text)) is not None:
            yield _FoundCode(found.start(), TWILIO_CODES[number])
    if (found := _REFUSED_RECORD.search(text)) is not None:
        yield _FoundCode(found.start(), TWILIO_CODES[20003])


_REFUSED_RECORD = re.compile(r"HTTP 401\W{1,12}(?:error: )?Unable to \w{4,8} record", re.IGNORECASE)


@cache
def _list_sentences() -> list[tuple[re.Pattern[str], int]]:
    said = [(words, code.code) for code in TWILIO_CODES.values() for words in code.said]
    titles = [
        (code.name, code.code)
        for code in TWILIO_CODES.values()
        if code.name.startswith("Stream - ")
    ]
    return [(_compile(words), number) for words, number in [*said, *titles]]


def _compile(words: str) -> re.Pattern[str]:
    """Make a pattern of words; ``*`` stands for the rest of a sentence, 80 characters at most."""
    parts = [re.escape(part).replace(r"\ ", r"\s+") for part in words.split("*")]
    return re.compile("[^\n]{0,80}?".join(parts), re.IGNORECASE)


# ---- WebSocket, Cloudflare and HTTP ------------------------------------------------------------


def _find_four_digits(
    number: _Number, *, names_cloudflare: bool, names_websocket: bool
) -> Iterator[_FoundCode]:
    """Find a close code of WebSocket, a number of Cloudflare's, or either where both may be."""
    close = find_service_code("websocket", number.value)
    page = find_service_code("cloudflare", number.value)
    names_error = bool(_NAMES_ERROR.search(number.before))
    if close is not None and (
        _BEHIND_CLOSE.search(number.before)
        or _BEFORE_REASON.match(number.behind)
        or (number.word in ("code", "closecode", "close_code", "wscode") and not names_error)
    ):
        yield _FoundCode(number.at, close)
    elif names_error and page is not None and names_cloudflare:
        yield _FoundCode(number.at, page)
    elif names_error and close is not None and names_websocket:
        yield _FoundCode(number.at, close)
    elif names_error:
        yield from (_FoundCode(number.at, each) for each in (page, close) if each is not None)


_NAMES_ERROR = re.compile(r"\berror(?:[\s_-]?code)?\s{0,2}[:=#]?\s{0,3}[\"'(]?$")

_BEHIND_CLOSE = re.compile(
    r"(?:clos(?:e|ed|ing|ure)|disconnect(?:ed|ion)?|websocketdisconnect|closeevent|closeframe)"
    r"(?:[^0-9\n.;]{0,32})$"
)

_BEFORE_REASON = re.compile(
    r"[\"']?,?\s{0,2}[-:(\[]?\s?(?:ok\)|going away|protocol error|unsupported data|no status|"
    r"no close|abnormal clos|invalid (?:frame )?payload|policy violation|message too big|"
    r"mandatory extension|internal (?:server )?error|unexpected|service restart|try again later|"
    r"bad gateway|tls )"
)

_OF_CLOUDFLARE = re.compile(r"cloudflare|\bray id|cf-ray|cf-error|trycloudflare|argotunnel")
_OF_WEBSOCKET = re.compile(
    r"websocket|web socket|\bwss?\b|\bsocket\b|clos(?:e|ed|ing|ure)\b|disconnect"
)


def _is_status(number: _Number) -> bool:
    if _OF_SIP.search(number.before):
        return False
    if _BEHIND_STATUS.search(number.before):
        return True
    known = find_service_code("http", number.value)
    known = known or find_service_code("cloudflare", number.value)
    if known is None:
        return False
    if number.value >= _LEAST_ERROR and _NAMES_ERROR.search(number.before):
        return True
    return bool(re.match(r"[\s:(\"'-]{1,3}" + re.escape(known.name.lower()), number.behind))


_OF_SIP = re.compile(r"\bsips?\b")
"""The statuses of SIP have the numbers of HTTP, and mean something else."""

_BEHIND_STATUS = re.compile(
    r"(?:\bhttp(?:/[0-9.]{1,3})?(?:[\s_]?(?:error|status|code|response))?"
    r"|\bhttp/[0-9.]{1,3}\""
    r"|\bstatus(?:[\s_-]?code)?|statuscode|unexpected server response|handshakeerror|httperror"
    r"|\bresponse(?: code)?"
    r"|\bwebsocket [^\s\"]{0,60}\")[\s\"':=(\[]{0,4}$"
)


# ---- A text as a whole -------------------------------------------------------------------------


def _take_words(text: str) -> str:
    """Return a text, and of a page only what is shown of it."""
    if _A_PAGE.search(text) is not None:
        text = _HIDDEN.sub(" ", text)
        text = html.unescape(_TAG.sub(" ", text))
        text = re.sub(r"[ \t\r\f\v]{1,1000}", " ", text)
    return text


_A_PAGE = re.compile(r"<(?:!doctype html|html|body|head|title|h1|div|p|span)\b", re.IGNORECASE)
_HIDDEN = re.compile(r"<(script|style)\b[^<]{0,100000}</\1>", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]{0,2000}>")


def _drop_consequences(found: list[_FoundCode], text: str) -> list[_FoundCode]:
    """Leave out the HTTP status of an answer whose page or body says more."""
    of_tunnel = any(
        isinstance(each.code, ServiceCode) and each.code.service in ("ngrok", "cloudflare")
        and each.code.number not in _PROXY_STATUSES
        for each in found
    )  # fmt: skip
    statuses = {each.code.http_status for each in found if isinstance(each.code, TwilioCode)}
    is_one_answer = bool(re.match(r"\s*(?:HTTP/[0-9.]{1,3} |\{|<)", text))
    kept = []
    for each in found:
        code = each.code
        is_status = isinstance(code, ServiceCode) and (
            code.service == "http" or code.number in _PROXY_STATUSES
        )
        if is_status and (of_tunnel or (isinstance(code, ServiceCode) and code.number in statuses)):
            continue
        kept.append(each)
    return kept if kept or not is_one_answer else found


_PROXY_STATUSES = frozenset(range(502, 531))
"""Statuses that Cloudflare answers with; a number of its own on the page says more."""


def _build_unknown(text: object, plain: str) -> UnknownCode:
    """Build the error for a text without a known code."""
    for found in _UNKNOWN_CODE.finditer(plain):
        try:
            get_code(int(found.group(1)))
        except UnknownCode as error:
            return error
    shown = " ".join(plain[:80].split())[:40]
    return UnknownCode(
        text,
        f"{shown!r} holds no code",
        "Give a number, such as 31951, or the whole line in which it stands",
    )


_UNKNOWN_CODE = re.compile(
    r"(?:error|warning|code)[\s:#\"'=(]{0,4}([1-9][0-9]{4})(?![0-9a-z])", re.IGNORECASE
)
