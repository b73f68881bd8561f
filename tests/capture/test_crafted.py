"""Captures made to do harm: each is read or refused by its line, in little time and memory."""

from __future__ import annotations

import contextlib
import io
import json
import time
import tracemalloc

import pytest

from support.captures import capture_of
from twistream_kit.capture.capture import MOST_TEXT_SIZE, Capture
from twistream_kit.capture.file import CaptureError
from twistream_kit.diagnosis.files import review_capture
from twistream_kit.errors import TwistreamError
from twistream_kit.notebook.plots.call import plot_timeline
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ" + "0" * 32
LONE = "\ud83d"
"""Half of a character: JSON can spell it, and no encoding has it."""


def a_file(*rows, **header):
    first = {"format": "twistream-capture", "version": 1, "streamSid": SID, **header}
    lines = [row if isinstance(row, str) else json.dumps(row) for row in (first, *rows)]
    return "".join(f"{line}\n" for line in lines).encode()


def media(at, size=None, sender="twilio", payload=""):
    message = {
        "event": "media",
        "streamSid": SID,
        "media": {"payload": payload, "track": "inbound"},
    }
    row = {"at": at, "from": sender, "message": message}
    return row if size is None else {**row, "size": size}


HUGE = "1" + "0" * 400


@pytest.mark.parametrize(
    "row",
    [
        {"endings": [1]},
        {"endings": 1},
        {"endings": None},
        {"endings": "heard"},
        ["endings"],
        ["status"],
        "endings",
        "1",
        "null",
        "[" * 900 + "]" * 900,
        "[" * 100_000,
        json.dumps(media("AT")).replace('"AT"', HUGE),
        json.dumps(media("AT")).replace('"AT"', "NaN"),
        json.dumps(media("AT")).replace('"AT"', "1e999"),
        media(True and [1.0]),
        media(1.0, size=-5),
        media(1.0, size=2**40),
        media(1.0, size=[1]),
        json.dumps(media(1.0, "SIZE")).replace('"SIZE"', "1e999"),
        json.dumps(media(1.0, "SIZE")).replace('"SIZE"', "NaN"),
        json.dumps(media(1.0, "SIZE")).replace('"SIZE"', "9" * 5000),
        media(1e12),
        media(-1e12),
        {"at": 1.0, "status": [1]},
        {"at": 1.0, "status": None},
        {"at": 1.0, "odd": {}},
        {"at": 1.0, "oddBytes": 5},
        {"at": 1.0, "oddBytes": "é"},
        {"at": 1.0, "from": "server"},
        {"at": 1.0, "from": [], "message": {}},
        {"at": None, "from": "twilio", "message": {"event": "stop"}},
    ],
)  # fmt: skip
def test_line_that_is_none_is_refused_by_its_number(row):
    with pytest.raises(CaptureError) as refused:
        Capture.read(a_file(row, media(1.0)))
    assert refused.value.line == 2


@pytest.mark.parametrize(
    "seconds", ["NaN", "-5", "1e999", "-1e999", HUGE, '"many"', "[]", "null", "{}"]
)
def test_seconds_that_were_kept_are_none_if_the_header_says_no_number(seconds):
    raw = a_file(media(1.0), keepSeconds="KEPT").replace(b'"KEPT"', seconds.encode())
    assert Capture.read(raw).keep_seconds == 0.0


@pytest.mark.parametrize("sid", [5, None, [[]], {}, 1.5, True])
def test_sid_that_is_no_text_is_none(sid):
    capture = Capture.read(a_file(streamSid=sid, callSid=sid))
    assert (capture.stream_sid, capture.call_sid) == ("", "")


