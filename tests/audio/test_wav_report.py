import io
import os
import struct

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.errors import WavError


def test_file_of_the_question_is_ready_without_its_first_58_bytes(build, tmp_path):
    path = tmp_path / "question.wav"
    path.write_bytes(build.question())
    report = inspect_wav(path)
    assert report.ready
    assert report.objections == []
    assert report.verdict == "question.wav is ready, once the first 58 bytes are left out"
    assert (report.encoding, report.sample_rate, report.channels) == ("PCMU", 8000, 1)
    assert (report.bits_per_sample, report.header_bytes, report.data_bytes) == (8, 58, 800)
    assert report.seconds == 0.1


def test_verdict_names_the_bytes_after_the_sound_too(build):
    trailer = build.chunk(b"LIST", b"INFO")
    raw = build.riff(build.fmt(), build.chunk(b"data", b"\xff" * 80), trailer)
    assert inspect_wav(raw).verdict == (
        "It is ready, once the first 44 bytes and the last 12 are left out"
    )


def test_table_shows_offset_bytes_field_value_and_meaning(build):
    lines = repr(inspect_wav(build.question())).splitlines()
    assert lines[0] == "bytes: WAV, PCMU, 8 bit, mono, 8000 Hz, 0.10 s"
    assert lines[2].split("  ")[0] == "offset"
    row = next(line for line in lines if "sample_rate" in line)
    assert " ".join(row.split()) == (
        "24 40 1f 00 00 fmt sample_rate 8000 samples a second in each channel; a call has 8000"
    )
    assert lines[-1] == "It is ready, once the first 58 bytes are left out."


def test_fields_are_values_with_their_bytes(build):
    field = next(item for item in inspect_wav(build.question()).fields if item.name == "channels")
    assert (field.offset, field.size, field.raw, field.chunk) == (22, 2, b"\x01\0", "fmt ")
    assert (field.value, field.meaning) == (1, "channels; a call has one")


