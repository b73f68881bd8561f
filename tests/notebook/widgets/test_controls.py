"""The buttons of a call, pressed from Python, on a real call."""

from __future__ import annotations

import re
import threading
from html import escape, unescape

import ipywidgets
import numpy as np
import pytest

from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import CallRefused
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.stream.state import StreamState
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.widgets.controls import StreamControls

ERROR = '<span class="twistream-error"><span aria-hidden="true">✖ </span>'

EVERY_BUTTON = {"send", "speak_over", "mark", "clear", "hang_up"}


@pytest.fixture
def controls(make_call, tone):
    """Controls on a call that is up, with one clip."""
    up = make_call()
    controls = StreamControls(up.stream, clips=[tone], call=up.call)
    controls.up = up
    yield controls
    controls.close()


@pytest.fixture
def held_hang_up(controls, monkeypatch):
    """Let Twilio answer a hang-up only when the test says so."""
    answer, complete = threading.Event(), controls.up.call._complete
    monkeypatch.setattr(
        controls.up.call, "_complete", lambda: answer.wait(LIMIT_SECONDS) and complete()
    )
    yield answer
    answer.set()


def disabled(controls):
    """Return the buttons that cannot be pressed now."""
    return {name for name in EVERY_BUTTON if getattr(controls, f"{name}_button").disabled}


def test_a_call_that_is_up_can_do_all_but_clear(controls):
    assert disabled(controls) == {"clear"}
    assert "<b>In a call</b>" in controls.state.value
    assert controls.up.stream.stream_sid in controls.state.value
    assert controls._heard_text.value == "nothing sent yet"
    assert "Twilio started the stream" in controls.log_view.value


def test_send_plays_the_chosen_clip_and_progress_shows_what_was_heard(controls, until):
    controls.send_button.click()
    assert controls.progress.value < 0.9  # much of it is sent at once, little of it was heard
    until(lambda: 0.005 < controls.progress.value < 0.9)
    until(lambda: disabled(controls) == set())
    until(lambda: "<b>Playing</b>" in controls.state.value)
    until(lambda: controls._heard_text.value.endswith(" of 20.0 s"))
    until(lambda: "sent tone (20.0 s)" in controls.log_view.value)
    shown = controls.progress.value
    assert shown <= controls.up.stream.newest.heard_ms / 20_000 + 0.001


@pytest.mark.realtime
def test_what_was_heard_to_its_end_says_so(make_call, until):
    up = make_call()
    short = Clip(Clip.tone(440, 0.3).payload, name="short")
    controls = StreamControls(up.stream, clips=[short])
    controls.send_button.click()
    until(lambda: controls.progress.bar_style == "success")
    assert controls.progress.value == 1
    until(lambda: controls._heard_text.value == "short 0.3 of 0.3 s, heard")
    until(lambda: "short was heard" in controls.log_view.value)
    until(lambda: disabled(controls) == {"clear"})


def test_clear_silences_the_caller_and_shows_how_much_was_heard(controls, tone, until):
    controls.send_button.click()
    until(lambda: controls.progress.value > 0.005)
    controls.clear_button.click()
    outcome = controls.up.stream.newest.result(LIMIT_SECONDS)
    assert outcome.ending == "cleared"
    assert 0 < outcome.heard_ms < 20_000
    until(lambda: controls.progress.bar_style == "warning")
    until(lambda: controls._heard_text.value.endswith(" of 20.0 s, cleared"))
    cleared = f"tone was cleared after {outcome.heard_ms / 1000:.2f} of 20.00 s (tone#1)<"
    until(lambda: cleared in controls.log_view.value)
    assert controls.log_view.value.count("clear sent<") == 1
    until(lambda: controls.clear_button.disabled)
    # What the estimate says was heard may be less than what the telephone hears in the end.
    until(lambda: controls.up.phone.heard.payload.endswith(b"\xff" * 400))
    sound = controls.up.phone.heard.payload.strip(b"\xff")
    assert 0 < len(sound) < len(tone.payload.strip(b"\xff")), "the clear cut nothing off"


