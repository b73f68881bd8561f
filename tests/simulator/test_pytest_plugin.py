"""The pytest plugin, as others use it: in runs of pytest of their own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import textwrap
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

import twistream_kit.simulator.pytest_plugin as plugin
from support.reports import report_of
from twistream_kit.simulator.caller import CallerAct
from twistream_kit.simulator.stream.pacer import LatenessReport

ROOT = Path(plugin.__file__).parents[2]

# What a server in ten lines does: it sends a second of sound, or a misspelt one, and listens.
SERVER = """
import json, threading
from base64 import b64encode
from contextlib import contextmanager
import pytest
from websockets.sync.server import serve

def answer(connection, key):
    for text in connection:
        message = json.loads(text)
        if message["event"] == "start":
            media = {key: b64encode(b"\\x21" * 1600).decode()}
            sid = message["streamSid"]
            connection.send(json.dumps({"event": "media", "streamSid": sid, "media": media}))

@contextmanager
def serving(key):
    server = serve(lambda connection: answer(connection, key), "127.0.0.1", 0)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"ws://127.0.0.1:{server.socket.getsockname()[1]}/media"
    server.shutdown()
    thread.join()

@pytest.fixture
def good():
    with serving("payload") as url:
        yield url

@pytest.fixture
def bad():
    with serving("playload") as url:
        yield url
