"""A line: its parameters, its profiles, its words, and what it does to a clip."""

import json
import math
import pickle
import re
import time
from dataclasses import replace

import numpy as np
import pytest

from twistream_kit.audio.clip import Clip
from twistream_kit.errors import WrongType, WrongValue
from twistream_kit.notebook.display.display import render_html
from twistream_kit.simulator.line._parameters import PRESETS, RANGES
from twistream_kit.simulator.line.line import Line, check_line
from twistream_kit.simulator.line.stream import SPEECH_DB, measure_speech_db

SILENCE = b"\xff" * 160

SPEECH = Clip.tone(440, 0.5) + Clip.silence(0.3) + Clip.tone(250, 0.613)


def test_presets_are_those_of_the_documentation():
    assert list(PRESETS) == [
        "clean", "mobile", "bad_mobile", "speakerphone", "street", "call_centre"
    ]  # fmt: skip


@pytest.mark.parametrize("preset", PRESETS)
def test_repr_of_a_profile_makes_the_same_line(preset):
    line = Line(preset, seed=7, loss=0.03, burst=5)
    assert eval(repr(line), {"Line": Line, "math": math}) == line
    assert pickle.loads(pickle.dumps(line)) == line
    assert hash(line) == hash(Line(preset, seed=7, loss=0.03, burst=5))
    assert json.loads(json.dumps(line.to_dict()))["preset"] == preset


@pytest.mark.parametrize(
    "line",
    [
        Line(loss=0, burst=5),
        Line("mobile", loss=0, burst=5),
        Line(noise="babble", snr_db=math.inf),
        Line("speakerphone", echo_db=-math.inf, echo_ms=20),
        Line("mobile", bunching=0, bunch=9).way_back,
        *(Line(preset).way_back for preset in PRESETS),
    ],
)
def test_what_is_off_may_be_given_with_how_it_would_be_and_the_repr_makes_the_same_line(line):
    assert eval(repr(line), {"Line": Line, "math": math}) == line
    assert replace(line, seed=2) != line


def test_a_line_that_was_not_made_has_a_repr():
    assert repr(Line.__new__(Line)) == "<Line that was not made>"


def test_keyword_changes_one_parameter_and_is_in_the_name():
    line = Line("mobile", seed=3, loss=0.05)
    assert (line.loss, line.delay_ms) == (0.05, PRESETS["mobile"].delay_ms)
    assert line.name == "mobile, loss 0.05"
    assert line.description.startswith("5 % of frames lost, 2 at a time; 100 ms of delay; ")


def test_display_begins_with_what_a_line_does_and_shows_only_what_is_on():
    shown = re.sub(r"<[^>]*>", "|", render_html(Line("speakerphone", seed=4, snr_db=math.inf)))
    shown = re.sub(r"[|\s]*\|[|\s]*", "|", shown)
    assert "|what it does|40 ms of delay; 2 ms of jitter; 10 dB softer; clipped" in shown
    assert "|preset|speakerphone|seed|4|jitter_ms|2 ms|delay_ms|40 ms|gain_db|-10 dB|" in shown
    assert "|clipping_db|-12 dBFS|echo_db|-18 dB|echo_ms|120 ms|" in shown
    assert "noise" not in shown
    lossy = render_html(Line(loss=0.02, snr_db=15))
    assert all(each in lossy for each in ("2 %", "2 frames", "white", "15 dB"))


