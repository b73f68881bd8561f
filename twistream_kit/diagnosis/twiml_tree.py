"""TwiML as a tree of elements, or the reason why it is none (PROTOCOL.md §1.5).

A document type declaration is refused: TwiML has none, and its entities could swell without end.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from xml.parsers import expat

from twistream_kit.protocol.objection import Objection, shown


@dataclass(slots=True)
class Element:
    """One element of a document.

    Attributes:
        tag: Its name, case kept.
        attributes: Their names and values, escapes undone.
        line: Where it begins, from 1.
        children: The elements inside.
    """

    tag: str
    attributes: dict[str, str]
    line: int
    children: list[Element] = field(default_factory=list)


class NotXml(ValueError):
    """A document is not well-formed, or has a document type declaration."""

    def __init__(self, objection: Objection) -> None:
        super().__init__(str(objection))
        self.objection = objection


class _DoctypeFound(Exception):
    pass


def read_twiml(xml: str) -> Element:
    """Parse `xml` and return its root.

    Raises:
        NotXml: With the objection that says why and where.
    """
    builder = _Builder()
    try:
        builder.parser.Parse(xml, True)
    except _DoctypeFound:
        raise NotXml(_doctype(xml)) from None
    except (expat.ExpatError, ValueError) as error:
        # ValueError: lone surrogates, which cannot be encoded.
        raise NotXml(_unreadable(xml, error)) from error
    return builder.root.children[0]


class _Builder:
    def __init__(self) -> None:
        self.root = Element("", {}, 0)
        self._open = [self.root]
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        element = Element(tag, attributes, self.parser.CurrentLineNumber)
        self._open[-1].children.append(element)
        self._open.append(element)

    def _end(self, _tag: str) -> None:
        self._open.pop()

    def _doctype(self, *_: object) -> None:
        raise _DoctypeFound


_UNPARSABLE = (
    "Twilio could not parse it (error 12100); the caller would hear of an application error"
)
_BUILD_IT = "Build it with kit.connect_stream, which escapes everything"


def _doctype(xml: str) -> Objection:
    if re.search(r"<!doctype\s+html", xml[:500], re.IGNORECASE):
        return _objection("is a web page", "Look for the error page of a framework or tunnel")
    return Objection(
        None,
        "TwiML",
        "has a document type declaration",
        "TwiML knows none, and this review reads no further",
        "Leave <!DOCTYPE …> out",
    )


def _unreadable(xml: str, error: Exception) -> Objection:
    start = xml.lstrip("\ufeff \t\r\n")
    if not start:
        return _objection("is empty", "Return at least <Response/>")
    if start.startswith("<?xml") and start != xml:
        before = shown(xml[: len(xml) - len(start)])
        return _objection(f"has {before} before <?xml", "Let the document begin with <?xml")
    if start[0] != "<":
        looks = "JSON" if start[0] in "{[" else "plain text"
        return _objection(f"is {looks}, not XML: it begins with {shown(start[:20])}", _BUILD_IT)
    if ampersand := re.search(r"&(?!#?\w{1,32};)", xml):
        line = xml.count("\n", 0, ampersand.start()) + 1
        problem = f"has a bare & in line {line}: {shown(xml[ampersand.start() :][:20])}"
        return _objection(problem, "Write &amp; for it")
    if re.match(r"<html\b", start, re.IGNORECASE):
        return _objection("is a web page", "Look for the error page of a framework or tunnel")
    return _objection(f"is not well-formed XML: {error}", _BUILD_IT)


def _objection(problem: str, fix: str) -> Objection:
    return Objection(12100, "TwiML", problem, _UNPARSABLE, fix)
