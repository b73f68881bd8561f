"""Twilio's end of a stream, and no part of the simulator.

A plain `websockets` client: it signs its handshake, says what it is asked to, and sends a mark back
only when the test says so.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import socket

import websockets
from websockets.asyncio.client import connect

from support.waiting import LIMIT_SECONDS, eventually
from twistream_kit.protocol import from_twilio, signature, to_twilio

TOKEN = "0123456789abcdef0123456789abcdef"
"""The auth token that handshakes are signed with."""


class FarEnd:
    """Twilio's end of one stream, message by message."""

    _numbers = itertools.count(1)

    def __init__(self, connection, number):
        self.connection = connection
        self.stream_sid = f"MZ{number:032x}"
        self.call_sid = f"CA{number:032x}"
        self.received = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self):
        with contextlib.suppress(websockets.ConnectionClosed):
            async for text in self.connection:
                self.received.append(to_twilio.parse(text))

    async def begin(self, **parameters):
        await self.send(from_twilio.Connected())
        await self.send(
            from_twilio.Start(
                self.stream_sid, "AC" + "0" * 32, self.call_sid, custom_parameters=parameters
            )
        )

    async def send(self, message):
        await self.connection.send(message if isinstance(message, str) else message.to_json())

    async def media(self, payload=b"\xff" * 160):
        await self.send(from_twilio.Media(self.stream_sid, payload))

    async def echo(self, *names):
        for name in names or [mark.name for mark in self.of(to_twilio.Mark)]:
            await self.send(from_twilio.Mark(self.stream_sid, name))

    async def stop(self):
        await self.send(from_twilio.Stop(self.stream_sid, "AC" + "0" * 32, self.call_sid))

    def of(self, kind):
        return [message for message in self.received if isinstance(message, kind)]

    async def until(self, kind, count=1):
        """Wait until `count` messages of a kind have come; return them all."""
        await eventually(lambda: self._reading.done() or len(self.of(kind)) >= count)
        assert len(self.of(kind)) >= count, f"closed before {count} {kind.__name__} came"
        return self.of(kind)

    @classmethod
    async def dial(cls, server, *, signed_url=None, url=None):
        """Open a WebSocket to a server, signed if it wants that."""
        headers = {}
        if server.checks_signatures:
            signed = signature.sign(TOKEN, signed_url or server.stream_url)
            headers["x-twilio-signature"] = signed
        # A socket of our own keeps proxies named in the environment out of it.
        own = socket.create_connection(("127.0.0.1", server.port))
        own.setblocking(False)
        connection = await connect(
            url or server.url, sock=own, compression=None, ping_interval=None,
            additional_headers=headers, close_timeout=0.5,
        )  # fmt: skip
        return cls(connection, next(cls._numbers))

    async def close_code(self):
        """Wait for the end of the socket; return its code."""
        async with asyncio.timeout(LIMIT_SECONDS):
            await self._reading
            await self.connection.wait_closed()
        return self.connection.close_code

    def vanish(self):
        """Break the connection, as a killed process does."""
        self.connection.transport.abort()
