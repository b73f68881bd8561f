"""A call as one sound of two sides: aligned in time, cut by clears, saved in every format."""

from __future__ import annotations

import io
import math
import stat
import tracemalloc

import numpy as np
import pytest
import soundfile

from support.captures import capture_of
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.convert import convert_files
from twistream_kit.capture.capture import Capture
from twistream_kit.errors import TwistreamError, WavError, WrongType, WrongValue
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
START = from_twilio.Start(SID)
STOP = from_twilio.Stop(SID)
CLEAR = to_twilio.Clear(SID)
TONE = Clip.tone(440, 2.0)


def say(chunk, payload):
    return from_twilio.Media(SID, payload, chunk, "inbound", chunk, 20 * chunk)


def a_call(seconds=3.0):
    """The caller says 20 ms at 0.5 s of a call; you play 2 s from 1 s on and clear them at 2 s."""
    silence = [(0.02 * n, say(n, b"\xff" * 160)) for n in range(1, 26)]
    return capture_of(
        SID,
        (0.0, START),
        *silence,
        (0.52, say(26, b"\x20" * 160)),
        (1.0, to_twilio.Media(SID, TONE.payload)),
        (2.0, CLEAR),
        (seconds, STOP),
    )


def test_recording_has_the_caller_left_and_what_was_heard_right_at_their_times():
    recording = a_call().recording
    samples = recording.samples()
    assert (samples.dtype, samples.shape, recording.seconds) == (np.int16, (24_000, 2), 3.0)
    assert np.flatnonzero(samples[:, 0]).tolist() == list(range(4000, 4160))
    assert (samples[8000:16_000, 1] == TONE.samples()[:8000]).all(), "what was not cleared"
    assert not samples[:8000, 1].any()
    assert not samples[16_000:, 1].any(), "what the clear removed was not heard"


def test_recording_is_what_caller_and_heard_are():
    capture = a_call()
    samples = capture.recording.samples()
    for column, clip in enumerate((capture.caller, capture.heard)):
        assert (samples[: len(clip.payload), column] == clip.samples()).all()
        assert not samples[len(clip.payload) :, column].any()


@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_a_part_is_that_part_of_the_whole(seconds):
    recording = a_call().recording
    whole = recording.samples()
    for begin in np.arange(0.0, 3.0, 0.37):
        part = recording.samples(begin, begin + seconds)
        first = round(begin * 8000)
        assert (part == whole[first : round((begin + seconds) * 8000)]).all()
    assert recording.samples(2.9, 50.0).shape == (800, 2)
    assert recording.samples(50.0).shape == (0, 2)


def test_a_part_that_ends_before_it_begins_is_refused():
    recording = a_call().recording
    with pytest.raises(ValueError, match=r"seconds from the start, between 0 and 3\.00"):
        recording.samples(2.0, 1.0)
    with pytest.raises(ValueError, match="seconds from the start"):
        recording.samples(-1.0)


def test_recording_does_not_grow_with_a_call_that_goes_on():
    capture = a_call()
    recording = capture.recording
    capture.append(to_twilio.Media(SID, TONE.payload), 3.5)
    capture.append(STOP, 6.0)
    assert recording.seconds == 3.0
    assert not recording.samples()[16_000:].any()
    assert capture.recording.seconds == 6.0


def test_recording_of_a_file_is_that_of_the_call(tmp_path):
    capture = a_call()
    again = Capture.load(capture.save(tmp_path / "call.jsonl"))
    assert (again.recording.samples() == capture.recording.samples()).all()


def test_sound_that_was_not_kept_is_silence_of_its_length():
    capture = Capture(SID, keep_seconds=0.5)
    capture.append(START, 0.0)
    for n in range(1, 51):
        capture.append(say(n, b"\x20" * 160), 0.02 * n)
    capture.append(to_twilio.Media(SID, TONE.payload), 1.0)
    capture.append(STOP, 4.0)
    samples = capture.recording.samples()
    assert len(samples) == 32_000
    assert np.flatnonzero(samples[:, 0]).tolist() == list(range(4000))
    assert not samples[:, 1].any()


def test_empty_capture_has_an_empty_recording(tmp_path):
    recording = Capture(SID).recording
    assert recording.samples().shape == (0, 2)
    assert recording.measure_peaks(10).shape == (0, 2, 2)
    assert soundfile.info(recording.save(tmp_path / "call.wav")).frames == 0


def test_audible_names_the_sides_that_are_not_silent():
    assert a_call().recording.audible == ("caller", "heard")
    cleared = capture_of(SID, (0.0, START), (1.0, to_twilio.Media(SID, TONE.payload)), (1.0, CLEAR))
    assert cleared.recording.audible == (), "nothing of it was heard"
    silent = "Recording(1.00 s, left: the caller, silent; right: what the caller heard, silent)"
    assert repr(cleared.recording) == silent


