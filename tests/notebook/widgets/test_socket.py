"""Who gets in through the widgets' own socket, and what a slow page is sent."""

from __future__ import annotations

import asyncio

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from support.waiting import soon
from twistream_kit.notebook.widgets._socket import (
    UNCONFIRMED_FRAMES,
    WAITING_FRAMES,
    WidgetPage,
    WidgetSocket,
    start_widget_socket,
)

ORIGIN = "http://localhost:8888"
FRAME = b"\x11" * 160


class Widget:
    """Notes what its pages do."""

    def __init__(self):
        self.pages, self.heard, self.gone = [], [], []
        self.something = asyncio.Event()

    def add_page(self, page):
        self.pages.append(page)

    def remove_page(self, page):
        self.gone.append(page)
        self.something.set()

    def handle_text(self, page, words):
        self.heard.append(words)
        self.something.set()

    def handle_sound(self, page, sound):
        self.heard.append(sound)
        self.something.set()

    async def next(self):
        await soon(self.something.wait())
        self.something.clear()


@pytest.fixture
async def socket():
    async with WidgetSocket() as socket:
        yield socket


@pytest.fixture
def widget():
    return Widget()


def visit(address, *, origin=ORIGIN, **headers):
    return connect(address, origin=origin, additional_headers=headers, proxy=None)


async def refused(address, **options):
    with pytest.raises(InvalidStatus) as caught:
        async with visit(address, **options):
            pass
    return caught.value.response.status_code, bytes(caught.value.response.body)


async def test_a_page_with_the_secret_gets_in_and_is_listened_to(socket, widget):
    channel = socket.open(widget)
    async with visit(channel.address) as page:
        await page.send("answer")
        await widget.next()
        await page.send(b"\x00\x01")
        await widget.next()
        assert page.response.headers.get("Sec-WebSocket-Extensions") is None
    await widget.next()
    assert widget.heard == ["answer", b"\x00\x01"]
    assert widget.gone == widget.pages
    assert channel.pages == set()


@pytest.mark.parametrize("origin", ["http://127.0.0.1:8888", "https://[::1]:1", "http://localhost"])
async def test_every_name_of_this_machine_is_an_origin(socket, widget, origin):
    async with visit(socket.open(widget).address, origin=origin):
        pass


@pytest.mark.parametrize(
    "origin",
    [
        None,
        "null",
        "https://example.com",
        "http://localhost.example.com",
        "http://127.0.0.1.example.com",
        "http://example.com/localhost",
        "http://localhost@example.com",
        "file://localhost",
        "http://[::1",
    ],
)
async def test_a_page_of_another_site_is_refused(socket, widget, origin):
    status, _ = await refused(socket.open(widget).address, origin=origin)
    assert status == 403
    assert widget.pages == []


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1.example.com:80", "", "rebound.test"])
async def test_a_name_of_another_site_that_points_here_is_refused(socket, widget, host):
    path = socket.open(widget).address.rpartition("/")[2]
    request = (
        f"GET /{path} HTTP/1.1\r\nHost: {host}\r\nOrigin: {ORIGIN}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", socket.port)
    writer.write(request.encode())
    assert (await reader.readline()).split()[1] == b"403"
    writer.close()
    await writer.wait_closed()


async def test_a_wrong_secret_learns_no_more_than_a_wrong_origin(socket, widget):
    right = socket.open(widget).address
    root, _, secret = right.rpartition("/")
    answers = {await refused(right, origin="https://example.com")}
    for wrong in (secret[:-1], secret + "x", "", f"{secret}/", f"x/{secret}", "é"):
        answers.add(await refused(f"{root}/{wrong}"))
    assert len(answers) == 1


