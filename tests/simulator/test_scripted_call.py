"""Calls in which the caller acts by a script, to a raw server that counts frames."""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import weakref
from base64 import b64decode, b64encode

import pytest
from websockets.asyncio.server import serve

from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import CallRefused, NoResultYet, WrongState
from twistream_kit.notebook.display.display import render_html
from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator import caller
from twistream_kit.simulator.model.assumptions import INITIAL_BURST_FRAMES, SILENT_FRAME
from twistream_kit.simulator.simulate_call import find_longest_seconds, simulate_call

QUESTION = Clip.tone(300, 0.4)
STOP = Clip.tone(700, 0.2)
ANSWER = Clip.tone(440, 0.6)

BACKLOG = INITIAL_BURST_FRAMES - 1
"""So many media messages come before that of the first frame of the call."""


class CountingServer:
    """A server that reads no clock: it plays a clip with the media message of a number.

    Args:
        clips: The clips by the number of the media message, from 1, that they answer.
        closes: The number of the media message with which it closes.
        keys: The clip that it plays for each key, after a clear.
    """

    def __init__(self, clips, closes=None, keys=None) -> None:
        self.clips, self.closes, self.keys = clips, closes, keys
        self.received = []
        self.url = ""

    async def __call__(self, connection):
        with contextlib.suppress(Exception):
            n_media = 0
            async for text in connection:
                message = json.loads(text)
                self.received.append(message)
                if message["event"] == "dtmf" and self.keys:
                    await self.send(connection, message, "clear")
                    await self.play(connection, message, self.keys)
                if message["event"] == "media":
                    n_media += 1
                    if n_media in self.clips:
                        await self.play(connection, message, self.clips[n_media])
                    if n_media == self.closes:
                        return

    async def play(self, connection, message, clip):
        media = {"payload": b64encode(clip.payload).decode()}
        await self.send(connection, message, "media", media=media)

    async def send(self, connection, message, event, **content):
        sid = message["streamSid"]
        await connection.send(json.dumps({"event": event, "streamSid": sid, **content}))

    def of(self, event):
        return [message for message in self.received if message["event"] == event]


@contextlib.asynccontextmanager
async def serving(clips, **options):
    server = CountingServer(clips, **options)
    async with serve(server, "127.0.0.1", 0, close_timeout=0.2) as running:
        server.url = f"ws://127.0.0.1:{running.sockets[0].getsockname()[1]}/media"
        yield server


CONVERSATION = [
    caller.listen(pause=0.5),
    caller.say(QUESTION),
    caller.interrupt(STOP, after=0.3),
    caller.press("1"),
    caller.listen(pause=0.5),
    caller.hang_up(),
]


async def test_a_conversation_goes_as_written():
    async with serving({10: Clip.tone(440, 0.5), 80: Clip.tone(440, 3)}, keys=ANSWER) as server:
        report = await soon(simulate_call(server.url, script=CONVERSATION))
        await eventually(lambda: server.of("stop"))  # it has read all that was sent
    assert report.ok, report
    assert [act.kind for act in report.acts] == [step.kind for step in CONVERSATION]
    assert report.ended == EndCause("caller-hung-up")
    assert [message["dtmf"]["digit"] for message in server.of("dtmf")] == ["1"]
    listened, said, interrupted, pressed, listened_again, hung_up = report.acts
    assert listened.outcome == "heard 0.50 s of speech, then a pause"
    assert (said.begins, said.clip) == (listened.ends, QUESTION)
    assert interrupted.outcome == "said 0.20 s, 0.30 s into the answer"
    assert pressed.begins == interrupted.ends
    assert listened_again.ok
    assert hung_up.begins == hung_up.ends == pytest.approx(report.heard.seconds)
    assert "script    6 steps, as written" in repr(report)
    assert repr(report).splitlines()[-6:] == [f"  {act!r}" for act in report.acts]
    html = render_html(report)
    assert "What the caller did" in html
    assert "said 0.20 s, 0.30 s into the answer" in html
    assert [act["kind"] for act in report.to_dict()["acts"]] == [s.kind for s in CONVERSATION]


async def test_the_acts_are_in_the_frames_of_the_callers_sound():
    async with serving({}) as server:
        script = [caller.wait(0.3), caller.say(QUESTION), caller.wait(0.1), caller.hang_up()]
        report = await soon(simulate_call(server.url, script=script, expect_silence=True))
        await eventually(lambda: server.of("stop"))  # it has read all that was sent
    assert (report.acts[1].begins, report.acts[1].ends) == (0.3, 0.7)
    sound = [b64decode(message["media"]["payload"]) for message in server.of("media")]
    spoken = sound[BACKLOG:]
    assert b"".join(spoken[15:35]) == QUESTION.payload
    assert {*spoken[:15], *spoken[35:]} == {SILENT_FRAME}
    assert len(spoken) == 40, "nothing is sent after hanging up"
    assert report.heard.seconds == 0.8


