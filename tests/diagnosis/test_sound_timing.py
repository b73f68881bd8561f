"""Whether sound comes in time, with the times given."""

import runpy

import pytest

from twistream_kit.diagnosis import _sending_timing
from twistream_kit.diagnosis._sending_timing import SendingTiming
from twistream_kit.protocol import playout

LOUD = b"\x10" * 160
SOFT = b"\xfe" * 160
SECOND = b"\x10" * 8000


def send(timing, payload, times):
    """Send `payload` at each of the times; return what is objected to."""
    return [found for at in times if (found := timing.note_sent(payload, at))]


def test_sound_sent_by_an_exact_clock_meets_no_objection():
    jitter = [0.0, 0.004, -0.003, 0.009, 0.0, -0.002, 0.011]
    times = [n * 0.02 + jitter[n % 7] for n in range(3000)]
    assert send(SendingTiming(), LOUD, times) == []


def test_sleeping_as_long_as_the_sound_is_falls_behind_and_is_reported_once():
    (found,) = send(SendingTiming(), LOUD, [n * 0.0215 for n in range(1000)])
    assert (found.code, found.field, found.severity) == (None, "media", "warning")
    assert "67 gaps of some 2 ms in 1.4 s" in found.problem
    assert "stutter" in found.consequence
    assert "stay 200 ms ahead" in found.fix


def test_stalls_in_the_midst_of_sound_are_reported_with_their_length():
    timing, at, found = SendingTiming(), 0.0, []
    for _ in range(5):
        found += send(timing, SECOND, [at])
        at += 1.15
    assert [each.problem for each in found] == []
    (found,) = send(timing, SECOND, [at])
    assert "5 gaps of some 150 ms in 4.6 s" in found.problem


def test_pauses_between_sentences_are_no_gaps():
    timing = SendingTiming()
    sentence = SECOND[:-160] + SOFT
    assert send(timing, sentence, [n * 1.2 for n in range(60)]) == []


def test_pauses_longer_than_any_stall_are_no_gaps():
    assert send(SendingTiming(), LOUD, [n * 0.5 for n in range(60)]) == []


def test_rare_gaps_are_forgotten():
    timing = SendingTiming()
    minute = SECOND * 11
    assert send(timing, minute, [n * 11.1 for n in range(30)]) == []


def test_what_follows_a_clear_is_something_new():
    timing = SendingTiming()
    for n in range(50):
        assert timing.note_sent(SECOND, n * 0.2) is None
        timing.note_clear(n * 0.2 + 0.1)


def test_more_than_ten_minutes_ahead_is_31931_once():
    timing = SendingTiming()
    found = send(timing, SECOND, [0.0] * 700)
    assert [(each.code, each.field, each.severity) for each in found] == [(31931, "media", "error")]
    assert "ten minutes ahead" in found[0].problem


def test_the_send_ahead_of_play_is_said_as_it_is(monkeypatch):
    monkeypatch.setattr(playout, "SEND_AHEAD_SECONDS", 7.0)
    anew = runpy.run_path(_sending_timing.__file__)
    found = send(anew["SendingTiming"](), SECOND, [0.0] * 700)
    assert found[0].fix.endswith("stream.play(clip) keeps 7 s ahead")


def test_ten_minutes_ahead_to_the_byte_is_allowed():
    assert send(SendingTiming(), SECOND, [0.0] * 600) == []


@pytest.mark.parametrize(("at", "joined"), [(0.5, True), (1.0, True), (1.1, False)])
def test_sound_is_joined_while_the_sound_before_it_is_still_played(at, joined):
    timing = SendingTiming()
    timing.note_sent(SECOND, 0.0)
    assert timing.is_joined(at) is joined


def test_an_empty_payload_changes_nothing():
    timing = SendingTiming()
    timing.note_sent(LOUD, 0.0)
    assert timing.note_sent(b"", 5.0) is None
    assert not timing.is_joined(5.0)
