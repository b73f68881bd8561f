"""Twilio's error and warning codes, explained (PROTOCOL.md §5).

The texts are in `codes.toml`, beside this module; the file is read on first use.  To add or correct
a code, edit it: its first lines list the rules, and `read_codes` checks them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import resources
from itertools import pairwise
from textwrap import fill
from typing import Any, Literal, get_args

from twistream_kit.errors import TwistreamError

__all__ = ["TWILIO_CODES", "TwilioCode", "UnknownCode", "get_code", "read_codes"]

Level = Literal["error", "warning"]
"""Twilio's own classification: after a warning the call continues unchanged."""


@dataclass(frozen=True, slots=True)
class TwilioCode:
    """An error or warning code of Twilio, with its causes and its remedy.

    Attributes:
        code: The number.
        name: Twilio's title of it.
        level: ``error`` or ``warning``.
        meaning: What has happened.
        causes: The usual causes, the most frequent first.
        remedy: What to do, in order.
        section: The section of PROTOCOL.md that lists it.
        http_status: The HTTP status of the refused REST request; 0 for other codes.
        said: What Twilio's API says of it and of nothing else; ``*`` stands for any words.

    Example:
        >>> import twistream_kit as kit
        >>> code = kit.explain("Warning 31951")
        >>> code.code, code.level, code.name
        (31951, 'warning', 'Stream - Protocol - Invalid Message')
        >>> code.causes[0]
        'a misspelt field: playload for payload, stream_sid for streamSid'
    """

    code: int
    name: str
    level: Level
    meaning: str
    causes: tuple[str, ...]
    remedy: str
    section: str
    http_status: int = 0
    said: tuple[str, ...] = ()

    @property
    def url(self) -> str:
        """The address of Twilio's page on it."""
        return f"https://www.twilio.com/docs/api/errors/{self.code}"

    def __repr__(self) -> str:
        causes = [_wrap(cause, "  - ") for cause in self.causes]
        return "\n".join(
            [
                f"{self.code} ({self.level}): {self.name}",
                _wrap(self.meaning, ""),
                *(["Usual causes:", *causes] if causes else []),
                _wrap(f"What to do: {self.remedy}", ""),
            ]
        )


def _wrap(text: str, bullet: str) -> str:
    indent = " " * len(bullet)
    return fill(text, 96, initial_indent=bullet, subsequent_indent=indent, break_long_words=False)


class _CodesOfFile(Mapping[int, TwilioCode]):
    """The codes of `codes.toml`, which is read on first use."""

    @cached_property
    def _by_number(self) -> dict[int, TwilioCode]:
        try:
            content = resources.files("twistream_kit.protocol").joinpath(_FILE).read_bytes()
        except OSError as error:
            raise _build_file_error(f"{_FILE} of the package cannot be read ({error})") from error
        return read_codes(content)

    def __getitem__(self, number: int) -> TwilioCode:
        return self._by_number[number]

    def __iter__(self) -> Iterator[int]:
        return iter(self._by_number)

    def __len__(self) -> int:
        return len(self._by_number)

    def __repr__(self) -> str:
        return "\n".join(f"{code.code} ({code.level}): {code.name}" for code in self.values())


TWILIO_CODES: Mapping[int, TwilioCode] = _CodesOfFile()
"""Every code that can occur in a call with a stream, by number."""


class UnknownCode(TwistreamError, LookupError):
    """There is no explanation for a number.

    Attributes:
        code: The number or text that was given.
    """

    def __init__(self, code: object, problem: str, fix: str) -> None:
        super().__init__(problem, fix=fix)
        self.code = code


def get_code(number: int) -> TwilioCode:
    """Return an error or warning code of Twilio.

    Raises:
        UnknownCode: If it is none of `TWILIO_CODES`; the text names the nearest known codes.

    Example:
        >>> get_code(31902).name
        'Stream - WebSocket - Connection Refused'
    """
    if number in TWILIO_CODES:
        return TWILIO_CODES[number]
    if abs(number) > _MOST_CODE:
        # It is not written out: Python refuses to write thousands of digits.
        problem = f"a number beyond {_MOST_CODE} is no code"
        raise UnknownCode(number, problem, "Give a number, such as 31951")
    raise UnknownCode(
        number, f"{number} is not among the codes known here", _suggest_nearest(number)
    )


