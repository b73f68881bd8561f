"""WebSocket frames read from bytes that go past, without a hand in them (RFC 6455 §5).

A library that speaks WebSocket answers pings, refuses what is wrong and closes; a listener may do
none of that.  So this reads what is there, says what the RFC objects to and reads on, as long as
the length of each frame is still to be believed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum

LARGEST_FRAME = 16 << 20
"""Bytes of one frame that are kept; a longer one passes unread (our choice)."""


class Opcode(IntEnum):
    """What a frame is (RFC 6455 §11.8)."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


CONTROL = frozenset({Opcode.CLOSE, Opcode.PING, Opcode.PONG})
_OPCODES = {int(opcode): opcode for opcode in Opcode}
_MOST_CONTROL_BYTES = 125


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, as it passed.

    Attributes:
        opcode: What it is; None for a number that the RFC does not know.
        payload: Unmasked; empty if the frame was too long to be kept.
        is_final: Whether it ends its message.
        size: Bytes of payload that passed.
        faults: What the RFC objects to in it.
        is_compressed: Whether the payload is not what was said, but a compressed form of it.
    """

    opcode: Opcode | None
    payload: bytes
    is_final: bool = True
    size: int = 0
    faults: tuple[str, ...] = ()
    is_compressed: bool = False


class FrameReader:
    """Reads the frames of one direction; it never raises and never answers.

    Args:
        masked: Whether the RFC wants them masked: those of a client, which Twilio is.
        largest: Bytes of one frame that are kept.
    """

    def __init__(self, *, masked: bool, largest: int = LARGEST_FRAME) -> None:
        self._masked = masked
        self._largest = largest
        self._buffer = bytearray()
        self._skip = 0  # bytes of a frame too long to be kept that have still to pass
        self._skipped: Frame | None = None

    @property
    def is_between_frames(self) -> bool:
        """Whether no frame has been begun and not ended; once all that came has been read."""
        return not self._buffer and not self._skip

    def feed(self, piece: bytes) -> None:
        """Take in bytes as they came, cut anywhere."""
        self._buffer += piece

    def next_frame(self) -> Frame | None:
        """Return the next frame that is whole, or None until there is more."""
        if self._skip:
            return self._pass_over()
        head = self._head()
        if head is None:
            return None
        first, is_masked, begin, size = head
        opcode = _OPCODES.get(first & 0x0F)
        is_final = bool(first & 0x80)
        faults = self._faults(first, is_masked=is_masked, size=size)
        if size > self._largest:
            self._skipped = Frame(opcode, b"", is_final, size, faults)
            del self._buffer[:begin]
            self._skip = size
            return self._pass_over()
        end = begin + size
        if len(self._buffer) < end:
            return None
        payload = bytes(self._buffer[begin:end])
        if is_masked:
            payload = _unmasked(payload, bytes(self._buffer[begin - 4 : begin]))
        del self._buffer[:end]
        return Frame(opcode, payload, is_final, size, faults, bool(first & 0x40))

    def _head(self) -> tuple[int, bool, int, int] | None:
        """Return the first byte, whether it is masked, where the payload begins, and its size."""
        buffer = self._buffer
        if len(buffer) < 2:
            return None
        first, second = buffer[0], buffer[1]
        begin, size = 2, second & 0x7F
        if size == 126:
            begin = 4
        elif size == 127:
            begin = 10
        is_masked = bool(second & 0x80)
        if len(buffer) < begin + 4 * is_masked:
            return None
        if begin == 4:
            (size,) = struct.unpack_from("!H", buffer, 2)
        elif begin == 10:
            (size,) = struct.unpack_from("!Q", buffer, 2)
        return first, is_masked, begin + 4 * is_masked, size

    def _faults(self, first: int, *, is_masked: bool, size: int) -> tuple[str, ...]:
        if first & 0x7F in (Opcode.TEXT, Opcode.BINARY) and is_masked is self._masked:
            return ()  # nearly every frame
        opcode = _OPCODES.get(first & 0x0F)
        faults = []
        if first & 0x40:
            faults.append("it is compressed, which was not agreed on (RSV1)")
        if first & 0x30:
            faults.append("it has reserved bits set (RSV2 or RSV3)")
        if opcode is None:
            faults.append(f"its opcode is {first & 0x0F}, which does not exist")
        if opcode in CONTROL and not first & 0x80:
            faults.append("it is a control frame in fragments")
        if opcode in CONTROL and size > _MOST_CONTROL_BYTES:
            faults.append(f"it is a control frame of {size} bytes; 125 are allowed")
        if is_masked and not self._masked:
            faults.append("it is masked, which only a client's frames are")
        if self._masked and not is_masked:
            faults.append("it is not masked, as a client's frames have to be")
        return tuple(faults)

    def _pass_over(self) -> Frame | None:
        passed = min(self._skip, len(self._buffer))
        del self._buffer[:passed]
        self._skip -= passed
        if self._skip or self._skipped is None:
            return None
        frame, self._skipped = self._skipped, None
        return frame


def _unmasked(payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    mask = (key * (size // 4 + 1))[:size]
    return (int.from_bytes(payload, "little") ^ int.from_bytes(mask, "little")).to_bytes(
        size, "little"
    )
