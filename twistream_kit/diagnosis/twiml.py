"""Review a TwiML document: what would Twilio object to, or do otherwise than intended (§1)?

The tables list the elements and
attributes that documents with a stream need (§1.1 to §1.4); the attributes of other elements are
not reviewed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice, zip_longest
from typing import cast
from xml.etree import ElementTree as ET
from xml.sax.saxutils import escape, quoteattr

from twistream_kit.diagnosis.message import find_nearest
from twistream_kit.diagnosis.twiml_tree import (
    BUILD_IT,
    ERROR_PAGE,
    NotTwiml,
    TwimlElement,
    decode_text,
    parse_twiml,
)
from twistream_kit.errors import (
    Objection,
    Objections,
    Severity,
    WrongType,
    hide_user,
    quote,
    sort_by_severity,
)
from twistream_kit.protocol.rest import is_e164
from twistream_kit.protocol.twiml import (
    FETCHED_LIMIT,
    INLINE_LIMIT,
    PARAMETER_LIMIT,
    PARAMETER_TOO_LONG,
    PASS_A_TOKEN,
    review_stream_url,
)
from twistream_kit.protocol.url_repair import repair_url


def _split_names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_VERBS = _split_names(
    "Connect Dial Echo Enqueue Gather Hangup Leave Pause Pay Play Prompt Queue Record Redirect"
    " Refer Reject Say Sms Start Stop"
)
"""The elements that may be children of <Response>."""

NOUNS = {
    "Response": _VERBS,
    "Connect": _split_names(
        "AiSession Assistant Autopilot Conversation ConversationRelay ConversationRelaySession Room"
        " Stream VirtualAgent"
    ),
    "Start": _split_names("Recording Siprec Stream Transcription"),
    "Stop": _split_names("Recording Siprec Stream Transcription"),
    "Stream": frozenset({"Parameter"}),
    "Parameter": _split_names(""),
    "Pause": _split_names(""),
    "Play": _split_names(""),
    "Redirect": _split_names(""),
    "Record": _split_names(""),
    "Leave": _split_names(""),
    "Echo": _split_names(""),
    "Hangup": frozenset({"Parameter"}),
    "Reject": frozenset({"Parameter"}),
    "Gather": _split_names("Pause Play Say"),
    "Prompt": _split_names("Pause Play Say"),
    "Pay": _split_names("Parameter Prompt"),
    "Refer": frozenset({"Sip"}),
    "Enqueue": frozenset({"Task"}),
    "Dial": _split_names("Application Client Conference Number Queue Sim Sip WhatsApp"),
    "Number": _split_names(""),
}
"""The elements that may be children of these elements, as Twilio's SDK writes them."""

_TWIML = _VERBS | NOUNS["Connect"] | NOUNS["Dial"] | {"Parameter"}

_WITHOUT_TEXT = _split_names(
    "Response Connect Start Stop Stream Parameter Gather Pay Prompt Refer Pause Hangup Reject Leave"
    " Echo Record"
)
"""The elements that hold other elements, or nothing, but no text of their own."""

_OF_THE_SDK_ONLY = ("audioFormat", "sampleRate")
"""Undocumented attributes of <Stream> that Twilio's SDKs write since September 2026 (§11).

Their values, and their effect on the WebSocket, are not known.
"""

