import copy
import gc
import json
import pickle
import threading
import wave
from collections import deque
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.captures import capture_of
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.capture.capture import (
    MOST_ODD,
    MOST_ODD_SIZE,
    MOST_STATUSES,
    Capture,
)
from twistream_kit.capture.entry import Entry
from twistream_kit.capture.file import CaptureError
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.conversation import Conversation

SID = "MZ00000000000000000000000000000001"
CALL = "CA00000000000000000000000000000002"
SECOND = bytes(range(250)) * 32  # 8000 bytes: one second, no two neighbours alike


def voice(chunk, fill=0x10, size=160):
    return from_twilio.Media(SID, bytes([fill]) * size, chunk + 1, "inbound", chunk, 20 * chunk)


def a_capture(*rows, started=100.0, **options):
    return capture_of(SID, *rows, call_sid=CALL, started=started, **options)


def sound(payload):
    return to_twilio.Media(SID, payload)


def mark(name):
    return to_twilio.Mark(SID, name)


def returned(name):
    return from_twilio.Mark(SID, name)


CLEAR = to_twilio.Clear(SID)
START = from_twilio.Start(SID, call_sid=CALL)
STOP = from_twilio.Stop(SID)


def silence(seconds):
    return b"\xff" * round(seconds * 8000)


# Entries


def test_entries_are_the_messages_with_their_times_and_senders():
    capture = a_capture((0, START), (0.02, voice(1)), (0.03, sound(SECOND)), (0.04, CLEAR))
    assert [(round(e.at, 3), e.sender, e.size) for e in capture.entries] == [
        (0.0, "twilio", 0),
        (0.02, "twilio", 160),
        (0.03, "server", 8000),
        (0.04, "server", 0),
    ]
    assert [e.message for e in capture.entries] == [START, voice(1), sound(SECOND), CLEAR]
    assert len(capture) == 4


def test_repr_of_a_capture_is_one_line():
    assert repr(a_capture((0, START), (1.5, STOP))) == f"Capture({SID}, 1.50 s, 2 messages)"
    assert repr(Capture()) == "Capture(no stream, 0.00 s, 0 messages)"


def test_empty_capture_is_true_and_silent():
    capture = Capture()
    assert capture
    assert capture.entries == []
    assert capture.caller.payload == capture.heard.payload == b""
    assert capture.playbacks() == []


def test_capture_can_be_read_while_another_thread_appends():
    capture = Capture(SID, keep_seconds=1)
    started, failures = threading.Event(), []

    def append():
        for chunk in range(1, 5001):
            capture.append(voice(chunk), chunk * 0.02)
            started.set()

    writer = threading.Thread(target=append)
    writer.start()
    assert started.wait(LIMIT_SECONDS)
    while writer.is_alive():
        chunks = [e.message.chunk for e in capture.entries]
        if chunks != list(range(1, len(chunks) + 1)):
            failures.append(chunks)
    writer.join(LIMIT_SECONDS)
    assert failures == []
    assert len(capture.entries) == 5000


# What is kept


def test_sound_beyond_the_limit_is_dropped_and_its_size_kept():
    rows = [(chunk * 0.02, voice(chunk)) for chunk in range(1, 101)]
    capture = a_capture(*rows, (2.01, returned("x")), keep_seconds=1.0)
    entries = capture.entries
    assert [e.is_kept for e in entries[:100]] == [True] * 50 + [False] * 50
    assert [e.size for e in entries[:100]] == [160] * 100
    assert [e.message.chunk for e in entries[:100]] == list(range(1, 101))
    assert entries[99].message.payload == b""
    assert entries[100].message == returned("x")


def test_limit_is_for_each_direction_and_never_drops_a_mark():
    capture = a_capture(
        (0, sound(SECOND)), (0.1, voice(1)), (0.2, sound(SECOND)), (0.3, mark("a")), keep_seconds=1
    )
    assert [e.is_kept for e in capture.entries] == [True, True, False, True]
    assert [type(e.message).__name__ for e in capture.entries] == [
        "Media",
        "Media",
        "Media",
        "Mark",
    ]


def test_dropped_sound_counts_as_silence_when_heard():
    capture = a_capture((0, sound(SECOND)), (0, sound(SECOND)), (3, STOP), keep_seconds=1)
    assert capture.heard.payload == SECOND + silence(1)


