"""Whether something of a process grows, from readings that were made up."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from twistream_kit.diagnosis.growth import (
    KINDS,
    UsageReading,
    count_warm_up,
    find_growth,
    say_minutes,
)

WAVE_SECONDS = 15.0
CALLS = 20
SERIES = 150


def readings_of(memory=None, descriptors=None, threads=None, *, wave_seconds=WAVE_SECONDS):
    """Return readings at rest, a wave of calls apart; what is not given never changes."""
    n = len(next(each for each in (memory, descriptors, threads) if each is not None))
    columns = [
        [float(usual)] * n if given is None else list(given)
        for given, usual in ((memory, 50), (descriptors, 12), (threads, 3))
    ]
    return [
        UsageReading(wave_seconds * place, CALLS * place, 0, *values)
        for place, values in enumerate(zip(*columns, strict=True))
    ]


def memory_of(rng, waves, a_wave, *, warm_up=8.0):
    """Memory that fills caches first, is noisy, and may grow."""
    place = np.arange(waves)
    noise = np.empty(waves)
    noise[0] = rng.normal(0, 0.3)
    for at in range(1, waves):
        noise[at] = 0.5 * noise[at - 1] + rng.normal(0, 0.3)
    return 40 + warm_up * (1 - np.exp(-place / 1.5)) + a_wave * place + noise


def verdicts(name, make, waves, **options):
    rng = np.random.default_rng(waves)
    found = []
    for _ in range(SERIES):
        growth = find_growth(name, readings_of(**{name: make(rng, waves)}), **options)
        assert growth is not None
        found.append(growth.verdict)
    return found


@pytest.mark.parametrize("waves", [20, 60])
def test_noisy_memory_that_is_flat_behind_its_warm_up_is_not_called_growing(waves):
    found = verdicts("memory", lambda rng, n: memory_of(rng, n, 0.0), waves)
    assert found.count("grows") <= 0.05 * SERIES
    if waves == 60:
        assert found.count("does not grow") >= 0.9 * SERIES


@pytest.mark.parametrize("waves", [20, 60])
def test_memory_that_each_call_keeps_is_found(waves):
    found = verdicts("memory", lambda rng, n: memory_of(rng, n, 1.0), waves)
    assert found.count("grows") >= 0.95 * SERIES


@pytest.mark.parametrize("name", ["descriptors", "threads"])
def test_a_descriptor_of_each_wave_is_found_and_its_slope_said(name):
    growth = find_growth(name, readings_of(**{name: [12 + n for n in range(20)]}))
    assert growth is not None
    assert growth.verdict == "grows"
    assert not growth.ok
    assert growth.per_hour is not None
    assert growth.per_hour.low < 240 == pytest.approx(growth.per_hour.value)
    assert growth.per_1000_calls is not None
    assert growth.per_1000_calls.value == pytest.approx(50)
    assert "it grows: +240 (+22" in growth.problem
    assert "an hour, +50.0 (" in growth.problem


def test_a_count_that_comes_back_does_not_grow():
    growth = find_growth("descriptors", readings_of(descriptors=[12, 13, 12, 14, 12] * 6))
    assert growth is not None
    assert growth.verdict == "does not grow"
    assert growth.ok
    assert "12 before, 1" in growth.describe()


@pytest.mark.parametrize("at", [15, 20, 25, 28, 32])
def test_what_rose_once_is_no_growth_yet(at):
    growth = find_growth("memory", readings_of(memory=[50.0] * at + [70.0] * (40 - at)))
    assert growth is not None
    assert growth.verdict != "grows"
    assert growth.ok


def test_what_rose_for_a_while_is_no_growth_yet():
    rng = np.random.default_rng(2)
    memory = [50.0 + min(n, 36) + rng.normal(0, 0.2) for n in range(60)]
    growth = find_growth("memory", readings_of(memory=memory))
    assert growth is not None
    assert growth.verdict == "too short to tell"
    assert growth.ok


def test_what_rose_in_one_step_says_so_and_that_a_run_twice_as_long_would_tell():
    rng = np.random.default_rng(1)
    memory = [50 + 0.02 * n + 2 * (n > 22) + rng.normal(0, 0.5) for n in range(40)]
    growth = find_growth("memory", readings_of(memory=memory))
    assert growth is not None
    assert growth.why == "for it rose in one step"
    assert growth.needed_minutes == pytest.approx(2 * 39 * WAVE_SECONDS / 60)


def test_what_fills_up_is_no_growth_yet():
    growth = find_growth("memory", readings_of(memory=[50 - 30 * 0.8**n for n in range(40)]))
    assert growth is not None
    assert growth.verdict != "grows"


def test_memory_that_is_taken_in_pieces_grows():
    growth = find_growth("memory", readings_of(memory=[50 + 4 * (n // 5) for n in range(40)]))
    assert growth is not None
    assert growth.verdict == "grows"
    assert growth.per_hour is not None
    assert growth.per_hour.low < 192 < growth.per_hour.high


def saw_of(rng, waves, period, *, keeps=0.0, falls=20.0):
    """A collector's memory: it rises, and falls back when that much has gathered."""
    share = np.arange(waves) / waves
    teeth = falls * ((share / period + rng.random()) % 1)
    return 100 + keeps * share + teeth + rng.normal(0, 0.3, waves)


@pytest.mark.parametrize("period", [0.4, 0.6, 0.8, 1.0, 1.2])
def test_memory_that_falls_back_before_the_eyes_is_not_called_growing(period):
    rng = np.random.default_rng(round(10 * period))
    seen = []
    for waves in (20, 60) * 25:
        readings = readings_of(memory=saw_of(rng, waves, period))
        left = [each.memory for each in readings[count_warm_up(readings) :]]
        if max(-np.diff(left)) < 10:
            continue
        growth = find_growth("memory", readings)
        assert growth is not None
        assert growth.verdict != "grows", growth
        seen.append(growth)
    assert len(seen) > 15


