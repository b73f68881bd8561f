"""The pytest plugin: fixtures for a simulated Twilio and for simulated calls.

pytest loads this module in every run, so it imports nothing of this package, and no other heavy
module, before a test requests one of the fixtures.
"""

from __future__ import annotations

import io
import itertools
import re
import sys
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from twistream_kit.audio.clip import Clip
    from twistream_kit.diagnosis.load import LoadReport
    from twistream_kit.pending import Pending
    from twistream_kit.simulator._fault_pending import FaultInjection
    from twistream_kit.simulator._load_run import LoadRun
    from twistream_kit.simulator.fault_report import FaultReport
    from twistream_kit.simulator.report import CallReport
    from twistream_kit.simulator.twilio import SimulatedTwilio

TIMEOUT = "twistream_call_timeout"

GRACE_SECONDS = 30.0
"""How much longer than the call a test waits for its report, by default."""

PLOTS = "twistream_plots"
"""The setting with the folder for plots; the option is ``--twistream-plots``."""

MOST_PLOTS = 3
"""Of so many calls of a failed test, its last, the turns are drawn: each takes half a second."""

_COLOUR = re.compile(r"\x1b\[[\d;]*m")
"""Pytest colours the text of a failure where FORCE_COLOR is set, whatever --color says."""

_CALLER = pytest.StashKey["SimulatedCaller"]()
"""The caller of a test."""

_FOLDER = pytest.StashKey[Path | None]()
"""The folder for plots; None for a temporary one."""

_OPTIONS = ("ring_seconds", "behaviour", "numbers", "account")

