"""The XML of JUnit, which programs for continuous integration read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from twistream_kit.diagnosis.turn_figures import DEFINITIONS

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold; the far end may send them."""


def build_junit(name: str, cases: Mapping[str, str], seconds: float, text: str) -> str:
    """Return the XML of JUnit.

    Args:
        name: The name of the test suite.
        cases: What is wrong with each of its test cases, or empty, by their names.
        seconds: How long the call lasted.
        text: What is shown with each failure.
    """
    text = _NO_XML.sub("", text)
    suite = ET.Element(
        "testsuite",
        name=name,
        tests=str(len(cases)),
        failures=str(sum(map(bool, cases.values()))),
        errors="0",
        skipped="0",
        time=f"{seconds:.3f}",
    )
    for case, failure in cases.items():
        element = ET.SubElement(suite, "testcase", classname=name, name=case, time="0")
        if failure:
            about = DEFINITIONS.get(case.partition(" ")[0], "")
            said = ET.SubElement(element, "failure", message=_NO_XML.sub("", failure))
            said.text = f"{about}\n{text}".strip()
    ET.SubElement(suite, "system-out").text = text
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return f"{document.decode()}\n"
