"""The turns of a simulated call, measured at its ear; the server counts frames."""

from __future__ import annotations

import contextlib
import json
from base64 import b64encode
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.server import ServerConnection, serve

from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.diagnosis.turns import turns
from twistream_kit.errors import WrongState
from twistream_kit.live.server.server import StreamServer
from twistream_kit.simulator import caller
from twistream_kit.simulator.model.assumptions import INITIAL_BURST_FRAMES
from twistream_kit.simulator.report import CallReport
from twistream_kit.simulator.simulate_call import simulate_call

QUESTION = Clip.tone(300, 0.4)
STOP = Clip.tone(700, 0.2)
ANSWER = Clip.tone(440, 3.0)
FRAME_MS = 20


class Server:
    """A raw server that plays an answer, clears it, and closes, each with a media message.

    Args:
        answers: The numbers of the media messages with which it plays.
        clears: The numbers of those with which it clears.
        closes: The number of that with which it closes.
        speaks: The numbers of the first and the last with which it sends one frame of it.
    """

    def __init__(self, answers=(), clears=(), closes=None, speaks=(1, 0)) -> None:
        self.answers, self.clears, self.closes = answers, clears, closes
        self.speaks = range(speaks[0], speaks[1] + 1)
        self.url = ""

    async def __call__(self, connection: ServerConnection) -> None:
        number = 0
        with contextlib.suppress(Exception):
            async for text in connection:
                message = json.loads(text)
                if message["event"] != "media":
                    continue
                number += 1
                sid = message["streamSid"]
                if number in self.answers:
                    media = {"payload": b64encode(ANSWER.payload).decode()}
                    await send(connection, event="media", streamSid=sid, media=media)
                if number in self.speaks:
                    media = {"payload": b64encode(ANSWER.payload[:160]).decode()}
                    await send(connection, event="media", streamSid=sid, media=media)
                if number in self.clears:
                    await send(connection, event="clear", streamSid=sid)
                if number == self.closes:
                    return


async def send(connection: ServerConnection, **message) -> None:
    await connection.send(json.dumps(message))


@contextlib.asynccontextmanager
async def running(server: Server) -> AsyncIterator[Server]:
    async with serve(server, "127.0.0.1", 0) as listener:
        server.url = f"ws://127.0.0.1:{listener.sockets[0].getsockname()[1]}/"
        yield server


async def call(server: Server, *script, **options) -> CallReport:
    async with running(server):
        if script:
            options["script"] = script
        return await simulate_call(server.url, **options)


def message_of(frame: int) -> int:
    """Return the number of the media message that comes with a frame of the call, from 0."""
    return frame + INITIAL_BURST_FRAMES


@pytest.fixture
def interrupted() -> Server:
    """A server that answers 10 frames after a question in frames 0 to 19, and is cleared."""
    return Server(answers=[message_of(30)], clears=[message_of(90)])


async def test_turns_of_a_script_are_those_of_the_frames_that_were_heard(interrupted: Server):
    script = [caller.say(QUESTION), caller.wait(1.2), caller.say(STOP), caller.wait(0.5)]
    report = await call(interrupted, *script, caller.hang_up())
    # However late the machine is, the turns are those of what was heard and said, to the frame.
    heard = [n for n, frame in enumerate(report.heard.frames()) if frame.strip(b"\xff\x7f")]
    asked, stopped = (act for act in report.acts if act.kind == "say")
    assert asked.ends == pytest.approx(0.4)
    found = report.turns
    assert found.response_ms.values == (pytest.approx(heard[0] * FRAME_MS - 1000 * asked.ends),)
    gone_on = (heard[-1] + 1) * FRAME_MS - 1000 * stopped.begins
    assert found.barge_in_ms.values == (pytest.approx(gone_on),)
    assert [turn.ending for turn in found] == ["finished", "stopped", "finished"]


