"""Rules of the house that no linter knows."""

from __future__ import annotations

import ast
import functools
import re
import textwrap
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from twistream_kit.protocol.codes import TWILIO_CODES

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "twistream_kit"

OURS = [path for path in TESTS.rglob("*.py") if not re.fullmatch(r"[a-h]\d\d", path.stem)]
"""The code of the tests; `tests/cases` also holds programs of users, as they were."""


@functools.cache  # several rules look at each file
def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


REASON = "# sleeps: "
"""Marks the few places where a test has to let time itself pass, and says why."""


def sleeps(path: Path) -> list[int]:
    """Return the lines on which something awaits a sleep, other than `asyncio.sleep(0)`.

    `time.sleep` is banned by ruff; a sleep that is handed on stands for work.
    """
    nodes = list(ast.walk(parse(path)))
    awaited = [node.value for node in nodes if isinstance(node, ast.Await)]
    return [call.lineno for call in awaited if isinstance(call, ast.Call) and _sleeps(call)]


def _sleeps(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    duration = call.args[0] if call.args else None
    return name == "sleep" and not (isinstance(duration, ast.Constant) and duration.value == 0)


def test_no_test_sleeps_without_saying_why() -> None:
    unexplained = []
    for path in OURS:
        lines = path.read_text().splitlines()
        unexplained += [(path.name, n) for n in sleeps(path) if REASON not in lines[n - 1]]
    assert unexplained == []


CLOCK = re.compile(
    r"(^|\b(time|timeit)\.)(monotonic|perf_counter|process_time|thread_time|timeit|repeat)(_ns)?$"
    r"|^time\.time(_ns)?$|loop(\(\))?\.time$"
)
"""What gives a time, as it is called."""

MAY_MEASURE = re.compile(r"monotonic|perf_counter|_time|timeit|time\(|elapsed|took|delay|duration")
SAYS_DURATION = re.compile(r"(^|_)(elapsed|took|delays?|duration)($|_)")
LIMITS = {"soon", "until", "eventually", "wait_for", "timeout", "result"}
"""What waits for something, with its limit in seconds as the last argument."""

EXPECTED = {"raises", "suppress"}


def short_durations(text: str) -> list[int]:
    """Return the lines on which a test fails when something takes a second, in order.

    These are the assertions that compare a duration, which a clock has measured or whose name says
    that it is one, with an upper bound of a second or less; and the waits with such a limit, except
    where it is expected that they end by it.
    """
    tree = ast.parse(text)
    known = {
        target.id: node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign)
        for target in node.targets
        if isinstance(target, ast.Name) and isinstance(node.value, ast.Constant)
    }
    measured = _measured(tree) if MAY_MEASURE.search(text) else set()
    found = [
        compared.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Assert)
        for compared in ast.walk(node.test)
        if isinstance(compared, ast.Compare) and _is_short(compared, measured, known)
    ]
    expected = {
        inside
        for node in ast.walk(tree)
        if isinstance(node, ast.With | ast.AsyncWith)
        if any(_name(item.context_expr) in EXPECTED for item in node.items)
        for inside in ast.walk(node)
    }
    expected |= {
        inside
        for node in ast.walk(tree)
        if isinstance(node, ast.Try) and any(_goes_on(handler) for handler in node.handlers)
        for statement in node.body
        for inside in ast.walk(statement)
    }
    found += [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and _name(node) in LIMITS and node not in expected
        if node.args and 0 < _seconds(node.args[-1], known) < 1
    ]
    return sorted(found)


def _goes_on(handler: ast.ExceptHandler) -> bool:
    """Whether a wait may end by its limit, after which the test does the same again."""
    return getattr(handler.type, "id", "") == "TimeoutError" and all(
        isinstance(each, ast.Pass | ast.Continue) for each in handler.body
    )