@pytest.mark.parametrize("columns", [1, 7, 700, 100_000])
def test_peaks_are_the_lowest_and_highest_of_each_piece(columns):
    recording = a_call().recording
    peaks = recording.measure_peaks(columns)
    samples = recording.samples()
    width = -(-len(samples) // min(columns, len(samples)))
    assert len(peaks) == -(-len(samples) // width) <= columns
    padded = np.pad(samples, ((0, -len(samples) % width), (0, 0))).reshape(-1, width, 2)
    assert (peaks[:, :, 0] == padded.min(axis=1)).all()
    assert (peaks[:, :, 1] == padded.max(axis=1)).all()


# Files


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".WAV"])
def test_a_file_without_loss_holds_every_sample(suffix, tmp_path):
    recording = a_call().recording
    path = recording.save(tmp_path / f"call{suffix}")
    samples, rate = soundfile.read(path, dtype="int16")
    assert rate == 8000
    assert (samples == recording.samples()).all()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("suffix", [".mp3", ".ogg", ".opus"])
def test_a_file_with_loss_holds_both_sides_at_their_times(suffix, tmp_path):
    path = a_call().recording.save(tmp_path / f"call{suffix}")
    samples, rate = soundfile.read(path)
    assert (rate, samples.shape[1]) == (8000, 2)
    assert len(samples) == pytest.approx(24_000, abs=3000), "an MP3 has whole frames and a delay"
    power = np.mean(samples.reshape(-1, 2) ** 2, axis=0)
    assert power[1] > 10 * power[0], "left the caller, who says little"
    loud = np.flatnonzero(np.abs(samples[:, 1]) > 0.05) / 8000
    assert loud[0] == pytest.approx(1.0, abs=0.2)
    assert loud[-1] == pytest.approx(2.0, abs=0.2)


def test_no_file_is_replaced_in_silence(tmp_path):
    recording = a_call().recording
    path = tmp_path / "call.wav"
    path.write_bytes(b"mine")
    with pytest.raises(TwistreamError, match="exists already"):
        recording.save(path)
    assert path.read_bytes() == b"mine"
    recording.save(path, overwrite=True)
    assert soundfile.info(path).frames == 24_000
    assert [each.name for each in tmp_path.iterdir()] == ["call.wav"]


def test_a_name_of_no_known_format_is_refused_before_anything_is_written(tmp_path):
    recording = a_call().recording
    with pytest.raises(TwistreamError, match=r"call\.jsonl.*\.wav, \.flac, \.mp3, \.ogg, \.opus"):
        recording.save(tmp_path / "call.jsonl")
    with pytest.raises(WavError, match="is a folder"):
        recording.save(tmp_path)
    assert list(tmp_path.iterdir()) == []


def voices(seconds):
    """Two people who speak all the time: what no compression makes small by silence."""
    rng = np.random.default_rng(7)
    t = np.arange(seconds * 8000) / 8000
    tones = np.sin(2 * np.pi * (200 + 80 * np.sin(t)) * t) * (0.4 + 0.3 * np.sin(7 * t))
    noise = rng.normal(0, 0.02, len(t))
    return [
        Clip.from_samples((tones[::step] + noise).astype(np.float32), 8000).payload
        for step in (1, -1)
    ]


def test_the_copy_for_a_notebook_has_180_kilobytes_a_minute_and_less_with_one_voice():
    caller, yours = voices(30)
    media = [(0.02 * n, say(n, caller[160 * n - 160 : 160 * n])) for n in range(1, 1501)]
    sent = (0.0, to_twilio.Media(SID, yours))
    both = capture_of(SID, (0.0, START), sent, *media, (30.0, STOP)).recording
    one = capture_of(SID, (0.0, START), sent, (30.0, STOP)).recording
    files = io.BytesIO(), io.BytesIO()
    assert both.write_small(files[0], [(0, 30)]) == 2
    assert one.write_small(files[1], [(0, 30)]) == 1
    sizes = [len(file.getvalue()) for file in files]
    assert 60_000 < sizes[0] < 100_000
    assert sizes[1] < 27_000
    assert soundfile.info(io.BytesIO(files[0].getvalue())).frames / 8000 == pytest.approx(
        30, abs=0.1
    )