@pytest.mark.parametrize("period", [0.1, 0.2])
def test_what_is_kept_beneath_a_small_saw_is_found(period):
    rng = np.random.default_rng(1)
    for _ in range(20):
        memory = saw_of(rng, 40, period, keeps=50.0, falls=8.0)
        growth = find_growth("memory", readings_of(memory=memory))
        assert growth is not None
        assert growth.verdict == "grows", growth


def test_a_fall_is_said_with_its_wave():
    memory = [26.0 + 3 * n for n in range(30)] + [27.0, 30.0]
    readings = [replace(each, wave=place) for place, each in enumerate(readings_of(memory=memory))]
    growth = find_growth("memory", readings)
    assert growth is not None
    said = "the run is too short to tell, for it fell from 113 to 27 MB in wave 30; "
    assert growth.describe().startswith(said)
    assert growth.ok
    unnumbered = find_growth("memory", readings_of(memory=memory))
    assert unnumbered is not None
    assert "from 113 to 27 MB 7.5 minutes on" in unnumbered.describe()


def test_a_fall_is_said_too_where_the_slope_is_not_certain():
    memory = [26.0 + 2 * (n % 25) for n in range(47)]
    growth = find_growth("memory", readings_of(memory=memory))
    assert growth is not None
    assert growth.per_hour is not None
    assert growth.per_hour.low < 0 < growth.per_hour.value
    assert growth.why == "for it fell from 74 to 26 MB 6.2 minutes on"


def test_child_processes_that_were_replaced_leave_only_what_grows_for_certain():
    flat = find_growth("memory", readings_of(memory=[50] * 40), replaced=3)
    assert flat is not None
    assert flat.describe().startswith("cannot tell: the child processes were replaced: 0 MB (")
    assert flat.ok
    limited = find_growth("memory", readings_of(memory=[50] * 40), limit=100, replaced=3)
    assert limited is not None
    assert "the child processes were replaced" in limited.problem
    grown = find_growth("memory", readings_of(memory=range(50, 90)), replaced=3)
    assert grown is not None
    assert grown.verdict == "grows"


def test_with_few_readings_there_is_no_slope_and_the_time_that_would_tell():
    growth = find_growth("threads", readings_of(threads=[3] * 6))
    assert growth is not None
    assert (growth.verdict, growth.per_hour, growth.ok) == ("too short to tell", None, True)
    assert growth.needed_minutes == pytest.approx(12 * WAVE_SECONDS / 60)
    assert "the run is too short to tell; 3 minutes may be enough" in growth.describe()


def test_a_short_run_says_how_long_would_tell():
    rng = np.random.default_rng(3)
    growth = find_growth("memory", readings_of(memory=50 + rng.normal(0, 3, 14)))
    assert growth is not None
    assert growth.verdict == "too short to tell"
    assert growth.needed_minutes is not None
    spent = 13 * WAVE_SECONDS / 60
    assert spent < growth.needed_minutes < 40 * spent
    longer = round(1.5 * growth.needed_minutes * 60 / WAVE_SECONDS)
    after = find_growth("memory", readings_of(memory=50 + rng.normal(0, 3, longer)))
    assert after is not None
    assert after.verdict == "does not grow"


@pytest.mark.parametrize(
    ("a_wave", "limit", "said"),
    [
        (1.0, 100.0, "it grows: +239 MB ("),  # surely more
        (1.0, 300.0, ""),  # surely less, though it grows
        (1.0, 239.0, "239 MB an hour is the limit: the run is too short to tell"),
        (0.0, 30.0, ""),
    ],
)
def test_a_limit_is_passed_for_certain_kept_for_certain_or_unclear(a_wave, limit, said):
    rng = np.random.default_rng(1)
    memory = [50 + a_wave * n + rng.normal(0, 0.2) for n in range(30)]
    growth = find_growth("memory", readings_of(memory=memory), limit=limit)
    assert growth is not None
    assert (said in growth.problem) if said else growth.ok
    assert growth.ok == (said == "")


def test_a_limit_is_not_kept_by_a_run_without_a_slope():
    growth = find_growth("memory", readings_of(memory=[50] * 4), limit=5)
    assert growth is not None
    assert growth.problem.startswith("the run is too short to tell")
    assert "5 MB an hour is the limit" in growth.problem


def test_the_warm_up_is_a_quarter_two_readings_or_fifteen_minutes():
    def count(n, seconds=WAVE_SECONDS):
        return count_warm_up(readings_of(memory=[1] * n, wave_seconds=seconds))

    assert (count(1), count(4), count(20), count(21)) == (2, 2, 5, 6)
    assert count(1000, 36) == 25
    assert count_warm_up([]) == 0


@pytest.mark.parametrize("n", [1, 2, 3])
@pytest.mark.parametrize("name", KINDS)
def test_next_to_no_reading_says_so(name, n):
    growth = find_growth(name, readings_of(memory=[50] * n))
    assert growth is not None
    assert growth.verdict == "too short to tell"
    assert growth.describe()
    assert find_growth(name, []) is None


def test_it_is_ready_for_json():
    growth = find_growth("memory", readings_of(memory=range(20)))
    assert growth is not None
    found = json.loads(json.dumps(growth.to_dict()))
    assert found["verdict"] == "grows"
    assert set(found["per_hour"]) == {"value", "low", "high"}


def test_a_time_is_said_in_minutes_or_hours():
    assert [say_minutes(each) for each in (0.2, 59.2, 89, 91)] == [
        "1 minute", "60 minutes", "89 minutes", "2 hours",
    ]  # fmt: skip
