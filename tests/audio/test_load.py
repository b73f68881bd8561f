import io
import struct

import numpy as np
import pytest
import soundfile

from twistream_kit.audio import wav_report
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.examine import examine
from twistream_kit.audio.g711 import decode_ulaw, encode_ulaw
from twistream_kit.audio.load import load_clip, open_sound
from twistream_kit.errors import WavError


def wave(sample_rate, seconds=0.5, hz=440, amplitude=0.5):
    return amplitude * np.sin(2 * np.pi * hz * np.arange(int(sample_rate * seconds)) / sample_rate)


def written(samples, sample_rate, *, form="WAV", subtype=None, endian=None):
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate, format=form, subtype=subtype, endian=endian)
    return file.getvalue()


def assert_is_the_wave(clip, tolerance=0.02, **kwargs):
    expected = wave(8000, **kwargs)
    got = clip.samples() / 32768
    assert len(got) == len(expected)
    # The filter of the resampler sees the silence around the sound; its ends are not compared.
    assert np.abs(got - expected)[100:-100].max() < tolerance


@pytest.mark.parametrize(
    ("encoding", "subtype", "endian"),
    [
        ("PCMU", "ULAW", "FILE"),
        ("PCMA", "ALAW", "FILE"),
        ("PCM_U8", "PCM_U8", "FILE"),
        ("PCM_S16LE", "PCM_16", "LITTLE"),
        ("PCM_S16BE", "PCM_16", "BIG"),
        ("PCM_S24LE", "PCM_24", "LITTLE"),
        ("PCM_S32LE", "PCM_32", "LITTLE"),
        ("FLOAT32LE", "FLOAT", "LITTLE"),
    ],
)
def test_headerless_samples_are_those_of_libsndfile_to_the_bit(encoding, subtype, endian):
    random = np.random.default_rng(7)
    raw = bytes(range(256)) * 3 + random.bytes(24_000)  # every code of 8 bits, a multiple of 24
    if encoding == "FLOAT32LE":
        raw = random.uniform(-1, 1, 6000).astype("<f4").tobytes()
    sndfile = {"samplerate": 16_000, "channels": 1, "format": "RAW", "subtype": subtype}
    expected, _ = soundfile.read(io.BytesIO(raw), dtype="float32", endian=endian, **sndfile)
    with open_sound(raw, sample_rate=16_000, encoding=encoding) as sound:
        samples = np.concatenate(list(sound.blocks))
    assert samples.tobytes() == expected.tobytes()


@pytest.mark.parametrize("read", [load_clip, examine])
def test_sound_is_read_without_a_report_on_every_byte_of_its_header(build, read, monkeypatch):
    monkeypatch.delattr(wav_report, "report_on")
    monkeypatch.delattr(wav_report, "read_fields")
    found = read(build.question(encode_ulaw((wave(8000) * 32767).astype(np.int16))))
    assert (found if read is load_clip else found.after).seconds == 0.5


@pytest.mark.parametrize(
    "subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE", "ULAW", "ALAW"]
)
@pytest.mark.parametrize("form", ["WAV", "WAVEX", "RF64"])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_wav_encoding_is_loaded(subtype, form, channels):
    samples = np.repeat(wave(16000)[:, None], channels, axis=1)
    raw = written(samples, 16000, form=form, subtype=subtype)
    assert_is_the_wave(load_clip(raw), tolerance=0.03)


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_rifx_is_loaded(subtype):
    raw = written(wave(16000), 16000, subtype=subtype, endian="BIG")
    assert raw[:4] == b"RIFX"
    assert_is_the_wave(load_clip(raw))


@pytest.mark.parametrize(
    ("form", "subtype"), [("WAV", "GSM610"), ("WAV", "IMA_ADPCM"), ("WAV", "MS_ADPCM")]
)
def test_compressed_wav_is_left_to_libsndfile(form, subtype):
    clip = load_clip(written(wave(8000), 8000, form=form, subtype=subtype))
    assert clip.seconds == pytest.approx(0.5, abs=0.1)
    assert np.abs(clip.samples()).max() > 10000


@pytest.mark.parametrize(
    ("form", "tolerance"),
    [("FLAC", 0.02), ("AU", 0.02), ("AIFF", 0.02), ("OGG", 0.1), ("CAF", 0.02)],
)
def test_other_files_are_loaded_by_libsndfile(form, tolerance, tmp_path):
    raw = written(wave(44100), 44100, form=form)
    assert_is_the_wave(load_clip(raw), tolerance)
    # A name that ends in .raw makes soundfile itself ask for a sample rate.
    path = tmp_path / "sound.raw"
    path.write_bytes(raw)
    assert load_clip(path) == Clip(load_clip(raw).payload, "sound")


