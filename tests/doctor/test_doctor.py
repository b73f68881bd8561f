"""What the doctor says of this machine, of machines that lack things, and what it never says."""

from __future__ import annotations

import json
import os
import platform
import re
import socket
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from types import SimpleNamespace

import pytest

import twistream_kit as kit
from twistream_kit.doctor import _account, _jupyter, _machine, _packages
from twistream_kit.doctor.condition import Condition, Conditions, look
from twistream_kit.doctor.doctor import examine_machine, find_obstacles
from twistream_kit.live.tunnel import _ngrok

ROOT = Path(__file__).parents[2]
TOKEN, SECRET, NGROK = "0123456789abcdef" * 2, "S3cret" * 5 + "AB", "2abcDEF_ngrok_token_0123456789"
ACCOUNT = {
    "TWILIO_ACCOUNT_SID": "AC" + "5" * 32,
    "TWILIO_AUTH_TOKEN": TOKEN,
    "TWILIO_PHONE_NUMBER": "+15550100123",
    "TWISTREAM_CALL_TO": "+15550100456",
}
VALUES = [*ACCOUNT.values(), SECRET, NGROK]
NO_MODULES = SimpleNamespace(util=SimpleNamespace(find_spec=lambda _name: None))
"""In the place of importlib: nothing is installed."""

pytestmark = pytest.mark.usefixtures("nothing_set")


def only(conditions):
    [condition] = conditions
    return condition


def set_account(monkeypatch, **values):
    for name, value in {**ACCOUNT, **values}.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def on_path(monkeypatch, tmp_path):
    """Make programs of these names the only ones on the PATH."""
    folder = tmp_path / "programs"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))

    def put(*names):
        for name in names:
            program = folder / (f"{name}.exe" if os.name == "nt" else name)
            program.touch()
            program.chmod(0o755)
        return folder

    return put


@pytest.fixture
def requires(monkeypatch):
    """Give the kit these requirements, and the installed packages these versions."""

    def give(*lines, **versions):
        installed = {_packages.DISTRIBUTION: "0.2.0"}
        installed |= {name.replace("_", "-"): text for name, text in versions.items()}

        def find(name):
            if name in installed:
                return installed[name]
            raise metadata.PackageNotFoundError(name)

        monkeypatch.setattr(metadata, "requires", lambda _name: list(lines))
        monkeypatch.setattr(metadata, "version", find)

    return give


# The whole ---------------------------------------------------------------------------------


def test_each_subject_has_a_line_and_each_lack_says_what_follows():
    found = examine_machine()
    assert {"Python", "packages", "kernel", "JupyterLab", "browser", "loopback"} <= {
        condition.name for condition in found
    }
    assert {"account", "public address", "ffmpeg"} <= {condition.name for condition in found}
    for condition in found.select("warning", "error"):
        assert condition.consequence, condition
        assert condition.fix, condition


def test_no_value_of_a_setting_is_shown(monkeypatch):
    set_account(
        monkeypatch,
        TWILIO_API_KEY="SK" + "6" * 32,
        TWILIO_API_SECRET=SECRET,
        NGROK_AUTHTOKEN=NGROK,
        TWISTREAM_PUBLIC_URL="https://user:pass@secret-host.example.com",
    )
    found = examine_machine()
    shown = repr(found) + json.dumps(found.to_dict())
    for value in [*VALUES, "SK" + "6" * 32, "secret-host", "pass@"]:
        assert value not in shown
    assert "TWILIO_AUTH_TOKEN (environment)" in shown


def test_nothing_is_contacted(monkeypatch):
    asked = []
    resolve, connect = socket.getaddrinfo, socket.socket.connect

    def note_name(host, *args, **options):
        asked.append(host)
        return resolve(host, *args, **options)

    def note_address(self, address):
        asked.append(address[0])
        return connect(self, address)

    monkeypatch.setattr(socket, "getaddrinfo", note_name)
    monkeypatch.setattr(socket.socket, "connect", note_address)
    set_account(monkeypatch, NGROK_AUTHTOKEN=NGROK, TWISTREAM_PUBLIC_URL="https://example.com")
    examine_machine()
    assert asked
    assert set(asked) <= {"127.0.0.1", "localhost"}


def test_a_look_that_fails_does_not_prevent_the_others_nor_quote_a_secret():
    def fail():
        raise RuntimeError(TOKEN)

    condition = only(look("a look", fail))
    assert (condition.name, condition.level) == ("a look", "warning")
    assert "RuntimeError" in condition.detail
    assert TOKEN not in str(condition)


