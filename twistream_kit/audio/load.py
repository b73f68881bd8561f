"""Any file of sound becomes a clip, from its first sample to its last, in constant memory.

WAV files and headerless bytes are decoded here and not by libsndfile, which reads a ``data`` chunk
of size 0 as no sound at all; FLAC, OGG, MP3, AU and compressed WAV files are libsndfile's.
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
"""Samples of each channel in one block: large against the cost of a call, small against a cache."""

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
"""The encodings of headerless sound that `load_clip` knows, by the names that it takes."""


def load_clip(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Clip:
    """Read sound and convert it for a call: one channel, 8000 Hz, μ-law, no header.

    Channels are mixed at equal parts.  Nothing is made louder or softer; samples that are beyond
    full scale after resampling are cut and counted in `Clip.clipped`.  A source that is PCMU at
    8000 Hz in mono already passes through untouched.  Of a file that is cut off, what is there is
    loaded, and `Clip.missing_seconds` says how much is not.

    Args:
        source: A path, bytes, or a file opened with ``'rb'``: WAV of any kind, FLAC, OGG, MP3, AU
            and whatever else libsndfile reads; 4000 to 192,000 Hz, 1 to 8 channels.
        sample_rate: For headerless mono sound, together with `encoding`: its sample rate in Hz.
        encoding: ``PCMU``, ``PCMA``, ``PCM_U8``, ``PCM_S16LE``, ``PCM_S16BE``, ``PCM_S24LE``,
            ``PCM_S32LE`` or ``FLOAT32LE``.

    Raises:
        WavError: If there is no such file, or it cannot be read as sound.
        ValueError: If only one of the keywords is given, or an unknown encoding.
        TypeError: If `source` is something else, a file opened as text for instance.
    """
    with open_sound(source, sample_rate=sample_rate, encoding=encoding) as sound:
        resampler = Resampler(sound.sample_rate)
        payload = b"".join(encode_sound(sound, resampler))
        return Clip(payload, sound.opened.stem, resampler.clipped, sound.missing_seconds)


def encode_sound(sound: DecodedSound, resampler: Resampler) -> Iterator[bytes]:
    """Yield the payload of `sound` in pieces; `resampler` counts what was clipped.

    Raises:
        WavError: If the sound holds NaN or infinity.
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
                consequence="Those are no sound",
                fix="Repair what wrote the file",
            ) from error
        done += len(block)
    yield encode_ulaw(resampler.flush())


@contextmanager
def open_sound(
    source: Source, *, sample_rate: int | None = None, encoding: str | None = None
) -> Iterator[DecodedSound]:
    """Open a source of sound; see `load_clip` for what it may be.

    Raises:
        WavError: If it cannot be read as sound.
        ValueError: If only one of the keywords is given, or an unknown encoding.
    """
    if (sample_rate is None) != (encoding is None):
        raise ValueError(
            "headerless sound needs both, sample_rate=8000 and encoding='PCMU' for example; "
            "for a file with a header leave both out"
        )
    form = None
    if sample_rate is not None and encoding is not None:
        form = headerless_format(encoding, sample_rate)
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
    """An opened source of sound.

    Attributes:
        opened: The source; the position of its file tells how far the reading has come.
        sample_rate: In Hz, 4000 to 192,000.
        blocks: float32 in [-1, 1], mono, shape ``(n,)``.
        payload: The bytes of a source that is PCMU at 8000 Hz in mono already, else None.
        wav: Where in a WAV file it lies; None for another source.
    """

    opened: Opened
    sample_rate: int
    blocks: Iterator[NDArray[np.float32]]
    payload: Iterator[bytes] | None = None
    wav: WavSound | None = None

    @property
    def missing_seconds(self) -> float:
        """How much of it a WAV file promises and does not hold: it was cut off."""
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
    if decoder_for(wav.format) is None:
        sound = _open_by_libsndfile(file, b"")
    else:
        sound = _open_linear(file, wav.format, wav.offset, wav.size)
    return replace(sound, wav=wav)


