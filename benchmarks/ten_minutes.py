"""Ten minutes of a call without I/O: our conversation and the simulator's leg."""

from __future__ import annotations

import time

from measuring import Figure, alternating

from twistream_kit.protocol import from_twilio
from twistream_kit.protocol.conversation import Conversation
from twistream_kit.protocol.from_twilio import FRAME_BYTES, PTIME_MS
from twistream_kit.protocol.marks import PlayOutcome
from twistream_kit.simulator.stream.leg import StreamLeg

FRAME = b"\x2a" * FRAME_BYTES


def measure(*, tiny: bool = False) -> list[Figure]:
    """Play and receive sound for the whole call."""
    seconds = 6 if tiny else 600
    rounds = 1 if tiny else 5
    took = alternating(
        rounds,
        plain=lambda: _call(seconds, through_text=False),
        text=lambda: _call(seconds, through_text=True),
    )
    what = f"a call of {seconds / 60:g} min through the plain objects"
    return [
        Figure(what, f"{took['plain']:.2f} s", "< 1 s", took["plain"] < 1),
        Figure(f"{what}, what Twilio says as JSON too", f"{took['text']:.2f} s"),
    ]


def _call(seconds: int, *, through_text: bool) -> float:
    sid = f"MZ{1:032x}"
    ours = Conversation(sid)
    twilio = StreamLeg(stream_sid=sid, call_sid=f"CA{1:032x}", account_sid=f"AC{1:032x}")
    endings = []
    began = time.perf_counter()
    twilio.begin()
    ours.play(FRAME * (50 * seconds), 0.0)
    for count in range(seconds * 1000 // PTIME_MS + 2):
        now = count * PTIME_MS / 1000
        _, messages = twilio.advance(FRAME, now)
        for message in messages:
            arrived = from_twilio.parse(message.to_json()) if through_text else message
            endings += ours.receive(arrived, now)
        while (message := ours.take_message(now)) is not None:
            for mark in twilio.receive(message.to_json(), now):
                endings += ours.receive(mark, now)
    took = time.perf_counter() - began
    assert endings == [PlayOutcome("heard", seconds * 1000, seconds * 1000, endings[0].handle)]
    return took
