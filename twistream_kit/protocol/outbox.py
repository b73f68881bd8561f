"""Messages on their way to Twilio, in order.

Twilio plays what it has been sent until it is told to clear, so an interruption has to empty two
buffers: Twilio's and this one (PROTOCOL.md §9, items 3 and 11).  A clear therefore goes first and
takes the unsent audio behind it away, with the marks that were ours alone.  Marks that the user
named stay: Twilio, left with nothing to play, sends them straight back (§4), so nobody waits for
a mark for ever.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from twistream_kit.protocol import to_twilio
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.marks import MarkName
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.sound_file import CheckedPayload


class Outbox:
    """The queue between commands and the one task that sends.

    Args:
        stream_sid: The stream that all messages are for.
    """

    def __init__(self, stream_sid: str) -> None:
        self._stream_sid = stream_sid
        self._waiting: deque[QueuedSound | MarkRequest] = deque()
        self._progress: str | None = None
        self._must_clear = False

    def __bool__(self) -> bool:
        return bool(self._waiting or self._must_clear or self._progress)

    def put_sound(self, handle: str, payload: CheckedPayload) -> None:
        """Queue audio; it is cut into frames only as it leaves."""
        self._waiting.append(QueuedSound(handle, payload))

    def put_mark(self, name: str, *, own: bool) -> None:
        """Queue a mark behind all audio queued so far."""
        self._waiting.append(MarkRequest(name, own))

    def clear(self) -> list[str]:
        """Put a clear in front, drop the audio; return the names of our own marks dropped."""
        marks = [item for item in self._waiting if isinstance(item, MarkRequest)]
        self._waiting = deque(mark for mark in marks if not mark.own)
        self._progress = None
        self._must_clear = True
        return [mark.name for mark in marks if mark.own]

    @property
    def needs_room(self) -> bool:
        """Whether the next message is audio, which has to wait for room in Twilio's buffer."""
        if self._must_clear or self._progress:
            return False
        return bool(self._waiting) and isinstance(self._waiting[0], QueuedSound)

    def take(self) -> Outgoing | None:
        """Remove and return the next message: a clear, a mark, or one frame of audio."""
        if self._must_clear:
            self._must_clear = False
            return Outgoing(to_twilio.Clear(self._stream_sid))
        if self._progress is not None:
            name, self._progress = self._progress, None
            return Outgoing(to_twilio.Mark(self._stream_sid, name), progress=True)
        if not self._waiting:
            return None
        first = self._waiting[0]
        if isinstance(first, QueuedSound):
            return self._take_frame(first)
        self._waiting.popleft()
        return Outgoing(to_twilio.Mark(self._stream_sid, first.name), own=first.own)

    def _take_frame(self, sound: QueuedSound) -> Outgoing:
        frame = sound.payload[sound.taken : sound.taken + FRAME_BYTES]
        sound.taken += len(frame)
        if sound.taken >= len(sound.payload):
            self._waiting.popleft()
        elif sound.taken % BYTES_PER_SECOND == 0:
            self._progress = str(
                MarkName.parse(sound.handle).after(sound.taken // BYTES_PER_SECOND)
            )
        return Outgoing(to_twilio.unchecked_media(self._stream_sid, frame), handle=sound.handle)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One message that leaves the outbox.

    Attributes:
        message: What goes on the wire.
        handle: The playback that a `to_twilio.Media` belongs to, else empty.
        progress: For a mark of ours that measures how far a playback is.
        own: For a mark that ends a playback without a name; a later mark can stand for it.
    """

    message: to_twilio.Message
    handle: str = ""
    progress: bool = False
    own: bool = False


@dataclass(slots=True)
class QueuedSound:
    """The sound of a playback that waits, or what is left of it.

    Attributes:
        handle: Whose sound it is.
        payload: All of it.
        taken: How many bytes of it have left the outbox.
    """

    handle: str
    payload: bytes
    taken: int = 0


@dataclass(frozen=True, slots=True)
class MarkRequest:
    """A mark that waits behind the audio before it.

    Attributes:
        name: Its unique name on the wire.
        own: Whether it is there for our bookkeeping only, so that a clear may drop it.
    """

    name: str
    own: bool
