# ruff: noqa: E501, ISC004 - an input stands on one line, however long it is
"""Every reader of input from outside, with examples of its input and shapes that may be slow.

`parsers` times them, and `fuzz` gives them damaged input.  A reader takes bytes and may raise what
it documents; anything else is a fault.
"""

from __future__ import annotations

import asyncio
import io
import json
import re
import tempfile
import wave
from base64 import b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import soundfile
from aiohttp.test_utils import make_mocked_request
from aiohttp.web_exceptions import HTTPRequestEntityTooLarge
from dotenv import dotenv_values

from twistream_kit.audio.clip import Clip
from twistream_kit.audio.examine import examine
from twistream_kit.audio.load import load_clip
from twistream_kit.audio.wav_report import inspect_wav
from twistream_kit.capture.capture import Capture
from twistream_kit.diagnosis.explain import explain
from twistream_kit.diagnosis.payload import look_inside
from twistream_kit.diagnosis.review import review, review_contents
from twistream_kit.diagnosis.sound import review_sound
from twistream_kit.diagnosis.twiml import review_twiml
from twistream_kit.errors import TwistreamError, escape_controls, hide_user, quote
from twistream_kit.live.calls.status import StatusEvent
from twistream_kit.live.inspector._frames import MessageReader
from twistream_kit.live.inspector._http import ResponseHead, build_forwarded_head
from twistream_kit.live.inspector.stream import InspectedStream
from twistream_kit.live.process.process import ChildProcess
from twistream_kit.live.process.server_process import FIRST_ADDRESS, _build_stream_url
from twistream_kit.live.server.addresses import check_path, check_public_url
from twistream_kit.live.server.http import RequestReader
from twistream_kit.live.server.request_head import BadRequest, RequestHead
from twistream_kit.live.tunnel import _cloudflared, _ngrok, _ssh
from twistream_kit.notebook.widgets._socket import WidgetPage
from twistream_kit.pending import HomeLoop
from twistream_kit.protocol import from_twilio, signature, to_twilio
from twistream_kit.protocol.codes import read_codes
from twistream_kit.protocol.marks import MarkName
from twistream_kit.protocol.twiml import build_stream_url, is_loopback, review_stream_url
from twistream_kit.simulator.call.twiml import TwimlFault, parse_count, read_twiml
from twistream_kit.simulator.model.assumptions import Behaviour
from twistream_kit.simulator.model.debugger import elide
from twistream_kit.simulator.model.numbers import Sids
from twistream_kit.simulator.rest._errors import Refusal
from twistream_kit.simulator.rest._form import RequestForm
from twistream_kit.simulator.rest.account import Credentials
from twistream_kit.simulator.rest.app import find_validation_errors
from twistream_kit.simulator.rest.call_request import read_change, read_plan
from twistream_kit.simulator.stream.handshake import read_url

ROOT = Path(__file__).parent.parent
SID = f"MZ{1:032x}"
CALL = f"CA{1:032x}"

Shape = Callable[[int], bytes]
"""Returns about so many bytes."""


@dataclass(frozen=True, slots=True)
class Reader:
    """One reader.

    Attributes:
        read: Reads some bytes, and what can be asked of the result.
        raises: The documented errors.
        shapes: Hostile inputs by name, for any size.
        seeds: Ordinary inputs.
        kind: ``text`` or ``sound``.
        is_own: Whether it is a file of the user's own or of the package, which nobody else sends: its
            time may not grow faster than n log n either, but has no limit.
    """

    read: Callable[[bytes], object]
    raises: tuple[type[BaseException], ...] = ()
    shapes: Mapping[str, Shape] = field(default_factory=dict)
    seeds: tuple[bytes, ...] = ()
    kind: str = "text"
    is_own: bool = False