"""


@pytest.fixture
def run(tmp_path):
    """Run pytest over a test file in a folder of its own; return its output and its outcome."""

    def run(code, *options, ini="", conftest=SERVER):
        (tmp_path / "conftest.py").write_text(conftest)
        (tmp_path / "test_it.py").write_text(textwrap.dedent(code))
        settings = f"[pytest]\nfilterwarnings = error\n{ini}"
        (tmp_path / "pytest.ini").write_text(settings)
        # Without autoload it makes no difference whether this checkout is installed or not.
        plugins = ("-p", plugin.__name__)
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "--strict-markers", *plugins, *options],
            cwd=tmp_path,
            env=os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        return done.stdout + done.stderr

    return run


def test_pytest_finds_the_plugin_by_its_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["entry-points"]["pytest11"] == {"twistream_kit": plugin.__name__}


def test_a_run_that_does_not_use_it_loads_nothing_of_the_package_but_the_plugin(run):
    code = """
    import sys

    def test_nothing_heavy():
        heavy = "numpy aiohttp twilio websockets requests soundfile soxr matplotlib IPython asyncio"
        assert not {*heavy.split()} & {*sys.modules}
        ours = {name for name in sys.modules if name.startswith("twistream_kit")}
        assert ours == {
            "twistream_kit",
            "twistream_kit.simulator",
            "twistream_kit.simulator.pytest_plugin",
        }
    """
    output = run(code, conftest="")
    assert "1 passed" in output, output


def test_ordinary_tests_have_a_simulated_twilio_and_simulated_calls(run):
    output = run(
        """
        import threading
        from pathlib import Path
        import twistream_kit as kit

        def test_a_call_by_the_unchanged_sdk(twistream_twilio, good):
            phone = twistream_twilio.phone("+15550100001")
            number = twistream_twilio.numbers[0]
            twiml = f'<Response><Connect><Stream url="{good}"/></Connect></Response>'
            twistream_twilio.client.calls.create(to=phone.number, from_=number, twiml=twiml)
            waited, pause = 0, threading.Event()
            while 0x21 not in phone.heard.payload and waited < 500:
                pause.wait(0.01)
                waited += 1
            assert 0x21 in phone.heard.payload

        def test_the_simulator_is_a_new_one_in_each_test(twistream_twilio):
            assert len(twistream_twilio.calls) == 0
            assert [t.name for t in threading.enumerate()].count("SimulatedTwilio") == 1

        def test_a_call_to_a_server(twistream_call, good, tmp_path):
            said = kit.Clip.tone(440, 0.1).save(tmp_path / "said.wav")
            for say in (None, said, str(said), kit.load_clip(said)):
                report = twistream_call(good, say=say, seconds=0.3)
                assert report.ok
                assert report.sound_seconds > 0.1

        def test_a_call_by_a_script(twistream_call, good, tmp_path):
            talk = tmp_path / "talk.toml"
            talk.write_text('[[step]]\\ndo = "press"\\nkeys = "1"\\n[[step]]\\ndo = "hang_up"')
            for script in (talk, str(talk), [kit.caller.press("1"), kit.caller.hang_up()]):
                report = twistream_call(good, script=script, seed=1)
                assert [act.outcome for act in report.acts] == ["pressed 1", "hung up"]

        def test_a_server_that_is_not_there(twistream_call):
            import pytest
            with pytest.raises(kit.CallRefused):
                twistream_call("ws://127.0.0.1:1/media", seconds=0.2)

        def test_nothing_is_left():
            names = [t.name for t in threading.enumerate()]
            assert "SimulatedTwilio" not in names
        """
    )
    assert "6 passed" in output, output


def test_a_failed_assertion_shows_the_report_and_what_twilio_logged(run):
    output = run(
        """
        def test_fine(twistream_call, bad):
            report = twistream_call(bad, seconds=0.3)
            assert report.ok

        def test_logged(twistream_twilio):
            twistream_twilio.debugger.log(31951, "A message was dropped.")
            assert False

        def test_passes_in_silence(twistream_call, bad):
            assert not twistream_call(bad, seconds=0.3).ok
        """
    )
    assert "2 failed, 1 passed" in output
    assert output.count("Captured report of a simulated call") == 1
    report = output.split("Captured report of a simulated call")[1]
    assert "media.playload" in report
    assert "31951" in report
    assert "Captured Twilio's debugger teardown" in output
    assert "A message was dropped." in output


def test_async_tests_may_use_both_and_learn_how_to_wait(run):
    output = run(
        """
        import asyncio, json
        import pytest
        import websockets
        import twistream_kit as kit

        async def listen(connection):
            async for _ in connection:
                pass

        @pytest.fixture
        async def url():
            async with websockets.serve(listen, "127.0.0.1", 0) as server:
                yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"

        async def test_a_server_on_the_loop_of_the_test(twistream_call, url):
            report = await twistream_call.start(url, seconds=0.2, expect_silence=True)
            assert report.ok

        async def test_waiting_would_deadlock(twistream_call, url):
            with pytest.raises(kit.WouldDeadlock, match=r"await twistream_call.start"):
                twistream_call(url, seconds=0.2)

        async def test_a_failure_shows_the_report_too(twistream_call, url):
            report = await twistream_call.start(url, seconds=0.2)
            assert report.sound_seconds > 1

        async def test_the_simulator_has_a_loop_of_its_own(twistream_twilio):
            assert twistream_twilio.loop is not asyncio.get_running_loop()
            calls = await asyncio.to_thread(twistream_twilio.client.calls.list)
            assert calls == []
        """,
        *("-p", "pytest_asyncio.plugin"),
        ini="asyncio_mode = auto\nasyncio_default_fixture_loop_scope = function",
    )
    assert "1 failed, 3 passed" in output, output
    assert "nothing but silence" in output.split("Captured report of a simulated call")[1]


def test_a_marker_with_what_is_not_taken_fails_its_test_in_one_sentence(run):
    output = run(
        """
        import pytest

        @pytest.mark.twilio(behaviour=dict(echo=True))
        def test_a_dict(twistream_twilio):
            pass

        @pytest.mark.twilio(behaviour=dict(echos=True))
        def test_a_dict_for_a_call(twistream_call):
            twistream_call("ws://127.0.0.1:9/media")

        @pytest.mark.twilio(ring_second=1)
        def test_a_misspelt_option(twistream_twilio):
            pass

        def test_others_run():
            pass
        """
    )
    assert "1 passed" in output
    assert (
        "::test_a_dict: @pytest.mark.twilio(behaviour={'echo': True}): behaviour is a dict; give a "
        "Behaviour: behaviour=kit.Behaviour(echo=True)."
    ) in output
    assert "'echos' is no name of a Behaviour" in output
    assert (
        "::test_a_misspelt_option: @pytest.mark.twilio(ring_second=1): there is no option "
        "'ring_second'; there are ring_seconds, behaviour, numbers, account"
    ) in output
    assert "pytest_plugin.py" not in output, "no frame of ours"


def test_a_marker_says_what_the_simulator_is_like(run):
    output = run(
        """
        import pytest
        import twistream_kit as kit

        pytestmark = pytest.mark.twilio(ring_seconds=0.5, behaviour=kit.Behaviour(strict=True))

        @pytest.mark.twilio(numbers=("+15550100077",))
        def test_nearest_last(twistream_twilio):
            assert twistream_twilio.numbers == ("+15550100077",)
            assert twistream_twilio._ring_seconds == 0.5
            assert twistream_twilio._behaviour.strict

        def test_calls_follow_it_too(twistream_call, good):
            with pytest.raises(kit.CallRefused):  # a query string, by the letter
                twistream_call(good + "?a=1", seconds=0.2)

        def test_unless_they_say_otherwise(twistream_call, good):
            calm = kit.Behaviour()
            report = twistream_call(good + "?a=1", seconds=0.2, behaviour=calm, line="mobile")
            assert report.line == kit.Line("mobile")

        @pytest.mark.twilio(0.5)
        def test_options_have_names(twistream_twilio):
            pass
        """
    )
    assert "3 passed, 1 error" in output, output
    assert re.search(r"UsageError: @pytest.mark.twilio takes names", output)


def test_an_argument_that_is_not_taken_is_shown_at_the_line_that_gives_it(run):
    code = """
    def test_typo(twistream_call):
        twistream_call("ws://127.0.0.1:9/media", line="moble")
    """
    output = run(code)
    assert "a line has no profile 'moble'; the nearest is 'mobile'" in output
    assert '>       twistream_call("ws://127.0.0.1:9/media", line="moble")' in output
    assert "line.py" not in output
    assert "def __init__" not in output


def test_the_time_that_a_call_may_take_is_a_setting(run):
    code = """
    import pytest

    def test_in_time(twistream_call, good):
        with pytest.raises(TimeoutError, match=r"no result within 0\\.05 s"):
            twistream_call(good, seconds=0.4)
        assert twistream_call(good, seconds=0.2, timeout=20).ok
    """
    assert "1 passed" in run(code, ini="twistream_call_timeout = 0.05")
    output = run(code, ini="twistream_call_timeout = soon")
    assert "twistream_call_timeout is 'soon'; give a number of seconds" in output


def test_its_fixtures_and_its_marker_explain_themselves(run):
    fixtures = run("", "--fixtures")
    assert "twistream_twilio" in fixtures
    assert "Call a Media Streams server" in fixtures
    assert "twilio(**options)" in run("", "--markers")


# A server that answers with a tone when the caller has been silent for 100 ms.
TALKER = """
import numpy as np
import pytest
import twistream_kit as kit

