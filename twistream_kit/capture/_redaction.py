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

from twistream_kit.capture.entry import Message
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import UNNAMED, MarkName

NEUTRAL_KEY = "0"
"""The stand-in of every key that was pressed."""

_ENCODED = "(?<=%[0-9A-Fa-f]{2})"
"""A position after a percent-encoded character, whose last digit is no part of the value."""

_AFTER_ENCODED = re.compile(_ENCODED)

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
        messages: Its messages, or those with parameters and keys, because their values may occur in
            any other.
    """

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._stand_ins: dict[str, str] = {}
        self._counts = Counter[str]()
        values: dict[str, None] = {}
        pressed: list[str] = []
        for message in messages:
            if isinstance(message, from_twilio.Start):
                values |= dict.fromkeys(message.custom_parameters.values())
            elif isinstance(message, from_twilio.Dtmf):
                pressed.append(message.digit)
        self._pressed = "".join(pressed)
        self._values = _KnownValues(values)
        self._stream_sids: dict[str, tuple[str, str]] = {}
        self._sid_or_number = re.compile(f"(?P<sid>{_SID})|(?P<number>{_NUMBER})")
        self._bare_expression = re.compile(f"(?P<moment>{_MOMENT})|{self._sid_or_number.pattern}")
        self._anywhere = self._build_expression(_FEW_KEYS)
        self._in_marks = self._build_expression(1)

    def redact_text(self, text: str) -> str:
        """Replace SIDs, numbers, values and keys inside a text."""
        return self._replace_all(text, self._anywhere)

    def redact_mark(self, wire_name: str) -> str:
        """Replace them inside the name of a mark, without the part that makes it unique."""
        mark = MarkName.parse(wire_name)
        if not mark.is_ours or self._is_somebodys(mark):
            return self._replace_all(wire_name, self._in_marks)
        if mark.name == UNNAMED:
            return wire_name
        return str(replace(mark, name=self._replace_all(mark.name, self._in_marks)))

    def redact_message(self, message: Message) -> str:
        """Return the JSON of a message, redacted."""
        text = message.to_json()
        if isinstance(message, from_twilio.Media | to_twilio.Media):
            # The payload is not searched: in so much base64, some letters look like a number.
            before, behind = self._redact_stream_sid(message.stream_sid)
            return text if before == behind else text.replace(before, behind)
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

    def _redact_stream_sid(self, sid: str) -> tuple[str, str]:
        """Return the field ``streamSid`` as it is in JSON, and redacted."""
        found = self._stream_sids.get(sid)
        if found is None:
            fields = (f'"streamSid":{json.dumps(text)}' for text in (sid, self.redact_text(sid)))
            found = self._stream_sids[sid] = next(fields), next(fields)
        return found

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

    def _build_expression(self, least_keys: int) -> re.Pattern[str]:
        keys = rf"(?<!\d)\d{{{least_keys},6}}(?!\d)"
        return re.compile(f"{self._bare_expression.pattern}|(?P<keys>{keys})")

    def _replace_all(self, text: str, expression: re.Pattern[str]) -> str:
        """Replace the known values in a text, and what the expression finds.

        Of two that overlap, the one that begins first is replaced, or the value.
        """
        parts: list[str] = []
        done, found = 0, expression.search(text)
        for begin, end in self._values.find_all(text):
            if begin < done:
                continue  # it begins inside what was replaced
            while found and found.start() < begin:
                parts += text[done : found.start()], self._stand_in(found)
                done = found.end()
                found = expression.search(text, done)
            if begin < done:
                continue
            parts += text[done:begin], self._stand_in_value(text, begin, end)
            done = end
            if found and found.start() < done:
                found = expression.search(text, done)
        while found:
            parts += text[done : found.start()], self._stand_in(found)
            done = found.end()
            found = expression.search(text, done)
        return "".join([*parts, text[done:]])

    def _stand_in_value(self, text: str, begin: int, end: int) -> str:
        value = text[begin:end]
        if whole := self._sid_or_number.fullmatch(value):
            return self._stand_in_bare(whole)
        is_before_digit = text[end : end + 1].isdigit()
        return self._make_stand_in("redacted-{}", value) + ("-" if is_before_digit else "")

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
            return self._stand_in_bare(found)
        return self._make_stand_in("redacted-{}", value) if value else ""

    def _stand_in(self, found: re.Match[str]) -> str:
        text = found[0]
        if found.lastgroup == "moment":
            return text
        if found.lastgroup == "keys":
            return self._make_stand_in("key-{}", text) if text in self._pressed else text
        return self._stand_in_bare(found)

    def _stand_in_bare(self, found: re.Match[str]) -> str:
        """Return the stand-in of a SID or a telephone number."""
        text = found[0]
        if found["number"]:
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


class _KnownValues:
    """Values of parameters, which are found inside texts in any case and in several encodings.

    The time for a text grows with its length, not with the number of values: a call has one start
    message, but a file may hold thousands.
    """

    def __init__(self, values: Iterable[str]) -> None:
        # By the first characters, then by length: the spellings in small letters.
        self._by_start: dict[str, dict[int, set[str]]] = {}
        for value in values:
            if len(value) >= _LEAST_VALUE:
                for form in map(_fold, _list_forms(value)):
                    lengths = self._by_start.setdefault(form[:_LEAST_VALUE], {})
                    lengths.setdefault(len(form), set()).add(form)
        for start, lengths in self._by_start.items():
            self._by_start[start] = dict(sorted(lengths.items(), reverse=True))

    def find_all(self, text: str) -> Iterator[tuple[int, int]]:
        """Yield where values begin and end, in order; of those that begin together, the longest."""
        if not self._by_start:
            return
        folded = _fold(text)
        for begin in range(len(text) - _LEAST_VALUE + 1):
            lengths = self._by_start.get(folded[begin : begin + _LEAST_VALUE])
            if lengths and _is_border(text, begin):
                for length, forms in lengths.items():
                    end = begin + length
                    if folded[begin:end] in forms and not _is_inside_word(text, end):
                        yield begin, end
                        break


def _fold(text: str) -> str:
    """Return a text of the same length in small letters."""
    folded = text.casefold()
    if len(folded) == len(text):
        return folded
    return "".join(small if len(small := each.casefold()) == 1 else each for each in text)


def _is_border(text: str, place: int) -> bool:
    """Whether a value may begin here: it is not part of a longer word or number."""
    return not _is_inside_word(text, place) or _AFTER_ENCODED.match(text, place) is not None


def _is_inside_word(text: str, place: int) -> bool:
    """Whether a letter follows a letter here, or a digit a digit."""
    if not 0 < place < len(text):
        return False
    before, behind = text[place - 1], text[place]
    return (before.isalpha() and behind.isalpha()) or (before.isdigit() and behind.isdigit())


def _list_forms(value: str) -> Iterator[str]:
    """Yield the encodings of a value that may occur in other texts."""
    yield value
    yield quote(value, safe="", errors="replace")
    yield quote_plus(value, errors="replace")
    for encode in (b64encode, urlsafe_b64encode):
        yield encode(value.encode(errors="replace")).decode().rstrip("=")
