"""Rates that are guessed: right speech that was made at another rate and not resampled.

That it plays slow and low can be heard; at which rate it was made cannot.
"""

import json
import re
from base64 import b64decode

import pytest

import twistream_kit as kit
from support.cases import CASES, frames_of
from twistream_kit.diagnosis._rate import CANDIDATE_RATES
from twistream_kit.notebook.display.display import render_html

MADE_AT = {"b01.ulaw": 16000, "b02.ulaw": 16000, "b03.ulaw": 12000, "b04.ulaw": 22050}


@pytest.fixture(scope="module", params=MADE_AT, ids=lambda name: name.removesuffix(".ulaw"))
def case(request):
    [objection] = kit.review_sound(frames_of(request.param))
    return objection, MADE_AT[request.param], (CASES / request.param).read_bytes()


def test_it_says_slow_and_low_and_that_the_rate_is_undecided(case):
    objection, _, _ = case
    assert "plays slow and low" in objection.problem
    assert "cannot be decided" in objection.fix
    assert objection.severity == "warning"
    assert objection.confidence is None  # a percentage could not be calibrated
    assert "%" not in str(objection)


def test_the_right_rate_is_among_the_candidates_and_none_is_preferred(case):
    objection, made_at, _ = case
    assert made_at in objection.sample_rates
    named = {int(number) for number in re.findall(r"\d{5}", str(objection))}
    assert named == set(objection.sample_rates) == set(CANDIDATE_RATES)


def test_the_fix_with_the_right_rate_leaves_nothing_to_object_to(case):
    objection, made_at, payload = case
    heard = kit.load_clip(objection.sound, sample_rate=made_at, encoding="PCMU")
    assert heard.seconds == pytest.approx(len(objection.sound) / made_at, abs=0.01)
    samples = kit.Clip(payload).samples()
    assert not kit.review_sound(kit.Clip.from_samples(samples, made_at).frames())
    resampler = kit.Resampler(made_at)
    pieces = [resampler.push(samples[at : at + 400]) for at in range(0, len(samples), 400)]
    streamed = b"".join(map(kit.encode_ulaw, [*pieces, resampler.flush()]))
    assert not kit.review_sound(kit.Clip(streamed).frames())


def test_a_notebook_has_a_player_for_each_candidate(case):
    objection, _, _ = case
    for result in (objection, kit.review_sound([case[2]])):
        html = render_html(result)
        sounds = re.findall(r"src=\"data:audio/wav;base64,([^\"]+)\"", html)
        seconds = [(len(b64decode(sound)) - 44) / 2 / 8000 for sound in sounds]
        expected = [3 * 8000 / rate for rate in (8000, *CANDIDATE_RATES)]
        assert seconds == pytest.approx(expected, abs=0.01)
        assert all(f"{rate} Hz" in html for rate in CANDIDATE_RATES)


def test_json_holds_the_candidates_and_not_the_sound(case):
    objection, _, _ = case
    values = json.loads(json.dumps(objection.to_dict()))
    assert values["sample_rates"] == list(CANDIDATE_RATES)
    assert "sound" not in values
