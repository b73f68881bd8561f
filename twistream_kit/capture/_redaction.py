"""Taking out of a capture what says who called.

Everything is replaced by a stand-in of the same shape, and the same thing by the same stand-in
wherever it stands, so that a redacted capture replays and adds up as the original does:

- SIDs (two letters and hex digits, PROTOCOL.md §1.7) become ``CA000...1``, ``CA000...2`` ...;
- telephone numbers, seven digits or more in whatever notation, become ``+15550100001`` ...; a date
  with a time of day (ISO 8601) is none and stays, a date alone may be a birthday and goes;
- values of ``<Parameter>`` (§1.4) become ``redacted-1`` ...; their names stay.  Elsewhere they are
  found in capitals too, percent-encoded for a URL, and in base64 by themselves;
- keys that the caller pressed all become ``0``, because card numbers are typed;
- marks are named by programs, often after such things: numbers, SIDs and values are replaced
  inside their names, and keys that were pressed one after the other become ``key-1`` ....

The sound is not changed, and the voices are in it; no text can take them out.
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
"""What stands for every key that was pressed."""

_ENCODED = "(?<=%[0-9A-Fa-f]{2})"
"""Behind a character that is percent-encoded, whose last letter belongs to nothing."""

_HEX = "[0-9a-fA-F]"
_SID = (
    f"(?:(?<![A-Z0-9])|{_ENCODED})[A-Z]{{2}}{_HEX}{{16,64}}(?!{_HEX})"
    f"|(?<![A-Za-z0-9])(?:[a-z]{{2}})?{_HEX}{{32}}(?![A-Za-z0-9])"
)
"""Also one that was cut short or doubled on its way, or put into small letters, and one without its
two letters: 32 hex digits are a token or an identity whatever else they are."""

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
"""As many keys in a row are recognised in any text; in the name of a mark a single one is."""

_LEAST_VALUE = 3
"""A value shorter than this is replaced only where it is a parameter, not inside other texts."""

_LEAST_SOMEBODYS = 1_000_000
"""What makes the name of a mark unique is less; seven digits would be somebody's number."""

_AS_THEY_ARE = from_twilio.NEUTRAL_FIELDS | {"payload"}
_PARAMETERS = frozenset({"customParameters", "parameters"})
_KEYS = frozenset({"digit", "digits", "dtmf"})