def test_speak_over_clears_what_plays_and_sends_the_chosen_clip(controls, until):
    controls.send_button.click()
    first = controls.up.stream.newest
    until(lambda: controls.progress.value > 0.005)
    controls.speak_over_button.click()
    second = controls.up.stream.newest
    assert second is not first
    outcome = first.result(LIMIT_SECONDS)
    assert outcome.ending == "cleared"
    assert second.heard(0.3).result(LIMIT_SECONDS) >= 0.3
    assert not second.done()
    until(lambda: "tone was cleared after" in controls.log_view.value)
    said = ["sent tone (20.0 s) as tone#1", "clear sent", "sent tone (20.0 s) as tone#2"]

    def read_what_was_sent():
        log = re.findall("s: (.*?)<", controls.log_view.value)
        return [line for line in log if "sent" in line]

    until(lambda: len(read_what_was_sent()) >= len(said))
    assert read_what_was_sent() == said, "in the order of the wire"
    loud = np.flatnonzero(np.abs(controls.up.phone.heard.samples().astype(int)) > 500)
    assert np.diff(loud).max() / 8000 < 0.25, "there was a pause between the two"


def test_speak_over_can_be_pressed_where_nothing_plays_and_is_a_send(controls, until):
    assert "speak_over" not in disabled(controls)
    controls.speak_over_button.click()
    assert controls.up.stream.newest.heard(0.1).result(LIMIT_SECONDS) >= 0.1
    until(lambda: "<b>Playing</b>" in controls.state.value)


def test_a_clear_right_behind_a_send_is_possible(controls, until):
    controls.send_button.click()
    until(lambda: not controls.clear_button.disabled)
    controls.clear_button.click()
    assert controls.up.stream.newest.result(LIMIT_SECONDS).ending == "cleared"


def test_a_speech_shows_what_was_heard_of_what_was_written_so_far(controls, until):
    second = Clip.tone(440, 1.0).payload
    speech = controls.up.stream.speak(mark="said")
    until(lambda: "<b>Playing</b>" in controls.state.value)
    assert speech.write(second * 20)
    until(lambda: controls._heard_text.value.endswith(" of 20.0 s"))
    until(lambda: 0 < controls.progress.value < 1)
    until(lambda: disabled(controls) == set())
    assert speech.write(second * 10)
    until(lambda: controls._heard_text.value.endswith(" of 30.0 s"))
    assert controls.progress.value <= speech.heard_ms / 30_000 + 0.001
    assert controls.progress.bar_style == ""
    controls.clear_button.click()
    outcome = speech.result(LIMIT_SECONDS)
    assert (outcome.ending, outcome.total_ms) == ("cleared", 30_000)
    until(lambda: controls.progress.bar_style == "warning")
    until(lambda: controls._heard_text.value.endswith(" of 30.0 s, cleared"))
    assert controls.progress.value == pytest.approx(outcome.heard_ms / 30_000)
    until(lambda: controls.clear_button.disabled)
    assert not speech.write(second)


def test_what_is_wrong_with_how_a_speech_is_written_stands_in_the_log_once(controls, until):
    speech = controls.up.stream.speak()
    for _ in range(75):
        assert speech.write(Clip.tone(440, 1.0).payload)
    assert "speech.drained()" in speech.remark
    until(lambda: "speech.drained()" in controls.log_view.value)
    controls.clear_button.click()
    assert speech.result(LIMIT_SECONDS).remark == speech.remark
    until(lambda: "clear sent" in controls.log_view.value)
    assert controls.log_view.value.count("speech.drained()") == 1


def test_sound_of_another_coding_is_said_under_the_state(controls, until):
    speech = controls.up.stream.speak(encoding="PCMU")
    samples = (np.sin(np.arange(24_000) * 0.3) * 8000).astype("<i2")
    assert speech.write(samples.tobytes())
    speech.end()
    until(lambda: "<b>Look at what is played</b>: the sound" in controls.state.value)
    assert "PCM" in controls.state.value


def test_marks_are_numbered_and_come_back(controls, until):
    controls.mark_button.click()
    controls.mark_button.click()
    until(lambda: "all before mark-2 was heard" in controls.log_view.value)
    log = unescape(controls.log_view.value)
    lines = ("asked for mark-1", "all before mark-1 was heard", "all before mark-2 was heard")
    assert sorted(lines, key=log.index) == list(lines)
    assert log.index("asked for mark-1") < log.index("asked for mark-2")
    assert log.count("mark-1") == log.count("mark-2") == 2, "each event has one line"


