"""The words of the package are those an engineer of telephony or asyncio can search for.

Run as a program, it prints the places that are wrong, also where work is still to be done::

    python tests/test_words.py twistream_kit/audio README.md
"""

from __future__ import annotations

import ast
import functools
import io
import json
import re
import sys
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parent
ROOT = TESTS.parent
PACKAGE = ROOT / "twistream_kit"
EXAMPLES = ROOT / "examples"


class Word(NamedTuple):
    """A word that is not used.

    Attributes:
        instead: What is said instead.
        name: A pattern of the words of an identifier, in lower case with spaces; or empty.
        prose: A pattern of running text, or None for that of names.
        under: The folder in which alone it is not used.
    """

    instead: str
    name: str
    prose: str | None = None
    under: str = ""


WORDS = {
    "judge": Word("check, examine", r"judg\w+"),
    "exchange": Word("call context, request", r"exchang\w+"),
    "keeper": Word("lifespan", r"keepers?"),
    "happening": Word("activity", r"happenings?"),
    "event log": Word("activity log", r"event logs?", r"event[ _]logs?"),
    "passage": Word("relay", r"passages?"),
    "crossing": Word("proxy connection", r"crossings?"),
    "story": Word("report, description", r"story|stories"),
    "gate": Word("authorization, admission", r"gates?"),
    "leftovers": Word("exit hooks", r"leftovers?"),
    "findings": Word("violations", r"findings?", under="twistream_kit/live"),
    "discreet": Word("redacting", r"discreet(ly)?"),
    "lead": Word(
        "send-ahead",
        r"lead",
        r"(a|an|the|this|that|its|our|your|their|no|of|short|long|least|longest|shortest)\s+lead"
        r"|lead(_\w+| of)",
    ),
    "pace": Word("timing, rate", r"pac(e|es|ed)"),
    "listening": Word("rendering", r"^listening$", ""),
    "player": Word("TwiML interpreter", r"players?", under="twistream_kit/simulator"),
    "status book": Word("StatusLog", r"status books?"),
    "lookalike": Word("FileKind", r"look ?alikes?"),
    "death": Word("end, exit, wait_closed()", r"deaths?"),
    "hush": Word("stop()", r"hush(es|ed)?"),
    "knock": Word("probe()", r"knock(s|ed|ing)?"),
    "told": Word("notified, called, recognised; transcript", r"told"),
    "untold": Word("left out", r"untold"),
    "trouble": Word("error; disconnect_reason", r"troubl(e|es|ed)"),
    "workshop": Word("executor", r"workshops?"),
    "whoever": Word("the one who, a caller that", r"who(so)?ever|whomever"),
    "likeliest": Word("most likely", r"likeliest"),
    "goodbye": Word("close, closing handshake", r"goodbyes?"),
    "live the whole call": Word("run until the call ends", "", r"lives? the whole call"),
}
"""Left what is not used, right what is."""

CLASSES = {"Way": "a direction", "Wanted": "TunnelRequest", "Found": "SettingValue"}
"""Names of classes that say nothing; as words of a sentence they are fine."""

_HTML = "twistream_kit/notebook/display/html.py"

_HOST = "twistream_kit/live/server/stream_host.py"

_EXCEPTIONS = {
    ("no verb", _HTML): "a builder has the name of the element that it builds, as in HTML itself",
    ("lead", "CHANGELOG.md"): "it says what a name was before",
    ("no verb", "twistream_kit/simulator/_stoppable_run.py"): "the name that a Future has",
    ("no verb", _HOST): "public names of the two servers that stand on it",
    ("pace", "CHANGELOG.md"): "it says what a name was before",
    ("pace", "twistream_kit/notebook/display/handles.py"): "a class of the simulator has that name",
    ("story", "CHANGELOG.md"): "it says what a name was before",
    ("told", "CHANGELOG.md"): "it says what a name was before",
    ("trouble", "CHANGELOG.md"): "it says what a name was before",
    ("goodbye", "notebooks/tutorial.ipynb"): "it is what is spoken",
    ("goodbye", "notebooks/measure_a_conversation.ipynb"): "it is what is spoken",
    ("goodbye", "sample_audio/README.md"): "it is what is spoken",
}
"""Where a word stays, and why: few."""

_STILL_TO_DO: tuple[str, ...] = ()
"""Files and folders whose words have not been gone through yet.  This shrinks until it is empty."""

_TEXTS = {".css", ".html", ".js", ".md", ".toml"}
NOTEBOOK = ".ipynb"


