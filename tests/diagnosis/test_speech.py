"""Speech detection: where speech begins and ends, to the frame, on quiet lines and in noise."""

from __future__ import annotations

import numpy as np
import pytest

import twistream_kit as kit
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis.speech import (
    SpeechDetector,
    SpeechEdge,
    SpeechSpan,
    find_audible,
    find_speech,
    find_spoken,
    measure_level,
)
from twistream_kit.errors import WrongType, WrongValue

LOUD = kit.Clip.tone(440, 1.0, level_db=-12)
SECOND = kit.Clip.silence(1.0)


def scale(clip: kit.Clip, level_db: float) -> kit.Clip:
    """Return `clip` with another level, in dBFS, measured over its audible part."""
    span = find_audible(clip.payload)
    assert span is not None
    samples = clip.samples()[span.first * 160 : span.end * 160].astype(np.float64) / 32768
    level = 10 * np.log10(np.mean(samples**2))
    scaled = clip.samples() * 10 ** ((level_db - level) / 20)
    return kit.Clip(encode_ulaw(np.rint(np.clip(scaled, -32768, 32767)).astype(np.int16)))


def add_noise(clip: kit.Clip, level_db: float) -> kit.Clip:
    """Return `clip` in white noise."""
    noise = np.random.default_rng(7).normal(0, 32768 * 10 ** (level_db / 20), len(clip.payload))
    mixed = np.clip(clip.samples() + noise, -32768, 32767)
    return kit.Clip(encode_ulaw(np.rint(mixed).astype(np.int16)))


def test_level_of_a_tone_is_three_db_below_its_peak():
    assert measure_level(LOUD.frames()[25]) == pytest.approx(-15.0, abs=0.1)


@pytest.mark.parametrize("code", [0xFF, 0x7F, 0x00, 0x80])
def test_level_of_a_constant_is_that_of_silence(code: int):
    assert measure_level(bytes([code]) * 160) == -96.0


def test_speech_begins_with_its_first_frame_and_ends_after_its_last():
    sound = SECOND + LOUD + SECOND
    assert find_speech(sound.payload) == [SpeechSpan(50, 100)]


def test_begin_is_certain_after_sixty_milliseconds():
    detector = SpeechDetector()
    edges = [detector.feed(frame) for frame in (SECOND + LOUD).frames()]
    assert edges.index([SpeechEdge("begins", 50)]) == 52
    assert detector.speaking


def test_end_is_certain_after_the_pause():
    detector = SpeechDetector(pause_ms=200)
    edges = [detector.feed(frame) for frame in (SECOND + LOUD + SECOND).frames()]
    assert edges.index([SpeechEdge("ends", 100)]) == 109
    assert not detector.speaking


def test_speech_that_the_sound_cuts_off_ends_with_the_sound():
    detector = SpeechDetector()
    for frame in (SECOND + LOUD).frames():
        detector.feed(frame)
    assert detector.finish() == [SpeechEdge("ends", 100)]
    assert detector.finish() == []


def test_pause_within_a_sentence_does_not_end_speech():
    breath = kit.Clip.silence(0.3)
    assert find_speech((SECOND + LOUD + breath + LOUD + SECOND).payload) == [SpeechSpan(50, 165)]


def test_longer_pause_ends_speech():
    pause = kit.Clip.silence(0.5)
    sound = SECOND + LOUD + pause + LOUD + SECOND
    assert find_speech(sound.payload) == [SpeechSpan(50, 100), SpeechSpan(125, 175)]


def test_click_of_two_frames_is_no_speech():
    click = kit.Clip.tone(1000, 0.04)
    assert find_speech((SECOND + click + SECOND).payload) == []


def test_clicks_far_apart_do_not_add_up():
    click = kit.Clip.tone(1000, 0.04) + kit.Clip.silence(0.2)
    assert find_speech((SECOND + click + click + click + click + SECOND).payload) == []


def test_tone_that_lasts_is_never_taken_for_noise():
    tone = kit.Clip.tone(440, 60.0, level_db=-12)
    assert find_speech((SECOND + tone + SECOND).payload) == [SpeechSpan(50, 3050)]


