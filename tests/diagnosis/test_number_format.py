"""Sound in floats and wide integers that is sent as PCMU."""

import re

import numpy as np
import pytest

import twistream_kit as kit
from support.cases import CASES

VOICE = kit.load_clip(CASES.parents[1] / "sample_audio" / "greeting.wav").samples() / 32768
WHOLE = np.rint(VOICE * 32767)

FORMATS = {
    "float64 little-endian": VOICE.astype("<f8"),
    "float64 big-endian": VOICE.astype(">f8"),
    "float32 big-endian": VOICE.astype(">f4"),
    "float16 little-endian": VOICE.astype("<f2"),
    "float16 big-endian": VOICE.astype(">f2"),
    "int8": np.rint(VOICE * 127).astype("i1"),
    "int32 little-endian with values of 16 bits": WHOLE.astype("<i4"),
    "int32 big-endian with values of 16 bits": WHOLE.astype(">i4"),
    "int64 little-endian with values of 16 bits": WHOLE.astype("<i8"),
    "int64 big-endian with values of 16 bits": WHOLE.astype(">i8"),
    "float32 little-endian with values of 16 bits": WHOLE.astype("<f4"),
    "float64 little-endian with values of 16 bits": WHOLE.astype("<f8"),
    "int32 little-endian, or PCM16 of two channels, one silent": WHOLE.astype("<i4") << 16,
}


def followed(sound, objection):
    """Run the code of the fix."""
    code = re.search(r"kit\.Clip\.from_samples\(.*\)\.payload", objection.fix)[0]
    return eval(code, {"kit": kit, "np": np, "sound": sound, "sample_rate": 8000})


@pytest.mark.parametrize("size", [160, 320, None])
@pytest.mark.parametrize("name", FORMATS)
def test_numbers_are_named_and_the_fix_restores_the_voice(name, size):
    sound = FORMATS[name].tobytes()
    pieces = [sound[at : at + (size or len(sound))] for at in range(0, len(sound), size or 1 << 30)]
    named = [each for each in kit.review_sound(pieces) if "not PCMU" in each.problem]
    assert [each.problem for each in named] == [f"is {name}, not PCMU"]
    mended = kit.decode_ulaw(followed(sound, named[0]))
    assert np.corrcoef(mended[: len(VOICE)], VOICE)[0, 1] > 0.9


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("level", [1.0, 0.1])
def test_integers_of_full_scale_are_not_taken_for_another_coding(order, level):
    fine = np.random.default_rng(5).uniform(-1e-4, 1e-4, len(VOICE))
    sound = ((VOICE + fine) * level * 2.0**30).astype(f"{order}i4").tobytes()
    found = kit.review_sound([sound])
    assert any(each.problem.startswith("is int32") for each in found)
    assert not any("A-law" in each.problem for each in found)


def test_what_cannot_be_known_has_no_name():
    fine = np.random.default_rng(5).uniform(-1e-4, 1e-4, len(VOICE))
    sound = ((VOICE + fine) * 2.0**62).astype("<i8").tobytes()
    assert not any("not PCMU" in each.problem for each in kit.review_sound([sound]))


@pytest.mark.parametrize("channels", [(1, 0.5), (1, 1), (0.2, 1)])
def test_two_channels_of_16_bits_are_no_wide_integers(channels):
    delayed = np.roll(WHOLE, 400)
    both = np.stack([WHOLE * channels[0], delayed * channels[1]], axis=1).astype("<i2")
    found = kit.review_sound([both.tobytes()])
    assert any(each.problem.startswith("is PCM16 little-endian") for each in found)
