"""Parse WebSocket frames and messages from a copy of one direction's bytes (RFC 6455 §5).

A WebSocket library answers pings, fails the connection on a protocol error and closes; an inspector
must do none of that.  So `FrameReader` parses each frame, reports what the RFC forbids and
continues, as long as the length of a frame is plausible.  `MessageReader` joins fragments to
messages.  Neither raises.  "Frame" means a WebSocket frame in this module.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum

# Not in the __all__ of the module, because it is in C where the library was built so.
from websockets.frames import apply_mask  # type: ignore[attr-defined]

LARGEST_FRAME = 16 << 20
"""The size limit of a frame that is kept, in bytes; a longer one is not parsed (our choice)."""

NO_STATUS = 1005
"""The code reported for a Close frame without a code (RFC 6455 §7.1.5)."""

ABNORMAL = 1006
"""The code reported for a connection that ended without a Close frame."""

_CODES_ON_THE_WIRE = frozenset({*range(1000, 1004), *range(1007, 1015), *range(3000, 5000)})

_MOST_CONTROL_BYTES = 125


@dataclass(frozen=True, slots=True)
class Closing:
    """A Close frame.

    Attributes:
        code: The code in the frame; 1005 if it has none.
        reason: The reason in the frame.
    """

    code: int
    reason: str = ""


@dataclass(frozen=True, slots=True)
class FrameViolation:
    """Something that the RFC forbids; the bytes were relayed unchanged.

    Attributes:
        problem: A description of it.
    """

    problem: str


Passed = str | bytes | Closing | FrameViolation
"""A text message, a binary message, a Close frame, or a violation of the RFC."""


MOST_VIOLATIONS = 1000
"""After so many violations in one direction, its frames are not read any more."""


class MessageReader:
    """Parses the messages of one direction; pings and pongs are skipped.

    A Close frame is the last frame of its direction (RFC 6455 §5.5.1).  What a server writes after
    it, such as the HTTP response of its framework, is not read.

    Args:
        masked: Whether the sender is the client.
        largest: The size limit of a message that is kept, in bytes.
    """

    def __init__(self, *, masked: bool, largest: int = LARGEST_FRAME) -> None:
        self._frames = FrameReader(masked=masked, largest=largest)
        self._largest = largest
        self._parts: list[bytes] = []
        self._size = 0
        self._is_compressed = False
        self._opcode: Opcode | None = None
        self._n_violations = 0
        self._is_over = False

    @property
    def is_between_frames(self) -> bool:
        """Whether the last frame is complete."""
        return self._is_over or self._frames.is_between_frames

    def feed(self, piece: bytes) -> None:
        """Take in bytes as they came, cut anywhere."""
        if not self._is_over:
            self._frames.feed(piece)

    def finish(self) -> list[FrameViolation]:
        """Read no more; return the violations in a frame that is not complete."""
        faults = () if self._is_over else self._frames.find_faults_of_rest()
        self._is_over = True
        return [FrameViolation(fault) for fault in faults]

    def read(self) -> Iterator[Passed | None]:
        """Yield what has arrived completely; None for a frame that completes no message.

        After `MOST_VIOLATIONS` nothing more is read: no program takes so many, and what they mean
        for what follows nobody knows.
        """
        for passed in self._read():
            if isinstance(passed, FrameViolation):
                self._n_violations += 1
                self._is_over = self._is_over or self._n_violations >= MOST_VIOLATIONS
            yield passed

    def _read(self) -> Iterator[Passed | None]:
        while not self._is_over and (frame := self._frames.read_frame()) is not None:
            if frame.faults:
                yield from (FrameViolation(fault) for fault in frame.faults)
            self._is_over |= frame.opcode is Opcode.CLOSE
            if frame.opcode is Opcode.TEXT and self._is_whole(frame):
                yield _decode(frame.payload)  # nearly every message
            else:
                yield from self._take(frame)

    def _is_whole(self, frame: Frame) -> bool:
        """Whether a frame is a message by itself, and none was begun before it."""
        is_plain = frame.is_final and not frame.is_compressed and frame.size <= self._largest
        return is_plain and self._opcode is None

    def _take(self, frame: Frame) -> Iterator[Passed | None]:
        if frame.opcode in CONTROL:
            if frame.opcode is Opcode.CLOSE:
                yield from _read_closing(frame.payload)
            else:
                yield None
            return
        if frame.opcode is None:
            return
        if frame.opcode is Opcode.CONTINUATION:
            if self._opcode is None:
                yield FrameViolation("it continues a message that was not begun")
                return
        else:
            if self._opcode is not None:
                yield FrameViolation("it begins a message before the last one has ended")
            self._parts, self._size, self._opcode = [], 0, frame.opcode
            self._is_compressed = frame.is_compressed
        self._size += frame.size
        if self._size <= self._largest:
            self._parts.append(frame.payload)
        yield from self._finish_message() if frame.is_final else [None]

    def _finish_message(self) -> Iterator[Passed | None]:
        opcode, self._opcode = self._opcode, None
        parts, self._parts = self._parts, []
        if self._is_compressed:
            yield None  # the violation has been reported
            return
        if self._size > self._largest:
            yield FrameViolation(f"the message has {self._size} bytes, too many to be reviewed")
            return
        whole = parts[0] if len(parts) == 1 else b"".join(parts)
        if opcode is Opcode.BINARY:
            yield whole
            return
        yield _decode(whole)


def _decode(whole: bytes) -> Passed:
    try:
        return whole.decode()
    except UnicodeDecodeError:
        return FrameViolation("it is a text message that is not UTF-8")


def _read_closing(payload: bytes) -> Iterator[Passed]:
    if not payload:
        yield Closing(NO_STATUS)
        return
    code = int.from_bytes(payload[:2], "big")
    if len(payload) < 2 or code not in _CODES_ON_THE_WIRE:
        yield FrameViolation("it is a Close frame with a code that may not be sent")
    yield Closing(code if len(payload) >= 2 else NO_STATUS, payload[2:].decode("utf-8", "replace"))


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


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame, as it passed.

    Attributes:
        opcode: What it is; None for a number that the RFC does not define.
        payload: Unmasked; empty if the frame was too long to be kept.
        is_final: Whether it ends its message.
        size: The size of the payload in bytes.
        faults: What the RFC forbids in it.
        is_compressed: Whether the payload is compressed (RSV1).
    """

    opcode: Opcode | None
    payload: bytes
    is_final: bool = True
    size: int = 0
    faults: tuple[str, ...] = ()
    is_compressed: bool = False


