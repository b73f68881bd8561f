"""What is known of the kernel, where there is none."""

from __future__ import annotations

import ipywidgets
import pytest

from twistream_kit.notebook.runtime import kernel


def test_outside_of_a_kernel_nothing_is_known_and_no_button_waits():
    assert kernel.find_kernel() is None
    assert kernel.read_ipykernel_version() is None
    assert not kernel.do_buttons_wait()


@pytest.mark.parametrize(
    ("version", "waits"), [((6, 29), True), ((6, 31), True), ((7, 1), False), ((7, 4), False)]
)
def test_buttons_wait_for_cells_up_to_ipykernel_6(monkeypatch, version, waits):
    monkeypatch.setattr(kernel, "read_ipykernel_version", lambda: version)
    assert kernel.do_buttons_wait() is waits


@pytest.mark.parametrize(
    ("text", "version"), [("6.29.5", (6, 29)), ("7.10.1", (7, 10)), ("8.0.0a1", (8, 0))]
)
def test_versions_are_read_as_numbers(monkeypatch, text, version):
    monkeypatch.setattr(kernel, "find_kernel", object)
    monkeypatch.setattr(kernel.metadata, "version", lambda _package: text)
    assert kernel.read_ipykernel_version() == version


def test_a_widget_whose_comm_has_no_subshell_is_left_alone():
    button = ipywidgets.Button()
    before = dict(vars(button.comm))
    kernel.answer_on_subshell(button)
    assert vars(button.comm) == before
    kernel.answer_on_subshell(object())


def test_replies_go_to_the_default_shell_where_the_comm_can_be_set_so():
    class Comm:
        def _reply_subshell_for(self, message, default):
            return "the parent's"

    class Widget:
        comm = Comm()

    kernel.answer_on_subshell(Widget)
    assert Widget.comm._reply_subshell_for({}, "the default") == "the default"


def test_a_watch_outside_of_a_kernel_sees_no_cell_and_closes_twice():
    watch = kernel.CellWatch()
    assert not watch.is_running
    watch.close()
    watch.close()
