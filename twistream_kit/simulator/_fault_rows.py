"""The table of the faults: where each is known from, what a good server does, and the repair.

What each of them does is in `_fault_acts`.  The sources are sections and rows of docs/PROTOCOL.md,
and the public reports that are cited there.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from twistream_kit.simulator import _fault_acts
from twistream_kit.simulator._fault_scene import FaultScene


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
        return self.seconds * max(scale, 0.1) + 45.0


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
        _fault_acts.leave_half_open,
        _fault_acts.HALF_OPEN_SECONDS + 4,
    ),
    Fault(
        "no-close",
        "The stop message comes, and then neither a Close frame nor FIN.",
        "PROTOCOL.md §10 row 4 [OBS]: nothing for 4 minutes after stop (qisoft#32)",
        "Takes stop for the end of the stream, and closes the connection itself.",
        "Leave the loop that reads the WebSocket at the event stop, and close the WebSocket then.",
        _fault_acts.stop_without_close,
        _fault_acts.HALF_OPEN_SECONDS + 2,
    ),
    Fault(
        "abrupt-end",
        "The connection breaks in mid-call (1006): no stop message, no Close frame.",
        "PROTOCOL.md §2.3 [OBS] and §9 item 10 (openclaw#18435, #125463, voxflow)",
        _ENDS_ALIKE,
        "Catch the exception of the closed connection where the WebSocket is read and where it is "
        "written. " + _CLEAN_UP,
        _fault_acts.end_abruptly,
    ),
    Fault(
        "no-media",
        "connected and start come, and no media after them.",
        "PROTOCOL.md §5.1, 31953 [DOC]: no audio arrives from the caller's network",
        "Keeps the stream, or ends it after 30 to 60 s; answers the Close frame at once.",
        "Do not take frames for a clock: wait for the next message with a limit, and read the "
        "WebSocket on while nothing is said.",
        _fault_acts.send_no_media,
        6.0,
    ),
    Fault(
        "stop-twice",
        "The stop message comes more than once before the Close frame.",
        "PROTOCOL.md §10.1 [ASM]: an ending may come more than once; §9 item 10 (openclaw#125469)",
        _ENDS_ALIKE,
        "Let the second stop find that the stream has ended: remove what belongs to it with a "
        "default, such as `streams.pop(sid, None)`. " + _CLEAN_UP,
        _fault_acts.stop_twice,
    ),
    Fault(
        "second-stream",
        "A second stream of the same call opens while the first lasts, and outlives it.",
        "PROTOCOL.md §10 row 28 [OBS, live] (qisoft#18, openclaw#29862); §9 items 14 and 27",
        "Answers each stream on its own WebSocket, with the streamSid of its own start message.",
        "Keep the streamSid and everything else of a stream in the function that handles its "
        "WebSocket: neither global, nor in a table by callSid.",
        _fault_acts.open_second_stream,
        4.0,
    ),
    Fault(
        "key-burst",
        f"{len(_fault_acts.BURST)} keys come at once.",
        "PROTOCOL.md §3, dtmf [DOC], and §10 row 23: one message for each key, as they come",
        "Takes all of them, and goes on.",
        "Put keys into a queue without a small limit, let a key that the menu does not have be "
        "ignored, and let no key wait for what the one before it plays.",
        _fault_acts.press_many_keys,
    ),
    Fault(
        "lost-marks",
        "The server's marks never come back.",
        "PROTOCOL.md §9 items 11 and 13 (vellum#38316, #38339), and §10.1: wait with a limit",
        "Waits for a mark with a limit, reads on meanwhile, and notices that the caller hangs up.",
        "Wait for a mark in a task of its own and with a limit: "
        "`asyncio.wait_for(mark.wait(), seconds_of_sound + 5)`; never in the loop that reads.",
        _fault_acts.keep_marks,
        3.0,
    ),
    Fault(
        "gaps",
        "Frames stay away for 250 ms, several times, and then come at once.",
        "PROTOCOL.md §10 row 20 [OBS, live]: gaps of up to 233 ms, without loss (qisoft#23, #32)",
        "Takes a gap for late sound and not for lost sound, and goes on.",
        "Count the caller's time by media.timestamp, not by the clock; let a timeout for the next "
        "frame be seconds, and no end of the stream.",
        _fault_acts.leave_gaps,
        4.0,
    ),
    Fault(
        "unknown-events",
        "Events come that no version of today has.",
        "PROTOCOL.md §10.1; §3 [OBS]: the protocol has grown since version 0.2.0",
        "Ignores them.",
        "Let the branch for an event that is not known do nothing: neither raise, nor leave the "
        "loop; read message['event'] and then only fields of the events that you handle.",
        _fault_acts.send_unknown_events,
    ),
    Fault(
        "unknown-fields",
        "Messages have fields that no version of today has, and another version.",
        "PROTOCOL.md §10.1; §3 [OBS]: version 0.2.0 in 2019, 1.0.0 now; §11: fields of an HD codec",
        "Reads the fields that it needs, and ignores the others.",
        "Read fields by name, and let your model of a message allow others (pydantic: "
        "extra='ignore'); compare no version.",
        _fault_acts.send_unknown_fields,
    ),
    Fault(
        "slow-reader",
        "Twilio's side reads nothing for 5 s while the server sends.",
        "PROTOCOL.md §10 row 10 [OBS], §10.1 (never block the loop); that Twilio does so is [ASM]",
        "Serves other calls meanwhile, and goes on when it is read again.",
        "Send on a task of each stream's own, and let no send block the loop or a lock of all "
        "streams; bound what waits to be sent.",
        _fault_acts.read_slowly,
        7.0,
    ),
    Fault(
        "hang-up-before-connected",
        "The caller hangs up right after the handshake: no message comes at all.",
        "PROTOCOL.md §2.3 [OBS]: connected comes about 90 ms after the handshake; between is a gap",
        _ENDS_ALIKE,
        "Let the first read be allowed to fail: a stream without start has nothing to clean up. "
        + _CLEAN_UP,
        _fault_acts.hang_up_before_connected,
    ),
    Fault(
        "hang-up-after-connected",
        "The caller hangs up between connected and start.",
        "PROTOCOL.md §3 [DOC]: connected comes first and has no streamSid",
        _ENDS_ALIKE,
        "Do nothing at connected; create what belongs to a stream at start. " + _CLEAN_UP,
        _fault_acts.hang_up_after_connected,
    ),
    Fault(
        "hang-up-after-start",
        "The caller hangs up as soon as start has been sent.",
        "PROTOCOL.md §3 [OBS]: a stream is torn down early when REST replaces the TwiML "
        "(openclaw#40170)",
        _ENDS_ALIKE,
        "Let what start begins (a login, a greeting) be ended by the end of the stream, also while "
        "it is under way. " + _CLEAN_UP,
        _fault_acts.hang_up_after_start,
    ),
    Fault(
        "hang-up-in-media",
        "The caller hangs up while media comes: stop, then a Close frame.",
        "PROTOCOL.md §2.3 and §3 [DOC, OBS]: stop, then a close with 1005 (openclaw#65601)",
        "Reads all the time, so it sees stop at once, and answers the Close frame.",
        "Read the WebSocket in a loop until it ends, and do the work beside it, in another task: a "
        "server that does not read never sees that the caller has gone.",
        _fault_acts.hang_up_in_media,
        3.0,
    ),
    Fault(
        "hang-up-in-answer",
        "The caller hangs up while the server speaks.",
        "PROTOCOL.md §3 [DOC]: stop when the call has ended; §9 item 14 (openclaw#81122, #90607)",
        "Stops to produce the answer, and answers the Close frame.",
        "Cancel the task that produces an answer when the stream ends. " + _CLEAN_UP,
        _fault_acts.hang_up_in_answer,
        3.0,
    ),
)
"""All faults, in the order of the documentation."""
