"""Help for people who want `asyncio.run()` in their own cells, here without a kernel."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

from twistream_kit.errors import SettingsError
from twistream_kit.notebook.runtime import loop

LOOP = "import asyncio; asyncio.set_event_loop(asyncio.new_event_loop())\n"


def run(program):
    """Run it in an interpreter of its own, because what is patched stays patched."""
    done = subprocess.run(
        [sys.executable, "-c", LOOP + textwrap.dedent(program)],
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.stderr == ""
    return done.stdout.splitlines()


def test_the_fork_is_applied_where_the_original_would_lose_cells():
    first, second, value = run("""
        import twistream_kit as kit
        print(kit.allow_nested_asyncio())
        print(kit.allow_nested_asyncio())
        async def outer():
            return asyncio.run(asyncio.sleep(0, "nested"))
        print(asyncio.run(outer()))
    """)
    assert first.startswith("nest_asyncio2 1.7.")
    works = "asyncio.run() and run_until_complete() work in cells now; asyncio.Runner does not, "
    assert f" is applied: {works}" in first
    assert second.startswith("nest_asyncio2 1.7.")
    assert f" was applied before: {works}" in second
    assert value == "nested"


def test_what_is_said_to_work_works_and_what_is_said_to_fail_fails():
    said, *results = run("""
        import twistream_kit as kit
        print(kit.allow_nested_asyncio())
        async def cell():
            print(asyncio.run(asyncio.sleep(0, "run")))
            print(asyncio.get_running_loop().run_until_complete(asyncio.sleep(0, "complete")))
            sleep = asyncio.sleep(0)
            try:
                with asyncio.Runner() as runner:
                    runner.run(sleep)
            except RuntimeError as error:
                print(error)
            sleep.close()
        asyncio.run(cell())
    """)
    assert "asyncio.Runner does not, nor what makes one, such as uvicorn.run()" in said
    assert results == ["run", "complete", "Runner.run() cannot be called from a running event loop"]


def test_the_original_applied_earlier_is_refused_where_it_loses_cells():
    (text,) = run("""
        import nest_asyncio
        nest_asyncio.apply()
        import twistream_kit as kit
        try:
            kit.allow_nested_asyncio()
        except kit.SettingsError as error:
            print(error)
    """)
    assert text == (
        "nest_asyncio has already been applied, and on this kernel it loses queued cells. Run All "
        "would hang for ever. Restart the kernel and call kit.allow_nested_asyncio() in place of "
        "nest_asyncio.apply()."
    )


def test_a_loop_that_cannot_be_patched_is_named():
    (text,) = run("""
        class Foreign(asyncio.AbstractEventLoop):
            pass
        asyncio.set_event_loop(Foreign())
        import twistream_kit as kit
        try:
            kit.allow_nested_asyncio()
        except kit.SettingsError as error:
            print(error)
    """)
    assert text == (
        "the kernel's event loop, Foreign, cannot be entered again. asyncio.run() will not work "
        "in a cell. Use `await` instead, which every cell allows."
    )


def test_a_fork_that_still_loses_cells_is_refused_before_anything_is_patched(monkeypatch):
    versions = {"ipykernel": "7.4.0", "nest_asyncio2": "1.7.2"}
    monkeypatch.setattr(loop.metadata, "version", versions.__getitem__)
    with pytest.raises(SettingsError) as caught:
        loop.allow_nested_asyncio()
    assert str(caught.value) == (
        "nest_asyncio2 1.7.2 loses queued cells on this kernel. Run All would hang for ever. "
        "Install nest-asyncio2 1.7.3 or newer, or use `await` instead of asyncio.run()."
    )
    assert loop._find_applied() is None


@pytest.mark.parametrize(
    ("version", "swallows"),
    [("6.29.5", False), ("6.31.0", False), ("7.0.2", False), ("7.1.0", True), ("7.10.0", True),
     ("8.0.0a1", True)],
)  # fmt: skip
def test_which_kernels_lose_queued_cells(monkeypatch, version, swallows):
    monkeypatch.setattr(loop.metadata, "version", lambda _package: version)
    assert loop._loses_cells() is swallows


@pytest.mark.parametrize("kit_first", [True, False])
def test_the_kits_nested_wait_and_nested_cells_get_on_in_either_order(kit_first):
    begin = "server = kit.start(kit.StreamServer(handler))"
    allow = "kit.allow_nested_asyncio()"
    program = f"""
        import twistream_kit as kit
        endings = []
        async def handler(stream):
            endings.append(stream.play(b"\\xff" * 800).result(30).ending)
        {begin if kit_first else allow}
        {allow if kit_first else begin}
        async def outer():
            return asyncio.run(asyncio.sleep(0, "nested"))
        kit.simulate_call(server.url, seconds=0.5).result(30)
        print(endings, asyncio.run(outer()))
    """
    assert run(program) == ["['heard'] nested"]
