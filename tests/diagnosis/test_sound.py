"""The sound of a whole stream."""

import io

import numpy as np
import pytest
import soundfile

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.sound import SoundReview, identify_mistake, review_sound
from twistream_kit.errors import Objections
from twistream_kit.protocol import to_twilio

SID = "MZ00000000000000000000000000000001"
SPEECH = load_clip("sample_audio/greeting.wav")
PCM16 = SPEECH.samples().astype("<i2").tobytes()
TAGGED = b"ID3\x04\x00\x00\x00\x00\x00\x10" + b"\x20" * 150


def frames(payload, size=160):
    return [payload[at : at + size] for at in range(0, len(payload), size)]


def follow(payloads, review=None, seconds_each=None):
    """Send the payloads in time; return the problems, each with when it was found."""
    review, at, found = review or SoundReview(), 0.0, []
    for payload in payloads:
        found += [(round(at, 2), each.problem) for each in review.note_sent(payload, at)]
        at += seconds_each or len(payload) / 8000
    return found + [(round(at, 2), each.problem) for each in review.finish(at)]


def test_good_sound_meets_no_objection_however_it_is_cut():
    for size in (80, 160, 320, 1600, len(SPEECH.payload)):
        problems = [problem for _, problem in follow(frames(SPEECH.payload, size))]
        assert [each for each in problems if "multiple of 160" not in each] == []


def test_a_kind_of_objection_comes_once_and_is_counted():
    review = SoundReview()
    first, repeated = follow([TAGGED] * 5, review)
    assert "MP3" in first[1]
    assert "again, 20 ms" in repeated[1]
    assert list(review.found.values()) == [5, 1]


def test_another_coding_is_named_after_a_second_of_sound():
    ((at, problem),) = follow(frames(PCM16[: 8000 * 2]))
    assert problem == "is PCM16 little-endian, not PCMU"
    assert at == pytest.approx(0.98)


def test_silence_before_it_does_not_hide_another_coding():
    found = follow(frames(Clip.silence(5).payload + PCM16[:16000]))
    assert "silence in the first 3 s" in found[0][1]
    assert [(at, problem[:8]) for at, problem in found[1:]] == [(5.98, "is PCM16")]


def test_a_stream_of_half_a_second_is_examined_at_its_end():
    assert [problem for _, problem in follow(frames(PCM16[8000:13000]))] == [
        "is PCM16 little-endian, not PCMU"
    ]
    assert follow(frames(SPEECH.payload[4000:7800])) == []


def test_the_delay_of_a_stream_is_under_half_a_second_and_fixed_by_its_name():
    seen = set()
    for number in range(12):
        ((at, _),) = follow(frames(PCM16[:16000]), SoundReview(f"MZ{number:032x}"))
        ((again, _),) = follow(frames(PCM16[:16000]), SoundReview(f"MZ{number:032x}"))
        assert at == again
        seen.add(at)
    assert len(seen) > 4
    assert 0.98 <= min(seen) <= max(seen) < 1.5


def test_a_file_cut_into_frames_is_seen_once_enough_of_it_is_there():
    # A frame of 417 bytes is longer than a message: none holds two in a row.
    mp3 = (b"\xff\xfb\x90\x64" + np.random.default_rng(2).bytes(413)) * 40
    found = follow(frames(mp3))
    assert any("it is MP3" in problem for _, problem in found)


def test_what_follows_from_a_wrong_coding_is_not_objected_to_as_well():
    loud = (SPEECH.samples() * 8.0).clip(-32768, 32767).astype("<i2").tobytes()
    problems = [problem for _, problem in follow(frames(loud))]
    assert any("PCM16" in problem for problem in problems)
    assert not any("full scale in" in problem or "clicks" in problem for problem in problems)


def test_clipping_is_reported_with_its_share():
    loud = Clip.from_samples((SPEECH.samples() * 8.0).clip(-32768, 32767).astype(np.int16), 8000)
    ((_, problem),) = follow(loud.frames())
    assert "made too loud and cut" in problem


@pytest.mark.parametrize("code", [0xFF, 0x7F, 0xFE])
def test_three_seconds_of_silence_are_a_note_and_only_silence_a_warning(code):
    review = SoundReview()
    found = follow([bytes([code]) * 160] * 200, review)
    assert [at for at, _ in found] == [2.98, 4.0]
    assert [each.severity for each in review.found] == ["note", "warning"]


def test_silence_before_speech_is_no_fault_at_the_end():
    assert follow([Clip.silence(1).payload, *SPEECH.frames()]) == []


def test_sizes_are_noted_when_most_are_no_whole_frames():
    assert follow([*frames(SPEECH.payload[:7840]), b"\x20" * 33]) == []
    ((_, problem),) = follow(frames(SPEECH.payload[:8000], 250))
    assert "no multiple of 160" in problem


def test_many_playbacks_with_a_rest_of_a_frame_each_are_not_noted():
    playback = [*frames(SPEECH.payload[8000:12000]), b"\x20" * 33]
    assert follow(playback * 4) == []


def test_timing_and_clears_are_followed():
    slow = follow(frames(Clip.tone(440, 4).payload), seconds_each=0.022)
    assert ["more slowly than it sounds" in problem for _, problem in slow] == [True]
    review = SoundReview()
    for n in range(200):
        review.note_sent(b"\x10" * 160, n * 0.022)
        review.note_clear(n * 0.022 + 0.02)
    assert not any("slowly" in each.problem for each in review.found)


def test_finish_can_be_called_at_any_time():
    assert SoundReview().finish(0.0) == []
    review = SoundReview()
    review.note_sent(b"", 0.0)
    assert review.finish(1.0) == []


