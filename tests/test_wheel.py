"""The wheel and the sdist: what they hold, and that the wheel alone is enough for a user.

One environment is made for all, outside of the checkout; nothing is in it but what the wheel needs,
and later pytest.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import venv
import zipfile
from pathlib import Path

import pytest

from twistream_kit.tutorial.folder import find_sources

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "twistream_kit"
INSIDE = "twistream_kit/tutorial/files/"
MOST_WHEEL_BYTES, MOST_SDIST_BYTES = 4_000_000, 8_000_000
RUN_SECONDS, INSTALL_SECONDS = 240, 280

OPTIONAL = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"][
    "optional-dependencies"
]
BRINGS = {
    "tunnel": "ngrok",
    "fast": "uvloop",
    "notebooks": "uvicorn",
    "test": "hypothesis",
    "docs": "mkdocs",
}
HERE_ALREADY = {"load": "psutil"}
"""What ipykernel brings, which the package needs; the extra says so for whoever is without it."""

EXTRAS = {name: BRINGS[name] for name in OPTIONAL if name not in HERE_ALREADY}
"""Each extra that a user may leave out, and a package that it brings."""


def run(*command, seconds=RUN_SECONDS, **options):
    """Run a program that sees nothing of the checkout; return what it printed."""
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        timeout=seconds,
        check=False,
        **{"env": surroundings(), **options},
    )
    assert done.returncode == 0, f"{command}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def surroundings(**more):
    """Return an environment without paths to the checkout, and without settings."""
    dropped = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "JUPYTER", "IPYTHON", "PYTEST")
    kept = {name: text for name, text in os.environ.items() if not name.startswith(dropped)}
    return kept | more


@pytest.fixture(scope="module")
def outside(tmp_path_factory):
    """A folder outside of the checkout."""
    folder = tmp_path_factory.mktemp("outside")
    assert ROOT not in folder.parents
    return folder


@pytest.fixture(scope="module")
def dist(outside):
    """The folder with the sdist, and the wheel that is built from it, as pip builds one."""
    folder = outside / "dist"
    build = [sys.executable, "-m", "hatchling", "build", "--directory", folder]
    run(*build, "--target", "sdist", cwd=ROOT)
    with tarfile.open(find_sdist(folder)) as archive:
        archive.extractall(outside / "unpacked", filter="data")
    [unpacked] = (outside / "unpacked").iterdir()
    run(*build, "--target", "wheel", cwd=unpacked)
    return folder


def find_sdist(folder):
    [path] = folder.glob("*.tar.gz")
    return path


def find_wheel(folder):
    [path] = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def wheel_names(dist):
    with zipfile.ZipFile(find_wheel(dist)) as archive:
        return archive.namelist()


def files_of_the_checkout():
    """Return what git has or would add; without git, an empty set."""
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        return set()
    listed = ["git", "-c", "safe.directory=*", "-C", ROOT, "ls-files", "-z"]
    listed += ["--cached", "--others", "--exclude-standard"]
    tracked = subprocess.run(listed, capture_output=True, text=True, check=True).stdout.split("\0")
    return {name for name in tracked if name and (ROOT / name).exists()}


# What they hold ----------------------------------------------------------------------------


def test_the_wheel_holds_the_package_the_tutorial_and_nothing_else(wheel_names):
    package = {
        path.relative_to(ROOT).as_posix()
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    tutorial = {f"{INSIDE}{name}" for name in find_sources()}
    described = {name for name in wheel_names if ".dist-info/" in name}
    assert set(wheel_names) == package | tutorial | described
    assert len(wheel_names) == len(set(wheel_names))
    endings = {name.partition(".dist-info/")[2] for name in described}
    assert endings == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}


def test_the_tutorial_in_the_wheel_is_that_of_the_checkout_byte_for_byte(dist):
    tracked = files_of_the_checkout()
    with zipfile.ZipFile(find_wheel(dist)) as archive:
        for name, path in find_sources().items():
            assert archive.read(f"{INSIDE}{name}") == path.read_bytes(), name
            assert not tracked or name in tracked, f"{name} is not in git"


def test_the_sdist_holds_all_that_git_has_but_what_only_git_needs(dist):
    with tarfile.open(find_sdist(dist)) as archive:
        held = {name.partition("/")[2] for name in archive.getnames()} - {"PKG-INFO"}
    tracked = files_of_the_checkout()
    if not tracked:
        pytest.skip("there is no git")
    assert tracked - held == set(), "give them to the sdist in pyproject.toml"
    assert held - tracked == set(), "not in git, and in the sdist"


def test_wheel_and_sdist_are_small(dist):
    # CONTRIBUTING.md says how large they are; twice as much would be something that nobody needs.
    assert find_wheel(dist).stat().st_size <= MOST_WHEEL_BYTES
    assert find_sdist(dist).stat().st_size <= MOST_SDIST_BYTES


# Installed ---------------------------------------------------------------------------------


class Installed:
    """A fresh environment with the wheel."""

    def __init__(self, folder, wheel):
        self.folder = folder
        venv.create(folder / "env", with_pip=True)
        self.programs = folder / "env" / ("Scripts" if os.name == "nt" else "bin")
        self.pip("install", wheel)

    def pip(self, *arguments):
        quiet = ("--quiet", "--disable-pip-version-check")
        return self.python("-m", "pip", *arguments, *quiet, seconds=INSTALL_SECONDS)

    def python(self, *arguments, **options):
        return self._run("python", arguments, options)

    def twistream(self, *arguments, **options):
        return self._run("twistream", arguments, options)

    def _run(self, program, arguments, options):
        defaults = {"cwd": self.folder, "env": self.surroundings()}
        return run(self.programs / program, *arguments, **defaults | options)

    def surroundings(self, **more):
        """Return the environment of a shell in which this one was activated."""
        path = os.pathsep.join([str(self.programs), os.environ["PATH"]])
        return surroundings(PATH=path, **more)


@pytest.fixture(scope="module")
def installed(outside, dist):
    return Installed(outside, find_wheel(dist))


@pytest.fixture(scope="module")
def tutorial(installed):
    installed.twistream("tutorial", "tutorial", "--no-open")
    return installed.folder / "tutorial"


def test_the_package_is_that_of_the_wheel(installed):
    where = installed.python("-c", "import twistream_kit; print(twistream_kit.__file__)")
    assert Path(where.strip()).is_relative_to(installed.folder / "env")


def test_no_extra_is_there(installed):
    for package in EXTRAS.values():
        found = f"import importlib.util; print(importlib.util.find_spec({package!r}))"
        assert installed.python("-c", found).strip() == "None"


def test_the_tutorial_command_writes_all_files_and_names_the_extra_that_one_needs(installed):
    shown = installed.twistream("tutorial", "again", "--no-open")
    assert f"wrote {len(find_sources())} files into" in shown
    for name, path in find_sources().items():
        assert (installed.folder / "again" / name).read_bytes() == path.read_bytes()
    flat = " ".join(shown.split())
    assert "test_your_own_server.ipynb stops where it starts a server" in flat
    assert "measure_a_conversation.ipynb where it runs pytest" in flat
    assert "twistream-kit[notebooks]" in flat
    assert f"{Path('env', installed.programs.name, 'python')} -m jupyterlab" in flat


def test_the_doctor_finds_no_error_and_says_what_each_extra_is_for(installed):
    found = json.loads(installed.twistream("doctor", "--json"))
    levels = {check["name"]: check["level"] for check in found["checks"]}
    assert found["ok"]
    assert levels["packages"] == levels["kernel"] == levels["JupyterLab"] == "ok"
    for extra in EXTRAS:
        [check] = [check for check in found["checks"] if check["name"] == f"extra {extra}"]
        assert check["level"] == "note"
        assert f"twistream-kit[{extra}]" in check["fix"]


def test_a_tunnel_of_ngrok_says_which_extra_it_needs(installed):
    program = """