class Place(NamedTuple):
    """Where something is wrong."""

    path: str
    line: int
    word: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.word}: {self.text}"


def split_name(name: str) -> str:
    """Return the words of an identifier in lower case, with spaces between them.

    >>> split_name("_TheStatusBook_of")
    'the status book of'
    """
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|_+", " ", name)
    return " ".join(spaced.lower().split())


def _words_in_name(name: str, path: str) -> Iterator[str]:
    for word in _words_in_name_anywhere(name):
        if path.startswith(WORDS[word].under):
            yield word


@functools.cache  # a name stands in many places
def _words_in_name_anywhere(name: str) -> tuple[str, ...]:
    words = split_name(name)
    return tuple(
        word
        for word, rule in WORDS.items()
        if rule.name and re.search(rf"\b({rule.name})\b", words)
    )


_NAME = re.compile(r"[A-Za-z_]\w*")


def _words_in_prose(text: str, path: str) -> Iterator[tuple[int, str]]:
    """Yield the offset of each word in a text, in which names stand too."""
    whole = text.strip("\"'bfrBFR")
    if _NAME.fullmatch(whole):
        yield from ((0, word) for word in _words_in_name(whole, path))
        return
    for found in _NAME.finditer(text):
        if "_" in found[0].strip("_") or re.search("[a-z][A-Z]", found[0]):
            yield from ((found.start(), word) for word in _words_in_name(found[0], path))
    for word, rule in WORDS.items():
        pattern = rule.name if rule.prose is None else rule.prose
        if pattern and path.startswith(rule.under):
            spaced = re.sub(" ", r"\\s+", pattern)
            for found in re.finditer(rf"\b({spaced})\b", text, re.IGNORECASE):
                yield found.start(), word


def _is_prose(token: tokenize.TokenInfo) -> bool:
    middle = getattr(tokenize, "FSTRING_MIDDLE", None)  # from Python 3.12 on
    return token.type in {tokenize.STRING, tokenize.COMMENT, middle}


def words_in_python(text: str, path: str, *, prose: bool = True) -> Iterator[Place]:
    """Yield the words of names and, if wanted, of strings and comments that are not used."""
    yield from dict.fromkeys(_words_in_tokens(text, path, prose=prose))


def _words_in_tokens(text: str, path: str, *, prose: bool) -> Iterator[Place]:
    lines = text.splitlines()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        found: list[tuple[int, str]] = []
        if token.type == tokenize.NAME:
            found = [(0, word) for word in _words_in_name(token.string, path)]
            found += [(0, token.string.strip("_"))] * (token.string.strip("_") in CLASSES)
        elif prose and _is_prose(token):
            found = [*_words_in_prose(token.string, path)]
        for offset, word in found:
            line = token.start[0] + token.string[:offset].count("\n")
            yield Place(path, line, word, lines[line - 1].strip())


def read_markdown(notebook: str) -> str:
    """Return the Markdown of a notebook; its lines are not those of the file."""
    cells = json.loads(notebook)["cells"]
    return "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def words_in_file(path: Path) -> Iterator[Place]:
    """Yield the words of a file, and of its own name, that are not used."""
    shown = path.relative_to(ROOT).as_posix()
    for part in (path.stem, path.parent.name):
        for word in _words_in_name(part, shown):
            yield Place(shown, 0, word, "the name of the file or folder")
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        prose = path.is_relative_to(PACKAGE) or path.is_relative_to(EXAMPLES)
        yield from words_in_python(text, shown, prose=prose)
    else:
        if path.suffix == NOTEBOOK:
            text = read_markdown(text)
        lines = text.splitlines()
        for offset, word in _words_in_prose(text, shown):
            line = text[:offset].count("\n") + 1
            yield Place(shown, line, word, lines[line - 1].strip())


# Functions are verbs.