def test_mp3_is_loaded():
    clip = load_clip(written(wave(44100), 44100, form="MP3"))
    assert clip.seconds == pytest.approx(0.5, abs=0.1)
    assert np.abs(clip.samples()).max() == pytest.approx(16384, rel=0.1)


@pytest.mark.parametrize("sample_rate", [4000, 8000, 11025, 22050, 44100, 48000, 96000, 192_000])
def test_rates_from_4000_to_192000_hz_keep_pitch_and_duration(sample_rate):
    assert_is_the_wave(load_clip(written(wave(sample_rate), sample_rate)))


@pytest.mark.parametrize("channels", range(1, 9))
def test_one_to_eight_channels_are_mixed_at_equal_parts(channels):
    samples = np.zeros((4000, channels))
    samples[:, -1] = wave(8000)
    assert_is_the_wave(load_clip(written(samples, 8000)), amplitude=0.5 / channels)


def test_pcmu_at_8000_hz_passes_through_untouched(build):
    # 0x7F, the second zero, would come back as 0xFF from a codec.
    payload = bytes(range(256)) * 3 + b"\x7f"
    trailer = build.chunk(b"LIST", b"INFO")
    raw = build.riff(build.fmt(extra=b"\0\0"), build.chunk(b"data", payload), trailer)
    assert load_clip(raw) == Clip(payload)


def test_pcm16_at_8000_hz_is_the_plain_codec(build):
    samples = np.arange(-32768, 32768, 3, dtype=np.int32).astype("<i2")
    raw = build.riff(build.fmt(1, 1, 8000, 16), build.chunk(b"data", samples.tobytes()))
    assert load_clip(raw).payload == encode_ulaw(samples)


def test_24_bits_in_four_bytes_are_loaded(build):
    samples = (wave(8000) * 2**31).astype("<i4") & ~0xFF
    header = build.extensible(1, 1, 8000, 32, valid_bits=24)
    assert_is_the_wave(load_clip(build.riff(header, build.chunk(b"data", samples.tobytes()))))


def test_float_file_is_not_silence():
    """Read as int16, libsndfile makes silence of floats in [-1, 1]."""
    raw = written(wave(8000), 8000, subtype="FLOAT")
    assert np.abs(soundfile.read(io.BytesIO(raw), dtype="int16")[0]).max() <= 1
    assert_is_the_wave(load_clip(raw))


def test_float_beyond_full_scale_is_cut_and_counted_and_does_not_wrap(build):
    samples = np.array([1.5, -1.5, 1.0, 0.0], "<f4")
    clip = load_clip(build.riff(build.fmt(3, 1, 8000, 32), build.chunk(b"data", samples.tobytes())))
    assert clip.samples().tolist() == [32124, -32124, 32124, 0]
    assert clip.clipped == 3


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_streamed_file_whose_size_was_left_open_is_loaded_whole(build, size):
    sound = (wave(8000) * 32767).astype("<i2").tobytes()
    raw = build.riff(build.fmt(1, 1, 8000, 16), build.chunk(b"data", sound, size=size), size=size)
    assert_is_the_wave(load_clip(raw))


def test_data_before_fmt_is_loaded(build):
    raw = build.riff(build.chunk(b"data", b"\x11" * 80), build.fmt())
    assert load_clip(raw).payload == b"\x11" * 80


def test_of_two_data_chunks_the_first_is_loaded(build):
    sounds = build.chunk(b"data", b"\x11" * 80), build.chunk(b"data", b"\x22" * 80)
    assert load_clip(build.riff(build.fmt(), *sounds)).payload == b"\x11" * 80


def test_of_a_file_that_is_cut_off_the_rest_is_loaded(build):
    clip = load_clip(build.question()[:-300])
    assert clip.payload == b"\xff" * 500
    assert clip.missing_seconds == pytest.approx(300 / 8000)
    assert repr(clip) == "Clip('', 0.06 s, 0.04 s missing)"
    assert load_clip(build.question()).missing_seconds == 0


def test_partial_sample_at_the_end_is_left_out(build):
    raw = build.riff(build.fmt(1, 2, 8000, 16), build.chunk(b"data", bytes(4003)))
    assert len(load_clip(raw).payload) == 1000


def test_clip_is_named_after_its_file(build, tmp_path):
    path = tmp_path / "my question.wav"
    path.write_bytes(build.question())
    assert load_clip(path).name == load_clip(str(path)).name == "my question"
    with path.open("rb") as file:
        assert load_clip(file).name == "my question"