PASSED = [
    from_twilio.Connected(),
    from_twilio.Start(SID, "AC1", "CA1", custom_parameters={"to": "you"}),
    from_twilio.Media(SID, b"\x2a" * 160, 7, "outbound", 5, 177),
    from_twilio.Media("MZ1", b"", -1, "sideways", 2**63, 10**40),
    from_twilio.Dtmf(SID, "#", 8),
    from_twilio.Mark(SID, "story#1", 9),
    from_twilio.Mark(SID, "\ud800 ü 🎈", -(2**70)),
    from_twilio.Stop(SID, "AC1", "CA1", 10),
    from_twilio.Unknown("novelty", "{}"),
    to_twilio.Media(SID, b"\xff" * 160),
    to_twilio.Mark(SID, "story#1"),
    to_twilio.Mark(SID, "\udc00"),
    to_twilio.Clear(SID),
]


def test_messages_come_back_as_they_passed():
    capture = a_capture(*enumerate(PASSED))
    copies = [capture, pickle.loads(pickle.dumps(capture)), copy.deepcopy(capture)]
    for entries in [each.entries for each in copies]:
        assert [each.message for each in entries] == PASSED
        assert [type(each.message) for each in entries] == list(map(type, PASSED))
        assert [each.at for each in entries] == list(range(len(PASSED)))
    for count in range(len(PASSED) + 2):
        assert [each.message for each in capture.kept_since(count)] == PASSED[count:]


def test_a_whole_wav_file_that_was_sent_comes_back_too():
    wav = to_twilio.parse(sound(b"RIFF----").to_json().replace("LS0=", "LS1XQVZF"))
    assert wav.payload == b"RIFF----WAVE"
    assert a_capture((0, wav)).entries[0].message == wav


def test_the_garbage_collector_has_nothing_to_do_with_what_is_kept():
    capture = Capture(SID)

    def pass_ten_seconds():
        for chunk in range(500):
            capture.append(voice(chunk), chunk * 0.02)
            capture.append(sound(bytes(160)), chunk * 0.02)
            capture.append(mark(f"m{chunk}"), chunk * 0.02)
            capture.append(returned(f"m{chunk}"), chunk * 0.02)
        gc.collect()
        return len(gc.get_objects())

    before = pass_ten_seconds()
    assert pass_ten_seconds() - before < 100
    assert len(capture) == 4000


def test_messages_whose_sound_is_not_kept_are_no_messages_kept_since():
    rows = []
    for chunk in range(1, 81):
        rows += [(chunk * 0.02, voice(chunk)), (chunk * 0.02, mark(f"m{chunk}"))]
    capture = a_capture(*rows, keep_seconds=0.8)
    kept = [each for each in capture.entries if each.is_kept]
    assert len(kept) == capture.n_kept == 120
    for count in range(len(kept) + 3):
        assert capture.kept_since(count) == kept[count:]


def test_sound_is_dropped_though_its_numbers_are_wild():
    wild = from_twilio.Media(SID, b"\x10" * 160, 10**30, "inbound", -(10**30), 3)
    capture = a_capture((0, wild), (1, wild), keep_seconds=0.02)
    first, second = capture.entries
    assert (first.message, first.size, first.is_kept) == (wild, 160, True)
    assert (second.message, second.size, second.is_kept) == (replace(wild, payload=b""), 160, False)


@pytest.mark.parametrize("keep_seconds", [0.0, 0.05, 60.0])
def test_sound_sent_is_kept_without_a_message_as_with_one(keep_seconds):
    frames = [SECOND[:160], b"", SECOND[:1], SECOND[200:360], SECOND[:400]]
    with_messages, without = (Capture(SID, keep_seconds=keep_seconds) for _ in range(2))
    for count, frame in enumerate(frames):
        with_messages.append(sound(frame), at=count / 2)
        without.append_sent(frame, at=count / 2)
    assert without.entries == with_messages.entries
    assert [entry.size for entry in without.entries] == [160, 0, 1, 160, 400]
    with pytest.raises(ValueError, match="at is nan"):
        without.append_sent(SECOND, at=float("nan"))
    with pytest.raises(TypeError, match="at"):
        without.append_sent(SECOND, at="soon")


# The caller


def test_caller_is_the_inbound_media_put_together():
    capture = a_capture((0, START), (0.01, voice(1, 0x11)), (0.03, voice(2, 0x22)))
    assert capture.caller.payload == b"\x11" * 160 + b"\x22" * 160
    assert isinstance(capture.caller, Clip)


