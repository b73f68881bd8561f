"""The TwiML that connects a call to a stream (PROTOCOL.md §1)."""

from __future__ import annotations

import re
from collections.abc import Mapping

from twistream_kit.errors import LocalProtocolError
from twistream_kit.protocol.objection import shown
from twistream_kit.protocol.stream_address import review_stream_url, stream_url

__all__ = ["FETCHED_LIMIT", "INLINE_LIMIT", "PARAMETER_LIMIT", "connect_stream", "stream_url"]

INLINE_LIMIT = 4000
"""Characters of TwiML that fit into the REST parameter ``Twiml`` (§1.5); more is error 32018."""

FETCHED_LIMIT = 65536
"""Bytes of TwiML that Twilio fetches from a URL (§1.5); more is error 11750."""

PARAMETER_LIMIT = 500
"""Name and value of one <Parameter> together must stay below this (§1.4)."""

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def connect_stream(
    url: str,
    *,
    parameters: Mapping[str, str] | None = None,
    name: str | None = None,
    status_callback: str | None = None,
    status_callback_method: str | None = None,
    action: str | None = None,
    method: str | None = None,
    inline: bool = True,
) -> str:
    """Write the TwiML that connects a call, both ways, to the stream at `url`.

    Args:
        url: ``wss://...`` without a query; ``ws://`` only on this machine, for the simulator.
        parameters: What the stream's start message is to bring as `custom_parameters`; name and
            value of each together under 500 characters.
        name: A name for the stream, unique in its call; it shows in status callbacks.
        status_callback: Absolute URL that is told when the stream starts, stops or fails.
        status_callback_method: ``GET`` or ``POST``; POST if left out.
        action: URL that is asked for more TwiML when the stream has ended; without it the call
            ends then.
        method: ``GET`` or ``POST`` for `action`; POST if left out.
        inline: Whether it is to be passed in a REST request (4000 characters at most) and not to be
            served by URL (64 kB).

    Raises:
        LocalProtocolError: If Twilio would refuse it.
        TypeError: If a parameter is not a string.
    """
    from twilio.twiml.voice_response import Connect, VoiceResponse

    _check_url(url)
    connect = Connect(action=action, method=_method(method, "method"))
    stream = connect.stream(
        url=url,
        name=name,
        status_callback=status_callback,
        status_callback_method=_method(status_callback_method, "status_callback_method"),
    )
    for key, value in (parameters or {}).items():
        _check_parameter(key, value)
        stream.parameter(name=key, value=value)
    response = VoiceResponse()
    response.append(connect)
    for text in (name, status_callback, action):
        _check_characters(text or "", "TwiML")
    twiml = str(response)
    _check_size(twiml, inline=inline)
    return twiml


def _check_url(url: str) -> None:
    for objection in review_stream_url(url):
        if objection.severity == "error" or objection.problem.startswith("is relative"):
            raise LocalProtocolError(
                objection.problem,
                field=objection.field,
                twilio_code=objection.code,
                consequence=objection.consequence,
                fix=objection.fix,
            )


def _check_parameter(name: str, value: str) -> None:
    if not isinstance(name, str) or not isinstance(value, str):
        raise TypeError(f"parameter {name!r} is {value!r}: names and values must be strings")
    if not name:
        raise LocalProtocolError("has no name", field="<Parameter>", fix="Give it one")
    if len(name) + len(value) >= PARAMETER_LIMIT:
        raise LocalProtocolError(
            f"{name[:40]!r} has {len(name) + len(value)} characters, name and value together",
            field="<Parameter>",
            consequence=f"Twilio wants fewer than {PARAMETER_LIMIT}; what it does with more is not"
            " documented",
            fix="Pass a short token and keep the rest on your server",
        )
    _check_characters(name + value, f"<Parameter> {name[:40]!r}")


def _check_characters(text: str, field: str) -> None:
    if wrong := _NOT_XML.search(text):
        raise LocalProtocolError(
            f"holds {shown(wrong[0])}, which XML cannot carry",
            field=field,
            twilio_code=12100,
            consequence="Twilio could not parse the document (error 12100)",
            fix="Leave the character out, or encode the value",
        )


def _check_size(twiml: str, *, inline: bool) -> None:
    size = len(twiml) if inline else len(twiml.encode())
    limit, code = (INLINE_LIMIT, 32018) if inline else (FETCHED_LIMIT, 11750)
    if size > limit:
        unit = "characters" if inline else "bytes"
        raise LocalProtocolError(
            f"TwiML has {size} {unit}; {limit} are the most",
            twilio_code=code,
            consequence=f"Twilio would refuse it (error {code})",
            fix="Pass one short token by <Parameter> and keep the rest on your server",
        )


def _method(value: str | None, name: str) -> str | None:
    if value not in (None, "GET", "POST"):
        raise ValueError(f"{name} is {value!r}: write 'GET' or 'POST'")
    return value
