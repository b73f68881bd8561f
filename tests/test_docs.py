"""The documents of the repository: what they cite exists, and what cites them finds it."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from twistream_kit.protocol.codes import TWILIO_CODES
from twistream_kit.protocol.playout import CAPACITY_SECONDS
from twistream_kit.simulator.model import assumptions

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "twistream_kit"
PROTOCOL = "docs/PROTOCOL.md"
SIMULATOR = "docs/SIMULATOR.md"

SIGN = "\N{SECTION SIGN}"
"""Never written out in this file, whose examples would be taken for citations."""

NOT_OURS = {"__pycache__", "build", "dist"}
"""Folders that programs make; so are those whose name begins with a dot, but for these:"""

OURS = {".ci", ".github"}


def texts() -> Iterator[tuple[str, str]]:
    """Give the path and the content of every text file of the repository."""
    for folder, folders, names in os.walk(ROOT):
        folders[:] = sorted(
            name
            for name in folders
            if name in OURS
            or not (
                name.startswith(".")
                or name in NOT_OURS
                or name.endswith(".egg-info")
                or Path(folder, name, "pyvenv.cfg").exists()
            )
        )
        for name in sorted(names):
            path = Path(folder, name)
            try:
                yield path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")
            except (UnicodeDecodeError, OSError):  # no text, or the .git of a worktree
                continue


TEXTS = dict(texts())
PAGES = {path: text for path, text in TEXTS.items() if path.endswith(".md")}


# Citations of sections ----------------------------------------------------------------------

_GAP = r"[\s#*/]*"
"""Between two words of a citation: a line may end there, and the next begin as a comment."""

_CITATION = re.compile(
    r"(?P<document>RFC\s\d+|EBU Tech\s\d+|ISO/IEC\s[\d-]+|[GPQ]\.\d+|(?<![\w/])[\w/.-]*\w\.md)?"
    rf"{_GAP}{SIGN}(?P<number>\d+(?:\.\d+)*)"
    rf"(?:,?{_GAP}items?{_GAP}(?P<item>\d+)(?:{_GAP}and{_GAP}(?P<other>\d+))?)?"
)
_JOINED = re.compile(rf"[,;]?{_GAP}(?:and|or|to)?{_GAP}")
"""Between citations of one document, which is named once."""


@dataclass(frozen=True, slots=True)
class Citation:
    """A place that a text sends its reader to; `document` is empty where none is named."""

    document: str
    number: str
    items: tuple[int, ...] = ()

    def __str__(self) -> str:
        items = "".join(f" item {item}" for item in self.items)
        return f"{self.document} {SIGN}{self.number}{items}".strip()


def citations(text: str) -> Iterator[tuple[int, Citation]]:
    """Give each citation of a text with the line that it is on."""
    end, document = -1, ""
    for match in _CITATION.finditer(text):
        if match["document"]:
            document = " ".join(match["document"].split())
        elif end < 0 or not _JOINED.fullmatch(text, end, match.start()):
            document = ""
        end = match.end()
        items = tuple(int(item) for item in match.group("item", "other") if item)
        yield text.count("\n", 0, end) + 1, Citation(document, match["number"], items)


@dataclass(slots=True)
class Sections:
    """The numbered headings of a page, and the numbered entries and rows below each."""

    headings: set[str] = field(default_factory=set)
    items: dict[str, set[int]] = field(default_factory=dict)

    def holds(self, citation: Citation) -> bool:
        number, items = citation.number, citation.items
        above, _, row = number.rpartition(".")
        is_heading = number in self.headings
        is_row = above == "10" and int(row) in self.items.get(above, ())
        return (is_heading or is_row) and set(items) <= self.items.get(number, set())


def sections(page: str) -> Sections:
    found, number = Sections(), ""
    for line in without_fences(page).splitlines():
        if heading := re.match(r"#+ (\d+(?:\.\d+)*)?", line):
            number = heading[1] or ""
            found.headings.add(number)
        elif item := re.match(r"(?:\| )?(\d+)(?:\.| \|) ", line):
            found.items.setdefault(number, set()).add(int(item[1]))
    return found


def without_fences(page: str) -> str:
    """Return a page with the lines of its fenced blocks emptied."""
    return re.sub(
        r"^```.*?^```$",
        lambda block: "\n" * block[0].count("\n"),
        page,
        flags=re.DOTALL | re.MULTILINE,
    )


NUMBERED = {path: sections(text) for path, text in PAGES.items() if path.startswith("docs/")}
SHORT_NAMES = {path.rpartition("/")[2]: path for path in NUMBERED}


def leads_nowhere(citation: Citation) -> bool:
    """Whether it is one of this repository's documents that lacks the section."""
    document = citation.document or PROTOCOL
    if not document.endswith(".md"):
        return False  # a standard, which is not for us to number
    page = NUMBERED.get(SHORT_NAMES.get(document, document))
    return page is None or not page.holds(citation)


