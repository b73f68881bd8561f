import io
import struct

import pytest

from twistream_kit.audio import _wav_format
from twistream_kit.audio._wav_format import MOST_CHUNKS, walk
from twistream_kit.errors import WavError
from twistream_kit.sound_file import open_source


def chunks_of(raw):
    with open_source(raw) as file:
        riff = walk(file)
    return riff, [(chunk.id, chunk.body, chunk.size) for chunk in riff.chunks]


def test_walk_finds_every_chunk_and_skips_the_padding_of_odd_ones(build):
    raw = build.riff(build.fmt(), build.chunk(b"note", b"odd"), build.chunk(b"data", b"\xff" * 5))
    riff, chunks = chunks_of(raw)
    assert chunks == [("fmt ", 20, 16), ("note", 44, 3), ("data", 56, 5)]
    assert (riff.rest, riff.missing) == (len(raw), 0)


def test_walk_forgives_an_odd_chunk_without_its_padding(build):
    note = build.chunk(b"note", b"odd")[:-1]
    raw = build.riff(build.fmt(), note, build.chunk(b"data", b"\xff" * 4))
    riff, chunks = chunks_of(raw)
    assert chunks == [("fmt ", 20, 16), ("note", 44, 3), ("data", 55, 4)]
    assert riff.rest == len(raw)


def test_walk_reads_big_endian_sizes_of_rifx(build):
    data = build.chunk(b"data", b"\xff" * 10, order=">")
    riff, chunks = chunks_of(build.riff(build.fmt(order=">"), data, form=b"RIFX", order=">"))
    assert chunks == [("fmt ", 20, 16), ("data", 44, 10)]
    assert riff.byte_order == "big"


@pytest.mark.parametrize("form", [b"RF64", b"BW64"])
def test_walk_takes_the_sizes_of_rf64_from_its_ds64_chunk(build, form):
    sound = b"\xff" * 10
    ds64 = build.chunk(b"ds64", struct.pack("<QQQI", 72 + 8, len(sound), len(sound), 0))
    data = build.chunk(b"data", sound, size=0xFFFFFFFF)
    after = build.chunk(b"LIST", b"INFO")
    raw = build.riff(ds64, build.fmt(), data, after, form=form, size=0xFFFFFFFF)
    riff, chunks = chunks_of(raw)
    assert chunks[2:] == [("data", 80, 10), ("LIST", 98, 4)]
    assert not riff.is_open


def test_walk_takes_further_sizes_from_the_table_of_ds64(build):
    table = struct.pack("<4sQ", b"big ", 6)
    ds64 = build.chunk(b"ds64", struct.pack("<QQQI", 0, 4, 4, 1) + table)
    big = build.chunk(b"big ", b"abcdef", size=0xFFFFFFFF)
    raw = build.riff(ds64, build.fmt(), big, build.chunk(b"data", b"\xff" * 4), form=b"RF64")
    assert [name for name, *_ in chunks_of(raw)[1]] == ["ds64", "fmt ", "big ", "data"]


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF, 0x7FFFFFFF, 0x7FFFF000])
def test_data_of_a_streaming_writer_lasts_to_the_end_of_the_file(build, size):
    raw = build.riff(build.fmt(), build.chunk(b"data", b"\xff" * 100, size=size), size=0xFFFFFFFF)
    riff, chunks = chunks_of(raw)
    assert chunks[-1] == ("data", 44, 100)
    assert riff.is_open
    assert riff.missing == 0


def test_data_of_size_0_is_empty_when_a_chunk_follows(build):
    raw = build.riff(build.fmt(), build.chunk(b"data", b""), build.chunk(b"LIST", b"INFO"))
    assert [(name, size) for name, _, size in chunks_of(raw)[1]] == [
        ("fmt ", 16),
        ("data", 0),
        ("LIST", 4),
    ]


def test_walk_counts_what_a_cut_off_file_lacks(build):
    raw = build.question()
    riff, _ = chunks_of(raw[:-100])
    assert riff.missing == 100
    assert riff.find("data").missing == 100


def test_walk_stops_where_no_chunk_can_be(build):
    raw = build.riff(build.fmt(), build.chunk(b"data", b"\xff" * 4)) + b"\x00\x01" * 20
    riff, chunks = chunks_of(raw)
    assert [name for name, *_ in chunks] == ["fmt ", "data"]
    assert riff.rest == len(raw) - 40


def test_walk_gives_up_after_a_thousand_chunks(build):
    raw = build.riff(build.fmt(), build.chunk(b"note", b"") * (MOST_CHUNKS + 500))
    assert len(chunks_of(raw)[1]) == MOST_CHUNKS


def test_walk_reads_nothing_of_long_sound(monkeypatch):
    monkeypatch.setattr(_wav_format, "SEARCHED_BYTES", 900_000)

    class Counting(io.BytesIO):
        count = 0

        def read(self, size=-1, /):
            got = super().read(size)
            self.count += len(got)
            return got

    body = b"\xff" * 1_000_000
    raw = b"RIFF" + struct.pack("<I", len(body) + 36) + b"WAVEfmt " + struct.pack("<I", 16)
    raw += struct.pack("<HHIIHH", 7, 1, 8000, 8000, 1, 8) + b"data" + struct.pack("<I", len(body))
    file = Counting(raw + body)
    with open_source(file) as source:
        walk(source)
    assert file.count < 200


def test_walk_names_the_offset_when_the_header_is_cut():
    with pytest.raises(WavError, match="inside its RIFF header") as caught:
        chunks_of(b"RIFF\x10\0\0\0WA")
    assert caught.value.offset == 10