_MARKER = (
    f"twilio(**options): options of twistream_twilio for this test: {', '.join(_OPTIONS)}, "
    "as for twistream_kit.SimulatedTwilio; behaviour also applies to "
    "twistream_call, twistream_load and twistream_faults"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the settings and the option."""
    parser.addini(TIMEOUT, "seconds to wait for the report of a simulated call", default="")
    about = "folder for the plots of simulated calls whose tests fail; a temporary one if left out"
    parser.addini(PLOTS, about, default="")
    parser.getgroup("twistream").addoption("--twistream-plots", metavar="DIR", help=about)


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker, and find the folder before a test can change the current one."""
    config.addinivalue_line("markers", _MARKER)
    given, setting = config.getoption("--twistream-plots"), config.getini(PLOTS)
    if given is not None:
        folder = config.invocation_params.dir / given
        _check_folder(folder, "--twistream-plots", given)
    else:
        folder = config.rootpath / setting if setting else None
        if folder is not None:
            _check_folder(folder, PLOTS, setting)
    config.stash[_FOLDER] = folder


def _check_folder(folder: Path, name: str, given: str) -> None:
    """Refuse a folder for plots that cannot be one, before any test has run."""
    for place in (folder, *folder.parents):
        try:
            if place.is_dir():
                return
            is_there = place.exists()
        except OSError as error:  # such as a name that is too long
            message = f"{name} is {given!r}: {error.strerror}; give the name of a folder"
            raise pytest.UsageError(message) from error
        if is_there:
            message = f"{name} is {given!r}, and {place} is no folder; give the name of a folder"
            raise pytest.UsageError(message)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Write the turns of its conversations below the failure of a test, and draw them.

    A fixture may make calls and fail, too, before the test or after it.
    """
    if not item.config.getoption("fulltrace"):
        _leave_frames_of_the_kit_out(call)
    report = yield
    caller = item.stash.get(_CALLER, None)
    if report.failed and caller is not None:
        caller.show_turns(report)
    return report


def _leave_frames_of_the_kit_out(call: pytest.CallInfo[None]) -> None:
    """Let the traceback of an argument that is not taken end with the line that gives it.

    `kit.verbose_errors` and ``--full-trace`` show all of it.
    """
    errors, raised = sys.modules.get("twistream_kit.errors"), call.excinfo
    if errors is None or raised is None:
        return
    if isinstance(raised.value, errors.WrongType | errors.WrongValue):
        from twistream_kit.user_frames import keep_user_frames

        if kept := keep_user_frames(raised.tb):
            call.excinfo = pytest.ExceptionInfo.from_exc_info((raised.type, raised.value, kept))


@pytest.fixture
def twistream_twilio(request: pytest.FixtureRequest) -> Iterator[SimulatedTwilio]:
    """A simulated Twilio that runs on this machine until the test ends.

    It has a thread and a loop of its own, so synchronous and async tests may use it.  Its debugger
    log is shown under a test that fails.  Options: ``@pytest.mark.twilio(…)``.
    """
    from twistream_kit.simulator._own_thread import on_own_thread
    from twistream_kit.simulator.twilio import SimulatedTwilio

    # Tests need no ringing; @pytest.mark.twilio(ring_seconds=…) changes that.
    with on_own_thread(
        SimulatedTwilio(**({"ring_seconds": 0.02} | _read_options(request)))
    ) as twilio:
        yield twilio
    if len(twilio.debugger) or twilio.debugger.unlogged:
        _show(request, "teardown", "Twilio's debugger", str(twilio.debugger))


@pytest.fixture
def twistream_call(request: pytest.FixtureRequest) -> SimulatedCaller:
    """Call a Media Streams server and get the report of the call, a `CallReport`.

    Write ``report = twistream_call(url, say=…, seconds=…)``, or in an async test
    ``report = await twistream_call.start(url, …)``.  The reports are shown under a test that fails.
    """
    return SimulatedCaller(request)


@pytest.fixture
def twistream_load(request: pytest.FixtureRequest) -> LoadMaker:
    """Make many calls at once to a Media Streams server and get the report, a `LoadReport`.

    Write ``report = twistream_load(url, 20, limits={"first_sound_ms": 800})`` and ``assert
    report.ok``, or in an async test ``report = await twistream_load.start(url, 20)``.  It is shown
    under a test that fails.
    """
    return LoadMaker(request)


@pytest.fixture
def twistream_faults(request: pytest.FixtureRequest) -> FaultInjector:
    """Break streams of a Media Streams server and get the report, a `FaultReport`.

    Write ``report = twistream_faults(url, scale=0.1)`` and ``assert report.ok``, or in an async
    test ``report = await twistream_faults.start(url, …)``.  It is shown under a test that fails.
    """
    return FaultInjector(request)


class LoadMaker:
    """The value of the fixture `twistream_load`; call it to make many calls at once."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def __call__(
        self, url: str, calls: int = 10, *, timeout: float | None = None, **options: Any
    ) -> LoadReport:
        """Make the calls, and wait for the report.

        Args:
            url: The server's WebSocket: wss, or ws on this machine.
            calls: How many calls.
            timeout: The seconds to wait; by default no longer than the run itself may take.
            options: As for `simulate_calls`: ``seconds``, ``script``, ``ramp_seconds``, ``limits``,
                ``line`` and the others.

        Raises:
            CallRefused: If Twilio would not connect to `url`.
            TimeoutError: If there is no report within the timeout; the callers then hang up.
            WouldDeadlock: If called on a running loop, which the server may need to answer.
        """
        __tracebackhide__ = _hides_frames
        _refuse_on_a_loop("twistream_load")
        run = self._begin(url, calls, options)
        try:
            report = run.result(timeout)
        except TimeoutError:
            run.stop()  # its calls would go on beside the next test
            raise
        self._note(report)
        return report

    def start(self, url: str, calls: int = 10, **options: Any) -> Pending[LoadReport]:
        """Make the calls and return at once; await the result, or call its ``.result(timeout)``."""
        __tracebackhide__ = _hides_frames
        pending = self._begin(url, calls, options)
        pending.add_done_callback(
            lambda done: None if done.exception() else self._note(done.result())
        )
        return pending

    def _begin(self, url: str, calls: int, options: dict[str, Any]) -> LoadRun:
        __tracebackhide__ = _hides_frames
        from twistream_kit.simulator.load import simulate_calls

        if "behaviour" in (marked := _read_options(self._request)):
            options = {"behaviour": marked["behaviour"]} | options
        run = simulate_calls(url, calls, **({"progress": False} | options))
        return cast("LoadRun", run)

    def _note(self, report: LoadReport) -> None:
        _show(self._request, "call", "report of simulated calls", report.to_text(verbose=True))