# The report --------------------------------------------------------------------------------


def test_a_report_has_a_sign_a_column_and_what_to_do():
    found = Conditions(
        [
            Condition("Python", "ok", "3.12.1"),
            Condition("ffmpeg", "note", "is not on the PATH"),
            Condition("browser", "warning", "none is found", "Nothing opens", "Install one"),
            Condition("kernel", "error", "there is none", "No cell runs", "Say pip install it"),
        ]
    )
    assert repr(found).splitlines() == [
        "✓ Python   3.12.1",
        "– ffmpeg   is not on the PATH",
        "! browser  none is found",
        "           What follows: Nothing opens.",
        "           What to do: Install one.",
        "✗ kernel   there is none",
        "           What follows: No cell runs.",
        "           What to do: Say pip install it.",
        "",
        "1 error (✗) and 1 warning (!); what to do stands beside each.",
    ]
    assert not found.ok
    assert found.select("ok", "note", "warning").ok


def test_notes_alone_are_no_fault():
    found = Conditions([Condition("Python", "ok", "3"), Condition("ffmpeg", "note", "none")])
    assert found.ok
    assert found.verdict == "Everything that the notebooks and simulated calls need is here."


def test_options_of_a_command_are_never_broken_between_lines():
    words = " ".join(["twistream tutorial --allow-root"] * 9)
    shown = repr(Conditions([Condition("user", "warning", "root", "This", words)]))
    assert not re.search(r"-$", shown, re.MULTILINE)
    assert shown.count("--allow-root") == 9


# Python and packages -----------------------------------------------------------------------


def test_a_python_newer_than_the_tested_ones_is_a_warning(monkeypatch):
    assert only(_packages.examine_python()).level == "ok"
    monkeypatch.setattr(sys, "version_info", (3, 99, 0))
    monkeypatch.setattr(platform, "python_version", lambda: "3.99.0")
    condition = only(_packages.examine_python())
    assert condition.level == "warning"
    assert "newer than 3.13" in condition.consequence


def test_packages_that_are_missing_or_too_old_are_errors_each_with_its_command(requires):
    requires("twilio>=9.3", "aiohttp>=3.11", "websockets>=15.0", twilio="9.13.0", aiohttp="3.8.1")
    old, missing = _packages.examine_packages()
    assert (old.name, old.level) == ("aiohttp", "error")
    assert old.detail == "3.8.1 is installed, and the kit takes >=3.11"
    assert "pip install 'aiohttp>=3.11'" in old.fix or os.name == "nt"
    assert (missing.name, missing.detail) == ("websockets", "is not installed")


def test_extras_and_other_systems_are_not_needed(requires):
    requires(
        "twilio>=9.3",
        "ngrok>=1.4; extra == 'tunnel'",
        "thing; sys_platform == 'of another time'",
        twilio="9.13.0",
    )
    assert only(_packages.examine_packages()).detail == "twistream-kit 0.2.0 and the 1 it needs"


def test_a_library_that_does_not_load_is_an_error(requires, monkeypatch):
    requires()

    def load(name):
        if name == "soundfile":
            raise OSError("sndfile library not found\nand more")
        return SimpleNamespace()

    monkeypatch.setattr(_packages.importlib, "import_module", load)
    condition = only(_packages.examine_packages())
    assert (condition.name, condition.level) == ("soundfile", "error")
    assert condition.detail.endswith("cannot be loaded: sndfile library not found")


def test_a_kit_that_is_not_installed_is_a_warning(monkeypatch):
    def find(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "version", find)
    condition = only(_packages.examine_packages())
    assert condition.level == "warning"
    assert "pip install twistream-kit" in condition.fix


def test_an_environment_without_any_package_is_examined_too(tmp_path):
    # As after pip install --no-deps: a program of its own, which sees the standard library alone.
    program = (
        "import sys, importlib.metadata as metadata\n"
        f"sys.path.insert(0, {str(Path(kit.__file__).parents[1])!r})\n"
        "find = metadata.version\n"
        "metadata.version = lambda name: '1' if name == 'twistream-kit' else find(name)\n"
        "from twistream_kit.cli import main\n"
        "sys.exit(main(['doctor']))"
    )
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1, done.stderr
    missing = re.findall(r"^✗ (\w+) +is not installed$", done.stdout, re.MULTILINE)
    assert missing == ["packaging", "ipykernel", "jupyterlab"]
    assert "Traceback" not in done.stderr


