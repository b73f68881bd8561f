"""What each fault does to a server.

A fault is a function that does it and returns what was seen, in a sentence; it raises `NotSurvived`
if the server does not survive.  It looks at what the server does *after* the fault: sound from
before says nothing.  Afterwards `_fault_run` makes an ordinary call.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from twistream_kit.protocol import from_twilio
from twistream_kit.simulator._fault_ordinary import is_meant
from twistream_kit.simulator._fault_scene import NEXT_CALL_SECONDS, SETTLE_SECONDS, FaultScene
from twistream_kit.simulator._fault_stream import FaultyStream
from twistream_kit.simulator._fault_streams import CannotTry, EndedBefore, NotSurvived

HALF_OPEN_SECONDS = 30.0
"""How long a connection stays half open, and how long a server has to end after a bare `stop`."""

GAP_SECONDS = 0.25
"""The gaps between frames; 233 ms were seen (§10 row 20)."""

BURST = "0123456789" * 2
"""Keys that come at once; neither * nor #, by which menus are left."""

MARK_PATIENCE_SECONDS = 8.0
"""A server that waits for a mark may do so for the sound before it, and 5 s more."""


async def _begin(
    scene: FaultScene,
    seconds: float,
    *,
    prepare: Callable[[FaultyStream], None] | None = None,
    keeps_marks: bool = False,
) -> FaultyStream:
    """Open a stream, and let it go on until the fault.

    Raises:
        EndedBefore: If the server ends it, which a fault that has not come cannot be the cause of.
        NotSurvived: If it ends otherwise.
    """
    stream = await scene.open(prepare=prepare, keeps_marks=keeps_marks)
    if not await scene.wait_open(stream, seconds):
        ending = stream.ending
        if ending is not None and ending.reason == "server-closed" and is_meant(ending.close_code):
            raise EndedBefore(
                f"The server closed with {ending.close_code} {stream.seconds:.1f} s after the "
                "start, before the fault."
            )
        scene.require_no_end(stream, "before the fault")
    return stream


async def leave_half_open(scene: FaultScene) -> str:
    """Neither send nor read, and break the connection later."""
    stream = await _begin(scene, scene.talk_seconds, prepare=_make_narrow)
    stream.set_mute()
    seconds = HALF_OPEN_SECONDS * scene.scale
    doing = f"while a connection was half open for {seconds:.1f} s"
    await scene.require_other_call(doing)
    await scene.wait_open(stream, seconds)
    await scene.require_other_call(doing)
    stream.client.read_on()
    closed = await scene.wait_until(lambda: stream.ending is not None, 0.1)
    stream.client.abort()
    how = "the server had ended it by then" if closed else "then it broke with 1006"
    return f"Half open for {seconds:.1f} s, and {how}; other calls worked meanwhile."


def _make_narrow(stream: FaultyStream) -> None:
    """Let what is not read fill the buffers of the server, as it does over the network."""
    stream.client.is_narrow = True


async def stop_without_close(scene: FaultScene) -> str:
    """Send *stop*, and no Close frame behind it."""
    stream = await _begin(scene, scene.talk_seconds)
    stream.stop_beat()
    stream.client.send(stream.leg.stop())
    limit = max(2.0, HALF_OPEN_SECONDS * scene.scale)
    if not await scene.wait_until(lambda: stream.ending is not None, limit):
        raise NotSurvived(
            f"{limit:.0f} s after the stop message, without a Close frame, the connection was "
            "still open."
        )
    if not scene.breaks_at_end(stream):
        scene.require_no_end(stream, "after a stop message without a Close frame", may_close=True)
    return "The server closed the connection by itself after the stop message."


async def end_abruptly(scene: FaultScene) -> str:
    """Break the connection in mid-call."""
    stream = await _begin(scene, scene.talk_seconds)
    stream.client.abort()
    await scene.wait_until(lambda: stream.ending is not None, 1.0)
    return f"The connection broke {scene.talk_seconds:.1f} s after the start."


async def send_no_media(scene: FaultScene) -> str:
    """Send no media for a while; then send some again."""

    def drop_media(stream: FaultyStream) -> None:
        stream.client.drops_media = True

    stream = await scene.open(prepare=drop_media)
    seconds = max(0.3, 5 * scene.scale)
    doing = "while no media came"
    if not await scene.wait_open(stream, seconds):
        scene.require_no_end(stream, doing, may_close=True)
        return f"The server ended a stream without media after {stream.seconds:.1f} s."
    usual = None if stream.first_audible_at else await scene.find_sound_to_silence()
    if usual is not None:
        limit = max(seconds, usual + NEXT_CALL_SECONDS)
        if not await scene.wait_until(
            lambda: stream.first_audible_at is not None or stream.ending is not None, limit
        ):
            raise NotSurvived(
                f"{doing}, no sound came within {limit:.1f} s; in a call whose caller says nothing "
                f"it came after {usual:.1f} s."
            )
    if stream.ending is None:
        stream.client.drops_media = False
        await scene.require_sound_now(stream, f"after {seconds:.1f} s without media")
    how = await scene.hang_up(stream, f"after {seconds:.1f} s without media")
    return f"No media for {seconds:.1f} s, and then some; {how}."


