"""Every way in which a right signature is easily taken for a wrong one, and a wrong one for right.

Signatures are computed by hand, from the recipe of the protocol notes (§2.2, §7).
"""

import hashlib
import hmac
import json
import random
from base64 import b64encode
from urllib.parse import quote, urlencode

import pytest
from websockets.exceptions import InvalidStatus

from support.far_end import TOKEN
from twistream_kit.live.server.web_request import WebRequest
from twistream_kit.live.server.webhooks import Webhooks

BASE = "https://example.com"
STREAM = "wss://example.com/media"
RINGING = {
    "AccountSid": "AC123",
    "CallSid": "CA123",
    "CallStatus": "ringing",
    "CallerCity": "",
    "From": "+15550100001",
    "To": "+15005550006",
}
SETTINGS = "X-Twilio-Webhooks-Signature-Settings"


def digest(text, token=TOKEN, algorithm="sha1"):
    return hmac.new(token.encode(), text.encode(), algorithm).digest()


def in_base64(raw):
    return b64encode(raw).decode()


def signed(url, form=(), **options):
    form = dict(form)
    text = url + "".join(name + form[name] for name in sorted(form))
    return in_base64(digest(text, **options))


def request(method, target, *headers, body=b""):
    lines = [f"{method} {target} HTTP/1.1", "Host: elsewhere.example", *headers]
    if method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


def signature(text):
    return f"X-Twilio-Signature: {text}"


def post(target, form, *headers):
    kind = "Content-Type: application/x-www-form-urlencoded"
    return request("POST", target, kind, *headers, body=urlencode(form, doseq=True).encode())


def status(answer):
    return int(answer.split(b" ", 2)[1])


# The address: what is configured, and what Twilio makes of it


ADDRESSES = [
    pytest.param("https://example.com", "https://example.com", id="as configured"),
    pytest.param("https://example.com/", "https://example.com", id="slash at the end"),
    pytest.param("https://example.com/a/", "https://example.com/a", id="path of a proxy"),
    pytest.param("https://example.com", "https://example.com:443", id="port added"),
    pytest.param("https://example.com:443", "https://example.com", id="port dropped"),
    pytest.param("https://example.com:8443", "https://example.com", id="other port dropped"),
    pytest.param("https://example.com:8443", "https://example.com:8443", id="other port kept"),
    pytest.param("http://example.com:8080", "http://example.com:8080", id="port of http kept"),
    pytest.param("https://[2001:db8::1]", "https://[2001:db8::1]", id="IPv6"),
    pytest.param("https://[2001:db8::1]:8443", "https://[2001:db8::1]", id="IPv6, port dropped"),
    pytest.param("https://[::1]:8443", "https://[::1]:8443", id="IPv6, port kept"),
    pytest.param("https://me:s3cret@example.com", "https://example.com", id="user and password"),
    pytest.param("https://me@example.com:8443", "https://example.com", id="user and port"),
    pytest.param("https://Example.COM", "https://Example.COM", id="host in capitals"),
    pytest.param("https://Example.COM", "https://example.com", id="host in small letters"),
    pytest.param("wss://example.com", "https://example.com", id="configured as wss"),
]


@pytest.mark.parametrize(("configured", "base"), ADDRESSES)
async def test_webhook_is_accepted_over_the_address_in_twilios_form(serve, ask, configured, base):
    server = await serve(auth_token=TOKEN, public_url=configured)
    right = signature(signed(f"{base}/status", RINGING))
    assert status(await ask(server, post("/status", RINGING, right))) == 204
    wrong = signature(signed(f"{base}x/status", RINGING))
    assert status(await ask(server, post("/status", RINGING, wrong))) == 403


@pytest.mark.parametrize(("configured", "base"), ADDRESSES)
@pytest.mark.parametrize("slash", ["", "/"])
async def test_stream_is_accepted_over_the_address_in_twilios_form(
    serve, dial, configured, base, slash
):
    server = await serve(auth_token=TOKEN, public_url=configured)
    as_socket = base.replace("http", "ws", 1)
    for scheme_of in (as_socket, base):
        await dial(server, start=False, signed_url=f"{scheme_of}/media{slash}")
    with pytest.raises(InvalidStatus) as refused:
        await dial(server, start=False, signed_url=f"{as_socket}x/media{slash}")
    assert refused.value.response.status_code == 403


