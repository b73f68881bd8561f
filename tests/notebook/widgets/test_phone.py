"""The telephone without a browser: what its pages say, and what they are sent."""

from __future__ import annotations

import asyncio
import re
from base64 import b64decode, b64encode
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from websockets.asyncio.client import connect

from support.drawings import drawings_in
from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.audio.g711 import decode_ulaw
from twistream_kit.errors import WouldDeadlock
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.notebook.display.display import show_phone
from twistream_kit.notebook.plots.style import YOUR_COLOUR
from twistream_kit.notebook.widgets._socket import start_widget_socket
from twistream_kit.notebook.widgets.phone import PhoneWidget, draw_last_call
from twistream_kit.protocol.from_twilio import Dtmf
from twistream_kit.simulator.twilio import SimulatedTwilio

NUMBER = "+15550100001"
PROBE = b"\x01\x02\x03\x04"
VOICE = (3000 * np.sin(np.arange(160) * 2 * np.pi / 8)).astype("<i2")


class Desk:
    """A telephone that waits to be answered, its widget, and what the widget sends to pages."""

    def __init__(self, start, **options):
        self.twilio = start(SimulatedTwilio(ring_seconds=0.02))
        self.server = start(StreamServer())
        self.phone = self.twilio.phone(NUMBER, answer="manual")
        self.widget = self.show(**options)

    def show(self, **options):
        self.sent = []
        widget = PhoneWidget(self.phone, server=self.server, **options)
        widget.send = lambda content, buffers=None: self.sent.append((content, buffers))
        return widget

    def page_says(self, words, page="a"):
        self.widget._handle_custom_msg({"do": words, "page": page}, [])

    def page_speaks(self, number, page="a", samples=VOICE):
        content = {"number": number, "page": page}
        self.widget._handle_custom_msg(content, [memoryview(samples.tobytes())])

    def notes(self):
        return [content["text"] for content, _ in self.sent if content["type"] == "note"]

    def ring(self):
        call = place_call(
            self.twilio.client,
            to=NUMBER,
            from_=self.twilio.numbers[0],
            stream_url=self.server.stream_url,
        )
        self.phone.until("ringing").result(LIMIT_SECONDS)
        return call.result(LIMIT_SECONDS)

    def answered(self):
        call = self.ring()
        self.page_says("answer")
        return self.server.next_stream(call).result(LIMIT_SECONDS)


@pytest.fixture
def make_desk(background_loop):
    return lambda **options: Desk(background_loop.start, **options)


@pytest.fixture
def desk(make_desk):
    return make_desk(direct=False)


def test_it_shows_what_the_telephone_does(desk, until):
    assert desk.widget.call["state"] == "idle"
    desk.ring()
    until(lambda: desk.widget.call["state"] == "ringing")
    assert desk.widget.call["other"] == desk.twilio.numbers[0]
    desk.page_says("answer")
    until(lambda: desk.widget.call["state"] == "in-call")
    assert abs(desk.widget.call["at"] - desk.widget.call["since"]) < 5000
    desk.page_says("hang_up")
    until(lambda: desk.widget.call["state"] == "idle")
    assert desk.notes() == []


def test_it_shows_the_mailbox_and_the_keys_that_were_sent_to_it(desk, until):
    seen = []
    desk.widget.observe(lambda change: seen.append(change["new"]["mailbox"]), "call")
    greeting = Clip.tone(330, 0.1)
    desk.twilio.phone(NUMBER, "mailbox", greeting=greeting, silence_seconds=0.1)
    call = desk.twilio.client.calls.create(
        to=NUMBER,
        from_=desk.twilio.numbers[0],
        send_digits="42#",
        twiml="<Response><Pause length='9'/></Response>",
    )
    until(lambda: desk.widget.call["keys"] == "42#")
    until(lambda: desk.widget.call["state"] == "idle")
    said = [text for number, text in enumerate(seen) if text not in seen[:number]]
    assert said[0] in ("", "The mailbox says its greeting") or said[0].startswith("A mailbox: it")
    assert "The mailbox beeps" in said
    assert "The mailbox records" in said
    assert re.fullmatch(r"The mailbox has recorded 0\.\d s", said[-1])
    shown = draw_last_call(desk.phone, desk.twilio.calls.find(call.sid))
    assert "Keys heard" in shown
    assert "42#" in shown
    assert "Recorded" in shown
    assert "keys heard" in show_phone(desk.phone)


