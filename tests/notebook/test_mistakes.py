"""Twenty mistakes that people make: what stands below the cell is short, and says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.front_end import FrontEnd
from support.kernels import NEWEST, OLDER

pytestmark = pytest.mark.notebook

ROOT = Path(__file__).resolve().parents[2]

MOST_LINES = 12

SETUP = f"""
import asyncio, numpy as np, pathlib, socket, sys
import twistream_kit as kit
ROOT = pathlib.Path({str(ROOT)!r})
ALICE = "+15550100001"
twilio = kit.start(kit.SimulatedTwilio(ring_seconds=0.02))
server = kit.start(kit.StreamServer())
phone = twilio.phone(ALICE)
def call_up():
    return kit.place_call(twilio.client, to=ALICE, from_=twilio.numbers[0],
                          stream_url=server.stream_url)
call = call_up().result(10)
stream = server.next_stream(call).result(10)
"""

MISTAKES = {
    "missing file": (
        'kit.load_clip(ROOT / "sample_audio" / "greting.wav")',
        r"Nearest in that folder: greeting.wav",
    ),
    "WAV given to play": (
        'stream.play((ROOT / "sample_audio/greeting.wav").read_bytes())',
        "Send kit.load_clip(path).payload.",
    ),
    "path given to play": (
        'stream.play("sample_audio/greeting.wav")',
        "stream.play(kit.load_clip(path)) plays a file",
    ),
    "MP3 bytes": (
        'stream.play((ROOT / "tests/cases/c04.mp3").read_bytes())',
        "Send kit.load_clip(path).payload.",
    ),
    "floats of 20000": (
        "stream.play(20000 * np.sin(np.arange(8000) / 5))",
        "divide by 32768, or give int16",
    ),
    "list": ("stream.play([1, 2, 3])", "np.array(samples, 'int16') makes an array"),
    "44.1 kHz int16": (
        (
            "wave = np.sin(np.arange(44100) * 2 * np.pi * 220 / 44100)\n"
            "samples = (8000 * wave).astype('int16')\n"
            "playing = stream.play(samples)\nstream.clear()\nplaying.result(10)"
        ),
        "give its rate: stream.play(samples, sample_rate=44100)",
    ),
    "no result before hang_up": ("call_up().hang_up()", "Say .result(10) or await it."),
    "no result before play": (
        "server.next_stream().play(kit.Clip.tone(440, 1))",
        "Say .result(10) or await it.",
    ),
    "play after hang-up": (
        (
            "call.hang_up().result(10)\nstream.closed.result(10)\n"
            "stream.play(kit.Clip.tone(440, 1)).result(10)"
        ),
        "this stream has ended, server.next_stream() waits for the next call",
    ),
    "port in use": (
        (
            "taken = socket.create_server(('127.0.0.1', 0))\n"
            "kit.start(kit.StreamServer(port=taken.getsockname()[1]), name='second')"
        ),
        "Say port=0 for a free one, or stop the other.",
    ),
    "server started twice": ("async with server: pass", "stop it before entering it"),
    "asyncio.run": (
        "async def main(): return 1\nasyncio.run(main())",
        "write `await main()` in place of asyncio.run(main()), or call kit.allow_nested_asyncio()",
    ),
    "run_until_complete": (
        "asyncio.get_running_loop().run_until_complete(asyncio.sleep(0))",
        "write `await main()` in place of asyncio.run(main())",
    ),
    "uvicorn.run": (
        "import uvicorn\nasync def app(scope, receive, send): ...\nuvicorn.run(app, port=0)",
        "start its server beside the cells: kit.start(kit.ServerProcess([sys.executable",
    ),
    "wrong path": (
        'kit.simulate_call(server.url + "/wrong").result(10)',
        "Check the path, the slash at its end included",
    ),
    "refused connection": (
        'kit.simulate_call("ws://127.0.0.1:9/media").result(10)',
        "Is the server running, and on this port?",
    ),
    "token missing": (
        (
            'signed = kit.start(kit.StreamServer(auth_token="0" * 32), name="signed")\n'
            "kit.simulate_call(signed.url).result(10)"
        ),
        "kit.simulate_call(url, auth_token=…)",
    ),
    "url_of something stopped": (
        'gone = kit.start(kit.StreamServer(), name="gone")\nkit.stop(gone)\nkit.url_of(gone)',
        "Start it with kit.start(server)",
    ),
    "url_of a stopped server of websockets": (
        (
            "import websockets\nasync def talk(socket): ...\n"
            'gone = kit.start(lambda: websockets.serve(talk, "127.0.0.1", 0), name="gone")\n'
            "kit.stop(gone)\nkit.url_of(gone)"
        ),
        "Start it again with kit.start(…)",
    ),
    "next_stream without a call": (
        'idle = kit.start(kit.StreamServer(), name="idle")\nidle.next_stream().result(0.1)',
        "kit.simulate_call(server.stream_url), then wait again.",
    ),
    "review of a name": (
        'kit.review("call.jsonl")',
        "for what a file holds say kit.review(Path(…))",
    ),
    "error of one's own": (
        (
            'def load(): kit.load_clip("nothing.wav")\ntry: load()\n'
            'except kit.WavError as error: raise ValueError("no greeting") from error'
        ),
        "Check the path",
    ),
    "error while one was handled": (
        "try: {}['key']\nexcept KeyError: kit.load_clip('nothing.wav')",
        "Check the path",
    ),
    "wait_for": (
        "await asyncio.wait_for(server.next_stream(), 0.1)",
        "Only the wait has ended: next MediaStream is still on its way.",
    ),
    "timeout": (
        "async with asyncio.timeout(0.1): await server.next_stream()",
        "Only the wait has ended: next MediaStream is still on its way.",
    ),
    "tasks of a group": (
        (
            'async def load(): kit.load_clip("nothing.wav")\n'
            "async with asyncio.TaskGroup() as group:\n"
            "    group.create_task(load()); group.create_task(load())"
        ),
        "Check the path",
    ),
    "start interrupted": (
        (
            "import signal, threading\n"
            "class Slow:\n"
            "    async def __aenter__(self):\n"
            "        main = threading.main_thread().ident\n"
            "        later = asyncio.get_running_loop().call_later\n"
            "        later(0.5, signal.pthread_kill, main, signal.SIGINT)\n"
            "        await asyncio.Event().wait()\n"
            "    async def __aexit__(self, *_): ...\n"
            "kit.start(Slow())"
        ),
        "Slow was not ready yet and is stopped; kit.start(…) starts it anew.",
    ),
    "dict as behaviour": (
        "kit.simulate_call(server.url, behaviour=dict(echo=True)).result(10)",
        "give a Behaviour: behaviour=kit.Behaviour(echo=True).",
    ),
    "dict as behaviour of a simulator": (
        'kit.start(kit.SimulatedTwilio(behaviour=dict(echos=True)), name="other")',
        "'echos' is no name of a Behaviour; give a kit.Behaviour(…) with some of",
    ),
}


@pytest.fixture(
    scope="module",
    params=[NEWEST, *(pytest.param(version, marks=pytest.mark.slow) for version in OLDER)],
)
def cells(request, specs):
    """A kernel with a call."""
    front_end = FrontEnd(f"ipykernel-{request.param}", specs)
    try:
        front_end.run(SETUP)
        yield front_end
    finally:
        front_end.close()


@pytest.mark.parametrize("mistake", MISTAKES)
def test_what_stands_below_the_cell_is_short_and_ends_with_what_to_do(cells, mistake):
    code, fix = MISTAKES[mistake]
    if "hang_up().result" not in code:
        cells.run("if not stream.is_open: call = call_up().result(10); "
                  "stream = server.next_stream(call).result(10)")  # fmt: skip
    cells.forget()
    lines = cells.output_of(code)
    text = "\n".join(lines)
    assert len(lines) <= MOST_LINES, text
    assert fix in lines[-1], text
    assert "/twistream_kit/" not in text.replace(str(ROOT), ""), text


def test_errors_of_others_are_shown_as_ever(cells):
    lines = cells.output_of("{}['key']")
    assert lines[0].startswith("---")
    assert lines[-1] == "KeyError: 'key'"
    lines = cells.output_of("raise RuntimeError('of mine')")
    assert lines[0].startswith("---")
    assert lines[-1] == "RuntimeError: of mine"
    assert any("----> 1 raise RuntimeError" in line for line in lines)


def test_who_handles_errors_already_goes_on_to_do_so(cells):
    lines = cells.output_of("""