SCRIPT = [kit.caller.say(kit.Clip.tone(440, 0.2)), kit.caller.listen(pause=0.3)]
SCRIPT += [kit.caller.hang_up()]

async def answer(stream):
    n_silent, is_asked = 0, False
    async for samples in stream.audio():
        is_loud = np.abs(samples).max() > 1000
        n_silent, is_asked = (0, True) if is_loud else (n_silent + 1, is_asked)
        if is_asked and n_silent == 5:
            stream.play(kit.Clip.tone(660, 0.3))

@pytest.fixture
def talker():
    server = kit.start(kit.StreamServer(answer))
    yield server.url
    kit.stop(server)
"""


def find_plots(output):
    """Return the paths of plots in the output of pytest."""
    return [Path(found) for found in re.findall(r"^  plot: (.*\.png)$", output, re.MULTILINE)]


def test_a_failed_assertion_about_turns_shows_all_of_them_and_a_plot(run, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a notebook
    output = run(
        """
        import pytest
        from conftest import SCRIPT

        def test_late(twistream_call, talker):
            assert twistream_call(talker, script=SCRIPT).turns.response_ms.max < 50

        def test_checked(twistream_call, talker):
            report = twistream_call(talker, script=SCRIPT)
            report.turns.check(response_ms=5000)
            report.turns.check(response_ms=60, barge_in_ms=300)

        def test_without_a_traceback(twistream_call, talker):
            twistream_call(talker, script=SCRIPT)
            pytest.fail("no", pytrace=False)

        @pytest.mark.xfail
        def test_expected(twistream_call, talker):
            assert twistream_call(talker, script=SCRIPT).turns.response_ms.max < 50

        def test_only_a_key(twistream_call, talker):
            assert not twistream_call(talker, press="1", seconds=0.3, expect_silence=True).seconds
        """,
        *("--show-capture=no", "--color=no"),
        conftest=TALKER,
    )
    assert "4 failed, 1 xfailed" in output, output
    failures, _, _ = output.partition(" short test summary info ")
    late, checked, untraced, key = failures.split("\n____")[1:]
    assert "- Turns of the call to ws://127.0.0.1:" in late
    row = re.compile(r"^(?:E  )? +server .* answers after \d+ ms  finished$", re.MULTILINE)
    assert row.search(late)
    assert row.search(untraced)
    assert len(row.findall(checked)) == 1, "not once more below a message that has it"
    assert re.search(r"^E .*response_ms 1: \d+ ms, and the limit is 60 ms$", checked, re.MULTILINE)
    assert "barge_in_ms: no values: " in checked
    assert "def check" not in checked, "no code of ours"
    assert "Turns of" not in key
    plots = find_plots(output)
    names = ("late", "checked", "without_a_traceback")
    assert [path.name for path in plots] == [f"test_it.py_test_{name}.png" for name in names]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)


def test_figure_without_values_shows_the_turns_and_no_code_of_ours(run):
    output = run(
        """
        def test_nothing_asked(twistream_call, talker):
            assert twistream_call(talker, seconds=1.0).turns.response_ms.max < 50
        """,
        *("--show-capture=no", "--color=no"),
        conftest=TALKER,
    )
    assert "WrongState: response_ms has no values: the caller said nothing" in output
    assert "- Turns of the call to ws://127.0.0.1:" in output
    assert "def _require" not in output
    assert "def max" not in output


def test_plots_go_to_the_folder_of_the_option_and_replace_no_file(run, tmp_path):
    code = """
    import sys
    import pytest
    from conftest import SCRIPT

    @pytest.mark.parametrize("name", ["a b", "a/b"])
    def test_late(twistream_call, talker, name, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert twistream_call(talker, script=SCRIPT).turns.response_ms.max < 50

    def test_bare(twistream_call, talker, monkeypatch):
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        assert twistream_call(talker, script=SCRIPT).turns.response_ms.max < 50
    """
    (tmp_path / "plots").mkdir()
    mine = tmp_path / "plots" / "test_it.py_test_late_a_b.png"
    mine.write_text("mine")
    options = ("-p", "xdist.plugin", "-n", "2", "--twistream-plots", "plots")
    output = run(code, *options, conftest=TALKER)
    assert "3 failed" in output, output
    assert "plot: none, for there is no matplotlib here: pip install matplotlib" in output
    found = sorted(path.as_posix() for path in find_plots(output))
    assert all((tmp_path / path).is_file() for path in found)
    assert found == [f"plots/test_it.py_test_late_a_b-{number}.png" for number in (2, 3)]
    assert mine.read_text() == "mine"


def test_a_plot_that_cannot_be_saved_hides_no_failure(run):
    code = """
    from pathlib import Path
    from conftest import SCRIPT

    def test_late(twistream_call, talker):
        Path("plots").write_text("a file")
        assert twistream_call(talker, script=SCRIPT).turns.response_ms.max < 50
    """
    output = run(code, ini="twistream_plots = plots", conftest=TALKER)
    assert "1 failed" in output, output
    assert "INTERNALERROR" not in output
    said = r"^  plot: none, for .*plots cannot be written: File exists; --twistream-plots DIR says"
    assert re.search(said, output, re.MULTILINE)


def test_a_fixture_that_fails_shows_the_turns_too_and_needs_no_folders_of_pytest(run, monkeypatch):
    monkeypatch.delenv("TMPDIR", raising=False)
    output = run(
        """
        import pytest
        import twistream_kit as kit

        SCRIPT = [kit.caller.say(kit.Clip.tone(440, 0.1)), kit.caller.hang_up()]

        @pytest.fixture
        def before(twistream_call, good):
            assert twistream_call(good, script=SCRIPT).seconds > 60

        @pytest.fixture
        def after(twistream_call, good):
            yield
            assert twistream_call(good, script=SCRIPT).seconds > 60

        def test_setup(before):
            pass

        def test_both(after, twistream_call, good):
            assert twistream_call(good, script=SCRIPT).seconds > 60
        """,
        *("-p", "no:tmpdir", "--show-capture=no", "--color=no"),
    )
    assert "1 failed, 2 errors" in output, output
    reports, _, _ = output.partition(" short test summary info ")
    setup, teardown, called = reports.split("\n____")[1:]
    for report in (setup, teardown, called):
        assert report.count("- Turns of the call to ws://127.0.0.1:") == 1, report
        assert re.search(r"^ +caller +0\.00 to", report, re.MULTILINE)
    plots = find_plots(output)
    assert len(plots) == 3
    for path in plots:
        assert path.read_bytes().startswith(b"\x89PNG")
        assert path.parent.name.startswith("twistream-turns-")
        shutil.rmtree(path.parent)


def test_a_mistake_in_a_script_and_a_server_that_is_down_show_the_line_of_the_test_only(run):
    output = run(
        """
        import asyncio
        import pathlib
        import twistream_kit as kit

        NOWHERE = "ws://127.0.0.1:9/media"

        def test_file(twistream_call):
            steps = '[[step]]\\ndo = "say"\\nfile = "missing.wav"\\n'
            pathlib.Path("talk.toml").write_text(steps)
            twistream_call(NOWHERE, script="talk.toml")

        def test_no_script():
            kit.caller.load_script("missing.toml")

        def test_fixture(twistream_call):
            twistream_call(NOWHERE)

        def test_result():
            kit.simulate_call(NOWHERE).result(10)

        def test_await():
            async def wait():
                await kit.simulate_call(NOWHERE)
            asyncio.run(wait())
        """,
        "--color=no",
    )
    assert "5 failed" in output, output
    shown = set(re.findall(r"^(\S+\.py):\d+: ", output, re.MULTILINE))
    assert {path for path in shown if "asyncio" not in path} == {"test_it.py"}, output
    reports = output.partition(" short test summary info ")[0].split("\n____")[1:]
    for report in reports[:4]:
        assert report.count(".py:") == 1, report
    assert "talk.toml, line 3: file is 'missing.wav'" in reports[0]
    assert "missing.toml: cannot be read: No such file" in reports[1]
    assert "refused the connection" in reports[2], output


class Config:
    """What the plugin asks of pytest's configuration, with an option or a setting."""

    def __init__(self, folder, option=None, setting=""):
        self.rootpath = folder
        self.invocation_params = SimpleNamespace(dir=folder)
        self.stash = pytest.Stash()
        self.getoption = lambda name: option
        self.getini = lambda name: setting

    def addinivalue_line(self, name, line):
        pass


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("file.txt", r"is 'file.txt', and .*file.txt is no folder; give the name of a folder"),
        ("file.txt/plots", r"is 'file.txt/plots', and .*file.txt is no folder; give the name of"),
        ("n" * 300, r"is 'n+': File name too long; give the name of a folder"),
    ],
)
def test_a_folder_for_plots_that_is_none_is_refused_before_any_test(tmp_path, given, said):
    (tmp_path / "file.txt").write_text("mine")
    with pytest.raises(pytest.UsageError, match=f"--twistream-plots {said}"):
        plugin.pytest_configure(Config(tmp_path, option=given))
    with pytest.raises(pytest.UsageError, match=f"twistream_plots {said}"):
        plugin.pytest_configure(Config(tmp_path, setting=given))


