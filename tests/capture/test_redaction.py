"""What is left of who called in a saved capture, and what is not."""

from __future__ import annotations

import json
import re
from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from support.captures import capture_of
from twistream_kit.capture._redaction import Redaction
from twistream_kit.capture.capture import Capture
from twistream_kit.notebook.plots._timeline import read_timeline
from twistream_kit.protocol import from_twilio, marks, to_twilio
from twistream_kit.protocol.conversation import Conversation

SID = "MZ0123456789abcdef0123456789abcdef"
CALL = "CA0123456789abcdef0123456789abcdef"
ACCOUNT = "ACfedcba9876543210fedcba9876543210"
OTHER = "MZ" + "a" * 32
NUMBER = "+14155550142"
SECRETS = [SID, CALL, ACCOUNT, OTHER, NUMBER, "4155550142", "Mrs. Alice Example", "tok_5f3a"]

START = from_twilio.Start(
    SID, ACCOUNT, CALL,
    custom_parameters={"customer": "Mrs. Alice Example", "from": NUMBER, "token": "tok_5f3a",
                       "call": CALL, "language": "en", "empty": ""},
)  # fmt: skip
SOUND = bytes(range(256)) * 20


def a_capture():
    rows = [
        (0.0, from_twilio.Connected()),
        (0.0, START),
        (0.02, from_twilio.Media(SID, SOUND[:160], 2, "inbound", 1, 20)),
        (0.1, to_twilio.Media(SID, SOUND)),
        (0.1, to_twilio.Mark(SID, f"hello Mrs. Alice Example, {NUMBER}#1")),
        (0.2, from_twilio.Dtmf(SID, "4", 3)),
        (0.3, from_twilio.Dtmf(SID, "2", 4)),
        (0.3, to_twilio.Mark(SID, "4#2")),
        (0.4, to_twilio.Media(OTHER, SOUND)),
        (0.5, to_twilio.Clear(SID)),
        (0.52, from_twilio.Mark(SID, f"hello Mrs. Alice Example, {NUMBER}#1", 5)),
        (0.53, from_twilio.Mark(SID, "4#2", 6)),
        (0.6, unknown({"who": {"phone": "(415) 555-0142", "sid": CALL, "n": 14155550142}})),
        (0.7, to_twilio.Media(SID, SOUND)),
        (0.7, to_twilio.Mark(SID, "play#3")),
        (2.0, from_twilio.Mark(SID, "play#3", 7)),
        (2.5, from_twilio.Stop(SID, ACCOUNT, CALL, 8)),
    ]
    capture = capture_of(SID, *rows, call_sid=CALL)
    capture.note_ending(f"hello Mrs. Alice Example, {NUMBER}#1", "cleared")
    capture.note_status(-1.0, "ringing")
    return capture


def unknown(content):
    raw = {"event": "novelty", "sequenceNumber": "12345678", "streamSid": SID, **content}
    return from_twilio.Unknown("novelty", json.dumps(raw), SID, 12345678)


@pytest.fixture
def text(tmp_path):
    return a_capture().save(tmp_path / "call.jsonl").read_text()


def redacted(*messages):
    return Redaction(messages)


def test_nothing_of_who_called_is_left_in_the_file(text):
    assert [secret for secret in SECRETS if secret in text] == []
    assert '"redacted":true' in text.splitlines()[0]


def test_stand_ins_have_the_shape_of_what_they_stand_for_and_are_the_same_everywhere(text):
    assert set(re.findall(r"[A-Z]{2}[0-9a-f]{32}", text)) == {
        "MZ" + "0" * 31 + "1", "MZ" + "0" * 31 + "2", "CA" + "0" * 31 + "1", "AC" + "0" * 31 + "1",
    }  # fmt: skip
    start = json.loads(text.splitlines()[3])["message"]["start"]
    assert start["customParameters"] == {
        "customer": "redacted-1", "from": "+15550100001", "token": "redacted-2",
        "call": "CA" + "0" * 31 + "1", "language": "redacted-3", "empty": "",
    }  # fmt: skip
    assert text.count("hello redacted-1, +15550100001#1") == 3  # sent, back, and how it ended


def test_keys_that_were_pressed_are_neutral_and_marks_named_after_them_too(text):
    assert re.findall(r'"digit":"(.)"', text) == ["0", "0"]
    assert text.count('"name":"key-1#2"') == 2


def test_unknown_messages_are_redacted_and_keep_their_form(text):
    line = next(line for line in text.splitlines() if "novelty" in line)
    assert json.loads(line)["message"] == {
        "event": "novelty",
        "sequenceNumber": "12345678",
        "streamSid": "MZ" + "0" * 31 + "1",
        "who": {"phone": "(555) 010-0002", "sid": "CA" + "0" * 31 + "1", "n": 15550100001},
    }