PROJECT_EXTRAS = ["tunnel", "fast", "load", "notebooks", "test", "docs"]


@pytest.mark.parametrize("extra", PROJECT_EXTRAS)
def test_an_extra_that_is_absent_is_a_note_that_says_what_lacks_it(requires, extra):
    requires(f"some-package>=1; extra == '{extra}'")
    condition = only(_packages.examine_extras())
    assert (condition.name, condition.level) == (f"extra {extra}", "note")
    assert condition.detail == "not installed: some-package"
    assert len(condition.consequence) > 30
    assert f"twistream-kit[{extra}]" in condition.fix


def test_each_extra_of_the_project_has_its_sentence():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert set(project["optional-dependencies"]) <= set(PROJECT_EXTRAS) == set(_packages._EXTRAS)


def test_an_extra_that_is_present_is_fine_and_one_of_another_system_is_left_out(requires):
    requires(
        "ngrok>=1.4; extra == 'tunnel'",
        "uvloop; sys_platform == 'of another time' and extra == 'fast'",
        ngrok="1.4.0",
    )
    assert only(_packages.examine_extras()) == Condition("extra tunnel", "ok", "installed")


# Kernel and JupyterLab ---------------------------------------------------------------------


def test_the_kernel_of_the_tests_runs_this_python():
    condition = only(_jupyter.examine_kernel())
    assert condition.level == "ok"
    assert "python3 runs this Python" in condition.detail


@pytest.mark.parametrize("version", ["7.0.0", "7.0.1", "6.28.0"])
def test_a_kernel_that_the_kit_does_not_take_is_an_error(requires, version):
    requires("ipykernel!=7.0.0,!=7.0.1,>=6.29", ipykernel=version)
    condition = only(_jupyter.examine_kernel())
    assert (condition.name, condition.level) == ("ipykernel", "error")
    assert condition.detail.startswith(f"{version} is installed")


def test_a_kernel_whose_buttons_wait_is_a_warning(requires):
    requires("ipykernel!=7.0.0,!=7.0.1,>=6.29", ipykernel="6.29.5")
    fine, old = _jupyter.examine_kernel()
    assert fine.level == "ok"
    assert (old.level, old.detail) == ("warning", "ipykernel 6.29.5 is older than 7")
    assert old.consequence == "On this kernel, buttons wait until a running cell ends"


@pytest.mark.parametrize("version", ["7.1.0", "7.3.0"])
def test_a_kernel_that_can_miss_a_request_is_a_warning(requires, version):
    requires("ipykernel!=7.0.0,!=7.0.1,>=6.29", ipykernel=version)
    fine, old = _jupyter.examine_kernel()
    assert fine.level == "ok"
    assert old.level == "warning"
    assert old.detail == f"ipykernel {version} is older than 7.4, and can miss that a cell was run"
    assert "until you choose Kernel > Reconnect to Kernel" in old.consequence
    assert old.fix.endswith("install --upgrade ipykernel")


def test_a_kernel_that_misses_nothing_is_no_warning(requires):
    requires("ipykernel!=7.0.0,!=7.0.1,>=6.29", ipykernel="7.4.0")
    assert only(_jupyter.examine_kernel()).level == "ok"


def use_kernelspec(monkeypatch, tmp_path, program):
    folder = tmp_path / "jupyter" / "kernels" / "python3"
    folder.mkdir(parents=True)
    spec = {"argv": [program, "-m", "ipykernel_launcher"], "display_name": "x", "language": "x"}
    (folder / "kernel.json").write_text(json.dumps(spec))
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
    return folder


def test_a_kernel_of_another_python_is_a_warning_that_names_it(monkeypatch, tmp_path):
    folder = use_kernelspec(monkeypatch, tmp_path, "/opt/other/bin/python")
    condition = only(_jupyter.examine_kernel())
    assert condition.level == "warning"
    assert condition.detail == f"python3 in {folder} runs another Python: /opt/other/bin/python"
    assert "twistream tutorial" in condition.fix


@pytest.mark.parametrize("program", ["python", "python3", sys.executable])
def test_a_kernel_by_a_bare_name_or_by_this_python_is_fine(monkeypatch, tmp_path, program):
    use_kernelspec(monkeypatch, tmp_path, program)
    assert only(_jupyter.examine_kernel()).level == "ok"


