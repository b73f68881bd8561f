"""Commands and their outcomes, with a far end that returns a mark only when asked to."""

import asyncio
import math
import re
import struct
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from support.waiting import LIMIT_SECONDS, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import LocalProtocolError, WouldDeadlock
from twistream_kit.live.stream import state as state_module
from twistream_kit.live.stream.stream import get_state
from twistream_kit.pending import Pending
from twistream_kit.protocol import from_twilio, to_twilio
from twistream_kit.protocol.marks import MarkOutcome, PlayOutcome

SECOND = b"\x00" * 8000
WAV = b"RIFF" + struct.pack("<I", 1000) + b"WAVEfmt " + bytes(100)


async def test_start_names_the_stream(serve, dial):
    server = await serve()
    end = await dial(server, lang="en", empty="")
    stream = await soon(server.next_stream())
    assert stream.stream_sid == end.stream_sid
    assert stream.call_sid == end.call_sid
    assert stream.account_sid == "AC" + "0" * 32
    assert stream.parameters == {"lang": "en", "empty": ""}
    assert stream.start == stream.capture.entries[0].message
    assert stream.start.media_format == from_twilio.MediaFormat()
    assert stream.is_open
    assert repr(stream) == f"<MediaStream {end.stream_sid}: open, call {end.call_sid}>"


NAMES_OF_A_STREAM = {
    *("play", "mark", "clear", "close", "audio", "events", "speak"),
    *("start", "stream_sid", "call_sid", "account_sid", "parameters", "capture", "newest"),
    *("is_open", "closed", "cause", "handler_error", "disconnect_reason"),
}
"""What a user is offered by completion; what our own code needs is behind `get_state`."""

CLOSED_HERE = "your server closed the connection (1000)"
NAMES_OF_A_PLAYING = {"heard", "heard_ms", "mark", "progress", "remark", "total_ms"}
NAMES_OF_A_SPEECH = {*NAMES_OF_A_PLAYING, "write", "end", "drained"}
NAMES_OF_A_READER = {"dropped"}


def names_in_the_overview(thing):
    """Return the names in the first column of the table of what `thing` has."""
    overview = Path(__file__).parents[3].joinpath("docs/OVERVIEW.md").read_text(encoding="utf-8")
    _, _, table = overview.partition(f"| `{thing}.` | |\n| --- | --- |\n")
    rows = [row.split("|")[1] for row in table.partition("\n\n")[0].splitlines()]
    return {name for row in rows for name in re.findall(r"`(\w+)", row)}


