"""A Media Streams server of the customer's; it imports nothing of `twistream_kit` either."""

from __future__ import annotations

import json
from base64 import b64encode
from xml.sax.saxutils import quoteattr

import websockets


class MediaServer:
    """A Media Streams server that keeps what it gets and does what the test says."""

    def __init__(self):
        self.connections = []
        self.messages = []
        self.endings = []
        self.url = ""

    def of(self, event):
        return [message for message in self.messages if message["event"] == event]

    def noun(self, *, inside="", **attributes):
        """Return a <Stream> that leads here."""
        pairs = {"url": self.url, **attributes}
        text = " ".join(f"{name}={quoteattr(value)}" for name, value in pairs.items())
        return f"<Stream {text}>{inside}</Stream>"

    def connect(self, *, inside="", **attributes):
        return f"<Connect>{self.noun(inside=inside, **attributes)}</Connect>"

    async def say(self, payload, *, mark=None):
        sid = self.of("start")[-1]["streamSid"]
        media = {"payload": b64encode(payload).decode()}
        await self.send({"event": "media", "streamSid": sid, "media": media})
        if mark is not None:
            await self.send({"event": "mark", "streamSid": sid, "mark": {"name": mark}})

    async def send(self, message):
        await self.connections[-1].send(json.dumps(message))

    async def close(self, code=1000, reason=""):
        await self.connections[-1].close(code, reason)

    async def serve(self, connection):
        self.connections.append(connection)
        try:
            async for text in connection:
                self.messages.append(json.loads(text))
        except websockets.ConnectionClosed:
            pass
        self.endings.append(connection.close_code)