def test_a_jupyterlab_without_the_extensions_of_widgets_is_an_error(monkeypatch, tmp_path):
    from jupyter_core import paths

    monkeypatch.setattr(paths, "jupyter_path", lambda *_: [str(tmp_path)])
    condition = _jupyter.examine_jupyterlab()[0]
    assert condition.level == "error"
    assert condition.detail == "lacks the extension of jupyterlab_widgets and anywidget"


def test_an_old_jupyterlab_is_a_warning(requires, on_path):
    requires("jupyterlab>=4.2", jupyterlab="4.3.9")
    condition = only(_jupyter.examine_jupyterlab())
    assert (condition.level, condition.detail) == ("warning", "4.3.9 is older than 4.4")


def test_a_jupyterlab_of_another_environment_on_the_path_is_a_warning(on_path):
    folder = on_path("jupyter-lab")
    condition = only(_jupyter.examine_jupyterlab())
    assert condition.level == "warning"
    assert str(folder) in condition.detail


def test_root_gets_the_option_and_others_get_no_line(monkeypatch):
    monkeypatch.setattr(os, "geteuid", lambda: 0, raising=False)
    assert "--allow-root" in only(_jupyter.examine_user()).fix
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    assert _jupyter.examine_user() == []


# Browser -----------------------------------------------------------------------------------


@pytest.fixture
def linux(monkeypatch):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(_jupyter, "_find_default_browser", lambda: "")


def test_an_installed_browser_is_named(linux, on_path):
    folder = on_path("firefox")
    assert only(_jupyter.examine_browser()).detail.startswith(str(folder / "firefox"))
    on_path("chromium")
    assert only(_jupyter.examine_browser()).detail.startswith(str(folder / "chromium"))


def test_no_browser_is_a_warning_that_names_the_way_without_one(linux, on_path):
    condition = only(_jupyter.examine_browser())
    assert (condition.level, condition.detail) == ("warning", "none is found")
    assert "twistream tutorial --no-browser" in condition.fix


def test_a_machine_without_a_screen_is_a_warning(linux, on_path, monkeypatch):
    on_path("chromium")
    monkeypatch.delenv("DISPLAY")
    condition = only(_jupyter.examine_browser())
    assert condition.level == "warning"
    assert "there is no screen" in condition.detail
    assert "ssh -L 8888:localhost:8888" in condition.fix


# Loopback, port and ffmpeg -----------------------------------------------------------------


def test_loopback_that_is_refused_is_an_error(monkeypatch):
    def refuse(*_args, **_options):
        raise PermissionError(1, "Operation not permitted")

    assert only(_machine.examine_loopback()).level == "ok"
    monkeypatch.setattr(socket, "create_server", refuse)
    condition = only(_machine.examine_loopback())
    assert condition.level == "error"
    assert "no call is possible" in condition.consequence


def test_a_localhost_elsewhere_is_a_warning(monkeypatch):
    elsewhere = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.7", 0))]
    resolve = socket.getaddrinfo

    def answer(host, *args, **options):
        return elsewhere if host == "localhost" else resolve(host, *args, **options)

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    condition = only(_machine.examine_loopback())
    assert condition.level == "warning"
    assert "localhost is not this machine" in condition.detail