def _open_linear(file: Opened, form: Format, offset: int, size: int) -> DecodedSound:
    _check_range(file.name, form.sample_rate, form.channels)
    decoder = decoder_for(form)
    assert decoder is not None  # noqa: S101  both callers have made sure
    whole = decoder.size * form.channels
    raw = read_pieces(file.file, offset, size - size % whole, BLOCK * whole)
    if (form.encoding, form.sample_rate, form.channels) == ("PCMU", SAMPLE_RATE, 1):
        return DecodedSound(file, form.sample_rate, iter(()), raw)
    return DecodedSound(file, form.sample_rate, _decode_pieces(raw, decoder, form.channels))


def read_pieces(file: BinaryIO, offset: int, size: int, piece: int) -> Iterator[bytes]:
    """Yield `size` bytes from `offset` on in pieces of `piece` bytes; fewer if the file ends."""
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
    # Only the methods: soundfile takes a name that ends in .raw for an order to read headerless.
    nameless = SimpleNamespace(read=file.file.read, seek=file.file.seek, tell=file.file.tell)
    return soundfile.SoundFile(nameless)


def read_blocks(sound: Any, name: str) -> Iterator[NDArray[np.float32]]:
    """Yield what libsndfile reads, its channels apart: float32, shape ``(n, channels)``, n > 0.

    Args:
        sound: What `open_libsndfile` gave.
        name: Of the source, for an error.

    Raises:
        WavError: If libsndfile stops before the end.
    """
    import soundfile

    # Not `sound.blocks`, which refuses the encodings in which libsndfile cannot seek, GSM for one.
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


def headerless_format(encoding: str, sample_rate: int) -> Format:
    """Return the format of mono sound without a header.

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


def decoder_for(form: Format) -> Decoder | None:
    """Return the decoder for a format, or None when it has to be left to libsndfile."""
    order: ByteOrder = form.byte_order
    match form.encoding, form.sample_bytes:
        case "PCMU", 1:
            return Decoder(1, 2.0**-15, decode_ulaw)
        case "PCMA", 1:
            return Decoder(1, 2.0**-15, decode_alaw)
        case "PCM", 1:
            return Decoder(1, 2.0**-7, _decode_unsigned)
        case "PCM", 2:
            return Decoder(2, 2.0**-15, _plain_decoder("i2", order))
        case "PCM", 3:
            return Decoder(3, 2.0**-31, _three_byte_decoder(order))
        case "PCM", 4:
            return Decoder(4, 2.0**-31, _plain_decoder("i4", order))
        case "IEEE_FLOAT", (4 | 8) as size:
            return Decoder(size, 1.0, _plain_decoder(f"f{size}", order))
    return None


@dataclass(frozen=True, slots=True)
class Decoder:
    """How to read one encoding.

    Attributes:
        size: Bytes a sample.
        scale: What brings a decoded sample into [-1, 1].
        decode: Bytes, a whole number of samples, to int16, int32 or float, shape ``(n,)``.
    """

    size: int
    scale: float
    decode: Callable[[bytes], NDArray[Any]]


def _decode_unsigned(raw: bytes) -> NDArray[np.int16]:
    return np.frombuffer(raw, np.uint8).astype(np.int16) - np.int16(128)


def _plain_decoder(kind: str, order: ByteOrder) -> Callable[[bytes], NDArray[Any]]:
    dtype = np.dtype(kind).newbyteorder("<" if order == "little" else ">")
    return lambda raw: np.frombuffer(raw, dtype)


def _three_byte_decoder(order: ByteOrder) -> Callable[[bytes], NDArray[np.int32]]:
    def decode(raw: bytes) -> NDArray[np.int32]:
        # Into the upper three bytes of four, which puts the sign where it belongs.
        wide = np.zeros((len(raw) // 3, 4), np.uint8)
        place = slice(1, 4) if order == "little" else slice(0, 3)
        wide[:, place] = np.frombuffer(raw, np.uint8).reshape(-1, 3)
        return wide.view("<i4" if order == "little" else ">i4").reshape(-1).astype(np.int32)

    return decode
