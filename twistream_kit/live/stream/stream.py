"""The user's handles of one stream: `MediaStream`, and `Speech` for sound that comes in pieces.

Every command is a plain function that may be called from any thread; it returns at once.
`session.StreamSession` owns the socket and runs on the server's loop.  Both share a
`state.StreamState`.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.encoder import Encoding, PayloadEncoder, Piece, encode_sound
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.resample import SAMPLE_RATE
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.payload import BeginningCheck, refuse_no_sound
from twistream_kit.errors import LocalProtocolError, WrongValue
from twistream_kit.live.stream._reader import Reader
from twistream_kit.live.stream.remark import SLOW_FROM_SAMPLES, find_slow_sound
from twistream_kit.live.stream.state import Playing, StreamState
from twistream_kit.pending import Pending, Subject, fulfil
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.ending import EndCause, StreamEnd
from twistream_kit.protocol.marks import MarkOutcome
from twistream_kit.protocol.playout import BYTES_PER_SECOND
from twistream_kit.sound_file import CheckedPayload, check_payload

REMARKABLE_SECONDS = 60.0
"""A speech of which more is queued does not wait for its source's playout."""

_REMARKABLE_BYTES = REMARKABLE_SECONDS * BYTES_PER_SECOND

_INT16 = np.dtype(np.int16)
"""Compared faster than the class of its samples."""