_ATTRIBUTES = {
    "Response": _split_names(""),
    "Connect": frozenset({"action", "method"}),
    "Start": frozenset({"action", "method"}),
    "Stop": _split_names(""),
    "Stream": _split_names("url name track statusCallback statusCallbackMethod connectorName")
    | frozenset(_OF_THE_SDK_ONLY),
    "Parameter": frozenset({"name", "value"}),
    "Pause": frozenset({"length"}),
    "Hangup": _split_names(""),
    "Redirect": frozenset({"method"}),
    "Reject": frozenset({"reason"}),
    "Play": frozenset({"loop", "digits"}),
    "Say": frozenset({"voice", "loop", "language"}),
    "Dial": _split_names(
        "action method callReason timeout hangupOnStar timeLimit callerId record trim"
        " recordingStatusCallback recordingStatusCallbackMethod recordingStatusCallbackEvent"
        " recordingConfigurationId"
        " answerOnBridge ringTone recordingTrack sequential referUrl referMethod events"
    ),
    "Number": _split_names(
        "sendDigits url method statusCallbackEvent statusCallback statusCallbackMethod byoc"
        " machineDetection amdStatusCallback amdStatusCallbackMethod machineDetectionTimeout"
        " machineDetectionSpeechThreshold machineDetectionSpeechEndThreshold"
        " machineDetectionSilenceTimeout"
    ),
}
"""The attributes of these elements (§1.3; of <Dial> and <Number> those that the SDK writes)."""

_LAST_VERBS = _split_names("Connect Dial Enqueue Hangup Leave Queue Redirect Refer Reject")
"""The verbs that end the document, or take as long as a stream: they come after it."""

_NEVER_RETURNS = _split_names("Hangup Leave Redirect Reject")
"""The verbs after which no other one of the document runs."""

_GOES_ON_ELSEWHERE = _split_names("Connect Dial Enqueue Pay")
"""The verbs after which Twilio carries out the answer of `action`, if they have one (§1.5)."""

_BEFORE_A_STREAM = {
    "Dial": "The stream begins only when the call that it makes is over, or was not answered",
    "Enqueue": "The stream begins only when the caller has left the queue",
    "Echo": "It probably goes on until the caller hangs up, and the stream would never begin",
    "Refer": "It probably takes the caller away, and the stream begins only if it fails",
}
"""What a verb before the stream means for the stream, unless it has an `action`."""

_RECORD_THE_TALK = (
    "to record the talk, call with client.calls.create(…, record=True), or say"
    " client.calls(call_sid).recordings.create() while it runs"
)

_A_STREAM = '<Stream url="wss://example.com/media"/>'

_DIAL_RECORDS = _split_names(
    "do-not-record record-from-answer record-from-ringing record-from-answer-dual"
    " record-from-ringing-dual true false"
)

_INVENTED = {
    "bidirectional": "<Connect><Stream> is always both ways, <Start><Stream> never",
    "codec": "the sound is always μ-law at 8000 Hz",
    "encoding": "the sound is always μ-law at 8000 Hz",
    "contentType": "the sound is always μ-law at 8000 Hz",
    "mediaFormat": "the sound is always μ-law at 8000 Hz",
    "audioTrack": "<Connect><Stream> always brings the caller's voice",
}
"""Attributes of <Stream> that some guides invent, and the facts (§1.3, §9)."""

TRACKS = {
    "inbound_track": ("inbound",),
    "outbound_track": ("outbound",),
    "both_tracks": ("inbound", "outbound"),
}
"""The values of ``track`` (inside <Connect> only the first) and the value of `start.tracks` for
each (§1.1, §1.2, §3)."""

_LONGEST_SAID = 200
"""The longest text that a fix repeats, in characters."""

_IGNORED = "Twilio would leave it out, with warning 12200"


def review_twiml(xml: str | bytes) -> Objections:
    """Say what Twilio would object to in `xml`, and what would not do what is probably meant.

    Args:
        xml: The whole document (PROTOCOL.md §1), as it is passed inline or served from a URL; bytes
            are UTF-8 unless they declare another encoding.

    Returns:
        What Twilio would object to, or would do otherwise than probably intended: errors first,
        then warnings, then notes; empty if there is nothing.

    Raises:
        TypeError: If `xml` is neither text nor bytes.

    Example:
        >>> import twistream_kit as kit
        >>> stream = '<Stream url="wss://example.com/media?customer=42"/>'
        >>> kit.review_twiml(f"<Response><Connect>{stream}</Connect></Response>")
        - <Stream url> has a query, ?customer=42. Streams do not support one: ...
        >>> kit.review_twiml(kit.connect_stream("wss://example.com/media"))
        nothing to object to
    """
    if not isinstance(xml, str | bytes | bytearray):
        raise WrongType(f"TwiML is {type(xml).__name__}; give a str, such as str(response)")
    found = _review_document(xml if isinstance(xml, str) else bytes(xml))
    return sort_by_severity(islice(found, _MOST_OBJECTIONS))


