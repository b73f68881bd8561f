"""Place a call with the official Twilio SDK.

The SDK blocks, so it never runs on a loop: the request runs on a worker thread and returns a
`Pending`.  If Twilio refuses it, the `Pending` gets a `CallRefused` with Twilio's code and the fix.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, get_args

from twistream_kit.errors import (
    CallRefused,
    LocalProtocolError,
    WrongType,
    WrongValue,
    hide_user,
    require_type,
)
from twistream_kit.live.calls.call import Call, call_when_over, hang_up_now
from twistream_kit.live.calls.exit_hooks import register_exit_hook
from twistream_kit.live.calls.sdk import (
    ask,
    check_client,
    describe_callback_problem,
    dials_loopback,
    find_loop,
)
from twistream_kit.live.server.stream_host import find_server, get_endings
from twistream_kit.pending import Pending, Subject, on_worker
from twistream_kit.protocol.rest import PROGRESS_EVENTS, RING_SECONDS_LIMIT
from twistream_kit.protocol.twiml import connect_stream, is_loopback, review_stream_url
from twistream_kit.protocol.url_repair import repair_url

if TYPE_CHECKING:
    from twilio.rest import Client

logger = logging.getLogger("twistream_kit.live")

MachineDetection = Literal["Enable", "DetectMessageEnd"]
"""The modes of answering machine detection; the second waits for the end of the greeting."""

_TOO_LONG = 32018

_OUT_OF_REACH = frozenset({31904, 31922})
"""The codes of `review_stream_url` for an address that Twilio cannot call."""


def place_call(
    client: Client,
    *,
    to: str,
    from_: str,
    stream_url: str,
    parameters: Mapping[str, str] | None = None,
    status_callback: str | Literal[False] | None = None,
    ring_seconds: int | None = None,
    time_limit_seconds: int | None = None,
    machine_detection: MachineDetection | None = None,
    async_machine_detection: bool = False,
    hang_up_at_exit: bool = True,
) -> Pending[Call]:
    """Place a call and connect it to a stream; callable from any thread.

    Args:
        client: The real ``twilio.rest.Client``: `client_from_environment`, or a simulator's.
        to: The number of the callee, E.164; or an address of the Voice SDK or of SIP, such as
            ``client:alice``, which the simulator leaves out.
        from_: A number of the account, E.164.
        stream_url: ``server.stream_url``, wss.
        parameters: Names and values that arrive as ``stream.parameters``.
        status_callback: The URL for Twilio's status callbacks of the call and the stream.  None is
            the server of `stream_url`, if it runs in this process and can be reached; it updates
            `Call.status`, `Call.events` and `Call.ended`.  False requests none.
        ring_seconds: The time after which an unanswered call is cancelled, 1 to 600; Twilio's
            default is 60.
        time_limit_seconds: The time after which Twilio ends the call, 1 or more.
        machine_detection: The mode of answering machine detection: ``"Enable"`` or
            ``"DetectMessageEnd"``.  The stream starts only after its result (§6.1), unless
            `async_machine_detection` is True.
        async_machine_detection: Detect while the stream runs, and report the result to the status
            callback; see `Call.answered_by`.
        hang_up_at_exit: Whether a call that is not known to be over is hung up when the
            interpreter exits; pass False if another program's server continues with it.

    Returns:
        A `Pending` with the `Call` as soon as Twilio has accepted it, before it rings.  It gets a
        `CallRefused` with Twilio's code if the call is refused.

    Raises:
        LocalProtocolError: If the URL or the parameters are not valid in TwiML, or `to` or `from_`
            has blanks or line breaks around it.
        CallRefused: If Twilio cannot reach `stream_url` or `status_callback`.
        ValueError: If another argument is out of range.

    Example:
        >>> import twistream_kit as kit
        >>> server = kit.start(kit.StreamServer())
        >>> twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0))
        >>> phone = twilio.phone("+15550100001")
        >>> call = kit.place_call(
        ...     twilio.client, to="+15550100001", from_=twilio.numbers[0],
        ...     stream_url=server.stream_url,
        ... ).result(10)
        >>> stream = server.next_stream(call).result(10)
        >>> call.hang_up(after=stream.play(kit.Clip.tone(440, 0.1))).result(10)
        'completed'
    """
    check_client(client)
    require_type("a string", stream_url=stream_url)
    _check_number("to", to)
    _check_number("from_", from_)
    _check_switches(
        async_machine_detection=async_machine_detection, hang_up_at_exit=hang_up_at_exit
    )
    if repair := repair_url(stream_url):
        raise LocalProtocolError(repair.problem, field="stream_url", fix=repair.fix)
    _check_stream_url(client, stream_url)
    server = find_server(stream_url)
    endings = None if server is None else get_endings(server)
    if status_callback is None and server is not None:
        status_callback = server.status_url
    report_to = status_callback or None
    if report_to is not None:
        _check_callback(client, report_to)
    if server is not None and report_to != server.status_url:
        server = None  # it will not receive callbacks of this call
    options: dict[str, Any] = {"to": to, "from_": from_}
    options["twiml"] = _build_twiml(stream_url, parameters, report_to)
    options |= _build_limits(ring_seconds, time_limit_seconds)
    options |= _build_detection(machine_detection, report_to, is_async=async_machine_detection)
    if report_to is not None:
        options |= {"status_callback": report_to, "status_callback_event": list(PROGRESS_EVENTS)}

    def create() -> Call:
        call = ask(lambda: client.calls.create(**options), f"to call {to} from {from_}")
        return Call(
            client, str(call.sid), to=to, from_=from_, status=str(call.status), server=server,
            endings=endings, time_limit=time_limit_seconds,
        )  # fmt: skip

    placing = on_worker(
        f"calling {to}",
        create,
        home=find_loop(client),
        subject=Subject(f"Call to {to}", "Call", lambda: "being placed", kind=Call),
    )
    if hang_up_at_exit:
        _hang_up_at_exit(placing, to)
    return placing


def _check_number(name: str, number: object) -> None:
    """Refuse what is no text, and blanks and line breaks that were copied with a number."""
    if not isinstance(number, str):
        raise WrongType(f"{name} is {number!r}; give the number as a string")
    if number and (number != number.strip() or not number.isprintable()):
        bare = "".join(each for each in number if each.isprintable()).strip()
        raise LocalProtocolError(
            f"is {number!r}, with blanks, line breaks or invisible characters",
            field=name,
            consequence="Whether Twilio takes them away is not documented",
            fix=f"Give {name}={bare!r}"
            if bare
            else "Give the number, with + and the country's code",
        )


def _check_switches(**switches: object) -> None:
    """Refuse what only looks like a yes or no: the text "no" is true."""
    for name, value in switches.items():
        if not isinstance(value, bool):
            raise WrongType(f"{name} is {value!r}; give True or False")


def _check_stream_url(client: Client, stream_url: str) -> None:
    """Refuse or warn of what `review_stream_url` objects to in an address to be dialled.

    What Twilio and the simulator refuse alike is left to `connect_stream`.
    """
    found = review_stream_url(stream_url, "stream_url")
    unreachable = [each for each in found if each.code in _OUT_OF_REACH]
    if dials_loopback(client):
        if stream_url.lower().startswith("wss://") and is_loopback(stream_url):
            warnings.warn(
                f"{hide_user(stream_url)} needs a server that speaks TLS on this machine, and most "
                f"do not; without TLS, say ws{hide_user(stream_url)[3:]} to the simulator",
                stacklevel=3,
            )
    elif unreachable or not stream_url:
        why = unreachable[0].problem if unreachable else "is empty"
        raise CallRefused(
            f"{hide_user(stream_url)} cannot be reached by Twilio: it needs a wss address on the "
            f"public internet, and it {why}",
            consequence="The call would be answered and dropped, with error 31920 or 31922",
            fix="Open a tunnel first: kit.start(kit.open_tunnel(server)), then use "
            "server.stream_url",
        )
    for objection in found:
        if objection.severity == "warning" and objection not in unreachable:
            warnings.warn(str(objection), stacklevel=3)


def _check_callback(client: Client, url: str) -> None:
    without = "or say status_callback=False to do without reports"
    if not isinstance(url, str):
        raise WrongType(
            f"status_callback is {url!r}; it is the address to report to, False for none, or None "
            "for the server of stream_url"
        )
    problem = describe_callback_problem(client, url)
    if problem:
        raise CallRefused(
            f"the status callback {hide_user(url)} {problem}",
            consequence="Twilio could not report on the call",
            fix=f"Give a public address, such as server.status_url behind a tunnel, {without}",
        )


def _build_twiml(
    stream_url: str, parameters: Mapping[str, str] | None, report_to: str | None
) -> str:
    """Build the TwiML, with a callback of the stream, which reports a failed handshake (§8)."""
    try:
        return connect_stream(stream_url, parameters=parameters, status_callback=report_to)
    except LocalProtocolError as error:
        if error.twilio_code != _TOO_LONG or report_to is None:
            raise
    twiml = connect_stream(stream_url, parameters=parameters)
    logger.warning(
        "the parameters leave no room in the TwiML for the status callback of the stream: should "
        "it fail to open, Twilio will not say why"
    )
    return twiml


def _build_limits(ring_seconds: int | None, time_limit_seconds: int | None) -> dict[str, int]:
    limits: dict[str, int] = {}
    if ring_seconds is not None:
        _check_whole("ring_seconds", ring_seconds, RING_SECONDS_LIMIT)
        limits["timeout"] = ring_seconds
    if time_limit_seconds is not None:
        _check_whole("time_limit_seconds", time_limit_seconds)
        limits["time_limit"] = time_limit_seconds
    return limits


def _check_whole(name: str, value: object, most: int | None = None) -> None:
    is_whole = isinstance(value, int) and not isinstance(value, bool)
    if not is_whole or value < 1 or (most is not None and value > most):  # type: ignore[operator]
        wanted = "1 or more" if most is None else f"1 to {most}"
        raise WrongValue(f"{name} is {value!r}; it is a whole number of seconds, {wanted}")


def _build_detection(
    wanted: str | None, report_to: str | None, *, is_async: bool
) -> dict[str, str]:
    if wanted is None:
        if is_async:
            raise WrongValue(
                "async_machine_detection says how to detect machines; say machine_detection="
                "'Enable' too to have it done"
            )
        return {}
    if wanted not in get_args(MachineDetection):
        raise WrongValue(
            f"machine_detection is {wanted!r}; it is 'Enable' or 'DetectMessageEnd', or left out"
        )
    if not is_async:
        warnings.warn(
            f"machine_detection={wanted!r} holds the stream back until Twilio has decided who "
            "answered, some seconds in which nobody hears anything; say "
            "async_machine_detection=True to have it decide meanwhile",
            stacklevel=3,
        )
        return {"machine_detection": wanted}
    if report_to is None:
        raise WrongValue(
            "async_machine_detection reports its verdict to the status callback, and there is "
            "none: leave status_callback out and run the server in this process, or give one"
        )
    return {
        "machine_detection": wanted,
        "async_amd": "true",
        "async_amd_status_callback": report_to,
    }


def _hang_up_at_exit(placing: Pending[Call], to: str) -> None:
    # Registered before the request, because the interpreter may exit before Twilio's answer.
    def hang_up(seconds: float) -> None:
        hang_up_now(placing.result(seconds), seconds)

    forget = register_exit_hook(f"the call to {to}", hang_up)

    def forget_when_over(_: object) -> None:
        if placing.exception(0) is None:
            call_when_over(placing.result(0), forget)
        else:
            forget()

    placing.add_done_callback(forget_when_over)