def test_missing_chunks_are_silence():
    capture = a_capture((0.02, voice(1)), (0.08, voice(4)))
    assert capture.caller.payload == b"\x10" * 160 + silence(0.04) + b"\x10" * 160


def test_wild_chunk_numbers_do_not_swell_the_sound():
    capture = a_capture((0.02, voice(1)), (0.04, voice(10**9)), (0.06, voice(3)))
    assert capture.caller.seconds < 0.1


def test_outbound_track_is_not_the_caller():
    ours = from_twilio.Media(SID, b"\x00" * 160, track="outbound")
    assert a_capture((0.01, ours)).caller.payload == b""


def test_late_first_media_is_preceded_by_silence():
    assert a_capture((1.0, voice(1))).caller.payload == silence(1) + b"\x10" * 160


# What was heard: tables by hand from PROTOCOL.md §4


def test_sound_is_heard_from_the_moment_it_was_sent():
    assert a_capture((0.5, sound(SECOND)), (3, STOP)).heard.payload == silence(0.5) + SECOND


def test_cleared_sound_is_absent():
    capture = a_capture((0, sound(SECOND)), (0.25, CLEAR), (1, STOP))
    assert capture.heard.payload == SECOND[:2000]


def test_sound_after_a_clear_is_heard_in_its_place():
    capture = a_capture((0, sound(SECOND)), (0.25, CLEAR), (0.5, sound(SECOND)), (3, STOP))
    assert capture.heard.payload == SECOND[:2000] + silence(0.25) + SECOND


def test_pause_between_two_sounds_is_silence():
    capture = a_capture((0, sound(SECOND)), (2, sound(SECOND)), (4, STOP))
    assert capture.heard.payload == SECOND + silence(1) + SECOND


def test_sound_still_waiting_when_the_call_ends_is_not_heard():
    assert a_capture((0, sound(SECOND)), (0.5, STOP)).heard.payload == SECOND[:4000]


def test_mark_that_returns_late_shifts_what_was_heard():
    capture = a_capture(
        (0, sound(SECOND)), (0, mark("a")), (0, sound(SECOND)), (1.1, returned("a")), (3, STOP)
    )
    assert capture.heard.payload == silence(0.1) + SECOND + SECOND


# Playbacks


def a_playback(capture):
    [playback] = capture.playbacks()
    return (playback.name, playback.heard_ms, playback.total_ms, playback.ending)


def test_playback_ends_heard_when_its_mark_returns():
    capture = a_capture((0, sound(SECOND)), (0, mark("hi#1")), (1, returned("hi#1")))
    assert a_playback(capture) == ("hi", 1000, 1000, "heard")


def test_playback_ends_cleared_though_its_mark_returns():
    capture = a_capture(
        (0, sound(SECOND)), (0, mark("hi#1")), (0.25, CLEAR), (0.251, returned("hi#1")), (1, STOP)
    )
    assert a_playback(capture) == ("hi", 250, 1000, "cleared")


def test_clear_during_the_way_back_of_a_mark_does_not_clear_what_was_heard():
    capture = a_capture(
        (0, sound(SECOND)), (0, mark("hi#1")), (1.01, CLEAR), (1.02, returned("hi#1"))
    )
    assert a_playback(capture) == ("hi", 1000, 1000, "heard")
    assert capture.summary().marks == (("hi", "heard"),)


def test_playback_ends_lost_when_the_stream_stops_before_it_was_played():
    capture = a_capture((0, sound(SECOND)), (0, mark("hi#1")), (0.5, STOP))
    assert a_playback(capture) == ("hi", 500, 1000, "lost")


def test_playback_is_open_while_it_plays():
    capture = a_capture((0, sound(SECOND)), (0, mark("hi#1")), (0.5, voice(1)))
    assert a_playback(capture) == ("hi", 500, 1000, "open")


def test_progress_marks_do_not_cut_a_playback():
    capture = a_capture(
        (0, sound(SECOND)),
        (0, mark("play#1@1s")),
        (0, sound(SECOND)),
        (0, mark("play#1")),
        (2, returned("play#1@1s")),
        (2.1, returned("play#1")),
    )
    assert a_playback(capture) == ("play", 2000, 2000, "heard")