_CONTROL_BIT = 0x08
_PLAIN = frozenset(
    opcode | final
    for opcode in _OPCODES
    for final in (0x00, 0x80)
    if final or not opcode & _CONTROL_BIT
)
"""The first bytes of frames without a fault: an opcode that is known, no bit but FIN."""


class FrameReader:
    """Parses the frames of one direction; it never raises and never answers.

    Args:
        masked: Whether the RFC requires masking: it does for a client, such as Twilio.
        largest: The size limit of a frame that is kept, in bytes.
    """

    def __init__(self, *, masked: bool, largest: int = LARGEST_FRAME) -> None:
        self._masked = masked
        self._largest = largest
        self._buffer = bytearray()
        self._skip = 0  # the bytes still to come of a frame that is too long to be kept
        self._skipped: Frame | None = None

    @property
    def is_between_frames(self) -> bool:
        """Whether the last frame is complete, once all bytes fed have been read."""
        return not self._buffer and not self._skip

    def feed(self, piece: bytes) -> None:
        """Take in bytes as they came, cut anywhere."""
        self._buffer += piece

    def read_frame(self) -> Frame | None:
        """Return the next complete frame, or None if more bytes are needed."""
        if self._skip:
            return self._pass_over()
        head = self._read_head()
        if head is None:
            return None
        first, is_masked, begin, size = head
        opcode = _OPCODES.get(first & 0x0F)
        is_final = bool(first & 0x80)
        faults = self._find_faults(first, is_masked=is_masked, size=size)
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
            payload = apply_mask(payload, bytes(self._buffer[begin - 4 : begin]))
        del self._buffer[:end]
        return Frame(opcode, payload, is_final, size, faults, bool(first & 0x40))

    def find_faults_of_rest(self) -> tuple[str, ...]:
        """Return what the RFC forbids in the head of a frame that did not arrive completely."""
        head = None if self._skip else self._read_head()
        if head is None:
            return ()
        first, is_masked, _, size = head
        return self._find_faults(first, is_masked=is_masked, size=size)

    def _read_head(self) -> tuple[int, bool, int, int] | None:
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

    def _find_faults(self, first: int, *, is_masked: bool, size: int) -> tuple[str, ...]:
        is_short = size <= _MOST_CONTROL_BYTES or not first & _CONTROL_BIT
        if first in _PLAIN and is_masked is self._masked and is_short:
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
