"""The noise of a line: its level, its sound, and that it may be repeated."""

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.speech import find_speech
from twistream_kit.simulator.line._noise import NOISE_KINDS, build_noise
from twistream_kit.simulator.line.line import Line
from twistream_kit.simulator.line.stream import measure_speech_db

SILENT = b"\xff" * 160


@pytest.mark.parametrize("kind", NOISE_KINDS)
@pytest.mark.parametrize("snr_db", [0, 20])
def test_noise_is_as_far_below_the_speech_as_was_asked(kind, snr_db):
    stream = Line(noise=kind, snr_db=snr_db, gain_db=-4, seed=6).open(speech_db=-15)
    noise = Clip(b"".join(stream.take(SILENT) for _ in range(800))).samples() / 32768
    expected = 10 ** ((-15 - 4 - snr_db) / 20)
    assert np.sqrt(np.mean(noise**2)) == pytest.approx(expected, rel=0.05)


def test_noise_of_a_clip_goes_by_the_level_of_its_speech():
    soft = Clip.tone(440, 1.0, level_db=-40) + Clip.silence(1.0)
    for clip in (soft, Clip.tone(440, 1.0, level_db=-10) + Clip.silence(1.0)):
        after = Line(snr_db=20).apply(clip).samples()[8000:] / 32768
        expected = 10 ** ((measure_speech_db(clip) - 20) / 20)
        assert np.sqrt(np.mean(after**2)) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("kind", NOISE_KINDS)
def test_end_of_the_noise_leads_into_its_begin(kind):
    noise = build_noise(kind).ravel()
    assert np.mean(noise**2) == pytest.approx(1, rel=1e-3)
    jumps = np.abs(np.diff(noise))
    assert abs(noise[0] - noise[-1]) <= jumps.max()


def test_kinds_sound_different():
    shares = {kind: _share_below(build_noise(kind).ravel(), 500) for kind in NOISE_KINDS}
    assert shares["white"] == pytest.approx(500 / 4000, abs=0.01)
    assert shares["street"] > 0.8
    assert 0.4 < shares["babble"] < 0.9


def test_seed_decides_where_the_noise_begins():
    lines = [Line(snr_db=10, seed=seed).open() for seed in (1, 1, 2)]
    first, again, other = [line.take(SILENT) for line in lines]
    assert first == again != other


def test_white_noise_alone_is_no_speech():
    line = Line(snr_db=10, seed=1)
    assert find_speech(line.apply(Clip.silence(5.0)).payload) == []


def _share_below(samples, hz):
    power = np.abs(np.fft.rfft(samples)) ** 2
    return power[np.fft.rfftfreq(len(samples), 1 / 8000) < hz].sum() / power.sum()
