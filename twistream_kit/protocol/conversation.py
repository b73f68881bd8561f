"""The server's half of one stream, without I/O: the messages to send, and the outcomes.

A `Conversation` returns handles (the unique name of a playback or a mark on the wire) and later
their outcomes as values.  Every handle gets exactly one outcome, in any order of events.

A mark comes back both when its audio was heard and when it was cleared, and the message does not
say which (PROTOCOL.md §4, §9 item 11).  The conversation knows which handles were open when it sent
the clear.  Names are made unique, because Twilio accepts duplicates (§4), and then the returned
marks of one playback would end another.

Messages that have not been sent wait in the `Outbox`.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import deque
from dataclasses import dataclass, field
from operator import itemgetter
from typing import NamedTuple

from twistream_kit.errors import LocalProtocolError
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.ending import STOPPED_IN_WORDS, EndCause
from twistream_kit.protocol.from_twilio import FRAME_BYTES
from twistream_kit.protocol.marks import (
    UNNAMED,
    Ending,
    MarkName,
    MarkOutcome,
    PlayOutcome,
    format_handle,
)
from twistream_kit.protocol.playout import (
    BYTES_PER_SECOND,
    SEND_AHEAD_SECONDS,
    PlayoutModel,
    SendAhead,
    to_milliseconds,
)
from twistream_kit.sound_file import CheckedPayload

Outcome = PlayOutcome | MarkOutcome

CLEARED_MARK_SECONDS = 5.0
"""The timeout for the return of a cleared mark; it normally takes one frame (§4)."""

MARK_PAUSE_SECONDS = 0.1
"""How long the mark after a playback without a name may be held back after another mark.