def test_every_citation_leads_to_a_section() -> None:
    lost = [
        f"{path}:{line}: {citation}"
        for path, text in TEXTS.items()
        for line, citation in citations(text)
        if leads_nowhere(citation)
    ]
    assert lost == [], f"without a document's name, a citation is one of {PROTOCOL}"


def test_there_are_citations_in_each_kind_of_file() -> None:
    cited = {path for path, text in TEXTS.items() if any(citations(text))}
    assert PROTOCOL in cited
    for place in ("twistream_kit/protocol/codes.toml", "tests/simulator/", "twistream_kit/live/"):
        assert any(path.startswith(place) for path in cited), place


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("(PROTOCOL.md @2.2 and @7)", ["PROTOCOL.md @2.2", "PROTOCOL.md @7"]),
        ("as in docs/NOTEBOOKS.md @3, here", ["docs/NOTEBOOKS.md @3"]),
        ("RFC 9112 @2.2, @5.2; RFC 9110 @5.5", ["RFC 9112 @2.2", "RFC 9112 @5.2", "RFC 9110 @5.5"]),
        ("RFC 6455 @5.  It closes (@2.3).", ["RFC 6455 @5", "@2.3"]),
        ("# see PROTOCOL.md\n    # @9, items 3 and 11", ["PROTOCOL.md @9 item 3 item 11"]),
        ("codes @5.1 to\n@5.3", ["@5.1", "@5.3"]),
        ("a bare @ is none", []),
    ],
)
def test_citations_are_read_with_their_document(text: str, found: list[str]) -> None:
    read = [str(citation) for _, citation in citations(text.replace("@", SIGN))]
    assert read == [each.replace("@", SIGN) for each in found]


@pytest.mark.parametrize(
    "text",
    [
        "@2.9", "@12", "@10.99", "@9 item 99", "@10 item 99", "@2 item 1", "docs/NOWHERE.md @1",
        "PROTOCOL.md @5.5", "RFC 6455 @5 is one. @13",
    ],
)  # fmt: skip
def test_citations_that_point_nowhere_are_found(text: str) -> None:
    read = [citation for _, citation in citations(text.replace("@", SIGN))]
    assert leads_nowhere(read[-1])


@pytest.mark.parametrize("text", ["@0.2", "@10.2", "@10.3", "@10.40", "@10 item 1", "@9 item 34"])
def test_headings_rows_and_entries_are_found(text: str) -> None:
    [(_, citation)] = citations(text.replace("@", SIGN))
    assert not leads_nowhere(citation)


def test_no_text_names_a_document_that_is_not_in_the_repository() -> None:
    # Written in two parts, as this file is one of the texts.
    outside = [f"{name}.md" for name in ("JUPYTER", "DESIGN", "HOUSE", "STYLE", "FAULTS")]
    named = [(path, name) for path, text in TEXTS.items() for name in outside if name in text]
    assert named == [], "what the reader needs of it belongs into docs/"


# Links and paths ----------------------------------------------------------------------------

