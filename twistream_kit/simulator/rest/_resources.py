"""Formats calls, numbers and streams as REST JSON.

Each scalar of a call is a string or null (§6.2).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

from twistream_kit.simulator.call.call import SimulatedCall
from twistream_kit.simulator.call.streams import CallStream
from twistream_kit.simulator.call.twiml import parse_count
from twistream_kit.simulator.call.web import format_rfc2822
from twistream_kit.simulator.model.numbers import AccountNumber, format_national

API_VERSION = "2010-04-01"

PAGE_SIZE = 50
"""The default number of entries on a page of a list."""

PAGE_SIZE_LIMIT = 1000

_CALL_PARTS = (
    "notifications", "recordings", "payments", "events", "siprec", "streams", "transcriptions",
    "user_defined_message_subscriptions", "user_defined_messages",
)  # fmt: skip


def make_account_uri(account_sid: str) -> str:
    """Return the path of an account, without the extension."""
    return f"/{API_VERSION}/Accounts/{account_sid}"


def make_account_json(
    account_sid: str, created: datetime, *, type_: str, status: str
) -> dict[str, Any]:
    """Return the account as JSON; without its token, which no client needs to read again."""
    return {
        "sid": account_sid,
        "friendly_name": "Simulated account",
        "status": status,
        "type": type_,
        "owner_account_sid": account_sid,
        "auth_token": None,
        "date_created": format_rfc2822(created),
        "date_updated": format_rfc2822(created),
        "uri": f"{make_account_uri(account_sid)}.json",
        "subresource_uris": {
            "calls": f"{make_account_uri(account_sid)}/Calls.json",
            "incoming_phone_numbers": f"{make_account_uri(account_sid)}/IncomingPhoneNumbers.json",
            "outgoing_caller_ids": f"{make_account_uri(account_sid)}/OutgoingCallerIds.json",
        },
    }


def make_call_json(call: SimulatedCall) -> dict[str, Any]:
    """Return a call as JSON (§6.2); dates and duration are null while it is queued."""
    path = f"{make_account_uri(call.account_sid)}/Calls/{call.sid}"
    known = call.status != "queued"
    return {
        "sid": call.sid,
        "date_created": format_rfc2822(call.created) if known else None,
        "date_updated": format_rfc2822(call.updated) if known else None,
        "parent_call_sid": None,
        "account_sid": call.account_sid,
        "to": call.to,
        "to_formatted": format_national(call.to),
        "from": call.from_,
        "from_formatted": format_national(call.from_),
        "phone_number_sid": call.plan.number_sid,
        "status": call.status,
        "start_time": None if call.started is None else format_rfc2822(call.started),
        "end_time": None if call.ended is None else format_rfc2822(call.ended),
        "duration": None if call.seconds is None else str(call.seconds),
        "price": None,
        "price_unit": "USD",
        "direction": call.direction,
        "answered_by": call.answered_by,
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


def make_number_json(account_sid: str, number: AccountNumber, created: datetime) -> dict[str, Any]:
    """Return a number of the account as JSON."""
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
        "date_created": format_rfc2822(created),
        "date_updated": format_rfc2822(created),
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
        "uri": f"{make_account_uri(account_sid)}/IncomingPhoneNumbers/{number.sid}.json",
    }


def make_caller_id_json(
    account_sid: str, sid: str, number: str, created: datetime
) -> dict[str, Any]:
    """Return a verified number as JSON."""
    return {
        "sid": sid,
        "account_sid": account_sid,
        "friendly_name": format_national(number),
        "phone_number": number,
        "date_created": format_rfc2822(created),
        "date_updated": format_rfc2822(created),
        "uri": f"{make_account_uri(account_sid)}/OutgoingCallerIds/{sid}.json",
    }


def make_stream_json(call: SimulatedCall, stream: CallStream) -> dict[str, Any]:
    """Return a stream as JSON (§1.6)."""
    return {
        "sid": stream.sid,
        "account_sid": call.account_sid,
        "call_sid": call.sid,
        "name": stream.noun.name or None,
        "status": stream.status,
        "date_updated": format_rfc2822(datetime.now(UTC)),
        "uri": f"{make_account_uri(call.account_sid)}/Calls/{call.sid}/Streams/{stream.sid}.json",
    }


def make_page_json(
    key: str, entries: Sequence[dict[str, Any]], *, path: str, query: dict[str, str]
) -> dict[str, Any]:
    """Return one page of a list.

    Args:
        key: The name of the list, such as ``calls``.
        entries: All entries, of which the page shows a part.
        path: The path of the list.
        query: The query of the request: `Page`, `PageSize` and the filters.
    """
    size = min(max(_parse_whole(query.get("PageSize"), PAGE_SIZE), 1), PAGE_SIZE_LIMIT)
    page = _parse_whole(query.get("Page"), 0)
    shown = entries[page * size : (page + 1) * size]

    def make_uri(number: int) -> str:
        return f"{path}?{urlencode(query | {'PageSize': str(size), 'Page': str(number)})}"

    return {
        key: list(shown),
        "page": page,
        "page_size": size,
        "start": page * size,
        "end": page * size + max(len(shown) - 1, 0),
        "uri": make_uri(page),
        "first_page_uri": make_uri(0),
        "next_page_uri": make_uri(page + 1) if (page + 1) * size < len(entries) else None,
        "previous_page_uri": make_uri(page - 1) if page else None,
    }


def _parse_whole(text: str | None, default: int) -> int:
    count = parse_count(text or "")
    return default if count is None else count
