"""Known failures of tunnel programs, by what the programs print: the cause, and what to do.

Each provider has rows of its own; `CANNOT_RUN` and `CANNOT_CONNECT` are for all of them.  A row
says "try again" only where that helps.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from twistream_kit.errors import TunnelError, escape_controls

SHOWN_LINES = 3
"""How many of its last lines are quoted of a program whose failure is not known."""

_LINE_CHARS = 300

_USER = re.compile(r"(\w+://)[^/\s@\"']*@")
_CLOCK = re.compile(r"\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ (?=[A-Z]{3} )")


@dataclass(frozen=True, slots=True)
class ProgramFailure:
    """A failure that a program's output shows.

    Attributes:
        pattern: What it prints.
        problem: What is wrong; ``{program}`` and the like stand for the names in `build_error`.
        fix: What to do; ``{another_way}`` names the other providers.
    """

    pattern: str
    problem: str
    fix: str


CANNOT_RUN = (
    ProgramFailure(
        r"Exec format error|Bad CPU type in executable|cannot execute binary|not a valid Win32"
        r"|incompatible with the version of Windows",
        "{program} is made for another kind of processor or system, so it does not start here",
        "Install the {program} of this system and processor (`uname -sm` names them)",
    ),
    ProgramFailure(
        r"cannot be started: (Permission denied|Access is denied)",
        "this user may not execute {program}",
        "Make it executable: chmod +x {path}; a file system mounted with noexec allows none",
    ),
    ProgramFailure(
        r"cannot be started: (No such file|The system cannot find)|error while loading shared lib"
        r"|version `?GLIBC|cannot open shared object|dyld: (Library|Symbol) not",
        "{program} lacks a library or loader of this system, so it does not start",
        "Install the {program} that is made for this system",
    ),
)
"""A program that does not run at all."""

CANNOT_CONNECT = (
    ProgramFailure(
        r"certificate has expired or is not yet valid|certificate is not yet valid|certificate "
        r"expired",
        "the certificate of the tunnel's service counts as expired here, or as not valid yet",
        "Set this machine's clock. If it is right, the network opens TLS: use "
        "another one{another_way}",
    ),
    ProgramFailure(
        r"x509:|certificate signed by unknown|failed to verify certificate|unknown ?issuer"
        r"|invalid peer certificate|certificate verify failed|self[- ]signed certificate"
        r"|unable to get local issuer",
        "the certificate that the network shows to {program} is from an authority that is not "
        "trusted here: the network inspects TLS, as companies and virus scanners do",
        "Trust that authority: put its certificate into the system's store, or set "
        "SSL_CERT_FILE to a file with all authorities; or use another network{another_way}. "
        "Trying again does not help",
    ),
    ProgramFailure(
        r"proxyconnect|Proxy Authentication Required|socks connect|proxy.{0,40}refused",
        "the proxy of this machine's settings does not let {program} through",
        "Correct HTTPS_PROXY, its user and password included, or use another network{another_way}",
    ),
    ProgramFailure(
        r"no such host|server misbehaving|Temporary failure in name resolution|dns error"
        r"|failed to lookup address|Name or service not known|Could not resolve"
        r"|lookup \S+( on \S+)?: |nodename nor servname",
        "{program} cannot resolve the names of its service: this machine's name server does not "
        "know them, or does not answer",
        "Check the network and its name server; some networks block the names of "
        "tunnels{another_way}",
    ),
)
"""A program that does not reach its service."""


def find_failure(text: str, rows: Iterable[ProgramFailure]) -> ProgramFailure | None:
    """Return the first row whose pattern the output of a program shows, or None."""
    return next((row for row in rows if re.search(row.pattern, text, re.IGNORECASE)), None)


def build_error(
    lines: Sequence[str],
    rows: Iterable[ProgramFailure],
    *,
    unknown: ProgramFailure,
    known: ProgramFailure | None = None,
    **names: object,
) -> TunnelError:
    """Build the error of a tunnel that did not open.

    Args:
        lines: The last lines of the program.
        rows: The failures that it may show; the first that fits is taken.
        unknown: The failure if none fits; its last lines are quoted then.
        known: The failure, if something other than the patterns says which it is.
        names: What stands for the names in braces; ``program`` is one of them.
    """
    row = known or find_failure("\n".join(lines), rows)
    if row is None:
        row, shown = unknown, quote_lines(lines, SHOWN_LINES)
    else:
        # Mostly the last, but some programs end with a line that says less.
        shown = quote_lines([each for each in lines if find_failure(each, [row])] or lines)
    return TunnelError(
        f"{row.problem.format(**names)}; {names['program']} said: {shown or 'nothing'}",
        consequence="There is no public address",
        fix=row.fix.format(**names),
    )


def quote_lines(lines: Sequence[str], count: int = 1) -> str:
    """Return the last lines of a program on one line, without its clock, users and passwords."""
    shown = [_CLOCK.sub("", line.strip())[:_LINE_CHARS] for line in lines if line.strip()]
    text = " / ".join(escape_controls(line) for line in shown[-count:])
    return _USER.sub(r"\1…@", text).rstrip(".")