def test_a_mailbox_says_that_it_is_one_and_its_recording_is_sent_to_the_page_that_asks(desk, until):
    desk.twilio.phone(NUMBER, "mailbox", greeting=Clip.tone(330, 0.1), beep_hz=None)
    widget = desk.show(direct=False)
    assert widget.call["mailbox"].startswith("A mailbox: it answers calls by itself")
    seen = []
    widget.observe(lambda change: seen.append(change["new"]["of_machine"]), "call")
    desk.twilio.client.calls.create(
        to=NUMBER,
        from_=desk.twilio.numbers[0],
        twiml="<Response><Pause/><Say>one two</Say></Response>",
    )
    until(lambda: widget.call["state"] == "idle" and widget.call["recorded"] > 0)
    assert True in seen
    assert not widget.call["of_machine"]
    widget.pages.obey("recording", "a page")
    [answer] = [content for content, _ in desk.sent if content["type"] == "recording"]
    assert answer["page"] == "a page"
    wav = b64decode(answer["wav"])
    assert wav.startswith(b"RIFF")
    assert len(wav) == 44 + 2 * len(desk.phone.recorded.payload)


def test_a_telephone_without_a_mailbox_shows_neither(desk, until):
    desk.answered()
    assert (desk.widget.call["mailbox"], desk.widget.call["keys"]) == ("", "")
    desk.page_says("hang_up")
    until(lambda: desk.phone.call is None)
    shown = draw_last_call(desk.phone, desk.twilio.calls[0])
    assert "Keys heard" not in shown
    assert "Recorded" not in shown


def test_a_widget_that_is_closed_follows_the_news_no_more(desk):
    assert len(desk.phone.on_news) == 1
    desk.widget.close()
    assert desk.phone.on_news == []


def test_a_call_that_is_under_way_already_is_shown_and_heard(desk, until):
    stream = desk.answered()
    desk.widget = desk.show(direct=False)
    assert desk.widget.call["state"] == "in-call"
    desk.page_says("sound on")
    stream.play(Clip.tone(440, 1))
    until(lambda: any(content["type"] == "sound" for content, _ in desk.sent))


def test_a_key_becomes_dtmf(desk):
    stream = desk.answered()
    events = stream.events()
    desk.page_says("press 5")
    message = next(iter(events))
    assert isinstance(message, Dtmf)
    assert message.digit == "5"


def test_clear_clears_the_stream_of_the_phones_call(desk):
    stream = desk.answered()
    playing = stream.play(Clip.tone(440, 20))
    playing.heard(0.1).result(LIMIT_SECONDS)
    desk.page_says("clear")
    assert playing.result(LIMIT_SECONDS).ending == "cleared"


def test_clear_without_an_open_stream_says_so(desk):
    desk.page_says("clear")
    (note,) = desk.notes()
    assert note == (
        "There is nothing to clear: this call has no open stream. Give the phone its server: "
        "PhoneWidget(phone, server=server)."
    )


def test_one_stream_can_be_given_in_place_of_the_server(desk):
    stream = desk.answered()
    desk.widget = PhoneWidget(desk.phone, stream=stream, direct=False)
    assert desk.widget.can_clear
    playing = stream.play(Clip.tone(440, 20))
    desk.page_says("clear")
    assert playing.result(LIMIT_SECONDS).ending == "cleared"
    assert not PhoneWidget(desk.phone, direct=False).can_clear


