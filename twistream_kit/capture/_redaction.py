"""Remove from a capture what identifies the caller.

Each value is replaced by a stand-in of the same shape, and equal values by equal stand-ins
everywhere, so that a redacted capture replays as the original does and gives the same figures:

- SIDs (two letters and hex digits, PROTOCOL.md §1.7) become ``CA000...1``, ``CA000...2`` ...;
- telephone numbers, seven digits or more in any notation, become ``+15550100001`` ...; a date with
  a time of day (ISO 8601) is kept, a date alone may be a birthday and is replaced;
- values of ``<Parameter>`` (§1.4) become ``redacted-1`` ...; their names stay.  In other places
  they are also found in any case, percent-encoded for a URL, and encoded in base64 alone;
- keys that the caller pressed all become ``0``, because people type card numbers;
- programs often name marks after such values: numbers, SIDs and values are replaced inside the
  names of marks, and the digits of consecutive keys become ``key-1`` ....

The sound, and the voices in it, are not changed.
"""

from __future__ import annotations

import json
import re
from base64 import b64encode, urlsafe_b64encode
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any
from urllib.parse import quote, quote_plus

from twistream_kit.capture.entry import Entry, Message
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import UNNAMED, MarkName

NEUTRAL_KEY = "0"
"""The stand-in of every key that was pressed."""

_ENCODED = "(?<=%[0-9A-Fa-f]{2})"
"""A position after a percent-encoded character, whose last digit is no part of the value."""

_HEX = "[0-9a-fA-F]"
_SID = (
    f"(?:(?<![A-Z0-9])|{_ENCODED})[A-Z]{{2}}{_HEX}{{16,64}}(?!{_HEX})"
    f"|(?<![A-Za-z0-9])(?:[a-z]{{2}})?{_HEX}{{32}}(?![A-Za-z0-9])"
)
"""A SID, also if it was truncated, doubled or converted to lower case, and 32 hex digits without
the two letters, which may be a token or the rest of a SID."""

_NUMBER = r"(?<!\d)\+?\(?\d(?:[ ()./-]{0,2}\d){6,18}(?!\d)"
"""E.164 has at most fifteen digits, a payment card nineteen; people put spaces, dots, dashes and
brackets between them."""

_DATE = r"(?:19|20)\d\d{0}(?:0[1-9]|1[0-2]){0}(?:0[1-9]|[12]\d|3[01])"
_TIME = r"(?:[01]\d|2[0-3]){0}[0-5]\d(?:{0}[0-6]\d(?:[.,]\d{{1,9}})?)?"
_MOMENT = (
    rf"(?<![\d+(])(?:{_DATE.format('-')}[T ]{_TIME.format(':')}"
    rf"|{_DATE.format('')}T{_TIME.format('')})"
    r"(?:Z|[+-]\d\d:?\d\d)?(?![\d:])"
)
"""A date with a time of day, which has as many digits as a telephone number: ISO 8601, extended or
basic, with or without seconds and their fractions and the offset from UTC."""

_FEW_KEYS = 4
"""The least number of consecutive keys found in any text; in the name of a mark it is one."""

_LEAST_VALUE = 3
"""A shorter value is replaced only where it is a parameter, not inside other texts."""

_LEAST_SOMEBODYS = 1_000_000
"""The numbers that make the name of a mark unique are less; seven digits may be a telephone
number."""

_AS_THEY_ARE = from_twilio.NEUTRAL_FIELDS | {"payload"}
_PARAMETERS = frozenset({"customParameters", "parameters"})
_KEYS = frozenset({"digit", "digits", "dtmf"})


