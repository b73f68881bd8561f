"""The kernel, JupyterLab, and the browser that shows it."""

from __future__ import annotations

import os
import re
import shutil
import sys
import webbrowser
from importlib import metadata
from pathlib import Path

from twistream_kit.doctor._packages import examine_package, join_command
from twistream_kit.doctor.condition import Condition
from twistream_kit.notebook.runtime.kernel import OLD_KERNEL, SUBSHELLS_SINCE

KERNEL = "python3"
"""The name of the kernel that the notebooks ask for."""

MISSES_NO_REQUEST_SINCE = (7, 4)
"""The first ipykernel with subshells that reads every request (docs/NOTEBOOKS.md §3)."""

ASKS_FOR_SUBSHELLS_SINCE = (4, 4)
"""The first JupyterLab that has the messages of widgets handled beside a running cell."""

_LAB_EXTENSIONS = {
    "@jupyter-widgets/jupyterlab-manager": "jupyterlab_widgets",
    "anywidget": "anywidget",
}
"""What JupyterLab needs to draw widgets, and the package that brings it."""

_BROWSERS = (
    *("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "microsoft-edge"),
    *("brave-browser", "firefox", "firefox-esr"),
)
_APPLICATIONS = ("Google Chrome", "Chromium", "Microsoft Edge", "Firefox", "Safari")
"""Browsers by their names on a PATH, and in the folder of applications of macOS."""

_NO_BROWSER_FIX = (
    "Say twistream tutorial --no-browser and open the address that it prints; from another "
    "computer first ssh -L 8888:localhost:8888 to this one"
)


def examine_kernel() -> list[Condition]:
    """Look at ipykernel, and at which Python runs the notebooks."""
    fault = examine_package("ipykernel")
    if fault is not None:
        return [fault]
    version = metadata.version("ipykernel")
    found = [_examine_kernelspec(version)]
    if _read_numbers(version) < SUBSHELLS_SINCE:
        detail = f"ipykernel {version} is older than {SUBSHELLS_SINCE[0]}"
        consequence = OLD_KERNEL.replace("A cell is running: on this kernel", "On this kernel")
        consequence = consequence.replace("it ends.", "a running cell ends")
        fix = f"Say {join_command('pip', 'install', '--upgrade', 'ipykernel')}"
        found.append(Condition("ipykernel", "warning", detail, consequence, fix))
    elif _read_numbers(version) < MISSES_NO_REQUEST_SINCE:
        newer = ".".join(map(str, MISSES_NO_REQUEST_SINCE))
        fix = f"Say {join_command('pip', 'install', '--upgrade', 'ipykernel')}"
        found.append(
            Condition(
                "ipykernel",
                "warning",
                f"ipykernel {version} is older than {newer}, and can miss that a cell was run",
                "The cell stays at [*] then, beside an idle kernel, until you choose Kernel > "
                "Reconnect to Kernel",
                fix,
            )
        )
    return found


def _examine_kernelspec(version: str) -> Condition:
    from jupyter_client.kernelspec import KernelSpecManager, NoSuchKernel

    try:
        spec = KernelSpecManager().get_kernel_spec(KERNEL)
    except NoSuchKernel:
        return Condition(
            "kernel",
            "error",
            f"no kernel {KERNEL} is found",
            "JupyterLab cannot run the notebooks",
            f"Say {join_command(sys.executable, '-m', 'ipykernel', 'install', '--sys-prefix')}",
        )
    program = str(spec.argv[0]) if spec.argv else ""
    if _starts_this_python(program):
        return Condition("kernel", "ok", f"ipykernel {version}; {KERNEL} runs this Python")
    return Condition(
        "kernel",
        "warning",
        f"{KERNEL} in {spec.resource_dir} runs another Python: {program}",
        "In a JupyterLab that you start yourself, notebooks run there, and the kit may be missing "
        "(ModuleNotFoundError); twistream tutorial prefers the kernel of this environment",
        "Say twistream tutorial, or set JUPYTER_PREFER_ENV_PATH=1, or remove that kernel with "
        f"jupyter kernelspec remove {KERNEL}",
    )


def _starts_this_python(program: str) -> bool:
    """Whether a kernel's program is this Python; Jupyter takes a bare name for its own Python."""
    if re.fullmatch(r"python(\d+(\.\d+)?)?(\.exe)?", program):
        return True
    folders = [os.path.realpath(Path(path).parent) for path in (program, sys.executable)]
    return os.path.normcase(folders[0]) == os.path.normcase(folders[1])


def examine_jupyterlab() -> list[Condition]:
    """Look at JupyterLab: its version, what draws widgets, and which one a terminal starts."""
    fault = examine_package("jupyterlab")
    if fault is not None:
        return [fault]
    version = metadata.version("jupyterlab")
    found = _examine_lab_extensions()
    if _read_numbers(version) < ASKS_FOR_SUBSHELLS_SINCE:
        needed = ".".join(map(str, ASKS_FOR_SUBSHELLS_SINCE))
        found.append(
            Condition(
                "JupyterLab",
                "warning",
                f"{version} is older than {needed}",
                "Buttons may wait until a running cell ends",
                f"Say {join_command('pip', 'install', '--upgrade', 'jupyterlab')}",
            )
        )
    other = shutil.which("jupyter-lab")
    folder = Path(sys.executable).parent
    if other is not None and os.path.realpath(Path(other).parent) != os.path.realpath(folder):
        found.append(
            Condition(
                "JupyterLab",
                "warning",
                f"jupyter lab starts that of another environment: {other}",
                "Its notebooks run where the kit may be missing",
                f"Say twistream tutorial, or {join_command(sys.executable, '-m', 'jupyterlab')}",
            )
        )
    return found or [Condition("JupyterLab", "ok", version)]


def _examine_lab_extensions() -> list[Condition]:
    from jupyter_core.paths import jupyter_path

    folders = [Path(path) for path in jupyter_path("labextensions")]
    missing = [
        package
        for name, package in _LAB_EXTENSIONS.items()
        if not any((folder / name / "package.json").is_file() for folder in folders)
    ]
    if not missing:
        return []
    return [
        Condition(
            "JupyterLab",
            "error",
            f"lacks the extension of {' and '.join(missing)}",
            "Telephone, controls and all other widgets are shown as text",
            f"Say {join_command('pip', 'install', '--force-reinstall', '--no-deps', *missing)}",
        )
    ]


def examine_user() -> list[Condition]:
    """Look whether this is root, as whom JupyterLab does not start; nothing if it is not."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return []
    return [
        Condition(
            "user",
            "warning",
            "you are root",
            "JupyterLab does not run as root unless it is allowed to",
            "In a container, where root is usual: twistream tutorial --allow-root; elsewhere be an "
            "ordinary user",
        )
    ]


def examine_browser() -> list[Condition]:
    """Look for a browser that JupyterLab can open."""
    installed = [path for name in _BROWSERS if (path := shutil.which(name))]
    if sys.platform == "darwin":
        applications = [Path("/Applications", f"{name}.app") for name in _APPLICATIONS]
        installed += [str(path) for path in applications if path.exists()]
    default = _find_default_browser()
    if sys.platform == "linux" and not any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY"))):
        there = f"{installed[0]} is installed, but" if installed else "no browser is found, and"
        return [
            Condition(
                "browser",
                "warning",
                f"{there} there is no screen (DISPLAY and WAYLAND_DISPLAY are not set)",
                "JupyterLab prints its address and opens nothing",
                _NO_BROWSER_FIX,
            )
        ]
    if not installed and not default:
        return [
            Condition(
                "browser",
                "warning",
                "none is found",
                "JupyterLab prints its address and opens nothing",
                f"Install one; Chromium is the one that is tested. Or: {_NO_BROWSER_FIX}",
            )
        ]
    found = installed[0] if installed else f"the default of this system ({default})"
    return [Condition("browser", "ok", found)]


def _find_default_browser() -> str:
    """Return the name of the browser that Python would open, or "" if it knows none."""
    try:
        browser = webbrowser.get()
    except webbrowser.Error:
        return ""
    return str(getattr(browser, "name", "") or type(browser).__name__)


def _read_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version)[:2])