_MOST_OBJECTIONS = 500
"""Of a document that is no TwiML at all, the first are enough."""


def _review_document(xml: str | bytes) -> Iterator[Objection]:
    text = decode_text(xml)
    yield from _review_size(xml, text)
    if text.startswith("\ufeff"):
        problem = "begins with a byte order mark"
        consequence = "Twilio fails on bytes before the XML header (error 12100); perhaps on these"
        fix = "Write the file without one: encoding utf-8, not utf-8-sig"
        yield Objection(12100, "TwiML", problem, consequence, fix, "warning")
    try:
        root = parse_twiml(xml)
    except NotTwiml as error:
        yield error.objection
        return
    if wrong := review_root(root):
        yield wrong
        root = _complete(root)
    if "version" in root.attrib:
        fix = "Write <Response> without attributes"
        yield Objection(12101, "<Response>", "has a version", "", fix, "warning")
    yield from review_names(root)
    yield from review_text(root)
    yield from review_undocumented(root)
    yield from _review_order(root)
    yield from review_dialling(root)
    for parent, stream in _find_streams(root):
        yield from _review_stream(parent, stream)


def _review_size(xml: str | bytes, text: str) -> Iterator[Objection]:
    size = len(xml if isinstance(xml, bytes) else xml.encode("utf-8", "surrogatepass"))
    if size > FETCHED_LIMIT:
        problem = f"has {size} bytes; {FETCHED_LIMIT} are the most"
        fix = "Return only the verbs that come next"
        yield Objection(11750, "TwiML", problem, "Twilio would refuse it (error 11750)", fix)
    if len(text) > INLINE_LIMIT:
        problem = f"has {len(text)} characters; {INLINE_LIMIT} fit into a REST request"
        consequence = "Passed inline, it would be refused (error 32018)"
        fix = "Serve it by URL, or pass one short token by <Parameter>"
        yield Objection(32018, "TwiML", problem, consequence, fix, "warning")


def review_root(root: ET.Element) -> Objection | None:
    """Object to the outermost element of a document that is XML but not TwiML."""
    if root.tag == "Response":
        return None
    if root.tag in _VERBS:
        fix = "Put everything inside <Response>…</Response>"
    elif verb := _find_verb_of(root.tag):
        fix = f"Put it inside <Response><{verb}>…</{verb}></Response>"
    elif find_nearest(root.tag, ["Response"]):
        fix = f"Write <Response> for <{root.tag[:40]}>; case counts"
    elif root.tag.lower() == "html":
        fix = ERROR_PAGE
    else:
        fix = BUILD_IT
    problem = f"has <{quote(root.tag)[1:-1]}> as its outermost element"
    return Objection(12102, "TwiML", problem, "Twilio would not carry it out (error 12102)", fix)


def _find_verb_of(noun: str) -> str:
    """Return the verb that an element has to stand in, or nothing if that cannot be known."""
    return next((verb for verb in ("Connect", "Dial") if noun in NOUNS[verb]), "")


def _complete(root: ET.Element) -> ET.Element:
    """Return the document that `root` would be the root of, had nothing around it been left out."""
    for tag in ("" if root.tag in _VERBS else _find_verb_of(root.tag), "Response"):
        if tag and (tag != "Response" or root.tag in _VERBS):
            around = TwimlElement(tag)
            around.append(root)
            root = around
    return root


def review_names(root: ET.Element) -> Iterator[Objection]:
    """Object to elements and attributes that do not exist in their place (12200)."""
    for parent, element in _walk(root):
        allowed = _VERBS if parent is root else NOUNS.get(parent.tag)
        if parent.tag == "Say" and element.tag in _TWIML:  # what else stands there is SSML
            allowed = frozenset()
        if allowed is not None and element.tag not in allowed:
            yield _object_to_element(parent, element, allowed)
        known = _ATTRIBUTES.get(element.tag)
        if known is None:
            continue
        for name in element.attrib:
            if name not in known and not name.startswith("xml"):
                yield _object_to_attribute(element, name, known)