@pytest.mark.parametrize("payload", [SPEECH.payload, PCM16, TAGGED * 60, b"\xff" * 32_000])
def test_finish_in_steps_finds_the_same_in_several_steps(payload):
    whole, stepped = (SoundReview(at_leisure=True) for _ in range(2))
    for at, piece in enumerate(frames(payload)):
        for review in (whole, stepped):
            review.note_sent(piece, at * 0.02)
    steps = list(stepped.finish_in_steps(9.0))
    assert [each for found in steps for each in found] == whole.finish(9.0)
    assert stepped.found == whole.found
    assert len(steps) > 1 or payload[:1] == b"\xff"


def test_a_mistake_is_the_same_whatever_its_numbers_and_quotations():
    first, second = (
        review_sound([b"ID3\x04\x00\x00\x00\x00\x00\x10" + bytes([code]) * 150] * 2)
        for code in (0x20, 0x21)
    )
    assert [identify_mistake(each) for each in first] == [identify_mistake(each) for each in second]


def test_review_sound_takes_payloads_messages_and_one_payload():
    for source in (
        frames(PCM16[:16000]),
        (to_twilio.Media(SID, payload) for payload in frames(PCM16[:16000])),
        PCM16[:16000],
    ):
        found = review_sound(source)
        assert isinstance(found, Objections)
        assert [each.problem for each in found] == ["is PCM16 little-endian, not PCMU"]
    assert repr(review_sound(SPEECH.payload)) == "nothing to object to"


def test_review_sound_of_many_payloads_is_not_ten_minutes_ahead():
    assert review_sound([SPEECH.payload] * 150) == []


def test_review_sound_puts_errors_first():
    payloads = [*frames(SPEECH.payload[:1000], 50), TAGGED]
    assert [each.severity for each in review_sound(payloads)] == ["error", "note"]


@pytest.mark.parametrize("source", [["text"], [None], [1]])
def test_review_sound_refuses_what_is_no_payload(source):
    with pytest.raises(TypeError, match=r"a payload is bytes, not \w+; kit.load_clip"):
        review_sound(source)


def test_review_sound_of_a_capture_takes_its_times():
    capture = Capture(SID, started=50.0)
    for n, payload in enumerate(frames(Clip.tone(440, 4).payload)):
        capture.append(to_twilio.Media(SID, payload), 50 + n * 0.022)
    (found,) = review_sound(capture)
    assert found.field == "media"
    assert "more slowly than it sounds" in found.problem


def test_review_sound_of_a_capture_knows_its_clears_and_what_was_not_kept():
    capture = Capture(SID, keep_seconds=30)
    for n in range(200):
        capture.append(to_twilio.Media(SID, Clip.tone(440, 1).payload), n * 1.01)
        capture.append(to_twilio.Clear(SID), n * 1.01 + 0.5)
    assert review_sound(capture) == []


def as_file(kind, subtype, samples):
    file = io.BytesIO()
    soundfile.write(file, samples, 8000, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.mark.parametrize(
    ("kind", "subtype"), [("OGG", "VORBIS"), ("MP3", None), ("FLAC", "PCM_16"), ("AU", "PCM_16")]
)
@pytest.mark.parametrize("size", [160, 10**6])
def test_a_file_is_not_taken_for_another_coding_as_well(kind, subtype, size):
    found = follow(frames(as_file(kind, subtype, SPEECH.samples()), size))
    assert "starts like a file" in found[0][1]
    rest = [problem for _, problem in found[1:] if "0x00" not in problem]
    assert rest in ([], ["is no multiple of 160 bytes in most messages"])


def test_headers_between_the_pieces_are_not_taken_for_another_coding():
    found = follow(
        [as_file("WAV", "ULAW", piece) for piece in np.split(SPEECH.samples()[:32000], 200)]
    )
    assert ["file" in found[0][1], "header" in found[1][1]] == [True, True]
    assert [problem for _, problem in found[2:]] == ["is no multiple of 160 bytes in most messages"]


def test_full_scale_as_silence_between_words_is_no_clipping():
    sound = SPEECH.payload
    found = follow(frames(sound[:8000] + bytes(8000) + sound[8000:]))
    assert ["0x00" in problem for _, problem in found] == [True]


def test_a_moment_of_silence_is_no_silent_stream():
    assert follow([b"\xff" * 160]) == []


def test_what_listening_costs_is_spread_over_the_messages():
    taken = []

    class Counting(SoundReview):
        def _listen(self, piece):
            for found in super()._listen(piece):
                taken[-1] += 1
                yield found

    review = Counting()
    for number, payload in enumerate(frames(SPEECH.payload)):
        taken.append(0)
        review.note_sent(payload, number * 0.02)
    assert max(taken) == 1, "a message waited for more than one step of listening"
    assert sum(taken) >= 5


def test_a_whole_clip_in_one_message_is_listened_to_at_once():
    review = SoundReview()
    (objection,) = [each for each in review.note_sent(PCM16, 0.0) if "PCM16" in each.problem]
    assert objection.severity == "error"
    assert "kit.Clip.from_samples" in objection.fix


@pytest.mark.parametrize("place", range(8))
@pytest.mark.parametrize("at_leisure", [False, True])
def test_one_clip_of_many_in_another_coding_is_found_wherever_it_comes(place, at_leisure):
    voice = load_clip("sample_audio/greeting.wav")
    clips = [voice.payload[:24000]] * 8
    clips[place] = voice.samples()[:12000].astype("<i2").tobytes()
    review = SoundReview(at_leisure=at_leisure)
    found = [each for n, clip in enumerate(clips) for each in review.note_sent(clip, n * 3.0)]
    (coding,) = [*found, *review.finish(24.0)]
    assert "PCM16 little-endian" in coding.problem
