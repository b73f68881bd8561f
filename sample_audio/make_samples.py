"""Make the sound files of this folder anew: python sample_audio/make_samples.py.

The speech is synthesised by flite (Debian package ``flite``), so that nobody's voice and nobody's
recording is in this repository.  The committed files were made with flite 2.2-5 of Debian 12.
"""

from __future__ import annotations

import struct
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip

HERE = Path(__file__).parent

GREETING = "Hello! This is your own sound file. Press clear, and I will stop at once."
GREETING_SECONDS = 4.21
REPLY = "Yes, I can hear you."
SHORT = "One, two, three."

TALK = {
    "bot_welcome": (
        "slt",
        "Welcome! I know the time, and the weather. What would you like to know?",
    ),
    "bot_time": ("slt", "It is half past three."),
    "bot_goodbye": ("slt", "Goodbye, and thank you for calling."),
    "caller_time": ("rms", "What time is it?"),
    "caller_thanks": ("rms", "Thank you. That is all."),
}
"""The voice and the words of each sentence of a conversation between a bot and a caller."""

PCM, FLOAT = 1, 3


def main() -> None:
    """Write all files."""
    print(flite_version())
    greeting = spoken(GREETING, voice="slt", stretch=0.84, sample_rate=44100)
    greeting = lasting(greeting, round(GREETING_SECONDS * 44100))
    # A little to the left, so that the two channels are two and their mean is a third.
    stereo = np.stack([greeting, 0.8 * greeting], axis=1)
    write("greeting.wav", wav(PCM, 44100, 2, 16, pcm(stereo, 16)))
    load_clip(HERE / "greeting.wav").save(HERE / "question.wav", overwrite=True)

    short = spoken(SHORT, voice="slt", stretch=0.9, sample_rate=32000)
    write("speech_24bit_extensible.wav", wav(PCM, 32000, 1, 24, pcm(short, 24), extensible=True))
    write("speech_float.wav", wav(FLOAT, 32000, 1, 32, short.astype("<f4").tobytes()))
    reply = spoken(REPLY, voice="rms", stretch=1.0, sample_rate=16000)
    write("reply.wav", wav(PCM, 16000, 1, 16, pcm(reply, 16)))

    for name, (voice, text) in TALK.items():
        sentence = spoken(text, voice=voice, stretch=0.9, sample_rate=16000)
        Clip.from_samples(sentence, 16000).save(HERE / f"{name}.wav", overwrite=True)

    Clip.tone(440, 1.0).save(HERE / "tone_440.wav", overwrite=True)
    Clip.dtmf("123").save(HERE / "dtmf_123.wav", overwrite=True)


def flite_version() -> str:
    """Return the line in which flite names its version."""
    shown = subprocess.run(["flite", "--version"], capture_output=True, text=True, check=False)
    return next(line.strip() for line in shown.stdout.splitlines() if "version" in line)


def spoken(text: str, *, voice: str, stretch: float, sample_rate: int) -> NDArray[np.float64]:
    """Return `text` spoken, float in [-0.7, 0.7], mono; `stretch` below 1 speaks faster."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "speech.wav"
        pace = f"duration_stretch={stretch}"
        subprocess.run(
            ["flite", "-voice", voice, "--setf", pace, "-t", text, "-o", str(path)], check=True
        )
        samples, rate = soundfile.read(path)
    samples = soxr.resample(samples, rate, sample_rate, quality="VHQ")
    return samples * (0.7 / np.abs(samples).max())


def lasting(samples: NDArray[np.float64], size: int) -> NDArray[np.float64]:
    """Return `samples` with silence after them or cut, so that there are `size` of them."""
    return np.pad(samples[:size], (0, max(0, size - len(samples))))


def pcm(samples: NDArray[np.float64], bits: int) -> bytes:
    """Return linear samples of 16 or 24 bits, low byte first."""
    whole = np.rint(samples * (2 ** (bits - 1) - 1)).astype("<i4").reshape(-1)
    return whole.view(np.uint8).reshape(-1, 4)[:, : bits // 8].tobytes()


def wav(
    tag: int, rate: int, channels: int, bits: int, raw: bytes, *, extensible: bool = False
) -> bytes:
    """Return a WAV file; no date or program name is in it, so that it can be made again."""
    align = channels * bits // 8
    body = struct.pack(
        "<HHIIHH", 0xFFFE if extensible else tag, channels, rate, rate * align, align, bits
    )
    if extensible:
        guid = struct.pack("<H", tag) + bytes.fromhex("000000001000800000AA00389B71")
        body += struct.pack("<HHI", 22, bits, 4) + guid  # 4: the loudspeaker in the middle
    elif tag != PCM:
        body += struct.pack("<H", 0)
    chunks = chunk(b"fmt ", body)
    if tag != PCM or extensible:
        chunks += chunk(b"fact", struct.pack("<I", len(raw) // align))
    return chunk(b"RIFF", b"WAVE" + chunks + chunk(b"data", raw))


def chunk(name: bytes, body: bytes) -> bytes:
    """Return a RIFF chunk, padded to an even size."""
    return name + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def write(name: str, content: bytes) -> None:
    """Write one file of this folder."""
    (HERE / name).write_bytes(content)
    print(f"{name}: {len(content)} bytes")


if __name__ == "__main__":
    main()
