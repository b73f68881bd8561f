"""One connection through an inspector, from its first byte to its last."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import ssl
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from twistream_kit.live.inspector.findings import UNASKED_EXTENSION
from twistream_kit.live.inspector.http import (
    READ_AHEAD_BYTES,
    TOO_LONG,
    BadHead,
    RequestHead,
    ResponseHead,
    read_head,
    read_response_head,
)
from twistream_kit.live.inspector.inspector_gate import InspectorGate, response
from twistream_kit.live.inspector.relay import (
    FAREWELL_SECONDS,
    PIECE_BYTES,
    End,
    carry_both_ways,
    has_failed,
    part,
)
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.live.inspector.stream_tap import StreamTap
from twistream_kit.live.inspector.upstream import Unreachable, Upstream
from twistream_kit.pending import HomeLoop, end_tasks

logger = logging.getLogger("twistream_kit.live")

HEAD_SECONDS = 10.0
"""How long a client may take to say what it wants."""

GONE_SECONDS = 30.0
"""How long an answer is waited for on behalf of a client that has ended its sending."""


@dataclass(frozen=True, slots=True)
class Way:
    """What all connections through one inspector share.

    Attributes:
        home: The inspector's loop.
        gate: Answers what does not get through.
        upstream: The server behind.
        context: For TLS to the server, or None.
        scheme: Says how clients come: ``http``, or ``https`` through a tunnel.
        opened: Told of each stream whose handshake the server has accepted.
        started: Told of each stream that has said start.
        ended: Told of each stream that has ended.
    """

    home: HomeLoop
    gate: InspectorGate
    upstream: Upstream
    context: ssl.SSLContext | None
    scheme: Callable[[], str]
    opened: Callable[[InspectedStream], None]
    started: Callable[[InspectedStream], None]
    ended: Callable[[InspectedStream], None]


class Crossing:
    """One connection, and the one to the server that is made for it.

    Args:
        way: What it shares with others.
        client: Twilio, a tunnel, or anybody else.
    """

    def __init__(self, way: Way, client: End) -> None:
        self._way = way
        self._client = client

    async def run(self) -> None:
        """Serve it to its end; cancelling closes both connections."""
        try:
            await self._request()
        except BadHead as error:
            with contextlib.suppress(OSError, TimeoutError):
                text = TOO_LONG if error.status == 431 else "This request is not understood.\n"
                await self._refuse(HTTPStatus(error.status), text)
                self._client.end_sending()
                async with asyncio.timeout(FAREWELL_SECONDS):
                    await self._client.read_out()  # or the rest of its head would undo the answer
        except (OSError, TimeoutError):
            pass  # whoever asked is gone, or never said what for
        finally:
            await self._client.close()

    async def _request(self) -> None:
        async with asyncio.timeout(HEAD_SECONDS):
            raw = await read_head(self._client.reader)
        if raw is None:
            return
        head = RequestHead.of(raw)
        answer = self._way.gate.answer(head)
        if answer is not None:
            await self._client.send(answer)
            return
        if head.is_upgrade and head.size:
            raise BadHead(400)
        server = await self._connected()
        if server is None:
            return
        try:
            forwarded = head.forwarded(
                self._way.upstream.authority,
                came_from=self._client.address,
                scheme=self._way.scheme(),
            )
            await server.send(forwarded)
            if head.is_upgrade:
                await self._handshake(server)
            else:
                await self._ordinary(server, head.size)
        finally:
            await server.close()

    async def _connected(self) -> End | None:
        upstream = self._way.upstream
        try:
            reader, writer = await upstream.connect(self._way.context, READ_AHEAD_BYTES)
        except Unreachable as error:
            logger.error(
                "your server at %s cannot be reached: %s. Twilio, connecting there itself, would "
                "log %d; through the inspector it logs 31920, because it is told HTTP 502",
                upstream.url,
                error.problem,
                error.code,
            )
            text = f"The server behind this inspector cannot be reached: {error.problem}.\n"
            await self._refuse(HTTPStatus.BAD_GATEWAY, text)
            return None
        return End(reader, writer)

    async def _refuse(self, status: HTTPStatus, text: str) -> None:
        await self._client.send(response(status, text))

    async def _ordinary(self, server: End, size: int) -> None:
        """Pass a request with its body on, and the answer back; the last of its connection."""
        body = asyncio.create_task(_pass_body(self._client, server, size))
        answer = asyncio.create_task(_pass_rest(server, self._client))
        try:
            await asyncio.wait((body, answer), return_when=asyncio.FIRST_COMPLETED)
            if not answer.done() and not has_failed(body):
                await asyncio.wait((answer,), timeout=GONE_SECONDS)
        finally:
            await end_tasks({body, answer})
            for task in (body, answer):
                has_failed(task)

    async def _handshake(self, server: End) -> None:
        """Pass the server's answer back; if it is yes, what follows is a stream."""
        status, early = 100, b""
        while 100 <= status < 200 and status != HTTPStatus.SWITCHING_PROTOCOLS:
            raw, said = await _unless_gone(read_response_head(server.reader), self._client)
            early += said
            if not raw and self._client.reader.at_eof():
                logger.warning("a handshake was given up before your server answered it")
                return
            head = ResponseHead.of(raw)
            status = head.status
            await self._client.send(raw)
        if status == HTTPStatus.SWITCHING_PROTOCOLS:
            await self._stream(server, head, early)
            return
        how = f"refused a stream with HTTP {status}" if status else "did not answer a handshake"
        hint = "" if status or self._way.upstream.is_secure else "; is its address wss, not ws?"
        logger.warning("your server %s; Twilio would log 31920%s", how, hint)
        rest = asyncio.create_task(_pass_rest(server, self._client))
        client = asyncio.create_task(self._client.read_out())
        try:
            await asyncio.wait((rest, client), return_when=asyncio.FIRST_COMPLETED)
        finally:
            await end_tasks({rest, client})
            has_failed(rest)

    async def _stream(self, server: End, head: ResponseHead, early: bytes) -> None:
        way = self._way
        stream = InspectedStream(way.home, time.monotonic())
        tap = StreamTap(stream, lambda: way.started(stream))
        way.opened(stream)
        if head.all("Sec-WebSocket-Extensions"):
            stream.object_to_handshake(UNASKED_EXTENSION, time.monotonic())
        is_stopped = True
        try:
            if early:
                tap.passed("twilio", early)
                await server.send(early)
            with way.home.in_a_hurry():
                await carry_both_ways(
                    self._client,
                    server,
                    lambda piece: tap.passed("twilio", piece),
                    lambda piece: tap.passed("server", piece),
                    tap.has_room,
                )
            is_stopped = False
        except OSError:
            is_stopped = False
            await part(self._client, server)
        finally:
            await tap.finish()
            stream.end(time.monotonic(), stopped_here=is_stopped)
            way.ended(stream)


async def _pass_body(client: End, server: End, size: int) -> None:
    """Pass exactly so many bytes on, and then watch whether the client is still there.

    What follows a body would be another request, of which nobody has seen the head.
    """
    while size:
        piece = await client.reader.read(min(size, PIECE_BYTES))
        if not piece:
            break
        size -= len(piece)
        await server.send(piece)
    await client.read_out()


async def _pass_rest(source: End, to: End) -> None:
    while piece := await source.reader.read(PIECE_BYTES):
        await to.send(piece)


async def _unless_gone(waiting: Coroutine[Any, Any, bytes], client: End) -> tuple[bytes, bytes]:
    """Wait for bytes, but not on behalf of a client that has gone.

    Returns:
        The bytes, or nothing if the client has gone first; and what the client has said meanwhile.
    """
    wanted = asyncio.create_task(waiting)
    said = asyncio.create_task(client.reader.read(PIECE_BYTES))
    try:
        await asyncio.wait((wanted, said), return_when=asyncio.FIRST_COMPLETED)
        if said.done() and said.result():
            await asyncio.wait((wanted,))
        early = said.result() if said.done() else b""
        return wanted.result() if wanted.done() else b"", early
    finally:
        await end_tasks({wanted, said})
