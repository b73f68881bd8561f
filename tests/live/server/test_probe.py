import asyncio
import contextlib
import re
import socket

import pytest

from support.waiting import soon
from twistream_kit.errors import TunnelError
from twistream_kit.live.server import probe as probe_module
from twistream_kit.live.server.probe import prove

NONCE = "nonce of this very process"


@pytest.fixture
async def front(monkeypatch):
    """A web server that gives these answers in turn, the last one for ever."""
    monkeypatch.setattr(probe_module, "PAUSE_SECONDS", 0.02)
    async with contextlib.AsyncExitStack() as running:

        async def start(*answers):
            rest, asked = list(answers), []

            async def serve(reader, writer):
                asked.append((await reader.readuntil(b"\r\n\r\n")).decode())
                status, text = rest.pop(0) if len(rest) > 1 else rest[0]
                head = f"HTTP/1.1 {status} \r\nLocation: /login\r\nConnection: close\r\n\r\n"
                with contextlib.suppress(OSError):
                    writer.write(head.encode() + text.encode())
                    await writer.drain()
                writer.close()

            listener = await asyncio.start_server(serve, "127.0.0.1", 0)
            await running.enter_async_context(listener)
            return f"http://127.0.0.1:{listener.sockets[0].getsockname()[1]}", asked

        yield start


@pytest.mark.parametrize("status", [502, 503, 504, 530])
async def test_front_that_is_not_there_yet_is_asked_again(status, front):
    url, asked = await front((status, "not yet"), (status, "not yet"), (200, NONCE + "\n"))
    await prove(url, NONCE, settles_within=5)
    assert len(asked) == 3
    assert asked[0].startswith("GET /health HTTP/1.1\r\n")


async def test_front_that_never_comes_is_given_up_at_the_limit(front):
    url, asked = await front((530, "error code: 1033"))
    with pytest.raises(TunnelError, match=r"/health is answered by Cloudflare, .*error 1033"):
        await soon(prove(url, NONCE, settles_within=1))
    assert len(asked) > 1


async def test_static_address_is_asked_once(front):
    url, asked = await front((502, ""), (200, NONCE))
    with pytest.raises(TunnelError, match=r"leads nowhere \(HTTP 502\)"):
        await prove(url, NONCE)
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("status", "problem", "fix"),
    [
        (200, "answers, but not from this process (HTTP 200", "Point the proxy or tunnel at this"),
        (404, "answers, but not from this process (HTTP 404", "Point the proxy or tunnel at this"),
        (302, "asks for a login, which Twilio does not have", "Make the address public"),
        (401, "answers, but not from this process (HTTP 401", "Point the proxy or tunnel at this"),
    ],
)
async def test_answer_of_somebody_else_is_final(status, problem, fix, front):
    url, asked = await front((status, "somebody else"), (200, NONCE))
    with pytest.raises(TunnelError, match=re.escape(problem)) as raised:
        await prove(url, NONCE, settles_within=5)
    assert raised.value.fix.startswith(fix)
    assert len(asked) == 1


async def test_answer_without_end_is_not_read_to_its_end(front):
    url, _ = await front((200, NONCE + "x" * 5_000_000))
    with pytest.raises(TunnelError, match="not from this process"):
        await prove(url, NONCE)


async def test_proof_that_hangs_is_given_up(monkeypatch):
    monkeypatch.setattr(probe_module, "PROOF_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        with pytest.raises(TunnelError, match="did not answer in time"):
            await prove(url, NONCE)


@pytest.fixture
def lookups(monkeypatch):
    """Let no name resolve; gives the times of the lookups."""
    monkeypatch.setattr(probe_module, "PAUSE_SECONDS", 0.02)
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    names = []

    def getaddrinfo(host, *args, **options):
        names.append(host)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr("urllib3.util.connection.socket.getaddrinfo", getaddrinfo)
    return names


async def test_new_name_that_does_not_resolve_is_waited_for_and_then_explained(lookups, caplog):
    with pytest.raises(TunnelError) as raised:
        await soon(prove("https://new.example", NONCE, settles_within=0.3))
    assert len(lookups) > 1
    assert raised.value.problem.startswith("https://new.example/health does not resolve yet: ")
    assert "30 minutes" in raised.value.consequence
    waiting = [each for each in caplog.messages if "does not resolve here yet; waiting" in each]
    assert len(waiting) == 1


async def test_name_of_a_static_address_that_does_not_resolve_is_no_new_one(lookups):
    with pytest.raises(TunnelError, match=r"does not resolve: .*a tunnel's name of yesterday"):
        await soon(prove("https://old.example", NONCE))
    assert len(lookups) == 1


async def test_new_name_is_not_looked_up_before_its_time_unless_a_proxy_does_that(
    lookups, front, monkeypatch
):
    proving = asyncio.create_task(prove("https://new.example", NONCE, lookup_after=60))
    await asyncio.sleep(0.3)  # sleeps: time in which a lookup would have been made
    assert lookups == []
    proving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await proving
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    with pytest.raises(TunnelError):
        await soon(prove("https://new.example", NONCE, lookup_after=60))
    monkeypatch.undo()
    url, asked = await front((200, NONCE))
    await soon(prove(url, NONCE, lookup_after=60))
    assert len(asked) == 1
