"""The log of a stream without a browser: what it would show, and what its button does."""

from __future__ import annotations

import json
from base64 import b64encode

import pytest

from support.captures import capture_of
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.errors import TwistreamError
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.widgets._log_lines import KEPT_LINES
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.protocol import from_twilio, to_twilio

SID = "MZ00000000000000000000000000000001"
SAVE = {"kind": "save"}


@pytest.fixture
def log_of():
    """Make logs; they are closed with the test."""
    made = []

    def make(stream, **options):
        made.append(StreamLog(stream, **options))
        return made[-1]

    yield make
    for log in made:
        log.close()


@pytest.fixture
def a_capture():
    """A call from a file: a key, a bad message, and a mark with markup for a name."""
    messages = [
        from_twilio.Start(SID),
        from_twilio.Dtmf(SID, "5"),
        to_twilio.Clear("MZ00000000000000000000000000000002"),
        to_twilio.Mark(SID, "<b>bold</b>"),
    ]
    return capture_of(SID, *enumerate(messages), started=100.0)


def press_save(log):
    log._handle_custom_msg(SAVE, [])


def events(log):
    return [(line["sender"], line["event"]) for line in log.lines]


def test_messages_come_as_they_pass_newest_last(make_call, log_of, until):
    up = make_call()
    log = log_of(up.stream)
    assert events(log) == [("twilio", "start")]
    up.phone.press("5")
    up.stream.mark("here")
    up.stream.clear()
    until(lambda: len(log.lines) == 5)
    assert ("twilio", "dtmf") in events(log)
    assert events(log).index(("server", "mark")) < events(log).index(("twilio", "mark"))
    numbers = [line["number"] for line in log.lines]
    assert numbers == sorted(numbers)
    assert [line["at"] for line in log.lines] == sorted(line["at"] for line in log.lines)


def test_media_is_one_line_for_each_direction(make_call, log_of, until):
    up = make_call()
    log = log_of(up.stream)
    up.stream.play(Clip.tone(440, 3.0))
    until(lambda: log.media[1]["text"] == "150 messages, 3.00 s of sound")
    until(lambda: int(log.media[0]["text"].split()[0]) > 5)
    assert [count["sender"] for count in log.media] == ["twilio", "server"]
    assert ("server", "media") not in events(log)


def test_an_objection_stands_under_the_message_that_earned_it(make_call, log_of, until):
    up = make_call()
    log = log_of(up.stream)
    # Too short for `play` to refuse it.
    up.stream.play(b64encode(Clip.tone(440, 1).payload[:42]))
    until(lambda: ("server", "media") in events(log))
    (line,) = (line for line in log.lines if line["event"] == "media")
    (objection,) = line["objections"]
    assert (objection["severity"], objection["code"]) == ("error", None)
    assert "is base64 twice" in objection["text"]
    assert "would play the letters" in objection["text"]
    until(lambda: "1 of them objected to" in log.media[1]["text"])


def marked(line):
    """The part of a message that each objection is about."""
    places = [objection["place"] for objection in line["objections"]]
    return [place and line["text"][place[0] : place[1]] for place in places]


def test_the_field_that_is_wrong_is_marked_in_the_message(log_of):
    capture = Capture(SID)
    capture.append(from_twilio.Start(SID, "AC1", "CA1"), 0.0)
    capture.append(to_twilio.Clear("MZ00000000000000000000000000000002"), 1.0)
    capture.note_odd(2.0, f'{{"event":"media","streamSid":"{SID}","media":{{"playload":"AAAA"}}}}')
    capture.note_odd(3.0, f'{{"event":"media","streamSid":"{SID}","media":{{}}}}')
    capture.note_odd(4.0, b"\x00")
    _, clear, wrong, empty, binary = log_of(capture).lines
    assert marked(clear) == ['"streamSid":"MZ00000000000000000000000000000002"']
    assert marked(wrong) == ['"playload":"AAAA"']
    assert marked(empty) == ['"media"']
    assert marked(binary) == [None]


def left_in_one_row(line):
    text = line["text"]
    for begin, end in reversed(line["implied"]):
        text = text[:begin] + text[end:]
    return text


