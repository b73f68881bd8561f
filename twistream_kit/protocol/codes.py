"""Twilio's numbers in words (PROTOCOL.md §5)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType

from twistream_kit.errors import TwistreamError
from twistream_kit.protocol.code_tables import CALL_CODES, STREAM_CODES, WEBHOOK_CODES, TwilioCode

__all__ = ["TWILIO_CODES", "TwilioCode", "UnknownCode", "explain"]

TWILIO_CODES: Mapping[int, TwilioCode] = MappingProxyType(
    {row.code: row for row in (*STREAM_CODES, *WEBHOOK_CODES, *CALL_CODES)}
)
"""Every code that a call with a stream can meet, by number."""


class UnknownCode(TwistreamError, LookupError):
    """There is no explanation for a number.

    Attributes:
        code: What was asked for.
    """

    def __init__(self, code: object, problem: str, fix: str) -> None:
        super().__init__(problem, fix=fix)
        self.code = code


def explain(code: int | str) -> TwilioCode:
    """Explain an error or warning of Twilio's.

    Args:
        code: The number, or a text that holds it: ``"31951"``, ``"Error 31951 ..."``.

    Raises:
        UnknownCode: If it is none of `TWILIO_CODES`; the text names the nearest that are.
    """
    numbers = [code] if isinstance(code, int) else _numbers(str(code))
    for number in numbers:
        if number in TWILIO_CODES:
            return TWILIO_CODES[number]
    if not numbers:
        raise UnknownCode(code, f"{str(code)[:40]!r} holds no code", "Give a number, such as 31951")
    raise UnknownCode(code, f"{numbers[0]} is not among the codes known here", _advice(numbers[0]))


def _numbers(text: str) -> list[int]:
    return [int(digits) for digits in re.findall(r"(?<![0-9])[0-9]{1,9}(?![0-9])", text)]


def _advice(number: int) -> str:
    near = sorted(TWILIO_CODES, key=lambda known: (abs(known - number), known))[:3]
    names = ", ".join(f"{known} ({TWILIO_CODES[known].name})" for known in sorted(near))
    page = f"https://www.twilio.com/docs/api/errors/{number}"
    return f"Nearest are {names}. Twilio's own page would be {page}"