async def test_password_in_the_address_is_not_logged_with_a_refusal(serve, ask, said):
    server = await serve(auth_token=TOKEN, public_url="https://me:s3cret@example.com")
    upgrade = ["Upgrade: websocket", "Connection: Upgrade"]
    assert status(await ask(server, request("GET", "/media", *upgrade))) == 403
    assert status(await ask(server, post("/status", RINGING))) == 403
    assert len(said()) >= 2
    assert not any("s3cret" in line for line in [*said(), repr(server)])


async def test_what_a_request_says_of_its_host_counts_for_nothing(serve, ask):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    forged = signature(signed("https://forged.example/status", RINGING))
    pretended = ["X-Forwarded-Host: forged.example", "X-Forwarded-Proto: https"]
    assert status(await ask(server, post("/status", RINGING, forged, *pretended))) == 403
    whole = "https://forged.example/status"
    assert status(await ask(server, post(whole, RINGING, forged))) == 400


# The header


@pytest.mark.parametrize(
    "headers",
    [
        [],
        [""],
        ["X-Twilio-Signature:"],
        ["X-Twilio-Signature: None"],
        ["X-Twilio-Signature: null"],
        ["X-Twilio-Signature: {0}", "X-Twilio-Signature: {0}"],
        ["X-Twilio-Signature: {0}", "x-twilio-signature: AAAA"],
        ["X-Twilio-Signature: {0}, {0}"],
        ["X-Twilio-Signature-256: {0}"],
        ["X-Twilio-Signature-V2: {0}"],
        ["X_Twilio_Signature: {0}"],
        ["Authorization: {0}"],
    ],
    ids=lambda headers: "|".join(headers) or "none",
)
async def test_no_one_signature_is_no_signature(serve, ask, headers):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    right = signed(f"{BASE}/status", RINGING)
    lines = [line.format(right) for line in headers if line]
    assert status(await ask(server, post("/status", RINGING, *lines))) == 403
    upgrade = ["Upgrade: websocket", "Connection: Upgrade"]
    lines = [line.format(signed(STREAM)) for line in headers if line]
    assert status(await ask(server, request("GET", "/media", *upgrade, *lines))) == 403
    assert server.status_events == []


@pytest.mark.parametrize("name", ["x-twilio-signature", "X-TWILIO-SIGNATURE", "X-twilio-Signature"])
async def test_name_of_the_header_may_be_written_in_any_case(serve, ask, name):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    header = f"{name}: {signed(f'{BASE}/status', RINGING)}"
    assert status(await ask(server, post("/status", RINGING, header))) == 204


async def test_refusal_says_in_the_log_what_twilio_would_have_sent(serve, ask, said):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    other = f"X-Twilio-Signature-256: {signed(f'{BASE}/status', RINGING)}"
    assert status(await ask(server, post("/status", RINGING, other))) == 403
    assert any("it has no header X-Twilio-Signature, where Twilio sends one" in s for s in said())


# Signed with a shared key, as a webhook setting may ask for


async def test_shared_key_with_sha256_is_accepted_where_its_secret_is_the_token(serve, ask):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    right = signature(signed(f"{BASE}/status", RINGING, algorithm="sha256"))
    setting = f"{SETTINGS}: key=webhooks_sharedkey_01,algorithm=HMAC_SHA256"
    assert status(await ask(server, post("/status", RINGING, right, setting))) == 204
    assert status(await ask(server, post("/status", RINGING, right, setting.lower()))) == 204
    assert status(await ask(server, post("/status", RINGING, right))) == 403


async def test_shared_key_of_another_secret_is_refused_and_the_log_says_what_to_do(
    serve, ask, said
):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    other = signed(f"{BASE}/status", RINGING, token="the key", algorithm="sha256")
    setting = f"{SETTINGS}: key=webhooks_sharedkey_01,algorithm=HMAC_SHA256"
    assert status(await ask(server, post("/status", RINGING, signature(other), setting))) == 403
    assert any("give the secret of that key as auth_token" in line for line in said())
    assert not any("webhooks_sharedkey_01" in line or other in line for line in said())


@pytest.mark.parametrize("algorithm", ["NONE", "", "HMAC_MD5", "HMAC_SHA1"])
async def test_header_of_settings_cannot_weaken_the_check(serve, ask, algorithm):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    setting = f"{SETTINGS}: key=x,algorithm={algorithm}"
    for wrong in ["", "AAAA", in_base64(hashlib.md5(RINGING["CallSid"].encode()).digest())]:
        answer = await ask(server, post("/status", RINGING, signature(wrong), setting))
        assert status(answer) == 403


