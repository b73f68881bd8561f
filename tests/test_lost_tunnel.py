"""A call whose tunnel, a real ``ssh -R``, dies under it: how everything that was begun ends."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import signal
import threading
from collections import Counter
from dataclasses import dataclass, field

import psutil
import pytest

from support.sshd import is_refused, ssh_clients, ssh_tunnel
from support.waiting import eventually, soon
from twistream_kit.audio.clip import Clip
from twistream_kit.errors import TunnelError
from twistream_kit.live.calls.call import Call
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.state import Playing
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.live.tunnel.tunnel import Tunnel
from twistream_kit.pending import on_worker
from twistream_kit.simulator.phone import Phone
from twistream_kit.simulator.twilio import SimulatedTwilio

ALICE = "+15550100001"
NOBODYS_CALL = "CA" + "f" * 32
SPEECH, TONE = Clip.tone(440, 5), Clip.tone(440, 0.2)
HEARD_BEFORE = 0.3


@dataclass
class CallUp:
    """A call through a tunnel, and what is waited for in it."""

    twilio: SimulatedTwilio
    server: StreamServer
    tunnel: Tunnel
    phone: Phone
    call: Call
    stream: MediaStream
    outcomes: Counter = field(default_factory=Counter)

    def count(self, name, pending):
        """Note each outcome that `pending` gets."""
        pending.add_done_callback(lambda _: self.outcomes.update([name]))
        return pending

    async def play_speech(self) -> Playing:
        """Play five seconds; return when the beginning was heard."""
        playing = self.stream.play(SPEECH, mark="speech")
        await soon(playing.heard(HEARD_BEFORE))
        return playing

    def cut(self, how=signal.SIGKILL):
        """Kill the ssh client."""
        (client,) = ssh_clients()
        client.send_signal(how)
        return client


@pytest.fixture
def world(sshd):
    """Bring up a simulator, a server and its tunnel; with `call`, a call through it."""

    @contextlib.asynccontextmanager
    async def call_up(**options):
        async with (
            SimulatedTwilio(ring_seconds=0.02) as twilio,
            StreamServer(auth_token=twilio.auth_token, **options) as server,
            ssh_tunnel(server, sshd) as tunnel,
        ):
            phone = twilio.phone(ALICE)
            call = await ring(twilio, server)
            stream = await soon(server.next_stream(call))
            yield CallUp(twilio, server, tunnel, phone, call, stream)

    call_up.tunnel_to = functools.partial(ssh_tunnel, host=sshd)
    return call_up


async def ring(twilio, server, number=ALICE):
    return await soon(
        place_call(twilio.client, to=number, from_=twilio.numbers[0], stream_url=server.stream_url)
    )


async def read_all(reader):
    return [item async for item in reader]


def ear_ms(phone, clip):
    """How many ms of `clip` reached the ear, from its beginning on."""
    heard = phone.heard.payload
    begin = heard.find(clip.payload[:320])
    pairs = zip(heard[begin:], clip.payload, strict=False)
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)) / 8


@pytest.mark.realtime
@pytest.mark.parametrize("closing", [False, True], ids=["in a call", "closing"])
async def test_every_wait_ends_once_when_the_tunnel_is_killed(world, closing):
    async with world() as up:
        readers = [asyncio.create_task(read_all(up.stream.events()))]
        readers += [asyncio.create_task(read_all(up.stream.audio()))]
        for_a_thread = up.stream.audio()
        readers += [on_worker("a reader", lambda: list(for_a_thread))]
        playing = up.count("play", await up.play_speech())
        mark = up.count("mark", up.stream.mark("behind the speech"))
        heard = up.count("heard", playing.heard(4.5))
        waits = [up.count("next", up.server.next_stream())]
        waits += [up.count("next of a call", up.server.next_stream(call=NOBODYS_CALL))]
        closed = up.count("closed", up.stream.close() if closing else up.stream.closed)
        ended = up.count("tunnel", up.tunnel.ended)
        assert not up.outcomes
        up.cut()
        why = await soon(ended)
        outcome = await soon(playing)
        assert outcome.ending == (await soon(mark)).ending == "lost"
        assert HEARD_BEFORE * 1000 <= outcome.heard_ms < 4500
        assert await soon(heard) == outcome.heard_ms / 1000
        for wait in waits:
            with pytest.raises(TunnelError, match="the public address is gone: ssh ") as lost:
                await soon(wait)
            assert why in str(lost.value)
            assert lost.value.fix
        end = await soon(closed)
        assert (end.reason, up.stream.closed.result(0)) == ("lost", end)
        events, audio, audio_on_a_thread = [await soon(reader) for reader in readers]
        assert not events
        assert sum(map(len, audio)) > 0.1 * 8000
        assert len(audio_on_a_thread) == len(audio)
        late = 20 + 2 * up.twilio.pacer.lateness.report().max_ms
        assert abs(ear_ms(up.phone, SPEECH) - outcome.heard_ms) <= 60 + late
    everything = ("play", "mark", "heard", "next", "next of a call", "closed", "tunnel")
    assert up.outcomes == dict.fromkeys(everything, 1)


async def test_what_is_asked_of_a_lost_stream_is_lost_at_once(world):
    async with world() as up:
        up.cut()
        await soon(up.stream.closed)
        assert (await soon(up.stream.play(TONE))).ending == "lost"
        assert (await soon(up.stream.mark("late"))).ending == "lost"
        up.stream.clear()
        assert (await soon(up.stream.close())).reason == "lost"
        assert [item async for item in up.stream.audio()] == []


async def test_server_stream_and_tunnel_say_in_words_why_it_is_gone(world, sshd, caplog):
    async with world() as up:
        up.cut()
        why = await soon(up.tunnel.ended)
        assert why == f"ssh {sshd.host} was killed (signal 9)"
        await eventually(lambda: up.server.disconnect_reason and up.stream.disconnect_reason)
        assert (
            up.server.disconnect_reason
            == up.stream.disconnect_reason
            == up.tunnel.disconnect_reason
            == why
        )
        assert up.server.public_url is up.tunnel.public_url is None
        assert up.server.stream_url == up.server.url
        # Its log comes from the server's loop, before the stream learns of it.
        (line,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert line.getMessage() == f"the public address is gone: {why}"
        assert (await soon(up.stream.closed)).detail.startswith("the connection broke")


async def test_stream_that_ended_before_the_tunnel_died_is_not_blamed_on_it(world):
    async with world() as up:
        up.phone.hang_up()
        assert (await soon(up.stream.closed)).reason == "stop"
        up.cut()
        await soon(up.tunnel.ended)
        await eventually(lambda: up.server.disconnect_reason)
        assert up.stream.disconnect_reason == ""


async def test_call_ends_at_twilio_too_and_hanging_it_up_is_no_error(world):
    async with world() as up:
        theirs = up.phone.call
        up.cut()
        await soon(up.phone.until("idle"))
        await eventually(lambda: theirs.over)
        assert theirs.status == "completed"
        (entry,) = up.twilio.debugger.find(up.stream.stream_sid)
        assert entry.code in (31903, 31921)
        assert await soon(up.call.hang_up()) == "completed"
        assert await soon(up.call.hang_up()) == "completed"
        assert await soon(up.call.ended) == up.call.status == "completed"


async def test_hanging_up_right_after_the_loss_ends_the_call(world):
    async with world() as up:
        playing = up.stream.play(SPEECH)
        up.cut()
        assert await soon(up.call.hang_up(after=playing)) == "completed"
        assert await soon(up.call.ended) == "completed"
        await soon(up.phone.until("idle"))


async def test_phone_that_still_rings_when_the_tunnel_dies_brings_no_stream(world):
    async with world() as up:
        bob = up.twilio.phone("+15550100002", "manual")
        call = await ring(up.twilio, up.server, bob.number)
        await soon(bob.until("ringing"))
        waiting = up.server.next_stream(call)
        port = int(up.tunnel.public_url.rpartition(":")[2])
        up.cut()
        with pytest.raises(TunnelError, match="Open a tunnel again and place the call anew"):
            await soon(waiting)
        await eventually(lambda: is_refused(port))
        bob.answer()
        await soon(bob.until("in-call"))
        await soon(bob.until("idle"))
        assert len(up.server.streams) == 1
        assert 31902 in up.twilio.debugger.codes
        assert await soon(call.hang_up()) == "completed"


@pytest.mark.parametrize("anew", ["another tunnel", "the same one"])
async def test_server_goes_on_with_a_new_tunnel_and_a_new_call(world, anew):
    async with world() as up:
        before = up.tunnel.public_url
        up.cut()
        await soon(up.tunnel.ended)
        if anew == "the same one":
            await up.tunnel.__aexit__(None, None, None)
        async with up.tunnel if anew == "the same one" else world.tunnel_to(up.server) as tunnel:
            assert up.server.disconnect_reason == tunnel.disconnect_reason == ""
            assert up.server.public_url == tunnel.public_url != before
            assert not tunnel.ended.done()
            bob = up.twilio.phone("+15550100002")
            call = await ring(up.twilio, up.server, bob.number)
            stream = await soon(up.server.next_stream(call))
            assert (await soon(stream.play(TONE))).ending == "heard"
            assert ear_ms(bob, TONE) == 200
            assert await soon(call.hang_up()) == "completed"
            assert (await soon(stream.closed)).reason == "stop"
            assert stream.disconnect_reason == ""
        assert tunnel.ended.result(0) == "closed"


@contextlib.asynccontextmanager
async def nothing_left(host):
    """Fail if what runs, or is connected, behind it is more than before; yields what was before."""
    before = belongings(host)
    yield before
    try:
        await eventually(lambda: belongings(host) <= before)
    except TimeoutError:
        pytest.fail(f"left behind: {sorted(belongings(host) - before)}")


def belongings(host):
    """The processes, threads, tasks and connections of this process, each with its kind first."""
    process = psutil.Process()
    connections = getattr(process, "net_connections", None) or process.connections
    return {
        *(f"process {child.pid}" for child in process.children(recursive=True)),
        *(f"process {pid}" for pid in users_of(host)),
        *(f"thread {thread.name} {thread.ident}" for thread in threading.enumerate()),
        *(f"task {task.get_name()}" for task in asyncio.all_tasks()),
        *(
            f"{each.status} {each.laddr} {each.raddr}"
            for each in connections(kind="inet")
            if each.status in (psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED)
        ),
    }


def users_of(host):
    """The processes that name the key to `host`: guards and ssh clients, orphans included."""
    options = host.options()
    key = options[options.index("-i") + 1]
    return [
        each.pid
        for each in psutil.process_iter(["cmdline", "status"])
        if key in (each.info["cmdline"] or ()) and each.info["status"] != psutil.STATUS_ZOMBIE
    ]


@pytest.mark.parametrize("victim", ["ssh", "its guard", "the host's side"])
async def test_nothing_is_left_running_whichever_process_was_killed(world, sshd, victim):
    async with nothing_left(sshd) as before, world() as up:
        assert len(users_of(sshd)) == 2
        reading = asyncio.create_task(read_all(up.stream.audio()))
        waits = [up.stream.play(SPEECH), up.stream.mark("never"), up.stream.closed]
        refused = up.server.next_stream()
        kinds = {each.split()[0] for each in belongings(sshd) - before}
        assert kinds == {"process", "thread", "task", "LISTEN", "ESTABLISHED"}
        if victim == "ssh":
            up.cut()
        elif victim == "its guard":
            ssh_clients()[0].parent().kill()
        else:
            sshd.drop_connections()
        for wait in waits:
            await soon(wait)
        with pytest.raises(TunnelError):
            await soon(refused)
        await soon(reading)
        # The server still stands, and of the tunnel nothing does, though nobody left it yet.
        await eventually(lambda: not users_of(sshd))
        assert not up.tunnel.public_url


@pytest.mark.realtime
async def test_tunnel_that_stands_still_ends_the_stream_by_its_silence(world, sshd):
    async with nothing_left(sshd):
        async with world(dead_after=1) as up:
            playing = await up.play_speech()
            frozen = up.cut(signal.SIGSTOP)
            assert (await soon(up.stream.closed)).reason == "silent"
            assert (await soon(playing)).ending == "lost"
            assert (
                up.server.disconnect_reason == up.tunnel.disconnect_reason == ""
            )  # nobody can know
            assert frozen.status() == psutil.STATUS_STOPPED
        assert users_of(sshd) == []
        assert up.tunnel.ended.result(0) == "closed"