def test_hang_up_ends_the_call_and_disables_everything(controls, until):
    controls.hang_up_button.click()
    assert controls.hang_up_button.disabled
    assert controls.up.stream.closed.result(LIMIT_SECONDS).reason in ("stop", "far end")
    until(lambda: "<b>Ended</b>" in controls.state.value)
    until(lambda: disabled(controls) == EVERY_BUTTON)
    until(lambda: "hanging up" in controls.log_view.value)
    until(lambda: "the call: completed" in controls.log_view.value)
    assert controls.up.call.status == "completed"


def test_the_loss_of_the_public_address_shows_while_the_stream_is_open_and_after(controls, until):
    up = controls.up
    up.server.lose_public_url("the tunnel <ended>")
    gone = "✖ </span><b>The public address was lost</b>: the tunnel &lt;ended&gt;"
    until(lambda: gone in controls.state.value)
    assert "<b>In a call</b>" in controls.state.value
    assert disabled(controls) == {"clear"}, "the stream is open still"
    up.phone.hang_up()
    until(lambda: "<b>Ended</b>" in controls.state.value)
    assert gone in controls.state.value
    until(lambda: disabled(controls) == EVERY_BUTTON)


def test_controls_made_after_the_loss_of_the_address_show_it_too(make_call, tone, until):
    up = make_call()
    up.server.lose_public_url("the tunnel ended")
    until(lambda: up.stream.disconnect_reason)
    up.stream.close(now=True).result(LIMIT_SECONDS)
    controls = StreamControls(up.stream, clips=[tone])
    assert controls.state.value == (
        "<b>Ended</b>: your server closed the connection (1000)<br>"
        f"{ERROR}<b>The public address was lost</b>: the tunnel ended</span>"
    )
    assert disabled(controls) == EVERY_BUTTON


def test_the_status_of_the_call_shows_also_when_it_comes_long_after_the_end(controls, until):
    assert "The call" not in controls.state.value
    controls.up.stream.close(now=True).result(LIMIT_SECONDS)
    until(lambda: "<b>Ended</b>" in controls.state.value)
    controls.up.call.hang_up().result(LIMIT_SECONDS)
    until(lambda: "<br>The call: completed" in controls.state.value)


def test_closed_controls_are_not_woken_by_the_end_of_the_call(controls):
    controls.close()
    controls.up.call.hang_up().result(LIMIT_SECONDS)
    assert controls.up.call.ended.result(LIMIT_SECONDS) == "completed"
    assert controls._update not in PUMP._updates


def test_hanging_up_without_a_call_closes_the_stream(make_call, until):
    up = make_call()
    controls = StreamControls(up.stream)
    controls.hang_up_button.click()
    assert up.stream.closed.result(LIMIT_SECONDS).reason == "closed"
    until(lambda: controls.state.value == "<b>Ended</b>: your server closed the connection (1000)")


def test_a_hang_up_in_mid_playback_shows_it_as_lost(controls, until):
    controls.send_button.click()
    until(lambda: controls.progress.value > 0.003)
    controls.hang_up_button.click()
    until(lambda: controls.progress.bar_style == "danger")
    why = "the call was ended by a request to Twilio's REST API"
    until(lambda: controls._heard_text.value.endswith(f" of 20.0 s, lost: {why}"))
    why = escape(why)
    until(lambda: f"<b>Ended</b>: {why}" in controls.state.value)
    until(lambda: f"The call: completed, {why}" in controls.state.value)
    until(lambda: f" of 20.00 s (tone#1): {why}" in controls.log_view.value)


def test_the_other_end_hanging_up_shows_without_a_click(controls, until):
    controls.up.phone.hang_up()
    until(lambda: "<b>Ended</b>" in controls.state.value)
    until(lambda: disabled(controls) == EVERY_BUTTON)
    until(lambda: "Twilio stopped the stream" in controls.log_view.value)