def _measured(tree: ast.Module) -> set[str]:
    """Return the names of what holds a time of a clock, or what was made from one."""
    names: set[str] = set()
    before = -1
    while len(names) > before:
        before = len(names)
        for node in ast.walk(tree):
            match node:
                case ast.Assign(targets=targets, value=value) if _is_measured(value, names):
                    names |= {
                        each.id
                        for target in targets
                        for each in (target.elts if isinstance(target, ast.Tuple) else [target])
                        if isinstance(each, ast.Name)
                    }
                case ast.Call(func=ast.Attribute(value=ast.Name(id=name), attr="append")):
                    names |= {name} if any(_is_measured(arg, names) for arg in node.args) else set()
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    given = [each for each in ast.walk(node) if isinstance(each, ast.Return)]
                    given += [each for each in ast.walk(node) if isinstance(each, ast.Yield)]
                    if any(each.value and _is_measured(each.value, names) for each in given):
                        names.add(node.name)
    return names


def _is_measured(node: ast.AST, names: set[str]) -> bool:
    return any(
        (isinstance(each, ast.Call) and _is_clock(each.func))
        or (isinstance(each, ast.Name) and (each.id in names or SAYS_DURATION.search(each.id)))
        or (isinstance(each, ast.Attribute) and SAYS_DURATION.search(each.attr))
        for each in ast.walk(node)
    )


@functools.cache  # of a node, which is looked at for each name that is found
def _is_clock(called: ast.expr) -> bool:
    return CLOCK.search(ast.unparse(called)) is not None


def _is_short(compared: ast.Compare, measured: set[str], known: dict[str, ast.expr]) -> bool:
    sides = [compared.left, *compared.comparators]
    for operator, (left, right) in zip(compared.ops, pairwise(sides), strict=True):
        if isinstance(operator, ast.Gt | ast.GtE):
            left, right = right, left
        if not _is_measured(left, measured):
            continue
        if isinstance(operator, ast.Lt | ast.LtE | ast.Gt | ast.GtE):
            if 0 < _seconds(right, known) <= 1:
                return True
        elif isinstance(operator, ast.Eq) and _name(right) == "approx":
            return True
    return False


def _seconds(node: ast.expr, known: dict[str, ast.expr]) -> float:
    """Return the number that an expression is; 0 when it is not known."""
    node = known.get(node.id, node) if isinstance(node, ast.Name) else node
    is_number = isinstance(node, ast.Constant) and isinstance(node.value, int | float)
    return node.value if is_number else 0


def _name(node: ast.AST) -> str:
    """Return the last part of the name of what is called."""
    called = node.func if isinstance(node, ast.Call) else None
    return called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")


@pytest.mark.parametrize(
    "lines",
    [
        "began = time.monotonic()\nwork()\nassert time.monotonic() - began < 0.5",
        "began = loop.time()\nassert 0.1 < (loop.time() - began) / 2 <= 0.002",
        "costs = []\ncosts.append(time.perf_counter())\nassert 50e-6 > np.median(costs)",
        "LIMIT = 0.15\ndelays = [each.delay for each in ended]\nassert max(delays) < LIMIT",
        "took = work()\nassert took == pytest.approx(3, abs=0.2)",
        "one, other = [time.process_time()] * 2\nassert (one - other) / 2 < 1.0",
        "def cost():\n    yield time.thread_time()\nassert sum(cost()) < 0.9",
        "assert await asyncio.wait_for(pending, 0.5) == 1",
        "async with asyncio.timeout(0.1):\n    await work()",
        "assert pending.result(0.01) == 1",
        "try:\n    pending.result(0.01)\nexcept TimeoutError:\n    pytest.fail('late')",
    ],
)
def test_short_durations_are_found(lines: str) -> None:
    assert len(short_durations(lines)) == 1


@pytest.mark.parametrize(
    "lines",
    [
        "began = time.monotonic()\nassert time.monotonic() - began < 8",
        "began = time.monotonic()\nassert time.monotonic() - began >= 0.4",
        "began = time.monotonic()\nassert began < ended",
        "assert clip.seconds < 0.2",
        "with pytest.raises(TimeoutError):\n    await asyncio.wait_for(pending, 0.01)",
        "for p in ps:\n    try:\n        p.result(0.01)\n    except TimeoutError:\n        pass",
        "assert pending.result(0) == 1",
        "assert await soon(pending) == 1",
    ],
)
def test_what_holds_on_a_busy_machine_is_no_short_duration(lines: str) -> None:
    assert short_durations(lines) == []