def test_a_folder_for_plots_need_not_be_there(tmp_path):
    config = Config(tmp_path, option="new/plots")
    plugin.pytest_configure(config)
    assert config.stash[plugin._FOLDER] == tmp_path / "new/plots"
    assert list(tmp_path.iterdir()) == []


def make_caller(tmp_path, *, setting=""):
    node = SimpleNamespace(stash=pytest.Stash())
    config = Config(tmp_path, setting=setting)
    request = SimpleNamespace(node=node, config=config, getfixturevalue=lambda name: None)
    return plugin.SimulatedCaller(request)


@pytest.mark.parametrize("setting", ["nan", "-1", "soon"])
def test_a_time_that_is_none_is_refused_with_its_setting(tmp_path, setting):
    said = f"twistream_call_timeout is '{setting}'; give a number of seconds"
    with pytest.raises(pytest.UsageError, match=said):
        make_caller(tmp_path, setting=setting)._read_timeout({})


def test_a_late_simulator_is_said_below_the_turns_with_how_late_it_was(tmp_path, monkeypatch):
    monkeypatch.setattr(plugin, "_draw_turns", lambda *_: "none")
    caller, failure = make_caller(tmp_path), SimpleNamespace(longrepr="no", sections=[])
    late = LatenessReport(100, 1.0, 40.0, 90.0, 300.0, 10)
    caller._reports.append(report_of(acts=[CallerAct("wait", 0, 1)], lateness=late))
    caller.show_turns(failure)
    caller.show_turns(failure)
    [(_, text)] = failure.sections
    assert text.splitlines()[-1].startswith("  The simulator itself was late: times in which")
    assert text.endswith(
        " (100 frames, late by 1.0 ms (median), 90.0 ms (99th percentile), 300.0 ms (worst))."
    )


