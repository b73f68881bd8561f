"""Meters give the same figures however a sound is cut into blocks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.measure import (
    FLAT_SAMPLES,
    WHOLE_SECONDS,
    FlatTops,
    SpectrumMeter,
    TelephoneMeter,
)

LEVELS = st.lists(st.sampled_from([-1.0, -0.5, 0.0, 0.5, 1.0]), max_size=60)


def by_hand(levels, limit=1.0):
    """Count runs at full scale the slow way."""
    runs, begin = [], 0
    for end in range(1, len(levels) + 1):
        if end == len(levels) or levels[end] != levels[begin]:
            if abs(levels[begin]) >= limit and end - begin >= FLAT_SAMPLES:
                runs.append((begin, end - begin))
            begin = end
    return len(runs), sum(length for _, length in runs), runs[0][0] if runs else None


@given(blocks=st.lists(LEVELS.filter(len), min_size=1, max_size=5))
@settings(deadline=None, max_examples=300)
def test_flat_tops_are_counted_across_the_borders_of_blocks(blocks):
    tops = FlatTops(1.0)
    for block in blocks:
        tops.push(np.array(block, np.float32))
    assert (tops.runs, tops.samples, tops.first) == by_hand([x for block in blocks for x in block])


@given(cuts=st.lists(st.integers(0, 3000), max_size=6))
@settings(deadline=None, max_examples=50)
def test_levels_do_not_depend_on_how_the_sound_is_cut(cuts):
    sound = np.random.default_rng(1).integers(-9000, 9000, 3001).astype(np.int16)
    whole, pieces = TelephoneMeter(), TelephoneMeter()
    whole.push(sound)
    for piece in np.split(sound, sorted(cuts)):
        pieces.push(piece)
    assert pieces.rms_db == pytest.approx(whole.rms_db, abs=1e-4)
    assert pieces.quantisation_db == pytest.approx(whole.quantisation_db, abs=1e-4)
    assert np.allclose(pieces.compute_powers(), whole.compute_powers(), rtol=1e-4)
    assert len(whole.compute_powers()) == 19


@given(cuts=st.lists(st.integers(0, 9000), max_size=6))
@settings(deadline=None, max_examples=50)
def test_a_spectrum_does_not_depend_on_how_the_sound_is_cut(cuts):
    sound = np.random.default_rng(1).normal(0, 0.1, 9001).astype(np.float32)
    whole, pieces = SpectrumMeter(8000), SpectrumMeter(8000)
    whole.push(sound)
    for piece in np.split(sound, sorted(cuts)):
        pieces.push(piece)
    assert np.allclose(
        pieces.compute_spectrum().power, whole.compute_spectrum().power, rtol=1e-4, atol=1e-12
    )


def test_the_power_of_a_spectrum_is_that_of_the_sound():
    meter = SpectrumMeter(8000)
    meter.push(np.sin(np.arange(80_000) * 0.5).astype(np.float32))
    assert meter.compute_spectrum().power.sum() == pytest.approx(0.5, rel=0.01)


def test_the_spectrum_of_a_long_sound_counts_its_end_as_much_as_its_beginning():
    meter, time = SpectrumMeter(8000), np.arange(8000) / 8000
    for second in range(2 * WHOLE_SECONDS):
        hz = 1000 if second < WHOLE_SECONDS else 3600
        meter.push(np.sin(2 * np.pi * hz * time).astype(np.float32))
    assert meter.compute_spectrum().share(3400, 4000) == pytest.approx(0.5, abs=0.01)


def test_a_sound_shorter_than_a_window_has_a_spectrum():
    meter = SpectrumMeter(8000)
    meter.push(np.sin(np.arange(100) * 0.5).astype(np.float32))
    assert meter.compute_spectrum().share(300, 1000) > 0.9


def test_nothing_has_a_spectrum_of_nothing():
    assert SpectrumMeter(8000).compute_spectrum().share(0, 4000) == 0.0
