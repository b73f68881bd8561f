"""Rules of Twilio's REST API for calls that both sides need (PROTOCOL.md §6.1)."""

from __future__ import annotations

import re

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
"""A telephone number in E.164 form: plus, country code, at most 15 digits."""

PROGRESS_EVENTS = ("initiated", "ringing", "answered", "completed")
"""The events of a status callback, in order; by default only the last is sent."""

RING_SECONDS_LIMIT = 600
"""The longest that Twilio lets a call ring."""


def is_e164(number: object) -> bool:
    """Whether `number` is a telephone number in E.164 form, such as +15550100001."""
    return isinstance(number, str) and E164.fullmatch(number) is not None