# What was asked: queries, forms, bodies


@pytest.mark.parametrize(
    "query",
    [
        "?b=2&a=%20x&b=1",
        "?a=+&b=%2B",
        "?a=Couldn%27t&b=it's",
        "?Name=Zo%C3%AB&name=zo%c3%ab",
        "?a&b=&&c",
        "?",
    ],
)
async def test_query_is_signed_in_its_own_order_and_encoding(serve, ask, query):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    right = signature(signed(f"{BASE}/status{query}"))
    assert status(await ask(server, request("GET", f"/status{query}", right))) == 204
    for other in (query + "&c=1", query.replace("%", "%25"), query[:-1], query.swapcase() + "#"):
        if other != query:
            assert status(await ask(server, request("GET", f"/status{other}", right))) == 403


async def test_signature_of_a_query_does_not_fit_the_same_words_in_a_form(serve, ask):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    query = "/status?" + urlencode(RINGING)
    of_query = signature(signed(BASE + query))
    assert status(await ask(server, post("/status", RINGING, of_query))) == 403
    of_form = signature(signed(f"{BASE}/status", RINGING))
    assert status(await ask(server, request("GET", query, of_form))) == 403


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ("a=1", "a1"),
        ("b=2&a=1", "a1b2"),
        ("a=&b=", "ab"),
        ("Digits=5678&Digits=1234&Digits=1234", "Digits1234Digits5678"),
        ("NewInTheYear2030=x", "NewInTheYear2030x"),
        ("Name=Zo%C3%AB+%26+S%C3%B8n+100%25", "NameZoë & Søn 100%"),
        ("City=%E6%9D%B1%E4%BA%AC&%C3%A4=1", "City東京ä1"),
        ("a=+1+&b=%09", "a 1 b\t"),
        ("a=x%3Dy%26z", "ax=y&z"),
        ("a=%F0%9F%93%9E", "a📞"),
        ("", ""),
    ],
)
async def test_every_parameter_of_a_form_is_signed(serve, ask, body, text):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    right = signature(in_base64(digest(f"{BASE}/status{text}")))
    assert status(await ask(server, request("POST", "/status", right, body=body.encode()))) == 204
    more = f"{body}&Z=".encode()
    assert status(await ask(server, request("POST", "/status", right, body=more))) == 403
    wrong = body.replace("1", "2").replace("=", "=%00", 1).encode() or b"Z"
    assert status(await ask(server, request("POST", "/status", right, body=wrong))) == 403


JSON_BODY = json.dumps({"CallSid": "CA123", "CallStatus": "ringing", "Name": "Zoë"}).encode()


async def test_body_in_json_is_accepted_when_the_signed_query_vouches_for_it(serve, ask):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    target = f"/status?bodySHA256={hashlib.sha256(JSON_BODY).hexdigest()}"
    headers = ["Content-Type: application/json", signature(signed(BASE + target))]
    assert status(await ask(server, request("POST", target, *headers, body=JSON_BODY))) == 204
    [event] = server.status_events
    assert (event.name, event.call_sid) == ("ringing", "CA123")
    assert event.parameters["Name"] == "Zoë"


@pytest.mark.parametrize("body", [b"", JSON_BODY + b" ", b"{}", urlencode(RINGING).encode()])
async def test_another_body_than_the_one_vouched_for_is_refused(serve, ask, body):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    target = f"/status?bodySHA256={hashlib.sha256(JSON_BODY).hexdigest()}"
    headers = ["Content-Type: application/json", signature(signed(BASE + target))]
    assert status(await ask(server, request("POST", target, *headers, body=body))) == 403


async def test_body_in_json_that_nothing_vouches_for_is_refused(serve, ask):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    kind = "Content-Type: application/json"
    right = signature(signed(f"{BASE}/status"))
    assert status(await ask(server, request("POST", "/status", kind, right, body=JSON_BODY))) == 403
    own_hash = f"/status?bodySHA256={hashlib.sha256(JSON_BODY).hexdigest()}"
    assert status(await ask(server, request("POST", own_hash, kind, right, body=JSON_BODY))) == 403


@pytest.mark.parametrize("body", [b"[1]", b"null", b"{", b"\xff", b"[" * 20_000, b'{"a":{"b":1}}'])
async def test_body_vouched_for_that_is_no_flat_object_does_no_harm(serve, ask, body):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    target = f"/status?bodySHA256={hashlib.sha256(body).hexdigest()}"
    right = signature(signed(BASE + target))
    assert status(await ask(server, request("POST", target, right, body=body))) == 204
    assert [event.name for event in server.status_events] == [""]


