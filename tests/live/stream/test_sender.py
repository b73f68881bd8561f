"""When messages are written: at once, together, or once the socket has room."""

import asyncio
import time
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.protocol import State

from support.waiting import eventually, soon
from twistream_kit.capture.capture import Capture
from twistream_kit.live.stream import session
from twistream_kit.live.stream.session import StreamSender
from twistream_kit.live.stream.state import StreamState
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.pending import HomeLoop
from twistream_kit.protocol import from_twilio, to_twilio

SECOND = b"\x20" * 8000
FRAME = SECOND[:160]


class Socket:
    """A socket whose room the test sets."""

    def __init__(self):
        self.room = 10**6
        self.writes = []
        self.has_room = asyncio.Event()

    @property
    def is_full(self):
        return self.room <= 0

    def write(self, texts):
        self.writes.append([to_twilio.parse(text.decode()) for text in texts])

    async def wait_for_room(self):
        await self.has_room.wait()

    def count(self, kind):
        return sum(kinds.count(kind) for kinds in self.kinds)

    @property
    def kinds(self):
        return [[type(message).__name__ for message in write] for write in self.writes]


class Line:
    """A stream on this loop, and the socket it is written to."""

    def __init__(self, home):
        self.socket, self.errors = Socket(), []
        self.state = StreamState(from_twilio.Start("MZ0", "AC0", "CA0"), home)
        self.sender = StreamSender(self.state, self.socket, home, self.errors.append)
        self.state.on_outgoing, self.state.on_frame = self.sender.send, self.sender.send_frame
        self.stream = MediaStream(self.state)


class Timer:
    """A timer that ends when the test says so."""

    def __init__(self, end):
        self.end, self.is_cancelled = end, False

    def cancel(self):
        self.is_cancelled = True


class LoopWithoutTime:
    """A loop whose timers the test ends."""

    def __init__(self, loop):
        self.call_soon, self.create_task = loop.call_soon, loop.create_task
        self.timers = []

    def call_later(self, seconds, callback):
        self.timers.append(Timer(callback))
        return self.timers[-1]


def late_by(seconds):
    """A clock that is so many seconds ahead."""
    monotonic = time.monotonic
    return lambda: monotonic() + seconds


@pytest.fixture
async def line(monkeypatch):
    monkeypatch.setattr(session, "SHARED_SECONDS", 60.0)  # the machine may be busy
    home = HomeLoop("the test")
    home.enter()
    line = Line(home)
    yield line
    line.sender.stop()
    await home.leave()
    assert line.errors == []


async def test_the_first_command_of_a_turn_writes_at_once_and_the_others_share_a_write(line):
    line.stream.play(FRAME)
    assert line.socket.kinds == [["Media", "Mark"]]
    for _ in range(5):
        line.stream.play(FRAME)
    line.stream.mark("end")
    assert len(line.socket.writes) == 1
    await asyncio.sleep(0)
    assert len(line.socket.writes) == 2
    assert line.socket.kinds[1].count("Media") == 5


async def test_commands_far_apart_are_written_each_at_once(line, monkeypatch):
    monkeypatch.setattr(session, "SHARED_SECONDS", 0.0)
    speech = line.stream.speak()
    for count in range(1, 6):
        speech.write(FRAME)
        assert line.socket.kinds == [["Media"]] * count


async def test_a_write_makes_no_task_and_no_timer(line):
    before = asyncio.all_tasks()
    speech = line.stream.speak()
    for _ in range(10):
        speech.write(FRAME)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before
    assert line.sender._timer is None


async def test_one_timer_sends_what_waits_for_room_at_twilio(line, monkeypatch):
    loop = line.sender._loop = LoopWithoutTime(asyncio.get_running_loop())
    line.stream.play(SECOND * 60)
    (timer,) = await eventually(lambda: loop.timers)
    sent = line.socket.count("Media")
    assert 10 * 50 <= sent < 60 * 50
    for _ in range(3):
        line.stream.play(FRAME)
        await asyncio.sleep(0)
        assert loop.timers == [timer]
    assert not timer.is_cancelled
    monkeypatch.setattr(session.time, "monotonic", late_by(5.0))
    timer.end()
    assert line.socket.count("Media") >= sent + session.FAIRNESS
    await eventually(lambda: len(loop.timers) == 2)
    assert not loop.timers[1].is_cancelled


