"""File headers in the midst of a stream."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.load import load_clip
from twistream_kit.diagnosis._repeated_headers import RepeatedHeaders
from twistream_kit.diagnosis.sound import review_sound

SAMPLES = Path(__file__).parents[2] / "sample_audio"

HEADER = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\7\0\1\0" + bytes(20)
SOUND = b"\x10" * 756
FLAC = b"fLaC\x00\x00\x00\x22" + bytes(152)


def found(payloads, *, is_file=True):
    headers = RepeatedHeaders("media.payload")
    objections = [headers.note_sent(payload, is_file=is_file) for payload in payloads]
    return [objection for objection in objections if objection]


def test_a_header_in_each_message_is_reported_once_with_the_time_between_the_clicks():
    (objection,) = found([HEADER + SOUND] * 10)
    assert (objection.code, objection.field) == (None, "media.payload")
    assert "again, 100 ms of sound behind the one before" in objection.problem
    assert "a click every 100 ms" in objection.consequence
    assert "kit.load_clip(piece).payload" in objection.fix


def test_one_header_at_the_beginning_of_a_message_is_left_to_the_look_inside():
    assert found([SOUND, HEADER + SOUND, SOUND]) == []


def test_one_header_amid_a_message_is_reported_with_its_place():
    (objection,) = found([SOUND, SOUND + HEADER + SOUND])
    assert "in the midst of the stream, at byte 1512" in objection.problem


def test_headers_of_other_formats_count_as_well():
    (objection,) = found([FLAC, FLAC])
    assert "(FLAC)" in objection.problem


def test_other_formats_are_looked_for_only_where_a_file_may_begin():
    assert found([FLAC, FLAC], is_file=False) == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 400), min_size=1), st.integers(1, 3))
def test_headers_are_found_however_the_stream_is_cut(sizes, n):
    stream = (SOUND + HEADER) * n + SOUND
    pieces, at = [], 0
    while at < len(stream):
        size = sizes[len(pieces) % len(sizes)]
        pieces.append(stream[at : at + size])
        at += size
    problems = [each.problem for each in found(pieces, is_file=False)]
    repeated = [problem for problem in problems if "again, 100 ms" in problem]
    assert len(repeated) == (1 if n > 1 else 0)


@pytest.mark.parametrize("piece", [b"WAVE", b"RIFF", b"WAVE" * 40, b"RIFFWAVE" * 40])
def test_parts_of_a_header_are_sound(piece):
    assert found([piece] * 20) == []


def test_a_whole_header_amid_a_message_is_neither_called_the_rest_of_one_nor_noise():
    question = SAMPLES / "question.wav"
    sound = load_clip(question).payload[:8040] + question.read_bytes()
    (objection,) = review_sound([sound[at : at + 160] for at in range(0, len(sound), 160)])
    assert "in the midst of the stream, at byte 8040" in objection.problem