@pytest.mark.parametrize(
    ("encoding", "kind", "scale"),
    [
        ("PCM_S16LE", "<i2", 32767),
        ("PCM_S16BE", ">i2", 32767),
        ("PCM_S32LE", "<i4", 2**31 - 1),
        ("FLOAT32LE", "<f4", 1),
    ],
)
def test_headerless_linear_sound_is_loaded(encoding, kind, scale):
    raw = (wave(16000) * scale).astype(kind).tobytes()
    assert_is_the_wave(load_clip(raw, sample_rate=16000, encoding=encoding))


def test_headerless_bytes_of_one_byte_a_sample_are_loaded():
    payload = bytes(range(256))
    assert load_clip(payload, sample_rate=8000, encoding="PCMU").payload == payload
    unsigned = (wave(8000) * 127 + 128).astype("u1").tobytes()
    assert_is_the_wave(load_clip(unsigned, sample_rate=8000, encoding="PCM_U8"))
    # The same 24 bits that libsndfile writes behind its header.
    raw24 = written(wave(8000), 8000, subtype="PCM_24")[-12000:]
    assert_is_the_wave(load_clip(raw24, sample_rate=8000, encoding="PCM_S24LE"))
    alaw = written(wave(8000), 8000, subtype="ALAW")[-4000:]
    assert_is_the_wave(load_clip(alaw, sample_rate=8000, encoding="PCMA"), tolerance=0.03)


def test_headerless_sound_needs_both_keywords_and_a_known_encoding():
    with pytest.raises(ValueError, match="needs both"):
        load_clip(b"\xff", sample_rate=8000)
    with pytest.raises(ValueError, match="encoding is 'mulaw', not one of PCMU, PCMA, PCM_U8"):
        load_clip(b"\xff", sample_rate=8000, encoding="mulaw")
    with pytest.raises(WavError, match="1 bytes, not a whole number of samples of 2 bytes"):
        load_clip(b"\xff", sample_rate=8000, encoding="PCM_S16LE")
    with pytest.raises(WavError, match="it is empty"):
        load_clip(b"", sample_rate=8000, encoding="PCMU")


@pytest.mark.parametrize("sample_rate", [0, -5, 3999, 192_001])
def test_impossible_sample_rate_is_refused(sample_rate):
    with pytest.raises(WavError, match=f"its sample rate is {sample_rate} Hz; 4000 to 192000"):
        load_clip(b"\xff", sample_rate=sample_rate, encoding="PCMU")


def test_wav_file_said_to_be_headerless_is_refused(build):
    with pytest.raises(WavError, match="Leave sample_rate and encoding out"):
        load_clip(build.question(), sample_rate=8000, encoding="PCMU")


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "the file is empty"),
        (b"<html><body>404", "an HTML page"),
        (b'{"error": "not found"}', "JSON"),
        (b"ID3\x04 and nothing else", "an MP3 file"),
        (b"\xff" * 100, "headerless"),
        (b"RIFF\x10\0\0\0WAVE", "ends before its fmt chunk"),
    ],
)
def test_what_is_no_sound_is_refused_in_words(raw, words):
    with pytest.raises(WavError, match=words) as caught:
        load_clip(raw)
    assert caught.value.fix


def test_wav_files_that_cannot_be_read_are_refused_in_words(build):
    sound = build.chunk(b"data", bytes(64))
    with pytest.raises(WavError, match="it holds no sound"):
        load_clip(build.riff(build.fmt(), build.chunk(b"data", b"")))
    with pytest.raises(WavError, match="it has 9 channels; 1 to 8 can be mixed into one"):
        load_clip(build.riff(build.fmt(1, 9, 8000, 16), sound))
    with pytest.raises(WavError, match="its sample rate is 0 Hz"):
        load_clip(build.riff(build.fmt(1, 1, 0, 16), sound))
    with pytest.raises(WavError, match=r"libsndfile cannot read it.*ffmpeg"):
        load_clip(build.riff(build.fmt(0x161), sound))
    nothing = struct.pack("<ff", 0.5, float("nan"))
    with pytest.raises(WavError, match=r"NaN or infinity, in the 2 samples after second 0\.00"):
        load_clip(build.riff(build.fmt(3, 1, 8000, 32), build.chunk(b"data", nothing)))


def test_libsndfile_traps_are_still_traps(build):
    """Why WAV files are not given to libsndfile: should these fail, it has learned better."""
    sound = (wave(8000) * 32767).astype("<i2").tobytes()
    streamed = build.riff(build.fmt(1, 1, 8000, 16), build.chunk(b"data", sound, size=0))
    assert soundfile.info(io.BytesIO(streamed)).frames == 0
    wrapped = written(np.array([1.5, -1.5]), 8000, subtype="ULAW")[-2:]
    assert np.abs(decode_ulaw(wrapped)).max() < 32000
