"""Do what a printed fix says: take the code, the TwiML or the names out of its text, and use them.

Nothing here knows the right answer: `follow_in_twiml` and `follow_in_message` change the faulty
input as the words say, and `run` evaluates the code that stands in them.
"""

from __future__ import annotations

import json
import pathlib
import re
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree as ET

import numpy as np

import twistream_kit as kit
from twistream_kit import to_twilio
from twistream_kit.errors import Objection

_CODE = re.compile(
    r"(?:kit|to_twilio|stream|clip|client|twilio|bytes|json|call|phone|server|np|raw|pathlib)(?:\.\w+)+\("
    r"|\b(?:b64encode|str|open)\("
    r"|\(samples [^()]*\)\.\w+\("
)


def find_code(fix: str) -> list[str]:
    """Return the expressions in a fix, in order, without those that it advises against."""
    fix = re.sub(r", not [^;]*", "", fix)
    found, at = [], 0
    while match := _CODE.search(fix, at):
        end = _find_end(fix, match.end())
        # What is called on the result belongs to it.
        while more := re.match(r"(?:\.\w+)+(\()?", fix[end:]):
            end = _find_end(fix, end + more.end()) if more[1] else end + more.end()
        found.append(fix[match.start() : end])
        at = end
    return found


def _find_end(text: str, at: int) -> int:
    depth = 1
    while depth:
        depth += {"(": 1, ")": -1}.get(text[at], 0)
        at += 1
    return at


def run(code: str, **names: Any) -> Any:
    """Evaluate an expression of a fix; what only the user knows stands in `names`."""
    for name, value in names.pop("fill", {}).items():
        code = code.replace(f"{name}=…", f"{name}={value!r}")
    known = {"kit": kit, "to_twilio": to_twilio, "json": json, "np": np, "pathlib": pathlib}
    known |= {"b64encode": b64encode, "b64decode": b64decode}
    return eval(code, known | names)


# TwiML


def follow_in_twiml(xml: str, objection: Objection) -> str:
    """Return the document, changed as the fix of the objection says."""
    for pattern, change in _IN_TEXT:
        if match := re.match(pattern, objection.fix):
            return change(xml, match, objection)
    root = ET.fromstring(xml)
    for pattern, change in _IN_TREE:
        if match := re.match(pattern, objection.fix):
            changed = change(root, match, objection)
            return ET.tostring(root if changed is None else changed, encoding="unicode")
    raise AssertionError(f"nobody can follow this: {objection.fix}")


def _find(root: ET.Element, objection: Objection) -> tuple[ET.Element, ET.Element, str]:
    """Return the element that an objection names, its parent, and the attribute or nothing."""
    tag, _, attribute = objection.field.strip("<>").partition(" ")
    parents = {child: parent for parent in root.iter() for child in parent}
    inside = re.search(r"(?:stands inside|that) <(\w+)>", objection.problem)
    for element in root.iter(tag):
        parent = parents.get(element, root)
        if attribute and attribute not in element.attrib and element.get(attribute) is None:
            continue
        if inside is None or parent.tag == inside[1]:
            return parent, element, attribute
    raise AssertionError(f"{objection.field} is not in the document")


