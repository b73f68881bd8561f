"""A call as one stereo recording: left channel the caller, right what the caller heard.

The sound stays PCMU, in the pieces in which it was sent, and silence is not stored; samples are
made of the part that is read.  A call of hours is therefore saved, measured and played without its
samples being in memory at once.
"""

from __future__ import annotations

import os
import threading
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Literal, NamedTuple

import numpy as np

from twistream_kit.audio.callbacks import call_apart
from twistream_kit.audio.clip import require_place, write_file
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.capture.replay import SILENCE, PlacedSound, Replay, SentSound
from twistream_kit.errors import TwistreamError, WrongValue, require_finite, require_type
from twistream_kit.protocol.playout import BYTES_PER_SECOND

if TYPE_CHECKING:
    from numpy.typing import NDArray

SAMPLE_RATE = BYTES_PER_SECOND
"""In Hz: a byte of PCMU is a sample."""

Side = Literal["caller", "heard"]

_BLOCK = 60 * SAMPLE_RATE
"""The number of samples that are made at a time when all of a call is read: a minute."""

_FILE_LEVEL = 0.95
"""libsndfile's compression of an Opus file: about 280 kB a minute, hard to tell from the call."""

_SMALL_LEVELS = {1: 1.0, 2: 0.98}
"""The same for a small file, by the number of channels: 49 kB a minute with one, 180 kB with two.

At 1.0 two channels have 95 kB a minute, of which libopus makes one sum of both sides in either
channel.  At 0.98 the side that is silent is 21 dB below the other (libsndfile 1.2.2, measured).
"""


class SoundFormat(NamedTuple):
    """A format of sound files, in the words of libsndfile."""

    container: str
    subtype: str


_OPUS = SoundFormat("OGG", "OPUS")

FORMATS: Mapping[str, SoundFormat] = {
    ".wav": SoundFormat("WAV", "PCM_16"),
    ".flac": SoundFormat("FLAC", "PCM_16"),
    ".mp3": SoundFormat("MP3", "MPEG_LAYER_III"),
    ".ogg": _OPUS,
    ".opus": _OPUS,
}
"""The format of a recording's file, by the end of its name."""


class CallEvent(NamedTuple):
    """A moment of a call that its picture shows.

    Attributes:
        at: In seconds from the start of the capture.
        kind: How a mark ended that came back, or a clear, or a key.
        name: The name of the mark, or the key; empty for a clear.
    """

    at: float
    kind: Literal["heard", "cleared", "clear", "key"]
    name: str


def list_events(replay: Replay) -> list[CallEvent]:
    """Return what happened in a call, in order of time."""
    found = [CallEvent(at, "clear", "") for at in replay.clears]
    for mark in replay.marks:
        if mark.name and mark.returned_at is not None:
            ending: Literal["heard", "cleared"] = (
                "cleared" if replay.get_ending(mark) == "cleared" else "heard"
            )
            found.append(CallEvent(mark.returned_at, ending, mark.name))
    found += [CallEvent(at, "key", digit) for at, digit in replay.keys]
    return sorted(found, key=lambda event: event.at)