def test_marks_of_another_server_need_no_numbers():
    capture = a_capture(
        (0, sound(SECOND)), (0, mark("part")), (0, sound(SECOND)), (0, mark("part")),
        (1, returned("part")), (2, returned("part")),
    )  # fmt: skip
    assert [(p.name, p.ending, p.heard_ms) for p in capture.playbacks()] == [
        ("part", "heard", 1000),
        ("part", "heard", 1000),
    ]


def test_mark_that_a_clear_left_over_names_the_playback_it_cut_off():
    capture = a_capture(
        (0, sound(SECOND)), (0.25, CLEAR), (0.25, mark("hi#1")), (0.26, returned("hi#1")), (1, STOP)
    )
    assert a_playback(capture) == ("hi", 250, 1000, "cleared")
    assert capture.summary().marks == (("hi", "cleared"),)


def test_mark_long_after_a_clear_is_a_new_one():
    capture = a_capture(
        (0, sound(SECOND)), (0.25, CLEAR), (2, mark("later#2")), (2.01, returned("later#2"))
    )
    assert capture.summary().marks == (("later", "heard"),)
    assert a_playback(capture)[0] == ""


def test_playback_says_when_it_was_sent_heard_and_cleared():
    [hi, there] = a_capture(
        (0.1, sound(SECOND)), (0.1, mark("hi#1")), (0.2, sound(SECOND)), (0.2, mark("there#2")),
        (1.1, returned("hi#1")), (1.5, CLEAR), (1.51, returned("there#2")), (3, STOP),
    ).playbacks()  # fmt: skip
    assert (hi.sent_at, hi.heard_from, hi.heard_to, hi.cleared_at) == (
        pytest.approx(0.1), pytest.approx(0.1), pytest.approx(1.1), None,
    )  # fmt: skip
    assert (there.sent_at, there.heard_from, there.heard_to, there.cleared_at) == (
        pytest.approx(0.2), pytest.approx(1.1), pytest.approx(1.5), pytest.approx(1.5),
    )  # fmt: skip
    assert (there.heard_ms, there.total_ms, there.ending) == (400, 1000, "cleared")


def test_playback_of_which_nothing_was_heard_has_no_such_times():
    _, never = a_capture(
        (0, sound(SECOND)), (0, mark("a#1")), (0.2, sound(SECOND)), (0.4, CLEAR), (3, STOP)
    ).playbacks()
    assert (never.heard_from, never.heard_to, never.heard_ms) == (None, None, 0)
    assert never.cleared_at == pytest.approx(0.4)


class FarEnd:
    """Twilio's player, cranked by hand in steps of one frame: the oracle for `heard`."""

    def __init__(self):
        self.waiting, self.heard = deque(), bytearray()

    def take(self, message):
        if isinstance(message, to_twilio.Media):
            self.waiting.extend(message.payload)
        elif isinstance(message, to_twilio.Mark):
            self.waiting.append(message.name)
        else:
            self.waiting = deque(item for item in self.waiting if isinstance(item, str))

    def play(self):
        marks, frame = [], bytearray()
        while self.waiting and (isinstance(self.waiting[0], str) or len(frame) < 160):
            item = self.waiting.popleft()
            marks.append(item) if isinstance(item, str) else frame.append(item)
        self.heard += bytes(frame).ljust(160, b"\xff")
        return marks


def test_heard_agrees_with_a_player_at_the_far_end_of_a_conversation():
    ours, twilio, capture = Conversation(SID), FarEnd(), Capture(SID, CALL)
    rng = np.random.default_rng(7)
    outcomes = []
    for tick in range(600):
        now = tick * 0.02
        if tick in (10, 100, 150, 400):
            payload = rng.integers(0, 255, int(rng.integers(3, 200)) * 160, dtype=np.uint8)
            ours.play(payload.tobytes(), now, mark=f"m{tick}")
        if tick in (60, 160, 161):
            outcomes += ours.clear(now)
        while (message := ours.take_message(now)) is not None:
            capture.append(message, now)
            twilio.take(message)
        for name in twilio.play():
            echo = from_twilio.Mark(SID, name)
            capture.append(echo, now + 0.02)
            outcomes += ours.receive(echo, now + 0.02)
    capture.append(STOP, 12.0)
    heard = capture.heard.payload
    assert heard.ljust(len(twilio.heard), b"\xff") == bytes(twilio.heard)
    by_handle = {o.handle.split("#")[0]: (o.ending, o.heard_ms, o.total_ms) for o in outcomes}
    for playback in capture.playbacks():
        assert (playback.ending, playback.heard_ms) == by_handle[playback.name][:2]


