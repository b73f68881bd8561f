"""Find what a URL was meant to be that is written wrongly.

Most of them come from a setting: it already had a scheme and got a second one, its colon was lost,
or a blank, a line break, a quote or an invisible character was copied along with it.  A parser of
URLs takes some of these for a relative address, or for a host with the name ``https``; advice that
follows the parser fails.  `repair_url` finds these faults only: a URL that is well formed, even to
the wrong place, needs no repair.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from ipaddress import ip_address

from twistream_kit.errors import hide_user, quote, require_type

_SCHEME = re.compile(r"(w+s+|h+t+p+s*)((?:[:;/\\.,]|%3a|%2f)+)", re.IGNORECASE)
"""The name of a scheme, also with a letter too many or too few, and what separates the host."""

_HOST = re.compile(
    r"(?:[^\s/@]*@)?"
    r"(?:localhost|\[[0-9a-f:.]+\]|[\w-]+(?:\.[\w-]+)+|[\w.-]+(?=:\d))\.?(?::\d+)?(?:[/?#]|\Z)",
    re.IGNORECASE,
)
"""A host that is certainly meant as one: it has a dot or a port, or is this machine."""

_QUOTES = "\"'`“”„‘’‚«»‹›"

_SECURE = {"ws": "wss", "http": "https"}

_REALMS = {"wss": ("wss", "ws"), "https": ("https", "http")}

_MOST_SCHEMES = 5

_PUNCTUATION = {";": "a semicolon", ".": "a dot", ",": "a comma"}

_NAMES = {
    " ": "a blank",
    "\n": "a line break",
    "\r": "a line break",
    "\t": "a tab",
    "\\": "a backslash",
}


@dataclass(frozen=True, slots=True)
class UrlRepair:
    """What is wrong with the writing of a URL, and the URL that was meant.

    Attributes:
        problem: What is wrong; continues the sentence that the name of the URL begins.
        url: The URL without the fault, and without a user and password.
        other: Another URL that may be meant, where that cannot be known; else empty.
        around: Whether blanks, quotes or invisible characters stand around it.
    """

    problem: str
    url: str
    other: str = ""
    around: bool = False

    @property
    def fix(self) -> str:
        """What to write instead."""
        if self.other:
            return f"Write {self.url}; or {self.other}, if its path really has a blank there"
        if self.around:
            return f"Write {self.url} with nothing around it: %20 would make another path of it"
        return f"Write {self.url}"


MOST_CHARACTERS = 4000
"""Inline TwiML has 4000 characters at most (§5.2), so a longer text is no URL written by hand."""


def repair_url(url: str, scheme: str = "wss") -> UrlRepair | None:
    """Return what `url` was probably meant to be, or None if nothing is wrong with its writing.

    Args:
        url: The URL as it was found.
        scheme: The scheme that it needs: ``wss`` for a stream, ``https`` for a webhook.
    """
    require_type("a string", url=url)
    if len(url) > MOST_CHARACTERS or re.search("[\ud800-\udfff]", url):
        return None  # half a character cannot be written into a fix
    bare = _strip(url)
    whole, spaced = _remove_blanks(bare)
    schemes, rest = _split_schemes(whole)
    problem = _describe_schemes(schemes, rest)
    if whole != url:
        problem = _describe_characters(url, bare) + (f", and {problem}" if problem else "")
    if not problem or not rest:
        return None
    return UrlRepair(
        f"{problem}: {quote(hide_user(url))}",
        _join(schemes, rest, scheme),
        _join(schemes, _split_schemes(spaced)[1], scheme) if spaced != whole else "",
        bare != url,
    )


def _is_invisible(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cf", "Zs", "Zl", "Zp")


def _strip(url: str) -> str:
    """Return `url` without blanks, quotes and invisible characters around it."""
    start, end = 0, len(url)
    while start < end and (_is_invisible(url[start]) or url[start] in _QUOTES):
        start += 1
    # An apostrophe at the end may belong to the path, unless another one begins the URL.
    quotes = _QUOTES if "'" in url[:start] else _QUOTES.replace("'", "")
    while start < end and (_is_invisible(url[end - 1]) or url[end - 1] in quotes):
        end -= 1
    bare = url[start:end]
    if bare.startswith("<") and bare.endswith(">") and "://" in bare:
        return _strip(bare[1:-1])
    return bare


def _remove_blanks(bare: str) -> tuple[str, str]:
    """Return `bare` without blanks, and with those of its path encoded.

    What follows a blank and is a comment or another address is left out.
    """
    bare = re.split(r"(?<=[^/:\s])\s+(?=#|\(|\w+://)", bare, maxsplit=1)[0]
    # A line break is never part of a path, nor are the blanks that indent the next line.
    first, *lines = re.split(r"[\r\n\u2028\u2029]+", bare)
    if lines:
        bare = "".join([first.rstrip(" \t"), *(line.strip(" \t") for line in lines)])
    bare = bare.replace("\\", "/")
    whole = "".join(character for character in bare if not _is_invisible(character))
    head = re.match(r"[^/]*/*\s*[^/]*", bare)
    place = head.end() if head else 0
    encoded = "".join(
        "%20" if unicodedata.category(character) == "Zs" else character
        for character in bare[place:]
        if not _is_invisible(character) or unicodedata.category(character) == "Zs"
    )
    begin = "".join(character for character in bare[:place] if not _is_invisible(character))
    return whole, begin + encoded


def _split_schemes(url: str) -> tuple[list[tuple[str, str]], str]:
    """Return the schemes that `url` begins with, each with its separator, and the rest."""
    schemes: list[tuple[str, str]] = []
    while len(schemes) < _MOST_SCHEMES and (match := _SCHEME.match(url)):
        rest = url[match.end() :]
        if not _is_separator(match[2], rest):
            break
        schemes.append((match[1], match[2]))
        url = rest
    return schemes, url


def _is_separator(separator: str, rest: str) -> bool:
    """Whether what follows the name of a scheme separates it from `rest`."""
    if separator == "://":
        return True
    plain = re.sub(r"%3a|;", ":", re.sub(r"%2f|\\", "/", separator, flags=re.IGNORECASE))
    is_host = bool(_HOST.match(rest) or _SCHEME.match(rest))
    if "//" in plain:
        return is_host
    if ":" in plain:
        # A port, or a user with a password, is no address behind a scheme.
        return is_host and not re.match(r"\d{1,5}(?:[/?#]|\Z)|[^/]*@", rest)
    return plain == "/" and is_host


def _describe_schemes(schemes: list[tuple[str, str]], rest: str) -> str:
    """Return what is wrong with the schemes, as a predicate; empty if nothing is."""
    if not rest or rest.startswith(("/", ":")):
        return ""
    if len(schemes) > 1:
        number = "two" if len(schemes) == 2 else str(len(schemes))
        names = " and ".join(name + separator for name, separator in schemes)
        return f"names {number} schemes, {names}"
    if not schemes or schemes[0][1] == "://":
        return ""
    name, separator = schemes[0]
    slashes = len(re.findall(r"[/\\]|%2f", separator, re.IGNORECASE))
    faults = []
    if not re.search(":|%3a", separator, re.IGNORECASE):
        other = re.match(r"[;.,]", separator)
        faults = [
            f"{_PUNCTUATION[other[0]]} stands for the colon" if other else "the colon is missing"
        ]
    if slashes < 2:
        faults.append("a slash is missing" if slashes else "two slashes are missing")
    return f"begins with {quote(name + separator)}: {' and '.join(faults) or 'it is not ://'}"


def _describe_characters(url: str, bare: str) -> str:
    """Return which characters are around the URL, or inside it, as a predicate."""
    start = url.find(bare) if bare else 0
    around = [_name_character(each) for each in url[:start] + url[start + len(bare) :]]
    inside = [_name_character(each) for each in bare if _is_invisible(each) or each == "\\"]
    words = []
    if around:
        sides = ["before" if start else "", "after" if start + len(bare) < len(url) else ""]
        words.append(f"has {_join_names(around)} {' and '.join(filter(None, sides))} it")
    if inside:
        words.append(f"holds {_join_names(inside)}, which no URL may contain")
    return " and ".join(words)


def _join_names(names: list[str]) -> str:
    return ", ".join(dict.fromkeys(names))


def _name_character(character: str) -> str:
    if name := _NAMES.get(character):
        return name
    if character in _QUOTES + "<>":
        return f"a {character}"
    name = unicodedata.name(character, "").lower()
    return f"U+{ord(character):04X}" + (f" ({name})" if name else "")


def _join(schemes: list[tuple[str, str]], rest: str, scheme: str) -> str:
    """Return the URL of `rest` with the scheme that it needs."""
    secure, plain = _REALMS[scheme]
    if not schemes:
        return rest
    named = schemes[-1][0].lower()
    is_plain = named in _SECURE and (scheme == "https" or _is_here(rest))
    if len(schemes) == 1 and schemes[0][1] == "://":
        return f"{schemes[0][0]}://{hide_user('x://' + rest)[4:]}"
    return f"{plain if is_plain else secure}://{hide_user('x://' + rest)[4:]}"


def _is_here(rest: str) -> bool:
    host = re.sub(r":\d+\Z", "", re.split(r"[/?#]", rest, maxsplit=1)[0]).strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
