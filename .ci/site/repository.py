"""Where each file of the repository is on the site, and how its links lead there.

The pages in the repository link to files of the repository, so that they read well where it is
hosted.  On the site a link leads to the page that was made from the file; where there is none, the
words of the link stay, without a link.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

PLACES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "benchmarks/README.md": "figures.md",
    "examples/README.md": "examples/index.md",
    "examples": "examples/index.md",
    "notebooks": "notebooks/index.md",
    "sample_audio": "sample_audio/index.md",
    "sample_audio/README.md": "sample_audio/index.md",
    "twistream_kit/protocol/codes.toml": "codes/index.md",
    "twistream_kit/__init__.py": "api/index.md",
}
"""Pages and folders outside `docs/`; examples, notebooks and sounds have a rule in `find_place`."""

_LINK = re.compile(r"(?P<image>!?)\[(?P<words>(?:[^\[\]]|\[[^\]]*\])*)\]\((?P<target>[^)\s]+)\)")
_FENCE = re.compile(r"^(?P<fence>```+|~~~+).*?^(?P=fence)[^\S\n]*$", re.DOTALL | re.MULTILINE)


def find_place(path: str) -> str | None:
    """Return the source on the site of a file of the repository, or None if it has none."""
    if path in PLACES:
        return PLACES[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    folder, _, name = path.partition("/")
    stem, _, suffix = name.rpartition(".")
    if (folder, suffix) == ("notebooks", "ipynb"):
        return f"notebooks/{stem}.md"
    if (folder, suffix) == ("examples", "py"):
        return f"examples/{stem.replace('/', '-')}.md"
    if (folder, suffix) in {("notebooks", "png"), ("sample_audio", "wav")}:
        return path
    return None


def find_origin(page: str) -> str:
    """Return the file of the repository that a page of the site was made from."""
    for path, place in PLACES.items():
        if place == page and path.endswith(".md") and path != "README.md":
            return path
    if page.startswith("notebooks/") and page != "notebooks/index.md":
        return page.removesuffix(".md") + ".ipynb"
    return f"docs/{page}"


def list_linked_files() -> list[str]:
    """Return the pictures and sounds outside `docs/` that pages may show."""
    paths = [*ROOT.glob("notebooks/*.png"), *ROOT.glob("sample_audio/*.wav")]
    return sorted(path.relative_to(ROOT).as_posix() for path in paths)


def resolve_links(text: str, page: str) -> tuple[str, list[str]]:
    """Return a page's text with links as on the site, and the links that lead nowhere.

    A link to a sound is followed by a player.
    """
    origin = find_origin(page)
    here = posixpath.dirname(page)
    lost: list[str] = []

    def lead(link: re.Match[str]) -> str:
        target, _, anchor = link["target"].partition("#")
        if not target or re.match(r"[a-z]+:", target):
            return link[0]
        path = posixpath.normpath(posixpath.join(posixpath.dirname(origin), target))
        place = find_place(path)
        if place is None or not (ROOT / path).exists():
            if not (ROOT / path).exists():
                lost.append(link["target"])
            return link["words"]
        to = posixpath.relpath(place, here or ".") + (f"#{anchor}" if anchor else "")
        shown = f"{link['image']}[{link['words']}]({to})"
        if place.endswith(".wav"):
            name = link["words"].strip("`")
            shown += f'<br><audio controls preload="none" aria-label="{name}" src="{to}"></audio>'
        return shown

    return _change_prose(text, lambda prose: _LINK.sub(lead, prose)), lost


def _change_prose(text: str, change) -> str:  # noqa: ANN001 - a function from text to text
    """Apply `change` to all that is outside fenced blocks."""
    parts, end = [], 0
    for fence in _FENCE.finditer(text):
        parts += [change(text[end : fence.start()]), fence[0]]
        end = fence.end()
    return "".join([*parts, change(text[end:])])


def link_codes(text: str, page: str, known: frozenset[str]) -> str:
    """Return a page's text with the codes that begin the rows of its tables as links."""
    up = "../" * page.count("/")

    def link(number: re.Match[str]) -> str:
        name = number[0]
        return f"[{name}]({up}codes/{name}.md)" if name in known else name

    def lead(row: re.Match[str]) -> str:
        return re.sub(r"\d{5}", link, row[0])

    return re.sub(r"^\| \d{5}[\d, ]* \|", lead, text, flags=re.MULTILINE)
