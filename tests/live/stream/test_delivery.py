"""Messages that are taken as they arrive: what `websockets` alone would make of the same bytes."""

import asyncio
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.asyncio.connection import Connection as AnyConnection
from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import Close, Frame, Opcode
from websockets.protocol import State
from websockets.server import ServerProtocol

from twistream_kit.live.stream.delivery import MOST_DELIVERED_BYTES, DeliveringConnection
from twistream_kit.live.stream.session import WebSocketsSocket


class Transport:
    """A transport that keeps what is written."""

    def __init__(self):
        self.written = bytearray()

    def write(self, data):
        self.written += data

    def set_write_buffer_limits(self, high, low):
        pass

    def is_closing(self):
        return False

    def pause_reading(self):
        pass

    resume_reading = write_eof = close = abort = pause_reading

    def can_write_eof(self):
        return True


def connect(kind):
    """Return a connection after its handshake, of which the test feeds the bytes."""
    connection = kind(ServerProtocol(), server=None)
    connection.connection_made = AnyConnection.connection_made.__get__(connection)
    connection.connection_made(Transport())
    connection.request = "received"
    connection.protocol.state = State.OPEN
    next(connection.protocol.parser, None)
    connection.protocol.parser = AnyConnectionParser(connection)
    return connection


def AnyConnectionParser(connection):  # noqa: N802 - it stands for a class of generators
    """Begin the parser of frames behind that of the handshake."""
    from websockets.protocol import Protocol

    parser = Protocol.parse(connection.protocol)
    next(parser)
    return parser


