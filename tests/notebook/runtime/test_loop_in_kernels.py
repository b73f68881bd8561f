"""Run All: cells that are queued behind one another, on every supported kernel.

A front end sends all cells at once.  A nested run of the kernel's loop under nest_asyncio 1.6.0
swallows what arrives meanwhile on ipykernel 7.1 and newer: Run All then hangs for ever, while
tools that send one cell at a time, nbclient among them, pass.
"""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.notebook

IMPORTS = "import asyncio, twistream_kit as kit"

HANDLER = """
endings = []
async def handler(stream):
    endings.append(stream.play(b"\\xff" * 800).result(30).ending)
"""

START = "server = kit.start(kit.StreamServer(handler))"

ALLOW = "print(kit.allow_nested_asyncio())"

CALL = "kit.simulate_call(server.url, seconds=0.4).result(30)"

NESTED = "asyncio.run(asyncio.sleep(0.4, 'nested'))"

REFUSED = """
work = asyncio.sleep(0.4, 'nested')
try:
    asyncio.run(work)
except RuntimeError as error:
    print(error)
finally:
    work.close()
"""


def run_all(kernel, *cells):
    """Send all cells at once; return what each printed, or what became of it."""
    requests = [kernel.begin(cell) for cell in cells]
    kernel.wait(lambda: all(map(kernel.has_ended, requests)), "end of all cells")
    return [kernel.result_of(request) for request in requests]


@pytest.mark.parametrize("kit_first", [True, False], ids=["kit-first", "nesting-first"])
def test_queued_cells_run_behind_a_nested_one(fresh_kernel, kernel_version, kit_first):
    kernel = fresh_kernel(kernel_version)
    kernel.run(IMPORTS + HANDLER)
    first, second = (START, ALLOW) if kit_first else (ALLOW, START)
    said = kernel.run(first) + kernel.run(second)
    module = "nest_asyncio 1.6.0" if kernel_version.startswith("6.") else "nest_asyncio2 1.7."
    assert said.startswith(module)
    assert "is applied: asyncio.run() and run_until_complete() work in cells now; " in said
    outputs = run_all(kernel, f"print({NESTED})", "print('second')", f"print({NESTED})", CALL)
    assert outputs[:3] == ["nested\n", "second\n", "nested\n"]
    assert kernel.value("endings") == ["heard"]
    assert kernel.run("kit.stop(); print('stopped')") == "stopped\n"


def test_the_hang_that_the_kit_avoids_is_real(fresh_kernel):
    """Were this to fail, nest_asyncio would do everywhere and the fork could go."""
    kernel = fresh_kernel("newest")
    kernel.run("import asyncio, nest_asyncio; nest_asyncio.apply()")
    nested = kernel.begin(NESTED)
    queued = kernel.begin("print('second')")
    kernel.wait(lambda: kernel.has_ended(nested), "end of the nested cell")
    with pytest.raises(TimeoutError):
        kernel.wait(lambda: kernel.has_ended(queued), "end of the queued cell", 2)


def test_the_kit_leaves_the_kernels_loop_and_asyncio_as_they_were(fresh_kernel, kernel_version):
    kernel = fresh_kernel(kernel_version)
    kernel.run("""
import asyncio
def asyncio_now():
    kind = type(asyncio.get_running_loop())
    names = ("run", "Task", "Future", "get_event_loop")
    methods = ("run_until_complete", "run_forever", "_run_once")
    return [getattr(asyncio, n) for n in names] + [getattr(kind, n) for n in methods]
async def look():
    return asyncio_now()
before = await look()
""")
    cells = (REFUSED, "print('second')", "print(await asyncio.sleep(0.1, 3))")
    without_us = run_all(kernel, *cells)
    kernel.run(IMPORTS + HANDLER + START)
    kernel.run(CALL)
    assert kernel.value("endings") == ["heard"]  # by one nested wait on the kit's loop
    assert kernel.value("await look() == before")
    assert kernel.value("hasattr(type(asyncio.get_running_loop()), '_nest_patched')") is False
    assert kernel.value("hasattr(asyncio, '_nest_patched')") is False
    with_us = run_all(kernel, *cells)
    assert with_us == without_us
    assert with_us[0] == "asyncio.run() cannot be called from a running event loop\n"
    assert with_us[1:] == ["second\n", "3\n"]


def test_a_pending_may_be_awaited_or_asked_for_in_any_cell(kernel):
    kernel.run(IMPORTS + HANDLER + START)
    awaited, asked, gathered = run_all(
        kernel,
        "print(len((await kit.simulate_call(server.url, seconds=0.1)).heard.payload) > 0)",
        "print(kit.simulate_call(server.url, seconds=0.1).result(30).heard.seconds >= 0)",
        "print(len(await asyncio.gather(*(kit.simulate_call(server.url, seconds=0.1) "
        "for _ in range(3)))))",
    )
    assert (awaited, asked) == ("True\n", "True\n")
    # Three handlers may wait nested at once, which is refused; their errors are printed, too.
    assert "3" in gathered.splitlines()