class Recording:
    """A call from its start to its last message, in two channels: left the caller, right you.

    *You* is what the caller heard of your sound by the playout model: sound that a clear removed is
    absent, and silence stands where nothing was played.  Both sides count their time from the start
    of the capture, as everything in it does.  It is the call as it was when this was made, and does
    not grow with it; ``capture.recording`` makes one.

    Attributes:
        n_samples: How many samples each side has, 8000 a second.
        events: When a mark came back, a clear was sent or a key pressed, in order of time.

    Args:
        caller: The sound of the caller.
        heard: What the caller heard of yours.
        seconds: The length of the call.
        events: The marks that came back, the clears and the keys.

    Example:
        >>> import twistream_kit as kit
        >>> capture = kit.Capture("MZ" + "0" * 32)
        >>> capture.append(kit.from_twilio.Start(capture.stream_sid), at=0.0)
        >>> tone = kit.Clip.tone(440, 2.0)
        >>> capture.append(kit.to_twilio.Media(capture.stream_sid, tone.payload), at=0.5)
        >>> capture.append(kit.to_twilio.Clear(capture.stream_sid), at=1.5)
        >>> capture.recording
        Recording(1.50 s, left: the caller, silent; right: what the caller heard)
        >>> samples = capture.recording.samples()
        >>> samples.dtype, samples.shape
        (dtype('int16'), (12000, 2))
        >>> capture.recording.save("call.wav")
        PosixPath('call.wav')
    """

    sample_rate = SAMPLE_RATE
    """In Hz."""

    def __init__(
        self,
        caller: SentSound,
        heard: HeardSound,
        seconds: float,
        events: Sequence[CallEvent] = (),
    ) -> None:
        self.events = tuple(events)
        self._sides: dict[Side, SentSound | HeardSound] = {"caller": caller, "heard": heard}
        self.n_samples = max(caller.size, heard.size, round(seconds * SAMPLE_RATE))

    @property
    def seconds(self) -> float:
        """The duration."""
        return self.n_samples / SAMPLE_RATE

    @property
    def audible(self) -> tuple[Side, ...]:
        """The sides that are not silent from the beginning to the end."""
        return tuple(side for side, sound in self._sides.items() if sound.is_audible)

    def samples(self, begin: float = 0.0, end: float | None = None) -> NDArray[np.int16]:
        """Return linear samples of both sides.

        Args:
            begin: The time of the first, in seconds from the start of the capture.
            end: The time after the last; None for the end of the recording.  Beyond it there is
                nothing.

        Returns:
            int16, shape ``(n, 2)``, 8000 a second, full scale ±32,124: column 0 is the caller,
            column 1 what the caller heard.  An hour takes 115 MB.

        Raises:
            TypeError: If one of them is no number.
            ValueError: If `begin` is negative or after `end`, or one of them is not finite.
        """
        require_finite(begin=begin)
        if end is not None:
            require_finite(end=end)
        if begin < 0 or (end is not None and end < begin):
            raise WrongValue(
                f"begin={begin:g}, end={'None' if end is None else f'{end:g}'}: they are seconds "
                f"from the start, between 0 and {self.seconds:.2f}, the earlier one first"
            )
        last = self.n_samples if end is None else round(end * SAMPLE_RATE)
        return self._decode(round(begin * SAMPLE_RATE), last)

    def read_pcmu(self, side: Side, first: int, last: int) -> bytes:
        """Return the PCMU of one side.

        Args:
            side: ``caller`` or ``heard``.
            first: The number of the first sample.
            last: The number after the last one; beyond the end there is nothing.
        """
        return bytes(self._sides[side].read(first, max(first, min(last, self.n_samples))))

    def measure_peaks(self, columns: int) -> NDArray[np.int16]:
        """Return the lowest and the highest sample of each piece of a picture.

        Args:
            columns: How many pieces the whole is divided into, at most.

        Returns:
            int16, shape ``(pieces, 2, 2)``: of each piece, for each side, minimum and maximum.
        """
        width = max(1, -(-self.n_samples // columns))
        at_once = max(1, _BLOCK // width) * width
        found = [np.zeros((0, 2, 2), np.int16)]
        for first in range(0, self.n_samples, at_once):
            block = self._decode(first, first + at_once)
            block = np.pad(block, ((0, -len(block) % width), (0, 0))).reshape(-1, width, 2)
            found.append(np.stack([block.min(axis=1), block.max(axis=1)], axis=2))
        return np.concatenate(found)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it to a sound file of two channels at 8000 Hz, and return the path.

        It needs a few megabytes of memory whatever the length.  A new file can be read by its owner
        alone, because **it contains the voices**.

        Args:
            path: The name of the file, whose end says the format: ``.wav`` (16-bit PCM, 1.9 MB a
                minute), ``.flac``, ``.mp3``, or ``.opus`` or ``.ogg`` (Opus, 280 kB a minute).
            overwrite: Replace an existing file of that name when the new one is complete.

        Raises:
            WavError: If `path` is a folder, or in a folder that does not exist.
            TwistreamError: If there is such a file already, it cannot be written, its name ends
                otherwise, or the call has no sound and the format is another than WAV.
        """
        require_type("a path", path=path)
        path = Path(path)
        require_place(path)
        kind = FORMATS.get(path.suffix.lower())
        if kind is None:
            raise TwistreamError(
                f"a recording cannot be saved as {path.name}",
                consequence="Nothing was written",
                fix=f"Give the file a name that ends in {', '.join(FORMATS)}",
            )
        if not self.n_samples and kind is not FORMATS[".wav"]:
            raise TwistreamError(
                f"the call has no sound, it ended as it began, and {path.name} cannot be empty",
                consequence="Nothing was written, since such a file could not be read",
                fix="Leave it out, as recording.n_samples is 0, or save it as .wav",
            )
        with write_file(path, overwrite=overwrite, private=True) as file:
            self._write(file, kind, [(0, self.n_samples)], (0, 1), _FILE_LEVEL)
        return path

    def save_wav(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write it as `save` does, as 16-bit WAV whatever the name of the file."""
        require_type("a path", path=path)
        path = Path(path)
        with write_file(path, overwrite=overwrite, private=True) as file:
            self._write(file, FORMATS[".wav"], [(0, self.n_samples)], (0, 1), _FILE_LEVEL)
        return path

    def write_small(self, file: BinaryIO, parts: Sequence[tuple[float, float]]) -> int:
        """Write parts of it one after the other as an Opus file that is as small as it can be.

        Args:
            file: Where to; it must be able to seek.
            parts: The begin and the end of each part, in seconds.

        Returns:
            The number of channels: one, with the side that is audible, if the other is silent.
        """
        column = {("caller",): (0,), ("heard",): (1,), (): (0,)}.get(self.audible, (0, 1))
        spans = [(round(begin * SAMPLE_RATE), round(end * SAMPLE_RATE)) for begin, end in parts]
        self._write(file, _OPUS, spans, column, _SMALL_LEVELS[len(column)])
        return len(column)

    def _write(
        self,
        file: BinaryIO,
        kind: SoundFormat,
        spans: Sequence[tuple[int, int]],
        columns: tuple[int, ...],
        level: float,
    ) -> None:
        stopped = threading.Event()
        call_apart(lambda: self._encode(file, kind, spans, columns, level, stopped), stopped.set)

    def _encode(
        self,
        file: BinaryIO,
        kind: SoundFormat,
        spans: Sequence[tuple[int, int]],
        columns: tuple[int, ...],
        level: float,
        stopped: threading.Event,
    ) -> None:
        import soundfile

        options = {"compression_level": level} if kind is _OPUS else {}
        target = _Target(file)
        try:
            with soundfile.SoundFile(
                target,
                "w",
                samplerate=SAMPLE_RATE,
                channels=len(columns),
                format=kind.container,
                subtype=kind.subtype,
                **options,
            ) as sound:
                for block in self._list_blocks(spans):
                    if stopped.is_set():
                        break
                    sound.write(block[:, list(columns)])
                    target.raise_error()
        finally:
            target.raise_error()  # of the header, which is written last

    def _list_blocks(self, spans: Sequence[tuple[int, int]]) -> Iterator[NDArray[np.int16]]:
        for first, last in spans:
            for begin in range(first, min(last, self.n_samples), _BLOCK):
                yield self._decode(begin, min(last, begin + _BLOCK))

    def _decode(self, first: int, last: int) -> NDArray[np.int16]:
        sides = [decode_ulaw(self.read_pcmu(side, first, last)) for side in self._sides]
        return np.stack(sides, axis=1)

    def __repr__(self) -> str:
        caller, heard = ("" if side in self.audible else ", silent" for side in self._sides)
        sides = f"left: the caller{caller}; right: what the caller heard{heard}"
        return f"Recording({self.seconds:.2f} s, {sides})"


class _Target:
    """A file that libsndfile writes to, which keeps the error that libsndfile would drop.

    Args:
        file: Where to; it must be able to seek.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None
        self.seek, self.tell, self.read = file.seek, file.tell, file.read

    def write(self, data: bytes) -> int:
        """Write, or keep the error and say that nothing was written."""
        try:
            return self._file.write(data)
        except OSError as error:
            self._error = error
            return 0

    def raise_error(self) -> None:
        """Raise the error that was kept, if there is one."""
        if self._error is not None:
            raise self._error


class HeardSound:
    """The sound that was played, at the times when it was played.

    Args:
        sound: All sound that was sent.
        placed: The parts of it that were played, in order.
    """

    def __init__(self, sound: SentSound, placed: Sequence[PlacedSound]) -> None:
        self._sound, self._placed = sound, placed
        self._starts = [part.start for part in placed]
        self.size = placed[-1].start + placed[-1].size if placed else 0

    @property
    def is_audible(self) -> bool:
        """Whether any sample that was played is not 0."""
        return any(
            self._sound.find_audible(part.first, part.first + part.size) is not None
            for part in self._placed
        )

    def read(self, begin: int, end: int) -> bytearray:
        """Return the bytes that were heard from the position `begin` up to `end`."""
        found = bytearray()
        place = max(0, bisect_right(self._starts, begin) - 1)
        for part in self._placed[place : bisect_left(self._starts, end)]:
            low, high = max(begin, part.start), min(end, part.start + part.size)
            if low < high:
                found += SILENCE * (low - begin - len(found))
                shift = part.first - part.start
                found += self._sound.read(low + shift, high + shift)
        found += SILENCE * (end - begin - len(found))
        return found