def test_no_test_fails_because_something_took_a_second() -> None:
    found = [
        (str(path.relative_to(TESTS)), line)
        for path in OURS
        for line in short_durations(path.read_text())
    ]
    assert found == [], "count events instead, or show the figure in benchmarks/"


MOST_LINES_TWICE = 3
"""So long, with its ``def``, may be what two modules both write."""


def helpers(text: str, most: int = MOST_LINES_TWICE) -> Iterator[tuple[str, str]]:
    """Give the name and the code of each long helper of a module, whatever it is said to be."""
    body = ast.parse(text).body
    methods = [each for node in body if isinstance(node, ast.ClassDef) for each in node.body]
    for node in [*body, *methods]:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if node.name.startswith("test_"):
            continue
        body = node.body[1:] if ast.get_docstring(node) is not None else node.body
        if body and body[-1].end_lineno - body[0].lineno + 2 > most:
            yield node.name, ast.unparse(ast.Module([node.args, *body], []))


def twice(texts: dict[str, str], most: int = MOST_LINES_TWICE) -> list[tuple[str, list[str]]]:
    """Return each helper that modules share by repeating it, with these modules."""
    places = defaultdict(list)
    for module, text in texts.items():
        for helper in helpers(text, most):
            places[helper].append(module)
    return [(name, modules) for (name, _), modules in places.items() if len(modules) > 1]


def test_a_helper_written_twice_is_found_whatever_its_docstring() -> None:
    one = "def f(a):\n    'One.'\n    b = a\n    c = b  # so\n    return c\n"
    other = "@fixture\ndef f(a):\n    b = a\n\n    c = b\n    return c\n"
    assert twice({"one": one, "other": other}) == [("f", ["one", "other"])]
    assert twice({"one": one, "other": other.replace("c = b", "c = 2")}) == []
    assert twice({"one": one, "other": other.replace("f(a)", "g(a)")}) == []
    in_class = "class C:\n" + textwrap.indent(other, "    ")
    assert twice({"one": one, "other": in_class}) == [("f", ["one", "other"])]


def test_no_two_modules_write_the_same_helper() -> None:
    found = twice({str(path.relative_to(TESTS)): path.read_text() for path in OURS})
    assert found == [], "put it into tests/support, or a fixture into a conftest.py"


def test_no_two_modules_of_the_package_write_the_same_function() -> None:
    texts = {str(path.relative_to(PACKAGE)): path.read_text() for path in PACKAGE.rglob("*.py")}
    # Two widgets close in the same three lines, each with a docstring that users see.
    assert twice(texts, 4) == [], "put it where the lower of the two can import it from"


def test_each_number_of_twilio_s_has_one_name() -> None:
    """And so do the other constants of `protocol` that are a rule of Twilio's."""
    names = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for node in parse(path).body:
            if not isinstance(node, ast.Assign):
                continue
            said = ast.unparse(node.value).replace("_", "")
            is_code = said.isdecimal() and int(said) in TWILIO_CODES
            if is_code or "{6,14}" in said or said.startswith("('initiated'"):
                names[said].append(f"{path.name}: {ast.unparse(node.targets[0])}")
    assert len(names) >= 10
    assert [each for each in names.values() if len(each) > 1] == []


def test_the_wire_format_lives_in_the_protocol_layer_alone() -> None:
    for layer in ("live", "notebook", "audio"):
        for path in (PACKAGE / layer).rglob("*.py"):
            text = path.read_text()
            assert "streamSid" not in text, path
            assert "json.loads" not in text, path


def test_no_module_prints_but_the_command_line() -> None:
    for path in PACKAGE.rglob("*.py"):
        if path == PACKAGE / "commands" / "terminal.py":
            continue
        for node in ast.walk(parse(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                assert node.func.id != "print", path
