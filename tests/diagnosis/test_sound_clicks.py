"""Clicks where messages meet."""

import numpy as np
import pytest
import soxr

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.resample import Resampler
from twistream_kit.diagnosis._border_clicks import FEWEST_BORDERS, count_clicks

RATE = 24000


def voice(seconds=3.0):
    """A buzz with two resonances that swells and fades, int16 at 24 kHz."""
    at = np.arange(int(seconds * RATE)) / RATE
    pitch = 2 * np.pi * np.cumsum(110 + 20 * np.sin(2 * np.pi * 0.7 * at)) / RATE
    weights = [1 / (1 + abs(n - 5)) + 0.6 / (1 + abs(n - 16)) for n in range(1, 25)]
    sound = sum(w * np.sin(n * pitch) for n, w in enumerate(weights, 1))
    sound *= 0.55 + 0.45 * np.sin(2 * np.pi * 3 * at)
    return (6000 * sound / np.abs(sound).max() * 3).astype(np.int16)


def joined(pieces):
    payloads = [encode_ulaw(piece) for piece in pieces]
    borders = np.cumsum([len(payload) for payload in payloads])[:-1].tolist()
    return b"".join(payloads), borders


def cut(payload, size):
    return payload, list(range(size, len(payload), size))


@pytest.mark.parametrize("size", [160, 400, 800, 1000])
@pytest.mark.parametrize("name", ["greeting", "question", "reply", "speech_float"])
def test_good_speech_cut_anywhere_does_not_click(name, size):
    assert count_clicks(*cut(load_clip(f"sample_audio/{name}.wav").payload[:24000], size)) == 0


@pytest.mark.parametrize("hz", [25, 50, 100, 200, 400, 440, 1000, 3000])
def test_tones_do_not_click_in_whatever_step_with_the_messages(hz):
    for size in (160, 400, 800):
        assert count_clicks(*cut(Clip.tone(hz, 3).payload, size)) == 0


@pytest.mark.parametrize("sizes", ["frames", "random"])
def test_noise_does_not_click(sizes):
    numbers = np.random.default_rng(7)
    payload = encode_ulaw(numbers.normal(0, 5000, 24000).clip(-32768, 32767).astype(np.int16))
    borders = range(160, 24000, 160)
    if sizes == "random":
        borders = np.unique(numbers.integers(100, 23900, 40)).tolist()
    assert count_clicks(payload, list(borders)) == 0


@pytest.mark.parametrize("ms", [20, 50, 100])
def test_pieces_converted_each_on_its_own_click(ms):
    samples, size = voice(), RATE * ms // 1000
    pieces = [
        soxr.resample(samples[at : at + size], RATE, 8000)
        for at in range(0, len(samples) - size + 1, size)
    ]
    payload, borders = joined(pieces)
    assert count_clicks(payload, borders) > 0


@pytest.mark.parametrize("ms", [20, 50, 100])
def test_pieces_pushed_through_one_resampler_do_not_click(ms):
    samples, size, resampler = voice(), RATE * ms // 1000, Resampler(RATE)
    pieces = [resampler.push(samples[at : at + size]) for at in range(0, len(samples), size)]
    assert count_clicks(*joined([piece for piece in pieces if len(piece)])) == 0


def test_missing_messages_click():
    payload = encode_ulaw(soxr.resample(voice(6), RATE, 8000))
    kept = [payload[at : at + 160] for at in range(0, len(payload) - 160, 320)]
    borders = list(range(160, 160 * len(kept), 160))
    assert count_clicks(b"".join(kept), borders) > 0


def test_few_borders_and_short_messages_prove_nothing():
    numbers = np.random.default_rng(3)
    steps = b"".join(bytes([code]) * 400 for code in numbers.integers(0, 128, 40).tolist())
    borders = list(range(400, len(steps), 400))
    assert count_clicks(steps, borders) > 0
    assert count_clicks(steps, borders[: FEWEST_BORDERS - 2]) == 0
    assert count_clicks(steps[:960], list(range(40, 960, 40))) == 0


@pytest.mark.parametrize("hertz", [100, 150, 200, 250])
def test_a_sawtooth_that_also_jumps_within_messages_does_not_click(hertz):
    saw = 0.7 * (2 * ((hertz * np.arange(24_000) / 8000) % 1) - 1)
    payload = encode_ulaw((saw * 32767).astype(np.int16))
    assert count_clicks(payload, range(160, 24_000, 160)) == 0