async def stop_twice(scene: FaultScene) -> str:
    """Send *stop* three times."""
    stream = await _begin(scene, scene.talk_seconds)
    stream.stop_beat()
    stream.client.send([*stream.leg.stop(), stream.leg.take_stop()])
    await scene.wait_open(stream, 0.3)
    stream.client.send([stream.leg.take_stop()])
    await scene.wait_open(stream, 0.1)
    if scene.breaks_at_end(stream):
        return "After three stop messages the connection broke, as in an ordinary call."
    return f"After three stop messages {await scene.hang_up(stream, 'after stop twice')}."


async def open_second_stream(scene: FaultScene) -> str:
    """Open a second stream of a call while the first lasts, and let it outlive that one."""
    first = await scene.open()
    await scene.require_answer(first, "on the first stream")
    second = await scene.open(call_sid=first.leg.call_sid)
    await scene.require_answer(second, "on a second stream of the same call")
    for _ in range(2):
        await scene.wait_open(first, scene.talk_seconds / 2)
        scene.require_own_sids()
    doing = "while two streams of one call were open"
    scene.require_no_end(first, doing, may_close=True)
    scene.require_no_end(second, doing)
    await scene.require_sound_now(first, f"on the first, {doing}")
    await scene.require_sound_now(second, f"on the second, {doing}")
    await scene.hang_up(first, "of the first of two streams of a call")
    doing = "after the first of two streams had ended"
    await scene.require_open(second, scene.talk_seconds / 2, doing)
    await scene.require_sound_now(second, f"on the second, {doing}")
    scene.require_own_sids()
    how = await scene.hang_up(second, "of the second of two streams of a call")
    return f"Both streams of one call were served, each with its own streamSid; {how}."


async def press_many_keys(scene: FaultScene) -> str:
    """Press twenty keys at once."""
    stream = await _begin(scene, scene.talk_seconds / 2)
    for key in BURST:
        stream.client.press(key)
    doing = f"after {len(BURST)} keys at once"
    if not await scene.wait_open(stream, scene.talk_seconds):
        scene.require_no_end(stream, doing, may_close=True)
        code = stream.ending.close_code if stream.ending else 0
        return f"The server ended the stream with {code} {doing}, as if a key asked for it."
    await scene.require_sound_now(stream, doing, act=_press_one_by_one)
    return f"{len(BURST)} keys came at once; {await scene.hang_up(stream, doing)}."


async def _press_one_by_one(stream: FaultyStream) -> None:
    """Press each of the keys once, as a finger does: one of them may ask the server to be quiet."""
    for key in sorted(set(BURST)):
        stream.client.press(key)
        await asyncio.sleep(0.1)


async def keep_marks(scene: FaultScene) -> str:
    """Return no mark."""
    stream = await scene.open(keeps_marks=True)
    await scene.require_answer(stream, "before a mark was missing")
    doing = "while its marks did not come back"
    if not await scene.wait_open(stream, scene.talk_seconds * 2):
        scene.require_no_end(stream, doing, may_close=True)
        return f"The server ended the stream after {stream.seconds:.1f} s {doing}."
    if scene.ordinary.sends_marks:
        # Also a server that waits for them with a limit goes on at some time.
        await scene.require_sound_now(stream, doing, patience=MARK_PATIENCE_SECONDS)
    how = await scene.hang_up(stream, doing)
    if not stream.marks:
        return f"The server sent no mark in {scene.talk_seconds * 2:.1f} s; {how}."
    marks = "1 mark was" if stream.marks == 1 else f"{stream.marks} marks were"
    return f"{marks} not returned; {how}."


async def leave_gaps(scene: FaultScene) -> str:
    """Send nothing for 250 ms, several times, and then all of it at once."""
    stream = await _begin(scene, scene.talk_seconds / 4)
    count = max(2, round(6 * min(1.0, scene.scale)))
    doing = f"in {count} gaps of {GAP_SECONDS * 1000:.0f} ms"
    for _ in range(count):
        stream.keep_frames()
        await scene.require_open(stream, GAP_SECONDS, doing)
        stream.send_frames()
        await scene.require_open(stream, scene.talk_seconds / 4, doing)
    doing = f"after {count} gaps of {GAP_SECONDS * 1000:.0f} ms"
    await scene.require_sound_now(stream, doing)
    how = await scene.hang_up(stream, doing)
    return f"{count} gaps of {GAP_SECONDS * 1000:.0f} ms, each made up in one burst; {how}."


