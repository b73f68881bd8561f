import asyncio

from support.waiting import soon
from twistream_kit.live.server.local_proxy import LocalProxy


async def test_proxy_that_stops_while_it_connects_closes_what_it_accepted(serve, monkeypatch):
    connecting, connect = asyncio.Event(), asyncio.open_connection

    async def connect_for_ever(*_):
        connecting.set()
        await asyncio.Event().wait()

    async with LocalProxy(await serve()) as proxy:
        port = int(proxy.url.rpartition(":")[2])
        monkeypatch.setattr(asyncio, "open_connection", connect_for_ever)
        reader, writer = await connect("127.0.0.1", port)
        await soon(connecting.wait())
    try:
        assert await soon(reader.read()) == b""
    finally:
        writer.close()
        await writer.wait_closed()