def _object_to_element(
    parent: ET.Element, element: ET.Element, allowed: frozenset[str]
) -> Objection:
    field = f"<{element.tag[:40]}>"
    if element.tag == "Stream":
        fix = "Put it inside <Connect>"
        return Objection(12200, field, f"stands inside <{parent.tag[:40]}>", _IGNORED, fix)
    if element.tag == "Parameter" or element.tag in NOUNS["Dial"]:
        fix = f"Put it inside <{'Stream' if element.tag == 'Parameter' else 'Dial'}>"
        return Objection(12200, field, f"stands inside <{parent.tag[:40]}>", _IGNORED, fix)
    if element.tag == "Record":
        problem = f"stands inside <{parent.tag[:40]}>; it takes a message, and records no talk"
        return Objection(12200, field, problem, _IGNORED, f"Leave it out; {_RECORD_THE_TALK}")
    if element.tag in _VERBS:
        place = "after" if element.tag in _LAST_VERBS else "before"
        verb = "<Connect>" if parent.tag in ("Connect", "Stream") else f"<{parent.tag[:40]}>"
        fix = f"Put it directly inside <Response>, {place} {verb}"
        return Objection(12200, field, f"stands inside <{parent.tag[:40]}>", _IGNORED, fix)
    meant, line = find_nearest(element.tag, allowed), cast("TwimlElement", element).line
    problem = f"in line {line} is not an element that <{parent.tag[:40]}> can hold"
    if meant:
        problem = f"in line {line} is not TwiML: <{meant}> is meant"
    fix = f"Write <{meant}>; case counts" if meant else "Leave it out"
    return Objection(12200, field, problem, _IGNORED, fix)


def _object_to_attribute(element: ET.Element, name: str, known: frozenset[str]) -> Objection:
    field = f"<{element.tag} {name[:40]}>"
    if element.tag == "Stream" and name in _INVENTED:
        fix = f"Leave it out: {_INVENTED[name]}"
        return Objection(12200, field, "does not exist", _IGNORED, fix, "warning")
    if name.lower().startswith("record") and element.tag in ("Response", "Connect", "Stream"):
        fix = f"Leave it out; {_RECORD_THE_TALK}"
        return Objection(12200, field, "does not exist", _IGNORED, fix, "warning")
    meant = find_nearest(name, known)
    problem = f"does not exist: {meant} is meant" if meant else "does not exist"
    fix = f"Write {meant}; case counts" if meant else "Leave it out"
    return Objection(12200, field, problem, _IGNORED, fix, "error" if meant else "warning")


def review_text(root: ET.Element) -> Iterator[Objection]:
    """Object to text that stands beside elements, or where an element holds none; once for each."""
    for element in root.iter():
        if element.tag in _WITHOUT_TEXT or (element.tag == "Dial" and len(element)):
            texts = (element.text, *(child.tail for child in element))
            text = next((" ".join(each.split()) for each in texts if each and each.strip()), "")
            if text and not (element.tag == "Stream" and _is_stream_url(text)):
                yield _object_to_text(element, text)


def _is_stream_url(text: str) -> bool:
    return re.match(r"wss?://\S+\Z", text) is not None