def test_what_cannot_be_done_now_is_reported_in_a_sentence(desk):
    for words in ("answer", "hang_up", "press 5", "press x", "say nothing.wav", "dance"):
        desk.page_says(words)
    assert len(desk.notes()) == 6
    assert desk.notes()[0].startswith(f"{NUMBER} cannot be answered: it does not ring.")
    assert all(note.endswith((".", "know", "D", "say")) for note in desk.notes())


def test_sound_goes_to_the_page_that_asked_for_it_last_in_batches_of_100_ms(desk, until):
    stream = desk.answered()
    desk.page_says("sound on", page="a")
    stream.play(Clip.tone(440, 20))

    def batches(page):
        return [b for c, b in desk.sent if c["type"] == "sound" and c["page"] == page]

    until(lambda: len(batches("a")) >= 2)
    desk.page_says("sound on", page="b")
    until(lambda: len(batches("b")) >= 2)
    before = len(batches("a"))
    until(lambda: len(batches("b")) >= 5)
    assert len(batches("a")) == before
    assert {len(batch) for (batch,) in batches("a") + batches("b")} == {800}
    desk.page_says("sound off", page="a")
    assert desk.widget.pages.speaker == "b", "only who has the sound can give it back"
    desk.page_says("sound off", page="b")
    assert desk.widget.pages.speaker == ""


def test_nothing_is_sent_while_no_page_wants_sound(desk):
    stream = desk.answered()
    stream.play(Clip.tone(440, 0.4)).result(LIMIT_SECONDS)
    assert desk.sent == []


def test_the_microphone_of_that_page_becomes_the_callers_voice(desk):
    stream = desk.answered()
    desk.page_says("sound on", page="a")
    frames = stream.audio()
    for number in range(1, 9):
        desk.page_speaks(number)
        desk.page_speaks(number, page="b", samples=np.full(160, 12_000, "<i2"))
    heard = next(frame for frame in frames if frame.any())
    assert np.abs(heard - VOICE).max() <= (np.abs(VOICE).max() + 132) / 32
    assert desk.widget.pages.lost == 0


def test_messages_of_the_microphone_that_never_came_are_counted(desk):
    desk.answered()
    desk.page_says("sound on")
    for number in (5, 6, 9):
        desk.page_speaks(number)
    assert desk.widget.pages.lost == 2


def test_a_file_can_speak_where_there_is_no_microphone(make_desk):
    clip = Clip(Clip.tone(700, 0.2).payload, name="hello")
    desk = make_desk(direct=False, voices=[clip, "sample_audio/reply.wav"])
    assert desk.widget.voices == ["hello", "reply.wav"]
    stream = desk.answered()
    frames = stream.audio()
    desk.page_says("say hello")
    heard = next(frame for frame in frames if np.abs(frame).max() > 1000)
    assert heard.tobytes() in decode_ulaw(bytes(clip)).tobytes()


def test_a_file_that_cannot_be_read_is_reported_in_a_sentence(make_desk, tmp_path, until):
    path = tmp_path / "broken.wav"
    path.write_bytes(b"nothing")
    desk = make_desk(direct=False, voices=[path, tmp_path / "missing.wav"])
    desk.answered()
    desk.page_says("say broken.wav")
    desk.page_says("say missing.wav")
    until(lambda: len(desk.notes()) == 2)


def test_an_observer_of_the_earlier_widget_does_not_fail_the_new_one(make_desk, caplog):
    desk = make_desk(direct=False)
    earlier = desk.widget
    earlier.observe(lambda _change: 1 / 0, "is_retired")
    desk.widget = desk.show(direct=False)
    assert earlier.is_retired
    assert not desk.widget.is_retired
    assert "an earlier telephone could not be retired" in caplog.text


