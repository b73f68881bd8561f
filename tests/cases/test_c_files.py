"""Kind C: files of which something wrong, or nothing, was said."""

import base64
import contextlib
import io
import json
import struct

import numpy as np
import pytest
import soundfile

import twistream_kit as kit
from support.cases import CASES, frames_of
from twistream_kit.cli import main
from twistream_kit.errors import WavError

SID = "MZ" + "0" * 32


def described(name):
    """What each reader of files says: a report, or the error."""
    said = {}
    for read in (kit.inspect_wav, kit.load_clip, kit.examine):
        try:
            said[read.__name__] = str(read(CASES / name))
        except WavError as error:
            said[read.__name__] = str(error)
    return said


def pcm_of(name):
    """The sound of a WAV file of the cases behind a header of 44 bytes."""
    return (CASES / name).read_bytes()[44:]


def wav(data, *, rate=24000, bits=16, tag=1, channels=1, size=None, riff=None, before=b""):
    """A WAV file; `size` and `riff` lie about its sizes."""
    align = channels * bits // 8
    header = struct.pack("<HHIIHH", tag, channels, rate, rate * align, align, bits)
    size = len(data) if size is None else size
    body = b"WAVEfmt " + struct.pack("<I", 16) + header + before
    body += b"data" + struct.pack("<I", size) + data + bytes(len(data) % 2)
    return b"RIFF" + struct.pack("<I", len(body) if riff is None else riff) + body


def written(samples, rate, form, subtype=None):
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format=form, subtype=subtype)
    return file.getvalue()


SPEECH = np.frombuffer(pcm_of("c01.wav"), "<i2")
"""1.3 s of speech at 24 kHz."""


# ---- C01: sizes that are placeholders ------------------------------------------------------------


def test_c01_a_file_whose_size_is_a_placeholder_is_whole():
    report = kit.inspect_wav(CASES / "c01.wav")
    assert (report.missing_bytes, round(report.seconds, 2)) == (0, 1.3)
    assert not any("cut off" in objection for objection in report.objections)
    clip = kit.load_clip(CASES / "c01.wav")
    assert (clip.missing_seconds, round(clip.seconds, 2)) == (0, 1.3)
    assert kit.examine(CASES / "c01.wav").ok


LIMITS = (1 << 31, 1 << 32)
PLACEHOLDERS = [
    *(limit - below for limit in LIMITS for below in (1, 9, 36, 37, 44, 45, 4096, 36_000)),
    *(1 << 31, (1 << 31) + 36, 1 << 30, 0),
    *(1_000_000_000, 2_000_000_000, 4_000_000_000, 999_999_999, 100_000_000, 1_999_999_964),
]
LIST = b"LIST" + struct.pack("<I", 26) + b"INFOISFT\x0e\0\0\0Lavf60.16.100\0"


@pytest.mark.parametrize("size", PLACEHOLDERS)
@pytest.mark.parametrize("before", [b"", LIST], ids=["bare", "ffmpeg"])
def test_whatever_size_a_streaming_program_leaves_nothing_is_missing(size, before):
    for riff in (size, min(size + 36 + len(before), 0xFFFFFFFF), 0xFFFFFFFF, 0, None):
        raw = wav(SPEECH.tobytes(), size=size, riff=riff, before=before)
        report, clip = kit.inspect_wav(raw), kit.load_clip(raw)
        assert (report.missing_bytes, clip.missing_seconds) == (0, 0)
        assert report.seconds == pytest.approx(1.3, abs=0.001)
        assert clip.seconds == pytest.approx(1.3, abs=0.001)
        assert "cut off" not in report.verdict


