"""The sender of a stream, on its own: which timer it sets for what may be sent later."""

from __future__ import annotations

from support.waiting import eventually
from twistream_kit.live.stream.session import StreamSender
from twistream_kit.protocol import to_twilio


class Socket:
    """A socket that always has room, and keeps what is written."""

    room = 1 << 16

    def __init__(self):
        self.texts = []

    def write(self, texts):
        self.texts += texts


class State:
    """A state with one message, which may be sent once all waits in a list are over."""

    on_outgoing = on_close_wanted = None

    def __init__(self, waits):
        self.waits = waits
        self.is_sent = False

    def take_message(self, now):
        if self.waits or self.is_sent:
            return None
        self.is_sent = True
        return to_twilio.Clear("MZ" + "0" * 32)

    def wait_seconds(self, now):
        return self.waits.pop(0) if self.waits else None


async def test_a_wait_that_is_too_short_for_a_timer_ends_nothing():
    # uvloop counts whole milliseconds, and makes no timer for a wait that rounds to none.
    socket, errors = Socket(), []
    state = State([0.0002, 0.0001, 5.0, 0.0003])
    sender = StreamSender(state, socket, errors.append)
    for _ in range(3):  # within one turn of the loop
        sender.send()
    await eventually(lambda: socket.texts or errors)
    sender.stop()
    assert errors == []
    assert state.waits == []
