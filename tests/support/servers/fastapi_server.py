"""FastAPI on uvicorn: ``python fastapi_server.py PORT TONE WEBSOCKETS``."""

from __future__ import annotations

import os
import sys

import uvicorn
from fastapi import FastAPI, WebSocket, WebSocketDisconnect
from script import Script

app = FastAPI()


@app.websocket("/{wanted}")
async def stream(socket: WebSocket, wanted: str):
    await socket.accept()
    script = Script(wanted, sys.argv[2])
    try:
        while True:
            for act, *what in script.react(await socket.receive_text()):
                if act == "send" and isinstance(what[0], bytes):
                    await socket.send_bytes(what[0])
                elif act == "send":
                    await socket.send_text(what[0])
                elif act == "close":
                    await socket.close(*what)
                    return
                elif act == "exits":
                    os._exit(1)
                else:
                    raise RuntimeError("no customer of that name")
    except WebSocketDisconnect:
        pass


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), ws=sys.argv[3], log_level="error")