@pytest.mark.parametrize("riff", [None, 0xFFFFFFFF, 2_000_000_036])
def test_a_right_size_beside_a_placeholder_is_believed(riff):
    raw = wav(SPEECH.tobytes(), riff=riff)
    assert kit.inspect_wav(raw).objections == kit.inspect_wav(wav(SPEECH.tobytes())).objections
    assert kit.inspect_wav(raw[:-20_000]).missing_bytes == 20_000


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("rate", [8000, 24000, 44100, 48000])
def test_a_file_of_which_a_part_is_missing_is_cut_off(share, rate):
    there = SPEECH[: int(len(SPEECH) * share)].tobytes()
    whole = wav(SPEECH.tobytes(), rate=rate)
    for raw in (whole[: 44 + len(there)], wav(there, rate=rate, size=len(SPEECH) * 2)):
        report, clip = kit.inspect_wav(raw), kit.load_clip(raw)
        assert "it is cut off" in report.verdict
        assert report.missing_seconds == clip.missing_seconds
        assert clip.missing_seconds + clip.seconds == pytest.approx(len(SPEECH) / rate, abs=0.001)


def test_what_may_be_a_placeholder_or_missing_is_said_as_a_doubt():
    verdict = kit.inspect_wav(wav(SPEECH.tobytes(), size=123_456_789, riff=123_456_825)).verdict
    assert "bytes of its sound are missing, or its size is a placeholder" in verdict


# ---- C02, C03: files put end to end --------------------------------------------------------------


@pytest.mark.parametrize("name", ["c02.wav", "c03.wav"])
def test_c02_c03_of_joined_files_all_is_heard_and_said(name, tmp_path, capsys):
    report, clip = kit.inspect_wav(CASES / name), kit.load_clip(CASES / name)
    assert report.seconds == pytest.approx(1.3, abs=0.001)
    assert clip.seconds == pytest.approx(1.3, abs=0.001)
    assert clip.payload == kit.load_clip(CASES / "c01.wav").payload
    assert report.n_files == 4
    assert not report.ready
    found = kit.examine(CASES / name)
    assert found.figures.seconds == clip.seconds
    assert any("4 files put end to end" in each.problem for each in found.findings)
    assert main(["convert", str(CASES / name), "-o", str(tmp_path)]) == 0
    assert "1.30 s" in capsys.readouterr().out
    assert kit.load_clip(tmp_path / name).payload == clip.payload


def test_c02_says_how_many_files_follow():
    assert "3 more WAV files follow the first" in kit.inspect_wav(CASES / "c02.wav").verdict


def test_c03_says_that_headers_stand_inside_the_sound():
    verdict = kit.inspect_wav(CASES / "c03.wav").verdict
    assert "4 whole WAV files put end to end, headers included" in verdict


def split(samples, n_parts):
    return [part.tobytes() for part in np.array_split(samples, n_parts)]


JOINED = {
    "right sizes": lambda parts: b"".join(map(wav, parts)),
    "placeholders": lambda parts: b"".join(
        wav(part, size=0xFFFFFFFF, riff=0xFFFFFFFF) for part in parts
    ),
    "sizes of 0": lambda parts: b"".join(wav(part, size=0, riff=0) for part in parts),
    "the first for all": lambda parts: (
        wav(parts[0], size=0x7FFFFFFF, riff=0x7FFFFFFF) + b"".join(map(wav, parts[1:]))
    ),
    "in an endless one": lambda parts: wav(
        b"".join(map(wav, parts)), size=0xFFFFFFFF, riff=0xFFFFFFFF
    ),
    "in a right one": lambda parts: wav(b"".join(map(wav, parts))),
    "the header of the first cut off and put on again": lambda parts: wav(
        parts[0] + b"".join(map(wav, parts[1:]))
    ),
    "with remarks": lambda parts: b"".join(wav(part, before=LIST) for part in parts),
    "with a line between": lambda parts: b"\n".join(map(wav, parts)),
}


@pytest.mark.parametrize("kind", JOINED)
@pytest.mark.parametrize("n_parts", [2, 3, 7])
def test_however_files_are_joined_all_is_heard(kind, n_parts):
    raw = JOINED[kind](split(SPEECH, n_parts))
    report, clip = kit.inspect_wav(raw), kit.load_clip(raw)
    assert clip.payload == kit.load_clip(wav(SPEECH.tobytes())).payload
    assert report.seconds == pytest.approx(1.3, abs=0.001)
    assert "put end to end" in report.verdict or "the first, headers included" in report.verdict
    assert sum(field.size for field in report.fields) == len(raw)


