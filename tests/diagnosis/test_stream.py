"""What is said of a stream is the same wherever it is followed, and its sound is heard once."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter

import pytest

from support.captures import capture_of
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.load import load_clip
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.files import review_capture
from twistream_kit.diagnosis.sound import SoundReview
from twistream_kit.diagnosis.stream import CaptureReview, StreamReviewer
from twistream_kit.live.inspector.report import ConsoleReport
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.notebook.widgets.stream_log import StreamLog
from twistream_kit.pending import HomeLoop
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.stream.leg import StreamLeg

SID, OTHER = "MZ" + "0" * 32, "MZ" + "1" * 32
VOICE = load_clip("sample_audio/greeting.wav")
PCM16 = VOICE.samples()[:12000].astype("<i2").tobytes()
TAGGED = b"ID3\x04\x00\x00\x00\x00\x00\x10" + b"\x20" * 150
WAV = b"RIFF\x24\x00\x00\x00WAVEfmt \x10\x00\x00\x00\x01\x00\x01\x00" + b"\x40\x1f" * 70
GOOD = VOICE.frames()[20]


def dumped(**message):
    return json.dumps({"streamSid": SID} | message)


def media(payload, **changes):
    body = {"payload": b64encode(payload).decode()}
    return dumped(**{"event": "media", "media": body} | changes)


def mark(name="end", **changes):
    return dumped(event="mark", mark={"name": name}, **changes)


def pieces(payload):
    return [media(payload[at : at + 160]) for at in range(0, len(payload), 160)]


def in_time(messages, step=0.02):
    return [(message, 1.0 + number * step) for number, message in enumerate(messages)]


FAULTS = {
    "no JSON": [(str({"event": "clear"}), 1.0), ("{", 1.1), ("", 1.2)],
    "a list": [(f"[{mark()}]", 1.0)],
    "binary": [(b"\x7f" * 160, 1.0), (mark().encode(), 1.1)],
    "playload": in_time([dumped(event="media", media={"playload": "f39/fw=="})] * 3),
    "a WAV file under playload": [
        (dumped(event="media", media={"playload": b64encode(WAV).decode()}), 1.0)
    ],
    "broken base64": [(dumped(event="media", media={"payload": "f39/fw="}), 1.0)],
    "a WAV file": in_time([media(WAV)] * 2),
    "an MP3 file in pieces": in_time([media(TAGGED)] * 4),
    "PCM16": in_time(pieces(PCM16)),
    "PCM16 at once": [(media(PCM16), 1.0)],
    "PCM16 with its keys in another order": [
        (json.dumps(dict(reversed(json.loads(text).items()))), at)
        for text, at in in_time(pieces(PCM16))
    ],
    "another stream": [(media(GOOD, streamSid=OTHER), 1.0), (mark(streamSid=OTHER), 1.1)],
    "a call's SID": [(dumped(event="clear", streamSid="CA" + "0" * 32), 1.0)],
    "a mark without name": in_time([mark(""), mark("a"), mark("")]),
    "a mark with a number": [(dumped(event="mark", mark={"name": 7}), 1.0)],
    "a mark with a field too many": [(mark(track="outbound"), 1.0)],
    "media with a field too many, and a file in it": in_time([media(TAGGED, track="outbound")] * 2),
    "PCM16 with a field too many": [(media(PCM16, track="outbound"), 1.0)],
    "a field twice": [(f'{{"event":"mark","event":"clear","streamSid":"{SID}"}}', 1.0)],
    "capitals": [(media(GOOD, event="MEDIA"), 1.0)],
    "an event of Twilio's": [(dumped(event="dtmf", dtmf={"digit": "1"}), 1.0)],
    "an empty payload": [(media(b""), 1.0)],
    "silence": in_time([media(b"\xff" * 160)] * 200),
    "sent too slowly": in_time(pieces(VOICE.payload), 0.0213),
    "no whole frames": in_time([media(GOOD[:100])] * 8),
    "eleven minutes at once": [(media(Clip.tone(440, 60).payload), 1.0)] * 11,
    "bad ones among good ones at one time": [
        (text, 1.0)
        for text in (mark("a"), media(GOOD), media(TAGGED), "{", mark(""), mark(track="x"), mark())
    ],
}
"""Streams on which one thing is wrong: each message with the second at which it is sent."""


def simulate(sent, *, stop_at=99.0, extra_fields="execute"):
    """The simulator's half; return its objections and the capture that it makes."""
    leg = StreamLeg(
        stream_sid=SID,
        call_sid="CA1",
        account_sid="AC1",
        behaviour=Behaviour(extra_fields=extra_fields),
    )
    capture = Capture(SID, "CA1", 100.0)
    leg.on_message, leg.on_odd = capture.append, lambda text, now: capture.note_odd(now, text)
    for message in leg.begin():
        capture.append(message, 100.0)
    is_stopped = False
    for text, at in sent:
        if at >= stop_at and not is_stopped:
            is_stopped = True
            for message in leg.stop():
                capture.append(message, 100.0 + stop_at)
        leg.receive(text, 100.0 + at)
        leg.listen(100.0 + at)
    leg.finish(200.0)
    return leg.objections, capture