_MOST_CODE = 999_999_999


def _suggest_nearest(number: int) -> str:
    near = sorted(TWILIO_CODES, key=lambda known: (abs(known - number), known))[:3]
    names = ", ".join(f"{known} ({TWILIO_CODES[known].name})" for known in sorted(near))
    page = f"https://www.twilio.com/docs/api/errors/{number}"
    return f"Nearest are {names}. Twilio's own page would be {page}"


_FILE = "codes.toml"

_FIELDS = ("name", "level", "meaning", "causes", "remedy", "section")
"""The fields of each entry of the file."""

_SECTIONS = ("5.1", "5.2", "5.3")
_SECTION_OF_REQUESTS = "5.3"
"""The codes of this section refuse a REST request, so only they have an ``http_status``."""


def read_codes(content: bytes) -> dict[int, TwilioCode]:
    """Read a file such as `codes.toml`.

    Returns:
        The codes by number, in the order of the file.

    Raises:
        TwistreamError: If it is not TOML in UTF-8, or an entry breaks one of the rules at the
            beginning of `codes.toml`; the text names every such entry.
    """
    try:
        entries = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # ValueError: no TOML, or no UTF-8
        raise _build_file_error(f"{_FILE} is not TOML in UTF-8: {error}") from error
    faults = [
        f"[{key}] {fault}" for key, entry in entries.items() for fault in _find_faults(key, entry)
    ]
    if faults:
        raise _build_file_error(f"{_FILE}: {'; '.join(faults)}")
    codes = [_build_code(int(key), entry) for key, entry in entries.items()]
    for earlier, later in pairwise(codes):
        if (earlier.section, earlier.code) > (later.section, later.code):
            raise _build_file_error(
                f"{_FILE}: [{later.code}] of section {later.section} stands after [{earlier.code}]"
                f" of section {earlier.section}, out of order"
            )
    return {code.code: code for code in codes}


def _build_file_error(problem: str) -> TwistreamError:
    return TwistreamError(
        problem,
        consequence="None of Twilio's codes can be explained",
        fix="Install twistream-kit again; where you have edited the file, correct it",
    )


def _build_code(number: int, entry: dict[str, Any]) -> TwilioCode:
    lists: dict[str, Any] = {
        name: tuple(entry[name]) for name in ("causes", "said") if name in entry
    }
    return TwilioCode(code=number, **{**entry, **lists})


def _find_faults(key: str, entry: object) -> Iterator[str]:
    """Yield each fault of an entry."""
    if not re.fullmatch(r"[1-9][0-9]{4}", key):
        yield "is not a code of five digits"
    if not isinstance(entry, dict):
        yield "is not a table"
        return
    is_of_requests = entry.get("section") == _SECTION_OF_REQUESTS
    wanted = [*_FIELDS, "http_status"] if is_of_requests else _FIELDS
    allowed = [*wanted, "said"] if is_of_requests else wanted
    for name in wanted:
        if name not in entry:
            yield f"has no {name}"
    for name, value in entry.items():
        if name not in allowed:
            yield f"has a field that does not belong there: {name}"
        elif fault := _describe_fault(name, value):
            yield f"has a {name} that {fault}: {value!r}"


def _describe_fault(name: str, value: object) -> str:
    """Describe the fault of the value of a field; return an empty string if it is right."""
    match name, value:
        case "http_status", _:
            is_status = type(value) is int and 400 <= value <= 599
            return "" if is_status else "is not a whole number from 400 to 599"
        case "causes" | "said", list() if value and all(map(_is_text, value)):
            return ""
        case "causes" | "said", _:
            return "is not a list of texts, each of one line"
        case _ if not _is_text(value):
            return "is not a text of one line"
        case "level", _ if value not in get_args(Level):
            return f"is none of {', '.join(get_args(Level))}"
        case "section", _ if value not in _SECTIONS:
            return f"is none of {', '.join(_SECTIONS)}"
    return ""


def _is_text(value: object) -> bool:
    """Whether `value` is one line of text.

    A multi-line string that lacks a backslash at the end of a line is not.
    """
    return isinstance(value, str) and value != "" and value == " ".join(value.split())
