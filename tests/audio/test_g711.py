"""The codecs against the formula of ITU-T G.191 written out, and against audioop if it exists."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.g711 import decode_alaw, decode_ulaw, encode_ulaw

EVERY_SAMPLE = np.arange(-32768, 32768, dtype=np.int32).astype(np.int16)
EVERY_CODE = bytes(range(256))


def g191(x):
    m = min(33 + ((x if x >= 0 else ~x) >> 2), 0x1FFF)
    segment = m.bit_length() - 6
    mantissa = (m >> (segment + 1)) & 15
    return ~((0x80 if x < 0 else 0) | segment << 4 | mantissa) & 0xFF


@pytest.fixture(scope="module")
def audioop():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return pytest.importorskip("audioop", reason="left the standard library in 3.13")


def test_encoder_is_the_formula_of_g191_on_every_sample():
    assert encode_ulaw(EVERY_SAMPLE) == bytes(map(g191, EVERY_SAMPLE.tolist()))


def test_encoder_differs_from_audioop_on_508_negative_samples_by_one_code(audioop):
    ours = np.frombuffer(encode_ulaw(EVERY_SAMPLE), np.uint8).astype(int)
    theirs = np.frombuffer(audioop.lin2ulaw(EVERY_SAMPLE.tobytes(), 2), np.uint8).astype(int)
    differs = ours != theirs
    assert np.count_nonzero(differs) == 508
    assert (EVERY_SAMPLE[differs] < 0).all()
    assert (np.abs(ours - theirs)[differs] == 1).all()


def test_ulaw_decoder_is_audioop_on_every_code(audioop):
    assert decode_ulaw(EVERY_CODE).tobytes() == audioop.ulaw2lin(EVERY_CODE, 2)


def test_ulaw_decoder_agrees_with_values_of_the_g711_table():
    # ITU-T G.711 table 2b, times 4: the ends of the range, a segment boundary, and both zeros.
    codes = bytes([0x80, 0x00, 0x8F, 0xFF, 0x7F, 0xFE, 0x7E])
    assert decode_ulaw(codes).tolist() == [32124, -32124, 16764, 0, 0, 8, -8]


def test_every_code_survives_a_round_trip_except_negative_zero():
    returned = encode_ulaw(decode_ulaw(EVERY_CODE))
    assert returned == EVERY_CODE.replace(b"\x7f", b"\xff")


def test_error_of_a_round_trip_is_small_beside_the_sample():
    x = EVERY_SAMPLE.astype(int)
    error = np.abs(decode_ulaw(encode_ulaw(EVERY_SAMPLE)).astype(int) - x)
    assert (error <= (np.abs(x) + 132) / 32).all()


@given(st.binary(max_size=1000))
@settings(max_examples=50, deadline=None)
def test_decoder_gives_each_byte_the_same_sample_wherever_it_stands(payload):
    table = decode_ulaw(EVERY_CODE)
    assert decode_ulaw(payload).tolist() == [int(table[code]) for code in payload]


def test_codec_crosses_the_borders_of_its_blocks():
    samples = np.resize(EVERY_SAMPLE, 3 * 65536 + 7)
    payload = encode_ulaw(samples)
    assert payload == (encode_ulaw(EVERY_SAMPLE) * 4)[: len(samples)]
    assert (decode_ulaw(payload)[-65536:] == decode_ulaw(payload[-65536:])).all()


def test_decoder_takes_any_buffer():
    expected = decode_ulaw(b"\x00\x80\xff").tolist()
    assert decode_ulaw(bytearray(b"\x00\x80\xff")).tolist() == expected
    assert decode_ulaw(memoryview(b"\xaa\x00\x80\xff")[1:]).tolist() == expected


def test_codec_of_nothing_is_nothing():
    assert encode_ulaw(np.empty(0, np.int16)) == b""
    assert decode_ulaw(b"").dtype == np.int16
    assert len(decode_ulaw(b"")) == 0


@pytest.mark.parametrize(
    "view", [EVERY_SAMPLE[::3], EVERY_SAMPLE[::-1], EVERY_SAMPLE.astype(">i2")]
)
def test_encoder_takes_strided_reversed_and_big_endian_arrays(view):
    assert encode_ulaw(view) == encode_ulaw(np.array(view.tolist(), np.int16))


def test_encoder_does_not_change_its_input():
    samples = EVERY_SAMPLE.copy()
    encode_ulaw(samples)
    assert (samples == EVERY_SAMPLE).all()


@pytest.mark.parametrize("kind", ["f4", "f8", "i4", "u2", "u1"])
def test_encoder_refuses_what_is_not_int16(kind):
    with pytest.raises(TypeError, match=r"not int16; kit\.Clip\.from_samples"):
        encode_ulaw(np.zeros(4, kind))


def test_encoder_refuses_a_list_and_bytes():
    for samples in ([0, 1], b"\0\0"):
        with pytest.raises(TypeError, match="not int16"):
            encode_ulaw(samples)


def test_encoder_refuses_more_than_one_channel():
    with pytest.raises(ValueError, match=r"shape \(4, 2\), not \(n,\)"):
        encode_ulaw(np.zeros((4, 2), np.int16))


def test_alaw_decoder_is_audioop_on_every_code(audioop):
    assert decode_alaw(EVERY_CODE).tobytes() == audioop.alaw2lin(EVERY_CODE, 2)


def test_alaw_decoder_agrees_with_values_of_the_g711_table():
    # ITU-T G.711 table 1b, times 8: A-law has no zero, its least value is 1/2 step.
    assert decode_alaw(bytes([0xD5, 0x55, 0xAA, 0x2A])).tolist() == [8, -8, 32256, -32256]


@pytest.mark.parametrize("size", [0, 1, 2, 159, 160, 161, 1023, 1024, 1025, 32767, 32768, 32769])
def test_codec_of_any_size_is_that_of_single_samples(size):
    samples = np.resize(EVERY_SAMPLE[::7], size)
    codes = encode_ulaw(EVERY_SAMPLE)
    payload = encode_ulaw(samples)
    assert payload == bytes(codes[sample + 32768] for sample in samples.tolist())
    assert encode_ulaw(samples.astype(">i2")) == encode_ulaw(np.repeat(samples, 2)[::2]) == payload
    table = decode_ulaw(EVERY_CODE)
    decoded = decode_ulaw(payload)
    assert decoded.tolist() == [int(table[code]) for code in payload]
    assert decoded.flags.writeable
    assert decoded.flags.owndata


def test_encoder_takes_a_subclass_of_the_array():
    class Samples(np.ndarray):
        pass

    assert encode_ulaw(EVERY_SAMPLE[:200].view(Samples)) == encode_ulaw(EVERY_SAMPLE[:200])