def test_files_of_other_formats_are_joined_too():
    payload = kit.load_clip(wav(SPEECH.tobytes())).payload
    parts = [
        wav(SPEECH.tobytes()),
        wav(payload, tag=7, bits=8, rate=8000),
        wav(np.repeat(SPEECH, 2).tobytes(), channels=2),
        wav(SPEECH.tobytes(), rate=48000),
    ]
    clip, found = kit.load_clip(b"".join(parts)), kit.examine(b"".join(parts))
    expected = sum(kit.load_clip(part).seconds for part in parts)
    assert clip.seconds == pytest.approx(expected, abs=0.01)
    assert found.figures.seconds == clip.seconds
    verdict = kit.inspect_wav(b"".join(parts)).verdict
    assert "they are of different formats" in verdict
    again = clip.samples()[: len(payload)].astype(float)
    alone = kit.load_clip(parts[0]).samples()[: len(again)].astype(float)
    assert np.corrcoef(again, alone)[0, 1] > 0.99


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
def test_compressed_wav_files_are_joined_too(subtype):
    one = written(np.resize(SPEECH, 24000), 8000, "WAV", subtype)
    clip = kit.load_clip(one + one + one)
    assert clip.seconds == pytest.approx(3 * kit.load_clip(one).seconds)
    assert kit.inspect_wav(one + one + one).seconds == pytest.approx(clip.seconds)


@pytest.mark.parametrize(
    ("form", "subtype"),
    [
        ("FLAC", None), ("AIFF", None), ("AU", None), ("CAF", None), ("W64", None),
        ("NIST", None), ("OGG", None), ("OGG", "OPUS"), ("MP3", None),
    ],
)  # fmt: skip
def test_other_files_are_joined_too(form, subtype):
    first, second = (written(SPEECH[:n], 24000, form, subtype) for n in (31_000, 20_000))
    clip = kit.load_clip(first + second)
    alone = [kit.load_clip(raw).seconds for raw in (first, second)]
    assert clip.seconds == pytest.approx(sum(alone), abs=0.01)
    assert kit.examine(first + second).figures.seconds == clip.seconds


def test_sound_that_no_header_counts_is_said_to_be_left_out():
    raw = wav(SPEECH[:8000].tobytes()) + SPEECH[8000:].tobytes()
    assert "46400 bytes at its end belong to no chunk" in kit.inspect_wav(raw).verdict
    assert any("counted by no header" in each.problem for each in kit.examine(raw).findings)


def test_one_file_is_no_joined_one():
    report, found = kit.inspect_wav(CASES / "c01.wav"), kit.examine(CASES / "c01.wav")
    assert (report.n_files, found.figures.n_files) == (1, 1)


# ---- C04, C05, C11: what cannot be decoded -------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("c04.mp3", ["read as text", "EF BF BD", "as bytes"]),
        ("c05.mp3", ["cannot be decoded", "damaged or cut short", "libsndfile: "]),
        ("c11.flac", ["cannot be decoded", "damaged or cut short", "flac decoder"]),
    ],
)
def test_c04_c05_c11_what_cannot_be_decoded_is_said_to_be_damaged(name, words, capfd):
    for said in described(name).values():
        assert all(word in said for word in words), said
        assert "load_clip reads it" not in said
    assert main(["convert", str(CASES / name), "-o", "/nonexistent/x"]) != 0
    assert "libmpg123" not in capfd.readouterr().err


FORMS = [("FLAC", None), ("OGG", None), ("OGG", "OPUS"), ("MP3", None), ("AIFF", None)]


