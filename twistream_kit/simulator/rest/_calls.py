"""The REST resources of calls and of their one-way streams (PROTOCOL.md §1.6, §6)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from aiohttp import web

from twistream_kit.protocol.ending import EndCause
from twistream_kit.simulator.call.call import Calls, SimulatedCall
from twistream_kit.simulator.call.context import CallContext
from twistream_kit.simulator.call.twiml import StreamNoun
from twistream_kit.simulator.rest._errors import Refusal, make_not_found
from twistream_kit.simulator.rest._form import RequestForm, answer, read_login
from twistream_kit.simulator.rest._resources import make_call_json, make_page_json, make_stream_json
from twistream_kit.simulator.rest.account import AccountRecord, allow_with_test_credentials
from twistream_kit.simulator.rest.call_request import check_url, read_change, read_method, read_plan


class CallResources:
    """Creates, shows, changes and deletes calls.

    Args:
        context: The objects that all calls share.
        calls: The calls.
        account: Decides which numbers may be called.
    """

    def __init__(self, context: CallContext, calls: Calls, account: AccountRecord) -> None:
        self._context = context
        self._calls = calls
        self._account = account

    def list_routes(self, account: str) -> Iterable[web.RouteDef]:
        """Return the routes below the path `account`."""
        call = f"{account}/Calls/{{call}}"
        return [
            web.post(f"{account}/Calls.json", self._create_call),
            web.get(f"{account}/Calls.json", self._list_calls),
            web.get(f"{call}.json", self._fetch_call),
            web.post(f"{call}.json", self._update_call),
            web.delete(f"{call}.json", self._delete_call),
            web.post(f"{call}/Streams.json", self._create_stream),
            web.post(f"{call}/Streams/{{stream}}.json", self._update_stream),
        ]

    async def _create_call(self, request: web.Request) -> web.Response:
        form = await RequestForm.read(request)
        if read_login(request, self._account.credentials) == "test":
            return self._pretend_call(form)
        plan = read_plan(form, self._account.allow)
        self._account.require_room(self._calls.running)
        return answer(make_call_json(self._calls.place(self._context, plan)), 201)

    def _pretend_call(self, form: RequestForm) -> web.Response:
        # With test credentials a call is checked and answered, but neither placed nor kept (§6.7).
        plan = read_plan(form, allow_with_test_credentials)
        pretended = replace(self._context, account_sid=self._account.credentials.test_sid)
        return answer(make_call_json(SimulatedCall(pretended, plan, None)), 201)

    async def _list_calls(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        newest_first = reversed(self._calls)
        found = [make_call_json(call) for call in newest_first if _is_wanted(call, query)]
        return answer(make_page_json("calls", found, path=request.path, query=query))

    async def _fetch_call(self, request: web.Request) -> web.Response:
        return answer(make_call_json(self._call(request)))

    async def _update_call(self, request: web.Request) -> web.Response:
        call = self._call(request)
        change = read_change(await RequestForm.read(request))
        if call.over and (change.status or change.source):
            raise self._make_ended_error(request)
        if change.status == "canceled" and call.started is not None:
            raise Refusal(21220, "Call is in progress: it can be completed, not canceled")
        if change.status:
            # A call that was not answered is canceled, whichever of the two was requested.
            call.end(
                "completed" if call.started else "canceled",
                EndCause("hung-up-by-request"),
                sip_code=200 if call.started else 487,
            )
        elif change.source is not None:
            if call.started is None:
                raise Refusal(21220, "Call is not in-progress. Cannot redirect.")
            call.redirect(change.source)
        return answer(make_call_json(call))

    async def _delete_call(self, request: web.Request) -> web.Response:
        call = self._call(request)
        if not call.over:
            raise Refusal(20009, "Call has not finished and cannot be deleted")
        self._calls.forget(call)
        return web.Response(status=204)

    async def _create_stream(self, request: web.Request) -> web.Response:
        call, form = self._call(request), await RequestForm.read(request)
        if call.started is None or call.over:
            raise Refusal(21220, "Call is not in-progress. Cannot start a stream.")
        if not form.get("Url"):
            raise Refusal(21205, "Url parameter is required.")
        callback = form.get("StatusCallback")
        stream = call.streams.start(
            StreamNoun(
                url=form.get("Url"),
                name=form.get("Name"),
                track=form.get("Track", "inbound_track"),
                status_callback=check_url(callback, "StatusCallback") if callback else "",
                status_callback_method=read_method(form, "StatusCallbackMethod"),
                parameters=_read_parameters(form),
            )
        )
        if stream is None:
            raise Refusal(20422, "Track is not valid, or more tracks than a call may stream")
        return answer(make_stream_json(call, stream))

    async def _update_stream(self, request: web.Request) -> web.Response:
        call, form = self._call(request), await RequestForm.read(request)
        stream = call.streams.find(request.match_info["stream"])
        if stream is None:
            raise make_not_found(request.path)
        if form.get("Status") != "stopped":
            raise Refusal(20422, "Status is not valid: stopped")
        if stream.status == "in-progress":
            call.streams.stop(stream, EndCause("stopped-by-request"))
        return answer(make_stream_json(call, stream))

    def _call(self, request: web.Request) -> SimulatedCall:
        call = self._calls.find(request.match_info["call"])
        if call is None:
            raise make_not_found(request.path)
        return call

    def _make_ended_error(self, request: web.Request) -> Refusal:
        # Users saw 404; Twilio's error dictionary says 21220 (§6.4).
        if self._context.behaviour.ended_call_update == 404:
            return make_not_found(request.path)
        return Refusal(21220, "Call is not in-progress. Cannot redirect.")


def _is_wanted(call: SimulatedCall, query: Mapping[str, str]) -> bool:
    """Whether `call` passes the filters of a list; unknown filters are ignored."""
    has = {"To": call.to, "From": call.from_, "Status": call.status, "ParentCallSid": ""}
    if any((query.get(key) or value) != value for key, value in has.items()):
        return False
    times = {"StartTime": call.started, "EndTime": call.ended}
    return all(_is_within(moment, query, name) for name, moment in times.items())


def _is_within(moment: datetime | None, query: Mapping[str, str], name: str) -> bool:
    on, until, since = (_read_time(query, name + suffix) for suffix in ("", "<", ">"))
    if on is until is since is None:
        return True
    return (
        moment is not None
        and (on is None or moment.date() == on.date())
        and (until is None or moment <= until)
        and (since is None or moment >= since)
    )


def _read_time(query: Mapping[str, str], key: str) -> datetime | None:
    if not (text := query.get(key)):
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refusal(20422, f"{key} {text} is not a date, such as 2026-08-31") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _read_parameters(form: RequestForm) -> dict[str, str]:
    return {
        form.get(f"Parameter{number}.Name"): form.get(f"Parameter{number}.Value")
        for number in range(1, 100)
        if form.get(f"Parameter{number}.Name")
    }
