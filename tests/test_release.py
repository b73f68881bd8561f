"""`make release`, in git repositories of its own: what it refuses, says and does."""

from __future__ import annotations

import datetime
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import twistream_kit as kit

ROOT = Path(__file__).parent.parent
TODAY = datetime.datetime.now(tz=datetime.UTC).date().isoformat()
COMMAND_SECONDS = 300

NAMES = (
    "### Old and new names\n\n| before | now | note |\n| --- | --- | --- |\n| `kit.a` | `kit.b` |\n"
)
OPEN = f"# Changelog\n\n## Unreleased\n\n- Something new.\n\n{NAMES}\n"
OLDER = "## 0.2.0 - 2026-11-29\n\n- The first.\n"

pytestmark = pytest.mark.skipif(
    not shutil.which("git") or os.name == "nt", reason="the procedure is for git and make"
)


@pytest.fixture
def release(monkeypatch):
    """The script, with a build that takes no time."""
    spec = importlib.util.spec_from_file_location("release", ROOT / ".ci" / "release.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "release", module)  # where dataclasses look for it
    spec.loader.exec_module(module)

    def build(copy):
        dist = copy / "dist"
        dist.mkdir()
        version = re.search('"(.*)"', (copy / module.HOME).read_text(encoding="utf-8"))[1]
        with zipfile.ZipFile(dist / f"kit-{version}.whl", "w") as wheel:
            wheel.write(copy / module.HOME, module.HOME)
        with tarfile.open(dist / f"kit-{version}.tar.gz", "w:gz") as sdist:
            sdist.add(copy / module.CHANGELOG, f"kit-{version}/{module.CHANGELOG}")
        return sorted(dist.iterdir())

    monkeypatch.setattr(module, "build", build)
    return module


class Repository:
    """A repository with a changelog and a version, all committed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.git("init", "--quiet", "--initial-branch", "main")
        for name, value in (("user.name", "A Reader"), ("user.email", "reader@example.com")):
            self.git("config", name, value)
        self.commit(changelog=OPEN + OLDER, version="0.2.0")

    def git(self, *arguments: str) -> str:
        command = ["git", *arguments]
        done = subprocess.run(command, cwd=self.path, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, *, changelog: str | None = None, version: str | None = None) -> None:
        home = self.path / "twistream_kit" / "__init__.py"
        home.parent.mkdir(exist_ok=True)
        if version:
            home.write_text(f'__version__ = "{version}"\n', encoding="utf-8")
        if changelog:
            (self.path / "CHANGELOG.md").write_text(changelog, encoding="utf-8")
        (self.path / ".gitignore").write_text("dist\n", encoding="utf-8")
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "Something")

    def read(self, name: str) -> str:
        return (self.path / name).read_text(encoding="utf-8")

    def state(self) -> tuple[str, str, str]:
        """Return what a release that changes nothing leaves as it was."""
        refs = self.git("for-each-ref")
        return self.git("rev-parse", "HEAD"), refs, self.git("status", "--porcelain", "--ignored")


@pytest.fixture
def repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", os.devnull)
    folder = tmp_path / "repository"
    folder.mkdir()
    return Repository(folder)


def test_a_dry_run_says_what_it_would_do_and_changes_nothing(release, repository, capsys):
    before = repository.state()
    release.release(repository.path, "0.3.0", is_dry=True)
    said = capsys.readouterr().out
    assert repository.state() == before
    assert "would write CHANGELOG.md and twistream_kit/__init__.py" in said
    assert "would commit and tag v0.3.0" in said
    assert "would put kit-0.3.0.tar.gz and kit-0.3.0.whl into dist/" in said
    assert "make release VERSION=0.3.0 DRY=no" in said
    assert "twine upload" not in said


def test_a_release_closes_the_changelog_sets_the_version_and_tags(release, repository, capsys):
    repository.git("remote", "add", "origin", str(repository.path / "nowhere"))
    (repository.path / "dist").mkdir()
    (repository.path / "dist" / "kit-0.1.0.whl").touch()
    release.release(repository.path, "0.3.0", is_dry=False)
    said = capsys.readouterr().out
    log = repository.read("CHANGELOG.md")
    assert log == OPEN.replace(
        "## Unreleased\n", f"## Unreleased\n\n## 0.3.0 - {TODAY}\n"
    ) + OLDER  # fmt: skip
    assert repository.read("twistream_kit/__init__.py") == '__version__ = "0.3.0"\n'
    assert repository.git("describe", "--exact-match") == "v0.3.0"
    assert repository.git("cat-file", "-t", "v0.3.0") == "tag"  # with a name and a date
    assert repository.git("status", "--porcelain") == ""
    assert sorted(path.name for path in (repository.path / "dist").iterdir()) == [
        "kit-0.3.0.tar.gz",
        "kit-0.3.0.whl",
    ]
    with zipfile.ZipFile(repository.path / "dist" / "kit-0.3.0.whl") as wheel:
        assert b'"0.3.0"' in wheel.read("twistream_kit/__init__.py")
    assert "git push origin main v0.3.0" in said
    assert "python -m twine upload dist/*" in said


def test_a_version_whose_section_is_closed_already_is_tagged_as_it_is(release, repository, capsys):
    closed = OPEN.replace("## Unreleased\n", "## Unreleased\n\n## 0.3.0 - 2026-12-01\n")
    repository.commit(changelog=closed + OLDER, version="0.3.0")
    head = repository.git("rev-parse", "HEAD")
    release.release(repository.path, "0.3.0", is_dry=False)
    assert "nothing is to be written" in capsys.readouterr().out
    assert repository.git("rev-parse", "v0.3.0^{commit}") == head


def test_a_release_goes_on_after_a_build_that_failed(release, repository, monkeypatch):
    before = repository.state()

    def fail(copy):
        raise release.Refused("build failed")

    with monkeypatch.context() as patch:
        patch.setattr(release, "build", fail)
        with pytest.raises(release.Refused):
            release.release(repository.path, "0.3.0", is_dry=False)
    assert repository.state() == before
    release.release(repository.path, "0.3.0", is_dry=False)
    assert repository.git("tag") == "v0.3.0"


@pytest.mark.parametrize(
    ("version", "words"),
    [
        ("0.3", "'0.3' is no version such as"),
        ("v0.3.0", "'v0.3.0' is no version such as"),
        ("0.03.0", "'0.03.0' is no version such as"),
        ("0.3.0+mine", "is no version such as"),
        ("0.1.9", "0.1.9 is older than 0.2.0"),
        ("0.2.1", "0.2.1 is not newer than 0.4.0, which has a tag"),
        ("0.4.0", "0.4.0 is not newer than 0.4.0, which has a tag"),
    ],
)
def test_a_version_that_is_none_or_not_newer_is_refused(release, repository, version, words):
    if "tag" in words:
        repository.git("tag", "v0.4.0")
    before = repository.state()
    with pytest.raises(release.Refused, match=re.escape(words)):
        release.release(repository.path, version, is_dry=False)
    assert repository.state() == before


@pytest.mark.parametrize("name", ["CHANGELOG.md", "new.py"])
def test_a_tree_that_is_not_clean_is_refused(release, repository, name):
    with (repository.path / name).open("a", encoding="utf-8") as file:
        file.write("more\n")
    with pytest.raises(release.Refused, match=rf"not clean:(.|\n)*{name}(.|\n)*Commit it"):
        release.release(repository.path, "0.3.0", is_dry=True)


@pytest.mark.parametrize(
    ("changelog", "words"),
    [
        (OLDER, "needs the line '## Unreleased' once"),
        (OPEN + OPEN, "and has it 2 times"),
        (OPEN.replace("- Something new.\n", ""), "has nothing under '## Unreleased'"),
        (OPEN.partition("###")[0] + "\n", "does not say under '## Unreleased' which public names"),
        (OPEN.partition("###")[0] + OLDER + NAMES, "which public names"),
        (OPEN + OLDER.replace("0.2.0", "0.3.0"), "has 0.3.0 already"),
    ],
)
def test_a_changelog_that_is_not_complete_is_refused(release, repository, changelog, words):
    repository.commit(changelog=changelog)
    with pytest.raises(release.Refused, match=re.escape(words)):
        release.release(repository.path, "0.3.0", is_dry=True)


def test_a_changelog_may_say_that_no_name_has_changed(release, repository):
    table = f"### Old and new names\n\n{release.NO_CHANGE}\n\n"
    repository.commit(changelog=OPEN.partition("###")[0] + table + OLDER)
    release.release(repository.path, "0.3.0", is_dry=True)


def test_a_refusal_is_a_line_and_exit_code_1(release, repository, monkeypatch, capsys):
    monkeypatch.setattr(release, "ROOT", repository.path)
    monkeypatch.setattr(sys, "argv", ["release.py", "0.1.0"])
    assert release.main() == 1
    assert capsys.readouterr().err.startswith("release: 0.1.0 is older than 0.2.0")


def test_the_changelog_of_this_checkout_can_be_released(release):
    log = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    [heading] = re.findall(rf"(?m)^## {re.escape(kit.__version__)} - .*$", log)
    release.check_section(log, heading)


def read_contents(text: str) -> dict[str, dict[str, int]]:
    """Return the size of each folder in kB, by archive, as `make release` lists them."""
    contents: dict[str, dict[str, int]] = {}
    archive = ""
    for line in text.splitlines():
        if head := re.match(r"twistream_kit-\S+?(\.tar\.gz|\.whl): [\d,]+ kB$", line):
            archive = head[1]
        elif row := re.match(r"    (\S.*?) +\d+ files +([\d,]+) kB$", line):
            folder = re.sub(r"^\S+(?=\.dist-info)", "", row[1])
            if folder != "in all, unpacked":
                contents.setdefault(archive, {})[folder] = int(row[2].replace(",", ""))
    return contents


@pytest.mark.parametrize("archive", [".whl", ".tar.gz"])
def test_contributing_lists_what_is_in_an_archive(archive):
    page = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    listed = read_contents(page)[archive]
    assert {"twistream_kit/", ".dist-info/" if archive == ".whl" else "tests/"} <= set(listed)
    assert ("tests/" in listed) == (archive == ".tar.gz")


@pytest.mark.slow
@pytest.mark.timeout(3 * COMMAND_SECONDS)
@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="a clone needs a git repository")
@pytest.mark.skipif(not shutil.which("make"), reason="there is no make")
def test_make_release_builds_checks_and_tags_a_clone_of_this_repository(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "gitconfig"))
    (tmp_path / "gitconfig").write_text(
        "[user]\nname = A Reader\nemail = reader@example.com\n[safe]\ndirectory = *\n"
    )
    clone = tmp_path / "clone"

    def run(*command: str, at: Path = clone) -> str:
        done = subprocess.run(
            command, cwd=at, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
            timeout=COMMAND_SECONDS, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout
        return done.stdout

    def make(*arguments: str) -> str:
        return run("make", "release", f"BIN={Path(sys.executable).parent}", *arguments)

    run("git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(clone), at=tmp_path)
    refs = run("git", "for-each-ref", at=ROOT)
    file = clone / "CHANGELOG.md"
    opened = file.read_text(encoding="utf-8").replace("## Unreleased\n", OPEN.partition("\n\n")[2])
    file.write_text(opened, encoding="utf-8")
    run("git", "commit", "--quiet", "--all", "--message", "Say what is new")
    head = run("git", "rev-parse", "HEAD")

    said = make("VERSION=99.0.0")
    assert "twine check: passed" in said
    assert "would commit and tag v99.0.0" in said
    assert run("git", "rev-parse", "HEAD") == head
    assert run("git", "tag", "--list", "v99*") == run("git", "status", "--porcelain") == ""
    assert not (clone / "dist").exists()

    page = read_contents((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    for archive, folders in read_contents(said).items():
        for folder, size in folders.items():
            # The page is renewed at a release, not with every change.
            assert page[archive][folder] == pytest.approx(size, rel=0.25, abs=10), folder

    said = make("VERSION=99.0.0", "DRY=no")
    assert f"git push origin {run('git', 'branch', '--show-current').strip()} v99.0.0" in said
    assert run("git", "describe", "--exact-match").strip() == "v99.0.0"
    wheel = clone / "dist" / "twistream_kit-99.0.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel) as files:
        metadata = files.read("twistream_kit-99.0.0.dist-info/METADATA").decode()
        names = files.namelist()
    assert "\nVersion: 99.0.0\n" in metadata
    assert not [name for name in names if name.startswith(("tests", "benchmarks", ".ci"))]
    with tarfile.open(clone / "dist" / "twistream_kit-99.0.0.tar.gz") as files:
        assert "twistream_kit-99.0.0/CHANGELOG.md" in files.getnames()
    assert run("git", "for-each-ref", at=ROOT) == refs  # where it was cloned from
