"""The slope of a series and its interval, over seeded series whose slope is known."""

from __future__ import annotations

import math

import numpy as np
import pytest

from twistream_kit.diagnosis.slope import (
    LEAST_READINGS,
    Fall,
    Slope,
    compute_slope,
    find_largest_fall,
    find_offset,
    fit_slope,
    remove_largest_step,
)

SERIES = 200


def correlated(rng, n, rho):
    noise = np.empty(n)
    noise[0] = rng.normal() / math.sqrt(1 - rho**2)
    for place in range(1, n):
        noise[place] = rho * noise[place - 1] + rng.normal()
    return noise


def make_values(kind, x, slope, rng):
    n = len(x)
    match kind.split():
        case ["correlated", rho]:
            return slope * x + correlated(rng, n, float(rho))
        case ["stepped", readings]:  # memory that is taken in pieces
            step = slope * float(readings)
            return np.floor((slope * x + rng.uniform(0, step)) / step) * step
        case ["outliers"]:
            return slope * x + rng.standard_t(2, n)
        case ["sawtooth"]:  # a collector of garbage
            return slope * x + 3 * ((x / 5 + rng.uniform()) % 1)
        case ["counted"]:
            return np.round(slope * x + rng.uniform() + rng.normal(0, 0.3, n))
    raise AssertionError(kind)


def list_slopes(kind, n, true):
    """Return the slopes found in many series, each with the true one."""
    rng = np.random.default_rng(n)
    for _ in range(SERIES):
        slope = rng.uniform(0.05, 0.5) if true else 0.0
        x = np.arange(n) + rng.uniform(-0.05, 0.05, n)
        found = fit_slope(x, make_values(kind, x, slope, rng))
        assert found is not None
        yield found, slope


NOISY = ["correlated 0", "correlated 0.3", "correlated 0.6", "outliers", "sawtooth", "counted"]


@pytest.mark.parametrize("n", [15, 40])
@pytest.mark.parametrize("kind", [*NOISY, "stepped 3", "stepped 5"])
def test_the_true_slope_is_within_the_interval(kind, n):
    held = sum(found.low <= slope <= found.high for found, slope in list_slopes(kind, n, true=True))
    assert held / SERIES >= 0.93


@pytest.mark.parametrize("n", [15, 40])
@pytest.mark.parametrize("kind", NOISY)
def test_noise_without_a_slope_is_not_called_one(kind, n):
    rising = sum(found.low > 0 for found, _ in list_slopes(kind, n, true=False))
    assert rising / SERIES <= 0.05


def test_more_readings_make_the_interval_narrower():
    def width(n):
        return np.median(
            [found.half_width for found, _ in list_slopes("correlated 0.3", n, true=True)]
        )

    assert width(15) > 3 * width(40)


def test_a_line_has_its_slope_and_an_interval_of_nothing():
    x = [hour / 10 for hour in range(12)]
    found = fit_slope(x, [7 + 3 * hour for hour in x])
    assert found is not None
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))
    assert find_offset(x, [7 + 3 * hour for hour in x], 3) == pytest.approx(7)


def test_a_slope_without_an_interval_takes_two_readings():
    assert compute_slope([1, 2], [3, 5]) == 2
    assert compute_slope([1], [3]) == 0


def test_what_never_changes_has_no_slope():
    assert fit_slope(range(10), [5] * 10) == Slope(0.0, 0.0, 0.0)


@pytest.mark.parametrize("n", [0, 1, LEAST_READINGS - 1])
def test_too_few_readings_have_none(n):
    assert fit_slope(range(n), range(n)) is None


def test_the_readings_of_a_week_are_thinned_out():
    rng = np.random.default_rng(1)
    x = np.arange(20_160) / 120
    found = fit_slope(x, 50 + 0.1 * x + correlated(rng, len(x), 0.5))
    assert found is not None
    assert found.low < 0.1 < found.high
    assert found.half_width < 0.001
    assert compute_slope(x, 2 * x) == pytest.approx(2)


def test_readings_at_one_time_have_none():
    assert fit_slope([1.0] * 10, range(10)) is None


def test_readings_at_the_same_time_as_others_do_no_harm():
    found = fit_slope([n // 2 for n in range(20)], [n // 2 for n in range(20)])
    assert found is not None
    assert found.value == 1


def test_the_largest_step_is_taken_out():
    assert remove_largest_step([1, 2, 9, 10, 8]) == [1, 2, 2, 3, 1]
    assert remove_largest_step([3, 2, 1]) == [3, 2, 1]
    assert remove_largest_step([3]) == [3]


def test_an_interval_is_widened_to_both_sides():
    assert Slope(2, 1, 4).widen(1) == Slope(2, 0, 5)
    assert str(Slope(2, 1, 4)) == "2 (1 to 4)"


@pytest.mark.parametrize("values", [[], [5, 1], [1, 2, 3], [1, 2, 3, 0.5, 5, 6], [5] * 9])
def test_what_rises_or_is_odd_once_has_no_fall(values):
    assert find_largest_fall(values) is None


def test_a_fall_is_found_to_the_last_reading():
    assert find_largest_fall([1, 2, 3, 4, 5, 1]) == Fall(5, 5.0, 1.0)


def test_noise_is_no_fall():
    values = np.random.default_rng(4).normal(0, 1, 500)
    assert find_largest_fall(values.tolist()) is None
