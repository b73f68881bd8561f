"""Calls, numbers and streams as REST JSON: each scalar of a call is a string or null (§6.2)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.streams import CallStream
from twistream_kit.simulator.call.web import rfc2822
from twistream_kit.simulator.model.numbers import AccountNumber, in_national_form

API_VERSION = "2010-04-01"

PAGE_SIZE = 50
"""Entries on a page of a list when the request does not say."""

PAGE_SIZE_LIMIT = 1000

_CALL_PARTS = (
    "notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions",
    "user_defined_message_subscriptions", "user_defined_messages",
)  # fmt: skip


def account_uri(account_sid: str) -> str:
    """Return the path of an account without its extension."""
    return f"/{API_VERSION}/Accounts/{account_sid}"


def account_json(account_sid: str, created: datetime, *, type_: str, status: str) -> dict[str, Any]:
    """Return the account; without its token, which nobody needs to read again."""
    return {
        "sid": account_sid,
        "friendly_name": "Simulated account",
        "status": status,
        "type": type_,
        "owner_account_sid": account_sid,
        "auth_token": None,
        "date_created": rfc2822(created),
        "date_updated": rfc2822(created),
        "uri": f"{account_uri(account_sid)}.json",
        "subresource_uris": {
            "calls": f"{account_uri(account_sid)}/Calls.json",
            "incoming_phone_numbers": f"{account_uri(account_sid)}/IncomingPhoneNumbers.json",
            "outgoing_caller_ids": f"{account_uri(account_sid)}/OutgoingCallerIds.json",
        },
    }


def call_json(call: SimulatedCall) -> dict[str, Any]:
    """Return a call as §6.2 describes it; dates and duration are null while it is queued."""
    path = f"{account_uri(call.account_sid)}/Calls/{call.sid}"
    known = call.status != "queued"
    return {
        "sid": call.sid,
        "date_created": rfc2822(call.created) if known else None,
        "date_updated": rfc2822(call.updated) if known else None,
        "parent_call_sid": None,
        "account_sid": call.account_sid,
        "to": call.to,
        "to_formatted": in_national_form(call.to),
        "from": call.from_,
        "from_formatted": in_national_form(call.from_),
        "phone_number_sid": call.plan.number_sid,
        "status": call.status,
        "start_time": None if call.started is None else rfc2822(call.started),
        "end_time": None if call.ended is None else rfc2822(call.ended),
        "duration": None if call.seconds is None else str(call.seconds),
        "price": None,
        "price_unit": "USD",
        "direction": call.direction,
        "answered_by": None,
        "annotation": None,
        "api_version": API_VERSION,
        "forwarded_from": None,
        "group_sid": None,
        "caller_name": None,
        "queue_time": "0",
        "trunk_sid": None,
        "uri": f"{path}.json",
        "subresource_uris": {
            part: f"{path}/{''.join(map(str.title, part.split('_')))}.json" for part in _CALL_PARTS
        },
    }


def number_json(account_sid: str, number: AccountNumber, created: datetime) -> dict[str, Any]:
    """Return a number of the account."""
    return {
        "sid": number.sid,
        "account_sid": account_sid,
        "friendly_name": number.friendly_name,
        "phone_number": number.phone_number,
        "api_version": API_VERSION,
        "beta": False,
        "capabilities": {
            "voice": number.voice,
            "sms": not number.voice,
            "mms": False,
            "fax": False,
        },
        "date_created": rfc2822(created),
        "date_updated": rfc2822(created),
        "origin": "twilio",
        "status": "in-use",
        "voice_url": number.voice_url or None,
        "voice_method": number.voice_method,
        "voice_fallback_url": number.voice_fallback_url or None,
        "voice_fallback_method": number.voice_fallback_method,
        "voice_application_sid": number.voice_application_sid or None,
        "trunk_sid": number.trunk_sid or None,
        "status_callback": number.status_callback or None,
        "status_callback_method": number.status_callback_method,
        "uri": f"{account_uri(account_sid)}/IncomingPhoneNumbers/{number.sid}.json",
    }


def caller_id_json(account_sid: str, sid: str, number: str, created: datetime) -> dict[str, Any]:
    """Return a verified number."""
    return {
        "sid": sid,
        "account_sid": account_sid,
        "friendly_name": in_national_form(number),
        "phone_number": number,
        "date_created": rfc2822(created),
        "date_updated": rfc2822(created),
        "uri": f"{account_uri(account_sid)}/OutgoingCallerIds/{sid}.json",
    }


def stream_json(call: SimulatedCall, stream: CallStream) -> dict[str, Any]:
    """Return a stream as §1.6 describes it."""
    return {
        "sid": stream.sid,
        "account_sid": call.account_sid,
        "call_sid": call.sid,
        "name": stream.noun.name or None,
        "status": stream.status,
        "date_updated": rfc2822(datetime.now(UTC)),
        "uri": f"{account_uri(call.account_sid)}/Calls/{call.sid}/Streams/{stream.sid}.json",
    }


def page_json(
    key: str, entries: Sequence[dict[str, Any]], *, path: str, query: dict[str, str]
) -> dict[str, Any]:
    """Return one page of a list.

    Args:
        key: What the list is called, such as ``calls``.
        entries: All entries, of which the page shows a part.
        path: The path of the list.
        query: The query of the request: `Page`, `PageSize` and the filters.
    """
    size = min(max(_whole(query.get("PageSize"), PAGE_SIZE), 1), PAGE_SIZE_LIMIT)
    page = _whole(query.get("Page"), 0)
    shown = entries[page * size : (page + 1) * size]

    def uri(number: int) -> str:
        return f"{path}?{urlencode(query | {'PageSize': str(size), 'Page': str(number)})}"

    return {
        key: list(shown),
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": page * size + max(len(shown) - 1, 0),
        "uri": uri(page),
        "first_page_uri": uri(0),
        "next_page_uri": uri(page + 1) if (page + 1) * size < len(entries) else None,
        "previous_page_uri": uri(page - 1) if page else None,
    }


def _whole(text: str | None, default: int) -> int:
    return int(text) if text and text.isdecimal() else default