class FaultInjector:
    """The value of the fixture `twistream_faults`; call it to try faults."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

    def __call__(self, url: str, *, timeout: float = 600.0, **options: Any) -> FaultReport:
        """Try the faults, and wait for the report.

        Args:
            url: The server's WebSocket: wss, or ws on this machine.
            timeout: The seconds to wait.
            options: ``only``, ``seed``, ``scale``, ``pid``, ``remote``, ``parameters``,
                ``auth_token``, ``behaviour``: as for `inject_faults`.

        Raises:
            CallRefused: If the server cannot be reached, or refuses.
            TimeoutError: If there is no report within the timeout.
            WouldDeadlock: If called on a running loop, which the server may need to answer.
        """
        __tracebackhide__ = _hides_frames
        _refuse_on_a_loop("twistream_faults")
        run = self._begin(url, options)
        try:
            report = run.result(timeout)
        except TimeoutError:
            run.stop()  # it would go on to break streams of the next tests
            raise
        self._note(report)
        return report

    def start(self, url: str, **options: Any) -> Pending[FaultReport]:
        """Try the faults and return at once; await the result, or call its ``.result(timeout)``."""
        __tracebackhide__ = _hides_frames
        pending = self._begin(url, options)
        pending.add_done_callback(
            lambda done: None if done.exception() else self._note(done.result())
        )
        return pending

    def _begin(self, url: str, options: dict[str, Any]) -> FaultInjection:
        __tracebackhide__ = _hides_frames
        from twistream_kit.simulator.faults import inject_faults

        options = {"progress": False} | options

        if "behaviour" in (marked := _read_options(self._request)):
            options = {"behaviour": marked["behaviour"]} | options
        return cast("FaultInjection", inject_faults(url, **options))

    def _note(self, report: FaultReport) -> None:
        _show(self._request, "call", "report of faults", str(report))


class SimulatedCaller:
    """The value of the fixture `twistream_call`; call it to make a call."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request
        self._reports: list[CallReport] = []
        self._n_shown = 0
        # Here, because in the teardown of a test no fixture can be requested any more.
        self._temporary = _find_temporary_folders(request)
        request.node.stash[_CALLER] = self

    def __call__(
        self,
        url: str,
        *,
        say: Clip | bytes | str | Path | None = None,
        timeout: float | None = None,
        **options: Any,
    ) -> CallReport:
        """Make a call and wait for its report.

        Args:
            url: The server's WebSocket: wss, or ws on this machine.
            say: The speech of the caller: a clip, PCMU bytes, or the path of a sound file.
            timeout: The seconds to wait; by default the ini setting ``twistream_call_timeout``, or
                30 seconds more than the length of the call.
            options: ``press``, ``script``, ``seed``, ``seconds``, ``parameters``, ``auth_token``,
                ``behaviour``, ``line``, ``line_back``: as for `simulate_call`.

        Raises:
            CallRefused: If the server cannot be reached, or refuses.
            TimeoutError: If there is no report within the timeout.
            WouldDeadlock: If called on a running loop, which the server may need to answer.
        """
        __tracebackhide__ = _hides_frames
        _refuse_on_a_loop("twistream_call")
        if timeout is None:
            timeout = self._read_timeout(options)
        report = self._begin(url, say, options).result(timeout)
        self._note(report)
        return report

    def start(
        self, url: str, *, say: Clip | bytes | str | Path | None = None, **options: Any
    ) -> Pending[CallReport]:
        """Make a call and return at once; await the result, or call its ``.result(timeout)``."""
        __tracebackhide__ = _hides_frames
        pending = self._begin(url, say, options)
        pending.add_done_callback(
            lambda done: None if done.exception() else self._note(done.result())
        )
        return pending

    def show_turns(self, failure: pytest.TestReport) -> None:
        """Add the turns of the conversations to the failure of the test.

        A call is one if the caller had a script or spoke, or the test asks for a figure that has no
        values.  Of a test that fails and whose teardown fails, too, each is shown once.
        """
        reports, self._n_shown = self._reports[self._n_shown :], len(self._reports)
        message = _COLOUR.sub("", str(failure.longrepr)) if reports else ""
        is_asked = "has no values: " in message
        talks = [
            each
            for each in reports
            if is_asked or each.acts or any(turn.who == "caller" for turn in each.turns)
        ]
        said = {line.removeprefix("E").strip() for line in message.splitlines()}
        for number, report in enumerate(talks, 1):
            lines = str(report.turns).splitlines()
            if {line.strip() for line in lines} <= said:  # as after turns.check(…)
                lines = []
            if number > len(talks) - MOST_PLOTS:
                plot = _draw_turns(self._request, report, self._temporary)
                lines.append(f"  plot: {plot}")
            if not report.believable:
                from twistream_kit.simulator.report import warn_of_lateness

                lines.append(f"  {warn_of_lateness(report.lateness)}")
            title, text = f"Turns of the call to {report.url}", "\n".join(lines)
            add_section = getattr(failure.longrepr, "addsection", None)
            if add_section is not None:  # shown whatever --show-capture says
                add_section(title, text)
            else:
                failure.sections.append((title, text))

    def _begin(
        self, url: str, say: Clip | bytes | str | Path | None, options: dict[str, Any]
    ) -> Pending[CallReport]:
        __tracebackhide__ = _hides_frames
        from twistream_kit.audio.load import load_clip
        from twistream_kit.simulator.simulate_call import simulate_call

        if "behaviour" in (marked := _read_options(self._request)):
            options = {"behaviour": marked["behaviour"]} | options
        words = load_clip(say) if isinstance(say, str | Path) else say
        return simulate_call(url, say=words, **options)

    def _note(self, report: CallReport) -> None:
        self._reports.append(report)
        # The heading becomes "Captured report of a simulated call".
        _show(self._request, "call", "report of a simulated", str(report))

    def _read_timeout(self, options: dict[str, Any]) -> float:
        __tracebackhide__ = _hides_frames
        text = self._request.config.getini(TIMEOUT)
        if not text:
            from twistream_kit.simulator.simulate_call import find_longest_seconds

            return find_longest_seconds(options) + GRACE_SECONDS
        try:
            seconds = float(text)
        except ValueError:
            seconds = -1.0
        if not seconds >= 0:  # NaN is neither
            message = f"{TIMEOUT} is {text!r}; give a number of seconds"
            raise pytest.UsageError(message)
        return seconds


