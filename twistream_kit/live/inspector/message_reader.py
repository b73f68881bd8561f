"""The messages of one direction of a WebSocket, put together from the frames that go past."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from twistream_kit.live.inspector.frames import CONTROL, LARGEST_FRAME, Frame, FrameReader, Opcode

NO_STATUS = 1005
"""What a Close frame without a code is reported as (RFC 6455 §7.1.5)."""

ABNORMAL = 1006
"""What an end without a Close frame is reported as."""

_CODES_ON_THE_WIRE = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})


@dataclass(frozen=True, slots=True)
class Closing:
    """A Close frame.

    Attributes:
        code: As it stands there; 1005 if none does.
        reason: As it stands there.
    """

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Violation:
    """Something that the RFC forbids, and that the listener has to leave as it is.

    Attributes:
        problem: What it is, in words.
    """

    problem: str


Passed = str | bytes | Closing | Violation
"""A text message, a binary one, a Close frame, or what is wrong with a frame."""


class MessageReader:
    """Reads the messages of one direction; pings and pongs are passed over.

    Args:
        masked: Whether the sender is the client.
        largest: Bytes of one message that are kept.
    """

    def __init__(self, *, masked: bool, largest: int = LARGEST_FRAME) -> None:
        self._frames = FrameReader(masked=masked, largest=largest)
        self._largest = largest
        self._parts: list[bytes] = []
        self._size = 0
        self._is_compressed = False
        self._opcode: Opcode | None = None

    @property
    def is_between_frames(self) -> bool:
        """Whether no frame has been begun and not ended."""
        return self._frames.is_between_frames

    def feed(self, piece: bytes) -> None:
        """Take in bytes as they came, cut anywhere."""
        self._frames.feed(piece)

    def read(self) -> Iterator[Passed | None]:
        """Yield what has passed whole; None for a frame that holds nothing to be told yet."""
        while (frame := self._frames.next_frame()) is not None:
            yield from (Violation(fault) for fault in frame.faults)
            yield from self._take(frame)

    def _take(self, frame: Frame) -> Iterator[Passed | None]:
        if frame.opcode in CONTROL:
            if frame.opcode is Opcode.CLOSE:
                yield from _closing(frame.payload)
            else:
                yield None
            return
        if frame.opcode is None:
            return
        if frame.opcode is Opcode.CONTINUATION:
            if self._opcode is None:
                yield Violation("it continues a message that was not begun")
                return
        else:
            if self._opcode is not None:
                yield Violation("it begins a message before the last one has ended")
            self._parts, self._size, self._opcode = [], 0, frame.opcode
            self._is_compressed = frame.is_compressed
        self._size += frame.size
        if self._size <= self._largest:
            self._parts.append(frame.payload)
        yield from self._ended() if frame.is_final else [None]

    def _ended(self) -> Iterator[Passed | None]:
        opcode, self._opcode = self._opcode, None
        parts, self._parts = self._parts, []
        if self._is_compressed:
            yield None  # its violation has been told
            return
        if self._size > self._largest:
            yield Violation(f"the message has {self._size} bytes, too many to be looked at here")
            return
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if opcode is Opcode.BINARY:
            yield whole
            return
        try:
            yield whole.decode()
        except UnicodeDecodeError:
            yield Violation("it is a text message that is not UTF-8")


def _closing(payload: bytes) -> Iterator[Passed]:
    if not payload:
        yield Closing(NO_STATUS)
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or code not in _CODES_ON_THE_WIRE:
        yield Violation("it is a Close frame with a code that may not be sent")
    yield Closing(code if len(payload) >= 2 else NO_STATUS, payload[2:].decode("utf-8", "replace"))
