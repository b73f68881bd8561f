"""Whole calls, simulated: what each side receives, without what depends on the clock."""

from __future__ import annotations

import asyncio
import re
from typing import Any

from callers import (
    MOST_SECONDS,
    TONE,
    calm,
    passed,
    plays_and_hangs_up,
    plays_and_waits,
    report_text,
    soon,
    sound,
    statusless,
    until,
)
from common import SAMPLES, TOKEN, Pages, format_error, html_lines, listed
from notebook_shell import render_html

import twistream_kit as kit

_FINAL = ("completed", "failed", "busy", "no-answer", "canceled")
ALICE, BOB = "+15550100001", "+15550100002"


def record() -> dict[str, str]:
    """Calls straight to a server, calls by way of Twilio, documents, the preflight."""
    pages = Pages()
    asyncio.run(_record(pages))
    return pages.texts()


async def _record(pages: Pages) -> None:
    await asyncio.gather(
        _straight(pages),
        _whole_calls(pages),
        _answers(pages),
        _preflight(pages),
        _inspector(pages),
        _documents(pages),
        _states(pages),
    )


async def _fails(stream: kit.MediaStream) -> None:
    raise RuntimeError("a mistake of the handler's")


async def _interrupts(stream: kit.MediaStream) -> None:
    # Its first messages leave at once; how many the caller hears before the clear is chance.
    stream.play(kit.Clip.silence(30), mark="long")
    stream.mark("kept")
    stream.clear()
    await stream.play(TONE, mark="after")
    await stream.close()


async def _straight(pages: Pages) -> None:
    """`simulate_call` to servers that behave, and to some that do not."""
    cases: dict[str, tuple[Any, dict[str, Any]]] = {
        "plays and waits": (plays_and_waits, {"seconds": 1.5}),
        "plays and hangs up": (plays_and_hangs_up, {}),
        "is interrupted": (_interrupts, {}),
        "fails": (_fails, {"seconds": 1.5}),
        "has no handler": (None, {"seconds": 0.5}),
        "is spoken to": (
            plays_and_waits,
            {
                "seconds": 2.0,
                "say": TONE,
                "press": "1#",
                "parameters": {"name": "Ünal", "id": "7"},
            },
        ),
        "checks signatures": (plays_and_waits, {"seconds": 1.5, "auth_token": TOKEN}),
    }
    texts = await asyncio.gather(*(_one(*case) for case in cases.values()))
    for name, text in zip(cases, texts, strict=True):
        pages.add("simulate_call", f"the server {name}", text)
    wrong: dict[str, dict[str, Any]] = {
        "no server": {"url": "ws://127.0.0.1:1/media"},
        "not a URL": {"url": "x"},
        "keys": {"url": "ws://127.0.0.1:1/media", "press": "x"},
        "length": {"url": "ws://127.0.0.1:1/media", "seconds": 0},
        "parameters": {"url": "ws://127.0.0.1:1/media", "parameters": {"a": 1}},
        "words": {"url": "ws://127.0.0.1:1/media", "say": "hello"},
        "a WAV file": {
            "url": "ws://127.0.0.1:1/media",
            "say": (SAMPLES / "question.wav").read_bytes(),
        },
    }
    for name, options in wrong.items():
        try:
            said = repr(await soon(kit.simulate_call(**options)))
        except Exception as error:  # noqa: BLE001 - every error is a record
            said = format_error(error)
        pages.add("simulate_call", f"refused: {name}", said)
    async with kit.StreamServer(auth_token=TOKEN) as server:
        try:
            await soon(kit.simulate_call(server.url))
        except kit.CallRefused as error:
            pages.add("simulate_call", "refused: without the token", format_error(error))
        try:
            await soon(kit.simulate_call(server.url.replace("/media", "/other"), auth_token=TOKEN))
        except kit.CallRefused as error:
            pages.add("simulate_call", "refused: another path", format_error(error))


async def _one(handler: Any, options: dict[str, Any]) -> str:
    async with kit.StreamServer(handler, auth_token=options.get("auth_token")) as server:
        report = await soon(kit.simulate_call(server.url, **options))
        [stream] = server.streams
        end = await soon(stream.closed)
    html = re.sub(r"\d+\.\d+", "N", render_html(report))
    assert "A simulated call" in html
    return (
        f"{report_text(report)}\n--- the stream\n{end}\n{stream.parameters}\n{calm(repr(stream))}"
    )