def test_showing_the_phone_anew_silences_the_widget_shown_before(desk, until):
    stream = desk.answered()
    earlier, sent = desk.widget, desk.sent
    desk.page_says("sound on")
    stream.play(Clip.tone(440, 20))
    until(lambda: len(sent) > 2)
    desk.widget = desk.show(direct=False)
    assert earlier.is_retired
    assert not desk.widget.is_retired
    desk.page_says("sound on")
    until(lambda: len(desk.sent) > 2)  # whatever was on its way to the earlier one is there
    before = len(sent)
    until(lambda: len(desk.sent) > 4)
    assert len(sent) == before
    desk.page_says("hang_up")
    until(lambda: desk.widget.call["state"] == "idle")
    assert earlier.call["state"] == "in-call", "it follows the telephone no more"


def test_a_closed_widget_leaves_the_call_alone(desk):
    stream = desk.answered()
    call = desk.phone.call
    desk.widget.close()
    desk.widget.close()
    assert desk.widget.pages not in [each.__self__ for each in call.handset.ear.on_frame]
    assert call.handset.mouth.live is None
    assert stream.play(Clip.tone(440, 0.1)).result(LIMIT_SECONDS).ending == "heard"


def test_after_the_call_its_handset_is_let_go(desk, until):
    desk.answered()
    handset = desk.phone.call.handset
    until(lambda: handset.mouth.live is desk.widget.pages.voice)
    desk.page_says("hang_up")
    until(lambda: handset.mouth.live is None and handset.ear.on_frame == [])


def test_it_survives_the_end_of_the_simulator(desk, background_loop, until):
    desk.answered()
    background_loop.stop()
    until(lambda: desk.widget.call["state"] == "idle")
    desk.page_says("press 1")
    assert len(desk.notes()) == 1


def test_a_page_says_where_it_is_and_is_welcomed(desk):
    desk.page_says("here", page="a")
    (welcome,) = desk.sent
    assert welcome == (
        {"type": "welcome", "page": "a", "takesBuffers": False},
        [b"\x01\x02\x03\x04"],
    )


async def test_over_the_socket_all_goes_both_ways(make_desk):
    desk = await asyncio.to_thread(make_desk)
    stream = await asyncio.to_thread(desk.answered)
    async with connect(desk.widget._address, origin="http://localhost:8888", proxy=None) as page:
        await page.send("here b")
        await page.send("sound on")
        frames = stream.audio()
        stream.play(Clip.tone(440, 20))
        numbers = []
        for _ in range(10):
            message = await soon(page.recv())
            assert len(message) == 164
            numbers.append(int.from_bytes(message[:4], "little"))
        assert numbers == list(range(1, 11))
        for number in range(1, 9):
            await page.send(number.to_bytes(4, "little") + VOICE.tobytes())
        await page.send(b"odd")
        async for frame in frames:
            if frame.any():
                break
        await page.send("hang_up")
        await desk.phone.until("idle")
        sent = [
            content["type"] for content, _ in desk.sent
        ]  # before the page goes, which is sent too
    assert sent == ["speaker"]


async def test_a_page_that_goes_takes_its_sound_with_it(make_desk, until):
    desk = await asyncio.to_thread(make_desk)
    await asyncio.to_thread(desk.answered)
    async with connect(desk.widget._address, origin="http://localhost:8888", proxy=None) as page:
        await page.send("here b")
        await page.send("sound on")
        await asyncio.to_thread(until, lambda: desk.widget.pages.speaker == "b")
    await asyncio.to_thread(until, lambda: desk.widget.pages.speaker == "")
    assert desk.phone.state == "in-call"


def test_a_page_that_goes_on_over_the_kernel_keeps_its_sound_when_its_socket_ends_later(make_desk):
    desk = make_desk()
    pages, socket = desk.widget.pages, SimpleNamespace(name="b")
    pages.handle_text(socket, "here b")
    pages.handle_text(socket, "sound on")
    desk.page_says("here b", page="b")
    desk.page_says("sound on", page="b")
    pages.remove_page(socket)
    assert pages.speaker == "b"
    desk.page_says("sound off", page="b")
    assert pages.speaker == ""