def test_a_stream_that_is_closing_takes_no_more_audio_but_can_be_cleared(controls, until):
    controls.send_button.click()
    controls.up.stream.close()
    until(lambda: "<b>Closing</b>" in controls.state.value)
    until(lambda: disabled(controls) == {"send", "speak_over", "mark"})
    controls.clear_button.click()
    assert controls.up.stream.closed.result(LIMIT_SECONDS).reason == "closed"


def test_a_digit_pressed_by_the_caller_shows(controls, until):
    controls.up.phone.press("5")
    until(lambda: "the caller pressed 5" in controls.log_view.value)


def test_a_refused_hang_up_is_an_error_in_words_and_can_be_tried_again(
    controls, until, monkeypatch
):
    def refuse(**options):
        raise CallRefused("Twilio refused to hang up: 20003, Authenticate", fix="Check the token")

    monkeypatch.setattr(controls.up.call, "_complete", refuse)
    controls.hang_up_button.click()
    until(lambda: "Error: " in controls.log_view.value)
    assert "Error: Twilio refused to hang up: 20003, Authenticate. Check the token." in (
        controls.log_view.value
    )
    until(lambda: not controls.hang_up_button.disabled)
    monkeypatch.undo()
    controls.hang_up_button.click()
    controls.up.stream.closed.result(LIMIT_SECONDS)


def test_a_handler_that_raises_shows_in_the_state_and_in_the_log(make_call, until):
    go = threading.Event()

    def handler(stream):
        go.wait(5)
        raise ValueError("<no> such file")

    up = make_call(handler)
    controls = StreamControls(up.stream, call=up.call)
    go.set()
    until(lambda: "Ended by an error" in controls.state.value)
    assert controls.state.value.startswith(
        f"{ERROR}<b>Ended by an error in your handler</b>: ValueError: &lt;no&gt; such file</span>"
    )
    failed = f"{ERROR}Error: the handler of stream {up.stream.stream_sid} failed"
    until(lambda: failed in controls.log_view.value and "such file" in controls.log_view.value)


def test_without_clips_send_cannot_be_pressed_and_a_press_says_why(make_call, until):
    up = make_call()
    controls = StreamControls(up.stream)
    assert disabled(controls) == {"send", "speak_over", "clear"}
    for button in (controls.send_button, controls.speak_over_button):
        button.click()
    words = "There is no clip to send: add a file, or write StreamControls(stream, clips=[…])"
    until(lambda: controls.log_view.value.count(words) == 2)
    assert up.stream.newest is None
    assert "clear sent" not in controls.log_view.value


def test_a_clip_without_a_name_can_be_sent(make_call, until):
    up = make_call()
    controls = StreamControls(up.stream, clips=[Clip.tone(440, 0.2), Clip.silence(0.2)])
    controls.clip.index = 1
    controls.send_button.click()
    assert up.stream.newest.result(LIMIT_SECONDS).ending == "heard"
    until(lambda: "sent " in controls.log_view.value)


def test_the_chosen_clip_is_the_one_that_is_sent(make_call, tone):
    up = make_call()
    other = Clip(Clip.tone(880, 0.5).payload, name="other")
    controls = StreamControls(up.stream, clips=[tone, other])
    controls.clip.value = other
    controls.send_button.click()
    assert up.stream.newest.total_ms == 500
    assert up.stream.newest.mark == "other"


def test_with_a_queue_the_clip_that_sounds_now_is_shown_and_what_follows(controls, until):
    for _ in range(3):
        controls.send_button.click()
    until(lambda: "; then 2 more, 40.0 s" in controls._heard_text.value)
    assert controls._heard_text.value.startswith("now: tone ")
    until(lambda: 0.005 < controls.progress.value < 0.9)
    assert controls.up.stream.newest.heard_ms == 0, "the newest does not sound yet"
    controls.clear_button.click()
    until(lambda: controls._heard_text.value.endswith("and 2 more that nobody heard"))
    assert controls.progress.value > 0.005
    until(lambda: controls.log_view.value.count("tone was cleared") == 3)
    assert controls.log_view.value.count("sent tone (20.0 s)") == 3


