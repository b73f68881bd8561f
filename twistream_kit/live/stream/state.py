"""The state of one stream: its conversation, its capture, its pending results and its readers.

A `StreamState` belongs to the server's event loop.  The session passes in the messages that arrive
and sends those that the conversation gives it.  The commands of the handle may be called from
any thread; on that loop they are carried out at once, on others they are scheduled there.  The
protocol state is kept by `protocol.conversation`.
"""

from __future__ import annotations

import asyncio
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.capture.capture import Capture
from twistream_kit.errors import ServerStopped, WrongValue, is_finite, quote, require_type
from twistream_kit.live.stream._reader import HeldReader, Reader, attach, push
from twistream_kit.live.stream.remark import SoundRemark
from twistream_kit.pending import HomeLoop, Pending, Subject, fail, fulfil
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.conversation import Conversation, Outcome
from twistream_kit.protocol.ending import (
    ABNORMAL_CLOSURE,
    CLOSED_HERE,
    STOPPED_IN_WORDS,
    EndCause,
    StreamEnd,
)
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome
from twistream_kit.protocol.playout import BYTES_PER_SECOND, SEND_AHEAD_SECONDS, to_milliseconds
from twistream_kit.sound_file import CheckedPayload

logger = logging.getLogger("twistream_kit.live")

CLOSE_MARGIN_SECONDS = 5.0
"""How much longer than the queued sound `close` waits for its marks (§9 item 13)."""

EARLY_SECONDS = 1.0
"""How long the readers that a handler makes on its thread see what arrived before them."""

BLAME_SECONDS = 3.0
"""How long before the loss of the public address a lost connection is attributed to it."""


