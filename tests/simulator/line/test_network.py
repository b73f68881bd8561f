"""Losses, their concealment and the times of arrival, measured on many frames without a clock."""

import tracemalloc

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.simulator.line._concealment import Concealer, find_lag
from twistream_kit.simulator.line._runs import Losses, Runs, make_random
from twistream_kit.simulator.line.arrival import Arrivals, make_jitter
from twistream_kit.simulator.line.line import Line

FRAMES = 100_000

SILENT = b"\xff" * 160


def measure_runs(flags):
    """Return the share of frames in runs, and the mean length of a run."""
    flags = np.asarray(flags)
    begins = np.count_nonzero(flags[1:] & ~flags[:-1]) + bool(flags[0])
    return flags.mean(), flags.sum() / begins


@pytest.mark.parametrize(("loss", "burst"), [(0.01, 1), (0.05, 3), (0.3, 10)])
def test_losses_have_their_share_and_their_bursts(loss, burst):
    losses = Losses(Runs(make_random(5), loss, burst))
    share, mean = measure_runs([losses.take()[0] for _ in range(FRAMES)])
    # The share of 1,000 bursts is right to 4 %, mostly.
    assert share == pytest.approx(loss, rel=0.08)
    assert mean == pytest.approx(burst, rel=0.05)


def test_bursts_are_geometric_and_known_one_frame_before():
    losses = Losses(Runs(make_random(1), 0.2, 2))
    taken = [losses.take() for _ in range(50_000)]
    assert [now for now, _ in taken[1:]] == [following for _, following in taken[:-1]]
    flags = np.array([now for now, _ in taken])
    ends = np.flatnonzero(flags[:-1] & ~flags[1:])
    begins = np.flatnonzero(~flags[:-1] & flags[1:])
    lengths = ends[: len(begins)] - begins[: len(ends)]
    assert np.mean(lengths == 1) == pytest.approx(0.5, abs=0.02)
    assert np.mean(lengths == 2) == pytest.approx(0.25, abs=0.02)


@pytest.mark.parametrize("jitter_ms", [2, 20, 60])
def test_jitter_is_the_mean_lateness_and_frames_keep_their_order(jitter_ms):
    late = Line(jitter_ms=jitter_ms, seed=2).arrivals(FRAMES)
    assert late.min() >= 0
    assert late.mean() == pytest.approx(jitter_ms, rel=0.05)
    assert np.diff(late + 20 * np.arange(FRAMES)).min() >= 0


@pytest.mark.parametrize(("bunching", "bunch"), [(0.03, 4), (0.4, 9)])
def test_bunches_have_their_share_and_their_size(bunching, bunch):
    late = Line(bunching=bunching, bunch=bunch, seed=3).arrivals(FRAMES)
    come = np.round(late + 20 * np.arange(FRAMES), 6)
    _, sizes = np.unique(come, return_counts=True)
    bunches = sizes[sizes > 1]
    assert bunches.sum() / FRAMES == pytest.approx(bunching, rel=0.08)
    assert bunches.mean() == pytest.approx(bunch, rel=0.05)
    assert late[np.isin(come, np.unique(come)[sizes == 1])].max() == 0  # the others are in time


def test_bunch_comes_with_its_last_frame():
    late = Line(bunching=0.3, bunch=5, seed=9, delay_ms=100).arrivals(2000) - 100
    held = np.flatnonzero(late > 0)
    assert (late[held] - late[held + 1]).tolist() == [20.0] * len(held)


def test_jitter_beside_bunches_is_that_of_the_other_frames():
    late = Line(bunching=0.05, bunch=4, jitter_ms=5, seed=1).arrivals(FRAMES)
    come = np.round(late + 20 * np.arange(FRAMES), 6)
    _, where, sizes = np.unique(come, return_inverse=True, return_counts=True)
    assert late[sizes[where] == 1].mean() == pytest.approx(5, rel=0.05)


