"""The last seconds of both voices, as a live picture needs them."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.widgets.scope import ScopeEvent, ScopeTrace
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ00000000000000000000000000000001"
TONE = Clip.tone(440, 2.0, level_db=-6).payload
CLEAR = to_twilio.Clear(SID)


@pytest.fixture
def capture():
    return Capture(SID, started=100.0)


@pytest.fixture
def passes(capture):
    """Let messages pass at a time, in seconds since the stream began."""

    def pass_by(at, *messages):
        for message in messages:
            capture.append(message, 100.0 + at)

    return pass_by


def frames(payload):
    return [to_twilio.Media(SID, payload[at : at + 160]) for at in range(0, len(payload), 160)]


def voice(chunk, payload=TONE[1600:1760]):
    return from_twilio.Media(SID, payload, chunk + 1, "inbound", chunk, 20 * chunk)


def mark(name):
    return to_twilio.Mark(SID, name)


def returned(name):
    return from_twilio.Mark(SID, name)


def loud(lane, window):
    """Return from when to when a lane is loud, in seconds."""
    columns = np.flatnonzero((lane[:, 1].astype(int) - lane[:, 0]) > 10)
    if not columns.size:
        return None
    begin, end = (window.first + columns[0]) * 0.02, (window.first + columns[-1] + 1) * 0.02
    assert columns.size == columns[-1] - columns[0] + 1, "it has holes"
    return round(begin, 2), round(end, 2)


def test_before_anything_passed_both_lanes_are_silent(capture):
    window = ScopeTrace(capture).read_window(0.5)
    assert window.caller.shape == window.heard.shape == (400, 2)
    assert window.caller.dtype == np.int8
    assert not window.caller.any()
    assert not window.heard.any()
    assert window.events == ()
    assert (window.first + 399) * 0.02 <= 0.5 < (window.first + 400) * 0.02


def test_your_sound_shows_as_it_is_heard_and_not_as_it_is_sent(capture, passes):
    trace = ScopeTrace(capture)
    passes(1.0, *frames(TONE))
    assert loud((half := trace.read_window(1.5)).heard, half) == (1.0, 1.5)
    assert loud((whole := trace.read_window(4.0)).heard, whole) == (1.0, 3.0)


def test_what_a_clear_threw_away_never_shows(capture, passes):
    passes(1.0, *frames(TONE))
    passes(1.5, CLEAR)
    passes(2.0, *frames(TONE[:8000]))
    window = ScopeTrace(capture).read_window(5.0)
    lane = window.heard.astype(int)
    loud_columns = (lane[:, 1] - lane[:, 0]) > 10
    at = [round((window.first + number) * 0.02, 2) for number in np.flatnonzero(loud_columns)]
    assert at == [round(1 + 0.02 * n, 2) for n in (*range(25), *range(50, 100))]
    assert ScopeEvent(1.5, "clear") in window.events


def test_a_late_mark_moves_what_is_heard(capture, passes):
    passes(1.0, *frames(TONE), mark("end#1"))
    trace = ScopeTrace(capture)
    assert loud((early := trace.read_window(2.0)).heard, early) == (1.0, 2.0)
    passes(3.2, returned("end#1"))
    assert loud((late := trace.read_window(4.0)).heard, late) == (1.2, 3.2)


def test_a_mark_that_a_clear_sent_back_says_nothing_about_what_was_heard(capture, passes):
    passes(1.0, *frames(TONE), mark("end#1"))
    passes(1.5, CLEAR)
    passes(1.75, returned("end#1"))
    window = ScopeTrace(capture).read_window(3.0)
    assert loud(window.heard, window) == (1.0, 1.5)
    assert window.events[-1] == ScopeEvent(1.75, "mark back", "end (cleared)")


def test_the_caller_shows_where_the_voice_arrived(capture, passes):
    for n in range(25):
        passes(0.02 * n + 0.02, voice(n + 1))
    for n in range(25):  # after a gap
        passes(0.02 * n + 2.02, voice(n + 101))
    window = ScopeTrace(capture).read_window(3.0)
    lane = window.caller.astype(int)
    at = np.flatnonzero(lane[:, 1] - lane[:, 0] > 10) + window.first
    assert at.tolist() == [*range(25), *range(100, 125)]
    assert not window.heard.any()


def test_frames_that_are_late_leave_no_gap(capture, passes):
    passes(0.02, voice(1))
    passes(0.9, *(voice(n) for n in range(2, 45)))
    assert loud((w := ScopeTrace(capture).read_window(1.0)).caller, w) == (0.0, 0.88)


def test_a_wild_chunk_number_leads_no_further_than_the_present(capture, passes):
    passes(0.02, voice(1))
    passes(2.0, voice(4_000_000_000))
    assert (
        np.flatnonzero((w := ScopeTrace(capture).read_window(3.0)).caller.any(axis=1))[-1] + w.first
        == 99
    )


def test_a_burst_of_frames_stands_side_by_side(capture, passes):
    passes(1.06, *(voice(n) for n in range(1, 11)))
    assert loud((w := ScopeTrace(capture).read_window(2.0)).caller, w) == (1.04, 1.24)


def test_the_other_track_is_not_the_caller(capture, passes):
    passes(0.5, from_twilio.Media(SID, TONE[:160], track="outbound"))
    assert not ScopeTrace(capture).read_window(1.0).caller.any()


def test_marks_clears_and_keys_stand_where_they_fall_by_their_plain_names(capture, passes):
    passes(1.0, *frames(TONE), mark("greeting#1@1s"), mark("greeting#1"), mark("play#2"))
    passes(2.0, returned("greeting#1@1s"), from_twilio.Dtmf(SID, "5"))
    passes(3.0, returned("greeting#1"), returned("play#2"))
    passes(3.5, CLEAR)
    assert ScopeTrace(capture).read_window(4.0).events == (
        ScopeEvent(1.0, "mark sent", "greeting"),
        ScopeEvent(2.0, "key", "5"),
        ScopeEvent(3.0, "mark back", "greeting"),
        ScopeEvent(3.5, "clear"),
    )


def test_what_lies_before_the_window_has_left_it(capture, passes):
    passes(0.0, CLEAR, voice(1), *frames(TONE[:8000]))
    trace = ScopeTrace(capture)
    assert trace.read_window(1.0).events
    window = trace.read_window(20.0)
    assert window.events == ()
    assert not window.caller.any()
    assert not window.heard.any()


def test_its_memory_is_bounded_however_long_the_call(capture, passes):
    trace = ScopeTrace(capture)
    for second in range(60):
        passes(second, *(voice(50 * second + n) for n in range(50)), *frames(TONE[:8000]), CLEAR)
        trace.read_window(second)
    assert len(trace._caller._payload) < 30 * 8000
    assert len(trace._yours._payload) < 30 * 8000
    assert len(trace._events) <= 200


def test_a_mark_nobody_sent_is_passed_over(capture, passes):
    passes(1.0, returned("strange"))
    assert ScopeTrace(capture).read_window(2.0).events == ()


@given(st.lists(st.floats(0, 4), max_size=8), st.integers(1, 20))
@settings(max_examples=25, deadline=None)
def test_looking_often_shows_the_same_as_looking_once(times, looks):
    capture = Capture(SID, started=100.0)
    trace = ScopeTrace(capture)
    for number, at in enumerate(sorted(times)):
        sent = [CLEAR] if number % 3 == 2 else frames(TONE[:4000])
        for message in (*sent, voice(number + 1)):
            capture.append(message, 100.0 + at)
        trace.read_window(at)
    for look in range(looks):
        trace.read_window(4 + look / 100)
    often, once = trace.read_window(5.0), ScopeTrace(capture).read_window(5.0)
    assert often.events == once.events
    assert np.array_equal(often.heard, once.heard)
    assert np.array_equal(often.caller, once.caller)
