import numpy as np
import pytest

from twistream_kit.audio.clip import Clip

FREQUENCIES = (697, 770, 852, 941, 1209, 1336, 1477, 1633)


def heard(samples):
    """The two DTMF frequencies that are strongest."""
    time = np.arange(len(samples)) / 8000
    levels = {hz: abs(np.sum(samples * np.exp(-2j * np.pi * hz * time))) for hz in FREQUENCIES}
    return set(sorted(levels, key=levels.get)[-2:])


# ITU-T Q.23, written out so that a slip in the table of the package cannot agree with itself.
@pytest.mark.parametrize(
    ("digit", "pair"),
    [
        ("1", {697, 1209}), ("2", {697, 1336}), ("3", {697, 1477}), ("A", {697, 1633}),
        ("4", {770, 1209}), ("5", {770, 1336}), ("6", {770, 1477}), ("B", {770, 1633}),
        ("7", {852, 1209}), ("8", {852, 1336}), ("9", {852, 1477}), ("C", {852, 1633}),
        ("*", {941, 1209}), ("0", {941, 1336}), ("#", {941, 1477}), ("D", {941, 1633}),
    ],
)  # fmt: skip
def test_every_key_sounds_its_two_frequencies(digit, pair):
    assert heard(Clip.dtmf(digit).samples()[:800]) == pair


def test_keys_follow_each_other_with_gaps():
    clip = Clip.dtmf("12a", tone_ms=80, gap_ms=40)
    samples = clip.samples()
    assert (clip.name, clip.seconds) == ("DTMF 12A", 0.36)
    assert heard(samples[960:1600]) == {697, 1336}
    assert not samples[640:960].any()


@pytest.mark.parametrize("digits", ["", "12E", "1 2", "ü"])
def test_what_is_no_key_is_refused(digits):
    with pytest.raises(ValueError, match=r"no telephone key|at least one telephone key"):
        Clip.dtmf(digits)