async def _whole_calls(pages: Pages) -> None:
    """REST, ringing, TwiML, the stream, status callbacks, hanging up."""
    async with kit.SimulatedTwilio(ring_seconds=0.02) as twilio:
        for name, acts in {
            "the server hangs up": _server_hangs_up,
            "the caller hangs up": _caller_hangs_up,
            "keys and marks": _keys_and_marks,
            "the call is ended by REST": _ended_by_rest,
        }.items():
            pages.add("calls", name, await _call(twilio, acts))
        pages.add("calls", "debugger", repr(twilio.debugger))
        pages.add("calls", "repr of the simulator", repr(twilio))


async def _call(twilio: kit.SimulatedTwilio, acts: Any) -> str:
    phone = twilio.phone(ALICE)
    states: list[str] = []
    end = phone.follow(states.append)
    async with kit.StreamServer(auth_token=twilio.auth_token) as server:
        call = await soon(
            kit.place_call(
                twilio.client,
                to=ALICE,
                from_=twilio.numbers[0],
                stream_url=server.stream_url,
                parameters={"lang": "en"},
            )
        )
        first = f"{statusless(repr(call))} {call.is_over}"
        stream = await soon(server.next_stream(call))
        lines = await acts(call, stream, phone)
        lines.append(f"ended: {await soon(call.ended)}")
        lines.append(f"stream: {await soon(stream.closed)}")
        await soon(phone.until("idle"))
        last = {"stream-stopped", "completed"}
        await until(lambda: last <= {event.name for event in call.events})
        events = [
            f"{event.name}: final {event.is_final}, error {event.is_stream_error}, "
            f"keys {sorted(event.parameters)}"
            for event in sorted(
                call.events,
                key=lambda event: (event.name.startswith("stream"), event.sequence or 0),
            )
        ]
    end()
    states = ["…" if state == "idle" else state for state in states]
    return listed(
        [
            first,
            f"parameters: {stream.parameters}",
            *lines,
            f"after: {call!r} {call.is_over}",
            f"states of the phone: {states}",
            f"transcript: {phone.transcript}",
            *events,
            "--- capture",
            *passed_of(stream),
        ]
    )


def passed_of(stream: kit.MediaStream) -> list[str]:
    """What passed on a stream, without its sound."""
    # How far a long sound had been sent when somebody hung up depends on the machine.
    return [line for line in passed(stream.capture) if not re.search(r"@\d+s", line)]


async def _server_hangs_up(call: Any, stream: Any, phone: Any) -> list[str]:
    playing = stream.play(TONE, mark="goodbye")
    status = await soon(call.hang_up(after=playing))
    return [
        f"hang_up: {status}",
        repr(await soon(playing)),
        repr(playing),
        f"heard: {sound(phone.heard)}",
    ]


async def _caller_hangs_up(call: Any, stream: Any, phone: Any) -> list[str]:
    await soon(stream.play(TONE))
    waiting = stream.mark("never")
    stream.play(kit.Clip.tone(440, 30))
    last = stream.mark("last")
    await soon(waiting)
    phone.hang_up()
    outcome = await soon(last)
    return [f"{outcome.ending} {outcome.name}"]


async def _keys_and_marks(call: Any, stream: Any, phone: Any) -> list[str]:
    events = stream.events()
    phone.press("42#")
    found = []
    async with asyncio.timeout(MOST_SECONDS):
        async for message in events:
            found.append(f"{type(message).__name__} {getattr(message, 'digit', '')}")
            if len(found) == 3:
                break
    outcome = await soon(stream.play(TONE, mark="after the keys"))
    await soon(stream.close())
    return [*found, repr(outcome)]


async def _ended_by_rest(call: Any, stream: Any, phone: Any) -> list[str]:
    await soon(stream.play(TONE))
    status = await soon(call.hang_up())
    again = await soon(call.hang_up())
    return [f"hang_up: {status}, again: {again}, refresh: {await soon(call.refresh())}"]


async def _answers(pages: Pages) -> None:
    """What becomes of calls that are not answered, and of those that Twilio refuses."""
    async with kit.SimulatedTwilio(ring_seconds=0.02) as twilio:
        async with kit.StreamServer(auth_token=twilio.auth_token) as server:
            for number, answer in enumerate(("busy", "reject", "never"), start=2):
                phone = f"+1555010000{number}"
                twilio.phone(phone, answer)
                call = await soon(
                    kit.place_call(
                        twilio.client,
                        to=phone,
                        from_=twilio.numbers[0],
                        stream_url=server.stream_url,
                        ring_seconds=1,
                    )
                )
                names = await soon(call.ended), [event.name for event in call.events]
                try:
                    await soon(server.next_stream(call))
                except kit.TwistreamError as error:
                    names = (*names, format_error(error))
                pages.add("answers", answer, listed(names))
            for options in (
                {"to": "5"},
                {"from_": "+15550100001"},
                {"from_": ""},
                {"stream_url": "wss://example.com/media"},
                {"stream_url": "nonsense"},
                {"ring_seconds": 0},
                {"time_limit_seconds": 0},
                {"machine_detection": "x"},
                {"parameters": {"a": "b" * 500}},
                {"status_callback": "x"},
            ):
                arguments = {
                    "to": ALICE,
                    "from_": twilio.numbers[0],
                    "stream_url": server.stream_url,
                }
                try:
                    said = statusless(
                        repr(await soon(kit.place_call(twilio.client, **(arguments | options))))
                    )
                except Exception as error:  # noqa: BLE001 - every error is a record
                    said = format_error(error)
                pages.add("answers", f"place_call({options!r})"[:90], said)
        pages.add("answers", "debugger", repr(twilio.debugger))


