"""From a TwiML document to verbs as plain values, and to the codes that Twilio would log.

`twistream_kit.diagnosis.twiml` parses the document and objects to its names; this module reads the
verbs and nouns that the simulator obeys (PROTOCOL.md §1), with the codes of §1.5 and §5.2.  Faults
that end the call are raised as `TwimlFault`; what Twilio only warns of is a `Remark`.  Nothing here
is carried out, or fetched.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit
from xml.etree import ElementTree as ET

from twistream_kit.diagnosis.twiml import (
    NOUNS,
    NotTwiml,
    parse_twiml,
    review_names,
    review_root,
    review_undocumented,
)
from twistream_kit.errors import Objection, hide_user, join_sentences, quote
from twistream_kit.protocol.twiml import PARAMETER_LIMIT, describe_url_error


def read_twiml(xml: str | bytes, *, base_url: str = "", into_live_call: bool = False) -> Script:
    """Read a TwiML document.

    Args:
        xml: The document; bytes may carry their own encoding declaration.
        base_url: Where it was fetched; relative URLs inside start there.  Empty for TwiML that was
            given inline.
        into_live_call: True for TwiML pushed into a running call through REST: then a relative
            URL is fault 15004 (§1.5).

    Raises:
        TwimlFault: 12100 or 12102; 11100 or 15004 for a URL that leads nowhere.
    """
    text = xml.decode("utf-8", "replace") if isinstance(xml, bytes) else xml
    try:
        return _TwimlReader(base_url, into_live_call=into_live_call).document(root_of(xml))
    except TwimlFault as fault:
        fault.document = text
        raise


def parse_count(text: str) -> int | None:
    """Return a whole number, or None if `text` is none; one beyond `MOST_COUNT` is taken for that.

    `int` refuses to read 4301 digits and more, and 310 are too many for a `float` of seconds.
    """
    return int(min(float(text), MOST_COUNT)) if text.isdecimal() else None


MOST_COUNT = 10**9
"""As seconds it is 31 years, so that the call ends before."""


def root_of(xml: str | bytes) -> ET.Element:
    """Return the ``<Response>`` of a TwiML document.

    Raises:
        TwimlFault: 12100 or 12102, in the words of `review_twiml`.
    """
    try:
        root = parse_twiml(xml)
    except NotTwiml as error:
        raise _fault_of(error.objection) from error
    if wrong := review_root(root):
        raise _fault_of(wrong)
    return root


def _fault_of(objection: Objection) -> TwimlFault:
    # Where nothing says what Twilio would log, it is taken for a document that cannot be parsed.
    return TwimlFault(objection.code or 12100, objection.statement)


class TwimlFault(Exception):
    """A document, or the way to it, that makes Twilio give the call up.

    Attributes:
        code: Twilio's code.
        text: What is wrong.
        document: The TwiML at fault, or None when there was none.
    """

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.document: str | None = None


@dataclass(frozen=True, slots=True)
class Script:
    """One TwiML document, read.

    Attributes:
        verbs: What to do, in order.
        remarks: What to log.
        notes: What is worth a word and is not logged.
    """

    verbs: tuple[Verb, ...] = ()
    remarks: tuple[Remark, ...] = ()
    notes: tuple[Objection, ...] = ()


@dataclass(frozen=True, slots=True)
class Remark:
    """Something about a document that Twilio would log, though it goes on.

    Attributes:
        code: Twilio's code.
        text: What is wrong and what follows.
    """

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class ConnectStream:
    """``<Connect><Stream>``: both ways, and nothing else until it is over (§1.1)."""

    stream: StreamNoun
    action: Next | None = None


@dataclass(frozen=True, slots=True)
class StartStream:
    """``<Start><Stream>``: one way, while the next verbs run (§1.2)."""

    stream: StreamNoun


@dataclass(frozen=True, slots=True)
class StopStream:
    """``<Stop><Stream name=…/>``: ends a started stream (§1.2)."""

    name: str


@dataclass(frozen=True, slots=True)
class StreamNoun:
    """A ``<Stream>``, inside ``<Connect>`` or ``<Start>``.

    Attributes:
        url: Where the WebSocket is; absolute, wss (or ws on loopback).
        name: Unique in the call, or empty.
        track: ``inbound_track``, ``outbound_track`` or ``both_tracks``, as written.
        status_callback: Told when the stream starts, stops or fails; or empty.
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
    """Read a text aloud; `loop` 0 means until the call ends."""

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
    """The answer to the TwiML request was itself a sound file: play it (§1.5)."""

    content: bytes


@dataclass(frozen=True, slots=True)
class Pause:
    """Wait, in seconds."""

    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Hangup:
    """End the call."""


@dataclass(frozen=True, slots=True)
class Redirect:
    """Leave this document for another one."""

    to: Next


@dataclass(frozen=True, slots=True)
class Reject:
    """Do not answer an incoming call; `reason` is ``rejected`` or ``busy``."""

    reason: str = "rejected"


@dataclass(frozen=True, slots=True)
class Next:
    """Where the TwiML goes on: what ``<Redirect>`` and `action` attributes name.

    Attributes:
        url: Absolute.
        method: GET or POST.
    """

    url: str
    method: str = "POST"