import twistream_kit as kit
server = kit.start(kit.StreamServer(auth_token="0" * 32))
try:
    kit.start(kit.open_tunnel(server, "ngrok"))
except kit.TunnelError as error:
    print(error)
"""
    token = "0123456789abcdefghij_ABCDEFG"
    shown = installed.python("-c", program, env=installed.surroundings(NGROK_AUTHTOKEN=token))
    assert "the package ngrok is not installed" in shown
    assert "pip install 'twistream-kit[tunnel]'" in shown


def execute(installed, folder, name):
    """Run a notebook of the folder without a front end; return its cells."""
    installed.python(
        *("-m", "nbconvert", "--execute", "--to", "notebook", "--output", f"ran_{name}"),
        *("--allow-errors", name),
        cwd=folder / "notebooks",
    )
    return json.loads((folder / "notebooks" / f"ran_{name}").read_text(encoding="utf-8"))["cells"]


def find_errors(cells):
    """Return the errors of the cells that are not to fail."""
    return [
        output["evalue"]
        for cell in cells
        if "raises-exception" not in cell["metadata"].get("tags", [])
        for output in cell.get("outputs", [])
        if output["output_type"] == "error"
    ]


def test_the_tutorial_notebook_runs_from_its_folder_to_its_end(installed, tutorial):
    cells = execute(installed, tutorial, "tutorial.ipynb")
    assert find_errors(cells) == []
    printed = "".join(
        "".join(output.get("text", "")) for cell in cells for output in cell.get("outputs", [])
    )
    assert len(re.findall(r"^✓ ", printed, re.MULTILINE)) >= 7


def test_the_notebook_that_needs_an_extra_says_what_to_install(installed, tutorial):
    first, *_ = find_errors(execute(installed, tutorial, "test_your_own_server.ipynb"))
    assert "No module named uvicorn" in first
    assert "pip install uvicorn" in first
    assert "pip install 'twistream-kit[notebooks]'" in (
        tutorial / "notebooks" / "test_your_own_server.ipynb"
    ).read_text(encoding="utf-8")


PYTEST_FILE = """
import threading
from contextlib import closing

