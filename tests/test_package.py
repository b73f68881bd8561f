"""The package as a whole: what importing it costs, and what it exports."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder
from hatchling.builders.wheel import WheelBuilder
from hatchling.metadata.core import ProjectMetadata
from hatchling.plugin.manager import PluginManager

import twistream_kit as kit

PACKAGE = Path(kit.__file__).parent
ROOT = PACKAGE.parent

HEAVY = [
    "numpy",
    "websockets",
    "IPython",
    "twilio",
    "aiohttp",
    "matplotlib",
    "ipywidgets",
    "soundfile",
    "soxr",
    "asyncio",
    "requests",
]

CONTRACT = [
    "inspect_wav",
    "load_clip",
    "Clip",
    "encode_ulaw",
    "decode_ulaw",
    "Resampler",
    "convert_file",
    "convert_files",
    "to_twilio",
    "from_twilio",
    "review",
    "explain",
    "connect_stream",
    "review_twiml",
    "PlayOutcome",
    "MarkOutcome",
    "Capture",
    "StreamServer",
    "MediaStream",
    "Playing",
    "Speech",
    "open_tunnel",
    "place_call",
    "client_from_environment",
    "SimulatedTwilio",
    "Phone",
    "simulate_call",
    "caller",
    "start",
    "stop",
    "url_of",
    "allow_nested_asyncio",
    "Workbench",
    "StreamControls",
    "plot_header",
    "plot_waveform",
    "plot_companding",
    "plot_frames",
    "plot_spectrogram",
    "plot_timeline",
]


def test_the_bare_import_loads_nothing_heavy() -> None:
    program = "import sys; import twistream_kit; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60
    )
    loaded = set(done.stdout.split())
    assert loaded.isdisjoint(HEAVY)


@pytest.mark.parametrize("name", sorted({*CONTRACT, *kit.__all__}))
def test_every_public_name_is_there_and_is_explained(name: str) -> None:
    thing = getattr(kit, name)
    assert name in kit.__all__
    assert inspect.getdoc(thing)


def test_a_dot_and_a_tab_give_the_public_names_and_nothing_else() -> None:
    assert dir(kit) == sorted(kit.__all__)


def test_help_lists_the_public_names_in_the_order_of_use() -> None:
    _, _, listed = (kit.__doc__ or "").partition("All public names are here")
    paragraphs = re.findall(r"(?m)^    .*$", listed)
    assert re.findall(r"\w+", " ".join(paragraphs)) == kit.__all__


HOMES_AFTER_EVERY_IMPORT = """
import importlib, json, pkgutil, random, sys
import twistream_kit as kit

modules = [each.name for each in pkgutil.walk_packages(kit.__path__, "twistream_kit.")]
random.Random(int(sys.argv[1])).shuffle(modules)
for module in modules:
    if not module.endswith("__main__"):
        importlib.import_module(module)

def describe(thing):
    is_module = type(thing).__name__ == "module"
    return thing.__name__ if is_module else f"{thing.__module__}.{thing.__qualname__}"

print(json.dumps({name: describe(getattr(kit, name)) for name in kit.__all__}))
"""


@pytest.mark.parametrize("seed", ["1", "2", "3"])
def test_no_module_takes_the_place_of_a_public_name(seed: str) -> None:
    # Importing a sub-module sets it on its package, whatever was there under its name.
    done = subprocess.run(
        [sys.executable, "-c", HOMES_AFTER_EVERY_IMPORT, seed],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    homes = json.loads(done.stdout)
    expected = {
        alias.asname: f"{node.module}.{alias.name}" for node in _exports_for_type_checkers()
        for alias in node.names
    }  # fmt: skip
    assert homes == expected


def test_an_unknown_name_is_refused_in_the_usual_way() -> None:
    with pytest.raises(AttributeError, match=r"twistream_kit.*no attribute 'playload'"):
        kit.playload  # noqa: B018 - the access is the test


def test_type_checkers_see_the_same_names_as_programs() -> None:
    imported = {alias.asname for node in _exports_for_type_checkers() for alias in node.names}
    assert imported == set(kit.__all__)


def _exports_for_type_checkers() -> list[ast.ImportFrom]:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(
        node for node in tree.body if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node)
    )
    return [node for node in ast.walk(block) if isinstance(node, ast.ImportFrom)]


def test_no_module_imports_the_root_package_or_relatively() -> None:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert node.level == 0, path
                assert node.module != "twistream_kit", path
            elif isinstance(node, ast.Import):
                assert "twistream_kit" not in {alias.name for alias in node.names}, path


def test_html_is_made_in_the_notebook_layer_alone() -> None:
    for layer in ("audio", "protocol", "live", "simulator"):
        for path in (PACKAGE / layer).rglob("*.py"):
            assert "_repr_html_" not in path.read_text(encoding="utf-8"), path


def test_the_version_stands_in_one_place_and_the_build_reads_it() -> None:
    root = PACKAGE.parent
    assert ProjectMetadata(str(root), PluginManager()).version == kit.__version__
    stated = re.compile(r"(?m)^_*version_* *= *.*$")
    files = [root / "pyproject.toml", *PACKAGE.rglob("*.py")]
    found = {file: stated.findall(file.read_text(encoding="utf-8")) for file in files}
    assert {file: lines for file, lines in found.items() if lines} == {
        PACKAGE / "__init__.py": [f'__version__ = "{kit.__version__}"']
    }


@pytest.mark.parametrize("builder", [WheelBuilder, SdistBuilder])
def test_a_built_package_holds_every_file_of_the_tree(builder: type) -> None:
    selected = builder(str(PACKAGE.parent)).recurse_included_files()
    built = {Path(file.path) for file in selected}
    files = {
        path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts
    }
    assert PACKAGE / "protocol" / "codes.toml" in files
    assert files - built == set()


FILES = ["notebooks/*.ipynb", ".env.example"]


@pytest.fixture
def add_files():
    """Run the hook that adds the files of the tutorial to a wheel; return what it adds."""
    spec = importlib.util.spec_from_file_location("wheel_files", ROOT / ".ci" / "wheel_files.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def add(version: str, files: list[str]) -> dict[str, str]:
        data: dict[str, dict[str, str]] = {"force_include": {}}
        config = {"files": files}
        module.TutorialFiles(str(ROOT), config, None, None, "", "wheel").initialize(version, data)
        return data["force_include"]

    return add


def test_a_wheel_to_install_elsewhere_gets_the_files_of_the_tutorial(add_files) -> None:
    added = add_files("standard", FILES)
    inside = "twistream_kit/tutorial/files"
    assert added[str(ROOT / ".env.example")] == f"{inside}/.env.example"
    notebook = ROOT / "notebooks" / "tutorial.ipynb"
    assert added[str(notebook)] == f"{inside}/notebooks/tutorial.ipynb"
    assert len(added) == 1 + len(list((ROOT / "notebooks").glob("*.ipynb")))


def test_an_editable_installation_gets_no_copies(add_files) -> None:
    assert add_files("editable", FILES) == {}


def test_a_file_that_the_wheel_needs_and_that_is_not_there_stops_the_build(add_files) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no notebooks/\*\.nothing"):
        add_files("standard", ["notebooks/*.nothing"])
