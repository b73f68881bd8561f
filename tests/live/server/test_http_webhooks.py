"""Signatures are computed here by hand, from the recipe of the protocol notes (§7)."""

import hmac
from base64 import b64encode
from urllib.parse import urlencode
from xml.etree import ElementTree

import pytest

from support.far_end import TOKEN
from twistream_kit.live.calls.status import StatusEvent
from twistream_kit.live.server.web_request import Answer
from twistream_kit.protocol import signature as signature_module

RINGING = {
    "CallSid": "CA123",
    "CallStatus": "ringing",
    "From": "+15550100001",
    "To": "+15005550006",
}


def signed(url, form=()):
    text = url + "".join(name + dict(form)[name] for name in sorted(dict(form)))
    return b64encode(hmac.new(TOKEN.encode(), text.encode(), "sha1").digest()).decode()


def get(path, signature=None):
    return _head("GET", path, signature) + b"\r\n"


def post(path, form, signature=None):
    body = urlencode(form).encode()
    return _head("POST", path, signature) + b"Content-Length: %d\r\n\r\n" % len(body) + body


def _head(method, path, signature):
    # What is signed is checked over the configured address, whatever Host says.
    host = "localhost" if signature is None else "elsewhere.example"
    line = f"X-Twilio-Signature: {signature}\r\n" if signature is not None else ""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n{line}".encode()


def read(answer):
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), head.decode(), body.decode()


async def test_health_answers_with_what_only_this_server_knows(serve, ask):
    one, two = await serve(), await serve()
    assert read(await ask(one, get("/health")))[2] == one.nonce
    assert read(await ask(two, get("/health")))[2] == two.nonce != one.nonce


async def test_health_needs_no_signature(serve, ask):
    server = await serve(auth_token=TOKEN)
    assert read(await ask(server, get("/health")))[0] == 200


async def test_other_paths_do_not_exist(serve, ask):
    status, _, body = read(await ask(await serve(), get("/voice")))
    assert (status, body) == (404, "There is nothing at /voice.\n")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_twiml_connects_the_call_to_this_server(serve, ask, method):
    server = await serve()
    ask_for = get("/twiml?" + urlencode(RINGING)) if method == "GET" else post("/twiml", RINGING)
    status, head, body = read(await ask(server, ask_for))
    assert status == 200
    assert "\r\nContent-Type: text/xml" in head
    stream = ElementTree.fromstring(body).find("Connect/Stream")
    assert stream.get("url") == server.url
    parameters = {each.get("name"): each.get("value") for each in stream}
    assert parameters == {"from": "+15550100001", "to": "+15005550006"}


async def test_twiml_without_numbers_has_no_parameters(serve, ask):
    _, _, body = read(await ask(await serve(), get("/twiml")))
    assert list(ElementTree.fromstring(body).find("Connect/Stream")) == []


async def test_twiml_names_the_public_address(serve, ask):
    server = await serve(public_url="https://example.com/")
    _, _, body = read(await ask(server, get("/twiml")))
    assert ElementTree.fromstring(body).find("Connect/Stream").get("url") == (
        "wss://example.com/media"
    )


async def test_twiml_has_twilio_report_what_becomes_of_the_stream(serve, ask):
    server = await serve(public_url="https://example.com/")
    _, _, body = read(await ask(server, get("/twiml")))
    stream = ElementTree.fromstring(body).find("Connect/Stream")
    assert stream.get("statusCallback") == "https://example.com/status" == server.status_url


async def test_numbers_too_long_for_twilio_give_an_error_and_not_bad_twiml(serve, ask):
    status, _, body = read(await ask(await serve(), post("/twiml", {"From": "9" * 600})))
    assert status == 500
    assert "500" in body


