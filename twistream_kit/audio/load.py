"""Load sound files: decode them, convert them for a call, and make a clip, in constant memory.

WAV files and headerless bytes are decoded here and not by libsndfile, which reads a ``data`` chunk
of size 0 as no sound at all.  `_libsndfile` decodes all else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio._libsndfile import DecodedPart, open_compressed, open_others
from twistream_kit.audio._wav_format import Format, WavSound, find_sound
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.damage import EXAMINED_BYTES, describe_text_damage
from twistream_kit.audio.g711 import decode_alaw, decode_ulaw, encode_ulaw
from twistream_kit.audio.resample import (
    BLOCK,
    SAMPLE_RATE,
    Resampler,
    check_range,
    convert_samples,
    mix_to_mono,
    resample_blocks,
)
from twistream_kit.errors import WavError, WrongType, WrongValue
from twistream_kit.sound_file import (
    ByteOrder,
    Opened,
    Source,
    build_not_wav_error,
    is_valid_text,
    is_wav,
    open_source,
    read_at,
    refuse_shrunken,
)

HEADERLESS = {
    "PCMU": ("PCMU", 8, "little"),
    "PCMA": ("PCMA", 8, "little"),
    "PCM_U8": ("PCM", 8, "little"),
    "PCM_S16LE": ("PCM", 16, "little"),
    "PCM_S16BE": ("PCM", 16, "big"),
    "PCM_S24LE": ("PCM", 24, "little"),
    "PCM_S32LE": ("PCM", 32, "little"),
    "FLOAT32LE": ("IEEE_FLOAT", 32, "little"),
}
"""The encodings of headerless sound, by the names that `load_clip` takes."""


def load_clip(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Clip:
    """Read sound and convert it for a call: mono, 8000 Hz, μ-law, no header (PROTOCOL.md §4).

    Channels are mixed in equal parts.  The level is not changed; samples that exceed full scale
    after resampling are clipped and counted in `Clip.clipped`.  A source that is PCMU at 8000 Hz in
    mono already is copied unchanged.  A file that is cut off is loaded up to its end, and
    `Clip.missing_seconds` says how much is missing.  Of files that were put end to end, headers
    included, all sound is loaded.

    Args:
        source: A path, bytes, or a file opened with ``'rb'``: WAV of any kind, FLAC, OGG, MP3, AU
            or another format that libsndfile reads; 4000 to 192,000 Hz, 1 to 8 channels.
        sample_rate: For headerless mono sound, together with `encoding`: its sample rate in Hz.
        encoding: ``PCMU``, ``PCMA``, ``PCM_U8``, ``PCM_S16LE``, ``PCM_S16BE``, ``PCM_S24LE``,
            ``PCM_S32LE`` or ``FLOAT32LE``.

    Returns:
        PCMU, 8000 bytes a second, with the file's name without its suffix.

    Raises:
        WavError: If there is no such file, it cannot be read as sound, or it is shorter than one
            sample of a call.
        ValueError: If only one of the keywords is given, or the encoding is unknown.
        TypeError: If `source` is of another type, for example a file opened as text.

    Example:
        >>> import twistream_kit as kit
        >>> clip = kit.load_clip("sample_audio/greeting.wav")
        >>> clip
        Clip('greeting', 4.21 s)
        >>> len(clip.payload)  # 8000 bytes a second
        33680
        >>> kit.load_clip(bytes(32000), sample_rate=16000, encoding="PCM_S16LE").seconds
        1.0
    """
    with open_sound(source, sample_rate=sample_rate, encoding=encoding) as sound:
        resampler = Resampler(sound.sample_rate)
        payload = b"".join(encode_sound(sound, resampler))
        return Clip(payload, sound.opened.stem, resampler.clipped, sound.missing_seconds)


def encode_sound(sound: DecodedSound, resampler: Resampler) -> Iterator[bytes]:
    """Yield the payload of `sound` in pieces; `resampler` counts the clipped samples.

    Raises:
        WavError: As `encode_blocks` does.
    """
    return encode_blocks(sound, resampler, sound.payload or sound.blocks)


def encode_blocks(
    sound: DecodedSound,
    resampler: Resampler,
    blocks: Iterator[bytes] | Iterator[NDArray[np.float32]],
) -> Iterator[bytes]:
    """Yield the payload of `blocks` in pieces; those that are payload pass unchanged.

    Raises:
        WavError: If the sound contains NaN or infinity or is not in [-1, 1], becomes shorter while
            it is read, or is less than one sample of a call.
    """
    size = done = 0
    for block in blocks:
        piece = block if isinstance(block, bytes) else _encode(sound, resampler, block, done)
        done += len(block)
        size += len(piece)
        yield piece
    refuse_shrunken(sound.opened)
    if rest := encode_ulaw(resampler.flush()):
        size += len(rest)
        yield rest
    if not size or done * SAMPLE_RATE < sound.sample_rate:
        raise WavError(
            f"it is too short: its sound at {sound.sample_rate} Hz is less than one sample of a "
            f"call, which has {SAMPLE_RATE} a second",
            source=sound.opened.name,
            consequence="There is nothing to send",
            fix="Fetch or record it again",
        )


def _encode(
    sound: DecodedSound, resampler: Resampler, block: NDArray[np.float32], done: int
) -> bytes:
    after = f"in the {len(block)} samples after second {done / sound.sample_rate:.2f}"
    try:
        return encode_ulaw(resampler.push(block))
    except ValueError as error:
        if np.isfinite(block).all():
            problem, _, scale = str(error).partition(": ")
            raise WavError(
                f"its {problem}, {after}",
                source=sound.opened.name,
                consequence="All of it would be cut off at full scale",
                fix=f"Correct the program that wrote the file: {scale}",
            ) from error
        raise WavError(
            f"it holds NaN or infinity, {after}",
            source=sound.opened.name,
            consequence="Such samples cannot be played",
            fix="Correct the program that wrote the file",
        ) from error


@contextmanager
def open_sound(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Iterator[DecodedSound]:
    """Open a source of sound, of any kind that `load_clip` accepts.

    Raises:
        WavError: If it cannot be read as sound.
        ValueError: If only one of the keywords is given, or the encoding is unknown.
    """
    if (sample_rate is None) != (encoding is None):
        raise WrongValue(
            "headerless sound needs both, sample_rate=8000 and encoding='PCMU' for example; "
            "for a file with a header leave both out"
        )
    form = None
    if sample_rate is not None and encoding is not None:
        form = build_headerless_format(encoding, sample_rate)
    with open_source(source) as file:
        refuse_text(file)
        if form is not None:
            yield _open_headerless(file, form)
        elif not file.size:
            raise build_not_wav_error(b"", file)
        elif (wav := find_sound(file)) is not None:
            yield _open_wav(file, wav)
        else:
            yield DecodedSound(file, tuple(open_others(file)))


@dataclass(slots=True)
class LinearPart:
    """A stretch of sound in linear or companded samples.

    Attributes:
        sample_rate: The sample rate, 4000 to 192,000 Hz.
        channels: The number of channels, 1 to 8.
        scale: The factor that scales a sample to [-1, 1].
        read: Reads the samples, shape ``(n, channels)``, n > 0: int16, int32 or float.
        width: The bytes of a linear sample that is a whole number, else 0.
        read_payload: Reads the bytes of sound that is PCMU at 8000 Hz in mono already, else None.
    """

    sample_rate: int
    channels: int
    scale: float
    read: Callable[[], Iterator[NDArray[Any]]]
    width: int = 0
    read_payload: Callable[[], Iterator[bytes]] | None = None


Part = LinearPart | DecodedPart
"""A stretch of sound of one format."""


@dataclass(frozen=True, slots=True)
class DecodedSound:
    """An open source of sound, with its decoded samples.

    Attributes:
        opened: The source; the position of its file is the progress of reading.
        parts: Its sound; of files that were put end to end, that of each.
        wav: The position of the sound in a WAV file; None for another source.
    """

    opened: Opened
    parts: tuple[Part, ...]
    wav: WavSound | None = None

    @property
    def sample_rate(self) -> int:
        """The sample rate, 4000 to 192,000 Hz: the highest of all parts."""
        return max(part.sample_rate for part in self.parts)

    @property
    def channels(self) -> int:
        """The number of channels, 1 to 8: the highest of all parts."""
        return max(part.channels for part in self.parts)

    @property
    def payload(self) -> Iterator[bytes] | None:
        """The bytes of a source that is PCMU at 8000 Hz in mono already, else None."""
        readers = [part.read_payload for part in self.parts if isinstance(part, LinearPart)]
        if None in readers or len(readers) < len(self.parts):
            return None
        return (piece for read in readers if read for piece in read())

    @property
    def blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples: float32 in [-1, 1], mono, shape ``(n,)``."""
        for part in self.parts:
            scale = part.scale if isinstance(part, LinearPart) else 1.0
            mono = (mix_to_mono(block, scale) for block in part.read())
            yield from resample_blocks(mono, part.sample_rate, self.sample_rate)

    @property
    def channel_blocks(self) -> Iterator[NDArray[np.float32]]:
        """The samples of each channel: float32 in [-1, 1], shape ``(n, channels)``."""
        for part in self.parts:
            scale = part.scale if isinstance(part, LinearPart) else 1.0
            scaled = (convert_samples(block, scale) for block in part.read())
            if part.channels != self.channels:
                scaled = (
                    np.tile(mix_to_mono(block, 1.0), (self.channels, 1)).T for block in scaled
                )
            yield from resample_blocks(scaled, part.sample_rate, self.sample_rate)

    @property
    def missing_seconds(self) -> float:
        """How much sound is missing because a file was cut off; known when all is read."""
        by_header = 0.0 if self.wav is None else self.wav.missing_seconds
        return by_header + sum(
            part.missing_seconds for part in self.parts if isinstance(part, DecodedPart)
        )


