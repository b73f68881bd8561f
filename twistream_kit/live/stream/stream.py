"""`MediaStream`, the user's handle of one stream.

Every command is a plain function that may be called from any thread; it schedules its work and
returns at once.  `session.StreamSession` owns the socket and runs on the server's loop.  Both share
a `state.StreamState`.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.resample import Resampler
from twistream_kit.capture.capture import Capture
from twistream_kit.errors import LocalProtocolError
from twistream_kit.live.stream._reader import Reader
from twistream_kit.live.stream.state import Playing, StreamEnd, StreamState
from twistream_kit.pending import Pending
from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.marks import MarkOutcome
from twistream_kit.sound_file import check_payload


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

    def play(self, sound: Clip | bytes, *, mark: str | None = None) -> Playing:
        """Queue audio for the caller and return at once; callable from any thread.

        Args:
            sound: A `Clip`, or bare PCMU bytes: μ-law, 8000 a second, without a header.
            mark: A name for the end of the playback, shown in the log; made unique on the wire.

        Returns:
            A `Pending` whose `PlayOutcome` says whether the sound was heard, cleared or lost, and
            how much was heard.  On a stream that has ended or is closing, it is lost at once.

        Raises:
            TypeError: If `sound` is neither a `Clip` nor bytes.
            LocalProtocolError: If the bytes hold a WAV file, or the mark's name is empty.
        """
        payload = check_payload(_get_payload(sound))
        if mark is not None:
            _check_name(mark)
        return self._state.play(payload, mark)

    def mark(self, name: str) -> Pending[MarkOutcome]:
        """Send a mark after all audio queued so far; callable from any thread.

        Returns:
            A `Pending` with the `MarkOutcome`, done when that audio was heard or cleared.

        Raises:
            LocalProtocolError: If the name is empty.
        """
        _check_name(name)
        return self._state.mark(name)

    def clear(self) -> None:
        """Discard all queued audio, here and at Twilio, at once; callable from any thread."""
        self._state.clear()

    def resampler(self, sample_rate: int) -> Resampler:
        """Make a `Resampler` for sound that arrives in pieces; a clear empties it too.

        Args:
            sample_rate: The sample rate of the pieces, in Hz.
        """
        return self._state.make_resampler(sample_rate)

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

        At the begin of the handler it misses nothing; see `events`.
        """
        return self._state.read_audio()


def describe_end(stream: MediaStream) -> str:
    """Return who ended a stream that has ended, and why, as far as it is known now."""
    cause = stream.cause
    return str(stream.closed.exception(0)) if cause is None else cause.in_words


def get_state(stream: MediaStream) -> StreamState:
    """Return the state of a handle; for this package only."""
    return stream._state  # noqa: SLF001 - the handle and its state are one unit


def _get_payload(sound: Clip | bytes) -> bytes:
    if isinstance(sound, Clip):
        return sound.payload
    if isinstance(sound, bytes | bytearray | memoryview):
        return bytes(sound)
    raise TypeError(
        f"play() takes a Clip or bare PCMU bytes, not {type(sound).__name__}; "
        "kit.load_clip(path) makes a Clip of a file, kit.Clip.from_samples(…) one of an array"
    )


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not name:
        raise LocalProtocolError(
            f"is {name!r}",
            field="mark.name",
            consequence="Twilio would log warning 31951 and never return it",
            fix="Give the mark a short name of ASCII letters",
        )
