"""How an examination looks in a notebook."""

from __future__ import annotations

import base64
import io
import re

import numpy as np
import soundfile

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.examine import examine
from twistream_kit.notebook.display.display import MOST_PLAYED_BYTES, render_html


def players_of(html):
    found = re.findall(r"data:audio/wav;base64,([A-Za-z0-9+/=]+)", html)
    return [soundfile.read(io.BytesIO(base64.b64decode(raw)), dtype="int16") for raw in found]


def file_of(samples, rate):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()


def test_before_after_and_the_click_of_the_header_can_be_heard():
    samples = np.random.default_rng(1).integers(-9000, 9000, (22050, 2)).astype(np.int16)
    examination = examine(file_of(samples, 44100))
    before, after, click = players_of(render_html(examination))
    assert before[1] == 44100
    assert np.array_equal(before[0], samples)
    assert after[1] == 8000
    assert np.array_equal(after[0], examination.after.samples())
    assert np.array_equal(click[0], examination.click.samples())


def test_every_finding_stands_in_the_table_with_what_to_do():
    examination = examine(Clip.silence(3.0))
    html = render_html(examination)
    assert html.count("<tr ") == 1 + len(examination.findings)
    assert "All of it is silence" in html
    assert "The caller hears nothing" in html
    assert "should be corrected before a call: level" in html


def test_a_clip_has_no_header_to_hear():
    assert len(players_of(render_html(examine(Clip.tone(440, 0.5))))) == 2


def test_a_long_file_is_not_put_into_the_notebook_whole():
    quiet = np.zeros((48000 * 61, 2), np.int16)
    html = render_html(examine(file_of(quiet, 48000)))
    assert len(html) < 1.4 * MOST_PLAYED_BYTES + 20_000
    (before, _), (after, _), _ = players_of(html)
    assert abs(len(before) / 48000 - len(after) / 8000) < 0.001
    assert "The players hold the first 19 s" in html


def test_a_name_that_looks_like_markup_is_shown_as_a_name():
    html = render_html(examine(Clip(Clip.tone(440, 0.1).payload, "<script>alert(1)</script>")))
    assert "<script" not in html
    assert "&lt;script&gt;" in html


def test_code_in_the_advice_is_set_as_code():
    html = render_html(examine(Clip.tone(440, 1.0)))
    assert "`" not in html
    assert "<code" in html