def _open_headerless(file: Opened, form: Format) -> DecodedSound:
    if is_wav(read_at(file.file, 0, 12)):
        raise WavError(
            "it has a WAV header, which says how it is encoded",
            source=file.name,
            offset=0,
            consequence="Read as headerless sound, the header would be heard as a click",
            fix="Leave sample_rate and encoding out",
        )
    size = form.sample_bytes
    if not file.size or file.size % size:
        raise WavError(
            f"it holds {file.size} bytes, not a whole number of samples of {size} bytes"
            if file.size
            else "it is empty",
            source=file.name,
            fix="Check the encoding and where the bytes were cut"
            if file.size
            else "Record it again",
        )
    return DecodedSound(file, (open_linear(file, form, 0, file.size),))


def _open_wav(file: Opened, wav: WavSound) -> DecodedSound:
    if not wav.size:
        raise WavError(
            "it holds no sound: its data chunk is empty or missing",
            source=file.name,
            offset=wav.offset,
            fix="Fetch or record it again",
        )
    for part in wav.parts:
        refuse_text(file, part.offset)
    parts = [
        open_linear(file, part.format, part.offset, part.size)
        if find_decoder(part.format)
        else open_compressed(file, part)
        for part in wav.parts
    ]
    return DecodedSound(file, tuple(parts), wav)