def test_a_closed_row_has_room_for_what_is_different(log_of):
    capture = Capture(SID)
    capture.append(from_twilio.Start(SID, "AC1", "CA1"), 0.0)
    capture.append(to_twilio.Mark(SID, "greeting#1"), 1.0)
    capture.append(from_twilio.Mark(SID, "greeting#1"), 2.0)
    capture.append(to_twilio.Clear("MZ00000000000000000000000000000002"), 3.0)
    start, mark, back, other = log_of(capture).lines
    assert left_in_one_row(mark) == '{"event":"mark","mark":{"name":"greeting#1"}}'
    assert "streamSid" not in left_in_one_row(start) + left_in_one_row(back)
    assert json.loads(left_in_one_row(start))["start"]["callSid"] == "CA1"
    assert json.loads(left_in_one_row(back))["mark"] == {"name": "greeting#1"}
    assert other["implied"] == [], "the SID of another stream is what is wrong"


def test_equal_rows_have_their_count_and_what_is_wrong_stands_first(log_of):
    capture = Capture(SID)
    log = log_of(capture)
    bad = to_twilio.Media(SID, b"ID3\x04\x00\x00\x00\x00\x00\x10" + b"\x00" * 150)
    for number in range(211):
        capture.append(bad, number / 50)
    log._update()
    (line,) = (line for line in log.lines if line["event"] == "media")
    assert log.counts[str(line["number"])][0] == 211
    first = log.problems[0]
    assert (first["times"], first["severity"], first["number"]) == (
        "211 × ",
        "error",
        line["number"],
    )
    assert "MP3" in first["text"]
    assert len(log.problems) > 1, "the symptom stands below"


def test_severities_have_a_sign_a_colour_and_a_word(log_of, a_capture):
    log = log_of(a_capture)
    assert set(log.signs) == {"error", "warning", "note"} <= set(log.colours)
    still = log._draw_last_picture()
    assert 'aria-hidden="true">✗</span> error: ' in still


def test_its_last_picture_has_no_marks_of_progress(make_call, log_of, until):
    up = make_call()
    log = log_of(up.stream)
    up.stream.play(Clip.tone(440, 3.0), mark="the tone").heard(1.2).result(LIMIT_SECONDS)
    assert not log._has_last_picture
    up.phone.hang_up()
    until(lambda: log._has_last_picture)
    assert "the tone" in log._draw_last_picture()
    assert any(line["progress"] for line in log.lines)
    assert "progress mark" not in log._draw_last_picture()
    assert "Ended: the callee hung up (probably)." in log._draw_last_picture()


def test_a_stream_that_ends_is_shown_to_its_last_message(make_call, log_of, until):
    up = make_call()
    log = log_of(up.stream)
    up.phone.hang_up()
    until(lambda: log.state == "Ended: the callee hung up (probably).")
    until(lambda: events(log)[-1] == ("twilio", "stop"))
    until(lambda: log._update not in PUMP._updates)
    late = log_of(up.stream)
    assert late.lines == log.lines
    assert late._update not in PUMP._updates


def test_a_capture_from_a_file_shows_the_same(a_capture, log_of, tmp_path):
    again = Capture.load(a_capture.save(tmp_path / "call.jsonl"))
    log = log_of(again)
    assert events(log) == [
        ("twilio", "start"), ("twilio", "dtmf"), ("server", "clear"), ("server", "mark"),
    ]  # fmt: skip
    (objection,) = log.lines[2]["objections"]
    assert objection["code"] == 31951
    assert log.state == "A capture."