async def send_unknown_events(scene: FaultScene) -> str:
    """Send events that no version of today has."""
    stream = await _begin(scene, SETTLE_SECONDS)
    leg = stream.leg
    sid = {"streamSid": leg.stream_sid}
    events: list[dict[str, object]] = [
        {"event": "quality", **sid, "sequenceNumber": leg.take_sequence(), "quality": {"mos": "4"}},
        {"event": "speech", **sid, "sequenceNumber": leg.take_sequence()},
        {"event": "notice", "notice": ["a", "list"]},
    ]
    for event in events:
        stream.client.send_text(json.dumps(event, separators=(",", ":")))
    doing = f"after {len(events)} events that no version of today has"
    await scene.require_open(stream, scene.talk_seconds, doing)
    await scene.require_answer(stream, doing)
    await scene.require_sound_now(stream, doing)
    return f"{len(events)} unknown events; {await scene.hang_up(stream, doing)}."


async def send_unknown_fields(scene: FaultScene) -> str:
    """Add fields to every message that no version of today has."""

    def add_fields(stream: FaultyStream) -> None:
        stream.client.rewrite = _add_fields

    stream = await scene.open(prepare=add_fields)
    doing = "with fields in every message that no version of today has"
    await scene.require_open(stream, scene.talk_seconds, doing)
    await scene.require_answer(stream, doing)
    await scene.require_sound_now(stream, doing)
    how = await scene.hang_up(stream, doing)
    return f"Unknown fields in every message, and another version in the first; {how}."


def _add_fields(message: from_twilio.Message) -> str:
    read = json.loads(message.to_json())
    body = read.get(read["event"])
    if isinstance(body, dict):
        body["region"] = {"edge": "ashburn"}
        if isinstance(body.get("mediaFormat"), dict):
            body["mediaFormat"]["bitDepth"] = 8
    if read["event"] == "connected":
        read["version"] = "2.0.0"
    return json.dumps({**read, "traceId": "0af7651916cd43dd"}, separators=(",", ":"))


async def read_slowly(scene: FaultScene) -> str:
    """Read nothing for a while, and then all that has come."""
    stream = await scene.open(prepare=_make_narrow)
    await scene.require_answer(stream, "before Twilio's side read slowly")
    stream.client.stop_reading()
    seconds = max(0.3, 5 * scene.scale)
    doing = f"while nothing was read from a stream for {seconds:.1f} s"
    await scene.require_other_call(doing)
    await scene.wait_open(stream, seconds)
    await scene.require_other_call(doing)
    stream.client.read_on()
    await scene.wait_open(stream, scene.talk_seconds / 2)
    scene.require_no_end(stream, doing)
    await scene.require_sound_now(stream, f"after nothing was read for {seconds:.1f} s")
    how = await scene.hang_up(stream, doing)
    return f"Nothing was read for {seconds:.1f} s, and another call worked meanwhile; {how}."


async def hang_up_before_connected(scene: FaultScene) -> str:
    """End the stream right after the handshake."""
    stream = await scene.open(opening="nothing")
    how = await scene.hang_up(stream, "after a Close frame without any message")
    return f"Closed right after the handshake; {how}."


async def hang_up_after_connected(scene: FaultScene) -> str:
    """End the stream behind *connected*."""
    stream = await scene.open(opening="connected")
    how = await scene.hang_up(stream, "after a Close frame behind connected")
    return f"Closed after connected, without start; {how}."


async def hang_up_after_start(scene: FaultScene) -> str:
    """End the stream behind *start*."""
    stream = await scene.open()
    how = await scene.hang_up(stream, "after stop right behind start")
    return f"Hung up right after start; {how}."


async def hang_up_in_media(scene: FaultScene) -> str:
    """End the stream while media comes."""
    stream = await _begin(scene, 2 * scene.talk_seconds)
    how = await scene.hang_up(stream, "when the caller hung up while media came", is_strict=True)
    return f"Hung up {2 * scene.talk_seconds:.1f} s after start; {how}."


async def hang_up_in_answer(scene: FaultScene) -> str:
    """End the stream while the server speaks."""
    if scene.ordinary.first_sound is None:
        raise CannotTry("The server said nothing in an ordinary call, so no answer can be cut off.")
    stream = await scene.open()
    await scene.require_answer(stream, "before the caller hung up")
    playout = stream.leg.playout
    is_ahead = await scene.wait_until(
        lambda: playout.waiting_seconds >= 0.04 or stream.ending is not None, scene.talk_seconds
    )
    unheard = playout.waiting_seconds
    how = await scene.hang_up(stream, "when the caller hung up during an answer", is_strict=True)
    if not is_ahead:
        return (
            "Hung up while the server sounded, whose sound comes as it is heard: nothing was "
            f"unheard; {how}."
        )
    return f"Hung up with {unheard:.1f} s of the answer unheard; {how}."
