"""The Media Streams of one call: one bidirectional at a time, and one-way streams (§1, §8)."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from twistream_kit.diagnosis.twiml import TRACKS
from twistream_kit.protocol.codes import get_code
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.call.context import Callback, CallContext
from twistream_kit.simulator.call.twiml import StreamNoun
from twistream_kit.simulator.call.web import Callbacks, make_stream_params
from twistream_kit.simulator.stream.client import STOPPED, StreamClient
from twistream_kit.simulator.stream.leg import StreamLeg
from twistream_kit.simulator.stream.refusal import StreamFailed

TRACK_LIMIT = 4
"""The largest number of tracks of simultaneous one-way streams in one call (§1.2)."""


@dataclass(slots=True, eq=False)
class CallStream:
    """One stream of a call.

    Attributes:
        sid: MZ and 32 hex digits.
        noun: Its parameters in the TwiML or the REST request.
        bidirectional: Whether it came from <Connect>.
        status: ``in-progress`` or ``stopped``.
        connected: Whether it sends and receives audio.
        task: The task that runs it, for a one-way stream.
        ended: Who ended it, and why; None while it is open, or if it was never opened.
    """

    sid: str
    noun: StreamNoun
    _client: StreamClient | None
    bidirectional: bool
    status: str = "in-progress"
    connected: bool = False
    task: asyncio.Task[bool] | None = None
    ended: EndCause | None = None

    @property
    def client(self) -> StreamClient:
        """Its WebSocket.

        Raises:
            LookupError: If it was released.
        """
        if self._client is None:
            raise LookupError(f"{self!r} ended long ago")
        return self._client

    @property
    def is_released(self) -> bool:
        """Whether its WebSocket was forgotten."""
        return self._client is None

    def release(self) -> None:
        """Forget the WebSocket, and all that it heard, unless it is still open."""
        if self._client is not None and self._client.is_closed:
            self._client = self.task = None

    def __repr__(self) -> str:
        ended = "" if self.ended is None else f", {self.ended.in_words}"
        return f"<CallStream {self.sid}: {self.status}{ended}>"


class CallStreams:
    """All streams of one call, open and ended.  It belongs to one loop.

    Args:
        context: The objects that all calls share.
        call_sid: The SID of the call.
        callbacks: Sends the status callbacks of streams.

    Attributes:
        all: The streams, oldest first.
        stopped_by: Who stops the streams that are cancelled next, and why.
    """

    def __init__(self, context: CallContext, call_sid: str, callbacks: Callbacks) -> None:
        self._context = context
        self._call_sid = call_sid
        self._callbacks = callbacks
        self._tasks: set[asyncio.Task[Any]] = set()
        self._conversation: CallStream | None = None
        self._one_way: list[CallStream] = []
        self.all: list[CallStream] = []
        self.stopped_by = STOPPED

    def tick(self, now: float, inbound: bytes, speak: Callable[[], bytes]) -> bytes:
        """Serve all streams for 20 ms.

        Args:
            now: The monotonic time, in seconds.
            inbound: The frame that the caller says.
            speak: Returns the frame of the running verb, if no bidirectional stream plays.

        Returns:
            The frame that the caller hears.
        """
        stream = self._conversation
        outbound = speak() if stream is None else stream.client.tick(now, inbound)
        for listener in tuple(self._one_way):
            listener.client.tick(now, inbound, outbound)
        return outbound

    def press(self, digit: str) -> None:
        """Send a key that the caller pressed; only a bidirectional stream gets it (§1.1)."""
        if self._conversation is not None:
            self._conversation.client.press(digit)

    async def connect(self, noun: StreamNoun) -> bool:
        """Open a bidirectional stream and wait until it ends; return whether it succeeded.

        Cancelling it stops the stream, as when the call ends or gets new TwiML.
        """
        if noun.track != "inbound_track":
            self._refuse(noun, f"<Connect> streams inbound_track only, not {noun.track!r}")
            return False
        return await self._run(self._make(noun, bidirectional=True))

    def start(self, noun: StreamNoun) -> CallStream | None:
        """Start a one-way stream without waiting; return None if its tracks are not allowed."""
        if noun.track not in TRACKS:
            self._refuse(noun, f"<Stream> has no track {noun.track!r}")
            return None
        running = [stream for stream in self.all if stream.status == "in-progress"]
        tracks = sum(len(TRACKS[each.noun.track]) for each in running if not each.bidirectional)
        if tracks + len(TRACKS[noun.track]) > TRACK_LIMIT:
            self._refuse(noun, f"a call streams at most {TRACK_LIMIT} tracks at the same time")
            return None
        stream = self._make(noun, bidirectional=False)
        stream.task = asyncio.create_task(self._run(stream))
        self._keep(stream.task)
        return stream

    def pass_rest_on(self, frames: Sequence[bytes]) -> None:
        """Let each open stream send what the telephone said last, before it is stopped."""
        for stream in self.all:
            if stream.connected:
                stream.client.rest = frames

    def find(self, name: str) -> CallStream | None:
        """Return the one-way stream with that name or SID, the newest if there are several.

        Streams of <Connect> are never found: neither <Stop> nor REST can stop them (§1.1).
        """
        for stream in reversed(self.all):
            if not stream.bidirectional and name in (stream.sid, stream.noun.name):
                return stream
        return None

    def stop(self, stream: CallStream, ended: EndCause) -> None:
        """Begin to stop a one-way stream; `ended` says who stops it, and why."""
        stream.status = "stopped"
        if stream.connected:
            self._detach(stream)
            stream.ended = ended
            self._keep(asyncio.create_task(stream.client.stop(ended)))
        elif stream.task is not None:
            # It is still connecting: cancel that.
            stream.task.cancel()

    async def close(self) -> None:
        """Stop all open streams, and wait for them."""
        for stream in self.all:
            if stream.status == "in-progress":
                self.stop(stream, self.stopped_by)
        while self._tasks:
            await asyncio.wait(self._tasks)

    def count_cleared(self) -> float:
        """Return how many seconds of audible sound clears have discarded."""
        return sum(s.client.leg.playout.cleared_seconds for s in self.all if not s.is_released)

    def drop_unheard(self) -> None:
        """Forget the sound that nobody will hear, which may be ten minutes for each stream."""
        for stream in self.all:
            stream.client.leg.playout.drop()

    def drop(self) -> None:
        """Drop the connections that are still open although their streams have ended."""
        for stream in self.all:
            if not stream.is_released:
                stream.client.drop()

    def release(self) -> None:
        """Forget the connections of streams that ended long ago, except those left open.

        Nothing more is reported: the call has ended, and its callbacks were delivered or dropped.
        """
        for stream in self.all:
            stream.release()
        del self._callbacks, self._tasks

    def _make(self, noun: StreamNoun, *, bidirectional: bool) -> CallStream:
        context = self._context
        sid = context.sids.make("MZ")
        leg = StreamLeg(
            stream_sid=sid,
            call_sid=self._call_sid,
            account_sid=context.account_sid,
            tracks=TRACKS[noun.track],
            parameters=dict(noun.parameters),
            bidirectional=bidirectional,
            behaviour=context.behaviour,
        )
        client = StreamClient(
            leg,
            url=noun.url,
            auth_token=context.auth_token,
            debugger=context.debugger,
            behaviour=context.behaviour,
        )
        stream = CallStream(sid, noun, client, bidirectional)
        self.all.append(stream)
        return stream

    async def _run(self, stream: CallStream) -> bool:
        try:
            await stream.client.connect()
        except StreamFailed as failure:
            stream.status = "stopped"
            self._tell(stream, "stream-error", failure.code)
            return False
        self._attach(stream)
        self._tell(stream, "stream-started")
        try:
            ending = await stream.client.wait_over()
        except asyncio.CancelledError:
            stream.ended = self.stopped_by
            self._keep(asyncio.create_task(self._stop_and_tell(stream, stream.ended)))
            raise
        finally:
            self._detach(stream)
            stream.status = "stopped"
        stream.ended = ending.ended
        if ending.failed:
            self._tell(stream, "stream-error", ending.error_code)
        else:
            self._tell(stream, "stream-stopped")
        return not ending.failed

    async def _stop_and_tell(self, stream: CallStream, ended: EndCause) -> None:
        await stream.client.stop(ended)
        self._tell(stream, "stream-stopped")

    def _attach(self, stream: CallStream) -> None:
        stream.connected = True
        if stream.bidirectional:
            self._conversation = stream
        else:
            self._one_way.append(stream)

    def _detach(self, stream: CallStream) -> None:
        stream.connected = False
        if self._conversation is stream:
            self._conversation = None
        if stream in self._one_way:
            self._one_way.remove(stream)

    def _refuse(self, noun: StreamNoun, why: str) -> None:
        sid = self._context.sids.make("MZ")
        self._context.debugger.log(31941, why, stream_sid=sid, call_sid=self._call_sid)
        self._report(sid, noun, "stream-error", 31941)

    def _tell(self, stream: CallStream, event: str, error_code: int | None = None) -> None:
        self._report(stream.sid, stream.noun, event, error_code)

    def _report(self, sid: str, noun: StreamNoun, event: str, error_code: int | None) -> None:
        params = make_stream_params(
            account_sid=self._context.account_sid,
            call_sid=self._call_sid,
            stream_sid=sid,
            name=noun.name,
            event=event,
            error=get_code(error_code).name if error_code else "",
        )
        self._callbacks.send(Callback(noun.status_callback, noun.status_callback_method), params)

    def _keep(self, task: asyncio.Task[Any]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
