"""The encoder of pieces against the encoder of the whole, and what it refuses."""

import array

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.encoder import PayloadEncoder, encode_sound
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.audio.load import load_clip

RATES = (8000, 16000, 24000, 44100)


def make_noise(n, seed=1):
    return (np.random.default_rng(seed).standard_normal(n) * 3000).astype(np.int16)


def encode_in_pieces(encoder, pieces):
    return b"".join([*map(encoder.encode, pieces), encoder.flush()])


def cut(whole, sizes):
    at = 0
    for size in sizes:
        yield whole[at : at + size]
        at += size
    yield whole[at:]


@given(
    sizes=st.lists(st.integers(0, 700), max_size=12),
    rate=st.sampled_from(RATES),
    kind=st.sampled_from(["int16", "big-endian", "float", "bytes", "bytearray", "memoryview"]),
)
@settings(max_examples=80, deadline=None)
def test_pieces_of_any_size_are_encoded_as_the_whole_is(sizes, rate, kind):
    noise = make_noise(3000)
    pieces, encoding = {
        "int16": (list(cut(noise, sizes)), None),
        "big-endian": (list(cut(noise.astype(">i2"), sizes)), None),
        "float": (list(cut(noise.astype(np.float32) / 32768, sizes)), None),
        "bytes": (list(cut(noise.tobytes(), sizes)), "PCM_S16LE"),
        "bytearray": (list(cut(bytearray(noise.tobytes()), sizes)), "PCM_S16LE"),
        "memoryview": (list(cut(memoryview(noise.tobytes()), sizes)), "PCM_S16LE"),
    }[kind]
    whole = decode_ulaw(Clip.from_samples(noise, rate).payload).astype(int)
    got = decode_ulaw(encode_in_pieces(PayloadEncoder(rate, encoding), pieces)).astype(int)
    assert len(got) == len(whole)
    if rate == 8000:
        assert (got == whole).all()
    else:
        # The filter's rounding may move a sample across a border between two codes, one step.
        assert (np.abs(got - whole) <= (np.abs(whole) + 132) / 16).all()


@given(st.lists(st.integers(0, 700), max_size=12))
@settings(max_examples=30, deadline=None)
def test_pcmu_of_a_call_passes_unchanged_and_of_another_rate_is_resampled(sizes):
    payload = encode_ulaw(make_noise(3000))
    assert encode_in_pieces(PayloadEncoder(), cut(payload, sizes)) == payload
    wide = PayloadEncoder(16000, "PCMU")
    whole = Clip.from_samples(decode_ulaw(payload), 16000).payload
    got = encode_in_pieces(wide, cut(payload, sizes))
    assert len(got) == len(whole) == 1500
    difference = np.abs(decode_ulaw(got).astype(int) - decode_ulaw(whole))
    assert (difference <= (np.abs(decode_ulaw(whole).astype(int)) + 132) / 16).all()


def test_bytes_mean_pcmu_at_8000_hz_and_linear_at_any_other_rate():
    samples = make_noise(160)
    assert PayloadEncoder().encode(b"\x12\x34\x56") == b"\x12\x34\x56"
    assert PayloadEncoder(8000, "PCM_S16LE").encode(samples.tobytes()) == encode_ulaw(samples)
    of_bytes = encode_in_pieces(PayloadEncoder(24000), [samples.tobytes()])
    assert of_bytes == encode_in_pieces(PayloadEncoder(24000), [samples])


def test_half_a_sample_waits_for_the_next_piece():
    encoder = PayloadEncoder(8000, "PCM_S16LE")
    samples = np.array([1000, -1000], np.int16)
    pieces = [samples.tobytes()[at : at + 1] for at in range(4)]
    assert [encoder.encode(piece) for piece in pieces] == [
        b"",
        encode_ulaw(samples[:1]),
        b"",
        encode_ulaw(samples[1:]),
    ]
    assert encoder.flush() == b""
    assert encoder.dropped_bytes == 0


