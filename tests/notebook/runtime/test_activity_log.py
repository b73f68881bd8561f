"""What the kit has to say is kept for a widget and printed nowhere."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap

import pytest

from twistream_kit.notebook.runtime.activity_log import KEPT_LINES, ActivityLog, get_activity_log


@pytest.fixture
def log():
    """A log of its own on a logger of its own."""
    logger = logging.getLogger("a logger of this test")
    log = ActivityLog()
    logger.addHandler(log)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    yield log, logger
    logger.removeHandler(log)


def test_lines_are_kept_in_order_with_their_level(log):
    log, logger = log
    logger.info("started %s", "MZ1")
    logger.warning("late")
    logger.error("gone")
    assert [(line.level, line.text) for line in log.lines] == [
        ("INFO", "started MZ1"),
        ("WARNING", "late"),
        ("ERROR", "gone"),
    ]


def test_debug_messages_are_left_out(log):
    log, logger = log
    logger.debug("a detail")
    assert log.lines == []


def test_an_exception_shows_as_its_last_line(log):
    log, logger = log
    try:
        raise ValueError("it broke")
    except ValueError:
        logger.exception("the handler failed")
    assert log.lines[0].text == "the handler failed: ValueError: it broke"


def test_only_the_last_lines_are_kept(log):
    log, logger = log
    for number in range(KEPT_LINES + 10):
        logger.info("%d", number)
    assert len(log.lines) == KEPT_LINES
    assert log.lines[0].text == "10"


def test_lines_about_a_stream_since_a_moment_are_found(log):
    log, logger = log
    logger.info("stream MZ1 started")
    logger.info("stream MZ2 started")
    logger.warning("stream MZ1 is late")
    since = log.lines[2].at
    assert [line.text for line in log.find_lines("MZ1", 0)] == [
        "stream MZ1 started",
        "stream MZ1 is late",
    ]
    assert "stream MZ1 is late" in [line.text for line in log.find_lines("MZ1", since)]
    assert log.find_lines("MZ3", 0) == []


def test_there_is_one_activity_log_for_all():
    assert get_activity_log() is get_activity_log()
    handlers = logging.getLogger("twistream_kit").handlers
    assert sum(isinstance(handler, ActivityLog) for handler in handlers) == 1


def test_a_failing_handler_in_a_started_server_is_printed_once_to_stderr():
    program = """
        import twistream_kit as kit
        def handler(stream):
            raise ValueError("it broke")
        server = kit.start(kit.StreamServer(handler))
        kit.simulate_call(server.url, seconds=0.3).result(10)
        from twistream_kit.notebook.runtime.activity_log import get_activity_log
        print([line.level for line in get_activity_log().lines if "it broke" in line.text])
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    first, *rest = done.stderr.splitlines()
    assert first.startswith("the handler of stream MZ")
    # From 3.13 on, Python knows the lines of a program given by -c.
    shown = [line for line in rest if line.strip() and "raise ValueError" not in line]
    assert shown == ["<string>, line 4, in handler", "ValueError: it broke"]
    assert "'ERROR'" in done.stdout


def test_without_a_started_server_logging_prints_it_with_the_users_frames_only():
    program = """
        import asyncio
        import twistream_kit as kit
        async def handler(stream):
            kit.load_clip("nothing.wav")
        async def main():
            async with kit.StreamServer(handler) as server:
                await kit.simulate_call(server.url, seconds=0.3)
        asyncio.run(main())
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    lines = done.stderr.splitlines()
    assert lines[0].startswith("the handler of stream MZ")
    assert '  File "<string>", line 5, in handler' in lines
    assert lines[-1].startswith("twistream_kit.errors.WavError: nothing.wav: there is no such file")
    assert done.stderr.count("in handler") == 1
    assert "live/stream" not in done.stderr