def _object_to_text(element: ET.Element, text: str) -> Objection:
    tag, fix = element.tag, "Leave the text out"
    is_url = _is_stream_url(text) and element.find(".//Stream") is None
    if tag == "Response" and is_url:
        url = quoteattr(hide_user(text))
        fix = f"Write <Connect><Stream url={url}/></Connect> for the text"
    elif tag in ("Connect", "Start") and is_url:
        fix = f"Write <Stream url={quoteattr(hide_user(text))}/> for the text"
    elif tag in ("Response", "Gather", "Prompt") and not re.match(r"\w+://|\W*\Z", text):
        text = text if len(text) <= _LONGEST_SAID else "…"
        fix = f"Write <Say>{escape(text)}</Say> for the text, if the caller is to hear it"
    problem = f"holds text that belongs to no element: {quote(hide_user(text)[:80])}"
    consequence = "Twilio would probably leave it out, perhaps with warning 12200"
    return Objection(None, f"<{tag}>", problem, consequence, fix, "warning")


def review_undocumented(root: ET.Element) -> Iterator[Objection]:
    """Object to attributes that Twilio's SDKs write and no page documents."""
    for _, stream in _find_streams(root):
        for name in _OF_THE_SDK_ONLY:
            if name in stream.attrib:
                yield Objection(
                    None,
                    f"<Stream {name}>",
                    "is known to Twilio's SDKs since September 2026, and no page says what it does",
                    "The simulator takes it and sends μ-law at 8000 Hz as ever",
                    "Leave it out, unless Twilio has given you the value",
                    "note",
                )


def _review_order(root: ET.Element) -> Iterator[Objection]:
    """Object to an order of verbs that ends or mutes the call."""
    streams = [(verb.tag, any(child.tag == "Stream" for child in verb)) for verb in root]
    yield from _review_verbs_before(root, streams)
    for place, (verb, following) in enumerate(zip_longest(root, root[1:])):
        # A unidirectional stream before a bidirectional one is intended (seen live, §11).
        if streams[place] == ("Start", True) and ("Connect", True) not in streams[place:]:
            yield from _review_one_way(verb, following)
        elif verb.tag == "Connect":
            yield from _review_connect(verb, following)


def _review_verbs_before(root: ET.Element, streams: list[tuple[str, bool]]) -> Iterator[Objection]:
    """Object to what keeps a document from its stream."""
    target = "Connect" if ("Connect", True) in streams else "Start"
    if (target, True) not in streams:
        return
    for verb in root[: streams.index((target, True))]:
        if verb.tag in _NEVER_RETURNS:
            yield Objection(
                None,
                f"<{verb.tag}>",
                f"stands before <{target}>",
                "Nothing after it runs: the stream would never begin",
                "Leave it out" if verb.tag == "Reject" else f"Put it after <{target}>",
            )
        elif verb.tag == "Record":
            yield Objection(
                None,
                "<Record>",
                f"stands before <{target}>: it takes a message, and records no talk",
                "The stream begins only when the caller has left a message",
                f"Leave it out; {_RECORD_THE_TALK}",
                "warning",
            )
        else:
            yield from _review_verb_before(verb, target)


def _review_verb_before(verb: ET.Element, target: str) -> Iterator[Objection]:
    """Object to what keeps a document from its stream, unlike other uses of the same verb."""
    answer = f"else write <{target}> into the answer of action"
    if verb.tag in _GOES_ON_ELSEWHERE and "action" in verb.attrib:
        yield Objection(
            None,
            f"<{verb.tag} action>",
            f"is {quote(hide_user(verb.attrib['action']))}, and <{target}> comes after it",
            f"When <{verb.tag}> has ended, Twilio carries out the answer of action, and nothing of"
            " this document: the stream would never begin",
            f"Leave it out, if the stream is to follow; {answer}",
        )
    elif verb.tag in _BEFORE_A_STREAM:
        fix = "Leave it, if that is meant; else take it out"
        problem, consequence = f"stands before <{target}>", _BEFORE_A_STREAM[verb.tag]
        yield Objection(None, f"<{verb.tag}>", problem, consequence, fix, "note")
    elif verb.tag in ("Say", "Play") and re.fullmatch(r"\s*0+\s*", verb.get("loop", "")):
        consequence = "Twilio repeats it until the call ends: the stream would never begin"
        problem = f"is 0, and <{target}> comes after it"
        yield Objection(None, f"<{verb.tag} loop>", problem, consequence, "Leave it out")
    elif verb.tag == "Gather" and verb.get("actionOnEmptyResult") == "true":
        yield Objection(
            None,
            "<Gather actionOnEmptyResult>",
            f"is true, and <{target}> comes after it",
            "Twilio carries out the answer of action even if no key is pressed: the stream of this"
            " document would never begin",
            f"Leave it out, if the stream is to begin without a key; {answer}",
        )