class StreamState:
    """The conversation, the capture, the pending results and the readers of one stream.

    Args:
        start: The start message, with the SIDs of the stream and its call.
        home: The event loop that owns the state.
        send_ahead_seconds: How much sound is sent ahead.
        clock: Returns monotonic seconds.

    Attributes:
        start: The start message.
        capture: All messages of the stream.
        closed: A `Pending` with the `StreamEnd`.
        handler_error: What the handler raised, or None.
        conversation: The state of the protocol.
        newest: The most recent playback, or None.
        disconnect_reason: Why its public address was lost, or empty.
        cause: Who ended the stream, and why, as far as it is known now; None while it is open.
        stopped_at: When Twilio stopped the stream, or None.
        reviewer: Reviews the beginning of what is played; None before.
        remark: What is nearly certainly wrong with the sound that is played; empty if nothing is.
        on_outgoing: A function that is called when a message may be ready to be sent.
        on_frame: A function that sends a piece of a speech at once, if it may, and returns whether
            it did.
        on_close_wanted: A function that is called when the stream is to close once all queued sound
            was heard; maybe repeatedly.
    """

    def __init__(
        self,
        start: from_twilio.Start,
        home: HomeLoop,
        *,
        send_ahead_seconds: float = SEND_AHEAD_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.start = start
        self._home = home
        self._clock = clock
        self.conversation = Conversation(start.stream_sid, send_ahead_seconds=send_ahead_seconds)
        self._waiting: dict[str, Pending[Any]] = {}
        # Replaced under `_readers_lock`, so that `receive` needs no lock.
        self._event_readers: tuple[HeldReader, ...] = ()
        self._audio_readers: tuple[HeldReader, ...] = ()
        self._speeches: dict[str, Playing] = {}
        self._is_closing = False
        self.on_outgoing: Callable[[], None] = do_nothing
        self.on_frame: Callable[[str, CheckedPayload], bool] = refuse_frame
        self.on_close_wanted: Callable[[], None] = do_nothing
        self.capture = Capture(start.stream_sid, start.call_sid, started=clock())
        self.closed: Pending[StreamEnd] = Pending(
            home.loop,
            Subject(f"end of stream {start.stream_sid}", "StreamEnd", _say_open, kind=StreamEnd),
        )
        self.closed.add_done_callback(lambda _: self._end_readers())
        self.handler_error: BaseException | None = None
        self.newest: Playing | None = None
        self.disconnect_reason = ""
        self.remark = self._unsaid = ""
        self.cause: EndCause | None = None
        self.stopped_at: float | None = None
        self._broke_at: float | None = None
        self._too_late: list[tuple[Pending[Any], Outcome]] = []
        self._has_logged_loss = False
        self.reviewer: SoundRemark | None = None
        self._readers_lock = threading.Lock()
        self._early: list[tuple[float, from_twilio.Message]] | None = None
        self._early_until: float | None = None
        self._handler_thread: int | None = None

    @property
    def is_open(self) -> bool:
        """Whether more sound can be played on the stream."""
        has_ended = self.conversation.ended is not None or self.stopped_at is not None
        return not has_ended and not self._is_closing

    @property
    def broke_lately(self) -> bool:
        """Whether the connection was lost within the last `BLAME_SECONDS`.

        When a tunnel fails, its connections are lost first; the failure is detected a little later.
        """
        return self._broke_at is not None and self._clock() - self._broke_at < BLAME_SECONDS

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The server's event loop, or None once it has stopped."""
        return self._home.loop

    @property
    def has_queued(self) -> bool:
        """Whether a playback or a mark has not ended yet."""
        return bool(self._waiting)

    @property
    def queue(self) -> list[Playing]:
        """The playbacks that have not ended yet, in the order of their sound; from any thread."""
        return [each for each in list(self._waiting.values()) if isinstance(each, Playing)]

    def _get_time(self) -> float:
        """Return the time, which for the conversation ends when Twilio stops the stream."""
        now = self._clock()
        return now if self.stopped_at is None else min(now, self.stopped_at)

    # Commands, from any thread.

    def play(self, payload: CheckedPayload, mark: str | None, *, is_clip: bool = False) -> Playing:
        """Queue audio; on a stream that has ended or is closing, it is lost at once.

        That of a clip is not reviewed: it was converted for a call.
        """
        playing = self.newest = Playing(self, len(payload), mark, self._home.loop)
        self._submit(playing, self._begin_play, playing, payload, is_clip)
        return playing

    def speak(self, speech: Playing) -> None:
        """Begin a playback whose sound comes in pieces; it is lost at once as in `play`."""
        self.newest = speech
        self._submit(speech, self._begin_speech, speech)

    def write(self, speech: Playing, payload: CheckedPayload) -> None:
        """Queue the next piece of a speech."""
        self._schedule(self._write, speech, payload)

    def finish(self, speech: Playing, payload: CheckedPayload) -> None:
        """Queue the last piece of a speech, which may be empty, and end it."""
        self._schedule(self._finish, speech, payload)

    def mark(self, name: str) -> Pending[MarkOutcome]:
        """Queue a mark after all audio queued so far."""
        subject = Subject(
            f"mark {name!r}", "MarkOutcome", silence="stream.clear()", kind=MarkOutcome
        )
        wait: Pending[MarkOutcome] = Pending(self._home.loop, subject)
        lost = MarkOutcome("lost", name, 0)
        if self._is_late_elsewhere():
            self._lose(wait, lost)
        elif not self._schedule(self._begin_mark, wait, name, lost):
            fulfil(wait, replace(lost, cause=self._find_cause()))
        return wait

    def clear(self) -> None:
        """Discard all queued audio, here and at Twilio."""
        if not self._home.is_current():  # so that the thread's next write is refused, too
            for speech in list(self._speeches.values()):
                speech._is_over = True  # noqa: SLF001 - its owner
        self._schedule(self._clear)

    def close(self, *, now: bool) -> Pending[StreamEnd]:
        """Refuse further audio; end the stream once the queued audio was heard, or `now`."""
        if not self._schedule(self._begin_close, now):
            end = StreamEnd("server stopped", EndCause("server-stopped"))
            self.cause = self.cause or end.cause
            fulfil(self.closed, end)
        return self.closed

    def read_events(self) -> Reader[from_twilio.Message]:
        """Return a reader of the messages other than media that arrive from now on."""
        reader: Reader[from_twilio.Message] = Reader(lambda message: message, self._home.loop)
        with self._readers_lock:
            for at, message in self._take_early():
                if not isinstance(message, from_twilio.Media):
                    reader._push(message, at)  # noqa: SLF001 - its owner
            self._event_readers = attach(reader, self._event_readers)
        self._end_too_late(reader)
        return reader

    def read_audio(self) -> Reader[NDArray[np.int16]]:
        """Return a reader of the caller's audio from now on."""
        reader: Reader[NDArray[np.int16]] = Reader(decode_ulaw, self._home.loop)
        with self._readers_lock:
            for at, message in self._take_early():
                if isinstance(message, from_twilio.Media):
                    reader._push(message.payload, at)  # noqa: SLF001 - its owner
            self._audio_readers = attach(reader, self._audio_readers)
        self._end_too_late(reader)
        return reader

    # Called by the handler's thread.

    def begin_handler(self) -> None:
        """Note that the handler begins on this thread.

        A thread begins some time after the messages behind *start* have arrived, and has no first
        step after which it lets others work, as a coroutine has.  So what arrives is kept until
        `EARLY_SECONDS` after its beginning, or until it first waits for a playback, and each reader
        that it makes meanwhile begins with that.
        """
        self._handler_thread = threading.get_ident()
        self._early_until = self._clock() + EARLY_SECONDS

    def end_handler(self) -> None:
        """Note that the handler's thread ends; another thread may get its number."""
        with self._readers_lock:
            self._handler_thread, self._early = None, None

    def note_wait(self) -> None:
        """Note that a thread waits for a playback: the handler's later readers begin then."""
        if threading.get_ident() == self._handler_thread:
            with self._readers_lock:
                self._early = None

    # Called by `Playing`.

    def count_heard(self, handle: str) -> int:
        """Return how many bytes of a playback have been heard; callable from any thread."""
        return self.conversation.count_heard(handle, self._get_time())

    def watch(self, playing: Playing, size: int, wait: Pending[float]) -> None:
        """Fulfil `wait` once `size` bytes of `playing` were heard; callable from any thread."""
        self._schedule(self._check_heard, playing, size, wait)

    def note_remark(self, text: str, playing: Playing | None = None) -> None:
        """Say what is nearly certainly wrong with what is played; callable from any thread.

        Args:
            text: A sentence, with the way out.
            playing: The playback whose outcome repeats it; None for the next one that ends.
        """
        logger.warning("stream %s: %s", self.start.stream_sid, text)
        if playing is None:
            self.remark = self._unsaid = text
        else:
            playing.remark = text

    @property
    def send_ahead_bytes(self) -> int:
        """How much sound is sent ahead."""
        return self.conversation.send_ahead_bytes

    # Called by the session and the server, on their loop.

    def describe_event(self, event_name: str, **values: object) -> dict[str, object]:
        """Return the attributes of a log record of the stream, for programs that read the log."""
        start = self.start
        ids = {"stream_sid": start.stream_sid, "call_sid": start.call_sid}
        return {"event_name": event_name, **ids, **values}

    def keep_early(self) -> None:
        """Keep what arrives for the readers of a handler that is about to begin on a thread."""
        self._early = []

    def receive(self, message: from_twilio.Message, now: float) -> None:
        """Process one message that arrived at `now`."""
        self.capture.append(message, now)
        conversation = self.conversation
        if type(message) is from_twilio.Media and self._early is None:
            # Without the lock: tuples are replaced and not changed, and nothing is early any more.
            for find_reader, *_ in self._audio_readers:
                if (reader := find_reader()) is not None:
                    reader._push(message.payload, now)  # noqa: SLF001 - its owner
            if now >= conversation.next_check:
                self._settle(conversation.advance(now))
            return
        with self._readers_lock:
            self._keep_early(message, now)
            if isinstance(message, from_twilio.Media):
                push(message.payload, now, self._audio_readers)
            else:
                push(message, now, self._event_readers)
        if isinstance(message, from_twilio.Stop):
            self.stop(now)
        else:
            self._settle(conversation.receive(message, now))

    def stop(self, now: float) -> None:
        """Note that Twilio stopped the stream at `now`: nothing can be sent or arrive any more.

        What is still open keeps waiting for `end`, until it is known why Twilio stopped.
        """
        if self.stopped_at is None and self.conversation.ended is None:
            self.stopped_at = now
            self._stop_speeches()
            self._end_readers()

    def let_time_pass(self) -> None:
        """End the playbacks and marks whose mark is overdue."""
        self._settle(self.conversation.advance(self._get_time()))

    def end(self, end: StreamEnd) -> None:
        """End everything that is still open.  This method is idempotent."""
        if self.closed.done():
            return
        if end.reason in ("lost", "silent"):
            self._broke_at = self._clock()
            if self.disconnect_reason:
                end = replace(end, cause=_make_tunnel_cause(self.disconnect_reason))
        self.cause = end.cause
        if self.reviewer is not None:
            self.reviewer.stop()
        self._stop_speeches()
        self._settle(self.conversation.end(end.reason, self._get_time(), end.cause))
        too_late, self._too_late = self._too_late, []
        for wait, lost in too_late:
            self._refuse(wait, lost)
        if fulfil(self.closed, end):
            cause = end.cause
            values = self.describe_event(
                "stream.ended",
                reason=end.reason,
                cause=cause.cause,
                close_code=cause.close_code,
                error_code=cause.error_code,
            )
            logger.info("stream %s ended: %s", self.start.stream_sid, end.detail, extra=values)

    def correct(self, cause: EndCause) -> None:
        """Record that it became known later who ended the stream, and why."""
        if self.cause is not None and cause != self.cause:
            self.cause = cause
            values = self.describe_event("stream.cause_known", cause=cause.cause)
            sid = self.start.stream_sid
            logger.info("stream %s ended because %s", sid, cause.in_words, extra=values)

    def lose_address(self, why: str) -> None:
        """Record that the public address is lost, if the stream is open or was lost just now."""
        if not self.closed.done():
            self.disconnect_reason = why
        elif self.broke_lately:
            self.correct(_make_tunnel_cause(why))
            self.disconnect_reason = why  # last, because a display waits for it

    async def wait_heard(self) -> None:
        """Wait until everything queued has ended, at most its length and `CLOSE_MARGIN_SECONDS`."""
        queued = sum(p.total_ms for p in self._waiting.values() if isinstance(p, Playing))
        waits = [asyncio.wrap_future(pending) for pending in self._waiting.values()]
        if waits:
            await asyncio.wait(waits, timeout=queued / 1000 + CLOSE_MARGIN_SECONDS)

    # Commands, carried out on the server's loop.

    def _is_late_elsewhere(self) -> bool:
        """Whether a command comes too late, from a thread that does not wait for the loop.

        It is refused where it was given, with what is known of the cause by then: a cell shows the
        outcome of its last line once, as it stands.
        """
        return not self.is_open and not self._home.is_current()

    def _submit(self, playing: Playing, function: Callable[..., None], *args: Any) -> None:
        is_open = self.is_open
        if not is_open and self._is_late_elsewhere():
            self._lose(playing, _make_lost_outcome(playing))
            return
        # What is refused at once would call a done-callback within the command that adds it, which
        # may repeat the command.
        schedule = self._home.carry_out if is_open else self._home.call
        try:
            schedule(function, *args)
        except ServerStopped:
            fulfil(playing, replace(_make_lost_outcome(playing), cause=self._find_cause()))

    def _schedule(self, function: Callable[..., None], *args: Any) -> bool:
        try:
            self._home.carry_out(function, *args)
        except ServerStopped:
            return False
        return True

    def _begin_play(self, playing: Playing, payload: CheckedPayload, is_clip: bool) -> None:
        if not self.is_open:
            self._refuse(playing, _make_lost_outcome(playing))
            return
        handle = self.conversation.play(payload, self._get_time(), mark=playing.mark)
        playing._handle = handle  # noqa: SLF001 - its owner
        self._waiting[handle] = playing
        if logger.isEnabledFor(logging.DEBUG):
            self._log_queued(playing)
        self.on_outgoing()
        if is_clip:
            return
        if (reviewer := self.reviewer) is None:
            self.review(payload)
        elif reviewer.takes_more:
            reviewer.take(payload)

    def _begin_speech(self, speech: Playing) -> None:
        if not self.is_open:
            self._refuse(speech, _make_lost_outcome(speech))
            return
        handle = self.conversation.speak(self._get_time(), mark=speech.mark)
        speech._handle = handle  # noqa: SLF001 - its owner
        self._waiting[handle] = self._speeches[handle] = speech
        if logger.isEnabledFor(logging.DEBUG):
            self._log_queued(speech)

    def _write(self, speech: Playing, payload: CheckedPayload) -> None:
        if self.stopped_at is None and self.conversation.write(speech._handle, payload):  # noqa: SLF001
            self.on_outgoing()
            self.review(payload)

    def review(self, payload: CheckedPayload) -> None:
        """Let what is played be reviewed, beside the playing."""
        if self.reviewer is None:
            loop = asyncio.get_running_loop()
            # Weakly: else the two would keep each other, and the sound of the call with them, until
            # a full garbage collection, which comes after a hundred calls.
            note = weakref.WeakMethod(self.note_remark)
            self.reviewer = SoundRemark(partial(_note_weakly, note), loop, self.start.stream_sid)
        self.reviewer.take(payload)

    def _finish(self, speech: Playing, payload: CheckedPayload) -> None:
        handle = speech._handle  # noqa: SLF001 - its owner
        if payload:
            self._write(speech, payload)
        self._speeches.pop(handle, None)
        self.conversation.finish(handle)
        self.on_outgoing()

    def _begin_mark(self, wait: Pending[MarkOutcome], name: str, lost: MarkOutcome) -> None:
        if not self.is_open:
            self._refuse(wait, lost)
            return
        self._waiting[self.conversation.mark(name, self._get_time())] = wait
        self.on_outgoing()

    def _refuse(self, wait: Pending[Any], lost: Outcome) -> None:
        if self.stopped_at is not None and not self.closed.done():
            self._too_late.append((wait, lost))  # `end` knows why
            return
        self._lose(wait, lost)

    def _lose(self, wait: Pending[Any], lost: Outcome) -> None:
        lost = replace(lost, cause=self._find_cause())
        # Once: a handler that plays each frame as it comes loses several.
        level = logging.DEBUG if self._has_logged_loss else logging.WARNING
        self._has_logged_loss = True
        logger.log(
            level, "stream %s has ended or is closing; lost: %s", self.start.stream_sid, lost
        )
        fulfil(wait, lost)

    def _find_cause(self) -> EndCause:
        """Return why nothing can be played any more."""
        if self.cause is not None:
            return self.cause
        if self._is_closing:
            return EndCause("server-closed", detail="close() had been called before")
        if self.stopped_at is not None:
            return EndCause("twilio-stopped", detail=STOPPED_IN_WORDS)
        return EndCause("server-stopped")

    def _clear(self) -> None:
        if self.stopped_at is None:
            outcomes = self.conversation.clear(self._get_time())
            self._stop_speeches()
            self.on_outgoing()  # first, because what follows calls done-callbacks
            self._settle(outcomes)

    def _stop_speeches(self) -> None:
        speeches, self._speeches = self._speeches, {}
        for speech in speeches.values():
            speech._is_over = True  # noqa: SLF001 - its owner

    def _begin_close(self, now: bool) -> None:
        # Set here and not in `close`, so that earlier calls of `play` are still accepted.
        self._is_closing = True
        for handle, speech in self._speeches.items():
            self.conversation.write(handle, CheckedPayload(speech._take_rest()))  # noqa: SLF001
            self.conversation.finish(handle)
        self._stop_speeches()
        self.on_outgoing()
        if now and self.stopped_at is None and self.conversation.ended is None:
            self._settle(self.conversation.end("closed", self._get_time(), CLOSED_HERE))
        self.on_close_wanted()

    def _check_heard(self, playing: Playing, size: int, wait: Pending[float]) -> None:
        if wait.done() or playing.done():
            return  # a playback fulfils its waits itself when it ends
        now, handle = self._get_time(), playing._handle  # noqa: SLF001 - its owner
        heard = self.conversation.count_heard(handle, now)
        if heard >= size and handle:
            fulfil(wait, heard / BYTES_PER_SECOND)
            return
        delay = self.conversation.estimate_wait(handle, size, now)
        # The time is unknown until the sound has been sent: check again a frame later.
        pause = 0.02 if delay is None else max(delay, 0.001)
        asyncio.get_running_loop().call_later(pause, self._check_heard, playing, size, wait)

    def _settle(self, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            handle, pending = outcome.handle, self._waiting.pop(outcome.handle)
            self._speeches.pop(handle, None)
            self.capture.note_ending(handle, outcome.ending)
            if isinstance(pending, Playing) and isinstance(outcome, PlayOutcome):
                if self._unsaid and not pending.remark:
                    pending.remark, self._unsaid = self._unsaid, ""
                if pending.remark:
                    outcome = replace(outcome, remark=pending.remark)  # noqa: PLW2901
                if logger.isEnabledFor(logging.DEBUG):
                    self._log_ended(outcome)
            fulfil(pending, outcome)

    def _log_queued(self, playing: Playing) -> None:
        handle = playing._handle  # noqa: SLF001 - its owner
        values = self.describe_event("playback.queued", playback=handle, mark=playing.mark)
        logger.debug("stream %s: %s is queued", self.start.stream_sid, handle, extra=values)

    def _log_ended(self, outcome: PlayOutcome) -> None:
        values = self.describe_event(
            "playback.ended",
            playback=outcome.handle,
            ending=outcome.ending,
            heard_ms=outcome.heard_ms,
            total_ms=outcome.total_ms,
            gaps=outcome.gaps,
            gap_ms=outcome.gap_ms,
        )
        sid = self.start.stream_sid
        logger.debug("stream %s: %s: %s", sid, outcome.handle, outcome, extra=values)

    def _end_readers(self) -> None:
        # `closed` is done by now, so one attached meanwhile is ended here or by `_end_too_late`.
        for find_reader, *_ in (*self._event_readers, *self._audio_readers):
            if (reader := find_reader()) is not None:
                reader._end()  # noqa: SLF001 - its owner

    def _end_too_late(self, reader: Reader[Any]) -> None:
        if self.closed.done() or self.stopped_at is not None:
            reader._end()  # noqa: SLF001 - its owner

    def _keep_early(self, message: from_twilio.Message, now: float) -> None:
        if self._early is None:
            return
        if self._early_until is not None and now > self._early_until:
            self._early = None
        else:
            self._early.append((now, message))

    def _take_early(self) -> list[tuple[float, from_twilio.Message]]:
        """Return what arrived since *start*, for a reader that the handler makes at its start."""
        if self._early is None or threading.get_ident() != self._handler_thread:
            return []
        return list(self._early)


class Playing(Pending[PlayOutcome]):
    """One playback, from `MediaStream.play` until it ends: a `Pending` of a `PlayOutcome`.

    Attributes:
        mark: The name given to `MediaStream.play`, or None.
        remark: What is nearly certainly wrong with the sound or with how it is written; else empty.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> playing = stream.play(kit.Clip.tone(440, 10))
        >>> playing.heard(0.1).result(10) >= 0.1
        True
        >>> stream.clear()
        >>> playing.result(10).ending
        'cleared'
        >>> playing.progress < 1
        True
    """

    def __init__(
        self,
        stream: StreamState,
        size: int,
        mark: str | None,
        home: asyncio.AbstractEventLoop | None,
    ) -> None:
        super().__init__(home)
        self.mark = mark
        self._handle = ""
        self._size = size
        self.remark = ""
        self._is_over = False  # of a speech: no more is taken
        self._stream: StreamState | None = stream  # until it is settled
        self._weak_stream: weakref.ref[StreamState] | None = None
        self._furthest = 0

    @property
    def total_ms(self) -> int:
        """The duration of the whole sound."""
        return to_milliseconds(self._size)

    @property
    def heard_ms(self) -> int:
        """How much has been heard, by the playout model; the value never decreases."""
        stream = self._find_stream()
        if self.done() or stream is None:
            heard = self._furthest if self.exception(0) else self.result(0).heard_ms
        else:
            heard = round(stream.count_heard(self._handle) * 1000 / BYTES_PER_SECOND)
        # A late mark may lower the estimate of the playout model.
        self._furthest = max(self._furthest, heard)
        return self._furthest

    @property
    def progress(self) -> float:
        """The share that has been heard, from 0 to 1."""
        return self.heard_ms / self.total_ms if self.total_ms else float(self.done())

    def heard(self, seconds: float) -> Pending[float]:
        """Wait until `seconds` of the sound have been heard.

        Returns:
            A `Pending` with the seconds heard: `seconds` or a little more; less if the playback
            ended earlier.

        Raises:
            TypeError: If `seconds` is no number.
            ValueError: If it is negative or not finite.
        """
        require_type("a number", seconds=seconds)
        if not (is_finite(seconds) and seconds >= 0):
            raise WrongValue(
                f"heard() takes a duration in seconds, 0 or more, not {quote(seconds)}"
            )
        return self._watch(self._limit(math.ceil(seconds * BYTES_PER_SECOND)))

    def _watch(self, size: int) -> Pending[float]:
        size_ms = to_milliseconds(size)
        subject = Subject(
            f"wait until {size_ms} ms of a playback were heard",
            "number of seconds",
            partial("{0.heard_ms} ms so far".format, self),
            silence="stream.clear()",
            kind=float,
        )
        wait: Pending[float] = Pending(self._home, subject)
        self.add_done_callback(lambda _: self._settle_wait(wait))
        if (stream := self._find_stream()) is not None:
            stream.watch(self, size, wait)
        return wait

    def _take_rest(self) -> bytes:
        """Return what has been written and not been queued, and take no more; of a speech."""
        return b""

    def _get_subject(self) -> Subject:
        # Made when somebody asks: there may be fifty playbacks a second.
        name = f"playback of {self.total_ms} ms" + (f" ({self.mark})" if self.mark else "")
        state = partial("{0.heard_ms} of {0.total_ms} ms heard".format, self)
        return Subject(name, "PlayOutcome", state, silence="stream.clear()", kind=PlayOutcome)

    def _limit(self, size: int) -> int:
        """Return how many of `size` bytes the sound has."""
        return min(self._size, size)

    def _prepare_wait(self, timeout: float | None) -> None:
        if (stream := self._find_stream()) is not None:
            stream.note_wait()
        super()._prepare_wait(timeout)

    def _settle(self, value: PlayOutcome | None, error: BaseException | None) -> bool:
        settled = super()._settle(value, error)
        # The stream keeps its newest playback.  If that kept the stream too, the sound of both
        # would stay in memory until a full garbage collection.
        if settled and self._stream is not None:
            self._weak_stream = weakref.ref(self._stream)
            self._stream = None
        return settled

    def _find_stream(self) -> StreamState | None:
        stream, weak = self._stream, self._weak_stream
        return weak() if stream is None and weak is not None else stream

    def _settle_wait(self, wait: Pending[float]) -> None:
        error = self.exception(0)
        if error is not None:
            fail(wait, error)
        else:
            fulfil(wait, self.result(0).heard_ms / 1000)


def find_handle(playing: Playing) -> str:
    """Return the unique name of a playback on the wire; empty before it is queued."""
    return playing._handle  # noqa: SLF001 - for displays, beside its owner


def _say_open() -> str:
    return "still open"


def do_nothing() -> None:
    """Do nothing: a stream that no session serves."""


def refuse_frame(_handle: str, _payload: CheckedPayload) -> bool:
    """Send nothing: a stream that no session serves."""
    return False


def _make_lost_outcome(playing: Playing) -> PlayOutcome:
    """Return the outcome of a playback that was never queued."""
    return PlayOutcome("lost", 0, playing.total_ms)


def _make_tunnel_cause(why: str) -> EndCause:
    return EndCause("tunnel-lost", ABNORMAL_CLOSURE, detail=why)


def _note_weakly(note: weakref.WeakMethod[Callable[..., None]], text: str) -> None:
    """Note a remark on a stream that is still there."""
    if (found := note()) is not None:
        found(text)