@pytest.mark.parametrize(("form", "subtype"), FORMS)
@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 0.6, 0.95])
def test_a_file_cut_short_is_an_error_or_says_how_much_is_missing(form, subtype, share, capfd):
    whole = written(np.tile(SPEECH, 4), 24000, form, subtype)
    raw = whole[: max(int(len(whole) * share), 20)]
    clip = said = None
    try:
        clip = kit.load_clip(raw)
    except WavError as error:
        said = str(error)
    if clip is None:
        assert "load_clip reads it" not in said
        assert "cut short" in said
    else:
        assert clip.missing_seconds + clip.seconds == pytest.approx(5.2, abs=0.15)
        assert clip.missing_seconds > 0.05
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize(("form", "subtype"), FORMS)
@pytest.mark.parametrize("through", ["utf-8", "latin-1", "cp1252"])
def test_a_file_that_went_through_text_is_said_to_have(form, subtype, through):
    raw = written(SPEECH, 24000, form, subtype)
    if through == "cp1252":
        raw = bytes(byte for byte in raw if byte not in b"\x81\x8d\x8f\x90\x9d")
    text = raw.decode(through, "replace").encode()
    for read in (kit.load_clip, kit.examine, kit.inspect_wav):
        with pytest.raises(WavError, match="as text in UTF-8"):
            read(text)


def test_what_latin_1_did_is_undone_by_the_printed_fix():
    raw = written(SPEECH, 24000, "FLAC")
    with pytest.raises(WavError, match=r"restored by raw\.decode\(\)\.encode\('latin-1'\)"):
        kit.load_clip(raw.decode("latin-1").encode())
    assert raw.decode("latin-1").encode().decode().encode("latin-1") == raw


# ---- C06: a WAV that was read as text ------------------------------------------------------------


def test_c06_a_wav_that_was_read_as_text_says_so():
    for said in described("c06.wav").values():
        assert "it was read as text" in said
        assert "fetched as text again, it comes the same" in said
        assert "is ready" not in said
        assert "will be well understood" not in said


@pytest.mark.parametrize("through", ["utf-8", "latin-1", "ascii"])
@pytest.mark.parametrize(("rate", "tag", "bits"), [(8000, 7, 8), (24000, 1, 16), (44100, 1, 16)])
@pytest.mark.parametrize("part", ["all", "sound"])
def test_any_wav_that_went_through_text_says_so(through, rate, tag, bits, part):
    data = kit.load_clip(wav(SPEECH.tobytes())).payload if tag == 7 else SPEECH.tobytes()

    def spoil(raw):
        return raw.decode(through, "replace").encode("utf-8").replace(
            b"\xef\xbf\xbd", b"?" if through == "ascii" else b"\xef\xbf\xbd"
        )  # fmt: skip

    header = {"rate": rate, "tag": tag, "bits": bits}
    raw = spoil(wav(data, **header)) if part == "all" else wav(spoil(data), **header)
    for read in (kit.load_clip, kit.examine):
        with pytest.raises(WavError, match="as text"):
            read(raw)
    try:
        said = kit.inspect_wav(raw).verdict
    except WavError as error:
        said = str(error)
    assert "as text" in said


# ---- C07, C08: noise -----------------------------------------------------------------------------


def test_c07_a_byte_too_many_is_found_with_its_time():
    assert "from 1.0 s on it is noise: a byte" in kit.inspect_wav(CASES / "c07.wav").verdict
    found = kit.examine(CASES / "c07.wav")
    [noise] = [each for each in found.findings if each.subject == "noise"]
    assert noise.problem.startswith("From 1.0 s on it is loud noise: a byte is missing or too many")
    assert not found.ok


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("at", [0, 20_001, 40_000])
def test_a_byte_that_is_missing_anywhere_is_found(channels, at):
    data = np.repeat(SPEECH, channels).tobytes()
    raw = wav(data[: at * channels] + data[at * channels + 1 :], channels=channels)
    assert kit.examine(raw).figures.noise_from == pytest.approx(at / 48_000, abs=0.2)
    assert "ends in the middle of a sample" in kit.inspect_wav(raw).verdict