def test_the_sound_is_not_changed(tmp_path):
    capture = a_capture()
    loaded = Capture.load(capture.save(tmp_path / "call.jsonl"))
    assert loaded.caller == capture.caller
    assert loaded.heard == capture.heard


def test_sound_that_looks_like_a_number_is_not_changed(tmp_path):
    looks = "+141555501420000"
    capture = Capture(SID)
    capture.append(to_twilio.Media(SID, b64decode(looks)), 0.0)
    capture.append(from_twilio.Media(SID, b64decode(looks), 2, "inbound", 1, 20), 0.0)
    path = capture.save(tmp_path / "call.jsonl")
    assert path.read_text().count(looks) == 2
    assert Capture.load(path).heard == capture.heard


def test_redacted_capture_has_the_same_figures(tmp_path):
    capture = a_capture()
    loaded = Capture.load(capture.save(tmp_path / "call.jsonl"))
    theirs, ours = loaded.summary(), capture.summary()
    assert [f.value for f in theirs.list_figures()] == [f.value for f in ours.list_figures()]
    assert (theirs.from_twilio, theirs.to_twilio) == (ours.from_twilio, ours.to_twilio)
    assert [ending for _, ending in theirs.marks] == [ending for _, ending in ours.marks]
    assert [(p.heard_ms, p.total_ms, p.ending, p.heard_from) for p in theirs.playbacks] == [
        (p.heard_ms, p.total_ms, p.ending, p.heard_from) for p in ours.playbacks
    ]
    assert loaded.statuses == capture.statuses


def test_redacted_capture_says_so_and_stays_it(tmp_path):
    loaded = Capture.load(a_capture().save(tmp_path / "call.jsonl"))
    assert loaded.redacted
    assert repr(loaded).endswith("messages, redacted)")
    again = loaded.save(tmp_path / "again.jsonl", redact=False)
    assert again.read_text() == (tmp_path / "call.jsonl").read_text()


def spoken():
    """A call whose marks the kit itself wrote, Twilio having heard or cleared their sound."""
    conversation, capture = Conversation(SID), Capture(SID, CALL)
    capture.append(START, 0.0)

    def send(now):
        while (message := conversation.take_message(now)) is not None:
            capture.append(message, now)

    def note(outcomes):
        for outcome in outcomes:
            capture.note_ending(outcome.handle, outcome.ending)

    def come_back(now):
        sent = [e.message.name for e in capture.entries if isinstance(e.message, to_twilio.Mark)]
        back = [e.message.name for e in capture.entries if isinstance(e.message, from_twilio.Mark)]
        for name in sent[len(back) :]:
            capture.append(message := from_twilio.Mark(SID, name), now)
            note(conversation.receive(message, now))

    conversation.play(b"\x55" * 20_000, 0.1, mark=f"for {NUMBER}")
    conversation.play(b"\x66" * 12_000, 0.1)
    send(0.1)
    come_back(4.2)
    conversation.play(b"\x77" * 24_000, 5.0, mark="Mrs. Alice Example")
    send(5.0)
    note(conversation.clear(6.5))
    send(6.5)
    come_back(6.52)
    conversation.mark("done", 7.0)
    send(7.0)
    come_back(7.02)
    for key in "1234":  # the numbers and seconds of the marks, which are no keys all the same
        capture.append(from_twilio.Dtmf(SID, key), 7.5)
    capture.append(from_twilio.Stop(SID, ACCOUNT, CALL), 8.0)
    return capture


def shown(capture):
    """What is shown of its marks and playbacks."""
    summary = capture.summary()
    timeline = read_timeline(capture.entries, capture.endings)
    return (
        [(p.name, p.total_ms, p.heard_ms, p.ending) for p in summary.playbacks],
        summary.marks,
        (summary.from_twilio, summary.to_twilio),
        [(end.name, end.at, end.ending) for end in timeline.mark_ends],
        timeline.progress,
        [str(figure) for figure in summary.list_figures()],
    )


USUAL = {"_UNIQUE": "#", "_PROGRESS": "@", "_SECONDS": "s"}
ANOTHER = {"_UNIQUE": "~no.", "_PROGRESS": " after ", "_SECONDS": " sec"}


