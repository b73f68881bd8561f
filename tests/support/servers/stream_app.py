"""`StreamApp` in a process of its own: ``python stream_app.py SERVER PORT [MOUNTED] [OPTION…]``.

The servers import this module for `application`, in each of their workers.
"""

from __future__ import annotations

import os
import sys

import twistream_kit as kit

TOKEN = "0123456789abcdef0123456789abcdef"
PORT = int(os.environ.get("APP_PORT", "0"))
MOUNT = os.environ.get("APP_MOUNT", "")


async def speak(stream):
    """Say a sentence; behave otherwise if a parameter asks for it."""
    wanted = stream.start.custom_parameters.get("wanted", "")
    if wanted == "raise":
        raise RuntimeError("no customer of that name")
    if wanted == "interrupt":
        playing = stream.play(kit.Clip.tone(440, 20))
        await playing.heard(0.3)
        stream.clear()
        await playing
        await stream.play(kit.Clip.tone(880, 0.4))
        stream.close()
        return
    stream.play(kit.Clip.tone(440, float(wanted or 4)))
    if wanted:
        stream.close()


stream_app = kit.StreamApp(speak, auth_token=TOKEN, public_url=f"http://127.0.0.1:{PORT}{MOUNT}")
application = stream_app
if MOUNT and os.environ.get("APP_FRAMEWORK") == "fastapi":
    from fastapi import FastAPI

    application = FastAPI()
    application.mount(MOUNT, stream_app)
elif MOUNT:
    from starlette.applications import Starlette
    from starlette.routing import Mount

    application = Starlette(routes=[Mount(MOUNT, stream_app)])


async def serve_by_hypercorn(options: list[str]) -> None:
    """Run hypercorn with a shutdown trigger of its own, as the documentation shows."""
    import asyncio
    import signal

    from hypercorn.asyncio import serve
    from hypercorn.config import Config

    stopped, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)

    async def wait_drained() -> None:
        await stopped.wait()
        await stream_app.drain()

    config = Config()
    config.bind = [f"127.0.0.1:{PORT}"]
    await serve(application, config, shutdown_trigger=wait_drained)


if __name__ == "__main__":
    import asyncio

    asyncio.run(serve_by_hypercorn(sys.argv[1:]))