# Replays at another address


async def test_signature_of_one_address_does_not_fit_another_of_the_same_server(serve, ask):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    urls = [f"{BASE}/status", f"{BASE}/twiml", f"{BASE}/media", STREAM, f"{STREAM}/", f"{BASE}/"]
    for path in ("/status", "/twiml"):
        for url in urls:
            expected = {"/status": 204, "/twiml": 200}[path] if url == BASE + path else 403
            of_form, of_nothing = signature(signed(url, RINGING)), signature(signed(url))
            assert status(await ask(server, post(path, RINGING, of_form))) == expected
            assert status(await ask(server, request("GET", path, of_nothing))) == expected
    upgrade = ["Upgrade: websocket", "Connection: Upgrade"]
    for url in (f"{BASE}/status", f"{BASE}/twiml", BASE, "wss://example.com", "wss://a.test/media"):
        answer = await ask(server, request("GET", "/media", *upgrade, signature(signed(url))))
        assert status(answer) == 403


@pytest.mark.parametrize("query", ["?x=1", "?", "?bodySHA256=aa"])
async def test_stream_is_not_let_in_with_a_query_that_was_not_signed(serve, ask, query):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    upgrade = ["Upgrade: websocket", "Connection: Upgrade", signature(signed(STREAM))]
    assert status(await ask(server, request("GET", f"/media{query}", *upgrade))) == 403


async def test_stream_is_let_in_with_a_query_that_was_signed(serve, dial):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    await dial(server, start=False, url=f"{server.url}?x=1", signed_url=f"{STREAM}?x=1")


# Thousands of forgeries


HOMOGLYPHS = str.maketrans(
    "ABCEHIKMOPTXaceopxy0123456789+/=",
    "АВСЕНІКМОРТХасеорху０１２３４５６７８９＋／＝",
)
OTHER_TOKENS = ["", "0", TOKEN[:-1], f"{TOKEN} ", f" {TOKEN}", TOKEN.upper(), TOKEN[::-1], "12345"]


def spoilt(good, rng):
    """Yield what is left of a right signature that something befell."""
    raw = hmac.new(b"", b"", "sha1").digest()
    for size in range(len(good)):
        yield good[:size]
        yield good[size:][1:]
        yield good[:size] + rng.choice(" \t\u00a0\u200b\x00\n") + good[size:]
        yield good[:size] + good[size].swapcase() + good[size + 1 :]
        for _ in range(6):
            yield good[:size] + rng.choice("ABCDabcd0123+/=-_ü") + good[size + 1 :]
    yield from (
        good.lower(),
        good.upper(),
        good.swapcase(),
        good[::-1],
        good.translate(HOMOGLYPHS),
    )
    yield from (good.rstrip("="), f"{good}=", f"{good}==", f"{good.rstrip('=')}%3D", f"{good}A")
    yield from (f"sha1={good}", f'"{good}"', f"{good},{good}", f"{good}\r\n{good}", f"Basic {good}")
    yield from (
        good.encode().hex(),
        quote(good, safe=""),
        in_base64(good.encode()),
        f"{good}{good}",
    )
    yield from ("", "=", "None", "null", "true", "0", "*", "A" * 27 + "=", in_base64(raw))
    yield from (good.replace("+", "-").replace("/", "_"), good.replace("+", " "))
    # The last letter before the = holds two bits that decoders ignore.
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    last = alphabet.index(good[-2])
    yield from (f"{good[:-2]}{alphabet[last ^ bits]}=" for bits in (1, 2, 3))


