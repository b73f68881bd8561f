"""The oracle is the list of vectors in PROTOCOL.md §2.2 and §7, not the SDK."""

import hashlib
import hmac
import time
from base64 import b64encode
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twistream_kit.protocol import signature
from twistream_kit.protocol.signature import (
    is_valid,
    is_valid_handshake,
    parse_form,
    parse_json,
    parse_query,
    sign,
)

TOKEN = "12345"

HANDSHAKES = [
    ("wss://example.com/media-stream", "XFfwGS2Ev7f9qAP9MmRoMS7C724="),
    ("wss://example.com/media-stream/", "7J0iz81itFhCXVuZK8EmM4YZwLA="),
    ("wss://example.com", "WhInc32piEQH5iWNct/7FHs5ew8="),
    ("wss://example.com/", "hoaxtdkWNBxVYCmDLq7UdjDdXIg="),
    ("https://example.com/media-stream", "+Nt/WUHH2g+0+t2rLN3k9fNhfEw="),
]

MYCOMPANY = "https://mycompany.com/myapp.php?foo=1&bar=2"
WEBHOOKS = [
    (
        "https://example.com/myapp.php?foo=1&bar=2",
        {
            "CallSid": "CA1234567890ABCDE",
            "Caller": "+14158675310",
            "Digits": "1234",
            "From": "+14158675310",
            "To": "+18005551212",
        },
        "L/OH5YylLD5NRKLltdqwSvS0BnU=",
    ),
    (
        MYCOMPANY,
        {
            "CallSid": "CA1234567890ABCDE",
            "Digits": "1234",
            "From": "+14158675309",
            "To": "+18005551212",
            "Caller": "+14158675309",
        },
        "RSOYDt4T1cUTdK1PDd93/VVr8B8=",
    ),
    (
        MYCOMPANY,
        {"Sid": "CA123", "SidAccount": "AC123", "Digits": ["5678", "1234", "1234"]},
        "IK+Dwps556ElfBT0I3Rgjkr1wJU=",
    ),
]


def hmac_of(text: str) -> str:
    return b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha1).digest()).decode()


@pytest.mark.parametrize(("url", "expected"), HANDSHAKES)
def test_sign_gives_the_known_signature_of_a_stream_url(url, expected):
    assert sign(TOKEN, url) == expected


@pytest.mark.parametrize(("url", "params", "expected"), WEBHOOKS)
def test_sign_gives_the_known_signature_of_a_webhook(url, params, expected):
    assert sign(TOKEN, url, params) == expected
    assert is_valid(TOKEN, url, params, expected)


@pytest.mark.parametrize(("url", "params", "expected"), WEBHOOKS)
def test_webhook_is_refused_when_anything_differs(url, params, expected):
    assert not is_valid("54321", url, params, expected)
    assert not is_valid(TOKEN, url + "3", params, expected)
    assert not is_valid(TOKEN, url, {**params, "More": ""}, expected)
    assert not is_valid(TOKEN, url, params, expected[:-2] + "A=")


@pytest.mark.parametrize(("signed", "signature_"), HANDSHAKES)
def test_handshake_is_accepted_in_every_form_in_which_twilio_may_sign_it(signed, signature_):
    configured = "wss://example.com" + ("/media-stream" if "media" in signed else "")
    assert is_valid_handshake(TOKEN, configured, signature_)
    assert is_valid_handshake(TOKEN, configured.replace("wss:", "https:"), signature_)


def test_handshake_candidates_are_two_schemes_two_endings_and_two_ports():
    assert set(signature.list_handshake_urls("https://example.com/media")) == {
        f"{scheme}://example.com{port}/media{slash}"
        for scheme in ("wss", "https")
        for port in ("", ":443")
        for slash in ("", "/")
    }


def test_handshake_for_another_path_or_host_is_refused():
    other = sign(TOKEN, "wss://example.com/other")
    assert not is_valid_handshake(TOKEN, "wss://example.com/media-stream", other)
    assert not is_valid_handshake(TOKEN, "wss://example.org/other", other)