@pytest.mark.parametrize("end", ["flush", "an array"])
def test_half_a_sample_whose_rest_never_comes_is_dropped_and_counted(end):
    encoder = PayloadEncoder(8000, "PCM_S16LE")
    encoder.encode(b"\x01\x02\x03")
    if end == "flush":
        assert encoder.flush() == b""
    else:
        assert encoder.encode(np.zeros(2, np.int16)) == b"\xff\xff"
    assert encoder.dropped_bytes == 1
    assert encoder.encode(b"\x00\x00") == b"\xff"


def test_flush_returns_the_rest_of_the_resampler_and_begins_a_new_sound():
    encoder = PayloadEncoder(48000)
    sound = make_noise(4800)
    first = encode_in_pieces(encoder, [sound])
    assert len(first) == 800
    assert encode_in_pieces(encoder, [sound]) == first


def test_clear_discards_the_rest_of_the_resampler_and_half_a_sample():
    encoder = PayloadEncoder(48000)
    encoder.encode(make_noise(4800).tobytes() + b"\x55")
    encoder.clear()
    silence = encode_in_pieces(encoder, [bytes(9600)])
    assert silence == b"\xff" * 800
    assert encoder.dropped_bytes == 0


def test_samples_beyond_full_scale_are_counted():
    encoder = PayloadEncoder()
    encoder.encode(np.array([0.5, 1.5, -1.75], np.float32))
    assert encoder.clipped == 2


class Tensor:
    """What the arrays of other libraries have in common."""

    def __init__(self, samples):
        self._samples = samples

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self._samples, dtype)


@pytest.mark.parametrize(
    "piece",
    [
        Tensor(np.array([0, 1000, -1000], np.int16)),
        array.array("h", [0, 1000, -1000]),
        memoryview(np.array([0, 1000, -1000], np.int16)),
        np.array([0, 9, 1000, 9, -1000], np.int16)[[0, 2, 4]],
        np.array([0, 9, 1000, 9, -1000], np.int16)[::2],
        np.array([0, 1000, -1000], np.int16) / 32768,
        np.array([0, 1000, -1000], np.float16) / 32768,
        Tensor(np.array([0, 1000, -1000], np.float32) / 32768),
    ],
    ids=["tensor", "array", "memoryview", "picked", "strided", "float64", "float16", "floats"],
)
def test_samples_of_any_library_are_taken(piece):
    assert PayloadEncoder().encode(piece).hex() == "ffce4e"
    assert encode_sound(piece).hex() == "ffce4e"


def test_bytes_of_any_kind_are_taken():
    for piece in (b"\xff\xce", bytearray(b"\xff\xce"), array.array("B", b"\xff\xce")):
        assert PayloadEncoder().encode(piece) == b"\xff\xce"
    assert PayloadEncoder().encode(memoryview(b"\xff\x00\xce\x00")[::2]) == b"\xff\xce"
    assert type(PayloadEncoder().encode(bytearray(b"\xff"))) is bytes


REFUSED = {
    "int32": (np.zeros(4, np.int32), TypeError, r"int32; give int16, .*astype\('int16'\)"),
    "uint8": (np.zeros(4, np.uint8), TypeError, r"uint8; give int16, .*kit\.Clip\(samples"),
    "whole floats": (np.array([20000.0, -3]), ValueError, r"±20000 where ±1 is meant: divide"),
    "NaN": (np.array([0.0, np.nan]), ValueError, "hold NaN or infinity"),
    "infinity": (np.array([np.inf]), ValueError, "hold NaN or infinity"),
    "stereo": (np.zeros((9, 2), "i2"), ValueError, r"\(9, 2\), not \(n,\): .*samples\[:, 0\]; kit"),
    "rows": (np.zeros((2, 9), "i2"), ValueError, r"not \(n,\): .*samples\[0\]; .*samples\.T, "),
    "column": (np.zeros((9, 1), "i2"), ValueError, r"one channel, samples\[:, 0\]\.$"),
    "a scalar": (np.int16(3), ValueError, "the samples in one array"),
    "list": ([0, 1], TypeError, r"not list; np\.array\(samples, 'int16'\)"),
    "text": ("greeting.wav", TypeError, r"not str; .*kit\.load_clip\(path\)"),
    "None": (None, TypeError, "not NoneType"),
}


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize(("piece", "error", "said"), REFUSED.values(), ids=REFUSED)
def test_what_is_no_mono_sound_is_refused_with_the_way_out(piece, error, said, rate):
    with pytest.raises(error, match=said):
        PayloadEncoder(rate).encode(piece)
    with pytest.raises(error, match=said):
        encode_sound(piece, rate)


