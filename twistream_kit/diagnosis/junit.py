"""The XML of JUnit, which programs for continuous integration read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree as ET

from twistream_kit.diagnosis.turn_figures import DEFINITIONS

_NO_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot hold; the far end may send them."""


def build_junit(
    name: str,
    cases: Mapping[str, str],
    seconds: float,
    text: str,
    skipped: Mapping[str, str] | None = None,
    values: Mapping[str, str] | None = None,
    *,
    times: Mapping[str, float] | None = None,
    details: Mapping[str, str] | None = None,
) -> str:
    """Return the XML of JUnit.

    Args:
        name: The name of the test suite.
        cases: What is wrong with each of its test cases, or empty, by their names.
        seconds: How long the call lasted.
        text: What is shown once, with the first failure.
        skipped: Why each of the cases that were not tried was not, by their names.
        values: What was measured in each of the cases, in words.  It is their output, and no part
            of their names, by which programs follow a test case from run to run.
        times: How long each case took, in seconds; 0 for one that is not in it.
        details: What is shown with the failure of each case, in place of `text`, which then is the
            output of the suite only.
    """
    skipped, values = skipped or {}, values or {}
    text = _NO_XML.sub("", text)
    suite = _make_suite(name, len(cases) + len(skipped), seconds)
    suite.set("failures", str(sum(map(bool, cases.values()))))
    suite.set("skipped", str(len(skipped)))
    once = text
    times = times or {}
    for case, failure in cases.items():
        element = _add_case(suite, case, times.get(case, 0.0))
        if failure:
            said = ET.SubElement(element, "failure", message=_NO_XML.sub("", failure))
            if details is not None:
                said.text = _NO_XML.sub("", details.get(case, "")) or None
            else:
                about = DEFINITIONS.get(case.partition(" ")[0], "")
                said.text = f"{about}\n{once}".strip()
                once = ""
        if value := values.get(case):
            ET.SubElement(element, "system-out").text = _NO_XML.sub("", value)
    for case, reason in skipped.items():
        ET.SubElement(_add_case(suite, case), "skipped", message=_NO_XML.sub("", reason))
    ET.SubElement(suite, "system-out").text = text
    return _write(suite)


def build_junit_error(name: str, case: str, error: BaseException) -> str:
    """Return the XML of JUnit with one test case, which could not be run.

    Args:
        name: The name of the test suite.
        case: The name of the test case.
        error: What prevented it.
    """
    suite = _make_suite(name, 1, 0.0)
    suite.set("errors", "1")
    message = _NO_XML.sub("", str(error))
    ET.SubElement(_add_case(suite, case), "error", message=message, type=type(error).__name__)
    return _write(suite)


def _make_suite(name: str, tests: int, seconds: float) -> ET.Element:
    counts = {"tests": str(tests), "failures": "0", "errors": "0", "skipped": "0"}
    named = {"name": _NO_XML.sub("", name), **counts, "time": f"{seconds:.3f}"}
    return ET.Element("testsuite", named)


def _add_case(suite: ET.Element, case: str, seconds: float = 0.0) -> ET.Element:
    about = {
        "classname": suite.get("name", ""),
        "name": case,
        "time": f"{seconds:.3f}".rstrip("0").rstrip("."),
    }
    return ET.SubElement(suite, "testcase", about)


def _write(suite: ET.Element) -> str:
    suites = ET.Element("testsuites")
    suites.append(suite)
    ET.indent(suites)
    document: bytes = ET.tostring(suites, encoding="utf-8", xml_declaration=True)
    return f"{document.decode()}\n"