# Stereo and summary


def test_stereo_has_the_caller_left_and_what_was_heard_right(tmp_path):
    capture = a_capture((0.01, voice(1, 0x20)), (0.02, sound(SECOND)), (2, STOP))
    path = capture.stereo(tmp_path / "call.wav")
    with wave.open(str(path)) as wav:
        assert (wav.getnchannels(), wav.getsampwidth(), wav.getframerate()) == (2, 2, 8000)
        samples = np.frombuffer(wav.readframes(wav.getnframes()), "<i2").reshape(-1, 2)
    assert len(samples) == 2 * 8000
    assert (samples[:160, 0] == decode_ulaw(b"\x20")[0]).all()
    assert (samples[160:, 0] == 0).all()
    assert (samples[:160, 1] == 0).all()
    assert (samples[160 : 160 + 8000, 1] == decode_ulaw(SECOND)).all()
    assert (samples[160 + 8000 :, 1] == 0).all()


def test_summary_counts_and_reads_as_a_report():
    capture = a_capture(
        (0, START), (0.02, voice(1)), (0.04, voice(2)), (0.05, sound(SECOND)), (0.05, mark("hi#1")),
        (0.3, CLEAR), (0.31, returned("hi#1")), (0.5, from_twilio.Dtmf(SID, "1")), (1, STOP),
    )  # fmt: skip
    summary = capture.summary()
    assert summary.from_twilio == {"start": 1, "media": 2, "mark": 1, "dtmf": 1, "stop": 1}
    assert summary.to_twilio == {"media": 1, "mark": 1, "clear": 1}
    assert repr(summary).splitlines() == [
        f"Stream {SID}, 1.00 s",
        "from Twilio: 1 start, 2 media, 1 mark, 1 dtmf, 1 stop; 0.04 s of sound",
        "to Twilio: 1 media, 1 mark, 1 clear; 1.00 s of sound, 0.25 s heard",
        "marks: hi cleared",
        "first sound: heard 50 ms after the start, sent 50 ms after it",
        "gaps from Twilio: 1, 0.96 s at 0.04 s",
        "gaps in sending: none",
        "underruns: none",
        "send-ahead: 0.88 s in the median, 1.00 s at most",
        "deaf window: 1.00 s, at 0.05 s",
        "late marks: none",
        "missing marks: none",
    ]


def test_report_of_a_summary_says_under_each_figure_what_was_measured():
    summary = a_capture((0, START), (0.05, sound(SECOND)), (1, STOP)).summary()
    text = " ".join(summary.report().split())
    assert list(summary.definitions) == [figure.name for figure in summary.list_figures()]
    for figure in summary.list_figures():
        assert f"{figure.name}: {figure.value} ({figure.definition})" in text


def test_many_marks_are_counted_by_their_endings():
    rows = [(0, START)]
    for number in range(20):
        rows += [(number, mark(f"m{number}")), (number + 0.01, returned(f"m{number}"))]
    assert "marks: 20 heard" in repr(a_capture(*rows).summary())


# Files


FULL = [
    (0, from_twilio.Connected()),
    (0.001, from_twilio.Start(SID, "AC1", CALL, custom_parameters={"a": "ä"})),
    (0.02, voice(1)),
    (0.03, sound(SECOND)),
    (0.04, mark("hi#1")),
    (0.1, from_twilio.Unknown("new", '{"event":"new",\n "x": [1, 2]}')),
    (0.2, CLEAR),
    (0.21, returned("hi#1")),
    (0.5, from_twilio.Dtmf(SID, "#", 9)),
    (1, STOP),
]


def test_saved_capture_comes_back_the_same(tmp_path):
    capture = a_capture(*FULL, started=0.0)
    loaded = Capture.load(capture.save(tmp_path / "call.jsonl", redact=False))
    assert not loaded.redacted
    assert (loaded.stream_sid, loaded.call_sid) == (SID, CALL)
    assert loaded.heard == capture.heard
    assert loaded.playbacks() == capture.playbacks()
    for theirs, ours in zip(loaded.entries, capture.entries, strict=True):
        assert theirs.at == pytest.approx(ours.at, abs=1e-6)
        assert theirs.size == ours.size
        if not isinstance(ours.message, from_twilio.Unknown):
            assert theirs.message == ours.message
    assert loaded.entries[5].message.event == "new"


