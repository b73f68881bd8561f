from pathlib import Path

import pytest

from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav

FOLDER = Path(__file__).parents[2] / "sample_audio"


def test_greeting_is_what_the_tutorial_says():
    report = inspect_wav(FOLDER / "greeting.wav")
    assert (report.encoding, report.bits_per_sample) == ("PCM", 16)
    assert (report.sample_rate, report.channels, report.seconds) == (44100, 2, 4.21)
    assert report.header_bytes == 44


def test_question_is_the_greeting_as_a_call_takes_it():
    report = inspect_wav(FOLDER / "question.wav")
    assert report.verdict == "question.wav is ready, once the first 58 bytes are left out"
    assert report.seconds == 4.21
    assert load_clip(FOLDER / "question.wav").payload == load_clip(FOLDER / "greeting.wav").payload


@pytest.mark.parametrize(
    ("name", "encoding", "bits"),
    [
        ("speech_24bit_extensible.wav", "PCM", 24),
        ("speech_float.wav", "IEEE_FLOAT", 32),
        ("reply.wav", "PCM", 16),
        ("tone_440.wav", "PCMU", 8),
        ("dtmf_123.wav", "PCMU", 8),
        ("bot_time.wav", "PCMU", 8),
        ("caller_time.wav", "PCMU", 8),
        ("caller_thanks.wav", "PCMU", 8),
    ],
)
def test_others_are_short_and_can_be_heard(name, encoding, bits):
    report = inspect_wav(FOLDER / name)
    assert (report.encoding, report.bits_per_sample) == (encoding, bits)
    clip = load_clip(FOLDER / name)
    assert clip.seconds < 2
    assert clip.clipped == 0
    assert abs(clip.samples().astype(int)).max() > 5000


def test_samples_are_small_and_every_one_is_in_the_readme():
    readme = (FOLDER / "README.md").read_text()
    sounds = list(FOLDER.glob("*.wav"))
    assert sum(path.stat().st_size for path in sounds) < 1_500_000
    assert [path.name for path in sounds if f"`{path.name}`" not in readme] == []
