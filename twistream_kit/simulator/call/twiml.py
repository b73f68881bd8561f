"""Convert a TwiML document to verbs as plain values, and to the codes that Twilio would log.

`diagnosis.twiml_tree` parses the document, `diagnosis.twiml` objects to its names; this reads the
verbs and nouns that the simulator obeys (PROTOCOL.md §1), with the codes of §1.5 and §5.2.  Errors
that end the call are raised as `TwimlFault`; what Twilio only warns about is a `Remark`.  This
module neither executes verbs nor fetches URLs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

from twistream_kit.diagnosis.twiml import (
    NOUNS,
    review_dialling,
    review_names,
    review_root,
    review_text,
    review_undocumented,
)
from twistream_kit.diagnosis.twiml_tree import NotTwiml, parse_twiml
from twistream_kit.errors import Objection, hide_user, join_sentences, quote
from twistream_kit.protocol.twiml import PARAMETER_LIMIT, describe_url_error
from twistream_kit.protocol.url_repair import repair_url


def read_twiml(
    xml: str | bytes, *, base_url: str = "", into_live_call: bool = False
) -> TwimlScript:
    """Read a TwiML document.

    Args:
        xml: The document; bytes may carry their own encoding declaration.
        base_url: The URL from which it was fetched, the base of relative URLs.  Empty for inline
            TwiML.
        into_live_call: True for TwiML that updates a running call through REST: then a relative
            URL is error 15004 (§1.5).

    Raises:
        TwimlFault: 12100 or 12102; 11100 or 15004 for an invalid URL.
    """
    text = xml.decode("utf-8", "replace") if isinstance(xml, bytes) else xml
    try:
        root = parse_root(xml)
        return _TwimlReader(base_url, into_live_call=into_live_call).read_document(root)
    except TwimlFault as fault:
        fault.document = text
        raise


def parse_count(text: str) -> int | None:
    """Return a whole number, at most `MOST_COUNT`, or None if `text` is not one in digits 0 to 9.

    `int` refuses to read 4301 digits and more, and 310 are too many for a `float` of seconds.
    """
    return int(min(float(text), MOST_COUNT)) if text.isascii() and text.isdecimal() else None


MOST_COUNT = 10**9
"""As seconds it is 31 years, so that the call ends before."""


def parse_root(xml: str | bytes) -> ET.Element:
    """Return the ``<Response>`` of a TwiML document.

    Raises:
        TwimlFault: 12100 or 12102, with the text of `review_twiml`.
    """
    try:
        root = parse_twiml(xml)
    except NotTwiml as error:
        raise _make_fault(error.objection) from error
    if wrong := review_root(root):
        raise _make_fault(wrong)
    return root


def _make_fault(objection: Objection) -> TwimlFault:
    # If Twilio's error is not documented, use the error of a document that cannot be parsed.
    return TwimlFault(objection.code or 12100, objection.statement)


class TwimlFault(Exception):
    """An error in a document, or in fetching it, that makes Twilio end the call.

    Attributes:
        code: Twilio's code.
        text: The description of the error.
        document: The TwiML document, or None if there was none.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.document: str | None = None


