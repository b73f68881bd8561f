"""What the telephone makes of a file: sounds of known level come back with that level."""

from __future__ import annotations

import io
import math
import re
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.cases import CASES
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.examination import DBM0
from twistream_kit.audio.examine import KEPT_SECONDS, examine
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.audio.load import load_clip
from twistream_kit.errors import WavError

SAMPLES = Path(__file__).parents[2] / "sample_audio"

RATE = 44100


def sine(hz=1000.0, amplitude=0.1, *, seconds=2.0, rate=RATE):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def white(amplitude, *, seconds=2.0, rate=RATE):
    return np.random.default_rng(5).normal(0, amplitude, round(seconds * rate))


def file_of(samples, rate=RATE, *, form="WAV", subtype="PCM_16"):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


def figures(samples, rate=RATE, **options):
    return examine(file_of(samples, rate, **options)).figures


def found(examination, subject):
    (finding,) = [each for each in examination.findings if each.subject == subject]
    return finding


@pytest.mark.parametrize("amplitude", [0.5, 0.05, 0.005])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_the_level_of_a_sine_is_measured_to_a_twentieth_of_a_decibel(amplitude, rate):
    measured = figures(sine(amplitude=amplitude, rate=rate), rate)
    rms = 20 * math.log10(amplitude / math.sqrt(2))
    assert measured.rms_db == pytest.approx(rms, abs=0.05)
    assert measured.peak_db == pytest.approx(20 * math.log10(amplitude), abs=0.2)
    assert measured.file_peak_db == pytest.approx(20 * math.log10(amplitude), abs=0.1)
    assert measured.speech_db == pytest.approx(rms, abs=0.1)
    assert measured.speech_dbm0 == pytest.approx(rms + 3.01 + 3.17, abs=0.1)
    assert measured.seconds == pytest.approx(2.0, abs=0.001)


def test_a_full_scale_sine_is_3_17_dbm0():
    assert 20 * math.log10(1 / math.sqrt(2)) + DBM0 == pytest.approx(3.17, abs=0.01)


def test_pauses_do_not_count_as_speech():
    second = sine(seconds=1.0)
    talk = np.concatenate([second, 0 * second, second, 0 * second])
    measured = figures(talk)
    assert measured.speech_db == pytest.approx(-23.01, abs=0.1)
    assert measured.rms_db == pytest.approx(-23.01 - 3.01, abs=0.1)
    assert measured.active == pytest.approx(0.5, abs=0.03)


def test_an_offset_is_measured_and_is_no_level():
    measured = figures(sine(amplitude=0.1) + 0.07)
    assert measured.offset == pytest.approx(0.07, abs=1e-4)
    assert measured.rms_db == pytest.approx(-23.01, abs=0.1)
    assert found(examine(file_of(sine() + 0.07)), "offset").severity == "warning"
    assert found(examine(file_of(sine() + 0.01)), "offset").severity == "note"
    assert found(examine(file_of(sine())), "offset").severity == "ok"


def test_every_sample_that_was_cut_off_is_counted_and_the_first_is_placed():
    # 100 periods of 441 samples from second 1 on, each beyond full scale twice.
    quiet, loud = sine(100, 0.2, seconds=1), sine(100, 1.5, seconds=1)
    samples = np.clip(np.concatenate([quiet, loud]), -1, 32767 / 32768)
    flat = np.abs(np.rint(samples * 32768)) >= 32767
    measured = figures(samples)
    assert measured.clipped_samples == np.count_nonzero(flat) > 10_000
    assert measured.clipped_runs == 200
    assert measured.first_clipped_at == pytest.approx(1 + np.argmax(flat[RATE:]) / RATE, abs=1e-4)
    finding = found(examine(file_of(samples)), "clipping")
    assert finding.severity == "warning"
    assert "200 places" in finding.problem


def test_a_single_sample_at_full_scale_is_not_clipping():
    samples = sine()
    samples[1000] = 1.0
    assert figures(samples).clipped_runs == 0


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_24", "PCM_32", "FLOAT", "ULAW", "ALAW"])
def test_clipping_is_found_in_every_encoding(subtype):
    loud = np.clip(sine(100, 2.0), -1, 1)
    assert figures(loud, subtype=subtype).clipped_runs == 400
    assert figures(sine(100, 0.9), subtype=subtype).clipped_runs == 0


