"""``node --check`` of each script of a page, and of the text that joined parts become.

Without node this is left out, in words; with TWISTREAM_REQUIRE_NODE=1 that is a failure.  All of
them are ES modules, which is stricter than a script: a name that is declared twice is an error.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from twistream_kit.notebook import widgets
from twistream_kit.notebook.widgets._javascript import join_modules

STATIC = Path(widgets.__file__).parents[1] / "static"
CHECK = ("--check", "--input-type=module", "-")


def scripts(folder: Path = STATIC) -> dict[str, str]:
    """Return all scripts by name, and once more those that import others, as they are joined."""
    paths = sorted(folder.rglob("*.js"))
    found = {str(path.relative_to(folder)): path.read_text(encoding="utf-8") for path in paths}
    for path in paths:
        text = found[str(path.relative_to(folder))]
        if "\nexport default " in text and '} from "./' in text:
            name = path.name if path.parent == folder else path.stem
            found[f"{name}, joined"] = join_modules(path)
    return found


def faults(node: str, texts: Mapping[str, str]) -> list[str]:
    """Return what node has against each of `texts`, by its name."""
    found = []
    for name, text in texts.items():
        done = subprocess.run(
            [node, *CHECK], input=text, capture_output=True, encoding="utf-8", check=False
        )
        if done.returncode != 0:
            found.append(f"{name}: {done.stderr.strip()}")
    return found


def main() -> int:
    """Say what is wrong; return 0 if nothing is."""
    node = shutil.which("node")
    if node is None:
        is_required = os.environ.get("TWISTREAM_REQUIRE_NODE") == "1"
        but = ", but TWISTREAM_REQUIRE_NODE is set" if is_required else ""
        sys.stdout.write(f"JavaScript is not checked: there is no node on PATH{but}\n")
        return int(is_required)
    texts = scripts()
    found = faults(node, texts)
    count = f"node --check: {len(found)} of {len(texts)} scripts refused\n"
    sys.stdout.write("\n\n".join([*found, count]))
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
