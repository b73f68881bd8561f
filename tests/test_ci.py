"""The workflow does what `.ci/run` does, and the hooks of a commit are parts of `make check`."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent
RUN = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8"))
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TARGETS = set(re.findall(r"^([\w-]+):", MAKEFILE, re.MULTILINE))


def made(commands: str) -> set[str]:
    """Return the targets of all `make` commands of a script."""
    lines = re.findall(r"^\s*make (.*)$", commands, re.MULTILINE)
    return {target for line in lines for target in line.split()}


def commands(job: dict[str, Any]) -> str:
    """Return what a job runs, once for each entry of its matrix."""
    steps = "\n".join(step["run"] for step in job["steps"] if "run" in step)
    [(name, values), *others] = job["strategy"]["matrix"].items()
    assert not others
    if name == "include":
        return steps
    return "\n".join(steps.replace(f"${{{{ matrix.{name} }}}}", value) for value in values)


def test_the_workflow_makes_what_ci_run_makes() -> None:
    targets = made(commands(WORKFLOW["jobs"]["linux"]))
    assert targets == made(RUN)
    assert targets <= TARGETS
    assert {"lint", "types", "layers", "test", "test-slow"} <= targets


def test_the_workflow_installs_the_programs_of_ci_run() -> None:
    wanted = set(" ".join(re.findall(r"missing\+=\(([^)]*)\)", RUN)).split())
    installed = commands(WORKFLOW["jobs"]["linux"]).split("install -y", 1)[1].split("\nmake", 1)[0]
    assert wanted
    assert wanted <= set(installed.split())


def test_the_workflow_requires_what_ci_run_requires() -> None:
    required = dict(re.findall(r"^export (\w+)=(\w+)$", RUN, re.MULTILINE))
    assert required
    assert required.items() <= (WORKFLOW["env"] | WORKFLOW["jobs"]["linux"]["env"]).items()


def test_the_package_tests_run_on_newer_pythons_and_other_systems() -> None:
    job = WORKFLOW["jobs"]["package"]
    matrix = {
        (each["system"].partition("-")[0], each["python"])
        for each in job["strategy"]["matrix"]["include"]
    }
    versions = re.search(r"^for version in (.*); do$", RUN, re.MULTILINE)
    assert versions
    assert {("ubuntu", version) for version in versions[1].split()} <= matrix
    assert {("macos", "3.11"), ("windows", "3.11")} <= matrix
    marks = re.findall(r"pytest .*-m '([^']*)'", RUN)
    assert marks == re.findall(r"pytest .*-m '([^']*)'", commands(job))
    assert all(f"not {mark}" in marks[0] for mark in ("notebook", "browser", "slow"))


PROGRAMS = ("chromium", "node", "ssh", "openssl", "espeak-ng", "apt-get", "python3.13")
MAKE = """#!/bin/sh
echo "made $*"
case " $FAILING " in *" $1 "*) exit 2;; esac
"""
NEWER_PYTHON = """#!/bin/sh
[ "$2" = venv ] || exit 0
mkdir -p "$4/bin"
printf '#!/bin/sh\\n[ "$2" != pytest ] || [ "$FAILING" != 3.12 ]\\n' >"$4/bin/python"
chmod +x "$4/bin/python"
"""


@pytest.fixture
def run_all_parts(tmp_path: Path) -> Any:
    """Run `.ci/run` where nothing is installed or tested, and what is said to fail fails."""
    programs = tmp_path / "bin"
    texts = dict.fromkeys(PROGRAMS, "#!/bin/sh\n[ $0 = ${0%python3.13} ]\n")
    for name, text in (texts | {"make": MAKE, "python3.12": NEWER_PYTHON}).items():
        file = programs / name
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
        file.chmod(0o755)
    script = tmp_path / ".ci" / "run"
    script.parent.mkdir()
    script.write_text(RUN, encoding="utf-8")

    def run(failing: str) -> tuple[int, list[str], list[str]]:
        """Return the exit code, what was made, and what the end says."""
        done = subprocess.run(
            ["bash", script],
            env={
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                "PYENV_ROOT": str(tmp_path),
                "FAILING": failing,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        made = re.findall("^made (.*)$", done.stdout, re.MULTILINE)
        return done.returncode, made, done.stdout.partition("== the end")[2].splitlines()[1:]

    return run


EVERY_PART = ["install", "lint types layers", "test", "docs", "test-slow"]


@pytest.mark.skipif(sys.platform == "win32", reason="it is a script for a POSIX shell")
@pytest.mark.parametrize(
    ("failing", "code", "made", "said"),
    [
        ("", 0, EVERY_PART, ["Every part has passed."]),
        ("test", 1, EVERY_PART, ["FAILED: make test: all tests, notebooks and browser"]),
        ("3.12", 1, EVERY_PART, ["FAILED: package tests on Python 3.12"]),
        (
            "docs test-slow",
            1,
            EVERY_PART,
            [
                "FAILED: make docs: the site, whose pages make test-slow opens",
                "FAILED: make test-slow: what needs patience",
            ],
        ),
        ("lint", 2, EVERY_PART[:2], []),
        ("install", 2, EVERY_PART[:1], []),
    ],
)
def test_after_a_part_that_fails_the_others_run_and_the_end_says_which(
    run_all_parts: Any, failing: str, code: int, made: list[str], said: list[str]
) -> None:
    assert run_all_parts(failing) == (code, made, said)


def test_the_hooks_download_nothing() -> None:
    assert [repo["repo"] for repo in HOOKS["repos"]] == ["local"]
    assert {hook["language"] for hook in HOOKS["repos"][0]["hooks"]} == {"system"}


@pytest.mark.parametrize("hook", HOOKS["repos"][0]["hooks"], ids=lambda hook: hook["id"])
def test_a_hook_is_a_command_of_the_checks(hook: dict[str, Any]) -> None:
    program, *arguments = shlex.split(hook["entry"])
    if program == "make":
        assert set(arguments) <= TARGETS
        return
    tool = program.removeprefix(".venv/bin/")
    assert tool != program
    if tool == "python":
        scripts = [argument for argument in arguments if "/" in argument]
        assert scripts
        assert all((ROOT / script).is_file() for script in scripts)
    else:
        assert re.search(rf"^\t\$\(BIN\)/{tool} {arguments[0]}", MAKEFILE, re.MULTILINE)


@pytest.mark.parametrize("hook", HOOKS["repos"][0]["hooks"][:2], ids=lambda hook: hook["id"])
def test_a_hook_of_ruff_changes_a_file_that_needs_it(hook: dict[str, Any], tmp_path: Path) -> None:
    ruff = shutil.which("ruff", path=Path(sys.executable).parent)
    assert ruff
    file = tmp_path / "a.py"
    file.write_text('"""A module."""\n\nimport os\nX = {  "a":1 }\n')
    command = [ruff, *shlex.split(hook["entry"])[1:], "--config", ROOT / "pyproject.toml", file]
    subprocess.run(command, capture_output=True, check=False, timeout=60)
    text = file.read_text()
    assert ('{"a": 1}' in text) == (hook["id"] == "ruff-format")
    assert ("import os" not in text) == (hook["id"] == "ruff-check")