_VERBS = frozenset(
    re.findall(
        r"\w+",
        """
    abort accept act add admit adopt advance allow announce answer append apply approve arrange
    readinto ask assemble attach await beat become begin block break build cache call cancel capture
    carry cast catch change check choose claim classify clean clear close collect combine
    compare compile complain complete compute connect consume contain converse convert copy
    correct correlate count create cut date decide declare decode defer delegate delete deliver
    deny derive
    describe detach detect determine dial differ discard disconnect dispatch divide do
    download drain draw drop dump dumps echo elide emit encode end enqueue enter escape
    estimate examine execute expand expect explain extend extract fail feed fetch fill
    filter find finish fit flush fold follow forget format forward fulfil get give group
    guard handle hang hash have hear hide hurry identify ignore import indent insert inspect
    install intercept interpolate interpret interrupt invoke iterate join keep kill label
    launch leak learn leave let limit link list listen load locate log look lose make map
    mark mask match mean measure merge mix move multiply name need normalise note notify
    obey object obtain offer omit open order own pad parse pass pause perform pick place
    play plot poll prepare press pretend print probe proceed produce promise prompt prove provide
    publish push put quote raise rank reach read rebuild receive recognise reconcile record
    redact redirect reduce refresh refuse register reject relax relay release reload
    remember remove rename render repair repeat replace replay reply report represent request
    require resample resemble reset resolve respond restart restore resume retire retry
    return reuse reveal review rewrite ring round route run sanitise save say schedule scrub
    search seek select send separate serialize serve set settle share shed shift shorten show shrink
    sign signal simulate skip sort spawn speak split stand start stay step stop store stretch
    strip submit subscribe subtract succeed suggest summarise support suspect swallow swap
    switch take tell test thin throw tick tighten tokenize trace track transcribe translate
    trim trust try turn undo unfollow unmask unpack unregister unwrap update upgrade use
    validate vary verify visit vouch wait wake walk want warn watch widen wind withdraw wrap
    write yield
    """,
    )
)
"""With these a function may begin: they say what it does."""

_CONVERSIONS = {"as", "from", "to", "on", "is", "has", "can", "may", "must", "needs"}
"""With these it may begin too: what it makes of something, when it is called, what it asks."""

_OVERRIDDEN = {
    "connection_made",
    "connection_lost",
    "data_received",
    "eof_received",
    "handshake",
    "main",
    "process_event",
}
"""Names that asyncio, websockets or a habit of every program gives to what is called."""


def nouns_in_file(path: Path) -> Iterator[Place]:
    """Yield the functions whose names do not begin with a verb.

    Properties and fixtures are named by nouns, and public names are a contract.  A function that
    returns a bool may begin with a verb in the third person.
    """
    shown = path.relative_to(ROOT).as_posix()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    owners = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    for node in ast.walk(tree):
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        decorators = " ".join(ast.unparse(each) for each in node.decorator_list)
        if re.search(r"property|\.setter|fixture", decorators) or node.name in _OVERRIDDEN:
            continue
        if re.fullmatch(
            r"__\w+__|_repr_\w+_|_ipython_display_|_render_traceback_|pytest_\w+", node.name
        ):
            continue
        if _is_public(node, owners[node]):
            continue
        first = split_name(node.name).split(" ")[0]
        returned = ast.unparse(node.returns) if node.returns is not None else ""
        if first in _VERBS or first in _CONVERSIONS:
            continue
        if re.match(r"bool|TypeGuard|TypeIs", returned) and _without_ending(first) & _VERBS:
            continue
        yield Place(shown, node.lineno, "no verb", node.name)


def _without_ending(verb: str) -> set[str]:
    """Return what a verb in the third person may be in the infinitive."""
    return {verb.removesuffix("s"), verb.removesuffix("es"), verb.removesuffix("ies") + "y"}