def test_samples_in_the_other_byte_order_are_noise_from_the_beginning():
    found = kit.examine(wav(SPEECH.byteswap().tobytes()))
    assert found.figures.noise_from == pytest.approx(0, abs=0.2)
    assert "byte order" in str(found)


def test_c08_samples_that_wrapped_around_are_found():
    found = kit.examine(CASES / "c08.wav")
    [clipping] = [each for each in found.findings if each.subject == "clipping"]
    assert "wrapped around" in clipping.problem
    assert "jump over the whole scale" in clipping.problem
    assert not found.ok


@pytest.mark.parametrize("gain", [1.2, 1.5, 2.5])
def test_however_far_samples_wrapped_around_it_is_found_and_clipping_is_not_it(gain):
    loud = SPEECH / np.abs(SPEECH).max() * gain * 32768
    wrapped = loud.astype(np.int64).astype(np.uint16).view("<i2")
    assert kit.examine(wav(wrapped.tobytes())).figures.wrapped_samples > 0
    clipped = np.clip(loud, -32768, 32767).astype("<i2")
    assert kit.examine(wav(clipped.tobytes())).figures.wrapped_samples == 0
    mended = (np.clip(loud / 32768, -1, 1) * 32767).astype("int16")  # the printed fix
    assert kit.examine(wav(mended.tobytes())).figures.wrapped_samples == 0


# ---- C09: numbers of another scale ---------------------------------------------------------------


def test_c09_floats_in_the_range_of_int16_are_refused_with_the_divisor():
    samples = np.load(CASES / "c09.npy")
    with pytest.raises(ValueError, match=r"±\d+ where ±1 is meant: divide by 32768, or give int16"):
        kit.Clip.from_samples(samples, 8000)
    mended = kit.Clip.from_samples(samples / 32768, 8000)
    assert mended.clipped == 0
    assert mended == kit.Clip.from_samples(np.rint(samples).astype(np.int16), 8000)


@pytest.mark.parametrize(
    ("scale", "divisor"), [(2**15, 32768), (2**23, 8388608), (2**31, 2147483648)]
)
def test_floats_of_any_other_scale_are_refused(scale, divisor):
    samples = SPEECH / 32768 * 0.999
    for given in (samples * scale, np.stack([samples, samples], axis=1) * scale):
        with pytest.raises(ValueError, match=f"divide by {divisor}"):
            kit.Clip.from_samples(given, 24000)
        assert kit.Clip.from_samples(given / divisor, 24000).clipped == 0
    raw = written(samples * scale, 24000, "WAV", "FLOAT")
    with pytest.raises(WavError, match=f"where ±1 is meant.*divide by {divisor}"):
        kit.load_clip(raw)


def test_floats_a_little_beyond_full_scale_are_clipped_and_counted():
    assert kit.Clip.from_samples(SPEECH / 32768 * 3, 24000).clipped > 0


@pytest.mark.parametrize(
    ("samples", "fix"),
    [
        (SPEECH.astype(np.int32) << 16, "samples / 2147483648"),
        (SPEECH.astype(np.int32) << 8, "samples / 8388608"),
        (SPEECH.astype(np.int64), "samples.astype('int16')"),
        ((SPEECH >> 8).astype(np.int8), "samples / 128"),
        (((SPEECH >> 8) + 128).astype(np.uint8), "(samples - 128.0) / 128"),
        ((SPEECH.astype(np.int32) + 32768).astype(np.uint16), "(samples - 32768.0) / 32768"),
    ],
)
def test_integers_of_other_widths_are_refused_with_what_mends_them(samples, fix):
    with pytest.raises(TypeError) as caught:
        kit.Clip.from_samples(samples, 24000)
    assert fix in str(caught.value)
    mended = kit.Clip.from_samples(eval(fix, {"samples": samples}), 24000)
    expected = kit.Clip.from_samples(SPEECH, 24000).samples().astype(float)
    assert np.corrcoef(mended.samples(), expected)[0, 1] > 0.98


# ---- C10: the rest of a header -------------------------------------------------------------------


