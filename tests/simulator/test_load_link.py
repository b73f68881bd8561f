"""The connection of shares elsewhere to the one who asked for them, over the loopback."""

from __future__ import annotations

import pickle
import socket
from collections.abc import Iterator
from dataclasses import replace

import pytest

from support.waiting import until
from twistream_kit.simulator import _load_link
from twistream_kit.simulator._load_link import (
    Counts,
    LinkAddress,
    ShareLink,
    ShareListener,
    connect,
    find_ways,
    is_reachable,
)
from twistream_kit.simulator._load_share import Watch
from twistream_kit.simulator._own_thread import on_own_thread


@pytest.fixture
def listener() -> Iterator[ShareListener]:
    with on_own_thread(ShareListener()) as made:
        yield made


def address_of(listener: ShareListener) -> LinkAddress:
    address = listener.address
    assert address is not None
    return pickle.loads(pickle.dumps(address))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_load_link, "_STEP_SECONDS", 0.01)
    monkeypatch.setattr(_load_link, "_AGAIN_SECONDS", 0.01)


@pytest.mark.usefixtures("quick")
def test_counts_come_and_a_stop_goes(listener: ShareListener) -> None:
    one, other = Watch(), Watch()
    one.begun, one.ended, one.refused = 5, 2, 1
    links = [ShareLink(address_of(listener), n, watch) for n, watch in ((1, one), (7, other))]
    for link in links:
        link.begin()
    until(lambda: listener.counts == {1: Counts(5, 2, 1), 7: Counts(0, 0, 0)})
    assert not one.stop.is_set()
    listener.stop()
    until(lambda: one.stop.is_set() and other.stop.is_set())
    one.ended = 5
    assert [link.end() for link in links] == ["", ""]
    until(lambda: listener.counts[1] == Counts(5, 5, 1))  # the last ones are sent at the end


@pytest.mark.usefixtures("quick")
def test_who_connects_after_a_stop_is_stopped_as_well(listener: ShareListener) -> None:
    listener.stop()
    watch = Watch()
    link = ShareLink(address_of(listener), 1, watch)
    link.begin()
    until(watch.stop.is_set)
    assert link.end() == ""


@pytest.mark.usefixtures("quick")
def test_a_connection_that_is_lost_stops_nothing_and_is_made_again(
    listener: ShareListener,
) -> None:
    address = address_of(listener)
    watch = Watch()
    with socket.create_server(("127.0.0.1", 0)) as between:  # hangs up after the first connection
        near = ("127.0.0.1", between.getsockname()[1])
        link = ShareLink(replace(address, near=near), 3, watch)
        link.begin()
        first, _ = between.accept()
        first.sendall(bytes(16))
        assert len(first.recv(36, socket.MSG_WAITALL)) == 36
        first.close()
        second, _ = between.accept()
        second.close()
    until(lambda: not link._is_connected)
    assert link.end() == "was lost"
    assert not watch.stop.is_set()


def test_a_connection_that_cannot_be_made_is_said(quick: None) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        near = ("127.0.0.1", unused.getsockname()[1])
    address = LinkAddress(socket.gethostname(), near, (), bytes(32))
    assert not is_reachable(address)
    link = ShareLink(address, 1, Watch())
    link.begin()
    assert link.end() == "could not be made"


def test_a_stranger_counts_nothing_and_hears_nothing(listener: ShareListener) -> None:
    address = address_of(listener)
    found = connect(replace(address, token=bytes(32)), 1)
    assert found is not None
    connection, _ = found
    listener.stop()
    with connection:
        connection.settimeout(30)
        assert connection.recv(100) == b"", "it was hung up on, without a word"
    assert listener.counts == {}


@pytest.mark.usefixtures("quick")
def test_a_stop_without_the_secret_ends_the_connection_and_not_the_share() -> None:
    watch = Watch()
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        near = ("127.0.0.1", stranger.getsockname()[1])
        link = ShareLink(LinkAddress(socket.gethostname(), near, (), bytes(32)), 1, watch)
        link.begin()
        connection, _ = stranger.accept()
        connection.sendall(bytes(16) + b"x" * 32)
        while connection.recv(100):  # until the share hangs up
            pass
        connection.close()
    assert not watch.stop.is_set()
    assert link.end() == "was lost"


def test_the_loopback_is_for_this_machine_only(listener: ShareListener) -> None:
    here = address_of(listener)
    assert here.choose() == (here.near,)
    assert here.near[0] == "127.0.0.1"
    elsewhere = replace(here, host="elsewhere")
    assert elsewhere.choose() == ()
    assert not is_reachable(elsewhere)
    assert is_reachable(here)
    assert "token" not in repr(here)


def test_it_listens_to_the_network_only_for_workers_that_are_there(
    listener: ShareListener, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def find(hosts: list[str]) -> list[str]:
        asked.extend(hosts)
        return ["127.0.0.1"]

    monkeypatch.setattr(_load_link, "find_ways", find)
    listener.open_to({socket.gethostname(): ("192.0.2.7",)})
    assert address_of(listener).far == ()
    listener.open_to({socket.gethostname(): (), "elsewhere": ("192.0.2.8",)})
    assert asked == ["192.0.2.8", "elsewhere"]
    address = replace(address_of(listener), host="elsewhere")  # as it is seen from there
    assert address.choose() == address.far
    assert is_reachable(address)


def test_the_ways_to_other_machines_are_no_loopback() -> None:
    assert not [way for way in find_ways(["localhost"]) if way.startswith(("127.", "::1"))]
