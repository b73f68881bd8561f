"""What a notebook keeps of a call: a small copy of its sound, a picture, sentences."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import pytest
import soundfile
from matplotlib.image import imread

from support.captures import capture_of
from twistream_kit.audio.clip import Clip
from twistream_kit.notebook.display import recording as of_recording
from twistream_kit.notebook.display.display import render_html
from twistream_kit.notebook.display.html import SEVERITIES, badge
from twistream_kit.notebook.display.recording import KEPT_SECONDS
from twistream_kit.notebook.plots import style
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
BLUE, VERMILION = (0x00, 0x72, 0xB2), (0xD5, 0x5E, 0x00)


def say(chunk, payload):
    return from_twilio.Media(SID, payload, chunk, "inbound", chunk, 20 * chunk)


def a_call(seconds=4.0, *, caller=True, yours=True, key=True):
    """The caller speaks in the first quarter and you in the last."""
    rows = [(0.0, from_twilio.Start(SID))]
    tone = Clip.tone(1000, seconds / 4).payload
    if caller:
        rows += [
            (0.02 * n, say(n, tone[160 * n - 160 : 160 * n]))
            for n in range(1, len(tone) // 160 + 1)
        ]
    if yours:
        begin = 0.75 * seconds
        rows.append((begin, to_twilio.Media(SID, Clip.tone(440, seconds / 4).payload)))
        rows += [(begin + 0.1, from_twilio.Dtmf(SID, "7"))] if key else []
        rows.append((begin + 0.5, to_twilio.Mark(SID, "end")))
        rows.append((seconds, from_twilio.Mark(SID, "end")))
    return capture_of(SID, *rows, (seconds, from_twilio.Stop(SID)))


def sound_of(html):
    encoded = re.search('data:audio/ogg;base64,([^"]+)', html)
    samples, rate = soundfile.read(io.BytesIO(base64.b64decode(encoded[1])), always_2d=True)
    assert rate == 8000
    return samples


def picture_of(html):
    encoded = re.search('data:image/png;base64,([^"]+)', html)
    return (imread(io.BytesIO(base64.b64decode(encoded[1]))) * 255).round().astype(int)


def loud(samples):
    """Which tenths of a second are loud: a tone has 0.5."""
    frames = samples[: len(samples) // 800 * 800].reshape(-1, 800)
    return np.flatnonzero(np.abs(frames).max(axis=1) > 0.1)


def test_a_capture_shows_both_sides_of_the_call_first():
    html = render_html(a_call())
    assert html.startswith("<audio controls")
    samples = sound_of(html)
    assert samples.shape == (32_000, 2)
    assert set(range(1, 9)) <= set(loud(samples[:, 0]).tolist()) <= set(range(11))
    assert set(range(31, 39)) <= set(loud(samples[:, 1]).tolist()) <= set(range(29, 41))
    assert (
        "The call, 4.0 s: the left channel is the caller, the right one what the caller heard."
        in html
    )
    assert html.index("<audio") < html.index("<img") < html.index("<table")


def test_a_longer_call_keeps_its_first_and_its_last_minute_and_says_how_to_save_the_whole(
    monkeypatch,
):
    monkeypatch.setattr(of_recording, "KEPT_SECONDS", 12.0)  # to encode two minutes takes seconds
    capture = a_call(20.0)
    html = render_html(capture)
    samples = sound_of(html)
    assert len(samples) / 8000 == pytest.approx(12.0, abs=0.05)
    assert loud(samples[:, 0]).max() <= 50, "the caller speaks for the first 5 s"
    assert loud(samples[:, 1]).min() >= 69, "and you for the last 5"
    assert "The call, 0 min 20 s" in html
    assert "holds its first 6 s and its last 6 s; the whole: " in html
    assert 'capture.recording.save("call.wav")' in html.replace("&quot;", '"')
    assert KEPT_SECONDS == 120.0


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (119.94, "119.9 s"),
        (119.96, "2 min 0 s"),
        (120.0, "2 min 0 s"),
        (179.4, "2 min 59 s"),
        (179.7, "3 min 0 s"),
        (3599.7, "60 min 0 s"),
    ],
)
def test_the_length_of_a_call_never_has_sixty_seconds(seconds, said):
    assert of_recording._format_length(seconds) == said


def test_a_side_that_is_silent_takes_no_room():
    html = render_html(a_call(yours=False))
    assert sound_of(html).shape[1] == 1
    assert "only the caller, since the other side is silent" in html
    heard = render_html(a_call(caller=False))
    assert sound_of(heard).shape[1] == 1
    assert "only what the caller heard" in heard


def test_a_silent_call_has_no_player_and_says_so():
    html = render_html(a_call(caller=False, yours=False))
    assert "<audio" not in html
    assert "The recording, 4.0 s, is silent on both sides." in html


def test_the_picture_shows_who_speaks_when_without_paper_of_its_own():
    pixels = picture_of(render_html(a_call(key=False)))
    height, width, depth = pixels.shape
    assert depth == 4
    assert (pixels[:, :, 3] == 0).mean() > 0.5, "what is not drawn is transparent"

    def columns(colour, rows):
        drawn = (pixels[rows, :, :3] == colour).all(axis=2) & (pixels[rows, :, 3] > 0)
        return np.flatnonzero(drawn.sum(axis=0) > 8) / width

    caller = columns(BLUE, slice(0, 40))
    yours = columns(VERMILION, slice(height - 40, height))
    assert (caller[0], caller[-1]) == (pytest.approx(0.0, abs=0.01), pytest.approx(0.25, abs=0.01))
    assert (yours[0], yours[-1]) == (pytest.approx(0.75, abs=0.01), pytest.approx(1.0, abs=0.01))


def test_the_events_of_a_call_are_named_with_their_times_and_endings():
    capture = a_call()
    capture.append(to_twilio.Clear(SID), 4.5)
    events = [(round(at, 2), kind, name) for at, kind, name in capture.recording.events]
    assert events == [(3.1, "key", "7"), (4.0, "heard", "end"), (4.5, "clear", "")]
    for shown in (capture, capture.recording):
        html = render_html(shown)
        assert 'alt="The caller speaks and hears you; 4.5 s, 1 mark, 1 clear"' in html
        assert "key pressed (line above)" in html


def test_a_name_from_outside_does_not_reach_the_picture_as_markup():
    capture = a_call()
    capture.append(to_twilio.Mark(SID, "<b>"), 4.1)
    capture.append(from_twilio.Mark(SID, "<b>"), 4.2)
    assert "<b>" not in render_html(capture)


def test_the_colours_are_those_of_the_figures():
    of_figures = ("CALLER", "YOUR", "MARK", "CLEAR", "QUIET")
    expected = tuple(getattr(style, f"{name}_COLOUR") for name in of_figures)
    assert expected == of_recording._COLOURS


def luminance(colour):
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return float(np.dot((0.2126, 0.7152, 0.0722), linear))


@pytest.mark.parametrize("severity", SEVERITIES)
def test_a_severity_has_a_sign_of_its_own_and_a_colour_that_can_be_read(severity):
    sign, *colours = SEVERITIES[severity]
    assert f"{sign} {severity}<" in badge(severity)
    dark, light = sorted(map(luminance, colours))
    assert (light + 0.05) / (dark + 0.05) >= 4.5, "WCAG 1.4.3"
    assert len({each[0] for each in SEVERITIES.values()}) == 3
