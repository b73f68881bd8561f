"""The faults: what each does to a server, where it is known from, and what to do about it.

A fault is a function that does it and returns what was seen, in a sentence; it raises `NotSurvived`
if the server does not survive.  Afterwards `_fault_run` makes an ordinary call.  The sources are
sections and rows of docs/PROTOCOL.md, and the public reports that are cited there.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twistream_kit.protocol import from_twilio
from twistream_kit.simulator._fault_scene import CannotTry, FaultScene, NotSurvived
from twistream_kit.simulator._fault_stream import FaultyStream

HALF_OPEN_SECONDS = 30.0
"""How long a connection stays half open, and how long a server has to end after a bare `stop`."""

GAP_SECONDS = 0.25
"""The gaps between frames; 233 ms were seen (§10 row 20)."""

_BURST = "0123456789" * 2
"""Keys that come at once; neither * nor #, by which menus are left."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault.

    Attributes:
        name: Its name, as in ``only=``.
        title: What happens to the server.
        source: Where it is known from that this happens.
        good: What a good server does.
        repair: What to change in a server that does not.
        act: Does it, and returns what was seen.
        seconds: How long it lasts at a scale of 1.
    """

    name: str
    title: str
    source: str
    good: str
    repair: str
    act: Callable[[FaultScene], Awaitable[str]]
    seconds: float = 2.0

    def find_timeout(self, scale: float) -> float:
        """Return how long its row is given at most: its length, and time for every answer."""
        return self.seconds * max(scale, 0.1) + 30.0


async def _leave_half_open(scene: FaultScene) -> str:
    stream = await scene.open()
    await scene.require_open(stream, scene.talk_seconds, "before it was half open")
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


async def _stop_without_close(scene: FaultScene) -> str:
    stream = await scene.open()
    if not await scene.require_open(stream, scene.talk_seconds, "before the stop message"):
        return _ENDED_BEFORE
    stream.stop_beat()
    stream.client.send(stream.leg.stop())
    limit = max(2.0, HALF_OPEN_SECONDS * scene.scale)
    if not await scene.wait_until(lambda: stream.ending is not None, limit):
        raise NotSurvived(
            f"{limit:.0f} s after the stop message, without a Close frame, the connection was "
            "still open."
        )
    scene.require_no_end(stream, "after a stop message without a Close frame", is_meant=True)
    return "The server closed the connection by itself after the stop message."


async def _end_abruptly(scene: FaultScene) -> str:
    stream = await scene.open()
    if not await scene.require_open(stream, scene.talk_seconds, "before the connection broke"):
        return _ENDED_BEFORE
    stream.client.abort()
    await scene.wait_until(lambda: stream.ending is not None, 1.0)
    return f"The connection broke {scene.talk_seconds:.1f} s after the start."


async def _send_no_media(scene: FaultScene) -> str:
    def drop_media(stream: FaultyStream) -> None:
        stream.client.drops_media = True

    stream = await scene.open(prepare=drop_media)
    seconds = max(0.3, 5 * scene.scale)
    if not await scene.wait_open(stream, seconds):
        scene.require_no_end(stream, "while no media came", is_meant=True)
        return f"The server ended a stream without media after {stream.seconds:.1f} s."
    how = await scene.hang_up(stream, f"after {seconds:.1f} s without media")
    return f"No media for {seconds:.1f} s; {how}."


async def _stop_twice(scene: FaultScene) -> str:
    stream = await scene.open()
    if not await scene.require_open(stream, scene.talk_seconds, "before the stop message"):
        return _ENDED_BEFORE
    stream.stop_beat()
    stream.client.send([*stream.leg.stop(), stream.leg.take_stop()])
    await scene.wait_open(stream, 0.3)
    stream.client.send([stream.leg.take_stop()])
    await scene.wait_open(stream, 0.1)
    return f"After three stop messages {await scene.hang_up(stream, 'after stop twice')}."


async def _open_second_stream(scene: FaultScene) -> str:
    first = await scene.open()
    await scene.require_answer(first, "on the first stream")
    second = await scene.open(call_sid=first.leg.call_sid)
    await scene.require_answer(second, "on a second stream of the same call")
    for _ in range(2):
        await scene.wait_open(first, scene.talk_seconds / 2)
        _require_own_sid(first, second)
        _require_own_sid(second, first)
    doing = "while two streams of one call were open"
    scene.require_no_end(first, doing, is_meant=True)
    scene.require_no_end(second, doing)
    await scene.hang_up(first, "of the first of two streams of a call")
    await scene.require_open(
        second, scene.talk_seconds / 2, "after the first of two streams had ended"
    )
    _require_own_sid(second, first)
    how = await scene.hang_up(second, "of the second of two streams of a call")
    return f"Both streams of one call were served, each with its own streamSid; {how}."


def _require_own_sid(stream: FaultyStream, other: FaultyStream) -> None:
    if not stream.strangers:
        return
    whose = "the other stream of the call" if other.stream_sid in stream.strangers else "neither"
    raise NotSurvived(f"Messages on one stream had the streamSid of {whose}; Twilio drops them.")


async def _press_many_keys(scene: FaultScene) -> str:
    stream = await scene.open()
    if not await scene.require_open(stream, scene.talk_seconds / 2, "before the keys"):
        return _ENDED_BEFORE
    for key in _BURST:
        stream.client.press(key)
    doing = f"after {len(_BURST)} keys at once"
    if not await scene.wait_open(stream, scene.talk_seconds):
        scene.require_no_end(stream, doing, is_meant=True)
        code = stream.ending.close_code if stream.ending else 0
        return f"The server ended the stream with {code} {doing}, as if a key asked for it."
    return f"{len(_BURST)} keys came at once; {await scene.hang_up(stream, doing)}."


async def _keep_marks(scene: FaultScene) -> str:
    stream = await scene.open(keeps_marks=True)
    await scene.require_answer(stream, "before a mark was missing")
    doing = "while its marks did not come back"
    if not await scene.wait_open(stream, scene.talk_seconds * 2):
        scene.require_no_end(stream, doing, is_meant=True)
        return f"The server ended the stream after {stream.seconds:.1f} s {doing}."
    how = await scene.hang_up(stream, doing)
    if not stream.marks:
        return f"The server sent no mark in {scene.talk_seconds * 2:.1f} s; {how}."
    marks = "1 mark was" if stream.marks == 1 else f"{stream.marks} marks were"
    return f"{marks} not returned; {how}."


async def _leave_gaps(scene: FaultScene) -> str:
    stream = await scene.open()
    count = max(2, round(6 * min(1.0, scene.scale)))
    doing = f"in {count} gaps of {GAP_SECONDS * 1000:.0f} ms"
    for _ in range(count):
        if not await scene.require_open(stream, scene.talk_seconds / 4, doing):
            return _ENDED_BEFORE
        stream.keep_frames()
        await scene.require_open(stream, GAP_SECONDS, doing)
        stream.send_frames()
    await scene.require_answer(stream, doing)
    how = await scene.hang_up(stream, f"after {count} gaps")
    return f"{count} gaps of {GAP_SECONDS * 1000:.0f} ms, each made up in one burst; {how}."


async def _send_unknown_events(scene: FaultScene) -> str:
    stream = await scene.open()
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
    return f"{len(events)} unknown events; {await scene.hang_up(stream, doing)}."


async def _send_unknown_fields(scene: FaultScene) -> str:
    def add_fields(stream: FaultyStream) -> None:
        stream.client.rewrite = _add_fields

    stream = await scene.open(prepare=add_fields)
    doing = "with fields in every message that no version of today has"
    await scene.require_open(stream, scene.talk_seconds, doing)
    await scene.require_answer(stream, doing)
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


async def _read_slowly(scene: FaultScene) -> str:
    stream = await scene.open()
    await scene.require_answer(stream, "before Twilio's side read slowly")
    stream.client.stop_reading()
    seconds = max(0.3, 5 * scene.scale)
    doing = f"while nothing was read from a stream for {seconds:.1f} s"
    await scene.require_other_call(doing)
    await scene.wait_open(stream, seconds)
    stream.client.read_on()
    await scene.wait_open(stream, scene.talk_seconds / 2)
    scene.require_no_end(stream, doing)
    how = await scene.hang_up(stream, doing)
    return f"Nothing was read for {seconds:.1f} s, and another call worked meanwhile; {how}."


async def _hang_up_before_connected(scene: FaultScene) -> str:
    stream = await scene.open(opening="nothing")
    how = await scene.hang_up(stream, "after a Close frame without any message")
    return f"Closed right after the handshake; {how}."


async def _hang_up_after_connected(scene: FaultScene) -> str:
    stream = await scene.open(opening="connected")
    how = await scene.hang_up(stream, "after a Close frame behind connected")
    return f"Closed after connected, without start; {how}."


async def _hang_up_after_start(scene: FaultScene) -> str:
    stream = await scene.open()
    how = await scene.hang_up(stream, "after stop right behind start")
    return f"Hung up right after start; {how}."


async def _hang_up_in_media(scene: FaultScene) -> str:
    stream = await scene.open()
    if not await scene.require_open(stream, 2 * scene.talk_seconds, "before the caller hung up"):
        return _ENDED_BEFORE
    how = await scene.hang_up(stream, "when the caller hung up while media came")
    return f"Hung up {2 * scene.talk_seconds:.1f} s after start; {how}."


async def _hang_up_in_answer(scene: FaultScene) -> str:
    if scene.ordinary.first_sound is None:
        raise CannotTry("The server said nothing in an ordinary call, so no answer can be cut off.")
    stream = await scene.open()
    await scene.require_answer(stream, "before the caller hung up")
    how = await scene.hang_up(stream, "when the caller hung up during an answer")
    return f"Hung up with {stream.leg.playout.waiting_seconds:.1f} s of the answer unheard; {how}."


_ENDED_BEFORE = "The server ended the stream before the fault, as in an ordinary call."

_ENDS_ALIKE = (
    "Treats stop, a Close frame and a broken connection alike: ends the tasks of the stream and "
    "forgets its state, however often it happens."
)

_CLEAN_UP = (
    "Put the end of a stream into one function that may be called twice, and call it in the "
    "`finally` of the loop that reads the WebSocket; keep no state of a stream outside it."
)

FAULTS: tuple[Fault, ...] = (
    Fault(
        "half-open",
        "The far end is gone, and neither FIN nor Close says so; later the connection breaks.",
        "PROTOCOL.md §10 row 10 [OBS, live]: half open for 30 to 45 s, then 1006",
        "Serves other calls meanwhile, and ends the stream after 30 to 60 s without media.",
        "Let nothing wait for one stream that other streams need: send with a limit, hold no lock "
        "while sending, and end a stream from which nothing has come for 30 to 60 s.",
        _leave_half_open,
        HALF_OPEN_SECONDS + 4,
    ),
    Fault(
        "no-close",
        "The stop message comes, and then neither a Close frame nor FIN.",
        "PROTOCOL.md §10 row 4 [OBS]: nothing for 4 minutes after stop (qisoft#32)",
        "Takes stop for the end of the stream, and closes the connection itself.",
        "Leave the loop that reads the WebSocket at the event stop, and close the WebSocket then.",
        _stop_without_close,
        HALF_OPEN_SECONDS + 2,
    ),
    Fault(
        "abrupt-end",
        "The connection breaks in mid-call (1006): no stop message, no Close frame.",
        "PROTOCOL.md §2.3 [OBS] and §9 item 10 (openclaw#18435, #125463, voxflow)",
        _ENDS_ALIKE,
        "Catch the exception of the closed connection where the WebSocket is read and where it is "
        "written. " + _CLEAN_UP,
        _end_abruptly,
    ),
    Fault(
        "no-media",
        "connected and start come, and no media after them.",
        "PROTOCOL.md §5.1, 31953 [DOC]: no audio arrives from the caller's network",
        "Keeps the stream, or ends it after 30 to 60 s; answers the Close frame at once.",
        "Do not take frames for a clock: wait for the next message with a limit, and read the "
        "WebSocket on while nothing is said.",
        _send_no_media,
        6.0,
    ),
    Fault(
        "stop-twice",
        "The stop message comes more than once before the Close frame.",
        "PROTOCOL.md §10.1 [ASM]: an ending may come more than once; §9 item 10 (openclaw#125469)",
        _ENDS_ALIKE,
        "Let the second stop find that the stream has ended: remove what belongs to it with a "
        "default, such as `streams.pop(sid, None)`. " + _CLEAN_UP,
        _stop_twice,
    ),
    Fault(
        "second-stream",
        "A second stream of the same call opens while the first lasts, and outlives it.",
        "PROTOCOL.md §10 row 28 [OBS, live] (qisoft#18, openclaw#29862); §9 items 14 and 27",
        "Answers each stream on its own WebSocket, with the streamSid of its own start message.",
        "Keep the streamSid and everything else of a stream in the function that handles its "
        "WebSocket: neither global, nor in a table by callSid.",
        _open_second_stream,
        4.0,
    ),
    Fault(
        "key-burst",
        f"{len(_BURST)} keys come at once.",
        "PROTOCOL.md §3, dtmf [DOC], and §10 row 23: one message for each key, as they come",
        "Takes all of them, and goes on.",
        "Put keys into a queue without a small limit, let a key that the menu does not have be "
        "ignored, and let no key wait for what the one before it plays.",
        _press_many_keys,
    ),
    Fault(
        "lost-marks",
        "The server's marks never come back.",
        "PROTOCOL.md §9 items 11 and 13 (vellum#38316, #38339), and §10.1: wait with a limit",
        "Waits for a mark with a limit, reads on meanwhile, and notices that the caller hangs up.",
        "Wait for a mark in a task of its own and with a limit: "
        "`asyncio.wait_for(mark.wait(), seconds_of_sound + 5)`; never in the loop that reads.",
        _keep_marks,
        3.0,
    ),
    Fault(
        "gaps",
        "Frames stay away for 250 ms, several times, and then come at once.",
        "PROTOCOL.md §10 row 20 [OBS, live]: gaps of up to 233 ms, without loss (qisoft#23, #32)",
        "Takes a gap for late sound and not for lost sound, and goes on.",
        "Count the caller's time by media.timestamp, not by the clock; let a timeout for the next "
        "frame be seconds, and no end of the stream.",
        _leave_gaps,
        4.0,
    ),
    Fault(
        "unknown-events",
        "Events come that no version of today has.",
        "PROTOCOL.md §10.1; §3 [OBS]: the protocol has grown since version 0.2.0",
        "Ignores them.",
        "Let the branch for an event that is not known do nothing: neither raise, nor leave the "
        "loop; read message['event'] and then only fields of the events that you handle.",
        _send_unknown_events,
    ),
    Fault(
        "unknown-fields",
        "Messages have fields that no version of today has, and another version.",
        "PROTOCOL.md §10.1; §3 [OBS]: version 0.2.0 in 2019, 1.0.0 now; §11: fields of an HD codec",
        "Reads the fields that it needs, and ignores the others.",
        "Read fields by name, and let your model of a message allow others (pydantic: "
        "extra='ignore'); compare no version.",
        _send_unknown_fields,
    ),
    Fault(
        "slow-reader",
        "Twilio's side reads nothing for 5 s while the server sends.",
        "PROTOCOL.md §10 row 10 [OBS], §10.1 (never block the loop); that Twilio does so is [ASM]",
        "Serves other calls meanwhile, and goes on when it is read again.",
        "Send on a task of each stream's own, and let no send block the loop or a lock of all "
        "streams; bound what waits to be sent.",
        _read_slowly,
        7.0,
    ),
    Fault(
        "hang-up-before-connected",
        "The caller hangs up right after the handshake: no message comes at all.",
        "PROTOCOL.md §2.3 [OBS]: connected comes about 90 ms after the handshake; between is a gap",
        _ENDS_ALIKE,
        "Let the first read be allowed to fail: a stream without start has nothing to clean up. "
        + _CLEAN_UP,
        _hang_up_before_connected,
    ),
    Fault(
        "hang-up-after-connected",
        "The caller hangs up between connected and start.",
        "PROTOCOL.md §3 [DOC]: connected comes first and has no streamSid",
        _ENDS_ALIKE,
        "Do nothing at connected; create what belongs to a stream at start. " + _CLEAN_UP,
        _hang_up_after_connected,
    ),
    Fault(
        "hang-up-after-start",
        "The caller hangs up as soon as start has been sent.",
        "PROTOCOL.md §3 [OBS]: a stream is torn down early when REST replaces the TwiML "
        "(openclaw#40170)",
        _ENDS_ALIKE,
        "Let what start begins (a login, a greeting) be ended by the end of the stream, also while "
        "it is under way. " + _CLEAN_UP,
        _hang_up_after_start,
    ),
    Fault(
        "hang-up-in-media",
        "The caller hangs up while media comes: stop, then a Close frame.",
        "PROTOCOL.md §2.3 and §3 [DOC, OBS]: stop, then a close with 1005 (openclaw#65601)",
        "Reads all the time, so it sees stop at once, and answers the Close frame.",
        "Read the WebSocket in a loop until it ends, and do the work beside it, in another task: a "
        "server that does not read never sees that the caller has gone.",
        _hang_up_in_media,
        3.0,
    ),
    Fault(
        "hang-up-in-answer",
        "The caller hangs up while the server speaks.",
        "PROTOCOL.md §3 [DOC]: stop when the call has ended; §9 item 14 (openclaw#81122, #90607)",
        "Stops to produce the answer, and answers the Close frame.",
        "Cancel the task that produces an answer when the stream ends. " + _CLEAN_UP,
        _hang_up_in_answer,
        3.0,
    ),
)
"""All faults, in the order of the documentation."""