def test_arrivals_give_each_frame_at_its_time_by_the_clock_that_they_are_given():
    line = Line("bad_mobile", seed=4)
    arrivals, times = Arrivals(make_jitter(line, line.seed)), {}
    for ms in range(20 * 400):
        now = 1000 + ms / 1000
        if ms % 20 == 0:
            arrivals.put(ms // 20, now)
        for number in arrivals.take(now + 1e-6):
            times[number] = ms
    assert list(times) == sorted(times)
    waited = np.array([times[n] - 20 * n for n in range(300)])
    expected = line.arrivals(300) - line.delay_ms
    assert np.all(waited - expected > -0.01)
    assert np.all(waited - expected < 1.01)


def test_arrivals_say_when_the_next_comes_and_give_the_rest_at_the_end():
    arrivals = Arrivals(make_jitter(Line(jitter_ms=50), seed=1))
    assert arrivals.next_at is None
    for n in range(5):
        arrivals.put(n, n * 0.02)
    assert arrivals.take(arrivals.next_at - 0.001) == []
    first = arrivals.take(arrivals.next_at)
    assert first[0] == 0
    assert first + arrivals.take_all() == [0, 1, 2, 3, 4]
    assert len(arrivals) == 0


# Concealment


def conceal(clip, lost):
    """Return the samples of a clip with lost frames, float, shape ``(n,)``."""
    concealer, frames = Concealer(), clip.frames()
    sound = b"".join(
        concealer.take(frame, is_lost=n in lost, is_next_lost=n + 1 in lost)
        for n, frame in enumerate(frames)
    )
    return Clip(sound).samples().astype(float)


@pytest.mark.parametrize("hz", [80, 100, 125, 160, 200])
def test_period_of_5_to_15_ms_is_found(hz):
    samples = Clip.tone(hz, 0.5).samples().astype(np.float32)
    assert find_lag(samples) % (8000 / hz) == pytest.approx(0, abs=1) or find_lag(
        samples
    ) == pytest.approx(8000 / hz, abs=1)


@pytest.mark.parametrize("seed", [1, 2])
def test_period_is_always_between_5_and_15_ms(seed):
    noise = make_random(seed).random(480).astype(np.float32) - 0.5
    assert 40 <= find_lag(noise) <= 120
    assert 40 <= find_lag(np.zeros(480, np.float32)) <= 120


def test_level_stays_for_10_ms_then_falls_by_a_fifth_every_10_ms_to_silence_at_60_ms():
    sound = conceal(Clip.tone(200, 1.0, level_db=-6), lost=range(20, 30))
    level = np.abs(sound[10 * 160 : 18 * 160]).max()
    begin = 20 * 160
    peaks = [np.abs(sound[begin + 80 * n : begin + 80 * n + 80]).max() / level for n in range(8)]
    # Of each 10 ms the peak is near its begin, and a peak comes every 2.5 ms.
    assert peaks[:6] == pytest.approx([1, 0.98, 0.78, 0.58, 0.38, 0.18], abs=0.06)
    assert peaks[6:] == [0, 0]
    # In the middle of each 10 ms, by the envelope: 1, then 0.9, 0.7, 0.5, 0.3, 0.1.
    rms = [np.sqrt(np.mean(sound[begin + 80 * n : begin + 80 * n + 80] ** 2)) for n in range(6)]
    whole = np.sqrt(np.mean(sound[10 * 160 : 18 * 160] ** 2))
    assert [each / whole for each in rms] == pytest.approx([1, 0.9, 0.7, 0.5, 0.3, 0.12], abs=0.04)


def test_lost_frame_of_a_steady_tone_sounds_as_if_it_had_come():
    tone = Clip.tone(200, 1.0)
    sound, whole = conceal(tone, lost={20}), tone.samples().astype(float)
    first_half = slice(20 * 160, 20 * 160 + 80)
    error = np.abs(sound[first_half] - whole[first_half]).max()
    assert error < 0.06 * np.abs(whole).max()
    untouched = np.r_[0 : 19 * 160, 22 * 160 : len(whole)]
    assert np.array_equal(sound[untouched], whole[untouched])


@pytest.mark.parametrize("hz", [110, 173, 210, 333, 440])
@pytest.mark.parametrize("lost", [{20}, {20, 21}, {20, 21, 22, 23, 24}])
def test_joints_do_not_click(hz, lost):
    tone = Clip.tone(hz, 1.0)
    whole, sound = tone.samples().astype(float), conceal(tone, lost)
    cut = whole.copy()
    for frame in lost:
        cut[frame * 160 : frame * 160 + 160] = 0
    # Silence in place of a frame may begin at any phase of the tone: the worst of 160 places.
    jump = np.abs(np.diff(sound)).max()
    assert jump < 1.35 * np.abs(np.diff(whole)).max()
    click, silence = _measure_above(sound, 2000), _measure_above(cut, 2000)
    assert click < max(_measure_above(whole, 2000) * 3, silence / 4)


def test_first_frame_that_is_lost_is_silence():
    sound = conceal(Clip.tone(200, 0.2), lost={0})
    assert not sound[:160].any()


def test_sound_after_a_long_loss_begins_softly():
    sound = conceal(Clip.tone(200, 1.0), lost=range(20, 30))
    begin = 30 * 160
    assert not sound[begin - 320 : begin].any()
    assert abs(sound[begin]) < 0.05 * np.abs(sound).max()


def _measure_above(sound, hz):
    """Return the amplitude of what is above a frequency, in the middle of the sound."""
    part = sound[15 * 160 : 32 * 160] * np.hanning(17 * 160)
    spectrum = np.abs(np.fft.rfft(part))
    return float(np.sqrt(np.sum(spectrum[np.fft.rfftfreq(len(part), 1 / 8000) > hz] ** 2)))


def test_few_bunches_take_no_more_memory_than_many():
    tracemalloc.start()
    try:
        late = Line(bunching=1e-5, bunch=50).arrivals(10)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert late.tolist() == [0.0] * 10
    assert most < 1_000_000


def test_lateness_is_the_same_however_it_is_asked_for():
    line = Line(bunching=0.02, bunch=6, jitter_ms=4, seed=2)
    jitter = make_jitter(line, line.seed)
    assert [jitter.take() for _ in range(9000)] == line.arrivals(9000).tolist()
