"""Clips: PCMU for a call, made from samples or tones, and saved as μ-law WAV files.

Tones are sine waves, single or in the pairs of telephone keys (ITU-T Q.23).  A file is written
under a temporary name and renamed when it is complete.  `load` reads sound files.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex
from typing import Any, BinaryIO, Self

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio.g711 import SILENCE, decode_ulaw, encode_ulaw, is_int16
from twistream_kit.audio.resample import (
    FULL_SCALE,
    MOST_CHANNELS,
    SAMPLE_RATE,
    Resampler,
    as_float,
    build_dtype_error,
    mix_to_mono,
)
from twistream_kit.errors import (
    TwistreamError,
    WavError,
    WrongType,
    WrongValue,
    is_finite,
    quote,
    require_type,
)
from twistream_kit.sound_file import find_special_kind, is_wav

FRAME_BYTES = 160
"""20 ms of PCMU, the unit in which Twilio sends and plays (PROTOCOL.md §3)."""

KEYS = ("123A", "456B", "789C", "*0#D")
"""The keypad, row by row."""

ROW_HZ = (697, 770, 852, 941)
"""The lower tone of each row of keys (ITU-T Q.23)."""

COLUMN_HZ = (1209, 1336, 1477, 1633)
"""The upper tone of each column of keys (ITU-T Q.23)."""

DTMF_LEVEL_DB = -9.0
"""The level of each of the two tones in dBFS; -7 dBm0 is usual, and full scale is +3 dBm0."""

_RAMP_SECONDS = 0.004

_LEAST_DB = -1000
"""So low that every sample is 0; less would exceed a float."""

MOST_MADE_SECONDS = 14_400
"""How long a tone or a silence may be: as a call that is simulated, not all memory."""

HEADER_BYTES = 58
"""The size of the header that `Clip.save` writes: RIFF 12, fmt 26, fact 12, data 8."""

_MOST_BYTES = 0xFFFFFFFF - HEADER_BYTES


@dataclass(frozen=True, slots=True, repr=False)
class Clip:
    """Bare PCMU at 8000 Hz in mono, without any header, as a call takes it (PROTOCOL.md §4).

    Attributes:
        payload: The sound in μ-law, one byte a sample, 8000 bytes a second, any length.
        name: A name for reports and plots; not unique.
        clipped: How many samples exceeded full scale during the conversion and were clipped.
        missing_seconds: How much sound is missing because the WAV file was cut off, in seconds.

    Raises:
        TypeError: If the payload is not bytes.
        WavError: If the payload is a whole WAV file.

    Example:
        >>> import twistream_kit as kit
        >>> answer = kit.load_clip("sample_audio/reply.wav") + kit.Clip.tone(440, 0.5)
        >>> answer
        Clip('reply + 440 Hz', 2.46 s)
        >>> frames = answer.frames()
        >>> len(frames), len(frames[0])
        (124, 160)
    """

    payload: bytes
    name: str = ""
    clipped: int = 0
    missing_seconds: float = 0.0

    def __post_init__(self) -> None:
        if not isinstance(self.payload, bytes | bytearray | memoryview):
            raise WrongType(f"payload is {type(self.payload).__name__}; give PCMU as bytes")
        object.__setattr__(self, "payload", bytes(self.payload))
        if is_wav(self.payload):
            raise WavError(
                "the payload is a whole WAV file, not bare PCMU",
                source=self.name,
                offset=0,
                consequence="Its header would be played as noise",
                fix="Use kit.load_clip(source)",
            )

    def __repr__(self) -> str:
        cut = f", {self.clipped} samples clipped" if self.clipped else ""
        missing = f", {self.missing_seconds:.2f} s missing" if self.missing_seconds else ""
        return f"Clip({self.name!r}, {self.seconds:.2f} s{missing}{cut})"

    def __bytes__(self) -> bytes:
        return self.payload

    def __add__(self, other: Clip) -> Clip:
        """Return one clip after the other."""
        if not isinstance(other, Clip):
            return NotImplemented
        name = " + ".join(filter(None, (self.name, other.name)))
        return Clip(
            self.payload + other.payload,
            name,
            self.clipped + other.clipped,
            self.missing_seconds + other.missing_seconds,
        )

    @property
    def seconds(self) -> float:
        """The duration in seconds."""
        return len(self.payload) / SAMPLE_RATE

    def frames(self) -> list[bytes]:
        """Return the payload in frames of 160 bytes, 20 ms each, the last padded with silence."""
        starts = range(0, len(self.payload), FRAME_BYTES)
        frames = [self.payload[start : start + FRAME_BYTES] for start in starts]
        if frames:
            frames[-1] = frames[-1].ljust(FRAME_BYTES, bytes([SILENCE]))
        return frames

    def samples(self) -> NDArray[np.int16]:
        """Return the linear samples: int16, shape ``(n,)``, at 8000 Hz."""
        return decode_ulaw(self.payload)

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> Path:
        """Write the clip to a μ-law WAV file with a header of 58 bytes, and return the path.

        Args:
            path: The name of the file.
            overwrite: Replace an existing file of that name when the new one is complete.

        Raises:
            WavError: If `path` is a folder or a device, is in a folder that does not exist, or ends
                in ``.mp3`` or another name that no WAV file has.
            TwistreamError: If there is such a file already, or it cannot be written.
        """
        require_type("a path", path=path)
        path = Path(path)
        refuse_other_end(path)
        require_place(path)
        with write_file(path, overwrite=overwrite) as file:
            write_ulaw_wav(file, iter([self.payload]))
        return path

    @classmethod
    def from_samples(cls, samples: NDArray[Any], sample_rate: int, *, name: str = "") -> Self:
        """Make a clip from linear samples.

        Args:
            samples: int16, or float in [-1, 1]; shape ``(n,)`` or ``(n, channels)``.
            sample_rate: The sample rate of `samples`, 4000 to 192,000 Hz.
            name: The name of the clip.

        Raises:
            TypeError: If `samples` is neither int16 nor float.
            ValueError: If the shape or the sample rate is out of range, a sample is NaN, or floats
                go far beyond [-1, 1], as integers do.
        """
        samples = np.asarray(samples)
        if samples.ndim == 2:
            samples = _mix_columns(samples)
        resampler = Resampler(sample_rate)
        linear = np.concatenate([resampler.push(as_float(samples)), resampler.flush()])
        return cls(encode_ulaw(linear), name, resampler.clipped)

    @classmethod
    def tone(cls, hz: float, seconds: float, *, level_db: float = -12.0) -> Self:
        """Make a sine tone.

        Args:
            hz: Its frequency in Hz, above 0 and below 4000, half the sample rate.
            seconds: Its duration in seconds.
            level_db: Its level in dB relative to a full-scale sine.

        Raises:
            ValueError: If an argument is out of range.
        """
        samples = make_tone((hz,), seconds, level_db)
        return cls(encode_ulaw(samples), f"{hz:g} Hz")

    @classmethod
    def silence(cls, seconds: float) -> Self:
        """Make silence.

        Args:
            seconds: Its duration in seconds.

        Raises:
            ValueError: If `seconds` is negative, or more than four hours.
        """
        require_type("a number", seconds=seconds)
        _check_length(seconds, "a clip")
        return cls(bytes([SILENCE]) * round(seconds * SAMPLE_RATE), "silence")

    @classmethod
    def dtmf(cls, digits: str, *, tone_ms: int = 100, gap_ms: int = 100) -> Self:
        """Make the DTMF tones of telephone keys, as a caller's phone does.

        Args:
            digits: The keys, of ``0123456789*#ABCD``.
            tone_ms: The duration of each tone, in ms.
            gap_ms: The silence after each, in ms.

        Raises:
            ValueError: If `digits` is empty or contains another character.
        """
        return cls(encode_ulaw(make_dtmf(digits, tone_ms, gap_ms)), f"DTMF {digits.upper()}")


def _mix_columns(samples: NDArray[Any]) -> NDArray[np.float32]:
    n, channels = samples.shape
    if not 1 <= channels <= MOST_CHANNELS:
        hint = "; turn it with samples.T" if 1 <= n <= MOST_CHANNELS else ""
        raise WrongValue(
            f"samples have shape {samples.shape}: {channels} channels of {n} samples, "
            f"and at most {MOST_CHANNELS} channels can be mixed{hint}"
        )
    if not is_int16(samples.dtype) and samples.dtype.kind != "f":
        raise build_dtype_error(samples)
    return mix_to_mono(samples, 1 / FULL_SCALE if is_int16(samples.dtype) else 1.0)


def make_tone(frequencies: Sequence[float], seconds: float, level_db: float) -> NDArray[np.int16]:
    """Add sine tones of the same duration, with ramps at both ends so that they do not click.

    Args:
        frequencies: The frequencies in Hz, each above 0 and below 4000.
        seconds: Their duration.
        level_db: The level of each in dB relative to a full-scale sine.

    Returns:
        int16, shape ``(n,)``, at 8000 Hz.

    Raises:
        ValueError: If an argument is out of range, or the sum exceeds full scale.
    """
    require_type("a number", seconds=seconds, level_db=level_db)
    for hz in frequencies:
        require_type("a number", hz=hz)
        if not 0 < hz < SAMPLE_RATE / 2:
            raise WrongValue(
                f"a tone of {quote(hz)} Hz is not possible; "
                f"a call carries more than 0 and less than {SAMPLE_RATE // 2} Hz"
            )
    _check_length(seconds, "a tone")
    if level_db != level_db:  # only NaN is
        raise WrongValue("level_db is nan; give a number of dB, 0 at most")
    amplitude = 10 ** (min(max(level_db, _LEAST_DB), 1) / 20)
    if amplitude * len(frequencies) > 1:
        raise WrongValue(f"a level of {quote(level_db)} dB is beyond full scale; 0 dB is the most")
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    wave = np.sum([np.sin(2 * np.pi * hz * time) for hz in frequencies], axis=0)
    ends = np.minimum(time, time[::-1]) / _RAMP_SECONDS
    wave = wave * amplitude * np.minimum(ends, 1.0)
    samples: NDArray[np.int16] = np.rint(wave * 32767).astype(np.int16)
    return samples


def _check_length(seconds: float, what: str) -> None:
    """Refuse a duration that is negative, or longer than a call.

    Raises:
        WrongValue: If it is.
    """
    if not seconds >= 0:
        raise WrongValue(f"seconds is {quote(seconds)}; {what} cannot last less than nothing")
    if not seconds <= MOST_MADE_SECONDS:
        raise WrongValue(
            f"seconds is {quote(seconds)}; {what} that is made here lasts {MOST_MADE_SECONDS} s "
            "at most, four hours"
        )


def make_dtmf(digits: str, tone_ms: int, gap_ms: int) -> NDArray[np.int16]:
    """Make the samples of DTMF tones; see `Clip.dtmf`."""
    require_type("a string", digits=digits)
    require_type("a number", tone_ms=tone_ms, gap_ms=gap_ms)
    pieces = []
    _check_length(max(gap_ms, 0) / 1000 if is_finite(gap_ms) else gap_ms, "a gap")
    gap = np.zeros(int(max(gap_ms, 0) * SAMPLE_RATE // 1000), np.int16)
    for digit in digits.upper():
        row = next((index for index, keys in enumerate(KEYS) if digit in keys), None)
        if row is None:
            raise WrongValue(f"{digit!r} is no telephone key; the keys are {' '.join(KEYS)}")
        pair = (ROW_HZ[row], COLUMN_HZ[KEYS[row].index(digit)])
        seconds = tone_ms / 1000 if is_finite(tone_ms) else tone_ms
        pieces += [make_tone(pair, seconds, DTMF_LEVEL_DB), gap]
    if not pieces:
        raise WrongValue("digits is empty; give at least one telephone key")
    return np.concatenate(pieces)


def write_ulaw_wav(file: BinaryIO, payload: Iterator[bytes]) -> int:
    """Write a μ-law WAV file; return the size of its payload in bytes.

    Args:
        file: An empty, seekable file.
        payload: PCMU in pieces of any length.
    """
    file.write(build_ulaw_header(0))
    size = 0
    for piece in payload:
        size += file.write(piece)
    file.write(b"\0" * (size % 2))
    file.seek(0)
    file.write(build_ulaw_header(size))
    return size


def build_ulaw_header(payload_bytes: int) -> bytes:
    """Build the header of a μ-law WAV file, 58 bytes, in the form that other recorders use.

    An odd payload must be followed by one byte of padding.

    Raises:
        ValueError: If the payload exceeds the limit of a WAV file, 4 GB or six days.
    """
    if payload_bytes > _MOST_BYTES:
        raise WrongValue(f"{payload_bytes} bytes are too many for a WAV file; split the sound")
    even = payload_bytes + payload_bytes % 2
    return struct.pack(
        "<4sI4s4sIHHIIHHH4sII4sI",
        *(b"RIFF", HEADER_BYTES - 8 + even, b"WAVE"),
        *(b"fmt ", 18, 7, 1, SAMPLE_RATE, SAMPLE_RATE, 1, 8, 0),
        *(b"fact", 4, payload_bytes),
        *(b"data", payload_bytes),
    )


def require_place(path: Path) -> None:
    """Check that a file can be created at `path`.

    Raises:
        WavError: If `path` is a folder, or is in a folder that does not exist.
            Also if no file can have such a name.
    """
    try:
        is_folder, has_folder = path.is_dir(), path.parent.is_dir()
    except OSError as error:  # the name is too long, for example
        raise WavError(
            f"cannot be written: {error.strerror or error}",
            source=str(path),
            fix="Give another name",
        ) from error
    if is_folder:
        fix = f"Name a file in it: {path.name}/out.wav"
        raise WavError("is a folder", source=str(path), fix=fix)
    if not has_folder:
        problem = f"there is no folder {path.parent}"
        raise WavError(problem, source=str(path), fix="Make it first")


@contextmanager
def replace_file(
    path: Path, *, overwrite: bool = True, private: bool = False
) -> Iterator[BinaryIO]:
    """Open a new file that replaces `path` when the block ends without an exception.

    Until then, and after an exception, `path` is unchanged.  A file that is replaced passes its
    permissions on, and a symbolic link stays one: the file that it leads to is replaced.

    Args:
        path: The name of the file.
        overwrite: Whether an existing file of that name may be replaced.
        private: Whether a file that is new can be read by its owner alone.

    Raises:
        FileExistsError: If there is such a file at the end of the block, and `overwrite` is False.
        OSError: If it cannot be written, or `path` is a device, a pipe, a socket or a folder.
    """
    if "\0" in str(path):
        raise OSError(errno.EINVAL, "its name holds a NUL character", str(path))
    if overwrite:
        path = Path(os.path.realpath(path))
    old_mode = _read_mode(path)
    mode = (0o600 if private else 0o666) if old_mode is None else old_mode
    # In the same folder, because a rename across file systems is a copy that can be interrupted.
    unfinished = path.with_name(f".{path.name}.{token_hex(4)}.part")
    try:
        # Created with no more permissions than it is to have: nobody else can open it meanwhile.
        with open(unfinished, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
            yield file
        if old_mode is not None:
            unfinished.chmod(old_mode)  # what the umask took away
        if overwrite:
            unfinished.replace(path)
        else:
            _rename_to_free_name(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def write_file(path: Path, *, overwrite: bool = False, private: bool = False) -> Iterator[BinaryIO]:
    """Open a file as `replace_file` does, with an error that says in words why it cannot.

    Raises:
        TwistreamError: If there is such a file and `overwrite` is False, or it cannot be written.
            It is a WavError if `path` is a folder, a pipe, a socket or a device.
    """
    refuse_other_kind(path)
    if not overwrite:
        refuse_existing(path)
    try:
        with replace_file(path, overwrite=overwrite, private=private) as file:
            yield file
    except FileExistsError:
        refuse_existing(path)
        raise
    except OSError as error:
        raise build_write_error(path, error) from error


def refuse_other_kind(path: Path) -> None:
    """Refuse to write to what is no regular file, which is not replaced whatever is asked for.

    Raises:
        WavError: If `path` is a folder, a pipe, a socket or a device.
    """
    kind = find_special_kind(path)
    with suppress(OSError, ValueError):  # opening it says why
        kind = "a folder" if path.is_dir() else kind
    if kind:
        raise WavError(
            f"is {kind}, not a file",
            source=str(path),
            consequence="Nothing was written",
            fix="Give the name of a file, which is new or may be replaced",
        )


OTHER_ENDS = (
    *(".aac", ".aif", ".aifc", ".aiff", ".alaw", ".amr", ".au", ".caf", ".flac", ".m4a", ".mp3"),
    *(".mp4", ".mulaw", ".oga", ".ogg", ".opus", ".pcm", ".raw", ".snd", ".ul", ".ulaw", ".w64"),
    *(".webm", ".wma"),
)
"""Ends of the names of sound files, and of bare sound, that are no WAV files."""


def refuse_other_end(path: Path) -> None:
    """Refuse to write a WAV file whose name says that it is another.

    Raises:
        WavError: If the name ends in one of `OTHER_ENDS`.
    """
    if path.suffix.lower() in OTHER_ENDS:
        raise WavError(
            f"ends in {path.suffix}, but what is written is a WAV file",
            source=str(path),
            consequence="Nothing was written",
            fix=f"Name it {path.with_suffix('.wav').name}",
        )


def refuse_existing(path: Path) -> None:
    """Refuse to replace a file.

    Raises:
        TwistreamError: If there is a file of that name.
    """
    refuse_other_kind(path)
    if os.path.lexists(path):
        raise TwistreamError(
            f"{path} exists already",
            consequence="It was left as it is, and nothing was written",
            fix="Give another name, or replace it with overwrite=True (--force in a shell)",
        )


def build_write_error(path: Path, error: OSError) -> TwistreamError:
    """Return the error for a file that cannot be written."""
    return TwistreamError(
        f"{path} cannot be written: {error.strerror or error}",
        consequence="A file of that name is as it was",
        fix="Give a place where there is room, and where you may write",
    )


def _read_mode(path: Path) -> int | None:
    """Return the permissions of a regular file, or None if there is none.

    Raises:
        OSError: If it is anything else: a rename would make a file of a device or a pipe.
    """
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    return mode & 0o777


def _rename_to_free_name(file: Path, path: Path) -> None:
    # A rename replaces a file that was created since the check; creating a hard link fails.
    try:
        os.link(file, path)
    except FileExistsError:
        raise
    except (OSError, NotImplementedError, AttributeError):
        # Without hard links (FAT, some network folders, Android), an empty file reserves the name.
        path.open("xb").close()
        try:
            file.replace(path)
        except BaseException:
            path.unlink()
            raise
    else:
        file.unlink()
