"""What a dot and a tab give in a notebook, in real kernels."""

import pytest

import twistream_kit as kit

pytestmark = pytest.mark.notebook


def test_a_tab_after_the_package_gives_the_public_names_and_nothing_else(kernel):
    # What is loaded already is an attribute of the package as well; it is not offered.
    kernel.run("import twistream_kit.notebook.widgets.controls, twistream_kit.simulator.report")
    offered = {name.removeprefix("kit.") for name in kernel.complete("kit.")}
    assert offered == set(kit.__all__)


def test_a_tab_after_the_messages_gives_them_and_nothing_that_they_are_made_with(kernel):
    for module in (kit.to_twilio, kit.from_twilio):
        name = f"kit.{module.__name__.rpartition('.')[2]}."
        offered = {each.removeprefix(name) for each in kernel.complete(name)}
        assert offered == set(module.__all__)
        assert {"Mark", "Media", "parse"} <= offered
        assert not {"Any", "json", "dataclass"} & offered