async def test_the_same_script_leads_to_the_same_frames():
    script = caller.Script([caller.wait(caller.vary(0.1, 0.3)), *CONVERSATION], seed=3)
    reports = []
    async with serving({10: Clip.tone(440, 0.5), 80: Clip.tone(440, 3)}, keys=ANSWER) as server:
        # A machine that stands still for a frame delays an answer of the server by one.
        while len(reports) < 8 and not is_repeated(reports):
            reports.append(await soon(simulate_call(server.url, script=script)))
        other = await soon(simulate_call(server.url, script=script, seed=5))
    assert is_repeated(reports)
    assert other.acts[0].ends != reports[0].acts[0].ends


def is_repeated(reports):
    """Whether the newest call went exactly as one before it."""
    newest = [(report.acts, report.heard) for report in reports[-1:]]
    return any((report.acts, report.heard) in newest for report in reports[:-1])


async def test_without_hanging_up_the_caller_listens_until_both_are_silent(monkeypatch):
    monkeypatch.setattr("twistream_kit.simulator.simulate_call.QUIET_SECONDS", 0.5)
    async with serving({30: Clip.tone(440, 0.3)}) as server:
        report = await soon(simulate_call(server.url, script=[caller.say(QUESTION)]))
    assert report.quiet_seconds == 0.5
    assert report.sound_seconds == pytest.approx(0.3, abs=0.021)
    assert report.ok, report


async def test_a_limit_that_passes_is_an_objection_of_the_report():
    async with serving({1: STOP}) as server:
        script = [caller.wait(1), caller.listen(pause=0.4, limit=0.5), caller.hang_up()]
        report = await soon(simulate_call(server.url, script=script))
    assert not report.ok
    [objection] = report.objections
    assert objection.problem == "heard nothing within 0.5 s"
    assert "3 steps, of which step 2 (listen) did not go as written" in repr(report)


async def test_expectations_are_asked_after_the_call_on_another_thread():
    asked = []

    def expect(heard):
        asked.append((threading.get_ident(), heard.seconds))
        asyncio.run(asyncio.sleep(0))  # sleeps: not at all; there is no loop on this thread
        return heard.seconds > 60

    async with serving({1: STOP}) as server:
        script = [caller.listen(pause=0.5, expect=expect), caller.hang_up()]
        report = await soon(simulate_call(server.url, script=script))
    [(thread, seconds)] = asked
    assert thread != threading.get_ident()
    assert seconds == report.acts[0].ends
    assert not report.ok
    assert "expect() returned False" in repr(report)


async def test_a_server_that_closes_ends_the_script_in_words():
    async with serving({1: STOP}, closes=30) as server:
        report = await soon(simulate_call(server.url, script=[*CONVERSATION[:2]]))
    assert report.ending == "server-closed"
    assert [act.ok for act in report.acts] == [True, False]
    assert report.acts[1].objection in report.objections


async def test_the_length_of_the_call_ends_the_script_too():
    async with serving({1: STOP}) as server:
        report = await soon(simulate_call(server.url, script=[caller.wait(60)], seconds=0.5))
    act = report.acts[0]
    assert report.verdict.startswith(
        "ok, but step 1 of the script (wait) was cut off, for 60 s were more than was left"
    )
    assert act.outcome.endswith(" s of 60.00 s, then the call ended")
    assert act.objection.fix == "Give the call a longer seconds=, or leave it out"
    assert act.ends == pytest.approx(report.heard.seconds)
    assert report.ok, report


async def test_a_server_that_hangs_up_before_the_script_is_over_is_objected_to():
    script = [caller.say(STOP), caller.wait(5), caller.listen(), caller.say(STOP), caller.hang_up()]
    async with serving({1: STOP}, closes=BACKLOG + 30) as server:
        report = await soon(simulate_call(server.url, script=script))
    assert (report.ok, report.close_code) == (False, 1000)
    assert [act.ok for act in report.acts] == [True, False, True, True, True]
    assert "Look at who ended the call" in str(report.acts[1].objection)
    assert (
        "script    5 steps, of which step 2 (wait) did not go as written, and 3 were not begun"
    ) in repr(report)
    assert report.to_junit(response_ms=5).count("<testcase") > 1
    with pytest.raises(TypeError, match="respons_ms"):
        report.to_junit(respons_ms=5)


async def test_a_wait_in_vain_says_when_the_call_ends_by_itself():
    async with serving({}) as server:
        calling = simulate_call(server.url, script=[caller.wait(0.5), caller.hang_up()])
        with pytest.raises(NoResultYet, match="; it ends by itself after 61 s at the latest"):
            calling.result(0)
        await soon(calling)


