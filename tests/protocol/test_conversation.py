"""One conversation, cranked by hand: every ending, and what is sent when."""

import pytest

from twistream_kit.errors import LocalProtocolError
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.conversation import Conversation
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome

SID = "MZ00000000000000000000000000000000"
SECOND = 8000


def pcmu(seconds):
    return b"\x55" * round(seconds * SECOND)


def echo(name):
    return from_twilio.Mark(SID, name)


def send_all(conversation, now):
    """Take everything that may be sent now."""
    messages = []
    while (message := conversation.next_message(now)) is not None:
        messages.append(message)
    return messages


def sent_bytes(messages):
    return sum(len(m.payload) for m in messages if isinstance(m, to_twilio.Media))


def mark_names(messages):
    return [m.name for m in messages if isinstance(m, to_twilio.Mark)]


@pytest.fixture
def conversation():
    return Conversation(SID)


# How a playback ends.


def test_playback_whose_mark_returns_was_heard_in_full(conversation):
    handle = conversation.play(pcmu(0.5), 10.0, mark="hello")
    messages = send_all(conversation, 10.0)
    assert sent_bytes(messages) == 4000
    assert mark_names(messages) == [handle]
    outcomes = conversation.receive(echo(handle), 10.51)
    assert outcomes == [PlayOutcome("heard", 500, 500)]
    assert outcomes[0].handle == handle
    assert conversation.open_handles == []


def test_playback_was_heard_in_full_even_when_its_mark_is_a_frame_early(conversation):
    handle = conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    assert conversation.receive(echo(handle), 0.98) == [PlayOutcome("heard", 1000, 1000)]


def test_mark_of_one_playback_corrects_what_is_known_of_the_next(conversation):
    first = conversation.play(pcmu(1), 0.0)
    second = conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    assert conversation.heard_bytes(second, 1.25) == 2000
    conversation.receive(echo(first), 1.25)  # Twilio is a quarter of a second behind
    assert conversation.heard_bytes(second, 1.25) == 0
    assert conversation.heard_bytes(second, 1.5) == 2000


def test_playback_is_not_over_because_its_time_is(conversation):
    handle = conversation.play(pcmu(0.5), 0.0)
    send_all(conversation, 0.0)
    assert conversation.advance(5.0) == []
    assert conversation.open_handles == [handle]


def test_clear_ends_a_playback_that_twilio_has_begun(conversation):
    handle = conversation.play(pcmu(5), 0.0)
    send_all(conversation, 0.0)
    assert conversation.clear(0.5) == []  # its mark is at Twilio, and will come back
    assert send_all(conversation, 0.5) == [to_twilio.Clear(SID)]
    assert conversation.receive(echo(handle), 0.52) == [PlayOutcome("cleared", 500, 5000)]


def test_clear_empties_both_buffers(conversation):
    begun = conversation.play(pcmu(12), 0.0)
    waiting = conversation.play(pcmu(3), 0.0, mark="next")
    # The send-ahead; the rest waits here.
    assert sent_bytes(send_all(conversation, 0.0)) == 10 * SECOND
    assert conversation.clear(1.0) == [PlayOutcome("cleared", 1000, 12000)]  # its mark was dropped
    assert conversation.open_handles == [waiting]
    assert send_all(conversation, 1.0) == [to_twilio.Clear(SID), to_twilio.Mark(SID, waiting)]
    assert conversation.receive(echo(waiting), 1.02) == [PlayOutcome("cleared", 0, 3000)]
    assert conversation.receive(echo(begun), 1.03) == []


def test_playback_that_was_never_sent_is_cleared_unheard(conversation):
    conversation.play(pcmu(1), 0.0)
    assert conversation.clear(3.0) == [PlayOutcome("cleared", 0, 1000)]
    assert send_all(conversation, 3.0) == [to_twilio.Clear(SID)]


def test_playback_fully_played_whose_mark_is_in_flight_at_a_clear_was_heard(conversation):
    first = conversation.play(pcmu(1), 0.0)
    second = conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    assert conversation.clear(1.01) == []
    assert conversation.receive(echo(first), 1.05) == [PlayOutcome("heard", 1000, 1000)]
    assert conversation.receive(echo(second), 1.05) == [PlayOutcome("cleared", 10, 1000)]