def test_the_form_of_a_mark_can_be_changed_in_one_place(monkeypatch, tmp_path):
    pages = []
    for form in (USUAL, ANOTHER):
        for constant, sign in form.items():
            monkeypatch.setattr(marks, constant, sign)
        capture = spoken()
        loaded = Capture.load(capture.save(tmp_path / "call.jsonl", overwrite=True))
        text = (tmp_path / "call.jsonl").read_text()
        assert f"{form['_UNIQUE']}1{form['_PROGRESS']}2{form['_SECONDS']}" in text
        assert not [secret for secret in SECRETS if secret in text]
        pages += [shown(capture), shown(loaded)]
    usual, usual_redacted, another, another_redacted = pages
    assert usual[1] == (
        (f"for {NUMBER}", "heard"), ("play", "heard"), ("Mrs. Alice Example", "cleared"),
        ("done", "heard"),
    )  # fmt: skip
    assert [name for name, _ in usual_redacted[1]] == [
        "for +15550100001", "play", "redacted-1", "done",
    ]  # fmt: skip
    assert usual == another
    assert usual_redacted == another_redacted
    assert len(usual[4]) == len(usual_redacted[4]) == 5


def test_redact_false_keeps_everything(tmp_path):
    text = a_capture().save(tmp_path / "call.jsonl", redact=False).read_text()
    assert all(secret in text for secret in (SID, CALL, ACCOUNT, OTHER, NUMBER, "tok_5f3a"))
    assert "redacted" not in text


def test_capture_itself_is_not_changed_by_saving_it(tmp_path):
    capture = a_capture()
    before = capture.entries
    capture.save(tmp_path / "call.jsonl")
    assert capture.entries == before
    assert (capture.stream_sid, capture.redacted) == (SID, False)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("greeting#1@2s", "greeting#1@2s"),
        ("play#4", "play#4"),
        ("play#4@1s", "play#4@1s"),
        ("chunk-17", "chunk-17"),
        (f"{NUMBER}#3@1s", "+15550100001#3@1s"),
        ("to 415-555-0142", "to 555-010-0001"),
        ("call14155550142", "call15550100001"),
        (f"re {CALL}", "re CA" + "0" * 31 + "1"),
        ("play Alice#1", "play redacted-1#1"),
        ("Alice in Aliceland", "redacted-1 in Aliceland"),
        ("5#7", "key-1#7"),
        ("pressed-5", "pressed-key-1"),
        ("55", "55"),
        ("said_alice", "said_redacted-1"),
        ("ALICE1", "redacted-1-1"),
        ("c=%41lice&n=Bob%20B%C3%BC&CA1", "c=%41lice&n=redacted-1&CA1"),
        ("Qm9iIELDvA==", "redacted-1=="),
        (CALL.lower(), "ca" + "0" * 31 + "1"),
        (CALL[2:], "0" * 31 + "1"),
        (f"call{CALL}", "callCA" + "0" * 31 + "1"),
        (f"x%2F{CALL}", "x%2FCA" + "0" * 31 + "1"),
        ("card 4111 1111 1111 1111", "card 1555 0100 0000 0001"),
        ("call#14155550142", "call#15550100001"),
        ("6", "6"),
        ("part#1234567", "part#0100001"),
        ("part#14@1234567s", "part#14@0100001s"),
        ("part#005", "part#005"),
        ("#5", "#key-1"),
        ("12345678901234567890", "12345678901234567890"),  # twenty digits and more are no number
    ],
)
def test_marks_are_redacted_inside_their_names(name, expected):
    start = from_twilio.Start(SID, custom_parameters={"a": "Alice", "b": "Bob Bü"})
    redaction = redacted(start, from_twilio.Dtmf(SID, "5"))
    assert redaction.redact_mark(name) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-28T17:39:35Z", "2026-11-28T17:39:35Z"),
        ("2026-11-28T17:39:35.123456+01:00", "2026-11-28T17:39:35.123456+01:00"),
        ("2026-11-28 17:39", "2026-11-28 17:39"),
        ("20261128T173935Z", "20261128T173935Z"),
        ("at 2026-11-28T17:39:35 4155550142", "at 2026-11-28T17:39:35 5550100001"),
        ("1985-03-12", "5010-00-01"),  # a birthday, or a number
        ("2026-13-28T17:39", "5010-00-01T17:39"),
        ("+2026-11-28 17:39", "+5550-10-00 01:39"),
        ("2026-11-28T17:39:4155550142", "5010-00-01T17:39:5550100002"),
    ],
)
def test_a_date_with_a_time_of_day_is_no_telephone_number(text, expected):
    assert redacted(from_twilio.Dtmf(SID, "28")).redact_text(text) == expected


def test_a_parameter_that_is_a_date_is_hidden_as_any_other():
    moment = "1985-03-12T00:00:00Z"
    redaction = redacted(from_twilio.Start(SID, custom_parameters={"born": moment}))
    assert redaction.redact_text(f"born {moment}") == "born redacted-1"


