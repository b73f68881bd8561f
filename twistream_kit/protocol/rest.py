"""What Twilio's REST API takes for a call, as far as both sides need it (PROTOCOL.md §6.1)."""

from __future__ import annotations

import re

E164 = re.compile(r"\+[1-9][0-9]{6,14}")
"""A telephone number as Twilio wants it: plus, country code, at most 15 digits."""

PROGRESS_EVENTS = ("initiated", "ringing", "answered", "completed")
"""What a status callback may be sent for, in order; without a word only for the last."""

RING_SECONDS_LIMIT = 600
"""The longest that Twilio lets a call ring."""


def is_e164(number: object) -> bool:
    """Tell whether `number` is a telephone number in E.164 form, such as +15550100001."""
    return isinstance(number, str) and E164.fullmatch(number) is not None
