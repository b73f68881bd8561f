"""Messages that are taken as they arrive: in order with those that go through the queue."""

import asyncio
import itertools

from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.connection import Connection as AnyConnection
from websockets.frames import Frame, Opcode
from websockets.server import ServerProtocol

from twistream_kit.live.stream.session import DeliveringConnection, WebSocketsSocket


class Connection(DeliveringConnection):
    """A connection of which only the messages are used."""

    def __init__(self):
        super().__init__(ServerProtocol(), server=None)
        AnyConnection.connection_made(self, Transport())
        self.request = "received"


class Transport:
    def set_write_buffer_limits(self, high, low):
        pass

    def pause_reading(self):
        pass

    def resume_reading(self):
        pass


def frames_of(text, *, parts=1):
    data = text.encode()
    cuts = [len(data) * n // parts for n in range(parts + 1)]
    pieces = [data[a:b] for a, b in itertools.pairwise(cuts)]
    return [
        Frame(Opcode.CONT if n else Opcode.TEXT, piece, fin=n == parts - 1)
        for n, piece in enumerate(pieces)
    ]


async def deliver(steps, before):
    """Send messages, some in fragments, and read now and then; return them and what was taken."""
    connection, sent, taken = Connection(), [], []
    socket = WebSocketsSocket(connection)

    async def read():
        while len(taken) < len(sent):
            taken.append(await socket.receive())

    for number, (parts, must_read) in enumerate(steps):
        if number == before:
            socket.deliver_to(taken.append)
        sent.append(f"message {number} ü")
        for frame in frames_of(sent[-1], parts=parts):
            connection.process_event(frame)
        if must_read:
            await read()
    await read()
    return sent, taken


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([1, 1, 1, 2, 3]), st.booleans()), max_size=30),
    st.integers(0, 5),
)
def test_messages_keep_their_order_whichever_way_they_take(steps, before):
    sent, taken = asyncio.run(deliver(steps, before))
    assert taken == sent


async def test_only_whole_text_is_delivered_and_only_once_the_queue_is_empty():
    connection, taken = Connection(), []
    socket = WebSocketsSocket(connection)
    connection.process_event(frames_of("early")[0])
    socket.deliver_to(taken.append)
    connection.process_event(frames_of("behind it")[0])
    assert taken == []
    assert [await socket.receive(), await socket.receive()] == ["early", "behind it"]
    connection.process_event(frames_of("at once")[0])
    assert taken == ["at once"]
    connection.process_event(Frame(Opcode.BINARY, b"\x00"))
    connection.process_event(frames_of("queued again")[0])
    assert taken == ["at once"]
    assert [await socket.receive(), await socket.receive()] == [b"\x00", "queued again"]


async def test_after_the_close_nothing_is_delivered():
    connection, taken = Connection(), []
    connection.deliver_to(taken.append)
    connection._is_queueing = False
    connection.deliver_to(None)
    connection.process_event(frames_of("late")[0])
    assert taken == []