shell = get_ipython()
ours = shell.CustomTB.__func__, shell.custom_exceptions
shell.set_custom_exc((ValueError,), lambda shell, kind, error, tb, tb_offset=None: print("theirs"))
kit.start(kit.StreamServer(), name="idle")
int("x")
""")
    assert lines[-1] == "theirs"
    cells.run("""
from twistream_kit.notebook.runtime.nested_run import explain_nested_runs
shell.set_custom_exc((), None); shell.custom_exceptions = ()
explain_nested_runs()
""")
    assert "await main()" in cells.output_of("asyncio.run(main())")[-1]


def test_the_lines_of_magics_awaits_and_groups_are_the_users(cells):
    lines = cells.output_of('%%time\nkit.load_clip("nothing.wav")')
    assert "WavError: nothing.wav: there is no such file." in lines
    assert not any("run_cell_magic" in line for line in lines)
    lines = cells.output_of("await server.next_stream().nonsense")
    assert lines[1:] == [
        "    await server.next_stream().nonsense",
        "",
        "NoSuchAttribute: this is a Pending of a MediaStream, and neither has 'nonsense'.",
        "The MediaStream comes with .result(10) or await; dir() lists what each has.",
    ]
    lines = cells.output_of("""
async def load(): kit.load_clip("nothing.wav")
async with asyncio.TaskGroup() as group: group.create_task(load())
""")
    assert any("unhandled errors in a TaskGroup" in line for line in lines)
    assert "  WavError: nothing.wav: there is no such file." in lines
    assert lines[-1].startswith("  Check the path")


def test_what_ends_a_thread_is_as_short_and_that_of_others_as_ever(cells):
    lines = cells.output_of("""
