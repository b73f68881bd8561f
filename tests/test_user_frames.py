"""Of an error is shown: the user's line, and what it says."""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
import subprocess
import sys
import threading
import traceback
from functools import partial
from pathlib import Path

import pytest

import twistream_kit as kit
from twistream_kit import cell_errors
from twistream_kit.cell_errors import is_led_to_by_ours
from twistream_kit.guard import OF_USER, log_user_error
from twistream_kit.pending import Pending as PendingOfOwner
from twistream_kit.pending import Subject, fail
from twistream_kit.user_frames import MOST_FRAMES, keep_user_frames, render, verbose_errors

MISSING = "WavError: nothing.wav: there is no such file."


def load_nothing():
    kit.load_clip("nothing.wav")


def caught(act) -> BaseException:
    with pytest.raises(BaseException) as info:
        act()
    return info.value


def frames_of(lines: list[str]) -> list[str]:
    return [line.strip().rpartition(", in ")[2] for line in lines if ", line " in line]


def test_an_error_is_shown_with_the_line_that_went_wrong_and_what_to_do_last():
    lines = caught(load_nothing)._render_traceback_()
    assert frames_of(lines) == ["caught", "load_nothing"]
    assert '    kit.load_clip("nothing.wav")' in lines
    assert lines[-2] == MISSING
    assert lines[-1].startswith("Check the path (looked in ")
    assert not any("twistream_kit" in line or "pathlib" in line for line in lines[:-1])


def test_what_an_error_of_ours_was_made_of_is_in_its_text_and_not_shown_again():
    error = caught(load_nothing)
    assert isinstance(error.__cause__, FileNotFoundError)
    assert "FileNotFoundError" not in "\n".join(render(error))


def test_what_came_before_in_the_users_own_code_is_shown():
    def fails_while_handling():
        try:
            {}["key"]
        except KeyError:
            load_nothing()

    text = "\n".join(render(caught(fails_while_handling)))
    assert text.index("KeyError: 'key'") < text.index("While it was handled, this came:")
    assert text.index("While it was handled, this came:") < text.index(MISSING)

    def fails_from():
        try:
            {}["key"]
        except KeyError as error:
            raise kit.TwistreamError("it broke", fix="Mend it") from error

    lines = render(caught(fails_from))
    assert "This led to:" in lines
    assert lines[-2:] == ["TwistreamError: it broke.", "Mend it."]


def test_an_error_of_the_users_keeps_what_it_was_raised_from():
    def fails():
        try:
            load_nothing()
        except kit.WavError as error:
            raise ValueError("no greeting") from error

    lines = render(caught(fails))
    assert MISSING in lines
    assert lines[-2] == "ValueError: no greeting"
    assert lines[-1].startswith("Check the path"), "what to do is said last"
    assert len(lines) <= 14, "two frames of the test's own are in it"


def test_an_error_that_is_its_own_context_ends():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert render(first) == ["ValueError: second", "", "This led to:", "", "ValueError: first"]


def test_a_circle_behind_an_error_ends_where_no_line_is_the_users():
    first, second, third = (kit.WrongType(text) for text in ("first", "second", "third"))
    first.__cause__, second.__cause__, third.__cause__ = second, third, second
    assert render(first) == ["WrongType: first."]
    assert is_led_to_by_ours(first)


def chain(count):
    error = ValueError("0")
    for number in range(1, count):
        try:
            raise ValueError(str(number)) from error
        except ValueError as raised:
            error = raised
    return error


@pytest.mark.parametrize("count", [16, 1500])
def test_of_a_long_chain_the_first_and_the_last_are_shown(count):
    error = chain(count)
    lines = render(error)
    texts = [line for line in lines if line.startswith("ValueError")]
    assert texts == ["ValueError: 0", f"ValueError: {count - 2}", f"ValueError: {count - 1}"]
    assert f"({count - 3} more errors came after it)" in lines
    assert len(lines) < 25
    assert not is_led_to_by_ours(error)


@pytest.mark.parametrize("depth", [5, 1200])
def test_of_groups_in_one_another_the_outer_ones_are_shown(depth):
    error = kit.WrongType("deep")
    for number in range(depth):
        error = ExceptionGroup(f"group {number}", [error])
    lines = render(error)
    assert lines[0] == f"ExceptionGroup: group {depth - 1} (1 sub-exception)"
    assert lines[-1].strip() == "(and what is in it)"
    assert len(lines) < 15


def test_equal_errors_of_a_group_are_shown_once():
    errors = [kit.WrongType("each") for _ in range(3)]
    assert render(ExceptionGroup("all", [*errors, ValueError("other")])) == [
        "ExceptionGroup: all (4 sub-exceptions)",
        "",
        "  3 times:",
        "  WrongType: each.",
        "",
        "  ValueError: other",
    ]