def test_marks_of_a_cell_have_lines_even_beside_those_of_the_buttons(controls, until):
    controls.mark_button.click()
    controls.up.stream.mark("theirs").result(LIMIT_SECONDS)
    until(lambda: "all before mark-1 was heard" in controls.log_view.value)
    theirs = r"mark 'theirs#\d+' sent.*mark 'theirs#\d+' came back"
    until(lambda: re.search(theirs, unescape(controls.log_view.value)))
    assert "mark 'mark-1" not in unescape(controls.log_view.value)
    controls.up.stream.mark("mark-1").result(LIMIT_SECONDS)
    until(lambda: re.search(r"'mark-1#\d+' came back", unescape(controls.log_view.value)))


def test_a_clip_can_be_added_and_is_chosen_then(make_call, tone, until):
    up = make_call()
    controls = StreamControls(up.stream)
    controls.add_clip(tone)
    until(lambda: not controls.send_button.disabled)
    other = Clip(Clip.tone(880, 0.5).payload, name="other")
    thread = threading.Thread(target=controls.add_clip, args=(other,))
    thread.start()
    thread.join(LIMIT_SECONDS)
    controls.send_button.click()
    assert up.stream.newest.mark == "other"
    controls.add_clip(tone)
    assert controls.clip.value is tone
    assert len(controls.clip.options) == 2, "a clip stands in the list once"
    with pytest.raises(TypeError, match=r"of type str, not Clip; kit.load_clip\(path\) makes one"):
        controls.add_clip("greeting.wav")


def test_controls_without_a_stream_wait_for_one_and_keep_their_clips(make_call, tone, until):
    controls = StreamControls(None, clips=[tone])
    assert disabled(controls) == EVERY_BUTTON
    assert controls.state.value == "<b>No call yet</b>"
    for name in EVERY_BUTTON:
        getattr(controls, f"{name}_button").click()
    up = make_call()
    controls.attach(up.stream, up.call)
    until(lambda: disabled(controls) == {"clear"})
    assert controls.state.box_label == f"Controls of stream {up.stream.stream_sid}"
    controls.send_button.click()
    assert up.stream.newest.mark == "tone"
    until(lambda: "sent tone" in controls.log_view.value)
    controls.hang_up_button.click()
    until(lambda: disabled(controls) == EVERY_BUTTON)
    assert repr(controls) == f"<StreamControls of {up.stream!r}>"
    controls.close()


def test_controls_go_on_to_the_next_stream_and_forget_the_first(controls, until):
    up = controls.up
    controls.send_button.click()
    first = up.stream.newest
    phone = up.twilio.phone("+15550100002")
    up.twilio.client.calls.create(
        to=phone.number, from_=up.twilio.numbers[0],
        twiml=f'<Response><Connect><Stream url="{up.server.url}"/></Connect></Response>',
    )  # fmt: skip
    second = up.server.next_stream().result(LIMIT_SECONDS)
    controls.attach(second)
    up.call.hang_up().result(LIMIT_SECONDS)
    assert first.result(LIMIT_SECONDS).ending == "lost"
    until(lambda: "Twilio started the stream" in controls.log_view.value)
    assert "tone" not in controls.log_view.value, "it says how a sound of the first call ended"
    assert controls._heard_text.value == "nothing sent yet"
    controls.send_button.click()
    until(lambda: controls._heard_text.value.startswith("now: tone "))
    assert second.newest.mark == "tone"
    with pytest.raises(TypeError, match="takes a MediaStream, not NoneType"):
        controls.attach(None)


def test_the_last_picture_is_drawn_at_the_end_and_again_when_more_is_known(
    controls, monkeypatch, until
):
    kept = []
    monkeypatch.setattr(controls, "_keep_last_picture", lambda: kept.append(controls._last_drawn))
    controls.send_button.click()
    until(lambda: controls.progress.value > 0.002)
    assert kept == []
    controls.up.stream.close(now=True).result(LIMIT_SECONDS)
    until(lambda: kept)
    assert "<b>Ended</b>: your server closed the connection (1000)" in kept[-1]
    until(lambda: "tone was lost after" in kept[-1])
    until(lambda: " of 20.0 s, lost: your server closed" in kept[-1])
    controls.up.call.hang_up().result(LIMIT_SECONDS)
    until(lambda: "The call: completed" in kept[-1])
    controls._update()
    assert len(set(kept)) == len(kept), "it was drawn again though nothing had changed"


