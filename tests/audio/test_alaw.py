import warnings

import pytest

from twistream_kit.audio.g711 import decode_alaw

EVERY_CODE = bytes(range(256))


def test_decoder_is_audioop_on_every_code():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        audioop = pytest.importorskip("audioop", reason="left the standard library in 3.13")
    assert decode_alaw(EVERY_CODE).tobytes() == audioop.alaw2lin(EVERY_CODE, 2)


def test_decoder_agrees_with_values_of_the_g711_table():
    # ITU-T G.711 table 1b, times 8: A-law has no zero, its least value is 1/2 step.
    assert decode_alaw(bytes([0xD5, 0x55, 0xAA, 0x2A])).tolist() == [8, -8, 32256, -32256]
