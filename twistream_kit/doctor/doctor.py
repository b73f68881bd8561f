"""Look at everything that the kit needs of this machine: ``twistream doctor``."""

from __future__ import annotations

from twistream_kit.doctor import _account, _jupyter, _machine, _packages
from twistream_kit.doctor.condition import Conditions, look

_FOR_NOTEBOOKS = (
    ("Python", _packages.examine_python),
    ("packages", _packages.examine_packages),
    ("kernel", _jupyter.examine_kernel),
    ("JupyterLab", _jupyter.examine_jupyterlab),
    ("user", _jupyter.examine_user),
    ("browser", _jupyter.examine_browser),
    ("loopback", _machine.examine_loopback),
)
_FOR_THE_REST = (
    ("port 8888", _machine.examine_port),
    ("account", _account.examine_account),
    ("public address", _account.examine_tunnels),
    ("ffmpeg", _machine.examine_ffmpeg),
    ("extras", _packages.examine_extras),
)


def examine_machine() -> Conditions:
    """Return what was found of all that the kit needs; no service is contacted."""
    looks = _FOR_NOTEBOOKS + _FOR_THE_REST
    return Conditions(condition for name, examine in looks for condition in look(name, examine))


def find_obstacles(*, opens_browser: bool) -> Conditions:
    """Return what a user of the notebooks has to know before they are opened by ``tutorial``.

    Left out is what that command settles: it takes the JupyterLab and the kernel of this Python,
    and is refused to root.

    Args:
        opens_browser: Whether a browser is to be opened.
    """
    looks = (*_FOR_NOTEBOOKS, ("extra notebooks", _packages.examine_extra_for_notebooks))
    found = Conditions(condition for name, examine in looks for condition in look(name, examine))
    named = {"Python", "packages", "ipykernel", "loopback", "extra notebooks"}
    named |= {"browser"} if opens_browser else set()
    return Conditions(
        condition
        for condition in found.select("note", "warning", "error")
        if condition.level == "error" or condition.name in named
    )
