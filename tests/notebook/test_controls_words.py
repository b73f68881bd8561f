"""What the controls say."""

from __future__ import annotations

from types import SimpleNamespace

from twistream_kit.audio.clip import Clip
from twistream_kit.notebook import controls_words as words

SID = "MZ0123456789abcdef0123456789abcdef"


def stream(**what):
    about = {
        "handler_error": None,
        "closed": SimpleNamespace(done=lambda: False),
        "is_open": True,
        "has_queued": False,
        "stream_sid": SID,
    }
    return SimpleNamespace(**(about | what))


def test_the_state_is_one_short_line_and_keeps_the_whole_sid_for_the_mouse():
    text = words.state(stream())
    assert text.startswith("<b>In a call</b><span ")
    assert f'title="{SID}"' in text
    assert ", stream MZ0123…cdef<" in text
    assert "<br>" not in text


def test_screen_readers_do_not_hear_the_sid_with_each_change():
    assert 'aria-hidden="true"' in words.state(stream(has_queued=True))


def test_what_buttons_wait_for_stands_under_the_state_until_the_call_has_ended():
    assert words.state(stream(), "Buttons <wait>.").endswith("<br>Buttons &lt;wait&gt;.")
    end = SimpleNamespace(done=lambda: True, result=lambda _: SimpleNamespace(detail="a & b"))
    assert words.state(stream(closed=end), "Buttons wait.") == "<b>Ended</b>: a &amp; b"


def test_what_a_handler_raised_is_text_and_not_html():
    text = words.state(stream(handler_error=ValueError("<img src=x onerror=alert(1)>")))
    assert "<img" not in text
    assert "ValueError: &lt;img" in text


def test_lines_are_text_and_not_html():
    assert words.lines(["<b>1</b>", "2"]) == "<ul><li>&lt;b&gt;1&lt;/b&gt;</li><li>2</li></ul>"


def test_a_clip_is_named_with_its_length():
    assert words.label(Clip(bytes(12_000), name="tone")) == "tone (1.5 s)"
    assert words.label(Clip(bytes(800))) == "clip (0.1 s)"


def test_before_anything_was_sent_the_bar_is_plain_and_says_so():
    assert words.heard(None) == "nothing sent yet"
    assert words.style(None) == ""