A user saw odd delays at fifty marks a second (§4), which sound that is played frame by frame would
cause; a later mark confirms all playbacks before it."""

OVERDUE_SECONDS = 30.0
"""The timeout for a mark, from the end of its audio, after which it is lost (our choice)."""

_CHECK_SECONDS = 0.5
"""How often `receive` checks for overdue marks; a media message comes every 20 ms."""

NEGLIGIBLE_SECONDS = 0.005
"""Shorter silences between frames are not kept; the position of a playback is exact to this."""

GAP_SECONDS = 0.02
"""The shortest silence within a speech that counts as a gap: that of one frame."""


class Conversation:
    """The server's state of one stream; time is an argument (monotonic seconds).

    Args:
        stream_sid: The SID of the stream, from `from_twilio.Start`.
        send_ahead_seconds: How much sound is sent ahead of its playout, 0.2 to 590 s.

    Attributes:
        next_check: When `advance` is due.
        ended: Why the stream ended, or None while it is open.

    Raises:
        ValueError: If `send_ahead_seconds` is out of range.
    """

    def __init__(self, stream_sid: str, *, send_ahead_seconds: float = SEND_AHEAD_SECONDS) -> None:
        self.stream_sid = stream_sid
        self.model = PlayoutModel(negligible_seconds=NEGLIGIBLE_SECONDS)
        self._outbox = Outbox(stream_sid)
        self._send_ahead = SendAhead(send_ahead_seconds)
        self._open: dict[str, _Handle] = {}
        self._progress: dict[str, int] = {}
        self._unmarked: list[str] = []
        self._held: str | None = None
        self._marked_at, self._marked_at_byte = -math.inf, 0
        self._count = 0
        self.next_check = 0.0
        self.ended: str | None = None

    @property
    def open_handles(self) -> list[str]:
        """The handles that have not ended yet, oldest first."""
        return list(self._open)

    @property
    def send_ahead_bytes(self) -> int:
        """How much sound is sent ahead of its playout."""
        return self._send_ahead.size

    def play(self, payload: CheckedPayload, now: float, *, mark: str | None = None) -> str:
        """Queue PCMU after everything queued so far; return the handle of the playback.

        Raises:
            LocalProtocolError: If the name of the mark is empty, or the stream has ended.
        """
        if self.ended is not None:
            self._check_live()
        if mark is not None:
            _check_name(mark)
        handle = self._handle(UNNAMED if mark is None else mark)
        self._open[handle] = _Handle(mark or "", now, len(payload))
        waiting = self._outbox.waiting  # as `put_sound` and `put_mark`: each frame may be a play
        if payload:
            waiting.append(QueuedSound(handle, payload))
        waiting.append(MarkRequest(handle, mark is None))
        return handle

    def speak(self, now: float, *, mark: str | None = None) -> str:
        """Begin a playback whose sound comes in pieces, by `write`; return its handle.

        It ends by `finish`, a clear or the end of the stream.

        Raises:
            LocalProtocolError: If the name of the mark is empty, or the stream has ended.
        """
        self._check_live()
        if mark is not None:
            _check_name(mark)
        handle = self._handle(UNNAMED if mark is None else mark)
        self._open[handle] = _Handle(mark or "", now, 0, is_written=True)
        return handle

    def write(self, handle: str, payload: CheckedPayload) -> bool:
        """Queue the next PCMU of a speech after everything queued so far.

        What does not fill a frame waits for the next piece, or for `finish`.

        Returns:
            Whether it was taken; False if the speech has ended.
        """
        speech = self._open.get(handle)
        if speech is None or not speech.is_written or speech.size is None:
            return False
        before, speech.size = speech.size - len(speech.rest), speech.size + len(payload)
        whole = speech.rest + payload if speech.rest else payload
        left = len(whole) % FRAME_BYTES
        if left:
            whole, speech.rest = whole[:-left], whole[-left:]
        elif speech.rest:
            speech.rest = b""
        if whole:
            self._outbox.put_sound(handle, CheckedPayload(whole), before=before, is_last=False)
        return True

    def pass_frame(self, handle: str, payload: CheckedPayload, now: float) -> bool | None:
        """Note that a piece of a speech is sent at once, as one media message.

        That is what `write` and `take_message` would do with it, at a fraction of their cost: sound
        that comes as it is spoken waits for nothing.

        Returns:
            Whether something waits behind it; None if it may not be sent: then nothing was noted,
            and `write` takes it.
        """
        speech, outbox = self._open.get(handle), self._outbox
        if (
            len(payload) != FRAME_BYTES
            or speech is None
            or not speech.is_written
            or speech.size is None
            or speech.rest
            or outbox.waiting
            or outbox.urgent
            or self._held
        ):
            return None
        model, position = self.model, self.model.sent_bytes
        # Like `SendAhead`, but sound that is spoken now does not come near its limit.
        silence = model.try_send(FRAME_BYTES, now, self._send_ahead.size // 2)
        if silence is None:
            return None
        if position != speech.next_position:
            speech.runs.append((position, speech.sent))
        if silence >= GAP_SECONDS and speech.sent:
            speech.note_gap(silence)
        speech.sent += FRAME_BYTES
        speech.next_position = position + FRAME_BYTES
        speech.size += FRAME_BYTES
        if speech.size % BYTES_PER_SECOND:
            return False
        outbox.note_progress(handle, speech.size)
        return True

    def finish(self, handle: str) -> None:
        """End a speech: its mark is queued; nothing happens if it has ended."""
        speech = self._open.get(handle)
        if speech is None or not speech.is_written or speech.size is None:
            return
        if speech.rest:
            before = speech.size - len(speech.rest)
            self._outbox.put_sound(handle, CheckedPayload(speech.rest), before=before)
        self._outbox.put_mark(handle, own=not speech.name)
        speech.is_written, speech.rest = False, b""

    def mark(self, name: str, now: float) -> str:
        """Queue a mark after everything queued so far; return its handle.

        Raises:
            LocalProtocolError: If the name is empty, or the stream has ended.
        """
        self._check_live()
        _check_name(name)
        handle = self._handle(name)
        self._open[handle] = _Handle(name, now, None)
        self._outbox.put_mark(handle, own=False)
        return handle

    def clear(self, now: float) -> list[Outcome]:
        """Empty both buffers, ours and Twilio's; return the outcomes that are known at once.

        Handles whose mark has been sent end when that mark comes back.
        """
        if self.ended is not None:
            return []
        position = self.model.count_played(now)
        for handle in self._open.values():
            if handle.end is not None and handle.end <= position:
                continue  # all of it was played, and its mark is on the way
            if handle.cleared_at is None:
                handle.cleared_at = now
                handle.heard = self._count_heard(handle, position)
        ended = self._close_unmarked(position, now)
        dropped = [*self._unmarked, *self._outbox.clear(), *self._stop_writing()]
        ended += [self._close(name, "cleared", now) for name in dropped]
        self._held = None
        self._progress.clear()
        self.model.note_clear(now)
        self._send_ahead.restart()
        return ended

    def receive(self, message: from_twilio.Message, now: float) -> list[Outcome]:
        """Process a message from Twilio; return the outcomes."""
        if isinstance(message, from_twilio.Stop):
            return self.end("stop", now, EndCause("twilio-stopped", detail=STOPPED_IN_WORDS))
        outcomes = (
            self._receive_mark(message.name, now) if isinstance(message, from_twilio.Mark) else []
        )
        return outcomes + self.advance(now) if now >= self.next_check else outcomes

    def advance(self, now: float) -> list[Outcome]:
        """Check the timeouts of marks; return the outcomes of those that are overdue."""
        self.next_check = now + _CHECK_SECONDS
        outcomes: list[Outcome] = []
        for name, handle in list(self._open.items()):
            if handle.end is None:
                continue
            if handle.cleared_at is not None:
                if now >= handle.cleared_at + CLEARED_MARK_SECONDS:
                    outcomes.append(self._close(name, "cleared", now))
            elif (
                now >= max(handle.sent_at, self.model.find_play_time(handle.end)) + OVERDUE_SECONDS
            ):
                outcomes.append(self._close(name, "lost", now))
        return outcomes

    def end(self, reason: str, now: float, cause: EndCause | None = None) -> list[Outcome]:
        """End the stream for `reason`; return the outcomes of all open handles.  Idempotent.

        Args:
            reason: The reason in a word or two.
            now: When it ended.
            cause: Who ended it, and why, for the outcomes of what is lost by it.
        """
        if self.ended is not None:
            return []
        self.ended = reason
        return [
            self._close(name, "lost" if handle.cleared_at is None else "cleared", now, cause)
            for name, handle in list(self._open.items())
        ]

    def take_message(self, now: float) -> to_twilio.Message | None:
        """Return the next message that may be sent at `now`, or None; call it from one task."""
        outbox = self._outbox
        while self.ended is None:
            if not outbox.urgent:
                if not outbox.waiting:
                    break
                first = outbox.waiting[0]
                if isinstance(first, QueuedSound):
                    if not self._send_ahead.has_room(self.model.count_buffered(now)):
                        break
                    frame = outbox.take_frame(first)
                    self._open[first.handle].note_sent(self.model, len(frame), now)
                    return to_twilio.make_unchecked_media(self.stream_sid, frame)
                if first.own and self._follows_closely(now):  # that of each frame played singly
                    outbox.waiting.popleft()
                    self._note_mark(first.name, progress=False, now=now)
                    self._unmarked.append(first.name)
                    self._held = first.name
                    continue
            outgoing = outbox.take()
            if outgoing is None:
                break
            message = outgoing.message
            if isinstance(message, to_twilio.Mark):
                self._note_mark(message.name, progress=outgoing.progress, now=now)
                self._note_marked(now)
            return message
        held = self._held
        if held is None or self.ended is not None or now < self._marked_at + MARK_PAUSE_SECONDS:
            return None
        return self._release(held, now)

    @property
    def has_waiting(self) -> bool:
        """Whether something is still to be sent, now or later."""
        outbox = self._outbox
        return bool(outbox.waiting or outbox.urgent or self._held) and self.ended is None

    def wait_seconds(self, now: float) -> float | None:
        """Return the seconds until `take_message` may have a message, or None if nothing waits.

        `take_message` may still return None then, if a mark is held back; then call this again.
        """
        if self.ended is not None:
            return None
        held = None
        if self._held is not None and self._held in self._unmarked:  # it is not lost
            held = max(0.0, self._marked_at + MARK_PAUSE_SECONDS - now) + 0.001
        if not (self._outbox.waiting or self._outbox.urgent):
            return held
        if not self._outbox.needs_room or self._has_room(now):
            return 0.0
        room = self._send_ahead.wait_seconds(self.model.count_buffered(now))
        return room if held is None else min(room, held)

    def count_heard(self, handle: str, now: float) -> int:
        """Return how many bytes of an open playback Twilio has played by `now`, by the model."""
        found = self._open.get(handle)
        return 0 if found is None else self._count_heard(found, self.model.count_played(now))

    def estimate_wait(self, handle: str, size: int, now: float) -> float | None:
        """Return the seconds until `size` bytes of a playback will have been heard.

        The result is None if these bytes have not been sent yet, or never will be.
        """
        found = self._open.get(handle)
        if found is None or not found.runs or found.sent < size or found.heard is not None:
            return None
        return max(0.0, self.model.find_play_time(found.find_position(size)) - now)

    def _handle(self, name: str) -> str:
        self._count += 1
        return format_handle(name, self._count)

    def _check_live(self) -> None:
        if self.ended is not None:
            raise LocalProtocolError(
                f"the stream has ended ({self.ended})",
                consequence="Nothing can be played on it any more",
                fix="Wait for the next one with server.next_stream()",
            )

    def _has_room(self, now: float) -> bool:
        return self._send_ahead.has_room(self.model.count_buffered(now))

    def _stop_writing(self) -> list[str]:
        """End all speeches because of a clear; return those whose mark nobody named."""
        dropped = []
        for name, handle in self._open.items():
            if handle.is_written:
                handle.is_written, handle.rest = False, b""
                if handle.name:
                    self._outbox.put_mark(name, own=False)
                else:
                    dropped.append(name)
        return dropped

    def _note_mark(self, name: str, *, progress: bool, now: float) -> None:
        if progress:
            self._progress[name] = self.model.sent_bytes
            return
        handle = self._open[name]
        handle.end, handle.sent_at = self.model.sent_bytes, now
        if handle.cleared_at is not None:
            handle.cleared_at = now  # the timeout for its return begins now

    def _release(self, held: str, now: float) -> to_twilio.Mark | None:
        """Return the mark that was held back, whose pause is over."""
        self._held = None
        if held not in self._unmarked:
            return None  # it was declared lost meanwhile
        self._unmarked.remove(held)
        self._note_mark(held, progress=False, now=now)
        self._note_marked(now)
        return to_twilio.Mark(self.stream_sid, held)

    def _follows_closely(self, now: float) -> bool:
        """Whether a mark now would come too soon after the last one, in time and in sound."""
        sound = self.model.sent_bytes - self._marked_at_byte
        recent = now < self._marked_at + MARK_PAUSE_SECONDS
        return recent and sound < MARK_PAUSE_SECONDS * BYTES_PER_SECOND

    def _note_marked(self, now: float) -> None:
        self._marked_at, self._marked_at_byte, self._held = now, self.model.sent_bytes, None

    def _receive_mark(self, name: str, now: float) -> list[Outcome]:
        if (position := self._progress.pop(name, None)) is not None:
            self.model.note_mark(position, now)
            return self._close_unmarked(position, now)
        handle = self._open.get(name)
        if handle is None or handle.end is None or name in self._unmarked:
            return []  # it has ended already, or was never sent
        if handle.cleared_at is not None:
            return [self._close(name, "cleared", now)]
        self.model.note_mark(handle.end, now)
        return [*self._close_unmarked(handle.end, now), self._close(name, "heard", now)]

    def _close_unmarked(self, position: int, now: float) -> list[Outcome]:
        """End the playbacks whose mark was not sent, and whose last byte is before `position`."""
        passed = [name for name in self._unmarked if (self._open[name].end or 0) <= position]
        return [self._close(name, "heard", now) for name in passed]

    def _count_heard(self, handle: _Handle, position: int) -> int:
        return handle.count_before(position) if handle.heard is None else handle.heard

    def _close(
        self, name: str, ending: Ending, now: float, cause: EndCause | None = None
    ) -> Outcome:
        handle = self._open.pop(name)
        if name in self._unmarked:
            self._unmarked.remove(name)
        if ending != "lost":
            cause = None
        if handle.size is None:
            after_ms = round((now - handle.asked_at) * 1000)
            return MarkOutcome(ending, handle.name, after_ms, name, cause)
        total_ms = heard_ms = to_milliseconds(handle.size)
        if ending != "heard":
            heard_ms = to_milliseconds(self._count_heard(handle, self.model.count_played(now)))
        return PlayOutcome(
            ending,
            heard_ms,
            total_ms,
            name,
            cause,
            handle.gaps,
            round(handle.gap_seconds * 1000),
        )


@dataclass(slots=True)
class _Handle:
    """The state of one handle until it ends.

    `end` is the position of the mark, counted over all bytes sent; None until the mark is sent, at
    `sent_at`.  `heard` is set, in bytes, when a clear removes the rest.  `runs` has, for each run
    of its sound that was sent without other sound in between, the position of its first byte, and
    how many bytes of the handle were sent before.  `is_written`: a speech that has not been
    finished; then `rest` does not fill a frame.
    """

    name: str
    asked_at: float
    size: int | None  # None for a mark
    is_written: bool = False
    rest: bytes = b""
    runs: list[tuple[int, int]] = field(default_factory=list)
    next_position: int = -1
    sent: int = 0
    end: int | None = None
    sent_at: float = 0.0
    heard: int | None = None
    cleared_at: float | None = None
    gaps: int = 0
    gap_seconds: float = 0.0

    def note_sent(self, model: PlayoutModel, size: int, now: float) -> None:
        """Note that its next `size` bytes were sent."""
        position = model.sent_bytes
        silence = model.note_sent(size, now)
        if position != self.next_position:
            self.runs.append((position, self.sent))
        if self.sent and silence >= GAP_SECONDS:
            self.note_gap(silence)
        self.sent += size
        self.next_position = position + size

    def note_gap(self, silence: float) -> None:
        """Note that its source left Twilio without sound for some seconds."""
        self.gaps += 1
        self.gap_seconds += silence

    def find_position(self, size: int) -> int:
        """Return the position before which `size` bytes of it, all of them sent, were sent."""
        position, before = self.runs[bisect_left(self.runs, size, 1, key=itemgetter(1)) - 1]
        return position + size - before

    def count_before(self, position: int) -> int:
        """Return how many bytes of it were sent before a position."""
        place = bisect_left(self.runs, position, key=itemgetter(0))
        if not place:
            return 0
        start, before = self.runs[place - 1]
        after = self.runs[place][1] if place < len(self.runs) else self.sent
        return min(after, before + position - start)


class Outbox:
    """The queue of messages between the commands and the task that sends.

    Twilio plays all audio that it has received until it receives a clear, so an interruption must
    empty two buffers: Twilio's and this one (PROTOCOL.md §9, items 3 and 11).  So a clear is sent
    before everything else, and removes the unsent audio and the marks that the kit added.  Marks
    that the user named stay in the queue: Twilio, with nothing to play, returns them at once (§4),
    so that no task waits for a mark for ever.

    Args:
        stream_sid: The SID of the stream.

    Attributes:
        waiting: The sound and the marks that wait, in order.
        urgent: The message before all of these, or None: a clear, or a mark of progress.
    """

    def __init__(self, stream_sid: str) -> None:
        self._stream_sid = stream_sid
        self.waiting: deque[QueuedSound | MarkRequest] = deque()
        self.urgent: Outgoing | None = None

    def __bool__(self) -> bool:
        return bool(self.waiting or self.urgent)

    def put_sound(
        self, handle: str, payload: CheckedPayload, *, before: int = 0, is_last: bool = True
    ) -> None:
        """Queue audio; `take` cuts it into frames.

        Args:
            handle: The handle of its playback.
            payload: The audio.
            before: How many bytes of the playback were queued before.
            is_last: Whether it is the end of the playback.
        """
        self.waiting.append(QueuedSound(handle, payload, before, is_last))

    def put_mark(self, name: str, *, own: bool) -> None:
        """Queue a mark after all audio queued so far."""
        self.waiting.append(MarkRequest(name, own))

    def clear(self) -> list[str]:
        """Queue a clear first and drop the audio; return the names of our own marks dropped."""
        marks = [item for item in self.waiting if isinstance(item, MarkRequest)]
        self.waiting = deque(mark for mark in marks if not mark.own)
        self.urgent = Outgoing(to_twilio.Clear(self._stream_sid))
        return [mark.name for mark in marks if mark.own]

    @property
    def needs_room(self) -> bool:
        """Whether the next message is audio, which must wait for room in Twilio's buffer."""
        if self.urgent is not None or not self.waiting:
            return False
        return isinstance(self.waiting[0], QueuedSound)

    def take(self) -> Outgoing | None:
        """Remove and return the next message: a clear, a mark, or one frame of audio."""
        if self.urgent is not None:
            urgent, self.urgent = self.urgent, None
            return urgent
        if not self.waiting:
            return None
        first = self.waiting[0]
        if isinstance(first, QueuedSound):
            frame = self.take_frame(first)
            media = to_twilio.make_unchecked_media(self._stream_sid, frame)
            return Outgoing(media, handle=first.handle)
        self.waiting.popleft()
        return Outgoing(to_twilio.Mark(self._stream_sid, first.name), own=first.own)

    def take_frame(self, sound: QueuedSound) -> bytes:
        """Remove and return the next frame of the first sound that waits."""
        frame, begin = sound.payload, sound.taken
        if len(frame) > FRAME_BYTES:
            frame = frame[begin : begin + FRAME_BYTES]
        sound.taken = taken = begin + len(frame)
        is_over = taken >= len(sound.payload)
        if is_over:
            self.waiting.popleft()
        if not (is_over and sound.is_last):
            self.note_progress(sound.handle, sound.before + taken)
        return frame

    def note_progress(self, handle: str, passed: int) -> None:
        """Queue a mark of progress if `passed` bytes of a playback are whole seconds."""
        if passed % BYTES_PER_SECOND == 0:
            name = MarkName.parse(handle).name_progress(passed // BYTES_PER_SECOND)
            self.urgent = Outgoing(to_twilio.Mark(self._stream_sid, str(name)), progress=True)


class Outgoing(NamedTuple):
    """One message taken from the outbox.

    Attributes:
        message: The message to send.
        handle: The playback that a `to_twilio.Media` belongs to, else empty.
        progress: Whether it is a mark of ours that measures the progress of a playback.
        own: Whether it is a mark that ends a playback without a name; a later mark can replace it.
    """

    message: to_twilio.Message
    handle: str = ""
    progress: bool = False
    own: bool = False


@dataclass(slots=True)
class QueuedSound:
    """Queued sound of a playback.

    Attributes:
        handle: The handle of the playback.
        payload: The sound.
        before: How many bytes of the playback were queued before.
        is_last: Whether it is the end of the playback.
        taken: How many bytes have been taken from the outbox.
    """

    handle: str
    payload: bytes
    before: int = 0
    is_last: bool = True
    taken: int = 0


class MarkRequest(NamedTuple):
    """A queued mark.

    Attributes:
        name: Its unique name on the wire.
        own: Whether the kit added it for its own accounting, so that a clear may drop it.
    """

    name: str
    own: bool


def _check_name(name: str) -> None:
    if not name:
        raise LocalProtocolError(
            "is empty", field="mark.name", fix="Give the mark a short name of ASCII letters"
        )