async def test_report_tells_its_turns_in_text_and_json(interrupted: Server):
    report = await call(interrupted, caller.say(QUESTION), caller.wait(1.2), caller.hang_up())
    assert f"response_ms {report.turns.response_ms.describe()}" in repr(report)
    assert report.to_dict()["turns"] == report.turns.to_dict()
    assert turns(report) == report.turns


async def test_turns_of_a_call_without_a_script_are_found_in_its_sound(interrupted: Server):
    report = await call(interrupted, say=QUESTION, seconds=2.0)
    assert report.turns[0].kind == "speech"
    assert report.turns[0].ends == pytest.approx(0.4, abs=0.06)
    assert not report.turns.is_estimate


async def test_last_words_are_cut_off_when_the_server_closes():
    server = Server(answers=[message_of(10)], closes=message_of(60))
    report = await call(server, caller.wait(LIMIT_SECONDS))
    assert report.turns.cut_off_ms > 0
    assert report.turns[-1].ending == "cut off"


async def test_sound_that_the_caller_hangs_up_on_is_not_cut_off():
    server = Server(answers=[message_of(10)])
    report = await call(server, caller.wait(1.0), caller.hang_up())
    assert report.lost_seconds > 0
    assert report.turns.cut_off_ms == 0
    assert report.turns[-1].ending == "call ended"


async def test_server_that_stops_for_a_cough_makes_a_false_barge_in():
    server = Server(answers=[message_of(10)], clears=[message_of(45)])
    cough = caller.interrupt(STOP, after=0.4, meant=False)
    report = await call(server, cough, caller.wait(0.5), caller.hang_up())
    found = report.turns
    assert found.false_barge_ins == 1
    assert [(turn.who, turn.kind) for turn in found] == [("server", "speech"), ("caller", "sound")]
    assert "stopped by a sound that was not meant to interrupt" in repr(report)


@pytest.mark.parametrize("meant", [True, False])
async def test_server_that_plays_to_the_end_of_its_clip_is_not_stopped(meant: bool):
    server = Server(answers=[message_of(10)])  # a tone, which ends abruptly
    interruption = caller.interrupt(STOP, after=2.0, meant=meant)
    report = await call(server, interruption, caller.wait(1.5), caller.hang_up())
    found = report.turns
    assert found[0].ending == "finished"
    assert found.false_barge_ins == 0
    assert [turn.is_stopped for turn in found if turn.who == "caller"] == [False if meant else None]
    assert turns(report.capture)[0].ending == "finished"


@pytest.mark.parametrize("meant", [True, False])
async def test_kit_server_that_ignores_the_caller_is_not_stopped(meant: bool):
    async def play(stream):
        stream.play(ANSWER)
        async for _ in stream.audio():
            pass

    async with StreamServer(play) as server:
        interruption = caller.interrupt(STOP, after=2.0, meant=meant)
        script = [interruption, caller.wait(1.5), caller.hang_up()]
        report = await simulate_call(server.url, script=script)
    assert report.turns[0].ending == "finished"
    assert report.turns.false_barge_ins == 0


async def test_server_that_stops_sending_was_stopped():
    server = Server(speaks=(message_of(10), message_of(90)))
    script = [caller.interrupt(STOP, after=1.0), caller.wait(1.5), caller.hang_up()]
    report = await call(server, *script)
    assert report.turns[0].ending == "stopped"
    assert report.turns[1].is_stopped


async def test_server_that_closes_while_it_is_interrupted_leaves_no_false_reason():
    server = Server(answers=[message_of(10)], closes=message_of(66))
    script = [caller.interrupt(QUESTION, after=1.0), caller.wait(LIMIT_SECONDS)]
    report = await call(server, *script)
    with pytest.raises(WrongState, match=r"the server closed \d+ ms after the caller began to int"):
        _ = report.turns.barge_in_ms.max
    assert [(turn.who, turn.ending) for turn in report.turns] == [
        ("server", "cut off"),
        ("caller", "call ended"),
    ]
