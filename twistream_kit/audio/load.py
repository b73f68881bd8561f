"""Load sound files: decode them, convert them for a call, and make a clip, in constant memory.

WAV files and headerless bytes are decoded here and not by libsndfile, which reads a ``data`` chunk
of size 0 as no sound at all.  libsndfile decodes FLAC, OGG, MP3, AU and compressed WAV files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from twistream_kit.audio._wav_format import Format, WavSound, find_sound
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_alaw, decode_ulaw, encode_ulaw
from twistream_kit.audio.resample import (
    HIGHEST_RATE,
    LOWEST_RATE,
    MOST_CHANNELS,
    SAMPLE_RATE,
    Resampler,
    mix_to_mono,
)
from twistream_kit.errors import WavError
from twistream_kit.sound_file import (
    CONVERT_FIRST,
    ByteOrder,
    Opened,
    Source,
    build_not_wav_error,
    is_wav,
    open_source,
    read_at,
)

BLOCK = 65536
"""Samples per channel in a block: many for each function call, but few enough for the cache."""

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
    `Clip.missing_seconds` says how much is missing.

    Args:
        source: A path, bytes, or a file opened with ``'rb'``: WAV of any kind, FLAC, OGG, MP3, AU
            or another format that libsndfile reads; 4000 to 192,000 Hz, 1 to 8 channels.
        sample_rate: For headerless mono sound, together with `encoding`: its sample rate in Hz.
        encoding: ``PCMU``, ``PCMA``, ``PCM_U8``, ``PCM_S16LE``, ``PCM_S16BE``, ``PCM_S24LE``,
            ``PCM_S32LE`` or ``FLOAT32LE``.

    Returns:
        PCMU, 8000 bytes a second, with the file's name without its suffix.

    Raises:
        WavError: If there is no such file, or it cannot be read as sound.
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
        WavError: If the sound contains NaN or infinity.
    """
    if sound.payload is not None:
        yield from sound.payload
        return
    done = 0
    for block in sound.blocks:
        try:
            yield encode_ulaw(resampler.push(block))
        except ValueError as error:
            after = f"in the {len(block)} samples after second {done / sound.sample_rate:.2f}"
            raise WavError(
                f"it holds NaN or infinity, {after}",
                source=sound.opened.name,
                consequence="Such samples cannot be played",
                fix="Correct the program that wrote the file",
            ) from error
        done += len(block)
    yield encode_ulaw(resampler.flush())


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
        raise ValueError(
            "headerless sound needs both, sample_rate=8000 and encoding='PCMU' for example; "
            "for a file with a header leave both out"
        )
    form = None
    if sample_rate is not None and encoding is not None:
        form = build_headerless_format(encoding, sample_rate)
    with open_source(source) as file:
        head = read_at(file.file, 0, 64)
        if form is not None:
            yield _open_headerless(file, form, head)
        elif not head:
            raise build_not_wav_error(head, file.name)
        elif (wav := find_sound(file)) is not None:
            yield _open_wav(file, wav)
        else:
            yield _open_by_libsndfile(file, head)


@dataclass(frozen=True, slots=True)
class DecodedSound:
    """An open source of sound, with its decoded samples.

    Attributes:
        opened: The source; the position of its file is the progress of reading.
        sample_rate: The sample rate, 4000 to 192,000 Hz.
        blocks: The samples: float32 in [-1, 1], mono, shape ``(n,)``.
        payload: The bytes of a source that is PCMU at 8000 Hz in mono already, else None.
        wav: The position of the sound in a WAV file; None for another source.
    """

    opened: Opened
    sample_rate: int
    blocks: Iterator[NDArray[np.float32]]
    payload: Iterator[bytes] | None = None
    wav: WavSound | None = None

    @property
    def missing_seconds(self) -> float:
        """How much sound is missing because a WAV file was cut off."""
        return 0.0 if self.wav is None else self.wav.missing_seconds


def _open_headerless(file: Opened, form: Format, head: bytes) -> DecodedSound:
    if is_wav(head):
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
    return _open_linear(file, form, 0, file.size)


def _open_wav(file: Opened, wav: WavSound) -> DecodedSound:
    if not wav.size:
        raise WavError(
            "it holds no sound: its data chunk is empty or missing",
            source=file.name,
            offset=wav.offset,
            fix="Fetch or record it again",
        )
    if find_decoder(wav.format) is None:
        sound = _open_by_libsndfile(file, b"")
    else:
        sound = _open_linear(file, wav.format, wav.offset, wav.size)
    return replace(sound, wav=wav)