async def test_a_wait_with_a_limit_says_what_is_still_on_its_way():
    pending = PendingOfOwner(subject=Subject("Call to 1", "Call"))
    with pytest.raises(TimeoutError) as info:
        await asyncio.wait_for(pending, 0.01)
    assert is_led_to_by_ours(info.value)
    lines = render(info.value)
    assert lines[-2:] == ["TimeoutError", "Only the wait has ended: Call to 1 is still on its way."]
    assert not any("CancelledError" in line for line in lines)
    with pytest.raises(TimeoutError) as info:
        await asyncio.wait_for(asyncio.Event().wait(), 0.01)
    assert not is_led_to_by_ours(info.value), "that is nothing of ours"


class Shell:
    """What IPython's shell has for errors."""

    call_pdb = False

    def __init__(self):
        self.custom_exceptions = ()
        self.shown = []

    def set_custom_exc(self, kinds, handler):
        self.custom_exceptions, self.handler = kinds, handler

    def showtraceback(self, raised, **_options):
        self.shown.append("as ever")

    def _showtraceback(self, kind, error, lines):
        self.shown.append(lines[-1])

    def fail(self, error):
        try:
            raise error
        except BaseException as raised:  # noqa: BLE001 - as IPython does
            self.handler(self, type(raised), raised, raised.__traceback__)
        return self.shown.pop()


@pytest.fixture
def shell(monkeypatch):
    shell = Shell()
    monkeypatch.setattr(cell_errors, "find_shell", lambda: shell)
    monkeypatch.setattr(cell_errors, "_earlier_hook", threading.excepthook)
    monkeypatch.setattr(cell_errors, "_advisers", [])
    return shell


def from_ours(error):
    error.__cause__ = kit.WrongType("ours", fix="Mend it")
    return error


class Frozen(Exception):
    """An error that takes no attribute."""

    def __setattr__(self, name, value):
        raise TypeError(name)


def raise_frozen():
    raise Frozen("mine") from kit.WrongType("ours", fix="Mend it")


def test_a_cell_shows_what_ours_led_to_and_leaves_the_rest_to_ipython(shell):
    kit.WrongType("the first error of ours")
    assert shell.custom_exceptions == (BaseException,)
    assert shell.fail(from_ours(ValueError("mine"))) == "Mend it."
    assert shell.fail(ExceptionGroup("g", [from_ours(ValueError("mine"))])) == "  Mend it."
    assert shell.fail(kit.WrongType("ours", fix="Mend it")) == "Mend it."
    assert shell.fail(ValueError("mine")) == "as ever"
    assert shell.fail(KeyboardInterrupt()) == "as ever"
    assert shell.fail(ExceptionGroup("g", [ValueError("mine")])) == "as ever"
    assert shell.fail(from_ours(SyntaxError("mine"))) == "as ever"
    assert shell.fail(caught(raise_frozen)) == "Mend it."
    verbose_errors(True)
    try:
        assert shell.fail(from_ours(ValueError("mine"))) == "as ever"
    finally:
        verbose_errors(False)


def test_who_handles_the_errors_of_cells_already_goes_on_to_do_so(shell):
    shell.custom_exceptions = (ValueError,)
    kit.WrongType("ours")
    assert shell.custom_exceptions == (ValueError,)


def test_errors_of_a_group_are_shown_each():
    def fail_both():
        errors = [caught(partial(kit.load_clip, name)) for name in ("one.wav", "two.wav")]
        raise ExceptionGroup("both", errors)

    text = "\n".join(render(caught(fail_both)))
    assert "ExceptionGroup: both (2 sub-exceptions)" in text
    assert "  WavError: one.wav: there is no such file." in text
    assert "  WavError: two.wav: there is no such file." in text
    many = ExceptionGroup("many", [ValueError(str(number)) for number in range(8)])
    assert render(many)[-1] == "  (and 3 more)"


def test_of_a_deep_recursion_the_nearest_frames_are_shown():
    def recurse(depth):
        return recurse(depth - 1) if depth else load_nothing()

    lines = render(caught(lambda: recurse(20)))
    assert lines[0] == "(20 frames of yours above)"
    assert len(frames_of(lines)) == MOST_FRAMES
    assert frames_of(lines)[-1] == "load_nothing"


def test_notes_and_texts_that_fail_are_no_obstacle():
    class Unspeakable(Exception):
        def __str__(self):
            raise RuntimeError

    assert render(Unspeakable()) == ["Unspeakable: (its text cannot be had)"]
    noted = ValueError("x")
    noted.add_note("and more")
    assert render(noted) == ["ValueError: x", "and more"]
    assert render(KeyboardInterrupt()) == ["KeyboardInterrupt"]


def test_all_frames_are_shown_when_asked_for():
    error = caught(load_nothing)
    verbose_errors(True)
    try:
        text = "\n".join(render(error))
        assert keep_user_frames(error.__traceback__) is error.__traceback__
    finally:
        verbose_errors(False)
    assert "sound_file.py" in text
    assert "FileNotFoundError" in text
    assert text.endswith(str(error))
    assert "sound_file.py" not in "\n".join(render(error))