def text_frames(text, parts=1, *, mask=True):
    data = text.encode()
    cuts = [len(data) * n // parts for n in range(parts + 1)]
    pieces = [data[a:b] for a, b in itertools.pairwise(cuts)]
    return [
        Frame(Opcode.CONT if n else Opcode.TEXT, piece, fin=n == parts - 1).serialize(mask=mask)
        for n, piece in enumerate(pieces)
    ]


def cut_up(data, sizes):
    """Yield `data` in pieces of the sizes, over and over."""
    place = 0
    for size in itertools.cycle(sizes):
        if place >= len(data):
            return
        yield data[place : place + size]
        place += size


async def read_queue(connection, socket, taken):
    """Take what is complete in the queue, as the reading task does."""
    if not len(connection.recv_messages.frames):  # most pieces of a message complete nothing
        return
    reading = asyncio.ensure_future(socket.receive())
    for _ in range(5):
        await asyncio.sleep(0)
    while reading.done():
        if (message := reading.result()) is None:
            return
        taken.append(message)
        reading = asyncio.ensure_future(socket.receive())
        for _ in range(5):
            await asyncio.sleep(0)
    reading.cancel()
    await asyncio.wait([reading])


async def deliver(pieces, before, every):
    """Receive pieces; return the messages in the order in which they were taken."""
    connection, taken = connect(DeliveringConnection), []
    socket = WebSocketsSocket(connection)
    for number, piece in enumerate(pieces):
        if number == before:
            socket.deliver_to(taken.append)
        connection.receive_frames(piece)
        if number % every == 0:
            await read_queue(connection, socket, taken)
    await read_queue(connection, socket, taken)
    protocol = connection.protocol
    return taken, protocol.state, bytes(connection.transport.written)


async def deliver_by_websockets(pieces):
    """The same by `websockets` alone."""
    connection, taken = connect(ServerConnection), []
    for piece in pieces:
        connection.data_received(piece)
        while len(connection.recv_messages.frames):
            reading = asyncio.ensure_future(connection.recv())
            for _ in range(5):
                await asyncio.sleep(0)
            if not reading.done():  # fragments of a message that is not complete
                reading.cancel()
                await asyncio.wait([reading])
                break
            try:
                taken.append(reading.result())
            except ConnectionClosed:
                break
    return taken, connection.protocol.state, bytes(connection.transport.written)


LONG = "ü" * MOST_DELIVERED_BYTES

STEPS = st.lists(
    st.one_of(
        st.tuples(st.text(max_size=300), st.sampled_from([1, 1, 1, 2, 3])).map(
            lambda step: b"".join(text_frames(*step))
        ),
        st.just(b"".join(text_frames(LONG))),
        st.just(Frame(Opcode.BINARY, b"\x00\x01").serialize(mask=True)),
        st.just(Frame(Opcode.PING, b"there?").serialize(mask=True)),
    ),
    max_size=20,
)

WRONG = {
    "not masked": text_frames("bare", mask=False)[0],
    "not UTF-8": Frame(Opcode.TEXT, b"\xff\xfe").serialize(mask=True),
    "reserved bit": bytes([text_frames("bits")[0][0] | 0x40]) + text_frames("bits")[0][1:],
    "unknown opcode": b"\x83\x80\x00\x00\x00\x00",
    "a fragment that continues nothing": Frame(Opcode.CONT, b"x").serialize(mask=True),
    "text amid fragments": text_frames("in two", 2)[0] + text_frames("whole")[0],
    "too long": b"\x81\xff" + (1 << 40).to_bytes(8) + b"\x00" * 20,
    "a close": Frame(Opcode.CLOSE, Close(1000, "").serialize()).serialize(mask=True),
}


@settings(max_examples=80, deadline=None)
@given(STEPS, st.lists(st.integers(1, 500), min_size=1, max_size=5), st.integers(0, 9))
def test_messages_keep_their_order_however_they_are_cut(steps, sizes, before):
    pieces = list(cut_up(b"".join(steps), sizes))
    expected = asyncio.run(deliver_by_websockets(pieces))
    assert asyncio.run(deliver(pieces, before, 1)) == expected
    assert asyncio.run(deliver(pieces, before, 3))[0] == expected[0]


@settings(max_examples=60, deadline=None)
@given(
    STEPS,
    st.sampled_from(sorted(WRONG)),
    STEPS,
    st.lists(st.integers(1, 500), min_size=1, max_size=5),
)
def test_what_breaks_a_rule_ends_the_connection_as_before(steps, wrong, after, sizes):
    pieces = list(cut_up(b"".join([*steps, WRONG[wrong], *after]), sizes))
    taken, state, written = asyncio.run(deliver(pieces, 0, 1))
    by_websockets = asyncio.run(deliver_by_websockets(pieces))
    assert (state, written) == by_websockets[1:]
    assert state is not State.OPEN
    before = asyncio.run(deliver_by_websockets(cut_up(b"".join(steps), sizes)))[0]
    assert taken[: len(before)] == before
    if wrong != "not UTF-8":  # the reading task would stop there
        assert taken == by_websockets[0]


async def test_a_usual_message_is_taken_at_once_and_by_no_other_way():
    connection, taken = connect(DeliveringConnection), []
    connection.deliver_to(taken.append)
    connection._is_queueing = False
    whole = b"".join(text_frames("one")) + b"".join(text_frames("two"))
    connection.receive_frames(whole[:3])
    connection.receive_frames(whole[3:-1])
    assert taken == ["one"]
    connection.receive_frames(whole[-1:])
    assert taken == ["one", "two"]
    assert not connection.recv_messages.frames


async def test_after_the_close_nothing_is_delivered():
    connection, taken = connect(DeliveringConnection), []
    connection.deliver_to(taken.append)
    connection._is_queueing = False
    connection.deliver_to(None)
    connection.receive_frames(text_frames("late")[0])
    assert taken == []


@pytest.mark.parametrize("size", [0, 1, 125, 126, MOST_DELIVERED_BYTES, MOST_DELIVERED_BYTES + 1])
async def test_lengths_at_the_borders(size):
    data = b"".join(text_frames("x" * size)) + b"".join(text_frames("next"))
    for cuts in ([1], [7], [len(data)]):
        taken, _, _ = await deliver(cut_up(data, cuts), 0, 1)
        assert taken == ["x" * size, "next"]