@pytest.mark.parametrize("level_db", [-6.0, -12.0, -20.0, -30.0, -40.0])
@pytest.mark.parametrize("name", ["greeting", "question", "reply"])
def test_speech_on_a_quiet_line_is_found_to_the_frame(name: str, level_db: float):
    clip = scale(kit.load_clip(f"sample_audio/{name}.wav"), level_db)
    sound = (SECOND + clip + SECOND).payload
    audible = find_audible(sound)
    assert audible is not None
    spans = find_speech(sound, pause_ms=1000)
    assert spans == [audible]


def test_soft_begin_before_a_short_gap_belongs_to_speech():
    soft = kit.Clip.tone(440, 0.04, level_db=-40) + kit.Clip.silence(0.08)
    assert find_speech((SECOND + soft + LOUD + SECOND).payload) == [SpeechSpan(50, 106)]


def test_word_that_is_cut_off_after_a_pause_belongs_to_the_speech_before_it():
    word = kit.Clip.tone(440, 0.04, level_db=-30)
    pause = kit.Clip.silence(0.5)
    assert find_speech((SECOND + LOUD + pause + word + SECOND).payload) == [SpeechSpan(50, 127)]
    assert find_speech((SECOND + LOUD + SECOND + word + SECOND).payload) == [SpeechSpan(50, 100)]


def test_soft_tone_that_lasts_is_never_taken_for_noise():
    tone = kit.Clip.tone(440, 10.0, level_db=-40)
    assert find_speech((SECOND + tone + SECOND).payload) == [SpeechSpan(50, 550)]


def test_noise_about_the_audible_level_is_no_speech():
    for noise_db in (-52.0, -51.0, -50.0, -49.0):
        assert find_speech(add_noise(kit.Clip.silence(10.0), noise_db).payload) == []


def test_steady_noise_from_the_begin_is_no_speech():
    assert find_speech(add_noise(kit.Clip.silence(10.0), -45.0).payload) == []


@pytest.mark.parametrize("noise_db", [-40.0, -45.0, -50.0])
def test_speech_in_noise_is_found_within_a_tenth_of_a_second(noise_db: float):
    clip = scale(kit.load_clip("sample_audio/reply.wav"), -20.0)
    clean = kit.Clip.silence(2.0) + clip + kit.Clip.silence(2.0)
    audible = find_audible(clean.payload)
    spans = find_speech(add_noise(clean, noise_db).payload, pause_ms=1000)
    assert audible is not None
    assert len(spans) == 1
    assert spans[0].first == pytest.approx(audible.first, abs=5)
    assert spans[0].end == pytest.approx(audible.end, abs=5)


def make_noise(colour: str, seconds: float, level_db: float, seed: int) -> np.ndarray:
    """Return noise that is white, falls by 3 dB an octave, or fills a band."""
    random = np.random.default_rng(seed)
    n = round(8000 * seconds)
    spectrum = np.fft.rfft(random.normal(0, 1, n))
    hertz = np.maximum(np.fft.rfftfreq(n, 1 / 8000), 50)
    if colour == "pink":
        spectrum /= np.sqrt(hertz)
    if colour == "band":
        spectrum *= (hertz > 300) & (hertz < 1000)
    noise = np.fft.irfft(spectrum, n)
    return noise * (32768 * 10 ** (level_db / 20) / noise.std())


def mix_in(noise: np.ndarray, clip: kit.Clip, at: float) -> kit.Clip:
    """Return `clip` with noise that begins at a time."""
    samples = clip.samples().astype(np.float64)
    begin = round(8000 * at)
    samples[begin : begin + len(noise)] += noise
    return kit.Clip(encode_ulaw(np.rint(samples.clip(-32768, 32767)).astype(np.int16)))


@pytest.mark.parametrize("colour", ["white", "pink", "band"])
@pytest.mark.parametrize("level_db", [-52.0, -45.0, -30.0, -12.0])
def test_noise_that_begins_after_silence_is_no_speech(colour: str, level_db: float):
    for seed in range(4):
        begin = 1.0 + 0.005 * seed  # anywhere within a frame
        noise = make_noise(colour, 3.0, level_db, seed)
        noisy = mix_in(noise, kit.Clip.silence(5.0), begin)
        assert find_speech(noisy.payload) == [], f"seed {seed}"


