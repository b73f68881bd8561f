"""The inputs of `tests/cases`: sounds, documents, and programs of users, run as they are."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from support.waiting import LIMIT_SECONDS

CASES = Path(__file__).parents[1] / "cases"
FRAME_BYTES = 160


def frames_of(name: str) -> list[bytes]:
    """Return the payload of a file of `tests/cases` in frames of 20 ms; the last may be shorter."""
    payload = (CASES / name).read_bytes()
    return [payload[at : at + FRAME_BYTES] for at in range(0, len(payload), FRAME_BYTES)]


def free_port() -> int:
    """Return a port of the loopback interface on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


@contextlib.asynccontextmanager
async def running(program: str | Path) -> AsyncIterator[str]:
    """Run a server of `tests/cases`, or of a path, in a process of its own; give its ws:// URL."""
    port = free_port()
    process = await asyncio.create_subprocess_exec(sys.executable, str(CASES / program), str(port))
    try:
        async with asyncio.timeout(LIMIT_SECONDS):
            while not is_taken(port):
                assert process.returncode is None, f"{program} has ended"
                await asyncio.sleep(0.05)  # sleeps: between two looks at the port
        yield f"ws://127.0.0.1:{port}/media"
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def is_taken(port: int) -> bool:
    """Tell without a connection, which some of these programs would take for their only client."""
    with socket.socket() as attempt:
        attempt.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            attempt.bind(("127.0.0.1", port))
        except OSError:
            return True
        return False


@contextlib.asynccontextmanager
async def answering(answer: bytes) -> AsyncIterator[int]:
    """Give these bytes as the answer to every request on a port, and close; give the port."""

    async def answer_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(answer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer_request, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


def lines_of(name: str) -> Iterator[str]:
    """Give the lines of a text of `tests/cases`."""
    yield from (CASES / name).read_text(encoding="utf-8").splitlines()
