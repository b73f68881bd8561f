"""Check a built site: links and anchors lead somewhere, and no page loads from another address.

python .ci/site/links.py build/site
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

FOLLOWED = {"a", "area"}
"""The elements whose address is only opened by a click, and may be elsewhere."""

KEPT_AT_HOME = {"link": {"canonical", "prev", "next", "alternate"}}


class _Addresses(HTMLParser):
    """The names that a page's elements have, and the addresses that they hold."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.addresses: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.names |= {values[key] for key in ("id", "name") if values.get(key)}
        for key in ("href", "src", "poster", "data", "srcset", "xlink:href"):
            if values.get(key):
                is_link = tag in FOLLOWED or values.get("rel", "") in KEPT_AT_HOME.get(tag, ())
                self.addresses.append(("link" if is_link else "load", values[key]))
        self.addresses += [("load", url) for url in _list_urls(values.get("style", ""))]


def _list_urls(style: str) -> list[str]:
    return re.findall(r"url\(\s*['\"]?([^'\")]+)", style)


@cache
def _read(path: Path) -> _Addresses:
    page = _Addresses()
    page.feed(path.read_text(encoding="utf-8"))
    return page


def find_broken(site: Path) -> Iterator[str]:
    """Give, in words, each address of a site that leads nowhere or loads from elsewhere."""
    _read.cache_clear()
    for path in sorted(site.rglob("*.html")):
        if path.name == "404.html":  # served for any address, so its own are absolute
            continue
        for use, address in _read(path).addresses:
            if fault := _find_fault(path, use, address):
                yield f"{path.relative_to(site)}: {address} {fault}"
    for path in sorted(site.rglob("*.css")):
        for address in _list_urls(path.read_text(encoding="utf-8")):
            if urlsplit(address).scheme not in {"", "data"} or address.startswith("//"):
                yield f"{path.relative_to(site)}: {address} is loaded from elsewhere"


def _find_fault(path: Path, use: str, address: str) -> str | None:
    parts = urlsplit(address)
    if parts.scheme or parts.netloc:
        is_fine = use == "link" or parts.scheme in {"data", "blob"}
        return None if is_fine else "is loaded from elsewhere"
    target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
    if not target.is_file():
        return "leads to no file"
    if parts.fragment and target.suffix == ".html":
        name = unquote(parts.fragment)
        if name not in _read(target).names and not name.startswith("__"):
            return "leads to no part of the page"
    return None


def main() -> int:
    """Run the command line; return the exit code."""
    broken = list(find_broken(Path(sys.argv[1])))
    print("\n".join(broken) or "every link leads somewhere")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