def inspect(sent, *, stop_at=99.0, begins=True):
    """An inspector's stream that has ended, with the log that stood beside it all the time."""
    stream = InspectedStream(HomeLoop("nobody"), 100.0)
    log = StreamLog(stream)
    stream.take("twilio", from_twilio.Connected().to_json(), 100.0)
    if begins:
        stream.take("twilio", from_twilio.Start(SID, "AC1", "CA1").to_json(), 100.0)
    is_stopped = False
    for number, (text, at) in enumerate(sent):
        if at >= stop_at and not is_stopped:
            is_stopped = True
            stream.take("twilio", from_twilio.Stop(SID).to_json(), 100.0 + stop_at)
        stream.take("server", text, 100.0 + at)
        if number % 3 == 0:
            log._update()
    stream.end(200.0, stopped_here=False)
    log._update()
    log.close()
    return stream, log


def shown_in(log):
    return {each["text"] for line in log.lines for each in line["objections"]}


def words(objections):
    return {str(each) for each in objections}


def reviewed(capture):
    return {str(each.objection) for each in review_capture(capture)}


def log_of(capture):
    log = StreamLog(capture)
    log.close()
    return log


@pytest.mark.parametrize("sent", FAULTS.values(), ids=FAULTS)
def test_simulator_inspector_log_and_capture_say_the_same_in_the_same_words(sent, tmp_path):
    simulated, of_simulator = simulate(sent)
    stream, log = inspect(sent)
    said = words(simulated)
    assert said
    assert words(stream.objections) == words(stream.times) == said
    assert shown_in(log) == said
    loaded = Capture.load(stream.capture.save(tmp_path / "call.jsonl", redact=False))
    for capture in (of_simulator, stream.capture, loaded):
        assert reviewed(capture) == said
        assert shown_in(log_of(capture)) == said
    assert Counter(map(str, simulated.elements())) == Counter(map(str, stream.times.elements()))


def test_all_faults_on_one_stream_are_the_same_in_the_same_words():
    sent = [message for name in FAULTS if "PCM16" not in name for message in FAULTS[name]]
    sent = [(text, 1.0 + number / 50) for number, (text, _) in enumerate(sent)]
    simulated, of_simulator = simulate(sent)
    stream, log = inspect(sent)
    said = words(simulated)
    assert len(said) >= 20
    assert words(stream.objections) == said == reviewed(of_simulator) == reviewed(stream.capture)
    assert shown_in(log) == said == shown_in(log_of(of_simulator))


def test_what_is_sent_behind_the_stop_is_read_by_nobody():
    sent = [(mark("a"), 1.0), (media(TAGGED), 3.0), ("{", 3.1), (media(WAV, streamSid=OTHER), 3.2)]
    simulated, of_simulator = simulate(sent, stop_at=2.0)
    stream, log = inspect(sent, stop_at=2.0)
    assert not simulated
    assert stream.objections == []
    assert shown_in(log) == reviewed(of_simulator) == reviewed(stream.capture) == set()


@pytest.mark.parametrize("begins", [True, False])
def test_what_is_sent_before_the_start_is_too_early_also_in_the_capture(begins):
    stream = InspectedStream(HomeLoop("nobody"), 100.0)
    stream.take("twilio", from_twilio.Connected().to_json(), 100.0)
    stream.take("server", media(TAGGED), 100.1)
    if begins:
        stream.take("twilio", from_twilio.Start(SID).to_json(), 100.2)
        stream.take("server", media(GOOD), 100.3)
    stream.end(101.0, stopped_here=False)
    said = words(stream.objections)
    assert any("before Twilio's start message" in each for each in said)
    assert reviewed(stream.capture) == shown_in(log_of(stream.capture)) == said


def test_the_log_beside_an_inspector_is_as_that_of_its_capture():
    sent = FAULTS["bad ones among good ones at one time"]
    stream, log = inspect(sent)
    lines = [line for line in log.lines if line["event"] not in ("connected", "start")]
    events = [line["event"] for line in lines]
    assert events == ["mark", "media", "invalid", "mark", "mark", "invalid", "mark"]
    assert lines[3]["text"] == to_twilio.Mark(SID, "").to_json()
    assert "is empty" in lines[3]["objections"][0]["text"]

    def rows(log):  # of one time, a capture does not say which of two kinds came first
        return sorted((line["event"], str(marked(line))) for line in log.lines)

    def marked(line):  # a capture writes the message anew, so the same field is elsewhere in it
        found = [dict(each) for each in line["objections"]]
        for each in found:
            if (place := each.get("place")) is not None:
                each["place"] = line["text"][slice(*place)].partition(":")[0]
        return found

    assert rows(log) == rows(log_of(stream.capture))
    assert log.media == log_of(stream.capture).media