@pytest.mark.slow
def test_twistream_load_makes_calls_and_shows_the_report_of_a_test_that_fails(run):
    said = run(
        """
        import asyncio

        OPTIONS = {"seconds": 0.5, "ramp_seconds": 0.1}

        def test_they_are_made(twistream_load, good):
            assert len(twistream_load(good, 3, **OPTIONS).calls) == 3

        def test_it_is_refused_on_a_loop(twistream_load, good):
            async def wait_here():
                twistream_load(good)

            asyncio.run(wait_here())

        def test_it_fails(twistream_load, good):
            report = twistream_load(good, 2, limits={"response_ms": 800}, **OPTIONS)
            assert report.ok
        """
    )
    assert "2 failed, 1 passed" in said, said
    assert "twistream_load(…) was called in an async test" in said
    assert "Captured report of simulated calls" in said
    assert "response_ms: no call has shown such a time" in said
    assert "calls ended" not in said, "no progress is shown"


@pytest.mark.slow
def test_twistream_faults_breaks_streams_and_shows_the_report_of_a_test_that_fails(run):
    said = run(
        """
        import asyncio

        def test_it_survives(twistream_faults, good):
            report = twistream_faults(good, only="gaps", scale=0.1)
            assert [row.outcome for row in report.rows] == ["green"]

        def test_it_is_refused_on_a_loop(twistream_faults, good):
            async def wait_here():
                twistream_faults(good)

            asyncio.run(wait_here())

        def test_it_fails(twistream_faults, good):
            report = twistream_faults(good, only="stop-twice", scale=0.1)
            assert not report.ok
        """
    )
    assert "2 failed, 1 passed" in said, said
    assert "twistream_faults(…) was called in an async test" in said
    assert "Captured report of faults" in said
    assert "green      stop-twice" in said