def test_controls_stand_in_any_box(controls):
    box = ipywidgets.HBox([controls])
    assert box.children == (controls,)
    box.close()


def test_closing_takes_the_widget_away_and_leaves_the_stream(controls):
    controls.close()
    assert controls.comm is None
    assert controls.send_button.comm is controls.state.comm is None
    assert controls.up.stream.is_open
    assert controls.up.stream.play(b"\xff" * 160).result(LIMIT_SECONDS).ending == "heard"


def test_controls_on_a_stream_that_has_ended_show_how_it_ended(make_call, tone, until):
    up = make_call()
    up.stream.close(now=True).result(LIMIT_SECONDS)
    controls = StreamControls(up.stream, clips=[tone], call=up.call)
    assert "<b>Ended</b>: your server closed the connection (1000)" in controls.state.value
    assert disabled(controls) == EVERY_BUTTON
    controls.send_button.click()
    assert up.stream.newest.result(LIMIT_SECONDS).ending == "lost"
    controls.mark_button.click()
    controls.clear_button.click()
    until(lambda: "mark-1 was lost" in controls.log_view.value)
    why = "your server closed the connection (1000)"
    late = f"lost after 0.00 of 20.00 s: it came too late, {why}"
    assert f"tone was {late}" in controls.log_view.value
    assert controls._heard_text.value == f"tone 0.0 of 20.0 s, lost: it came too late, {why}"


def test_two_controls_on_one_stream_show_the_same(controls, tone, until):
    other = StreamControls(controls.up.stream, clips=[tone])
    controls.send_button.click()
    until(lambda: other.progress.value > 0.003 and controls.progress.value > 0.003)
    other.clear_button.click()
    until(lambda: controls.progress.bar_style == other.progress.bar_style == "warning")
    other.close()


def test_two_calls_have_controls_of_their_own(controls, tone, until):
    up = controls.up
    phone = up.twilio.phone("+15550100002")
    up.twilio.client.calls.create(
        to=phone.number, from_=up.twilio.numbers[0],
        twiml=f'<Response><Connect><Stream url="{up.server.url}"/></Connect></Response>',
    )  # fmt: skip
    second = StreamControls(up.server.next_stream().result(LIMIT_SECONDS), clips=[tone])
    second.send_button.click()
    until(lambda: second.progress.value > 0.003)
    assert controls.progress.value == 0
    assert controls.clear_button.disabled
    second.close()


