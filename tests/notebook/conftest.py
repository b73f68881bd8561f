"""Calls to press buttons on, ways to wait, and kernels."""

from __future__ import annotations

import asyncio
import threading
import time
from dataclasses import dataclass

import pytest

from support.front_end import FrontEnd
from support.kernels import KERNELS, write_spec
from support.waiting import LIMIT_SECONDS
from twistream_kit.audio.clip import Clip
from twistream_kit.live.calls.call import Call
from twistream_kit.live.dialling.place import place_call
from twistream_kit.live.server.server import StreamServer
from twistream_kit.live.stream.stream import MediaStream
from twistream_kit.notebook.runtime import background
from twistream_kit.notebook.runtime.activity_log import get_activity_log
from twistream_kit.simulator.phone import Phone
from twistream_kit.simulator.twilio import SimulatedTwilio


@pytest.fixture
def background_loop():
    """The module that runs the kit's loop; whatever a test starts there is stopped after it."""
    yield background
    background.stop()
    assert background.running() == []


@pytest.fixture
def said():
    """Return what the kit's activity log says of what happened since the test began."""
    log, begin = get_activity_log(), time.monotonic()
    return lambda: [line.text for line in log.lines if line.at >= begin]


class Thing:
    """Something to start that notes, on which loop and thread, it was entered and left."""

    def __init__(self, name="thing", *, notes=None, fail=None, release=None):
        self.name, self.fail, self.release = name, fail, release
        self.notes = [] if notes is None else notes
        self.loop = self.thread = self.task = None

    async def __aenter__(self):
        self.loop, self.thread = asyncio.get_running_loop(), threading.current_thread()
        self.task = asyncio.current_task()
        self.notes.append(f"enter {self.name}")
        if self.release is not None:
            await self.release.wait()
        if self.fail is not None:
            raise self.fail
        return self

    async def __aexit__(self, *_):
        assert asyncio.current_task() is self.task
        self.notes.append(f"leave {self.name}")


@pytest.fixture
def thing():
    return Thing


@dataclass
class CallUp:
    """A call on which things can be tried: everything about it."""

    twilio: SimulatedTwilio
    server: StreamServer
    phone: Phone
    call: Call
    stream: MediaStream


@pytest.fixture
def make_call(background_loop):
    """Bring a call up on the kit's loop; options are the server's."""

    def make(handler=None, **options):
        twilio = background_loop.start(SimulatedTwilio(ring_seconds=0.02))
        server = background_loop.start(StreamServer(handler, **options))
        phone = twilio.phone("+15550100001")
        call = place_call(
            twilio.client, to=phone.number, from_=twilio.numbers[0], stream_url=server.stream_url
        ).result(LIMIT_SECONDS)
        stream = server.next_stream(call).result(LIMIT_SECONDS)
        return CallUp(twilio, server, phone, call, stream)

    return make


@pytest.fixture
def tone():
    """Sound with a name, so long that it still plays after a machine that stood still goes on."""
    clip = Clip.tone(440, 20.0)
    return Clip(clip.payload, name="tone")


@pytest.fixture(scope="session")
def specs(tmp_path_factory):
    """The folder with the kernelspecs of this run."""
    folder = tmp_path_factory.mktemp("jupyter")
    for version in KERNELS:
        write_spec(version, folder)
    return folder


@pytest.fixture(
    scope="session",
    params=[
        # Between the oldest and the newest; `make test-slow` has it, as CI does.
        pytest.param(each, marks=pytest.mark.slow if each == "7.3.0" else ())
        for each in KERNELS
    ],
)
def kernel_version(request):
    """Every kernel that is supported by promise."""
    return request.param


@pytest.fixture
def fresh_kernel(specs):
    """Start kernels by version; they end with the test."""
    begun = []

    def begin(version, **options):
        begun.append(FrontEnd(f"ipykernel-{version}", specs, **options))
        return begun[-1]

    yield begin
    for front_end in begun:
        front_end.close()


@pytest.fixture(scope="session")
def shared_kernel(kernel_version, specs):
    """One kernel of each version for all tests that leave it as they found it."""
    front_end = FrontEnd(f"ipykernel-{kernel_version}", specs)
    yield front_end
    front_end.close()


@pytest.fixture
def kernel(shared_kernel):
    """The shared kernel, in which nothing runs before the test nor after it."""
    shared_kernel.forget()
    shared_kernel.run("import twistream_kit as kit; assert kit.running() == []")
    yield shared_kernel
    shared_kernel.run("kit.stop()")