def test_the_copy_for_a_notebook_keeps_the_sides_apart():
    first, second = (Clip(voice) for voice in voices(4))
    media = [(0.02 * n, say(n, first.payload[160 * n - 160 : 160 * n])) for n in range(1, 201)]
    rows = [(0.0, START), *media, (4.0, to_twilio.Media(SID, second.payload)), (8.0, STOP)]
    file = io.BytesIO()
    capture_of(SID, *rows).recording.write_small(file, [(0, 8)])
    samples = soundfile.read(io.BytesIO(file.getvalue()))[0]
    levels = [
        np.sqrt(np.mean(part**2, axis=0)) for part in (samples[4000:28_000], samples[36_000:])
    ]
    for side, level in enumerate(levels):
        assert 20 * np.log10(level[1 - side] / level[side]) < -20, "dB below who speaks"


def test_a_long_call_takes_a_few_megabytes_while_they_are_saved(tmp_path):
    media = [(float(n), say(50 * n, TONE.payload[:160])) for n in range(1, 1201)]
    recording = capture_of(SID, (0.0, START), *media).recording
    tracemalloc.start()
    try:
        path = recording.save(tmp_path / "call.flac")
        peaks = recording.measure_peaks(700)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert soundfile.info(path).frames / 8000 == recording.seconds == pytest.approx(1200, abs=0.1)
    assert peaks[:, 0].any()
    assert most < 25e6, "in whole it has 38 MB, and an hour three times as much"


EMPTY = Capture(SID)


@pytest.mark.parametrize("kind", [".flac", ".mp3", ".opus", ".ogg"])
def test_a_call_without_sound_is_not_saved_as_a_file_that_nobody_can_read(kind, tmp_path):
    with pytest.raises(TwistreamError) as caught:
        EMPTY.recording.save(tmp_path / f"call{kind}")
    assert str(caught.value) == (
        f"the call has no sound, it ended as it began, and call{kind} cannot be empty. Nothing "
        "was written, since such a file could not be read. Leave it out, as recording.n_samples "
        "is 0, or save it as .wav."
    )
    assert list(tmp_path.iterdir()) == []


def test_a_call_without_sound_is_an_empty_wav_as_the_advice_says(tmp_path):
    path = EMPTY.recording.save(tmp_path / "call.wav")
    assert soundfile.info(path).frames == 0


@pytest.mark.parametrize(
    ("begin", "end", "said"),
    [
        (math.nan, None, "begin is nan; give a finite number."),
        (math.inf, None, "begin is inf; give a finite number."),
        (0, math.inf, "end is inf; give a finite number."),
        (0, 10**400, "end is 1000000000000000000000000000000000000000…; give a finite number."),
        ("1", None, "begin is '1'; give a number."),
        (0, True, "end is True; give a number."),
    ],
)
def test_a_part_of_a_recording_is_asked_for_in_numbers(begin, end, said):
    with pytest.raises((WrongType, WrongValue)) as caught:
        a_call().recording.samples(begin, end)
    assert str(caught.value) == said


@pytest.mark.parametrize("at", [math.nan, math.inf, -math.inf, 10**400, "1", None])
@pytest.mark.parametrize("message", [CLEAR, to_twilio.Media(SID, TONE.payload)])
def test_a_message_without_a_time_is_refused_and_not_kept(at, message):
    capture = Capture(SID)
    with pytest.raises((WrongType, WrongValue), match=r"^at is "):
        capture.append(message, at=at)
    for note in (capture.note_status, capture.note_odd):
        with pytest.raises((WrongType, WrongValue), match=r"^at is "):
            note(at, "ringing")
    assert (len(capture), len(capture.statuses), len(capture.odd)) == (0, 0, 0)


@pytest.mark.parametrize("name", ["started", "keep_seconds"])
@pytest.mark.parametrize("seconds", [math.nan, math.inf, "1", None])
def test_a_capture_counts_from_a_number_and_keeps_a_number_of_seconds(name, seconds):
    with pytest.raises((WrongType, WrongValue), match=f"^{name} is "):
        Capture(SID, **{name: seconds})


def test_a_capture_cannot_keep_less_than_nothing():
    with pytest.raises(WrongValue, match="keep_seconds is -1; it is 0 or more"):
        Capture(SID, keep_seconds=-1)


LONG_NAME = "n" * 300 + ".wav"

UNUSABLE = [None, 5, b"call.wav", True, "a\0b.wav", LONG_NAME]
"""What no file can be named."""


@pytest.mark.parametrize("name", UNUSABLE)
@pytest.mark.parametrize(
    "save", [a_call().save, a_call().stereo, a_call().recording.save, TONE.save, Capture.load]
)
def test_a_name_that_no_file_can_have_is_refused_in_words(save, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TwistreamError):
        save(name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\0b", "n" * 300])
def test_no_folder_of_such_a_name_is_made(name, tmp_path, monkeypatch):
    source = TONE.save(tmp_path / "tone.wav")
    with pytest.raises(WavError, match="cannot be made"):
        convert_files([source], tmp_path / name, progress=False)
    assert list(tmp_path.iterdir()) == [source]