def media(payload):
    encoded = base64.b64encode(payload).decode()
    return json.dumps({"event": "media", "streamSid": SID, "media": {"payload": encoded}})


def test_c10_the_rest_of_a_header_before_the_sound_is_an_objection():
    payload = (CASES / "c10.ulaw").read_bytes()
    for objections in (kit.review_sound(frames_of("c10.ulaw")), kit.review(media(payload))):
        [problem] = [each.problem for each in objections if "header" in each.problem]
        assert '"data"' in problem
        assert "up to byte 14" in problem


@pytest.mark.parametrize("before", [b"", LIST, LIST * 3])
@pytest.mark.parametrize("size", [800, 24000, 0xFFFFFFFF, 0x7FFFFFFF])
def test_any_rest_of_a_header_is_an_objection(before, size):
    payload = kit.load_clip(wav(SPEECH.tobytes())).payload
    raw = wav(
        payload, tag=7, bits=8, rate=8000, before=before + b"fact\x04\0\0\0\0\0\0\0", size=size
    )
    rest = raw[44:]
    [objection] = kit.review(media(rest))
    assert "the end of a WAV header" in objection.problem
    assert kit.review(media(kit.load_clip(raw).payload)) == []


# ---- C12: less than a sample ---------------------------------------------------------------------


def test_c12_sound_of_less_than_a_sample_is_refused(tmp_path):
    for said in described("c12.wav").values():
        assert "too short" in said
        assert "nothing to send" in said.lower()
    with pytest.raises(WavError, match="too short"):
        kit.convert_file(CASES / "c12.wav", tmp_path / "out.wav")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("form", ["WAV", "FLAC", "AIFF"])
@pytest.mark.parametrize(("rate", "n_samples"), [(48000, 5), (44100, 1), (16000, 1), (192000, 20)])
def test_sound_of_less_than_a_sample_is_refused_in_any_file(form, rate, n_samples):
    raw = written(np.full(n_samples, 0.5), rate, form)
    with pytest.raises(WavError, match="too short"):
        kit.load_clip(raw)
    with pytest.raises(WavError, match="too short"):
        kit.examine(raw)


@pytest.mark.parametrize(("rate", "n_samples"), [(8000, 1), (48000, 6), (16000, 2)])
def test_a_single_sample_of_a_call_is_loaded(rate, n_samples):
    assert kit.load_clip(written(np.full(n_samples, 0.5), rate, "WAV")).payload


# ---- C13: the length of ADPCM --------------------------------------------------------------------


def test_c13_inspect_wav_and_load_clip_agree_on_the_length_of_adpcm():
    report, clip = kit.inspect_wav(CASES / "c13.wav"), kit.load_clip(CASES / "c13.wav")
    assert report.seconds == pytest.approx(clip.seconds, abs=0.0005)
    assert clip.seconds == pytest.approx(3.03, abs=0.005)


@pytest.mark.parametrize("subtype", ["IMA_ADPCM", "MS_ADPCM", "GSM610"])
@pytest.mark.parametrize("more", [-9999, -100, 0, 100, 2500, 1 << 30])
@pytest.mark.parametrize("cut", [0, 1, 300, 3000])
def test_the_lengths_of_compressed_files_agree(subtype, more, cut):
    raw = bytearray(written(np.resize(SPEECH, 24000), 8000, "WAV", subtype))
    at = raw.index(b"fact") + 8
    struct.pack_into("<I", raw, at, int.from_bytes(raw[at : at + 4], "little") + more)
    raw = bytes(raw[: len(raw) - cut])
    report, clip = kit.inspect_wav(raw), kit.load_clip(raw)
    assert report.seconds == pytest.approx(clip.seconds, abs=0.0005)
    assert report.missing_seconds == pytest.approx(clip.missing_seconds)


def test_no_row_of_kind_c_is_an_error_without_a_type():
    for path in CASES.glob("c*"):
        for read in (kit.inspect_wav, kit.load_clip, kit.examine):
            with contextlib.suppress(WavError):
                assert repr(read(path))
