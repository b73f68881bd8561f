"""``twistream tutorial``: a folder of one's own with the notebooks, and JupyterLab in it."""

from __future__ import annotations

import argparse
from pathlib import Path

from twistream_kit.commands.parser import AddCommand, parse_port
from twistream_kit.commands.terminal import FINE, OBJECTIONS, complain, print_text


def add_tutorial(add_command: AddCommand) -> None:
    """Add the command and its options."""
    _add_tutorial_options(
        add_command(
            "tutorial",
            _start_tutorial,
            "put the notebooks and samples into a folder, and open JupyterLab there",
        )
    )


def _add_tutorial_options(tutorial: argparse.ArgumentParser) -> None:
    from twistream_kit.tutorial.folder import DEFAULT_FOLDER

    tutorial.add_argument(
        "folder",
        nargs="?",
        type=Path,
        default=Path(DEFAULT_FOLDER),
        metavar="FOLDER",
        help=f"made if it is not there; {DEFAULT_FOLDER} if left out",
    )
    tutorial.add_argument(
        "--force", action="store_true", help="replace files that you changed, or ran"
    )
    tutorial.add_argument(
        "--no-open", action="store_true", help="do not start JupyterLab; print how it is started"
    )
    tutorial.add_argument(
        "--no-browser",
        action="store_true",
        help="start JupyterLab, print its address and open no browser",
    )
    tutorial.add_argument(
        "--browser", metavar="NAME", help="the browser to open, such as firefox or chromium"
    )
    tutorial.add_argument(
        "--port", type=parse_port, metavar="N", help="the port of JupyterLab; 0 for a free one"
    )
    tutorial.add_argument(
        "--allow-root", action="store_true", help="let JupyterLab run as root, as in a container"
    )
    tutorial.add_argument(
        "--lab-option",
        action="append",
        default=[],
        metavar="OPTION",
        help="give JupyterLab an option, as in --lab-option=--ip=0.0.0.0; may be repeated",
    )


def _start_tutorial(arguments: argparse.Namespace) -> int:
    from twistream_kit.doctor.doctor import find_obstacles
    from twistream_kit.tutorial import jupyterlab
    from twistream_kit.tutorial.folder import FIRST_NOTEBOOK, fill_folder

    allow_root = arguments.allow_root or "--allow-root" in arguments.lab_option
    if not arguments.no_open:
        jupyterlab.check_start(
            port=arguments.port, browser=arguments.browser, allow_root=allow_root
        )
    filled = fill_folder(arguments.folder, force=arguments.force)
    print_text(filled)
    opens_browser = not (arguments.no_open or arguments.no_browser)
    obstacles = find_obstacles(opens_browser=opens_browser)
    if obstacles:
        print_text(obstacles.format_rows())
    command = jupyterlab.build_command(
        filled.folder,
        port=arguments.port,
        browser=arguments.browser,
        open_browser=not arguments.no_browser,
        allow_root=allow_root,
        options=arguments.lab_option,
    )
    first = filled.folder / FIRST_NOTEBOOK
    if arguments.no_open:
        print_text(f"Begin with {first}, in a JupyterLab that runs already, or start one:")
        print_text(f"  {jupyterlab.join_command(command)}")
        return FINE
    where = "prints its address below" if arguments.no_browser else "opens in your browser"
    print_text(f"JupyterLab {where}, with {FIRST_NOTEBOOK}; Ctrl-C here ends it.")
    code = jupyterlab.run_jupyterlab(command)
    if code:
        return complain(f"JupyterLab has ended with {code}; it says why above.", OBJECTIONS)
    return FINE