def _write(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    _, element, attribute = _find(root, objection)
    assert attribute
    element.set(attribute, match[1])


def _leave_out(root: ET.Element, _: re.Match[str], objection: Objection) -> None:
    if objection.field == "<Parameter>":
        name = objection.problem.split()[0]
        stream = next(each for each in root.iter("Stream"))
        stream.remove(next(each for each in stream if each.get("name") == name))
        return
    parent, element, attribute = _find(root, objection)
    if attribute:
        del element.attrib[attribute]
    else:
        parent.remove(element)


def _put_beside(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    parent, element, _ = _find(root, objection)
    parent.remove(element)
    other = next(each for each in root if each.tag == match["verb"])
    root.insert(list(root).index(other) + (match["place"] == "after"), element)


def _put_inside(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    parent, element, _ = _find(root, objection)
    at = list(parent).index(element)
    parent.remove(element)
    home = next((each for each in root.iter(match[1])), None)
    if home is None:
        home = ET.Element(match[1])
        parent.insert(at, home)
    home.append(element)


def _rename(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    _, element, attribute = _find(root, objection)
    if attribute:
        element.set(match[1], element.attrib.pop(attribute))
    else:
        element.tag = match[1]


def _connect_for_start(root: ET.Element, match: re.Match[str], _: Objection) -> None:
    verb = next(root.iter("Start"))
    verb.tag = "Connect"
    if "leave track out" in match.string:
        for stream in verb:
            stream.attrib.pop("track", None)
    if "keep one <Stream>" in match.string:
        for stream in list(verb)[1:]:
            verb.remove(stream)
    if "leave <Pause> out" in match.string:
        root.remove(next(root.iter("Pause")))
    if moved := re.search(r"put <(\w+)> before it", match.string):
        other = next(root.iter(moved[1]))
        root.remove(other)
        root.insert(list(root).index(verb), other)


def _add_verb(root: ET.Element, match: re.Match[str], _: Objection) -> None:
    root.append(ET.fromstring(match[1]))


def _replace(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    new = ET.fromstring(match[1])
    parent, element, _ = _find(root, objection)
    if new.tag == element.tag:
        for child in element:
            new.append(child)
    parent[list(parent).index(element)] = new


def _write_number(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    _, element, attribute = _find(root, objection)
    if attribute:
        element.set(attribute, match[1])
    else:
        element.text = match[1]


def _wrap(root: ET.Element, _: re.Match[str], __: Objection) -> ET.Element:
    response = ET.Element("Response")
    response.append(root)
    return response


def _wrap_twice(root: ET.Element, match: re.Match[str], objection: Objection) -> ET.Element:
    verb = ET.Element(match[1])
    verb.append(root)
    return _wrap(verb, match, objection)


def _leave_text_out(root: ET.Element, _: re.Match[str], objection: Objection) -> None:
    parent = next(root.iter(objection.field.strip("<>")))
    parent.text = None
    for child in parent:
        child.tail = None


def _enclose_text(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    parent = next(root.iter(objection.field.strip("<>")))
    texts = [parent.text, *(child.tail for child in parent)]
    place = next(at for at, text in enumerate(texts) if text and text.strip())
    _leave_text_out(root, match, objection)
    parent.insert(place, ET.fromstring(match[1]))


def _rename_root(root: ET.Element, match: re.Match[str], _: Objection) -> None:
    root.tag = match[1]


def _clear_attributes(root: ET.Element, _: re.Match[str], __: Objection) -> None:
    root.attrib.clear()


def _keep_one(root: ET.Element, _: re.Match[str], __: Objection) -> None:
    verb = next(root.iter("Connect"))
    for stream in verb.findall("Stream")[1:]:
        verb.remove(stream)


def _name_parameter(root: ET.Element, match: re.Match[str], _: Objection) -> None:
    stream = next(root.iter("Stream"))
    nameless = next(each for each in stream if not each.get("name"))
    stream[list(stream).index(nameless)] = ET.fromstring(match[1])


def _write_attribute(root: ET.Element, match: re.Match[str], objection: Objection) -> None:
    stream = next(root.iter("Stream"))
    stream.attrib |= ET.fromstring(f"{match[1][:-1]}/>").attrib
    _leave_out(root, match, objection)


def _shorten_parameter(root: ET.Element, _: re.Match[str], objection: Objection) -> None:
    name = re.match(r"'(\w+)'", objection.problem)[1]
    next(each for each in root.iter("Parameter") if each.get("name") == name).set("value", "token")


def _connect_with_parameters(root: ET.Element, _: re.Match[str], objection: Objection) -> Any:
    return ET.fromstring(run(find_code(objection.fix)[0]).partition("?>")[2])


_URL = r"((?:wss?|https?)://[^\s;,]+)"

_IN_TREE: list[tuple[str, Callable[..., Any]]] = [
    (rf"Write {_URL}", _write),
    (r"Write (GET|POST|\w+_track)\b", _write),
    (r"Write ([a-z-]+)\Z", _write),
    (r"Write <Response> without attributes", _clear_attributes),
    (r"Write <(Response)> for <", _rename_root),
    (r"Write (<Dial>.*</Dial>)\Z", lambda root, match, _: _set_dial(root, match)),
    (r"Write (<(?:Connect|Stream)\b.*>)(?:, with the address of your server|\Z)", _replace),
    (r"Write (<.*>) for the text", _enclose_text),
    (r"Leave the text out", _leave_text_out),
    (r"Write (sips?:\S+@\S+)\Z", _write_number),
    (r"Write <?(\w+)>?; case counts", _rename),
    (r"Write it as an attribute, (<Stream .*>)\Z", _write_attribute),
    (r"Write it with \+ and the country's code[^:]*: (\+\d+)", _write_number),
    (r"Give it one: (<Parameter .*/>)", _name_parameter),
    (
        r"Leave track out",
        lambda root, _, __: next(root.iter("Stream")).attrib.pop("track") and None,
    ),
    (r"Leave it out\b", _leave_out),
    (r"Leave it, if that is meant; else put it (?P<place>before) <(?P<verb>\w+)>", _put_beside),
    (
        r"Put it (?:directly inside <Response>, )?(?P<place>before|after) <(?P<verb>\w+)>",
        _put_beside,
    ),
    (r"Put it inside <Response><(\w+)>", _wrap_twice),
    (r"Put it inside <(\w+)>", _put_inside),
    (r"Put everything inside <Response>", _wrap),
    (r"If you want to talk, write <Connect> for <Start>", _connect_for_start),
    (r"Add a verb that takes time, such as (<Pause length=\"60\"/>)", _add_verb),
    (r"Keep one", _keep_one),
    (r"Pass a short token", _shorten_parameter),
    (r"Pass its values by <Parameter>: ", _connect_with_parameters),
]


def _set_dial(root: ET.Element, match: re.Match[str]) -> None:
    dial = next(root.iter("Dial"))
    root[list(root).index(dial)] = ET.fromstring(match[1])


_IN_TEXT: list[tuple[str, Callable[[str, re.Match[str], Objection], str]]] = [
    (
        r"Build it with kit\.connect_stream",
        lambda _, match, __: run(find_code(match.string)[0], stream_url="wss://example.com/media"),
    ),
    (r"Let the document begin with <\?xml", lambda xml, _, __: xml[xml.index("<?xml") :]),
    (r"Return at least (<Response/>)", lambda _, match, __: match[1]),
    (r"Write (&amp;) for it", lambda xml, match, __: re.sub(r"&(?!#?\w+;)", match[1], xml)),
    (r"Leave <!DOCTYPE …> out", lambda xml, _, __: re.sub(r"<!DOCTYPE[^>[]*>", "", xml)),
    (
        r"Write the file without one: encoding (utf-8), not (utf-8-sig)",
        lambda xml, match, _: xml.encode(match[1]).decode(match[2]),
    ),
]


# Messages

STREAM = "MZ" + "1" * 32


def follow_in_message(message: Any, objection: Objection, **names: Any) -> Any:
    """Return the message, changed as the fix of the objection says; None if nothing is sent."""
    for pattern, change in _IN_MESSAGE:
        if match := re.match(pattern, objection.fix):
            return change(message, match, objection, names)
    raise AssertionError(f"nobody can follow this: {objection.fix}")


def _load(message: Any) -> dict[str, Any]:
    return (
        json.loads(message) if isinstance(message, str | bytes) else json.loads(json.dumps(message))
    )


def _place(message: dict[str, Any], path: str) -> tuple[dict[str, Any], str]:
    """Return the object in which a field stands, and its name there."""
    outer, _, inner = path.partition(".")
    return (message[outer], inner) if inner else (message, outer)


def _add(message: Any, match: re.Match[str], *_: Any) -> Any:
    message = _load(message)
    home, name = _place(message, match[1])
    event = next((each for each in ("media", "mark") if each in message), "clear")
    home[name] = {"streamSid": STREAM, "event": event, "name": "greeting", "payload": "////"}[name]
    return message


def _rename_field(message: Any, match: re.Match[str], objection: Objection, _: Any) -> Any:
    message = _load(message)
    home, name = _place(message, objection.field)
    home[match[1].rpartition(".")[2]] = home.pop(name)
    return message


def _leave_field_out(message: Any, _: Any, objection: Objection, __: Any) -> Any:
    message = _load(message)
    home, name = _place(message, objection.field)
    del home[name]
    return message


def _move_up(message: Any, _: Any, objection: Objection, __: Any) -> Any:
    message = _load(message)
    home, name = _place(message, objection.field)
    message[name] = home.pop(name)
    return message


def _wrap_field(message: Any, match: re.Match[str], objection: Objection, _: Any) -> Any:
    message = _load(message)
    value = message.pop(objection.field, None)
    message[match[1]] = {match[2]: value if isinstance(value, str) else "x"}
    return message


def _set_field(message: Any, value: str, objection: Objection) -> Any:
    message = _load(message)
    home, name = _place(message, objection.field)
    home[name] = value
    return message


def _choose_event(message: Any, _: Any, objection: Objection, __: Any) -> Any:
    loaded = _load(message)
    event = next((each for each in ("media", "mark") if each in loaded), "clear")
    return _set_field(message, event, objection)


def _run_code(message: Any, match: re.Match[str], objection: Objection, names: Any) -> Any:
    """Run the first code of the fix, and put the result where the objection is."""
    code = find_code(match.string)[0]
    if code == "b64encode(payload).decode()" and not objection.field:
        return json.loads(json.dumps(message, default=lambda payload: run(code, payload=payload)))
    if code == "str(number)":
        names = {"number": _get(message, objection.field)}
    made = run(code, message=_find_printed(message), stream_sid=STREAM, **names)
    if isinstance(made, bytes):
        made = b64encode(made).decode()
    if not objection.field:
        return made
    if not isinstance(made, str):
        raise AssertionError(f"{code} brings {type(made).__name__}")
    if made.startswith("{"):
        return made
    return _set_field(message, made, objection)


def _find_printed(message: Any) -> Any:
    return eval(message) if isinstance(message, str) and message.startswith("{'") else message


def _get(message: Any, path: str) -> Any:
    home, name = _place(_load(message), path)
    return home[name]


_CALL = r".*\b(?:b64encode|str|json\.dumps|kit(?:\.\w+)+|to_twilio\.Media|bytes\.fromhex)\("

_IN_MESSAGE: list[tuple[str, Callable[..., Any]]] = [
    (r"Add (\S+); Twilio reads no other name", _add),
    (r"Rename it to (\S+)\Z", _rename_field),
    (r"Leave it out\Z", _leave_field_out),
    (r"Move it to the top of the message", _move_up),
    (r'Write "(\w+)": \{"(\w+)": …\}', _wrap_field),
    (r"Write '(\w+)'", lambda message, match, found, _: _set_field(message, match[1], found)),
    (r"Send 'media', 'mark' or 'clear'", _choose_event),
    (r"Give each mark a name", lambda message, _, found, __: _set_field(message, "x", found)),
    (r"Use the stream_sid of", lambda message, _, found, __: _set_field(message, STREAM, found)),
    (r"Keep one\Z", lambda message, *_: json.dumps(json.loads(message))),
    (r"Send nothing|To end the stream, close the socket", lambda *_: None),
    (r"Send it as str", lambda message, *_: message.decode()),
    (r"Send one object for each message", lambda message, *_: json.loads(message)[0]),
    (
        r"Send what follows the comma",
        lambda message, _, found, __: _set_field(
            message, _get(message, found.field).partition(",")[2], found
        ),
    ),
    (
        r"Use b64encode, not|Encode all bytes at once|Send the bytes themselves",
        lambda message, _, found, names: _set_field(
            message, b64encode(names["payload"]).decode(), found
        ),
    ),
    (_CALL, _run_code),
]
