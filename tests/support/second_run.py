"""Failed tests run once more, by themselves: what fails twice is a fault, what passes then is told.

Thousands of tests here follow sound in real time, on machines that others use too.  Where
``TWISTREAM_SECOND_RUN=1`` is set, as `.ci/run` does, a run in which only a few have failed tries
these again in one process, with nothing beside.  Its end names those that have passed then.
"""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

MOST = 5
"""With more than this many failures it is not chance, and nothing runs again."""

LIMIT_SECONDS = 900


class SecondRun:
    """A plugin that runs few failed tests a second time, and says which have passed then."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config
        self._failed: dict[str, None] = {}
        self._said = ""

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what fails in its preparation, in itself or at its end."""
        if report.failed:
            self._failed[report.nodeid] = None

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Run it again, and let the second outcome decide."""
        if session.exitstatus != pytest.ExitCode.TESTS_FAILED or not self._failed:
            return
        if len(self._failed) > MOST:
            self._said = f"{len(self._failed)} tests have failed: too many for a second run"
            return
        with self._config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            sys.stdout.write(f"\nA second run of the {len(self._failed)} that have failed:\n")
            sys.stdout.flush()
            code = run(self._command())
        names = "\n".join(self._failed)
        if code == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.OK
            self._said = f"Passed in a second run, alone; what made the first one fail?\n{names}"
        else:
            self._said = f"Of these some have failed again:\n{names}"

    def pytest_terminal_summary(self, terminalreporter) -> None:
        """Say it below the failures of the first run."""
        if self._said:
            terminalreporter.section("second run")
            terminalreporter.write_line(self._said)

    def _command(self) -> list[str]:
        options = ["-q", "-m", "", "-p", "no:cacheprovider"]
        if (loop := self._config.getoption("--loop", None)) is not None:
            options.append(f"--loop={loop}")
        return [sys.executable, "-m", "pytest", *options, *self._failed]


def run(command: list[str]) -> int:
    """Return the exit code of a command; it fails if it takes too long."""
    try:
        return subprocess.run(command, timeout=LIMIT_SECONDS, check=False).returncode
    except subprocess.TimeoutExpired:
        return pytest.ExitCode.TESTS_FAILED


def register(config: pytest.Config) -> None:
    """Let a run that is asked to do so try again what fails; its workers do not."""
    if os.environ.pop("TWISTREAM_SECOND_RUN", "") == "1" and not hasattr(config, "workerinput"):
        config.pluginmanager.register(SecondRun(config))
