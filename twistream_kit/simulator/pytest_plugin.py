"""The pytest plugin: fixtures for a simulated Twilio and for simulated calls.

pytest loads this module in every run, so it imports nothing of this package, and no other heavy
module, before a test requests one of the fixtures.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from twistream_kit.audio.clip import Clip
    from twistream_kit.pending import Pending
    from twistream_kit.simulator.report import CallReport
    from twistream_kit.simulator.twilio import SimulatedTwilio

TIMEOUT = "twistream_call_timeout"

GRACE_SECONDS = 30.0
"""How much longer than the call a test waits for its report, by default."""

_OPTIONS = ("ring_seconds", "behaviour", "numbers", "account")

_MARKER = (
    f"twilio(**options): options of twistream_twilio for this test: {', '.join(_OPTIONS)}, "
    "as for twistream_kit.SimulatedTwilio; behaviour also applies to "
    "twistream_call"
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the setting."""
    parser.addini(TIMEOUT, "seconds to wait for the report of a simulated call", default="")


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line("markers", _MARKER)


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


class SimulatedCaller:
    """The value of the fixture `twistream_call`; call it to make a call."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        self._request = request

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
                ``behaviour``: as for `simulate_call`.

        Raises:
            CallRefused: If the server cannot be reached, or refuses.
            TimeoutError: If there is no report within the timeout.
            WouldDeadlock: If called on a running loop, which the server may need to answer.
        """
        _refuse_on_a_loop()
        if timeout is None:
            timeout = self._read_timeout(options)
        report = self._begin(url, say, options).result(timeout)
        self._note(report)
        return report

    def start(
        self, url: str, *, say: Clip | bytes | str | Path | None = None, **options: Any
    ) -> Pending[CallReport]:
        """Make a call and return at once; await the result, or call its ``.result(timeout)``."""
        pending = self._begin(url, say, options)
        pending.add_done_callback(
            lambda done: None if done.exception() else self._note(done.result())
        )
        return pending

    def _begin(
        self, url: str, say: Clip | bytes | str | Path | None, options: dict[str, Any]
    ) -> Pending[CallReport]:
        from twistream_kit.audio.load import load_clip
        from twistream_kit.simulator.simulate_call import simulate_call

        if "behaviour" in (marked := _read_options(self._request)):
            options = {"behaviour": marked["behaviour"]} | options
        words = load_clip(say) if isinstance(say, str | Path) else say
        return simulate_call(url, say=words, **options)

    def _note(self, report: CallReport) -> None:
        # The heading becomes "Captured report of a simulated call".
        _show(self._request, "call", "report of a simulated", str(report))

    def _read_timeout(self, options: dict[str, Any]) -> float:
        text = self._request.config.getini(TIMEOUT)
        if not text:
            from twistream_kit.simulator.simulate_call import find_longest_seconds

            return find_longest_seconds(options) + GRACE_SECONDS
        try:
            return float(text)
        except ValueError as error:
            message = f"{TIMEOUT} is {text!r}; give a number of seconds"
            raise pytest.UsageError(message) from error


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


def _refuse_on_a_loop() -> None:
    import asyncio

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    from twistream_kit.errors import WouldDeadlock

    raise WouldDeadlock(
        "twistream_call(…) was called in an async test",
        consequence="A server on the same loop could not answer, and both would wait",
        fix="Use `report = await twistream_call.start(url, …)`",
    )