@functools.cache
def _public_names() -> frozenset[str]:
    """Return the names that stand in the tables of the root, without importing it."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    return frozenset(
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Dict)
        for each in ast.walk(node)
        if isinstance(each, ast.Constant) and isinstance(each.value, str)
        for name in each.value.split()
    )


def _is_public(node: ast.FunctionDef | ast.AsyncFunctionDef, owner: ast.AST) -> bool:
    if node.name.startswith("_"):
        return False
    home = owner.name if isinstance(owner, ast.ClassDef) else node.name
    return home in _public_names()


# Each class has a name of its own.

_TWICE = {"Mark", "Media"}
"""Both directions have these: so they are named on the wire."""


def classes_twice(paths: list[Path]) -> dict[str, list[str]]:
    """Return the names that more than one class has, with the files in which they stand."""
    places = defaultdict(list)
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                places[node.name.strip("_")].append(path.relative_to(ROOT).as_posix())
    return {name: each for name, each in places.items() if len(each) > 1 and name not in _TWICE}


def _files(*roots: Path) -> list[Path]:
    kept = {".py", NOTEBOOK, *_TEXTS}
    return sorted(
        path
        for root in roots
        for path in ([root] if root.is_file() else root.rglob("*"))
        if path.suffix in kept and path != Path(__file__) and "golden/expected" not in str(path)
    )


def _modules() -> list[Path]:
    return [path for path in _files(PACKAGE) if path.suffix == ".py"]


def _is_done(path: str) -> bool:
    return not any(path == each or path.startswith(f"{each}/") for each in _STILL_TO_DO)


def _is_excepted(place: Place) -> bool:
    return (place.word, place.path) in _EXCEPTIONS


PAGES = (
    ROOT / "README.md", ROOT / "CHANGELOG.md", ROOT / "docs" / "how-to", ROOT / "docs" / "index.md",
    ROOT / "docs" / "OVERVIEW.md", ROOT / "docs" / "SIMULATOR.md", ROOT / "docs" / "PRODUCTION.md",
    ROOT / "sample_audio" / "README.md", *sorted((ROOT / "notebooks").glob(f"*{NOTEBOOK}")),
)  # fmt: skip
ALL = (PACKAGE, TESTS, EXAMPLES, ROOT / "benchmarks", *PAGES)


@functools.cache
def _all_words() -> list[Place]:
    return [place for path in _files(*ALL) for place in words_in_file(path)]


@functools.cache
def _all_nouns() -> list[Place]:
    return [place for path in _modules() for place in nouns_in_file(path)]


def _wrong(places: list[Place]) -> list[str]:
    return [str(each) for each in places if _is_done(each.path) and not _is_excepted(each)]


def test_no_word_of_our_own_stands_where_a_standard_one_exists() -> None:
    wrong = _wrong(_all_words())
    assert wrong == [], "\n".join(wrong)


def test_words_of_notebooks_are_those_of_their_markdown() -> None:
    cells = [
        {"cell_type": "markdown", "source": ["Whoever calls\n", "is greeted."]},
        {"cell_type": "code", "source": ["told = 1"]},
    ]
    assert read_markdown(json.dumps({"cells": cells})) == "Whoever calls\nis greeted."


def test_functions_are_verbs() -> None:
    wrong = _wrong(_all_nouns())
    assert wrong == [], "name what it does, or add a verb to _VERBS:\n" + "\n".join(wrong)


def test_exceptions_are_needed() -> None:
    found = {(each.word, each.path) for each in [*_all_words(), *_all_nouns()]}
    assert {*_EXCEPTIONS} - found == set(), "these exceptions are needed no more"


def test_each_class_has_a_name_of_its_own() -> None:
    assert classes_twice(_modules()) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def judge_it(): pass", ["judge"]),
        ("class StatusBook: pass", ["status book"]),
        ("class _Way: pass", ["Way"]),
        ("lead_seconds = 1", ["lead"]),
        ("page = {'lead': 1}", ["lead"]),
        ("text = f'{a} has the least\\n lead of {b}'", ["lead"]),
        ('"""See `lead_seconds`."""', ["lead"]),
        ('"""Both the\n    lead, and more."""', ["lead"]),
        ("x = 1  # whoever is told of it", ["told", "whoever"]),
        ("isListening = listening = 1", ["listening"]),
        ("def knock(): 'Live the whole\\ncall.'", ["knock"]),
    ],
)
def test_words_are_found(text: str, words: list[str]) -> None:
    assert [each.word for each in words_in_python(text, "a.py")] == words


@pytest.mark.parametrize(
    "text",
    [
        "the_gateway = aggregate = history = 1",
        "'it leads to the server, and may lead here'",
        "'a socket is listening on port 80'  # Found on the way, and wanted",
        "findings = player = 1",
        "event, log = 1, 2",
    ],
)
def test_standard_words_are_left_alone(text: str) -> None:
    assert [*words_in_python(text, "twistream_kit/audio/a.py")] == []


def _main(arguments: list[str]) -> None:
    roots = [Path(each).resolve() for each in arguments]
    chosen = _files(*(roots or ALL))
    for path in chosen:
        places = [*words_in_file(path)]
        if path.suffix == ".py" and path.is_relative_to(PACKAGE):
            places += nouns_in_file(path)
        sys.stdout.writelines(f"{each}\n" for each in places if not _is_excepted(each))
    shown = {path.relative_to(ROOT).as_posix() for path in chosen}
    for name, homes in classes_twice(_modules()).items():
        if shown & {*homes}:
            sys.stdout.write(f"class {name}: {', '.join(homes)}\n")


if __name__ == "__main__":
    _main(sys.argv[1:])