@pytest.mark.parametrize("signature", [None, "", "nonsense", "ü", signed("https://forged/twiml")])
@pytest.mark.parametrize("path", ["/twiml", "/status"])
async def test_request_without_a_valid_signature_is_refused(serve, ask, said, path, signature):
    server = await serve(auth_token=TOKEN)
    status, _, body = read(await ask(server, post(path, RINGING, signature)))
    assert (status, body) == (403, "The signature is missing or does not fit.\n")
    assert server.status_events == []
    assert f"a request for {path} without a valid signature was refused" in said()


async def test_form_without_a_signature_is_not_even_parsed(serve, ask, monkeypatch):
    parsed = []
    monkeypatch.setattr(signature_module, "parse_form", lambda body: parsed.append(body) or {})
    server = await serve(auth_token=TOKEN)
    assert read(await ask(server, post("/status", [("a", "")] * 20_000)))[0] == 403
    assert parsed == []
    assert read(await ask(server, post("/status", {"a": "1"}, "forged")))[0] == 403
    assert parsed == [b"a=1"]


async def test_two_signatures_are_none(serve, ask):
    server = await serve(auth_token=TOKEN)
    right = signed(server.base_url + "/status", RINGING)
    twice = post("/status", RINGING, f"{right}\r\nX-Twilio-Signature: {right}")
    assert read(await ask(server, twice))[0] == 403


@pytest.mark.parametrize(
    ("public_url", "base"),
    [
        (None, None),
        ("https://example.com", "https://example.com"),
        ("https://example.com/", "https://example.com"),
        ("https://example.com:8443", "https://example.com"),
        ("https://example.com:8443", "https://example.com:8443"),
        ("https://example.com:443", "https://example.com"),
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080"),
    ],
)
async def test_signature_over_the_configured_address_is_accepted(serve, ask, public_url, base):
    server = await serve(auth_token=TOKEN, public_url=public_url)
    base = base or f"http://127.0.0.1:{server.port}"
    form = signed(f"{base}/status", RINGING)
    assert read(await ask(server, post("/status", RINGING, form)))[0] == 204
    query = "/twiml?b=2&a=%20x&b=1"
    assert read(await ask(server, get(query, signed(base + query))))[0] == 200
    reordered = "/twiml?a=%20x&b=1&b=2"
    assert read(await ask(server, get(reordered, signed(base + query))))[0] == 403


async def test_signature_of_another_form_is_refused(serve, ask):
    server = await serve(auth_token=TOKEN)
    signature = signed(server.base_url + "/status", RINGING)
    forged = RINGING | {"CallStatus": "completed"}
    assert read(await ask(server, post("/status", forged, signature)))[0] == 403


async def test_form_may_be_empty_repeated_and_in_any_language(serve, ask):
    server = await serve(auth_token=TOKEN)
    form = {"CallerCity": "", "CallerName": "Zoë + Søn & 100%", "CallStatus": "busy"}
    signature = signed(server.base_url + "/status", form)
    assert read(await ask(server, post("/status", form, signature)))[0] == 204
    assert server.status_events[0].parameters == form


async def test_status_callbacks_are_kept_in_order(serve, ask):
    server = await serve()
    await ask(server, post("/status", RINGING))
    await ask(server, get("/status?" + urlencode(RINGING | {"CallStatus": "completed"})))
    await ask(server, post("/status", {"CallSid": "CA123", "StreamEvent": "stream-started"}))
    await ask(server, post("/status", {"Digits": "1"}))
    events = server.status_events
    assert [event.name for event in events] == ["ringing", "completed", "stream-started", ""]
    assert [event.call_sid for event in events] == ["CA123", "CA123", "CA123", ""]
    assert isinstance(events[0], StatusEvent)
    assert sorted(events, key=lambda event: event.at) == events


async def test_status_answer_is_empty(serve, ask):
    status, _, body = read(await ask(await serve(), post("/status", RINGING)))
    assert (status, body) == (204, "")


def test_answer_is_text_unless_said_otherwise():
    assert Answer(200).content_type.startswith("text/plain")
