"""What the controls say."""

from __future__ import annotations

from types import SimpleNamespace

from twistream_kit.audio.clip import Clip
from twistream_kit.notebook.widgets.activity_lines import list_lines
from twistream_kit.notebook.widgets.controls import label_clip
from twistream_kit.notebook.widgets.controls_text import (
    PlaybackText,
    describe_playback,
    describe_state,
)
from twistream_kit.protocol.ending import EndCause
from twistream_kit.protocol.marks import PlayOutcome

SID = "MZ0123456789abcdef0123456789abcdef"

ERROR = '<span class="twistream-error"><span aria-hidden="true">✖ </span>'
WARNING = '<span class="twistream-warning"><span aria-hidden="true">⚠\ufe0e </span>'
"""What stands before an error and a warning: a colour, and a sign for those who do not see it."""


def stream(*, has_queued=False, **what):
    about = {
        "handler_error": None,
        "closed": SimpleNamespace(done=lambda: False),
        "cause": None,
        "is_open": True,
        "stream_sid": SID,
        "disconnect_reason": "",
        "_state": SimpleNamespace(has_queued=has_queued, remark=""),
    }
    return SimpleNamespace(**(about | what))


def ended(detail="Twilio stopped the stream", **what):
    cause = SimpleNamespace(in_words=detail)
    return stream(closed=SimpleNamespace(done=lambda: True), cause=cause, is_open=False, **what)


OF_CALL, OF_STREAM = SimpleNamespace(stream_sid=""), SimpleNamespace(stream_sid=SID)


def call(status, *, over=False, events=(OF_CALL, OF_STREAM), cause=None):
    return SimpleNamespace(status=status, is_over=over, events=list(events), cause=cause)


def test_the_state_is_one_short_line_and_keeps_the_whole_sid_for_the_mouse():
    text = describe_state(stream())
    assert text.startswith("<b>In a call</b><span ")
    assert f'title="{SID}"' in text
    assert ", stream MZ0123…cdef<" in text
    assert "<br>" not in text


def test_screen_readers_do_not_hear_the_sid_with_each_change():
    assert 'aria-hidden="true"' in describe_state(stream(has_queued=True))


def test_what_buttons_wait_for_stands_under_the_state_until_the_call_has_ended():
    assert describe_state(stream(), "Buttons <wait>.").endswith("<br>Buttons &lt;wait&gt;.")
    assert describe_state(ended("a & b"), "Buttons wait.") == "<b>Ended</b>: a &amp; b"


def test_a_lost_public_address_is_shown_while_the_stream_is_open_and_after_it():
    gone = f"<br>{ERROR}<b>The public address was lost</b>: ssh ended &lt;255&gt;</span>"
    assert describe_state(stream(disconnect_reason="ssh ended <255>")).endswith(gone)
    assert describe_state(ended(disconnect_reason="ssh ended <255>")).endswith(gone)
    assert "public address" not in describe_state(stream())


def test_what_is_wrong_with_the_sound_is_shown_while_the_stream_is_open_and_after_it():
    state = SimpleNamespace(has_queued=True, remark="the sound is A-law & not PCMU. Say <so>.")
    words = "the sound is A-law &amp; not PCMU. Say &lt;so&gt;."
    shown = f"<br>{WARNING}<b>Look at what is played</b>: {words}</span>"
    assert describe_state(stream(_state=state)).endswith(shown)
    assert describe_state(ended(_state=state)).endswith(shown)
    state.remark = ""
    assert "<br>" not in describe_state(stream(_state=state))


def test_a_lost_public_address_does_not_hide_why_a_handler_failed():
    text = describe_state(
        stream(disconnect_reason="ssh ended", handler_error=ValueError("x")), "Buttons wait."
    )
    assert text == (
        f"{ERROR}<b>Ended by an error in your handler</b>: ValueError: x</span><br>"
        f"{ERROR}<b>The public address was lost</b>: ssh ended</span>"
    )


def test_the_status_of_the_call_is_shown_when_it_says_more_than_the_stream():
    assert describe_state(ended(), call=call("completed", over=True)) == (
        "<b>Ended</b>: Twilio stopped the stream<br>The call: completed"
    )
    assert describe_state(stream(), call=call("ringing")).endswith("<br>The call: ringing")
    assert describe_state(ended(), call=call("<busy>", over=True)).endswith(
        "The call: &lt;busy&gt;"
    )
    assert "The call" not in describe_state(stream(), call=call("in-progress"))


def test_who_ended_the_call_stands_behind_its_status():
    cause = EndCause("callee-hung-up", is_guess=True)
    shown = describe_state(ended(), call=call("completed", over=True, cause=cause))
    assert shown.endswith("<br>The call: completed, the callee hung up (probably)")


