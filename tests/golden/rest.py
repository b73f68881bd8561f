"""What the simulated REST API answers: statuses and bodies of one conversation, and webhooks."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
from typing import Any

import requests
from aiohttp import web
from callers import MOST_SECONDS, soon, until
from common import Pages, listed

import twistream_kit as kit

ALICE = "+15550100001"
PAUSE = "<Response><Pause length='30'/></Response>"


def record() -> dict[str, str]:
    """Requests and answers, and the requests that Twilio itself makes."""
    pages = Pages()
    asyncio.run(_conversations(pages))
    asyncio.run(_webhooks(pages))
    return pages.texts()


class _Rest:
    """Requests without the SDK, whose answers are written down."""

    def __init__(self, twilio: kit.SimulatedTwilio, pages: Pages, page: str) -> None:
        self._twilio, self._pages, self._page = twilio, pages, page
        self.account = f"/2010-04-01/Accounts/{twilio.account_sid}"

    async def __call__(self, method: str, path: str, form: Any = None, *, auth: Any = None) -> Any:
        auth = auth or (self._twilio.account_sid, self._twilio.auth_token)
        answer = await asyncio.to_thread(self._ask, method, path, form, auth)
        kind = answer.headers.get("Content-Type", "")
        body = json.dumps(answer.json(), indent=1) if "json" in kind else answer.text
        heading = f"{method} {path} {form if form is not None else ''}"[:240]
        self._pages.add(self._page, heading, f"{answer.status_code} {kind}\n{body}")
        return answer.json() if "json" in kind else None

    def _ask(self, method: str, path: str, form: Any, auth: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                method, self._twilio.url + path, data=form, auth=auth, timeout=MOST_SECONDS
            )


async def _conversations(pages: Pages) -> None:
    async with kit.SimulatedTwilio(ring_seconds=0.02) as twilio:
        await _account(_Rest(twilio, pages, "account"), twilio)
        await _calls(_Rest(twilio, pages, "calls"), twilio)
        await _refused(_Rest(twilio, pages, "refused"), twilio)
    for name, account in {
        "trial": kit.SimulatedAccount(type="Trial"),
        "suspended": kit.SimulatedAccount(status="suspended"),
        "blocked": kit.SimulatedAccount(blocked_countries=frozenset({"US"})),
        "voiceless": kit.SimulatedAccount(voiceless=("+15005550006",)),
        "no calls at once": kit.SimulatedAccount(calls_at_once=1),
    }.items():
        async with kit.SimulatedTwilio(account=account) as twilio:
            rest = _Rest(twilio, pages, f"kind_{name.replace(' ', '_')}")
            form = {"To": ALICE, "From": twilio.numbers[0], "Twiml": PAUSE}
            twilio.phone(ALICE, "manual")
            await rest("GET", f"{rest.account}.json")
            await rest("POST", f"{rest.account}/Calls.json", form)
            await rest("POST", f"{rest.account}/Calls.json", form)


async def _account(rest: _Rest, twilio: kit.SimulatedTwilio) -> None:
    account = rest.account
    await rest("GET", f"{account}.json")
    numbers = await rest("GET", f"{account}/IncomingPhoneNumbers.json")
    number = numbers["incoming_phone_numbers"][0]["sid"]
    path = f"{account}/IncomingPhoneNumbers/{number}.json"
    await rest("GET", f"{account}/IncomingPhoneNumbers.json?PhoneNumber=%2B15005550009")
    await rest("POST", path, {"VoiceUrl": "https://example.com/twiml", "VoiceMethod": "GET"})
    await rest("POST", path, {"VoiceUrl": "nonsense"})
    await rest("GET", path)
    twilio.verify(ALICE)
    for path in (
        f"{account}/OutgoingCallerIds.json",
        f"{account}/Balance.json",
        "/2010-04-01/Accounts.json",
        "/v1/DialingPermissions/Countries/US",
        "/v1/DialingPermissions/Countries/XX",
        f"/v2/PhoneNumbers/{ALICE}",
        "/v2/PhoneNumbers/5",
        f"/v1/PhoneNumbers/{ALICE}",
        f"{account}/Nonsense.json",
        "/",
        "/2010-04-01/Accounts/AC1.json",
    ):
        await rest("GET", path)
    await rest("GET", f"{account}.json", auth=("AC1", "x"))
    await rest("GET", f"{account}.json", auth=(twilio.account_sid, "wrong"))
    await rest("DELETE", f"{account}.json")


async def _calls(rest: _Rest, twilio: kit.SimulatedTwilio) -> None:
    calls = f"{rest.account}/Calls"
    form = {"To": ALICE, "From": twilio.numbers[0], "Twiml": PAUSE}
    phone = twilio.phone(ALICE, "manual")
    made = await rest("POST", f"{calls}.json", form)
    await soon(phone.until("ringing"))
    await rest("GET", f"{calls}/{made['sid']}.json")
    await rest("DELETE", f"{calls}/{made['sid']}.json")
    phone.answer()
    await soon(phone.until("in-call"))
    await rest("GET", f"{calls}/{made['sid']}.json")
    await rest("GET", f"{calls}.json?PageSize=1")
    await rest("GET", f"{calls}.json?Status=busy")
    await rest("GET", f"{calls}.json?StartTime=yesterday")
    await rest("POST", f"{calls}/{made['sid']}.json", {"Status": "nonsense"})
    await rest("POST", f"{calls}/{made['sid']}.json", {})
    await rest("POST", f"{calls}/{made['sid']}.json", {"Status": "completed"})
    await soon(phone.until("idle"))
    await rest("POST", f"{calls}/{made['sid']}.json", {"Status": "completed"})
    await rest("DELETE", f"{calls}/{made['sid']}.json")
    await rest("GET", f"{calls}/{made['sid']}.json")


async def _refused(rest: _Rest, twilio: kit.SimulatedTwilio) -> None:
    path = f"{rest.account}/Calls.json"
    right = {"To": ALICE, "From": twilio.numbers[0], "Twiml": PAUSE}
    changes: list[dict[str, Any]] = [
        {"To": ""},
        {"To": "5"},
        {"To": "+1"},
        {"From": ""},
        {"From": "5"},
        {"From": ALICE},
        {"Twiml": ""},
        {"Twiml": "x" * 4001},
        {"Twiml": None, "Url": "nonsense"},
        {"Url": "https://example.com"},
        {"Method": "PUT"},
        {"Timeout": "x"},
        {"Timeout": "601"},
        {"TimeLimit": "x"},
        {"TimeLimit": "0"},
        {"SendDigits": "x"},
        {"IfMachine": "x"},
        {"MachineDetection": "x"},
        {"StatusCallback": "x"},
        {"StatusCallbackEvent": "x"},
        {"Record": "maybe"},
        {"Trim": "x"},
        {"Nonsense": "1"},
        {"ApplicationSid": "x"},
        {"CallerId": "x"},
        {"To": "+15005550001"},
        {"To": "client:x"},
    ]
    for change in changes:
        # What Twilio lets pass is hung up at once, so that nothing is left to end.
        form = right | {"Twiml": "<Response><Hangup/></Response>"} | change
        await rest("POST", path, {name: value for name, value in form.items() if value is not None})
    await rest("POST", path, "nonsense")
    for code in (10001, 20003, 20429, 20500, 20503, 21215):
        twilio.refuse_next(code)
        await rest("GET", path)


async def _webhooks(pages: Pages) -> None:
    """What Twilio asks a web server for, in the order of its own requests, and how it is signed."""
    seen: list[tuple[str, str, dict[str, str], Any, str]] = []
    answers = {
        "/voice": "<Response><Say>Hi</Say><Redirect method='GET'>/next?a=1</Redirect></Response>",
        "/next": "<Response><Gather timeout='1' action='/keys'/></Response>",
        "/keys": "<Response><Hangup/></Response>",
    }

    async def answer(request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        seen.append((request.method, request.path_qs, form, request.headers, str(request.url)))
        twiml = answers.get(request.path)
        return web.Response(text=twiml or "", content_type="text/xml" if twiml else "text/plain")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    origin = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        async with kit.SimulatedTwilio(ring_seconds=0.02) as twilio:
            twilio.phone(ALICE)
            await asyncio.to_thread(
                twilio.client.calls.create,
                to=ALICE,
                from_=twilio.numbers[0],
                url=f"{origin}/voice",
                status_callback=f"{origin}/status",
                status_callback_event=["initiated", "ringing", "answered", "completed"],
            )
            await until(lambda: any("completed" in form.values() for _, _, form, _, _ in seen))
            token = twilio.auth_token
    finally:
        await runner.cleanup()
    for is_status in (False, True):
        for method, path, form, headers, url in seen:
            if path.startswith("/status") is is_status:
                signed = _signed(token, url, form) == headers.get("X-Twilio-Signature")
                names = sorted(name for name in headers if name not in ("Date", "Content-Length"))
                steady = {name: _steady(name, value) for name, value in sorted(form.items())}
                pages.add(
                    "webhooks",
                    f"{method} {path}",
                    listed(
                        [
                            f"signature fits: {signed}",
                            f"headers: {names}",
                            json.dumps(steady, indent=1),
                        ]
                    ),
                )


def _steady(name: str, value: str) -> str:
    return "N" if name in ("Timestamp", "CallDuration", "Duration") else value


def _signed(token: str, url: str, form: dict[str, str]) -> str:
    text = url + "".join(name + value for name, value in sorted(form.items()))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()
