"""Parse a TwiML document to a tree of elements, or say why that is not possible (PROTOCOL.md §1.5).

`parse_twiml` is the only parser of TwiML, for the review and for the simulator.  A document type
declaration is refused: TwiML has none, and its entities could expand without limit.
"""

from __future__ import annotations

import re
from typing import cast
from xml.etree import ElementTree as ET
from xml.parsers import expat

from twistream_kit.errors import Objection, quote

DEPTH_LIMIT = 100
"""The limit of nested elements (our choice), because some code that reads the tree recurses."""

_UNPARSABLE = (
    "Twilio could not parse it (error 12100); the caller would hear of an application error"
)

ERROR_PAGE = "Look for the error page of a framework or tunnel"

BUILD_IT = "Build it with kit.connect_stream(stream_url), which escapes everything"


class TwimlElement(ET.Element):
    """An element with the number of the line in which it begins, from 1."""

    line = 0


class NotTwiml(ValueError):
    """A document that is not well-formed, nests too deeply, or has a document type declaration.

    Attributes:
        objection: The reason and the place.
    """

    def __init__(self, objection: Objection) -> None:
        super().__init__(str(objection))
        self.objection = objection


def parse_twiml(xml: str | bytes) -> ET.Element:
    """Parse a document and return its outermost element; `review_root` checks its name.

    Names include their prefixes, because TwiML has no namespaces.

    Args:
        xml: The document; bytes are UTF-8 unless they declare another encoding.

    Raises:
        NotTwiml: If the document cannot be parsed.
    """
    builder = _Builder()
    try:
        builder.parser.Parse(xml, True)
        return builder.close()
    except _Refused as error:
        raise NotTwiml(error.objection or _object_to_doctype(decode_text(xml))) from None
    except (expat.ExpatError, ValueError, LookupError) as error:
        # ValueError: lone surrogates, which cannot be encoded; LookupError: an unknown encoding.
        raise NotTwiml(_explain_unparsable(decode_text(xml), error)) from error
    finally:
        # Both have the other: they would stay in memory until a full garbage collection.
        del builder.parser


def decode_text(xml: str | bytes) -> str:
    """Return the text of a document whose bytes are UTF-8."""
    return xml if isinstance(xml, str) else xml.decode("utf-8", "replace")


class _Refused(Exception):
    """The parser has found something forbidden; without an objection, a document type."""

    def __init__(self, objection: Objection | None = None) -> None:
        super().__init__()
        self.objection = objection


class _Builder:
    """Builds a tree from the events of expat."""

    def __init__(self) -> None:
        self._depth = 0
        self._tree = ET.TreeBuilder(element_factory=TwimlElement)
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._tree.data
        self.parser.StartDoctypeDeclHandler = self._refuse_doctype

    def close(self) -> ET.Element:
        return self._tree.close()

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._depth += 1
        line = self.parser.CurrentLineNumber
        if self._depth > DEPTH_LIMIT:
            raise _Refused(_object_to_depth(line))
        cast("TwimlElement", self._tree.start(tag, attributes)).line = line

    def _end(self, tag: str) -> None:
        self._depth -= 1
        self._tree.end(tag)

    def _refuse_doctype(self, *_: object) -> None:
        raise _Refused


def _object_to_depth(line: int) -> Objection:
    return Objection(
        None,
        "TwiML",
        f"nests more than {DEPTH_LIMIT} elements in line {line}",
        "No TwiML is that deep, and nothing here reads further",
        "Look for elements that are not closed",
    )


def _object_to_doctype(xml: str) -> Objection:
    if re.search(r"<!doctype\s+html", xml[:500], re.IGNORECASE):
        return _object_to_syntax("is a web page", ERROR_PAGE)
    return Objection(
        None,
        "TwiML",
        "has a document type declaration",
        "TwiML knows none, and nothing here reads further",
        "Leave <!DOCTYPE …> out",
    )


def _explain_unparsable(xml: str, error: Exception) -> Objection:
    start = xml.lstrip("\ufeff \t\r\n")
    if not start:
        return _object_to_syntax("is empty", "Return at least <Response/>")
    if start.startswith("<?xml") and start != xml:
        before = quote(xml[: len(xml) - len(start)])
        return _object_to_syntax(f"has {before} before <?xml", "Let the document begin with <?xml")
    if start[0] != "<":
        looks = "JSON" if start[0] in "{[" else "plain text"
        return _object_to_syntax(
            f"is {looks}, not XML: it begins with {quote(start[:20])}", BUILD_IT
        )
    if ampersand := re.search(r"&(?!#?\w{1,32};)", xml):
        line = xml.count("\n", 0, ampersand.start()) + 1
        problem = f"has a bare & in line {line}: {quote(xml[ampersand.start() :][:20])}"
        return _object_to_syntax(problem, "Write &amp; for it")
    if re.match(r"<html\b", start, re.IGNORECASE):
        return _object_to_syntax("is a web page", ERROR_PAGE)
    return _object_to_syntax(f"is not well-formed XML: {error}", BUILD_IT)


def _object_to_syntax(problem: str, fix: str) -> Objection:
    return Objection(12100, "TwiML", problem, _UNPARSABLE, fix)
