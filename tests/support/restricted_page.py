"""A page that may do as little as the output of a cell in VS Code or Colab, around one widget.

It is a front end of its own: it speaks to the widget of this process over one WebSocket, as a
kernel's messages do, and has nothing else.  Its policy is a real one, kept by the browser: scripts
from the page's server only, so no worklet from a blob; connections to that server only, so no
socket on another port of this machine; and no microphone.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from base64 import b64decode, b64encode
from http import HTTPStatus
from pathlib import Path

import anywidget
from websockets.asyncio.server import serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Response

from support.handset import LOUDSPEAKER

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; connect-src 'self'; "
    "frame-src http://127.0.0.1:*"
)
"""What VS Code's webview for outputs allows, as far as it matters to a widget: `connect-src` has no
ws: and `script-src` no blob:.  Here the page's server stands in for VS Code's own sources."""

PAGE = """<!DOCTYPE html><html lang="en"><title>An output</title><style>{css}</style>
<main></main><script type="module" src="/page.js"></script></html>"""

FRAME = """<!DOCTYPE html><html lang="en"><title>A notebook</title>
<iframe title="An output" sandbox="allow-scripts allow-same-origin" width="500" height="1000"
src="http://127.0.0.1:{port}/page?buffers=no"></iframe></html>"""
"""Colab's arrangement: the output in a frame of another origin, which is given no microphone."""

_BLOB = 'URL.createObjectURL(new Blob([source], { type: "text/javascript" }))'

RECORDER = LOUDSPEAKER.replace(_BLOB, '"/recorder.js"')
"""The recorder of what is heard, where no blob may be a worklet."""


class RestrictedPage:
    """The server of the page; an async context manager.

    Args:
        widget: An anywidget that belongs to no kernel.
    """

    def __init__(self, widget) -> None:
        assert _BLOB in LOUDSPEAKER
        self._widget, self._loop = widget, asyncio.get_running_loop()
        # Those of every anywidget are served as files, or mean nothing here.
        every = {*anywidget.AnyWidget.class_trait_names(), "_esm", "_css", "_anywidget_id"}
        self._shown = {*widget.trait_names(sync=True)} - every
        self._pages = set()
        self.messages = 0
        widget.send = self._send
        widget.observe(self._tell_change)

    async def __aenter__(self):
        self._server = await serve(
            self._converse, "127.0.0.1", 0, process_request=self._answer, max_size=None
        )
        self.port = next(iter(self._server.sockets)).getsockname()[1]
        return self

    async def __aexit__(self, *_):
        self._widget.unobserve(self._tell_change)
        self._server.close()
        await self._server.wait_closed()

    @property
    def address(self):
        """Where the page is, as in VS Code."""
        return f"http://127.0.0.1:{self.port}/page"

    @property
    def framed_address(self):
        """Where a page is that has it in a frame of another origin, as in Colab."""
        return f"http://localhost:{self.port}/frame"

    def _answer(self, connection, request):
        source = RECORDER[RECORDER.index("registerProcessor(") :].partition("`;")[0]
        files = {
            "/page": ("text/html", PAGE.format(css=self._widget._css)),
            "/frame": ("text/html", FRAME.format(port=self.port)),
            "/page.js": (
                "text/javascript",
                Path(__file__).with_suffix(".js").read_text(encoding="utf-8"),
            ),
            "/widget.js": ("text/javascript", self._widget._esm),
            "/recorder.js": ("text/javascript", source),
        }
        kind, body = files.get(request.path.partition("?")[0], ("text/plain", ""))
        if request.path == "/comm":
            return None
        headers = Headers(
            {
                "Content-Type": f"{kind}; charset=utf-8",
                "Content-Length": str(len(body.encode())),
                "Content-Security-Policy": POLICY,
                "Connection": "close",
            }
        )
        if not request.path.startswith("/frame"):
            headers["Permissions-Policy"] = "microphone=()"
        return Response(HTTPStatus.OK, "OK", headers, body.encode())

    async def _converse(self, connection):
        self._pages.add(connection)
        state = {name: getattr(self._widget, name) for name in self._shown}
        await connection.send(json.dumps({"state": state}))
        with contextlib.suppress(ConnectionClosed):
            async for text in connection:
                message = json.loads(text)
                buffers = [memoryview(b64decode(each)) for each in message["buffers"]]
                assert len(text) < 10 * 2**20, "a front end would close its connection"
                self.messages += 1
                await asyncio.to_thread(
                    self._widget._handle_custom_msg, message["content"], buffers
                )
        self._pages.discard(connection)

    def _tell_change(self, change):
        if change["name"] in self._shown:
            self._post({"state": {change["name"]: change["new"]}})

    def _send(self, content, buffers=None):
        encoded = [b64encode(each).decode("ascii") for each in buffers or []]
        self._post({"content": content, "buffers": encoded})

    def _post(self, message):
        self._loop.call_soon_threadsafe(self._send_to_all, json.dumps(message))

    def _send_to_all(self, text):
        for page in self._pages:
            self._tasks = asyncio.ensure_future(self._send_to(page, text))

    async def _send_to(self, page, text):
        with contextlib.suppress(ConnectionClosed):
            await page.send(text)