import threading
thread = threading.Thread(target=lambda: kit.load_clip("nothing.wav"), name="mine")
thread.start(); thread.join()
""")
    assert lines[0] == "Exception in thread mine:"
    assert lines[-1].startswith("Check the path")
    assert len(lines) <= MOST_LINES
    lines = cells.output_of("""
thread = threading.Thread(target=lambda: {}["key"], name="mine"); thread.start(); thread.join()
""")
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "KeyError: 'key'"


def test_an_error_of_ones_own_is_shown_in_full_by_tb(cells):
    cells.output_of(MISTAKES["error of one's own"][0])
    lines = cells.output_of("%tb")
    assert any("sound_file.py" in line for line in lines)
    assert lines[-1] == "ValueError: no greeting"


def test_all_frames_are_there_when_asked_for(cells):
    lines = cells.output_of('kit.verbose_errors(True)\nkit.load_clip("nothing.wav")')
    cells.run("kit.verbose_errors(False)")
    assert any("sound_file.py" in line for line in lines)
    assert lines[-1].startswith("WavError: nothing.wav: there is no such file. Check the path")
    assert len(cells.output_of('kit.load_clip("nothing.wav")')) == 5


def test_an_interrupted_wait_says_that_the_sound_goes_on_and_commands_work_after_it(cells):
    cells.run("""
if not stream.is_open: call = call_up().result(10); stream = server.next_stream(call).result(10)
import signal, threading
def interrupt(): signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
def interrupt_soon():
    playing = stream.play(kit.Clip.tone(440, 60))
    playing.heard(0.1).add_done_callback(lambda done: interrupt())
    return playing
""")
    said = "Only the wait has ended, the sound goes on: stream.clear() silences it."
    lines = cells.output_of("playing = interrupt_soon()\nplaying.result()")
    assert [line for line in lines if "sound goes on" in line] == [said]
    assert lines[-2:] == ["KeyboardInterrupt", said]
    assert len(lines) <= MOST_LINES
    assert cells.value("(playing.done(), playing.progress > 0)") == (False, True)
    cells.run("stream.clear()")
    assert cells.value("playing.result(10).ending") == "cleared"
    assert cells.value("stream.play(kit.Clip.tone(440, 0.1)).result(10).ending") == "heard"
