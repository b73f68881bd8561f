"""Pages that are made from the program: one for each code, the public names, the examples."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from html import escape

from repository import ROOT

import twistream_kit as kit
from twistream_kit.protocol.codes import TWILIO_CODES, TwilioCode
from twistream_kit.protocol.service_codes import ServiceCode, read_service_codes

KINDS = {
    "5.1": "Twilio: streams",
    "5.2": "Twilio: calls and webhooks",
    "5.3": "Twilio: the REST API",
    "ngrok": "ngrok",
    "cloudflare": "Cloudflare",
    "websocket": "Close codes of WebSocket",
    "http": "HTTP statuses",
}
"""The sections of the list of codes, by the section of PROTOCOL.md or the service."""

ANCHORS = {
    "5.1": "51-streams",
    "5.2": "52-webhooks-and-twiml",
    "5.3": "53-creating-a-call-by-rest",
}


def write_pages() -> Iterator[tuple[str, str]]:
    """Give the path and the text of each page that is made from the program."""
    yield from write_codes()
    yield from write_api()
    yield from write_examples()
    yield "notebooks/index.md", write_notebook_list()


# Codes --------------------------------------------------------------------------------------


def name_code(code: TwilioCode | ServiceCode) -> str:
    """Return the name of a code's page: ``31951``, ``ngrok-3200``."""
    return str(code.code) if isinstance(code, TwilioCode) else f"{code.service}-{code.number}"


def list_codes() -> list[TwilioCode | ServiceCode]:
    """Return every code that `explain` knows."""
    return [*TWILIO_CODES.values(), *read_service_codes().values()]


def write_codes() -> Iterator[tuple[str, str]]:
    """Give a page for each code, and one that lists them."""
    codes = list_codes()
    parts = [_INDEX_OF_CODES]
    for kind, title in KINDS.items():
        parts.append(f"## {title}\n\n| code | what it is called | |\n| --- | --- | --- |")
        for code in codes:
            if _kind_of(code) == kind:
                number = code.code if isinstance(code, TwilioCode) else code.number
                level = code.level if isinstance(code, TwilioCode) else ""
                parts[-1] += (
                    f"\n| [{number}]({name_code(code)}.md) | {_plain(code.name)} | {level} |"
                )
    yield "codes/index.md", "\n\n".join(parts) + "\n"
    for code in codes:
        write = _write_twilio if isinstance(code, TwilioCode) else _write_service
        yield f"codes/{name_code(code)}.md", write(code)


_INDEX_OF_CODES = """\
# Codes

Every number that `kit.explain` knows: Twilio's errors and warnings, and the numbers of others that
stand beside them in logs and on pages. In a notebook or a shell, give it the number, or paste the
whole line, error or page:

```python
import twistream_kit as kit

kit.explain(31951)
```

```console
$ twistream explain 31951
$ twistream explain - < page.html
```

A number that nothing marks as a code is not taken for one."""


def _plain(text: str) -> str:
    """Return a text so that Markdown shows it as it is: ``<Stream>`` is no element."""
    return re.sub(r"([*_`\[\]\\])", r"\\\1", escape(text, quote=False))


def _kind_of(code: TwilioCode | ServiceCode) -> str:
    return code.section if isinstance(code, TwilioCode) else code.service


def _write_twilio(code: TwilioCode) -> str:
    after = "the call continues unchanged" if code.level == "warning" else ""
    kind = f"An **{code.level}**" if code.level == "error" else f"A **{code.level}**"
    status = f", with HTTP status {code.http_status}" if code.http_status else ""
    parts = [
        f"# {code.code}: {_plain(code.name)}",
        f"{kind} of Twilio's{status}{f'; {after}' if after else ''}.",
        _plain(code.meaning),
    ]
    if code.causes:
        parts += ["## Usual causes", "\n".join(f"- {_plain(cause)}" for cause in code.causes)]
    parts += ["## What to do", _plain(code.remedy)]
    if code.said:
        parts += ["## How Twilio's API says it", "\n".join(f"- `{words}`" for words in code.said)]
    known = f"[what is known of Twilio](../PROTOCOL.md#{ANCHORS[code.section]})"
    why = "[how to find out why nothing is heard](../how-to/nothing-is-heard.md)"
    links = [
        f"- Section {code.section} of {known}",
        f"- [Twilio's page on {code.code}]({code.url})",
        f"- [All codes](index.md), and {why}",
    ]
    parts += ["## More", "\n".join(links)]
    return "\n\n".join(parts) + "\n"