def test_begin_that_was_noise_ends_with_the_same_frame():
    noisy = mix_in(make_noise("white", 3.0, -30.0, 1), kit.Clip.silence(4.0), 1.0)
    detector = SpeechDetector()
    edges = [edge for frame in noisy.frames() for edge in detector.feed(frame)]
    assert edges == [SpeechEdge("begins", 50), SpeechEdge("ends", 50)]
    assert detector.noise_db == pytest.approx(-30.0, abs=1.0)
    assert detector.noises == {-30}


@pytest.mark.parametrize("colour", ["white", "pink"])
@pytest.mark.parametrize("name", ["greeting", "question", "reply"])
@pytest.mark.parametrize(
    ("before", "after"),
    [(0.0, 2.0), (1.0, 2.0), (0.6, 0.6), (0.2, 0.2)],
    ids=["stays", "begins earlier and stays", "around it", "shortly around it"],
)
def test_noise_that_comes_with_speech_is_not_part_of_it(
    colour: str, name: str, before: float, after: float
):
    speech = scale(kit.load_clip(f"sample_audio/{name}.wav"), -15.0)
    audible = find_audible(speech.payload)
    assert audible is not None
    clean = SECOND + SECOND + kit.Clip(speech.payload[audible.first * 160 : audible.end * 160])
    end = len(clean.payload) // 160
    clean += SECOND + SECOND
    noise = make_noise(colour, end / 50 - 2.0 + before + after, -40.0, 2)
    spans = find_speech(mix_in(noise, clean, 2.0 - before).payload, pause_ms=1000)
    assert len(spans) == 1
    assert spans[0].first == pytest.approx(100, abs=4)
    assert spans[0].end == pytest.approx(end, abs=6)


def test_speech_goes_on_after_noise_has_begun():
    speech = scale(kit.load_clip("sample_audio/reply.wav"), -15.0)
    clean = SECOND + speech + SECOND + SECOND + speech + SECOND
    noise = make_noise("white", speech.seconds + 3.0, -40.0, 5)
    spans = find_speech(mix_in(noise, clean, 1.0 + speech.seconds).payload, pause_ms=1000)
    assert len(spans) == 2


@pytest.mark.parametrize("level_db", [-20.0, -40.0])
def test_vowel_that_is_held_is_speech(level_db: float):
    time = np.arange(16000) / 8000
    pitch = np.cumsum(120 + 3 * np.sin(2 * np.pi * 5 * time)) / 8000
    vowel = sum(np.sin(2 * np.pi * n * pitch) / n for n in range(1, 20))
    vowel += np.random.default_rng(4).normal(0, 0.05, len(time))
    clip = scale(kit.Clip(encode_ulaw((vowel * 6000).astype(np.int16))), level_db)
    assert find_speech((SECOND + clip + SECOND).payload) == [SpeechSpan(50, 150)]


@pytest.mark.parametrize("noise_db", [-11.0, -20.0, -30.0])
def test_loud_noise_from_the_begin_is_no_speech(noise_db: float):
    assert find_speech(add_noise(kit.Clip.silence(10.0), noise_db).payload) == []


def test_tone_from_the_first_frame_is_speech():
    assert find_speech((LOUD + SECOND).payload) == [SpeechSpan(0, 50)]


SOUNDS = {
    "tone": (440,),
    "high tone": (3000,),
    "dial tone": (350, 440),
    "key": (697, 1209),
    "chord": (262, 330, 392),
}


