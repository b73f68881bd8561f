import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.resample import Resampler


def sine(hz, sample_rate, seconds=1.0, amplitude=0.5):
    time = np.arange(round(sample_rate * seconds)) / sample_rate
    return (amplitude * np.sin(2 * np.pi * hz * time)).astype(np.float32)


def in_pieces(samples, sample_rate, size):
    resampler = Resampler(sample_rate)
    pieces = [resampler.push(samples[at : at + size]) for at in range(0, len(samples), size)]
    return np.concatenate([*pieces, resampler.flush()])


@pytest.mark.parametrize("sample_rate", [11025, 16000, 22050, 24000, 44100, 48000])
def test_pieces_are_resampled_as_the_whole(sample_rate):
    samples = sine(1000, sample_rate)
    whole = in_pieces(samples, sample_rate, len(samples)).astype(float)
    pieces = in_pieces(samples, sample_rate, sample_rate // 50).astype(float)
    assert len(whole) == len(pieces) == 8000
    noise = np.sum((whole - pieces) ** 2)
    assert noise == 0 or 10 * np.log10(np.sum(whole**2) / noise) > 100


def test_tone_in_pieces_of_20_ms_stays_a_clean_tone():
    got = in_pieces(sine(1000, 48000), 48000, 960).astype(float)[400:-400] / 32768
    time = np.arange(len(got)) / 8000
    basis = np.stack([np.sin(2 * np.pi * 1000 * time), np.cos(2 * np.pi * 1000 * time)], axis=1)
    fitted = basis @ np.linalg.lstsq(basis, got, rcond=None)[0]
    # int16 itself allows 92 dB at this amplitude; piece by piece without a memory it is 40 dB.
    assert 10 * np.log10(np.sum(fitted**2) / np.sum((got - fitted) ** 2)) > 88


def test_what_is_above_half_the_new_rate_is_not_folded_down():
    assert np.abs(in_pieces(sine(6000, 48000), 48000, 960)[200:-200]).max() <= 1


@given(st.lists(st.integers(0, 3000), max_size=8))
@settings(max_examples=30, deadline=None)
def test_number_of_samples_does_not_depend_on_the_pieces(sizes):
    resampler = Resampler(24000)
    got = sum(len(resampler.push(np.zeros(size, np.int16))) for size in sizes)
    got += len(resampler.flush())
    assert abs(got - sum(sizes) / 3) <= 1


def test_8000_hz_passes_through_unchanged():
    samples = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
    resampler = Resampler(8000)
    assert (resampler.push(samples) == samples).all()
    assert len(resampler.flush()) == 0


def test_int16_and_float_mean_the_same():
    samples = sine(500, 16000)
    whole = np.rint(samples * 32768).astype(np.int16)
    difference = in_pieces(samples, 16000, 320).astype(int) - in_pieces(whole, 16000, 320)
    assert np.abs(difference).max() <= 1


def test_clear_forgets_what_has_not_come_out():
    resampler = Resampler(48000)
    resampler.push(sine(1000, 48000, 0.1))
    resampler.clear()
    assert not resampler.push(np.zeros(4800, np.int16)).any()


def test_flush_ends_one_sound_and_the_next_begins_anew():
    resampler = Resampler(48000)
    first = [resampler.push(sine(1000, 48000, 0.1)), resampler.flush()]
    second = [resampler.push(sine(1000, 48000, 0.1)), resampler.flush()]
    assert (np.concatenate(first) == np.concatenate(second)).all()


def test_samples_beyond_full_scale_are_cut_and_counted():
    resampler = Resampler(8000)
    assert resampler.push(np.array([2.0, -3.0, 0.5, -1.0], np.float32)).tolist() == [
        32767,
        -32768,
        16384,
        -32768,
    ]
    assert resampler.clipped == 2


def test_upsampling_is_possible():
    resampler = Resampler(8000, 16000)
    got = len(resampler.push(np.zeros(8000, np.int16))) + len(resampler.flush())
    assert got == 16000


@pytest.mark.parametrize("rate", [0, -1, 3999, 192_001])
def test_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="4000 to 192000 Hz are possible"):
        Resampler(rate)


def test_what_is_no_mono_sound_is_refused():
    resampler = Resampler(8000)
    with pytest.raises(ValueError, match="push one channel"):
        resampler.push(np.zeros((4, 2), np.int16))
    with pytest.raises(TypeError, match="int32; give int16, or float"):
        resampler.push(np.zeros(4, np.int32))
    with pytest.raises(ValueError, match="NaN or infinity"):
        resampler.push(np.array([0.0, np.nan]))
