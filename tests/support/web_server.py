"""A web server of the customer's, which Twilio asks for TwiML and tells how calls go.

It imports nothing of `twistream_kit`: tried only against our own server, one bug of the simulator
would agree with itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aiohttp import web


@dataclass
class Received:
    path: str
    method: str
    params: dict
    headers: dict
    url: str
    body: bytes = b""


@dataclass
class WebServer:
    """Records every request; answers as set, else 404."""

    origin: str = ""
    requests: list = field(default_factory=list)
    answers: dict = field(default_factory=dict)

    def serve(self, path, body=b"", kind="text/xml", status=200, **headers):
        """Answer `path` so from now on; return its URL."""
        body = body.encode() if isinstance(body, str) else body
        self.answers[path] = (body, kind, status, headers)
        return self.origin + path

    def twiml(self, path, verbs):
        return self.serve(path, f"<Response>{verbs}</Response>")

    def at(self, path):
        return [request for request in self.requests if request.path == path]

    async def answer(self, request):
        body = await request.read()
        params = dict(await request.post()) if request.method == "POST" else dict(request.query)
        self.requests.append(
            Received(
                request.path, request.method, params, dict(request.headers),
                self.origin + request.raw_path, body,
            )
        )  # fmt: skip
        known = self.answers.get(request.path, (b"", "text/plain", 404, {}))
        if callable(known):
            return await known(request)
        content, kind, status, headers = known
        return web.Response(body=content, status=status, headers={"Content-Type": kind, **headers})