def flipped(raw):
    """Yield a right signature with each of its bits turned over."""
    for bit in range(len(raw) * 8):
        changed = bytearray(raw)
        changed[bit // 8] ^= 1 << bit % 8
        yield in_base64(changed)


def made_otherwise(url, text):
    """Yield signatures of the right text by another key or another recipe, and of other texts."""
    whole = url + text
    for token in OTHER_TOKENS:
        yield in_base64(digest(whole, token=token))
    for algorithm in ("sha256", "sha224", "sha512", "md5", "sha3_256", "blake2s"):
        yield in_base64(digest(whole, algorithm=algorithm))
        yield in_base64(digest(whole, algorithm=algorithm)[:20])
        yield digest(whole, algorithm=algorithm).hex()
    yield digest(whole).hex()
    yield in_base64(hashlib.sha1((TOKEN + whole).encode()).digest())
    yield in_base64(hashlib.sha1((whole + TOKEN).encode()).digest())
    yield in_base64(digest(TOKEN, token=whole))
    hosts = ["example.com", "example.org", "example.com.evil.test", "evil.test", "localhost", ""]
    for scheme in ("https", "http", "wss", "ws", "ftp", "HTTPS"):
        for host in hosts:
            for port in ("", ":80", ":443", ":8443", ":0"):
                for path in ("/status", "/twiml", "/media", "/health", "/", "", "//status"):
                    for end in ("", "/", "?", "?a=1", "#", "%20", "/../status"):
                        yield in_base64(digest(f"{scheme}://{host}{port}{path}{end}{text}"))


def changed_forms(form, rng):
    """Yield forms that differ from the one that was signed in what they say."""
    for name, value in form.items():
        rest = {each: form[each] for each in form if each != name}
        yield rest
        yield from (rest | {name: f"{value}{end}"} for end in ("0", " ", "\x00", "%00", "é"))
        yield from (rest | {name + end: value} for end in ("0", "[]", " "))
        yield from (rest | {each: value} for each in (name.lower(), name.upper()) if each != name)
        yield form | {name: [value, "completed"]}
        if value:
            yield rest | {name: value.translate(HOMOGLYPHS) + "\u200b"}
    for _ in range(300):
        yield form | {f"X{rng.randrange(10**9)}": rng.choice(["", "1", "completed"])}
    yield {}


def forgeries(rng):
    """Yield pairs of a form and a signature that does not fit it."""
    url, text = f"{BASE}/status", "".join(name + RINGING[name] for name in sorted(RINGING))
    good = in_base64(digest(url + text))
    right = {good, in_base64(digest(f"{BASE}:443/status{text}"))}
    wrong = [*spoilt(good, rng), *flipped(digest(url + text)), *made_otherwise(url, text)]
    yield from ((RINGING, each) for each in dict.fromkeys(wrong) if each not in right)
    yield from ((form, good) for form in changed_forms(RINGING, rng))


def test_none_of_thousands_of_forged_webhooks_is_let_in():
    noted = []
    webhooks = Webhooks(TOKEN, noted.append)

    def answer(form, header):
        web = WebRequest("POST", "/status", urlencode(form, doseq=True).encode())
        return webhooks.answer(web, header, BASE, STREAM).status

    cases = list(forgeries(random.Random(4)))
    assert len(cases) > 2500
    let_in = [(form, header) for form, header in cases if answer(form, header) != 403]
    assert let_in == []
    assert noted == []
    assert answer(RINGING, signed(f"{BASE}/status", RINGING)) == 204, "the right one still fits"


def test_none_of_thousands_of_forged_handshakes_is_let_in():
    webhooks = Webhooks(TOKEN, lambda _: None)
    good = signed(STREAM)
    right = {
        signed(f"{scheme}://example.com{port}/media{slash}")
        for scheme in ("wss", "https")
        for port in ("", ":443")
        for slash in ("", "/")
    }
    rng = random.Random(5)
    wrong = [*spoilt(good, rng), *flipped(digest(STREAM)), *made_otherwise(STREAM, "")]
    wrong = [each for each in dict.fromkeys(wrong) if each not in right]
    assert len(wrong) > 2000
    assert [each for each in wrong if webhooks.admits(STREAM, each)] == []
    assert all(webhooks.admits(STREAM, each) for each in right)


async def test_hundreds_of_forgeries_over_a_socket_get_403_and_nothing_else(serve, ask):
    server = await serve(auth_token=TOKEN, public_url=BASE)
    rng = random.Random(6)
    good = signed(f"{BASE}/status", RINGING)
    cases = [
        (form, header)
        for form, header in forgeries(rng)
        # What a header cannot hold, or loses at its ends on the way, is another matter.
        if header.strip(" \t") != good and not set(header) & set("\r\n\x00")
    ] + [(form, good) for form in changed_forms(RINGING, rng)]
    answers = set()
    for form, header in rng.sample(cases, 300):
        answers.add(status(await ask(server, post("/status", form, signature(header)))))
    assert answers == {403}
    assert server.status_events == []
    assert status(await ask(server, post("/status", RINGING, signature(good)))) == 204
