"""Release a version: check, close the changelog, build, check what was built, commit and tag.

    make release VERSION=0.3.0             says what it would do, and changes nothing
    make release VERSION=0.3.0 DRY=no      does it

In both ways the two archives are built and checked, from a copy of what is committed, so what is
wrong shows before anything is changed.  Nothing is pushed and nothing uploaded: the commands for
that are printed at the end.  CONTRIBUTING.md, "Release", has the procedure.
"""

from __future__ import annotations

import argparse
import datetime
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from packaging.version import InvalidVersion, Version

ROOT = Path(__file__).resolve().parent.parent
CHANGELOG = "CHANGELOG.md"
HOME = "twistream_kit/__init__.py"
OPEN = "## Unreleased"
TABLE = "### Old and new names"
NO_CHANGE = "No public name has changed."
DEEP = ("twistream_kit", "tutorial", "files")
"""The folder of a wheel that has a line of its own: what `twistream tutorial` writes."""

_VERSION_LINE = re.compile(r'^__version__ = "(.*)"$', re.MULTILINE)


class Refused(Exception):
    """What stands in the way of a release, and what to do."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What a release changes in the two files that it writes; their text afterwards."""

    version: Version
    changelog: str
    home: str

    @property
    def tag(self) -> str:
        return f"v{self.version}"