_LINK = re.compile(r"\]\(([^)\s]+)\)")
_PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+/?)`")


def anchors(page: str) -> set[str]:
    """Return the names by which GitHub lets the headings of a page be linked."""
    names: set[str] = set()
    for heading in re.findall(r"^#+ (.*)$", without_fences(page), re.MULTILINE):
        name = re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")
        names.add(name if name not in names else f"{name}-1")
    return names


def broken_links(path: str, page: str) -> list[str]:
    broken = []
    for target in _LINK.findall(without_fences(page)):
        if re.match(r"[a-z]+:", target):
            continue
        place, _, anchor = target.partition("#")
        file = (ROOT / path).parent / place
        is_there = file.exists()
        if is_there and anchor:
            is_there = anchor in anchors(file.read_text(encoding="utf-8") if place else page)
        if not is_there:
            broken.append(target)
    return broken


@pytest.mark.parametrize("path", PAGES)
def test_relative_links_point_to_files_and_headings(path: str) -> None:
    assert broken_links(path, PAGES[path]) == []


def test_broken_links_are_found() -> None:
    page = f"# A page\n[a](nowhere.md) [b](#b) [c](../{PROTOCOL}#7-nothing) [d](#a-page)"
    assert broken_links("docs/page.md", page) == ["nowhere.md", "#b", f"../{PROTOCOL}#7-nothing"]


def missing_paths(page: str) -> list[str]:
    """Return what a page names as files of the repository, or of the package, and is not there."""
    places = [path for path in _PATH.findall(without_fences(page)) if _is_ours(path)]
    return [place for place in places if not any((at / place).exists() for at in (ROOT, PACKAGE))]


def _is_ours(path: str) -> bool:
    first = path.partition("/")[0]
    return first not in NOT_OURS and any((at / first).is_dir() for at in (ROOT, PACKAGE))


@pytest.mark.parametrize("path", [path for path in PAGES if path != "CHANGELOG.md"])
def test_files_that_a_page_names_are_there(path: str) -> None:
    assert missing_paths(PAGES[path]) == []


def test_missing_files_are_found() -> None:
    page = "`tests/test_docs.py` `tests/none.py` `audio/clip.py` `audio/none.py` `wss/none.py`"
    assert missing_paths(page) == ["tests/none.py", "audio/none.py"]


# The page and the program -------------------------------------------------------------------


def test_the_tables_of_codes_hold_what_the_program_explains_and_nothing_else() -> None:
    pages = dict.fromkeys(("5.1", "5.2", "5.3"), "")
    number = ""
    for line in PAGES[PROTOCOL].splitlines():
        if heading := re.match(r"#+ (\S+)", line):
            number = heading[1]
        elif number in pages and (row := re.match(r"\| ([\d, ]+) \|", line)):
            pages[number] += f" {row[1]}"
    written = {
        (number, int(code)) for number, row in pages.items() for code in re.findall(r"\d+", row)
    }
    explained = {(code.section, code.code) for code in TWILIO_CODES.values()}
    assert written == explained


def test_the_assumptions_of_the_simulator_have_the_numbers_of_their_rows() -> None:
    text = TEXTS["twistream_kit/simulator/model/assumptions.py"]
    numbers = re.findall(r'(?:^"""|^        \w+: )((?:\d+(?:, | and )?)+) \[', text, re.MULTILINE)
    used = {int(number) for group in numbers for number in re.findall(r"\d+", group)}
    assert len(used) > 20
    assert used <= NUMBERED[PROTOCOL].items["10"]


_FIGURES = [
    (SIMULATOR, "handshake timeout", f"{assumptions.HANDSHAKE_SECONDS:g} s"),
    (SIMULATOR, "a broken rule of WebSocket", f"for {assumptions.HALF_OPEN_SECONDS:g} s"),
    (SIMULATOR, "a broken rule of WebSocket", f"with {assumptions.PROTOCOL_ERROR_CLOSE}"),
    (SIMULATOR, "close by your server", f"with {assumptions.NORMAL_CLOSE} as a note"),
    (PROTOCOL, "1", f"{assumptions.HANDSHAKE_SECONDS:g} s"),
    (PROTOCOL, "2", f"about {assumptions.FAILED_STREAM_HANGS_UP_AFTER_SECONDS:g} s"),
    (PROTOCOL, "4", f"for {assumptions.SILENT_END_SECONDS / 60:g} minutes"),
    (PROTOCOL, "5", f"With {assumptions.NORMAL_CLOSE} it is only noted"),
    (PROTOCOL, "10", f"a close with {assumptions.PROTOCOL_ERROR_CLOSE}"),
    (PROTOCOL, "13", f"filled with 0x{assumptions.SILENCE:X}"),
    (PROTOCOL, "17", f"{CAPACITY_SECONDS / 60:g} min, {assumptions.PLAYOUT_CAPACITY:_} bytes"),
    (
        PROTOCOL,
        "19",
        f"{assumptions.FIRST_TIMESTAMPS_MS[0]} to {assumptions.FIRST_TIMESTAMPS_MS[-1]} at",
    ),
    (PROTOCOL, "41", f"{assumptions.FAX_SECONDS:g} s of {assumptions.FAX_HZ} Hz"),
    (
        PROTOCOL,
        "46",
        f"{assumptions.SENT_KEY_MS} ms each with {assumptions.SENT_GAP_MS} ms between",
    ),
]
"""Rows that name a figure of the simulator: the page, how the row begins, the figure."""


@pytest.mark.parametrize(("path", "row", "figure"), _FIGURES)
def test_figures_of_the_simulator_are_those_of_its_constants(
    path: str, row: str, figure: str
) -> None:
    page = PAGES[path]
    if path == PROTOCOL:
        page = page.partition("\n## 10. ")[2]
    [line] = re.findall(rf"^\| {re.escape(row)} \|.*$", page, re.MULTILINE)
    assert figure.replace("_", " ") in line