def test_file_has_a_header_and_one_line_for_each_message(tmp_path):
    path = a_capture((0.25, CLEAR)).save(tmp_path / "call.jsonl", redact=False)
    assert path.read_text() == (
        '{"format":"twistream-capture","version":1,"streamSid":"' + SID + '","callSid":"' + CALL
        + '","keepSeconds":900.0}\n'
        '{"at":0.250000,"from":"server","message":{"event":"clear","streamSid":"' + SID + '"}}\n'
    )  # fmt: skip


def test_sizes_of_dropped_sound_survive_a_file(tmp_path):
    capture = a_capture((0, sound(SECOND)), (0, sound(SECOND)), (0.1, voice(1)), keep_seconds=1)
    loaded = Capture.load(capture.save(tmp_path / "call.jsonl"))
    assert [(e.size, e.is_kept) for e in loaded.entries] == [
        (8000, True),
        (8000, False),
        (160, True),
    ]
    again = Capture.load(loaded.save(tmp_path / "again.jsonl"))
    assert again.entries == loaded.entries


# What was reported of the call


REPORTED = [
    (-8.0, "initiated"),
    (-6.5, "ringing"),
    (-0.3, "in-progress"),
    (0.005, "stream-started"),
]


def a_reported_capture():
    capture = a_capture(*FULL)
    for at, name in [*reversed(REPORTED), (1.2, "completed")]:
        capture.note_status(100.0 + at, name)
    return capture


def test_reports_of_the_call_count_from_the_start_and_stand_in_the_order_of_time():
    capture = a_reported_capture()
    assert [name for _, name in capture.statuses] == [
        "initiated", "ringing", "in-progress", "stream-started", "completed",
    ]  # fmt: skip
    assert [round(at, 6) for at, _ in capture.statuses] == [-8.0, -6.5, -0.3, 0.005, 1.2]
    assert Capture(SID).statuses == []


def test_reports_of_the_call_are_no_messages_and_change_nothing_else():
    with_reports, without = a_reported_capture(), a_capture(*FULL)
    assert len(with_reports) == len(without)
    assert with_reports.entries == without.entries
    assert with_reports.seconds == without.seconds
    assert with_reports.summary() == without.summary()


def test_reports_of_the_call_are_not_kept_for_ever():
    capture = Capture(SID)
    for number in range(MOST_STATUSES + 5):
        capture.note_status(number, "ringing")
    assert len(capture.statuses) == MOST_STATUSES


def test_reports_may_be_noted_and_read_from_any_thread():
    capture, failures = Capture(SID), []

    def note(name):
        for at in range(200):
            capture.note_status(at, name)

    writers = [threading.Thread(target=note, args=(name,)) for name in "abcd"]
    for writer in writers:
        writer.start()
    while any(writer.is_alive() for writer in writers):
        times = [at for at, _ in capture.statuses]
        if times != sorted(times):
            failures.append(times)
    for writer in writers:
        writer.join(LIMIT_SECONDS)
    assert failures == []
    assert len(capture.statuses) == 800


def test_reports_of_the_call_survive_a_file(tmp_path):
    capture = a_reported_capture()
    loaded = Capture.load(capture.save(tmp_path / "call.jsonl"))
    assert loaded.statuses == [(pytest.approx(at, abs=1e-6), name) for at, name in capture.statuses]
    assert len(loaded.entries) == len(FULL)
    again = Capture.load(loaded.save(tmp_path / "again.jsonl"))
    assert again.statuses == loaded.statuses


def test_reports_stand_in_a_file_where_they_came(tmp_path):
    capture = a_capture((0.25, CLEAR))
    for at, name in [(-1.2, "ringing"), (0.1, "stream-started"), (3, "com\npleted")]:
        capture.note_status(100.0 + at, name)
    lines = capture.save(tmp_path / "call.jsonl").read_text().splitlines()
    assert lines[1:3] == [
        '{"at":-1.200000,"status":"ringing"}', '{"at":0.100000,"status":"stream-started"}',
    ]  # fmt: skip
    assert '"event":"clear"' in lines[3]
    assert lines[4] == '{"at":3.000000,"status":"com\\npleted"}'


