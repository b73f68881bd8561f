"""Run the notebooks, each from top to bottom in a kernel of its own, and put them in clean form.

    python notebooks/run_and_clean.py            run and clean all
    python notebooks/run_and_clean.py --check    change nothing; fail on one that is not clean

Clean form keeps the outputs that teach (text, tables, pictures) and removes the others (execution
counts, the state of widgets, sound players, times, ports).  So a notebook can be read on a web
page, and two versions of its file differ only where its content does.
"""

from __future__ import annotations

import argparse
import io
import os
import re
import shutil
import sys
from base64 import b64decode, b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat

FOLDER = Path(__file__).parent
MOST_BYTES = 250_000
CELL_SECONDS = 120
PALETTE = 64
FEW_COLOURS = 24
PORT_HERE = re.compile(r"(127\.0\.0\.1):\d{4,5}\b")
PLAYER = re.compile(r"<audio\b.*?</audio>", re.DOTALL)
PICTURE = re.compile(r"<(?:img|svg|table)\b")
LARGE_BYTES = 25_000
OF_AN_ACCOUNT = ("TWILIO_", "NGROK_", "TWISTREAM_PUBLIC_URL", "TWISTREAM_CALL_TO")


def notebooks() -> list[Path]:
    """Return the paths of all notebooks."""
    return sorted(FOLDER.glob("*.ipynb"))


def run(notebook: Any) -> Any:
    """Execute `notebook` in the folder it lies in; cells tagged raises-exception may fail.

    The kernel sees no account and no tunnel, whatever this machine has: no real call is placed.
    """
    from nbclient import NotebookClient

    client = NotebookClient(
        notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(FOLDER)}}
    )
    return client.execute(env=without_account(os.environ))


def without_account(environment: Mapping[str, str]) -> dict[str, str]:
    """Return `environment` without anything that a real call or tunnel needs."""
    kept = {name: text for name, text in environment.items() if not name.startswith(OF_AN_ACCOUNT)}
    places = kept.get("PATH", "").split(os.pathsep)
    kept["PATH"] = os.pathsep.join(p for p in places if not shutil.which("cloudflared", path=p))
    return kept | {"TWISTREAM_ENV_FILE": ""}


def cleaned(notebook: Any) -> Any:
    """Return `notebook` in clean form."""
    notebook.metadata = nbformat.from_dict(
        {
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        }
    )
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        cell.metadata = _kept_metadata(cell.metadata)
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [kept for output in cell.outputs if (kept := _kept(output))]
    return notebook


def _kept_metadata(metadata: Any) -> Any:
    """Return the tags of a cell, and whether its source is folded, which JupyterLab obeys."""
    kept: dict[str, Any] = {}
    if metadata.get("jupyter", {}).get("source_hidden"):
        kept["jupyter"] = {"source_hidden": True}
    if metadata.get("tags"):
        kept["tags"] = metadata.tags
    return nbformat.from_dict(kept)


def _kept(output: Any) -> Any:
    if output.output_type == "error":
        output.traceback = [_without_colours(f"{output.ename}: {output.evalue}")]
        return output
    if output.output_type == "stream":
        output.text = PORT_HERE.sub(r"\1:40000", output.text)
        return output if output.name == "stdout" else None
    output.metadata = nbformat.from_dict({})
    if "execution_count" in output:
        output.execution_count = None
    bundle = output.data
    for kind in bundle.keys() & {"text/plain", "text/html"}:
        bundle[kind] = PORT_HERE.sub(r"\1:40000", bundle[kind])
    for kind in [kind for kind in bundle if kind.startswith("application/vnd.jupyter.widget")]:
        del bundle[kind]
    if "<audio" in bundle.get("text/html", ""):
        bundle["text/html"] = PLAYER.sub("", bundle["text/html"])
        if not PICTURE.search(bundle["text/html"]):
            del bundle["text/html"]
    if "image/png" in bundle:
        bundle["image/png"] = _smaller(bundle["image/png"])
    is_empty = bundle.keys() <= {"text/plain"} and not bundle.get("text/plain")
    return None if is_empty else output


def _smaller(picture: str) -> str:
    """Return a PNG with a palette: a plot has few colours, and then a third of the bytes."""
    from PIL import Image

    image = Image.open(io.BytesIO(b64decode(picture)))
    if image.mode == "P":
        return picture
    small = _quantised(image, PALETTE)
    if len(small) > LARGE_BYTES:  # a spectrogram: its colours are a scale, which may have steps
        small = _quantised(image, FEW_COLOURS)
    return b64encode(small).decode("ascii")


def _quantised(image: Any, colours: int) -> bytes:
    picture = io.BytesIO()
    image.convert("RGB").quantize(colours, dither=0).save(picture, "PNG", optimize=True)
    return picture.getvalue()


def _without_colours(text: str) -> str:
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


def faults(path: Path) -> list[str]:
    """Return the reasons why a notebook is not in clean form, in words."""
    text = path.read_text(encoding="utf-8")
    found = []
    if len(text) > MOST_BYTES:
        found.append(f"{path.name} has {len(text)} bytes; the most is {MOST_BYTES}")
    if _text_of(cleaned(nbformat.reads(text, as_version=4))) != text:
        found.append(f"{path.name} is not in its clean form; run `make notebooks`")
    return found


def _text_of(notebook: Any) -> str:
    return str(nbformat.writes(notebook)) + "\n"


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--check", action="store_true", help="change nothing")
    options = parser.parse_args()
    if options.check:
        found = [fault for path in notebooks() for fault in faults(path)]
        print("\n".join(found) or "all notebooks are clean")
        return 1 if found else 0
    for path in notebooks():
        print(f"running {path.name}", flush=True)
        notebook = run(nbformat.read(path, as_version=4))
        path.write_text(_text_of(cleaned(notebook)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