import pytest

import twistream_kit as kit


@pytest.fixture
def server():
    async def handler(stream):
        await stream.play(kit.Clip.tone(440, 0.3), mark="end")

    server = kit.start(kit.StreamServer(handler))
    yield server
    kit.stop(server)


def test_a_call_is_heard(twistream_call, server):
    report = twistream_call(server.url, seconds=1)
    assert report.ok, report
    assert report.heard.seconds > 0.25


def test_the_simulated_service_takes_a_call(twistream_twilio):
    ours, theirs = twistream_twilio.numbers[0], "+15550100001"
    twistream_twilio.phone(theirs)
    twiml = "<Response><Hangup/></Response>"
    call = twistream_twilio.client.calls.create(to=theirs, from_=ours, twiml=twiml)
    assert call.sid.startswith("CA")
"""


def test_the_fixtures_of_pytest_need_nothing_but_pytest(installed):
    # The last one, as it installs a package.
    installed.pip("install", "pytest")
    folder = installed.folder / "project"
    folder.mkdir()
    (folder / "test_call.py").write_text(PYTEST_FILE, encoding="utf-8")
    shown = installed.python("-m", "pytest", "-q", "-p", "no:cacheprovider", cwd=folder)
    assert "2 passed" in shown
    shown = installed.python("-m", "pytest", "--fixtures", "-q", cwd=folder)
    named = set(re.findall(r"^twistream_\w+", shown, re.MULTILINE))
    assert {"twistream_call", "twistream_twilio"} <= named