def test_handshake_on_loopback_is_accepted_with_and_without_its_port():
    for signed in ("ws://127.0.0.1:8080/media", "ws://127.0.0.1/media"):
        assert is_valid_handshake(TOKEN, "ws://127.0.0.1:8080/media", hmac_of(signed))


def test_user_and_password_are_never_signed():
    assert sign(TOKEN, "https://me:secret@example.com/x") == hmac_of("https://example.com/x")
    assert signature.remove_user("wss://me@[::1]:8443/x?y") == "wss://[::1]:8443/x?y"
    # An @ in the path is not the end of a user name.
    assert sign(TOKEN, "https://example.com/x@y") == hmac_of("https://example.com/x@y")


@pytest.mark.parametrize(
    ("url", "signed"),
    [
        ("https://example.com:8443/voice?a=b", "https://example.com/voice?a=b"),
        ("https://me:pw@example.com:443", "https://example.com"),
        ("http://example.com:8080/voice", "http://example.com:8080/voice"),
        ("wss://example.com:443/media", "wss://example.com/media"),
        ("https://[2001:db8::1]:8443/voice", "https://[2001:db8::1]/voice"),
        ("https://[2001:db8::1]/voice", "https://[2001:db8::1]/voice"),
        ("https://Example.COM/Voice?", "https://Example.COM/Voice?"),
        ("not a url", "not a url"),
    ],
)
def test_signed_url_drops_the_port_only_where_twilio_does(url, signed):
    assert signature.compute_signed_url(url) == signed


@pytest.mark.parametrize(
    ("url", "others"),
    [
        ("https://example.com/v", ["https://example.com:443/v"]),
        ("https://example.com:443/v", ["https://example.com/v"]),
        ("http://example.com/v", ["http://example.com:80/v"]),
        ("https://[::1]:444/v", ["https://[::1]/v", "https://[::1]:443/v"]),
        ("http://[::1", []),
        ("http://host:port/v", []),
        (
            "https://Example.COM/V",
            [
                "https://Example.COM:443/V",
                "https://example.com/V",
                "https://example.com:443/V",
            ],
        ),
    ],
)
def test_candidate_urls_are_the_url_with_and_without_its_port(url, others):
    assert signature.list_webhook_urls(url) == [url, *others]
    for other in others:
        assert is_valid(TOKEN, url, None, hmac_of(other))


@pytest.mark.parametrize(
    ("configured", "asked"), [("wss://a.test/v", "https://a.test/v"), ("ws://a/v", "http://a/v")]
)
def test_webhooks_of_an_address_configured_for_streams_are_those_of_the_web(configured, asked):
    assert is_valid(TOKEN, configured, None, hmac_of(asked))
    assert not is_valid(TOKEN, configured, None, hmac_of(configured))


def test_names_are_sorted_by_bytes_and_empty_values_still_count():
    params = {"b": "", "B": "2", "a": "1", "ä": "3"}
    assert sign(TOKEN, "https://x.test/", params) == hmac_of("https://x.test/B2a1bä3")


def test_white_space_in_values_is_kept():
    assert sign(TOKEN, "https://x.test/", {"a": " 1 "}) == hmac_of("https://x.test/a 1 ")


BODY = b'{"CallSid":"CA1234567890ABCDE","Caller":"+12349013030"}'
BODY_SHA256 = "5ccde7145dfb8f56479710896586cb9d5911809d83afbe34627818790db0aec9"


def test_json_body_is_vouched_for_by_the_hash_in_the_query():
    url = f"https://example.com/hook?bodySHA256={BODY_SHA256}"
    assert is_valid(TOKEN, url, None, hmac_of(url), body=BODY)
    assert not is_valid(TOKEN, url, None, hmac_of(url), body=BODY + b" ")
    assert not is_valid(TOKEN, url, None, hmac_of(url))


def test_json_body_without_a_hash_is_refused():
    url = "https://example.com/hook"
    assert is_valid(TOKEN, url, None, hmac_of(url), body=b"")
    assert not is_valid(TOKEN, url, None, hmac_of(url), body=BODY)


def test_no_signature_and_no_token_never_fit():
    url = "https://example.com/"
    assert not is_valid(TOKEN, url, None, None)
    assert not is_valid(TOKEN, url, None, "")
    assert not is_valid("", url, None, sign("", url))
    assert not is_valid_handshake(TOKEN, url, None)