def test_without_a_widget_nothing_listens(background_loop, make_desk):
    desk = make_desk(direct=False)
    assert desk.widget._address == ""
    assert "the widgets' socket" not in background_loop.running()
    desk.show()
    assert "the widgets' socket" in background_loop.running()


def test_a_widget_made_after_a_stop_has_an_address_again(background_loop, make_desk):
    first = make_desk().widget._address
    background_loop.stop()
    second = make_desk().widget._address
    assert first != second
    assert str(start_widget_socket().port) in second


def test_a_page_that_gets_no_buffers_gets_and_sends_bytes_as_text(desk, until):
    stream = desk.answered()
    desk.widget._handle_custom_msg({"do": "here", "page": "a"}, [memoryview(PROBE)])
    desk.widget._handle_custom_msg({"do": "here", "page": "b"}, [])
    assert [content["takesBuffers"] for content, _ in desk.sent] == [True, False]
    desk.page_says("text", page="b")
    desk.page_says("sound on", page="b")
    stream.play(Clip.tone(440, 20))

    def batches():
        return [(c, b) for c, b in desk.sent if c["type"] == "sound"]

    until(lambda: len(batches()) >= 2)
    assert all(not buffers for _, buffers in batches())
    assert {len(b64decode(content["data"])) for content, _ in batches()} == {800}
    frames = stream.audio()
    for number in range(1, 9):
        data = b64encode(VOICE.tobytes()).decode()
        message = {"number": number, "page": "b", "data": data}
        desk.widget._handle_custom_msg(message, [])
    heard = next(frame for frame in frames if frame.any())
    assert np.abs(heard - VOICE).max() <= (np.abs(VOICE).max() + 132) / 32
    desk.widget._handle_custom_msg({"number": 9, "page": "b", "data": "?"}, [])
    desk.widget._handle_custom_msg({"do": "here", "page": "b"}, [memoryview(PROBE)])
    desk.sent.clear()
    until(lambda: batches())
    assert "data" not in batches()[0][0], "a page that is here anew has to say so anew"


def test_a_clip_that_is_added_can_be_said_and_is_still_there_when_the_phone_is_shown_anew(desk):
    clip = Clip(Clip.tone(700, 0.2).payload, name="hello")
    assert desk.widget.add_voice(clip) == "hello"
    assert desk.widget.add_voice(Clip(Clip.tone(500, 0.2).payload, name="hello")) == "hello (2)"
    assert desk.widget.add_voice(Clip.tone(500, 0.2)) == "500 Hz"
    assert desk.widget.voices[-3:] == ["hello", "hello (2)", "500 Hz"]
    with pytest.raises(TypeError, match=r"add_voice\(\) takes a Clip, not str"):
        desk.widget.add_voice("hello.wav")
    desk.widget = desk.show(direct=False)
    assert desk.widget.voices[-3:] == ["hello", "hello (2)", "500 Hz"]
    stream = desk.answered()
    frames = stream.audio()
    desk.page_says("say hello")
    heard = next(frame for frame in frames if np.abs(frame).max() > 1000)
    assert heard.tobytes() in decode_ulaw(bytes(clip)).tobytes()


def test_a_file_of_a_page_becomes_a_voice(desk, until):
    raw = Path("sample_audio/reply.wav").read_bytes()
    begin = {"id": "f", "do": "begin", "name": "answer.wav", "size": len(raw)}
    desk.widget._handle_custom_msg({"file": begin}, [memoryview(PROBE)])
    desk.widget._handle_custom_msg({"file": {"id": "f", "do": "piece"}}, [memoryview(raw)])
    until(lambda: desk.widget.voices[-1] == "answer")
    until(lambda: any("done" in content for content, _ in desk.sent))


