"""Times in bins that grow: merged without loss, percentiles to 1 %."""

import json
import math
import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twistream_kit.diagnosis.histogram import Histogram
from twistream_kit.errors import WrongState

SHARES = (0.01, 0.5, 0.95, 0.99, 1.0)


def exact(values, share):
    """Return the least value that a share of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


def test_a_percentile_is_never_too_low_and_at_most_1_percent_too_high():
    chance = random.Random(5)
    values = [chance.lognormvariate(5, 1.5) for _ in range(3000)]
    histogram = Histogram(values)
    for share in SHARES:
        right = exact(values, share)
        assert right <= histogram.find(share) * (1 + 1e-12)
        assert histogram.find(share) <= right * 1.0101


def test_shares_that_are_merged_are_as_the_whole():
    chance = random.Random(6)
    values = [chance.expovariate(0.01) for _ in range(999)] + [math.inf] * 3 + [-40.0, 0.0]
    merged = Histogram()
    for share in range(7):
        part = Histogram(values[share::7])
        merged.merge(pickle.loads(pickle.dumps(part)))
    assert merged == Histogram(values)
    assert len(merged) == 1004
    assert merged.never == 3
    assert merged.min == -40.0
    assert [merged.find(share) for share in SHARES] == [
        Histogram(values).find(share) for share in SHARES
    ]


# The times of a real run of 120 calls, as tests/support/record_load.py has recorded them.
RECORDED = json.loads(Path(__file__).with_name("load_samples.json").read_text("utf-8"))
FIGURES = ("first_sound_ms", "response_ms", "barge_in_ms", "gap_ms", "own_late_ms")


def merge_shares(values, shares, seed):
    """Give each value to a share by chance, as an executor gives calls, and merge all shares."""
    chance = random.Random(seed)
    parts = [[] for _ in range(shares)]
    for value in values:
        chance.choice(parts).append(value)
    chance.shuffle(parts)
    merged = Histogram()
    for part in parts:
        merged.merge(pickle.loads(pickle.dumps(Histogram(part))))
    return merged


def check_within_one_bin(histogram, values):
    """Compare with the percentiles that numpy finds in all the values."""
    for percent in (1, 25, 50, 75, 90, 95, 99, 99.9, 100):
        right = np.percentile(values, percent, method="inverted_cdf")
        found = histogram.find(percent / 100)
        begin, end = right * (1 - 1e-9), max(0.01, right * 1.01) * (1 + 1e-9)
        assert begin <= found <= end, (percent, right, found)


@pytest.mark.parametrize("figure", FIGURES)
def test_a_recorded_run_that_is_split_and_merged_has_the_same_percentiles(figure):
    values = RECORDED[figure]
    assert len(values) >= 100
    whole = Histogram(values)
    check_within_one_bin(whole, values)
    for shares in range(1, 9):
        merged = merge_shares(values, shares, seed=shares)
        assert merged == whole
        assert merged.list_bins() == whole.list_bins()
        check_within_one_bin(merged, values)


@given(
    values=st.lists(st.floats(0, 1e6), min_size=1, max_size=200),
    never=st.integers(0, 3),
    shares=st.integers(1, 8),
    seed=st.integers(0, 2**32),
)
def test_whatever_is_split_and_merged_has_the_same_percentiles(values, never, shares, seed):
    merged = merge_shares(values, shares, seed)
    assert merged == Histogram(values)
    check_within_one_bin(merged, values)
    late = [*values, *[math.inf] * never]
    assert merge_shares(late, shares, seed) == Histogram(late)


def test_what_never_came_is_at_the_end():
    histogram = Histogram([100.0] * 94 + [math.inf] * 6)
    assert histogram.find(0.94) == 100.0
    assert histogram.find(0.95) == math.inf
    assert histogram.max == math.inf
    assert histogram.longest == 100.0


def test_the_edge_of_a_bin_belongs_to_it():
    for power in (1, 7, 100, 900):
        edge = 0.01 * 1.01**power
        [(begin, end, times)] = Histogram([edge]).list_bins()
        assert (begin, end, times) == (
            pytest.approx(edge / 1.01), pytest.approx(edge), 1
        )  # fmt: skip


def test_nothing_has_no_percentile():
    assert not len(Histogram())
    assert repr(Histogram()) == "<Histogram: empty>"
    with pytest.raises(WrongState, match="nothing was counted"):
        Histogram().find(0.5)