async def _preflight(pages: Pages) -> None:
    accounts = {
        "full": kit.SimulatedAccount(),
        "trial": kit.SimulatedAccount(type="Trial"),
        "suspended": kit.SimulatedAccount(status="suspended"),
        "blocked": kit.SimulatedAccount(blocked_countries=frozenset({"US"}), blocklist=(ALICE,)),
        "late clock": kit.SimulatedAccount(clock_ahead_seconds=3600),
    }
    for name, account in accounts.items():
        async with kit.SimulatedTwilio(account=account) as twilio:
            twilio.phone(ALICE)
            async with kit.StreamServer(auth_token=twilio.auth_token) as server:
                checks = await soon(
                    kit.preflight(twilio.client, to=ALICE, from_=twilio.numbers[0], server=server)
                )
        pages.add(
            "preflight",
            name,
            _clockless(f"{checks!r}\n--- HTML\n{html_lines(render_html(checks))}"),
        )
    async with kit.SimulatedTwilio() as twilio:
        checks = await soon(kit.preflight(twilio.client))
        pages.add("preflight", "of nothing", _clockless(repr(checks)))
        checks = await soon(kit.preflight(twilio.client, to="5", from_="+15550100009"))
        pages.add("preflight", "of wrong numbers", _clockless(repr(checks)))


def _clockless(text: str) -> str:
    return re.sub(r"\d+(\.\d+)? (seconds|s|ms)\b", r"N \2", text)


async def _inspector(pages: Pages) -> None:
    async with (
        kit.StreamServer(plays_and_hangs_up) as server,
        kit.Inspector(server.url) as inspector,
    ):
        report = await soon(kit.simulate_call(inspector.url, press="5"))
        [stream] = inspector.streams
        end = await soon(stream.closed)
        pages.add(
            "inspector",
            "a good server",
            listed(
                [
                    end,
                    stream.objections,
                    *passed_of(stream),
                    f"report: {report.ending} {report.close_code}",
                    repr(report.received),
                ]
            ),
        )
    for upstream in (
        "nonsense",
        "http://127.0.0.1/media",
        "wss://",
        "",
        "ws://127.0.0.1:1/media?a=1",
    ):
        try:
            said = kit.Inspector(upstream).upstream_url
        except Exception as error:  # noqa: BLE001 - every error is a record
            said = format_error(error)
        pages.add("inspector", f"Inspector({upstream!r})", said)
    async with kit.Inspector("ws://127.0.0.1:1/media") as inspector:
        try:
            await soon(kit.simulate_call(inspector.url))
        except kit.CallRefused as error:
            pages.add("inspector", "before nothing", format_error(error))


_DOCUMENTS = {
    "say": "<Say>Hello</Say>",
    "play": "<Play>http://127.0.0.1:1/x.wav</Play>",
    "pause": "<Pause length='0'/>",
    "hangup": "<Hangup/>",
    "reject": "<Reject/>",
    "unknown": "<Nonsense/>",
    "dial": f"<Dial timeout='1'>{BOB}</Dial>",
    "gather": "<Gather timeout='1'><Say>Press</Say></Gather>",
    "redirect": "<Redirect>http://127.0.0.1:1/</Redirect>",
    "record": "<Record maxLength='1'/>",
    "stream to nowhere": "<Connect><Stream url='ws://127.0.0.1:1/media'/></Connect><Say>Bye</Say>",
    "stream, ws": "<Connect><Stream url='ws://example.com/media'/></Connect>",
    "stream with a query": "<Connect><Stream url='ws://127.0.0.1:1/media?a=1'/></Connect>",
    "misspelt": "<Conect/>",
    "not XML": "<Say>",
    "digits": "<Play digits='1'/>",
}


async def _documents(pages: Pages) -> None:
    """TwiML that a call meets: how the call ends, what is said, what is logged."""
    texts = await asyncio.gather(*(_document(verbs) for verbs in _DOCUMENTS.values()))
    for name, text in zip(_DOCUMENTS, texts, strict=True):
        pages.add("documents", name, text)