@pytest.mark.parametrize("hertz", SOUNDS.values(), ids=SOUNDS)
@pytest.mark.parametrize(("level_db", "fade"), [(-6.0, 0), (-20.0, 160), (-34.0, 40)])
def test_steady_sound_of_any_length_is_found_wherever_it_begins(
    hertz: tuple[int, ...], level_db: float, fade: int
):
    for frames in [1, 2, *range(3, 61)]:
        time = np.arange(frames * 160) / 8000
        sound = sum(np.sin(2 * np.pi * each * time) for each in hertz) / len(hertz)
        ramp = np.minimum(1, np.arange(len(time)) / max(1, fade))
        sound *= ramp * ramp[::-1] * 32767 * 10 ** (level_db / 20)
        clip = kit.Clip(encode_ulaw(np.rint(sound).astype(np.int16)))
        audible = find_audible(clip.payload)
        assert audible is not None
        assert audible == SpeechSpan(0, frames)
        for silent in (0, 1, 30):
            before = b"\xff" * 160 * silent
            for after in (b"", b"\xff" * 160, b"\xff" * 160 * 30):
                expected = [SpeechSpan(silent, silent + frames)] if frames >= 3 else []
                spans = find_speech(before + clip.payload + after)
                assert spans == expected, f"{frames} frames, silence before: {silent}"


@pytest.mark.parametrize("frames", [5, 15, 19, 20, 21, 30, 60])
def test_music_from_the_first_frame_is_found(frames: int):
    time = np.arange(frames * 160) / 8000
    notes = [np.exp(-(time % 0.25) * 3) * np.sin(2 * np.pi * hz * time) for hz in (262, 330, 392)]
    music = kit.Clip(encode_ulaw(np.rint(sum(notes) * 5000).astype(np.int16)))
    assert find_speech(music.payload) == [SpeechSpan(0, frames)]
    assert find_speech((music + SECOND).payload) == [SpeechSpan(0, frames)]
    assert find_speech((SECOND + music).payload) == [SpeechSpan(50, 50 + frames)]


def test_short_word_from_the_first_frame_is_speech():
    word = kit.Clip(LOUD.payload[: 8 * 160])
    assert find_speech((word + SECOND).payload) == [SpeechSpan(0, 8)]


@pytest.mark.parametrize("name", ["greeting", "question", "reply"])
def test_speech_from_the_first_frame_is_found(name: str):
    clip = kit.load_clip(f"sample_audio/{name}.wav")
    audible = find_audible(clip.payload)
    assert audible is not None
    trimmed = clip.payload[audible.first * 160 : audible.end * 160]
    assert find_speech(trimmed, pause_ms=1000) == [SpeechSpan(0, audible.end - audible.first)]


@pytest.mark.parametrize("name", ["greeting", "question", "reply"])
def test_speech_of_a_clip_is_its_audible_part_where_it_is_clean(name: str):
    clip = kit.load_clip(f"sample_audio/{name}.wav")
    assert find_spoken(clip.payload) == find_audible(clip.payload)


def test_speech_of_a_clip_that_is_a_tone_is_all_of_it():
    assert find_spoken(LOUD.payload) == SpeechSpan(0, 50)
    assert find_spoken(SECOND.payload) is None


def test_speech_of_a_clip_in_noise_leaves_the_noise_out():
    clip = SECOND + scale(kit.load_clip("sample_audio/reply.wav"), -15.0) + SECOND
    audible, found = find_audible(clip.payload), find_spoken(add_noise(clip, -40.0).payload)
    assert audible is not None
    assert found is not None
    assert found.first == pytest.approx(audible.first, abs=3)
    assert found.end == pytest.approx(audible.end, abs=5)


def test_silence_has_no_audible_part():
    assert find_audible(SECOND.payload) is None
    assert find_audible(kit.Clip.tone(440, 1.0, level_db=-60).payload) is None


def test_frame_of_another_length_is_refused():
    with pytest.raises(WrongValue, match="frame has 320 bytes; give frames of 160"):
        SpeechDetector().feed(bytes(320))


def test_pause_shorter_than_a_frame_is_refused():
    with pytest.raises(WrongValue, match="pause_ms is 10; sound is measured in frames of 20 ms"):
        SpeechDetector(pause_ms=10)
    with pytest.raises(WrongType):
        SpeechDetector(pause_ms="long")


def test_repr_says_what_it_hears():
    detector = SpeechDetector()
    for frame in (SECOND + LOUD).frames()[:-1]:  # the last one fades out
        detector.feed(frame)
    assert repr(detector) == "<SpeechDetector: speech at 1.98 s, -15 dBFS, noise -60 dBFS>"