def test_clean_line_changes_nothing_and_says_so():
    line = Line()
    assert line.is_clean
    assert line.description == "changes nothing"
    assert line.apply(SPEECH).payload == SPEECH.payload


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Line("moble"), "no profile 'moble'; the nearest is 'mobile'; there are clean, "),
        (lambda: Line("mobile", noise="stret"), "no noise 'stret'; the nearest is 'street'"),
        (lambda: Line(loss=0.6), r"loss is 0.6; it must lie between 0 and 0.5 \(a share"),
        (lambda: Line(delay_ms=-1), "delay_ms is -1; it must lie between 0 and 2000"),
        (lambda: Line(snr_db=-math.inf), "snr_db is -inf; it must lie between -10 and 80"),
        (lambda: Line(gain_db=math.nan), "gain_db is nan"),
        (lambda: Line(loss=1e-17), "loss is 1e-17, so little .* it must be 0, or 1e-05 and more"),
        (lambda: Line(bunching=1e-9), "bunching is 1e-09, so little that no call would show it"),
        (lambda: Line(delay_ms=0.2), r"delay_ms is 0.2, .* if 0.2 s are meant, give delay_ms=200"),
        (lambda: Line("street", jitter_ms=0.02), "milliseconds .* give jitter_ms=20"),
        (lambda: Line("speakerphone", echo_ms=0.12), "milliseconds .* give echo_ms=120"),
        (lambda: Line(noise="street"), "noise='street' does nothing, .* no snr_db; give both: "),
        (lambda: Line(burst=4), r"give both: burst=4.0, loss=0.02"),
        (lambda: Line("speakerphone", bunch=4), "bunch=4.0 does nothing, .* has no bunching"),
        (lambda: Line("mobile", echo_ms=200), "give both: echo_ms=200.0, echo_db=-18"),
        (lambda: Line(seed=-1), "seed is -1; it must be a whole number from 0 on"),
        (lambda: Line(bunching=0.5, bunch=1), "bunch is 1; it must lie between 2 and 50"),
        (lambda: Line().open().take(b"\xff" * 100), "a frame has 160 bytes, and this one has 100"),
        (lambda: Line("street").open().take(SILENCE, b""), "a frame has 160 bytes, .* has 0"),
        (lambda: Line().open(speech_db=1e5), "speech_db is 100000.0; it must lie between -100"),
        (lambda: Line().arrivals(-1), "frames is -1"),
        (lambda: check_line("stret", "line"), "no profile 'stret'"),
    ],
)
def test_wrong_value_is_refused_in_words(make, message):
    with pytest.raises(WrongValue, match=message):
        make()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Line("mobile", los=0.1), "no parameter 'los'; the nearest is 'loss'"),
        (lambda: Line(profile="mobile"), "no parameter 'profile'; the nearest is 'preset'"),
        (lambda: Line(latency_ms=9), "no parameter 'latency_ms'; the nearest is 'delay_ms'"),
        (lambda: Line("mobile", loss="5 %"), "loss is '5 %'"),
        (lambda: Line("mobile", loss=True), "loss is True"),
        (lambda: Line(3), "preset is 3"),
        (lambda: Line("mobile").open().take("x" * 160), "a frame is PCMU bytes, and this is str"),
        (lambda: Line().open(is_back="no"), "is_back is 'no'"),
        (lambda: Line(seed=1.5), "seed is 1.5"),
        (lambda: Line().apply(b"\xff"), "takes a Clip, and this is bytes"),
        (lambda: Line().apply(SPEECH, heard=b"\xff"), "takes a Clip, and this is bytes"),
        (lambda: check_line(3, "line_back"), "line_back is of type int; give a kit.Line"),
    ],
)
def test_wrong_type_is_refused_in_words(make, message):
    with pytest.raises(WrongType, match=message):
        make()


@pytest.mark.parametrize("name", RANGES)
def test_each_range_holds_what_the_profiles_have(name):
    least, most, _ = RANGES[name]
    for preset, parameters in PRESETS.items():
        value = getattr(parameters, name)
        assert least <= value <= most or math.isinf(value), preset


@pytest.mark.parametrize("preset", PRESETS)
def test_same_seed_gives_the_same_bytes_in_a_clip_and_in_a_stream(preset):
    line = Line(preset, seed=11, delay_ms=0)
    clip = line.apply(SPEECH)
    stream = line.open(speech_db=measure_speech_db(SPEECH))
    frames = b"".join(map(stream.take, SPEECH.frames()))
    assert clip.payload == frames[: len(SPEECH.payload)]
    assert Line(preset, seed=11, delay_ms=0).apply(SPEECH) == clip


