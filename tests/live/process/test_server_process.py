import sys

import psutil
import pytest

from support.waiting import LIMIT_SECONDS, eventually, soon
from twistream_kit.errors import ServerStopped, TwistreamError
from twistream_kit.live.process.server_process import ServerProcess, _build_stream_url

SERVER = """
import asyncio, os, sys, websockets
async def echo(socket):
    async for text in socket:
        await socket.send(text + os.environ.get("SAYS", ""))
async def main():
    async with websockets.serve(echo, "127.0.0.1", 0) as server:
        host, port = next(iter(server.sockets)).getsockname()
        print("warming up", flush=True)
        print(f"Listening on http://{host}:{port} (Ctrl+C ends it)", flush=True)
        await asyncio.Future()
asyncio.run(main())
"""


def python(program, **options):
    return ServerProcess([sys.executable, "-c", program], **options)


async def test_a_server_is_ready_when_it_has_said_its_address_and_ends_with_the_block():
    from websockets.asyncio.client import connect

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    async with python(SERVER, path="/voice", environment={"SAYS": "!"}) as server:
        assert server.url.startswith("ws://127.0.0.1:")
        assert server.url.endswith("/voice")
        async with connect(server.url, proxy=None) as socket:
            await socket.send("here")
            assert await soon(socket.recv()) == "here!"
        assert server.lines[0] == "warming up"
        assert server.url in repr(server)
    with pytest.raises(ServerStopped):
        server.url  # noqa: B018 - the access is the test
    # One that is no child of ours dies some time after it was killed.
    await eventually(
        lambda: {process.pid for process in psutil.Process().children(recursive=True)} <= before
    )


async def test_a_server_that_ends_first_says_its_last_words():
    with pytest.raises(TwistreamError, match=r"ended with 3 before.*Its last words: no such thing"):
        async with python("import sys; print('no such thing'); sys.exit(3)"):
            pass


@pytest.mark.parametrize("module", ["no_such_package", "no_such_package.part"])
async def test_a_module_that_is_not_there_is_named_with_the_command_that_installs_it(module):
    with pytest.raises(TwistreamError) as caught:
        async with python(f"import {module}"):
            pass
    assert caught.value.fix.startswith(
        "If no_such_package is a package, say pip install no_such_package for the Python of the"
    )
    with pytest.raises(TwistreamError, match="pip install no_such_package"):
        async with ServerProcess([sys.executable, "-m", module]):
            pass


async def test_a_server_that_stays_silent_is_given_up(monkeypatch):
    monkeypatch.setattr("twistream_kit.live.process.server_process.READY_SECONDS", 0.5)
    with pytest.raises(TwistreamError, match=r"within 0.5 s. Its last words: nothing"):
        async with python("input()"):
            pass


async def test_a_program_that_is_not_there_ends_it_at_once():
    with pytest.raises(TwistreamError, match=r"ended with 127.*Look whether it is installed"):
        async with ServerProcess(["no-such-program-here"]):
            pass


async def test_an_address_that_is_not_flushed_is_read_all_the_same(monkeypatch):
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    monkeypatch.setattr("twistream_kit.live.process.server_process.READY_SECONDS", LIMIT_SECONDS)
    async with python(SERVER.replace(", flush=True", "")) as server:
        assert server.url.startswith("ws://127.0.0.1:")


async def test_a_link_to_a_documentation_is_not_taken_for_its_address():
    links = 'print("See https://example.com/docs or http://localhost/ for help")'
    async with python(links + SERVER) as server:
        assert server.url.startswith("ws://127.0.0.1:")


@pytest.mark.parametrize("said", ["http://127.0.0.1:99999/", "http://[::1:8000"])
async def test_what_is_no_address_is_refused_in_words(said):
    program = f"print({said!r}, flush=True); input()"
    with pytest.raises(TwistreamError, match=r"which is no address.*Say ready="):
        async with python(program, ready=r"(http\S+)"):
            pass


def test_a_command_in_one_string_is_refused():
    with pytest.raises(TypeError, match="command is a list"):
        ServerProcess("node server.js")


@pytest.mark.parametrize(
    ("found", "url"),
    [
        ("http://127.0.0.1:8000", "ws://127.0.0.1:8000/media"),
        ("http://0.0.0.0:8000/", "ws://127.0.0.1:8000/media"),
        ("http://[::]:8000", "ws://[::1]:8000/media"),
        ("https://localhost:8443", "wss://localhost:8443/media"),
        ("ws://localhost:8080/twilio", "ws://localhost:8080/twilio"),
        ("localhost:8080", "ws://localhost:8080/media"),
        ("http://127.0.0.1:5000.", "ws://127.0.0.1:5000/media"),
    ],
)
def test_the_address_it_prints_becomes_that_of_its_stream(found, url):
    assert _build_stream_url(found, "/media") == url


async def test_a_pattern_with_a_group_finds_an_address_said_in_another_way():
    program = SERVER.replace("http://{host}:{port} (Ctrl+C ends it)", "host {host}, port {port}")
    async with python(program, ready=r"port (\d+)") as server:
        assert server.url.startswith("ws://127.0.0.1:")
