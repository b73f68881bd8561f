"""What the controls say."""

from __future__ import annotations

from types import SimpleNamespace

from twistream_kit.audio.clip import Clip
from twistream_kit.notebook.widgets import controls
from twistream_kit.protocol.ending import EndCause

SID = "MZ0123456789abcdef0123456789abcdef"


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
    text = controls.describe_state(stream())
    assert text.startswith("<b>In a call</b><span ")
    assert f'title="{SID}"' in text
    assert ", stream MZ0123…cdef<" in text
    assert "<br>" not in text


def test_screen_readers_do_not_hear_the_sid_with_each_change():
    assert 'aria-hidden="true"' in controls.describe_state(stream(has_queued=True))


def test_what_buttons_wait_for_stands_under_the_state_until_the_call_has_ended():
    assert controls.describe_state(stream(), "Buttons <wait>.").endswith(
        "<br>Buttons &lt;wait&gt;."
    )
    assert controls.describe_state(ended("a & b"), "Buttons wait.") == "<b>Ended</b>: a &amp; b"


def test_a_lost_public_address_is_shown_while_the_stream_is_open_and_after_it():
    gone = "<br><b>The public address was lost</b>: ssh ended &lt;255&gt;"
    assert controls.describe_state(stream(disconnect_reason="ssh ended <255>")).endswith(gone)
    assert controls.describe_state(ended(disconnect_reason="ssh ended <255>")).endswith(gone)
    assert "public address" not in controls.describe_state(stream())


def test_what_is_wrong_with_the_sound_is_shown_while_the_stream_is_open_and_after_it():
    state = SimpleNamespace(has_queued=True, remark="the sound is A-law & not PCMU. Say <so>.")
    shown = "<br><b>Look at what is played</b>: the sound is A-law &amp; not PCMU. Say &lt;so&gt;."
    assert controls.describe_state(stream(_state=state)).endswith(shown)
    assert controls.describe_state(ended(_state=state)).endswith(shown)
    state.remark = ""
    assert "<br>" not in controls.describe_state(stream(_state=state))


def test_a_lost_public_address_does_not_hide_why_a_handler_failed():
    text = controls.describe_state(
        stream(disconnect_reason="ssh ended", handler_error=ValueError("x")), "Buttons wait."
    )
    assert text == (
        "<b>Ended by an error</b>: ValueError: x<br><b>The public address was lost</b>: ssh ended"
    )


def test_the_status_of_the_call_is_shown_when_it_says_more_than_the_stream():
    assert controls.describe_state(ended(), call=call("completed", over=True)) == (
        "<b>Ended</b>: Twilio stopped the stream<br>The call: completed"
    )
    assert controls.describe_state(stream(), call=call("ringing")).endswith("<br>The call: ringing")
    assert controls.describe_state(ended(), call=call("<busy>", over=True)).endswith(
        "The call: &lt;busy&gt;"
    )
    assert "The call" not in controls.describe_state(stream(), call=call("in-progress"))


def test_who_ended_the_call_stands_behind_its_status():
    cause = EndCause("callee-hung-up", is_guess=True)
    shown = controls.describe_state(ended(), call=call("completed", over=True, cause=cause))
    assert shown.endswith("<br>The call: completed, the callee hung up (probably)")


def test_a_status_that_nothing_brings_up_to_date_is_not_shown():
    for events in [(), (OF_STREAM,)]:
        assert "The call" not in controls.describe_state(
            stream(), call=call("queued", events=events)
        )
    assert "The call: completed" in controls.describe_state(
        ended(), call=call("completed", over=True, events=())
    )


def test_what_a_handler_raised_is_text_and_not_html():
    text = controls.describe_state(stream(handler_error=ValueError("<img src=x onerror=alert(1)>")))
    assert "<img" not in text
    assert "ValueError: &lt;img" in text


def test_lines_are_text_and_not_html():
    assert (
        controls.list_lines(["<b>1</b>", "2"]) == "<ul><li>&lt;b&gt;1&lt;/b&gt;</li><li>2</li></ul>"
    )


def test_a_clip_is_named_with_its_length():
    assert controls.label_clip(Clip(bytes(12_000), name="tone")) == "tone (1.5 s)"
    assert controls.label_clip(Clip(bytes(800))) == "clip (0.1 s)"


def test_before_anything_was_sent_the_bar_is_plain_and_says_so():
    assert controls.describe_heard(None) == "nothing sent yet"
    assert controls.choose_bar_style(None) == ""
