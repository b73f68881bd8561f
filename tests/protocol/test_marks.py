"""The names of marks: written and read back, ours and everybody's."""

import doctest
import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from twistream_kit.protocol import marks
from twistream_kit.protocol.marks import UNNAMED, MarkName

COUNTS = st.integers(1, 999_999_999)
SIMILAR_NAMES = st.text(alphabet="x#@s0123456789\n٣²", max_size=12)
"""Texts of which many nearly have our form."""


@given(st.text(min_size=1) | SIMILAR_NAMES.filter(bool), COUNTS, st.none() | COUNTS)
@example("x#7@3s", 8, None)
@example("x#7", 8, 9)
@example("x@3s", 7, None)
@example("\n", 1, 1)
@example("\ud800", 1, None)
def test_what_is_written_is_read_back(name, number, seconds):
    mark = MarkName(name, number, seconds)
    assert MarkName.parse(str(mark)) == mark
    assert mark.is_ours


@given(
    st.text() | SIMILAR_NAMES | st.from_regex(r"[^#]?#[0-9]{1,11}(@[0-9]{1,11}s)?", fullmatch=True)
)
@example("x#007")
@example("x#7@03s")
@example("x#7\n")
@example("x#" + "9" * 5000)  # more digits than int() takes
def test_reading_loses_nothing_of_any_name(text):
    mark = MarkName.parse(text)
    assert str(mark) == text
    assert mark.is_ours or mark.name == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("greeting#7", MarkName("greeting", 7)),
        ("play#7@3s", MarkName("play", 7, 3)),
        ("play#7@1s#8", MarkName("play#7@1s", 8)),
        ("a # b#12@100s", MarkName("a # b", 12, 100)),
        *((text, MarkName(text)) for text in (
            "", "greeting", "#7", "#7@3s", "x#", "x#7@s", "x#7@3", "x@3s", "x#٣", "x#²", "x#0",
            "x#-1", "x# 1", "x#1_0", "x#1234567890", "x#7\n",
        )),
    ],
)  # fmt: skip
def test_names_that_are_ours_are_distinguished_from_others(text, expected):
    assert MarkName.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "is_ours", "is_progress", "is_own"),
    [
        ("greeting#7", True, False, False),
        ("greeting#7@3s", True, True, True),
        (f"{UNNAMED}#7", True, False, True),
        (f"{UNNAMED}#7@3s", True, True, True),
        (UNNAMED, False, False, False),
        ("", False, False, False),
    ],
)
def test_what_a_mark_stands_for(text, is_ours, is_progress, is_own):
    mark = MarkName.parse(text)
    assert (mark.is_ours, mark.is_progress, mark.is_own) == (is_ours, is_progress, is_own)


def test_a_progress_mark_belongs_to_its_playback():
    assert str(MarkName("greeting", 7).after(3)) == "greeting#7@3s"
    assert MarkName("greeting", 7).after(3).after(4) == MarkName("greeting", 7, 4)
    with pytest.raises(ValueError, match="needs the number of its playback"):
        MarkName("theirs").after(3)


@given(st.text(alphabet=string.printable, min_size=1), COUNTS, st.none() | COUNTS)
def test_another_form_is_read_back_too(name, number, seconds):
    with pytest.MonkeyPatch.context() as patch:
        for constant, sign in (("_UNIQUE", "~~"), ("_PROGRESS", "|"), ("_SECONDS", " sec")):
            patch.setattr(marks, constant, sign)
        mark = MarkName(name, number, seconds)
        assert "~~" in str(mark)
        assert MarkName.parse(str(mark)) == mark
        assert not MarkName.parse(f"x#{number}").is_ours


def test_the_examples_of_a_mark_name_show_what_they_say():
    (examples,) = doctest.DocTestFinder(recurse=False).find(MarkName, globs=vars(marks))
    assert doctest.DocTestRunner().run(examples) == (0, 3)
