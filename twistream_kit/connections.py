"""Connections of asyncio at their ends: a transport that is lost, a server that stops listening."""

from __future__ import annotations

import asyncio
from typing import Any

from twistream_kit.pending import end_tasks


class LostTransport(asyncio.Transport):
    """Stands for a transport whose connection is lost: what is done to it has no effect.

    Args:
        lost: The transport; asked for its extra info only.
    """

    def __init__(self, lost: asyncio.BaseTransport) -> None:
        super().__init__()
        self._lost = lost

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return what is known of the connection that was lost."""
        return self._lost.get_extra_info(name, default)

    def is_closing(self) -> bool:
        """Return True."""
        return True

    def get_write_buffer_size(self) -> int:
        """Return 0."""
        return 0

    def can_write_eof(self) -> bool:
        """Return False."""
        return False

    def write(self, data: Any) -> None:
        """Discard the data, as asyncio does after a loss."""

    def close(self) -> None:
        """Do nothing."""

    def abort(self) -> None:
        """Do nothing."""


class LosesTransport:
    """A mixin for a protocol that uses its transport after the connection was lost.

    A transport of asyncio that was closed while data waited in its buffer is taken apart once the
    data is written; then its ``abort`` and ``write`` raise an AttributeError.  `websockets` calls
    them after a loss, too.
    """

    transport: Any

    def connection_lost(self, exc: Exception | None) -> None:
        """Handle the loss, then put a `LostTransport` in the place of the transport."""
        super().connection_lost(exc)  # type: ignore[misc]  # of the protocol that it is mixed into
        self.transport = LostTransport(self.transport)


async def stop_listening(
    listener: asyncio.Server | None, connections: set[asyncio.Task[Any]]
) -> None:
    """Accept no more, end the tasks of the `connections`, and wait until nothing is left open."""
    if listener is not None:
        listener.close()
    await end_tasks(set(connections))
    if listener is not None:
        await listener.wait_closed()