def test_a_status_that_nothing_brings_up_to_date_is_not_shown():
    for events in [(), (OF_STREAM,)]:
        assert "The call" not in describe_state(stream(), call=call("queued", events=events))
    assert "The call: completed" in describe_state(
        ended(), call=call("completed", over=True, events=())
    )


def test_what_a_handler_raised_is_text_and_not_html():
    text = describe_state(stream(handler_error=ValueError("<img src=x onerror=alert(1)>")))
    assert "<img" not in text
    assert "ValueError: &lt;img" in text


def test_lines_are_text_and_not_html():
    assert list_lines(["<b>1</b>", "2"]) == "<ul><li>&lt;b&gt;1&lt;/b&gt;</li><li>2</li></ul>"


def test_errors_and_warnings_among_the_lines_have_a_sign_and_a_colour():
    lines = ["1.00 s: Error: <it> broke", "2.00 s: Warning: it is late", "3.00 s: no Error: here"]
    assert list_lines(lines) == (
        f"<ul><li>1.00 s: {ERROR}Error: &lt;it&gt; broke</span></li>"
        f"<li>2.00 s: {WARNING}Warning: it is late</span></li><li>3.00 s: no Error: here</li></ul>"
    )


def test_before_the_first_call_the_state_says_so():
    assert describe_state(None) == "<b>No call yet</b>"


def test_a_clip_is_named_with_its_length():
    assert label_clip(Clip(bytes(12_000), name="tone")) == "tone (1.5 s)"
    assert label_clip(Clip(bytes(800))) == "clip (0.1 s)"


class Sound:
    """A playback in some state."""

    def __init__(self, heard_ms, total_ms, mark=None, ending="", **outcome):
        self.heard_ms, self.total_ms, self.mark = heard_ms, total_ms, mark
        self.progress = heard_ms / total_ms
        self.outcome = PlayOutcome(ending, heard_ms, total_ms, **{"handle": "x#1"} | outcome)

    def done(self):
        return bool(self.outcome.ending)

    def result(self, _timeout):
        return self.outcome


def test_before_anything_was_sent_the_bar_is_plain_and_says_so():
    assert describe_playback([], None) == PlaybackText("nothing sent yet", 0, "")


def test_the_clip_that_sounds_now_is_shown_and_not_the_newest():
    now, newest = Sound(1300, 4200, "greeting"), Sound(0, 3200, "tone")
    shown = describe_playback([now, Sound(0, 5200), newest], newest)
    assert shown.text == "now: greeting 1.3 of 4.2 s; then 2 more, 8.4 s"
    assert shown.share == 1300 / 4200
    assert describe_playback([Sound(500, 1000)], newest).text == "now: 0.5 of 1.0 s"


def test_a_sound_that_the_loop_has_not_taken_yet_sounds_now():
    assert describe_playback([], Sound(0, 3000, "tone")).text == "now: tone 0.0 of 3.0 s"


def test_how_the_last_sound_ended_is_shown_when_none_sounds():
    shown = describe_playback([], Sound(300, 300, "tone", "heard"))
    assert shown == PlaybackText("tone 0.3 of 0.3 s, heard", 1, "success")


def test_of_a_queue_that_was_cleared_the_one_that_sounded_is_shown():
    first, newest = Sound(1300, 4200, "greeting", "cleared"), Sound(0, 3000, "tone", "cleared")
    before = [first, Sound(0, 1000, "beep", "cleared"), newest]
    shown = describe_playback([], newest, before)
    assert shown.text == "greeting 1.3 of 4.2 s, cleared, and 2 more that nobody heard"
    assert (shown.share, shown.bar_style) == (1300 / 4200, "warning")
    assert describe_playback([], newest, [newest]).text == "tone 0.0 of 3.0 s, cleared"


def test_what_was_lost_says_why_and_whether_it_came_too_late():
    cause = EndCause("callee-hung-up")
    lost = Sound(900, 5618, "story", "lost", cause=cause)
    assert describe_playback([], lost).text == ("story 0.9 of 5.6 s, lost: the callee hung up")
    late = Sound(0, 5618, "story", "lost", cause=cause, handle="")
    assert describe_playback([], late) == PlaybackText(
        "story 0.0 of 5.6 s, lost: it came too late, the callee hung up", 0, "danger"
    )


def test_why_it_was_lost_is_said_as_it_is_known_now():
    lost = Sound(900, 5618, "story", "lost", cause=EndCause("connection-lost"))
    shown = describe_playback([], lost, cause=EndCause("tunnel-lost"))
    assert shown.text == "story 0.9 of 5.6 s, lost: the tunnel was lost"
    missing = Sound(900, 5618, "story", "lost")
    shown = describe_playback([], missing, cause=EndCause("tunnel-lost"))
    assert shown.text.endswith("lost: its mark did not come back")
