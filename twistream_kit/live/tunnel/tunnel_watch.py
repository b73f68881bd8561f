"""What ends a tunnel that nobody closes: its provider dies, or its server stops."""

from __future__ import annotations

import asyncio

from twistream_kit.errors import ServerStopped
from twistream_kit.live.server.reachable import Reachable
from twistream_kit.live.tunnel.provider import Provider
from twistream_kit.pending import Pending, end_tasks, fulfil

SERVER_STOPPED = "the server that it leads to has stopped"


async def end_of(provider: Provider, server: Reachable) -> str:
    """Wait until `provider` dies or `server` stops; return which, in words.

    A port that a server has left may be somebody else's the next moment, who is then open to the
    world: so an address must not outlive its server.

    Args:
        provider: One that is open.
        server: On whatever loop.
    """
    stopped: Pending[None] = Pending()

    def on_stop() -> None:
        fulfil(stopped, None)

    try:
        # No call has an empty SID; what is wanted is the end of the following.
        unfollow = server.follow_call("", lambda _: None, on_stop)
    except ServerStopped:
        return SERVER_STOPPED
    death = asyncio.ensure_future(provider.death())
    stop = asyncio.ensure_future(_done(stopped))
    try:
        await asyncio.wait((death, stop), return_when=asyncio.FIRST_COMPLETED)
        return death.result() if death.done() else SERVER_STOPPED
    finally:
        unfollow()
        await end_tasks({death, stop})


async def _done(pending: Pending[None]) -> None:
    await pending