def test_the_button_saves_the_capture_and_says_where(a_capture, log_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = log_of(a_capture)
    press_save(log)
    written = tmp_path.resolve() / f"call-{SID}.jsonl"
    assert log.saved.startswith(f"Saved 4 messages as {written}. ")
    assert "the voices are in it" in log.saved
    assert len(Capture.load(written)) == 4


def test_the_button_replaces_no_file_but_its_own(a_capture, log_of, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first, second = log_of(a_capture), log_of(a_capture)  # as in two kernels
    press_save(first)
    before = (tmp_path / f"call-{SID}.jsonl").read_bytes()
    (tmp_path / f"call-{SID}-2.jsonl").symlink_to("nowhere")  # a name that is taken, too
    for _ in range(2):
        press_save(second)
        assert second.saved.startswith(f"Saved 4 messages as {tmp_path}/call-{SID}-3.jsonl. ")
    press_save(first)
    assert first.saved.startswith(f"Saved 4 messages as {tmp_path}/call-{SID}.jsonl. ")
    assert (tmp_path / f"call-{SID}.jsonl").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_file_of_somebody_else_is_replaced_only_on_demand(a_capture, log_of, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"another")
    log = log_of(a_capture, path=path)
    press_save(log)
    assert log.saved.startswith(f"Not saved: {path} exists already. ")
    with pytest.raises(TwistreamError, match="exists already"):
        log.save(path)
    assert path.read_bytes() == b"another"
    assert len(Capture.load(log.save(overwrite=True))) == 4
    press_save(log)  # what it has written itself is written again
    assert log.saved.startswith(f"Saved 4 messages as {path}. ")


def test_it_saves_where_it_was_asked_to(a_capture, log_of, tmp_path):
    log = log_of(a_capture, path=tmp_path / "mine.jsonl")
    press_save(log)
    assert str(tmp_path / "mine.jsonl") in log.saved
    assert log.save(tmp_path / "other.jsonl") == (tmp_path / "other.jsonl").resolve()


def test_what_cannot_be_saved_is_said_in_words(a_capture, log_of, tmp_path):
    log = log_of(a_capture, path=tmp_path / "missing" / "call.jsonl")
    press_save(log)
    assert log.saved.startswith("Not saved: ")
    assert "path=" in log.saved


@pytest.mark.parametrize("strange", [{"kind": "delete"}, {}, [], "save", None])
def test_it_obeys_no_other_command(a_capture, log_of, strange, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    log = log_of(a_capture)
    log._handle_command(log, strange, [])
    assert log.saved == ""
    assert list(tmp_path.iterdir()) == []


def test_what_is_sent_to_the_page_is_bounded(log_of):
    capture = Capture(SID)
    for number in range(5 * KEPT_LINES):
        capture.append(to_twilio.Mark(SID, f"mark-{number}"), float(number))
    assert len(log_of(capture).lines) == KEPT_LINES


def test_closing_takes_it_off_the_pump_and_leaves_the_stream(make_call):
    up = make_call()
    log = StreamLog(up.stream)
    log.close()
    assert log._update not in PUMP._updates
    assert up.stream.is_open


def test_a_call_that_talks_a_lot_is_one_line_of_sums(log_of):
    capture = Capture(SID)
    log = log_of(capture)
    frame = to_twilio.Media(SID, Clip.tone(440, 0.02).payload)
    for number in range(3000):  # a minute of sound
        capture.append(frame, number / 50)
    log._update()
    assert log.lines == []
    assert log.media[1]["text"] == "3000 messages, 60.00 s of sound"


def test_a_page_without_a_kernel_shows_a_table_in_which_nothing_is_markup(a_capture, log_of):
    log = log_of(a_capture)
    bundle, _ = log._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["text/plain"].startswith("<StreamLog of Capture(MZ")
    assert "text/html" not in bundle, "the last picture stands below"
    still = log._draw_last_picture()
    assert "<b>" not in still
    assert "&lt;b&gt;bold" in still
    assert "The last 4 messages of the call" in still
    assert "31951" in still or "streamSid" in still


def test_a_page_without_a_kernel_shows_a_call_that_went_on_as_it_was(make_call, log_of):
    log = log_of(make_call().stream)
    still = log._repr_mimebundle_()[0]["text/html"]
    assert "As it stood when the cell ran" in still
    assert "start" in still


@pytest.mark.parametrize("wrong", [Clip.silence(1), None, "call.jsonl"])
def test_it_refuses_what_is_neither_stream_nor_capture(wrong):
    with pytest.raises(TypeError, match=r"MediaStream or a Capture.*Capture\.load"):
        StreamLog(wrong)
