"""How servers, calls, streams, telephones and waits look: as they stand when they are shown."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twistream_kit.notebook.display.html import (
    EMPTY,
    Html,
    bullets,
    code,
    join,
    pairs,
    table,
)
from twistream_kit.notebook.display.rows import (
    describe_state,
    list_objections,
    show_row,
    show_rows,
)
from twistream_kit.protocol.signature import remove_user

if TYPE_CHECKING:
    from twistream_kit.live.calls.call import Call
    from twistream_kit.live.dialling.number_route import NumberRoute
    from twistream_kit.live.inspector.inspector import Inspector
    from twistream_kit.live.inspector.stream import InspectedStream
    from twistream_kit.live.process.server_process import ServerProcess
    from twistream_kit.live.server.local_proxy import LocalProxy
    from twistream_kit.live.server.server import StreamServer
    from twistream_kit.live.server.stream_app import StreamApp
    from twistream_kit.live.stream.stream import MediaStream
    from twistream_kit.live.tunnel.tunnel import Tunnel
    from twistream_kit.simulator.call.call import Calls
    from twistream_kit.simulator.stream.pacer import Pacer
    from twistream_kit.simulator.twilio import SimulatedTwilio

_NOT_RUNNING = "not running"


def show_running(running: Any) -> Html:
    """What runs beside the cells, by name."""
    rows = [
        (name, code(state, breakable=True))
        for name, state in zip(running, running.states, strict=False)
    ]
    return table(("name", "what it is"), rows, caption="What runs" if rows else "Nothing runs")


def show_server(server: StreamServer) -> Html:
    """Its addresses, and its streams."""
    return _show_host(server, _show_stream_url(server), "A stream server")


def show_app(app: StreamApp) -> Html:
    """Its addresses, and its streams in this process."""
    # Its address is the public one, whether it runs or not.
    url = code(remove_user(app.stream_url)) if app.public_url else "nowhere"
    return _show_host(app, url, "A stream application")


def _show_host(host: StreamServer | StreamApp, url: object, caption: str) -> Html:
    values: dict[str, object] = {
        "streams connect at": url,
        "public address": _show_address(host.public_url),
        "signatures": "checked" if host.checks_signatures else "not checked",
        "address lost": host.disconnect_reason,
    }
    streams = host.streams
    shown = pairs(_drop_empty(values), caption=caption)
    return join(shown, show_rows(streams, "Its streams") if streams else EMPTY)


def show_inspector(inspector: Inspector) -> Html:
    """Its addresses, that of the server behind it, and the streams that pass."""
    values: dict[str, object] = {
        "streams connect at": _show_stream_url(inspector),
        "public address": _show_address(inspector.public_url),
        "your server": code(remove_user(inspector.upstream_url)),
        "address lost": inspector.disconnect_reason,
    }
    streams = inspector.streams
    shown = pairs(_drop_empty(values), caption="An inspector")
    return join(shown, show_rows(streams, "What passes") if streams else EMPTY)


def show_stream(stream: MediaStream) -> Html:
    """Whose stream it is, whether it is open, and what passed so far."""
    values: dict[str, object] = {
        "stream": code(stream.stream_sid),
        "call": code(stream.call_sid),
        "state": describe_state(stream),
        "parameters": bullets(f"{name}: {value}" for name, value in stream.parameters.items()),
        "so far": repr(stream.capture),
        "newest playback": "" if stream.newest is None else repr(stream.newest),
        "error of the handler": "" if stream.handler_error is None else repr(stream.handler_error),
    }
    return pairs(_drop_empty(values), caption="A stream")


def show_inspected_stream(stream: InspectedStream) -> Html:
    """Whose stream it is, what passed so far, and what is wrong with it."""
    values: dict[str, object] = {
        "stream": code(stream.stream_sid or "(no start yet)"),
        "call": code(stream.call_sid) if stream.call_sid else "",
        "state": describe_state(stream),
        "so far": repr(stream.capture),
        "what is wrong": list_objections(stream.objections) or "nothing to object to",
    }
    return pairs(_drop_empty(values), caption="An inspected stream")


def show_call(call: Call) -> Html:
    """Who calls whom, how far it is, and what Twilio reported of it."""
    events = call.events
    return join(show_row(call), show_rows(events, "What Twilio reported") if events else EMPTY)


def show_simulated_calls(calls: Calls) -> Html:
    """The calls of the simulator that are kept, oldest first."""
    return show_rows(calls[:], "Simulated calls" if calls else "No calls yet")


def show_route(route: NumberRoute) -> Html:
    """Where the calls to a number come to, and where they came to before."""
    values: dict[str, object] = {
        "number": route.number,
        "state": "comes to your server" if route.is_open else "not routed",
        **{f"before: {name}": code(value) for name, value in route.previous.items() if value},
    }
    return pairs(values, caption="A routed number")


def show_tunnel(tunnel: Tunnel) -> Html:
    """The address, where it comes from, and what became of it."""
    values: dict[str, object] = {
        "provider": tunnel.provider,
        "public address": _show_address(tunnel.public_url),
        "no public address, because": tunnel.fallback_reason,
        "address lost": tunnel.disconnect_reason,
    }
    return pairs(_drop_empty(values), caption="A tunnel")


def show_process(process: ServerProcess) -> Html:
    """What runs, and the last lines that it wrote."""
    lines = [(code(line, breakable=True),) for line in process.lines]
    shown = pairs({"process": code(repr(process), breakable=True)}, caption="A server process")
    return join(shown, table(("its last lines",), lines, caption="What it wrote"))


def show_proxy(proxy: LocalProxy) -> Html:
    """Its address."""
    return pairs({"proxy": code(repr(proxy))}, caption="A local proxy")


def show_reader(reader: Any) -> Html:
    """How much waits to be read."""
    return pairs({"reader": repr(reader), "dropped": reader.dropped}, caption="A reader")


def show_beat(pacer: Pacer) -> Html:
    """How late its beats were."""
    return pairs({"so far": pacer.lateness.report()}, caption="The beat that all calls follow")


def show_simulated_twilio(twilio: SimulatedTwilio) -> Html:
    """Its numbers, its calls, and what its console would show."""
    values: dict[str, object] = {
        "account": code(twilio.account_sid),
        "state": _NOT_RUNNING if twilio.loop is None else code(twilio.url),
        "numbers": ", ".join(twilio.numbers),
        "kind": code(repr(twilio.account)),
    }
    from twistream_kit.simulator.model.debugger import NOTHING_LOGGED

    console = "What Twilio's console shows" if twilio.debugger else NOTHING_LOGGED.capitalize()
    return join(
        pairs(values, caption="Twilio, simulated"),
        show_simulated_calls(twilio.calls),
        show_rows(twilio.debugger[:], console),
    )


def _show_stream_url(server: StreamServer | Inspector) -> object:
    return _NOT_RUNNING if server.loop is None else code(remove_user(server.stream_url))


def _show_address(url: str | None) -> object:
    return "none" if url is None else code(remove_user(url))


def _drop_empty(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value != ""}


HANDLES: dict[tuple[str, str], Callable[[Any], Html]] = {
    ("twistream_kit.notebook.runtime.background", "RunningThings"): show_running,
    ("twistream_kit.live.server.server", "StreamServer"): show_server,
    ("twistream_kit.live.server.stream_app", "StreamApp"): show_app,
    ("twistream_kit.live.inspector.inspector", "Inspector"): show_inspector,
    ("twistream_kit.live.stream.stream", "MediaStream"): show_stream,
    ("twistream_kit.live.inspector.stream", "InspectedStream"): show_inspected_stream,
    ("twistream_kit.live.calls.call", "Call"): show_call,
    ("twistream_kit.simulator.call.call", "Calls"): show_simulated_calls,
    ("twistream_kit.live.dialling.number_route", "NumberRoute"): show_route,
    ("twistream_kit.live.tunnel.tunnel", "Tunnel"): show_tunnel,
    ("twistream_kit.live.process.server_process", "ServerProcess"): show_process,
    ("twistream_kit.live.server.local_proxy", "LocalProxy"): show_proxy,
    ("twistream_kit.live.stream._reader", "Reader"): show_reader,
    ("twistream_kit.simulator.stream.pacer", "Pacer"): show_beat,
    ("twistream_kit.simulator.twilio", "SimulatedTwilio"): show_simulated_twilio,
}
"""Where each class is defined, under what name, and what shows it."""
