"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "twistream_kit"

REASON = "# sleeps: "
"""Marks the few places where a test has to let time itself pass, and says why."""


def sleeps(path: Path) -> list[int]:
    """Return the lines on which something awaits a sleep, other than `asyncio.sleep(0)`.

    `time.sleep` is banned by ruff; a sleep that is handed on stands for work.
    """
    nodes = list(ast.walk(ast.parse(path.read_text())))
    awaited = [node.value for node in nodes if isinstance(node, ast.Await)]
    return [call.lineno for call in awaited if isinstance(call, ast.Call) and _sleeps(call)]


def _sleeps(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    duration = call.args[0] if call.args else None
    return name == "sleep" and not (isinstance(duration, ast.Constant) and duration.value == 0)


def test_no_test_sleeps_without_saying_why() -> None:
    unexplained = []
    for path in TESTS.rglob("*.py"):
        lines = path.read_text().splitlines()
        unexplained += [(path.name, n) for n in sleeps(path) if REASON not in lines[n - 1]]
    assert unexplained == []


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
