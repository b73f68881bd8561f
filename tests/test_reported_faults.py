"""Reported faults drawn anew, by a recorded seed, and the package's answers to them."""

import os
import re
import shutil

import numpy as np
import pytest
from fault_answers import SEED, grade, grade_all
from fault_set import Case, draw_cases, ulaw

from twistream_kit.audio.g711 import encode_ulaw

REQUIRED = os.environ.get("TWISTREAM_REQUIRE_ESPEAK") == "1"

needs_voices = pytest.mark.skipif(
    shutil.which("espeak-ng") is None and not REQUIRED,
    reason="the voices are those of espeak-ng, which is not on the PATH",
)


def test_the_set_codes_as_g711_does():
    samples = np.arange(-32768, 32768, dtype=np.int16)
    ours, theirs = (np.frombuffer(code(samples), np.uint8) for code in (ulaw, encode_ulaw))
    # Where a sample lies between two codes, implementations of G.711 differ, by one code.
    apart = np.abs((ours & 127).astype(int) - (theirs & 127))
    assert apart[samples != 0].max() <= 1
    assert np.mean(ours == theirs) > 0.98


def test_an_answer_is_graded_by_its_facts():
    fault = Case("x", "sound", b"", must=(r"wrapped", r"clip"), wrong=(r"is A-law",))
    assert grade(fault, "it WRAPPED around; clip it") == "right"
    assert grade(fault, "it wrapped around") == "missed"
    assert grade(fault, "it wrapped around, clip it; it is A-law") == "confidently wrong"
    assert grade(fault, "") == "missed"
    good = Case("right", "sound", b"", is_right=True)
    assert grade(good, "") == "right"
    assert grade(good, "anything at all") == "confidently wrong"


@needs_voices
def test_a_seed_draws_the_same_cases_each_time_and_another_one_others():
    first, again, other = (draw_cases(seed) for seed in (SEED, SEED, SEED + 1))
    # Each OGG has a serial number of its own.
    same = [(one.name, one.must, one.suffix == ".ogg" or one.content) for one in first]
    assert same == [(one.name, one.must, one.suffix == ".ogg" or one.content) for one in again]
    assert [case.name for case in first][:3] == [case.name for case in other][:3]
    assert first[0].content != other[0].content
    assert sum(not case.is_right for case in first) >= 60
    assert sum(case.is_right for case in first) >= 20
    for case in first:
        assert case.is_right or (all(re.compile(pattern) for pattern in case.must) and case.must)


@needs_voices
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_nine_of_ten_are_answered_rightly_and_none_wrongly():
    graded = list(grade_all(draw_cases(SEED)))
    missed = [each.case.name for each in graded if each.outcome == "missed"]
    wrong = {each.case.name: each.answer for each in graded if each.outcome == "confidently wrong"}
    assert wrong == {}
    faults = sum(not each.case.is_right for each in graded)
    assert len(missed) <= faults // 10, missed