def test_one_clipped_channel_is_found_though_the_mix_is_not_at_full_scale():
    loud = np.clip(sine(100, 2.0), -1, 1)
    measured = figures(np.stack([loud, 0 * loud], axis=1))
    assert measured.clipped_runs == 400
    assert measured.peak_db < -5


def test_the_noise_floor_of_a_recording_is_measured_in_its_pauses():
    # White noise up to 22.05 kHz; 4000/22050 of its power is left at 8000 Hz.
    noise = white(0.01, seconds=4)
    talk = np.concatenate([sine(seconds=2), np.zeros(2 * RATE)])
    measured = figures(noise + talk)
    expected = 20 * math.log10(0.01) + 10 * math.log10(4000 / 22050)
    # The quietest tenth of random pieces lies below their mean.
    assert measured.noise_db == pytest.approx(expected - 0.6, abs=0.7)


def test_digital_silence_is_not_taken_for_the_noise_floor():
    talk = np.concatenate([np.zeros(RATE), sine(seconds=1), white(0.01, seconds=1)])
    assert figures(talk).noise_db > -60


def test_silence_at_both_ends_is_measured_to_a_frame():
    parts = [np.zeros(round(1.3 * RATE)), sine(seconds=2), np.zeros(round(2.5 * RATE))]
    examination = examine(file_of(np.concatenate(parts)))
    assert examination.figures.silence_before == pytest.approx(1.3, abs=0.02)
    assert examination.figures.silence_after == pytest.approx(2.5, abs=0.02)
    finding = found(examination, "silence")
    assert finding.severity == "note"
    assert "The caller waits" in finding.consequence
    begin, end = map(int, re.search(r"payload\[(\d+):-(\d+)\]", finding.fix).groups())
    left = examine(Clip(examination.after.payload[begin:-end])).figures
    assert 0.05 <= left.silence_before <= 0.15
    assert 0.1 <= left.silence_after <= 0.3
    assert left.seconds == pytest.approx(2.3, abs=0.05)


@pytest.mark.parametrize("above", [0.5, 0.1, 0.01, 0.001])
def test_the_energy_above_3400_hz_is_measured_as_a_share(above):
    mixed = sine(1000, math.sqrt(1 - above) / 4) + sine(6000, math.sqrt(above) / 4)
    measured = figures(mixed)
    assert measured.above_3400 == pytest.approx(above, rel=0.02)
    assert measured.above_3400_db == pytest.approx(10 * math.log10(above), abs=0.1)
    assert measured.below_300 < 1e-4


@pytest.mark.parametrize("below", [0.95, 0.5, 0.01])
def test_the_energy_below_300_hz_is_measured_as_a_share_and_an_offset_is_none(below):
    mixed = sine(1000, math.sqrt(1 - below) / 4) + sine(120, math.sqrt(below) / 4)
    assert figures(mixed + 0.2).below_300 == pytest.approx(below, rel=0.02)


def test_white_noise_is_spread_evenly_over_all_pitches():
    measured = figures(white(0.1, rate=32000), 32000)
    assert measured.above_3400 == pytest.approx(1 - 3400 / 16000, abs=0.01)
    assert measured.below_300 == pytest.approx(300 / 16000, abs=0.005)


def test_lost_pitches_are_described_in_words():
    hiss = sine(1000, 0.05) + sine(6000, 0.1)
    finding = found(examine(file_of(hiss)), "high pitches")
    assert finding.severity == "warning"
    assert "s and f will be hard to tell apart" in finding.consequence
    assert found(examine(file_of(sine())), "high pitches").severity == "ok"


@pytest.mark.parametrize(
    ("left", "right", "lost"),
    [(1, 1, 0.0), (1, 0, -3.01), (1, 0.5, -0.46), (1, -0.5, -10.0)],
)
def test_what_mixing_two_channels_costs_is_measured(left, right, lost):
    measured = figures(np.stack([left * sine(), right * sine()], axis=1))
    assert measured.mix_db == pytest.approx(lost, abs=0.1)


def test_a_channel_and_its_opposite_leave_nothing():
    assert figures(np.stack([sine(), -sine()], axis=1)).mix_db < -90


def test_channels_that_cancel_each_other_are_a_warning_with_a_way_out():
    examination = examine(file_of(np.stack([sine(), -0.8 * sine()], axis=1)))
    finding = found(examination, "channels")
    assert finding.severity == "warning"
    assert "cancel each other" in finding.consequence
    assert "samples[:, 0]" in finding.fix
    assert not examination.ok


