import asyncio
import contextlib
import json
import re
import sys
import textwrap

import psutil
import pytest

from support.waiting import eventually, soon
from twistream_kit.live.process import process as process_module
from twistream_kit.live.process.process import KEPT_LINES, ChildProcess
from twistream_kit.pending import Pending, fulfil


@pytest.fixture
async def run():
    """Start a Python program; whatever it is, it is over at the end."""
    async with contextlib.AsyncExitStack() as over:

        async def start(code, **options):
            child = ChildProcess([sys.executable, "-u", "-c", textwrap.dedent(code)], **options)
            over.push_async_callback(child.end)
            await child.start()
            return child

        yield start


def is_running(pid):
    with contextlib.suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


async def test_what_it_writes_is_found_and_kept_and_its_code_reported(run):
    child = await run("""
        import sys
        print("one")
        print("to stderr", file=sys.stderr)
        print("\\x1b[31mred\\x1b[0m \\x07")
        sys.exit(3)
    """)
    assert (await soon(child.find(re.compile("to (std)err"))))[1] == "std"
    assert (await soon(child.find(re.compile("one"))))[0] == "one"
    assert await soon(child.find(re.compile("never"))) is None
    assert await soon(child.exited) == 3
    assert child.lines == ["one", "to stderr", "red"]
    assert repr(child).endswith(": ended with 3>")


async def test_only_the_last_lines_are_kept_and_noise_is_not(run):
    noise = re.compile("^debug")
    child = await run("for n in range(200): print('debug' if n % 2 else n)", noise=noise)
    assert await soon(child.find(re.compile("debug")))
    await soon(child.exited)
    assert len(child.lines) == KEPT_LINES
    assert child.lines[-1] == "198"


async def test_endless_line_is_cut_and_bytes_that_are_no_text_are_replaced(run):
    child = await run("""
        import sys
        sys.stdout.buffer.write(b"x" * 100_000 + b"\\xff\\xfe\\n")
    """)
    assert await soon(child.exited) == 0
    assert max(map(len, child.lines)) == 8192
    assert child.lines[-1].endswith("��")


async def test_environment_goes_on_without_secrets_and_none_is_repeated(run, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "very secret indeed")
    monkeypatch.setenv("MY_NAME", "Ada")
    child = await run(
        """
        import os
        print(os.environ.get("MY_TOKEN"), os.environ["MY_NAME"], os.environ.get("GONE"))
        print("very secret" + " indeed")
        """,
        environment={"GONE": None, "MY_NAME": "Grace"},
    )
    await soon(child.exited)
    assert child.lines == ["None Grace None", "…"]


@pytest.mark.parametrize(
    "name",
    ["PRIVATE_KEY", "DB_PASS", "OPENAI_KEY", "COOKIE", "DATABASE_URL", "SENTRY_DSN", "MY_SHELL_X"],
)
async def test_program_gets_no_variable_that_it_does_not_need(run, monkeypatch, name):
    monkeypatch.setenv(name, "postgres://me:hunter2@db/x")
    monkeypatch.setenv("SSH_AUTH_SOCK", "/run/agent")
    monkeypatch.setenv("https_proxy", "http://proxy:3128")
    child = await run(
        f"""
        import os
        print(os.environ.get({name!r}), os.environ["SSH_AUTH_SOCK"], os.environ["https_proxy"])
        print(len(os.environ["PATH"]) > 0)
        """
    )
    await soon(child.exited)
    assert child.lines == ["None /run/agent http://proxy:3128", "True"]


async def test_stubborn_program_and_its_children_are_made_to_end(run):
    child = await run("""
        import os, signal, subprocess, sys
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        code = "import signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
        code += "print('ready', flush=True); threading.Event().wait()"
        grandchild = subprocess.Popen([sys.executable, "-c", code])
        print("pids", os.getpid(), grandchild.pid)
        grandchild.wait()
    """)
    pids = (await soon(child.find(re.compile(r"pids (\d+) (\d+)")))).groups()
    await soon(child.find(re.compile("ready")))
    assert all(is_running(int(pid)) for pid in pids)
    await soon(child.end())
    # A process of the group that is no child of ours dies some time after its SIGKILL.
    await eventually(lambda: not any(is_running(int(pid)) for pid in pids))
    assert await soon(child.exited) != 0


async def test_program_that_ends_takes_what_it_started_along(run):
    child = await run("""
        import subprocess, sys
        print(subprocess.Popen([sys.executable, "-c", "import threading; "
                                "threading.Event().wait()"]).pid)
    """)
    pid = int((await soon(child.find(re.compile(r"^\d+$"))))[0])
    assert await soon(child.exited) == 0
    await eventually(lambda: not is_running(pid))


async def test_program_that_cannot_be_started_says_so(tmp_path):
    child = ChildProcess([str(tmp_path / "nothing")])
    assert repr(child) == "<ChildProcess nothing: not started>"
    await child.start()
    assert await soon(child.exited) == 127
    assert child.lines == [f"{tmp_path / 'nothing'} cannot be started: No such file or directory"]
    await child.end()


async def test_end_before_the_start_and_twice_does_no_harm(run):
    never = ChildProcess([sys.executable, "-c", ""])
    await never.end()
    child = await run("import threading; threading.Event().wait()")
    await soon(child.end())
    await soon(child.end())
    assert child.exited.done()


async def test_start_that_is_cancelled_leaves_nothing(tmp_path):
    before = set(psutil.Process().children(recursive=True))
    child = ChildProcess([sys.executable, "-c", "import threading; threading.Event().wait()"])
    starting = asyncio.create_task(child.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await child.end()
    await eventually(lambda: set(psutil.Process().children(recursive=True)) <= before)


async def test_start_that_is_cancelled_just_when_it_succeeded_leaves_nothing(monkeypatch):
    def at_once(name, work):
        done = Pending()
        fulfil(done, work())
        return done

    child = ChildProcess([sys.executable, "-c", "input()"])
    spawned = []
    spawn = child._spawn
    monkeypatch.setattr(child, "_spawn", lambda: spawned.append(spawn()) or spawned[0])
    with monkeypatch.context() as patched:
        patched.setattr(process_module, "on_worker", at_once)
        starting = asyncio.create_task(child.start())
        await asyncio.sleep(0)
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
    assert is_running(spawned[0].pid)
    await soon(child.end())
    assert not is_running(spawned[0].pid)


@pytest.mark.parametrize("ending", ["kill", "exit", "os._exit"])
async def test_process_that_dies_leaves_nothing_running(ending, tmp_path):
    ways = {
        "kill": "os.kill(os.getpid(), signal.SIGKILL)",
        "exit": "pass",
        "os._exit": "os._exit(0)",
    }
    program = textwrap.dedent(f"""
        import asyncio, json, os, re, signal, sys
        from twistream_kit.live.process.process import ChildProcess

        async def main():
            code = "import os, signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN);"
            code += "print(os.getpid(), os.getppid(), flush=True); threading.Event().wait()"
            child = ChildProcess([sys.executable, "-c", code])
            await child.start()
            found = await child.find(re.compile(r"(\\d+) (\\d+)"))
            print(json.dumps([int(pid) for pid in found.groups()]), flush=True)
            {ways[ending]}

        asyncio.run(main())
    """)
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE
    )
    pids = json.loads(await soon(started.stdout.readline()))
    await soon(started.wait())
    await eventually(lambda: not any(is_running(pid) for pid in pids))
