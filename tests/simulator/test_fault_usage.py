"""What a process uses, and what of it a fault has left: figures without a process and a call."""

from __future__ import annotations

import os
import types

import psutil
import pytest

from twistream_kit.errors import SettingsError
from twistream_kit.simulator import _fault_usage
from twistream_kit.simulator._fault_usage import CallUsage, UsageMeter, say_usage
from twistream_kit.simulator._process_usage import ProcessUsage, ProcessWatch


class Watch:
    """A process in which each call leaves something."""

    pid = 4711

    def __init__(self, memory=0, descriptors=0, threads=0, *, once=0):
        self.each = (memory, descriptors, threads)
        self.once = once
        self.calls = 0

    def read(self):
        memory, descriptors, threads = (each * self.calls for each in self.each)
        once = self.once if self.calls else 0
        return ProcessUsage(10**8 + memory, 9 + descriptors + once, 2 + threads)

    async def call(self):
        self.calls += 1
        return 1


@pytest.fixture(autouse=True)
def _wait_shortly(monkeypatch):
    monkeypatch.setattr(_fault_usage, "SETTLE_SECONDS", 0.0)


async def test_what_each_ordinary_call_leaves_is_a_row_of_its_own():
    watch = Watch(24_000_000, 1)
    meter = UsageMeter(watch)
    row = await meter.measure_calls(watch.call)
    assert meter.each == CallUsage(24_000_000, 1, 0)
    assert row.seen.startswith(
        "Each of 6 ordinary calls left 1 descriptor and 24 MB in process 4711"
    )
    assert (row.name, row.outcome, row.is_fault) == ("ordinary-call", "red", False)


async def test_what_is_filled_once_is_left_by_no_call():
    watch = Watch(once=7)
    meter = UsageMeter(watch)
    assert await meter.measure_calls(watch.call) is None
    assert not meter.each


async def test_a_fault_has_left_only_what_its_streams_do_not_leave_anyway():
    watch = Watch(24_000_000, 1)
    meter = UsageMeter(watch)
    await meter.measure_calls(watch.call)
    before, after = ProcessUsage(0, 10, 2), ProcessUsage(72_000_000, 13, 2)
    assert meter.find_growth(before, after, streams=3) == ""
    assert meter.find_growth(before, after, streams=2) == "1 descriptor and 24 MB"
    assert meter.find_growth(before, ProcessUsage(72_000_000, 13, 4), streams=3) == "2 threads"


def test_a_figure_that_cannot_be_read_is_said_to_be_so_and_has_not_grown():
    before, after = ProcessUsage(2_000_000, None, 1), ProcessUsage(3_000_000, None, 2)
    assert say_usage(before, after) == "2.0 → 3.0 MB, descriptors unreadable, 1 → 2 threads"
    assert UsageMeter(Watch()).find_growth(before, after, 1) == "1 thread"


class Process:
    """A process of psutil, which another user owns as far as `denied` says."""

    def __init__(self, denied=(), port=None, pid=4711):
        self.denied, self.port, self.pid = denied, port, pid

    def __getattr__(self, name):
        if name in self.denied:
            raise psutil.AccessDenied(1)
        return {
            "memory_info": lambda: types.SimpleNamespace(rss=5),
            "num_fds": lambda: 3,
            "num_threads": lambda: 1,
            "is_running": lambda: True,
            "status": lambda: "sleeping",
            "name": lambda: "sh",
            "children": lambda recursive: [],
            "net_connections": lambda _: [
                types.SimpleNamespace(
                    status=psutil.CONN_LISTEN, laddr=types.SimpleNamespace(port=self.port)
                )
            ],
        }[name]

    def oneshot(self):
        return _Nothing()


class _Nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


def watch(monkeypatch, process):
    monkeypatch.setattr(psutil, "Process", lambda pid: process)
    monkeypatch.setattr(psutil, "net_connections", lambda _: [])
    return ProcessWatch(4711)


def test_descriptors_of_another_user_do_not_end_the_process(monkeypatch):
    class Denied(Process):
        def __init__(self):
            super().__init__()

        def num_fds(self):
            raise psutil.AccessDenied(1)

    assert watch(monkeypatch, Denied()).read() == ProcessUsage(5, None, 1)


def test_a_process_of_which_nothing_can_be_read_is_refused(monkeypatch):
    class Denied(Process):
        def deny(self):
            raise psutil.AccessDenied(1)

        memory_info = num_fds = num_threads = deny

    with pytest.raises(SettingsError, match="it belongs to another user"):
        watch(monkeypatch, Denied())


def test_whether_it_listens_on_the_port_is_said_where_that_is_known(monkeypatch):
    found = watch(monkeypatch, Process(port=80))
    assert found.find_doubt(80) is None
    assert "process 4711 (sh) does not listen on port 81" in str(found.find_doubt(81))
    hidden = watch(monkeypatch, Process(denied=("net_connections",)))
    assert "listens on port 80: that cannot be read here" in str(hidden.find_doubt(80))


def test_a_process_that_began_this_one_has_the_callers_too(monkeypatch):
    found = watch(monkeypatch, Process(port=80, pid=os.getpid()))
    assert "the callers run in it, too" in str(found.find_doubt(80))