async def test_what_follows_a_refused_handshake_does_not_undo_the_answer(socket, caplog):
    reader, writer = await asyncio.open_connection("127.0.0.1", socket.port)
    head = (
        f"GET /wrong HTTP/1.1\r\nHost: 127.0.0.1\r\nOrigin: {ORIGIN}\r\nUpgrade: websocket\r\n"
        "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    writer.write(head.encode() + b"junk that is no frame")
    answer = await soon(reader.read())
    writer.close()
    await soon(writer.wait_closed())
    assert answer.startswith(b"HTTP/1.1 403 ")
    assert answer.endswith(b"Forbidden\n")
    assert caplog.messages == []


async def test_a_query_behind_the_secret_is_no_part_of_it(socket, widget):
    async with visit(socket.open(widget).address + "?token=1"):
        pass


async def test_a_header_said_twice_is_refused(socket, widget):
    status, _ = await refused(socket.open(widget).address, Origin="http://localhost:1")
    assert status == 403


async def test_each_widget_hears_its_own_pages_only(socket):
    one, other = Widget(), Widget()
    channels = [socket.open(one), socket.open(other)]
    assert channels[0].secret != channels[1].secret
    async with visit(channels[1].address) as page:
        await page.send("press 5")
        await other.next()
    assert (one.heard, other.heard) == ([], ["press 5"])


async def test_a_closed_channel_sends_its_pages_away_for_good(socket, widget):
    channel = socket.open(widget)
    address = channel.address
    async with visit(address) as page:
        await page.send("here a")
        await widget.next()
        channel.close()
        with pytest.raises(ConnectionClosed):
            await soon(page.recv())
        assert page.close_code == 4000
    assert (await refused(address))[0] == 403


async def test_leaving_closes_the_port_and_it_can_be_entered_again(widget):
    socket = WidgetSocket()
    for _ in range(2):
        async with socket:
            channel = socket.open(widget)
            port = socket.port
            async with visit(channel.address) as page:
                await page.send("here a")
                await widget.next()
        assert (socket.port, channel.address) == (0, "")
        with pytest.raises(OSError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_message_that_is_too_long_ends_the_connection(socket, widget):
    async with visit(socket.open(widget).address) as page:
        await page.send(b"x" * 70_000)
        with pytest.raises(ConnectionClosed):
            await soon(page.recv())
    assert widget.heard == []


async def test_sound_arrives_in_order_and_numbered(socket, widget):
    channel = socket.open(widget)
    async with visit(channel.address) as page:
        await page.send("here a")
        await widget.next()
        for value in range(3):
            channel.send_sound(widget.pages[0], bytes([value]) * 160)
        for value in range(3):
            message = await soon(page.recv())
            assert message == bytes([value + 1, 0, 0, 0]) + bytes([value]) * 160


async def test_a_page_that_does_not_keep_up_loses_the_oldest_and_gets_the_newest(socket, widget):
    channel = socket.open(widget)
    async with visit(channel.address) as page:
        await page.send("here a")
        await widget.next()
        served = widget.pages[0]
        total = UNCONFIRMED_FRAMES + WAITING_FRAMES + 30
        for _ in range(total):
            channel.send_sound(served, FRAME)
            await asyncio.sleep(0)
        numbers = [int.from_bytes((await page.recv())[:4], "little") for _ in range(50)]
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(page.recv(), 0.05)
        assert numbers == list(range(1, 51))
        assert served.dropped == 30
        await page.send("got 50")
        late = [int.from_bytes((await page.recv())[:4], "little") for _ in range(10)]
        assert late == list(range(81, 91))
        assert widget.heard == ["here a"], "what a page says of its progress concerns nobody else"


async def test_a_page_cannot_confirm_more_than_it_was_sent():
    page = WidgetPage(None)
    assert page.handle_control("got 99999999999999999999")
    assert page.handle_control("got nonsense")
    assert page._confirmed == 0


def test_the_process_has_one_listener_which_a_stop_ends(background_loop):
    socket = start_widget_socket()
    assert start_widget_socket() is socket
    assert socket.port > 0
    background_loop.stop()
    assert socket.port == 0
    assert start_widget_socket().port > 0


def test_no_secret_is_in_a_repr(background_loop):
    channel = start_widget_socket().open(Widget())
    assert channel.secret not in repr(channel) + repr(start_widget_socket())
