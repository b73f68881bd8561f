import gc

from twistream_kit.live.server.server import StreamServer, server_at


async def test_a_running_server_is_found_by_its_address(serve):
    one, two = await serve(), await serve(public_url="https://example.com")
    assert server_at(one.stream_url) is one
    assert server_at("wss://example.com/media") is two
    assert server_at(two.url) is None
    assert server_at("wss://elsewhere.example/media") is None


async def test_a_server_that_has_stopped_is_not_found():
    async with StreamServer() as server:
        url = server.stream_url
        assert server_at(url) is server
    assert server_at(url) is None


async def test_a_server_that_never_ran_is_not_found():
    server = StreamServer(public_url="https://never.example")
    assert server_at(server.stream_url) is None


async def test_servers_are_not_kept_alive():
    async with StreamServer() as server:
        url = server.url
    del server
    gc.collect()
    assert server_at(url) is None