class Redaction:
    """The stand-ins of one capture.

    Args:
        entries: All its messages, because the values of its parameters may occur in any of them.
    """

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self._stand_ins: dict[str, str] = {}
        self._counts = Counter[str]()
        values: dict[str, None] = {}
        pressed: list[str] = []
        for entry in entries:
            if isinstance(entry.message, from_twilio.Start):
                values |= dict.fromkeys(entry.message.custom_parameters.values())
            elif isinstance(entry.message, from_twilio.Dtmf):
                pressed.append(entry.message.digit)
        self._pressed = "".join(pressed)
        self._sid_or_number = re.compile(f"(?P<sid>{_SID})|(?P<number>{_NUMBER})")
        self._bare_expression = re.compile(f"(?P<moment>{_MOMENT})|{self._sid_or_number.pattern}")
        self._anywhere = self._build_expression(values, _FEW_KEYS)
        self._in_marks = self._build_expression(values, 1)

    def redact_text(self, text: str) -> str:
        """Replace SIDs, numbers, values and keys inside a text."""
        return self._anywhere.sub(self._stand_in, text)

    def redact_mark(self, wire_name: str) -> str:
        """Replace them inside the name of a mark, without the part that makes it unique."""
        mark = MarkName.parse(wire_name)
        if not mark.is_ours or self._is_somebodys(mark):
            return self._in_marks.sub(self._stand_in, wire_name)
        if mark.name == UNNAMED:
            return wire_name
        return str(replace(mark, name=self._in_marks.sub(self._stand_in, mark.name)))

    def redact_message(self, message: Message) -> str:
        """Return the JSON of a message, redacted."""
        text = message.to_json()
        if isinstance(message, from_twilio.Media | to_twilio.Media):
            # The payload is not searched: in so much base64, some letters look like a number.
            sid, stand_in = message.stream_sid, self.redact_text(message.stream_sid)
            if sid == stand_in:
                return text
            return text.replace(f'"streamSid":{json.dumps(sid)}', f'"streamSid":"{stand_in}"')
        return json.dumps(self._redact_value(json.loads(text), ""), separators=(",", ":"))

    def redact_odd(self, message: str | bytes) -> str | bytes:
        """Redact an invalid message, if it is text."""
        if isinstance(message, bytes):
            try:
                text = message.decode()
            except UnicodeDecodeError:
                return message  # usually bare sound
            return self._redact_odd_text(text).encode()
        return self._redact_odd_text(message)

    def _is_somebodys(self, mark: MarkName) -> bool:
        """Whether the numbers in a name may be a telephone number, or keys that were pressed."""
        number = str(mark.number)
        return max(mark.number or 0, mark.seconds or 0) >= _LEAST_SOMEBODYS or (
            len(number) >= _FEW_KEYS and number in self._pressed
        )

    def _redact_odd_text(self, text: str) -> str:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            return self.redact_text(text)
        return json.dumps(self._redact_value(content, ""), separators=(",", ":"))

    def _build_expression(self, values: Iterable[str], least_keys: int) -> re.Pattern[str]:
        spelled = {
            form for value in values if len(value) >= _LEAST_VALUE for form in _list_forms(value)
        }
        longest_first = sorted(spelled, key=lambda form: (-len(form), form))
        whole = "|".join(map(_build_bounded, longest_first)) or "(?!)"
        keys = rf"(?<!\d)\d{{{least_keys},6}}(?!\d)"
        found = f"(?P<value>(?i:{whole}))|{self._bare_expression.pattern}|(?P<keys>{keys})"
        return re.compile(found)

    def _redact_value(self, value: Any, key: str, inside: str = "") -> Any:
        match value:
            case dict():
                return {
                    name if key in _PARAMETERS else self._redact_sids(name): self._redact_value(
                        each, name, inside if inside in _PARAMETERS else key
                    )
                    for name, each in value.items()
                }
            case list():
                return [self._redact_value(each, key, inside) for each in value]
            case str() if inside in _PARAMETERS:
                return self._redact_parameter(value)
            case str() if key.lower() in _KEYS:
                return NEUTRAL_KEY * len(value)
            case int() if not isinstance(value, bool) and key.lower() in _KEYS:
                return 0
            case str() if (inside, key) == ("mark", "name"):
                return self.redact_mark(value)
            case str() if key not in _AS_THEY_ARE:
                return self.redact_text(value)
            case int() if not isinstance(value, bool) and key not in _AS_THEY_ARE:
                return int(self._redact_sids(str(value)))
            case float() if value.is_integer() and key not in _AS_THEY_ARE:
                return float(self._redact_sids(f"{value:.0f}"))
        return value

    def _redact_sids(self, text: str) -> str:
        """Replace SIDs and telephone numbers only."""
        return self._bare_expression.sub(self._stand_in, text)

    def _redact_parameter(self, value: str) -> str:
        if found := self._sid_or_number.fullmatch(value):
            return self._stand_in(found)
        return self._make_stand_in("redacted-{}", value) if value else ""

    def _stand_in(self, found: re.Match[str]) -> str:
        text = found[0]
        if found.lastgroup == "moment":
            return text
        if found.lastgroup == "keys":
            return self._make_stand_in("key-{}", text) if text in self._pressed else text
        whole = self._sid_or_number.fullmatch(text)
        if whole is None:
            is_before_digit = found.string[found.end() : found.end() + 1].isdigit()
            return self._make_stand_in("redacted-{}", text) + ("-" if is_before_digit else "")
        if whole["number"]:
            return self._replace_number(text)
        letters = "" if len(text) == 32 else text[:2]
        return self._make_stand_in(f"{letters}{{:0{len(text) - len(letters)}x}}", text)

    def _replace_number(self, text: str) -> str:
        digits = re.sub(r"\D", "", text)
        known = self._make_stand_in("number {}", digits)
        count = int(known.removeprefix("number "))
        size = len(digits)
        # 555-01xx is reserved for fiction; if all of these are used, take any digits.
        plain = f"1555010{count:0{max(4, size - 7)}d}"[-size:]
        if count >= 10_000:
            plain = f"{count:0{size}d}"
        replaced = iter(plain)
        return re.sub(r"\d", lambda _: next(replaced), text)

    def _make_stand_in(self, form: str, text: str) -> str:
        stand_in = self._stand_ins.get(text)
        if stand_in is None:
            self._counts[form] += 1
            stand_in = self._stand_ins[text] = form.format(self._counts[form])
        return stand_in


def _list_forms(value: str) -> Iterator[str]:
    """Yield the encodings of a value that may occur in other texts."""
    yield value
    yield quote(value, safe="")
    yield quote_plus(value)
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(value.encode(errors="replace")).decode().rstrip("=")


def _build_bounded(form: str) -> str:
    """Return the expression of a value that is not part of a longer word or number."""
    first, last = map(_build_class, (form[0], form[-1]))
    before = f"(?:(?<!{first})|{_ENCODED})" if first else ""
    return before + re.escape(form) + (f"(?!{last})" if last else "")


def _build_class(character: str) -> str:
    """Return the class of characters that would continue a word or number; may be empty."""
    return r"[^\W\d_]" if character.isalpha() else r"\d" if character.isdigit() else ""
