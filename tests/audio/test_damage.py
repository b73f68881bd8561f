"""Bytes that were read as text, lost bytes, and samples that wrapped around."""

import numpy as np
import pytest

from support.cases import CASES
from twistream_kit.audio.damage import ByteShiftMeter, WrapMeter, find_text_damage
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.audio.load import load_clip

SPEECH = load_clip(CASES.parents[1] / "sample_audio" / "greeting.wav").samples()


def shifted_from(samples, rate=8000, *, width=2):
    meter = ByteShiftMeter(width, rate)
    for start in range(0, len(samples), 997):
        meter.push(samples[start : start + 997].reshape(-1, 1))
    return meter.shifted_from


def wraps(samples):
    meter = WrapMeter()
    for start in range(0, len(samples), 997):
        meter.push((samples[start : start + 997] / 32768).astype(np.float32))
    return meter


def pcm(samples, *, without=None):
    raw = samples.astype("<i2").tobytes()
    if without is not None:
        raw = raw[:without] + raw[without + 1 :]
    return np.frombuffer(raw[: len(raw) // 2 * 2], "<i2")


@pytest.mark.parametrize("peak", [0.1, 0.3, 0.9])
@pytest.mark.parametrize("lost", [0, 1, 8001, 30_001])
def test_a_lost_byte_is_found_with_its_time(peak, lost):
    samples = SPEECH / np.abs(SPEECH).max() * peak * 32767
    assert shifted_from(pcm(samples)) is None
    assert shifted_from(pcm(samples, without=lost)) == pytest.approx(lost / 16_000, abs=0.5)


def test_a_byte_of_24_bits_is_missed_as_well():
    raw = (SPEECH.astype(np.int64) * 256 + np.arange(len(SPEECH)) * 7919 % 256).astype("<i4")
    raw = raw.view(np.uint8).reshape(-1, 4)[:, :3].tobytes()
    for lost, expected in ((None, None), (2, 0), (24_001, 1)):
        cut = raw if lost is None else raw[:lost] + raw[lost + 1 :]
        wide = np.frombuffer(cut[: len(cut) // 3 * 3], np.uint8).reshape(-1, 3)
        samples = np.pad(wide, ((0, 0), (1, 0))).view("<i4").ravel() >> 8
        found = shifted_from(samples, width=3)
        assert found == (expected if expected is None else pytest.approx(expected, abs=0.3))


@pytest.mark.parametrize("gain", [1.25, 1.35, 2])
def test_samples_that_wrapped_around_are_counted(gain):
    loud = SPEECH / np.abs(SPEECH).max() * gain * 32768
    found = wraps(loud.astype(np.int64).astype(np.uint16).view(np.int16))
    assert found.is_wrapped
    assert found.first == pytest.approx(np.flatnonzero(np.abs(loud) > 32768)[0], abs=200)
    assert not wraps(np.clip(loud, -32768, 32767)).is_wrapped


def sounds():
    random = np.random.default_rng(5)
    times = np.arange(24_000) / 8000
    yield "silence", np.zeros(8000, np.int16)
    for level in (0.02, 0.3, 1):
        yield f"speech at {level}", SPEECH / np.abs(SPEECH).max() * level * 32767
        yield f"uniform noise at {level}", random.uniform(-level, level, 24_000) * 32767
        noise = np.clip(random.normal(0, level / 3, 24_000), -1, 1) * 32767
        yield f"noise at {level}", noise
        yield f"noise in 8 bits at {level}", noise // 256 * 256
        yield f"noise in PCMU at {level}", decode_ulaw(encode_ulaw(noise.astype(np.int16)))
        for hz in (50, 440, 1000, 2000, 3000, 3900):
            phase = times * hz % 1
            yield f"sine of {hz} Hz at {level}", np.sin(2 * np.pi * phase) * level * 32767
            yield f"square of {hz} Hz at {level}", np.where(phase < 0.5, 1, -1) * level * 32767
            yield f"sawtooth of {hz} Hz at {level}", (2 * phase - 1) * level * 32767
    for gain in (2, 5, 20):
        yield f"speech {gain} times too loud", np.clip(SPEECH * float(gain), -32768, 32767)


def test_nothing_is_found_in_right_sound_tones_and_noise():
    for name, samples in sounds():
        whole = np.round(samples).astype(np.int16)
        assert shifted_from(whole) is None, name
        assert not wraps(whole).is_wrapped, name


TEXTS = {
    "UTF-8": lambda raw: raw.decode("utf-8", "replace").encode(),
    "Latin-1": lambda raw: raw.decode("latin-1").encode(),
    "ASCII": lambda raw: raw.decode("ascii", "replace").replace("\ufffd", "?").encode(),
    "7 bits": lambda raw: bytes(code & 0x7F for code in raw),
}


@pytest.mark.parametrize("kind", TEXTS)
@pytest.mark.parametrize("code", [encode_ulaw, lambda samples: samples.tobytes()])
def test_what_went_through_text_is_recognised(kind, code):
    assert find_text_damage(TEXTS[kind](code(SPEECH[2000:]))) == kind
    assert find_text_damage(code(SPEECH[2000:])) is None


def test_windows_1252_is_a_kind_of_latin_1():
    raw = bytes(code for code in encode_ulaw(SPEECH[2000:]) if code not in b"\x81\x8d\x8f\x90\x9d")
    assert find_text_damage(raw.decode("cp1252").encode()) == "Latin-1"


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0" * 9000,
        b"\xff" * 9000,
        "Grüße, 你好, naïve — “quoted”. ".encode() * 99,
        "Schöne Grüße an die Übenden.\n".encode() * 99,
        "K\ufffdnnen alle lesen, was hier geschrieben ist, und nicht nur das?".encode() * 99,
    ],
    ids=["nothing", "zeros", "silence", "text", "accents", "a damaged text"],
)
def test_silence_and_texts_are_no_damaged_sound(raw):
    assert find_text_damage(raw) is None
