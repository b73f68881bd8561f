"""How far ahead of its playing sound is sent (PROTOCOL.md §4).

Twilio needs no pacing, and what it holds already is immune to a busy notebook.  It discards what
goes beyond ten minutes, so the lead has an end.
"""

from __future__ import annotations

from twistream_kit.protocol.playout import BYTES_PER_SECOND, CAPACITY_SECONDS

LEAD_SECONDS = 10.0
"""How much sound is sent ahead if nothing else is said; it outlasts a busy notebook."""

LEAST_LEAD_SECONDS = 0.2
"""The least lead: senders that work keep 100 to 200 ms ahead (§4)."""

_BURST_SECONDS = 0.5


class Lead:
    """Says when there is room for more, in bursts, so that the sender wakes twice a second.

    Args:
        seconds: The lead, 0.2 to 590 s.

    Raises:
        ValueError: If it is out of range.
    """

    def __init__(self, seconds: float = LEAD_SECONDS) -> None:
        check_lead(seconds)
        self._full = round(seconds * BYTES_PER_SECOND)
        self._refill = self._full - round(min(_BURST_SECONDS, seconds / 4) * BYTES_PER_SECOND)
        self._filling = True

    def has_room(self, buffered: int) -> bool:
        """Whether more may be sent while `buffered` bytes wait at Twilio."""
        if buffered >= self._full:
            self._filling = False
        elif buffered <= self._refill:
            self._filling = True
        return self._filling

    def wait_seconds(self, buffered: int) -> float:
        """Return in how many seconds there will be room, if nothing is cleared meanwhile."""
        return max(0.0, (buffered - self._refill) / BYTES_PER_SECOND) + 0.001

    def restart(self) -> None:
        """Fill up again from now on: a clear has emptied the buffer."""
        self._filling = True


def check_lead(seconds: float) -> None:
    """Refuse a lead that starves Twilio's buffer or overfills it (31931, §4).

    Raises:
        ValueError: If `seconds` is not between 0.2 and 590.
    """
    if not LEAST_LEAD_SECONDS <= seconds <= CAPACITY_SECONDS - 10:
        raise ValueError(
            f"lead_seconds is {seconds}; it must be between {LEAST_LEAD_SECONDS} (less "
            f"starves Twilio's buffer) and {CAPACITY_SECONDS - 10:.0f} (Twilio discards what goes "
            "beyond ten minutes)"
        )