def test_a_port_in_use_is_a_note(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setattr(_machine, "JUPYTER_PORT", taken.getsockname()[1])
        condition = only(_machine.examine_port())
    assert condition.level == "note"
    assert "JupyterLab takes the next free one" in condition.consequence
    assert only(_machine.examine_port()).level == "ok"


def test_ffmpeg_is_a_note_where_it_is_not(on_path):
    assert only(_machine.examine_ffmpeg()).level == "note"
    folder = on_path("ffmpeg")
    condition = only(_machine.examine_ffmpeg())
    assert condition.level == "ok"
    assert condition.detail.startswith(str(folder / "ffmpeg"))


# Account and public address ----------------------------------------------------------------


def test_no_account_is_a_note_that_says_where_a_file_was_looked_for(tmp_path):
    condition = only(_account.examine_account())
    assert condition.level == "note"
    assert f"there is no file .env in {tmp_path} or above" in condition.detail
    assert "simulator need none" in condition.consequence


def test_a_whole_account_is_fine_with_its_sources(monkeypatch, tmp_path):
    lines = [f"{name}={value}" for name, value in ACCOUNT.items()]
    (tmp_path / ".env").write_text("\n".join(lines))
    monkeypatch.setenv("TWISTREAM_CALL_TO", "+15550100789")
    condition = only(_account.examine_account())
    assert condition.level == "ok"
    assert "TWILIO_AUTH_TOKEN (.env)" in condition.detail
    assert "TWISTREAM_CALL_TO (environment)" in condition.detail
    assert f"{tmp_path / '.env'} is read" in condition.detail


def test_half_an_account_is_a_warning_that_names_the_rest(monkeypatch):
    monkeypatch.setenv("TWILIO_ACCOUNT_SID", ACCOUNT["TWILIO_ACCOUNT_SID"])
    condition = only(_account.examine_account())
    assert condition.level == "warning"
    assert "missing: TWILIO_AUTH_TOKEN, TWILIO_PHONE_NUMBER, TWISTREAM_CALL_TO" in condition.detail
    assert condition.consequence.startswith("Without it no signature")


def test_a_malformed_setting_is_an_error_without_its_value(monkeypatch):
    set_account(monkeypatch, TWILIO_AUTH_TOKEN=f"{TOKEN}0")
    condition = only(_account.examine_account())
    assert condition.level == "error"
    assert "TWILIO_AUTH_TOKEN, from the environment, has 33 characters" in condition.detail
    assert TOKEN not in str(condition)
    assert _account.examine_tunnels() == []


def test_another_file_or_none_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TWISTREAM_ENV_FILE", "")
    assert "so no file .env is read" in only(_account.examine_account()).detail
    monkeypatch.setenv("TWISTREAM_ENV_FILE", str(tmp_path / "mine"))
    assert "is not there" in only(_account.examine_account()).detail


def rows():
    return {condition.name: condition for condition in _account.examine_tunnels()}


def test_without_any_tunnel_all_ways_are_named(on_path, monkeypatch):
    monkeypatch.setattr(_ngrok, "importlib", NO_MODULES)
    found = rows()
    assert {condition.level for condition in found.values()} == {"note"}
    for way in ("TWISTREAM_PUBLIC_URL", "NGROK_AUTHTOKEN", "cloudflared"):
        assert way in found["public address"].fix
    assert found["tunnel ssh"].detail == "there is no program ssh on the PATH"


def test_the_tunnel_that_would_be_taken_is_named(on_path, monkeypatch):
    on_path("cloudflared", "ssh")
    found = rows()
    assert found["public address"].detail == "open_tunnel(server) takes cloudflared"
    assert found["tunnel cloudflared"].level == found["tunnel ssh"].level == "ok"
    monkeypatch.setenv("TWISTREAM_PUBLIC_URL", "https://example.com")
    assert rows()["public address"].detail == "open_tunnel(server) takes TWISTREAM_PUBLIC_URL"


def test_a_token_of_ngrok_without_its_package_is_a_warning_with_the_extra(monkeypatch, on_path):
    monkeypatch.setenv("NGROK_AUTHTOKEN", NGROK)
    monkeypatch.setattr(_ngrok, "importlib", NO_MODULES)
    condition = rows()["tunnel ngrok"]
    assert condition.level == "warning"
    assert "twistream-kit[tunnel]" in condition.fix
    assert rows()["public address"].level == "note"


def test_the_command_tutorial_names_what_it_does_not_settle_itself(monkeypatch, on_path, requires):
    on_path("jupyter-lab")  # that of another environment
    lines = ["ipykernel>=6.29", "jupyterlab>=4.2", "fastapi; extra == 'notebooks'"]
    requires(*lines, ipykernel="6.29.5", jupyterlab="4.6.6")
    monkeypatch.setattr(_jupyter, "_find_default_browser", lambda: "")
    found = find_obstacles(opens_browser=True)
    assert [condition.name for condition in found] == ["ipykernel", "browser", "extra notebooks"]
    found = find_obstacles(opens_browser=False)
    assert [condition.name for condition in found] == ["ipykernel", "extra notebooks"]


def test_an_error_is_always_named_by_the_command_tutorial(requires):
    requires("ipykernel>=6.29", "jupyterlab>=4.2", ipykernel="6.1.0", jupyterlab="3.0.0")
    errors = find_obstacles(opens_browser=False).select("error")
    assert [condition.name for condition in errors] == ["ipykernel", "jupyterlab"]
