"""The smallest whole server: its callers hear themselves.

python examples/echo.py
twistream call ws://127.0.0.1:8080/media --say sample_audio/greeting.wav --seconds 6
"""

import asyncio
import contextlib
import os

import twistream_kit as kit


async def echo(stream: kit.MediaStream) -> None:
    """Play each 20 ms of the caller's voice to the caller."""
    async for samples in stream.audio():
        stream.play(samples)


async def main() -> None:
    """Serve until Ctrl-C."""
    async with kit.StreamServer(echo, port=int(os.environ.get("PORT", "8080"))) as server:
        print(server.url, flush=True)
        await server.stopped


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(main())
