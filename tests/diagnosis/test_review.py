"""`kit.review`: one verb for everything that a server sends, and for what it has sent."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter

import pytest

import twistream_kit as kit
from twistream_kit import from_twilio, to_twilio
from twistream_kit.capture.file import CaptureError
from twistream_kit.cli import main
from twistream_kit.diagnosis.files import Mistake, Mistakes
from twistream_kit.errors import Objections, TwistreamError
from twistream_kit.live.inspector._frames import FrameViolation
from twistream_kit.pending import HomeLoop

SID = "MZ" + "0" * 32
CLEAR = to_twilio.Clear(SID).to_json()
WRONG = json.dumps({"event": "media", "streamSid": SID, "media": {"playload": "gICA"}})
OTHER = "MZ" + "9" * 32
TWIML = '<Response><Connect><Stream url="https://example.com/media"/></Connect></Response>'
WAV = kit.Clip.tone(440, 0.1)


@pytest.fixture
def file(tmp_path):
    """Write a file, and return its path."""

    def write(text, name="messages.jsonl"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


@pytest.fixture
def capture():
    capture = kit.Capture(SID)
    capture.append(from_twilio.Start(SID, f"AC{0:032x}", f"CA{0:032x}"), 0.0)
    capture.append(to_twilio.Clear(SID), 0.5)
    capture.note_odd(1.0, WRONG)
    capture.note_odd(2.0, WRONG)
    return capture


@pytest.mark.parametrize("message", [CLEAR, WRONG, "", "{'event': 1}", "no file of this name", " "])
def test_text_is_a_message(message):
    assert kit.review(message) == kit.review_message(message)
    assert kit.review(message, stream_sid=OTHER) == kit.review_message(message, stream_sid=OTHER)


@pytest.mark.parametrize("text", [TWIML, f"\n  {TWIML}", f"\ufeff{TWIML}", "<", "<!-- -->"])
def test_text_whose_first_character_is_a_bracket_is_twiml(text):
    assert kit.review(text) == kit.review_twiml(text) != kit.review_message(text)


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_bytes_are_a_binary_message(kind):
    found = kit.review(kind(WRONG.encode()))
    assert found == kit.review_message(WRONG.encode())
    assert found[0].code == 31950


def test_a_dict_is_a_message_about_to_become_json():
    assert kit.review(json.loads(WRONG)) == kit.review_message(WRONG)
    assert "cannot become JSON" in repr(kit.review({"event": b"clear"}))


@pytest.mark.parametrize("make", [list, tuple, iter])
def test_a_list_or_an_iterable_of_bytes_or_media_is_payloads(make, tmp_path):
    raw = WAV.save(tmp_path / "tone.wav").read_bytes()
    found = kit.review(make([raw]))
    assert found == kit.review_sound([raw])
    assert "WAV" in repr(found)
    assert kit.review(make([to_twilio.Media(SID, WAV.payload)])) == []


def test_all_results_are_reports():
    for thing in (CLEAR, TWIML, b"", {}, [], [b"\x80" * 160]):
        assert isinstance(kit.review(thing), Objections)
    assert repr(kit.review(CLEAR)) == "nothing to object to"


def test_the_name_of_a_file_as_text_is_refused_with_what_to_say(file, monkeypatch):
    path = file(CLEAR)
    monkeypatch.chdir(path.parent)
    for name in (str(path), path.name):
        with pytest.raises(TypeError) as refused:
            kit.review(name)
        assert f"say kit.review(Path({name!r}))" in str(refused.value)


@pytest.mark.parametrize("text", ["a\0b", "x" * 5000, "x" * 300, "/", "."])
def test_text_that_can_be_no_name_of_a_file_is_a_message(text):
    assert "not JSON" in repr(kit.review(text))


def test_a_path_of_messages_says_in_which_line_each_mistake_stands(file):
    found = kit.review(file(f"{CLEAR}\n\n{WRONG}\n{WRONG}\n"))
    assert isinstance(found, Mistakes)
    assert [mistake.place for mistake in found] == ["line 3 and 1 more"]
    assert found[0].times == 2
    assert repr(found).startswith("line 3 and 1 more: error 31951: media.playload")
    assert not found.ok


def test_a_path_of_good_messages_says_how_many_were_reviewed(file):
    found = kit.review(file(f"{CLEAR}\n{CLEAR}\n"))
    assert (repr(found), found.ok) == ("2 messages: nothing to object to.", True)


def test_a_path_of_one_document_counts_its_messages(file):
    found = kit.review(file(f"[{CLEAR}, {WRONG}]"))
    assert [mistake.place for mistake in found] == ["message 2"]


def test_the_messages_of_a_path_are_compared_with_the_stream_that_is_named(file):
    path = file(f"{CLEAR}\n")
    assert kit.review(path, stream_sid=SID) == []
    assert [each.objection.field for each in kit.review(path, stream_sid=OTHER)] == ["streamSid"]


@pytest.mark.parametrize("mark", ["", "\ufeff", "\n\n"])
def test_a_path_of_twiml_is_reviewed_as_twiml(file, mark):
    found = kit.review(file(mark + TWIML, "answer.xml"))
    assert {mistake.place for mistake in found} == {"TwiML"}
    assert [each.objection for each in found] == kit.review_twiml((mark + TWIML).encode())


def test_a_path_of_a_capture_is_reviewed_as_the_capture(tmp_path, capture):
    path = capture.save(tmp_path / "call.jsonl", redact=False)
    found = kit.review(path)
    assert list(map(repr, found)) == list(map(repr, kit.review(capture)))
    assert found[0].place == "1.00 s and 1 more"
    assert found.capture.stream_sid == SID


def test_a_damaged_capture_an_empty_file_a_folder_and_a_missing_file_say_so(
    file, tmp_path, capture
):
    path = capture.save(tmp_path / "call.jsonl")
    first, second, *rest = path.read_text().splitlines(keepends=True)
    path.write_text("".join([first, second.replace('"at"', '"when"'), *rest]))
    with pytest.raises(CaptureError, match="line 2"):
        kit.review(path)
    with pytest.raises(TwistreamError, match=r"empty\.jsonl holds no message"):
        kit.review(file(b"", "empty.jsonl"))
    with pytest.raises(OSError, match="is a folder, not a file"):
        kit.review(tmp_path)
    with pytest.raises(FileNotFoundError):
        kit.review(tmp_path / "missing.jsonl")


def test_a_capture_is_reviewed_as_a_capture(capture):
    found = kit.review(capture)
    assert found == kit.review_capture(capture)
    assert found.reviewed == "1 message to Twilio"
    assert kit.review(capture, stream_sid=OTHER) == kit.review_capture(capture, stream_sid=OTHER)


def test_whatever_has_a_capture_is_reviewed_by_it_with_what_the_capture_does_not_show(capture):
    class Followed:
        def __init__(self):
            self.capture = capture
            known = kit.review(capture)[0].objection
            self.objections = Counter({known: 7, kit.Objection(31924, "", "is a wrong frame"): 3})

    found = kit.review(Followed())
    assert found[1:] == kit.review(capture)
    assert found[0] == Mistake(kit.Objection(31924, "", "is a wrong frame"), None, 3, "stream")
    assert repr(found).splitlines()[0] == "stream, 3 times: error 31924: is a wrong frame."


def test_an_inspected_stream_is_reviewed_with_what_is_wrong_with_its_frames():
    stream = kit.InspectedStream(HomeLoop("nobody"), 0.0)
    start = from_twilio.Start(SID, f"AC{0:032x}", f"CA{0:032x}")
    stream.take("twilio", start.to_json(), 0.0)
    stream.take("server", WRONG, 0.5)
    stream.take("server", WRONG, 0.7)
    stream.take("server", FrameViolation("it is not masked"), 0.6)
    found = kit.review(stream)
    assert [mistake.place for mistake in found] == ["stream", "0.50 s and 1 more"]
    assert {each.objection for each in found} == set(stream.objections)


async def test_a_call_report_is_reviewed_with_all_that_was_objected_to():
    async def wrong(stream):
        pass

    async with kit.StreamServer(wrong) as server:
        report = await kit.simulate_call(f"{server.url}?customer=42", seconds=0.1)
    found = kit.review(report)
    assert {each.objection for each in found} == set(report.objections)
    assert any("query" in repr(each) for each in found)
    causes = [each.objection for each in found if each.where == "stream"]
    assert found[0].objection == causes[0] == next(iter(report.objections)), "the cause is first"


@pytest.mark.parametrize("thing", [None, 7, WAV, kit.review])
def test_anything_else_is_refused_with_what_is_accepted(thing):
    with pytest.raises(TypeError, match=r"a message \(str, bytes or a dict\).* Path .* Capture"):
        kit.review(thing)


def test_a_list_of_messages_is_refused_with_what_to_do():
    with pytest.raises(TypeError, match=r"not one with str in it.* one by one"):
        kit.review([CLEAR])


CONTENTS = {
    "one good message": CLEAR,
    "several, one of them wrong": f"{CLEAR}\n{WRONG}\n",
    "a document": f"[{CLEAR}, {WRONG}]",
    "TwiML": TWIML,
    "good TwiML": str(kit.connect_stream("wss://example.com/media")),
    "no text": b"\xff\xfe\x00",
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
def test_the_command_prints_what_the_verb_says(file, capsys, content):
    path = file(content)
    code = main(["review", str(path)])
    found = kit.review(path)
    assert capsys.readouterr().out == f"{found!r}\n"
    assert code == (0 if found.ok else 1)


def test_the_command_prints_what_the_verb_says_of_a_capture_behind_its_summary(
    tmp_path, capsys, capture
):
    path = capture.save(tmp_path / "call.jsonl")
    assert main(["review", str(path)]) == 1
    found = kit.review(path)
    assert capsys.readouterr().out == f"{found.capture.summary().report()}\n\n{found!r}\n"


def test_a_review_of_a_message_brings_no_numpy_in():
    program = "import sys, twistream_kit as kit; kit.review('{}'); print('numpy' in sys.modules)"
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "False\n"