def test_another_seed_and_the_way_back_lose_other_frames():
    def lose(line, *, is_back=False):
        stream = line.open(is_back=is_back)
        return [stream.take(frame) for frame in Clip.tone(300, 4.0).frames()]

    line = Line(loss=0.2, seed=1)
    assert lose(line) == lose(line)
    assert lose(line) != lose(Line(loss=0.2, seed=2))
    assert lose(line) != lose(line, is_back=True)


def test_way_back_has_the_network_and_not_the_microphone():
    back = Line("street", seed=4).way_back
    assert (back.loss, back.delay_ms, back.jitter_ms) == (0.015, 100, 8)
    assert not back.has_noise
    assert not back.has_echo
    assert (back.gain_db, back.clipping_db) == (0, 0)
    assert back.seed == 4
    assert Line("mobile", noise="street", snr_db=math.inf).way_back.description == (
        "1 % of frames lost, 2 at a time; 100 ms of delay; 6 ms of jitter; 1 % of frames in "
        "bunches of 4"
    )


def test_delay_is_exact_to_the_sample():
    clip = Line(delay_ms=30.125).apply(SPEECH)
    assert clip.payload == b"\xff" * 241 + SPEECH.payload


@pytest.mark.parametrize("gain_db", [-20, -6, 6])
def test_gain_is_that_which_was_asked(gain_db):
    before = Clip.tone(440, 0.5, level_db=-20).samples()
    after = Line(gain_db=gain_db).apply(Clip.tone(440, 0.5, level_db=-20)).samples()
    assert _rms(after) / _rms(before) == pytest.approx(10 ** (gain_db / 20), rel=0.02)


@pytest.mark.parametrize("clipping_db", [-40, -12, -3])
def test_clipping_is_where_it_was_asked(clipping_db):
    loud = Line(clipping_db=clipping_db, gain_db=10).apply(Clip.tone(440, 0.5, level_db=-3))
    limit = 32768 * 10 ** (clipping_db / 20)
    assert np.abs(loud.samples().astype(int)).max() == pytest.approx(limit, rel=0.03)


@pytest.mark.parametrize(("echo_db", "echo_ms"), [(-20, 120), (-6, 0)])
def test_echo_comes_back_as_late_and_as_loud_as_was_asked(echo_db, echo_ms):
    heard = Clip.tone(440, 0.4, level_db=-6)
    line = Line(echo_db=echo_db, echo_ms=echo_ms)
    echo = line.apply(Clip.silence(1.0), heard=heard).samples()
    first = int(np.flatnonzero(np.abs(echo) > 200)[0])
    assert first == pytest.approx(echo_ms * 8, abs=80)  # the tone has a ramp
    part = echo[echo_ms * 8 : echo_ms * 8 + 3200]
    assert _rms(part) / _rms(heard.samples()) == pytest.approx(10 ** (echo_db / 20), rel=0.02)
    assert not line.apply(Clip.silence(1.0)).samples().any()


def test_level_of_speech_is_that_of_its_audible_frames():
    clip = Clip.tone(440, 1.0, level_db=-20) + Clip.silence(3.0)
    assert measure_speech_db(clip) == pytest.approx(-23, abs=0.2)  # a full-scale sine has -3 dBFS
    assert measure_speech_db(Clip.silence(1.0)) is None
    assert measure_speech_db(Clip(b"")) is None


def test_empty_clip_passes():
    assert Line("street", delay_ms=0).apply(Clip(b"", "none")).payload == b""


@pytest.mark.slow
@pytest.mark.parametrize("preset", PRESETS)
def test_line_costs_at_most_20_us_a_frame(preset):
    frames, stream = Clip.tone(440, 10.0).frames(), Line(preset).open(speech_db=SPEECH_DB)
    least = math.inf
    for _ in range(20):
        began = time.perf_counter()
        for frame in frames:
            stream.take(frame)
        least = min(least, (time.perf_counter() - began) / len(frames))
    assert least * 1e6 <= 20


def _rms(samples):
    return float(np.sqrt(np.mean(np.square(samples.astype(float)))))