def refuse_text(file: Opened, offset: int = 0) -> None:
    """Refuse a file that was read as text, or whose sound from `offset` on was.

    Raises:
        WavError: If it was; the text says how, and whether it can be restored.
    """
    raw = read_at(file.file, offset, EXAMINED_BYTES)
    if is_valid_text(raw) and (damage := describe_text_damage(raw)):
        raise WavError(
            damage.problem, source=file.name, consequence=damage.consequence, fix=damage.fix
        )


def open_linear(file: Opened, form: Format, offset: int, size: int) -> LinearPart:
    """Open the linear or companded samples of `size` bytes from `offset`.

    Raises:
        WavError: If the sample rate or the number of channels is out of range.
    """
    check_range(file.name, form.sample_rate, form.channels)
    decoder = find_decoder(form)
    assert decoder is not None  # noqa: S101  the callers have checked it
    whole = decoder.size * form.channels

    def read_payload() -> Iterator[bytes]:
        return read_pieces(file, offset, size - size % whole, BLOCK * whole)

    def read() -> Iterator[NDArray[Any]]:
        for piece in read_payload():
            yield decoder.decode(piece).reshape(-1, form.channels)

    is_payload = (form.encoding, form.sample_rate, form.channels) == ("PCMU", SAMPLE_RATE, 1)
    return LinearPart(
        form.sample_rate,
        form.channels,
        decoder.scale,
        read,
        decoder.size if form.encoding == "PCM" else 0,
        read_payload if is_payload else None,
    )


