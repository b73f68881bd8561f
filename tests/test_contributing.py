"""CONTRIBUTING.md is followed in a fresh clone, as its reader would: block by block, to the letter.

What is committed is what is cloned, the page included.  The environment of this run stands for the
one that the page has made, by the variable BIN that the page names for it; all other commands are
run as they are.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = "CONTRIBUTING.md"
CODE = "31999"
COMMAND_SECONDS = 900
"""For one command, of which the longest takes a minute; a machine may be very busy."""

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_PLACE = re.compile(
    r"(?:# |<!-- )(?P<file>[\w./-]+), "
    r"(?P<where>at the end"
    r"|after the paragraph that begins with|after the line that begins with|in place of the line)"
    r"(?: `(?P<anchor>.*)`)?(?: -->)?"
)


@dataclass(frozen=True, slots=True)
class Edit:
    """A block that says in its first line where it goes."""

    file: str
    where: str
    anchor: str
    text: str

    def applied(self, content: str) -> str:
        """Return the content of the file with the block in it.

        Raises:
            ValueError: If the place is not there, or is there twice.
        """
        if self.where == "at the end":
            return f"{content.rstrip()}\n\n\n{self.text}"
        lines = content.splitlines(keepends=True)
        found = [number for number, line in enumerate(lines) if line.startswith(self.anchor)]
        if len(found) != 1:
            raise ValueError(f"{self.file} has {len(found)} lines that begin with {self.anchor!r}")
        at = found[0]
        match self.where:
            case "in place of the line":
                lines[at] = self.text
            case "after the line that begins with":
                lines.insert(at + 1, self.text)
            case _:
                end = next((n for n in range(at, len(lines)) if not lines[n].strip()), len(lines))
                lines.insert(end, f"\n{self.text}")
        return "".join(lines)


def steps(page: str, heading: str) -> list[str | Edit]:
    """Return what a section of the page has its reader do: commands, and edits of files."""
    section = page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    found: list[str | Edit] = []
    for language, text in _BLOCK.findall(section):
        if language == "console":
            found += [line.removeprefix("$ ") for line in text.splitlines() if line[:2] == "$ "]
            continue
        first, _, rest = text.partition("\n")
        place = _PLACE.fullmatch(first)
        assert place, f"this block does not say where it goes: {text}"
        found.append(Edit(place["file"], place["where"], place["anchor"] or "", rest))
    return found


class Clone:
    """A fresh clone of the repository, and its reader's shell."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "clone"
        settings = folder / "gitconfig"
        settings.write_text(
            "[user]\nname = A Reader\nemail = reader@example.com\n[safe]\ndirectory = *\n"
        )
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PYTEST_", "GIT_", "COV_"))
        }
        self._environment = kept | {
            "GIT_CONFIG_GLOBAL": str(settings),
            "GIT_CONFIG_SYSTEM": os.devnull,
            "MAKEFLAGS": f"BIN={Path(sys.executable).parent} WORKERS=2",
            "PYTHONPATH": str(self.path),  # before the package of this environment
        }
        self.run(f"git clone --quiet --no-hardlinks {ROOT} {self.path}", at=folder)

    def run(self, command: str, at: Path | None = None) -> str:
        """Run a command of the page; return what it says."""
        done = subprocess.run(
            ["sh", "-c", command],
            cwd=at or self.path,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def read(self, file: str) -> str:
        return (self.path / file).read_text(encoding="utf-8")

    def follow(self, heading: str) -> dict[str, str]:
        """Do what a section says; return what each of its commands said."""
        said = {}
        for step in steps(self.read(PAGE), heading):
            if isinstance(step, Edit):
                changed = step.applied(self.read(step.file))
                (self.path / step.file).write_text(changed, encoding="utf-8")
            else:
                said[step] = self.run(step)
        return said


@pytest.mark.slow
@pytest.mark.timeout(3 * COMMAND_SECONDS)
@pytest.mark.skipif(
    not (ROOT / ".git").exists() or not all(map(shutil.which, ("git", "make", "sh"))),
    reason="a clone needs a git repository, git and make",
)
def test_who_follows_the_page_adds_a_code(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    clone.follow("Set up")
    said = clone.follow("Add a code of Twilio's")

    assert any("lint" in command and "types" in command for command in said)
    tests = next(text for command, text in said.items() if command.startswith("make test "))
    assert re.search(r"^\S* ?\d+ passed", tests, re.MULTILINE), tests
    stat = said["git diff --stat"]
    for file in ("protocol/codes.toml", "tests/protocol/test_codes.py", "docs/PROTOCOL.md"):
        assert file in stat
    assert "golden/expected/reviews" in stat
    assert f"+{CODE}" in said["git diff tests/golden"]
    assert clone.run("git status --porcelain") == ""
    assert CODE in clone.run("git log -1 --format=%s")
    explained = clone.run(f"{sys.executable} -m twistream_kit explain {CODE}")
    assert "Stream - Example" in explained
    assert "(warning)" in explained


def test_every_section_with_commands_can_be_followed() -> None:
    page = (ROOT / PAGE).read_text(encoding="utf-8")
    edits = [step for step in steps(page, "Add a code of Twilio's") if isinstance(step, Edit)]
    assert {edit.file for edit in edits} == {
        "twistream_kit/protocol/codes.toml",
        "tests/protocol/test_codes.py",
        "docs/PROTOCOL.md",
    }
    contents = {edit.file: (ROOT / edit.file).read_text(encoding="utf-8") for edit in edits}
    for edit in edits:
        contents[edit.file] = edit.applied(contents[edit.file])
    assert all(CODE in content for content in contents.values())
    assert steps(page, "Set up") == ["make install"]


@pytest.mark.parametrize(
    ("first", "after"),
    [
        ("# a.txt, at the end", "one\ntwo\n\nthree\n\n\nnew\n"),
        ("# a.txt, after the line that begins with `on`", "one\nnew\ntwo\n\nthree\n"),
        ("<!-- a.txt, after the line that begins with `tw` -->", "one\ntwo\nnew\n\nthree\n"),
        ("# a.txt, after the paragraph that begins with `one`", "one\ntwo\n\nnew\n\nthree\n"),
        ("# a.txt, in place of the line `two`", "one\nnew\n\nthree\n"),
    ],
)
def test_a_block_goes_where_its_first_line_says(first: str, after: str) -> None:
    [edit] = steps(f"\n## Here\n```text\n{first}\nnew\n```\n", "Here")
    assert isinstance(edit, Edit)
    assert edit.applied("one\ntwo\n\nthree\n") == after


@pytest.mark.parametrize("anchor", ["four", "t"])
def test_a_place_that_is_not_there_once_is_refused(anchor: str) -> None:
    edit = Edit("a.txt", "in place of the line", anchor, "new\n")
    with pytest.raises(ValueError, match=r"a\.txt has [02] lines"):
        edit.applied("one\ntwo\n\nthree\n")
