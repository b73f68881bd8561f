"""The log of a stream without a browser: what it would show, and what its button does."""

from __future__ import annotations

from base64 import b64encode

import pytest

from support.captures import capture_of
from twistream_kit.audio.clip import Clip
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.runtime.activity_log import PUMP
from twistream_kit.notebook.widgets.stream_log import KEPT_LINES, StreamLog
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


def test_media_is_one_line_for_each_direction(make_call, log_of, tone, until):
    up = make_call()
    log = log_of(up.stream)
    up.stream.play(tone)
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


def test_a_stream_that_ends_is_shown_to_its_last_message(make_call, log_of, until):
    up = make_call()
    log = log_of(up.stream)
    up.phone.hang_up()
    until(lambda: log.state == "Ended: the callee hung up (probably).")
    assert events(log)[-1] == ("twilio", "stop")
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


def test_file_that_is_replaced_on_demand_is_said_to_be(a_capture, log_of, tmp_path):
    path = tmp_path / "mine.jsonl"
    path.write_bytes(b"another")
    log = log_of(a_capture, path=path)
    press_save(log)
    assert log.saved.startswith(f"Saved 4 messages as {path} in place of what was there. ")
    press_save(log)
    assert "in place of" not in log.saved


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
    still = bundle["text/html"]
    assert "<b>" not in still
    assert "&lt;b&gt;bold" in still
    assert "The last 4 messages of the call" in still
    assert "31951" in still or "streamSid" in still


@pytest.mark.parametrize("wrong", [Clip.silence(1), None, "call.jsonl"])
def test_it_refuses_what_is_neither_stream_nor_capture(wrong):
    with pytest.raises(TypeError, match=r"MediaStream or a Capture.*Capture\.load"):
        StreamLog(wrong)