class StartOfTheFuture(from_twilio.Start):
    """A start with a field more than today's."""

    def to_json(self):
        content = json.loads(from_twilio.Start.to_json(self))
        content["start"]["startedAt"] = "2026-11-28T17:39:35Z"
        return json.dumps(content)


def test_the_formats_of_a_start_and_a_new_field_with_a_date_stay_as_they_are():
    start = StartOfTheFuture(SID, ACCOUNT, CALL, custom_parameters={"from": NUMBER})
    before = json.loads(start.to_json())["start"]
    after = json.loads(redacted(start).redact_message(start))["start"]
    assert [name for name in before if before[name] != after[name]] == [
        "accountSid", "streamSid", "callSid", "customParameters",
    ]  # fmt: skip


def test_keys_pressed_in_a_row_are_found_in_every_text_and_stay_different():
    redaction = redacted(*(from_twilio.Dtmf(SID, key) for key in "48215#"))
    assert redaction.redact_text("the pin is 4821, not 1284, on 17 May") == (
        "the pin is key-1, not 1284, on 17 May"
    )
    assert redaction.redact_mark("pin#4821") == "pin#key-1"
    assert [redaction.redact_mark(name) for name in ("4", "8", "9")] == ["key-2", "key-3", "9"]


def test_unknown_messages_hide_keys_numbers_and_values_of_any_form():
    message = unknown({
        "Digits": 4821, "dtmf": "77", "n": 14155550142.0, "share": 0.123456789,
        "customParameters": {"deep": {"name": "Alice"}, "list": ["Bob"]},
    })  # fmt: skip
    again = json.loads(redacted(message).redact_message(message))
    assert (again["Digits"], again["dtmf"], again["share"]) == (0, "00", 0.123456789)
    assert again["n"] == 15550100001.0
    assert again["customParameters"] == {"deep": {"name": "redacted-1"}, "list": ["redacted-2"]}


def test_odd_messages_are_redacted_whether_they_are_json_text_or_bytes():
    redaction = redacted(START)
    message = json.dumps({"event": "media", "streamSid": SID, "media": {"playload": "/+///w=="},
                          "to": NUMBER, "who": "Mrs. Alice Example"})  # fmt: skip
    expected = (
        '{"event":"media","streamSid":"MZ' + "0" * 31 + '1","media":{"playload":"/+///w=="},'
        '"to":"+15550100001","who":"redacted-1"}'
    )
    assert redaction.redact_odd(message) == expected
    assert redaction.redact_odd(message.encode()) == expected.encode()
    assert redaction.redact_odd(f"{{{CALL} tok_5f3a") == "{CA" + "0" * 31 + "1 redacted-2"
    assert redaction.redact_odd(b"\xff" + NUMBER.encode()) == b"\xff" + NUMBER.encode()
    assert redaction.redact_odd("[" * 100_000) == "[" * 100_000


def test_short_values_are_replaced_where_they_are_parameters_alone():
    redaction = redacted(from_twilio.Start(SID, custom_parameters={"language": "en"}))
    assert redaction.redact_mark("en") == "en"


def test_two_numbers_have_two_stand_ins_however_they_are_written():
    redaction = redacted()
    names = ["+14155550142", "+14155550143", "4155550142", "415 555 0143", "+441632960001"]
    stand_ins = [redaction.redact_text(name) for name in names]
    assert len(set(stand_ins)) == len(names)
    assert [redaction.redact_text(name) for name in names] == stand_ins
    assert all(len(a) == len(b) for a, b in zip(names, stand_ins, strict=True))


def test_very_many_numbers_still_have_one_stand_in_each():
    redaction = redacted()
    stand_ins = {redaction.redact_text(f"{10**12 + n}") for n in range(12_000)}
    assert len(stand_ins) == 12_000


NAMES = st.text(alphabet="ab+#@s0123456789 -().", max_size=24)


@settings(max_examples=150, deadline=None)
@given(st.lists(NAMES, unique=True, max_size=8))
def test_names_that_differ_stay_different(names):
    redaction = redacted()
    assert len({redaction.redact_mark(name) for name in names}) == len(names)


@settings(max_examples=80, deadline=None)
@given(st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20) | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner,
                                                                max_size=3),
    max_leaves=8,
))  # fmt: skip
def test_any_unknown_message_can_be_redacted(content):
    message = unknown({"content": content})
    again = json.loads(redacted(message).redact_message(message))
    assert again["event"] == "novelty"
    assert type(again["content"]) is type(content)