async def test_a_report_of_a_script_waits_for_no_garbage_collection(eventually):
    async with serving({1: STOP}) as server:
        for script in (CONVERSATION[-1:], [caller.wait(60)]):
            report = await soon(simulate_call(server.url, script=script, seconds=0.3))
            kept = weakref.ref(report.capture)
            del report
            await eventually(lambda kept=kept: kept() is None)


@pytest.mark.parametrize(
    ("arguments", "error", "said"),
    [
        ({"script": CONVERSATION, "say": STOP}, ValueError, "make say= and press= steps of it"),
        ({"script": CONVERSATION, "press": "1"}, ValueError, "make say= and press= steps of it"),
        ({"seed": 1}, ValueError, "there is no script whose chances it decides"),
        ({"script": 5}, TypeError, "script is 5; give a list of steps"),
        ({"script": "none.toml"}, caller.ScriptError, "none.toml: cannot be read"),
    ],
)
def test_what_is_not_taken_is_refused_before_the_call(arguments, error, said):
    with pytest.raises(error, match=said):
        simulate_call("ws://127.0.0.1:9/media", **arguments)


# A telephone of a simulated Twilio


@pytest.fixture
async def in_call(twilio, place, media, eventually):
    """A phone, connected to a media server."""
    phone = twilio.phone("+15550100001")
    await place(media.connect())
    await eventually(lambda: media.of("media"))
    return phone


async def test_a_phone_plays_a_script_and_the_call_goes_on(in_call, media):
    script = [caller.say(QUESTION), caller.press("12"), caller.wait(0.1)]
    acts = await soon(in_call.play_script(script))
    assert [act.outcome for act in acts] == ["said 0.40 s", "pressed 12", "waited 0.10 s"]
    assert acts[0].begins > 0, "since the call was answered"
    assert acts[0].ends == pytest.approx(acts[0].begins + 0.4)
    assert in_call.state == "in-call"
    await eventually(lambda: len(media.of("dtmf")) >= 2)
    assert [message["dtmf"]["digit"] for message in media.of("dtmf")] == ["1", "2"]
    assert (await soon(in_call.play_script([caller.wait(0.1)])))[0].ok, "and another one"


async def test_a_phone_hears_the_answer_and_hangs_up(in_call, media):
    playing = in_call.play_script([caller.listen(pause=0.5), caller.hang_up()])
    await media.say(Clip.tone(440, 0.5).payload, mark="done")
    acts = await soon(playing)
    assert [act.outcome for act in acts] == ["heard 0.50 s of speech, then a pause", "hung up"]
    assert await soon(in_call.until("idle")) == "idle"
    assert in_call.ended == EndCause("callee-hung-up")
    assert acts[1].ends == pytest.approx(in_call.heard.seconds)


async def test_a_phone_asks_expectations_on_another_thread(in_call, media):
    asked = []

    def expect(heard):
        asked.append(threading.get_ident())
        return False

    acts = await soon(in_call.play_script([caller.wait(0.1, expect=expect)]))
    assert asked != [threading.get_ident()]
    assert len(asked) == 1
    assert acts[0].objection.severity == "error"


async def test_the_end_of_the_call_ends_the_script_of_a_phone(in_call):
    playing = in_call.play_script([caller.say(Clip.silence(30)), caller.press("1")])
    in_call.hang_up()
    acts = await soon(playing)
    assert [act.ok for act in acts] == [False, True]
    assert acts[1].outcome == "not begun: the call ended"


async def test_a_phone_plays_one_script_at_a_time_and_only_in_a_call(in_call, twilio):
    first = in_call.play_script([caller.wait(LIMIT_SECONDS)])
    with pytest.raises(WrongState, match="plays a script already"):
        await soon(in_call.play_script([caller.wait(0.1)]))
    in_call.hang_up()
    assert "the call ended" in (await soon(first))[0].outcome
    with pytest.raises(CallRefused, match=r"nobody hears \+15550100002 play a script"):
        twilio.phone("+15550100002").play_script([caller.wait(0.1)])
    with pytest.raises(caller.ScriptError, match=r"none\.toml"):
        in_call.play_script("none.toml")


@pytest.mark.parametrize(
    ("options", "seconds"),
    [
        ({}, 60),
        ({"seconds": 5}, 5),
        ({"script": [caller.listen(limit=20), caller.wait(5)]}, 85),
        ({"script": [caller.listen(limit=20)], "seconds": 5}, 5),
        ({"script": [caller.wait(14_400)]}, 14_400),
    ],
)
def test_the_longest_call_has_time_for_each_step_and_for_listening_after_it(options, seconds):
    assert find_longest_seconds(options) == seconds