def public_names(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


async def test_a_user_is_offered_nothing_but_what_is_theirs(pair):
    stream, _ = await pair()
    playing = stream.play(SECOND)
    assert public_names(stream) == NAMES_OF_A_STREAM
    assert public_names(playing) - public_names(Pending) == NAMES_OF_A_PLAYING
    assert public_names(stream.speak()) - public_names(Pending) == NAMES_OF_A_SPEECH
    assert public_names(stream.audio()) == public_names(stream.events()) == NAMES_OF_A_READER


def test_the_overview_names_what_a_stream_has():
    assert names_in_the_overview("stream") == NAMES_OF_A_STREAM


async def test_sound_arrives_whole_in_frames_followed_by_its_mark(pair):
    stream, end = await pair()
    payload = bytes(range(256)) * 2
    stream.play(payload, mark="hello")
    (mark,) = await end.until(to_twilio.Mark)
    media = end.of(to_twilio.Media)
    assert b"".join(message.payload for message in media) == payload
    assert [len(message.payload) for message in media] == [160, 160, 160, 32]
    assert {message.stream_sid for message in [*media, mark]} == {stream.stream_sid}
    assert mark.name.startswith("hello")
    assert end.received[-1] is mark


async def test_playback_is_heard_when_its_mark_comes_back(pair):
    stream, end = await pair()
    playing = stream.play(Clip.tone(440, 0.5), mark="hello")
    (mark,) = await end.until(to_twilio.Mark)
    assert not playing.done()
    assert get_state(stream).has_queued
    await end.echo(mark.name)
    assert await soon(playing) == PlayOutcome("heard", 500, 500)
    assert playing.progress == 1
    assert not get_state(stream).has_queued


async def test_marks_of_one_name_are_distinguished(pair):
    stream, end = await pair()
    first, second = stream.mark("here"), stream.mark("here")
    names = [mark.name for mark in await end.until(to_twilio.Mark, 2)]
    assert len(set(names)) == 2
    await end.echo(names[0])
    outcome = await soon(first)
    assert (outcome.ending, outcome.name) == ("heard", "here")
    assert not second.done()


async def test_clear_silences_both_buffers_and_tells_so(pair):
    stream, end = await pair(send_ahead_seconds=1.0)
    playing = stream.play(SECOND * 60, mark="story")
    mark = stream.mark("after")
    await end.until(to_twilio.Media, 25)
    stream.clear()
    await end.until(to_twilio.Clear)
    names = [each.name for each in await end.until(to_twilio.Mark, 2)]
    after_clear = end.received[end.received.index(end.of(to_twilio.Clear)[0]) :]
    assert not [message for message in after_clear if isinstance(message, to_twilio.Media)]
    await end.echo(*names)
    outcome = await soon(playing)
    assert outcome.ending == "cleared"
    assert 0 <= outcome.heard_ms < 60_000
    assert (await soon(mark)).ending == "cleared"


async def test_clear_ends_an_unnamed_playback_that_was_not_sent_yet(pair):
    stream, end = await pair(send_ahead_seconds=1.0)
    stream.play(SECOND * 60)
    unsent = stream.play(SECOND)
    await end.until(to_twilio.Media, 25)
    stream.clear()
    assert await soon(unsent) == PlayOutcome("cleared", 0, 1000)


async def test_sound_is_sent_ahead_but_not_without_end(pair):
    stream, end = await pair(send_ahead_seconds=0.5)
    began = time.monotonic()
    stream.play(SECOND * 60)
    await end.until(to_twilio.Media, 25)
    await asyncio.sleep(0.05)  # sleeps: no more may come in it than the caller hears meanwhile
    came, heard_frames = len(end.of(to_twilio.Media)), (time.monotonic() - began) / 0.02
    assert 25 <= came <= 25 + heard_frames + 10


@pytest.mark.parametrize("sound", [WAV, bytearray(WAV), b"\xff" * 333 + WAV])
async def test_whole_wav_file_is_refused_in_the_face_of_the_caller(pair, sound):
    stream, end = await pair()
    with pytest.raises(LocalProtocolError):
        stream.play(sound)
    assert not get_state(stream).has_queued
    await stream.close(now=True)
    assert end.of(to_twilio.Media) == []


@pytest.mark.parametrize(
    "sound", ["greeting.wav", None, 5, np.zeros(160, np.int32), [1, 2]], ids=lambda s: type(s)
)
async def test_what_is_no_sound_is_refused(pair, sound):
    stream, _ = await pair()
    with pytest.raises(
        TypeError, match=r"give int16, or float|sound is bytes, or an array of int16"
    ):
        stream.play(sound)


@pytest.mark.parametrize("name", ["", None, 5, b"x"])
async def test_mark_without_a_proper_name_is_refused(pair, name):
    stream, _ = await pair()
    with pytest.raises(LocalProtocolError, match=r"mark\.name is"):
        stream.mark(name)
    if name is not None:
        with pytest.raises(LocalProtocolError, match=r"mark\.name is"):
            stream.play(SECOND, mark=name)


@pytest.mark.parametrize("sound", [b"", Clip(b""), memoryview(b"")], ids=["bytes", "clip", "view"])
async def test_nothing_is_heard_as_soon_as_its_mark_is_back(pair, sound):
    stream, end = await pair()
    playing = stream.play(sound)
    assert playing.total_ms == 0
    assert playing.progress == 0
    (mark,) = await end.until(to_twilio.Mark)
    assert end.of(to_twilio.Media) == []
    await end.echo(mark.name)
    assert await soon(playing) == PlayOutcome("heard", 0, 0)
    assert playing.progress == 1


async def test_bytes_changed_afterwards_do_not_change_what_is_played(pair):
    stream, end = await pair()
    sound = bytearray(b"\x01" * 160)
    stream.play(sound)
    sound[:] = b"\x02" * 160
    (media,) = await end.until(to_twilio.Media)
    assert media.payload == b"\x01" * 160


async def test_commands_from_a_thread_keep_their_order(pair, in_thread):
    stream, end = await pair()

    def talk():
        outcomes = [stream.play(bytes([n]) * 160, mark=f"part {n}") for n in range(20)]
        return [*outcomes, stream.mark("end")]

    pendings = await in_thread(talk)
    names = [mark.name for mark in await end.until(to_twilio.Mark, 21)]
    assert [m.payload[0] for m in end.of(to_twilio.Media)] == list(range(20))
    await end.echo(*names)
    endings = await in_thread(
        lambda: [pending.result(LIMIT_SECONDS).ending for pending in pendings]
    )
    assert endings == ["heard"] * 21


async def test_coroutine_on_another_loop_commands_and_awaits(pair, other_loop):
    stream, end = await pair()

    async def talk():
        playing = stream.play(SECOND[:160], mark="there")
        outcome = await playing
        return outcome, (await stream.mark("and there")).ending

    talking = asyncio.create_task(other_loop(talk()))
    await end.until(to_twilio.Mark)
    await end.echo()
    await end.until(to_twilio.Mark, 2)
    await end.echo()
    assert await talking == (PlayOutcome("heard", 20, 20), "heard")


async def test_result_on_the_loop_of_the_server_is_refused(pair):
    stream, end = await pair()
    playing = stream.play(SECOND)
    with pytest.raises(WouldDeadlock, match="Say `await` instead"):
        playing.result(5)
    await end.until(to_twilio.Mark)
    await end.echo()
    assert (await soon(playing)).ending == "heard"
    assert playing.result(5).ending == "heard"


async def test_waiter_that_gives_up_ends_only_its_own_wait(pair):
    stream, end = await pair()
    playing = stream.play(SECOND)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(playing, 0.01)
    assert not playing.cancel()
    await end.until(to_twilio.Mark)
    await end.echo()
    assert (await soon(playing)).ending == "heard"


async def test_play_after_the_end_is_lost_at_once_and_logged(pair, said):
    stream, end = await pair()
    await end.stop()
    await soon(stream.closed)
    assert not stream.is_open
    assert await soon(stream.play(SECOND)) == PlayOutcome("lost", 0, 1000)
    assert await soon(stream.mark("late")) == MarkOutcome("lost", "late", 0)
    stream.clear()
    assert sum("has ended or is closing; lost" in line for line in said()) == 1


def give_commands(stream):
    outcomes = [stream.play(SECOND), stream.play(Clip.tone(440, 1)), stream.speak()]
    stream.clear()
    return [*(repr(each) for each in outcomes), repr(stream.mark("late"))]


@pytest.mark.parametrize("ending", ["stopped", "closing", "closed"])
async def test_a_cell_sees_at_once_that_its_command_came_too_late(pair, ending):
    stream, end = await pair()
    why = "Twilio ended the stream: the call ended, or its TwiML was replaced"
    if ending == "stopped":  # its cause is still looked for
        get_state(stream).stop(time.monotonic())
    elif ending == "closing":
        playing, why = stream.play(SECOND), f"{CLOSED_HERE[:-7]}: close() had been called before"
        stream.close()
    else:
        await end.stop()
        await soon(stream.closed)
    assert not stream.is_open
    with ThreadPoolExecutor(1) as cell:
        seen = cell.submit(give_commands, stream).result(30)  # the loop carries out nothing
    for text in seen:
        assert "lost" in text
        assert why in text
        assert text.endswith(
            "; this stream has ended, server.next_stream() waits for the next call>>"
        )
    if ending == "closing":
        assert not playing.done()


async def test_play_after_the_stop_of_the_server_is_lost_at_once(serve, dial):
    server = await serve()
    await dial(server)
    stream = await soon(server.next_stream())
    await server.__aexit__(None, None, None)
    assert stream.play(SECOND).result(0) == PlayOutcome("lost", 0, 1000)
    assert stream.mark("late").result(0) == MarkOutcome("lost", "late", 0)
    assert stream.play(SECOND).heard(0.5).result(0) == 0
    stream.clear()
    assert stream.close().result(0).reason == "server stopped"
    assert stream.events().__class__.__name__ == "Reader"
    await server.__aenter__()


async def test_close_waits_until_what_is_queued_was_heard(pair):
    stream, end = await pair()
    playing = stream.play(SECOND)
    closing = stream.close()
    late = stream.play(SECOND)
    (mark,) = await end.until(to_twilio.Mark)
    assert (await soon(late)).ending == "lost"
    assert not closing.done()
    assert not stream.is_open
    await end.echo(mark.name)
    assert (await soon(playing)).ending == "heard"
    assert (await soon(closing)).reason == "closed"
    assert await end.close_code() == 1000
    assert stream.closed is closing


async def test_close_with_nothing_queued_closes_at_once(pair):
    stream, end = await pair()
    assert (await soon(stream.close())).reason == "closed"
    assert await end.close_code() == 1000
    assert repr(stream) == f"<MediaStream {stream.stream_sid}: ended, {CLOSED_HERE}>"


async def test_close_now_loses_what_was_not_heard(pair):
    stream, end = await pair()
    playing, mark = stream.play(SECOND), stream.mark("m")
    await end.until(to_twilio.Mark, 2)
    assert (await soon(stream.close(now=True))).reason == "closed"
    assert playing.result(0).ending == mark.result(0).ending == "lost"
    assert await end.close_code() == 1000


async def test_close_now_hurries_a_close_that_waits(pair):
    stream, end = await pair()
    playing = stream.play(SECOND * 100)
    closing = stream.close()
    await end.until(to_twilio.Media)
    assert not closing.done()
    stream.close(now=True)
    assert (await soon(closing)).reason == "closed"
    assert playing.result(0).ending == "lost"


async def test_close_waits_for_a_far_end_that_returns_no_mark_up_to_a_limit(pair, monkeypatch):
    monkeypatch.setattr(state_module, "CLOSE_MARGIN_SECONDS", 0.05)
    stream, end = await pair()
    playing = stream.play(b"\x00" * 160)
    assert (await soon(stream.close())).reason == "closed"
    assert playing.result(0).ending == "lost"
    assert await end.close_code() == 1000


async def test_closing_twice_is_once(pair):
    stream, _ = await pair()
    assert stream.close() is stream.close()
    await soon(stream.closed)
    assert (await soon(stream.close(now=True))).reason == "closed"


async def test_capture_holds_both_directions(pair):
    stream, end = await pair()
    playing = stream.play(b"\x10" * 320, mark="m")
    await end.until(to_twilio.Mark)
    await end.media(b"\x20" * 160)
    await end.echo()
    await soon(playing)
    await end.stop()
    await soon(stream.closed)
    messages = [entry.message for entry in stream.capture.entries]
    assert isinstance(messages[0], from_twilio.Start)
    assert [m.payload[0] for m in messages if isinstance(m, to_twilio.Media)] == [0x10, 0x10]
    assert [m.payload[0] for m in messages if isinstance(m, from_twilio.Media)] == [0x20]
    assert isinstance(messages[-1], from_twilio.Stop)


async def test_heard_waits_for_sound_and_not_longer(pair):
    stream, _ = await pair()
    playing = stream.play(SECOND * 60)
    heard = await soon(playing.heard(0.1))
    assert 0.1 <= heard < 60
    assert not playing.done()
    assert await soon(playing.heard(0)) >= heard


async def test_heard_longer_than_the_sound_ends_with_the_sound(pair):
    stream, end = await pair()
    playing = stream.play(SECOND[:800])
    heard = playing.heard(99)
    await end.until(to_twilio.Mark)
    await end.echo()
    assert await soon(heard) == pytest.approx(0.1)


async def test_heard_ends_with_a_clear(pair):
    stream, end = await pair()
    playing = stream.play(SECOND * 60)
    heard = playing.heard(59)
    await end.until(to_twilio.Mark)
    stream.clear()
    await end.until(to_twilio.Clear)
    await end.echo()
    assert await soon(heard) == playing.result(0).heard_ms / 1000 < 59
    assert await soon(playing.heard(59)) == playing.result(0).heard_ms / 1000


async def test_heard_of_a_lost_playback_is_what_was_heard(pair):
    stream, end = await pair()
    playing = stream.play(SECOND * 60)
    heard = playing.heard(60)
    await soon(playing.heard(0.05))
    end.vanish()
    assert 0.05 <= await soon(heard) < 60


@pytest.mark.parametrize("seconds", [-0.1, math.nan, math.inf, -math.inf])
async def test_heard_refuses_what_is_no_duration(pair, seconds):
    stream, _ = await pair()
    with pytest.raises(ValueError, match="heard\\(\\) takes a duration in seconds, 0 or more"):
        stream.play(SECOND).heard(seconds)


async def test_heard_is_waited_for_from_another_thread(pair, in_thread):
    stream, _ = await pair()
    playing = stream.play(SECOND)
    assert await in_thread(lambda: playing.heard(0.05).result(LIMIT_SECONDS)) >= 0.05


async def test_progress_never_goes_back(pair):
    stream, end = await pair()
    playing = stream.play(SECOND * 3)
    await soon(playing.heard(0.1))
    seen = [playing.heard_ms]
    # A progress mark so late that the model learns it had been too hopeful.
    await end.until(to_twilio.Mark)
    model = get_state(stream).conversation.model
    model._run_started -= 2.0
    seen.append(playing.heard_ms)
    model._run_started += 2.0
    seen.append(playing.heard_ms)
    stream.clear()
    await end.until(to_twilio.Clear)
    await end.echo()
    await soon(playing)
    seen.append(playing.heard_ms)
    assert seen == sorted(seen)
    assert 0 < playing.progress <= 1
