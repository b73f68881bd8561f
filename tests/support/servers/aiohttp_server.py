"""aiohttp: ``python aiohttp_server.py PORT TONE``."""

from __future__ import annotations

import os
import sys

from aiohttp import WSMsgType, web
from script import Script


async def stream(request):
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    script = Script(request.match_info["wanted"], sys.argv[2])
    async for message in socket:
        if message.type != WSMsgType.TEXT:
            continue
        for act, *what in script.react(message.data):
            if act == "send" and isinstance(what[0], bytes):
                await socket.send_bytes(what[0])
            elif act == "send":
                await socket.send_str(what[0])
            elif act == "close":
                await socket.close(code=what[0], message=what[1].encode())
            elif act == "exits":
                os._exit(1)
            else:
                raise RuntimeError("no customer of that name")
    return socket


if __name__ == "__main__":
    app = web.Application()
    app.router.add_get("/{wanted}", stream)
    web.run_app(app, host="127.0.0.1", port=int(sys.argv[1]), print=None)