def test_the_traceback_itself_stays_whole_for_a_debugger():
    error = caught(load_nothing)
    before = traceback.format_exception(error)
    kept = keep_user_frames(error.__traceback__)
    names = [frame.name for frame in traceback.extract_tb(kept)]
    assert names == ["caught", "load_nothing"]
    assert traceback.format_exception(error) == before
    assert keep_user_frames(None) is None


def test_the_error_of_another_thread_is_shown_where_it_is_waited_for():
    pending: kit.Pending = PendingOfOwner(None, Subject("loading", "Clip"))
    fail(pending, caught(load_nothing))

    def wait():
        pending.result(1)

    for _ in range(3):  # it does not grow
        lines = render(caught(wait))
        assert frames_of(lines) == ["caught", "wait"]
        assert lines[-2] == MISSING


def test_a_script_shows_it_as_python_does(tmp_path):
    assert sys.excepthook is sys.__excepthook__
    text = "".join(traceback.format_exception(caught(load_nothing)))
    assert text.startswith("Traceback (most recent call last):")
    assert "Check the path" in text.splitlines()[-1]


def test_an_error_of_the_users_code_is_logged_with_their_frames_only(caplog):
    error = caught(load_nothing)
    log_user_error(logging.getLogger("twistream_kit"), "a listener failed", error, {"event": "x"})
    (record,) = caplog.records
    assert record.exc_info[1] is error
    names = [frame.name for frame in traceback.extract_tb(record.exc_info[2])]
    assert names == ["caught", "load_nothing"]
    assert getattr(record, OF_USER) is True
    assert record.event == "x"


# Classes: ours and the builtin's.

MISTAKES = {
    "WrongType": (TypeError, lambda: kit.start(kit.StreamServer)),
    "WrongValue": (ValueError, lambda: kit.Clip.tone(440, -1)),
    "NoSuchAttribute": (AttributeError, lambda: kit.StreamServerr),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_what_a_mistake_makes_python_raise_is_of_ours_too(name):
    builtin, act = MISTAKES[name]
    error = caught(act)
    assert type(error) is getattr(kit, name)
    assert isinstance(error, kit.TwistreamError)
    assert isinstance(error, builtin)
    assert "lambda" in frames_of(render(error))[-1]


def test_a_name_that_does_not_exist_brings_its_neighbours():
    assert caught(lambda: kit.StreamServerr).fix == "Nearest: StreamServer"
    assert not hasattr(kit, "nonsense")
    assert type(caught(lambda: kit._nonsense_)) is AttributeError


def test_nothing_public_raises_a_bare_builtin():
    """What is raised in the source, besides internal places, is a class of ours."""
    internal = {
        "capture/file.py": "caught there, and becomes a CaptureError",
        "protocol/to_twilio.py": "given to json, caught there",
        "diagnosis/turns.py": "an AssertionError, which pytest and people expect of a check",
        "diagnosis/message.py": "given to json, caught there",
        "protocol/marks.py": "made by the conversation only",
        "audio/clip.py": "an OSError that becomes the error of a file that cannot be written",
        "live/server/addresses.py": "an OSError that becomes CannotListen; an abstract method",
        "live/server/stream_app.py": "raised to the ASGI server",
        "live/server/server.py": "raised to websockets",
        "live/settings/secret.py": "an attribute that cannot be set",
        "live/dialling/number_route.py": "a TimeoutError between two threads, caught there",
        "simulator/_load_link.py": "an OSError that ends one connection, caught there",
        "simulator/call/streams.py": "a SID that only the simulator asks for",
        "notebook/widgets/_javascript.py": "a fault in our own files",
        "notebook/widgets/phone.py": "a message of the page",
        "user_frames.py": "a TypeError in the words of ours, whose module imports this one",
    }
    package = Path(kit.__file__).parent
    bare = set()
    for path in package.rglob("*.py"):
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line.split("raise ")
            if len(words) == 2 and not words[0].strip():
                name = words[1].partition("(")[0].strip()
                builtin = getattr(builtins, name, None)
                if isinstance(builtin, type) and issubclass(builtin, Exception) and "(" in line:
                    bare.add(str(path.relative_to(package)))
    assert bare <= set(internal), bare - set(internal)


def test_plain_ipython_shows_the_line_and_the_sentence(tmp_path):
    code = (
        "import twistream_kit as kit\n\ndef load():\n    kit.load_clip('nothing.wav')\n\nload()\n"
    )
    done = subprocess.run(
        [*(sys.executable, "-m", "IPython"), *("--no-banner", "--colors=NoColor", "-c", code)],
        capture_output=True, text=True, timeout=60, check=False,
        env={**os.environ, "IPYTHONDIR": str(tmp_path)}, cwd=tmp_path,
    )  # fmt: skip
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    assert lines[-2:] == [MISSING, f"Check the path (looked in {tmp_path})."]
    assert "    kit.load_clip('nothing.wav')" in lines
    assert len(lines) == 6
    assert "twistream_kit" not in done.stdout