def read_pieces(file: Opened, offset: int, size: int, piece: int) -> Iterator[bytes]:
    """Yield `size` bytes from `offset` in pieces of `piece` bytes.

    Raises:
        WavError: If the file ends before that.
    """
    file.file.seek(offset)
    while size > 0:
        raw = file.file.read(min(piece, size))
        if not raw:
            refuse_shrunken(file)
            return
        size -= len(raw)
        yield raw


def build_headerless_format(encoding: str, sample_rate: int) -> Format:
    """Build the format of mono sound without a header.

    Raises:
        ValueError: If `encoding` is none of `HEADERLESS`.
        TypeError: If `sample_rate` is not a whole number.
    """
    if encoding not in HEADERLESS:
        raise WrongValue(f"encoding is {encoding!r}, not one of {', '.join(HEADERLESS)}")
    if not isinstance(sample_rate, int):
        raise WrongType(f"sample_rate is {sample_rate!r}; give a whole number of Hz, such as 8000")
    name, bits, order = HEADERLESS[encoding]
    size = bits // 8
    byte_order: ByteOrder = "big" if order == "big" else "little"
    return Format(name, 1, sample_rate, bits, size, size * sample_rate, byte_order)


def find_decoder(form: Format) -> Decoder | None:
    """Return the decoder for a format, or None if libsndfile has to decode it."""
    order: ByteOrder = form.byte_order
    match form.encoding, form.sample_bytes:
        case "PCMU", 1:
            return Decoder(1, 2.0**-15, decode_ulaw)
        case "PCMA", 1:
            return Decoder(1, 2.0**-15, decode_alaw)
        case "PCM", 1:
            return Decoder(1, 2.0**-7, _decode_unsigned)
        case "PCM", 2:
            return Decoder(2, 2.0**-15, _build_decoder("i2", order))
        case "PCM", 3:
            return Decoder(3, 2.0**-31, _build_three_byte_decoder(order))
        case "PCM", 4:
            return Decoder(4, 2.0**-31, _build_decoder("i4", order))
        case "IEEE_FLOAT", (4 | 8) as size:
            return Decoder(size, 1.0, _build_decoder(f"f{size}", order))
    return None


@dataclass(frozen=True, slots=True)
class Decoder:
    """The decoder of one encoding.

    Attributes:
        size: The bytes of a sample.
        scale: The factor that scales a decoded sample to [-1, 1].
        decode: A function from bytes, a whole number of samples, to int16, int32 or float, shape
            ``(n,)``.
    """

    size: int
    scale: float
    decode: Callable[[bytes], NDArray[Any]]


def _decode_unsigned(raw: bytes) -> NDArray[np.int16]:
    return np.frombuffer(raw, np.uint8).astype(np.int16) - np.int16(128)


def _build_decoder(kind: str, order: ByteOrder) -> Callable[[bytes], NDArray[Any]]:
    dtype = np.dtype(kind).newbyteorder("<" if order == "little" else ">")
    return lambda raw: np.frombuffer(raw, dtype)


def _build_three_byte_decoder(order: ByteOrder) -> Callable[[bytes], NDArray[np.int32]]:
    def decode(raw: bytes) -> NDArray[np.int32]:
        # The upper three bytes of four, so that the sign bit is in the right place.
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        place = slice(1, 4) if order == "little" else slice(0, 3)
        wide[:, place] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return wide.view("<i4" if order == "little" else ">i4").reshape(-1).astype(np.int32)

    return decode
