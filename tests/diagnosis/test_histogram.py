"""Times in bins that grow: merged without loss, percentiles to 1 %."""

import math
import pickle
import random

import pytest

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
