"""The environment that make builds: by uv or by pip, and what is shown meanwhile."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
INSTALL = ROOT / ".ci" / "install.py"
RESOLVED = "Resolved 134 packages in 1.2s"


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Any:
    spec = importlib.util.spec_from_file_location("install", INSTALL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    # To make an environment takes seconds, and its pip would ask the network.
    monkeypatch.setattr(module, "make_environment", lambda folder: folder.mkdir())
    return module


def put_program(folder: Path, name: str, script: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f'#!/bin/sh\necho "{name} $*" >> {folder.parent / "log"}\n{script}\n')
    path.chmod(0o755)
    return path


def run(install: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> int:
    folder = tmp_path / "env"
    argv = ["install.py", "--into", str(folder), "--extra", "notebooks", *options]
    monkeypatch.setattr(sys, "argv", argv)
    monkeypatch.setattr(install, "pip", lambda _python: [str(tmp_path / "bin" / "pip"), "install"])
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}/usr/bin{os.pathsep}/bin")
    code: int = install.main()
    return code


needs_sh = pytest.mark.skipif(shutil.which("sh") is None, reason="the programs are shell scripts")


@needs_sh
def test_uv_installs_where_it_is_and_each_step_is_shown(install, tmp_path, monkeypatch, capsys):
    put_program(tmp_path / "bin", "uv", f'echo "{RESOLVED}"; echo " + anyio==4.16.0"')
    put_program(tmp_path / "bin", "pip", "exit 1")
    assert run(install, tmp_path, monkeypatch) == 0
    shown = capsys.readouterr().out
    assert [line[:5] for line in shown.splitlines() if line.startswith("[")] == [
        f"[{step}/3]" for step in (1, 2, 3)
    ]
    assert RESOLVED in shown
    assert "anyio" not in shown
    (used,) = (tmp_path / "log").read_text().splitlines()
    assert used.startswith("uv pip install")
    assert used.endswith(f"--editable {ROOT}[notebooks]")


@needs_sh
def test_pip_fetches_uv_where_it_is_not(install, tmp_path, monkeypatch, capsys):
    put_program(tmp_path / "bin", "pip", "exit 0")
    monkeypatch.setattr(install, "find_program", lambda _folder, name: str(tmp_path / "in" / name))
    put_program(tmp_path / "in", "uv", f'echo "{RESOLVED}"')
    assert run(install, tmp_path, monkeypatch) == 0
    fetched, used = (tmp_path / "log").read_text().splitlines()
    assert fetched.endswith(" uv")
    assert used.startswith("uv pip install")
    assert RESOLVED in capsys.readouterr().out


@needs_sh
@pytest.mark.parametrize("uv", ["exit 1", ""], ids=["uv fails", "there is no uv"])
def test_pip_installs_where_uv_can_not(install, tmp_path, monkeypatch, capsys, uv):
    if uv:
        put_program(tmp_path / "bin", "uv", uv)
    put_program(tmp_path / "bin", "pip", 'case "$*" in *" uv") exit 1;; esac; echo "Collecting x"')
    assert run(install, tmp_path, monkeypatch) == 0
    shown = capsys.readouterr().out
    assert "pip does" in shown
    assert "Collecting x" in shown
    last = (tmp_path / "log").read_text().splitlines()[-1]
    assert last.startswith("pip install")
    assert f"--editable {ROOT}[notebooks]" in last


@needs_sh
def test_what_pip_said_is_shown_when_it_fails_too(install, tmp_path, monkeypatch, capsys):
    put_program(tmp_path / "bin", "pip", 'echo "ERROR: no network"; exit 1')
    assert run(install, tmp_path, monkeypatch) == 1
    assert "ERROR: no network" in capsys.readouterr().err


def dry_run(folder: Path, target: str) -> str:
    shutil.copy(ROOT / "Makefile", folder)
    (folder / "pyproject.toml").touch()
    command = ["make", "-n", target]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_make_tutorial_installs_less_than_the_tests_need_unless_they_have_it(tmp_path):
    assert "--extra notebooks" in dry_run(tmp_path, "tutorial")
    assert "--extra test" in dry_run(tmp_path, "test")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / ".venv").mkdir()
    made = tmp_path / ".venv" / ".made"
    made.touch()
    later = (tmp_path / "pyproject.toml").stat().st_mtime + 60
    os.utime(made, (later, later))
    shown = dry_run(tmp_path, "tutorial")
    assert "--extra" not in shown
    assert "jupyter lab notebooks/tutorial.ipynb" in shown