def test_later_clear_does_not_change_what_an_earlier_one_found(conversation):
    handle = conversation.play(pcmu(5), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(0.5)
    conversation.clear(2.0)
    assert conversation.receive(echo(handle), 2.1) == [PlayOutcome("cleared", 500, 5000)]


def test_audio_after_a_clear_is_a_generation_of_its_own(conversation):
    old = conversation.play(pcmu(5), 0.0, mark="part")
    send_all(conversation, 0.0)
    conversation.clear(0.5)
    new = conversation.play(pcmu(1), 0.5, mark="part")
    assert old != new
    messages = send_all(conversation, 0.5)
    assert messages[0] == to_twilio.Clear(SID)
    assert sent_bytes(messages) == SECOND
    assert conversation.receive(echo(old), 0.52) == [PlayOutcome("cleared", 500, 5000)]
    assert conversation.open_handles == [new]
    assert conversation.receive(echo(new), 1.55) == [PlayOutcome("heard", 1000, 1000)]


def test_empty_playback_ends_with_its_mark(conversation):
    handle = conversation.play(b"", 0.0)
    assert send_all(conversation, 0.0) == [to_twilio.Mark(SID, handle)]
    assert conversation.receive(echo(handle), 0.01) == [PlayOutcome("heard", 0, 0)]


# Marks.


def test_mark_that_returns_was_heard(conversation):
    conversation.play(pcmu(1), 0.0)
    handle = conversation.mark("question", 0.25)
    send_all(conversation, 0.25)
    assert conversation.receive(echo(handle), 1.5) == [MarkOutcome("heard", "question", 1250)]


def test_mark_behind_cleared_audio_was_cleared(conversation):
    handle = conversation.play(pcmu(1), 0.0)
    mark = conversation.mark("question", 0.0)
    send_all(conversation, 0.0)
    conversation.clear(0.5)
    assert conversation.receive(echo(handle), 0.6) == [PlayOutcome("cleared", 500, 1000)]
    assert conversation.receive(echo(mark), 0.6) == [MarkOutcome("cleared", "question", 600)]


def test_mark_not_sent_yet_goes_out_after_the_clear_and_comes_back_as_cleared(conversation):
    conversation.play(pcmu(1), 0.0)
    mark = conversation.mark("question", 0.0)
    conversation.clear(0.0)
    assert send_all(conversation, 0.0) == [to_twilio.Clear(SID), to_twilio.Mark(SID, mark)]
    assert conversation.receive(echo(mark), 0.02) == [MarkOutcome("cleared", "question", 20)]


def test_mark_made_after_a_clear_is_heard(conversation):
    conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(0.5)
    mark = conversation.mark("silence", 0.5)
    send_all(conversation, 0.5)
    assert conversation.receive(echo(mark), 0.52) == [MarkOutcome("heard", "silence", 20)]


def test_mark_on_an_empty_buffer_is_heard_after_a_clear_in_between(conversation):
    mark = conversation.mark("now", 0.0)
    send_all(conversation, 0.0)
    conversation.clear(0.0)
    assert conversation.receive(echo(mark), 0.02) == [MarkOutcome("heard", "now", 20)]


def test_equal_names_are_unique_on_the_wire(conversation):
    handles = [conversation.mark("part", 0.0), conversation.play(pcmu(0.02), 0.0, mark="part")]
    handles += [conversation.mark("part#1", 0.0), conversation.mark("play#2@1s", 0.0)]
    names = mark_names(send_all(conversation, 0.0))
    assert names == handles
    assert len(set(names)) == 4
    for handle in reversed(handles):  # out of order, each ends its own
        (outcome,) = conversation.receive(echo(handle), 0.1)
        assert outcome.handle == handle


def test_marks_that_nobody_sent_and_marks_that_return_twice_end_nothing(conversation):
    handle = conversation.mark("a", 0.0)
    assert conversation.receive(echo(handle), 0.0) == []  # not sent yet
    send_all(conversation, 0.0)
    assert conversation.receive(echo("a"), 0.1) == []
    assert conversation.receive(echo(""), 0.1) == []
    assert len(conversation.receive(echo(handle), 0.1)) == 1
    assert conversation.receive(echo(handle), 0.1) == []


def test_messages_that_are_not_about_playing_end_nothing(conversation):
    conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    for message in (
        from_twilio.Connected(),
        from_twilio.Start(SID),
        from_twilio.Media(SID, b"\xff" * 160),
        from_twilio.Dtmf(SID, "5"),
        from_twilio.Unknown("news", "{}"),
    ):
        assert conversation.receive(message, 0.5) == []
    assert conversation.ended is None


# Giving up.


def test_overdue_mark_is_lost_thirty_seconds_after_its_audio(conversation):
    conversation.play(pcmu(2), 0.0)
    send_all(conversation, 0.0)
    assert conversation.advance(31.9) == []
    assert conversation.advance(32.1) == [PlayOutcome("lost", 2000, 2000)]
    assert conversation.advance(99.0) == []


def test_overdue_mark_on_an_empty_buffer_is_lost_thirty_seconds_after_it_was_sent(conversation):
    mark = conversation.mark("a", 5000.0)
    send_all(conversation, 5010.0)
    assert conversation.advance(5039.9) == []
    assert conversation.advance(5040.1) == [MarkOutcome("lost", "a", 40100)]
    assert conversation.receive(echo(mark), 5041.0) == []


def test_mark_sent_long_after_the_last_audio_has_its_full_time(conversation):
    handle = conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    conversation.receive(echo(handle), 1.0)
    mark = conversation.mark("later", 100.0)
    send_all(conversation, 100.0)
    assert conversation.advance(100.0) == []
    assert conversation.receive(echo(mark), 100.1) == [MarkOutcome("heard", "later", 100)]


def test_clear_of_a_long_send_ahead_does_not_make_a_heard_mark_overdue():
    conversation = Conversation(SID, send_ahead_seconds=120)
    first = conversation.play(pcmu(1), 0.0)
    conversation.play(pcmu(100), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(1.01)
    assert conversation.advance(1.02) == []
    assert conversation.receive(echo(first), 1.05) == [PlayOutcome("heard", 1000, 1000)]


def test_new_audio_does_not_give_an_overdue_mark_more_time(conversation):
    conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    late = conversation.play(pcmu(1), 20.0)
    send_all(conversation, 20.0)
    assert conversation.advance(31.1) == [PlayOutcome("lost", 1000, 1000)]
    assert conversation.open_handles == [late]


def test_cleared_mark_without_an_echo_counts_as_cleared_after_five_seconds(conversation):
    conversation.play(pcmu(8), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(1.0)
    assert conversation.advance(5.9) == []
    assert conversation.advance(6.1) == [PlayOutcome("cleared", 1000, 8000)]


def test_second_clear_does_not_prolong_the_wait_for_a_cleared_mark(conversation):
    conversation.play(pcmu(8), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(1.0)
    conversation.clear(4.0)
    assert conversation.advance(6.1) == [PlayOutcome("cleared", 1000, 8000)]


def test_cleared_mark_is_waited_for_from_the_moment_it_is_sent(conversation):
    conversation.play(pcmu(1), 0.0)
    conversation.mark("m", 0.0)
    conversation.clear(0.0)
    assert conversation.advance(60.0) == []  # the socket is blocked: it is not sent yet
    send_all(conversation, 60.0)
    assert conversation.advance(64.9) == []
    assert conversation.advance(65.1) == [MarkOutcome("cleared", "m", 65100)]


def test_receiving_anything_gives_up_what_is_overdue(conversation):
    conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    media = from_twilio.Media(SID, b"\xff" * 160)
    assert conversation.receive(media, 40.0) == [PlayOutcome("lost", 1000, 1000)]


# The send-ahead.


def test_send_ahead_of_ten_seconds_is_sent_at_once_and_no_more(conversation):
    conversation.play(pcmu(60), 0.0)
    assert sent_bytes(send_all(conversation, 0.0)) == 10 * SECOND
    assert conversation.next_message(0.1) is None


def test_refill_comes_in_bursts(conversation):
    conversation.play(pcmu(60), 0.0)
    send_all(conversation, 0.0)
    # A writer that looks every 10 ms, for five seconds.
    looks = [sent_bytes(send_all(conversation, step / 100)) for step in range(1, 500)]
    bursts = [size for size in looks if size]
    assert 8 <= len(bursts) <= 10
    assert min(bursts) >= 0.49 * SECOND


def test_wait_seconds_is_when_the_next_burst_is_due(conversation):
    assert conversation.wait_seconds(0.0) is None
    conversation.play(pcmu(60), 0.0)
    assert conversation.wait_seconds(0.0) == 0.0
    send_all(conversation, 0.0)
    wait = conversation.wait_seconds(0.0)
    assert wait == pytest.approx(0.5, abs=0.01)
    assert conversation.next_message(wait - 0.01) is None
    assert conversation.next_message(wait) is not None


def test_least_send_ahead_keeps_200_ms_ahead():
    conversation = Conversation(SID, send_ahead_seconds=0.2)
    conversation.play(pcmu(3), 0.0)
    now, lowest = 0.0, 1600
    assert sent_bytes(send_all(conversation, now)) == 1600
    while conversation.model.sent_bytes < 3 * SECOND:
        now += conversation.wait_seconds(now)
        lowest = min(lowest, conversation.model.count_buffered(now))
        assert sent_bytes(send_all(conversation, now)) > 0
        assert conversation.model.count_buffered(now) <= 1600 + 160
    assert lowest >= 0.14 * SECOND  # it is never near to running dry


def test_mark_and_clear_need_no_room(conversation):
    conversation.play(pcmu(60), 0.0)
    send_all(conversation, 0.0)
    conversation.mark("m", 0.0)
    assert conversation.next_message(0.0) is None  # the mark stands behind audio
    conversation.clear(0.0)
    assert conversation.wait_seconds(0.0) == 0.0
    assert len(send_all(conversation, 0.0)) == 2


def test_full_send_ahead_is_sent_again_after_a_clear(conversation):
    conversation.play(pcmu(60), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(0.1)
    conversation.play(pcmu(60), 0.1)
    assert sent_bytes(send_all(conversation, 0.1)) == 10 * SECOND


def test_marks_that_return_late_hold_the_next_audio_back(conversation):
    conversation.play(pcmu(60), 0.0)
    names = mark_names(send_all(conversation, 0.0))
    conversation.receive(echo(names[0]), 1.4)  # Twilio is 0.4 s behind the clock
    assert conversation.model.count_buffered(1.4) == 9 * SECOND
    assert conversation.model.count_played(2.0) == round(1.6 * SECOND)


@pytest.mark.parametrize("send_ahead", [0.19, 590.1, -1, float("nan"), float("inf")])
def test_send_ahead_out_of_range_is_refused_in_words(send_ahead):
    with pytest.raises(ValueError, match=r"between 0\.2 .* and 590"):
        Conversation(SID, send_ahead_seconds=send_ahead)


@pytest.mark.parametrize("send_ahead", [0.2, 590])
def test_send_ahead_within_range_is_accepted(send_ahead):
    Conversation(SID, send_ahead_seconds=send_ahead)


# How much was heard.


def test_heard_bytes_follow_the_model(conversation):
    first = conversation.play(pcmu(1), 0.0)
    second = conversation.play(pcmu(1), 0.0)
    assert conversation.heard_bytes(first, 0.0) == 0
    send_all(conversation, 0.0)
    assert conversation.heard_bytes(first, 0.25) == 2000
    assert conversation.heard_bytes(second, 0.25) == 0
    assert conversation.heard_bytes(first, 1.5) == 8000
    assert conversation.heard_bytes(second, 1.5) == 4000
    conversation.receive(echo(first), 1.5)
    assert conversation.heard_bytes(first, 1.5) == 0  # it has ended: its outcome says it
    assert conversation.heard_bytes("nobody", 1.5) == 0


def test_heard_bytes_stand_still_after_a_clear(conversation):
    handle = conversation.play(pcmu(5), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(1.0)
    assert conversation.heard_bytes(handle, 4.0) == SECOND


def test_heard_in_is_unknown_until_sent(conversation):
    handle = conversation.play(pcmu(30), 0.0)
    assert conversation.heard_in(handle, 4000, 0.0) is None
    send_all(conversation, 0.0)
    assert conversation.heard_in(handle, 4000, 0.0) == 0.5
    assert conversation.heard_in(handle, 4000, 0.25) == 0.25
    assert conversation.heard_in(handle, 4000, 3.0) == 0.0
    assert conversation.heard_in(handle, 20 * SECOND, 0.0) is None  # beyond the send-ahead
    assert conversation.heard_in("nobody", 1, 0.0) is None


def test_heard_in_is_unknown_after_a_clear(conversation):
    handle = conversation.play(pcmu(5), 0.0)
    send_all(conversation, 0.0)
    conversation.clear(0.25)
    assert conversation.open_handles == [handle]
    assert conversation.heard_in(handle, 4000, 0.25) is None


def test_heard_in_counts_from_the_beginning_of_its_own_playback(conversation):
    conversation.play(pcmu(2), 100.0)
    handle = conversation.play(pcmu(1), 100.0)
    send_all(conversation, 100.0)
    assert conversation.heard_in(handle, 4000, 101.0) == pytest.approx(1.5)


# The end.


@pytest.mark.parametrize("reason", ["stop", "closed", "1006", "no media for 30 s"])
def test_end_gives_everything_open_one_ending(conversation, reason):
    heard = conversation.play(pcmu(1), 0.0, mark="heard")
    sent = conversation.play(pcmu(2), 0.0, mark="sent")
    mark = conversation.mark("mark", 0.0)
    unsent = conversation.play(pcmu(30), 0.0)
    send_all(conversation, 0.0)
    conversation.receive(echo(heard), 1.0)
    outcomes = conversation.end(reason, 1.5)
    assert outcomes == [
        PlayOutcome("lost", 500, 2000),
        MarkOutcome("lost", "mark", 1500),
        PlayOutcome("lost", 0, 30000),
    ]
    assert [outcome.handle for outcome in outcomes] == [sent, mark, unsent]
    assert conversation.ended == reason
    assert conversation.open_handles == []


def test_end_calls_cleared_what_was_cleared_before(conversation):
    conversation.play(pcmu(5), 0.0)
    conversation.mark("m", 0.0)
    send_all(conversation, 0.0)
    conversation.clear(1.0)
    assert conversation.end("closed", 1.1) == [
        PlayOutcome("cleared", 1000, 5000),
        MarkOutcome("cleared", "m", 1100),
    ]


def test_end_before_anything_was_played_ends_nothing(conversation):
    assert conversation.end("closed", 0.0) == []


def test_end_is_idempotent_and_keeps_its_first_reason(conversation):
    conversation.play(pcmu(1), 0.0)
    assert len(conversation.end("stop", 0.0)) == 1
    assert conversation.end("1006", 1.0) == []
    assert conversation.receive(from_twilio.Stop(SID), 1.0) == []
    assert conversation.ended == "stop"


def test_stop_message_ends_the_stream(conversation):
    conversation.play(pcmu(1), 0.0)
    send_all(conversation, 0.0)
    assert conversation.receive(from_twilio.Stop(SID), 0.5) == [PlayOutcome("lost", 500, 1000)]
    assert conversation.ended == "stop"


def test_ended_stream_sends_and_clears_nothing_more(conversation):
    handle = conversation.play(pcmu(60), 0.0)
    send_all(conversation, 0.0)
    conversation.end("stop", 0.0)
    assert conversation.next_message(9.0) is None
    assert conversation.wait_seconds(9.0) is None
    assert conversation.clear(9.0) == []
    assert conversation.advance(99.0) == []
    assert conversation.receive(echo(handle), 9.0) == []
    assert conversation.heard_bytes(handle, 9.0) == 0


@pytest.mark.parametrize("command", ["play", "mark"])
def test_playing_on_an_ended_stream_is_refused_in_words(conversation, command):
    conversation.end("stop", 0.0)
    with pytest.raises(LocalProtocolError) as caught:
        conversation.play(b"\xff", 1.0) if command == "play" else conversation.mark("m", 1.0)
    assert str(caught.value) == (
        "the stream has ended (stop). Nothing can be played on it any more. Wait for the next one "
        "with server.next_stream()."
    )


# What is refused.


@pytest.mark.parametrize("command", ["play", "mark"])
def test_empty_mark_name_is_refused(conversation, command):
    with pytest.raises(LocalProtocolError) as caught:
        if command == "play":
            conversation.play(b"\xff", 0.0, mark="")
        else:
            conversation.mark("", 0.0)
    assert str(caught.value) == "mark.name is empty. Give the mark a short name of ASCII letters."
    assert conversation.open_handles == []


def test_mark_given_up_while_it_was_held_back_wakes_nobody(conversation):
    conversation.mark("part", 0.0)
    conversation.play(b"", 0.0)  # its mark would come hard upon the other, and is held back
    send_all(conversation, 0.0)
    assert [outcome.ending for outcome in conversation.advance(31.0)] == ["lost", "lost"]
    assert conversation.wait_seconds(31.0) is None
    assert conversation.next_message(31.0) is None