KEY = "webhooks_sharedkey_01"
SHA256 = f"key={KEY},algorithm=HMAC_SHA256"


def sha256_of(text):
    return b64encode(hmac.new(TOKEN.encode(), text.encode(), hashlib.sha256).digest()).decode()


def test_a_shared_key_may_sign_with_sha256_when_the_header_says_so():
    url = "https://example.com/status"
    good = sha256_of(f"{url}a1")
    assert good == sign(TOKEN, url, {"a": "1"}, algorithm="HMAC_SHA256")
    assert is_valid(TOKEN, url, {"a": "1"}, good, settings=SHA256)
    assert not is_valid(TOKEN, url, {"a": "1"}, good)
    assert not is_valid(TOKEN, url, {"a": "1"}, hmac_of(f"{url}a1"), settings=SHA256)
    stream = "wss://example.com/media"
    assert is_valid_handshake(TOKEN, stream, sha256_of(stream), settings=SHA256)
    assert not is_valid_handshake(TOKEN, stream, sha256_of(stream))


def test_our_sha256_is_that_of_the_sdk():
    sdk = pytest.importorskip("twilio.request_validator")
    if not hasattr(sdk, "SIGNATURE_SETTINGS_HEADER"):
        pytest.skip("this SDK is older than shared keys")
    assert sdk.SIGNATURE_SETTINGS_HEADER == signature.SETTINGS_HEADER
    assert sdk.get_signature_algorithm(SHA256) == signature.read_algorithm(SHA256)
    expected = sdk.RequestValidator(TOKEN).compute_signature(MYCOMPANY, {"b": "2"}, "HMAC_SHA256")
    assert sign(TOKEN, MYCOMPANY, {"b": "2"}, algorithm="HMAC_SHA256") == expected


@pytest.mark.parametrize(
    ("settings_header", "algorithm"),
    [
        (None, "HMAC_SHA1"),
        ("", "HMAC_SHA1"),
        ("key=x", "HMAC_SHA1"),
        ("algorithm=", "HMAC_SHA1"),
        (SHA256, "HMAC_SHA256"),
        (" algorithm = hmac_sha256 , key=x", "HMAC_SHA256"),
        ("key=x,algorithm=NONE", "NONE"),
    ],
)
def test_the_algorithm_is_the_one_the_header_names(settings_header, algorithm):
    assert signature.read_algorithm(settings_header) == algorithm


@pytest.mark.parametrize("algorithm", ["NONE", "MD5", "HMAC_MD5", "SHA1", "HMAC-SHA256"])
def test_an_unknown_algorithm_lets_nothing_in(algorithm):
    url, settings_header = "https://example.com/", f"key=x,algorithm={algorithm}"
    for good in (hmac_of(url), sha256_of(url), ""):
        assert not is_valid(TOKEN, url, None, good, settings=settings_header)
        assert not is_valid_handshake(TOKEN, url, good, settings=settings_header)


def test_a_refusal_says_what_was_missing_and_quotes_nothing():
    assert signature.describe_refusal([], None) == (
        "it has no header X-Twilio-Signature, where Twilio sends one "
        '("Try out Voice" of a trial account sends none)'
    )
    assert signature.describe_refusal(["a", "a"], None) == (
        "it has 2 times the header X-Twilio-Signature, where Twilio sends one"
    )
    assert signature.describe_refusal(["a"], None) == "its X-Twilio-Signature does not fit"
    assert "shared key signed it and not the auth token" in signature.describe_refusal(
        ["a"], SHA256
    )
    assert "algorithm that is not known" in signature.describe_refusal(["a"], "algorithm=NONE")
    assert not any(
        text in signature.describe_refusal(["s3cret"], f"key=s3cret,algorithm={name}")
        for name in ("HMAC_SHA256", "s3cret")
        for text in ("s3cret", "S3CRET")
    )


def test_a_body_is_raw_when_the_query_vouches_for_it():
    assert signature.has_body_hash("https://x.test/?a=1&bodySHA256=ab")
    assert not signature.has_body_hash("https://x.test/?bodySHA256=")
    assert not signature.has_body_hash("https://x.test/#?bodySHA256=ab")