def test_a_silent_channel_is_named():
    examination = examine(file_of(np.stack([0 * sine(), sine()], axis=1)))
    finding = found(examination, "channels")
    assert "channel 1 is silent" in finding.problem
    assert "samples[:, 1]" in finding.fix
    assert examination.figures.channels_db[1] == pytest.approx(-23.01, abs=0.1)
    assert math.isinf(examination.figures.channels_db[0])


def test_the_header_becomes_the_click_that_one_would_hear():
    raw = file_of(sine(seconds=0.5))
    examination = examine(raw)
    measured = examination.figures
    assert (measured.header_bytes, measured.header_ms) == (44, 5.5)
    heard = np.abs(decode_ulaw(raw[:44]).astype(int)).max() / 32768
    assert measured.header_peak_db == pytest.approx(20 * math.log10(heard), abs=0.01)
    assert examination.click.payload.strip(b"\xff") == raw[:44].strip(b"\xff")
    assert "a click of 5.5 ms" in found(examination, "header").consequence


def test_bytes_after_the_sound_are_reported():
    raw = bytearray(file_of(sine(seconds=0.5)))
    raw += b"LIST" + struct.pack("<I", 26) + b"x" * 26
    raw[4:8] = struct.pack("<I", len(raw) - 8)
    examination = examine(bytes(raw))
    assert examination.figures.trailing_bytes == 34
    assert "and 34 after it" in found(examination, "header").problem


def test_a_flac_file_has_no_header_to_click_but_is_all_noise():
    examination = examine(file_of(sine(), form="FLAC"))
    assert examination.figures.header_bytes is None
    assert examination.click is None
    assert examination.figures.rms_db == pytest.approx(-23.01, abs=0.1)
    assert "a FLAC file" in found(examination, "header").problem
    assert "all of it would be noise" in found(examination, "header").consequence


def test_the_noise_of_mu_law_is_measured():
    linear = np.rint(sine(1003.7, 0.3, rate=8000) * 32768).astype(np.int16)
    error = decode_ulaw(Clip.from_samples(linear, 8000).payload).astype(float) - linear
    expected = 10 * math.log10(np.square(linear.astype(float)).sum() / np.square(error).sum())
    measured = figures(linear, 8000)
    assert measured.quantisation_db == pytest.approx(expected, abs=0.01)
    assert 35 < expected < 40


def test_a_clip_is_examined_as_it_is_and_gains_no_noise():
    clip = Clip(Clip.tone(440, 1.0).payload, "tone")
    examination = examine(clip)
    assert examination.name == "tone"
    assert examination.after == clip
    assert math.isinf(examination.figures.quantisation_db)
    assert examination.figures.rms_db == pytest.approx(-15.05, abs=0.1)
    assert examination.click is None


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("subtype", ["PCM_16", "FLOAT", "ULAW"])
def test_what_is_heard_after_is_what_load_clip_gives(rate, channels, subtype):
    samples = np.stack([sine(rate=rate), white(0.05, rate=rate)][:channels], axis=1)
    raw = file_of(samples, rate, subtype=subtype)
    examination = examine(raw)
    assert examination.after.payload == load_clip(raw).payload
    assert examination.before.shape == samples.shape
    assert np.abs(examination.before / 32768 - samples).max() < 0.03
    assert examination.sample_rate == rate


def test_a_long_file_is_measured_whole_and_kept_in_part(tmp_path):
    path = tmp_path / "long.wav"
    samples = np.concatenate([sine(rate=8000, seconds=70), sine(amplitude=0.2, rate=8000)])
    path.write_bytes(file_of(samples, 8000))
    examination = examine(path)
    assert examination.name == "long.wav"
    assert examination.figures.seconds == 72
    assert examination.figures.file_peak_db == pytest.approx(-13.98, abs=0.1)
    assert examination.after.seconds == KEPT_SECONDS
    assert examination.before.shape == (KEPT_SECONDS * 8000, 1)


def test_more_channels_than_two_are_heard_as_their_first_two():
    examination = examine(file_of(np.stack([sine()] * 3, axis=1)))
    assert examination.before.shape == (2 * RATE, 2)
    assert examination.figures.channels == 3


def test_headerless_sound_is_examined_with_its_encoding():
    raw = np.rint(sine(rate=16000) * 32768).astype("<i2").tobytes()
    examination = examine(raw, sample_rate=16000, encoding="PCM_S16LE")
    assert examination.figures.rms_db == pytest.approx(-23.01, abs=0.1)
    assert examination.figures.header_bytes == 0
    assert "PCM_S16LE" in examination.heading