def _review_one_way(verb: ET.Element, following: ET.Element | None) -> Iterator[Objection]:
    streams = [child for child in verb if child.tag == "Stream"]
    changes = ["write <Connect> for <Start>"]
    if any(stream.get("track", "inbound_track") != "inbound_track" for stream in streams):
        changes.append("leave track out")
    if len(streams) > 1:
        changes.append("keep one <Stream>")
    # It had to keep the call up; after <Connect>, it would run when the stream has ended.
    if following is not None and following.tag == "Pause":
        changes.append("leave <Pause> out")
    elif following is not None and following.tag in _VERBS - _LAST_VERBS:
        changes.append(f"put <{following.tag}> before it")
    instead = ", and ".join(changes)
    yield Objection(
        None,
        "<Start>",
        "begins a one-way stream",
        "Twilio would play nothing of what you send, and end the stream if you do (error 31924)",
        f"If you want to talk, {instead}",
        "note",
    )
    if following is None:
        yield Objection(
            None,
            "<Start>",
            "is the last verb",
            "Twilio does not wait for the stream: the call would end at once, without an error",
            f'Add a verb that takes time, such as <Pause length="60"/>; to talk, {instead}',
        )


def _review_connect(verb: ET.Element, following: ET.Element | None) -> Iterator[Objection]:
    streams = [child for child in verb if child.tag == "Stream"]
    if not len(verb) and not _is_stream_url((verb.text or "").strip()):
        fix = f"Write <Connect>{_A_STREAM}</Connect>, with the address of your server"
        yield Objection(12200, "<Connect>", "is empty", "Twilio would have nothing to do", fix)
    if len(streams) > 1:
        problem = f"holds {len(streams)} streams"
        consequence = "A call has at most one stream in both directions"
        yield Objection(12200, "<Connect>", problem, consequence, "Keep one")
    if not streams or following is None or following.tag not in _VERBS - {"Hangup"}:
        return
    if "action" in verb.attrib:
        consequence = "When the stream has ended, Twilio carries out the answer of action, not this"
        problem, fix = "comes after <Connect> with an action", "Leave it out"
        yield Objection(None, f"<{following.tag}>", problem, consequence, fix, "warning")
    else:
        consequence = "It would run only when your server has closed the WebSocket"
        if following.tag == "Pause":
            consequence += ", and the caller would hear silence for as long"
        yield _object_to_verb_after(following.tag, consequence)


def _object_to_verb_after(verb: str, consequence: str) -> Objection:
    if verb == "Record":
        consequence += "; it takes a message, and records no talk"
        fix = f"Leave it, if a message is meant; else {_RECORD_THE_TALK}"
    elif verb in _LAST_VERBS:
        fix = "Leave it, if that is meant"
    else:
        fix = "Leave it, if that is meant; else put it before <Connect>"
    return Objection(None, f"<{verb}>", "comes after <Connect>", consequence, fix, "note")


def review_dialling(root: ET.Element) -> Iterator[Objection]:
    """Object to whom a document calls, and how that is recorded."""
    for verb in root.iter("Dial"):
        yield from _review_dial(verb)
    for noun in root.iter("Sip"):
        yield from _review_sip((noun.text or "").strip())