SHAPES = [None, "", "a", "=", " " * 28, "A" * 27 + "=", "A" * 28, "ü" * 40, "A" * 100_000]


@pytest.mark.parametrize("url", ["https://example.com/v", "https://A.test:1/v", "wss://a:9/m"])
def test_every_refusal_compares_with_every_candidate(monkeypatch, url):
    compared = []

    def counting(left, right):
        compared.append(len(right))
        return hmac.compare_digest(left, right)

    watched = SimpleNamespace(new=hmac.new, compare_digest=counting)
    monkeypatch.setattr(signature, "hmac", watched)

    def comparisons(check):
        compared.clear()
        assert not check()
        return len(compared)

    good, half = sign(TOKEN, url), sign(TOKEN, url)[:14] + "A" * 14
    tokens = ["", "54321"]
    webhook = {comparisons(lambda s=s: is_valid(TOKEN, url, None, s)) for s in [*SHAPES, half]}
    webhook |= {comparisons(lambda t=t: is_valid(t, url, None, good)) for t in tokens}
    webhook.add(comparisons(lambda: is_valid(TOKEN, url, None, good, settings="algorithm=NONE")))
    webhook.add(comparisons(lambda: is_valid(TOKEN, url, None, good, body=b"unvouched")))
    assert webhook == {len(signature.list_webhook_urls(url))}
    stream = {comparisons(lambda s=s: is_valid_handshake(TOKEN, url, s)) for s in [*SHAPES, half]}
    assert stream == {len(signature.list_handshake_urls(url))}


ANYTHING = st.text(st.characters())
"""Lone surrogates included, which `st.text()` leaves out."""


@settings(deadline=None, max_examples=60)
@given(ANYTHING, ANYTHING, st.dictionaries(ANYTHING, st.lists(ANYTHING)))
def test_check_of_any_junk_is_false_and_never_raises(url, junk, params):
    assert is_valid(TOKEN, url, params, junk) is False
    assert is_valid(TOKEN, f"?bodySHA256={url}", None, junk, body=b"", settings=junk) is False
    assert is_valid_handshake(TOKEN, url, junk, settings=junk) is False
    assert signature.describe_refusal([junk], junk)


@settings(deadline=None, max_examples=60)
@given(st.characters(codec="utf-8"), st.text(max_size=5))
def test_signature_outside_ascii_is_refused_without_an_error(char, rest):
    assert not is_valid(TOKEN, "https://example.com/", None, f"{char}ü{rest}")


# The parameters of a webhook


def test_names_and_values_are_read_and_repeated_ones_have_a_list():
    assert parse_query("a=1&b=&a=2&a=3") == {"a": ["1", "2", "3"], "b": ""}
    assert parse_form(b"From=%2B15550100001&City=Z%C3%BCrich+1") == {
        "From": "+15550100001",
        "City": "Zürich 1",
    }


def test_a_form_is_read_and_checked_in_linear_time():
    def cost(size):
        begun = time.thread_time()
        for _ in range(3):
            is_valid(TOKEN, "https://a.example:8443/status", parse_form(b"a&" * size), "forged")
        return time.thread_time() - begun

    # Eight times the fields: linear is 8, quadratic is 64.
    assert min(cost(32_000) for _ in range(3)) < 30 * min(cost(4_000) for _ in range(3))


def test_a_json_object_gives_its_strings_and_numbers():
    body = b'{"CallSid":"CA1","Duration":12,"Extra":{"a":1},"List":["a"],"None":null,"Price":0.5}'
    assert parse_json(body) == {"CallSid": "CA1", "Duration": "12"}


@pytest.mark.parametrize("body", [b"", b"[1]", b"nonsense", b'"text"', b"[" * 100_000, b"\xff"])
def test_what_is_no_json_object_says_nothing(body):
    assert parse_json(body) == {}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=300))
def test_whatever_comes_is_read_without_an_error(body):
    for parameters in (parse_form(body), parse_json(body)):
        assert all(isinstance(name, str) for name in parameters)