@pytest.mark.parametrize(
    ("level", "severity", "words"),
    [
        (-19, "ok", "right for a call"),
        (-28, "note", "soft for a call"),
        (-35, "warning", "too soft for a call"),
        (-10, "note", "loud for a call"),
        (-5, "warning", "too loud for a call"),
    ],
)
def test_the_level_is_compared_with_that_of_a_call(level, severity, words):
    amplitude = 10 ** ((level - 3.17) / 20)
    finding = found(examine(file_of(sine(amplitude=amplitude))), "level")
    assert finding.severity == severity
    assert finding.problem.endswith(words)


def test_the_gain_that_is_advised_brings_the_level_of_a_call():
    fix = found(examine(file_of(sine(amplitude=0.01))), "level").fix
    gain = float(fix.split("samples * ")[1].split(",")[0])
    assert figures(gain * sine(amplitude=0.01)).speech_dbm0 == pytest.approx(-19, abs=0.2)


def test_silence_is_said_to_be_silence():
    examination = examine(Clip.silence(1.0))
    assert "All of it is silence" in found(examination, "level").problem
    assert not examination.ok
    assert examination.figures.silence_before == 1.0


@pytest.mark.parametrize("n_samples", [1, 2, 159, 161])
def test_the_shortest_sounds_are_examined_too(n_samples):
    examination = examine(file_of(sine(seconds=n_samples / 8000, rate=8000), 8000))
    assert examination.figures.seconds == n_samples / 8000
    assert repr(examination)


def test_a_file_that_was_cut_off_says_so():
    examination = examine(file_of(sine())[: 44 + RATE * 2])
    assert "1.00 s that the header promises are missing" in found(examination, "length").problem


def test_what_cannot_be_read_is_refused_as_by_load_clip(tmp_path):
    with pytest.raises(WavError, match="there is no such file"):
        examine(tmp_path / "nothing.wav")
    with pytest.raises(WavError, match="NaN or infinity"):
        examine(file_of(np.array([0.1, np.nan, 0.2] * 100), subtype="FLOAT"))
    with pytest.raises(WavError, match="empty"):
        examine(Clip(b""))
    with pytest.raises(ValueError, match="headerless sound needs both"):
        examine(b"\xff" * 800, encoding="PCMU")


def test_the_report_reads_as_sentences_with_the_worst_marked():
    text = repr(examine(file_of(np.stack([sine(), -sine()], axis=1) + 0.05)))
    assert "bytes: PCM, 16 bit, stereo, 44100 Hz, 2.00 s on the telephone" in text
    assert "WARN  offset" in text
    assert "It should be corrected before a call: " in text
    assert ".." not in text
    assert "nan" not in text


def test_bytes_that_text_mode_inserted_are_named_and_the_line_restores_them():
    raw = (CASES.parents[1] / "sample_audio" / "greeting.wav").read_bytes()
    wrong = raw.replace(b"\n", b"\r\n")
    found = [each for each in examine(wrong).findings if each.severity == "warning"]
    assert "0D stands before every 0A" in found[-1].problem
    assert not any("wrapped" in each.problem for each in found)
    restored = wrong.replace(b"\r\n", b"\n")
    assert not any("0D" in each.problem for each in examine(restored).findings)


def test_channels_that_cancel_each_other_are_the_cause_of_silence():
    rate = 8000
    tone = (9000 * np.sin(np.arange(3 * rate) * 0.3)).astype(np.int16)
    for other in (-tone, (-tone * 0.95).astype(np.int16)):
        file = io.BytesIO()
        soundfile.write(file, np.stack([tone, other], axis=1), rate, format="WAV")
        findings = [each for each in examine(file.getvalue()).findings if each.severity != "ok"]
        assert findings[0].subject == "channels"
        assert not any(each.subject in ("level", "silence") for each in findings)


def test_samples_that_wrapped_around_are_not_called_too_loud_for_the_conversion(tmp_path):
    samples, rate = soundfile.read(SAMPLES / "greeting.wav")
    samples = samples.mean(axis=1)
    loud = samples * 3 * 32767 * 0.6 / np.abs(samples).max()
    path = tmp_path / "wrapped.wav"
    soundfile.write(path, loud.astype(np.int64).astype(np.int16), rate, subtype="PCM_16")
    found = examine(path)
    assert found.figures.wrapped_samples
    assert found.figures.clipped_by_mixing
    [clipping] = [each for each in found.findings if each.subject == "clipping"]
    assert "wrapped around" in clipping.problem