def _open_linear(file: Opened, form: Format, offset: int, size: int) -> DecodedSound:
    _check_range(file.name, form.sample_rate, form.channels)
    decoder = find_decoder(form)
    assert decoder is not None  # noqa: S101  both callers have checked it
    whole = decoder.size * form.channels
    raw = read_pieces(file.file, offset, size - size % whole, BLOCK * whole)
    if (form.encoding, form.sample_rate, form.channels) == ("PCMU", SAMPLE_RATE, 1):
        return DecodedSound(file, form.sample_rate, iter(()), raw)
    return DecodedSound(file, form.sample_rate, _decode_pieces(raw, decoder, form.channels))


def read_pieces(file: BinaryIO, offset: int, size: int, piece: int) -> Iterator[bytes]:
    """Yield `size` bytes from `offset` in pieces of `piece` bytes, or fewer if the file ends."""
    file.seek(offset)
    while size > 0:
        raw = file.read(min(piece, size))
        if not raw:
            return
        size -= len(raw)
        yield raw


def _decode_pieces(
    raw: Iterator[bytes], decoder: Decoder, channels: int
) -> Iterator[NDArray[np.float32]]:
    for piece in raw:
        samples = decoder.decode(piece)
        yield mix_to_mono(samples.reshape(-1, channels), decoder.scale)


def _open_by_libsndfile(file: Opened, head: bytes) -> DecodedSound:
    import soundfile

    try:
        sound = open_libsndfile(file)
    except soundfile.LibsndfileError as error:
        if head:
            raise build_not_wav_error(head, file.name) from error
        raise WavError(
            f"libsndfile cannot read it: {error.error_string}", source=file.name, fix=CONVERT_FIRST
        ) from error
    _check_range(file.name, sound.samplerate, sound.channels)
    if not sound.frames:
        raise WavError("it holds no sound", source=file.name, fix="Fetch or record it again")
    blocks = (mix_to_mono(block, 1.0) for block in read_blocks(sound, file.name))
    return DecodedSound(file, sound.samplerate, blocks)


def open_libsndfile(file: Opened) -> Any:
    """Open a source from its beginning as a `soundfile.SoundFile`.

    Raises:
        soundfile.LibsndfileError: If libsndfile cannot read it.
    """
    import soundfile

    file.file.seek(0)
    # Without the name: soundfile reads a file whose name ends in .raw as headerless sound.
    nameless = SimpleNamespace(read=file.file.read, seek=file.file.seek, tell=file.file.tell)
    if hasattr(file.file, "readinto"):  # half the time: libmpg123 reads four bytes at once
        nameless.readinto = file.file.readinto
    return soundfile.SoundFile(nameless)


def read_blocks(sound: Any, name: str) -> Iterator[NDArray[np.float32]]:
    """Yield the samples that libsndfile reads: float32, shape ``(n, channels)``, n > 0.

    Args:
        sound: The file that `open_libsndfile` returned.
        name: The name of the source, for an error.

    Raises:
        WavError: If libsndfile stops before the end.
    """
    import soundfile

    # Not `sound.blocks`, which refuses encodings in which libsndfile cannot seek, such as GSM.
    try:
        while len(block := sound.read(BLOCK, dtype="float32", always_2d=True)):
            yield block
    except soundfile.LibsndfileError as error:
        raise WavError(
            f"libsndfile stopped in the middle of it: {error.error_string}",
            source=name,
            fix="The file is damaged: fetch or record it again",
        ) from error


def _check_range(name: str, sample_rate: int, channels: int) -> None:
    if not LOWEST_RATE <= sample_rate <= HIGHEST_RATE:
        raise WavError(
            f"its sample rate is {sample_rate} Hz; {LOWEST_RATE} to {HIGHEST_RATE} Hz can be read",
            source=name,
            fix=CONVERT_FIRST,
        )
    if not 1 <= channels <= MOST_CHANNELS:
        raise WavError(
            f"it has {channels} channels; 1 to {MOST_CHANNELS} can be mixed into one",
            source=name,
            fix=CONVERT_FIRST,
        )


def build_headerless_format(encoding: str, sample_rate: int) -> Format:
    """Build the format of mono sound without a header.

    Raises:
        ValueError: If `encoding` is none of `HEADERLESS`.
        TypeError: If `sample_rate` is not a whole number.
    """
    if encoding not in HEADERLESS:
        raise ValueError(f"encoding is {encoding!r}, not one of {', '.join(HEADERLESS)}")
    if not isinstance(sample_rate, int):
        raise TypeError(f"sample_rate is {sample_rate!r}; give a whole number of Hz, such as 8000")
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