async def _document(verbs: str) -> str:
    async with kit.SimulatedTwilio(ring_seconds=0.02) as twilio:
        phone = twilio.phone(ALICE)
        twilio.phone(BOB, "busy")
        twiml = f"<Response>{verbs}</Response>"
        try:
            call = await asyncio.to_thread(
                twilio.client.calls.create, to=ALICE, from_=twilio.numbers[0], twiml=twiml
            )
        except Exception as error:  # noqa: BLE001 - every error is a record
            return format_error(error)
        async with asyncio.timeout(MOST_SECONDS):
            now = await asyncio.to_thread(call.fetch)
            while now.status not in _FINAL:
                await asyncio.sleep(0.02)  # sleeps: between two questions over HTTP
                now = await asyncio.to_thread(call.fetch)
        return listed([now.status, f"transcript: {phone.transcript}", repr(twilio.debugger)])


async def _states(pages: Pages) -> None:
    """Things before they run and after, and what they say when they are asked too early."""
    server, twilio = kit.StreamServer(), kit.SimulatedTwilio()
    for name, do in {
        "server.url": lambda: server.url,
        "server.port": lambda: server.port,
        "server": lambda: server,
        "server.stream_url": lambda: server.stream_url,
        "twilio.url": lambda: twilio.url,
        "twilio.client": lambda: twilio.client,
        "twilio": lambda: twilio,
        "phone": lambda: twilio.phone(ALICE),
        "phone.answer": lambda: twilio.phone(ALICE).answer(),
        "phone.hang_up": lambda: twilio.phone(ALICE).hang_up(),
        "phone.press": lambda: twilio.phone(ALICE).press("1"),
        "phone.press('x')": lambda: twilio.phone(ALICE).press("x"),
        "phone.until('x')": lambda: twilio.phone(ALICE).until("x"),
        "phone('5')": lambda: twilio.phone("5"),
        "phone, 'x'": lambda: twilio.phone(ALICE, "x"),
        "verify('5')": lambda: twilio.verify("5"),
        "refuse_next(1)": lambda: twilio.refuse_next(1),
        "ring_seconds=-1": lambda: kit.SimulatedTwilio(ring_seconds=-1),
        "numbers=()": lambda: kit.SimulatedTwilio(numbers=()),
        "StreamServer(path='x')": lambda: kit.StreamServer(path="x"),
        "StreamServer(port=-1)": lambda: kit.StreamServer(port=-1),
        "StreamServer(public_url='x')": lambda: kit.StreamServer(public_url="x"),
        "StreamServer(public_url='http://e.com')": lambda: kit.StreamServer(
            public_url="http://e.com"
        ),
        "StreamServer(send_ahead_seconds=0)": lambda: kit.StreamServer(send_ahead_seconds=0),
        "StreamServer(dead_after=0)": lambda: kit.StreamServer(dead_after=0),
        "StreamServer(auth_token='')": lambda: kit.StreamServer(auth_token=""),
        "StreamServer(handler=5)": lambda: kit.StreamServer(5),
        "open_tunnel(provider='x')": lambda: kit.open_tunnel(server, "x"),
        "open_tunnel(url='x')": lambda: kit.open_tunnel(server, url="x"),
        "open_tunnel(ssh='x', url=…)": lambda: kit.open_tunnel(
            server, ssh="x", url="https://e.com"
        ),
        "LocalProxy": lambda: kit.LocalProxy(server),
        "stop('x')": lambda: kit.stop("x"),
        "running": kit.running,
        "url_of(5)": lambda: kit.url_of(5),
        "start(5)": lambda: kit.start(5),
        "route_number": lambda: kit.route_number(None, "5", server),
        "ServerProcess([])": lambda: kit.ServerProcess([]),
        "kit.nonsense": lambda: kit.nonsense,
        "StatusEvent.of({})": lambda: kit.StatusEvent.of({}, 0.0),
    }.items():
        try:
            said = repr(do())
        except Exception as error:  # noqa: BLE001 - every error is a record
            said = format_error(error)
        pages.add("states", name, re.sub(r" at 0x[0-9a-f]+", "", said))
    async with kit.StreamServer(plays_and_waits) as running:
        pages.add("states", "a server that runs", repr(running))
        addresses = (
            "url",
            "stream_url",
            "base_url",
            "status_url",
            "twiml_url",
            "public_url",
            "disconnect_reason",
        )
        pages.add(
            "states",
            "its addresses",
            listed(f"{name}: {getattr(running, name)}" for name in addresses),
        )
    pages.add("states", "a server that has stopped", repr(running))