def _review_dial(verb: ET.Element) -> Iterator[Objection]:
    """Object to the numbers of a <Dial>, its caller's, and how it is recorded."""
    numbers = [(noun, "<Number>") for noun in verb if noun.tag == "Number"]
    if not len(verb):
        numbers.append((verb, "<Dial>"))
    for element, field in numbers:
        yield from _review_number("".join(element.itertext()).strip(), field)
    caller = verb.get("callerId", "")
    # What holds letters may be a client, or an address of SIP.
    if caller and re.fullmatch(r"[\d\s().+-]+", caller):
        yield from _review_number(caller, "<Dial callerId>")
    record = verb.get("record")
    if record is not None and record not in _DIAL_RECORDS:
        meant = find_nearest(record, sorted(_DIAL_RECORDS)) or "record-from-answer"
        problem = f"is {quote(record)}, which is none of its values"
        yield Objection(12200, "<Dial record>", problem, _IGNORED, f"Write {meant}", "warning")


def _review_sip(address: str) -> Iterator[Objection]:
    if address and not re.match(r"sips?:", address, re.IGNORECASE):
        problem = f"is {quote(address)}, without sip: before it"
        consequence = "It is no SIP address, and Twilio would probably call nobody"
        bare = address.partition("://")[2] or address.removeprefix("//")
        fix = f"Write sip:{bare}"
        if "@" not in bare:
            fix = "Write sip:user@host, with the address of who is called"
        yield Objection(None, "<Sip>", problem, consequence, fix, "warning")


def _review_number(number: str, field: str) -> Iterator[Objection]:
    if is_e164(number):
        return
    if not number:
        consequence = "Twilio would have nobody to call"
        fix = "Write the number, with + and the country's code"
        yield Objection(None, field, "names no number", consequence, fix)
    elif noun := re.match(r"(sips?|client|conference):", number, re.IGNORECASE):
        name = "Sip" if noun[1].lower().startswith("sip") else noun[1].capitalize()
        bare = number if name == "Sip" else number[noun.end() :]
        problem = f"is {quote(number)}, which is no telephone number"
        fix = f"Write <Dial><{name}>{escape(bare)}</{name}></Dial>"
        yield Objection(None, field, problem, "Twilio would call nobody", fix)
    elif re.fullmatch(r"[+*#\s\d-]{2,8}", number) and len(re.sub(r"\D", "", number)) < 7:
        problem = (
            f"is {quote(number)}, too short for E.164: an emergency or short number, or a part"
        )
        consequence = (
            "Twilio calls E.164 numbers, and these have no such form; that it reaches them is not"
            " promised"
        )
        fix = (
            "Dial the whole number of who is meant, with + and the country's code; a call for help"
            " needs another way than this"
        )
        yield Objection(None, field, problem, consequence, fix, "warning")
    else:
        problem = f"is {quote(number)}, not E.164"
        consequence = "Twilio may refuse it, or take it for a number of the United States"
        # Twilio's page of <Number> accepts unformatted numbers of the United States.
        is_known = field != "<Dial callerId>" and _find_american(number)
        severity: Severity = "note" if is_known else "warning"
        yield Objection(None, field, problem, consequence, _complete_number(number), severity)


def _find_american(number: str) -> str:
    """Return `number` in E.164 if it may be one of the United States without its code."""
    bare = re.sub(r"[\s().\-/\u2010-\u2015]", "", number)
    return f"+1{bare[-10:]}" if re.fullmatch(r"1?[2-9]\d{9}", bare) else ""


def _complete_number(number: str) -> str:
    """Return how to write a number in E.164, as far as its digits say that."""
    fix = "Write it with + and the country's code"
    bare = re.sub(r"[\s().\-/\u2010-\u2015]", "", number.replace("(0)", ""))
    prefix = re.match(r"\+|(?:00|011)(?=[1-9])", bare)
    if prefix and is_e164(whole := f"+{bare[prefix.end() :]}"):
        return f"{fix}, and nothing but digits: {whole}"
    if american := _find_american(number):
        return f"{fix}: {american}, if it is one of the United States or Canada"
    return fix


def _find_streams(root: ET.Element) -> Iterator[tuple[ET.Element, ET.Element]]:
    return (pair for pair in _walk(root) if pair[1].tag == "Stream" and pair[0].tag != "Stop")


