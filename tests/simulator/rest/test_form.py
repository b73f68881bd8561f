# ruff: noqa: E501 - a body stands on one line
"""Bodies of requests that are no form, or not the one that their headers say, get Twilio's error."""

from __future__ import annotations

import asyncio
import http.client
import json
from base64 import b64encode
from urllib.parse import urlencode

import pytest

ALICE = "+15550100001"
FORM = "application/x-www-form-urlencoded"


def post(twilio, body, content_type, **headers):
    """Return the status and the body of the answer."""
    host = twilio.url.removeprefix("http://")
    connection = http.client.HTTPConnection(host, timeout=10)
    secret = b64encode(f"{twilio.account_sid}:{twilio.auth_token}".encode()).decode()
    sent = {"Authorization": f"Basic {secret}", **headers}
    if content_type is not None:
        sent["Content-Type"] = content_type
    path = f"/2010-04-01/Accounts/{twilio.account_sid}/Calls.json"
    connection.request("POST", path, body, sent)
    answer = connection.getresponse()
    status, text = answer.status, answer.read()
    connection.close()
    return status, json.loads(text)


def parts(*, boundary="b", headers='Content-Disposition: form-data; name="To"', end="--b--\r\n"):
    return f"--{boundary}\r\n{headers}\r\n\r\n+15550100001\r\n{end}".encode()


UNREADABLE = {
    "very many parts": (parts(end="") * 300 + b"--b--\r\n", "multipart/form-data; boundary=b"),
    "endless content type": (b"To=1", f"{FORM}{'; a=b' * 1000}"),
    "no such charset": (b"To=1", f"{FORM}; charset=nonsense"),
    "charset of bytes": (b"To=1", f"{FORM}; charset=hex"),
    "charset that is quadratic": (b"-" + b"a" * 60_000, f"{FORM}; charset=punycode"),
    "charset undefined": (b"To=1", f"{FORM}; charset=undefined"),
    "escapes": (b"To=\\x", f"{FORM}; charset=unicode_escape"),
    "not UTF-8": (b"To=\xff\xfe", FORM),
    "not ASCII": (b"To=\xe9", f"{FORM}; charset=us-ascii"),
    "no boundary": (parts(), "multipart/form-data"),
    "empty boundary": (parts(), "multipart/form-data; boundary="),
    "wrong boundary": (parts(), "multipart/form-data; boundary=other"),
    "boundary of 80 characters": (parts(boundary="b" * 80), f"multipart/form-data; boundary={'b' * 80}"),
    "part without a name": (parts(headers="X-A: b"), "multipart/form-data; boundary=b"),
    "part in base64": (
        parts(headers='Content-Disposition: form-data; name="To"\r\nContent-Transfer-Encoding: base64'),
        "multipart/form-data; boundary=b",
    ),
    "part in nothing known": (
        parts(headers='Content-Disposition: form-data; name="To"\r\nContent-Transfer-Encoding: x'),
        "multipart/form-data; boundary=b",
    ),
    "part that is not gzip": (
        parts(headers='Content-Disposition: form-data; name="To"\r\nContent-Encoding: gzip'),
        "multipart/form-data; boundary=b",
    ),
    "part with a charset": (
        parts(headers='Content-Disposition: form-data; name="To"\r\nContent-Type: text/plain; charset=x'),
        "multipart/form-data; boundary=b",
    ),
    "part without an end": (parts(end=""), "multipart/form-data; boundary=b"),
    "head without an end": (b"--b\r\nContent-Disposition", "multipart/form-data; boundary=b"),
    "nothing": (b"", "multipart/form-data; boundary=b"),
    "parts in parts": (
        parts(headers="Content-Type: multipart/mixed; boundary=c"), "multipart/form-data; boundary=b"
    ),
}  # fmt: skip


@pytest.mark.parametrize(("body", "content_type"), UNREADABLE.values(), ids=UNREADABLE)
async def test_body_that_is_no_form_is_refused_as_twilio_refuses(twilio, body, content_type):
    status, answer = await asyncio.to_thread(post, twilio, body, content_type)
    assert 400 <= status < 500
    assert answer["status"] == status
    assert answer["code"] in {20422, 21201, 21213}  # no form, or one without To or From
    assert answer["message"]


@pytest.mark.parametrize("charset", ["", "; charset=utf-8", "; charset=UTF8", '; charset="utf-8"'])
async def test_form_in_a_usual_charset_places_a_call(twilio, charset):
    twilio.phone(ALICE, "manual")
    form = {"To": ALICE, "From": twilio.numbers[0], "Twiml": "<Response><Pause/></Response>"}
    status, call = await asyncio.to_thread(post, twilio, urlencode(form), FORM + charset)
    assert (status, call["status"]) == (201, "queued")


async def test_form_in_parts_places_a_call_too(twilio):
    twilio.phone(ALICE, "manual")
    form = {"To": ALICE, "From": twilio.numbers[0], "Twiml": "<Response><Pause/></Response>"}
    body = "".join(
        f'--b\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
        for name, value in form.items()
    )
    status, call = await asyncio.to_thread(
        post, twilio, f"{body}--b--\r\n", "multipart/form-data; boundary=b"
    )
    assert (status, call["status"]) == (201, "queued")