class MediaStream:
    """One bidirectional Media Stream: play sound into the call, mark, clear, and receive sound.

    `StreamServer` makes one for each call that connects.  All methods may be called from any
    thread: from a cell, the callback of a widget, or a coroutine.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> report = kit.simulate_call(server.url)
        >>> stream = server.next_stream().result(10)
        >>> stream.play(kit.Clip.tone(440, 0.1)).result(10).ending
        'heard'
        >>> stream.mark("after it").result(10).ending
        'heard'
        >>> stream.close().result(10).reason
        'closed'
    """

    def __init__(self, state: StreamState) -> None:
        self._state = state

    @property
    def start(self) -> from_twilio.Start:
        """Twilio's start message, with all its fields."""
        return self._state.start

    @property
    def stream_sid(self) -> str:
        """MZ and 32 hex digits."""
        return self._state.start.stream_sid

    @property
    def call_sid(self) -> str:
        """CA and 32 hex digits."""
        return self._state.start.call_sid

    @property
    def account_sid(self) -> str:
        """AC and 32 hex digits."""
        return self._state.start.account_sid

    @property
    def parameters(self) -> Mapping[str, str]:
        """The ``<Parameter>`` names and values of the TwiML."""
        return self._state.start.custom_parameters

    @property
    def is_open(self) -> bool:
        """Whether more sound can be played on the stream."""
        return self._state.is_open

    @property
    def capture(self) -> Capture:
        """All messages of the stream so far, as a `Capture`."""
        return self._state.capture

    @property
    def closed(self) -> Pending[StreamEnd]:
        """A `Pending` with the `StreamEnd`, done when the stream has ended."""
        return self._state.closed

    @property
    def cause(self) -> EndCause | None:
        """Who ended the stream, and why, as far as it is known now; None while it is open.

        It may become known, or be corrected, after the stream has ended: when Twilio reports the
        end of the call, or when a tunnel turns out to be lost.
        """
        return self._state.cause

    @property
    def newest(self) -> Playing | None:
        """The most recent playback, or None."""
        return self._state.newest

    @property
    def handler_error(self) -> BaseException | None:
        """What the handler raised, or None."""
        return self._state.handler_error

    @property
    def disconnect_reason(self) -> str:
        """Why the public address was lost, such as the failure of the tunnel; else empty."""
        return self._state.disconnect_reason

    def __repr__(self) -> str:
        if self.closed.done():
            return f"<MediaStream {self.stream_sid}: ended, {describe_end(self)}>"
        return f"<MediaStream {self.stream_sid}: open, call {self.call_sid}>"

    def play(
        self,
        sound: Clip | Piece,
        *,
        sample_rate: int = SAMPLE_RATE,
        encoding: Encoding | None = None,
        mark: str | None = None,
    ) -> Playing:
        """Queue audio for the caller and return at once; callable from any thread.

        Args:
            sound: A `Clip`; an array, int16 or float in [-1, 1], mono, shape ``(n,)``; or bytes.
            sample_rate: The sample rate of an array or of bytes, 4000 to 192,000 Hz.
            encoding: That of bytes: ``PCMU`` (μ-law), the default at 8000 Hz, or ``PCM_S16LE``, the
                default at any other rate.
            mark: A name for the end of the playback, shown in the log; made unique on the wire.

        Returns:
            A `Pending` whose `PlayOutcome` says whether the sound was heard, cleared or lost, and
            how much was heard.  On a stream that has ended or is closing, it is lost at once, for
            the cause that is known by then; `cause` has what becomes known later.

        Raises:
            TypeError: If `sound` is none of these.
            ValueError: If the samples or the bytes cannot be sound.
            LocalProtocolError: If the bytes are a file or text, or the mark's name is empty.

        Example:
            >>> import twistream_kit as kit
            >>> async def echo(stream):
            ...     async for samples in stream.audio():
            ...         stream.play(samples)
            >>> server = kit.start(kit.StreamServer(echo))
            >>> question = kit.Clip.tone(440, 0.2)
            >>> report = kit.simulate_call(server.url, say=question, seconds=1).result(20)
            >>> report.sound_seconds >= 0.2
            True
        """
        if mark is not None:
            _check_name(mark)
        if isinstance(sound, Clip):
            return self._state.play(check_payload(sound.payload), mark, is_clip=True)
        if (  # as in `Speech.write`
            type(sound) is np.ndarray
            and sound.dtype == _INT16
            and sound.ndim == 1
            and sample_rate == SAMPLE_RATE
            and encoding is None
        ):
            payload = encode_ulaw(sound)
        else:
            if isinstance(sound, bytes | bytearray | memoryview):
                refuse_no_sound(bytes(sound))
            payload = encode_sound(sound, sample_rate, encoding)
        playing = self._state.play(CheckedPayload(payload), mark)
        if (
            len(payload) >= SLOW_FROM_SAMPLES
            and sample_rate == SAMPLE_RATE
            and isinstance(sound, np.ndarray)
            and (remark := find_slow_sound(payload))
        ):
            self._state.note_remark(remark, playing)
        return playing

    def speak(
        self,
        *,
        sample_rate: int = SAMPLE_RATE,
        encoding: Encoding | None = None,
        mark: str | None = None,
    ) -> Speech:
        """Begin a playback whose sound comes in pieces; callable from any thread.

        On a stream that has ended or is closing, it is lost at once, as in `play`.

        Args:
            sample_rate: The sample rate of the pieces, 4000 to 192,000 Hz.
            encoding: That of pieces that are bytes: ``PCMU`` (μ-law), the default at 8000 Hz, or
                ``PCM_S16LE``, the default at any other rate.
            mark: A name for the end of the playback, shown in the log; made unique on the wire.

        Raises:
            TypeError: If `sample_rate` is no whole number.
            ValueError: If it is out of range, or the encoding unknown.
            LocalProtocolError: If the mark's name is empty.
        """
        encoder = PayloadEncoder(sample_rate, encoding)
        if mark is not None:
            _check_name(mark)
        return Speech(self._state, encoder, mark)

    def mark(self, name: str) -> Pending[MarkOutcome]:
        """Send a mark after all audio queued so far; callable from any thread.

        Returns:
            A `Pending` with the `MarkOutcome`, done when that audio was heard or cleared.  On a
            stream that has ended or is closing, it is lost at once, as in `play`.

        Raises:
            LocalProtocolError: If the name is empty.
        """
        _check_name(name)
        return self._state.mark(name)

    def clear(self) -> None:
        """Discard all queued audio, here and at Twilio, at once; callable from any thread.

        On a stream that has ended, nothing is queued and nothing happens.
        """
        self._state.clear()

    def close(self, *, now: bool = False) -> Pending[StreamEnd]:
        """Close the stream: refuse further audio, play the queued audio, close with code 1000.

        The stream closes at the latest five seconds after the duration of the queued audio.
        Closing the socket ends Twilio's ``<Connect>``: the call goes on with the next verb, or ends
        (PROTOCOL.md §1.1).  Callable from any thread.

        Args:
            now: Close at once; audio that was not heard is lost.

        Returns:
            A `Pending` with the `StreamEnd`; the same as `closed`.
        """
        return self._state.close(now=now)

    def events(self) -> Reader[from_twilio.Message]:
        """Return a reader of Twilio's messages other than media from now on, in order.

        One that the handler makes before its first ``await`` begins with all that came after
        *start*; so does one of a handler that is an ordinary function, within its first second and
        before it waits for a playback.
        """
        return self._state.read_events()

    def audio(self) -> Reader[NDArray[np.int16]]:
        """Return a reader of the caller's audio from now on: int16, mono, 8000 Hz, 20 ms each.

        At the beginning of the handler it misses nothing; see `events`.
        """
        return self._state.read_audio()