def _read_options(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Return the options in the markers of a test; the nearest marker takes precedence."""
    options: dict[str, Any] = {}
    for marker in reversed(list(request.node.iter_markers("twilio"))):
        if marker.args:
            message = "@pytest.mark.twilio takes names, such as twilio(ring_seconds=0.5)"
            raise pytest.UsageError(message)
        options |= marker.kwargs
    if options:
        _check_options(request, options)
    return options


def _check_options(request: pytest.FixtureRequest, options: dict[str, Any]) -> None:
    """Fail the test, with one sentence, for options in its markers that are not taken."""
    from twistream_kit.errors import TwistreamError
    from twistream_kit.simulator.model.assumptions import check_behaviour

    said = ", ".join(f"{name}={value!r}" for name, value in options.items())
    where = f"{request.node.nodeid}: @pytest.mark.twilio({said})"
    if strange := [name for name in options if name not in _OPTIONS]:
        known = ", ".join(_OPTIONS)
        pytest.fail(f"{where}: there is no option {strange[0]!r}; there are {known}", pytrace=False)
    try:
        check_behaviour(options.get("behaviour"))
    except TwistreamError as error:
        pytest.fail(f"{where}: {error}", pytrace=False)


def _show(request: pytest.FixtureRequest, when: str, title: str, text: str) -> None:
    """Add `text` to the report of the test, which is shown if it fails."""
    request.node.add_report_section(when, title, text)


def _find_temporary_folders(request: pytest.FixtureRequest) -> pytest.TempPathFactory | None:
    """Return what makes temporary folders that pytest removes; None after ``-p no:tmpdir``."""
    try:
        factory: pytest.TempPathFactory = request.getfixturevalue("tmp_path_factory")
    except pytest.FixtureLookupError:
        return None
    return factory


def _draw_turns(
    request: pytest.FixtureRequest, call: CallReport, temporary: pytest.TempPathFactory | None
) -> str:
    """Draw the turns of a call; return the path of the picture, or why there is none."""
    picture = io.BytesIO()
    try:
        with warnings.catch_warnings():  # of matplotlib, which are not the test's
            warnings.simplefilter("ignore")
            from twistream_kit.notebook.plots.turns import plot_turns

            plot_turns(call).savefig(picture, format="png")
        path = _save_plot(request, picture.getvalue(), temporary)
        here = request.config.invocation_params.dir
        return str(path.relative_to(here) if path.is_relative_to(here) else path)
    except ModuleNotFoundError as error:
        return f"none, for there is no {error.name} here: pip install {error.name}"
    except OSError as error:
        where = f"{error.filename} " if error.filename else ""
        why = error.strerror or type(error).__name__
        return f"none, for {where}cannot be written: {why}; --twistream-plots DIR says where"
    except Exception as error:  # noqa: BLE001 - it must not hide the failure of the test
        return f"none: {type(error).__name__}: {error}"


def _save_plot(
    request: pytest.FixtureRequest, picture: bytes, temporary: pytest.TempPathFactory | None
) -> Path:
    """Save a picture in a file of its own, which replaces none."""
    folder = request.config.stash[_FOLDER]
    test, _, parameters = request.node.nodeid.partition("[")  # which may have slashes, too
    name = re.sub(r"[^\w.-]+", "_", f"{test.split('/')[-1]}[{parameters}")[:100].strip("_")
    if folder is None and temporary is not None:
        folder = temporary.mktemp("turns")  # not the test's own, which pytest may remove with it
    elif folder is None:
        folder = Path(tempfile.mkdtemp(prefix="twistream-turns-"))
    folder.mkdir(parents=True, exist_ok=True)
    for number in itertools.count(1):
        path = folder / f"{name}{f'-{number}' if number > 1 else ''}.png"
        try:
            with path.open("xb") as file:
                file.write(picture)
        except FileExistsError:
            continue
        return path
    raise AssertionError


def _hides_frames(failure: pytest.ExceptionInfo[BaseException]) -> bool:
    from twistream_kit.errors import hides_frames

    return hides_frames(failure)


def _refuse_on_a_loop(fixture: str) -> None:
    __tracebackhide__ = _hides_frames
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    from twistream_kit.errors import WouldDeadlock

    raise WouldDeadlock(
        f"{fixture}(…) was called in an async test",
        consequence="A server on the same loop could not answer, and both would wait",
        fix=f"Use `report = await {fixture}.start(url, …)`",
    )
