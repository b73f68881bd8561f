import base64

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import encode_ulaw
from twistream_kit.diagnosis.payload import find_text_kind, unwrap_base64

SILENT = [b"\xff" * 160, b"\x7f" * 160, b"\xff" * 161, b"\x7f" * 162, bytes(160)]


def speechlike(seed, n=160):
    random = np.random.default_rng(seed)
    return encode_ulaw(random.laplace(0, 10 ** random.uniform(0, 4), n).astype(np.int16))


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**31), st.sampled_from([60, 160, 320, 1000]))
def test_sound_in_base64_comes_out_again(seed, n):
    payload = speechlike(seed, n)
    assert unwrap_base64(base64.b64encode(payload)) == payload
    assert unwrap_base64(base64.encodebytes(payload)) == payload


@pytest.mark.parametrize("payload", SILENT)
def test_silence_in_base64_comes_out_again(payload):
    assert unwrap_base64(base64.b64encode(payload)) == payload


@settings(deadline=None, max_examples=200)
@given(st.integers(-9000, -100), st.integers(50, 400), st.integers(0, 2**31))
def test_sound_that_never_crosses_zero_is_no_base64(offset, level, seed):
    # Around -1000 and -200 all codes are capital or small letters.
    noise = np.random.default_rng(seed).normal(0, level, 160).clip(-3 * level, 3 * level)
    payload = encode_ulaw((offset + noise).clip(-32000, -1).astype(np.int16))
    assume(len(set(payload)) > 1)  # one code again and again is no sound, and base64 of silence
    assert unwrap_base64(payload) is None


def test_a_slow_wave_in_the_letters_is_no_base64():
    wave = -6000 + 5900 * np.sin(np.arange(160) / 160 * 2 * np.pi)
    payload = encode_ulaw(wave.astype(np.int16))
    assert payload.isascii()
    assert unwrap_base64(payload) is None


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b'{"error": {"message": "Incorrect API key"}}', "JSON"),
        (b'[{"detail":"Not Found"}]', "JSON"),
        (b"{}", "JSON"),
        (b'data: {"type":"error"}\n\n', "JSON"),
        ('{"détail":"non trouvé"}'.encode(), "JSON"),
        (b"<!doctype html><html>", "HTML"),
        (b"\n<html lang=en>", "HTML"),
        (b'<?xml version="1.0" encoding="UTF-8"?>', "XML"),
        (b"\xef\xbb\xbf<!DOCTYPE html><html>", "HTML"),
        (b"<!-- 502 --><html>", "HTML"),
        (b"<Error><Code>NoSuchKey</Code></Error>", "XML"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "an HTTP answer"),
        (b"Internal Server Error", "text"),
        (b"404 Not Found", "text"),
        (b"Unauthorized\n", "text"),
        (b"null", "text"),
        (b"You have used up all of your credits.", "text"),
        (b"event: error\ndata: quota", "text"),
        (b"[object Object]", "text"),
        (b"[  0.   0.1 -0.2]", "a list of numbers as text"),
        (b"data:audio/wav;base64,UklGRg==", "a data URL"),
        (b"https://tts.example.com/audio/1.wav", "an address"),
        (b"[-12, 7, 130, 255]", "a list of numbers as text"),
        (b"[0.0, -0.125, 0.25]", "a list of numbers as text"),
        (str(b"\xff\x7f\x80").encode(), "bytes as Python prints them"),
        (speechlike(3).hex().encode(), "hexadecimal digits"),
        ((b"\xff" * 160).hex().encode(), "hexadecimal digits"),
    ],
)
def test_text_is_named_by_its_kind(payload, kind):
    assert find_text_kind(payload) == kind


def test_text_that_is_cut_inside_a_letter_is_still_text():
    page = '{"détail":"é"}'.encode()
    assert find_text_kind(page[:-3]) == "JSON"


@settings(deadline=None, max_examples=300)
@given(st.binary(min_size=4, max_size=200))
def test_bytes_at_random_are_no_text_unless_they_read_as_text(payload):
    kind = find_text_kind(payload)
    assert kind is None or any(is_utf8(payload[: len(payload) - n]) for n in range(4))


def is_utf8(payload):
    try:
        payload.decode()
    except UnicodeDecodeError:
        return False
    return True


@settings(deadline=None, max_examples=200)
@given(st.integers(0, 2**31), st.sampled_from([8, 20, 160, 1000]), st.integers(-2000, 2000))
def test_sound_is_no_text(seed, n, offset):
    random = np.random.default_rng(seed)
    samples = random.laplace(offset, 10 ** random.uniform(0, 4), n)
    payload = encode_ulaw(samples.clip(-32768, 32767).astype(np.int16))
    # The digits of silence, ff ff …, are also the code of one constant level.
    assert find_text_kind(payload) is None or set(payload) == {0x66}


def test_a_tag_alone_is_no_text():
    assert find_text_kind(b"<T>[UTH1") is None
    assert find_text_kind(b"<T>[UTH1</T>") == "XML"
    assert find_text_kind(b"<Response><Con") == "XML"


@pytest.mark.parametrize("level_db", [-6, -20, -40])
def test_tones_are_no_text(level_db):
    assert find_text_kind(Clip.tone(100, 1.0, level_db=level_db).payload) is None