def _write_service(code: ServiceCode) -> str:
    parts = [f"# {_plain(code.title)}", "Not a code of Twilio's.", _plain(code.meaning)]
    parts += ["## What to do", _plain(code.fix)]
    links = ["- [All codes](index.md)"]
    if code.twilio is not None:
        page = f"[{code.twilio}]({code.twilio}.md)"
        links.insert(0, f"- Where your server is the cause, Twilio logs {page}")
    parts += ["## More", "\n".join(links)]
    return "\n\n".join(parts) + "\n"


# Public names -------------------------------------------------------------------------------


def list_topics() -> Mapping[str, list[str]]:
    """Return the public names by topic, in the order of the package's docstring."""
    found = re.findall(r"^(\S[^\n]*)\.\n((?:    \S[^\n]*\n)+)", kit.__doc__ or "", re.MULTILINE)
    topics = {title: re.findall(r"\w+", names) for title, names in found}
    if sorted(name for names in topics.values() for name in names) != sorted(kit.__all__):
        message = "the docstring of the package does not list its public names by topic"
        raise ValueError(message)
    return topics


def write_api() -> Iterator[tuple[str, str]]:
    """Give a page for each topic, and one that lists all names."""
    about = (
        "`import twistream_kit as kit` gives all of them, in the order of use. Each has an "
        "example, which needs no account and is run by the tests."
    )
    parts = ["# The public names", about]
    for title, names in list_topics().items():
        page = re.sub(r"\W+", "-", title.partition(":")[0].lower()).strip("-")
        links = ", ".join(f"[`{name}`]({page}.md#{_home_of(name)})" for name in names)
        parts += [f"## [{title.partition(':')[0]}]({page}.md)", links]
        entries = [f"::: {_home_of(name)}" for name in names]
        yield f"api/{page}.md", "\n\n".join([f"# {title.partition(':')[0]}", *entries]) + "\n"
    yield "api/index.md", "\n\n".join(parts) + "\n"


def _home_of(name: str) -> str:
    modules, homes = kit._SUBMODULES, kit._HOME_OF  # noqa: SLF001 - where the names are
    return modules.get(name) or f"{homes[name]}.{name}"


# Examples and notebooks ---------------------------------------------------------------------


def write_examples() -> Iterator[tuple[str, str]]:
    """Give a page for each program of `examples/`."""
    for path in sorted(ROOT.glob("examples/**/*.py")):
        name = path.relative_to(ROOT / "examples").as_posix()
        text = path.read_text(encoding="utf-8")
        if text.strip():
            page = f"# `examples/{name}`\n\n```python\n{text}```\n\n[All examples](index.md)\n"
            yield f"examples/{name.removesuffix('.py').replace('/', '-')}.md", page


ORDER = (
    "tutorial", "how_sound_becomes_a_call", "hear_the_caller", "why_nothing_is_heard",
    "test_your_own_server", "measure_a_conversation", "a_real_call",
)  # fmt: skip


def list_notebooks() -> list[str]:
    """Return the names of all notebooks, in the order in which they are read."""
    there = {path.stem for path in ROOT.glob("notebooks/*.ipynb")}
    return [*ORDER, *sorted(there - {*ORDER})]


def write_notebook_list() -> str:
    """Return the page that lists the notebooks, each with its first sentences."""
    import nbformat

    about = (
        "They were run when this site was built: what stands below each cell is what it showed,\n"
        "and sound can be played. Buttons and telephones are pictures here; to press them, run\n"
        "the notebook with `twistream tutorial`, which needs no account."
    )
    parts = ["# Notebooks", about]
    for name in list_notebooks():
        first = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4).cells[0].source
        title, _, rest = first.partition("\n")
        first_words = rest.strip().partition("\n\n")[0]
        parts += [f"## [{title.removeprefix('# ')}]({name}.md)", first_words]
    return "\n\n".join(parts) + "\n"