def peak_of(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


VIEWS = {
    "caller": lambda capture, _: capture.caller,
    "heard": lambda capture, _: capture.heard,
    "playbacks": lambda capture, _: capture.playbacks(),
    "summary": lambda capture, _: repr(capture.summary()),
    "review": lambda capture, _: repr(review_capture(capture)),
    "repr": lambda capture, _: repr(capture.entries) + repr(capture.odd) + repr(capture.statuses),
    "stereo": lambda capture, folder: capture.stereo(folder / "call.wav"),
    "recording": lambda capture, _: capture.recording.measure_peaks(700),
    "plot": lambda capture, _: plot_timeline(capture).savefig(io.BytesIO()),
    "log": lambda capture, _: StreamLog(capture).close(),
    "save": lambda capture, folder: capture.save(folder / "again.jsonl"),
    "save all": lambda capture, folder: capture.save(folder / "again.jsonl", redact=False),
}

SWOLLEN = {
    "late": [media(0.0), media(100_000.0)],
    "late, for years": [media(0.0), media(9e8)],
    "late sound of the server": [media(0.0), media(99_000.0, 160, "server"), media(100_000.0)],
    "large": [media(0.02 * n, 0xFFFFFFFF) for n in range(3)],
    "large, of the server": [media(0.02 * n, 0xFFFFFFFF, "server") for n in range(3)],
    "large and late": [media(0.0, 0xFFFFFFFF, "server"), media(100_000.0, 0xFFFFFFFF)],
    "sound of hours in both": [media(1.0, 2**32 - 1, "server"), media(3000.0, 2**32 - 1)],
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("rows", SWOLLEN.values(), ids=SWOLLEN)
def test_few_lines_do_not_take_gigabytes(rows, view, tmp_path):
    capture = Capture.read(a_file(*rows))

    def look():
        with contextlib.suppress(TwistreamError):  # "the capture claims 100000 s"
            VIEWS[view](capture, tmp_path)

    # An hour of sound has 29 MB; a picture and 16-bit stereo take several times as much.
    assert peak_of(look) < 600e6


def test_capture_that_claims_days_says_so_and_what_to_do():
    capture = Capture.read(a_file(media(0.0), media(100_000.0)))
    with pytest.raises(TwistreamError, match="claims 100000 s with 2 messages") as refused:
        _ = capture.caller
    assert "since the start of the stream" in refused.value.fix
    assert capture.summary().seconds == 100_000.0  # what needs no sound is still there


def test_call_of_an_hour_without_a_word_of_the_server_is_rendered():
    voice = b"\x2a" * 160
    rows = [(1.0 * n, from_twilio.Media(SID, voice, n, "inbound", 50 * n + 1)) for n in range(3700)]
    assert capture_of(SID, *rows).caller.seconds == pytest.approx(3699.02)


def test_caller_whose_messages_came_in_bunches_is_rendered_whole():
    """As a long network delay brings them; sound that was not kept too."""
    rows = [(0.5 * (n // 25), from_twilio.Media(SID, b"\x2a" * 160, n, "inbound", n + 1))
            for n in range(500)]  # fmt: skip
    kept = capture_of(SID, *rows)
    dropped = capture_of(SID, *rows, keep_seconds=0.0)
    assert kept.caller.seconds == dropped.caller.seconds == pytest.approx(10.0)


@pytest.mark.parametrize("view", VIEWS)
def test_halves_of_characters_break_no_view(view, tmp_path):
    odd = f"odd {LONE}"
    start = {"callSid": LONE, "customParameters": {f"name {LONE}": f"value {LONE}", "$x_": "$a$"}}
    rows = [
        {"at": -1.0, "status": f"ring{LONE}"},
        {"at": 0.0, "from": "twilio",
         "message": {"event": "start", "streamSid": SID + LONE, "start": start}},
        {"at": 0.0, "from": "twilio", "message": {"event": f"new{LONE}", "x": f"value {LONE}"}},
        media(0.1, sender="server", payload="Kioq"),
        {"at": 0.2, "from": "server",
         "message": {"event": "mark", "streamSid": LONE, "mark": {"name": f"m{LONE}$\\frac$"}}},
        {"at": 0.3, "from": "twilio",
         "message": {"event": "mark", "streamSid": LONE, "mark": {"name": f"m{LONE}$\\frac$"}}},
        {"at": 0.4, "from": "twilio",
         "message": {"event": "dtmf", "streamSid": LONE, "dtmf": {"digit": f"{LONE}$^"}}},
        {"at": 0.5, "odd": odd},
        {"at": 0.6, "status": f"completed{LONE}$_$"},
        {"endings": {f"m{LONE}$\\frac$": "heard"}},
    ]  # fmt: skip
    capture = Capture.read(a_file(*rows, streamSid=SID + LONE, callSid=LONE))
    VIEWS[view](capture, tmp_path)


def test_halves_of_characters_survive_a_file_that_hides_nothing(tmp_path):
    mark = {"event": "mark", "streamSid": SID, "mark": {"name": f"m{LONE}"}}
    capture = Capture.read(a_file({"at": 0.2, "from": "twilio", "message": mark}))
    loaded = Capture.load(capture.save(tmp_path / "call.jsonl", redact=False))
    assert loaded.entries == capture.entries


# What is kept of a stream whose far end sends anything.


def unknown(size, event="novelty"):
    return from_twilio.Unknown(event, json.dumps({"event": event, "x": "y" * size}), SID)


FLOODS = {
    "unknown events": lambda n: unknown(500_000),
    "marks": lambda n: from_twilio.Mark(SID, f"{n}" + "m" * 500_000),
    "marks of the server": lambda n: to_twilio.Mark(SID, f"{n}" + "m" * 500_000),
    "keys": lambda n: from_twilio.Dtmf(SID, "5" * 500_000),
    "starts": lambda n: from_twilio.Start(SID, custom_parameters={"a" * 250_000: "b" * 250_000}),
    "streams": lambda n: from_twilio.Media(f"{n}" + "Z" * 500_000, b""),
    "tracks": lambda n: from_twilio.Media(SID, b"", 1, f"{n}" + "t" * 500_000),
    "clears": lambda n: to_twilio.Clear("Z" * 500_000),
    "encodings": lambda n: from_twilio.Start(
        SID, media_format=from_twilio.MediaFormat("e" * 500_000)
    ),
}


@pytest.mark.parametrize("make", FLOODS.values(), ids=FLOODS)
def test_messages_of_half_a_megabyte_are_kept_up_to_a_limit_and_counted(make):
    capture = Capture(SID)

    def fill():
        for number in range(300):
            capture.append(make(number), 0.01 * number)

    assert peak_of(fill) < 2.5 * MOST_TEXT_SIZE + 2e6
    assert 0 < len(capture) < 20
    assert len(capture) + capture.left_out == 300
    assert f"{capture.left_out} left out" in repr(capture)


def test_small_messages_are_limited_too():
    capture = Capture(SID)
    for number in range(60_000):
        capture.append(from_twilio.Dtmf(SID, "5"), 0.001 * number)
    assert 10_000 < len(capture) < 30_000


def test_sound_usual_marks_and_the_stop_are_kept_though_the_rest_is_full():
    capture = Capture(SID)
    capture.append(from_twilio.Media(SID, b"\x2a" * 160), 0.0)
    capture.append(to_twilio.Mark(SID, "first"), 0.0)
    for number in range(60_000):
        capture.append(from_twilio.Dtmf(SID, "5"), 0.001 * number)
    before = len(capture)
    capture.append(from_twilio.Media(SID, b"\x2a" * 160), 60.0)
    capture.append(to_twilio.Mark(SID, "greeting#1"), 60.0)
    capture.append(from_twilio.Stop(SID), 60.0)
    assert len(capture) == before + 3
    assert [type(entry.message).__name__ for entry in capture.entries[-3:]] == [
        "Media", "Mark", "Stop",
    ]  # fmt: skip


def test_ordinary_call_leaves_nothing_out():
    rows = [(0.1 * n, from_twilio.Dtmf(SID, "5")) for n in range(500)]
    rows += [(50 + 0.1 * n, unknown(100)) for n in range(500)]
    capture = capture_of(SID, *rows)
    assert (len(capture), capture.left_out) == (1000, 0)
    assert "left out" not in repr(capture)


def test_nothing_of_a_file_is_left_out():
    rows = [{"at": 1.0, "from": "twilio", "message": {"event": "n", "x": "y" * 500_000}}] * 30
    assert len(Capture.read(a_file(*rows))) == 30


# Redaction takes time in proportion to the file.


def seconds_to_save(capture, folder):
    began = time.process_time()
    capture.save(folder / "call.jsonl", overwrite=True)
    return time.process_time() - began


def with_starts(count):
    """The values are unlike each other, as a file made for this would have them."""
    values = [f"value {n * 7919:x} of {n}" for n in range(count)]
    starts = [from_twilio.Start(SID, custom_parameters={"name": value}) for value in values]
    return capture_of(SID, *[(0.001 * n, start) for n, start in enumerate(starts)])


def test_time_to_save_grows_with_the_number_of_starts_and_not_with_its_square(tmp_path):
    small, large = with_starts(500), with_starts(8000)
    shortest = min(seconds_to_save(small, tmp_path) for _ in range(3))
    assert seconds_to_save(large, tmp_path) < 16 * 4 * shortest  # 16 times as many; it was 256


def test_all_values_of_many_starts_are_redacted(tmp_path):
    capture = with_starts(300)
    capture.append(to_twilio.Mark(SID, "value 0 of 0, VALUE 1EEF OF 1"), 1.0)
    text = capture.save(tmp_path / "call.jsonl", overwrite=True).read_text()
    assert "of " not in text.lower()