def test_after_a_call_its_figures_and_what_was_heard_are_kept(desk, until):
    assert desk.widget._draw_last_picture() is None
    stream = desk.answered()
    stream.play(Clip.tone(440, 0.4)).result(LIMIT_SECONDS)
    desk.page_says("hang_up")
    until(lambda: desk.phone.state == "idle" and desk.phone.ended is not None)
    kept = desk.widget._draw_last_picture()
    words = (NUMBER, desk.twilio.numbers[0], "Called by", "Lasted", "Heard", "The callee hung up")
    assert [each for each in words if each not in kept] == []
    [(words, drawing)] = drawings_in(kept)
    assert words.startswith("What the telephone heard: ")
    assert f"stroke='{YOUR_COLOUR}'" in drawing
    until(lambda: desk.widget._has_last_picture)
    desk.answered()
    until(lambda: not desk.widget._has_last_picture)  # as another call has begun


def test_where_the_notebook_was_not_run_a_picture_stands(desk):
    bundle, _ = desk.widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert NUMBER in bundle["text/html"]
    [(words, drawing)] = drawings_in(bundle["text/html"])
    assert words.startswith(f"A telephone, {NUMBER}. Run the cell")
    assert all(f">{key}</text>" in drawing for key in "0123456789*#")
    assert desk.widget._address not in bundle["text/html"] or not desk.widget._address
    assert repr(desk.widget).startswith("<PhoneWidget of <Phone +15550100001")


def test_wrong_arguments_are_refused_in_words(desk):
    with pytest.raises(TypeError, match="PhoneWidget takes a Phone, not str"):
        PhoneWidget("+15550100001")
    with pytest.raises(TypeError, match="must be a StreamServer"):
        PhoneWidget(desk.phone, server="server")
    with pytest.raises(TypeError, match="next_stream"):
        PhoneWidget(desk.phone, stream="stream")
    with pytest.raises(TypeError, match=r"voices\[0\] is of type bytes, not Clip; kit"):
        PhoneWidget(desk.phone, voices=[b"abc"])
    assert not desk.widget.is_retired, "what was refused took nothing away"


def test_it_cannot_be_made_on_the_kits_own_loop(desk):
    async def make():
        return PhoneWidget(desk.phone)

    with pytest.raises(WouldDeadlock):
        asyncio.run_coroutine_threadsafe(make(), desk.twilio.loop).result(LIMIT_SECONDS)


IN_THE_KERNEL = """
import time
from twistream_kit.notebook.widgets.phone import PhoneWidget
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer())
phone = twilio.phone("+15550100001")
widget = PhoneWidget(phone, server=server)
call = kit.place_call(
    twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
).result(30)
stream = server.next_stream(call).result(30)
playing = stream.play(kit.Clip.tone(440, 20))
playing.heard(0.1).result(30)
ended = []
playing.add_done_callback(lambda done: ended.append("clear"))
phone.until("idle").add_done_callback(lambda done: ended.append("hang_up"))
limit = time.monotonic() + 30
"""


@pytest.mark.notebook
async def test_clear_and_hang_up_do_not_wait_for_the_running_cell(kernel):
    await asyncio.to_thread(kernel.run, IN_THE_KERNEL)
    address = await asyncio.to_thread(kernel.value, "widget._address")
    busy = kernel.begin(
        "print('begun', flush=True)\n"
        "while len(ended) < 2 and time.monotonic() < limit: time.sleep(0.02)\n"
        "in_the_cell = sorted(ended)"
    )

    def has_begun():
        return any(parent == busy for parent, _ in kernel.printed)

    await asyncio.to_thread(kernel.wait, has_begun, "beginning of the cell")
    async with connect(address, origin="http://localhost:8888", proxy=None) as page:
        await page.send("here a")
        await page.send("clear")
        await page.send("hang_up")
        await asyncio.to_thread(kernel.result_of, busy)
    assert await asyncio.to_thread(kernel.value, "in_the_cell") == ["clear", "hang_up"]