def test_every_file_has_the_same_version(tmp_path):
    for capture in (Capture(SID), a_capture(*FULL), a_reported_capture(), an_odd_capture()):
        path = capture.save(tmp_path / "call.jsonl", overwrite=True)
        assert json.loads(path.read_text().splitlines()[0])["version"] == 1


@pytest.mark.parametrize(
    "version", ["0", "-1", "2", "3", "93", "true", "1.0", '"1"', "null", "[1]", "{}", "1e999"]
)
def test_file_of_another_version_is_refused_though_its_lines_are_good(tmp_path, version):
    path = a_reported_capture().save(tmp_path / "call.jsonl")
    path.write_text(path.read_text().replace('"version":1', f'"version":{version}', 1))
    with pytest.raises(CaptureError) as caught:
        Capture.load(path)
    assert str(caught.value) == (
        f"call.jsonl, line 1: the capture has version {json.loads(version)!r}; this package reads "
        "version 1 only. Nothing of it was read, because its lines may mean something else. Read "
        "it with the version of twistream-kit that wrote it."
    )


def test_file_without_a_version_is_refused_too():
    with pytest.raises(CaptureError, match="has version None; this package reads version 1 only"):
        Capture.read(b'{"format":"twistream-capture"}\n')


def test_file_without_reports_has_none(tmp_path):
    path = tmp_path / "call.jsonl"
    path.write_text(
        '{"format":"twistream-capture","version":1,"streamSid":"MZ1","callSid":"CA1",'
        '"keepSeconds":900.0}\n'
        '{"at":0.25,"from":"server","message":{"event":"clear","streamSid":"MZ1"}}\n'
        '{"endings":{"a#1":"cleared"}}\n'
    )
    capture = Capture.load(path)
    assert (capture.statuses, len(capture), capture.endings) == ([], 1, {"a#1": "cleared"})


def an_odd_capture():
    capture = a_capture(*FULL)
    capture.note_odd(100.375, '{"event":"media","media":{"playload":"ü\\n"}}')
    capture.note_odd(100.25, b"\xff\x00")
    capture.note_odd(100.5, "not JSON")
    return capture


def test_odd_messages_are_kept_as_they_came(tmp_path):
    capture = an_odd_capture()
    path = capture.save(tmp_path / "call.jsonl", redact=False)
    loaded = Capture.load(path)
    assert loaded.odd == sorted(capture.odd, key=lambda odd: odd[0])
    assert len(loaded) == len(capture)
    assert loaded.save(tmp_path / "again.jsonl", redact=False).read_bytes() == path.read_bytes()


def test_file_with_odd_messages_that_was_cut_off_anywhere_is_read_up_to_there(tmp_path):
    short = [(at, sound(SECOND[:9]) if m == sound(SECOND) else m) for at, m in FULL]
    capture = a_capture(*short)
    capture.note_odd(100.25, b"\xff\x00")
    path = capture.save(tmp_path / "call.jsonl")
    for kept, _ in cut_off(path):
        path.write_bytes(kept)
        assert Capture.load(path).odd in ([], [(0.25, b"\xff\x00")])


def test_odd_messages_are_limited_in_number_and_size():
    capture = Capture(SID)
    for _ in range(MOST_ODD + 5):
        capture.note_odd(0.0, "x")
    assert len(capture.odd) == MOST_ODD
    capture = Capture(SID)
    capture.note_odd(0.0, "x" * (MOST_ODD_SIZE + 1))
    assert capture.odd == []


@pytest.mark.parametrize("at", ["NaN", "Infinity", "null", '"x"', "[]"])
def test_line_with_a_time_that_is_none_is_refused(tmp_path, at):
    path = tmp_path / "call.jsonl"
    path.write_text(
        '{"format":"twistream-capture","version":1}\n'
        f'{{"at":{at},"status":"ringing"}}\n'
        '{"at":0,"status":"completed"}\n'
    )
    with pytest.raises(CaptureError, match="line 2: the line cannot be read"):
        Capture.load(path)


def cut_off(path):
    """Yield every beginning of a file that holds its header, and how many lines are whole."""
    whole = path.read_bytes()
    for size in range(whole.index(b"\n"), len(whole) + 1):
        yield whole[:size], whole[:size].count(b"\n") - 1


def test_file_that_was_cut_off_anywhere_is_read_up_to_there(tmp_path):
    short = [(at, sound(SECOND[:99]) if m == sound(SECOND) else m) for at, m in FULL]
    path = a_capture(*short).save(tmp_path / "call.jsonl")
    entries = Capture.load(path).entries
    for kept, n_lines in cut_off(path):
        loaded = Capture.read(kept).entries
        assert loaded == entries[: len(loaded)]
        assert len(loaded) - max(0, n_lines) in (0, 1)  # the last may be whole but for its end


