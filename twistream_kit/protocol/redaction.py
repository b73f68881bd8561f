"""Taking out of a capture what says who called.

Everything is replaced by a stand-in of the same shape, and the same thing by the same stand-in
wherever it stands, so that a redacted capture replays and adds up as the original does:

- SIDs (two letters and hex digits, PROTOCOL.md §1.7) become ``CA000...1``, ``CA000...2`` ...;
- telephone numbers, seven digits or more in whatever notation, become ``+15550100001`` ...;
- values of ``<Parameter>`` (§1.4) become ``redacted-1`` ...; their names stay;
- keys that the caller pressed all become ``0``, because card numbers are typed;
- marks are named by programs, often after such things: numbers, SIDs and values are replaced
  inside their names, and one that is called after a single key that was pressed becomes ``key``.

The sound is not changed, and the voices are in it; no text can take them out.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.capture_entry import Entry, Message
from twistream_kit.protocol.outbox import UNNAMED

NEUTRAL_KEY = "0"
"""What stands for every key that was pressed."""

_SID = r"(?<![A-Za-z0-9])[A-Z]{2}[0-9a-fA-F]{16,64}(?![A-Za-z0-9])"
"""Also one that was cut short or doubled on its way."""

_NUMBER = r"(?<!\d)\+?\(?\d(?:[ ()./-]{0,2}\d){6,14}(?!\d)"
"""E.164 has at most fifteen digits; people put spaces, dots, dashes and brackets between them."""

_LEAST_VALUE = 3
"""A value shorter than this is replaced only where it is a parameter, not inside other texts."""

_SUFFIX = re.compile(r"(?P<name>.*?)(?P<suffix>(?:#\d+(?:@\d+s)?)?)", re.DOTALL)
"""What the outbox adds to the name of a mark."""

_AS_THEY_ARE = frozenset({"event", "payload", "sequenceNumber", "chunk", "timestamp", "track"})
_PARAMETERS = frozenset({"customParameters", "parameters"})
_KEYS = frozenset({"digit", "digits"})


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
        self._pressed: set[str] = set()
        for entry in entries:
            if isinstance(entry.message, from_twilio.Start):
                values |= dict.fromkeys(entry.message.custom_parameters.values())
            elif isinstance(entry.message, from_twilio.Dtmf):
                self._pressed.add(entry.message.digit)
        self._sid_or_number = re.compile(f"(?P<sid>{_SID})|(?P<number>{_NUMBER})")
        self._anywhere = self._expression(values)

    def text(self, text: str) -> str:
        """Replace what is to be replaced inside any text."""
        return self._anywhere.sub(self._stand_in, text)

    def mark(self, wire_name: str) -> str:
        """Replace inside the name of a mark; what makes it unique on the wire stays."""
        found = _SUFFIX.fullmatch(wire_name)
        name, suffix = (found["name"], found["suffix"]) if found else (wire_name, "")
        if suffix and name == UNNAMED:
            return wire_name
        return ("key" if name in self._pressed else self.text(name)) + suffix

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

    def _expression(self, values: Iterable[str]) -> re.Pattern[str]:
        longest_first = sorted((v for v in values if len(v) >= _LEAST_VALUE), key=len, reverse=True)
        whole = "|".join(map(re.escape, longest_first)) or "(?!)"
        return re.compile(f"(?P<value>(?<!\\w)(?:{whole})(?!\\w))|{self._sid_or_number.pattern}")

    def _value(self, value: Any, key: str, inside: str = "") -> Any:
        match value:
            case dict():
                return {
                    name if key in _PARAMETERS else self._bare(name): self._value(each, name, key)
                    for name, each in value.items()
                }
            case list():
                return [self._value(each, key, inside) for each in value]
            case str() if inside in _PARAMETERS:
                return self._parameter(value)
            case str() if key in _KEYS:
                return NEUTRAL_KEY * len(value)
            case str() if (inside, key) == ("mark", "name"):
                return self.mark(value)
            case str() if key not in _AS_THEY_ARE:
                return self.text(value)
            case int() if not isinstance(value, bool) and key not in _AS_THEY_ARE:
                return int(self._bare(str(value)))
        return value

    def _bare(self, text: str) -> str:
        """Replace SIDs and numbers alone."""
        return self._sid_or_number.sub(self._stand_in, text)

    def _parameter(self, value: str) -> str:
        if found := self._sid_or_number.fullmatch(value):
            return self._stand_in(found)
        return self._named("redacted-{}", value) if value else ""

    def _stand_in(self, found: re.Match[str]) -> str:
        text = found[0]
        if self._sid_or_number.fullmatch(text) is None:
            return self._named("redacted-{}", text)
        if text[0].isupper():
            return self._named(f"{text[:2]}{{:0{len(text) - 2}x}}", text)
        return self._number(text)

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