PlainVerb = StartStream | StopStream | Say | Play | PlayBody | Pause
"""The verbs after which the next one of the document follows."""

Verb = PlainVerb | ConnectStream | Hangup | Redirect | Reject
"""All verbs that are carried out."""


class _TwimlReader:
    """Reads one document, collecting remarks on the way."""

    def __init__(self, base_url: str, *, into_live_call: bool) -> None:
        self._base_url = base_url
        self._into_live_call = into_live_call
        self._remarks: list[Remark] = []
        self._readers: dict[str, Callable[[ET.Element], Verb | None]] = {
            "Connect": self._connect,
            "Start": self._start,
            "Stop": self._stop,
            "Say": lambda element: Say(_spoken(element), self._count(element, "loop", 1)),
            "Play": self._play,
            "Pause": lambda element: Pause(float(self._count(element, "length", 1))),
            "Hangup": lambda _: Hangup(),
            "Redirect": lambda element: Redirect(self._next(_text(element), element)),
            "Reject": lambda element: Reject(element.get("reason", "rejected")),
        }

    def document(self, root: ET.Element) -> Script:
        for objection in review_names(root):
            self._remark(
                objection.code or 12200, join_sentences(objection.statement, objection.fix)
            )
        verbs = [verb for element in root if (verb := self._verb(element)) is not None]
        return Script(tuple(verbs), tuple(self._remarks), tuple(review_undocumented(root)))

    def _verb(self, element: ET.Element) -> Verb | None:
        read = self._readers.get(element.tag)
        if read is None:
            if element.tag in NOUNS["Response"]:
                self._remark(12200, f"<{element.tag}> was skipped: the simulator has no such verb")
            return None
        return read(element)

    def _connect(self, element: ET.Element) -> Verb | None:
        noun = self._stream_in(element)
        if noun is None:
            return None
        action = element.get("action")
        return ConnectStream(noun, None if action is None else self._next(action, element))

    def _start(self, element: ET.Element) -> Verb | None:
        noun = self._stream_in(element)
        return None if noun is None else StartStream(noun)

    def _stop(self, element: ET.Element) -> Verb | None:
        stream = element.find("Stream")
        name = "" if stream is None else stream.get("name", "")
        if not name:
            self._remark(12200, "<Stop> was skipped: it needs a <Stream> with the name to stop")
            return None
        return StopStream(name)

    def _stream_in(self, element: ET.Element) -> StreamNoun | None:
        nouns = [child.tag for child in element if child.tag in NOUNS[element.tag]]
        if nouns != ["Stream"] and (nouns or not len(element)):
            names = ", ".join(f"<{noun}>" for noun in nouns) or "nothing"
            self._remark(
                12200, f"<{element.tag}> holds {names}; the simulator knows one <Stream> in it"
            )
        streams = element.findall("Stream")
        return self._stream(streams[0]) if streams else None

    def _stream(self, element: ET.Element) -> StreamNoun:
        callback = element.get("statusCallback", "")
        return StreamNoun(
            url=self._stream_url(element.get("url", "").strip()),
            name=element.get("name", ""),
            track=element.get("track", "inbound_track"),
            status_callback=self._absolute(callback) if callback else "",
            status_callback_method=_method(element, "statusCallbackMethod"),
            parameters=self._parameters(element),
        )

    def _parameters(self, element: ET.Element) -> dict[str, str]:
        parameters = {}
        for child in element.findall("Parameter"):
            name, value = child.get("name", ""), child.get("value", "")
            if not name:
                self._remark(12200, "<Parameter> without a name was ignored")
            elif len(name) + len(value) >= PARAMETER_LIMIT:
                # What Twilio really does is not known (§10.27).
                self._remark(
                    12200,
                    f"<Parameter> {name} was dropped: name and value have "
                    f"{len(name) + len(value)} characters, the limit is {PARAMETER_LIMIT}",
                )
            else:
                parameters[name] = value
        return parameters

    def _play(self, element: ET.Element) -> Verb | None:
        digits, url = element.get("digits", ""), _text(element)
        if not digits and not url:
            self._remark(12200, "<Play> was skipped: it names no sound")
            return None
        return Play(self._absolute(url) if url else "", digits, self._count(element, "loop", 1))

    def _next(self, url: str, element: ET.Element) -> Next:
        # An empty URL means the document itself, as with HTML forms.
        return Next(self._absolute(url or self._base_url), _method(element, "method"))

    def _stream_url(self, url: str) -> str:
        if not url or not self._base_url:
            return url
        try:
            is_relative = not urlsplit(url).scheme
            absolute = urljoin(self._base_url, url)
        except ValueError:
            # The stream that connects to it will log 31923.
            return url
        # How a relative stream URL becomes wss is not documented (§1.3).
        return absolute.replace("http", "ws", 1) if is_relative else url

    def _absolute(self, url: str) -> str:
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
            self._remark(12200, f"<{element.tag} {name}={quote(text)}> is not a whole number")
            return default
        return count

    def _remark(self, code: int, text: str) -> None:
        self._remarks.append(Remark(code, text))


def _text(element: ET.Element) -> str:
    return (element.text or "").strip()


def _spoken(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def _method(element: ET.Element, name: str) -> str:
    return "GET" if element.get(name, "POST").upper() == "GET" else "POST"
