"""The fields of one JSON object: which are there, which are misspelt, which are left over."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from twistream_kit.diagnosis.words import EVENTS, FIELDS_FROM_TWILIO, meant_for
from twistream_kit.protocol.objection import Objection, shown
from twistream_kit.protocol.to_twilio import INVALID_MESSAGE

DROPPED = "Twilio would drop it with warning 31951, logged once per stream"
"""What §4 documents for every message that is not exactly one of the three."""

_EXTRA = (
    "Twilio names extra fields a violation (31951, once per stream); whether it still obeys the"
    " message is not documented"
)

_OWN_NAMES = frozenset({"event", "streamSid", *EVENTS})
"""Correct names are never taken for a misspelling of another one."""


def invalid(field: str, problem: str, fix: str) -> Objection:
    """Build the objection to something for which Twilio drops the message."""
    return Objection(INVALID_MESSAGE, field, problem, DROPPED, fix)


def kind(value: object) -> str:
    """Say in JSON's words what `value` is."""
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case int() | float():
            return f"the number {shown(value, 20)}"
        case str():
            return f"the string {shown(value, 20)}"
        case list():
            return "a list"
        case _:
            return "an object"


def path(inside: str, name: str) -> str:
    """Return the path of field `name`, quoted if it is none that anybody would write."""
    plain = name if re.fullmatch(r"[A-Za-z0-9_-]{1,40}", name) else shown(name)
    return f"{inside}.{plain}" if inside else plain


@dataclass(frozen=True, slots=True)
class Found:
    """What stood where a field should stand.

    Attributes:
        value: Its value; None if there is none.
        field: Its path as written, or None if nothing stood there.
        objection: Why it is not as it should be: missing, or misspelt; else None.
    """

    value: Any
    field: str | None
    objection: Objection | None = None


class Fields:
    """The fields of one object, taken out one by one; what is left is too much.

    Args:
        values: The object.
        inside: Its path, empty for the whole message.
    """

    def __init__(self, values: dict[str, Any], inside: str = "") -> None:
        self.values = values
        self.inside = inside
        self._taken: set[str] = set()

    def take(self, key: str) -> Found:
        """Take the field `key`, or the one that was written for it."""
        if key in self.values:
            self._taken.add(key)
            return Found(self.values[key], path(self.inside, key))
        written = meant_for(key, (name for name in self.values if self._may_be_misspelt(name)))
        right = path(self.inside, key)
        if not written:
            fix = f"Add {right}; Twilio reads no other name"
            return Found(None, None, invalid(right, "is missing", fix))
        self._taken.add(written)
        field = path(self.inside, written)
        problem = f"is not a name that Twilio reads: {key} is meant"
        return Found(self.values[written], field, invalid(field, problem, f"Rename it to {right}"))

    def _may_be_misspelt(self, name: str) -> bool:
        known = FIELDS_FROM_TWILIO if self.inside else FIELDS_FROM_TWILIO | _OWN_NAMES
        return name not in self._taken and name not in known

    def claim(self, name: str) -> None:
        """Note that field `name` has been spoken of."""
        self._taken.add(name)

    def left_over(self) -> Iterator[Objection]:
        """Object to every field that nobody took."""
        for name in self.values:
            if name in self._taken:
                continue
            problem = (
                "is a field of Twilio's own messages, not of yours"
                if name in FIELDS_FROM_TWILIO
                else "is not a field of this message"
            )
            field = path(self.inside, name)
            yield Objection(INVALID_MESSAGE, field, problem, _EXTRA, "Leave it out", "warning")
