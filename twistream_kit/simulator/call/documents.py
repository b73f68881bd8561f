"""From an answer of a web server, or inline TwiML, to a script (PROTOCOL.md §1.5)."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from twistream_kit.simulator.call.context import Source
from twistream_kit.simulator.call.twiml import TwimlFault, read_twiml
from twistream_kit.simulator.call.verbs import PlayBody, Say, Script
from twistream_kit.simulator.call.web import Page, WebClient

TWIML_TYPES = frozenset({"text/xml", "application/xml", "text/html"})
"""Content types that are read as TwiML (§1.5)."""


async def obtain(
    source: Source,
    web: WebClient,
    params: Mapping[str, str],
    on_fault: Callable[[TwimlFault], None],
) -> Script:
    """Read the TwiML that `source` names, or its fallback when that fails.

    Args:
        source: Where it is.
        web: Fetches it.
        params: The request parameters of §6.5.
        on_fault: Told of a fault that the fallback may still mend.

    Raises:
        TwimlFault: If there is no TwiML to be had.
    """
    if source.page is not None and not source.page.url:
        # What Twilio does with such a number is not documented.
        raise TwimlFault(11100, "the number that was called has no Voice URL: set its voice_url")
    if source.page is None:
        return read_twiml(source.twiml, into_live_call=source.into_live_call)
    try:
        page = await web.fetch(source.page.url, source.page.method, params)
        return script_of(page.in_full())
    except TwimlFault as fault:
        if source.fallback is None:
            raise
        on_fault(fault)
        why = {"ErrorCode": str(fault.code), "ErrorUrl": source.page.url}
    page = await web.fetch(source.fallback.url, source.fallback.method, {**params, **why})
    return script_of(page.in_full())


def script_of(page: Page) -> Script:
    """Read an answer by its content type: TwiML, words to say, or a sound to play.

    Raises:
        TwimlFault: 12300 for a type that is not understood or missing, 11770 for no body at all,
            and the faults of `read_twiml`.
    """
    if page.content_type in TWIML_TYPES:
        if not page.content:
            raise TwimlFault(11770, f"{page.url} answered with an empty body")
        return read_twiml(page.content, base_url=page.url)
    if page.content_type == "text/plain":
        try:
            return read_twiml(page.content, base_url=page.url)
        except TwimlFault:
            return Script((Say(page.content.decode("utf-8", "replace")),))
    if page.content_type.startswith("audio/"):
        return Script((PlayBody(page.content),))
    kind = page.content_type or "no Content-Type"
    raise TwimlFault(12300, f"{page.url} answered with {kind}; TwiML is text/xml")