async def test_a_turn_that_takes_long_makes_no_second_timer(line, monkeypatch):
    loop = line.sender._loop = LoopWithoutTime(asyncio.get_running_loop())
    line.stream.play(SECOND * 60)
    await eventually(lambda: loop.timers)
    monkeypatch.setattr(session.time, "monotonic", late_by(0.5))
    for _ in range(3):
        line.stream.play(FRAME)
        line.sender._send_now()
    assert [each.is_cancelled for each in loop.timers] == [False]


async def test_nothing_is_written_while_the_socket_has_no_room(line):
    line.socket.room = 0
    before = asyncio.all_tasks()
    line.stream.play(SECOND)
    playing = line.stream.newest
    line.stream.mark("kept")
    await asyncio.sleep(0)
    assert line.socket.writes == []
    assert len(asyncio.all_tasks() - before) == 1, "one task waits for room"
    line.stream.clear()  # it reaches what was not written
    assert (await soon(playing)).ending == "cleared"
    line.socket.room = 10**6
    line.socket.has_room.set()
    await eventually(lambda: line.socket.writes)
    assert line.socket.kinds == [["Clear", "Mark"]]
    await eventually(lambda: asyncio.all_tasks() == before)


async def test_a_write_exceeds_the_room_by_one_message_at_most(line):
    line.socket.room = 1000
    line.stream.play(SECOND)
    (write,) = line.socket.writes
    sizes = [len(message.to_json()) + session.FRAME_HEAD_BYTES for message in write]
    assert sum(sizes[:-1]) < 1000 <= sum(sizes)
    assert line.sender._waiter is not None


async def test_much_sound_lets_others_work_between_its_writes(line):
    line.stream.play(SECOND * 2)
    assert len(line.socket.writes[0]) == session.FAIRNESS
    turns = 0
    while sum(map(len, line.socket.writes)) < 100:
        await asyncio.sleep(0)
        turns += 1
        assert len(line.socket.writes[-1]) <= session.FAIRNESS
    assert turns >= 2


async def test_after_its_end_it_writes_nothing(line):
    line.sender.stop()
    line.stream.play(SECOND)
    line.sender.send()
    await asyncio.sleep(0)
    assert line.socket.writes == []


async def test_an_error_of_the_socket_is_passed_on(line):
    def fail(_):
        raise RuntimeError("no")

    line.socket.write = fail
    line.stream.play(FRAME)
    assert [str(error) for error in line.errors] == ["no"]
    line.errors.clear()


class Waiting:
    """A state with one message, which may be sent once all waits in a list are over."""

    on_outgoing = on_close_wanted = None

    stopped_at = None
    start = from_twilio.Start("MZ" + "0" * 32, "AC0", "CA0")

    def __init__(self, waits):
        self.capture = Capture()
        self.waits = waits
        self.is_sent = False
        self.conversation = self

    @property
    def has_waiting(self):
        return bool(self.waits) or not self.is_sent

    def take_message(self, now):
        if self.waits or self.is_sent:
            return None
        self.is_sent = True
        return to_twilio.Clear("MZ" + "0" * 32)

    def wait_seconds(self, now):
        return self.waits.pop(0) if self.waits else None


async def test_a_wait_that_is_too_short_for_a_timer_ends_nothing():
    # uvloop counts whole milliseconds, and makes no timer for a wait that rounds to none.
    state, socket, errors = Waiting([0.0002, 0.0001, 5.0, 0.0003]), Socket(), []
    sender = StreamSender(state, socket, HomeLoop("the test"), errors.append)
    for _ in range(3):  # within one turn of the loop
        sender.send()
    await eventually(lambda: socket.writes or errors)
    sender.stop()
    assert errors == []
    assert state.waits == []


@given(st.binary(max_size=300) | st.sampled_from([bytes(n) for n in (125, 126, 65_535, 65_536)]))
def test_a_message_is_framed_as_websockets_does(text):
    frame = Frame(Opcode.TEXT, text).serialize(mask=False)
    assert session.build_frame(text) == frame
    written = []
    connection = SimpleNamespace(
        protocol=SimpleNamespace(state=State.OPEN), transport=SimpleNamespace(write=written.append)
    )
    session.WebSocketsSocket(connection).write([text, text])
    assert written == [frame + frame]
