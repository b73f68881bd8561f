"""One thread that brings widgets up to date."""

from __future__ import annotations

import threading
import time

import pytest

from twistream_kit.notebook.runtime.activity_log import PUMP_SECONDS, Pump


@pytest.fixture
def pump():
    return Pump()


def test_an_update_is_called_until_it_has_nothing_more_to_show(pump, until):
    calls = []

    def update():
        calls.append(time.monotonic())
        return len(calls) < 3

    pump.add(update)
    until(lambda: len(calls) == 3)
    pump.add(other := Counter())
    until(lambda: other.calls >= 2)
    assert len(calls) == 3


class Counter:
    """Counts how often it is called."""

    def __init__(self):
        self.calls = 0
        self.threads = set()

    def __call__(self):
        self.calls += 1
        self.threads.add(threading.current_thread())
        return True


def test_updates_run_on_one_thread_that_no_interpreter_waits_for(pump, until):
    one, two = Counter(), Counter()
    pump.add(one)
    pump.add(two)
    until(lambda: one.calls >= 2 and two.calls >= 2)
    assert one.threads == two.threads
    (thread,) = one.threads
    assert thread.daemon
    assert thread is not threading.current_thread()


@pytest.mark.realtime
def test_updates_come_ten_times_a_second_at_most(pump, until):
    counter = Counter()
    begun = time.monotonic()
    pump.add(counter)
    until(lambda: counter.calls >= 5)
    assert time.monotonic() - begun >= 4 * PUMP_SECONDS * 0.95


def test_what_was_removed_is_called_no_more(pump, until):
    gone, stays = Counter(), Counter()
    pump.add(gone)
    until(lambda: gone.calls)
    pump.remove(gone)
    pump.add(stays)
    until(lambda: stays.calls >= 1)
    calls = gone.calls
    until(lambda: stays.calls >= 3)
    assert gone.calls == calls


def test_a_bound_method_can_be_removed(pump, until):
    class Shown:
        calls = 0

        def update(self):
            self.calls += 1
            return True

    shown, stays = Shown(), Counter()
    pump.add(shown.update)
    until(lambda: shown.calls)
    pump.remove(shown.update)
    assert not pump._updates
    pump.add(stays)
    until(lambda: stays.calls)


def test_what_is_added_while_it_ends_is_called_once_more(pump, until):
    calls = []

    def update():
        calls.append(len(calls))
        if len(calls) == 1:
            pump.add(update)  # something happened after it had looked
        return False

    pump.add(update)
    until(lambda: calls == [0, 1])
    until(lambda: not pump._updates)


def test_what_is_added_twice_is_called_once_a_turn(pump, until):
    one, two = Counter(), Counter()
    pump.add(one)
    pump.add(two)
    pump.add(one)
    until(lambda: two.calls >= 3)
    assert abs(one.calls - two.calls) <= 1


def test_an_update_that_fails_is_logged_once_and_the_others_go_on(pump, until, said):
    counter = Counter()

    def broken():
        raise ValueError("no such trait")

    pump.add(broken)
    pump.add(counter)
    until(lambda: counter.calls >= 3)
    lines = [line for line in said() if "no such trait" in line]
    assert lines == [
        "a widget could not be updated, and will not be updated again: ValueError: no such trait"
    ]


def test_a_pump_without_updates_sleeps(pump, until):
    pump.add(lambda: False)
    until(lambda: not pump._updates)
    until(lambda: not pump._has_updates.is_set())
    counter = Counter()
    pump.add(counter)
    until(lambda: counter.calls)