def repeated(piece: str | bytes, before: str | bytes = b"", behind: str | bytes = b"") -> Shape:
    """Return a shape that repeats a piece between two others."""
    begin, middle, end = (x.encode() if isinstance(x, str) else x for x in (before, piece, behind))
    return lambda size: begin + middle * max(1, (size - len(begin) - len(end)) // len(middle)) + end


def numbered(piece: str, before: str = "", behind: str = "", joint: str = "") -> Shape:
    """Return a shape of pieces that differ: ``{}`` is their number."""

    def build(size: int) -> bytes:
        count = max(1, size // (len(piece) + 3 + len(joint)))
        return (
            before + joint.join(piece.replace("{}", str(n)) for n in range(count)) + behind
        ).encode()

    return build


def nested(begin: str, end: str, before: str = "", behind: str = "") -> Shape:
    """Return a shape of things inside each other."""

    def build(size: int) -> bytes:
        depth = size // (len(begin) + len(end))
        return (before + begin * depth + end * depth + behind).encode()

    return build


BLANKS = {
    "spaces": repeated(" "),
    "spaces and a letter": repeated(" ", b"a", b"b"),
    "line ends": repeated("\n"),
    "CR LF": repeated("\r\n"),
    "tabs": repeated("\t", b"a: "),
    "zeros": repeated(b"\0"),
    "ones": repeated("1"),
    "letters": repeated("a"),
    "dashes": repeated("-"),
    "brackets": repeated("["),
    "quotes": repeated('"'),
    "backslashes": repeated("\\"),
    "percents": repeated("%2"),
    "slashes": repeated("/"),
    "colons": repeated(":"),
    "at signs": repeated("@"),
    "dots": repeated("a."),
    "not UTF-8": repeated(b"\xff"),
    "wide": repeated("\U0001f600"),
    "combining": repeated("a\u0301\u0327"),
    "numbers in words": numbered("a{} "),
    "times": repeated("2026-11-28T12:00:00Z "),
    "telephone numbers": repeated("+1 (555) 010-0001 "),
    "hexadecimal": repeated("deadbeef"),
}
"""Shapes for every reader of text."""

JSON_SHAPES = {
    "nested lists": nested("[", "]"),
    "open lists": repeated("["),
    "nested objects": nested('{"a":', "}", behind=""),
    "many fields": numbered('"f{}":1', '{"event":"media",', "}", ","),
    "many equal fields": repeated('"a":1,', '{"event":"media",', '"b":2}'),
    "many near fields": numbered('"streamsid{}":1', '{"event":"media",', "}", ","),
    "long digits": repeated("9", '{"event":"mark","streamSid":"MZ1","sequenceNumber":', "}"),
    "long digits as text": repeated("9", '{"event":"mark","streamSid":"MZ1","sequenceNumber":"', '"}'),
    "long name": repeated("n", '{"event":"mark","streamSid":"MZ1","mark":{"name":"', '"}}'),
    "hashes in a name": repeated("#1", '{"event":"mark","streamSid":"MZ1","mark":{"name":"', '"}}'),
    "long event": repeated("e", '{"event":"', '","streamSid":"MZ1"}'),
    "escapes": repeated("\\ud83d", '{"event":"', '"}'),
    "spaces inside": repeated(" ", '{"event":', '"clear","streamSid":"MZ1"}'),
    "payload": repeated("////", '{"event":"media","streamSid":"MZ1","media":{"payload":"', '"}}'),
    "payload with blanks": repeated("// /", '{"event":"media","streamSid":"MZ1","media":{"payload":"', '"}}'),
    "payload of padding": repeated("=", '{"event":"media","streamSid":"MZ1","media":{"payload":"', '"}}'),
    "payload that is no base64": repeated("-_", '{"event":"media","streamSid":"MZ1","media":{"payload":"', '"}}'),
    "payload with a header": repeated("A", '{"event":"media","streamSid":"MZ1","media":{"payload":"data:audio/wav;base64,', '"}}'),
    "parameters": numbered('"p{}":"v{}"', '{"event":"start","streamSid":"MZ1","start":{"customParameters":{', "}}}", ","),
    "tracks": repeated('"t",', '{"event":"start","streamSid":"MZ1","start":{"tracks":[', '"t"]}}'),
}  # fmt: skip

XML_SHAPES = {
    "attributes": numbered('a{}="1"', "<Response><Say ", "/></Response>", " "),
    "attributes of a kind": numbered('statusCallback{}="1"', "<Response><Connect><Stream ", "/></Connect></Response>", " "),
    "equal elements": repeated("<Say>a</Say>", "<Response>", "</Response>"),
    "unknown elements": numbered("<Sa{}>a</Sa{}>", "<Response>", "</Response>"),
    "streams": numbered('<Connect><Stream url="wss://a{}.example/m"/></Connect>', "<Response>", "</Response>"),
    "starts and stops": numbered('<Start><Stream name="n{}" url="wss://a.example/m"/></Start><Stop><Stream name="n{}"/></Stop>', "<Response>", "</Response>"),
    "parameters": numbered('<Parameter name="n{}" value="v"/>', '<Response><Connect><Stream url="wss://a.example/m">', "</Stream></Connect></Response>"),
    "equal parameters": repeated('<Parameter name="n" value="v"/>', '<Response><Connect><Stream url="wss://a.example/m">', "</Stream></Connect></Response>"),
    "nested": nested("<Connect>", "</Connect>", "<Response>", "</Response>"),
    "open": repeated("<a>"),
    "long text": repeated("a ", "<Response><Say>", "</Say></Response>"),
    "long attribute": repeated("a", '<Response><Say voice="', '"/></Response>'),
    "long address": repeated("a/", '<Response><Connect><Stream url="wss://', '"/></Connect></Response>'),
    "spaces in an address": repeated(" ", '<Response><Connect><Stream url="wss://a', 'b"/></Connect></Response>'),
    "comments": repeated("<!-- -->", "<Response>", "</Response>"),
    "an open comment": repeated("-- ", "<Response><!--", ""),
    "entities": repeated("&amp;", "<Response><Say>", "</Say></Response>"),
    "unknown entities": repeated("&a;", "<Response><Say>", "</Say></Response>"),
    "declared entities": numbered('<!ENTITY e{} "a">', "<!DOCTYPE r [", "]><Response/>"),
    "ampersands": repeated("& ", "<Response><Say>", "</Say></Response>"),
    "blanks before": repeated(" ", b"", "<Response/>"),
    "digits": repeated("9", '<Response><Pause length="', '"/></Response>'),
    "CDATA": repeated("<![CDATA[a]]>", "<Response><Say>", "</Say></Response>"),
    "namespaces": numbered('xmlns:n{}="u"', "<Response ", "/>", " "),
    "instructions": repeated("<?a b?>", "", "<Response/>"),
}  # fmt: skip

FORM_SHAPES = {
    "fields": numbered("f{}=v", joint="&"),
    "equal fields": repeated("a=b&"),
    "empty fields": repeated("&"),
    "equal signs": repeated("="),
    "encoded": repeated("%41", "a="),
    "half encoded": repeated("%", "a="),
    "plus": repeated("+", "To="),
    "semicolons": repeated("a;"),
    "long number": repeated("1", "To=%2B", "&From=%2B15550100002&Url=http://a.example/"),
    "long digits": repeated("9", "To=%2B15550100001&From=%2B15550100002&Twiml=a&Timeout="),
    "events": repeated("&StatusCallbackEvent=ringing", "To=%2B15550100001&From=%2B15550100002&Url=http://a.example/"),
    "send digits": repeated("w", "To=%2B15550100001&From=%2B15550100002&Url=http://a.example/&SendDigits="),
}  # fmt: skip

HEAD = b"GET /media HTTP/1.1\r\nHost: localhost\r\n"

HEAD_SHAPES = {
    "headers": numbered("x-{}: a\r\n", HEAD.decode(), "\r\n"),
    "equal headers": repeated("x: a\r\n", HEAD, "\r\n"),
    "long header": repeated("a", HEAD + b"x: ", b"\r\n\r\n"),
    "spaces in a length": repeated(" ", HEAD + b"Content-Length: a", b"b\r\n\r\n"),
    "digits of a length": repeated("9", HEAD + b"Content-Length: ", b"\r\n\r\n"),
    "commas": repeated(",", HEAD + b"Upgrade: ", b"\r\n\r\n"),
    "long target": repeated("/a", b"GET /", b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "query": repeated("a&", b"GET /?", b" HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "no end": repeated("x: a\r\n", HEAD),
    "carriage returns": repeated("\r", HEAD + b"x: "),
    "ends by LF": repeated("x: a\n", HEAD),
    "folded": repeated(" a\r\n", HEAD + b"x: a\r\n", b"\r\n"),
    "body": repeated("a", b"POST /status HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n"),
}

URL_SHAPES = {
    "many slashes, then a long path": lambda n: b"http:" + b"/" * (n // 90) + b"a" * n,
    "user": repeated("a", "wss://", "@example.com/"),
    "users": repeated("a@", "wss://", "example.com/"),
    "users and ports": repeated("at:-1@", "wss://"),
    "users, ports and letters": repeated("a@b:1", "wss://", "x"),
    "labels": repeated("a.", "wss://", "com/"),
    "ports": repeated("1", "wss://example.com:", "/media"),
    "path": repeated("/a", "wss://example.com"),
    "query": repeated("a=b&", "wss://example.com/?"),
    "brackets": repeated("[", "wss://"),
    "address of IPv6": repeated("0:", "wss://[", "1]/"),
    "schemes": repeated("wss://"),
    "encoded": repeated("%25", "wss://example.com/"),
    "fragments": repeated("#", "wss://example.com/"),
    "scheme": repeated("a", b"", "://example.com"),
    "scheme of signs": repeated("+-.", "a", ":"),
    "slashes": repeated("/", "wss:", "a@b"),
    "ideographs": repeated("\u3002", "wss://a"),
    "international": repeated("ü", "wss://", ".example"),
}


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "replace")


def _read_request(raw: bytes) -> None:
    whole, pieces = RequestReader(), RequestReader()
    whole.take(raw)
    for begin in range(0, len(raw), 1400):  # as a network cuts it
        if pieces.take(raw[begin : begin + 1400]) is not None:
            break
        pieces.must_continue()
    for web in (whole.request, pieces.request):
        web.parse_parameters()
        web.parse_query()


def _read_head(raw: bytes) -> None:
    head = RequestHead.parse(raw)
    build_forwarded_head(head, "localhost:8000", came_from="127.0.0.1", scheme="http")


def _read_response_head(raw: bytes) -> None:
    head = ResponseHead.parse(raw)
    _ = head.status, head.has("Upgrade"), head.has("Sec-WebSocket-Accept")


def _read_form(raw: bytes) -> None:
    parameters = signature.parse_form(raw)
    repr(StatusEvent.of(parameters, 0.0))
    signature.is_valid("0" * 32, "https://example.com/status", parameters, "c2ln")


def _read_json_form(raw: bytes) -> None:
    repr(StatusEvent.of(signature.parse_json(raw), 0.0))


def _read_signed(raw: bytes) -> None:
    url, _, header = _text(raw).partition("\n")
    signature.is_valid("0" * 32, url, {"a": "b"}, header, settings=header)
    signature.is_valid_handshake("0" * 32, url, header, settings=header)
    signature.describe_refusal([header, url], header)
    signature.has_body_hash(url)
    signature.remove_user(url)


def _read_url(raw: bytes) -> None:
    url = _text(raw)
    hide_user(url)
    is_loopback(url)
    list(map(str, review_stream_url(url)))
    for check in (
        check_public_url,
        check_path,
        build_stream_url,
        partial(read_url, behaviour=Behaviour()),
        partial(_build_stream_url, path="/media"),
    ):
        try:
            check(url)
        except (TwistreamError, ValueError):
            continue


def _read_from_twilio(raw: bytes) -> None:
    for text in (_text(raw), raw.decode("utf-8", "surrogateescape")):
        message = from_twilio.parse(text)
        message.to_json()
        capture = Capture(SID)
        capture.append(message, 0.0)
        repr(capture.entries)


def _read_to_twilio(raw: bytes) -> None:
    to_twilio.parse(_text(raw)).to_json()


def _review_text(raw: bytes) -> None:
    text = _text(raw)
    if not text.lstrip().startswith("<"):
        repr(review(text if text.lstrip()[:1] == "{" else "{" + text, stream_sid=SID))
    repr(review(raw))


def _review_file(raw: bytes) -> None:
    repr(review_contents(raw, Path("file")))


def _review_payload(raw: bytes) -> None:
    look_inside(raw)
    repr(review([raw[begin : begin + 160] for begin in range(0, len(raw), 160)]))
    review_sound(raw)


def _read_twiml(raw: bytes) -> None:
    repr(review_twiml(raw))
    repr(review_twiml(_text(raw)))
    read_twiml(raw, base_url="http://example.com/a")


@cache
def _folder() -> Path:
    return Path(tempfile.mkdtemp(prefix="twistream-readers-"))


def _read_capture(raw: bytes) -> None:
    capture = Capture.read(raw)
    repr(capture.summary())
    capture.summary().report()
    repr(capture.playbacks())
    for redact in (True, False):
        Capture.load(capture.save(_folder() / "call.jsonl", redact=redact))
    _ = capture.caller, capture.heard


def _inspect_wav(raw: bytes) -> None:
    report = inspect_wav(raw)
    repr(report)
    _ = report.verdict, report.fields, report.missing_seconds


def _load_sound(raw: bytes) -> None:
    load_clip(raw)


def _load_headerless(raw: bytes) -> None:
    for encoding in ("PCMU", "PCMA", "PCM_U8", "PCM_S16LE", "PCM_S24LE", "PCM_S32LE", "FLOAT32LE"):
        try:
            load_clip(raw, sample_rate=16000, encoding=encoding)
        except TwistreamError:
            continue


def _examine_sound(raw: bytes) -> None:
    repr(examine(raw))


def _read_codes(raw: bytes) -> None:
    for code in read_codes(raw).values():
        repr(code)


def _explain(raw: bytes) -> None:
    repr(explain(_text(raw)))


def _read_env(raw: bytes) -> None:
    path = _folder() / ".env"
    path.write_bytes(raw)
    dotenv_values(path, interpolate=False, encoding="utf-8-sig")


def _read_frames(raw: bytes, *, masked: bool) -> None:
    reader = MessageReader(masked=masked)
    stream = _InspectedHere(HomeLoop("fuzz"), _loop())
    left = _MESSAGES_IN_A_ROW  # the inspector lets other tasks run after each message
    for begin in range(0, len(raw), 1400):
        reader.feed(raw[begin : begin + 1400])
        for passed in reader.read():
            if passed is not None and left:
                stream.inspected.take("twilio" if masked else "server", passed, 0.001 * begin)
                left -= 1
    stream.inspected.end(1.0, stopped_here=False)
    repr(stream.inspected.objections)


_MESSAGES_IN_A_ROW = 100


class _InspectedHere:
    def __init__(self, home: HomeLoop, loop: asyncio.AbstractEventLoop) -> None:
        home._loop = loop
        self.inspected = InspectedStream(home, 0.0)


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


def _read_program(raw: bytes) -> None:
    child = ChildProcess(["program"], noise=_ssh._CHATTER)
    patterns = [_cloudflared._ADDRESS, _cloudflared._CONNECTED, _ssh._ADDRESS, _ssh._ALLOCATED]
    for piece in io.BytesIO(raw):
        line = child._clean(piece[:65536])
        child._take(line)
        for pattern in (*patterns, _ssh._FORWARDED):
            pattern.search(line)
    tunnel = _cloudflared.CloudflaredTunnel()
    tunnel._child = child
    str(tunnel._build_error("it failed"))
    ssh = _ssh.SshTunnel("user@example.com")
    ssh._child = child
    str(ssh._build_error("it failed"))
    str(_ngrok.to_error("\n".join(child.lines)))


def _read_ready(raw: bytes) -> None:
    child = ChildProcess(["program"])
    for piece in io.BytesIO(raw):
        line = child._clean(piece[:65536])
        if match := _FIRST_ADDRESS.search(line):
            _build_stream_url(match[0], "/media")


def _read_rest(raw: bytes) -> None:
    """The first line is the Content-Type, the second Authorization, and the rest the body."""
    kind, _, rest = raw.partition(b"\n")
    login, _, body = rest.partition(b"\n")
    headers = {"Content-Type": _header(kind), "Authorization": _header(login)}
    _credentials().identify(headers["Authorization"])
    _loop().run_until_complete(_read_rest_body(headers, body))


async def _read_rest_body(headers: dict[str, str], body: bytes) -> None:
    payload = aiohttp.StreamReader(_NoProtocol(), limit=1 << 20, loop=asyncio.get_running_loop())
    payload.feed_data(body)
    payload.feed_eof()
    request = make_mocked_request("POST", "/", headers, payload=payload, client_max_size=1 << 20)
    form = await RequestForm.read(request)
    for read in (partial(read_plan, allow=lambda *_: None), read_change):
        try:
            read(form)
        except Refusal as refusal:
            json.dumps(refusal.to_json())


def _header(raw: bytes) -> str:
    return "".join(c for c in raw.decode("latin-1") if c.isprintable())


class _NoProtocol:
    _reading_paused = False

    def pause_reading(self, *_: object, **__: object) -> None: ...

    def resume_reading(self, *_: object, **__: object) -> None: ...


@cache
def _credentials() -> Credentials:
    return Credentials.draw(Sids())


def _read_page(raw: bytes) -> None:
    page = WidgetPage(None)
    words = _text(raw)
    if not page.handle_control(words):
        verb, _, rest = words.partition(" ")
        _ = verb, rest, repr(page)


def _read_names(raw: bytes) -> None:
    text = _text(raw)
    str(MarkName.parse(text))
    parse_count(text)
    find_validation_errors(text)
    quote(text)
    escape_controls(text)
    elide(text)


_FIRST_ADDRESS = re.compile(FIRST_ADDRESS)


def _media(**more: Any) -> str:
    return json.dumps(
        {
            "event": "media",
            "sequenceNumber": "3",
            "media": {"track": "inbound", "chunk": "1", "timestamp": "5", "payload": "/////w=="},
            "streamSid": SID,
            **more,
        }
    )


_START = json.dumps(
    {
        "event": "start",
        "sequenceNumber": "1",
        "start": {
            "accountSid": f"AC{1:032x}",
            "streamSid": SID,
            "callSid": CALL,
            "tracks": ["inbound"],
            "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
            "customParameters": {"customer": "42", "name": "Alice Example"},
        },
        "streamSid": SID,
    }
)

MESSAGES = (
    _START,
    _media(),
    '{"event":"connected","protocol":"Call","version":"1.0.0"}',
    f'{{"event":"dtmf","streamSid":"{SID}","sequenceNumber":"5","dtmf":{{"track":"inbound_track","digit":"1"}}}}',
    f'{{"event":"mark","sequenceNumber":"4","streamSid":"{SID}","mark":{{"name":"greeting#1"}}}}',
    f'{{"event":"stop","sequenceNumber":"9","streamSid":"{SID}","stop":{{"callSid":"{CALL}"}}}}',
    f'{{"event":"clear","streamSid":"{SID}"}}',
    f'{{"event":"media","streamSid":"{SID}","media":{{"payload":"UklGRiQAAABXQVZFZm10IA=="}}}}',
    f'{{"event":"hold","streamSid":"{SID}","sequenceNumber":7}}',
)  # fmt: skip


def _capture_lines(*rows: str) -> str:
    header = {
        "format": "twistream-capture",
        "version": 1,
        "streamSid": SID,
        "callSid": CALL,
        "keepSeconds": 900.0,
    }
    return "\n".join([json.dumps(header), *rows]) + "\n"


def _capture_shapes() -> dict[str, Shape]:
    head = _capture_lines()
    voice = '{"at":%s,"from":"%s",%s"message":' + _media() + "}\n"
    mark = '{"at":1.0,"from":"%s","message":{"event":"mark","streamSid":"MZ1","mark":{"name":"m{}"}}}\n'
    clear = '{"at":1.0,"from":"server","message":{"event":"clear","streamSid":"MZ1"}}\n'
    start = '{"at":0.1,"from":"twilio","message":{"event":"start","streamSid":"MZ1","start":{"customParameters":{"n":"value number {}"}}}}\n'
    key = '{"at":0.1,"from":"twilio","message":{"event":"dtmf","streamSid":"MZ1","dtmf":{"digit":"5"}}}\n'
    sent = voice % ("1.0", "server", "")
    return {
        "media": repeated(voice % ("1.0", "twilio", ""), head),
        "sound of the server": repeated(sent, head),
        "sizes": repeated(voice.replace("/////w==", "") % ("1.0", "server", '"size":160,'), head),
        "starts": numbered(start, head),
        "equal starts": repeated(start.replace("{}", "one"), head),
        "marks": numbered(mark % "server", head),
        "equal marks": repeated(mark % "server", head),
        "marks and returns": numbered(mark % "server" + mark % "twilio", head),
        "marks and clears": numbered(mark % "server" + clear, head),
        "sound, marks and clears": numbered(sent + mark % "server" + clear, head),
        "sound and clears": repeated(sent + clear, head),
        "late returns": lambda size: numbered(mark % "server", head)(size // 2)
        + numbered(mark % "twilio")(size // 2),
        "keys": repeated(key, head),
        "keys and marks of digits": numbered(
            key + mark.replace("m{}", "5{}") % "server", head
        ),
        "statuses": numbered('{"at":1.0,"status":"s{}"}\n', head),
        "odd": numbered('{"at":1.0,"odd":"+15550100001 {}"}\n', head),
        "one odd of numbers": repeated("+15550100001 ", head + '{"at":1.0,"odd":"', '"}\n'),
        "one odd of dashes": repeated("-", head + '{"at":1.0,"odd":"', '"}\n'),
        "one odd of digits": repeated("1 ", head + '{"at":1.0,"odd":"', '"}\n'),
        "one odd of percents": repeated("%41", head + '{"at":1.0,"odd":"', '"}\n'),
        "one odd of lists": nested("[", "]", head + '{"at":1.0,"odd":"', '"}\n'),
        "endings": numbered('"m{}":"heard"', head + '{"endings":{', "}}\n", ","),
        "unknown events": numbered('{"at":1.0,"from":"twilio","message":{"event":"e{}"}}\n', head),
        "one long value in parts": lambda size: (
            head + start.replace("value number {}", "ab " * (size // 9))
            + mark.replace("m{}", "ab " * (size // 9)) % "server"
        ).encode(),
        "values that begin alike": lambda size: (
            head
            + "".join(
                start.replace("value number {}", "-" * (3 + n))
                for n in range(int((size / 2) ** 0.5) // 3)
            )
            + mark.replace("m{}", "-" * (size // 2)) % "server"
        ).encode(),
        "empty lines": repeated("\n", head),
        "late": repeated(voice % ("3000.0", "twilio", ""), head),
    }  # fmt: skip


def _sound_shapes() -> dict[str, Shape]:
    head = _wav()[:44]
    riff, form = head[:12], head[12:36]
    chunk = b"LIST\x04\0\0\0INFO"
    return {
        "chunks": repeated(chunk, riff + form),
        "empty chunks": repeated(b"abcd\0\0\0\0", riff + form),
        "chunks before the format": repeated(chunk, riff),
        "formats": repeated(form, riff),
        "data": repeated(b"data\x04\0\0\0\1\2\3\4", riff + form),
        "names": repeated(b"INAM\x02\0\0\0a\0", riff + form + b"LIST\xff\xff\xff\x7fINFO"),
        "WAV in WAV": repeated(head, head),
        "zeros": repeated(b"\0", riff + form),
        "samples": repeated(b"\1\2\3\4", riff + form + b"data\xff\xff\xff\x7f"),
        "ID3": repeated(b"\0", b"ID3\x03\0\0\x7f\x7f\x7f\x7f"),
        "MP3 syncs": repeated(b"\xff\xfb\x90\x00"),
        "MP3 frames": lambda size: (b"\xff\xfb\x90\x00" + bytes(413)) * max(1, size // 417),
        "Ogg": repeated(b"OggS\0\2" + bytes(21)),
        "FLAC": repeated(b"\0\0\0\x04abcd", b"fLaC"),
        "AIFF": repeated(b"COMM\0\0\0\x04abcd", b"FORM\0\xff\xff\xffAIFF"),
        "CAF": repeated(b"free" + bytes(8), b"caff\0\1\0\0"),
        "W64": repeated(b"\0", b"riff\x2e\x91\xcf\x11\xa5\xd6\x28\xdb\x04\xc1\0\0"),
        "AU": repeated(b"\1", b".snd\0\0\0\x18\xff\xff\xff\xff\0\0\0\3\0\0\x1f\x40\0\0\0\1"),
    }


def _payload_shapes() -> dict[str, Shape]:
    rng = np.random.default_rng(1)
    noise = rng.integers(0, 256, 8_000_000, dtype=np.uint8).tobytes()
    head = _wav()[:44]
    return {
        "silence": repeated(b"\xff"),
        "noise": lambda size: noise[:size],
        "headers": repeated(head + b"\x2a" * 116),
        "RIFF": repeated(b"RIFF"),
        "MP3 syncs": repeated(b"\xff\xfb"),
        "base64": repeated(b64encode(noise[:300])),
        "hexadecimal": repeated(b"7f"),
        "text": repeated(b"abc "),
        "JSON": repeated(b'{"a":1}'),
        "full scale": repeated(b"\0\x80"),
        "spaces": repeated(b" "),
        "a tone": repeated(Clip.tone(440, 1.0).payload),
        "saw": repeated(bytes(range(256))),
        "16 bit": lambda size: rng.normal(0, 3000, size // 2).astype("<i2").tobytes(),
    }


def _frame_shapes() -> dict[str, Shape]:
    text = _media().encode()
    whole = bytes([0x81, 126]) + len(text).to_bytes(2, "big") + text
    return {
        "empty frames": repeated(b"\x81\0"),
        "empty parts": repeated(b"\0\0", b"\1\0"),
        "parts": repeated(b"\0\1a", b"\1\1a"),
        "pings": repeated(b"\x89\0"),
        "pongs": repeated(b"\x8a\x05hello"),
        "closes": repeated(b"\x88\x02\x03\xe8"),
        "unknown": repeated(b"\x83\0"),
        "messages": repeated(whole),
        "masked": repeated(b"\x81\x81abcd\0"),
        "one long frame": repeated(b"a", b"\x81\x7f" + (1 << 23).to_bytes(8, "big")),
        "too long": repeated(b"a", b"\x81\x7f" + (1 << 40).to_bytes(8, "big")),
        "reserved": repeated(b"\xf1\x01a"),
        "not UTF-8": repeated(b"\x81\x01\xff"),
        "zeros": repeated(b"\0"),
        "ones": repeated(b"\xff"),
    }


def _wav(seconds: float = 0.1, rate: int = 8000, width: int = 2, channels: int = 1) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as wav:
        wav.setnchannels(channels)
        wav.setsampwidth(width)
        wav.setframerate(rate)
        wav.writeframes(bytes(range(256)) * int(seconds * rate * width * channels / 256 + 1))
    return file.getvalue()


@cache
def _sounds() -> tuple[bytes, ...]:
    sounds = [_wav(), _wav(rate=44100, channels=2), _wav(width=3, rate=16000), _wav(width=1)]
    samples = (np.sin(np.arange(4000) / 3) * 8000).astype(np.int16)
    for form, subtype in (
        ("WAV", "ULAW"), ("WAV", "ALAW"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAV", "IMA_ADPCM"),
        ("WAV", "MS_ADPCM"), ("WAV", "GSM610"), ("WAVEX", "PCM_16"), ("RF64", "PCM_16"),
        ("AIFF", "PCM_16"), ("AU", "ULAW"), ("AU", "PCM_16"), ("FLAC", "PCM_16"), ("OGG", "VORBIS"),
        ("OGG", "OPUS"), ("MP3", "MPEG_LAYER_III"), ("CAF", "PCM_16"), ("W64", "PCM_16"),
        ("NIST", "PCM_16"), ("VOC", "PCM_16"), ("AVR", "PCM_16"), ("PAF", "PCM_16"),
        ("SVX", "PCM_16"), ("IRCAM", "PCM_16"), ("SDS", "PCM_16"), ("MAT4", "PCM_16"),
        ("MAT5", "PCM_16"), ("PVF", "PCM_16"), ("HTK", "PCM_16"), ("WVE", "ALAW"), ("MPC2K", "PCM_16"),
        ("XI", "DPCM_16"),
    ):  # fmt: skip
        file = io.BytesIO()
        try:
            soundfile.write(file, samples, 8000, subtype, format=form)
        except (RuntimeError, ValueError):  # this build of libsndfile does not write it
            continue
        sounds.append(file.getvalue())
    sounds += [
        b"#!AMR\n" + bytes(300),
        b"\0\0\0\x18ftypM4A " + bytes(200),
        b"\x1a\x45\xdf\xa3" + bytes(200),
    ]
    sounds += _files(
        "tests/cases/*", limit=40_000, endings=(".wav", ".mp3", ".flac", ".npy", ".ulaw")
    )
    sounds += _files("sample_audio/*.wav", limit=40_000, endings=(".wav",))
    return tuple(sounds)


def _files(pattern: str, *, limit: int, endings: tuple[str, ...]) -> list[bytes]:
    paths = sorted(ROOT.glob(pattern))
    return [path.read_bytes()[:limit] for path in paths if path.name.endswith(endings)]


def _texts(pattern: str, *endings: str) -> list[bytes]:
    return _files(pattern, limit=65_536, endings=endings)


def _golden_lines(area: str) -> list[bytes]:
    """Return the lines of the recorded outputs that begin as JSON does."""
    found = dict.fromkeys(
        line.strip()
        for path in sorted((ROOT / "tests" / "golden" / "expected" / area).glob("*.txt"))
        for line in path.read_bytes().splitlines()
        if line.strip().startswith(b"{")
    )
    return list(found)


TWIML = (
    '<?xml version="1.0" encoding="UTF-8"?><Response><Say voice="alice" loop="2">Hello</Say>'
    '<Connect action="/next"><Stream url="wss://example.com/media" name="one" statusCallback='
    '"https://example.com/status"><Parameter name="a" value="b"/></Stream></Connect></Response>',
    '<Response><Start><Stream url="wss://example.com/m" track="both_tracks"/></Start><Gather '
    'numDigits="1" timeout="3"><Play loop="1">https://example.com/a.wav</Play></Gather>'
    '<Redirect method="GET">/x</Redirect><Pause length="5"/><Stop><Stream name="n"/></Stop>'
    '<Dial><Number>+15550100001</Number></Dial><Hangup/><Reject reason="busy"/></Response>',
)

LOGS = (
    "2026-11-28T12:00:00Z INF |  https://quiet-lake.trycloudflare.com  |\n"
    "2026-11-28T12:00:01Z INF Registered tunnel connection connIndex=0 location=fra\n",
    "debug1: remote forward success for: listen 8080, connect localhost:8000\r\n"
    "Allocated port 34567 for remote forward to 127.0.0.1:8000\nPermission denied (publickey).\n",
    "ERR_NGROK_108: authentication failed: Your account is limited to 1 simultaneous session.\n",
    "INFO:     Uvicorn running on http://127.0.0.1:8000 (Press CTRL+C to quit)\n",
    " * Running on http://[::]:5000/\n\x1b[32mready\x1b[0m ws://0.0.0.0:8080/media.\n",
)

HEADS = (
    HEAD + b"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nX-Twilio-Signature: abc=\r\n\r\n",
    b"POST /status?a=b HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n"
    b"CallSid=CA1",
    b"HTTP/1.1 404 Not Found\r\nContent-Type: text/html\r\nNgrok-Error-Code: ERR_NGROK_3200\r\n\r\n<html>",
)  # fmt: skip

FORMS = (
    f"CallSid={CALL}&CallStatus=ringing&SequenceNumber=1&From=%2B15550100001&To=%2B15550100002",
    f"StreamSid={SID}&StreamEvent=stream-error&StreamError=31921%20x&CallSid={CALL}",
)

REST = tuple(
    f"{kind}\nBasic QUM6dG9rZW4=\n{body}"
    for kind, body in (
        ("application/x-www-form-urlencoded", "To=%2B15550100001&From=%2B15550100002&Twiml=%3CResponse%2F%3E&Timeout=10&StatusCallback=https%3A%2F%2Fa.example%2Fs&StatusCallbackEvent=ringing&StatusCallbackEvent=completed&MachineDetection=Enable&MachineDetectionTimeout=30"),
        ("application/x-www-form-urlencoded; charset=utf-8", "Status=completed&Url=https%3A%2F%2Fa.example%2F&Method=GET"),
        ("multipart/form-data; boundary=b", '--b\r\nContent-Disposition: form-data; name="To"\r\n\r\n+15550100001\r\n--b--\r\n'),
    )
)  # fmt: skip

URLS = (
    "wss://user:secret@example.com:443/media?a=b#c", "ws://127.0.0.1:8000/media", "wss://[::1]:1/",
    "https://abc-1.ngrok-free.app/media", "http://0.0.0.0:5000", "/media", "example.com:8000",
    "wss://https://example.com/media", "wss://ex_ample.com/ media",
)  # fmt: skip


def _encoded(*texts: str) -> tuple[bytes, ...]:
    return tuple(text.encode() for text in texts)


def _frames() -> tuple[bytes, ...]:
    made = []
    for text in MESSAGES:
        raw = text.encode()
        made.append(bytes([0x81, 0xFE]) + len(raw).to_bytes(2, "big") + bytes(4) + raw)
        made.append(bytes([0x81, 126]) + len(raw).to_bytes(2, "big") + raw)
    made.append(b"\x88\x06\x03\xe8done" + b"\x89\x02hi")
    made.append(b"".join(made))
    return tuple(made)


def _capture_seeds() -> tuple[bytes, ...]:
    rows = []
    for number in range(12):
        at = 0.02 * number
        voice = json.loads(_media())
        voice["media"]["chunk"] = str(number + 1)
        rows.append(json.dumps({"at": at, "from": "twilio", "message": voice}))
        rows.append(json.dumps({"at": at, "from": "server", "message": voice, "size": 160}))
    messages = [json.loads(text) for text in MESSAGES]
    rows[:0] = [json.dumps({"at": -1.0, "status": "ringing"})]
    for number, message in enumerate(messages):
        sender = "server" if message["event"] == "clear" else "twilio"
        rows.append(json.dumps({"at": 0.3 + number / 50, "from": sender, "message": message}))
    rows.append(json.dumps({"at": 0.4, "odd": "{'event': 'mark'} +15550100001"}))
    rows.append(json.dumps({"at": 0.4, "oddBytes": "AAEC"}))
    rows.append(json.dumps({"endings": {"greeting#1": "cleared"}}))
    whole = _capture_lines(*rows)
    redacted = whole.replace('"keepSeconds"', '"redacted":true,"keepSeconds"', 1)
    return _encoded(whole, redacted, _capture_lines())


@cache
def list_readers() -> dict[str, Reader]:
    """Return the readers by name."""
    messages = (*_encoded(*MESSAGES), *_golden_lines("wire"), *_golden_lines("reviews"))
    twiml = (*_encoded(*TWIML), *_texts("tests/cases/*.xml", ".xml"))
    logs = (*_encoded(*LOGS), *_texts("tests/cases/*.txt", ".txt"))
    heads = (*HEADS, *_texts("tests/cases/*.http", ".http"))
    codes = ((ROOT / "twistream_kit/protocol/codes.toml").read_bytes()[:6000],)
    sounds = _sounds()
    payloads = (
        Clip.tone(440, 0.5).payload, bytes(range(256)) * 4, *messages[:3],
        *(raw[:16_000] for raw in _files("tests/cases/*.ulaw", limit=16_000, endings=(".ulaw",))),
    )  # fmt: skip
    toml = {
        "tables": numbered("[{}]\nname = 'a'\n"),
        "long text": repeated("a", 'a = "', '"\n'),
        "equal keys": repeated("a = 1\n"),
        "comments": repeated("# a\n"),
    }
    env = {
        "lines": numbered("A{}=b\n"),
        "open quote": repeated("a\n", 'A="'),
        "escaped": repeated("\\'", "A='"),
        "spaces in a value": repeated(" ", "A=b", "#"),
        "comments": repeated("#"),
        "no signs": repeated("A\n"),
        "export": repeated("export "),
        "one long line": repeated("a b ", "A="),
    }
    log_shapes = {
        "addresses": repeated("https://a.trycloudflare.com "),
        "half addresses": repeated("https://a-"),
        "schemes": repeated("http://", "", ":"),
        "colours": repeated("\x1b[0m"),
        "lines of ssh": repeated("debug1: remote forward success for: listen\n"),
        "codes": repeated("ERR_NGROK_"),
        "ports": repeated("Allocated port 1"),
        "address without an end": repeated("a", "http://"),
        "ports of an address": repeated(":1", "http://a"),
    }
    rest = {
        name: (lambda size, shape=shape: b"application/x-www-form-urlencoded\n\n" + shape(size))
        for name, shape in {**FORM_SHAPES, **BLANKS}.items()
    } | {
        "parts": repeated(
            '--b\r\nContent-Disposition: form-data; name="To"\r\n\r\na\r\n',
            "multipart/form-data; boundary=b\n\n", "--b--\r\n"),
        "one part": repeated("a", 'multipart/form-data; boundary=b\n\n--b\r\nContent-Disposition: form-data; name="To"\r\n\r\n', "\r\n--b--\r\n"),
        "lines of a part": repeated("-\r\n", 'multipart/form-data; boundary=b\n\n--b\r\nContent-Disposition: form-data; name="To"\r\n\r\n', "\r\n--b--\r\n"),
        "headers of a part": numbered("x-{}: a\r\n", "multipart/form-data; boundary=b\n\n--b\r\n", "\r\n\r\n"),
        "type": repeated("; a=b", "multipart/form-data", "\n\na"),
        "login": repeated("A", "application/x-www-form-urlencoded\nBasic ", "\n"),
    }  # fmt: skip
    bad = (TwistreamError,)
    return {
        "request": Reader(_read_request, (), {**HEAD_SHAPES, **BLANKS}, heads),
        "request head": Reader(_read_head, (BadRequest,), {**HEAD_SHAPES, **BLANKS}, heads),
        "response head": Reader(_read_response_head, (), {**HEAD_SHAPES, **BLANKS}, heads),
        "form": Reader(_read_form, (), {**FORM_SHAPES, **BLANKS}, _encoded(*FORMS)),
        "JSON body": Reader(_read_json_form, (), {**JSON_SHAPES, **BLANKS}, messages),
        "signature": Reader(_read_signed, (), {**URL_SHAPES, **BLANKS}, _encoded(*URLS)),
        "address": Reader(_read_url, (), {**URL_SHAPES, **BLANKS}, _encoded(*URLS)),
        "message of Twilio": Reader(_read_from_twilio, bad, {**JSON_SHAPES, **BLANKS}, messages),
        "message to Twilio": Reader(_read_to_twilio, bad, {**JSON_SHAPES, **BLANKS}, messages),
        "review of a message": Reader(_review_text, (), {**JSON_SHAPES, **BLANKS}, messages),
        "review of a file": Reader(
            _review_file, bad, {**JSON_SHAPES, **XML_SHAPES, **BLANKS, **_capture_shapes()},
            (*messages, *twiml, *_capture_seeds(), *_texts("tests/cases/*.json", ".json")),
        ),
        "payload": Reader(_review_payload, (), _payload_shapes(), payloads, "sound"),
        "TwiML": Reader(_read_twiml, (TwimlFault,), {**XML_SHAPES, **BLANKS}, twiml),
        "capture": Reader(_read_capture, bad, {**_capture_shapes(), **BLANKS}, _capture_seeds()),
        "header of a sound": Reader(_inspect_wav, bad, _sound_shapes(), sounds, "sound"),
        "sound": Reader(_load_sound, bad, _sound_shapes(), sounds, "sound"),
        "headerless sound": Reader(_load_headerless, (), _payload_shapes(), payloads, "sound"),
        "examination of a sound": Reader(_examine_sound, bad, _sound_shapes(), sounds, "sound"),
        # The package's own file; tomllib itself takes n² for a key of many parts.
        "codes": Reader(_read_codes, bad, toml, codes, is_own=True),
        "explain": Reader(_explain, bad, {**BLANKS, **log_shapes, **JSON_SHAPES}, (*logs, *messages[:9])),
        "settings": Reader(
            _read_env, (UnicodeDecodeError,), {**env, **BLANKS},
            (b"TWILIO_ACCOUNT_SID=AC1\nexport TWILIO_AUTH_TOKEN='a b'  # c\nA=\"x\\n\"\n",),
            is_own=True,
        ),
        "frames of a client": Reader(
            partial(_read_frames, masked=True), (), _frame_shapes(), _frames()
        ),
        "frames of a server": Reader(
            partial(_read_frames, masked=False), (), _frame_shapes(), _frames()
        ),
        "output of a tunnel program": Reader(_read_program, (), {**log_shapes, **BLANKS}, logs),
        "output of a server": Reader(_read_ready, (ValueError,), {**log_shapes, **BLANKS}, logs),
        "REST request": Reader(_read_rest, (Refusal, HTTPRequestEntityTooLarge), rest, _encoded(*REST)),
        "page of a widget": Reader(
            _read_page, (), BLANKS, (b"here abc", b"got 12", b"press 5", b"say greeting.wav")
        ),
        "names and numbers": Reader(
            _read_names, (), {**BLANKS, "marks": repeated("#1@"), "progress": repeated("#1@2s")},
            (b"greeting#1", b"greeting#1@2s", b"+15550100001", b"31951", b"a\x1b[0m"),
        ),
    }  # fmt: skip
