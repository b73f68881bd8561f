"""Which parts of a stream are listened to: a second, three seconds, then ever more rarely.

To judge sound costs milliseconds for each second of it, and a wrong coding is wrong from the first
second on.  So three seconds are taken, then a rest is made, each twice as long as the one before.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.playout import BYTES_PER_SECOND

SECOND_BYTES = BYTES_PER_SECOND
ROUND_BYTES = 3 * BYTES_PER_SECOND

FIRST_REST, LONGEST_REST = 4 * BYTES_PER_SECOND, 60 * BYTES_PER_SECOND
"""In bytes."""


@dataclass(slots=True)
class Piece:
    """Sound to be listened to.

    Attributes:
        payload: What was sent, silence between left out.
        borders: Where in it messages begin right behind the one before.
        is_round: Whether it is a whole round, and not the first second of one.
    """

    payload: bytes
    borders: list[int] = field(default_factory=list)
    is_round: bool = False

    @property
    def second(self) -> bytes:
        """The second of it by which a coding is told: the last one of a round, else the first."""
        return self.payload[-SECOND_BYTES:] if self.is_round else self.payload[:SECOND_BYTES]


class SoundWindow:
    """Collects audible sound until there is enough of it to be listened to.

    Args:
        number: Of the stream, any; calls that begin together have different ones, and so are not
            listened to together: the first second may wait for half a second more, the whole round
            for two.
    """

    def __init__(self, number: int = 0) -> None:
        self._first = SECOND_BYTES + number % 25 * FRAME_BYTES
        self._round = ROUND_BYTES + number % 100 * FRAME_BYTES
        self._sound = bytearray()
        self._borders: list[int] = []
        self._joined = False
        self._is_begun = False  # its first second was listened to
        self._resting = 0
        self._next_rest = FIRST_REST

    @property
    def is_empty(self) -> bool:
        """Whether nothing has been collected since the last rest."""
        return not self._sound

    def add(self, payload: bytes) -> list[Piece]:
        """Take sound in; return what is to be listened to now, nearly always nothing."""
        if self._resting > 0:
            self._resting -= len(payload)
            return []
        if self._joined and self._sound:
            self._borders.append(len(self._sound))
        self._sound += payload
        self._joined = True
        if len(self._sound) < (self._round if self._is_begun else self._first):
            return []
        return self._due()

    def interrupt(self) -> None:
        """Note that the next sound does not follow on what was added last."""
        self._joined = False

    def rest(self) -> Piece | None:
        """Return what was collected and not listened to, when the stream is over."""
        if len(self._sound) >= ROUND_BYTES:
            return self._whole_round()
        if self._is_begun or not self._sound:
            return None
        return Piece(bytes(self._sound), self._borders)

    def _due(self) -> list[Piece]:
        due: list[Piece] = []
        if not self._is_begun:
            self._is_begun = True
            due.append(Piece(bytes(self._sound[: self._first])))
        if len(self._sound) >= self._round:
            due.append(self._whole_round())
            self._sound, self._borders = bytearray(), []
            self._is_begun = self._joined = False
            self._resting, self._next_rest = self._next_rest, min(2 * self._next_rest, LONGEST_REST)
        return due

    def _whole_round(self) -> Piece:
        borders = [border for border in self._borders if border < ROUND_BYTES]
        return Piece(bytes(self._sound[:ROUND_BYTES]), borders, is_round=True)