def test_way_out_of_each_refusal_works():
    encode = PayloadEncoder().encode
    stereo = np.arange(18, dtype=np.int16).reshape(9, 2)
    assert len(encode(stereo[:, 0])) == len(encode(stereo.T[0])) == 9
    assert encode_sound(Clip.from_samples(stereo.T.T, 8000)) == encode_sound(
        Clip.from_samples(stereo, 8000)
    )
    assert encode(np.zeros(4, np.int32).astype("int16")) == b"\xff" * 4
    assert len(encode(np.array([20000.0, -3]) / 32768)) == 2
    assert encode(np.array([0, 1], "int16")) == encode(np.array([0, 1 / 32768], "float32"))
    alaw = load_clip(b"\xd5" * 160, sample_rate=8000, encoding="PCMA")
    assert len(encode_sound(alaw)) == 160


def test_refused_piece_changes_nothing():
    encoder = PayloadEncoder(8000, "PCM_S16LE")
    encoder.encode(b"\xe8")
    with pytest.raises(TypeError, match="int32"):
        encoder.encode(np.zeros(4, np.int32))
    assert encoder.encode(b"\x03") == encode_ulaw(np.array([1000], np.int16))


@pytest.mark.parametrize("rate", ["8000", None, True, 8000.5, 8000j])
def test_sample_rate_that_is_no_number_of_hz_is_refused(rate):
    with pytest.raises(TypeError, match="give a whole number of Hz, 8000 for example"):
        PayloadEncoder(rate)


@pytest.mark.parametrize("rate", [3999, 192_001, 0, -8000])
def test_sample_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match="4000 to 192000 Hz are possible"):
        PayloadEncoder(rate)


def test_sample_rate_may_be_a_number_of_numpy_or_a_whole_float():
    assert PayloadEncoder(np.int64(8000)).encode(b"\x12") == b"\x12"
    assert len(encode_sound(make_noise(480), 24000.0)) == 160


def test_unknown_encoding_is_refused_with_the_way_out():
    with pytest.raises(ValueError, match=r"'PCMA'; 'PCMU' and 'PCM_S16LE' .*kit\.load_clip\("):
        PayloadEncoder(8000, "PCMA")


def test_whole_sound_is_a_clip_bytes_or_an_array():
    clip = Clip.tone(440, 0.1)
    assert encode_sound(clip) is clip.payload
    assert encode_sound(clip, 24000) is clip.payload
    assert encode_sound(clip.payload) == clip.payload
    assert encode_sound(clip.samples()) == clip.payload.replace(b"\x7f", b"\xff")
    noise = make_noise(2400)
    assert encode_sound(noise, 24000) == Clip.from_samples(noise, 24000).payload
    assert encode_sound(noise.tobytes(), 24000) == Clip.from_samples(noise, 24000).payload
    assert encode_sound(b"") == b""


def test_whole_sound_of_an_odd_number_of_bytes_is_refused():
    with pytest.raises(ValueError, match="no whole number of 16-bit samples"):
        encode_sound(b"\0\0\0", 24000)
    assert encode_sound(b"\0\0\0", 24000, "PCMU")