def _review_stream(parent: ET.Element, stream: ET.Element) -> Iterator[Objection]:
    attributes = stream.attrib
    if "url" in attributes:
        yield from review_stream_url(attributes["url"])
    elif "connectorName" not in attributes:
        meant = find_nearest(
            "url", (name for name in attributes if name not in _ATTRIBUTES["Stream"])
        )
        text = (stream.text or "").strip()
        if _is_stream_url(text):
            problem, consequence = "has its URL as text", "There is nothing to connect to"
            fix = f"Write <Stream url={quoteattr(hide_user(text))}/>"
            yield Objection(31923, "<Stream>", problem, consequence, fix)
        elif not meant:
            fix = f"Write {_A_STREAM}, with the address of your server"
            yield Objection(31923, "<Stream>", "has no url", "There is nothing to connect to", fix)
    if "track" in attributes:
        yield from _review_track(parent, attributes["track"])
    yield from _review_callback(attributes)
    for child in stream:
        if child.tag == "Parameter":
            yield from _review_parameter(parent, child.attrib)


def _review_track(parent: ET.Element, track: str) -> Iterator[Objection]:
    consequence = "Twilio would not begin the stream (error 31941)"
    if parent.tag == "Connect" and track != "inbound_track":
        problem = f"is {quote(track)}; under <Connect> only inbound_track exists"
        fix = "Leave track out"
        yield Objection(31941, "<Stream track>", problem, consequence, fix)
    elif track not in TRACKS:
        fix = f"Write {find_nearest(track, TRACKS) or 'inbound_track'}"
        problem = f"is {quote(track)}, not one of {', '.join(TRACKS)}"
        yield Objection(31941, "<Stream track>", problem, consequence, fix)


def _review_callback(attributes: dict[str, str]) -> Iterator[Objection]:
    callback = attributes.get("statusCallback")
    if callback is not None:
        problem, fix = "", "Write https://host/path"
        if repair := repair_url(callback, "https"):
            problem, fix = repair.problem, repair.fix
        elif not callback.startswith(("https://", "http://")):
            problem = f"is {quote(hide_user(callback))}, not an absolute URL"
        if problem:
            consequence = "Twilio would not tell you why a stream failed"
            yield Objection(11100, "<Stream statusCallback>", problem, consequence, fix, "warning")
    method = attributes.get("statusCallbackMethod", "POST")
    if method not in ("GET", "POST"):
        field = "<Stream statusCallbackMethod>"
        yield Objection(
            12200, field, f"is {quote(method)}", _IGNORED, "Write GET or POST", "warning"
        )


def _review_parameter(parent: ET.Element, attributes: dict[str, str]) -> Iterator[Objection]:
    name, value = attributes.get("name", ""), attributes.get("value", "")
    size = len(name) + len(value)
    if not name:
        fix = f"Give it one: <Parameter name={quoteattr('name')} value={quoteattr(value[:40])}/>"
        yield Objection(12200, "<Parameter>", "has no name", _IGNORED, fix)
    if size >= PARAMETER_LIMIT:
        problem = f"{quote(name)} has {size} characters, name and value together"
        yield Objection(None, "<Parameter>", problem, PARAMETER_TOO_LONG, PASS_A_TOKEN)
    if name in _ATTRIBUTES["Stream"] - {"name", "url"}:
        problem = f"{name} is an attribute of <Stream>, not a parameter"
        consequence = "Twilio would only hand it to your server"
        fix = f"Write it as an attribute, <Stream {name}={quoteattr(value[:400])}>"
        if name == "track" and parent.tag == "Connect" and value != "inbound_track":
            fix = "Leave it out: under <Connect> only inbound_track exists"
        yield Objection(None, "<Parameter>", problem, consequence, fix, "warning")


def _walk(root: ET.Element) -> Iterator[tuple[ET.Element, ET.Element]]:
    """Yield every element with its parent, in document order, without recursion."""
    waiting = [(root, child) for child in reversed(root)]
    while waiting:
        parent, element = waiting.pop()
        yield parent, element
        waiting.extend((element, child) for child in reversed(element))