@pytest.fixture
def heard(monkeypatch):
    """Which payloads were listened to by which review of sound."""
    heard = []
    sent = SoundReview.note_sent
    monkeypatch.setattr(
        SoundReview,
        "note_sent",
        lambda self, payload, *rest: heard.append((self, payload)) or sent(self, payload, *rest),
    )
    return heard


@pytest.mark.parametrize("name", [*FAULTS, "good"])
def test_each_stream_is_listened_to_once(heard, name):
    sent = FAULTS.get(name) or in_time(pieces(VOICE.payload))
    _, capture = simulate(sent)
    by_simulator = [payload for _, payload in heard]
    assert len({review for review, _ in heard}) <= 1
    heard.clear()
    stream, _ = inspect(sent)
    ConsoleReport(stream).read_last_lines()
    media_sent = [
        entry.message.payload
        for entry in stream.capture.entries
        if isinstance(entry.message, to_twilio.Media)
    ]
    assert [payload for _, payload in heard] == media_sent
    assert len({review for review, _ in heard}) <= 1
    assert by_simulator == media_sent
    for follow in (review_capture, log_of):
        heard.clear()
        follow(capture)
        assert [payload for _, payload in heard] == by_simulator
        assert len({review for review, _ in heard}) <= 1


def test_a_message_that_is_right_is_read_once_and_not_reviewed(monkeypatch):
    read = []
    parse = to_twilio.parse
    monkeypatch.setattr(to_twilio, "parse", lambda text: read.append(text) or parse(text))
    monkeypatch.setattr(
        "twistream_kit.diagnosis.stream.review_unheard", lambda *_, **__: pytest.fail("reviewed")
    )
    reviewer = StreamReviewer(SID)
    right = [to_twilio.Media(SID, GOOD), to_twilio.Mark(SID, "a"), to_twilio.Clear(SID)]
    texts = [message.to_json() for message in right]
    texts += [json.dumps(json.loads(text)) for text in texts]  # with Python's spaces
    for text in texts:
        taken = reviewer.take(text, 0.0)
        assert (taken.is_obeyed, taken.is_odd, list(taken.objections)) == (True, False, [])
    assert len(read) == len(texts)


def test_any_stream_will_do_where_none_is_named():
    reviewer = StreamReviewer()
    assert reviewer.take(mark(streamSid=OTHER), 0.0).is_obeyed
    assert reviewer.take(media(GOOD), 0.0).is_obeyed
    assert not reviewer.found


def test_a_field_too_many_costs_a_message_where_that_is_wanted():
    drops = StreamReviewer(SID, obeys_extra_fields=False)
    assert not drops.take(mark(track="x"), 0.0).is_obeyed
    obeys = StreamReviewer(SID)
    taken = obeys.take(media(TAGGED, track="x"), 0.0)
    assert (taken.is_obeyed, taken.is_odd, obeys.bad_media) == (True, True, 1)
    assert [each.code for each in taken.objections] == [None, 31951]


def test_where_extra_fields_cost_the_message_its_sound_is_examined_alone_in_the_same_words():
    sent = [(media(TAGGED, track="outbound"), 1.0)]
    dropped, capture = simulate(sent, extra_fields="drop")
    executed, _ = simulate(sent)
    assert words(dropped) == words(executed) == reviewed(capture)
    assert [entry for entry in capture.entries if entry.sender == "server"] == []


def test_the_same_mistake_is_new_once_and_counted_each_time():
    reviewer = StreamReviewer(SID)
    first, second = (reviewer.take(mark(streamSid=f"MZ{n:032x}"), 0.0) for n in (5, 6))
    assert len(first.new) == len(second.form) == 1
    assert second.new == []
    assert reviewer.found == {first.new[0]: 2}


def test_a_capture_that_grows_is_read_on_from_where_it_was():
    capture = capture_of(SID, (0.0, from_twilio.Start(SID)), (1.0, to_twilio.Mark(SID, "a")))
    review = CaptureReview(capture)
    assert [each.at for each, _ in review.read_new()] == [0.0, 1.0]
    assert list(review.read_new()) == []
    capture.append(to_twilio.Clear(OTHER), 2.0)
    capture.note_odd(2.5, "{")
    ((clear, wrong), (odd, _)) = review.read_new()
    assert (clear.message, odd.text) == (to_twilio.Clear(OTHER), "{")
    assert [each.code for each in wrong.new] == [31951]
    assert review.finish() == []