class Redaction:
    """The stand-ins of one capture.

    Args:
        entries: All its messages: the values of its parameters have to be known beforehand,
            because they may stand anywhere.
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
        self._anywhere = self._expression(values, _FEW_KEYS)
        self._in_marks = self._expression(values, 1)

    def text(self, text: str) -> str:
        """Replace what is to be replaced inside any text."""
        return self._anywhere.sub(self._stand_in, text)

    def mark(self, wire_name: str) -> str:
        """Replace inside the name of a mark; what makes it unique on the wire stays."""
        mark = MarkName.parse(wire_name)
        if not mark.is_ours or self._is_somebodys(mark):
            return self._in_marks.sub(self._stand_in, wire_name)
        if mark.name == UNNAMED:
            return wire_name
        return str(replace(mark, name=self._in_marks.sub(self._stand_in, mark.name)))

    def message(self, message: Message) -> str:
        """Return the JSON of a message, redacted."""
        text = message.to_json()
        if isinstance(message, from_twilio.Media | to_twilio.Media):
            # Its sound is never searched: among so many letters some look like a number.
            sid, stand_in = message.stream_sid, self.text(message.stream_sid)
            if sid == stand_in:
                return text
            return text.replace(f'"streamSid":{json.dumps(sid)}', f'"streamSid":"{stand_in}"')
        return json.dumps(self._value(json.loads(text), ""), separators=(",", ":"))

    def odd(self, message: str | bytes) -> str | bytes:
        """Redact a message that is none, as far as it is text."""
        if isinstance(message, bytes):
            try:
                text = message.decode()
            except UnicodeDecodeError:
                return message  # bare sound, mostly
            return self._odd(text).encode()
        return self._odd(message)

    def _is_somebodys(self, mark: MarkName) -> bool:
        """Whether the numbers in it are a telephone number, or keys that were pressed."""
        number = str(mark.number)
        return max(mark.number or 0, mark.seconds or 0) >= _LEAST_SOMEBODYS or (
            len(number) >= _FEW_KEYS and number in self._pressed
        )

    def _odd(self, text: str) -> str:
        try:
            content = json.loads(text)
        except (ValueError, RecursionError):
            return self.text(text)
        return json.dumps(self._value(content, ""), separators=(",", ":"))

    def _expression(self, values: Iterable[str], least_keys: int) -> re.Pattern[str]:
        spelled = {form for value in values if len(value) >= _LEAST_VALUE for form in _forms(value)}
        longest_first = sorted(spelled, key=lambda form: (-len(form), form))
        whole = "|".join(map(_bounded, longest_first)) or "(?!)"
        keys = rf"(?<!\d)\d{{{least_keys},6}}(?!\d)"
        found = f"(?P<value>(?i:{whole}))|{self._bare_expression.pattern}|(?P<keys>{keys})"
        return re.compile(found)

    def _value(self, value: Any, key: str, inside: str = "") -> Any:
        match value:
            case dict():
                return {
                    name if key in _PARAMETERS else self._bare(name): self._value(
                        each, name, inside if inside in _PARAMETERS else key
                    )
                    for name, each in value.items()
                }
            case list():
                return [self._value(each, key, inside) for each in value]
            case str() if inside in _PARAMETERS:
                return self._parameter(value)
            case str() if key.lower() in _KEYS:
                return NEUTRAL_KEY * len(value)
            case int() if not isinstance(value, bool) and key.lower() in _KEYS:
                return 0
            case str() if (inside, key) == ("mark", "name"):
                return self.mark(value)
            case str() if key not in _AS_THEY_ARE:
                return self.text(value)
            case int() if not isinstance(value, bool) and key not in _AS_THEY_ARE:
                return int(self._bare(str(value)))
            case float() if value.is_integer() and key not in _AS_THEY_ARE:
                return float(self._bare(f"{value:.0f}"))
        return value

    def _bare(self, text: str) -> str:
        """Replace SIDs and numbers alone."""
        return self._bare_expression.sub(self._stand_in, text)

    def _parameter(self, value: str) -> str:
        if found := self._sid_or_number.fullmatch(value):
            return self._stand_in(found)
        return self._named("redacted-{}", value) if value else ""

    def _stand_in(self, found: re.Match[str]) -> str:
        text = found[0]
        if found.lastgroup == "moment":
            return text
        if found.lastgroup == "keys":
            return self._named("key-{}", text) if text in self._pressed else text
        whole = self._sid_or_number.fullmatch(text)
        if whole is None:
            is_before_digit = found.string[found.end() : found.end() + 1].isdigit()
            return self._named("redacted-{}", text) + ("-" if is_before_digit else "")
        if whole["number"]:
            return self._number(text)
        letters = "" if len(text) == 32 else text[:2]
        return self._named(f"{letters}{{:0{len(text) - len(letters)}x}}", text)

    def _number(self, text: str) -> str:
        digits = re.sub(r"\D", "", text)
        known = self._named("number {}", digits)
        count = int(known.removeprefix("number "))
        size = len(digits)
        # 555-01xx is kept free for stories; where it is full, any digits do.
        plain = f"1555010{count:0{max(4, size - 7)}d}"[-size:]
        if count >= 10_000:
            plain = f"{count:0{size}d}"
        replaced = iter(plain)
        return re.sub(r"\d", lambda _: next(replaced), text)

    def _named(self, form: str, text: str) -> str:
        stand_in = self._stand_ins.get(text)
        if stand_in is None:
            self._counts[form] += 1
            stand_in = self._stand_ins[text] = form.format(self._counts[form])
        return stand_in


def _forms(value: str) -> Iterator[str]:
    """Yield how a value may stand in a text that a program has made of it."""
    yield value
    yield quote(value, safe="")
    yield quote_plus(value)
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(value.encode(errors="replace")).decode().rstrip("=")


def _bounded(form: str) -> str:
    """Return the expression of a value that is no part of a longer word or number."""
    first, last = map(_like, (form[0], form[-1]))
    before = f"(?:(?<!{first})|{_ENCODED})" if first else ""
    return before + re.escape(form) + (f"(?!{last})" if last else "")


def _like(character: str) -> str:
    """Return the expression of what would make a longer word or number of it; may be empty."""
    return r"[^\W\d_]" if character.isalpha() else r"\d" if character.isdigit() else ""