def main() -> int:
    """Run the command line; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("version", help="the new version, such as 0.3.0")
    parser.add_argument("--do", action="store_true", help="write, commit and tag")
    options = parser.parse_args()
    try:
        release(ROOT, options.version, is_dry=not options.do)
    except Refused as refusal:
        print(f"release: {refusal}", file=sys.stderr)
        return 1
    return 0


def release(root: Path, version: str, *, is_dry: bool) -> None:
    """Make a release of what is committed.

    Raises:
        Refused: If anything is not as it has to be; nothing was changed then.
    """
    today = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
    check_clean(root)
    plan = make_plan(root, version, today)
    changed = [
        name
        for name, text in ((CHANGELOG, plan.changelog), (HOME, plan.home))
        if text != (root / name).read_text(encoding="utf-8")
    ]
    say(f"the tree is clean, {plan.version} is newer than all releases, the changelog is complete")
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, "source")
        export(root, copy)
        write(copy, plan)
        built = build(copy)
        for archive in built:
            print(describe(archive))
        would = "would " if is_dry else ""
        say(f"{would}write {' and '.join(changed)}" if changed else "nothing is to be written")
        say(f"{would}commit and tag {plan.tag}" if changed else f"{would}tag {plan.tag}")
        say(f"{would}put {' and '.join(archive.name for archive in built)} into dist/")
        if is_dry:
            print(f"\nNothing was changed. To do it: make release VERSION={plan.version} DRY=no")
            return
        write(root, plan)
        if changed:
            git(root, "commit", "--quiet", "--message", f"Release {plan.version}", "--", *changed)
        git(root, "tag", "--annotate", plan.tag, "--message", f"twistream_kit {plan.version}")
        # Only these two are to be uploaded, whatever an earlier build has left.
        shutil.rmtree(root / "dist", ignore_errors=True)
        shutil.copytree(built[0].parent, root / "dist")
    branch = git(root, "branch", "--show-current").strip() or "HEAD:main"
    print("\nNothing was pushed and nothing uploaded. What is left to do, in this order:")
    print(f"    git push origin {branch} {plan.tag}")
    print("    python -m twine upload dist/*")


def say(text: str) -> None:
    """Print one step."""
    print(f"- {text}", flush=True)


def git(root: Path, *arguments: str) -> str:
    """Run git; return what it prints."""
    done = subprocess.run(
        [shutil.which("git") or "git", *arguments],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise Refused(f"git {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def check_clean(root: Path) -> None:
    """Refuse a tree that is not what is committed: it is not what would be built."""
    if changes := git(root, "status", "--porcelain").rstrip():
        raise Refused(
            f"the tree is not clean:\n{changes}\n"
            "Only what is committed is released. Commit it, or set it aside, and try again."
        )


def make_plan(root: Path, version: str, today: str) -> Plan:
    """Check the version and the changelog; return what is to be written."""
    new = read_version(version)
    released = [*map(Version, re.findall(r"(?m)^v(\d\S*)$", git(root, "tag", "--list", "v*")))]
    if released and new <= max(released):
        raise Refused(
            f"{new} is not newer than {max(released)}, which has a tag. Give a newer one."
        )
    home = (root / HOME).read_text(encoding="utf-8")
    if (stated := _VERSION_LINE.search(home)) is None:
        raise Refused(f'{HOME} has no line `__version__ = "…"`, where the version stands.')
    if new < Version(stated[1]):
        raise Refused(f"{new} is older than {stated[1]}, the version in {HOME}. Give a newer one.")
    log = (root / CHANGELOG).read_text(encoding="utf-8")
    is_closed = re.search(rf"(?m)^## {re.escape(str(new))} - \d{{4}}-\d\d-\d\d$", log)
    if is_closed and new == Version(stated[1]):
        # Closed already, by hand or by a release that did not get to its tag.
        check_section(log, is_closed[0])
        return Plan(new, log, home)
    if is_closed:
        raise Refused(
            f"{CHANGELOG} has {new} already, and {HOME} says {stated[1]}. Give another version, "
            "or let both say the same."
        )
    check_section(log, OPEN)
    closed = log.replace(f"{OPEN}\n", f"{OPEN}\n\n## {new} - {today}\n", 1)
    return Plan(new, closed, _VERSION_LINE.sub(f'__version__ = "{new}"', home, count=1))


def read_version(text: str) -> Version:
    """Return a version in its usual form: the tag and the archives bear the same."""
    try:
        version = Version(text)
    except InvalidVersion:
        version = None
    if version is None or str(version) != text or version.local or len(version.release) != 3:
        raise Refused(f"{text!r} is no version such as 0.3.0, 0.3.1 or 0.4.0rc1.")
    return version


def check_section(log: str, heading: str) -> None:
    """Refuse a changelog whose section is missing, empty, or says nothing of names."""
    if log.count(f"{heading}\n") != 1:
        raise Refused(
            f"{CHANGELOG} needs the line {heading!r} once, above what users will notice, and has "
            f"it {log.count(f'{heading}{chr(10)}')} times."
        )
    section = log.partition(f"{heading}\n")[2].split("\n## ", 1)[0]
    if not re.search(r"(?m)^- ", section):
        raise Refused(f"{CHANGELOG} has nothing under {heading!r}: say what users will notice.")
    table = section.partition(f"{TABLE}\n")[2].split("\n### ", 1)[0]
    if NO_CHANGE not in table and not re.search(r"(?m)^\| `", table):
        raise Refused(
            f"{CHANGELOG} does not say under {heading!r} which public names have changed. Add "
            f"{TABLE!r} with a table of old and new names, or the sentence {NO_CHANGE!r}"
        )


def export(root: Path, folder: Path) -> None:
    """Write what is committed into a folder."""
    folder.mkdir()
    archive = folder.with_suffix(".tar")
    git(root, "archive", "--output", str(archive), "HEAD")
    with tarfile.open(archive) as files:
        files.extractall(folder, filter="data")


def write(root: Path, plan: Plan) -> None:
    """Write the changelog and the version."""
    (root / CHANGELOG).write_text(plan.changelog, encoding="utf-8")
    (root / HOME).write_text(plan.home, encoding="utf-8")


def build(copy: Path) -> list[Path]:
    """Build wheel and sdist, and check them; return both."""
    # Without isolation: with it, pip would fetch the build system anew each time.
    run(copy, "build", "--no-isolation", "--outdir", "dist")
    built = sorted((copy / "dist").iterdir())
    say(f"built {' and '.join(archive.name for archive in built)}")
    run(copy, "twine", "check", "--strict", *map(str, built))
    say("twine check: passed")
    return built


def run(folder: Path, module: str, *arguments: str) -> None:
    """Run a module of this Python; show what it says only if it fails."""
    # The modules that are built are not to be imported from where this was called.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        missing = f"No module named {module}" in done.stdout
        help_ = f"\n`pip install {module}`, or `make install`, brings it." if missing else ""
        raise Refused(f"{module} failed:\n{done.stdout.strip()}{help_}")


def describe(archive: Path) -> str:
    """Return a table of an archive: the number of files and their size, by folder."""
    count: Counter[str] = Counter()
    size: Counter[str] = Counter()
    for name, length in list_files(archive):
        # Of an sdist, all is in one folder of its name.
        parts = Path(name).parts[archive.name.endswith(".tar.gz") :]
        deep = DEEP if parts[: len(DEEP)] == DEEP else parts[:1]
        folder = f"{'/'.join(deep)}/" if len(parts) > 1 else "single files"
        count[folder] += 1
        size[folder] += length
    head = f"\n{archive.name}: {archive.stat().st_size / 1000:,.0f} kB"
    rows = [
        f"    {folder:<32}{count[folder]:>5} files{size[folder] / 1000:>9,.0f} kB"
        for folder in sorted(count)
    ]
    whole = f"    {'in all, unpacked':<32}{count.total():>5} files{size.total() / 1000:>9,.0f} kB"
    return "\n".join([head, *rows, whole, ""])


def list_files(archive: Path) -> list[tuple[str, int]]:
    """Return the names and the sizes of the files in a wheel or an sdist."""
    if archive.suffix == ".whl":
        with zipfile.ZipFile(archive) as wheel:
            return [(each.filename, each.file_size) for each in wheel.infolist()]
    with tarfile.open(archive) as sdist:
        return [(each.name, each.size) for each in sdist.getmembers() if each.isfile()]


if __name__ == "__main__":
    sys.exit(main())
