"""The whole of a call that has ended: its peaks in levels, its events, its still picture."""

from __future__ import annotations

import re

import numpy as np
import pytest

from support.drawings import drawings_in
from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.widgets._whole_call import (
    MOST_EVENTS,
    MOST_SECONDS,
    TILE_COLUMNS,
    TOP_COLUMNS,
    ScopeEvent,
    draw_still,
    read_whole_call,
)
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ00000000000000000000000000000001"
LOUD = Clip.tone(440, 0.02, level_db=-3).payload
QUIET = b"\xff" * 160


def long_call(seconds, *, loud_at):
    """A call in which one frame of the caller's is loud, and one frame of yours a second later."""
    capture = Capture(SID)
    for chunk in range(seconds * 50):
        at = chunk / 50
        said = LOUD if at == loud_at else QUIET
        capture.append(
            from_twilio.Media(SID, said, chunk + 2, "inbound", chunk + 1, chunk * 20), at + 0.02
        )
        if at == loud_at + 1:
            capture.append(to_twilio.Media(SID, LOUD), at + 0.02)
    capture.append(from_twilio.Stop(SID), float(seconds))
    return capture


@pytest.fixture(scope="module")
def ten_minutes():
    return read_whole_call(long_call(600, loud_at=321.0))


def test_ten_minutes_are_levels_of_which_the_coarsest_is_small(ten_minutes):
    assert [len(level) for level in ten_minutes.levels] == [30_000, 7_500, 1_875]
    assert len(ten_minutes.top) <= TOP_COLUMNS
    assert sum(level.nbytes for level in ten_minutes.levels) < 160_000
    assert len(ten_minutes.to_traits()["top"]) <= 4 * TOP_COLUMNS


def test_no_level_misses_a_peak_and_all_show_it_at_its_time(ten_minutes):
    for level in ten_minutes.levels:
        seconds = ten_minutes.seconds / len(level)
        for lane, at in ((0, 321.0), (1, 322.0)):
            loud = np.flatnonzero(level[:, 2 * lane + 1] > 60)
            assert loud.size in (1, 2)
            assert loud[0] * seconds == pytest.approx(at, abs=seconds + 0.03)


def test_tiles_are_the_level_in_pieces(ten_minutes):
    tiles = [ten_minutes.read_tile(0, number) for number in range(30)]
    assert all(tile is not None and tile.nbytes <= 4 * TILE_COLUMNS for tile in tiles)
    assert np.array_equal(np.concatenate(tiles), ten_minutes.levels[0])
    assert ten_minutes.read_tile(0, 30) is ten_minutes.read_tile(3, 0) is None


def test_figures_say_how_long_both_spoke_and_what_was_left_out():
    capture = long_call(5, loud_at=1.0)
    for number in range(MOST_EVENTS + 7):
        capture.append(from_twilio.Dtmf(SID, "5"), 4 + number / 10_000)
    whole = read_whole_call(capture)
    assert len(whole.events) == MOST_EVENTS
    assert whole.describe() == (
        "5.0 s of call, sound of the caller in 0.0 s, of yours in 0.0 s, 2000 keys, "
        "7 later events left out"
    )


def test_a_call_without_sound_and_one_of_hours_are_read():
    whole = read_whole_call(Capture(SID))
    assert (whole.seconds, len(whole.top)) == (0.0, 1)
    capture = long_call(2, loud_at=0.5)
    capture.append(to_twilio.Clear(SID), 3 * MOST_SECONDS)
    assert read_whole_call(capture).seconds == 2.0


def boxes(still):
    """The left edge, the right edge and the line of each label."""
    found = []
    for x, y, wide in re.findall(r"<text x='(-?\d+)' y='(\d+)' textLength='(\d+)'>", still):
        found.append((int(x), int(x) + int(wide), int(y)))
    return found


@pytest.mark.parametrize("count", [1, 5, 40, 600])
def test_labels_of_the_still_picture_cover_neither_each_other_nor_sound(count):
    events = [
        ScopeEvent(10 * number / count, "mark back", f"mark {number} of a long name")
        for number in range(count)
    ]
    events.append(ScopeEvent(9.99, "key", "#"))
    columns = np.full((500, 4), 127, np.int8)
    [(words, still)] = drawings_in(draw_still(columns, events, 0.0, 10.0, "words"))
    assert words == "words"
    labels = boxes(still)
    for left, right, line in labels:
        assert 0 <= left < right <= 640
        assert line == 11 or 96 <= line <= 111  # the strips above the lanes
        assert not [
            other for other in labels
            if other != (left, right, line) and other[2] == line
            and other[0] < right and left < other[1]
        ]  # fmt: skip
    hidden = sum(int(number) for number in re.findall(r">\+ (\d+) more<", still))
    assert len(labels) + hidden == count + 1
    assert (hidden == 0) is (count == 1)
