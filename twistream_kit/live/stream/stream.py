"""One stream of a call, as the code of its user sees it: the handle.

Every command is a plain function that may be called from any thread: it queues something and
returns at once.  The socket belongs to `session.StreamSession`, which runs on the server's loop;
what both work on is a `state.StreamState`.
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
from twistream_kit.protocol.marks import MarkOutcome
from twistream_kit.sound_file import check_payload


class MediaStream:
    """One bidirectional Media Stream: play into the call, mark, clear, and listen.

    Made by `StreamServer`, for each call that connects.  All methods may be called from any
    thread; a widget's callback, a cell and a coroutine are all the same to it.

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
        """Whether something can still be played on it."""
        return self._state.is_open

    @property
    def capture(self) -> Capture:
        """Everything that passed, as a `Capture`."""
        return self._state.capture

    @property
    def closed(self) -> Pending[StreamEnd]:
        """A `Pending` with the `StreamEnd`."""
        return self._state.closed

    @property
    def newest(self) -> Playing | None:
        """The playback asked for last, or None."""
        return self._state.newest

    @property
    def handler_error(self) -> BaseException | None:
        """What the handler raised, or None."""
        return self._state.handler_error

    @property
    def disconnect_reason(self) -> str:
        """What has befallen the way to it, such as the loss of the tunnel, or empty."""
        return self._state.disconnect_reason

    def __repr__(self) -> str:
        if self.closed.done():
            how = self.closed.exception(0) or self.closed.result(0).detail
            return f"<MediaStream {self.stream_sid}: ended, {how}>"
        return f"<MediaStream {self.stream_sid}: open, call {self.call_sid}>"

    def play(self, sound: Clip | bytes, *, mark: str | None = None) -> Playing:
        """Queue audio for the caller and return at once; callable from any thread.

        Args:
            sound: A `Clip`, or bare PCMU bytes: μ-law, 8000 a second, without a header.
            mark: A name under which the end of it shows in the log; made unique on the wire.

        Returns:
            A `Pending` whose `PlayOutcome` says whether it was heard, cleared or lost, and how
            much.  On a stream that has ended or is closing it is lost at once.

        Raises:
            TypeError: If `sound` is neither.
            LocalProtocolError: If the bytes hold a WAV file, or the mark's name is empty.
        """
        payload = check_payload(_payload(sound))
        if mark is not None:
            _check_name(mark)
        return self._state.play(payload, mark)

    def mark(self, name: str) -> Pending[MarkOutcome]:
        """Ask to be told when all audio queued so far was heard or cleared; from any thread.

        Raises:
            LocalProtocolError: If the name is empty.
        """
        _check_name(name)
        return self._state.mark(name)

    def clear(self) -> None:
        """Silence everything queued, here and at Twilio, at once; callable from any thread."""
        self._state.clear()

    def resampler(self, sample_rate: int) -> Resampler:
        """Make a `Resampler` for sound that arrives in pieces; a clear empties it too.

        Args:
            sample_rate: Of the pieces, in Hz.
        """
        return self._state.resampler(sample_rate)

    def close(self, *, now: bool = False) -> Pending[StreamEnd]:
        """Say goodbye: take no more audio, let what is queued be heard, then close with 1000.

        It waits at most the length of what is queued and five seconds more.  Closing the socket
        ends Twilio's ``<Connect>``: the call goes on with the next verb, or ends (PROTOCOL.md
        §1.1).  Callable from any thread.

        Args:
            now: Close at once; what was not heard is lost.

        Returns:
            A `Pending` with the `StreamEnd`; the same as `closed`.
        """
        return self._state.close(now=now)

    def events(self) -> Reader[from_twilio.Message]:
        """Read Twilio's messages from now on, without media: `from_twilio` values, in order."""
        return self._state.read_events()

    def audio(self) -> Reader[NDArray[np.int16]]:
        """Read the caller's voice from now on: int16 arrays, mono, 8000 Hz, 20 ms each."""
        return self._state.read_audio()


def state_of(stream: MediaStream) -> StreamState:
    """Return what is behind a handle; for our own code, not for users."""
    return stream._state  # noqa: SLF001 - the owner's side of the same class


def _payload(sound: Clip | bytes) -> bytes:
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