def test_buttons_may_be_pressed_from_any_thread(controls, until):
    threads = [threading.Thread(target=controls.mark_button.click) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(LIMIT_SECONDS)
    assert controls.up.stream.mark("last").result(LIMIT_SECONDS).ending == "heard"
    until(lambda: re.search(r"mark 'last#\d+' came back", unescape(controls.log_view.value)))


def test_ten_thousand_lines_leave_the_last_eight(controls, until):
    for number in range(10_000):
        controls._activity.note(f"line {number}")
    until(lambda: "line 9999<" in controls.log_view.value)
    assert controls.log_view.value.count("<li>") == 8
    assert len(controls._activity.read_lines()) == 200


def test_hang_up_stays_disabled_until_twilio_has_answered(controls, held_hang_up, until):
    controls.hang_up_button.click()
    controls.mark_button.click()
    until(lambda: "all before mark-1 was heard" in controls.log_view.value)
    assert controls.hang_up_button.disabled
    assert controls.up.stream.is_open
    held_hang_up.set()
    until(lambda: "the call: completed" in controls.log_view.value)


def test_an_update_during_the_press_of_hang_up_does_not_enable_it_again(
    controls, held_hang_up, monkeypatch, until
):
    hang_up = controls.up.call.hang_up

    def hang_up_during_an_update():
        controls._update()
        return hang_up()

    monkeypatch.setattr(controls.up.call, "hang_up", hang_up_during_an_update)
    controls.hang_up_button.click()
    assert controls.hang_up_button.disabled
    held_hang_up.set()
    until(lambda: "the call: completed" in controls.log_view.value)


LOOKS = {
    "hang_up": (StreamControls, "_is_hanging_up", StreamControls._is_hanging_up, lambda look: look),
    "send": (StreamState, "has_queued", StreamState.has_queued.fget, property),
}
"""What an update looks at that a press of a button changes, and how to put something else there."""


@pytest.mark.parametrize(
    ("pressed", "changed", "disabled"), [("hang_up", "hang_up", True), ("send", "clear", False)]
)
def test_an_update_that_looked_before_a_press_does_not_undo_what_the_press_shows(
    controls, held_hang_up, monkeypatch, pressed, changed, disabled
):
    owner, name, look, made = LOOKS[pressed]
    has_looked, go_on, changes = threading.Event(), threading.Event(), []

    def look_and_pause(self):
        found = look(self)
        has_looked.set()
        assert go_on.wait(LIMIT_SECONDS)
        return found

    monkeypatch.setattr(owner, name, made(look_and_pause))
    getattr(controls, f"{changed}_button").observe(
        lambda change: changes.append(change.new), "disabled"
    )
    update = threading.Thread(target=controls._update)
    update.start()
    assert has_looked.wait(LIMIT_SECONDS)
    press = threading.Thread(target=getattr(controls, f"{pressed}_button").click)
    press.start()
    press.join(0.5)  # a press that does not wait for the update has ended by then
    go_on.set()
    for thread in (update, press):
        thread.join(LIMIT_SECONDS)
        assert not thread.is_alive()
    assert changes == [disabled]


def test_screen_readers_are_notified_of_what_changes(controls):
    assert controls.state.live == "status"
    assert controls.state.box_label == f"Controls of stream {controls.up.stream.stream_sid}"
    assert (controls.log_view.live, controls.log_view.label) == ("log", "Last events")
    assert "twistream-controls" in controls._dom_classes
    assert controls.clip.description
    for button in (getattr(controls, f"{name}_button") for name in EVERY_BUTTON):
        assert button.description
        assert button.icon
        assert button.tooltip


def test_the_display_is_that_of_the_widget(controls):
    bundle = controls._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "Send, Speak over, Mark, Clear, Hang up. Run the notebook" in bundle["text/html"]
    assert repr(controls) == f"<StreamControls of {controls.up.stream!r}>"


def test_controls_take_a_stream_and_clips_and_nothing_else(make_call):
    with pytest.raises(TypeError) as caught:
        StreamControls("MZ1")
    assert str(caught.value) == (
        "StreamControls takes a MediaStream, not str; server.next_stream().result(10) gives one."
    )
    up = make_call()
    with pytest.raises(TypeError) as caught:
        StreamControls(up.stream, clips=["greeting.wav"])
    assert str(caught.value) == (
        "clips[0] is of type str, not Clip; kit.load_clip(path) makes one of a sound file."
    )


def test_a_wait_for_the_stream_instead_of_the_stream_is_named(make_call):
    up = make_call()
    with pytest.raises(TypeError, match="takes a MediaStream, not Pending"):
        StreamControls(up.server.next_stream(up.call))


def test_one_clip_instead_of_a_list_says_so(make_call, tone):
    up = make_call()
    with pytest.raises(TypeError, match="clips must be a list of Clip objects, not Clip"):
        StreamControls(up.stream, clips=tone)


def test_a_call_that_is_none_or_of_another_stream_is_refused_and_nothing_is_switched(make_call):
    up = make_call()
    other = place_call(
        up.twilio.client,
        to=up.twilio.phone("+15550100002").number,
        from_=up.twilio.numbers[0],
        stream_url=up.server.stream_url,
    )
    stream = up.server.next_stream(other.result(LIMIT_SECONDS)).result(LIMIT_SECONDS)
    controls = StreamControls(up.stream, call=up.call)
    for wrong, kind, said in [
        ("CA1", TypeError, r"call is 'CA1'; it is the Call of the stream"),
        (other, TypeError, r"call is a Pending and no Call yet; say \.result\(10\) or await it"),
        (
            up.call,
            ValueError,
            f"{up.call.sid}, and the stream is of call {stream.call_sid}",
        ),
    ]:
        with pytest.raises(kind, match=said):
            controls.attach(stream, wrong)
        with pytest.raises(kind, match=said):
            StreamControls(stream, call=wrong)
        assert controls._stream is up.stream
        assert controls._call is up.call
    controls.attach(stream, other.result(0))
    assert controls._stream is stream
    controls.close()
