"""Any file of sound becomes a clip."""

from __future__ import annotations

from collections.abc import Iterator

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.resample import Resampler
from twistream_kit.audio.sound import Sound, open_sound
from twistream_kit.audio.source import Source
from twistream_kit.errors import WavError


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
        payload = b"".join(pcmu(sound, resampler))
        return Clip(payload, sound.opened.stem, resampler.clipped, sound.missing_seconds)


def pcmu(sound: Sound, resampler: Resampler) -> Iterator[bytes]:
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