@pytest.mark.parametrize(
    ("tag", "bits", "encoding"),
    [
        *[(1, bits, "PCM") for bits in (8, 16, 24, 32)],
        (3, 32, "IEEE_FLOAT"),
        (3, 64, "IEEE_FLOAT"),
        (6, 8, "PCMA"),
        (7, 8, "PCMU"),
    ],
)
@pytest.mark.parametrize("is_extensible", [False, True])
def test_every_encoding_is_named_plain_and_extensible(build, tag, bits, encoding, is_extensible):
    header = (build.extensible if is_extensible else build.fmt)(tag, 2, 16000, bits)
    sound = b"\0" * (2 * bits // 8 * 1600)
    report = inspect_wav(build.riff(header, build.chunk(b"data", sound)))
    assert (report.encoding, report.bits_per_sample, report.channels) == (encoding, bits, 2)
    assert report.seconds == pytest.approx(0.1)
    assert "its sample rate is 16000 Hz, and a call takes 8000 Hz" in report.objections
    assert report.verdict.endswith("kit.load_clip converts it")


@pytest.mark.parametrize(
    ("tag", "encoding", "block", "n_samples"),
    [(0x31, "GSM", 65, 3200), (2, "ADPCM_MS", 256, 5000), (0x11, "ADPCM_IMA", 256, 5050)],
)
def test_compressed_encodings_are_named_and_timed_by_their_blocks(
    build, tag, encoding, block, n_samples
):
    header = build.fmt(tag, 1, 8000, 0, align=block)
    for promised, there in ((n_samples, n_samples), (n_samples - 99, n_samples - 99)):
        fact = build.chunk(b"fact", struct.pack("<I", promised))
        report = inspect_wav(build.riff(header, fact, build.chunk(b"data", bytes(10 * block))))
        assert (report.encoding, report.seconds) == (encoding, there / 8000)
        assert f"its encoding is {encoding}" in report.objections[0]


@pytest.mark.parametrize("promised", [0, 1000, 9999, 1 << 31])
def test_a_fact_chunk_is_not_believed_if_it_counts_others_than_those_in_the_blocks(build, promised):
    header = build.fmt(0x31, 1, 8000, 0, align=65, extra=struct.pack("<HH", 2, 320))
    fact = build.chunk(b"fact", struct.pack("<I", promised))
    raw = build.riff(header, fact, build.chunk(b"data", bytes(650)))
    assert inspect_wav(raw).seconds == load_clip(raw).seconds == 0.4


def test_unknown_tag_is_shown_in_hex(build):
    raw = build.riff(build.fmt(0x1234), build.chunk(b"data", b"\0" * 4))
    assert inspect_wav(raw).encoding == "0x1234"


def test_rifx_numbers_are_read_with_the_high_byte_first(build):
    header = build.fmt(1, 2, 44100, 16, order=">")
    data = build.chunk(b"data", b"\0" * 176400, order=">")
    report = inspect_wav(build.riff(header, data, form=b"RIFX", order=">"))
    assert (report.sample_rate, report.channels, report.seconds) == (44100, 2, 1.0)


@pytest.mark.parametrize("is_as_sox_writes_it", [False, True])
@pytest.mark.parametrize(("tag", "encoding"), [(1, "PCM"), (3, "IEEE_FLOAT")])
def test_extensible_is_understood_in_rifx_too(build, tag, encoding, is_as_sox_writes_it):
    tail = (
        "0000 0000 1000 8000 00AA00389B71" if is_as_sox_writes_it else "0000 0010 8000 00AA00389B71"
    )
    guid = struct.pack(">H" if is_as_sox_writes_it else ">I", tag) + bytes.fromhex(tail)
    extra = struct.pack(">HHI", 22, 32, 0) + guid
    header = build.fmt(0xFFFE, 1, 8000, 32, extra=extra, order=">")
    sound = build.chunk(b"data", b"\0" * 3200, order=">")
    assert inspect_wav(build.riff(header, sound, form=b"RIFX", order=">")).encoding == encoding


@pytest.mark.parametrize(
    ("header", "advice"),
    [
        ((1, 9, 8000, 16), "convert it with ffmpeg first"),
        ((1, 0, 8000, 16), "convert it with ffmpeg first"),
        ((1, 1, 384_000, 16), "convert it with ffmpeg first"),
        ((1, 1, 8000, 0), "convert it with ffmpeg first"),
        ((1, 1, 8000, 16), "kit.load_clip converts it"),
        ((0x31, 1, 8000, 0), "kit.load_clip may read it; otherwise convert it with ffmpeg first"),
    ],
)
def test_verdict_advises_only_what_works(build, header, advice):
    raw = build.riff(build.fmt(*header), build.chunk(b"data", b"\0" * 3600))
    assert inspect_wav(raw).verdict.endswith(f"; {advice}")


def test_sound_that_is_a_wav_file_itself_is_objected_to(build):
    raw = build.riff(build.fmt(), build.chunk(b"data", build.question()))
    assert inspect_wav(raw).objections == [
        "its sound is a whole WAV file, header included: it was wrapped twice"
    ]


def test_what_a_cut_off_file_lacks_is_reported_in_bytes_and_seconds(build):
    report = inspect_wav(build.question()[:-200])
    assert (report.data_bytes, report.missing_bytes, report.seconds) == (600, 200, 0.075)
    assert report.missing_seconds == pytest.approx(0.025)
    assert report.verdict.endswith("; kit.load_clip takes what is there")


def test_compressed_file_that_is_cut_off_lasts_as_long_as_what_is_there(build):
    fact = build.chunk(b"fact", struct.pack("<I", 3200))
    header = build.fmt(0x31, 1, 8000, 0, align=65)
    report = inspect_wav(build.riff(header, fact, build.chunk(b"data", b"\0" * 650))[:-325])
    assert (report.seconds, report.missing_seconds) == (0.2, 0.2)


def inspected(raw):
    try:
        return inspect_wav(raw)
    except WavError as error:
        return error


def odd_files(build):
    sound = build.chunk(b"data", b"\xff" * 81)
    bext = build.chunk(b"bext", b"made in the studio".ljust(602, b"\0"))
    remarks = build.chunk(b"LIST", b"INFOISFT\x05\0\0\0Lavf\0")
    ds64 = build.chunk(b"ds64", struct.pack("<QQQI", 0, 80, 80, 0))
    return {
        "plain": build.question(),
        "remarks before": build.riff(bext, build.fmt(), remarks, sound),
        "remarks after": build.riff(build.fmt(), sound, remarks, bext),
        "data first": build.riff(sound, build.fmt()),
        "two data": build.riff(build.fmt(), sound, sound),
        "streamed": build.riff(build.fmt(), build.chunk(b"data", b"\xff" * 80, size=0xFFFFFFFF)),
        "rf64": build.riff(
            ds64, build.fmt(), build.chunk(b"data", b"\xff" * 80, size=0xFFFFFFFF), form=b"RF64"
        ),
        "extensible": build.riff(build.extensible(7, 1, 8000, 8), sound),
        "no padding": build.riff(build.fmt(), build.chunk(b"note", b"odd")[:-1], sound),
        "trailing junk": build.riff(build.fmt(), sound) + b"\0\1\2\3\4\5\6\7\10",
        "cut": build.question()[:-30],
    }


def test_fields_cover_every_file_without_gaps(build):
    for name, raw in odd_files(build).items():
        end = 0
        for field in inspect_wav(raw).fields:
            assert field.offset == end, name
            assert field.raw == raw[end : end + len(field.raw)], name
            end += field.size
        assert end == len(raw), name


def test_remarks_are_shown_as_text(build):
    fields = inspect_wav(odd_files(build)["remarks before"]).fields
    assert "made in the studio" in [field.value for field in fields]


def test_data_before_fmt_is_found(build):
    report = inspect_wav(odd_files(build)["data first"])
    assert (report.header_bytes, report.data_bytes, report.trailing_bytes) == (20, 81, 25)
    assert report.ready


def test_two_data_chunks_are_an_objection(build):
    report = inspect_wav(odd_files(build)["two data"])
    assert report.objections == ["it has 2 data chunks, of which only the first is played"]


def test_sizes_left_open_are_explained_and_no_objection(build):
    report = inspect_wav(odd_files(build)["streamed"])
    meanings = [field.meaning for field in report.fields]
    assert "left open by the writer: the sound lasts to the end of the file" in meanings
    assert (report.data_bytes, report.ready) == (80, True)


def test_sound_that_ends_inside_a_sample_is_an_objection(build):
    raw = build.riff(build.fmt(1, 2, 8000, 16), build.chunk(b"data", b"\0" * 7))
    assert "its sound ends in the middle of a sample of 4 bytes" in inspect_wav(raw).objections


def test_wrong_block_align_does_not_spoil_the_duration(build):
    raw = build.riff(build.fmt(1, 2, 8000, 16, align=0), build.chunk(b"data", b"\0" * 32000))
    assert inspect_wav(raw).seconds == 1.0


@pytest.mark.parametrize("fields", [(1, 0, 0, 16), (1, 1, 0, 0), (7, 0, 8000, 8), (1, 1, 8000, 13)])
def test_impossible_numbers_are_objections_and_never_exceptions(build, fields):
    report = inspect_wav(build.riff(build.fmt(*fields), build.chunk(b"data", b"\0" * 8)))
    assert report.objections
    assert repr(report)


def test_file_cut_off_anywhere_is_an_objection_or_an_error_with_its_offset(build):
    whole = build.riff(
        build.chunk(b"bext", b"studio".ljust(20, b"\0")),
        build.extensible(7, 1, 8000, 8),
        build.chunk(b"fact", struct.pack("<I", 41)),
        build.chunk(b"data", b"\xff" * 41),
        build.chunk(b"LIST", b"INFOISFT\x06\0\0\0Lavf60"),
    )
    assert inspect_wav(whole).ready
    for size in range(len(whole)):
        outcome = inspected(whole[:size])
        if isinstance(outcome, WavError):
            assert outcome.offset is not None, size
            assert outcome.offset <= size
            assert outcome.fix, size
        else:
            assert outcome.objections, size
            assert any(words in outcome.verdict for words in ("cut off", "ends before", "is empty"))


@given(st.data())
@settings(max_examples=300, deadline=None)
def test_damaged_file_is_a_report_or_a_wav_error(build, data):
    raw = bytearray(data.draw(st.sampled_from(list(odd_files(build).values()))))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, min(len(raw) - 1, 120)))] = data.draw(st.integers(0, 255))
    outcome = inspected(bytes(raw))
    assert repr(outcome)
    assert not isinstance(outcome, WavError) or outcome.offset is not None


@given(st.binary(max_size=200))
@settings(max_examples=100, deadline=None)
def test_any_bytes_behind_a_riff_signature_are_a_report_or_a_wav_error(body):
    outcome = inspected(b"RIFF\xff\xff\0\0WAVE" + body)
    assert repr(outcome)
    assert not isinstance(outcome, WavError) or outcome.offset is not None


class CountingReads(io.FileIO):
    count = 0

    def read(self, size=-1, /):
        got = super().read(size)
        self.count += len(got)
        return got


def test_four_gigabytes_cost_what_a_second_costs(build, tmp_path):
    path = tmp_path / "sparse.wav"
    size = 4_200_000_000
    path.write_bytes(build.riff(build.fmt(), build.chunk(b"data", b"", size=size), size=36 + size))
    os.truncate(path, 44 + size)
    with CountingReads(path) as file:
        report = inspect_wav(file)
    assert (report.data_bytes, report.ready) == (size, True)
    assert file.count < 200_000
