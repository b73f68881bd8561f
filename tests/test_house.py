"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "twistream_kit"

REASON = "# sleeps: "
"""Marks the few places where a test has to let time itself pass, and says why."""


def sleeps(path: Path) -> list[int]:
    """Return the lines on which something sleeps, other than `asyncio.sleep(0)`."""
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    return [call.lineno for call in calls if _sleeps(call)]


def _sleeps(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    duration = call.args[0] if call.args else None
    return name == "sleep" and not (isinstance(duration, ast.Constant) and duration.value == 0)


def test_no_test_sleeps_without_saying_why() -> None:
    for path in TESTS.rglob("*.py"):
        lines = path.read_text().splitlines()
        unexplained = [number for number in sleeps(path) if REASON not in lines[number - 1]]
        assert unexplained == [], path


def test_the_wire_format_lives_in_the_protocol_layer_alone() -> None:
    for layer in ("live", "notebook", "audio"):
        for path in (PACKAGE / layer).rglob("*.py"):
            text = path.read_text()
            assert "streamSid" not in text, path
            assert "json.loads" not in text, path


def test_no_module_prints_but_the_command_line() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path.name == "__main__.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", path