def test_file_with_reports_and_endings_that_was_cut_off_anywhere_is_read_up_to_there(tmp_path):
    capture = a_capture((0, mark("a#1")), (0.1, CLEAR), (1, STOP))
    capture.note_ending("a#1", "cleared")
    for at, name in REPORTED:
        capture.note_status(100.0 + at, name)
    path = capture.save(tmp_path / "call.jsonl")
    names = [name for _, name in REPORTED]
    for kept, n_lines in cut_off(path):
        loaded = Capture.read(kept)
        found = len(loaded.statuses) + len(loaded) + len(loaded.endings)
        assert found - max(0, n_lines) in (0, 1)  # the last may be whole but for its end
        assert [name for _, name in loaded.statuses] == names[: len(loaded.statuses)]
        assert loaded.endings in ({}, {"a#1": "cleared"})
        loaded.summary()


def test_file_whose_header_was_cut_off_is_refused(tmp_path):
    whole = a_capture(*FULL).save(tmp_path / "call.jsonl").read_bytes()
    for size in range(whole.index(b"\n")):
        with pytest.raises(CaptureError, match="line 1: this is not the header"):
            Capture.read(whole[:size])


def test_file_with_the_line_breaks_of_another_system_is_read(tmp_path):
    path = a_capture(*FULL).save(tmp_path / "call.jsonl")
    entries = Capture.load(path).entries
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert Capture.load(path).entries == entries


def test_saving_replaces_a_file_as_a_whole(tmp_path):
    path = tmp_path / "call.jsonl"
    a_capture(*FULL).save(path)
    before = path.read_bytes()
    broken = a_capture((0, from_twilio.Unknown("x", "not JSON")))
    with pytest.raises(ValueError):
        broken.save(path, overwrite=True)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "call.jsonl, line 1: this is not the header of a capture."),
        ("[]\n", "call.jsonl, line 1: this is not the header of a capture."),
        ('{"format":"har"}\n', "call.jsonl, line 1: this is not the header of a capture."),
        (
            '{"format":"twistream-capture","version":1}\nrubbish\n{}\n',
            "call.jsonl, line 2: the line cannot be read: it is no timed message.",
        ),
        (
            (
                '{"format":"twistream-capture","version":1}\n'
                '{"at":0,"from":"server","message":{"event":"clear"}}\n'
            ),
            "call.jsonl, line 2: the line cannot be read: streamSid is missing.",
        ),
    ],
)
def test_file_that_is_no_capture_is_refused_by_line(tmp_path, text, error):
    path = tmp_path / "call.jsonl"
    path.write_text(text)
    with pytest.raises(CaptureError) as caught:
        Capture.load(path)
    assert str(caught.value).startswith(error)
    assert isinstance(caught.value, ValueError)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(
            st.floats(0, 5),
            st.one_of(
                st.builds(voice, st.integers(0, 50)),
                st.builds(sound, st.binary(max_size=5000)),
                st.builds(mark, st.sampled_from(["a", "b#1", "b#1@1s"])),
                st.builds(returned, st.sampled_from(["a", "b#1", "b#1@1s", "c"])),
                st.sampled_from([CLEAR, STOP, START]),
            ),
        ),
        max_size=30,
    )
)
def test_any_capture_adds_up(rows):
    capture = a_capture(*sorted(rows, key=lambda row: row[0]))
    summary = capture.summary()
    playbacks = capture.playbacks()
    assert all(0 <= p.heard_ms <= p.total_ms for p in playbacks)
    assert sum(p.total_ms for p in playbacks) == pytest.approx(
        summary.sent_seconds * 1000, abs=len(playbacks) + 1
    )
    assert summary.heard_seconds <= summary.sent_seconds
    assert 0 <= summary.send_ahead_seconds <= summary.deaf_seconds + 1e-4
    assert summary.deaf_seconds <= summary.sent_seconds
    for p in playbacks:
        assert p.heard_from is None or p.sent_at <= p.heard_from + 1e-9 <= p.heard_to + 1e-9
    assert all(isinstance(entry, Entry) for entry in capture.entries)
    assert json.dumps(repr(summary))