class Speech(Playing):
    """One playback whose sound comes in pieces, from `MediaStream.speak` until it ends.

    A text-to-speech service, a model or the caller's own voice is a source and not a clip.  The
    resampler keeps its state between pieces, and a piece may end in the middle of a sample or of a
    frame.  Sound of 8000 Hz is sent as it comes; the resampler holds back 0.03 to 0.2 s of another
    rate, and `end` brings them; a source that is slower than real time leaves gaps, which the
    `PlayOutcome` counts.

    It is a context manager: leaving it says `end`; an exception inside clears the stream.

    Example:
        >>> import twistream_kit as kit
        >>> import numpy as np
        >>> def source():
        ...     for start in range(0, 24000, 4800):
        ...         yield np.sin(np.arange(start, start + 4800) * 2 * np.pi * 440 / 24000) / 2
        >>> outcomes = []
        >>> async def bot(stream):
        ...     speech = stream.speak(sample_rate=24000)
        ...     for piece in source():
        ...         if not speech.write(piece):
        ...             break
        ...     speech.end()
        ...     outcomes.append(await speech)
        ...     stream.close()
        >>> server = kit.start(kit.StreamServer(bot))
        >>> report = kit.simulate_call(server.url).result(20)
        >>> [(outcome.ending, outcome.total_ms) for outcome in outcomes]
        [('heard', 1000)]
    """

    def __init__(self, state: StreamState, encoder: PayloadEncoder, mark: str | None) -> None:
        super().__init__(state, 0, mark, state.loop)
        self._encoder = encoder
        self._beginning = BeginningCheck()
        # Reentrant: a write carries out what threads have queued, and thereby calls done-callbacks.
        self._writing = threading.RLock()
        self._has_ended = False
        self._is_over = not state.is_open
        state.speak(self)

    def write(self, piece: Piece) -> bool:
        """Queue the next piece; callable from any thread, it never waits.

        Args:
            piece: An array, int16 or float in [-1, 1], mono, shape ``(n,)``; or bytes.

        Returns:
            Whether it was taken: False once a clear has discarded the speech, or the stream has
            ended or is closing.

        Raises:
            TypeError: If `piece` is neither an array nor bytes.
            ValueError: If the samples cannot be sound, or after `end`.
            LocalProtocolError: If the first bytes are those of a file or of text.
        """
        with self._writing:
            if self._has_ended:
                raise WrongValue(
                    "write() was called after end(); each utterance is a speech of its own: "
                    "stream.speak()"
                )
            stream = self._stream
            if self._is_over or stream is None:
                return False
            # A frame of the caller's voice goes back fifty times a second, on a server that is
            # mostly idle: there each call of a function takes microseconds.
            if (
                type(piece) is np.ndarray
                and piece.dtype == _INT16
                and piece.ndim == 1
                and self._encoder.is_direct
            ):
                payload = encode_ulaw(piece)
            elif self.done():
                return False
            else:
                if isinstance(piece, bytes | bytearray | memoryview):
                    self._beginning.take(piece)
                payload = self._encoder.encode(piece)
            if payload:
                self._size += len(payload)
                # Encoded here, or its beginning was checked.
                if not stream.on_frame(self._handle, payload):  # type: ignore[arg-type]
                    if self.done():
                        return False
                    stream.write(self, payload)  # type: ignore[arg-type]
                if self._size > _REMARKABLE_BYTES and not self.remark:
                    self._check_queued(stream)
        return not self._is_over

    def end(self) -> None:
        """End the sound: what remains in the resampler is played; callable from any thread.

        It may be called repeatedly.
        """
        with self._writing:
            if self._has_ended:
                return
            self._has_ended = True
            if self._is_over or (stream := self._find_stream()) is None:
                return
            rest = self._encoder.flush()
            self._size += len(rest)
            stream.finish(self, CheckedPayload(rest))

    def _take_rest(self) -> bytes:
        with self._writing:
            self._is_over = True
            rest = b"" if self._has_ended else self._encoder.flush()
            self._size += len(rest)
            return rest

    def drained(self) -> Pending[bool]:
        """Wait until less sound is queued than is sent ahead (`StreamServer`).

        A source that is faster than real time keeps memory bounded if it waits for this between
        pieces; otherwise all that it writes is kept, 8 kB a second.

        Returns:
            A `Pending`: True if more can be written; False once a clear has discarded the speech,
            or it has ended.
        """
        subject = Subject(
            "wait until a speech may be written to", "bool", silence="stream.clear()", kind=bool
        )
        wait: Pending[bool] = Pending(self._home, subject)
        stream = self._find_stream()
        if self.done() or self._is_over or stream is None:
            fulfil(wait, False)
        elif self._size < stream.send_ahead_bytes:
            fulfil(wait, True)
        else:
            size = self._size - stream.send_ahead_bytes + 1
            heard = self._watch(size)
            heard.add_done_callback(lambda _: fulfil(wait, not (self._is_over or self.done())))
        return wait

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is not None and not self.done() and (stream := self._find_stream()) is not None:
            stream.clear()
        self.end()

    def _check_queued(self, stream: StreamState) -> None:
        # Not what the conversation has queued: another thread may write faster than the loop takes.
        if self.total_ms - self.heard_ms > REMARKABLE_SECONDS * 1000:
            stream.note_remark(
                f"more than {REMARKABLE_SECONDS:.0f} s of sound are queued, which take 8 kB of "
                "memory a second; say `await speech.drained()` between pieces",
                self,
            )

    def _limit(self, size: int) -> int:
        return super()._limit(size) if self._has_ended else size


def describe_end(stream: MediaStream) -> str:
    """Return who ended a stream that has ended, and why, as far as it is known now."""
    cause = stream.cause
    return str(stream.closed.exception(0)) if cause is None else cause.in_words


def get_state(stream: MediaStream) -> StreamState:
    """Return the state of a handle; for this package only."""
    return stream._state  # noqa: SLF001 - the handle and its state are one unit


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise LocalProtocolError(
            f"is {name!r}",
            field="mark.name",
            consequence="Twilio would log warning 31951 and never return it",
            fix="Give the mark a short name of ASCII letters",
        )