@dataclass(frozen=True, slots=True)
class TwimlScript:
    """One parsed TwiML document.

    Attributes:
        verbs: The verbs to execute, in order.
        remarks: The warnings to log.
        notes: Objections that Twilio would not log.
    """

    verbs: tuple[Verb, ...] = ()
    remarks: tuple[Remark, ...] = ()
    notes: tuple[Objection, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """A warning about a document: Twilio would log it and continue.

    Attributes:
        code: Twilio's code.
        text: What is wrong and what the consequence is.
    """

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """``<Connect><Stream>``: bidirectional; the next verb runs after the stream ends (§1.1)."""

    stream: StreamNoun
    action: Next | None = None


@dataclass(frozen=True, slots=True)
class StartStream:
    """``<Start><Stream>``: unidirectional, while the next verbs run (§1.2)."""

    stream: StreamNoun


@dataclass(frozen=True, slots=True)
class StopStream:
    """``<Stop><Stream name=…/>``: ends a started stream (§1.2)."""

    name: str


@dataclass(frozen=True, slots=True)
class StreamNoun:
    """A ``<Stream>``, inside ``<Connect>`` or ``<Start>``.

    Attributes:
        url: The URL of the WebSocket; absolute, wss (or ws on loopback).
        name: Unique in the call, or empty.
        track: ``inbound_track``, ``outbound_track`` or ``both_tracks``, as written.
        status_callback: The URL requested when the stream starts, stops or fails; or empty.
        status_callback_method: GET or POST.
        parameters: Names and values of the ``<Parameter>`` elements.
    """

    url: str
    name: str = ""
    track: str = "inbound_track"
    status_callback: str = ""
    status_callback_method: str = "POST"
    parameters: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Say:
    """Speak a text; `loop` 0 means until the call ends."""

    text: str
    loop: int = 1


@dataclass(frozen=True, slots=True)
class Play:
    """Play a sound file, or the tones of `digits`; `loop` 0 means until the call ends."""

    url: str = ""
    digits: str = ""
    loop: int = 1


@dataclass(frozen=True, slots=True)
class PlayBody:
    """Play the response to the TwiML request, which was a sound file (§1.5)."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait for `seconds`."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Continue with another document."""

    to: Next


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not answer an incoming call; `reason` is ``rejected`` or ``busy``."""

    reason: str = "rejected"


@dataclass(frozen=True, slots=True)
class Next:
    """The next document: the target of a ``<Redirect>`` or an `action` attribute.

    Attributes:
        url: An absolute URL.
        method: GET or POST.
    """

    url: str
    method: str = "POST"


PlainVerb = StartStream | StopStream | Say | Play | PlayBody | Pause
"""The verbs after which the next one of the document follows."""

Verb = PlainVerb | ConnectStream | Hangup | Redirect | Reject
"""All verbs that are carried out."""


class _TwimlReader:
    """Reads one document and collects remarks."""

    def __init__(self, base_url: str, *, into_live_call: bool) -> None:
        self._base_url = base_url
        self._into_live_call = into_live_call
        self._remarks: list[Remark] = []
        self._left_out: list[Objection] = []
        self._readers: dict[str, Callable[[ET.Element], Verb | None]] = {
            "Connect": self._connect,
            "Start": self._start,
            "Stop": self._stop,
            "Say": lambda element: Say(_get_spoken_text(element), self._count(element, "loop", 1)),
            "Play": self._play,
            "Pause": lambda element: Pause(float(self._count(element, "length", 1))),
            "Hangup": lambda _: Hangup(),
            "Redirect": lambda element: Redirect(self._read_next(_get_text(element), element)),
            "Reject": lambda element: Reject(element.get("reason", "rejected")),
        }

    def read_document(self, root: ET.Element) -> TwimlScript:
        """Read the document; only once."""
        try:
            return self._read_document(root)
        finally:
            # They have this reader: all would stay in memory until a full garbage collection.
            self._readers.clear()

    def _read_document(self, root: ET.Element) -> TwimlScript:
        for objection in review_names(root):
            self._add_remark(
                objection.code or 12200, join_sentences(objection.statement, objection.fix)
            )
        verbs = [verb for element in root if (verb := self._read_verb(element)) is not None]
        notes = (
            *review_text(root),
            *review_dialling(root),
            *self._left_out,
            *review_undocumented(root),
        )
        return TwimlScript(tuple(verbs), tuple(self._remarks), notes)

    def _read_verb(self, element: ET.Element) -> Verb | None:
        read = self._readers.get(element.tag)
        if read is None:
            if element.tag in NOUNS["Response"]:
                self._left_out.append(_object_to_verb(element))
            return None
        return read(element)

    def _connect(self, element: ET.Element) -> Verb | None:
        noun = self._find_stream(element)
        if noun is None:
            return None
        action = element.get("action")
        return ConnectStream(noun, None if action is None else self._read_next(action, element))

    def _start(self, element: ET.Element) -> Verb | None:
        noun = self._find_stream(element)
        return None if noun is None else StartStream(noun)

    def _stop(self, element: ET.Element) -> Verb | None:
        stream = element.find("Stream")
        name = "" if stream is None else stream.get("name", "")
        if not name:
            self._add_remark(12200, "<Stop> was skipped: it needs a <Stream> with the name to stop")
            return None
        return StopStream(name)

    def _find_stream(self, element: ET.Element) -> StreamNoun | None:
        nouns = [child.tag for child in element if child.tag in NOUNS[element.tag]]
        others = [noun for noun in nouns if noun != "Stream"]
        if others:
            self._left_out.append(_object_to_noun(element.tag, others))
        elif nouns != ["Stream"] and (nouns or not len(element)):
            names = ", ".join(f"<{noun}>" for noun in nouns) or "nothing"
            self._add_remark(12200, f"<{element.tag}> holds {names}; it can hold one <Stream>")
        streams = element.findall("Stream")
        return self._read_stream(streams[0]) if streams else None

    def _read_stream(self, element: ET.Element) -> StreamNoun:
        callback = element.get("statusCallback", "")
        return StreamNoun(
            url=self._resolve_stream_url(element.get("url", "")),
            name=element.get("name", ""),
            track=element.get("track", "inbound_track"),
            status_callback=self._resolve(callback) if callback else "",
            status_callback_method=_get_method(element, "statusCallbackMethod"),
            parameters=self._read_parameters(element),
        )

    def _read_parameters(self, element: ET.Element) -> dict[str, str]:
        parameters = {}
        for child in element.findall("Parameter"):
            name, value = child.get("name", ""), child.get("value", "")
            if not name:
                self._add_remark(12200, "<Parameter> without a name was ignored")
            elif len(name) + len(value) >= PARAMETER_LIMIT:
                # Twilio's behaviour is not known (§10.27).
                self._add_remark(
                    12200,
                    f"<Parameter> {name} was dropped: name and value have "
                    f"{len(name) + len(value)} characters, the limit is {PARAMETER_LIMIT}",
                )
            else:
                parameters[name] = value
        return parameters

    def _play(self, element: ET.Element) -> Verb | None:
        digits, url = element.get("digits", ""), _get_text(element)
        if not digits and not url:
            self._add_remark(12200, "<Play> was skipped: it names no sound")
            return None
        return Play(self._resolve(url) if url else "", digits, self._count(element, "loop", 1))

    def _read_next(self, url: str, element: ET.Element) -> Next:
        # An empty URL means the document itself, as with HTML forms.
        return Next(self._resolve(url or self._base_url), _get_method(element, "method"))

    def _resolve_stream_url(self, url: str) -> str:
        # What is written wrongly is resolved to no address: the stream will log 31923.
        if not url or not self._base_url or repair_url(url):
            return url
        try:
            is_relative = not urlsplit(url).scheme
            absolute = urljoin(self._base_url, url)
        except ValueError:
            # The stream that connects to it will log 31923.
            return url
        # How a relative stream URL becomes wss is not documented (§1.3).
        return absolute.replace("http", "ws", 1) if is_relative else url

    def _resolve(self, url: str) -> str:
        try:
            absolute = urljoin(self._base_url, url) if self._base_url else url
            is_relative, parts = not urlsplit(url).scheme, urlsplit(absolute)
        except ValueError as error:
            raise TwimlFault(
                11100, f"{hide_user(url)} is not a URL: {describe_url_error(url, error)}"
            ) from error
        if is_relative and self._into_live_call:
            raise TwimlFault(
                15004,
                f"{hide_user(url) or 'an empty URL'} is relative, "
                "in TwiML that updates a live call",
            )
        if parts.scheme not in {"http", "https"} or not parts.netloc:
            raise TwimlFault(
                11100, f"{hide_user(url) or 'an empty URL'} is not an absolute http(s) URL"
            )
        return absolute

    def _count(self, element: ET.Element, name: str, default: int) -> int:
        text = element.get(name, str(default))
        count = parse_count(text)
        if count is None:
            self._add_remark(12200, f"<{element.tag} {name}={quote(text)}> is not a whole number")
            return default
        return count

    def _add_remark(self, code: int, text: str) -> None:
        self._remarks.append(Remark(code, text))


def _object_to_noun(verb: str, nouns: list[str]) -> Objection:
    """Return the objection to what a <Connect> or <Start> holds beside a stream."""
    names = ", ".join(f"<{noun}>" for noun in nouns)
    return Objection(
        None,
        f"<{verb}>",
        f"holds {names}, not simulated: only one <Stream> is",
        f"Twilio obeys {'it' if len(nouns) == 1 else 'them'}; that cannot be tried here",
        _TRY_IT,
        "warning",
    )


def _object_to_verb(element: ET.Element) -> Objection:
    """Return the objection to a verb of Twilio's that the simulator leaves out."""
    untried = _LEFT_OUT.get(element.tag, "what it does")
    return Objection(
        None,
        f"<{element.tag}>",
        "is not simulated: the next verb follows at once",
        f"Twilio obeys it; {untried} cannot be tried here",
        _TRY_IT,
        "warning",
    )


_TRY_IT = "Try it with an account, or leave it out here"

_LEFT_OUT = {
    "Dial": "a transfer, which the simulator has no second telephone for,",
    "Record": "a message that is recorded",
    "Gather": "keys and words that TwiML asks for, and its action,",
    "Enqueue": "a queue, with its music,",
    "Queue": "a queue",
    "Refer": "a transfer by SIP",
    "Pay": "a payment",
    "Prompt": "a payment",
    "Sms": "a message",
    "Echo": "an echo",
}
"""What cannot be tried without a verb: only the verbs around a stream are simulated."""


def _get_text(element: ET.Element) -> str:
    return (element.text or "").strip()


def _get_spoken_text(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _get_method(element: ET.Element, name: str) -> str:
    return "GET" if element.get(name, "POST").upper() == "GET" else "POST"
